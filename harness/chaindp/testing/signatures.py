"""The conformance of ``ecrecover``: digests and secp256k1 signatures to the addresses that signed."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from hypothesis import strategies as st

from chaindp.kernels import ECRECOVER, Args
from chaindp.kernels.signatures import G, N, P
from chaindp.testing.cases import Case, spoilt
from chaindp.testing.kernel import KernelConformance

__all__ = ["EcrecoverConformance"]

PATTERN = 1024
"""Points that a large batch uses again and again, with other digests and other s: making one costs an inversion."""


def _bytes(number: int) -> np.ndarray:
    return np.frombuffer(number.to_bytes(32, "big"), dtype=np.uint8)


class EcrecoverConformance(KernelConformance):
    """``ecrecover``: an invalid signature is a zero address and ok False, wherever it stands in the batch."""

    kernel = "ecrecover"
    sizes = (0, 1, 2, 3, 5, 9)
    examples = 10

    def edge_cases(self) -> Iterator[Case]:
        """The generator's batches, and one valid signature with every field at and past its bounds."""
        yield from super().edge_cases()
        valid = ECRECOVER.vectors[0].args
        for name, field, numbers in (
            ("r", slice(0, 32), (0, 1, 5, N - 1, N, N + 1, P - 1, P, 2**256 - 1)),
            ("s", slice(32, 64), (0, 1, N // 2, N // 2 + 1, N - 1, N, N + 1, 2**256 - 1)),
        ):
            batch = np.repeat(valid[1], len(numbers), axis=0)
            batch[:, field] = np.stack([_bytes(number) for number in numbers])
            yield Case(f"{name} at its bounds", (np.repeat(valid[0], len(batch), axis=0), batch))
        parities = np.repeat(valid[1], 8, axis=0)
        parities[:, 64] = (0, 1, 2, 3, 4, 27, 28, 255)
        yield Case("every kind of y-parity", (np.repeat(valid[0], 8, axis=0), parities))
        yield Case("digests of zero, N and all ones", self._digests(0, N, 2**256 - 1))
        # R = G and s = digest = 1: the key is s R - digest G over r, the point at infinity.
        infinity = np.concatenate([_bytes(G[0]), _bytes(1), [G[1] & 1]]).astype(np.uint8)[None]
        yield Case("a key at infinity", (_bytes(1)[None].copy(), infinity))
        both = np.concatenate([infinity, valid[1], infinity])
        yield Case("a valid signature between two that are not", (np.repeat(valid[0], 3, axis=0), both))

    def _digests(self, *numbers: int) -> Args:
        signature = ECRECOVER.vectors[0].args[1]
        return np.stack([_bytes(number) for number in numbers]), np.repeat(signature, len(numbers), axis=0)

    def arguments(self) -> st.SearchStrategy[Args]:
        """Up to four signatures, valid ones and random bytes."""

        def batch(size: int, seed: int, noise: int) -> Args:
            rng = np.random.default_rng(seed)
            digests, signatures = self.spec.generate(rng, size)
            signatures[:noise] = rng.integers(0, 256, signatures[:noise].shape, dtype=np.uint8)
            return digests, signatures

        return st.builds(batch, st.integers(0, 4), st.integers(0, 2**32 - 1), st.integers(0, 2))

    def bad_arguments(self) -> Iterator[Case]:
        """Wrong types, dtypes and shapes, and digests without signatures."""
        digests, signatures = args = self.some(3)
        yield from spoilt(self.spec, args)
        yield Case("a signature too few", (digests, signatures[:-1]))
        yield Case("a digest too few", (digests[:-1], signatures))
        yield Case("signatures of 64 bytes", (digests, signatures[:, :64].copy()))

    def bulk(self, rng: np.random.Generator, size: int) -> Args:
        """Valid signatures over few points: any s and any digest are some key's; about one in 64 is not valid."""
        digests, signatures = self.spec.generate(rng, min(size, PATTERN))
        copies = max(1, size // PATTERN)
        many = np.tile(signatures, (copies, 1))
        noise = rng.integers(0, 256, (len(many), 16), dtype=np.uint8)
        many[:, 40:56] ^= noise
        return np.concatenate([digests, rng.integers(0, 256, (len(many) - len(digests), 32), dtype=np.uint8)]), many
