"""The conformance suite: what a backend has to hold, as test classes that a plugin author inherits from.

A whole test module of a plugin is a mixin that names the backend, and one empty class a kernel::

    from chaindp.testing import BackendConformance, Keccak256Conformance

    class Mine:
        backend = "mine"                # or "mine:device"; optional: threads = 2, budget_s = 10.0

    class TestContract(Mine, BackendConformance): ...
    class TestKeccak256(Mine, Keccak256Conformance): ...

``chaindp conform mine`` runs the same classes from the command line, for every kernel that is installed. A kernel that
the backend does not declare is skipped with what the backend says of it; one that it declares is tested in full.
docs/conformance.md says what is checked, what a failure is called, and how a kernel of your own fills in the hooks.
"""

from __future__ import annotations

from chaindp.testing.choose import conformance_class
from chaindp.testing.contract import BackendConformance
from chaindp.testing.fri import FriFoldConformance
from chaindp.testing.hashes import Keccak256Conformance, RaggedHashConformance, Sha256Conformance
from chaindp.testing.kernel import Case, KernelConformance
from chaindp.testing.lde import LdeConformance
from chaindp.testing.merkle import (
    MerkleOpenConformance,
    MerkleRootConformance,
    MerkleTreeConformance,
    MerkleUpdateConformance,
)
from chaindp.testing.ntt import InttConformance, NttConformance
from chaindp.testing.poseidon2 import Poseidon2Conformance
from chaindp.testing.signatures import EcrecoverConformance
from chaindp.testing.stark import StarkProveConformance
from chaindp.testing.trie import TrieHashConformance

__all__ = [
    "BackendConformance",
    "Case",
    "EcrecoverConformance",
    "FriFoldConformance",
    "InttConformance",
    "Keccak256Conformance",
    "KernelConformance",
    "LdeConformance",
    "MerkleOpenConformance",
    "MerkleRootConformance",
    "MerkleTreeConformance",
    "MerkleUpdateConformance",
    "NttConformance",
    "Poseidon2Conformance",
    "RaggedHashConformance",
    "Sha256Conformance",
    "StarkProveConformance",
    "TrieHashConformance",
    "conformance_class",
]
