"""Which block was in which stage when: the instants of a pipeline run, one row a block and stage."""

from __future__ import annotations

import pandas as pd

from chaindp.errors import InputError

__all__ = ["block_kernels", "spans", "typical_repetition"]

_KEYS = ["workload", "level", "repetition", "stage", "block"]
_TIMES = ("start", "end", "busy", "cpu", "wait")


def spans(frame: pd.DataFrame) -> pd.DataFrame:
    """One row a workload, level, repetition, stage and block of the pass with ``admit``.

    Columns: workload, level, repetition, stage, block, start, end, busy, cpu, wait (ns; start and end from the start of
    the pass), backend, time_domain (of start and end), status, reason. Passes that failed are here too, as such. Rows
    are in order of start within each stage. InputError where a block leaves a stage before it enters it.
    """
    rows = frame[frame["metric"].isin(_TIMES) & frame["block"].notna() & frame["value"].notna()]
    rows = rows.drop_duplicates([*_KEYS, "metric"])
    columns = ["backend_ran", "time_domain", "status", "reason"]
    starts = rows[rows["metric"] == "start"].set_index(_KEYS)[columns].rename(columns={"backend_ran": "backend"})
    values = {metric: rows[rows["metric"] == metric].set_index(_KEYS)["value"] for metric in _TIMES}
    # A block that has no start or no end was in no stage; the other figures may be missing.
    table = pd.DataFrame({"start": values["start"]}).join(values["end"].rename("end"), how="inner")
    early = table["end"] < table["start"]
    if early.any():
        named = ", ".join(f"{name} {value}" for name, value in zip(_KEYS, table.index[early][0], strict=True))
        raise InputError(f"a block ends before it starts: {named}")
    for metric in ("busy", "cpu", "wait"):
        table = table.join(values[metric].rename(metric))
    table = table.join(starts)
    return table.reset_index().sort_values([*_KEYS[:-1], "start", "block"]).reset_index(drop=True)


def block_kernels(frame: pd.DataFrame) -> pd.DataFrame:
    """One row a block, stage and kernel: workload, level, repetition, stage, block, kernel, compute, transfer in ns,
    and the time_domain of both.
    """
    keys = [*_KEYS, "kernel"]
    parts = []
    for name in ("compute", "transfer"):
        rows = frame[(frame["metric"] == f"kernel_{name}") & frame["value"].notna()]
        rows = rows.drop_duplicates(keys).set_index(keys)
        parts.append(rows["value"].rename(name))
        if name == "compute":
            parts.append(rows["time_domain"])
    return pd.concat(parts, axis=1).reset_index()


def typical_repetition(frame: pd.DataFrame) -> int | None:
    """The repetition of the median throughput, summed over the levels; None where no pass with ``admit`` holds.

    Only repetitions that have the most levels count, so that a level that failed once is not left out of the picture.
    """
    rows = frame[(frame["metric"] == "tps_with_admit") & (frame["status"] == "ok")]
    if not len(rows):
        return None
    by_repetition = rows.groupby("repetition", observed=True)["value"].agg(["count", "sum"])
    full = by_repetition[by_repetition["count"] == by_repetition["count"].max()].sort_values("sum")
    return int(full.index[(len(full) - 1) // 2])
