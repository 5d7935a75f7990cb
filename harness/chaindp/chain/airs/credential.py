"""Membership of a credential, with a condition on its attributes, and nothing else shown.

An issuer has given out credentials: leaves of a Merkle tree whose root is public. A holder proves: I know the secret
of one of them; its jurisdiction is in a public set; it expires after a public time; and for a public application its
nullifier is this public one. Two proofs for one application have the same nullifier, so nobody counts twice; of two
applications nobody can tell whether the nullifiers are of one holder.

Everything is Poseidon2 of width 16, cut to its first 8 elements. With ``|`` between two halves of a state:

    leaf      = P(secret | jurisdiction, expiry, 0, 0, 0, 0, 0, LEAF)
    node      = P(left | right)
    nullifier = P(secret | application, NULLIFIER)

A row of the table is a permutation: the leaf's, one a level of the tree from there to the root, the nullifier's, and
then permutations of nothing. The tree has a depth that is part of the AIR's name: a node that is passed off as a leaf
would be one at another depth. Times are in minutes since 1970, so that they and their differences are far below the
prime.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic

import numpy as np

from chaindp.chain.airs.air import Air, Constraints, T
from chaindp.chain.airs.poseidon2 import Permutation
from chaindp.errors import UsageError
from chaindp.kernels.poseidon2 import WIDTH

__all__ = [
    "ALLOWED",
    "APPLICATION",
    "DIGEST",
    "LEAF",
    "MOST_DEPTH",
    "NULLIFIER",
    "Credential",
    "CredentialAir",
    "Holding",
    "Membership",
    "filled_up",
    "holding_columns",
    "path_states",
]

DIGEST = 8
"""Elements of a digest, and of a secret."""

APPLICATION = 7
"""Elements that name an application."""

ALLOWED = 8
"""Jurisdictions that are allowed; fewer are filled up with the last one."""

LEAF, NULLIFIER = 1, 2
"""The last element of the states of a leaf and of a nullifier: neither is the other, nor likely a node."""

TIME_BITS = 28
"""Of how long, in minutes, a credential may still be valid: 510 years."""

MOST_DEPTH = 60

_START, _PATH, _NULLIFIER, _IDLE = range(4)


@dataclass(frozen=True, slots=True)
class Credential:
    """What only its holder knows whole: 8 elements of secret, the jurisdiction, and the minute in which it expires."""

    secret: tuple[int, ...]
    jurisdiction: int
    expiry: int

    def state(self) -> list[int]:
        """What the leaf is the digest of."""
        return [*self.secret, self.jurisdiction, self.expiry, 0, 0, 0, 0, 0, LEAF]


@dataclass(frozen=True, slots=True)
class Membership:
    """The public part, as elements.

    root, nullifier: 8 each; application: 7; allowed: 1 to 8; time: minutes since 1970
    """

    root: tuple[int, ...]
    nullifier: tuple[int, ...]
    application: tuple[int, ...]
    allowed: tuple[int, ...]
    time: int

    def public(self) -> list[int]:
        """The public values of the AIR."""
        return [*self.root, *self.nullifier, *self.application, *filled_up(self.allowed), self.time]


def filled_up(allowed: Sequence[int]) -> list[int]:
    """The 8 public values of 1 to 8 jurisdictions."""
    return [*allowed, *[allowed[-1]] * (ALLOWED - len(allowed))]


class Holding(Generic[T]):
    """Columns beside a permutation that a credential takes, and what it asks of them and of the permutation's.

    turn:     1 in a row of the path where the digest before is the right half of the state
    secret:   the holder's
    products: of the differences between the leaf's jurisdiction and those that are allowed
    bits:     of how long the credential is still valid
    """

    width = 1 + DIGEST + 6 + TIME_BITS

    def __init__(self, c: Constraints[T], columns: Sequence[T]) -> None:
        self.c = c
        self.turn, self.secret = columns[0], columns[1 : 1 + DIGEST]
        self.products, self.bits = columns[1 + DIGEST : 7 + DIGEST], columns[7 + DIGEST :]
        for bit in (self.turn, *self.bits):
            c.every(bit * (bit - 1))

    def leaf(self, flag: T, inputs: Sequence[T], allowed: Sequence[T], time: T) -> None:
        """Where ``flag`` is 1: a leaf of this secret, a jurisdiction that is allowed, an expiry later than the time."""
        c, products = self.c, self.products
        for i in range(DIGEST):
            c.every(flag * (inputs[i] - self.secret[i]))
        jurisdiction, expiry = inputs[DIGEST], inputs[DIGEST + 1]
        for i in range(4):
            c.every(products[i] - (jurisdiction - allowed[2 * i]) * (jurisdiction - allowed[2 * i + 1]))
        c.every(products[4] - products[0] * products[1])
        c.every(products[5] - products[2] * products[3])
        c.every(flag * products[4] * products[5])
        left = self.bits[0]
        for i in range(1, TIME_BITS):
            left = left + (1 << i) * self.bits[i]
        c.every(flag * (expiry - time - 1 - left))
        for i in range(DIGEST + 2, WIDTH - 1):
            c.every(flag * inputs[i])
        c.every(flag * (inputs[WIDTH - 1] - LEAF))

    def path(self, next_flag: T, next_turn: T, next_inputs: Sequence[T], outputs: Sequence[T]) -> None:
        """Where the next row's flag is 1: this digest is the left half of the next state, or the right one."""
        for i in range(DIGEST):
            turned = next_turn * (next_inputs[DIGEST + i] - next_inputs[i])
            self.c.transition(next_flag * (next_inputs[i] + turned - outputs[i]))

    def nullifier(self, flag: T, inputs: Sequence[T]) -> None:
        """Where ``flag`` is 1: a nullifier of this secret."""
        for i in range(DIGEST):
            self.c.every(flag * (inputs[i] - self.secret[i]))
        self.c.every(flag * (inputs[WIDTH - 1] - NULLIFIER))


