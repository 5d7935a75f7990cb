"""The fastest of many sides: interleaved samples in which the slower half leaves again and again.

This is successive halving (Jamieson and Talwalkar 2016): little is spent on what is clearly slow, and more and more on
what is hard to tell apart. It ranks and claims nothing: whether the winner is faster than something is for
``bench.pairs`` to say, on input that no search has seen.
"""

from __future__ import annotations

import gc
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

import numpy as np

from chaindp.bench.sides import SAMPLE_NS, Job, Sample, Side, SideInfo
from chaindp.errors import ChaindpError, CheckFailed
from chaindp.plugins import describe_error

__all__ = ["GROUP", "SEARCH_RULE", "Entrant", "Search"]

GROUP = 8
"""How many sides are open at a time: each holds memory of its device."""

_FAR_SLOWER = 2.0
_LEAST_ROUNDS, _MOST_ROUNDS = 3, 8
_OPENING_SHARE = 0.75

SEARCH_RULE = (
    f"groups of at most {GROUP}; a side that does not run, or whose output differs from the reference's, is out; one "
    f"that takes more than {_FAR_SLOWER:g} times as long as the fastest of its group leaves; the others are sampled in "
    "rounds, each on the same fresh input in a random order, a sample being as many calls as take "
    f"{SAMPLE_NS / 1e6:g} ms on the fastest; after {_LEAST_ROUNDS} to {_MOST_ROUNDS} rounds the better half by the "
    "median stays, with those that were no slower than its last one in a quarter of the rounds, but never all, and so "
    "on; the best of each group meet again"
)

_FIRST_STREAM = 1 << 31
"""Input streams from here to those for warming up are the search's: comparisons count from 0, and must not meet input
that an instance may remember."""

_T = TypeVar("_T")


@dataclass(slots=True, eq=False)
class Entrant:
    """One of the sides of a search, and what became of it.

    label:     how to name it
    open_side: opens it; may be called more than once, after it was closed
    tried:     whether there was time to open it
    failed:    why it is out; empty where it is only slower, or where it won
    samples:   everything that was timed, in the order of measuring; ``rounds`` has the number of the round of each
    """

    label: str
    open_side: Callable[[], Side]
    tried: bool = False
    failed: str = ""
    info: SideInfo | None = None
    samples: list[Sample] = field(default_factory=list)
    rounds: list[int] = field(default_factory=list)


