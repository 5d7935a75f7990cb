"""What is wrong with a core, as one named cause, from what every probe showed.

The kinds of probes are looked at in the order of ``Class``: a core that is wrong without stalls is not accused of
losing beats under them, and one that is right until a reset comes in the middle is accused of that.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from chaindp.cores.description import BLOCK, Core
from chaindp.cores.simulation import Kind
from chaindp.kernels.hashes import GOLDEN_HASHES
from chaindp.workbench.cases import Case, golden_packet
from chaindp.workbench.field_slips import recognize_ntt, recognize_poseidon2
from chaindp.workbench.probes import Class, Probe, Seen
from chaindp.workbench.recognize import ODD_LEVEL, Recognized, Sample, recognize_hash, recognize_order, recognize_tree

__all__ = ["CONFORMANCE", "LINT", "Cause", "find_cause"]

LINT = "lint"
CONFORMANCE = "conformance"

HANG = "hang"
HANG_STALLED = "hang under back-pressure"
DROPPED = "beat dropped"
DROPPED_STALLED = "beat dropped under back-pressure"
DOUBLED = "beat doubled"
DOUBLED_STALLED = "beat doubled under back-pressure"
WITHDRAWN = "output valid withdrawn while stalled"
CHANGED = "output changed while stalled"
SPURIOUS = "output without a packet"
LENGTH = "wrong length of output packets"
KEEP = "wrong tkeep"
IN_RESET = "output valid during reset"
STOPPED = "the RTL ends the simulation"
ONLY_UNSTALLED = "right only without stalls"
RESET = "reset keeps state"
UNINITIALIZED = "uninitialized state"
KEPT = "state kept between packets"
LEVELS = "wrong level of nodes"
PERMUTATION = "wrong permutation"
BLOCK_END = "wrong padding at the end of a block"
BLOCKS = "wrong chaining of blocks"
PARTIAL = "wrong last beat"
LONG = "wrong from a size on"
SIZES = "wrong at some sizes"
ALL = "every result is wrong"

PROTOCOL = {
    Kind.WITHDRAWN: WITHDRAWN,
    Kind.CHANGED: CHANGED,
    Kind.EARLY: LENGTH,
    Kind.SHORT: LENGTH,
    Kind.LONG: LENGTH,
    Kind.TOO_LARGE: LENGTH,
    Kind.KEEP: KEEP,
    Kind.VALID_IN_RESET: IN_RESET,
    Kind.STOPPED: STOPPED,
    Kind.TOO_LONG: HANG,
}
"""What most faults are called wherever they are seen; the others depend on what else is."""

SHOWN = 12
"""How many sizes a sentence lists."""

MEASURE = {
    "merkle_tree": ("trees over", "leaves"),
    "merkle_root": ("trees over", "leaves"),
    "poseidon2": ("states of", "elements"),
    "ntt": ("transforms of", "elements"),
}
"""What the sizes are of, by kernel."""

MOST_BEATS = 8
"""Of packets up to so many beats, every way to lose some of them is tried."""


@dataclass(frozen=True, slots=True)
class Cause:
    """What is wrong: one kind, one sentence, and the probe that shows it (None where none did)."""

    kind: str
    words: str
    seen: Seen | None = None


Alone = Callable[[Probe], Seen]
"""Runs a probe, for what a cause needs to know beside what was seen."""


def find_cause(core: Core, evidence: Sequence[Seen], run: Alone) -> Cause | None:
    """The cause of what went wrong; None where nothing did."""
    for kind in Class:
        for seen in evidence:
            if seen.probe.kind is kind and not seen.holds:
                return _CAUSES[kind](core, seen, evidence, run)
    return None


def _plain(core: Core, seen: Seen, all_seen: Sequence[Seen], run: Alone) -> Cause:
    displaced = _displaced(seen, DROPPED, DOUBLED)
    if displaced is not None:
        return displaced
    fault = seen.fault
    # What happened first is the cause, and the rest may follow from it.
    if fault is None or (seen.wrong and seen.transfer.finished[seen.wrong[0]] < fault.cycle and not _is_stuck(seen)):
        return _wrong(core, seen, all_seen, run)
    if fault.kind is Kind.HANG:
        return Cause(HANG, str(fault), seen)
    if fault.kind in (Kind.SPURIOUS, Kind.EXTRA):
        return Cause(SPURIOUS, str(fault), seen)
    return Cause(PROTOCOL[fault.kind], str(fault), seen)


def _is_stuck(seen: Seen) -> bool:
    """Whether a core that hangs got no further than a packet or two: then there is nothing to see in its results."""
    came = sum(output is not None for output in seen.outputs)
    return seen.fault is not None and seen.fault.kind is Kind.HANG and came < 2


def _stalled(core: Core, seen: Seen, all_seen: Sequence[Seen], run: Alone) -> Cause:
    where = f"under stalls ({seen.probe.name}), and without them all packets come out right"
    fault = seen.fault
    if fault is not None and fault.kind in PROTOCOL:
        return Cause(PROTOCOL[fault.kind], f"{fault}, {where}", seen)
    displaced = _displaced(seen, DROPPED_STALLED, DOUBLED_STALLED) or _lost_beat(core, seen)
    if displaced is not None:
        return Cause(displaced.kind, f"{displaced.words}, {where}", seen)
    if fault is not None and fault.kind in (Kind.SPURIOUS, Kind.EXTRA):
        return Cause(DOUBLED_STALLED, f"{fault}, {where}", seen)
    if fault is not None and fault.kind is Kind.HANG:
        if (seen.transfer.accepted >= 0).all() and seen.missing:
            words = f"all packets went in, and {len(seen.missing)} never came out: {fault}, {where}"
            return Cause(DROPPED_STALLED, words, seen)
        return Cause(HANG_STALLED, f"{fault}, {where}", seen)
    return Cause(ONLY_UNSTALLED, f"{_count(seen)}, {where}", seen)


def _reset(core: Core, seen: Seen, all_seen: Sequence[Seen], run: Alone) -> Cause:
    what = str(seen.fault) if seen.fault is not None and not seen.wrong else _count(seen)
    if seen.fault is not None and seen.fault.kind is Kind.VALID_IN_RESET and not seen.wrong:
        return Cause(IN_RESET, f"{seen.fault} ({seen.probe.name})", seen)
    return Cause(
        RESET, f"{what}, after a reset in the middle ({seen.probe.name}); without one all come out right", seen
    )


def _random(core: Core, seen: Seen, all_seen: Sequence[Seen], run: Alone) -> Cause:
    if seen.fault is not None and seen.fault.kind is Kind.STOPPED:
        return Cause(STOPPED, f"{seen.fault} ({seen.probe.name})", seen)
    what = str(seen.fault) if seen.fault is not None and not seen.wrong else _count(seen)
    words = f"{what}, where registers begin at random ({seen.probe.name}); where they begin at 0 all come out right"
    return Cause(UNINITIALIZED, words, seen)


_CAUSES: dict[Class, Callable[[Core, Seen, Sequence[Seen], Alone], Cause]] = {
    Class.PLAIN: _plain,
    Class.OUTPUT: _stalled,
    Class.INPUT: _stalled,
    Class.BOTH: _stalled,
    Class.RESET: _reset,
    Class.RANDOM: _random,
}


def _count(seen: Seen) -> str:
    bad = len(seen.wrong) + len(seen.missing)
    return f"{bad} of {len(seen.probe.cases)} packets come out wrong, or not at all"


def _displaced(seen: Seen, dropped: str, doubled: str) -> Cause | None:
    """Another packet's result in the place of the first wrong one: its own was lost, or the other came twice."""
    if not seen.wrong:
        return None
    first = seen.wrong[0]
    cases = seen.probe.cases.cases
    for index, case in enumerate(cases):
        if case.expected != seen.outputs[first] or case.expected == cases[first].expected:
            continue
        # One displaced result may be a chance, such as two messages that a wrong core takes for the same.
        if index > first and (index == len(cases) - 1 or _moved(seen, first + 1)):
            words = f"the result of packet {first} never comes: in its place is that of packet {index}"
            return Cause(dropped, words, seen)
        if index == first - 1 and _moved(seen, first + 1):
            words = f"the result of packet {index} comes twice, in the place of packet {first}'s"
            return Cause(doubled, words, seen)
    return None


