"""Number-theoretic transforms of rows of field elements, in two passes that each work in the cache's nearest level.

A row of n = rows * length elements is looked at as a matrix, row by row. The first pass transforms its columns, sixteen
side by side, by butterflies whose factors take in the place within the row, so that nothing remains to be multiplied
between the passes. The second pass transforms its rows, again sixteen side by side, one in each lane. (D. H. Bailey,
FFTs in external or hierarchical memory, J. Supercomputing 4 (1990); the factors are those of a transform by Gentleman
and Sande's butterflies as a whole.) The order of reversed bits that butterflies leave is undone where results move on.
Transforms of fewer than 256 elements go sixteen at a time, one in each lane; those of more than 2^20 have a pass more.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from chaindp_cpu.fields import Halves, Modular
from chaindp_cpu.simd import (
    INT,
    INTS_IN,
    WORDS32,
    WORDS32_IN,
    WORDS64_IN,
    Lanes,
    copy_bytes,
    data_pointer,
    has_wide_vectors,
    kernel,
)

__all__ = [
    "LINE",
    "extend_rows",
    "fill_factors",
    "first_pass",
    "powers",
    "transform_rows",
    "transform_short",
    "turn_rows",
]

LINE = 16
"""Elements side by side: a line of the cache, 64 bytes."""

_APART = LINE
"""Words between rows of the matrix between the passes: at a power of two, its columns would share a few sets of the
cache."""

_PART = 16 if has_wide_vectors() else 8
_LINE = 4 * LINE
_I64 = ir.IntType(64)

Long = tuple[Any, ...]


class _Emitter:
    """Butterflies on lines of sixteen lanes in memory, in parts of a vector's width."""

    def __init__(self, builder: ir.IRBuilder, prime: ir.Value, inverse: ir.Value) -> None:
        self.builder = builder
        self.v = Lanes(builder, 32, _PART)
        narrow = ir.IntType(32)
        p, i = (self.v.splat(builder.trunc(value, narrow)) for value in (prime, inverse))
        self.m = Modular(self.v, p, i)

    def line(self, base: ir.Value, number: ir.Value) -> ir.Value:
        return self.v.at(base, self.builder.mul(number, ir.Constant(_I64, _LINE)))

    def scalar(self, table: ir.Value, place: ir.Value) -> Halves:
        """One factor of a table of 64-bit words for all lanes."""
        one = Lanes(self.builder, 64, 1)
        word = one.load(table, self.builder.mul(place, ir.Constant(_I64, 8)))
        factor = self.m.factor(self.m.wide.splat(word))
        return Halves(factor, factor)

    def turned(self, low: ir.Value, high: ir.Value, factor: Halves | None) -> tuple[ir.Value, ir.Value]:
        """The sum, and the difference times the factor, or times one."""
        m = self.m
        if factor is None:
            return m.add(low, high), m.sub(low, high)
        # A factor takes any number between -p and p: the difference is left as it is.
        difference = m.halves(self.builder.sub(low, high))
        return m.add(low, high), m.canonical(m.joined(m.product(difference, factor)))

    def two(self, lines: Sequence[ir.Value], factors: Sequence[Halves | ir.Value]) -> None:
        for part in range(0, _LINE, 4 * _PART):
            (factor,) = self._of_part(factors, part)
            low, high = (self.v.load(at, part) for at in lines)
            for value, at in zip(self.turned(low, high, factor), lines, strict=True):
                self.v.store(value, at, part)

    def four(self, lines: Sequence[ir.Value], factors: Sequence[Halves | ir.Value | None]) -> None:
        """Two layers: lines 0 and 2, 1 and 3 with the first two factors, then 0 and 1, 2 and 3 with the third."""
        for part in range(0, _LINE, 4 * _PART):
            first, second, third = self._of_part(factors, part)
            a, b, c, d = (self.v.load(at, part) for at in lines)
            a, c = self.turned(a, c, first)
            b, d = self.turned(b, d, second)
            out = (*self.turned(a, b, third), *self.turned(c, d, third))
            for value, at in zip(out, lines, strict=True):
                self.v.store(value, at, part)

    def _of_part(self, factors: Sequence[Any], part: int) -> list[Halves | None]:
        """Factors as they are, or from a line of memory."""
        return [
            factor if factor is None or isinstance(factor, Halves) else self.m.halves(self.v.load(factor, part))
            for factor in factors
        ]


