"""``stark_prove``: as a kernel that is composed of others, and as one that a backend has of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from chaindp.bench import BenchPlan, run_bench
from chaindp.chain.airs.catalogue import air_named
from chaindp.chain.airs.poseidon2 import Poseidon2Air
from chaindp.chain.proof.kernel import STARK_PROVE
from chaindp.chain.proof.parameters import HASHES, Parameters
from chaindp.chain.proof.prover import prove
from chaindp.chain.verify.hashing import hash_rows
from chaindp.chain.verify.stark import verify
from chaindp.errors import CapabilityError, InputError
from chaindp.kernels.kernelset import KernelSet
from chaindp.plugins import Registry, load_plugins
from chaindp.testing.session import run_suite
from plugin_site import make_distribution

NATIVE = """
import chaindp_cpu
from chaindp import hookimpl
from chaindp.backend import Backend, BackendSpec, Capability
from chaindp.chain.proof.kernel import STARK_PROVE
from chaindp.kernels.kernelset import KernelSet

CPU = next(spec for spec in chaindp_cpu.chaindp_backends() if spec.name == "cpu")


class Native(Backend):
    def __init__(self, options):
        super().__init__("{name}", options)
        self.kernels = KernelSet(CPU.factory(options), frozenset(CPU.capabilities))

    def stark_prove(self, *args):
        proof = STARK_PROVE.compose(self.kernels, *args)
        {spoil}
        return proof


@hookimpl
def chaindp_backends():
    return [
        BackendSpec(
            name="{name}", kind="other", factory=Native, capabilities={{"stark_prove": Capability()}}, summary="proves"
        )
    ]
