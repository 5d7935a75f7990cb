"""What a transaction must pass before it may be ordered: the next nonce of its sender, and the money for it.

The check is conservative and does not depend on timing: it starts from the state that the run starts from and counts
what a sender has already been admitted to spend, never what others may have sent it meanwhile. So every level and every
degree of overlap admits exactly the same transactions.
"""

from __future__ import annotations

from collections.abc import Callable

import numba
import numpy as np

from chaindp.chain.keytable import KeyTable
from chaindp.chain.types import EMPTY_CODE_HASH, Accounts, TransactionBatch
from chaindp.errors import ChaindpError

__all__ = ["Admission"]

_NO_CODE = np.frombuffer(EMPTY_CODE_HASH, dtype=np.uint8)

# Balances are tracked in four 64-bit limbs, least significant first: what does not fit in 256 bits
# sets the overflow flag below, and the transaction is refused.
_LIMBS = 4


@numba.njit(cache=True, nogil=True)
def _limbs(word: np.ndarray, out: np.ndarray) -> None:
    for limb in range(_LIMBS):
        value = np.uint64(0)
        for i in range(8):
            value = (value << np.uint64(8)) | np.uint64(word[(3 - limb) * 8 + i])
        out[limb] = value


@numba.njit(cache=True, nogil=True)
def _multiply(limbs: np.ndarray, factor: np.uint64, out: np.ndarray) -> bool:
    """Out = limbs * factor; True where it does not fit 256 bits."""
    mask = np.uint64(0xFFFFFFFF)
    carry = np.uint64(0)
    low_factor, high_factor = factor & mask, factor >> np.uint64(32)
    for i in range(_LIMBS):
        low, high = limbs[i] & mask, limbs[i] >> np.uint64(32)
        a = low * low_factor
        b = high * low_factor
        c = low * high_factor
        d = high * high_factor
        middle = (a >> np.uint64(32)) + (b & mask) + (c & mask)
        low_part = (middle << np.uint64(32)) | (a & mask)
        high_part = d + (b >> np.uint64(32)) + (c >> np.uint64(32)) + (middle >> np.uint64(32))
        total = low_part + carry
        carry = high_part + np.uint64(1 if total < low_part else 0)
        out[i] = total
    overflow: bool = carry != 0
    return overflow


@numba.njit(cache=True, nogil=True)
def _subtract(limbs: np.ndarray, amount: np.ndarray) -> bool:
    """Limbs -= amount where it suffices; False, and nothing changed, where it does not."""
    for i in range(_LIMBS - 1, -1, -1):
        if limbs[i] != amount[i]:
            if limbs[i] < amount[i]:
                return False
            break
    borrow = np.uint64(0)
    for i in range(_LIMBS):
        before = limbs[i]
        after = before - amount[i] - borrow
        borrow = np.uint64(1 if (before < amount[i] or (before == amount[i] and borrow)) else 0)
        limbs[i] = after
    return True


@numba.njit(cache=True, nogil=True)
def _admit(
    sender: np.ndarray,
    nonce: np.ndarray,
    gas_limit: np.ndarray,
    max_fee: np.ndarray,
    value: np.ndarray,
    next_nonce: np.ndarray,
    funds: np.ndarray,
    refused: np.ndarray,
    limited: bool,
    gas_left: np.uint64,
    admitted: np.ndarray,
) -> None:
    fee = np.empty(_LIMBS, dtype=np.uint64)
    cost = np.empty(_LIMBS, dtype=np.uint64)
    amount = np.empty(_LIMBS, dtype=np.uint64)
    for row in range(len(sender)):
        who = sender[row]
        if refused[row] or nonce[row] != next_nonce[who] or (limited and gas_limit[row] > gas_left):
            continue
        _limbs(max_fee[row], fee)
        _limbs(value[row], amount)
        if _multiply(fee, gas_limit[row], cost):
            continue
        carry = np.uint64(0)
        for i in range(_LIMBS):
            total = cost[i] + amount[i]
            wrapped = np.uint64(1 if total < cost[i] else 0)
            total += carry
            wrapped += np.uint64(1 if (carry and total == 0) else 0)
            cost[i] = total
            carry = wrapped
        if carry or not _subtract(funds[who], cost):
            continue
        next_nonce[who] += np.uint64(1)
        gas_left -= gas_limit[row]
        admitted[row] = True


@numba.njit(cache=True, nogil=True)
def _all_limbs(words: np.ndarray, out: np.ndarray) -> None:
    for row in range(len(words)):
        _limbs(words[row], out[row])


class Admission:
    """The senders seen so far, with the nonce that each must use next and the money that it may still spend."""

    def __init__(self, read_accounts: Callable[[np.ndarray], Accounts]) -> None:
        self._read_accounts = read_accounts
        self._senders = KeyTable(20)
        self._next_nonce = np.zeros(0, dtype=np.uint64)
        self._funds = np.zeros((0, _LIMBS), dtype=np.uint64)
        self._has_code = np.zeros(0, dtype=np.bool_)

    def admit(
        self, batch: TransactionBatch, refused: np.ndarray | None = None, *, gas_limit: int | None = None
    ) -> tuple[np.ndarray, Accounts | None]:
        """Which transactions bool[N] pass, in order, and the accounts of the senders that were not known before.

        refused:    bool[N], those that are out already, as ``static_faults`` finds them; None where there are none
        gas_limit:  what the gas limits of those that pass may add up to in this batch; a block's gas limit here makes
                    sure that each of them fits the block whatever gas the others use. None: no limit

        Refused are those, those of a sender with code (EIP-3607), and those whose nonce is not their sender's next or
        whose gas limit times fee cap plus value exceeds what their sender has left. A refused transaction changes
        nothing: its nonce is still its sender's next. ChaindpError where the senders or the length of ``refused`` are
        wrong.
        """
        if batch.sender is None:
            raise ChaindpError("admission needs the senders: recover them first")
        out = np.zeros(batch.count, dtype=np.bool_) if refused is None else refused
        if out.shape != (batch.count,) or out.dtype != np.bool_:
            raise ChaindpError(f"admission: refused is {out.dtype}{list(out.shape)}, not bool[{batch.count}]")
        index, rows = self._senders.insert_new(batch.sender)
        fresh = None
        if len(rows):
            fresh = self._read_accounts(np.ascontiguousarray(batch.sender[rows]))
            funds = np.zeros((len(rows), _LIMBS), dtype=np.uint64)
            _all_limbs(fresh.balance, funds)
            self._next_nonce = np.concatenate([self._next_nonce, fresh.nonce])
            self._funds = np.concatenate([self._funds, funds])
            plain = (fresh.code_hash == _NO_CODE).all(axis=1) | ~fresh.code_hash.any(axis=1)
            self._has_code = np.concatenate([self._has_code, ~plain])
        admitted = np.zeros(batch.count, dtype=np.bool_)
        _admit(
            index,
            batch.nonce,
            batch.gas_limit,
            batch.max_fee,
            batch.value,
            self._next_nonce,
            self._funds,
            out | self._has_code[index],
            gas_limit is not None,
            np.uint64(gas_limit or 0),
            admitted,
        )
        return admitted, fresh
