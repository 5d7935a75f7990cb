"""Statistics of samples: order statistics, how sure they are, which samples lie outside, and ratios of two sides."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from chaindp.errors import InputError

__all__ = [
    "OUTLIER_RULE",
    "Ratio",
    "Summary",
    "bootstrap_median",
    "median",
    "outlier_notes",
    "outliers",
    "quartiles",
    "ratio_of_medians",
    "summarize",
]

RESAMPLES = 2_000
_CELLS = 1_000_000

OUTLIER_RULE = "beyond 1.5 (mild) or 3 (severe) interquartile ranges from the quartiles (Tukey 1977); labelled and kept"


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


@dataclass(frozen=True, slots=True)
class Ratio:
    """A ratio of two medians, its bootstrap interval, and the bootstrap's ratios, sorted: float64[resamples]."""

    ratio: float
    low: float
    high: float
    resampled: np.ndarray


def median(samples: Sequence[float] | np.ndarray) -> float:
    """The median of one or more finite samples; InputError for none or a value that is not finite."""
    return float(np.median(_checked(samples)))


def quartiles(samples: Sequence[float] | np.ndarray) -> tuple[float, float, float]:
    """First quartile, median, third quartile, linear between samples (Hyndman and Fan 1996, definition 7)."""
    q1, q2, q3 = np.quantile(_checked(samples), [0.25, 0.5, 0.75])
    return float(q1), float(q2), float(q3)


def bootstrap_median(
    samples: Sequence[float] | np.ndarray, *, confidence: float = 0.95, resamples: int = RESAMPLES, seed: int = 0
) -> tuple[float, float]:
    """Percentile bootstrap interval of the median (Efron 1979): the same samples and seed give the same interval.

    One sample gives that sample twice: its spread is unknown, which is not the same as none; callers show the count.
    """
    values = _checked(samples)
    low, high, _ = _bootstrap(
        len(values), lambda picks: np.median(values[picks], axis=-1), confidence, resamples, seed, width=len(values)
    )
    # Between two equal draws interpolation may round past them.
    least, most = float(values.min()), float(values.max())
    return min(max(low, least), most), min(max(high, least), most)


def summarize(samples: Sequence[float] | np.ndarray, *, confidence: float = 0.95, seed: int = 0) -> Summary:
    """All order statistics of the samples, with the bootstrap interval of the median."""
    values = _checked(samples)
    q1, q2, q3 = quartiles(values)
    low, high = bootstrap_median(values, confidence=confidence, seed=seed)
    return Summary(len(values), float(values.min()), q1, q2, q3, float(values.max()), low, high)


def outliers(samples: Sequence[float] | np.ndarray) -> np.ndarray:
    """A label for each sample by OUTLIER_RULE: ``""``, ``"mild"`` or ``"severe"``. Fewer than 5 samples have none."""
    values = _checked(samples)
    labels = np.full(len(values), "", dtype="<U6")
    if len(values) >= 5:
        q1, _, q3 = quartiles(values)
        distance = np.maximum(q1 - values, values - q3)
        labels[distance > 1.5 * (q3 - q1)] = "mild"
        labels[distance > 3.0 * (q3 - q1)] = "severe"
    return labels


def outlier_notes(samples: Sequence[float] | np.ndarray) -> list[str]:
    """What the results table says of each sample: ``mild outlier``, ``severe outlier``, or nothing."""
    return [f"{label} outlier" if label else "" for label in outliers(samples).tolist()]


def ratio_of_medians(
    numerator: Sequence[float] | np.ndarray,
    denominator: Sequence[float] | np.ndarray,
    *,
    paired: bool,
    confidence: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Ratio:
    """The ratio of the medians of two sides of positive samples, with its percentile bootstrap interval.

    paired: both sides are float64[rounds, samples a round]; whole rounds are drawn, so that what both sides of a round
            have in common (a slow spell of the machine) stays in common. Otherwise both are flat, and each side is
            drawn by itself.
    """
    above, below = (np.asarray(side, dtype=np.float64) for side in (numerator, denominator))
    for side in (above, below):
        if (_checked(side.reshape(-1)) <= 0).any():
            raise InputError("a sample is not positive, so it has no ratio")
    if paired:
        if above.ndim != 2 or below.ndim != 2 or len(above) != len(below):
            raise InputError(f"paired sides have shapes {list(above.shape)} and {list(below.shape)}")

        def statistic(picks: np.ndarray) -> np.ndarray:
            tops, bottoms = (side[picks].reshape(*picks.shape[:-1], -1) for side in (above, below))
            return np.asarray(np.median(tops, axis=-1) / np.median(bottoms, axis=-1))

        low, high, drawn = _bootstrap(len(above), statistic, confidence, resamples, seed, width=above.size)
    else:
        tops = _medians(above, resamples, np.random.default_rng([seed, 0]))
        bottoms = _medians(below, resamples, np.random.default_rng([seed, 1]))
        drawn = np.sort(tops / bottoms)
        tail = (1.0 - _confidence(confidence)) / 2.0
        low, high = (float(value) for value in np.quantile(drawn, [tail, 1.0 - tail]))
    return Ratio(float(np.median(above) / np.median(below)), low, high, drawn)


def _medians(values: np.ndarray, resamples: int, rng: np.random.Generator) -> np.ndarray:
    """Medians float64[resamples] of samples drawn with replacement."""
    if len(values) == 1:
        return np.full(resamples, values[0])
    from scipy import stats

    done = stats.bootstrap(
        (values,),
        np.median,
        n_resamples=resamples,
        method="percentile",
        vectorized=True,
        rng=rng,
        batch=max(1, _CELLS // len(values)),
    )
    return np.asarray(done.bootstrap_distribution)


def _bootstrap(
    count: int, statistic: Callable[[np.ndarray], np.ndarray], confidence: float, resamples: int, seed: int, width: int
) -> tuple[float, float, np.ndarray]:
    """Percentile interval of ``statistic`` over draws of ``count`` things, and its sorted draws.

    statistic: indices int64[..., count] to float64[...]
    width:     how many values one draw makes the statistic gather, which bounds the memory
    """
    _confidence(confidence)
    if resamples < 1:
        raise InputError(f"{resamples} resamples; it must be 1 or more")
    indices = np.arange(count)
    if count == 1:
        only = float(statistic(indices))
        return only, only, np.full(resamples, only)
    from scipy import stats

    done = stats.bootstrap(
        (indices,),
        lambda picks, axis: statistic(picks.astype(np.int64)),
        n_resamples=resamples,
        confidence_level=confidence,
        method="percentile",
        vectorized=True,
        rng=np.random.default_rng(seed),
        # In slices, so that memory stays bounded however many samples there are.
        batch=max(1, _CELLS // width),
    )
    interval = done.confidence_interval
    return float(interval.low), float(interval.high), np.sort(done.bootstrap_distribution)


def _confidence(confidence: float) -> float:
    if not 0.0 < confidence < 1.0:
        raise InputError(f"a confidence of {confidence} is not between 0 and 1")
    return confidence


def _checked(samples: Sequence[float] | np.ndarray) -> np.ndarray:
    values = np.asarray(samples, dtype=np.float64)
    if values.ndim != 1 or len(values) == 0:
        raise InputError("no samples to summarize")
    if not np.isfinite(values).all():
        raise InputError("a sample is not a finite number")
    return values
