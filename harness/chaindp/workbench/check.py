"""``chaindp core check``: whether a core is right, what is wrong where it is not, and how many cycles it takes."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from chaindp.cores.build import Built, Flavour, build
from chaindp.cores.description import Core
from chaindp.cores.simulation import ALWAYS, Simulation
from chaindp.cores.verilator import LintMessage, lint
from chaindp.workbench.cases import edge_cases, large_cases, many_cases, with_results
from chaindp.workbench.causes import CONFORMANCE, LINT, Cause, find_cause
from chaindp.workbench.conformity import PATTERNS, Conformity, conform_core
from chaindp.workbench.figures import Faulty, Figures, measure
from chaindp.workbench.probes import Class, Probe, Seen, judge, observe, plan, plan_random, plan_resets
from chaindp.workbench.tools import require_tools
from chaindp.workbench.witness import Witness, trace_witness, witness_of

__all__ = ["CheckOptions", "CheckResult", "check"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckOptions:
    """How thorough a check is.

    budget_s: about how many seconds the open-ended tests of a conformance run may take
    quick:    fewer probes; of the conformance suite one run without stalls and one with, and none where the
              probes have found something
    strict:   whether a warning of the lint is a reason not to hold
    vcd:      the folder for the waveforms of a failure; None: none are written
    """

    budget_s: float = 5.0
    seed: int = 0
    quick: bool = False
    strict: bool = False
    vcd: Path | None = None


@dataclass(slots=True)
class CheckResult:
    """The verdict on one configuration of a core."""

    core: Core
    lint: list[LintMessage] = field(default_factory=list)
    probes: list[Seen] = field(default_factory=list)
    conformity: Conformity | None = None
    figures: Figures | None = None
    cause: Cause | None = None
    witness: Witness | None = None
    vcd: Path | None = None
    vcd_note: str = ""
    built: Built | None = None
    seconds: float = 0.0

    @property
    def holds(self) -> bool:
        """Whether nothing is wrong with the core; its lint counts where that was asked for."""
        return self.cause is None

    def to_dict(self) -> dict[str, Any]:
        """As ``chaindp core check --json`` prints it."""
        rows = [_row(seen) for seen in self.probes]
        conform = (self.conformity or Conformity({})).to_dict()
        return {
            "core": self.core.name,
            "configuration": self.core.configuration,
            "kernel": self.core.kernel,
            "top": self.core.top,
            "parameters": dict(self.core.parameters),
            "holds": self.holds,
            "cause": {"kind": self.cause.kind, "words": self.cause.words} if self.cause is not None else None,
            "first_mismatch": self.witness.to_dict() if self.witness is not None else None,
            "vcd": str(self.vcd) if self.vcd is not None else None,
            "vcd_note": self.vcd_note or None,
            "lint": [asdict(message) for message in self.lint],
            "lint_off": list(self.core.lint_off),
            "probes": rows,
            "conform": conform,
            "clock_mhz": self.core.clock_mhz,
            "cycles_per_op": self.figures.cycles_per_op if self.figures is not None else None,
            "cycles_per_op_size": self.figures.reference if self.figures is not None else None,
            "unit": self.figures.unit if self.figures is not None else None,
            "figures": [asdict(row) for row in self.figures.rows] if self.figures is not None else [],
            "sim_hz": self.figures.sim_hz if self.figures is not None else None,
            "seconds": self.seconds,
            "rtl_hash": self.built.rtl_hash if self.built is not None else None,
            "tools": {"verilator": self.built.verilator, "compiler": self.built.compiler} if self.built else {},
        }


def _row(seen: Seen) -> dict[str, Any]:
    transfer = seen.transfer
    return {
        "kind": str(seen.probe.kind),
        "name": seen.probe.name,
        "holds": seen.holds,
        "packets": len(seen.probe.cases),
        "wrong": len(seen.wrong),
        "missing": len(seen.missing),
        "cycles": transfer.cycles,
        "in_stalls": transfer.in_stalls,
        "out_stalls": transfer.out_stalls,
        "faults": [str(fault) for fault in transfer.faults],
    }


STEPS = ("lint", "build", "probes", "build with random initial values", "probes with random initial values", "figures")
"""What ``advance`` is told of beside the tests of the conformance suite."""


def check(core: Core, options: CheckOptions, advance: Callable[[str], None] = lambda step: None) -> CheckResult:
    """Check a core in full.

    InputError, one line FILE:LINE: MESSAGE, for RTL that does not compile or ports that are not as described;
    UsageError where a tool is missing.
    """
    started = time.monotonic()
    require_tools()
    result = CheckResult(core)
    advance(STEPS[0])
    result.lint = lint(core)
    advance(STEPS[1])
    result.built = build(core)
    with ExitStack() as stack:
        bench = _Bench(core, stack)
        _probe(core, options, result, bench, advance)
        result.cause = find_cause(core, result.probes, bench.afresh)
        if result.cause is None:
            advance(STEPS[5])
            _measure(core, options, result, bench)
    wrong = result.cause is not None
    if not (options.quick and wrong):
        result.conformity = conform_core(core, options.budget_s, options.quick, wrong, advance)
        if not wrong and not result.conformity.holds:
            result.cause = _by_probe(core, result)
    if result.cause is None and result.lint and options.strict:
        more = f" (and {len(result.lint) - 1} more)" if len(result.lint) > 1 else ""
        result.cause = Cause(LINT, f"{result.lint[0]}{more}")
    _explain(core, options, result)
    result.seconds = time.monotonic() - started
    return result


class _Bench:
    """The simulations of a check, each built when it is first needed."""

    def __init__(self, core: Core, stack: ExitStack) -> None:
        self.core, self.stack = core, stack
        self._open: dict[tuple[Flavour, int], Simulation] = {}

    def simulation(self, flavour: Flavour, seed: int = 0) -> Simulation:
        """A simulation of that build; random initial values are of ``seed``."""
        if (flavour, seed) not in self._open:
            self._open[flavour, seed] = self.stack.enter_context(Simulation(build(self.core, flavour), seed=seed))
        return self._open[flavour, seed]

    def observe(self, probe: Probe) -> Seen:
        """Run a probe on the simulation that it needs; random values need a fresh one."""
        if probe.kind is Class.RANDOM:
            return self.afresh(probe)
        return observe(self.simulation(Flavour.FAST), probe)

    def afresh(self, probe: Probe) -> Seen:
        """Run a probe on a core that has done nothing yet, whatever its reset leaves as it is."""
        with Simulation(build(self.core, probe.flavour), seed=probe.seed) as simulation:
            return observe(simulation, probe)


def _probe(
    core: Core, options: CheckOptions, result: CheckResult, bench: _Bench, advance: Callable[[str], None]
) -> None:
    cases, many, large = (make(core, options.seed) for make in (edge_cases, many_cases, large_cases))
    advance(STEPS[2])
    for probe in plan(cases, many, large, options.seed, options.quick):
        result.probes.append(bench.observe(probe))
    for probe in plan_resets(core, cases, options.seed, options.quick):
        result.probes.append(bench.observe(probe))
    if any(not seen.holds for seen in result.probes):
        return
    # A core that is wrong anyhow needs no second build to say so.
    advance(STEPS[3])
    build(core, Flavour.CHECK)
    advance(STEPS[4])
    for probe in plan_random(cases, options.seed, options.quick):
        result.probes.append(bench.observe(probe))


def _measure(core: Core, options: CheckOptions, result: CheckResult, bench: _Bench) -> None:
    """The figures; what goes wrong while they are measured, with more packets than a probe has, is a probe's result."""
    try:
        result.figures = measure(core, bench.simulation(Flavour.FAST), options.seed)
    except Faulty as found:
        cases = with_results(core, found.cases)
        probe = Probe(kind=Class.PLAIN, name=f"{len(cases)} packets of {cases.cases[0].size}", cases=cases)
        result.probes.append(judge(core, probe, found.transfer))
        result.cause = find_cause(core, result.probes, bench.afresh)


