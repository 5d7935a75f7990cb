from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rocksdict import Options, Rdict

from chaindp.chain.state import State
from chaindp.chain.store import Store
from chaindp.chain.trie import Trie
from chaindp.chain.types import Ragged
from chaindp.errors import StoreError
from trie_reference import ReferenceKernels, keccak256, reference_root


def _nodes(*encodings: bytes) -> tuple[np.ndarray, Ragged]:
    digests = b"".join(keccak256(encoding) for encoding in encodings)
    return np.frombuffer(digests, dtype=np.uint8).reshape(-1, 32), Ragged.from_items(encodings)


def _node(store: Store, digest: bytes) -> bytes:
    return store.get_nodes([digest]).item(0)


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
        wanted = [keccak256(encoding) for encoding in reversed(encodings)]
        assert store.get_nodes(wanted).items() == encodings[::-1]
        rows = np.frombuffer(b"".join(wanted), dtype=np.uint8).reshape(-1, 32)
        assert store.get_nodes(rows).items() == encodings[::-1]
        assert _node(store, wanted[3]) == encodings[-4]
        with store.reading() as fetch:
            assert fetch(wanted[0]) == encodings[-1]
            with pytest.raises(StoreError, match="no trie node"):
                fetch(bytes(32))


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    with Store.create(tmp_path / "s") as store:
        store.commit(0, bytes(32), *_nodes(b"x"))
        for call in (store.get_code, lambda key: store.get_nodes([keccak256(b"x"), key])):
            with pytest.raises(StoreError, match="ab" * 32):
                call(b"\xab" * 32)
        with pytest.raises(StoreError, match="no block 1"):
            store.block(1)


def test_old_nodes_stay_and_the_head_moves(tmp_path: Path) -> None:
    with Store.create(tmp_path / "s", durable=False) as store:
        for block in range(5):
            store.commit(block, bytes([block]) * 32, *_nodes(b"node %d" % block))
        assert store.head() == (4, bytes([4]) * 32)
        assert _node(store, keccak256(b"node 0")) == b"node 0"
        assert store.block(2)[0] == bytes([2]) * 32


def test_a_node_is_found_by_its_digest_only(tmp_path: Path) -> None:
    """Heads, blocks and codes are in the same database: none of their keys may pass for a digest, or the reverse."""
    with Store.create(tmp_path / "s", durable=False) as store:
        store.commit(3, b"r" * 32, *_nodes(b"x"), {b"c" * 32: b"code"})
        for key in (b"head", b"c" + b"c" * 32, b"b" + bytes(7) + b"\3", b""):
            with pytest.raises(StoreError, match="32 bytes"):
                store.get_nodes([keccak256(b"x"), key])
            with store.reading() as fetch, pytest.raises(StoreError, match="no trie node"):
                fetch(key)
        with pytest.raises(StoreError, match="no code"):
            store.get_code(keccak256(b"x")[1:])
        for number in (-1, 1 << 64):
            with pytest.raises(StoreError, match="no block"):
                store.block(number)
        assert store.get_nodes([]).count == 0


@pytest.mark.parametrize("reopen", [False, True])
def test_many_blocks_of_many_sizes(tmp_path: Path, reopen: bool) -> None:
    rng = random.Random(5)
    model: dict[bytes, bytes] = {}
    store = Store.create(tmp_path / "s", durable=False)
    # Over 256 versions of the head in memory: from there on RocksDB keeps a bucket of its hash table in another form.
    for block in range(300):
        count = 510 + block // 50 if block % 50 == 0 else rng.randrange(5)
        encodings = [rng.randbytes(rng.randrange(1, 600)) for _ in range(count)]
        digests, ragged = _nodes(*encodings)
        # A slice of a larger buffer, as the encodings of a block may be.
        if encodings:
            digests, ragged = digests[1:], ragged.slice(1, len(encodings))
        store.commit(block, rng.randbytes(32), digests, ragged, header=b"h%d" % block)
        model |= {keccak256(encoding): encoding for encoding in encodings[1:]}
        if reopen and block % 60 == 0:
            store.close()
            store = Store.open(tmp_path / "s", durable=False)
    with store:
        assert store.get_nodes(list(model)).items() == list(model.values())
        with store.reading() as fetch:
            assert [fetch(digest) for digest in model] == list(model.values())
        assert store.head()[0] == 299
        for block in range(300):
            assert store.block(block)[1] == b"h%d" % block


