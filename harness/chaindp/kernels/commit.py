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

__all__ = [
    "COMMITMENTS",
    "DIGEST",
    "RATE",
    "commit_rows",
    "compress_pairs",
    "digest_tree",
    "hash_rows",
    "leaf_digests",
]

RATE = 8
"""Elements that the sponge takes in at a time; the other 8 of the state are its capacity."""

DIGEST = 8
"""Elements of a digest: 32 bytes, as each hash here has."""

COMMITMENTS = ("keccak256", "sha256", "poseidon2")
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


def leaf_digests(
    kernels: KernelSet, rows: np.ndarray, hash_name: str = "keccak256", field: str = "babybear"
) -> np.ndarray:
    """Digests uint8[N,32] of ``rows`` uint32[N,width], by one of ``COMMITMENTS``.

    With ``poseidon2`` that is ``hash_rows``, a digest being its eight elements, little-endian. Any other hash takes the
    bytes of the row's elements, likewise little-endian, whatever they are.
    """
    count, width = rows.shape
    if hash_name == "poseidon2":
        return hash_rows(kernels, rows, field).astype("<u4", copy=False).view(np.uint8)
    data = np.ascontiguousarray(rows).astype("<u4", copy=False).view(np.uint8).reshape(-1)
    digests: np.ndarray = kernels.call(hash_name, data, np.arange(count + 1, dtype=np.int64) * (4 * width))
    return digests


def digest_tree(
    kernels: KernelSet, leaves: np.ndarray, hash_name: str = "keccak256", field: str = "babybear"
) -> np.ndarray:
    """All nodes uint8[2N-1,32] of the tree over digests uint8[N,32], N a power of two: leaves first, root last.

    With ``poseidon2`` a node is ``compress_pairs`` of the two below it; with any other hash this is ``merkle_tree``.
    """
    if hash_name != "poseidon2":
        return kernels.merkle_tree(leaves, hash_name)
    bounds = level_offsets(len(leaves)).tolist()
    nodes = np.empty((bounds[-1], DIGEST), dtype=np.uint32)
    nodes[: len(leaves)] = np.ascontiguousarray(leaves).view("<u4")
    for level in range(len(bounds) - 2):
        pairs = nodes[bounds[level] : bounds[level + 1]].reshape(-1, 2 * DIGEST)
        nodes[bounds[level + 1] : bounds[level + 2]] = compress_pairs(kernels, pairs, field)
    return nodes.astype("<u4", copy=False).view(np.uint8)


def commit_rows(
    kernels: KernelSet, rows: np.ndarray, hash_name: str = "keccak256", field: str = "babybear"
) -> np.ndarray:
    """All nodes uint8[2N-1,32] of the Merkle tree over ``rows`` uint32[N,width], leaves first, root last.

    N is a power of two, and the tree is ``digest_tree`` over ``leaf_digests``. The order of nodes is ``merkle_tree``'s,
    so ``merkle_open`` opens it whatever the hash. InputError for another number of rows, another hash, and elements
    that are not canonical.
    """
    rows = elements(rows, "rows", (None, None), field_named(field))
    count = len(rows)
    if count == 0 or count & (count - 1):
        raise InputError(f"rows has {count} rows, expected a power of two")
    if hash_name not in COMMITMENTS:
        raise InputError(f"hash {hash_name!r} is unknown, expected one of {', '.join(COMMITMENTS)}")
    return digest_tree(kernels, leaf_digests(kernels, rows, hash_name, field), hash_name, field)
