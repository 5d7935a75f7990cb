"""The kernel bench: fresh input for every repetition, backends in turn, every output compared, every failure a row."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from chaindp.backend import Backend, TimeDomain
from chaindp.bench import inputs
from chaindp.errors import ChaindpError, PluginError
from chaindp.kernels import KernelSpec
from chaindp.kernels.kernelset import KernelSet
from chaindp.measure import outputs
from chaindp.measure.statistics import outlier_notes, summarize
from chaindp.measure.warmup import WarmUp, warm_up
from chaindp.plugins import Registry, describe_error, select
from chaindp.results.table import SampleTable

__all__ = ["BenchPlan", "BenchResult", "run_bench"]


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchPlan:
    """What to measure. ``sizes`` empty means each kernel's own; ``backends`` are ``name`` or ``name:device``."""

    kernels: Sequence[str]
    backends: Sequence[str] = ("cpu",)
    sizes: Sequence[int] = ()
    repeat: int = 10
    threads: int = 1
    seed: int = 0


@dataclass(frozen=True, slots=True)
class BenchResult:
    """``rows``: one a kernel, backend and size, as the JSON has them; ``table``: one row a sample."""

    rows: list[dict[str, object]]
    table: SampleTable

    @property
    def holds(self) -> bool:
        """Whether nothing failed."""
        return all(row["status"] != "failed" for row in self.rows)


@dataclass(slots=True)
class _Contender:
    """One requested backend at one kernel and size, and what was seen of it."""

    selector: str
    kernels: KernelSet | None = None
    skipped: str = ""
    failed: str = ""
    compared: list[str] = field(default_factory=list)
    compute_ns: list[int] = field(default_factory=list)
    transfer_ns: list[int] = field(default_factory=list)
    units: list[int] = field(default_factory=list)
    differs: list[str] = field(default_factory=list)
    output_bytes: int = 0
    warm_up: WarmUp | None = None
    last: tuple[Any, Any] | None = None

    @property
    def runs(self) -> bool:
        return self.kernels is not None and not self.skipped and not self.failed


class _Backends:
    """The open backends of one bench, each opened once, references included."""

    def __init__(self, registry: Registry, threads: int) -> None:
        self.registry = registry
        self.threads = threads
        self.open: dict[str, KernelSet | PluginError] = {}

    def get(self, selector: str) -> KernelSet:
        """The kernels of a backend; PluginError, the same one each time, where it does not open."""
        if selector not in self.open:
            try:
                self.open[selector] = self.registry.kernel_set(
                    self.registry.open_backend(selector, threads=self.threads)
                )
            except PluginError as error:
                self.open[selector] = error
        found = self.open[selector]
        if isinstance(found, PluginError):
            raise found
        return found

    def close(self, warn: Callable[[str], None]) -> None:
        """Close all of them; one that fails to close costs a warning."""
        for kernels in self.open.values():
            if isinstance(kernels, KernelSet):
                try:
                    kernels.backend.close()
                except Exception as error:
                    warn(f"backend {kernels.backend.label} does not close: {describe_error(error)}")


def run_bench(
    registry: Registry,
    plan: BenchPlan,
    run_id: str,
    *,
    advance: Callable[[str], None] = lambda step: None,
    warn: Callable[[str], None] = lambda line: None,
) -> BenchResult:
    """Measure every kernel of the plan on every backend at every size.

    advance: called with a description before each combination of kernel, backend and size
    warn:    takes one line for what goes wrong without touching a figure

    Raises UsageError for an unknown kernel, backend, device or a size that does not fit into memory, before anything is
    measured. What goes wrong while it runs is a row with status ``failed``.
    """
    specs = [select(registry.kernels, name, "kernel", registry.broken) for name in plan.kernels]
    result = BenchResult([], SampleTable(run_id))
    backends = _Backends(registry, plan.threads)
    try:
        for selector in plan.backends:
            try:
                backends.get(selector)
            except PluginError as error:
                warn(str(error))
        for spec in specs:
            for size in plan.sizes or spec.sizes or (1,):
                inputs.check_fits(registry, spec, size, 2 + 2 * len(plan.backends))
        for spec in specs:
            vetted: dict[str, _Contender] = {}
            for size in plan.sizes or spec.sizes or (1,):
                _bench_size(registry, backends, plan, spec, size, vetted, result, advance)
    finally:
        backends.close(warn)
    for row in registry.broken:
        _report_broken(row.name, f"plugin {row.label} was left out: {row.reason}", result)
    return result


