"""Between the chain's columns and the Python values that the revm binding speaks: hex addresses and integers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

__all__ = ["addresses_to_column", "addresses_to_hex", "ints_to_words", "words_to_ints"]


def addresses_to_hex(column: np.ndarray) -> list[str]:
    """uint8[N,20] to N lowercase strings ``0x`` and 40 digits."""
    text = np.ascontiguousarray(column).tobytes().hex()
    return ["0x" + text[start : start + 40] for start in range(0, len(text), 40)]


def addresses_to_column(addresses: Sequence[str]) -> np.ndarray:
    """N strings ``0x`` and 40 hex digits to uint8[N,20]."""
    data = bytes.fromhex("".join([address[2:] for address in addresses]))
    return np.frombuffer(data, dtype=np.uint8).reshape(-1, 20)


def words_to_ints(column: np.ndarray) -> list[int]:
    """Big-endian 256-bit words uint8[N,32] to N integers."""
    if not column[:, :24].any():
        return np.ascontiguousarray(column[:, 24:]).view(">u8").ravel().tolist()
    data = np.ascontiguousarray(column).tobytes()
    return [int.from_bytes(data[start : start + 32], "big") for start in range(0, len(data), 32)]


def ints_to_words(values: Sequence[int]) -> np.ndarray:
    """N integers below 2**256 to big-endian words uint8[N,32]."""
    data = b"".join([value.to_bytes(32, "big") for value in values])
    return np.frombuffer(data, dtype=np.uint8).reshape(-1, 32)
