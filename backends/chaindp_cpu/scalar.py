"""The hashes one message at a time on one thread: what a level without parallelism (DP0) runs.

The same emitters as the vector code, with a single lane: the 64-bit and 32-bit instructions of the plain CPU. Only for
SHA-256 the CPU's own instructions are used where it has them, as every node's library does.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from chaindp.kernels.hashes import SHA256_INITIAL, SHA256_K
from chaindp_cpu.keccak import RATE, emit_permutation
from chaindp_cpu.sha256 import BLOCK, emit_compression
from chaindp_cpu.simd import (
    BYTES_IN,
    BYTES_OUT,
    INT,
    INTS_IN,
    INTS_OUT,
    WORDS32,
    WORDS64,
    Lanes,
    copy_bytes,
    data_pointer,
    has_feature,
    kernel,
)

__all__ = ["keccak256", "keccak256_all", "sha256", "sha256_all", "tree", "trie", "update"]


@intrinsic
def _keccak_block(_typing: Any, state: Any, data: Any, at: Any) -> Any:
    """Absorb the 136 bytes at ``data[at:]`` into ``state`` uint64[25] and permute."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        v = Lanes(builder, 64, 1)
        memory = data_pointer(context, builder, signature.args[0], args[0])
        read = v.at(data_pointer(context, builder, signature.args[1], args[1]), args[2])
        lanes = [v.load(memory, 8 * i) for i in range(25)]
        for i in range(RATE // 8):
            lanes[i] = v.xor(lanes[i], v.load(read, 8 * i))
        for i, lane in enumerate(emit_permutation(v, lanes)):
            v.store(lane, memory, 8 * i)
        return context.get_dummy_value()

    return types.void(state, data, at), generate


@kernel(types.void(WORDS64, BYTES_IN, INT))
def _absorb_keccak(state: np.ndarray, data: np.ndarray, at: int) -> None:
    _keccak_block(state, data, at)


@kernel(types.void(BYTES_IN, INT, INT, BYTES_OUT, INT, WORDS64, BYTES_OUT))
def keccak256(
    data: np.ndarray, start: int, end: int, target: np.ndarray, at: int, state: np.ndarray, block: np.ndarray
) -> None:
    """Keccak-256 of ``data[start:end]`` to ``target[at:at+32]``; ``state`` uint64[25] and ``block`` uint8[136] are
    scratch.
    """
    state[:] = 0
    while end - start >= RATE:
        _absorb_keccak(state, data, start)
        start += RATE
    block[:] = 0
    copy_bytes(data, start, block, 0, end - start)
    block[end - start] = 0x01
    block[RATE - 1] |= np.uint8(0x80)
    _absorb_keccak(state, block, 0)
    copy_bytes(state, 0, target, at, 32)


@kernel(types.void(BYTES_IN, INTS_IN, BYTES_OUT))
def keccak256_all(data: np.ndarray, offsets: np.ndarray, target: np.ndarray) -> None:
    """Keccak-256 of every message, one after another, to flat ``target``."""
    state = np.empty(25, np.uint64)
    block = np.empty(RATE, np.uint8)
    for i in range(len(offsets) - 1):
        keccak256(data, offsets[i], offsets[i + 1], target, 32 * i, state, block)


def _emit_sha_extensions(builder: ir.IRBuilder, memory: ir.Value, read: ir.Value) -> None:
    """One block with the SHA instructions, four rounds at a time (Intel, "Intel SHA Extensions", 2013).

    They take the state as two vectors, (f, e, b, a) and (h, g, d, c) from the lowest lane up.
    """
    v = Lanes(builder, 32, 4)

    def call(name: str, *operands: ir.Value) -> ir.Value:
        signature = ir.FunctionType(v.type, [v.type] * len(operands))
        return builder.call(cgutils.get_or_insert_function(builder.module, signature, f"llvm.x86.{name}"), operands)

    low, high = v.load(memory), v.load(memory, 16)
    first = [v.shuffle(low, high, [5, 4, 1, 0]), v.shuffle(low, high, [7, 6, 3, 2])]
    abef, cdgh = first
    words = [v.swap_bytes(v.load(read, 16 * i)) for i in range(4)]
    for i in range(16):
        if i >= 4:
            partial = builder.add(
                call("sha256msg1", words[i - 4], words[i - 3]), v.shuffle(words[i - 2], words[i - 1], [1, 2, 3, 4])
            )
            words.append(call("sha256msg2", partial, words[i - 1]))
        scheduled = builder.add(words[i], ir.Constant(v.type, SHA256_K[4 * i : 4 * i + 4]))
        cdgh = call("sha256rnds2", cdgh, abef, scheduled)
        abef = call("sha256rnds2", abef, cdgh, v.shuffle(scheduled, scheduled, [2, 3, 2, 3]))
    abef, cdgh = builder.add(abef, first[0]), builder.add(cdgh, first[1])
    v.store(v.shuffle(abef, cdgh, [3, 2, 7, 6]), memory)
    v.store(v.shuffle(abef, cdgh, [1, 0, 5, 4]), memory, 16)


@intrinsic
def _sha256_block(_typing: Any, state: Any, data: Any, at: Any) -> Any:
    """Compress the 64 bytes at ``data[at:]`` into ``state`` uint32[8]."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        v = Lanes(builder, 32, 1)
        memory = data_pointer(context, builder, signature.args[0], args[0])
        read = v.at(data_pointer(context, builder, signature.args[1], args[1]), args[2])
        if has_feature("sha"):
            _emit_sha_extensions(builder, memory, read)
            return context.get_dummy_value()
        words = [v.swap_bytes(v.load(read, 4 * i)) for i in range(16)]
        before = [v.load(memory, 4 * i) for i in range(8)]
        for i, word in enumerate(emit_compression(v, before, words)):
            v.store(word, memory, 4 * i)
        return context.get_dummy_value()

    return types.void(state, data, at), generate


@kernel(types.void(WORDS32, BYTES_IN, INT))
def _absorb_sha256(state: np.ndarray, data: np.ndarray, at: int) -> None:
    _sha256_block(state, data, at)


@kernel(types.void(BYTES_IN, INT, INT, BYTES_OUT, INT, WORDS32, BYTES_OUT))
def sha256(
    data: np.ndarray, start: int, end: int, target: np.ndarray, at: int, state: np.ndarray, block: np.ndarray
) -> None:
    """SHA-256 of ``data[start:end]`` to ``target[at:at+32]``; ``state`` uint32[8] and ``block`` uint8[64] are
    scratch.
    """
    bits = 8 * (end - start)
    for i in range(8):
        state[i] = SHA256_INITIAL[i]
    while end - start >= BLOCK:
        _absorb_sha256(state, data, start)
        start += BLOCK
    block[:] = 0
    copy_bytes(data, start, block, 0, end - start)
    block[end - start] = 0x80
    if end - start > BLOCK - 9:
        _absorb_sha256(state, block, 0)
        block[:] = 0
    for j in range(8):
        block[BLOCK - 1 - j] = np.uint8(bits >> (8 * j) & 0xFF)
    _absorb_sha256(state, block, 0)
    for i in range(8):
        for j in range(4):
            target[at + 4 * i + j] = np.uint8(state[i] >> np.uint32(24 - 8 * j) & np.uint32(0xFF))


@kernel(types.void(BYTES_IN, INTS_IN, BYTES_OUT))
def sha256_all(data: np.ndarray, offsets: np.ndarray, target: np.ndarray) -> None:
    """SHA-256 of every message, one after another, to flat ``target``."""
    state = np.empty(8, np.uint32)
    block = np.empty(BLOCK, np.uint8)
    for i in range(len(offsets) - 1):
        sha256(data, offsets[i], offsets[i + 1], target, 32 * i, state, block)


@kernel(types.void(BYTES_OUT, INTS_IN, BYTES_IN, INT))
def tree(nodes: np.ndarray, bounds: np.ndarray, zeros: np.ndarray, hash_id: int) -> None:
    """Fill the levels above the leaves in flat ``nodes``; ``bounds`` and ``zeros`` as in ``trees.hash_subtrees``."""
    state64 = np.empty(25, np.uint64)
    state32 = np.empty(8, np.uint32)
    block = np.empty(RATE, np.uint8)
    pair = np.empty(64, np.uint8)
    for level in range(len(bounds) - 2):
        size = bounds[level + 1] - bounds[level]
        for parent in range((size + 1) // 2):
            read = 32 * (bounds[level] + 2 * parent)
            copy_bytes(nodes, read, pair, 0, 32)
            if 2 * parent + 1 < size:
                copy_bytes(nodes, read + 32, pair, 32, 32)
            else:
                copy_bytes(zeros, 32 * level, pair, 32, 32)
            write = 32 * (bounds[level + 1] + parent)
            if hash_id == 0:
                keccak256(pair, 0, 64, nodes, write, state64, block)
            else:
                sha256(pair, 0, 64, nodes, write, state32, block[:BLOCK])


@kernel(INT(BYTES_IN, INTS_IN, BYTES_IN, INT, INTS_OUT, BYTES_OUT, INT))
def update(
    nodes: np.ndarray,
    bounds: np.ndarray,
    zeros: np.ndarray,
    count: int,
    positions: np.ndarray,
    digests: np.ndarray,
    hash_id: int,
) -> int:
    """Follow ``count`` changed leaves, already at the front of ``positions`` and flat ``digests``, up to the root.

    Appends the changed nodes of each level to both and returns how many there are in all.
    """
    state64 = np.empty(25, np.uint64)
    state32 = np.empty(8, np.uint32)
    block = np.empty(RATE, np.uint8)
    pair = np.empty(64, np.uint8)
    first, last = 0, count
    for level in range(len(bounds) - 2):
        start, end = bounds[level], bounds[level + 1]
        used = last
        i = first
        while i < last:
            node = positions[i] - start
            left = start + node // 2 * 2
            for side in range(2):
                at = left + side
                to = 32 * side
                if i < last and positions[i] == at:
                    copy_bytes(digests, 32 * i, pair, to, 32)
                    i += 1
                elif at < end:
                    copy_bytes(nodes, 32 * at, pair, to, 32)
                else:
                    copy_bytes(zeros, 32 * level, pair, to, 32)
            positions[used] = end + node // 2
            if hash_id == 0:
                keccak256(pair, 0, 64, digests, 32 * used, state64, block)
            else:
                sha256(pair, 0, 64, digests, 32 * used, state32, block[:BLOCK])
            used += 1
        first, last = last, used
    return last


@kernel(types.void(BYTES_OUT, INTS_IN, INTS_IN, INTS_IN, BYTES_OUT))
def trie(
    encodings: np.ndarray, offsets: np.ndarray, splice_at: np.ndarray, splice_child: np.ndarray, digests: np.ndarray
) -> None:
    """Fill each node's holes in ``encodings``, in place, and hash it to flat ``digests``."""
    state = np.empty(25, np.uint64)
    block = np.empty(RATE, np.uint8)
    hole = 0
    for node in range(len(offsets) - 1):
        while hole < len(splice_at) and splice_at[hole] < offsets[node + 1]:
            at, child = splice_at[hole], 32 * splice_child[hole]
            copy_bytes(digests, child, encodings, at, 32)
            hole += 1
        keccak256(encodings, offsets[node], offsets[node + 1], digests, 32 * node, state, block)
