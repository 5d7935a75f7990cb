"""Devices that are simulated: what is stated around them, what was counted on them, and that nothing was measured."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from chaindp.report.parts import Table
from chaindp.report.sources import Run
from chaindp.report.words import count, duration, figure, plural
from chaindp.results.kernels import device_kernels, platforms

__all__ = ["MODELLED_STAGES", "device_lines", "device_table"]

MODELLED_STAGES = " (* with modelled time on a simulated device in it)"
"""Behind the title of a table that has stages with such times, which it marks so."""


def device_lines(run: Run) -> list[str]:
    """What is stated around every simulated device of a run, and that nothing of it was measured."""
    found: dict[str, list[str]] = {}
    for row in platforms(run.frame).dropna(subset=["clock_hz", "instances", "latency_ns"]).itertuples():
        rates = " and ".join(
            "unlimited" if pd.isna(rate) else f"{figure(rate / 1e9)} GB/s" for rate in (row.to_device, row.from_device)
        )
        line = f"{plural(int(row.instances), 'instance')} at {figure(row.clock_hz / 1e6)} MHz, link {row.link}: "
        line += f"{duration(row.latency_ns)} each way, {rates} to and from the device"
        line += ", transfers overlap with computation" if row.overlap else ""
        where = str(row.kernel) if pd.isna(row.level) else f"{row.kernel} of {row.stage} at DP{row.level}"
        found.setdefault(f"{row.backend} is simulated: {line}", []).append(where)
    rule = "Its cycles are exact, its times follow from them, and no hardware was measured."
    return [f"{line}{_in(where)}. {rule}" for line, where in found.items()]


def _in(where: Sequence[str]) -> str:
    named = ", ".join(dict.fromkeys(filter(None, where)))
    return f" ({named})" if named else ""


def device_table(run: Run) -> Table | None:
    """A row a level, stage and kernel on a simulated device: counts, modelled times, simulator; None without any."""
    found = device_kernels(run.frame)
    if found.empty:
        return None
    columns = ["level", "stage", "kernel", "backend", "calls", "operations", "cycles", "input stalled", "latency"]
    columns += ["bytes to", "bytes from", "compute, modelled", "transfer, modelled", "together", "simulator"]
    rows = []
    for row in found.itertuples():
        cells = [f"DP{row.level}", str(row.stage), str(row.kernel), str(row.backend)]
        counts = (row.calls, row.operations, row.cycles, row.stall_cycles, row.latency_cycles)
        cells += [count(value) for value in (*counts, row.to_bytes, row.from_bytes)]
        cells += [duration(value) for value in (row.compute, row.transfer, row.elapsed)]
        speed = "" if pd.isna(row.simulator_hz) else f"{figure(row.simulator_hz / 1e6)} MHz"
        rows.append([*cells, speed])
    title = "Kernels on simulated devices, a pass: cycles of one instance and other counts, and what they amount to"
    return Table(title, columns, rows, columns[4:])
