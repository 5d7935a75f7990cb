"""What can never be executed is found without the state, and what admission lets through is executed."""

from __future__ import annotations

import pytest
import rlp
from hypothesis import given, settings
from hypothesis import strategies as st

from chaindp.chain.admission import Admission
from chaindp.chain.execution.revm import RevmExecutor
from chaindp.chain.execution.validity import check_static, static_faults
from chaindp.chain.types import TransactionBatch
from chaindp.errors import InputError
from execution_world import CHAIN, GWEI, Tx, World, address, batch, env

A, B, CONTRACT = address(1), address(2), address(3)
ETHER = 10**18
LIST = rlp.encode([[B, [bytes(32), bytes(31) + b"\1"]]])


def changed(row: Tx, **columns: int) -> TransactionBatch:
    result = batch(row)
    for name, value in columns.items():
        getattr(result, name)[0] = value
    return result


FINE = {
    "transfer": changed(Tx(A, 0, B, gas=21_000)),
    "no chain": changed(Tx(A, 0, B, type=0), chain_id=0),
    "fee cap": changed(Tx(A, 0, B, cap=GWEI, priority=0)),
    "priority": changed(Tx(A, 0, B, cap=GWEI, priority=GWEI)),
    "creation": changed(Tx(A, 0, data=bytes(49_152), gas=21_000 + 32_000 + 49_152 * 4 + 1_536 * 2)),
    "init code as data": changed(Tx(A, 0, B, data=bytes(49_153), gas=21_000 + 49_153 * 4)),
    "access list": changed(Tx(A, 0, B, gas=21_000 + 2_400 + 2 * 1_900, access_list=LIST)),
    "whole block": changed(Tx(A, 0, B, gas=30_000_000)),
    "nonce": changed(Tx(A, 2**64 - 2, B)),
}
FAULTY = {
    "intrinsic gas": changed(Tx(A, 0, B, gas=20_999)),
    "chain": changed(Tx(A, 0, B), chain_id=CHAIN + 1),
    "fee cap": changed(Tx(A, 0, B, cap=GWEI - 1, priority=0)),
    "priority": changed(Tx(A, 0, B, cap=GWEI, priority=GWEI + 1)),
    "creation": changed(Tx(A, 0, data=bytes(49_152), gas=21_000 + 32_000 + 49_152 * 4 + 1_536 * 2 - 1)),
    "init code": changed(Tx(A, 0, data=bytes(49_153), gas=10**6)),
    "access list": changed(Tx(A, 0, B, gas=21_000 + 2_400 + 2 * 1_900 - 1, access_list=LIST)),
    "more than a block": changed(Tx(A, 0, B, gas=30_000_001)),
    "nonce": changed(Tx(A, 2**64 - 1, B)),
    "blobs": changed(Tx(A, 0, B), type=3),
    "set code": changed(Tx(A, 0, B), type=4),
}


@pytest.mark.parametrize("name", FINE)
def test_what_may_be_executed_has_no_fault(name: str) -> None:
    assert static_faults(env(), FINE[name]).tolist() == [False]
    check_static(env(), FINE[name])


@pytest.mark.parametrize("name", FAULTY)
def test_each_fault_is_found_by_the_mask_and_refused_by_the_engine(name: str) -> None:
    assert static_faults(env(), FAULTY[name]).tolist() == [True]
    if FAULTY[name].type[0] <= 2:
        with pytest.raises(InputError, match=r"^transaction 0 (has|is) "):
            check_static(env(), FAULTY[name])


def test_faults_are_found_row_by_row_and_without_senders() -> None:
    rows = batch(Tx(A, 0, B), Tx(A, 1, B, gas=20_999), Tx(A, 1, B), Tx(A, 2, B, cap=0, priority=0))
    rows.sender = None
    assert static_faults(env(), rows).tolist() == [False, True, False, True]
    assert static_faults(env(), batch()).tolist() == []


def test_a_malformed_access_list_is_named() -> None:
    rows = batch(Tx(A, 0, B), Tx(A, 1, B, access_list=b"\xc2\xc1\x80"))
    with pytest.raises(InputError, match="transaction 1: access_list has the wrong number of bytes"):
        static_faults(env(), rows)


FEE = st.sampled_from([0, GWEI - 1, GWEI, GWEI + 1, 3 * GWEI, 2**200])
TX = st.builds(
    Tx,
    sender=st.sampled_from([A, B, CONTRACT, address(9)]),
    nonce=st.sampled_from([0, 0, 0, 1, 1, 2, 3, 2**64 - 1]),
    to=st.sampled_from([A, B, CONTRACT, address(8), None]),
    value=st.sampled_from([0, 1, ETHER // 2, ETHER, 2**255]),
    data=st.sampled_from([b"", b"\0\1", bytes(49_153)]),
    gas=st.sampled_from([0, 20_999, 21_000, 60_000, 10**6, 30_000_000, 30_000_001, 2**64 - 1]),
    cap=FEE,
    priority=FEE,
    type=st.integers(0, 4),
    access_list=st.sampled_from([b"", b"", b"\xc0", LIST]),
)


@settings(max_examples=150)
@given(st.lists(st.lists(st.tuples(TX, st.sampled_from([CHAIN, CHAIN, 0, 1])), max_size=6), max_size=3))
def test_what_admission_passes_is_executed(blocks: list[list[tuple[Tx, int]]]) -> None:
    world = World(
        {A: (0, 10 * ETHER, b""), B: (0, ETHER, b""), CONTRACT: (1, ETHER, b"\x5f\x5f\x55"), address(9): (3, 0, b"")}
    )
    genesis = world.copy()
    admission = Admission(lambda addresses: genesis.columns([row.tobytes() for row in addresses]))
    engine = RevmExecutor(CHAIN)
    for number, rows in enumerate(blocks, start=1):
        block, transactions = env(number=number), batch(*[row for row, _ in rows])
        transactions.chain_id[:] = [chain for _, chain in rows]
        admitted, _ = admission.admit(transactions, static_faults(block, transactions), gas_limit=block.gas_limit)
        passed = [row for row, good in zip(rows, admitted, strict=True) if good]
        kept = batch(*[row for row, _ in passed])
        kept.chain_id[:] = [chain for _, chain in passed]
        result = engine.execute(block, kept, world.load)
        assert result.receipts.count == len(passed)
        world.apply(result.diff)


def test_gas_limits_that_only_together_exceed_the_block() -> None:
    world = World({A: (0, ETHER, b"")})
    rows = batch(Tx(A, 0, B, gas=30_000_000), Tx(A, 1, B, gas=30_000_000))
    assert not static_faults(env(), rows).any()
    with pytest.raises(InputError, match="transaction 1 has gas limit 30000000 where the block has 29979000 left"):
        RevmExecutor(CHAIN).execute(env(), rows, world.load)
    admission = Admission(lambda addresses: world.columns([row.tobytes() for row in addresses]))
    assert admission.admit(rows, gas_limit=30_000_000)[0].tolist() == [True, False]
