"""Transactions in columns: decode and validate EIP-2718 envelopes, build what is signed, assemble, recover senders.

All types to Prague: 0 (before and after EIP-155), 1 (EIP-2930), 2 (EIP-1559), 3 (EIP-4844, as in blocks, without blobs)
and 4 (EIP-7702). No Python object per transaction is made on any path here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from chaindp.chain.codec import transactions_jit as jit
from chaindp.chain.codec.rlp_jit import readonly
from chaindp.chain.types import Ragged, TransactionBatch
from chaindp.errors import InputError

if TYPE_CHECKING:
    from chaindp.kernels.kernelset import KernelSet

__all__ = [
    "HOMESTEAD",
    "MAX_LEGACY_CHAIN_ID",
    "SECP256K1_ORDER",
    "access_list_sizes",
    "assemble",
    "decode_transactions",
    "recover",
    "recover_senders",
    "signing_hashes",
    "signing_payloads",
    "unsigned_batch",
]

HOMESTEAD = 1_150_000
"""Mainnet's first block of the Homestead fork, from which on EIP-2 asks for a low s."""

SECP256K1_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141

MAX_LEGACY_CHAIN_ID = (2**64 - 1 - 36) // 2
"""The largest chain id whose EIP-155 ``v`` fits 64 bits."""


def _empty_ragged(count: int) -> Ragged:
    return Ragged(np.zeros(0, dtype=np.uint8), np.zeros(count + 1, dtype=np.int64))


def unsigned_batch(
    *,
    type: np.ndarray,  # noqa: A002 - the columns have their names in TransactionBatch
    chain_id: np.ndarray,
    nonce: np.ndarray,
    gas_limit: np.ndarray,
    max_fee: np.ndarray,
    to: np.ndarray,
    value: np.ndarray,
    max_priority_fee: np.ndarray | None = None,
    creates: np.ndarray | None = None,
    data: Ragged | None = None,
    access_lists: Ragged | None = None,
    extra: Ragged | None = None,
) -> TransactionBatch:
    """A batch to sign, from its columns (see ``TransactionBatch``): ``raw`` is empty and ``signature`` zero.

    type uint8[N], chain_id, nonce, gas_limit uint64[N], max_fee, max_priority_fee, value uint8[N,32], to uint8[N,20],
    creates bool[N]. What is left out is: the priority fee equal to ``max_fee``, no creation, and nothing in the ragged
    columns. Sign ``signing_hashes(batch, kernels)`` and give the signatures to ``assemble``. InputError where lengths
    differ.
    """
    count = len(type)
    batch = TransactionBatch(
        raw=_empty_ragged(count),
        type=np.asarray(type, dtype=np.uint8),
        chain_id=np.asarray(chain_id, dtype=np.uint64),
        nonce=np.asarray(nonce, dtype=np.uint64),
        gas_limit=np.asarray(gas_limit, dtype=np.uint64),
        max_fee=max_fee,
        max_priority_fee=max_fee if max_priority_fee is None else max_priority_fee,
        to=to,
        creates=np.zeros(count, dtype=bool) if creates is None else creates,
        value=value,
        data=_empty_ragged(count) if data is None else data,
        access_lists=_empty_ragged(count) if access_lists is None else access_lists,
        signature=np.zeros((count, 65), dtype=np.uint8),
        extra=extra,
    )
    _check_shapes(batch)
    return batch


def _check_shapes(batch: TransactionBatch) -> None:
    count = batch.count
    for name, width, dtype in (
        ("type", None, np.uint8),
        ("chain_id", None, np.uint64),
        ("nonce", None, np.uint64),
        ("gas_limit", None, np.uint64),
        ("max_fee", 32, np.uint8),
        ("max_priority_fee", 32, np.uint8),
        ("to", 20, np.uint8),
        ("creates", None, np.bool_),
        ("value", 32, np.uint8),
        ("signature", 65, np.uint8),
    ):
        column = getattr(batch, name)
        shape = (count,) if width is None else (count, width)
        if column.shape != shape or column.dtype != dtype:
            raise InputError(
                f"transaction column {name}: {column.dtype}{list(column.shape)} is not {np.dtype(dtype)}{list(shape)}"
            )
    for name in ("data", "access_lists", "extra"):
        ragged = getattr(batch, name)
        if ragged is not None and ragged.count != count:
            raise InputError(f"transaction column {name}: {ragged.count} items for {count} transactions")
    if count and int(batch.type.max()) > jit.LAST_TYPE:
        raise InputError(f"transaction column type: {int(batch.type.max())} {jit.REASONS[jit.UNKNOWN_TYPE]}")


