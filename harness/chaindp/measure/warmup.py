"""Warming up until times are stable, by one stated rule."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

__all__ = ["WARM_UP_RULE", "WarmUp", "warm_up"]

_WINDOW, _TOLERANCE, _CALLS, _SECONDS = 3, 0.05, 60, 3.0

WARM_UP_RULE = (
    f"calls on fresh input until the median of the last {_WINDOW} is at most {_TOLERANCE:.0%} below the median of the "
    f"{_WINDOW} before them; at least {2 * _WINDOW} calls, at most {_CALLS} calls or {_SECONDS:g} s"
)


@dataclass(frozen=True, slots=True)
class WarmUp:
    """How a warm-up went: calls made, whether times had become stable, and the last times' median in ns."""

    calls: int
    stable: bool
    last_ns: float


def warm_up(call: Callable[[int], int], clock: Callable[[], float] = time.perf_counter) -> WarmUp:
    """Call until stable by WARM_UP_RULE.

    call:  takes the number of the call, from 0, and returns how long it took in ns

    Only getting faster counts as unstable: what compiles, fills caches or raises its clock does so once, while a time
    that goes up is noise, which repetitions deal with.
    """
    began = clock()
    times: list[int] = []
    while len(times) < _CALLS:
        times.append(call(len(times)))
        if len(times) >= 2 * _WINDOW:
            before, last = np.median(times[-2 * _WINDOW : -_WINDOW]), np.median(times[-_WINDOW:])
            if last >= before * (1.0 - _TOLERANCE):
                return WarmUp(len(times), True, float(last))
        # One call that takes this long pays for its own warm-up; two show that there was one.
        if len(times) >= 2 and clock() - began > _SECONDS:
            break
    return WarmUp(len(times), False, float(np.median(times[-_WINDOW:])))
