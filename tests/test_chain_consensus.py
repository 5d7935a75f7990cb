from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chaindp.chain.consensus import FixedSlotParams, order_in_fixed_slots
from chaindp.chain.consensus.fixed_slot import VOTE_BYTES
from chaindp.chain.network import Network, NetworkParams
from chaindp.errors import UsageError


@settings(max_examples=30)
@given(
    st.lists(st.integers(0, 2_000_000), min_size=1, max_size=8),
    st.integers(4, 10),
    st.floats(0, 0.2),
    st.floats(1e6, 1e10),
    st.floats(0.001, 1.0),
)
def test_every_block_is_ordered_after_three_hops_and_in_order(
    sizes: list[int], validators: int, latency: float, uplink: float, slot: float
) -> None:
    params = NetworkParams(validators=validators, latency_s=latency, uplink_bits_s=uplink)
    result = order_in_fixed_slots(sizes, params, FixedSlotParams(slot_s=slot), seed=3)
    assert np.isfinite(result.ordered).all()
    assert (np.diff(result.ordered) >= 0).all()
    assert (result.ordered >= result.proposed).all()
    assert result.proposed.tolist() == [k * slot for k in range(len(sizes))]
    # One proposal and two votes of every validator, each to all the others.
    copies = (validators - 1) * (1 + 2 * validators)
    assert result.messages == copies * len(sizes)
    votes = 2 * validators * VOTE_BYTES * len(sizes)
    assert result.bytes_sent == (validators - 1) * (sum(sizes) + votes)


def test_a_large_block_waits_for_the_proposers_uplink() -> None:
    network = NetworkParams(validators=4, latency_s=0.0, uplink_bits_s=8e6)  # a megabyte a second
    result = order_in_fixed_slots([1_000_000], network, FixedSlotParams(slot_s=1))
    # Three copies leave one after another, a second each, and the proposer's own votes wait behind them.
    assert result.ordered[0] == pytest.approx(3.0, rel=0.01)


def test_latencies_are_symmetric_and_have_the_stated_mean() -> None:
    network = Network(NetworkParams(validators=7, latency_s=0.05), seed=1)
    assert np.allclose(network.latency, network.latency.T)
    assert network.latency[~np.eye(7, dtype=bool)].mean() == pytest.approx(0.05)


def test_the_same_seed_gives_the_same_instants() -> None:
    runs = [order_in_fixed_slots([1000] * 5, NetworkParams(), FixedSlotParams(), seed).ordered for seed in (1, 1, 2)]
    assert np.array_equal(runs[0], runs[1])
    assert not np.array_equal(runs[0], runs[2])


@pytest.mark.parametrize("bad", [{"validators": 3}, {"latency_s": -1.0}, {"uplink_bits_s": 0.0}])
def test_a_network_that_makes_no_sense_is_refused(bad: dict[str, float]) -> None:
    with pytest.raises(UsageError):
        NetworkParams(**bad)  # type: ignore[arg-type]
    with pytest.raises(UsageError):
        FixedSlotParams(slot_s=0)
