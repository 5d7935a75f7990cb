"""What a workload author needs: the spec that a plugin yields, and the class that its factory builds."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from chaindp.backend import NAME_PATTERN
from chaindp.chain.types import EMPTY_CODE_HASH, AccessHints, Accounts, Genesis, Ragged, StorageCells, TransactionBatch
from chaindp.errors import PluginError
from chaindp.kernels.kernelset import KernelSet

if TYPE_CHECKING:
    from chaindp.chain.codec.rpc import read_block
    from chaindp.chain.signing import Keys, derive_keys, sign_transactions, unsigned_batch

__all__ = [
    "CHAIN_ID",
    "EMPTY_CODE_HASH",
    "AccessHints",
    "Accounts",
    "BlockInput",
    "Genesis",
    "Keys",
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


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkloadSpec:
    """A workload as a plugin announces it.

    factory:       builds the workload; the kernels are there for hashing (trie keys, storage slots), outside all timing
    not_executed:  why its blocks are not executed, where they are not; empty where they are
    """

    name: str
    factory: Callable[[WorkloadParams, KernelSet], Workload]
    summary: str
    not_executed: str = ""

    def __post_init__(self) -> None:
        if not NAME_PATTERN.fullmatch(self.name):
            raise PluginError(f"workload name {self.name!r} is not lowercase letters, digits, '-' and '_'")


_ON_DEMAND = {
    "Keys": "chaindp.chain.signing",
    "derive_keys": "chaindp.chain.signing",
    "read_block": "chaindp.chain.codec.rpc",
    "sign_transactions": "chaindp.chain.signing",
    "unsigned_batch": "chaindp.chain.signing",
}


def __getattr__(name: str) -> object:
    # On demand: a plugin that only announces its workloads needs neither the codec nor libsecp256k1.
    if name in _ON_DEMAND:
        return getattr(importlib.import_module(_ON_DEMAND[name]), name)
    raise AttributeError(f"module 'chaindp.workload' has no attribute {name!r}")
