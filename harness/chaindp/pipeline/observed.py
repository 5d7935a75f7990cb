"""The passes of a run as it hands them out, each with what it was for."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from chaindp.pipeline.passes import PassResult

__all__ = ["Observed", "PassKind"]


class PassKind(StrEnum):
    """What a pass is for.

    RECORDED: the table's samples are of it
    AGAIN:    the second one of the lowest level, for the noise floor
    CHECK:    in model mode, one of the two that the model is checked with
    """

    RECORDED = "recorded"
    AGAIN = "again"
    CHECK = "check"


@dataclass(frozen=True, slots=True)
class Observed:
    """A pass over the blocks of a repetition, for whoever wants more of it than samples.

    live:     whether threads ran it and the clock timed it; otherwise it was scheduled
    stand_in: whether ``cpu`` was in the place of simulated devices, which only happens in a check
    """

    level: int
    repetition: int
    admit_first: bool
    kind: PassKind
    live: bool
    stand_in: bool
    result: PassResult
