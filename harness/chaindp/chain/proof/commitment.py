"""A commitment to rows of field elements: a Merkle tree over their hashes, opened at many places at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from chaindp.chain.proof import loops
from chaindp.chain.proof.encoding import element_bytes
from chaindp.kernels.commit import digest_tree, leaf_digests
from chaindp.kernels.kernelset import KernelSet
from chaindp.kernels.merkle import level_offsets

__all__ = ["Committed", "Parallel", "commit"]

Parallel = Callable[[Callable[[int, int], None], int, int], None]
"""Runs ``work(start, stop)`` over a count, in pieces that are multiples of a grain, on threads."""

_AT_ONCE = 1 << 23
"""Bytes of rows that are turned and hashed at once: they stay in the cache, and no table of all rows is ever there."""


@dataclass(frozen=True, slots=True)
class Committed:
    """Columns uint32[w, n], the salts of rows uint32[n, s], and the nodes of the tree; n is a power of two."""

    columns: np.ndarray
    salts: np.ndarray
    nodes: np.ndarray

    @property
    def count(self) -> int:
        """Of rows."""
        return len(self.salts)

    @property
    def root(self) -> bytes:
        """What is sent."""
        return bytes(self.nodes[-1])

    def open(self, places: Sequence[int]) -> bytes:
        """The rows at ``places``, which ascend, with their salts, and the digests that the verifier cannot compute."""
        at = np.array(places, dtype=np.int64)
        parts = [element_bytes(np.concatenate([self.columns[:, at].T, self.salts[at]], axis=1))]
        bounds = level_offsets(self.count)
        for level in range(len(bounds) - 2):
            siblings = at ^ 1
            unknown = siblings[~np.isin(siblings, at)]
            parts.append(self.nodes[bounds[level] + unknown].tobytes())
            at = np.unique(at >> 1)
        return b"".join(parts)


def commit(
    columns: np.ndarray, salts: np.ndarray, hash_name: str, field: str, kernels: KernelSet, parallel: Parallel
) -> Committed:
    """Hash every row with its salt behind it, and build the tree."""
    width, count = columns.shape
    leaves = np.empty((count, 32), dtype=np.uint8)
    step = max(loops.TURNED, _AT_ONCE // (4 * width) // loops.TURNED * loops.TURNED)
    for start in range(0, count, step):
        stop = min(start + step, count)
        # Each time new ones: who accounts for the calls may keep what they were given.
        rows = np.empty((stop - start, width + salts.shape[1]), dtype=np.uint32)

        def work(first: int, last: int, start: int = start, rows: np.ndarray = rows) -> None:
            loops.turn(columns, start + first, start + last, rows[first:last])

        parallel(work, stop - start, loops.TURNED)
        rows[:, width:] = salts[start:stop]
        leaves[start:stop] = leaf_digests(kernels, rows, hash_name, field)
    return Committed(columns, salts, digest_tree(kernels, leaves, hash_name, field))
