"""What takes a stopwatch or threads to see: work that is done too late or too early, and races.

Every verdict leaves room for a noisy machine: a probe that is not sure finds nothing.
"""

from __future__ import annotations

import itertools
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
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
STEP = 4
"""How much larger each input is than the one before."""
SETTLE_S = 0.003
"""How long after a result was read it is read again."""
ROUNDS, FACTOR, EXTRA_S, SHARE = 5, 10.0, 0.02, 0.5
"""The fastest of so many rounds counts; a transfer takes so many times as long as a plain one, and so much more, and
this share of the whole call, before it is held to be work."""

RACE_CALL_S, RACE_SIZE, RACE_LEAST_S, RACE_ROUNDS, SWITCH_S = 0.002, 4096, 0.2, 3, 1e-5
STUCK_S, STUCK_CALLS = 60.0, 1000
"""Two threads are stuck once they have taken so long, and as long as so many calls of one."""


@dataclass(frozen=True, slots=True)
class _Times:
    """Seconds of one call, step by step, and of transfers of as many bytes that no kernel could make use of.

    plain:   uploading the bytes of the arguments as arrays of a form that no kernel takes
    afresh:  downloading the contents of the result, uploaded afresh
    """

    upload: float
    plain: float
    call: float
    download: float
    afresh: float

    @property
    def works_in_upload(self) -> bool:
        """Whether uploading the arguments is plainly more than a transfer, and most of the whole call."""
        return self._is_work(self.upload, self.plain)

    @property
    def works_in_download(self) -> bool:
        """Whether downloading the result is plainly more than a transfer, and most of call and download."""
        return self._is_work(self.download, self.afresh, self.upload)

    def _is_work(self, seconds: float, transfer: float, aside: float = 0.0) -> bool:
        whole = self.upload + self.call + self.download - aside
        return seconds > FACTOR * transfer + EXTRA_S and seconds > SHARE * whole


def lateness(kernel: Kernel, inputs: Inputs, budget: float) -> None:
    """Raise the Offence where a result changes after it was returned, or where a transfer does the work.

    The latter shows itself by a download that takes much longer than that of the same contents uploaded afresh, or by
    an upload that takes much longer than that of as many bytes in a form that no kernel takes: over 10 times, over
    20 ms more, and over half of the whole, the fastest of five each. A slow link slows both alike.
    """
    until = time.perf_counter() + max(budget, LATE_LEAST_S)
    args: Args = ()
    step = 0.0
    for size, args in _growing(inputs, until):
        began = time.perf_counter()
        returned = kernel.run(args)
        step = time.perf_counter() - began
        time.sleep(SETTLE_S)
        if kernel.spec.mismatches(kernel.snapshot(returned.live), returned.output) != 0:
            raise kernel.offence(Fault.EARLY, f"a result of size {size:,} changes after it was returned")
        if step >= WORK_S:
            rounds = [_times(kernel, args) for _ in range(2)]
            if min(times.call + times.download for times in rounds) >= WORK_S:
                break
            if min(times.upload - FACTOR * times.plain for times in rounds) >= WORK_S:
                break
    if not args:
        pytest.skip(f"kernel {kernel.spec.name} generates no input to call it with")
    rounds = [_times(kernel, args) for _ in range(ROUNDS)]
    best = _Times(*(min(getattr(times, field.name) for times in rounds) for field in fields(_Times)))
    if best.works_in_download:
        detail = (
            f"downloading its result takes {best.download * 1e3:.0f} ms, downloading the same contents uploaded afresh "
            f"{best.afresh * 1e3:.1f} ms, and the call itself {best.call * 1e3:.1f} ms"
        )
        raise kernel.offence(Fault.EARLY, detail)
    if best.works_in_upload:
        detail = (
            f"uploading its arguments takes {best.upload * 1e3:.0f} ms, uploading as many bytes in another form "
            f"{best.plain * 1e3:.1f} ms, and the call itself {best.call * 1e3:.1f} ms"
        )
        raise kernel.offence(Fault.UPLOADS, detail)


def _growing(inputs: Inputs, until: float) -> Inputs:
    """Every other input, as long as the next one can be made and run within about the time."""
    began = time.perf_counter()
    for size, args in itertools.islice(inputs, 0, None, 2):
        yield size, args
        now = time.perf_counter()
        if now + STEP * (now - began) > until + LATE_LEAST_S:
            break
        began = now


def _times(kernel: Kernel, args: Args) -> _Times:
    """One call from uploading fresh copies of its arguments to its downloaded result, and the plain transfers."""
    backend = kernel.backend
    fresh = copy_args(args)
    unused = [np.frombuffer(arg.tobytes(), dtype=np.uint8)[None] for arg in fresh if isinstance(arg, np.ndarray)]
    clock = [time.perf_counter()]

    def lap() -> None:
        clock.append(time.perf_counter())

    with kernel.blamed():
        idle = [backend.upload(array) for array in unused]
        backend.synchronize()
        lap()
        del idle
        lap()
        buffers = kernel.upload(fresh)
        backend.synchronize()
        lap()
        live = backend.kernel(kernel.spec.name)(*buffers)
        backend.synchronize()
        lap()
        parts = [backend.download(part) for part in parts_of(live)]
        lap()
        again = [backend.upload(part.copy()) for part in parts]
        backend.synchronize()
        lap()
        for buffer in again:
            backend.download(buffer)
        lap()
    plain, _, upload, call, download, _, afresh = (after - before for before, after in itertools.pairwise(clock))
    return _Times(upload, plain, call, download, afresh)


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
