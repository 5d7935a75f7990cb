"""Patterns of pauses for either side of a stream: endless iterators of bool, True for a cycle without a transfer."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator

__all__ = ["PAUSES", "pause_generator"]


def _at_random(probability: float) -> Callable[[random.Random], Iterator[bool]]:
    def generate(rng: random.Random) -> Iterator[bool]:
        while True:
            yield rng.random() < probability

    return generate


def _bursts(rng: random.Random) -> Iterator[bool]:
    """Long runs of both kinds, longer than the permutation of a core takes."""
    while True:
        yield from itertools.repeat(False, rng.randint(1, 80))
        yield from itertools.repeat(True, rng.randint(1, 200))


def _one_in(cycles: int) -> Callable[[random.Random], Iterator[bool]]:
    def generate(rng: random.Random) -> Iterator[bool]:
        phase = rng.randrange(cycles)
        return itertools.cycle([True] * phase + [False] + [True] * (cycles - 1 - phase))

    return generate


PAUSES: dict[str, Callable[[random.Random], Iterator[bool]] | None] = {
    "never": None,
    "seldom": _at_random(0.1),
    "often": _at_random(0.7),
    "bursts": _bursts,
    "always": lambda _: itertools.repeat(True),
    "one_in_four": _one_in(4),
    "one_in_forty": _one_in(40),
}
"""Name of a pattern to its generator; None pauses never."""


def pause_generator(name: str, rng: random.Random) -> Iterator[bool] | None:
    """The pattern called ``name``, drawn from ``rng``; None where there is nothing to pause."""
    generator = PAUSES[name]
    return None if generator is None else generator(rng)
