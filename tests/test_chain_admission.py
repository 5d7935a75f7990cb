from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaindp.chain.admission import Admission
from chaindp.chain.types import EMPTY_CODE_HASH, Accounts, Ragged, TransactionBatch
from chaindp.errors import ChaindpError

MAX = 2**256 - 1


def words(values: list[int]) -> np.ndarray:
    return np.frombuffer(b"".join(v.to_bytes(32, "big") for v in values), dtype=np.uint8).reshape(-1, 32)


def batch_of(rows: list[tuple[int, int, int, int, int]]) -> TransactionBatch:
    """Rows of sender, nonce, gas limit, fee cap, value; only what admission reads is filled."""
    count = len(rows)
    empty = Ragged.from_items([b""] * count)
    return TransactionBatch(
        raw=empty,
        type=np.zeros(count, np.uint8),
        chain_id=np.zeros(count, np.uint64),
        nonce=np.array([row[1] for row in rows], np.uint64),
        gas_limit=np.array([row[2] for row in rows], np.uint64),
        max_fee=words([row[3] for row in rows]),
        max_priority_fee=words([row[3] for row in rows]),
        to=np.zeros((count, 20), np.uint8),
        creates=np.zeros(count, bool),
        value=words([row[4] for row in rows]),
        data=empty,
        access_lists=empty,
        signature=np.zeros((count, 65), np.uint8),
        sender=np.array([[row[0]] * 20 for row in rows], np.uint8).reshape(count, 20),
    )


def admission_with(balances: dict[int, tuple[int, int]], codes: dict[int, bytes] | None = None) -> Admission:
    hashes = codes or {}

    def read(addresses: np.ndarray) -> Accounts:
        states = [balances.get(int(address[0]), (0, 0)) for address in addresses]
        return Accounts(
            addresses,
            np.array([nonce for nonce, _ in states], np.uint64),
            words([balance for _, balance in states]),
            np.array([list(hashes.get(int(address[0]), bytes(32))) for address in addresses], np.uint8),
            np.ones(len(states), bool),
        )

    return Admission(read)


BIG = st.one_of(st.integers(0, 100), st.sampled_from([2**64 - 1, 2**64, 2**128, 2**192 + 7, MAX - 1, MAX]))
GAS = st.one_of(st.integers(0, 50), st.just(2**64 - 1))
ROW = st.tuples(st.integers(0, 3), st.integers(0, 4), GAS, BIG, BIG)


@given(
    st.dictionaries(st.integers(0, 3), st.tuples(st.integers(0, 2), BIG), max_size=4),
    st.lists(st.tuples(st.lists(ROW, max_size=12), st.sets(st.integers(0, 11)), st.none() | GAS), max_size=4),
    st.sets(st.integers(0, 3), max_size=1),
)
def test_it_decides_as_arbitrary_precision_arithmetic_does(
    balances: dict[int, tuple[int, int]],
    blocks: list[tuple[list[tuple[int, int, int, int, int]], set[int], int | None]],
    contracts: set[int],
) -> None:
    admission = admission_with(balances, dict.fromkeys(contracts, b"\1" * 32))
    model = {who: list(balances.get(who, (0, 0))) for who in range(4)}
    known: set[int] = set()
    for rows, out, gas_limit in blocks:
        refused = np.array([index in out for index in range(len(rows))], bool) if out else None
        admitted, fresh = admission.admit(batch_of(rows), refused, gas_limit=gas_limit)
        expected = []
        gas_left = 2**70 if gas_limit is None else gas_limit
        for index, (who, nonce, gas, fee, value) in enumerate(rows):
            cost = gas * fee + value
            passes = nonce == model[who][0] and cost <= model[who][1] and gas <= gas_left
            passes = passes and index not in out and who not in contracts
            if passes:
                gas_left -= gas
                model[who][0] += 1
                model[who][1] -= cost
            expected.append(passes)
        assert admitted.tolist() == expected
        new = list(dict.fromkeys(row[0] for row in rows if row[0] not in known))
        known.update(new)
        assert ([int(a[0]) for a in fresh.address] if fresh is not None else []) == new


def test_a_refused_transaction_leaves_its_nonce_to_the_next() -> None:
    admission = admission_with({1: (0, 100)})
    rows = [(1, 0, 1, 1, 0), (1, 0, 2, 1, 0), (1, 1, 1, 1, 0)]
    admitted, _ = admission.admit(batch_of(rows), np.array([True, False, False]))
    assert admitted.tolist() == [False, True, True]


def test_a_sender_with_code_is_refused_and_one_without_is_not() -> None:
    """EIP-3607. The code hash of an account that does not exist is zero."""
    admission = admission_with(dict.fromkeys(range(3), (0, 9)), {0: EMPTY_CODE_HASH, 1: bytes(31) + b"\1"})
    rows = [(who, 0, 1, 1, 0) for who in range(3)]
    assert admission.admit(batch_of(rows))[0].tolist() == [True, False, True]
    # And later too, when the sender is known already.
    assert admission.admit(batch_of([(1, 0, 1, 1, 0)]))[0].tolist() == [False]


@pytest.mark.parametrize("refused", [np.zeros(2, bool), np.zeros(1, np.uint8)])
def test_a_mask_of_another_shape_or_type_is_refused(refused: np.ndarray) -> None:
    with pytest.raises(ChaindpError, match=r"not bool\[1\]"):
        admission_with({}).admit(batch_of([(0, 0, 0, 0, 0)]), refused)
