"""What the verifier of proofs hashes with, where a backend's kernels are at hand."""

from __future__ import annotations

import numpy as np

from chaindp.chain.verify.stark import HashRows
from chaindp.kernels.kernelset import KernelSet

__all__ = ["hash_rows"]


def hash_rows(kernels: KernelSet) -> HashRows:
    """By the kernels of a backend: messages of one length, or states of Poseidon2, uint8[n, length]."""

    def of(name: str, rows: np.ndarray) -> np.ndarray:
        count, length = rows.shape
        kernel, _, field = name.partition(" ")
        if kernel == "poseidon2":
            states = np.ascontiguousarray(rows).view("<u4").astype(np.uint32, copy=False)
            return kernels.poseidon2(states, field).astype("<u4", copy=False).view(np.uint8)
        offsets = np.arange(count + 1, dtype=np.int64) * length
        return kernels.call(name, np.ascontiguousarray(rows).reshape(-1), offsets)  # type: ignore[no-any-return]

    return of
