"""Buffers of one device, and how bytes get to and from them.

On a device that shares the host's memory a buffer *is* a numpy array: nothing is copied, and results are written where
the caller finds them. On any other device buffers come from a pool on the device, and copies go through pinned memory
of the host, portion by portion, so that filling one portion overlaps with sending the one before.
"""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from chaindp.errors import InputError, PluginError
from chaindp_opencl.driver import DeviceMemoryError, guarded, load
from chaindp_opencl.queues import Queues

__all__ = ["Buffer", "Limits", "Memory"]

SLACK = 256
"""Bytes of an allocation behind what is in it: kernels read whole words and whole blocks (``cl/lanes.cl``)."""

PARAMETERS = 64
"""Bytes of field elements that are a call's parameters rather than its data: the host keeps a copy, and reads that."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How large things may be, in bytes.

    resident: the largest array that is kept on the device; larger ones stay on the host and are streamed
    chunk:    a portion of what is streamed
    staging:  a portion of pinned host memory; there are two a queue
    message:  the longest message: one work-item hashes it, byte after byte, and a device that is busy for seconds may
              be taken to hang
    """

    resident: int
    chunk: int
    staging: int
    message: int


class Buffer:
    """An array on the device, on the host, or both; made by ``Memory`` only.

    host:   the array, where the host has it: what was uploaded, or a result that the device writes to host memory
    device: the OpenCL buffer; None where the array is empty or is streamed
    ready:  the event after which ``device`` holds the array; None where it always did
    below:  what every element is known to be below; None where the host has to look
    """

    __slots__ = ("__weakref__", "below", "device", "dtype", "host", "owner", "ready", "shape")

    def __init__(
        self, owner: Memory, shape: tuple[int, ...], dtype: np.dtype, host: np.ndarray | None, device: Any
    ) -> None:
        self.owner = owner
        self.shape = shape
        self.dtype = dtype
        self.host = host
        self.device = device
        self.ready: Any = None
        self.below: int | None = None

    @property
    def nbytes(self) -> int:
        """Bytes of the array."""
        size = self.dtype.itemsize
        for length in self.shape:
            size *= length
        return size

    def __len__(self) -> int:
        return self.shape[0]

    def events(self) -> list[Any] | None:
        """What a command that reads the buffer has to wait for, as pyopencl takes it."""
        # Read once: another thread may be about to set it.
        ready = self.ready
        return None if ready is None else [ready]


