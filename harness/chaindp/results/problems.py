"""What did not hold and what was not done, with the reasons: one row for each thing, however many samples it had."""

from __future__ import annotations

import pandas as pd

__all__ = ["problems"]

_COLUMNS = ["status", "what", "levels", "backend", "reason", "rows"]


def problems(frame: pd.DataFrame) -> pd.DataFrame:
    """One row a status, thing and reason: status (failed or skipped), what, levels, backend, reason, rows.

    ``what`` is a mechanism, a stage, a kernel at a size, a plugin or a check; ``levels`` is the ascending list of
    levels it is about. Samples of a pass that failed are counted with the check that failed them. Failures come first.
    """
    bad = frame[frame["status"] != "ok"]
    if bad.empty:
        return pd.DataFrame(columns=_COLUMNS)
    bad = bad.assign(what=_what(bad), backend=bad["backend_requested"].astype("string").fillna(""))
    # Every sample of a failed pass carries the reason of its check, which has a row of its own.
    checks = bad[bad["metric"] == "check"]
    checked = bad["reason"].astype("string").isin(_reasons(checks)) & bad["level"].notna() & (bad["status"] == "failed")
    bad = bad.assign(what=bad["what"].where(~checked, "check"), backend=bad["backend"].where(~checked, ""))
    rows = []
    keys = ["status", "what", "backend", "reason"]
    for values, group in bad.groupby(keys, sort=False, observed=True, dropna=False):
        row: dict[str, object] = dict(zip(keys, values, strict=True))
        row |= {"levels": sorted(int(level) for level in group["level"].dropna().unique()), "rows": len(group)}
        rows.append(row)
    result = pd.DataFrame(rows, columns=_COLUMNS)
    return result.sort_values("status", kind="stable").reset_index(drop=True)


def _reasons(checks: pd.DataFrame) -> set[str]:
    """The reasons of failed checks, as written and without the ``DPn, `` that the check adds to the samples' one."""
    whole = {str(reason) for reason in checks["reason"]}
    return whole | {reason.partition(", ")[2] for reason in whole}


def _what(rows: pd.DataFrame) -> pd.Series:
    """What each row is about, in words."""
    metric = rows["metric"].astype("string")
    kernel = rows["workload"].astype("string").where(metric.str.endswith("_time") | (metric == "work"))
    stage = "stage " + rows["stage"].astype("string")
    mechanism = metric.str.removeprefix("mechanism:").where(metric.str.startswith("mechanism:"))
    return mechanism.fillna(kernel).fillna(rows["kernel"].astype("string")).fillna(stage).fillna(metric)
