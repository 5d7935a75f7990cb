"""The driver against a core that behaves, and against one that plants every fault by name."""

from __future__ import annotations

import os
import re
import signal
import threading
from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chaindp.cores import (
    ALWAYS,
    Built,
    Fault,
    Flavour,
    Kind,
    Pattern,
    Reset,
    Simulation,
    Stalls,
    Trace,
    Transfer,
    build,
    load_core,
)
from chaindp.errors import InputError, UsageError
from chaindp.kernels.hashes import pack
from core_rtl import (
    DIGEST_TABLES,
    RTL,
    Planted,
    built_core,
    check_value,
    needs_simulator,
    random_messages,
    write_core,
)

pytestmark = needs_simulator

LATENCY = 3
LENGTHS = (0, 1, 7, 8, 9, 16, 40, 63, 64, 65)

PATTERNS = {
    "none": Stalls(),
    "input": Stalls(input=Pattern.random(128, 9), seed=1),
    "output": Stalls(output=Pattern.random(128, 9), seed=2),
    "both": Stalls(input=Pattern.random(90, 3), output=Pattern.random(200, 20), seed=3),
    "after valid": Stalls(output=Pattern.after_valid()),
    "one in": Stalls(input=Pattern.one_in(3), output=Pattern.one_in(7)),
}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    return built_core(tmp_path_factory.mktemp("digest"), "digest", **DIGEST_TABLES)


@pytest.fixture
def simulation(built: Built) -> Iterator[Simulation]:
    with Simulation(built) as simulation:
        yield simulation


def run(
    simulation: Simulation, messages: list[bytes], planted: dict[int, Planted] | None = None, **options
) -> Transfer:  # type: ignore[no-untyped-def]
    """Messages through the core, some of them with a fault."""
    user = np.zeros(len(messages), dtype=np.uint32)
    for packet, fault in (planted or {}).items():
        user[packet] = fault
    return simulation.run(*pack(messages), 32, user=user, **options)


def packets(transfer: Transfer) -> list[bytes]:
    bounds = transfer.offsets.tolist()
    return [transfer.data[start:stop].tobytes() for start, stop in pairwise(bounds)]


