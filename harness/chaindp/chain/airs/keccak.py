"""A batch of Keccak-f[1600] permutations (FIPS 202, section 3), a round a row, as many side by side as there are lanes.

As in Plonky3's keccak-air, theta is described from its result: what a row has in bits is the state after theta, from
which the state before it follows without a long sum modulo 2. With x, y, z for the sheet, the plane and the slice,
C for a column's parity before theta and C' for that after it:

    D[x, z]     = C[x - 1, z] xor C[x + 1, z - 1]
    A'[x, y, z] = A[x, y, z] xor D[x, z]              so A = A' xor D, and
    C'[x, z]    = C[x, z] xor D[x, z]                 for five of the bits of a column are changed, or none

C and A' are bits, and C' is one as theirs. That C' is the parity of A' is said by a difference: the sum of a column of
A' less C' is 0, 2 or 4. It follows that C is the parity of A: theta is right. The state before theta and that after the
round are packed, 30 bits an element, 6 columns of 5 bits each, slice by slice: below every prime here, so that an
element is one state only. Rho and pi are no more than other places; chi is of degree 3. Iota changes bits 0, 1, 3, 7,
15, 31 and 63 of one lane, and those are cells before it.

Rounds are counted modulo 3 and modulo 8 by flags, which give 24 products of two. After the last round the next row
begins another permutation, of any state. A table's length is a power of two: the last permutation of a lane is cut off
where 24 does not divide it, and is none of those that are proven. There are no public values: what is proven is that
all permutations of the table are right, as in benchmarks of provers.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import numpy as np

from chaindp.chain.airs.air import Air, Constraints, T
from chaindp.errors import UsageError
from chaindp.kernels.fields import field_named
from chaindp.kernels.hashes import KECCAK_ROTATIONS, KECCAK_ROUND_CONSTANTS

__all__ = ["LANES", "ROUNDS", "KeccakAir"]

ROUNDS = 24
"""Of a permutation: rows that it takes."""

LANES = 25
"""Words of 64 bits in a state."""

MOST_LANES = 3
"""Permutations a row: no verifier takes tables of more columns."""

MOST_ROWS = 1 << 22

_COLUMNS, _BITS = 5 * 64, LANES * 64
_LIMB_COLUMNS = 6
_LIMBS = -(-_COLUMNS // _LIMB_COLUMNS)
_IOTA = (0, 1, 3, 7, 15, 31, 63)
_PARTS = (3, 8, _LIMBS, _LIMBS, len(_IOTA), _COLUMNS, _COLUMNS, _BITS)
_STARTS = tuple(sum(_PARTS[:i]) for i in range(len(_PARTS) + 1))
_THIRDS, _EIGHTHS, _BEFORE, _AFTER, _UNROUNDED, _PARITY, _NEW_PARITY, _STATE = (
    slice(start, stop) for start, stop in itertools.pairwise(_STARTS)
)


def _limb_columns() -> Iterator[tuple[int, list[tuple[int, int]]]]:
    """Each limb, and the columns (x, z) in it, from the lowest bits up."""
    for limb in range(_LIMBS):
        first = limb * _LIMB_COLUMNS
        yield limb, [(i % 5, i // 5) for i in range(first, min(first + _LIMB_COLUMNS, _COLUMNS))]


def _place(x: int, z: int) -> int:
    """Of a column's parity."""
    return z % 64 * 5 + x % 5


def _bit(x: int, y: int, z: int) -> int:
    """The place of a bit of the state."""
    return _place(x, z) * 5 + y


def _moved(x: int, y: int, z: int) -> int:
    """The place of the bit that rho and pi move to x, y, z."""
    x, y = (x + 3 * y) % 5, x % 5
    return _bit(x, y, z - KECCAK_ROTATIONS[x + 5 * y])


