"""Merkle Patricia proofs: what is made against the PyPI package ``trie``, and the verifier against both."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rlp
from hypothesis import given, settings
from hypothesis import strategies as st
from trie import HexaryTrie

from chaindp.chain.openings import eip1186
from chaindp.chain.state import State
from chaindp.chain.store import Store
from chaindp.chain.trie import EMPTY_ROOT, Trie
from chaindp.chain.types import EMPTY_CODE_HASH, Accounts, Genesis, Ragged, StateDiff, StorageCells
from chaindp.chain.verify.openings import ProofError, verify_account, verify_opening
from chaindp.errors import InputError, StoreError, UsageError
from trie_reference import ReferenceKernels, keccak256

KERNELS = ReferenceKernels()

# Short keys and values, so that there are inlined nodes, values in branches, and extensions.
ITEMS = st.dictionaries(st.binary(max_size=3), st.binary(min_size=1, max_size=40), max_size=24)


def _built(items: Mapping[bytes, bytes]) -> tuple[Trie, bytes]:
    trie = Trie()
    trie.update(Ragged.from_items(items), Ragged.from_items(items.values()))
    return trie, trie.hash(KERNELS.kernels)[0]


def _peer(items: Mapping[bytes, bytes]) -> HexaryTrie:
    peer = HexaryTrie({})
    for key, value in items.items():
        peer[key] = value
    return peer


def _peer_proof(peer: HexaryTrie, key: bytes) -> list[bytes]:
    """The package lists inlined nodes as elements, too; EIP-1186 does not."""
    nodes = [rlp.encode(node) for node in peer.get_proof(key)]
    return [node for index, node in enumerate(nodes) if index == 0 or len(node) >= 32]


@settings(max_examples=100)
@given(ITEMS, st.lists(st.binary(max_size=4), max_size=6))
def test_proofs_are_those_of_the_package_and_verify(items: dict[bytes, bytes], others: list[bytes]) -> None:
    trie, root = _built(items)
    peer = _peer(items)
    assert peer.root_hash == root
    asked = [*others, *items, *others]
    proofs = trie.prove(Ragged.from_items(asked))
    assert proofs.count == len(asked)
    assert proofs.found.tolist() == [key in items for key in asked]
    for index, key in enumerate(asked):
        proof = proofs.proof(index)
        assert proof == _peer_proof(peer, key)
        assert proofs.values.item(index) == items.get(key, b"")
        assert verify_opening(root, key, proof, keccak256) == items.get(key)
        if proof:
            nodes = [rlp.decode(node) for node in proof]
            assert HexaryTrie.get_from_proof(root, key, nodes) == items.get(key, b"")
    nodes = proofs.nodes.items()
    assert sorted(set(proofs.paths.tolist())) == list(range(len(nodes)))  # none that no proof needs


@pytest.mark.parametrize("count", [1, 2, 17, 400])
def test_keys_of_32_bytes(count: int) -> None:
    rng = np.random.default_rng(count)
    keys = rng.integers(0, 256, (count, 32), dtype=np.uint8)
    keys[count // 2 :, :9] = keys[0, :9]  # equal prefixes of more than the 8 bytes that are sorted by first
    items = {key.tobytes(): rng.bytes(int(rng.integers(1, 80))) for key in keys}
    trie, root = _built(items)
    peer = _peer(items)
    asked = np.concatenate([keys, keys[:3], rng.integers(0, 256, (count, 32), dtype=np.uint8)])
    asked = asked[rng.permutation(len(asked))]
    proofs = trie.prove(asked)
    for index, key in enumerate(asked):
        assert proofs.proof(index) == _peer_proof(peer, key.tobytes())
        assert verify_opening(root, key.tobytes(), proofs.proof(index), keccak256) == items.get(key.tobytes())
    encodings = proofs.nodes.items()
    assert len(set(encodings)) == len(encodings)  # random values: no two nodes are equal, and none is there twice


def test_nothing_asked_and_nothing_there() -> None:
    trie, root = _built({})
    assert root == EMPTY_ROOT
    assert trie.prove(np.empty((0, 32), dtype=np.uint8)).count == 0
    proofs = trie.prove(np.zeros((2, 32), dtype=np.uint8))
    assert proofs.proof(1) == [] and not proofs.found.any()
    assert verify_opening(EMPTY_ROOT, bytes(32), [], keccak256) is None
    assert verify_opening(EMPTY_ROOT, bytes(32), [b"\x80"], keccak256) is None
    for wrong in ([b"\x80", b"\x80"], [b""], [b"\xc0"]):
        with pytest.raises(ProofError):
            verify_opening(EMPTY_ROOT, bytes(32), wrong, keccak256)
    with pytest.raises(ProofError, match="empty trie only"):
        verify_opening(bytes(32), bytes(32), [], keccak256)


def test_one_key_many_times_costs_no_more_than_others() -> None:
    rng = np.random.default_rng(3)
    keys = rng.integers(0, 256, (2, 32), dtype=np.uint8)
    trie, _ = _built({key.tobytes(): b"value" for key in keys})
    proofs = trie.prove(keys[rng.integers(0, 2, 100_000)])  # quadratic work would take minutes
    assert proofs.found.all() and proofs.nodes.count == 3 and (np.diff(proofs.path_offsets) == 2).all()


def test_changes_must_be_hashed_first() -> None:
    trie, _ = _built({b"dog": b"puppy"})
    trie.update(Ragged.from_items([b"dog"]), Ragged.from_items([b"hound"]))
    with pytest.raises(UsageError, match="call hash first"):
        trie.prove(Ragged.from_items([b"dog"]))


def test_hashing_after_proving_is_as_without() -> None:
    rng = np.random.default_rng(5)
    items = {rng.bytes(32): rng.bytes(40) for _ in range(300)}
    trie, _ = _built(items)
    for _ in range(4):
        keys = np.frombuffer(b"".join(items), dtype=np.uint8).reshape(-1, 32)
        trie.prove(keys[rng.permutation(len(keys))])
        change = {list(items)[int(i)]: rng.bytes(40) for i in rng.integers(0, len(items), 20)} | {rng.bytes(32): b"new"}
        items |= change
        trie.update(Ragged.from_items(change), Ragged.from_items(change.values()))
        assert trie.hash(KERNELS.kernels)[0] == _peer(items).root_hash


# The verifier -------------------------------------------------------------------------------------------------------


def _mutants(proof: list[bytes], rng: np.random.Generator) -> list[list[bytes]]:
    """Proofs that differ from ``proof`` by one thing."""
    found = [proof[:-1], proof[1:], [*proof, proof[-1]], [proof[0], *proof], [*proof, b""], [*proof, b"\x80"]]
    found += [[*proof[:i], proof[i + 1], proof[i], *proof[i + 2 :]] for i in range(len(proof) - 1)]
    for i, node in enumerate(proof):
        at, bit = int(rng.integers(0, len(node))), 1 << int(rng.integers(0, 8))
        flipped = node[:at] + bytes([node[at] ^ bit]) + node[at + 1 :]
        found += [[*proof[:i], changed, *proof[i + 1 :]] for changed in (flipped, node[:-1], node + b"\0", b"")]
    return found


@settings(max_examples=60)
@given(ITEMS.filter(len), st.binary(max_size=3), st.integers(0, 2**32))
def test_a_proof_with_one_thing_wrong_is_refused(items: dict[bytes, bytes], other: bytes, seed: int) -> None:
    trie, root = _built(items)
    asked = [*list(items)[:4], other]
    proofs = trie.prove(Ragged.from_items(asked))
    rng = np.random.default_rng(seed)
    for index, key in enumerate(asked):
        for mutant in _mutants(proofs.proof(index), rng):
            with pytest.raises(ProofError):
                verify_opening(root, key, mutant, keccak256)


@settings(max_examples=100)
@given(ITEMS, ITEMS, st.binary(max_size=4))
def test_a_proof_of_one_key_or_root_says_nothing_false_of_another(
    items: dict[bytes, bytes], more: dict[bytes, bytes], key: bytes
) -> None:
    trie, root = _built(items)
    other, other_root = _built(items | more)
    for made in (trie, other):
        asked = [*items, *more, key]
        proofs = made.prove(Ragged.from_items(asked))
        for index in range(len(asked)):
            for against, truth in ((root, items), (other_root, items | more)):
                try:
                    found = verify_opening(against, key, proofs.proof(index), keccak256)
                except ProofError:
                    continue
                assert found == truth.get(key)


NODE = st.recursive(st.binary(max_size=34), lambda inner: st.lists(inner, max_size=17), max_leaves=20)


@settings(max_examples=120)
@given(st.lists(st.one_of(st.binary(max_size=70), NODE.map(rlp.encode)), max_size=4), st.binary(max_size=3))
def test_any_bytes_are_a_verdict_or_the_error(proof: list[bytes], key: bytes) -> None:
    """Under their own hash, so that the parser gets to see them."""
    root = keccak256(proof[0]) if proof else EMPTY_ROOT
    try:
        found = verify_opening(root, key, proof, keccak256)
    except ProofError:
        return
    assert found is None or found in proof[-1]


BRANCH = [keccak256(b"a"), keccak256(b"b")] + [b""] * 15


@pytest.mark.parametrize(
    ("node", "message"),
    [
        (b"", "cut off"),
        (rlp.encode(b"dog"), "a list is expected"),
        (rlp.encode([b""] * 16), "has 16 items"),
        (rlp.encode([b""] * 18), "more than 17"),
        (rlp.encode([b"\x20\x12\x34", b"v"]) + b"\0", "nothing behind"),
        (rlp.encode([b"\x20\x12\x34", b""]), "without a value"),
        (rlp.encode([b"\x20\x12\x34", [b"v"]]), "value of node 0 is a list"),
        (rlp.encode([[b"\x20"], b"v"]), "path of node 0 is a list"),
        (rlp.encode([b"", b"v"]), "hex-prefix"),
        (rlp.encode([b"\x40\x12", b"v"]), "hex-prefix"),
        (rlp.encode([b"\x21\x12", b"v"]), "hex-prefix"),
        (rlp.encode([b"\x00", bytes(32)]), "extension without a path"),
        (rlp.encode([b"\x00\x12", b""]), "names a child by 0 bytes"),
        (rlp.encode([b"\x00\x12", b"x" * 31]), "names a child by 31 bytes"),
        (rlp.encode([b"\x00\x12", [b"\x20\x34", b"v"]]), "the branch that stands below an extension"),
        (rlp.encode([b"\x00\x12", [b"x" * 20, b"x" * 20]]), "a digest should stand for"),
        (rlp.encode([b""] * 17), "fewer than two"),
        (rlp.encode([b"", bytes(32)] + [b""] * 15), "fewer than two"),
        (rlp.encode([b"", b"x" * 33, b"y"] + [b""] * 14), "names a child by 33 bytes"),
        (rlp.encode([b"", bytes(32), bytes(32)] + [b""] * 14), "ends above"),
        (rlp.encode([b"x", b"y"] + [b""] * 14 + [[b"v"]]), "value of node 0 is a list"),
        (bytes.fromhex("c58220128100"), "its own encoding"),
        (b"\xf8\x05" + rlp.encode([b"\x20\x12\x34", b"v"])[1:], "shortest form"),
        (b"\xff" + b"\xff" * 8, "claims"),
        (b"\xf9\x00", "cut off"),
    ],
)
def test_malformed_nodes_are_named(node: bytes, message: str) -> None:
    with pytest.raises(ProofError, match=message) as caught:
        verify_opening(keccak256(node), b"\x12\x34", [node], keccak256)
    assert "\n" not in str(caught.value)


def test_a_short_node_may_not_stand_alone() -> None:
    """Two encodings of one trie would both have a root; only the one with the node inside its parent is the trie's."""
    leaf = rlp.encode([b"\x32\x34", b"v"])
    root = rlp.encode([b"", keccak256(leaf), keccak256(b"other")] + [b""] * 14)
    with pytest.raises(ProofError, match="so short"):
        verify_opening(keccak256(root), b"\x12\x34", [root, leaf], keccak256)


