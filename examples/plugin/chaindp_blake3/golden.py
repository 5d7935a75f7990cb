"""BLAKE3 in plain Python, from its specification: the golden reference, slow and obvious, and never timed.

Source: O'Connor, Aumasson, Neves, Wilcox-O'Hearn, "BLAKE3: one function, fast everywhere", 2020, section 2. Only what
the kernel needs is here: hashing without a key, to 32 bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

__all__ = ["BLOCK", "CHUNK", "golden_blake3"]

CHUNK = 1024
"""Bytes of a leaf of the tree."""

BLOCK = 64
"""Bytes that one compression takes in."""

# Section 2.2, tables 1 and 3: the initial value, which is SHA-256's, and the flags.
INITIAL = (0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A, 0x510E527F, 0x9B05688C, 0x1F83D9AB, 0x5BE0CD19)
CHUNK_START, CHUNK_END, PARENT, ROOT = 1, 2, 4, 8

ROUNDS = 7

# Table 2: how the words of the message change places between rounds.
PERMUTATION = (2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8)

# The columns of the 4 x 4 state, then its diagonals.
QUARTERS = (
    *((0, 4, 8, 12), (1, 5, 9, 13), (2, 6, 10, 14), (3, 7, 11, 15)),
    *((0, 5, 10, 15), (1, 6, 11, 12), (2, 7, 8, 13), (3, 4, 9, 14)),
)

_MASK = (1 << 32) - 1


def golden_blake3(message: bytes) -> bytes:
    """The 32 bytes of BLAKE3 of ``message``, without a key."""
    return struct.pack("<8I", *_subtree(message, 0, ROOT))


def _subtree(message: bytes, first_chunk: int, root: int) -> list[int]:
    """The chaining value of the subtree over ``message``; ``root`` is ROOT for the whole tree and 0 below (2.1)."""
    if len(message) <= CHUNK:
        return _chunk(message, first_chunk, root)
    # The left subtree is complete: as many chunks as the largest power of two that leaves something to the right one.
    left_chunks = 1 << ((len(message) - 1) // CHUNK).bit_length() - 1
    cut = left_chunks * CHUNK
    left = _subtree(message[:cut], first_chunk, 0)
    right = _subtree(message[cut:], first_chunk + left_chunks, 0)
    return _compress(INITIAL, left + right, 0, BLOCK, PARENT | root)


def _chunk(message: bytes, number: int, root: int) -> list[int]:
    """The chaining value of one chunk of 0 to 1024 bytes, which is chunk ``number`` of the whole message (2.4)."""
    chaining: Sequence[int] = INITIAL
    starts = range(0, max(len(message), 1), BLOCK)
    for start in starts:
        block = message[start : start + BLOCK]
        flags = CHUNK_START if start == 0 else 0
        if start == starts[-1]:
            flags |= CHUNK_END | root
        chaining = _compress(chaining, struct.unpack("<16I", block.ljust(BLOCK, b"\0")), number, len(block), flags)
    return list(chaining)


def _compress(chaining: Sequence[int], words: Sequence[int], counter: int, length: int, flags: int) -> list[int]:
    """The first eight words that the compression function yields: the next chaining value, or the digest (2.2)."""
    state = [*chaining, *INITIAL[:4], counter & _MASK, counter >> 32, length, flags]
    for _ in range(ROUNDS):
        for number, quarter in enumerate(QUARTERS):
            _mix(state, quarter, words[2 * number], words[2 * number + 1])
        words = [words[source] for source in PERMUTATION]
    return [low ^ high for low, high in zip(state[:8], state[8:], strict=True)]


def _mix(state: list[int], quarter: tuple[int, int, int, int], x: int, y: int) -> None:
    """The function G on four words of the state, with two words of the message (2.2)."""
    a, b, c, d = quarter
    for word, right_d, right_b in ((x, 16, 12), (y, 8, 7)):
        state[a] = (state[a] + state[b] + word) & _MASK
        state[d] = _rotate(state[d] ^ state[a], right_d)
        state[c] = (state[c] + state[d]) & _MASK
        state[b] = _rotate(state[b] ^ state[c], right_b)


def _rotate(value: int, by: int) -> int:
    return (value >> by | value << (32 - by)) & _MASK
