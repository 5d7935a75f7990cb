"""A run held against its replay: what must be the same and is not, and what is another about the machine."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Difference", "environment_differences", "result_differences"]

RESULTS = ("state_root", "receipts_root", "block_hash", "gas_used", "transactions", "refused")
"""What every level and repetition of a pipeline run led to, in its run.json. The seed decides all of it."""

_PASSING = {
    "time",
    "command",
    "load_average",
    "tasks",
    "cpu.mhz",
    "memory.available_bytes",
    "memory.swap_used_bytes",
    "distributions_sha256",
}
"""What differs from one minute to the next, or says again what another key says."""

_OPEN = ("packages", "distributions", "tools", "variables", "environment", "numa.nodes", "plugins", "lock_files")
"""Maps from names of all sorts: a name that one side lacks is a difference there. Elsewhere it is a key that the
chaindp of that side did not record, which says nothing about the machine."""

_MOST_CHARACTERS = 200


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that is not as it was. None: not there."""

    what: str
    then: str | None
    now: str | None

    def row(self) -> dict[str, str | None]:
        """The difference as JSON has it."""
        return asdict(self)


def result_differences(then: pd.DataFrame, now: pd.DataFrame) -> list[str]:
    """One line for everything that a replay must reproduce and did not, and for everything that failed in it.

    then, now: tables as ``chaindp.load`` gives them, with their run.json in ``attrs``
    """
    old, new = then.attrs["run"], now.attrs["run"]
    lines = [*_config(old, new), *_digest(old, new), *_levels(old, new), *_failures(old, new)]
    if old.get("kind") != "pipeline":
        lines += _outputs(then, now, work=old.get("kind") == "bench")
    return [_clean(line) for line in dict.fromkeys(lines)]


def environment_differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[Difference]:
    """What differs between the provenance of two runs, and in what their levels ran on, in the order of the new one."""
    then, now = (_named_lists(_mapping(run.get("environment"))) for run in (old, new))
    if "distributions" in then:
        now.pop("packages", None)  # The short list is part of the long one.
    found = []
    for section, value in now.items():
        if section in then and section not in _PASSING:
            found += list(_compare(section, then[section], value))
    for name in sorted(_mapping(new.get("config"))):
        if name not in _mapping(old.get("config")):
            found.append(Difference(f"config.{name}", None, _shown(new["config"][name])))
    for level, state in _mapping(new.get("levels")).items():
        was = _mapping(_mapping(old.get("levels")).get(level))
        for key in ("mechanisms", "backends"):
            if key in was:
                found += list(_compare(f"{level}.{key}", was[key], _mapping(state).get(key)))
    return found


