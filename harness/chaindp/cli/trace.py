"""``chaindp trace``: the pipeline of a run as a trace."""

from __future__ import annotations

from pathlib import Path

import click

from chaindp.cli import output
from chaindp.errors import UsageError

TRACE = Path("trace.json")


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "--out", type=click.Path(path_type=Path), default=TRACE, show_default=True, help="The file; `-` prints it."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout.")
def trace(run: Path, out: Path, as_json: bool) -> int:
    """Write which block was in which stage when, as a trace for ui.perfetto.dev or chrome://tracing.

    RUN is a folder that `chaindp run` wrote. Every level and repetition is a process, every stage a thread, every block
    a slice in it. An existing file is replaced only where it is such a trace.
    """
    from chaindp.report.trace import trace_bytes, write_trace

    if str(out) == "-":
        if as_json:
            raise UsageError("--out - prints the trace: it goes without --json")
        click.echo(trace_bytes(run)[0], nl=False)
        return 0
    written = write_trace(run, out)
    if as_json:
        document = {"path": str(written.path), "bytes": written.bytes, "processes": written.processes}
        output.emit(document | {"slices": written.slices, "events": written.events})
    else:
        click.echo(f"{written.path}: {written.slices:,} blocks in stages of {written.processes} passes")
    return 0
