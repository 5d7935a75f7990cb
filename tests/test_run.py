"""``chaindp run`` as a user calls it, in a process of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import chaindp as package
from chaindp.cli import main
from plugin_site import chaindp, make_distribution

SMALL = ("--txs", "300", "--block-txs", "100", "--accounts", "500", "--repeat", "1", "--slot", "0.001")
SMALL += ("--break-even", "0")  # tests/test_breakeven.py has it on


def run(tmp_path: Path, *arguments: str, site: Path | None = None, status: int = 0) -> dict[str, Any]:
    done = chaindp("run", *SMALL, "--out", str(tmp_path / "runs"), *arguments, "--json", site=site)
    assert done.returncode == status, done.stderr
    assert "Traceback" not in done.stderr
    document = json.loads(done.stdout)
    assert isinstance(document, dict)
    return document


@pytest.fixture(scope="module")
def all_levels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return run(tmp_path_factory.mktemp("all"), "--workload", "erc20", "--levels", "0-5")


def roots(document: dict[str, Any]) -> set[tuple[str, str, int]]:
    return {(row["state_root"], row["receipts_root"], row["gas_used"]) for row in document["summary"]}


def test_the_summary_has_a_row_a_level_with_the_keys_that_others_rely_on(all_levels: dict[str, Any]) -> None:
    assert [row["level"] for row in all_levels["summary"]] == [0, 1, 2, 3, 4, 5]
    for row in all_levels["summary"]:
        assert row["workload"] == "erc20"
        assert row["mode"] == "live"
        assert row["tps"] > 0
        assert row["tps_with_admit"] > 0
        assert row["transactions"] == 300
        assert row["refused"] == 0
        assert set(row["stages"]) == {"admit", "order", "preload", "execute", "merkleize", "flush", "prove"}
    assert all_levels["summary"][0]["speedup"] == 1.0
    assert [row["claim"] for row in all_levels["summary"]] == ["1p", "2-5p", "5-10p", "15-50p", "100-500p", "500p+"]
    assert all_levels["failures"] == []


def test_every_level_reaches_the_same_roots(all_levels: dict[str, Any]) -> None:
    assert len(roots(all_levels)) == 1
    assert len({row["block_hash"] for row in all_levels["summary"]}) == 1


def test_what_is_not_built_is_skipped_with_its_reason(all_levels: dict[str, Any]) -> None:
    top = all_levels["summary"][5]
    assert {"pipelining", "parallel_merkleization"} == set(top["mechanisms"])
    assert set(top["skipped"]) == {
        "scalable_consensus",
        "parallel_transactions",
        "authenticated_store",
        "batched_preload",
        "heterogeneous_backends",
    }
    frame = package.load(all_levels["path"])
    skipped = frame[(frame["status"] == "skipped") & (frame["level"] == 4)]
    assert set(skipped["metric"]) >= {"mechanism:authenticated_store", "mechanism:parallel_transactions"}
    assert skipped["reason"].notna().all()


def test_results_are_visible_before_their_block_is_final_where_blocks_overlap(all_levels: dict[str, Any]) -> None:
    frame = package.load(all_levels["path"])
    for level in range(6):
        rows = frame[frame["level"] == level]
        assert set(rows[rows["metric"] == "latency_order"]["time_domain"]) == {"modelled"}
        visible = rows[rows["metric"] == "latency_visible"].set_index("block")["value"]
        final = rows[rows["metric"] == "latency_final"].set_index("block")["value"]
        assert len(visible) == 3
        if level >= 3:
            assert (visible < final).all()
        else:
            assert (visible == final).all()


def test_the_table_says_what_ran_where(all_levels: dict[str, Any]) -> None:
    frame = package.load(all_levels["path"])
    busy = frame[frame["metric"] == "busy"]
    assert len(busy) == 6 * 7 * 3
    assert (frame[frame["metric"].str.endswith("_audited")]["value"] == 1.0).all()
    hashing = busy[busy["stage"] == "merkleize"].set_index("level")
    assert set(hashing["backend_ran"][hashing.index <= 3]) == {"cpu:scalar"}
    assert set(hashing["backend_ran"][hashing.index >= 4]) == {"cpu"}
    assert (hashing["backend_ran"] == hashing["backend_requested"]).all()
    assert hashing["output_matched"].all()
    run_json = frame.attrs["run"]
    assert run_json["workload"]["digest"]
    assert run_json["environment"]["cpu"]
    assert (Path(all_levels["path"]) / "ladder.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(("--mode", "model", "--levels", "0-4"), marks=pytest.mark.slow),
        pytest.param(("--mode", "model", "--levels", "0,4"), marks=pytest.mark.slow),
        pytest.param(("--block-txs", "77", "--levels", "0,4"), marks=pytest.mark.slow),
        pytest.param(("--threads", "1", "--levels", "4"), marks=pytest.mark.slow),
        pytest.param(("--threads", "3", "--levels", "3-4"), marks=pytest.mark.slow),
        pytest.param(("--ablate", "pipelining", "--levels", "4"), marks=pytest.mark.slow),
        pytest.param(("--ablate", "parallel_merkleization", "--levels", "4"), marks=pytest.mark.slow),
    ],
    ids=lambda arguments: " ".join(arguments),
)
def test_mode_block_size_threads_and_ablation_change_no_root(
    tmp_path: Path, arguments: tuple[str, ...], all_levels: dict[str, Any]
) -> None:
    document = run(tmp_path, "--workload", "erc20", *arguments)
    assert roots(document) == roots(all_levels)


@pytest.mark.slow
def test_transfers_and_a_seed_of_their_own(tmp_path: Path) -> None:
    arguments = ("--workload", "transfers", "--levels", "0,4", "--zipf", "1.1", "--conflict", "0.3")
    first = run(tmp_path, *arguments, "--seed", "1")
    again = run(tmp_path, *arguments, "--seed", "1")
    other = run(tmp_path, *arguments, "--seed", "2")
    assert roots(first) == roots(again)
    assert len(roots(first)) == 1
    assert roots(first) != roots(other)


def test_repetitions_have_fresh_input_and_levels_agree_in_each(tmp_path: Path) -> None:
    document = run(tmp_path, "--workload", "transfers", "--levels", "0,4", "--repeat", "2")
    levels = package.load(document["path"]).attrs["run"]["levels"]
    assert levels["DP0"]["state_root"] == levels["DP4"]["state_root"]
    assert len(set(levels["DP0"]["state_root"].values())) == 2


@pytest.mark.slow
def test_mainnet_is_checked_against_its_headers_and_not_executed(tmp_path: Path) -> None:
    document = run(tmp_path, "--workload", "mainnet", "--levels", "0,4")
    for row in document["summary"]:
        assert set(row["stages"]) == {"admit", "order", "merkleize"}
        assert row["state_root"] is None
    frame = package.load(document["path"])
    skipped = frame[(frame["status"] == "skipped") & (frame["metric"] == "busy")]
    assert set(skipped["stage"]) == {"preload", "execute", "flush", "prove"}


WRAPPER = '''
import threading

import numpy as np

import chaindp_cpu
from chaindp import hookimpl
from chaindp.backend import Backend, BackendSpec, Capability, TimeDomain

CPU = next(spec for spec in chaindp_cpu.chaindp_backends() if spec.name == "cpu")
KERNELS = ("keccak256", "merkle_tree", "merkle_open", "trie_hash")


class Wrapper(Backend):
    """The CPU's results, each changed by ``change`` on its way out."""

    def __init__(self, options):
        super().__init__("tested", options)
        self.honest = CPU.factory(options)
        self.lock = threading.Lock()
        self.seen = {}

    def __getattr__(self, name):
        if name not in KERNELS:
            raise AttributeError(name)
        method = getattr(self.honest, name)
        return lambda *args: self.change(name, args, lambda: method(*args))

    def change(self, name, args, honest):
        with self.lock:
            first = self.seen.get(name, 0)
            result = honest()
            self.seen[name] = first + len(result)
