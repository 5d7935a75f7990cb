from __future__ import annotations

import itertools
import json
import random
import tarfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from trie import HexaryTrie

from chaindp.backend import BackendOptions
from chaindp.chain.trie import EMPTY_ROOT, Trie, ordered_root
from chaindp.chain.types import Ragged
from chaindp.errors import InputError, UsageError
from chaindp.kernels.kernelset import KernelSet
from chaindp_cpu.backend import CpuBackend
from trie_reference import ReferenceKernels, keccak256, reference_root

Step = list[tuple[bytes, bytes]]


def _apply(trie: Trie, step: Step) -> int:
    return trie.update(Ragged.from_items(key for key, _ in step), Ragged.from_items(value for _, value in step))


def _root(trie: Trie, kernels: ReferenceKernels) -> bytes:
    return trie.hash(kernels.kernels)[0]


def _items(pairs: object) -> Step:
    def decode(text: str | None) -> bytes:
        if text is None:
            return b""
        return bytes.fromhex(text[2:]) if text.startswith("0x") else text.encode()

    listed = pairs.items() if isinstance(pairs, dict) else pairs
    return [(decode(key), decode(value)) for key, value in listed]  # type: ignore[union-attr]


# Cases of the official ethereum/tests, TrieTests/trietest.json and trieanyorder.json.
OFFICIAL = {
    "branch-value-update": (
        [["abc", "123"], ["abcd", "abcd"], ["abc", "abc"]],
        "7a320748f780ad9ad5b0837302075ce0eeba6c26e3d8562c67ccc0f1b273298a",
    ),
    "puppy": (
        [["do", "verb"], ["horse", "stallion"], ["doge", "coin"], ["dog", "puppy"]],
        "5991bb8c6514148a29db676a14ac506cd2cd5775ace63c30a4fe457715e9ac84",
    ),
    "foo": ([["foo", "bar"], ["food", "bass"]], "17beaa1648bafa633cda809c90c04af50fc8aed3cb40d16efbddee6fdf63c4c3"),
    "dogs": (
        [["doe", "reindeer"], ["dog", "puppy"], ["dogglesworth", "cat"]],
        "8aad789dff2f538bca5d8ea56e8abe10f4c7ba3a5dea95fea4cd6e7c3a1168d3",
    ),
    "singleItem": (
        [["A", "a" * 50]],
        "d23786fb4a010da3ce639d66d5e904a11dbc02746d1ce25029e53290cabf28ab",
    ),
    "smallValues": (
        [["be", "e"], ["dog", "puppy"], ["bed", "d"]],
        "3f67c7a47520f79faa29255d2d3c084a7a6df0453116ed7232ff10277a8be68b",
    ),
    "deletes": (
        [
            ["do", "verb"],
            ["ether", "wookiedoo"],
            ["horse", "stallion"],
            ["shaman", "horse"],
            ["doge", "coin"],
            ["ether", None],
            ["dog", "puppy"],
            ["shaman", None],
        ],
        "5991bb8c6514148a29db676a14ac506cd2cd5775ace63c30a4fe457715e9ac84",
    ),
}


@pytest.mark.parametrize("name", OFFICIAL)
@pytest.mark.parametrize("at_once", [True, False])
def test_official_case(name: str, at_once: bool) -> None:
    pairs, root = OFFICIAL[name]
    kernels, trie = ReferenceKernels(), Trie()
    for step in [_items(pairs)] if at_once else [[item] for item in _items(pairs)]:
        _apply(trie, step)
        got = _root(trie, kernels)
    assert got.hex() == root


def _official_file(data_dir: Path, name: str) -> dict[str, dict[str, object]]:
    with tarfile.open(data_dir / "ethereum-tests" / "TrieAndRLPTests.tar.gz") as archive:
        member = archive.extractfile(f"TrieTests/{name}")
        assert member is not None
        return json.load(member)  # type: ignore[no-any-return]


@pytest.mark.parametrize("name", ["trietest.json", "trieanyorder.json", "trietest_secureTrie.json"])
def test_official_files(data_dir: Path, name: str) -> None:
    for case in _official_file(data_dir, name).values():
        items = _items(case["in"])
        orders = [items] if isinstance(case["in"], list) else list(itertools.islice(itertools.permutations(items), 120))
        for order in orders:
            if "secure" in name:
                order = [(keccak256(key), value) for key, value in order]
            kernels, trie = ReferenceKernels(), Trie()
            _apply(trie, order)
            assert "0x" + _root(trie, kernels).hex() == case["root"]


def test_empty_trie() -> None:
    kernels, trie = ReferenceKernels(), Trie()
    root, nodes = trie.hash(kernels.kernels)
    assert root == EMPTY_ROOT == keccak256(b"\x80")
    assert nodes.count == 0 and kernels.batches == 0


