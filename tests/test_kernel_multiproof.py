"""Shared multiproofs of the binary Merkle tree."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chaindp.errors import InputError
from chaindp.kernels import MERKLE_OPEN, MERKLE_TREE, verify_path
from chaindp.kernels.hashes import GOLDEN_HASHES
from chaindp.kernels.merkle import level_offsets
from chaindp.kernels.multiproof import golden_shared_siblings, shared_siblings, verify_shared

SHA = "sha256"  # the golden one is the quicker of the two
TREES = {count: MERKLE_TREE.golden(np.random.default_rng(count).integers(0, 256, (count, 32), np.uint8), SHA)
         for count in range(1, 36)}  # fmt: skip


def depth_of(count: int) -> int:
    return len(level_offsets(count)) - 2


def rows(array: np.ndarray) -> list[bytes]:
    return [row.tobytes() for row in array]


CASES = st.integers(1, 35).flatmap(
    lambda count: st.tuples(st.just(count), st.sets(st.integers(0, count - 1), min_size=1).map(sorted))
)


@settings(max_examples=40)
@given(CASES)
def test_siblings_are_the_golden_ones_and_verify(case: tuple[int, list[int]]) -> None:
    count, chosen = case
    nodes, indices = TREES[count], np.array(chosen, dtype=np.int64)
    siblings = shared_siblings(nodes, count, indices, SHA)
    assert np.array_equal(siblings, golden_shared_siblings(nodes, count, indices, SHA))
    paths = MERKLE_OPEN.golden(nodes, count, indices, SHA)
    assert len(siblings) <= paths.shape[0] * paths.shape[1]
    assert {*rows(siblings)} <= {*rows(paths.reshape(-1, 32))}
    assert verify_shared(nodes[-1].tobytes(), depth_of(count), rows(nodes[indices]), chosen, rows(siblings), SHA)


@settings(max_examples=20)
@given(CASES, st.data())
def test_nothing_with_one_thing_wrong_verifies(case: tuple[int, list[int]], data: st.DataObject) -> None:
    count, chosen = case
    nodes = TREES[count]
    root, depth = nodes[-1].tobytes(), depth_of(count)
    leaves = rows(nodes[chosen])
    siblings = rows(shared_siblings(nodes, count, np.array(chosen, dtype=np.int64), SHA))
    assert verify_shared(root, depth, leaves, chosen, siblings, SHA)

    def flipped(items: list[bytes]) -> list[bytes]:
        at, bit = data.draw(st.integers(0, len(items) - 1)), data.draw(st.integers(0, 255))
        changed = (int.from_bytes(items[at], "big") ^ 1 << bit).to_bytes(32, "big")
        return [*items[:at], changed, *items[at + 1 :]]

    assert not verify_shared(root, depth, flipped(leaves), chosen, siblings, SHA)
    assert not verify_shared(flipped([root])[0], depth, leaves, chosen, siblings, SHA)
    assert not verify_shared(root, depth, leaves, chosen, [*siblings, bytes(32)], SHA)
    assert not verify_shared(root, depth + 1, leaves, chosen, siblings, SHA)
    assert not verify_shared(root, depth, leaves[1:], chosen, siblings, SHA)
    if siblings:
        assert not verify_shared(root, depth, leaves, chosen, flipped(siblings), SHA)
        assert not verify_shared(root, depth, leaves, chosen, siblings[:-1], SHA)
    if len(chosen) > 1:
        assert not verify_shared(root, depth, leaves[::-1], chosen, siblings, SHA)
        assert not verify_shared(root, depth, leaves[::-1], chosen[::-1], siblings, SHA)


@pytest.mark.parametrize("arguments", [
    (0, [], [], []),
    (-1, [bytes(32)], [0], []),
    (65, [bytes(32)], [0], [bytes(32)] * 65),
    (1, [bytes(32)], [2], [bytes(32)]),
    (1, [bytes(32)], [-1], [bytes(32)]),
    (1, [bytes(32)] * 2, [0, 0], []),
    (1, [bytes(31)], [0], [bytes(33)]),
    (1, [bytes(33)], [0], [bytes(31)]),
])  # fmt: skip
def test_what_is_no_proof_proves_nothing(arguments: tuple[int, list[bytes], list[int], list[bytes]]) -> None:
    roots = (bytes(32), GOLDEN_HASHES[SHA](bytes(64)))
    assert not any(verify_shared(root, *arguments, hash_name=SHA) for root in roots)
    with pytest.raises(InputError, match="unknown"):
        verify_shared(bytes(32), *arguments, hash_name="md5")


@pytest.mark.parametrize("hash_name", ["keccak256", "sha256"])
def test_one_index_is_its_path_and_all_leaves_need_the_padding_only(hash_name: str) -> None:
    leaves = np.random.default_rng(0).integers(0, 256, (6, 32), np.uint8)
    nodes = MERKLE_TREE.golden(leaves, hash_name)
    for index in range(6):
        one = np.array([index], dtype=np.int64)
        siblings = shared_siblings(nodes, 6, one, hash_name)
        assert np.array_equal(siblings, MERKLE_OPEN.golden(nodes, 6, one, hash_name)[0])
        assert verify_path(nodes[-1].tobytes(), leaves[index].tobytes(), index, siblings, hash_name)
    every = np.arange(6, dtype=np.int64)
    siblings = shared_siblings(nodes, 6, every, hash_name)
    assert len(siblings) == 1  # of the pairs above the leaves, the last has no sibling that is stored
    assert verify_shared(nodes[-1].tobytes(), 3, rows(leaves), every.tolist(), rows(siblings), hash_name)
    assert shared_siblings(nodes, 6, every[:0], hash_name).shape == (0, 32)
    single = MERKLE_TREE.golden(leaves[:1], hash_name)
    assert shared_siblings(single, 1, every[:1], hash_name).shape == (0, 32)
    assert verify_shared(leaves[0].tobytes(), 0, rows(leaves[:1]), [0], [], hash_name)


def test_wrong_calls() -> None:
    nodes = TREES[5]
    for indices in ([1, 0], [0, 0], [5], [-1]):
        with pytest.raises(InputError):
            shared_siblings(nodes, 5, np.array(indices, dtype=np.int64), SHA)
    with pytest.raises(InputError):
        shared_siblings(nodes[:-1], 5, np.array([0], dtype=np.int64), SHA)
    with pytest.raises(InputError, match="md5"):
        shared_siblings(nodes, 5, np.array([0], dtype=np.int64), "md5")
