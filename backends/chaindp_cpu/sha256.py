"""SHA-256 (FIPS 180-4) over sixteen messages at a time, one in each 32-bit lane."""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from chaindp.kernels.hashes import SHA256_INITIAL, SHA256_K, golden_sha256_schedule
from chaindp_cpu.simd import BYTES_IN, BYTES_OUT, INT, INTS_IN, WORDS32, Lanes, data_pointer, has_wide_vectors, kernel

__all__ = ["BLOCK", "LANES", "emit_compression", "hash_pairs", "hash_ragged"]

LANES = 16
"""Messages at a time: 8 words of state and 16 of schedule leave 8 of AVX-512's registers for the work."""

BLOCK = 64
_MASK = 0xFFFFFFFF

# The second block of a 64-byte message holds nothing but padding and the length, 512 bits: its schedule is constant.
_PAIR_PADDING = tuple(golden_sha256_schedule(b"\x80" + bytes(61) + b"\x02\x00"))


def _emit_schedule(v: Lanes, words: list[ir.Value]) -> list[ir.Value]:
    """The word that follows the last sixteen."""
    builder = v.builder
    near, far = words[-15], words[-2]
    s0 = v.xor(v.rotate_left(near, 25), v.rotate_left(near, 14), builder.lshr(near, v.constant(3)))
    s1 = v.xor(v.rotate_left(far, 15), v.rotate_left(far, 13), builder.lshr(far, v.constant(10)))
    return [*words, builder.add(builder.add(words[-16], s0), builder.add(words[-7], s1))]


def _emit_rounds(v: Lanes, state: list[ir.Value], words: list[ir.Value] | None) -> list[ir.Value]:
    """The 64 rounds and the final addition. ``words`` None stands for the constant padding block of 64-byte
    messages.
    """
    builder = v.builder
    a, b, c, d, e, f, g, h = state
    for t in range(64):
        if words is None:
            scheduled = v.constant((SHA256_K[t] + _PAIR_PADDING[t]) & _MASK)
        else:
            if t >= 16:
                words = _emit_schedule(v, words)
            scheduled = builder.add(words[t], v.constant(SHA256_K[t]))
        s1 = v.xor(v.rotate_left(e, 26), v.rotate_left(e, 21), v.rotate_left(e, 7))
        choice = v.xor(g, builder.and_(e, v.xor(f, g)))
        t1 = builder.add(builder.add(h, scheduled), builder.add(s1, choice))
        s0 = v.xor(v.rotate_left(a, 30), v.rotate_left(a, 19), v.rotate_left(a, 10))
        majority = builder.or_(builder.and_(a, b), builder.and_(c, builder.or_(a, b)))
        a, b, c, d, e, f, g, h = builder.add(t1, builder.add(s0, majority)), a, b, c, builder.add(d, t1), e, f, g
    return [builder.add(old, new) for old, new in zip(state, (a, b, c, d, e, f, g, h), strict=True)]


def emit_compression(v: Lanes, state: list[ir.Value], words: list[ir.Value]) -> list[ir.Value]:
    """One block of sixteen big-endian words into eight words of state."""

    def emit(part: Lanes, values: list[ir.Value]) -> list[ir.Value]:
        return _emit_rounds(part, values[:8], values[8:])

    return v.in_parts(16 if has_wide_vectors() else 8, emit, [*state, *words])


def _emit_padding_block(v: Lanes, state: list[ir.Value]) -> list[ir.Value]:
    def emit(part: Lanes, values: list[ir.Value]) -> list[ir.Value]:
        return _emit_rounds(part, values, None)

    return v.in_parts(16 if has_wide_vectors() else 8, emit, state)


