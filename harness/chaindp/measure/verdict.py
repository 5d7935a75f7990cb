"""Which of two sides is faster, and how sure that is: the one rule behind every verdict that chaindp prints.

The ratio is of speeds: how many times as fast B is as A. It comes with a 99 % bootstrap interval and with a noise
floor: the speed-up that this machine shows, at this moment, between A and A itself. A verdict of ``faster`` or
``slower`` needs both an interval that excludes 1 and a ratio beyond the noise floor.

docs/measurement.md shows how often this rule is wrong, by experiment.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum

import numpy as np

from chaindp.errors import InputError
from chaindp.measure.statistics import ratio_of_medians

__all__ = ["CONFIDENCE", "MINIMUM_ROUNDS", "MINIMUM_SAMPLES", "VERDICT_RULE", "Comparison", "Verdict", "judge"]

CONFIDENCE = 0.99
_FLOOR_QUANTILE = 0.95

MINIMUM_SAMPLES = 5
"""A side. With 4 a side, the most extreme of all 70 ways to split 8 samples still comes up in 3 % of comparisons of
equal sides; with 5, in less than 1 %."""

MINIMUM_ROUNDS = 5
"""Rounds of interleaved samples. The interval of so few is too narrow; it is the noise floor, drawn from as few, that
keeps wrong verdicts rare (tests/test_measure_verdict.py counts them on simulated equal sides)."""

VERDICT_RULE = (
    f"faster or slower where the {CONFIDENCE:.0%} bootstrap interval of the ratio of medians excludes 1 and the ratio "
    f"is beyond the noise floor, the {_FLOOR_QUANTILE:.0%} quantile of how far A is from a second A; "
    f"insufficient data below {MINIMUM_SAMPLES} samples a side"
)


class Verdict(StrEnum):
    """What a comparison says of B, against A."""

    FASTER = "faster"
    SLOWER = "slower"
    NO_DIFFERENCE = "no difference"
    INSUFFICIENT = "insufficient data"


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """One row of a comparison. ``ratio``, ``low``, ``high``: the speed of B over that of A, with its interval.

    metric:        what was compared, such as ``tps`` or ``ns_per_unit``
    what:          of what: workload and level, or kernel and size
    a, b:          the two sides, as the user named them
    a_median:      in ``unit``; so is ``b_median``
    noise_floor:   as a share: 0.02 says that equal sides show up to 2 % here
    floor_from:    where the noise floor comes from
    reason:        why there is no ratio, or no verdict of faster or slower
    """

    metric: str
    what: str
    a: str
    b: str
    unit: str
    time_domain: str | None
    samples_a: int
    samples_b: int
    verdict: Verdict | None
    a_median: float | None = None
    b_median: float | None = None
    ratio: float | None = None
    low: float | None = None
    high: float | None = None
    noise_floor: float | None = None
    floor_from: str = ""
    outliers_a: int = 0
    outliers_b: int = 0
    reason: str = ""

    def row(self) -> dict[str, object]:
        """The comparison as JSON has it. A comparison that was refused has ``verdict`` null and a reason."""
        return asdict(self) | {"verdict": None if self.verdict is None else self.verdict.value}


@dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict with the figures that it was reached by; ``reason`` says what insufficient data lack.

    The interval and the noise floor are None where data are insufficient: of so few samples they would mean nothing.
    """

    ratio: float
    low: float | None
    high: float | None
    noise_floor: float | None
    verdict: Verdict
    reason: str = ""


def judge(
    a: np.ndarray, b: np.ndarray, again: np.ndarray | None = None, *, higher_is_better: bool = False, seed: int = 0
) -> Judgement:
    """Judge B against A.

    a, b, again: times (or rates, where higher is better), all positive. Interleaved: float64[rounds, samples a round],
                 with ``again``, the second side of the A/A comparison, measured in the same rounds. Of two runs that
                 are over: flat, in the order of measuring, without ``again``; the noise floor is then what each run
                 shows against itself: draws against draws, and its first half against its second.

    Too few samples for a verdict still give a ratio, with ``insufficient data``.
    """
    paired = again is not None
    sides = (b, a) if higher_is_better else (a, b)
    speed = ratio_of_medians(*sides, paired=paired, confidence=CONFIDENCE, seed=seed)
    if again is not None:
        missing = "" if len(a) >= MINIMUM_ROUNDS else f"{_count(len(a), 'round')}, and it takes {MINIMUM_ROUNDS}"
    else:
        fewest = min(len(a), len(b))
        missing = (
            "" if fewest >= MINIMUM_SAMPLES else f"{_count(fewest, 'sample')} a side, and it takes {MINIMUM_SAMPLES}"
        )
    if missing:
        return Judgement(speed.ratio, None, None, None, Verdict.INSUFFICIENT, missing)
    if again is not None:
        floor = _floor(ratio_of_medians(a, again, paired=True, seed=seed + 1).resampled)
    else:
        # Draws of a side against itself: two independent draws, so twice the variance of one median.
        draws = [_floor(ratio_of_medians(side, side, paired=False, seed=seed + 1).resampled) for side in (a, b)]
        floor = max(*draws, *(_floor(np.array([_drift(side)])) for side in (a, b)))
    verdict = Verdict.NO_DIFFERENCE
    if speed.low > 1.0 and speed.ratio > 1.0 + floor:
        verdict = Verdict.FASTER
    elif speed.high < 1.0 and speed.ratio < 1.0 / (1.0 + floor):
        verdict = Verdict.SLOWER
    return Judgement(speed.ratio, speed.low, speed.high, floor, verdict)


def _drift(samples: np.ndarray) -> float:
    """The median of the first half of a run over that of its second half."""
    half = len(samples) // 2
    return float(np.median(samples[:half]) / np.median(samples[half:]))


def _count(number: int, what: str) -> str:
    return f"{number} {what}" + ("" if number == 1 else "s")


def _floor(ratios: np.ndarray) -> float:
    """How far a ratio of equal sides is from 1, as a share, in all but the most extreme draws."""
    if not len(ratios):
        raise InputError("no draws to take a noise floor from")
    return float(np.exp(np.quantile(np.abs(np.log(ratios)), _FLOOR_QUANTILE)) - 1.0)
