"""The conformance of ``trie_hash``: the nodes of a Merkle Patricia trie, level by level, child digests spliced in."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from chaindp.kernels import Args
from chaindp.kernels.hashes import pack
from chaindp.testing.cases import Case, spoilt
from chaindp.testing.hashes import bad_ragged
from chaindp.testing.kernel import KernelConformance

__all__ = ["TrieHashConformance"]

PATTERN = 512
"""Nodes of the trie that a large batch repeats with other leaves: generating millions of nodes would take minutes."""


def _ints(*values: int) -> np.ndarray:
    return np.array(values, dtype=np.int64)


def _trie(levels: list[list[bytes]], holes: list[tuple[int, int, int]]) -> Args:
    """Nodes level by level, and holes as (node, offset within it, child)."""
    encodings, offsets = pack([node for level in levels for node in level])
    bounds = np.concatenate([[0], np.cumsum([len(level) for level in levels])]).astype(np.int64)
    at = [int(offsets[node]) + start for node, start, _ in holes]
    return encodings, offsets, bounds, _ints(*at), _ints(*(child for _, _, child in holes))


class TrieHashConformance(KernelConformance):
    """``trie_hash``: encodings, node offsets, level offsets and holes to the digests of all nodes."""

    kernel = "trie_hash"
    sizes = (0, 1, 2, 3, 5, 16, 17, 18, 33, 40)

    def edge_cases(self) -> Iterator[Case]:
        """The generator's tries, and shapes that it does not make."""
        yield from super().edge_cases()
        node = [self.rng(length, 1).bytes(length) for length in (0, 1, 33, 135, 136, 137, 271, 272, 600)]
        yield Case("no level at all", _trie([], []))
        yield Case("levels without nodes", _trie([[], node[:2], [], [], node[2:3], []], []))
        yield Case("nodes of boundary lengths without holes", _trie([node], []))
        yield Case("holes at both ends of a node", _trie([[b"a", b"b"], [bytes(64)]], [(2, 0, 0), (2, 32, 1)]))
        yield Case("a node that is one hole", _trie([[b"leaf"], [bytes(32)]], [(1, 0, 0)]))
        yield Case("a child of two parents", _trie([[b"leaf"], [node[3], node[4]]], [(1, 5, 0), (2, 7, 0)]))
        yield Case("a child two levels down", _trie([[b"x"], [node[2]], [node[8]]], [(2, 100, 0), (2, 568, 1)]))
        chain = [[bytes(40)] for _ in range(12)]
        yield Case("a chain of twelve levels", _trie(chain, [(i, 8, i - 1) for i in range(1, 12)]))

    def bad_arguments(self) -> Iterator[Case]:
        """Wrong types, dtypes and shapes; levels that are none; holes that overlap, cross nodes or look ahead."""
        encodings, offsets, levels, at, child = args = _trie(
            [[b"leaf", b"leaf"], [bytes(80), bytes(40)]], [(2, 0, 0), (2, 40, 1), (3, 8, 0)]
        )
        yield from spoilt(self.spec, args)
        yield from bad_ragged(_ints(0, 1), _ints(), _ints())
        for name, wrong in (
            ("no level offsets at all", _ints()),
            ("level offsets that do not start at 0", _ints(1, 2, 4)),
            ("level offsets that end early", _ints(0, 2, 3)),
            ("level offsets that end late", _ints(0, 2, 5)),
            ("level offsets that fall", _ints(0, 3, 2, 4)),
        ):
            yield Case(name, (encodings, offsets, wrong, at, child))
        for name, wrong in (
            ("holes that overlap", _ints(at[0], at[0] + 31, at[2])),
            ("holes out of order", _ints(at[1], at[0], at[2])),
            ("a hole below 0", _ints(-1, at[1], at[2])),
            ("a hole that crosses the end of its node", _ints(at[0], at[1] + 9, at[2] + 9)),
            ("a hole past the encodings", _ints(at[0], at[1], len(encodings) - 31)),
            ("a hole far past the encodings", _ints(at[0], at[1], 1 << 62)),
        ):
            yield Case(name, (encodings, offsets, levels, wrong, child))
        for name, wrong in (
            ("a child of the same level", _ints(0, 1, 2)),
            ("a child of a later level", _ints(0, 3, 0)),
            ("a child below 0", _ints(-1, 1, 0)),
            ("a child that is not there", _ints(0, 1, 1 << 62)),
            ("more holes than children", _ints(0, 1)),
        ):
            yield Case(name, (encodings, offsets, levels, at, wrong))

    def bulk(self, rng: np.random.Generator, size: int) -> Args:
        """Many tries of one shape with other leaves each: their levels one after another."""
        encodings, offsets, levels, at, child = self.spec.generate(rng, min(size, PATTERN))
        copies = max(1, size // PATTERN)
        spread = np.arange(copies, dtype=np.int64)[:, None]
        many = np.tile(encodings, (copies, 1))
        # Only the first level's nodes change, and of them all but the two bytes of the RLP header.
        first = np.zeros(len(encodings), dtype=bool)
        first[: offsets[levels[1]]] = True
        for start in (offsets[: levels[1]], offsets[: levels[1]] + 1):
            first[start] = False
        many[:, first] = rng.integers(0, 256, (copies, int(first.sum())), dtype=np.uint8)
        return (
            many.reshape(-1),
            np.append((offsets[:-1] + spread * offsets[-1]).reshape(-1), copies * offsets[-1]),
            np.append((levels[:-1] + spread * levels[-1]).reshape(-1), copies * levels[-1]),
            (at + spread * offsets[-1]).reshape(-1),
            (child + spread * levels[-1]).reshape(-1),
        )

    def altered(self, args: Args, rng: np.random.Generator) -> Args | None:
        """The same trie with one bit of its first node changed."""
        changed = args[0].copy()
        changed[2] ^= 1
        return changed, *args[1:]
