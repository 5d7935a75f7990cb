"""After a pass: is what the kernels returned right? Outside all timing, against another implementation."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from chaindp.chain.openings import eip1186
from chaindp.chain.verify.hashing import hash_rows
from chaindp.chain.verify.openings import ProofError, verify_account
from chaindp.errors import CheckFailed
from chaindp.kernels import KernelSpec
from chaindp.kernels.hashes import golden_keccak256
from chaindp.kernels.kernelset import KernelCall, KernelSet
from chaindp.kernels.merkle import verify_path
from chaindp.measure.outputs import difference, reference_of
from chaindp.pipeline.backends import DEFAULT
from chaindp.pipeline.block import BlockInFlight
from chaindp.pipeline.proofs import ProofAudit
from chaindp.workload import Workload

__all__ = ["Mismatch", "audit_calls", "audit_proofs", "audit_statements", "auditor_for"]

PROOFS_CHECKED = 4
"""Paths a block that the plain-Python verifier checks: it takes milliseconds a path, and all paths are audited."""

ACCOUNTS_CHECKED = 2
"""Accounts a block that it changed, and of those that it only touched, likewise: up to twenty milliseconds each, as a
node of a full branch takes four.
"""


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
    """Check openings of every block with the independent verifiers; CheckFailed names the first that does not hold."""
    for block in blocks:
        _audit_accounts(block)
        if block.proof_paths is None or block.proof_leaves is None:
            continue
        for index in _some(len(block.proof_leaves), PROOFS_CHECKED):
            leaf = block.proof_leaves[index].tobytes()
            if not verify_path(block.proof_root, leaf, index, block.proof_paths[index]):
                raise CheckFailed(f"block {block.index}: the opening of receipt {index} does not verify")


def audit_statements(
    blocks: Iterable[BlockInFlight], workload: Workload, verified: ProofAudit, kernels: KernelSet
) -> None:
    """Verify every STARK of every block, and that it says what follows from the block's transactions; CheckFailed
    names the first that does not.

    verified: of the run, which verifies the same bytes once; kernels: the verifier hashes with these
    """
    for block in blocks:
        assert block.batch is not None
        verified.check(block.index, block.proofs, workload.proof_statements(block.batch), hash_rows(kernels))


def _some(count: int, most: int) -> list[int]:
    """Indices below ``count``, the first and the last among them; at most ``most``."""
    return np.linspace(0, count - 1, min(most, count)).astype(int).tolist()  # type: ignore[no-any-return]


def _audit_accounts(block: BlockInFlight) -> None:
    """Accounts are what execution left, under the state root that the header has, and those that were touched."""
    proofs, diff, batch = block.account_proofs, block.diff, block.batch
    if proofs is None or diff is None or batch is None or batch.sender is None:
        return
    opened_rows = proofs.accounts.address
    touched = {row.tobytes() for part in (diff.address, batch.sender, batch.to[~batch.creates]) for row in part}
    if len(opened_rows) != len(touched) or {row.tobytes() for row in opened_rows} != touched:
        raise CheckFailed(
            f"block {block.index}: {len(opened_rows)} accounts are opened, which are not the {len(touched)} that the "
            "block touched"
        )
    empty = np.flatnonzero(np.diff(proofs.account_proofs.path_offsets) <= 0)
    if len(empty):
        address = opened_rows[empty[0]].tobytes().hex()
        raise CheckFailed(f"block {block.index}: the opening of account 0x{address} does not verify: it has no node")
    digest = functools.cache(golden_keccak256)  # the proofs of a block share their upper nodes
    changed = len(diff.address)
    others = [changed + row for row in _some(len(opened_rows) - changed, ACCOUNTS_CHECKED)]
    for row in _some(changed, ACCOUNTS_CHECKED) + others:
        where = f"block {block.index}: the opening of account 0x{opened_rows[row].tobytes().hex()}"
        try:
            opened = verify_account(block.state_root, eip1186(proofs, row), digest)
        except ProofError as error:
            raise CheckFailed(f"{where} does not verify: {error}") from None
        if row >= changed:
            continue
        there = not bool(diff.deleted[row])
        proven = (opened.address, opened.exists, opened.nonce, opened.balance)
        balance = int.from_bytes(diff.balance[row].tobytes(), "big")
        left = (diff.address[row].tobytes(), there, *((int(diff.nonce[row]), balance) if there else (0, 0)))
        if proven != left or (there and opened.code_hash != diff.code_hash[row].tobytes()):
            raise CheckFailed(f"{where} proves something else than what execution left there")
