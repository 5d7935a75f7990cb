"""A report as Markdown, for a pull request or a terminal: the tables and the sentences, no HTML."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from chaindp import __version__
from chaindp.files import refuse_others, write_over_own
from chaindp.measure.verdict import VERDICT_RULE
from chaindp.report import tables
from chaindp.report.devices import device_lines, device_table
from chaindp.report.headline import facts, headline
from chaindp.report.parts import Table
from chaindp.report.sources import Run, naming, read_runs
from chaindp.results import breakeven
from chaindp.results.kernels import INTERVAL_RULE
from chaindp.results.summary import gain_lines

__all__ = ["MARK", "markdown_page", "markdown_report", "write_markdown"]

MARK = b"[//]: # (chaindp report"
"""What tells a report from any other Markdown file: a line that no renderer shows."""

WHAT = "chaindp report in Markdown"

_SPECIAL = re.compile(r"([\\`*<>\[\]|#~&$])|(?<!\w)_|_(?!\w)")


def write_markdown(paths: Sequence[str | os.PathLike[str]], out: Path) -> tuple[int, tuple[str, ...]]:
    """Write the Markdown about the runs at ``paths`` to ``out`` in one step: its bytes, and the runs' names.

    Raises InputError for what is not a run or is damaged; UsageError where ``out`` cannot be written, or is a file
    that is no report.
    """
    refuse_others(out, MARK, WHAT)
    runs = read_runs(paths)
    content = markdown_page(runs).encode()
    write_over_own(out, content, MARK, WHAT)
    return len(content), tuple(run.label for run in runs)


def markdown_report(paths: Sequence[str | os.PathLike[str]]) -> str:
    """The Markdown about the runs at ``paths``; InputError for what is not a run or is damaged."""
    return markdown_page(read_runs(paths))


def markdown_page(runs: Sequence[Run]) -> str:
    """All runs, one after another."""
    lines = [f"{MARK.decode()} {__version__})", ""]
    for run in runs:
        with naming(run):
            lines += _run(run)
    return "\n".join(lines).rstrip() + "\n"


def _run(run: Run) -> Iterator[str]:
    yield from (f"### {escape(headline(run))}", "")
    if run.kind == "pipeline":
        yield from _table(tables.ladder_table(run))
        yield from (escape(tables.noise_line(run)), "")
        for line in filter(None, (tables.error_line(run), *device_lines(run))):
            yield from (escape(line), "")
        stages = tables.stage_table(run)
        yield from _table(stages) if stages else ("No stage times: no level holds.", "")
        if proofs := tables.proof_table(run):
            yield from _table(proofs)
        if device := device_table(run):
            yield from _table(device)
        if not run.amdahl.empty:
            yield from _table(tables.amdahl_table(run))
            for note in tables.amdahl_notes(run):
                yield from (escape(note), "")
        yield from _break_even(run)
    if run.kind == "compare":
        yield from _table(tables.comparison_table(run))
        yield from (escape(f"A verdict says {VERDICT_RULE}."), "")
    if run.kind != "pipeline":
        yield from _table(tables.rates_table(run)) if len(run.kernel_rates) else ("No kernel was timed.", "")
        yield from (escape(f"Intervals: {INTERVAL_RULE}."), "")
        if line := tables.clock_line(run):
            yield from (escape(line), "")
    if run.kind == "bench":
        yield from ("Medians, without verdicts and noise floor: chaindp compare gives both.", "")
    problems = tables.problem_table(run)
    yield from _table(problems) if problems else ("Nothing failed and nothing was skipped.", "")
    yield from (escape("; ".join(f"{name}: {text}" for name, text in facts(run))), "")


def _break_even(run: Run) -> Iterator[str]:
    """What backends that were asked for gained, what their transfers cost, from which batch on they win."""
    for line in gain_lines(run.frame, costs=False):
        yield from (escape(f"{line}."), "")
    costs = tables.kernel_cost_table(run)
    yield from _table(costs) if costs else ()
    if found := breakeven.break_even(run.frame):
        yield from _table(tables.break_even_table(found))
        yield from (escape(breakeven.BREAK_EVEN), "")
    if found or costs:
        for reason in breakeven.why_not(run.frame):
            yield from (escape(f"Break-even: {reason}."), "")


def _table(table: Table) -> Iterator[str]:
    yield from (f"**{escape(table.title)}**", "")
    yield _row(table.columns)
    yield _row(["--:" if column in table.right else ":--" for column in table.columns], raw=True)
    yield from (_row(row) for row in table.rows)
    yield ""


def _row(cells: Sequence[str], *, raw: bool = False) -> str:
    return "| " + " | ".join(cell if raw else escape(cell) for cell in cells) + " |"


def escape(text: str) -> str:
    """Text as Markdown shows it as it is: on one line, and without anything that would be markup."""
    line = _SPECIAL.sub(lambda match: "\\" + match[0], " ".join(text.split()))
    # A number or a dash at the start would begin a list.
    return re.sub(r"^(\d+)([.)])(?=\s|$)|^([-+=])", lambda m: f"{m[1]}\\{m[2]}" if m[1] else f"\\{m[3]}", line)
