"""The STARKs of a run's blocks: how many and how long, where the time went, and what it takes to verify them."""

from __future__ import annotations

import pandas as pd

__all__ = ["HOST", "PARTS", "block_proofs"]

PARTS = ("trace", "ntt", "hashing", "fri", "transfer", "host")
"""Where the time of making them goes (docs/proofs.md)."""

HOST = ("trace", "host", "verify")
"""What no kernel does: on the wall clock wherever the kernels run."""

_RUNG = ["workload", "level"]
_METRICS = {"proofs": "proofs", "proof_bytes": "bytes", **{f"proof_{part}": part for part in (*PARTS, "verify")}}


def block_proofs(frame: pd.DataFrame) -> pd.DataFrame:
    """One row a workload and level: a block's proofs, in the mean over blocks, as the median of all repetitions.

    Columns: ``backend`` that made them, ``proofs``, ``bytes``, ``PARTS`` and ``verify`` in ns, ``time_domain`` of the
    kernels among them. Empty where the blocks ask for none.
    """
    columns = [*_RUNG, "backend", *_METRICS.values(), "time_domain"]
    rows = frame[frame["metric"].isin(list(_METRICS)) & (frame["status"] == "ok")]
    if not len(rows):
        return pd.DataFrame(columns=columns)
    means = rows.groupby([*_RUNG, "repetition", "metric"])["value"].mean().unstack("metric")
    found = means.groupby(level=_RUNG).median().rename(columns=_METRICS).reset_index()
    kernels = rows[rows["metric"] == "proof_ntt"].groupby(_RUNG)
    found["backend"] = kernels["backend_ran"].first().to_numpy()
    found["time_domain"] = kernels["time_domain"].first().to_numpy()
    return found[columns]
