"""The memory of a forest of tries: columns of nodes, a heap of paths and values, free lists, and how they grow.

A *ref* is an int32 that names a node: ``row * 4 + kind``, or ``NONE`` where there is no node. Leaves and extensions
share one table of 64-byte rows, branches have one of 128-byte rows: one or two cache lines hold everything that a visit
needs, the node's digest included. A node that is known by its digest only lives in the ``hash`` table until it is
loaded.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from chaindp.chain.trie.compiled import compiled

# Kinds, in the two low bits of a ref.
LEAF = 0
EXTENSION = 1
BRANCH = 2
HASH = 3
NONE = -1

# Columns of a short row (leaf or extension), int32[16]; the digest fills columns 8 to 15.
REC = 0  # where the record starts in the heap, in units of 16 bytes
CAP = 1  # how long the record is, in units
START = 2  # nibble of the record at which the path starts
PLEN = 3  # nibbles in the path
VAT = 4  # leaf: byte of the record at which the value starts
VLEN = 5  # leaf: bytes in the value
ENC = 6  # bytes in the node's RLP encoding; stale while the node is dirty
WORK = 7  # place in the batch that is being hashed
CHILD = 4  # extension: ref of the child
DIRTY = 5  # extension: 1 where the child is dirty
SHORT_DIGEST = 32  # byte of the row
SHORT_BYTES = 64

# Columns of a branch row, int32[32]: 16 children, then these; the digest fills columns 24 to 31.
B_REC = 16  # record that holds the branch's own value, NONE where it has none
B_CAP = 17
B_VAT = 18
B_VLEN = 19
B_ENC = 20
B_DIRTY = 21  # bit i set where child i is dirty
B_WORK = 22
BRANCH_DIGEST = 96
BRANCH_BYTES = 128

# Columns of the table of tries.
T_ROOT = 0
T_DIRTY = 1

# Counters.
SHORT_USED = 0
SHORT_FREE = 1  # heads of the free lists, NONE where empty
BRANCH_USED = 2
BRANCH_FREE = 3
HASH_USED = 4
HASH_FREE = 5
HEAP_USED = 6  # units
LARGEST = 7  # units in the largest record so far
NEEDED = 8  # location of a node that an operation must have loaded first
HEAP_LIVE = 9  # units in live records
SHORT_LIVE = 10
BRANCH_LIVE = 11
HASH_LIVE = 12
COUNTERS = 13

UNIT = 16
SMALL_UNITS = 64  # records up to here have a free list a size; longer ones are rounded up to a power of two
FREE_LISTS = SMALL_UNITS + 1 + 31


class Arena(NamedTuple):
    """The columns. ``*_bytes`` are the same memory as bytes."""

    short: np.ndarray  # int32[S,16]
    short_bytes: np.ndarray  # uint8[S,64]
    branch: np.ndarray  # int32[B,32]
    branch_bytes: np.ndarray  # uint8[B,128]
    hash_bytes: np.ndarray  # uint8[H,32]
    hash_mark: np.ndarray  # int32[H]: 1 where the node is asked for; next free row in a free one
    heap: np.ndarray  # uint8[units*16]
    heap_free: np.ndarray  # int32[FREE_LISTS]
    counters: np.ndarray  # int64[COUNTERS]
    tries: np.ndarray  # int32[T,2]


def aligned(shape: tuple[int, ...], dtype: type) -> np.ndarray:
    """An uninitialised array that starts on a cache line, so that a row never straddles one more than it must."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    raw = np.empty(size + 64, dtype=np.uint8)
    skip = -raw.ctypes.data % 64
    return raw[skip : skip + size].view(dtype).reshape(shape)


def new_arena(shorts: int = 64, branches: int = 32, hashes: int = 64, units: int = 512, tries: int = 8) -> Arena:
    """An empty arena with room for so many rows, heap units and tries."""
    short = aligned((shorts, 16), np.int32)
    branch = aligned((branches, 32), np.int32)
    counters = np.zeros(COUNTERS, dtype=np.int64)
    counters[[SHORT_FREE, BRANCH_FREE, HASH_FREE, NEEDED]] = NONE
    roots = np.zeros((tries, 2), dtype=np.int32)
    roots[:, T_ROOT] = NONE
    return Arena(
        short,
        short.view(np.uint8),
        branch,
        branch.view(np.uint8),
        np.empty((hashes, 32), dtype=np.uint8),
        np.empty(hashes, dtype=np.int32),
        aligned((units * UNIT,), np.uint8),
        np.full(FREE_LISTS, NONE, dtype=np.int32),
        counters,
        roots,
    )


