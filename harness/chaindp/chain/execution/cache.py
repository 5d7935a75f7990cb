"""The flat state that an engine executes on, with the changes of the block in progress: to write out, or to undo."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from chaindp.chain.codec.words import ints_to_words, words_to_ints
from chaindp.chain.execution.columns import addresses_to_column, addresses_to_hex
from chaindp.chain.types import EMPTY_CODE_HASH, Accounts, StateDiff, StorageCells
from chaindp.errors import InputError

__all__ = ["Account", "FlatCache"]


class Account(NamedTuple):
    """One account; a state without it has None in its place."""

    nonce: int
    balance: int
    code_hash: bytes

    @property
    def empty(self) -> bool:
        """No nonce, no balance, no code: what EIP-161 removes once it is touched."""
        return self.nonce == 0 and self.balance == 0 and self.code_hash == EMPTY_CODE_HASH


class FlatCache:
    """Accounts by lowercase hex address and slots by number, as of the last transaction executed.

    ``wiped`` accounts were created or removed since they were loaded: a slot of theirs that is not here is zero,
    whatever the store below may still say. ``ever_cleared`` are the accounts that lost slots that were not zero.
    """

    def __init__(self) -> None:
        self.accounts: dict[str, Account | None] = {}
        self.storage: dict[str, dict[int, int]] = {}
        self.codes: dict[bytes, bytes] = {EMPTY_CODE_HASH: b""}
        self.wiped: set[str] = set()
        self.ever_cleared: set[str] = set()
        self._old_accounts: dict[str, Account | None] = {}
        self._old_storage: dict[str, dict[int, int]] = {}
        self._cleared: dict[str, tuple[dict[int, int], bool]] = {}
        self._new_codes: dict[bytes, bytes] = {}

    def knows_slot(self, address: str, slot: int) -> bool:
        """Whether the value of this slot is known."""
        return slot in self.storage.get(address, ()) or address in self.wiped

    def slot(self, address: str, slot: int) -> int:
        """The value of a slot; zero where it is not here."""
        return self.storage.get(address, {}).get(slot, 0)

    def load_accounts(self, accounts: Accounts, codes: Mapping[bytes, bytes]) -> None:
        """Put in the rows that are not here. InputError where the code of one is neither here nor in ``codes``."""
        known, here = self.accounts, self.codes
        hashes = accounts.code_hash.tobytes()
        balances = words_to_ints(accounts.balance)
        nonces, exists = accounts.nonce.tolist(), accounts.exists.tolist()
        for index, address in enumerate(addresses_to_hex(accounts.address)):
            if address in known:
                continue
            if not exists[index]:
                known[address] = None
                continue
            code_hash = hashes[32 * index : 32 * index + 32]
            if code_hash == EMPTY_CODE_HASH:
                code_hash = EMPTY_CODE_HASH  # one object for all
            elif code_hash not in here:
                if code_hash not in codes:
                    raise InputError(f"the code of account {address} was not loaded with it (hash 0x{code_hash.hex()})")
                here[code_hash] = bytes(codes[code_hash])
            known[address] = Account(nonces[index], balances[index], code_hash)

    def load_storage(self, cells: StorageCells) -> list[tuple[str, int, int]]:
        """Put in the rows that are not here, and return those whose value is not zero, as (address, slot, value)."""
        storage, wiped = self.storage, self.wiped
        addresses, slots = addresses_to_hex(cells.address), words_to_ints(cells.slot)
        added = []
        for address, slot, value in zip(addresses, slots, words_to_ints(cells.value), strict=True):
            if address in wiped:
                continue
            account = storage.get(address)
            if account is None:
                account = storage[address] = {}
            if slot not in account:
                account[slot] = value
                if value:
                    added.append((address, slot, value))
        return added

    def begin_block(self) -> None:
        """Forget the changes recorded so far: they now belong to the state."""
        self._old_accounts, self._old_storage, self._cleared, self._new_codes = {}, {}, {}, {}

    def set_account(self, address: str, account: Account | None) -> None:
        """Change an account that is here; an empty one is removed (EIP-161)."""
        if address not in self._old_accounts:
            self._old_accounts[address] = self.accounts[address]
        if account is None or (account.balance == 0 and account.empty):
            if self.accounts[address] is not None:
                self.clear_storage(address)
            account = None
        self.accounts[address] = account

    def set_slot(self, address: str, slot: int, value: int) -> None:
        """Change a slot."""
        slots = self.storage.setdefault(address, {})
        if address not in self._cleared:
            self._old_storage.setdefault(address, {}).setdefault(slot, slots.get(slot, 0))
        slots[slot] = value

    def clear_storage(self, address: str) -> None:
        """Make all slots of an account zero."""
        slots = self.storage.get(address, {})
        if address not in self._cleared:
            before = dict(slots)
            before.update(self._old_storage.get(address, {}))
            self._cleared[address] = (before, address in self.wiped)
            self._old_storage.pop(address, None)
        if any(slots.values()):
            self.ever_cleared.add(address)
        self.wiped.add(address)
        self.storage[address] = {}

    def add_code(self, code_hash: bytes, code: bytes) -> None:
        """A code that a transaction put on the chain."""
        if code_hash not in self.codes:
            self.codes[code_hash] = code
        self._new_codes[code_hash] = code

    def undo_block(self) -> list[tuple[str, int, int]]:
        """Take back every change since ``begin_block``; returns each (address, slot, value) that changed back."""
        restored = []
        for address, (before, was_wiped) in self._cleared.items():
            after = self.storage.get(address, {})
            restored += [(address, slot, before.get(slot, 0)) for slot in {**after, **before}]
            self.storage[address] = before
            if not was_wiped:
                self.wiped.discard(address)
        for address, slots in self._old_storage.items():
            restored += [(address, slot, value) for slot, value in slots.items()]
            self.storage[address].update(slots)
        self.accounts.update(self._old_accounts)
        self.begin_block()
        return restored

    def diff(self) -> StateDiff:
        """What changed since ``begin_block``. Accounts and slots that ended as they began are left out."""
        cells: list[tuple[str, int, int]] = []
        for address in self._cleared:
            cells += [(address, slot, value) for slot, value in self.storage[address].items() if value]
        for address, slots in self._old_storage.items():
            now = self.storage[address]
            cells += [(address, slot, now[slot]) for slot, value in slots.items() if now[slot] != value]
        changed = dict.fromkeys(a for a, old in self._old_accounts.items() if self.accounts[a] != old)
        # A cleared account that was not there before and is not there now left nothing to clear.
        cleared = {a for a in self._cleared if self.accounts[a] is not None or self._old_accounts.get(a) is not None}
        changed.update(dict.fromkeys(a for a in self._cleared if a in cleared))
        changed.update(dict.fromkeys(address for address, _, _ in cells))
        addresses = list(changed)
        none = Account(0, 0, EMPTY_CODE_HASH)
        rows = [self.accounts[address] for address in addresses]
        final = [row if row is not None else none for row in rows]
        hashes = b"".join([row.code_hash for row in final])
        return StateDiff(
            address=addresses_to_column(addresses),
            nonce=np.array([row.nonce for row in final], dtype=np.uint64),
            balance=ints_to_words([row.balance for row in final]),
            code_hash=np.frombuffer(hashes, dtype=np.uint8).reshape(-1, 32),
            deleted=np.array([row is None for row in rows], dtype=bool),
            storage_cleared=np.array([address in cleared for address in addresses], dtype=bool),
            storage=StorageCells(
                address=addresses_to_column([address for address, _, _ in cells]),
                slot=ints_to_words([slot for _, slot, _ in cells]),
                value=ints_to_words([value for _, _, value in cells]),
            ),
            codes=dict(self._new_codes),
        )
