"""A batch of value transfers between the accounts of a Merkle tree: no value is made, and no balance is below zero.

What is proven of two public roots and a public number: there are so many transfers, each from an account in the tree to
one in the tree, which lead from the first root to the second. A transfer of an amount takes it from its sender's
balance, which has as much, and adds it to its receiver's, which stays below 2^56; keys and all other leaves are as
before; a debit counts the account's nonce up, which never comes to 0 again. Who allowed a transfer is not part of it:
signatures are checked elsewhere. ``accounts.py`` says what leaves and nodes are.

A transfer is two updates of the tree, the sender's and the receiver's, and an update is ``depth + 1`` rows: one of the
leaf, one a level of the tree. A row has two permutations, of the path before the update and of the path after it, with
the same digests beside them. The root before is the one that the last update left. From the last transfer on, rows are
idle, the last one for sure.

Amounts and balances are two limbs of 28 bits. The limbs that are looked at, three a row, take the leaf's row and the
next one:

    leaf's row:  the balance before, and the amount's low limb
    next row:    the balance after, and the amount's high limb

The larger of the balances is the smaller one plus the amount, limb by limb with a carry: of numbers far below the
prime, so that nothing wraps.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np

from chaindp.chain.airs.accounts import ACCOUNT, DIGEST, LIMB_BITS, MOST_DEPTH, Updates
from chaindp.chain.airs.air import Air, Constraints, T
from chaindp.chain.airs.poseidon2 import Permutation
from chaindp.errors import UsageError
from chaindp.kernels.poseidon2 import WIDTH

__all__ = ["TransfersAir"]

MOST_ROWS = 1 << 22

_LIMBS = 3
_LOW, _HIGH, _NONCE = DIGEST, DIGEST + 1, DIGEST + 2
_SINGLE = 9
_STOPS = (_SINGLE, _SINGLE + 2, _SINGLE + 2 + DIGEST, _SINGLE + 2 + DIGEST + _LIMBS * LIMB_BITS)
_CELLS = _STOPS[-1]

Cell = TypeVar("Cell")


@dataclass(frozen=True, slots=True)
class _Cells(Generic[Cell]):
    """A row but its permutations, in the order of the columns.

    leaf, end, idle: what the row is of: a leaf, the level below the root, nothing; none of them: another level
    credit:          whether the update is the receiver's
    turn:            whether the digest of the row before is the right half of this one's state
    count:           levels above the leaf
    done:            transfers before this one
    carry, inverse:  in a leaf's row, from the lower limb to the higher one, and 1 / (nonce + 1)
    amount:          of the transfer, two limbs
    root:            before the update
    bits:            of three limbs, from the lowest up
    """

    leaf: Cell
    end: Cell
    idle: Cell
    credit: Cell
    turn: Cell
    count: Cell
    done: Cell
    carry: Cell
    inverse: Cell
    amount: Sequence[Cell]
    root: Sequence[Cell]
    bits: Sequence[Cell]

    @classmethod
    def of(cls, row: Sequence[Cell]) -> _Cells[Cell]:
        """Those of a row of all columns."""
        cells = row[len(row) - _CELLS :]
        leaf, end, idle, credit, turn, count, done, carry, inverse = cells[:_SINGLE]
        amount, root, bits = (cells[start:stop] for start, stop in itertools.pairwise(_STOPS))
        return cls(leaf, end, idle, credit, turn, count, done, carry, inverse, amount, root, bits)


def _numbers(bits: Sequence[T]) -> list[T]:
    """What the bits are of: numbers of 28 bits."""
    found = []
    for start in range(0, len(bits), LIMB_BITS):
        number = bits[start + LIMB_BITS - 1]
        for bit in reversed(bits[start : start + LIMB_BITS - 1]):
            number = number + number + bit
        found.append(number)
    return found


class TransfersAir(Air):
    """For a tree of ``depth`` levels below its root. UsageError for an unknown field, or no such depth."""

    degree = 3
    publics = 2 * DIGEST + 1

    def __init__(self, field: str = "koalabear", depth: int = 16) -> None:
        if not 1 <= depth <= MOST_DEPTH:
            raise UsageError(f"a tree of {depth} levels, expected 1 to {MOST_DEPTH}")
        self.permutation = Permutation(field)
        self.field, self.depth = field, depth
        self.name = f"transfers {field} {depth}"
        self.width = 2 * self.permutation.width + _CELLS

    def constraints(self, c: Constraints[T]) -> None:
        """See the module."""
        width = self.permutation.width
        old, old_digest = self.permutation.constrain(c, c.local[:width])
        new, new_digest = self.permutation.constrain(c, c.local[width : 2 * width])
        here, after = _Cells.of(c.local), _Cells.of(c.next)
        self._order(c, here, after)
        self._leaf(c, here, old, new)
        self._limbs(c, here, after, old, new)

        # The path: the digest before is the left half of the next state, or the right one, of the old as of the new.
        within = 1 - here.end - here.idle
        next_old, next_new = c.next[:WIDTH], c.next[width : width + WIDTH]
        for i in range(DIGEST):
            for digest, inputs in ((old_digest, next_old), (new_digest, next_new)):
                turned = after.turn * (inputs[DIGEST + i] - inputs[i])
                c.transition(within * (inputs[i] + turned - digest[i]))
            left, right = old[i] - new[i], old[DIGEST + i] - new[DIGEST + i]
            c.every((1 - here.leaf - here.idle) * (right + here.turn * (left - right)))
        c.every((here.leaf + here.idle) * here.turn)

        # The roots: each update begins with that of the one before.
        for i in range(DIGEST):
            c.first(here.root[i] - c.public[i])
            c.every(here.end * (old_digest[i] - here.root[i]))
            c.transition(after.root[i] - here.root[i] - here.end * (new_digest[i] - here.root[i]))
            c.last(here.root[i] - c.public[DIGEST + i])
        c.last(here.done - c.public[2 * DIGEST])

    def _order(self, c: Constraints[T], here: _Cells[T], after: _Cells[T]) -> None:
        """A leaf, as many levels as the tree has, the same for the receiver; the next transfer, or idle to the end."""
        level = 1 - here.leaf - here.end - here.idle
        within = here.leaf + level
        for flag in (here.leaf, here.end, here.idle, level, here.credit, here.turn, here.carry, *here.bits):
            c.every(flag * (flag - 1))
        c.first(here.leaf - 1)
        c.transition(within * (after.leaf + after.idle))
        c.transition(here.end * (after.leaf + after.idle - 1))
        c.transition(here.idle * (after.idle - 1))
        c.last(here.idle - 1)
        c.every((here.leaf + here.idle) * here.count)
        c.transition(within * (after.count - here.count - 1))
        c.every(here.end * (here.count - self.depth))
        # Idle is never a credit: half a transfer does not end.
        c.first(here.credit)
        c.transition(within * (after.credit - here.credit))
        c.transition(here.end * (after.credit + here.credit - 1))
        c.every(here.idle * here.credit)
        last = here.end * here.credit
        c.first(here.done)
        c.transition(after.done - here.done - last)
        for ours, theirs in zip(here.amount, after.amount, strict=True):
            c.every(here.idle * ours)
            c.transition((1 - here.idle - last) * (theirs - ours))

    @staticmethod
    def _leaf(c: Constraints[T], here: _Cells[T], old: Sequence[T], new: Sequence[T]) -> None:
        """The account before and after: the same key, a nonce, the amount less or more."""
        leaf = here.leaf
        for i in range(DIGEST):
            c.every(leaf * (new[i] - old[i]))
        for i in range(_NONCE + 1, WIDTH):
            for state in (old, new):
                c.every(leaf * (state[i] - (ACCOUNT if i == WIDTH - 1 else 0)))
        c.every(leaf * (new[_NONCE] - old[_NONCE] - (1 - here.credit)))
        c.every(leaf * ((old[_NONCE] + 1) * here.inverse - 1))
        # More by a credit, less by a debit.
        sign = 1 - (here.credit + here.credit)
        low, high = sign * (new[_LOW] - old[_LOW]), sign * (new[_HIGH] - old[_HIGH])
        c.every(leaf * (here.amount[0] + low - (1 << LIMB_BITS) * here.carry))
        c.every(leaf * (here.amount[1] + high + here.carry))
        for idle in (here.carry, here.inverse):
            c.every((1 - leaf) * idle)

    @staticmethod
    def _limbs(c: Constraints[T], here: _Cells[T], after: _Cells[T], old: Sequence[T], new: Sequence[T]) -> None:
        """That limbs are of 28 bits, in the leaf's row and the next one; no others are looked at."""
        first, second = _numbers(here.bits), _numbers(after.bits)
        for limb, value in zip(first, (old[_LOW], old[_HIGH], here.amount[0]), strict=True):
            c.every(here.leaf * (limb - value))
        for limb, value in zip(second, (new[_LOW], new[_HIGH], here.amount[1]), strict=True):
            c.transition(here.leaf * (limb - value))
            c.transition((1 - here.leaf) * (1 - after.leaf) * limb)

    def rows(self, transfers: int) -> int:
        """Of the table of so many transfers; UsageError where there are none, or too many."""
        rows = 1 << (2 * transfers * (self.depth + 1)).bit_length()
        if transfers < 1 or rows > MOST_ROWS:
            most = (MOST_ROWS - 1) // (2 * (self.depth + 1))
            raise UsageError(f"{transfers} transfers in a tree of {self.depth} levels, expected 1 to {most}")
        return rows

    def table(self, updates: Updates) -> np.ndarray:
        """uint32[columns, rows]: the table of transfers, in as few rows as they fit in.

        Of updates that are none of right transfers, too, in the form of them: their proof is refused.
        """
        count, levels = len(updates.states), self.depth + 1
        if updates.states.shape[1:] != (levels, 2, WIDTH) or count != 2 * len(updates.amounts):
            raise UsageError(f"updates of shape {updates.states.shape} for {len(updates.amounts)} transfers")
        rows, used, width = self.rows(count // 2), count * levels, self.permutation.width
        prime = self.permutation.instance.field.prime
        states = np.zeros((rows, 2, WIDTH), dtype=np.uint32)
        states[:used] = updates.states.reshape(used, 2, WIDTH)
        out = np.zeros((self.width, rows), dtype=np.uint32)
        for side in (0, 1):
            out[side * width : (side + 1) * width] = self.permutation.columns(states[:, side])
        at = np.arange(rows)
        level, update = at[:used] % levels, at // levels
        update[used:] = count
        amount = [np.repeat(updates.amounts >> shift & (1 << LIMB_BITS) - 1, 2) for shift in (0, LIMB_BITS)]
        before, later = updates.states[:, 0].astype(np.int64).transpose(1, 2, 0)
        smaller = np.where(np.arange(count) % 2 == 0, later[_LOW], before[_LOW])
        leaves = at[:used:levels]

        # The cells of a row of columns are columns.
        cells: _Cells[Any] = _Cells.of(list(out))
        cells.leaf[leaves] = 1
        cells.end[leaves + self.depth] = 1
        cells.idle[used:] = 1
        cells.credit[:used] = update[:used] % 2
        cells.turn[:used][level > 0] = updates.turns.reshape(-1)
        cells.count[:used] = level
        cells.done[:] = update // 2
        cells.carry[leaves] = smaller + amount[0] >> LIMB_BITS & 1
        cells.inverse[leaves] = [pow(nonce + 1, prime - 2, prime) for nonce in before[_NONCE].tolist()]
        for cell, column in zip(cells.root, updates.roots[update].T, strict=True):
            cell[:] = column
        for limb in (0, 1):
            cells.amount[limb][:used] = amount[limb][update[:used]]
        looked_at = ((before[_LOW], before[_HIGH], amount[0]), (later[_LOW], later[_HIGH], amount[1]))
        for row, limbs in enumerate(looked_at):
            for number, limb in enumerate(limbs):
                for i in range(LIMB_BITS):
                    cells.bits[number * LIMB_BITS + i][leaves + row] = limb >> i & 1
        return out
