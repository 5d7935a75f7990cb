"""Kernels as a table has them: alone, for a unit of work (bench, comparison), and inside of a pipeline's stages."""

from __future__ import annotations

import numpy as np
import pandas as pd

from chaindp.measure.statistics import bootstrap_median, outliers

__all__ = [
    "INTERVAL_RULE",
    "device_kernels",
    "disagreements",
    "kernel_rates",
    "kernel_samples",
    "platforms",
    "stage_kernels",
]

_BOOTSTRAP_MOST = 200

INTERVAL_RULE = (
    f"95 % interval of the median: percentile bootstrap up to {_BOOTSTRAP_MOST} samples, order statistics beyond"
)
"""Why two ways: a bootstrap draws every sample thousands of times, and of many samples it ends at the same ranks."""

_SIDE = ["workload", "kernel", "backend_requested", "time_domain"]
_SAMPLE = [*_SIDE, "repetition", "_nth"]


def kernel_samples(frame: pd.DataFrame) -> pd.DataFrame:
    """One row a sample of a kernel on its own: what one unit of work took, transfer apart.

    Columns: workload, kernel, size, backend, time_domain, repetition, compute, transfer, unit, work_unit, outlier,
    transfer_outlier. ``compute`` and ``transfer`` are in ``unit`` for one ``work_unit``; ``outlier`` is empty, ``mild``
    or ``severe`` by ``compute`` among the samples of the same workload and backend, ``transfer_outlier`` by transfer.
    Only samples that hold are here.
    """
    parts = {}
    for metric in ("compute_time", "transfer_time", "work"):
        rows = frame[(frame["metric"] == metric) & (frame["status"] == "ok") & frame["value"].notna()]
        rows = rows[[*_SIDE, "repetition", "value", "unit"]].copy()
        # A comparison may take several samples of a side in one repetition; they are matched in the order they came in.
        rows["_nth"] = rows.groupby([*_SIDE, "repetition"], dropna=False, observed=True).cumcount()
        parts[metric] = rows
    table = parts["compute_time"].rename(columns={"value": "compute"})
    table = table.merge(parts["work"].rename(columns={"value": "work", "unit": "work_unit"}), on=_SAMPLE)
    transfer = parts["transfer_time"].drop(columns="unit").rename(columns={"value": "transfer"})
    table = table.merge(transfer, on=_SAMPLE, how="left")
    table = table[table["work"] > 0]
    for name in ("compute", "transfer"):
        table[name] = table[name] / table["work"]
    for name, column in (("compute", "outlier"), ("transfer", "transfer_outlier")):
        table[column] = ""
        for _, rows in table[table[name].notna()].groupby(_SIDE, dropna=False, observed=True):
            table.loc[rows.index, column] = outliers(rows[name].to_numpy())
    table["size"] = [str(workload).rpartition("/")[2] for workload in table["workload"]]
    names = {"backend_requested": "backend"}
    columns = ["workload", "kernel", "size", "backend", "time_domain", "repetition", "compute", "transfer"]
    columns += ["unit", "work_unit", "outlier", "transfer_outlier"]
    return table.rename(columns=names)[columns].reset_index(drop=True)


def kernel_rates(samples: pd.DataFrame) -> pd.DataFrame:
    """One row a workload, backend and time domain of ``kernel_samples``: medians for a unit of work, and how sure.

    Columns: workload, kernel, size, backend, time_domain, unit, work_unit, samples, outliers, compute, compute_low,
    compute_high, transfer, transfer_low, transfer_high. Low and high are by INTERVAL_RULE.
    """
    keys = ["workload", "kernel", "size", "backend", "time_domain", "unit", "work_unit"]
    rows = []
    for values, group in samples.groupby(keys, sort=False, dropna=False, observed=True):
        row: dict[str, object] = dict(zip(keys, values, strict=True))
        row |= {"samples": len(group), "outliers": int((group["outlier"] != "").sum())}
        for name in ("compute", "transfer"):
            row |= _interval(group[name].dropna().to_numpy(dtype=np.float64), name)
        rows.append(row)
    intervals = [f"{name}{part}" for name in ("compute", "transfer") for part in ("", "_low", "_high")]
    return pd.DataFrame(rows, columns=[*keys, "samples", "outliers", *intervals])


def disagreements(frame: pd.DataFrame) -> dict[tuple[str, str, str], str]:
    """Where a device's clock and the wall clock disagree: workload, backend and time domain to what a bench said of it.

    Only what disagrees is here. The rule is ``chaindp.measure.device_clock.DISAGREEMENT_RULE``.
    """
    rows = frame[(frame["metric"] == "profiling_ratio") & frame["reason"].notna()]
    columns = (rows[name].astype(str) for name in ("workload", "backend_requested", "time_domain", "reason"))
    return {(workload, side, domain): text for workload, side, domain, text in zip(*columns, strict=True) if text}


