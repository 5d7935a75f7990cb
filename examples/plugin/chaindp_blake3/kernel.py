"""The contract of the kernel ``blake3``: N ragged messages to N digests, like chaindp's own hashes."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from chaindp.kernels import KernelSpec, Vector, checks
from chaindp.kernels.hashes import generate_pairs, pack
from numpy.typing import NDArray

from chaindp_blake3.golden import BLOCK, CHUNK, golden_blake3
from chaindp_blake3.vectors import SOURCE, VECTORS, vector_input

__all__ = ["BLAKE3"]


def _golden(data: NDArray[np.uint8], offsets: NDArray[np.int64]) -> NDArray[np.uint8]:
    """BLAKE3 of each message, one at a time: digests uint8[N,32]."""
    data, offsets = checks.ragged(data, offsets)
    raw, bounds = data.tobytes(), offsets.tolist()
    digests = [golden_blake3(raw[start:stop]) for start, stop in pairwise(bounds)]
    return np.frombuffer(b"".join(digests), dtype=np.uint8).reshape(-1, 32)


def _compressions(data: NDArray[np.uint8], offsets: NDArray[np.int64]) -> int:
    """One for every started block, at least one a message, and one for every parent: as many as chunks, less one."""
    lengths = np.diff(offsets)
    blocks = np.maximum(-(-lengths // BLOCK), 1)
    parents = np.maximum(-(-lengths // CHUNK), 1) - 1
    return int((blocks + parents).sum())


BLAKE3 = KernelSpec(
    name="blake3",
    summary="data u8[B], offsets i64[N+1] -> digests u8[N,32]",
    unit="compression",
    generate=generate_pairs,
    golden=_golden,
    units=_compressions,
    vectors=tuple(
        Vector(
            args=pack([vector_input(length)]),
            expected=np.frombuffer(bytes.fromhex(digest), dtype=np.uint8).reshape(1, 32),
            source=f"{SOURCE}, input_len {length}",
        )
        for length, digest in VECTORS.items()
    ),
    sizes=(64, 4096, 1 << 18),
    conformance="chaindp_blake3.testing:Blake3Conformance",
)
