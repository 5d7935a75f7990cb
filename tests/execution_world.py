"""A small world for the tests of execution: a state in dictionaries, batches from tuples, the cpu backend's kernels."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache

import numpy as np
from Crypto.Hash import keccak as crypto_keccak

from chaindp.backend import BackendOptions
from chaindp.chain.codec.transactions import unsigned_batch
from chaindp.chain.codec.words import ints_to_words, words_to_ints
from chaindp.chain.types import AccessHints, Accounts, BlockEnv, Ragged, StateDiff, StorageCells, TransactionBatch
from chaindp.kernels.kernelset import KernelSet
from chaindp_cpu import chaindp_backends

CHAIN = 7
GWEI = 10**9
COINBASE = b"\xc0" * 20


@cache
def cpu_kernels() -> KernelSet:
    spec = next(spec for spec in chaindp_backends() if spec.name == "cpu")
    supported = frozenset(kernel for kernel in spec.capabilities if spec.supports(kernel))
    return KernelSet(spec.factory(BackendOptions()), supported)


def keccak(data: bytes) -> bytes:
    return crypto_keccak.new(digest_bits=256, data=data).digest()


def address(number: int) -> bytes:
    return b"\xaa" + number.to_bytes(19, "big")


def env(base_fee: int = GWEI, number: int = 5, gas_limit: int = 30_000_000, coinbase: bytes = COINBASE) -> BlockEnv:
    return BlockEnv(
        number=number,
        timestamp=1_700_000_000,
        coinbase=coinbase,
        gas_limit=gas_limit,
        base_fee=base_fee,
        chain_id=CHAIN,
    )


@dataclass
class World:
    """A state: address to (nonce, balance, code), (address, slot) to value. ``asked`` counts what ``load`` brought."""

    accounts: dict[bytes, tuple[int, int, bytes]] = field(default_factory=dict)
    storage: dict[tuple[bytes, int], int] = field(default_factory=dict)
    asked: list[object] = field(default_factory=list)

    def load(self, addresses: np.ndarray, slots: AccessHints) -> tuple[Accounts, StorageCells, dict[bytes, bytes]]:
        rows = [row.tobytes() for row in addresses]
        pairs = [(row.tobytes(), slot) for row, slot in zip(slots.address, words_to_ints(slots.slot), strict=True)]
        self.asked += [*rows, *pairs]
        return self.columns(rows), self.cells(pairs), self.codes()

    def codes(self) -> dict[bytes, bytes]:
        return {keccak(code): code for _, _, code in self.accounts.values()}

    def columns(self, rows: list[bytes]) -> Accounts:
        found = [self.accounts.get(row) for row in rows]
        return Accounts(
            address=np.frombuffer(b"".join(rows), dtype=np.uint8).reshape(-1, 20),
            nonce=np.array([entry[0] if entry else 0 for entry in found], dtype=np.uint64),
            balance=ints_to_words([entry[1] if entry else 0 for entry in found]),
            code_hash=np.frombuffer(
                b"".join([keccak(entry[2]) if entry else bytes(32) for entry in found]), dtype=np.uint8
            ).reshape(-1, 32),
            exists=np.array([entry is not None for entry in found], dtype=bool),
        )

    def cells(self, pairs: list[tuple[bytes, int]]) -> StorageCells:
        return StorageCells(
            address=np.frombuffer(b"".join([row for row, _ in pairs]), dtype=np.uint8).reshape(-1, 20),
            slot=ints_to_words([slot for _, slot in pairs]),
            value=ints_to_words([self.storage.get(pair, 0) for pair in pairs]),
        )

    def apply(self, diff: StateDiff) -> None:
        codes = {**self.codes(), **diff.codes}
        balances = words_to_ints(diff.balance)
        for index, row in enumerate(diff.address):
            name = row.tobytes()
            if diff.deleted[index] or diff.storage_cleared[index]:
                self.storage = {pair: value for pair, value in self.storage.items() if pair[0] != name}
            if diff.deleted[index]:
                del self.accounts[name]  # a diff that deletes what is not there would fail here
            else:
                code = codes[diff.code_hash[index].tobytes()]
                self.accounts[name] = (int(diff.nonce[index]), balances[index], code)
        slots, values = words_to_ints(diff.storage.slot), words_to_ints(diff.storage.value)
        listed = {row.tobytes() for row in diff.address}
        for row, slot, value in zip(diff.storage.address, slots, values, strict=True):
            assert row.tobytes() in listed
            self.storage.pop((row.tobytes(), slot), None)
            if value:
                self.storage[row.tobytes(), slot] = value

    def copy(self) -> World:
        return World(dict(self.accounts), dict(self.storage))


@dataclass
class Tx:
    """A transaction: ``to`` None creates a contract."""

    sender: bytes
    nonce: int
    to: bytes | None = None
    value: int = 0
    data: bytes = b""
    gas: int = 100_000
    cap: int = 3 * GWEI
    priority: int = GWEI
    type: int = 2
    access_list: bytes = b""


def batch(*rows: Tx) -> TransactionBatch:
    count = len(rows)
    result = unsigned_batch(
        type=np.array([row.type for row in rows], dtype=np.uint8),
        chain_id=np.full(count, CHAIN, dtype=np.uint64),
        nonce=np.array([row.nonce for row in rows], dtype=np.uint64),
        gas_limit=np.array([row.gas for row in rows], dtype=np.uint64),
        max_fee=ints_to_words([row.cap for row in rows]).copy(),
        max_priority_fee=ints_to_words([row.priority if row.type == 2 else row.cap for row in rows]).copy(),
        to=np.frombuffer(b"".join([row.to or bytes(20) for row in rows]), dtype=np.uint8).reshape(-1, 20),
        creates=np.array([row.to is None for row in rows], dtype=bool),
        value=ints_to_words([row.value for row in rows]).copy(),
        data=Ragged.from_items([row.data for row in rows]),
        access_lists=Ragged.from_items([row.access_list for row in rows]),
    )
    result.sender = np.frombuffer(b"".join([row.sender for row in rows]), dtype=np.uint8).reshape(-1, 20)
    return result
