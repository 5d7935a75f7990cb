"""Interleaved pairs: two sides measured in turn, and the first one against itself at the same time.

A round is three sides, each sampled once, and then once more in the opposite order: A, B and A again (a second
instance of A), as in A B A' A' B A; which of the three comes first changes from round to round. A machine that slows
down steadily through a round does so to all sides alike, and one that is slow for a round is slow for all of them.
A' against A is the A/A comparison: what this machine, at this moment, shows between equal sides. It gets input of its
own, so that a backend that remembers answers finds none of A's.
"""

from __future__ import annotations

import gc
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from chaindp.bench.sides import SAMPLE_NS, Job, Sample, Side, SideInfo
from chaindp.errors import ChaindpError, CheckFailed, UsageError
from chaindp.measure.statistics import outlier_notes, outliers
from chaindp.measure.verdict import MINIMUM_ROUNDS, Comparison, judge
from chaindp.results.compare import domain_refusal
from chaindp.results.table import SampleTable

__all__ = ["FLOOR_OF_PAIRS", "PAIR_RULE", "PairPlan", "PairResult", "compare_sides"]

PAIR_RULE = (
    "rounds of A B A' A' B A, the three in a random order; a sample is as many calls, each on fresh input, as take "
    "2 ms on the fastest side, but no more than take 250 ms on the slowest; A and B get the same input, A' gets other "
    "input; garbage is collected before every round"
)
FLOOR_OF_PAIRS = "A against a second A, in the same rounds"

_SLOWEST_SAMPLE_NS = 250e6
_A, _B, _AGAIN = range(3)


@dataclass(frozen=True, slots=True, kw_only=True)
class PairPlan:
    """The budget: at most ``rounds`` rounds, and no further round after ``seconds``, but never fewer than it takes.

    launches: in how many portions to measure, each with sides that were opened anew: processes that run the same code
              differ from one start to the next, and only several starts show by how much
    """

    rounds: int = 150
    seconds: float = 6.0
    seed: int = 0
    launches: int = 1


@dataclass(slots=True)
class PairResult:
    """What was found for one kernel and size. ``failed`` and ``skipped`` say why there are no comparisons.

    unstable: the sides that were measured although their times had not become stable (``measure.warmup``)
    """

    job: Job
    comparisons: list[Comparison] = field(default_factory=list)
    unstable: list[str] = field(default_factory=list)
    failed: str = ""
    skipped: str = ""


@dataclass(slots=True)
class _Collected:
    """Samples float64[rounds, 2] by side, in the order of measuring."""

    info: list[SideInfo] = field(default_factory=list)
    compute_ns: list[list[list[float]]] = field(default_factory=lambda: [[], [], []])
    transfer_ns: list[list[list[float]]] = field(default_factory=lambda: [[], [], []])
    units: list[list[list[float]]] = field(default_factory=lambda: [[], [], []])
    streams: int = 0

    def take_streams(self, count: int) -> range:
        """The next ``count`` input streams, which no call has had before."""
        self.streams += count
        return range(self.streams - count, self.streams)


def compare_sides(
    open_sides: Callable[[], Sequence[Side]],
    job: Job,
    plan: PairPlan,
    table: SampleTable,
    unit: str,
    advance: Callable[[str], None] = lambda step: None,
) -> PairResult:
    """Measure one kernel at one size on two sides and judge the second against the first.

    open_sides: opens A, B and the second A; called once a launch; they are closed here
    unit:       the kernel's unit of work
    advance:    called with a description before each launch

    Samples go to ``table``, those of a comparison that failed too. What goes wrong on a side is a failure that names
    it.
    """
    result, collected = PairResult(job), _Collected()
    labels: list[str] = []
    try:
        for launch in range(plan.launches):
            advance(f"{job.kernel} {job.size}" + (f", launch {launch + 1}" if plan.launches > 1 else ""))
            sides = open_sides()
            try:
                labels = [side.label for side in sides]
                collected.info = [side.prepare(job) for side in sides]
                result.skipped = _obstacle(labels, collected.info)
                if result.skipped:
                    break
                warmed = [side.warm_up(job) for side in sides]
                result.unstable += [side.label for side, warm in zip(sides, warmed, strict=True) if not warm.stable]
                _launch(sides, job, plan, launch, [warm.last_ns for warm in warmed], collected)
            finally:
                for side in sides:
                    side.close()
    except UsageError:
        raise
    except ChaindpError as error:
        result.failed = str(error)
    _record(table, job, labels, collected, unit, result)
    if not result.failed and not result.skipped:
        result.comparisons = _judge(job, labels, collected, plan.seed, unit)
    return result


def _obstacle(labels: Sequence[str], info: Sequence[SideInfo]) -> str:
    """Why two sides cannot be compared; empty where they can."""
    skipped = [side.skipped for side in info[:2] if side.skipped]
    if skipped:
        return "; ".join(dict.fromkeys(skipped))
    refusal = domain_refusal(labels[_A], info[_A].time_domain, labels[_B], info[_B].time_domain)
    if refusal:
        return refusal
    if info[_A].time_domain != "wall":
        return (
            f"this comparison has a wall clock only, and both sides are timed in {info[_A].time_domain}; what a "
            "simulated device takes has no noise to be judged by: `chaindp bench` both, or compare two stored benches"
        )
    return ""


