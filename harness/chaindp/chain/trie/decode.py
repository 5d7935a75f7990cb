"""From RLP encodings of nodes to rows: strict, so that a damaged or forged node is refused and never half believed."""

from __future__ import annotations

import numpy as np

from chaindp.chain.trie.arena import (
    B_CAP,
    B_ENC,
    B_REC,
    B_VAT,
    B_VLEN,
    BRANCH,
    BRANCH_BYTES,
    BRANCH_DIGEST,
    CAP,
    CHILD,
    DIRTY,
    ENC,
    EXTENSION,
    HASH,
    LEAF,
    NONE,
    PLEN,
    REC,
    SHORT_BYTES,
    SHORT_DIGEST,
    START,
    UNIT,
    VAT,
    VLEN,
    alloc_branch,
    alloc_hash,
    alloc_record,
    alloc_short,
    free_hash,
    has_room,
    rounded_units,
)
from chaindp.chain.trie.compiled import compiled, compiled_allocating
from chaindp.chain.trie.encode import INLINE_LIMIT
from chaindp.chain.trie.memory import copy_bytes
from chaindp.chain.trie.path import SLOT_EXTENSION, get_at, put_at

MALFORMED = -2


@compiled
def read_item(data, at, end):  # type: ignore[no-untyped-def]
    """One RLP item of ``data[at:end]``: (payload start, payload end, is a list); start -1 where it is not canonical
    RLP.
    """
    bad = (np.int64(-1), np.int64(-1), False)
    if at >= end:
        return bad
    first = np.int64(data[at])
    if first < 0x80:
        return at, at + 1, False
    is_list = first >= 0xC0
    short = first - (0xC0 if is_list else 0x80)
    if short <= 55:
        start = at + 1
        length = short
    else:
        size = short - 55
        # Seven bytes of length already exceed any buffer; eight could overflow.
        if size > 7 or at + 1 + size > end or data[at + 1] == 0:
            return bad
        length = np.int64(0)
        for i in range(size):
            length = length << 8 | np.int64(data[at + 1 + i])
        if length <= 55:
            return bad
        start = at + 1 + size
    if length > end - start:
        return bad
    if not is_list and length == 1 and data[start] < 0x80:
        return bad
    return start, start + length, is_list


@compiled
def _copy_record(a, data, start, stop):  # type: ignore[no-untyped-def]
    units = rounded_units(stop - start)
    record = alloc_record(a, units)
    copy_bytes(a.heap, record * UNIT, data, start, stop - start)
    return record, units


@compiled
def _decode_leaf(a, data, starts, value_is_list, odd, size):  # type: ignore[no-untyped-def]
    path_bytes = starts[0, 2] - starts[0, 1]
    length = starts[1, 2] - starts[1, 1]
    if value_is_list or length == 0:
        return np.int64(MALFORMED)
    units = rounded_units(path_bytes + length)
    record = alloc_record(a, units)
    copy_bytes(a.heap, record * UNIT, data, starts[0, 1], path_bytes)
    copy_bytes(a.heap, record * UNIT + path_bytes, data, starts[1, 1], length)
    row = alloc_short(a)
    a.short[row, REC] = np.int32(record)
    a.short[row, CAP] = np.int32(units)
    a.short[row, START] = np.int32(2 - odd)
    a.short[row, PLEN] = np.int32(2 * (path_bytes - 1) + odd)
    a.short[row, VAT] = np.int32(path_bytes)
    a.short[row, VLEN] = np.int32(length)
    a.short[row, ENC] = np.int32(size)
    return np.int64(row) * 4 + LEAF