def _config(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    config = _mapping(new.get("config"))
    for name, value in _mapping(old.get("config")).items():
        if name not in config or config[name] != value:
            yield f"config {name}: {_shown(value)} then, {_shown(config.get(name))} now"


def _digest(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    then, now = (_mapping(run.get("workload")).get("digest") for run in (old, new))
    if then != now:
        yield (
            f"workload digest: {_shown(then)} then, {_shown(now)} now: the input is another one "
            "(of another chaindp or workload plugin, or real blocks from another $CHAINDP_DATA)"
        )


def _levels(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    then, now = (_mapping(run.get("levels")) for run in (old, new))
    for level in [*then, *(level for level in now if level not in then)]:
        if level not in then or level not in now:
            yield f"{level}: {'not ' if level not in then else ''}there then, {'not ' if level not in now else ''}now"
            continue
        for key in RESULTS:
            was, is_now = (_mapping(_mapping(side[level]).get(key)) for side in (then, now))
            differing = [name for name in {**was, **is_now} if was.get(name) != is_now.get(name)]
            if differing:
                first = differing[0]
                yield (
                    f"{level}: other {key.replace('_', ' ')} in repetition {', '.join(differing)}: "
                    f"{_shown(was.get(first))} then, {_shown(is_now.get(first))} now"
                )


def _failures(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    then, now = (_texts(run.get("failures")) for run in (old, new))
    for line in now:
        yield f"failed now{', as it did then' if line in then else ''}: {line}"
    for line in then:
        if line not in now:
            yield f"failed then, and does not now: {line}"


def _outputs(then: pd.DataFrame, now: pd.DataFrame, *, work: bool) -> Iterator[str]:
    """Kernel by kernel: whether outputs were right, and, with ``work``, whether the input was the same."""
    old, new = _kernels(then), _kernels(now)
    for key in [*old, *(key for key in new if key not in old)]:
        name = " on ".join(part for part in key if part)
        if key not in new or key not in old:
            yield f"{name}: {'not ' if key not in old else ''}measured then, {'not ' if key not in new else ''}now"
            continue
        was, is_now = old[key], new[key]
        if is_now.state != was.state or is_now.state == "failed":
            reason = is_now.reason or was.reason
            yield f"{name}: {was.state} then, {is_now.state} now" + (f" ({reason})" if reason else "")
        elif work and not np.array_equal(was.work, is_now.work):
            yield f"{name}: the input has another amount of work than then, so it is another one"


@dataclass(frozen=True, slots=True)
class _Kernel:
    """A kernel at a size on a backend: ok, skipped or failed, and the units of work of every repetition."""

    state: str
    reason: str
    work: np.ndarray


def _kernels(frame: pd.DataFrame) -> dict[tuple[str, str], _Kernel]:
    rows = frame[frame["metric"].isin(["compute_time", "plugin"]) | (frame["metric"] == "work")]
    found = {}
    columns = [rows["workload"].fillna(""), rows["backend_requested"].fillna("")]
    for (workload, backend), group in rows.groupby(columns, sort=False):
        bad = group[group["status"] != "ok"]
        wrong = group["output_matched"].eq(False).fillna(False).any()
        state = "failed" if wrong or (bad["status"] == "failed").any() else "skipped" if len(bad) else "ok"
        work = group[group["metric"] == "work"].sort_values("repetition")["value"].to_numpy()
        reason = str(bad["reason"].iloc[0]) if len(bad) else ""
        found[str(workload), str(backend)] = _Kernel(state, reason, work)
    return found


def _compare(what: str, then: object, now: object) -> Iterator[Difference]:
    """Differences of two JSON values, map by map."""
    if what in _PASSING or then == now:
        return
    if isinstance(then, dict) and isinstance(now, dict):
        names = [*now, *(name for name in then if name not in now)]
        for name in names:
            if what in _OPEN or (name in then and name in now):
                yield from _compare(f"{what}.{name}", then.get(name), now.get(name))
    elif what == "cpu.flags":
        was, is_now = set(_texts(then)), set(_texts(now))
        more, fewer = (" ".join(sorted(one)) for one in (is_now - was, was - is_now))
        yield Difference(what, f"had {_cut(fewer)}" if fewer else None, f"has {_cut(more)}" if more else None)
    else:
        yield Difference(_clean(what), _shown(then), _shown(now))


def _named_lists(environment: Mapping[str, Any]) -> dict[str, Any]:
    """Provenance with its lists of named things as maps."""
    found = dict(environment)
    if isinstance(found.get("distributions"), list):
        parts = (text.partition("==") for text in _texts(found["distributions"]))
        found["distributions"] = {name: version for name, _, version in parts}
    for key, name, value in (("plugins", "name", ("distribution", "version", "status")), ("lock_files", "name", None)):
        if key in found:
            rows = [_mapping(row) for row in found[key]] if isinstance(found[key], list) else []
            found[key] = {
                str(row.get(name)): " ".join(str(row.get(part)) for part in value) if value else row.get("sha256")
                for row in rows
            }
    return found


def _mapping(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _texts(value: object) -> list[str]:
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def _shown(value: object) -> str | None:
    """A JSON value as a short text; what a stranger wrote cannot steer the terminal that shows it."""
    if value is None:
        return None
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        value = ", ".join(str(item) for item in value) or "none"
    return _cut(_clean(str(value)))


def _clean(text: str) -> str:
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)


def _cut(text: str) -> str:
    return text if len(text) <= _MOST_CHARACTERS else text[: _MOST_CHARACTERS - 4] + " ..."
