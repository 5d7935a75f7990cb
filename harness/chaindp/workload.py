"""What a workload author needs: the spec that a plugin yields, and the class that its factory builds."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from chaindp.backend import NAME_PATTERN
from chaindp.chain.types import EMPTY_CODE_HASH, AccessHints, Accounts, Genesis, Ragged, StorageCells, TransactionBatch
from chaindp.errors import PluginError, UsageError
from chaindp.kernels.kernelset import KernelSet

if TYPE_CHECKING:
    from chaindp.chain.airs import Air, Constraints
    from chaindp.chain.airs.credentials import CredentialsAir, Holders
    from chaindp.chain.airs.issuer import IssuerTree
    from chaindp.chain.airs.poseidon2 import Poseidon2Air
    from chaindp.chain.codec.rpc import read_block
    from chaindp.chain.proof.parameters import Parameters as ProofParameters
    from chaindp.chain.signing import Keys, derive_keys, sign_transactions, unsigned_batch

__all__ = [
    "CHAIN_ID",
    "EMPTY_CODE_HASH",
    "AccessHints",
    "Accounts",
    "Air",
    "BlockInput",
    "Constraints",
    "CredentialsAir",
    "Genesis",
    "Holders",
    "IssuerTree",
    "Keys",
    "Poseidon2Air",
    "ProofJob",
    "ProofParameters",
    "ProofStatement",
    "Ragged",
    "StorageCells",
    "TransactionBatch",
    "Workload",
    "WorkloadParams",
    "WorkloadSpec",
    "derive_keys",
    "read_block",
    "sign_transactions",
    "unsigned_batch",
]

CHAIN_ID = 0xC4A1
"""The chain id that generated transactions are signed for (EIP-155)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkloadParams:
    """What a run asks of a workload. The same parameters give the same bytes on every machine.

    txs:        transactions in all
    block_txs:  transactions a block at most
    accounts:   funded accounts in the genesis state
    seed:       of everything random
    repetition: mixed into the transactions, not into the genesis, so that every repetition has fresh input
    zipf:       exponent of the Zipf law that senders and recipients follow; 0 is uniform
    conflict:   share of the transactions, 0 to 1, that all write one hot account or slot
    """

    txs: int = 10_000
    block_txs: int = 1_000
    accounts: int = 100_000
    seed: int = 0
    repetition: int = 0
    zipf: float = 0.0
    conflict: float = 0.0


@dataclass(frozen=True, slots=True)
class BlockInput:
    """One block's worth of input: signed transactions in wire form, and for a real block the header to check against.

    header_rlp:   the header as the network encoded it, or None where the harness makes the header
    block_hash:   the hash that the header must have, or None where there is no header
    senders:      uint8[N,20], what the senders must turn out to be, or None where nobody has said so
    withdrawals:  the RLP of each withdrawal (EIP-4895), or None where the block has no such field
    """

    transactions: Ragged
    header_rlp: bytes | None = None
    block_hash: bytes | None = None
    senders: np.ndarray | None = None
    withdrawals: Ragged | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProofJob:
    """A STARK to make in the stage ``prove``.

    table:      uint32[columns, rows] of ``air``, canonical, rows a power of two
    public:     its public values
    parameters: of the proof: how long it is, how sure, and whether it hides the table (docs/proofs.md)
    seed:       of what a hiding proof hides with, 16 bytes or more. It is part of the workload, so that every level
                makes the same bytes: whoever knows it can look behind the proof, and a chain in earnest would draw it

    UsageError for a hiding proof without a seed.
    """

    air: Air
    table: np.ndarray
    public: Sequence[int]
    parameters: ProofParameters
    seed: bytes = b""

    def __post_init__(self) -> None:
        from chaindp.chain.proof.parameters import LEAST_SEED_BYTES

        if self.parameters.hiding and len(self.seed) < LEAST_SEED_BYTES:
            raise UsageError(f"a proof that hides takes a seed of {LEAST_SEED_BYTES} bytes or more")


@dataclass(frozen=True, slots=True, kw_only=True)
class ProofStatement:
    """What a proof of a block has to say: that there is a table of ``air`` with these public values.

    rows:       of the table
    hiding:     whether the proof has to hide it
    least_bits: of conjectured security: a proof made with weaker parameters does not hold
    """

    air: Air
    public: Sequence[int]
    rows: int
    hiding: bool = False
    least_bits: int = 100


class Workload:
    """A deterministic stream of blocks and the state that they start from."""

    name: str = ""

    def genesis(self) -> Genesis | None:
        """The state before the first block; None where there is none to execute on (then no block is executed)."""
        raise NotImplementedError

    def blocks(self) -> Iterator[BlockInput]:
        """The blocks, in order."""
        raise NotImplementedError

    def hints(self, batch: TransactionBatch) -> AccessHints | None:
        """What the transactions will touch, as far as the workload knows; ``batch.sender`` is filled."""
        return None

    def proof_jobs(self, batch: TransactionBatch) -> Sequence[ProofJob]:
        """The proofs that a block's transactions ask for; ``batch.sender`` is filled.

        Called in the stage ``prove``: making the tables is part of what is timed. What does not depend on the block
        belongs into the workload's making. The same transactions give the same jobs at every level.
        """
        return ()

    def proof_statements(self, batch: TransactionBatch) -> Sequence[ProofStatement]:
        """What the proofs of ``proof_jobs`` have to say, in that order, by one who sees the transactions and no secret.

        Called after a pass, outside all timing. A proof that says something else fails the run.
        """
        return ()


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkloadSpec:
    """A workload as a plugin announces it.

    factory:       builds the workload; the kernels are there for hashing (trie keys, storage slots), outside all timing
    not_executed:  why its blocks are not executed, where they are not; empty where they are
    proves:        whether its blocks ask for STARKs, which takes kernels that a backend for ``prove`` then has to have
    """

    name: str
    factory: Callable[[WorkloadParams, KernelSet], Workload]
    summary: str
    not_executed: str = ""
    proves: bool = False

    def __post_init__(self) -> None:
        if not NAME_PATTERN.fullmatch(self.name):
            raise PluginError(f"workload name {self.name!r} is not lowercase letters, digits, '-' and '_'")
        if self.proves and self.not_executed:
            raise PluginError(f"workload {self.name}: blocks that are not executed are not proven, and it says both")


_ON_DEMAND = {
    "Air": "chaindp.chain.airs",
    "Constraints": "chaindp.chain.airs",
    "CredentialsAir": "chaindp.chain.airs.credentials",
    "Holders": "chaindp.chain.airs.credentials",
    "IssuerTree": "chaindp.chain.airs.issuer",
    "Keys": "chaindp.chain.signing",
    "Poseidon2Air": "chaindp.chain.airs.poseidon2",
    "ProofParameters": "chaindp.chain.proof.parameters",
    "derive_keys": "chaindp.chain.signing",
    "read_block": "chaindp.chain.codec.rpc",
    "sign_transactions": "chaindp.chain.signing",
    "unsigned_batch": "chaindp.chain.signing",
}

_RENAMED = {"ProofParameters": "Parameters"}
"""What says too little by itself where it does not stand beside the prover."""


def __getattr__(name: str) -> object:
    # On demand: a plugin that only announces its workloads needs no codec, no libsecp256k1 and no prover.
    if name in _ON_DEMAND:
        return getattr(importlib.import_module(_ON_DEMAND[name]), _RENAMED.get(name, name))
    raise AttributeError(f"module 'chaindp.workload' has no attribute {name!r}")
