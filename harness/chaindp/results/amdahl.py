"""Amdahl's view of a pipeline run: how much of a chain's time is kernels, and what faster kernels can give at most."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

__all__ = ["ALL_STAGES", "AMDAHL_FORMULA", "amdahl", "speedup_with"]

ALL_STAGES = "all"

AMDAHL_FORMULA = "predicted = 1 / (1 - share + share / kernel speed-up + transfer); ceiling = 1 / (1 - share)"

_RUNG = ["workload", "level"]
_PASS = [*_RUNG, "repetition"]
_COLUMNS = [
    *_RUNG, "baseline", "stage", "backend_from", "backend_to", "share", "kernel_speedup", "transfer", "predicted",
    "measured", "ceiling", "overlap", "time_domain",
]  # fmt: skip


def speedup_with(share: float, kernel_speedup: float, transfer: float) -> float:
    """What the whole gains where ``share`` of its time gets ``kernel_speedup`` times as fast (Amdahl 1967).

    transfer: what moving data to the kernels and back then costs, as a share of the whole's time before
    """
    return 1.0 / (1.0 - share + share / kernel_speedup + transfer)


def amdahl(frame: pd.DataFrame) -> pd.DataFrame:
    """One row a level, baseline and stage whose kernels run elsewhere at the level, and one for ``all`` such stages.

    The baselines of a level are the lowest level of the run and the next one below. Columns: workload, level,
    baseline, stage, backend_from, backend_to, share, kernel_speedup, transfer, predicted, measured, ceiling, overlap,
    time_domain. Of the pass with ``admit``, from times a transaction, medians over the repetitions:

    share:          of the baseline's stage time (start to end, less waiting for the network) that is these kernels,
                    their transfers included
    kernel_speedup: that kernel time over the kernels' compute time at the level
    transfer:       the level's transfers, over the baseline's stage time
    predicted:      by AMDAHL_FORMULA, nothing else changed; ``ceiling`` has kernels and transfers for nothing
    measured:       the level's throughput over the baseline's, with its other mechanisms; in the ``all`` rows only
    overlap:        whether blocks overlap at the level and not at the baseline: kernels then also wait for a core
    time_domain:    of the kernels at the level: ``modelled`` where any of them ran on a simulated device. The speed-up
                    is then of modelled time over measured time, and says what the model does, not what was measured
    """
    totals = _Totals.of(frame)
    rows = []
    for workload, level in totals.throughput.index:
        below = [number for name, number in totals.throughput.index if name == workload and number < level]
        for baseline in sorted({min(below), max(below)} if below else ()):
            rows += _rows(totals, workload, int(level), int(baseline))
    return pd.DataFrame(rows, columns=_COLUMNS)


@dataclass(frozen=True, slots=True)
class _Totals:
    """Medians by workload and level (and stage): ns a transaction, tx/s, the backend; and who overlaps blocks."""

    busy: pd.Series
    compute: pd.Series
    transfer: pd.Series
    throughput: pd.Series
    backend: pd.Series
    domain: pd.Series
    overlapping: frozenset[tuple[str, int]]

    @classmethod
    def of(cls, frame: pd.DataFrame) -> _Totals:
        ok = frame[frame["status"] == "ok"]

        def metric(name: str) -> pd.DataFrame:
            return ok[ok["metric"] == name]

        transactions = metric("transactions").groupby(_PASS, observed=True)["value"].sum()
        compute = metric("kernel_compute")
        spent, moved = (
            _per_transaction(metric(f"kernel_{name}"), ["stage"], transactions) for name in ("compute", "transfer")
        )
        # Where transfers overlap with computation, what they cost is what a call takes beyond its computation.
        elapsed = _per_transaction(metric("kernel_elapsed"), ["stage"], transactions)
        moved = moved.copy()
        moved.loc[elapsed.index] = (elapsed - spent.loc[elapsed.index]).clip(lower=0.0)
        ran = compute.dropna(subset="backend_ran")
        # In a model pass one stage is at work at a time when its kernels are timed, whatever the schedule overlaps.
        live = metric("tps_with_admit")
        live = {(str(row.workload), int(row.level)) for row in live[live["time_domain"] == "wall"].itertuples()}
        pipelined = metric("mechanism:pipelining")
        return cls(
            busy=_per_transaction(metric("busy"), [], transactions),
            compute=spent,
            transfer=moved,
            throughput=metric("tps_with_admit").groupby(_RUNG, observed=True)["value"].median(),
            backend=ran.groupby([*_RUNG, "stage"], observed=True)["backend_ran"].first(),
            domain=ran.groupby([*_RUNG, "stage"], observed=True)["time_domain"].first(),
            overlapping=frozenset(live) & set(zip(pipelined["workload"], pipelined["level"].astype(int), strict=True)),
        )


def _rows(totals: _Totals, workload: str, level: int, baseline: int) -> list[dict[str, object]]:
    """The rows of one level over one baseline; none where all kernels run where they ran."""
    here, there = (workload, level), (workload, baseline)
    total = totals.busy.get(there, 0.0)
    moved = []
    for stage in [name for *rung, name in totals.backend.index if tuple(rung) == here]:
        source, target = totals.backend.get((*there, stage)), totals.backend[(*here, stage)]
        if source is not None and source != target:
            before = totals.compute[(*there, stage)] + totals.transfer.get((*there, stage), 0.0)
            after, carried = totals.compute[(*here, stage)], totals.transfer.get((*here, stage), 0.0)
            moved.append((stage, source, target, before, after, carried))
    if not moved or total <= 0:
        return []
    names = [", ".join(dict.fromkeys(part[column] for part in moved)) for column in (1, 2)]
    domains = {stage: str(totals.domain[(*here, stage)]) for stage, *_ in moved}
    domains[ALL_STAGES] = next((domain for domain in domains.values() if domain != "wall"), "wall")
    everything = (ALL_STAGES, *names, *(sum(part[column] for part in moved) for column in (3, 4, 5)))
    rows = []
    for stage, source, target, before, after, carried in [*moved, everything]:
        share, faster = before / total, before / after if after > 0 else float("inf")
        row: dict[str, object] = {"workload": workload, "level": level, "baseline": baseline, "stage": stage}
        row |= {"backend_from": source, "backend_to": target, "share": share, "kernel_speedup": faster}
        row |= {"transfer": carried / total, "predicted": speedup_with(share, faster, carried / total)}
        row |= {"measured": totals.throughput[here] / totals.throughput[there] if stage == ALL_STAGES else None}
        row |= {"ceiling": 1.0 / (1.0 - share) if share < 1 else float("inf")}
        row |= {
            "overlap": here in totals.overlapping and there not in totals.overlapping,
            "time_domain": domains[stage],
        }
        rows.append(row)
    return rows


def _per_transaction(rows: pd.DataFrame, more: list[str], transactions: pd.Series) -> pd.Series:
    """Sums of a pass in ns a transaction, as medians over the repetitions, by workload, level and ``more``."""
    sums = rows.groupby([*_PASS, *more], as_index=False, observed=True)["value"].sum()
    sums = sums.merge(transactions.rename("transactions").reset_index(), on=_PASS)
    sums["value"] /= sums["transactions"]
    return sums.groupby([*_RUNG, *more], observed=True)["value"].median()
