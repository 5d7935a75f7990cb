"""What a run prints: claim against measurement, the time in every stage, the latencies, what is missing, and why."""

from __future__ import annotations

import io
from collections.abc import Sequence

import pandas as pd
from rich import box
from rich.console import Console
from rich.table import Table

from chaindp.measure.verdict import MINIMUM_ROUNDS, Verdict
from chaindp.pipeline.levels import HETEROGENEOUS, LEVELS, MECHANISMS, LevelPlan
from chaindp.report.words import plural
from chaindp.results.noise import NOT_MEASURED, level_verdicts
from chaindp.results.summary import STAGES, explain, failures, harness_overhead, ladder, latencies, stage_times

__all__ = ["run_summary"]

WIDTH = 118


def run_summary(frame: pd.DataFrame, slot_s: float, block_txs: int, plans: Sequence[LevelPlan]) -> str:
    """The summary of one run's table as plain text, at most ``WIDTH`` columns wide."""
    buffer = io.StringIO()
    console = Console(file=buffer, width=WIDTH, highlight=False, markup=False)
    rungs = ladder(frame)
    verdicts = level_verdicts(frame)
    console.print(_ladder_table(rungs, plans, verdicts.dropna(subset="verdict").set_index("level")["verdict"]))
    console.print(noise_line(verdicts))
    console.print()
    for line in _adds(plans):
        console.print(line)
    console.print()
    console.print(_stage_table(frame))
    waits = latencies(frame)
    if (waits["latency"] == "final").any():
        console.print(_latency_table(waits))
    for line in explain(frame):
        console.print(line)
    console.print()
    for plan in plans:
        if plan.has(HETEROGENEOUS):
            console.print(_backends(frame, plan.level.number))
    for reason in failures(frame)["reason"]:
        console.print(f"FAILED: {reason}")
    skipped: dict[str, str] = {}
    for plan in plans:
        skipped.update(plan.skipped)
    if skipped:
        console.print("not measured: " + "; ".join(f"{name} ({reason})" for name, reason in skipped.items()))
    for line in _skipped_stages(frame):
        console.print(line)
    console.print(
        f"ordering: fixed slots of {slot_s * 1e3:g} ms on a simulated network, at most {block_txs / slot_s:,.0f} tx/s; "
        "no block leaves the stage order before it is ordered"
    )
    overhead = harness_overhead(frame)
    if overhead is not None:
        console.print(f"harness: {overhead:.2%} of a sequential pass is spent outside the stages")
    if (rungs["mode"] == "model").any():
        worst = rungs["model_error"].abs().max()
        console.print(
            "model mode: stage times are measured, their overlap is scheduled, not run; "
            f"against live passes here the model is off by at most {worst:.0%}"
        )
    return "\n".join(line.rstrip() for line in buffer.getvalue().strip().splitlines())


def noise_line(verdicts: pd.DataFrame) -> str:
    """What the verdicts of a ladder stand on, in one sentence."""
    base = f"DP{verdicts['over'].iloc[0]}"
    floors = verdicts["noise_floor"].dropna()
    rounds = verdicts["rounds"].dropna()
    missing = verdicts[verdicts["verdict"] == Verdict.INSUFFICIENT]["reason"]
    if rounds.empty:
        return f"noise floor: {NOT_MEASURED}"
    if floors.empty:
        few = (
            missing.iloc[0] if len(missing) else f"{plural(int(rounds.max()), 'round')}, and it takes {MINIMUM_ROUNDS}"
        )
        return f"noise floor: insufficient data: {few} (--repeat)"
    return (
        f"noise floor: {base} against itself differs by up to {floors.iloc[0]:.1%} here "
        f"({int(rounds.max())} repetitions); verdicts are on tx/s over {base}"
    )


