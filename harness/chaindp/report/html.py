"""The page: one HTML file that holds all it needs, and that a browser opens without asking the network for anything.

Bokeh draws the charts; its JavaScript lies in its wheel and is written into the page. A content security policy lets
the browser run these scripts, by their digests, and nothing else: no text of a run can become code.
"""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bokeh
import jinja2
from bokeh.document import Document
from bokeh.embed import components
from markupsafe import Markup

from chaindp import __version__
from chaindp.files import refuse_others, write_over_own
from chaindp.report.charts.runs import runs_charts
from chaindp.report.page import charts_of, run_report
from chaindp.report.parts import RunReport
from chaindp.report.sources import Run, naming, read_runs

__all__ = ["MARK", "Written", "html_page", "write_report"]

MARK = b'<meta name="generator" content="chaindp'
"""What tells a report from any other HTML file."""

WHAT = "chaindp report"

_HERE = Path(__file__).resolve().parent
_BOKEH_JS = Path(bokeh.__file__).parent / "server" / "static" / "js" / "bokeh.min.js"


@dataclass(frozen=True, slots=True)
class Written:
    """A report on disk."""

    path: Path
    bytes: int
    charts: int
    runs: tuple[str, ...]


def write_report(paths: Sequence[str | os.PathLike[str]], out: Path) -> Written:
    """Write the page about the runs at ``paths`` to ``out``, in one step.

    Raises InputError for what is not a run or is damaged; UsageError where ``out`` cannot be written, or is a file
    that is no report.
    """
    refuse_others(out, MARK, WHAT)
    runs = read_runs(paths)
    page, charts = html_page(runs)
    content = page.encode()
    write_over_own(out, content, MARK, WHAT)
    return Written(out, len(content), charts, tuple(run.label for run in runs))


def html_page(runs: Sequence[Run]) -> tuple[str, int]:
    """The page as text, and how many charts it has."""
    reports = []
    for run in runs:
        with naming(run):
            reports.append(run_report(run))
    together = runs_charts(runs)
    figures: dict[str, Any] = {f"runs-{index}": chart.figure for index, chart in enumerate(together)}
    for number, report in enumerate(reports):
        figures |= {f"run{number}-{name}": chart.figure for name, chart in charts_of(report)}
    script, divs = _embedded(figures)
    scripts = [_BOKEH_JS.read_text(encoding="utf-8"), script] if figures else []
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_HERE), autoescape=True, trim_blocks=True, lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )  # fmt: skip
    page = environment.get_template("page.html.jinja").render(
        version=__version__,
        title=_title(reports),
        policy="; ".join(_policy(scripts)),
        css=Markup((_HERE / "page.css").read_text(encoding="utf-8")),
        scripts=[Markup(text) for text in scripts],
        together=together,
        reports=reports,
        divs={name: Markup(div) for name, div in divs.items()},
    )
    return page, len(figures)


def _title(reports: Sequence[RunReport]) -> str:
    return f"chaindp: {reports[0].label}" if len(reports) == 1 else f"chaindp: {len(reports)} runs"


def _embedded(figures: dict[str, Any]) -> tuple[str, dict[str, str]]:
    """The script that draws all figures, and for each of them the element that it is drawn in."""
    if not figures:
        return "", {}
    document = Document()
    # Bokeh would walk all models again with every root that is added.
    with document.models.freeze():
        for picture in figures.values():
            document.add_root(picture)
    script, divs = components(figures, wrap_script=False)
    return script, divs


def _policy(scripts: Sequence[str]) -> list[str]:
    """What the browser may load: these scripts, styles and images of the page itself, and nothing from anywhere."""
    digests = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in scripts]
    sources = " ".join(f"'sha256-{digest}'" for digest in digests) or "'none'"
    return [
        "default-src 'none'", f"script-src {sources}", "style-src 'unsafe-inline'", "img-src data: blob:",
        "base-uri 'none'", "form-action 'none'",
    ]  # fmt: skip
