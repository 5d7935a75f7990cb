"""Comparisons as a forest: each ratio with its interval, over the noise floor that it has to leave."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bokeh.models import ColumnDataSource, Span

from chaindp.report.charts.figures import (
    INK,
    ROW,
    add_hover,
    add_labels,
    chart_figure,
    label_rows,
    plain,
    short,
    whiskers,
)
from chaindp.report.palette import GREY, LIGHT_GREY, VERDICT_COLOURS
from chaindp.report.parts import Chart, Key
from chaindp.report.sources import Run
from chaindp.report.tables import interval_of, named, verdict_of, what_of
from chaindp.report.words import percent, ratio

__all__ = ["comparison_chart"]


def comparison_chart(run: Run) -> Chart | None:
    """The speed of B over that of A, a row a comparison; None where no comparison has a ratio."""
    rows = [row for row in run.comparisons if _drawable(row)]
    if not rows:
        return None
    floors = [float(row.get("noise_floor") or 0.0) for row in rows]
    # Of too few samples there is a ratio alone.
    lows, highs = ([row["ratio"] if row.get(end) is None else row[end] for row in rows] for end in ("low", "high"))
    ends = [*lows, *highs, *(row["ratio"] for row in rows)]
    ends += [1.0 + floor for floor in floors] + [1.0 / (1.0 + floor) for floor in floors]
    reach = max(max(ends), 1.0 / min(ends), 1.02) ** 1.12
    position = [-2.0 * index for index in range(len(rows))]
    picture = chart_figure(
        70 + int(2 * 0.8 * ROW * len(rows)),
        "speed of B over that of A (log scale)",
        x_range=(1 / reach, reach),
        y_range=(position[-1] - 0.9, 1.5),
        log=True,
    )
    label_rows(picture, {})
    picture.yaxis.visible = False
    source = ColumnDataSource(
        {
            "y": position,
            "ratio": [row["ratio"] for row in rows],
            "low": lows,
            "high": highs,
            "interval": [interval_of(row) for row in rows],
            "left": [1.0 / (1.0 + floor) for floor in floors],
            "right": [1.0 + floor for floor in floors],
            "colour": [VERDICT_COLOURS.get(str(row.get("verdict")), GREY) for row in rows],
            "what": [plain(what_of(row)) for row in rows],
            "verdict": [verdict_of(row) for row in rows],
            "text": [f"{short(what_of(row), 40)}: {ratio(row['ratio'])}, {verdict_of(row)}" for row in rows],
            "x": [1 / reach] * len(rows),
            "heading": [y + 0.45 for y in position],
        }
    )
    picture.hbar(y="y", left="left", right="right", height=0.9, source=source, color=LIGHT_GREY)
    picture.add_layout(Span(location=1.0, dimension="height", line_color=GREY, line_width=1))
    whiskers(picture, source, "y", colour="colour", width=3)
    dots = picture.scatter(x="ratio", y="y", source=source, size=10, color="colour", line_color="white")
    # Nothing shines through: the line at 1 would cross the words of a narrow picture.
    add_labels(picture, source, "x", "heading", "text", x_offset=4, size=11, background_fill_alpha=1.0)
    tips = [("what", "@what"), ("ratio", "@ratio{0.000}"), ("interval", "@interval")]
    add_hover(picture, [dots], [*tips, ("verdict", "@verdict")])
    legend = [
        Key("faster", VERDICT_COLOURS["faster"], "dot"),
        Key("slower", VERDICT_COLOURS["slower"], "dot"),
        Key("no difference, or insufficient data", GREY, "dot"),
        Key("99 % interval", INK, "line"),
        Key("noise floor", LIGHT_GREY, "band"),
    ]
    said = [verdict_of(row) for row in run.comparisons]
    title = ", ".join(f"{said.count(word)} {word}" for word in dict.fromkeys(said))
    sides = {(str(row["a"]), str(row["b"])) for row in rows}
    if len(sides) == 1:
        a, b = next(iter(sides))
        title = f"{named(run, b)} (B) against {named(run, a)} (A): {title}"
    quantity = f"speed of B over that of A; right of 1, B is faster; noise floor up to {percent(max(floors))}"
    quantity += f"; {left} without a ratio in the table only" if (left := len(run.comparisons) - len(rows)) else ""
    return Chart(title, quantity, picture, legend, wide=True)


def _drawable(row: Mapping[str, Any]) -> bool:
    return row.get("ratio") is not None
