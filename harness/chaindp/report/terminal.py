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
from chaindp.results.kernels import device_kernels, platforms
from chaindp.results.model_error import checked_on, error_note
from chaindp.results.noise import NOT_MEASURED, level_verdicts
from chaindp.results.proofs import HOST, PARTS, block_proofs
from chaindp.results.summary import STAGES, Summary, failures, harness_overhead, summarize

__all__ = ["run_summary"]

WIDTH = 118


def run_summary(
    frame: pd.DataFrame, slot_s: float, block_txs: int, plans: Sequence[LevelPlan], found: Summary | None = None
) -> str:
    """The summary of one run's table as plain text, at most ``WIDTH`` columns wide.

    found: ``summarize(frame)``, where the caller has it already
    """
    found = found or summarize(frame)
    buffer = io.StringIO()
    console = Console(file=buffer, width=WIDTH, highlight=False, markup=False)
    rungs = found.rungs
    verdicts = level_verdicts(frame)
    console.print(_ladder_table(rungs, plans, verdicts.dropna(subset="verdict").set_index("level")["verdict"]))
    console.print(noise_line(verdicts))
    console.print()
    for line in _adds(plans):
        console.print(line)
    console.print()
    console.print(_stage_table(found.times))
    if (found.waits["latency"] == "final").any():
        console.print(_latency_table(found.waits))
    proofs = block_proofs(frame)
    if len(proofs):
        console.print(_proof_table(proofs))
    for line in found.lines:
        console.print(line)
    console.print()
    for plan in plans:
        if plan.has(HETEROGENEOUS):
            console.print(_backends(frame, plan.level.number))
    for line in _devices(frame):
        console.print(line)
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
        where = checked_on(frame)
        console.print(
            "model mode: stage times are measured, their overlap is scheduled, not run; against live passes "
            f"{error_note(frame)}" + (f" ({where})" if where else "")
        )
        for rung in rungs[rungs["model_checked"] != ""].itertuples():
            console.print(f"model mode: DP{rung.level} was checked with {rung.model_checked}, live and modelled alike")
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


def _titled(title: str) -> Table:
    return Table(title=title, box=box.SIMPLE_HEAD, title_justify="left")


def _ladder_table(rungs: pd.DataFrame, plans: Sequence[LevelPlan], verdicts: pd.Series) -> Table:
    base = rungs["speedup_over"].iloc[0]
    over = "p" if base == 0 else f"x DP{base}"
    modelled = (rungs["mode"] == "model").any()
    word = "modelled" if modelled else "measured"
    title = f"{rungs['workload'].iloc[0]}, {rungs['mode'].iloc[0]} mode: throughput without and with the stage admit"
    table = _titled(title)
    table.add_column("level", no_wrap=True)
    for name in ("claim", word):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("verdict", no_wrap=not modelled)
    # A model run has the errors as well: there the range stands under the median.
    throughputs = ("tx/s, slowest\nto fastest",) if modelled else ("tx/s", "slowest to fastest")
    for name in (*throughputs, "with admit", f"with admit,\nx DP{base}"):
        table.add_column(name, justify="right", no_wrap=True)
    if modelled:
        for name in ("model\nerror", "with\nadmit"):
            table.add_column(name, justify="right", no_wrap=True)
    measured = rungs.set_index("level")
    for plan in plans:
        level = plan.level
        if level.number not in measured.index:
            table.add_row(level.name, level.claim, "failed")
            continue
        rung = measured.loc[level.number]
        median, spread = f"{rung['tps']:,.0f}", f"{rung['tps_low']:,.0f} to {rung['tps_high']:,.0f}"
        table.add_row(
            level.name,
            level.claim,
            f"{rung['speedup']:.2f}{over}" if pd.notna(rung["speedup"]) else "-",
            verdicts.get(level.number, ""),
            *([f"{median}\n{spread}"] if modelled else [median, spread]),
            f"{rung['tps_with_admit']:,.0f}",
            f"{rung['speedup_with_admit']:.2f}" if pd.notna(rung["speedup_with_admit"]) else "",
            *([_error(rung, "model_error"), _error(rung, "model_error_with_admit")] if modelled else []),
        )
    return table


