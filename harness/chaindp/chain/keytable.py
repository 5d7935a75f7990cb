"""A set of fixed-width keys that hands out dense indices: addresses and storage cells without a Python object each."""

from __future__ import annotations

import numba
import numpy as np

__all__ = ["KeyTable", "group_rows"]

_EMPTY = -1


@numba.njit(cache=True, nogil=True)
def _slot_of(keys: np.ndarray, row: int, mask: int) -> int:
    """FNV-1a over the key. Keys may be chosen by an adversary; the table only ever holds one run's own workload."""
    value = np.uint64(0xCBF29CE484222325)
    for i in range(keys.shape[1]):
        value = (value ^ np.uint64(keys[row, i])) * np.uint64(0x100000001B3)
    value ^= value >> np.uint64(29)
    return np.int64(value & np.uint64(mask))  # type: ignore[return-value]  # an int for numba


@numba.njit(cache=True, nogil=True)
def _insert(slots: np.ndarray, stored: np.ndarray, count: int, keys: np.ndarray, index: np.ndarray) -> int:
    mask = len(slots) - 1
    for row in range(len(keys)):
        slot = _slot_of(keys, row, mask)
        while True:
            found = slots[slot]
            if found == _EMPTY:
                stored[count] = keys[row]
                slots[slot] = count
                index[row] = count
                count += 1
                break
            same = True
            for i in range(keys.shape[1]):
                if stored[found, i] != keys[row, i]:
                    same = False
                    break
            if same:
                index[row] = found
                break
            slot = (slot + 1) & mask
    return count


@numba.njit(cache=True, nogil=True)
def _rehash(slots: np.ndarray, stored: np.ndarray, count: int) -> None:
    mask = len(slots) - 1
    for row in range(count):
        slot = _slot_of(stored, row, mask)
        while slots[slot] != _EMPTY:
            slot = (slot + 1) & mask
        slots[slot] = row


class KeyTable:
    """Maps keys uint8[N, width] to indices 0, 1, 2... in the order of their first appearance."""

    def __init__(self, width: int, capacity: int = 1024) -> None:
        self._slots = np.full(2 * _power_of_two(capacity), _EMPTY, dtype=np.int64)
        self._stored = np.zeros((len(self._slots) // 2, width), dtype=np.uint8)
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def insert(self, keys: np.ndarray) -> np.ndarray:
        """The index int64[N] of every key uint8[N, width]; keys not seen before are added."""
        self._reserve(self._count + len(keys))
        index = np.empty(len(keys), dtype=np.int64)
        self._count = _insert(self._slots, self._stored, self._count, np.ascontiguousarray(keys), index)
        return index

    def insert_new(self, keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """``insert``, and the rows int64[M] of the keys that were not there, each distinct key once, in order."""
        before = self._count
        index = self.insert(keys)
        rows = np.flatnonzero(index >= before)
        _, first = np.unique(index[rows], return_index=True)
        return index, rows[np.sort(first)]

    def add_new(self, keys: np.ndarray) -> np.ndarray:
        """Add the keys; the rows int64[M] of those that were not there, each distinct key once."""
        return self.insert_new(keys)[1]

    def _reserve(self, count: int) -> None:
        if count <= len(self._stored):
            return
        size = 2 * _power_of_two(count)
        stored = np.zeros((size // 2, self._stored.shape[1]), dtype=np.uint8)
        stored[: self._count] = self._stored[: self._count]
        self._stored = stored
        self._slots = np.full(size, _EMPTY, dtype=np.int64)
        _rehash(self._slots, self._stored, self._count)


def group_rows(rows: np.ndarray) -> tuple[np.ndarray, int]:
    """(group int64[N], number of groups): equal rows of uint8[N,W] are one group, numbered as they first appear."""
    table = KeyTable(rows.shape[1], len(rows))
    return table.insert(rows), len(table)


def _power_of_two(count: int) -> int:
    return 1 << max(4, (count - 1).bit_length())