def test_readers_in_threads_while_blocks_are_committed(tmp_path: Path) -> None:
    encodings = [b"%d" % i * 30 for i in range(3000)]
    digests = [keccak256(encoding) for encoding in encodings]
    wrong: list[object] = []
    rounds = [0, 0]
    stop = threading.Event()
    with Store.create(tmp_path / "s") as store:
        store.commit(0, bytes(32), *_nodes(*encodings))

        def read(number: int) -> None:
            try:
                while not stop.is_set():
                    if store.get_nodes(digests).items() != encodings:
                        wrong.append("get_nodes")
                    with store.reading() as fetch:
                        wrong.extend(d for d, e in zip(digests, encodings, strict=True) if fetch(d) != e)
                    head, root = store.head()
                    # Whatever the head names is there in full.
                    if store.block(head)[0] != root or (head and _node(store, root) != b"first of %d" % head):
                        wrong.append(head)
                    rounds[number] += 1
            except Exception as error:
                wrong.append(error)

        # Made before the readers start: the reference hash would wait for the interpreter at each small call.
        prepared = []
        for block in range(1, 9):
            fresh = [b"first of %d" % block, *(os.urandom(300) for _ in range(1000))]
            prepared.append((block, keccak256(fresh[0]), *_nodes(*fresh)))
        threads = [threading.Thread(target=read, args=(number,)) for number in range(2)]
        for thread in threads:
            thread.start()
        for commit in prepared:
            store.commit(*commit)
        while min(rounds) < 3 and not wrong:
            time.sleep(0.01)
        stop.set()
        for thread in threads:
            thread.join()
    assert not wrong


def test_snapshot_is_independent(tmp_path: Path) -> None:
    with Store.create(tmp_path / "s", durable=False) as store:
        store.commit(1, b"1" * 32, *_nodes(b"first"))
        store.snapshot(tmp_path / "copy")
        store.commit(2, b"2" * 32, *_nodes(b"second"))
        with pytest.raises(StoreError, match="already"):
            store.snapshot(tmp_path / "copy")
    with Store.open(tmp_path / "copy") as copy:
        assert copy.head() == (1, b"1" * 32)
        assert _node(copy, keccak256(b"first")) == b"first"
        with pytest.raises(StoreError, match="no trie node"):
            _node(copy, keccak256(b"second"))
        copy.commit(2, b"3" * 32, *_nodes(b"other"))
        with pytest.raises(StoreError, match="no snapshot"):
            copy.snapshot(tmp_path)
    with Store.open(tmp_path / "s") as store:
        assert store.head() == (2, b"2" * 32)
        (tmp_path / "empty").mkdir()
        store.snapshot(tmp_path / "empty")
    shutil.rmtree(tmp_path / "s")
    with Store.open(tmp_path / "copy") as copy:
        assert _node(copy, keccak256(b"first")) == b"first"


def test_malformed_commit_changes_nothing(tmp_path: Path) -> None:
    with Store.create(tmp_path / "s", durable=False) as store:
        store.commit(1, b"1" * 32, *_nodes(b"first"))
        digests, encodings = _nodes(b"second")
        with pytest.raises(StoreError, match="could not be committed"):
            store.commit(2, b"2" * 32, digests, encodings, {b"": b"an empty key is not allowed"})
        for block, root, rows in ((2, b"short", digests), (-1, bytes(32), digests), (2, bytes(32), digests[:0])):
            with pytest.raises(StoreError, match="32 bytes"):
                store.commit(block, root, rows, encodings)
        assert store.head() == (1, b"1" * 32)
        with pytest.raises(StoreError, match="no trie node"):
            _node(store, keccak256(b"second"))
        store.commit(2, b"2" * 32, digests, encodings)


