"""The kernel bench: fresh input for every repetition, backends in turn, every output compared, every failure a row."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from chaindp.backend import Platform, TimeDomain
from chaindp.bench import inputs
from chaindp.bench.rows import BenchPlan, BenchResult, Contender, report, report_broken
from chaindp.bench.simulated import SIMULATED_REPETITIONS, report_simulated
from chaindp.errors import CapabilityError, ChaindpError, PluginError, UsageError
from chaindp.kernels import KernelSpec
from chaindp.kernels.kernelset import KernelCall, KernelSet
from chaindp.measure import outputs
from chaindp.measure.device_clock import impossible_times
from chaindp.measure.platforms import added_up
from chaindp.measure.warmup import warm_up
from chaindp.plugins import Registry, describe_error, select
from chaindp.results.table import SampleTable

__all__ = ["BenchPlan", "BenchResult", "run_bench"]


class _Backends:
    """The open backends of one bench, each way of opening it once, references included."""

    def __init__(self, registry: Registry, threads: int, platform: Platform | None) -> None:
        self.registry = registry
        self.threads = threads
        self.platform = platform
        self.open: dict[tuple[str, bool], KernelSet | PluginError | UsageError] = {}

    def ways(self, selector: str) -> tuple[bool, ...]:
        """How a backend is measured: plainly, and a second time with ``profile`` where it can."""
        spec = self.registry.backends.get(selector.partition(":")[0])
        return (False, True) if spec is not None and spec.profiles else (False,)

    def get(self, selector: str, *, profile: bool = False) -> KernelSet:
        """The kernels of a backend; PluginError, the same one each time, where it does not open.

        A UsageError without ``profile`` is the user's, and of no use a second time. With it, the device is one that
        the backend cannot profile, and that is kept like a PluginError.
        """
        key = (selector, profile)
        if key not in self.open:
            try:
                simulates = self.registry.backend_spec(selector)[0].simulates
                platform = self.platform if simulates else None
                backend = self.registry.open_backend(selector, threads=self.threads, profile=profile, platform=platform)
                self.open[key] = self.registry.kernel_set(backend)
            except PluginError as error:
                self.open[key] = error
            except UsageError as error:
                if not profile:
                    raise
                self.open[key] = error
        found = self.open[key]
        if isinstance(found, ChaindpError):
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

    A backend whose spec says ``profiles`` has two rows: one of a plain instance, by the wall clock, and one of a second
    instance that was opened with ``profile``, by the device's own clock. Both get the same input in every repetition.
    One that simulates its device has two as well: ``modelled``, and ``cycles``, which the times are modelled from; its
    repetitions are SIMULATED_REPETITIONS at most. A backend that does not take part at all has one row, which says why.

    advance: called with a description before each combination of kernel, backend and size
    warn:    takes one line for what goes wrong without touching a figure

    Raises UsageError for an unknown kernel, backend, device or a size that does not fit into memory, before anything is
    measured. What goes wrong while it runs is a row with status ``failed``.
    """
    specs = [select(registry.kernels, name, "kernel", registry.broken) for name in plan.kernels]
    result = BenchResult([], SampleTable(run_id))
    if plan.platform is not None and not any(registry.backend_spec(name)[0].simulates for name in plan.backends):
        raise UsageError("--clock, --instances and --link are about a simulated device, and --backend names none")
    backends = _Backends(registry, plan.threads, plan.platform)
    try:
        for selector in plan.backends:
            try:
                backends.get(selector)
            except PluginError as error:
                warn(str(error))
        contenders = sum(len(backends.ways(selector)) for selector in plan.backends)
        for spec in specs:
            for size in plan.sizes or spec.sizes or (1,):
                inputs.check_fits(registry, spec, size, 2 + 2 * contenders)
        for spec in specs:
            vetted: dict[tuple[str, bool], Contender] = {}
            for size in plan.sizes or spec.sizes or (1,):
                _bench_size(registry, backends, plan, spec, size, vetted, result, advance)
    finally:
        backends.close(warn)
    for row in registry.broken:
        report_broken(row.name, f"plugin {row.label} was left out: {row.reason}", result)
    return result