def _grown(old: np.ndarray, used: int, rows: int) -> np.ndarray:
    new = aligned((rows, *old.shape[1:]), old.dtype.type)
    new[:used] = old[:used]
    return new


def reserve(arena: Arena, shorts: int, branches: int, hashes: int, units: int) -> Arena:
    """The arena, or a larger copy of it, with room for so many further rows and units beyond what is in use.

    A table that is too small grows by half at least, so that growing costs a constant time per row in all.
    """
    used = arena.counters
    changes: dict[str, np.ndarray] = {}
    if used[SHORT_USED] + shorts > len(arena.short):
        short = _grown(arena.short, used[SHORT_USED], max(len(arena.short) * 3 // 2, int(used[SHORT_USED]) + shorts))
        changes |= {"short": short, "short_bytes": short.view(np.uint8)}
    if used[BRANCH_USED] + branches > len(arena.branch):
        rows = max(len(arena.branch) * 3 // 2, int(used[BRANCH_USED]) + branches)
        branch = _grown(arena.branch, used[BRANCH_USED], rows)
        changes |= {"branch": branch, "branch_bytes": branch.view(np.uint8)}
    if used[HASH_USED] + hashes > len(arena.hash_mark):
        rows = max(len(arena.hash_mark) * 3 // 2, int(used[HASH_USED]) + hashes)
        changes["hash_bytes"] = _grown(arena.hash_bytes, used[HASH_USED], rows)
        changes["hash_mark"] = _grown(arena.hash_mark, used[HASH_USED], rows)
    have = len(arena.heap) // UNIT
    if used[HEAP_USED] + units > have:
        rows = max(have * 3 // 2, int(used[HEAP_USED]) + units)
        changes["heap"] = _grown(arena.heap, int(used[HEAP_USED]) * UNIT, rows * UNIT)
    return arena._replace(**changes) if changes else arena


def memory_bytes(arena: Arena) -> int:
    """Bytes that the rows and records in use take (what the arrays reserve beyond that is not touched)."""
    used = arena.counters
    rows = int(used[SHORT_USED]) * 64 + int(used[BRANCH_USED]) * 128 + int(used[HASH_USED]) * 36
    return rows + int(used[HEAP_USED]) * UNIT + arena.tries.nbytes


@compiled
def has_room(a, shorts, branches, hashes, units):  # type: ignore[no-untyped-def]
    """Whether so many more rows and units fit without growing, whatever the free lists hold."""
    c = a.counters
    return (
        c[SHORT_USED] + shorts <= a.short.shape[0]
        and c[BRANCH_USED] + branches <= a.branch.shape[0]
        and c[HASH_USED] + hashes <= a.hash_mark.shape[0]
        and c[HEAP_USED] + units <= a.heap.shape[0] // UNIT
    )


@compiled
def rounded_units(size):  # type: ignore[no-untyped-def]
    """Units that a record of ``size`` bytes gets: exact up to SMALL_UNITS, then the next power of two."""
    units = max(1, (size + UNIT - 1) // UNIT)
    if units > SMALL_UNITS:
        power = SMALL_UNITS
        while power < units:
            power *= 2
        units = power
    return units


@compiled
def _free_list(units):  # type: ignore[no-untyped-def]
    if units <= SMALL_UNITS:
        return units
    which = SMALL_UNITS
    power = SMALL_UNITS
    while power < units:
        power *= 2
        which += 1
    return which


@compiled
def alloc_record(a, units):  # type: ignore[no-untyped-def]
    """First unit of a record of ``units`` (as ``rounded_units`` gives them); the caller has made sure of room."""
    which = _free_list(units)
    a.counters[HEAP_LIVE] += units
    head = a.heap_free[which]
    if head != NONE:
        at = np.int64(head) * UNIT
        link = np.uint32(0)
        for i in range(4):
            link |= np.uint32(a.heap[at + i]) << np.uint32(8 * i)
        a.heap_free[which] = np.int32(link)
        return np.int64(head)
    first = a.counters[HEAP_USED]
    a.counters[HEAP_USED] = first + units
    a.counters[LARGEST] = max(a.counters[LARGEST], units)
    return first


@compiled
def free_record(a, first, units):  # type: ignore[no-untyped-def]
    """Give a record back: its first four bytes link it into the free list of its size."""
    which = _free_list(units)
    link = np.uint32(a.heap_free[which])
    at = np.int64(first) * UNIT
    for i in range(4):
        a.heap[at + i] = np.uint8((link >> np.uint32(8 * i)) & np.uint32(255))
    a.heap_free[which] = np.int32(first)
    a.counters[HEAP_LIVE] -= units


@compiled
def alloc_short(a):  # type: ignore[no-untyped-def]
    """A free short row; its columns hold what was there before."""
    a.counters[SHORT_LIVE] += 1
    row = a.counters[SHORT_FREE]
    if row != NONE:
        a.counters[SHORT_FREE] = a.short[row, 0]
        return row
    row = a.counters[SHORT_USED]
    a.counters[SHORT_USED] = row + 1
    return row


@compiled
def free_short(a, row):  # type: ignore[no-untyped-def]
    """Give a short row back; its record is not touched."""
    a.short[row, 0] = np.int32(a.counters[SHORT_FREE])
    a.counters[SHORT_FREE] = row
    a.counters[SHORT_LIVE] -= 1


@compiled
def alloc_branch(a):  # type: ignore[no-untyped-def]
    """A branch row without children and value."""
    a.counters[BRANCH_LIVE] += 1
    row = a.counters[BRANCH_FREE]
    if row != NONE:
        a.counters[BRANCH_FREE] = a.branch[row, 0]
    else:
        row = a.counters[BRANCH_USED]
        a.counters[BRANCH_USED] = row + 1
    for i in range(B_REC + 1):
        a.branch[row, i] = NONE
    a.branch[row, B_DIRTY] = 0
    return row


@compiled
def free_branch(a, row):  # type: ignore[no-untyped-def]
    """Give a branch row back; its value's record is not touched."""
    a.branch[row, 0] = np.int32(a.counters[BRANCH_FREE])
    a.counters[BRANCH_FREE] = row
    a.counters[BRANCH_LIVE] -= 1


@compiled
def alloc_hash(a):  # type: ignore[no-untyped-def]
    """A free row for a node known by its digest."""
    a.counters[HASH_LIVE] += 1
    row = a.counters[HASH_FREE]
    if row != NONE:
        a.counters[HASH_FREE] = a.hash_mark[row]
    else:
        row = a.counters[HASH_USED]
        a.counters[HASH_USED] = row + 1
    a.hash_mark[row] = 0
    return row


@compiled
def free_hash(a, row):  # type: ignore[no-untyped-def]
    """Give a row of the hash table back."""
    a.hash_mark[row] = np.int32(a.counters[HASH_FREE])
    a.counters[HASH_FREE] = row
    a.counters[HASH_LIVE] -= 1


@compiled
def free_subtree(a, ref, stack):  # type: ignore[no-untyped-def]
    """Give back all nodes below and at ``ref``. ``stack``: int32, 16 entries a level of the trie."""
    if ref == NONE:
        return
    top = 1
    stack[0] = ref
    while top > 0:
        top -= 1
        kind = stack[top] & 3
        row = stack[top] >> 2
        if kind == HASH:
            free_hash(a, row)
        elif kind == BRANCH:
            for i in range(16):
                if a.branch[row, i] != NONE:
                    stack[top] = a.branch[row, i]
                    top += 1
            if a.branch[row, B_REC] != NONE:
                free_record(a, a.branch[row, B_REC], a.branch[row, B_CAP])
            free_branch(a, row)
        else:
            free_record(a, a.short[row, REC], a.short[row, CAP])
            if kind == EXTENSION:
                stack[top] = a.short[row, CHILD]
                top += 1
            free_short(a, row)
