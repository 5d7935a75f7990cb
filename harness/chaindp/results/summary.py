"""What a run's table says, as pandas functions: the ladder, the time in every stage, the latencies, and why."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from chaindp.errors import InputError
from chaindp.measure.verdict import CONFIDENCE, judge
from chaindp.results.breakeven import break_even, why_not
from chaindp.results.kernels import device_kernels, stage_kernels
from chaindp.results.model_error import error_note
from chaindp.results.noise import NOT_MEASURED

__all__ = [
    "STAGES",
    "Summary",
    "explain",
    "explain_backends",
    "failures",
    "gain_lines",
    "gains",
    "harness_overhead",
    "kernel_costs",
    "ladder",
    "latencies",
    "mechanisms",
    "stage_times",
    "summarize",
]

STAGES = ("admit", "order", "preload", "execute", "merkleize", "flush", "prove")
LATENCIES = ("order", "queue", "visible", "final")

_RUNG = ["workload", "level"]
_PASS = [*_RUNG, "repetition"]


def _metric(frame: pd.DataFrame, metric: str) -> pd.DataFrame:
    return frame[(frame["metric"] == metric) & (frame["status"] == "ok")]


@dataclass(frozen=True, slots=True)
class Summary:
    """What a run's table says, made once for all that show it.

    rungs, times, waits, lines: ``ladder``, ``stage_times``, ``latencies`` and ``explain`` of the table
    """

    rungs: pd.DataFrame
    times: pd.DataFrame
    waits: pd.DataFrame
    lines: list[str]


def summarize(frame: pd.DataFrame) -> Summary:
    """All that a run shows of its table; InputError where no level of it holds."""
    rungs, times = ladder(frame), stage_times(frame)
    return Summary(rungs, times, latencies(frame), explain(frame, rungs, times))


def ladder(frame: pd.DataFrame) -> pd.DataFrame:
    """One row a workload and level that holds: throughput without and with ``admit``, and the speed-up.

    Columns: workload, level, mode, time_domain, repetitions, tps, tps_low, tps_high, tps_with_admit, speedup,
    speedup_with_admit, speedup_over, model_error, model_error_low, model_error_high, model_error_with_admit,
    model_error_with_admit_low, model_error_with_admit_high, model_checked. Medians over the repetitions; low and
    high are the slowest and the fastest, of the error the smallest and the largest. Throughput is in transactions a
    second. The speed-up is over the lowest level of the run, null where that one failed. ``model_error`` is the
    share by which the model overrates a live pass of the machine that it ran on, null in live mode;
    ``model_checked`` says what was in a simulated device's place for that, empty where nothing was.
    """
    rows = []
    lowest = frame.groupby("workload")["level"].min()
    measured = {
        name: dict(list(_metric(frame, name).groupby(_RUNG, observed=True)["value"]))
        for name in ("tps_with_admit", "model_error", "model_error_with_admit")
    }
    missing = pd.Series(dtype="float64")
    for (workload, level), group in _metric(frame, "tps").groupby(_RUNG, sort=True):

        def of(metric: str, rung: tuple[str, int] = (workload, level)) -> pd.Series:
            return measured[metric].get(rung, missing)

        rows.append(
            {
                "workload": workload,
                "level": int(level),
                "mode": "live" if (group["time_domain"] == "wall").all() else "model",
                "time_domain": str(group["time_domain"].iloc[0]),
                "repetitions": len(group),
                "tps": group["value"].median(),
                "tps_low": group["value"].min(),
                "tps_high": group["value"].max(),
                "tps_with_admit": of("tps_with_admit").median(),
                "speedup_over": int(lowest[workload]),
                "model_error": of("model_error").median(),
                "model_error_low": of("model_error").min(),
                "model_error_high": of("model_error").max(),
                "model_error_with_admit": of("model_error_with_admit").median(),
                "model_error_with_admit_low": of("model_error_with_admit").min(),
                "model_error_with_admit_high": of("model_error_with_admit").max(),
                "model_checked": _checked(frame, workload, level),
            }
        )
    if not rows:
        raise InputError("the table holds no throughput of a pipeline run")
    result = pd.DataFrame(rows)
    for column, speedup in (("tps", "speedup"), ("tps_with_admit", "speedup_with_admit")):
        base = result[result["level"] == result["speedup_over"]].set_index("workload")[column]
        result[speedup] = result[column] / result["workload"].map(base)
    return result


def _checked(frame: pd.DataFrame, workload: str, level: int) -> str:
    """What was in whose place when the model of a level was checked; empty where all ran as asked for."""
    rows = frame[frame["metric"].isin(["model_error", "model_error_with_admit"]) & frame["backend_ran"].notna()]
    rows = rows[(rows["workload"] == workload) & (rows["level"] == level)]
    if rows.empty:
        return ""
    return f"{rows['backend_ran'].iloc[0]} in the place of {rows['backend_requested'].iloc[0]}"


def stage_times(frame: pd.DataFrame) -> pd.DataFrame:
    """One row a workload, level and stage: the time it takes a transaction, and where it ran.

    Columns: workload, level, stage, busy_ns_per_tx, cpu_ns_per_tx, wait_ns_per_tx, share, utilization, backend,
    time_domain. ``busy`` is from start to end of the stage on every block: work, and waiting for the interpreter's
    lock, a core or the disk; with calls on a simulated device it has their modelled time in it, and
    ``time_domain``, which is of ``busy``, says so. ``cpu`` is what the stage's thread ran (the threads of a backend
    and simulators are not in it). ``wait`` is for the simulated network alone, in model mode as it is scheduled.
    ``utilization`` is the share of the pass during which the stage was busy, ``share`` its part of all stages' cpu.
    ``admit`` is of the pass that has it in the pipeline, the other stages of the pass that ``tps`` is of. Medians
    over the repetitions.
    """
    after = _pass_times(frame, "_after_admit", "tps_duration", _metric(frame, "transactions_after_admit"))
    per_block = _metric(frame, "transactions").groupby(_PASS, as_index=False)["value"].sum()
    whole = _pass_times(frame, "", "tps_with_admit_duration", per_block)
    table = pd.concat([whole[whole["stage"] == "admit"], after], ignore_index=True)
    if table.empty:
        raise InputError("the table holds no stage times of a pipeline run")
    result = table.groupby([*_RUNG, "stage"], as_index=False).agg(
        busy_ns_per_tx=("busy", "median"),
        cpu_ns_per_tx=("cpu", "median"),
        wait_ns_per_tx=("wait", "median"),
        utilization=("utilization", "median"),
        backend=("backend", "first"),
        time_domain=("time_domain", "first"),
    )
    result["share"] = result["cpu_ns_per_tx"] / result.groupby(_RUNG)["cpu_ns_per_tx"].transform("sum")
    order = pd.Categorical(result["stage"], categories=STAGES, ordered=True)
    return result.assign(_order=order).sort_values([*_RUNG, "_order"]).drop(columns="_order").reset_index(drop=True)


def _pass_times(frame: pd.DataFrame, suffix: str, duration: str, transactions: pd.DataFrame) -> pd.DataFrame:
    """Times of every stage and repetition, in ns a transaction, of the pass whose metrics end in ``suffix``."""
    keys = [*_PASS, "stage"]
    table: pd.DataFrame | None = None
    for name in ("busy", "cpu", "wait"):
        rows = _metric(frame, name + suffix).groupby(keys, as_index=False)
        said = {"backend": ("backend_ran", "first"), "time_domain": ("time_domain", "first")} if name == "busy" else {}
        times = rows.agg(**{name: ("value", "sum")} | said)
        table = times if table is None else table.merge(times, on=keys)
    assert table is not None
    table = table.merge(transactions[[*_PASS, "value"]].rename(columns={"value": "transactions"}), on=_PASS)
    lasted = _metric(frame, duration)[[*_PASS, "value"]].rename(columns={"value": "duration"})
    table = table.merge(lasted, on=_PASS)
    table["utilization"] = table["busy"] / table["duration"]
    for name in ("busy", "cpu", "wait"):
        table[name] = table[name] / table["transactions"]
    return table


def latencies(frame: pd.DataFrame) -> pd.DataFrame:
    """One row a workload, level and kind of latency: p50 and p99 in ns over all transactions of all repetitions.

    Kinds: ``order`` is the consensus on the simulated network; ``queue``, ``visible`` and ``final`` count from a
    block's ordering to its entry into the pipeline, to its results being shown, and to its being final. A transaction
    has the latency of its block.
    """
    keys = [*_PASS, "block"]
    weights = _metric(frame, "transactions")[[*keys, "value"]].rename(columns={"value": "transactions"})
    rows = []
    for kind in LATENCIES:
        samples = _metric(frame, f"latency_{kind}").merge(weights, on=keys)
        for (workload, level), group in samples.groupby(_RUNG, sort=True):
            p50, p99 = _weighted(group, "transactions", (0.50, 0.99))
            rows.append(
                {
                    "workload": workload,
                    "level": int(level),
                    "latency": kind,
                    "p50_ns": p50,
                    "p99_ns": p99,
                    "time_domain": group["time_domain"].iloc[0],
                }
            )
    return pd.DataFrame(rows, columns=["workload", "level", "latency", "p50_ns", "p99_ns", "time_domain"])


def _weighted(rows: pd.DataFrame, weight: str, shares: tuple[float, ...]) -> list[float]:
    """Quantiles of ``value`` where each row counts ``weight`` times, linear between neighbours as pandas has them.

    Without making the rows that often: a run of a million transactions has a thousand blocks.
    """
    ordered = rows.sort_values("value")
    values, reach = ordered["value"].to_numpy(dtype="float64"), ordered[weight].to_numpy(dtype="int64").cumsum()
    total = int(reach[-1]) if len(reach) else 0
    if not total:
        return [math.nan] * len(shares)
    found = []
    for share in shares:
        place = share * (total - 1)
        low, high = (values[reach.searchsorted(index, side="right")] for index in (math.floor(place), math.ceil(place)))
        found.append(float(low + (high - low) * (place - math.floor(place))))
    return found


def mechanisms(frame: pd.DataFrame) -> pd.DataFrame:
    """One row a level and mechanism: whether it was on, and the reason where it was not."""
    rows = frame[frame["metric"].str.startswith("mechanism:")]
    result = rows[[*_RUNG, "metric", "status", "reason"]].copy()
    result["mechanism"] = result["metric"].str.removeprefix("mechanism:")
    return result[[*_RUNG, "mechanism", "status", "reason"]].reset_index(drop=True)


def failures(frame: pd.DataFrame) -> pd.DataFrame:
    """One row a failure: workload, level, reason."""
    rows = frame[(frame["status"] == "failed") & frame["metric"].isin(["check", "plugin"])]
    return rows[[*_RUNG, "reason"]].drop_duplicates().reset_index(drop=True)


def harness_overhead(frame: pd.DataFrame) -> float | None:
    """The largest share of a sequential level's passes outside the stages, a median; None where there is none."""
    rows = _metric(frame, "harness_overhead")
    return float(rows.groupby("level")["value"].median().max()) if len(rows) else None


