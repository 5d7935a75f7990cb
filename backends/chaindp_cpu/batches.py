"""Planning of ragged batches: equal lengths side by side, and even shares for the threads."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numba import types

from chaindp_cpu.simd import INT, INTS_IN, INTS_OUT, kernel

__all__ = ["are_pairs", "order_by_blocks", "plan"]


@kernel(types.boolean(INTS_IN))
def are_pairs(offsets: np.ndarray) -> bool:
    """Whether every message is 64 bytes, end to end from 0: two digests, the Merkle node."""
    different = 0
    for i in range(len(offsets)):
        different |= offsets[i] - 64 * i
    return different == 0


@kernel(types.UniTuple(INT, 2)(INTS_IN, INT, INT, INTS_OUT))
def _count_blocks(offsets: np.ndarray, block: int, overhead: int, blocks: np.ndarray) -> tuple[int, int]:
    fewest, most = 1 << 62, 0
    for i in range(len(blocks)):
        count = (offsets[i + 1] - offsets[i] + overhead) // block + 1
        blocks[i] = count
        fewest, most = min(fewest, count), max(most, count)
    return fewest, most


@kernel(types.void(INTS_IN, INT, INTS_OUT, INTS_OUT))
def _counting_sort(blocks: np.ndarray, most: int, ends: np.ndarray, order: np.ndarray) -> None:
    """Most blocks first, in the given order where equal; ``ends`` int64[most+2] of zeros is scratch."""
    for i in range(len(blocks)):
        ends[most - blocks[i] + 1] += 1
    for i in range(most + 1):
        ends[i + 1] += ends[i]
    for i in range(len(blocks)):
        place = most - blocks[i]
        order[ends[place]] = i
        ends[place] += 1


_count = _count_blocks
_sort = _counting_sort


@kernel(types.void(INTS_IN, INT, INT, INTS_OUT))
def order_by_blocks(offsets: np.ndarray, block: int, overhead: int, order: np.ndarray) -> None:
    """``plan``'s order alone, without leaving compiled code; messages that differ vastly in length stay as they are."""
    count = len(order)
    blocks = np.empty(count, np.int64)
    fewest, most = _count(offsets, block, overhead, blocks)
    if fewest == most or most > 4 * count + 4096:
        for i in range(count):
            order[i] = i
    else:
        _sort(blocks, most, np.zeros(most + 2, np.int64), order)


@kernel(INT(INTS_IN, INTS_IN, INT, INT, INTS_OUT))
def _share(blocks: np.ndarray, order: np.ndarray, lanes: int, shares: int, bounds: np.ndarray) -> int:
    """Cut ``order`` at multiples of ``lanes`` so that each share takes as many steps; returns the steps in all."""
    steps = 0
    for i in range(0, len(order), lanes):
        steps += blocks[order[i]]
    taken = 0
    share = 1
    for i in range(0, len(order), lanes):
        while share < shares and taken * shares >= steps * share:
            bounds[share] = i
            share += 1
        taken += blocks[order[i]]
    while share <= shares:
        bounds[share] = len(order)
        share += 1
    return steps


def plan(
    offsets: np.ndarray, block: int, overhead: int, lanes: int, shares: int, least_steps: int
) -> tuple[np.ndarray, list[tuple[int, int]]]:
    """How to hash N ragged messages ``lanes`` at a time: ``order`` int64[N], and parts of it of equal work.

    A message of n bytes takes (n + overhead) // block + 1 blocks. ``order`` brings equal counts together, the largest
    first. There are at most ``shares`` parts, and each of several takes about ``least_steps`` vector steps or more:
    less is not worth waking a thread.
    """
    count = len(offsets) - 1
    blocks = np.empty(count, dtype=np.int64)
    fewest, most = _count_blocks(offsets, block, overhead, blocks)
    order: np.ndarray
    if count == 0 or fewest == most:
        order = np.arange(count, dtype=np.int64)
    elif most <= 4 * count + 4096:
        order = np.empty(count, dtype=np.int64)
        _counting_sort(blocks, most, np.zeros(most + 2, dtype=np.int64), order)
    else:
        # A few huge messages: the counting sort's table would dwarf them.
        order = np.argsort(-blocks, kind="stable")
    if shares == 1 or not count:
        return order, [(0, count)] if count else []
    bounds = np.zeros(shares + 1, dtype=np.int64)
    steps = _share(blocks, order, lanes, shares, bounds)
    if steps < shares * least_steps:
        # Fewer, larger shares, or just one.
        shares = max(steps // least_steps, 1)
        _share(blocks, order, lanes, shares, bounds)
        bounds = bounds[: shares + 1]
    cuts = bounds.tolist()
    return order, [(first, last) for first, last in pairwise(cuts) if first < last]
