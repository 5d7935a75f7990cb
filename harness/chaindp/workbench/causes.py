"""What is wrong with a core, as one named cause, from what every probe showed.

The kinds of probes are looked at in the order of ``Class``: a core that is wrong without stalls is not accused of
losing beats under them, and one that is right until a reset comes in the middle is accused of that.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from chaindp.cores.description import BLOCK, Core
from chaindp.cores.simulation import Fault, Kind
from chaindp.kernels.hashes import GOLDEN_HASHES
from chaindp.workbench.cases import golden_packet, raw_digests
from chaindp.workbench.displaced import Displaced, displaced, on_the_way_in, on_the_way_out, overwritten
from chaindp.workbench.field_slips import recognize_ntt, recognize_poseidon2
from chaindp.workbench.keccak_slips import PADDING
from chaindp.workbench.probes import Class, Probe, Seen
from chaindp.workbench.recognize import ODD_LEVEL, Recognized, Sample, recognize_hash, recognize_order, recognize_tree
from chaindp.workbench.sha256_slips import LENGTH as LENGTH_FIELD

__all__ = ["CONFORMANCE", "LINT", "Cause", "find_cause"]

LINT = "lint"
CONFORMANCE = "conformance"

HANG = "hang"
HANG_STALLED = "hang under back-pressure"
HANG_PAUSED = "hang when the input pauses"
DROPPED = "beat dropped"
DROPPED_STALLED = "beat dropped under back-pressure"
DROPPED_PAUSED = "beat dropped when the input pauses"
DOUBLED = "beat doubled"
DOUBLED_STALLED = "beat doubled under back-pressure"
DOUBLED_PAUSED = "beat doubled when the input pauses"
WITHDRAWN = "output valid withdrawn while stalled"
CHANGED = "output changed while stalled"
SPURIOUS = "output without a packet"
LENGTH = "wrong length of output packets"
KEEP = "wrong tkeep"
IN_RESET = "output valid during reset"
STOPPED = "the RTL ends the simulation"
LOOP = "combinational loop"
ONLY_UNSTALLED = "right only without stalls"
RESET = "reset keeps state"
UNINITIALIZED = "uninitialized state"
KEPT = "state kept between packets"
LEVELS = "wrong level of nodes"
SIDE = "padding on the wrong side"
KERNEL = "another kernel"
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
}
"""What most faults are called wherever they are seen; the others depend on what else is."""

CUT = (Kind.SHORT, Kind.LONG, Kind.EARLY)
"""What a lost or doubled beat of an output packet of several looks like."""

NO_END = re.compile(r"converge", re.IGNORECASE)
"""What Verilator says of signals that go round in a circle."""

ENOUGH = 4
"""Messages that have to be padded twice, not at all, or hashed by another hash for that to be the cause."""

SHOWN = 12
"""How many sizes a sentence lists."""

MEASURE = {
    "merkle_tree": ("trees over", "leaves"),
    "merkle_root": ("trees over", "leaves"),
    "poseidon2": ("states of", "elements"),
    "ntt": ("transforms of", "elements"),
}
"""What the sizes are of, by kernel."""


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
    shifted = displaced(seen)
    if shifted is not None and not _wrong_alone(seen, run):
        return Cause(DROPPED if shifted.dropped else DOUBLED, shifted.words, seen)
    fault = seen.fault
    # What happened first is the cause, and the rest may follow from it.
    if fault is None or (seen.wrong and seen.transfer.finished[seen.wrong[0]] < fault.cycle and not _is_stuck(seen)):
        return _wrong(core, seen, all_seen, run)
    if fault.kind is Kind.HANG:
        return Cause(HANG, f"{fault}{_how_far(core, seen)}", seen)
    if fault.kind in (Kind.SPURIOUS, Kind.EXTRA):
        return Cause(SPURIOUS, str(fault), seen)
    return Cause(_by_itself(fault), str(fault), seen)


def _how_far(core: Core, seen: Seen) -> str:
    """What a core that hangs has taken and given, where that says more than the handshake does."""
    told = ""
    if (seen.transfer.accepted >= 0).all():
        told = f"; all {len(seen.probe.cases)} packets went in, and {len(seen.missing)} never came out"
    elif not seen.transfer.in_beats:
        told = "; no beat has ever gone in"
    if not seen.transfer.out_beats:
        level = "low" if core.reset.active_low else "high"
        told += f'; nothing has ever come out: is reset.active = "{level}" right, and clock.port the clock?'
    return told


def _by_itself(fault: Fault) -> str:
    """What a fault is called that says what it is."""
    if fault.kind is Kind.STOPPED:
        return LOOP if NO_END.search(fault.message) else STOPPED
    return PROTOCOL[fault.kind]


def _wrong_alone(seen: Seen, run: Alone) -> bool:
    """Whether the first wrong packet has a wrong result by itself, too: then it is not in another's place."""
    alone = run(Probe(kind=Class.PLAIN, name="alone", cases=seen.probe.cases.only([seen.wrong[0]])))
    return bool(alone.wrong)


