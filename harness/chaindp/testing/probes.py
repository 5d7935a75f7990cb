"""What takes a stopwatch or threads to see: results that come late, and races.

Every verdict leaves room for a noisy machine: a probe that is not sure finds nothing.
"""

from __future__ import annotations

import itertools
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from chaindp.kernels import Args
from chaindp.measure.outputs import copy_args
from chaindp.testing.offences import Fault, Offence
from chaindp.testing.subject import Kernel

__all__ = ["Inputs", "lateness", "parts_of", "side_by_side"]

Inputs = Iterator[tuple[int, Args]]

WORK_S = 0.06
"""A call has to take this long, with its download, before the two are weighed against each other."""
LATE_LEAST_S = 0.6
"""Growing the input until a call takes that long may itself take this long, however small the budget."""
SETTLE_S = 0.003
"""How long after a result was read it is read again."""
DOWNLOADS, DOWNLOAD_FACTOR, DOWNLOAD_EXTRA_S, DOWNLOAD_SHARE = 5, 10.0, 0.02, 0.5

RACE_CALL_S, RACE_SIZE, RACE_LEAST_S, RACE_ROUNDS, SWITCH_S = 0.002, 4096, 0.2, 3, 1e-5
STUCK_S, STUCK_CALLS = 60.0, 1000
"""Two threads are stuck once they have taken so long, and as long as so many calls of one."""


def lateness(kernel: Kernel, inputs: Inputs, budget: float) -> None:
    """Raise the Offence where a result changes after it was returned, or where the work is done by the download.

    The second shows itself by a download that takes much longer than that of the same contents uploaded afresh: over 10
    times, over 20 ms more, and over half of the whole call, the fastest of five each.
    """
    until = time.perf_counter() + max(budget, LATE_LEAST_S)
    args: Args = ()
    for size, args in itertools.islice(inputs, 0, None, 2):
        began = time.perf_counter()
        returned = kernel.run(args)
        took = time.perf_counter() - began
        time.sleep(SETTLE_S)
        if kernel.spec.mismatches(kernel.snapshot(returned.live), returned.output) != 0:
            raise kernel.offence(Fault.EARLY, f"a result of size {size:,} changes after it was returned")
        if time.perf_counter() > until:
            break
        if took >= WORK_S and min(sum(_download_times(kernel, args)[:2]) for _ in range(2)) >= WORK_S:
            break
    call, result, again = (
        min(times) for times in zip(*(_download_times(kernel, args) for _ in range(DOWNLOADS)), strict=True)
    )
    if result > DOWNLOAD_FACTOR * again + DOWNLOAD_EXTRA_S and result > DOWNLOAD_SHARE * (call + result):
        detail = (
            f"downloading its result takes {result * 1e3:.0f} ms, downloading the same contents uploaded afresh "
            f"{again * 1e3:.1f} ms, and the call itself {call * 1e3:.1f} ms"
        )
        raise kernel.offence(Fault.EARLY, detail)


def _download_times(kernel: Kernel, args: Args) -> tuple[float, float, float]:
    """Seconds of the call, of the download of its result, and of that of the same contents uploaded afresh."""
    backend = kernel.backend
    buffers = kernel.upload(copy_args(args))
    backend.synchronize()
    began = time.perf_counter()
    live = backend.kernel(kernel.spec.name)(*buffers)
    backend.synchronize()
    called = time.perf_counter()
    parts = [backend.download(part) for part in parts_of(live)]
    downloaded = time.perf_counter()
    afresh = [backend.upload(part.copy()) for part in parts]
    backend.synchronize()
    uploaded = time.perf_counter()
    for buffer in afresh:
        backend.download(buffer)
    return called - began, downloaded - called, time.perf_counter() - uploaded


def side_by_side(kernel: Kernel, inputs: Inputs, budget: float) -> None:
    """Raise the Offence where two threads that call at once get other results than each would get alone."""
    jobs: list[tuple[Args, Any]] = []
    alone = 0.0
    for size, args in inputs:
        began = time.perf_counter()
        jobs = [*jobs, (args, kernel.run(args).output)][-2:]
        alone = time.perf_counter() - began
        if len(jobs) == 2 and (alone >= RACE_CALL_S or size >= RACE_SIZE):
            break
    if len(jobs) < 2:
        pytest.skip(f"kernel {kernel.spec.name} generates no two inputs to call it with at once")
    until = time.perf_counter() + max(budget, RACE_LEAST_S)
    start = threading.Barrier(len(jobs))
    problems: list[str] = []

    def work(args: Args, expected: Any) -> None:
        start.wait()
        rounds = 0
        while not problems and (rounds < RACE_ROUNDS or time.perf_counter() < until):
            rounds += 1
            try:
                if kernel.spec.mismatches(kernel.run(args).output, expected) != 0:
                    problems.append(f"in round {rounds} a result is not what the same call returns alone")
            except (Offence, Exception) as error:
                problems.append(str(error))

    # Daemons, so that two that wait for each other for ever do not keep the process from ending.
    threads = [threading.Thread(target=work, args=job, daemon=True) for job in jobs]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH_S)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(max(STUCK_S, STUCK_CALLS * alone) + max(budget, RACE_LEAST_S))
    finally:
        sys.setswitchinterval(interval)
    if any(thread.is_alive() for thread in threads):
        problems.append(f"they have not come back, and one call alone takes {alone:.3g} s")
    if problems:
        raise kernel.offence(Fault.THREADS, problems[0])


def parts_of(value: Any) -> tuple[Any, ...]:
    """The arrays or buffers of a result, of which it may have one or several."""
    return value if isinstance(value, tuple) else (value,)
