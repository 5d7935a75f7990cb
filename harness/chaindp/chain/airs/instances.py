"""Tables to prove, drawn from a seed: what commands and benchmarks make proofs of."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from chaindp.chain.airs.accounts import AccountTree
from chaindp.chain.airs.air import Air
from chaindp.chain.airs.credential import APPLICATION, DIGEST, Credential, CredentialAir, Membership
from chaindp.chain.airs.credentials import CredentialsAir, Holders
from chaindp.chain.airs.issuer import IssuerTree
from chaindp.chain.airs.keccak import LANES, KeccakAir
from chaindp.chain.airs.poseidon2 import Poseidon2Air
from chaindp.chain.airs.transfers import TransfersAir
from chaindp.kernels.fields import FIELDS, random_elements
from chaindp.kernels.poseidon2 import WIDTH

__all__ = ["Instance", "credential", "credentials", "keccak", "poseidon2", "transfers"]


@dataclass(frozen=True, slots=True)
class Instance:
    """An AIR, a table uint32[columns, rows] that satisfies it, and its public values."""

    air: Air
    table: np.ndarray
    public: list[int]


def poseidon2(field: str, permutations: int, lanes: int, seed: int) -> Instance:
    """Permutations of random states. UsageError unless they are ``lanes`` times a power of two."""
    air = Poseidon2Air(field, lanes)
    rng = np.random.Generator(np.random.PCG64([seed, 0x706F73]))
    return Instance(air, air.table(random_elements(rng, (permutations, WIDTH), FIELDS[field])), [])


def credential(
    field: str,
    depth: int,
    application: int,
    allowed: tuple[int, ...],
    time: int,
    held: tuple[int, int],
    rows: int,
    seed: int,
) -> Instance:
    """A holder's table: a credential with a jurisdiction and an expiry, ``held``, somewhere in a tree of others.

    The holder's secret, the place and the digests beside the path are drawn from ``seed``.
    """
    air, prime = CredentialAir(field, depth), FIELDS[field]
    rng = np.random.Generator(np.random.PCG64([seed, 0x637265]))
    secret = random_elements(rng, (DIGEST,), prime)
    siblings = random_elements(rng, (depth, DIGEST), prime)
    index = int(rng.integers(0, 1 << depth))
    mine = Credential(tuple(secret.tolist()), *held)
    digest = air.permute(mine.state())
    for level, sibling in enumerate(siblings.tolist()):
        digest = air.permute([*sibling, *digest] if index >> level & 1 else [*digest, *sibling])
    name = (application, *[0] * (APPLICATION - 1))
    membership = Membership(tuple(digest), air.nullifier(mine, name), name, allowed, time)
    return Instance(air, air.table(mine, index, siblings, membership, rows), membership.public())


def keccak(field: str, permutations: int, lanes: int, seed: int) -> Instance:
    """Permutations of random states; the last rows that they leave are filled with permutations of zeros."""
    air = KeccakAir(field, lanes)
    rng = np.random.Generator(np.random.PCG64([seed, 0x6B6563]))
    return Instance(air, air.table(rng.integers(0, 1 << 64, (permutations, LANES), dtype=np.uint64)), [])


def transfers(field: str, depth: int, transfers: int, seed: int) -> Instance:
    """Transfers between accounts at random places: about two for each transfer, as far as the tree has room.

    UsageError for a depth or a number of transfers that no table has.
    """
    air = TransfersAir(field, depth)
    air.rows(transfers)
    rng = np.random.Generator(np.random.PCG64([seed, 0x747266]))
    places = np.unique(rng.integers(0, 1 << depth, 2 * transfers))
    keys = random_elements(rng, (len(places), DIGEST), FIELDS[field])
    balances = rng.integers(0, 1 << 50, len(places))
    tree = AccountTree(field, depth, places, keys, balances)
    senders, receivers = rng.integers(0, len(places), (2, transfers))
    # As much that an account can always send it again.
    updates = tree.transfer(senders, receivers, rng.integers(0, balances[senders] // transfers + 1))
    return Instance(air, air.table(updates), updates.public())


def credentials(
    field: str, depth: int, count: int, allowed: tuple[int, ...], time: int, least_rows: int, seed: int
) -> Instance:
    """The table of ``count`` credentials of one tree, each shown in an application of its own; all conditions are met.

    least_rows: the table has no fewer
    """
    air, prime = CredentialsAir(field, depth), FIELDS[field]
    rng = np.random.Generator(np.random.PCG64([seed, 0x637273]))
    given = min(2 * count, 1 << depth)
    secret = random_elements(rng, (given, DIGEST), prime)
    jurisdiction = rng.choice(np.array(allowed, dtype=np.uint32), given)
    expiry = (time + 1 + rng.integers(0, 1_000_000, given)).astype(np.uint32)
    permute = air.permutation.permute
    tree = IssuerTree(permute(air.leaves(secret, jurisdiction, expiry))[:, :DIGEST], depth, permute)
    who = rng.integers(0, given, count)
    application = np.zeros((count, APPLICATION), dtype=np.uint32)
    application[:, 0] = np.arange(count)
    holders = Holders(secret[who], jurisdiction[who], expiry[who], who, tree.siblings(who), application)
    nullifier = permute(air.nullifier_states(holders.secret, application))[:, :DIGEST]
    table = air.table(holders, allowed, time, air.rows_for(count, least_rows))
    return Instance(air, table, air.public(tree.root, allowed, time, application, nullifier))
