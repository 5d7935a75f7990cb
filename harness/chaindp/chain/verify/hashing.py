"""What the verifier of proofs hashes with, where a backend's kernels are at hand."""

from __future__ import annotations

import numpy as np

from chaindp.chain.verify.stark import HashRows
from chaindp.kernels.kernelset import KernelSet

__all__ = ["hash_rows"]


def hash_rows(kernels: KernelSet) -> HashRows:
    """Messages of one length, uint8[n, length], by the kernels of a backend."""

    def of(name: str, rows: np.ndarray) -> np.ndarray:
        count, length = rows.shape
        offsets = np.arange(count + 1, dtype=np.int64) * length
        return kernels.call(name, np.ascontiguousarray(rows).reshape(-1), offsets)  # type: ignore[no-any-return]

    return of
