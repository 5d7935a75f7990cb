"""The tables of a report, for the page and for Markdown alike: text in cells, one function a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from chaindp.measure.device_clock import DISAGREEMENT_RULE
from chaindp.measure.verdict import MINIMUM_ROUNDS, VERDICT_RULE
from chaindp.pipeline.levels import LEVELS, MECHANISMS
from chaindp.report.claims import claim_of
from chaindp.report.devices import MODELLED_STAGES, device_lines
from chaindp.report.parts import Table
from chaindp.report.sources import Run
from chaindp.report.words import count, duration, figure, percent, plural, plural_of, ratio, text
from chaindp.results.breakeven import BreakEven
from chaindp.results.kernels import disagreements
from chaindp.results.model_error import checked_on, worst_error
from chaindp.results.proofs import HOST, PARTS, block_proofs
from chaindp.results.summary import LATENCIES, STAGES, kernel_costs

__all__ = [
    "adds",
    "amdahl_notes",
    "amdahl_table",
    "break_even_curve_table",
    "break_even_table",
    "clock_line",
    "comparison_table",
    "error_line",
    "interval_of",
    "kernel_cost_table",
    "ladder_table",
    "latency_table",
    "level_ranges",
    "measured_levels",
    "mode_of",
    "named",
    "noise_floor_of",
    "noise_line",
    "problem_table",
    "proof_table",
    "rates_table",
    "skipped_mechanisms",
    "stage_details",
    "stage_kernel_table",
    "stage_table",
    "stages_not_run",
    "verdict_of",
    "what_of",
]


def measured_levels(run: Run) -> dict[int, Any]:
    """The rows of the ladder by level, as named tuples; empty where nothing holds."""
    return {} if run.ladder is None else {int(rung.level): rung for rung in run.ladder.itertuples()}


def mode_of(run: Run) -> str:
    """``live`` or ``model``: how throughput came about."""
    return "live" if run.ladder is None else str(run.ladder["mode"].iloc[0])


def adds(run: Run, level: int) -> list[str]:
    """What a level has on that the one below it in the run has not, and what of its own is not on."""
    on, off = run.mechanisms_of(level)
    below = [number for number in run.levels if number < level]
    before = set(run.mechanisms_of(below[-1])[0]) if below else set()
    own = {mechanism.name for mechanism in MECHANISMS if mechanism.level == level}
    parts = [name for name in on if name not in before]
    return parts + [f"without {name}" for name in off if name in own]


def skipped_mechanisms(run: Run) -> dict[str, str]:
    """Every mechanism that was off at a level that has it, with the reason."""
    return {name: reason for level in run.levels for name, reason in run.mechanisms_of(level)[1].items()}


def stages_not_run(run: Run) -> dict[str, str]:
    """Stages that the run left out, with the reason."""
    rows = run.frame[(run.frame["metric"] == "busy") & (run.frame["status"] == "skipped") & run.frame["stage"].notna()]
    return dict(zip(rows["stage"].astype(str), rows["reason"].astype(str), strict=True))


def ladder_table(run: Run) -> Table:
    """Claim against measurement, level by level; levels that failed are rows too."""
    measured = measured_levels(run)
    verdicts = {int(row.level): row for row in run.verdicts.itertuples()}
    base = run.lowest or 0
    over = "p" if base == 0 else f"x DP{base}"
    modelled = mode_of(run) == "model"
    word = "modelled" if modelled else "measured"
    columns = ["level", "claim", f"{word}, {over}", "verdict", "tx/s", "slowest", "fastest", "tx/s with admit"]
    columns += [f"with admit, {over}", *(["model error", "model error, with admit"] if modelled else []), "adds"]
    rows = []
    for level in run.levels:
        name, claim, extra = f"DP{level}", claim_of(level).text, "; ".join(adds(run, level)) or LEVELS[level].title
        if level not in measured:
            rows.append([name, claim, "failed", *[""] * (len(columns) - 4), extra])
            continue
        rung, verdict = measured[level], verdicts.get(level)
        judged = "" if verdict is None else text(verdict.verdict)
        row = [name, claim, ratio(rung.speedup), judged, count(rung.tps), count(rung.tps_low), count(rung.tps_high)]
        row += [count(rung.tps_with_admit), ratio(rung.speedup_with_admit)]
        errors = [_error(rung, "model_error"), _error(rung, "model_error_with_admit")] if modelled else []
        rows.append([*row, *errors, extra])
    repetitions = max((rung.repetitions for rung in measured.values()), default=0)
    title = f"The ladder: medians, slowest and fastest of {plural(repetitions, 'repetition')}"
    return Table(title, columns, rows, [name for name in columns if name not in ("level", "verdict", "adds")])


def _error(rung: Any, name: str) -> str:
    """The median of the model's error, and the smallest and the largest of several repetitions."""
    middle, low, high = (getattr(rung, f"{name}{part}") for part in ("", "_low", "_high"))
    spread = f" ({percent(low)} to {percent(high)})" if rung.repetitions > 1 and not pd.isna(middle) else ""
    return percent(middle) + spread