def _bench_size(
    registry: Registry,
    backends: _Backends,
    plan: BenchPlan,
    spec: KernelSpec,
    size: int,
    vetted: dict[str, _Contender],
    result: BenchResult,
    advance: Callable[[str], None],
) -> None:
    contenders = []
    for selector in plan.backends:
        advance(f"{spec.name} {size} {selector}")
        if selector not in vetted:
            vetted[selector] = _vet(registry, backends, plan, spec, selector)
        seen = vetted[selector]
        contender = _Contender(selector, seen.kernels, seen.skipped, seen.failed, list(seen.compared))
        if contender.runs:
            _guard(contender, _warm_up, plan, spec, size)
        contenders.append(contender)
    golden = _Golden(spec, plan.seed, size)
    order = np.random.default_rng([plan.seed, size, 1])
    for repetition in range(plan.repeat):
        pristine = inputs.generate(spec, plan.seed, size, repetition)
        units = int(spec.units(*pristine))
        if units == 0:
            for contender in contenders:
                contender.skipped = contender.skipped or f"size {size} has no {spec.unit} to time"
            break
        expected = _References(backends, spec, pristine, golden, units)
        # Another order each time, so that no backend always inherits the caches or the clock of the same other one.
        for index in order.permutation(len(contenders)):
            contender = contenders[index]
            if contender.runs:
                _guard(contender, _sample, spec, pristine, units, expected, repetition)
    for contender in contenders:
        _guard(contender, _settle, spec)
        _report(contender, spec, size, plan, result)


def _vet(registry: Registry, backends: _Backends, plan: BenchPlan, spec: KernelSpec, selector: str) -> _Contender:
    """Whether a backend takes part for this kernel, and its fixed vectors and golden cases, once for all sizes."""
    contender = _Contender(selector)
    try:
        contender.kernels = backends.get(selector)
    except PluginError as error:
        contender.failed = str(error)
        return contender
    backend = contender.kernels.backend
    capability = registry.backends[backend.name].capability(spec.name)
    if spec.name not in contender.kernels.supported:
        contender.skipped = outputs.claimed_reason(backend, spec.name, capability.reason, capability.support.value)
    elif backend.time_domain is not TimeDomain.WALL:
        # Its wall time would be the speed of a simulator or hide queueing, and must not stand beside hardware figures.
        contender.skipped = (
            f"the bench has a wall clock only, and backend {backend.label} is timed in {backend.time_domain}"
        )
    else:
        _guard(contender, _prove, backends, plan, spec)
    return contender


def _prove(contender: _Contender, backends: _Backends, plan: BenchPlan, spec: KernelSpec) -> None:
    assert contender.kernels is not None
    backend = contender.kernels.backend
    backend.warm_up([spec.name])

    def call(*args: Any) -> Any:
        return contender.kernels.call(spec.name, *args)  # type: ignore[union-attr]

    problem, compared = outputs.check_vectors(spec, call)
    contender.compared += [compared] if compared else []
    reference = _reference(backends, spec, backend.label)
    if not problem and (reference is None or outputs.reference_of(backend.label) is None):
        problem, compared = outputs.check_golden(spec, call, plan.seed)
        contender.compared += [compared] if compared else []
    if reference is not None:
        contender.compared.append(f"{reference.backend.label} in full")
    contender.failed = _blame(contender, spec, problem) if problem else ""


def _reference(backends: _Backends, spec: KernelSpec, label: str) -> KernelSet | None:
    """The kernels that ``label`` is compared with; None where no backend of the chain of trust has this kernel.

    The chain ends with what is compared with the golden reference on small inputs; in full, it and the backend that it
    vouches for are compared with each other.
    """
    name = outputs.reference_of(label) or "cpu"
    if name.partition(":")[0] not in backends.registry.backends:
        return None
    kernels = backends.get(name)
    return kernels if spec.name in kernels.supported else None


