"""Insert, replace and delete: the rules of the Merkle Patricia trie (yellow paper, appendix D) over the arena."""

from __future__ import annotations

import numpy as np

from chaindp.chain.trie.arena import (
    B_CAP,
    B_DIRTY,
    B_REC,
    B_VAT,
    B_VLEN,
    BRANCH,
    CAP,
    CHILD,
    DIRTY,
    EXTENSION,
    HASH,
    LARGEST,
    LEAF,
    NEEDED,
    NONE,
    PLEN,
    REC,
    START,
    T_ROOT,
    UNIT,
    VAT,
    VLEN,
    alloc_branch,
    alloc_record,
    alloc_short,
    free_branch,
    free_record,
    free_short,
    has_room,
    rounded_units,
)
from chaindp.chain.trie.compiled import compiled
from chaindp.chain.trie.memory import copy_bytes, prefetch
from chaindp.chain.trie.path import (
    SLOT_EXTENSION,
    SLOT_ROOT,
    append_nibble,
    children_but,
    common_prefix,
    get_at,
    mark_dirty,
    nibble,
    prepend_nibble,
    prepend_path,
    put_at,
)

AHEAD = 12  # items between asking for what an item needs and working on it

# How one operation ended.
UNCHANGED = 0
CHANGED = 1
NEEDS_NODE = 2  # counters[NEEDED] is the location of a node to load; nothing was changed


@compiled
def _same(heap, at, length, data, base, size):  # type: ignore[no-untyped-def]
    if length != size:
        return False
    for i in range(size):  # noqa: SIM110 - numba has no all() over a generator
        if heap[at + i] != data[base + i]:
            return False
    return True


@compiled
def _new_leaf(a, keys, kbase, position, length, values, vbase, vlen):  # type: ignore[no-untyped-def]
    """A leaf for the key's nibbles from ``position``. Its record holds the whole key, so that the path can grow in
    place.
    """
    path_bytes = (length + 1) >> 1
    units = rounded_units(path_bytes + vlen)
    record = alloc_record(a, units)
    at = record * UNIT
    copy_bytes(a.heap, at, keys, kbase, path_bytes)
    at += path_bytes
    copy_bytes(a.heap, at, values, vbase, vlen)
    row = alloc_short(a)
    a.short[row, REC] = np.int32(record)
    a.short[row, CAP] = np.int32(units)
    a.short[row, START] = np.int32(position)
    a.short[row, PLEN] = np.int32(length - position)
    a.short[row, VAT] = np.int32(path_bytes)
    a.short[row, VLEN] = np.int32(vlen)
    return row * 4 + LEAF


@compiled
def _new_extension(a, keys, kbase, position, count, child):  # type: ignore[no-untyped-def]
    """An extension with a dirty child, for ``count`` nibbles of the key from ``position``."""
    path_bytes = (position + count + 1) >> 1
    units = rounded_units(path_bytes)
    record = alloc_record(a, units)
    copy_bytes(a.heap, record * UNIT, keys, kbase, path_bytes)
    row = alloc_short(a)
    a.short[row, REC] = np.int32(record)
    a.short[row, CAP] = np.int32(units)
    a.short[row, START] = np.int32(position)
    a.short[row, PLEN] = np.int32(count)
    a.short[row, CHILD] = np.int32(child)
    a.short[row, DIRTY] = 1
    return row * 4 + EXTENSION


@compiled
def _replace_value(a, row, values, vbase, vlen):  # type: ignore[no-untyped-def]
    """Write a new value into leaf ``row``, in its record where it fits."""
    at = np.int64(a.short[row, REC]) * UNIT
    start = np.int64(a.short[row, VAT])
    units = rounded_units(start + vlen)
    if units != a.short[row, CAP]:
        record = alloc_record(a, units)
        copy_bytes(a.heap, record * UNIT, a.heap, at, start)
        free_record(a, a.short[row, REC], a.short[row, CAP])
        a.short[row, REC] = np.int32(record)
        a.short[row, CAP] = np.int32(units)
        at = record * UNIT
    copy_bytes(a.heap, at + start, values, vbase, vlen)
    a.short[row, VLEN] = np.int32(vlen)