def path_states(
    permutation: Permutation, leaves: np.ndarray, index: np.ndarray, siblings: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """What is permuted from leaves to roots: uint32[n, depth + 1, 16], the leaves first, and the roots uint32[n, 8].

    leaves:   uint32[n, 16], the leaves' states
    index:    int64[n], their places
    siblings: uint32[n, depth, 8], from the leaf's to the one below the root
    """
    count, depth = siblings.shape[:2]
    states = np.empty((count, depth + 1, WIDTH), dtype=np.uint32)
    states[:, 0] = leaves
    for level in range(depth):
        digest = permutation.permute(states[:, level])[:, :DIGEST]
        right = (index >> level & 1).astype(bool)[:, None]
        states[:, level + 1, :DIGEST] = np.where(right, siblings[:, level], digest)
        states[:, level + 1, DIGEST:] = np.where(right, digest, siblings[:, level])
    return states, permutation.permute(states[:, depth])[:, :DIGEST]


def holding_columns(
    states: np.ndarray, turn: np.ndarray, secret: np.ndarray, left: np.ndarray, allowed: Sequence[int], prime: int
) -> np.ndarray:
    """uint32[columns of ``Holding``, rows]: those of a table whose permutations are of states uint32[rows, 16].

    turn, left: int64[rows]; secret: uint32[rows, 8]; left: minutes, less one, that a row's credential is still valid
    """
    out = np.empty((Holding.width, len(states)), dtype=np.uint32)
    out[0], out[1 : 1 + DIGEST] = turn, secret.T
    differences = [(states[:, DIGEST].astype(np.uint64) + prime - value) % prime for value in filled_up(allowed)]
    products = [differences[2 * i] * differences[2 * i + 1] % prime for i in range(4)]
    products += [products[0] * products[1] % prime, products[2] * products[3] % prime]
    out[1 + DIGEST : 7 + DIGEST] = products
    out[7 + DIGEST :] = left >> np.arange(TIME_BITS)[:, None] & 1
    return out


class CredentialAir(Air):
    """For a tree of ``depth`` levels below its root."""

    degree = 3
    publics = 2 * DIGEST + APPLICATION + ALLOWED + 1

    def __init__(self, field: str = "koalabear", depth: int = 20) -> None:
        if not 1 <= depth <= MOST_DEPTH:
            raise UsageError(f"a tree of {depth} levels, expected 1 to {MOST_DEPTH}")
        self.permutation = Permutation(field)
        self.field, self.depth = field, depth
        self.name = f"credential {field} {depth}"
        # The permutation, 4 flags, a counter, and what the credential takes.
        self.width = self.permutation.width + 4 + 1 + Holding.width

    def constraints(self, c: Constraints[T]) -> None:
        """See the module."""
        width = self.permutation.width
        inputs, outputs = self.permutation.constrain(c, c.local[:width])
        flags, count = c.local[width : width + 4], c.local[width + 4]
        holding = Holding(c, c.local[width + 5 :])
        next_inputs, next_flags = c.next[:WIDTH], c.next[width : width + 4]
        next_count, next_turn = c.next[width + 4 : width + 6]
        root, nullifier = c.public[:DIGEST], c.public[DIGEST : 2 * DIGEST]
        application = c.public[2 * DIGEST : 2 * DIGEST + APPLICATION]
        allowed, time = c.public[2 * DIGEST + APPLICATION : -1], c.public[-1]

        # What a row is for: start, then as many levels as the tree has, then the nullifier, then idle to the end.
        for flag in flags:
            c.every(flag * (flag - 1))
        c.every(flags[0] + flags[1] + flags[2] + flags[3] - 1)
        c.first(flags[_START] - 1)
        c.first(count)
        c.transition(next_count - (count + 1))
        c.transition(flags[_START] * (next_flags[_PATH] - 1))
        c.transition(flags[_PATH] * (next_flags[_PATH] + next_flags[_NULLIFIER] - 1))
        c.transition(flags[_NULLIFIER] * (next_flags[_IDLE] - 1))
        c.transition(flags[_IDLE] * (next_flags[_IDLE] - 1))
        c.every(flags[_NULLIFIER] * (count - (self.depth + 1)))
        c.last(flags[_IDLE] - 1)

        # The secret is one and the same.
        for i in range(DIGEST):
            c.transition(c.next[width + 6 + i] - holding.secret[i])

        holding.leaf(flags[_START], inputs, allowed, time)
        holding.path(next_flags[_PATH], next_turn, next_inputs, outputs)
        holding.nullifier(flags[_NULLIFIER], inputs)
        for i in range(APPLICATION):
            c.every(flags[_NULLIFIER] * (inputs[DIGEST + i] - application[i]))
        for i in range(DIGEST):
            c.transition(next_flags[_NULLIFIER] * (outputs[i] - root[i]))
            c.every(flags[_NULLIFIER] * (outputs[i] - nullifier[i]))

    def permute(self, state: Sequence[int]) -> list[int]:
        """The first 8 elements of the permutation of a state."""
        permuted = self.permutation.permute(np.array([state], dtype=np.uint32))
        return [int(value) for value in permuted[0, :DIGEST]]

    def nullifier(self, credential: Credential, application: Sequence[int]) -> tuple[int, ...]:
        """That of a credential in an application of 7 elements."""
        return tuple(self.permute([*credential.secret, *application, NULLIFIER]))

    def table(
        self, credential: Credential, index: int, siblings: np.ndarray, membership: Membership, rows: int
    ) -> np.ndarray:
        """uint32[columns, rows]: the table of a credential that is leaf ``index``.

        siblings: uint32[depth, 8], from the leaf's to the one below the root

        Of a credential that does not fit ``membership`` too, in the form of one: its proof is refused.
        """
        if siblings.shape != (self.depth, DIGEST):
            raise UsageError(f"{siblings.shape} siblings for a tree of {self.depth} levels")
        if rows < self.depth + 3 or rows & (rows - 1):
            raise UsageError(
                f"{rows} rows for a tree of {self.depth} levels: it takes {self.depth + 3}, a power of two"
            )
        leaf = np.array([credential.state()], dtype=np.uint32)
        path, _ = path_states(self.permutation, leaf, np.array([index]), siblings[None])
        states = np.zeros((rows, WIDTH), dtype=np.uint32)
        states[: self.depth + 1] = path[0]
        states[self.depth + 1] = [*credential.secret, *membership.application, NULLIFIER]
        width = self.permutation.width
        out = np.zeros((self.width, rows), dtype=np.uint32)
        out[:width] = self.permutation.columns(states)
        out[width + _START, 0] = 1
        out[width + _PATH, 1 : self.depth + 1] = 1
        out[width + _NULLIFIER, self.depth + 1] = 1
        out[width + _IDLE, self.depth + 2 :] = 1
        out[width + 4] = np.arange(rows)
        turn, left = np.zeros(rows, dtype=np.int64), np.zeros(rows, dtype=np.int64)
        turn[1 : self.depth + 1] = index >> np.arange(self.depth) & 1
        left[0] = max(0, credential.expiry - membership.time - 1)
        secret = np.tile(np.array(credential.secret, dtype=np.uint32), (rows, 1))
        prime = self.permutation.instance.field.prime
        out[width + 5 :] = holding_columns(states, turn, secret, left, membership.allowed, prime)
        return out