def _bench_size(
    registry: Registry,
    backends: _Backends,
    plan: BenchPlan,
    spec: KernelSpec,
    size: int,
    vetted: dict[tuple[str, bool], Contender],
    result: BenchResult,
    advance: Callable[[str], None],
) -> None:
    contenders = []
    for selector in plan.backends:
        advance(f"{spec.name} {size} {selector}")
        for profile in backends.ways(selector):
            if (selector, profile) not in vetted:
                vetted[selector, profile] = _vet(registry, backends, plan, spec, selector, profile)
            seen = vetted[selector, profile]
            contender = Contender(
                selector, profile, seen.kernels, seen.skipped, seen.failed, list(seen.compared), wrong=seen.wrong
            )
            if contender.runs:
                _guard(contender, _warm_up, plan, spec, size)
            contenders.append(contender)
            if not seen.runs:
                break  # what keeps it from running at all keeps it from being profiled, and is said once
    golden = _Golden(spec, plan.seed, size)
    orders = _orders(len(contenders), plan.seed, size)
    for repetition in range(plan.repeat):
        pristine = inputs.generate(spec, plan.seed, size, repetition)
        units = int(spec.units(*pristine))
        if units == 0:
            for contender in contenders:
                contender.skipped = contender.skipped or f"size {size} has no {spec.unit} to time"
            break
        expected = _References(backends, spec, pristine, golden, units)
        for index in next(orders):
            contender = contenders[index]
            if contender.runs and not (contender.simulates and repetition >= SIMULATED_REPETITIONS):
                _guard(contender, _sample, spec, pristine, units, expected, repetition)
    for contender in contenders:
        _guard(contender, _settle, spec)
    plain = {contender.selector: contender for contender in contenders if not contender.profile}
    for contender in contenders:
        if contender.simulates:
            report_simulated(contender, spec, size, plan, result)
        else:
            report(contender, plain[contender.selector], spec, size, plan, result)


def _orders(count: int, seed: int, size: int) -> Iterator[np.ndarray]:
    """Orders int64[count] without end, so that no contender always inherits caches or clock of the same other one.

    Every second one is the one before it backwards: of orders that are drawn each by itself, ten of two contenders are
    all the same in one bench of 500.
    """
    rng = np.random.default_rng([seed, size, 1])
    while True:
        order = rng.permutation(count)
        yield order
        yield order[::-1]


def _vet(
    registry: Registry, backends: _Backends, plan: BenchPlan, spec: KernelSpec, selector: str, profile: bool
) -> Contender:
    """Whether a backend takes part for this kernel, and its fixed vectors and golden cases, once for all sizes."""
    contender = Contender(selector, profile)
    try:
        contender.kernels = backends.get(selector, profile=profile)
    except PluginError as error:
        contender.failed = str(error)
        return contender
    except UsageError as error:
        contender.skipped = f"backend {selector} does not open with profiling: {error}"
        return contender
    backend = contender.kernels.backend
    if spec.name not in contender.kernels.supported:
        contender.skipped = _why_not_composed(registry, contender, spec)
    if contender.skipped:
        pass
    elif backend.time_domain is not TimeDomain.WALL and not contender.simulates:
        # What it says of its time has no form that a bench knows, and its wall time must not stand in for it.
        contender.skipped = (
            f"the bench has a wall clock only, and backend {backend.label} is timed in {backend.time_domain}"
        )
    else:
        _guard(contender, _prove, backends, plan, spec)
    return contender


def _why_not_composed(registry: Registry, contender: Contender, spec: KernelSpec) -> str:
    """Why a backend without the kernel cannot have it made of others either; empty where it can."""
    kernels = contender.kernels
    assert kernels is not None
    label = kernels.backend.label
    capability = registry.backend_spec(label)[0].capability(spec.name)
    lacking = spec.lacks(kernels)
    if lacking is None:
        return outputs.claimed_reason(kernels.backend, spec.name, capability.reason, capability.support.value)
    if lacking:
        return f"backend {label} has no {spec.name}, and to compose it of others it lacks {', '.join(lacking)}"
    if contender.profile or contender.simulates:
        return f"{spec.name} of backend {label} is composed on the host, which its device's clock does not see"
    return ""


