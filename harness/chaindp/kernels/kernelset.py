"""The kernels as the chain calls them: host arrays in, host arrays out, bound to one open backend, every call
accounted.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from chaindp.backend import Backend
from chaindp.errors import CapabilityError
from chaindp.kernels import compose

__all__ = ["KernelCall", "KernelSet"]


@dataclass(slots=True)
class KernelCall:
    """One call of a kernel: where the time went, and what is needed to check its result afterwards."""

    kernel: str
    compute_ns: int
    transfer_ns: int
    args: tuple[Any, ...] = ()
    output: Any = None


@dataclass(slots=True)
class KernelSet:
    """The kernels of one backend for one stage.

    ``calls`` collects one record a call, with arguments and results only where ``keep`` is set (for the audit that
    compares them with the CPU's). A kernel that the backend lacks is composed from its ``keccak256`` where that is
    possible (``chaindp.kernels.compose``): the hashing still runs on that backend, and nothing runs on another one.
    """

    backend: Backend
    supported: frozenset[str]
    keep: bool = False
    calls: list[KernelCall] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def call(self, kernel: str, *args: Any) -> Any:
        """Run any kernel by name: upload, compute, download, each timed."""
        if kernel not in self.supported:
            composed = compose.COMPOSED.get(kernel)
            if composed is None or not composed.needs <= self.supported:
                raise CapabilityError(f"backend {self.backend.label} does not implement {kernel}")
            return composed.function(self, *args)
        method = self.backend.kernel(kernel)
        started = time.perf_counter_ns()
        buffers = [self.backend.upload(arg) if isinstance(arg, np.ndarray) else arg for arg in args]
        uploaded = time.perf_counter_ns()
        result = method(*buffers)
        self.backend.synchronize()
        computed = time.perf_counter_ns()
        if isinstance(result, tuple):
            output: Any = tuple(self.backend.download(part) for part in result)
        else:
            output = self.backend.download(result)
        done = time.perf_counter_ns()
        record = KernelCall(kernel, computed - uploaded, uploaded - started + done - computed)
        if self.keep:
            record.args, record.output = args, output
        with self._lock:
            self.calls.append(record)
        return output

    def take_calls(self) -> list[KernelCall]:
        """The records since the last call of this method."""
        with self._lock:
            calls, self.calls = self.calls, []
        return calls

    def keccak256(self, data: np.ndarray, offsets: np.ndarray) -> np.ndarray:
        """Digests uint8[N,32] of N ragged messages."""
        return self.call("keccak256", data, offsets)  # type: ignore[no-any-return]

    def sha256(self, data: np.ndarray, offsets: np.ndarray) -> np.ndarray:
        """Digests uint8[N,32] of N ragged messages."""
        return self.call("sha256", data, offsets)  # type: ignore[no-any-return]

    def merkle_tree(self, leaves: np.ndarray, hash_name: str = "keccak256") -> np.ndarray:
        """All nodes of the binary tree, leaves first, root last."""
        return self.call("merkle_tree", leaves, hash_name)  # type: ignore[no-any-return]

    def merkle_update(
        self, nodes: np.ndarray, leaf_count: int, indices: np.ndarray, leaves: np.ndarray, hash_name: str = "keccak256"
    ) -> tuple[np.ndarray, np.ndarray]:
        """Positions int64[C] of the nodes that change with the leaves at ``indices``, and their digests uint8[C,32]."""
        return self.call("merkle_update", nodes, leaf_count, indices, leaves, hash_name)  # type: ignore[no-any-return]

    def merkle_open(
        self, nodes: np.ndarray, leaf_count: int, indices: np.ndarray, hash_name: str = "keccak256"
    ) -> np.ndarray:
        """Sibling paths uint8[K,depth,32] of the leaves at ``indices``."""
        return self.call("merkle_open", nodes, leaf_count, indices, hash_name)  # type: ignore[no-any-return]

    def trie_hash(
        self,
        encodings: np.ndarray,
        offsets: np.ndarray,
        level_offsets: np.ndarray,
        splice_at: np.ndarray,
        splice_child: np.ndarray,
    ) -> np.ndarray:
        """Digests uint8[N,32] of trie nodes, level after level, child digests spliced in."""
        return self.call("trie_hash", encodings, offsets, level_offsets, splice_at, splice_child)  # type: ignore[no-any-return]

    def ecrecover(self, digests: np.ndarray, signatures: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Addresses uint8[N,20] and ok bool[N]."""
        return self.call("ecrecover", digests, signatures)  # type: ignore[no-any-return]


def kernels_needed(supported: Sequence[str] | frozenset[str], needed: Sequence[str]) -> list[str]:
    """Those of ``needed`` that a backend with ``supported`` kernels can neither run nor compose."""
    have = frozenset(supported)
    return [
        kernel
        for kernel in needed
        if kernel not in have and not (kernel in compose.COMPOSED and compose.COMPOSED[kernel].needs <= have)
    ]
