"""Batches of hashes on a device: which kernel, cut into how many work-items, and streamed where they do not fit."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

import numpy as np

from chaindp.errors import InputError
from chaindp.kernels.merkle import zero_roots
from chaindp_opencl.driver import OpenClDevice, guarded
from chaindp_opencl.memory import Buffer, Memory
from chaindp_opencl.program import build
from chaindp_opencl.queues import Queues
from chaindp_opencl.tuning import HashTuning

__all__ = ["BLOCK", "Hasher", "are_pairs", "blocks_of", "portions"]

BLOCK = {"keccak256": 136, "sha256": 64}
"""Bytes that one permutation or compression takes in."""

OVERHEAD = {"keccak256": 0, "sha256": 8}
"""Bytes that the padding needs beyond the one that it always has."""

SPREAD = 8
"""Work-items a compute unit of a CPU: one that is held up leaves the others their share."""


def are_pairs(offsets: np.ndarray) -> bool:
    """Whether the messages of checked offsets are 64 bytes each: two digests, the Merkle node."""
    count = len(offsets) - 1
    return count > 0 and int(offsets[-1]) == 64 * count and bool((np.diff(offsets) == 64).all())


def blocks_of(name: str, lengths: np.ndarray) -> np.ndarray:
    """int64[N]: blocks that messages of these lengths take, padding included."""
    return (lengths + OVERHEAD[name]) // BLOCK[name] + 1


def portions(offsets: np.ndarray, chunk: int) -> Iterator[tuple[int, int]]:
    """Cut messages into runs [first, last) that take at most ``chunk`` bytes with their offsets and digests.

    A message that takes more by itself is a run of its own.
    """
    ends = offsets[1:] + 40 * np.arange(1, len(offsets), dtype=np.int64)
    first = 0
    while first < len(ends):
        begin = int(offsets[first]) + 40 * first
        last = max(int(np.searchsorted(ends, begin + chunk, side="right")), first + 1)
        yield first, last
        first = last


class Hasher:
    """One hash on one device, laid out by its tuning."""

    def __init__(
        self, name: str, device: OpenClDevice, units: int, tuning: HashTuning, queues: Queues, memory: Memory
    ) -> None:
        self.name = name
        self.tuning = tuning
        self._device = device
        self._units = units
        self._queues = queues
        self._memory = memory
        defines = {"LANES": tuning.lanes, "UNROLL": tuning.unroll, "ZERO_COPY": int(memory.unified)}
        self._program = build(queues.context, device, memory.label, f"{name}.cl", defines)
        self.zero_roots = zero_roots(name)
        self.zeros = memory.upload(self.zero_roots)

    def shape(self, count: int) -> tuple[tuple[int], tuple[int], int]:
        """Work-items, work-items a group, and groups of lanes a work-item for ``count`` messages."""
        groups = -(-count // self.tuning.lanes)
        if self._device.kind == "cpu":
            items = max(self.tuning.items, -(-groups // (self._units * SPREAD)))
            # A batch that would leave compute units idle is cut finer, down to one group.
            items = max(1, min(items, -(-groups // self._units)))
        else:
            items = self.tuning.items
        work_items = -(-groups // items)
        local = min(self.tuning.group, work_items)
        return (-(-work_items // local) * local,), (local,), items

    def pairs(
        self,
        source: Any,
        source_at: int,
        target: Any,
        target_at: int,
        count: int,
        *,
        whole: int | None = None,
        height: int = 0,
        wait_for: Any = None,
    ) -> Any:
        """Hash ``count`` pairs of digests at byte ``source_at`` of an OpenCL buffer to byte ``target_at`` of another.

        whole:  how many of them are there in full; of a last one beyond these, the second half is the root of an empty
                subtree of ``height``

        Returns the event. Both buffers may be one where the two ranges do not overlap.
        """
        whole = count if whole is None else whole
        kernel = self._queues.kernel(self._program, "hash_pairs")
        size, local, items = self.shape(count)
        zeros = self._memory.on_device(self.zeros)
        odd = self._scratch() if whole < count else zeros
        u = np.uint64
        with guarded(self._memory.label, f"hashing {count:,} nodes with {self.name}"):
            event = kernel(
                self._queues.mine, size, local, source, u(source_at), target, u(target_at), u(count), u(whole),
                zeros, u(32 * height), odd, np.int32(0), target, u(items), wait_for=wait_for,
            )  # fmt: skip
        self._queues.note("compute", event, source, target)
        return event

    def levels(
        self, leaves: Any, nodes: Any, bounds: Any, base: int, height: int, groups: int, *, wait_for: Any = None
    ) -> Any:
        """Hash ``height`` levels of a tree above level ``base``, a subtree in each of ``groups`` work-groups.

        leaves: where level 0 is read from and copied to the front of ``nodes``
        bounds: int64, where each level begins

        Returns the event.
        """
        kernel = self._queues.kernel(self._program, "hash_levels")
        local = 1 if self._device.kind == "cpu" else self.tuning.group
        u = np.uint64
        with guarded(self._memory.label, f"hashing {height} levels of a tree with {self.name}"):
            event = kernel(
                self._queues.mine, (groups * local,), (local,), leaves, np.int32(1), nodes, bounds, u(base), u(height),
                self._memory.on_device(self.zeros), self._scratch(), wait_for=wait_for,
            )  # fmt: skip
        self._queues.note("compute", event, leaves, nodes, bounds)
        return event

    def _scratch(self) -> Any:
        # Calls of one thread are in order, so one place for the pair that is put together is enough.
        return self._queues.scratch("odd pair", lambda: self._memory.allocate(64))

    def ragged(
        self,
        data: Any,
        data_bytes: int,
        end: np.ndarray | None,
        offsets: Any,
        order: Any,
        first: int,
        count: int,
        digests: Any,
        *,
        wait_for: Any = None,
    ) -> Any:
        """Hash the ``count`` messages from ``first`` on, in ``order`` where there is one; returns the event.

        data, offsets, order, digests: OpenCL buffers; the digest of message m goes to row m
        data_bytes:                    bytes of data that there are
        end:                           the array that ``data`` is a view of; None for an allocation with SLACK behind it
        """
        tail_from, tail = self._tail(data, data_bytes, end)
        kernel = self._queues.kernel(self._program, "hash_ragged")
        size, local, items = self.shape(count)
        u = np.uint64
        with guarded(self._memory.label, f"hashing {count:,} messages with {self.name}"):
            event = kernel(
                self._queues.mine, size, local, data, offsets, offsets if order is None else order,
                np.int32(order is not None), u(first), u(count), tail, u(tail_from), digests, u(items),
                wait_for=wait_for,
            )  # fmt: skip
        self._queues.note("compute", event, data, offsets, order, tail, digests)
        return event

    def _tail(self, data: Any, data_bytes: int, end: np.ndarray | None) -> tuple[int, Any]:
        block = BLOCK[self.name]
        if end is None:
            # Reading past the end is reading SLACK. What has ended reads from the start of the data.
            return data_bytes + 1, data
        tail_from = max(0, data_bytes - block)
        tail = np.zeros(3 * block, np.uint8)
        tail[: data_bytes - tail_from] = end[tail_from:data_bytes]
        return tail_from, self._memory.view(tail)

    def plan(self, offsets: np.ndarray, levels: np.ndarray | None = None) -> np.ndarray | None:
        """The order in which to hash messages: most blocks first, so that neighbours end together.

        levels: int64[L+1], messages of each level, which stay together. None where the given order is as good.
        """
        blocks = blocks_of(self.name, np.diff(offsets))
        if len(blocks) < 2 or blocks.min() == blocks.max():
            return None
        # Sorting is by radix where the keys have 16 bits.
        rank = np.minimum(int(blocks.max()) - blocks, 0xFFFF)
        if levels is None:
            return np.argsort(rank.astype(np.uint16), kind="stable")
        order = np.empty(len(blocks), np.int64)
        for first, last in zip(levels[:-1].tolist(), levels[1:].tolist(), strict=True):
            order[first:last] = first + np.argsort(rank[first:last].astype(np.uint16), kind="stable")
        return order

    # whole calls ------------------------------------------------------------------------------------------------------

    def hash(self, data: Buffer, offsets: np.ndarray) -> Buffer:
        """Digests uint8[N,32] of ragged messages with checked offsets."""
        count = len(offsets) - 1
        memory = self._memory
        if data.nbytes <= memory.limits.resident and 32 * count <= memory.limits.resident:
            digests = memory.result((count, 32), np.uint8)
            if count:
                memory.publish(digests, self._hash_resident(data, offsets, digests.device))
            return digests
        return self._stream(memory.download(data), offsets)

    def _hash_resident(self, data: Buffer, offsets: np.ndarray, digests: Any) -> Any:
        memory, count = self._memory, len(offsets) - 1
        source = memory.on_device(data)
        wait_for = None if data.ready is None else [data.ready]
        if are_pairs(offsets):
            return self.pairs(source, 0, digests, 0, count, wait_for=wait_for)
        if source is None:
            # Nothing but empty messages: there must still be a buffer.
            source = self._scratch()
        order = self.plan(offsets)
        end = data.host.reshape(-1) if memory.unified and data.host is not None else None
        return self.ragged(
            source,
            data.nbytes,
            end,
            memory.on_device(memory.upload(offsets)),
            None if order is None else memory.on_device(memory.upload(order)),
            0,
            count,
            digests,
            wait_for=wait_for,
        )

    def _stream(self, data: np.ndarray, offsets: np.ndarray) -> Buffer:
        """Hash portion by portion, two at a time: while one is hashed, the other one is copied."""
        memory, chunk = self._memory, self._memory.limits.chunk
        longest = int(np.diff(offsets).max())
        if longest > memory.limits.resident:
            raise InputError(
                f"opencl device {memory.label}: a message of {longest:,} bytes is larger than what the device holds, "
                f"{memory.limits.resident:,} bytes"
            )
        digests = np.empty((len(offsets) - 1, 32), np.uint8)
        pending: list[tuple[int, int, Buffer]] = []
        for number, (first, last) in enumerate(portions(offsets, chunk)):
            if len(pending) == 2:
                self._settle(pending.pop(0), digests)
            with self._queues.second() if number % 2 else nullcontext():
                part = memory.send(data[offsets[first] : offsets[last]])
                own = memory.result((last - first, 32), np.uint8)
                memory.publish(own, self._hash_resident(part, offsets[first : last + 1] - offsets[first], own.device))
                self._queues.flush()
            pending.append((first, last, own))
        while pending:
            self._settle(pending.pop(0), digests)
        return memory.on_host(digests)

    def _settle(self, portion: tuple[int, int, Buffer], digests: np.ndarray) -> None:
        first, last, own = portion
        digests[first:last] = self._memory.download(own)
