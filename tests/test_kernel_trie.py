"""The contract of trie_hash against a plain recursive trie, the splice helper and the checks."""

from __future__ import annotations

import numpy as np
import pytest
import rlp
from trie import HexaryTrie

from chaindp.errors import InputError
from chaindp.kernels import TRIE_HASH, splice
from chaindp.kernels.hashes import golden_keccak256, pack
from chaindp.kernels.spec import Args


def args_from_trie(entries: dict[bytes, bytes]) -> tuple[Args, bytes, dict[bytes, bytes]]:
    """The nodes of py-trie's trie over ``entries``, grouped by level with their child digests cut out; root; its
    nodes."""
    database: dict[bytes, bytes] = {}
    trie = HexaryTrie(database, prune=True)
    for key, value in entries.items():
        trie[key] = value

    heights: dict[bytes, int] = {}

    def children(item: object) -> list[bytes]:
        # A branch's first 16 items and an extension's second one refer to nodes; a shorter node stands there inline.
        if not isinstance(item, list):
            return []
        is_leaf = len(item) == 2 and item[0][0] & 0x20
        slots = item[:16] if len(item) == 17 else [] if is_leaf else item[1:]
        found: list[bytes] = []
        for slot in slots:
            found += children(slot) if isinstance(slot, list) else [slot] if len(slot) == 32 else []
        return found

    def visit(digest: bytes) -> int:
        heights[digest] = 1 + max([visit(child) for child in children(rlp.decode(database[digest]))], default=-1)
        return heights[digest]

    visit(trie.root_hash)
    ordered = sorted(heights, key=lambda digest: heights[digest])
    number = {digest: i for i, digest in enumerate(ordered)}
    counts = np.bincount([heights[digest] for digest in ordered])
    splices = []
    holed = []
    start = 0
    for digest in ordered:
        node = bytearray(database[digest])
        for child in children(rlp.decode(database[digest])):
            at = bytes(node).index(b"\xa0" + child) + 1
            node[at : at + 32] = b"\xee" * 32
            splices.append((start + at, number[child]))
        holed.append(bytes(node))
        start += len(node)
    splices.sort()
    pairs = np.array(splices, dtype=np.int64).reshape(-1, 2)
    level_offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    args = (*pack(holed), level_offsets, np.ascontiguousarray(pairs[:, 0]), np.ascontiguousarray(pairs[:, 1]))
    return args, trie.root_hash, {digest: database[digest] for digest in ordered}


def random_entries(count: int, seed: int) -> dict[bytes, bytes]:
    rng = np.random.default_rng(seed)
    return {golden_keccak256(bytes([i % 256, i // 256])): rng.bytes(int(rng.integers(1, 90))) for i in range(count)}


@pytest.mark.parametrize("count", [1, 2, 3, 20, 60])
def test_golden_gives_the_digests_of_a_trie_library(count: int) -> None:
    args, root, nodes = args_from_trie(random_entries(count, count))
    digests = TRIE_HASH.golden(*args)
    assert digests[-1].tobytes() == root
    assert [digest.tobytes() for digest in digests] == list(nodes)
    filled = splice(args[0], args[3], args[4], digests).tobytes()
    assert filled == b"".join(nodes.values())


def test_splice_leaves_its_input_alone() -> None:
    encodings = np.zeros(40, dtype=np.uint8)
    encodings.flags.writeable = False
    digests = np.arange(64, dtype=np.uint8).reshape(2, 32)
    filled = splice(encodings, np.array([5]), np.array([1]), digests)
    assert filled[5:37].tobytes() == digests[1].tobytes()
    assert not filled[:5].any()
    assert not filled[37:].any()
    assert not encodings.any()
    empty = np.zeros(0, dtype=np.int64)
    assert len(splice(encodings[:3], empty, empty, digests)) == 3
    for at, child, says in (
        ([9], [0], "splice_at"),
        ([-1], [0], "splice_at"),
        ([0], [2], "splice_child"),
        ([0], [-1], "splice_child"),
    ):
        with pytest.raises(InputError, match=says):
            splice(encodings, np.array(at), np.array(child), digests)


ENCODINGS, OFFSETS = pack([bytes(40), bytes(80)])
LEVELS = np.array([0, 1, 2])


@pytest.mark.parametrize(
    ("levels", "at", "child", "says"),
    [
        ([0, 1], [], [], "level_offsets does not rise"),
        ([1, 2], [], [], "level_offsets does not rise"),
        ([0, 2, 1, 2], [], [], "level_offsets does not rise"),
        ([0, 1, 2], [40, 50], [0, 0], "overlap or are out of order"),
        ([0, 1, 2], [80, 40], [0, 0], "overlap or are out of order"),
        ([0, 1, 2], [89], [0], "outside the 120 bytes"),
        ([0, 1, 2], [-1], [0], "outside the 120 bytes"),
        ([0, 1, 2], [9], [0], "crosses the end of its node"),
        ([0, 1, 2], [3], [0], "not of an earlier level"),
        ([0, 1, 2], [50], [1], "not of an earlier level"),
        ([0, 1, 2], [50], [-1], "not of an earlier level"),
        ([0, 2], [50], [0], "not of an earlier level"),
        ([0, 1, 2], [50], [0, 0], "splice_child has shape [2]"),
    ],
)
def test_bad_arguments_get_one_clear_line(levels: list[int], at: list[int], child: list[int], says: str) -> None:
    splice_at, splice_child = np.array(at, dtype=np.int64), np.array(child, dtype=np.int64)
    with pytest.raises(InputError) as error:
        TRIE_HASH.golden(ENCODINGS, OFFSETS, np.array(levels), splice_at, splice_child)
    assert says in str(error.value)


def test_empty_levels_and_empty_nodes_are_allowed() -> None:
    encodings, offsets = pack([b"", bytes(33), b""])
    args = (encodings, offsets, np.array([0, 0, 1, 3, 3]), np.array([1]), np.array([0]))
    digests = TRIE_HASH.golden(*args)
    empty = golden_keccak256(b"")
    assert [d.tobytes() for d in digests] == [empty, golden_keccak256(b"\0" + empty), empty]
