"""Does a kernel leave memory behind, call after call? Counted four ways, none of which pools and caches upset."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import time
import tracemalloc
import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import psutil
import pytest

from chaindp.kernels import Args
from chaindp.measure.outputs import copy_args
from chaindp.testing.offences import Fault
from chaindp.testing.probes import Inputs, parts_of
from chaindp.testing.subject import Kernel

__all__ = ["leak"]

LEAK_CALL_S, LEAK_SIZE = 0.002, 1 << 13
SETTLE_BLOCKS, BLOCKS, LEAST_CALLS, MOST_CALLS = 4, 4, 12, 256
LEAK_PATIENCE = 3.0
"""The least number of calls may take this many times the budget before the probe says that the kernel is too slow."""
ALIVE_SHARE = 0.05
"""Results a call that stay alive: they are counted and not estimated, so that there is no noise to leave room for."""
TRACED_SHARE, ALLOCATED_SHARE, RESIDENT_SHARE = 0.05, 0.25, 0.5
"""Buffers a call: Python's own count is exact, malloc's nearly, and the size of the process goes in steps."""
TRACED_LEAST, RESIDENT_LEAST = 128, 1 << 20
"""Bytes a call that the counts of allocations have to grow by at least, and bytes a block that the process has to."""


class _Mallinfo(ctypes.Structure):
    """``struct mallinfo2`` of glibc 2.33 and later (mallinfo(3)): ten counts, of all arenas together."""

    _fields_ = tuple(
        (name, ctypes.c_size_t)
        for name in "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost".split()
    )


def _allocated() -> int:
    """Bytes that ``malloc`` has given out and not got back; 0 where the C library does not say."""
    mallinfo: Any = getattr(ctypes.CDLL(None), "mallinfo2", None)
    if mallinfo is None:  # another C library: the size of the process has to do
        return 0
    mallinfo.restype = _Mallinfo
    info = mallinfo()
    return int(info.uordblks + info.hblkhd)


@dataclass(frozen=True, slots=True)
class _Held:
    """What is held after a block of calls: bytes by Python's count, by malloc's, in the whole process; live results."""

    traced: int
    allocated: int
    resident: int
    alive: int


def leak(kernel: Kernel, inputs: Inputs, budget: float) -> None:
    """Raise the Offence where every block of calls leaves results alive, or a share of a buffer a call.

    Eight blocks of equal size: the first half may fill pools and caches, the second half must not grow in each of its
    blocks. Looked at are Python's and numpy's own count, malloc's, the size of the process (for memory that comes from
    elsewhere), and the results that are still alive.
    """
    blocks = SETTLE_BLOCKS + BLOCKS
    args, seconds = _quick(kernel, inputs, min(LEAK_CALL_S, budget / (blocks * LEAST_CALLS)))
    if blocks * LEAST_CALLS * seconds > LEAK_PATIENCE * budget:
        pytest.skip(f"a call takes {seconds:.3g} s: {blocks * LEAST_CALLS} of them are over the budget (raise it)")
    buffer = min(_bytes(args), _bytes(parts_of(kernel.run(args).output))) or 1
    alive: list[weakref.ref[Any]] = []
    with _watching():
        # The first block finds out how many calls fit, memory being traced; the others make as many.
        calls, until = 0, time.perf_counter() + budget / blocks
        while calls < LEAST_CALLS or (calls < MOST_CALLS and time.perf_counter() < until):
            _call_and_drop(kernel, args, alive)
            calls += 1
        held = [_hold(alive)]
        for _ in range(blocks - 1):
            for _ in range(calls):
                _call_and_drop(kernel, args, alive)
            held.append(_hold(alive))
    later = held[SETTLE_BLOCKS - 1 :]
    steps = list(pairwise(later))
    traced = min(after.traced - before.traced for before, after in steps) / calls
    allocated = min(after.allocated - before.allocated for before, after in steps) / calls
    resident = min(after.resident - before.resident for before, after in steps)
    results = min(after.alive - before.alive for before, after in steps) / calls
    if results >= ALIVE_SHARE:
        raise kernel.offence(Fault.LEAKS, f"{results:.2f} results a call stay alive after they were dropped")
    if traced >= max(TRACED_LEAST, TRACED_SHARE * buffer):
        raise kernel.offence(Fault.LEAKS, f"{traced:,.0f} bytes of Python and numpy memory a call are never freed")
    if allocated >= max(TRACED_LEAST, ALLOCATED_SHARE * buffer):
        raise kernel.offence(Fault.LEAKS, f"{allocated:,.0f} bytes of native memory a call are never freed")
    if resident >= max(RESIDENT_LEAST, RESIDENT_SHARE * calls * buffer):
        raise kernel.offence(Fault.LEAKS, f"the process grows by {resident / calls:,.0f} bytes with every call")


@contextlib.contextmanager
def _watching() -> Iterator[None]:
    """Python traces its allocations, and its collector looks at what is new: what is there already takes it long."""
    tracing, frozen = tracemalloc.is_tracing(), gc.get_freeze_count() > 0
    if not tracing:
        tracemalloc.start()
    if not frozen:
        gc.collect()
        gc.freeze()
    try:
        yield
    finally:
        if not frozen:
            gc.unfreeze()
        if not tracing:
            tracemalloc.stop()


def _quick(kernel: Kernel, inputs: Inputs, limit: float) -> tuple[Args, float]:
    """The largest input that a call takes ``limit`` seconds for at most, or the smallest; and how long it takes."""
    found: tuple[Args, float] | None = None
    for size, args in inputs:
        seconds = min(_seconds(kernel, args) for _ in range(3))
        if found is None or seconds <= limit:
            found = args, seconds
        if seconds > limit or size >= LEAK_SIZE:
            break
    if found is None:
        pytest.skip(f"kernel {kernel.spec.name} generates no input to call it with")
    return found


def _seconds(kernel: Kernel, args: Args) -> float:
    fresh = copy_args(args)
    began = time.perf_counter()
    kernel.run(fresh)
    return time.perf_counter() - began


def _call_and_drop(kernel: Kernel, args: Args, alive: list[weakref.ref[Any]]) -> None:
    for part in parts_of(kernel.run(copy_args(args)).live):
        try:
            alive.append(weakref.ref(part))
        except TypeError:  # a handle without weak references: the other two counts see it
            return


def _hold(alive: list[weakref.ref[Any]]) -> _Held:
    gc.collect()
    alive[:] = [ref for ref in alive if ref() is not None]
    # Each once: a backend that returns the same array every time keeps one result, however often it was seen.
    distinct = len({id(result) for ref in alive if (result := ref()) is not None})
    return _Held(tracemalloc.get_traced_memory()[0], _allocated(), psutil.Process().memory_info().rss, distinct)


def _bytes(values: tuple[Any, ...]) -> int:
    return sum(value.nbytes for value in values if isinstance(value, np.ndarray))