def _moved(seen: Seen, place: int) -> bool:
    """Whether another packet's result, or none at all, came out in this place."""
    if place >= len(seen.outputs) or seen.outputs[place] is None:
        return True
    cases = seen.probe.cases.cases
    return any(seen.outputs[place] == case.expected != cases[place].expected for case in cases)


def _lost_beat(core: Core, seen: Seen) -> Cause | None:
    """A wrong result that is the right one of the packet less some beats of the input, or with one beat twice."""
    if core.options.get("padding") == "host" or core.kernel in ("poseidon2", "ntt"):
        return None
    golden, width = golden_packet(core), core.input.bytes
    unit = 32 if core.kernel in ("merkle_tree", "merkle_root") else 1
    for index in seen.wrong:
        case, got = seen.probe.cases.cases[index], seen.outputs[index]
        beats = [case.content[start : start + width] for start in range(0, len(case.content), width)]
        if len(beats) > MOST_BEATS:
            continue
        for lost in sorted(itertools.product((0, 1), repeat=len(beats)), key=sum):
            lacking = b"".join(beat for beat, gone in zip(beats, lost, strict=True) if not gone)
            if any(lost) and len(lacking) % unit == 0 and (lacking or unit == 1) and golden(lacking) == got:
                which = ", ".join(str(beat) for beat, gone in enumerate(lost) if gone)
                words = f"beat {which} of packet {index} ({case.name}) is lost on its way in"
                return Cause(DROPPED_STALLED, words, seen)
        for beat, part in enumerate(beats):
            twice = b"".join([*beats[:beat], part, *beats[beat:]])
            if len(twice) % unit == 0 and golden(twice) == got:
                words = f"beat {beat} of packet {index} ({case.name}) is taken twice"
                return Cause(DOUBLED_STALLED, words, seen)
    return None


