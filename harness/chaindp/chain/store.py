"""The embedded store: trie nodes by their digest, codes, block roots and headers, in one RocksDB database.

Nodes are addressed by their hash and never removed, so the state of every committed block stays readable (an archive).
Keys of that kind are random, which a log-structured merge tree takes several times faster than a B+ tree: what is
written goes to a log and to memory, and is sorted into files later, in the background.
"""

from __future__ import annotations

import os
import struct
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from rocksdict import (
    BlockBasedOptions,
    Cache,
    Checkpoint,
    DBCompressionType,
    DBRecoveryMode,
    MemtableFactory,
    Options,
    Rdict,
    SliceTransform,
    WriteBatch,
)

from chaindp.chain.node_cache import NodeCache
from chaindp.chain.types import Ragged
from chaindp.errors import StoreError

__all__ = ["FORMAT", "Store"]

FORMAT = b"chaindp-store-2"
# Written last where a store is made or copied: a folder without it is not a store, whatever else is in it.
_FORMAT_FILE = "chaindp-store"
_CURRENT_FILE = "CURRENT"  # RocksDB's own; names the list of its live files
_HEAD = struct.Struct(">Q32s")

# A node's key is its digest, 32 bytes. All other keys have another length, so that none can be taken for a digest.
_HEAD_KEY = b"head"
_BLOCK = b"b"
_CODE = b"c"

_NODES_A_WRITE = 512

CACHE_BYTES = 128 << 20
"""Trie nodes that an open store keeps in memory: those of a state of about 200,000 accounts."""


