"""Whole transforms: what each length needs besides the data, and the passes over it."""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np

from chaindp.kernels.fields import Field
from chaindp_cpu import ntt
from chaindp_cpu.fields import inverse_of_prime, montgomery

__all__ = ["Extension", "Transform", "coset_scale", "inverse_scale", "montgomery_powers"]

_LINE = ntt.LINE

SHORTEST_LOG2 = 8
"""From here on a row is a matrix of sixteen rows and columns or more."""

LONGEST_LOG2 = 20
"""Up to here the buffer of one pass, 64 KiB, and a table of all factors, 4 MiB, have a level of cache to be in."""

_NOTHING = np.empty(0, dtype=np.uint32)


def montgomery_powers(base: int, count: int, field: Field, start: int = 1) -> np.ndarray:
    """uint32[count]: ``start`` times the powers of ``base``, from the zeroth on, times R."""
    values = np.empty(count, dtype=np.uint32)
    ntt.powers(values, base, montgomery(start, field), field.prime)
    return values


def inverse_scale(log2_size: int, field: Field) -> np.ndarray:
    """The factor of an inverse transform's results, 1/n."""
    return np.full(_LINE, montgomery(pow(1 << log2_size, -1, field.prime), field), dtype=np.uint32)


def coset_scale(shift: int, log2_size: int, field: Field) -> np.ndarray:
    """The factors of an inverse transform's results whose next transform is to be on a coset: shift^i / n."""
    scale = montgomery_powers(shift, 1 << log2_size, field, pow(1 << log2_size, -1, field.prime))
    return scale if log2_size >= SHORTEST_LOG2 else np.repeat(scale, _LINE)


def _reversed_bits(log2_size: int) -> np.ndarray:
    order = np.zeros(1, dtype=np.int64)
    for _ in range(log2_size):
        order = np.concatenate([2 * order, 2 * order + 1])
    return order


class _Plan(NamedTuple):
    """What transforms of one length need: tables of factors, times R, and orders of lines.

    log2_rows, log2_length: of the matrix that a row is; without rows where it is short
    columns: uint32, for every sixteen columns the factors of the first pass, a line for every butterfly
    rows:    uint64, the powers of the root of the second pass
    """

    root: int
    log2_rows: int
    log2_length: int
    columns: np.ndarray
    rows: np.ndarray
    rows_order: np.ndarray
    length_order: np.ndarray


def _column_factors(root: int, left: int, log2_rows: int, length: int, field: Field, table: np.ndarray) -> None:
    """The factors of sixteen columns, from ``left`` on, into ``table`` uint32[16 * (rows - 1)]."""
    table[:_LINE] = montgomery_powers(root, _LINE, field, pow(root, left, field.prime))
    step = np.full(_LINE, montgomery(pow(root, length, field.prime), field), dtype=np.uint32)
    ntt.fill_factors(table, step, log2_rows, field.prime, inverse_of_prime(field))


