"""Poseidon2 and the number-theoretic transform with one thing wrong: whose results did a core give.

A packet is 32-bit words, the lowest byte first, which should be canonical elements of the field.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from chaindp.kernels.fields import FIELDS, Field
from chaindp.kernels.ntt import golden_transform
from chaindp.kernels.poseidon2 import WIDTH, golden_permutation, instance_of, round_constants

__all__ = ["FIELD_SLIPS", "bit_reversed", "recognize_ntt", "recognize_poseidon2"]

CANONICAL, FORM, ORDER, ROOT, SCALE, CONSTANT = (
    "not canonical",
    "Montgomery form",
    "wrong order of elements",
    "wrong root of unity",
    "wrong scale",
    "wrong round constant",
)
FIELD_SLIPS = (CANONICAL, FORM, ORDER, ROOT, SCALE, CONSTANT)
"""The kinds of slips that are tried."""

RADICES = (32, 31)
"""Montgomery's R is 2^32 in most software, and may be 2^31 in hardware."""

ENOUGH = 6
"""Samples that a slip has to explain."""

Words = list[int]
Pair = tuple[Words, Words]
"""What went in and what came out."""

Transform = Callable[[Words], Words]


def recognize_poseidon2(pairs: Sequence[Pair], field: str) -> tuple[str, str] | None:
    """The slip that all ``pairs`` show, as its kind and in words; None where none is recognized."""
    known = FIELDS[field]
    pairs = pairs[:ENOUGH]
    right: Transform = lambda state: golden_permutation(state, field)  # noqa: E731  # it is a value here
    return (
        _canonical(pairs, right, known.prime)
        or _first(pairs, [*_representations(known, right)])
        or _poseidon2_constant(pairs, field)
    )


def recognize_ntt(pairs: Sequence[Pair], field: str) -> tuple[str, str] | None:
    """The slip that all ``pairs`` show, as its kind and in words; None where none is recognized."""
    known = FIELDS[field]

    def root(values: Words) -> int:
        return known.root_of_unity(len(values).bit_length() - 1)

    def right(values: Words) -> Words:
        return golden_transform(values, root(values), known.prime)

    def inverted(values: Words) -> Words:
        return golden_transform(values, pow(root(values), -1, known.prime), known.prime)

    def scaled(values: Words, by: int) -> Words:
        return [value * by % known.prime for value in values]

    variants: list[tuple[str, str, Transform]] = [
        (ORDER, "results are in bit-reversed order (options.order)", lambda values: bit_reversed(right(values))),
        (ORDER, "the input is taken in bit-reversed order", lambda values: right(bit_reversed(values))),
        (ROOT, "it is the inverse transform, without the division by n", inverted),
        (
            ROOT,
            "it is the inverse transform",
            lambda values: scaled(inverted(values), pow(len(values), -1, known.prime)),
        ),
        (
            SCALE,
            "results are divided by n, as only those of the inverse are",
            lambda values: scaled(right(values), pow(len(values), -1, known.prime)),
        ),
    ]
    # A transform of one or two elements is the same by most of these.
    telling = ([pair for pair in pairs if len(pair[0]) > 2] or list(pairs))[:ENOUGH]
    return _canonical(telling, right, known.prime) or _first(telling, [*_representations(known, right), *variants])


def _first(pairs: Sequence[Pair], variants: Sequence[tuple[str, str, Transform]]) -> tuple[str, str] | None:
    for kind, words, transform in variants:
        if all(len(sent) == len(got) and transform(sent) == got for sent, got in pairs):
            return kind, words
    return None


def _canonical(pairs: Sequence[Pair], right: Transform, p: int) -> tuple[str, str] | None:
    """Right modulo p, and not below it."""
    if all(len(sent) == len(got) and right(sent) == [value % p for value in got] for sent, got in pairs):
        return CANONICAL, f"results are right modulo p = {p}, and not all below it: the last subtraction is missing"
    return None


