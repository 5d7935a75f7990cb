"""Keccak-256 (Ethereum's: padding 0x01, not SHA3-256) over eight messages at a time, one in each 64-bit lane."""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from chaindp.kernels.hashes import KECCAK_RATE, KECCAK_ROTATIONS, KECCAK_ROUND_CONSTANTS
from chaindp_cpu.simd import (
    BYTES_IN,
    BYTES_OUT,
    INT,
    INTS_IN,
    WORDS64,
    Lanes,
    data_pointer,
    has_wide_vectors,
    kernel,
)

__all__ = ["LANES", "emit_permutation", "hash_pairs", "hash_ragged"]

LANES = 8
"""Messages at a time: 25 state vectors of 512 bits fit the 32 registers of AVX-512."""

RATE = KECCAK_RATE
_WORDS = RATE // 8
_I64 = ir.IntType(64)


def _emit_round(v: Lanes, a: list[ir.Value], constant: ir.Value) -> list[ir.Value]:
    """One round, all five steps, of the 25 lanes x + 5y (FIPS 202, section 3.2)."""
    parity = [v.xor(a[x], a[x + 5], a[x + 10], a[x + 15], a[x + 20]) for x in range(5)]
    theta = [v.xor(parity[(x + 4) % 5], v.rotate_left(parity[(x + 1) % 5], 1)) for x in range(5)]
    b: list[Any] = [None] * 25
    for x in range(5):
        for y in range(5):
            b[y + 5 * ((2 * x + 3 * y) % 5)] = v.rotate_left(v.xor(a[x + 5 * y], theta[x]), KECCAK_ROTATIONS[x + 5 * y])
    emit = v.builder
    out = [
        v.xor(b[x + 5 * y], emit.and_(emit.not_(b[(x + 1) % 5 + 5 * y]), b[(x + 2) % 5 + 5 * y]))
        for y in range(5)
        for x in range(5)
    ]
    out[0] = v.xor(out[0], constant)
    return out


def emit_permutation(v: Lanes, state: list[ir.Value]) -> list[ir.Value]:
    """Keccak-f[1600] as a loop of 24 rounds; measured, no unrolling beats one round a turn on AVX-512."""
    builder = v.builder
    constants = ir.Constant(ir.ArrayType(_I64, 24), KECCAK_ROUND_CONSTANTS)
    table = cgutils.global_constant(builder, "keccak_round_constants", constants)
    before = builder.block
    loop = builder.append_basic_block("keccak_round")
    after = builder.append_basic_block("keccak_done")
    builder.branch(loop)
    builder.position_at_end(loop)
    counter = builder.phi(_I64)
    counter.add_incoming(ir.Constant(_I64, 0), before)
    lanes = [builder.phi(v.type) for _ in range(25)]
    for phi, value in zip(lanes, state, strict=True):
        phi.add_incoming(value, before)
    constant = v.splat(builder.load(builder.gep(table, [ir.Constant(_I64, 0), counter])))
    result = _emit_round(v, list(lanes), constant)
    following = builder.add(counter, ir.Constant(_I64, 1))
    counter.add_incoming(following, loop)
    for phi, value in zip(lanes, result, strict=True):
        phi.add_incoming(value, loop)
    builder.cbranch(builder.icmp_unsigned("<", following, ir.Constant(_I64, 24)), loop, after)
    builder.position_at_end(after)
    return result


def _permute(v: Lanes, state: list[ir.Value]) -> list[ir.Value]:
    # Without AVX-512 there are 16 registers of 256 bits: two halves spill less than one whole.
    return v.in_parts(8 if has_wide_vectors() else 4, emit_permutation, state)


