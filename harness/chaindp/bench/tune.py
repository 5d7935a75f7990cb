"""Tuning: what a backend proposes for a kernel is tried on its device, and what is faster there is stored.

The backend knows what can be chosen and remembers what was chosen (``chaindp.backend.Tuner``). Here everything is
measured: a search (``bench.search``) finds the best of the candidates, and a comparison by the one rule of all verdicts
(``bench.pairs``) says whether it is faster than what the device has now. Only then is it stored.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import TypeVar

import numpy as np

from chaindp.backend import Device, Tuner, Tuning
from chaindp.bench import inputs
from chaindp.bench.pairs import PairPlan, compare_sides
from chaindp.bench.search import Entrant, Search
from chaindp.bench.sides import Job, LocalSide, Side
from chaindp.errors import ChaindpError, PluginError, UsageError
from chaindp.kernels import KernelSpec
from chaindp.measure import outputs
from chaindp.measure.verdict import Comparison, Verdict
from chaindp.plugins import Registry, describe_error, select
from chaindp.results.table import SampleTable

__all__ = [
    "OUT_OF_TIME",
    "KernelTask",
    "KernelTuning",
    "TunePlan",
    "forget_tunings",
    "plan_tasks",
    "run_tune",
    "show_tuning",
    "tuner_of",
]

OUT_OF_TIME = "not tried: the time for the search was over"

_SEARCH_SHARE = 0.5

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class TunePlan:
    """What to tune.

    backend: ``name`` or ``name:device``
    kernels: empty for all that the backend can tune
    size:    None for the largest of a kernel's own sizes
    seconds: about how long, for each kernel: half of it for the search, half of it for the comparisons
    dry_run: measure and store nothing
    """

    backend: str
    kernels: Sequence[str] = ()
    size: int | None = None
    threads: int = 1
    seconds: float = 20.0
    seed: int = 0
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class KernelTask:
    """One kernel to tune, at a size; the first candidate is what the device gets without a search."""

    spec: KernelSpec
    size: int
    candidates: tuple[Tuning, ...]

    @property
    def steps(self) -> int:
        """How often ``advance`` is called at most."""
        return len(self.candidates) + 2


@dataclass(slots=True)
class KernelTuning:
    """What was found for one kernel.

    tried:           how many candidates there was time for
    out:             candidates that do not run or return what is wrong, each with the reason
    best:            the candidate that won the search; None where none works
    had:             what was stored before; None where nothing was, so that the device has the first candidate
    before:          the best one against what the device has now; empty where it is that, or that does not work
    before_failed:   why what the device has now does not work; empty where it does
    against_default: the best one against the first candidate, the same as ``before`` where the device has that now;
                     empty where it is that one, or that one does not work
    chosen:          what was stored, or would have been; None where the device keeps what it has, or the default
    stored:          where; empty where nothing was
    forgotten:       whether what was stored was dropped, or would have been: it does not work, and the best one is no
                     faster than the default
    unstored:        why what was found could not be stored, or what was stored not be dropped; empty where it could
    unstable:        sides of the comparisons that were measured although their times had not become stable
    failed:          why there is no result; empty where there is one
    """

    task: KernelTask
    device: Device
    threads: int
    tried: int = 0
    out: list[tuple[Tuning, str]] = field(default_factory=list)
    best: Tuning | None = None
    had: Tuning | None = None
    before: list[Comparison] = field(default_factory=list)
    before_failed: str = ""
    against_default: list[Comparison] = field(default_factory=list)
    chosen: Tuning | None = None
    stored: str = ""
    forgotten: bool = False
    unstored: str = ""
    unstable: list[str] = field(default_factory=list)
    failed: str = ""

    @property
    def verdict(self) -> Verdict | None:
        """Whether the best one is faster than what the device has; None where it is that, or one does not work."""
        return self.before[0].verdict if self.before else None

    def row(self) -> dict[str, object]:
        """The row as JSON has it; ``ratio`` and what goes with it are of ``before``."""
        found = self.before[0] if self.before else None
        return {
            "kernel": self.task.spec.name,
            "device": self.device.name,
            "device_summary": self.device.summary,
            "size": self.task.size,
            "threads": self.threads,
            "candidates": len(self.task.candidates),
            "tried": self.tried,
            "failed": [{"tuning": dict(tuning), "reason": reason} for tuning, reason in self.out],
            "default": dict(self.task.candidates[0]),
            "had": None if self.had is None else dict(self.had),
            "best": None if self.best is None else dict(self.best),
            "chosen": None if self.chosen is None else dict(self.chosen),
            "ratio": None if found is None else found.ratio,
            "low": None if found is None else found.low,
            "high": None if found is None else found.high,
            "noise_floor": None if found is None else found.noise_floor,
            "verdict": None if self.verdict is None else self.verdict.value,
            "stored": self.stored or None,
            "forgotten": self.forgotten,
            "before": [comparison.row() for comparison in self.before],
            "before_failed": self.before_failed,
            "against_default": [comparison.row() for comparison in self.against_default],
            "unstable": list(dict.fromkeys(self.unstable)),
            "status": "failed" if self.failed or self.unstored else "ok",
            "reason": self.failed or self.unstored,
        }


def show_tuning(tuning: Tuning) -> str:
    """A tuning in one line: ``local_size=64 width=4``; ``-`` for one without parameters."""
    return " ".join(f"{name}={value}" for name, value in tuning.items()) or "-"


def tuner_of(registry: Registry, backend: str) -> tuple[Tuner, Device]:
    """The tuner of ``name`` or ``name:device``, and that device.

    UsageError where the backend or the device is not there, or there is nothing to tune; PluginError where the backend
    has no device at all.
    """
    spec, _ = registry.backend_spec(backend)
    if spec.tuner is None:
        able = ", ".join(other.name for other in registry.backends.values() if other.tuner is not None)
        raise UsageError(f"backend {spec.name} has nothing to tune; a backend that has: {able or 'none is installed'}")
    return spec.tuner, registry.find_device(backend)[0]


def forget_tunings(registry: Registry, backend: str) -> bool:
    """Drop what was stored for a device; whether there was anything."""
    tuner, _ = tuner_of(registry, backend)
    return bool(_ask(registry, backend, "cannot forget its tunings", tuner.forget, _device_name(registry, backend)))


def plan_tasks(registry: Registry, plan: TunePlan) -> list[KernelTask]:
    """What there is to search. Nothing is opened.

    UsageError for a wrong name or a size that does not fit into memory, PluginError where a tuner breaks its contract.
    """
    tuner, _ = tuner_of(registry, plan.backend)
    spec, _ = registry.backend_spec(plan.backend)
    device = _device_name(registry, plan.backend)
    tasks = []
    for name in dict.fromkeys(plan.kernels or tuner.kernels):
        if name not in tuner.kernels:
            select(registry.kernels, name, "kernel", registry.broken)
            raise UsageError(
                f"backend {spec.name} has nothing to tune in {name}; it has in: {', '.join(tuner.kernels) or 'none'}"
            )
        if name not in registry.kernels or not spec.supports(name):
            raise PluginError(_blame(registry, plan.backend, f"has a tuner for {name}, a kernel that it does not have"))
        kernel = registry.kernels[name]
        size = plan.size or max(kernel.sizes, default=1)
        inputs.check_fits(registry, kernel, size, 8)
        found = _ask(registry, plan.backend, f"proposes no tunings of {name}", tuner.candidates, device, name)
        tasks.append(KernelTask(kernel, size, _checked(registry, plan.backend, name, found)))
    if not tasks:
        raise PluginError(_blame(registry, plan.backend, "has a tuner for no kernel"))
    return tasks


def run_tune(
    registry: Registry,
    plan: TunePlan,
    tasks: Sequence[KernelTask],
    table: SampleTable,
    *,
    advance: Callable[[str], None] = lambda step: None,
    warn: Callable[[str], None] = lambda line: None,
) -> list[KernelTuning]:
    """Search, compare and store, kernel by kernel; samples go to ``table``.

    advance: called with a description before each candidate and each comparison
    warn:    takes one line for what goes wrong without touching a figure

    What goes wrong with a kernel is its ``failed``, and the others are tuned all the same. PluginError where the device
    opens for none of them.
    """
    _, device = tuner_of(registry, plan.backend)
    results = [KernelTuning(task, device, plan.threads) for task in tasks]
    for result in results:
        result.failed = _unopenable(registry, plan, result.task)
    if all(result.failed for result in results):
        raise PluginError("; ".join(dict.fromkeys(result.failed for result in results)))
    for result in results:
        # Once more: what was stored for the kernel before may be what it failed for.
        if result.failed:
            result.failed = _unopenable(registry, plan, result.task)
        if result.failed:
            continue
        try:
            _tune(registry, plan, result, table, advance, warn)
        except ChaindpError as error:
            result.failed = str(error)
    return results


def _tune(
    registry: Registry,
    plan: TunePlan,
    result: KernelTuning,
    table: SampleTable,
    advance: Callable[[str], None],
    warn: Callable[[str], None],
) -> None:
    task = result.task
    result.had = _stored(registry, plan).get(task.spec.name)
    best = _search(registry, plan, result, table, advance, warn)
    if best is None:
        return
    result.best = best
    result.before_failed = _problem_now(registry, plan, task)
    default = task.candidates[0]
    now = default if result.had is None else result.had
    with_now = best != now and not result.before_failed
    # Where the first candidate is out, there is a reason for it in the row, and nothing to compare with.
    default_works = all(default != tuning for tuning, _ in result.out)
    with_default = best != default and default_works and not (with_now and now == default)
    seconds = plan.seconds * (1.0 - _SEARCH_SHARE) / (2.0 if with_default and with_now else 1.0)
    if with_now:
        result.before = _against(registry, plan, result, None, seconds, table, advance)
        result.against_default = result.before if now == default else []
    if with_default and not result.failed:
        result.against_default = _against(registry, plan, result, default, seconds, table, advance)
    if not result.failed:
        _decide(registry, plan, result, default_works)


def _decide(registry: Registry, plan: TunePlan, result: KernelTuning, default_works: bool) -> None:
    """Store the best one, drop what was stored, or leave the device as it is; ``unstored`` where that fails."""
    if result.before_failed and result.had is not None and default_works:
        faster = bool(result.against_default) and result.against_default[0].verdict is Verdict.FASTER
        result.forgotten = not faster
    else:
        faster = bool(result.before_failed) or result.verdict is Verdict.FASTER
    result.chosen = result.best if faster else None
    if plan.dry_run:
        return
    try:
        if result.chosen is not None:
            result.stored = _store(registry, plan, {result.task.spec.name: result.chosen})
        elif result.forgotten:
            others = {name: tuning for name, tuning in _stored(registry, plan).items() if name != result.task.spec.name}
            forget_tunings(registry, plan.backend)
            if others:
                _store(registry, plan, others)
    except ChaindpError as error:
        result.unstored = str(error)


def _store(registry: Registry, plan: TunePlan, tunings: Mapping[str, Tuning]) -> str:
    """Keep tunings by kernel; where they are."""
    tuner, _ = tuner_of(registry, plan.backend)
    device = _device_name(registry, plan.backend)
    where = _ask(registry, plan.backend, "cannot store a tuning", tuner.store, device, tunings)
    if not isinstance(where, str) or not where:
        raise PluginError(_blame(registry, plan.backend, "stores a tuning and does not say where"))
    return where


def _stored(registry: Registry, plan: TunePlan) -> dict[str, Tuning]:
    """What is stored for the device, by kernel."""
    tuner, _ = tuner_of(registry, plan.backend)
    device = _device_name(registry, plan.backend)
    found = _ask(registry, plan.backend, "cannot say what is stored", tuner.stored, device)
    if not isinstance(found, Mapping) or not all(isinstance(tuning, Mapping) for tuning in found.values()):
        problem = f"says that {_shown(found)} is stored, not tunings by kernel"
        raise PluginError(_blame(registry, plan.backend, problem))
    return {name: dict(tuning) for name, tuning in found.items()}


def _unopenable(registry: Registry, plan: TunePlan, task: KernelTask) -> str:
    """Why the device opens neither as it is nor with any candidate, where it is the same every time; else empty.

    What differs from one candidate to the next is for the search to say.
    """
    first = ""
    for tuning in (None, *task.candidates):
        try:
            LocalSide(
                registry, plan.backend, plan.threads, tuning=None if tuning is None else {task.spec.name: tuning}
            ).close()
        except ChaindpError as error:
            if str(error) != (first or str(error)):
                return ""
            first = str(error)
        else:
            return ""
    return first


def _search(
    registry: Registry,
    plan: TunePlan,
    result: KernelTuning,
    table: SampleTable,
    advance: Callable[[str], None],
    warn: Callable[[str], None],
) -> Tuning | None:
    """The best candidate; where there is none, ``failed`` says so."""
    task, last = result.task, inputs.LastInputs()
    entrants = [_entrant(registry, plan, task, tuning, last) for tuning in task.candidates]
    reference = _reference(registry, plan, task, last)
    try:
        search = Search(
            Job(task.spec.name, task.size, plan.seed),
            reference,
            advance=lambda label: advance(f"{task.spec.name} {label}"),
            warn=warn,
        )
        best = search.best_of(entrants, plan.seconds * _SEARCH_SHARE)
    finally:
        if reference is not None:
            reference.close()
        _record(table, task, entrants)
    pairs = list(zip(entrants, task.candidates, strict=True))
    result.tried = sum(entrant.tried for entrant in entrants)
    result.out = [(tuning, entrant.failed) for entrant, tuning in pairs if entrant.failed]
    found = next((tuning for entrant, tuning in pairs if entrant is best), None)
    if found is None:
        result.failed = f"none of {result.tried} candidates works; the first one: {entrants[0].failed}"
    return found


def _entrant(registry: Registry, plan: TunePlan, task: KernelTask, tuning: Tuning, last: inputs.LastInputs) -> Entrant:
    label = _label(plan, tuning)

    def open_side() -> Side:
        return LocalSide(registry, plan.backend, plan.threads, label=label, last=last, tuning={task.spec.name: tuning})

    return Entrant(label, open_side)


def _label(plan: TunePlan, tuning: Tuning) -> str:
    return f"{plan.backend}[{show_tuning(tuning)}]"


def _reference(registry: Registry, plan: TunePlan, task: KernelTask, last: inputs.LastInputs) -> Side | None:
    """What every output of the search is compared with: the next link of the chain of trust (``measure.outputs``)."""
    selector = outputs.reference_of(plan.backend)
    name = (selector or "").partition(":")[0]
    if selector is None or name not in registry.backends or not registry.backends[name].supports(task.spec.name):
        return None
    return LocalSide(registry, selector, plan.threads, last=last)


def _problem_now(registry: Registry, plan: TunePlan, task: KernelTask) -> str:
    """Why the device does not work as it is now; empty where it does."""
    try:
        side = LocalSide(registry, plan.backend, plan.threads)
    except ChaindpError as error:
        return str(error)
    try:
        return side.prepare(Job(task.spec.name, task.size, plan.seed)).skipped
    except ChaindpError as error:
        return str(error)
    finally:
        side.close()


def _against(
    registry: Registry,
    plan: TunePlan,
    result: KernelTuning,
    tuning: Tuning | None,
    seconds: float,
    table: SampleTable,
    advance: Callable[[str], None],
) -> list[Comparison]:
    """The best candidate against another one, or (None) against what the device has now; ``failed`` where it fails."""
    task, last = result.task, inputs.LastInputs()
    name = task.spec.name
    best = result.best or {}
    # By another name in the samples of a second comparison: those of one name are of one series.
    against = "" if tuning is None else f" against {_label(plan, tuning)}"
    sides: list[tuple[str, Mapping[str, Tuning] | None]] = [
        (plan.backend, None) if tuning is None else (_label(plan, tuning), {name: tuning}),
        (_label(plan, best) + against, {name: best}),
    ]

    def open_sides() -> list[Side]:
        with ExitStack() as opened:
            found: list[Side] = []
            for label, tunings in (*sides, sides[0]):
                found.append(LocalSide(registry, plan.backend, plan.threads, label=label, last=last, tuning=tunings))
                opened.callback(found[-1].close)
            opened.pop_all()
        return found

    # Two comparisons in one process: each has input that the other one's instances have not seen.
    job = Job(name, task.size, plan.seed + (0 if tuning is None else 1))
    pair = compare_sides(open_sides, job, PairPlan(seconds=seconds, seed=plan.seed), table, task.spec.unit, advance)
    result.unstable += [label.removesuffix(against) for label in pair.unstable]
    result.failed = pair.failed or pair.skipped
    return [replace(comparison, b=_label(plan, best)) for comparison in pair.comparisons]


def _record(table: SampleTable, task: KernelTask, entrants: Sequence[Entrant]) -> None:
    """Append all samples of a search: search_time and search_work by round; a row for each candidate that is out."""
    common = {"workload": f"{task.spec.name}/{task.size}", "kernel": task.spec.name}
    for entrant in entrants:
        where: dict[str, object] = {**common, "backend_requested": entrant.label}
        if entrant.info is not None:
            where |= {"backend_ran": entrant.info.backend, "device": entrant.info.device}
            where["time_domain"] = entrant.info.time_domain
        if entrant.failed or not entrant.tried:
            status = "failed" if entrant.failed else "skipped"
            table.append(**where, metric="search_time", unit="ns", status=status, reason=entrant.failed or OUT_OF_TIME)
        count = len(entrant.samples)
        where |= {"repetition": np.array(entrant.rounds), "output_matched": True}
        times = [float(sample.compute_ns) for sample in entrant.samples]
        units = [float(sample.units) for sample in entrant.samples]
        table.extend(count, **where, metric="search_time", value=times, unit="ns")
        table.extend(count, **where, metric="search_work", value=units, unit=task.spec.unit)


def _checked(registry: Registry, backend: str, kernel: str, found: object) -> tuple[Tuning, ...]:
    """The candidates as a tuner proposed them, each once; PluginError where that is something else."""
    if isinstance(found, str | bytes | Mapping) or not isinstance(found, Sequence) or not found:
        raise PluginError(_blame(registry, backend, f"proposes {_shown(found)} for {kernel}, not a list of tunings"))
    candidates: list[Tuning] = []
    for tuning in found:
        fits = isinstance(tuning, Mapping) and all(
            isinstance(name, str) and isinstance(value, int | str) for name, value in tuning.items()
        )
        if not fits:
            raise PluginError(
                _blame(registry, backend, f"proposes {_shown(tuning)} for {kernel}, not names with numbers or texts")
            )
        if dict(tuning) not in candidates:
            candidates.append(dict(tuning))
    return tuple(candidates)


def _ask(registry: Registry, backend: str, problem: str, function: Callable[..., _T], *args: object) -> _T:
    """What a function of a tuner returns; PluginError that names the plugin where it raises."""
    try:
        return function(*args)
    except UsageError:
        raise
    except Exception as error:
        raise PluginError(_blame(registry, backend, f"{problem}: {describe_error(error)}")) from error


def _blame(registry: Registry, backend: str, problem: str) -> str:
    provider = registry.providers["backend", registry.backend_spec(backend)[0].name]
    return f"plugin {provider}: backend {backend} {problem}"


def _device_name(registry: Registry, backend: str) -> str:
    return registry.find_device(backend)[1]


def _shown(value: object) -> str:
    return ascii(value)[:60]