def _launch(
    sides: Sequence[Side], job: Job, plan: PairPlan, launch: int, times: Sequence[float], collected: _Collected
) -> None:
    """Measure one portion of the rounds; ``times`` are what a call of each side takes, in ns."""
    calls = min(math.ceil(SAMPLE_NS / max(1.0, min(times))), max(1, int(_SLOWEST_SAMPLE_NS / max(1.0, *times))))
    most = math.ceil(plan.rounds / plan.launches)
    least = math.ceil(MINIMUM_ROUNDS / plan.launches)
    rng = np.random.default_rng([plan.seed, job.size, launch])
    # What is there already will stay; leaving it out makes the collection before each round cheap.
    gc.collect()
    gc.freeze()
    began = time.perf_counter()
    try:
        for number in range(most):
            if number >= least and time.perf_counter() - began > plan.seconds / plan.launches:
                break
            order = rng.permutation(3).tolist()
            gc.collect()
            halves = [_half(sides, job, turn, calls, collected) for turn in (order, order[::-1])]
            for index in range(3):
                collected.compute_ns[index].append([half[index].compute_ns for half in halves])
                collected.transfer_ns[index].append([half[index].transfer_ns for half in halves])
                collected.units[index].append([half[index].units for half in halves])
    finally:
        gc.unfreeze()


def _half(
    sides: Sequence[Side], job: Job, order: Sequence[int], calls: int, collected: _Collected
) -> dict[int, Sample]:
    """Each side once, A and B on the same input; CheckFailed where a side changes it or their outputs differ."""
    shared, own = collected.take_streams(calls), collected.take_streams(calls)
    samples: dict[int, Sample] = {}
    for index in order:
        samples[index] = sides[index].sample(job, own if index == _AGAIN else shared)
        if samples[index].changed:
            raise CheckFailed(f"backend {sides[index].label}, kernel {job.kernel}: a call changes its arguments")
    if samples[_B].digest != samples[_A].digest:
        raise CheckFailed(
            f"kernel {job.kernel}: outputs of {sides[_A].label} and {sides[_B].label} differ on the same input; "
            f"`chaindp bench {job.kernel} --size {job.size}` compares each with its reference"
        )
    return samples


def _record(
    table: SampleTable, job: Job, labels: Sequence[str], collected: _Collected, unit: str, result: PairResult
) -> None:
    """Append all samples: compute_time of A and B, compute_time_again of the second A, and the work."""
    reason = result.failed or result.skipped
    status = "failed" if result.failed else "skipped" if result.skipped else "ok"
    common = {"workload": f"{job.kernel}/{job.size}", "kernel": job.kernel, "status": status}
    if not collected.compute_ns[_A]:
        table.append(**common, metric="compute_time", unit="ns", reason=reason)
        return
    for index, label in enumerate(labels):
        info, suffix = collected.info[index], "_again" if index == _AGAIN else ""
        compute, transfer, units = (
            np.array(part[index]).reshape(-1) for part in (collected.compute_ns, collected.transfer_ns, collected.units)
        )
        where = common | {
            "repetition": np.arange(len(compute)),
            "backend_requested": label,
            "backend_ran": info.backend,
            "device": info.device,
            "time_domain": info.time_domain,
            "output_matched": None if result.failed else True,
        }
        notes = outlier_notes(compute / units) if status == "ok" else reason
        table.extend(len(compute), **where, metric=f"compute_time{suffix}", value=compute, unit="ns", reason=notes)
        table.extend(len(compute), **where, metric=f"transfer_time{suffix}", value=transfer, unit="ns", reason=reason)
        table.extend(len(compute), **where, metric=f"work{suffix}", value=units, unit=unit, reason=reason)


def _judge(job: Job, labels: Sequence[str], collected: _Collected, seed: int, unit: str) -> list[Comparison]:
    units, compute, transfer = (
        [np.array(side) for side in part] for part in (collected.units, collected.compute_ns, collected.transfer_ns)
    )
    alone = [time / work for time, work in zip(compute, units, strict=True)]
    both = [(time + moved) / work for time, moved, work in zip(compute, transfer, units, strict=True)]
    return [
        _compare("ns_per_unit", alone, job, labels, seed, unit),
        _compare("ns_per_unit_with_transfer", both, job, labels, seed, unit),
    ]


def _compare(
    metric: str, sides: Sequence[np.ndarray], job: Job, labels: Sequence[str], seed: int, unit: str
) -> Comparison:
    found = judge(sides[_A], sides[_B], sides[_AGAIN], seed=seed)
    counts = [int((outliers(side.reshape(-1)) != "").sum()) for side in sides]
    return Comparison(
        metric=metric,
        what=f"{job.kernel}/{job.size}",
        a=labels[_A],
        b=labels[_B],
        unit=f"ns/{unit}",
        time_domain="wall",
        samples_a=sides[_A].size,
        samples_b=sides[_B].size,
        verdict=found.verdict,
        a_median=float(np.median(sides[_A])),
        b_median=float(np.median(sides[_B])),
        ratio=found.ratio,
        low=found.low,
        high=found.high,
        noise_floor=found.noise_floor,
        floor_from=FLOOR_OF_PAIRS,
        outliers_a=counts[_A],
        outliers_b=counts[_B],
        reason=found.reason,
    )
