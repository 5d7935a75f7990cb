from __future__ import annotations

import statistics

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from chaindp.errors import InputError
from chaindp.measure.statistics import bootstrap_median, median, quartiles, summarize

SAMPLES = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=40)


@given(SAMPLES)
def test_median_and_quartiles_are_pythons(samples: list[float]) -> None:
    assert median(samples) == pytest.approx(statistics.median(samples), abs=1e-6)
    if len(samples) > 1:
        expected = statistics.quantiles(samples, n=4, method="inclusive")
        assert quartiles(samples) == pytest.approx(tuple(expected), abs=1e-6)


@settings(max_examples=40)
@given(SAMPLES, st.integers(0, 3))
@example([0.0, 523254.4419488835], 0)
def test_the_interval_holds_the_median_and_is_reproducible(samples: list[float], seed: int) -> None:
    low, high = bootstrap_median(samples, seed=seed, resamples=300)
    assert min(samples) <= low <= high <= max(samples)
    assert bootstrap_median(samples, seed=seed, resamples=300) == (low, high)
    summary = summarize(samples)
    assert summary.minimum <= summary.q1 <= summary.median <= summary.q3 <= summary.maximum
    assert summary.count == len(samples)


def test_the_interval_covers_the_truth_as_often_as_it_says() -> None:
    rng = np.random.default_rng(1)
    hits = 0
    for trial in range(200):
        low, high = bootstrap_median(rng.normal(10.0, 2.0, size=25), seed=trial, resamples=500)
        hits += low <= 10.0 <= high
    # 95 % of 200 is 190; four standard deviations of the count are 12.3.
    assert 176 <= hits <= 200


def test_the_interval_narrows_with_more_samples_and_less_confidence() -> None:
    rng = np.random.default_rng(2)
    few, many = rng.normal(size=10), rng.normal(size=3000)

    def width(samples: np.ndarray, confidence: float) -> float:
        low, high = bootstrap_median(samples, confidence=confidence)
        return high - low

    assert width(many, 0.95) < width(few, 0.95) / 3
    assert width(few, 0.5) < width(few, 0.95)


def test_one_sample_has_no_spread_to_know() -> None:
    assert bootstrap_median([3.0]) == (3.0, 3.0)


@pytest.mark.parametrize("samples", [[], [1.0, float("nan")], [float("inf")], np.zeros((2, 2))])
def test_bad_samples_are_refused(samples: list[float]) -> None:
    for function in (median, quartiles, bootstrap_median, summarize):
        with pytest.raises(InputError):
            function(samples)


@pytest.mark.parametrize("options", [{"confidence": 0.0}, {"confidence": 1.0}, {"resamples": 0}])
def test_bad_options_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(InputError):
        bootstrap_median([1.0, 2.0], **options)  # type: ignore[arg-type]
