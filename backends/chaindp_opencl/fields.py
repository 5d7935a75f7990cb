"""What the field kernels have in common: programs over one field, cut into work-items, and tables of powers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from chaindp.errors import InputError
from chaindp.kernels.fields import Field
from chaindp_opencl.driver import OpenClDevice, guarded
from chaindp_opencl.hashing import SPREAD, Cores
from chaindp_opencl.memory import Buffer, Memory
from chaindp_opencl.program import build
from chaindp_opencl.queues import Queues

__all__ = ["Arithmetic", "lanes_of", "montgomery", "powers"]

RADIX = 1 << 32

GROUP = 128
"""Work-items of a work-group, on anything but a CPU."""


def montgomery(value: int, field: Field) -> int:
    """``value`` times R, which makes a product that is divided by R a plain one."""
    return value * RADIX % field.prime


def powers(base: int, count: int, field: Field, first: int = 1) -> np.ndarray:
    """uint32[count]: ``first``, ``first`` times ``base``, ... all times R."""
    found = np.array([montgomery(first, field)], dtype=np.uint64)
    while len(found) < count:
        step = np.uint64(pow(base, len(found), field.prime))
        found = np.concatenate([found, found * step % np.uint64(field.prime)])
    return found[:count].astype(np.uint32)


def lanes_of(device: OpenClDevice) -> int:
    """Elements side by side in one work-item: as many as a CPU's vector has; other devices make vectors themselves."""
    if device.kind != "cpu":
        return 1
    return max(lanes for lanes in (1, 4, 8, 16) if lanes <= max(device.vector_int, 1))


class Arithmetic:
    """Programs of one field on one device, and how they are run. The kernels of all modules share it."""

    def __init__(self, field: Field, device: OpenClDevice, cores: Cores, queues: Queues, memory: Memory) -> None:
        self.field = field
        self.memory = memory
        self.queues = queues
        self.lanes = lanes_of(device)
        self.cores = cores
        self.on_cpu = device.kind == "cpu"
        self._device = device
        self._programs: dict[tuple[str, int], Any] = {}

    def program(self, name: str, lanes: int, defines: dict[str, int] | None = None) -> Any:
        """The program of a file that includes ``field.cl``, built once."""
        key = name, lanes
        if key not in self._programs:
            p = self.field.prime
            self._programs[key] = build(
                self.queues.context,
                self._device,
                self.memory.label,
                name,
                {
                    "PRIME": p,
                    "INVERSE": pow(p, -1, RADIX),
                    "LANES": lanes,
                    "ZERO_COPY": int(self.memory.unified),
                    **(defines or {}),
                },
            )
        return self._programs[key]

    def share(self, steps: int) -> int:
        """How many of so many equal steps a work-item does."""
        if not self.on_cpu:
            return 1
        # As many work-items as cores where those are limited: drivers give each of them one.
        return -(-steps // (self.cores.count * (1 if self.cores.limited else SPREAD)))

    def run(self, program: Any, name: str, steps: int, *args: Any, wait_for: list[Any] | None = None) -> Any:
        """Run a kernel whose last two arguments are the number of steps and how many of them a work-item does; returns
        the event.
        """
        kernel, most = self.queues.kernel(program, name)
        items = self.share(steps)
        work_items = -(-steps // items)
        local = 1 if self.on_cpu else min(GROUP, most, work_items)
        size = -(-work_items // local) * local
        u = np.uint64
        with guarded(self.memory.label, f"running {name} over {self.field.name}"):
            event = kernel(self.queues.mine, (size,), (local,), *args, u(steps), u(items), wait_for=wait_for)
        self.queues.note("compute", event, *args)
        return event

    def result(self, shape: tuple[int, ...]) -> Buffer:
        """A buffer for elements that a kernel will write."""
        buffer = self.memory.result(shape, np.uint32)
        buffer.below = self.field.prime
        return buffer

    def constants(self, values: np.ndarray) -> Buffer:
        """A buffer of a small table, on the device for any thread's queue."""
        buffer = self.memory.on_host(values)
        self.memory.on_device(buffer)
        self.memory.wait(buffer)
        return buffer

    # what a device cannot hold ----------------------------------------------------------------------------------------

    def fits(self, *sizes: int) -> bool:
        """Whether arrays of so many bytes may be on the device."""
        return max(sizes) <= self.memory.limits.resident

    def streamed(self, out: np.ndarray, row_bytes: int, submit: Callable[[int, int], Buffer]) -> Buffer:
        """``out``, filled in portions of rows, two at a time: ``submit(first, last)`` starts some.

        row_bytes: of a row of ``out`` together with what it is made of; InputError where the device cannot hold one
        """
        if not self.fits(row_bytes):
            raise InputError(
                f"opencl device {self.memory.label}: a row takes {row_bytes:,} bytes with its result, and the device "
                f"holds arrays of {self.memory.limits.resident:,} bytes"
            )
        step = max(1, self.memory.limits.chunk // row_bytes)

        def portions() -> Iterator[tuple[int, int]]:
            for first in range(0, len(out), step):
                yield first, min(first + step, len(out))

        def start(portion: tuple[int, int]) -> tuple[int, int, Buffer]:
            return *portion, submit(*portion)

        def fetch(started: tuple[int, int, Buffer]) -> None:
            first, last, part = started
            out[first:last] = self.memory.download(part)

        self.queues.alternate(portions(), start, fetch)
        buffer = self.memory.on_host(out)
        buffer.below = self.field.prime
        return buffer