@pytest.mark.parametrize(
    "arguments", [(None, b"", []), (bytes(31), b"", []), (bytes(32), "", []), (bytes(32), b"", b"")]
)
def test_arguments_of_other_types_are_refused(arguments: Any) -> None:
    with pytest.raises(ProofError):
        verify_opening(*arguments)
    with pytest.raises(ProofError):
        verify_opening(EMPTY_ROOT, bytes(32), ["0x80"], keccak256)  # type: ignore[list-item]


# Accounts and storage -----------------------------------------------------------------------------------------------


def _matrix(rows: list[bytes], width: int) -> np.ndarray:
    return np.frombuffer(b"".join(rows), dtype=np.uint8).reshape(-1, width)


def _words(values: list[int]) -> np.ndarray:
    return _matrix([value.to_bytes(32, "big") for value in values], 32)


ADDRESSES = [bytes([i]) * 20 for i in range(40)]
SLOTS = {ADDRESSES[i]: {7 * j: (1 << (5 * j)) - 1 for j in range(1, 6 * i)} for i in (1, 2, 3)}
ABSENT = [b"\xee" * 20, b"\xdd" * 20]


def _state() -> State:
    accounts = Accounts(
        _matrix(ADDRESSES, 20),
        np.arange(40, dtype=np.uint64),
        _words([i**9 for i in range(40)]),
        _matrix([EMPTY_CODE_HASH] * 40, 32),
        np.ones(40, dtype=np.bool_),
    )
    rows = [(address, slot, word) for address, slots in SLOTS.items() for slot, word in slots.items()]
    cells = StorageCells(
        _matrix([row[0] for row in rows], 20), _words([row[1] for row in rows]), _words([row[2] for row in rows])
    )
    return State.genesis(Genesis(accounts, cells), KERNELS.kernels)


