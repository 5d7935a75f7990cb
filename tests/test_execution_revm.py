"""The revm engine: fees, nonces, failures, creations, misses, refusals; each claim about the binding, by experiment."""

from __future__ import annotations

import numpy as np
import pytest
import rlp

from chaindp.chain.execution import UnsupportedError
from chaindp.chain.execution.executor import ExecutionResult
from chaindp.chain.execution.revm import RevmExecutor
from chaindp.chain.types import BlockEnv
from chaindp.errors import InputError, UsageError
from execution_world import CHAIN, COINBASE, GWEI, Tx, World, address, batch, env, keccak

A, B, C = address(1), address(2), address(3)
ETHER = 10**18


def push(value: int, size: int = 1) -> bytes:
    return bytes([0x5F + size]) + value.to_bytes(size, "big")


def store(code: bytes, slot: int) -> bytes:
    """Code that leaves one word, then SSTORE to ``slot``."""
    return code + push(slot) + b"\x55"


def init(runtime: bytes, before: bytes = b"") -> bytes:
    """Init code that runs ``before`` and returns ``runtime``."""
    start = len(before) + 12
    return before + push(len(runtime), 2) + b"\x80" + push(start) + push(0) + b"\x39" + push(0) + b"\xf3" + runtime


def run(world: World, *rows: Tx, block: BlockEnv | None = None, engine: RevmExecutor | None = None) -> ExecutionResult:
    """Execute one block, with nothing preloaded, and bring the world up to date."""
    result = (engine or RevmExecutor(CHAIN)).execute(block or env(), batch(*rows), world.load)
    world.apply(result.diff)
    return result


def rich(**codes: bytes) -> World:
    world = World({A: (0, 10 * ETHER, b""), B: (0, ETHER, b"")})
    for index, code in enumerate(codes.values()):
        world.accounts[address(100 + index)] = (1, 0, code)
    return world


CONTRACT = address(100)


def test_plain_transfer_moves_value_and_fees() -> None:
    world = rich()
    result = run(world, Tx(A, 0, C, value=5, gas=50_000))
    assert result.gas_used == 21_000
    assert world.accounts[A] == (1, 10 * ETHER - 5 - 21_000 * 2 * GWEI, b"")
    assert world.accounts[C] == (0, 5, b"")
    assert world.accounts[COINBASE] == (0, 21_000 * GWEI, b"")
    assert result.burnt == 21_000 * GWEI
    assert result.receipts.status.tolist() == [1]


def test_call_data_to_an_account_without_code_costs_gas() -> None:
    result = run(rich(), Tx(A, 0, B, data=b"\0\0\1"))
    assert result.gas_used == 21_000 + 4 + 4 + 16


@pytest.mark.parametrize("kind", [0, 1, 2])
def test_effective_price(kind: int) -> None:
    world = rich()
    run(world, Tx(A, 0, B, cap=3 * GWEI, priority=GWEI, type=kind))
    price = 2 * GWEI if kind == 2 else 3 * GWEI
    assert world.accounts[A][1] == 10 * ETHER - 21_000 * price
    assert world.accounts[COINBASE][1] == 21_000 * (price - GWEI)


def test_sender_recipient_and_coinbase_may_coincide() -> None:
    burnt = 21_000 * GWEI
    for sender, to, coinbase, expected in (
        (A, A, COINBASE, 10 * ETHER - 2 * burnt),
        (A, B, A, 10 * ETHER - burnt - 7),
        (A, A, A, 10 * ETHER - burnt),
    ):
        world = rich()
        run(world, Tx(sender, 0, to, value=7), block=env(coinbase=coinbase))
        assert world.accounts[A] == (1, expected, b"")
    world = rich()
    run(world, Tx(A, 0, COINBASE, value=7))
    assert world.accounts[COINBASE][1] == 7 + burnt


def test_nothing_of_value_leaves_no_empty_account() -> None:
    world = rich()
    result = run(world, Tx(A, 0, C, cap=GWEI, priority=0))
    assert C not in world.accounts
    assert COINBASE not in world.accounts
    assert len(result.diff.address) == 1


def test_an_empty_account_of_old_is_removed_when_touched() -> None:
    world = rich()
    world.accounts[C] = (0, 0, b"")
    result = run(world, Tx(A, 0, C))
    assert C not in world.accounts
    assert result.diff.deleted.sum() == 1


