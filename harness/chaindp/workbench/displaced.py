"""Beats that were lost or came twice, told by what came out: another packet's result, or that of another packet.

What is found is proof: no result is that of a packet less one beat by chance.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from chaindp.cores.description import BLOCK, Core
from chaindp.workbench.cases import Case, golden_packet, pad, raw_digests
from chaindp.workbench.probes import Seen

__all__ = ["Displaced", "displaced", "on_the_way_in", "on_the_way_out", "overwritten"]

FOLLOWING = 3
"""So many of the results after the first displaced one have to be displaced as well."""

EVERY_WAY = 8
"""Of packets up to so many beats every way to lose some is tried; of longer ones, to lose or to keep one or two."""

WORD = 4
"""Bytes that two results do not have in common by chance, and the least that a core writes at once."""

MOST_BEATS = 36
MOST_PACKETS, MOST_PROBES = 5, 4
"""The shortest wrong packets of so many probes are tried."""


@dataclass(frozen=True, slots=True)
class Displaced:
    """Whether something was lost, or else came twice, and what."""

    dropped: bool
    words: str


def displaced(seen: Seen) -> Displaced | None:
    """Another packet's result in the place of the first wrong one, and of the next ones, shifted the same way."""
    if not seen.wrong:
        return None
    first = seen.wrong[0]
    places = [first, *(place for place in range(first + 1, len(seen.outputs)) if seen.outputs[place] is not None)]
    sources = list(itertools.islice(_sources(seen, places), 1 + FOLLOWING))
    # With fewer of them there are no more results.
    if len(sources) < min(1 + FOLLOWING, len(places)):
        return None
    shifted = list(zip(places, sources, strict=False))
    if all(source > place for place, source in shifted):
        words = f"the result of packet {first} never comes: in its place is that of packet {sources[0]}"
        return Displaced(True, words)
    if all(source < place for place, source in shifted) and sources[0] == first - 1:
        words = f"the result of packet {first - 1} comes twice, in the place of packet {first}'s"
        return Displaced(False, words) if len(sources) == 1 or sources[-1] > sources[0] else None
    return None


def _sources(seen: Seen, places: Sequence[int]) -> Iterator[int]:
    """Whose results are in these places, in order; ends where there is none, or results are out of order."""
    expected = [case.expected for case in seen.probe.cases.cases]
    source = max(places[0] - 1, 0)
    for place in places:
        found = next((index for index in range(source, len(expected)) if expected[index] == seen.outputs[place]), None)
        if found is None or expected[found] == expected[place]:
            return
        yield found
        source = found


def overwritten(seen: Seen, packet: int) -> Displaced | None:
    """A result that becomes a later packet's while it waits, all of it or words of it, in its place or on the way."""
    cases = seen.probe.cases.cases
    own, got = set(_beats(cases[packet].expected, WORD)), set(_beats(_came(seen, packet), WORD))
    for index in range(packet + 1, len(cases)):
        other = set(_beats(cases[index].expected, WORD))
        if got <= own | other and not got <= own:
            words = f"the result of packet {packet} is lost while it waits: that of packet {index} is written over it"
            return Displaced(True, words)
    return None


def on_the_way_out(core: Core, seen: Seen, packet: int) -> Displaced | None:
    """A result that comes out without some of its beats, or with one of them twice."""
    width, name = core.output.bytes, seen.probe.cases.cases[packet].name
    beats, came = _beats(seen.probe.cases.cases[packet].expected, width), _beats(_came(seen, packet), width)
    if not came or came == beats:
        return None
    remaining = iter(enumerate(beats))
    # Each beat that came, in order: the place at which the result has it.
    places = [next((place for place, own in remaining if own == beat), None) for beat in came]
    if None not in places and len(came) < len(beats):
        gone = ", ".join(str(place) for place in range(len(beats)) if place not in places)
        return Displaced(True, f"beat {gone} of the result of packet {packet} ({name}) never comes")
    for place, beat in enumerate(beats):
        # The driver stops at the beat that is too many.
        twice = [*beats[:place], beat, *beats[place:]]
        if came in (twice[: len(came)], twice) and len(came) > place + 1:
            return Displaced(False, f"beat {place} of the result of packet {packet} ({name}) comes twice")
    return None


def _came(seen: Seen, packet: int) -> bytes:
    """The bytes that came out of a packet, those of one that was not finished included."""
    bounds = seen.transfer.offsets
    return seen.transfer.data[int(bounds[packet]) : int(bounds[packet + 1])].tobytes()


def _beats(data: bytes, width: int) -> list[bytes]:
    return [data[start : start + width] for start in range(0, len(data), width)]


def on_the_way_in(core: Core, seens: Sequence[Seen]) -> Displaced | None:
    """A wrong result that is the right one of the packet with beats lost, taken twice, or taken as others."""
    if core.kernel in ("poseidon2", "ntt"):
        return None
    for seen in seens[:MOST_PROBES]:
        by_length = sorted(seen.wrong, key=lambda index: len(seen.probe.cases.cases[index].sent))
        for index in by_length[:MOST_PACKETS]:
            found = _another_packet(core, seen.probe.cases.cases[index], seen.outputs[index] or b"")
            if found is not None:
                return Displaced(
                    found.dropped, found.words.format(f"packet {index} ({seen.probe.cases.cases[index].name})")
                )
    return None


def _another_packet(core: Core, case: Case, got: bytes) -> Displaced | None:
    """What happened to a packet's beats, if ``got`` is the result; ``{}`` in the words stands for the packet."""
    hashed, host = core.kernel in BLOCK, core.options.get("padding") == "host"
    beats = _beats(case.sent, core.input.bytes)
    if not beats or len(beats) > (MOST_BEATS if hashed else EVERY_WAY):
        return None
    ways = list(_ways(beats))
    if hashed:
        packets = [packet if host else pad(core.kernel, packet) for packet, _ in ways]
        results = raw_digests(core.kernel, packets)
    else:
        golden = golden_packet(core)
        results = [golden(packet) if packet and len(packet) % 32 == 0 else b"" for packet, _ in ways]
    return next((what for result, (_, what) in zip(results, ways, strict=True) if result == got), None)


def _ways(beats: Sequence[bytes]) -> Iterator[tuple[bytes, Displaced]]:
    """Packets with some beats lost, one taken twice, or some taken as zeros or as the beat before."""
    before = [bytes(len(beats[0])), *beats]
    for which in _subsets(len(beats)):
        named = ", ".join(map(str, which))
        kept = (beat for place, beat in enumerate(beats) if place not in which)
        yield b"".join(kept), Displaced(True, f"beat {named} of {{}} is lost on its way in")
        zeros = (bytes(len(beat)) if place in which else beat for place, beat in enumerate(beats))
        yield b"".join(zeros), Displaced(True, f"beat {named} of {{}} is lost on its way in: zeros are in its place")
        if 0 not in which:
            again = (before[place][: len(beat)] if place in which else beat for place, beat in enumerate(beats))
            words = f"beat {named} of {{}} is lost on its way in: the beat before it is in its place"
            yield b"".join(again), Displaced(True, words)
    for place, beat in enumerate(beats):
        twice = b"".join([*beats[:place], beat, *beats[place:]])
        yield twice, Displaced(False, f"beat {place} of {{}} is taken twice")


def _subsets(count: int) -> Iterator[tuple[int, ...]]:
    """Which beats, the fewest first."""
    sizes = range(1, count + 1) if count <= EVERY_WAY else (1, 2, count - 2, count - 1)
    for size in sizes:
        yield from itertools.combinations(range(count), size)
