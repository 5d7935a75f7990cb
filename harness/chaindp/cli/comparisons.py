"""Comparisons as a terminal shows them: a row each; below, why a row lacks something and where the floor is from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import click

from chaindp.cli import output

if TYPE_CHECKING:
    from chaindp.measure.verdict import Comparison

__all__ = ["pair_rules", "print_comparisons"]


def print_comparisons(
    title: str, rows: Sequence[Comparison], sides: tuple[str, str], speed: str, *, named: bool = False
) -> None:
    """Print a table of comparisons, nothing where there are none.

    sides: the headings of A and B
    speed: the heading of the ratio
    named: whether a cell of a side says which one it is, because rows may differ in that; else the row does once
    """
    if not rows:
        return
    name: Callable[[str], str] = (lambda side: f"{side}: ") if named else (lambda side: "")
    cells = [
        [
            row.metric,
            row.what if named else _of(row, sides),
            f"{name(row.a)}{_figure(row.a_median)} (n={row.samples_a})",
            f"{name(row.b)}{_figure(row.b_median)} (n={row.samples_b})",
            row.unit,
            "" if row.ratio is None else f"{row.ratio:.3g}",
            "" if row.low is None else f"{row.low:.3g} to {row.high:.3g}",
            "" if row.noise_floor is None else f"{row.noise_floor:.1%}",
            row.verdict or "not ranked",
        ]
        for row in rows
    ]
    figures = (speed, "99 % interval", "noise floor")
    output.table(title, ("metric", "of", *sides, "unit", *figures, "verdict"), cells, right=figures)
    for reason in dict.fromkeys(row.reason for row in rows if row.reason):
        where = ", ".join(dict.fromkeys(_of(row, sides) for row in rows if row.reason == reason))
        click.echo(f"{where}: {reason}")
    for source in dict.fromkeys(row.floor_from for row in rows if row.noise_floor is not None):
        click.echo(f"noise floor: {source}")


def _of(row: Comparison, sides: tuple[str, str]) -> str:
    """What a row is of, with the backend where the sides are of stored runs (``A cpu``): rows may differ in that only.

    Sides that are backends themselves are not told again.
    """
    ran = [side.removeprefix(name).strip() for side, name in zip((row.a, row.b), sides, strict=True)]
    if not all(side.startswith(f"{name} ") for side, name in zip((row.a, row.b), sides, strict=True)):
        return row.what
    return f"{row.what} on {ran[0] if ran[0] == ran[1] else f'{ran[0]} and {ran[1]}'}"


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:,.4g}" if value < 1e4 else f"{value:,.0f}"


def pair_rules() -> dict[str, str]:
    """The rules by which interleaved pairs were measured and judged, as ``run.json`` has them."""
    from chaindp.bench.inputs import MEMORY_RULE
    from chaindp.bench.pairs import PAIR_RULE
    from chaindp.measure.statistics import OUTLIER_RULE
    from chaindp.measure.verdict import VERDICT_RULE
    from chaindp.measure.warmup import WARM_UP_RULE

    return {
        "pairs": PAIR_RULE,
        "verdicts": VERDICT_RULE,
        "outliers": OUTLIER_RULE,
        "warm_up": WARM_UP_RULE,
        "memory": MEMORY_RULE,
    }
