"""The conformance of hashes of ragged messages: ``keccak256``, ``sha256``, and whatever hash has the same contract."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import ClassVar

import numpy as np
from hypothesis import strategies as st

from chaindp.kernels import Args
from chaindp.kernels.hashes import generate_ragged, pack
from chaindp.testing.cases import Case, spoilt
from chaindp.testing.kernel import KernelConformance

__all__ = ["Keccak256Conformance", "RaggedHashConformance", "Sha256Conformance", "bad_ragged"]

SHORT = 40
"""The longest message of a large ragged batch, in bytes."""

SHOWN = 8


class RaggedHashConformance(KernelConformance):
    """For a kernel (data u8[B], offsets i64[N+1]) -> digests u8[N,...] of N messages end to end.

    lengths:  message lengths at which the hash takes another step: around the ends of its blocks, padding included
    longest:  the longest message of the edge cases and random cases, in bytes
    """

    lengths: ClassVar[tuple[int, ...]] = (0, 1, 55, 56, 63, 64, 65, 127, 128, 129)
    longest: ClassVar[int] = 20_000

    def message(self, length: int) -> bytes:
        """A random message, always the same for a length."""
        return self.rng(length, 1).bytes(length)

    def edge_cases(self) -> Iterator[Case]:
        """No message, one, odd counts; every boundary length alone, side by side and all together; very ragged ones."""
        yield Case("an empty batch", pack([]))
        for length in self.lengths:
            yield Case(f"one message of {length} bytes", pack([self.message(length)]))
        edges = [self.message(length) for length in self.lengths]
        yield Case("messages of all boundary lengths", pack(edges))
        yield Case("messages of all boundary lengths, longest first", pack(edges[::-1]))
        for count in (2, 3, 5, 7, 9, 15, 17, 33):
            batch = [self.message(64)] * (count - 1) + [self.message(64)[::-1]]
            yield Case(f"{count} messages of 64 bytes", pack(batch))
        yield Case("only empty messages", pack([b""] * 9))
        ragged = [b"", *edges, b"", b"", self.message(self.longest), b"", b"x", *edges[::-1], b""]
        yield Case(f"a message of {self.longest:,} bytes between empty and short ones", pack(ragged))
        data, offsets = pack(edges)
        yield Case("bytes after the last message", (np.concatenate([data, data[:100]]), offsets))

    def arguments(self) -> st.SearchStrategy[Args]:
        """Up to twelve messages, every other one of a boundary length."""
        edges = st.sampled_from(self.lengths).flatmap(lambda length: st.binary(min_size=length, max_size=length))
        message = st.one_of(st.binary(max_size=max(self.lengths)), edges)
        return st.lists(message, max_size=12).map(pack)

    def bad_arguments(self) -> Iterator[Case]:
        """Wrong types, dtypes and shapes, and offsets that are not the bounds of messages."""
        yield from spoilt(self.spec, self.some(3))
        yield from bad_ragged()

    def bulk(self, rng: np.random.Generator, size: int) -> Args:
        """Short ragged messages, and in every other batch the kernel's own generator's."""
        if size.bit_length() % 2:
            return generate_ragged(rng, size, SHORT)
        return self.spec.generate(rng, size)

    def altered(self, args: Args, rng: np.random.Generator) -> Args | None:
        """The same messages but for one bit in the middle."""
        data, offsets = args
        changed = data.copy()
        changed[len(changed) // 2] ^= 1
        return changed, offsets

    def describe(self, args: Args) -> str:
        """The lengths of the messages."""
        lengths = np.diff(args[1]).tolist()
        if not lengths:
            return "no message"
        more = f" and {len(lengths) - SHOWN:,} more" if len(lengths) > SHOWN else ""
        return f"messages of {', '.join(map(str, lengths[:SHOWN]))} bytes{more}"


def bad_ragged(*rest: object) -> Iterable[Case]:
    """Data and offsets that are no ragged messages, each followed by the arguments ``rest``."""
    data = np.arange(8, dtype=np.uint8)
    for name, offsets in (
        ("no offsets at all", []),
        ("offsets that do not start at 0", [1, 8]),
        ("offsets that start below 0", [-4, 8]),
        ("offsets that fall", [0, 6, 3, 8]),
        ("offsets that go below 0", [0, -8, 8]),
        ("offsets past the data", [0, 9]),
        ("offsets far past the data", [0, 1 << 62]),
        ("an offset in the middle past the data", [0, 1 << 62, 8]),
    ):
        yield Case(name, (data, np.array(offsets, dtype=np.int64), *rest))


class Keccak256Conformance(RaggedHashConformance):
    """``keccak256``: 136 bytes a permutation, of which the padding takes at least one."""

    kernel = "keccak256"
    lengths = (0, 1, 7, 8, 135, 136, 137, 271, 272, 273)


class Sha256Conformance(RaggedHashConformance):
    """``sha256``: 64 bytes a block, of which the padding takes at least nine."""

    kernel = "sha256"
    lengths = (0, 1, 55, 56, 57, 63, 64, 65, 119, 120, 127, 128, 129)
