"""The vectorized, multi-threaded device of the CPU backend."""

from __future__ import annotations

import functools
import importlib
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from chaindp.backend import Backend, BackendOptions
from chaindp.kernels import checks
from chaindp.kernels.merkle import level_offsets, zero_roots
from chaindp.kernels.trie import check_trie
from chaindp_cpu.field_kernels import FIELD_KERNELS, VectorFields

if TYPE_CHECKING:
    from types import ModuleType

__all__ = ["CpuBackend"]

LEAST_STEPS = 128
"""Vector hash steps that a second thread must be able to take over; about 50 us, several times what waking it costs."""

PARTS = 4
"""Shares a thread: one that is held up, by another process or another call, leaves its next shares to the others."""

LEAST_SIGNATURES = 4
"""Recoveries that a second thread must be able to take over."""


@functools.cache
def _module(name: str) -> ModuleType:
    # On demand: importing a kernel module compiles it or loads it from the disk cache.
    return importlib.import_module(f"chaindp_cpu.{name}")


@functools.cache
def _pool(workers: int) -> ThreadPoolExecutor:
    """The threads of every instance in this process that wants as many.

    One pool and not one an instance: where other processes are at work, the operating system may leave an instance's
    threads beside a busy neighbour for seconds, and two equal instances would be measured as different.
    """
    return ThreadPoolExecutor(workers, "chaindp-cpu")


