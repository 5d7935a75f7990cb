"""A run as sections: what was found, chart by chart, and what is missing, each with the reason."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pandas as pd

from chaindp.measure.statistics import OUTLIER_RULE
from chaindp.measure.verdict import VERDICT_RULE
from chaindp.report import tables
from chaindp.report.charts.amdahl import amdahl_chart
from chaindp.report.charts.breakeven import break_even_charts
from chaindp.report.charts.comparison import comparison_chart
from chaindp.report.charts.kernels import rate_charts, stage_kernel_chart
from chaindp.report.charts.ladder import claim_chart, throughput_chart
from chaindp.report.charts.stages import stage_chart
from chaindp.report.charts.timeline import timeline_chart
from chaindp.report.devices import device_lines, device_table
from chaindp.report.headline import dig, facts, headline
from chaindp.report.parts import Chart, RunReport, Section, Table
from chaindp.report.sources import Run
from chaindp.report.tables import measured_levels, mode_of, skipped_mechanisms, stages_not_run
from chaindp.report.words import percent, ratio, text
from chaindp.results import breakeven, summary
from chaindp.results.kernels import INTERVAL_RULE

__all__ = ["run_report"]


def run_report(run: Run) -> RunReport:
    """Everything that the page says of one run."""
    kinds: dict[str, tuple[Callable[[Run], Section], ...]] = {
        "pipeline": (_ladder, _stages, _timeline, _stage_kernels, _amdahl, _break_even, _noise),
        "bench": (_rates,),
        "compare": (_comparisons, _rates),
    }
    sections = [make(run) for make in (*kinds[run.kind], _problems, _provenance)]
    return RunReport(run.label, run.title, headline(run), facts(run), sections)


def _ladder(run: Run) -> Section:
    measured = measured_levels(run)
    missing = [f"{name} is not in these figures: {reason}." for name, reason in skipped_mechanisms(run).items()]
    if not run.levels:
        return Section("ladder", "Claim and measurement", missing=["The table has no level of a pipeline run."])
    table = tables.ladder_table(run)
    if not measured:
        return Section(
            "ladder", "Claim and measurement", tables=[table], missing=["No level holds, so nothing was measured."]
        )
    charts = []
    if 0 in measured:
        charts.append(claim_chart(run))
    else:
        why = "failed" if 0 in run.levels else "is not in this run"
        missing.insert(
            0, f"Claims are against sequential performance, which is DP0's, and DP0 {why}: no claim is drawn."
        )
    charts.append(throughput_chart(run))
    lead = ["The claims are Pharos Network's, against sequential performance p, on its own hardware."]
    if mode_of(run) == "model":
        lead.append("Modelled: stage times are measured, their overlap is scheduled, not run.")
        lead += [line] if (line := tables.error_line(run)) else []
        lead += device_lines(run)
    notes = summary.explain(run.frame, run.ladder, run.stages, backends=False) if run.stages is not None else []
    return Section("ladder", "Claim and measurement", lead, charts, [table], notes, missing)


def _stages(run: Run) -> Section:
    not_run = [f"Stage {stage} did not run: {reason}." for stage, reason in stages_not_run(run).items()]
    if run.stages is None:
        return Section("stages", "Time in the stages", missing=[_nothing_holds(run), *not_run])
    lead = (
        "CPU time is what the stage's own thread ran; waiting is for the interpreter's lock, a core or the disk. "
        "Threads of a backend are in neither. admit is of the pass that has it, the others are of the pass after it."
    )
    found = [table for table in (tables.proof_table(run), tables.latency_table(run)) if table]
    return Section("stages", "Time in the stages", [lead], [stage_chart(run)], found, missing=not_run)


def _timeline(run: Run) -> Section:
    chart = timeline_chart(run)
    missing = [] if chart else ["No pass that holds has instants of its blocks, so there is no timeline."]
    return Section("timeline", "Blocks through the stages", charts=[chart] if chart else [], missing=missing)


def _stage_kernels(run: Run) -> Section:
    chart = stage_kernel_chart(run)
    if chart is None:
        return Section("kernels", "Kernels", missing=["No stage that holds called a kernel."])
    lead = ["From call to return, so a kernel that waits for a core waits in its own time. Transfer is counted apart."]
    device = device_table(run)
    lead += [*device_lines(run), tables.error_line(run)] if device else []
    return Section("kernels", "Kernels", lead, [chart], [device] if device else [])


def _amdahl(run: Run) -> Section:
    chart = amdahl_chart(run)
    if chart is None:
        why = "No level ran its kernels elsewhere than the levels below it, so there is no kernel speed-up to look at."
        return Section(
            "amdahl", "What faster kernels can give", missing=[why if measured_levels(run) else _nothing_holds(run)]
        )
    lead = tables.amdahl_notes(run)
    return Section("amdahl", "What faster kernels can give", lead, [chart])


def _break_even(run: Run) -> Section:
    title, missing = "What other backends gave, and from which batch size on", breakeven.why_not(run.frame)
    curves = breakeven.curves(run.frame)
    found = breakeven.break_even(run.frame, curves)
    costs = tables.kernel_cost_table(run)
    lead = [f"{line}." for line in summary.gain_lines(run.frame, costs=False)]
    if found:
        lead.append(f"Kernels alone, each call on fresh input, backends in turns. {breakeven.BREAK_EVEN}")
    shown = [costs] if costs else []
    shown += [tables.break_even_table(found)] if found else []
    return Section("breakeven", title, lead, break_even_charts(run, found, curves), shown, missing=_sentences(missing))


def _sentences(reasons: list[str]) -> list[str]:
    return [f"Break-even: {reason}." for reason in reasons]


def _noise(run: Run) -> Section:
    rows = run.verdicts[run.verdicts["ratio"].notna()]
    if rows.empty:
        return Section("noise", "Noise floor", missing=[tables.noise_line(run)])
    cells = []
    for row in rows.itertuples():
        interval = "-" if pd.isna(row.low) else f"{ratio(row.low)} to {ratio(row.high)}"
        judged = [text(row.verdict), ratio(row.ratio), interval, percent(row.noise_floor) or "-", text(row.reason)]
        cells.append([f"DP{row.level} over DP{row.over}", *judged])
    columns = ["level", "verdict", "speed-up", "99 % interval", "noise floor", "why"]
    if not any(row[-1] for row in cells):
        columns, cells = columns[:-1], [row[:-1] for row in cells]
    table = Table("Verdicts on the levels", columns, cells, columns[2:5])
    return Section("noise", "Noise floor", [tables.noise_line(run)], tables=[table])


def _nothing_holds(run: Run) -> str:
    return "No level holds, so nothing was measured." if not measured_levels(run) else "The table has no stage times."


def _rates(run: Run) -> Section:
    if run.kernel_rates.empty:
        return Section("kernels", "Kernels", missing=["No kernel has a sample that holds with its units of work."])
    lead = [
        f"Time for a unit of work, each sample on fresh input. Outliers are {OUTLIER_RULE}. Intervals: {INTERVAL_RULE}."
    ]
    lead += [line] if (line := tables.clock_line(run)) else []
    if run.kind == "bench":
        lead.append("Medians side by side are no verdict: chaindp compare gives one.")
    missing = (
        []
        if run.kind == "compare"
        else ["Noise floor: not measured: a bench has no second side. chaindp compare gives ratios with verdicts."]
    )
    return Section("kernels", "Kernels by backend", lead, rate_charts(run), [tables.rates_table(run)], missing=missing)


def _comparisons(run: Run) -> Section:
    if not run.comparisons:
        return Section("comparison", "Comparison", missing=["Nothing was compared; failures and skips are below."])
    chart = comparison_chart(run)
    floors = list(dict.fromkeys(str(row["floor_from"]) for row in run.comparisons if row.get("floor_from")))
    lead = [f"A verdict says {VERDICT_RULE}.", *(f"Noise floor: {floor}." for floor in floors)]
    missing = [] if chart else ["No comparison has a ratio to draw."]
    return Section(
        "comparison", "Comparison", lead, [chart] if chart else [], [tables.comparison_table(run)], missing=missing
    )


def _problems(run: Run) -> Section:
    table = tables.problem_table(run)
    missing = [] if table else ["Nothing failed and nothing was skipped."]
    return Section("problems", "Failures and skips", tables=[table] if table else [], missing=missing)


def _provenance(run: Run) -> Section:
    if not run.document:
        return Section("provenance", "Provenance", missing=["The table has no run.json beside it."])
    groups: list[tuple[str, Any]] = [
        ("Configuration", {key: value for key, value in run.document.items() if key not in _APART}),
        ("Machine and software", dig(run.document, "environment")),
        ("What the levels led to", run.document.get("levels")),
    ]
    found = [
        Table(title, ["what", "value"], list(_flat(value)), folded=True)
        for title, value in groups
        if isinstance(value, dict)
    ]
    lead = [_HOW[run.kind]]
    return Section("provenance", "Provenance", lead, tables=[table for table in found if table.rows])


_APART = ("environment", "levels", "rows", "failures")

_HOW = {
    "pipeline": (
        "Every level and repetition sends fresh transactions twice through a fresh store, once with admit and once "
        "after it, in an order that changes. Every kernel's output is compared with another implementation's, and all "
        "levels must reach the same roots; figures are medians over the repetitions."
    ),
    "bench": (
        "Backends take turns in an order that changes, every repetition on fresh input. Every output is compared in "
        "full; figures are medians."
    ),
    "compare": (
        "Sides are measured in interleaved pairs, beside a second A, and every ratio stands against what equal sides "
        "show. Outputs are compared; outliers are labelled and kept."
    ),
}


def _flat(value: Mapping[str, Any], prefix: str = "") -> Iterator[list[str]]:
    """Nested objects as rows of dotted name and value; what is not known says so."""
    for key, item in value.items():
        name = f"{prefix}{key}"
        if isinstance(item, Mapping):
            yield from _flat(item, f"{name}.")
        elif isinstance(item, list):
            yield [name, ", ".join(part if isinstance(part, str) else json.dumps(part) for part in item) or "none"]
        elif item is None:
            yield [name, "not known"]
        else:
            yield [name, item if isinstance(item, str) else json.dumps(item)]


def charts_of(report: RunReport) -> Iterator[tuple[str, Chart]]:
    """Every chart with a name that is its own within the run."""
    for section in report.sections:
        for index, chart in enumerate(section.charts):
            yield f"{section.name}-{index}", chart
