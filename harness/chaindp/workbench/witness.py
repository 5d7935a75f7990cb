"""The first mismatch of a core, as a diff that a person can follow, and a VCD of the cycles around it."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from chaindp.cores.build import Built, Flavour, build
from chaindp.cores.description import Core
from chaindp.cores.simulation import Kind, Simulation, Trace
from chaindp.errors import ChaindpError
from chaindp.workbench.cases import Case
from chaindp.workbench.probes import Class, Probe, Seen, observe

__all__ = ["Witness", "trace_witness", "witness_of"]

SHOWN = 256
"""Bytes of a message that are shown from its beginning."""

AROUND = 32
"""Cycles that a VCD has before and after what it is about."""

LONGEST = 4_000
"""Cycles that a VCD has at most before the mismatch."""

QUIET = 1_000
"""Cycles that a VCD has of the silence of a core that hangs: what follows is more of it."""


@dataclass(frozen=True, slots=True)
class Witness:
    """One packet that shows what is wrong.

    packet: its number in the probe; case: what was sent; got: what came out, None where nothing did
    first: the cycle at which the packet before it had come in
    cycle: of the mismatch or fault; hang: whether that is the end of a long silence
    """

    seen: Seen
    packet: int
    case: Case | None
    got: bytes | None
    first: int
    cycle: int
    fault: str
    hang: bool

    def to_dict(self) -> dict[str, Any]:
        """As the report has it: bytes in hex, long ones cut, and where expected and got begin to differ."""
        expected = self.case.expected if self.case else None
        document: dict[str, Any] = {
            "probe": self.seen.probe.name,
            "stalls": str(self.seen.probe.kind),
            "packet": self.packet,
            "what": self.case.name if self.case else None,
            "cycle": self.cycle,
            "fault": self.fault or None,
            "sent_bytes": len(self.case.sent) if self.case else None,
            "sent": _hex(self.case.sent) if self.case else None,
            "expected": _hex(expected) if expected is not None else None,
            "got": _hex(self.got) if self.got is not None else None,
            "first_difference": _first_difference(expected, self.got),
        }
        return document


def _hex(data: bytes) -> str:
    return data[:SHOWN].hex() + (f"... ({len(data)} bytes)" if len(data) > SHOWN else "")


def _first_difference(expected: bytes | None, got: bytes | None) -> int | None:
    """The byte at which two results differ first; None where one of them is not there, or they are the same."""
    if expected is None or got is None or expected == got:
        return None
    pairs = zip(expected, got, strict=False)
    return next((index for index, (a, b) in enumerate(pairs) if a != b), min(len(expected), len(got)))


def witness_of(seen: Seen) -> Witness:
    """The first packet of a probe that came out wrong or not at all, or at which a fault happened."""
    transfer = seen.transfer
    bad = sorted({*seen.wrong, *seen.missing})
    fault = seen.fault
    # Whichever came first: what is wrong later may follow from it.
    if fault is not None and not (seen.wrong and transfer.finished[seen.wrong[0]] < fault.cycle):
        packet, cycle = min(fault.packet, len(seen.probe.cases) - 1), fault.cycle
    else:
        packet = seen.wrong[0] if seen.wrong else bad[0]
        cycle = int(transfer.finished[packet])
    earlier = [int(value) for value in transfer.accepted[:packet] if value >= 0]
    return Witness(
        seen=seen,
        packet=packet,
        case=seen.probe.cases.cases[packet],
        got=seen.outputs[packet],
        first=earlier[-1] if earlier else 0,
        cycle=max(cycle, 0),
        fault=str(fault) if fault is not None else "",
        hang=fault is not None and fault.kind is Kind.HANG and cycle == fault.cycle,
    )


def trace_witness(core: Core, witness: Witness, folder: Path) -> tuple[Path | None, str]:
    """Write a VCD of the witness into ``folder``: its path, and what it shows; or None, and why there is none.

    The packet by itself where that shows it, too; otherwise the whole probe, with the cycles around the mismatch.
    """
    probe = witness.seen.probe
    path = folder / f"{core.label}-{_slug(probe.name)}.vcd"
    attempts = [probe]
    if not probe.resets and probe.kind is not Class.RANDOM:
        # A fresh core and this packet only: the shortest trace that there is.
        attempts.insert(0, replace(probe, cases=probe.cases.only([witness.packet])))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        built = build(core, Flavour.TRACE)
        for attempt in attempts:
            # Once to see where the mismatch is, once more to write what is around it.
            seen = _observed(built, attempt, None)
            if seen.holds:
                continue
            found = witness_of(seen)
            _observed(built, attempt, Trace(path, *_window(core, found)))
            shown = "this packet alone" if attempt is not probe else "a part of the probe"
            last = _last(core, found)
            where = f"no beat moves after cycle {last}" if found.hang else f"the mismatch is in cycle {last}"
            return path, f"{shown}, ten units of time a cycle; {where}"
    except OSError as error:
        return None, f"{folder}: {error.strerror}"
    except ChaindpError as error:
        return None, str(error)
    return None, "the build that writes waveforms does not show it: its registers begin with other values"


def _observed(built: Built, probe: Probe, trace: Trace | None) -> Seen:
    """Run a probe on a core that has done nothing yet."""
    with Simulation(built, seed=probe.seed, random=probe.kind is Class.RANDOM) as simulation:
        return observe(simulation, probe, trace)


def _window(core: Core, witness: Witness) -> tuple[int, int]:
    """The cycles around the mismatch, from where the packet begins; of a hang, those before and after its last beat."""
    last = _last(core, witness)
    first = max(min(witness.first, last) - AROUND, last - LONGEST, 0)
    return first, last + (QUIET if witness.hang else AROUND)


def _last(core: Core, witness: Witness) -> int:
    """The cycle of the mismatch, or of a hang about that after which no beat has moved."""
    return max(witness.cycle - core.idle_cycles, 0) if witness.hang else witness.cycle


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")
