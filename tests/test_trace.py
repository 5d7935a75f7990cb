"""``chaindp trace``: the trace event format's rules, and that a trace says what the table says."""

from __future__ import annotations

import itertools
import json
import re
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from chaindp.cli import main
from chaindp.errors import InputError, UsageError
from chaindp.report.trace import write_trace
from chaindp.results.store import load
from chaindp.results.summary import STAGES
from conftest import REPOSITORY
from report_runs import bench_table, pipeline_table, write

REFERENCE = REPOSITORY / "results" / "reference"


def traced(run: Path, out: Path) -> list[dict[str, Any]]:
    write_trace(run, out)
    document = json.loads(out.read_bytes())
    assert document["displayTimeUnit"] == "ms"
    events = document["traceEvents"]
    assert isinstance(events, list)
    return events


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    return traced(REFERENCE, tmp_path_factory.mktemp("trace") / "trace.json")


VARIANTS: dict[str, dict[str, Any]] = {
    "pipelined": {"blocks": 20, "repetitions": 2},
    "model": {"mode": "model", "repetitions": 2},
    "one block": {"blocks": 1, "levels": (4,)},
}


@pytest.fixture(scope="module", params=["reference", *VARIANTS])
def events(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    if request.param == "reference":
        found: list[dict[str, Any]] = request.getfixturevalue("reference")
        return found
    folder = tmp_path_factory.mktemp("made")
    return traced(write(folder / "run", pipeline_table(**VARIANTS[request.param]), "pipeline"), folder / "t.json")


def test_every_event_has_what_its_phase_needs(events: list[dict[str, Any]]) -> None:
    assert {event["ph"] for event in events} == {"M", "X", "s", "t", "f"}
    for event in events:
        assert isinstance(event["pid"], int)
        assert isinstance(event["name"], str)
        if event["ph"] == "M":
            assert event["args"]
            continue
        assert isinstance(event["tid"], int)
        assert event["ts"] >= 0
        if event["ph"] == "X":
            assert event["dur"] >= 0
        else:
            assert event["id"]


def test_events_of_a_thread_do_not_overlap(events: list[dict[str, Any]]) -> None:
    threads = defaultdict(list)
    for event in events:
        if event["ph"] == "X":
            threads[event["pid"], event["tid"]].append((event["ts"], event["ts"] + event["dur"]))
    for slices in threads.values():
        ordered = sorted(slices)
        for (_, end), (start, _) in itertools.pairwise(ordered):
            assert start >= end - 1e-3, "half a nanosecond is rounding, more is an overlap"


def test_flows_are_paired_and_every_point_lies_in_a_slice(events: list[dict[str, Any]]) -> None:
    slices = defaultdict(list)
    flows = defaultdict(list)
    for event in events:
        if event["ph"] == "X":
            slices[event["pid"], event["tid"]].append(event)
        elif event["ph"] in "stf":
            flows[event["id"]].append(event)
    assert flows
    for flow in flows.values():
        assert re.fullmatch("st*f", "".join(event["ph"] for event in flow))
        assert [event["ts"] for event in flow] == sorted(event["ts"] for event in flow)
        assert len({event["pid"] for event in flow}) == 1
        assert flow[-1]["bp"] == "e"
        blocks = set()
        for event in flow:
            around = [
                one["args"]["block"]
                for one in slices[event["pid"], event["tid"]]
                if one["ts"] <= event["ts"] < one["ts"] + one["dur"]
            ]
            assert len(around) == 1
            blocks.update(around)
        assert len(blocks) == 1, "a flow follows one block"


def test_processes_and_threads_have_names(reference: list[dict[str, Any]]) -> None:
    named = [event for event in reference if event["name"] == "process_name"]
    assert [event["args"]["name"] for event in named][:2] == ["DP0, repetition 0", "DP0, repetition 1"]
    assert len(named) == len(load(REFERENCE).dropna(subset="repetition").groupby(["level", "repetition"]))
    threads = {event["args"]["name"] for event in reference if event["name"] == "thread_name"}
    assert threads == set(STAGES)
    used = {(event["pid"], event["tid"]) for event in reference if event["ph"] == "X"}
    assert used == {(event["pid"], event["tid"]) for event in reference if event["name"] == "thread_name"}


def test_a_slice_says_what_the_table_says(reference: list[dict[str, Any]]) -> None:
    first = next(event for event in reference if event["ph"] == "X")
    assert (first["name"], first["cat"]) == ("block 0", "admit")
    table = load(REFERENCE).dropna(subset=["level", "repetition", "block", "stage"])
    rows = table[
        (table["level"] == 0) & (table["repetition"] == 0) & (table["block"] == 0) & (table["stage"] == "admit")
    ]
    values = rows[rows["kernel"].isna()].set_index("metric")["value"]
    assert first["ts"] == pytest.approx(values["start"] / 1e3, abs=1e-3)
    assert first["dur"] == pytest.approx((values["end"] - values["start"]) / 1e3, abs=1e-3)
    assert first["args"]["backend"] == "cpu:scalar"
    assert first["args"]["time_domain"] == "wall"
    assert first["args"]["cpu_ms"] == pytest.approx(values["cpu"] / 1e6, abs=1e-3)
    kernel = rows[(rows["kernel"] == "ecrecover") & (rows["metric"] == "kernel_compute")]["value"].item()
    assert first["args"]["kernels"]["ecrecover"]["compute_ms"] == pytest.approx(kernel / 1e6)


def test_modelled_and_failed_passes_say_so(tmp_path: Path) -> None:
    table = pipeline_table(levels=(0, 4), repetitions=1, mode="model", failed=(4,))
    events = traced(write(tmp_path / "run", table, "pipeline"), tmp_path / "t.json")
    names = [event["args"]["name"] for event in events if event["name"] == "process_name"]
    assert names == ["DP0, repetition 0 (modelled)", "DP4, repetition 0 (modelled, failed)"]
    assert any("other state root" in event["args"].get("failed", "") for event in events if event["ph"] == "X")


@pytest.mark.slow
def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["trace", str(REFERENCE), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["path"] == "trace.json"
    assert document["bytes"] == (tmp_path / "trace.json").stat().st_size
    starts = load(REFERENCE)
    starts = starts[starts["metric"] == "start"]
    passes, slices = len(starts.groupby(["level", "repetition"])), len(starts)
    assert passes >= 25
    assert (document["processes"], document["slices"]) == (passes, slices)
    assert main(["trace", str(REFERENCE)]) == 0, "a trace may be written again"
    assert f"{slices:,} blocks in stages of {passes} passes" in capsys.readouterr().out


def test_a_bench_has_no_trace(tmp_path: Path) -> None:
    run = write(tmp_path / "run", bench_table({"cpu": [1.0]}), "bench")
    with pytest.raises(InputError, match="no instants of blocks in stages: its kind is bench"):
        write_trace(run, tmp_path / "t.json")
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_a_file_of_somebody_elses_is_left_alone(tmp_path: Path) -> None:
    out = tmp_path / "trace.json"
    out.write_text('{"traceEvents": []}')
    with pytest.raises(UsageError, match="is not a trace of chaindp; name another file with --out"):
        write_trace(REFERENCE, out)
    assert out.read_text() == '{"traceEvents": []}'


def test_what_is_modelled_is_marked_in_every_slice(tmp_path: Path) -> None:
    frame = pipeline_table(mode="model", levels=(4,), fast="sim")
    rows = frame["metric"].isin(["kernel_compute", "kernel_transfer"]) & (frame["backend_ran"] == "sim")
    frame.loc[rows, "time_domain"] = "modelled"
    slices = [
        one for one in traced(write(tmp_path / "run", frame, "pipeline"), tmp_path / "t.json") if one["ph"] == "X"
    ]
    assert {one["args"]["time_domain"] for one in slices} == {"modelled"}
    kernels = {
        one["args"].get("backend"): {kernel["time_domain"] for kernel in one["args"]["kernels"].values()}
        for one in slices
        if "kernels" in one["args"]
    }
    assert kernels == {"sim": {"modelled"}, "cpu:scalar": {"wall"}}
