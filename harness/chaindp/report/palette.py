"""The colours of all pictures: Okabe and Ito's palette, which people with any colour vision can tell apart."""

from __future__ import annotations

from collections.abc import Iterable

from chaindp.results.summary import STAGES

__all__ = [
    "BLUE",
    "GREEN",
    "GREY",
    "LIGHT_GREY",
    "OKABE_ITO",
    "ORANGE",
    "SKY",
    "STAGE_COLOURS",
    "TRANSFER",
    "VERDICT_COLOURS",
    "VERMILION",
    "backend_colours",
]

OKABE_ITO = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#999999")
BLUE, ORANGE, GREEN, PURPLE, SKY, VERMILION, GREY = OKABE_ITO
LIGHT_GREY = "#DDDDDD"

STAGE_COLOURS = dict(zip(STAGES, (ORANGE, GREY, SKY, BLUE, GREEN, PURPLE, VERMILION), strict=True))

FASTER, SLOWER, TRANSFER = BLUE, VERMILION, "#555555"
VERDICT_COLOURS = {"faster": FASTER, "slower": SLOWER, "no difference": GREY, "insufficient data": GREY}

_BACKENDS = (GREEN, PURPLE, SKY, ORANGE, "#332288", "#999933", "#882255", "#44AA99")
"""Colours that no verdict has; the last four are Tol's, from his muted scheme."""


def backend_colours(names: Iterable[str]) -> dict[str, str]:
    """A colour for each backend of a page, the same in all its charts, whichever of them it is in.

    ``cpu`` and its devices come first and keep their colours from page to page; the others follow by name. Beyond
    eight, colours repeat.
    """
    ordered = sorted(set(names), key=lambda name: (name != "cpu", not name.startswith("cpu:"), name))
    return {name: _BACKENDS[place % len(_BACKENDS)] for place, name in enumerate(ordered)}
