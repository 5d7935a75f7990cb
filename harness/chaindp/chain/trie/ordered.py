"""Roots over lists: transactions, receipts and withdrawals of a block."""

from __future__ import annotations

import numpy as np

from chaindp.chain.trie.compiled import compiled
from chaindp.chain.trie.forest import Trie
from chaindp.chain.types import Ragged
from chaindp.errors import InputError
from chaindp.kernels.kernelset import KernelSet

__all__ = ["ordered_root"]


@compiled
def _index_keys(count, data, offsets):  # type: ignore[no-untyped-def]
    at = 0
    offsets[0] = 0
    for index in range(count):
        if index == 0:
            data[at] = 0x80
            at += 1
        elif index < 0x80:
            data[at] = np.uint8(index)
            at += 1
        else:
            size = 1
            while index >> (8 * size):
                size += 1
            data[at] = np.uint8(0x80 + size)
            for i in range(size):
                data[at + 1 + i] = np.uint8((index >> (8 * (size - 1 - i))) & 255)
            at += 1 + size
        offsets[index + 1] = at


def ordered_root(items: Ragged, kernels: KernelSet) -> bytes:
    """Root of the trie that maps rlp(index) to item: transactionsRoot, receiptsRoot and withdrawalsRoot (EIP-4895).

    Items are as EIP-2718 has them in that trie: the RLP of a legacy item, type byte and payload of a typed one.
    InputError where an item is empty, which no trie can hold.
    """
    if items.count and (np.diff(items.offsets) == 0).any():
        raise InputError(f"item {int(np.argmin(np.diff(items.offsets)))} of an ordered trie is empty")
    data = np.empty(9 * items.count, dtype=np.uint8)
    offsets = np.empty(items.count + 1, dtype=np.int64)
    _index_keys(items.count, data, offsets)
    trie = Trie()
    trie.update(Ragged(data, offsets), items)
    return trie.hash(kernels)[0]
