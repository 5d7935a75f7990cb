"""A bounded cache of trie nodes, shared by everything that reads one store."""

from __future__ import annotations

import threading

__all__ = ["NodeCache"]

_OVERHEAD = 150  # bytes of two bytes objects and a place in the dict, beside the node itself


class NodeCache:
    """Encodings by digest, up to ``limit`` bytes; the oldest leave first. Safe to use from several threads.

    What is under a digest never changes, so nothing has to be invalidated. Reads take no lock: a lookup in a dict is
    one step for the interpreter.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._nodes: dict[bytes, bytes] = {}
        self._size = 0
        self._lock = threading.Lock()
        self.get = self._nodes.get

    def put(self, digest: bytes, node: bytes) -> None:
        """Keep a node, and drop the oldest ones where there is no more room."""
        with self._lock:
            if digest in self._nodes:
                return
            self._nodes[digest] = node
            self._size += len(node) + _OVERHEAD
            while self._size > self.limit:
                oldest = next(iter(self._nodes))
                self._size -= len(self._nodes.pop(oldest)) + _OVERHEAD

    @property
    def size(self) -> int:
        """Bytes in use, all overhead included."""
        return self._size
