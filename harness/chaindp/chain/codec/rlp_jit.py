"""RLP for compiled code: the readers and writers that the columnar codecs are made of.

Readers never raise: they return a reason code (``OK`` or one of ``REASONS``), because a compiled loop over a batch has
to say which row and field was wrong. Writers trust their caller to have measured the output with the ``*_length``
functions.

256-bit words are 32 bytes at an offset of a flat buffer: a column of words is passed as ``column.reshape(-1)``.
Indices are cast to ``uint64``: with signed ones numba tests for negative values, which keeps LLVM from making wide
moves of a copy (68 bytes took 67 ns, and take 4 ns).

Source: Ethereum Yellow Paper, appendix B.
"""

from __future__ import annotations

import numpy as np
from numba.extending import intrinsic

from chaindp.kernels.compilation import compiled

__all__ = [
    "OK",
    "REASONS",
    "borrowed",
    "bytes_length",
    "copy_bytes",
    "list_length",
    "read_header",
    "read_uint",
    "read_uint64",
    "read_word",
    "readonly",
    "uint64_length",
    "word_length",
    "write_bytes",
    "write_list_header",
    "write_uint64",
    "write_word",
]

OK = 0
MISSING = 1
LENGTH_CUT = 2
LENGTH_ZERO = 3
LENGTH_LONG_FORM = 4
OVERRUN = 5
NEEDLESS_PREFIX = 6
NOT_BYTES = 7
NOT_LIST = 8
LEADING_ZERO = 9
TOO_LARGE = 10
WRONG_SIZE = 11
TRAILING = 12

REASONS = {
    MISSING: "is missing",
    LENGTH_CUT: "its length is cut off",
    LENGTH_ZERO: "its length has a leading zero",
    LENGTH_LONG_FORM: "its length is in the long form without need",
    OVERRUN: "claims more bytes than are left",
    NEEDLESS_PREFIX: "is a single byte with a needless prefix",
    NOT_BYTES: "is a list where a byte string is expected",
    NOT_LIST: "is a byte string where a list is expected",
    LEADING_ZERO: "is an integer with a leading zero",
    TOO_LARGE: "is an integer that is too large",
    WRONG_SIZE: "has the wrong number of bytes",
    TRAILING: "has bytes or fields after its end",
}
"""Reason code to words that follow the name of a field."""


def readonly(array: np.ndarray) -> np.ndarray:
    """A read-only C-contiguous view (or copy), so that compiled code sees one array type and is compiled once."""
    view = np.ascontiguousarray(array).view()
    view.flags.writeable = False
    return view


@intrinsic
def borrowed(context, array):  # type: ignore[no-untyped-def]
    """The same array without an owner: valid as long as the caller holds ``array``.

    Numba counts references around calls with atomic instructions, which took half of the time of decoding.
    """

    def generate(context, builder, signature, args):  # type: ignore[no-untyped-def]
        view = context.make_array(signature.args[0])(context, builder, value=args[0])
        view.meminfo = view.meminfo.type(None)
        return view._getvalue()

    return array(array), generate


@compiled
def copy_bytes(out, position, data, start, stop):  # type: ignore[no-untyped-def]
    """Copy ``data[start:stop]`` to ``out[position:]``; returns the position after it."""
    to, source = np.uint64(position), np.uint64(start)
    for k in range(np.uint64(stop - start)):
        out[to + k] = data[source + k]
    return position + stop - start


@compiled
def read_header(data, position, end):  # type: ignore[no-untyped-def]
    """(reason, payload start, payload stop, is list) of the item at ``position``; nothing from ``end`` on is read."""
    if position >= end:
        return MISSING, position, position, False
    first = np.int64(data[np.uint64(position)])
    if first < 0x80:
        return OK, position, position + 1, False
    is_list = first >= 0xC0
    length = first - (0xC0 if is_list else 0x80)
    start = position + 1
    if length >= 56:
        digits = length - 55
        if digits > end - start:
            return LENGTH_CUT, position, position, is_list
        if data[np.uint64(start)] == 0:
            return LENGTH_ZERO, position, position, is_list
        length = np.int64(0)
        for k in range(digits):
            # Stopping at the first value beyond what is left keeps eight hostile digits from overflowing.
            length = (length << 8) | np.int64(data[np.uint64(start + k)])
            if length > end - start:
                return OVERRUN, position, position, is_list
        if length < 56:
            return LENGTH_LONG_FORM, position, position, is_list
        start += digits
    if length > end - start:
        return OVERRUN, position, position, is_list
    if length == 1 and not is_list and data[np.uint64(start)] < 0x80:
        return NEEDLESS_PREFIX, position, position, is_list
    return OK, start, start + length, is_list


