"""Many credentials of one issuer's tree, each shown in an application, in one proof.

For a public root, allowed jurisdictions and time, and a list of pairs of an application and a nullifier: for every pair
there is a secret of a credential in the tree; its jurisdiction is allowed; it expires after the time; and the nullifier
is the secret's in that application. What a single credential (``chaindp.chain.airs.credential``) has in its public
values, a list that is as long as a block has no room for: public is the list's digest, which whoever has the list
computes again. It runs, from 8 zeros:

    digest = P(digest | application, TAG), digest = P(digest | nullifier)

A credential takes ``depth + 4`` rows: its leaf, a row a level up to the root, the application into the digest, the
nullifier, the nullifier into the digest. Then comes the next credential, or idle rows to the end of the table. The
application is absorbed before the nullifier is made because it is then in neighbouring rows, and no column has to
carry it: what has to last are the secret, within a credential, and the digest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from chaindp.chain.airs.air import Air, Constraints, T
from chaindp.chain.airs.credential import (
    ALLOWED,
    APPLICATION,
    DIGEST,
    LEAF,
    MOST_DEPTH,
    NULLIFIER,
    Holding,
    filled_up,
    holding_columns,
    path_states,
)
from chaindp.chain.airs.poseidon2 import Permutation
from chaindp.errors import UsageError
from chaindp.kernels.poseidon2 import WIDTH

__all__ = ["CredentialsAir", "Holders"]

TAG = 3
"""The last element of the state that takes an application into the digest: it is no leaf's and no nullifier's."""

_START, _PATH, _APPLICATION, _NULLIFIER, _ABSORB, _IDLE = range(6)
_FLAGS = 6


@dataclass(frozen=True, slots=True)
class Holders:
    """What holders know who show n credentials: columns of canonical elements, in the order of the list.

    secret:      uint32[n, 8]
    jurisdiction, expiry: uint32[n], the latter in minutes since 1970
    index:       int64[n], the place of the leaf in the tree
    siblings:    uint32[n, depth, 8], from the leaf's to the one below the root
    application: uint32[n, 7], where each is shown
    """

    secret: np.ndarray
    jurisdiction: np.ndarray
    expiry: np.ndarray
    index: np.ndarray
    siblings: np.ndarray
    application: np.ndarray

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self.secret)


class CredentialsAir(Air):
    """For a tree of ``depth`` levels below its root.

    Public values: the root, 8 jurisdictions, the time, how many credentials there are, and the list's digest.
    """

    degree = 3
    publics = DIGEST + ALLOWED + 1 + 1 + DIGEST

    def __init__(self, field: str = "koalabear", depth: int = 20) -> None:
        if not 1 <= depth <= MOST_DEPTH:
            raise UsageError(f"a tree of {depth} levels, expected 1 to {MOST_DEPTH}")
        self.permutation = Permutation(field)
        self.field, self.depth = field, depth
        self.name = f"credentials {field} {depth}"
        self.period = depth + 4
        # The permutation, the flags, the row within a credential, how many there were, the digest so far, and what a
        # credential takes.
        self.width = self.permutation.width + _FLAGS + 1 + 1 + DIGEST + Holding.width

    def constraints(self, c: Constraints[T]) -> None:
        """See the module."""
        width = self.permutation.width
        at = width + _FLAGS
        inputs, outputs = self.permutation.constrain(c, c.local[:width])
        flags, (count, number), digest = c.local[width:at], c.local[at : at + 2], c.local[at + 2 : at + 2 + DIGEST]
        holding = Holding(c, c.local[at + 2 + DIGEST :])
        next_inputs, next_flags = c.next[:WIDTH], c.next[width:at]
        (next_count, next_number), next_digest = c.next[at : at + 2], c.next[at + 2 : at + 2 + DIGEST]
        next_turn, next_secret = c.next[at + 2 + DIGEST], c.next[at + 3 + DIGEST : at + 3 + 2 * DIGEST]
        root, allowed = c.public[:DIGEST], c.public[DIGEST : DIGEST + ALLOWED]
        time, total = c.public[DIGEST + ALLOWED : DIGEST + ALLOWED + 2]
        listed = c.public[-DIGEST:]
        start, path, application, nullifier, absorb, idle = flags
        absorbs = application + absorb

        # What a row is for. No credential is left half done: only the end of one leads to another, or to idle rows.
        for flag in flags:
            c.every(flag * (flag - 1))
        c.every(start + path + application + nullifier + absorb + idle - 1)
        c.first(start - 1)
        c.transition(start * (next_flags[_PATH] - 1))
        c.transition(path * (next_flags[_PATH] + next_flags[_APPLICATION] - 1))
        c.transition(application * (next_flags[_NULLIFIER] - 1))
        c.transition(nullifier * (next_flags[_ABSORB] - 1))
        c.transition(absorb * (next_flags[_START] + next_flags[_IDLE] - 1))
        c.transition(idle * (next_flags[_IDLE] - 1))
        c.last(absorb + idle - 1)

        # The path is as long as the tree is deep: a node that is passed off as a leaf would be one at another depth.
        c.every(start * count)
        c.transition((1 - next_flags[_START] - next_flags[_IDLE]) * (next_count - count - 1))
        c.every(application * (count - (self.depth + 1)))

        # How many there are.
        c.first(number - 1)
        c.transition(next_number - number - next_flags[_START])
        c.last(number - total)

        # One secret from the leaf to the nullifier.
        for i in range(DIGEST):
            c.transition((1 - next_flags[_START]) * (next_secret[i] - holding.secret[i]))
        holding.leaf(start, inputs, allowed, time)
        holding.path(next_flags[_PATH], next_turn, next_inputs, outputs)
        holding.nullifier(nullifier, inputs)
        for i in range(DIGEST):
            c.transition(next_flags[_APPLICATION] * (outputs[i] - root[i]))

        # The digest takes in the application, and then the nullifier that is made for that application.
        c.every(application * (inputs[WIDTH - 1] - TAG))
        for i in range(APPLICATION):
            c.transition(application * (next_inputs[DIGEST + i] - inputs[DIGEST + i]))
        for i in range(DIGEST):
            c.transition(nullifier * (next_inputs[DIGEST + i] - outputs[i]))
            c.every(absorbs * (inputs[i] - digest[i]))
            c.first(digest[i])
            c.transition(next_digest[i] - digest[i] - absorbs * (outputs[i] - digest[i]))
            c.last(digest[i] + absorb * (outputs[i] - digest[i]) - listed[i])

    def rows_for(self, count: int, least: int = 2) -> int:
        """The rows of the table of that many credentials: a power of two, and not below ``least``."""
        return 1 << (max(count * self.period, least) - 1).bit_length()

    def leaves(self, secret: np.ndarray, jurisdiction: np.ndarray, expiry: np.ndarray) -> np.ndarray:
        """uint32[n, 16]: the states whose digests are the leaves of n credentials (``Holders`` has the shapes)."""
        states = np.zeros((len(secret), WIDTH), dtype=np.uint32)
        states[:, :DIGEST], states[:, DIGEST], states[:, DIGEST + 1] = secret, jurisdiction, expiry
        states[:, -1] = LEAF
        return states

    def nullifier_states(self, secret: np.ndarray, application: np.ndarray) -> np.ndarray:
        """uint32[n, 16]: the states whose digests are the nullifiers."""
        states = np.empty((len(secret), WIDTH), dtype=np.uint32)
        states[:, :DIGEST], states[:, DIGEST:-1], states[:, -1] = secret, application, NULLIFIER
        return states

    def digest(self, application: np.ndarray, nullifier: np.ndarray) -> tuple[int, ...]:
        """Of the list of applications uint32[n, 7] and nullifiers uint32[n, 8]: 8 elements."""
        return tuple(self._absorbed(application, nullifier)[1].tolist())

    def public(
        self,
        root: Sequence[int],
        allowed: Sequence[int],
        time: int,
        application: np.ndarray,
        nullifier: np.ndarray,
    ) -> list[int]:
        """The public values for a list of applications uint32[n, 7] and nullifiers uint32[n, 8]."""
        digest = self.digest(application, nullifier)
        return [*root, *filled_up(allowed), time, len(application), *digest]

    def _absorbed(self, application: np.ndarray, nullifier: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The states uint32[n, 2, 16] that take n pairs into the digest, and what it is then."""
        halves = np.empty((len(application), 2, DIGEST), dtype=np.uint32)
        halves[:, 0, :APPLICATION], halves[:, 0, APPLICATION], halves[:, 1] = application, TAG, nullifier
        states, digest = self.permutation.absorb(np.zeros(DIGEST, dtype=np.uint32), halves.reshape(-1, DIGEST))
        return states.reshape(-1, 2, WIDTH), digest

    def table(self, holders: Holders, allowed: Sequence[int], time: int, rows: int = 0) -> np.ndarray:
        """uint32[columns, rows]: the table of ``holders``; as many rows as ``rows_for`` says, or ``rows``.

        Of holders that do not fit the public values too, in the form of those who do: that proof is refused. UsageError
        where shapes do not fit, there is nobody, or ``rows`` are too few or no power of two.
        """
        count, depth, period = holders.count, self.depth, self.period
        rows = rows or self.rows_for(count)
        shapes = [part.shape for part in (holders.secret, holders.siblings, holders.application)]
        if not count or shapes != [(count, DIGEST), (count, depth, DIGEST), (count, APPLICATION)]:
            raise UsageError(f"secrets, siblings and applications are of shapes {shapes}, for a tree of {depth} levels")
        if rows < count * period or rows & (rows - 1):
            raise UsageError(f"{rows} rows for {count} credentials: it takes {count * period}, a power of two")
        leaves = self.leaves(holders.secret, holders.jurisdiction, holders.expiry)
        shown = self.nullifier_states(holders.secret, holders.application)
        absorbed, final = self._absorbed(holders.application, self.permutation.permute(shown)[:, :DIGEST])

        used = count * period
        states = np.zeros((rows, WIDTH), dtype=np.uint32)
        each = states[:used].reshape(count, period, WIDTH)
        each[:, : depth + 1], _ = path_states(self.permutation, leaves, holders.index, holders.siblings)
        each[:, depth + 1], each[:, depth + 2], each[:, depth + 3] = absorbed[:, 0], shown, absorbed[:, 1]

        width = self.permutation.width
        out = np.zeros((self.width, rows), dtype=np.uint32)
        out[:width] = self.permutation.columns(states)
        roles = np.array([_START, *[_PATH] * depth, _APPLICATION, _NULLIFIER, _ABSORB])
        role = np.concatenate([np.tile(roles, count), np.full(rows - used, _IDLE)])
        out[width + role, np.arange(rows)] = 1
        at = width + _FLAGS
        out[at, :used] = np.tile(np.arange(period), count)
        out[at + 1] = np.minimum(np.arange(rows) // period + 1, count)
        # The digest before each row: that of the rows which absorb is the left half of their states.
        digests = np.empty((rows, DIGEST), dtype=np.uint32)
        lasting = digests[:used].reshape(count, period, DIGEST)
        lasting[:, : depth + 2] = absorbed[:, 0, None, :DIGEST]
        lasting[:, depth + 2 :] = absorbed[:, 1, None, :DIGEST]
        digests[used:] = final
        out[at + 2 : at + 2 + DIGEST] = digests.T

        turn, left = np.zeros(rows, dtype=np.int64), np.zeros(rows, dtype=np.int64)
        turns = turn[:used].reshape(count, period)
        turns[:, 1 : depth + 1] = holders.index[:, None] >> np.arange(depth) & 1
        left[:used:period] = np.maximum(0, holders.expiry.astype(np.int64) - time - 1)
        secret = np.concatenate(
            [np.repeat(holders.secret, period, axis=0), np.tile(holders.secret[-1], (rows - used, 1))]
        )
        prime = self.permutation.instance.field.prime
        out[at + 2 + DIGEST :] = holding_columns(states, turn, secret, left, allowed, prime)
        return out
