"""From which batch size a backend is faster than the one that it replaces, and how large the pipeline's batches are.

A batch is counted in units of work of one call: nodes, permutations, paths. Nothing is interpolated: a batch size that
was not measured has no figure.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd

from chaindp.measure.outputs import reference_of
from chaindp.measure.statistics import quartiles, ratio_of_medians
from chaindp.measure.verdict import CONFIDENCE

__all__ = ["BREAK_EVEN", "Batches", "BreakEven", "batch_sizes", "break_even", "curves", "served_kernels", "why_not"]

BREAK_EVEN = (
    "The medians cross at the smallest measured batch from which on a backend is faster at every larger one, transfer "
    f"included. It wins from where on that is clear of noise: from where on the {CONFIDENCE:.0%} interval of the ratio "
    "excludes 1 at every measured batch."
)

_MECHANISM = "mechanism:heterogeneous_backends"
_CURVE = ["kernel", "backend", "against", "size", "unit"]
_QUARTILES = ("", "_q1", "_q3")
_CURVES = [
    *_CURVE,
    "samples",
    *(f"{side}_{name}{part}" for side in ("backend", "against") for name in ("call", "compute") for part in _QUARTILES),
    *("ratio", "ratio_low", "ratio_high", "ratio_compute"),
]


def served_kernels(frame: pd.DataFrame, selectors: Collection[str]) -> dict[str, tuple[tuple[str, ...], float]]:
    """The kernels that backends which were asked for ran in a pipeline: to these backends, and the largest batch.

    selectors: the backends as they were asked for, ``name`` or ``name:device``

    Only levels that hold count. A batch is the one that half of a block's work is in batches of at least (metric
    ``kernel_batch``), 0 where the table does not say.
    """
    calls = frame[frame["metric"].isin(["kernel_compute", "kernel_batch"]) & (frame["status"] == "ok")]
    calls = calls[calls["level"].isin(_levels_with_backends(frame)) & calls["backend_requested"].isin(selectors)]
    found = {}
    for kernel, rows in calls.groupby("kernel", observed=True):
        largest = rows[rows["metric"] == "kernel_batch"]["value"].max()
        backends = tuple(sorted(str(name) for name in rows["backend_requested"].unique()))
        found[str(kernel)] = (backends, 0.0 if pd.isna(largest) else float(largest))
    return found


def batch_sizes(frame: pd.DataFrame) -> pd.DataFrame:
    """One row a level with backends that were asked for, kernel, backend and stage: how large the batches were.

    Columns: workload, level, kernel, backend, stage, blocks, calls, low, typical, high. ``calls`` is the median number
    of calls a block. A block's batch is the one that half of its work is in batches of at least; ``typical`` is the
    median over the blocks of all repetitions, ``low`` and ``high`` are the smallest and the largest. Empty where the
    table does not say: where it is older than ``kernel_batch``, or no call was audited.
    """
    keys = ["workload", "level", "kernel", "backend_ran", "stage"]
    rows = frame[(frame["status"] == "ok") & frame["level"].isin(_levels_with_backends(frame))]
    batches = rows[rows["metric"] == "kernel_batch"].groupby(keys, observed=True)["value"]
    table = batches.agg(blocks="size", low="min", typical="median", high="max")
    calls = rows[rows["metric"] == "kernel_calls"].groupby(keys, observed=True)["value"].median()
    table = table.join(calls.rename("calls")).reset_index().rename(columns={"backend_ran": "backend"})
    return table[["workload", "level", "kernel", "backend", "stage", "blocks", "calls", "low", "typical", "high"]]


def _levels_with_backends(frame: pd.DataFrame) -> list[int]:
    rows = frame[(frame["metric"] == _MECHANISM) & (frame["status"] == "ok")]
    return [int(level) for level in rows["level"].dropna().unique()]


def curves(frame: pd.DataFrame) -> pd.DataFrame:
    """One row a kernel, backend and measured batch: what it took for a unit of work, and against what.

    Columns: kernel, backend, against, size (units of work a call), unit, samples, the medians and quartiles
    ``backend_call`` (with transfer) and ``backend_compute`` in ns a unit, ``against_call`` and ``against_compute``
    likewise; ``ratio``, ``ratio_low``, ``ratio_high``: the speed of the backend over the other's, with transfer, and
    its interval; ``ratio_compute``: the same of compute alone. Batches ascend.
    """
    samples = _samples(frame)
    rows = []
    asked, others = (samples[samples["side"] == side] for side in ("break_even", "break_even_against"))
    for (kernel, backend), mine in asked.groupby(["kernel", "backend"], observed=True):
        against = reference_of(str(backend)) or "cpu"
        theirs = others[(others["kernel"] == kernel) & (others["backend"] == against)]
        pairs = mine.merge(theirs, on=["kernel", "workload", "repetition"], suffixes=("", "_against"))
        for _, pair in pairs.groupby("workload", observed=True):
            row: dict[str, object] = {"kernel": str(kernel), "backend": str(backend), "against": against}
            row |= {"size": round(pair["work"].median()), "unit": str(pair["unit"].iloc[0]), "samples": len(pair)}
            for side, suffix in (("backend", ""), ("against", "_against")):
                for name in ("call", "compute"):
                    low, middle, high = quartiles(pair[name + suffix].to_numpy(dtype=np.float64))
                    row |= {f"{side}_{name}": middle, f"{side}_{name}_q1": low, f"{side}_{name}_q3": high}
            below, above = (pair[[name]].to_numpy(dtype=np.float64) for name in ("call", "call_against"))
            found = ratio_of_medians(above, below, paired=True, confidence=CONFIDENCE)
            row |= {"ratio": found.ratio, "ratio_low": found.low, "ratio_high": found.high}
            rows.append(row | {"ratio_compute": row["against_compute"] / row["backend_compute"]})  # type: ignore[operator]
    return pd.DataFrame(rows, columns=_CURVES).sort_values(["kernel", "backend", "size"], ignore_index=True)


def _samples(frame: pd.DataFrame) -> pd.DataFrame:
    """One row a sample that holds: side, kernel, workload, repetition, backend, work, unit, compute and call, in ns a
    unit of work. ``side`` is break_even, or break_even_against of what others are held against.
    """
    keys = ["side", "workload", "kernel", "backend_ran", "repetition"]
    rows = frame[frame["metric"].isin(_METRICS) & (frame["status"] == "ok") & (frame["value"] >= 0)]
    split = [str(metric).rpartition("_") for metric in rows["metric"]]
    rows = rows.assign(side=[side for side, _, _ in split], part=[part for _, _, part in split])
    parts = {name: rows[rows["part"] == name].drop_duplicates(keys) for name in ("compute", "transfer", "work")}
    table = parts["work"][[*keys, "value", "unit"]].rename(columns={"value": "work"})
    for name in ("compute", "transfer"):
        table = table.merge(parts[name][[*keys, "value"]].rename(columns={"value": name}), on=keys)
    table = table[(table["work"] > 0) & (table["compute"] > 0)]
    table["call"] = (table["compute"] + table["transfer"]) / table["work"]
    table["compute"] /= table["work"]
    return table.drop(columns="transfer").rename(columns={"backend_ran": "backend"})


_METRICS = tuple(
    f"{side}_{part}" for side in ("break_even", "break_even_against") for part in ("compute", "transfer", "work")
)


@dataclass(frozen=True, slots=True)
class Batches:
    """The batches of one stage, in units of work: the smallest, the typical and the largest of its blocks."""

    stage: str
    calls: float
    low: float
    typical: float
    high: float


@dataclass(frozen=True, slots=True)
class BreakEven:
    """What was found for one kernel and backend.

    wins_from:  where the medians cross: the smallest measured batch from which on the backend is faster at every larger
                one; None if there is none
    clear_from: likewise, and the interval of the ratio excludes 1 at each of them: only this carries a claim
    sizes:      the measured batches, ascending; ``ratios``: the speed of the backend over the other's at each, transfer
                included; ``lows`` and ``highs``: the intervals
    batches:    of the run, by stage; empty where the table does not say
    """

    kernel: str
    backend: str
    against: str
    unit: str
    wins_from: int | None
    clear_from: int | None
    sizes: tuple[int, ...]
    ratios: tuple[float, ...]
    lows: tuple[float, ...]
    highs: tuple[float, ...]
    batches: tuple[Batches, ...]

    @property
    def typical(self) -> float | None:
        """The batch of the stage that has the largest ones; None where the table does not say."""
        return max((part.typical for part in self.batches), default=None)

    @property
    def around(self) -> list[tuple[int, float]]:
        """The measured sizes next to ``typical``, one below and one above where there are, each with its ratio."""
        if self.typical is None:
            return []
        measured = list(zip(self.sizes, self.ratios, strict=True))
        below = [pair for pair in measured if pair[0] <= self.typical]
        above = [pair for pair in measured if pair[0] > self.typical]
        return below[-1:] + above[:1]

    @property
    def title(self) -> str:
        """Who wins from where on, clear of noise, or that nobody does; without the batches of the run."""
        if self.wins_from is None:
            text = f"{self.backend} does not win up to {_units(self.sizes[-1], self.unit)}"
            won = [size for size, ratio in zip(self.sizes, self.ratios, strict=True) if ratio > 1]
            return text + (f", though by the medians it is faster at {_listed(won)}" if won else "")
        if self.wins_from == self.sizes[0]:
            crossing = f"the medians are ahead at every measured batch, from {self.wins_from:,} on"
        else:
            crossing = f"the medians cross at {self.wins_from:,}{self.rests_on_largest(self.wins_from)}"
        if self.clear_from is None:
            return f"{self.backend} is not clear of noise up to {_units(self.sizes[-1], self.unit)}: {crossing}"
        where = "at every measured batch, from" if self.clear_from == self.sizes[0] else "from"
        text = f"{self.backend} wins {where} {_units(self.clear_from, self.unit)} on"
        text += self.rests_on_largest(self.clear_from)
        return text if self.clear_from == self.wins_from else f"{text}; {crossing}"

    def rests_on_largest(self, size: int) -> str:
        """What has to be said of a crossing at ``size`` that no larger batch confirms; empty where one does."""
        return ", which is the largest measured" if size == self.sizes[-1] else ""

    @property
    def sentence(self) -> str:
        """One line: kernel, who wins from where on, and what a batch of the run has."""
        return f"{self.kernel}: {self.title} against {self.against} ({self.here})"

    @property
    def here(self) -> str:
        """What a batch of the run has, in words."""
        if not self.batches:
            return "the run does not say how large its batches are"
        parts = [f"{_count(part.typical)} in {part.stage}" for part in self.batches]
        return f"a batch here has {', '.join(parts)}"

    def row(self) -> dict[str, object]:
        """As JSON has it: keys as the fields, ``speed_ratio``s by ``sizes``, and the ``typical_batch`` of the run."""
        fields = asdict(self)
        renamed = {"ratios": "speed_ratio", "lows": "speed_ratio_low", "highs": "speed_ratio_high"}
        return {renamed.get(name, name): value for name, value in fields.items()} | {"typical_batch": self.typical}


def break_even(frame: pd.DataFrame, found: pd.DataFrame | None = None) -> list[BreakEven]:
    """What was found for every kernel and backend, in order of their names; empty where nothing was measured.

    found: ``curves(frame)``, where the caller has it already
    """
    found = curves(frame) if found is None else found
    batches = batch_sizes(frame)
    results = []
    for (kernel, backend, against, unit), rows in found.groupby(["kernel", "backend", "against", "unit"]):
        here = batches[(batches["kernel"] == kernel) & (batches["backend"] == backend)]
        parts = [
            Batches(str(row.stage), float(row.calls), float(row.low), float(row.typical), float(row.high))
            for row in here.itertuples()
        ]
        results.append(
            BreakEven(
                kernel=kernel,
                backend=backend,
                against=against,
                unit=unit,
                wins_from=_from(rows, "ratio"),
                clear_from=_from(rows, "ratio_low"),
                sizes=tuple(int(size) for size in rows["size"]),
                ratios=tuple(rows["ratio"].astype(float)),
                lows=tuple(rows["ratio_low"].astype(float)),
                highs=tuple(rows["ratio_high"].astype(float)),
                batches=tuple(parts),
            )
        )
    return results


def _from(rows: pd.DataFrame, column: str) -> int | None:
    """The smallest size from which on ``column`` is above 1 at every size; None where it is not at the largest."""
    wins_from = None
    for row in rows.sort_values("size", ascending=False).itertuples():
        if getattr(row, column) <= 1:
            break
        wins_from = int(row.size)
    return wins_from


def why_not(frame: pd.DataFrame) -> list[str]:
    """Why there is no break-even, or none of some kernel; empty where all that was asked for is there."""
    rows = frame[frame["metric"].astype("string").str.startswith("break_even") & (frame["status"] != "ok")]
    reasons = [
        f"{row.workload} on {row.backend_requested}: {row.reason}" if pd.notna(row.workload) else str(row.reason)
        for row in rows.itertuples()
    ]
    if reasons or frame["metric"].isin(_METRICS).any():
        return list(dict.fromkeys(reasons))
    if not _levels_with_backends(frame):
        return ["not measured: no level runs kernels on a backend that was asked for (--backend)"]
    return ["not measured: this run was written before break-even was"]


def _units(number: float, unit: str) -> str:
    return f"{_count(number)} {unit}{'' if number == 1 else 's'}"


def _count(number: float) -> str:
    return "-" if not math.isfinite(number) else f"{number:,.0f}"


def _listed(sizes: list[int]) -> str:
    return ", ".join(f"{size:,}" for size in sizes)
