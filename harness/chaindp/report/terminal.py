"""What a run prints: claim against measurement, the time in every stage, the latencies, what is missing, and why."""

from __future__ import annotations

import io
from collections.abc import Sequence

import pandas as pd
from rich import box
from rich.console import Console
from rich.table import Table

from chaindp.pipeline.levels import LEVELS, LevelPlan
from chaindp.results.summary import STAGES, explain, harness_overhead, ladder, latencies, stage_times

__all__ = ["run_summary"]

WIDTH = 118


def run_summary(frame: pd.DataFrame, slot_s: float, block_txs: int, plans: Sequence[LevelPlan]) -> str:
    """The summary of one run's table as plain text, ``WIDTH`` columns wide."""
    buffer = io.StringIO()
    console = Console(file=buffer, width=WIDTH, highlight=False, markup=False)
    rungs = ladder(frame)
    console.print(_ladder_table(rungs))
    console.print(_stage_table(frame))
    waits = latencies(frame)
    if (waits["latency"] == "final").any():
        console.print(_latency_table(waits))
    for line in explain(frame):
        console.print(line)
    console.print()
    skipped: dict[str, str] = {}
    for plan in plans:
        skipped.update(plan.skipped)
    if skipped:
        console.print("not measured: " + "; ".join(f"{name} ({reason})" for name, reason in skipped.items()))
    for row in _skipped_stages(frame):
        console.print(row)
    console.print(
        f"ordering: fixed slots of {slot_s * 1e3:g} ms on a simulated network, at most {block_txs / slot_s:,.0f} tx/s; "
        "blocks enter the pipeline no earlier than they are ordered"
    )
    overhead = harness_overhead(frame)
    if overhead is not None:
        console.print(f"harness: {overhead:.2%} of a sequential pass is spent outside the stages")
    if (rungs["mode"] == "model").any():
        console.print("model mode: stage times are measured, their overlap is scheduled, not run")
    return buffer.getvalue().rstrip()


def _ladder_table(rungs: pd.DataFrame) -> Table:
    base = rungs["level"].iloc[0]
    table = Table(
        title=f"{rungs['workload'].iloc[0]}: the ladder, {rungs['mode'].iloc[0]} mode",
        box=box.SIMPLE_HEAD,
        title_justify="left",
    )
    table.add_column("level")
    table.add_column("claim", justify="right")
    for name in (f"measured (DP{base} = 1)", "tx/s", "slowest", "fastest", "tx/s with admit", f"x DP{base}"):
        table.add_column(name, justify="right")
    table.add_column("adds")
    for rung in rungs.itertuples():
        level = LEVELS[rung.level]
        table.add_row(
            level.name,
            level.claim,
            f"{rung.speedup:.2f}x",
            f"{rung.tps:,.0f}",
            f"{rung.tps_low:,.0f}",
            f"{rung.tps_high:,.0f}",
            f"{rung.tps_with_admit:,.0f}",
            f"{rung.speedup_with_admit:.2f}x",
            level.title.partition(":")[0],
        )
    return table


def _stage_table(frame: pd.DataFrame) -> Table:
    times = stage_times(frame)
    table = Table(title="busy time of the stages, us a transaction", box=box.SIMPLE_HEAD, title_justify="left")
    table.add_column("level")
    present = [stage for stage in STAGES if (times["stage"] == stage).any()]
    for stage in present:
        table.add_column(stage, justify="right")
    table.add_column("all", justify="right")
    table.add_column("busiest stage")
    for level, group in times.groupby("level"):
        rows = group.set_index("stage")
        busiest = rows["utilization"].idxmax()
        table.add_row(
            f"DP{level}",
            *(f"{rows['busy_ns_per_tx'].get(stage, float('nan')) / 1e3:.2f}" for stage in present),
            f"{rows['busy_ns_per_tx'].sum() / 1e3:.2f}",
            f"{busiest}, {rows['utilization'][busiest]:.0%} of the time",
        )
    return table


def _latency_table(waits: pd.DataFrame) -> Table:
    table = Table(
        title="latency from entering the pipeline, ms (order: consensus on the simulated network)",
        box=box.SIMPLE_HEAD,
        title_justify="left",
    )
    table.add_column("level")
    for name in ("order p50", "order p99", "visible p50", "visible p99", "final p50", "final p99"):
        table.add_column(name, justify="right")
    for level, group in waits.groupby("level"):
        rows = group.set_index("latency")
        cells = [
            f"{rows[column][kind] / 1e6:,.1f}"
            for kind in ("order", "visible", "final")
            for column in ("p50_ns", "p99_ns")
        ]
        table.add_row(f"DP{level}", *cells)
    return table


def _skipped_stages(frame: pd.DataFrame) -> list[str]:
    rows = frame[(frame["metric"] == "busy") & (frame["status"] == "skipped")]
    return [
        f"stages not run: {', '.join(group['stage'].unique())} ({reason})" for reason, group in rows.groupby("reason")
    ]
