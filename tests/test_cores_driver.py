"""The driver against a core that behaves, and against one that plants every fault by name."""

from __future__ import annotations

import os
import re
import signal
import threading
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chaindp.cores import ALWAYS, Built, Fault, Flavour, Kind, Pattern, Reset, Simulation, Stalls, Trace, Transfer
from chaindp.errors import InputError, UsageError
from chaindp.kernels.hashes import pack
from core_rtl import DIGEST_TABLES, Planted, built_core, check_value, needs_simulator, random_messages

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
        (Planted.WAITS_FOR_READY, Stalls(output=Pattern.after_valid()), Kind.HANG, "m_axis: tvalid 0, tready 0"),
        (Planted.ENDS_EARLY, Stalls(input=Pattern.one_in(50)), Kind.EARLY, "ends before its input packet does"),
        (Planted.CHANGES, Stalls(output=Pattern.one_in(9)), Kind.CHANGED, "changed while it was stalled"),
        (Planted.SHORT_PACKET, Stalls(), Kind.SHORT, "tlast after 24 bytes of a packet that has 32"),
        (Planted.LONG_PACKET, Stalls(), Kind.LONG, "no tlast after 32 bytes"),
        (Planted.HANGS_AT_WORK, Stalls(), Kind.HANG, "s_axis: tvalid 1, tready 0; m_axis: tvalid 0, tready 1"),
        (Planted.EMITS_TWICE, Stalls(input=Pattern.one_in(97)), Kind.SPURIOUS, "before any beat of its packet"),
        (Planted.SWALLOWS, Stalls(), Kind.HANG, "s_axis: tvalid 0, tready 1; m_axis: tvalid 0, tready 1"),
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


def test_an_input_that_is_never_ready_again(simulation: Simulation) -> None:
    messages = random_messages(12, (8, 8))
    transfer = run(simulation, messages, {0: Planted.HANGS_AT_INPUT}, idle_cycles=77)
    (fault,) = transfer.faults
    assert fault.kind is Kind.HANG
    assert "for 77 cycles" in fault.message
    assert "next to go in: packet 1, beat 0" in fault.message
    assert "s_axis: tvalid 1, tready 0" in fault.message
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


def test_a_reset_while_an_output_is_stalled(simulation: Simulation) -> None:
    messages = random_messages(17, (8,) * 3)
    # The second message is in while beats of the first come out only every 20 cycles.
    transfer = run(simulation, messages, resets=[Reset(0, 1)], stalls=Stalls(output=Pattern.one_in(20)))
    assert transfer.faults == ()
    assert transfer.finished.tolist()[0] == -1
    assert packets(transfer)[1:] == [check_value(message) for message in messages[1:]]


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