def _emitting(emit: Any) -> Any:
    def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        values = [
            data_pointer(context, builder, kind, value) if isinstance(kind, types.Array) else value
            for kind, value in zip(signature.args, args, strict=True)
        ]
        emit(_Emitter(builder, *values[-2:]), *values[:-2])
        return context.get_dummy_value()

    return generate


def _lines(e: _Emitter, buffer: ir.Value, row: ir.Value, apart: ir.Value, count: int) -> list[ir.Value]:
    numbers = [row]
    for _ in range(count - 1):
        numbers.append(e.builder.add(numbers[-1], apart))
    return [e.line(buffer, number) for number in numbers]


@intrinsic
def _two_scalar(_typing: Any, buffer: Any, row: Any, apart: Any, table: Any, at: Any, prime: Any, inverse: Any) -> Any:
    """One butterfly of lines ``row`` and ``row + apart``, with the factor ``table[at]``."""

    def emit(e: _Emitter, buffer: ir.Value, row: ir.Value, apart: ir.Value, table: ir.Value, at: ir.Value) -> None:
        e.two(_lines(e, buffer, row, apart, 2), [e.scalar(table, at)])

    return types.void(buffer, row, apart, table, at, prime, inverse), _emitting(emit)


@intrinsic
def _four_scalar(
    _typing: Any, buffer: Any, row: Any, apart: Any, table: Any, a: Any, b: Any, c: Any, prime: Any, inverse: Any
) -> Any:
    """Two layers of four lines, ``apart`` from each other, with the factors ``table[a]``, ``[b]`` and ``[c]``."""

    def emit(e: _Emitter, buffer: ir.Value, row: ir.Value, apart: ir.Value, table: ir.Value, *at: ir.Value) -> None:
        e.four(_lines(e, buffer, row, apart, 4), [e.scalar(table, place) for place in at])

    return types.void(buffer, row, apart, table, a, b, c, prime, inverse), _emitting(emit)


@intrinsic
def _four_last(_typing: Any, buffer: Any, row: Any, table: Any, at: Any, prime: Any, inverse: Any) -> Any:
    """The last two layers, of four lines in a row: all factors are one, but for ``table[at]``."""

    def emit(e: _Emitter, buffer: ir.Value, row: ir.Value, table: ir.Value, at: ir.Value) -> None:
        e.four(_lines(e, buffer, row, ir.Constant(_I64, 1), 4), [None, e.scalar(table, at), None])

    return types.void(buffer, row, table, at, prime, inverse), _emitting(emit)


@intrinsic
def _two_vector(_typing: Any, buffer: Any, row: Any, apart: Any, table: Any, at: Any, prime: Any, inverse: Any) -> Any:
    """As ``_two_scalar``, a factor for each lane: line ``at`` of ``table``."""

    def emit(e: _Emitter, buffer: ir.Value, row: ir.Value, apart: ir.Value, table: ir.Value, at: ir.Value) -> None:
        e.two(_lines(e, buffer, row, apart, 2), [e.line(table, at)])

    return types.void(buffer, row, apart, table, at, prime, inverse), _emitting(emit)


@intrinsic
def _four_vector(
    _typing: Any, buffer: Any, row: Any, apart: Any, table: Any, a: Any, b: Any, c: Any, prime: Any, inverse: Any
) -> Any:
    """As ``_four_scalar``, a factor for each lane: lines ``a``, ``b`` and ``c`` of ``table``."""

    def emit(e: _Emitter, buffer: ir.Value, row: ir.Value, apart: ir.Value, table: ir.Value, *at: ir.Value) -> None:
        e.four(_lines(e, buffer, row, apart, 4), [e.line(table, place) for place in at])

    return types.void(buffer, row, apart, table, a, b, c, prime, inverse), _emitting(emit)


