"""Building the results table: rows appended in columns, turned into a DataFrame once at the end."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from chaindp.errors import InputError
from chaindp.results.schema import COLUMNS, SCHEMA_VERSION, conform

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["SampleTable"]

_DEFAULTS: Mapping[str, Any] = {"status": "ok"}
_FIELDS = frozenset(COLUMNS) - {"schema_version", "run_id"}
_MANY = (np.ndarray, list, tuple)


class SampleTable:
    """Samples of one run. Appending is a list append of the fields as they are; all conversion waits for ``frame``.

    Safe to append to from several threads: a row or a bulk is one append to one list.
    """

    def __init__(self, run_id: str) -> None:
        self.run_id = run_id
        self._chunks: list[tuple[int, dict[str, Any]]] = []

    def __len__(self) -> int:
        return sum(count for count, _ in self._chunks)

    def append(self, **fields: Any) -> None:
        """Add one row. Fields are columns of the schema; what is left out is null, ``status`` is then ``ok``."""
        if not fields.keys() <= _FIELDS:
            raise _not_a_field(fields)
        self._chunks.append((1, fields))

    def extend(self, count: int, **fields: Any) -> None:
        """Add ``count`` rows at once. A field is one value for all of them, or an array or list of ``count`` values."""
        if not fields.keys() <= _FIELDS:
            raise _not_a_field(fields)
        for name, value in fields.items():
            if isinstance(value, _MANY) and len(value) != count:
                raise ValueError(f"field {name} has {len(value)} values for {count} rows")
        if count > 0:
            self._chunks.append((count, fields))

    def frame(self) -> pd.DataFrame:
        """All rows so far, with the columns and dtypes of the schema; InputError where a row does not fit."""
        import pandas as pd

        chunks = list(self._chunks)
        lengths = np.array([count for count, _ in chunks], dtype=np.int64)
        total = int(lengths.sum())
        columns: dict[str, Any] = {
            "schema_version": np.full(total, SCHEMA_VERSION, dtype=np.int32),
            "run_id": pd.array([self.run_id], dtype="string").take(np.zeros(total, dtype=np.int64)),
        }
        for name in COLUMNS:
            if name not in columns:
                columns[name] = _column(chunks, lengths, name)
        return conform(pd.DataFrame({name: columns[name] for name in COLUMNS}))


def _not_a_field(fields: Mapping[str, Any]) -> TypeError:
    unknown = ", ".join(sorted(fields.keys() - _FIELDS))
    return TypeError(f"not a field to append: {unknown}")


def _column(chunks: Sequence[tuple[int, dict[str, Any]]], lengths: np.ndarray, name: str) -> Any:
    """One column over all chunks as an array of the schema's dtype."""
    dtype = COLUMNS[name].dtype
    values = [fields.get(name, _DEFAULTS.get(name)) for _, fields in chunks]
    if not any(isinstance(value, _MANY) for value in values):
        # One value a chunk: convert each once, then repeat. Values recur, so this is far cheaper than a list of rows.
        return _array(values, name, dtype).take(np.repeat(np.arange(len(values)), lengths))
    rows = itertools.chain.from_iterable(
        value if isinstance(value, _MANY) else itertools.repeat(value, count)
        for (count, _), value in zip(chunks, values, strict=True)
    )
    return _array(list(rows), name, dtype)


def _array(values: list[Any], name: str, dtype: str) -> Any:
    try:
        return _converted(values, dtype)
    except (TypeError, ValueError, OverflowError) as error:
        raise InputError(f"not a results table: column {name} does not hold {dtype}: {error}") from error


def _converted(values: list[Any], dtype: str) -> Any:
    import pandas as pd

    if dtype == "float64":
        return np.array([np.nan if value is None else value for value in values], dtype=np.float64)
    return pd.array(values, dtype=dtype)
