"""What the state's tries hold, in batches: account records and storage words to RLP and back, and the grouping of
addresses.
"""

from __future__ import annotations

import numpy as np

from chaindp.chain.trie.compiled import compiled
from chaindp.chain.trie.decode import read_item
from chaindp.chain.trie.memory import copy_bytes
from chaindp.chain.types import Ragged

ACCOUNT_LIMIT = 2 + 9 + 33 + 33 + 33
"""Bytes of the longest account record."""

ROOT_FROM_END = 65
"""An account record ends with the storage root, one header byte and the code hash, all of fixed length."""


@compiled
def _trimmed(words, row, size):  # type: ignore[no-untyped-def]
    """How many leading bytes of a big-endian word are zero."""
    skip = 0
    while skip < size and words[row, skip] == 0:
        skip += 1
    return skip


@compiled
def _write_word(words, row, size, out, at):  # type: ignore[no-untyped-def]
    """A big-endian word without its leading zeros, as an RLP string; the position behind it."""
    skip = _trimmed(words, row, size)
    length = size - skip
    if length != 1 or words[row, skip] >= 0x80:
        out[at] = np.uint8(0x80 + length)
        at += 1
    copy_bytes(out, at, words, row * size + skip, length)
    return at + length


@compiled
def _encode_accounts(nonce, balance, root, code_hash, skip, out, offsets):  # type: ignore[no-untyped-def]
    at = 0
    offsets[0] = 0
    for i in range(skip.shape[0]):
        if not skip[i]:
            # The payload is 66 bytes at least, so the header always has two bytes.
            start = at
            at = _write_word(nonce, i, 8, out, at + 2)
            at = _write_word(balance, i, 32, out, at)
            out[at] = 0xA0
            copy_bytes(out, at + 1, root, i * 32, 32)
            out[at + 33] = 0xA0
            copy_bytes(out, at + 34, code_hash, i * 32, 32)
            at += 66
            out[start] = 0xF8
            out[start + 1] = np.uint8(at - start - 2)
        offsets[i + 1] = at


def encode_accounts(
    nonce: np.ndarray, balance: np.ndarray, root: np.ndarray, code_hash: np.ndarray, skip: np.ndarray
) -> Ragged:
    """RLP of [nonce, balance, storage root, code hash] a row (yellow paper, section 4.1); nothing where ``skip``.

    ``nonce`` uint64[A]; ``balance``, ``root``, ``code_hash`` uint8[A,32]; ``skip`` bool[A].
    """
    big = np.ascontiguousarray(nonce, dtype=np.uint64).astype(">u8").view(np.uint8).reshape(-1, 8)
    out = np.empty(ACCOUNT_LIMIT * len(nonce), dtype=np.uint8)
    offsets = np.empty(len(nonce) + 1, dtype=np.int64)
    _encode_accounts(big, balance, root, code_hash, skip, out, offsets)
    return Ragged(out[: offsets[-1]], offsets)


@compiled
def _read_word(data, at, end, size, out, row):  # type: ignore[no-untyped-def]
    """An RLP integer of at most ``size`` bytes into ``out[row]``; the position behind it, -1 where it is none."""
    start, stop, is_list = read_item(data, at, end)
    if start < 0 or is_list or stop - start > size or (stop > start and data[start] == 0):
        return np.int64(-1)
    for i in range(size):
        out[row, i] = 0
    copy_bytes(out, row * size + size - (stop - start), data, start, stop - start)
    return stop


@compiled
def decode_accounts(data, offsets, nonce, balance, root, code_hash):  # type: ignore[no-untyped-def]
    """Account records to columns; the first row that is malformed, or -1. A row without bytes is left as it is.

    ``nonce`` uint8[A,8] big-endian; ``balance``, ``root``, ``code_hash`` uint8[A,32].
    """
    for i in range(offsets.shape[0] - 1):
        if offsets[i] == offsets[i + 1]:
            continue
        at, end, is_list = read_item(data, offsets[i], offsets[i + 1])
        if at < 0 or not is_list or end != offsets[i + 1]:
            return i
        at = _read_word(data, at, end, 8, nonce, i)
        if at >= 0:
            at = _read_word(data, at, end, 32, balance, i)
        if at < 0 or end - at != 66 or data[at] != 0xA0 or data[at + 33] != 0xA0:
            return i
        copy_bytes(root, i * 32, data, at + 1, 32)
        copy_bytes(code_hash, i * 32, data, at + 34, 32)
    return -1


@compiled
def _encode_words(words, out, offsets):  # type: ignore[no-untyped-def]
    at = 0
    offsets[0] = 0
    for i in range(words.shape[0]):
        if _trimmed(words, i, 32) < 32:
            at = _write_word(words, i, 32, out, at)
        offsets[i + 1] = at


def encode_words(words: np.ndarray) -> Ragged:
    """RLP of storage words uint8[S,32] without their leading zeros; nothing for zero, which a storage trie does not
    hold.
    """
    out = np.empty(33 * len(words), dtype=np.uint8)
    offsets = np.empty(len(words) + 1, dtype=np.int64)
    _encode_words(words, out, offsets)
    return Ragged(out[: offsets[-1]], offsets)


@compiled
def decode_words(data, offsets, words):  # type: ignore[no-untyped-def]
    """RLP of storage words to ``words`` uint8[S,32]; the first row that is malformed, or -1. No bytes is zero."""
    for i in range(words.shape[0]):
        if offsets[i] == offsets[i + 1]:
            for j in range(32):
                words[i, j] = 0
        elif _read_word(data, offsets[i], offsets[i + 1], 32, words, i) != offsets[i + 1]:
            return i
    return -1