def _is_stuck(seen: Seen) -> bool:
    """Whether a core that hangs got no further than a packet or two: then there is nothing to see in its results."""
    came = sum(output is not None for output in seen.outputs)
    return seen.fault is not None and seen.fault.kind is Kind.HANG and came < 2


def _stalled(core: Core, seen: Seen, all_seen: Sequence[Seen], run: Alone) -> Cause:
    where = f"under stalls ({seen.probe.name}), and without them all packets come out right"
    paused = seen.probe.kind is Class.INPUT
    dropped, doubled = (DROPPED_PAUSED, DOUBLED_PAUSED) if paused else (DROPPED_STALLED, DOUBLED_STALLED)
    fault = seen.fault
    found = _lost_or_doubled(core, seen, all_seen)
    # The bytes say more than the fault; a valid that is withdrawn loses a beat, and is the cause of that.
    if found is not None and (fault is None or fault.kind not in PROTOCOL or fault.kind in (Kind.CHANGED, *CUT)):
        told = f"{found.words}: {fault}" if fault is not None else found.words
        return Cause(dropped if found.dropped else doubled, f"{told}, {where}", seen)
    if fault is not None and fault.kind in CUT:
        # Without stalls packets have their lengths, so that a beat is missing now, or there is one more.
        return Cause(dropped if fault.kind is Kind.SHORT else doubled, f"{fault}, {where}", seen)
    if fault is not None and (fault.kind in PROTOCOL or fault.kind is Kind.STOPPED):
        return Cause(_by_itself(fault), f"{fault}, {where}", seen)
    if fault is not None and fault.kind in (Kind.SPURIOUS, Kind.EXTRA):
        return Cause(doubled, f"{fault}, {where}", seen)
    if fault is not None and fault.kind is Kind.HANG:
        if (seen.transfer.accepted >= 0).all() and seen.missing:
            words = f"all packets went in, and {len(seen.missing)} never came out: {fault}, {where}"
            return Cause(dropped, words, seen)
        return Cause(HANG_PAUSED if paused else HANG_STALLED, f"{fault}, {where}", seen)
    return Cause(ONLY_UNSTALLED, f"{_count(seen)}, {where}", seen)


def _lost_or_doubled(core: Core, seen: Seen, all_seen: Sequence[Seen]) -> Displaced | None:
    """What became of a beat, where results show it."""
    fault = seen.fault
    if fault is not None and fault.kind in (Kind.CHANGED, *CUT) and fault.packet < len(seen.probe.cases):
        found = on_the_way_out(core, seen, fault.packet)
        if found is None and fault.kind is Kind.CHANGED:
            found = overwritten(seen, fault.packet)
        if found is not None:
            return found
    alike = [one for one in all_seen if one.probe.kind is seen.probe.kind and one.wrong]
    return displaced(seen) or on_the_way_in(core, alike)


def _reset(core: Core, seen: Seen, all_seen: Sequence[Seen], run: Alone) -> Cause:
    what = str(seen.fault) if seen.fault is not None and not seen.wrong else _count(seen)
    if seen.fault is not None and seen.fault.kind is Kind.VALID_IN_RESET:
        # An idle core has no output during its reset: what shows here is what was in it.
        what = f"{seen.fault}: what was in the core outlasts the reset"
    return Cause(
        RESET, f"{what}, after a reset in the middle ({seen.probe.name}); without one all come out right", seen
    )


def _random(core: Core, seen: Seen, all_seen: Sequence[Seen], run: Alone) -> Cause:
    if seen.fault is not None and seen.fault.kind is Kind.STOPPED:
        return Cause(_by_itself(seen.fault), f"{seen.fault} ({seen.probe.name})", seen)
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


def _wrong(core: Core, seen: Seen, all_seen: Sequence[Seen], run: Alone) -> Cause:
    """Results that are wrong without stalls, resets or anything else in the way."""
    cases = seen.probe.cases
    first = seen.wrong[0] if seen.wrong else seen.missing[0]
    if _right_bytes(seen, first):
        got = ", ".join(map(str, seen.levels[first][:SHOWN]))
        words = f"packet {first} ({cases.cases[first].name}): nodes are right, and their levels (tuser) are {got}"
        return Cause(LEVELS, words, seen)
    alone = _right_alone(seen, run) or _only_the_first(seen)
    if alone is not None:
        return alone
    recognized = recognize(core, seen)
    if recognized is not None:
        return Cause(recognized.kind, f"{recognized.words} ({_share(seen)})", seen)
    kind, words = _by_size(core, [one for one in all_seen if one.probe.kind is Class.PLAIN])
    padding = _padding_of_some(core, seen)
    if padding is not None:
        # Where they have a place in the block in common, that is what is wrong, and the byte is how.
        return Cause(kind if kind == BLOCK_END else padding.kind, f"{padding.words}; {words}", seen)
    if kind == SIZES:
        lost = on_the_way_in(core, [seen])
        if lost is not None:
            return Cause(DROPPED if lost.dropped else DOUBLED, f"{lost.words}; {words}", seen)
    return Cause(kind, words, seen)


