from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from chaindp.chain.node_cache import NodeCache


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 400)), max_size=80), st.integers(200, 5000))
@example([(0, 0), (1, 151), (1, 0)], 300)
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
        for expected in reversed(list(latest)):
            room -= len(latest[expected]) + 150
            if room >= 0:
                assert cache.get(expected) == latest[expected]
            else:
                # Gone for good, and so is what is older, whatever room a later and smaller node leaves.
                assert cache.get(expected) is None
                del latest[expected]
