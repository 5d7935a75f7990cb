"""Binary Merkle trees on a device: built level after level where the nodes lie; updated and opened by gathering."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

from chaindp.errors import InputError
from chaindp.kernels.merkle import level_offsets, sibling_paths, update_positions
from chaindp_opencl.driver import guarded, load
from chaindp_opencl.hashing import Hasher
from chaindp_opencl.memory import Buffer, Memory
from chaindp_opencl.queues import Queues

__all__ = ["Trees", "update_sources"]


SUBTREE_HEIGHT = 10
"""On a CPU, levels that a work-item does at once: 1,024 leaves and their nodes are 64 KiB."""

FEW_NODES = 256
"""On a CPU, so many nodes are not worth sharing."""


class Trees:
    """The three tree kernels. ``nodes`` is the program of ``nodes.cl``."""

    def __init__(self, nodes: Any, queues: Queues, memory: Memory, spread: int, group: int) -> None:
        self._program = nodes
        self._queues = queues
        self._memory = memory
        self._spread = spread
        self._group = group

    def _run(self, name: str, count: int, *args: Any, wait_for: Any = None) -> Any:
        """Run a kernel of ``nodes.cl`` over ``count`` nodes, which its work-items share; returns the event."""
        kernel, most = self._queues.kernel(self._program, name)
        local = min(self._group, most, count)
        size = min(-(-count // local), self._spread) * local
        with guarded(self._memory.label, f"moving {count:,} nodes"):
            event = kernel(self._queues.mine, (size,), (local,), *args, wait_for=wait_for)
        self._queues.note("compute", event, *args)
        return event

    # merkle_tree ------------------------------------------------------------------------------------------------------

    def build(self, leaves: Buffer, hasher: Hasher) -> Buffer:
        """All nodes uint8[M,32] over ``leaves`` uint8[N,32], N at least 1."""
        memory = self._memory
        bounds = level_offsets(len(leaves)).tolist()
        if 32 * bounds[-1] > memory.limits.resident:
            return self._stream(memory.download(leaves), hasher)
        nodes = memory.result((bounds[-1], 32), np.uint8)
        return memory.publish(nodes, self._build(leaves, bounds, nodes.device, hasher))

    def _build(self, leaves: Buffer, bounds: list[int], nodes: Any, hasher: Hasher) -> Any:
        """Leaves and the levels above them to ``nodes``; returns the last event."""
        source = self._memory.on_device(leaves)
        wait_for = leaves.events()
        count = bounds[1]
        if count == 1:
            return self._copy(source, nodes, 32, wait_for)
        bounds_at = self._memory.on_device(self._memory.upload(np.array(bounds, np.int64)))
        base, event = 0, None
        while base < len(bounds) - 2:
            size, above = bounds[base + 1] - bounds[base], len(bounds) - 2 - base
            height = self._height(size, above)
            if height == 1:
                # The first level reads the leaves from where they are, and puts them in front of the nodes on the way.
                event = hasher.pairs(
                    nodes if base else source,
                    32 * bounds[base],
                    nodes,
                    32 * bounds[base + 1],
                    (size + 1) // 2,
                    whole=size // 2,
                    height=base,
                    copied=None if base else nodes,
                    wait_for=None if base else wait_for,
                )
                base += 1
                continue
            event = hasher.levels(
                source,
                nodes,
                bounds_at,
                base,
                height,
                -(-size // (1 << height)),
                wait_for=wait_for if base == 0 else None,
            )
            base += height
        return event

    def _height(self, size: int, above: int) -> int:
        """How many of the ``above`` levels over ``size`` nodes one launch does: a subtree a work-group, or one level.

        A launch costs as much as hundreds of hashes; work-groups that are too few leave compute units idle.
        """
        if self._group > 1:
            return above if size <= 4 * self._group else 1
        height = SUBTREE_HEIGHT
        while height > 1 and size >> height < self._spread:
            height -= 1
        return above if size <= FEW_NODES else min(height, above)

    def _copy(self, source: Any, target: Any, size: int, wait_for: Any) -> Any:
        with guarded(self._memory.label, f"copying {size:,} bytes"):
            event = load().enqueue_copy(self._queues.mine, target, source, byte_count=size, wait_for=wait_for)
        self._queues.note("compute", event, source, target)
        return event

    def _stream(self, leaves: np.ndarray, hasher: Hasher) -> Buffer:
        """A tree that the device cannot hold: subtree by subtree, two at a time, then the same over their roots."""
        memory = self._memory
        bounds = level_offsets(len(leaves)).tolist()
        nodes = np.empty((bounds[-1], 32), np.uint8)
        nodes[: len(leaves)] = leaves
        # A portion has room for the leaves of a subtree and as many nodes above them.
        height = max(1, (memory.limits.chunk // 64).bit_length() - 1)
        base = 0

        while True:
            size = bounds[base + 1] - bounds[base]
            whole = size <= 1 << height
            step, levels = (size, len(bounds) - 2 - base) if whole else (1 << height, height)

            def submit(
                first: int, base: int = base, size: int = size, step: int = step, levels: int = levels
            ) -> tuple[int, list[int], Buffer]:
                part = memory.send(nodes[bounds[base] + first : bounds[base] + min(first + step, size)])
                return first, *self._subtree(part, base, levels, hasher)

            def fetch(built: tuple[int, list[int], Buffer], base: int = base) -> None:
                first, sizes, above = built
                _place(nodes, bounds, base, first, sizes, memory.download(above))

            self._queues.alternate(range(0, size, step), submit, fetch)
            if whole:
                return memory.on_host(nodes)
            base += height

    def _subtree(self, leaves: Buffer, base: int, levels: int, hasher: Hasher) -> tuple[list[int], Buffer]:
        """``levels`` levels above nodes of height ``base``: how many nodes each has, and all of them end to end."""
        sizes = [len(leaves)]
        for _ in range(levels):
            sizes.append((sizes[-1] + 1) // 2)
        above = self._memory.result((sum(sizes[1:]), 32), np.uint8)
        source, source_at, target_at = self._memory.on_device(leaves), 0, 0
        wait_for = leaves.events()
        event = None
        for level in range(levels):
            event = hasher.pairs(
                source,
                source_at,
                above.device,
                target_at,
                sizes[level + 1],
                whole=sizes[level] // 2,
                height=base + level,
                wait_for=wait_for,
            )
            source, source_at, target_at, wait_for = above.device, target_at, target_at + 32 * sizes[level + 1], None
        return sizes[1:], self._memory.publish(above, event)

    # merkle_update ----------------------------------------------------------------------------------------------------

    def update(
        self, nodes: Buffer, leaf_count: int, indices: np.ndarray, leaves: Buffer, hasher: Hasher
    ) -> tuple[Buffer, Buffer]:
        """Positions int64[C] and digests uint8[C,32] of what changes with the leaves at checked ``indices``."""
        memory = self._memory
        levels = update_positions(leaf_count, indices)
        bounds = level_offsets(leaf_count).tolist()
        positions = np.concatenate([part + bound for part, bound in zip(levels, bounds, strict=False)])
        if not len(indices):
            return memory.on_host(positions), memory.result((0, 32), np.uint8)
        if nodes.nbytes > memory.limits.resident or 64 * len(positions) > memory.limits.resident:
            return memory.on_host(positions), self._update_from_host(nodes, bounds, levels, leaves, hasher)
        digests = memory.result((len(positions), 32), np.uint8)
        stored, fresh = memory.on_device(nodes), memory.on_device(leaves)
        event = self._copy(fresh, digests.device, leaves.nbytes, [*(nodes.events() or ()), *(leaves.events() or ())])
        zeros = memory.on_device(hasher.zeros)
        pairs = memory.allocate(64 * len(indices))
        row = 0
        for level, parents in enumerate(levels[1:]):
            sources = update_sources(levels[level], parents, row, bounds[level], bounds[level + 1], len(nodes), level)
            row += len(levels[level])
            u = np.uint64
            self._run(
                "gather", len(sources), memory.on_device(memory.upload(sources)), u(len(sources)), digests.device,
                stored, u(len(nodes)), zeros, pairs,
            )  # fmt: skip
            event = hasher.pairs(pairs, 0, digests.device, 32 * row, len(parents))
        return memory.on_host(positions), memory.publish(digests, event)

    def _update_from_host(
        self, nodes: Buffer, bounds: list[int], levels: list[np.ndarray], leaves: Buffer, hasher: Hasher
    ) -> Buffer:
        """The same for a tree that the device cannot hold: only the pairs to hash go there."""
        memory = self._memory
        stored = memory.download(nodes)
        rows = [memory.download(leaves)]
        for level, parents in enumerate(levels[1:]):
            sources = update_sources(levels[level], parents, 0, bounds[level], bounds[level + 1], len(stored), level)
            pairs = np.empty((len(sources), 32), np.uint8)
            other = -1 - sources
            fresh, empty = sources >= 0, other >= len(stored)
            old = ~(fresh | empty)
            pairs[fresh] = rows[-1][sources[fresh]]
            pairs[old] = stored[other[old]]
            pairs[empty] = hasher.zero_roots[level]
            offsets = np.arange(len(parents) + 1, dtype=np.int64) * 64
            rows.append(memory.download(hasher.hash(memory.upload(pairs.reshape(-1)), offsets)))
        return memory.on_host(np.concatenate(rows))

    # merkle_open ------------------------------------------------------------------------------------------------------

    def open(self, nodes: Buffer, leaf_count: int, indices: np.ndarray, hasher: Hasher) -> Buffer:
        """Sibling paths uint8[K,depth,32] of the leaves at checked ``indices``, deepest first."""
        memory = self._memory
        bounds = level_offsets(leaf_count)
        depth = len(bounds) - 2
        shape = (len(indices), depth, 32)
        count = len(indices) * depth
        if count == 0:
            return memory.result(shape, np.uint8)
        if nodes.nbytes > memory.limits.resident or 32 * count > memory.limits.resident:
            return memory.on_host(sibling_paths(memory.download(nodes), leaf_count, indices, hasher.name))
        siblings = memory.result(shape, np.uint8)
        stored = memory.on_device(nodes)
        u = np.uint64
        event = self._run(
            "open_paths", count, stored, memory.on_device(memory.upload(bounds)), u(depth),
            memory.on_device(hasher.zeros), memory.on_device(memory.upload(indices)), u(len(indices)), siblings.device,
            wait_for=nodes.events(),
        )  # fmt: skip
        return memory.publish(siblings, event)

    # trie_hash --------------------------------------------------------------------------------------------------------

    def trie(
        self,
        encodings: Buffer,
        offsets: np.ndarray,
        levels: np.ndarray,
        splice_at: np.ndarray,
        splice_child: np.ndarray,
        hasher: Hasher,
    ) -> Buffer:
        """Digests uint8[N,32] of trie nodes with checked arguments, level after level, on a copy of the encodings."""
        memory = self._memory
        count = len(offsets) - 1
        if max(encodings.nbytes, 32 * count) > memory.limits.resident:
            raise InputError(
                f"opencl device {memory.label}: a trie of {encodings.nbytes:,} bytes and {count:,} nodes is larger "
                f"than what the device holds, arrays of {memory.limits.resident:,} bytes"
            )
        digests = memory.result((count, 32), np.uint8)
        if count == 0:
            return digests
        source = memory.on_device(encodings)
        # The copy has room behind it, so that whole blocks can be read of the last node.
        filled = memory.allocate(max(encodings.nbytes, 1))
        if source is not None:
            self._copy(source, filled, encodings.nbytes, encodings.events())
        order = hasher.plan(np.diff(offsets), levels)
        order_at = None if order is None else memory.on_device(memory.upload(order))
        offsets_at = memory.on_device(memory.upload(offsets))
        holes = np.searchsorted(splice_at, offsets[levels]).tolist()
        at, child = memory.on_device(memory.upload(splice_at)), memory.on_device(memory.upload(splice_child))
        u, event = np.uint64, None
        for level, (first, last) in enumerate(pairwise(levels.tolist())):
            if first == last:
                continue
            here = holes[level + 1] - holes[level]
            if here:
                self._run("splice", here, filled, at, child, u(holes[level]), u(here), digests.device)
            event = hasher.ragged(
                filled, encodings.nbytes, None, offsets_at, order_at, first, last - first, digests.device
            )
        return memory.publish(digests, event)


def update_sources(
    changed: np.ndarray, parents: np.ndarray, row: int, start: int, end: int, stored: int, level: int
) -> np.ndarray:
    """int64[2P]: where the two children of every parent come from, as ``gather`` in nodes.cl reads it.

    changed:    int64[K], node numbers within the level that change, ascending; their digests are rows ``row``... of
                the fresh ones
    start, end: the level's place among the ``stored`` nodes
    """
    children = (2 * parents[:, None] + np.arange(2)).reshape(-1)
    at = np.minimum(np.searchsorted(changed, children), len(changed) - 1)
    old = np.where(children < end - start, -1 - (start + children), -1 - (stored + level))
    return np.where(changed[at] == children, row + at, old)


def _place(nodes: np.ndarray, bounds: list[int], base: int, first: int, sizes: list[int], above: np.ndarray) -> None:
    """Put the levels above nodes ``first``... of level ``base`` to where they belong among all nodes."""
    at = 0
    for level, size in enumerate(sizes, base + 1):
        first >>= 1
        nodes[bounds[level] + first : bounds[level] + first + size] = above[at : at + size]
        at += size
