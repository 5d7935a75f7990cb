"""A block on its way through the pipeline: what each stage leaves for the next, and when each stage worked on it."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np

from chaindp.chain.openings import StateProofs
from chaindp.chain.types import Accounts, Ragged, Receipts, StateDiff, StorageCells, TransactionBatch
from chaindp.kernels.kernelset import KernelCall
from chaindp.pipeline.proofs import BlockProofs
from chaindp.workload import BlockInput

__all__ = ["BlockInFlight", "Span", "Stage"]


class Stage(StrEnum):
    """The seven stages, in order."""

    ADMIT = "admit"
    ORDER = "order"
    PRELOAD = "preload"
    EXECUTE = "execute"
    MERKLEIZE = "merkleize"
    FLUSH = "flush"
    PROVE = "prove"


@dataclass(slots=True)
class Span:
    """One stage at work on one block.

    start_ns, end_ns:  instants of the monotonic clock
    cpu_ns:            what the stage's own thread ran in between; threads of a backend are not in it
    wait_ns:           of the span, what was waiting for the simulated network
    process_ns:        what all threads of the process ran in between: the stage's, where no other one was at work
    """

    start_ns: int
    end_ns: int
    cpu_ns: int
    wait_ns: int = 0
    calls: list[KernelCall] = field(default_factory=list)
    process_ns: int = 0

    @property
    def busy_ns(self) -> int:
        """The span less the wait for the network: work, and waiting for a core, the interpreter's lock or the disk."""
        return self.end_ns - self.start_ns - self.wait_ns


@dataclass(slots=True)
class BlockInFlight:
    """Fields are filled from top to bottom; a stage reads what earlier ones filled."""

    index: int
    input: BlockInput
    ordered_ns: int = 0  # instant of the monotonic clock before which the block may not leave ``order``
    # admit
    batch: TransactionBatch | None = None
    admitted: np.ndarray | None = None  # bool[N]
    sender_accounts: Accounts | None = None
    # order
    refused: int = 0
    # preload
    accounts: list[Accounts] = field(default_factory=list)
    storage: StorageCells | None = None
    codes: dict[bytes, bytes] = field(default_factory=dict)
    # execute
    receipts: Receipts | None = None
    diff: StateDiff | None = None
    gas_used: int = 0
    late_loads: int = 0
    reruns: int = 0
    # merkleize
    state_root: bytes = b""
    transactions_root: bytes = b""
    receipts_root: bytes = b""
    withdrawals_root: bytes | None = None
    block_hash: bytes = b""
    header: bytes = b""
    receipt_encodings: Ragged | None = None
    node_digests: np.ndarray | None = None
    node_encodings: Ragged | None = None
    # prove
    account_proofs: StateProofs | None = None  # of the rows of ``diff``, and of accounts touched otherwise
    proof_root: bytes = b""
    proof_leaves: np.ndarray | None = None
    proof_paths: np.ndarray | None = None
    proofs: BlockProofs = field(default_factory=BlockProofs)  # the STARKs that the workload asks for

    spans: dict[Stage, Span] = field(default_factory=dict)

    @property
    def transactions(self) -> int:
        """How many transactions the block carries, after refusals once it is ordered."""
        return self.batch.count if self.batch is not None else self.input.transactions.count
