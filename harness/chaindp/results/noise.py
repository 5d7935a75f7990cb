"""The noise floor of a machine during a pipeline run, and the verdict on each level that it allows."""

from __future__ import annotations

import pandas as pd

from chaindp.measure.verdict import judge

__all__ = ["NOT_MEASURED", "level_verdicts"]

NOT_MEASURED = "not measured: the run has no second pass of its lowest level (metric tps_again)"

_COLUMNS = ["workload", "level", "over", "rounds", "ratio", "low", "high", "noise_floor", "verdict", "reason"]


def level_verdicts(frame: pd.DataFrame) -> pd.DataFrame:
    """One row a workload and level that holds: its throughput over the lowest level's, and whether they differ.

    Columns: workload, level, over, rounds, ratio, low, high, noise_floor (a share), verdict, reason. A repetition is a
    round: its levels ran interleaved, over the same transactions. The noise floor is that of the lowest level against
    itself; a run without that second pass has neither noise floor nor verdicts, and ``reason`` says so.
    """
    ok = frame[frame["status"] == "ok"]

    def by_repetition(metric: str) -> pd.Series:
        return ok[ok["metric"] == metric].groupby(["workload", "level", "repetition"], observed=True)["value"].first()

    measured, again = by_repetition("tps"), by_repetition("tps_again")
    lowest = frame.groupby("workload", observed=True)["level"].min()
    rows = []
    for workload, level in measured.index.droplevel("repetition").unique():
        base = (workload, lowest[workload])
        row: dict[str, object] = dict.fromkeys(_COLUMNS)
        row |= {"workload": workload, "level": int(level), "over": int(base[1]), "reason": ""}
        rows.append(row)
        if base not in again.index.droplevel("repetition"):
            row["reason"] = NOT_MEASURED
            continue
        if base not in measured.index.droplevel("repetition"):
            row["reason"] = f"DP{base[1]}, which the others are compared with, has no throughput that holds"
            continue
        if level == base[1]:
            row["reason"] = "the level that the others are compared with"
        sides = pd.concat([measured.loc[base], measured.loc[(workload, level)], again.loc[base]], axis=1).dropna()
        row["rounds"] = len(sides)
        if sides.empty:
            row["reason"] = "no repetition has this level, the lowest one and its second pass"
            continue
        a, b, second = (sides.iloc[:, [column]].to_numpy(dtype="float64") for column in range(3))
        judged = judge(a, b, second, higher_is_better=True)
        row["noise_floor"] = judged.noise_floor
        if level != base[1]:
            row |= {"ratio": judged.ratio, "low": judged.low, "high": judged.high}
            row |= {"verdict": judged.verdict.value, "reason": judged.reason}
    return pd.DataFrame(rows, columns=_COLUMNS)