def gains(frame: pd.DataFrame) -> pd.DataFrame:
    """One row a workload and level with backends that were asked for: its throughput over the next lower level's.

    Columns: workload, level, below, rounds, ratio, low, high, noise_floor (a share), verdict, reason, by the rule that
    every level is judged by (``measure.verdict``). The noise floor is that of the lowest level against itself, whose
    second pass is scaled to the level below. A run without that second pass has medians and no verdict.
    """
    ok = frame[frame["status"] == "ok"]

    def by_repetition(metric: str) -> pd.Series:
        return ok[ok["metric"] == metric].groupby([*_RUNG, "repetition"], observed=True)["value"].first()

    measured, again = by_repetition("tps"), by_repetition("tps_again")
    rungs = sorted((str(workload), int(level)) for workload, level in measured.index.droplevel("repetition").unique())
    rows = []
    for switch in ok[ok["metric"] == "mechanism:heterogeneous_backends"].drop_duplicates(_RUNG).itertuples():
        here = (str(switch.workload), int(switch.level))
        below = [level for workload, level in rungs if workload == here[0] and level < here[1]]
        if here not in rungs or not below:
            continue
        there, base = (here[0], max(below)), (here[0], min(below))
        sides = pd.concat([measured.loc[there], measured.loc[here]], axis=1, keys=["below", "here"]).dropna()
        row: dict[str, object] = dict.fromkeys(_GAIN)
        row |= {"workload": here[0], "level": here[1], "below": there[1], "rounds": len(sides), "reason": ""}
        rows.append(row)
        if sides.empty:
            row["reason"] = f"no repetition has both DP{there[1]} and DP{here[1]}"
            continue
        row["ratio"] = float(sides["here"].median() / sides["below"].median())
        if base not in again.index.droplevel("repetition"):
            row["reason"] = NOT_MEASURED
            continue
        noise = (again.loc[base] / measured.loc[base]).rename("noise")
        sides = sides.join(noise, how="inner").dropna()
        if sides.empty:
            row["reason"] = f"no repetition has the second pass of DP{base[1]}"
            continue
        a, b = (sides[[name]].to_numpy(dtype="float64") for name in ("below", "here"))
        judged = judge(a, b, a * sides[["noise"]].to_numpy(dtype="float64"), higher_is_better=True)
        row |= {"rounds": len(sides), "ratio": judged.ratio, "low": judged.low, "high": judged.high}
        row |= {"noise_floor": judged.noise_floor, "verdict": judged.verdict.value, "reason": judged.reason}
    return pd.DataFrame(rows, columns=_GAIN)


