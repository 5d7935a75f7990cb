"""The colours of all pictures: Okabe and Ito's palette, which people with any colour vision can tell apart."""

from __future__ import annotations

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
    "VERDICT_COLOURS",
    "VERMILION",
]

OKABE_ITO = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#999999")
BLUE, ORANGE, GREEN, PURPLE, SKY, VERMILION, GREY = OKABE_ITO
LIGHT_GREY = "#DDDDDD"

STAGE_COLOURS = dict(zip(STAGES, (ORANGE, GREY, SKY, BLUE, GREEN, PURPLE, VERMILION), strict=True))

VERDICT_COLOURS = {"faster": BLUE, "slower": VERMILION, "no difference": GREY, "insufficient data": GREY}
