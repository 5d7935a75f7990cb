"""What a run's table says, as pandas functions: the ladder, the time in every stage, the latencies, and why."""

from __future__ import annotations

import pandas as pd

from chaindp.errors import InputError

__all__ = ["STAGES", "explain", "harness_overhead", "ladder", "latencies", "mechanisms", "stage_times"]

STAGES = ("admit", "order", "preload", "execute", "merkleize", "flush", "prove")


def _metric(frame: pd.DataFrame, metric: str) -> pd.DataFrame:
    return frame[(frame["metric"] == metric) & (frame["status"] == "ok")]


def ladder(frame: pd.DataFrame) -> pd.DataFrame:
    """One row a workload and level: throughput without and with ``admit``, and the speed-up over the lowest level.

    Columns: workload, level, mode, repetitions, tps, tps_low, tps_high, tps_with_admit, speedup, speedup_with_admit.
    Medians over the repetitions; low and high are the slowest and the fastest. Throughput is in transactions a second.
    """
    rows = []
    for (workload, level), group in _metric(frame, "tps").groupby(["workload", "level"], sort=True):
        whole = _metric(frame, "tps_with_admit")
        whole = whole[(whole["workload"] == workload) & (whole["level"] == level)]["value"]
        rows.append(
            {
                "workload": workload,
                "level": int(level),
                "mode": "live" if (group["time_domain"] == "wall").all() else "model",
                "repetitions": len(group),
                "tps": group["value"].median(),
                "tps_low": group["value"].min(),
                "tps_high": group["value"].max(),
                "tps_with_admit": whole.median(),
            }
        )
    if not rows:
        raise InputError("the table holds no throughput of a pipeline run")
    result = pd.DataFrame(rows)
    for column, speedup in (("tps", "speedup"), ("tps_with_admit", "speedup_with_admit")):
        base = result.groupby("workload")[column].transform("first")
        result[speedup] = result[column] / base
    return result


def stage_times(frame: pd.DataFrame) -> pd.DataFrame:
    """One row a workload, level and stage: busy time a transaction and where it ran.

    Columns: workload, level, stage, busy_ns_per_tx, share, utilization, backend. ``share`` is of the level's busy time
    over all stages, ``utilization`` the part of the pass during which the stage was busy. Medians over the repetitions.
    """
    keys = ["workload", "level", "repetition"]
    busy = _metric(frame, "busy").groupby([*keys, "stage"], as_index=False, sort=False)
    table = busy.agg(busy_ns=("value", "sum"), backend=("backend_ran", "first"))
    transactions = _metric(frame, "transactions").groupby(keys, as_index=False)["value"].sum()
    duration = _metric(frame, "tps_with_admit_duration")[[*keys, "value"]]
    table = table.merge(transactions.rename(columns={"value": "transactions"}), on=keys)
    table = table.merge(duration.rename(columns={"value": "duration_ns"}), on=keys)
    table["busy_ns_per_tx"] = table["busy_ns"] / table["transactions"]
    table["share"] = table["busy_ns"] / table.groupby(keys)["busy_ns"].transform("sum")
    table["utilization"] = table["busy_ns"] / table["duration_ns"]
    result = table.groupby(["workload", "level", "stage"], as_index=False).agg(
        busy_ns_per_tx=("busy_ns_per_tx", "median"),
        share=("share", "median"),
        utilization=("utilization", "median"),
        backend=("backend", "first"),
    )
    order = pd.Categorical(result["stage"], categories=STAGES, ordered=True)
    return (
        result.assign(_order=order)
        .sort_values(["workload", "level", "_order"])
        .drop(columns="_order")
        .reset_index(drop=True)
    )