_GAIN = ["workload", "level", "below", "rounds", "ratio", "low", "high", "noise_floor", "verdict", "reason"]


def kernel_costs(frame: pd.DataFrame) -> pd.DataFrame:
    """One row a level of ``gains`` and stage whose kernels ran elsewhere than at the level below: what they took.

    Columns: workload, level, below, stage, backend, compute, transfer, time_domain, backend_below, compute_below,
    transfer_below, time_domain_below; in ns a transaction of the pass with ``admit``, medians over the repetitions,
    summed over the stage's kernels.
    """
    keys = [*_RUNG, "stage"]
    sums = stage_kernels(frame).groupby(keys, observed=True).agg(
        backend=("backend", "first"), compute=("compute", "sum"), transfer=("transfer", "sum"),
        time_domain=("time_domain", "first"),
    )  # fmt: skip
    rows = []
    for gain in gains(frame).itertuples():
        for stage in STAGES:
            here, there = (gain.workload, gain.level, stage), (gain.workload, gain.below, stage)
            if here not in sums.index or there not in sums.index:
                continue
            now, before = sums.loc[here], sums.loc[there]
            if now["backend"] != before["backend"]:
                row = {"workload": gain.workload, "level": gain.level, "below": gain.below, "stage": stage}
                rows.append(row | now.to_dict() | {f"{name}_below": value for name, value in before.items()})
    columns = ["backend", "compute", "transfer", "time_domain"]
    named = [*_RUNG, "below", "stage", *columns, *(f"{name}_below" for name in columns)]
    return pd.DataFrame(rows, columns=named)