def _wrong(core: Core, seen: Seen, all_seen: Sequence[Seen], run: Alone) -> Cause:
    """Results that are wrong without stalls, resets or anything else in the way."""
    cases = seen.probe.cases
    first = seen.wrong[0] if seen.wrong else seen.missing[0]
    if _right_bytes(seen, first):
        got = ", ".join(map(str, seen.levels[first][:SHOWN]))
        words = f"packet {first} ({cases.cases[first].name}): nodes are right, and their levels (tuser) are {got}"
        return Cause(LEVELS, words, seen)
    alone = _right_alone(seen, run)
    if alone is not None:
        return alone
    samples = [_sample(case, output) for case, output in zip(cases.cases, seen.outputs, strict=True)]
    recognized = recognize(core, [sample for sample in samples if sample is not None])
    if recognized is not None:
        return Cause(recognized.kind, f"{recognized.words} ({_share(seen)})", seen)
    kind, words = _by_size(core, [one for one in all_seen if one.probe.kind is Class.PLAIN])
    return Cause(kind, words, seen)


def _right_bytes(seen: Seen, index: int) -> bool:
    return seen.outputs[index] == seen.probe.cases.cases[index].expected


def _sample(case: Case, output: bytes | None) -> Sample | None:
    return None if output is None else Sample(case.content, case.expected, output)


def _right_alone(seen: Seen, run: Alone) -> Cause | None:
    """Whether the first wrong packets come out right by themselves: then what came before them is in the way."""
    few = [index for index in seen.wrong if index > 0][:3]
    if not few or 0 in seen.wrong:
        return None
    for index in few:
        alone = Probe(kind=Class.PLAIN, name="alone", cases=seen.probe.cases.only([index]))
        if not run(alone).holds:
            return None
    names = seen.probe.cases.cases
    words = (
        f"packet {few[0]} ({names[few[0]].name}) comes out right by itself, and wrong after packet {few[0] - 1} "
        f"({names[few[0] - 1].name})"
    )
    return Cause(KEPT, words, seen)


