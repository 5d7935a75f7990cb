"""Probes: the same packets through a core in many ways, and what each of them shows.

Every probe is a run of the bulk simulator: without stalls, with stalls on either side, with a reset in the middle, from
random initial values. What goes wrong where the others go right is what ``causes`` names.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from chaindp.cores.build import Flavour, build
from chaindp.cores.description import Core
from chaindp.cores.simulation import Fault, Pattern, Reset, Simulation, Stalls, Trace, Transfer
from chaindp.workbench.cases import NODE, Cases, tree_levels

DRAWS = 64
"""At so many cycles after a point a reset is tried: at all of them where there are no more."""

__all__ = ["Class", "Probe", "Seen", "judge", "observe", "plan", "plan_random", "plan_resets"]


class Class(enum.StrEnum):
    """What a probe is about; in the order in which a cause is looked for."""

    PLAIN = "no stalls"
    OUTPUT = "the output is stalled"
    INPUT = "the input pauses"
    BOTH = "both sides stall"
    RESET = "a reset in the middle"
    RANDOM = "random initial values"


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """One way to put packets through a core.

    seed: of the initial values, where the class is RANDOM
    """

    kind: Class
    name: str
    cases: Cases
    stalls: Stalls = field(default_factory=Stalls)
    resets: tuple[Reset, ...] = ()
    seed: int = 0

    @property
    def flavour(self) -> Flavour:
        """The build that it needs."""
        return Flavour.CHECK if self.kind is Class.RANDOM else Flavour.FAST


@dataclass(frozen=True, slots=True)
class Seen:
    """What a probe showed.

    outputs: what came out of each packet, of a tree level by level; None where nothing did
    levels:  tuser of the nodes of each packet as they came, for a core of merkle_tree
    wrong:   the packets that came out as something else than expected, ascending
    missing: the packets that never came out, less those that a reset may lose
    """

    probe: Probe
    transfer: Transfer
    outputs: tuple[bytes | None, ...]
    levels: tuple[tuple[int, ...], ...]
    wrong: tuple[int, ...]
    missing: tuple[int, ...]

    @property
    def holds(self) -> bool:
        """Whether all packets came out right and nothing else happened."""
        return not (self.wrong or self.missing or self.transfer.faults)

    @property
    def fault(self) -> Fault | None:
        """The first fault."""
        return self.transfer.faults[0] if self.transfer.faults else None


def observe(simulation: Simulation, probe: Probe, trace: Trace | None = None) -> Seen:
    """Run a probe on a simulation of its flavour; the core is reset before it."""
    core = simulation.core
    cases = probe.cases
    simulation.reset()
    transfer = simulation.run(
        cases.data,
        cases.offsets,
        cases.out_bytes,
        stalls=probe.stalls,
        user=cases.user if core.input.user_bits else None,
        resets=probe.resets,
        trace=trace,
    )
    return judge(core, probe, transfer)


def judge(core: Core, probe: Probe, transfer: Transfer) -> Seen:
    """What a run of the probe's packets showed."""
    cases = probe.cases
    outputs, levels = _outputs(core, transfer, len(cases))
    wrong, missing = [], []
    for index, (case, output) in enumerate(zip(cases.cases, outputs, strict=True)):
        if output is None:
            if not transfer.lost[index]:
                missing.append(index)
        elif output != case.expected or (levels[index] and list(levels[index]) != _levels(case.sent)):
            wrong.append(index)
    return Seen(probe, transfer, outputs, levels, tuple(wrong), tuple(missing))