def gain_lines(frame: pd.DataFrame, *, costs: bool = True) -> list[str]:
    """What backends that were asked for gained over the level below; with ``costs``, what their kernels and transfers
    took, stage by stage.
    """
    lines = []
    taken = kernel_costs(frame) if costs else None
    for gain in gains(frame).itertuples():
        text = f"DP{gain.level} over DP{gain.below}: "
        text += "" if pd.isna(gain.ratio) else f"{gain.ratio:.2f}x in tx/s without admit"
        if not pd.isna(gain.low):
            text += f", {CONFIDENCE:.0%} interval {gain.low:.2f} to {gain.high:.2f}, noise floor {gain.noise_floor:.1%}"
        text += f", {gain.verdict or 'no verdict'}{f' ({gain.reason})' if gain.reason else ''}"
        off = error_note(
            frame[frame["workload"] == gain.workload], levels=(gain.below, gain.level), metrics=("model_error",)
        )
        lines.append(f"{text}; {off}" if off else text)
        if taken is None:
            continue
        mine = taken[(taken["workload"] == gain.workload) & (taken["level"] == gain.level)]
        lines += [
            f"{cost.stage} on {cost.backend}: compute {cost.compute / 1e3:.2f}, transfer {cost.transfer / 1e3:.2f} "
            f"us/tx {_TIME[cost.time_domain]}; on {cost.backend_below} at DP{cost.below}: "
            f"{cost.compute_below / 1e3:.2f} and {cost.transfer_below / 1e3:.2f}"
            + (f" {_TIME[cost.time_domain_below]}" if cost.time_domain_below != cost.time_domain else "")
            for cost in mine.itertuples()
        ]
    return lines