class Store:
    """An open store. Reads are safe from any thread, also while another thread commits.

    Nodes that were read are kept in ``cache``, so that what one reader has walked past costs the next one nothing.
    """

    def __init__(self, db: Rdict, path: Path, durable: bool) -> None:
        """For ``create`` and ``open``, which check the files first."""
        self._db: Any = db
        self.cache = NodeCache(CACHE_BYTES)
        self._durable = durable
        self.path = path
        # A database may only be closed while nobody reads; readers are counted for that.
        self._gate = threading.Condition()
        self._readers = 0
        self._commit_lock = threading.Lock()
        self._unusable = ""

    # -- opening ----------------------------------------------------------------------------------------------------

    @classmethod
    def create(cls, path: str | os.PathLike[str], *, durable: bool = True) -> Store:
        """A new, empty store in the folder ``path``, which is made and must not hold a store yet.

        ``durable``: a commit returns when its data is on disk. Without it the operating system writes when it likes:
        a killed process loses nothing, a power failure may lose the last blocks.
        """
        folder = Path(path)
        _refuse_store(folder, "open it, or remove it first")
        try:
            folder.mkdir(parents=True, exist_ok=True)
            db = Rdict(str(folder), _options(create=True))
            _write_format(folder)
        except Exception as error:
            raise StoreError(f"no store can be created in {folder}: {_one_line(error)}") from None
        return cls(db, folder, durable)

    @classmethod
    def open(cls, path: str | os.PathLike[str], *, durable: bool = True) -> Store:
        """The store in the folder ``path``; StoreError where there is none, or it is of another kind, or damaged, or
        open already, in this process or another.

        A log that was cut off, as a power failure leaves it, is read up to the last whole block.
        """
        folder = Path(path)
        try:
            with open(folder / _FORMAT_FILE, "rb") as file:
                found = file.read(64)
        except OSError:
            raise StoreError(f"there is no store in {folder}") from None
        if found != FORMAT:
            raise StoreError(f"{folder} holds a store of the format {found!r}, this version reads {FORMAT!r}")
        try:
            db = Rdict(str(folder), _options(create=False))
        except Exception as error:
            message = _one_line(error)
            if "lock" in message.lower():
                raise StoreError(f"the store {folder} is open already, here or in another process") from None
            raise StoreError(f"{folder} holds no readable store: {message}") from None
        return cls(db, folder, durable)

    def close(self) -> None:
        """Write out what is in memory and close the files. The store is not used afterwards; closing twice is
        harmless.
        """
        with self._commit_lock, self._gate:
            self._gate.wait_for(lambda: self._readers == 0)
            if self._db is None:
                return
            db, self._db = self._db, None
            self._unusable = "closed"
            try:
                db.close()
            except Exception as error:
                raise StoreError(f"the store {self.path} could not be closed: {_one_line(error)}") from None

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
        """Write a block's new nodes, codes (by hash), root and header, and make it the head.

        ``digests`` uint8[N,32] are the keys of the N ``encodings``. Durable on return, unless the store was opened
        otherwise. The head moves in the last write of an ordered log, one atomic batch with the root and the header:
        wherever a crash cuts the log, the store opens at a block that is there in full. Of a block that was cut off,
        nodes may stay, under the hashes that any later block would give them.
        StoreError where the data is malformed: nothing is written then. After a StoreError from the disk the store
        has to be opened again.
        """
        codes = codes or {}
        if len(root) != 32 or not 0 <= block < 1 << 64 or digests.shape != (encodings.count, 32):
            raise StoreError(
                f"a commit takes a block of 64 bits, a root of 32 bytes and as many digests as encodings: got {block}, "
                f"{len(root)} bytes, digests of the shape {digests.shape} for {encodings.count} encodings"
            )
        if any(len(code_hash) != 32 for code_hash in codes):
            raise StoreError(f"block {block} could not be committed to {self.path}: a code hash is not of 32 bytes")
        with self._commit_lock:
            with self._gate:
                self._check_usable()
            try:
                # A write holds the interpreter lock until it is done, so it is done in small ones: other stages go on.
                for batch in _node_batches(digests, encodings):
                    self._db.write(batch)
                last = WriteBatch(raw_mode=True)
                for code_hash, code in codes.items():
                    last.put(_CODE + code_hash, bytes(code))
                head = _HEAD.pack(block, root)
                last.put(_BLOCK + head[:8], root + header)
                last.put(_HEAD_KEY, head)
                self._db.write(last)
                if self._durable:
                    # Waits for the disk without the interpreter lock, which a write with `sync` set would keep.
                    self._db.flush_wal(True)
            except Exception as error:
                # What memory shows and what the disk holds may differ from here on.
                with self._gate:
                    self._unusable = "unusable since a commit failed; open it again"
                raise StoreError(f"block {block} could not be committed to {self.path}: {_one_line(error)}") from None

    # -- reading ----------------------------------------------------------------------------------------------------

    def head(self) -> tuple[int, bytes]:
        """(number, root) of the block that was committed last; StoreError before the first."""
        found = self._get(_HEAD_KEY)
        if found is None or len(found) != _HEAD.size:
            raise StoreError(
                f"{self.path} holds no block yet" if found is None else f"the head of {self.path} is damaged"
            )
        number, root = _HEAD.unpack(found)
        return number, root

    def block(self, number: int) -> tuple[bytes, bytes]:
        """(root, header) of a committed block; StoreError where it was never committed."""
        found = self._get(_BLOCK + struct.pack(">Q", number)) if 0 <= number < 1 << 64 else None
        if found is None or len(found) < 32:
            raise StoreError(f"{self.path} holds no block {number}")
        return found[:32], found[32:]

    @contextmanager
    def reading(self) -> Iterator[Callable[[bytes], bytes]]:
        """A function from digest to encoding (StoreError where a node is missing), for many lookups in one thread.

        Keep it short: ``close`` waits for it to end.
        """
        with self._reading():
            get, cached, keep = self._db.get, self.cache.get, self.cache.put

            def fetch(digest: bytes) -> bytes:
                found: bytes | None = cached(digest)
                if found is not None:
                    return found
                try:
                    found = get(digest)
                except Exception as error:
                    raise self._unreadable(error) from None
                if found is None or len(digest) != 32:
                    raise StoreError(f"{self.path} holds no trie node {digest.hex()}")
                keep(digest, found)
                return found

            yield fetch

    def get_nodes(self, digests: np.ndarray | Sequence[bytes]) -> Ragged:
        """The encodings of N nodes, in the order of ``digests`` (uint8[N,32] or bytes); StoreError where one is
        missing.
        """
        if isinstance(digests, np.ndarray):
            packed = digests.tobytes()
            keys = [packed[at : at + 32] for at in range(0, len(packed), 32)]
        else:
            keys = list(digests)
        if not all(len(key) == 32 for key in keys):
            raise StoreError(f"{self.path} holds trie nodes under digests of 32 bytes only")
        self._check_usable()
        found = {key: node for key in keys if (node := self.cache.get(key)) is not None}
        rest = [key for key in dict.fromkeys(keys) if key not in found]
        if rest:
            # One call for all, which lets go of the interpreter lock while it reads.
            nodes = self._get(rest)
            if None in nodes:
                raise StoreError(f"{self.path} holds no trie node {rest[nodes.index(None)].hex()}")
            for key, node in zip(rest, nodes, strict=True):
                self.cache.put(key, node)
                found[key] = node
        return Ragged.from_items(found[key] for key in keys)

    def get_code(self, code_hash: bytes) -> bytes:
        """A code by its keccak256; StoreError where it is not there."""
        found: bytes | None = self._get(_CODE + code_hash)
        if found is None:
            raise StoreError(f"{self.path} holds no code {code_hash.hex()}")
        return found

    def snapshot(self, path: str | os.PathLike[str]) -> None:
        """Copy the whole store, as of its last commit, into the folder ``path``, which must be empty or not there.

        A file that is finished never changes, so the copy shares it by a hard link where both are on one file system.
        """
        folder = Path(path)
        _refuse_store(folder, "a snapshot needs an empty folder")
        with self._commit_lock, self._reading():
            try:
                folder.parent.mkdir(parents=True, exist_ok=True)
                with suppress(FileNotFoundError):
                    folder.rmdir()
                Checkpoint(self._db).create_checkpoint(str(folder))
                _write_format(folder)
            except Exception as error:
                raise StoreError(f"no snapshot of {self.path} can be made in {folder}: {_one_line(error)}") from None

    # -- inside -----------------------------------------------------------------------------------------------------

    def _check_usable(self) -> None:
        if self._unusable:
            raise StoreError(f"the store {self.path} is {self._unusable}")

    @contextmanager
    def _reading(self) -> Iterator[None]:
        with self._gate:
            self._check_usable()
            self._readers += 1
        try:
            yield
        finally:
            with self._gate:
                self._readers -= 1
                if not self._readers:
                    self._gate.notify_all()

    def _get(self, key: Any) -> Any:
        with self._reading():
            try:
                return self._db.get(key)
            except Exception as error:
                raise self._unreadable(error) from None

    def _unreadable(self, error: Exception) -> StoreError:
        return StoreError(f"the store {self.path} could not be read: {_one_line(error)}")


