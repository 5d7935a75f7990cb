"""Functional coverage: how often what the tests are meant to reach was reached."""

from __future__ import annotations

import json
import logging
import os
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

__all__ = ["Coverage", "length_bins"]


class Coverage:
    """Counters by bin, ``"group: bin"``. A declared bin that stays at zero is a hole."""

    def __init__(self) -> None:
        self.hits: Counter[str] = Counter()
        self.declared: set[str] = set()

    def declare(self, group: str, bins: Iterable[str]) -> None:
        """Say that ``bins`` of ``group`` have to be reached."""
        self.declared.update(f"{group}: {name}" for name in bins)

    def hit(self, group: str, name: str, times: int = 1) -> None:
        """Count ``times`` in the bin ``name`` of ``group``."""
        self.hits[f"{group}: {name}"] += times

    @property
    def holes(self) -> list[str]:
        """The declared bins that nothing reached."""
        return sorted(name for name in self.declared if not self.hits[name])

    def lines(self) -> list[str]:
        """The report: one line a bin."""
        names = sorted(self.declared | set(self.hits))
        return [f"{self.hits[name]:8d}  {name}{'' if self.hits[name] else '   <-- never'}" for name in names]

    def save(self) -> None:
        """Write the counters as JSON to the file that COVERAGE_FILE names, where it does."""
        if path := os.environ.get("COVERAGE_FILE"):
            counts = {name: self.hits[name] for name in sorted(self.declared | set(self.hits))}
            Path(path).write_text(json.dumps(counts, indent=1) + "\n")

    def report(self, log: logging.Logger) -> None:
        """Log the counters, save them, and fail where there is a hole."""
        for line in self.lines():
            log.info("coverage %s", line)
        self.save()
        assert not self.holes, f"never reached: {self.holes}"


def length_bins(length: int, unit: int, padding: int) -> list[str]:
    """The bins of a message of ``length`` bytes: a hash with blocks of ``unit`` and ``padding`` bytes at least."""
    bins = []
    if length == 0:
        bins.append("empty")
    elif length == 1:
        bins.append("one byte")
    inside = length % unit
    if length and inside == 0:
        bins.append("whole blocks")
    if inside == unit - padding:
        bins.append("padding just fits")
    if unit - padding < inside:
        bins.append("padding spills over")
    if length and inside == 1:
        bins.append("one byte more than whole blocks")
    blocks = (length + padding - 1) // unit + 1
    bins.append("one block" if blocks == 1 else "two blocks" if blocks == 2 else "several blocks")
    return bins
