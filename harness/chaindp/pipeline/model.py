"""Scheduling measured work on stated resources: what makes other machines and simulated devices comparable.

Work is given as segments: how long each takes by itself, how many cores it keeps busy meanwhile, and what it holds
that is there once: the interpreter's lock, the disk, a device. The schedule keeps these rules and knows no others:

- A block passes the stages in order, and is not past ``gate`` before it is ordered. A thread has one stage or several,
  one block at a time, blocks in order; between two threads only so many blocks wait.
- What is there once has one holder at a time, first come, first served. A holder keeps it to the end of its segment;
  only the lock is handed over earlier, to the first who waits, once both have gone on for ``switch_ns``.
- Segments at work that ask for more cores than there are all slow down to the pace at which these are enough.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from chaindp.errors import UsageError

__all__ = ["DISK", "LOCK", "Occupation", "Resources", "Segment", "schedule", "work_ns"]

LOCK, DISK = "lock", "disk"
"""What a segment holds that is no device; a device is called ``device:LABEL``."""

_TICKS = 1 << 20
"""How many ticks a nanosecond has: instants are whole numbers of them while a schedule is made. A float of 10^15 ns
cannot be put forward by a tenth, and a schedule with segments of days and of nanoseconds would never end."""

_DONE = _TICKS // 1000
"""In ticks: what may be left of a segment that is done, for one that was slowed down is rounded."""

_LATEST = 1 << 62
"""In ns, 146 years: what an instant can be at most."""


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of a stage's work on a block.

    ns:    how long it takes with everything to itself
    holds: what it holds all the while, of which there is one: ``LOCK``, ``DISK``, ``device:LABEL``; empty for nothing
    cores: how many it keeps busy; 0 is none
    """

    ns: float
    holds: str = ""
    cores: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """What work is scheduled on.

    cores:     how many there are
    pipelined: whether blocks overlap; otherwise one starts when the one before it has left the last stage
    lock:      whether the stages share one interpreter's lock; without one, segments that hold it hold nothing
    switch_ns: how long the lock is kept from one who waits for it
    threads:   which stages share a thread when blocks overlap, by number, in order; empty for a thread each
    queue:     how many blocks may wait between two threads; None for any number
    """

    cores: float
    pipelined: bool = True
    lock: bool = True
    switch_ns: float = 5e6
    threads: tuple[tuple[int, ...], ...] = ()
    queue: int | None = None


@dataclass(frozen=True, slots=True)
class Occupation:
    """A segment at work from one instant to another, in ns, during which it kept this many cores busy.

    ``block`` and ``stage`` say of what; a segment that was interrupted or slowed down has several.
    """

    start: float
    end: float
    block: int
    stage: int
    holds: str
    cores: float


def work_ns(segments: Iterable[Segment], cores: float) -> float:
    """How long segments take one after another with everything to themselves; longer where they want more cores."""
    return sum(segment.ns * max(1.0, segment.cores / cores) for segment in segments)


