"""Running the stages on this machine's clock: one after another, or overlapping in threads."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Sequence

from chaindp.kernels.kernelset import KernelSet
from chaindp.pipeline.block import BlockInFlight, Span, Stage

__all__ = ["THREADS", "StageRunner", "run_pipelined", "run_sequential"]

THREADS: tuple[tuple[Stage, ...], ...] = (
    (Stage.ADMIT,),
    (Stage.ORDER, Stage.PRELOAD, Stage.EXECUTE),
    (Stage.MERKLEIZE, Stage.FLUSH, Stage.PROVE),
)
"""Which stages share a thread when blocks overlap. A thread for each stage was measured too, and was a fifth slower on
two cores: preload and execute need the interpreter's lock most of the time, so apart they take turns in holding it.
Merkleize and prove must share one: they work on the same state, which is the block's only until the next one's turn."""

QUEUE_BLOCKS = 2
"""How many finished blocks may wait between two threads: enough to smooth uneven blocks, and a bound on memory."""


class StageRunner:
    """One stage: its function, and the kernels whose calls are booked on it."""

    def __init__(self, stage: Stage, work: Callable[[BlockInFlight], int], kernels: KernelSet | None) -> None:
        self.stage = stage
        self._work = work
        self._kernels = kernels

    def run(self, block: BlockInFlight) -> None:
        """Work on one block and note when. The function returns the ns in it that were waiting for the network."""
        process, cpu = time.process_time_ns(), time.thread_time_ns()
        start = time.perf_counter_ns()
        waited = self._work(block)
        end = time.perf_counter_ns()
        cpu, process = time.thread_time_ns() - cpu, time.process_time_ns() - process
        calls = self._kernels.take_calls() if self._kernels is not None else []
        block.spans[self.stage] = Span(start, end, cpu, waited, calls, process)


def run_sequential(runners: Sequence[StageRunner], blocks: Sequence[BlockInFlight]) -> None:
    """Every block through every stage before the next block starts, in this thread."""
    for block in blocks:
        for runner in runners:
            runner.run(block)


class _StoppedError(Exception):
    """Another thread failed; this one ends quietly."""


class _Line:
    """The threads and the bounded queues between them. The first failure stops all and is raised to the caller."""

    def __init__(self, groups: Sequence[Sequence[StageRunner]], stop: threading.Event) -> None:
        self._groups = groups
        self._queues: list[queue.Queue[BlockInFlight | None]] = [
            queue.Queue(maxsize=QUEUE_BLOCKS) for _ in range(len(groups) - 1)
        ]
        self._stop = stop
        self._failure: BaseException | None = None
        self._lock = threading.Lock()

    def run(self, blocks: Sequence[BlockInFlight]) -> None:
        threads = [
            threading.Thread(target=self._serve, args=(position, blocks), name=str(group[0].stage), daemon=True)
            for position, group in enumerate(self._groups)
        ]
        for thread in threads:
            thread.start()
        try:
            for thread in threads:
                thread.join()
        except BaseException:
            # An interrupt: nothing may be closed under a thread that is still at work.
            self._stop.set()
            for thread in threads:
                thread.join()
            raise
        if self._failure is not None:
            raise self._failure

    def _serve(self, position: int, blocks: Sequence[BlockInFlight]) -> None:
        try:
            source = iter(blocks) if position == 0 else iter(lambda: self._get(self._queues[position - 1]), None)
            for block in source:
                for runner in self._groups[position]:
                    if self._stop.is_set():
                        return
                    runner.run(block)
                if position < len(self._queues):
                    self._put(self._queues[position], block)
            if position < len(self._queues):
                self._put(self._queues[position], None)
        except _StoppedError:
            pass
        except BaseException as failure:  # whatever it is, it must reach the caller and stop the other threads
            with self._lock:
                if self._failure is None:
                    self._failure = failure
            self._stop.set()

    # Queues are polled so that a thread never sleeps on a neighbour that has failed.
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


def run_pipelined(
    runners: Sequence[StageRunner], blocks: Sequence[BlockInFlight], stop: threading.Event | None = None
) -> None:
    """The stages in the threads of ``THREADS``: different blocks in different stages at once, bounded queues between.

    ``stop`` is set when a stage fails or the caller is interrupted; a stage that waits for something may wait on it.
    """
    groups = [[runner for runner in runners if runner.stage in stages] for stages in THREADS]
    _Line([group for group in groups if group], stop or threading.Event()).run(blocks)
