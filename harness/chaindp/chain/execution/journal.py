"""The text that revm's Debug formatting makes of its journal and of its database, as data.

The binding offers storage changes, account flags and what was read in no other form. The scanner is strict: text that
is not exactly of the known shape is an error, never a guess.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from chaindp.errors import ChaindpError

__all__ = ["JournalAccount", "database_reads", "parse_journal", "storage_of"]

_CODE = (
    r"(?:None|Some\(Bytecode \{ bytecode: 0x([0-9a-f]*), state: "
    r'(?:Raw|Analysed \{ len: (\d+), jump_map: JumpMap \{ map: "[0-9a-f]*" \} \}) \}\))'
)
_INFO = r"AccountInfo \{ balance: (\d+), nonce: (\d+), code_hash: 0x([0-9a-f]{64}), code: " + _CODE + r" \}"
_ACCOUNT = re.compile(
    r"(0x[0-9a-f]{40}): Account \{ info: " + _INFO + r", storage: \{([^{}]*(?:\{[^{}]*\}[^{}]*)*)\}, "
    r"status: AccountStatus\(([^)]*)\) \}(, |\}, transient_storage: )"
)
_SLOT = re.compile(r"(\d+): StorageSlot \{ previous_or_original_value: (\d+), present_value: (\d+) \}(?:, |$)")
_SLOT_WORDS = len(": StorageSlot { previous_or_original_value: , present_value:  }, ")
_STATE = "JournaledState { state: {"
_DB_ACCOUNT = re.compile(
    r"(0x[0-9a-f]{40}): DbAccount \{ info: "
    + _INFO
    + r", account_state: \w+, storage: \{([^{}]*)\} \}(, |\}, contracts: )"
)
_DATABASE = "db: Memory(CacheDB { accounts: {"


@dataclass(frozen=True, slots=True)
class JournalAccount:
    """One account of the journal. ``code`` is None where revm has not loaded it; ``slots`` are (slot, before, now)."""

    balance: int
    nonce: int
    code_hash: bytes
    code: bytes | None
    slots: list[tuple[int, int, int]]
    touched: bool
    created: bool
    destroyed: bool


def _unknown(what: str, text: str, position: int) -> ChaindpError:
    return ChaindpError(
        f"the {what} of revm is not of the known shape at character {position}: {text[position : position + 60]!r}"
    )


def _slots(text: str) -> list[tuple[int, int, int]]:
    if not text:
        return []
    found = _SLOT.findall(text)
    # All of the text has to be slots: each is as long as its three numbers and the words around them.
    if sum(map(len, map("".join, found))) + _SLOT_WORDS * len(found) != len(text) + 2:
        raise _unknown("journal's storage", text, 0)
    return [(int(slot), int(before), int(now)) for slot, before, now in found]


def _code(digits: str | None, length: str | None) -> bytes | None:
    if digits is None:
        return None
    code = bytes.fromhex(digits)
    # Analysed code is padded with zero bytes; the text says how long it really is.
    return code if length is None else code[: int(length)]


def parse_journal(text: str) -> dict[str, JournalAccount]:
    """The accounts in ``EVM.journal_str``, by lowercase hex address. ChaindpError on text of another shape."""
    if not text.startswith(_STATE):
        raise _unknown("journal", text, 0)
    position = len(_STATE)
    accounts: dict[str, JournalAccount] = {}
    if text.startswith("}, transient_storage: ", position):
        return accounts
    while True:
        match = _ACCOUNT.match(text, position)
        if match is None:
            raise _unknown("journal", text, position)
        address, balance, nonce, code_hash, digits, length, storage, status, end = match.groups()
        flags = status.split(" | ")
        accounts[address] = JournalAccount(
            balance=int(balance),
            nonce=int(nonce),
            code_hash=bytes.fromhex(code_hash),
            code=_code(digits, length),
            slots=_slots(storage),
            touched="Touched" in flags,
            created="Created" in flags,
            destroyed="SelfDestructed" in flags,
        )
        if end != ", ":
            return accounts
        position = match.end()


def storage_of(text: str, address: str) -> list[tuple[int, int, int]]:
    """The slots (slot, before, now) of one account in ``EVM.journal_str``: quick, where nothing else is wanted."""
    start = text.find(address + ": Account {")
    if start < 0:
        raise ChaindpError(f"the journal of revm does not have account {address}")
    start = text.find(", storage: {", start) + 12
    end = text.find("}, status: AccountStatus(", start)
    if start < 12 or end < 0:
        raise _unknown("journal", text, start)
    return _slots(text[start:end])


def database_reads(text: str) -> dict[str, list[int]]:
    """From ``str(EVM)``: the addresses in its database and the slots there, asked for or put in, by reverted calls too.

    A reverted call leaves no trace in the journal, but what it read stays in the database's cache.
    """
    position = text.find(_DATABASE)
    if position < 0:
        raise _unknown("database", text, 0)
    position += len(_DATABASE)
    reads: dict[str, list[int]] = {}
    while True:
        match = _DB_ACCOUNT.match(text, position)
        if match is None:
            raise _unknown("database", text, position)
        storage = match[7]
        reads[match[1]] = [int(cell.partition(": ")[0]) for cell in storage.split(", ")] if storage else []
        if match[8] != ", ":
            return reads
        position = match.end()