@compiled
def _set_branch_value(a, row, values, vbase, vlen):  # type: ignore[no-untyped-def]
    """Give branch ``row`` a value; whether that changed anything."""
    if a.branch[row, B_REC] != NONE:
        at = np.int64(a.branch[row, B_REC]) * UNIT + a.branch[row, B_VAT]
        if _same(a.heap, at, a.branch[row, B_VLEN], values, vbase, vlen):
            return False
        free_record(a, a.branch[row, B_REC], a.branch[row, B_CAP])
    units = rounded_units(vlen)
    record = alloc_record(a, units)
    copy_bytes(a.heap, record * UNIT, values, vbase, vlen)
    a.branch[row, B_REC] = np.int32(record)
    a.branch[row, B_CAP] = np.int32(units)
    a.branch[row, B_VAT] = 0
    a.branch[row, B_VLEN] = np.int32(vlen)
    return True


@compiled
def _split(a, ref, shared, keys, kbase, position, length, values, vbase, vlen):  # type: ignore[no-untyped-def]
    """Replace a leaf or extension, of whose path only ``shared`` nibbles are the key's, by a branch; the ref of what
    replaces it.
    """
    row = ref >> 2
    branch = alloc_branch(a)
    rest = np.int64(a.short[row, PLEN]) - shared
    if ref & 3 == LEAF and rest == 0:
        # The leaf's value becomes the branch's; the record moves with it.
        a.branch[branch, B_REC] = a.short[row, REC]
        a.branch[branch, B_CAP] = a.short[row, CAP]
        a.branch[branch, B_VAT] = a.short[row, VAT]
        a.branch[branch, B_VLEN] = a.short[row, VLEN]
        free_short(a, row)
    else:
        index = nibble(a.heap, np.int64(a.short[row, REC]) * UNIT, np.int64(a.short[row, START]) + shared)
        if ref & 3 == EXTENSION and rest == 1:
            a.branch[branch, index] = a.short[row, CHILD]
            a.branch[branch, B_DIRTY] |= np.int32(a.short[row, DIRTY] << index)
            free_record(a, a.short[row, REC], a.short[row, CAP])
            free_short(a, row)
        else:
            a.short[row, START] += np.int32(shared + 1)
            a.short[row, PLEN] = np.int32(rest - 1)
            a.branch[branch, index] = np.int32(ref)
            a.branch[branch, B_DIRTY] |= np.int32(1 << index)
    if position + shared == length:
        _set_branch_value(a, branch, values, vbase, vlen)
    else:
        index = nibble(keys, kbase, position + shared)
        leaf = _new_leaf(a, keys, kbase, position + shared + 1, length, values, vbase, vlen)
        a.branch[branch, index] = np.int32(leaf)
        a.branch[branch, B_DIRTY] |= np.int32(1 << index)
    new = branch * 4 + BRANCH
    if shared > 0:
        new = _new_extension(a, keys, kbase, position, shared, new)
    return new


@compiled
def set_item(a, trie, keys, kbase, length, values, vbase, vlen, path):  # type: ignore[no-untyped-def]
    """Map a key of ``length`` nibbles to a value of at least one byte. ``path``: int64, room for ``length + 2``
    locations.
    """
    depth = 0
    position = 0
    path[0] = trie * 32 + SLOT_ROOT
    ref = np.int64(a.tries[trie, T_ROOT])
    while True:
        if ref == NONE:
            put_at(a, path[depth], _new_leaf(a, keys, kbase, position, length, values, vbase, vlen))
            break
        kind = ref & 3
        row = ref >> 2
        if kind == BRANCH:
            if position == length:
                if not _set_branch_value(a, row, values, vbase, vlen):
                    return UNCHANGED
                break
            index = nibble(keys, kbase, position)
            depth += 1
            path[depth] = row * 32 + index
            position += 1
            ref = np.int64(a.branch[row, index])
        elif kind == HASH:
            a.counters[NEEDED] = path[depth]
            return NEEDS_NODE
        else:
            shared = common_prefix(a, row, keys, kbase, position, length)
            whole = shared == a.short[row, PLEN]
            if kind == EXTENSION and whole:
                depth += 1
                path[depth] = row * 32 + SLOT_EXTENSION
                position += shared
                ref = np.int64(a.short[row, CHILD])
            elif kind == LEAF and whole and position + shared == length:
                at = np.int64(a.short[row, REC]) * UNIT + a.short[row, VAT]
                if _same(a.heap, at, a.short[row, VLEN], values, vbase, vlen):
                    return UNCHANGED
                _replace_value(a, row, values, vbase, vlen)
                break
            else:
                new = _split(a, ref, shared, keys, kbase, position, length, values, vbase, vlen)
                put_at(a, path[depth], new)
                break
    mark_dirty(a, path, depth)
    return CHANGED