def _outputs(
    core: Core, transfer: Transfer, count: int
) -> tuple[tuple[bytes | None, ...], tuple[tuple[int, ...], ...]]:
    """What came out of every packet, and of a tree, whose levels may come out interleaved, sorted by level."""
    outputs: list[bytes | None] = []
    levels: list[tuple[int, ...]] = []
    raw, bounds = transfer.data.tobytes(), transfer.offsets.tolist()
    tree = core.kernel == "merkle_tree" and transfer.user is not None
    beats = NODE // core.output.bytes if tree else 1
    at = 0
    for index in range(count):
        packet = raw[bounds[index] : bounds[index + 1]]
        if transfer.finished[index] < 0:
            outputs.append(None)
            levels.append(())
            continue
        if not tree or transfer.user is None:
            outputs.append(packet)
            levels.append(())
            continue
        nodes = -(-len(packet) // NODE)
        level = transfer.user[at : at + beats * nodes : beats]
        at += beats * nodes
        order = np.argsort(level, kind="stable") if len(level) == nodes else np.arange(nodes)
        outputs.append(b"".join(packet[NODE * node : NODE * node + NODE] for node in order))
        levels.append(tuple(int(value) for value in np.sort(level)))
    return tuple(outputs), tuple(levels)


def _levels(sent: bytes) -> list[int]:
    return tree_levels(len(sent) // NODE)


def plan(cases: Cases, many: Cases, large: Cases, seed: int, quick: bool) -> Iterator[Probe]:
    """The probes without resets, over a build for bulk simulation."""
    yield Probe(kind=Class.PLAIN, name="every edge length", cases=cases)
    yield Probe(kind=Class.PLAIN, name="many short packets", cases=many)
    if not quick and len(large):
        yield Probe(kind=Class.PLAIN, name="long packets", cases=large)
    patterns = {
        "one cycle in 3": Pattern.one_in(3),
        "random pauses": Pattern.random(96, 8),
        "long pauses": Pattern.random(24, 300),
    }
    for name, pattern in patterns.items():
        stalls = Stalls(output=pattern, seed=seed)
        yield Probe(kind=Class.OUTPUT, name=f"output ready: {name}", cases=cases, stalls=stalls)
    stalls = Stalls(output=Pattern.after_valid(), seed=seed)
    yield Probe(kind=Class.OUTPUT, name="output ready only after valid", cases=cases, stalls=stalls)
    for name, pattern in patterns.items():
        stalls = Stalls(input=pattern, seed=seed)
        yield Probe(kind=Class.INPUT, name=f"input valid: {name}", cases=cases, stalls=stalls)
    for number in range(1 if quick else 3):
        for name in ("random pauses", "long pauses"):
            stalls = Stalls(input=patterns["random pauses"], output=patterns[name], seed=seed + number)
            label = f"input: random pauses, output: {name}, seed {stalls.seed}"
            yield Probe(kind=Class.BOTH, name=label, cases=cases, stalls=stalls)


def plan_resets(core: Core, cases: Cases, seed: int, quick: bool) -> Iterator[Probe]:
    """A reset while a long packet comes in, and in every cycle until its result is out, or in many of them.

    Packets follow each reset. The cycles go from the packet's last beat to twice what it takes to come out: then it is
    computed, its result comes out or waits, and the next one is offered and not taken, or comes in.
    """
    rng = np.random.default_rng(seed)
    width = core.input.bytes
    beats = [max(-(-len(case.sent) // width), 1) for case in cases.cases]
    longest = int(np.argmax(beats))
    # One before, the longest, and a few after: what a reset leaves behind shows in the first that follows.
    others = [index for index in range(len(cases)) if index != longest]
    few = cases.only([others[0], longest, *others[1:9]])
    most, cycles = beats[longest], core.reset.cycles
    span = 2 * _cycles_to_come_out(core, cases.only([longest])) + 1
    afters = range(span) if span <= DRAWS else sorted(rng.choice(span, DRAWS, replace=False).tolist())
    # The output waits most of the time, and a long one still comes out.
    stalled = Stalls(output=Pattern.one_in(min(span + most, 100)), seed=seed)
    for suffix, stalls in {"": Stalls(), ", output stalled": stalled}.items():
        for beat in sorted({1, 2, most // 2, most - 1} & set(range(1, most))):
            name = f"reset after beat {beat} of {most}{suffix}"
            yield Probe(kind=Class.RESET, name=name, cases=few, stalls=stalls, resets=(Reset(1, beat, cycles),))
        for after in afters:
            name = f"reset {after} cycles after beat {most} of {most}{suffix}"
            resets = (Reset(1, most, cycles, after),)
            yield Probe(kind=Class.RESET, name=name, cases=few, stalls=stalls, resets=resets)
    pattern = Pattern.random(96, 8)
    for number in range(DRAWS // 4 if quick else DRAWS):
        beat, after = int(rng.integers(most + 1)), int(rng.integers(span))
        stalls = Stalls(input=pattern, output=pattern, seed=seed + number)
        name = f"reset {after} cycles after beat {beat} of {most}, both sides stall, seed {stalls.seed}"
        yield Probe(kind=Class.RESET, name=name, cases=few, stalls=stalls, resets=(Reset(1, beat, cycles, after),))
    later = tuple(Reset(packet, 1, cycles) for packet in (2, 5, 8) if packet < len(few))
    yield Probe(kind=Class.RESET, name="three resets", cases=few, resets=later)


def _cycles_to_come_out(core: Core, alone: Cases) -> int:
    """Cycles from the last beat of a packet in to its last one out; 0 where it does not come out."""
    with Simulation(build(core)) as simulation:
        transfer = observe(simulation, Probe(kind=Class.PLAIN, name="alone", cases=alone)).transfer
    return max(int(transfer.finished[0] - transfer.accepted[0]), 0) if transfer.finished[0] >= 0 else 0


def plan_random(cases: Cases, seed: int, quick: bool) -> Iterator[Probe]:
    """Random values in every register that nothing has set, by several seeds."""
    for number in range(8 if quick else 16):
        stalls = (
            Stalls()
            if number % 2 == 0
            else Stalls(input=Pattern.random(96, 8), output=Pattern.random(96, 8), seed=seed)
        )
        name = f"initial values of seed {number + 1}" + (", both sides stall" if number % 2 else "")
        yield Probe(kind=Class.RANDOM, name=name, cases=cases, stalls=stalls, seed=number + 1)
