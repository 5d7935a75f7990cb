"""``chaindp replay``: a bundle's run again, on this machine."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from chaindp.cli import output
from chaindp.cli.comparisons import print_comparisons
from chaindp.errors import ChaindpError, CheckFailed, InputError, UsageError

if TYPE_CHECKING:
    import pandas as pd

    from chaindp.measure.verdict import Comparison
    from chaindp.plugins import Registry
    from chaindp.results.replay import Difference

_DISTRIBUTION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9.!+_-]{0,99}")


@click.command()
@click.argument("source", metavar="BUNDLE", type=click.Path(path_type=Path))
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=None,
    help="Where the run folder goes.  [default: results/runs]",
)
@click.option("--seal", metavar="HEX", help="The seal that the bundle must have.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout.")
def replay(source: Path, out: Path | None, seal: str | None, as_json: bool) -> int:
    """Run a bundle again here, and compare.

    Results must be the same: the workload's digest, the roots and hashes of every level and repetition, every output.
    What is not is a failure, and exit status 1. Speeds are compared with a verdict, and whatever differs between the
    machines is listed; neither is a failure.
    """
    from chaindp.plugins import load_plugins
    from chaindp.results.bundle import open_bundle, unpack_bundle
    from chaindp.results.command import command_of
    from chaindp.results.compare import compare_runs
    from chaindp.results.replay import environment_differences, result_differences
    from chaindp.results.store import DEFAULT_RUNS, check_folder, load

    sealed = open_bundle(source, seal=seal)
    try:
        command = command_of(sealed.run)
    except InputError as error:
        raise InputError(f"{source} cannot be replayed: {error}") from error
    with tempfile.TemporaryDirectory(prefix="chaindp-replay-") as scratch:
        then = load(unpack_bundle(sealed, Path(scratch) / sealed.run_id))
    compared = _has_figures(source, then)
    _require(sealed.run, load_plugins(lambda line: None))
    folder = out or DEFAULT_RUNS
    check_folder(folder)
    print(f"running {shlex.join(command)}", file=sys.stderr)
    ended = _run(command, folder)
    now = load(ended["path"])
    failures = result_differences(then, now)
    if ended["status"] and not failures:
        failures = [f"the command ended with status {ended['status']}"]
    rows: list[Comparison] = []
    if compared:
        try:
            rows = compare_runs(then, now, names=("then", "now"))
        except InputError as error:
            failures.append(f"no speed to compare: {error}")
    differs = environment_differences(then.attrs["run"], now.attrs["run"])
    document = {
        "run_id": ended["run_id"],
        "path": str(ended["path"]),
        "bundle": str(source),
        "seal": sealed.seal,
        "replayed": sealed.run_id,
        "command": command,
        "rows": [row.row() for row in rows],
        "differs": [difference.row() for difference in differs],
        "failures": failures,
        "holds": not failures,
    }
    if as_json:
        output.emit(document)
    else:
        _print(document, rows, differs)
    return 1 if failures else 0


def _has_figures(source: Path, then: pd.DataFrame) -> bool:
    """Whether the bundle's table has speeds to compare with; InputError where it is no table of a run."""
    from chaindp.results.compare import series_of

    try:
        found = list(series_of(then))
        if not found and (then["metric"] == "work").any():
            raise LookupError("work of kernels, and no time for it")
        return any(len(series.values) for series in found)
    except (ArithmeticError, LookupError, TypeError, ValueError) as error:
        raise InputError(f"{source} cannot be replayed: its table is not one that a run writes ({error})") from error


def _require(run: Mapping[str, Any], registry: Registry) -> None:
    """UsageError where a backend, kernel or workload that the run asked for is not here, naming where it came from."""
    from chaindp.results.command import names_used

    here = {"backend": registry.backends, "kernel": registry.kernels, "workload": registry.workloads}
    for what, names in names_used(run).items():
        for name in names:
            if name not in here[what]:
                raise UsageError(
                    f"the run used {what} {ascii(name)[1:-1]}, which is not here: {_source(run, what, name)}"
                )


def _source(run: Mapping[str, Any], what: str, name: str) -> str:
    """How to get what is missing, as far as the run's provenance says."""
    environment = run.get("environment")
    plugins = environment.get("plugins") if isinstance(environment, dict) else None
    for row in plugins if isinstance(plugins, list) else []:
        provided = row.get(f"{what}s") if isinstance(row, dict) else None
        if isinstance(provided, list) and name in provided:
            distribution, version = str(row.get("distribution")), str(row.get("version"))
            # It may be a stranger's bundle, and what it says ends up in a command to type.
            if _DISTRIBUTION.fullmatch(distribution) and _VERSION.fullmatch(version):
                return f"it was of {distribution} {version}; install that first"
    return "the bundle does not say which distribution has it; install the plugin first ('chaindp plugins' lists them)"


def _run(command: Sequence[str], out: Path) -> dict[str, Any]:
    """Run the command in a process of its own: the run's id, the path of its folder, and the exit status, 0 or 1.

    UsageError or CheckFailed, with what it said, where it left no run.
    """
    # -P: with -m alone, Python would import from the current folder first, which is where strangers' files arrive.
    words = [sys.executable, "-P", "-m", "chaindp", *_before_arguments(command, f"--out={out}", "--json")]
    # On a terminal the command shows its own progress; elsewhere its warnings follow, and its error is raised here.
    shown = sys.stderr.isatty()
    try:
        done = subprocess.run(words, stdout=subprocess.PIPE, stderr=None if shown else subprocess.PIPE, check=False)
    except OSError as error:
        raise CheckFailed(f"the command does not start: {error.strerror}") from error
    for line in (done.stderr or b"").decode(errors="replace").splitlines():
        if not line.startswith("chaindp: error: "):
            print(line, file=sys.stderr)
    try:
        document = json.loads(done.stdout)
    except ValueError:
        document = {}
    if done.returncode in (0, 1) and isinstance(document.get("path"), str) and "run_id" in document:
        return {"run_id": document["run_id"], "path": Path(document["path"]), "status": done.returncode}
    reason = document.get("error", f"it ended with status {done.returncode} and printed no result")
    kind: type[ChaindpError] = UsageError if done.returncode == 2 else CheckFailed
    raise kind(f"the bundle's command does not run here: {reason}")


def _before_arguments(command: Sequence[str], *options: str) -> list[str]:
    """The command's words after ``chaindp``, with further options right after its name."""
    return [command[1], *options, *command[2:]]


def _print(document: dict[str, Any], rows: Sequence[Comparison], differs: Sequence[Difference]) -> None:
    print_comparisons("Speed, now against then", rows, ("then", "now"), "speed now / then")
    if differs:
        cells = [
            [one.what, "-" if one.then is None else one.then, "-" if one.now is None else one.now] for one in differs
        ]
        output.table("What differs", ("what", "then", "now"), cells)
    for failure in document["failures"]:
        click.echo(f"NOT THE SAME: {failure}")
    others = len(document["failures"])
    verdict = "1 result is not the same" if others == 1 else f"{others} results are not the same"
    verdict = "every result is the same" if document["holds"] else verdict
    click.echo(f"run {document['replayed']} again, as {document['run_id']}: {verdict}")
    click.echo(f"samples: {document['path']}")
