"""How far the model of a run is off: one place for every table, line and picture that shows modelled figures."""

from __future__ import annotations

from collections.abc import Collection

import pandas as pd

__all__ = ["ERRORS", "checked_on", "error_note", "worst_error"]

ERRORS = {"tps": "model_error", "tps_with_admit": "model_error_with_admit"}
"""Metric of throughput to that of the model's error in it."""


def worst_error(
    frame: pd.DataFrame, *, levels: Collection[int] | None = None, metrics: Collection[str] = tuple(ERRORS.values())
) -> float | None:
    """The error that is furthest from 0 over all samples that hold, with its sign; None where nothing was checked.

    A median would let errors of either sign, and bad repetitions, cancel out.
    """
    rows = frame[frame["metric"].isin(list(metrics)) & (frame["status"] == "ok")]
    if levels is not None:
        rows = rows[rows["level"].isin(list(levels))]
    errors = rows["value"].dropna()
    return float(max(errors, key=abs)) if len(errors) else None


def error_note(
    frame: pd.DataFrame, *, levels: Collection[int] | None = None, metrics: Collection[str] = tuple(ERRORS.values())
) -> str:
    """What to put beside modelled throughput: how far the model was off at most. Empty where nothing is modelled."""
    throughput = frame[(frame["metric"] == "tps") & (frame["status"] == "ok")]
    if not (throughput["time_domain"] == "modelled").any():
        return ""
    worst = worst_error(frame, levels=levels, metrics=metrics)
    return "the model was not checked" if worst is None else f"the model is off by at most {abs(worst):.1%}"


def checked_on(frame: pd.DataFrame) -> str:
    """Which machine the model was checked on, and that another one is modelled, where that is so; empty: not known."""
    hosts = {}
    for what in ("model", "model_check"):
        values = [frame[frame["metric"] == f"{what}_{part}"]["value"].dropna() for part in ("cores", "lock")]
        if any(one.empty for one in values):
            return ""
        hosts[what] = tuple(int(one.iloc[0]) for one in values)
    here, stated = (_host(*hosts[what]) for what in ("model_check", "model"))
    if here == stated:
        return f"on this machine, {here}"
    return f"on this machine, {here}; what is modelled is {stated}, which nothing here can be checked against"


def _host(cores: int, lock: int) -> str:
    return f"{cores} core{'' if cores == 1 else 's'} {'with' if lock else 'without'} an interpreter's lock"
