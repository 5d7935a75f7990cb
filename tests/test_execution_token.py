"""The token contract through the engine, and random mixes of transfers and token calls against a plain model."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chaindp.chain.execution.executor import ExecutionResult
from chaindp.chain.execution.revm import RevmExecutor
from chaindp_workloads.erc20 import TOKEN, token_code
from execution_world import CHAIN, COINBASE, GWEI, Tx, World, address, batch, env, keccak

CODE = token_code()
PEOPLE = [address(number) for number in range(1, 5)]
A, B, C, D = PEOPLE


def selector(signature: str) -> bytes:
    return keccak(signature.encode())[:4]


def word(value: bytes | int) -> bytes:
    return value.to_bytes(32, "big") if isinstance(value, int) else value.rjust(32, b"\0")


def call(signature: str, *arguments: bytes | int) -> bytes:
    return selector(signature) + b"".join(word(argument) for argument in arguments)


def slot(holder: bytes) -> int:
    return int.from_bytes(keccak(word(holder) + bytes(32)), "big")


def allowance(owner: bytes, spender: bytes) -> int:
    return int.from_bytes(keccak(word(spender) + keccak(word(owner) + word(1))), "big")


def token_world(holding: int = 100) -> World:
    world = World(dict.fromkeys(PEOPLE, (0, 10**18, b"")))
    world.accounts[TOKEN] = (1, 0, CODE)
    for person in PEOPLE:
        world.storage[TOKEN, slot(person)] = holding
    world.storage[TOKEN, 2] = holding * len(PEOPLE)
    return world


def holdings(world: World) -> list[int]:
    return [world.storage.get((TOKEN, slot(person)), 0) for person in PEOPLE]


def run(world: World, *rows: Tx, engine: RevmExecutor | None = None) -> ExecutionResult:
    result = (engine or RevmExecutor(CHAIN)).execute(env(), batch(*rows), world.load)
    world.apply(result.diff)
    return result


def test_transfer_moves_tokens_and_says_so() -> None:
    world = token_world()
    receipts = run(world, Tx(A, 0, TOKEN, data=call("transfer(address,uint256)", B, 30))).receipts
    assert holdings(world) == [70, 130, 100, 100]
    assert receipts.log_address.tobytes() == TOKEN
    topics = [receipts.log_topics[0, index].tobytes() for index in range(receipts.log_topic_count[0])]
    assert topics == [keccak(b"Transfer(address,address,uint256)"), word(A), word(B)]
    assert receipts.log_data.items() == [word(30)]
    # 21000, call data, two cold slots read and changed: what a transfer between holders costs.
    assert 34_000 < int(receipts.gas_used[0]) < 35_000


def test_transfer_to_oneself_and_of_everything() -> None:
    world = token_world()
    run(
        world,
        Tx(A, 0, TOKEN, data=call("transfer(address,uint256)", A, 100)),
        Tx(B, 0, TOKEN, data=call("transfer(address,uint256)", C, 100)),
    )
    assert holdings(world) == [100, 0, 200, 100]
    assert (TOKEN, slot(B)) not in world.storage


@pytest.mark.parametrize(
    "data",
    [
        call("transfer(address,uint256)", B, 101),
        call("transfer(address,uint256)", bytes(20), 1),
        call("transfer(address,uint256)", B, 2**256 - 1),
        call("transferFrom(address,address,uint256)", B, A, 1),
        call("mint(address,uint256)", A, 1),
        call("transfer(address,uint256)", B),
        b"",
    ],
)
def test_what_reverts(data: bytes) -> None:
    world = token_world()
    result = run(world, Tx(A, 0, TOKEN, data=data))
    assert result.receipts.status.tolist() == [0]
    assert len(result.receipts.log_tx) == 0
    assert holdings(world) == [100] * 4
    assert result.gas_used < 100_000
    assert world.accounts[A] == (1, 10**18 - result.gas_used * 2 * GWEI, b"")


def test_value_sent_along_reverts() -> None:
    world = token_world()
    result = run(world, Tx(A, 0, TOKEN, data=call("transfer(address,uint256)", B, 1), value=1))
    assert result.receipts.status.tolist() == [0]
    assert world.accounts[TOKEN][1] == 0


def test_approve_and_transfer_from() -> None:
    world = token_world()
    spend = call("transferFrom(address,address,uint256)", A, C, 30)
    receipts = run(
        world,
        Tx(A, 0, TOKEN, data=call("approve(address,uint256)", B, 50)),
        Tx(B, 0, TOKEN, data=spend),
        Tx(B, 1, TOKEN, data=spend),
        Tx(A, 1, TOKEN, data=call("approve(address,uint256)", B, 2**256 - 1)),
        Tx(B, 2, TOKEN, data=spend),
        Tx(B, 3, TOKEN, data=spend),
    ).receipts
    assert receipts.status.tolist() == [1, 1, 0, 1, 1, 1]  # 20 are left of 50, then there is no limit
    assert holdings(world) == [10, 100, 190, 100]
    assert world.storage[TOKEN, allowance(A, B)] == 2**256 - 1
    assert [receipts.log_topics[index, 0].tobytes() for index in (0, 1)] == [
        keccak(b"Approval(address,address,uint256)"),
        keccak(b"Transfer(address,address,uint256)"),
    ]


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["value", "token", "token list"]),
        st.integers(0, 3),
        st.integers(0, 4),
        st.integers(0, 60),
        st.integers(0, 2),
    ),
    max_size=24,
)


def rows_of(steps: list[tuple[str, int, int, int, int]]) -> list[Tx]:
    """Transactions with right nonces. Recipient 4 is somebody new; an access list takes the isolated way."""
    nonces, rows = [0] * 4, []
    for what, sender, to, amount, kind in steps:
        target = address(9) if to == 4 else PEOPLE[to]
        row = Tx(PEOPLE[sender], nonces[sender], target, value=amount, type=kind)
        if what != "value":
            row = Tx(row.sender, row.nonce, TOKEN, data=call("transfer(address,uint256)", target, amount), type=kind)
            if what == "token list" and kind:
                # [[token, []]]
                row.access_list = b"\xd7\xd6\x94" + TOKEN + b"\xc0"
        nonces[sender] += 1
        rows.append(row)
    return rows


@settings(max_examples=40)
@given(STEPS, st.lists(st.integers(0, 24), max_size=3))
def test_mixes_against_a_model_and_split_into_any_blocks(
    steps: list[tuple[str, int, int, int, int]], cuts: list[int]
) -> None:
    rows = rows_of(steps)
    whole, split, fresh = token_world(), token_world(), token_world()
    result = run(whole, *rows)
    # The model: balances of value and tokens, fees by what gas was used.
    everyone = [*PEOPLE, address(9)]
    value, tokens = dict.fromkeys(everyone, 10**18), dict.fromkeys(everyone, 100)
    value[address(9)] = tokens[address(9)] = 0
    status = []
    for row, gas in zip(rows, result.receipts.gas_used.tolist(), strict=True):
        price = 3 * GWEI if row.type < 2 else 2 * GWEI
        value[row.sender] -= gas * price
        if row.to == TOKEN:
            to, amount = row.data[16:36], int.from_bytes(row.data[36:], "big")
            done = tokens[row.sender] >= amount
            if done:
                tokens[row.sender] -= amount
                tokens[to] += amount
            status.append(int(done))
        else:
            assert gas == 21_000
            assert row.to is not None
            value[row.sender] -= row.value
            value[row.to] += row.value
            status.append(1)
    assert result.receipts.status.tolist() == status
    assert {person: whole.accounts.get(person, (0, 0, b""))[1] for person in everyone} == value
    assert [whole.storage.get((TOKEN, slot(person)), 0) for person in everyone] == list(tokens.values())
    for person in PEOPLE:
        assert whole.accounts[person][0] == sum(row.sender == person for row in rows)
    # Nothing comes from nowhere: what left the accounts went to the coinbase or was burnt.
    paid = whole.accounts.get(COINBASE, (0, 0, b""))[1]
    assert sum(value.values()) + paid + result.burnt == 4 * 10**18
    # Any split into blocks, on one engine or on a new one a block, gives the same state.
    engine, edges = RevmExecutor(CHAIN), [0, *sorted(min(cut, len(rows)) for cut in cuts), len(rows)]
    for start, stop in pairwise(edges):
        run(split, *rows[start:stop], engine=engine)
        run(fresh, *rows[start:stop])
    assert split.accounts == fresh.accounts == whole.accounts
    assert split.storage == fresh.storage == whole.storage
