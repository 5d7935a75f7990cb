"""The model of the pipeline: its schedules keep what they state, and its work is what was measured."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaindp.backend import Platform
from chaindp.errors import UsageError
from chaindp.kernels.kernelset import KernelCall
from chaindp.pipeline.block import Span, Stage
from chaindp.pipeline.live import QUEUE_BLOCKS, THREADS
from chaindp.pipeline.model import DISK, LOCK, Occupation, Resources, Segment, schedule, work_ns
from chaindp.pipeline.work import DEVICE, Machine, resources_for, segments_of
from simulated_site import USUAL, times_of

HOLDS = ("", LOCK, DISK, DEVICE + "a", DEVICE + "b")
CORES = st.sampled_from([0.0, 0.25, 0.5, 1.0, 1.5, 3.0])
SEGMENTS = st.lists(st.builds(Segment, st.integers(0, 60), st.sampled_from(HOLDS), CORES), max_size=4)
SHAPES = st.tuples(st.integers(1, 6), st.integers(1, 5))


@st.composite
def works(draw: st.DrawFn) -> list[list[list[Segment]]]:
    blocks, stages = draw(SHAPES)
    return [[draw(SEGMENTS) for _ in range(stages)] for _ in range(blocks)]


@st.composite
def threads_of(draw: st.DrawFn, stages: int) -> tuple[tuple[int, ...], ...]:
    """Stages cut into threads, in order; or a thread each."""
    cuts = sorted(draw(st.sets(st.integers(1, max(1, stages - 1)), max_size=stages - 1))) if stages > 1 else []
    edges = [0, *cuts, stages]
    groups = tuple(tuple(range(low, high)) for low, high in itertools.pairwise(edges))
    return draw(st.sampled_from([(), groups]))


def released_of(draw: Any, blocks: int) -> list[int]:
    return np.cumsum(draw(st.lists(st.integers(0, 80), min_size=blocks, max_size=blocks))).tolist()


@given(works(), st.sampled_from([1, 2, 4]), st.booleans(), st.booleans(), st.data())
def test_a_schedule_keeps_every_constraint(
    work: list[list[list[Segment]]], cores: int, pipelined: bool, lock: bool, data: st.DataObject
) -> None:
    blocks, stages = len(work), len(work[0])
    released, gate = released_of(data.draw, blocks), data.draw(st.integers(0, stages - 1))
    groups = data.draw(threads_of(stages))
    queue = data.draw(st.sampled_from([None, 0, 1, 2]))
    resources = Resources(
        cores=cores, pipelined=pipelined, lock=lock, switch_ns=data.draw(st.sampled_from([1.0, 7.0, 5000.0])),
        threads=groups, queue=queue,
    )  # fmt: skip
    trace: list[Occupation] = []
    start, end = schedule(work, released, resources, gate=gate, trace=trace)
    alone = np.array([[work_ns(segments, cores) for segments in row] for row in work])
    # Instants are rounded to a nanosecond, which keeps their order.
    assert (end - start >= alone - 1).all(), "nothing is faster than with everything to itself"
    assert (start[:, gate] >= np.array(released)).all()
    assert (start[:, 1:] >= end[:, :-1]).all(), "a block passes the stages in order"
    assert (start[1:] >= end[:-1]).all(), "a stage takes blocks in order, one at a time"
    for group in groups if pipelined else [tuple(range(stages))]:
        assert (start[1:, group[0]] >= end[:-1, group[-1]]).all(), "a thread has one block at a time"
    if queue is not None and pipelined:
        for ahead, behind in itertools.pairwise(groups or [(stage,) for stage in range(stages)]):
            # A thread takes a block once it is there and the one before it is through; it may then wait at the gate.
            taken = np.maximum(end[:, ahead[-1]], np.concatenate([[0], end[:-1, behind[-1]]]))
            fits = start[queue + 1 :, ahead[0]] >= taken[: max(0, blocks - queue - 1)]
            assert fits.all(), "no more blocks wait than there is room for"
    # Something goes on at any instant, however slowly, once the last block is ordered.
    assert end.max() <= released[-1] + alone.sum() + 1
    if pipelined:
        keeps_resources(trace, cores, lock)
        assert_all_is_done(trace, work)
        lower_bounds(end, work, released, gate, cores, lock)


def keeps_resources(trace: Sequence[Occupation], cores: int, lock: bool) -> None:
    """No instant has more cores at work than there are, or two holders of what is there once."""
    for instant in sorted({part.start for part in trace}):
        now = [part for part in trace if part.start <= instant < part.end]
        assert sum(part.cores for part in now) <= cores + 1e-6
        for name in HOLDS[1:]:
            if name != LOCK or lock:
                assert sum(part.holds == name for part in now) <= 1, f"{name} has two holders"
        assert len({part.stage for part in now}) == len(now)


def assert_all_is_done(trace: Sequence[Occupation], work: Sequence[Sequence[Sequence[Segment]]]) -> None:
    """Of every block and stage as much was done as there was to do: cores times time, whatever the pace."""
    for block, row in enumerate(work):
        for stage, segments in enumerate(row):
            mine = [part for part in trace if (part.block, part.stage) == (block, stage)]
            done = sum((part.end - part.start) * part.cores for part in mine)
            assert done == pytest.approx(sum(segment.ns * segment.cores for segment in segments), abs=0.1)
            for name in HOLDS:
                free = sum(part.end - part.start for part in mine if part.holds == name and not part.cores)
                wanted = sum(segment.ns for segment in segments if segment.holds == name and not segment.cores)
                assert free == pytest.approx(wanted, abs=0.1)


def lower_bounds(
    end: np.ndarray,
    work: Sequence[Sequence[Sequence[Segment]]],
    released: Sequence[int],
    gate: int,
    cores: int,
    lock: bool,
) -> None:
    """No schedule ends before its busiest resource, or before what its last block has to do once it is ordered."""
    every = [segment for row in work for segments in row for segment in segments]
    last = end.max() + 1
    assert last >= sum(segment.ns * segment.cores for segment in every) / cores
    for name in HOLDS[1:]:
        if name != LOCK or lock:
            assert last >= sum(segment.ns for segment in every if segment.holds == name)
    for block, row in enumerate(work):
        rest = sum(work_ns(segments, cores) for segments in row[gate:])
        assert end[block].max() + 1 >= released[block] + rest
    for stage in range(len(work[0])):
        assert last >= sum(work_ns(row[stage], cores) for row in work)


@given(works(), st.sampled_from([1, 2, 8]))
def test_without_overlap_a_schedule_is_the_sum_of_the_work(work: list[list[list[Segment]]], cores: int) -> None:
    resources = Resources(cores=cores, pipelined=False)
    start, end = schedule(work, [0] * len(work), resources)
    sums = np.cumsum([work_ns(segments, cores) for row in work for segments in row])
    assert np.array_equal(end.reshape(-1), np.rint(sums).astype(np.int64))
    assert np.array_equal(start.reshape(-1)[1:], end.reshape(-1)[:-1])


@given(works(), st.sampled_from([1, 2, 8]))
def test_one_thread_and_one_block_are_the_sum_of_the_work_as_well(work: list[list[list[Segment]]], cores: int) -> None:
    stages = len(work[0])
    total = sum(work_ns(segments, cores) for row in work for segments in row)
    _, end = schedule(work, [0] * len(work), Resources(cores=cores, threads=(tuple(range(stages)),)))
    assert end.max() == pytest.approx(total, abs=1)
    alone = sum(work_ns(segments, cores) for segments in work[0])
    _, end = schedule(work[:1], [0], Resources(cores=cores, queue=2))
    assert end.max() == pytest.approx(alone, abs=1)


def test_overlap_is_bounded_by_the_slowest_stage() -> None:
    work = [[[Segment(10, "", 1)], [Segment(30, "", 1)], [Segment(10, "", 1)]] for _ in range(20)]
    _, end = schedule(work, [0] * 20, Resources(cores=3))
    assert end.max() == 10 + 20 * 30 + 10


def test_the_lock_takes_overlap_away_and_without_it_there_is() -> None:
    work = [[[Segment(100, LOCK, 1)], [Segment(100, LOCK, 1)]] for _ in range(10)]
    _, with_lock = schedule(work, [0] * 10, Resources(cores=2, switch_ns=10))
    _, without = schedule(work, [0] * 10, Resources(cores=2, lock=False))
    assert with_lock.max() == 2000
    assert without.max() == 1100


def test_who_waits_for_the_lock_gets_it_after_the_interval_and_not_before() -> None:
    """Two stages, the first at work on its second block when the second stage wants the lock for its first."""
    work = [[[Segment(100, LOCK, 1)], [Segment(50, LOCK, 1)]], [[Segment(100, LOCK, 1)], []]]
    start, end = schedule(work, [0, 0], Resources(cores=2, switch_ns=10))
    # At 100 the first stage takes the lock for block 1 at once, being looked at first; 10 later it is handed over, 10
    # after that handed back, and so on: the second stage has it from 110, 130, 150, 170 and 190 on.
    assert start[1, 0] == start[0, 1] == 100
    assert (end[0, 1], end[1, 0]) == (200, 250)


def test_a_device_takes_no_core() -> None:
    work = [[[Segment(100, "", 1)], [Segment(100, DEVICE + "a")]] for _ in range(5)]
    _, end = schedule(work, [0] * 5, Resources(cores=1))
    assert end.max() == 600


def test_two_stages_share_a_device_and_not_two_devices() -> None:
    one = [[[Segment(100, DEVICE + "a")], [Segment(100, DEVICE + "a")]] for _ in range(5)]
    two = [[[Segment(100, DEVICE + "a")], [Segment(100, DEVICE + "b")]] for _ in range(5)]
    assert schedule(one, [0] * 5, Resources(cores=1))[1].max() == 1000
    assert schedule(two, [0] * 5, Resources(cores=1))[1].max() == 600


def test_more_work_than_cores_slows_all_that_want_them() -> None:
    work = [[[Segment(100, "", 1.0)], [Segment(100, "", 1.0)]] for _ in range(2)]
    _, end = schedule(work, [0, 0], Resources(cores=1))
    assert end.tolist() == [[100, 300], [300, 400]]


@pytest.mark.parametrize("long", [10**12, 10**15, 10**17])
def test_segments_of_days_and_of_nanoseconds_end_together_to_the_nanosecond(long: int) -> None:
    """A float of 10^15 ns has steps of an eighth: what is left of a short segment was never done."""
    work = [
        [[Segment(long, DEVICE + "a")], [Segment(50, LOCK, 0.7), Segment(50, DEVICE + "b")], [Segment(50, LOCK, 0.7)]]
        for _ in range(3)
    ]
    _, end = schedule(work, [0, 10, 20], Resources(cores=1, queue=2, switch_ns=20))
    assert end[:, 0].tolist() == [long, 2 * long, 3 * long]
    assert end.max() == 3 * long + 150
    crowded = [[[Segment(long, "", 1.0)], [Segment(50, "", 1.0)], [Segment(7, LOCK, 1.0)]] for _ in range(3)]
    _, end = schedule(crowded, [0] * 3, Resources(cores=1))
    # Of a long segment beside 57 ns of others on one core, half of that is lost; as much as a float of it has steps.
    assert abs(int(end.max()) - 3 * (long + 57)) <= max(1, long >> 50)


def test_the_lock_changes_hands_however_late_it_is() -> None:
    work = [[[Segment(10**17, DEVICE + "a"), Segment(300, LOCK, 1)], [Segment(300, LOCK, 1)]] for _ in range(2)]
    for row in work:
        row[1].insert(0, Segment(10**17, DEVICE + "b"))
    _, end = schedule(work, [0, 0], Resources(cores=2, switch_ns=1.0))
    assert end[1, 1] == 3 * 10**17 + 1200


def test_a_schedule_beyond_what_nanoseconds_are_counted_in_is_refused_in_one_line() -> None:
    work = [[[Segment(1e18, DEVICE + "a")]] for _ in range(6)]
    for pipelined in (True, False):
        with pytest.raises(UsageError, match=r"^a schedule of up to 6e\+09 s; it must be below .*faster clock or link"):
            schedule(work, [0] * 6, Resources(cores=1, pipelined=pipelined))


def test_nothing_to_do_is_done_at_once() -> None:
    start, end = schedule([[[], []], [[], []]], [0, 5], Resources(cores=1), gate=1)
    assert start.tolist() == end.tolist() == [[0, 0], [0, 5]]
    assert schedule([], [], Resources(cores=1))[0].shape == (0, 0)


# from measured spans to segments --------------------------------------------------------------------------------------


def call(start: int, wall: int, *, process: int = 0, thread: int = 0, simulated: Any = None) -> KernelCall:
    return KernelCall(
        "keccak256", "sim" if simulated else "cpu", wall, 0, simulated=simulated, started_ns=start, thread_ns=thread,
        process_ns=process,
    )  # fmt: skip


CALLS = st.lists(st.tuples(st.integers(0, 500), st.integers(0, 500), st.integers(0, 2000)), max_size=5)


@given(CALLS, st.integers(0, 500), st.integers(0, 9000), st.sampled_from(list(Stage)))
def test_segments_add_up_to_what_was_measured(
    parts: list[tuple[int, int, int]], tail: int, process: int, stage: Stage
) -> None:
    now, calls = 1000, []
    for gap, wall, cpu in parts:
        calls.append(call(now + gap, wall, process=cpu))
        now += gap + wall
    span = Span(1000, now + tail, 0, 0, calls, process)
    found = segments_of(stage, span, 2)
    assert sum(segment.ns for segment in found) == pytest.approx(span.busy_ns)
    assert all(0 <= segment.cores <= 2 for segment in found)
    in_calls = sum(segment.ns for segment in found if not segment.holds)
    assert in_calls == pytest.approx(sum(one.wall_ns for one in calls))
    waiting = sum(segment.ns for segment in found if segment.holds == DISK)
    assert not waiting or stage is Stage.FLUSH
    assert work_ns(found, 2) == pytest.approx(span.busy_ns), "as many cores as were there change nothing"


def test_flush_leaves_the_core_while_the_disk_works() -> None:
    (host, disk) = segments_of(Stage.FLUSH, Span(0, 1000, 300, 0, [], 400), 2)
    assert (host.ns, host.holds, host.cores) == (400, LOCK, 1.0)
    assert (disk.ns, disk.holds, disk.cores) == (600, DISK, 0.0)


PLATFORM = Platform(clock_hz=100e6, instances=1, link=USUAL)


def test_a_call_on_a_simulated_device_takes_its_modelled_time_and_no_core() -> None:
    """Here the simulator took 50 ms of wall time with all cores, for 1,000 cycles: 10 us at 100 MHz, and transfers."""
    times = times_of(PLATFORM, [(1000, 5, 8000, 4000)], 50_000_000)
    calls = [call(1_000, 50_000_000, process=100_000_000, thread=50_000_000, simulated=times)]
    span = Span(0, 50_005_000, 50_004_000, 0, calls, 100_004_000)
    before, device, after = segments_of(Stage.MERKLEIZE, span, 2)
    assert (before.ns, after.ns) == (1_000, 4_000)
    assert before.cores == pytest.approx(0.8)
    assert (device.holds, device.cores) == (DEVICE + "sim", 0.0)
    assert device.ns == 10_000 + 2 * 1000 + 1000 + 1000
    assert segments_of(Stage.MERKLEIZE, span, 2, lambda one: 1.0)[1].ns == 1.0


def test_the_modelled_host_has_the_threads_of_a_live_run() -> None:
    stages = list(Stage)[1:]
    found = resources_for(Machine(cores=2), stages, True)
    assert [[stages[column] for column in group] for group in found.threads] == [list(group) for group in THREADS[1:]]
    assert (found.cores, found.queue, found.lock) == (2, QUEUE_BLOCKS, True)
    free = resources_for(Machine(cores=64, lock=False), stages, True)
    assert (free.threads, free.lock) == ((), False)