ASKED = [*ADDRESSES, *ABSENT]
ASKED_SLOTS = [(row, slot) for row in (0, 1, 2, 3, 40) for slot in (0, 7, 14, 35, 1 << 255)]


def _open(state: State) -> Any:
    return state.prove(
        _matrix(ASKED, 20),
        KERNELS.kernels,
        slots=_words([slot for _, slot in ASKED_SLOTS]),
        slot_account=np.array([row for row, _ in ASKED_SLOTS], dtype=np.int64),
    )


def test_accounts_and_slots_there_and_not_there(tmp_path: Path) -> None:
    state = _state()
    root, nodes = state.commit_root(KERNELS.kernels)
    with Store.create(tmp_path / "store", durable=False) as store:
        store.commit(0, root, nodes.digests, nodes.encodings)
        documents = []
        for source in (state, State.open(store), State.open(store, root, KERNELS.kernels)):
            proofs = _open(source)
            assert proofs.root == root
            documents.append([json.loads(json.dumps(eip1186(proofs, row))) for row in range(len(ASKED))])
    assert documents[0] == documents[1] == documents[2]
    for row, document in enumerate(documents[0]):
        opened = verify_account(root, document, keccak256)
        assert opened.address == ASKED[row] and opened.exists == (row < 40)
        assert (opened.nonce, opened.balance) == ((row, row**9) if row < 40 else (0, 0))
        assert opened.code_hash == EMPTY_CODE_HASH
        assert (opened.storage_hash == EMPTY_ROOT) == (ASKED[row] not in SLOTS)
        wanted = [slot for owner, slot in ASKED_SLOTS if owner == row]
        assert opened.slots == {slot: SLOTS.get(ASKED[row], {}).get(slot, 0) for slot in wanted}
    assert verify_account(root, documents[0][1]) == verify_account(root, documents[0][1], keccak256)


