"""Which block is in which stage when: all levels on one time scale, so that what overlaps is seen to overlap."""

from __future__ import annotations

import numpy as np
import pandas as pd
from bokeh.models import ColumnDataSource
from bokeh.transform import linear_cmap

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

_COLOURS = OKABE_ITO[:6]
_STAGE_ROW = 13


def timeline_chart(run: Run) -> Chart | None:
    """Rows are stages, level under level; a bar is a block, coloured by its number. None where no pass is on record."""
    repetition = typical_repetition(run.frame)
    table = run.spans[run.spans["repetition"] == repetition] if repetition is not None else run.spans.iloc[:0]
    if table.empty:
        return None
    levels = sorted(int(level) for level in table["level"].unique())
    stages = [stage for stage in STAGES if (table["stage"] == stage).any()]
    numbers = sorted(int(block) for block in table["block"].unique())
    shown = table[table["block"].isin(numbers[:BLOCKS_SHOWN])]
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
            # Numbers, not texts: of thousands of those, Bokeh needs a second to write them.
            "colour": (blocks % len(_COLOURS)).astype(np.int32),
            "level": np.array([level for level, _ in rows], dtype=np.int32),
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
        y="y", left="start", right="end", height=0.86, source=source, line_color="white",
        line_width=0.3,
    )  # fmt: skip
    bars.glyph.fill_color = linear_cmap("colour", _COLOURS, -0.5, len(_COLOURS) - 0.5)
    tips = [("block", "@block"), ("stage", "@stage of DP@level"), ("from start to end", "@ms{0,0.00} ms")]
    add_hover(picture, [bars], [*tips, ("CPU", "@cpu{0,0.00} ms"), ("at", "@start{0,0.0} ms")])
    lasted = {level: _lasted(table, level) for level in levels}
    blocks_of = {level: _in_pipeline(table[table["level"] == level]) for level in levels}
    overlap = [level for level in levels if _overlaps(blocks_of[level])]
    titles = ColumnDataSource(
        {
            "x": [0.0] * len(levels),
            "y": [position[level, stages[0]] + 0.62 for level in levels],
            "text": [
                f"DP{level}: {count(lasted[level] / 1e6)} ms{', blocks overlap' if level in overlap else ''}"
                for level in levels
            ],
        }
    )
    add_labels(picture, titles, "x", "y", "text", text_font_style="bold")
    modelled = (table["time_domain"] == "modelled").any()
    total = len(numbers)
    at_once = {level: _concurrency(blocks_of[level]) for level in levels}
    quantity = f"each block's way through the stages, repetition {repetition}, the pass with admit"
    quantity += f", first {BLOCKS_SHOWN} of {total} blocks; chaindp trace has all" if total > BLOCKS_SHOWN else ""
    quantity += "; instants of the schedule, not of a clock" if modelled else ""
    legend = [Key(f"block {index}", colour) for index, colour in enumerate(_COLOURS[: min(total, len(_COLOURS))])]
    if total > len(_COLOURS):
        legend.append(Key("and so on, colours repeat", "white", "band"))
    title = _title(overlap, at_once, total)
    return Chart(title, quantity, picture, legend, _table(table, levels, stages, at_once), wide=True)


def _lasted(table: pd.DataFrame, level: int) -> float:
    mine = table[table["level"] == level]
    return float(mine["end"].max() - mine["start"].min())


def _in_pipeline(table: pd.DataFrame) -> pd.DataFrame:
    """One row a block of a pass, in order: ``first`` and ``last`` instant in a stage, and the ns ``inside`` of any."""
    ordered = table.sort_values(["block", "start"], kind="stable")
    # Two stages of one block may run at once; that is one block in a stage, not two.
    until = ordered.groupby("block", observed=True)["end"].cummax().groupby(ordered["block"], observed=True).shift()
    since = ordered["start"].where(until.isna() | (until < ordered["start"]), until)
    ordered = ordered.assign(inside=(ordered["end"] - since).clip(lower=0.0))
    found = ordered.groupby("block", observed=True).agg(
        first=("start", "min"), last=("end", "max"), inside=("inside", "sum")
    )
    return found.sort_values("first")


def _overlaps(blocks: pd.DataFrame) -> bool:
    """Whether a block entered the pipeline before another one had left it."""
    return bool((blocks["first"] < blocks["last"].cummax().shift()).any())


def _concurrency(blocks: pd.DataFrame) -> float:
    """How many blocks are in a stage at once, on average over the pass."""
    lasted = float(blocks["last"].max() - blocks["first"].min())
    return float(blocks["inside"].sum()) / lasted if lasted > 0 else 0.0


def _title(overlap: list[int], at_once: dict[int, float], total: int) -> str:
    """What is seen: which levels overlap blocks, by their instants."""
    if total == 1:
        return "The pass has one block, so no level can overlap blocks"
    if not overlap:
        return "No level overlaps blocks: one is in a stage at a time"
    most = max(overlap, key=lambda level: at_once[level])
    return f"At DP{most}, {figure(at_once[most], 2)} blocks are in a stage at once on average"


def _table(table: pd.DataFrame, levels: list[int], stages: list[str], at_once: dict[int, float]) -> Table:
    columns = ["level", "pass, ms", "blocks at once", *(f"{stage}, ms a block" for stage in stages)]
    rows = []
    for level in levels:
        mine = table[table["level"] == level]
        lasted = (mine["end"] - mine["start"]).groupby(mine["stage"]).median() / 1e6
        cells = [figure(lasted.get(stage)) for stage in stages]
        rows.append([f"DP{level}", count(_lasted(table, level) / 1e6), figure(at_once[level], 2), *cells])
    title = f"Medians over {plural(int(table['block'].nunique()), 'block')}: how long one is in a stage"
    return Table(title, columns, rows, columns[1:])
