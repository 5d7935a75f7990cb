"""The ``erc20`` workload: ``transfer`` calls to a compiled ERC-20 contract (``contracts/Token.sol``)."""

from __future__ import annotations

import numpy as np

from chaindp.kernels.kernelset import KernelSet
from chaindp.workload import AccessHints, Genesis, Ragged, StorageCells, TransactionBatch
from chaindp_workloads.code import call_data, calls_of, ragged, runtime_code, with_contract
from chaindp_workloads.stream import GeneratedWorkload, funded, words

__all__ = ["HOLDING", "TOKEN", "TOTAL_SUPPLY_SLOT", "Erc20", "balance_slots", "token_code"]

TOKEN = bytes.fromhex("c4a1000000000000000000000000000000000020")
"""The address of the token contract."""

TRANSFER = bytes.fromhex("a9059cbb")
"""The selector of ``transfer(address,uint256)``: the first four bytes of its keccak256 (Solidity ABI)."""

TOTAL_SUPPLY_SLOT = 2
HOLDING = 10**24
"""What each account holds at genesis, in the token's smallest unit."""


def token_code() -> bytes:
    """The runtime code of the token. PluginError where its file is not hex digits."""
    return runtime_code("Token")


def balance_slots(holders: np.ndarray, kernels: KernelSet) -> np.ndarray:
    """Where the token keeps the balances of uint8[N,20]: uint8[N,32], keccak256 of padded address and mapping slot 0.

    Source: Solidity's layout of state variables in storage.
    """
    rows = np.zeros((len(holders), 64), dtype=np.uint8)
    rows[:, 12:32] = holders
    return kernels.keccak256(rows.reshape(-1), np.arange(len(holders) + 1, dtype=np.int64) * 64)


class Erc20(GeneratedWorkload):
    """``transfer`` of up to 10**15 units between holders: a call of a contract that reads and writes two slots."""

    name = "erc20"
    gas_limit = 65_000

    def genesis(self) -> Genesis:
        """Funded accounts that hold tokens, and the token contract; the same for every repetition."""
        holders = len(self.addresses)
        slot = np.zeros((holders + 1, 32), dtype=np.uint8)
        slot[:-1] = balance_slots(self.addresses, self.kernels)
        slot[-1, 31] = TOTAL_SUPPLY_SLOT
        value = np.tile(np.frombuffer(HOLDING.to_bytes(32, "big"), dtype=np.uint8), (holders + 1, 1))
        value[-1] = np.frombuffer((HOLDING * holders).to_bytes(32, "big"), dtype=np.uint8)
        token = np.frombuffer(TOKEN, dtype=np.uint8)
        cells = StorageCells(np.tile(token, (holders + 1, 1)), slot, value)
        return with_contract(Genesis(funded(self.addresses), cells), TOKEN, token_code(), self.kernels)

    def payload(self, rows: slice) -> tuple[np.ndarray, np.ndarray, Ragged | None]:
        """The token as target, no value, and the call: selector, padded recipient, amount."""
        recipients = self.addresses[self.pairs.recipient[rows]]
        count = len(recipients)
        receiver = np.zeros((count, 32), dtype=np.uint8)
        receiver[:, 12:] = recipients
        to = np.tile(np.frombuffer(TOKEN, dtype=np.uint8), (count, 1))
        data = call_data(TRANSFER, receiver, words(self._amount[rows]))
        return to, np.zeros(count, dtype=np.uint64), ragged(data)

    def hints(self, batch: TransactionBatch) -> AccessHints | None:
        """The balance slots of sender and recipient of every ``transfer`` in the batch: 2 rows a call."""
        rows, arguments = calls_of(batch, TOKEN, TRANSFER, 2)
        if batch.sender is None or not len(rows):
            return None
        holders = np.concatenate([batch.sender[rows], arguments[:, 0, 12:]])
        token = np.frombuffer(TOKEN, dtype=np.uint8)
        return AccessHints(np.tile(token, (len(holders), 1)), balance_slots(holders, self.kernels))
