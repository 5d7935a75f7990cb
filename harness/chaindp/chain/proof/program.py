"""The constraints of an AIR as a program: an instruction a vector operation on a block of rows.

The AIR runs once over symbols. Equal subexpressions are one; a register holds a value from the instruction that makes
it to the last one that reads it, so a block's registers stay in the cache. The program runs as it is: no AIR needs a
compiler, and a backend needs one loop (``chaindp.chain.proof.loops.constrain``) for all of them.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np

from chaindp.chain.airs import Air, Constraints, Rows
from chaindp.errors import UsageError
from chaindp.kernels.fields import FIELDS

__all__ = ["ADD", "CONSTRAIN", "MUL", "SUB", "Program", "compile_air"]

ADD, SUB, MUL, CONSTRAIN = range(4)
"""Operations: ``out = a + b``, ``a - b``, ``a b``; and constraint ``b``: ``a`` is zero in the rows of kind ``out``."""


@dataclass(frozen=True, slots=True)
class Program:
    """What to do with a block of rows of one lane.

    Slots, each of a row of values: first the constants, then the public values, the columns of the row, those of the
    next one where ``reads_next``, and then registers.

    code:       int32[instructions, 4]: operation, out, a, b
    constants:  uint32[constants], canonical
    slots:      how many there are
    count:      constraints of one lane
    degree:     the largest one of a constraint in the cells
    """

    code: np.ndarray
    constants: np.ndarray
    publics: int
    width: int
    reads_next: bool
    slots: int
    count: int
    degree: int


class _Symbol:
    """A node of the graph of expressions."""

    __slots__ = ("degree", "graph", "number")

    def __init__(self, graph: _Graph, number: int, degree: int) -> None:
        self.graph, self.number, self.degree = graph, number, degree

    def __add__(self, other: _Symbol | int) -> _Symbol:
        return self.graph.node(ADD, self, self.graph.symbol(other))

    __radd__ = __add__

    def __sub__(self, other: _Symbol | int) -> _Symbol:
        return self.graph.node(SUB, self, self.graph.symbol(other))

    def __rsub__(self, other: int) -> _Symbol:
        return self.graph.node(SUB, self.graph.symbol(other), self)

    def __mul__(self, other: _Symbol | int) -> _Symbol:
        return self.graph.node(MUL, self, self.graph.symbol(other))

    __rmul__ = __mul__


class _Graph:
    """Expressions, each once. Leaves are ("constant", value), ("public", i), ("local", i) and ("next", i)."""

    def __init__(self, prime: int) -> None:
        self.prime = prime
        self.nodes: list[tuple[object, int, int]] = []
        self._known: dict[tuple[object, int, int], _Symbol] = {}

    def leaf(self, kind: str, value: int, degree: int) -> _Symbol:
        return self._add((kind, value, 0), degree)

    def symbol(self, value: _Symbol | int) -> _Symbol:
        return value if isinstance(value, _Symbol) else self.leaf("constant", value % self.prime, 0)

    def node(self, operation: int, a: _Symbol, b: _Symbol) -> _Symbol:
        kind_a, value_a, _ = self.nodes[a.number]
        kind_b, value_b, _ = self.nodes[b.number]
        if kind_a == kind_b == "constant":
            value = (value_a + value_b, value_a - value_b, value_a * value_b)[operation]
            return self.leaf("constant", value % self.prime, 0)
        if kind_b == "constant" and value_b == (0, 0, 1)[operation]:
            return a
        if kind_a == "constant" and operation != SUB and value_a == (0, 0, 1)[operation]:
            return b
        if operation != SUB and a.number > b.number:
            a, b = b, a
        degree = a.degree + b.degree if operation == MUL else max(a.degree, b.degree)
        return self._add((operation, a.number, b.number), degree)

    def _add(self, key: tuple[object, int, int], degree: int) -> _Symbol:
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = _Symbol(self, len(self.nodes), degree)
            self.nodes.append(key)
        return found


@functools.lru_cache(maxsize=64)
def compile_air(air: Air) -> Program:
    """The program of an AIR; UsageError where a constraint is of a higher degree than it states, or there is none."""
    graph = _Graph(FIELDS[air.field].prime)
    cells = [[graph.leaf(kind, i, 1) for i in range(air.width)] for kind in ("local", "next")]
    said: Constraints[_Symbol] = Constraints(
        cells[0], cells[1], [graph.leaf("public", i, 0) for i in range(air.publics)]
    )
    air.constraints(said)
    if not said.found:
        raise UsageError(f"AIR {air.name} has no constraints")
    degree = max(zero.degree for _, zero in said.found)
    if degree > air.degree:
        raise UsageError(f"AIR {air.name} states degree {air.degree}, and has a constraint of degree {degree}")
    return _allocate(graph, air, [(rows, zero.number) for rows, zero in said.found], degree)


def _allocate(graph: _Graph, air: Air, found: list[tuple[Rows, int]], degree: int) -> Program:
    """Put the graph in order, constraint by constraint, and its values into slots."""
    order: list[int] = []
    last_read: dict[int, int] = {}
    seen: set[int] = set()
    # What is to be done, in order: a node to compute, or, as a negative number, a constraint to state.
    for number, (_, root) in enumerate(found):
        stack = [root]
        while stack:
            top = stack[-1]
            operation, a, b = graph.nodes[top]
            if top in seen or not isinstance(operation, int):
                stack.pop()
                continue
            missing = [one for one in (a, b) if one not in seen and isinstance(graph.nodes[one][0], int)]
            if missing:
                stack += missing
                continue
            seen.add(top)
            stack.pop()
            last_read[a] = last_read[b] = len(order)
            order.append(top)
        last_read[root] = len(order)
        order.append(-1 - number)

    constants: dict[int, int] = {}
    reads_next = False
    for item in order:
        reads = (found[-1 - item][1],) if item < 0 else graph.nodes[item][1:]
        for one in reads:
            kind, value, _ = graph.nodes[one]
            if kind == "constant":
                constants.setdefault(value, len(constants))
            reads_next |= kind == "next"
    base = {"public": len(constants), "local": len(constants) + air.publics}
    base["next"] = base["local"] + air.width
    first = base["next"] + (air.width if reads_next else 0)

    slots: dict[int, int] = {}
    free: list[int] = []
    top_slot = first

    def slot(one: int) -> int:
        kind, value, _ = graph.nodes[one]
        if kind == "constant":
            return constants[value]
        return slots[one] if isinstance(kind, int) else base[str(kind)] + value

    code = []
    for step, item in enumerate(order):
        if item < 0:
            rows, root = found[-1 - item]
            code.append((CONSTRAIN, int(rows), slot(root), -1 - item))
            reads = (root,)
        else:
            operation, a, b = graph.nodes[item]
            reads = (a, b)
            places = slot(a), slot(b)
        free += [slots.pop(one) for one in set(reads) if last_read[one] == step and one in slots]
        if item >= 0:
            if not free:
                free.append(top_slot)
                top_slot += 1
            slots[item] = free.pop()
            code.append((int(operation), slots[item], *places))  # type: ignore[call-overload]
    return Program(
        code=np.array(code, dtype=np.int32).reshape(-1, 4),
        constants=np.array(list(constants), dtype=np.uint32),
        publics=air.publics,
        width=air.width,
        reads_next=reads_next,
        slots=top_slot,
        count=len(found),
        degree=degree,
    )
