from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import lmdb
import numpy as np
import pytest

from chaindp.chain.state import State
from chaindp.chain.store import Store
from chaindp.chain.trie import Trie
from chaindp.chain.types import Ragged
from chaindp.errors import StoreError
from trie_reference import ReferenceKernels, keccak256, reference_root


def _nodes(*encodings: bytes) -> tuple[np.ndarray, Ragged]:
    digests = b"".join(keccak256(encoding) for encoding in encodings)
    return np.frombuffer(digests, dtype=np.uint8).reshape(-1, 32), Ragged.from_items(encodings)


def test_what_goes_in_comes_out(tmp_path: Path) -> None:
    encodings = [bytes([i]) * (i + 1) for i in range(200)]
    with Store.create(tmp_path / "s") as store:
        with pytest.raises(StoreError, match="no block yet"):
            store.head()
        store.commit(7, b"r" * 32, *_nodes(*encodings), {b"c" * 32: b"code"}, b"header")
    with Store.open(tmp_path / "s") as store:
        assert store.head() == (7, b"r" * 32)
        assert store.block(7) == (b"r" * 32, b"header")
        assert store.get_code(b"c" * 32) == b"code"
        assert store.count_nodes() == 200
        wanted = [keccak256(encoding) for encoding in reversed(encodings)]
        assert store.get_nodes(wanted).items() == encodings[::-1]
        rows = np.frombuffer(b"".join(wanted), dtype=np.uint8).reshape(-1, 32)
        assert store.get_nodes(rows).items() == encodings[::-1]
        assert store.get_node(wanted[3]) == encodings[-4]
        with store.reading() as fetch:
            assert fetch(wanted[0]) == encodings[-1]
            with pytest.raises(StoreError, match="no trie node"):
                fetch(bytes(32))


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    with Store.create(tmp_path / "s") as store:
        store.commit(0, bytes(32), *_nodes(b"x"))
        for call in (store.get_node, store.get_code, lambda key: store.get_nodes([keccak256(b"x"), key])):
            with pytest.raises(StoreError, match="ab" * 32):
                call(b"\xab" * 32)
        with pytest.raises(StoreError, match="no block 1"):
            store.block(1)


def test_old_nodes_stay_and_the_head_moves(tmp_path: Path) -> None:
    with Store.create(tmp_path / "s", durable=False) as store:
        for block in range(5):
            store.commit(block, bytes([block]) * 32, *_nodes(b"node %d" % block))
        assert store.head() == (4, bytes([4]) * 32)
        assert store.get_node(keccak256(b"node 0")) == b"node 0"
        assert store.block(2)[0] == bytes([2]) * 32


def test_map_grows_without_losing_the_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Store.create(tmp_path / "s", durable=False, map_size=1 << 20) as store:
        grown = []
        real = store._grow
        monkeypatch.setattr(store, "_grow", lambda wanted: (grown.append(wanted), real(64 << 10))[1])
        encodings = [os.urandom(2000) for _ in range(3000)]
        store.commit(1, b"r" * 32, *_nodes(*encodings))
        # One step ahead of time, and then again each time that LMDB reports the map full.
        assert len(grown) > 3
        assert store.get_nodes([keccak256(encoding) for encoding in encodings]).items() == encodings
        assert store.head() == (1, b"r" * 32)


def test_snapshot_is_independent(tmp_path: Path) -> None:
    with Store.create(tmp_path / "s", durable=False) as store:
        store.commit(1, b"1" * 32, *_nodes(b"first"))
        store.snapshot(tmp_path / "copy")
        store.commit(2, b"2" * 32, *_nodes(b"second"))
        with pytest.raises(StoreError, match="already"):
            store.snapshot(tmp_path / "copy")
    with Store.open(tmp_path / "copy") as copy:
        assert copy.head() == (1, b"1" * 32)
        assert copy.get_node(keccak256(b"first")) == b"first"
        with pytest.raises(StoreError, match="no trie node"):
            copy.get_node(keccak256(b"second"))
        copy.commit(2, b"3" * 32, *_nodes(b"other"))
    with Store.open(tmp_path / "s") as store:
        assert store.head() == (2, b"2" * 32)


def test_failed_commit_changes_nothing(tmp_path: Path) -> None:
    with Store.create(tmp_path / "s", durable=False) as store:
        store.commit(1, b"1" * 32, *_nodes(b"first"))
        with pytest.raises(StoreError, match="could not be committed"):
            store.commit(2, b"2" * 32, *_nodes(b"second"), {b"": b"an empty key is not allowed"})
        assert store.head() == (1, b"1" * 32)
        with pytest.raises(StoreError, match="no trie node"):
            store.get_node(keccak256(b"second"))
        with pytest.raises(StoreError, match="32 bytes"):
            store.commit(2, b"short", *_nodes(b"second"))


