"""What the generated workloads share: who sends to whom, with which nonce, type and fee; and the accounts behind it.

Everything random comes from PCG64 generators: the accounts from the seed alone, the transactions from seed and
repetition.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from chaindp.errors import UsageError
from chaindp.kernels.kernelset import KernelSet
from chaindp.workload import (
    CHAIN_ID,
    EMPTY_CODE_HASH,
    Accounts,
    BlockInput,
    Ragged,
    Workload,
    WorkloadParams,
    derive_keys,
    sign_transactions,
    unsigned_batch,
)

__all__ = [
    "BALANCE",
    "BASE_FEE",
    "MAX_SENDERS",
    "GeneratedWorkload",
    "Pairs",
    "draw_pairs",
    "funded",
    "zipf_ranks",
]

GWEI = 10**9
BASE_FEE = GWEI
"""The base fee that the fees of generated transactions are made for, in wei."""

MAX_SENDERS = 20_000
"""How many of the accounts have keys and send; all can receive."""

MAX_ACCOUNTS = 20_000_000

BALANCE = 10**24
"""What each account owns at genesis, in wei: enough for millions of transactions."""

SENDERS, RECIPIENTS, SHAPES = 1, 2, 3
"""Which generator of a seed: one for each purpose, so that one more draw for one changes no other."""


def check_params(params: WorkloadParams) -> None:
    """UsageError where a parameter is out of its range."""
    if params.txs < 0 or params.block_txs < 1:
        raise UsageError(f"a workload of {params.txs} transactions in blocks of {params.block_txs} cannot be generated")
    if not 1 <= params.accounts <= MAX_ACCOUNTS:
        raise UsageError(f"accounts is {params.accounts}, not 1 to {MAX_ACCOUNTS}")
    if not 0 <= params.zipf <= 16:
        raise UsageError(f"zipf is {params.zipf}, not 0 to 16")
    if not 0 <= params.conflict <= 1:
        raise UsageError(f"conflict is {params.conflict}, not a share of 0 to 1")
    if params.seed < 0 or params.repetition < 0:
        raise UsageError("seed and repetition cannot be negative")


def generator(params: WorkloadParams, purpose: int) -> np.random.Generator:
    """The generator of one purpose, from seed and repetition."""
    return np.random.Generator(np.random.PCG64([params.seed, params.repetition, purpose]))


def zipf_ranks(rng: np.random.Generator, population: int, exponent: float, count: int) -> np.ndarray:
    """``count`` ranks int64 in [0, population), rank r with weight (r + 1) ** -exponent; 0 is uniform.

    The cumulative weights are summed from the smallest one up, which keeps all of them above the rounding of the sum.
    """
    if exponent == 0:
        return rng.integers(0, population, size=count, dtype=np.int64)
    weights = np.arange(population, 0, -1, dtype=np.float64) ** -exponent
    cumulative = np.cumsum(weights)
    draws = rng.random(count) * cumulative[-1]
    ranks = population - 1 - np.searchsorted(cumulative, draws, side="right").astype(np.int64)
    clipped: np.ndarray = np.clip(ranks, 0, population - 1)
    return clipped


@dataclass(frozen=True, slots=True)
class Pairs:
    """Who sends to whom: indices of accounts int64[N] each, and the sender's nonce uint64[N]."""

    sender: np.ndarray
    recipient: np.ndarray
    nonce: np.ndarray


def draw_pairs(params: WorkloadParams) -> Pairs:
    """Senders and recipients of all transactions.

    Recipients are ranked by a permutation of their own, so the busiest sender is not the busiest recipient. A share
    ``conflict`` of the transactions, drawn one by one, goes to the one recipient of the first rank.
    """
    senders = min(params.accounts, MAX_SENDERS)
    sender = zipf_ranks(generator(params, SENDERS), senders, params.zipf, params.txs)
    rng = generator(params, RECIPIENTS)
    by_rank = np.random.Generator(np.random.PCG64([params.seed, RECIPIENTS])).permutation(params.accounts)
    recipient = by_rank[zipf_ranks(rng, params.accounts, params.zipf, params.txs)]
    recipient = np.where(rng.random(params.txs) < params.conflict, by_rank[0], recipient)
    # The nonce is how often the sender sent before: its place in its own run after a stable sort.
    order = np.argsort(sender, kind="stable")
    ordered = sender[order]
    starts = np.searchsorted(ordered, ordered, side="left")
    nonce = np.empty(params.txs, dtype=np.uint64)
    nonce[order] = (np.arange(params.txs) - starts).astype(np.uint64)
    return Pairs(sender, recipient, nonce)