_TIME = {"wall": "of wall time", "modelled": "of modelled time", "device": "of device time", "cycles": "in cycles"}


def explain_backends(frame: pd.DataFrame) -> list[str]:
    """What backends that were asked for gained, what their transfers cost, and from which batch size on they win.

    Empty for a run in which none was asked for, or none took part at a level that holds.
    """
    lines = gain_lines(frame)
    found = [result.sentence for result in break_even(frame)]
    if found or lines:
        lines += [*found, *(f"break-even {reason}" for reason in why_not(frame))]
    return lines


def explain(
    frame: pd.DataFrame,
    rungs: pd.DataFrame | None = None,
    times: pd.DataFrame | None = None,
    *,
    backends: bool = True,
) -> list[str]:
    """A line a level: what it gave over the level before it, what its mechanisms changed, and what bounds it now.

    rungs, times: ``ladder(frame)`` and ``stage_times(frame)``, where the caller has them already
    backends:     whether the lines of ``explain_backends`` follow
    """
    rungs = ladder(frame) if rungs is None else rungs
    times = stage_times(frame) if times is None else times
    switches = mechanisms(frame)
    ran = stage_kernels(frame).groupby([*_RUNG, "stage"], observed=True)["backend"].first()
    devices = _device_times(frame)
    lines = []
    before: tuple[pd.Series, set[str], pd.DataFrame] | None = None
    for _, rung in rungs.iterrows():
        here = (times["level"] == rung["level"]) & (times["workload"] == rung["workload"])
        stages = times[here & (times["stage"] != "admit")].set_index("stage")
        mine = switches[(switches["level"] == rung["level"]) & (switches["workload"] == rung["workload"])]
        on = set(mine[mine["status"] == "ok"]["mechanism"])
        if before is None:
            text = f"{rung['tps']:,.0f} tx/s"
        else:
            text = f"{rung['tps'] / before[0]['tps']:.2f}x DP{before[0]['level']}"
            new = sorted(on - before[1])
            if new:
                there, here_now = (_ran(ran, str(rung["workload"]), int(side["level"])) for side in (before[0], rung))
                moved = [name for name in STAGES if name in there and there[name] != here_now.get(name, there[name])]
                text += f" with {', '.join(new)}{_change(new, moved, before[2], stages)}"
            else:
                missing = mine[(mine["status"] == "skipped") & ~mine["mechanism"].isin(before[1])]
                reasons = "; ".join(f"{row.mechanism}: {row.reason}" for row in missing.tail(2).itertuples())
                text += f" with nothing switched on that was not ({reasons}): the same work again"
        blocks = frame[(frame["level"] == rung["level"]) & (frame["metric"] == "busy")]["block"].nunique()
        lines.append(f"DP{rung['level']}: {text}. {_bound(rung, on, stages, int(blocks), devices)}")
        before = (rung, on, stages)
    return lines + (explain_backends(frame) if backends else [])


