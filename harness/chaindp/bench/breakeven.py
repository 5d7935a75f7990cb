"""Break-even: how long a kernel takes, by batch size, on a backend that was asked for and on the one that it replaces.

Sizes ascend as far as the time allows, and past the largest batch that the pipeline had whatever that takes. At every
size the sides take turns on the same fresh input, one call a sample, and their outputs must be equal. What is recorded
is samples; from which size on a backend wins is for ``chaindp.results.breakeven`` to say.
"""

from __future__ import annotations

import gc
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np

from chaindp.bench import inputs
from chaindp.bench.sides import Job, LocalSide, Sample, SideInfo
from chaindp.errors import CheckFailed, UsageError
from chaindp.kernels import KernelSpec
from chaindp.measure.outputs import reference_of
from chaindp.measure.statistics import outlier_notes
from chaindp.measure.verdict import MINIMUM_ROUNDS
from chaindp.plugins import Registry, describe_error, select
from chaindp.results.table import SampleTable

__all__ = ["BREAK_EVEN_RULE", "BreakEvenPlan", "Subject", "measure_break_even", "subjects_of"]

_SMALLEST, _LARGEST, _STEP = 16, 1 << 20, 4
_MOST_ROUNDS, _SECONDS_A_SIZE = 25, 0.05

