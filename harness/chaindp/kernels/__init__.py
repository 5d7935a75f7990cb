"""Kernels: the operations that a backend can take over, with their contracts."""

from __future__ import annotations

from chaindp.kernels.fri import FRI_FOLD
from chaindp.kernels.hashes import KECCAK256, SHA256
from chaindp.kernels.lde import LDE
from chaindp.kernels.merkle import (
    MERKLE_OPEN,
    MERKLE_ROOT,
    MERKLE_TREE,
    MERKLE_UPDATE,
    level_offsets,
    verify_path,
    zero_roots,
)
from chaindp.kernels.ntt import INTT, NTT
from chaindp.kernels.poseidon2 import POSEIDON2
from chaindp.kernels.signatures import ECRECOVER
from chaindp.kernels.spec import Args, KernelSpec, Vector
from chaindp.kernels.trie import TRIE_HASH, splice

__all__ = [
    "BUILTIN",
    "ECRECOVER",
    "FRI_FOLD",
    "INTT",
    "KECCAK256",
    "LDE",
    "MERKLE_OPEN",
    "MERKLE_ROOT",
    "MERKLE_TREE",
    "MERKLE_UPDATE",
    "NTT",
    "POSEIDON2",
    "SHA256",
    "TRIE_HASH",
    "Args",
    "KernelSpec",
    "Vector",
    "level_offsets",
    "splice",
    "verify_path",
    "zero_roots",
]

BUILTIN: tuple[KernelSpec, ...] = (
    KECCAK256,
    SHA256,
    POSEIDON2,
    MERKLE_TREE,
    MERKLE_ROOT,
    MERKLE_UPDATE,
    MERKLE_OPEN,
    TRIE_HASH,
    NTT,
    INTT,
    LDE,
    FRI_FOLD,
    ECRECOVER,
)
"""The contracts that ship with chaindp."""