CHANGE
        return result


@hookimpl
def chaindp_backends():
    capabilities = {name: Capability() for name in KERNELS}
    return [BackendSpec(name="tested", kind="other", factory=Wrapper, capabilities=capabilities, summary="")]
'''


def plugin(site: Path, change: str) -> Path:
    """A distribution with backend ``tested``; ``change`` is code that sees name, args, first and result."""
    body = "\n".join("            " + line for line in change.splitlines())
    make_distribution(site, "cheat-dist", WRAPPER.replace("CHANGE", body))
    return site


LIES_IN_ONE_OF_TEN_THOUSAND = """
result = result.copy()
result[-first % 10_000 :: 10_000].reshape(-1)[5:6] ^= 0x10
"""


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param(LIES_IN_ONE_OF_TEN_THOUSAND, "differ from cpu", id="one wrong digest in 10,000"),
        pytest.param(
            "if name == 'merkle_tree' and first > 3000:\n    result = result.copy()\n    result[-1, 0] ^= 1",
            "merkle_tree: 1 of",
            id="wrong only after a while",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            "args[0][0] ^= 1", "a call changes its arguments", id="changes its arguments", marks=pytest.mark.slow
        ),
        pytest.param(
            "raise RuntimeError('device\\nlost')",
            "failed: RuntimeError: device lost",
            id="raises",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            "result = result.astype(np.float64)", "returned float64", id="wrong dtype", marks=pytest.mark.slow
        ),
        pytest.param("result = result[:-1]", "returned uint8[", id="a row too few", marks=pytest.mark.slow),
        pytest.param(
            "self.kept = getattr(self, 'kept', {})\n"
            "result = self.kept.setdefault((name, getattr(args[0], 'shape', None)), result)",
            "tested",
            id="remembers answers",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_a_backend_that_cheats_is_caught_and_named(tmp_path: Path, change: str, message: str) -> None:
    site = plugin(tmp_path / "site", change)
    arguments = ("--levels", "0,4", "--txs", "3000", "--block-txs", "1000", "--backend", "tested")
    document = run(tmp_path, *arguments, site=site, status=1)
    assert any("tested" in failure and message in failure for failure in document["failures"]), document["failures"]
    assert all(failure.startswith("DP4") for failure in document["failures"])
    assert [row["status"] for row in document["summary"]] == ["ok", "failed"]
    assert document["summary"][0]["tps"] > 0
    assert document["summary"][1]["tps"] is None
    frame = package.load(document["path"])
    assert (frame[frame["level"] == 0]["status"] == "ok").all()
    assert (frame[frame["level"] == 4]["status"] == "failed").any()


@pytest.mark.slow
def test_a_backend_that_is_right_in_every_call_is_held_against_dp0_all_the_same(tmp_path: Path) -> None:
    """A level alone is compared with a pass of DP0 that is not measured."""
    document = run(tmp_path, "--levels", "4")
    assert document["summary"][0]["status"] == "ok"
    assert set(package.load(document["path"])["level"].dropna()) == {4}


@pytest.mark.slow
def test_an_honest_plugin_with_one_kernel_runs(tmp_path: Path) -> None:
    site = plugin(tmp_path / "site", "pass")
    (module,) = site.glob("*.py")
    module.write_text(
        module.read_text().replace('"keccak256", "merkle_tree", "merkle_open", "trie_hash"', '"keccak256",')
    )
    document = run(tmp_path, "--levels", "0,4", "--backend", "tested", site=site)
    assert len(roots(document)) == 1
    stages = document["summary"][1]["stages"]
    assert stages["merkleize"]["backend"] == "tested"
    assert stages["admit"]["backend"] == "cpu:scalar"
    assert "heterogeneous_backends" in document["summary"][1]["mechanisms"]


@pytest.mark.slow
def test_ablating_the_backends_leaves_them_out(tmp_path: Path) -> None:
    site = plugin(tmp_path / "site", "raise RuntimeError('not to be called')")
    arguments = ("--levels", "5", "--backend", "tested", "--ablate", "heterogeneous_backends")
    document = run(tmp_path, *arguments, site=site)
    assert document["summary"][0]["stages"]["merkleize"]["backend"] == "cpu"


def test_a_backend_that_does_not_time_the_wall_clock_cannot_take_part(tmp_path: Path) -> None:
    site = plugin(tmp_path / "site", "pass")
    (module,) = site.glob("*.py")
    module.write_text(
        module.read_text().replace("    def __getattr__", "    time_domain = TimeDomain.CYCLES\n\n    def __getattr__")
    )
    done = chaindp("run", *SMALL, "--backend", "tested", site=site, cwd=tmp_path)
    assert done.returncode == 2
    assert "measures in cycles" in done.stderr


def test_a_plugin_that_raises_at_import_is_named_and_fails_the_run(tmp_path: Path) -> None:
    make_distribution(tmp_path / "site", "broken-plugin", "raise RuntimeError('no device here')\n")
    document = run(tmp_path, "--levels", "0", site=tmp_path / "site", status=1)
    assert document["summary"][0]["tps"] > 0
    assert any("broken-plugin" in failure and "no device here" in failure for failure in document["failures"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--workload", "erc721"), "erc721"),
        (("--levels", "0-9"), "levels"),
        (("--levels", "x"), "levels"),
        (("--backend", "gpu"), "gpu"),
        (("--backend", "flush=cpu"), "flush"),
        (("--backend", "hash=cpu"), "hash"),
        (("--backend", "cpu", "--backend", "cpu:scalar"), "STAGE=NAME"),
        (("--backend", "prove=cpu", "--backend", "prove=cpu:scalar"), "prove"),
        (("--txs", "1000000000000"), "--txs"),
        (("--threads", "1000000"), "--threads"),
        (("--slot", "inf"), "slot"),
        (("--slot", "1e300"), "slot"),
        (("--txs", "-5"), "--txs"),
        (("--txs", "0"), "--txs"),
        (("--block-txs", "-1"), "--block-txs"),
        (("--accounts", "-1"), "--accounts"),
        (("--repeat", "0"), "--repeat"),
        (("--threads", "0"), "--threads"),
        (("--seed", "-1"), "--seed"),
        (("--slot", "0"), "slot"),
        (("--slot", "nan"), "slot"),
        (("--conflict", "1.5"), "--conflict"),
        (("--zipf", "-1"), "--zipf"),
        (("--mode", "dream"), "dream"),
        (("--ablate", "nothing"), "nothing"),
        (("--nonsense",), "nonsense"),
    ],
)
def test_a_wrong_call_is_one_line_and_writes_nothing(
    tmp_path: Path, arguments: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", *SMALL, "--out", str(tmp_path / "runs"), *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    lines = captured.err.strip().splitlines()
    assert len(lines) == 1, captured.err
    assert message in lines[0]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_killing_a_run_leaves_a_whole_result_or_none(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "chaindp", "run", *SMALL, "--levels", "0", "--out"]
    started = time.monotonic()
    subprocess.run([*command, str(tmp_path / "whole")], check=True, capture_output=True)
    duration = time.monotonic() - started
    outcomes = set()
    for step in range(12):
        out = tmp_path / f"killed-{step}"
        process = subprocess.Popen([*command, str(out)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(duration * (0.5 + step * 0.06))
        process.send_signal(signal.SIGKILL)
        process.wait()
        found = [path for path in out.iterdir() if not path.name.startswith(".")] if out.exists() else []
        for path in found:
            assert set(os.listdir(path)) == {"samples.parquet", "run.json", "ladder.png", "summary.txt"}
            assert len(package.load(path))
        outcomes.add(bool(found))
    assert outcomes == {True, False}
