"""Between the chain's columns of addresses and the hex strings that the revm binding speaks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

__all__ = ["addresses_to_column", "addresses_to_hex"]


def addresses_to_hex(column: np.ndarray) -> list[str]:
    """uint8[N,20] to N lowercase strings ``0x`` and 40 digits."""
    text = np.ascontiguousarray(column).tobytes().hex()
    return ["0x" + text[start : start + 40] for start in range(0, len(text), 40)]


def addresses_to_column(addresses: Sequence[str]) -> np.ndarray:
    """N strings ``0x`` and 40 hex digits to uint8[N,20]."""
    data = bytes.fromhex("".join([address[2:] for address in addresses]))
    return np.frombuffer(data, dtype=np.uint8).reshape(-1, 20)