BREAK_EVEN_RULE = (
    f"sizes {_SMALLEST}, {_SMALLEST * _STEP}, {_SMALLEST * _STEP**2}... and the power of two between a loss and a win; "
    f"at each, {MINIMUM_ROUNDS} to {_MOST_ROUNDS} rounds in which the sides take turns there and back, each call on "
    "fresh input that the sides share"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A kernel that the pipeline ran on backends that were asked for, and how large its batches were there.

    kernel:   its name
    backends: ``name`` or ``name:device``, all of which have the same reference (``measure.outputs.reference_of``)
    largest:  the largest batch of the pipeline, in units of work of a call; 0 where that is not known
    """

    kernel: str
    backends: tuple[str, ...]
    largest: float = 0.0

    @property
    def against(self) -> str:
        """The backend that the others are held against, and that their outputs are compared with."""
        return reference_of(self.backends[0]) or "cpu"


def subjects_of(served: Mapping[str, tuple[Sequence[str], float]]) -> list[Subject]:
    """What to measure of the kernels that backends served: kernel to these backends and the largest batch.

    Backends with different references are different subjects: ``cpu`` itself is held against ``cpu:scalar``.
    """
    subjects = []
    for kernel, (backends, largest) in served.items():
        for reference in dict.fromkeys(reference_of(backend) for backend in backends):
            mine = tuple(backend for backend in backends if reference_of(backend) == reference)
            subjects.append(Subject(kernel=kernel, backends=mine, largest=largest))
    return subjects


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakEvenPlan:
    """What to measure, and for how many ``seconds`` in all, apart from opening devices and building programs.

    Sizes up to the pipeline's own are measured whatever they take.
    """

    subjects: Sequence[Subject]
    seconds: float = 6.0
    threads: int = 1
    seed: int = 0


@dataclass(slots=True)
class _Ladder:
    """One subject on its way up.

    due:     sizes to measure, the next step up first
    speeds:  by size, the speed of every backend over that of the one it is held against, medians with transfer
    units:   units of work of a call at the largest size so far
    took:    by size, how long it was measured, in seconds
    """

    subject: Subject
    spec: KernelSpec
    sides: list[LocalSide] = field(default_factory=list)
    info: list[SideInfo] = field(default_factory=list)
    due: list[int] = field(default_factory=lambda: [_SMALLEST])
    speeds: dict[int, list[float]] = field(default_factory=dict)
    units: float = -1.0
    took: dict[int, float] = field(default_factory=dict)

    def required(self, size: int) -> bool:
        """Whether this size is measured whatever it takes: on the way to the pipeline's own batches."""
        return size > max(self.speeds, default=0) and self.units <= self.subject.largest

    def cost(self, size: int) -> float:
        """A guess at the seconds that a size takes: on a straight line through the two largest, never less than these.

        Small sizes take what the rounds take, whatever their size; of large ones most is making input.
        """
        known = sorted(self.took.items())[-2:]
        if not known:
            return 0.0
        last, most = known[-1][0], max(seconds for _, seconds in known)
        slope = (known[-1][1] - known[0][1]) / (last - known[0][0]) if len(known) == 2 else 0.0
        return max(most if size > last else 0.0, known[-1][1] + slope * (size - last))


def measure_break_even(
    registry: Registry,
    plan: BreakEvenPlan,
    table: SampleTable,
    *,
    advance: Callable[[str], None] = lambda step: None,
    warn: Callable[[str], None] = lambda line: None,
) -> list[str]:
    """Measure every subject and append the samples to ``table``; returns what failed, one line each.

    advance: called with a description before each kernel and size
    warn:    takes one line for what goes wrong without touching a figure

    Metrics: ``break_even_compute`` and ``break_even_transfer`` (ns of one call) and ``break_even_work`` (its units) of
    the backends that were asked for; with ``break_even_against_`` in front, of the backend that they are held against.
    ``workload`` is KERNEL/SIZE; a repetition is one input, which all sides got. A kernel that fails on a side, or whose
    outputs differ, is a failed row and measured no further: whatever it raises, the caller keeps what it has measured.
    """
    opened: dict[str, LocalSide] = {}
    last = inputs.LastInputs()
    failures: list[str] = []
    ladders = [_Ladder(subject, select(registry.kernels, subject.kernel, "kernel")) for subject in plan.subjects]
    try:
        with _quiet_collector():
            while (step := _next(ladders, plan.seconds - _spent(ladders))) is not None:
                ladder, size = step
                advance(f"{ladder.spec.name} {size}")
                try:
                    _climb(registry, plan, ladder, size, opened, last, table)
                except Exception as error:  # of a backend, a driver or a plugin's input generator
                    failures.append(f"break-even of {ladder.spec.name}/{size}: {describe_error(error)}")
                    _unmeasured(table, ladder.subject, size, "failed", describe_error(error))
                    ladder.due.clear()
    finally:
        for side in opened.values():
            try:
                side.close()
            except Exception as error:
                warn(f"backend {side.label} does not close: {describe_error(error)}")
    return failures


@contextmanager
def _quiet_collector() -> Iterator[None]:
    """What is there already will stay; leaving it out makes the collection before each round cheap."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def _spent(ladders: Sequence[_Ladder]) -> float:
    """Seconds of measuring so far."""
    return sum(sum(ladder.took.values()) for ladder in ladders)


def _next(ladders: Sequence[_Ladder], left: float) -> tuple[_Ladder, int] | None:
    """The cheapest size that is due and that fits into ``left`` seconds or is required; None where there is none.

    The cheapest first, so that a kernel whose input takes long to make does not use up the time of all others.
    """
    due = [
        (ladder.cost(size), number, size)
        for number, ladder in enumerate(ladders)
        for size in ladder.due
        if ladder.cost(size) <= left or ladder.required(size)
    ]
    if not due:
        return None
    _, number, size = min(due)
    ladders[number].due.remove(size)
    return ladders[number], size


def _climb(
    registry: Registry,
    plan: BreakEvenPlan,
    ladder: _Ladder,
    size: int,
    opened: dict[str, LocalSide],
    last: inputs.LastInputs,
    table: SampleTable,
) -> None:
    """Measure one size of a subject, and say which sizes are due after it."""
    subject, spec = ladder.subject, ladder.spec
    job = Job(spec.name, size, plan.seed)
    if not ladder.sides:
        for selector in (subject.against, *subject.backends):
            if selector not in opened:
                opened[selector] = LocalSide(registry, selector, plan.threads, last=last)
            ladder.sides.append(opened[selector])
        ladder.info = [side.prepare(job) for side in ladder.sides]
        skipped = [info.skipped for info in ladder.info if info.skipped]
        if skipped:
            _unmeasured(table, subject, size, "skipped", skipped[0])
            return
    required = ladder.required(size)
    try:
        inputs.check_fits(registry, spec, size, 2 + 2 * len(ladder.sides))
    except UsageError as error:
        if required:
            _unmeasured(table, subject, size, "skipped", str(error))
        return
    # Not from when the sides opened: what building programs takes says nothing about the next size.
    began = time.perf_counter()
    for side in ladder.sides:
        side.warm_up(job)
    samples = _rounds(ladder, job)
    ladder.took[size] = time.perf_counter() - began
    _record(table, ladder, size, samples)
    per_unit = [
        np.median([(sample.compute_ns + sample.transfer_ns) / sample.units for sample in side]) for side in samples
    ]
    below = max((other for other in ladder.speeds if other < size), default=0)
    climbing = size > max(ladder.speeds, default=0)
    ladder.speeds[size] = [float(per_unit[0] / other) for other in per_unit[1:]]
    if climbing:
        ladder.units = samples[0][0].units
        if size * _STEP <= _LARGEST or ladder.units <= subject.largest:
            ladder.due.append(size * _STEP)
        middle = math.isqrt(below * size)
        if below and any(a < 1 <= b for a, b in zip(ladder.speeds[below], ladder.speeds[size], strict=True)):
            ladder.due.append(middle)


def _rounds(ladder: _Ladder, job: Job) -> list[list[Sample]]:
    """Samples of every side; CheckFailed where one changes its arguments or their outputs differ."""
    samples: list[list[Sample]] = [[] for _ in ladder.sides]
    rng = np.random.default_rng([job.seed, job.size, len(ladder.sides)])
    began = time.perf_counter()
    stream = 0
    for number in range(_MOST_ROUNDS):
        if number >= MINIMUM_ROUNDS and time.perf_counter() - began > _SECONDS_A_SIZE:
            break
        order = rng.permutation(len(ladder.sides)).tolist()
        gc.collect()
        for turn in (order, order[::-1]):
            for index in turn:
                sample = ladder.sides[index].sample(job, [stream])
                if sample.units <= 0:
                    raise CheckFailed(f"size {job.size} of {job.kernel} has no {ladder.spec.unit} to time")
                if sample.changed:
                    label = ladder.sides[index].label
                    raise CheckFailed(f"backend {label}, kernel {job.kernel}: a call changes its arguments")
                samples[index].append(sample)
            for index in turn:
                if samples[index][-1].digest != samples[0][-1].digest:
                    raise CheckFailed(
                        f"kernel {job.kernel}: outputs of {ladder.sides[index].label} and {ladder.sides[0].label} "
                        f"differ on the same input; `chaindp bench {job.kernel} --size {job.size}` says by how much"
                    )
            stream += 1
    return samples


def _record(table: SampleTable, ladder: _Ladder, size: int, samples: Sequence[Sequence[Sample]]) -> None:
    """Append the samples of one size, a row each."""
    for index, (info, mine) in enumerate(zip(ladder.info, samples, strict=True)):
        metric = "break_even" if index else "break_even_against"
        compute, transfer, units = (
            np.array([getattr(sample, name) for sample in mine], dtype=np.float64)
            for name in ("compute_ns", "transfer_ns", "units")
        )
        row = {
            "workload": f"{ladder.spec.name}/{size}",
            "kernel": ladder.spec.name,
            "repetition": np.arange(len(mine)),
            "backend_requested": ladder.sides[index].label,
            "backend_ran": info.backend,
            "device": info.device,
            "time_domain": info.time_domain,
            "output_matched": True,
        }
        notes = outlier_notes((compute + transfer) / units)
        table.extend(len(mine), **row, metric=f"{metric}_compute", value=compute, unit="ns", reason=notes)
        table.extend(len(mine), **row, metric=f"{metric}_transfer", value=transfer, unit="ns")
        table.extend(len(mine), **row, metric=f"{metric}_work", value=units, unit=ladder.spec.unit)


def _unmeasured(table: SampleTable, subject: Subject, size: int, status: str, reason: str) -> None:
    """A row for what was not measured, or failed, and why."""
    for backend in subject.backends:
        table.append(
            workload=f"{subject.kernel}/{size}",
            kernel=subject.kernel,
            backend_requested=backend,
            metric="break_even_compute",
            unit="ns",
            status=status,
            reason=reason,
        )
