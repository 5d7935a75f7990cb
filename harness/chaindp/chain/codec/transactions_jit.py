"""The compiled loops of the transaction codec: validate and split envelopes into columns, and write columns as RLP.

Field order by type (all inside one list; typed envelopes put their type byte before it):

- 0: nonce, gas price, gas limit, to, value, data | v, r, s
- 1: chain id, nonce, gas price, gas limit, to, value, data, access list | y parity, r, s (EIP-2930)
- 2: chain id, nonce, max priority fee, max fee, gas limit, to, value, data, access list | ... (EIP-1559)
- 3: as 2, then max fee per blob gas, blob versioned hashes | ... (EIP-4844)
- 4: as 2, then authorization list | ... (EIP-7702)
"""

from __future__ import annotations

import numpy as np

from chaindp.chain.codec import rlp_jit
from chaindp.chain.codec.rlp_jit import (
    NOT_BYTES,
    NOT_LIST,
    OK,
    TOO_LARGE,
    TRAILING,
    WRONG_SIZE,
    borrowed,
    bytes_length,
    copy_bytes,
    list_length,
    read_header,
    read_uint,
    read_uint64,
    read_word,
    uint64_length,
    word_length,
    write_bytes,
    write_list_header,
    write_uint64,
    write_word,
)
from chaindp.kernels.compilation import compiled

__all__ = [
    "FIELDS",
    "FIELD_SHIFT",
    "LAST_TYPE",
    "REASONS",
    "copy_spans",
    "count_access_lists",
    "decode_rows",
    "envelope_lengths",
    "payload_lengths",
    "write_rows",
]

LAST_TYPE = 4
FIELD_SHIFT = 64

FIELDS = (
    "envelope",
    "type",
    "chain_id",
    "nonce",
    "gas_price",
    "max_priority_fee_per_gas",
    "max_fee_per_gas",
    "gas_limit",
    "to",
    "value",
    "data",
    "access_list",
    "max_fee_per_blob_gas",
    "blob_versioned_hashes",
    "authorization_list",
    "v",
    "y_parity",
    "r",
    "s",
)
ENVELOPE, TYPE, CHAIN_ID, NONCE, GAS_PRICE, PRIORITY_FEE, MAX_FEE, GAS_LIMIT, TO, VALUE, DATA = range(11)
ACCESS_LIST, BLOB_FEE, BLOB_HASHES, AUTHORIZATIONS, V, Y_PARITY, R, S = range(11, 19)

UNKNOWN_TYPE = 32
BAD_V = 33
ZERO = 34
NOT_BELOW_N = 35
HIGH_S = 36
EMPTY = 37
BLOB_VERSION = 38
ABOVE_MAX_FEE = 39
NOT_PARITY = 40

REASONS = {
    **rlp_jit.REASONS,
    UNKNOWN_TYPE: "is none of 0 to 4",
    BAD_V: "is neither 27 or 28 nor 35 + 2 * chain id + parity with a chain id from 1",
    ZERO: "is zero",
    NOT_BELOW_N: "is not below the order of secp256k1",
    HIGH_S: "is in the upper half of the order of secp256k1 (EIP-2)",
    EMPTY: "is empty",
    BLOB_VERSION: "has a hash whose version is not 1 (EIP-4844)",
    ABOVE_MAX_FEE: "is above max_fee_per_gas (EIP-1559)",
    NOT_PARITY: "is neither 0 nor 1",
}
"""Reason code to words that follow the name of a field."""

