"""The pipeline of a run in Chrome's trace event format, which ui.perfetto.dev and chrome://tracing open.

A process is a level and repetition, a thread is a stage, a complete event is a block in that stage, and a flow follows
the block from stage to stage. All passes start at 0, so that levels are seen one above the other on one time scale.

Format: "Trace Event Format", Google, https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from chaindp import __version__
from chaindp.errors import InputError
from chaindp.files import refuse_others, write_over_own
from chaindp.report.checks import check_document, check_path, check_table
from chaindp.results.store import load
from chaindp.results.summary import STAGES
from chaindp.results.timeline import block_kernels, spans

__all__ = ["MARK", "Traced", "trace_bytes", "trace_document", "write_trace"]

MARK = b'{"otherData": {"generator": "chaindp trace'
"""What tells a trace of ours from any other JSON file."""

WHAT = "trace of chaindp"


@dataclass(frozen=True, slots=True)
class Traced:
    """A trace on disk. ``processes``: passes; ``slices``: blocks in stages; ``events``: these, flows and names."""

    path: Path
    bytes: int
    processes: int
    slices: int
    events: int


def write_trace(run: str | os.PathLike[str], out: Path) -> Traced:
    """Write the trace of a pipeline run to ``out``, in one step.

    Raises InputError for what is not a run, is damaged or has no pipeline; UsageError where ``out`` cannot be written,
    or is a file that is no trace of ours.
    """
    refuse_others(out, MARK, WHAT)
    content, events = trace_bytes(run)
    write_over_own(out, content, MARK, WHAT)
    names = [event["name"] for event in events if event["ph"] == "M"]
    slices = sum(event["ph"] == "X" for event in events)
    return Traced(out, len(content), names.count("process_name"), slices, len(events))


def trace_bytes(run: str | os.PathLike[str]) -> tuple[bytes, list[dict[str, Any]]]:
    """The trace of a pipeline run as JSON text, and its events; raises as ``write_trace`` does over the run."""
    path = Path(run)
    check_path(path)
    frame = load(path)
    document = frame.attrs["run"]
    frame.attrs = {}
    check_document(document, path)
    check_table(frame, path)
    try:
        trace = trace_document(frame, document)
    except InputError as error:
        raise InputError(f"{run}: {error}") from error
    events = trace["traceEvents"]
    if not events:
        kind = document.get("kind", "unknown")
        raise InputError(f"{run} has no instants of blocks in stages: its kind is {kind}; chaindp run writes such runs")
    return json.dumps(trace, allow_nan=False).encode() + b"\n", events


def trace_document(frame: pd.DataFrame, document: dict[str, Any]) -> dict[str, Any]:
    """The trace as JSON values; ``traceEvents`` is empty where the table has no instants."""
    table = spans(frame)
    kernels: dict[tuple[Any, ...], dict[str, dict[str, Any]]] = {}
    for row in block_kernels(frame).itertuples():
        key = (row.workload, row.level, row.repetition, row.stage, row.block)
        times = _known({"compute_ms": row.compute / 1e6, "transfer_ms": row.transfer / 1e6})
        kernels.setdefault(key, {})[str(row.kernel)] = times | _domain(row.time_domain)
    events: list[dict[str, Any]] = []
    passes = table.groupby(["workload", "level", "repetition"], sort=True, observed=True)
    for pid, ((workload, level, repetition), mine) in enumerate(passes, start=1):
        how = ["modelled"] if (mine["time_domain"] == "modelled").any() else []
        how += ["failed"] if (mine["status"] == "failed").any() else []
        name = f"DP{level}, repetition {repetition}" + (f" ({', '.join(how)})" if how else "")
        name += f", {workload}" if table["workload"].nunique() > 1 else ""
        events += _names(pid, name, list(mine["stage"].unique()))
        events += _slices(pid, mine, kernels)
        events += _flows(pid, mine)
    other = {"generator": f"chaindp trace {__version__}", "run_id": str(document.get("run_id", ""))}
    # The generator comes first: it is what this file is known by.
    return {"otherData": other, "displayTimeUnit": "ms", "traceEvents": events}


def _names(pid: int, name: str, stages: list[str]) -> Iterator[dict[str, Any]]:
    common = {"ph": "M", "pid": pid}
    yield {**common, "name": "process_name", "args": {"name": name}}
    yield {**common, "name": "process_sort_index", "args": {"sort_index": pid}}
    for stage in sorted(stages, key=_thread):
        tid = _thread(stage)
        yield {**common, "tid": tid, "name": "thread_name", "args": {"name": stage}}
        yield {**common, "tid": tid, "name": "thread_sort_index", "args": {"sort_index": tid}}


def _thread(stage: str) -> int:
    """The thread number of a stage: its place in the pipeline, from 1."""
    return STAGES.index(stage) + 1 if stage in STAGES else len(STAGES) + 1


def _slices(
    pid: int, table: pd.DataFrame, kernels: dict[tuple[Any, ...], dict[str, dict[str, Any]]]
) -> Iterator[dict[str, Any]]:
    """Complete events; ``ts`` and ``dur`` are us, with the ns as decimals, and ``time_domain`` is theirs."""
    for row in table.itertuples():
        args: dict[str, Any] = {"block": int(row.block)} | _domain(row.time_domain)
        args |= {} if pd.isna(row.backend) else {"backend": str(row.backend)}
        args |= _known({"cpu_ms": row.cpu / 1e6, "network_wait_ms": row.wait / 1e6})
        args |= {"failed": str(row.reason)} if row.status != "ok" else {}
        called = kernels.get((row.workload, row.level, row.repetition, row.stage, row.block))
        args |= {"kernels": called} if called else {}
        yield {
            "name": f"block {int(row.block)}",
            "cat": str(row.stage),
            "ph": "X",
            "pid": pid,
            "tid": _thread(str(row.stage)),
            "ts": row.start / 1e3,
            "dur": (row.end - row.start) / 1e3,
            "args": args,
        }


def _flows(pid: int, table: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """Arrows from stage to stage, one chain a block: started in its first stage, ended in its last."""
    # An arrow is bound to the slice that is open at its instant, and a slice without duration is never open.
    lasting = table[table["end"] > table["start"]]
    for block, mine in lasting.groupby("block", sort=True):
        ordered = mine.sort_values("start")
        last = len(ordered) - 1
        if last < 1:
            continue
        for place, row in enumerate(ordered.itertuples()):
            event = {
                "name": "block",
                "cat": "block",
                "ph": "s" if place == 0 else "f" if place == last else "t",
                "id": f"{pid}.{block}",
                "pid": pid,
                "tid": _thread(str(row.stage)),
                "ts": (row.start + row.end) / 2e3,
            }
            yield event | ({"bp": "e"} if place == last else {})


def _domain(domain: Any) -> dict[str, str]:
    """What clock figures beside it are of, where the table says."""
    return {} if pd.isna(domain) else {"time_domain": str(domain)}


def _known(figures: dict[str, float]) -> dict[str, float]:
    """The figures that there are."""
    return {name: float(value) for name, value in figures.items() if not pd.isna(value)}
