"""The kernel bench: fresh input for every repetition, backends in turn, every output compared, every failure a row."""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from chaindp.backend import Backend, TimeDomain
from chaindp.errors import ChaindpError, PluginError, UsageError
from chaindp.kernels import KernelSpec
from chaindp.kernels.kernelset import KernelSet
from chaindp.measure import compare
from chaindp.measure.statistics import summarize
from chaindp.plugins import Registry, describe_error, select
from chaindp.results.table import SampleTable

__all__ = ["MEMORY_RULE", "WARM_UP_RULE", "BenchPlan", "BenchResult", "run_bench"]

WARM_UP_RULE = (
    "calls on fresh input until one is at most 10 % faster than the fastest before it; 2 to 20 calls, at most 3 s"
)
_WARM_UP_GAIN, _WARM_UP_CALLS, _WARM_UP_SECONDS = 0.9, 20, 3.0

MEMORY_RULE = (
    "as much memory as the call returns is written to and freed right before each timed call; page faults stay in"
)
"""Why: a virtual machine may hand memory that is free for a second or two back to its host, and getting it again made
one call in two of a 64 MiB tree take two to three times as long, at random. A process that has been busy has such
memory. What the operating system itself takes to map the pages of a fresh result is part of every figure.
"""

_PROBE = 64


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
                _check_fits(registry, spec, size, len(plan.backends))
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
    order = np.random.default_rng([plan.seed, zlib.crc32(spec.name.encode()), size, 1])
    for repetition in range(plan.repeat):
        pristine = _generate(spec, plan, size, repetition)
        units = int(spec.units(*pristine))
        if units == 0:
            for contender in contenders:
                contender.skipped = contender.skipped or f"size {size} has no {spec.unit} to time"
            break
        expected = _References(backends, spec, pristine)
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
        contender.skipped = compare.claimed_reason(backend, spec.name, capability.reason, capability.support.value)
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

    problem, compared = compare.check_vectors(spec, call)
    if not problem:
        contender.compared += [compared] if compared else []
        reference = _reference(backends, spec, backend.label)
        if reference is None:
            problem, compared = compare.check_golden(spec, call, plan.seed)
            contender.compared.append(compared)
        else:
            contender.compared.append(f"{reference.backend.label} in full")
    contender.failed = _blame(contender, spec, problem) if problem else ""


def _reference(backends: _Backends, spec: KernelSpec, label: str) -> KernelSet | None:
    """The kernels that ``label`` is compared with; None where no backend of the chain of trust has this kernel."""
    name = compare.reference_of(label)
    if name is None or name.partition(":")[0] not in backends.registry.backends:
        return None
    kernels = backends.get(name)
    return kernels if spec.name in kernels.supported else None


class _References:
    """What the references return for one repetition's input, each computed once and only where it is asked for."""

    def __init__(self, backends: _Backends, spec: KernelSpec, args: tuple[Any, ...]) -> None:
        self.backends, self.spec, self.args = backends, spec, args
        self.outputs: dict[str, Any] = {}

    def of(self, label: str) -> tuple[str, Any] | None:
        """The label and the output of the reference of ``label``; None where it has none."""
        kernels = _reference(self.backends, self.spec, label)
        if kernels is None:
            return None
        name = kernels.backend.label
        if name not in self.outputs:
            try:
                self.outputs[name] = kernels.call(self.spec.name, *compare.copy_args(self.args))
            except ChaindpError as error:
                raise PluginError(f"nothing to compare with: {error}") from error
            kernels.take_calls()
        return name, self.outputs[name]


def _generate(spec: KernelSpec, plan: BenchPlan, size: int, stream: int) -> tuple[Any, ...]:
    """Arguments of one repetition (or, from ``stream`` 2^32 on, of one warm-up call): the same for every backend."""
    return spec.generate(np.random.default_rng([plan.seed, zlib.crc32(spec.name.encode()), size, stream, 0]), size)


