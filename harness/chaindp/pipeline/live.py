"""Running the stages on this machine's clock: one after another, or every stage in a thread of its own."""

from __future__ import annotations

import queue
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from chaindp.pipeline.block import BlockInFlight, Span, Stage

if TYPE_CHECKING:
    from collections.abc import Iterator

    from chaindp.kernels.kernelset import KernelSet

__all__ = ["StageRunner", "run_pipelined", "run_sequential"]

QUEUE_BLOCKS = 2
"""How many finished blocks may wait between two stages: enough to smooth uneven blocks, and a bound on memory."""

# A stage that comes back from a kernel waits for the interpreter for at most this long; the default of 5 ms would be
# charged to every kernel call that overlaps with execution.
SWITCH_INTERVAL_S = 0.0005


class StageRunner:
    """One stage: its function, and the kernels whose calls are booked on it."""

    def __init__(self, stage: Stage, work: Callable[[BlockInFlight], int], kernels: KernelSet | None) -> None:
        self.stage = stage
        self._work = work
        self._kernels = kernels

    def run(self, block: BlockInFlight) -> None:
        """Work on one block and note when. The function returns the nanoseconds in it that were waiting, not work."""
        start = time.perf_counter_ns()
        waited = self._work(block)
        end = time.perf_counter_ns()
        calls = self._kernels.take_calls() if self._kernels is not None else []
        block.spans[self.stage] = Span(start, end, waited, calls)


def run_sequential(runners: Sequence[StageRunner], blocks: Sequence[BlockInFlight]) -> None:
    """Every block through every stage before the next block starts, in this thread."""
    for block in blocks:
        for runner in runners:
            runner.run(block)


@contextmanager
def _switch_interval(seconds: float) -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(seconds)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


class _StoppedError(Exception):
    """Another stage failed; this one ends quietly."""


class _Line:
    """The threads and the bounded queues between them. The first failure stops all and is raised to the caller."""

    def __init__(self, runners: Sequence[StageRunner]) -> None:
        self._runners = runners
        self._queues: list[queue.Queue[BlockInFlight | None]] = [
            queue.Queue(maxsize=QUEUE_BLOCKS) for _ in range(len(runners) - 1)
        ]
        self._stop = threading.Event()
        self._failure: BaseException | None = None
        self._lock = threading.Lock()

    def run(self, blocks: Sequence[BlockInFlight]) -> None:
        threads = [
            threading.Thread(target=self._serve, args=(position, blocks), name=str(runner.stage), daemon=True)
            for position, runner in enumerate(self._runners)
        ]
        for thread in threads:
            thread.start()
        try:
            for thread in threads:
                thread.join()
        except BaseException:
            self._stop.set()
            raise
        if self._failure is not None:
            raise self._failure

    def _serve(self, position: int, blocks: Sequence[BlockInFlight]) -> None:
        try:
            source = iter(blocks) if position == 0 else iter(lambda: self._get(self._queues[position - 1]), None)
            for block in source:
                if self._stop.is_set():
                    return
                self._runners[position].run(block)
                if position < len(self._queues):
                    self._put(self._queues[position], block)
            if position < len(self._queues):
                self._put(self._queues[position], None)
        except _StoppedError:
            pass
        except BaseException as failure:  # whatever it is, it must reach the caller and stop the other stages
            with self._lock:
                if self._failure is None:
                    self._failure = failure
            self._stop.set()

    # Queues are polled so that a stage never sleeps on a neighbour that has failed.
    def _get(self, source: queue.Queue[BlockInFlight | None]) -> BlockInFlight | None:
        while not self._stop.is_set():
            try:
                return source.get(timeout=0.1)
            except queue.Empty:
                continue
        raise _StoppedError

    def _put(self, target: queue.Queue[BlockInFlight | None], block: BlockInFlight | None) -> None:
        while not self._stop.is_set():
            try:
                return target.put(block, timeout=0.1)
            except queue.Full:
                continue
        raise _StoppedError


def run_pipelined(runners: Sequence[StageRunner], blocks: Sequence[BlockInFlight]) -> None:
    """Every stage in its own thread, different blocks in different stages at once, bounded queues between them."""
    with _switch_interval(SWITCH_INTERVAL_S):
        _Line(runners).run(blocks)


def stage_durations(blocks: Sequence[BlockInFlight], stages: Sequence[Stage]) -> Mapping[Stage, list[int]]:
    """Busy nanoseconds of every block in every stage."""
    return {stage: [block.spans[stage].busy_ns for block in blocks] for stage in stages}
