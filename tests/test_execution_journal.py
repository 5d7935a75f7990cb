"""The scanner of revm's text, on what pyrevm 0.3.7 printed and on damaged text; instructions; access lists; fees."""

from __future__ import annotations

import numpy as np
import pytest
import rlp
from hypothesis import given
from hypothesis import strategies as st

from chaindp.chain.execution.columns import addresses_to_column, addresses_to_hex
from chaindp.chain.execution.journal import database_reads, parse_journal, storage_of
from chaindp.chain.execution.opcodes import instructions, mask_of
from chaindp.chain.execution.validity import decode_access_list, effective_prices, intrinsic_gas
from chaindp.chain.types import Ragged
from chaindp.errors import ChaindpError, InputError

EMPTY = "0xc5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470"
EMPTY_CODE = 'Some(Bytecode { bytecode: 0x00, state: Analysed { len: 0, jump_map: JumpMap { map: "00" } } })'
A, B, C = "0x" + "aa" * 20, "0x" + "bb" * 20, "0x" + "cc" * 20
SLOT = "StorageSlot { previous_or_original_value: "
JOURNAL = (
    "JournaledState { state: {"
    f"{A}: Account {{ info: AccountInfo {{ balance: 999999999999999995, nonce: 3, code_hash: {EMPTY}, code: None }}, "
    "storage: {}, status: AccountStatus(Touched) }, "
    f"{B}: Account {{ info: AccountInfo {{ balance: 5, nonce: 1, code_hash: 0x{'12' * 32}, code: "
    'Some(Bytecode { bytecode: 0x6001000000, state: Analysed { len: 2, jump_map: JumpMap { map: "00" } } }) }, '
    f"storage: {{7: {SLOT}0, present_value: 8 }}, {2**256 - 1}: {SLOT}3, present_value: 3 }}}}, "
    "status: AccountStatus(Created | SelfDestructed | Touched) }, "
    f"{C}: Account {{ info: AccountInfo {{ balance: 0, nonce: 0, code_hash: {EMPTY}, code: {EMPTY_CODE} }}, "
    "storage: {}, status: AccountStatus(0x0) }}, transient_storage: {}, logs: [], depth: 1, journal: [[]] }"
)
DATABASE = (
    "EVM { x: y, db: Memory(CacheDB { accounts: {"
    f"{A}: DbAccount {{ info: AccountInfo {{ balance: 1, nonce: 3, code_hash: {EMPTY}, code: None }}, "
    "account_state: None, storage: {} }, "
    f"{B}: DbAccount {{ info: AccountInfo {{ balance: 0, nonce: 1, code_hash: 0x{'12' * 32}, "
    "code: Some(Bytecode { bytecode: 0x6001, state: Raw }) }, account_state: None, storage: {1: 78, 2: 0} }"
    "}, contracts: {} }) }"
)


def test_parse_journal() -> None:
    accounts = parse_journal(JOURNAL)
    assert list(accounts) == [A, B, C]
    assert (accounts[A].balance, accounts[A].nonce, accounts[A].code, accounts[A].slots) == (10**18 - 5, 3, None, [])
    assert (accounts[A].touched, accounts[A].created, accounts[A].destroyed) == (True, False, False)
    assert (accounts[B].code_hash, accounts[B].code) == (b"\x12" * 32, b"\x60\x01")
    assert accounts[B].slots == [(7, 0, 8), (2**256 - 1, 3, 3)]
    assert (accounts[B].touched, accounts[B].created, accounts[B].destroyed) == (True, True, True)
    assert (accounts[C].touched, accounts[C].code) == (False, b"")
    assert storage_of(JOURNAL, B) == accounts[B].slots
    assert storage_of(JOURNAL, C) == []
    assert parse_journal("JournaledState { state: {}, transient_storage: {}, logs: [] }") == {}