def recognize(core: Core, samples: Sequence[Sample]) -> Recognized | None:
    """What wrong results are the right results of; None where nothing known fits."""
    whole = [sample for sample in samples if len(sample.got) == len(sample.expected)]
    if not whole:
        return None
    by_core = core.options.get("padding") != "host"
    ordered = recognize_order(whole, golden_packet(core) if by_core else None, core.input.bytes)
    if ordered is not None:
        return ordered
    if core.kernel in GOLDEN_HASHES:
        return recognize_hash(core.kernel, whole)
    if core.kernel in ("merkle_tree", "merkle_root"):
        roots = [Sample(one.sent, one.expected[-32:], one.got[-32:]) for one in whole]
        return recognize_tree(str(core.options["hash"]), roots)
    pairs = [(_words(sample.sent), _words(sample.got)) for sample in whole]
    field = str(core.options["field"])
    found = recognize_poseidon2(pairs, field) if core.kernel == "poseidon2" else recognize_ntt(pairs, field)
    return Recognized(*found) if found else None


def _words(data: bytes) -> list[int]:
    return [int.from_bytes(data[start : start + 4], "little") for start in range(0, len(data), 4)]


def _share(seen: Seen) -> str:
    return f"{len(seen.wrong)} of {len(seen.probe.cases)} packets are wrong"


def _by_size(core: Core, seen: Sequence[Seen]) -> tuple[str, str]:
    """What the sizes of the wrong packets have in common that those of the right ones have not."""
    wrong = [one.probe.cases.cases[index].size for one in seen for index in (*one.wrong, *one.missing)]
    bad, everything = set(wrong), {case.size for one in seen for case in one.probe.cases.cases}
    good = everything - bad
    if not good:
        if core.kernel in GOLDEN_HASHES:
            return PERMUTATION, "every digest is wrong, of every length: look at constants, rotations and rounds"
        return ALL, f"every one of {sum(len(one.probe.cases) for one in seen)} results is wrong"
    sizes = f"wrong: {_list(core, bad)}; right: {_list(core, good)}"
    fitting = [(kind, rule) for kind, rule in _rules(core, good) if all(map(rule, bad)) and not all(map(rule, good))]
    # A rule that no right packet obeys says it all; one that most wrong packets obey by chance comes after.
    for kind, _ in sorted(fitting, key=lambda one: sum(map(one[1], good))):
        return kind, sizes
    return SIZES, sizes


def _rules(core: Core, good: set[int]) -> list[tuple[str, Callable[[int], bool]]]:
    """What a size may have that makes it wrong, by kernel; the more particular first."""
    long: tuple[str, Callable[[int], bool]] = (LONG, lambda size: size > max(good))
    if core.kernel in ("merkle_tree", "merkle_root"):
        return [(ODD_LEVEL, lambda size: size & (size - 1) != 0), long]
    block, beat = BLOCK.get(core.kernel), core.input.bytes
    if block is None:
        return [long]
    tail = 1 if core.kernel == "keccak256" else 9
    return [
        (BLOCK_END, lambda size: block - tail <= size % block or size % block == 0),
        (BLOCKS, lambda size: size >= block),
        (PARTIAL, lambda size: size % beat != 0),
        (PARTIAL, lambda size: size % beat == 0),
        long,
    ]


def _list(core: Core, sizes: set[int]) -> str:
    before, after = MEASURE.get(core.kernel, ("messages of", "bytes"))
    more = f" and {len(sizes) - SHOWN} more" if len(sizes) > SHOWN else ""
    return f"{before} {', '.join(map(str, sorted(sizes)[:SHOWN]))}{more} {after}"
