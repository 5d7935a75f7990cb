"""Proofs that are made with the OpenCL backend's kernels: the same bytes as with the CPU backend's."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from chaindp.chain.airs import instances
from chaindp.chain.airs.instances import Instance
from chaindp.chain.proof.parameters import Parameters
from chaindp.chain.proof.prover import prove
from chaindp.kernels.fields import FIELDS
from chaindp.plugins import load_plugins
from opencl_devices import kernels_of, needs_device, opened

pytestmark = needs_device

PROVEN = {"intt", "ntt", "lde", "fri_fold", "keccak256", "merkle_tree"}


def _poseidon2(field: str) -> Instance:
    return instances.poseidon2(field, permutations=128, lanes=2, seed=1)


def _credential(field: str) -> Instance:
    return instances.credential(
        field, depth=3, application=1, allowed=(40, 756), time=29_900_000, held=(756, 30_000_000), rows=64, seed=1
    )


@pytest.mark.parametrize("unified", [True, False])
@pytest.mark.parametrize("field", sorted(FIELDS))
@pytest.mark.parametrize(("make", "hiding"), [(_poseidon2, False), (_credential, True)])
def test_a_proof_is_the_same_bytes(make: Callable[[str], Instance], hiding: bool, field: str, unified: bool) -> None:
    instance, registry = make(field), load_plugins()
    parameters = Parameters(queries=6, grinding=3, log_final=1, hiding=hiding)
    backends = registry.open_backend("cpu", threads=2), opened(unified=unified)
    proofs, ran = [], []
    for kernels in (registry.kernel_set(backends[0]), kernels_of(backends[1])):  # type: ignore[arg-type]
        proof = prove(instance.air, instance.table, instance.public, kernels, parameters, seed=b"the same for all")
        proofs.append(proof.content)
        ran.append({(call.backend, call.kernel) for call in kernels.take_calls()})
    for backend in backends:
        backend.close()
    assert proofs[0] == proofs[1]
    # A proof that hides has the coefficients of its columns, to which it adds; another one has their values.
    kernels_used = PROVEN - {"lde" if hiding else "ntt"}
    assert {kernel for _, kernel in ran[1]} >= kernels_used
    assert {name for name, _ in ran[1]} == {"opencl"}
