"""Accounts and storage slots opened against a state root, in columns, and a row of them as EIP-1186 writes it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from chaindp.chain.trie import EMPTY_ROOT, TrieProofs
from chaindp.chain.types import EMPTY_CODE_HASH, Accounts, StorageCells

__all__ = ["StateProofs", "eip1186"]


@dataclass(frozen=True, slots=True, eq=False)
class StateProofs:
    """A accounts and S storage slots of theirs, opened under one state root. Made by ``State.prove``.

    ``account_proofs`` are of keccak256(address) in the state trie; ``storage_proofs`` of keccak256(slot) in the trie
    whose root is that account's ``storage_hash``. An account that is not there has no storage: its slots are zero, with
    proofs of no node.
    """

    root: bytes
    accounts: Accounts
    storage_hash: np.ndarray  # uint8[A,32]; the empty trie's root where the account is not there
    account_proofs: TrieProofs  # A
    cells: StorageCells  # S
    cell_account: np.ndarray  # int64[S], rows of ``accounts``
    storage_proofs: TrieProofs  # S


def eip1186(proofs: StateProofs, row: int) -> dict[str, Any]:
    """The result of ``eth_getProof`` for account ``row``, with the slots that were opened of it, in JSON values.

    Keys: address, accountProof, balance, codeHash, nonce, storageHash, storageProof[{key, value, proof}]. Quantities
    have no leading zeros; a slot's key is written as 32 bytes. Of an account that is not there, codeHash and
    storageHash are those of no code and no storage, as in the EIP's first example. Source: EIP-1186.
    """
    accounts = proofs.accounts
    there = bool(accounts.exists[row])
    return {
        "address": _data(accounts.address[row].tobytes()),
        "accountProof": [_data(node) for node in proofs.account_proofs.proof(row)],
        "balance": _quantity(accounts.balance[row].tobytes()),
        "codeHash": _data(accounts.code_hash[row].tobytes() if there else EMPTY_CODE_HASH),
        "nonce": hex(int(accounts.nonce[row])),
        "storageHash": _data(proofs.storage_hash[row].tobytes() if there else EMPTY_ROOT),
        "storageProof": [
            {
                "key": _data(proofs.cells.slot[cell].tobytes()),
                "value": _quantity(proofs.cells.value[cell].tobytes()),
                "proof": [_data(node) for node in proofs.storage_proofs.proof(cell)],
            }
            for cell in np.flatnonzero(proofs.cell_account == row).tolist()
        ],
    }


def _data(value: bytes) -> str:
    return "0x" + value.hex()


def _quantity(word: bytes) -> str:
    return hex(int.from_bytes(word, "big"))
