"""Accounts in a Merkle tree of Poseidon2, and value transfers between them: what ``transfers.py`` proves.

With ``|`` between two halves of a state, P for Poseidon2 of width 16 cut to its first 8 elements, and a balance of 56
bits as two limbs of 28:

    leaf = P(key | low limb, high limb, nonce, 0, 0, 0, 0, ACCOUNT)
    node = P(left | right)

P cut is no hash that stands alone: from a digest and any 8 elements beside it, P can be run backwards. But five
elements of a leaf's state are fixed, of 31 bits each, and a node's state is two digests: what is met by running
backwards, and digests of leaves that are known, have 248 bits to agree on.

Where there is no account is the leaf of one without key, balance and nonce. A tree of any depth is kept as the nodes
that differ from those of an empty one. A batch is hashed level by level, all of its updates at once.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from chaindp.chain.airs.poseidon2 import Permutation
from chaindp.errors import UsageError
from chaindp.kernels.poseidon2 import WIDTH

__all__ = ["ACCOUNT", "BALANCE_BITS", "DIGEST", "LIMB_BITS", "AccountTree", "Updates", "leaf_states"]

DIGEST = 8
"""Elements of a digest, and of a key."""

LIMB_BITS = 28
BALANCE_BITS = 2 * LIMB_BITS

ACCOUNT = 3
"""The last element of a leaf's state, which a node's or a credential's hardly is."""

MOST_DEPTH = 60


def leaf_states(keys: np.ndarray, balances: np.ndarray, nonces: np.ndarray) -> np.ndarray:
    """uint32[n, 16]: what the leaves are digests of. keys: uint32[n, 8]; balances: int64[n]; nonces: uint32[n]."""
    states = np.zeros((len(keys), WIDTH), dtype=np.uint32)
    states[:, :DIGEST] = keys
    states[:, DIGEST] = balances & ((1 << LIMB_BITS) - 1)
    states[:, DIGEST + 1] = balances >> LIMB_BITS
    states[:, DIGEST + 2] = nonces
    states[:, WIDTH - 1] = ACCOUNT
    return states


@dataclass(frozen=True, slots=True)
class Updates:
    """Leaves of a tree replaced one after another, and what that did to the nodes above them.

    A transfer is two updates, the sender's and then the receiver's.

    states:  uint32[updates, depth + 1, 2, 16]: from the leaf up, the states of the path before, and after
    turns:   uint32[updates, depth]: whether the digest below is the right half of a node's state
    amounts: int64[transfers]
    roots:   uint32[updates + 1, 8]: before the first update, and after each
    """

    states: np.ndarray
    turns: np.ndarray
    amounts: np.ndarray
    roots: np.ndarray

    def public(self) -> list[int]:
        """The root before, the root after, and the number of transfers."""
        return [*self.roots[0].tolist(), *self.roots[-1].tolist(), len(self.amounts)]