def _warm_up(contender: _Contender, plan: BenchPlan, spec: KernelSpec, size: int) -> None:
    assert contender.kernels is not None
    began = time.perf_counter()
    fastest = float("inf")
    for count in range(_WARM_UP_CALLS):
        output = contender.kernels.call(spec.name, *_generate(spec, plan, size, (1 << 32) + count))
        contender.output_bytes = sum(
            part.nbytes for part in (output if isinstance(output, tuple) else (output,)) if isinstance(part, np.ndarray)
        )
        del output
        elapsed = contender.kernels.take_calls()[-1].compute_ns
        stable = count > 0 and elapsed >= fastest * _WARM_UP_GAIN
        fastest = min(fastest, elapsed)
        if stable or (count > 0 and time.perf_counter() - began > _WARM_UP_SECONDS):
            return


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
    args = compare.copy_args(pristine)
    kernels.take_calls()
    _touch_memory(contender.output_bytes)
    output = kernels.call(spec.name, *args)
    calls = kernels.take_calls()
    if compare.changed_arguments(args, pristine):
        raise PluginError(_blame(contender, spec, "a call changes its arguments"))
    # Only now is the previous output compared: memory that a later call overwrites shows itself by that.
    _settle(contender, spec)
    contender.compute_ns.append(sum(call.compute_ns for call in calls))
    contender.transfer_ns.append(sum(call.transfer_ns for call in calls))
    contender.units.append(units)
    reference = expected.of(kernels.backend.label)
    if reference is not None:
        contender.last = (output, (*reference, repetition))


def _touch_memory(count: int) -> None:
    """Make the machine provide ``count`` bytes: see MEMORY_RULE."""
    np.empty(count, dtype=np.uint8).fill(0)


def _settle(contender: _Contender, spec: KernelSpec) -> None:
    """Compare the output that is waiting for it."""
    if contender.last is None:
        return
    output, (name, expected, repetition) = contender.last
    contender.last = None
    problem = compare.difference(spec, output, expected, name)
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


def _check_fits(registry: Registry, spec: KernelSpec, size: int, backends: int) -> None:
    """UsageError where arguments of this size, with a copy and a result a backend, would not fit into free memory."""
    import psutil

    probe = min(size, _PROBE)
    try:
        args = spec.generate(np.random.default_rng(0), probe)
    except Exception as error:
        provider = registry.providers["kernel", spec.name]
        raise PluginError(
            f"plugin {provider}: kernel {spec.name} generates no input: {describe_error(error)}"
        ) from error
    size_of_one = sum(arg.nbytes for arg in args if isinstance(arg, np.ndarray)) / probe
    needed, free = size_of_one * size * (2 + 2 * backends), psutil.virtual_memory().available
    if needed > free:
        raise UsageError(
            f"size {size} of {spec.name} needs about {needed / 2**30:.1f} GiB, and {free / 2**30:.1f} GiB are free"
        )


def _report(contender: _Contender, spec: KernelSpec, size: int, plan: BenchPlan, result: BenchResult) -> None:
    """Add the summary row and the samples of one contender."""
    backend: Backend | None = contender.kernels.backend if contender.kernels is not None else None
    wrong = [problem for problem in contender.differs if problem]
    if wrong and not contender.failed:
        more = f", and {len(wrong) - 1} more of {plan.repeat} repetitions" if len(wrong) > 1 else ""
        contender.failed = _blame(contender, spec, wrong[0] + more)
    status = "failed" if contender.failed else "skipped" if contender.skipped else "ok"
    matched = None if contender.skipped or backend is None else status == "ok"
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
    }
    common = {
        "workload": f"{spec.name}/{size}",
        "kernel": spec.name,
        "backend_requested": contender.selector,
        "backend_ran": backend.label if backend is not None else None,
        "device": row["device"],
        "time_domain": row["time_domain"],
    }
    if status == "ok" and contender.compute_ns:
        compute = np.array(contender.compute_ns, dtype=np.float64)
        stats = summarize(compute / np.array(contender.units), seed=plan.seed)
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
        }
    count = len(contender.compute_ns)
    samples = {
        "repetition": np.arange(count),
        **common,
        "status": status,
        "reason": row["reason"],
        "output_matched": matched,
    }
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