# Keys from a small alphabet share prefixes, end inside each other, and collapse when they go.
_keys = st.one_of(
    st.binary(max_size=3),
    st.lists(st.sampled_from([0x00, 0x01, 0x10, 0x11, 0xFF]), max_size=6).map(bytes),
    st.sampled_from([0x12, 0x13, 0x22]).map(lambda last: bytes(31) + bytes([last])),
)
_values = st.one_of(
    st.just(b""),
    st.binary(min_size=1, max_size=4),
    st.sampled_from([b"\x7f", b"\x80", b"v" * 31, b"w" * 56, b"x" * 300]),
)
_steps = st.lists(st.lists(st.tuples(_keys, _values), min_size=1, max_size=12), min_size=1, max_size=8)


@settings(max_examples=75, deadline=None)
@given(_steps, st.lists(st.booleans(), min_size=8, max_size=8))
def test_random_steps_match_reference_and_peer(steps: list[Step], reopen: list[bool]) -> None:
    kernels, trie, model, peer = ReferenceKernels(), Trie(), {}, HexaryTrie({}, prune=True)
    for step, again in zip(steps, reopen, strict=False):
        _apply(trie, step)
        for key, value in step:
            there = model.pop(key, None) is not None
            if value:
                model[key] = value
                peer[key] = value
            elif there:  # the peer raises where an absent key ends inside an extension
                del peer[key]
        root, nodes = trie.hash(kernels.kernels)
        expected: dict[bytes, bytes] = {}
        assert root == reference_root(model, expected) == peer.root_hash
        for digest, encoding in zip(nodes.digests, nodes.encodings.items(), strict=True):
            assert expected[digest.tobytes()] == encoding
        assert set(expected) <= set(kernels.nodes)
        values, found = trie.get(Ragged.from_items([*model, b"not there"]))
        assert values.items() == [*model.values(), b""]
        assert found.tolist() == [True] * len(model) + [False]
        if again:
            trie = Trie(root, kernels.fetch)
    _apply(trie, [(key, b"") for key in model])
    assert _root(trie, kernels) == EMPTY_ROOT
    assert not any(trie.forest.live().values())


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(_keys, _values), max_size=30), st.randoms(use_true_random=False))
def test_order_of_distinct_keys_does_not_matter(items: Step, rng: random.Random) -> None:
    distinct = list(dict(items).items())
    kernels, first, second = ReferenceKernels(), Trie(), Trie()
    _apply(first, distinct)
    rng.shuffle(distinct)
    for item in distinct:
        _apply(second, [item])
        _root(second, kernels)
    assert _root(first, kernels) == _root(second, kernels) == reference_root(dict(distinct))


def _fixed(rng: np.random.Generator, count: int, prefixes: int) -> np.ndarray:
    keys = rng.integers(0, 256, (count, 32), dtype=np.uint8)
    keys[:, :12] = rng.integers(0, 256, (prefixes, 12), dtype=np.uint8)[rng.integers(0, prefixes, count)]
    keys[:, 12:31] = 0
    keys[:, 31] %= 16
    return keys


@pytest.mark.parametrize("seed", range(8))
def test_fixed_keys_the_last_of_equal_ones_counts(seed: int) -> None:
    # The batch path sorts, drops all but the last of equal keys and deletes last: same root as one by one in order.
    rng = np.random.default_rng(seed)
    kernels, batched, single = ReferenceKernels(), Trie(), Trie()
    model: dict[bytes, bytes] = {}
    for _ in range(4):
        keys = _fixed(rng, 40, 3)
        values = [rng.bytes(int(size)) for size in rng.integers(0, 50, 40) * rng.integers(0, 2, 40)]
        batched.update(keys, Ragged.from_items(values))
        for key, value in zip(keys, values, strict=True):
            single.update(key[None], Ragged.from_items([value]))
            model[key.tobytes()] = value
        assert _root(batched, kernels) == _root(single, kernels) == reference_root(model)


def test_unchanged_items_make_no_work() -> None:
    kernels, trie = ReferenceKernels(), Trie()
    items = [(bytes([i, i]), bytes([i]) * 40) for i in range(1, 50)]
    assert _apply(trie, items) == 49
    root, _ = trie.hash(kernels.kernels)
    assert _apply(trie, [*items, (b"absent", b"")]) == 0
    again, nodes = trie.hash(kernels.kernels)
    assert again == root and nodes.count == 0
    assert _apply(trie, [(bytes([7, 7]), b"new")]) == 1
    assert 0 < trie.hash(kernels.kernels)[1].count < 5


def test_one_changed_leaf_rehashes_its_path_only() -> None:
    rng = np.random.default_rng(5)
    keys = rng.integers(0, 256, (3000, 32), dtype=np.uint8)
    kernels, trie = ReferenceKernels(), Trie()
    trie.update(keys, Ragged.from_items([b"v" * 40] * 3000))
    everything = trie.hash(kernels.kernels)[1].count
    trie.update(keys[:1].copy(), Ragged.from_items([b"w" * 40]))
    assert everything > 3800
    assert trie.hash(kernels.kernels)[1].count <= 6


