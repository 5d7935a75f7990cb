"""The kernel ``stark_prove``: a STARK as an operation that a backend can take over whole.

A backend that has no prover of its own can have this one, composed of its field kernels and its hashing
(``chaindp.chain.proof.prover``). One that has must write the same bytes: the protocol leaves nothing open, and a proof
that hides nothing has no randomness in it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from chaindp.errors import CheckFailed, InputError, UsageError
from chaindp.kernels import checks
from chaindp.kernels.fields import FIELDS, elements, random_elements
from chaindp.kernels.spec import Args, KernelSpec

if TYPE_CHECKING:
    # Everything else is imported where it is used: commands that prove nothing read this file for the spec.
    from chaindp.chain.airs import Air
    from chaindp.chain.proof.parameters import Parameters
    from chaindp.kernels.kernelset import KernelSet

__all__ = ["STARK_PROVE"]

FIELD, LANES = "koalabear", 8
"""Of the permutations that are generated to be proven: as Plonky3's benchmark has them."""

SECURITY = {"log_blowup": 1, "queries": 100, "grinding": 16, "log_folding": 2, "log_final": 3}


def _checked(
    air: Any,
    table: Any,
    public: Any,
    log_blowup: Any,
    queries: Any,
    grinding: Any,
    log_folding: Any,
    log_final: Any,
    hash_name: Any,
) -> tuple[Air, np.ndarray, np.ndarray, Parameters]:
    """The arguments as the prover takes them; InputError where they break the contract."""
    from chaindp.chain.airs.catalogue import air_named
    from chaindp.chain.proof.parameters import Parameters
    from chaindp.chain.proof.shape import shape_of

    known = air_named(air) if isinstance(air, str) else None
    if known is None:
        raise InputError(f"there is no AIR {air!r:.80}")
    field = FIELDS[known.field]
    table = elements(table, "table", (known.columns, None), field)
    public = elements(public, "public", (known.publics,), field)
    numbers: dict[str, Any] = {
        name: checks.count(value, name)
        for name, value in zip(SECURITY, (log_blowup, queries, grinding, log_folding, log_final), strict=True)
    }
    try:
        parameters = Parameters(**numbers, hash_name=hash_name)
        shape_of(known.field, known.degree, table.shape[1], parameters)
    except UsageError as error:
        raise InputError(str(error)) from None
    return known, table, public, parameters


def _compose(kernels: KernelSet, *args: Any) -> np.ndarray:
    """Prove with the kernels of a backend, on as many threads of the host as it has."""
    from chaindp.chain.proof.prover import prove

    air, table, public, parameters = _checked(*args)
    proof = prove(air, table, public.tolist(), kernels, parameters, threads=kernels.backend.threads)
    return np.frombuffer(proof.content, dtype=np.uint8).copy()


def _golden(*args: Any) -> np.ndarray:
    """What the proof has to begin with: what is proven, and how. ``mismatches`` asks the verifier for the rest."""
    from chaindp.chain.proof.encoding import head

    air, table, public, parameters = _checked(*args)
    statement = head(air, parameters, table.shape[1].bit_length() - 1, public.tolist())
    return np.frombuffer(statement, dtype=np.uint8).copy()


def _holds(proof: bytes) -> bool:
    """Whether the independent verifier accepts a proof, hashing in plain Python."""
    from chaindp.chain.airs.catalogue import air_named
    from chaindp.chain.verify.stark import verify
    from chaindp.kernels.hashes import GOLDEN_HASHES
    from chaindp.kernels.poseidon2 import golden_permutation

    def hash_rows(name: str, rows: np.ndarray) -> np.ndarray:
        kernel, _, field = name.partition(" ")
        if kernel == "poseidon2":
            states = np.ascontiguousarray(rows).view("<u4").tolist()
            permuted = np.array([golden_permutation(state, field) for state in states], dtype="<u4")
            return permuted.reshape(len(rows), -1).view(np.uint8)
        digests = b"".join(GOLDEN_HASHES[name](row.tobytes()) for row in rows)
        return np.frombuffer(digests, dtype=np.uint8).reshape(len(rows), 32)

    try:
        verify(proof, air_named, hash_rows, least_bits=0)
    except CheckFailed:
        return False
    return True


class _StarkProve(KernelSpec):
    """A proof is right if it is the expected one, byte for byte, or, where only its statement is given, if it holds."""

    def mismatches(self, output: Any, expected: Any) -> int:
        """1 for a proof that is not right."""
        got, want = np.asarray(output), np.asarray(expected)
        if got.dtype != np.uint8 or got.ndim != 1:
            return -1
        if np.array_equal(got, want):
            return 0
        begins = len(got) > len(want) and np.array_equal(got[: len(want)], want)
        return 0 if begins and _holds(got.tobytes()) else 1


def _generate(rng: np.random.Generator, size: int) -> Args:
    """Poseidon2 permutations of random states in a table of ``size`` rows, rounded down to a power of two."""
    from chaindp.chain.airs.poseidon2 import Poseidon2Air
    from chaindp.kernels.poseidon2 import WIDTH

    rows = max(2, 1 << (max(size, 1).bit_length() - 1))
    air = Poseidon2Air(FIELD, LANES)
    table = air.table(random_elements(rng, (LANES * rows, WIDTH), FIELDS[FIELD]))
    return air.name, table, np.zeros(0, dtype=np.uint32), *SECURITY.values(), "keccak256"


def _units(air: str, table: np.ndarray, *_: Any) -> int:
    """Rows of the table."""
    return int(table.shape[1])


STARK_PROVE = _StarkProve(
    name="stark_prove",
    summary=(
        "name of an AIR, table u32[columns,rows], public values u32[k], log2 of the blowup, queries, bits of grinding, "
        'log2 of the folding, log2 of the last polynomial, "keccak256", "sha256" or "poseidon2" -> proof u8[bytes]'
    ),
    unit="row",
    generate=_generate,
    golden=_golden,
    units=_units,
    sizes=(1 << 8, 1 << 11),
    compose=_compose,
    composed_of=frozenset({"keccak256", "merkle_tree", "ntt", "intt", "lde", "fri_fold"}),
)
