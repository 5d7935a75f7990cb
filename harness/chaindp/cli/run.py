"""``chaindp run``: the pipeline over a workload, level by level."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from chaindp.cli import output
from chaindp.cli.params import FiniteRange
from chaindp.cli.platforms import platform_options

if TYPE_CHECKING:
    import pandas as pd

    from chaindp.pipeline.run import LevelOutcome, RunConfig, RunOutcome
    from chaindp.plugins import Registry
    from chaindp.results.summary import Summary
    from chaindp.results.table import SampleTable

PLOT = "ladder.png"
SUMMARY = "summary.txt"
SIZES = 9
"""Batch sizes a kernel that a progress bar expects of the break-even."""


@click.command()
@click.option("--workload", default="erc20", show_default=True, help="Which workload; 'chaindp plugins' lists them.")
@click.option("--levels", default="0-4", show_default=True, help="Degrees of parallelism: 3, 0-4 or 0,3,4.")
@click.option("--txs", type=int, default=10_000, show_default=True, help="Transactions in all.")
@click.option("--block-txs", type=int, default=1_000, show_default=True, help="Transactions a block at most.")
@click.option("--accounts", type=int, default=100_000, show_default=True, help="Funded accounts in the genesis.")
@click.option("--repeat", type=int, default=5, show_default=True, help="Repetitions, each with fresh transactions.")
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of everything random.")
@click.option("--zipf", type=float, default=0.0, show_default=True, help="Zipf exponent of the accounts; 0 is uniform.")
@click.option(
    "--conflict", type=float, default=0.0, show_default=True, help="Share of transactions to one hot account."
)
@click.option("--mode", default="live", show_default=True, help="live: threads and the clock; model: a schedule.")
@click.option(
    "--backend",
    "backends",
    multiple=True,
    metavar="[STAGE=]NAME[:DEVICE]",
    help="Who hashes, from the top level on.",
)
@click.option("--ablate", multiple=True, metavar="MECHANISM", help="Switch one mechanism off at every level.")
@click.option(
    "--threads",
    type=int,
    default=os.cpu_count() or 1,
    show_default="all cores",
    help="Host threads of a backend.",
)
@click.option(
    "--cores", type=int, default=None, help="Cores of the modelled host, in model mode.  [default: as --threads]"
)
@click.option(
    "--lock/--no-lock",
    default=True,
    show_default=True,
    help="In model mode: whether the stages share the interpreter's lock.",
)
@platform_options
@click.option(
    "--slot", "slot_s", type=float, default=0.02, show_default=True, help="Slot of the consensus, in seconds."
)
@click.option(
    "--break-even",
    "break_even_s",
    type=FiniteRange(0, 86_400),
    default=6.0,
    show_default=True,
    metavar="SECONDS",
    help="With --backend: how long to look for the batch sizes from which it wins; 0 is not at all.",
)
@click.option("--out", type=click.Path(path_type=Path), default=None, help="Folder for the run folder [results/runs].")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def run(levels: str, out: Path | None, as_json: bool, break_even_s: float, **options: Any) -> int:
    """Run the pipeline over a workload and print what every level gave.

    Every level runs all seven stages over the same transactions and must reach the same roots. A backend named with
    --backend takes over at DP5, or at the highest level of the run where that is lower; after the levels its kernels
    are measured by batch size.
    """
    from chaindp.pipeline.levels import parse_levels
    from chaindp.pipeline.run import RunConfig, measure_run
    from chaindp.plugins import load_plugins
    from chaindp.results.store import DEFAULT_RUNS, check_folder, new_run_id
    from chaindp.results.summary import summarize
    from chaindp.results.table import SampleTable

    config = RunConfig(levels=tuple(parse_levels(levels)), **options)
    registry = load_plugins(output.warn)
    folder = out or DEFAULT_RUNS
    check_folder(folder)
    run_id = new_run_id()
    table = SampleTable(run_id)
    steps = config.repeat * (len(config.levels) + 1) + len(config.levels) + 1
    with output.progress(config.workload, steps) as advance:
        outcome = measure_run(config, registry, table, advance)
    if config.backends:
        outcome.failures += _measure_break_even(config, registry, table, break_even_s)
    for row in registry.broken:
        reason = f"plugin {row.label} is broken: {row.reason}"
        outcome.failures.append(reason)
        table.append(metric="plugin", status="failed", reason=reason)
    frame = table.frame()
    found = summarize(frame) if _measured(frame) else None
    text = _text(frame, found, config, outcome) if found is not None else ""
    path = _write(run_id, folder, frame, found, text, config, break_even_s, outcome, registry)
    for line in (*outcome.notes, *outcome.failures):
        output.warn(line)
    if as_json:
        output.emit(_document(run_id, path, frame, found, config, outcome))
    elif text:
        print(text)
        print(f"\n{path}: samples.parquet, run.json, {PLOT}, {SUMMARY}")
    return 1 if outcome.failures else 0


def _measure_break_even(config: RunConfig, registry: Registry, table: SampleTable, seconds: float) -> list[str]:
    """Measure by batch size what the backends that were asked for ran; a row says why where it is not. What failed."""
    from chaindp.bench.breakeven import BreakEvenPlan, measure_break_even, subjects_of
    from chaindp.pipeline.backends import split_request
    from chaindp.results.breakeven import served_kernels

    why = "not measured: --break-even is 0" if seconds == 0 else ""
    subjects = []
    if not why:
        selectors = {split_request(request)[1] for request in config.backends}
        simulated = {name for name in selectors if registry.backend_spec(name)[0].simulates}
        for name in sorted(simulated):
            reason = f"not measured: {name} simulates its device, and a break-even is measured on the wall clock"
            table.append(backend_requested=name, metric="break_even_compute", status="skipped", reason=reason)
        if simulated == selectors:
            return []
        subjects = subjects_of(served_kernels(table.frame(), selectors - simulated))
        why = "" if subjects else "not measured: no level holds in which a backend that was asked for ran a kernel"
    if why:
        table.append(metric="break_even_compute", status="skipped", reason=why)
        return []
    plan = BreakEvenPlan(subjects=subjects, seconds=seconds, threads=config.threads, seed=config.seed)
    with output.progress("break-even", len(subjects) * SIZES) as advance:
        return measure_break_even(registry, plan, table, advance=advance, warn=output.warn)


def _measured(frame: pd.DataFrame) -> bool:
    return bool(((frame["metric"] == "tps") & (frame["status"] == "ok")).any())


def _write(
    run_id: str,
    folder: Path,
    frame: pd.DataFrame,
    found: Summary | None,
    text: str,
    config: RunConfig,
    break_even_s: float,
    outcome: RunOutcome,
    registry: Registry,
) -> Path:
    from chaindp.measure import environment
    from chaindp.results.store import write_run

    document = {
        "run_id": run_id,
        "kind": "pipeline",
        "config": asdict(config) | {"break_even_s": break_even_s},
        "consensus": outcome.consensus,
        "workload": {"name": config.workload, "seed": config.seed, "digest": outcome.workload_digest},
        "levels": {f"DP{number}": _level(level) for number, level in outcome.levels.items()},
        "failures": outcome.failures,
        "environment": environment.collect(registry=registry, warn=output.warn),
    }
    extras: dict[str, Any] = {}
    if text:
        from chaindp.report.ladder import plot_ladder

        extras[PLOT] = lambda path: plot_ladder(frame, path, found)
        extras[SUMMARY] = f"{text}\n".encode()
    return write_run(folder / run_id, frame, document, extras)


def _level(level: LevelOutcome) -> dict[str, Any]:
    """What a level led to, by repetition, digests in hex."""
    roots = level.roots
    return {
        "mechanisms": sorted(level.plan.on),
        "skipped": level.plan.skipped,
        "failures": level.failures,
        "backends": {str(stage): label for stage, label in level.backends.items()},
        "state_root": {str(key): value.state_root.hex() for key, value in roots.items()},
        "receipts_root": {str(key): root.hex() for key, root in level.receipts_roots.items()},
        "block_hash": {str(key): value.block_hashes[-1].hex() for key, value in roots.items()},
        "gas_used": {str(key): value.gas_used for key, value in roots.items()},
        "transactions": {str(key): value.transactions for key, value in roots.items()},
        "refused": {str(key): value.refused for key, value in roots.items()},
    }


def _document(
    run_id: str, path: Path, frame: pd.DataFrame, found: Summary | None, config: RunConfig, outcome: RunOutcome
) -> dict[str, Any]:
    import pandas as pd

    from chaindp.pipeline.levels import LEVELS
    from chaindp.results.breakeven import break_even, why_not
    from chaindp.results.noise import level_verdicts
    from chaindp.results.proofs import block_proofs
    from chaindp.results.summary import harness_overhead

    rows: list[dict[str, Any]] = []
    document: dict[str, Any] = {"run_id": run_id, "path": str(path), "failures": outcome.failures, "summary": rows}
    document |= {"gains": [], "break_even": [], "break_even_missing": why_not(frame) if config.backends else []}
    for number, level in outcome.levels.items():
        row: dict[str, Any] = {"workload": config.workload, "level": number, "mode": config.mode}
        row |= dict.fromkeys(_RUNG)
        row |= dict.fromkeys(("state_root", "receipts_root", "block_hash", "gas_used", "transactions", "refused"))
        row |= dict.fromkeys(("verdict", "speedup_low", "speedup_high", "noise_floor", "verdict_reason"))
        row |= {"claim": LEVELS[number].claim, "status": "failed" if level.failures else "ok", "stages": {}}
        row |= {
            "time_domain": "wall" if config.machine is None else "modelled",
            "modelled": _modelled(config, level, outcome),
        }
        row |= {"mechanisms": sorted(level.plan.on), "skipped": level.plan.skipped, "latencies": {}, "proofs": None}
        if 0 in level.roots:
            roots = level.roots[0]
            row["state_root"] = "0x" + roots.state_root.hex() if roots.state_root else None
            row["receipts_root"] = "0x" + level.receipts_roots[0].hex() if 0 in level.receipts_roots else None
            row["block_hash"] = "0x" + roots.block_hashes[-1].hex()
            row |= {"gas_used": roots.gas_used, "transactions": roots.transactions, "refused": roots.refused}
        rows.append(row)
    document |= {"harness_overhead": None, "explanation": []}
    if found is None:
        return document
    rungs = found.rungs.set_index("level")
    devices = _device_kernels(frame)
    judged = level_verdicts(frame).set_index("level")
    proofs = block_proofs(frame)
    names = {"low": "speedup_low", "high": "speedup_high", "reason": "verdict_reason"}
    for row in rows:
        number = row["level"]
        if number not in rungs.index:
            continue
        rung = rungs.loc[number]
        row |= rung[list(_RUNG)].to_dict()
        if row["modelled"] is not None:
            row["modelled"]["error"] = {key: rung[name] for key, name in _ERRORS.items()}
        verdict = judged.loc[number, ["verdict", "low", "high", "noise_floor", "reason"]]
        row |= {names.get(name, name): None if pd.isna(value) else value for name, value in verdict.items()}
        stages = found.times[found.times["level"] == number].set_index("stage").drop(columns=["workload", "level"])
        row["stages"] = stages.where(stages.notna(), None).to_dict("index")
        for stage, kernels in devices.get(number, {}).items():
            row["stages"][stage]["device"] = kernels
        made = proofs[proofs["level"] == number].drop(columns=["workload", "level"]).to_dict("records")
        row["proofs"] = made[0] if made else None
        waits = found.waits[found.waits["level"] == number].set_index("latency")
        row["latencies"] = waits[["p50_ns", "p99_ns", "time_domain"]].to_dict("index")
    document["harness_overhead"] = harness_overhead(frame)
    document["explanation"] = found.lines
    document["gains"] = _gains(frame)
    document["break_even"] = [result.row() for result in break_even(frame)]
    return document


_RUNG = (
    *("tps", "tps_low", "tps_high", "tps_with_admit", "speedup", "speedup_with_admit", "speedup_over"),
    *("model_error", "model_error_with_admit"),
)
"""What a row of the summary has of the ladder; null at a level that failed."""

_ERRORS = {
    "tps": "model_error",
    "tps_low": "model_error_low",
    "tps_high": "model_error_high",
    "tps_with_admit": "model_error_with_admit",
    "tps_with_admit_low": "model_error_with_admit_low",
    "tps_with_admit_high": "model_error_with_admit_high",
    "checked_with": "model_checked",
}


def _modelled(config: RunConfig, level: LevelOutcome, outcome: RunOutcome) -> dict[str, Any] | None:
    """What the schedule of a level stands on: the modelled host, the one that the model was checked on, and the
    platforms of simulated devices, by stage and kernel. The error is filled in where the level holds.
    """
    from chaindp.measure.platforms import platform_row

    if config.machine is None:
        return None
    devices = {
        str(stage): {
            kernel: {"backend": level.backends[stage]} | platform_row(platform)
            for kernel, platform in platforms.items()
        }
        for stage, platforms in level.platforms.items()
    }
    checked_on = None if outcome.checked_on is None else asdict(outcome.checked_on)
    host = {"cores": config.machine.cores, "lock": config.machine.lock, "checked_on": checked_on}
    return {**host, "devices": devices, "error": dict.fromkeys(_ERRORS)}


def _device_kernels(frame: pd.DataFrame) -> dict[int, dict[str, dict[str, Any]]]:
    """By level, stage and kernel: what calls on a simulated device took in a pass."""
    from chaindp.results.kernels import device_kernels

    found: dict[int, dict[str, dict[str, Any]]] = {}
    for row in device_kernels(frame).drop(columns="workload").to_dict("records"):
        names = {"compute": "compute_ns", "transfer": "transfer_ns", "elapsed": "elapsed_ns"}
        kernel = {names.get(str(name), str(name)): value for name, value in row.items()}
        stages = found.setdefault(kernel.pop("level"), {})
        stages.setdefault(kernel.pop("stage"), {})[kernel.pop("kernel")] = kernel
    return found


def _gains(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """What backends that were asked for gained over the level below, with what their kernels took, by stage."""
    from chaindp.results.summary import gains, kernel_costs

    costs = kernel_costs(frame)
    rows = []
    for gain in gains(frame).astype(object).to_dict("records"):
        mine = costs[(costs["workload"] == gain["workload"]) & (costs["level"] == gain["level"])]
        stages = mine.drop(columns=["workload", "level", "below"]).set_index("stage")
        rows.append({**gain, "stages": stages.rename(columns=_COST_KEYS).to_dict("index")})
    return rows


_COST_KEYS = {
    f"{name}{below}": f"{name}{below}_ns_per_tx" for name in ("compute", "transfer") for below in ("", "_below")
}


def _text(frame: pd.DataFrame, found: Summary, config: RunConfig, outcome: RunOutcome) -> str:
    from chaindp.report.terminal import run_summary

    plans = [level.plan for level in outcome.levels.values()]
    return run_summary(frame, config.slot_s, config.block_txs, plans, found)
