"""The parameters of a proof, and how secure they make it.

A cheating prover has to get past several independent things, and the weakest one counts:

- **Queries.** A word that is far from every polynomial of low degree has to pass ``queries`` checks at random places,
  and ``grinding`` bits of work make each attempt cost 2^grinding hashes. *Conjectured*: a check lets a cheating word
  through with probability rate = 1 / blowup (the conjecture of ethSTARK, https://eprint.iacr.org/2021/582, section
  5.10; as stated up to capacity it has been refuted for some codes, so take it as what the field quotes, not as what
  is known). *Proven*: with probability sqrt(rate) (1 + 1 / 2m), up to the Johnson bound
  (https://eprint.iacr.org/2020/654, theorem 8.3); here the best m is searched.
- **The field of the challenges.** Out of about 2^124 elements, a random combination of columns, or of constraints, goes
  wrong for few: as many as columns, and places of the domain. In the proven bound, as many as the commit phase of
  theorem 8.3 says, times as many as are combined: the weights are powers of one challenge, a curve and not a plane
  (theorem 6.2 there).
- **The hash.** A collision of a 256-bit hash costs 2^128. A digest of Poseidon2 is eight elements of the field, and so
  is what the sponge keeps to itself: a collision costs as many as the extension of degree 4 has elements, which is more
  than what the point above gives.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from chaindp.errors import UsageError
from chaindp.kernels.fields import FIELDS

__all__ = ["HASHES", "LEAST_SEED_BYTES", "Parameters", "Security", "security"]

HASHES = ("keccak256", "sha256", "poseidon2")

LEAST_SEED_BYTES = 16
"""Of the randomness of a hiding proof: 128 bits, as many as the hash gives."""

MOST_QUERIES = 1024
HASH_BITS = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameters:
    """How a proof is made. UsageError where a value is out of its range.

    log_blowup:  log2 of how many times longer than the table the domain is that is committed to
    queries:     places at which the verifier looks
    grinding:    bits of work before the places are drawn
    log_folding: log2 of how many points of a codeword FRI makes one of, in each round
    log_final:   log2 of the most coefficients that are sent instead of another round
    hash_name:   of the Merkle trees
    hiding:      whether the proof shows nothing of the table but what the public values say
    """

    log_blowup: int = 1
    queries: int = 100
    grinding: int = 16
    log_folding: int = 2
    log_final: int = 3
    hash_name: str = "keccak256"
    hiding: bool = False

    def __post_init__(self) -> None:
        ranges = {
            "log_blowup": (1, 6),
            "queries": (1, MOST_QUERIES),
            "grinding": (0, 32),
            "log_folding": (1, 4),
            "log_final": (0, 8),
        }
        for name, (low, high) in ranges.items():
            value = getattr(self, name)
            if type(value) is not int or not low <= value <= high:
                raise UsageError(f"{name} is {value!r:.40}, expected {low} to {high}")
        if self.hash_name not in HASHES:
            raise UsageError(f"hash_name is {self.hash_name!r:.40}, expected one of {', '.join(HASHES)}")

    @property
    def least_rows(self) -> int:
        """Of a table: fewer hide nothing from this many queries (``chaindp.chain.proof.shape``)."""
        return 4 * self.queries + 16 if self.hiding else 2


@dataclass(frozen=True, slots=True)
class Security:
    """In bits, rounded down: what an attack is expected to cost, by the conjecture, and what it provably costs."""

    conjectured: int
    proven: int


def security(parameters: Parameters, field_name: str, log_rows: int, columns: int) -> Security:
    """What ``parameters`` give to an AIR with that many rows and columns."""
    field_bits = 4 * math.log2(FIELDS[field_name].prime)
    log_domain = log_rows + parameters.log_blowup + (1 if parameters.hiding else 0)
    # For how many challenges the point out of the domain, or the sum of columns, can go wrong. There are about as many
    # constraints as columns.
    algebraic = field_bits - max(log_domain + 1, math.log2(2 * columns + 1))
    conjectured = min(parameters.queries * parameters.log_blowup + parameters.grinding, algebraic, HASH_BITS)
    rate = 2.0**-parameters.log_blowup
    # Columns at two points, and the pieces of the quotient, four columns each: no more than the blowup and one.
    combined = 2 * columns + 4 * ((1 << parameters.log_blowup) + 1)
    folds = -(-log_domain // parameters.log_folding) << parameters.log_folding
    proven = 0.0
    for m in range(3, 65):
        each = -math.log2(math.sqrt(rate) * (1 + 1 / (2 * m)))
        at_queries = parameters.queries * each + parameters.grinding
        # (m + 1/2)^7 / (2 rate^1.5) |domain|^2 / |field| for each but one that is combined, and (2 m + 1) / sqrt(rate)
        # (|domain| + 1) / |field| for each but one point that becomes one in a fold.
        batch = (m + 0.5) ** 7 / (2 * rate**1.5) * 4.0**log_domain * (combined - 1)
        folding = (2 * m + 1) / math.sqrt(rate) * (2.0**log_domain + 1) * folds
        commit = field_bits - math.log2(batch + folding)
        # The list of words within the radius: m / sqrt(rate) of them may each fit the openings (DEEP).
        listed = algebraic - math.log2((m + 0.5) / math.sqrt(rate))
        proven = max(proven, min(at_queries, commit, listed, HASH_BITS))
    return Security(math.floor(conjectured), max(0, math.floor(proven)))
