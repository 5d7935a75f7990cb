"""Poseidon2 of width 16 over many states at a time, one in each 32-bit lane of sixteen vectors.

Two batches of states take turns in the internal rounds: those wait for one S-box after another, which a CPU fills with
another batch's work only where it is close by in the code.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from chaindp.kernels.fields import BABYBEAR, KOALABEAR, Field
from chaindp.kernels.poseidon2 import INSTANCES, WIDTH, Instance, round_constants
from chaindp_cpu.fields import Modular, inverse_of_prime, montgomery
from chaindp_cpu.simd import INT, WORDS32, WORDS32_IN, Lanes, data_pointer, has_wide_vectors, kernel

__all__ = ["GROUP", "permute"]

LANES = 16 if has_wide_vectors() else 8
"""States of a batch."""

GROUP = 2 * LANES
"""States at a time: two batches."""

_TOGETHER = 2
"""S-boxes whose steps alternate: enough for a CPU to find work while it waits, and few enough for its registers."""

_BATCH = 4 * LANES * WIDTH
_VECTOR = 4 * LANES
_I64 = ir.IntType(64)


class _Permutation:
    """Emits the parts of one field's permutation. Between them, a batch is in memory, canonical and times R."""

    def __init__(self, builder: ir.IRBuilder, instance: Instance) -> None:
        self.builder = builder
        self.instance = instance
        self.v = Lanes(builder, 32, LANES)
        prime, inverse = instance.field.prime, inverse_of_prime(instance.field)
        self.m = Modular(self.v, self.v.constant(prime), self.v.constant(inverse))

    def load(self, state: ir.Value) -> list[ir.Value]:
        return [self.v.load(state, _VECTOR * place) for place in range(WIDTH)]

    def store(self, values: Sequence[ir.Value], state: ir.Value) -> None:
        for place, value in enumerate(values):
            self.v.store(value, state, _VECTOR * place)

    def s_boxes(self, values: Sequence[ir.Value], constants: Sequence[ir.Value]) -> list[ir.Value]:
        """(value + constant)^exponent; a constant is p less than it is, so that the sum needs no correction."""
        m = self.m
        xs = [m.halves(self.builder.add(value, constant)) for value, constant in zip(values, constants, strict=True)]
        squares = [m.again(square) for square in m.products([(x, x) for x in xs])]
        if self.instance.exponent == 3:
            out = m.products(list(zip(squares, xs, strict=True)))
        else:
            assert self.instance.exponent == 7
            thirds = list(zip(squares, xs, strict=True))
            both = [m.again(power) for power in m.products(thirds + list(zip(squares, squares, strict=True)))]
            out = m.products(list(zip(both[: len(xs)], both[len(xs) :], strict=True)))
        return [m.canonical(m.joined(power)) for power in out]

    def external_layer(self, state: Sequence[ir.Value]) -> list[ir.Value]:
        """The 4x4 matrix on each four, in eleven additions, and to each the sum of its like."""
        add, mixed = self.m.add, []
        for start in range(0, WIDTH, 4):
            a, b, c, d = state[start : start + 4]
            ab, cd = add(a, b), add(c, d)
            total = add(ab, cd)
            with_b, with_d = add(total, b), add(total, d)
            mixed += [add(with_b, ab), add(with_b, add(c, c)), add(with_d, cd), add(with_d, add(a, a))]
        sums = [add(add(mixed[i], mixed[i + 4]), add(mixed[i + 8], mixed[i + 12])) for i in range(4)]
        return [add(value, sums[place % 4]) for place, value in enumerate(mixed)]

    def internal_layer(self, first: ir.Value, state: Sequence[ir.Value]) -> list[ir.Value]:
        """``first`` comes from the S-box, later than all the others: their sum does not wait for it."""
        add, sub = self.m.add, self.m.sub
        values = list(state[1:])
        while len(values) > 1:
            values = [add(a, b) for a, b in zip(values[::2], values[1::2], strict=False)] + values[len(values) & ~1 :]
        others = values[0]
        total = add(others, first)
        out = [sub(others, first)]
        for factor, value in zip(self.instance.diagonal[1:], state[1:], strict=True):
            if factor.denominator == 1:
                out.append(self._times_small(total, value, factor.numerator))
            else:
                out.append(self._divided(total, value, factor.denominator.bit_length() - 1, factor.numerator))
        return out

    def _times_small(self, total: ir.Value, value: ir.Value, factor: int) -> ir.Value:
        add = self.m.add
        multiple = {1: value, 2: None, 3: None, 4: None}[abs(factor)]
        if multiple is None:
            multiple = add(value, value)
            if abs(factor) == 3:
                multiple = add(multiple, value)
            elif abs(factor) == 4:
                multiple = add(multiple, multiple)
        return add(total, multiple) if factor > 0 else self.m.sub(total, multiple)

    def _divided(self, total: ir.Value, value: ir.Value, power: int, sign: int) -> ir.Value:
        """``total`` plus or minus value / 2^power, by shifts.

        With u = value mod 2^power, value - u p is a multiple of 2^power, since p - 1 = 2^31 - 2^adicity is one, and
        (value - u p) / 2^power = value >> power less u (2^31 - 2^adicity) / 2^power, which is canonical.
        """
        builder, constant = self.builder, self.v.constant
        adicity = self.instance.field.two_adicity
        assert power <= adicity
        low = builder.shl(value, constant(32 - power))
        less = builder.sub(builder.lshr(low, constant(1)), builder.lshr(low, constant(32 - adicity)))
        more = builder.lshr(value, constant(power))
        if sign > 0:
            return self.m.add(self.m.sub(total, less), more)
        return self.m.sub(self.m.add(total, less), more)


