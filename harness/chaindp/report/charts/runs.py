"""Several pipeline runs over the same workload on one axis: throughput by level."""

from __future__ import annotations

from collections.abc import Sequence

from bokeh.models import ColumnDataSource, NumeralTickFormatter

from chaindp.report.charts.figures import ROW, add_hover, chart_figure, label_rows, plain, whiskers
from chaindp.report.palette import OKABE_ITO
from chaindp.report.parts import Chart, Key, Table
from chaindp.report.sources import Run
from chaindp.report.tables import measured_levels, mode_of
from chaindp.report.words import count, percent
from chaindp.results.model_error import error_note, worst_error

__all__ = ["runs_charts"]


def runs_charts(runs: Sequence[Run]) -> list[Chart]:
    """A chart for each workload and mode that two or more runs have; live and modelled throughput never share one."""
    groups: dict[tuple[str, str], list[Run]] = {}
    for run in runs:
        if run.kind == "pipeline" and run.ladder is not None:
            groups.setdefault((run.workload, mode_of(run)), []).append(run)
    return [_chart(workload, mode, group) for (workload, mode), group in groups.items() if len(group) > 1]


def _chart(workload: str, mode: str, runs: Sequence[Run]) -> Chart:
    levels = sorted({level for run in runs for level in measured_levels(run)})
    top = max(rung.tps_high for run in runs for rung in measured_levels(run).values())
    picture = chart_figure(
        70 + (ROW + 12 * len(runs)) * len(levels),
        "transactions a second, without admit",
        x_range=(0, top * 1.05),
        y_range=(-len(levels) + 0.4, 0.6),
    )
    picture.xaxis.formatter = NumeralTickFormatter(format="0,0")
    label_rows(picture, {float(-index): f"DP{level}" for index, level in enumerate(levels)})
    titles = [run.title for run in runs]
    # Two runs of one second are told apart by their ids.
    names = [run.title if titles.count(run.title) == 1 else f"{run.title}, {run.label}" for run in runs]
    rows, legend = [], []
    for index, run in enumerate(runs):
        measured = measured_levels(run)
        offset = 0.0 if len(runs) == 1 else 0.22 - 0.44 * index / (len(runs) - 1)
        mine = [level for level in levels if level in measured]
        colour = OKABE_ITO[index % len(OKABE_ITO)]
        source = ColumnDataSource(
            {
                "y": [offset - levels.index(level) for level in mine],
                "tps": [measured[level].tps for level in mine],
                "low": [measured[level].tps_low for level in mine],
                "high": [measured[level].tps_high for level in mine],
                "level": [f"DP{level}" for level in mine],
                "run": [plain(names[index])] * len(mine),
            }
        )
        whiskers(picture, source, "y", colour=colour, width=2)
        dots = picture.scatter(x="tps", y="y", source=source, size=9, color=colour)
        add_hover(picture, [dots], [("run", "@run"), ("level", "@level"), ("tx/s", "@tps{0,0}")])
        legend.append(Key(names[index], colour, "dot"))
        row = [names[index], *(count(measured[level].tps) if level in measured else "" for level in levels)]
        if mode == "model":
            worst = worst_error(run.frame, metrics=("model_error",))
            row.append(percent(worst) or "not checked")
            legend[-1] = Key(f"{names[index]} ({error_note(run.frame, metrics=('model_error',))})", colour, "dot")
        rows.append(row)
    columns = ["run", *(f"DP{level}, tx/s" for level in levels), *(["worst model error"] if mode == "model" else [])]
    title = f"{workload}, {mode} mode: throughput of {len(runs)} runs"
    quantity = "transactions a second, median, slowest to fastest repetition; for a verdict, chaindp compare"
    return Chart(title, quantity, picture, legend, Table(title, columns, rows, columns[1:]), wide=True)
