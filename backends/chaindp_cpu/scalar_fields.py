"""The field kernels one state, row or pair at a time on one thread, for the scalar device.

Nothing is shared with the vector code, not even the way that products are reduced: unsigned, by Montgomery's own
reduction, x + m p with m = -x/p modulo R. Elements stay canonical, round constants and factors are times R.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from numba import types

from chaindp.kernels.fields import Field
from chaindp.kernels.fri import DEGREE
from chaindp.kernels.poseidon2 import INSTANCES, WIDTH, round_constants
from chaindp_cpu.simd import INT, WORDS32, WORDS32_IN, WORDS64, WORDS64_IN, kernel

__all__ = ["fold", "permute_all", "transform_all"]

WORD = types.uint64
Word = Any  # a number that numba has as uint64, whatever numpy calls it
_LOW = 0xFFFFFFFF
_R = 1 << 32


@kernel(WORD(WORD, WORD, WORD, WORD))
def _product(a: Word, b: Word, p: Word, negated: Word) -> Word:
    """Canonical elements to their product over R; ``negated`` is -1/p modulo R."""
    x = a * b
    m = (x & np.uint64(_LOW)) * negated & np.uint64(_LOW)
    t = (x + m * p) >> np.uint64(32)
    return t - p if t >= p else t


@kernel(WORD(WORD, WORD, WORD))
def _sum(a: Word, b: Word, p: Word) -> Word:
    t = a + b
    return t - p if t >= p else t


@kernel(WORD(WORD, WORD, WORD, WORD))
def _power(x: Word, exponent: Word, p: Word, negated: Word) -> Word:
    """x^3 or x^7, times R like x."""
    square = _product(x, x, p, negated)
    cube = _product(square, x, p, negated)
    if exponent == np.uint64(3):
        return cube
    return _product(_product(cube, cube, p, negated), x, p, negated)


@kernel(types.void(WORDS64, WORD))
def _external_layer(state: np.ndarray, p: Word) -> None:
    """By the matrix's rows: each element twice and the next one three times, the other two once, of every four."""
    mixed = np.empty(16, np.uint64)
    for start in range(0, 16, 4):
        for row in range(4):
            x = state[start + row]
            y = state[start + (row + 1) % 4]
            rest = state[start + (row + 2) % 4] + state[start + (row + 3) % 4]
            mixed[start + row] = (x + x + y + y + y + rest) % p
    for row in range(4):
        total = mixed[row] + mixed[row + 4] + mixed[row + 8] + mixed[row + 12]
        for start in range(0, 16, 4):
            state[start + row] = (mixed[start + row] + total) % p


@kernel(types.void(WORDS32_IN, WORDS32, WORDS64_IN, WORDS64_IN, INT, WORD, WORD, WORD, WORD))
def _permute_all(
    states: np.ndarray,
    target: np.ndarray,
    constants: np.ndarray,
    diagonal: np.ndarray,
    internal_rounds: int,
    exponent: Word,
    p: Word,
    negated: Word,
    square: Word,
) -> None:
    """``constants``: 64 of the first external rounds, those of the internal ones, 64 of the last; ``square``: R^2."""
    state = np.empty(16, np.uint64)
    for start in range(0, len(states), 16):
        for i in range(16):
            state[i] = _product(np.uint64(states[start + i]), square, p, negated)
        _external_layer(state, p)
        at = 0
        for number in range(8 + internal_rounds):
            if 4 <= number < 4 + internal_rounds:
                state[0] = _power(_sum(state[0], constants[at], p), exponent, p, negated)
                at += 1
                total = np.uint64(0)
                for i in range(16):
                    total += state[i]
                total = total % p
                for i in range(16):
                    state[i] = _sum(total, _product(state[i], diagonal[i], p, negated), p)
            else:
                for i in range(16):
                    state[i] = _power(_sum(state[i], constants[at + i], p), exponent, p, negated)
                at += 16
                _external_layer(state, p)
        for i in range(16):
            target[start + i] = np.uint32(_product(state[i], np.uint64(1), p, negated))


def _negated(field: Field) -> np.uint64:
    return np.uint64(-pow(field.prime, -1, _R) % _R)


@functools.cache
def _tables(field: Field) -> tuple[np.ndarray, np.ndarray]:
    instance, p = INSTANCES[field.name], field.prime
    rounds = round_constants(field.name)
    flat = [*sum(rounds.first, ()), *rounds.internal, *sum(rounds.last, ())]
    constants = np.array([value * _R % p for value in flat], dtype=np.uint64)
    return constants, np.array([value * _R % p for value in instance.diagonal_elements()], dtype=np.uint64)


