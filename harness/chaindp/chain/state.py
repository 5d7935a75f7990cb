"""The state of the chain: the account trie, and a storage trie an account that has storage.

``State`` is what a block changes and Merkleizes, in memory, with nodes loaded from the store as they are reached.
``StateReader`` is the plain way to read a committed state: one key at a time, one node after another.
Keys are hashed (yellow paper, section 4.1): keccak256 of the address, and of the slot.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from chaindp.chain.keytable import group_rows
from chaindp.chain.openings import StateProofs
from chaindp.chain.store import Store
from chaindp.chain.trie import EMPTY_ROOT, Fetch, Forest, NodeBatch
from chaindp.chain.trie.records import (
    ROOT_FROM_END,
    decode_accounts,
    decode_words,
    encode_accounts,
    encode_words,
)
from chaindp.chain.types import EMPTY_CODE_HASH, Accounts, Genesis, Ragged, StateDiff, StorageCells
from chaindp.errors import InputError, StoreError, UsageError
from chaindp.kernels.kernelset import KernelSet

__all__ = ["EMPTY_CODE_HASH", "State", "StateReader"]

_EMPTY_ROOT_ROW = np.frombuffer(EMPTY_ROOT, dtype=np.uint8)


def _rows(array: np.ndarray, width: int, what: str) -> np.ndarray:
    if array.dtype != np.uint8 or array.ndim != 2 or array.shape[1] != width:
        raise InputError(f"{what} must be uint8[N,{width}], not {array.dtype}{list(array.shape)}")
    array = np.ascontiguousarray(array)
    return array if array.flags.writeable else array.copy()


def _hash_rows(kernels: KernelSet, *parts: np.ndarray) -> list[np.ndarray]:
    """keccak256 of every row of every part, in one call: uint8[N,32] a part."""
    offsets, base, digests = [np.zeros(1, dtype=np.int64)], 0, []
    for part in parts:
        offsets.append(np.arange(base + part.shape[1], base + part.size + 1, part.shape[1], dtype=np.int64))
        base += part.size
    if base:
        data = parts[0].reshape(-1) if len(parts) == 1 else np.concatenate([part.reshape(-1) for part in parts])
        hashed = kernels.keccak256(data, np.concatenate(offsets))
    else:
        hashed = np.empty((0, 32), dtype=np.uint8)
    first = 0
    for part in parts:
        digests.append(hashed[first : first + len(part)])
        first += len(part)
    return digests


def _checked_fetch(store: Store, kernels: KernelSet | None) -> Fetch:
    if kernels is None:
        return store.get_nodes

    def fetch(digests: np.ndarray) -> Ragged:
        nodes = store.get_nodes(digests)
        wrong = (kernels.keccak256(nodes.data, nodes.offsets) != digests).any(axis=1)
        if wrong.any():
            raise StoreError(f"trie node {digests[int(wrong.argmax())].tobytes().hex()} of {store.path} is damaged")
        return nodes

    return fetch


def _accounts_of(
    records: Ragged, found: np.ndarray, addresses: np.ndarray, keys: np.ndarray
) -> tuple[Accounts, np.ndarray]:
    """The accounts of records, and their storage roots uint8[A,32]; StoreError where a record is malformed."""
    nonce = np.zeros((len(keys), 8), dtype=np.uint8)
    balance = np.zeros((len(keys), 32), dtype=np.uint8)
    code_hash = np.zeros((len(keys), 32), dtype=np.uint8)
    roots = np.empty((len(keys), 32), dtype=np.uint8)
    roots[:] = _EMPTY_ROOT_ROW
    wrong = decode_accounts(records.data, records.offsets, nonce, balance, roots, code_hash)
    if wrong >= 0:
        raise StoreError(
            f"the account under key {keys[wrong].tobytes().hex()} is malformed: {records.item(wrong).hex()}"
        )
    number = nonce.view(">u8").reshape(-1).astype(np.uint64)
    return Accounts(addresses, number, balance, code_hash, found), roots


def _words(values: Ragged, slots: np.ndarray) -> np.ndarray:
    """The words uint8[S,32] of storage values; StoreError where one is malformed."""
    words = np.empty((len(slots), 32), dtype=np.uint8)
    wrong = decode_words(values.data, values.offsets, words)
    if wrong >= 0:
        raise StoreError(f"the word at slot {slots[wrong].tobytes().hex()} is malformed: {values.item(wrong).hex()}")
    return words


def _joined(batches: list[NodeBatch], codes: dict[bytes, bytes]) -> NodeBatch:
    """Batches end to end; without a copy where only one has any nodes, which is the large case."""
    batches = [batch for batch in batches if batch.count] or batches[:1]
    if len(batches) == 1:
        return NodeBatch(batches[0].digests, batches[0].encodings, codes)
    sizes = np.concatenate([np.diff(batch.encodings.offsets) for batch in batches])
    offsets = np.zeros(len(sizes) + 1, dtype=np.int64)
    np.cumsum(sizes, out=offsets[1:])
    data = np.concatenate([batch.encodings.data for batch in batches])
    return NodeBatch(np.concatenate([batch.digests for batch in batches]), Ragged(data, offsets), codes)


class State:
    """The mutable state. Not safe for use from two threads at once.

    After an exception from ``apply`` part of the diff may be in: the state is then not to be used further. An exception
    from a kernel in ``commit_root`` leaves it intact.
    """

    def __init__(self, forest: Forest, root: bytes) -> None:
        """For ``genesis`` and ``open``."""
        self._forest = forest
        self._accounts = forest.new_trie(root)
        self._storage: dict[bytes, int] = {}  # account key to the number of its storage trie, where that is open
        self._changed: set[bytes] = set()  # account keys whose storage trie has changed since the last root
        self._hashed: list[NodeBatch] = []  # what a commit that a kernel failed in had hashed by then
        self._codes: dict[bytes, bytes] = {}
        self._no_storage = forest.new_trie()

    @classmethod
    def genesis(cls, genesis: Genesis, kernels: KernelSet) -> State:
        """The state that a chain starts from, all in memory. Rows with ``exists`` false are left out.

        Its nodes come out of the first ``commit_root``. InputError where an account appears twice or storage has no
        account.
        """
        state = cls(Forest(), EMPTY_ROOT)
        accounts = genesis.accounts
        there = np.asarray(accounts.exists, dtype=np.bool_)
        none = np.zeros(int(there.sum()), dtype=np.bool_)
        state.apply(
            StateDiff(
                address=accounts.address[there],
                nonce=accounts.nonce[there],
                balance=accounts.balance[there],
                code_hash=accounts.code_hash[there],
                deleted=none,
                storage_cleared=none,
                storage=genesis.storage,
                codes=genesis.codes,
            ),
            kernels,
        )
        return state

    @classmethod
    def open(cls, store: Store, root: bytes | None = None, kernels: KernelSet | None = None) -> State:
        """The state under ``root``, that of the store's head by default; its nodes are loaded as they are reached.

        With ``kernels`` every node that is loaded is hashed and compared with its digest: StoreError where they differ.
        """
        return cls(Forest(_checked_fetch(store, kernels)), store.head()[1] if root is None else root)

    # -- changes ----------------------------------------------------------------------------------------------------

    def apply(self, diff: StateDiff, kernels: KernelSet) -> None:
        """Take in what a block changed. The digests follow in ``commit_root``; several diffs may come before it.

        Storage rows of deleted accounts are ignored. InputError where an address appears twice, or storage belongs to
        none of them, or columns differ in length; StoreError where a node cannot be loaded.
        """
        address = _rows(diff.address, 20, "addresses")
        owner = _rows(diff.storage.address, 20, "storage addresses")
        slot = _rows(diff.storage.slot, 32, "storage slots")
        words = _rows(diff.storage.value, 32, "storage values")
        balance = _rows(diff.balance, 32, "balances")
        code_hash = _rows(diff.code_hash, 32, "code hashes")
        deleted = np.ascontiguousarray(diff.deleted, dtype=np.bool_)
        cleared = np.asarray(diff.storage_cleared, dtype=np.bool_) | deleted
        count = len(address)
        if not len(balance) == len(code_hash) == len(diff.nonce) == len(deleted) == len(cleared) == count:
            raise InputError("the account columns of a diff differ in length")
        if not len(owner) == len(slot) == len(words):
            raise InputError("the storage columns of a diff differ in length")
        group, groups = group_rows(np.concatenate([address, owner]))
        if groups > count:
            raise InputError("a diff has storage of an account that is not in it")
        if groups < count:
            raise InputError("a diff has an address twice")
        account_of_row = group[count:]

        account_keys, slot_keys = _hash_rows(kernels, address, slot)
        roots = self._storage_roots(account_keys)
        for account in np.flatnonzero(cleared).tolist():
            self._drop_storage(account_keys[account].tobytes())
        roots[cleared] = _EMPTY_ROOT_ROW

        kept = ~deleted[account_of_row]
        if kept.any():
            tries = np.zeros(count, dtype=np.int64)
            for account in np.unique(account_of_row[kept]).tolist():
                key = account_keys[account].tobytes()
                tries[account] = self._open_storage(key, roots[account])
                self._changed.add(key)
            row_tries = tries[account_of_row]
            if kept.all():
                self._forest.update(row_tries, slot_keys, encode_words(words))
            else:
                self._forest.update(row_tries[kept], slot_keys[kept], encode_words(np.ascontiguousarray(words[kept])))
        self._forest.update(
            self._accounts, account_keys, encode_accounts(diff.nonce, balance, roots, code_hash, deleted)
        )
        self._codes.update(diff.codes)

    def commit_root(self, kernels: KernelSet) -> tuple[bytes, NodeBatch]:
        """(state root, the nodes and codes that are new since the last call), hashed level by level.

        First all storage tries in one call of ``trie_hash``, then, their roots written into the accounts, the account
        trie.
        """
        if self._changed:
            keys = sorted(self._changed)
            tries = np.array([self._storage[key] for key in keys], dtype=np.int64)
            self._hashed.append(self._forest.hash(tries, kernels))
            rows = np.frombuffer(b"".join(keys), dtype=np.uint8).reshape(-1, 32).copy()
            records, _ = self._forest.get(self._accounts, rows)
            where = records.offsets[1:, None] - ROOT_FROM_END + np.arange(32)
            records.data[where] = self._forest.roots(tries)
            self._forest.update(self._accounts, rows, records)
            self._changed.clear()
        accounts = np.array([self._accounts], dtype=np.int64)
        self._hashed.append(self._forest.hash(accounts, kernels))
        batches, self._hashed = self._hashed, []
        codes, self._codes = self._codes, {}
        return self._forest.roots(accounts)[0].tobytes(), _joined(batches, codes)

    # -- reading ----------------------------------------------------------------------------------------------------

    def accounts(self, addresses: np.ndarray, kernels: KernelSet) -> Accounts:
        """The accounts at ``addresses`` uint8[A,20], as they are now, in one batch."""
        addresses = _rows(addresses, 20, "addresses")
        (keys,) = _hash_rows(kernels, addresses)
        accounts, _ = self._read_accounts(addresses, keys)
        return accounts

    def storage(self, addresses: np.ndarray, slots: np.ndarray, kernels: KernelSet) -> np.ndarray:
        """The words uint8[S,32] at (address uint8[20], slot uint8[32]) a row, as they are now; zero where there is
        none.
        """
        addresses, slots = _rows(addresses, 20, "addresses"), _rows(slots, 32, "slots")
        if len(addresses) != len(slots):
            raise InputError(f"{len(addresses)} addresses for {len(slots)} slots")
        group, groups = group_rows(addresses)
        _, first = np.unique(group, return_index=True)
        keys, slot_keys = _hash_rows(kernels, addresses[first], slots)
        roots = self._storage_roots(keys)
        tries = np.full(groups, self._no_storage, dtype=np.int64)
        for account in range(groups):
            key = keys[account].tobytes()
            if key in self._storage or roots[account].tobytes() != EMPTY_ROOT:
                tries[account] = self._open_storage(key, roots[account])
        values, _ = self._forest.get(tries[group], slot_keys)
        return _words(values, slots)

    def prove(
        self, addresses: np.ndarray, kernels: KernelSet, *, slots: np.ndarray | None = None,
        slot_account: np.ndarray | None = None,
    ) -> StateProofs:  # fmt: skip
        """Open the accounts at ``addresses`` uint8[A,20], there or not, under the root of the last ``commit_root``, and
        ``slots`` uint8[S,32] of them: slot i is of the account in row ``slot_account[i]`` int64[S].

        Keys are hashed by ``kernels``, in one call; the nodes are those that the state holds, so nothing else is
        hashed. UsageError where the state has changed since; StoreError where a node cannot be loaded.
        """
        addresses = _rows(addresses, 20, "addresses")
        slots = np.empty((0, 32), dtype=np.uint8) if slots is None else _rows(slots, 32, "slots")
        owner = np.empty(0, dtype=np.int64) if slot_account is None else np.ascontiguousarray(slot_account, np.int64)
        if len(owner) != len(slots) or (len(owner) and not (owner.min() >= 0 and owner.max() < len(addresses))):
            raise InputError(f"{len(slots)} slots need as many rows of {len(addresses)} addresses")
        if self._changed:
            raise UsageError("the state has changes that are not hashed yet: call commit_root first")
        keys, slot_keys = _hash_rows(kernels, addresses, slots)
        found = self._forest.prove(self._accounts, keys)
        accounts, roots = _accounts_of(found.values, found.found, addresses, keys)
        tries = np.full(len(addresses), self._no_storage, dtype=np.int64)
        for row in np.unique(owner).tolist():
            if roots[row].tobytes() != EMPTY_ROOT:
                tries[row] = self._open_storage(keys[row].tobytes(), roots[row])
        opened = self._forest.prove(tries[owner], slot_keys)
        root = self._forest.roots(np.array([self._accounts], dtype=np.int64))[0].tobytes()
        cells = StorageCells(addresses[owner], slots, _words(opened.values, slots))
        return StateProofs(root, accounts, roots, found, cells, owner, opened)

    def memory_bytes(self) -> int:
        """Bytes that the nodes and values of all open tries take."""
        return self._forest.memory_bytes()

    # -- inside -----------------------------------------------------------------------------------------------------

    def _read_accounts(self, addresses: np.ndarray, keys: np.ndarray) -> tuple[Accounts, np.ndarray]:
        """The accounts, and their storage roots as of the last root."""
        records, found = self._forest.get(self._accounts, keys)
        return _accounts_of(records, found, addresses, keys)

    def _storage_roots(self, keys: np.ndarray) -> np.ndarray:
        return self._read_accounts(np.empty((0, 20), dtype=np.uint8), keys)[1]

    def _open_storage(self, key: bytes, root: np.ndarray) -> int:
        trie = self._storage.get(key)
        if trie is None:
            trie = self._storage[key] = self._forest.new_trie(root.tobytes())
        return trie

    def _drop_storage(self, key: bytes) -> None:
        trie = self._storage.pop(key, None)
        if trie is not None:
            self._forest.drop_trie(trie)
        self._changed.discard(key)


FULL_BRANCH = 3 + 16 * 33 + 1
"""Bytes of a branch with sixteen hashed children and no value. No other node of a state trie is that long: records of
accounts and storage words are shorter."""


class StateReader:
    """A committed state, read one key at a time: from the root down, every node fetched from the store and parsed.

    Independent of any ``State``, so it may be used in one thread while another changes the state and commits.
    """

    def __init__(self, store: Store, root: bytes, kernels: KernelSet) -> None:
        """The state under ``root`` of ``store``; ``kernels`` hash the keys."""
        if len(root) != 32:
            raise UsageError(f"a state root has 32 bytes, not {len(root)}")
        self._store = store
        self._root = root
        self._kernels = kernels

    def accounts(self, addresses: np.ndarray, keys: np.ndarray | None = None) -> Accounts:
        """The accounts at ``addresses`` uint8[A,20]. ``keys``: their keccak256 uint8[A,32], where it is known
        already.
        """
        addresses = _rows(addresses, 20, "addresses")
        if keys is None:
            (keys,) = _hash_rows(self._kernels, addresses)
        count = len(addresses)
        accounts = Accounts(
            addresses,
            np.zeros(count, dtype=np.uint64),
            np.zeros((count, 32), dtype=np.uint8),
            np.zeros((count, 32), dtype=np.uint8),
            np.zeros(count, dtype=np.bool_),
        )
        balances, code_hashes = bytearray(32 * count), bytearray(32 * count)
        with self._store.reading() as fetch:
            for i in range(count):
                record = self._find(fetch, self._root, keys[i].tobytes())
                if record is None:
                    continue
                nonce, balance, _, code_hash = _split_account(record)
                accounts.nonce[i] = nonce
                balances[32 * i + 32 - len(balance) : 32 * i + 32] = balance
                code_hashes[32 * i : 32 * i + 32] = code_hash
                accounts.exists[i] = True
        accounts.balance = np.frombuffer(balances, dtype=np.uint8).reshape(-1, 32)
        accounts.code_hash = np.frombuffer(code_hashes, dtype=np.uint8).reshape(-1, 32)
        return accounts

    def storage(self, addresses: np.ndarray, slots: np.ndarray) -> np.ndarray:
        """The words uint8[S,32] at (address uint8[20], slot uint8[32]) a row; zero where there is none."""
        addresses, slots = _rows(addresses, 20, "addresses"), _rows(slots, 32, "slots")
        if len(addresses) != len(slots):
            raise InputError(f"{len(addresses)} addresses for {len(slots)} slots")
        keys, slot_keys = _hash_rows(self._kernels, addresses, slots)
        words = bytearray(32 * len(slots))
        roots: dict[bytes, bytes] = {}
        with self._store.reading() as fetch:
            for i in range(len(slots)):
                key = keys[i].tobytes()
                root = roots.get(key)
                if root is None:
                    record = self._find(fetch, self._root, key)
                    root = roots[key] = EMPTY_ROOT if record is None else _split_account(record)[2]
                value = self._find(fetch, root, slot_keys[i].tobytes())
                if value is not None:
                    start, end = _string(value, 0, len(value))
                    if end != len(value) or end - start > 32:
                        raise StoreError(f"the word at slot {slots[i].tobytes().hex()} is malformed: {value.hex()}")
                    words[32 * i + 32 - (end - start) : 32 * i + 32] = value[start:end]
        return np.frombuffer(words, dtype=np.uint8).reshape(-1, 32)

    def code(self, code_hash: bytes) -> bytes:
        """A code by its hash."""
        return b"" if code_hash == EMPTY_CODE_HASH else self._store.get_code(code_hash)

    def _find(self, fetch: Callable[[bytes], bytes], root: bytes, key: bytes) -> bytes | None:
        if root == EMPTY_ROOT:
            return None
        path = key.hex()
        depth = 0
        digest = root
        node: bytes | None = None
        try:
            while True:
                if node is None:
                    node = fetch(digest)
                end = len(node)
                if end == FULL_BRANCH and node[0] == 0xF9:
                    # Most of the way down: sixteen digests side by side, so the child's place is known.
                    at = 4 + 33 * int(path[depth], 16)
                    digest, node = node[at : at + 32], None
                    depth += 1
                    continue
                at = 1 if node[0] < 0xF8 else node[0] - 0xF6
                # A branch has 17 items, a leaf or extension two: the second item of those ends the node.
                first, second = _string(node, at, end)
                if second < end and _skip(node, second) == end:
                    flag = node[first]
                    own = node[first:second].hex()[1 if flag & 0x10 else 2 :]
                    if not path.startswith(own, depth):
                        return None
                    depth += len(own)
                    if flag & 0x20:
                        if depth != len(path):
                            return None
                        start, stop = _string(node, second, end)
                        return node[start:stop]
                    at = second
                else:
                    for _ in range(int(path[depth], 16)):
                        head = node[at]
                        at += 33 if head == 0xA0 else 1 if head == 0x80 else _skip(node, at) - at
                    depth += 1
                head = node[at]
                if head == 0xA0:
                    digest, node = node[at + 1 : at + 33], None
                elif head == 0x80:
                    return None
                else:
                    node = node[at : _skip(node, at)]
        except IndexError:
            raise StoreError(f"trie node {digest.hex()} is malformed") from None


def _skip(data: bytes, at: int) -> int:
    """Where the RLP item at ``at`` ends."""
    head = data[at]
    if head < 0x80:
        return at + 1
    if head < 0xB8:
        return at + head - 0x7F
    if head < 0xC0:
        size = head - 0xB7
        return at + 1 + size + int.from_bytes(data[at + 1 : at + 1 + size], "big")
    if head < 0xF8:
        return at + head - 0xBF
    size = head - 0xF7
    return at + 1 + size + int.from_bytes(data[at + 1 : at + 1 + size], "big")


def _string(data: bytes, at: int, end: int) -> tuple[int, int]:
    """(start, end) of the payload of the RLP string at ``at``; IndexError where that is not inside ``data[:end]``."""
    head = data[at]
    if head < 0x80:
        return at, at + 1
    stop = _skip(data, at)
    if stop > end:
        raise IndexError
    return (at + 1 if head < 0xB8 else at + head - 0xB6), stop


def _split_account(record: bytes) -> tuple[int, bytes, bytes, bytes]:
    """(nonce, balance without leading zeros, storage root, code hash)."""
    size = len(record)
    try:
        start, end = _string(record, 2, size)
        first, last = _string(record, end, size)
        if (
            last + 66 == size
            and record[0] == 0xF8
            and record[1] == size - 2
            and last - first <= 32
            and end - start <= 8
        ):
            return int.from_bytes(record[start:end], "big"), record[first:last], record[-65:-33], record[-32:]
    except IndexError:
        pass
    raise StoreError(f"an account record is malformed: {record.hex()}")
