"""A commitment to rows of field elements: a Merkle tree over their hashes, opened at many places at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from chaindp.chain.proof.encoding import element_bytes
from chaindp.kernels.kernelset import KernelSet
from chaindp.kernels.merkle import level_offsets

__all__ = ["Committed", "commit", "transposed"]

_PLACES, _COLUMNS = 1024, 16
"""What is turned at once: a cache line of each of a thousand rows. numpy's own way takes three times as long."""


def transposed(columns: np.ndarray) -> np.ndarray:
    """uint32[n, w] of uint32[w, n], as an array of its own."""
    width, count = columns.shape
    rows = np.empty((count, width), dtype=columns.dtype)
    for place in range(0, count, _PLACES):
        for column in range(0, width, _COLUMNS):
            part = columns[column : column + _COLUMNS, place : place + _PLACES]
            rows[place : place + _PLACES, column : column + _COLUMNS] = part.T
    return rows


@dataclass(frozen=True, slots=True)
class Committed:
    """Rows uint32[n, w], their salts uint8[n, s], and the nodes of the tree over them; n is a power of two."""

    rows: np.ndarray
    salts: np.ndarray
    nodes: np.ndarray

    @property
    def root(self) -> bytes:
        """What is sent."""
        return bytes(self.nodes[-1])

    def open(self, places: Sequence[int]) -> bytes:
        """The rows at ``places``, which ascend, with their salts, and the digests that the verifier cannot compute."""
        at = np.array(places, dtype=np.int64)
        parts = [element_bytes(self.rows[place]) + self.salts[place].tobytes() for place in places]
        bounds = level_offsets(len(self.rows))
        for level in range(len(bounds) - 2):
            siblings = at ^ 1
            unknown = siblings[~np.isin(siblings, at)]
            parts.append(self.nodes[bounds[level] + unknown].tobytes())
            at = np.unique(at >> 1)
        return b"".join(parts)


def commit(rows: np.ndarray, salts: np.ndarray, hash_name: str, kernels: KernelSet) -> Committed:
    """Hash every row with its salt, and build the tree."""
    count, width = rows.shape
    content = np.ascontiguousarray(rows).astype("<u4", copy=False).view(np.uint8).reshape(count, 4 * width)
    if salts.shape[1]:
        content = np.concatenate([content, salts], axis=1)
    offsets = np.arange(count + 1, dtype=np.int64) * content.shape[1]
    leaves = kernels.call(hash_name, content.reshape(-1), offsets)
    return Committed(rows, salts, kernels.merkle_tree(leaves, hash_name))