def test_the_golden_hash_is_what_is_used_by_default() -> None:
    state = _state()
    root, _ = state.commit_root(KERNELS.kernels)
    assert verify_account(root, eip1186(_open(state), 1)).slots[7] == 31


def test_proofs_of_an_old_root_and_of_changes_that_are_not_hashed() -> None:
    state = _state()
    first, _ = state.commit_root(KERNELS.kernels)
    diff = StateDiff(
        _matrix([ADDRESSES[1]], 20), np.ones(1, dtype=np.uint64), _words([1]), _matrix([EMPTY_CODE_HASH], 32),
        np.zeros(1, np.bool_), np.zeros(1, np.bool_),
        StorageCells(_matrix([ADDRESSES[1]], 20), _words([7]), _words([99])),
    )  # fmt: skip
    state.apply(diff, KERNELS.kernels)
    with pytest.raises(UsageError, match="commit_root first"):
        _open(state)
    second, _ = state.commit_root(KERNELS.kernels)
    document = eip1186(_open(state), 1)
    assert verify_account(second, document, keccak256).slots[7] == 99
    with pytest.raises(ProofError, match="not the root"):
        verify_account(first, document, keccak256)


def test_wrong_calls_of_prove() -> None:
    state = _state()
    state.commit_root(KERNELS.kernels)
    with pytest.raises(InputError, match="uint8"):
        state.prove(np.zeros((1, 32), dtype=np.uint8), KERNELS.kernels)
    for rows in ([1], [-1, 0], [0, 40]):
        with pytest.raises(InputError, match="2 slots"):
            state.prove(
                _matrix(ADDRESSES, 20), KERNELS.kernels, slots=_words([1, 2]), slot_account=np.array(rows, np.int64)
            )