def test_database_reads() -> None:
    assert database_reads(DATABASE) == {A: [], B: [1, 2]}


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[:200],
        lambda text: text.replace("nonce: 3", "nonce: -3"),
        lambda text: text.replace("balance:", "funds:"),
        lambda text: text.replace("Account {", "Konto {"),
        lambda text: text.replace("present_value: 8", "present_value: 0x8"),
        lambda text: "",
    ],
)
def test_text_of_another_shape_is_an_error(damage) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ChaindpError, match="is not of the known shape at character"):
        parse_journal(damage(JOURNAL))


def test_other_errors() -> None:
    with pytest.raises(ChaindpError, match="does not have account"):
        storage_of(JOURNAL, "0x" + "dd" * 20)
    with pytest.raises(ChaindpError, match="known shape"):
        storage_of(JOURNAL.replace("present_value", "value"), B)
    for text in ("", DATABASE.replace("account_state", "state"), DATABASE[:-40]):
        with pytest.raises(ChaindpError, match="known shape"):
            database_reads(text)


@given(st.binary(max_size=200))
def test_instructions_against_a_sweep_by_iterator(code: bytes) -> None:
    expected, rest = 0, iter(code)
    for opcode in rest:
        expected |= mask_of(opcode)
        for _ in range(max(0, opcode - 0x5F) if opcode <= 0x7F else 0):
            next(rest, None)
    assert instructions(code) == expected


@given(
    st.lists(
        st.tuples(st.binary(min_size=20, max_size=20), st.lists(st.binary(min_size=32, max_size=32), max_size=9)),
        max_size=5,
    )
)
def test_access_lists_against_rlp(entries: list[tuple[bytes, list[bytes]]]) -> None:
    encoded = rlp.encode([[address, slots] for address, slots in entries])
    expected = [("0x" + address.hex(), [int.from_bytes(slot, "big") for slot in slots]) for address, slots in entries]
    assert decode_access_list(encoded) == expected
    if entries:
        for end in range(1, len(encoded)):
            with pytest.raises(InputError, match="access list"):
                decode_access_list(encoded[:end])
        with pytest.raises(InputError, match="access list"):
            decode_access_list(encoded + b"\0")


@given(st.binary(max_size=120))
def test_access_lists_of_any_bytes_are_read_or_refused(data: bytes) -> None:
    try:
        entries = decode_access_list(data)
    except InputError:
        return
    again = rlp.encode(
        [[bytes.fromhex(name[2:]), [slot.to_bytes(32, "big") for slot in slots]] for name, slots in entries]
    )
    assert again == (data or b"\xc0")


@given(st.lists(st.tuples(st.binary(max_size=80), st.booleans(), st.integers(0, 3)), max_size=8))
def test_intrinsic_gas_against_plain_sums(rows: list[tuple[bytes, bool, int]]) -> None:
    data = Ragged.from_items([row for row, _, _ in rows])
    lists = Ragged.from_items(
        [rlp.encode([[bytes(20), [bytes(32)] * slots]]) if slots else b"" for _, _, slots in rows]
    )
    expected = [
        21_000
        + sum(16 if byte else 4 for byte in row)
        + (32_000 + 2 * -(-len(row) // 32) if creates else 0)
        + (2_400 + 1_900 * slots if slots else 0)
        for row, creates, slots in rows
    ]
    assert intrinsic_gas(data, np.array([creates for _, creates, _ in rows], dtype=bool), lists).tolist() == expected


@given(st.lists(st.binary(min_size=20, max_size=20)))
def test_addresses_and_hex(values: list[bytes]) -> None:
    column = np.frombuffer(b"".join(values), dtype=np.uint8).reshape(-1, 20)
    assert addresses_to_hex(column) == ["0x" + value.hex() for value in values]
    assert (addresses_to_column(addresses_to_hex(column)) == column).all()


def test_effective_prices() -> None:
    assert effective_prices([10, 10, 10], [10, 3, 0], 4) == [10, 7, 4]