def _representations(field: Field, right: Transform) -> Iterator[tuple[str, str, Transform]]:
    """Montgomery form on either side, or both."""
    p = field.prime
    for bits in RADICES:
        r = pow(2, bits, p)
        back = pow(r, -1, p)

        def times(values: Words, factor: int) -> Words:
            return [value * factor % p for value in values]

        for words, before, after in (
            (f"results are in Montgomery form, R = 2^{bits}: the last conversion is missing", 1, r),
            (f"results are divided by R = 2^{bits}: converted from Montgomery form once too often", 1, back),
            (f"the input is taken to be in Montgomery form, R = 2^{bits}, and results are given in it", back, r),
            (f"the input is taken to be in Montgomery form, R = 2^{bits}", back, 1),
            (f"the input is converted to Montgomery form, R = 2^{bits}, once too often", r, 1),
        ):
            yield FORM, words, lambda values, b=before, a=after: times(right(times(values, b)), a)  # type: ignore[misc]


def bit_reversed(values: Words) -> Words:
    """2^k values, each where its index reads with its k bits in reverse."""
    bits = len(values).bit_length() - 1
    return [values[int(format(index, f"0{bits}b")[::-1], 2) if bits else 0] for index in range(len(values))]


@dataclass(frozen=True, slots=True)
class _Poseidon2Slips:
    """V variants: constants uint64[141, V], round by round; what is wrong with each."""

    constants: np.ndarray
    words: tuple[str, ...]


def _poseidon2_constant(pairs: Sequence[Pair], field: str) -> tuple[str, str] | None:
    """One bit of one round constant, or one constant left out; all variants side by side."""
    instance, constants = instance_of(field), round_constants(field)
    rounds = [*constants.first, *((value,) for value in constants.internal), *constants.last]
    flat = [value for one in rounds for value in one]
    names = [f"round {number}, element {place}" for number, one in enumerate(rounds) for place in range(len(one))]
    columns, words = [], []
    for index, right in enumerate(flat):
        for wrong in [right ^ (1 << bit) for bit in range(instance.field.prime.bit_length())] + [0]:
            changed = list(flat)
            changed[index] = wrong % instance.field.prime
            columns.append(changed)
            words.append(f"the constant of {names[index]} is {wrong}, and must be {right}")
    slips = _Poseidon2Slips(np.array(columns, dtype=np.uint64).T, tuple(words))
    alive = np.arange(len(words))
    for sent, got in pairs[:3]:
        if len(sent) != WIDTH or len(got) != WIDTH:
            return None
        permuted = _permuted(sent, slips.constants[:, alive], field)
        alive = alive[(permuted == np.array(got, dtype=np.uint64)[:, None]).all(axis=0)]
        if not alive.size:
            return None
    return CONSTANT, slips.words[int(alive[0])]


def _permuted(state: Words, constants: np.ndarray, field: str) -> np.ndarray:
    """uint64[16, V]: Poseidon2 of one state with V sets of constants; every product is below 2^62."""
    instance, known = instance_of(field), round_constants(field)
    p = np.uint64(instance.field.prime)
    diagonal = np.array(instance.diagonal_elements(), dtype=np.uint64)
    x = np.broadcast_to(np.array(state, dtype=np.uint64)[:, None], (WIDTH, constants.shape[1])).copy()

    def box(value: np.ndarray) -> np.ndarray:
        result, factor, exponent = np.ones_like(value), value, instance.exponent
        while exponent:
            if exponent & 1:
                result = result * factor % p
            factor = factor * factor % p
            exponent >>= 1
        return result

    def external(value: np.ndarray) -> np.ndarray:
        matrix = np.array([[2, 3, 1, 1], [1, 2, 3, 1], [1, 1, 2, 3], [3, 1, 1, 2]], dtype=np.uint64)
        mixed = np.concatenate([matrix @ value[start : start + 4] for start in range(0, WIDTH, 4)])
        sums = mixed.reshape(4, 4, -1).sum(axis=0)
        linear: np.ndarray = (mixed + np.tile(sums, (4, 1))) % p
        return linear

    at = 0
    x = external(x)
    for _ in known.first:
        x = external(box((x + constants[at : at + WIDTH]) % p))
        at += WIDTH
    for _ in known.internal:
        x[0] = box((x[0] + constants[at]) % p)
        x = (x.sum(axis=0) + diagonal[:, None] * x % p) % p
        at += 1
    for _ in known.last:
        x = external(box((x + constants[at : at + WIDTH]) % p))
        at += WIDTH
    return x
