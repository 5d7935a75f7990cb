"""What a report is made of, before anyone decides whether it becomes HTML or Markdown: plain text, figures in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bokeh.plotting import figure

__all__ = ["Chart", "Key", "RunReport", "Section", "Table"]


@dataclass(frozen=True, slots=True)
class Table:
    """Cells are text as it is; who renders it escapes it. ``right`` names the columns that are set flush right."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    right: Sequence[str] = ()
    folded: bool = False


@dataclass(frozen=True, slots=True)
class Key:
    """One entry of a chart's legend. ``shape``: bar, pale, band, line, dash, dot, ring, diamond, hollow or cross."""

    text: str
    colour: str
    shape: str = "bar"


@dataclass(frozen=True, slots=True)
class Chart:
    """A picture, what it found (``title``), what it shows in which unit (``quantity``), and the same as a table.

    table: None where a table of the same section shows the same
    wide: whether it takes the whole width where there is room for two charts side by side
    """

    title: str
    quantity: str
    figure: figure
    legend: Sequence[Key]
    table: Table | None = None
    wide: bool = False


@dataclass(frozen=True, slots=True)
class Section:
    """One subject: ``lead`` above the charts, ``notes`` below them; ``missing`` says what is not here, and why."""

    name: str
    title: str
    lead: Sequence[str] = ()
    charts: Sequence[Chart] = ()
    tables: Sequence[Table] = ()
    notes: Sequence[str] = ()
    missing: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class RunReport:
    """All about one run: ``headline`` is the one sentence to remember; ``facts`` are what ran, where, when.

    label: its id; ``title``: what it is a run of, and when
    """

    label: str
    title: str
    headline: str
    facts: Sequence[tuple[str, str]]
    sections: Sequence[Section]
