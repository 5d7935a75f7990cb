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
        ("--mode", "model", "--levels", "0-4"),
        ("--block-txs", "77", "--levels", "0,4"),
        ("--threads", "1", "--levels", "4"),
        ("--threads", "3", "--levels", "3-4"),
        ("--ablate", "pipelining", "--levels", "4"),
        ("--ablate", "parallel_merkleization", "--levels", "4"),
    ],
    ids=" ".join,
)
def test_mode_block_size_threads_and_ablation_change_no_root(
    tmp_path: Path, arguments: tuple[str, ...], all_levels: dict[str, Any]
) -> None:
    document = run(tmp_path, "--workload", "erc20", *arguments)
    assert roots(document) == roots(all_levels)


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
    assert len(set(levels["DP0"]["state_root"])) == 2


def test_mainnet_is_checked_against_its_headers_and_not_executed(tmp_path: Path) -> None:
    document = run(tmp_path, "--workload", "mainnet", "--levels", "0,4")
    for row in document["summary"]:
        assert set(row["stages"]) == {"admit", "order", "merkleize"}
        assert row["state_root"] is None
    frame = package.load(document["path"])
    skipped = frame[(frame["status"] == "skipped") & (frame["metric"] == "busy")]
    assert set(skipped["stage"]) == {"preload", "execute", "flush", "prove"}


COUNTING_LIAR = '''
import itertools
import threading

import chaindp_cpu
from chaindp import hookimpl
from chaindp.backend import Backend, BackendSpec, Capability

CPU = next(spec for spec in chaindp_cpu.chaindp_backends() if spec.name == "cpu")


class Liar(Backend):
    """Hashes right, all but every 10,000th digest that it ever returns."""

    def __init__(self, options):
        super().__init__("liar", options)
        self.honest = CPU.factory(options)
        self.count = 0
        self.lock = threading.Lock()

    def keccak256(self, data, offsets):
        digests = self.honest.keccak256(data, offsets).copy()
        with self.lock:
            first = -self.count % EVERY
            self.count += len(digests)
        digests[first::EVERY, 5] ^= 0x10
        return digests


EVERY = 10_000


@hookimpl
def chaindp_backends():
    return [BackendSpec(name="liar", kind="other", factory=Liar, capabilities={"keccak256": Capability()}, summary="")]
'''


@pytest.mark.parametrize("request_", ["liar", "merkleize=liar"])
def test_a_liar_in_one_of_ten_thousand_is_caught_and_named(tmp_path: Path, request_: str) -> None:
    make_distribution(tmp_path / "site", "liar", COUNTING_LIAR)
    document = run(
        tmp_path,
        *("--levels", "0,4", "--txs", "3000", "--block-txs", "1000", "--backend", request_),
        site=tmp_path / "site",
        status=1,
    )
    assert any("liar" in failure and "keccak256" in failure for failure in document["failures"])
    frame = package.load(document["path"])
    failed = frame[frame["status"] == "failed"]
    assert (failed["backend_ran"] == "liar").any()
    assert (frame[(frame["level"] == 0) & (frame["metric"] == "busy")]["status"] == "ok").all()


def test_an_honest_plugin_with_one_kernel_runs(tmp_path: Path) -> None:
    honest = COUNTING_LIAR.replace("EVERY = 10_000", "EVERY = 10**12").replace("self.count = 0", "self.count = 1")
    make_distribution(tmp_path / "site", "liar", honest)
    document = run(tmp_path, "--levels", "0,4", "--backend", "liar", site=tmp_path / "site")
    assert len(roots(document)) == 1
    stages = document["summary"][1]["stages"]
    assert stages["merkleize"]["backend"] == "liar"
    assert stages["admit"]["backend"] == "cpu:scalar"


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
    out = tmp_path / "runs"
    command = [sys.executable, "-m", "chaindp", "run", *SMALL, "--levels", "0", "--out", str(out)]
    started = time.monotonic()
    subprocess.run(command, check=True, capture_output=True)
    duration = time.monotonic() - started
    complete = {path.name for path in out.iterdir()}
    for step in range(8):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(duration * (0.6 + step * 0.06))
        process.send_signal(signal.SIGKILL)
        process.wait()
    for path in out.iterdir():
        if not path.name.startswith("."):
            assert set(os.listdir(path)) == {"samples.parquet", "run.json", "ladder.png", "summary.txt"}
            assert len(package.load(path))
            complete.add(path.name)
    assert complete
