"""Whether a device's own clock can be believed: beside the wall clock of the same call, and of calls without profiling.

Events are stamped by the device or its driver, and a profiling queue may run otherwise than a plain one: it may drain
after every command, or turn overlap off. Both are checked on every bench, and what disagrees is said, not dropped.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from chaindp.backend import DeviceTimes
from chaindp.measure.statistics import Ratio, ratio_of_medians
from chaindp.measure.verdict import CONFIDENCE, MINIMUM_ROUNDS

__all__ = ["DISAGREEMENT_RULE", "impossible_times", "profiling_difference", "profiling_ratio"]

CLOCKS_APART = 0.001
"""How far two clocks may run apart, as a share: crystals are off by up to 100 ppm each, and this is beyond that."""

PROFILING_APART = 0.10

DISAGREEMENT_RULE = (
    "device times that cannot be (events that span more than the call took on the wall clock, kernels that add up to "
    "more than that, or no kernel at all); and wall times of the same calls with and without profiling whose medians "
    f"are {PROFILING_APART:.0%} or more apart, where the {CONFIDENCE:.0%} bootstrap interval of their ratio excludes 1 "
    f"(from {MINIMUM_ROUNDS} repetitions on)"
)


def impossible_times(times: DeviceTimes, wall_ns: int) -> str:
    """Why these cannot be the times of a call that took ``wall_ns`` on the wall clock; empty where they can.

    Upload, kernels and download are all within the call, so no event of it begins before or ends after it. Copies may
    overlap with kernels and with each other, so what they add up to says nothing by itself.
    """
    most = wall_ns * (1.0 + CLOCKS_APART)
    if times.span_ns > most:
        return f"device events span {_shown(times.span_ns)} in a call that took {_shown(wall_ns)}"
    if times.compute_ns > most:
        return f"kernels add up to {_shown(times.compute_ns)} in a call that took {_shown(wall_ns)}"
    if times.compute_ns == 0:
        return f"the device's clock saw no kernel in a call that took {_shown(wall_ns)}"
    return ""


def profiling_ratio(profiled_ns: Sequence[int], plain_ns: Sequence[int], *, seed: int = 0) -> Ratio | None:
    """The wall time of calls with profiling over that of calls without, by DISAGREEMENT_RULE's interval.

    profiled_ns, plain_ns: a call for each repetition, both on the same input

    None where there is nothing to judge by: fewer than MINIMUM_ROUNDS repetitions, a side that has not all of them, or
    a call that took no time.
    """
    if len(profiled_ns) != len(plain_ns) or len(plain_ns) < MINIMUM_ROUNDS or min(*profiled_ns, *plain_ns) <= 0:
        return None
    sides = (np.array(side, dtype=np.float64)[:, None] for side in (profiled_ns, plain_ns))
    return ratio_of_medians(*sides, paired=True, confidence=CONFIDENCE, seed=seed)


def profiling_difference(ratio: Ratio | None) -> str:
    """What profiling changes about a call, where it is more than noise; empty where it is not."""
    if ratio is None or ratio.low <= 1.0 <= ratio.high:
        return ""
    if 1.0 / (1.0 + PROFILING_APART) < ratio.ratio < 1.0 + PROFILING_APART:
        return ""
    return (
        f"on the wall clock a call with profiling takes {ratio.ratio:.3g} times as long as one without "
        f"({CONFIDENCE:.0%} interval {ratio.low:.3g} to {ratio.high:.3g})"
    )


def _shown(ns: int) -> str:
    unit, size = ("us", 1e3) if ns < 1e6 else ("ms", 1e6) if ns < 1e9 else ("s", 1e9)
    return f"{ns / size:.4g} {unit}"