def decode_transactions(raw: Ragged, *, low_s: bool = True) -> TransactionBatch:
    """Decode and validate N envelopes as blocks hold them.

    ``raw`` is kept, not copied; ``hash`` and ``sender`` stay None.

    low_s: refuse an s in the upper half of the curve's order, as all blocks from Homestead on do (EIP-2).

    Checked per transaction, and nothing else: canonical RLP throughout; chain id, nonce and gas limit below 2**64; fees
    and value below 2**256; ``to`` of 20 bytes, or none for types 0 to 2; access, blob hash and authorization lists
    well-formed, the latter two not empty, blob hashes of version 1; priority fee at most the max fee; v 27, 28 or
    35 + 2 * chain id + parity with a chain id from 1 that fits 63 bits; y parity 0 or 1; r and s in [1, n).
    InputError names the first transaction that fails, its field, and the reason.
    """
    count = raw.count
    data, offsets = readonly(raw.data), readonly(raw.offsets)
    if count and (offsets[0] < 0 or offsets[-1] > len(data) or (np.diff(offsets) < 0).any()):
        raise InputError("transactions: the offsets do not ascend within the buffer")
    type_ = np.zeros(count, dtype=np.uint8)
    chain_id = np.zeros(count, dtype=np.uint64)
    nonce = np.zeros(count, dtype=np.uint64)
    gas_limit = np.zeros(count, dtype=np.uint64)
    max_fee = np.zeros((count, 32), dtype=np.uint8)
    max_priority_fee = np.zeros((count, 32), dtype=np.uint8)
    to = np.zeros((count, 20), dtype=np.uint8)
    creates = np.zeros(count, dtype=np.bool_)
    value = np.zeros((count, 32), dtype=np.uint8)
    spans = np.zeros((3, count, 2), dtype=np.int64)
    signature = np.zeros((count, 65), dtype=np.uint8)
    flat = [column.reshape(-1) for column in (max_fee, max_priority_fee, to, creates, value)]
    s_limit = 32 if low_s else 0
    index, code = jit.decode_rows(
        data, offsets, jit.LIMITS, s_limit, type_, chain_id, nonce, gas_limit, *flat, spans, signature.reshape(-1)
    )
    if index >= 0:
        field, reason = divmod(code, jit.FIELD_SHIFT)
        raise InputError(f"transaction {index}: {jit.FIELDS[field]} {jit.REASONS[reason]}")
    extra = _gather(data, spans[2])
    return TransactionBatch(
        raw=raw,
        type=type_,
        chain_id=chain_id,
        nonce=nonce,
        gas_limit=gas_limit,
        max_fee=max_fee,
        max_priority_fee=max_priority_fee,
        to=to,
        creates=creates,
        value=value,
        data=_gather(data, spans[0]),
        access_lists=_gather(data, spans[1]),
        signature=signature,
        extra=extra if len(extra.data) else None,
    )


def access_list_sizes(access_lists: Ragged) -> tuple[np.ndarray, np.ndarray]:
    """How many addresses and how many storage keys each of N access lists (EIP-2930, RLP) names: int64[N] twice.

    No bytes stand for the empty list. InputError names the first item that is no canonical access list.
    """
    addresses, keys = np.zeros(access_lists.count, dtype=np.int64), np.zeros(access_lists.count, dtype=np.int64)
    index, reason = jit.count_access_lists(readonly(access_lists.data), readonly(access_lists.offsets), addresses, keys)
    if index >= 0:
        raise InputError(f"transaction {index}: {jit.FIELDS[jit.ACCESS_LIST]} {jit.REASONS[reason]}")
    return addresses, keys


def _gather(data: np.ndarray, spans: np.ndarray) -> Ragged:
    offsets = np.zeros(len(spans) + 1, dtype=np.int64)
    np.cumsum(spans[:, 1] - spans[:, 0], out=offsets[1:])
    out = np.empty(offsets[-1], dtype=np.uint8)
    jit.copy_spans(data, spans, offsets, out)
    return Ragged(out, offsets)


