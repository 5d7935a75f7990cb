"""Proofs that other implementations have made, and the official trie tests with a proof for every key."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rlp

from chaindp.chain.openings import eip1186
from chaindp.chain.state import State
from chaindp.chain.trie import Trie
from chaindp.chain.types import EMPTY_CODE_HASH, Accounts, Genesis, Ragged, StorageCells
from chaindp.chain.verify.openings import ProofError, verify_account, verify_opening
from chaindp.chain.verify.result import find_files, json_tests
from trie_reference import ReferenceKernels, keccak256

VECTORS: dict[str, Any] = json.loads((Path(__file__).parent / "eth_getproof.json").read_text())
KERNELS = ReferenceKernels()


def data(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x"))


@pytest.mark.parametrize("name", VECTORS["documents"])
def test_documents_of_other_clients_verify(name: str) -> None:
    vector = VECTORS["documents"][name]
    root, document = data(vector["root"]), vector["result"]
    opened = verify_account(root, document, keccak256)
    assert opened.address == data(document["address"])
    assert opened.exists == (name != "absent account")
    assert opened.slots == {int(entry["key"], 16): 0 for entry in document["storageProof"]}
    for change in ({"balance": "0x2"}, {"accountProof": document["accountProof"][:-1]}, {"address": "0x" + "11" * 20}):
        with pytest.raises(ProofError):
            verify_account(root, document | change, keccak256)


def test_accounts_are_opened_as_anvil_opens_them() -> None:
    balances = {data(address): int(balance) for address, balance in VECTORS["accounts"]["balances"].items()}
    words = b"".join(balance.to_bytes(32, "big") for balance in balances.values())
    accounts = Accounts(
        np.frombuffer(b"".join(balances), dtype=np.uint8).reshape(-1, 20),
        np.zeros(4, dtype=np.uint64),
        np.frombuffer(words, dtype=np.uint8).reshape(-1, 32),
        np.frombuffer(EMPTY_CODE_HASH * 4, dtype=np.uint8).reshape(-1, 32),
        np.ones(4, dtype=np.bool_),
    )
    nothing = np.empty((0, 32), dtype=np.uint8)
    cells = StorageCells(np.empty((0, 20), dtype=np.uint8), nothing, nothing)
    state = State.genesis(Genesis(accounts, cells), KERNELS.kernels)
    root, _ = state.commit_root(KERNELS.kernels)
    proofs = state.prove(accounts.address, KERNELS.kernels)
    for row, address in enumerate(VECTORS["accounts"]["balances"]):
        document = eip1186(proofs, row)
        assert document["address"] == address
        verify_account(root, document, keccak256)
        expected = VECTORS["accounts"]["proofs"].get(address)
        assert expected is None or document["accountProof"] == expected


def test_slots_that_anvil_opened_verify() -> None:
    top = data(VECTORS["slots"]["root_node"])
    for slot, vector in VECTORS["slots"]["slots"].items():
        proof = [top, *map(data, vector["below"])]
        key = keccak256(int(slot, 16).to_bytes(32, "big"))
        value = None if vector["value"] is None else rlp.encode(data(vector["value"]))
        assert verify_opening(keccak256(top), key, proof, keccak256) == value
        with pytest.raises(ProofError):
            verify_opening(keccak256(top), keccak256(key), proof, keccak256)


def _bytes(text: str | None) -> bytes:
    if text is None:
        return b""
    return data(text) if text.startswith("0x") else text.encode()


def test_every_key_of_the_official_trie_tests(data_dir: Path) -> None:
    count = 0
    for label, content in find_files(data_dir / "ethereum-tests" / "TrieAndRLPTests.tar.gz", "TrieTests"):
        for test in json_tests(label, content).values():
            if "root" not in test:
                continue
            given = test["in"].items() if isinstance(test["in"], dict) else test["in"]
            secure = "secure" in label.rpartition("/")[2].lower()
            pairs = [(_bytes(key), _bytes(value)) for key, value in given]
            if secure:
                pairs = [(keccak256(key), value) for key, value in pairs]
            trie = Trie()
            trie.update(Ragged.from_items(key for key, _ in pairs), Ragged.from_items(value for _, value in pairs))
            root, _ = trie.hash(KERNELS.kernels)
            assert root == data(test["root"])
            final = dict(pairs)
            asked = [*final, *(key + b"\x01" for key in final), *(key[:-1] for key in final), b""]
            proofs = trie.prove(Ragged.from_items(asked))
            for index, key in enumerate(asked):
                found = verify_opening(root, key, proofs.proof(index), keccak256)
                assert found == (final.get(key) or None)
                count += found is not None
    assert count >= 50
