"""The exact command of a stored run: every option spelled out, from the configuration in its run.json.

What the user typed is in run.json too, but with paths cut, and what was left out then may have another default
elsewhere. The command made here names every option and its value, but for ``--out`` and ``--json``.

A run.json may come from a stranger. A value of another type than the option takes, or that would not stay within one
word of a command line, is refused; whether it is in range is for the command itself to say. No shell sees any of it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from chaindp.backend import NAME_PATTERN
from chaindp.errors import InputError

__all__ = ["command_of", "names_used"]


@dataclass(frozen=True, slots=True)
class _Option:
    """How a value of the configuration is written: ``flag`` is empty for arguments; ``join`` makes one word of many.

    optional: whether a null stands for what the command does without the option
    kind:     bool is a switch, which ``flag`` turns off
    """

    flag: str
    kind: type
    many: bool = False
    join: str = ""
    optional: bool = False


_PLATFORM = {
    "clock_mhz": _Option("--clock", float, optional=True),
    "instances": _Option("--instances", int, optional=True),
    "link": _Option("--link", str, optional=True),
}


_RUN = {
    "workload": _Option("--workload", str),
    "levels": _Option("--levels", int, many=True, join=","),
    "txs": _Option("--txs", int),
    "block_txs": _Option("--block-txs", int),
    "accounts": _Option("--accounts", int),
    "repeat": _Option("--repeat", int),
    "seed": _Option("--seed", int),
    "zipf": _Option("--zipf", float),
    "conflict": _Option("--conflict", float),
    "mode": _Option("--mode", str),
    "backends": _Option("--backend", str, many=True),
    "ablate": _Option("--ablate", str, many=True),
    "threads": _Option("--threads", int),
    "cores": _Option("--cores", int, optional=True),
    "lock": _Option("--no-lock", bool),
    **_PLATFORM,
    "slot_s": _Option("--slot", float),
    "break_even_s": _Option("--break-even", float),
}

_BENCH = {
    "backends": _Option("--backend", str, many=True),
    "sizes": _Option("--size", int, many=True),
    "repeat": _Option("--repeat", int),
    "threads": _Option("--threads", int),
    "seed": _Option("--seed", int),
    **_PLATFORM,
    "kernels": _Option("", str, many=True),
}

_COMPARE = {
    "backends": _Option("--backends", str, many=True, join=","),
    "sizes": _Option("--size", int, many=True),
    "rounds": _Option("--rounds", int),
    "seconds": _Option("--seconds", float),
    "launches": _Option("--launches", int),
    "threads": _Option("--threads", int),
    "seed": _Option("--seed", int),
    "kernels": _Option("", str, many=True),
}

_MOST_WORDS = 1_000
_MOST_CHARACTERS = 200


def command_of(run: Mapping[str, Any]) -> list[str]:
    """The words of the command that makes a run like this one again, ``chaindp`` first.

    run: a run.json; InputError where it is of a kind that cannot be run again, or its configuration is not one that
         this chaindp can express
    """
    kind, config = run.get("kind"), run.get("config")
    if not isinstance(config, dict):
        raise InputError("its run.json holds no configuration")
    if kind == "pipeline":
        config = dict(config)
        _check_network(config.pop("network", None))
        return ["chaindp", "run", *_words(config, _RUN)]
    if kind == "bench":
        return ["chaindp", "bench", *_words(config, _BENCH)]
    if kind == "compare":
        if run.get("revisions") is not None:
            raise InputError("it compares git revisions, which are not part of it")
        return ["chaindp", "compare", *_words(config, _COMPARE)]
    raise InputError(f"a run of kind {_shown(kind)} is not one that can be run again")


def names_used(run: Mapping[str, Any]) -> dict[str, list[str]]:
    """The names of the backends, kernels and workloads that a run's configuration asks for."""
    config = run.get("config")
    config = config if isinstance(config, dict) else {}
    # [STAGE=]NAME[:DEVICE]
    backends = [selector.partition(":")[0].rpartition("=")[2] for selector in _texts(config.get("backends"))]
    return {
        "backend": list(dict.fromkeys(backends)),
        "kernel": _texts(config.get("kernels")),
        "workload": _texts([config.get("workload")]),
    }


def _check_network(network: object) -> None:
    """No option of the command line sets the simulated network, so it must be the one that this chaindp has."""
    from dataclasses import asdict

    from chaindp.chain.network import NetworkParams

    ours = asdict(NetworkParams())
    if network is not None and network != ours:
        raise InputError(f"it ran on another simulated network than this chaindp has, which is {ours}")


def _words(config: Mapping[str, Any], options: Mapping[str, _Option]) -> list[str]:
    unknown = [name for name in config if name not in options]
    if unknown:
        raise InputError(f"its configuration has {_shown(unknown[0])}, which this chaindp does not know")
    words: list[str] = []
    # An option that the configuration lacks is younger than the run, and then has its default.
    for name, option in options.items():
        if name not in config:
            continue
        value = config[name]
        if option.optional and value is None:
            continue
        if option.kind is bool and isinstance(value, bool):
            words += [] if value else [option.flag]
            continue
        if option.many != isinstance(value, list | tuple) or (option.many and len(value) > _MOST_WORDS):
            raise InputError(f"its configuration has {_shown(value)} for {name}")
        values = [_word(name, item, option.kind) for item in (value if option.many else [value])]
        if option.join:
            values = [option.join.join(values)]
        if option.flag:
            # As one word: a value that looks like an option stays a value.
            words += [f"{option.flag}={text}" for text in values]
        else:
            for text in values:
                if not NAME_PATTERN.fullmatch(text):
                    raise InputError(f"its configuration has {_shown(text)} for {name}, which is not a name")
            words += values
    return words


def _word(name: str, value: object, kind: type) -> str:
    """One value as one word of a command line."""
    fits = type(value) is kind or (kind is float and type(value) is int)
    if isinstance(value, str):
        fits = fits and 0 < len(value) <= _MOST_CHARACTERS and value.isprintable()
    elif isinstance(value, int):
        fits = fits and 0 <= value < 1 << 64
    elif isinstance(value, float):
        fits = fits and math.isfinite(value)
    if not fits:
        raise InputError(f"its configuration has {_shown(value)} for {name}, which takes a {kind.__name__}")
    return str(value)


def _texts(values: object) -> list[str]:
    return [value for value in values if isinstance(value, str)] if isinstance(values, list | tuple) else []


def _shown(value: object) -> str:
    return ascii(value)[:60]
