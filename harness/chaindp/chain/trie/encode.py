"""From dirty nodes to digests: collect them, measure and encode them level by level, and store what the kernel
returns.
"""

from __future__ import annotations

import numpy as np

from chaindp.chain.trie.arena import (
    B_DIRTY,
    B_ENC,
    B_REC,
    B_VAT,
    B_VLEN,
    B_WORK,
    BRANCH,
    BRANCH_BYTES,
    BRANCH_DIGEST,
    CHILD,
    DIRTY,
    ENC,
    HASH,
    LEAF,
    NONE,
    PLEN,
    REC,
    SHORT_BYTES,
    SHORT_DIGEST,
    START,
    T_DIRTY,
    T_ROOT,
    UNIT,
    VAT,
    VLEN,
    WORK,
)
from chaindp.chain.trie.compiled import compiled, compiled_allocating, inlined
from chaindp.chain.trie.memory import copy_bytes, prefetch
from chaindp.chain.trie.path import nibble

INLINE_LIMIT = 32  # a node shorter than this stands in its parent itself instead of its digest
NODES_AHEAD = 4  # how far ahead of its encoding what a node consists of is asked for
INLINED = -1  # the height of such a node in ``collect``


@inlined
def header_size(length):  # type: ignore[no-untyped-def]
    """Bytes of an RLP header for a payload of ``length`` bytes (not of the single byte that is its own encoding)."""
    size = 1
    if length > 55:
        while length > 0:
            size += 1
            length >>= 8
    return size


@inlined
def payload_of(size):  # type: ignore[no-untyped-def]
    """Bytes of payload in an RLP list of ``size`` bytes: the inverse of adding ``header_size``."""
    header = 1
    while header_size(size - header) != header:
        header += 1
    return size - header


@compiled
def string_size(data, at, length):  # type: ignore[no-untyped-def]
    """Bytes of the RLP encoding of a byte string."""
    if length == 1 and data[at] < 0x80:
        return 1
    return header_size(length) + length


@inlined
def write_header(out, at, length, base):  # type: ignore[no-untyped-def]
    """Write an RLP header, ``base`` 0x80 for a string and 0xc0 for a list; the position behind it."""
    if length <= 55:
        out[at] = np.uint8(base + length)
        return at + 1
    size = header_size(length) - 1
    out[at] = np.uint8(base + 55 + size)
    for i in range(size):
        out[at + 1 + i] = np.uint8((length >> (8 * (size - 1 - i))) & 255)
    return at + 1 + size


@compiled
def write_string(out, at, data, start, length):  # type: ignore[no-untyped-def]
    """Write a byte string in RLP; the position behind it."""
    if length != 1 or data[start] >= 0x80:
        at = write_header(out, at, length, 0x80)
    copy_bytes(out, at, data, start, length)
    return at + length


@inlined
def encoded_size(a, ref):  # type: ignore[no-untyped-def]
    """Bytes of a loaded node's RLP encoding, from its row."""
    if ref & 3 == BRANCH:
        return np.int64(a.branch[ref >> 2, B_ENC])
    return np.int64(a.short[ref >> 2, ENC])


@inlined
def _child_size(a, ref):  # type: ignore[no-untyped-def]
    if ref == NONE:
        return 1
    if ref & 3 == HASH:
        return 33
    size = encoded_size(a, ref)
    return size if size < INLINE_LIMIT else 33


@inlined
def _payload_size(a, ref):  # type: ignore[no-untyped-def]
    row = ref >> 2
    if ref & 3 == BRANCH:
        size = np.int64(1)
        if a.branch[row, B_REC] != NONE:
            at = np.int64(a.branch[row, B_REC]) * UNIT + a.branch[row, B_VAT]
            size = string_size(a.heap, at, np.int64(a.branch[row, B_VLEN]))
        for i in range(16):
            size += _child_size(a, np.int64(a.branch[row, i]))
        return size
    compact = (np.int64(a.short[row, PLEN]) >> 1) + 1
    size = compact + (header_size(compact) if compact > 1 else 0)
    if ref & 3 == LEAF:
        at = np.int64(a.short[row, REC]) * UNIT + a.short[row, VAT]
        return size + string_size(a.heap, at, np.int64(a.short[row, VLEN]))
    return size + _child_size(a, np.int64(a.short[row, CHILD]))