def test_a_node_that_the_store_lacks(tmp_path: Path) -> None:
    state = _state()
    root, nodes = state.commit_root(KERNELS.kernels)
    with Store.create(tmp_path / "store", durable=False) as store:
        last = nodes.encodings.slice(nodes.count - 1, nodes.count)
        store.commit(0, root, nodes.digests[-1:], last)
        with pytest.raises(StoreError, match="no trie node"):
            _open(State.open(store))


def _changes(document: dict[str, Any]) -> list[dict[str, Any]]:
    """The document with one thing changed, each a lie or nonsense."""
    found = []

    def put(path: tuple[Any, ...], value: Any) -> None:
        changed = json.loads(json.dumps(document))
        at = changed
        for step in path[:-1]:
            at = at[step]
        if value is None:
            del at[path[-1]]
        else:
            at[path[-1]] = value
        found.append(changed)

    for name in ("address", "codeHash", "storageHash"):
        put((name,), "0x" + bytes(len(document[name]) // 2 - 1).hex())
    for name in ("balance", "nonce"):
        put((name,), hex(int(document[name], 16) + 1))
    for name in document:
        for value in (None, 5, [], {}, "", "0x", "0xg", "0x" + "0" * 5000, "0x٣", "0x  ", "-0x1", [["0x"]]):
            if document[name] != value and (name, value) not in (("nonce", "0x"), ("balance", "0x")):
                put((name,), value)
    put(("accountProof",), document["accountProof"][:-1])
    put(("accountProof",), document["accountProof"] * 2)
    put(("accountProof",), document["accountProof"] * 40)
    put(("storageProof", 1, "value"), hex(int(document["storageProof"][1]["value"], 16) + 1))
    put(("storageProof", 1, "value"), "0x0")
    put(("storageProof", 0, "value"), "0x1")  # that slot is proven to be absent
    put(("storageProof", 1, "key"), "0x1")
    put(("storageProof", 1, "proof"), document["storageProof"][0]["proof"])
    put(("storageProof", 0, "proof"), None)
    put(("storageProof", 0), 3)
    return found


def test_documents_with_one_thing_changed_are_refused() -> None:
    state = _state()
    root, _ = state.commit_root(KERNELS.kernels)
    document = eip1186(_open(state), 3)
    verify_account(root, document, keccak256)
    for changed in _changes(document):
        if changed.get("storageProof") == []:  # leaves out what was opened, which is no lie
            continue
        with pytest.raises(ProofError) as caught:
            verify_account(root, changed, keccak256)
        assert "\n" not in str(caught.value) and len(str(caught.value)) < 200


def test_absent_accounts_may_claim_nothing() -> None:
    state = _state()
    root, _ = state.commit_root(KERNELS.kernels)
    document = eip1186(_open(state), 40)
    zeros = "0x" + bytes(32).hex()
    assert not verify_account(root, document | {"codeHash": zeros, "storageHash": zeros}, keccak256).exists
    for claim in (
        {"nonce": "0x1"},
        {"balance": "0x1"},
        {"codeHash": "0x" + "11" * 32},
        {"storageHash": "0x" + "11" * 32},
    ):
        with pytest.raises(ProofError, match="absent"):
            verify_account(root, document | claim, keccak256)
    there = eip1186(_open(state), 3)
    for name in ("accountProof",):
        with pytest.raises(ProofError):
            verify_account(root, there | {name: document[name]}, keccak256)


@pytest.mark.parametrize(
    ("record", "message"),
    [
        (rlp.encode([b"", b"", EMPTY_ROOT]), "two hashes"),
        (rlp.encode([b"", b"", EMPTY_ROOT, b"x" * 31]), "two hashes"),
        (rlp.encode([b"\0", b"", EMPTY_ROOT, EMPTY_CODE_HASH]), "leading zeros"),
        (rlp.encode([b"1" * 9, b"", EMPTY_ROOT, EMPTY_CODE_HASH]), "at most 8 bytes"),
        (rlp.encode([[b""], b"", EMPTY_ROOT, EMPTY_CODE_HASH]), "is a list"),
        (b"x" * 40, "nothing behind"),
    ],
)
def test_records_that_are_no_account(record: bytes, message: str) -> None:
    address = b"\x05" * 20
    leaf = rlp.encode([b"\x20" + keccak256(address), record])
    document = {
        "address": "0x" + address.hex(), "accountProof": ["0x" + leaf.hex()], "balance": "0x0", "nonce": "0x0",
        "codeHash": "0x" + EMPTY_CODE_HASH.hex(), "storageHash": "0x" + EMPTY_ROOT.hex(), "storageProof": [],
    }  # fmt: skip
    with pytest.raises(ProofError, match=message):
        verify_account(keccak256(leaf), document, keccak256)


@pytest.mark.parametrize("value", [b"\x80", b"\xc0", b"\x82\x00\x01", b"\xa1" + b"1" * 33, b"\x01\x02"])
def test_values_that_are_no_word(value: bytes) -> None:
    leaf = rlp.encode([b"\x20" + keccak256(bytes(32)), value])
    address = b"\x05" * 20
    account = rlp.encode([b"\x20" + keccak256(address), rlp.encode([1, 0, keccak256(leaf), EMPTY_CODE_HASH])])
    document = {
        "address": "0x" + address.hex(), "accountProof": ["0x" + account.hex()], "balance": "0x0", "nonce": "0x1",
        "codeHash": "0x" + EMPTY_CODE_HASH.hex(), "storageHash": "0x" + keccak256(leaf).hex(),
        "storageProof": [{"key": "0x0", "value": "0x0", "proof": ["0x" + leaf.hex()]}],
    }  # fmt: skip
    with pytest.raises(ProofError):
        verify_account(keccak256(account), document, keccak256)


HEX = st.binary(max_size=40).map(lambda data: "0x" + data.hex())
JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=8), HEX),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=4), inner, max_size=4)),
    max_leaves=8,
)
FIELDS = ("address", "accountProof", "balance", "codeHash", "nonce", "storageHash", "storageProof")


@settings(max_examples=50)
@given(st.data())
def test_any_document_is_a_verdict_or_the_error(data: st.DataObject) -> None:
    state = _STATE
    document = eip1186(state, data.draw(st.sampled_from([0, 3, 41])))
    if data.draw(st.booleans()):
        document = {name: data.draw(JSON) for name in FIELDS}
    for _ in range(data.draw(st.integers(1, 3))):
        at: Any = document
        while True:
            steps = list(at) if isinstance(at, dict) else list(range(len(at)))
            if not steps:
                break
            step = data.draw(st.sampled_from(steps))
            if isinstance(at[step], dict | list) and data.draw(st.integers(0, 3)):
                at = at[step]
                continue
            at[step] = data.draw(JSON)
            break
    try:
        opened = verify_account(state.root, document, keccak256)
    except ProofError:
        return
    row = ASKED.index(opened.address)
    assert (opened.exists, opened.nonce) == (row < 40, row if row < 40 else 0)
    for slot, word in opened.slots.items():
        assert word == SLOTS.get(opened.address, {}).get(slot, 0)


def _proven_state() -> Any:
    state = _state()
    state.commit_root(KERNELS.kernels)
    return _open(state)


_STATE = _proven_state()