class FailingDisk:
    """A database that writes ``left`` batches and then fails."""

    def __init__(self, db: Rdict, left: int) -> None:
        self.db, self.left, self.sizes = db, left, []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.db, name)

    def write(self, batch: Any) -> None:
        self.sizes.append(len(batch))
        self.left -= 1
        if self.left < 0:
            raise Exception("IO error: No space left on device")  # what rocksdict raises is no narrower
        self.db.write(batch)

    def flush_wal(self, sync: bool) -> None:
        assert sync
        raise Exception("IO error: fdatasync\nInput/output error")


@pytest.mark.parametrize("batches", [0, 1, 2, 3])
def test_disk_that_fails_in_a_commit(tmp_path: Path, batches: int) -> None:
    encodings = [os.urandom(100) for _ in range(1000)]
    store = Store.create(tmp_path / "s")
    store.commit(1, b"1" * 32, *_nodes(b"first"))
    disk = store._db = FailingDisk(store._db, batches)
    with pytest.raises(StoreError, match="block 2 could not be committed") as caught:
        store.commit(2, b"2" * 32, *_nodes(*encodings), {b"c" * 32: b"code"})
    assert "\n" not in str(caught.value)
    assert disk.sizes == [512, 488, 3][: batches + 1]
    for call in (store.head, lambda: store.commit(2, bytes(32), *_nodes(b"x"))):
        with pytest.raises(StoreError, match="open it again"):
            call()
    store.close()
    with Store.open(tmp_path / "s") as store:
        if batches < 3:
            assert store.head() == (1, b"1" * 32)
            with pytest.raises(StoreError, match="no block 2"):
                store.block(2)
            store.commit(2, b"2" * 32, *_nodes(*encodings))
        # Written in full, and only not known to be on disk: here the second block may be the head, if it is whole.
        assert store.head() == (2, b"2" * 32)
        assert store.get_nodes([keccak256(encoding) for encoding in encodings]).items() == encodings


def test_missing_and_foreign_stores(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="there is no store"):
        Store.open(tmp_path / "nothing")
    assert not (tmp_path / "nothing").exists()

    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "data.mdb").write_bytes(b"not a database")
    with pytest.raises(StoreError, match="there is no store"):
        Store.open(tmp_path / "text")
    assert [path.name for path in (tmp_path / "text").iterdir()] == ["data.mdb"]

    with Rdict(str(tmp_path / "foreign"), Options(raw_mode=True)) as db:
        db[b"key"] = b"value"
    before = sorted(path.name for path in (tmp_path / "foreign").iterdir())
    with pytest.raises(StoreError, match="there is no store"):
        Store.open(tmp_path / "foreign")
    with pytest.raises(StoreError, match="already"):
        Store.create(tmp_path / "foreign")
    assert sorted(path.name for path in (tmp_path / "foreign").iterdir()) == before

    Store.create(tmp_path / "old").close()
    (tmp_path / "old" / "chaindp-store").write_bytes(b"chaindp-store-0")
    with pytest.raises(StoreError, match="format b'chaindp-store-0'"):
        Store.open(tmp_path / "old")
    with pytest.raises(StoreError, match="already"):
        Store.create(tmp_path / "old")
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StoreError, match="can be created"):
        Store.create(tmp_path / "file" / "below")
    with pytest.raises(StoreError, match="there is no store"):
        Store.open(tmp_path / "file")


