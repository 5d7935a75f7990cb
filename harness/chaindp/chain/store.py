"""The embedded store: trie nodes by their digest, codes, block roots and headers, in one LMDB environment.

Nodes are addressed by their hash and never removed, so the state of every committed block stays readable (an archive).
A commit is one LMDB transaction: after a crash at any instant the store opens at a committed block.
"""

from __future__ import annotations

import os
import struct
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lmdb
import numpy as np

from chaindp.chain.types import Ragged
from chaindp.errors import StoreError

__all__ = ["FORMAT", "Store"]

FORMAT = b"chaindp-store-1"
_DATA_FILE = "data.mdb"
_HEAD = struct.Struct(">Q32s")
_INITIAL_MAP = 64 << 20


class Store:
    """An open store. Reads are safe from any thread, also while another thread commits."""

    def __init__(self, env: lmdb.Environment, path: Path) -> None:
        """For ``create`` and ``open``, which check the files first."""
        self._env = env
        self.path = path
        self._nodes = env.open_db(b"nodes")
        self._codes = env.open_db(b"codes")
        self._blocks = env.open_db(b"blocks")
        self._meta = env.open_db(b"meta")
        # The map may only be resized while no transaction is open; readers are counted for that.
        self._gate = threading.Condition()
        self._readers = 0
        self._commit_lock = threading.Lock()
        self._closed = False

    # -- opening ----------------------------------------------------------------------------------------------------

    @classmethod
    def create(cls, path: str | os.PathLike[str], *, durable: bool = True, map_size: int = _INITIAL_MAP) -> Store:
        """A new, empty store in the folder ``path``, which is made and must not hold a store yet.

        ``durable``: a commit returns when its data is on disk. Without it the operating system writes when it likes:
        a killed process loses nothing, a power failure may damage the store. ``map_size``: bytes of address space to
        start with; it grows by itself.
        """
        folder = Path(path)
        if (folder / _DATA_FILE).exists():
            raise StoreError(f"{folder} holds a store already: open it, or remove it first")
        try:
            folder.mkdir(parents=True, exist_ok=True)
            store = cls(_environment(folder, durable, map_size), folder)
        except (OSError, lmdb.Error) as error:
            raise StoreError(f"no store can be created in {folder}: {error}") from None
        with store._write() as txn:
            txn.put(b"format", FORMAT, db=store._meta)
        store._extend()
        return store

    @classmethod
    def open(cls, path: str | os.PathLike[str], *, durable: bool = True) -> Store:
        """The store in the folder ``path``; StoreError where there is none, or it is of another kind, or damaged."""
        folder = Path(path)
        if not (folder / _DATA_FILE).is_file():
            raise StoreError(f"there is no store in {folder}")
        if (folder / _DATA_FILE).stat().st_size < 2 * 4096:
            raise StoreError(f"{folder / _DATA_FILE} is cut off: it is shorter than any store")
        try:
            env = _environment(folder, durable, 0)
        except (OSError, lmdb.Error) as error:
            raise StoreError(f"{folder} holds no readable store: {error}") from None
        try:
            _check_length(env, folder)
            with env.begin(db=None) as txn:
                meta = txn.get(b"meta")
            if meta is None:
                raise StoreError(f"{folder} holds an LMDB database that is not a store of this project")
            store = cls(env, folder)
            found = store._get(store._meta, b"format")
        except (lmdb.Error, StoreError) as error:
            env.close()
            if isinstance(error, StoreError):
                raise
            raise StoreError(f"{folder} holds no readable store: {error}") from None
        if found != FORMAT:
            store.close()
            raise StoreError(f"{folder} holds a store of the format {found!r}, this version reads {FORMAT!r}")
        return store

    def close(self) -> None:
        """Close the files. The store is not used afterwards; closing twice is harmless."""
        with self._commit_lock, self._gate:
            self._gate.wait_for(lambda: self._readers == 0)
            self._closed = True
            self._env.close()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- writing ----------------------------------------------------------------------------------------------------

    def commit(
        self,
        block: int,
        root: bytes,
        digests: np.ndarray,
        encodings: Ragged,
        codes: Mapping[bytes, bytes] | None = None,
        header: bytes = b"",
    ) -> None:
        """Write a block's new nodes, codes (by hash), root and header, and make it the head: all of it or nothing.

        ``digests`` uint8[N,32] are the keys of the N ``encodings``. Durable on return, unless the store was opened
        otherwise.
        """
        if len(root) != 32 or not 0 <= block < 1 << 64 or digests.shape != (encodings.count, 32):
            raise StoreError(
                f"a commit takes a block of 64 bits, a root of 32 bytes and as many digests as encodings: got {block}, "
                f"{len(root)} bytes, digests of the shape {digests.shape} for {encodings.count} encodings"
            )
        items = _SortedItems(digests, encodings)
        head = _HEAD.pack(block, root)
        # What goes in takes about twice its size on new pages; a map that is too small would cost a second attempt.
        code_bytes = sum(map(len, (codes or {}).values()))
        wanted = 2 * (len(encodings.data) + 96 * encodings.count + code_bytes) + (4 << 20)
        with self._commit_lock:
            try:
                info = self._env.info()
                if (info["last_pgno"] + 1) * self._env.stat()["psize"] + wanted > info["map_size"]:
                    self._grow(wanted)
                while True:
                    try:
                        with self._write() as txn:
                            txn.cursor(self._nodes).putmulti(items, overwrite=False)
                            for code_hash, code in (codes or {}).items():
                                txn.put(code_hash, code, db=self._codes)
                            txn.put(head[:8], root + header, db=self._blocks)
                            txn.put(b"head", head, db=self._meta)
                        break
                    except lmdb.MapFullError:
                        self._grow(wanted)
            except lmdb.Error as error:
                raise StoreError(f"block {block} could not be committed to {self.path}: {error}") from None

    # -- reading ----------------------------------------------------------------------------------------------------

    def head(self) -> tuple[int, bytes]:
        """(number, root) of the block that was committed last; StoreError before the first."""
        found = self._get(self._meta, b"head")
        if found is None or len(found) != _HEAD.size:
            raise StoreError(
                f"{self.path} holds no block yet" if found is None else f"the head of {self.path} is damaged"
            )
        number, root = _HEAD.unpack(found)
        return number, root

    def block(self, number: int) -> tuple[bytes, bytes]:
        """(root, header) of a committed block; StoreError where it was never committed."""
        found = self._get(self._blocks, struct.pack(">Q", number))
        if found is None or len(found) < 32:
            raise StoreError(f"{self.path} holds no block {number}")
        return found[:32], found[32:]

    def get_node(self, digest: bytes) -> bytes:
        """The encoding of one node; StoreError where it is not there."""
        found = self._get(self._nodes, digest)
        if found is None:
            raise StoreError(f"{self.path} holds no trie node {digest.hex()}")
        return found

    @contextmanager
    def reading(self) -> Iterator[Callable[[bytes], bytes]]:
        """A function from digest to encoding (StoreError where a node is missing), for many lookups in one thread.

        All its lookups see the store as it was at the start. Keep it short, and never commit inside it: a commit that
        must grow the map waits for all readers to end.
        """
        with self._read() as txn:
            get, nodes = txn.get, self._nodes

            def fetch(digest: bytes) -> bytes:
                found = get(digest, None, nodes)
                if found is None:
                    raise StoreError(f"{self.path} holds no trie node {digest.hex()}")
                return found  # type: ignore[return-value]

            yield fetch

    def get_nodes(self, digests: np.ndarray | Sequence[bytes]) -> Ragged:
        """The encodings of N nodes, in the order of ``digests`` (uint8[N,32] or bytes); StoreError where one is
        missing.
        """
        if isinstance(digests, np.ndarray):
            packed = digests.tobytes()
            keys: Sequence[bytes] = [packed[at : at + 32] for at in range(0, len(packed), 32)]
        else:
            keys = digests
        with self._read() as txn:
            found: list[Any] = [txn.get(key, db=self._nodes) for key in keys]
        if None in found:
            raise StoreError(f"{self.path} holds no trie node {keys[found.index(None)].hex()}")
        return Ragged.from_items(found)

    def get_code(self, code_hash: bytes) -> bytes:
        """A code by its keccak256; StoreError where it is not there."""
        found = self._get(self._codes, code_hash)
        if found is None:
            raise StoreError(f"{self.path} holds no code {code_hash.hex()}")
        return found

    def count_nodes(self) -> int:
        """How many trie nodes there are, over all blocks."""
        with self._read() as txn:
            return int(txn.stat(self._nodes)["entries"])

    def snapshot(self, path: str | os.PathLike[str]) -> None:
        """Copy the whole store, as of its last commit, into the folder ``path``, which must not hold a store yet."""
        folder = Path(path)
        if (folder / _DATA_FILE).exists():
            raise StoreError(f"{folder} holds a store already: a snapshot needs an empty folder")
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with self._reading():
                self._env.copy(str(folder))
            os.truncate(folder / _DATA_FILE, max(self._env.info()["map_size"], (folder / _DATA_FILE).stat().st_size))
        except (OSError, lmdb.Error) as error:
            raise StoreError(f"no snapshot of {self.path} can be made in {folder}: {error}") from None

    # -- transactions -----------------------------------------------------------------------------------------------

    @contextmanager
    def _reading(self) -> Iterator[None]:
        with self._gate:
            if self._closed:
                raise StoreError(f"the store {self.path} is closed")
            self._readers += 1
        try:
            yield
        finally:
            with self._gate:
                self._readers -= 1
                if not self._readers:
                    self._gate.notify_all()

    @contextmanager
    def _read(self) -> Iterator[lmdb.Transaction]:
        with self._reading():
            try:
                with self._env.begin() as txn:
                    yield txn
            except lmdb.Error as error:
                raise StoreError(f"the store {self.path} could not be read: {error}") from None

    def _get(self, db: Any, key: bytes) -> bytes | None:
        with self._read() as txn:
            # A transaction without buffers=True gives bytes.
            return txn.get(key, db=db)  # type: ignore[return-value]

    @contextmanager
    def _write(self) -> Iterator[lmdb.Transaction]:
        if self._closed:
            raise StoreError(f"the store {self.path} is closed")
        with self._env.begin(write=True) as txn:
            yield txn

    def _grow(self, wanted: int) -> None:
        with self._gate:
            self._gate.wait_for(lambda: self._readers == 0)
            size = self._env.info()["map_size"]
            self._env.set_mapsize(-(-max(size + size // 2, size + wanted) // (1 << 20)) * (1 << 20))
        self._extend()

    def _extend(self) -> None:
        # LMDB may leave pages at the end unwritten that it counts as used, so a sound file can be shorter than its own
        # page count says. A file as long as the map (with a hole for what is not used) tells a cut-off one for certain.
        file = self.path / _DATA_FILE
        size = self._env.info()["map_size"]
        if file.stat().st_size < size:
            os.truncate(file, size)


def _environment(folder: Path, durable: bool, map_size: int) -> lmdb.Environment:
    # readahead off: lookups by hash are random, and reading ahead only evicts what is hot.
    return lmdb.open(str(folder), map_size=map_size, max_dbs=4, sync=durable, metasync=durable, readahead=False)


def _check_length(env: lmdb.Environment, folder: Path) -> None:
    """A store that was cut off would not give an error but kill the process when a missing page is touched."""
    pages = env.info()["last_pgno"] + 1
    page = env.stat()["psize"]
    have = (folder / _DATA_FILE).stat().st_size
    if have < pages * page:
        raise StoreError(f"{folder / _DATA_FILE} is cut off: {have} bytes where {pages} pages of {page} should be")


class _SortedItems:
    """(digest, encoding) of each node in key order, in which LMDB's tree takes them fastest; iterable more than once.

    Made one by one: a list of all pairs of a genesis state would take more memory than the state.
    """

    def __init__(self, digests: np.ndarray, encodings: Ragged) -> None:
        self._keys = np.ascontiguousarray(digests).reshape(-1).data
        self._values = encodings.data.data
        self._offsets = encodings.offsets
        prefix = np.ascontiguousarray(digests[:, :8]).view(">u8").reshape(-1)
        self._order = np.argsort(prefix.astype(np.uint64))

    def __iter__(self) -> Iterator[tuple[memoryview, memoryview]]:
        for first in range(0, len(self._order), 4096):
            some = self._order[first : first + 4096]
            bounds = zip(some.tolist(), self._offsets[some].tolist(), self._offsets[some + 1].tolist(), strict=True)
            for i, start, end in bounds:
                yield self._keys[32 * i : 32 * i + 32], self._values[start:end]