def words(values: np.ndarray) -> np.ndarray:
    """uint64[N] to big-endian 256-bit words uint8[N,32]."""
    out = np.zeros((len(values), 32), dtype=np.uint8)
    out[:, 24:] = values.astype(">u8").view(np.uint8).reshape(-1, 8)
    return out


def addresses(params: WorkloadParams, kernels: KernelSet) -> np.ndarray:
    """The addresses uint8[accounts,20]: those of the senders' keys, then keccak256 of a text with seed and index."""
    keyed = derive_keys(params.seed, min(params.accounts, MAX_SENDERS), kernels).address
    rest = np.arange(len(keyed), params.accounts, dtype=np.uint64)
    if not len(rest):
        return keyed
    prefix = np.frombuffer(f"chaindp account {params.seed} ".encode(), dtype=np.uint8)
    rows = np.empty((len(rest), len(prefix) + 8), dtype=np.uint8)
    rows[:, : len(prefix)] = prefix
    rows[:, len(prefix) :] = rest.astype(">u8").view(np.uint8).reshape(-1, 8)
    offsets = np.arange(len(rest) + 1, dtype=np.int64) * rows.shape[1]
    return np.concatenate([keyed, kernels.keccak256(rows.reshape(-1), offsets)[:, 12:]])


def funded(address: np.ndarray) -> Accounts:
    """Accounts without code that own ``BALANCE`` wei each."""
    count = len(address)
    balance = np.frombuffer(BALANCE.to_bytes(32, "big"), dtype=np.uint8)
    empty = np.frombuffer(EMPTY_CODE_HASH, dtype=np.uint8)
    return Accounts(
        address=address,
        nonce=np.zeros(count, dtype=np.uint64),
        balance=np.tile(balance, (count, 1)),
        code_hash=np.tile(empty, (count, 1)),
        exists=np.ones(count, dtype=bool),
    )


class GeneratedWorkload(Workload):
    """A stream of transactions from keyed accounts. Subclasses say what one from one account to another is."""

    gas_limit = 21_000

    def __init__(self, params: WorkloadParams, kernels: KernelSet) -> None:
        check_params(params)
        self.params = params
        self.kernels = kernels
        self.pairs = draw_pairs(params)
        self.addresses = addresses(params, kernels)
        rng = generator(params, SHAPES)
        self._type = rng.choice(np.array([2, 0, 1], dtype=np.uint8), size=params.txs, p=[0.85, 0.1, 0.05])
        self._priority = rng.integers(1, 3 * GWEI, size=params.txs, dtype=np.uint64)
        self._headroom = rng.integers(0, 2 * GWEI, size=params.txs, dtype=np.uint64)
        self._amount = rng.integers(1, 10**15, size=params.txs, dtype=np.uint64)

    def payload(self, rows: slice) -> tuple[np.ndarray, np.ndarray, Ragged | None]:
        """Of these transactions: target addresses uint8[N,20], values in wei uint64[N], and call data or None."""
        raise NotImplementedError

    def blocks(self) -> Iterator[BlockInput]:
        """The blocks in order, signed as they are asked for (about 30 us a transaction)."""
        keys = derive_keys(self.params.seed, min(self.params.accounts, MAX_SENDERS), self.kernels)
        for start in range(0, self.params.txs, self.params.block_txs):
            rows = slice(start, min(start + self.params.block_txs, self.params.txs))
            kind = self._type[rows]
            to, value, data = self.payload(rows)
            # Types 0 and 1 have one gas price; type 2 has a cap of base fee, priority and some headroom.
            cap = self._priority[rows] + np.uint64(BASE_FEE)
            cap += np.where(kind == 2, self._headroom[rows], np.uint64(0))
            batch = unsigned_batch(
                type=kind,
                chain_id=np.full(len(kind), CHAIN_ID, dtype=np.uint64),
                nonce=self.pairs.nonce[rows],
                gas_limit=np.full(len(kind), self.gas_limit, dtype=np.uint64),
                max_fee=words(cap),
                max_priority_fee=words(np.where(kind == 2, self._priority[rows], cap)),
                to=to,
                value=words(value),
                data=data,
            )
            yield BlockInput(sign_transactions(batch, keys, self.pairs.sender[rows], self.kernels))
