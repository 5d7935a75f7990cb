"""One digest for all that a workload feeds a run, so that two runs can be shown to have had the same input."""

from __future__ import annotations

import hashlib

import numpy as np

from chaindp.workload import Workload

__all__ = ["workload_digest"]


def workload_digest(workload: Workload) -> str:
    """SHA-256, as 64 hex digits, over the genesis state and every transaction, withdrawal and header of ``workload``.

    Every column goes in with its shape, and codes in the order of their hashes. Runs the whole stream once.
    """
    digest = hashlib.sha256(b"chaindp workload 1")

    def add(label: str, *columns: np.ndarray) -> None:
        for column in columns:
            digest.update(f"{label} {column.dtype.str} {list(column.shape)};".encode())
            digest.update(np.ascontiguousarray(column).data)

    genesis = workload.genesis()
    if genesis is not None:
        accounts, cells = genesis.accounts, genesis.storage
        add("accounts", accounts.address, accounts.nonce, accounts.balance, accounts.code_hash, accounts.exists)
        add("storage", cells.address, cells.slot, cells.value)
        for code_hash in sorted(genesis.codes):
            digest.update(code_hash + len(genesis.codes[code_hash]).to_bytes(8, "big") + genesis.codes[code_hash])
    for block in workload.blocks():
        add("transactions", block.transactions.data, block.transactions.offsets)
        digest.update(b"header" + (block.header_rlp or b""))
        if block.withdrawals is not None:
            add("withdrawals", block.withdrawals.data, block.withdrawals.offsets)
    return digest.hexdigest()
