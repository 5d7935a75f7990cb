"""Comparing two stored runs: what both of them measured, side by side, each figure with its verdict."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from chaindp.errors import InputError
from chaindp.measure.statistics import outliers
from chaindp.measure.verdict import Comparison, Judgement, Verdict, judge
from chaindp.results.kernels import disagreements
from chaindp.results.model_error import ERRORS, error_note

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "DOMAINS",
    "FLOOR_OF_STORED_RUNS",
    "Series",
    "compare_runs",
    "compare_series",
    "differing_work",
    "domain_refusal",
    "series_of",
]

FLOOR_OF_STORED_RUNS = "each run against itself: draws, and its first half against its second"
NO_NOISE = "simulated cycles have no noise: low and high are over all pairs of inputs, and a verdict is where all agree"
NOT_INTERLEAVED = "the runs were not interleaved: what changed on the machine in between looks the same"

DOMAINS = {
    "wall": "a clock on the machine",
    "device": "device events",
    "cycles": "simulated clock cycles",
    "modelled": "a model's schedule or a stated clock",
}

_HIGHER_IS_BETTER = {"tps", "tps_with_admit"}
_WORK = {
    "txs": "transactions",
    "block_txs": "transactions a block",
    "accounts": "accounts",
    "zipf": "the Zipf exponent",
    "conflict": "the share of conflicts",
    "slot_s": "the slot in seconds",
    "network": "the network",
    "threads": "threads of a backend",
    "ablate": "what is ablated",
}
_PLATFORM = {
    "clock_mhz": ("the clock in MHz", "the core's own"),
    "instances": ("instances", 1),
    "link": ("the link", "the backend's usual one"),
}
"""What is stated around a simulated device: in words, and what is meant where it is not stated."""


@dataclass(frozen=True, slots=True)
class Series:
    """All samples of one figure of one run. ``values`` float64[samples]; ``problem`` says why there are none.

    key:   what a series of the other run must share to be compared; ``side`` is the backend, which may differ
    doubt: how the clocks that it was measured with disagree, or how far the model was off that it is of; empty where
           neither can be
    exact: whether it is of a simulated device alone, so that the same input always gives the same value
    """

    key: tuple[str, str]
    side: str
    unit: str
    time_domain: str | None
    values: np.ndarray
    problem: str = ""
    doubt: str = ""
    exact: bool = False


def compare_runs(
    a: pd.DataFrame, b: pd.DataFrame, *, names: tuple[str, str] = ("A", "B"), seed: int = 0
) -> list[Comparison]:
    """Every figure that both runs have, B against A; InputError where they have none in common.

    a, b:  tables as ``chaindp.load`` gives them
    names: what to call the runs in the rows

    Figures of one kernel and size are compared backend by backend, each by its clock; where each run has one backend,
    with each other. Rows that cannot be ranked (another time domain, a failure) have no verdict and say why.
    """
    left, right = list(series_of(a)), list(series_of(b))
    same = [(one, two) for one in left for two in right if one.key == two.key and one.side == two.side]
    pairs = [(one, two) for one, two in same if one.time_domain == two.time_domain]
    matched = {(one.key, one.side) for one, _ in pairs}
    pairs += [(one, two) for one, two in same if (one.key, one.side) not in matched]
    for key in {one.key for one in left} - {one.key for one, _ in pairs}:
        mine, theirs = ([series for series in side if series.key == key] for side in (left, right))
        if len({one.side for one in mine}) == len({two.side for two in theirs}) == 1:
            alike = [(one, two) for one in mine for two in theirs if one.time_domain == two.time_domain]
            pairs += alike or [(mine[0], theirs[0])]
    if not pairs:
        raise InputError(
            f"{names[0]} and {names[1]} have no figure in common: {_what(left)} in the one, {_what(right)} in the other"
        )
    order = {series.key: index for index, series in reversed(list(enumerate(left)))}
    pairs.sort(key=lambda pair: order[pair[0].key])
    return [compare_series(one, two, names, seed) for one, two in pairs]


def compare_series(a: Series, b: Series, names: tuple[str, str], seed: int = 0) -> Comparison:
    """One figure of two runs, judged."""
    metric, what = a.key
    sides = [name + (f" {series.side}" if series.side else "") for name, series in zip(names, (a, b), strict=True)]
    problems = [f"{side}: {series.problem}" for side, series in zip(sides, (a, b), strict=True) if series.problem]
    refusal = "; ".join(problems) or domain_refusal(sides[0], a.time_domain, sides[1], b.time_domain)
    counts = (len(a.values), len(b.values))
    domain = _domain_of_figures(a, b)
    if domain == "device":
        what = f"{what} (device time)"
    if domain == "modelled" and a.exact and b.exact:
        what = f"{what} (modelled)"
    doubts = [f"{side}: {series.doubt}" for side, series in zip(sides, (a, b), strict=True) if series.doubt]
    common: dict[str, Any] = {"metric": metric, "what": what, "a": sides[0], "b": sides[1], "unit": a.unit}
    if refusal or not all(counts):
        return Comparison(
            **common,
            time_domain=domain,
            samples_a=counts[0],
            samples_b=counts[1],
            verdict=None,
            a_median=float(np.median(a.values)) if counts[0] else None,
            b_median=float(np.median(b.values)) if counts[1] else None,
            reason=refusal or f"{sides[0] if not counts[0] else sides[1]} has no samples",
        )
    if a.exact and b.exact:
        return Comparison(
            **common, time_domain=domain, samples_a=counts[0], samples_b=counts[1], **_exact(a.values, b.values)
        )
    try:
        found: Judgement = judge(a.values, b.values, higher_is_better=metric in _HIGHER_IS_BETTER, seed=seed)
    except InputError as error:
        # One bad figure is that row's, and the others are compared.
        return Comparison(
            **common,
            time_domain=a.time_domain,
            samples_a=counts[0],
            samples_b=counts[1],
            verdict=None,
            reason=str(error),
        )
    interleaved = NOT_INTERLEAVED if found.verdict in (Verdict.FASTER, Verdict.SLOWER) else ""
    return Comparison(
        **common,
        time_domain=a.time_domain,
        samples_a=counts[0],
        samples_b=counts[1],
        verdict=found.verdict,
        a_median=float(np.median(a.values)),
        b_median=float(np.median(b.values)),
        ratio=found.ratio,
        low=found.low,
        high=found.high,
        noise_floor=found.noise_floor,
        floor_from=FLOOR_OF_STORED_RUNS,
        outliers_a=int((outliers(a.values) != "").sum()),
        outliers_b=int((outliers(b.values) != "").sum()),
        reason="; ".join(filter(None, (found.reason or interleaved, *doubts))),
    )


def _domain_of_figures(a: Series, b: Series) -> str | None:
    """The time domain of a row: of both sides, or of the only one that has figures; None where they differ.

    A side that failed may have none, because it did not come to be opened.
    """
    if len(a.values) and not len(b.values):
        return a.time_domain
    if len(b.values) and not len(a.values):
        return b.time_domain
    return a.time_domain if a.time_domain == b.time_domain else None


def domain_refusal(a: str, a_domain: str | None, b: str, b_domain: str | None) -> str:
    """Why two sides cannot be ranked by their time domains; empty where they can."""
    if a_domain == b_domain:
        return ""
    one, two = (f"{domain} ({DOMAINS.get(domain or '', 'unknown')})" for domain in (a_domain, b_domain))
    return f"not ranked across time domains: {a} is in {one}, {b} in {two}"


def series_of(frame: pd.DataFrame) -> Iterator[Series]:
    """Every figure of a run that a comparison is made of: throughput by level, time per unit of work by kernel."""
    for metric, error in ERRORS.items():
        rows = frame[frame["metric"] == metric]
        for (workload, level), group in rows.groupby(["workload", "level"], sort=True):
            note = error_note(frame[frame["workload"] == workload], levels=(int(level),), metrics=(error,))
            yield _series(group, group["value"], (metric, f"{workload} DP{level}"), "", "tx/s", note)
    metrics = ["compute_time", "transfer_time", "work", "device_span_time", "call_time"]
    rows = frame[frame["kernel"].notna() & frame["metric"].isin(metrics)]
    said = disagreements(frame)
    # A backend may have figures by the wall clock and by its device's own: two figures, of which none is the other's.
    keys = ["workload", "backend_requested", "time_domain"]
    for (workload, side, domain), group in rows.groupby(keys, sort=False, dropna=False):
        doubt = said.get((str(workload), str(side), str(domain)), "")
        columns = {name: part.sort_values("repetition") for name, part in group.groupby("metric")}
        if "compute_time" not in columns:
            continue
        times = columns["compute_time"]
        if str(domain) in ("cycles", "modelled") and (times["status"] == "ok").all():
            yield from _simulated(columns, (str(workload), str(side)))
            continue
        lengths = {len(columns[name]) if name in columns else 0 for name in ("compute_time", "transfer_time", "work")}
        if (times["status"] != "ok").any() or len(lengths) > 1:
            yield _series(times, times["value"].iloc[:0], ("ns_per_unit", str(workload)), str(side), "ns")
            continue
        with np.errstate(divide="ignore", invalid="ignore"):  # no work is a figure that is not finite, refused later
            work = columns["work"]["value"].to_numpy()
            compute, transfer = times["value"].to_numpy() / work, columns["transfer_time"]["value"].to_numpy() / work
        unit = f"ns/{columns['work']['unit'].iloc[0]}"
        yield _series(times, compute, ("ns_per_unit", str(workload)), str(side), unit, doubt)
        if "device_span_time" in columns and len(columns["device_span_time"]) == len(times):
            # Copies may overlap with kernels, so their sum is no time that passed. The span is, and the gaps between
            # commands are in it, so it is a figure of another name.
            span = columns["device_span_time"]["value"].to_numpy() / work
            yield _series(times, span, ("ns_per_unit_device_span", str(workload)), str(side), unit, doubt)
        else:
            both = compute + transfer
            yield _series(times, both, ("ns_per_unit_with_transfer", str(workload)), str(side), unit, doubt)


def _simulated(columns: Mapping[str, pd.DataFrame], names: tuple[str, str]) -> Iterator[Series]:
    """The figures of a simulated device: cycles a unit, or modelled time a unit, without and with transfers."""
    workload, side = names
    times = columns["compute_time"]
    if "work" not in columns or len(columns["work"]) != len(times):
        yield _series(times, times["value"].iloc[:0], ("ns_per_unit", workload), side, "ns")
        return
    unit, work = columns["work"]["unit"].iloc[0], columns["work"]["value"].to_numpy()
    cycles = times["unit"].iloc[0] == "cycles"
    figures = {"cycles_per_unit" if cycles else "ns_per_unit": times["value"]}
    if "call_time" in columns and len(columns["call_time"]) == len(times):
        figures["ns_per_unit_with_transfer"] = columns["call_time"]["value"]
    for metric, values in figures.items():
        with np.errstate(divide="ignore", invalid="ignore"):
            per_unit = values.to_numpy() / work
        found = _series(times, per_unit, (metric, workload), side, f"{'cycles' if cycles else 'ns'}/{unit}")
        yield replace(found, exact=bool(len(per_unit)) and bool(np.isfinite(per_unit).all() and (per_unit > 0).all()))


def _exact(a: np.ndarray, b: np.ndarray) -> dict[str, Any]:
    """The judgement on two sides without noise: by NO_NOISE."""
    low, high = float(a.min() / b.max()), float(a.max() / b.min())
    verdict = Verdict.FASTER if low > 1 else Verdict.SLOWER if high < 1 else Verdict.NO_DIFFERENCE
    middle = (float(np.median(a)), float(np.median(b)))
    return {
        "verdict": verdict,
        "a_median": middle[0],
        "b_median": middle[1],
        "ratio": middle[0] / middle[1],
        "low": low,
        "high": high,
        "noise_floor": 0.0,
        "floor_from": NO_NOISE,
    }


def differing_work(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[str]:
    """What two runs (their run.json) were asked to do differently: a line each, for their figures are of other work."""
    one, two = a.get("config") or {}, b.get("config") or {}
    lines = []
    if a.get("kind") != b.get("kind"):
        lines.append(f"A is a {a.get('kind')} run, B a {b.get('kind')} run")
    shared = [name for name in _WORK if name in one and name in two]
    asked: list[tuple[str, str, Any, Any]] = [("work", _WORK[name], one[name], two[name]) for name in shared]
    if one.get("mode") == two.get("mode") == "model":
        asked.append(("modelled host", "it", _host(one), _host(two)))
    for name, (words, usual) in _PLATFORM.items():
        mine, theirs = (usual if side.get(name) is None else side[name] for side in (one, two))
        asked.append(("platform", words, mine, theirs))
    # Two runs may say the same in two ways: what they come to is compared, and not the options.
    lines += [f"other {what}: {words} is {a} in A and {b} in B" for what, words, a, b in asked if a != b]
    machines = [((run.get("environment") or {}).get("cpu") or {}).get("model") for run in (a, b)]
    if machines[0] != machines[1]:
        lines.append(f"other machines: A ran on {machines[0]}, B on {machines[1]}")
    return lines


def _host(config: Mapping[str, Any]) -> str:
    """The host that a model run was scheduled on: as many cores as threads where none are stated."""
    cores = config.get("cores") or config.get("threads")
    return f"{cores} cores {'with' if config.get('lock', True) else 'without'} an interpreter's lock"


def _series(
    rows: pd.DataFrame,
    values: pd.Series | np.ndarray,
    key: tuple[str, str],
    side: str,
    unit: str,
    doubt: str = "",
) -> Series:
    """A series of these rows; one that failed or was skipped has no values, but its reason."""
    bad = rows[rows["status"] != "ok"]
    domains = rows["time_domain"].dropna().unique()
    domain = str(domains[0]) if len(domains) else None
    if len(bad):
        problem = f"{bad['status'].iloc[0]}: {bad['reason'].iloc[0]}"
        return Series(key, side, unit, domain, np.empty(0), problem)
    return Series(key, side, unit, domain, np.asarray(values, dtype=np.float64), doubt=doubt)


def _what(series: list[Series]) -> str:
    return ", ".join(dict.fromkeys(f"{one.key[0]} of {one.key[1]}" for one in series)) or "nothing"
