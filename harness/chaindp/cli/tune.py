"""``chaindp tune``: the tuning of a backend's kernels that is fastest on this device."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from chaindp.cli import output
from chaindp.cli.comparisons import pair_rules
from chaindp.cli.params import FiniteRange
from chaindp.errors import UsageError

if TYPE_CHECKING:
    from chaindp.bench.tune import KernelTuning, TunePlan
    from chaindp.measure.verdict import Comparison
    from chaindp.plugins import Registry


@click.command()
@click.argument("backend", metavar="BACKEND[:DEVICE]")
@click.option(
    "--kernel",
    "kernels",
    metavar="NAME",
    multiple=True,
    help="Kernel to tune; repeatable.  [default: all that the backend can tune]",
)
@click.option("--size", type=click.IntRange(min=1), default=None, help="Input size.  [default: the kernel's largest]")
@click.option(
    "--threads", type=click.IntRange(1, 4096), default=None, help="Host threads at most.  [default: the CPU count]"
)
@click.option(
    "--seconds",
    type=FiniteRange(0.0, 86_400.0),
    default=20.0,
    show_default=True,
    help="About how long, for each kernel: half of it to search, half of it to compare.",
)
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), default=0, show_default=True, help="Seed of all input.")
@click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False), default=None, help="Where the run folder goes."
)
@click.option("--forget", is_flag=True, help="Drop what was stored for the device, and end.")
@click.option("--dry-run", is_flag=True, help="Measure, and store nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout.")
def tune(
    backend: str,
    kernels: tuple[str, ...],
    size: int | None,
    threads: int | None,
    seconds: float,
    seed: int,
    out: Path | None,
    forget: bool,
    dry_run: bool,
    as_json: bool,
) -> int:
    """Find the tuning of each kernel that is fastest on a device, and store it where it is faster.

    The backend proposes; every candidate runs here, on a large input, and one that fails or returns something else
    than the reference is out. The best is then compared, in interleaved pairs, with what the device has now, and stored
    where the verdict is `faster`. Exit status 0 where every kernel has a candidate that works, whether anything was
    stored or not; 1 where one has none, a comparison failed, or a choice cannot be stored.
    """
    from chaindp.bench.tune import TunePlan
    from chaindp.plugins import load_plugins

    registry = load_plugins(output.warn)
    if forget:
        if kernels or dry_run:
            raise UsageError(
                "--forget drops all that was stored for the device; it takes neither --kernel nor --dry-run"
            )
        return _forget(registry, backend, as_json)
    plan = TunePlan(
        backend=backend,
        kernels=list(dict.fromkeys(kernels)),
        size=size,
        threads=threads or os.cpu_count() or 1,
        seconds=seconds,
        seed=seed,
        dry_run=dry_run,
    )
    return _tune(registry, plan, out, as_json)


def _forget(registry: Registry, backend: str, as_json: bool) -> int:
    from chaindp.bench.tune import forget_tunings

    forgotten = forget_tunings(registry, backend)
    if as_json:
        output.emit({"backend": backend, "forgotten": forgotten, "rows": []})
    else:
        click.echo(f"{backend}: " + ("dropped what was stored" if forgotten else "nothing was stored"))
    return 0


def _tune(registry: Registry, plan: TunePlan, out: Path | None, as_json: bool) -> int:
    from chaindp.bench.tune import plan_tasks, run_tune
    from chaindp.measure.environment import collect
    from chaindp.measure.system import system_warnings
    from chaindp.results.store import DEFAULT_RUNS, check_folder, new_run_id, write_run
    from chaindp.results.table import SampleTable

    tasks = plan_tasks(registry, plan)
    folder = out or DEFAULT_RUNS
    check_folder(folder)
    run_id = new_run_id()
    table = SampleTable(run_id)
    warnings = system_warnings()
    with output.progress("tune", sum(task.steps for task in tasks)) as advance:
        results = run_tune(registry, plan, tasks, table, advance=advance, warn=output.warn)
    rows = [result.row() for result in results]
    run = {"run_id": run_id, "kind": "tune", "config": asdict(plan), "rows": rows, **_rules()}
    run |= {"environment": collect(registry=registry, warn=output.warn)}
    path = write_run(folder / run_id, table.frame(), run)
    for result in results:
        if result.failed or result.unstored:
            output.warn(f"{result.task.spec.name}/{result.task.size}: {result.failed or result.unstored}")
    if as_json:
        output.emit({"run_id": run_id, "path": str(path), "backend": plan.backend, "rows": rows, "warnings": warnings})
    else:
        _print(results, plan)
        for line in warnings:
            click.echo(f"machine: {line}")
        click.echo(f"samples: {path}")
    return 1 if any(result.failed or result.unstored for result in results) else 0


def _rules() -> dict[str, str]:
    from chaindp.bench.search import SEARCH_RULE

    return {"search": SEARCH_RULE, **pair_rules()}


def _print(results: Sequence[KernelTuning], plan: TunePlan) -> None:
    from chaindp.bench.tune import show_tuning

    rows: list[Sequence[Any]] = []
    for result in results:
        rows.append(
            [
                result.task.spec.name,
                result.task.size,
                f"{result.tried} of {len(result.task.candidates)}",
                len(result.out),
                "" if result.best is None else show_tuning(result.best),
                *_compared(result)[0],
            ]
        )
        rows += [["", "", "", "", "", *cells] for cells in _compared(result)[1:]]
    figures = ("speed ratio", "99 % interval", "noise floor")
    columns = ("kernel", "size", "tried", "out", "best found", "compared with", *figures, "verdict")
    device = results[0].device.summary
    output.table(
        f"Tunings of {plan.backend} ({device}), threads: {plan.threads}",
        columns,
        rows,
        right=("size", "tried", "out", *figures),
    )
    for result in results:
        for line in _notes(result, plan):
            click.echo(f"{result.task.spec.name}: {line}")


def _compared(result: KernelTuning) -> list[tuple[str, str, str, str, str]]:
    """What the best one was compared with, figures and verdict: a line for each comparison, or one that has none."""
    from chaindp.bench.tune import show_tuning

    default = f"default: {show_tuning(result.task.candidates[0])}"
    stored = f"stored: {show_tuning(result.had)}" if result.had is not None else default
    lines = []
    if result.before:
        lines.append((stored, *_figures(result.before[0])))
    elif result.best is not None and result.best == result.had:
        lines.append((stored, "", "", "", "the same"))
    if result.against_default and result.against_default is not result.before:
        lines.append((default, *_figures(result.against_default[0])))
    elif result.best is not None and result.best == result.task.candidates[0] and result.had != result.best:
        lines.append((default, "", "", "", "the same"))
    return lines or [("", "", "", "", "failed" if result.failed else "it works")]


def _figures(found: Comparison) -> tuple[str, str, str, str]:
    """Ratio, interval, noise floor and verdict, as ``chaindp compare`` shows them."""
    ratio = "" if found.ratio is None else f"{found.ratio:.3g}"
    interval = "" if found.low is None else f"{found.low:.3g} to {found.high:.3g}"
    return ratio, interval, "" if found.noise_floor is None else f"{found.noise_floor:.1%}", found.verdict or ""


def _notes(result: KernelTuning, plan: TunePlan) -> list[str]:
    from chaindp.bench.tune import show_tuning

    lines = [f"out: {show_tuning(tuning)}: {reason}" for tuning, reason in result.out]
    untried = len(result.task.candidates) - result.tried
    if untried:
        lines.append(f"{untried} candidates were not tried: the time was over (--seconds {plan.seconds:g})")
    lines += [
        f"times of {label} had not become stable when it was compared" for label in dict.fromkeys(result.unstable)
    ]
    if result.before_failed:
        lines.append(f"what the device has now does not work: {result.before_failed}")
    if result.failed:
        lines.append(f"failed: {result.failed}")
    elif result.unstored:
        lines.append(f"not kept: {result.unstored}")
    elif result.stored:
        lines.append(f"stored: {show_tuning(result.chosen or {})} in {result.stored}")
    elif result.chosen is not None:
        lines.append(f"not stored, because of --dry-run: {show_tuning(result.chosen)}")
    elif result.forgotten:
        done = "would be dropped without --dry-run" if plan.dry_run else "was dropped"
        lines.append(f"what was stored {done}, and the default takes its place: nothing was found to be faster")
    else:
        lines.append("nothing stored: the best one is not faster than what the device has now, which stays")
    return lines
