"""The rule behind every verdict: right on average over many drawn comparisons, and exact where it can be."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaindp.errors import InputError
from chaindp.measure.statistics import outliers, ratio_of_medians
from chaindp.measure.verdict import MINIMUM_ROUNDS, MINIMUM_SAMPLES, Verdict, judge


def spell(rng: np.random.Generator, rounds: int) -> np.ndarray:
    """Times of a noisy machine: a drift that all sides share, spread, and now and then a slow sample."""
    drift = np.exp(np.cumsum(rng.normal(0, 0.02, rounds)))
    return drift[:, None, None] * np.ones((1, 3, 2))


def sides(rng: np.random.Generator, rounds: int, slower: float = 1.0) -> list[np.ndarray]:
    times = 1000.0 * spell(rng, rounds) * rng.lognormal(0, 0.03, (rounds, 3, 2))
    times *= np.where(rng.random(times.shape) < 0.05, 1.5, 1.0)
    times[:, 1] *= slower
    return [times[:, index] for index in range(3)]


def verdicts(rounds: int, slower: float, trials: int) -> list[Verdict]:
    found = []
    for seed in range(trials):
        a, b, again = sides(np.random.default_rng(seed), rounds, slower)
        found.append(judge(a, b, again, seed=seed).verdict)
    return found


def test_equal_sides_are_rarely_told_apart() -> None:
    found = verdicts(rounds=30, slower=1.0, trials=100)
    assert set(found) <= {Verdict.NO_DIFFERENCE, Verdict.FASTER, Verdict.SLOWER}
    assert sum(verdict is not Verdict.NO_DIFFERENCE for verdict in found) <= 5


def test_equal_sides_are_rarely_told_apart_by_the_fewest_rounds() -> None:
    found = verdicts(rounds=MINIMUM_ROUNDS, slower=1.0, trials=200)
    assert sum(verdict is not Verdict.NO_DIFFERENCE for verdict in found) <= 10


def test_a_drift_within_stored_runs_is_their_noise_floor() -> None:
    """A run that got 20 % slower while it lasted shows nothing below that."""
    drifting = np.concatenate([np.full(20, 1000.0), np.full(20, 1200.0)]) * np.linspace(1, 1.001, 40)
    found = judge(drifting, np.linspace(999, 1001, 40))
    assert found.noise_floor is not None
    assert found.noise_floor >= 0.2
    assert found.verdict is Verdict.NO_DIFFERENCE


def test_a_true_difference_is_found() -> None:
    assert verdicts(rounds=60, slower=1.05, trials=20).count(Verdict.SLOWER) >= 18
    assert verdicts(rounds=60, slower=1 / 1.05, trials=20).count(Verdict.FASTER) >= 18


def test_drift_between_rounds_is_no_difference() -> None:
    """A machine that gets three times slower during the comparison does so for both sides."""
    drift = np.linspace(1.0, 3.0, 40)[:, None] * np.ones((1, 2)) * 1000.0
    found = judge(drift, drift.copy(), drift.copy())
    assert (found.verdict, found.ratio, found.low, found.high) == (Verdict.NO_DIFFERENCE, 1.0, 1.0, 1.0)


def test_a_difference_within_the_noise_floor_is_none() -> None:
    """B is steadily 5 % slower, but so is A against itself: this machine does that to equal sides."""
    steady = np.full((20, 2), 1000.0)
    found = judge(steady, steady * 1.05, steady * 1.06)
    assert found.high < 1.0
    assert found.noise_floor == pytest.approx(0.06)
    assert found.verdict is Verdict.NO_DIFFERENCE
    assert judge(steady, steady * 1.07, steady * 1.06).verdict is Verdict.SLOWER


@pytest.mark.parametrize("rounds", range(1, MINIMUM_ROUNDS))
def test_too_few_rounds_are_insufficient(rounds: int) -> None:
    a = np.full((rounds, 2), 1000.0)
    found = judge(a, a * 2, a)
    assert found.verdict is Verdict.INSUFFICIENT
    assert str(rounds) in found.reason
    assert found.ratio == 0.5


def test_one_sample_a_side_is_never_a_verdict() -> None:
    assert judge(np.array([1.0]), np.array([100.0])).verdict is Verdict.INSUFFICIENT


@pytest.mark.parametrize("count", range(2, MINIMUM_SAMPLES))
def test_too_few_stored_samples_on_either_side_are_insufficient(count: int) -> None:
    few, many = np.linspace(1, 1.1, count), np.linspace(10, 11, 50)
    assert judge(few, many).verdict is Verdict.INSUFFICIENT
    assert judge(many, few).verdict is Verdict.INSUFFICIENT


def test_rates_are_judged_the_other_way_round() -> None:
    rng = np.random.default_rng(0)
    slow, fast = rng.normal(100, 1, 20), rng.normal(200, 1, 20)
    assert judge(slow, fast).verdict is Verdict.SLOWER
    found = judge(slow, fast, higher_is_better=True)
    assert found.verdict is Verdict.FASTER
    assert found.ratio == pytest.approx(2.0, rel=0.02)


@given(st.integers(5, 30), st.floats(0.2, 5.0), st.integers(0, 1000))
def test_the_interval_holds_the_ratio_and_swapping_sides_inverts_it(rounds: int, factor: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    a, b = rng.lognormal(0, 0.1, (rounds, 2)), factor * rng.lognormal(0, 0.1, (rounds, 2))
    forth = ratio_of_medians(a, b, paired=True, resamples=200)
    back = ratio_of_medians(b, a, paired=True, resamples=200)
    assert forth.low <= forth.ratio * (1 + 1e-9)
    assert forth.ratio <= forth.high * (1 + 1e-9)
    assert forth.ratio * back.ratio == pytest.approx(1.0)
    assert forth.low * back.high == pytest.approx(1.0, rel=0.05)


@pytest.mark.parametrize(
    ("numerator", "denominator", "paired"),
    [
        ([1.0, 0.0], [1.0, 1.0], False),
        ([1.0, -1.0], [1.0, 1.0], False),
        ([], [1.0], False),
        ([1.0, float("nan")], [1.0, 1.0], False),
        ([1.0, 2.0], [1.0, 1.0], True),
        (np.ones((3, 2)), np.ones((4, 2)), True),
    ],
)
def test_sides_that_have_no_ratio_are_refused(numerator: object, denominator: object, paired: bool) -> None:
    with pytest.raises(InputError):
        ratio_of_medians(numerator, denominator, paired=paired)  # type: ignore[arg-type]


def test_outliers_are_labelled_by_tukeys_fences() -> None:
    # Quartiles 10 and 12: fences at 7 and 15, and at 4 and 18.
    values = [10.0, 10.0, 10.0, 11.0, 12.0, 12.0, 12.0]
    assert outliers(values).tolist() == [""] * 7
    labels = outliers([10.0] * 30 + [11.0] + [12.0] * 30 + [15.5, 6.5, 19.0, 3.0]).tolist()
    assert labels[-4:] == ["mild", "mild", "severe", "severe"]
    assert labels[:-4] == [""] * 61


def test_few_samples_have_no_outliers() -> None:
    assert outliers([1.0, 1.0, 1.0, 100.0]).tolist() == [""] * 4
