"""Figures as words: the one place that decides how many digits a reader gets to see. What is missing is empty."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

__all__ = ["count", "duration", "figure", "megabytes", "percent", "plural", "plural_of", "ratio", "text", "times"]


def _missing(value: Any) -> bool:
    return bool(pd.isna(value))


def figure(value: Any, digits: int = 3) -> str:
    """A number to ``digits`` significant ones, without an exponent, thousands apart: 0.0123, 58.1, 8,334."""
    if _missing(value):
        return ""
    value = float(value)
    if not math.isfinite(value):
        return "unlimited" if value > 0 else "-unlimited"
    if value == 0:
        return "0"
    # The exponent after rounding: 0.9996 is 1.00, not 1.000.
    exponent = int(f"{value:.{digits - 1}e}".partition("e")[2])
    return f"{value:,.{min(max(0, digits - 1 - exponent), 9)}f}"


def count(value: Any) -> str:
    """A whole number, thousands apart."""
    return "" if _missing(value) else f"{float(value):,.0f}"


def ratio(value: Any) -> str:
    """A ratio or a speed-up, to three significant digits: 1.04, 0.0212, 458."""
    return figure(value)


def times(value: Any) -> str:
    """A speed-up in a sentence: ``1.04 times``."""
    return f"{ratio(value)} times"


def percent(value: Any) -> str:
    """A share as a percentage: two digits below 10 %."""
    return "" if _missing(value) else f"{figure(100 * float(value), 2 if abs(float(value)) < 0.1 else 3)} %"


def duration(ns: Any) -> str:
    """Nanoseconds in the unit that reads best."""
    if _missing(ns):
        return ""
    value = float(ns)
    for unit, size in (("s", 1e9), ("ms", 1e6), ("us", 1e3)):
        if abs(value) >= size:
            return f"{figure(value / size)} {unit}"
    return f"{figure(value)} ns"


def text(value: Any) -> str:
    """A word or a sentence as it is."""
    return "" if _missing(value) else str(value)


def plural(number: int, noun: str, several: str = "") -> str:
    """``1 level``, ``2 levels``; ``several`` is the plural where ``plural_of`` has not the right one."""
    return f"{number:,} {noun if number == 1 else several or plural_of(noun)}"


def plural_of(noun: str) -> str:
    """``levels``, ``butterflies``."""
    return f"{noun[:-1]}ies" if noun.endswith("y") and noun[-2] not in "aeiou" else f"{noun}s"


def megabytes(number: int) -> str:
    """Bytes as megabytes."""
    return f"{number / 1e6:.2f} MB"