class Search:
    """A search for the fastest side at one job.

    reference: returns what outputs are compared with, its samples untimed; None where there is nothing: all entrants
               must then agree
    advance:   called with the label of each entrant when it is its turn for the first time
    warn:      takes one line for what goes wrong without touching a figure
    """

    def __init__(
        self,
        job: Job,
        reference: Side | None,
        *,
        advance: Callable[[str], None] = lambda step: None,
        warn: Callable[[str], None] = lambda line: None,
    ) -> None:
        self.job = job
        self.reference = reference
        self.advance = advance
        self.warn = warn
        self._streams = _FIRST_STREAM
        self._rounds = 0
        self._order = np.random.default_rng([job.seed, job.size, 2])

    def best_of(self, entrants: Sequence[Entrant], seconds: float) -> Entrant | None:
        """The fastest one, None where none works; what happened to the others is in them.

        entrants: the first of them is always tried; the others while there is time
        seconds:  about how long; what was begun is finished

        CheckFailed where entrants disagree and there is no reference to say which of them is wrong.
        """
        self._expected(self._fresh(1))  # What the reference compiles is not for the search to pay.
        # What is there already will stay; leaving it out makes the collection before each round cheap.
        gc.collect()
        gc.freeze()
        try:
            end = time.perf_counter() + seconds
            standing, left = list(entrants), _entries(len(entrants))
            while standing:
                groups = _groups(standing)
                standing = []
                for group in groups:
                    now = time.perf_counter()
                    until = now + max(0.0, end - now) * len(group) / max(left, len(group))
                    left -= len(group)
                    best = self._best_of_group(group, until)
                    standing += [best] if best is not None else []
                if len(standing) <= 1:
                    break
        finally:
            gc.unfreeze()
        return standing[0] if standing else None

    def _best_of_group(self, group: Sequence[Entrant], until: float) -> Entrant | None:
        sides: dict[Entrant, Side] = {}
        try:
            # To open is most of the work where a driver compiles; some time must be left to tell apart what works.
            began = time.perf_counter()
            opened = began + _OPENING_SHARE * (until - began)
            for index, entrant in enumerate(group):
                if not entrant.tried:
                    self.advance(entrant.label)
                    if index and time.perf_counter() > (opened if sides else until):
                        continue
                self._admit(entrant, sides)
            calls = self._drop_far_slower(sides)
            times: dict[Entrant, list[float]] = {entrant: [] for entrant in sides}
            while len(times) > 1:
                self._sample_all(sides, times, calls, until)
                if len(times) <= 1:
                    break
                stay = _better_half(times)
                if time.perf_counter() > until:
                    stay = stay[:1]
                times = {entrant: times[entrant] for entrant in stay}
                for entrant in set(sides) - set(times):
                    self._close(entrant, sides)
            return next(iter(times), None)
        finally:
            for entrant in list(sides):
                self._close(entrant, sides)

    def _admit(self, entrant: Entrant, sides: dict[Entrant, Side]) -> None:
        """Open an entrant and check its outputs."""
        entrant.tried = True
        side = _attempt(entrant, entrant.open_side)
        if side is None:
            return
        sides[entrant] = side
        entrant.info = _attempt(entrant, lambda: side.prepare(self.job))
        if entrant.info is not None:
            entrant.failed = entrant.info.skipped
            if not entrant.failed and entrant.info.time_domain != "wall":
                entrant.failed = f"the search has a wall clock only, and it is timed in {entrant.info.time_domain}"
        if entrant.failed:
            self._close(entrant, sides)

    def _drop_far_slower(self, sides: dict[Entrant, Side]) -> int:
        """Close what is so much slower than another one that no noise explains it; how many calls a sample takes."""
        fastest: dict[Entrant, int] = {}
        for _ in range(2):
            for entrant, sample in self._round(sides, 1).items():
                fastest[entrant] = min(fastest.get(entrant, sample.compute_ns), sample.compute_ns)
        best = min((fastest[entrant] for entrant in sides), default=1)
        for entrant in list(sides):
            if fastest[entrant] > _FAR_SLOWER * best:
                self._close(entrant, sides)
        return max(1, math.ceil(SAMPLE_NS / max(1, best)))

    def _sample_all(
        self, sides: dict[Entrant, Side], times: dict[Entrant, list[float]], calls: int, until: float
    ) -> None:
        """Add a few rounds, for this halving's share of the time, to ``times``: ns a unit of work by round."""
        began = time.perf_counter()
        enough = began + max(0.0, until - began) / math.ceil(math.log2(len(times)))
        for number in range(_MOST_ROUNDS):
            now = time.perf_counter()
            if (number >= _LEAST_ROUNDS and now > enough) or (number >= 1 and now > until):
                break
            found = self._round(sides, calls)
            for entrant in list(times):
                if entrant in found:
                    times[entrant].append(found[entrant].compute_ns / max(1, found[entrant].units))
                else:
                    del times[entrant]
            if len(times) <= 1:
                break

    def _round(self, sides: dict[Entrant, Side], calls: int) -> dict[Entrant, Sample]:
        """A sample of each side, all on the same fresh input; one that fails or whose output is wrong is closed."""
        gc.collect()
        streams = self._fresh(calls)
        expected = self._expected(streams)
        source = self.reference.label if self.reference is not None else ""
        present = list(sides)
        found: dict[Entrant, Sample] = {}
        for index in self._order.permutation(len(present)):
            entrant = present[index]
            sample = _attempt(entrant, partial(sides[entrant].sample, self.job, streams))
            if sample is not None:
                expected, source = (sample.digest, entrant.label) if expected is None else (expected, source)
                where = f"backend {entrant.label}, kernel {self.job.kernel}"
                if sample.changed:
                    entrant.failed = f"{where}: a call changes its arguments"
                elif sample.digest != expected:
                    entrant.failed = f"{where}: outputs differ from those of {source} on the same fresh input"
                    if self.reference is None:
                        raise CheckFailed(f"{entrant.failed}, and no other backend has it to say which is wrong")
                else:
                    found[entrant] = sample
                    entrant.samples.append(sample)
                    entrant.rounds.append(self._rounds)
            if entrant.failed:
                self._close(entrant, sides)
        self._rounds += 1
        return found

    def _fresh(self, count: int) -> range:
        """The next ``count`` input streams, which no call has had before."""
        self._streams += count
        return range(self._streams - count, self._streams)

    def _expected(self, streams: Sequence[int]) -> str | None:
        """The digest of what the reference returns; None where there is no reference."""
        if self.reference is None:
            return None
        try:
            return self.reference.sample(self.job, streams).digest
        except ChaindpError as error:
            raise CheckFailed(f"nothing to compare with: {error}") from error

    def _close(self, entrant: Entrant, sides: dict[Entrant, Side]) -> None:
        try:
            sides.pop(entrant).close()
        except ChaindpError as error:
            self.warn(str(error))


def _attempt(entrant: Entrant, work: Callable[[], _T]) -> _T | None:
    """What the work returns; None where it raises, which is this entrant's failure and nobody else's."""
    try:
        return work()
    except ChaindpError as error:
        entrant.failed = str(error)
    except Exception as error:
        entrant.failed = f"backend {entrant.label} raises {describe_error(error)}"
    return None


def _groups(entrants: Sequence[Entrant]) -> list[list[Entrant]]:
    """As few groups as it takes, about equally large; neighbours, which are alike, are in different ones."""
    count = math.ceil(len(entrants) / GROUP)
    return [list(entrants[first::count]) for first in range(count)]


def _entries(count: int) -> int:
    """How often a side enters a group in a search over ``count`` sides of which none fails."""
    groups = math.ceil(count / GROUP)
    return count if groups <= 1 else count + _entries(groups)


def _better_half(times: dict[Entrant, list[float]]) -> list[Entrant]:
    """The faster half, the fastest first, and who cannot be told from the last of it; always one fewer at least.

    times: ns a unit of work, as many for each, those at one place from the same round
    """
    order = sorted(times, key=lambda entrant: float(np.median(times[entrant])))
    half = math.ceil(len(order) / 2)
    last = np.array(times[order[half - 1]])
    ties = [other for other in order[half:] if np.quantile(np.array(times[other]) / last, 0.25) <= 1.0]
    return [*order[:half], *ties][: len(order) - 1]
