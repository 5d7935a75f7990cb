"""The contracts of the binary Merkle tree: ``merkle_tree``, ``merkle_root``, ``merkle_update`` and ``merkle_open``.

A tree is one array ``nodes`` uint8[M,32]: all levels one after another, leaves first, root last. Level l of a tree over
N leaves has ceil(N / 2^l) nodes. A level of odd size is completed by the root of the all-zero subtree of that height,
which is not stored: the root is that of the leaves padded with zero digests to the next power of two, the rule of SSZ's
``merkleize`` (Ethereum consensus specs, ssz/simple-serialize.md). A tree over no leaves is one zero digest.
"""

from __future__ import annotations

import functools

import numpy as np

from chaindp.kernels import checks
from chaindp.kernels.hashes import GOLDEN_HASHES
from chaindp.kernels.spec import Args, KernelSpec, Vector

__all__ = [
    "MERKLE_OPEN",
    "MERKLE_ROOT",
    "MERKLE_TREE",
    "MERKLE_UPDATE",
    "level_offsets",
    "node_count",
    "sibling_paths",
    "update_positions",
    "verify_path",
    "zero_roots",
]

MAX_DEPTH = 64


def level_offsets(leaf_count: int) -> np.ndarray:
    """int64[L+1]: level l of a tree over ``leaf_count`` leaves is ``nodes[result[l]:result[l+1]]``."""
    bounds, size = [0], max(leaf_count, 1)
    while True:
        bounds.append(bounds[-1] + size)
        if size == 1:
            return np.array(bounds, dtype=np.int64)
        size = (size + 1) // 2


def node_count(leaf_count: int) -> int:
    """How many nodes, leaves included, a tree over ``leaf_count`` leaves stores."""
    return int(level_offsets(leaf_count)[-1])


@functools.cache
def zero_roots(hash_name: str = "keccak256") -> np.ndarray:
    """uint8[65,32], read-only: row h is the root of a subtree of 2^h zero digests. InputError for an unknown hash."""
    digest = GOLDEN_HASHES[checks.hash_name(hash_name)]
    roots = [bytes(32)]
    for _ in range(MAX_DEPTH):
        roots.append(digest(roots[-1] * 2))
    return np.frombuffer(b"".join(roots), dtype=np.uint8).reshape(-1, 32)


def verify_path(root: bytes, leaf: bytes, index: int, siblings: np.ndarray, hash_name: str = "keccak256") -> bool:
    """Whether ``siblings`` uint8[depth,32], deepest first, prove that ``leaf`` is at ``index`` under ``root``.

    Plain Python and independent of every backend. An index that the path is too short for proves nothing.
    """
    digest = GOLDEN_HASHES[checks.hash_name(hash_name)]
    siblings = checks.array(siblings, "siblings", np.uint8, (None, 32))
    if not 0 <= index < 1 << len(siblings):
        return False
    node = bytes(leaf)
    for sibling in siblings:
        node = digest(sibling.tobytes() + node if index & 1 else node + sibling.tobytes())
        index >>= 1
    return node == bytes(root)


def update_positions(leaf_count: int, indices: np.ndarray) -> list[np.ndarray]:
    """For every level, the node numbers within it (ascending) that change where the leaves at ``indices`` do."""
    levels = [indices]
    for _ in range(len(level_offsets(leaf_count)) - 2):
        parents = levels[-1] >> 1
        # The indices ascend, so equal parents are neighbours.
        keep = np.ones(len(parents), dtype=bool)
        keep[1:] = parents[1:] != parents[:-1]
        levels.append(parents[keep])
    return levels


def sibling_paths(nodes: np.ndarray, leaf_count: int, indices: np.ndarray, hash_name: str = "keccak256") -> np.ndarray:
    """``merkle_open`` with checked arguments, by numpy's indexing: it moves bytes and hashes nothing.

    What backends on host memory and compositions share; the golden reference and the vectorized backend have their own.
    """
    bounds, zeros = level_offsets(leaf_count), zero_roots(hash_name)
    siblings = np.empty((len(indices), len(bounds) - 2, 32), dtype=np.uint8)
    for level in range(len(bounds) - 2):
        at = bounds[level] + ((indices >> level) ^ 1)
        stored = at < bounds[level + 1]
        siblings[stored, level] = nodes[at[stored]]
        siblings[~stored, level] = zeros[level]
    return siblings