class _Golden:
    """The golden reference for one kernel and size, as long as GOLDEN_SECONDS last: plain Python is slow."""

    NAME = "the golden reference"

    def __init__(self, spec: KernelSpec, seed: int, size: int) -> None:
        self.spec = spec
        self.left = outputs.GOLDEN_SECONDS
        self._probe = (seed, min(size, 16))
        self._seconds_per_unit: float | None = None

    def output(self, args: tuple[Any, ...], units: int) -> Any:
        """What the golden reference returns; None where the time for it is used up."""
        if self._seconds_per_unit is None:
            small = inputs.generate(self.spec, *self._probe, inputs.WARM_UP_STREAM - 2)
            began = time.perf_counter()
            self.spec.golden(*small)
            self._seconds_per_unit = (time.perf_counter() - began) / max(1, int(self.spec.units(*small)))
        if self._seconds_per_unit * units > self.left:
            return None
        began = time.perf_counter()
        expected = self.spec.golden(*outputs.copy_args(args))
        self.left -= time.perf_counter() - began
        return expected


class _References:
    """What the references return for one repetition's input, each computed once and only where it is asked for."""

    def __init__(
        self, backends: _Backends, spec: KernelSpec, args: tuple[Any, ...], golden: _Golden, units: int
    ) -> None:
        self.backends, self.spec, self.args = backends, spec, args
        self.golden, self.units = golden, units
        self.outputs: dict[str, Any] = {}

    def of(self, label: str) -> tuple[str, Any] | None:
        """The name and the output of the reference of ``label``; None where there is no time for the golden one."""
        kernels = _reference(self.backends, self.spec, label)
        if kernels is None:
            name = _Golden.NAME
            if name not in self.outputs:
                self.outputs[name] = self.golden.output(self.args, self.units)
            return None if self.outputs[name] is None else (name, self.outputs[name])
        name = kernels.backend.label
        if name not in self.outputs:
            try:
                self.outputs[name] = kernels.call(self.spec.name, *outputs.copy_args(self.args))
            except ChaindpError as error:
                raise PluginError(f"nothing to compare with: {error}") from error
            kernels.take_calls()
        return name, self.outputs[name]


def _warm_up(contender: _Contender, plan: BenchPlan, spec: KernelSpec, size: int) -> None:
    kernels = contender.kernels
    assert kernels is not None

    def call(number: int) -> int:
        args = inputs.generate(spec, plan.seed, size, inputs.WARM_UP_STREAM + number)
        contender.output_bytes = inputs.output_bytes(kernels.call(spec.name, *args))
        return kernels.take_calls()[-1].compute_ns

    contender.warm_up = warm_up(call)


def _sample(
    contender: _Contender,
    spec: KernelSpec,
    pristine: tuple[Any, ...],
    units: int,
    expected: _References,
    repetition: int,
) -> None:
    kernels = contender.kernels
    assert kernels is not None
    args = outputs.copy_args(pristine)
    kernels.take_calls()
    inputs.touch_memory(contender.output_bytes)
    output = kernels.call(spec.name, *args)
    calls = kernels.take_calls()
    if outputs.changed_arguments(args, pristine):
        raise PluginError(_blame(contender, spec, "a call changes its arguments"))
    # Only now is the previous output compared: memory that a later call overwrites shows itself by that.
    _settle(contender, spec)
    contender.compute_ns.append(sum(call.compute_ns for call in calls))
    contender.transfer_ns.append(sum(call.transfer_ns for call in calls))
    contender.units.append(units)
    reference = expected.of(kernels.backend.label)
    if reference is not None:
        contender.last = (output, (*reference, repetition))


def _settle(contender: _Contender, spec: KernelSpec) -> None:
    """Compare the output that is waiting for it."""
    if contender.last is None:
        return
    output, (name, expected, repetition) = contender.last
    contender.last = None
    problem = outputs.difference(spec, output, expected, name)
    contender.differs.append(problem and f"{problem} (repetition {repetition})")


def _guard(contender: _Contender, work: Callable[..., None], *args: Any) -> None:
    """Do the work on a contender; what a backend raises is this contender's failure and nobody else's."""
    try:
        work(contender, *args)
    except ChaindpError as error:
        contender.failed = str(error)
    except Exception as error:
        contender.failed = f"backend {contender.selector} raises {describe_error(error)}"


