"""The constraints of an AIR as a program: an instruction a vector operation on a block of rows.

The AIR runs once over symbols. Equal subexpressions are one; a register holds a cell or a value from the instruction
that loads or makes it to the last one that reads it, so a block's registers stay in the cache. The program runs as it
is: no AIR needs a compiler, and a backend needs one loop (``chaindp.chain.proof.loops.constrain``) for all of them.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from chaindp.chain.airs import Air, Constraints, Rows
from chaindp.errors import UsageError
from chaindp.kernels.fields import FIELDS

__all__ = ["ADD", "CONSTRAIN", "GROUP", "LOAD", "MUL", "MUL_ADD", "SUB", "SUM", "Program", "compile_air"]

ADD, SUB, MUL, MUL_ADD, SUM, CONSTRAIN, LOAD = range(7)
"""Operations: ``out = a + b``, ``a - b``, ``a b``, ``a b + c``, ``a + b + c + d``; four constraints: a, b, c, d are
zero in the rows of a kind; and ``out`` is column a in the row, or where b is 1 in the next one.
"""

GROUP = 4
"""Constraints that are added up at once."""


@dataclass(frozen=True, slots=True)
class Program:
    """What to do with a block of rows of one lane.

    Slots, each of a row of values: first the constants, then the public values, and then registers.

    code:       int32[instructions, 6]: operation, out or kind of rows, a, b, c, d
    groups:     int32[groups, 4]: the constraints' numbers of each CONSTRAIN, in order; -1 where there are fewer
    constants:  uint32[constants], canonical
    slots:      how many there are
    count:      constraints of one lane
    degree:     the largest one of a constraint in the cells
    """

    code: np.ndarray
    groups: np.ndarray
    constants: np.ndarray
    publics: int
    width: int
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
        if operation == MUL and (kind_a, value_a) == ("constant", 2):
            return self.node(ADD, b, b)
        if operation == MUL and (kind_b, value_b) == ("constant", 2):
            return self.node(ADD, a, a)
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
    """The program of an AIR; UsageError where a constraint is of a higher degree than it states, or there is none.

    A constraint of the first or the last row alone has to be of a degree less.
    """
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
    # Divided by what vanishes in one row only, a constraint keeps about a table's length that others lose.
    edge = max((zero.degree for rows, zero in said.found if rows in (Rows.FIRST, Rows.LAST)), default=0)
    if edge > max(0, air.degree - 1):
        raise UsageError(f"AIR {air.name} states degree {air.degree}, and has a constraint of one row of degree {edge}")
    return _allocate(graph, air, [(rows, zero.number) for rows, zero in said.found], degree)


Step = tuple[int, tuple[int, ...]]
"""An operation, and the nodes that it reads."""


def _fused(graph: _Graph, roots: Sequence[int]) -> dict[int, Step]:
    """What is computed for ``roots``, by number. A sum or a product that only one sum reads is a part of that one: what
    is not written to memory need not be read again.
    """
    uses = Counter(roots)
    stack, seen = list(roots), set(roots)
    while stack:
        operation, *operands = graph.nodes[stack.pop()]
        if isinstance(operation, int):
            uses.update(operands)
            stack += [one for one in set(operands) if one not in seen]
            seen.update(operands)

    def inner(operands: Sequence[int], operation: int) -> int | None:
        return next((one for one in operands if graph.nodes[one][0] == operation and uses[one] == 1), None)

    steps: dict[int, Step] = {}
    for node in seen:
        operation, *operands = graph.nodes[node]
        if operation in ("local", "next"):
            steps[node] = LOAD, ()
        if not isinstance(operation, int):
            continue
        if operation == ADD and (product := inner(operands, MUL)) is not None:
            operands.remove(product)
            steps[node] = MUL_ADD, (*graph.nodes[product][1:], *operands)
            continue
        while operation == ADD and len(operands) < 4 and (part := inner(operands, ADD)) is not None:
            operands.remove(part)
            operands += graph.nodes[part][1:]
        if len(operands) > 2:
            operation = SUM
            operands += [graph.leaf("constant", 0, 0).number] * (4 - len(operands))
        steps[node] = operation, tuple(operands)
    return steps


def _allocate(graph: _Graph, air: Air, found: list[tuple[Rows, int]], degree: int) -> Program:
    """Put the graph in order, constraint by constraint, and its values into slots."""
    steps = _fused(graph, [root for _, root in found])
    order: list[int] = []
    reads: Counter[int] = Counter()
    seen: set[int] = set()
    # What is to be done, in order: a node to compute, or, as a negative number, a constraint to state.
    for number, (_, root) in enumerate(found):
        stack = [root]
        while stack:
            top = stack[-1]
            if top in seen or top not in steps:
                stack.pop()
                continue
            operands = steps[top][1]
            missing = [one for one in operands if one not in seen and one in steps]
            if missing:
                stack += missing
                continue
            seen.add(top)
            stack.pop()
            reads.update(operands)
            order.append(top)
        reads[root] += 1
        order.append(-1 - number)

    constants: dict[int, int] = {}
    for item in order:
        for one in (found[-1 - item][1],) if item < 0 else steps[item][1]:
            kind, value, _ = graph.nodes[one]
            if kind == "constant":
                constants.setdefault(value, len(constants))

    slots: dict[int, int] = {}
    free: list[int] = []
    top_slot = len(constants) + air.publics

    def slot(one: int) -> int:
        kind, value, _ = graph.nodes[one]
        if kind == "constant":
            return constants[value]
        return len(constants) + value if kind == "public" else slots[one]

    code: list[tuple[int, ...]] = []
    groups: list[tuple[int, ...]] = []
    waiting: dict[Rows, list[int]] = {rows: [] for rows in Rows}

    def state(rows: Rows) -> None:
        """What waits for these rows, as one instruction: where there are fewer than four, with the last one again."""
        numbers = waiting[rows]
        roots = [found[number][1] for number in numbers]
        places = [slot(root) for root in roots]
        code.append((CONSTRAIN, int(rows), *places, *places[-1:] * (GROUP - len(places))))
        groups.append((*numbers, *[-1] * (GROUP - len(numbers))))
        numbers.clear()
        release(roots)

    def release(read: Sequence[int]) -> None:
        for one in read:
            reads[one] -= 1
            if not reads[one] and one in slots:
                free.append(slots.pop(one))

    for item in order:
        if item < 0:
            rows = found[-1 - item][0]
            waiting[rows].append(-1 - item)
            if len(waiting[rows]) == GROUP:
                state(rows)
            continue
        operation, operands = steps[item]
        kind, column, _ = graph.nodes[item]
        places = [column, int(kind == "next")] if operation == LOAD else [slot(one) for one in operands]
        # Not one that is read in the same instruction: its loop would not be made of vector instructions.
        if not free:
            free.append(top_slot)
            top_slot += 1
        slots[item] = free.pop()
        code.append((operation, slots[item], *places, *[0] * (4 - len(places))))
        release(operands)
    for rows in Rows:
        if waiting[rows]:
            state(rows)
    return Program(
        code=np.array(code, dtype=np.int32).reshape(-1, 2 + GROUP),
        groups=np.array(groups, dtype=np.int32).reshape(-1, GROUP),
        constants=np.array(list(constants), dtype=np.uint32),
        publics=air.publics,
        width=air.width,
        slots=top_slot,
        count=len(found),
        degree=degree,
    )
