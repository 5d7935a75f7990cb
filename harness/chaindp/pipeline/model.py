"""Scheduling measured stage durations on stated resources: what makes other machines and simulated devices comparable.

The model knows three constraints: a block passes the stages in order; a stage takes blocks in order, one at a time; and
no more stages are at work at once than there are cores. It does not know about memory bandwidth, caches or the
interpreter lock, so it is an upper bound on what overlap can give.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence

import numpy as np

__all__ = ["schedule"]


def schedule(
    durations: np.ndarray, released: Sequence[int], cores: int, pipelined: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Start and end instants int64[blocks, stages] in ns for busy times int64[blocks, stages].

    ``released`` int64[blocks] is the instant before which a block may not start. Without ``pipelined`` a block starts
    when the one before it has left the last stage. With it, ready work is taken oldest block first on ``cores`` cores.
    """
    blocks, stages = durations.shape
    start = np.zeros((blocks, stages), dtype=np.int64)
    end = np.zeros((blocks, stages), dtype=np.int64)
    if not pipelined:
        now = 0
        for block in range(blocks):
            now = max(now, int(released[block]))
            for stage in range(stages):
                start[block, stage] = now
                now += int(durations[block, stage])
                end[block, stage] = now
        return start, end

    done = np.zeros((blocks, stages), dtype=bool)
    begun = np.zeros((blocks, stages), dtype=bool)
    running: list[tuple[int, int, int]] = []  # (end, block, stage), a heap
    now = 0
    remaining = blocks * stages
    while remaining:
        for block in range(blocks):
            if len(running) == cores or released[block] > now:
                break
            waiting = np.flatnonzero(~begun[block])
            if not len(waiting):
                continue
            stage = int(waiting[0])
            if (stage == 0 or done[block, stage - 1]) and (block == 0 or done[block - 1, stage]):
                begun[block, stage] = True
                start[block, stage] = now
                end[block, stage] = now + int(durations[block, stage])
                heapq.heappush(running, (int(end[block, stage]), block, stage))
        releases = [int(instant) for instant in released if instant > now] if len(running) < cores else []
        now = min([running[0][0], *releases[:1]] if running else releases[:1])
        while running and running[0][0] <= now:
            _, block, stage = heapq.heappop(running)
            done[block, stage] = True
            remaining -= 1
    return start, end
