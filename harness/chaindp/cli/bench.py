"""``chaindp bench``: kernels alone."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click

from chaindp.bench import BenchPlan, BenchResult, run_bench
from chaindp.bench.inputs import MEMORY_RULE
from chaindp.bench.simulated import SIMULATED_RULE
from chaindp.cli import output
from chaindp.cli.platforms import platform_options
from chaindp.measure.device_clock import DISAGREEMENT_RULE
from chaindp.measure.environment import collect
from chaindp.measure.platforms import platform_line, stated_platform
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
@platform_options
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
    clock_mhz: float | None,
    instances: int | None,
    link: str | None,
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

    A backend that simulates its device has a row of time domain cycles, which are exact, and one of time domain
    modelled: these cycles on the platform that --clock, --instances and --link state. The simulator's own speed stands
    apart (sim_hz), and no wall time is in these rows.
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
        platform=stated_platform(clock_mhz, instances, link),
    )
    stated = {"clock_mhz": clock_mhz, "instances": instances, "link": link}
    total = sum(
        len(plan.sizes or select(registry.kernels, name, "kernel", registry.broken).sizes or (1,))
        for name in plan.kernels
    )
    check_folder(out)
    run_id = new_run_id()
    with output.progress("bench", total * len(plan.backends)) as advance:
        result = run_bench(registry, plan, run_id, advance=advance, warn=output.warn)
    path = write_run(out / run_id, result.table.frame(), _provenance(registry, plan, run_id, stated))
    if as_json:
        output.emit({"run_id": run_id, "path": str(path), "rows": result.rows})
    else:
        _print(result, path)
    return 0 if result.holds else 1


def _provenance(registry: Registry, plan: BenchPlan, run_id: str, stated: Mapping[str, object]) -> dict[str, Any]:
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
            **stated,
        },
        "warm_up": WARM_UP_RULE,
        "memory": MEMORY_RULE,
        "outliers": OUTLIER_RULE,
        "disagreement": DISAGREEMENT_RULE,
        "simulated": SIMULATED_RULE,
        "environment": collect(registry=registry, warn=output.warn),
    }


_COLUMNS: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "ns/unit": lambda row: _figure(row["ns_per_unit"]),
    "quartiles": lambda row: _quartiles(row),
    "units/s": lambda row: _figure(row["units_per_s"]),
    "unit": lambda row: str(row.get("unit") or ""),
    "transfer": lambda row: _figure(row["transfer_ns"], 1e3, " us"),
    "wall/unit": lambda row: _figure(row["wall_ns_per_unit"]),
}
"""Columns of figures; an empty cell is one that there is no figure for."""

_SIMULATED: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "cycles/unit": lambda row: _figure(row.get("cycles_per_unit")),
    "latency": lambda row: _figure(row.get("latency_cycles")),
    "simulator": lambda row: _figure(row.get("sim_hz"), 1e6, " MHz"),
}
"""Columns that are there where a device is simulated: of the latency, cycles; the simulator's speed is the last."""


def _print(result: BenchResult, path: Path) -> None:
    simulated = any(row.get("cycles_per_unit") is not None for row in result.rows)
    figures = _COLUMNS | (_SIMULATED if simulated else {})
    rows = [
        [
            row["kernel"],
            row["backend"],
            row["time_domain"],
            row["size"],
            row["threads"],
            *(cell(row) for cell in figures.values()),
            row["status"],
            _remarks(row),
        ]
        for row in result.rows
    ]
    columns = ("kernel", "backend", "clock", "size", "threads", *figures, "status", "compared with / reason")
    right = ("size", "threads", *(name for name in figures if name != "unit"))
    output.table("Kernels", columns, rows, right=right)
    for line in dict.fromkeys(_platform(row) for row in result.rows if row.get("cycles_per_unit") is not None):
        click.echo(line)
    click.echo(f"samples: {path}")


def _figure(value: Any, size: float = 1.0, unit: str = "") -> str:
    return "" if value is None else f"{value / size:.4g}{unit}"


def _quartiles(row: Mapping[str, Any]) -> str:
    for name in ("ns_per_unit", "cycles_per_unit"):
        if row.get(f"{name}_q1") is not None:
            return f"{row[f'{name}_q1']:.4g}-{row[f'{name}_q3']:.4g}"
    return ""


def _platform(row: Mapping[str, Any]) -> str:
    """What the modelled figures of a backend stand on."""
    shown = platform_line(row)
    return f"{row['kernel']} on {row['backend']}, modelled: {shown}; quartiles are between inputs, and no noise"


def _remarks(row: Mapping[str, object]) -> str:
    """What a reader has to know of a row besides its figures; a disagreement of clocks comes first."""
    said = str(row["reason"] or row.get("compared_with") or "")
    return f"DISAGREEMENT: {row['disagreement']}; {said}" if row["disagreement"] else said
