"""Fresh input for every timed call, and memory in the same state before each of them."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from chaindp.errors import PluginError, UsageError
from chaindp.kernels import KernelSpec
from chaindp.plugins import Registry, describe_error

__all__ = ["MEMORY_RULE", "WARM_UP_STREAM", "LastInputs", "check_fits", "generate", "output_bytes", "touch_memory"]

MEMORY_RULE = (
    "as much memory as a sample's calls return is written to and freed right before each sample; page faults stay in"
)
"""Why: a virtual machine may hand memory that is free for a second or two back to its host, and getting it again made
one call in two of a 64 MiB tree take two to three times as long, at random. A process that has been busy has such
memory. What the operating system itself takes to map the pages of a fresh result is part of every figure.
"""

WARM_UP_STREAM = 1 << 32
"""Input streams from here on are for warming up; those below are for what is measured."""

_PROBE = 64


def generate(spec: KernelSpec, seed: int, size: int, stream: int) -> tuple[Any, ...]:
    """Arguments number ``stream`` of a kernel and size: the same for every backend, process and machine."""
    return spec.generate(np.random.default_rng([seed, zlib.crc32(spec.name.encode()), size, stream, 0]), size)


class LastInputs:
    """The inputs of the last few requests, so that sides that are sampled on the same input generate it once."""

    def __init__(self) -> None:
        self._args: dict[tuple[object, ...], list[tuple[Any, ...]]] = {}

    def of(self, spec: KernelSpec, seed: int, size: int, streams: Sequence[int]) -> list[tuple[Any, ...]]:
        """Arguments for each of the streams; not to be written to."""
        key = (spec.name, seed, size, tuple(streams))
        if key not in self._args:
            # Two are alive at a time: what A and B share, and what the second A has.
            while len(self._args) > 1:
                del self._args[next(iter(self._args))]
            self._args[key] = [generate(spec, seed, size, stream) for stream in streams]
        return self._args[key]


def output_bytes(output: Any) -> int:
    """How many bytes of arrays a call returned."""
    parts = output if isinstance(output, tuple) else (output,)
    return sum(part.nbytes for part in parts if isinstance(part, np.ndarray))


def touch_memory(count: int) -> None:
    """Make the machine provide ``count`` bytes: see MEMORY_RULE."""
    np.empty(count, dtype=np.uint8).fill(0)


def check_fits(registry: Registry, spec: KernelSpec, size: int, copies: int) -> None:
    """UsageError where ``copies`` of the arguments of this size would not fit into free memory."""
    import psutil

    probe = min(size, _PROBE)
    try:
        args = spec.generate(np.random.default_rng(0), probe)
    except Exception as error:
        provider = registry.providers["kernel", spec.name]
        raise PluginError(
            f"plugin {provider}: kernel {spec.name} generates no input: {describe_error(error)}"
        ) from error
    size_of_one = sum(arg.nbytes for arg in args if isinstance(arg, np.ndarray)) / probe
    needed, free = size_of_one * size * copies, psutil.virtual_memory().available
    if needed > free:
        raise UsageError(
            f"size {size} of {spec.name} needs about {needed / 2**30:.1f} GiB, and {free / 2**30:.1f} GiB are free"
        )