def _ladder_table(rungs: pd.DataFrame, plans: Sequence[LevelPlan], verdicts: pd.Series) -> Table:
    base = rungs["speedup_over"].iloc[0]
    over = "p" if base == 0 else f"x DP{base}"
    modelled = (rungs["mode"] == "model").any()
    title = f"{rungs['workload'].iloc[0]}, {rungs['mode'].iloc[0]} mode: throughput without and with the stage admit"
    table = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left")
    table.add_column("level")
    table.add_column("claim", justify="right")
    table.add_column("measured", justify="right")
    table.add_column("verdict", no_wrap=True)
    for name in ("tx/s", "slowest to fastest", "with admit", f"with admit,\nx DP{base}"):
        table.add_column(name, justify="right", no_wrap=True)
    if modelled:
        table.add_column("model error", justify="right")
    measured = rungs.set_index("level")
    for plan in plans:
        level = plan.level
        if level.number not in measured.index:
            table.add_row(level.name, level.claim, "failed", "", "", "", "", "", *([""] if modelled else []))
            continue
        rung = measured.loc[level.number]
        table.add_row(
            level.name,
            level.claim,
            f"{rung['speedup']:.2f}{over}" if pd.notna(rung["speedup"]) else "-",
            verdicts.get(level.number, ""),
            f"{rung['tps']:,.0f}",
            f"{rung['tps_low']:,.0f} to {rung['tps_high']:,.0f}",
            f"{rung['tps_with_admit']:,.0f}",
            f"{rung['speedup_with_admit']:.2f}" if pd.notna(rung["speedup_with_admit"]) else "",
            *([f"{rung['model_error']:+.0%}"] if modelled else []),
        )
    return table


def _adds(plans: Sequence[LevelPlan]) -> list[str]:
    """A line a level: what is on that was not at the row above, and which of its own mechanisms are not, with why."""
    lines = []
    before: frozenset[str] = frozenset()
    for plan in plans:
        on = [mechanism.name for mechanism in MECHANISMS if mechanism.name in plan.on - before]
        off = [
            f"{mechanism.name} ({plan.skipped[mechanism.name].partition(':')[0]})"
            for mechanism in MECHANISMS
            if mechanism.level == plan.level.number and mechanism.name in plan.skipped
        ]
        before = plan.on
        parts = [*([", ".join(on)] if on else []), *([f"without {', '.join(off)}"] if off else [])]
        lines.append(f"{plan.level.name}: {'; '.join(parts) or LEVELS[plan.level.number].title.partition(':')[0]}")
    return lines


def _stage_table(frame: pd.DataFrame) -> Table:
    times = stage_times(frame)
    table = Table(
        title="stages, us a transaction: time from start to end / CPU time of the stage's thread",
        box=box.SIMPLE_HEAD,
        title_justify="left",
    )
    table.add_column("level")
    present = [stage for stage in STAGES if (times["stage"] == stage).any() and stage != "order"]
    for stage in present:
        table.add_column(stage, justify="right")
    table.add_column("all but admit", justify="right")
    for level, group in times.groupby("level"):
        rows = group.set_index("stage")
        rest = rows.drop(index="admit", errors="ignore")
        cells = [_pair(rows.loc[stage]) if stage in rows.index else "" for stage in present]
        table.add_row(f"DP{level}", *cells, _pair(rest.sum(numeric_only=True)))
    return table


def _pair(row: pd.Series) -> str:
    return f"{row['busy_ns_per_tx'] / 1e3:.1f} / {row['cpu_ns_per_tx'] / 1e3:.1f}"


def _latency_table(waits: pd.DataFrame) -> Table:
    table = Table(
        title="latency, ms: of consensus on the simulated network; and of a block from its ordering on",
        box=box.SIMPLE_HEAD,
        title_justify="left",
    )
    kinds = (("order", "consensus"), ("queue", "queue"), ("visible", "visible"), ("final", "final"))
    table.add_column("level")
    for _, title in kinds:
        for quantile in ("p50", "p99"):
            table.add_column(f"{title} {quantile}", justify="right")
    for level, group in waits.groupby("level"):
        rows = group.set_index("latency")
        cells = [f"{rows[column][kind] / 1e6:,.0f}" for kind, _ in kinds for column in ("p50_ns", "p99_ns")]
        table.add_row(f"DP{level}", *cells)
    return table


def _backends(frame: pd.DataFrame, level: int) -> str:
    """Which backend ran the kernels of which stages at a level; a stage that called none is not named."""
    rows = frame[(frame["level"] == level) & (frame["metric"] == "kernel_compute") & frame["backend_ran"].notna()]
    ran: dict[str, list[str]] = {}
    for stage in STAGES:
        for backend in rows[rows["stage"] == stage]["backend_ran"].unique():
            ran.setdefault(str(backend), []).append(stage)
    if not ran:
        return f"DP{level} called no kernel"
    return f"DP{level} hashed on " + "; ".join(f"{backend}: {', '.join(stages)}" for backend, stages in ran.items())


def _skipped_stages(frame: pd.DataFrame) -> list[str]:
    rows = frame[(frame["metric"] == "busy") & (frame["status"] == "skipped")]
    return [
        f"stages not run: {', '.join(group['stage'].unique())} ({reason})" for reason, group in rows.groupby("reason")
    ]
