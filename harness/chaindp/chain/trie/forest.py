"""Many Merkle Patricia tries in one arena: batches of updates and reads, and one level-batched hashing of all that
changed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from chaindp.chain.trie import arena as _arena
from chaindp.chain.trie.decode import digests_at, load_nodes, unmark
from chaindp.chain.trie.encode import arrange, collect, fill_holes, root_digests, store_digests, write_batch
from chaindp.chain.trie.lookup import copy_values, find_values
from chaindp.chain.trie.openings import TrieProofs, paths_by_item, start_walks, walk_level
from chaindp.chain.trie.order import batch_order, key_order
from chaindp.chain.trie.update import CHANGED, NEEDS_NODE, apply_items, find_hashes
from chaindp.chain.types import Ragged
from chaindp.errors import InputError, StoreError, UsageError
from chaindp.kernels.kernelset import KernelSet

__all__ = ["EMPTY_ROOT", "Fetch", "Forest", "NodeBatch", "Trie"]

EMPTY_ROOT = bytes.fromhex("56e81f171bcc55a6ff8345e692c0f86e5b48e01b996cadc001622fb5e363b421")
"""keccak256(rlp("")): the root of the trie without items (yellow paper, appendix D)."""

Fetch = Callable[[np.ndarray], Ragged]
"""Digests uint8[N,32] to the N node encodings; StoreError where one is not there."""

_EMPTY_DIGEST = np.frombuffer(EMPTY_ROOT, dtype=np.uint8).copy()


@dataclass(slots=True)
class NodeBatch:
    """N nodes that were hashed, children before parents, and new codes by their hash: what a flush writes."""

    digests: np.ndarray  # uint8[N,32]
    encodings: Ragged
    codes: Mapping[bytes, bytes] = field(default_factory=dict)

    @property
    def count(self) -> int:
        """How many nodes there are."""
        return len(self.digests)


def _own(array: np.ndarray, dtype: type) -> np.ndarray:
    # Compiled code is specialised on read-only arrays too: one copy here saves a second compilation of everything.
    array = np.ascontiguousarray(array, dtype=dtype)
    return array if array.flags.writeable else array.copy()


def _ragged(items: Ragged, what: str) -> Ragged:
    data, offsets = _own(items.data, np.uint8), _own(items.offsets, np.int64)
    if not len(offsets) or offsets[0] != 0 or offsets[-1] > len(data) or (np.diff(offsets) < 0).any():
        raise InputError(f"offsets of {what} do not ascend from 0 to at most {len(data)} bytes")
    return Ragged(data, offsets)


class Forest:
    """Tries by number, in one arena. Not safe for use from two threads at once.

    Nodes and values that leave a trie are reused. Nodes that were loaded stay loaded.
    """

    def __init__(self, fetch: Fetch | None = None) -> None:
        """An empty forest. ``fetch`` loads nodes of tries that are opened by their root."""
        self._arena = _arena.new_arena()
        self._fetch = fetch
        self._count = 0
        self._free: list[int] = []
        self._nibbles = 64

    # -- tries ------------------------------------------------------------------------------------------------------

    def new_trie(self, root: bytes = EMPTY_ROOT) -> int:
        """The number of a new trie: empty, or with the nodes under ``root`` loaded from ``fetch`` as they are
        needed.
        """
        if len(root) != 32:
            raise UsageError(f"a trie root has 32 bytes, not {len(root)}")
        if root != EMPTY_ROOT and self._fetch is None:
            raise UsageError("a trie can only be opened by its root where there is a store to load nodes from")
        if self._free:
            trie = self._free.pop()
        else:
            trie = self._count
            self._count += 1
            if trie == len(self._arena.tries):
                tries = np.zeros((2 * trie, 2), dtype=np.int32)
                tries[:trie] = self._arena.tries
                self._arena = self._arena._replace(tries=tries)
        ref = _arena.NONE
        if root != EMPTY_ROOT:
            self._arena = _arena.reserve(self._arena, 0, 0, 1, 0)
            row = _arena.alloc_hash(self._arena)
            self._arena.hash_bytes[row] = np.frombuffer(root, dtype=np.uint8)
            ref = row * 4 + _arena.HASH
        self._arena.tries[trie] = (ref, 0)
        return trie

    def drop_trie(self, trie: int) -> None:
        """Forget a trie and give its memory back; its number may be given out again."""
        stack = np.empty(16 * (self._nibbles + 64), dtype=np.int32)
        _arena.free_subtree(self._arena, int(self._arena.tries[trie, _arena.T_ROOT]), stack)
        self._arena.tries[trie] = (_arena.NONE, 0)
        self._free.append(trie)

    # -- items ------------------------------------------------------------------------------------------------------

    def _keys(self, tries: np.ndarray | int, keys: np.ndarray | Ragged) -> tuple[np.ndarray, Ragged, np.ndarray | None]:
        """(trie of each key, keys as ragged, the same as uint8[N,32] where they are)."""
        fixed = None
        if isinstance(keys, Ragged):
            ragged = _ragged(keys, "keys")
        else:
            if keys.ndim != 2 or keys.shape[1] != 32:
                raise UsageError(f"keys have the shape (N, 32), not {keys.shape}")
            fixed = _own(keys, np.uint8)
            ragged = Ragged(fixed.reshape(-1), np.arange(len(keys) + 1, dtype=np.int64) * 32)
        numbers = _own(np.full(ragged.count, tries) if isinstance(tries, int) else tries, np.int64)
        if len(numbers) != ragged.count:
            raise UsageError(f"{len(numbers)} trie numbers for {ragged.count} keys")
        if len(numbers) and not (numbers.min() >= 0 and numbers.max() < self._count):
            raise UsageError(f"trie numbers go from 0 to {self._count - 1}")
        if ragged.count:
            self._nibbles = max(self._nibbles, 2 * int(np.diff(ragged.offsets).max()))
        return numbers, ragged, fixed

    def update(self, tries: np.ndarray | int, keys: np.ndarray | Ragged, values: Ragged) -> int:
        """Map each key to its value in its trie; an empty value removes the key. How many items changed a trie.

        ``tries`` int64[N] or one number; ``keys`` uint8[N,32], applied in sorted order, the last of equal ones
        counting, or ragged bytes of any length, applied in the order given. StoreError where a node cannot be loaded:
        nothing is lost, but some items may have been applied.
        """
        numbers, ragged, fixed = self._keys(tries, keys)
        values = _ragged(values, "values")
        if values.count != ragged.count:
            raise UsageError(f"{values.count} values for {ragged.count} keys")
        if fixed is None:
            order = np.arange(ragged.count, dtype=np.int64)
        else:
            order = batch_order(numbers, fixed, values.offsets)
        self._load_paths(order, numbers, ragged, values.offsets)
        path = np.empty(self._nibbles + 3, dtype=np.int64)
        done = changed = 0
        if len(order) > 4096:
            self._reserve_for(len(order), int(ragged.offsets[-1] + values.offsets[-1]))
        while True:
            done, status, more = apply_items(
                self._arena, order, done, numbers, ragged.data, ragged.offsets, values.data, values.offsets, path
            )
            changed += more
            if done == len(order):
                return int(changed)
            if status == NEEDS_NODE:
                self._load(np.array([self._arena.counters[_arena.NEEDED]], dtype=np.int64))
            elif status == CHANGED:
                item = order[done]
                size = int(ragged.offsets[item + 1] - ragged.offsets[item])
                size += int(values.offsets[item + 1] - values.offsets[item])
                self._grow(size)

    def get(self, tries: np.ndarray | int, keys: np.ndarray | Ragged) -> tuple[Ragged, np.ndarray]:
        """(values, found bool[N]) of keys; where a key is not in its trie the value is empty."""
        numbers, ragged, _ = self._keys(tries, keys)
        # With the keys' offsets in the place of the values' no item (but one with an empty key) looks like a delete.
        self._load_paths(np.arange(ragged.count, dtype=np.int64), numbers, ragged, ragged.offsets)
        at = np.empty(ragged.count, dtype=np.int64)
        offsets = np.empty(ragged.count + 1, dtype=np.int64)
        find_values(self._arena, numbers, ragged.data, ragged.offsets, at, offsets)
        data = np.empty(offsets[-1], dtype=np.uint8)
        copy_values(self._arena, at, offsets, data)
        return Ragged(data, offsets), at >= 0

    def prove(self, tries: np.ndarray | int, keys: np.ndarray | Ragged) -> TrieProofs:
        """Merkle proofs of the values of keys, or that there is none, against the roots of their tries.

        ``tries`` int64[N] or one number; ``keys`` uint8[N,32] or ragged bytes of any length, repeated or not. A node
        that several proofs need is there once. UsageError where a trie has changes that are not hashed; StoreError
        where a node cannot be loaded.
        """
        numbers, ragged, fixed = self._keys(tries, keys)
        if self._arena.tries[numbers, _arena.T_DIRTY].any():
            raise UsageError("a trie has changes that are not hashed yet: call hash first")
        count = ragged.count
        # As in ``get``: no key but an empty one looks like a delete.
        self._load_paths(np.arange(count, dtype=np.int64), numbers, ragged, ragged.offsets)
        if fixed is None:
            items = ragged.items()
            order = np.array(sorted(range(count), key=lambda i: (numbers[i], items[i])), dtype=np.int64)
        else:
            order = key_order(numbers, fixed)
        arena = self._arena
        steps, refs, sizes, at, value_offsets = self._walk(order, numbers, ragged)
        node_offsets = np.zeros(len(refs) + 1, dtype=np.int64)
        np.cumsum(sizes, out=node_offsets[1:])
        paths, path_offsets = np.empty(len(steps), dtype=np.int32), np.zeros(count + 1, dtype=np.int64)
        paths_by_item(steps, path_offsets, paths)
        encodings, values = np.empty(node_offsets[-1], dtype=np.uint8), np.empty(value_offsets[-1], dtype=np.uint8)
        none = np.empty(0, dtype=np.int64)
        if not write_batch(arena, refs, node_offsets, encodings, none, none):
            raise AssertionError("a trie node was not encoded in the size that its row has")
        copy_values(arena, at, value_offsets, values)
        return TrieProofs(Ragged(encodings, node_offsets), paths, path_offsets, Ragged(values, value_offsets), at >= 0)

    def _walk(self, order: np.ndarray, tries: np.ndarray, keys: Ragged) -> tuple[np.ndarray, ...]:
        """All keys from root to end, a level at a time: (item and node of each step, refs and sizes of the nodes, where
        in the heap the values lie, their offsets).
        """
        count = len(order)
        cursors = np.empty((count, 3), dtype=np.int64)
        at, value_offsets = np.full(count, -1, dtype=np.int64), np.zeros(count + 1, dtype=np.int64)
        active = start_walks(self._arena, order, tries, cursors)
        steps, refs, sizes = [np.empty((0, 2), np.int32)], [np.empty(0, np.int32)], [np.empty(0, np.int64)]
        nodes = level = 0
        while active:
            steps.append(np.empty((active, 2), dtype=np.int32))
            refs.append(np.empty(active, dtype=np.int32))
            sizes.append(np.empty(active, dtype=np.int64))
            active, met, taken = walk_level(
                self._arena, cursors, active, keys.data, keys.offsets, level == 0, nodes, refs[-1], sizes[-1],
                steps[-1], at, value_offsets[1:],
            )  # fmt: skip
            steps[-1], refs[-1], sizes[-1] = steps[-1][:taken], refs[-1][:met], sizes[-1][:met]
            nodes += met
            level += 1
        np.cumsum(value_offsets, out=value_offsets)
        return np.concatenate(steps), np.concatenate(refs), np.concatenate(sizes), at, value_offsets

    # -- digests ----------------------------------------------------------------------------------------------------

    def hash(self, tries: np.ndarray, kernels: KernelSet) -> NodeBatch:
        """Hash all nodes of ``tries`` int64[T] (each once) that changed, in one call of ``trie_hash``; the nodes,
        encoded.

        Where the kernel fails nothing is lost, and the call can be repeated.
        """
        tries = _own(tries, np.int64)
        arena = self._arena
        bound = int(arena.counters[_arena.SHORT_LIVE] + arena.counters[_arena.BRANCH_LIVE])
        refs, heights = np.empty(bound, dtype=np.int32), np.empty(bound, dtype=np.int32)
        count = collect(arena, tries, np.empty((self._nibbles + 64, 3), dtype=np.int32), refs, heights)
        refs, heights = refs[:count], heights[:count]
        if not count:
            store_digests(arena, tries, refs, refs, np.empty((0, 32), dtype=np.uint8))
            return NodeBatch(np.empty((0, 32), dtype=np.uint8), Ragged.from_items([]))
        hashed = int(np.count_nonzero(heights >= 0))
        level_offsets = np.zeros(int(heights.max()) + 2, dtype=np.int64)
        batch = np.empty(hashed, dtype=np.int32)
        offsets = np.empty(hashed + 1, dtype=np.int64)
        splices = arrange(arena, refs, heights, level_offsets, batch, offsets)
        splice_at, splice_child = np.empty(splices, dtype=np.int64), np.empty(splices, dtype=np.int64)
        encodings = np.empty(offsets[-1], dtype=np.uint8)
        if not write_batch(arena, batch, offsets, encodings, splice_at, splice_child):
            raise AssertionError("a trie node was not encoded in the size that was computed for it")
        digests = _own(kernels.trie_hash(encodings, offsets, level_offsets, splice_at, splice_child), np.uint8)
        if digests.shape != (hashed, 32):
            raise UsageError(f"trie_hash gave digests of the shape {digests.shape} for {hashed} nodes")
        store_digests(arena, tries, refs, batch, digests)
        # In place: a copy of all encodings is as large as the trie itself when a genesis state is hashed. What the
        # kernel was given has only its holes filled, which by its contract hold nothing.
        fill_holes(encodings, splice_at, splice_child, digests)
        return NodeBatch(digests, Ragged(encodings, offsets))

    def roots(self, tries: np.ndarray) -> np.ndarray:
        """Root digests uint8[T,32] of ``tries`` int64[T]; UsageError where one has changes that are not hashed."""
        tries = _own(tries, np.int64)
        if self._arena.tries[tries, _arena.T_DIRTY].any():
            raise UsageError("a trie has changes that are not hashed yet: call hash first")
        out = np.empty((len(tries), 32), dtype=np.uint8)
        root_digests(self._arena, tries, _EMPTY_DIGEST, out)
        return out

    def memory_bytes(self) -> int:
        """Bytes that nodes and values take, free rows and records included."""
        return _arena.memory_bytes(self._arena)

    def live(self) -> dict[str, int]:
        """How many short, branch and hash nodes and heap bytes are in use: for tests of leaks."""
        counters = self._arena.counters
        return {
            "short": int(counters[_arena.SHORT_LIVE]),
            "branch": int(counters[_arena.BRANCH_LIVE]),
            "hash": int(counters[_arena.HASH_LIVE]),
            "heap": int(counters[_arena.HEAP_LIVE]) * _arena.UNIT,
        }

    # -- loading and growing ----------------------------------------------------------------------------------------

    def _reserve_for(self, items: int, size: int) -> None:
        """Room for a large batch of new items at once: growing by halves on the way would copy, and hold, more."""
        branches = items * 2 // 5
        self._arena = _arena.reserve(
            self._arena, items + items // 32, branches, 0, size // _arena.UNIT + items * 3 // 4
        )

    def _grow(self, size: int) -> None:
        largest = int(self._arena.counters[_arena.LARGEST])
        units = 4 * (int(_arena.rounded_units(size)) + largest + 1)
        # Only what is short grows; by at least half, so the margins here need not be exact.
        self._arena = _arena.reserve(self._arena, 4, 1, 0, units)

    def _load_paths(self, order: np.ndarray, tries: np.ndarray, keys: Ragged, value_offsets: np.ndarray) -> None:
        """Load, a round a level, every node that the items of ``order`` will reach."""
        items = order
        while len(items) and self._arena.counters[_arena.HASH_LIVE]:
            found_items = np.empty(len(items), dtype=np.int64)
            locations = np.empty(2 * len(items), dtype=np.int64)
            found, wanted = find_hashes(
                self._arena, items, tries, keys.data, keys.offsets, value_offsets, found_items, locations
            )
            if not wanted:
                return
            self._load(locations[:wanted])
            items = found_items[:found]

    def _load(self, locations: np.ndarray) -> None:
        if self._fetch is None:
            raise UsageError("a node is known by its digest only, and there is no store to load it from")
        digests = np.empty((len(locations), 32), dtype=np.uint8)
        digests_at(self._arena, locations, digests)
        done = 0
        try:
            encodings = _ragged(self._fetch(digests), "fetched nodes")
            if encodings.count != len(locations):
                raise StoreError(f"{encodings.count} nodes were fetched for {len(locations)} digests")
            while done < len(locations):
                size = int(encodings.offsets[done + 1] - encodings.offsets[done])
                units = 2 * int(_arena.rounded_units(size)) + 512
                self._arena = _arena.reserve(self._arena, 512, 512, 512, units)
                done, fine = load_nodes(self._arena, locations, done, encodings.data, encodings.offsets)
                if not fine:
                    raise StoreError(f"trie node {digests[done].tobytes().hex()} is malformed")
        finally:
            unmark(self._arena, locations, done)


class Trie:
    """One Merkle Patricia trie over keys of any length."""

    def __init__(self, root: bytes = EMPTY_ROOT, fetch: Fetch | None = None) -> None:
        """The trie under ``root``, whose nodes ``fetch`` loads; an empty one by default."""
        self.forest = Forest(fetch)
        self._number = np.array([self.forest.new_trie(root)], dtype=np.int64)

    def update(self, keys: np.ndarray | Ragged, values: Ragged) -> int:
        """As ``Forest.update``."""
        return self.forest.update(0, keys, values)

    def get(self, keys: np.ndarray | Ragged) -> tuple[Ragged, np.ndarray]:
        """As ``Forest.get``."""
        return self.forest.get(0, keys)

    def prove(self, keys: np.ndarray | Ragged) -> TrieProofs:
        """As ``Forest.prove``."""
        return self.forest.prove(0, keys)

    def hash(self, kernels: KernelSet) -> tuple[bytes, NodeBatch]:
        """The root digest after all updates, and the nodes that were new."""
        nodes = self.forest.hash(self._number, kernels)
        return self.forest.roots(self._number)[0].tobytes(), nodes
