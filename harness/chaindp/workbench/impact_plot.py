"""The picture of ``chaindp core impact``: speed-up of the chain by instances, a line a link, under the ceiling."""

from __future__ import annotations

import os
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt  # the backend must be chosen before pyplot loads

from chaindp.errors import UsageError
from chaindp.files import replacing
from chaindp.report.palette import GREY, LIGHT_GREY, OKABE_ITO
from chaindp.workbench.impact import BELOW, LEVEL, ImpactResult

__all__ = ["FORMATS", "check_target", "plot_impact"]

FORMATS = (".png", ".svg", ".pdf")


def check_target(path: Path) -> None:
    """UsageError where a picture cannot be written there; asked before the work, not after it."""
    if path.suffix.lower() not in FORMATS:
        raise UsageError(f"--out {path}: the name of a picture ends in {', '.join(FORMATS)}")
    if path.is_dir():
        raise UsageError(f"--out {path}: this is a folder")
    folder = path.parent
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        raise UsageError(f"--out {path}: there is no folder {folder} to write into")


def plot_impact(result: ImpactResult, path: Path) -> None:
    """Write the picture; the suffix of ``path`` says in which format."""
    figure, axes = plt.subplots(figsize=(8, 5), layout="constrained")
    try:
        axes.axhline(result.ceiling, color=GREY, linestyle="--", linewidth=1)
        axes.annotate(
            f"ceiling {result.ceiling:.3f}: a device and a link that take no time",
            (1, result.ceiling),
            xytext=(0, 4),
            textcoords="offset points",
            fontsize=8,
        )
        axes.axhline(1, color=LIGHT_GREY, linewidth=1)
        for link, colour in zip(result.options.links, OKABE_ITO * 3, strict=False):
            rows = result.of(link)
            axes.plot([row.instances for row in rows], [row.speedup for row in rows], color=colour, label=link.name)
            enough = result.enough(link)
            axes.plot([enough.instances], [enough.speedup], "o", color=colour)
        axes.set_xscale("log", base=2)
        ticks = sorted({row.instances for row in result.rows})
        axes.set_xticks(ticks, [str(tick) for tick in ticks])
        axes.set_xlabel(f"instances of {result.core.label} at {result.clock_mhz:g} MHz")
        axes.set_ylabel(f"throughput of DP{LEVEL} over DP{BELOW}, modelled")
        errors = ", ".join(f"DP{level} {error:+.0%}" for level, error in result.model_errors.items())
        axes.set_title(
            f"{result.core.label} in {result.stage} over {result.options.workload}, without admit\n"
            f"dot: more instances do not matter any more ({result.options.within:.0%}); error of the model: {errors}",
            fontsize=10,
        )
        axes.legend(title="link", frameon=False)
        axes.spines[["top", "right"]].set_visible(False)
        axes.margins(y=0.15)
        with replacing(path) as scratch:
            figure.savefig(scratch, dpi=150)
    finally:
        plt.close(figure)
