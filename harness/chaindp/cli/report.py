"""``chaindp report``: runs as a page, or as Markdown."""

from __future__ import annotations

from pathlib import Path

import click

from chaindp.cli import output
from chaindp.errors import UsageError

HTML, MARKDOWN = Path("report.html"), Path("report.md")


@click.command()
@click.argument("runs", metavar="RUN...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--out", type=click.Path(path_type=Path), default=None, help=f"The file.  [default: {HTML} or {MARKDOWN}]"
)
@click.option("--markdown", is_flag=True, help="Markdown instead of HTML; `--out -` prints it.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout.")
def report(runs: tuple[Path, ...], out: Path | None, markdown: bool, as_json: bool) -> int:
    """Write one file about one or more runs: what was found, charts, tables, failures, provenance.

    RUN is the folder that `chaindp run`, `bench` or `compare` wrote. The HTML file holds all that it shows and needs no
    network. An existing file is replaced only where it is such a report.
    """
    path = out or (MARKDOWN if markdown else HTML)
    if str(path) == "-":
        if not markdown or as_json:
            raise UsageError("--out - prints Markdown: it goes with --markdown and without --json")
        from chaindp.report.markdown import markdown_report

        click.echo(markdown_report(runs), nl=False)
        return 0
    if markdown:
        from chaindp.report.markdown import write_markdown

        size, names = write_markdown(runs, path)
        charts = 0
    else:
        from chaindp.report.html import write_report

        written = write_report(runs, path)
        size, names, charts = written.bytes, written.runs, written.charts
    if as_json:
        output.emit({"path": str(path), "bytes": size, "charts": charts, "runs": list(names)})
    else:
        click.echo(f"{path}: {size / 1e6:.2f} MB" + (f", {charts} charts" if charts else ""))
    return 0