def test_opcodes_see_the_transaction_and_the_block() -> None:
    code = b"".join(
        store(part, slot)
        for slot, part in enumerate(
            [
                b"\x3a",
                b"\x33\x31",
                b"\x41",
                b"\x42",
                b"\x43",
                b"\x44",
                b"\x45",
                b"\x46",
                b"\x47",
                b"\x34",
                b"\x4a",
                b"\x32",
            ]
        )
    )
    world = rich(code=code)
    block = env()
    run(world, Tx(A, 0, CONTRACT, value=9, gas=1_000_000), block=block)
    seen = [world.storage.get((CONTRACT, slot), 0) for slot in range(12)]
    assert seen == [
        2 * GWEI, 10 * ETHER - 9 - 1_000_000 * 2 * GWEI, int.from_bytes(COINBASE, "big"), block.timestamp, block.number,
        0, block.gas_limit, CHAIN, 9, 9, 1, int.from_bytes(A, "big"),
    ]  # fmt: skip


def test_shared_and_isolated_ways_agree() -> None:
    """The same contract with and without an instruction that forces the isolated way, behind a STOP."""
    body = store(push(1) + b"\x54" + push(1) + b"\x01", 1) + store(b"\x3a", 2) + push(0) + push(0) + b"\xa0\x00"
    worlds = []
    for code in (body + b"\x5b", body + b"\x31"):
        world = rich(code=code)
        world.storage[CONTRACT, 1] = 41
        result = run(world, Tx(A, 0, CONTRACT, value=3), Tx(B, 0, CONTRACT), Tx(A, 1, CONTRACT))
        worlds.append(
            (
                world.storage,
                result.gas_used,
                len(result.receipts.log_tx),
                world.accounts[A],
                world.accounts[CONTRACT][:2],
            )
        )
    assert worlds[0] == worlds[1]
    assert worlds[0][0][CONTRACT, 1] == 44


