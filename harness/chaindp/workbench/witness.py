"""The first mismatch of a core, as a diff that a person can follow, and a VCD of the cycles around it."""

from __future__ import annotations

import contextlib
import os
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from chaindp.cores.build import Flavour, build
from chaindp.cores.description import Core
from chaindp.cores.simulation import Kind, Simulation, Trace
from chaindp.errors import ChaindpError
from chaindp.workbench.cases import Case
from chaindp.workbench.probes import Class, Seen, observe

__all__ = ["Witness", "trace_witness", "witness_of"]

SHOWN = 256
"""Bytes of a message that are shown from its beginning."""

AROUND = 32
"""Cycles that a VCD has before and after what it is about."""

LONGEST = 4_000
"""Cycles that a VCD has at most before the mismatch: of a hang, the interesting ones are the first."""


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
    if fault is not None and not (seen.wrong and seen.wrong[0] == bad[0]):
        packet = min(fault.packet, len(seen.probe.cases) - 1)
    else:
        packet = bad[0]
    finished = int(transfer.finished[packet])
    cycle = finished if finished >= 0 and packet in seen.wrong else fault.cycle if fault is not None else finished
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
    built = build(core, Flavour.TRACE)
    path = folder / f"{core.label}-{_slug(probe.name)}.vcd"
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        return None, f"{folder}: {error.strerror}"
    attempts = [probe]
    if not probe.resets and probe.kind is not Class.RANDOM:
        # A fresh core and this packet only: the shortest trace that there is.
        attempts.insert(0, replace(probe, cases=probe.cases.only([witness.packet])))
    try:
        for attempt in attempts:
            alone = attempt is not probe
            window = _window(alone, witness)
            with Simulation(built, seed=attempt.seed, random=attempt.kind is Class.RANDOM) as simulation:
                seen = observe(simulation, attempt, Trace(scratch, *window))
            if not seen.holds:
                scratch.rename(path)
                shown = "this packet alone" if alone else "a part of the probe"
                return path, f"{shown}, ten units of time a cycle; the mismatch is in cycle {witness_of(seen).cycle}"
    except ChaindpError as error:
        return None, str(error)
    finally:
        with contextlib.suppress(OSError):
            scratch.unlink()
    return None, "the build that writes waveforms does not show it: its registers begin with other values"


def _window(alone: bool, witness: Witness) -> tuple[int, int]:
    if alone:
        return 0, LONGEST
    if witness.hang:
        # What led to it is at the beginning of the silence, and the rest is silence.
        return max(witness.first - AROUND, 0), witness.first + LONGEST
    return max(witness.first - AROUND, witness.cycle - LONGEST, 0), witness.cycle + AROUND


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")
