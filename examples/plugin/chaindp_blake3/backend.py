"""The backend: the Rust library of BLAKE3's authors, by way of its Python package."""

from __future__ import annotations

from itertools import pairwise

import blake3
import numpy as np
from chaindp.backend import Backend
from chaindp.kernels import checks
from numpy.typing import NDArray

__all__ = ["THREADED", "Blake3Backend"]

THREADED = 128 * 1024
"""Bytes from which on more threads than one help a message, as the library's documentation says."""


class Blake3Backend(Backend):
    """Works on host memory, one message a call: what a short message costs is mostly the call."""

    def blake3(self, data: NDArray[np.uint8], offsets: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Digests uint8[N,32] of N messages: uint8[B] end to end, message i at ``offsets[i]`` to ``offsets[i + 1]``."""
        data, offsets = checks.ragged(data, offsets)
        messages, bounds = data.data, offsets.tolist()
        # Written to memory of this call alone, so no later call changes it.
        digests = bytearray(32 * (len(bounds) - 1))
        for number, (start, stop) in enumerate(pairwise(bounds)):
            threads = self.threads if stop - start >= THREADED else 1
            hasher = blake3.blake3(messages[start:stop], max_threads=threads)
            digests[32 * number : 32 * number + 32] = hasher.digest()
        return np.frombuffer(digests, dtype=np.uint8).reshape(-1, 32)
