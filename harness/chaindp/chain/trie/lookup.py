"""Reading values out of the arena, a batch at a time."""

from __future__ import annotations

import numpy as np

from chaindp.chain.trie.arena import (
    B_REC,
    B_VAT,
    B_VLEN,
    BRANCH,
    CHILD,
    HASH,
    LEAF,
    NONE,
    PLEN,
    REC,
    T_ROOT,
    UNIT,
    VAT,
    VLEN,
)
from chaindp.chain.trie.compiled import compiled
from chaindp.chain.trie.memory import copy_bytes
from chaindp.chain.trie.path import common_prefix, nibble


@compiled
def find_value(a, trie, keys, base, length):  # type: ignore[no-untyped-def]
    """Where in the heap the value of a key lies: (byte, bytes); (-1, 0) where there is none. All nodes on the way are
    loaded.
    """
    position = 0
    ref = np.int64(a.tries[trie, T_ROOT])
    while ref != NONE:
        kind = ref & 3
        row = ref >> 2
        if kind == BRANCH:
            if position == length:
                if a.branch[row, B_REC] == NONE:
                    break
                at = np.int64(a.branch[row, B_REC]) * UNIT + a.branch[row, B_VAT]
                return at, np.int64(a.branch[row, B_VLEN])
            ref = np.int64(a.branch[row, nibble(keys, base, position)])
            position += 1
        elif kind == HASH:
            break
        else:
            shared = common_prefix(a, row, keys, base, position, length)
            if shared != a.short[row, PLEN]:
                break
            position += shared
            if kind == LEAF:
                if position != length:
                    break
                return np.int64(a.short[row, REC]) * UNIT + a.short[row, VAT], np.int64(a.short[row, VLEN])
            ref = np.int64(a.short[row, CHILD])
    return np.int64(-1), np.int64(0)


@compiled
def find_values(a, tries, keys, key_offsets, at, offsets):  # type: ignore[no-untyped-def]
    """Fill ``at`` int64[N] with where each key's value lies in the heap (-1: nowhere), and ``offsets`` int64[N+1]."""
    offsets[0] = 0
    for i in range(at.shape[0]):
        base = key_offsets[i]
        at[i], length = find_value(a, tries[i], keys, base, 2 * (key_offsets[i + 1] - base))
        offsets[i + 1] = offsets[i] + length


@compiled
def copy_values(a, at, offsets, out):  # type: ignore[no-untyped-def]
    """Copy the values that ``find_values`` found end to end into ``out``."""
    for i in range(at.shape[0]):
        first = offsets[i]
        copy_bytes(out, first, a.heap, at[i], offsets[i + 1] - first)
