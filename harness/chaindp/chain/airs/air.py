"""What an AIR is: columns, and polynomial constraints on them, written as plain Python.

An algebraic intermediate representation (Ben-Sasson et al., https://eprint.iacr.org/2018/046, section B) is a table of
field elements, a row a step, and polynomials in the cells of one row and the next one that are zero wherever the table
is right. An AIR here is a class that names its columns and says these polynomials once:

    class Fibonacci(Air):
        name, field, width, publics = "fibonacci", "babybear", 2, 2

        def constraints(self, c):
            a, b = c.local
            c.first(a - 1)
            c.first(b - 1)
            c.transition(c.next[0] - b)
            c.transition(c.next[1] - (a + b))
            c.last(b - c.public[0])

The prover runs it over symbols, once, and compiles what it gets (``chaindp.chain.proof.program``); the verifier runs it
over elements of the extension field.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Generic, Protocol, Self, TypeVar

__all__ = ["Air", "Constraints", "Element", "Rows"]


class Element(Protocol):
    """A cell, a public value, or a polynomial in them; integers take part as elements of the field."""

    def __add__(self, other: Self | int, /) -> Self: ...
    def __radd__(self, other: int, /) -> Self: ...
    def __sub__(self, other: Self | int, /) -> Self: ...
    def __rsub__(self, other: int, /) -> Self: ...
    def __mul__(self, other: Self | int, /) -> Self: ...
    def __rmul__(self, other: int, /) -> Self: ...


class Rows(IntEnum):
    """Where a constraint holds."""

    EVERY = 0
    TRANSITION = 1
    FIRST = 2
    LAST = 3


T = TypeVar("T", bound=Element)


@dataclass(slots=True)
class Constraints(Generic[T]):
    """The cells that an AIR speaks of, and what it says of them.

    local, next: the cells of a row, and of the row after it, in one lane
    public:      the public values
    found:       what was said, in this order: the powers of the verifier's challenge follow it
    """

    local: Sequence[T]
    next: Sequence[T]
    public: Sequence[T]
    found: list[tuple[Rows, T]] = field(default_factory=list)

    def every(self, zero: T) -> None:
        """``zero`` is 0 in every row; ``next`` of the last row is the first one."""
        self.found.append((Rows.EVERY, zero))

    def transition(self, zero: T) -> None:
        """``zero`` is 0 in every row but the last."""
        self.found.append((Rows.TRANSITION, zero))

    def first(self, zero: T) -> None:
        """``zero`` is 0 in the first row."""
        self.found.append((Rows.FIRST, zero))

    def last(self, zero: T) -> None:
        """``zero`` is 0 in the last row."""
        self.found.append((Rows.LAST, zero))


class Air(ABC):
    """An AIR. Subclasses state what is here and describe the constraints of one lane.

    name:    with its parameters in it: proofs of different AIRs have different names
    field:   the name of the field of its cells
    width:   columns of a lane
    lanes:   how many times these columns, and all constraints on them, stand side by side
    publics: how many public values there are
    degree:  the largest degree that a constraint may have in the cells, and one more than that of a constraint of the
             first or the last row may be, which is checked; lengths follow from it
    """

    name: str
    field: str
    width: int
    lanes: int = 1
    publics: int = 0
    degree: int = 2

    @property
    def columns(self) -> int:
        """Of the whole table."""
        return self.width * self.lanes

    @abstractmethod
    def constraints(self, c: Constraints[T]) -> None:
        """Say of ``c`` what holds, the same whatever its cells are."""
