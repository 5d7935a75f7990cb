"""What was found, in a sentence or two, and what ran where: the first thing that a reader sees of a run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from chaindp.report.claims import claim_of
from chaindp.report.sources import Run
from chaindp.report.tables import (
    level_ranges,
    measured_levels,
    mode_of,
    named,
    noise_floor_of,
    stages_not_run,
    verdict_of,
    what_of,
)
from chaindp.report.words import count, figure, percent, plural, ratio, times
from chaindp.results.model_error import error_note
from chaindp.results.noise import NOT_MEASURED

__all__ = ["dig", "facts", "headline", "machine"]


def headline(run: Run) -> str:
    """The answer that the run gives, without praise."""
    return {"pipeline": _pipeline, "bench": _bench, "compare": _compare}[run.kind](run)


def _pipeline(run: Run) -> str:
    measured = measured_levels(run)
    failed = [level for level in run.levels if level not in measured]
    if not measured:
        return f"No level holds: {level_ranges(failed) or 'the table has no level'}. The reasons are below."
    word = "modelled" if mode_of(run) == "model" else "measured"
    top = measured[max(measured)]
    if len(measured) == 1:
        text = f"{run.workload}: DP{top.level} gives {count(top.tps)} tx/s, {word}; it is the only level that holds"
    else:
        text = f"{run.workload}: {_judged(run, measured, word)}"
    if run.lowest == 0 and top.level != 0 and not pd.isna(top.speedup):
        claim, gap = claim_of(int(top.level)), claim_of(int(top.level)).gap(float(top.speedup))
        text += f". The claim for DP{top.level} is {claim.text}"
        text += f", {ratio(gap)} times as much as its {ratio(top.speedup)}p" if gap > 1 else _reached(run, top)
    text += f". {level_ranges(failed)} failed" if failed else ""
    off = error_note(run.frame)
    text += f". Against live passes {off}" if off else ""
    not_run = list(stages_not_run(run))
    text += f". Without the stages {', '.join(not_run)}" if not_run else ""
    return text + "."


def _judged(run: Run, measured: dict[int, Any], word: str) -> str:
    """Which levels are faster than the lowest one, and which are not: what the verdicts say, and no more."""
    base = run.lowest
    said: dict[str, list[int]] = {}
    reasons: dict[str, str] = {}
    for row in run.verdicts.itertuples():
        if row.level != base:
            verdict = str(row.verdict) if row.verdict else "no verdict"
            said.setdefault(verdict, []).append(int(row.level))
            reasons.setdefault(verdict, str(row.reason or ""))
    floor = noise_floor_of(run)
    noise = "" if floor is None else f" (noise floor {percent(floor)})"
    parts = []
    if "faster" in said:
        best = max((measured[level] for level in said["faster"]), key=lambda rung: rung.tps)
        names, most = said["faster"], f"{times(best.speedup)}, {count(best.tps)} tx/s {word}"
        most = most if len(names) == 1 else f"up to {most} at DP{best.level}"
        parts.append(f"{level_ranges(names)} {_are(names)} faster than DP{base}, {most}{noise}")
        noise = ""
    if "slower" in said:
        parts.append(f"{level_ranges(said['slower'])} {_are(said['slower'])} slower than DP{base}{noise}")
        noise = ""
    same = said.get("no difference", [])
    if same:
        everything = len(same) == len(measured) - 1
        who = "no level" if everything else level_ranges(same)
        parts.append(f"{who} {'can' if everything else 'cannot'} be told from DP{base}{noise}")
    for verdict in ("insufficient data", "no verdict"):
        if verdict in said:
            why = "" if base in measured else f"DP{base} failed"
            why = why or (NO_SECOND_PASS.format(base) if reasons[verdict] == NOT_MEASURED else reasons[verdict])
            whole = len(said[verdict]) == len(run.verdicts) - (base in measured)
            who = "" if whole else f" on {level_ranges(said[verdict])}"
            parts.append(f"{verdict}{who}" + (f" ({why})" if why else ""))
    if "faster" not in said:
        top = measured[max(measured)]
        against = "" if pd.isna(top.speedup) or top.level == base else f", {times(top.speedup)} DP{base} by the medians"
        parts.append(f"DP{top.level} gives {count(top.tps)} tx/s {word}{against}")
    return "; ".join(parts)


NO_SECOND_PASS = "the run has no second pass of DP{} to tell noise by"


def _are(levels: list[int]) -> str:
    return "is" if len(levels) == 1 else "are"


def _reached(run: Run, top: Any) -> str:
    faster = (run.verdicts["level"] == top.level) & (run.verdicts["verdict"] == "faster")
    return ", which is reached" if faster.any() else ", which its median reaches, without a verdict"


def _bench(run: Run) -> str:
    rates = run.kernel_rates
    if rates.empty:
        return "No kernel was timed. The reasons are below."
    parts = []
    for (workload, domain, _), group in rates.groupby(["workload", "time_domain", "unit"], sort=False, dropna=False):
        ordered = group.sort_values("compute")
        first = ordered.iloc[0]
        words = {"device": " (device time)", "modelled": " (modelled)"}
        name = f"{workload}{words.get(str(domain), '')}"
        text = f"{name}: {first['backend']} {figure(first['compute'])} {first['unit']}/{first['work_unit']}"
        if len(ordered) > 1 and first["compute"] > 0:
            others = [
                f"{row.backend} takes {times(row.compute / first['compute'])} as long"
                for row in ordered.iloc[1:3].itertuples()
            ]
            text += f", {', '.join(others)}" + (", ..." if len(ordered) > 3 else "")
        parts.append(text)
    more = f"; and {len(parts) - 3} more" if len(parts) > 3 else ""
    return f"Kernel medians, without verdicts: {'; '.join(parts[:3])}{more}."


def _compare(run: Run) -> str:
    rows = run.comparisons
    if not rows:
        return "Nothing could be compared. The reasons are below."
    sides = list(dict.fromkeys((str(row["a"]), str(row["b"])) for row in rows))
    said: dict[str, list[str]] = {}
    for row in rows:
        said.setdefault(verdict_of(row), []).append(what_of(row) + _speed(row))
    parts = [
        f"{verdict} in {', '.join(names[:3])}{f' and {len(names) - 3} more' if len(names) > 3 else ''}"
        for verdict, names in said.items()
    ]
    who = f"{named(run, sides[0][1])} against {named(run, sides[0][0])}" if len(sides) == 1 else "B against A"
    floors = [float(row["noise_floor"]) for row in rows if row.get("noise_floor") is not None]
    floor = f" Noise floor at most {percent(max(floors))}." if floors else ""
    return f"{who}: {'; '.join(parts)}.{floor}"


def _speed(row: Mapping[str, Any]) -> str:
    """How much faster or slower, in the words that a bench has for it; nothing where there is no such verdict."""
    if row.get("verdict") == "faster":
        return f" ({times(row['ratio'])} as fast)"
    return f" (takes {times(1 / row['ratio'])} as long)" if row.get("verdict") == "slower" else ""


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
        numbers = [plural(config[key], *words) for key, words in _CONFIG if isinstance(config.get(key), int)]
        found.insert(2, ("work", ", ".join(numbers)))
    return [(name, text) for name, text in found if text]


_MODES = {
    "live": "stages ran in threads, the clock was this machine's",
    "model": "stage times are measured, their overlap is scheduled, not run",
}
_CONFIG = (
    ("txs", ("transaction a pass", "transactions a pass")),
    ("block_txs", ("a block at most", "a block at most")),
    ("accounts", ("account", "accounts")),
    ("repeat", ("repetition", "repetitions")),
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