def _by_probe(core: Core, result: CheckResult) -> Cause:
    """What only the suite has found, with a probe of the packets that went wrong there where that shows it, too.

    It is called no more than that: what packets have in common that the suite makes at random says little.
    """
    assert result.conformity is not None
    reason = result.conformity.failures[0].reason
    with ExitStack() as stack:
        bench = _Bench(core, stack)
        for name, cases in result.conformity.wrong.items():
            last, label = len(cases) - 1, f"from the conformance suite, {name}"
            attempts = [Probe(kind=Class.PLAIN, name=label, cases=one) for one in (cases.only([last]), cases)]
            stalls = PATTERNS[name]
            if stalls is not None:
                kind = Class.BOTH if stalls.input != ALWAYS else Class.OUTPUT
                attempts.append(Probe(kind=kind, name=label, cases=cases, stalls=stalls))
            for attempt in attempts:
                seen = bench.afresh(attempt)
                if not seen.holds:
                    result.probes.append(seen)
                    return Cause(CONFORMANCE, reason, seen)
    return Cause(CONFORMANCE, reason)


def _explain(core: Core, options: CheckOptions, result: CheckResult) -> None:
    """The diff of the first mismatch, and the waveforms around it."""
    seen = result.cause.seen if result.cause is not None else None
    if seen is None:
        return
    result.witness = witness_of(seen)
    if options.vcd is not None:
        result.vcd, result.vcd_note = trace_witness(core, result.witness, options.vcd)