@intrinsic
def _pairs16(_typing: Any, source: Any, source_at: Any, target: Any, target_at: Any) -> Any:
    """Sixteen messages of 64 bytes at ``source[source_at:]`` to sixteen digests at ``target[target_at:]``."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        v = Lanes(builder, 32, LANES)
        read = v.at(data_pointer(context, builder, signature.args[0], args[0]), args[1])
        write = v.at(data_pointer(context, builder, signature.args[2], args[2]), args[3])
        words = [v.swap_bytes(word) for word in v.transpose([v.load(read, 64 * lane) for lane in range(LANES)])]
        state = emit_compression(v, [v.constant(word) for word in SHA256_INITIAL], words)
        digest = [v.swap_bytes(word) for word in _emit_padding_block(v, state)]
        undefined = ir.Constant(v.type, ir.Undefined)
        rows = v.transpose(digest + [undefined] * 8)
        for two in range(0, LANES, 2):
            v.store(v.shuffle(rows[two], rows[two + 1], [*range(8), *range(16, 24)]), write, 32 * two)
        return context.get_dummy_value()

    return types.void(source, source_at, target, target_at), generate


@kernel(types.void(BYTES_IN, INT, BYTES_OUT, INT))
def _hash_group(source: np.ndarray, source_at: int, target: np.ndarray, target_at: int) -> None:
    # A function of its own, so that its two uses below do not become two copies of long code.
    _pairs16(source, source_at, target, target_at)


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


@intrinsic
def _absorb(_typing: Any, state: Any, data: Any, spare: Any, position: Any, remaining: Any, length: Any) -> Any:
    """Compress the next block of sixteen messages into ``state`` uint32[128] (word i of message j at 16i+j).

    Message j's block is at ``data[position[j]:]``, 64 readable bytes, or at ``spare[64*j:]`` where its position is
    negative. ``remaining[j]`` is how many bytes of the message are left: 55 to -8 make it the last block, which ends
    with the bit length. Bytes past the message are masked off. Messages that ended before are compressed on, to no
    effect.
    """

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        v = Lanes(builder, 32, LANES)
        arrays = [data_pointer(context, builder, kind, value) for kind, value in zip(signature.args, args, strict=True)]
        state_at, data_at, spare_at, position_at, remaining_at, length_at = arrays
        one = Lanes(builder, 64, 1)
        reads = []
        for lane in range(LANES):
            offset = one.load(position_at, 8 * lane)
            inside = builder.icmp_signed(">=", offset, one.constant(0))
            reads.append(builder.select(inside, v.at(data_at, offset), v.at(spare_at, BLOCK * lane)))
        words = v.transpose([v.load(read) for read in reads])
        wide = Lanes(builder, 64, LANES)
        # Clamped first: a length of gigabytes does not fit the 32-bit lanes.
        left64 = wide.load(remaining_at)
        left64 = builder.select(builder.icmp_signed("<", left64, wide.constant(BLOCK)), left64, wide.constant(BLOCK))
        left64 = builder.select(builder.icmp_signed(">", left64, wide.constant(-9)), left64, wide.constant(-9))
        left = builder.trunc(left64, v.type)
        for i in range(16):
            here = builder.sub(left, v.constant(4 * i))
            # 2^(8 * bytes of this word that belong to the message), in the byte order of the message.
            bit = builder.shl(v.constant(1), builder.shl(builder.and_(here, v.constant(3)), v.constant(3)))
            padding = builder.shl(bit, v.constant(7))
            cut = builder.or_(builder.and_(words[i], builder.sub(bit, v.constant(1))), padding)
            ends = builder.icmp_unsigned("<", here, v.constant(4))
            whole = builder.icmp_signed(">=", here, v.constant(4))
            words[i] = v.swap_bytes(builder.select(whole, words[i], builder.select(ends, cut, v.constant(0))))
        last = builder.icmp_signed("<=", left, v.constant(55))
        bits = builder.shl(wide.load(length_at), wide.constant(3))
        high = builder.trunc(builder.lshr(bits, wide.constant(32)), v.type)
        words[14] = builder.select(last, high, words[14])
        words[15] = builder.select(last, builder.trunc(bits, v.type), words[15])
        before = [v.load(state_at, 64 * i) for i in range(8)]
        for i, value in enumerate(emit_compression(v, before, words)):
            v.store(value, state_at, 64 * i)
        return context.get_dummy_value()

    return types.void(state, data, spare, position, remaining, length), generate


@kernel(types.void(BYTES_IN, INTS_IN, INTS_IN, INT, INT, WORDS32))
def hash_ragged(
    data: np.ndarray, offsets: np.ndarray, order: np.ndarray, first: int, last: int, target: np.ndarray
) -> None:
    """Digests of the messages ``order[first:last]``, message m to words 8m to 8m+7 of ``target`` uint32[8N].

    Sixteen messages run side by side until the longest of them ends, so ``order`` should bring equal lengths together.
    """
    state = np.empty(8 * LANES, np.uint32)
    spare = np.zeros(BLOCK * LANES, np.uint8)
    position = np.empty(LANES, np.int64)
    remaining = np.empty(LANES, np.int64)
    length = np.empty(LANES, np.int64)
    message = np.empty(LANES, np.int64)
    start = np.empty(LANES, np.int64)
    for group in range(first, last, LANES):
        lanes = min(LANES, last - group)
        longest = 0
        for j in range(LANES):
            # A lane without a message looks like one that has ended.
            message[j] = order[group + j] if j < lanes else -1
            start[j] = offsets[message[j]] if j < lanes else 0
            length[j] = offsets[message[j] + 1] - start[j] if j < lanes else 0
            remaining[j] = length[j] if j < lanes else -9
            longest = max(longest, length[j])
        for i in range(8):
            state[LANES * i : LANES * (i + 1)] = SHA256_INITIAL[i]
        for _ in range((longest + 8) // BLOCK + 1):
            for j in range(LANES):
                position[j] = -1
                if remaining[j] > 0:
                    if start[j] + BLOCK <= len(data):
                        position[j] = start[j]
                    else:
                        # The block is cut off by the end of the buffer: nothing may be read past it.
                        spare[BLOCK * j : BLOCK * j + remaining[j]] = data[start[j] : start[j] + remaining[j]]
            _absorb(state, data, spare, position, remaining, length)
            for j in range(LANES):
                if -8 <= remaining[j] <= 55:
                    for i in range(8):
                        word = state[LANES * i + j]
                        word = (word & np.uint32(0x00FF00FF)) << np.uint32(8) | (word >> np.uint32(8)) & np.uint32(
                            0x00FF00FF
                        )
                        target[8 * message[j] + i] = word << np.uint32(16) | word >> np.uint32(16)
                start[j] += BLOCK
                remaining[j] -= BLOCK