@compiled
def collect(a, tries, stack, refs, heights):  # type: ignore[no-untyped-def]
    """All dirty nodes of ``tries``, children before parents, with their encoded sizes brought up to date.

    ``stack``: int32[depth,3]. ``refs`` int32 and ``heights`` int32 are filled; returns how many. The height of a node
    is how many levels of hashed dirty nodes lie below it; that of an inlined one is INLINED.
    """
    count = 0
    for t in range(tries.shape[0]):
        trie = tries[t]
        if not a.tries[trie, T_DIRTY] or a.tries[trie, T_ROOT] == NONE:
            continue
        top = 1
        stack[0, 0] = a.tries[trie, T_ROOT]
        stack[0, 1] = 0
        stack[0, 2] = -1
        while top > 0:
            ref = np.int64(stack[top - 1, 0])
            row = ref >> 2
            child = np.int64(NONE)
            if ref & 3 == BRANCH:
                i = stack[top - 1, 1]
                mask = a.branch[row, B_DIRTY] >> i
                if mask:
                    while mask & 1 == 0:
                        mask >>= 1
                        i += 1
                    child = np.int64(a.branch[row, i])
                    stack[top - 1, 1] = i + 1
            elif ref & 3 != LEAF and a.short[row, DIRTY] and stack[top - 1, 1] == 0:
                child = np.int64(a.short[row, CHILD])
                stack[top - 1, 1] = 1
            if child != NONE:
                stack[top, 0] = child
                stack[top, 1] = 0
                stack[top, 2] = -1
                top += 1
                continue
            payload = _payload_size(a, ref)
            size = payload + header_size(payload)
            if ref & 3 == BRANCH:
                a.branch[row, B_ENC] = np.int32(size)
            else:
                a.short[row, ENC] = np.int32(size)
            height = stack[top - 1, 2] + 1
            top -= 1
            refs[count] = ref
            if size < INLINE_LIMIT and top > 0:
                heights[count] = INLINED
            else:
                heights[count] = height
                if top > 0:
                    stack[top - 1, 2] = max(stack[top - 1, 2], height)
            count += 1
    return count


@compiled_allocating
def arrange(a, refs, heights, level_offsets, batch, offsets):  # type: ignore[no-untyped-def]
    """Put the hashed nodes in the order of the batch, lowest first, and note in each row where it went.

    ``level_offsets`` int64[levels+1] comes as zeros; ``batch`` int32[N] and ``offsets`` int64[N+1] are filled;
    returns how many splices there will be.
    """
    for n in range(refs.shape[0]):
        if heights[n] != INLINED:
            level_offsets[heights[n] + 1] += 1
    for level in range(1, level_offsets.shape[0]):
        level_offsets[level] += level_offsets[level - 1]
    fill = level_offsets.copy()
    for n in range(refs.shape[0]):
        if heights[n] == INLINED:
            continue
        place = fill[heights[n]]
        fill[heights[n]] = place + 1
        ref = np.int64(refs[n])
        batch[place] = ref
        if ref & 3 == BRANCH:
            a.branch[ref >> 2, B_WORK] = np.int32(place)
        else:
            a.short[ref >> 2, WORK] = np.int32(place)
    splices = 0
    offsets[0] = 0
    for n in range(batch.shape[0]):
        ref = np.int64(batch[n])
        offsets[n + 1] = offsets[n] + encoded_size(a, ref)
        if ref & 3 == BRANCH:
            mask = a.branch[ref >> 2, B_DIRTY]
            for i in range(16):
                if mask >> i & 1 and encoded_size(a, np.int64(a.branch[ref >> 2, i])) >= INLINE_LIMIT:
                    splices += 1
        elif ref & 3 != LEAF and a.short[ref >> 2, DIRTY]:
            splices += encoded_size(a, np.int64(a.short[ref >> 2, CHILD])) >= INLINE_LIMIT
    return splices


