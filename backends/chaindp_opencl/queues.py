"""Command queues of one context: two a thread at work, what they use kept alive, and the times of their events."""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

from chaindp.backend import DeviceTimes
from chaindp_opencl.driver import guarded, load

__all__ = ["Queues"]

P = TypeVar("P")
T = TypeVar("T")


@dataclass(slots=True)
class _Lane:
    """An in-order queue and what belongs to it. One thread at a time works with it.

    alive:   (event, what it uses), in the order of the queue
    kernels: (id of the program, name) to (kernel, work-items of a group at most, the program, so that its id stays its)
    scratch: memory that only work in this queue touches, by name
    """

    queue: Any
    alive: deque[tuple[Any, tuple[Any, ...]]] = field(default_factory=deque)
    kernels: dict[tuple[int, str], tuple[Any, int, Any]] = field(default_factory=dict)
    scratch: dict[str, Any] = field(default_factory=dict)


class _Lease:
    """The lanes of a thread; they go to the next thread that asks, when this one has ended."""

    def __init__(self, lanes: list[_Lane], free: deque[list[_Lane]]) -> None:
        self.lanes = lanes
        self.current = 0
        self._free = free

    def __del__(self) -> None:
        self._free.append(self.lanes)


class Queues:
    """The queues of one context. Threads do not wait for each other; work in one queue is in order.

    profile: keep every event, for ``take_times``
    """

    def __init__(self, context: Any, label: str, *, profile: bool) -> None:
        self.context = context
        self.label = label
        self.profile = profile
        self._cl = load()
        self._threads = threading.local()
        self._lock = threading.Lock()
        self._events: list[tuple[str, Any]] = []
        self._free: deque[list[_Lane]] = deque()
        self._all: list[list[_Lane]] = []

    def _lease(self) -> _Lease:
        if not hasattr(self._threads, "lease"):
            try:
                lanes = self._free.popleft()
            except IndexError:
                lanes = [_Lane(self.new()), _Lane(self.new())]
                with self._lock:
                    self._all.append(lanes)
            self._threads.lease = _Lease(lanes, self._free)
        return self._threads.lease  # type: ignore[no-any-return]

    def _lane(self) -> _Lane:
        lease = self._lease()
        return lease.lanes[lease.current]

    @property
    def mine(self) -> Any:
        """The queue that the calling thread works with."""
        return self._lane().queue

    def new(self) -> Any:
        """A queue of its own."""
        properties = self._cl.command_queue_properties.PROFILING_ENABLE if self.profile else 0
        with guarded(self.label, "opening a command queue"):
            return self._cl.CommandQueue(self.context, properties=properties)

    @contextmanager
    def turn(self, number: int) -> Iterator[None]:
        """The calling thread's first queue for even numbers, its second one for odd: work in the two overlaps."""
        lease = self._lease()
        before, lease.current = lease.current, number % 2
        try:
            yield
        finally:
            lease.current = before

    def alternate(self, portions: Iterable[P], submit: Callable[[P], T], fetch: Callable[[T], None]) -> None:
        """``submit`` each portion and ``fetch`` what that returned, in order, two portions under way at a time.

        A portion goes to the queue of the one before the last, which is fetched from there first: the host waits for it
        while the other queue is at work.
        """
        pending: deque[T] = deque()
        number = 0
        for portion in portions:
            with self.turn(number):
                if len(pending) == 2:
                    fetch(pending.popleft())
                pending.append(submit(portion))
            number += 1
        while pending:
            with self.turn(number - len(pending)):
                fetch(pending.popleft())

    def scratch(self, name: str, make: Callable[[], T]) -> T:
        """What ``make`` returns, made once for the queue in use: memory that only work in that queue touches."""
        lane = self._lane()
        if name not in lane.scratch:
            lane.scratch[name] = make()
        return lane.scratch[name]  # type: ignore[no-any-return]

    def kernel(self, program: Any, name: str) -> tuple[Any, int]:
        """A kernel that only the calling thread sets arguments of, and how many work-items a group of it may have."""
        kernels = self._lane().kernels
        key = (id(program), name)
        if key not in kernels:
            with guarded(self.label, f"preparing {name}"):
                kernel = self._cl.Kernel(program, name)
                most = kernel.get_work_group_info(
                    self._cl.kernel_work_group_info.WORK_GROUP_SIZE, self.context.devices[0]
                )
            kernels[key] = (kernel, int(most), program)
        return kernels[key][:2]

    def note(self, kind: str, event: Any, *used: Any) -> None:
        """Take down an event of ``compute`` or ``transfer``, and keep what it uses alive until it is over.

        A buffer over an array of the host dies with its Python object, whatever the device is still about to do.
        """
        if self.profile:
            with self._lock:
                self._events.append((kind, event))
        alive = self._lane().alive
        alive.append((event, used))
        while alive and self._is_over(alive[0][0]):
            alive.popleft()

    def _is_over(self, event: Any) -> bool:
        try:
            # Errors are negative.
            return bool(event.command_execution_status <= self._cl.command_execution_status.COMPLETE)
        except self._cl.Error:
            # The device is lost: who waits for the event will be told.
            return True

    def flush(self) -> None:
        """Hand what was submitted to the device, without waiting for it."""
        with guarded(self.label, "submitting work"):
            self.mine.flush()

    def finish(self) -> None:
        """Wait for all work of the calling thread."""
        for lane in self._lease().lanes:
            with guarded(self.label, "finishing"):
                lane.queue.finish()
            lane.alive.clear()

    def close(self) -> None:
        """Wait for all work of all threads, so that nothing is freed under it; a device that is lost does no more."""
        with self._lock:
            everything = [lane for lanes in self._all for lane in lanes]
        for lane in everything:
            with contextlib.suppress(self._cl.Error):
                lane.queue.finish()
            lane.alive.clear()
            lane.scratch.clear()

    def take_times(self) -> DeviceTimes | None:
        """What the device measured since the last call; None without ``profile``."""
        if not self.profile:
            return None
        with self._lock:
            events, self._events = self._events, []
        spent = {"compute": 0, "transfer": 0}
        spans = []
        with guarded(self.label, "reading the times of events"):
            for kind, event in events:
                event.wait()
                start, end = event.profile.start, event.profile.end
                spent[kind] += end - start
                spans.append((start, end))
        whole = max(end for _, end in spans) - min(start for start, _ in spans) if spans else 0
        return DeviceTimes(spent["compute"], spent["transfer"], whole)
