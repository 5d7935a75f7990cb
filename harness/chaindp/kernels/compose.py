"""Kernels built from a backend's hash alone, so that a backend that only hashes can serve trees and tries as well.

The hashing runs on that backend, batch by batch; what remains, moving bytes between batches, runs on the host.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from chaindp.kernels import checks
from chaindp.kernels.merkle import level_offsets, sibling_paths, update_positions, zero_roots
from chaindp.kernels.trie import check_trie

if TYPE_CHECKING:
    from chaindp.kernels.kernelset import KernelSet

__all__ = ["COMPOSED", "Composed"]


@dataclass(frozen=True, slots=True)
class Composed:
    """A composition: the kernels that it calls, and (kernels, *arguments of the composed kernel) to its result.

    ``needs`` names what the default hash takes; another hash is asked for by name, and CapabilityError says where it is
    missing.
    """

    needs: frozenset[str]
    function: Callable[..., Any]


def _hash_pairs(kernels: KernelSet, pairs: np.ndarray, hash_name: str) -> np.ndarray:
    """Digests uint8[P,32] of ``pairs`` uint8[P,64]."""
    offsets = np.arange(len(pairs) + 1, dtype=np.int64) * 64
    return kernels.call(hash_name, pairs.reshape(-1), offsets)  # type: ignore[no-any-return]


def _merkle_tree(kernels: KernelSet, leaves: np.ndarray, hash_name: str = "keccak256") -> np.ndarray:
    """``merkle_tree``, one batch a level."""
    checks.hash_name(hash_name)
    leaves = checks.array(leaves, "leaves", np.uint8, (None, 32))
    bounds = level_offsets(len(leaves)).tolist()
    nodes = np.zeros((bounds[-1], 32), dtype=np.uint8)
    nodes[: len(leaves)] = leaves
    for level in range(len(bounds) - 2):
        below = nodes[bounds[level] : bounds[level + 1]]
        if len(below) % 2:
            below = np.concatenate([below, zero_roots(hash_name)[level : level + 1]])
        nodes[bounds[level + 1] : bounds[level + 2]] = _hash_pairs(kernels, below.reshape(-1, 64), hash_name)
    return nodes


def _merkle_root(kernels: KernelSet, leaves: np.ndarray, hash_name: str = "keccak256") -> np.ndarray:
    """``merkle_root`` of the backend's own ``merkle_tree``, or of a composed one."""
    return kernels.call("merkle_tree", leaves, hash_name)[-1].copy()  # type: ignore[no-any-return]


def _merkle_update(
    kernels: KernelSet,
    nodes: np.ndarray,
    leaf_count: int,
    indices: np.ndarray,
    leaves: np.ndarray,
    hash_name: str = "keccak256",
) -> tuple[np.ndarray, np.ndarray]:
    """``merkle_update``, one batch a level."""
    checks.hash_name(hash_name)
    nodes, leaf_count = checks.tree(nodes, leaf_count)
    indices = checks.indices(indices, leaf_count, increasing=True)
    leaves = checks.array(leaves, "leaves", np.uint8, (len(indices), 32))
    bounds = level_offsets(leaf_count).tolist()
    levels = update_positions(leaf_count, indices)
    positions, digests = [indices], [leaves]
    for level, parents in enumerate(levels[1:]):
        below = nodes[bounds[level] : bounds[level + 1]]
        pairs = np.empty((len(parents), 2, 32), dtype=np.uint8)
        pairs[:, 0] = below[2 * parents]
        has_right = 2 * parents + 1 < len(below)
        pairs[has_right, 1] = below[2 * parents[has_right] + 1]
        pairs[~has_right, 1] = zero_roots(hash_name)[level]
        changed = levels[level]
        pairs[np.searchsorted(parents, changed >> 1), changed & 1] = digests[-1]
        positions.append(parents + bounds[level + 1])
        digests.append(_hash_pairs(kernels, pairs.reshape(-1, 64), hash_name) if len(parents) else leaves)
    return np.concatenate(positions), np.concatenate(digests)


def _merkle_open(
    kernels: KernelSet, nodes: np.ndarray, leaf_count: int, indices: np.ndarray, hash_name: str = "keccak256"
) -> np.ndarray:
    """``merkle_open`` on the host: it moves bytes and hashes nothing."""
    checks.hash_name(hash_name)
    nodes, leaf_count = checks.tree(nodes, leaf_count)
    indices = checks.indices(indices, leaf_count, increasing=False)
    return sibling_paths(nodes, leaf_count, indices, hash_name)


def _trie_hash(
    kernels: KernelSet,
    encodings: np.ndarray,
    offsets: np.ndarray,
    level_offsets: np.ndarray,
    splice_at: np.ndarray,
    splice_child: np.ndarray,
) -> np.ndarray:
    """``trie_hash``, one batch a level."""
    encodings, offsets, level_offsets, splice_at, splice_child = check_trie(
        encodings, offsets, level_offsets, splice_at, splice_child
    )
    filled = encodings.copy()
    windows = sliding_window_view(filled, 32, writeable=True) if len(splice_at) else None
    holes = np.searchsorted(splice_at, offsets[level_offsets])
    digests = np.empty((len(offsets) - 1, 32), dtype=np.uint8)
    for level in range(len(level_offsets) - 1):
        first, last = level_offsets[level], level_offsets[level + 1]
        if first == last:
            continue
        here = slice(holes[level], holes[level + 1])
        if windows is not None:
            windows[splice_at[here]] = digests[splice_child[here]]
        start = offsets[first]
        data = filled[start : offsets[last]]
        digests[first:last] = kernels.call("keccak256", data, offsets[first : last + 1] - start)
    return digests


_KECCAK = frozenset({"keccak256"})

COMPOSED: Mapping[str, Composed] = {
    "merkle_tree": Composed(_KECCAK, _merkle_tree),
    "merkle_root": Composed(_KECCAK, _merkle_root),
    "merkle_update": Composed(_KECCAK, _merkle_update),
    # Needs no kernel: a gather without hashing, over a tree that was downloaded anyway.
    "merkle_open": Composed(frozenset(), _merkle_open),
    "trie_hash": Composed(_KECCAK, _trie_hash),
}
"""Kernel name to how it is composed."""