def _encode(batch: TransactionBatch, signature: np.ndarray, signed: bool) -> Ragged:
    count = batch.count
    if batch.extra is None and count and int(batch.type.max()) > 2:
        raise InputError("transaction column extra: is missing, and there are transactions of type 3 or 4")
    extra = _empty_ragged(count) if batch.extra is None else batch.extra
    columns = [
        readonly(column.reshape(-1))
        for column in (
            batch.type,
            batch.chain_id,
            batch.nonce,
            batch.gas_limit,
            batch.max_fee,
            batch.max_priority_fee,
            batch.creates,
            batch.value,
            batch.data.data,
            batch.data.offsets,
            batch.access_lists.data,
            batch.access_lists.offsets,
            extra.data,
            extra.offsets,
            signature,
        )
    ]
    payloads = np.empty(count, dtype=np.int64)
    jit.payload_lengths(signed, *columns, payloads)
    offsets = np.zeros(count + 1, dtype=np.int64)
    jit.envelope_lengths(columns[0], payloads, offsets[1:])
    np.cumsum(offsets[1:], out=offsets[1:])
    out = np.empty(offsets[-1], dtype=np.uint8)
    wrong = jit.write_rows(signed, *columns, readonly(batch.to.reshape(-1)), payloads, offsets, out)
    if wrong >= 0:
        raise AssertionError(f"transaction {wrong} was measured wrongly")
    return Ragged(out, offsets)


def signing_payloads(batch: TransactionBatch) -> Ragged:
    """What each sender hashed and signed, from the columns alone.

    Type 0: the RLP of the six fields, or of nine with (chain id, 0, 0) where the chain id is not 0 (EIP-155); other
    types: the type byte and the RLP of all fields before the signature. InputError where ``extra`` is missing.
    """
    return _encode(batch, batch.signature, signed=False)


def assemble(batch: TransactionBatch, signatures: np.ndarray) -> Ragged:
    """The envelopes of a batch with ``signatures`` uint8[N,65] (r || s || y parity).

    The inverse of ``decode_transactions``.
    InputError where a column has the wrong shape or type, a parity is not 0 or 1, or a type-0 chain id leaves no room
    for v.
    """
    _check_shapes(batch)
    signatures = np.asarray(signatures)
    if signatures.shape != (batch.count, 65) or signatures.dtype != np.uint8:
        shape = f"{signatures.dtype}{list(signatures.shape)}"
        raise InputError(f"signatures: {shape} is not uint8[{batch.count}, 65]")
    bad = signatures[:, 64] > 1
    if bad.any():
        raise InputError(f"transaction {int(np.argmax(bad))}: y_parity {jit.REASONS[jit.NOT_PARITY]}")
    bad = (batch.type == 0) & (batch.chain_id > np.uint64(MAX_LEGACY_CHAIN_ID))
    if bad.any():
        raise InputError(f"transaction {int(np.argmax(bad))}: chain_id is too large for EIP-155")
    return _encode(batch, signatures, signed=True)


def signing_hashes(batch: TransactionBatch, kernels: KernelSet) -> np.ndarray:
    """Keccak-256 of the signing payloads, uint8[N,32]: what ``ecrecover`` and a signer take."""
    if not batch.count:
        return np.zeros((0, 32), dtype=np.uint8)
    payloads = signing_payloads(batch)
    return kernels.keccak256(payloads.data, payloads.offsets)


def recover(batch: TransactionBatch, kernels: KernelSet) -> np.ndarray:
    """Fill ``hash`` uint8[N,32] and ``sender`` uint8[N,20]; returns bool[N], false where no key fits the signature."""
    if not batch.count:
        batch.hash, batch.sender = np.zeros((0, 32), dtype=np.uint8), np.zeros((0, 20), dtype=np.uint8)
        return np.zeros(0, dtype=np.bool_)
    batch.hash = kernels.keccak256(batch.raw.data, batch.raw.offsets)
    batch.sender, ok = kernels.ecrecover(signing_hashes(batch, kernels), batch.signature)
    return ok


def recover_senders(batch: TransactionBatch, kernels: KernelSet) -> None:
    """Fill ``hash`` and ``sender``; InputError naming the first transaction whose signature does not recover."""
    ok = recover(batch, kernels)
    if not ok.all():
        raise InputError(f"transaction {int(np.argmin(ok))}: the signature does not recover to any address")
