from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
import rlp
from trie import HexaryTrie

from chaindp.chain.state import State, StateReader
from chaindp.chain.store import Store
from chaindp.chain.trie import EMPTY_ROOT
from chaindp.chain.types import EMPTY_CODE_HASH, Accounts, Genesis, Ragged, StateDiff, StorageCells
from chaindp.errors import InputError, StoreError
from trie_reference import ReferenceKernels, keccak256, reference_root

Model = dict[bytes, tuple[int, int, bytes, dict[bytes, int]]]  # address to nonce, balance, code hash, storage


def _matrix(rows: list[bytes], width: int) -> np.ndarray:
    return np.frombuffer(b"".join(rows), dtype=np.uint8).reshape(-1, width)


def _words(values: list[int]) -> np.ndarray:
    return _matrix([value.to_bytes(32, "big") for value in values], 32)


def _cells(rows: list[tuple[bytes, bytes, int]]) -> StorageCells:
    return StorageCells(
        _matrix([row[0] for row in rows], 20), _matrix([row[1] for row in rows], 32), _words([row[2] for row in rows])
    )


def _diff(
    accounts: dict[bytes, tuple[int, int, bytes] | None],
    cells: list[tuple[bytes, bytes, int]],
    cleared: set[bytes] | None = None,
    codes: dict[bytes, bytes] | None = None,
) -> StateDiff:
    fields = [account or (0, 0, bytes(32)) for account in accounts.values()]
    return StateDiff(
        address=_matrix(list(accounts), 20),
        nonce=np.array([field[0] for field in fields], dtype=np.uint64),
        balance=_words([field[1] for field in fields]),
        code_hash=_matrix([field[2] for field in fields], 32),
        deleted=np.array([account is None for account in accounts.values()], dtype=np.bool_),
        storage_cleared=np.array([address in (cleared or ()) for address in accounts], dtype=np.bool_),
        storage=_cells(cells),
        codes=codes or {},
    )


def _genesis(model: Model, codes: dict[bytes, bytes] | None = None) -> Genesis:
    accounts = Accounts(
        _matrix(list(model), 20),
        np.array([entry[0] for entry in model.values()], dtype=np.uint64),
        _words([entry[1] for entry in model.values()]),
        _matrix([entry[2] for entry in model.values()], 32),
        np.ones(len(model), dtype=np.bool_),
    )
    rows = [(address, slot, value) for address, entry in model.items() for slot, value in entry[3].items()]
    return Genesis(accounts, _cells(rows), codes or {})


def _model_root(model: Model, root_of: object = reference_root) -> bytes:
    records = {}
    for address, (nonce, balance, code_hash, storage) in model.items():
        slots = {keccak256(slot): rlp.encode(value) for slot, value in storage.items() if value}
        records[keccak256(address)] = rlp.encode([nonce, balance, root_of(slots), code_hash])  # type: ignore[operator]
    return root_of(records)  # type: ignore[operator, no-any-return]


def _peer_root(items: dict[bytes, bytes]) -> bytes:
    peer = HexaryTrie({})
    for key, value in items.items():
        peer[key] = value
    return peer.root_hash


def _random_slots(rng: np.random.Generator, count: int) -> dict[bytes, int]:
    return {rng.bytes(32): int(rng.integers(0, 1 << 40)) for _ in range(count)}


def _random_model(rng: np.random.Generator, count: int) -> Model:
    return {
        rng.bytes(20): (
            int(rng.integers(0, 300)),
            int.from_bytes(rng.bytes(int(rng.integers(0, 33))), "big"),
            EMPTY_CODE_HASH if rng.random() < 0.7 else rng.bytes(32),
            _random_slots(rng, int(rng.integers(0, 20)) if rng.random() < 0.4 else 0),
        )
        for _ in range(count)
    }


