"""The shipped conformance suite on the OpenCL backend's default device: a CPU driver, where there is no GPU."""

from __future__ import annotations

from chaindp.testing import (
    BackendConformance,
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
from opencl_devices import needs_device

pytestmark = needs_device


class Default:
    backend = "opencl"
    budget_s = 0.3


class TestContract(Default, BackendConformance): ...


class TestKeccak256(Default, Keccak256Conformance): ...


class TestSha256(Default, Sha256Conformance): ...


class TestMerkleTree(Default, MerkleTreeConformance): ...


class TestMerkleUpdate(Default, MerkleUpdateConformance): ...


class TestMerkleOpen(Default, MerkleOpenConformance): ...


class TestTrieHash(Default, TrieHashConformance): ...


class TestPoseidon2(Default, Poseidon2Conformance): ...


class TestNtt(Default, NttConformance): ...


class TestIntt(Default, InttConformance): ...


class TestLde(Default, LdeConformance): ...


class TestFriFold(Default, FriFoldConformance): ...