def permute_all(states: np.ndarray, target: np.ndarray, field: Field) -> None:
    """Every state of flat ``states`` uint32[16N], one after another, to ``target``."""
    assert len(states) % WIDTH == 0
    instance, p = INSTANCES[field.name], field.prime
    constants, diagonal = _tables(field)
    _permute_all(
        *(states, target, constants, diagonal, instance.internal_rounds, np.uint64(instance.exponent)),
        *(np.uint64(p), _negated(field), np.uint64(_R * _R % p)),
    )


@kernel(types.void(WORDS32_IN, WORDS32, INT, WORDS32_IN, WORDS32_IN, WORD, WORD))
def _transform_all(
    source: np.ndarray,
    target: np.ndarray,
    log2_size: int,
    factors: np.ndarray,
    scale: np.ndarray,
    p: Word,
    negated: Word,
) -> None:
    """Cooley and Tukey's butterflies on rows in the order of reversed bits; ``factors``: the root's powers, times R."""
    size = 1 << log2_size
    for start in range(0, len(source), size):
        place = 0
        for i in range(size):
            target[start + place] = np.uint32(_product(np.uint64(source[start + i]), np.uint64(scale[i]), p, negated))
            # The next number in the order of reversed bits: a carry from the top down.
            bit = size >> 1
            while place & bit:
                place ^= bit
                bit >>= 1
            place |= bit
        half = 1
        while half < size:
            step = size // (2 * half)
            for block in range(start, start + size, 2 * half):
                for j in range(half):
                    low = np.uint64(target[block + j])
                    high = np.uint64(target[block + j + half])
                    high = _product(high, np.uint64(factors[j * step]), p, negated)
                    target[block + j] = np.uint32(_sum(low, high, p))
                    target[block + j + half] = np.uint32(_sum(low, p - high, p))
            half *= 2


@kernel(types.void(WORDS32, WORD, WORD, WORD))
def _fill_powers(values: np.ndarray, base: Word, start: Word, p: Word) -> None:
    for i in range(len(values)):
        values[i] = np.uint32(start)
        start = start * base % p


def _powers(base: int, count: int, field: Field, start: int = 1) -> np.ndarray:
    values = np.empty(count, dtype=np.uint32)
    p = field.prime
    _fill_powers(values, np.uint64(base), np.uint64(start * _R % p), np.uint64(p))
    return values


def transform_all(
    source: np.ndarray, target: np.ndarray, log2_size: int, field: Field, root: int, shift: int = 1, factor: int = 1
) -> None:
    """Each row of flat ``source``: coefficients times ``factor`` shift^i, and their values at the root's powers."""
    factors = _powers(root, max(1 << log2_size >> 1, 1), field)
    scale = _powers(shift, 1 << log2_size, field, factor)
    _transform_all(source, target, log2_size, factors, scale, np.uint64(field.prime), _negated(field))


@kernel(types.void(WORDS32_IN, WORDS32_IN, WORDS32, WORD, WORD, WORD, WORD, WORD))
def _fold(
    codeword: np.ndarray,
    challenge: np.ndarray,
    target: np.ndarray,
    factor: Word,
    root: Word,
    extension: Word,
    p: Word,
    negated: Word,
) -> None:
    """``challenge``, ``root``, ``extension``: times R, like ``factor``, 1 / (2 x) for the first pair."""
    half = len(codeword) // 2
    odd = np.empty(4, np.uint64)
    for at in range(0, half, 4):
        for k in range(4):
            odd[k] = _product(
                _sum(np.uint64(codeword[at + k]), p - np.uint64(codeword[half + at + k]), p), factor, p, negated
            )
        for k in range(4):
            low: Word = np.uint64(0)
            high: Word = np.uint64(0)
            for j in range(4):
                value = _product(odd[j], np.uint64(challenge[(k - j) % 4]), p, negated)
                if j <= k:
                    low += value
                else:
                    high += value
            high = _product(high % p, extension, p, negated)
            even: Word = np.uint64(codeword[at + k]) + np.uint64(codeword[half + at + k])
            # An odd number and p, which is odd, are together twice the number that it is half of.
            even = (even + (p if even & np.uint64(1) else np.uint64(0))) >> np.uint64(1)
            target[at + k] = np.uint32((low + high + even) % p)
        factor = _product(factor, root, p, negated)


def fold(codeword: np.ndarray, challenge: np.ndarray, shift: int, field: Field, target: np.ndarray) -> None:
    """All pairs of flat ``codeword`` uint32[4n], one after another, to flat ``target`` uint32[2n]."""
    p, length = field.prime, len(codeword) // DEGREE
    root = pow(field.root_of_unity(length.bit_length() - 1), -1, p)
    scaled = np.array([int(value) * _R % p for value in challenge], dtype=np.uint32)
    factors = (pow(2 * shift, -1, p), root, field.extension)
    factor, step, extension = (np.uint64(value * _R % p) for value in factors)
    _fold(codeword, scaled, target, factor, step, extension, np.uint64(p), _negated(field))