@functools.lru_cache(maxsize=16)
def _plan(field: Field, log2_size: int, inverse: bool) -> _Plan:
    root = field.root_of_unity(log2_size)
    if inverse:
        root = pow(root, -1, field.prime)
    if log2_size > LONGEST_LOG2:
        log2_rows = LONGEST_LOG2 // 2
    else:
        log2_rows = (log2_size + 1) // 2 if log2_size >= SHORTEST_LOG2 else 0
    log2_length = log2_size - log2_rows
    rows, length = 1 << log2_rows, 1 << log2_length
    columns = row_factors = _NOTHING
    if log2_size <= LONGEST_LOG2:
        row_factors = montgomery_powers(pow(root, rows, field.prime), max(length // 2, 1), field).astype(np.uint64)
        if log2_rows:
            tables = np.empty((length // _LINE, _LINE * (rows - 1)), dtype=np.uint32)
            for group in range(len(tables)):
                _column_factors(root, _LINE * group, log2_rows, length, field, tables[group])
            columns = tables.reshape(-1)
    orders = _reversed_bits(log2_rows), _reversed_bits(log2_length if log2_size <= LONGEST_LOG2 else 0)
    return _Plan(root, log2_rows, log2_length, columns, row_factors, *orders)


class Transform:
    """Transforms of 2^log2_size elements, or inverse ones without their factor 1/n, with the memory that one thread
    needs for them.

    ``scale``: factors of the results: ``inverse_scale``, ``coset_scale``, or none.
    """

    def __init__(self, field: Field, log2_size: int, *, inverse: bool = False, scale: np.ndarray = _NOTHING) -> None:
        self.field = field
        self.log2_size = log2_size
        self.inverse = inverse
        self.scale = scale
        self.plan = plan = _plan(field, log2_size, inverse)
        self.modulus = field.prime, inverse_of_prime(field)
        long = log2_size >= SHORTEST_LOG2
        lines = 1 << max(plan.log2_rows, plan.log2_length if log2_size <= LONGEST_LOG2 else 0)
        # Whole lines of the cache: a vector that straddles two costs twice.
        room = np.empty(_LINE * (lines + 1), dtype=np.uint32)
        skip = -(room.ctypes.data // 4) % _LINE
        self.buffer = room[skip : skip + _LINE * lines]
        self.scratch = np.empty(
            (1 << plan.log2_rows) * ((1 << plan.log2_length) + _LINE) if long else 0, dtype=np.uint32
        )

    @property
    def long(self) -> ntt.Long:
        """What the loops over long rows take."""
        plan = self.plan
        tables = (plan.columns, plan.rows, plan.rows_order, plan.length_order, self.scale)
        return self.scratch, self.buffer, plan.log2_rows, plan.log2_length, *tables, *self.modulus

    def run(self, source: np.ndarray, target: np.ndarray, first: int, last: int, apart: int = 0) -> None:
        """Rows ``first`` to ``last`` of flat ``source`` to those of ``target``.

        apart: from one row of ``source`` to the next, other than the length of a row: of long ones only
        """
        plan, size = self.plan, 1 << self.log2_size
        if self.log2_size < SHORTEST_LOG2:
            ntt.transform_short(
                *(source, target, first, last, plan.log2_length, self.buffer),
                *(plan.rows, plan.length_order, self.scale, *self.modulus),
            )
        elif self.log2_size <= LONGEST_LOG2:
            ntt.transform_rows(source, apart or size, target, first, last, self.long)
        else:
            for row in range(first, last):
                self._huge(source, row * (apart or size), target, row * size)

    def _huge(self, source: np.ndarray, source_at: int, target: np.ndarray, target_at: int) -> None:
        """The first pass over columns; then every row of the matrix is transformed by itself, and moved."""
        plan = self.plan
        rows, length = 1 << plan.log2_rows, 1 << plan.log2_length
        table = np.empty(_LINE * (rows - 1), dtype=np.uint32)
        for left in range(0, length, _LINE):
            _column_factors(plan.root, left, plan.log2_rows, length, self.field, table)
            ntt.first_pass(
                *(source, source_at, self.scratch, self.buffer, plan.log2_rows, length, left),
                *(table, 0, plan.rows_order, *self.modulus),
            )
        inner = Transform(self.field, plan.log2_length, inverse=self.inverse)
        turned = np.empty(_LINE * length, dtype=np.uint32)
        order = np.arange(_LINE, dtype=np.int64)
        apart = length + _LINE
        for top in range(0, rows, _LINE):
            inner.run(self.scratch[top * apart :], turned, 0, _LINE, apart)
            ntt.turn_rows(
                *(turned, length, rows, self.buffer, target, target_at + top, order, self.scale, top, *self.modulus)
            )


class Extension:
    """Extensions of rows of 2^log2_size elements to 2^log2_blowup times as many places, on the coset whose
    ``coset_scale`` it is given, with the memory that one thread needs for them.
    """

    def __init__(self, field: Field, log2_size: int, log2_blowup: int, scale: np.ndarray) -> None:
        self.inward = Transform(field, log2_size, inverse=True, scale=scale)
        self.outward = Transform(field, log2_size + log2_blowup)
        self.long = log2_size >= SHORTEST_LOG2 and log2_size + log2_blowup <= LONGEST_LOG2
        # As many short rows at a time as one call transforms.
        self.together = _LINE if log2_size < SHORTEST_LOG2 else 1
        self.coefficients = np.empty((self.together, 1 << log2_size), dtype=np.uint32)
        self.padded = np.zeros((self.together, 1 << (log2_size + log2_blowup)), dtype=np.uint32)

    def run(self, source: np.ndarray, target: np.ndarray, first: int, last: int) -> None:
        """Rows ``first`` to ``last`` of flat ``source`` to those of ``target``."""
        inward, outward = self.inward, self.outward
        if self.long:
            ntt.extend_rows(source, target, first, last, self.padded.reshape(-1), inward.long, outward.long)
            return
        length, extended = self.coefficients.shape[1], self.padded.shape[1]
        for start in range(first, last, self.together):
            rows = min(self.together, last - start)
            inward.run(source[start * length :], self.coefficients.reshape(-1), 0, rows)
            self.padded[:rows, :length] = self.coefficients[:rows]
            outward.run(self.padded.reshape(-1), target[start * extended :], 0, rows)
