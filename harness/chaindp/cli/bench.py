"""``chaindp bench``: kernels alone."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from chaindp.bench import BenchPlan, BenchResult, run_bench
from chaindp.bench.inputs import MEMORY_RULE
from chaindp.cli import output
from chaindp.measure.device_clock import DISAGREEMENT_RULE
from chaindp.measure.environment import collect
from chaindp.measure.statistics import OUTLIER_RULE
from chaindp.measure.warmup import WARM_UP_RULE
from chaindp.plugins import Registry, load_plugins, select
from chaindp.results.store import DEFAULT_RUNS, check_folder, new_run_id, write_run


@click.command()
@click.argument("kernels", metavar="KERNEL...", nargs=-1, required=True)
@click.option(
    "--backend",
    "backends",
    metavar="NAME[:DEVICE]",
    multiple=True,
    help="Backend to measure; repeatable.  [default: cpu]",
)
@click.option(
    "--size",
    "sizes",
    type=click.IntRange(min=1),
    multiple=True,
    help="Input size; repeatable.  [default: the kernel's own]",
)
@click.option(
    "--repeat",
    type=click.IntRange(1, 1_000_000),
    default=10,
    show_default=True,
    help="Repetitions, each with fresh input.",
)
@click.option(
    "--threads", type=click.IntRange(1, 4096), default=None, help="Host threads at most.  [default: the CPU count]"
)
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), default=0, show_default=True, help="Seed of all input.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=DEFAULT_RUNS,
    show_default=True,
    help="Where the run folder goes.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout.")
def bench(
    kernels: tuple[str, ...],
    backends: tuple[str, ...],
    sizes: tuple[int, ...],
    repeat: int,
    threads: int | None,
    seed: int,
    out: Path,
    as_json: bool,
) -> int:
    """Measure kernels alone: time of compute and of transfer, per unit of work; `all` means every kernel.

    Every repetition has fresh input, the order of the backends changes from repetition to repetition, and every
    output is compared in full: with backend cpu, cpu itself with cpu:scalar, and that one with the golden reference
    in plain Python. A kernel that a backend lacks is a row with status skipped; a wrong output is one with status
    failed, and exit status 1.

    A backend whose device has a clock of its own has a second row, of time domain device: compute and transfer by
    device events, the whole call on the wall clock beside them, and whatever makes these disagree.
    """
    registry = load_plugins(output.warn)
    if kernels == ("all",):
        kernels = tuple(registry.kernels)
    plan = BenchPlan(
        kernels=list(dict.fromkeys(kernels)),
        backends=list(dict.fromkeys(backends or ("cpu",))),
        sizes=list(dict.fromkeys(sizes)),
        repeat=repeat,
        threads=threads or os.cpu_count() or 1,
        seed=seed,
    )
    total = sum(
        len(plan.sizes or select(registry.kernels, name, "kernel", registry.broken).sizes or (1,))
        for name in plan.kernels
    )
    check_folder(out)
    run_id = new_run_id()
    with output.progress("bench", total * len(plan.backends)) as advance:
        result = run_bench(registry, plan, run_id, advance=advance, warn=output.warn)
    path = write_run(out / run_id, result.table.frame(), _provenance(registry, plan, run_id))
    if as_json:
        output.emit({"run_id": run_id, "path": str(path), "rows": result.rows})
    else:
        _print(result, path)
    return 0 if result.holds else 1


def _provenance(registry: Registry, plan: BenchPlan, run_id: str) -> dict[str, Any]:
    return {
        "run_id": run_id,
        "kind": "bench",
        "config": {
            "kernels": list(plan.kernels),
            "backends": list(plan.backends),
            "sizes": list(plan.sizes),
            "repeat": plan.repeat,
            "threads": plan.threads,
            "seed": plan.seed,
        },
        "warm_up": WARM_UP_RULE,
        "memory": MEMORY_RULE,
        "outliers": OUTLIER_RULE,
        "disagreement": DISAGREEMENT_RULE,
        "environment": collect(registry=registry, warn=output.warn),
    }


def _print(result: BenchResult, path: Path) -> None:
    columns = (
        "kernel",
        "backend",
        "clock",
        "size",
        "threads",
        "ns/unit",
        "quartiles",
        "units/s",
        "unit",
        "transfer",
        "wall/unit",
        "status",
        "compared with / reason",
    )
    rows = []
    for row in result.rows:
        timed = row["ns_per_unit"] is not None
        rows.append(
            [
                row["kernel"],
                row["backend"],
                row["time_domain"],
                row["size"],
                row["threads"],
                f"{row['ns_per_unit']:.4g}" if timed else "",
                f"{row['ns_per_unit_q1']:.4g}-{row['ns_per_unit_q3']:.4g}" if timed else "",
                f"{row['units_per_s']:.4g}" if row["units_per_s"] is not None else "",
                row.get("unit"),
                f"{row['transfer_ns'] / 1e3:.4g} us" if timed else "",  # type: ignore[operator]
                f"{row['wall_ns_per_unit']:.4g}" if timed else "",
                row["status"],
                _remarks(row),
            ]
        )
    figures = ("size", "threads", "ns/unit", "quartiles", "units/s", "transfer", "wall/unit")
    output.table("Kernels", columns, rows, right=figures)
    click.echo(f"samples: {path}")


def _remarks(row: Mapping[str, object]) -> str:
    """What a reader has to know of a row besides its figures; a disagreement of clocks comes first."""
    said = str(row["reason"] or row.get("compared_with") or "")
    return f"DISAGREEMENT: {row['disagreement']}; {said}" if row["disagreement"] else said