def error_line(run: Run) -> str:
    """How far the model is off, in a sentence; what it was checked with, where a device was simulated, and on what."""
    if run.ladder is None or mode_of(run) != "model":
        return ""
    worst = worst_error(run.frame)
    if worst is None:
        return "The model was not checked against live passes: the table has no model error."
    line = f"Against live passes over the same blocks, the model is off by at most {percent(abs(worst))}."
    where = checked_on(run.frame)
    line += f" It was checked {where}." if where else ""
    checked = [f"DP{rung.level} with {rung.model_checked}" for rung in run.ladder.itertuples() if rung.model_checked]
    return line + (f" Checked {', '.join(checked)}: of a device that is not there, no pass is live." if checked else "")


def noise_floor_of(run: Run) -> float | None:
    """The noise floor of a pipeline run, as a share; None where it was not measured."""
    floors = [float(value) for value in run.verdicts["noise_floor"] if value is not None and value == value]
    return max(floors, default=None)


def noise_line(run: Run) -> str:
    """The noise floor in a sentence, or why there is none."""
    floor = noise_floor_of(run)
    if floor is not None:
        return (
            f"Noise floor: {percent(floor)}. So far apart are two equal passes of DP{run.lowest} on this machine, at "
            f"that moment. A verdict says {VERDICT_RULE}."
        )
    if run.verdicts.empty:
        return "Noise floor: not measured: no level holds. Speed-ups have no verdict."
    # The baseline's row has a reason of its own, why it has no verdict, which is none why there is no floor.
    others = run.verdicts[run.verdicts["level"] != run.verdicts["over"]]
    reasons = [text(reason) for reason in others["reason"] if text(reason)]
    if not reasons:
        rounds = run.verdicts["rounds"].dropna()
        few = f"{plural(int(rounds.max()), 'round')}, and it takes {MINIMUM_ROUNDS}" if len(rounds) else ""
        reasons = [few or text(run.verdicts["reason"].iloc[0])]
    return f"Noise floor: {reasons[0]}. Speed-ups have no verdict."


def stage_table(run: Run) -> Table | None:
    """A row a level, a column a stage: time from start to end, and CPU time, in us a transaction."""
    if run.stages is None:
        return None
    times = run.stages
    present = [stage for stage in STAGES if (times["stage"] == stage).any()]
    rows = []
    for level, group in times.groupby("level"):
        by_stage = group.set_index("stage")
        cells = [_pair(by_stage.loc[[stage]]) if stage in by_stage.index else "" for stage in present]
        rows.append([f"DP{level}", *cells, _pair(by_stage.drop(index="admit", errors="ignore"))])
    columns = ["level", *present, "all but admit"]
    title = "Stages, us a transaction: from start to end / CPU time"
    title += MODELLED_STAGES if (times["time_domain"] == "modelled").any() else ""
    return Table(title, columns, rows, columns[1:])


def _pair(rows: pd.DataFrame) -> str:
    """Of stages together: from start to end, marked where modelled time is in it, and CPU time."""
    mark = "*" if (rows["time_domain"] == "modelled").any() else ""
    busy, cpu = (rows[name].sum() / 1e3 for name in ("busy_ns_per_tx", "cpu_ns_per_tx"))
    return f"{busy:,.1f}{mark} / {cpu:,.1f}"


def stage_details(run: Run) -> Table:
    """A row a level and stage, with everything that is known of it."""
    assert run.stages is not None
    columns = ["level", "stage", "CPU, us/tx", "waiting, us/tx", "network, us/tx", "share of CPU", "busy", "backend"]
    rows = []
    for row in run.stages.itertuples():
        waiting = max(0.0, row.busy_ns_per_tx - row.cpu_ns_per_tx)
        figures = [figure(ns / 1e3) for ns in (row.cpu_ns_per_tx, waiting, row.wait_ns_per_tx)]
        if row.time_domain == "modelled":
            figures[1] += "*"
        backend = text(row.backend)
        rows.append([f"DP{row.level}", row.stage, *figures, percent(row.share), percent(row.utilization), backend])
    title = "Stages in figures" + (MODELLED_STAGES if (run.stages["time_domain"] == "modelled").any() else "")
    return Table(title, columns, rows, columns[2:-1])


