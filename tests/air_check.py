"""Constraints of an AIR on a table itself, modulo p: which of them are not zero, and where."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from chaindp.chain.airs import Air, Constraints, Rows
from chaindp.kernels.fields import FIELDS


class Cells:
    """An array of elements. Products are reduced at once: 62 bits."""

    def __init__(self, values: np.ndarray, prime: int) -> None:
        self.values, self.prime = values, prime

    def _with(self, other: Cells | int) -> np.ndarray:
        return other.values if isinstance(other, Cells) else np.int64(other % self.prime)

    def __add__(self, other: Cells | int) -> Cells:
        return Cells((self.values + self._with(other)) % self.prime, self.prime)

    __radd__ = __add__

    def __sub__(self, other: Cells | int) -> Cells:
        return Cells((self.values - self._with(other)) % self.prime, self.prime)

    def __rsub__(self, other: int) -> Cells:
        return Cells((other - self.values) % self.prime, self.prime)

    def __mul__(self, other: Cells | int) -> Cells:
        return Cells(self.values * self._with(other) % self.prime, self.prime)

    __rmul__ = __mul__


def broken(air: Air, tables: np.ndarray, public: Sequence[int]) -> np.ndarray:
    """bool[n]: which of n tables [n, columns, rows], of one lane, break a constraint where it has to hold."""
    prime = FIELDS[air.field].prime
    tables = tables.astype(np.int64)
    columns = [Cells(tables[:, i], prime) for i in range(air.width)]
    following = [Cells(np.roll(tables[:, i], -1, axis=1), prime) for i in range(air.width)]
    said: Constraints[Cells] = Constraints(columns, following, [Cells(np.int64(value), prime) for value in public])
    air.constraints(said)
    rows = tables.shape[2]
    where = {
        Rows.EVERY: slice(0, rows),
        Rows.TRANSITION: slice(0, rows - 1),
        Rows.FIRST: slice(0, 1),
        Rows.LAST: slice(rows - 1, rows),
    }
    found = np.zeros(len(tables), dtype=bool)
    for kind, zero in said.found:
        found |= np.broadcast_to(zero.values, tables[:, 0].shape)[:, where[kind]].any(axis=1)
    return found
