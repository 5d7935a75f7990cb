"""The constraints of an AIR, evaluated in numpy on rows of a table: what holds, and which cells could be others."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from chaindp.chain.airs import Air, Constraints, Rows
from chaindp.kernels.fields import FIELDS


class Values:
    """Elements of the field, many at once: uint32, canonical."""

    __slots__ = ("prime", "values")

    def __init__(self, values: np.ndarray, prime: int) -> None:
        self.values, self.prime = values, prime

    def many(self, other: Values | int) -> np.ndarray:
        if isinstance(other, int):
            return np.full(self.values.shape, other % self.prime, dtype=np.uint32)
        return other.values

    def __add__(self, other: Values | int) -> Values:
        # Below 2^32; what p is taken from too often is larger than it was.
        total = self.values + self.many(other)
        return Values(np.minimum(total, total - np.uint32(self.prime)), self.prime)

    __radd__ = __add__

    def __sub__(self, other: Values | int) -> Values:
        total = self.values - self.many(other)
        return Values(np.minimum(total, total + np.uint32(self.prime)), self.prime)

    def __rsub__(self, other: int) -> Values:
        return Values(self.many(other), self.prime) - self

    def __mul__(self, other: Values | int) -> Values:
        product = self.values.astype(np.uint64) * self.many(other) % np.uint64(self.prime)
        return Values(product.astype(np.uint32), self.prime)

    __rmul__ = __mul__


def evaluate(air: Air, local: np.ndarray, after: np.ndarray, public: Sequence[int]) -> list[tuple[Rows, np.ndarray]]:
    """The value of each constraint of a lane for rows uint32[width, n] and the rows after them."""
    prime = FIELDS[air.field].prime
    cells = [[Values(column, prime) for column in rows] for rows in (local, after)]
    values = [Values(np.full(local.shape[1], value, dtype=np.uint32), prime) for value in public]
    said: Constraints[Values] = Constraints(*cells, values)
    air.constraints(said)
    return [(rows, zero.values) for rows, zero in said.found]


def holds_in(rows: Rows, count: int) -> np.ndarray:
    """bool[count]: the rows of a table that a constraint is about."""
    at = np.arange(count)
    return {
        Rows.EVERY: at >= 0, Rows.TRANSITION: at < count - 1, Rows.FIRST: at == 0, Rows.LAST: at == count - 1
    }[rows]  # fmt: skip


def broken(air: Air, table: np.ndarray, public: Sequence[int] = ()) -> list[tuple[int, int]]:
    """Lane and row of what does not hold in a table."""
    found = set()
    for lane in range(air.lanes):
        local = table[lane * air.width : (lane + 1) * air.width]
        for rows, values in evaluate(air, local, np.roll(local, -1, axis=1), public):
            found |= {(lane, int(row)) for row in np.flatnonzero((values != 0) & holds_in(rows, table.shape[1]))}
    return sorted(found)


def breaking(air: Air, tables: np.ndarray, public: Sequence[int] = ()) -> np.ndarray:
    """bool[n]: which of n tables uint32[n, columns, rows], of one lane, break a constraint where it has to hold."""
    count, width, rows = tables.shape
    local, after = (part.transpose(1, 0, 2).reshape(width, -1) for part in (tables, np.roll(tables, -1, axis=2)))
    found = np.zeros(count, dtype=bool)
    for kind, values in evaluate(air, local, after, public):
        found |= ((values.reshape(count, rows) != 0) & holds_in(kind, rows)).any(axis=1)
    return found


def another(values: np.ndarray) -> np.ndarray:
    """Of each value another one: bits are turned around."""
    return np.where(values <= 1, 1 - values.astype(np.int64), values.astype(np.int64) - 1).astype(np.uint32)


def unnoticed(
    air: Air,
    table: np.ndarray,
    row: int,
    public: Sequence[int] = (),
    change: Callable[[np.ndarray], np.ndarray] = another,
) -> list[int]:
    """Columns of a table of one lane whose cell in ``row`` may be changed, each alone, and all constraints still hold.

    change: the cells of the row to others
    """
    width, count = table.shape
    # The last one is the row as it is.
    changed = np.repeat(table[:, row, None], width + 1, axis=1)
    changed[np.arange(width), np.arange(width)] = change(table[:, row])
    assert np.all(changed.diagonal() != table[:, row])
    before, after = (np.repeat(table[:, at % count, None], width + 1, axis=1) for at in (row - 1, row + 1))
    noticed = np.zeros(width + 1, dtype=bool)
    for at, local, following in ((row, changed, after), ((row - 1) % count, before, changed)):
        for rows, values in evaluate(air, local, following, public):
            if holds_in(rows, count)[at]:
                noticed |= values != 0
    assert not noticed[-1], "the table does not satisfy the AIR as it is"
    return np.flatnonzero(~noticed[:-1]).tolist()