def latency_table(run: Run) -> Table | None:
    """Latencies p50 and p99 by level; None where the run has none."""
    waits = run.latencies
    if not len(waits):
        return None
    present = [kind for kind in LATENCIES if (waits["latency"] == kind).any()]
    domains = {kind: waits[waits["latency"] == kind]["time_domain"].iloc[0] for kind in present}
    columns = ["level"]
    for kind in present:
        columns += [f"{kind}{' (modelled)' if domains[kind] == 'modelled' else ''} {part}" for part in ("p50", "p99")]
    rows = []
    for level, group in waits.groupby("level"):
        by_kind = group.set_index("latency")
        cells = [
            duration(by_kind[column][kind]) if kind in by_kind.index else ""
            for kind in present
            for column in ("p50_ns", "p99_ns")
        ]
        rows.append([f"DP{level}", *cells])
    title = "Latency: of consensus on the simulated network (order); of a block from its ordering on (the others)"
    return Table(title, columns, rows, columns[1:], folded=True)


def proof_table(run: Run) -> Table | None:
    """A block's STARKs by level: bytes, and where the time went; None where the blocks ask for none."""
    proofs = block_proofs(run.frame)
    if not len(proofs):
        return None
    modelled = (proofs["time_domain"] == "modelled").any()
    parts = (*PARTS, "verify")
    columns = ["level", "backend", "proofs", "bytes"]
    columns += [f"{part} (modelled)" if modelled and part not in HOST else part for part in parts]
    rows = [
        [
            f"DP{row['level']}",
            str(row["backend"]),
            f"{row['proofs']:,.1f}",
            f"{row['bytes']:,.0f}",
            *(duration(row[part]) for part in parts),
        ]
        for row in proofs.to_dict("records")
    ]
    return Table(
        "STARKs, a block: where the time of making them went, and of verifying them", columns, rows, columns[2:]
    )


def stage_kernel_table(run: Run) -> Table:
    """A row a level, stage and kernel of a pipeline run."""
    columns = ["level", "stage", "kernel", "backend", "compute, us/tx", "fastest to slowest"]
    columns += ["transfer, us/tx", "transfer, fastest to slowest"]
    rows = []
    for row in run.stage_kernels.itertuples():
        modelled = " (modelled)" if row.time_domain == "modelled" else ""
        cells = [f"DP{row.level}", row.stage, row.kernel, text(row.backend) + modelled]
        for name in ("compute", "transfer"):
            middle, low, high = (getattr(row, name + part) / 1e3 for part in ("", "_low", "_high"))
            cells += [figure(middle), f"{figure(low)} to {figure(high)}"]
        rows.append(cells)
    return Table("Kernels within the stages, us a transaction", columns, rows, columns[4:])


def rates_table(run: Run, rates: pd.DataFrame | None = None) -> Table:
    """A row a kernel, size and backend of a bench or comparison: time for a unit of work, with its interval."""
    columns = ["kernel", "size", "backend", "compute", "interval", "transfer", "unit", "samples", "outliers", "domain"]
    said = disagreements(run.frame)
    rows = []
    for row in (run.kernel_rates if rates is None else rates).itertuples():
        interval = f"{figure(row.compute_low, 4)} to {figure(row.compute_high, 4)}" if row.samples > 1 else "one sample"
        cells = [str(row.kernel), str(row.size), named(run, str(row.backend)), figure(row.compute, 4), interval]
        cells += [figure(row.transfer), f"{row.unit}/{row.work_unit}", count(row.samples), count(row.outliers)]
        domain = text(row.time_domain)
        rows.append([*cells, domain, said.get((str(row.workload), str(row.backend), domain), "")])
    if any(row[-1] for row in rows):
        columns = [*columns, "clocks disagree"]
    else:
        rows = [row[:-1] for row in rows]
    return Table("Kernels, time for a unit of work", columns, rows, columns[3:6] + columns[7:9])


def clock_line(run: Run) -> str:
    """What has to be known to read figures by another clock than the wall's; empty where the run has none."""
    domains = set(run.kernel_rates["time_domain"])
    lines = []
    if "device" in domains:
        lines.append(
            f"Time domain device: by the device's own clock, from events. Clocks disagree: {DISAGREEMENT_RULE}."
        )
    if domains & {"cycles", "modelled"}:
        lines.append(
            "Time domain cycles: of a simulation, exact; samples differ by their input alone. Time domain modelled: "
            "these cycles on a platform that is stated, which nothing was measured on."
        )
        lines += device_lines(run)
    return " ".join(lines)