def test_failed_kernel_loses_nothing() -> None:
    kernels, trie = ReferenceKernels(), Trie()
    items = [(bytes([i]) * 3, bytes([i]) * 40) for i in range(1, 30)]
    _apply(trie, items)
    kernels.fail = True
    with pytest.raises(RuntimeError):
        trie.hash(kernels.kernels)
    kernels.fail = False
    root, nodes = trie.hash(kernels.kernels)
    assert root == reference_root(dict(items)) and nodes.count == len(kernels.nodes)


def test_a_long_run_does_not_grow() -> None:
    rng = np.random.default_rng(9)
    trie, kernels = Trie(), ReferenceKernels()
    sizes = []
    for round_number in range(60):
        keys = rng.integers(0, 256, (300, 32), dtype=np.uint8)
        values = [rng.bytes(int(size)) for size in rng.integers(1, 120, 300)]
        trie.update(keys, Ragged.from_items(values))
        if round_number % 2:
            _root(trie, kernels)
        trie.update(keys, Ragged.from_items([b""] * 300))
        sizes.append(trie.forest.memory_bytes())
    assert not any(trie.forest.live().values())
    assert sizes[-1] <= 1.3 * sizes[5]


def test_keys_of_very_different_length() -> None:
    rng = random.Random(3)
    model = {rng.randbytes(size): rng.randbytes(1 + size % 70) for size in [*range(40), 500, 3000]}
    model |= {b"a" * size: b"deep" for size in range(200)}
    kernels, trie = ReferenceKernels(), Trie()
    _apply(trie, list(model.items()))
    root = _root(trie, kernels)
    peer = HexaryTrie({})
    for key, value in model.items():
        peer[key] = value
    assert root == peer.root_hash
    again = Trie(root, kernels.fetch)
    assert again.get(Ragged.from_items(model))[0].items() == list(model.values())


def test_values_of_very_different_length() -> None:
    kernels, trie = ReferenceKernels(), Trie()
    model = {}
    for size in [1, 70_000, 2, 1024, 1025, 33_000, 55, 56, 255, 256, 65_536, 3]:
        for key in (b"one", b"other", bytes(32)):
            model[key] = bytes([size % 251 + 1]) * size
            _apply(trie, [(key, model[key])])
        assert _root(trie, kernels) == reference_root(model)


@pytest.mark.parametrize("count", [0, 1, 2, 15, 127, 128, 129, 130, 255, 256, 257, 700])
def test_ordered_root_matches_peer(count: int) -> None:
    import rlp

    rng = random.Random(count)
    items = [rng.randbytes(rng.randrange(1, 200)) for _ in range(count)]
    peer = HexaryTrie({})
    for index, item in enumerate(items):
        peer[rlp.encode(index)] = item
    assert ordered_root(Ragged.from_items(items), ReferenceKernels().kernels) == peer.root_hash


def test_ordered_root_refuses_an_empty_item() -> None:
    with pytest.raises(InputError, match="item 1 "):
        ordered_root(Ragged.from_items([b"a", b"", b"c"]), ReferenceKernels().kernels)


def test_wrong_calls() -> None:
    trie = Trie()
    one = Ragged.from_items([b"v"])
    with pytest.raises(UsageError, match="shape"):
        trie.update(np.zeros((1, 31), dtype=np.uint8), one)
    with pytest.raises(UsageError, match="values for"):
        trie.update(np.zeros((2, 32), dtype=np.uint8), one)
    with pytest.raises(UsageError, match="trie numbers"):
        trie.forest.update(1, np.zeros((1, 32), dtype=np.uint8), one)
    with pytest.raises(InputError, match="offsets"):
        trie.update(np.zeros((1, 32), dtype=np.uint8), Ragged(np.zeros(3, np.uint8), np.array([0, 9])))
    with pytest.raises(UsageError, match="32 bytes"):
        Trie(b"short")
    with pytest.raises(UsageError, match="store"):
        Trie(b"r" * 32)
    trie.update(np.zeros((1, 32), dtype=np.uint8), one)
    with pytest.raises(UsageError, match="hash first"):
        trie.forest.roots(np.array([0]))


@pytest.mark.parametrize("supported", [frozenset({"keccak256", "trie_hash"}), frozenset({"keccak256"})])
def test_with_the_cpu_backend_and_with_trie_hash_composed(supported: frozenset[str]) -> None:
    rng = np.random.default_rng(11)
    kernels = KernelSet(CpuBackend("cpu", BackendOptions()), supported)
    keys = rng.integers(0, 256, (3000, 32), dtype=np.uint8)
    values = [rng.bytes(int(size)) for size in rng.integers(1, 120, 3000)]
    trie = Trie()
    trie.update(keys, Ragged.from_items(values))
    root, nodes = trie.hash(kernels)
    expected: dict[bytes, bytes] = {}
    assert root == reference_root(dict(zip(map(bytes, keys), values, strict=True)), expected)
    assert dict(zip(map(bytes, nodes.digests), nodes.encodings.items(), strict=True)) == expected
