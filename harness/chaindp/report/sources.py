"""The runs that a report is about: each table read once, and each view of it computed once, when it is asked for."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from chaindp.errors import InputError
from chaindp.report.checks import check_comparisons, check_document, check_path, check_table
from chaindp.report.palette import backend_colours
from chaindp.results import amdahl, kernels, noise, problems, summary, timeline
from chaindp.results.store import load

__all__ = ["Run", "naming", "read_runs"]

_UNREAD = ("schema_version", "run_id", "device", "output_matched")
_WORDS = ("metric", "status", "time_domain", "unit", "reason")
"""Columns of few words, which a report selects rows by again and again: as categories, that takes half the time."""

_KINDS = ("pipeline", "bench", "compare")


@dataclass
class Run:
    """One workload of one pipeline run, or one bench or comparison.

    label:    what to call it where there are several
    kind:     pipeline, bench or compare
    workload: of a pipeline run; empty otherwise
    document: its run.json; empty where a table lies alone
    frame:    the results table
    colours:  of every backend of the page, by name
    """

    label: str
    kind: str
    workload: str
    document: Mapping[str, Any]
    frame: pd.DataFrame
    colours: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def levels(self) -> list[int]:
        """Every level that the table knows of, also those that failed."""
        return sorted(int(level) for level in self.frame["level"].dropna().unique())

    @cached_property
    def ladder(self) -> pd.DataFrame | None:
        """``summary.ladder``; None where no level has a throughput that holds."""
        try:
            return summary.ladder(self.frame)
        except InputError:
            return None

    @cached_property
    def stages(self) -> pd.DataFrame | None:
        """``summary.stage_times``; None where there are none."""
        try:
            return summary.stage_times(self.frame)
        except InputError:
            return None

    @cached_property
    def latencies(self) -> pd.DataFrame:
        """``summary.latencies``."""
        return summary.latencies(self.frame)

    @cached_property
    def mechanisms(self) -> pd.DataFrame:
        """``summary.mechanisms``."""
        return summary.mechanisms(self.frame)

    @cached_property
    def verdicts(self) -> pd.DataFrame:
        """``noise.level_verdicts``."""
        return noise.level_verdicts(self.frame)

    @cached_property
    def spans(self) -> pd.DataFrame:
        """``timeline.spans`` of passes that hold."""
        table = timeline.spans(self.frame)
        return table[table["status"] == "ok"]

    @cached_property
    def stage_kernels(self) -> pd.DataFrame:
        """``kernels.stage_kernels``."""
        return kernels.stage_kernels(self.frame)

    @cached_property
    def amdahl(self) -> pd.DataFrame:
        """``amdahl.amdahl``."""
        return amdahl.amdahl(self.frame)

    @cached_property
    def kernel_samples(self) -> pd.DataFrame:
        """``kernels.kernel_samples``."""
        return kernels.kernel_samples(self.frame)

    @cached_property
    def kernel_rates(self) -> pd.DataFrame:
        """``kernels.kernel_rates``."""
        return kernels.kernel_rates(self.kernel_samples)

    @cached_property
    def problems(self) -> pd.DataFrame:
        """``problems.problems``."""
        return problems.problems(self.frame)

    @cached_property
    def comparisons(self) -> list[Mapping[str, Any]]:
        """The rows of a comparison, as ``chaindp compare`` wrote them."""
        return list(self.document["rows"]) if self.kind == "compare" else []

    @property
    def title(self) -> str:
        """What was run, and when: for a reader, who knows no run by its id."""
        if self.kind == "pipeline":
            modelled = self.ladder is not None and (self.ladder["mode"] == "model").any()
            levels = "/".join(f"DP{level}" for level in self.levels) or "no level"
            parts = [self.workload or "a pipeline", "model" if modelled else "live", levels]
        elif self.kind == "bench":
            parts = ["bench of " + _few(self.frame["workload"].dropna().unique())]
        else:
            sides = dict.fromkeys(f"{row['b']} against {row['a']}" for row in self.comparisons)
            parts = [f"comparison of {_few(sides)}"]
        environment = self.document.get("environment")
        when = environment.get("time") if isinstance(environment, Mapping) else None
        # 2026-01-02T03:04:05+00:00, of which the seconds' fractions and the zone are in the provenance.
        return ", ".join([*parts, *([when[:19].replace("T", " ")] if isinstance(when, str) and when else [])])

    @property
    def lowest(self) -> int | None:
        """The lowest level, which the others are compared with."""
        return self.levels[0] if self.levels else None

    def mechanisms_of(self, level: int) -> tuple[list[str], dict[str, str]]:
        """The mechanisms that are on at a level, and those that are not, with the reason."""
        rows = self.mechanisms[self.mechanisms["level"] == level]
        on = rows[rows["status"] == "ok"]["mechanism"].tolist()
        off = rows[rows["status"] != "ok"]
        return on, dict(zip(off["mechanism"].astype(str), off["reason"].astype(str), strict=True))


def read_runs(paths: Sequence[str | os.PathLike[str]]) -> list[Run]:
    """Every run of ``paths``, in their order; InputError, in one line, for what is not a run or is damaged."""
    runs = [run for path in paths for run in _read(Path(path))]
    labels = [run.label for run in runs]
    for index, run in enumerate(runs):
        if labels.count(run.label) > 1:
            run.label = f"{run.label} ({index + 1})"
    colours = backend_colours(name for run in runs for name in _backends(run))
    for run in runs:
        run.colours = colours
    return runs


def _backends(run: Run) -> set[str]:
    """The backends of a run: those that ran in its stages, or those that were asked for alone."""
    column = "backend_ran" if run.kind == "pipeline" else "backend_requested"
    return {str(name) for name in run.frame[column].dropna().unique()}


@contextmanager
def naming(run: Run) -> Iterator[None]:
    """Let an InputError over the figures of a run say which run it is about."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{run.label}: {error}") from error


def _read(path: Path) -> Iterator[Run]:
    check_path(path)
    frame = load(path)
    document = frame.attrs["run"]
    # pandas copies the attributes deeply with every operation.
    frame.attrs = {}
    frame = frame.drop(columns=list(_UNREAD)).astype(dict.fromkeys(_WORDS, "category"))
    check_document(document, path)
    check_table(frame, path)
    label = str(document.get("run_id") or path.resolve().name)
    kind = document.get("kind", _kind(frame))
    if kind not in _KINDS:
        raise InputError(f"{path} is a run of kind {kind!r}; a report is of {', '.join(_KINDS)}")
    if kind == "compare":
        check_comparisons(document, path)
    if kind != "pipeline":
        yield Run(label, kind, "", document, frame)
        return
    # Kernels that were measured alone, for the break-even, name their generated input there, and have no level.
    workloads = list(frame[frame["level"].notna()]["workload"].dropna().unique())
    for workload in workloads:
        # What belongs to no workload, such as a broken plugin, belongs to all of them.
        mine = frame[(frame["workload"] == workload) | ~frame["workload"].isin(workloads)]
        yield Run(label if len(workloads) == 1 else f"{label}, {workload}", kind, str(workload), document, mine)
    if not workloads:
        yield Run(label, kind, "", document, frame)


def _kind(frame: pd.DataFrame) -> str:
    """What a table without a run.json is of."""
    return "bench" if (frame["metric"] == "compute_time").any() else "pipeline"


def _few(names: Iterable[object]) -> str:
    """Names in a row, three at most."""
    found = [str(name) for name in names]
    return ", ".join(found[:3]) + (f" and {len(found) - 3} more" if len(found) > 3 else "") or "nothing"