@inlined
def _write_path(a, row, out, at, is_leaf):  # type: ignore[no-untyped-def]
    """The path of a short node in hex-prefix encoding (yellow paper, appendix C), as an RLP string."""
    length = np.int64(a.short[row, PLEN])
    record = np.int64(a.short[row, REC]) * UNIT
    start = np.int64(a.short[row, START])
    compact = (length >> 1) + 1
    if compact > 1:
        at = write_header(out, at, compact, 0x80)
    flag = 0x20 if is_leaf else 0
    if length & 1:
        flag |= 0x10 | nibble(a.heap, record, start)
        start += 1
    out[at] = np.uint8(flag)
    if start & 1 == 0:
        first = record + (start >> 1)
        copy_bytes(out, at + 1, a.heap, first, compact - 1)
    else:
        for i in range(compact - 1):
            high = nibble(a.heap, record, start + 2 * i)
            out[at + 1 + i] = np.uint8(high << 4 | nibble(a.heap, record, start + 2 * i + 1))
    return at + compact


@inlined
def _write_leaf(a, row, out, at):  # type: ignore[no-untyped-def]
    at = _write_path(a, row, out, at, True)
    value = np.int64(a.short[row, REC]) * UNIT + a.short[row, VAT]
    return write_string(out, at, a.heap, value, np.int64(a.short[row, VLEN]))


@inlined
def _write_branch_value(a, row, out, at):  # type: ignore[no-untyped-def]
    if a.branch[row, B_REC] == NONE:
        out[at] = 0x80
        return at + 1
    value = np.int64(a.branch[row, B_REC]) * UNIT + a.branch[row, B_VAT]
    return write_string(out, at, a.heap, value, np.int64(a.branch[row, B_VLEN]))


@compiled
def _write_inlined(a, ref, out, at):  # type: ignore[no-untyped-def]
    """Encode a node that stands in its parent itself; what is below it is inlined too. The position behind it."""
    row = ref >> 2
    at = write_header(out, at, encoded_size(a, ref) - 1, 0xC0)
    if ref & 3 == LEAF:
        return _write_leaf(a, row, out, at)
    if ref & 3 != BRANCH:
        at = _write_path(a, row, out, at, False)
        return _write_inlined(a, np.int64(a.short[row, CHILD]), out, at)
    for i in range(16):
        child = np.int64(a.branch[row, i])
        if child == NONE:
            out[at] = 0x80
            at += 1
        else:
            at = _write_inlined(a, child, out, at)
    return _write_branch_value(a, row, out, at)


@inlined
def _write_child(a, child, dirty, out, at):  # type: ignore[no-untyped-def]
    """Encode a parent's reference to a child: (position behind, place in the batch of the node whose digest is missing,
    or -1).
    """
    row = child >> 2
    if child == NONE:
        out[at] = 0x80
        return at + 1, np.int64(-1)
    missing = np.int64(-1)
    if child & 3 == HASH:
        copy_bytes(out, at + 1, a.hash_bytes, row * 32, 32)
    elif encoded_size(a, child) < INLINE_LIMIT:
        return _write_inlined(a, child, out, at), missing
    elif dirty:
        for i in range(32):
            out[at + 1 + i] = 0
        missing = np.int64(a.branch[row, B_WORK]) if child & 3 == BRANCH else np.int64(a.short[row, WORK])
    elif child & 3 == BRANCH:
        copy_bytes(out, at + 1, a.branch_bytes, row * BRANCH_BYTES + BRANCH_DIGEST, 32)
    else:
        copy_bytes(out, at + 1, a.short_bytes, row * SHORT_BYTES + SHORT_DIGEST, 32)
    out[at] = 0xA0
    return at + 33, missing


@inlined
def _prefetch_row(a, ref):  # type: ignore[no-untyped-def]
    row = ref >> 2
    if ref & 3 == BRANCH:
        prefetch(a.branch_bytes, row * BRANCH_BYTES)
        prefetch(a.branch_bytes, row * BRANCH_BYTES + 64)
    else:
        prefetch(a.short_bytes, row * SHORT_BYTES)


