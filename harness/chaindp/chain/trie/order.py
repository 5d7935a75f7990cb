"""The order in which a batch of fixed-length keys is applied: sorted, so that neighbours in the trie are neighbours in
time.
"""

from __future__ import annotations

import numpy as np

from chaindp.chain.trie.compiled import compiled, compiled_allocating


@compiled_allocating
def _prefixes(keys):  # type: ignore[no-untyped-def]
    out = np.empty(keys.shape[0], dtype=np.uint64)
    for i in range(keys.shape[0]):
        prefix = np.uint64(0)
        for j in range(8):
            prefix = prefix << np.uint64(8) | np.uint64(keys[i, j])
        out[i] = prefix
    return out


@compiled
def _after(keys, left, right, by_place):  # type: ignore[no-untyped-def]
    """Whether item ``left`` comes after item ``right``: by key, then by place in the batch where that counts."""
    for j in range(8, 32):
        if keys[left, j] != keys[right, j]:
            return keys[left, j] > keys[right, j]
    return by_place and left > right


@compiled
def _settle(order, tries, prefixes, keys, by_place):  # type: ignore[no-untyped-def]
    """Sort out equal prefixes. Only where places count do many items of one key cost more than a look each."""
    for i in range(1, order.shape[0]):
        item = order[i]
        j = i
        while (
            j > 0
            and prefixes[order[j - 1]] == prefixes[item]
            and tries[order[j - 1]] == tries[item]
            and _after(keys, order[j - 1], item, by_place)
        ):
            order[j] = order[j - 1]
            j -= 1
        order[j] = item


@compiled
def _finish(order, tries, prefixes, keys, value_offsets, out):  # type: ignore[no-untyped-def]
    """Keep the last item of each key, and put the deletes behind the rest; how many are kept."""
    count = order.shape[0]
    kept = 0
    for deletes in range(2):
        for i in range(count):
            item = order[i]
            if (value_offsets[item] == value_offsets[item + 1]) != deletes:
                continue
            if i + 1 < count and prefixes[order[i + 1]] == prefixes[item] and tries[order[i + 1]] == tries[item]:
                same = True
                for j in range(8, 32):
                    if keys[item, j] != keys[order[i + 1], j]:
                        same = False
                        break
                if same:
                    continue
            out[kept] = item
            kept += 1
    return kept


def _sorted(tries: np.ndarray, keys: np.ndarray, by_place: bool) -> tuple[np.ndarray, np.ndarray]:
    """(order by trie, key and, where that counts, place in the batch; the keys' prefixes)."""
    prefixes = _prefixes(keys)
    one_trie = len(tries) > 0 and (tries[0] == tries).all()
    order = np.argsort(prefixes) if one_trie else np.lexsort((prefixes, tries))
    _settle(order, tries, prefixes, keys, by_place)
    return order, prefixes


def key_order(tries: np.ndarray, keys: np.ndarray) -> np.ndarray:
    """The order int64[N] of items by trie, then by key. ``tries`` int64[N], ``keys`` uint8[N,32]."""
    return _sorted(tries, keys, False)[0]


def batch_order(tries: np.ndarray, keys: np.ndarray, value_offsets: np.ndarray) -> np.ndarray:
    """The order int64[K] in which to apply items: by trie, then by key, first those that set, then those that delete.

    Deletes come last because a branch that is about to get another child then needs no merging, and no sibling loaded.
    Of several items with one trie and key only the last is kept. ``tries`` int64[N], ``keys`` uint8[N,32].
    """
    order, prefixes = _sorted(tries, keys, True)
    out = np.empty(len(tries), dtype=np.int64)
    return out[: _finish(order, tries, prefixes, keys, value_offsets, out)]
