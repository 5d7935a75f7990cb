"""Kernels composed from a backend's hash alone give what the contracts say, and say what they lack."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from chaindp.backend import Backend, BackendOptions
from chaindp.errors import CapabilityError, InputError
from chaindp.kernels import BUILTIN, KECCAK256, MERKLE_OPEN, MERKLE_TREE, MERKLE_UPDATE, SHA256, TRIE_HASH
from chaindp.kernels.compose import COMPOSED
from chaindp.kernels.kernelset import KernelSet, kernels_needed

SPECS = {spec.name: spec for spec in BUILTIN}


class HashOnly(Backend):
    """A backend with two hashes, golden ones, and a count of what it was asked for."""

    def __init__(self) -> None:
        super().__init__("hashonly", BackendOptions())
        self.batches: list[int] = []

    def keccak256(self, data: np.ndarray, offsets: np.ndarray) -> np.ndarray:
        self.batches.append(len(offsets) - 1)
        return KECCAK256.golden(data, offsets)  # type: ignore[no-any-return]

    def sha256(self, data: np.ndarray, offsets: np.ndarray) -> np.ndarray:
        self.batches.append(len(offsets) - 1)
        return SHA256.golden(data, offsets)  # type: ignore[no-any-return]


def kernel_set(*supported: str, keep: int = 0) -> KernelSet:
    return KernelSet(HashOnly(), frozenset(supported), keep)


@pytest.mark.parametrize("name", sorted(COMPOSED))
@pytest.mark.parametrize("size", [0, 1, 2, 3, 7, 16, 37])
def test_composed_equals_golden(name: str, size: int) -> None:
    spec = SPECS[name]
    args = spec.generate(np.random.default_rng(size), size)
    before = [np.copy(arg) for arg in args]
    assert spec.mismatches(kernel_set("keccak256").call(name, *args), spec.golden(*args)) == 0
    assert all(np.array_equal(a, b) for a, b in zip(args, before, strict=True))


@pytest.mark.parametrize("spec", [MERKLE_TREE, MERKLE_UPDATE, MERKLE_OPEN], ids=lambda spec: spec.name)
def test_composed_trees_take_either_hash(spec: Any) -> None:
    args = (*spec.generate(np.random.default_rng(1), 11)[:-1], "sha256")
    assert spec.mismatches(kernel_set("keccak256", "sha256").call(spec.name, *args), spec.golden(*args)) == 0


def test_wrapper_methods_pass_the_hash_on() -> None:
    kernels = kernel_set("keccak256", "sha256")
    leaves = np.random.default_rng(3).integers(0, 256, (5, 32), dtype=np.uint8)
    nodes = kernels.merkle_tree(leaves, "sha256")
    indices = np.array([1, 4])
    assert np.array_equal(
        kernels.merkle_open(nodes, 5, indices, "sha256"), MERKLE_OPEN.golden(nodes, 5, indices, "sha256")
    )
    got = kernels.merkle_update(nodes, 5, indices, leaves[:2], "sha256")
    assert MERKLE_UPDATE.mismatches(got, MERKLE_UPDATE.golden(nodes, 5, indices, leaves[:2], "sha256")) == 0


def test_each_level_is_one_batch_of_the_backend_and_is_recorded() -> None:
    kernels = kernel_set("keccak256", keep=1 << 30)
    kernels.merkle_tree(np.zeros((9, 32), dtype=np.uint8))
    assert kernels.backend.batches == [5, 3, 2, 1]  # type: ignore[attr-defined]
    records = kernels.take_calls()
    assert [record.kernel for record in records] == ["keccak256"] * 4
    # What the audit kept is still what was hashed: no batch was changed after its call.
    for record in records:
        assert KECCAK256.mismatches(record.output, KECCAK256.golden(*record.args)) == 0


def test_records_of_a_composed_trie_stay_true() -> None:
    kernels = kernel_set("keccak256", keep=1 << 30)
    args = TRIE_HASH.generate(np.random.default_rng(0), 40)
    kernels.trie_hash(*args)
    for record in kernels.take_calls():
        assert KECCAK256.mismatches(record.output, KECCAK256.golden(*record.args)) == 0


def test_what_is_lacking_is_said() -> None:
    with pytest.raises(CapabilityError, match="hashonly does not implement trie_hash"):
        kernel_set("sha256").call("trie_hash")
    with pytest.raises(CapabilityError, match="hashonly does not implement ecrecover"):
        kernel_set("keccak256").call("ecrecover")
    with pytest.raises(CapabilityError, match="hashonly does not implement sha256"):
        kernel_set("keccak256").merkle_tree(np.zeros((2, 32), dtype=np.uint8), "sha256")
    with pytest.raises(InputError, match="hash 'md5' is unknown"):
        kernel_set("keccak256").merkle_tree(np.zeros((2, 32), dtype=np.uint8), "md5")
    assert kernels_needed(["keccak256"], ["merkle_tree", "trie_hash", "ecrecover"]) == ["ecrecover"]
