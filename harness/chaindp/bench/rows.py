"""What a bench is asked for, what it sees of each backend, and the rows that come of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from chaindp.backend import Backend, Platform, SimulatedTimes, TimeDomain
from chaindp.kernels import KernelSpec
from chaindp.kernels.kernelset import KernelSet
from chaindp.measure.device_clock import profiling_difference, profiling_ratio
from chaindp.measure.statistics import outlier_notes, summarize
from chaindp.measure.warmup import WarmUp
from chaindp.results.table import SampleTable

__all__ = [
    "BenchPlan",
    "BenchResult",
    "Contender",
    "Described",
    "describe",
    "report",
    "report_broken",
    "spread_of",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchPlan:
    """What to measure. ``sizes`` empty means each kernel's own; ``backends`` are ``name`` or ``name:device``.

    platform: around simulated devices; None for each backend's own
    """

    kernels: Sequence[str]
    backends: Sequence[str] = ("cpu",)
    sizes: Sequence[int] = ()
    repeat: int = 10
    threads: int = 1
    seed: int = 0
    platform: Platform | None = None


@dataclass(frozen=True, slots=True)
class BenchResult:
    """``rows``: one a kernel, backend, size and clock, as the JSON has them; ``table``: one row a sample."""

    rows: list[dict[str, object]]
    table: SampleTable

    @property
    def holds(self) -> bool:
        """Whether nothing failed."""
        return all(row["status"] != "failed" for row in self.rows)


@dataclass(slots=True)
class Contender:
    """One requested backend at one kernel and size, and what was seen of it.

    profile:    whether this instance measures with the device's own clock; the wall clock runs beside it all the same
    compute_ns, transfer_ns: by the clock that its row is of
    wall_ns:    the whole call on the wall clock
    doubts:     by repetition, why its device times cannot be; empty where they can
    wrong:      whether an output differed before anything was timed: from fixed vectors, or from golden cases
    simulated:  by repetition, what its calls took on a simulated device; empty where it is not simulated
    """

    selector: str
    profile: bool = False
    kernels: KernelSet | None = None
    skipped: str = ""
    failed: str = ""
    compared: list[str] = field(default_factory=list)
    compute_ns: list[int] = field(default_factory=list)
    transfer_ns: list[int] = field(default_factory=list)
    wall_ns: list[int] = field(default_factory=list)
    span_ns: list[int] = field(default_factory=list)
    doubts: list[str] = field(default_factory=list)
    units: list[int] = field(default_factory=list)
    differs: list[str] = field(default_factory=list)
    output_bytes: int = 0
    warm_up: WarmUp | None = None
    last: tuple[Any, Any] | None = None
    simulated: list[SimulatedTimes] = field(default_factory=list)
    wrong: bool = False

    @property
    def runs(self) -> bool:
        """Whether it takes part, and nothing went wrong so far."""
        return self.kernels is not None and not self.skipped and not self.failed

    @property
    def title(self) -> str:
        """What to call it where a failure is its own."""
        return f"{self.selector} with profiling" if self.profile else self.selector

    @property
    def time_domain(self) -> TimeDomain | None:
        """The clock that its row is of; None where the backend did not open."""
        if self.profile:
            return TimeDomain.DEVICE
        return self.kernels.backend.time_domain if self.kernels is not None else None

    @property
    def simulates(self) -> bool:
        """Whether its device is simulated, so that the wall clock says nothing of it."""
        return self.kernels is not None and self.kernels.backend.time_domain is TimeDomain.MODELLED

    def blame(self, spec: KernelSpec, problem: str) -> str:
        """``problem`` with the name of who has it."""
        return f"backend {self.title}, kernel {spec.name}: {problem}"


@dataclass(frozen=True, slots=True)
class Described:
    """What a row and its samples say besides figures: who ran what, whether it holds, and what it was compared with.

    row:     the row of the JSON, every figure null
    common:  fields of every row of the table
    samples: these and the fields of samples, a repetition each
    """

    status: str
    row: dict[str, object]
    common: dict[str, Any]
    samples: dict[str, Any]


def describe(contender: Contender, spec: KernelSpec, size: int, plan: BenchPlan) -> Described:
    """What is known of a contender without its figures; a wrong output becomes its failure here."""
    backend: Backend | None = contender.kernels.backend if contender.kernels is not None else None
    wrong = [problem for problem in contender.differs if problem]
    if wrong and not contender.failed:
        more = f", and {len(wrong) - 1} more of {plan.repeat} repetitions" if len(wrong) > 1 else ""
        contender.failed = contender.blame(spec, wrong[0] + more)
    status = "failed" if contender.failed else "skipped" if contender.skipped else "ok"
    # Right on vectors and small inputs is not yet right here: where no timed output was compared, this is null. What
    # raised is no wrong output.
    compared = bool(contender.differs) or contender.wrong
    matched = not (wrong or contender.wrong) if compared else None
    domain = contender.time_domain
    row: dict[str, object] = {
        "kernel": spec.name,
        "backend": contender.selector,
        "device": backend.device if backend is not None else None,
        "size": size,
        "threads": backend.threads if backend is not None else plan.threads,
        "time_domain": domain.value if domain is not None else None,
        "ns_per_unit": None,
        "units_per_s": None,
        "transfer_ns": None,
        "wall_ns_per_unit": None,
        "output_matched": matched,
        "status": status,
        "reason": contender.failed or contender.skipped,
        "disagreement": "",
        "unit": spec.unit,
        "repeat": len(contender.units),
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
    samples: dict[str, Any] = {
        "repetition": np.arange(len(contender.units)),
        **common,
        "status": status,
        "reason": row["reason"],
        "output_matched": matched,
    }
    return Described(status, row, common, samples)


def spread_of(values: np.ndarray, name: str, seed: int) -> dict[str, float]:
    """The median of a figure under ``name``, and its order statistics and interval under names that begin with it."""
    stats = summarize(values, seed=seed)
    return {
        name: stats.median,
        f"{name}_min": stats.minimum,
        f"{name}_q1": stats.q1,
        f"{name}_q3": stats.q3,
        f"{name}_max": stats.maximum,
        f"{name}_low": stats.low,
        f"{name}_high": stats.high,
    }


def report(
    contender: Contender, plain: Contender, spec: KernelSpec, size: int, plan: BenchPlan, result: BenchResult
) -> None:
    """Add the summary row and the samples of one contender; ``plain`` is the same backend without profiling."""
    described = describe(contender, spec, size, plan)
    row, common, samples = described.row, described.common, described.samples
    count = len(contender.compute_ns)
    if described.status == "ok" and contender.compute_ns:
        units = np.array(contender.units)
        per_unit = np.array(contender.compute_ns, dtype=np.float64) / units
        notes = outlier_notes(per_unit)
        row |= spread_of(per_unit, "ns_per_unit", plan.seed)
        median = float(np.median(per_unit))
        row |= {
            "units_per_s": 1e9 / median if median > 0 else None,
            "transfer_ns": float(np.median(contender.transfer_ns)),
            "wall_ns_per_unit": float(np.median(np.array(contender.wall_ns) / units)),
            "outliers": sum(note != "" for note in notes),
        }
        samples["reason"] = notes
        if contender.profile:
            samples["reason"] = ["; ".join(filter(None, parts)) for parts in zip(notes, contender.doubts, strict=True)]
            row |= _believe(contender, plain, plan)
            _report_clocks(contender, row, common, result)
    result.table.extend(count, metric="compute_time", value=contender.compute_ns, unit="ns", **samples)
    result.table.extend(count, metric="transfer_time", value=contender.transfer_ns, unit="ns", **samples)
    result.table.extend(count, metric="work", value=contender.units, unit=spec.unit, **samples)
    if count == 0:
        result.table.append(metric="compute_time", unit="ns", **{**samples, "repetition": None})
    result.rows.append(row)


def _believe(contender: Contender, plain: Contender, plan: BenchPlan) -> dict[str, object]:
    """What of a row says how its device times and the wall clock agree, by DISAGREEMENT_RULE."""
    ratio = profiling_ratio(contender.wall_ns, plain.wall_ns, seed=plan.seed) if plain.runs else None
    doubted = [index for index, doubt in enumerate(contender.doubts) if doubt]
    problems = [profiling_difference(ratio)]
    if doubted:
        first = f"{contender.doubts[doubted[0]]} (repetition {doubted[0]})"
        problems.insert(0, f"device times cannot be in {len(doubted)} of {len(contender.doubts)} repetitions: {first}")
    return {
        "disagreement": "; ".join(filter(None, problems)),
        "profiling_ratio": ratio.ratio if ratio else None,
        "profiling_ratio_low": ratio.low if ratio else None,
        "profiling_ratio_high": ratio.high if ratio else None,
    }


def _report_clocks(
    contender: Contender, row: Mapping[str, object], common: Mapping[str, Any], result: BenchResult
) -> None:
    """Add what device times were held against: the same calls on the wall clock, and all of them without profiling."""
    count = len(contender.wall_ns)
    each = {**common, "repetition": np.arange(count), "unit": "ns"}
    result.table.extend(count, **each, metric="device_span_time", value=contender.span_ns)
    each["time_domain"] = TimeDomain.WALL.value
    result.table.extend(count, **each, metric="profiled_wall_time", value=contender.wall_ns)
    ratio, reason = row["profiling_ratio"], row["disagreement"]
    result.table.append(**common, metric="profiling_ratio", value=ratio, unit="1", reason=reason)


def report_broken(name: str, reason: str, result: BenchResult) -> None:
    """The failure row of a plugin that was left out."""
    keys = ("kernel", "device", "size", "threads", "time_domain", "ns_per_unit", "units_per_s", "transfer_ns")
    row: dict[str, object] = dict.fromkeys((*keys, "wall_ns_per_unit", "output_matched"))
    row |= {"backend": name, "status": "failed", "reason": reason, "disagreement": ""}
    result.rows.append(row)
    result.table.append(backend_requested=name, metric="plugin", status="failed", reason=reason)