def _options(*, create: bool) -> Options:
    table = BlockBasedOptions()
    # Small: what is read often is in the cache of nodes, decoded from its block.
    table.set_block_cache(Cache(32 << 20))
    # Every lookup is for one whole key: the filter tells which files cannot have it.
    table.set_bloom_filter(10, False)
    options = Options(raw_mode=True)
    options.create_if_missing(create)
    options.set_block_based_table_factory(table)
    # Digests do not compress, and encodings of nodes are mostly digests.
    options.set_compression_type(DBCompressionType.none())
    # Nothing needs the keys in memory in order, and a hash table takes one in half the time of the usual skip list.
    # It has no concurrent writers, which a store with one commit at a time has no use for.
    options.set_prefix_extractor(SliceTransform.create_max_len_prefix(8))
    # (The stubs of rocksdict 0.3.29 leave out the number of buckets.)
    options.set_memtable_factory(MemtableFactory.hash_link_list(1 << 18))  # type: ignore[call-arg]
    options.set_allow_concurrent_memtable_write(False)
    # Enough of them that a commit need not wait, with the interpreter lock, until one is written out.
    options.set_write_buffer_size(32 << 20)
    options.set_max_write_buffer_number(4)
    options.set_max_background_jobs(2)
    # Up to the first record that is not whole: everything before it, which is what a commit's order relies on.
    options.set_wal_recovery_mode(DBRecoveryMode.point_in_time())
    options.set_keep_log_file_num(1)
    options.set_stats_dump_period_sec(0)
    options.set_stats_persist_period_sec(0)
    return options


def _node_batches(digests: np.ndarray, encodings: Ragged) -> Iterator[WriteBatch]:
    """All nodes, a bounded number a batch, so that a genesis state is never there as Python objects, nor copied, at
    once.
    """
    digests = np.ascontiguousarray(digests, dtype=np.uint8)
    offsets = encodings.offsets
    for first in range(0, encodings.count, _NODES_A_WRITE):
        last = min(first + _NODES_A_WRITE, encodings.count)
        base, end = int(offsets[first]), int(offsets[last])
        keys, values = digests[first:last].tobytes(), encodings.data[base:end].tobytes()
        bounds = (offsets[first : last + 1] - base).tolist()
        batch = WriteBatch(raw_mode=True)
        for i in range(last - first):
            batch.put(keys[32 * i : 32 * i + 32], values[bounds[i] : bounds[i + 1]])
        yield batch


def _refuse_store(folder: Path, advice: str) -> None:
    if (folder / _FORMAT_FILE).exists() or (folder / _CURRENT_FILE).exists():
        raise StoreError(f"{folder} holds a store already: {advice}")


def _write_format(folder: Path) -> None:
    with open(folder / _FORMAT_FILE, "wb") as file:
        file.write(FORMAT)
        file.flush()
        os.fsync(file.fileno())


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
