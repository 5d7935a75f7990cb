"""Runs made up for tests and benchmarks of reports: the metrics of real ones, figures from a seed, any size."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from chaindp.pipeline.levels import MECHANISMS
from chaindp.results.store import write_run
from chaindp.results.summary import STAGES
from chaindp.results.table import SampleTable

KERNELS = {
    "admit": ("ecrecover", "keccak256"),
    "preload": ("keccak256",),
    "merkleize": ("keccak256", "trie_hash"),
    "prove": ("keccak256", "merkle_open", "merkle_tree"),
}
"""Which kernels the stages call."""

TYPICAL_NS = dict(zip(STAGES, (66e6, 3e4, 48e6, 43e6, 23e6, 9e6, 2e6), strict=True))
"""What a block of 1,000 transactions takes in each stage."""


def pipeline_table(
    *,
    levels: Sequence[int] = (0, 3, 4),
    repetitions: int = 5,
    blocks: int = 4,
    workload: str = "erc20",
    mode: str = "live",
    fast: str = "cpu",
    again: bool = False,
    failed: Collection[int] = (),
    skipped_stages: Collection[str] = (),
    reason: str = "DP4, repetition 0: other state root than DP0",
    seed: int = 0,
) -> pd.DataFrame:
    """The table of a pipeline run.

    fast:           backend of merkleize and prove from DP4 on
    again:          whether the lowest level has its second pass
    failed:         levels whose samples all failed, with ``reason``
    skipped_stages: stages that did not run, as in a run over real blocks
    """
    table = SampleTable("run-1")
    rng = np.random.default_rng(seed)
    domain = "wall" if mode == "live" else "modelled"
    stages = [stage for stage in STAGES if stage not in skipped_stages]
    for level in levels:
        common: dict[str, Any] = {"workload": workload, "level": level}
        holds = {"status": "failed", "reason": reason} if level in failed else {}
        if level in failed:
            table.append(**common, metric="check", status="failed", reason=reason, repetition=0)
        for repetition in range(repetitions):
            one_pass(table, common | {"repetition": repetition} | holds, level, stages, blocks, domain, fast, rng)
            if again and level == min(levels):
                value = 8e3 * rng.uniform(0.99, 1.01)
                where = common | {"repetition": repetition} | holds
                table.append(**where, metric="tps_again", value=value, unit="tx/s", time_domain=domain)
        for mechanism in MECHANISMS:
            metric = f"mechanism:{mechanism.name}"
            if mechanism.level <= level and mechanism.missing:
                table.append(**common, metric=metric, status="skipped", reason=mechanism.missing)
            elif mechanism.level <= level:
                table.append(**common, metric=metric, value=1, unit="1")
        for stage in skipped_stages:
            table.append(**common, stage=stage, metric="busy", status="skipped", reason="contract code is not there")
    return table.frame()


def one_pass(
    table: SampleTable,
    common: Mapping[str, Any],
    level: int,
    stages: Sequence[str],
    blocks: int,
    domain: str,
    fast: str,
    rng: np.random.Generator,
) -> None:
    """The rows of one level and repetition."""
    durations = np.array([TYPICAL_NS[stage] for stage in stages]) * rng.uniform(0.9, 1.1, (blocks, len(stages)))
    start, end = instants(durations.round(), pipelined=level >= 3)
    passed = float(end.max() - start.min())
    where = dict(common)
    throughput = {"tps": 8e3 * (1 + 0.02 * level), "tps_with_admit": blocks * 1e3 / (passed / 1e9)}
    for metric, value in throughput.items():
        value *= rng.uniform(0.98, 1.02)
        table.append(**where, metric=metric, value=value, unit="tx/s", time_domain=domain)
        length = passed if metric == "tps_with_admit" else blocks * 1e12 / value
        table.append(**where, metric=f"{metric}_duration", value=length, unit="ns", time_domain=domain)
        table.append(**where, metric=f"{metric}_audited", value=1.0, unit="1")
    if domain == "modelled":
        table.append(**where, metric="model_error", value=rng.uniform(0.1, 0.3), unit="1", time_domain=domain)
    table.append(**where, metric="transactions_after_admit", value=blocks * 1000, unit="1")
    numbers = np.arange(blocks)
    for column, stage in enumerate(stages):
        backend = fast if level >= 4 and stage in ("merkleize", "prove") else "cpu:scalar"
        here = where | {"stage": stage, "unit": "ns"}
        if stage in KERNELS:
            here |= {"backend_requested": backend, "backend_ran": backend, "output_matched": True}
        busy = durations[:, column].round()
        values = {"busy": busy, "cpu": busy * 0.95, "wait": np.zeros(blocks)}
        for metric, each in values.items():
            table.extend(blocks, **here, block=numbers, metric=metric, value=each, time_domain="wall")
            if stage != "admit":
                table.append(**here, metric=f"{metric}_after_admit", value=each.sum(), time_domain="wall")
        for metric, each in (("start", start[:, column]), ("end", end[:, column])):
            table.extend(blocks, **here, block=numbers, metric=metric, value=each, time_domain=domain)
        for kernel in KERNELS.get(stage, ()):
            share = 0.05 if backend == fast else 0.2
            called = here | {"block": numbers, "kernel": kernel, "time_domain": "wall"}
            table.extend(blocks, **called, metric="kernel_compute", value=busy * share * rng.uniform(0.9, 1.1, blocks))
            table.extend(blocks, **called, metric="kernel_transfer", value=rng.uniform(1e4, 2e4, blocks))
            called |= {"unit": "1", "time_domain": None}
            table.extend(blocks, **called, metric="kernel_calls", value=np.full(blocks, 3))
            table.extend(blocks, **called, metric="kernel_batch", value=rng.integers(1500, 2000, blocks))
    for metric, value in (("transactions", 1000), ("gas_used", 34e6), ("refused", 0), ("late_loads", 0), ("reruns", 0)):
        table.extend(blocks, **where, block=numbers, metric=metric, value=np.full(blocks, value), unit="1")
    for kind, spread in (("order", 133e6), ("queue", 800e6), ("visible", 900e6), ("final", 990e6)):
        row = where | {"block": numbers, "unit": "ns", "time_domain": "modelled" if kind == "order" else domain}
        table.extend(blocks, **row, metric=f"latency_{kind}", value=spread * rng.uniform(0.9, 1.1, blocks))


def break_even_table(
    kernels: Mapping[str, Mapping[int, tuple[float, float]]],
    *,
    backend: str = "gpu",
    against: str = "cpu",
    unit: str = "node",
    transfer: float = 0.25,
    spread: float = 0.02,
    samples: int = 10,
    seed: int = 0,
) -> pd.DataFrame:
    """The rows of a break-even: kernel to size to what a unit of work takes in ns, on ``backend`` and ``against``.

    transfer: the share of the backend's time that is transfer
    spread:   the standard deviation of the samples, as a share
    """
    table = SampleTable("run-1")
    rng = np.random.default_rng(seed)
    for kernel, sizes in kernels.items():
        for size, times in sizes.items():
            row = {"workload": f"{kernel}/{size}", "kernel": kernel, "repetition": np.arange(samples)}
            for name, metric, each, moved in (
                (backend, "break_even", times[0], transfer),
                (against, "break_even_against", times[1], 0.0),
            ):
                here = row | {"backend_requested": name, "backend_ran": name, "time_domain": "wall", "device": ""}
                calls = each * size * rng.normal(1.0, spread, samples)
                parts = {"compute": calls * (1 - moved), "transfer": calls * moved, "work": np.full(samples, size)}
                for part, values in parts.items():
                    what = unit if part == "work" else "ns"
                    table.extend(samples, **here, metric=f"{metric}_{part}", value=values, unit=what)
    return table.frame()


def instants(durations: np.ndarray, *, pipelined: bool) -> tuple[np.ndarray, np.ndarray]:
    """Start and end float64[blocks, stages] in ns: one block after another, or each stage as soon as it may."""
    start, end = np.zeros_like(durations), np.zeros_like(durations)
    now = 0.0
    for block in range(len(durations)):
        for stage in range(durations.shape[1]):
            if pipelined:
                now = max(end[block, stage - 1] if stage else 0.0, end[block - 1, stage] if block else 0.0)
            start[block, stage] = now
            now += durations[block, stage]
            end[block, stage] = now
    return start, end


def bench_table(
    sides: Mapping[str, Sequence[float]],
    *,
    workload: str = "keccak256/4096",
    work_unit: str = "permutation",
    again: Sequence[float] = (),
    transfer: float = 0.5,
    domain: str = "wall",
) -> pd.DataFrame:
    """The table of a bench or a comparison: ns a unit of work by backend, each sample of 1,000 units."""
    table = SampleTable("run-1")
    for backend, samples in sides.items():
        values = np.asarray(samples, dtype=float) * 1000
        row = {"workload": workload, "kernel": workload.partition("/")[0], "backend_requested": backend}
        row |= {"backend_ran": backend, "time_domain": domain, "repetition": np.arange(len(values))}
        table.extend(len(values), **row, metric="compute_time", value=values, unit="ns", output_matched=True)
        table.extend(len(values), **row, metric="transfer_time", value=values * 0 + transfer * 1000, unit="ns")
        table.extend(len(values), **row, metric="work", value=np.full(len(values), 1000), unit=work_unit)
        if len(again):
            row["repetition"] = np.arange(len(again))
            more = np.asarray(again, dtype=float) * 1000
            table.extend(len(more), **row, metric="compute_time_again", value=more, unit="ns")
            again = ()
    return table.frame()


def comparison_row(**fields: Any) -> dict[str, Any]:
    """A row of a comparison as ``chaindp compare`` writes it; ``fields`` replace its values."""
    return {
        "metric": "ns_per_unit", "what": "keccak256/4096", "a": "cpu", "b": "gpu", "unit": "ns/permutation",
        "time_domain": "wall", "samples_a": 20, "samples_b": 20, "verdict": "faster", "a_median": 58.0,
        "b_median": 29.0, "ratio": 2.0, "low": 1.9, "high": 2.1, "noise_floor": 0.02,
        "floor_from": "A against a second A, in the same rounds", "outliers_a": 0, "outliers_b": 1, "reason": "",
    } | fields  # fmt: skip


def write(folder: Path, frame: pd.DataFrame, kind: str, **document: Any) -> Path:
    """A run folder with this table and a run.json like a real one's."""
    environment = {
        "chaindp": "0.1.0",
        "time": "2026-01-02T03:04:05+00:00",
        "command": ["chaindp", "run", "--levels", "0-4"],
        "cpu": {"model": "A CPU", "cores_usable": 2, "governor": None, "hypervisor": True},
        "os": {"distribution": "Debian"},
        "git": {"commit": "0123456789abcdef", "dirty": False},
    }
    base = {"run_id": folder.name, "kind": kind, "config": {"txs": 4000}, "environment": environment}
    return write_run(folder, frame, base | document)


def big_pipeline(folder: Path) -> Path:
    """A pipeline run of more than 200,000 samples: five levels, five repetitions, 130 blocks."""
    return write(folder, pipeline_table(levels=(0, 1, 2, 3, 4), repetitions=5, blocks=136, again=True), "pipeline")


def big_bench(folder: Path) -> Path:
    """A bench of more than 200,000 samples: eight kernels on four backends."""
    rng = np.random.default_rng(0)
    tables = [
        bench_table(
            {f"backend{index}": rng.lognormal(4 + index, 0.05, 2100) for index in range(4)},
            workload=f"kernel{number}/64",
        )
        for number in range(8)
    ]
    return write(folder, pd.concat(tables, ignore_index=True), "bench")
