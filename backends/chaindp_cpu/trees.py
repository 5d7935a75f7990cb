"""Binary Merkle trees and trie levels: what moves digests about between the hashes."""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from chaindp_cpu import batches, keccak, sha256
from chaindp_cpu.simd import BYTES_IN, BYTES_OUT, INT, INTS_IN, INTS_OUT, Lanes, copy_bytes, data_pointer, kernel

__all__ = [
    "HASH_IDS",
    "SUBTREE_HEIGHT",
    "SUBTREE_LEAVES",
    "fill_holes",
    "gather_pairs",
    "gather_paths",
    "hash_levels",
    "hash_pairs",
    "hash_subtrees",
]

HASH_IDS = {"keccak256": 0, "sha256": 1}

SUBTREE_LEAVES = 2048
"""Leaves that are hashed upwards before the next ones are touched: with their inner nodes 128 KiB, which stays in
cache."""

SUBTREE_HEIGHT = 7
"""How far up: 16 nodes remain, the least that fills the vectors of either hash."""

_keccak_pairs = keccak.hash_pairs
_keccak_ragged = keccak.hash_ragged
_order_by_blocks = batches.order_by_blocks
_sha256_pairs = sha256.hash_pairs


@intrinsic
def _copy_digest(_typing: Any, source: Any, source_at: Any, target: Any, target_at: Any) -> Any:
    """Copy 32 bytes from ``source[source_at:]`` to ``target[target_at:]``, unchecked: one load, one store."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        v = Lanes(builder, 64, 4)
        read = data_pointer(context, builder, signature.args[0], args[0])
        write = data_pointer(context, builder, signature.args[2], args[2])
        v.store(v.load(read, args[1]), write, args[3])
        return context.get_dummy_value()

    return types.void(source, source_at, target, target_at), generate


@kernel(types.void(BYTES_IN, INT, BYTES_OUT, INT, INT, INT))
def hash_pairs(
    source: np.ndarray, source_at: int, target: np.ndarray, target_at: int, count: int, hash_id: int
) -> None:
    """``hash_pairs`` of the hash that ``hash_id`` names."""
    if hash_id == 0:
        _keccak_pairs(source, source_at, target, target_at, count)
    else:
        _sha256_pairs(source, source_at, target, target_at, count)


@kernel(types.void(BYTES_IN, BYTES_OUT, INTS_IN, BYTES_IN, INT, INT, INT, INT, INT))
def hash_subtrees(
    leaves: np.ndarray,
    nodes: np.ndarray,
    bounds: np.ndarray,
    zeros: np.ndarray,
    base: int,
    height: int,
    first: int,
    last: int,
    hash_id: int,
) -> None:
    """Hash nodes ``first`` to ``last`` of level ``base`` up by ``height`` levels, one subtree after another.

    leaves, nodes:  flat bytes of the leaves and of all nodes; level 0 is copied from one to the other on the way
    bounds:         the level offsets of the tree; zeros: the flat roots of all-zero subtrees
    first, last:    first is a multiple of SUBTREE_LEAVES; last too, or the size of the level
    """
    pair = np.empty(64, np.uint8)
    for start in range(first, last, SUBTREE_LEAVES):
        low, high = start, min(start + SUBTREE_LEAVES, last)
        if base == 0:
            copy_bytes(leaves, 32 * low, nodes, 32 * low, 32 * (high - low))
        for level in range(base, base + height):
            read, write = 32 * (bounds[level] + low), 32 * (bounds[level + 1] + low // 2)
            pairs = (high - low) // 2
            hash_pairs(nodes, read, nodes, write, pairs, hash_id)
            if (high - low) % 2:
                # Only the end of a level is odd: the sibling is a subtree of zeros, which is not stored.
                _copy_digest(nodes, read + 64 * pairs, pair, 0)
                _copy_digest(zeros, 32 * level, pair, 32)
                hash_pairs(pair, 0, nodes, write + 32 * pairs, 1, hash_id)
            low, high = low // 2, (high + 1) // 2


@kernel(INT(BYTES_IN, INT, INT, BYTES_IN, INT, INTS_IN, BYTES_IN, INTS_OUT, BYTES_OUT))
def gather_pairs(
    nodes: np.ndarray,
    level_start: int,
    level_size: int,
    zeros: np.ndarray,
    level: int,
    changed: np.ndarray,
    digests: np.ndarray,
    parents: np.ndarray,
    pairs: np.ndarray,
) -> int:
    """The pairs to hash above the nodes ``changed`` int64[K] (ascending) of a level, whose new values are ``digests``.

    Fills ``parents`` int64[<=K] and ``pairs`` (64 bytes a parent), and returns how many there are.
    """
    count = 0
    i = 0
    while i < len(changed):
        node = changed[i]
        at = 64 * count
        if node % 2:
            _copy_digest(nodes, 32 * (level_start + node - 1), pairs, at)
            _copy_digest(digests, 32 * i, pairs, at + 32)
        else:
            _copy_digest(digests, 32 * i, pairs, at)
            if i + 1 < len(changed) and changed[i + 1] == node + 1:
                i += 1
                _copy_digest(digests, 32 * i, pairs, at + 32)
            elif node + 1 < level_size:
                _copy_digest(nodes, 32 * (level_start + node + 1), pairs, at + 32)
            else:
                _copy_digest(zeros, 32 * level, pairs, at + 32)
        parents[count] = node // 2
        count += 1
        i += 1
    return count


@kernel(types.void(BYTES_IN, INTS_IN, BYTES_IN, INTS_IN, INT, INT, BYTES_OUT))
def gather_paths(
    nodes: np.ndarray,
    bounds: np.ndarray,
    zeros: np.ndarray,
    indices: np.ndarray,
    first: int,
    last: int,
    siblings: np.ndarray,
) -> None:
    """The siblings on the paths of the leaves ``indices[first:last]``, deepest first, to flat ``siblings``."""
    depth = len(bounds) - 2
    for row in range(first, last):
        for level in range(depth):
            sibling = bounds[level] + ((indices[row] >> level) ^ 1)
            if sibling < bounds[level + 1]:
                _copy_digest(nodes, 32 * sibling, siblings, 32 * (row * depth + level))
            else:
                _copy_digest(zeros, 32 * level, siblings, 32 * (row * depth + level))


@kernel(types.void(BYTES_OUT, INTS_IN, INTS_IN, INT, INT, BYTES_IN))
def fill_holes(
    encodings: np.ndarray, splice_at: np.ndarray, splice_child: np.ndarray, first: int, last: int, digests: np.ndarray
) -> None:
    """Write the child digests of the splices ``first`` to ``last`` into their holes."""
    for i in range(first, last):
        _copy_digest(digests, 32 * splice_child[i], encodings, splice_at[i])


_fill_holes = fill_holes


@kernel(types.void(BYTES_OUT, INTS_IN, INTS_IN, INTS_IN, INTS_IN, BYTES_OUT))
def hash_levels(
    encodings: np.ndarray,
    offsets: np.ndarray,
    levels: np.ndarray,
    splice_at: np.ndarray,
    splice_child: np.ndarray,
    digests: np.ndarray,
) -> None:
    """Fill the holes of every level in turn, in place, and hash its nodes to flat ``digests``, all in one call.

    A call for each level would come back to the interpreter dozens of times for a few milliseconds of work, and where
    other threads keep the interpreter busy, each return waits for them.
    """
    words = digests.view(np.uint64)
    hole = 0
    for level in range(len(levels) - 1):
        first, last = levels[level], levels[level + 1]
        count = last - first
        if count == 0:
            continue
        begin = hole
        while hole < len(splice_at) and splice_at[hole] < offsets[last]:
            hole += 1
        _fill_holes(encodings, splice_at, splice_child, begin, hole, digests)
        order = np.empty(count, np.int64)
        _order_by_blocks(offsets[first : last + 1], keccak.RATE, 0, order)
        _keccak_ragged(encodings, offsets[first : last + 1], order, 0, count, words[4 * first : 4 * last])
