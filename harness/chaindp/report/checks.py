"""What a run must hold before anything is drawn of it: one step, so that no view further on meets what it cannot draw.

``results.store.load`` checks the columns; here are the values. A table that was damaged, or made up, is refused in one
line that names the run and what is wrong, and no half of a page is written.
"""

from __future__ import annotations

import math
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from chaindp.errors import InputError
from chaindp.measure.verdict import Verdict
from chaindp.pipeline.levels import LEVELS
from chaindp.results.store import RUN_JSON
from chaindp.results.summary import LATENCIES, STAGES

__all__ = ["check_comparisons", "check_document", "check_path", "check_table"]

_LARGEST = 1e18
"""In any unit: of ns, 30 years. Sums of what is below it stay finite."""
_SMALLEST = 1e-9
_DEEPEST = 32

_POSITIVE = (
    "tps",
    "tps_with_admit",
    "tps_again",
    "tps_duration",
    "tps_with_admit_duration",
    "transactions_after_admit",
)
_BLOCK = ("start", "end", "transactions", *(f"latency_{kind}" for kind in LATENCIES))
_STAGE = ("busy", "cpu", "wait")
_STAGE_SUMS = tuple(f"{name}_after_admit" for name in _STAGE)
_CALLS = (
    *("kernel_compute", "kernel_transfer", "kernel_calls", "kernel_batch", "kernel_elapsed", "kernel_cycles"),
    *("kernel_stall_cycles", "kernel_latency_cycles", "kernel_operations", "kernel_to_bytes", "kernel_from_bytes"),
)
_PLATFORM = ("platform_clock", "platform_instances", "platform_link_latency")
_ALONE = ("compute_time", "transfer_time", "work", "compute_time_again", "transfer_time_again", "work_again")
_BREAK_EVEN = tuple(
    f"{side}_{part}" for side in ("break_even", "break_even_against") for part in ("compute", "transfer", "work")
)

_KEYS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(_POSITIVE, ("workload", "level", "repetition")),
    **dict.fromkeys(_BLOCK, ("workload", "level", "repetition", "block")),
    **dict.fromkeys(("start", "end", *_STAGE), ("workload", "level", "repetition", "stage", "block")),
    **dict.fromkeys(_STAGE_SUMS, ("workload", "level", "repetition", "stage")),
    **dict.fromkeys(_CALLS, ("workload", "level", "repetition", "stage", "block", "kernel")),
    **dict.fromkeys(_PLATFORM, ("workload", "backend_ran")),
    **dict.fromkeys(_ALONE, ("workload", "kernel", "backend_requested")),
    **dict.fromkeys(_BREAK_EVEN, ("workload", "kernel", "backend_ran", "repetition")),
}
"""What tells samples of a metric apart, where a report relies on it: an ok row has all of these."""

_POSITIVE_TOO = ("kernel_batch", *(name for name in _BREAK_EVEN if not name.endswith("_transfer")))
"""On logarithmic axes, zero has no place."""

_ONCE = (*_POSITIVE, *_BLOCK, *_STAGE, *_STAGE_SUMS, *_BREAK_EVEN)
"""Metrics of which there is one sample at each of their keys: twice as many would be joined with each other."""


def check_path(path: Path) -> None:
    """InputError, with what to do, for what people give in place of a run's folder: its run.json, or a bundle of it."""
    if not path.is_file():
        return
    if path.name == RUN_JSON:
        raise InputError(f"{path} is the {RUN_JSON} of a run: name the folder, {path.parent}")
    if zipfile.is_zipfile(path):
        raise InputError(f"{path} is a bundle: `chaindp bundle --extract {path}` writes its run folder, name that")


def check_table(frame: pd.DataFrame, path: Path) -> None:
    """InputError where a value, a level, a stage or a key is none that a run of chaindp could hold.

    frame: as ``results.store.load`` returns it, or with its columns of words as categories
    """
    values = frame["value"]
    odd = values.notna() & ~(values.abs() <= _LARGEST)
    _refuse(path, frame, odd, "is not a finite number, or is above 1e18")
    levels = {int(level) for level in frame["level"].dropna().unique()} - set(range(len(LEVELS)))
    if levels:
        raise InputError(f"{path} has levels that there are none of: {sorted(levels)}")
    stages = sorted({str(stage) for stage in frame["stage"].dropna().unique()} - set(STAGES))
    if stages:
        raise InputError(f"{path} has a stage {stages[0]!r}; stages are {', '.join(STAGES)}")
    if (frame["repetition"].dropna() < 0).any() or (frame["block"].dropna() < 0).any():
        raise InputError(f"{path} has a repetition or block below 0")
    ok = frame["status"] == "ok"
    for metric in frame["metric"].unique():
        if metric not in _KEYS:
            continue
        rows = frame[(frame["metric"] == metric) & ok]
        name = str(metric)
        _refuse(path, rows, rows["value"].isna(), "has no value")
        _refuse(path, rows, rows["value"] < 0, "is below 0")
        if name in _POSITIVE or name in _POSITIVE_TOO:
            _refuse(path, rows, rows["value"] < _SMALLEST, "is not positive")
        if name.startswith("work"):
            _refuse(path, rows, (rows["value"] > 0) & (rows["value"] < _SMALLEST), "is next to nothing")
        keys = list(_KEYS[name])
        for key in keys:
            _refuse(path, rows, rows[key].isna(), f"has no {key}")
        if name in _ONCE:
            _refuse(path, rows, rows.duplicated(keys), "is there twice")


