"""What the pipeline asks of an execution engine."""

from __future__ import annotations

import abc
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from chaindp.chain.types import AccessHints, Accounts, BlockEnv, Receipts, StateDiff, StorageCells, TransactionBatch
from chaindp.errors import ChaindpError

__all__ = ["ExecutionResult", "Executor", "Load", "UnsupportedError"]

Load = Callable[[np.ndarray, AccessHints], tuple[Accounts, StorageCells, Mapping[bytes, bytes]]]
"""Fetches cold state: (addresses uint8[A,20], slots) to (accounts, cells, codes by hash), a row for each row asked for.

An address or slot that the state does not have comes back with ``exists`` false or a value of zero.
"""


class UnsupportedError(ChaindpError):
    """A transaction needs what this engine cannot execute rightly; it is refused rather than executed wrongly."""


@dataclass(slots=True)
class ExecutionResult:
    """What executing a block gave.

    receipts:     one a transaction, in order
    diff:         what the block changed; accounts and slots that ended as they began are left out
    gas_used:     of the whole block
    burnt:        base fees in wei, which leave the state
    late_loads:   accounts and slots that were fetched through ``load`` because nothing had loaded them before
    reruns:       transactions that ran again because they had read something that was not loaded
    """

    receipts: Receipts
    diff: StateDiff
    gas_used: int
    burnt: int
    late_loads: int
    reruns: int


class Executor(abc.ABC):
    """An engine with a flat cache of every account and slot that it was given, brought up to date by each block.

    Block k+1 therefore executes on block k's results before anything is merkleized. An engine is used by one thread at
    a time.
    """

    @abc.abstractmethod
    def load_accounts(self, accounts: Accounts, codes: Mapping[bytes, bytes]) -> None:
        """Put cold accounts into the cache. A row that the cache already has is ignored, for the cache is never older.

        ``codes`` maps code hashes to codes and has to cover the rows whose code the engine has not seen; InputError
        where it does not.
        """

    @abc.abstractmethod
    def load_storage(self, cells: StorageCells) -> None:
        """Put cold slots into the cache. A row that the cache already has is ignored."""

    @abc.abstractmethod
    def execute(self, env: BlockEnv, batch: TransactionBatch, load: Load) -> ExecutionResult:
        """Execute a block's transactions in order; ``batch.sender`` is filled.

        ``load`` is called for what turns out not to be in the cache, so what was preloaded never influences the result.
        InputError names the first transaction that is not valid; UnsupportedError one that this engine cannot execute.
        After either the cache is as it was before the block.
        """