@compiled
def _value_to_leaf(a, branch):  # type: ignore[no-untyped-def]
    """A leaf with an empty path that takes over the value of ``branch``."""
    row = alloc_short(a)
    a.short[row, REC] = a.branch[branch, B_REC]
    a.short[row, CAP] = a.branch[branch, B_CAP]
    # The path is empty and ends where the value starts, so it can grow to the front over what the record held there.
    a.short[row, START] = 2 * a.branch[branch, B_VAT]
    a.short[row, PLEN] = 0
    a.short[row, VAT] = a.branch[branch, B_VAT]
    a.short[row, VLEN] = a.branch[branch, B_VLEN]
    return row


@compiled
def _collapse(a, branch, child, path, depth):  # type: ignore[no-untyped-def]
    """Replace a branch with one thing left, child ``child`` or (-1) its value. The branch is at ``path[depth]``."""
    above = np.int64(NONE)
    if path[depth] & 31 == SLOT_EXTENSION:
        above = path[depth] >> 5
    if child < 0:
        new = np.int64(_value_to_leaf(a, branch)) * 4 + LEAF
    else:
        new = np.int64(a.branch[branch, child])
        dirty = (a.branch[branch, B_DIRTY] >> child) & 1
        if new & 3 != BRANCH:
            prepend_nibble(a, new >> 2, child, new & 3 == LEAF)
        elif above != NONE:
            append_nibble(a, above, child)
            a.short[above, CHILD] = np.int32(new)
            a.short[above, DIRTY] = np.int32(dirty)
            free_branch(a, branch)
            mark_dirty(a, path, depth - 1)
            return
        else:
            row = alloc_short(a)
            record = alloc_record(a, 1)
            a.heap[record * UNIT] = np.uint8(child)
            a.short[row, REC] = np.int32(record)
            a.short[row, CAP] = 1
            a.short[row, START] = 1
            a.short[row, PLEN] = 1
            a.short[row, CHILD] = np.int32(new)
            a.short[row, DIRTY] = np.int32(dirty)
            new = np.int64(row) * 4 + EXTENSION
    free_branch(a, branch)
    if above != NONE:
        prepend_path(a, new >> 2, above, new & 3 == LEAF)
        free_record(a, a.short[above, REC], a.short[above, CAP])
        free_short(a, above)
        depth -= 1
    put_at(a, path[depth], new)
    mark_dirty(a, path, depth)


@compiled
def delete_item(a, trie, keys, kbase, length, path):  # type: ignore[no-untyped-def]
    """Remove a key of ``length`` nibbles. ``path`` as for ``set_item``."""
    depth = 0
    position = 0
    path[0] = trie * 32 + SLOT_ROOT
    ref = np.int64(a.tries[trie, T_ROOT])
    while True:
        if ref == NONE:
            return UNCHANGED
        kind = ref & 3
        row = ref >> 2
        if kind == BRANCH:
            if position == length:
                break
            index = nibble(keys, kbase, position)
            depth += 1
            path[depth] = row * 32 + index
            position += 1
            ref = np.int64(a.branch[row, index])
        elif kind == HASH:
            a.counters[NEEDED] = path[depth]
            return NEEDS_NODE
        else:
            shared = common_prefix(a, row, keys, kbase, position, length)
            if shared != a.short[row, PLEN]:
                return UNCHANGED
            position += shared
            if kind == LEAF:
                if position != length:
                    return UNCHANGED
                break
            depth += 1
            path[depth] = row * 32 + SLOT_EXTENSION
            ref = np.int64(a.short[row, CHILD])

    if ref & 3 == LEAF:
        leaf = ref >> 2
        if depth == 0:
            free_record(a, a.short[leaf, REC], a.short[leaf, CAP])
            free_short(a, leaf)
            put_at(a, path[0], NONE)
            mark_dirty(a, path, 0)
            return CHANGED
        branch = path[depth] >> 5
        gone = path[depth] & 31
        count, last = children_but(a, branch, gone)
        has_value = a.branch[branch, B_REC] != NONE
        collapses = count + has_value == 1
        if collapses and not has_value and a.branch[branch, last] & 3 == HASH:
            a.counters[NEEDED] = branch * 32 + last
            return NEEDS_NODE
        free_record(a, a.short[leaf, REC], a.short[leaf, CAP])
        free_short(a, leaf)
        a.branch[branch, gone] = NONE
        a.branch[branch, B_DIRTY] &= np.int32(~(1 << gone))
        depth -= 1
    else:
        branch = ref >> 2
        if a.branch[branch, B_REC] == NONE:
            return UNCHANGED
        count, last = children_but(a, branch, -1)
        has_value = False
        collapses = count == 1
        if collapses and a.branch[branch, last] & 3 == HASH:
            a.counters[NEEDED] = branch * 32 + last
            return NEEDS_NODE
        free_record(a, a.branch[branch, B_REC], a.branch[branch, B_CAP])
        a.branch[branch, B_REC] = NONE
    if collapses:
        _collapse(a, branch, -1 if has_value else last, path, depth)
    else:
        mark_dirty(a, path, depth)
    return CHANGED