@inlined
def _prefetch_parts(a, ref):  # type: ignore[no-untyped-def]
    """Ask for what encoding a node reads: its record, or the sizes and digests in the rows of its children."""
    row = ref >> 2
    if ref & 3 != BRANCH:
        at = np.int64(a.short[row, REC]) * UNIT
        prefetch(a.heap, at)
        prefetch(a.heap, at + 64)
        return
    for i in range(16):
        child = np.int64(a.branch[row, i])
        if child & 3 == BRANCH:
            prefetch(a.branch_bytes, (child >> 2) * BRANCH_BYTES + BRANCH_DIGEST)
        elif child & 3 != HASH:
            prefetch(a.short_bytes, (child >> 2) * SHORT_BYTES + SHORT_DIGEST)
        elif child != NONE:
            prefetch(a.hash_bytes, (child >> 2) * 32)


@compiled
def write_batch(a, batch, offsets, out, splice_at, splice_child):  # type: ignore[no-untyped-def]
    """Encode all nodes of the batch, digests that are not known yet as zeros and a splice each.

    Whether every node came out as long as ``offsets`` says, with as many splices as there is room for.
    """
    splices = 0
    for n in range(batch.shape[0]):
        if n + 2 * NODES_AHEAD < batch.shape[0]:
            _prefetch_row(a, np.int64(batch[n + 2 * NODES_AHEAD]))
            _prefetch_parts(a, np.int64(batch[n + NODES_AHEAD]))
        ref = np.int64(batch[n])
        row = ref >> 2
        at = write_header(out, offsets[n], payload_of(offsets[n + 1] - offsets[n]), 0xC0)
        if ref & 3 == LEAF:
            at = _write_leaf(a, row, out, at)
        else:
            if ref & 3 == BRANCH:
                count = 16
                dirty = np.int64(a.branch[row, B_DIRTY])
            else:
                count = 1
                dirty = np.int64(a.short[row, DIRTY])
                at = _write_path(a, row, out, at, False)
            for i in range(count):
                child = np.int64(a.branch[row, i]) if count == 16 else np.int64(a.short[row, CHILD])
                end, missing = _write_child(a, child, dirty >> i & 1, out, at)
                if missing >= 0:
                    splice_at[splices] = at + 1
                    splice_child[splices] = missing
                    splices += 1
                at = end
            if count == 16:
                at = _write_branch_value(a, row, out, at)
        if at != offsets[n + 1]:
            return False
    return splices == splice_at.shape[0]


@compiled
def store_digests(a, tries, refs, batch, digests):  # type: ignore[no-untyped-def]
    """Keep the digests in the nodes' rows and mark everything that was collected clean."""
    for n in range(batch.shape[0]):
        row = np.int64(batch[n]) >> 2
        if batch[n] & 3 == BRANCH:
            copy_bytes(a.branch_bytes, row * BRANCH_BYTES + BRANCH_DIGEST, digests, n * 32, 32)
        else:
            copy_bytes(a.short_bytes, row * SHORT_BYTES + SHORT_DIGEST, digests, n * 32, 32)
    for n in range(refs.shape[0]):
        row = np.int64(refs[n]) >> 2
        if refs[n] & 3 == BRANCH:
            a.branch[row, B_DIRTY] = 0
        elif refs[n] & 3 != LEAF:
            a.short[row, DIRTY] = 0
    for t in range(tries.shape[0]):
        a.tries[tries[t], T_DIRTY] = 0


@compiled
def root_digests(a, tries, empty, out):  # type: ignore[no-untyped-def]
    """The root digest of each of ``tries``, none of them dirty, into ``out`` uint8[T,32]; ``empty`` for an empty
    trie.
    """
    for t in range(tries.shape[0]):
        ref = np.int64(a.tries[tries[t], T_ROOT])
        row = ref >> 2
        if ref == NONE:
            copy_bytes(out, t * 32, empty, 0, 32)
        elif ref & 3 == BRANCH:
            copy_bytes(out, t * 32, a.branch_bytes, row * BRANCH_BYTES + BRANCH_DIGEST, 32)
        elif ref & 3 == HASH:
            copy_bytes(out, t * 32, a.hash_bytes, row * 32, 32)
        else:
            copy_bytes(out, t * 32, a.short_bytes, row * SHORT_BYTES + SHORT_DIGEST, 32)


@compiled
def fill_holes(encodings, splice_at, splice_child, digests):  # type: ignore[no-untyped-def]
    """Write the children's digests into the holes, in place."""
    for s in range(splice_at.shape[0]):
        copy_bytes(encodings, splice_at[s], digests, splice_child[s] * 32, 32)