def _refuse(path: Path, rows: pd.DataFrame, bad: pd.Series, why: str) -> None:
    if not bad.any():
        return
    row = rows[bad].iloc[0]
    where = [f"{name} {row[name]}" for name in ("level", "repetition", "stage", "block") if not pd.isna(row[name])]
    what = ", ".join([f"metric {row['metric']}", *where])
    raise InputError(f"{path} cannot be drawn: {what}: the value {why}")


def check_document(document: Mapping[str, Any], path: Path) -> None:
    """InputError where a run.json holds what cannot be written down: too deep, too large a number, half a character."""
    for name, value, depth in _walk(document):
        if depth > _DEEPEST:
            raise InputError(f"{path}: its {RUN_JSON} is nested more than {_DEEPEST} deep")
        if isinstance(value, int) and abs(value) > 1e300:
            raise InputError(f"{path}: its {RUN_JSON} has a number of more than 300 digits at {name[:80]!r}")
        for words in (name, value):
            if isinstance(words, str) and any("\ud800" <= character <= "\udfff" for character in words):
                raise InputError(f"{path}: its {RUN_JSON} has a text that is not Unicode")


def _walk(document: Mapping[str, Any]) -> Iterator[tuple[str, Any, int]]:
    """Every value with its name and its depth; without recursion, which a deep document would exhaust."""
    left: list[tuple[str, Any, int]] = [("", document, 0)]
    while left:
        name, value, depth = left.pop()
        yield name, value, depth
        if depth > _DEEPEST:
            continue
        if isinstance(value, Mapping):
            left += [(str(key), item, depth + 1) for key, item in value.items()]
        elif isinstance(value, list):
            left += [(name, item, depth + 1) for item in value]


_WORDS = ("metric", "what", "a", "b")
_MORE_WORDS = ("unit", "floor_from", "reason", "time_domain")
_FIGURES = ("a_median", "b_median", "noise_floor", "samples_a", "samples_b", "outliers_a", "outliers_b")
_RATIOS = ("ratio", "low", "high")
_VERDICTS = (None, *(verdict.value for verdict in Verdict))


def check_comparisons(document: Mapping[str, Any], path: Path) -> None:
    """InputError where the rows of a comparison are not as ``chaindp compare`` writes them."""
    rows = document.get("rows")
    if not isinstance(rows, list):
        raise InputError(f"{path}: its {RUN_JSON} holds no rows of a comparison")
    for number, row in enumerate(rows):
        why = _wrong_with(row) if isinstance(row, dict) else "is no object"
        if why:
            raise InputError(f"{path}: its {RUN_JSON} holds no rows of a comparison: row {number} {why}")


def _wrong_with(row: Mapping[str, Any]) -> str:
    """What is wrong with a row of a comparison; empty where it is one."""
    for name in _WORDS:
        if not isinstance(row.get(name), str):
            return f"has no {name}"
    for name in _MORE_WORDS:
        if not isinstance(row.get(name), str | None):
            return f"has a {name} that is no text"
    for name in (*_FIGURES, *_RATIOS):
        least, most = (1e-12, 1e12) if name in _RATIOS else (0, _LARGEST)
        if row.get(name) is not None and not _number(row[name], least, most):
            return f"has a {name} that is no such figure"
    if row.get("verdict") not in _VERDICTS:
        return "has a verdict that there is none of"
    if row.get("verdict") in ("faster", "slower", "no difference") and any(row.get(name) is None for name in _RATIOS):
        return "has a verdict without a ratio and its interval"
    return ""


def _number(value: Any, least: float, most: float) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    # Comparing, unlike converting, takes an integer of any length.
    return (isinstance(value, int) or math.isfinite(value)) and least <= value <= most