def _random_diff(rng: np.random.Generator, model: Model) -> StateDiff:
    """A diff of the kinds that a block makes, put into ``model`` too."""
    known = list(model)
    accounts: dict[bytes, tuple[int, int, bytes] | None] = {}
    cells: list[tuple[bytes, bytes, int]] = []
    cleared: set[bytes] = set()
    chosen = [known[int(i)] for i in rng.permutation(len(known))[: int(rng.integers(0, 12))]]
    for address in [*chosen, *(rng.bytes(20) for _ in range(int(rng.integers(0, 4))))]:
        kind = rng.random()
        if kind < 0.2:
            accounts[address] = None
            model.pop(address, None)
            if rng.random() < 0.3:
                cells.append((address, rng.bytes(32), 5))  # written, then destroyed: must not come back
            continue
        nonce, balance, code_hash, storage = model.get(address, (0, 0, EMPTY_CODE_HASH, {}))
        storage = dict(storage)
        if kind < 0.35:
            cleared.add(address)
            storage = {}
        if rng.random() < 0.6:
            slots = list(storage)[: int(rng.integers(0, 10))] + [rng.bytes(32) for _ in range(int(rng.integers(0, 5)))]
            for slot in slots:
                storage[slot] = 0 if rng.random() < 0.5 else int.from_bytes(rng.bytes(int(rng.integers(1, 33))), "big")
                cells.append((address, slot, storage[slot]))
        accounts[address] = (nonce + 1, balance // 2 + 7, code_hash)
        model[address] = (nonce + 1, balance // 2 + 7, code_hash, {k: v for k, v in storage.items() if v})
    order = rng.permutation(len(cells))
    return _diff(accounts, [cells[int(i)] for i in order], cleared)


@pytest.mark.parametrize("seed", range(6))
def test_random_blocks_match_a_rebuild(seed: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(seed)
    kernels = ReferenceKernels()
    model = _random_model(rng, 60)
    state = State.genesis(_genesis(model), kernels.kernels)
    roots = []
    with Store.create(tmp_path / "store", durable=False) as store:
        store.cache.limit = 3000  # far less than the state: nodes leave and are read again
        for block in range(12):
            if block:
                for _ in range(int(rng.integers(1, 3))):
                    state.apply(_random_diff(rng, model), kernels.kernels)
            root, nodes = state.commit_root(kernels.kernels)
            assert root == _model_root(model)
            store.commit(block, root, nodes.digests, nodes.encodings, nodes.codes)
            roots.append((root, dict(model)))
            if rng.random() < 0.4:
                state = State.open(store)
        assert _model_root(model, _peer_root) == root
        _compare(store, state, roots[-1][1], root, kernels)
        for root, old in roots[::4]:  # an archive: every committed block can be read
            _compare(store, State.open(store, root), old, root, kernels)


def _compare(store: Store, state: State, model: Model, root: bytes, kernels: ReferenceKernels) -> None:
    reader = StateReader(store, root, kernels.kernels)
    addresses = [*model, b"\x01" * 20]
    cells = [(address, slot, value) for address, entry in model.items() for slot, value in entry[3].items()]
    cells += [(addresses[0], b"\x02" * 32, 0), (addresses[-1], b"\x02" * 32, 0)]
    for accounts in (reader.accounts(_matrix(addresses, 20)), state.accounts(_matrix(addresses, 20), kernels.kernels)):
        assert accounts.exists.tolist() == [True] * len(model) + [False]
        assert accounts.nonce.tolist() == [*(entry[0] for entry in model.values()), 0]
        assert accounts.balance.tobytes() == _words([*(entry[1] for entry in model.values()), 0]).tobytes()
        assert accounts.code_hash.tobytes() == b"".join(entry[2] for entry in model.values()) + bytes(32)
    asked = _cells(cells)
    assert reader.storage(asked.address, asked.slot).tobytes() == asked.value.tobytes()
    assert state.storage(asked.address, asked.slot, kernels.kernels).tobytes() == asked.value.tobytes()
    assert store.cache.size <= store.cache.limit


def test_yellow_paper_record() -> None:
    kernels = ReferenceKernels()
    address = bytes(19) + b"\x01"
    state = State.genesis(_genesis({address: (0, 0, EMPTY_CODE_HASH, {})}), kernels.kernels)
    root, nodes = state.commit_root(kernels.kernels)
    record = rlp.encode([0, 0, EMPTY_ROOT, EMPTY_CODE_HASH])
    assert nodes.count == 1 and nodes.encodings.item(0).endswith(record)
    assert root == reference_root({keccak256(address): record})


def test_storage_tries_are_hashed_in_one_call() -> None:
    rng = np.random.default_rng(1)
    model = {rng.bytes(20): (1, 1, EMPTY_CODE_HASH, {rng.bytes(32): 7 for _ in range(9)}) for _ in range(40)}
    kernels = ReferenceKernels()
    state = State.genesis(_genesis(model), kernels.kernels)
    assert state.commit_root(kernels.kernels)[0] == _model_root(model)
    assert kernels.batches == 2


def test_failed_kernel_can_be_repeated_and_no_node_is_lost(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    kernels = ReferenceKernels()
    model = _random_model(rng, 30)
    state = State.genesis(_genesis(model), kernels.kernels)
    real = kernels.trie_hash
    calls = []

    def fails_at_the_second_call(*args: np.ndarray) -> np.ndarray:
        calls.append(1)
        if len(calls) == 2:
            raise RuntimeError("the device is gone")
        return real(*args)

    kernels.trie_hash = fails_at_the_second_call  # type: ignore[method-assign]
    with pytest.raises(RuntimeError):
        state.commit_root(kernels.kernels)
    root, nodes = state.commit_root(kernels.kernels)
    assert root == _model_root(model)
    with Store.create(tmp_path / "store", durable=False) as store:
        store.commit(0, root, nodes.digests, nodes.encodings)
        _compare(store, State.open(store), model, root, kernels)


def test_codes_travel_with_the_commit(tmp_path: Path) -> None:
    kernels = ReferenceKernels()
    code = b"\x60\x00"
    address = b"\x05" * 20
    genesis = _genesis({address: (1, 0, keccak256(code), {})}, {keccak256(code): code})
    state = State.genesis(genesis, kernels.kernels)
    root, nodes = state.commit_root(kernels.kernels)
    with Store.create(tmp_path / "store", durable=False) as store:
        store.commit(0, root, nodes.digests, nodes.encodings, nodes.codes)
        reader = StateReader(store, root, kernels.kernels)
        assert reader.code(keccak256(code)) == code
        assert reader.code(EMPTY_CODE_HASH) == b""
        with pytest.raises(StoreError, match="no code"):
            reader.code(bytes(32))
    assert state.commit_root(kernels.kernels)[1].codes == {}


def test_reader_in_a_thread_while_the_state_changes(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    kernels = ReferenceKernels()
    model = _random_model(rng, 200)
    state = State.genesis(_genesis(model), kernels.kernels)
    root, nodes = state.commit_root(kernels.kernels)
    with Store.create(tmp_path / "store", durable=False) as store:
        store.commit(0, root, nodes.digests, nodes.encodings)
        before = dict(model)
        stop = threading.Event()
        rounds, failures = [], []

        def read() -> None:
            addresses = _matrix(list(before), 20)
            balances = _words([entry[1] for entry in before.values()]).tobytes()
            while not stop.is_set():
                reader = StateReader(store, root, kernels.kernels)
                if reader.accounts(addresses).balance.tobytes() != balances:
                    failures.append("a balance changed under a reader of an old root")
                rounds.append(1)

        thread = threading.Thread(target=read)
        thread.start()
        for block in range(1, 25):
            state.apply(_random_diff(rng, model), kernels.kernels)
            new_root, nodes = state.commit_root(kernels.kernels)
            store.commit(block, new_root, nodes.digests, nodes.encodings, {bytes([block]) * 32: rng.bytes(1 << 20)})
        stop.set()
        thread.join()
        assert not failures and rounds


def test_damaged_value_is_noticed_where_asked_for(tmp_path: Path) -> None:
    kernels = ReferenceKernels()
    address = b"\x05" * 20
    state = State.genesis(_genesis({address: (1, 1000, EMPTY_CODE_HASH, {})}), kernels.kernels)
    root, nodes = state.commit_root(kernels.kernels)
    nodes.encodings.data[-66 - 2] ^= 1  # a bit of the balance: still well-formed
    with Store.create(tmp_path / "store", durable=False) as store:
        store.commit(0, root, nodes.digests, nodes.encodings)
        asked = _matrix([address], 20)
        assert State.open(store, root).accounts(asked, kernels.kernels).balance.tobytes() != _words([1000]).tobytes()
        with pytest.raises(StoreError, match=f"{root.hex()} .* is damaged"):
            State.open(store, root, kernels.kernels).accounts(asked, kernels.kernels)


@pytest.mark.parametrize("record", [b"\xc0", b"\xc2\x01\x02", bytes(70), rlp.encode([1, 2, bytes(32), bytes(31)])])
def test_malformed_account(tmp_path: Path, record: bytes) -> None:
    kernels = ReferenceKernels()
    nodes: dict[bytes, bytes] = {}
    root = reference_root({keccak256(b"\x05" * 20): record}, nodes)
    with Store.create(tmp_path / "store", durable=False) as store:
        digests = np.frombuffer(b"".join(nodes), dtype=np.uint8).reshape(-1, 32)
        store.commit(0, root, digests, Ragged.from_items(nodes.values()))
        asked = _matrix([b"\x05" * 20], 20)
        with pytest.raises(StoreError, match="malformed"):
            State.open(store).accounts(asked, kernels.kernels)
        with pytest.raises(StoreError, match="malformed"):
            StateReader(store, root, kernels.kernels).accounts(asked)


def test_wrong_diffs() -> None:
    kernels = ReferenceKernels().kernels
    state = State.genesis(_genesis({}), kernels)
    one = (1, 1, EMPTY_CODE_HASH)
    twice = _diff({b"a" * 20: one, b"b" * 20: one}, [])
    twice.address = np.concatenate([twice.address[:1]] * 2)
    with pytest.raises(InputError, match="twice"):
        state.apply(twice, kernels)
    with pytest.raises(InputError, match="not in it"):
        state.apply(_diff({b"a" * 20: one}, [(b"b" * 20, bytes(32), 1)]), kernels)
    longer = _diff({b"a" * 20: one}, [])
    longer.nonce = np.zeros(2, dtype=np.uint64)
    with pytest.raises(InputError, match="differ in length"):
        state.apply(longer, kernels)
    narrow = _diff({b"a" * 20: one}, [])
    narrow.address = np.zeros((1, 19), dtype=np.uint8)
    with pytest.raises(InputError, match="uint8"):
        state.apply(narrow, kernels)
    assert state.commit_root(kernels)[0] == EMPTY_ROOT
