"""The rows of a backend that simulates its device: cycles, which are exact, and times that follow from what is stated.

What the simulator takes on the wall clock is in neither. It stands apart, as its own speed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from chaindp.backend import SimulatedTimes, TimeDomain
from chaindp.bench.rows import BenchPlan, BenchResult, Contender, Described, describe, spread_of
from chaindp.kernels import KernelSpec
from chaindp.measure.platforms import platform_row, platform_samples

__all__ = ["SIMULATED_REPETITIONS", "SIMULATED_RULE", "report_simulated"]

SIMULATED_REPETITIONS = 3
"""Repetitions of a simulation at most: each has other input, and nothing else can differ."""

SIMULATED_RULE = (
    "cycles are exact, and the same whenever the same input is simulated: at most "
    f"{SIMULATED_REPETITIONS} repetitions, each on fresh input, and spread is between inputs, not noise; modelled "
    "times are these cycles at the stated clock, shared by the stated instances, with the stated link's transfers apart"
)

_COUNTS = ("stall_cycles", "latency_cycles", "operations", "to_bytes", "from_bytes")
_UNITS = {"stall_cycles": "cycles", "latency_cycles": "cycles", "operations": "1"}


def report_simulated(contender: Contender, spec: KernelSpec, size: int, plan: BenchPlan, result: BenchResult) -> None:
    """Add the two rows of a contender whose device is simulated, ``modelled`` and ``cycles``, and its samples."""
    described = describe(contender, spec, size, plan)
    if described.status != "ok" or not contender.simulated:
        row = described.row
        metric = {"metric": "compute_time", "unit": "ns"}
        result.table.append(**metric, **described.samples | {"repetition": None})
        result.rows.append(row)
        return
    times, units = contender.simulated, np.array(contender.units)
    of = {name: np.array([getattr(one, name) for one in times], dtype=np.float64) for name in _FIELDS}
    stated = platform_row(times[-1].platform)
    counted = {name: float(np.median(of[name])) for name in _COUNTS}
    spent = float(of["simulator_ns"].sum())
    common = stated | counted | {"sim_hz": float(of["cycles"].sum()) / spent * 1e9 if spent else None}
    cycles, per_unit = of["cycles"] / units, of["compute_ns"] / units
    modelled = spread_of(per_unit, "ns_per_unit", plan.seed)
    median = modelled["ns_per_unit"]
    result.rows.append(
        described.row
        | common
        | modelled
        | {
            "units_per_s": 1e9 / median if median > 0 else None,
            "transfer_ns": float(np.median(of["transfer_ns"])),
            "call_ns": float(np.median(of["total_ns"])),
            "cycles_per_unit": float(np.median(cycles)),
        }
    )
    result.rows.append(
        described.row
        | common
        | spread_of(cycles, "cycles_per_unit", plan.seed)
        | {"time_domain": TimeDomain.CYCLES.value, "call_ns": None}
    )
    _record(described, of, contender, spec, result)


_FIELDS = ("cycles", *_COUNTS, "compute_ns", "transfer_ns", "total_ns", "simulator_ns")


def _record(
    described: Described, of: Mapping[str, np.ndarray], contender: Contender, spec: KernelSpec, result: BenchResult
) -> None:
    """The samples: a row a repetition and figure, each in its time domain; and what the platform is, once."""
    count, table = len(contender.units), result.table
    each = described.samples
    modelled, exact = (each | {"time_domain": domain.value} for domain in (TimeDomain.MODELLED, TimeDomain.CYCLES))
    for metric, name in (("compute_time", "compute_ns"), ("transfer_time", "transfer_ns"), ("call_time", "total_ns")):
        table.extend(count, metric=metric, value=of[name], unit="ns", **modelled)
    table.extend(count, metric="compute_time", value=of["cycles"], unit="cycles", **exact)
    for where in (modelled, exact):
        table.extend(count, metric="work", value=contender.units, unit=spec.unit, **where)
    for name in _COUNTS:
        unit = _UNITS.get(name, "bytes")
        where = exact if unit == "cycles" else each | {"time_domain": None}
        table.extend(count, metric=name, value=of[name], unit=unit, **where)
    with np.errstate(divide="ignore", invalid="ignore"):
        speed = of["cycles"] / of["simulator_ns"] * 1e9
    wall: dict[str, Any] = each | {"time_domain": TimeDomain.WALL.value, "output_matched": None}
    table.extend(count, metric="simulator_speed", value=np.where(np.isfinite(speed), speed, np.nan), unit="Hz", **wall)
    times: SimulatedTimes = contender.simulated[-1]
    for fields in platform_samples(times.platform):
        table.append(**described.common | {"time_domain": TimeDomain.MODELLED.value} | fields)