@intrinsic
def _pairs8(_typing: Any, source: Any, source_at: Any, target: Any, target_at: Any) -> Any:
    """Eight messages of 64 bytes at ``source[source_at:]`` to eight digests at ``target[target_at:]``."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        v = Lanes(builder, 64, LANES)
        read = v.at(data_pointer(context, builder, signature.args[0], args[0]), args[1])
        write = v.at(data_pointer(context, builder, signature.args[2], args[2]), args[3])
        words = v.transpose([v.load(read, 64 * lane) for lane in range(LANES)])
        # The padding of 64 bytes is the same for all: 0x01 right after, 0x80 at the end of the rate.
        state = words + [v.constant(1)] + [v.constant(0)] * 16
        state[_WORDS - 1] = v.constant(0x80 << 56)
        digest = _permute(v, state)[:4]
        undefined = ir.Constant(v.type, ir.Undefined)
        rows = v.transpose(digest + [undefined] * 4)
        for two in range(0, LANES, 2):
            v.store(v.shuffle(rows[two], rows[two + 1], [0, 1, 2, 3, 8, 9, 10, 11]), write, 32 * two)
        return context.get_dummy_value()

    return types.void(source, source_at, target, target_at), generate


@kernel(types.void(BYTES_IN, INT, BYTES_OUT, INT))
def _hash_group(source: np.ndarray, source_at: int, target: np.ndarray, target_at: int) -> None:
    # A function of its own, so that its two uses below do not become two copies of long code.
    _pairs8(source, source_at, target, target_at)


@kernel(types.void(BYTES_IN, INT, BYTES_OUT, INT, INT))
def hash_pairs(source: np.ndarray, source_at: int, target: np.ndarray, target_at: int, count: int) -> None:
    """Digests of ``count`` messages of 64 bytes, end to end from ``source[source_at]``, end to end to
    ``target[target_at]``.

    Source and target may be the same array where the two ranges do not overlap. The caller checks the bounds.
    """
    full = count // LANES * LANES
    for i in range(0, full, LANES):
        _hash_group(source, source_at + 64 * i, target, target_at + 32 * i)
    rest = count - full
    if rest:
        messages = np.zeros(64 * LANES, np.uint8)
        digests = np.empty(32 * LANES, np.uint8)
        at = source_at + 64 * full
        messages[: 64 * rest] = source[at : at + 64 * rest]
        _hash_group(messages, 0, digests, 0)
        at = target_at + 32 * full
        target[at : at + 32 * rest] = digests[: 32 * rest]


def _make_absorb(*, first: bool, padded: bool) -> Any:
    @intrinsic
    def absorb(_typing: Any, state: Any, data: Any, spare: Any, position: Any, remaining: Any) -> Any:
        """Absorb the next block of eight messages into ``state`` uint64[200] (lane i of message j at 8i+j), and
        permute.

        Message j's block is at ``data[position[j]:]``, 136 readable bytes, or at ``spare[136*j:]`` where its position
        is negative. ``remaining[j]`` is how many bytes of the message are left: where padding may be due, bytes past
        them are masked off and the padding is put in their place; a message that ended in an earlier block absorbs
        zeros. The first block finds a state of zeros, which is not read.
        """

        def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
            v = Lanes(builder, 64, LANES)
            arrays = [
                data_pointer(context, builder, kind, value) for kind, value in zip(signature.args, args, strict=True)
            ]
            state_at, data_at, spare_at, position_at, remaining_at = arrays
            one = Lanes(builder, 64, 1)
            reads = []
            for lane in range(LANES):
                offset = one.load(position_at, 8 * lane)
                inside = builder.icmp_signed(">=", offset, one.constant(0))
                reads.append(builder.select(inside, v.at(data_at, offset), v.at(spare_at, RATE * lane)))
            words = v.transpose([v.load(read) for read in reads]) + v.transpose([v.load(read, 64) for read in reads])
            last: ir.Value = ir.Constant(v.type, ir.Undefined)
            for lane, read in enumerate(reads):
                last = builder.insert_element(last, one.load(read, 128), ir.Constant(ir.IntType(32), lane))
            words.append(last)
            if padded:
                left = v.load(remaining_at)
                for i in range(_WORDS):
                    here = builder.sub(left, v.constant(8 * i))
                    # 2^(8 * bytes of this word that belong to the message): the padding bit, and one more than the
                    # mask.
                    bit = builder.shl(v.constant(1), builder.shl(builder.and_(here, v.constant(7)), v.constant(3)))
                    cut = builder.or_(builder.and_(words[i], builder.sub(bit, v.constant(1))), bit)
                    ends = builder.icmp_unsigned("<", here, v.constant(8))
                    whole = builder.icmp_signed(">=", here, v.constant(8))
                    words[i] = builder.select(whole, words[i], builder.select(ends, cut, v.constant(0)))
                closing = builder.icmp_unsigned("<", left, v.constant(RATE))
                words[-1] = v.xor(words[-1], builder.select(closing, v.constant(0x80 << 56), v.constant(0)))
            if first:
                lanes = words + [v.constant(0)] * (25 - _WORDS)
            else:
                lanes = [v.load(state_at, 64 * i) for i in range(25)]
                lanes[:_WORDS] = [v.xor(lane, word) for lane, word in zip(lanes, words, strict=False)]
            for i, value in enumerate(_permute(v, lanes)):
                v.store(value, state_at, 64 * i)
            return context.get_dummy_value()

        return types.void(state, data, spare, position, remaining), generate

    return absorb


_first_whole = _make_absorb(first=True, padded=False)
_first_padded = _make_absorb(first=True, padded=True)
_next_whole = _make_absorb(first=False, padded=False)
_next_padded = _make_absorb(first=False, padded=True)


@kernel(types.void(BYTES_IN, INTS_IN, INTS_IN, INT, INT, WORDS64))
def hash_ragged(
    data: np.ndarray, offsets: np.ndarray, order: np.ndarray, first: int, last: int, target: np.ndarray
) -> None:
    """Digests of the messages ``order[first:last]``, message m to words 4m to 4m+3 of ``target`` uint64[4N].

    Eight messages run side by side until the longest of them ends, so ``order`` should bring equal lengths together.
    """
    # Whole cache lines: a vector that straddles two costs twice.
    room = np.empty(26 * LANES, np.uint64)
    skip = -(room.ctypes.data // 8) % LANES
    state = room[skip : skip + 25 * LANES]
    spare = np.zeros(RATE * LANES, np.uint8)
    position = np.empty(LANES, np.int64)
    remaining = np.empty(LANES, np.int64)
    message = np.empty(LANES, np.int64)
    start = np.empty(LANES, np.int64)
    for group in range(first, last, LANES):
        lanes = min(LANES, last - group)
        longest = 0
        for j in range(LANES):
            # A lane without a message looks like one that has ended.
            message[j] = order[group + j] if j < lanes else -1
            start[j] = offsets[message[j]] if j < lanes else 0
            remaining[j] = offsets[message[j] + 1] - start[j] if j < lanes else -1
            longest = max(longest, remaining[j])
        for block in range(longest // RATE + 1):
            shortest = remaining[0]
            for j in range(LANES):
                shortest = min(shortest, remaining[j])
                position[j] = -1
                if remaining[j] >= 0:
                    if start[j] + RATE <= len(data):
                        position[j] = start[j]
                    else:
                        # The block is cut off by the end of the buffer: nothing may be read past it.
                        spare[RATE * j : RATE * j + remaining[j]] = data[start[j] : start[j] + remaining[j]]
            if block == 0:
                if shortest >= RATE:
                    _first_whole(state, data, spare, position, remaining)
                else:
                    _first_padded(state, data, spare, position, remaining)
            elif shortest >= RATE:
                _next_whole(state, data, spare, position, remaining)
            else:
                _next_padded(state, data, spare, position, remaining)
            for j in range(LANES):
                if 0 <= remaining[j] < RATE:
                    for word in range(4):
                        target[4 * message[j] + word] = state[LANES * word + j]
                start[j] += RATE
                remaining[j] -= RATE
