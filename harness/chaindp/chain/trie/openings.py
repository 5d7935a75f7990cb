"""The nodes on the way to keys, a batch at a time: what Merkle proofs of presence and of absence are made of."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from chaindp.chain.trie.arena import (
    B_REC,
    B_VAT,
    B_VLEN,
    BRANCH,
    BRANCH_BYTES,
    CHILD,
    LEAF,
    NONE,
    PLEN,
    REC,
    SHORT_BYTES,
    START,
    T_ROOT,
    UNIT,
    VAT,
    VLEN,
)
from chaindp.chain.trie.compiled import compiled, inlined
from chaindp.chain.trie.encode import INLINE_LIMIT, encoded_size
from chaindp.chain.trie.memory import prefetch
from chaindp.chain.trie.path import common_prefix, nibble
from chaindp.chain.types import Ragged

__all__ = ["TrieProofs"]

AHEAD = 8
"""How many cursors ahead the record of a leaf is asked for; its row twice as far."""


@dataclass(frozen=True, slots=True, eq=False)
class TrieProofs:
    """N Merkle proofs that share their nodes: of presence where ``found``, of absence where not.

    The proof of key i is the nodes numbered ``paths[path_offsets[i]:path_offsets[i+1]]``, root first: every node on the
    key's way that its parent names by a digest, and the root. A node of less than 32 bytes stands inside its parent
    (Yellow Paper, appendix D) and is no element of a proof. Where the key is absent, the last node is the one that
    shows it: a branch without that child, or a leaf or extension with another path. In the empty trie a proof has none.
    """

    nodes: Ragged  # M encodings, each node once
    paths: np.ndarray  # int32[P], numbers of nodes
    path_offsets: np.ndarray  # int64[N+1]
    values: Ragged  # N values; empty where absent
    found: np.ndarray  # bool[N]

    @property
    def count(self) -> int:
        """How many proofs there are."""
        return len(self.found)

    def proof(self, index: int) -> list[bytes]:
        """The encodings of the nodes of proof ``index``, root first."""
        first, last = self.path_offsets[index], self.path_offsets[index + 1]
        return [self.nodes.item(node) for node in self.paths[first:last].tolist()]


@compiled
def start_walks(a, order, tries, cursors):  # type: ignore[no-untyped-def]
    """Put a cursor on the root of the trie of every item of ``order`` int64[N], which is by trie and key; how many.

    ``cursors`` int64[N,3]: item, ref, and how many nibbles of the key lie above the node. There is none for an item
    whose trie is empty.
    """
    count = 0
    for n in range(order.shape[0]):
        ref = np.int64(a.tries[tries[order[n]], T_ROOT])
        if ref != NONE:
            cursors[count, 0] = order[n]
            cursors[count, 1] = ref
            cursors[count, 2] = 0
            count += 1
    return count


@inlined
def _follows(a, row, keys, base, position, length):  # type: ignore[no-untyped-def]
    """Whether the key goes on, from nibble ``position``, with the whole path of short ``row``."""
    count = np.int64(a.short[row, PLEN])
    if count > length - position:
        return False
    start = np.int64(a.short[row, START])
    if (start ^ position) & 1:
        return common_prefix(a, row, keys, base, position, length) == count
    mine = np.int64(a.short[row, REC]) * UNIT + (start >> 1)
    theirs = base + (position >> 1)
    different = np.uint8(0)
    if start & 1 and count:
        different |= (a.heap[mine] ^ keys[theirs]) & np.uint8(0x0F)
        mine += 1
        theirs += 1
        count -= 1
    # Nearly all paths are the key's: to compare all bytes, many at once, beats looking for the first that differs.
    for i in range(count >> 1):
        different |= a.heap[mine + i] ^ keys[theirs + i]
    if count & 1:
        different |= (a.heap[mine + (count >> 1)] ^ keys[theirs + (count >> 1)]) & np.uint8(0xF0)
    return different == 0


@compiled
def walk_level(a, cursors, active, keys, key_offsets, is_root, first, refs, sizes, steps, at, lengths):  # type: ignore[no-untyped-def]
    """Take the first ``active`` cursors one node down: (cursors that go on, nodes, path entries).

    Cursors on one node are neighbours, as the order is by key. ``refs`` int32 and ``sizes`` int64 get the nodes of this
    level, whose numbers go from ``first`` on. ``steps`` int32[active,2] gets an item and a node's number for each
    entry. Where a walk ends at a value, ``at`` and ``lengths`` int64[N] of the item say where in the heap that is.

    All walks advance together, so that their memory is waited for together too: one by one, each step of a walk waits
    for the step before.
    """
    kept = 0
    nodes = 0
    entries = 0
    last = np.int64(NONE)
    number = np.int64(-1)
    for n in range(active):
        if n + 2 * AHEAD < active:
            soon = cursors[n + 2 * AHEAD, 1]
            if soon & 3 == BRANCH:
                prefetch(a.branch_bytes, (soon >> 2) * BRANCH_BYTES)
                prefetch(a.branch_bytes, (soon >> 2) * BRANCH_BYTES + 64)
            else:
                prefetch(a.short_bytes, (soon >> 2) * SHORT_BYTES)
            if cursors[n + AHEAD, 1] & 3 != BRANCH:
                prefetch(a.heap, np.int64(a.short[cursors[n + AHEAD, 1] >> 2, REC]) * UNIT)
        item = cursors[n, 0]
        ref = cursors[n, 1]
        position = cursors[n, 2]
        row = ref >> 2
        if ref != last:
            last = ref
            number = np.int64(-1)
            size = encoded_size(a, ref)
            if is_root or size >= INLINE_LIMIT:
                number = first + nodes
                refs[nodes] = ref
                sizes[nodes] = size
                nodes += 1
        if number >= 0:
            steps[entries, 0] = np.int32(item)
            steps[entries, 1] = np.int32(number)
            entries += 1
        base = key_offsets[item]
        length = 2 * (key_offsets[item + 1] - base)
        child = np.int64(NONE)
        if ref & 3 == BRANCH:
            if position < length:
                child = np.int64(a.branch[row, nibble(keys, base, position)])
                position += 1
            elif a.branch[row, B_REC] != NONE:
                at[item] = np.int64(a.branch[row, B_REC]) * UNIT + a.branch[row, B_VAT]
                lengths[item] = a.branch[row, B_VLEN]
        else:
            if _follows(a, row, keys, base, position, length):
                position += np.int64(a.short[row, PLEN])
                if ref & 3 != LEAF:
                    child = np.int64(a.short[row, CHILD])
                elif position == length:
                    at[item] = np.int64(a.short[row, REC]) * UNIT + a.short[row, VAT]
                    lengths[item] = a.short[row, VLEN]
        if child != NONE:
            cursors[kept, 0] = item
            cursors[kept, 1] = child
            cursors[kept, 2] = position
            kept += 1
    return kept, nodes, entries


@compiled
def paths_by_item(steps, offsets, paths):  # type: ignore[no-untyped-def]
    """Put the entries of all levels into ``paths``, item by item. ``offsets`` int64[N+1] comes as zeros."""
    for n in range(steps.shape[0]):
        offsets[steps[n, 0] + 1] += 1
    for i in range(offsets.shape[0] - 1):
        offsets[i + 1] += offsets[i]
    for n in range(steps.shape[0]):
        item = steps[n, 0]
        paths[offsets[item]] = steps[n, 1]
        offsets[item] += 1
    for i in range(offsets.shape[0] - 1, 0, -1):
        offsets[i] = offsets[i - 1]
    offsets[0] = 0
