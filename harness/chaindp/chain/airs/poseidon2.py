"""A batch of Poseidon2 permutations of width 16, as many side by side in a row as there are lanes.

The columns of a permutation: its 16 inputs; of each external round the 16 elements after it, and of each internal one
the first element's S-box. Where the S-box is x^7, the x^3 in it has a column, too, so that no constraint has a degree
above three. There are no public values: what is proven is that all permutations of the table are right, as in
benchmarks of provers.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from chaindp.chain.airs import loops
from chaindp.chain.airs.air import Air, Constraints, T
from chaindp.errors import UsageError
from chaindp.kernels.poseidon2 import WIDTH, instance_of, round_constants

__all__ = ["Permutation", "Poseidon2Air"]

MOST_LANES = 16


def _external(x: Sequence[T]) -> list[T]:
    """The external linear layer: circ(2 M, M, M, M) for the 4x4 matrix M with rows (2 3 1 1), (1 2 3 1), ..."""
    mixed: list[T] = []
    for block in range(0, WIDTH, 4):
        a, b, c, d = x[block : block + 4]
        total = a + b + c + d
        mixed += [total + a + 2 * b, total + b + 2 * c, total + c + 2 * d, total + d + 2 * a]
    sums = [mixed[k] + mixed[k + 4] + mixed[k + 8] + mixed[k + 12] for k in range(4)]
    return [mixed[i] + sums[i % 4] for i in range(WIDTH)]


def _internal(x: Sequence[T], diagonal: Sequence[int]) -> list[T]:
    """The internal linear layer: all ones, and the diagonal on top."""
    total = x[0]
    for value in x[1:]:
        total = total + value
    return [total + factor * value for factor, value in zip(diagonal, x, strict=True)]


class Permutation:
    """Poseidon2 of width 16 over a field as columns of an AIR: what they have to be, and what they are.

    width: how many columns a permutation takes
    """

    def __init__(self, field: str) -> None:
        self.instance, self.constants = instance_of(field), round_constants(field)
        self.diagonal = self.instance.diagonal_elements()
        self.cells = 1 if self.instance.exponent == 3 else 2
        rounds = self.instance.external_rounds * WIDTH + self.instance.internal_rounds
        self.width = WIDTH + self.instance.external_rounds * WIDTH + self.instance.internal_rounds
        self.width += rounds * (self.cells - 1)
        rows = (self.constants.first, self.constants.internal, self.constants.last, self.diagonal)
        self._numbers = (
            *(np.array(row, dtype=np.uint64) for row in rows),
            self.instance.exponent,
            np.uint64(self.instance.field.prime),
        )

    def permute(self, states: np.ndarray) -> np.ndarray:
        """uint32[n, 16]: the states uint32[n, 16], permuted one after another: without the columns, and for few."""
        out = np.empty(states.shape, dtype=np.uint32)
        loops.permute(np.ascontiguousarray(states, dtype=np.uint32), *self._numbers, out)
        return out

    def absorb(self, digest: np.ndarray, halves: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """A running digest uint32[8] that takes in uint32[n, 8]: d = P(d | half), cut to its first 8 elements.

        Returns the states uint32[n, 16] that are permuted, and the digest uint32[8] after the last one.
        """
        running, states = digest.astype(np.uint32), np.empty((len(halves), WIDTH), dtype=np.uint32)
        loops.absorb(running, np.ascontiguousarray(halves, dtype=np.uint32), *self._numbers, states)
        return states, running

    def constrain(self, c: Constraints[T], columns: Sequence[T]) -> tuple[Sequence[T], Sequence[T]]:
        """Say that ``columns`` are a permutation, in every row; its inputs and outputs, 16 of the columns each."""
        cells = iter(columns)

        def s_box(x: T) -> T:
            if self.instance.exponent == 3:
                return x * x * x
            cube = next(cells)
            c.every(cube - x * x * x)
            return cube * cube * x

        inputs = state = [next(cells) for _ in range(WIDTH)]
        state = _external(state)
        for phase in (self.constants.first, self.constants.internal, self.constants.last):
            for constant in phase:
                if isinstance(constant, int):
                    boxed = s_box(state[0] + constant)
                    after = next(cells)
                    c.every(after - boxed)
                    state = _internal([after, *state[1:]], self.diagonal)
                    continue
                mixed = _external([s_box(x + k) for x, k in zip(state, constant, strict=True)])
                state = [next(cells) for _ in range(WIDTH)]
                for found, right in zip(state, mixed, strict=True):
                    c.every(found - right)
        return inputs, state

    def columns(self, states: np.ndarray) -> np.ndarray:
        """uint32[width, n]: the columns of the permutations of states uint32[n, 16]; the last 16 are the outputs."""
        prime = np.uint64(self.instance.field.prime)
        out = [column.astype(np.uint64) for column in states.T]

        def s_box(x: np.ndarray) -> np.ndarray:
            cube: np.ndarray = x * x % prime * x % prime
            if self.instance.exponent == 3:
                return cube
            out.append(cube)
            boxed: np.ndarray = cube * cube % prime * x % prime
            return boxed

        def internal(x: list[np.ndarray]) -> list[np.ndarray]:
            # A factor is of 31 bits, as an element is: each product is reduced before it is added.
            total = sum(x[1:], x[0])
            return [
                (total + np.uint64(factor) * value % prime) % prime
                for factor, value in zip(self.diagonal, x, strict=True)
            ]

        def external(x: list[np.ndarray]) -> list[np.ndarray]:
            return [value % prime for value in _external(x)]

        state = external(out)
        for phase in (self.constants.first, self.constants.internal, self.constants.last):
            for constant in phase:
                if isinstance(constant, int):
                    out.append(s_box((state[0] + np.uint64(constant)) % prime))
                    state = internal([out[-1], *state[1:]])
                    continue
                state = external([s_box((x + np.uint64(k)) % prime) for x, k in zip(state, constant, strict=True)])
                out += state
        return np.array(out, dtype=np.uint32)


class Poseidon2Air(Air):
    """``lanes`` permutations a row. UsageError for a field without an instance, or too many lanes."""

    degree = 3

    def __init__(self, field: str, lanes: int = 8) -> None:
        if not 1 <= lanes <= MOST_LANES:
            raise UsageError(f"{lanes} permutations a row, expected 1 to {MOST_LANES}")
        self.permutation = Permutation(field)
        self.field, self.lanes, self.width = field, lanes, self.permutation.width
        self.name = f"poseidon2 {field} {lanes}"

    def constraints(self, c: Constraints[T]) -> None:
        """A permutation in every lane."""
        self.permutation.constrain(c, c.local)

    def rows(self, permutations: int) -> int:
        """Of the table of so many permutations; UsageError unless they are ``lanes`` times 2, 4, 8..."""
        rows = permutations // self.lanes
        if permutations != rows * self.lanes or rows < 2 or rows & (rows - 1):
            raise UsageError(
                f"{permutations} permutations are not {self.lanes} (in a row) times a power of two from 2 on (rows)"
            )
        return rows

    def table(self, states: np.ndarray) -> np.ndarray:
        """uint32[columns, rows]: the table for states uint32[permutations, 16], lanes x a power of two of them."""
        rows = self.rows(len(states))
        columns = self.permutation.columns(states).reshape(self.width, rows, self.lanes)
        return np.ascontiguousarray(columns.transpose(2, 0, 1).reshape(self.columns, rows))
