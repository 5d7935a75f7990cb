"""The conformance class of the kernel: what every backend that declares ``blake3`` has to pass."""

from __future__ import annotations

from chaindp.testing import RaggedHashConformance

__all__ = ["Blake3Conformance"]


class Blake3Conformance(RaggedHashConformance):
    """Vectors, ragged and hostile input, threads, and the lengths at which BLAKE3 takes another path.

    Those lie around a block of 64 bytes, around a chunk of 1024, and where the tree of chunks gets another level.
    """

    kernel = "blake3"
    lengths = (0, 1, 63, 64, 65, 127, 128, 129, 1023, 1024, 1025, 2047, 2048, 2049, 3072, 3073, 4096, 4097)
