"""Statistics of samples: order statistics, and how sure they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from chaindp.errors import InputError

__all__ = ["Summary", "bootstrap_median", "median", "quartiles", "summarize"]

_CELLS = 1_000_000


@dataclass(frozen=True, slots=True)
class Summary:
    """Order statistics of ``count`` samples in their own unit; ``low`` to ``high`` is the interval of the median."""

    count: int
    minimum: float
    q1: float
    median: float
    q3: float
    maximum: float
    low: float
    high: float


def median(samples: Sequence[float] | np.ndarray) -> float:
    """The median of one or more finite samples; InputError for none or a value that is not finite."""
    return float(np.median(_checked(samples)))


def quartiles(samples: Sequence[float] | np.ndarray) -> tuple[float, float, float]:
    """First quartile, median, third quartile, linear between samples (Hyndman and Fan 1996, definition 7)."""
    q1, q2, q3 = np.quantile(_checked(samples), [0.25, 0.5, 0.75])
    return float(q1), float(q2), float(q3)


def bootstrap_median(
    samples: Sequence[float] | np.ndarray, *, confidence: float = 0.95, resamples: int = 2_000, seed: int = 0
) -> tuple[float, float]:
    """Percentile bootstrap interval of the median (Efron 1979): the same samples and seed give the same interval.

    One sample gives that sample twice: its spread is unknown, which is not the same as none; callers show the count.
    """
    values = _checked(samples)
    if not 0.0 < confidence < 1.0:
        raise InputError(f"a confidence of {confidence} is not between 0 and 1")
    if resamples < 1:
        raise InputError(f"{resamples} resamples; it must be 1 or more")
    rng = np.random.default_rng(seed)
    medians = np.empty(resamples)
    # In slices, so that memory stays bounded however many samples there are.
    step = max(1, _CELLS // len(values))
    for start in range(0, resamples, step):
        rows = min(step, resamples - start)
        picks = rng.integers(0, len(values), size=(rows, len(values)))
        medians[start : start + rows] = np.median(values[picks], axis=1)
    tail = (1.0 - confidence) / 2.0
    low, high = np.quantile(medians, [tail, 1.0 - tail])
    return float(low), float(high)


def summarize(samples: Sequence[float] | np.ndarray, *, confidence: float = 0.95, seed: int = 0) -> Summary:
    """All order statistics of the samples, with the bootstrap interval of the median."""
    values = _checked(samples)
    q1, q2, q3 = quartiles(values)
    low, high = bootstrap_median(values, confidence=confidence, seed=seed)
    return Summary(len(values), float(values.min()), q1, q2, q3, float(values.max()), low, high)


def _checked(samples: Sequence[float] | np.ndarray) -> np.ndarray:
    values = np.asarray(samples, dtype=np.float64)
    if values.ndim != 1 or len(values) == 0:
        raise InputError("no samples to summarize")
    if not np.isfinite(values).all():
        raise InputError("a sample is not a finite number")
    return values