@compiled
def apply_items(a, order, first, tries, keys, key_offsets, values, value_offsets, path):  # type: ignore[no-untyped-def]
    """Set or (empty value) delete the items ``order[first:]`` in that order.

    Returns (done, status, changed): how far it got, NEEDS_NODE where item ``order[done]`` needs a node loaded, CHANGED
    where it needs more room, UNCHANGED where all are done; and how many of the items changed a trie.
    """
    changed = 0
    for n in range(first, order.shape[0]):
        item = order[n]
        # The order jumps about in the batch: without asking ahead, waiting for keys and values is most of the time.
        if n + 2 * AHEAD < order.shape[0]:
            prefetch(value_offsets, order[n + 2 * AHEAD])
            prefetch(key_offsets, order[n + 2 * AHEAD])
            prefetch(tries, order[n + 2 * AHEAD])
        if n + AHEAD < order.shape[0]:
            soon = order[n + AHEAD]
            prefetch(keys, key_offsets[soon])
            prefetch(values, value_offsets[soon])
            prefetch(values, value_offsets[soon] + 64)
        kbase = key_offsets[item]
        size = key_offsets[item + 1] - kbase
        vbase = value_offsets[item]
        vlen = value_offsets[item + 1] - vbase
        # More than one operation can take: a split makes an extension and a leaf, a collapse copies one record and a
        # path.
        units = 4 * (rounded_units(size + vlen) + a.counters[LARGEST] + 1)
        if not has_room(a, 4, 1, 0, units):
            return n, CHANGED, changed
        if vlen > 0:
            status = set_item(a, tries[item], keys, kbase, 2 * size, values, vbase, vlen, path)
        else:
            status = delete_item(a, tries[item], keys, kbase, 2 * size, path)
        if status == NEEDS_NODE:
            return n, NEEDS_NODE, changed
        changed += status
    return order.shape[0], UNCHANGED, changed


@compiled
def find_hashes(a, items, tries, keys, key_offsets, value_offsets, out_items, out_locations):  # type: ignore[no-untyped-def]
    """Which of ``items`` reach a node that is not loaded, and where those nodes are: (items found, locations found).

    Each node is named once. For a delete that would leave one child that is not loaded, that child counts too.
    ``out_items`` int64[n], ``out_locations`` int64[n].
    """
    found = 0
    wanted = 0
    for n in range(items.shape[0]):
        item = items[n]
        kbase = key_offsets[item]
        length = 2 * (key_offsets[item + 1] - kbase)
        deletes = value_offsets[item + 1] == value_offsets[item]
        location = np.int64(tries[item]) * 32 + SLOT_ROOT
        above = np.int64(NONE)
        position = 0
        while True:
            ref = np.int64(get_at(a, location))
            if ref == NONE:
                break
            row = ref >> 2
            kind = ref & 3
            if kind == HASH:
                out_items[found] = item
                found += 1
                if a.hash_mark[row] == 0:
                    a.hash_mark[row] = 1
                    out_locations[wanted] = location
                    wanted += 1
                break
            if kind == BRANCH:
                if position == length:
                    if deletes and a.branch[row, B_REC] != NONE:
                        above = row * 32 + SLOT_ROOT
                    break
                location = row * 32 + nibble(keys, kbase, position)
                position += 1
                continue
            shared = common_prefix(a, row, keys, kbase, position, length)
            if shared != a.short[row, PLEN]:
                break
            position += shared
            if kind == LEAF:
                if deletes and position == length and location & 31 < SLOT_EXTENSION:
                    above = location
                break
            location = row * 32 + SLOT_EXTENSION
        if above != NONE:
            branch = above >> 5
            gone = above & 31
            left, only = children_but(a, branch, gone)
            if gone != SLOT_ROOT and a.branch[branch, B_REC] != NONE:
                left += 1
            if left == 1 and only >= 0 and a.branch[branch, only] & 3 == HASH:
                row = np.int64(a.branch[branch, only]) >> 2
                if a.hash_mark[row] == 0:
                    a.hash_mark[row] = 1
                    out_locations[wanted] = branch * 32 + only
                    wanted += 1
    return found, wanted
