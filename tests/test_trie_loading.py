from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chaindp.chain.trie import Trie
from chaindp.chain.types import Ragged
from chaindp.errors import StoreError
from trie_reference import ReferenceKernels, keccak256, reference_root, rlp


def _open(encoding: bytes) -> Trie:
    """A trie whose every node is ``encoding``."""
    return Trie(b"r" * 32, lambda digests: Ragged.from_items([encoding] * len(digests)))


def _probe(encoding: bytes) -> None:
    _open(encoding).get(Ragged.from_items([b"\x12\x34"]))


LEAF = rlp([b"\x20\x12\x34", b"value"])
DIGEST = b"\xdd" * 32

MALFORMED = {
    "nothing": b"",
    "a string": rlp(b"dog"),
    "an empty list": b"\xc0",
    "one item": rlp([b"\x20"]),
    "three items": rlp([b"\x20", b"v", b"w"]),
    "sixteen items": rlp([b""] * 16),
    "eighteen items": rlp([DIGEST] * 18),
    "cut off": LEAF[:-1],
    "bytes behind": LEAF + b"\0",
    "leaf without value": rlp([b"\x20\x12", b""]),
    "leaf whose value is a list": rlp([b"\x20\x12", [b"v"]]),
    "path is a list": rlp([[b"\x20"], b"v"]),
    "empty path string": rlp([b"", b"v"]),
    "unknown flag": rlp([b"\x40\x12", b"v"]),
    "padding not zero": rlp([b"\x21\x12", b"v"]),
    "extension without path": rlp([b"\x00", DIGEST]),
    "extension without child": rlp([b"\x00\x12", b""]),
    "extension to a short string": rlp([b"\x00\x12", b"x" * 31]),
    "extension to a leaf": rlp([b"\x00\x12", [b"\x20\x34", b"v"]]),
    "branch with nothing": rlp([b""] * 17),
    "branch with one child": rlp([DIGEST] + [b""] * 16),
    "branch with a value only": rlp([b""] * 16 + [b"v"]),
    "branch with a digest of 33 bytes": rlp([DIGEST, DIGEST + b"x"] + [b""] * 15),
    "branch whose value is a list": rlp([DIGEST, DIGEST] + [b""] * 14 + [[b"v"]]),
    "inlined node of 32 bytes": rlp([[b"\x20\x12", b"x" * 27], DIGEST] + [b""] * 15),
    "inlined node that is malformed": rlp([[b"\x20"], DIGEST] + [b""] * 15),
    "single byte in long form": bytes.fromhex("c58220128100"),
    "length in long form where the short would do": b"\xf8\x05" + LEAF[1:6],
    "length with a leading zero": b"\xf9\x00" + bytes([len(LEAF) - 1]) + LEAF[1:],
    "a hostile length": b"\xff" + b"\xff" * 8 + LEAF,
    "a hostile string length": b"\xca\xbf" + b"\xff" * 8 + b"\0",
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_node(name: str) -> None:
    with pytest.raises(StoreError, match=f"trie node {'72' * 32} is malformed"):
        _probe(MALFORMED[name])


def test_extension_whose_hashed_child_is_a_leaf() -> None:
    extension = rlp([b"\x00\x12", keccak256(rlp([b"\x20\x34", b"v" * 40]))])
    nodes = {keccak256(extension): extension, keccak256(rlp([b"\x20\x34", b"v" * 40])): rlp([b"\x20\x34", b"v" * 40])}
    trie = Trie(keccak256(extension), lambda digests: Ragged.from_items(nodes[d.tobytes()] for d in digests))
    with pytest.raises(StoreError, match="malformed"):
        trie.get(Ragged.from_items([b"\x12\x34"]))


def test_well_formed_nodes_are_taken() -> None:
    trie = _open(LEAF)
    assert trie.get(Ragged.from_items([b"\x12\x34", b"\x12", b""]))[0].items() == [b"value", b"", b""]


@settings(max_examples=400, deadline=None)
@given(st.integers(0, 5), st.data())
def test_a_damaged_node_is_refused_or_is_another_node(seed: int, data: st.DataObject) -> None:
    # What is accepted must encode to the same bytes again: nothing was guessed, dropped or read past the end.
    rng = random.Random(seed)
    model = {rng.randbytes(rng.randrange(1, 4)): rng.randbytes(rng.randrange(1, 40)) for _ in range(30)}
    nodes: dict[bytes, bytes] = {}
    reference_root(model, nodes)
    encoding = bytearray(nodes[data.draw(st.sampled_from(sorted(nodes)))])
    for _ in range(data.draw(st.integers(0, 3))):
        at = data.draw(st.integers(0, len(encoding) - 1))
        kind = data.draw(st.integers(0, 2))
        if kind == 0:
            encoding[at] = data.draw(st.integers(0, 255))
        elif kind == 1 and len(encoding) > 1:
            del encoding[at]
        else:
            encoding.insert(at, data.draw(st.integers(0, 255)))
    trie = _open(bytes(encoding))
    try:
        # An empty key loads the root alone.
        trie.get(Ragged.from_items([b""]))
    except StoreError:
        return
    assert _encoding_of_root(trie) == bytes(encoding)


def _encoding_of_root(trie: Trie) -> bytes:
    from chaindp.chain.trie import arena

    kernels = ReferenceKernels()
    trie.forest._arena.tries[0, arena.T_DIRTY] = 1
    _, nodes = trie.hash(kernels.kernels)
    assert nodes.count == 1
    return nodes.encodings.item(0)


def test_missing_node_can_be_fetched_again() -> None:
    kernels, trie = ReferenceKernels(), Trie()
    rng = np.random.default_rng(0)
    keys = rng.integers(0, 256, (200, 32), dtype=np.uint8)
    trie.update(keys, Ragged.from_items([b"v" * 40] * 200))
    root, _ = trie.hash(kernels.kernels)
    broken = True

    def fetch(digests: np.ndarray) -> Ragged:
        if broken and len(digests) > 1:
            raise StoreError("the disk is away")
        return kernels.fetch(digests)

    again = Trie(root, fetch)
    with pytest.raises(StoreError, match="disk"):
        again.get(keys)
    broken = False
    assert again.get(keys)[1].all()


def test_nodes_are_fetched_in_rounds_and_once() -> None:
    kernels, trie = ReferenceKernels(), Trie()
    rng = np.random.default_rng(0)
    keys = rng.integers(0, 256, (5000, 32), dtype=np.uint8)
    trie.update(keys, Ragged.from_items([b"v" * 40] * 5000))
    root, nodes = trie.hash(kernels.kernels)
    fetched: list[int] = []

    def fetch(digests: np.ndarray) -> Ragged:
        fetched.append(len(digests))
        return kernels.fetch(digests)

    again = Trie(root, fetch)
    again.get(keys[:2000].copy())
    assert again.get(keys)[1].all()
    assert sum(fetched) == nodes.count and len(fetched) <= 16
    before = len(fetched)
    again.update(keys, Ragged.from_items([b"w" * 40] * 5000))
    assert len(fetched) == before


@pytest.mark.parametrize("seed", range(5))
def test_deletes_load_the_siblings_that_they_merge(seed: int) -> None:
    rng = np.random.default_rng(seed)
    keys = rng.integers(0, 256, (400, 32), dtype=np.uint8)
    keys[:, :30] = keys[:1, :30]  # a long shared path, dense below it
    keys = np.unique(keys, axis=0)
    kernels, trie = ReferenceKernels(), Trie()
    trie.update(keys, Ragged.from_items([b"v" * 40] * len(keys)))
    root, _ = trie.hash(kernels.kernels)
    model = {key.tobytes(): b"v" * 40 for key in keys}
    while len(keys) > 1:
        gone = rng.random(len(keys)) < 0.6
        trie = Trie(root, kernels.fetch)
        trie.update(keys[gone], Ragged.from_items([b""] * int(gone.sum())))
        for key in keys[gone]:
            del model[key.tobytes()]
        keys = keys[~gone]
        root, _ = trie.hash(kernels.kernels)
        assert root == reference_root(model)
