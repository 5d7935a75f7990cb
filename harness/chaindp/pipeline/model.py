"""Scheduling measured stage durations on stated resources: what makes other machines and simulated devices comparable.

The model knows four constraints: a block passes the stages in order; a stage takes blocks in order, one at a time; the
stages at work need no more cores at once than there are; a block is not past ``order`` before it is ordered. It knows
nothing of memory bandwidth, caches or the interpreter's lock, so it is an upper bound on what overlap can give.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence

import numpy as np

__all__ = ["schedule"]


def schedule(
    durations: np.ndarray,
    released: Sequence[int],
    cores: int,
    pipelined: bool,
    *,
    gate: int = 0,
    demand: Sequence[int] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Start and end instants int64[blocks, stages] in ns for busy times int64[blocks, stages].

    released:   int64[blocks], the instant before which a block may not start stage ``gate``
    cores:      how many there are
    pipelined:  whether blocks overlap; otherwise one starts when the one before it has left the last stage
    demand:     cores that each stage keeps busy while it works, 1 each by default; no more than there are
    """
    blocks, stages = durations.shape
    need = [min(cores, wanted) for wanted in demand] if demand is not None else [1] * stages
    start = np.zeros((blocks, stages), dtype=np.int64)
    end = np.zeros((blocks, stages), dtype=np.int64)
    if not pipelined:
        now = 0
        for block in range(blocks):
            for stage in range(stages):
                if stage == gate:
                    now = max(now, int(released[block]))
                start[block, stage] = now
                now += int(durations[block, stage])
                end[block, stage] = now
        return start, end

    done = np.zeros((blocks, stages), dtype=bool)
    begun = np.zeros(blocks, dtype=np.int64)  # how many stages of a block have begun
    running: list[tuple[int, int, int]] = []  # (end, block, stage), a heap
    now, free, remaining = 0, cores, blocks * stages
    while remaining:
        # Oldest block first: what is ready and fits is placed, what does not fit keeps no younger work from the cores.
        gated = [int(instant) for instant in released if instant > now]
        for block in range(blocks):
            stage = int(begun[block])
            if free == 0 or stage == stages:
                continue
            ready = (stage == 0 or done[block, stage - 1]) and (block == 0 or done[block - 1, stage])
            if stage == gate and released[block] > now:
                ready = False
            if ready and need[stage] <= free:
                begun[block] += 1
                start[block, stage] = now
                end[block, stage] = now + int(durations[block, stage])
                free -= need[stage]
                heapq.heappush(running, (int(end[block, stage]), block, stage))
        instants = gated[:1] + ([running[0][0]] if running else [])
        now = min(instants)
        while running and running[0][0] <= now:
            _, block, stage = heapq.heappop(running)
            done[block, stage] = True
            free += need[stage]
            remaining -= 1
    return start, end
