"""The ``credentials`` workload: token transfers, and claims with credentials that one proof a block vouches for.

An issuer has given a credential to every account that has a key. A claim shows one: in its call data are a number that
stands for an application, and the nullifier of the sender's credential in it. The registry (``contracts/Registry.asm``)
keeps which nullifiers were used, and refuses a second use. That they are nullifiers of credentials of this issuer, in
jurisdictions that are allowed, and not expired, is what the block's proof says: of exactly the pairs of application and
nullifier that are in its claims, in their order (``chaindp.chain.airs.credentials``).

Who proves has the holders' secrets, as a wallet provider would. The time and the jurisdictions are constants here, and
so is the root: an issuer that revokes or adds would post another one. A nullifier is not bound to the sender.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Sequence

import numpy as np

from chaindp.kernels.fields import KOALABEAR, random_elements
from chaindp.kernels.kernelset import KernelSet
from chaindp.workload import (
    AccessHints,
    CredentialsAir,
    Genesis,
    Holders,
    IssuerTree,
    ProofJob,
    ProofParameters,
    ProofStatement,
    Ragged,
    TransactionBatch,
    WorkloadParams,
)
from chaindp_workloads.code import call_data, calls_of, ragged, runtime_code, with_contract
from chaindp_workloads.erc20 import Erc20
from chaindp_workloads.stream import MAX_SENDERS, generator

__all__ = ["CLAIM", "DEPTH", "REGISTRY", "SHARE", "Credentials", "from_words", "to_words", "used_slots"]

REGISTRY = bytes.fromhex("c4a1000000000000000000000000000000000021")
"""The address of the registry."""

CLAIM = bytes.fromhex("c3490263")
"""The selector of ``claim(uint256,uint256)``."""

SHARE = 1 / 16
"""Of the transactions, how many are claims: 62 in a block of 1,000, whose table of 1,500 rows is padded to 2,048."""

DEPTH = 20
"""Of the issuer's tree: room for a million credentials."""

MOST_CLAIMS = 1_024
"""Claims in a proof: a block with more has several proofs, each of the next ones."""

ALLOWED = (40, 276, 756)
"""Jurisdictions, as numbers of ISO 3166-1."""

TIME = 29_453_760
"""The first minute of 2026, in minutes since 1970: what a credential has to outlast."""

YEAR = 525_600

PARAMETERS = ProofParameters(log_blowup=1, queries=88, grinding=12, log_final=4, hiding=True)
"""100 bits of conjectured security. Fewer bits of work than usual: how long that takes is a matter of luck."""

_CLAIMS, _HOLDERS = 4, 5  # which generator of a seed; ``stream`` has the others


@functools.cache
def air() -> CredentialsAir:
    """The statement's form: one for all workloads, for whoever compiles it."""
    return CredentialsAir("koalabear", DEPTH)


def to_words(elements: np.ndarray) -> np.ndarray:
    """uint32[N, k], k at most 8, as words uint8[N, 32]: element i has the bits from 32 i on."""
    out = np.zeros((len(elements), 8), dtype=">u4")
    out[:, 8 - elements.shape[1] :] = elements[:, ::-1]
    return out.view(np.uint8).reshape(-1, 32)


def from_words(words: np.ndarray) -> np.ndarray:
    """uint32[N, 8] of words uint8[N, 32]: the way back."""
    return np.ascontiguousarray(words).view(">u4").reshape(-1, 8)[:, ::-1].astype(np.uint32)


def used_slots(words: np.ndarray, kernels: KernelSet) -> np.ndarray:
    """Where the registry keeps that pairs uint8[N, 2, 32] of application and nullifier were used: uint8[N, 32]."""
    return kernels.keccak256(np.ascontiguousarray(words).reshape(-1), np.arange(len(words) + 1, dtype=np.int64) * 64)


