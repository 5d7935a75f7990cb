"""What the trie tests compare with: a plain recursive Merkle Patricia trie, and kernels built on pycryptodome.

The trie is written from the yellow paper, appendices B to D: it builds the whole tree from a dict every time.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import numpy as np
from Crypto.Hash import keccak

from chaindp.chain.types import Ragged
from chaindp.kernels.kernelset import KernelSet


def keccak256(data: bytes) -> bytes:
    return keccak.new(digest_bits=256, data=data).digest()


def rlp(item: Any) -> bytes:
    if isinstance(item, bytes):
        if len(item) == 1 and item[0] < 0x80:
            return item
        return _header(len(item), 0x80) + item
    payload = b"".join(part.encoded if isinstance(part, Encoded) else rlp(part) for part in item)
    return _header(len(payload), 0xC0) + payload


def _header(length: int, base: int) -> bytes:
    if length < 56:
        return bytes([base + length])
    size = (length.bit_length() + 7) // 8
    return bytes([base + 55 + size]) + length.to_bytes(size, "big")


class Encoded:
    """A child that is put into its parent as it is."""

    def __init__(self, encoded: bytes) -> None:
        self.encoded = encoded


def _compact(nibbles: list[int], leaf: bool) -> bytes:
    flag = 2 if leaf else 0
    padded = [flag + 1, *nibbles] if len(nibbles) % 2 else [flag, 0, *nibbles]
    return bytes(16 * high + low for high, low in zip(padded[::2], padded[1::2], strict=True))


def _encode(items: list[tuple[list[int], bytes]], nodes: dict[bytes, bytes]) -> bytes:
    if len(items) == 1:
        return rlp([_compact(items[0][0], True), items[0][1]])
    shared = 0
    shortest = min(len(path) for path, _ in items)
    while shared < shortest and len({path[shared] for path, _ in items}) == 1:
        shared += 1
    if shared:
        below = [(path[shared:], value) for path, value in items]
        return rlp([_compact(items[0][0][:shared], False), _child(below, nodes)])
    branch: list[Any] = []
    for index in range(16):
        below = [(path[1:], value) for path, value in items if path and path[0] == index]
        branch.append(_child(below, nodes) if below else b"")
    branch.append(next((value for path, value in items if not path), b""))
    return rlp(branch)


def _child(items: list[tuple[list[int], bytes]], nodes: dict[bytes, bytes]) -> Any:
    encoded = _encode(items, nodes)
    if len(encoded) < 32:
        return Encoded(encoded)
    digest = keccak256(encoded)
    nodes[digest] = encoded
    return digest


def reference_root(items: Mapping[bytes, bytes], nodes: dict[bytes, bytes] | None = None) -> bytes:
    """The root of the trie that holds ``items``; its hashed nodes are added to ``nodes``."""
    paths = [([n for byte in key for n in (byte >> 4, byte & 15)], value) for key, value in items.items() if value]
    encoded = _encode(paths, nodes if nodes is not None else {}) if paths else rlp(b"")
    if nodes is not None and paths:
        nodes[keccak256(encoded)] = encoded
    return keccak256(encoded)


class ReferenceKernels:
    """``keccak256`` and ``trie_hash`` one message after another, with the contract checked on the way."""

    def __init__(self) -> None:
        self.nodes: dict[bytes, bytes] = {}
        self.batches = 0
        self.fail = False

    def keccak256(self, data: np.ndarray, offsets: np.ndarray) -> np.ndarray:
        messages = Ragged(data, offsets).items()
        digests = b"".join(keccak256(message) for message in messages)
        return np.frombuffer(digests, dtype=np.uint8).reshape(-1, 32)

    def trie_hash(
        self,
        encodings: np.ndarray,
        offsets: np.ndarray,
        level_offsets: np.ndarray,
        splice_at: np.ndarray,
        splice_child: np.ndarray,
    ) -> np.ndarray:
        if self.fail:
            raise RuntimeError("the device is gone")
        count = len(offsets) - 1
        assert level_offsets[0] == 0 and level_offsets[-1] == count and (np.diff(level_offsets) > 0).all()
        assert offsets[0] == 0 and offsets[-1] == len(encodings)
        assert (np.diff(splice_at) >= 32).all()
        level = np.searchsorted(level_offsets, np.arange(count), side="right")
        parent = np.searchsorted(offsets, splice_at, side="right") - 1
        assert (level[splice_child] < level[parent]).all()
        filled = encodings.copy()
        digests = np.zeros((count, 32), dtype=np.uint8)
        splice = 0
        for node in range(count):
            while splice < len(splice_at) and splice_at[splice] < offsets[node + 1]:
                at = splice_at[splice]
                assert not filled[at : at + 32].any() and filled[at - 1] == 0xA0
                filled[at : at + 32] = digests[splice_child[splice]]
                splice += 1
            encoding = filled[offsets[node] : offsets[node + 1]].tobytes()
            digest = keccak256(encoding)
            digests[node] = np.frombuffer(digest, dtype=np.uint8)
            self.nodes[digest] = encoding
        assert splice == len(splice_at)
        self.batches += 1
        return digests

    def fetch(self, digests: np.ndarray) -> Ragged:
        """Every node that was ever hashed, for tries that are opened by their root."""
        return Ragged.from_items(self.nodes[digest.tobytes()] for digest in digests)

    @property
    def kernels(self) -> KernelSet:
        """This object as what the chain's signatures ask for."""
        return cast("KernelSet", self)
