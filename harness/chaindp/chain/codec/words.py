"""256-bit words: Python integers to big-endian ``uint8[32]`` rows and back."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from chaindp.errors import InputError

__all__ = ["int_to_word", "ints_to_words", "trim", "uint64_to_words", "word_to_int", "words_to_ints", "words_to_uint64"]


def _digits(value: int) -> bytes:
    if not 0 <= value < 1 << 256:
        raise InputError(f"{value:#x} does not fit a 256-bit word")
    return value.to_bytes(32, "big")


def int_to_word(value: int) -> np.ndarray:
    """``value`` in [0, 2**256) as uint8[32], big-endian, writable. InputError outside that range."""
    return np.frombuffer(_digits(value), dtype=np.uint8).copy()


def ints_to_words(values: Iterable[int]) -> np.ndarray:
    """Integers in [0, 2**256) as uint8[N,32], big-endian, writable. InputError outside that range."""
    return np.frombuffer(b"".join([_digits(int(value)) for value in values]), dtype=np.uint8).reshape(-1, 32).copy()


def uint64_to_words(values: np.ndarray) -> np.ndarray:
    """uint64[N] as uint8[N,32], big-endian."""
    words = np.zeros((len(values), 32), dtype=np.uint8)
    words[:, 24:] = np.ascontiguousarray(values, dtype=">u8").view(np.uint8).reshape(-1, 8)
    return words


def words_to_uint64(words: np.ndarray) -> np.ndarray:
    """uint8[N,32] as uint64[N]. InputError naming the first row that is 2**64 or more."""
    large = words[:, :24].any(axis=1)
    if large.any():
        raise InputError(f"word {int(np.argmax(large))} does not fit 64 bits")
    return np.ascontiguousarray(words[:, 24:]).view(">u8").reshape(-1).astype(np.uint64)


def word_to_int(word: np.ndarray) -> int:
    """uint8[32] (any length works), big-endian, as a Python integer."""
    return int.from_bytes(word.tobytes(), "big")


def words_to_ints(words: np.ndarray) -> list[int]:
    """uint8[N,32], big-endian, as Python integers."""
    data = np.ascontiguousarray(words).tobytes()
    return [int.from_bytes(data[at : at + 32], "big") for at in range(0, len(data), 32)]


def trim(word: np.ndarray) -> bytes:
    """The bytes of ``word`` without leading zeros; empty for 0: how RLP writes integers."""
    return word.tobytes().lstrip(b"\0")
