"""After a pass: is what the kernels returned right? Outside all timing, against another implementation."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from chaindp.errors import ChaindpError
from chaindp.kernels import KernelSpec
from chaindp.kernels.kernelset import KernelCall, KernelSet
from chaindp.kernels.merkle import verify_path
from chaindp.pipeline.backends import BASELINE, DEFAULT
from chaindp.pipeline.block import BlockInFlight

__all__ = ["Mismatch", "audit_calls", "audit_proofs", "auditor_for"]

PROOFS_CHECKED = 4
"""Paths a block that the plain-Python verifier checks: it takes milliseconds a path, and all paths are audited."""


@dataclass(frozen=True, slots=True)
class Mismatch:
    """A kernel whose results differ from the auditor's."""

    kernel: str
    wrong: int
    total: int
    auditor: str

    def describe(self, backend: str) -> str:
        """One line that names who was wrong, in what, and how often."""
        if self.wrong < 0:
            return f"backend {backend}: {self.kernel} returned another shape or dtype than {self.auditor}"
        return f"backend {backend}: {self.kernel} differs from {self.auditor} in {self.wrong} of {self.total} results"


def auditor_for(backend: str) -> str:
    """The backend that checks another one: the vectorized CPU, which is itself checked by the scalar code."""
    return BASELINE if backend == DEFAULT else DEFAULT


def audit_calls(calls: Iterable[KernelCall], auditor: KernelSet, specs: Mapping[str, KernelSpec]) -> list[Mismatch]:
    """Run every kept call again on the auditor, or on the golden where it lacks the kernel, and compare everything."""
    wrong: dict[str, int] = {}
    total: dict[str, int] = {}
    for call in calls:
        spec = specs[call.kernel]
        expected = (
            auditor.call(call.kernel, *call.args) if call.kernel in auditor.supported else spec.golden(*call.args)
        )
        first = call.output[0] if isinstance(call.output, tuple) else call.output
        total[call.kernel] = total.get(call.kernel, 0) + (len(first) if np.ndim(first) else 1)
        mismatches = spec.mismatches(call.output, expected)
        if mismatches < 0:
            wrong[call.kernel] = -1
        elif wrong.get(call.kernel, 0) >= 0:
            wrong[call.kernel] = wrong.get(call.kernel, 0) + mismatches
    auditor.take_calls()
    label = auditor.backend.label
    return [Mismatch(kernel, count, total[kernel], label) for kernel, count in wrong.items() if count]


def audit_proofs(blocks: Iterable[BlockInFlight]) -> None:
    """Check openings of every block with the independent verifier; ChaindpError names the first that does not hold."""
    for block in blocks:
        if block.proof_paths is None or block.proof_leaves is None:
            continue
        count = len(block.proof_leaves)
        for index in np.linspace(0, count - 1, min(PROOFS_CHECKED, count)).astype(int).tolist():
            leaf, path = block.proof_leaves[index], block.proof_paths[index]
            if not verify_path(np.frombuffer(block.proof_root, dtype=np.uint8), leaf, index, path, "keccak256"):
                raise ChaindpError(f"block {block.index}: the opening of receipt {index} does not verify")
