"""An issuer's tree: the credentials that were given out are its first leaves, and the rest of it is empty.

A node is the first 8 elements of the permutation of its two children. An empty leaf is 8 zeros, and of an empty subtree
there is one digest a level, so that a tree of 2^60 leaves takes no more memory than the leaves that are there.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from chaindp.errors import UsageError
from chaindp.kernels.poseidon2 import WIDTH

__all__ = ["IssuerTree"]

_HALF = WIDTH // 2


class IssuerTree:
    """Of ``depth`` levels below its root.

    leaves:  uint32[n, 8], digests, n at least 1 and 2^depth at most; UsageError otherwise
    permute: uint32[n, 16] to the permuted states: a kernel's, or ``Permutation.permute``
    """

    def __init__(self, leaves: np.ndarray, depth: int, permute: Callable[[np.ndarray], np.ndarray]) -> None:
        if not 1 <= len(leaves) <= 1 << depth:
            raise UsageError(f"{len(leaves)} credentials are none of a tree of {depth} levels")
        self.depth = depth
        self._levels = [leaves]
        self._empty = [np.zeros(_HALF, dtype=np.uint32)]
        for _ in range(depth):
            below, empty = self._levels[-1], self._empty[-1]
            if len(below) % 2:
                below = np.concatenate([below, empty[None]])
            # The last pair is the empty one: the digest of an empty subtree of the next level.
            pairs = np.concatenate([below.reshape(-1, WIDTH), np.tile(empty, 2)[None]])
            digests = permute(pairs)[:, :_HALF]
            self._levels.append(digests[:-1])
            self._empty.append(digests[-1])

    @property
    def root(self) -> tuple[int, ...]:
        """Its 8 elements."""
        return tuple(self._levels[-1][0].tolist())

    def siblings(self, index: np.ndarray) -> np.ndarray:
        """uint32[n, depth, 8]: what is beside the paths of the leaves int64[n], from the leaf's to below the root."""
        out = np.empty((len(index), self.depth, _HALF), dtype=np.uint32)
        for level in range(self.depth):
            nodes, beside = self._levels[level], index >> level ^ 1
            there = beside < len(nodes)
            out[:, level] = np.where(there[:, None], nodes[np.where(there, beside, 0)], self._empty[level])
        return out
