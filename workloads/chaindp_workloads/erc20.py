"""The ``erc20`` workload: ``transfer`` calls to a compiled ERC-20 contract (``contracts/Token.sol``)."""

from __future__ import annotations

from importlib import resources

import numpy as np

from chaindp.errors import PluginError
from chaindp.kernels.kernelset import KernelSet
from chaindp.workload import AccessHints, Accounts, Genesis, Ragged, StorageCells, TransactionBatch
from chaindp_workloads.stream import GeneratedWorkload, funded

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
    text = resources.files("chaindp_workloads").joinpath("contracts", "Token.runtime.hex").read_text(encoding="ascii")
    try:
        return bytes.fromhex(text.strip())
    except ValueError as error:
        raise PluginError(f"contracts/Token.runtime.hex is not hex digits: {error}") from None


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
        code = token_code()
        code_hash = self.kernels.keccak256(
            np.frombuffer(code, dtype=np.uint8), np.array([0, len(code)], dtype=np.int64)
        )
        people, token = funded(self.addresses), np.frombuffer(TOKEN, dtype=np.uint8).reshape(1, 20)
        accounts = Accounts(
            address=np.concatenate([people.address, token]),
            # A contract starts with nonce 1 (EIP-161).
            nonce=np.append(people.nonce, np.uint64(1)),
            balance=np.concatenate([people.balance, np.zeros((1, 32), dtype=np.uint8)]),
            code_hash=np.concatenate([people.code_hash, code_hash]),
            exists=np.append(people.exists, True),
        )
        holders = len(self.addresses)
        slot = np.zeros((holders + 1, 32), dtype=np.uint8)
        slot[:-1] = balance_slots(self.addresses, self.kernels)
        slot[-1, 31] = TOTAL_SUPPLY_SLOT
        value = np.tile(np.frombuffer(HOLDING.to_bytes(32, "big"), dtype=np.uint8), (holders + 1, 1))
        value[-1] = np.frombuffer((HOLDING * holders).to_bytes(32, "big"), dtype=np.uint8)
        cells = StorageCells(np.tile(token, (holders + 1, 1)), slot, value)
        return Genesis(accounts, cells, {code_hash.tobytes(): code})

    def payload(self, rows: slice) -> tuple[np.ndarray, np.ndarray, Ragged | None]:
        """The token as target, no value, and the call: selector, padded recipient, amount."""
        recipients = self.addresses[self.pairs.recipient[rows]]
        count = len(recipients)
        data = np.zeros((count, 68), dtype=np.uint8)
        data[:, :4] = np.frombuffer(TRANSFER, dtype=np.uint8)
        data[:, 16:36] = recipients
        data[:, 60:] = self._amount[rows].astype(">u8").view(np.uint8).reshape(-1, 8)
        to = np.tile(np.frombuffer(TOKEN, dtype=np.uint8), (count, 1))
        return to, np.zeros(count, dtype=np.uint64), Ragged(data.reshape(-1), np.arange(count + 1, dtype=np.int64) * 68)

    def hints(self, batch: TransactionBatch) -> AccessHints | None:
        """The balance slots of sender and recipient of every ``transfer`` in the batch: 2 rows a call."""
        offsets = batch.data.offsets
        token = np.frombuffer(TOKEN, dtype=np.uint8)
        calls = np.flatnonzero((batch.to == token).all(axis=1) & (np.diff(offsets) == 68))
        if batch.sender is None or not len(calls):
            return None
        data = batch.data.data[offsets[calls][:, None] + np.arange(68)]
        transfers = (data[:, :4] == np.frombuffer(TRANSFER, dtype=np.uint8)).all(axis=1)
        holders = np.concatenate([batch.sender[calls[transfers]], data[transfers, 16:36]])
        return AccessHints(np.tile(token, (len(holders), 1)), balance_slots(holders, self.kernels))
