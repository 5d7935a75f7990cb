"""The ``proofs`` workload: requests to a network that proves, here batches of Poseidon2 permutations.

Every transaction asks the market (``contracts/Requests.asm``) for a number of permutations of states that follow from a
seed in its call data. All requests of a block are proven together, in tables of up to 4,096 permutations.

What such a proof says is what the AIR ``poseidon2`` says: that there is a table of so many permutations, all of them
right. It has no public values, so neither the seeds nor the results are in the statement: it is the work of a prover
that is measured, as in benchmarks of provers, and nobody could be paid by it.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Sequence

import numpy as np

from chaindp.kernels.fields import KOALABEAR
from chaindp.kernels.kernelset import KernelSet
from chaindp.workload import (
    Genesis,
    Poseidon2Air,
    ProofJob,
    ProofParameters,
    ProofStatement,
    Ragged,
    StorageCells,
    TransactionBatch,
    WorkloadParams,
)
from chaindp_workloads.code import call_data, calls_of, ragged, runtime_code, with_contract
from chaindp_workloads.stream import GeneratedWorkload, funded, generator, words

__all__ = ["MARKET", "MOST_PERMUTATIONS", "REQUEST", "Proofs", "requested_states"]

MARKET = bytes.fromhex("c4a1000000000000000000000000000000000022")
"""The address of the market."""

REQUEST = bytes.fromhex("8bc802fb")
"""The selector of ``request(uint256,uint256)``."""

LARGEST = 7
"""Permutations that a request is for, at most, and 1 at least: 4,000 in a block of 1,000."""

MOST_PERMUTATIONS = 4_096
"""In a proof; a block with more has several, and the last is padded with permutations of zeros to a power of two."""

LANES = 8

WIDTH = 16

PARAMETERS = ProofParameters(log_blowup=1, queries=88, grinding=12)
"""100 bits of conjectured security. Fewer bits of work than usual: how long that takes is a matter of luck."""

_REQUESTS = 4  # which generator of a seed; ``stream`` has the others


@functools.cache
def air() -> Poseidon2Air:
    """The statement's form: one for all workloads, for whoever compiles it."""
    return Poseidon2Air("koalabear", LANES)


def requested_states(permutations: int, seed: bytes) -> np.ndarray:
    """uint32[permutations, 16]: 32-bit words, little end first, of SHAKE-128 of the seed's 32 bytes, modulo p."""
    stream = hashlib.shake_128(seed).digest(4 * WIDTH * permutations)
    found = np.frombuffer(stream, dtype="<u4").reshape(permutations, WIDTH)
    return (found % np.uint32(KOALABEAR.prime)).astype(np.uint32)


class Proofs(GeneratedWorkload):
    """Requests for 1 to 7 permutations each. ``zipf`` skews who asks; ``conflict`` changes nothing."""

    name = "proofs"
    gas_limit = 40_000

    def __init__(self, params: WorkloadParams, kernels: KernelSet) -> None:
        super().__init__(params, kernels)
        rng = generator(params, _REQUESTS)
        self._permutations = rng.integers(1, LARGEST + 1, params.txs, dtype=np.uint64)
        self._seed = rng.integers(0, 256, (params.txs, 32), dtype=np.uint8)

    def genesis(self) -> Genesis:
        """Funded accounts and the market; the same for every repetition."""
        cells = StorageCells(*(np.zeros((0, width), dtype=np.uint8) for width in (20, 32, 32)))
        return with_contract(Genesis(funded(self.addresses), cells), MARKET, runtime_code("Requests"), self.kernels)

    def payload(self, rows: slice) -> tuple[np.ndarray, np.ndarray, Ragged | None]:
        """The market as target, no value, and the request."""
        data = call_data(REQUEST, words(self._permutations[rows]), self._seed[rows])
        to = np.tile(np.frombuffer(MARKET, dtype=np.uint8), (len(data), 1))
        return to, np.zeros(len(data), dtype=np.uint64), ragged(data)

    def proof_jobs(self, batch: TransactionBatch) -> Sequence[ProofJob]:
        """Tables of the requests of the block, one after another."""
        requests = [requested_states(count, seed) for count, seed in _requests(batch)]
        states = np.concatenate([np.zeros((0, WIDTH), dtype=np.uint32), *requests])
        jobs = []
        for start, rows in _tables(len(states)):
            padded = np.zeros((rows * LANES, WIDTH), dtype=np.uint32)
            part = states[start : start + MOST_PERMUTATIONS]
            padded[: len(part)] = part
            jobs.append(ProofJob(air=air(), table=air().table(padded), public=(), parameters=PARAMETERS))
        return jobs

    def proof_statements(self, batch: TransactionBatch) -> Sequence[ProofStatement]:
        """That tables with room for as many permutations as were asked for are right."""
        asked = sum(count for count, _ in _requests(batch))
        return [ProofStatement(air=air(), public=(), rows=rows) for _, rows in _tables(asked)]


def _requests(batch: TransactionBatch) -> list[tuple[int, bytes]]:
    """Permutations and seed of every request; one for none, or for more than the market deals in, is none."""
    _, found = calls_of(batch, MARKET, REQUEST, 2)
    numbers = (int.from_bytes(pair[0].tobytes(), "big") for pair in found)
    return [(number, pair[1].tobytes()) for number, pair in zip(numbers, found, strict=True) if 1 <= number <= LARGEST]


def _tables(permutations: int) -> list[tuple[int, int]]:
    """Of each proof, the first permutation in it and the rows of its table: a power of two, 2 at least."""
    tables = []
    for start in range(0, permutations, MOST_PERMUTATIONS):
        part = min(MOST_PERMUTATIONS, permutations - start)
        tables.append((start, 1 << max(1, (-(-part // LANES) - 1).bit_length())))
    return tables
