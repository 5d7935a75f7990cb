"""What makes a transaction valid before it runs: intrinsic gas, fees and the checks against the sender's account."""

from __future__ import annotations

import numpy as np

from chaindp.chain.codec import rlp
from chaindp.chain.codec.transactions import access_list_sizes
from chaindp.chain.codec.words import words_to_ints
from chaindp.chain.types import BlockEnv, Ragged, TransactionBatch
from chaindp.errors import InputError

__all__ = [
    "LAST_TYPE",
    "MAX_INITCODE_SIZE",
    "AccessList",
    "check_static",
    "decode_access_list",
    "effective_prices",
    "fee_columns",
    "intrinsic_gas",
    "static_faults",
]

LAST_TYPE = 2
"""The transaction types that are executed: 0 to 2. Neither blobs (EIP-4844) nor set code (EIP-7702) are."""

MAX_INITCODE_SIZE = 49_152
"""EIP-3860: twice the largest contract, in bytes."""

MAX_NONCE = 2**64 - 1
"""EIP-2681: a nonce of this value can never be used."""

AccessList = list[tuple[str, list[int]]]
"""Addresses (lowercase hex) and their slots, as EIP-2930 lists them."""


def decode_access_list(encoded: bytes) -> AccessList:
    """An access list from its RLP (EIP-2930: a list of [address, [slot...]]); no bytes: empty. InputError otherwise."""
    if not encoded or encoded == b"\xc0":
        return []
    try:
        items = rlp.decode(encoded, max_depth=3)
    except InputError as error:
        raise InputError(f"access list: {error}") from None
    entries: AccessList = []
    for item in rlp.as_list(items, "access list"):
        address, slots = rlp.as_list(item, "entry of the access list", 2)
        numbers = [
            int.from_bytes(rlp.as_bytes(slot, "slot in the access list", 32), "big")
            for slot in rlp.as_list(slots, "slots in the access list")
        ]
        entries.append(("0x" + rlp.as_bytes(address, "address in the access list", 20).hex(), numbers))
    return entries


def intrinsic_gas(data: Ragged, creates: np.ndarray, access_lists: Ragged) -> np.ndarray:
    """Gas that each of N transactions costs before its first instruction: int64[N].

    21000, 4 a zero byte and 16 another one (EIP-2028), 32000 a creation with 2 a word of init code (EIP-3860),
    2400 an address and 1900 a slot of the access list (EIP-2930). ``access_lists`` has N items of RLP; InputError names
    the first that is malformed.
    """
    seen = np.zeros(len(data.data) + 1, dtype=np.int64)
    np.cumsum(data.data != 0, out=seen[1:])
    lengths = np.diff(data.offsets)
    nonzero = seen[data.offsets[1:]] - seen[data.offsets[:-1]]
    gas: np.ndarray = 21_000 + 4 * lengths + 12 * nonzero
    gas += np.where(creates, 32_000 + 2 * ((lengths + 31) // 32), 0)
    addresses, slots = access_list_sizes(access_lists)
    gas += 2_400 * addresses + 1_900 * slots
    return gas


def effective_prices(max_fees: list[int], priority_fees: list[int], base_fee: int) -> list[int]:
    """What each transaction pays for a unit of gas, in wei (EIP-1559): at most its cap or base fee and priority."""
    return [min(cap, base_fee + priority) for cap, priority in zip(max_fees, priority_fees, strict=True)]


def _static_checks(env: BlockEnv, batch: TransactionBatch) -> tuple[tuple[np.ndarray, str], ...]:
    """Each check that needs no account: which of N transactions fail it, bool[N], and in words how."""
    base_fee = np.broadcast_to(np.frombuffer(env.base_fee.to_bytes(32, "big"), dtype=np.uint8), (batch.count, 32))
    intrinsic = intrinsic_gas(batch.data, batch.creates, batch.access_lists).astype(np.uint64)
    too_long = np.diff(batch.data.offsets) > MAX_INITCODE_SIZE
    return (
        ((batch.chain_id != 0) & (batch.chain_id != np.uint64(env.chain_id)), "is signed for another chain"),
        (batch.nonce == np.uint64(MAX_NONCE), "has a nonce that no transaction may have (EIP-2681)"),
        (
            _less(batch.max_fee, base_fee),
            "has a fee cap below the block's base fee",
        ),
        (_less(batch.max_fee, batch.max_priority_fee), "has a priority fee above its fee cap"),
        (batch.creates & too_long, f"has init code of more than {MAX_INITCODE_SIZE} bytes (EIP-3860)"),
        (batch.gas_limit < intrinsic, "has a gas limit below its intrinsic gas"),
        (batch.gas_limit > np.uint64(env.gas_limit), "has a gas limit above that of the block"),
    )


def static_faults(env: BlockEnv, batch: TransactionBatch) -> np.ndarray:
    """Which of N transactions can never be executed in a block with this ``env``, whatever the state: bool[N].

    True for what ``check_static`` refuses, and for the types above ``LAST_TYPE``, which no engine here executes.
    ``batch.sender`` is not read. InputError where an access list is malformed: decoding refuses those.
    """
    faults: np.ndarray = batch.type > LAST_TYPE
    for mask, _ in _static_checks(env, batch):
        faults = faults | mask
    return faults


def check_static(env: BlockEnv, batch: TransactionBatch) -> None:
    """The checks that need no account. InputError names the first transaction that fails one, and why."""
    if batch.sender is None:
        raise InputError("the batch has no senders: admit recovers them before execution")
    checks = _static_checks(env, batch)
    failed = np.array([mask for mask, _ in checks], dtype=bool)
    if failed.any():
        index = int(failed.any(axis=0).argmax())
        raise InputError(f"transaction {index} {checks[int(failed[:, index].argmax())][1]}")


def _less(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Which rows of big-endian words uint8[N,32] are smaller than the other's: bool[N]."""
    differ = left != right
    first = differ.argmax(axis=1)
    rows = np.arange(len(left))
    less: np.ndarray = left[rows, first] < right[rows, first]
    return less


def fee_columns(batch: TransactionBatch, base_fee: int) -> tuple[list[int], list[int]]:
    """Per transaction: the fee cap and the effective price, in wei."""
    caps = words_to_ints(batch.max_fee)
    return caps, effective_prices(caps, words_to_ints(batch.max_priority_fee), base_fee)
