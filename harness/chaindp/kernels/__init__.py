"""Kernels: the operations that a backend can take over, with their contracts."""

from __future__ import annotations

from chaindp.kernels.hashes import KECCAK256, SHA256
from chaindp.kernels.merkle import MERKLE_OPEN, MERKLE_TREE, MERKLE_UPDATE, level_offsets, verify_path, zero_roots
from chaindp.kernels.signatures import ECRECOVER
from chaindp.kernels.spec import Args, KernelSpec, Vector
from chaindp.kernels.trie import TRIE_HASH, splice

__all__ = [
    "BUILTIN",
    "ECRECOVER",
    "KECCAK256",
    "MERKLE_OPEN",
    "MERKLE_TREE",
    "MERKLE_UPDATE",
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

BUILTIN: tuple[KernelSpec, ...] = (KECCAK256, SHA256, MERKLE_TREE, MERKLE_UPDATE, MERKLE_OPEN, TRIE_HASH, ECRECOVER)
"""The contracts that ship with chaindp."""
