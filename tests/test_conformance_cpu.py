"""The shipped conformance suite on our own backend, as a plugin author would run it: both devices, every kernel."""

from __future__ import annotations

import pytest

from chaindp.testing import (
    BackendConformance,
    EcrecoverConformance,
    FriFoldConformance,
    InttConformance,
    Keccak256Conformance,
    LdeConformance,
    MerkleOpenConformance,
    MerkleTreeConformance,
    MerkleUpdateConformance,
    NttConformance,
    Poseidon2Conformance,
    Sha256Conformance,
    TrieHashConformance,
)


class Vector:
    backend = "cpu"
    budget_s = 0.3


class Scalar:
    backend = "cpu:scalar"
    budget_s = 0.2


class TestContract(Vector, BackendConformance): ...


class TestKeccak256(Vector, Keccak256Conformance): ...


class TestSha256(Vector, Sha256Conformance): ...


class TestMerkleTree(Vector, MerkleTreeConformance): ...


class TestMerkleUpdate(Vector, MerkleUpdateConformance): ...


class TestMerkleOpen(Vector, MerkleOpenConformance): ...


class TestTrieHash(Vector, TrieHashConformance): ...


class TestEcrecover(Vector, EcrecoverConformance): ...


@pytest.mark.slow
class TestPoseidon2(Vector, Poseidon2Conformance): ...


# Of the field kernels one in the quick tests; tests/test_cpu_fields.py has the vectors and the algebra of all.
class TestNtt(Vector, NttConformance):
    log2_sizes = (0, 1, 5, 8, 9)
    largest_log2 = 12


@pytest.mark.slow
class TestLde(Vector, LdeConformance):
    log2_sizes = (0, 3, 6, 8)
    blowups = (1, 2, 8)


@pytest.mark.slow
class TestFriFold(Vector, FriFoldConformance):
    log2_sizes = (1, 2, 3, 6)


@pytest.mark.slow
class TestNttLarge(NttConformance):
    backend = "cpu"
    largest_log2 = 21


@pytest.mark.slow
class TestIntt(Vector, InttConformance): ...


@pytest.mark.slow
class TestScalarPoseidon2(Scalar, Poseidon2Conformance): ...


@pytest.mark.slow
class TestScalarNtt(Scalar, NttConformance): ...


@pytest.mark.slow
class TestScalarIntt(Scalar, InttConformance): ...


@pytest.mark.slow
class TestScalarLde(Scalar, LdeConformance): ...


@pytest.mark.slow
class TestScalarFriFold(Scalar, FriFoldConformance): ...


class TestScalarContract(Scalar, BackendConformance): ...


class TestScalarKeccak256(Scalar, Keccak256Conformance): ...


class TestScalarSha256(Scalar, Sha256Conformance): ...


@pytest.mark.slow
class TestScalarMerkleTree(Scalar, MerkleTreeConformance): ...


@pytest.mark.slow
class TestScalarMerkleUpdate(Scalar, MerkleUpdateConformance): ...


@pytest.mark.slow
class TestScalarMerkleOpen(Scalar, MerkleOpenConformance): ...


@pytest.mark.slow
class TestScalarTrieHash(Scalar, TrieHashConformance): ...


@pytest.mark.slow
class TestScalarEcrecover(Scalar, EcrecoverConformance): ...


@pytest.mark.slow
class TestKeccak256Large(Keccak256Conformance):
    backend = "cpu"


@pytest.mark.slow
class TestMerkleTreeLarge(MerkleTreeConformance):
    backend = "cpu"