def _error(rung: pd.Series, name: str) -> str:
    """The median of the model's error, and under it the smallest and the largest of several repetitions."""
    middle, low, high = (rung[f"{name}{part}"] for part in ("", "_low", "_high"))
    if pd.isna(middle):
        return "-"
    return f"{middle:+.0%}" + (f"\n{low:+.0%} to {high:+.0%}" if rung["repetitions"] > 1 else "")


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


def _stage_table(times: pd.DataFrame) -> Table:
    modelled = " (* with modelled time in it)" if (times["time_domain"] == "modelled").any() else ""
    table = _titled(f"stages, us a transaction: time from start to end / CPU time of the stage's thread{modelled}")
    table.add_column("level")
    present = [stage for stage in STAGES if (times["stage"] == stage).any() and stage != "order"]
    for stage in present:
        table.add_column(stage, justify="right")
    table.add_column("all but admit", justify="right")
    for level, group in times.groupby("level"):
        rows = group.set_index("stage")
        rest = rows.drop(index="admit", errors="ignore")
        cells = [_pair(rows.loc[[stage]]) if stage in rows.index else "" for stage in present]
        table.add_row(f"DP{level}", *cells, _pair(rest))
    return table


def _pair(rows: pd.DataFrame) -> str:
    """Of stages together: from start to end, marked where modelled time is in it, and CPU time."""
    mark = "*" if (rows["time_domain"] == "modelled").any() else ""
    busy, cpu = (rows[name].sum() / 1e3 for name in ("busy_ns_per_tx", "cpu_ns_per_tx"))
    return f"{busy:.1f}{mark} / {cpu:.1f}"


def _latency_table(waits: pd.DataFrame) -> Table:
    table = _titled("latency, ms: of consensus on the simulated network; and of a block from its ordering on")
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


def _proof_table(proofs: pd.DataFrame) -> Table:
    mark = "; *: modelled" if (proofs["time_domain"] == "modelled").any() else ""
    table = _titled(f"STARKs, a block: bytes, and ms in each part of making and verifying them{mark}")
    for column in ("level", "backend"):
        table.add_column(column)
    for column in ("proofs", "bytes", *PARTS, "verify"):
        table.add_column(column, justify="right")
    for row in proofs.to_dict("records"):
        times = (row[part] / 1e6 for part in (*PARTS, "verify"))
        star = "*" if row["time_domain"] == "modelled" else ""
        cells = [
            f"{ms:,.1f}{star if part not in HOST else ''}" for part, ms in zip((*PARTS, "verify"), times, strict=True)
        ]
        table.add_row(f"DP{row['level']}", row["backend"], f"{row['proofs']:,.1f}", f"{row['bytes']:,.0f}", *cells)
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


def _devices(frame: pd.DataFrame) -> list[str]:
    """What simulated devices did in a pass, on which platform, and how fast the simulator is."""
    stated = platforms(frame).set_index(["workload", "level", "stage", "kernel", "backend"])
    lines = []
    for row in device_kernels(frame).itertuples():
        here = stated.loc[(row.workload, row.level, row.stage, row.kernel, row.backend)]
        rates = " and ".join("unlimited" if pd.isna(rate) else f"{rate / 1e9:.3g} GB/s" for rate in here[_RATES])
        overlap = ", transfers overlap" if here["overlap"] else ""
        lines.append(
            f"DP{row.level} {row.stage} on {row.backend} (simulated): {row.kernel} {row.cycles:,.0f} cycles for "
            f"{plural(int(row.operations), 'operation')} a pass; modelled {row.elapsed / 1e6:.3g} ms: "
            f"{plural(int(here['instances']), 'instance')} at {here['clock_hz'] / 1e6:.4g} MHz, link {here['link']} "
            f"({here['latency_ns'] / 1e3:.3g} us each way, {rates}{overlap})"
            + ("" if pd.isna(row.simulator_hz) else f"; the simulator does {row.simulator_hz / 1e6:.3g} MHz")
        )
    return lines


_RATES = ["to_device", "from_device"]


def _skipped_stages(frame: pd.DataFrame) -> list[str]:
    rows = frame[(frame["metric"] == "busy") & (frame["status"] == "skipped")]
    return [
        f"stages not run: {', '.join(group['stage'].unique())} ({reason})" for reason, group in rows.groupby("reason")
    ]
