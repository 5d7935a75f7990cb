"""The conformance of ``stark_prove``: proofs of a backend's own prover, checked by the independent verifier."""

from __future__ import annotations

from typing import ClassVar

from chaindp.testing.kernel import KernelConformance

__all__ = ["StarkProveConformance"]


class StarkProveConformance(KernelConformance):
    """``stark_prove``: an AIR, a table, public values and parameters to a proof.

    The golden reference is the verifier with hashes in plain Python: seconds a proof, so there are few.
    """

    kernel = "stark_prove"
    sizes: ClassVar[tuple[int, ...]] = (0, 2, 5)
    examples: ClassVar[int] = 3
    largest: ClassVar[int] = 1 << 10
