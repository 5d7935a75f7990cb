"""Poseidon2 permutations of width 16, one after another: what a table needs before its columns can be made at once.

A digest that is hashed next, such as a path's or a running one's, cannot wait for ``Permutation.columns``, whose
thousand array operations are only worth it for many states at once. Elements are canonical, worked on in 64 bits.
"""

from __future__ import annotations

import numpy as np

from chaindp.kernels.compilation import compiled
from chaindp.kernels.poseidon2 import WIDTH

__all__ = ["absorb", "permute"]

_HALF = WIDTH // 2


def _s_box(x, exponent, p):  # type: ignore[no-untyped-def]
    """x^3, or x^7."""
    cube = x * x % p * x % p
    return cube if exponent == 3 else cube * cube % p * x % p


_s_box = compiled(_s_box, error_model="numpy")


def _external(state, p):  # type: ignore[no-untyped-def]
    """The external linear layer, in place: circ(2 M, M, M, M) for the 4x4 matrix M."""
    sums = np.zeros(4, dtype=np.uint64)
    for block in range(0, WIDTH, 4):
        a, b, c, d = state[block], state[block + 1], state[block + 2], state[block + 3]
        total = a + b + c + d
        state[block] = total + a + b + b
        state[block + 1] = total + b + c + c
        state[block + 2] = total + c + d + d
        state[block + 3] = total + d + a + a
        for i in range(4):
            sums[i] += state[block + i]
    for i in range(WIDTH):
        state[i] = (state[i] + sums[i % 4]) % p


_external = compiled(_external, error_model="numpy")


def _rounds(state, constants, exponent, p):  # type: ignore[no-untyped-def]
    """External rounds with constants uint64[rounds, 16], in place."""
    for number in range(len(constants)):
        for i in range(WIDTH):
            state[i] = _s_box((state[i] + constants[number, i]) % p, exponent, p)
        _external(state, p)


_rounds = compiled(_rounds, error_model="numpy")


def _permutation(state, first, internal, last, diagonal, exponent, p):  # type: ignore[no-untyped-def]
    """One permutation of uint64[16], in place."""
    _external(state, p)
    _rounds(state, first, exponent, p)
    for number in range(len(internal)):
        state[0] = _s_box((state[0] + internal[number]) % p, exponent, p)
        total = np.uint64(0)
        for i in range(WIDTH):
            total += state[i]
        for i in range(WIDTH):
            state[i] = (total + diagonal[i] * state[i]) % p
    _rounds(state, last, exponent, p)


_permutation = compiled(_permutation, error_model="numpy")


def _permute(states, first, internal, last, diagonal, exponent, p, out):  # type: ignore[no-untyped-def]
    """The states uint32[n, 16], permuted: ``out`` uint32[n, 16]."""
    state = np.empty(WIDTH, dtype=np.uint64)
    for row in range(len(states)):
        for i in range(WIDTH):
            state[i] = states[row, i]
        _permutation(state, first, internal, last, diagonal, exponent, p)
        for i in range(WIDTH):
            out[row, i] = state[i]


permute = compiled(_permute, error_model="numpy")


def _absorb(digest, halves, first, internal, last, diagonal, exponent, p, states):  # type: ignore[no-untyped-def]
    """A running digest uint32[8], in place: it becomes P(digest | half) with one of uint32[n, 8] after the other.

    states uint32[n, 16]: what was permuted
    """
    state = np.empty(WIDTH, dtype=np.uint64)
    for row in range(len(halves)):
        for i in range(_HALF):
            state[i], state[_HALF + i] = digest[i], halves[row, i]
            states[row, i], states[row, _HALF + i] = digest[i], halves[row, i]
        _permutation(state, first, internal, last, diagonal, exponent, p)
        for i in range(_HALF):
            digest[i] = state[i]


absorb = compiled(_absorb, error_model="numpy")
