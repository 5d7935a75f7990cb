"""Folding of FRI codewords, four elements of the extension field at a time, their coefficients in sixteen lanes."""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from chaindp.kernels.fields import Field
from chaindp.kernels.fri import DEGREE
from chaindp_cpu.fields import Modular, inverse_of_prime, montgomery
from chaindp_cpu.simd import INT, WORDS32, WORDS32_IN, Lanes, data_pointer, has_wide_vectors, kernel
from chaindp_cpu.transforms import montgomery_powers

__all__ = ["TOGETHER", "fold"]

TOGETHER = 4
"""Elements at a time."""

_LANES = DEGREE * TOGETHER
_PART = _LANES if has_wide_vectors() else _LANES // 2
_LINE = 4 * _LANES
_I64 = ir.IntType(64)


@intrinsic
def _fold_line(
    _typing: Any, low: Any, at: Any, high: Any, above: Any, line: Any, matrix: Any, target: Any, to: Any, p: Any, i: Any
) -> Any:
    """Four pairs, at ``low[at:]`` and ``high[above:]``, to ``target[to:]``; the factors of their differences are in
    ``line`` uint32[32], followed by those that make the next line's of them. The next line is left there.
    """

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        v = Lanes(builder, 32, _PART)
        narrow = ir.IntType(32)
        m = Modular(v, *(v.splat(builder.trunc(value, narrow)) for value in args[-2:]))
        pointers = {
            number: data_pointer(context, builder, signature.args[number], args[number]) for number in (0, 2, 4, 5, 6)
        }
        read, mirror, write = (
            v.at(pointers[number], builder.mul(args[number + 1], ir.Constant(_I64, 4))) for number in (0, 2, 6)
        )
        line, matrix_at = pointers[4], pointers[5]
        for part in range(0, _LINE, 4 * _PART):
            a, b, factor = v.load(read, part), v.load(mirror, part), v.load(line, part)
            scaled = m.joined(m.product(m.halves(builder.sub(a, b)), m.halves(factor)))
            # Each coefficient in all four places, times what the challenge times that power of X consists of.
            products = []
            for place in range(DEGREE):
                everywhere = v.shuffle(scaled, scaled, [lane // DEGREE * DEGREE + place for lane in range(_PART)])
                row = m.halves(v.load(matrix_at, _LINE * place))
                products.append(m.whole(m.halves(everywhere), row))
            pairs = [m.plus(products[0], products[1]), m.plus(products[2], products[3])]
            first, second = (m.canonical(m.joined(half)) for half in m.reductions(pairs))
            v.store(m.add(m.halved(m.add(a, b)), m.add(first, second)), write, part)
            v.store(m.times(factor, v.load(line, _LINE + part)), line, part)
        return context.get_dummy_value()

    return types.void(low, at, high, above, line, matrix, target, to, p, i), generate


@kernel(types.void(WORDS32_IN, INT, WORDS32, INT, INT, WORDS32, WORDS32_IN, INT, INT))
def _fold_lines(
    codeword: np.ndarray,
    half: int,
    target: np.ndarray,
    first: int,
    last: int,
    line: np.ndarray,
    matrix: np.ndarray,
    prime: int,
    inverse: int,
) -> None:
    """Results ``first`` to ``last`` of ``half``; a line that a small codeword does not fill ends with zeros."""
    whole = first + (last - first) // TOGETHER * TOGETHER
    for place in range(first, whole, TOGETHER):
        at = DEGREE * place
        _fold_line(codeword, at, codeword, at + DEGREE * half, line, matrix, target, at, prime, inverse)
    rest = DEGREE * (last - whole)
    if rest:
        room = np.zeros(3 * _LANES, np.uint32)
        at = DEGREE * whole
        room[:rest] = codeword[at : at + rest]
        room[_LANES : _LANES + rest] = codeword[at + DEGREE * half : at + DEGREE * half + rest]
        _fold_line(room, 0, room, _LANES, line, matrix, room, 2 * _LANES, prime, inverse)
        target[at : at + rest] = room[2 * _LANES : 2 * _LANES + rest]


def _matrix(challenge: np.ndarray, field: Field) -> np.ndarray:
    """Row j, for each of the four elements: challenge times X^j. Times R, and centred: sums of two products of such a
    factor and one below p keep within p^2.
    """
    p, row = field.prime, [int(value) for value in challenge]
    rows = []
    for _ in range(DEGREE):
        factors = [montgomery(value, field) for value in row]
        rows.append([value - p if value > p // 2 else value for value in factors] * TOGETHER)
        row = [row[-1] * field.extension % p, *row[:-1]]
    return np.array(rows, dtype=np.int32).view(np.uint32).reshape(-1)


def fold(
    codeword: np.ndarray, challenge: np.ndarray, shift: int, field: Field, target: np.ndarray, first: int, last: int
) -> None:
    """Results ``first`` to ``last`` of flat ``codeword`` uint32[4n], to the same places of ``target`` uint32[2n].

    first: a multiple of ``TOGETHER``; last: as well, or n/2
    """
    half = len(codeword) // (2 * DEGREE)
    p = field.prime
    root = pow(field.root_of_unity((2 * half).bit_length() - 1), -1, p)
    # 1 / (2 x), for the four x of the first line; the next line's are a power of the root further.
    factors = montgomery_powers(root, TOGETHER, field, pow(2 * shift, -1, p) * pow(root, first, p) % p)
    step = np.full(TOGETHER, montgomery(pow(root, TOGETHER, p), field), dtype=np.uint32)
    line = np.repeat(np.concatenate([factors, step]), DEGREE)
    _fold_lines(codeword, half, target, first, last, line, _matrix(challenge, field), p, inverse_of_prime(field))
