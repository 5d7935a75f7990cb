from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from chaindp.chain.admission import Admission
from chaindp.chain.types import Accounts, Ragged, TransactionBatch

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


def admission_with(balances: dict[int, tuple[int, int]]) -> Admission:
    def read(addresses: np.ndarray) -> Accounts:
        states = [balances.get(int(address[0]), (0, 0)) for address in addresses]
        return Accounts(
            addresses,
            np.array([nonce for nonce, _ in states], np.uint64),
            words([balance for _, balance in states]),
            np.zeros((len(states), 32), np.uint8),
            np.ones(len(states), bool),
        )

    return Admission(read)


BIG = st.one_of(st.integers(0, 100), st.sampled_from([2**64 - 1, 2**64, 2**128, 2**192 + 7, MAX - 1, MAX]))
ROW = st.tuples(
    st.integers(0, 3),
    st.integers(0, 4),
    st.one_of(st.integers(0, 50), st.just(2**64 - 1)),
    BIG,
    BIG,
)


@given(
    st.dictionaries(st.integers(0, 3), st.tuples(st.integers(0, 2), BIG), max_size=4),
    st.lists(st.lists(ROW, max_size=12), max_size=4),
)
def test_it_decides_as_arbitrary_precision_arithmetic_does(
    balances: dict[int, tuple[int, int]], blocks: list[list[tuple[int, int, int, int, int]]]
) -> None:
    admission = admission_with(balances)
    model = {who: list(balances.get(who, (0, 0))) for who in range(4)}
    known: set[int] = set()
    for rows in blocks:
        admitted, fresh = admission.admit(batch_of(rows))
        expected = []
        for who, nonce, gas, fee, value in rows:
            cost = gas * fee + value
            passes = nonce == model[who][0] and cost <= model[who][1]
            if passes:
                model[who][0] += 1
                model[who][1] -= cost
            expected.append(passes)
        assert admitted.tolist() == expected
        new = list(dict.fromkeys(row[0] for row in rows if row[0] not in known))
        known.update(new)
        assert ([int(a[0]) for a in fresh.address] if fresh is not None else []) == new