def test_a_store_is_open_once(tmp_path: Path) -> None:
    with Store.create(tmp_path / "s") as store:
        store.commit(1, bytes(32), *_nodes(b"x"))
        with pytest.raises(StoreError, match="open already"):
            Store.open(tmp_path / "s")
        code = "import sys; from chaindp.chain.store import Store; Store.open(sys.argv[1])"
        done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "s")], capture_output=True, text=True)
        assert "StoreError" in done.stderr
        assert "open already" in done.stderr
        assert store.head()[0] == 1
    Store.open(tmp_path / "s").close()


def _closed_store(path: Path) -> Path:
    """The table file of a closed store with one block."""
    with Store.create(path) as store:
        store.commit(1, bytes(32), *_nodes(*(bytes([i]) * 500 for i in range(200))))
    (table,) = path.glob("*.sst")
    return table


def test_damaged_files(tmp_path: Path) -> None:
    table = _closed_store(tmp_path / "s")
    whole = table.read_bytes()
    for size in (len(whole) - 1, len(whole) // 2, 10, 0):
        table.write_bytes(whole[:size])
        with pytest.raises(StoreError, match="no readable store"):
            Store.open(tmp_path / "s")
    table.unlink()
    with pytest.raises(StoreError, match="no readable store"):
        Store.open(tmp_path / "s")
    for name in ("CURRENT", "MANIFEST-*"):
        folder = tmp_path / f"without {name[:7]}"
        _closed_store(folder)
        (file,) = folder.glob(name)
        file.write_bytes(b"garbage")
        with pytest.raises(StoreError, match="no readable store") as caught:
            Store.open(folder)
        assert "\n" not in str(caught.value)
        file.unlink()
        with pytest.raises(StoreError, match="no readable store"):
            Store.open(folder)


def test_flipped_bit_is_noticed_by_whoever_reads_it(tmp_path: Path) -> None:
    table = _closed_store(tmp_path / "s")
    content = bytearray(table.read_bytes())
    encoding = bytes([77]) * 500
    at = content.index(encoding)
    content[at + 100] ^= 4
    table.write_bytes(content)
    digest = keccak256(encoding)
    with Store.open(tmp_path / "s") as store:
        with pytest.raises(StoreError, match="could not be read"):
            store.get_nodes([digest])
        with store.reading() as fetch, pytest.raises(StoreError, match="could not be read"):
            fetch(digest)


def test_log_that_is_cut_off_or_damaged_opens_at_an_earlier_block(tmp_path: Path) -> None:
    rng = random.Random(3)
    blocks = [[rng.randbytes(200) for _ in range(700)] for _ in range(6)]
    store = Store.create(tmp_path / "s")
    for number, encodings in enumerate(blocks):
        store.commit(number, keccak256(encodings[-1]), *_nodes(*encodings), header=b"h%d" % number)
    shutil.copytree(tmp_path / "s", tmp_path / "killed")
    store.close()
    (log,) = (path for path in (tmp_path / "killed").glob("*.log") if path.stat().st_size)
    whole = log.read_bytes()
    heads = []
    for size in [len(whole), *sorted((rng.randrange(len(whole) // 5, len(whole)) for _ in range(8)), reverse=True)]:
        for damage in (False, True):
            shutil.rmtree(tmp_path / "copy", ignore_errors=True)
            shutil.copytree(tmp_path / "killed", tmp_path / "copy")
            content = bytearray(whole if damage else whole[:size])
            if damage and size < len(whole):
                content[size : size + 40] = bytes(40)
            (tmp_path / "copy" / log.name).write_bytes(content)
            with Store.open(tmp_path / "copy") as copy:
                head, root = copy.head()
                heads.append(head)
                assert copy.block(head) == (root, b"h%d" % head)
                with pytest.raises(StoreError, match="no block"):
                    copy.block(head + 1)
                for encodings in blocks[: head + 1]:
                    assert copy.get_nodes([keccak256(encoding) for encoding in encodings]).items() == encodings
                assert root == keccak256(blocks[head][-1])
    assert heads[0] == 5
    assert len(set(heads)) > 3
    assert heads[::2] == heads[1::2] == sorted(heads[::2], reverse=True)


def test_closed_store(tmp_path: Path) -> None:
    store = Store.create(tmp_path / "s")
    store.close()
    store.close()
    for call in (store.head, lambda: store.commit(1, bytes(32), *_nodes(b"x")), lambda: store.get_nodes([bytes(32)])):
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


LARGE_COMMITTER = """
import sys
from chaindp.chain.store import Store
from test_store import large_block

with Store.open(sys.argv[1]) as store:
    block = store.head()[0]
    while True:
        block += 1
        digests, encodings = large_block(block)
        print("to", block, flush=True)
        store.commit(block, digests[-1].tobytes(), digests, encodings, {digests[0].tobytes(): b"code"})
        print("at", block, flush=True)
"""


def large_block(number: int) -> tuple[np.ndarray, Ragged]:
    """4000 nodes, in eight writes."""
    rng = np.random.default_rng(number)
    digests = rng.integers(0, 256, (4000, 32), dtype=np.uint8)
    return digests, Ragged(rng.integers(0, 256, 4000 * 300, dtype=np.uint8), np.arange(4001, dtype=np.int64) * 300)


@pytest.mark.slow
def test_killed_within_a_commit_of_many_writes(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with Store.create(path) as store:
        store.commit(0, bytes(32), *_nodes())
    rng = random.Random(1)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    within = rounds = 0
    while rounds < 4 or (within < 2 and rounds < 20):
        rounds += 1
        with subprocess.Popen(
            [sys.executable, "-c", LARGE_COMMITTER, str(path)], stdout=subprocess.PIPE, text=True, env=environment
        ) as process:
            assert process.stdout is not None
            for _ in range(rng.choice((1, 3, 5))):
                word, number = process.stdout.readline().split()
            assert word == "to"
            time.sleep(rng.uniform(0.0, 0.006))
            process.kill()
            lines = [f"{word} {number}", *process.stdout.read().splitlines()]
        word, number = lines[-1].split()
        with Store.open(path) as store:
            head, root = store.head()
            assert head in ((int(number) - 1, int(number)) if word == "to" else (int(number),))
            for block in range(1, head + 1):
                digests, encodings = large_block(block)
                assert np.array_equal(store.get_nodes(digests).data, encodings.data)
                assert store.get_code(digests[0].tobytes()) == b"code"
            assert root == digests[-1].tobytes() if head else not any(root)
            digests, _ = large_block(head + 1)
            with pytest.raises(StoreError, match="no code"):
                store.get_code(digests[0].tobytes())
            try:
                _node(store, digests[0].tobytes())
                within += 1
            except StoreError:
                pass
    assert within >= 2, "no kill came between a commit's first write and its last"


@pytest.mark.slow
def test_store_of_several_times_its_memory(tmp_path: Path) -> None:
    """Over 400 MB: write buffers are emptied, files merged, and blocks are read out of all of them, in the meantime."""
    blocks = 350
    rng = np.random.default_rng(0)
    with Store.create(tmp_path / "s") as store:
        for block in range(1, blocks + 1):
            digests, encodings = large_block(block)
            store.commit(block, digests[0].tobytes(), digests, encodings)
            some, wanted = large_block(int(rng.integers(1, block + 1)))
            assert np.array_equal(store.get_nodes(some).data, wanted.data)
        # What goes on in the background must not keep the copy from being whole.
        store.snapshot(tmp_path / "copy")
    for name in ("s", "copy"):
        with Store.open(tmp_path / name) as store:
            assert store.head() == (blocks, large_block(blocks)[0][0].tobytes())
            for block in range(1, blocks + 1):
                digests, encodings = large_block(block)
                assert np.array_equal(store.get_nodes(digests).data, encodings.data)
