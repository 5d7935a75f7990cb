"""Interleaved pairs: the order of sampling, what is recorded, and what happens where a side misbehaves."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from chaindp.bench.pairs import PairPlan, PairResult, compare_sides
from chaindp.bench.sides import Job, Sample, SideInfo
from chaindp.errors import PluginError, UsageError
from chaindp.measure.verdict import Verdict
from chaindp.measure.warmup import WarmUp
from chaindp.results.table import SampleTable

JOB = Job("double", 10)


class Scripted:
    """A side that takes a stated time and writes down when it was asked."""

    def __init__(self, label: str, log: list[tuple[str, tuple[int, ...]]], ns: Callable[[int], int]) -> None:
        self.label, self.log, self.ns = label, log, ns
        self.info = SideInfo(label, "", "wall", "test")
        self.digest, self.changed, self.transfer_ns = "same", False, 0
        self.warm_ns, self.stable, self.count, self.closed = 1e6, True, 0, False

    def prepare(self, job: Job) -> SideInfo:
        assert job == JOB
        return self.info

    def warm_up(self, job: Job) -> WarmUp:
        return WarmUp(6, self.stable, self.warm_ns)

    def sample(self, job: Job, streams: Sequence[int]) -> Sample:
        self.log.append((self.label, tuple(streams)))
        self.count += 1
        return Sample(self.ns(self.count), self.transfer_ns, 10, self.digest, self.changed)

    def close(self) -> None:
        self.closed = True


def run(
    sides: Sequence[Scripted], table: SampleTable | None = None, plan: PairPlan | None = None
) -> tuple[PairResult, SampleTable]:
    table = table or SampleTable("r")
    return compare_sides(lambda: sides, JOB, plan or PairPlan(rounds=10), table, "unit"), table


def three(a: int = 1000, b: int = 1000) -> tuple[list[Scripted], list[tuple[str, tuple[int, ...]]]]:
    log: list[tuple[str, tuple[int, ...]]] = []
    return [Scripted(label, log, lambda _, ns=ns: ns) for label, ns in (("A", a), ("B", b), ("again", a))], log


def test_a_round_is_mirrored_and_every_half_has_fresh_input_that_a_and_b_share() -> None:
    sides, log = three()
    run(sides)
    assert len(log) == 60
    seen: set[int] = set()
    orders = set()
    for start in range(0, 60, 6):
        first, second = log[start : start + 3], log[start + 3 : start + 6]
        assert [label for label, _ in second] == [label for label, _ in first][::-1]
        orders.add(tuple(label for label, _ in first))
        for half in (first, second):
            streams = dict(half)
            assert streams["A"] == streams["B"] != streams["again"]
            for fresh in (streams["A"], streams["again"]):
                assert not seen & set(fresh)
                seen |= set(fresh)
    assert len(orders) > 1


def test_a_slower_side_is_found_and_all_samples_are_stored() -> None:
    sides, _ = three(1000, 2000)
    result, table = run(sides)
    row, _ = result.comparisons
    assert (row.verdict, row.ratio, row.noise_floor) == (Verdict.SLOWER, 0.5, 0.0)
    assert (row.a_median, row.b_median, row.samples_a, row.samples_b) == (100.0, 200.0, 20, 20)
    frame = table.frame()
    counts = frame.groupby(["metric", "backend_requested"]).size().to_dict()
    assert counts[("compute_time", "A")] == counts[("compute_time", "B")] == 20
    assert counts[("compute_time_again", "again")] == 20
    assert all(side.closed for side in sides)


def test_transfer_is_judged_apart() -> None:
    sides, _ = three()
    sides[1].transfer_ns = 3000
    result, _ = run(sides)
    assert {row.metric: row.ratio for row in result.comparisons} == {
        "ns_per_unit": 1.0,
        "ns_per_unit_with_transfer": 0.25,
    }


def test_outliers_are_labelled_and_kept() -> None:
    sides, _ = three()
    sides[1].ns = lambda count: 1000 + count % 3 + (50_000 if count == 7 else 0)
    result, table = run(sides)
    assert result.comparisons[0].outliers_b == 1
    frame = table.frame()
    odd = frame[frame["reason"] == "severe outlier"]
    assert odd["value"].tolist() == [51_001.0]
    assert (odd["status"] == "ok").all()


def test_sides_that_did_not_become_stable_are_named() -> None:
    sides, _ = three()
    sides[1].stable = False
    result, _ = run(sides)
    assert result.unstable == ["B"]
    assert result.comparisons


def test_short_calls_are_put_together_into_a_sample() -> None:
    sides, log = three()
    sides[0].warm_ns = 5e5
    run(sides)
    assert {len(streams) for _, streams in log} == {4}


def test_a_slow_side_bounds_how_many_calls_a_sample_has() -> None:
    sides, log = three()
    sides[0].warm_ns, sides[1].warm_ns = 1e3, 2e8
    run(sides)
    assert {len(streams) for _, streams in log} == {1}


def test_the_budget_ends_the_rounds_but_not_before_there_are_enough() -> None:
    sides, log = three()
    run(sides, plan=PairPlan(rounds=100, seconds=0.0))
    assert len(log) == 5 * 6


def test_fewer_rounds_than_it_takes_are_insufficient() -> None:
    sides, _ = three(1000, 2000)
    result, _ = run(sides, plan=PairPlan(rounds=4))
    row = result.comparisons[0]
    assert (row.verdict, row.ratio) == (Verdict.INSUFFICIENT, 0.5)
    assert (row.low, row.high, row.noise_floor) == (None, None, None)
    assert row.reason == "4 rounds, and it takes 5"


def test_a_wrong_call_is_not_a_failed_comparison() -> None:
    def open_sides() -> list[Scripted]:
        raise UsageError("backend A has no device 'x'")

    with pytest.raises(UsageError):
        compare_sides(open_sides, JOB, PairPlan(), SampleTable("r"), "unit")


def test_every_launch_opens_its_sides_anew() -> None:
    log: list[tuple[str, tuple[int, ...]]] = []
    opened: list[list[Scripted]] = []

    def open_sides() -> list[Scripted]:
        opened.append([Scripted(label, log, lambda _: 1000) for label in ("A", "B", "again")])
        # How many calls a sample has may change from launch to launch; input must be fresh all the same.
        opened[-1][0].warm_ns = 1e6 / len(opened)
        return opened[-1]

    result = compare_sides(open_sides, JOB, PairPlan(rounds=10, launches=5), SampleTable("r"), "unit")
    assert len(opened) == 5
    assert all(side.closed for side in itertools.chain(*opened))
    assert len(log) == 60
    of_a = [stream for label, streams in log if label == "A" for stream in streams]
    assert len(of_a) == len(set(of_a))
    assert len({streams for label, streams in log if label == "A"}) == 20
    assert result.comparisons[0].samples_a == 20


def test_other_outputs_on_the_same_input_fail_by_name() -> None:
    sides, _ = three()
    sides[1].digest = "other"
    result, table = run(sides)
    assert "outputs of A and B differ" in result.failed
    assert "chaindp bench double --size 10" in result.failed
    assert not result.comparisons
    assert set(table.frame()["status"]) == {"failed"}


def test_changed_arguments_fail_by_name() -> None:
    sides, _ = three()
    sides[1].changed = True
    result, _ = run(sides)
    assert "backend B" in result.failed
    assert "changes its arguments" in result.failed


def test_a_side_that_raises_fails_and_all_are_closed() -> None:
    sides, _ = three()

    def explode(count: int) -> int:
        if count == 3:
            raise PluginError("backend B: lost its device")
        return 1000

    sides[1].ns = explode
    result, table = run(sides)
    assert result.failed == "backend B: lost its device"
    assert all(side.closed for side in sides)
    frame = table.frame()
    # What was measured before is stored, as failed rows.
    assert (frame["status"] == "failed").all()
    assert len(frame) > 1


@pytest.mark.parametrize(
    ("a", "b", "words"),
    [
        ("wall", "cycles", ("not ranked across time domains", "A is in wall", "B in cycles")),
        ("cycles", "cycles", ("wall clock only", "cycles")),
    ],
)
def test_time_domains_are_not_ranked(a: str, b: str, words: Sequence[str]) -> None:
    sides, log = three()
    sides[0].info, sides[1].info = replace(sides[0].info, time_domain=a), replace(sides[1].info, time_domain=b)
    result, table = run(sides)
    for word in words:
        assert word in result.skipped
    assert log == []
    assert set(table.frame()["status"]) == {"skipped"}


def test_a_kernel_that_a_side_lacks_is_skipped_with_what_it_says() -> None:
    sides, _ = three()
    sides[1].info = replace(sides[1].info, skipped="backend B says double is not implemented")
    result, _ = run(sides)
    assert result.skipped == "backend B says double is not implemented"