class AccountTree:
    """Accounts at places of a tree with ``depth`` levels below its root.

    places:   int64[n], all different, below 2^depth
    keys:     uint32[n, 8] of canonical elements
    balances: int64[n] below 2^56
    nonces:   uint32[n], 0 at first: debits so far

    UsageError for what is none of these.
    """

    def __init__(self, field: str, depth: int, places: np.ndarray, keys: np.ndarray, balances: np.ndarray) -> None:
        if not 1 <= depth <= MOST_DEPTH:
            raise UsageError(f"a tree of {depth} levels, expected 1 to {MOST_DEPTH}")
        self.permutation, self.depth = Permutation(field), depth
        self.prime = self.permutation.instance.field.prime
        count = len(places)
        if keys.shape != (count, DIGEST) or balances.shape != (count,):
            raise UsageError(f"{count} places, keys of shape {keys.shape} and balances of shape {balances.shape}")
        if len(np.unique(places)) < count or np.any(places < 0) or np.any(places >> depth):
            raise UsageError(f"the places of {count} accounts are not all different ones below 2^{depth}")
        if np.any(keys >= self.prime):
            raise UsageError(f"a key has an element that is not below {self.prime}")
        if np.any(balances < 0) or np.any(balances >> BALANCE_BITS):
            raise UsageError(f"a balance is not from 0 to 2^{BALANCE_BITS} - 1")
        self.places, self.keys, self.balances = places.copy(), keys.copy(), balances.copy()
        self.nonces = np.zeros(count, dtype=np.uint32)
        # Of an empty tree, by the level above the leaves.
        self._empty = [self.digests(leaf_states(np.zeros((1, DIGEST)), np.zeros(1, dtype=np.int64), np.zeros(1)))[0]]
        for _ in range(depth):
            self._empty.append(self.digests(np.tile(self._empty[-1], 2)[None])[0])
        self._nodes: list[dict[int, np.ndarray]] = [{} for _ in range(depth + 1)]
        found = self.digests(leaf_states(keys, balances, self.nonces))
        for level in range(depth + 1):
            self._nodes[level] = dict(zip(places.tolist(), found, strict=True))
            if level < depth:
                places = np.unique(places >> 1)
                pairs = [[self._node(level, 2 * place + side) for side in (0, 1)] for place in places.tolist()]
                found = self.digests(np.array(pairs, dtype=np.uint32).reshape(-1, WIDTH))

    def digests(self, states: np.ndarray) -> np.ndarray:
        """uint32[n, 8]: those of states uint32[n, 16]."""
        return np.ascontiguousarray(self.permutation.permute(states)[:, :DIGEST])

    def _node(self, level: int, place: int) -> np.ndarray:
        found = self._nodes[level].get(place)
        return self._empty[level] if found is None else found

    @property
    def root(self) -> np.ndarray:
        """uint32[8]: the digest of the whole tree."""
        return self._node(self.depth, 0)

    def transfer(self, senders: np.ndarray, receivers: np.ndarray, amounts: np.ndarray) -> Updates:
        """Transfers one after another. A sender may be the receiver.

        senders, receivers: int64[n], numbers of accounts in the order in which they were given
        amounts:            int64[n]

        UsageError, and nothing is transferred, where an amount is not from 0 to the sender's balance, a balance would
        not be below 2^56, or an account has used up its nonces.
        """
        if not len(senders) == len(receivers) == len(amounts):
            raise UsageError(f"{len(senders)} senders, {len(receivers)} receivers and {len(amounts)} amounts")
        accounts = np.stack([senders, receivers], axis=1).reshape(-1)
        if not len(accounts) or np.any(accounts < 0) or np.any(accounts >= len(self.places)):
            raise UsageError(f"transfers need senders and receivers from 0 to {len(self.places) - 1}, one at least")
        balances, nonces = self.balances.tolist(), self.nonces.tolist()
        # Balance and nonce before and after each update.
        held = np.empty((len(accounts), 2, 2), dtype=np.int64)
        for number, account in enumerate(accounts.tolist()):
            amount, debit = int(amounts[number // 2]), number % 2 == 0
            held[number, 0] = balances[account], nonces[account]
            if amount < 0 or (debit and amount > balances[account]):
                raise UsageError(f"transfer {number // 2}: account {account} has {balances[account]}, not {amount}")
            if nonces[account] == self.prime - 1:
                raise UsageError(f"transfer {number // 2}: account {account} has used up its nonces")
            balances[account] += -amount if debit else amount
            nonces[account] += debit
            if balances[account] >> BALANCE_BITS:
                raise UsageError(f"transfer {number // 2}: account {account} would have 2^{BALANCE_BITS} or more")
            held[number, 1] = balances[account], nonces[account]
        leaves = np.stack([leaf_states(self.keys[accounts], *held[:, side].T) for side in (0, 1)], axis=1)
        self.balances, self.nonces = np.array(balances, dtype=np.int64), np.array(nonces, dtype=np.uint32)
        return self.replace(self.places[accounts], leaves, np.asarray(amounts, dtype=np.int64))

    def replace(self, places: np.ndarray, leaves: np.ndarray, amounts: np.ndarray) -> Updates:
        """Leaves replaced one after another, whatever they are: ``transfer`` is what looks after the accounts.

        places: int64[updates]; leaves: uint32[updates, 2, 16], the states before and after
        """
        count = len(places)
        states = np.empty((count, self.depth + 1, 2, WIDTH), dtype=np.uint32)
        turns = np.empty((count, self.depth), dtype=np.uint32)
        roots = np.empty((count + 1, DIGEST), dtype=np.uint32)
        states[:, 0], roots[0] = leaves, self.root
        for level in range(self.depth + 1):
            # On a level, an update meets what the earlier ones have left there.
            found = self.digests(states[:, level].reshape(-1, WIDTH)).reshape(count, 2, DIGEST)
            beside = np.empty((count, 1, DIGEST), dtype=np.uint32)
            for number, place in enumerate((places >> level).tolist()):
                beside[number] = self._node(level, place ^ 1) if level < self.depth else 0
                self._nodes[level][place] = found[number, 1]
            if level < self.depth:
                beside = np.repeat(beside, 2, axis=1)
                turns[:, level] = turn = places >> level & 1
                left, right = (np.where(turn[:, None, None] == side, found, beside) for side in (0, 1))
                states[:, level + 1] = np.concatenate([left, right], axis=2)
        roots[1:] = found[:, 1]
        return Updates(states, turns, amounts, roots)