def latencies(frame: pd.DataFrame) -> pd.DataFrame:
    """One row a workload, level and kind of latency: p50 and p99 in ns over all transactions of all repetitions.

    Kinds: ``visible`` and ``final`` count from a block's entry into the pipeline; ``order`` is the consensus on the
    simulated network. A transaction has the latency of its block.
    """
    weights = _metric(frame, "transactions")[["workload", "level", "repetition", "block", "value"]]
    weights = weights.rename(columns={"value": "transactions"})
    rows = []
    for kind in ("order", "visible", "final"):
        samples = _metric(frame, f"latency_{kind}").merge(weights, on=["workload", "level", "repetition", "block"])
        for (workload, level), group in samples.groupby(["workload", "level"], sort=True):
            values = group["value"].repeat(group["transactions"].astype(int))
            rows.append(
                {
                    "workload": workload,
                    "level": int(level),
                    "latency": kind,
                    "p50_ns": values.quantile(0.50),
                    "p99_ns": values.quantile(0.99),
                    "time_domain": group["time_domain"].iloc[0],
                }
            )
    return pd.DataFrame(rows, columns=["workload", "level", "latency", "p50_ns", "p99_ns", "time_domain"])


def mechanisms(frame: pd.DataFrame) -> pd.DataFrame:
    """One row a level and mechanism: whether it was on, and the reason where it was not."""
    rows = frame[frame["metric"].str.startswith("mechanism:")]
    result = rows[["workload", "level", "metric", "status", "reason"]].copy()
    result["mechanism"] = result["metric"].str.removeprefix("mechanism:")
    return result[["workload", "level", "mechanism", "status", "reason"]].reset_index(drop=True)


def harness_overhead(frame: pd.DataFrame) -> float | None:
    """The largest share of a sequential pass outside the stages, median over repetitions; None where there is none."""
    rows = _metric(frame, "harness_overhead")
    return float(rows.groupby("level")["value"].median().max()) if len(rows) else None


def explain(frame: pd.DataFrame) -> list[str]:
    """A line a level: what it gave over the level before it, which stage changed, and what bounds it now."""
    rungs, times = ladder(frame), stage_times(frame)
    switched = mechanisms(frame)
    lines = []
    previous = None
    for rung in rungs.itertuples():
        mine = times[(times["level"] == rung.level) & (times["workload"] == rung.workload)].set_index("stage")
        on = switched[(switched["level"] == rung.level) & (switched["status"] == "ok")]["mechanism"]
        slowest = mine["utilization"].idxmax()
        bound = f"{slowest} is busy {mine['utilization'][slowest]:.0%} of the time"
        waits = _metric(frame, "wait")
        waits = waits[(waits["level"] == rung.level) & (waits["workload"] == rung.workload)]["value"].sum()
        total = _metric(frame, "tps_with_admit_duration")
        total = total[(total["level"] == rung.level) & (total["workload"] == rung.workload)]["value"].sum()
        if total and waits / total > 0.5 and "pipelining" not in set(on):
            bound = f"waiting for the next slot takes {waits / total:.0%} of the time"
        if previous is None:
            text = f"{rung.tps:,.0f} tx/s: {bound}"
        else:
            ratio = rung.tps / previous[0].tps
            new = [name for name in on if name not in previous[1]]
            gained = f"{ratio:.2f}x DP{previous[0].level}"
            if not new:
                text = f"{gained}: no mechanism of this level is built yet, so this is noise"
            else:
                text = f"{gained} with {', '.join(new)}{_largest_change(previous[2], mine)}; {bound}"
        lines.append(f"DP{rung.level}: {text}")
        previous = (rung, set(on), mine)
    return lines


def _largest_change(before: pd.DataFrame, after: pd.DataFrame) -> str:
    change = (before["busy_ns_per_tx"] - after["busy_ns_per_tx"]).dropna()
    if change.empty:
        return ""
    stage = change.abs().idxmax()
    old, new = before["busy_ns_per_tx"][stage], after["busy_ns_per_tx"][stage]
    return f" ({stage} went from {old / 1e3:.2f} to {new / 1e3:.2f} us/tx)"
