from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from chaindp.chain.keytable import KeyTable, group_rows


def as_rows(keys: list[bytes], width: int) -> np.ndarray:
    return np.frombuffer(b"".join(keys), dtype=np.uint8).reshape(len(keys), width)


@given(st.lists(st.lists(st.binary(min_size=3, max_size=3), max_size=60), max_size=6))
def test_indices_are_dense_and_in_order_of_first_appearance(batches: list[list[bytes]]) -> None:
    table, model = KeyTable(3, capacity=1), {}
    for batch in batches:
        expected = [model.setdefault(key, len(model)) for key in batch]
        assert table.insert(as_rows(batch, 3)).tolist() == expected
        assert len(table) == len(model)


@given(st.lists(st.lists(st.binary(min_size=2, max_size=2), max_size=40), max_size=5))
def test_add_new_names_each_new_key_once(batches: list[list[bytes]]) -> None:
    table, seen = KeyTable(2), set()
    for batch in batches:
        rows = table.add_new(as_rows(batch, 2)).tolist()
        expected = []
        for row, key in enumerate(batch):
            if key not in seen:
                seen.add(key)
                expected.append(row)
        assert rows == expected


def test_it_grows_past_its_capacity() -> None:
    keys = np.random.default_rng(1).integers(0, 256, (50_000, 20), dtype=np.uint8)
    table = KeyTable(20, capacity=2)
    index = table.insert(keys)
    assert np.array_equal(table.insert(keys), index)
    assert len(table) == len(np.unique(keys, axis=0))


@given(st.lists(st.binary(min_size=3, max_size=3), max_size=60))
def test_equal_rows_are_one_group(rows: list[bytes]) -> None:
    group, count = group_rows(np.frombuffer(b"".join(rows), dtype=np.uint8).reshape(-1, 3))
    numbers: dict[bytes, int] = {}
    assert group.tolist() == [numbers.setdefault(row, len(numbers)) for row in rows]
    assert count == len(numbers)
