"""``chaindp conform``: the conformance suite on one backend."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from chaindp.cli import output
from chaindp.cli.params import FiniteRange
from chaindp.plugins import load_plugins, select

if TYPE_CHECKING:
    from chaindp.testing.session import ConformanceResult


@click.command()
@click.argument("backend", metavar="BACKEND[:DEVICE]")
@click.option(
    "--kernel", "kernels", metavar="NAME", multiple=True, help="Kernel to test; repeatable.  [default: all that exist]"
)
@click.option(
    "--budget",
    type=FiniteRange(min=0.1, max=86400),
    default=10.0,
    show_default=True,
    metavar="S",
    help="About how many seconds the open-ended tests of each kernel may take: a larger one compares more outputs.",
)
@click.option(
    "--threads", type=click.IntRange(1, 4096), default=None, help="Host threads at most.  [default: the CPU count]"
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout.")
def conform(backend: str, kernels: tuple[str, ...], budget: float, threads: int | None, as_json: bool) -> int:
    """Run the conformance suite on one backend: its contract, and every kernel that it declares in full.

    The same tests as the classes of chaindp.testing, which a plugin's own test module inherits from. A kernel that the
    backend does not declare is skipped with what it says, and fails where --kernel names it. Anything that does not
    hold is told in one sentence, and the exit status is 1.
    """
    registry = load_plugins(output.warn)
    # A kernel that is composed of others is nothing of the backend's: theirs are tested.
    declared, _ = registry.backend_spec(backend)
    own = [name for name, spec in registry.kernels.items() if spec.compose is None or declared.supports(name)]
    names = list(dict.fromkeys(kernels or own))
    for name in names:
        select(registry.kernels, name, "kernel", registry.broken)

    from chaindp.testing.session import conformance_suite, count_tests, run_suite

    threads = threads or os.cpu_count() or 1
    total = count_tests(conformance_suite(registry, backend, names, budget_s=budget, threads=threads))
    with output.progress("conform", total) as advance:
        result = run_suite(
            registry, backend, names, budget_s=budget, threads=threads, required=kernels, advance=advance
        )
    if as_json:
        output.emit(result.to_dict())
    else:
        _print(result)
    return 0 if result.holds else 1


def _print(result: ConformanceResult) -> None:
    whole = {skip.kernel: skip.reason for skip in result.skips if skip.test is None}
    rows = []
    for name, tally in result.tallies.items():
        verdict = "FAILED" if tally.failed else "ok" if tally.passed else "skipped"
        compared = f"{result.compared[name]:,}" if name in result.compared else ""
        rows.append([name, tally.passed, tally.failed, tally.skipped, compared, verdict, whole.get(name, "")])
    columns = ("kernel", "passed", "failed", "skipped", "outputs compared", "verdict", "reason")
    output.table(f"Conformance of {result.backend}", columns, rows, right=columns[1:5])
    for skip in result.skips:
        if skip.test is not None:
            click.echo(f"skipped {skip.kernel or 'backend'}: {skip.test}: {skip.reason}")
    for failure, more in result.grouped():
        also = f" (also in {more} more test{'s' if more > 1 else ''})" if more else ""
        click.echo(f"FAILED {failure.kernel or 'backend'}: {failure.test}: {failure.reason}{also}")
    for note in result.notes:
        click.echo(f"note {note}")
    counts = result.to_dict()
    click.echo(f"{counts['passed']} passed, {counts['failed']} failed, {counts['skipped']} skipped")
