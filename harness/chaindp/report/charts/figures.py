"""What all pictures share: fonts, grids, axes that hold rows of text, and text that is drawn as it is."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from bokeh.core.properties import value
from bokeh.models import ColumnDataSource, FactorRange, FixedTicker, HoverTool, LabelSet, NumeralTickFormatter, Range1d
from bokeh.plotting import figure

__all__ = [
    "ROW",
    "add_hover",
    "add_labels",
    "chart_figure",
    "label_rows",
    "plain",
    "short",
    "whiskers",
]

FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, Helvetica, Arial, sans-serif"
INK, FAINT, GRID = "#333333", "#767676", "#E6E6E6"

ROW = 26
"""Height of a row with one mark, in pixels."""

_TEX = ("$$", r"\[", r"\]", r"\(", r"\)")


def plain(text: object) -> str:
    """``text`` on one line, and without what Bokeh takes for TeX, which it cannot set without another library."""
    line = " ".join(str(text).split())
    for mark in _TEX:
        line = line.replace(mark, "\N{ZERO WIDTH SPACE}".join(mark))
    return line


def short(text: object, most: int = 16) -> str:
    """``plain``, cut to ``most`` characters for a place where more do not fit; tables have all of it."""
    line = plain(text)
    return line if len(line) <= most else line[: most - 1] + "\N{HORIZONTAL ELLIPSIS}"


def chart_figure(
    height: int,
    x_label: str,
    *,
    x_range: tuple[float, float] | FactorRange,
    y_range: tuple[float, float],
    log: bool = False,
    y_label: str = "",
    tools: str = "",
    x_format: str = "",
) -> figure:
    """An empty figure as wide as its place. Titles and legends are HTML beside it, which wraps where a canvas cuts."""
    picture = figure(
        height=height,
        sizing_mode="stretch_width",
        min_width=240,
        x_range=Range1d(*x_range) if isinstance(x_range, tuple) else x_range,
        y_range=Range1d(*y_range),
        x_axis_type="log" if log else "auto",
        x_axis_label=short(x_label, 48),
        y_axis_label=plain(y_label) or None,
        tools=tools,
        toolbar_location="above" if tools else None,
        output_backend="canvas",
        background_fill_color=None,
        border_fill_color=None,
        outline_line_color=None,
        min_border_right=14,
    )
    picture.toolbar.logo = None
    picture.toolbar.active_drag = None
    for axis in (picture.xaxis, picture.yaxis):
        axis.axis_label_text_font = axis.major_label_text_font = FONT
        axis.axis_label_text_font_size, axis.major_label_text_font_size = "12px", "12px"
        axis.axis_label_text_font_style = "normal"
        axis.axis_label_text_color = FAINT
        axis.major_label_text_color = INK
        axis.axis_line_color = axis.major_tick_line_color = axis.minor_tick_line_color = None
    picture.grid.grid_line_color = GRID
    if isinstance(x_range, tuple):
        picture.xaxis.ticker.desired_num_ticks = 5
    if log and isinstance(x_range, tuple):
        log_ticks(picture, *x_range)
    if x_format:
        picture.xaxis.formatter = NumeralTickFormatter(format=x_format)
    return picture


def log_ticks(picture: figure, low: float, high: float) -> None:
    """Ticks of a logarithmic x axis at round numbers, written out, and none so near another that their texts touch."""
    span = math.log10(high / low)
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    chosen: list[float] = []
    for digits in ((1,), (1, 3), (1, 2, 5), tuple(range(1, 10)), tuple(tenth / 10 for tenth in range(10, 100))):
        chosen = []
        for tick in (digit * 10.0**power for power in powers for digit in digits):
            if low <= tick <= high and (not chosen or math.log10(tick / chosen[-1]) > 0.14 * span):
                chosen.append(tick)
        if len(chosen) >= 3:
            break
    picture.xaxis.ticker = FixedTicker(ticks=chosen)
    picture.xaxis.major_label_overrides = {tick: f"{tick:,.10g}" for tick in chosen}


def label_rows(picture: figure, rows: Mapping[float, str]) -> None:
    """Make the y axis one of rows: a label at each position, no grid."""
    picture.yaxis.ticker = FixedTicker(ticks=list(rows))
    picture.yaxis.major_label_overrides = {position: plain(text) for position, text in rows.items()}
    picture.ygrid.grid_line_color = None


def add_labels(
    picture: figure,
    source: ColumnDataSource,
    x: str,
    y: str,
    text: str,
    *,
    size: int = 12,
    colour: str = INK,
    **more: Any,
) -> None:
    """Text at points of the data. ``more`` are further properties, such as offsets in pixels."""
    # A line of the grid through the text would make it hard to read.
    styled = {
        "background_fill_color": "white",
        "background_fill_alpha": 0.7,
        "text_font": value(FONT),
        "text_font_size": f"{size}px",
        "text_color": colour,
    }
    picture.add_layout(LabelSet(x=x, y=y, text=text, source=source, **(styled | more)))


def add_hover(picture: figure, renderers: Sequence[Any], tips: Sequence[tuple[str, str]]) -> None:
    """Show fields of the data where the pointer is.

    Bokeh escapes what ``@field`` stands for, and nothing else: ``tips`` must hold no text that comes from a run.
    """
    picture.add_tools(HoverTool(renderers=list(renderers), tooltips=list(tips)))


def whiskers(
    picture: figure, source: ColumnDataSource, y: str, *, colour: str = INK, width: float = 1.5, halo: bool = False
) -> Any:
    """Horizontal lines from the fields ``low`` to ``high``; with a white edge where they cross a bar."""
    if halo:
        picture.segment(x0="low", y0=y, x1="high", y1=y, source=source, line_color="white", line_width=width + 2.5)
    return picture.segment(x0="low", y0=y, x1="high", y1=y, source=source, line_color=colour, line_width=width)
