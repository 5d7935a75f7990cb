"""Place and route with nextpnr: which clock a netlist reaches on an ECP5-85k, seed by seed, each within a limit."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chaindp.workbench import eda
from chaindp.workbench.processes import Finished, Task, run_tasks

__all__ = ["OPTIONS", "PART", "Placed", "place"]

OPTIONS = ("--85k", "--package", "CABGA756", "--speed", "6", "--out-of-context", "--placer", "static")
"""The part that all figures are for; out of context: the core's ports are not pins, so wide streams cost none.

The static placer spreads a dense design where the default one packs it: the one-round Keccak routes in 3 minutes at
137 MHz instead of not in 15 minutes.
"""

PART = "LFE5U-85F-6BG756C"


@dataclass(frozen=True, slots=True)
class Placed:
    """What a seed came to.

    status:   ``ok``; ``timeout``: ended by the limit; ``does not fit``; ``failed``: nextpnr gave up
    fmax_mhz: after routing, of the core's clock, from nextpnr's report; None where there is none
    reason:   why there is no fmax, empty where there is one
    """

    seed: int
    status: str
    fmax_mhz: float | None
    seconds: float
    reason: str = ""


def place(
    netlist: Path,
    clock: str,
    seeds: Sequence[int],
    *,
    target_mhz: float,
    limit_s: float,
    jobs: int,
    advance: Callable[[str], None] = lambda step: None,
) -> list[Placed]:
    """Place and route ``netlist`` with each seed, ``jobs`` at a time; in the netlist's folder.

    clock:      the name of the clock's port
    target_mhz: the clock that nextpnr works towards; missing it is no failure
    """
    work = netlist.parent
    options = [*OPTIONS, "--json", eda.work_path(netlist.name), "--freq", f"{target_mhz:g}", "--timing-allow-fail"]
    tasks = [
        eda.NEXTPNR.task(
            [*options, "--seed", str(seed), "--report", eda.work_path(f"report-{seed}.json")],
            work,
            f"nextpnr-{seed}.log",
            limit_s,
            f"seed {seed}",
        )
        for seed in seeds
    ]

    def done(task: Task) -> None:
        advance(f"{task.name} is placed")

    finished = run_tasks(tasks, jobs, done)
    return [_placed(work, clock, seed, ended, limit_s) for seed, ended in zip(seeds, finished, strict=True)]


_UTILIZATION = re.compile(r"^Info:\s+(\w+):\s+(\d+)/\s*(\d+)\s+\d+%$", re.MULTILINE)


def _placed(work: Path, clock: str, seed: int, ended: Finished, limit_s: float) -> Placed:
    over = [
        f"{used} {cell} of {there}"
        for cell, used, there in _UTILIZATION.findall(ended.output)
        if int(used) > int(there)
    ]
    if ended.status != 0 and over:
        return Placed(seed, "does not fit", None, ended.seconds, ", ".join(over))
    if ended.timed_out:
        reason = f"{_phase(ended.output)} was ended after {limit_s:g} s (--time-limit)"
        return Placed(seed, "timeout", None, ended.seconds, reason)
    if ended.status != 0:
        return Placed(seed, "failed", None, ended.seconds, _error(ended))
    report: dict[str, Any] = {}
    with contextlib.suppress(OSError, ValueError):
        report = json.loads((work / f"report-{seed}.json").read_text(encoding="utf-8"))
    fmax, reason = _fmax(report.get("fmax", {}), clock)
    return Placed(seed, "ok", fmax, ended.seconds, reason)


def _fmax(clocks: dict[str, dict[str, float]], port: str) -> tuple[float | None, str]:
    """The frequency of the core's clock, after routing; nextpnr may have put a global buffer's name before it."""
    for name, figures in clocks.items():
        if name == port or name.split("$")[0] == port or name.split("$")[-1] == port:
            return round(float(figures["achieved"]), 2), ""
    others = f"; there is: {', '.join(clocks)}" if clocks else ""
    return None, f"no path from register to register of the clock {port}{others}"


def _phase(log: str) -> str:
    """What it was at when it was ended."""
    return "routing" if "Routing.." in log or "Routing globals" in log else "placement"


def _error(ended: Finished) -> str:
    errors = [line.removeprefix("ERROR:").strip() for line in ended.output.splitlines() if line.startswith("ERROR:")]
    return eda.readable(errors[0]) if errors else eda.last_line(ended)