class Memory:
    """The memory of one open device.

    label:   the device, for messages
    unified: whether the device works on the host's memory
    threads: host threads that may copy to pinned memory at once
    """

    def __init__(self, queues: Queues, label: str, *, unified: bool, limits: Limits, threads: int) -> None:
        self.queues = queues
        self.label = label
        self.unified = unified
        self.limits = limits
        self._cl = load()
        self._pool = (
            None
            if unified
            else self._cl.tools.MemoryPool(
                self._cl.tools.ImmediateAllocator(queues.new(), self._cl.mem_flags.READ_WRITE)
            )
        )
        self._copiers = None if unified or threads < 2 else ThreadPoolExecutor(threads, "chaindp-opencl-copy")
        self._threads = threads
        self._lock = threading.Lock()

    def close(self) -> None:
        """Wait for what is at work, and give the pool's memory back to the device."""
        self.queues.close()
        if self._copiers is not None:
            self._copiers.shutdown()
        if self._pool is not None:
            self._pool.stop_holding()

    # arrays in and out ------------------------------------------------------------------------------------------------

    def upload(self, array: np.ndarray) -> Buffer:
        """A buffer with the contents of ``array``.

        A device with memory of its own has the bytes on return. On one that shares the host's, the buffer is the array,
        which must stay as it is until the work with it is done.
        """
        if not isinstance(array, np.ndarray):
            raise InputError(f"opencl device {self.label}: cannot upload a {type(array).__name__}, only numpy arrays")
        host = np.require(array, requirements=("C", "A"))
        buffer = Buffer(self, array.shape, array.dtype, host, None)
        if self.unified or not 0 < host.nbytes <= self.limits.resident:
            return buffer
        if host.dtype == np.uint32:
            if host.nbytes <= PARAMETERS:
                buffer.host = host.copy()
                return buffer
            # Field elements: what checks them later has only this to go by, unless it fetches them again.
            buffer.below = int(host.max()) + 1
        # Other integers are positions: the host checks them and often needs nothing else; they go when a kernel asks.
        if host.dtype in (np.uint8, np.uint32):
            self.on_device(buffer)
            self.wait(buffer)
            buffer.host = None
        return buffer

    def send(self, array: np.ndarray) -> Buffer:
        """As ``upload``, for a contiguous array, without waiting for the copy: ``ready`` says when it is done."""
        buffer = Buffer(self, array.shape, array.dtype, array, None)
        self.on_device(buffer)
        if not self.unified:
            buffer.host = None
        return buffer

    def download(self, buffer: Any) -> np.ndarray:
        """The array of a buffer, complete; PluginError for what is no buffer of this device."""
        if not isinstance(buffer, Buffer) or buffer.owner is not self:
            what = "of another device" if isinstance(buffer, Buffer) else f"but a {type(buffer).__name__}"
            raise PluginError(f"opencl device {self.label}: cannot download what is no buffer of its own, {what}")
        if buffer.host is not None:
            self.wait(buffer)
            return buffer.host
        host = np.empty(buffer.shape, buffer.dtype)
        self._read(buffer, host.reshape(-1).view(np.uint8))
        return host

    def on_host(self, array: np.ndarray) -> Buffer:
        """A buffer of what the host made; it goes to the device when a kernel asks for it."""
        return Buffer(self, array.shape, array.dtype, array, None)

    def wait(self, buffer: Buffer) -> None:
        """Return once the buffer holds what it is to hold, the host's view of it included."""
        ready = buffer.ready
        if ready is None:
            return
        with guarded(self.label, "waiting for a kernel"):
            ready.wait()

    def publish(self, buffer: Buffer, event: Any) -> Buffer:
        """``buffer``, complete after ``event`` in the calling thread's queue, and then to be seen by the host."""
        buffer.ready = event
        if self.unified and buffer.device is not None:
            # Where host and device share memory this moves nothing; OpenCL still wants to be told. Submitted together
            # with the kernels, it costs no waiting of its own.
            with guarded(self.label, "mapping a result"):
                mapped, done = self._cl.enqueue_map_buffer(
                    self.queues.mine, buffer.device, self._cl.map_flags.READ, 0, (buffer.nbytes,), np.uint8,
                    is_blocking=False,
                )  # fmt: skip
                buffer.ready = mapped.base.release(self.queues.mine)
            self.queues.note("transfer", done, buffer.device)
        # Another thread's queue may wait for this one, and a driver need not start what was not submitted.
        self.queues.flush()
        return buffer

    def result(self, shape: tuple[int, ...], dtype: type[np.generic]) -> Buffer:
        """A buffer for what a kernel will write; the caller sets ``ready``."""
        kind = np.dtype(dtype)
        buffer = Buffer(self, shape, kind, None, None)
        if self.unified or not buffer.nbytes:
            buffer.host = np.empty(shape, kind)
        self.on_device(buffer)
        return buffer

    def on_device(self, buffer: Buffer) -> Any:
        """The OpenCL buffer of ``buffer``, made and filled where there is none yet; None for an empty array."""
        if buffer.device is not None or not buffer.nbytes:
            return buffer.device
        with self._lock:
            if buffer.device is None:
                if self.unified:
                    buffer.device = self.view(buffer.host)  # type: ignore[arg-type]
                else:
                    device = self.allocate(buffer.nbytes)
                    if buffer.host is not None:
                        buffer.ready = self._write(buffer.host.reshape(-1).view(np.uint8), device)
                    buffer.device = device
        return buffer.device

    def view(self, array: np.ndarray) -> Any:
        """An OpenCL buffer over the memory of a non-empty host array, which it keeps alive. Unified devices only."""
        flags = self._cl.mem_flags
        access = flags.READ_WRITE if array.flags.writeable else flags.READ_ONLY
        with guarded(self.label, f"taking {array.nbytes:,} bytes of host memory"):
            return self._cl.Buffer(self.queues.context, access | flags.USE_HOST_PTR, hostbuf=array)

    def allocate(self, size: int) -> Any:
        """``size`` bytes on the device and SLACK behind them, of any content; DeviceMemoryError where it has none."""
        try:
            return self._allocate(size + SLACK)
        except DeviceMemoryError:
            # What calls of this thread have done with is free once it is known that they are over.
            self.queues.finish()
            return self._allocate(size + SLACK)

    def _allocate(self, size: int) -> Any:
        with guarded(self.label, f"allocating {size:,} bytes"):
            if self._pool is not None:
                return self._pool.allocate(size)
            return self._cl.Buffer(self.queues.context, self._cl.mem_flags.READ_WRITE, size)

    # copies through pinned memory -------------------------------------------------------------------------------------

    def _portions(self) -> list[Any]:
        """Two portions of pinned host memory of the queue in use: [OpenCL buffer, its bytes, the last event]."""
        return self.queues.scratch("staging", self._pinned)

    def _pinned(self) -> list[Any]:
        flags, size = self._cl.mem_flags, self.limits.staging
        access = self._cl.map_flags.READ | self._cl.map_flags.WRITE
        portions = []
        with guarded(self.label, f"allocating 2 x {size:,} bytes of pinned host memory"):
            for _ in range(2):
                pinned = self._cl.Buffer(self.queues.context, flags.READ_WRITE | flags.ALLOC_HOST_PTR, size)
                array, _event = self._cl.enqueue_map_buffer(self.queues.mine, pinned, access, 0, (size,), np.uint8)
                portions.append([pinned, array, None])
        return portions

    def _copy(self, target: np.ndarray, source: np.ndarray) -> None:
        """Copy bytes on the host, with several threads where that is worth it."""
        share = len(source) // self._threads
        if self._copiers is None or share < 1 << 18:
            np.copyto(target, source)
            return
        cuts = [share * i for i in range(self._threads)] + [len(source)]
        list(self._copiers.map(lambda a, b: np.copyto(target[a:b], source[a:b]), cuts[:-1], cuts[1:]))

    def _write(self, source: np.ndarray, device: Any) -> Any:
        """Send bytes to the device; returns the event of the last portion. ``source`` may change afterwards."""
        event = None
        with guarded(self.label, f"copying {len(source):,} bytes to the device"):
            for number, start in enumerate(range(0, len(source), self.limits.staging)):
                portion = self._portions()[number % 2]
                if portion[2] is not None:
                    portion[2].wait()
                part = source[start : start + self.limits.staging]
                self._copy(portion[1][: len(part)], part)
                event = self._cl.enqueue_copy(
                    self.queues.mine, device, portion[1][: len(part)], dst_offset=start, is_blocking=False
                )
                self.queues.note("transfer", event, device)
                self.queues.flush()
                portion[2] = event
        return event

    def _read(self, buffer: Buffer, target: np.ndarray) -> None:
        """Fetch the bytes of ``buffer``."""
        size, step = len(target), self.limits.staging
        pending: list[tuple[int, Any, Any]] = []

        def settle() -> None:
            start, event, pinned = pending.pop(0)
            event.wait()
            self._copy(target[start : start + len(pinned)], pinned)

        wait_for = buffer.events()
        with guarded(self.label, f"copying {size:,} bytes from the device"):
            for number, start in enumerate(range(0, size, step)):
                if len(pending) == 2:
                    settle()
                portion = self._portions()[number % 2]
                if portion[2] is not None:
                    portion[2].wait()
                pinned = portion[1][: min(step, size - start)]
                event = self._cl.enqueue_copy(
                    self.queues.mine, pinned, buffer.device, src_offset=start, is_blocking=False, wait_for=wait_for
                )
                self.queues.note("transfer", event)
                self.queues.flush()
                portion[2] = event
                pending.append((start, event, pinned))
            while pending:
                settle()
