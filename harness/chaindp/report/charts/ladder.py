"""Claim against measurement on one logarithmic axis, and the throughput behind it."""

from __future__ import annotations

from bokeh.models import ColumnDataSource, FactorRange, NumeralTickFormatter, Whisker
from bokeh.plotting import figure

from chaindp.report.charts.figures import (
    FAINT,
    INK,
    ROW,
    add_hover,
    add_labels,
    chart_figure,
    label_rows,
    whiskers,
)
from chaindp.report.claims import claim_of
from chaindp.report.palette import BLUE, ORANGE, SKY, VERMILION
from chaindp.report.parts import Chart, Key
from chaindp.report.sources import Run
from chaindp.report.tables import measured_levels, mode_of
from chaindp.report.words import ratio

__all__ = ["claim_chart", "throughput_chart"]

_OPEN_END = 3.0
"""A claim without an upper end is drawn this many times its lower end long, with an arrow."""


def claim_chart(run: Run) -> Chart:
    """Speed-up over DP0 on a log axis: the claimed range as a bar, the measurement as a point, the gap between them."""
    measured = measured_levels(run)
    rows = {float(-index): f"DP{level}" for index, level in enumerate(run.levels)}
    position = dict(zip(run.levels, rows, strict=True))
    claims = {level: claim_of(level) for level in run.levels}
    spans = {level: (claim.low, claim.high or claim.low * _OPEN_END) for level, claim in claims.items()}
    points = {level: rung for level, rung in measured.items() if rung.speedup == rung.speedup}
    base = points[0].tps
    lowest = min([0.5, *(rung.tps_low / base * 0.8 for rung in points.values())])
    highest = max([4.0, *(2.2 * end for _, end in spans.values()), *(2.2 * rung.speedup for rung in points.values())])
    picture = chart_figure(
        70 + 2 * ROW * len(rows),
        "times DP0 = p (log scale)",
        x_range=(lowest, highest),
        y_range=(-len(rows) + 0.4, 0.6),
        log=True,
    )
    label_rows(picture, rows)
    claimed = ColumnDataSource(
        {
            "y": [position[level] for level in spans],
            # A claim of one value is a bar too narrow to see: it gets a width of a few per cent.
            "low": [low if high > low else low * 0.96 for low, high in spans.values()],
            "high": [high if high > low else high * 1.04 for low, high in spans.values()],
            "claim": [claim.text for claim in claims.values()],
            "level": [f"DP{level}" for level in spans],
        }
    )
    bars = picture.hbar(
        y="y",
        left="low",
        right="high",
        height=0.52,
        source=claimed,
        fill_color=ORANGE,
        fill_alpha=0.35,
        line_color=None,
    )
    for level, claim in claims.items():
        if claim.high is None:
            picture.scatter(
                x=spans[level][1] * 1.12, y=position[level], marker="triangle", angle=-1.5708, size=11, color=ORANGE
            )
    short = [level for level in points if claims[level].gap(points[level].speedup) > 1.05]
    gaps = ColumnDataSource(
        {
            "y": [position[level] for level in short],
            "from": [points[level].speedup for level in short],
            "to": [claims[level].low for level in short],
            # The middle of a gap on a log axis is the geometric mean.
            "middle": [(points[level].speedup * claims[level].low) ** 0.5 for level in short],
            "text": [f"{ratio(claims[level].gap(points[level].speedup))}x" for level in short],
        }
    )
    picture.segment(
        x0="from", x1="to", y0="y", y1="y", source=gaps, line_color=FAINT, line_dash="dotted", line_width=1.5
    )
    add_labels(
        picture,
        gaps,
        "middle",
        "y",
        "text",
        size=11,
        colour=FAINT,
        text_align="center",
        text_baseline="top",
        y_offset=-3,
    )
    result = ColumnDataSource(
        {
            "y": [position[level] for level in points],
            "speedup": [rung.speedup for rung in points.values()],
            "low": [rung.tps_low / base for rung in points.values()],
            "high": [rung.tps_high / base for rung in points.values()],
            "admit": [rung.speedup_with_admit for rung in points.values()],
            "level": [f"DP{level}" for level in points],
            "claim": [claims[level].text for level in points],
            "label": [f"{ratio(rung.speedup)}p" for rung in points.values()],
        }
    )
    whiskers(picture, result, "y", colour=BLUE)
    dots = picture.scatter(x="speedup", y="y", source=result, size=9, color=BLUE)
    rings = picture.scatter(x="admit", y="y", source=result, size=9, line_color=BLUE, fill_color=None, line_width=1.5)
    add_labels(picture, result, "speedup", "y", "label", text_align="center", y_offset=8)
    failed = [position[level] for level in run.levels if level not in points]
    missing = ColumnDataSource({"y": failed, "x": [1.0] * len(failed), "text": ["failed"] * len(failed)})
    add_labels(picture, missing, "x", "y", "text", colour=VERMILION, text_align="center", text_baseline="middle")
    add_hover(picture, [dots, rings], [("level", "@level"), ("measured", "@speedup{0.00}p"), ("claim", "@claim")])
    add_hover(picture, [bars], [("level", "@level"), ("claim", "@claim")])
    word = "modelled" if mode_of(run) == "model" else "measured"
    legend = [
        Key("claim", ORANGE, "pale"),
        Key(f"{word}, slowest to fastest", BLUE, "dot"),
        Key("with admit", BLUE, "ring"),
        Key("short of the claim's lower end", FAINT, "dash"),
    ]
    top = max(points)
    gap = claims[top].gap(points[top].speedup)
    title = f"DP{top}: {ratio(points[top].speedup)}p {word}, {claims[top].text} claimed"
    title += f"; the claim is {ratio(gap)} times as much" if gap > 1.05 else ""
    return Chart(title, "speed-up over sequential performance p (DP0)", picture, legend)


