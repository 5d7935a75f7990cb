"""AIRs for tests: small ones, with a constraint of every kind, and tables that satisfy them."""

from __future__ import annotations

import numpy as np

from chaindp.chain.airs import Air, Constraints
from chaindp.chain.airs.air import T
from chaindp.kernels.fields import FIELDS


class Fibonacci(Air):
    """Two columns: each row's second number is the next one's first. The last number is public."""

    width, publics, degree = 2, 1, 2

    def __init__(self, field: str = "babybear") -> None:
        self.field, self.name = field, f"fibonacci {field} 1"

    def constraints(self, c: Constraints[T]) -> None:
        a, b = c.local
        c.first(a - 1)
        c.first(b - 1)
        c.transition(c.next[0] - b)
        c.transition(c.next[1] - (a + b))
        c.last(b - c.public[0])

    def table(self, rows: int) -> np.ndarray:
        numbers = [1, 1]
        while len(numbers) <= rows:
            numbers.append((numbers[-1] + numbers[-2]) % FIELDS[self.field].prime)
        return np.array([numbers[:rows], numbers[1 : rows + 1]], dtype=np.uint32)


class Squares(Fibonacci):
    """Of the same shape, and another statement."""

    def __init__(self, field: str = "babybear") -> None:
        super().__init__(field)
        self.name = f"squares {field} 1"

    def constraints(self, c: Constraints[T]) -> None:
        a, b = c.local
        c.first(a - 1)
        c.first(b - 1)
        c.transition(c.next[0] - b)
        c.transition(c.next[1] - (a + b))
        c.last(b * b - c.public[0])


class Cubes(Air):
    """Two lanes of degree 3 that hold in every row, and the next row's of the last one, which is the first."""

    width, lanes, publics, degree = 2, 2, 0, 3

    def __init__(self, field: str = "babybear") -> None:
        self.field, self.name = field, f"cubes {field} 2"

    def constraints(self, c: Constraints[T]) -> None:
        x, y = c.local
        c.every(y - x * x * x)
        c.every((c.next[0] - x) * (c.next[0] - x - 1) * (x - 3))

    def table(self, rows: int) -> np.ndarray:
        x = np.minimum(np.arange(rows), 3).astype(np.uint64)
        # From 3 on, whatever follows is right: the last row leads to the first one.
        return np.array([x, x**3, x, x**3], dtype=np.uint32)
