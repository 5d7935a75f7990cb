"""``chaindp compare``: two stored runs, two backends, or two revisions of a plugin."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from chaindp.cli import output
from chaindp.cli.comparisons import pair_rules, print_comparisons
from chaindp.cli.params import FiniteRange
from chaindp.errors import UsageError

if TYPE_CHECKING:
    from chaindp.bench.pairs import PairPlan, PairResult
    from chaindp.bench.sides import Side
    from chaindp.measure.verdict import Comparison
    from chaindp.plugins import Registry

LAUNCHES = 5
"""Processes started for each revision: the same code runs at different speed from one start to the next."""


@click.command()
@click.argument("items", metavar="[A B | KERNEL...]", nargs=-1, required=True)
@click.option("--backends", metavar="A,B", help="Compare two backends, now; `--backends cpu,cpu` shows the noise.")
@click.option("--revisions", metavar="A,B", help="Compare two git revisions of a plugin; `worktree` is one, too.")
@click.option(
    "--plugin",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(),
    help="The plugin's folder, for --revisions.  [default: the current one]",
)
@click.option("--size", "sizes", type=click.IntRange(min=1), multiple=True, help="Input size; repeatable.")
@click.option("--rounds", type=click.IntRange(1, 100_000), default=150, show_default=True, help="Rounds at most.")
@click.option(
    "--seconds",
    type=FiniteRange(0.0, 86_400.0),
    default=6.0,
    show_default=True,
    help="No further round of a kernel and size after this long.",
)
@click.option(
    "--launches",
    type=click.IntRange(1, 100),
    default=None,
    help="Portions of the rounds, each with sides opened anew.  [default: 1; 5 for revisions, which are processes]",
)
@click.option(
    "--threads", type=click.IntRange(1, 4096), default=None, help="Host threads at most.  [default: the CPU count]"
)
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), default=0, show_default=True, help="Seed of all input.")
@click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False), default=None, help="Where the run folder goes."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout.")
def compare(
    items: tuple[str, ...],
    backends: str | None,
    revisions: str | None,
    plugin: Path,
    sizes: tuple[int, ...],
    rounds: int,
    seconds: float,
    launches: int | None,
    threads: int | None,
    seed: int,
    out: Path | None,
    as_json: bool,
) -> int:
    r"""Say whether B is faster than A, by how much, and how sure that is.

    \b
    chaindp compare RUN_A RUN_B                        two stored runs
    chaindp compare --backends A,B KERNEL...           two backends, measured now in interleaved pairs
    chaindp compare --revisions A,B --plugin DIR --backends NAME KERNEL...

    The ratio is how many times as fast B is as A. It comes with its 99 % interval and with the noise floor: what
    A shows against itself. Figures of different time domains are never ranked. Exit status 0 where every row has a
    verdict, `insufficient data` included; 1 where one has none, because a side failed or is of another time domain.
    """
    if backends is None and revisions is None:
        return _stored(items, seed, as_json)
    from chaindp.bench.pairs import PairPlan

    launches = launches or (1 if revisions is None else LAUNCHES)
    plan = PairPlan(rounds=rounds, seconds=seconds, seed=seed, launches=launches)
    names = _two(backends, "--backends") if revisions is None else _one(backends)
    pair = None if revisions is None else _two(revisions, "--revisions")
    return _measured(items, names, pair, plugin, sizes, plan, threads or os.cpu_count() or 1, out, as_json)


def _two(text: str | None, option: str) -> tuple[str, str]:
    parts = [part.strip() for part in (text or "").split(",")]
    if len(parts) != 2 or not all(parts):
        raise UsageError(f"{option} is {text!r}; it takes two names with a comma between them")
    return parts[0], parts[1]


def _one(text: str | None) -> tuple[str, str]:
    if not text or "," in text:
        raise UsageError("--revisions compares one backend with itself: name it with --backends NAME")
    return text, text


def _stored(items: Sequence[str], seed: int, as_json: bool) -> int:
    from chaindp.results.compare import compare_runs, differing_work
    from chaindp.results.store import load

    if len(items) != 2:
        raise UsageError(
            f"compare takes two run folders, and {len(items)} {'was' if len(items) == 1 else 'were'} given; "
            "or kernels, with --backends A,B"
        )
    frames = load(items[0]), load(items[1])
    notes = differing_work(frames[0].attrs["run"], frames[1].attrs["run"])
    if Path(items[0]).resolve() == Path(items[1]).resolve():
        notes.append("A and B are the same run")
    rows = compare_runs(*frames, names=("A", "B"), seed=seed)
    document = {"a": items[0], "b": items[1], "notes": notes, "rows": [row.row() for row in rows]}
    return _finish(rows, document, [], as_json, [f"A is {items[0]}, B is {items[1]}", *notes])


def _measured(
    kernels: Sequence[str],
    names: tuple[str, str],
    revisions: tuple[str, str] | None,
    plugin: Path,
    sizes: Sequence[int],
    plan: PairPlan,
    threads: int,
    out: Path | None,
    as_json: bool,
) -> int:
    from chaindp.bench.inputs import check_fits
    from chaindp.bench.pairs import compare_sides
    from chaindp.bench.sides import Job
    from chaindp.measure.system import system_warnings
    from chaindp.plugins import load_plugins, select
    from chaindp.results.store import DEFAULT_RUNS, check_folder, new_run_id, write_run
    from chaindp.results.table import SampleTable

    registry = load_plugins(output.warn)
    specs = [select(registry.kernels, name, "kernel", registry.broken) for name in dict.fromkeys(kernels)]
    jobs = [Job(spec.name, size, plan.seed) for spec in specs for size in sizes or _usual_size(spec.sizes)]
    for job in jobs:
        check_fits(registry, registry.kernels[job.kernel], job.size, 8)
    if revisions is None:
        for name in names:
            registry.backend_spec(name)
    folder = out or DEFAULT_RUNS
    check_folder(folder)
    run_id = new_run_id()
    table = SampleTable(run_id)
    warnings = system_warnings()
    results: list[PairResult] = []
    with (
        _opener(registry, names, revisions, plugin, threads) as (open_sides, commits),
        output.progress("compare", len(jobs) * plan.launches) as advance,
    ):
        for job in jobs:
            unit = registry.kernels[job.kernel].unit
            results.append(compare_sides(open_sides, job, plan, table, unit, advance))
    rows = [row for result in results for row in result.comparisons]
    problems = [
        f"{result.job.kernel}/{result.job.size}: {result.failed or result.skipped}"
        for result in results
        if result.failed or result.skipped
    ]
    unstable = [
        f"warm-up: times of {label} for {result.job.kernel}/{result.job.size} had not become stable"
        for result in results
        for label in dict.fromkeys(result.unstable)
    ]
    found = {"a": names[0], "b": names[1], "revisions": commits, "rows": [row.row() for row in rows]}
    asked = {"kernels": list(kernels), "backends": list(names), "sizes": list(sizes), "threads": threads}
    path = None
    if not all(result.skipped for result in results):
        run = {"run_id": run_id, "kind": "compare", "config": {**asdict(plan), **asked}, **pair_rules(), **found}
        run |= {"failures": problems, "environment": _environment(registry)}
        path = write_run(folder / run_id, table.frame(), run)
    for problem in problems:
        output.warn(problem)
    document = {**found, "run_id": run_id, "path": None if path is None else str(path)}
    document |= {"failures": problems, "warnings": [*unstable, *warnings]}
    notes = [*unstable, *(f"machine: {line}" for line in warnings)]
    notes.append("nothing was measured" if path is None else f"samples: {path}")
    return _finish(rows, document, problems, as_json, notes)


def _usual_size(sizes: Sequence[int]) -> Sequence[int]:
    """The middle one of a kernel's sizes."""
    return [sorted(sizes)[len(sizes) // 2]] if sizes else [1]


def _environment(registry: Registry) -> dict[str, object]:
    from chaindp.measure.environment import collect

    return collect(registry=registry, warn=output.warn)


@contextmanager
def _opener(
    registry: Registry, names: tuple[str, str], revisions: tuple[str, str] | None, plugin: Path, threads: int
) -> Any:
    """A function that opens A, B and the second A, and the commits that they are of."""
    if revisions is None:
        from chaindp.bench.inputs import LastInputs

        last = LastInputs()

        def open_local() -> list[Side]:
            return _open_all(lambda name: _local(registry, name, threads, last), (names[0], names[1], names[0]))

        yield open_local, None
        return
    from chaindp.bench.revisions import build_revision
    from chaindp.bench.sides import WorkerSide

    with tempfile.TemporaryDirectory(prefix="chaindp-revisions-") as scratch:
        built = []
        for index, name in enumerate(revisions):
            folder = Path(scratch) / "ab"[index]
            folder.mkdir()
            built.append(build_revision(plugin, name, folder, say=_say))
        labels = [f"{names[0]}@{one.label}" for one in built]

        def open_workers() -> list[Side]:
            return _open_all(
                lambda index: WorkerSide(built[index].packages, names[0], threads, labels[index]), (0, 1, 0)
            )

        yield open_workers, [one.commit for one in built]


def _local(registry: Registry, name: str, threads: int, last: Any) -> Side:
    from chaindp.bench.sides import LocalSide

    return LocalSide(registry, name, threads, last=last)


def _say(line: str) -> None:
    click.echo(line, err=True)


def _open_all(open_one: Callable[[Any], Side], items: Sequence[Any]) -> list[Side]:
    """All sides, or none where one does not open."""
    with ExitStack() as opened:
        sides = []
        for item in items:
            side = open_one(item)
            opened.callback(side.close)
            sides.append(side)
        opened.pop_all()
    return sides


def _finish(
    rows: Sequence[Comparison], document: dict[str, Any], problems: Sequence[str], as_json: bool, notes: Sequence[str]
) -> int:
    refused = [row for row in rows if row.verdict is None]
    if as_json:
        output.emit(document)
    else:
        print_comparisons("B against A", rows, ("A", "B"), "speed of B / A", named=True)
        for note in notes:
            click.echo(note)
    return 1 if refused or problems else 0
