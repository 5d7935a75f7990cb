"""The contracts of the workloads: their runtime code, as ``contracts/`` has it, and their accounts in a genesis."""

from __future__ import annotations

from importlib import resources

import numpy as np

from chaindp.errors import PluginError
from chaindp.kernels.kernelset import KernelSet
from chaindp.workload import Accounts, Genesis, Ragged, TransactionBatch

__all__ = ["call_data", "calls_of", "ragged", "runtime_code", "with_contract"]

WORD = 32


def runtime_code(name: str) -> bytes:
    """The runtime code of a contract. PluginError where its file is not hex digits."""
    file = f"{name}.runtime.hex"
    text = resources.files("chaindp_workloads").joinpath("contracts", file).read_text(encoding="ascii")
    try:
        return bytes.fromhex(text.strip())
    except ValueError as error:
        raise PluginError(f"contracts/{file} is not hex digits: {error}") from None


def with_contract(genesis: Genesis, address: bytes, code: bytes, kernels: KernelSet) -> Genesis:
    """``genesis`` with one more account at its end: a contract that owns nothing."""
    code_hash = kernels.keccak256(np.frombuffer(code, dtype=np.uint8), np.array([0, len(code)], dtype=np.int64))
    before = genesis.accounts
    accounts = Accounts(
        address=np.concatenate([before.address, np.frombuffer(address, dtype=np.uint8)[None]]),
        # A contract starts with nonce 1 (EIP-161).
        nonce=np.append(before.nonce, np.uint64(1)),
        balance=np.concatenate([before.balance, np.zeros((1, WORD), dtype=np.uint8)]),
        code_hash=np.concatenate([before.code_hash, code_hash]),
        exists=np.append(before.exists, True),
    )
    return Genesis(accounts, genesis.storage, {**genesis.codes, code_hash.tobytes(): code})


def call_data(selector: bytes, *words: np.ndarray) -> np.ndarray:
    """uint8[N, 4 + 32 k]: calls of one function, with k words uint8[N, 32] each (Solidity ABI)."""
    head = np.tile(np.frombuffer(selector, dtype=np.uint8), (len(words[0]), 1))
    return np.concatenate([head, *words], axis=1)


def calls_of(batch: TransactionBatch, address: bytes, selector: bytes, words: int) -> tuple[np.ndarray, np.ndarray]:
    """Which transactions call this function with so many words: their rows int64[n], and the words uint8[n, k, 32]."""
    size = 4 + WORD * words
    offsets = batch.data.offsets
    to = (batch.to == np.frombuffer(address, dtype=np.uint8)).all(axis=1)
    rows = np.flatnonzero(to & ~batch.creates & (np.diff(offsets) == size))
    data = batch.data.data[offsets[rows][:, None] + np.arange(size)]
    called = (data[:, :4] == np.frombuffer(selector, dtype=np.uint8)).all(axis=1)
    return rows[called], data[called, 4:].reshape(-1, words, WORD)


def ragged(data: np.ndarray) -> Ragged:
    """Call data of one length, uint8[N, length], as transactions carry it."""
    count, size = data.shape
    return Ragged(data.reshape(-1), np.arange(count + 1, dtype=np.int64) * size)