"""


@pytest.fixture(scope="module")
def registry() -> Registry:
    return load_plugins(pytest.fail)


@pytest.fixture(scope="module")
def kernels(registry: Registry) -> Iterator[KernelSet]:
    backend = registry.open_backend("cpu")
    yield registry.kernel_set(backend)
    backend.close()


def arguments(size: int) -> tuple[Any, ...]:
    return STARK_PROVE.generate(np.random.default_rng(size), size)


def with_native(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, spoil: str) -> Registry:
    """What is installed, and a backend with a prover of its own."""
    make_distribution(tmp_path, name, NATIVE.format(name=name, spoil=spoil))
    monkeypatch.syspath_prepend(str(tmp_path))
    return load_plugins(pytest.fail)


def test_it_is_the_prover_with_the_kernels_of_a_backend(kernels: KernelSet) -> None:
    name, table, *_ = arguments(16)
    kernels.take_calls()
    proof = kernels.call("stark_prove", *arguments(16))
    assert proof.dtype == np.uint8
    assert proof.tobytes() == prove(Poseidon2Air("koalabear", 8), table, [], kernels, Parameters()).content
    said = verify(proof.tobytes(), air_named, hash_rows(kernels))
    assert (said.air.name, said.log_rows) == (name, 4)


def test_it_is_one_call_with_the_transfers_of_all_in_it(kernels: KernelSet) -> None:
    kernels.take_calls()
    kernels.call("stark_prove", *arguments(16))
    (call,) = kernels.take_calls()
    assert (call.kernel, call.backend, call.device) == ("stark_prove", "cpu", None)
    assert 0 < call.transfer_ns < call.wall_ns
    assert call.compute_ns > 0 < call.thread_ns


@pytest.mark.parametrize("size", [0, 1, 2, 3, 5, 16])
def test_units_are_rows(size: int) -> None:
    rows = max(2, 1 << (max(size, 1).bit_length() - 1))
    assert STARK_PROVE.units(*arguments(size)) == rows


@pytest.mark.parametrize("hash_name", HASHES)
def test_a_proof_is_right_if_it_holds_of_this_statement(kernels: KernelSet, hash_name: str) -> None:
    args = (*arguments(2)[:4], 5, *arguments(2)[5:-1], hash_name)
    proof, statement = kernels.call("stark_prove", *args), STARK_PROVE.golden(*args)
    assert STARK_PROVE.mismatches(proof, statement) == 0
    assert STARK_PROVE.mismatches(proof, proof) == 0
    changed = proof.copy()
    changed[-1] ^= 1
    assert STARK_PROVE.mismatches(changed, statement) == 1
    assert STARK_PROVE.mismatches(changed, proof) == 1
    assert STARK_PROVE.mismatches(statement, proof) == 1
    other = STARK_PROVE.golden(*arguments(4))
    assert STARK_PROVE.mismatches(proof, other) == 1, "of another statement"
    assert STARK_PROVE.mismatches(proof.astype(np.uint32), statement) == -1
    assert STARK_PROVE.mismatches(proof[None], statement) == -1


@pytest.mark.parametrize(
    ("position", "value", "problem"),
    [
        (0, "keccak3 koalabear 8", "there is no AIR 'keccak3 koalabear 8'"),
        (0, 7, "there is no AIR 7"),
        (1, np.zeros((3, 16), dtype=np.uint32), "table"),
        (1, np.zeros((1312, 15), dtype=np.uint32), "15 rows"),
        (1, np.full((1312, 16), 2**31 - 1, dtype=np.uint32), "table"),
        (1, np.zeros((1312, 16), dtype=np.int64), "table"),
        (2, np.zeros(1, dtype=np.uint32), "public"),
        (3, 0, "log_blowup is 0"),
        (4, 2000, "queries is 2000"),
        (5, -1, "grinding"),
        (6, "2", "log_folding"),
        (8, "md5", "hash_name is 'md5'"),
    ],
)
def test_bad_arguments_are_an_input_error(kernels: KernelSet, position: int, value: object, problem: str) -> None:
    args = list(arguments(16))
    args[position] = value
    for function in (lambda *given: kernels.call("stark_prove", *given), STARK_PROVE.golden):
        with pytest.raises(InputError, match=problem):
            function(*args)


def test_what_lacks_a_part_says_which(registry: Registry) -> None:
    backend = registry.open_backend("cpu")
    lacking = KernelSet(backend, frozenset({"keccak256", "ntt", "lde"}), composable={"stark_prove": STARK_PROVE})
    assert STARK_PROVE.lacks(lacking) == ["fri_fold", "intt"], "merkle_tree is composed of keccak256"
    assert not lacking.can("stark_prove")
    with pytest.raises(CapabilityError, match="does not implement stark_prove, nor fri_fold, intt to compose it of"):
        lacking.call("stark_prove", *arguments(2))
    backend.close()


def test_the_bench_has_a_row_of_every_backend(registry: Registry) -> None:
    plan = BenchPlan(kernels=["stark_prove"], backends=["cpu", "fpga"], sizes=[16], repeat=2)
    ours, simulated = run_bench(registry, plan, "run").rows
    assert (ours["status"], ours["output_matched"], ours["unit"]) == ("ok", True, "row")
    assert ours["compared_with"] == "cpu:scalar in full"
    assert 0 < ours["transfer_ns"] < 16 * ours["wall_ns_per_unit"]  # type: ignore[operator]
    assert (simulated["status"], simulated["ns_per_unit"]) == ("skipped", None)
    assert str(simulated["reason"]).startswith("backend fpga has no stark_prove, and to compose it of others it lacks")


def test_a_prover_of_its_own_is_measured_and_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = BenchPlan(kernels=["stark_prove"], backends=["native"], sizes=[16], repeat=2)
    (row,) = run_bench(with_native(tmp_path, monkeypatch, "native", ""), plan, "run").rows
    assert (row["status"], row["output_matched"], row["compared_with"]) == ("ok", True, "cpu in full")


def test_a_prover_of_its_own_that_is_wrong_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = BenchPlan(kernels=["stark_prove"], backends=["wrong"], sizes=[16], repeat=2)
    registry = with_native(tmp_path, monkeypatch, "wrong", "proof[len(proof) // 2] ^= 1")
    (row,) = run_bench(registry, plan, "run").rows
    assert (row["status"], row["output_matched"]) == ("failed", False)


@pytest.mark.slow
def test_a_prover_of_its_own_conforms(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    only = "edge_cases or bad_arguments or layouts or left_alone"
    for name, spoil, failures in (("own", "", 0), ("own_wrong", "proof[len(proof) // 2] ^= 1", 2)):
        registry = with_native(tmp_path / name, monkeypatch, name, spoil)
        result = run_suite(registry, name, ["stark_prove"], budget_s=1.0, only=only)
        assert len(result.failures) == failures, [failure.text for failure in result.failures]