def _padding_of_some(core: Core, seen: Seen) -> Recognized | None:
    """A slip of the padding that explains the wrong digests, where others are right."""
    if core.kernel not in GOLDEN_HASHES:
        return None
    found = recognize_hash(core.kernel, _samples(seen, seen.wrong))
    return found if found is not None and found.kind in (PADDING, LENGTH_FIELD) else None


def _right_bytes(seen: Seen, index: int) -> bool:
    return seen.outputs[index] == seen.probe.cases.cases[index].expected


def _samples(seen: Seen, which: Iterable[int], sent: bool = False) -> list[Sample]:
    """What went in, the packets or what they are made of, and what came out in whole."""
    chosen = ((seen.probe.cases.cases[index], seen.outputs[index]) for index in which)
    return [
        Sample(case.sent if sent else case.content, case.expected, got)
        for case, got in chosen
        if got is not None and len(got) == len(case.expected)
    ]


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


def _only_the_first(seen: Seen) -> Cause | None:
    """Whether but the first packet after power-up is wrong, and one of the same size after it right."""
    cases, [first] = seen.probe.cases.cases, seen.wrong if len(seen.wrong) == 1 else [-1]
    again = [index for index, case in enumerate(cases) if index and case.size == cases[0].size]
    if first != 0 or seen.missing or not again:
        return None
    words = (
        f"the first packet after power-up ({cases[0].name}) comes out wrong, and packet {again[0]} of the same size "
        "right: the reset does not set all that the first packet needs"
    )
    return Cause(RESET, words, seen)


def recognize(core: Core, seen: Seen) -> Recognized | None:
    """What wrong results are the right results of; None where nothing known fits."""
    whole = _samples(seen, range(len(seen.outputs)))
    if not whole:
        return None
    host = core.options.get("padding") == "host"
    golden: Callable[[bytes], bytes] = (
        (lambda sent: raw_digests(core.kernel, [sent])[0]) if host else golden_packet(core)
    )
    ordered = recognize_order(_samples(seen, range(len(seen.outputs)), sent=True), golden, core.input.bytes)
    if ordered is not None:
        return ordered
    if core.kernel in GOLDEN_HASHES:
        return _padded_elsewhere(core, seen) or _another_hash(core, whole) or recognize_hash(core.kernel, whole)
    if core.kernel in ("merkle_tree", "merkle_root"):
        roots = [Sample(one.sent, one.expected[-32:], one.got[-32:]) for one in whole]
        return recognize_tree(str(core.options["hash"]), roots)
    pairs = [(_words(sample.sent), _words(sample.got)) for sample in whole]
    field = str(core.options["field"])
    found = recognize_poseidon2(pairs, field) if core.kernel == "poseidon2" else recognize_ntt(pairs, field)
    return Recognized(*found) if found else None


def _another_hash(core: Core, samples: Sequence[Sample]) -> Recognized | None:
    """Digests that are another kernel's."""
    for name, golden in GOLDEN_HASHES.items():
        if name != core.kernel and all(golden(sample.sent) == sample.got for sample in samples[:ENOUGH]):
            return Recognized(KERNEL, f'the digests are those of {name}: kernel is "{core.kernel}"')
    return None


def _padded_elsewhere(core: Core, seen: Seen) -> Recognized | None:
    """Digests of messages that were padded twice, or not at all."""
    sent = _samples(seen, seen.wrong, sent=True)
    if core.options.get("padding") == "host":
        golden = golden_packet(core)
        if sent and all(golden(sample.sent) == sample.got for sample in sent[:ENOUGH]):
            words = 'the core pads by itself what the host has padded: options.padding is "host", and must be "core"'
            return Recognized(SIDE, words)
        return None
    whole = [sample for sample in sent if sample.sent and len(sample.sent) % BLOCK[core.kernel] == 0]
    raw = raw_digests(core.kernel, [sample.sent for sample in whole])
    if whole and all(digest == sample.got for digest, sample in zip(raw, whole, strict=True)):
        words = 'the core does not pad: options.padding is "core", and must be "host" where the core is not to'
        return Recognized(SIDE, words)
    return None


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
        return kind, sizes + (_last_beats(core, bad) if kind == PARTIAL else "")
    return SIZES, sizes


def _last_beats(core: Core, bad: set[int]) -> str:
    """How many bytes the last beats of wrong messages have, where they have that in common."""
    left = {size % core.input.bytes for size in bad}
    return (
        f" (all wrong ones end with a beat of {left.pop()} bytes)" if left != {0} and len(left) == 1 < len(bad) else ""
    )


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
        # Of more than one block with its padding.
        (BLOCKS, lambda size: size > block - tail),
        (PARTIAL, lambda size: size % beat != 0),
        (PARTIAL, lambda size: size % beat == 0),
        long,
    ]


def _list(core: Core, sizes: set[int]) -> str:
    before, after = MEASURE.get(core.kernel, ("messages of", "bytes"))
    more = f" and {len(sizes) - SHOWN} more" if len(sizes) > SHOWN else ""
    return f"{before} {', '.join(map(str, sorted(sizes)[:SHOWN]))}{more} {after}"