class KeccakAir(Air):
    """``lanes`` permutations a row. UsageError for an unknown field, or too many lanes.

    Columns of a lane: flags of the round modulo 3 and modulo 8; the packed state before the round, and after it; the
    bits of lane 0 that iota may change, before it; C, C', and the bits A'.
    """

    degree = 3
    width = _STARTS[-1]

    def __init__(self, field: str, lanes: int = 1) -> None:
        if not 1 <= lanes <= MOST_LANES:
            raise UsageError(f"{lanes} permutations a row, expected 1 to {MOST_LANES}")
        self.field, self.lanes = field_named(field).name, lanes
        self.name = f"keccak {field} {lanes}"

    def constraints(self, c: Constraints[T]) -> None:
        """See the module."""
        before, after, next_before = c.local[_BEFORE], c.local[_AFTER], c.next[_BEFORE]
        thirds, eighths = c.local[_THIRDS], c.local[_EIGHTHS]
        for flags, next_flags in ((thirds, c.next[_THIRDS]), (eighths, c.next[_EIGHTHS])):
            for i, flag in enumerate(flags):
                c.first(flag - int(i == 0))
                c.transition(next_flags[(i + 1) % len(flags)] - flag)
        self._theta(c, before)
        rounds = [thirds[i % 3] * eighths[i % 8] for i in range(ROUNDS)]
        self._chi(c, after, rounds)
        going_on = 1 - rounds[-1]
        for ours, theirs in zip(after, next_before, strict=True):
            c.transition(going_on * (theirs - ours))

    @staticmethod
    def _theta(c: Constraints[T], before: Sequence[T]) -> None:
        """That ``before`` is the state from which theta makes the bits."""
        parity, new_parity, state = c.local[_PARITY], c.local[_NEW_PARITY], c.local[_STATE]
        for limb, columns in _limb_columns():
            packed: T | int = 0
            for x, z in reversed(columns):
                old, new = parity[_place(x, z)], new_parity[_place(x, z)]
                bits = [state[_bit(x, y, z)] for y in range(5)]
                c.every(old * (old - 1))
                near, far = parity[_place(x - 1, z)], parity[_place(x + 1, z - 1)]
                both = near * far
                theta = near + far - (both + both)
                # What is 1 - 2 D here turns a bit around where D is 1: b xor D = D + b (1 - 2 D).
                turn = 1 - (theta + theta)
                c.every(theta + old * turn - new)
                twice = bits[0] + bits[1] + bits[2] + bits[3] + bits[4] - new
                c.every(twice * (twice - 2) * (twice - 4))
                column = bits[4]
                for y in (3, 2, 1, 0):
                    column = column + column + bits[y]
                packed = 32 * packed + (31 * theta + column * turn)
            c.every(before[limb] - packed)

    @staticmethod
    def _chi(c: Constraints[T], after: Sequence[T], rounds: Sequence[T]) -> None:
        """That rho, pi, chi and iota make ``after`` of the bits; and that they are bits."""
        state, unrounded = c.local[_STATE], c.local[_UNROUNDED]
        negated = [1 - bit for bit in state]
        for limb, columns in _limb_columns():
            found = []
            for x, z in columns:
                for y in range(5):
                    here, one, two = (_moved((x + i) % 5, y, z) for i in range(3))
                    c.every(state[here] * negated[here])
                    bit = state[here] + (negated[here] - state[here]) * (negated[one] * state[two])
                    if x == y == 0 and z in _IOTA:
                        committed = unrounded[_IOTA.index(z)]
                        c.every(committed - bit)
                        constant = _sum([flag for i, flag in enumerate(rounds) if KECCAK_ROUND_CONSTANTS[i] >> z & 1])
                        product = committed * constant
                        bit = committed + constant - (product + product)
                    found.append(bit)
            packed = found[-1]
            for bit in reversed(found[:-1]):
                packed = packed + packed + bit
            c.every(after[limb] - packed)

    def room(self, rows: int) -> int:
        """Whole permutations in a table of so many rows."""
        return self.lanes * (rows // ROUNDS)

    def rows(self, permutations: int) -> int:
        """Of the table of so many permutations; UsageError where there are none, or too many."""
        rows = 1 << (-(-permutations // self.lanes) * ROUNDS - 1).bit_length()
        if permutations < 1 or rows > MOST_ROWS:
            raise UsageError(f"{permutations} permutations, expected 1 to {self.room(MOST_ROWS)}")
        return rows

    def table(self, states: np.ndarray) -> np.ndarray:
        """uint32[columns, rows]: the table for states uint64[permutations, 25], lane x + 5 y first to last.

        It has as few rows as they fit in, a power of two. Permutation i is in lane i % lanes, and what is left is
        filled with permutations of zeros. UsageError for no state, or more than 2^22 rows.
        """
        rows = self.rows(len(states))
        each = -(-rows // ROUNDS)
        filled = np.zeros((each * self.lanes, LANES), dtype=np.uint64)
        filled[: len(states)] = states
        out = np.empty((self.columns, rows), dtype=np.uint32)
        for lane in range(self.lanes):
            _fill(filled[lane :: self.lanes], out[lane * self.width : (lane + 1) * self.width])
        return out

    def results(self, table: np.ndarray) -> np.ndarray:
        """uint64[room, 25]: the states after the permutations of a table, in the order of ``table``."""
        rows = table.shape[1]
        out = np.zeros((rows // ROUNDS, self.lanes, LANES), dtype=np.uint64)
        for lane in range(self.lanes):
            after = table[lane * self.width : (lane + 1) * self.width][_AFTER, ROUNDS - 1 :: ROUNDS].astype(np.uint64)
            for limb, columns in _limb_columns():
                for i, (x, z) in enumerate(columns):
                    for y in range(5):
                        bit = after[limb] >> np.uint64(5 * i + y) & np.uint64(1)
                        out[:, lane, x + 5 * y] |= bit << np.uint64(z)
        return out.reshape(-1, LANES)


def _sum(terms: Sequence[T]) -> T:
    total = terms[0]
    for term in terms[1:]:
        total = total + term
    return total


def _rotated(words: np.ndarray, by: int) -> np.ndarray:
    rotated: np.ndarray = words << np.uint64(by) | words >> np.uint64(-by % 64)
    return rotated


def _fill(states: np.ndarray, out: np.ndarray) -> None:
    """The columns of one lane: out uint32[width, rows] for the permutations of states uint64[n, 25] one after another.

    Words are uint64[n, rounds] until they are taken apart, a bit of all of them at once.
    """
    rows = out.shape[1]
    words = np.empty((LANES, len(states), ROUNDS + 1), dtype=np.uint64)
    after_theta = np.empty((LANES, len(states), ROUNDS), dtype=np.uint64)
    parity, new_parity = (np.empty((5, len(states), ROUNDS), dtype=np.uint64) for _ in range(2))
    unrounded = np.empty((len(states), ROUNDS), dtype=np.uint64)
    words[:, :, 0] = states.T
    for number, constant in enumerate(KECCAK_ROUND_CONSTANTS):
        planes = words[:, :, number].reshape(5, 5, -1)
        old = np.bitwise_xor.reduce(planes, axis=0)
        theta = np.array([old[x - 1] ^ _rotated(old[(x + 1) % 5], 1) for x in range(5)])
        new = planes ^ theta
        parity[:, :, number], new_parity[:, :, number] = old, old ^ theta
        after_theta[:, :, number] = new.reshape(LANES, -1)
        moved = np.empty_like(new)
        for y in range(5):
            for x in range(5):
                moved[(2 * x + 3 * y) % 5, y] = _rotated(new[y, x], KECCAK_ROTATIONS[x + 5 * y])
        chi = moved ^ (~np.roll(moved, -1, axis=1) & np.roll(moved, -2, axis=1))
        unrounded[:, number] = chi[0, 0]
        chi[0, 0] ^= np.uint64(constant)
        words[:, :, number + 1] = chi.reshape(LANES, -1)

    out[:] = 0
    at = np.arange(rows) % ROUNDS
    out[_THIRDS], out[_EIGHTHS] = at % 3 == np.arange(3)[:, None], at % 8 == np.arange(8)[:, None]
    for part, packed in ((_BEFORE, words[:, :, :-1]), (_AFTER, words[:, :, 1:])):
        flat = packed.reshape(LANES, -1)[:, :rows]
        for limb, columns in _limb_columns():
            for i, (x, z) in enumerate(columns):
                for y in range(5):
                    out[part][limb] |= (flat[x + 5 * y] >> np.uint64(z) & np.uint64(1)).astype(np.uint32) << (5 * i + y)
    flat = unrounded.reshape(-1)[:rows]
    for i, z in enumerate(_IOTA):
        out[_UNROUNDED][i] = flat >> np.uint64(z) & np.uint64(1)
    for part, parities in ((_PARITY, parity), (_NEW_PARITY, new_parity)):
        flat = parities.reshape(5, -1)[:, :rows]
        for z in range(64):
            out[part][5 * z : 5 * z + 5] = flat >> np.uint64(z) & np.uint64(1)
    flat = after_theta.reshape(LANES, -1)[:, :rows]
    for z in range(64):
        for x in range(5):
            first = _bit(x, 0, z)
            out[_STATE][first : first + 5] = flat[x::5] >> np.uint64(z) & np.uint64(1)
