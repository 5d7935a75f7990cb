"""The prover's side of Fiat and Shamir: challenges are hashes of everything that was said before them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from chaindp.chain.proof.extension import Extension

__all__ = ["PROTOCOL", "Transcript"]

PROTOCOL = b"chaindp STARK 1"

Hash = Callable[[bytes], bytes]


class Transcript:
    """A chain of Keccak-256 digests. What is absorbed has a label and a length, so no two contents look alike."""

    def __init__(self, keccak256: Hash, statement: bytes) -> None:
        self._hash = keccak256
        self._state = bytes(32)
        self.absorb(b"protocol", PROTOCOL)
        self.absorb(b"statement", statement)

    @property
    def state(self) -> bytes:
        """The digest that what comes next hangs on."""
        return self._state

    def absorb(self, label: bytes, content: bytes) -> None:
        """Everything drawn later depends on ``content``."""
        head = self._state + len(label).to_bytes(1, "little") + label + len(content).to_bytes(8, "little")
        self._state = self._hash(head + content)

    def absorb_elements(self, label: bytes, values: np.ndarray) -> None:
        """Elements of the field, four bytes each, little end first."""
        self.absorb(label, np.ascontiguousarray(values).astype("<u4").tobytes())

    def _blocks(self, label: bytes) -> Callable[[int], bytes]:
        self.absorb(label, b"")
        state = self._state
        return lambda counter: self._hash(state + counter.to_bytes(8, "little"))

    def element(self, label: bytes, prime: int) -> Extension:
        """An element of the extension: four words of 31 bits, those that are not below p left out."""
        block, counter = self._blocks(label), 0
        found: list[int] = []
        while len(found) < 4:
            words = np.frombuffer(block(counter), dtype="<u4") & np.uint32(0x7FFFFFFF)
            found += [int(word) for word in words.tolist() if word < prime]
            counter += 1
        return (found[0], found[1], found[2], found[3])

    def places(self, label: bytes, count: int, log_size: int) -> list[int]:
        """The distinct ones of ``count`` drawn numbers below 2^log_size, in order."""
        block, counter = self._blocks(label), 0
        found: list[int] = []
        while len(found) < count:
            words = np.frombuffer(block(counter), dtype="<u4")
            found += (words & np.uint32((1 << log_size) - 1)).tolist()
            counter += 1
        return sorted(set(found[:count]))