def throughput_chart(run: Run) -> Chart:
    """Transactions a second by level, without and with ``admit``, with the spread of the repetitions."""
    measured = measured_levels(run)
    names = [f"DP{level}" for level in run.levels]
    top = max(max(rung.tps_high, rung.tps_with_admit) for rung in measured.values())
    picture = chart_figure(
        70 + 2 * ROW * max(3, len(names)),
        "level",
        x_range=FactorRange(*names, range_padding=0.05),
        y_range=(0, top * 1.08),
        y_label="transactions a second",
    )
    _bars(picture, run)
    picture.yaxis.formatter = NumeralTickFormatter(format="0,0")
    picture.xgrid.grid_line_color = None
    word = "modelled" if mode_of(run) == "model" else "measured"
    best = max(measured.values(), key=lambda rung: rung.tps)
    title = f"Highest median: {best.tps:,.0f} tx/s at DP{best.level}" + (f", {word}" if word == "modelled" else "")
    legend = [
        Key("without admit (line: slowest to fastest)", BLUE),
        Key("with admit", SKY),
    ]
    return Chart(title, f"throughput, transactions a second, {word}", picture, legend)


def _bars(picture: figure, run: Run) -> None:
    measured = measured_levels(run)
    source = ColumnDataSource(
        {
            "level": [f"DP{level}" for level in measured],
            "left": [(f"DP{level}", -0.19) for level in measured],
            "right": [(f"DP{level}", 0.19) for level in measured],
            "tps": [rung.tps for rung in measured.values()],
            "low": [rung.tps_low for rung in measured.values()],
            "high": [rung.tps_high for rung in measured.values()],
            "admit": [rung.tps_with_admit for rung in measured.values()],
        }
    )
    without = picture.vbar(x="left", top="tps", width=0.34, source=source, color=BLUE)
    with_it = picture.vbar(x="right", top="admit", width=0.34, source=source, color=SKY)
    # Over the bars, where Bokeh would put it under them; white below, so that its lower half shows on their colour.
    for colour, extra in (("white", 2.5), (INK, 0.0)):
        spread = Whisker(base="left", lower="low", upper="high", source=source, level="overlay")
        spread.line_color, spread.line_width = colour, 1.5 + extra
        for head in (spread.upper_head, spread.lower_head):
            head.size, head.line_color, head.line_width = 8 + extra, colour, 1.5 + extra
        picture.add_layout(spread)
    add_hover(picture, [without], [("level", "@level"), ("tx/s", "@tps{0,0}"), ("spread", "@low{0,0} to @high{0,0}")])
    add_hover(picture, [with_it], [("level", "@level"), ("tx/s with admit", "@admit{0,0}")])