def stage_kernels(frame: pd.DataFrame) -> pd.DataFrame:
    """One row a workload, level, stage and kernel of a pipeline run: what its calls took a transaction, and where.

    Columns: workload, level, stage, kernel, backend, time_domain, repetitions, compute, compute_low, compute_high,
    transfer, transfer_low, transfer_high, all in ns a transaction of the pass with ``admit``. Medians over the
    repetitions; low and high are the fastest and the slowest one. On a simulated device they are modelled, and cycles
    and the rest are in ``device_kernels``.
    """
    per_pass, keys = ["workload", "level", "repetition"], ["workload", "level", "stage", "kernel"]
    ok = frame[frame["status"] == "ok"]
    transactions = ok[ok["metric"] == "transactions"].groupby(per_pass, observed=True)["value"].sum()
    result: pd.DataFrame | None = None
    for name in ("compute", "transfer"):
        rows = ok[ok["metric"] == f"kernel_{name}"]
        sums = rows.groupby([*keys, "repetition"], as_index=False, observed=True).agg(
            value=("value", "sum"), backend=("backend_ran", "first"), time_domain=("time_domain", "first")
        )
        sums = sums.merge(transactions.rename("transactions").reset_index(), on=per_pass)
        sums["value"] /= sums["transactions"]
        columns = {}
        if result is None:
            columns = {name: (name, "first") for name in ("backend", "time_domain")} | {
                "repetitions": ("value", "size")
            }
        columns |= {name: ("value", "median"), f"{name}_low": ("value", "min"), f"{name}_high": ("value", "max")}
        table = sums.groupby(keys, as_index=False, observed=True).agg(**columns)
        result = table if result is None else result.merge(table, on=keys, how="left")
    assert result is not None
    return result


_DEVICE = {
    "cycles": "sum", "stall_cycles": "sum", "latency_cycles": "max", "operations": "sum", "to_bytes": "sum",
    "from_bytes": "sum", "compute": "sum", "transfer": "sum", "elapsed": "sum",
}  # fmt: skip
"""What there is of calls on a simulated device, and how it adds up over the blocks of a pass."""


def device_kernels(frame: pd.DataFrame) -> pd.DataFrame:
    """One row a workload, level, stage and kernel that ran on a simulated device: what its calls took there.

    Columns: workload, level, stage, kernel, backend, calls, cycles, stall_cycles, latency_cycles, operations, to_bytes,
    from_bytes, compute, transfer, elapsed, simulator_hz. Of one pass with ``admit``, medians over the repetitions;
    latency is the longest. ``compute``, ``transfer`` and ``elapsed`` (both, which may overlap) are modelled ns on the
    platform of ``platforms``. ``simulator_hz`` is how many of these cycles the simulator does in a second of wall time.
    """
    keys = ["workload", "level", "stage", "kernel"]
    ok = frame[frame["status"] == "ok"]
    cycles = ok[ok["metric"] == "kernel_cycles"]
    table = cycles.groupby(keys, observed=True)["backend_ran"].first().rename("backend").to_frame()
    here = ok[ok["backend_ran"].isin(cycles["backend_ran"].unique())]
    for name, how in {"calls": "sum", **_DEVICE}.items():
        rows = here[here["metric"] == f"kernel_{name}"]
        passes = rows.groupby([*keys, "repetition"], observed=True)["value"].agg(how)
        table = table.join(passes.groupby(keys, observed=True).median().rename(name))
    speed = here[here["metric"] == "simulator_speed"].groupby(keys, observed=True)["value"].median()
    return table.join(speed.rename("simulator_hz")).reset_index()


def platforms(frame: pd.DataFrame) -> pd.DataFrame:
    """One row a workload, level, stage, kernel and simulated device: the hardware that is stated around it.

    Columns: workload, level, stage, kernel, backend, clock_hz, instances, link, latency_ns, to_device, from_device
    (bytes a second, null where they are unlimited), overlap. Level and stage are null in a bench.
    """
    rows = frame[frame["metric"].astype("string").str.startswith("platform_") & (frame["status"] == "ok")]
    found = []
    keyed = ["workload", "level", "stage", "kernel", "backend_ran"]
    for keys, group in rows.groupby(keyed, sort=True, observed=True, dropna=False):
        values = dict(zip(group["metric"].astype(str).str.removeprefix("platform_"), group["value"], strict=True))
        link = next((name.partition(":")[2] for name in values if name.startswith("link:")), "")
        row: dict[str, object] = dict(zip(_PLATFORM[:5], keys, strict=True))
        row |= {"clock_hz": values.get("clock"), "instances": values.get("instances"), "link": link}
        row |= {"latency_ns": values.get("link_latency"), "to_device": values.get("link_to_device")}
        row |= {"from_device": values.get("link_from_device"), "overlap": bool(values.get("link_overlap"))}
        found.append(row)
    return pd.DataFrame(found, columns=_PLATFORM)


_PLATFORM = ["workload", "level", "stage", "kernel", "backend", "clock_hz", "instances", "link", "latency_ns"]
_PLATFORM += ["to_device", "from_device", "overlap"]


def _interval(values: np.ndarray, name: str) -> dict[str, float]:
    """Median, low and high by INTERVAL_RULE under ``name``; NaN without values."""
    count = len(values)
    if count == 0:
        return dict.fromkeys((name, f"{name}_low", f"{name}_high"), float("nan"))
    if count <= _BOOTSTRAP_MOST:
        low, high = bootstrap_median(values)
    else:
        ordered = np.sort(values)
        # How many of the samples lie below the median is binomial: these ranks hold it in 95 of 100 cases.
        reach = 0.98 * np.sqrt(count)
        low = float(ordered[max(0, int(np.floor(count / 2 - reach)))])
        high = float(ordered[min(count - 1, int(np.ceil(count / 2 + reach)))])
    return {name: float(np.median(values)), f"{name}_low": low, f"{name}_high": high}
