"""Which block is in which stage when: all levels on one time scale, so that what overlaps is seen to overlap."""

from __future__ import annotations

import numpy as np
import pandas as pd
from bokeh.models import ColumnDataSource

from chaindp.report.charts.figures import add_hover, add_labels, chart_figure, label_rows
from chaindp.report.palette import OKABE_ITO
from chaindp.report.parts import Chart, Key, Table
from chaindp.report.sources import Run
from chaindp.report.words import count, figure, plural
from chaindp.results.summary import STAGES
from chaindp.results.timeline import typical_repetition

__all__ = ["BLOCKS_SHOWN", "timeline_chart"]

BLOCKS_SHOWN = 150
"""Blocks a level at most: more would be narrower than a pixel, and `chaindp trace` shows them all."""

_COLOURS = np.array(OKABE_ITO[:6])
_STAGE_ROW = 13


def timeline_chart(run: Run) -> Chart | None:
    """Rows are stages, level under level; a bar is a block, coloured by its number. None where no pass is on record."""
    repetition = typical_repetition(run.frame)
    table = run.spans[run.spans["repetition"] == repetition] if repetition is not None else run.spans.iloc[:0]
    if table.empty:
        return None
    levels = sorted(int(level) for level in table["level"].unique())
    stages = [stage for stage in STAGES if (table["stage"] == stage).any()]
    shown = table[table["block"] < BLOCKS_SHOWN]
    position = {
        (level, stage): -float(index * (len(stages) + 1.6) + 1 + row)
        for index, level in enumerate(levels)
        for row, stage in enumerate(stages)
    }
    rows = list(zip(shown["level"].astype(int), shown["stage"].astype(str), strict=True))
    blocks = shown["block"].to_numpy(dtype=np.int64)
    source = ColumnDataSource(
        {
            "y": np.array([position[row] for row in rows]),
            "start": shown["start"].to_numpy(dtype=float) / 1e6,
            "end": shown["end"].to_numpy(dtype=float) / 1e6,
            "block": blocks,
            "colour": _COLOURS[blocks % len(_COLOURS)].tolist(),
            "level": [f"DP{level}" for level, _ in rows],
            "stage": [stage for _, stage in rows],
            "ms": ((shown["end"] - shown["start"]) / 1e6).to_numpy(dtype=float),
            "cpu": (shown["cpu"] / 1e6).to_numpy(dtype=float),
        }
    )
    lowest = min(position.values())
    last = float(shown["end"].max()) / 1e6
    picture = chart_figure(
        90 + int(_STAGE_ROW * -lowest),
        "ms from the start of the pass",
        x_range=(min(0.0, float(shown["start"].min()) / 1e6), last * 1.02),
        y_range=(lowest - 0.8, 0.6),
        tools="xpan,xbox_zoom,reset",
        x_format="0,0",
    )
    label_rows(picture, {y: stage for (_, stage), y in position.items()})
    picture.yaxis.major_label_text_font_size = "10px"
    bars = picture.hbar(
        y="y", left="start", right="end", height=0.86, source=source, fill_color="colour", line_color="white",
        line_width=0.3,
    )  # fmt: skip
    tips = [("block", "@block"), ("stage", "@stage of @level"), ("from start to end", "@ms{0,0.00} ms")]
    add_hover(picture, [bars], [*tips, ("CPU", "@cpu{0,0.00} ms"), ("at", "@start{0,0.0} ms")])
    lasted = {level: _lasted(table, level) for level in levels}
    titles = ColumnDataSource(
        {
            "x": [0.0] * len(levels),
            "y": [position[level, stages[0]] + 0.62 for level in levels],
            "text": [f"DP{level}: {count(lasted[level] / 1e6)} ms{_how(run, level)}" for level in levels],
        }
    )
    add_labels(picture, titles, "x", "y", "text", text_font_style="bold")
    modelled = (table["time_domain"] == "modelled").any()
    overlapping = {level: _concurrency(table, level) for level in levels}
    most = max(overlapping, key=lambda level: overlapping[level])
    title = f"At DP{most}, {figure(overlapping[most], 2)} blocks are in a stage at once on average"
    if overlapping[most] < 1.05:
        title = "No level overlaps blocks: one is in a stage at a time"
    total = int(table["block"].max()) + 1
    quantity = f"each block's way through the stages, repetition {repetition}, the pass with admit"
    quantity += f", first {BLOCKS_SHOWN} of {total} blocks; chaindp trace has all" if total > BLOCKS_SHOWN else ""
    quantity += "; instants of the schedule, not of a clock" if modelled else ""
    legend = [Key(f"block {index}", colour) for index, colour in enumerate(_COLOURS[: min(total, len(_COLOURS))])]
    if total > len(_COLOURS):
        legend.append(Key("and so on, colours repeat", "white", "band"))
    return Chart(title, quantity, picture, legend, _table(table, levels, stages, overlapping), wide=True)


def _lasted(table: pd.DataFrame, level: int) -> float:
    mine = table[table["level"] == level]
    return float(mine["end"].max() - mine["start"].min())


def _concurrency(table: pd.DataFrame, level: int) -> float:
    """How many blocks are in a stage at once, on average over the pass."""
    mine = table[table["level"] == level]
    lasted = _lasted(table, level)
    return float((mine["end"] - mine["start"]).sum()) / lasted if lasted > 0 else 0.0


def _how(run: Run, level: int) -> str:
    return ", blocks overlap" if "pipelining" in run.mechanisms_of(level)[0] else ""


def _table(table: pd.DataFrame, levels: list[int], stages: list[str], overlapping: dict[int, float]) -> Table:
    columns = ["level", "pass, ms", "blocks at once", *(f"{stage}, ms a block" for stage in stages)]
    rows = []
    for level in levels:
        mine = table[table["level"] == level]
        lasted = (mine["end"] - mine["start"]).groupby(mine["stage"]).median() / 1e6
        cells = [figure(lasted.get(stage)) for stage in stages]
        rows.append([f"DP{level}", count(_lasted(table, level) / 1e6), figure(overlapping[level], 2), *cells])
    title = f"Medians over {plural(int(table['block'].nunique()), 'block')}: how long one is in a stage"
    return Table(title, columns, rows, columns[1:])