def comparison_table(run: Run) -> Table:
    """The rows of a comparison: B over A, with interval, noise floor and verdict."""
    # What a reader looks for comes first: a narrow window shows the left of a table.
    columns = ["what", "verdict", "speed, B / A", "99 % interval", "noise floor", "A", "B", "A, median"]
    columns += ["B, median", "unit", "samples", "why"]
    rows = []
    for row in run.comparisons:
        cells = [what_of(row), verdict_of(row), ratio(row.get("ratio")) or "-", interval_of(row)]
        cells += [percent(row.get("noise_floor")) or "-", *(named(run, str(row[side])) for side in ("a", "b"))]
        cells += [figure(row.get("a_median"), 4) or "-", figure(row.get("b_median"), 4) or "-"]
        cells += [str(row.get("unit") or ""), f"{count(row.get('samples_a'))} / {count(row.get('samples_b'))}"]
        rows.append([*cells, str(row.get("reason") or "")])
    if not any(row[-1] for row in rows):
        columns, rows = columns[:-1], [row[:-1] for row in rows]
    return Table("Comparisons", columns, rows, columns[2:5] + columns[7:9])


def verdict_of(row: Mapping[str, Any]) -> str:
    """The verdict of a comparison in words."""
    return str(row.get("verdict") or "not judged")


def interval_of(row: Mapping[str, Any]) -> str:
    """The interval of a comparison's ratio; a dash where too few samples gave none."""
    if row.get("low") is None or row.get("high") is None:
        return "-"
    return f"{ratio(row['low'])} to {ratio(row['high'])}"


def named(run: Run, side: str) -> str:
    """A side of a comparison as it is called; of a revision whose name does not say it, with the commit."""
    commits = run.document.get("revisions")
    if not isinstance(commits, list) or len(commits) != 2:
        return side
    sides = [str(run.document.get(name)) for name in ("a", "b")]
    commit = commits[sides.index(side)] if side in sides else None
    if not isinstance(commit, str) or commit[:7] in side:
        return side
    return f"{side} ({commit[:7]})"


def what_of(row: Mapping[str, Any]) -> str:
    """What a comparison is of, in short: the metric is named where it is not the time for a unit of work."""
    metric = str(row["metric"])
    named = {"ns_per_unit": "", "ns_per_unit_with_transfer": ", with transfer"}
    return str(row["what"]) + named.get(metric, f", {metric}")


def amdahl_table(run: Run) -> Table:
    """Share, kernel speed-up, transfer, prediction, measurement and ceiling, by level, baseline and stage."""
    columns = ["level over", "stage", "kernels ran on", "kernel share", "kernel speed-up", "transfer"]
    columns += ["predicted", f"{'modelled' if mode_of(run) == 'model' else 'measured'}, with admit", "ceiling"]
    rows = []
    for row in run.amdahl.itertuples():
        modelled = " (modelled)" if row.time_domain == "modelled" else ""
        moved = f"{row.backend_from}, then {row.backend_to}{modelled}"
        cells = [f"DP{row.level} over DP{row.baseline}", row.stage, moved]
        cells += [percent(row.share), ratio(row.kernel_speedup) + ("*" if row.overlap else ""), percent(row.transfer)]
        rows.append([*cells, ratio(row.predicted), ratio(row.measured), ratio(row.ceiling)])
    return Table("Kernel share, speed-up and ceiling", columns, rows, columns[3:])


def amdahl_notes(run: Run) -> list[str]:
    """What has to be known to read ``amdahl_table``."""
    notes = [
        (
            "Kernel share is of the baseline's stage time, one stage after another. The prediction changes the kernels "
            "and nothing else; the measurement, of tx/s with admit, has in it all that the level switches on."
        )
    ]
    if run.amdahl["overlap"].any():
        notes.append(
            "* Blocks overlap at this level and not at its baseline: its kernels also wait for a core, so the kernel "
            "speed-up is a lower bound."
        )
    if (run.amdahl["time_domain"] == "modelled").any():
        notes.append(
            "Modelled: the kernel speed-up is of measured time over the modelled time of a device that is simulated: "
            "what the model gives, and no hardware was measured to give."
        )
    floor = noise_floor_of(run)
    if floor is None:
        notes.append("No noise floor was measured: what is between prediction and measurement may be noise.")
    else:
        notes.append(
            f"Noise floor: {percent(floor)}, of tx/s without admit: a prediction and a measurement that are no further "
            "apart say nothing against each other."
        )
    return notes