def schedule(
    work: Sequence[Sequence[Sequence[Segment]]],
    released: Sequence[int],
    resources: Resources,
    *,
    gate: int = 0,
    trace: list[Occupation] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Start and end instants int64[blocks, stages] in ns.

    work:     by block and stage, what there is to do, in order; every block has the same stages
    released: by block, the instant before which it may not start stage ``gate``; ascending
    trace:    takes what was at work when, where blocks overlap

    UsageError where that lasts longer than int64 has nanoseconds for.
    """
    blocks, stages = len(work), len(work[0]) if work else 0
    start, end = np.zeros((blocks, stages), dtype=np.int64), np.zeros((blocks, stages), dtype=np.int64)
    # Something goes on at any instant once the last block is ordered, so no schedule is longer.
    longest = sum(work_ns(segments, resources.cores) for row in work for segments in row) + max(released, default=0)
    if longest > _LATEST:
        raise UsageError(
            f"a schedule of up to {longest / 1e9:.3g} s; it must be below {_LATEST / 1e9:.3g} s: state a faster "
            "clock or link, or give it less work"
        )
    if resources.pipelined:
        if stages:
            _Line(work, released, resources, gate, start, end, trace).run()
        return start, end
    now = 0.0
    for block, row in enumerate(work):
        for stage, segments in enumerate(row):
            if stage == gate:
                now = max(now, float(released[block]))
            start[block, stage] = round(now)
            now += work_ns(segments, resources.cores)
            end[block, stage] = round(now)
    return start, end


class _Thread:
    """One thread of the line, and how far it is.

    taken, finished: how many blocks it has begun and ended
    todo:            what is left to do of the stage that it is in, the next segment first; None between two stages
    place:           of that stage among its own; where it is between two, of the next one
    left:            of the first of ``todo``, in ticks; ``at_work`` says whether it is going on or waits for what it
                     holds
    """

    __slots__ = ("at_work", "finished", "left", "place", "stages", "taken", "todo")

    def __init__(self, stages: Sequence[int]) -> None:
        self.stages = stages
        self.taken = self.finished = self.place = 0
        self.todo: deque[Segment] | None = None
        self.left = 0
        self.at_work = False


class _Once:
    """Something of which there is one: who holds it, since when, and who waits, the first to come first."""

    __slots__ = ("holder", "since", "waiting")

    def __init__(self) -> None:
        self.holder: _Thread | None = None
        self.since = 0
        self.waiting: deque[tuple[int, _Thread]] = deque()


def _slowed(ticks: int, pace: float) -> int:
    """So many ticks at another pace; exact at the usual one, which a product of floats is not for long ones."""
    return ticks if pace == 1.0 else round(ticks * pace)


class _Line:
    """The threads, and a clock that goes from one event to the next; its instants are in ticks."""

    def __init__(
        self,
        work: Sequence[Sequence[Sequence[Segment]]],
        released: Sequence[int],
        resources: Resources,
        gate: int,
        start: np.ndarray,
        end: np.ndarray,
        trace: list[Occupation] | None,
    ) -> None:
        self.work, self.resources, self.gate = work, resources, gate
        self.released = [int(instant) * _TICKS for instant in released]
        self.switch = max(1, round(resources.switch_ns * _TICKS))
        self.start, self.end, self.trace = start, end, trace
        self.threads = [_Thread(group) for group in resources.threads or [(stage,) for stage in range(len(work[0]))]]
        self.once: dict[str, _Once] = {}
        self.now = 0

    def run(self) -> None:
        """Until the last thread has had every block."""
        while self.threads[-1].finished < len(self.work):
            # What one thread ends may be what another waits for, also one that was looked at before.
            moved = True
            while moved:
                moved = False
                for position in range(len(self.threads)):
                    moved |= self._settle(position)
            if self.threads[-1].finished < len(self.work):
                self._advance()

    def _advance(self) -> None:
        """Let everything at work go on until something ends, a block is ordered, or the lock changes hands."""
        at_work = [thread for thread in self.threads if thread.at_work]
        asked = sum(thread.todo[0].cores for thread in at_work if thread.todo)
        slow = min(1.0, self.resources.cores / asked) if asked > 0 else 1.0
        paces = [slow if thread.todo and thread.todo[0].cores > 0 else 1.0 for thread in at_work]
        takes = [_slowed(thread.left, 1 / pace) for thread, pace in zip(at_work, paces, strict=True)]
        instants = [self.released[thread.taken - 1] for thread in self.threads if self._held_back(thread)]
        lock = self.once.get(LOCK)
        handover = self._handover(lock) if lock is not None else None
        if handover is not None:
            instants.append(handover)
        step = min([*takes, *(instant - self.now for instant in instants)])
        then = self.now + step
        # By what it takes and not by what is left of it, which is rounded: the shortest ends.
        ended = [thread for thread, ticks in zip(at_work, takes, strict=True) if ticks - step <= _DONE]
        for thread, pace in zip(at_work, paces, strict=True):
            assert thread.todo
            thread.left = max(0, thread.left - _slowed(step, pace))
            if self.trace is not None and then > self.now:
                segment, stage = thread.todo[0], thread.stages[thread.place]
                part = (self.now / _TICKS, then / _TICKS, thread.taken - 1, stage, segment.holds, segment.cores * pace)
                self.trace.append(Occupation(*part))
        self.now = then
        if lock is not None and handover is not None and handover <= self.now:
            holder = lock.holder
            assert holder is not None
            if holder not in ended:
                holder.at_work = False
                lock.waiting.append((self.now, holder))
                self._give(lock)
        for thread in ended:
            self._end_segment(thread)

    def _handover(self, lock: _Once) -> int | None:
        """When the lock is taken from its holder; None where nobody waits for it."""
        if lock.holder is None or not lock.waiting:
            return None
        return max(lock.since, lock.waiting[0][0]) + self.switch

    def _give(self, once: _Once) -> None:
        """Hand something over to the first who waits."""
        once.holder = None
        if once.waiting:
            _, once.holder = once.waiting.popleft()
            once.holder.at_work, once.since = True, self.now

    def _end_segment(self, thread: _Thread) -> None:
        assert thread.todo
        segment = thread.todo.popleft()
        thread.at_work = False
        once = self.once.get(segment.holds)
        if once is not None and once.holder is thread:
            self._give(once)

    def _begin_segment(self, thread: _Thread) -> None:
        assert thread.todo
        segment = thread.todo[0]
        thread.left = round(segment.ns * _TICKS)
        if not segment.holds or (segment.holds == LOCK and not self.resources.lock):
            thread.at_work = True
            return
        once = self.once.setdefault(segment.holds, _Once())
        once.waiting.append((self.now, thread))
        if once.holder is None:
            self._give(once)

    def _settle(self, position: int) -> bool:
        """Let a thread that is in no segment go as far as it gets at this instant; whether it moved."""
        thread = self.threads[position]
        moved = False
        while not thread.at_work and not self._waits(thread):
            if thread.todo is None:
                if thread.taken == thread.finished:
                    if not self._may_take(position):
                        break
                    thread.taken += 1
                if self._held_back(thread):
                    break
                block, stage = thread.taken - 1, thread.stages[thread.place]
                self.start[block, stage] = self._instant()
                thread.todo = deque(segment for segment in self.work[block][stage] if segment.ns > 0)
            elif thread.todo:
                self._begin_segment(thread)
            else:
                self.end[thread.taken - 1, thread.stages[thread.place]] = self._instant()
                thread.todo = None
                thread.place += 1
                if thread.place == len(thread.stages):
                    thread.place = 0
                    thread.finished += 1
            moved = True
        return moved

    def _instant(self) -> int:
        """Now, in whole ns."""
        return (self.now + _TICKS // 2) // _TICKS

    def _waits(self, thread: _Thread) -> bool:
        """Whether it has asked for something that another one holds."""
        if not thread.todo:
            return False
        once = self.once.get(thread.todo[0].holds)
        return once is not None and any(waiting is thread for _, waiting in once.waiting)

    def _held_back(self, thread: _Thread) -> bool:
        """Whether it has a block that is not ordered yet, and the next stage is the one that waits for it."""
        return (
            thread.taken > thread.finished
            and thread.todo is None
            and thread.stages[thread.place] == self.gate
            and self.released[thread.taken - 1] > self.now
        )

    def _may_take(self, position: int) -> bool:
        """Whether the next block is there, and those before it have been handed on."""
        thread, queue = self.threads[position], self.resources.queue
        if thread.taken == len(self.work):
            return False
        if position > 0 and self.threads[position - 1].finished <= thread.taken:
            return False
        if queue is None or position + 1 == len(self.threads):
            return True
        return thread.finished - self.threads[position + 1].taken <= queue
