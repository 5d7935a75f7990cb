"""Paths in nibbles: inside keys and inside records, and the locations at which a parent holds its child."""

from __future__ import annotations

import numpy as np

from chaindp.chain.trie.arena import (
    B_DIRTY,
    CAP,
    CHILD,
    DIRTY,
    PLEN,
    REC,
    START,
    T_DIRTY,
    T_ROOT,
    UNIT,
    VAT,
    VLEN,
    alloc_record,
    free_record,
    rounded_units,
)
from chaindp.chain.trie.compiled import compiled
from chaindp.chain.trie.memory import copy_bytes

# A location is int64 ``row * 32 + slot``: slots 0 to 15 are a branch's children, the others are these.
SLOT_EXTENSION = 16
SLOT_ROOT = 17  # the row is then that of the table of tries


@compiled
def nibble(data, base, position):  # type: ignore[no-untyped-def]
    """Nibble ``position`` of the bytes that start at ``base``, high nibble first."""
    byte = np.int64(data[base + (position >> 1)])
    return byte & 15 if position & 1 else byte >> 4


@compiled
def set_nibble(data, base, position, value):  # type: ignore[no-untyped-def]
    """Overwrite nibble ``position`` of the bytes that start at ``base``."""
    at = base + (position >> 1)
    byte = np.int64(data[at])
    data[at] = np.uint8((byte & 0xF0) | value) if position & 1 else np.uint8((byte & 0x0F) | (value << 4))


@compiled
def common_prefix(a, row, keys, base, position, length):  # type: ignore[no-untyped-def]
    """How many nibbles the path of short ``row`` shares with the key's nibbles ``position`` to ``length``."""
    record = np.int64(a.short[row, REC]) * UNIT
    start = np.int64(a.short[row, START])
    limit = min(np.int64(a.short[row, PLEN]), length - position)
    heap = a.heap
    n = 0
    if (start ^ position) & 1 == 0:
        # Same alignment: whole bytes can be compared.
        if start & 1 and limit > 0:
            if nibble(heap, record, start) != nibble(keys, base, position):
                return 0
            n = 1
        mine = record + ((start + n) >> 1)
        theirs = base + ((position + n) >> 1)
        while n + 2 <= limit and heap[mine] == keys[theirs]:
            n += 2
            mine += 1
            theirs += 1
    while n < limit and nibble(heap, record, start + n) == nibble(keys, base, position + n):
        n += 1
    return n


@compiled
def prepend_room(a, row, count, is_leaf):  # type: ignore[no-untyped-def]
    """Lengthen the path of short ``row`` by ``count`` nibbles in front, which the caller then writes."""
    start = np.int64(a.short[row, START])
    if start < count:
        shift = (count - start + 1) >> 1
        path_bytes = (start + np.int64(a.short[row, PLEN]) + 1) >> 1
        size = np.int64(a.short[row, VAT]) + np.int64(a.short[row, VLEN]) if is_leaf else path_bytes
        units = rounded_units(size + shift)
        old = np.int64(a.short[row, REC])
        new = alloc_record(a, units)
        copy_bytes(a.heap, new * UNIT + shift, a.heap, old * UNIT, size)
        free_record(a, old, a.short[row, CAP])
        a.short[row, REC] = np.int32(new)
        a.short[row, CAP] = np.int32(units)
        if is_leaf:
            a.short[row, VAT] += np.int32(shift)
        start += 2 * shift
    a.short[row, START] = np.int32(start - count)
    a.short[row, PLEN] += np.int32(count)


@compiled
def prepend_nibble(a, row, value, is_leaf):  # type: ignore[no-untyped-def]
    """Put one nibble in front of the path of short ``row``."""
    prepend_room(a, row, 1, is_leaf)
    set_nibble(a.heap, np.int64(a.short[row, REC]) * UNIT, np.int64(a.short[row, START]), value)


@compiled
def prepend_path(a, row, source, is_leaf):  # type: ignore[no-untyped-def]
    """Put the whole path of short ``source`` in front of the path of short ``row``."""
    count = np.int64(a.short[source, PLEN])
    prepend_room(a, row, count, is_leaf)
    mine = np.int64(a.short[row, REC]) * UNIT
    theirs = np.int64(a.short[source, REC]) * UNIT
    for i in range(count):
        value = nibble(a.heap, theirs, np.int64(a.short[source, START]) + i)
        set_nibble(a.heap, mine, np.int64(a.short[row, START]) + i, value)


@compiled
def append_nibble(a, row, value):  # type: ignore[no-untyped-def]
    """Put one nibble behind the path of extension ``row``."""
    end = np.int64(a.short[row, START]) + np.int64(a.short[row, PLEN])
    have = np.int64(a.short[row, CAP])
    if (end >> 1) >= have * UNIT:
        units = rounded_units((end >> 1) + 1)
        old = np.int64(a.short[row, REC])
        new = alloc_record(a, units)
        copy_bytes(a.heap, new * UNIT, a.heap, old * UNIT, have * UNIT)
        free_record(a, old, have)
        a.short[row, REC] = np.int32(new)
        a.short[row, CAP] = np.int32(units)
    set_nibble(a.heap, np.int64(a.short[row, REC]) * UNIT, end, value)
    a.short[row, PLEN] += np.int32(1)


@compiled
def get_at(a, location):  # type: ignore[no-untyped-def]
    """The ref at a location."""
    row = location >> 5
    slot = location & 31
    if slot < SLOT_EXTENSION:
        return a.branch[row, slot]
    if slot == SLOT_EXTENSION:
        return a.short[row, CHILD]
    return a.tries[row, T_ROOT]


@compiled
def put_at(a, location, ref):  # type: ignore[no-untyped-def]
    """Make ``ref`` the node at a location. Marks nothing dirty."""
    row = location >> 5
    slot = location & 31
    if slot < SLOT_EXTENSION:
        a.branch[row, slot] = np.int32(ref)
    elif slot == SLOT_EXTENSION:
        a.short[row, CHILD] = np.int32(ref)
    else:
        a.tries[row, T_ROOT] = np.int32(ref)


@compiled
def mark_dirty(a, path, depth):  # type: ignore[no-untyped-def]
    """Mark the nodes at locations ``path[0..depth]`` dirty, deepest first.

    What is above a dirty node is dirty already, so the walk ends at the first one.
    """
    for d in range(depth, -1, -1):
        row = path[d] >> 5
        slot = path[d] & 31
        if slot < SLOT_EXTENSION:
            bit = np.int32(1 << slot)
            if a.branch[row, B_DIRTY] & bit:
                return
            a.branch[row, B_DIRTY] |= bit
        elif slot == SLOT_EXTENSION:
            if a.short[row, DIRTY]:
                return
            a.short[row, DIRTY] = 1
        else:
            a.tries[row, T_DIRTY] = 1


@compiled
def children_but(a, branch, index):  # type: ignore[no-untyped-def]
    """How many children a branch has apart from child ``index`` (which may be none), and which is the last: (count,
    last).
    """
    count = 0
    last = -1
    for i in range(16):
        if i != index and a.branch[branch, i] != -1:
            count += 1
            last = i
    return count, last