class Credentials(Erc20):
    """Token transfers, and a share of claims: the n-th claim of an account is for the application n."""

    name = "credentials"

    def __init__(self, params: WorkloadParams, kernels: KernelSet) -> None:
        super().__init__(params, kernels)
        held = min(params.accounts, MAX_SENDERS)
        rng = np.random.Generator(np.random.PCG64([params.seed, _HOLDERS]))
        self._secret = random_elements(rng, (held, 8), KOALABEAR)
        self._jurisdiction = rng.choice(np.array(ALLOWED, dtype=np.uint32), held)
        self._expiry = (TIME + rng.integers(1, YEAR, held)).astype(np.uint32)
        leaves = air().leaves(self._secret, self._jurisdiction, self._expiry)
        self._tree = IssuerTree(self._permute(leaves)[:, :8], DEPTH, self._permute)
        self._holder = {address.tobytes(): index for index, address in enumerate(self.addresses[:held])}
        self._is_claim = generator(params, _CLAIMS).random(params.txs) < SHARE
        self._application = _counted(np.where(self._is_claim, self.pairs.sender, -1))

    def _permute(self, states: np.ndarray) -> np.ndarray:
        return self.kernels.poseidon2(states, air().field)

    def genesis(self) -> Genesis:
        """That of ``erc20``, and the registry, of which no slot is used."""
        return with_contract(super().genesis(), REGISTRY, runtime_code("Registry"), self.kernels)

    def payload(self, rows: slice) -> tuple[np.ndarray, np.ndarray, Ragged | None]:
        """A transfer of tokens, or where the transaction is one, a claim; both have data of one length."""
        to, value, transfers = super().payload(rows)
        assert transfers is not None
        data = transfers.data.reshape(len(to), -1).copy()
        claims = np.flatnonzero(self._is_claim[rows])
        who = self.pairs.sender[rows][claims]
        application = np.zeros((len(claims), 7), dtype=np.uint32)
        application[:, 0] = self._application[rows][claims]
        nullifier = self._permute(air().nullifier_states(self._secret[who], application))[:, :8]
        data[claims] = call_data(CLAIM, to_words(application), to_words(nullifier))
        to[claims] = np.frombuffer(REGISTRY, dtype=np.uint8)
        return to, value, ragged(data)

    def hints(self, batch: TransactionBatch) -> AccessHints | None:
        """The slots that transfers touch, and one a claim."""
        transfers = super().hints(batch)
        _, words = calls_of(batch, REGISTRY, CLAIM, 2)
        if not len(words):
            return transfers
        slots = used_slots(words, self.kernels)
        registry = np.tile(np.frombuffer(REGISTRY, dtype=np.uint8), (len(slots), 1))
        if transfers is None:
            return AccessHints(registry, slots)
        return AccessHints(np.concatenate([transfers.address, registry]), np.concatenate([transfers.slot, slots]))

    def proof_jobs(self, batch: TransactionBatch) -> Sequence[ProofJob]:
        """A proof of all claims of the block, whether or not the registry accepts them; several above 1,024."""
        jobs = []
        assert batch.sender is not None
        for rows, application, nullifier in _parts(batch):
            who = np.array([self._holder[batch.sender[row].tobytes()] for row in rows], dtype=np.int64)
            holders = Holders(
                secret=self._secret[who],
                jurisdiction=self._jurisdiction[who],
                expiry=self._expiry[who],
                index=who,
                siblings=self._tree.siblings(who),
                application=application,
            )
            seed = hashlib.sha256(f"chaindp credentials {self.params.seed} ".encode() + nullifier.tobytes()).digest()
            table = air().table(holders, ALLOWED, TIME, air().rows_for(len(rows), PARAMETERS.least_rows))
            public = self._public(application, nullifier)
            jobs.append(ProofJob(air=air(), table=table, public=public, parameters=PARAMETERS, seed=seed))
        return jobs

    def proof_statements(self, batch: TransactionBatch) -> Sequence[ProofStatement]:
        """The root, the jurisdictions and the time, and the digest of what the claims have in their call data."""
        return [
            ProofStatement(
                air=air(),
                public=self._public(application, nullifier),
                rows=air().rows_for(len(rows), PARAMETERS.least_rows),
                hiding=True,
            )
            for rows, application, nullifier in _parts(batch)
        ]

    def _public(self, application: np.ndarray, nullifier: np.ndarray) -> list[int]:
        return air().public(self._tree.root, ALLOWED, TIME, application, nullifier)


def _counted(values: np.ndarray) -> np.ndarray:
    """int64[N]: how often each value was there before."""
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    counted = np.empty(len(values), dtype=np.int64)
    counted[order] = np.arange(len(values)) - np.searchsorted(ordered, ordered, side="left")
    return counted


def _parts(batch: TransactionBatch) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """The claims of a block, a proof's at a time: rows int64[n], applications uint32[n, 7], nullifiers uint32[n, 8].

    What is no list of elements can be nobody's nullifier and is left out: no proof vouches for it.
    """
    rows, words = calls_of(batch, REGISTRY, CLAIM, 2)
    application, nullifier = from_words(words[:, 0]), from_words(words[:, 1])
    prime = KOALABEAR.prime
    fits = (application < prime).all(axis=1) & (nullifier < prime).all(axis=1) & (application[:, 7] == 0)
    rows, application, nullifier = rows[fits], application[fits, :7], nullifier[fits]
    return [
        (
            rows[start : start + MOST_CLAIMS],
            application[start : start + MOST_CLAIMS],
            nullifier[start : start + MOST_CLAIMS],
        )
        for start in range(0, len(rows), MOST_CLAIMS)
    ]
