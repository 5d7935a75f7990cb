"""Naming a cause: from what probes showed, made up here, so that every kind of evidence costs nothing."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from chaindp.cores.description import load_core
from chaindp.cores.simulation import Fault, Kind, Transfer
from chaindp.workbench import causes
from chaindp.workbench.cases import Cases, edge_cases, raw_digests
from chaindp.workbench.causes import Cause, find_cause
from chaindp.workbench.displaced import on_the_way_in
from chaindp.workbench.keccak_slips import keccak_slips
from chaindp.workbench.probes import Class, Probe, Seen, judge
from conftest import REPOSITORY
from core_mutants import EXAMPLE

CORE = load_core(EXAMPLE)
CASES = edge_cases(CORE, 1)
RIGHT = [case.expected for case in CASES.cases]


def seen(kind: Class, outputs: Sequence[bytes | None] = RIGHT, *faults: Fault, cases: Cases = CASES) -> Seen:
    """What a probe shows whose packets come out as ``outputs``, packet after packet."""
    came = [output or b"" for output in outputs]
    cycles = np.arange(len(came), dtype=np.int64) * 50 + 50
    transfer = Transfer(
        data=np.frombuffer(b"".join(came), dtype=np.uint8),
        offsets=np.concatenate([[0], np.cumsum(list(map(len, came)))]).astype(np.int64),
        user=None,
        cycles=0,
        in_stalls=0,
        out_stalls=0,
        latency=0,
        lost=np.zeros(len(came), dtype=bool),
        accepted=cycles - 40,
        finished=np.where([output is None for output in outputs], -1, cycles),
        in_beats=0,
        out_beats=0,
        simulated=0,
        seconds=0.0,
        faults=faults,
    )
    return judge(CORE, Probe(kind=kind, name="made up", cases=cases), transfer)


def cause(*evidence: Seen, wrong_alone: bool = True) -> Cause:
    """The cause, where a wrong packet by itself is as wrong as after others, or is right."""

    def alone(probe: Probe) -> Seen:
        [case] = probe.cases.cases
        return seen(Class.PLAIN, [bytes(32) if wrong_alone else case.expected], cases=probe.cases)

    found = find_cause(CORE, evidence, alone)
    assert found is not None
    return found


def fault(kind: Kind, packet: int = 0, beat: int = 0) -> Fault:
    return Fault(kind, 10, packet, beat, f"a fault {kind.name}")


def garbled(output: bytes) -> bytes:
    return bytes(byte ^ 0x5A for byte in output)


def test_an_output_that_outlasts_a_reset_is_state_that_it_keeps() -> None:
    in_reset = fault(Kind.VALID_IN_RESET)
    found = cause(seen(Class.PLAIN), seen(Class.RESET, RIGHT, in_reset))
    assert found.kind == "reset keeps state"
    assert "a fault VALID_IN_RESET" in found.words
    # Before anything has come in it is no state.
    assert cause(seen(Class.PLAIN, RIGHT, in_reset), seen(Class.RESET, RIGHT, in_reset)).kind == (
        "output valid during reset"
    )


def test_state_that_a_reset_keeps_is_not_called_uninitialized() -> None:
    bad = [garbled(RIGHT[0]), *RIGHT[1:]]
    assert cause(seen(Class.RANDOM, bad), seen(Class.RESET, bad)).kind == "reset keeps state"
    assert cause(seen(Class.RANDOM, bad), seen(Class.RESET)).kind == "uninitialized state"


def test_results_are_displaced_only_where_all_that_follow_are() -> None:
    shifted = [*RIGHT[:5], *RIGHT[6:], None]
    assert cause(seen(Class.PLAIN, shifted), wrong_alone=False).kind == "beat dropped"
    twice = [*RIGHT[:6], RIGHT[5], *RIGHT[6:-1]]
    assert cause(seen(Class.PLAIN, twice), wrong_alone=False).kind == "beat doubled"
    # By itself, it is wrong as well.
    assert cause(seen(Class.PLAIN, twice), wrong_alone=True).kind != "beat doubled"
    # A core that takes some messages for the one before.
    alike = [*RIGHT[:6], RIGHT[5], RIGHT[5], *RIGHT[8:]]
    assert cause(seen(Class.PLAIN, alike), wrong_alone=False).kind != "beat doubled"


@pytest.mark.parametrize(
    ("kind", "dropped"),
    [
        (Class.OUTPUT, "beat dropped under back-pressure"),
        (Class.BOTH, "beat dropped under back-pressure"),
        (Class.INPUT, "beat dropped when the input pauses"),
    ],
)
def test_what_only_pauses_of_the_input_bring_about_is_no_back_pressure(kind: Class, dropped: str) -> None:
    assert cause(seen(kind, [*RIGHT[1:], None])).kind == dropped
    assert cause(seen(kind, [*RIGHT[:-1], None], fault(Kind.HANG))).kind == dropped
    hanging = seen(kind, [*RIGHT[:-1], None], fault(Kind.HANG))
    hanging.transfer.accepted[-1] = -1
    assert cause(hanging).kind == dropped.replace("beat dropped", "hang")


@pytest.mark.parametrize(
    ("kind", "named"),
    [(Kind.SHORT, "beat dropped"), (Kind.LONG, "beat doubled"), (Kind.EARLY, "beat doubled")],
)
def test_lengths_that_are_wrong_only_under_stalls_are_beats_lost_or_doubled(kind: Kind, named: str) -> None:
    outputs = [garbled(RIGHT[0]), *RIGHT[1:]]
    assert cause(seen(Class.OUTPUT, outputs, fault(kind))).kind == f"{named} under back-pressure"
    assert cause(seen(Class.PLAIN, RIGHT, fault(kind))).kind == "wrong length of output packets"


def test_a_result_that_another_is_written_over_is_lost() -> None:
    found = cause(seen(Class.OUTPUT, [RIGHT[4], *RIGHT[1:]], fault(Kind.CHANGED)))
    assert found.kind == "beat dropped under back-pressure"
    assert "that of packet 4 is written over it" in found.words
    assert "a fault CHANGED" in found.words
    found = cause(seen(Class.OUTPUT, [garbled(RIGHT[0]), *RIGHT[1:]], fault(Kind.CHANGED)))
    assert found.kind == "output changed while stalled"


def test_signals_that_do_not_settle_are_a_loop() -> None:
    message = "the RTL ended the simulation: DIDNOTCONVERGE: Active region did not converge"
    assert cause(seen(Class.PLAIN, RIGHT, Fault(Kind.STOPPED, 1, 0, 0, message))).kind == "combinational loop"
    assert cause(seen(Class.OUTPUT, RIGHT, Fault(Kind.STOPPED, 1, 0, 0, message))).kind == "combinational loop"
    assert cause(seen(Class.PLAIN, RIGHT, fault(Kind.STOPPED))).kind == "the RTL ends the simulation"


def test_a_slip_of_the_padding_at_some_lengths_is_named_with_them() -> None:
    slips = keccak_slips()
    which = np.array([slips.words.index("the last byte of the block gets 0x81, and must get 0x80")])

    def digests(sizes: set[int]) -> list[bytes]:
        return [
            slips.digests(case.content, which)[0].tobytes() if case.size in sizes else case.expected
            for case in CASES.cases
        ]

    found = cause(seen(Class.PLAIN, digests({3, 7, 32})))
    assert found.kind == "wrong padding byte"
    assert "gets 0x81" in found.words
    assert "wrong: messages of 3, 7, 32 bytes" in found.words
    ends = cause(seen(Class.PLAIN, digests({135, 271, 407})))
    assert ends.kind == "wrong padding at the end of a block"
    # In the last byte of a block the padding begins and ends: which of the two is wrong makes no difference.
    assert "the padding begins with 0x00, and must begin with 0x01; wrong: messages of 135, 271, 407" in ends.words


def test_a_core_that_does_not_pad_is_told_of_the_option() -> None:
    raw = raw_digests("keccak256", [case.sent for case in CASES.cases])
    found = cause(seen(Class.PLAIN, raw))
    assert found.kind == "padding on the wrong side"
    assert 'options.padding is "core"' in found.words


def test_blocks_of_sha256_are_counted_with_their_padding() -> None:
    sha256 = load_core(REPOSITORY / "hdl" / "sha256")
    sizes = {case.size for case in edge_cases(sha256, 1).cases}
    rules = causes._rules(sha256, sizes)
    chained = next(rule for kind, rule in rules if kind == causes.BLOCKS)
    assert {size for size in sizes if chained(size)} == {size for size in sizes if size >= 56}


@pytest.mark.parametrize("size", [16, 136])
@pytest.mark.parametrize("lost", ["left out", "zeros", "the one before"])
def test_beats_that_are_lost_on_their_way_in_are_found(size: int, lost: str) -> None:
    [case] = [case for case in CASES.cases[: len(CASES) // 2] if case.size == size]
    gone = {"left out": b"", "zeros": bytes(8), "the one before": case.sent[:8]}[lost]
    got = causes.golden_packet(CORE)(case.sent[:8] + gone + case.sent[16:])
    found = on_the_way_in(CORE, [seen(Class.OUTPUT, [got], cases=Cases((case,)))])
    assert found is not None
    assert found.dropped
    assert "beat 1 of packet 0" in found.words
    assert ("zeros" in found.words, "the beat before" in found.words) == (lost == "zeros", lost == "the one before")


def test_every_number_of_bytes_in_a_last_beat_is_sent() -> None:
    assert {case.size % 8 for case in CASES.cases} == set(range(8))
    block = {case.size - 136 for case in CASES.cases}
    assert set(range(-7, 9)) <= block