def beats(message: bytes) -> int:
    return max(-(-len(message) // 8), 1)


@pytest.mark.parametrize("stalls", PATTERNS.values(), ids=PATTERNS.keys())
def test_every_packet_comes_out_right_under_every_pattern(simulation: Simulation, stalls: Stalls) -> None:
    messages = random_messages(1, LENGTHS * 3)
    transfer = run(simulation, messages, stalls=stalls)
    assert packets(transfer) == [check_value(message) for message in messages]
    assert transfer.faults == ()
    assert transfer.in_beats == sum(map(beats, messages))
    assert transfer.out_beats == 4 * len(messages)


@settings(max_examples=40)
@given(
    lengths=st.lists(st.integers(0, 40), max_size=8),
    seed=st.integers(0, 2**64 - 1),
    waits=st.tuples(st.integers(0, 255), st.integers(1, 12), st.integers(0, 255), st.integers(1, 12)),
)
def test_random_packets_under_random_stalls(
    built: Built, lengths: list[int], seed: int, waits: tuple[int, int, int, int]
) -> None:
    messages = random_messages(seed % 1000, lengths)
    stalls = Stalls(input=Pattern.random(*waits[:2]), output=Pattern.random(*waits[2:]), seed=seed)
    with Simulation(built) as simulation:
        transfer = run(simulation, messages, stalls=stalls)
    assert packets(transfer) == [check_value(message) for message in messages]
    assert transfer.faults == ()
    assert (transfer.finished > transfer.accepted).all()
    assert (np.diff(transfer.finished) > 0).all()


def test_cycles_are_those_of_the_rtl(simulation: Simulation) -> None:
    messages = random_messages(2, (8, 64, 1))
    transfer = run(simulation, messages)
    # A message: its beats, LATENCY + 1 cycles of work, and four beats out.
    ends = np.cumsum([beats(message) + LATENCY + 1 + 4 for message in messages])
    assert transfer.finished.tolist() == (ends - 1).tolist()
    assert transfer.accepted.tolist() == [0, ends[0] + 7, ends[1]]
    assert transfer.cycles == ends[-1]
    assert transfer.latency == 1 + LATENCY + 1
    # The next message's first beat waits while the last one is worked on and comes out.
    assert transfer.in_stalls == 2 * (LATENCY + 1 + 4)
    assert transfer.out_stalls == 0


def test_a_second_run_is_like_the_first(simulation: Simulation) -> None:
    messages = random_messages(3, LENGTHS)
    first, second = run(simulation, messages), run(simulation, messages)
    assert (first.cycles, first.in_stalls) == (second.cycles, second.in_stalls)
    assert np.array_equal(first.finished, second.finished)


def test_the_same_seed_stalls_in_the_same_cycles(simulation: Simulation) -> None:
    messages = random_messages(4, LENGTHS)

    def cycles(seed: int) -> int:
        pauses = Pattern.random(100, 5)
        return run(simulation, messages, stalls=Stalls(input=pauses, output=pauses, seed=seed)).cycles

    assert cycles(5) == cycles(5) != cycles(6)


def test_stalls_are_counted(simulation: Simulation) -> None:
    transfer = run(simulation, random_messages(5, (8,)), stalls=Stalls(output=Pattern.one_in(10)))
    # The output is valid from cycle 5 on, and four beats move in cycles 10, 20, 30 and 40.
    assert transfer.finished.tolist() == [40]
    assert transfer.out_stalls == 40 - 5 + 1 - 4
    assert transfer.cycles == 41


def test_no_packets_are_no_cycles(simulation: Simulation) -> None:
    transfer = run(simulation, [])
    assert (transfer.cycles, transfer.latency, transfer.faults) == (0, 0, ())
    assert transfer.offsets.tolist() == [0]


def test_lengths_that_only_tlast_says(simulation: Simulation) -> None:
    messages = random_messages(6, LENGTHS)
    transfer = simulation.run(*pack(messages), None, user=np.zeros(len(messages), np.uint32))
    assert packets(transfer) == [check_value(message) for message in messages]
    assert transfer.faults == ()


def test_many_packets_come_back_from_several_chunks(simulation: Simulation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chaindp.cores.simulation.CHUNK", 7)
    messages = random_messages(7, LENGTHS * 20)
    transfer = run(simulation, messages)
    assert packets(transfer) == [check_value(message) for message in messages]


@pytest.mark.parametrize(
    ("planted", "stalls", "kind", "said"),
    [
        (Planted.WITHDRAWS, Stalls(output=Pattern.one_in(9)), Kind.WITHDRAWN, "withdrawn before the beat had moved"),
        (Planted.WAITS_FOR_READY, Stalls(output=Pattern.after_valid()), Kind.HANG, "m_axis_tvalid 0, m_axis_tready 0"),
        (Planted.ENDS_EARLY, Stalls(input=Pattern.one_in(50)), Kind.EARLY, "ends before its input packet does"),
        (Planted.CHANGES, Stalls(output=Pattern.one_in(9)), Kind.CHANGED, "changed while it was stalled"),
        (Planted.SHORT_PACKET, Stalls(), Kind.SHORT, "tlast after 24 bytes of a packet that has 32"),
        (Planted.LONG_PACKET, Stalls(), Kind.LONG, "no tlast after 32 bytes"),
        (
            Planted.HANGS_AT_WORK,
            Stalls(),
            Kind.HANG,
            "s_axis_tvalid 1, s_axis_tready 0; m_axis_tvalid 0, m_axis_tready 1",
        ),
        (Planted.EMITS_TWICE, Stalls(input=Pattern.one_in(97)), Kind.SPURIOUS, "before any beat of its packet"),
        (Planted.SWALLOWS, Stalls(), Kind.HANG, "s_axis_tvalid 0, s_axis_tready 1; m_axis_tvalid 0, m_axis_tready 1"),
        (Planted.DROPS_BEAT, Stalls(output=Pattern.one_in(9)), Kind.SHORT, "tlast after 24 bytes"),
    ],
    ids=lambda value: value.name if isinstance(value, Planted) else "",
)
def test_a_planted_fault_is_named(
    simulation: Simulation, planted: Planted, stalls: Stalls, kind: Kind, said: str
) -> None:
    messages = random_messages(8, (24, 16, 40, 24))
    transfer = run(simulation, messages, {1: planted}, stalls=stalls)
    first = transfer.faults[0]
    assert first.kind is kind
    assert said in first.message
    # The packet is the one with the fault, or the one that should have come next.
    assert first.packet == {Kind.SPURIOUS: 2}.get(kind, 3 if planted is Planted.SWALLOWS else 1)
    assert packets(transfer)[0] == check_value(messages[0])
    assert re.fullmatch(rf"cycle {first.cycle}, output packet {first.packet}, beat {first.beat}: .*", str(first))
    # A run after a fault begins with a reset, and the core is as new.
    again = run(simulation, messages, stalls=stalls)
    assert again.faults == ()
    assert packets(again) == [check_value(message) for message in messages]


def test_withdrawn_data_is_not_lost_from_sight(simulation: Simulation) -> None:
    """A core that is right except for its handshake delivers, and every packet with the fault is named."""
    messages = random_messages(9, (8, 8, 8))
    transfer = run(
        simulation, messages, dict.fromkeys((0, 2), Planted.WITHDRAWS), stalls=Stalls(output=Pattern.one_in(9))
    )
    assert {fault.packet for fault in transfer.faults} == {0, 2}
    assert {fault.kind for fault in transfer.faults} == {Kind.WITHDRAWN}
    assert packets(transfer) == [check_value(message) for message in messages]


def test_a_core_without_stalls_shows_no_fault_of_stalls(simulation: Simulation) -> None:
    messages = random_messages(10, (8, 8))
    for planted in (Planted.WITHDRAWS, Planted.CHANGES, Planted.DROPS_BEAT):
        assert run(simulation, messages, {0: planted}).faults == ()


def test_an_output_after_the_last_packet(simulation: Simulation) -> None:
    messages = random_messages(11, (8, 8))
    transfer = run(simulation, messages, {1: Planted.EMITS_TWICE})
    assert [fault.kind for fault in transfer.faults] == [Kind.EXTRA]
    assert packets(transfer) == [check_value(message) for message in messages]


def test_an_output_that_comes_late_after_the_last_packet(tmp_path: Path) -> None:
    # The second one of a packet comes once more 60 cycles later.
    rtl = (RTL / "digest.sv").read_text()
    late = {
        "if (count_q >= 16'(Latency) &&": "if (count_q >= (again_q ? 16'd60 : 16'd50) &&",
        "              if (!(fault_q == EmitsTwice && !again_q)) begin": (
            "              if (fault_q == EmitsTwice && !again_q) state_q <= Work;\n              else begin"
        ),
    }
    for before, becomes in late.items():
        assert rtl.count(before) == 1
        rtl = rtl.replace(before, becomes)
    with Simulation(build(load_core(write_core(tmp_path, "digest", rtl, **DIGEST_TABLES)))) as simulation:
        transfer = run(simulation, [b"abc"], {0: Planted.EMITS_TWICE})
        assert [fault.kind for fault in transfer.faults] == [Kind.EXTRA]
        assert run(simulation, [b"abc"], {0: Planted.EMITS_TWICE}, drain=32).faults == ()
        simulation.reset()
        # It is twice what the packet took: 51 cycles of work, four beats out.
        quiet = run(simulation, [b"abc"])
        assert quiet.faults == ()
        assert quiet.simulated - quiet.cycles == pytest.approx(2 * 55, abs=6)


TAGGED: dict[str, Mapping[str, object]] = {**DIGEST_TABLES, "output": {"bytes": 8, "user_bits": 4}}
TAG = "    output logic        m_axis_tlast,\n    output logic [ 3:0] m_axis_tuser\n"


def tagged(folder: Path, tag: str) -> Path:
    """The stand-in with an output tuser."""
    rtl = (RTL / "digest.sv").read_text().replace("    output logic        m_axis_tlast\n", TAG)
    rtl = rtl.replace("  assign m_axis_tdata =", f"  assign m_axis_tuser = {tag};\n  assign m_axis_tdata =")
    return write_core(folder, "digest", rtl, **TAGGED)


def test_tuser_of_the_output_is_of_the_beats_that_are_there(tmp_path: Path) -> None:
    messages = random_messages(27, (8, 8, 8))
    with Simulation(build(load_core(tagged(tmp_path, "{2'b0, beat_q}")))) as simulation:
        # The reset takes back a packet of which three beats were out already.
        for after in range(12):
            transfer = run(simulation, messages, resets=[Reset(0, 1, 4, after)])
            assert transfer.user is not None
            assert len(transfer.user) == len(transfer.data) // 8
            assert transfer.user.tolist() == [0, 1, 2, 3] * (3 - int(transfer.lost.sum()))
        transfer = run(simulation, messages, stalls=Stalls(output=Pattern.one_in(9)))
        assert transfer.faults == ()


def test_tuser_that_changes_while_it_is_stalled(tmp_path: Path) -> None:
    with Simulation(build(load_core(tagged(tmp_path, "stalled_q[3:0]")))) as simulation:
        messages = random_messages(28, (8, 8))
        assert run(simulation, messages).faults == ()
        transfer = run(simulation, messages, stalls=Stalls(output=Pattern.one_in(9)))
        assert {fault.kind for fault in transfer.faults} == {Kind.CHANGED}


def test_an_input_that_is_never_ready_again(simulation: Simulation) -> None:
    messages = random_messages(12, (8, 8))
    transfer = run(simulation, messages, {0: Planted.HANGS_AT_INPUT}, idle_cycles=77)
    (fault,) = transfer.faults
    assert fault.kind is Kind.HANG
    assert "for 77 cycles" in fault.message
    assert "next to go in: packet 1, beat 0" in fault.message
    assert "s_axis_tvalid 1, s_axis_tready 0" in fault.message
    assert transfer.finished.tolist()[1] == -1
    assert transfer.accepted.tolist()[1] == -1


def test_the_rtl_may_end_the_simulation_and_not_the_process(built: Built) -> None:
    with Simulation(built) as simulation:
        transfer = run(simulation, random_messages(13, (8, 8)), {1: Planted.FINISHES})
        (fault,) = transfer.faults
        assert fault.kind is Kind.STOPPED
        assert re.search(r"digest\.sv:\d+: \$finish", fault.message)
        assert transfer.finished.tolist()[0] > 0
        again = run(simulation, [b"x"])
        assert again.faults == ()
        assert packets(again) == [check_value(b"x")]


def test_a_host_that_holds_the_core_up_is_no_hang(simulation: Simulation) -> None:
    messages = random_messages(24, (8, 24))
    for stalls in (Stalls(output=Pattern.one_in(2000)), Stalls(input=Pattern.one_in(2000))):
        transfer = run(simulation, messages, stalls=stalls, idle_cycles=100)
        assert transfer.faults == ()
        assert packets(transfer) == [check_value(message) for message in messages]


def test_ctrl_c_ends_a_run_and_not_the_simulation(simulation: Simulation) -> None:
    timer = threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    # Left alone, it would simulate for minutes and return.
    with pytest.raises(KeyboardInterrupt):
        run(simulation, [b"x", b"y"], {0: Planted.HANGS_AT_WORK}, idle_cycles=10**10)
    transfer = run(simulation, [b"x", b"y"])
    assert transfer.faults == ()
    assert packets(transfer) == [check_value(b"x"), check_value(b"y")]


def test_a_limit_of_cycles(simulation: Simulation) -> None:
    transfer = run(simulation, random_messages(14, (8,) * 50), max_cycles=100)
    assert transfer.faults[-1].kind is Kind.TOO_LONG
    assert "100 cycles" in transfer.faults[-1].message
    assert transfer.simulated <= 101


def test_faults_are_bounded(simulation: Simulation) -> None:
    messages = random_messages(15, (8,) * 60)
    transfer = run(
        simulation, messages, dict.fromkeys(range(60), Planted.CHANGES), stalls=Stalls(output=Pattern.one_in(9))
    )
    assert len(transfer.faults) == 16


@pytest.mark.parametrize("beat", range(7))
def test_a_reset_in_the_middle_loses_what_is_inside_and_nothing_else(simulation: Simulation, beat: int) -> None:
    messages = random_messages(16, (40,) * 6)
    transfer = run(simulation, messages, resets=[Reset(2, beat), Reset(4, 1, 9)])
    # Before the first beat of packet 2, packet 1 is still inside; after the last one, packet 2 is.
    lost = {2 if beat else 1, 4}
    assert transfer.faults == ()
    assert set(np.flatnonzero(transfer.finished < 0).tolist()) == lost
    for index, (got, message) in enumerate(zip(packets(transfer), messages, strict=True)):
        assert got == (b"" if index in lost else check_value(message))


@pytest.mark.parametrize("stalls", [Stalls(), Stalls(output=Pattern.one_in(9)), PATTERNS["both"]])
def test_a_reset_in_any_cycle_loses_what_is_inside_and_nothing_else(simulation: Simulation, stalls: Stalls) -> None:
    messages = random_messages(16, (16, 40, 8, 24))
    expected = [check_value(message) for message in messages]
    seen: set[tuple[bool, ...]] = set()
    for beat in (0, 2, 5):
        for after in range(60):
            transfer = run(simulation, messages, resets=[Reset(1, beat, 4, after)], stalls=stalls)
            assert transfer.faults == ()
            lost = transfer.lost.tolist()
            assert (transfer.finished < 0).tolist() == lost
            assert packets(transfer) == [b"" if gone else one for one, gone in zip(expected, lost, strict=True)]
            seen.add(tuple(lost))
    # Some cycles lose one packet or another, and some none, because they come between two.
    assert len(seen) >= 3


def test_a_reset_while_an_output_is_stalled(simulation: Simulation) -> None:
    messages = random_messages(17, (8,) * 3)
    stalls = Stalls(output=Pattern.one_in(20))
    # The first beat comes five cycles after the only one in, and waits until cycle 20; the second one until 40.
    for after, taken in ((10, 0), (29, 1)):
        transfer = run(simulation, messages, resets=[Reset(0, 1, 4, after)], stalls=stalls)
        assert transfer.faults == ()
        assert transfer.lost.tolist() == [True, False, False]
        assert transfer.finished.tolist()[0] == -1
        assert packets(transfer) == [b"", *(check_value(message) for message in messages[1:])]
        assert transfer.out_beats == taken + 8


def test_a_reset_while_the_input_waits_offers_the_packet_again(simulation: Simulation) -> None:
    messages = random_messages(25, (8, 16, 8))
    # Two cycles after the first message is in, the second one is offered, and the core does not take it yet.
    transfer = run(simulation, messages, resets=[Reset(0, 1, 4, 2)])
    assert transfer.faults == ()
    assert transfer.in_stalls >= 2
    assert transfer.lost.tolist() == [True, False, False]
    assert packets(transfer) == [b"", *(check_value(message) for message in messages[1:])]
    # In the middle of a packet it is lost: what was offered is gone with what was in.
    transfer = run(simulation, messages, resets=[Reset(1, 1, 4, 0)], stalls=Stalls(input=Pattern.one_in(30)))
    assert transfer.lost.tolist() == [False, True, False]


def test_a_synchronous_reset_of_one_cycle(tmp_path: Path) -> None:
    rtl = (
        (RTL / "digest.sv")
        .read_text()
        .replace("always_ff @(posedge clk_i or negedge rst_ni)", "always_ff @(posedge clk_i)")
    )
    path = write_core(tmp_path, "digest", rtl, **DIGEST_TABLES, reset={"cycles": 1})
    messages = random_messages(26, (8, 16, 8))
    with Simulation(build(load_core(path))) as simulation:
        for after in range(12):
            # While an output is valid as well: the edge at the end of the cycle is what resets.
            transfer = run(simulation, messages, resets=[Reset(0, 1, 1, after)])
            assert transfer.faults == ()


def test_valid_in_reset_is_a_fault(simulation: Simulation) -> None:
    transfer = run(simulation, random_messages(18, (40, 8)), {0: Planted.VALID_IN_RESET}, resets=[Reset(0, 2)])
    assert transfer.faults[0].kind is Kind.VALID_IN_RESET
    assert "at the end of a reset" in transfer.faults[0].message


def test_a_reset_that_keeps_state_changes_what_follows(simulation: Simulation) -> None:
    messages = random_messages(19, (40, 8))
    transfer = run(simulation, messages, {0: Planted.KEEPS_STATE}, resets=[Reset(0, 2)])
    assert transfer.faults == ()
    assert packets(transfer)[1] != check_value(messages[1])
    simulation.reset()
    assert run(simulation, messages[1:]).faults == ()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (lambda: {"resets": [Reset(2, 0)]}, "there are 2 packets"),
        (lambda: {"resets": [Reset(1, 0), Reset(0, 0)]}, "not in the order of the packets"),
        (lambda: {"resets": [Reset(0, 0, 4, -1)]}, "after is no number of cycles"),
        (lambda: {"stalls": Stalls(output=Pattern(2, period=0))}, "one cycle in 0"),
        (lambda: {"stalls": Stalls(output=Pattern(4))}, "a pattern of kind 4"),
        (lambda: {"stalls": Stalls(output=Pattern(1, 300))}, "0 to 255"),
        (lambda: {"resets": [Reset(0, 0, 0)]}, "a reset lasts 1 to 10000 cycles"),
        (lambda: {"stalls": Stalls(input=Pattern.after_valid())}, "valid must not wait for ready"),
        (lambda: {"stalls": Stalls(output=Pattern.random(256))}, "0 to 255"),
        (lambda: {"stalls": Stalls(output=Pattern.random(1, 0))}, "1 to 10000"),
        (lambda: {"stalls": Stalls(output=Pattern.one_in(0))}, "one cycle in 0"),
        (lambda: {"trace": Trace("x.vcd")}, "Flavour.TRACE"),
        (lambda: {"idle_cycles": 0}, "idle_cycles is 0, which is no number of cycles"),
        (lambda: {"drain": -1}, "drain is -1, which is no number of cycles"),
    ],
)
def test_wrong_calls_of_run(simulation: Simulation, arguments, said: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(UsageError, match=re.escape(said)):
        run(simulation, [b"a", b"b"], **arguments())


def test_packets_that_the_streams_cannot_carry(simulation: Simulation) -> None:
    data, offsets = pack([b"abc"])
    with pytest.raises(InputError, match="user holds 16, and tuser has 4 bits"):
        simulation.run(data, offsets, 32, user=np.array([16], np.uint32))
    with pytest.raises(InputError, match="user has shape"):
        simulation.run(data, offsets, 32, user=np.zeros(2, np.uint32))
    with pytest.raises(InputError, match="out_bytes holds -1"):
        simulation.run(data, offsets, -1)
    with pytest.raises(InputError, match="offsets ends at 9"):
        simulation.run(data, np.array([0, 9]), 32)


def test_arrays_of_any_layout(simulation: Simulation) -> None:
    user = np.array([0, 7, 0, 7], np.uint32)[::2]
    transfer = simulation.run(*pack([b"a", b"b"]), np.array([32, 0, 32, 0])[::2], user=user)
    assert packets(transfer) == [check_value(b"a"), check_value(b"b")]


def test_a_closed_simulation_says_so(built: Built) -> None:
    simulation = Simulation(built)
    simulation.close()
    simulation.close()
    with pytest.raises(UsageError, match="the simulation is closed"):
        run(simulation, [b"a"])


def test_two_simulations_of_one_build_share_nothing(built: Built) -> None:
    messages = random_messages(20, LENGTHS * 40)
    expected = [check_value(message) for message in messages]
    results: dict[int, list[bytes]] = {}

    def work(number: int) -> None:
        with Simulation(built) as simulation:
            results[number] = packets(
                run(simulation, messages, stalls=Stalls(output=Pattern.random(number * 40), seed=number))
            )

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == dict.fromkeys(range(4), expected)


def test_one_simulation_from_two_threads(simulation: Simulation) -> None:
    messages = random_messages(21, LENGTHS * 40)
    expected = [check_value(message) for message in messages]
    results: list[bool] = []
    threads = [
        threading.Thread(target=lambda: results.append(packets(run(simulation, messages)) == expected))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [True] * 4


def test_a_fault_reads_as_one_line() -> None:
    assert str(Fault(Kind.LONG, 7, 2, 3, "why")) == "cycle 7, output packet 2, beat 3: why"
    assert Stalls().output == Stalls().input == ALWAYS


@pytest.fixture(scope="module")
def checking(tmp_path_factory: pytest.TempPathFactory) -> Built:
    return built_core(tmp_path_factory.mktemp("digest-check"), "digest", Flavour.CHECK, **DIGEST_TABLES)


def test_random_initial_values_and_assertions(checking: Built) -> None:
    messages = random_messages(22, LENGTHS)
    for seed in range(5):
        with Simulation(checking, seed) as simulation:
            transfer = run(simulation, messages, stalls=PATTERNS["both"])
            assert transfer.faults == ()
            assert packets(transfer) == [check_value(message) for message in messages]
    with Simulation(checking) as simulation:
        (fault,) = run(simulation, messages, {2: Planted.ASSERTS}).faults
        assert fault.kind is Kind.STOPPED
        assert "planted" in fault.message
        assert "planted" in simulation.printed


def test_assertions_hold_from_the_reset_on(tmp_path: Path) -> None:
    # A state register with three values of four: at random it begins with the fourth, until the reset.
    rtl = (
        (RTL / "digest.sv")
        .read_text()
        .replace(
            "  assign m_axis_tdata =",
            "  logic [1:0] probe;\n  always_comb begin\n    unique case (state_q)\n      Absorb: probe = 0;\n"
            "      Work: probe = 1;\n      Emit: probe = 2;\n    endcase\n  end\n"
            "  assign m_axis_tdata = {62'b0, probe & 2'b0} ^",
        )
    )
    built = build(load_core(write_core(tmp_path, "digest", rtl, **DIGEST_TABLES)), Flavour.CHECK)
    for seed in range(8):
        with Simulation(built, seed) as simulation:
            assert run(simulation, [b"abc"]).faults == ()


def test_bulk_simulation_has_no_random_initial_values(built: Built) -> None:
    with pytest.raises(UsageError, match=r"use Flavour\.CHECK"):
        Simulation(built, random=True)


def test_a_vcd_of_some_cycles(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("digest-trace")
    traced = built_core(folder, "digest", Flavour.TRACE, **DIGEST_TABLES)
    messages = random_messages(23, LENGTHS)
    with Simulation(traced) as simulation:
        for first, last in ((5, 40), (0, 10)):
            vcd = folder / "wave.vcd"
            transfer = run(simulation, messages, trace=Trace(vcd, first, last))
            assert packets(transfer) == [check_value(message) for message in messages]
            text = vcd.read_text()
            times = [int(time) for time in re.findall(r"^#(\d+)$", text, re.MULTILINE)]
            assert times[0] == 10 * first
            assert times[-1] == 10 * last + 5
            assert "m_axis_tvalid" in text
        run(simulation, messages)
        assert vcd.read_text() == text
        # A place that cannot be written to is an error of the call, not the end of the process.
        nowhere = Trace(folder / "nowhere" / "wave.vcd")
        with pytest.raises(UsageError, match="cannot be written"):
            run(simulation, messages, trace=nowhere)
        assert run(simulation, messages).faults == ()
    assert sorted(path.name for path in folder.iterdir()) == ["core.toml", "digest.sv", "wave.vcd"]


def test_a_core_that_emits_for_ever_is_stopped(simulation: Simulation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chaindp.cores.simulation.VARIABLE_BYTES", 1000)
    user = np.array([Planted.LONG_PACKET], np.uint32)
    transfer = simulation.run(*pack([b"x"]), None, user=user)
    (fault,) = transfer.faults
    assert fault.kind is Kind.TOO_LARGE
    assert "1000 bytes" in fault.message
    assert transfer.cycles < 200


def test_both_sides_of_the_interface_number_faults_and_patterns_alike() -> None:
    import chaindp.cores

    header = (Path(chaindp.cores.__file__).parent / "driver" / "job.h").read_text()
    numbers = {name: int(value) for name, value in re.findall(r"k(\w+) = (\d+)[,;]", header)}
    for kind in Kind:
        assert numbers["".join(part.capitalize() for part in kind.name.split("_"))] == kind
    patterns = {
        "Always": ALWAYS,
        "Random": Pattern.random(1),
        "OneIn": Pattern.one_in(1),
        "AfterValid": Pattern.after_valid(),
    }
    assert {name: numbers[name] for name in patterns} == {name: pattern.kind for name, pattern in patterns.items()}
