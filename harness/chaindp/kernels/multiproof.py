"""Shared multiproofs of the binary Merkle tree: many leaves opened at once, every sibling that is needed once.

A function over the tree and no kernel: like ``merkle_open`` it moves bytes and hashes nothing, and unlike that it has
no independent rows to spread over a device. The form is that of SSZ: helper nodes in descending order of their
generalized index, which is 2^height for the root's level and counts from left to right (Ethereum consensus specs,
ssz/merkle-proofs.md). So within one proof the deepest level comes first, and within a level the rightmost node.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from chaindp.kernels import checks
from chaindp.kernels.hashes import GOLDEN_HASHES
from chaindp.kernels.merkle import MAX_DEPTH, level_offsets, zero_roots

__all__ = ["golden_shared_siblings", "shared_siblings", "verify_shared"]


def shared_siblings(
    nodes: np.ndarray, leaf_count: int, indices: np.ndarray, hash_name: str = "keccak256"
) -> np.ndarray:
    """The siblings uint8[S,32] that open the leaves at ``indices`` of a tree together, each once.

    ``nodes`` uint8[M,32] as ``merkle_tree`` returns them; ``indices`` int64[K], strictly increasing. A sibling that
    the tree does not store is the root of an all-zero subtree, and is given like any other. For one index this is its
    path of ``merkle_open``; for no index there is none, and for all leaves only what completes the levels of odd size.
    InputError where arguments are not of that form.
    """
    nodes, leaf_count = checks.tree(nodes, leaf_count)
    indices = checks.indices(indices, leaf_count, increasing=True)
    zeros, bounds = zero_roots(hash_name), level_offsets(leaf_count)
    parts = [np.empty((0, 32), dtype=np.uint8)]
    for level in range(len(bounds) - 2):
        # Neighbours are a pair where the first is a left child and the second its sibling: neither is then needed.
        paired = np.zeros(len(indices), dtype=np.bool_)
        paired[:-1] = (indices[:-1] ^ 1) == indices[1:]
        paired[1:] |= paired[:-1]
        needed = (indices[~paired] ^ 1)[::-1]
        at = bounds[level] + needed
        stored = at < bounds[level + 1]
        part = np.empty((len(needed), 32), dtype=np.uint8)
        part[stored] = nodes[at[stored]]
        part[~stored] = zeros[level]
        parts.append(part)
        parents = indices >> 1
        keep = np.ones(len(parents), dtype=np.bool_)
        keep[1:] = parents[1:] != parents[:-1]
        indices = parents[keep]
    return np.concatenate(parts)


def golden_shared_siblings(
    nodes: np.ndarray, leaf_count: int, indices: np.ndarray, hash_name: str = "keccak256"
) -> np.ndarray:
    """``shared_siblings`` by its definition: of all siblings of all paths, those that lie on no path, sorted."""
    nodes, leaf_count = checks.tree(nodes, leaf_count)
    indices = checks.indices(indices, leaf_count, increasing=True)
    bounds = level_offsets(leaf_count).tolist()
    depth = len(bounds) - 2
    paths, siblings = set(), set()
    for index in indices.tolist():
        node = (1 << depth) + index
        while node > 1:
            paths.add(node)
            siblings.add(node ^ 1)
            node >>= 1
    found = []
    for node in sorted(siblings - paths, reverse=True):
        level = depth - node.bit_length() + 1
        at = bounds[level] + node - (1 << (node.bit_length() - 1))
        found.append(nodes[at] if at < bounds[level + 1] else zero_roots(hash_name)[level])
    return np.array(found, dtype=np.uint8).reshape(-1, 32)


def verify_shared(
    root: bytes,
    depth: int,
    leaves: Sequence[bytes],
    indices: Sequence[int],
    siblings: Sequence[bytes],
    hash_name: str = "keccak256",
) -> bool:
    """Whether ``siblings`` prove that ``leaves`` are at ``indices`` of the tree of height ``depth`` under ``root``.

    Plain Python, from the form alone, and independent of what makes the proof. Every sibling has to be used. Nothing is
    proven by no leaves, by indices that do not strictly increase or lie outside of the tree, or by what is not of 32
    bytes. InputError for an unknown hash.
    """
    digest: Callable[[bytes], bytes] = GOLDEN_HASHES[checks.hash_name(hash_name)]
    if not 0 <= depth <= MAX_DEPTH or not leaves or len(leaves) != len(indices):
        return False
    if any(len(node) != 32 for node in (*leaves, *siblings)):
        return False
    last = -1
    for index in indices:
        if not last < index < 1 << depth:
            return False
        last = index
    # From right to left, which is the order of the siblings.
    level = [(index, bytes(leaf)) for index, leaf in zip(reversed(indices), reversed(leaves), strict=True)]
    used = 0
    for _ in range(depth):
        above: list[tuple[int, bytes]] = []
        at = 0
        while at < len(level):
            index, node = level[at]
            at += 1
            if index & 1 and at < len(level) and level[at][0] == index - 1:
                pair = level[at][1] + node
                at += 1
            elif used == len(siblings):
                return False
            else:
                sibling = bytes(siblings[used])
                pair = sibling + node if index & 1 else node + sibling
                used += 1
            above.append((index >> 1, digest(pair)))
        level = above
    return used == len(siblings) and level[0][1] == bytes(root)
