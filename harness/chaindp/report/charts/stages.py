"""Where the time of a transaction goes: the CPU time of every stage, stacked, and the waiting apart."""

from __future__ import annotations

from typing import Any

from bokeh.models import ColumnDataSource

from chaindp.report.charts.figures import GRID, ROW, add_hover, chart_figure, label_rows
from chaindp.report.palette import GREY, STAGE_COLOURS
from chaindp.report.parts import Chart, Key
from chaindp.report.sources import Run
from chaindp.report.tables import stage_details
from chaindp.report.words import percent
from chaindp.results.summary import STAGES

__all__ = ["stage_chart"]


def stage_chart(run: Run) -> Chart:
    """One bar a level: CPU time by stage, then the time in which stages waited."""
    times = run.stages
    assert times is not None
    levels = [level for level in run.levels if (times["level"] == level).any()]
    position = {level: float(-index) for index, level in enumerate(levels)}
    data: dict[str, list[Any]] = {name: [] for name in ("y", "left", "right", "colour", "level", "what")}
    waiting: dict[str, list[Any]] = {name: [] for name in data}
    top = 0.0
    for level in levels:
        group = times[times["level"] == level].set_index("stage")
        edge = 0.0
        for stage in (name for name in STAGES if name in group.index):
            used = float(group["cpu_ns_per_tx"][stage]) / 1e3
            _segment(data, position[level], edge, edge + used, STAGE_COLOURS[stage], level, f"{stage}, CPU")
            edge += used
        timed = group[group["time_domain"] != "modelled"]
        idle = (timed["busy_ns_per_tx"] - timed["cpu_ns_per_tx"]).clip(lower=0.0).sum() / 1e3
        network = float(group["wait_ns_per_tx"].sum()) / 1e3
        _segment(waiting, position[level], edge, edge + idle, GRID, level, "waiting for lock, core or disk")
        _segment(
            waiting, position[level], edge + idle, edge + idle + network, "white", level, "waiting for the network"
        )
        top = max(top, edge + idle + network)
    picture = chart_figure(
        70 + int(1.4 * ROW) * len(levels),
        "us a transaction",
        x_range=(0, max(top, 1e-9) * 1.03),
        y_range=(-len(levels) + 0.4, 0.6),
    )
    label_rows(picture, {position[level]: f"DP{level}" for level in levels})
    bars = []
    for columns in (data, waiting):
        columns["width"] = [right - left for left, right in zip(columns["left"], columns["right"], strict=True)]
        bars.append(picture.hbar(y="y", left="left", right="right", height=0.68, source=ColumnDataSource(columns)))
    work, idle_bars = (bar.glyph for bar in bars)
    work.fill_color = work.line_color = idle_bars.fill_color = "colour"
    idle_bars.line_color, idle_bars.line_dash = GREY, "dashed"
    add_hover(picture, bars, [("level", "@level"), ("what", "@what"), ("us a transaction", "@width{0.0}")])
    present = [stage for stage in STAGES if (times["stage"] == stage).any()]
    legend = [Key(stage, STAGE_COLOURS[stage]) for stage in present]
    legend += [Key("waiting for lock, core or disk", GRID, "band"), Key("waiting for the network", "white", "band")]
    last = times[times["level"] == levels[-1]].sort_values("share", ascending=False).iloc[0]
    title = f"{last['stage']} takes the most CPU time at DP{levels[-1]}, {percent(last['share'])} of it"
    quantity = "time a transaction, in us: CPU time of the stages' threads, stacked, and waiting apart; medians"
    if (times["time_domain"] == "modelled").any():
        quantity += "; time on simulated devices is not drawn, and the table has it"
    return Chart(title, quantity, picture, legend, stage_details(run), wide=True)


def _segment(
    data: dict[str, list[Any]], y: float, left: float, right: float, colour: str, level: int, what: str
) -> None:
    if right > left:
        row = {"y": y, "left": left, "right": right, "colour": colour, "level": f"DP{level}", "what": what}
        for name, value in row.items():
            data[name].append(value)