def _table(builder: ir.IRBuilder, name: str, numbers: Sequence[int]) -> ir.Value:
    constants = ir.Constant(ir.ArrayType(ir.IntType(32), len(numbers)), list(numbers))
    table = cgutils.global_constant(builder, name, constants)
    return builder.bitcast(table, ir.IntType(8).as_pointer())


def _shifted(numbers: Sequence[int], field: Field) -> list[int]:
    """Round constants times R, less p."""
    return [(montgomery(number, field) - field.prime) % (1 << 32) for number in numbers]


def _make(instance: Instance) -> tuple[Any, Any, Any, Any]:
    field = instance.field
    constants = round_constants(field.name)
    outer = _shifted([number for row in (*constants.first, *constants.last) for number in row], field)
    inner = _shifted(constants.internal, field)

    def part(emit: Callable[..., None]) -> Callable[..., Any]:
        def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
            pointers = [
                data_pointer(context, builder, kind, value) if isinstance(kind, types.Array) else value
                for kind, value in zip(signature.args, args, strict=True)
            ]
            emit(_Permutation(builder, instance), *pointers)
            return context.get_dummy_value()

        return generate

    def emit_enter(p: _Permutation, source: ir.Value, at: ir.Value, state: ir.Value, batch: ir.Value) -> None:
        read = p.v.at(source, p.builder.mul(at, ir.Constant(_I64, 4)))
        write = p.v.at(state, batch)
        values: list[ir.Value] = []
        for start in range(0, WIDTH, LANES):
            values += p.v.transpose([p.v.load(read, 4 * (WIDTH * lane + start)) for lane in range(LANES)])
        factor = p.v.constant(montgomery(montgomery(1, field), field))
        p.store([p.m.times(value, factor) for value in p.external_layer(values)], write)

    def emit_external(p: _Permutation, state: ir.Value, batch: ir.Value, number: ir.Value) -> None:
        at = p.v.at(state, batch)
        row = p.v.at(_table(p.builder, "external_constants", outer), p.builder.mul(number, ir.Constant(_I64, 64)))
        one = Lanes(p.builder, 32, 1)
        # One after another, in memory between them: sixteen at once would not fit the registers.
        for start in range(0, WIDTH, _TOGETHER):
            places = range(start, start + _TOGETHER)
            added = [p.v.splat(one.load(row, 4 * place)) for place in places]
            powers = p.s_boxes([p.v.load(at, _VECTOR * place) for place in places], added)
            for place, power in zip(places, powers, strict=True):
                p.v.store(power, at, _VECTOR * place)
        p.store(p.external_layer(p.load(at)), at)

    def emit_internal(p: _Permutation, state: ir.Value, number: ir.Value) -> None:
        table = _table(p.builder, "internal_constants", inner)
        one = Lanes(p.builder, 32, 1)
        constant = p.v.splat(one.load(table, p.builder.mul(number, ir.Constant(_I64, 4))))
        for batch in range(GROUP // LANES):
            at = p.v.at(state, _BATCH * batch)
            values = p.load(at)
            (first,) = p.s_boxes(values[:1], [constant])
            p.store(p.internal_layer(first, values), at)

    def emit_leave(p: _Permutation, state: ir.Value, batch: ir.Value, target: ir.Value, at: ir.Value) -> None:
        write = p.v.at(target, p.builder.mul(at, ir.Constant(_I64, 4)))
        values = [p.m.times(value, p.v.constant(1)) for value in p.load(p.v.at(state, batch))]
        for start in range(0, WIDTH, LANES):
            for lane, row in enumerate(p.v.transpose(values[start : start + LANES])):
                p.v.store(row, write, 4 * (WIDTH * lane + start))

    @intrinsic
    def enter(_typing: Any, source: Any, at: Any, state: Any, batch: Any) -> Any:
        """States from ``source[at:]`` to the batch ``batch`` bytes into ``state``, through the first linear layer."""
        return types.void(source, at, state, batch), part(emit_enter)

    @intrinsic
    def external(_typing: Any, state: Any, batch: Any, number: Any) -> Any:
        """External round ``number``, 0 to 7, of one batch."""
        return types.void(state, batch, number), part(emit_external)

    @intrinsic
    def internal_round(_typing: Any, state: Any, number: Any) -> Any:
        """Internal round ``number`` of all batches."""
        return types.void(state, number), part(emit_internal)

    @intrinsic
    def leave(_typing: Any, state: Any, batch: Any, target: Any, at: Any) -> Any:
        """The batch ``batch`` bytes into ``state`` to ``target[at:]``."""
        return types.void(state, batch, target, at), part(emit_leave)

    return enter, external, internal_round, leave


_babybear_enter, _babybear_external, _babybear_internal, _babybear_leave = _make(INSTANCES[BABYBEAR.name])
_koalabear_enter, _koalabear_external, _koalabear_internal, _koalabear_leave = _make(INSTANCES[KOALABEAR.name])
_BABYBEAR_ROUNDS = INSTANCES[BABYBEAR.name].internal_rounds
_KOALABEAR_ROUNDS = INSTANCES[KOALABEAR.name].internal_rounds
_HALF = INSTANCES[BABYBEAR.name].external_rounds // 2
_STEP = WIDTH * LANES

_SIGNATURE = types.void(WORDS32_IN, WORDS32, INT, INT)


# The same for either field, since numba compiles calls of what a global names, and everything in one function, with one
# call of each part: numba compiles a function again for every one that calls it.
@kernel(_SIGNATURE)
def _permute_babybear(source: np.ndarray, target: np.ndarray, first: int, last: int) -> None:
    # Whole cache lines: a vector that straddles two costs twice.
    room = np.empty(2 * _STEP + 16, np.uint32)
    skip = -(room.ctypes.data // 4) % 16
    state = room[skip : skip + 2 * _STEP]
    rest = np.zeros(2 * _STEP, np.uint32)
    for start in range(first, last, GROUP):
        at = WIDTH * start
        count = WIDTH * min(GROUP, last - start)
        whole = count == 2 * _STEP
        if not whole:
            rest[:count] = source[at : at + count]
        read, write, at_there = (source, target, at) if whole else (rest, rest, 0)
        for half in range(2):
            if half == 1:
                for number in range(_BABYBEAR_ROUNDS):
                    _babybear_internal(state, number)
            for batch in range(2):
                if half == 0:
                    _babybear_enter(read, at_there + _STEP * batch, state, _BATCH * batch)
                for number in range(_HALF):
                    _babybear_external(state, _BATCH * batch, _HALF * half + number)
                if half == 1:
                    _babybear_leave(state, _BATCH * batch, write, at_there + _STEP * batch)
        if not whole:
            target[at : at + count] = rest[:count]


@kernel(_SIGNATURE)
def _permute_koalabear(source: np.ndarray, target: np.ndarray, first: int, last: int) -> None:
    # Whole cache lines: a vector that straddles two costs twice.
    room = np.empty(2 * _STEP + 16, np.uint32)
    skip = -(room.ctypes.data // 4) % 16
    state = room[skip : skip + 2 * _STEP]
    rest = np.zeros(2 * _STEP, np.uint32)
    for start in range(first, last, GROUP):
        at = WIDTH * start
        count = WIDTH * min(GROUP, last - start)
        whole = count == 2 * _STEP
        if not whole:
            rest[:count] = source[at : at + count]
        read, write, at_there = (source, target, at) if whole else (rest, rest, 0)
        for half in range(2):
            if half == 1:
                for number in range(_KOALABEAR_ROUNDS):
                    _koalabear_internal(state, number)
            for batch in range(2):
                if half == 0:
                    _koalabear_enter(read, at_there + _STEP * batch, state, _BATCH * batch)
                for number in range(_HALF):
                    _koalabear_external(state, _BATCH * batch, _HALF * half + number)
                if half == 1:
                    _koalabear_leave(state, _BATCH * batch, write, at_there + _STEP * batch)
        if not whole:
            target[at : at + count] = rest[:count]


_PERMUTE = {BABYBEAR.name: _permute_babybear, KOALABEAR.name: _permute_koalabear}


def permute(source: np.ndarray, target: np.ndarray, first: int, last: int, field: str) -> None:
    """The permuted states ``first`` to ``last`` of flat ``source`` uint32[16N] to the same places of ``target``."""
    _PERMUTE[field](source, target, first, last)
