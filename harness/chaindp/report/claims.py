"""What Pharos Network claims of a level, as numbers: a range of sequential performance p, which may be open above."""

from __future__ import annotations

import re
from dataclasses import dataclass

from chaindp.pipeline.levels import LEVELS

__all__ = ["Claim", "claim_of", "parse_claim"]

_CLAIM = re.compile(r"(?P<low>\d+(?:\.\d+)?)(?:-(?P<high>\d+(?:\.\d+)?)|(?P<open>\+))?p")


@dataclass(frozen=True, slots=True)
class Claim:
    """``low`` to ``high`` times sequential performance; ``high`` is None where the claim names no upper end."""

    text: str
    low: float
    high: float | None

    def gap(self, measured: float) -> float:
        """How many times faster the claim's lower end is than what was measured; below 1 where it is reached."""
        return self.low / measured


def parse_claim(text: str) -> Claim:
    """``1p``, ``15-50p`` or ``500p+`` (also ``500+p``) as numbers; ValueError for anything else."""
    match = _CLAIM.fullmatch(text.replace("p+", "+p"))
    if match is None:
        raise ValueError(f"not a claim: {text!r}")
    low = float(match["low"])
    return Claim(text, low, None if match["open"] else float(match["high"] or low))


def claim_of(level: int) -> Claim:
    """The claim of a level of the ladder."""
    return parse_claim(LEVELS[level].claim)
