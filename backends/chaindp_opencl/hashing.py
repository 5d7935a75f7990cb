"""Batches of hashes on a device: which kernel, cut into how many work-items, and streamed where they do not fit."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from chaindp.errors import InputError
from chaindp.kernels import checks
from chaindp.kernels.merkle import zero_roots
from chaindp_opencl.driver import OpenClDevice, guarded
from chaindp_opencl.memory import Buffer, Memory
from chaindp_opencl.program import build
from chaindp_opencl.queues import Queues
from chaindp_opencl.tuning import HashTuning

__all__ = ["BLOCK", "Cores", "Hasher", "are_pairs", "blocks_of", "portions"]

BLOCK = {"keccak256": 136, "sha256": 64}
"""Bytes that one permutation or compression takes in."""

OVERHEAD = {"keccak256": 0, "sha256": 8}
"""Bytes that the padding needs beyond the one that it always has."""

SPREAD = 4
"""Work-items that a core has at least, where there is enough work: one that is held up leaves others their share."""


PART = 1 << 14


@functools.lru_cache(maxsize=1)
def _pair_offsets(parts: int) -> np.ndarray:
    return np.arange(parts * PART, dtype=np.int64) * 64


def are_pairs(offsets: np.ndarray) -> bool:
    """Whether ``offsets`` int64[N+1] are those of messages of 64 bytes each from 0 on: two digests, the Merkle node."""
    count = len(offsets) - 1
    if count < 1 or int(offsets[-1]) != 64 * count:
        return False
    # Against what the last batch of this size was held against; part by part, in memory that stays in the cache.
    expected = _pair_offsets(-(-len(offsets) // PART))
    return all(
        bool((offsets[at : at + PART] == expected[at : min(at + PART, len(offsets))]).all())
        for at in range(0, len(offsets), PART)
    )


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


@dataclass(frozen=True, slots=True)
class Cores:
    """How many compute units may be used, and whether that is fewer than the device has."""

    count: int
    limited: bool


class Hasher:
    """One hash on one device, laid out by its tuning."""

    def __init__(
        self, name: str, device: OpenClDevice, cores: Cores, tuning: HashTuning, queues: Queues, memory: Memory
    ) -> None:
        self.name = name
        self.tuning = tuning
        self._device = device
        self._cores = cores
        self._queues = queues
        self._memory = memory
        defines = {"LANES": tuning.lanes, "UNROLL": tuning.unroll, "ZERO_COPY": int(memory.unified)}
        self._program = build(queues.context, device, memory.label, f"{name}.cl", defines)
        self.zero_roots = zero_roots(name)
        self.zeros = memory.upload(self.zero_roots)

    def shape(self, count: int, most: int) -> tuple[tuple[int], tuple[int], int]:
        """Work-items, work-items a group, and groups of lanes a work-item for ``count`` messages.

        most: work-items that a group of the kernel may have
        """
        groups = -(-count // self.tuning.lanes)
        items = self.tuning.items
        if self._cores.limited:
            # As many work-items as cores: drivers give each of them one, and sub-devices limit nothing in pocl.
            items = -(-groups // self._cores.count)
        elif self._device.kind == "cpu":
            # A batch that would leave cores idle is cut finer, down to one group.
            items = max(1, min(items, -(-groups // (self._cores.count * SPREAD))))
        work_items = -(-groups // items)
        local = min(self.tuning.group, most, work_items)
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
        copied: Any = None,
        wait_for: Any = None,
    ) -> Any:
        """Hash ``count`` pairs of digests at byte ``source_at`` of an OpenCL buffer to byte ``target_at`` of another.

        whole:  how many of them are there in full; of a last one beyond these, the second half is the root of an empty
                subtree of ``height``
        copied: a buffer whose first bytes become a copy of the pairs

        Returns the event. Both buffers may be one where the two ranges do not overlap.
        """
        whole = count if whole is None else whole
        kernel, most = self._queues.kernel(self._program, "hash_pairs")
        size, local, items = self.shape(count, most)
        zeros = self._memory.on_device(self.zeros)
        odd = self._scratch() if whole < count else zeros
        u = np.uint64
        with guarded(self._memory.label, f"hashing {count:,} nodes with {self.name}"):
            event = kernel(
                self._queues.mine, size, local, source, u(source_at), target, u(target_at), u(count), u(whole),
                zeros, u(32 * height), odd, np.int32(copied is not None), target if copied is None else copied,
                u(items), wait_for=wait_for,
            )  # fmt: skip
        self._queues.note("compute", event, source, target, copied, zeros)
        return event

    def levels(
        self, leaves: Any, nodes: Any, bounds: Any, base: int, height: int, trees: int, *, wait_for: Any = None
    ) -> Any:
        """Hash ``height`` levels of a tree above level ``base``: ``trees`` subtrees, a work-group each.

        leaves: where level 0 is read from and copied to the front of ``nodes``
        bounds: int64, where each level begins

        Returns the event.
        """
        kernel, most = self._queues.kernel(self._program, "hash_levels")
        local = 1 if self._device.kind == "cpu" else min(self.tuning.group, most)
        groups = min(trees, self._cores.count) if self._cores.limited else trees
        u = np.uint64
        with guarded(self._memory.label, f"hashing {height} levels of a tree with {self.name}"):
            event = kernel(
                self._queues.mine, (groups * local,), (local,), leaves, np.int32(1), nodes, bounds, u(base), u(height),
                u(trees), self._memory.on_device(self.zeros), self._scratch(), wait_for=wait_for,
            )  # fmt: skip
        self._queues.note("compute", event, leaves, nodes, bounds)
        return event

    def _scratch(self) -> Any:
        # Work in one queue is in order, so one place for the pair that is put together is enough.
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
        kernel, most = self._queues.kernel(self._program, "hash_ragged")
        size, local, items = self.shape(count, most)
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

    def plan(self, lengths: np.ndarray, levels: np.ndarray | None = None) -> np.ndarray | None:
        """The order in which to hash messages of these lengths: most blocks first, so that neighbours end together.

        levels: int64[L+1], messages of each level, which stay together. None where the given order is as good.
        """
        blocks = blocks_of(self.name, lengths)
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
        """Digests uint8[N,32] of ragged messages; InputError where ``offsets`` int64[N+1] are not those of ``data``."""
        memory = self._memory
        lengths = None
        if not are_pairs(offsets) or int(offsets[-1]) > data.nbytes:
            lengths = np.diff(checks.message_offsets(offsets, data.nbytes, "data"))
        longest = 64 if lengths is None else int(lengths.max(initial=0))
        if longest > memory.limits.message:
            raise InputError(
                f"opencl device {memory.label}: a message of {longest:,} bytes is more than one work-item hashes here, "
                f"{memory.limits.message:,} bytes"
            )
        count = len(offsets) - 1
        if data.nbytes <= memory.limits.resident and 32 * count <= memory.limits.resident:
            digests = memory.result((count, 32), np.uint8)
            if count:
                memory.publish(digests, self._hash_resident(data, offsets, lengths, digests.device))
            return digests
        return self._stream(memory.download(data), offsets, lengths)

    def _hash_resident(self, data: Buffer, offsets: np.ndarray, lengths: np.ndarray | None, digests: Any) -> Any:
        """``lengths`` of the messages, or None where they are pairs of digests; returns the event."""
        memory, count = self._memory, len(offsets) - 1
        source = memory.on_device(data)
        if lengths is None:
            return self.pairs(source, 0, digests, 0, count, wait_for=data.events())
        if source is None:
            # Nothing but empty messages: there must still be a buffer.
            source = self._scratch()
        order = self.plan(lengths)
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
            wait_for=data.events(),
        )

    def _stream(self, data: np.ndarray, offsets: np.ndarray, lengths: np.ndarray | None) -> Buffer:
        """Hash portion by portion, two at a time: while one is hashed, the other one is copied."""
        memory, chunk = self._memory, self._memory.limits.chunk
        digests = np.empty((len(offsets) - 1, 32), np.uint8)

        def submit(portion: tuple[int, int]) -> tuple[int, int, Buffer]:
            first, last = portion
            part = memory.send(data[offsets[first] : offsets[last]])
            own = memory.result((last - first, 32), np.uint8)
            own_offsets = offsets[first : last + 1] - offsets[first]
            own_lengths = None if lengths is None else lengths[first:last]
            memory.publish(own, self._hash_resident(part, own_offsets, own_lengths, own.device))
            return first, last, own

        def fetch(hashed: tuple[int, int, Buffer]) -> None:
            first, last, own = hashed
            digests[first:last] = memory.download(own)

        self._queues.alternate(portions(offsets, chunk), submit, fetch)
        return memory.on_host(digests)
