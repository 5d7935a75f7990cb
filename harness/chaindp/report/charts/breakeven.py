"""Break-even: what a unit of work takes by batch size, on a backend that was asked for and on the one it replaces."""

from __future__ import annotations

import math

import pandas as pd
from bokeh.models import ColumnDataSource, FixedTicker, LogScale, Span
from bokeh.plotting import figure

from chaindp.report.charts.figures import INK, ROW, add_hover, chart_figure, plain, short
from chaindp.report.palette import GREY, LIGHT_GREY
from chaindp.report.parts import Chart, Key
from chaindp.report.sources import Run
from chaindp.report.tables import break_even_curve_table
from chaindp.report.words import count, plural_of
from chaindp.report.words import figure as number
from chaindp.results.breakeven import BreakEven

__all__ = ["break_even_charts"]

_SIDES = ("backend", "against")
_LEAST_WIDTH = 1.06
"""A band of one batch size is too narrow to see: it is drawn as wide as this ratio."""


def break_even_charts(run: Run, found: list[BreakEven], curves: pd.DataFrame) -> list[Chart]:
    """One chart a kernel and backend.

    found, curves: of ``chaindp.results.breakeven`` on the run's table
    """
    return [
        _chart(run, result, curves[(curves["kernel"] == result.kernel) & (curves["backend"] == result.backend)])
        for result in found
    ]


def _chart(run: Run, result: BreakEven, curve: pd.DataFrame) -> Chart:
    unit = f"ns a {result.unit}"
    sizes = [*result.sizes, *(end for part in result.batches for end in (part.low, part.high))]
    heights = [curve[f"{side}_{name}"] for side in _SIDES for name in ("call", "compute", "call_q1", "call_q3")]
    low, high = min(part.min() for part in heights) / 1.3, max(part.max() for part in heights) * 1.3
    picture = chart_figure(
        90 + 9 * ROW,
        f"{plural_of(result.unit)} a call (log scale)",
        x_range=(min(sizes) / 1.4, max(sizes) * 1.4),
        y_range=(low, high),
        log=True,
        y_label=f"{short(unit, 32)} (log scale)",
    )
    picture.y_scale = LogScale()
    _y_ticks(picture, low, high)
    _bands(picture, result, low, high)
    labels = {"backend": result.backend, "against": result.against}
    ran = {name: run.colours.get(name, GREY) for name in labels.values()}
    legend = []
    for side in reversed(_SIDES):
        _curve(picture, curve, side, labels[side], ran[labels[side]], unit)
        legend.append(Key(f"{labels[side]}, with transfer", ran[labels[side]], "line"))
    legend.append(Key("without transfer", INK, "dash"))
    if result.clear_from is not None:
        _crossing(picture, curve, result.clear_from, INK)
        note = result.rests_on_largest(result.clear_from)
        legend.append(Key(f"{result.backend} wins from here on{note}", INK, "diamond"))
    if result.wins_from is not None and result.wins_from != result.clear_from:
        _crossing(picture, curve, result.wins_from, GREY)
        note = result.rests_on_largest(result.wins_from)
        legend.append(Key(f"the medians cross here, not clear of noise{note}", GREY, "diamond"))
    if result.batches:
        here = "; ".join(f"{part.stage} {count(part.typical)}" for part in result.batches)
        legend.append(Key(f"batches of this run: {here}", LIGHT_GREY, "band"))
    quantity = f"time for a unit of work by batch size, {unit}; medians, upright lines from first to third quartile"
    quantity += "" if result.batches else "; the run does not say how large its own batches are"
    return Chart(f"{result.kernel}: {result.title}", quantity, picture, legend, break_even_curve_table(result, curve))


def _curve(picture: figure, curve: pd.DataFrame, side: str, label: str, colour: str, unit: str) -> None:
    """The two lines of a backend, with transfer and without, and the spread of the former."""
    fields = {name: curve[f"{side}_{name}"].to_numpy(dtype=float) for name in ("call", "compute", "call_q1", "call_q3")}
    data = {"size": curve["size"].to_numpy(dtype=float), "backend": [plain(label)] * len(curve), **fields}
    source = ColumnDataSource(data | {"unit": [plain(unit)] * len(curve)})
    picture.line("size", "compute", source=source, line_color=colour, line_width=1.5, line_dash="dashed")
    picture.line("size", "call", source=source, line_color=colour, line_width=2)
    picture.segment(x0="size", x1="size", y0="call_q1", y1="call_q3", source=source, line_color=colour, line_width=2)
    dots = picture.scatter("size", "call", source=source, size=8, color=colour, line_color="white")
    tips = [("backend", "@backend"), ("batch", "@size{0,0}"), ("with transfer", "@call{0,0.0} @unit")]
    add_hover(picture, [dots], [*tips, ("without", "@compute{0,0.0} @unit")])


def _bands(picture: figure, result: BreakEven, low: float, high: float) -> None:
    """Upright bands where the batches of the run are, from the smallest to the largest block's."""
    parts = result.batches
    widen = [max(1.0, math.sqrt(_LEAST_WIDTH * part.low / part.high)) for part in parts]
    source = ColumnDataSource(
        {
            "left": [part.low / more for part, more in zip(parts, widen, strict=True)],
            "right": [part.high * more for part, more in zip(parts, widen, strict=True)],
            "stage": [plain(part.stage) for part in parts],
            "least": [part.low for part in parts],
            "typical": [part.typical for part in parts],
            "most": [part.high for part in parts],
        }
    )
    band = picture.quad(left="left", right="right", bottom=low, top=high, source=source, color=LIGHT_GREY, alpha=0.8)
    add_hover(
        picture, [band], [("stage", "@stage"), ("batch", "@typical{0,0}"), ("from to", "@least{0,0} to @most{0,0}")]
    )


def _crossing(picture: figure, curve: pd.DataFrame, size: int, colour: str) -> None:
    """A diamond on the backend's line at a batch size from which on it is faster."""
    at = curve[curve["size"] == size]
    here = float(at["size"].iloc[0])
    picture.add_layout(Span(location=here, dimension="height", line_color=colour, line_dash="dotted"))
    picture.scatter(
        [here], [float(at["backend_call"].iloc[0])], marker="diamond", size=15, color=colour, line_color="white"
    )


def _y_ticks(picture: figure, low: float, high: float) -> None:
    """Ticks of the logarithmic y axis at round numbers, written out."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for digits in ((1,), (1, 3), (1, 2, 5), tuple(range(1, 10))):
        ticks = [digit * 10.0**power for power in powers for digit in digits if low <= digit * 10.0**power <= high]
        if len(ticks) >= 3:
            break
    picture.yaxis.ticker = FixedTicker(ticks=ticks)
    picture.yaxis.major_label_overrides = {tick: number(tick, 2) for tick in ticks}