def kernel_cost_table(run: Run) -> Table | None:
    """What the kernels took at a level with backends that were asked for, and at the level below; None without one."""
    columns = ["level", "stage", "backend", "compute, us/tx", "transfer, us/tx", "level below", "backend there"]
    columns += ["compute there, us/tx", "transfer there, us/tx"]
    rows = []
    for row in kernel_costs(run.frame).itertuples():
        modelled = " (modelled)" if row.time_domain == "modelled" else ""
        cells = [f"DP{row.level}", str(row.stage), text(row.backend) + modelled, figure(row.compute / 1e3)]
        cells += [figure(row.transfer / 1e3), f"DP{row.below}", text(row.backend_below)]
        rows.append([*cells, figure(row.compute_below / 1e3), figure(row.transfer_below / 1e3)])
    title = (
        "What the stages' kernels took where they were moved, and at the level below (wall time, from call to return, "
        "where it is not called modelled)"
    )
    return Table(title, columns, rows, [name for name in columns if name.endswith("us/tx")]) if rows else None


def break_even_table(found: Sequence[BreakEven]) -> Table:
    """A row a kernel and backend: where the medians cross, from where on it wins clear of noise, the run's batches."""
    columns = ["kernel", "backend", "against", "medians cross at", "wins, clear of noise, from", "measured", "unit"]
    columns += ["batches of the run", "speed at the sizes around them"]
    rows = []
    for result in found:
        cells = [result.kernel, result.backend, result.against]
        for size in (result.wins_from, result.clear_from):
            only = size is not None and result.rests_on_largest(size)
            cells.append((count(size) or "nowhere") + (" (largest measured)" if only else ""))
        cells.append(f"{count(result.sizes[0])} to {count(result.sizes[-1])}")
        here = [f"{part.stage} {count(part.typical)}" for part in result.batches]
        around = [f"{ratio(speed)} at {count(size)}" for size, speed in result.around]
        rows.append([*cells, result.unit, ", ".join(here) or "not known", ", ".join(around)])
    return Table("Break-even, in units of work a call", columns, rows, columns[3:5])


def break_even_curve_table(result: BreakEven, curve: pd.DataFrame) -> Table:
    """A row a measured batch size; ``curve``: the rows of ``chaindp.results.breakeven.curves`` that it is of."""
    sides = {"backend": result.backend, "against": result.against}
    columns = ["batch", *(f"{name}, {what}" for name in sides.values() for what in ("with transfer", "quartiles"))]
    columns += [f"{name}, compute" for name in sides.values()] + ["speed", "99 % interval", "speed of compute"]
    rows = []
    for row in curve.itertuples():
        cells = [count(row.size)]
        for side in sides:
            low, high = (figure(getattr(row, f"{side}_call_{part}")) for part in ("q1", "q3"))
            cells += [figure(getattr(row, f"{side}_call")), f"{low} to {high}"]
        cells += [figure(row.backend_compute), figure(row.against_compute), ratio(row.ratio)]
        rows.append([*cells, f"{ratio(row.ratio_low)} to {ratio(row.ratio_high)}", ratio(row.ratio_compute)])
    return Table(f"{result.kernel}, ns a {result.unit} by {plural_of(result.unit)} a call", columns, rows, columns)


def problem_table(run: Run) -> Table | None:
    """What failed and what was skipped, with the reasons; None where there is nothing."""
    if run.problems.empty:
        return None
    rows = [
        [row.status, str(row.what), str(row.reason), level_ranges(row.levels), str(row.backend), count(row.rows)]
        for row in run.problems.itertuples()
    ]
    columns = ["status", "what", "reason", "levels", "backend", "rows"]
    said = run.problems["status"].value_counts()
    title = ", ".join(f"{said[status]} {status}" for status in ("failed", "skipped") if status in said)
    return Table(title, columns, rows, ["rows"])


def level_ranges(levels: list[int]) -> str:
    """``[1, 2, 3, 5]`` as ``DP1-DP3, DP5``."""
    parts: list[list[int]] = []
    for level in levels:
        if parts and level == parts[-1][-1] + 1:
            parts[-1].append(level)
        else:
            parts.append([level])
    return ", ".join(f"DP{part[0]}" if len(part) == 1 else f"DP{part[0]}-DP{part[-1]}" for part in parts)