@compiled
def read_uint(data, position, end, max_bytes):  # type: ignore[no-untyped-def]
    """(reason, digits start, digits stop) of the canonical integer of at most ``max_bytes`` bytes at ``position``."""
    reason, start, stop, is_list = read_header(data, position, end)
    if reason != OK:
        return reason, start, stop
    if is_list:
        return NOT_BYTES, start, stop
    if stop > start and data[np.uint64(start)] == 0:
        return LEADING_ZERO, start, stop
    if stop - start > max_bytes:
        return TOO_LARGE, start, stop
    return OK, start, stop


@compiled
def read_uint64(data, position, end):  # type: ignore[no-untyped-def]
    """(reason, value uint64, position after the item) of the canonical integer below 2**64 at ``position``."""
    reason, start, stop = read_uint(data, position, end, 8)
    value = np.uint64(0)
    if reason == OK:
        for k in range(np.uint64(start), np.uint64(stop)):
            value = (value << np.uint64(8)) | np.uint64(data[k])
    return reason, value, stop


@compiled
def read_word(data, position, end, words, at):  # type: ignore[no-untyped-def]
    """(reason, position after): the canonical integer below 2**256 at ``position`` into ``words[at:at + 32]``."""
    reason, start, stop = read_uint(data, position, end, 32)
    if reason == OK:
        first = np.uint64(at)
        for k in range(np.uint64(32)):
            words[first + k] = 0
        copy_bytes(words, at + 32 - (stop - start), data, start, stop)
    return reason, stop


@compiled
def uint64_length(value):  # type: ignore[no-untyped-def]
    """Bytes of the RLP of an unsigned 64-bit integer: 1 to 9."""
    if value < np.uint64(0x80):
        return 1
    size = 1
    while value > np.uint64(0):
        size += 1
        value >>= np.uint64(8)
    return size


@compiled
def write_uint64(out, position, value):  # type: ignore[no-untyped-def]
    """Write the RLP of an unsigned 64-bit integer; returns the position after it."""
    if value == np.uint64(0):
        out[np.uint64(position)] = 0x80
        return position + 1
    if value < np.uint64(0x80):
        out[np.uint64(position)] = value
        return position + 1
    size = uint64_length(value) - 1
    out[np.uint64(position)] = 0x80 + size
    for k in range(size):
        out[np.uint64(position + size - k)] = value & np.uint64(0xFF)
        value >>= np.uint64(8)
    return position + 1 + size


@compiled
def _leading_zeros(words, at):  # type: ignore[no-untyped-def]
    first = 0
    while first < 32 and words[np.uint64(at + first)] == 0:
        first += 1
    return first


@compiled
def word_length(words, at):  # type: ignore[no-untyped-def]
    """Bytes of the RLP of the integer in ``words[at:at + 32]``: 1 to 33."""
    first = _leading_zeros(words, at)
    if first == 32 or (first == 31 and words[np.uint64(at + 31)] < 0x80):
        return 1
    return 33 - first


@compiled
def write_word(out, position, words, at):  # type: ignore[no-untyped-def]
    """Write the RLP of the integer in ``words[at:at + 32]``; returns the position after it."""
    first = _leading_zeros(words, at)
    if first < 31 or (first == 31 and words[np.uint64(at + 31)] >= 0x80):
        out[np.uint64(position)] = 0x80 + 32 - first
        return copy_bytes(out, position + 1, words, at + first, at + 32)
    out[np.uint64(position)] = 0x80 if first == 32 else words[np.uint64(at + 31)]
    return position + 1


@compiled
def list_length(payload):  # type: ignore[no-untyped-def]
    """Bytes of a list (or of a string that needs a prefix) with ``payload`` bytes, its header included."""
    if payload < 56:
        return 1 + payload
    size = 1
    rest = payload
    while rest > 0:
        size += 1
        rest >>= 8
    return size + payload


@compiled
def _write_header(out, position, base, payload):  # type: ignore[no-untyped-def]
    if payload < 56:
        out[np.uint64(position)] = base + payload
        return position + 1
    digits = list_length(payload) - payload - 1
    out[np.uint64(position)] = base + 55 + digits
    rest = payload
    for k in range(digits):
        out[np.uint64(position + digits - k)] = rest & 0xFF
        rest >>= 8
    return position + 1 + digits


@compiled
def write_list_header(out, position, payload):  # type: ignore[no-untyped-def]
    """Write the header of a list with ``payload`` bytes; returns the position after it."""
    return _write_header(out, position, 0xC0, payload)


@compiled
def bytes_length(data, start, stop):  # type: ignore[no-untyped-def]
    """Bytes of the RLP of the string ``data[start:stop]``."""
    if stop - start == 1 and data[np.uint64(start)] < 0x80:
        return 1
    return list_length(stop - start)


@compiled
def write_bytes(out, position, data, start, stop):  # type: ignore[no-untyped-def]
    """Write the RLP of the string ``data[start:stop]``; returns the position after it."""
    if not (stop - start == 1 and data[np.uint64(start)] < 0x80):
        position = _write_header(out, position, 0x80, stop - start)
    return copy_bytes(out, position, data, start, stop)
