"""Hashes of field elements composed of ``poseidon2``, and Merkle commitments to rows of them.

Everything is hashed by the backend that the kernels are of, a batch at a time; what remains, moving elements between
batches, runs on the host.
"""

from __future__ import annotations

import numpy as np

from chaindp.errors import InputError
from chaindp.kernels.fields import elements, field_named
from chaindp.kernels.kernelset import KernelSet
from chaindp.kernels.merkle import level_offsets
from chaindp.kernels.poseidon2 import WIDTH

__all__ = ["COMMITMENTS", "DIGEST", "RATE", "commit_rows", "compress_pairs", "hash_rows"]

RATE = 8
"""Elements that the sponge takes in at a time; the other 8 of the state are its capacity."""

DIGEST = 8
"""Elements of a digest: 32 bytes, as each hash here has."""

COMMITMENTS = ("keccak256", "poseidon2")
"""The hashes that rows are committed to with."""


def hash_rows(kernels: KernelSet, rows: np.ndarray, field: str = "babybear") -> np.ndarray:
    """Digests uint32[N,8] of ``rows`` uint32[N,width], canonical elements: the padding-free sponge over ``poseidon2``.

    A state begins as zeros. Eight elements of the row at a time take the place of its first eight, the last ones of
    just as many, and it is permuted; at the end its first eight are the digest. Rows of different widths may have the
    same digest, so a width is to be fixed beforehand. Plonky3's ``PaddingFreeSponge<_, 16, 8, 8>``. InputError for a
    row of no elements, and for what is not canonical.
    """
    rows = elements(rows, "rows", (None, None), field_named(field))
    if rows.shape[1] == 0:
        raise InputError("rows has rows of 0 elements, expected 1 or more")
    states = np.zeros((len(rows), WIDTH), dtype=np.uint32)
    for start in range(0, rows.shape[1], RATE):
        part = rows[:, start : start + RATE]
        # What a backend returned is not to be written to: it may have kept it for the audit.
        states = states.copy() if start else states
        states[:, : part.shape[1]] = part
        states = kernels.poseidon2(states, field)
    return states[:, :DIGEST].copy()


def compress_pairs(kernels: KernelSet, pairs: np.ndarray, field: str = "babybear") -> np.ndarray:
    """Digests uint32[P,8] of ``pairs`` uint32[P,16] of digests: permuted, and the first eight elements kept.

    Collision-resistant only within a tree, whose pairs are digests themselves. Plonky3's
    ``TruncatedPermutation<_, 2, 8, 16>``.
    """
    return kernels.poseidon2(pairs, field)[:, :DIGEST].copy()


def commit_rows(
    kernels: KernelSet, rows: np.ndarray, hash_name: str = "keccak256", field: str = "babybear"
) -> np.ndarray:
    """All nodes uint8[2N-1,32] of the Merkle tree over ``rows`` uint32[N,width], leaves first, root last.

    N is a power of two. With ``keccak256`` a leaf is the Keccak-256 of a row's elements, canonical and little-endian,
    and a node that of the two below it; with ``poseidon2`` they are ``hash_rows`` and ``compress_pairs``, a digest
    being its eight elements, likewise little-endian. The order of nodes is ``merkle_tree``'s, so ``merkle_open`` opens
    either tree. InputError for another number of rows, another hash, and elements that are not canonical.
    """
    rows = elements(rows, "rows", (None, None), field_named(field))
    count = len(rows)
    if count == 0 or count & (count - 1):
        raise InputError(f"rows has {count} rows, expected a power of two")
    if hash_name not in COMMITMENTS:
        raise InputError(f"hash {hash_name!r} is unknown, expected one of {', '.join(COMMITMENTS)}")
    if hash_name == "keccak256":
        data = rows.astype("<u4", copy=False).view(np.uint8).reshape(-1)
        offsets = np.arange(count + 1, dtype=np.int64) * (4 * rows.shape[1])
        return kernels.merkle_tree(kernels.keccak256(data, offsets), hash_name)
    bounds = level_offsets(count).tolist()
    nodes = np.empty((bounds[-1], DIGEST), dtype=np.uint32)
    nodes[:count] = hash_rows(kernels, rows, field)
    for level in range(len(bounds) - 2):
        pairs = nodes[bounds[level] : bounds[level + 1]].reshape(-1, 2 * DIGEST)
        nodes[bounds[level + 1] : bounds[level + 2]] = compress_pairs(kernels, pairs, field)
    return nodes.astype("<u4", copy=False).view(np.uint8)
