"""Recursive Length Prefix in plain Python, for headers, tests and other cold paths.

Decoding accepts exactly the canonical encoding of each item, so that ``encode(decode(x)) == x`` for all accepted ``x``:
lengths are minimal and bounded by the bytes that are there before they are used, a single byte below 0x80 stands for
itself, nothing follows the item, and nesting is bounded. The hot paths are in ``rlp_jit``.

Source: Ethereum Yellow Paper, appendix B.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from chaindp.errors import InputError

__all__ = [
    "MAX_DEPTH",
    "RlpItem",
    "as_bytes",
    "as_list",
    "as_uint",
    "decode",
    "encode",
    "item_span",
    "list_spans",
    "uint",
]

RlpItem: TypeAlias = bytes | Sequence["RlpItem"]
"""What RLP can hold: a byte string, or a list of items."""

MAX_DEPTH = 64
"""How deep lists may nest. No Ethereum object nests deeper than 8; Python's stack ends near 1000."""


def uint(value: int) -> bytes:
    """The big-endian bytes of a non-negative integer without leading zeros; empty for 0. InputError where negative."""
    if value < 0:
        raise InputError(f"RLP has no negative integers: {value}")
    return value.to_bytes((value.bit_length() + 7) // 8, "big")


def _header(base: int, length: int) -> bytes:
    if length < 56:
        return bytes([base + length])
    digits = uint(length)
    return bytes([base + 55 + len(digits)]) + digits


def encode(item: RlpItem, *, max_depth: int = MAX_DEPTH) -> bytes:
    """The RLP of nested byte strings and lists (or tuples).

    InputError for other types and for nesting beyond ``max_depth``.
    """
    if isinstance(item, bytes | bytearray | memoryview):
        payload = bytes(item)
        return payload if len(payload) == 1 and payload[0] < 0x80 else _header(0x80, len(payload)) + payload
    if not isinstance(item, list | tuple):
        raise InputError(f"RLP holds bytes and lists, not {type(item).__name__}")
    if max_depth <= 0:
        raise InputError(f"RLP: lists nest deeper than {MAX_DEPTH}")
    payload = b"".join([encode(part, max_depth=max_depth - 1) for part in item])
    return _header(0xC0, len(payload)) + payload


def item_span(data: bytes, position: int, end: int) -> tuple[int, int, bool]:
    """Payload start and stop of the item at ``position``, and whether it is a list.

    Nothing at or after ``end`` is read. InputError with the offset where the header is not canonical or the item does
    not end by ``end``.
    """
    if position >= end:
        raise InputError(f"RLP: an item is missing at byte {position}")
    first = data[position]
    if first < 0x80:
        return position, position + 1, False
    is_list = first >= 0xC0
    short = first - (0xC0 if is_list else 0x80)
    if short < 56:
        start, length = position + 1, short
    else:
        digits = short - 55
        start = position + 1 + digits
        if start > end:
            raise InputError(f"RLP: the length at byte {position} is cut off")
        if data[position + 1] == 0:
            raise InputError(f"RLP: the length at byte {position} has a leading zero")
        length = int.from_bytes(data[position + 1 : start], "big")
        if length < 56:
            raise InputError(f"RLP: the length {length} at byte {position} is in the long form")
    if length > end - start:
        raise InputError(f"RLP: the item at byte {position} claims {length} bytes, {end - start} are left")
    if length == 1 and not is_list and data[start] < 0x80:
        raise InputError(f"RLP: the single byte at byte {position} has a needless prefix")
    return start, start + length, is_list


def _decode_item(data: bytes, position: int, end: int, depth: int) -> tuple[RlpItem, int]:
    start, stop, is_list = item_span(data, position, end)
    if not is_list:
        return data[start:stop], stop
    if depth <= 0:
        raise InputError(f"RLP: lists nest too deep at byte {position}")
    items: list[RlpItem] = []
    position = start
    while position < stop:
        item, position = _decode_item(data, position, stop, depth - 1)
        items.append(item)
    return items, stop


def decode(data: bytes, *, max_depth: int = MAX_DEPTH) -> RlpItem:
    """The one item that ``data`` encodes canonically: ``bytes``, or nested lists of them.

    InputError with the byte offset for anything else, trailing bytes and nesting beyond ``max_depth`` included.
    """
    item, end = _decode_item(data, 0, len(data), max_depth)
    if end != len(data):
        raise InputError(f"RLP: {len(data) - end} bytes follow the item that ends at byte {end}")
    return item


def list_spans(data: bytes, start: int = 0, end: int | None = None) -> list[tuple[int, int]]:
    """Where each item of the list ``data[start:end]`` begins and ends, headers included.

    Only this one level is checked. InputError where it is not a list, is not canonical at this level, or does not end
    at ``end``.
    """
    end = len(data) if end is None else end
    position, stop, is_list = item_span(data, start, end)
    if not is_list:
        raise InputError(f"RLP: a list is expected at byte {start}, there is a byte string")
    if stop != end:
        raise InputError(f"RLP: {end - stop} bytes follow the list that ends at byte {stop}")
    spans = []
    while position < stop:
        item_end = item_span(data, position, stop)[1]
        spans.append((position, item_end))
        position = item_end
    return spans


def as_bytes(item: RlpItem, field: str, length: int | None = None) -> bytes:
    """``item`` as a byte string, of exactly ``length`` bytes where given; InputError naming ``field`` otherwise."""
    if not isinstance(item, bytes):
        raise InputError(f"{field}: a byte string is expected, there is a list")
    if length is not None and len(item) != length:
        raise InputError(f"{field}: {length} bytes are expected, there are {len(item)}")
    return item


def as_uint(item: RlpItem, field: str, bits: int = 64) -> int:
    """``item`` as a canonical unsigned integer below 2**bits; InputError naming ``field`` otherwise."""
    digits = as_bytes(item, field)
    if digits[:1] == b"\0":
        raise InputError(f"{field}: the integer has a leading zero")
    if len(digits) * 8 > bits:
        raise InputError(f"{field}: the integer has {len(digits)} bytes, at most {bits // 8} fit")
    return int.from_bytes(digits, "big")


def as_list(item: RlpItem, field: str, length: int | None = None) -> Sequence[RlpItem]:
    """``item`` as a list, of exactly ``length`` items where one is given; InputError naming ``field`` otherwise."""
    if isinstance(item, bytes):
        raise InputError(f"{field}: a list is expected, there is a byte string")
    if length is not None and len(item) != length:
        raise InputError(f"{field}: {length} items are expected, there are {len(item)}")
    return item