def _golden_tree(leaves: np.ndarray, hash_name: str = "keccak256") -> np.ndarray:
    """Level by level, one node at a time."""
    digest = GOLDEN_HASHES[checks.hash_name(hash_name)]
    leaves = checks.array(leaves, "leaves", np.uint8, (None, 32))
    level = [leaf.tobytes() for leaf in leaves] or [bytes(32)]
    nodes = list(level)
    height = 0
    while len(level) > 1:
        if len(level) % 2:
            level.append(zero_roots(hash_name)[height].tobytes())
        level = [digest(level[i] + level[i + 1]) for i in range(0, len(level), 2)]
        nodes += level
        height += 1
    return np.frombuffer(b"".join(nodes), dtype=np.uint8).reshape(-1, 32)


def _golden_root(leaves: np.ndarray, hash_name: str = "keccak256") -> np.ndarray:
    """The last node of the whole tree."""
    nodes = _golden_tree(leaves, hash_name)
    return np.array(nodes[-1])


def _golden_update(
    nodes: np.ndarray, leaf_count: int, indices: np.ndarray, leaves: np.ndarray, hash_name: str = "keccak256"
) -> tuple[np.ndarray, np.ndarray]:
    """Climb from every changed leaf, one parent at a time, reading what did not change from ``nodes`` as it is."""
    digest = GOLDEN_HASHES[checks.hash_name(hash_name)]
    nodes, leaf_count = checks.tree(nodes, leaf_count)
    indices = checks.indices(indices, leaf_count, increasing=True)
    leaves = checks.array(leaves, "leaves", np.uint8, (len(indices), 32))
    bounds = level_offsets(leaf_count).tolist()
    stored: list[bytes] = [row.tobytes() for row in nodes]
    zeros: list[bytes] = [root.tobytes() for root in zero_roots(hash_name)]
    changed: dict[int, bytes] = {index: leaves[row].tobytes() for row, index in enumerate(indices.tolist())}
    for level in range(len(bounds) - 2):
        start, end = bounds[level], bounds[level + 1]

        def node(position: int, level: int = level, end: int = end) -> bytes:
            return changed.get(position, stored[position]) if position < end else zeros[level]

        for parent in sorted({(position - start) // 2 for position in changed if start <= position < end}):
            changed[end + parent] = digest(node(start + 2 * parent) + node(start + 2 * parent + 1))
    positions = sorted(changed)
    digests = b"".join(changed[position] for position in positions)
    return np.array(positions, dtype=np.int64), np.frombuffer(digests, dtype=np.uint8).reshape(-1, 32)


def _golden_open(nodes: np.ndarray, leaf_count: int, indices: np.ndarray, hash_name: str = "keccak256") -> np.ndarray:
    """Walk up from every leaf."""
    checks.hash_name(hash_name)
    nodes, leaf_count = checks.tree(nodes, leaf_count)
    indices = checks.indices(indices, leaf_count, increasing=False)
    bounds = level_offsets(leaf_count).tolist()
    siblings = np.zeros((len(indices), len(bounds) - 2, 32), dtype=np.uint8)
    for row, index in enumerate(indices.tolist()):
        for level in range(len(bounds) - 2):
            position = bounds[level] + ((index >> level) ^ 1)
            siblings[row, level] = nodes[position] if position < bounds[level + 1] else zero_roots(hash_name)[level]
    return siblings


def _random_digests(rng: np.random.Generator, size: int) -> np.ndarray:
    return rng.integers(0, 256, (size, 32), dtype=np.uint8)


def _generate_tree(rng: np.random.Generator, size: int) -> Args:
    return _random_digests(rng, size), "keccak256"


def _generate_update(rng: np.random.Generator, size: int) -> Args:
    """A tree over ``size`` leaves of which one in sixteen changes.

    Its nodes are random digests: an update reads them as they are, and hashing a real tree here would cost seconds.
    """
    changed = rng.choice(size, max(size // 16, min(size, 1)), replace=False)
    indices = np.sort(changed).astype(np.int64)
    return _random_digests(rng, node_count(size)), size, indices, _random_digests(rng, len(indices)), "keccak256"


def _generate_open(rng: np.random.Generator, size: int) -> Args:
    """``size`` openings, in any order, of a tree over as many leaves (random digests, as in the update)."""
    indices = rng.integers(0, max(size, 1), size, dtype=np.int64)
    return _random_digests(rng, node_count(size)), size, indices, "keccak256"


def _tree_units(leaves: np.ndarray, hash_name: str = "keccak256") -> int:
    return node_count(len(leaves)) - max(len(leaves), 1)


def _update_units(
    nodes: np.ndarray, leaf_count: int, indices: np.ndarray, leaves: np.ndarray, hash_name: str = "keccak256"
) -> int:
    return sum(len(level) for level in update_positions(leaf_count, indices)[1:])


def _open_units(nodes: np.ndarray, leaf_count: int, indices: np.ndarray, hash_name: str = "keccak256") -> int:
    return len(indices)


def _digest(text: str) -> np.ndarray:
    return np.frombuffer(bytes.fromhex(text), dtype=np.uint8).reshape(1, 32)


# The published roots of all-zero subtrees: consensus-specs' zero hashes, and the empty levels of the deposit contract;
# for Keccak-256 the empty levels of the Optimism and Tornado trees.
_ZERO_SHA256 = _digest("f5a5fd42d16a20302798ef6ed309979b43003d2320d9f0e8ea9831a92759fb4b")
_ZERO_KECCAK = _digest("ad3228b676f7d3cd4284a5443f17f1962b36e491b30a40b2405849e597ba5fb5")
_ZERO_SHA256_2 = _digest("db56114e00fdd4c1f85c892bf35ac9a89289aaecb1ebd0a96cde606a748b5d71")
_ZEROS = np.zeros((2, 32), dtype=np.uint8)
_SSZ = "Ethereum consensus specs, SSZ zero hashes"
_KECCAK_TREE = "Optimism cannon MerkleTree / Solady MerkleTreeLib, zero hash of height 1"


MERKLE_TREE = KernelSpec(
    name="merkle_tree",
    summary='leaves u8[N,32], hash "keccak256"|"sha256" -> nodes u8[M,32], leaves first, root last',
    unit="node",
    generate=_generate_tree,
    golden=_golden_tree,
    units=_tree_units,
    vectors=(
        Vector((_ZEROS, "sha256"), np.concatenate([_ZEROS, _ZERO_SHA256]), _SSZ),
        Vector((_ZEROS, "keccak256"), np.concatenate([_ZEROS, _ZERO_KECCAK]), _KECCAK_TREE),
    ),
    sizes=(64, 4096, 1 << 20),
)

# What a device that keeps the nodes to itself hands back: no other node leaves it.
MERKLE_ROOT = KernelSpec(
    name="merkle_root",
    summary='leaves u8[N,32], hash "keccak256"|"sha256" -> root u8[32]',
    unit="node",
    generate=_generate_tree,
    golden=_golden_root,
    units=_tree_units,
    vectors=(
        Vector((_ZEROS, "sha256"), _ZERO_SHA256[0], _SSZ),
        Vector((np.repeat(_ZEROS, 2, axis=0), "sha256"), _ZERO_SHA256_2[0], _SSZ),
        Vector((_ZEROS, "keccak256"), _ZERO_KECCAK[0], _KECCAK_TREE),
    ),
    sizes=(64, 4096, 1 << 20),
)

MERKLE_UPDATE = KernelSpec(
    name="merkle_update",
    summary="nodes u8[M,32], leaf_count, indices i64[K], leaves u8[K,32], hash -> positions i64[C], digests u8[C,32]",
    unit="node",
    generate=_generate_update,
    golden=_golden_update,
    units=_update_units,
    vectors=(
        Vector(
            (np.concatenate([_ZEROS + np.uint8(1), _ZERO_SHA256]), 2, np.arange(2, dtype=np.int64), _ZEROS, "sha256"),
            (np.arange(3, dtype=np.int64), np.concatenate([_ZEROS, _ZERO_SHA256])),
            _SSZ,
        ),
    ),
    sizes=(64, 4096, 1 << 18),
)

MERKLE_OPEN = KernelSpec(
    name="merkle_open",
    summary="nodes u8[M,32], leaf_count, indices i64[K], hash -> siblings u8[K,depth,32], deepest first",
    unit="path",
    generate=_generate_open,
    golden=_golden_open,
    units=_open_units,
    # Three zero leaves and the levels above: leaf 2 has no stored sibling, its parent has one.
    vectors=(
        Vector(
            (
                np.concatenate([_ZEROS, _ZEROS[:1], _ZERO_SHA256, _ZERO_SHA256, _ZERO_SHA256_2]),
                3,
                np.array([2], dtype=np.int64),
                "sha256",
            ),
            np.stack([_ZEROS[:1], _ZERO_SHA256], axis=1),
            _SSZ,
        ),
    ),
    sizes=(64, 4096, 1 << 18),
)
