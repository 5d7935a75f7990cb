"""The STARKs of a block: made in the stage ``prove`` of what the workload asks for, and checked after the pass.

Whoever checks sees the block's transactions, not the jobs: each proof has to say what the workload says of the
transactions alone (``Workload.proof_statements``).
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from chaindp.chain.proof.parts import PARTS, parts_of
from chaindp.chain.proof.prover import prove
from chaindp.chain.types import TransactionBatch
from chaindp.chain.verify.stark import HashRows, InvalidProofError, Statement, verify
from chaindp.errors import CheckFailed, PluginError
from chaindp.kernels.kernelset import KernelSet
from chaindp.workload import ProofStatement, Workload

__all__ = ["PROVER_KERNELS", "BlockProofs", "ProofAudit", "prove_block"]

PROVER_KERNELS = ("lde", "ntt", "intt", "fri_fold")
"""What the prover calls beside hashes and trees: ``lde`` for a proof that hides nothing, more of ``ntt`` for others."""


@dataclass(slots=True)
class BlockProofs:
    """The proofs of a block, in the order of the workload's jobs; ns of each of ``PARTS``; and of verifying them all,
    which is 0 until somebody has.
    """

    contents: tuple[bytes, ...] = ()
    parts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(PARTS, 0))
    verify_ns: int = 0

    @property
    def digest(self) -> bytes:
        """SHA-256 over all of them."""
        return hashlib.sha256(b"".join(hashlib.sha256(content).digest() for content in self.contents)).digest()


def prove_block(
    workload: Workload, batch: TransactionBatch, kernels: KernelSet, *, threads: int, announced: bool
) -> BlockProofs:
    """Make the tables and the proofs that ``workload`` asks for of a block.

    threads:   of the prover's own loops, which no kernel does
    announced: whether the workload's spec says that there are proofs; PluginError where it does not, and there are
    """
    start, before = time.perf_counter_ns(), len(kernels.calls)
    jobs = workload.proof_jobs(batch)
    if not jobs:
        return BlockProofs()
    if not announced:
        raise PluginError(f"workload {workload.name} asks for proofs, and its spec does not say that it proves")
    traced = time.perf_counter_ns()
    contents = tuple(
        prove(job.air, job.table, job.public, kernels, job.parameters, seed=job.seed, threads=threads).content
        for job in jobs
    )
    total = time.perf_counter_ns() - traced
    return BlockProofs(contents, parts_of(kernels.calls[before:], traced - start, total))


class ProofAudit:
    """The proofs of a run, each verified once: all levels have to make the same bytes of the same block."""

    def __init__(self) -> None:
        self._found: dict[tuple[bytes, int], tuple[Statement, int]] = {}

    def check(self, block: int, proofs: BlockProofs, expected: Sequence[ProofStatement], hashes: HashRows) -> None:
        """Verify the proofs of a block, and hold them against what they have to say; CheckFailed where they do not.

        block: its number, for the message; ``proofs.verify_ns`` is filled in, from the first time where it is known
        """
        if len(proofs.contents) != len(expected):
            raise CheckFailed(
                f"block {block}: {len(proofs.contents)} proofs, and its transactions ask for {len(expected)}"
            )
        spent = 0
        for number, (content, wanted) in enumerate(zip(proofs.contents, expected, strict=True)):
            try:
                said, taken = self._verified(content, wanted, hashes)
            except InvalidProofError as error:
                raise CheckFailed(f"block {block}: proof {number} does not hold: {error}") from None
            spent += taken
            differing = [
                name
                for name, is_right in (
                    ("public values", said.public == tuple(wanted.public)),
                    ("rows", 1 << said.log_rows == wanted.rows),
                    ("hiding", said.hiding == wanted.hiding),
                )
                if not is_right
            ]
            if differing:
                what = ", ".join(differing)
                raise CheckFailed(f"block {block}: proof {number} has other {what} than follow from the transactions")
        proofs.verify_ns = spent

    def _verified(self, content: bytes, wanted: ProofStatement, hashes: HashRows) -> tuple[Statement, int]:
        """What a proof says, and how long it took to find that out, in ns."""
        key = hashlib.sha256(wanted.air.name.encode() + b"\0" + content).digest(), wanted.least_bits
        if key not in self._found:
            start = time.perf_counter_ns()
            said = verify(content, {wanted.air.name: wanted.air}.get, hashes, least_bits=wanted.least_bits)
            self._found[key] = said, time.perf_counter_ns() - start
        return self._found[key]
