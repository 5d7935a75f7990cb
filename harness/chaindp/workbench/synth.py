"""``chaindp core synth``: area and clock of a core on an ECP5-85k, with the tools from PyPI."""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from chaindp.cores.description import Core
from chaindp.workbench import eda
from chaindp.workbench.netlist import Area, Frontend, Netlist, command, synthesize
from chaindp.workbench.placement import OPTIONS, PART, Placed, place

__all__ = ["STEPS", "SynthResult", "synth"]

STEPS = 3
"""What ``advance`` is told of beside the seeds."""


@dataclass(frozen=True, slots=True)
class SynthResult:
    """The verdict over all seeds."""

    core: Core
    frontend: Frontend
    command: str
    netlist: Netlist
    seeds: tuple[Placed, ...]
    target_mhz: float
    limit_s: float
    tools: dict[str, str]

    @property
    def fmax(self) -> list[float]:
        """Of every seed that was routed."""
        return [seed.fmax_mhz for seed in self.seeds if seed.fmax_mhz is not None]

    @property
    def holds(self) -> bool:
        """Whether at least one seed was routed and has a figure."""
        return bool(self.fmax)

    def to_dict(self) -> dict[str, Any]:
        """As ``chaindp core synth --json`` prints it; ``fmax_mhz`` is the median of the seeds that were routed."""
        area = asdict(self.netlist.area) if self.netlist.area is not None else dict.fromkeys(Area.__slots__)
        return {
            "core": self.core.name,
            "configuration": self.core.configuration,
            "kernel": self.core.kernel,
            "top": self.core.top,
            "parameters": dict(self.core.parameters),
            "part": PART,
            **area,
            "fmax_mhz": statistics.median(self.fmax) if self.fmax else None,
            "fmax_best_mhz": max(self.fmax, default=None),
            "fmax_worst_mhz": min(self.fmax, default=None),
            "fmax_is": "the median of the seeds that were routed",
            "stated_clock_mhz": self.core.clock_mhz,
            "seeds": [asdict(seed) for seed in self.seeds],
            "synthesis": {
                "status": self.netlist.status,
                "reason": self.netlist.reason,
                "seconds": self.netlist.seconds,
                "frontend": str(self.frontend),
                "command": self.command,
            },
            "placement": {"options": list(OPTIONS), "target_mhz": self.target_mhz, "time_limit_s": self.limit_s},
            "tools": self.tools,
        }


def synth(
    core: Core,
    seeds: Sequence[int],
    *,
    limit_s: float,
    jobs: int,
    frontend: Frontend = Frontend.SLANG,
    wide_luts: bool = False,
    target_mhz: float | None = None,
    advance: Callable[[str], None] = lambda step: None,
) -> SynthResult:
    """Synthesize ``core``, place and route it with each seed; what does not converge is a row that says so.

    limit_s:    of synthesis, and of each seed
    wide_luts:  make functions of more than four inputs with the multiplexers behind the LUT4
    target_mhz: the clock that nextpnr works towards; the core's stated one by default

    InputError where the sources do not compile, UsageError where a tool is missing.
    """
    target_mhz = core.clock_mhz if target_mhz is None else target_mhz
    with tempfile.TemporaryDirectory(prefix="chaindp-synth-") as folder:
        work = Path(folder)
        advance("tools")
        tools = {"yosys": eda.YOSYS.version(work), "nextpnr": eda.NEXTPNR.version(work)}
        advance("synthesis")
        netlist = synthesize(core, work, frontend=frontend, limit_s=limit_s, wide_luts=wide_luts)
        if netlist.area is None or netlist.path is None:
            placed = [Placed(seed, "not run", None, 0.0, netlist.reason) for seed in seeds]
        elif netlist.area.too_much:
            placed = [Placed(seed, "does not fit", None, 0.0, netlist.area.too_much) for seed in seeds]
        else:
            advance("place and route")
            placed = place(
                netlist.path,
                core.clock,
                seeds,
                target_mhz=target_mhz,
                limit_s=limit_s,
                jobs=jobs,
                advance=advance,
            )
    return SynthResult(core, frontend, command(wide_luts), netlist, tuple(placed), target_mhz, limit_s, tools)