def _prove(contender: Contender, backends: _Backends, plan: BenchPlan, spec: KernelSpec) -> None:
    assert contender.kernels is not None
    backend = contender.kernels.backend
    backend.warm_up(spec.called(contender.kernels.supported))

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
    contender.failed = contender.blame(spec, problem) if problem else ""
    contender.wrong = bool(problem)


def _reference(backends: _Backends, spec: KernelSpec, label: str) -> KernelSet | None:
    """The kernels that ``label`` is compared with; None where no backend of the chain of trust has this kernel.

    The chain ends with what is compared with the golden reference on small inputs; in full, it and the backend that it
    vouches for are compared with each other.
    """
    name = outputs.reference_of(label) or "cpu"
    if name.partition(":")[0] not in backends.registry.backends:
        return None
    kernels = backends.get(name)
    return kernels if kernels.can(spec.name) else None


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


def _warm_up(contender: Contender, plan: BenchPlan, spec: KernelSpec, size: int) -> None:
    kernels = contender.kernels
    assert kernels is not None

    def call(number: int) -> int:
        args = inputs.generate(spec, plan.seed, size, inputs.WARM_UP_STREAM + number)
        contender.output_bytes = inputs.output_bytes(kernels.call(spec.name, *args))
        return kernels.take_calls()[-1].compute_ns

    if contender.simulates:
        call(0)  # What it takes has nothing to become stable: this builds and loads.
    else:
        contender.warm_up = warm_up(call)


def _sample(
    contender: Contender,
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
        raise PluginError(contender.blame(spec, "a call changes its arguments"))
    if contender.profile and any(call.device is None for call in calls):
        raise PluginError(contender.blame(spec, "its spec says that it profiles, but a call has no device times"))
    # Only now is the previous output compared: memory that a later call overwrites shows itself by that.
    _settle(contender, spec)
    if contender.simulates:
        contender.simulated.append(added_up([call.simulated for call in calls if call.simulated is not None]))
    else:
        _time(contender, calls)
    contender.units.append(units)
    reference = expected.of(kernels.backend.label)
    if reference is not None:
        contender.last = (output, (*reference, repetition))


def _time(contender: Contender, calls: Sequence[KernelCall]) -> None:
    """Add the times of a sample's calls, by the clocks that there are."""
    times = [call.device for call in calls if call.device is not None]
    wall = [call.wall_ns for call in calls]
    clocked = times if contender.profile else calls
    contender.compute_ns.append(sum(int(one.compute_ns) for one in clocked))
    contender.transfer_ns.append(sum(int(one.transfer_ns) for one in clocked))
    contender.wall_ns.append(sum(wall))
    if contender.profile:
        contender.span_ns.append(sum(int(one.span_ns) for one in times))
        contender.doubts.append("; ".join(filter(None, map(impossible_times, times, wall))))


def _settle(contender: Contender, spec: KernelSpec) -> None:
    """Compare the output that is waiting for it."""
    if contender.last is None:
        return
    output, (name, expected, repetition) = contender.last
    contender.last = None
    problem = outputs.difference(spec, output, expected, name)
    contender.differs.append(problem and f"{problem} (repetition {repetition})")


def _guard(contender: Contender, work: Callable[..., None], *args: Any) -> None:
    """Do the work on a contender; what a backend raises is this contender's failure and nobody else's.

    A CapabilityError is none: it is a limit that the backend states, such as the longest message of a core.
    """
    try:
        work(contender, *args)
    except CapabilityError as error:
        contender.skipped = str(error)
    except ChaindpError as error:
        contender.failed = str(error)
    except Exception as error:
        contender.failed = f"backend {contender.title} raises {describe_error(error)}"
