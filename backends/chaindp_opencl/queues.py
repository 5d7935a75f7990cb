"""Command queues: one a thread, all of one context, and the events of what went through them."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from chaindp.backend import DeviceTimes
from chaindp_opencl.driver import guarded, load

__all__ = ["Queues"]


class Queues:
    """The queues of one context. Calls of different threads do not wait for each other; those of one are in order.

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
        self._alive: deque[tuple[Any, tuple[Any, ...]]] = deque()

    @property
    def mine(self) -> Any:
        """The queue of the calling thread."""
        if not hasattr(self._threads, "queue"):
            self._threads.queue = self.new()
        return self._threads.queue

    def new(self) -> Any:
        """A queue of its own."""
        properties = self._cl.command_queue_properties.PROFILING_ENABLE if self.profile else 0
        with guarded(self.label, "opening a command queue"):
            return self._cl.CommandQueue(self.context, properties=properties)

    def scratch(self, name: str, make: Callable[[], Any]) -> Any:
        """What ``make`` returns, made once for the calling thread: memory that only work in its queue touches."""
        if not hasattr(self._threads, "scratch"):
            self._threads.scratch = {}
        key = (name, id(self.mine))
        if key not in self._threads.scratch:
            self._threads.scratch[key] = make()
        return self._threads.scratch[key]

    @contextmanager
    def second(self) -> Iterator[None]:
        """The calling thread's second queue instead of its first: work in the one overlaps with work in the other."""
        first = self.mine
        if not hasattr(self._threads, "second"):
            self._threads.second = self.new()
        self._threads.queue = self._threads.second
        try:
            yield
        finally:
            self._threads.queue = first

    def kernel(self, program: Any, name: str) -> Any:
        """A kernel of ``program`` for the calling thread alone: arguments are set on it, and others must not."""
        if not hasattr(self._threads, "kernels"):
            self._threads.kernels = {}
        key = (id(program), name)
        if key not in self._threads.kernels:
            # The program is kept, so that its id names no other one.
            self._threads.kernels[key] = (self._cl.Kernel(program, name), program)
        return self._threads.kernels[key][0]

    def note(self, kind: str, event: Any, *used: Any) -> None:
        """Take down an event of ``compute`` or ``transfer``, and keep what it uses alive until it is over.

        A buffer over an array of the host dies with its Python object, whatever the device is still about to do.
        """
        with self._lock:
            if self.profile:
                self._events.append((kind, event))
            if used:
                self._alive.append((event, used))
                complete = self._cl.command_execution_status.COMPLETE
                # Errors are negative: such an event is over, too.
                while self._alive and self._alive[0][0].command_execution_status <= complete:
                    self._alive.popleft()

    def flush(self) -> None:
        """Hand what was submitted to the device, without waiting for it."""
        self.mine.flush()

    def finish(self) -> None:
        """Wait for all work of the calling thread."""
        with guarded(self.label, "finishing"):
            self.mine.finish()
            if hasattr(self._threads, "second"):
                self._threads.second.finish()

    def take_times(self) -> DeviceTimes | None:
        """What the device measured since the last call; None without ``profile``."""
        if not self.profile:
            return None
        with self._lock:
            events, self._events = self._events, []
        spent = {"compute": 0, "transfer": 0}
        first, last = None, 0
        with guarded(self.label, "reading the times of events"):
            for kind, event in events:
                event.wait()
                start, end = event.profile.start, event.profile.end
                spent[kind] += end - start
                first = start if first is None else min(first, start)
                last = max(last, end)
        return DeviceTimes(spent["compute"], spent["transfer"], last - (first or last))
