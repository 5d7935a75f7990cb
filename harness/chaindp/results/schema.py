"""The columns of the results table: one row a sample, failures and skips included.

The long form holds any number of workloads, levels, stages, kernels and backends in one table, which pandas groups and
pivots without knowing beforehand what a run measured. A column that does not apply to a row is null.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from chaindp.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["COLUMNS", "SCHEMA_VERSION", "STATUSES", "TIME_DOMAINS", "Column", "conform"]

SCHEMA_VERSION = 1
"""Raised whenever a column is added, dropped or changes its meaning; a reader refuses a version it does not know."""

STATUSES = ("ok", "failed", "skipped")
TIME_DOMAINS = ("wall", "device", "cycles", "modelled")


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its pandas dtype, whether a row may leave it null, and what it says."""

    dtype: str
    nullable: bool
    meaning: str


COLUMNS: dict[str, Column] = {
    "schema_version": Column("int32", False, "version of this table's columns"),
    "run_id": Column("string", False, "the run that measured the sample; the name of its folder"),
    "workload": Column("string", True, "workload of a run; for a kernel bench KERNEL/SIZE, the generated input"),
    "level": Column("Int8", True, "degree of parallelism, 0 to 5"),
    "repetition": Column("Int32", True, "counts from 0; every repetition has fresh input"),
    "block": Column("Int64", True, "index of the block within the workload"),
    "stage": Column("string", True, "stage of the pipeline"),
    "kernel": Column("string", True, "kernel, where the sample is of one"),
    "backend_requested": Column("string", True, "backend, or backend:device, that was asked for"),
    "backend_ran": Column("string", True, "backend, or backend:device, that ran"),
    "device": Column("string", True, "device of that backend; empty for its default one"),
    "time_domain": Column("string", True, "what a duration was measured with: wall, device, cycles or modelled"),
    "metric": Column("string", False, "what was measured"),
    "value": Column("float64", True, "the measured value; null where there is none (failed, skipped)"),
    "unit": Column("string", True, "unit of the value, such as ns, tx/s, bytes, 1 for a count"),
    "output_matched": Column(
        "boolean", True, "whether the output equals the reference's; null where it was not compared"
    ),
    "status": Column("string", False, "ok, failed or skipped"),
    "reason": Column(
        "string",
        True,
        "why a row failed or was skipped; of an ok row, whether it is an outlier, or how its clocks disagree",
    ),
}


def conform(frame: pd.DataFrame) -> pd.DataFrame:
    """``frame`` with exactly the columns of the schema, in order and dtype; InputError where it does not fit.

    Checked: no column is missing or unknown, no required value is null, statuses and time domains are known ones, and
    every row that is not ok says why.
    """
    import pandas as pd

    missing = [name for name in COLUMNS if name not in frame.columns]
    unknown = [str(name) for name in frame.columns if name not in COLUMNS]
    if missing or unknown:
        parts = [f"lacks {', '.join(missing)}"] if missing else []
        parts += [f"has unknown {', '.join(unknown)}"] if unknown else []
        raise InputError(f"not a results table: it {' and '.join(parts)}")
    columns = {}
    for name, column in COLUMNS.items():
        series = frame[name]
        if not column.nullable and series.isna().any():
            raise InputError(f"not a results table: column {name} has rows without a value")
        try:
            columns[name] = series.astype(column.dtype)
        except (TypeError, ValueError, OverflowError) as error:
            raise InputError(f"not a results table: column {name} does not hold {column.dtype}: {error}") from error
    result = pd.DataFrame(columns, index=frame.index)
    _check_words(result["status"], STATUSES, "status")
    _check_words(result["time_domain"], TIME_DOMAINS, "time_domain")
    unexplained = (result["status"] != "ok") & (result["reason"].fillna("") == "")
    if unexplained.any():
        raise InputError(f"not a results table: row {unexplained.idxmax()} is not ok and gives no reason")
    return result


def _check_words(series: pd.Series, words: tuple[str, ...], name: str) -> None:
    bad = series[~series.isin(words) & series.notna()]
    if len(bad):
        raise InputError(f"not a results table: {name} {bad.iloc[0]!r} is none of {', '.join(words)}")
