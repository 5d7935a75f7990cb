"""The Merkle contracts: the padding rule, the helpers, the independent verifier and the checks."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from chaindp.errors import InputError
from chaindp.kernels import MERKLE_OPEN, MERKLE_TREE, MERKLE_UPDATE, level_offsets, verify_path, zero_roots
from chaindp.kernels.hashes import GOLDEN_HASHES
from chaindp.kernels.merkle import node_count, update_positions


def random_leaves(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, 32), dtype=np.uint8)


def padded_root(leaves: np.ndarray, hash_name: str) -> bytes:
    """The root by the rule as it is stated: pad with zero digests to a power of two, hash recursively."""
    size = 1
    while size < len(leaves):
        size *= 2
    level = [leaf.tobytes() for leaf in leaves] + [bytes(32)] * (size - len(leaves))
    while len(level) > 1:
        level = [GOLDEN_HASHES[hash_name](level[i] + level[i + 1]) for i in range(0, len(level), 2)]
    return level[0]


@pytest.mark.parametrize("hash_name", ["keccak256", "sha256"])
@pytest.mark.parametrize("count", [0, 1, 2, 3, 5, 6, 7, 8, 9, 31, 33])
def test_root_is_that_of_zero_padding_to_a_power_of_two(count: int, hash_name: str) -> None:
    leaves = random_leaves(count)
    nodes = MERKLE_TREE.golden(leaves, hash_name)
    assert nodes.shape == (node_count(count), 32)
    assert np.array_equal(nodes[:count], leaves)
    assert nodes[-1].tobytes() == padded_root(leaves, hash_name)


def test_level_offsets() -> None:
    assert level_offsets(0).tolist() == [0, 1]
    assert level_offsets(1).tolist() == [0, 1]
    assert level_offsets(2).tolist() == [0, 2, 3]
    assert level_offsets(5).tolist() == [0, 5, 8, 10, 11]
    assert level_offsets(8).tolist() == [0, 8, 12, 14, 15]
    assert MERKLE_TREE.units(random_leaves(5), "keccak256") == 6


def test_zero_roots_give_the_published_root_of_the_empty_deposit_contract() -> None:
    # get_deposit_root() of the Ethereum deposit contract before any deposit: depth 32, the count of 0 mixed in.
    root = hashlib.sha256(zero_roots("sha256")[32].tobytes() + bytes(32)).hexdigest()
    assert root == "d70a234731285c6804c2a4f56711ddb8c82c99740f207854891028af34e27e5e"
    with pytest.raises(InputError, match="hash 'md5' is unknown"):
        zero_roots("md5")


@pytest.mark.parametrize("hash_name", ["keccak256", "sha256"])
@pytest.mark.parametrize("count", [1, 2, 3, 6, 13])
def test_every_path_verifies_and_no_tampered_one_does(count: int, hash_name: str) -> None:
    nodes = MERKLE_TREE.golden(random_leaves(count), hash_name)
    siblings = MERKLE_OPEN.golden(nodes, count, np.arange(count, dtype=np.int64), hash_name)
    root = nodes[-1].tobytes()
    for index in range(count):
        leaf = nodes[index].tobytes()
        assert verify_path(root, leaf, index, siblings[index], hash_name)
        assert not verify_path(root, bytes(32), index, siblings[index], hash_name)
        assert not verify_path(bytes(32), leaf, index, siblings[index], hash_name)
        assert not verify_path(root, leaf, index + (1 << siblings.shape[1]), siblings[index], hash_name)
        assert not verify_path(root, leaf, -1, siblings[index], hash_name)
        for level in range(siblings.shape[1]):
            tampered = siblings[index].copy()
            tampered[level, 7] ^= 0x10
            assert not verify_path(root, leaf, index, tampered, hash_name)
            if siblings.shape[1]:
                assert not verify_path(root, leaf, index ^ (1 << level), siblings[index], hash_name)


@pytest.mark.parametrize("count", [1, 2, 7, 12, 33])
def test_golden_update_equals_rebuilding(count: int) -> None:
    rng = np.random.default_rng(count)
    leaves = random_leaves(count)
    nodes = MERKLE_TREE.golden(leaves, "keccak256")
    indices = np.flatnonzero(rng.integers(0, 2, count)).astype(np.int64)
    changed = random_leaves(len(indices), seed=99)
    positions, digests = MERKLE_UPDATE.golden(nodes, count, indices, changed, "keccak256")
    leaves[indices] = changed
    nodes = nodes.copy()
    nodes[positions] = digests
    assert np.array_equal(nodes, MERKLE_TREE.golden(leaves, "keccak256"))
    assert (np.diff(positions) > 0).all()
    starts = level_offsets(count)[:-1]
    expected = [level + start for level, start in zip(update_positions(count, indices), starts, strict=True)]
    assert positions.tolist() == np.concatenate(expected).tolist()


NODES = np.zeros((6, 32), dtype=np.uint8)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: MERKLE_TREE.golden(np.zeros((2, 31), np.uint8)), "leaves has shape [2, 31], expected [N,32]"),
        (lambda: MERKLE_TREE.golden(np.zeros((2, 32), np.uint8), "sha3"), "hash 'sha3' is unknown"),
        (lambda: MERKLE_OPEN.golden(NODES, 4, np.zeros(1, np.int64)), "which no tree of 4 leaves has"),
        (lambda: MERKLE_OPEN.golden(NODES, 1 << 80, np.zeros(1, np.int64)), "which no tree of"),
        (lambda: MERKLE_OPEN.golden(NODES, -1, np.zeros(1, np.int64)), "leaf_count is -1"),
        (lambda: MERKLE_OPEN.golden(NODES, 3.0, np.zeros(1, np.int64)), "leaf_count is float"),
        (lambda: MERKLE_OPEN.golden(NODES, 3, np.array([3])), "indices holds 3"),
        (lambda: MERKLE_OPEN.golden(NODES, 3, np.array([0, -1])), "indices holds -1"),
        (lambda: MERKLE_UPDATE.golden(NODES, 3, np.array([1, 1]), NODES[:2]), "not strictly increasing"),
        (lambda: MERKLE_UPDATE.golden(NODES, 3, np.array([1, 2]), NODES[:1]), "leaves has shape [1, 32]"),
    ],
)
def test_bad_arguments_get_one_clear_line(call: object, says: str) -> None:
    with pytest.raises(InputError) as error:
        call()  # type: ignore[operator]
    assert says in str(error.value)
    assert "\n" not in str(error.value)