def _blame(contender: _Contender, spec: KernelSpec, problem: str) -> str:
    return f"backend {contender.selector}, kernel {spec.name}: {problem}"


def _report(contender: _Contender, spec: KernelSpec, size: int, plan: BenchPlan, result: BenchResult) -> None:
    """Add the summary row and the samples of one contender."""
    backend: Backend | None = contender.kernels.backend if contender.kernels is not None else None
    wrong = [problem for problem in contender.differs if problem]
    if wrong and not contender.failed:
        more = f", and {len(wrong) - 1} more of {plan.repeat} repetitions" if len(wrong) > 1 else ""
        contender.failed = _blame(contender, spec, wrong[0] + more)
    status = "failed" if contender.failed else "skipped" if contender.skipped else "ok"
    # Right on vectors and small inputs is not yet right here: where no timed output was compared, this is null.
    compared = bool(contender.differs) or status == "failed"
    matched = None if contender.skipped or backend is None or not compared else status == "ok"
    row: dict[str, object] = {
        "kernel": spec.name,
        "backend": contender.selector,
        "device": backend.device if backend is not None else None,
        "size": size,
        "threads": backend.threads if backend is not None else plan.threads,
        "time_domain": backend.time_domain.value if backend is not None else None,
        "ns_per_unit": None,
        "units_per_s": None,
        "transfer_ns": None,
        "output_matched": matched,
        "status": status,
        "reason": contender.failed or contender.skipped,
        "unit": spec.unit,
        "repeat": len(contender.compute_ns),
        "compared_with": ", ".join(contender.compared),
        "repetitions_compared": len(contender.differs),
    }
    if contender.warm_up is not None:
        row |= {"warm_up_calls": contender.warm_up.calls, "warm_up_stable": contender.warm_up.stable}
    common = {
        "workload": f"{spec.name}/{size}",
        "kernel": spec.name,
        "backend_requested": contender.selector,
        "backend_ran": backend.label if backend is not None else None,
        "device": row["device"],
        "time_domain": row["time_domain"],
    }
    count = len(contender.compute_ns)
    samples: dict[str, Any] = {
        "repetition": np.arange(count),
        **common,
        "status": status,
        "reason": row["reason"],
        "output_matched": matched,
    }
    if status == "ok" and contender.compute_ns:
        compute = np.array(contender.compute_ns, dtype=np.float64)
        per_unit = compute / np.array(contender.units)
        stats, notes = summarize(per_unit, seed=plan.seed), outlier_notes(per_unit)
        row |= {
            "ns_per_unit": stats.median,
            "units_per_s": 1e9 / stats.median if stats.median > 0 else None,
            "transfer_ns": float(np.median(contender.transfer_ns)),
            "ns_per_unit_min": stats.minimum,
            "ns_per_unit_q1": stats.q1,
            "ns_per_unit_q3": stats.q3,
            "ns_per_unit_max": stats.maximum,
            "ns_per_unit_low": stats.low,
            "ns_per_unit_high": stats.high,
            "outliers": sum(note != "" for note in notes),
        }
        samples["reason"] = notes
    result.table.extend(count, metric="compute_time", value=contender.compute_ns, unit="ns", **samples)
    result.table.extend(count, metric="transfer_time", value=contender.transfer_ns, unit="ns", **samples)
    result.table.extend(count, metric="work", value=contender.units, unit=spec.unit, **samples)
    if count == 0:
        result.table.append(metric="compute_time", unit="ns", **{**samples, "repetition": None})
    result.rows.append(row)


def _report_broken(name: str, reason: str, result: BenchResult) -> None:
    """The failure row of a plugin that was left out."""
    keys = ("kernel", "device", "size", "threads", "time_domain", "ns_per_unit", "units_per_s", "transfer_ns")
    row: dict[str, object] = dict.fromkeys(keys)
    row |= {"backend": name, "output_matched": None, "status": "failed", "reason": reason}
    result.rows.append(row)
    result.table.append(backend_requested=name, metric="plugin", status="failed", reason=reason)
