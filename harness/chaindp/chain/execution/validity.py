"""What makes a transaction valid before it runs: intrinsic gas, fees and the checks against the sender's account."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from chaindp.chain.execution.columns import words_to_ints
from chaindp.chain.types import BlockEnv, Ragged, TransactionBatch
from chaindp.errors import InputError

__all__ = ["MAX_INITCODE_SIZE", "AccessList", "check_static", "decode_access_list", "effective_prices", "intrinsic_gas"]

MAX_INITCODE_SIZE = 49_152
"""EIP-3860: twice the largest contract, in bytes."""

MAX_NONCE = 2**64 - 1
"""EIP-2681: a nonce of this value can never be used."""

AccessList = list[tuple[str, list[int]]]
"""Addresses (lowercase hex) and their slots, as EIP-2930 lists them."""


def _header(data: bytes, position: int, end: int) -> tuple[bool, int, int]:
    """(is a list, payload start, payload end) of the RLP item at ``position``; InputError where ``end`` comes first."""
    if position >= end:
        raise InputError("the access list is truncated")
    first = data[position]
    if first < 0x80:
        return False, position, position + 1
    is_list = first >= 0xC0
    short = first - (0xC0 if is_list else 0x80)
    start = position + 1
    length = short
    if short > 55:
        width = short - 55
        if start + width > end:
            raise InputError("the access list is truncated")
        length = int.from_bytes(data[start : start + width], "big")
        start += width
        if data[start - width] == 0 or length < 56:
            raise InputError("the access list has a length that is not canonical RLP")
    if length > end - start:
        raise InputError("the access list is truncated")
    return is_list, start, start + length


def decode_access_list(encoded: bytes) -> AccessList:
    """An access list from its RLP (EIP-2930: a list of [address, [slot...]]); no bytes: empty. InputError otherwise."""
    if not encoded or encoded == b"\xc0":
        return []
    is_list, position, end = _header(encoded, 0, len(encoded))
    if not is_list or end != len(encoded):
        raise InputError("the access list is not one RLP list")
    entries: AccessList = []
    while position < end:
        is_list, inner, inner_end = _header(encoded, position, end)
        if not is_list:
            raise InputError("an entry of the access list is not a list")
        is_list, start, stop = _header(encoded, inner, inner_end)
        if is_list or stop - start != 20:
            raise InputError("an address in the access list is not 20 bytes long")
        address = "0x" + encoded[start:stop].hex()
        is_list, at, slots_end = _header(encoded, stop, inner_end)
        if not is_list or slots_end != inner_end:
            raise InputError("an entry of the access list is not [address, [slot...]]")
        slots = []
        while at < slots_end:
            is_list, start, at = _header(encoded, at, slots_end)
            if is_list or at - start != 32:
                raise InputError("a slot in the access list is not 32 bytes long")
            slots.append(int.from_bytes(encoded[start:at], "big"))
        entries.append((address, slots))
        position = inner_end
    return entries


def intrinsic_gas(data: Ragged, creates: np.ndarray, access_lists: Sequence[AccessList]) -> np.ndarray:
    """Gas that each of N transactions costs before its first instruction: int64[N].

    21000, 4 a zero byte and 16 another one (EIP-2028), 32000 a creation with 2 a word of init code (EIP-3860),
    2400 an address and 1900 a slot of the access list (EIP-2930). ``access_lists`` has N entries.
    """
    seen = np.zeros(len(data.data) + 1, dtype=np.int64)
    np.cumsum(data.data != 0, out=seen[1:])
    lengths = np.diff(data.offsets)
    nonzero = seen[data.offsets[1:]] - seen[data.offsets[:-1]]
    gas: np.ndarray = 21_000 + 4 * lengths + 12 * nonzero
    gas += np.where(creates, 32_000 + 2 * ((lengths + 31) // 32), 0)
    for index, entries in enumerate(access_lists):
        if entries:
            gas[index] += sum(2_400 + 1_900 * len(slots) for _, slots in entries)
    return gas


def effective_prices(max_fees: list[int], priority_fees: list[int], base_fee: int) -> list[int]:
    """What each transaction pays for a unit of gas, in wei (EIP-1559): at most its cap or base fee and priority."""
    return [min(cap, base_fee + priority) for cap, priority in zip(max_fees, priority_fees, strict=True)]


def check_static(env: BlockEnv, batch: TransactionBatch, intrinsic: np.ndarray) -> None:
    """The checks that need no account. InputError names the first transaction that fails one, and why."""
    if batch.sender is None:
        raise InputError("the batch has no senders: admit recovers them before execution")
    wrong_chain = (batch.chain_id != 0) & (batch.chain_id != np.uint64(env.chain_id))
    base_fee = env.base_fee.to_bytes(32, "big")
    floor = np.broadcast_to(np.frombuffer(base_fee, dtype=np.uint8), (batch.count, 32))
    lengths = np.diff(batch.data.offsets)
    checks = (
        (wrong_chain, "is signed for another chain"),
        (batch.nonce == np.uint64(MAX_NONCE), "has a nonce that no transaction may have (EIP-2681)"),
        (_less(batch.max_fee, floor), "has a fee cap below the block's base fee"),
        (_less(batch.max_fee, batch.max_priority_fee), "has a priority fee above its fee cap"),
        (
            batch.creates & (lengths > MAX_INITCODE_SIZE),
            f"has init code of more than {MAX_INITCODE_SIZE} bytes (EIP-3860)",
        ),
        (batch.gas_limit < intrinsic.astype(np.uint64), "has a gas limit below its intrinsic gas"),
    )
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
