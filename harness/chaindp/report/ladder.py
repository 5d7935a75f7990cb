"""The picture of a run: the ladder's throughput, and under it the stages of every level, stacked."""

from __future__ import annotations

from pathlib import Path

import matplotlib
import pandas as pd

matplotlib.use("Agg")

import matplotlib.pyplot as plt  # the backend must be chosen before pyplot loads

from chaindp.pipeline.levels import LEVELS
from chaindp.report.palette import STAGE_COLOURS
from chaindp.results.model_error import error_note
from chaindp.results.summary import STAGES, Summary, summarize

__all__ = ["plot_ladder"]


def plot_ladder(frame: pd.DataFrame, path: Path, found: Summary | None = None) -> None:
    """Write a PNG of one run's table; ``found`` is ``summarize(frame)``, where the caller has it already."""
    found = found or summarize(frame)
    rungs, times = found.rungs, found.times
    workload = str(rungs["workload"].iloc[0])
    names = [f"DP{level}" for level in rungs["level"]]
    positions = range(len(names))
    figure, (top, bottom) = plt.subplots(
        2, 1, figsize=(8, 8), height_ratios=(1, 1.15), layout="constrained", sharex=True
    )
    try:
        width = 0.38
        error = [rungs["tps"] - rungs["tps_low"], rungs["tps_high"] - rungs["tps"]]
        bars = top.bar([p - width / 2 for p in positions], rungs["tps"], width, yerr=error, capsize=3, color="#0072B2")
        top.bar([p + width / 2 for p in positions], rungs["tps_with_admit"], width, color="#56B4E9")
        top.legend(
            ["without admit (line: slowest to fastest repetition)", "with admit"], loc="upper left", frameon=False
        )
        for bar, rung in zip(bars, rungs.itertuples(), strict=True):
            measured = "" if pd.isna(rung.speedup) else f"{rung.speedup:.2f}p\n"
            top.annotate(
                f"{measured}claim {LEVELS[rung.level].claim}",
                (bar.get_x() + bar.get_width(), max(rung.tps_high, rung.tps_with_admit)),
                xytext=(0, 4),
                textcoords="offset points",
                ha="center",
                va="bottom",
                fontsize=8,
            )
        top.set_ylim(top=float(rungs["tps_high"].max()) * 1.45)
        top.set_ylabel("transactions a second")
        mode = rungs["mode"].iloc[0]
        off = error_note(frame)
        top.set_title(
            f"{workload}, {mode} mode: throughput, and against DP{rungs['speedup_over'].iloc[0]} = 1p"
            + (f"\nagainst live passes {off}" if off else "")
        )

        floor = pd.Series(0.0, index=rungs["level"])
        for stage in STAGES:
            heights = times[times["stage"] == stage].set_index("level")["cpu_ns_per_tx"].reindex(rungs["level"]) / 1e3
            if heights.notna().any():
                heights = heights.fillna(0.0)
                bottom.bar(positions, heights, 0.6, bottom=floor.to_list(), color=STAGE_COLOURS[stage], label=stage)
                floor += heights
        # Modelled time on a device is not waiting, and not of this axis.
        timed = times["busy_ns_per_tx"].where(times["time_domain"] != "modelled", times["cpu_ns_per_tx"])
        busy = timed.groupby(times["level"]).sum().reindex(rungs["level"]) / 1e3
        waiting = (busy - floor).clip(lower=0.0)
        bottom.bar(
            positions,
            waiting,
            0.6,
            bottom=floor.to_list(),
            fill=False,
            edgecolor="#999999",
            linewidth=0.8,
            linestyle="--",
            label="waiting for lock,\ncore or disk",
        )
        bottom.set_ylim(top=float((floor + waiting).max()) * 1.08)
        bottom.set_ylabel("CPU time of the stages' threads, us a transaction")
        bottom.set_xticks(list(positions), names)
        handles, labels = bottom.get_legend_handles_labels()
        bottom.legend(handles[::-1], labels[::-1], loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
        for axes in (top, bottom):
            axes.spines[["top", "right"]].set_visible(False)
        figure.savefig(path, dpi=130, format="png")
    finally:
        plt.close(figure)