def _ran(backends: pd.Series, workload: str, level: int) -> dict[str, str]:
    """The backend of every stage of a level that called a kernel."""
    return {str(stage): str(name) for (*rung, stage), name in backends.items() if tuple(rung) == (workload, level)}


def _change(new: list[str], moved: list[str], before: pd.DataFrame, after: pd.DataFrame) -> str:
    """What the stages whose kernels ``new`` mechanisms moved to another backend cost before and after."""
    if not {"parallel_merkleization", "heterogeneous_backends"} & set(new):
        return ""
    parts = []
    for stage in moved:
        if stage in before.index and stage in after.index:
            old, now = before["cpu_ns_per_tx"][stage] / 1e3, after["cpu_ns_per_tx"][stage] / 1e3
            parts.append(f"{stage} {old:.1f} to {now:.1f}")
    return f" (CPU time of the stage's thread, us/tx: {', '.join(parts)})" if parts else ""


def _device_times(frame: pd.DataFrame) -> pd.Series:
    """By workload, level and stage: what calls on a simulated device take of it, in modelled ns a transaction."""
    elapsed = device_kernels(frame).groupby([*_RUNG, "stage"], observed=True)["elapsed"].sum()
    blocks = _metric(frame, "transactions").groupby(_PASS, observed=True)["value"].sum()
    transactions = blocks.groupby(_RUNG, observed=True).median()
    return pd.Series({key: value / transactions[key[:2]] for key, value in elapsed.items()}, dtype="float64")


def _bound(rung: pd.Series, on: set[str], stages: pd.DataFrame, blocks: int, devices: pd.Series) -> str:
    """What the throughput of a level is bounded by; ``devices`` as ``_device_times`` has them."""
    wall = 1e9 / rung["tps"]
    waiting = stages["wait_ns_per_tx"].sum()
    modelled = rung["mode"] == "model"
    # A schedule knows when a thread waits for the network alone; a live one waits for the lock and for cores as well.
    if waiting / wall > 0.5 and (modelled or "pipelining" not in on):
        return f"{waiting / wall:.0%} of the time is waiting for the next slot"
    if modelled:
        on_device = {stage: devices.get((rung["workload"], rung["level"], stage), 0.0) for stage in stages.index}
        return _modelled_bound(stages, on_device)
    work = stages["cpu_ns_per_tx"].sort_values(ascending=False)
    top = ", ".join(f"{stage} {value / work.sum():.0%}" for stage, value in work.head(3).items())
    if "pipelining" not in on:
        idle = 1 - work.sum() / wall
        disk = f"; {idle:.0%} is waiting, mostly for the disk" if idle > 0.05 else ""
        return f"One thread does everything: {top}{disk}"
    if blocks == 1:
        return "The run has one block, so nothing can overlap: give it more --txs or smaller --block-txs"
    cores = work.sum() / wall
    if not math.isfinite(cores):
        return ""
    return (
        f"Stages overlap, and their threads get {cores:.2f} cores' worth of the interpreter and the machine; "
        f"most of their work: {top}"
    )


def _modelled_bound(stages: pd.DataFrame, on_device: Mapping[str, float]) -> str:
    """What bounds a level in model mode: what the stages take, on devices as well, and how busy they are."""
    ranked = stages.sort_values("busy_ns_per_tx", ascending=False)
    total = ranked["busy_ns_per_tx"].sum()
    top = ", ".join(
        f"{stage}{f' on {row.backend}' if row.time_domain == 'modelled' else ''} {row.busy_ns_per_tx / total:.0%} "
        f"(busy {row.utilization:.0%} of the pass)"
        for stage, row in zip(ranked.index[:3], ranked.itertuples(), strict=False)
    )
    first, stage = ranked.iloc[0], ranked.index[0]
    if on_device[stage] > 0.5 * first["busy_ns_per_tx"]:
        return f"The device of {first['backend']} takes most of {stage}, the longest stage. Of the stages' time: {top}"
    return f"Of the stages' time: {top}"
