from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from chaindp.chain.node_cache import NodeCache


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 400)), max_size=80), st.integers(200, 5000))
def test_it_keeps_the_latest_nodes_within_its_limit(puts: list[tuple[int, int]], limit: int) -> None:
    cache = NodeCache(limit)
    latest: dict[bytes, bytes] = {}
    for key, size in puts:
        digest, node = bytes([key]) * 32, bytes([key]) * size
        if cache.get(digest) is None:
            latest.pop(digest, None)
            latest[digest] = node
        cache.put(digest, node)
        assert cache.size <= limit
        room = limit
        for expected in reversed(latest):
            room -= len(latest[expected]) + 150
            assert cache.get(expected) == (latest[expected] if room >= 0 else None)
            if room < 0:
                break
