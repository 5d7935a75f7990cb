from __future__ import annotations

import itertools
import threading
import time

import pytest

from chaindp.chain.types import Ragged
from chaindp.errors import UsageError
from chaindp.pipeline.block import BlockInFlight, Stage
from chaindp.pipeline.levels import LEVELS, MECHANISMS, parse_levels, plan_level
from chaindp.pipeline.live import THREADS, StageRunner, run_pipelined, run_sequential
from chaindp.workload import BlockInput


@pytest.mark.parametrize(
    ("text", "levels"), [("0-4", [0, 1, 2, 3, 4]), ("3", [3]), ("4,0", [0, 4]), ("0-1,1-2", [0, 1, 2]), ("5", [5])]
)
def test_levels_are_parsed(text: str, levels: list[int]) -> None:
    assert parse_levels(text) == levels


@pytest.mark.parametrize("text", ["", "6", "-1", "4-0", "a", "0-", "1.5", "0--2", "99999999999", "0-4-5", "²"])
def test_levels_that_do_not_exist_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="levels"):
        parse_levels(text)


def test_levels_are_cumulative_and_say_what_is_missing() -> None:
    plans = [plan_level(level.number, (), ()) for level in LEVELS]
    for lower, higher in itertools.pairwise(plans):
        assert lower.on <= higher.on
    everything = plans[5].on | plans[5].skipped.keys()
    assert everything == {mechanism.name for mechanism in MECHANISMS}
    assert all(plans[5].skipped.values())
    assert plans[0].on == frozenset()
    assert "pipelining" in plans[3].on


def test_a_mechanism_can_be_ablated_by_name_only() -> None:
    plan = plan_level(4, ["pipelining"], ())
    assert "pipelining" not in plan.on
    assert plan.skipped["pipelining"] == "ablated"
    with pytest.raises(UsageError, match="no mechanism 'pipeline'"):
        plan_level(4, ["pipeline"], ())


def test_heterogeneous_backends_are_on_where_one_was_asked_for() -> None:
    assert "heterogeneous_backends" in plan_level(5, (), ["opencl"], top=5).on
    assert "heterogeneous_backends" in plan_level(4, (), ["opencl"], top=4).on
    assert "heterogeneous_backends" not in plan_level(4, (), ["opencl"], top=5).on
    assert plan_level(4, ["heterogeneous_backends"], ["opencl"], top=4).skipped["heterogeneous_backends"] == "ablated"
    assert "--backend" in plan_level(5, (), ()).skipped["heterogeneous_backends"]


def blocks(count: int) -> list[BlockInFlight]:
    return [BlockInFlight(index, BlockInput(Ragged.from_items([]))) for index in range(count)]


def test_pipelining_overlaps_blocks_and_keeps_their_order() -> None:
    seen: dict[Stage, list[int]] = {Stage.ADMIT: [], Stage.ORDER: [], Stage.FLUSH: []}

    def work(stage: Stage) -> StageRunner:
        def step(block: BlockInFlight) -> int:
            time.sleep(0.01)
            seen[stage].append(block.index)
            return 0

        return StageRunner(stage, step, None)

    runners = [work(stage) for stage in seen]
    flight = blocks(12)
    run_pipelined(runners, flight)
    assert all(order == list(range(12)) for order in seen.values())
    overlapping = sum(
        flight[k + 1].spans[Stage.ADMIT].start_ns < flight[k].spans[Stage.FLUSH].end_ns for k in range(11)
    )
    assert overlapping == 11
    alone = blocks(3)
    run_sequential(runners, alone)
    for first, second in itertools.pairwise(alone):
        assert second.spans[Stage.ADMIT].start_ns >= first.spans[Stage.FLUSH].end_ns


def test_every_stage_has_a_thread_when_blocks_overlap() -> None:
    assert [stage for stages in THREADS for stage in stages] == list(Stage)


@pytest.mark.parametrize("failing", [0, 1, 2])
def test_a_failing_stage_stops_the_others_and_is_raised(failing: int) -> None:
    stages = [Stage.ADMIT, Stage.ORDER, Stage.FLUSH]

    def work(position: int) -> StageRunner:
        def step(block: BlockInFlight) -> int:
            if position == failing and block.index == 3:
                raise ValueError("block 3 is bad")
            return 0

        return StageRunner(stages[position], step, None)

    before = threading.active_count()
    with pytest.raises(ValueError, match="block 3 is bad"):
        run_pipelined([work(position) for position in range(3)], blocks(50))
    deadline = time.monotonic() + 5
    while threading.active_count() > before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert threading.active_count() == before


def test_waiting_is_not_work() -> None:
    def step(block: BlockInFlight) -> int:
        time.sleep(0.02)
        return 15_000_000

    flight = blocks(1)
    run_sequential([StageRunner(Stage.ORDER, step, None)], flight)
    span = flight[0].spans[Stage.ORDER]
    assert span.end_ns - span.start_ns >= 20_000_000
    assert span.busy_ns == span.end_ns - span.start_ns - 15_000_000
