"""What was found, in a sentence or two, and what ran where: the first thing that a reader sees of a run."""

from __future__ import annotations

from typing import Any

import pandas as pd

from chaindp.report.claims import claim_of
from chaindp.report.sources import Run
from chaindp.report.tables import (
    level_ranges,
    measured_levels,
    mode_of,
    noise_floor_of,
    stages_not_run,
    what_of,
)
from chaindp.report.words import count, figure, percent, plural, ratio, times

__all__ = ["dig", "facts", "headline", "machine"]


def headline(run: Run) -> str:
    """The answer that the run gives, without praise."""
    return {"pipeline": _pipeline, "bench": _bench, "compare": _compare}[run.kind](run)


def _pipeline(run: Run) -> str:
    measured = measured_levels(run)
    failed = [level for level in run.levels if level not in measured]
    if not measured:
        return f"No level holds: {level_ranges(failed) or 'the table has no level'}. The reasons are below."
    best = max(measured.values(), key=lambda rung: rung.tps)
    word = "modelled" if mode_of(run) == "model" else "measured"
    base = run.lowest
    text = f"{run.workload}: DP{best.level} is fastest, {count(best.tps)} tx/s {word}"
    top = measured[max(measured)]
    if len(measured) == 1:
        text = f"{run.workload}: DP{top.level} gives {count(top.tps)} tx/s, {word}; it is the only level that holds"
    elif best.level == base:
        text += "; no level is faster than the one the others are compared with"
    elif not pd.isna(best.speedup):
        text += f", {times(best.speedup)} DP{base}"
    if base == 0 and top.level != 0 and not pd.isna(top.speedup):
        claim, gap = claim_of(int(top.level)), claim_of(int(top.level)).gap(float(top.speedup))
        at_top = "" if best.level == top.level else f"; DP{top.level} gives {ratio(top.speedup)}p"
        text += f"{at_top}. The claim for DP{top.level} is {claim.text}"
        text += f", {times(gap)} what was {word}" if gap > 1 else ", which is reached"
    floor = noise_floor_of(run)
    if floor is not None and len(measured) > 1:
        same = [int(row.level) for row in run.verdicts.itertuples() if row.verdict == "no difference"]
        text += f". Noise floor {percent(floor)}"
        text += f": {level_ranges(same)} cannot be told from DP{base}" if same else ""
    text += f". {level_ranges(failed)} failed" if failed else ""
    not_run = list(stages_not_run(run))
    text += f". Without the stages {', '.join(not_run)}" if not_run else ""
    return text + "."


def _bench(run: Run) -> str:
    rates = run.kernel_rates
    if rates.empty:
        return "No kernel was timed. The reasons are below."
    parts = []
    for (workload, _, _), group in rates.groupby(["workload", "time_domain", "unit"], sort=False, dropna=False):
        ordered = group.sort_values("compute")
        first = ordered.iloc[0]
        text = f"{workload}: {first['backend']} {figure(first['compute'])} {first['unit']}/{first['work_unit']}"
        if len(ordered) > 1 and first["compute"] > 0:
            others = [
                f"{row.backend} {ratio(row.compute / first['compute'])}x" for row in ordered.iloc[1:3].itertuples()
            ]
            text += f", {', '.join(others)}" + (", ..." if len(ordered) > 3 else "")
        parts.append(text)
    more = f"; and {len(parts) - 3} more" if len(parts) > 3 else ""
    return f"Kernel medians: {'; '.join(parts[:3])}{more}."


def _compare(run: Run) -> str:
    rows = run.comparisons
    if not rows:
        return "Nothing could be compared. The reasons are below."
    sides = list(dict.fromkeys((str(row["a"]), str(row["b"])) for row in rows))
    said: dict[str, list[str]] = {}
    for row in rows:
        verdict = str(row.get("verdict") or "not judged")
        speed = f" ({ratio(row['ratio'])}x)" if row.get("ratio") is not None else ""
        said.setdefault(verdict, []).append(what_of(row) + speed)
    parts = [
        f"{verdict} in {', '.join(names[:3])}{f' and {len(names) - 3} more' if len(names) > 3 else ''}"
        for verdict, names in said.items()
    ]
    who = f"{sides[0][1]} against {sides[0][0]}" if len(sides) == 1 else "B against A"
    floors = [float(row["noise_floor"]) for row in rows if row.get("noise_floor") is not None]
    floor = f" Noise floor at most {percent(max(floors))}." if floors else ""
    return f"{who}: {'; '.join(parts)}.{floor}"


def facts(run: Run) -> list[tuple[str, str]]:
    """What ran where and when, as name and text; what is not known is left out."""
    document = run.document
    config = dig(document, "config")
    command = dig(document, "environment", "command")
    git = dig(document, "environment", "git")
    found = [
        ("run", run.label),
        ("machine", machine(run)),
        ("time", str(dig(document, "environment", "time") or "")),
        ("command", " ".join(map(str, command)) if isinstance(command, list) else ""),
        ("mode", f"{mode_of(run)}: {_MODES[mode_of(run)]}" if run.ladder is not None else ""),
        ("chaindp", " ".join([str(dig(document, "environment", "chaindp") or ""), _commit(git)]).strip()),
    ]
    if run.kind == "pipeline" and isinstance(config, dict):
        numbers = [f"{count(config[key])} {word}" for key, word in _CONFIG if isinstance(config.get(key), int)]
        found.insert(2, ("work", ", ".join(numbers)))
    return [(name, text) for name, text in found if text]


_MODES = {
    "live": "stages ran in threads, the clock was this machine's",
    "model": "stage times are measured, their overlap is scheduled, not run",
}
_CONFIG = (
    ("txs", "transactions a pass"),
    ("block_txs", "a block at most"),
    ("accounts", "accounts"),
    ("repeat", "repetitions"),
)


def _commit(git: Any) -> str:
    if not isinstance(git, dict) or not git.get("commit"):
        return ""
    return f"at {str(git['commit'])[:12]}" + (" with uncommitted changes" if git.get("dirty") else "")


def machine(run: Run) -> str:
    """CPU, cores, system and load in one line; empty where the run does not say."""
    cpu = dig(run.document, "environment", "cpu")
    if not isinstance(cpu, dict):
        return ""
    parts = [str(cpu.get("model") or "unknown CPU")]
    if cpu.get("cores_usable"):
        parts.append(plural(int(cpu["cores_usable"]), "core") if isinstance(cpu["cores_usable"], int) else "")
    parts.append("virtual machine" if cpu.get("hypervisor") is True else "")
    parts.append(str(dig(run.document, "environment", "os", "distribution") or ""))
    load = dig(run.document, "environment", "load_average")
    if isinstance(load, list) and load and isinstance(load[0], int | float):
        parts.append(f"load {figure(load[0], 2)}")
    return ", ".join(part for part in parts if part)


def dig(document: Any, *names: str) -> Any:
    """The value at a path of names in nested objects; None where it ends before."""
    for name in names:
        if not isinstance(document, dict):
            return None
        document = document.get(name)
    return document