def test_every_transaction_starts_cold_and_with_the_right_original_values() -> None:
    world = rich(code=store(b"\x43", 0))
    engine = RevmExecutor(CHAIN)
    used = [
        run(world, Tx(A, index, CONTRACT), block=env(number=5 + index // 2), engine=engine).gas_used
        for index in range(4)
    ]
    # 0 to 5 (new slot), 5 to 5, 5 to 6 (changed slot), 6 to 6; 2100 for the cold slot each time.
    assert [gas - 21_000 - 2 - 3 for gas in used] == [22_100, 2_200, 5_000, 2_200]


@pytest.mark.parametrize(
    ("code", "gas", "used"),
    [(b"\xfe", 50_000, 50_000), (b"\x5f\x5f\xfd", 50_000, 21_004), (b"\x5b\x5f\x56", 30_000, 30_000)],
)
def test_a_failed_call_keeps_fee_and_nonce_only(code: bytes, gas: int, used: int) -> None:
    world = rich(code=code)
    result = run(world, Tx(A, 0, CONTRACT, value=5, gas=gas))
    assert result.receipts.status.tolist() == [0]
    assert result.gas_used == used
    assert world.accounts[A] == (1, 10 * ETHER - used * 2 * GWEI, b"")
    assert world.accounts[CONTRACT] == (1, 0, code)


def test_a_miss_in_a_call_that_reverts_is_found() -> None:
    # Reverts unless slot 1 is set: with an engine that believed its empty cache this would fail.
    code = push(1) + b"\x54" + push(9) + b"\x57\x5f\x5f\xfd\x5b" + store(push(7), 0)
    world = rich(code=code)
    world.storage[CONTRACT, 1] = 1
    result = run(world, Tx(A, 0, CONTRACT))
    assert result.receipts.status.tolist() == [1]
    assert world.storage[CONTRACT, 0] == 7
    assert (CONTRACT, 1) in world.asked
    assert result.reruns >= 1


def test_a_miss_in_an_inner_call_that_reverts_is_found() -> None:
    inner = push(1) + b"\x54" + push(9) + b"\x57\x5f\x5f\xfd\x5b\x00"
    outer = store(b"\x5f\x5f\x5f\x5f\x5f" + push(int.from_bytes(address(101), "big"), 20) + b"\x5a\xf1", 0)
    world = rich(outer=outer, inner=inner)
    world.storage[address(101), 1] = 1
    run(world, Tx(A, 0, CONTRACT))
    assert world.storage[CONTRACT, 0] == 1


def test_precompile_as_target() -> None:
    result = run(rich(), Tx(A, 0, (4).to_bytes(20, "big"), data=b"\1" * 32))
    assert result.receipts.status.tolist() == [1]
    assert result.gas_used == 21_000 + 32 * 16 + 15 + 3


def test_creation_sets_code_nonce_storage_and_address() -> None:
    world = rich()
    runtime = store(push(1), 0)
    made = keccak(rlp.encode([A, 0]))[12:]
    result = run(world, Tx(A, 0, data=init(runtime, store(push(5), 9)), value=3))
    assert result.receipts.status.tolist() == [1]
    assert world.accounts[made] == (1, 3, runtime)
    assert world.storage == {(made, 9): 5}
    assert world.accounts[A] == (1, 10 * ETHER - 3 - result.gas_used * 2 * GWEI, b"")
    assert world.accounts[COINBASE] == (0, result.gas_used * GWEI, b"")
    assert result.burnt == result.gas_used * GWEI


def test_a_created_contract_is_called_in_the_same_block() -> None:
    world = rich()
    made = keccak(rlp.encode([A, 0]))[12:]
    run(world, Tx(A, 0, data=init(store(push(1), 0))), Tx(B, 0, made))
    assert world.storage == {(made, 0): 1}


def test_a_failed_creation_keeps_fee_and_nonce() -> None:
    world = rich()
    result = run(world, Tx(A, 0, data=b"\xfe", value=3))
    assert result.receipts.status.tolist() == [0]
    assert set(world.accounts) == {A, B, COINBASE}
    assert world.accounts[A] == (1, 10 * ETHER - 100_000 * 2 * GWEI, b"")


def test_selfdestruct_is_of_the_same_transaction_only() -> None:
    # EIP-6780: an older contract only sends its balance; one made and destroyed in a transaction goes away.
    world = rich(code=b"\x33\xff")
    world.accounts[CONTRACT] = (1, 11, b"\x33\xff")
    world.storage[CONTRACT, 1] = 1
    run(world, Tx(A, 0, CONTRACT))
    assert world.accounts[CONTRACT] == (1, 0, b"\x33\xff")
    assert world.storage == {(CONTRACT, 1): 1}
    made = keccak(rlp.encode([B, 0]))[12:]
    run(world, Tx(B, 0, data=store(push(5), 9) + b"\x33\xff", value=3))
    assert made not in world.accounts
    assert world.storage == {(CONTRACT, 1): 1}


def test_transient_storage_ends_with_the_transaction() -> None:
    code = store(push(0) + b"\x5c", 0) + push(9) + push(0) + b"\x5d"
    for suffix in (b"", b"\x00\x31"):
        world = rich(code=code + suffix)
        run(world, Tx(A, 0, CONTRACT), Tx(A, 1, CONTRACT))
        assert world.storage == {}


def test_access_list_warms_and_costs() -> None:
    world = rich(code=store(push(1) + b"\x54", 0))
    plain = run(world.copy(), Tx(A, 0, CONTRACT)).gas_used
    listed = run(world, Tx(A, 0, CONTRACT, access_list=rlp.encode([[CONTRACT, [bytes(31) + b"\1"]]]))).gas_used
    assert listed - plain == 2_400 + 1_900 - 2_000


def test_logs_leave_in_columns() -> None:
    code = (
        push(0xAB) + push(0) + b"\x52" + push(3) + push(2) + push(4) + push(28) + b"\xa2" + push(0) + push(0) + b"\xa0"
    )
    world = rich(code=code)
    receipts = run(world, Tx(A, 0, B), Tx(A, 1, CONTRACT)).receipts
    assert receipts.log_tx.tolist() == [1, 1]
    assert receipts.log_address.tobytes() == CONTRACT * 2
    assert receipts.log_topic_count.tolist() == [2, 0]
    assert receipts.log_topics[0, :2, 31].tolist() == [2, 3]
    assert receipts.log_data.items() == [b"\0\0\0\xab", b""]
    assert receipts.cumulative_gas.tolist() == np.cumsum(receipts.gas_used).tolist()


def test_a_coinbase_with_code_and_storage() -> None:
    code = store(push(1) + b"\x54" + push(1) + b"\x01", 1)
    world = rich(code=code)
    engine = RevmExecutor(CHAIN)
    for number in range(4):
        coinbase = CONTRACT if number % 2 else COINBASE
        run(
            world,
            Tx(A, 2 * number, CONTRACT),
            Tx(A, 2 * number + 1, CONTRACT),
            block=env(coinbase=coinbase),
            engine=engine,
        )
    assert world.storage[CONTRACT, 1] == 8


def test_what_is_cached_is_not_overwritten_by_older_rows() -> None:
    world = rich(code=store(b"\x43", 0))
    before = world.copy()
    engine = RevmExecutor(CHAIN)
    run(world, Tx(A, 0, CONTRACT), engine=engine)
    engine.load_accounts(before.columns([A, CONTRACT]), before.codes())
    engine.load_storage(before.cells([(CONTRACT, 0)]))
    result = run(world, Tx(A, 1, CONTRACT), engine=engine, block=env(number=9))
    assert world.storage[CONTRACT, 0] == 9
    assert result.late_loads == 0


INVALID = {
    "nonce": (Tx(A, 1, B), "has nonce 1 where that of 0xaa00000000000000000000000000000000000001 is 0"),
    "balance": (Tx(B, 0, C, value=ETHER), "does not cover value and fees"),
    "nobody": (Tx(C, 0, B), "does not cover value and fees"),
    "gas limit": (Tx(A, 0, B, gas=30_000_001), "has a gas limit above that of the block"),
    "fee cap": (Tx(A, 0, B, cap=GWEI - 1, priority=0), "has a fee cap below the block's base fee"),
    "priority": (Tx(A, 0, B, cap=GWEI, priority=GWEI + 1), "has a priority fee above its fee cap"),
    "intrinsic gas": (Tx(A, 0, B, gas=20_999), "has a gas limit below its intrinsic gas"),
    "init code gas": (Tx(A, 0, data=b"\1" * 32, gas=53_000 + 512 + 1), "has a gas limit below its intrinsic gas"),
    "init code size": (Tx(A, 0, data=bytes(49_153), gas=10**6), "has init code of more than 49152 bytes (EIP-3860)"),
    "code": (Tx(CONTRACT, 1, B), "has code (EIP-3607)"),
    "last nonce": (Tx(A, 2**64 - 1, B), "has a nonce that no transaction may have (EIP-2681)"),
    "access list": (Tx(A, 0, B, access_list=b"\xc2\xc1\x80"), "access_list has the wrong number of bytes"),
}


@pytest.mark.parametrize("name", INVALID)
def test_an_invalid_transaction_is_named_and_leaves_the_cache_as_it_was(name: str) -> None:
    bad, message = INVALID[name]
    world = rich(code=store(push(1), 0))
    world.accounts[CONTRACT] = (1, ETHER, world.accounts[CONTRACT][2])
    engine = RevmExecutor(CHAIN)
    good = Tx(B, 0, CONTRACT, value=1) if bad.sender != B and bad.gas != 30_000_001 else None
    rows = [good, bad] if good else [bad]
    with pytest.raises(InputError) as caught:
        engine.execute(env(), batch(*rows), world.load)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert f"transaction {len(rows) - 1}" in str(caught.value)
    # What ran before the bad one is undone: the same transaction runs again, to the same effect as on a new engine.
    fresh, again = world.copy(), world.copy()
    row = Tx(B, 0, CONTRACT, value=1)
    run(fresh, row)
    run(again, row, engine=engine)
    assert (fresh.accounts, fresh.storage) == (again.accounts, again.storage)


@pytest.mark.parametrize(
    ("code", "word"), [(b"\x48\x50", "BASEFEE"), (b"\x5f\x40\x50", "BLOCKHASH"), (b"\x5f\x5f\x5f\xf0\x50", "CREATE")]
)
def test_what_the_binding_cannot_answer_is_refused(code: bytes, word: str) -> None:
    world = rich(code=code)
    with pytest.raises(UnsupportedError, match=f"transaction 0: the revm engine cannot execute {word}"):
        run(world, Tx(A, 0, CONTRACT))
    # Push data is no instruction.
    run(rich(code=push(int.from_bytes(code, "big"), len(code)) + b"\x50"), Tx(A, 0, CONTRACT))


def test_basefee_of_zero_is_right() -> None:
    world = rich(code=store(b"\x48" + push(1) + b"\x01", 0))
    run(world, Tx(A, 0, CONTRACT), block=env(base_fee=0))
    assert world.storage[CONTRACT, 0] == 1


def test_gasprice_for_a_sender_who_can_pay_only_once() -> None:
    world = rich(code=store(b"\x3a", 0))
    world.accounts[B] = (0, 100_000 * 3 * GWEI, b"")
    with pytest.raises(UnsupportedError, match="GASPRICE"):
        run(world, Tx(B, 0, CONTRACT))
    world = rich(code=store(push(1), 0))
    world.accounts[B] = (0, 100_000 * 3 * GWEI, b"")
    run(world, Tx(B, 0, CONTRACT))
    assert world.storage[CONTRACT, 0] == 1


def test_blob_transactions_and_other_chains_are_refused() -> None:
    rows = batch(Tx(A, 0, B))
    rows.type[0] = 3
    with pytest.raises(UnsupportedError, match="transaction 0 is of type 3"):
        RevmExecutor(CHAIN).execute(env(), rows, rich().load)
    with pytest.raises(UsageError, match="made for chain 8, the block is of chain 7"):
        RevmExecutor(8).execute(env(), batch(Tx(A, 0, B)), rich().load)


def test_an_empty_block() -> None:
    result = run(rich())
    assert (result.gas_used, result.receipts.count, len(result.diff.address)) == (0, 0, 0)
