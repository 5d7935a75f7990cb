"""Amdahl's curve: what a chain gains from faster kernels, where it stands on that curve, and where the curve ends."""

from __future__ import annotations

from typing import Any

import numpy as np
from bokeh.models import ColumnDataSource, Span

from chaindp.report.charts.figures import ROW, add_hover, chart_figure
from chaindp.report.palette import OKABE_ITO
from chaindp.report.parts import Chart, Key
from chaindp.report.sources import Run
from chaindp.report.tables import amdahl_table
from chaindp.report.words import percent, ratio
from chaindp.results.amdahl import ALL_STAGES, AMDAHL_FORMULA, speedup_with

__all__ = ["amdahl_chart"]


def amdahl_chart(run: Run) -> Chart | None:
    """One curve a level and baseline; None where no level has its kernels elsewhere than a lower one."""
    table = run.amdahl
    if table.empty:
        return None
    rows = list(table[table["stage"] == ALL_STAGES].itertuples())
    finite = [row.kernel_speedup for row in rows if np.isfinite(row.kernel_speedup)]
    left, right = min([0.5, *(0.7 * value for value in finite)]), max([100.0, *(3 * value for value in finite)])
    speeds = np.geomspace(left, right, 120)
    heights = [value for row in rows for value in (row.predicted, row.measured, row.ceiling) if np.isfinite(value)]
    curves = {
        index: np.array([speedup_with(row.share, speed, row.transfer) for speed in speeds])
        for index, row in enumerate(rows)
    }
    bottom = min([0.95, *(0.97 * value for value in heights), *(0.97 * curve.min() for curve in curves.values())])
    picture = chart_figure(
        90 + 9 * ROW,
        "kernel speed-up (log scale)",
        x_range=(left, right),
        y_range=(bottom, max([1.05, *heights]) * 1.04),
        log=True,
        y_label="end-to-end speed-up, with admit",
    )
    picture.add_layout(Span(location=1.0, dimension="width", line_color="#BBBBBB", line_width=1))
    legend = []
    for index, row in enumerate(rows):
        colour = OKABE_ITO[index % len(OKABE_ITO)]
        picture.line(speeds, curves[index], line_color=colour, line_width=2)
        if np.isfinite(row.ceiling):
            picture.add_layout(
                Span(location=row.ceiling, dimension="width", line_color=colour, line_dash="dashed", line_width=1.5)
            )
        _points(picture, row, colour, right)
        legend.append(Key(f"DP{row.level} over DP{row.baseline}", colour, "line"))
    legend += [
        Key("predicted", "#333333", "dot"),
        Key("measured in tx/s with admit, with the level's other mechanisms", "#333333", "diamond"),
        Key("ceiling", "#333333", "dash"),
    ]
    last = rows[-1]
    title = (
        f"The kernels that DP{last.level} moves are {percent(last.share)} of DP{last.baseline}'s stage time: "
        f"for nothing, they would give {ratio(last.ceiling)} times its speed"
    )
    quantity = f"end-to-end speed-up of the pass with admit, by kernel speed-up; {AMDAHL_FORMULA}"
    return Chart(title, quantity, picture, legend, amdahl_table(run), True)


def _points(picture: Any, row: Any, colour: str, right: float) -> None:
    """Where the level stands: predicted on the curve, measured above or below it."""
    speed = min(row.kernel_speedup, right)
    data = {"x": [speed], "who": [f"DP{row.level} over DP{row.baseline}"], "speed": [row.kernel_speedup]}
    for value, marker, what in ((row.predicted, "circle", "predicted"), (row.measured, "diamond", "measured")):
        if np.isfinite(value):
            source = ColumnDataSource(data | {"y": [value], "what": [what]})
            mark = picture.scatter(
                x="x",
                y="y",
                source=source,
                marker=marker,
                size=14 if marker == "circle" else 20,
                fill_color=colour,
                line_color="white",
            )
            add_hover(picture, [mark], [("who", "@who"), ("what", "@what @y{0.000}"), ("kernels", "@speed{0.00}")])