@compiled_allocating
def decode_node(a, data, at, end):  # type: ignore[no-untyped-def]
    """The ref of a new node for the encoding ``data[at:end]``, its digest not set; MALFORMED where it is none.

    After MALFORMED some rows of that one node may be left over that nothing refers to.
    """
    start, stop, is_list = read_item(data, at, end)
    if start < 0 or not is_list or stop != end:
        return np.int64(MALFORMED)
    items = 0
    starts = np.empty((17, 3), dtype=np.int64)
    lists = np.zeros(17, dtype=np.bool_)
    position = start
    while position < stop:
        if items == 17:
            return np.int64(MALFORMED)
        first, last, inner = read_item(data, position, stop)
        if first < 0:
            return np.int64(MALFORMED)
        starts[items, 0] = position
        starts[items, 1] = first
        starts[items, 2] = last
        lists[items] = inner
        items += 1
        position = last
    odd = np.int64(0)
    if items == 2:
        if lists[0] or starts[0, 1] == starts[0, 2]:
            return np.int64(MALFORMED)
        flag = np.int64(data[starts[0, 1]])
        odd = flag >> 4 & 1
        if flag >> 6 or (not odd and flag & 15):
            return np.int64(MALFORMED)
        if flag & 0x20:
            return _decode_leaf(a, data, starts, lists[1], odd, end - at)
        if starts[0, 2] - starts[0, 1] == 1 and not odd:
            return np.int64(MALFORMED)
    elif items != 17:
        return np.int64(MALFORMED)

    first_child = 1 if items == 2 else 0
    children = np.empty(16, dtype=np.int64)
    present = 0
    for i in range(1 if items == 2 else 16):
        begin = starts[first_child + i, 0]
        first = starts[first_child + i, 1]
        last = starts[first_child + i, 2]
        child = np.int64(NONE)
        if lists[first_child + i]:
            if last - begin >= INLINE_LIMIT:
                return np.int64(MALFORMED)
            child = decode_node(a, data, begin, last)
            if child == MALFORMED:
                return np.int64(MALFORMED)
        elif last - first == 32:
            row = alloc_hash(a)
            copy_bytes(a.hash_bytes, row * 32, data, first, 32)
            child = np.int64(row) * 4 + HASH
        elif last != first:
            return np.int64(MALFORMED)
        children[i] = child
        present += child != NONE

    if items == 2:
        # What stands below an extension is a branch; one that is hashed is checked when it is loaded.
        child = children[0]
        if child == NONE or child & 3 == LEAF or child & 3 == EXTENSION:
            return np.int64(MALFORMED)
        row = alloc_short(a)
        record, units = _copy_record(a, data, starts[0, 1], starts[0, 2])
        a.short[row, REC] = np.int32(record)
        a.short[row, CAP] = np.int32(units)
        a.short[row, START] = np.int32(2 - odd)
        a.short[row, PLEN] = np.int32(2 * (starts[0, 2] - starts[0, 1] - 1) + odd)
        a.short[row, CHILD] = np.int32(child)
        a.short[row, DIRTY] = 0
        a.short[row, ENC] = np.int32(end - at)
        return np.int64(row) * 4 + EXTENSION

    has_value = starts[16, 2] > starts[16, 1]
    if lists[16] or present + has_value < 2:
        return np.int64(MALFORMED)
    branch = alloc_branch(a)
    for i in range(16):
        a.branch[branch, i] = np.int32(children[i])
    if has_value:
        record, units = _copy_record(a, data, starts[16, 1], starts[16, 2])
        a.branch[branch, B_REC] = np.int32(record)
        a.branch[branch, B_CAP] = np.int32(units)
        a.branch[branch, B_VAT] = 0
        a.branch[branch, B_VLEN] = np.int32(starts[16, 2] - starts[16, 1])
    a.branch[branch, B_ENC] = np.int32(end - at)
    return np.int64(branch) * 4 + BRANCH


@compiled_allocating
def load_nodes(a, locations, first, data, offsets):  # type: ignore[no-untyped-def]
    """Replace the hash nodes at ``locations[first:]`` by what their encodings say.

    Returns (done, ok): all done; or out of room at ``done`` (ok), or ``done`` is malformed (not ok).
    """
    for n in range(first, locations.shape[0]):
        at = offsets[n]
        size = offsets[n + 1] - at
        # An item is a byte at least, and an inlined node three, so the encoding's own length bounds what it can make.
        nodes = min(size, 16 * 32)
        if not has_room(a, nodes, nodes, nodes, 2 * rounded_units(size) + nodes):
            return n, True
        old = np.int64(get_at(a, locations[n])) >> 2
        new = decode_node(a, data, at, at + size)
        if new == MALFORMED:
            return n, False
        row = new >> 2
        if new & 3 == BRANCH:
            copy_bytes(a.branch_bytes, row * BRANCH_BYTES + BRANCH_DIGEST, a.hash_bytes, old * 32, 32)
        else:
            if locations[n] & 31 == SLOT_EXTENSION:
                return n, False
            copy_bytes(a.short_bytes, row * SHORT_BYTES + SHORT_DIGEST, a.hash_bytes, old * 32, 32)
        put_at(a, locations[n], new)
        free_hash(a, old)
    return locations.shape[0], True


@compiled
def unmark(a, locations, first):  # type: ignore[no-untyped-def]
    """Forget that the nodes at ``locations[first:]`` were asked for, so that they can be asked for again."""
    for n in range(first, locations.shape[0]):
        a.hash_mark[np.int64(get_at(a, locations[n])) >> 2] = 0


@compiled
def digests_at(a, locations, out):  # type: ignore[no-untyped-def]
    """The digests of the hash nodes at ``locations`` into ``out`` uint8[N,32]."""
    for n in range(locations.shape[0]):
        row = np.int64(get_at(a, locations[n])) >> 2
        copy_bytes(out, n * 32, a.hash_bytes, row * 32, 32)
