"""256-bit words: Python integers to big-endian ``uint8[32]`` rows and back."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from chaindp.errors import InputError

__all__ = ["ints_to_words", "words_to_ints"]


def ints_to_words(values: Iterable[int]) -> np.ndarray:
    """Integers in [0, 2**256) as uint8[N,32], big-endian, writable. InputError outside that range."""
    try:
        data = bytearray().join([value.to_bytes(32, "big") for value in values])
    except OverflowError:
        raise InputError("an integer is negative or does not fit a 256-bit word") from None
    return np.frombuffer(data, dtype=np.uint8).reshape(-1, 32)


def words_to_ints(words: np.ndarray) -> list[int]:
    """Big-endian words uint8[N,32] as N Python integers."""
    if not words[:, :24].any():
        # Most values fit 64 bits, and numpy converts those without a step of Python for each.
        return np.ascontiguousarray(words[:, 24:]).view(">u8").ravel().tolist()
    data = np.ascontiguousarray(words).tobytes()
    return [int.from_bytes(data[at : at + 32], "big") for at in range(0, len(data), 32)]
