"""The DP ladder: which mechanisms a level switches on, what Pharos claims of it, and what is not built yet."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from chaindp.errors import UsageError

__all__ = ["LEVELS", "MECHANISMS", "Level", "LevelPlan", "Mechanism", "parse_levels", "plan_level"]


@dataclass(frozen=True, slots=True)
class Mechanism:
    """One switch of the ladder. ``missing`` says why it cannot be switched on, where it cannot; empty where it can."""

    name: str
    level: int
    summary: str
    missing: str = ""


@dataclass(frozen=True, slots=True)
class Level:
    """One rung. ``claim`` is what is expected of it against sequential performance p."""

    number: int
    title: str
    claim: str

    @property
    def name(self) -> str:
        """``DP0`` to ``DP5``."""
        return f"DP{self.number}"


LEVELS: tuple[Level, ...] = (
    Level(0, "sequential: fixed slots, one thread, one message hashed at a time", "1p"),
    Level(1, "scalable consensus", "2-5p"),
    Level(2, "parallel transactions", "5-10p"),
    Level(3, "pipelining", "15-50p"),
    Level(4, "parallel Merkleization and accelerated state access", "100-500p"),
    Level(5, "heterogeneous computation", "500p+"),
)

HETEROGENEOUS = "heterogeneous_backends"

MECHANISMS: tuple[Mechanism, ...] = (
    Mechanism("scalable_consensus", 1, "many proposers at once, no fixed slot", "not built yet"),
    Mechanism("parallel_transactions", 2, "optimistic parallel execution, conflicts run again", "not built yet"),
    Mechanism("pipelining", 3, "different blocks in different stages at once, results visible before finality"),
    Mechanism("parallel_merkleization", 4, "whole trie levels hashed at once, over vector lanes and threads"),
    Mechanism("authenticated_store", 4, "state addressed by version instead of by hash", "not built yet"),
    Mechanism("batched_preload", 4, "a block's state read in one sorted batch", "not built yet"),
    Mechanism(HETEROGENEOUS, 5, "kernels on the backends that --backend names"),
)


@dataclass(frozen=True, slots=True)
class LevelPlan:
    """A level as it will run here: the mechanisms that are on, and those that are not, each with its reason."""

    level: Level
    on: frozenset[str]
    skipped: dict[str, str]

    def has(self, mechanism: str) -> bool:
        """Whether ``mechanism`` is on."""
        return mechanism in self.on


def parse_levels(text: str) -> list[int]:
    """``"3"``, ``"0-4"`` or ``"0,3,4"`` to ascending level numbers; UsageError for anything else."""
    numbers: set[int] = set()
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()) or len(first) > 2 or len(last) > 2:
            raise UsageError(f"levels {text!r}: give numbers from 0 to {len(LEVELS) - 1}, such as 3, 0-4 or 0,3,4")
        low, high = int(first), int(last) if dash else int(first)
        if low > high or high >= len(LEVELS):
            raise UsageError(f"levels {text!r}: {part.strip()} is not within 0-{len(LEVELS) - 1} in ascending order")
        numbers.update(range(low, high + 1))
    return sorted(numbers)


def plan_level(
    number: int, ablate: Collection[str], asked_for: Iterable[str] = (), top: int | None = None
) -> LevelPlan:
    """Which mechanisms are on at a level: all of it and of those below, less what is not built and what is ablated.

    ``asked_for`` are the backends that the run names. They take part at DP5, or at ``top``, the highest level of the
    run, where that is lower.
    """
    known = {mechanism.name for mechanism in MECHANISMS}
    for name in ablate:
        if name not in known:
            raise UsageError(f"no mechanism {name!r} to ablate; there are: {', '.join(sorted(known))}")
    backends = set(asked_for)
    on: set[str] = set()
    skipped: dict[str, str] = {}
    for mechanism in MECHANISMS:
        brought_forward = mechanism.name == HETEROGENEOUS and backends and number == top
        if mechanism.level > number and not brought_forward:
            continue
        if mechanism.name in ablate:
            skipped[mechanism.name] = "ablated"
        elif mechanism.missing:
            skipped[mechanism.name] = mechanism.missing
        elif mechanism.name == HETEROGENEOUS and not backends:
            skipped[mechanism.name] = "no backend was asked for: name one with --backend"
        else:
            on.add(mechanism.name)
    return LevelPlan(LEVELS[number], frozenset(on), skipped)