_N = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
LIMITS = np.frombuffer(_N.to_bytes(32, "big") + (_N // 2).to_bytes(32, "big"), dtype=np.uint8)
"""Two words: the order of secp256k1, which r and s stay below, and the largest s that EIP-2 allows."""


@compiled
def _compare(a, at, b, b_at):  # type: ignore[no-untyped-def]
    """-1, 0 or 1 as the word at ``a[at:]`` is less than, equal to or greater than the word at ``b[b_at:]``."""
    first, second = np.uint64(at), np.uint64(b_at)
    for k in range(np.uint64(32)):
        left, right = a[first + k], b[second + k]
        if left != right:
            return -1 if left < right else 1
    return 0


@compiled
def _sized(data, position, end, size):  # type: ignore[no-untyped-def]
    """(reason, start, stop) of the byte string of exactly ``size`` bytes at ``position``."""
    reason, start, stop, is_list = read_header(data, position, end)
    if reason == OK:
        if is_list:
            reason = NOT_BYTES
        elif stop - start != size:
            reason = WRONG_SIZE
    return reason, start, stop


@compiled
def _list(data, position, end):  # type: ignore[no-untyped-def]
    """(reason, start, stop) of the list at ``position``."""
    reason, start, stop, is_list = read_header(data, position, end)
    if reason == OK and not is_list:
        reason = NOT_LIST
    return reason, start, stop


@compiled
def _access_list(data, position, end):  # type: ignore[no-untyped-def]
    """(reason, position after, addresses, storage keys): [[address, [storage key, ...]], ...] of EIP-2930."""
    addresses, keys = 0, 0
    reason, at, stop = _list(data, position, end)
    if reason != OK:
        return reason, stop, addresses, keys
    while at < stop:
        reason, inner, inner_stop = _list(data, at, stop)
        if reason != OK:
            return reason, stop, addresses, keys
        reason, _, inner = _sized(data, inner, inner_stop, 20)
        if reason != OK:
            return reason, stop, addresses, keys
        reason, key, key_stop = _list(data, inner, inner_stop)
        if reason != OK:
            return reason, stop, addresses, keys
        if key_stop != inner_stop:
            return TRAILING, stop, addresses, keys
        addresses += 1
        while key < key_stop:
            reason, _, key = _sized(data, key, key_stop, 32)
            if reason != OK:
                return reason, stop, addresses, keys
            keys += 1
        at = inner_stop
    return OK, stop, addresses, keys


@compiled
def count_access_lists(data, offsets, addresses, keys):  # type: ignore[no-untyped-def]
    """How much each ``data[offsets[i]:offsets[i + 1]]`` lists, into int64[N] twice; nothing counts as an empty list.

    (-1, OK), or the first row that is not exactly one access list, and the reason.
    """
    for i in range(len(offsets) - 1):
        addresses[i] = keys[i] = 0
        if offsets[i] < offsets[i + 1]:
            reason, stop, addresses[i], keys[i] = _access_list(data, offsets[i], offsets[i + 1])
            if reason == OK and stop != offsets[i + 1]:
                reason = TRAILING
            if reason != OK:
                return i, reason
    return -1, OK


@compiled
def _blob_hashes(data, position, end):  # type: ignore[no-untyped-def]
    """(reason, position after): [versioned hash, ...] of EIP-4844, at least one."""
    reason, at, stop = _list(data, position, end)
    if reason == OK and at == stop:
        reason = EMPTY
    while reason == OK and at < stop:
        reason, start, at = _sized(data, at, stop, 32)
        if reason == OK and data[start] != 1:
            reason = BLOB_VERSION
    return reason, stop


@compiled
def _authorizations(data, position, end):  # type: ignore[no-untyped-def]
    """(reason, position after): [[chain id, address, nonce, y parity, r, s], ...] of EIP-7702, at least one."""
    reason, at, stop = _list(data, position, end)
    if reason == OK and at == stop:
        reason = EMPTY
    while reason == OK and at < stop:
        reason, inner, inner_stop = _list(data, at, stop)
        if reason == OK:
            reason, _, inner = read_uint(data, inner, inner_stop, 32)
        if reason == OK:
            reason, _, inner = _sized(data, inner, inner_stop, 20)
        if reason == OK:
            reason, _, inner = read_uint(data, inner, inner_stop, 8)
        if reason == OK:
            reason, _, inner = read_uint(data, inner, inner_stop, 1)
        if reason == OK:
            reason, _, inner = read_uint(data, inner, inner_stop, 32)
        if reason == OK:
            reason, _, inner = read_uint(data, inner, inner_stop, 32)
        if reason == OK and inner != inner_stop:
            reason = TRAILING
        at = inner_stop
    return reason, stop


@compiled
def _scalar(data, position, end, limits, limit, signature, at):  # type: ignore[no-untyped-def]
    """(reason, position after): r or s into ``signature[at:at + 32]``, at most the word at ``limits[limit:]``."""
    reason, position = read_word(data, position, end, signature, at)
    if reason == OK:
        if word_length(signature, at) == 1 and signature[np.uint64(at + 31)] == 0:
            reason = ZERO
        elif _compare(signature, at, limits, 0) >= 0:
            reason = NOT_BELOW_N
        elif _compare(signature, at, limits, limit) > 0:
            reason = HIGH_S
    return reason, position


@compiled
def _decode_row(  # type: ignore[no-untyped-def]
    data, start, stop, i, limits, s_limit,
    type_, chain_id, nonce, gas_limit, max_fee, max_priority_fee, to, creates, value, spans, signature,
):  # fmt: skip
    """Fill row ``i`` of the flat columns from the envelope ``data[start:stop]``; 0, or field * FIELD_SHIFT + reason."""
    if start == stop:
        return ENVELOPE * FIELD_SHIFT + EMPTY
    kind = np.int64(0)
    if data[start] < 0xC0:
        kind = np.int64(data[start])
        if kind == 0 or kind > LAST_TYPE:
            return TYPE * FIELD_SHIFT + UNKNOWN_TYPE
        start += 1
    type_[i] = kind
    reason, at, end = _list(data, start, stop)
    if reason == OK and end != stop:
        reason = TRAILING
    if reason != OK:
        return ENVELOPE * FIELD_SHIFT + reason

    if kind > 0:
        reason, chain_id[i], at = read_uint64(data, at, end)
        if reason != OK:
            return CHAIN_ID * FIELD_SHIFT + reason
    reason, nonce[i], at = read_uint64(data, at, end)
    if reason != OK:
        return NONCE * FIELD_SHIFT + reason
    if kind < 2:
        reason, at = read_word(data, at, end, max_fee, 32 * i)
        if reason != OK:
            return GAS_PRICE * FIELD_SHIFT + reason
        copy_bytes(max_priority_fee, 32 * i, max_fee, 32 * i, 32 * i + 32)
    else:
        reason, at = read_word(data, at, end, max_priority_fee, 32 * i)
        if reason != OK:
            return PRIORITY_FEE * FIELD_SHIFT + reason
        reason, at = read_word(data, at, end, max_fee, 32 * i)
        if reason != OK:
            return MAX_FEE * FIELD_SHIFT + reason
        if _compare(max_priority_fee, 32 * i, max_fee, 32 * i) > 0:
            return PRIORITY_FEE * FIELD_SHIFT + ABOVE_MAX_FEE
    reason, gas_limit[i], at = read_uint64(data, at, end)
    if reason != OK:
        return GAS_LIMIT * FIELD_SHIFT + reason

    reason, first, at, is_list = read_header(data, at, end)
    if reason == OK:
        if is_list:
            reason = NOT_BYTES
        elif at - first == 20:
            copy_bytes(to, 20 * i, data, first, at)
        elif at == first and kind < 3:  # blob and set-code transactions cannot create
            creates[i] = True
        else:
            reason = WRONG_SIZE
    if reason != OK:
        return TO * FIELD_SHIFT + reason

    reason, at = read_word(data, at, end, value, 32 * i)
    if reason != OK:
        return VALUE * FIELD_SHIFT + reason
    reason, first, at, is_list = read_header(data, at, end)
    if reason == OK and is_list:
        reason = NOT_BYTES
    if reason != OK:
        return DATA * FIELD_SHIFT + reason
    spans[0, i, 0] = first
    spans[0, i, 1] = at

    if kind > 0:
        first = at
        reason, at, _, _ = _access_list(data, at, end)
        if reason != OK:
            return ACCESS_LIST * FIELD_SHIFT + reason
        spans[1, i, 0] = first
        spans[1, i, 1] = at
    spans[2, i, 0] = at
    if kind == 3:
        reason, _, at = read_uint(data, at, end, 32)
        if reason != OK:
            return BLOB_FEE * FIELD_SHIFT + reason
        reason, at = _blob_hashes(data, at, end)
        if reason != OK:
            return BLOB_HASHES * FIELD_SHIFT + reason
    elif kind == 4:
        reason, at = _authorizations(data, at, end)
        if reason != OK:
            return AUTHORIZATIONS * FIELD_SHIFT + reason
    spans[2, i, 1] = at

    reason, v, at = read_uint64(data, at, end)
    field = V if kind == 0 else Y_PARITY
    if reason != OK:
        return field * FIELD_SHIFT + reason
    if kind > 0:
        if v > np.uint64(1):
            return field * FIELD_SHIFT + NOT_PARITY
        signature[65 * i + 64] = v
    elif v == np.uint64(27) or v == np.uint64(28):
        signature[65 * i + 64] = v - np.uint64(27)
    elif v == np.uint64(0xFFFFFFFFFFFFFFFF):  # its chain id has no room for parity 1
        return field * FIELD_SHIFT + TOO_LARGE
    elif v >= np.uint64(37):
        chain_id[i] = (v - np.uint64(35)) >> np.uint64(1)
        signature[65 * i + 64] = (v - np.uint64(35)) & np.uint64(1)
    else:
        return field * FIELD_SHIFT + BAD_V

    reason, at = _scalar(data, at, end, limits, 0, signature, 65 * i)
    if reason != OK:
        return R * FIELD_SHIFT + reason
    reason, at = _scalar(data, at, end, limits, s_limit, signature, 65 * i + 32)
    if reason != OK:
        return S * FIELD_SHIFT + reason
    if at != end:
        return ENVELOPE * FIELD_SHIFT + TRAILING
    return 0


@compiled
def decode_rows(  # type: ignore[no-untyped-def]
    data, offsets, limits, s_limit,
    type_, chain_id, nonce, gas_limit, max_fee, max_priority_fee, to, creates, value, spans, signature,
):  # fmt: skip
    """Fill all rows; (-1, 0), or the first bad row and field * FIELD_SHIFT + reason.

    ``spans`` int64[3,N,2] receives where data, access list and the fields of types 3 and 4 lie in ``data``.
    """
    data_b, limits_b, type_b, chain_id_b = borrowed(data), borrowed(limits), borrowed(type_), borrowed(chain_id)
    nonce_b, gas_limit_b, max_fee_b = borrowed(nonce), borrowed(gas_limit), borrowed(max_fee)
    priority_b, to_b, creates_b = borrowed(max_priority_fee), borrowed(to), borrowed(creates)
    value_b, spans_b, signature_b = borrowed(value), borrowed(spans), borrowed(signature)
    for i in range(len(offsets) - 1):
        code = _decode_row(
            data_b, offsets[i], offsets[i + 1], i, limits_b, s_limit, type_b, chain_id_b, nonce_b, gas_limit_b,
            max_fee_b, priority_b, to_b, creates_b, value_b, spans_b, signature_b,
        )  # fmt: skip
        if code != 0:
            return i, code
    return -1, 0


@compiled
def copy_spans(data, spans, offsets, out):  # type: ignore[no-untyped-def]
    """Copy ``data[spans[i,0]:spans[i,1]]`` to ``out[offsets[i]:]`` for all i."""
    for i in range(len(spans)):
        copy_bytes(out, offsets[i], data, spans[i, 0], spans[i, 1])


@compiled
def _legacy_v(chain_id, parity):  # type: ignore[no-untyped-def]
    if chain_id == np.uint64(0):
        return np.uint64(27) + np.uint64(parity)
    return np.uint64(35) + np.uint64(2) * chain_id + np.uint64(parity)


@compiled
def payload_lengths(  # type: ignore[no-untyped-def]
    signed, type_, chain_id, nonce, gas_limit, max_fee, max_priority_fee, creates, value,
    data, data_offsets, access, access_offsets, extra, extra_offsets, signature, out,
):  # fmt: skip
    """Bytes inside the list of every transaction, with or without its signature, into ``out`` int64[N]."""
    for i in range(len(type_)):
        kind = type_[i]
        size = (
            uint64_length(nonce[i])
            + word_length(max_fee, 32 * i)
            + uint64_length(gas_limit[i])
            + word_length(value, 32 * i)
        )
        size += 1 if creates[i] else 21
        size += bytes_length(data, data_offsets[i], data_offsets[i + 1])
        if kind > 0:
            size += uint64_length(chain_id[i])
            size += max(1, access_offsets[i + 1] - access_offsets[i])
            size += extra_offsets[i + 1] - extra_offsets[i]
            if kind > 1:
                size += word_length(max_priority_fee, 32 * i)
        if signed:
            size += word_length(signature, 65 * i) + word_length(signature, 65 * i + 32)
            size += 1 if kind > 0 else uint64_length(_legacy_v(chain_id[i], signature[65 * i + 64]))
        elif kind == 0 and chain_id[i] != np.uint64(0):
            size += uint64_length(chain_id[i]) + 2
        out[i] = size


@compiled
def write_rows(  # type: ignore[no-untyped-def]
    signed, type_, chain_id, nonce, gas_limit, max_fee, max_priority_fee, creates, value,
    data, data_offsets, access, access_offsets, extra, extra_offsets, signature, to, payloads, offsets, out,
):  # fmt: skip
    """Write every transaction, with or without its signature, at ``out[offsets[i]:]``; ``payloads`` as measured.

    Returns -1, or the first row whose bytes did not end at ``offsets[i + 1]``: a fault of the measuring.
    """
    for i in range(len(type_)):
        kind = type_[i]
        at = offsets[i]
        if kind > 0:
            out[at] = kind
            at += 1
        at = write_list_header(out, at, payloads[i])
        if kind > 0:
            at = write_uint64(out, at, chain_id[i])
        at = write_uint64(out, at, nonce[i])
        if kind > 1:
            at = write_word(out, at, max_priority_fee, 32 * i)
        at = write_word(out, at, max_fee, 32 * i)
        at = write_uint64(out, at, gas_limit[i])
        if creates[i]:
            out[at] = 0x80
            at += 1
        else:
            out[at] = 0x94
            at = copy_bytes(out, at + 1, to, 20 * i, 20 * i + 20)
        at = write_word(out, at, value, 32 * i)
        at = write_bytes(out, at, data, data_offsets[i], data_offsets[i + 1])
        if kind > 0:
            if access_offsets[i] == access_offsets[i + 1]:
                out[at] = 0xC0
                at += 1
            at = copy_bytes(out, at, access, access_offsets[i], access_offsets[i + 1])
            at = copy_bytes(out, at, extra, extra_offsets[i], extra_offsets[i + 1])
        if signed:
            if kind > 0:
                at = write_uint64(out, at, np.uint64(signature[65 * i + 64]))
            else:
                at = write_uint64(out, at, _legacy_v(chain_id[i], signature[65 * i + 64]))
            at = write_word(out, at, signature, 65 * i)
            at = write_word(out, at, signature, 65 * i + 32)
        elif kind == 0 and chain_id[i] != np.uint64(0):
            at = write_uint64(out, at, chain_id[i])
            out[at] = 0x80
            out[at + 1] = 0x80
            at += 2
        if at != offsets[i + 1]:
            return i
    return -1


@compiled
def envelope_lengths(type_, payloads, out):  # type: ignore[no-untyped-def]
    """Bytes of every envelope, from the bytes inside its list, into ``out`` int64[N]."""
    for i in range(len(type_)):
        out[i] = list_length(payloads[i]) + (1 if type_[i] > 0 else 0)