def test_missing_foreign_and_damaged_stores(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="there is no store"):
        Store.open(tmp_path / "nothing")
    assert not (tmp_path / "nothing").exists()

    (tmp_path / "text").mkdir()
    for content in (b"", b"not a database", b"x" * 100_000):
        (tmp_path / "text" / "data.mdb").write_bytes(content)
        with pytest.raises(StoreError, match=r"cut off|no readable store"):
            Store.open(tmp_path / "text")
        assert (tmp_path / "text" / "data.mdb").read_bytes() == content

    with lmdb.open(str(tmp_path / "foreign")) as env, env.begin(write=True) as txn:
        txn.put(b"key", b"value")
    with pytest.raises(StoreError, match="not a store of this project"):
        Store.open(tmp_path / "foreign")

    Store.create(tmp_path / "old").close()
    with lmdb.open(str(tmp_path / "old"), max_dbs=4) as env:
        meta = env.open_db(b"meta")
        with env.begin(write=True) as txn:
            txn.put(b"format", b"chaindp-store-0", db=meta)
    with pytest.raises(StoreError, match="format b'chaindp-store-0'"):
        Store.open(tmp_path / "old")

    with pytest.raises(StoreError, match="already"):
        Store.create(tmp_path / "old")
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StoreError, match="can be created"):
        Store.create(tmp_path / "file" / "below")


def test_cut_off_store_is_refused(tmp_path: Path) -> None:
    with Store.create(tmp_path / "s") as store:
        store.commit(1, bytes(32), *_nodes(*(os.urandom(500) for _ in range(2000))))
    whole = (tmp_path / "s" / "data.mdb").read_bytes().rstrip(b"\0")
    for size in (len(whole) - 4096, len(whole) // 2, 20_000, 8192, 100):
        os.truncate(tmp_path / "s" / "data.mdb", size)
        with pytest.raises(StoreError, match="cut off"):
            Store.open(tmp_path / "s")


def test_closed_store(tmp_path: Path) -> None:
    store = Store.create(tmp_path / "s")
    store.close()
    store.close()
    for call in (store.head, lambda: store.commit(1, bytes(32), *_nodes(b"x")), lambda: store.get_node(bytes(32))):
        with pytest.raises(StoreError, match="closed"):
            call()


COMMITTER = """
import sys
import numpy as np
from chaindp.chain.store import Store
from chaindp.chain.trie import Trie
from chaindp.chain.types import Ragged
from trie_reference import ReferenceKernels

kernels = ReferenceKernels()
with Store.open(sys.argv[1]) as store:
    block, root = store.head()
    trie = Trie(root, store.get_nodes)
    while True:
        block += 1
        keys = [b"%d-%d" % (block, i) for i in range(40)]
        trie.update(Ragged.from_items(keys), Ragged.from_items([b"v" * 50 + key for key in keys]))
        root, nodes = trie.hash(kernels.kernels)
        store.commit(block, root, nodes.digests, nodes.encodings, header=b"h%d" % block)
        print(block, flush=True)
"""


def test_killed_at_any_instant_it_opens_at_a_committed_block(tmp_path: Path) -> None:
    path = tmp_path / "s"
    kernels = ReferenceKernels()
    with Store.create(path) as store:
        store.commit(0, reference_root({}), *_nodes())
    model: dict[bytes, bytes] = {}
    last = 0
    rng = random.Random(0)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    for _ in range(4):
        with subprocess.Popen(
            [sys.executable, "-c", COMMITTER, str(path)], stdout=subprocess.PIPE, text=True, env=environment
        ) as process:
            assert process.stdout is not None
            seen = int(process.stdout.readline() or -1)
            assert seen == last + 1, "the committer did not start"
            time.sleep(rng.uniform(0.0, 0.12))
            process.kill()
            seen = int(([str(seen), *process.stdout.read().split()])[-1])
        with Store.open(path) as store:
            block, root = store.head()
            # What was reported as committed is there; at most one more, whose report did not get out.
            assert seen <= block <= seen + 1
            assert store.block(block) == (root, b"h%d" % block)
            for number in range(last + 1, block + 1):
                model |= {(key := b"%d-%d" % (number, i)): b"v" * 50 + key for i in range(40)}
            last = block
            assert reference_root(model) == root
            trie = Trie(root, store.get_nodes)
            assert trie.get(Ragged.from_items(model))[0].items() == list(model.values())
    assert last >= 4
    with Store.open(path) as store:
        State.open(store).commit_root(kernels.kernels)