class CpuBackend(VectorFields, Backend):
    """Kernels over numpy arrays on host memory. Calls from several threads share one pool and nothing else."""

    def __init__(self, name: str, options: BackendOptions) -> None:
        super().__init__(name, options)
        # The calling thread takes a share of the work itself.
        self._pool = _pool(self.threads - 1) if self.threads > 1 else None

    def warm_up(self, kernels: Sequence[str]) -> None:
        """Compile the named kernels, or load them from numba's disk cache."""
        for name in kernels:
            if name == "ecrecover":
                _module("secp256k1").library()
                _module("keccak")
            elif name in ("merkle_tree", "merkle_update", "merkle_open", "trie_hash"):
                _module("trees")
                _module("batches")
                zero_roots("keccak256")
                zero_roots("sha256")
            elif name in ("keccak256", "sha256"):
                _module("batches")
                _module("keccak" if name == "keccak256" else "sha256")
            elif name in FIELD_KERNELS:
                _module(FIELD_KERNELS[name])

    def _run(self, job: Callable[[int, int], None], shares: Sequence[tuple[int, int]]) -> None:
        """``job(first, last)`` for every share, side by side; the first error is raised once all have ended."""
        if self._pool is None or len(shares) < 2:
            for first, last in shares:
                job(first, last)
            return
        waiting = deque(shares)

        def work() -> None:
            while True:
                try:
                    first, last = waiting.popleft()
                except IndexError:
                    return
                job(first, last)

        others = [self._pool.submit(work) for _ in range(min(self.threads, len(shares)) - 1)]
        try:
            work()
        finally:
            # Even where the own share failed: the others still write to arrays of this call. One that no thread has
            # started yet, because another call keeps them busy, has nothing left to do.
            errors = [None if future.cancel() else future.exception() for future in others]
        for error in errors:
            if error is not None:
                raise error

    def _shares(self, count: int, step: int, least: int) -> list[tuple[int, int]]:
        """Cut ``count`` items at multiples of ``step`` into shares of at least ``least``; one where that is all."""
        if self.threads < 2 or count < 2 * least:
            return [(0, count)] if count else []
        parts = min(self.threads * PARTS, count // least)
        steps = -(-count // step)
        cuts = [min(steps * i // parts * step, count) for i in range(parts + 1)]
        return [(first, last) for first, last in pairwise(cuts) if first < last]

    def _hash_pairs(self, pairs: np.ndarray, digests: np.ndarray, count: int, hash_id: int) -> None:
        hash_pairs = _module("trees").hash_pairs

        def job(first: int, last: int) -> None:
            hash_pairs(pairs, 64 * first, digests, 32 * first, last - first, hash_id)

        self._run(job, self._shares(count, 16, 16 * LEAST_STEPS))

    def _hash_ragged(self, name: str, data: np.ndarray, offsets: np.ndarray, digests: np.ndarray) -> None:
        """Hash messages with checked offsets, which need not start at 0, to ``digests`` uint8[N,32]."""
        module = _module("keccak" if name == "keccak256" else "sha256")
        block, overhead, word = (module.RATE, 0, np.uint64) if name == "keccak256" else (module.BLOCK, 8, np.uint32)
        order, shares = _module("batches").plan(
            offsets, block, overhead, module.LANES, self.threads * PARTS if self.threads > 1 else 1, LEAST_STEPS
        )
        target = digests.reshape(-1).view(word)

        def job(first: int, last: int) -> None:
            module.hash_ragged(data, offsets, order, first, last, target)

        self._run(job, shares)

    def _hash(self, name: str, data: np.ndarray, offsets: np.ndarray) -> np.ndarray:
        data, offsets = checks.ragged(data, offsets)
        digests = np.empty((len(offsets) - 1, 32), dtype=np.uint8)
        if _module("batches").are_pairs(offsets):
            hash_pairs = _module("keccak" if name == "keccak256" else "sha256").hash_pairs
            flat = digests.reshape(-1)

            def job(first: int, last: int) -> None:
                hash_pairs(data, 64 * first, flat, 32 * first, last - first)

            self._run(job, self._shares(len(digests), 16, 16 * LEAST_STEPS))
        else:
            self._hash_ragged(name, data, offsets, digests)
        return digests

    def keccak256(self, data: np.ndarray, offsets: np.ndarray) -> np.ndarray:
        """Digests uint8[N,32] of N ragged messages."""
        return self._hash("keccak256", data, offsets)

    def sha256(self, data: np.ndarray, offsets: np.ndarray) -> np.ndarray:
        """Digests uint8[N,32] of N ragged messages."""
        return self._hash("sha256", data, offsets)

    def merkle_tree(self, leaves: np.ndarray, hash_name: str = "keccak256") -> np.ndarray:
        """All nodes of the tree: subtrees that fit the cache side by side, then the levels above them."""
        trees = _module("trees")
        hash_id = trees.HASH_IDS[checks.hash_name(hash_name)]
        leaves = checks.array(leaves, "leaves", np.uint8, (None, 32))
        bounds = level_offsets(len(leaves))
        depth = len(bounds) - 2
        if not len(leaves):
            return np.zeros((1, 32), dtype=np.uint8)
        nodes = np.empty((int(bounds[-1]), 32), dtype=np.uint8)
        flat_leaves, flat_nodes, zeros = leaves.reshape(-1), nodes.reshape(-1), zero_roots(hash_name).reshape(-1)
        base = 0
        while True:
            size = int(bounds[base + 1] - bounds[base])
            whole = size <= trees.SUBTREE_LEAVES
            height = depth - base if whole else trees.SUBTREE_HEIGHT

            def job(first: int, last: int, base: int = base, height: int = height) -> None:
                trees.hash_subtrees(flat_leaves, flat_nodes, bounds, zeros, base, height, first, last, hash_id)

            self._run(job, [(0, size)] if whole else self._shares(size, trees.SUBTREE_LEAVES, trees.SUBTREE_LEAVES))
            if whole:
                return nodes
            base += height

    def merkle_update(
        self, nodes: np.ndarray, leaf_count: int, indices: np.ndarray, leaves: np.ndarray, hash_name: str = "keccak256"
    ) -> tuple[np.ndarray, np.ndarray]:
        """Positions int64[C] and digests uint8[C,32] of the nodes that change with the leaves at ``indices``."""
        trees = _module("trees")
        hash_id = trees.HASH_IDS[checks.hash_name(hash_name)]
        nodes, leaf_count = checks.tree(nodes, leaf_count)
        indices = checks.indices(indices, leaf_count, increasing=True)
        leaves = checks.array(leaves, "leaves", np.uint8, (len(indices), 32))
        bounds = level_offsets(leaf_count).tolist()
        flat_nodes, zeros = nodes.reshape(-1), zero_roots(hash_name).reshape(-1)
        positions, digests = [indices], [leaves]
        changed, values = indices, leaves.reshape(-1)
        pairs = np.empty(64 * len(indices), dtype=np.uint8)
        for level in range(len(bounds) - 2):
            start, size = bounds[level], bounds[level + 1] - bounds[level]
            parents = np.empty(len(changed), dtype=np.int64)
            count = trees.gather_pairs(flat_nodes, start, size, zeros, level, changed, values, parents, pairs)
            changed, values = parents[:count], np.empty(32 * count, dtype=np.uint8)
            self._hash_pairs(pairs, values, count, hash_id)
            positions.append(changed + bounds[level + 1])
            digests.append(values.reshape(-1, 32))
        return np.concatenate(positions), np.concatenate(digests)

    def merkle_open(
        self, nodes: np.ndarray, leaf_count: int, indices: np.ndarray, hash_name: str = "keccak256"
    ) -> np.ndarray:
        """Sibling paths uint8[K,depth,32] of the leaves at ``indices``, deepest first."""
        trees = _module("trees")
        zeros = zero_roots(checks.hash_name(hash_name)).reshape(-1)
        nodes, leaf_count = checks.tree(nodes, leaf_count)
        indices = checks.indices(indices, leaf_count, increasing=False)
        bounds = level_offsets(leaf_count)
        siblings = np.empty((len(indices), len(bounds) - 2, 32), dtype=np.uint8)
        flat_nodes, flat = nodes.reshape(-1), siblings.reshape(-1)

        def job(first: int, last: int) -> None:
            trees.gather_paths(flat_nodes, bounds, zeros, indices, first, last, flat)

        self._run(job, self._shares(len(indices), 1, 1024))
        return siblings

    def trie_hash(
        self,
        encodings: np.ndarray,
        offsets: np.ndarray,
        level_offsets: np.ndarray,
        splice_at: np.ndarray,
        splice_child: np.ndarray,
    ) -> np.ndarray:
        """Digests uint8[N,32] of trie nodes, level after level, child digests spliced into a working copy."""
        encodings, offsets, level_offsets, splice_at, splice_child = check_trie(
            encodings, offsets, level_offsets, splice_at, splice_child
        )
        fill_holes = _module("trees").fill_holes
        digests = np.empty((len(offsets) - 1, 32), dtype=np.uint8)
        flat = digests.reshape(-1)
        filled = encodings.copy()
        steps = (len(encodings) // 136 + len(digests)) // 8
        if self.threads == 1 or steps < 2 * LEAST_STEPS:
            _module("trees").hash_levels(filled, offsets, level_offsets, splice_at, splice_child, flat)
            return digests
        levels = level_offsets.tolist()
        holes = np.searchsorted(splice_at, offsets[level_offsets]).tolist()
        for level in range(len(levels) - 1):
            first, last = levels[level], levels[level + 1]
            if holes[level] < holes[level + 1]:
                fill_holes(filled, splice_at, splice_child, holes[level], holes[level + 1], flat)
            if first < last:
                self._hash_ragged("keccak256", filled, offsets[first : last + 1], digests[first:last])
        return digests

    def ecrecover(self, digests: np.ndarray, signatures: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Addresses uint8[N,20] and ok bool[N]: libsecp256k1 signature by signature, the keys hashed in one batch."""
        secp256k1 = _module("secp256k1")
        digests, signatures = checks.signatures(digests, signatures)
        count = len(digests)
        keys = np.empty(64 * count, dtype=np.uint8)
        ok = np.empty(count, dtype=np.uint8)
        flat_digests, flat_signatures = digests.reshape(-1), signatures.reshape(-1)
        library = secp256k1.library()

        def job(first: int, last: int) -> None:
            room = np.zeros(256, dtype=np.uint8)
            secp256k1.recover_keys(*library, flat_digests, flat_signatures, first, last, keys, ok, room)

        self._run(job, self._shares(count, 1, LEAST_SIGNATURES))
        return self._addresses(keys, ok)

    def _addresses(self, keys: np.ndarray, ok: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The last 20 bytes of the keys' Keccak-256, zero where ``ok`` is 0."""
        hash_pairs = _module("keccak").hash_pairs
        hashed = np.empty(32 * len(ok), dtype=np.uint8)

        def job(first: int, last: int) -> None:
            hash_pairs(keys, 64 * first, hashed, 32 * first, last - first)

        self._run(job, self._shares(len(ok), 16, 16 * LEAST_STEPS))
        valid = ok.astype(bool)
        addresses = hashed.reshape(-1, 32)[:, 12:].copy()
        addresses[~valid] = 0
        return addresses, valid
