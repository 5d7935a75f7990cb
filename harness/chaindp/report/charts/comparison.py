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
from chaindp.report.palette import BLUE, GREY, LIGHT_GREY, VERDICT_COLOURS, VERMILION
from chaindp.report.parts import Chart, Key
from chaindp.report.sources import Run
from chaindp.report.tables import what_of
from chaindp.report.words import percent, ratio

__all__ = ["comparison_chart"]


def comparison_chart(run: Run) -> Chart | None:
    """The speed of B over that of A, a row a comparison; None where no comparison has a ratio."""
    rows = [row for row in run.comparisons if _drawable(row)]
    if not rows:
        return None
    floors = [float(row.get("noise_floor") or 0.0) for row in rows]
    ends = [end for row in rows for end in (row["low"], row["high"], row["ratio"])]
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
            "low": [row["low"] for row in rows],
            "high": [row["high"] for row in rows],
            "left": [1.0 / (1.0 + floor) for floor in floors],
            "right": [1.0 + floor for floor in floors],
            "colour": [VERDICT_COLOURS.get(str(row.get("verdict")), GREY) for row in rows],
            "what": [plain(what_of(row)) for row in rows],
            "verdict": [str(row.get("verdict") or "not judged") for row in rows],
            "text": [
                f"{short(what_of(row), 26)}: {ratio(row['ratio'])}, {row.get('verdict') or 'not judged'}"
                for row in rows
            ],
            "x": [1 / reach] * len(rows),
            "heading": [y + 0.45 for y in position],
        }
    )
    picture.hbar(y="y", left="left", right="right", height=0.9, source=source, color=LIGHT_GREY)
    picture.add_layout(Span(location=1.0, dimension="height", line_color=GREY, line_width=1))
    whiskers(picture, source, "y", colour="colour", width=3)
    dots = picture.scatter(x="ratio", y="y", source=source, size=10, color="colour", line_color="white")
    add_labels(picture, source, "x", "heading", "text", x_offset=4)
    tips = [("what", "@what"), ("ratio", "@ratio{0.000}"), ("interval", "@low{0.000} to @high{0.000}")]
    add_hover(picture, [dots], [*tips, ("verdict", "@verdict")])
    legend = [
        Key("faster", BLUE, "dot"),
        Key("slower", VERMILION, "dot"),
        Key("no difference, or insufficient data", GREY, "dot"),
        Key("99 % interval", INK, "line"),
        Key("noise floor", LIGHT_GREY, "band"),
    ]
    said = [str(row.get("verdict") or "not judged") for row in rows]
    title = ", ".join(f"{said.count(word)} {word}" for word in dict.fromkeys(said))
    sides = {(str(row["a"]), str(row["b"])) for row in rows}
    if len(sides) == 1:
        a, b = next(iter(sides))
        title = f"{b} (B) against {a} (A): {title}"
    quantity = f"speed of B over that of A; right of 1, B is faster; noise floor up to {percent(max(floors))}"
    return Chart(title, quantity, picture, legend, wide=True)


def _drawable(row: Mapping[str, Any]) -> bool:
    return all(isinstance(row.get(name), int | float) and row[name] > 0 for name in ("ratio", "low", "high"))