@intrinsic
def _line_times(
    _typing: Any, source: Any, line: Any, factors: Any, at: Any, target: Any, to: Any, prime: Any, inverse: Any
) -> Any:
    """A line of ``source`` times sixteen factors from ``factors[at:]``, to sixteen words from ``target[to:]``."""

    def emit(
        e: _Emitter, source: ir.Value, line: ir.Value, factors: ir.Value, at: ir.Value, target: ir.Value, to: ir.Value
    ) -> None:
        read = e.line(source, line)
        scale, write = (
            e.v.at(base, e.builder.mul(place, ir.Constant(_I64, 4))) for base, place in ((factors, at), (target, to))
        )
        for part in range(0, _LINE, 4 * _PART):
            e.v.store(e.m.times(e.v.load(read, part), e.v.load(scale, part)), write, part)

    return types.void(source, line, factors, at, target, to, prime, inverse), _emitting(emit)


@intrinsic
def _turn(_typing: Any, source: Any, at: Any, apart: Any, buffer: Any, line: Any) -> Any:
    """Sixteen rows of sixteen words, ``apart`` from each other from ``source[at:]``, to sixteen lines of columns."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        v = Lanes(builder, 32, _PART)
        read = data_pointer(context, builder, signature.args[0], args[0])
        write = data_pointer(context, builder, signature.args[3], args[3])
        write = v.at(write, builder.mul(args[4], ir.Constant(_I64, _LINE)))
        four = ir.Constant(_I64, 4)
        for low in range(0, LINE, _PART):
            for left in range(0, LINE, _PART):
                rows = []
                for row in range(low, low + _PART):
                    start = builder.add(args[1], builder.mul(args[2], ir.Constant(_I64, row)))
                    rows.append(v.load(v.at(read, builder.mul(start, four)), 4 * left))
                for place, column in enumerate(v.transpose(rows)):
                    v.store(column, write, _LINE * (left + place) + 4 * low)
        return context.get_dummy_value()

    return types.void(source, at, apart, buffer, line), generate


@kernel(types.void(WORDS32, INT, WORDS64_IN, INT, INT))
def _layers(buffer: np.ndarray, log2_rows: int, table: np.ndarray, prime: int, inverse: int) -> None:
    """All butterflies down the lines of ``buffer``; ``table`` has the powers of the root, one for each half."""
    rows = 1 << log2_rows
    size, step = rows, 1
    if log2_rows % 2:
        size, step = rows // 2, 2
        for j in range(size):
            _two_scalar(buffer, j, size, table, j, prime, inverse)
    while size > 4:
        apart = size // 4
        for j in range(apart):
            for block in range(j, rows, size):
                _four_scalar(buffer, block, apart, table, step * j, step * (j + apart), 2 * step * j, prime, inverse)
        size, step = apart, 4 * step
    if size == 4:
        for block in range(0, rows, 4):
            _four_last(buffer, block, table, step, prime, inverse)


@kernel(types.void(WORDS32, INT, WORDS32_IN, INT, INT, INT))
def _layers_of_columns(
    buffer: np.ndarray, log2_rows: int, table: np.ndarray, first: int, prime: int, inverse: int
) -> None:
    """The butterflies of the whole row's first layers down the lines of ``buffer``.

    From line ``first`` of ``table`` on: the factors of the first layer, half as many lines as there are, then those of
    the second one, a quarter...
    """
    rows = 1 << log2_rows
    size, layer = rows, first
    if log2_rows % 2:
        size = rows // 2
        for j in range(size):
            _two_vector(buffer, j, size, table, layer + j, prime, inverse)
        layer += size
    while size > 1:
        apart = size // 4
        for j in range(apart):
            for block in range(j, rows, size):
                _four_vector(
                    buffer,
                    block,
                    apart,
                    table,
                    layer + j,
                    layer + j + apart,
                    layer + 2 * apart + j,
                    prime,
                    inverse,
                )
        layer += 3 * apart
        size = apart


@kernel(types.void(WORDS32, WORDS32_IN, INT, INT, INT))
def fill_factors(table: np.ndarray, step: np.ndarray, log2_rows: int, prime: int, inverse: int) -> None:
    """The factors that ``_layers_of_columns`` takes, sixteen columns' from a first line that is there already.

    step: uint32[16], the root to the length of a row, in every lane. A line follows from the one above it, and a layer
    from the one before: its exponents are twice as large.
    """
    count = 1 << log2_rows >> 1
    for line in range(1, count):
        _line_times(table, line - 1, step, 0, table, 16 * line, prime, inverse)
    layer = 0
    while count > 1:
        below = layer + count
        count >>= 1
        for line in range(count):
            _line_times(table, layer + line, table, 16 * (layer + line), table, 16 * (below + line), prime, inverse)
        layer = below


@kernel(types.void(WORDS32_IN, INT, WORDS32, WORDS32, INT, INT, INT, WORDS32_IN, INT, INTS_IN, INT, INT))
def first_pass(
    source: np.ndarray,
    source_at: int,
    scratch: np.ndarray,
    buffer: np.ndarray,
    log2_rows: int,
    length: int,
    left: int,
    table: np.ndarray,
    first: int,
    order: np.ndarray,
    prime: int,
    inverse: int,
) -> None:
    """Columns ``left`` to ``left + 16`` of the matrix at ``source[source_at:]``, transformed, to ``scratch``, in which
    rows are 16 words apart.

    table, first: the factors, and their first line
    """
    rows = 1 << log2_rows
    for row in range(rows):
        copy_bytes(source, 4 * (source_at + row * length + left), buffer, 64 * row, 64)
    _layers_of_columns(buffer, log2_rows, table, first, prime, inverse)
    for row in range(rows):
        copy_bytes(buffer, 64 * row, scratch, 4 * (order[row] * (length + _APART) + left), 64)


_first_pass = first_pass


@kernel(types.void(WORDS32, INT, INT, WORDS32, INT, WORDS32_IN, INT, INTS_IN, INT, INT))
def _put_lines(
    buffer: np.ndarray,
    count: int,
    rows: int,
    target: np.ndarray,
    target_at: int,
    scale: np.ndarray,
    scale_at: int,
    order: np.ndarray,
    prime: int,
    inverse: int,
) -> None:
    """Lines of ``buffer`` to every ``rows``-th line-long place of ``target``, scaled where ``scale`` is not empty.

    A scale of sixteen is the same for every line.
    """
    for line in range(count):
        to = order[line] * rows
        if len(scale):
            at = scale_at + to if len(scale) > 16 else 0
            _line_times(buffer, line, scale, at, target, target_at + to, prime, inverse)
        else:
            copy_bytes(buffer, 64 * line, target, 4 * (target_at + to), 64)


_LONG = types.Tuple((WORDS32, WORDS32, INT, INT, WORDS32_IN, WORDS64_IN, INTS_IN, INTS_IN, WORDS32_IN, INT, INT))
"""What a long transform works in and with, in the order in which ``_transform_long`` names it."""


@kernel(types.void(WORDS32_IN, INT, WORDS32, INT, _LONG))
def _transform_long(source: np.ndarray, source_at: int, target: np.ndarray, target_at: int, long: Long) -> None:
    """The transform of the row at ``source[source_at:]`` to ``target[target_at:]``, in two passes.

    Of ``long``:

    scratch:       uint32[rows * (length + 16)]; buffer: uint32[16 * rows or length, the larger]
    columns_table, rows_table, rows_order, length_order: see ``chaindp_cpu.transforms``
    scale:         factors of the results, uint32[n], or of all of them, uint32[16], times R; none where it is empty
    """
    scratch, buffer, log2_rows, log2_length, columns_table, rows_table, rows_order, length_order = long[:8]
    scale, prime, inverse = long[8:]
    rows, length = 1 << log2_rows, 1 << log2_length
    for left in range(0, length, 16):
        _first_pass(
            source,
            source_at,
            scratch,
            buffer,
            log2_rows,
            length,
            left,
            columns_table,
            (left // 16) * (rows - 1),
            rows_order,
            prime,
            inverse,
        )
    for top in range(0, rows, 16):
        for left in range(0, length, 16):
            _turn(scratch, top * (length + _APART) + left, length + _APART, buffer, left)
        _layers(buffer, log2_length, rows_table, prime, inverse)
        _put_lines(buffer, length, rows, target, target_at + top, scale, top, length_order, prime, inverse)


@kernel(types.void(WORDS32_IN, INT, WORDS32, INT, INT, _LONG))
def transform_rows(source: np.ndarray, apart: int, target: np.ndarray, first: int, last: int, long: Long) -> None:
    """The transforms of rows ``first`` to ``last`` of ``source``, ``apart`` from each other, to ``target``."""
    size = 1 << (long[2] + long[3])
    for row in range(first, last):
        _transform_long(source, row * apart, target, row * size, long)


@kernel(types.void(WORDS32_IN, WORDS32, INT, INT, WORDS32, _LONG, _LONG))
def extend_rows(
    source: np.ndarray, target: np.ndarray, first: int, last: int, padded: np.ndarray, inward: Long, outward: Long
) -> None:
    """Rows ``first`` to ``last`` of ``source``, transformed as ``inward`` says and then as ``outward`` does.

    padded: uint32[size of the second transform]: zeros behind the size of the first one
    """
    size, extended = 1 << (inward[2] + inward[3]), 1 << (outward[2] + outward[3])
    for row in range(first, last):
        _transform_long(source, row * size, padded, 0, inward)
        _transform_long(padded, 0, target, row * extended, outward)


@kernel(types.void(WORDS32_IN, INT, INT, WORDS32, WORDS32, INT, INTS_IN, WORDS32_IN, INT, INT, INT))
def turn_rows(
    source: np.ndarray,
    length: int,
    rows: int,
    buffer: np.ndarray,
    target: np.ndarray,
    target_at: int,
    order: np.ndarray,
    scale: np.ndarray,
    scale_at: int,
    prime: int,
    inverse: int,
) -> None:
    """Sixteen rows of ``length``, one after another in ``source``, to columns of a matrix of ``rows`` columns.

    buffer: uint32[256]; order: 0 to 15; scale: as for ``_transform_long``
    """
    for left in range(0, length, 16):
        _turn(source, left, length, buffer, 0)
        at = left * rows
        _put_lines(buffer, 16, rows, target, target_at + at, scale, scale_at + at, order, prime, inverse)


@kernel(types.void(WORDS32_IN, WORDS32, INT, INT, INT, WORDS32, WORDS64_IN, INTS_IN, WORDS32_IN, INT, INT))
def transform_short(
    source: np.ndarray,
    target: np.ndarray,
    first: int,
    last: int,
    log2_length: int,
    buffer: np.ndarray,
    table: np.ndarray,
    order: np.ndarray,
    scale: np.ndarray,
    prime: int,
    inverse: int,
) -> None:
    """The transforms of rows ``first`` to ``last`` of fewer than 256 elements, sixteen at a time, one in each lane.

    scale: factors of the results, times R, sixteen alike for each, or once for all; none where it is empty
    """
    length = 1 << log2_length
    for start in range(first, last, 16):
        lanes = min(16, last - start)
        for lane in range(lanes):
            for place in range(length):
                buffer[16 * place + lane] = source[(start + lane) * length + place]
        _layers(buffer, log2_length, table, prime, inverse)
        for line in range(length):
            to = order[line]
            if len(scale):
                at = 16 * to if len(scale) > 16 else 0
                _line_times(buffer, line, scale, at, buffer, 16 * line, prime, inverse)
            for lane in range(lanes):
                target[(start + lane) * length + to] = buffer[16 * line + lane]


@kernel(types.void(WORDS32, INT, INT, INT))
def powers(values: np.ndarray, base: int, start: int, prime: int) -> None:
    """``start`` times base^0, base^1, ... modulo ``prime``: canonical elements."""
    p = np.uint64(prime)
    factor = np.uint64(base)
    value = np.uint64(start)
    for i in range(len(values)):
        values[i] = np.uint32(value)
        value = value * factor % p
