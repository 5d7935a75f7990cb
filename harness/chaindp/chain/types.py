"""The chain's data in columns: what the stages hand to each other, one numpy array a field, one row an item.

Conventions used throughout ``chain``:

- an *address* is ``uint8[20]``, a *digest* or a 256-bit *word* is ``uint8[32]``, big-endian;
- *ragged* data is one ``uint8`` buffer and ``int64`` offsets of length N+1: item i is
  ``buffer[offsets[i]:offsets[i+1]]``;
- nonces, gas and block numbers are ``uint64``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

__all__ = [
    "EMPTY_CODE_HASH",
    "AccessHints",
    "Accounts",
    "BlockEnv",
    "Genesis",
    "Ragged",
    "Receipts",
    "StateDiff",
    "StorageCells",
    "TransactionBatch",
]

EMPTY_CODE_HASH = bytes.fromhex("c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470")
"""Keccak-256 of no bytes: the code hash of an account without code (Yellow Paper, 4.1)."""


@dataclass(frozen=True, slots=True, eq=False)
class Ragged:
    """N byte strings end to end: ``data`` uint8[B], ``offsets`` int64[N+1] with ``offsets[0] == 0``."""

    data: np.ndarray
    offsets: np.ndarray

    @classmethod
    def from_items(cls, items: Iterable[bytes]) -> Ragged:
        """Pack byte strings."""
        items = list(items)
        offsets = np.zeros(len(items) + 1, dtype=np.int64)
        np.cumsum([len(item) for item in items], out=offsets[1:])
        return cls(np.frombuffer(b"".join(items), dtype=np.uint8), offsets)

    @property
    def count(self) -> int:
        """How many items there are."""
        return len(self.offsets) - 1

    def item(self, index: int) -> bytes:
        """Item ``index`` as bytes."""
        return self.data[self.offsets[index] : self.offsets[index + 1]].tobytes()

    def items(self) -> list[bytes]:
        """All items as bytes: for tests and cold paths."""
        return [self.item(i) for i in range(self.count)]

    def slice(self, start: int, stop: int) -> Ragged:
        """Items ``start`` to ``stop`` with offsets of their own; the bytes are a view."""
        offsets = self.offsets[start : stop + 1]
        return Ragged(self.data[offsets[0] : offsets[-1]], offsets - offsets[0])


@dataclass(slots=True)
class TransactionBatch:
    """N signed transactions, decoded. ``raw`` holds the EIP-2718 envelopes as they came from the wire.

    ``max_fee`` is the gas price of types 0 and 1, maxFeePerGas of the others; ``max_priority_fee`` equals it for
    types 0 and 1. ``creates`` marks contract creations, whose ``to`` is zero. ``data`` and ``access_lists`` are
    ragged; an access list is its RLP as signed (``c0`` or nothing when empty). ``signature`` is r || s || y-parity,
    ready for the ``ecrecover`` kernel. ``extra`` is the RLP, as signed, of the fields that only types 3 and 4 have
    (max fee per blob gas and blob hashes, or the authorization list), nothing for other types; None where no
    transaction has any. ``hash`` and ``sender`` are filled by ``admit``.
    """

    raw: Ragged
    type: np.ndarray  # uint8[N]
    chain_id: np.ndarray  # uint64[N], 0 where the signature binds none (before EIP-155)
    nonce: np.ndarray  # uint64[N]
    gas_limit: np.ndarray  # uint64[N]
    max_fee: np.ndarray  # uint8[N,32]
    max_priority_fee: np.ndarray  # uint8[N,32]
    to: np.ndarray  # uint8[N,20]
    creates: np.ndarray  # bool[N]
    value: np.ndarray  # uint8[N,32]
    data: Ragged
    access_lists: Ragged
    signature: np.ndarray  # uint8[N,65]
    hash: np.ndarray | None = None  # uint8[N,32]
    sender: np.ndarray | None = None  # uint8[N,20]
    extra: Ragged | None = None

    @property
    def count(self) -> int:
        """How many transactions there are."""
        return len(self.type)


@dataclass(slots=True)
class Accounts:
    """A account records. Where the state has none at an address, ``exists`` is false and the rest of the row zero."""

    address: np.ndarray  # uint8[A,20]
    nonce: np.ndarray  # uint64[A]
    balance: np.ndarray  # uint8[A,32]
    code_hash: np.ndarray  # uint8[A,32]
    exists: np.ndarray  # bool[A]


@dataclass(slots=True)
class StorageCells:
    """S storage slots and their values; a value of zero means that the slot is not in the trie."""

    address: np.ndarray  # uint8[S,20]
    slot: np.ndarray  # uint8[S,32]
    value: np.ndarray  # uint8[S,32]


@dataclass(slots=True)
class AccessHints:
    """What a workload knows that its transactions will touch beyond senders and recipients: account and slot a row.

    A hint saves a load at execution time; a wrong or missing one never changes a result.
    """

    address: np.ndarray  # uint8[H,20]
    slot: np.ndarray  # uint8[H,32]


@dataclass(slots=True)
class Genesis:
    """The state a workload starts from. ``codes`` maps a code hash to the code."""

    accounts: Accounts
    storage: StorageCells
    codes: Mapping[bytes, bytes] = field(default_factory=dict)


@dataclass(slots=True)
class StateDiff:
    """What a block changed: final values, each address and each (address, slot) once, in any order.

    ``deleted`` accounts leave the state (EIP-161 and SELFDESTRUCT). ``storage_cleared`` accounts lose all storage
    before the writes of this diff apply. ``storage.value`` of zero removes the slot. Every address in ``storage`` is
    in ``address``.
    """

    address: np.ndarray  # uint8[A,20]
    nonce: np.ndarray  # uint64[A]
    balance: np.ndarray  # uint8[A,32]
    code_hash: np.ndarray  # uint8[A,32]
    deleted: np.ndarray  # bool[A]
    storage_cleared: np.ndarray  # bool[A]
    storage: StorageCells
    codes: Mapping[bytes, bytes] = field(default_factory=dict)


@dataclass(slots=True)
class Receipts:
    """N receipts. ``cumulative_gas`` counts within the block. Logs are rows; ``log_tx`` is the transaction."""

    type: np.ndarray  # uint8[N]
    status: np.ndarray  # uint8[N], 1 success, 0 failure
    gas_used: np.ndarray  # uint64[N]
    cumulative_gas: np.ndarray  # uint64[N]
    log_tx: np.ndarray  # int64[L], ascending
    log_address: np.ndarray  # uint8[L,20]
    log_topic_count: np.ndarray  # uint8[L], 0 to 4
    log_topics: np.ndarray  # uint8[L,4,32]
    log_data: Ragged

    @property
    def count(self) -> int:
        """How many receipts there are."""
        return len(self.status)


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockEnv:
    """What the EVM sees of its block. ``base_fee`` is burnt, the rest of the fee goes to ``coinbase``."""

    number: int
    timestamp: int
    coinbase: bytes
    gas_limit: int
    base_fee: int
    chain_id: int
    prev_randao: bytes = bytes(32)
    excess_blob_gas: int = 0
    block_hashes: Sequence[bytes] = ()
