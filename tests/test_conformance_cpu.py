"""The shipped conformance suite on our own backend, as a plugin author would run it: both devices, every kernel."""

from __future__ import annotations

import pytest

from chaindp.testing import (
    BackendConformance,
    EcrecoverConformance,
    Keccak256Conformance,
    MerkleOpenConformance,
    MerkleTreeConformance,
    MerkleUpdateConformance,
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
