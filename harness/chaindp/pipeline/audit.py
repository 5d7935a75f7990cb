"""After a pass: is what the kernels returned right? Outside all timing, against another implementation."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from chaindp.errors import CheckFailed
from chaindp.kernels import KernelSpec
from chaindp.kernels.kernelset import KernelCall, KernelSet
from chaindp.kernels.merkle import verify_path
from chaindp.measure.outputs import difference, reference_of
from chaindp.pipeline.backends import DEFAULT
from chaindp.pipeline.block import BlockInFlight

__all__ = ["Mismatch", "audit_calls", "audit_proofs", "auditor_for"]

PROOFS_CHECKED = 4
"""Paths a block that the plain-Python verifier checks: it takes milliseconds a path, and all paths are audited."""


@dataclass(frozen=True, slots=True)
class Mismatch:
    """A kernel call whose result differs from the auditor's, and how: one line that names backend and kernel."""

    kernel: str
    reason: str


def auditor_for(backend: str) -> str:
    """The backend that checks another one: ``cpu``, which ``cpu:scalar`` checks in turn, and the other way round."""
    return reference_of(backend) or DEFAULT


def audit_calls(
    calls: list[KernelCall], backend: str, auditor: KernelSet, specs: Mapping[str, KernelSpec]
) -> list[Mismatch]:
    """Run every kept call again on the auditor, or on the golden where it lacks the kernel, and compare everything.

    Calls are dropped as they are checked, so that a long run does not hold all of its data at once.

    One mismatch a kernel: the first call that differs, and in how many calls others do.
    """
    found: dict[str, list[str]] = {}
    reference = auditor.backend.label
    for call in calls:
        if not call.kept:
            continue
        spec = specs[call.kernel]
        call.units = int(spec.units(*call.args))
        has = call.kernel in auditor.supported
        expected = auditor.call(call.kernel, *call.args) if has else spec.golden(*call.args)
        problem = difference(spec, call.output, expected, reference if has else "the golden reference")
        if problem:
            found.setdefault(call.kernel, []).append(problem)
        call.args, call.output = (), None
    auditor.take_calls()
    return [
        Mismatch(
            kernel,
            f"backend {backend}: {kernel}: {problems[0]}"
            + (f", and {len(problems) - 1} more calls are wrong" if len(problems) > 1 else ""),
        )
        for kernel, problems in found.items()
    ]


def audit_proofs(blocks: Iterable[BlockInFlight]) -> None:
    """Check openings of every block with the independent verifier; CheckFailed names the first that does not hold."""
    for block in blocks:
        if block.proof_paths is None or block.proof_leaves is None:
            continue
        count = len(block.proof_leaves)
        for index in np.linspace(0, count - 1, min(PROOFS_CHECKED, count)).astype(int).tolist():
            leaf = block.proof_leaves[index].tobytes()
            if not verify_path(block.proof_root, leaf, index, block.proof_paths[index]):
                raise CheckFailed(f"block {block.index}: the opening of receipt {index} does not verify")
