"""The model of instances and links: its formula against splitting a batch in earnest, and how a user names a link."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chaindp.backend import Link, Platform
from chaindp.cores import Built, Simulation
from chaindp.errors import UsageError
from chaindp.kernels.hashes import pack
from chaindp.platforms import LINKS, USUAL_LINK, call_times, instance_cycles, parse_link, stated
from core_rtl import DIGEST_TABLES, built_core, needs_simulator


@given(st.integers(0, 10**12), st.integers(0, 10**12), st.integers(1, 10**9), st.integers(1, 10**6))
def test_the_formula_in_fractions(latency: int, after: int, operations: int, instances: int) -> None:
    cycles = max(latency + after, 1)
    used = min(instances, operations)
    share = math.ceil(Fraction(operations, used))
    expected = math.ceil(latency + Fraction((cycles - latency) * share, operations))
    assert instance_cycles(cycles, latency, operations, instances) == expected


@given(st.integers(1, 10**9), st.integers(0, 10**9), st.integers(1, 10**6), st.integers(1, 1000))
def test_more_instances_never_take_longer(cycles: int, latency: int, operations: int, instances: int) -> None:
    latency = min(latency, cycles)
    alone = instance_cycles(cycles, latency, operations, 1)
    assert alone == cycles
    shared = instance_cycles(cycles, latency, operations, instances)
    assert latency <= instance_cycles(cycles, latency, operations, instances + 1) <= shared <= alone
    # More instances than operations are of no use.
    assert instance_cycles(cycles, latency, operations, operations + 7) == instance_cycles(
        cycles, latency, operations, operations
    )


def test_nothing_takes_nothing() -> None:
    assert instance_cycles(0, 0, 0, 4) == 0
    times = call_times(0, 0, 0, 0, 0, stated(Platform(), 1e8))
    assert (times.compute_ns, times.transfer_ns, times.total_ns) == (0.0, 0.0, 0.0)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    return built_core(tmp_path_factory.mktemp("digest"), "digest", **DIGEST_TABLES)


@needs_simulator
@settings(max_examples=25)
@given(operations=st.integers(1, 30), instances=st.integers(1, 12), size=st.integers(1, 80))
def test_against_a_batch_that_is_split_in_earnest(built: Built, operations: int, instances: int, size: int) -> None:
    """The busiest instance takes no longer than the model says, and at most one operation's interval less."""

    def simulated(count: int) -> tuple[int, int]:
        with Simulation(built) as simulation:
            transfer = simulation.run(*pack([bytes(size)] * count), 32, user=np.zeros(count, np.uint32))
        assert transfer.faults == ()
        return transfer.cycles, transfer.latency

    cycles, latency = simulated(operations)
    interval = -(-size // 8) + 8
    parts = [operations // instances + (part < operations % instances) for part in range(instances)]
    busiest = max(simulated(count)[0] for count in set(parts) if count)
    assert 0 <= instance_cycles(cycles, latency, operations, instances) - busiest < interval


def test_times_of_a_call() -> None:
    link = Link(name="x", latency_ns=500, to_device=1e9, from_device=2e9)
    platform = Platform(clock_hz=1e8, instances=2, link=link)
    times = call_times(1000, 100, 10, 4000, 2000, platform)
    # Of 10 operations the busiest of two instances gets 5: 100 + 900 / 2 cycles of 10 ns.
    assert times.compute_ns == 5500
    assert times.transfer_ns == 2 * 500 + 4000 + 1000
    assert times.total_ns == times.compute_ns + times.transfer_ns
    overlapped = Link(name="x", latency_ns=500, to_device=1e9, from_device=2e9, overlap=True)
    times = call_times(1000, 100, 10, 4000, 2000, Platform(clock_hz=1e8, instances=2, link=overlapped))
    assert times.total_ns == 2 * 500 + 5500
    assert times.transfer_ns == 6000


def test_a_platform_with_nothing_left_out() -> None:
    assert stated(Platform(), 5e7) == Platform(clock_hz=5e7, instances=1, link=USUAL_LINK)
    chosen = Platform(clock_hz=1e9, instances=3, link=LINKS["none"])
    assert stated(chosen, 5e7) == chosen


def test_the_named_links() -> None:
    assert LINKS["none"].call_ns(7.0, 1 << 40, 1 << 40) == 7.0
    # 15.75 GB/s of 16 lanes of PCIe 3 by its encoding, less what surrounds the payload.
    assert LINKS["pcie3x16"].to_device == pytest.approx(15.754e9 * 256 / 282, rel=1e-3)
    assert LINKS["pcie4x16"].to_device == 2 * LINKS["pcie3x16"].to_device
    assert LINKS["100gbe"].to_device == pytest.approx(11.96e9, rel=1e-3)
    assert LINKS["10gbe"].to_device == LINKS["100gbe"].to_device / 10
    for name, link in LINKS.items():
        assert parse_link(name) == link
        assert link.name == name
        assert not link.overlap


def test_a_link_as_a_user_writes_it() -> None:
    assert parse_link("1.5:12") == Link(name="1.5:12", latency_ns=1500, to_device=12e9, from_device=12e9)
    assert parse_link(" 0:0.5:OVERLAP ") == Link(
        name="0:0.5:overlap", latency_ns=0, to_device=0.5e9, from_device=0.5e9, overlap=True
    )
    overlapping = parse_link("pcie4x16:overlap")
    assert (overlapping.name, overlapping.overlap) == ("pcie4x16:overlap", True)
    assert overlapping.to_device == LINKS["pcie4x16"].to_device


@pytest.mark.parametrize(
    "text",
    [
        "",
        "pcie",
        "1",
        ":",
        "1:",
        ":1",
        "1:2:3",
        "-1:2",
        "1:-2",
        "1:0",
        "nan:1",
        "1:inf",
        "1e9:1",
        "1:1:over",
        "overlap",
    ],
)
def test_what_is_no_link(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_link(text)
    assert len(str(caught.value).splitlines()) == 1
    assert str(caught.value).startswith("link ")


@given(st.text(max_size=30))
def test_any_text_is_a_link_or_one_line_of_error(text: str) -> None:
    try:
        link = parse_link(text)
    except UsageError as error:
        said = str(error)
    else:
        said = ""
        assert link.to_device > 0
    assert len(said.splitlines()) <= 1
