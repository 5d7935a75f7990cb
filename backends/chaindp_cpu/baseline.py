"""The scalar device of the CPU backend: one message at a time, one thread, no vectors. The baseline of the ladder."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from chaindp.backend import Backend, BackendOptions
from chaindp.kernels import checks
from chaindp.kernels.merkle import level_offsets, sibling_paths, zero_roots
from chaindp.kernels.trie import check_trie
from chaindp_cpu.field_kernels import FIELD_KERNELS, ScalarFields

__all__ = ["ScalarBackend"]


@functools.cache
def _scalar() -> Any:
    return importlib.import_module("chaindp_cpu.scalar")


class ScalarBackend(ScalarFields, Backend):
    """Compiled loops over single messages, on the calling thread however many the options allow."""

    def __init__(self, name: str, options: BackendOptions) -> None:
        super().__init__(name, options)
        self.threads = 1

    def warm_up(self, kernels: Sequence[str]) -> None:
        """Compile the scalar code, or load it from numba's disk cache."""
        _scalar()
        for hash_name in ("keccak256", "sha256"):
            zero_roots(hash_name)
        if FIELD_KERNELS.keys() & set(kernels):
            importlib.import_module("chaindp_cpu.scalar_fields")
        if "ecrecover" in kernels:
            importlib.import_module("chaindp_cpu.secp256k1").library()

    def _hash(self, name: str, data: np.ndarray, offsets: np.ndarray) -> np.ndarray:
        data, offsets = checks.ragged(data, offsets)
        digests = np.empty((len(offsets) - 1, 32), dtype=np.uint8)
        hash_all = _scalar().keccak256_all if name == "keccak256" else _scalar().sha256_all
        hash_all(data, offsets, digests.reshape(-1))
        return digests

    def keccak256(self, data: np.ndarray, offsets: np.ndarray) -> np.ndarray:
        """Digests uint8[N,32] of N ragged messages."""
        return self._hash("keccak256", data, offsets)

    def sha256(self, data: np.ndarray, offsets: np.ndarray) -> np.ndarray:
        """Digests uint8[N,32] of N ragged messages."""
        return self._hash("sha256", data, offsets)

    def merkle_tree(self, leaves: np.ndarray, hash_name: str = "keccak256") -> np.ndarray:
        """All nodes of the tree, one after another, level by level."""
        hash_id = checks.HASH_NAMES.index(checks.hash_name(hash_name))
        leaves = checks.array(leaves, "leaves", np.uint8, (None, 32))
        bounds = level_offsets(len(leaves))
        nodes = np.zeros((int(bounds[-1]), 32), dtype=np.uint8)
        nodes[: len(leaves)] = leaves
        _scalar().tree(nodes.reshape(-1), bounds, zero_roots(hash_name).reshape(-1), hash_id)
        return nodes

    def merkle_update(
        self, nodes: np.ndarray, leaf_count: int, indices: np.ndarray, leaves: np.ndarray, hash_name: str = "keccak256"
    ) -> tuple[np.ndarray, np.ndarray]:
        """Positions int64[C] and digests uint8[C,32] of the nodes that change with the leaves at ``indices``."""
        hash_id = checks.HASH_NAMES.index(checks.hash_name(hash_name))
        nodes, leaf_count = checks.tree(nodes, leaf_count)
        indices = checks.indices(indices, leaf_count, increasing=True)
        leaves = checks.array(leaves, "leaves", np.uint8, (len(indices), 32))
        bounds = level_offsets(leaf_count)
        room = len(indices) * (len(bounds) - 1)
        positions = np.empty(room, dtype=np.int64)
        digests = np.empty((room, 32), dtype=np.uint8)
        positions[: len(indices)] = indices
        digests[: len(indices)] = leaves
        zeros = zero_roots(hash_name).reshape(-1)
        used = _scalar().update(nodes.reshape(-1), bounds, zeros, len(indices), positions, digests.reshape(-1), hash_id)
        return positions[:used].copy(), digests[:used].copy()

    def merkle_open(
        self, nodes: np.ndarray, leaf_count: int, indices: np.ndarray, hash_name: str = "keccak256"
    ) -> np.ndarray:
        """Sibling paths uint8[K,depth,32] of the leaves at ``indices``, deepest first, by numpy's indexing."""
        checks.hash_name(hash_name)
        nodes, leaf_count = checks.tree(nodes, leaf_count)
        indices = checks.indices(indices, leaf_count, increasing=False)
        return sibling_paths(nodes, leaf_count, indices, hash_name)

    def trie_hash(
        self,
        encodings: np.ndarray,
        offsets: np.ndarray,
        level_offsets: np.ndarray,
        splice_at: np.ndarray,
        splice_child: np.ndarray,
    ) -> np.ndarray:
        """Digests uint8[N,32] of trie nodes, one node after another."""
        encodings, offsets, level_offsets, splice_at, splice_child = check_trie(
            encodings, offsets, level_offsets, splice_at, splice_child
        )
        digests = np.empty((len(offsets) - 1, 32), dtype=np.uint8)
        _scalar().trie(encodings.copy(), offsets, splice_at, splice_child, digests.reshape(-1))
        return digests

    def ecrecover(self, digests: np.ndarray, signatures: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Addresses uint8[N,20] and ok bool[N], one signature after another."""
        secp256k1 = importlib.import_module("chaindp_cpu.secp256k1")
        digests, signatures = checks.signatures(digests, signatures)
        count = len(digests)
        keys = np.empty(64 * count, dtype=np.uint8)
        ok = np.empty(count, dtype=np.uint8)
        room = np.zeros(256, dtype=np.uint8)
        secp256k1.recover_keys(
            *secp256k1.library(), digests.reshape(-1), signatures.reshape(-1), 0, count, keys, ok, room
        )
        hashed = np.empty((count, 32), dtype=np.uint8)
        _scalar().keccak256_all(keys, np.arange(count + 1, dtype=np.int64) * 64, hashed.reshape(-1))
        valid = ok.astype(bool)
        addresses = hashed[:, 12:].copy()
        addresses[~valid] = 0
        return addresses, valid
