"""What a run of a simulation is told, how the host stalls and resets and what to trace, and what it tells."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from chaindp.errors import UsageError

__all__ = ["ALWAYS", "Fault", "Kind", "Pattern", "Reset", "Stalls", "Trace", "Transfer"]


class Kind(enum.IntEnum):
    """What a core did wrong; ``driver/job.h`` has the same numbers."""

    HANG = 1
    WITHDRAWN = 2
    CHANGED = 3
    SPURIOUS = 4
    EXTRA = 5
    EARLY = 6
    SHORT = 7
    LONG = 8
    KEEP = 9
    VALID_IN_RESET = 10
    TOO_LARGE = 11
    STOPPED = 12
    TOO_LONG = 13


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault: when, at which output packet and beat of it, and in words."""

    kind: Kind
    cycle: int
    packet: int
    beat: int
    message: str

    def __str__(self) -> str:
        return f"cycle {self.cycle}, output packet {self.packet}, beat {self.beat}: {self.message}"


@dataclass(frozen=True, slots=True)
class Pattern:
    """When one side of a stream may move a beat: ``ALWAYS``, or one of the functions below makes one."""

    kind: int = 0
    probability: int = 0
    burst: int = 1
    period: int = 1

    def __post_init__(self) -> None:
        if self.kind not in range(4):
            raise UsageError(f"a pattern of kind {self.kind}: expected 0 to 3")
        if not 0 <= self.probability <= 255 or not 1 <= self.burst <= 10_000:
            raise UsageError(
                f"pauses of 1 to {self.burst} cycles with {self.probability}/256: expected 1 to 10000, and 0 to 255"
            )
        if not 1 <= self.period <= 10_000:
            raise UsageError(f"one cycle in {self.period}: expected 1 to 10000")

    @staticmethod
    def random(probability: int, burst: int = 1) -> Pattern:
        """Before a cycle a pause of 1 to ``burst`` cycles begins, with ``probability`` of 256."""
        return Pattern(1, probability, burst)

    @staticmethod
    def one_in(period: int) -> Pattern:
        """In one cycle of every ``period``."""
        return Pattern(2, period=period)

    @staticmethod
    def after_valid() -> Pattern:
        """Ready only in the cycle after valid was seen; output side only, because valid must not wait for ready."""
        return Pattern(3)


ALWAYS = Pattern()
"""In every cycle."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stalls:
    """How both sides hold up the core: ``input`` offers beats late, ``output`` takes them late. By default neither."""

    input: Pattern = ALWAYS
    output: Pattern = ALWAYS
    seed: int = 0

    def __post_init__(self) -> None:
        if self.input.kind == 3:
            raise UsageError("an input pattern after valid: valid must not wait for ready")


@dataclass(frozen=True, slots=True)
class Reset:
    """A reset in the middle: ``after`` cycles after ``beat`` beats of input packet ``packet`` are in, for ``cycles``.

    What is in the core is lost: all packets that have begun to come in and not come out. A beat that is offered at the
    time and not taken is withdrawn; it comes again where it is the first of its packet.
    """

    packet: int
    beat: int
    cycles: int = 4
    after: int = 0


@dataclass(frozen=True, slots=True)
class Trace:
    """A VCD of the cycles from ``first`` to ``last``, ten units of time a cycle; the clock rises in the middle of one.

    Only with ``Flavour.TRACE``.
    """

    path: str | Path
    first: int = 0
    last: int = 1 << 62


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer:
    """What came out of a run of P packets.

    data, offsets: u8[B], i64[P+1]: the output packets; one that never came out has no bytes, and -1 in ``finished``
    user:          u32[beats]: tuser of every beat in ``data``; None where the core has none
    cycles:        from the first beat that was offered to the last one that was taken
    in_stalls:     cycles in which an input beat waited for the core
    out_stalls:    cycles in which an output beat waited for the host
    latency:       cycles from the first beat that went in to the first that came out; 0 where none did
    accepted, finished: i64[P]: the cycle of each packet's last beat in and out; -1: never
    lost:          bool[P]: whether the packet was in the core, in part at least, at a reset
    simulated:     all cycles that were simulated, with resets and what follows the last packet
    seconds:       on the wall clock, which says nothing of the hardware
    faults:        what the core did wrong, at most 16
    """

    data: np.ndarray
    offsets: np.ndarray
    user: np.ndarray | None
    cycles: int
    in_stalls: int
    out_stalls: int
    latency: int
    accepted: np.ndarray
    finished: np.ndarray
    lost: np.ndarray
    in_beats: int
    out_beats: int
    simulated: int
    seconds: float
    faults: tuple[Fault, ...]
