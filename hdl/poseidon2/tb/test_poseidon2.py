"""Poseidon2 in hardware: published vectors, edges of the field, stalls, resets, and the cycles a permutation takes."""

from __future__ import annotations

import json
import os
import random

import cocotb
import numpy as np
from stream_bench import StreamBench, coverage

from chaindp.kernels import POSEIDON2
from chaindp.kernels.fields import BABYBEAR
from chaindp.kernels.poseidon2 import golden_permutation

LANES = json.loads(os.environ["CORE_PARAMETERS"])["Lanes"]
BEATS = 16 // LANES
# A pass of the external ring takes its beats, an internal round a cycle of the other ring: the fuller ring counts.
CYCLES = max(9 * BEATS, 13)
P = BABYBEAR.prime
EDGES = [0, 1, 2, P - 1, P - 2, P // 2, P // 2 + 1, (1 << 32) % P, P - (1 << 32) % P]

coverage.declare("resets", ["under way", "in an input packet", "output waiting"])
coverage.declare("states", ["zeros", "one value", "edges", "random"])
if BEATS == 1:
    coverage.declared -= {"packets: gap inside a packet", "resets: in an input packet"}
coverage.declare("batches", ["one alone", "fewer than a ring holds", "more than the rings hold"])


def encoded(state: list[int]) -> bytes:
    return np.array(state, dtype="<u4").tobytes()


async def check(bench: StreamBench, states: list[list[int]]) -> None:
    """Send all states, and compare what comes out, packet by packet."""
    kind = "one alone" if len(states) == 1 else "fewer than a ring holds" if len(states) < 8 else ""
    coverage.hit("batches", "more than the rings hold" if len(states) > 64 else kind or "some")
    for state in states:
        if not any(state):
            coverage.hit("states", "zeros")
        if len(set(state)) == 1:
            coverage.hit("states", "one value")
        coverage.hit("states", "edges" if set(state) <= set(EDGES) else "random")
    packets = await bench.exchange([encoded(state) for state in states])
    for number, (state, packet) in enumerate(zip(states, packets, strict=True)):
        assert np.frombuffer(packet, dtype="<u4").tolist() == golden_permutation(state), f"state {number}: {state}"


def a_state(rng: random.Random) -> list[int]:
    if rng.random() < 0.3:
        return [rng.choice(EDGES) for _ in range(16)]
    return [rng.randrange(P) for _ in range(16)]


@cocotb.test()
async def vectors(dut) -> None:
    bench = await StreamBench.start(dut)
    for vector in POSEIDON2.vectors:
        if vector.args[1] != "babybear":
            continue
        (packet,) = await bench.exchange([vector.args[0].astype("<u4").tobytes()])
        assert packet == vector.expected.astype("<u4").tobytes(), vector.source


@cocotb.test()
async def edges(dut) -> None:
    bench = await StreamBench.start(dut)
    states = [[value] * 16 for value in EDGES]
    states += [[P - 1 if i == place else 0 for i in range(16)] for place in range(16)]
    states += [[0 if i == place else P - 1 for i in range(16)] for place in range(16)]
    await check(bench, states)
    await bench.settle(800)


@cocotb.test()
@cocotb.parametrize(source=["never", "often", "bursts"], sink=["never", "often", "bursts", "one_in_forty"])
async def stalls(dut, source, sink) -> None:
    bench = await StreamBench.start(dut, source, sink)
    for count in (2, 14):
        await check(bench, [a_state(bench.rng) for _ in range(count)])
    await bench.settle()


@cocotb.test()
async def output_that_waits(dut) -> None:
    """As many states as there is room for pile up behind an output that nobody takes, and none is lost."""
    bench = await StreamBench.start(dut)
    bench.sink.pause = True
    states = [a_state(bench.rng) for _ in range(80)]
    for state in states:
        bench.send(encoded(state))
    await bench.cycles(80 * CYCLES + 1200)
    accepted = len(bench.in_last)
    await bench.cycles(200)
    assert len(bench.in_last) == accepted < len(states)
    bench.sink.pause = False
    for number, state in enumerate(states):
        assert np.frombuffer(await bench.receive(), dtype="<u4").tolist() == golden_permutation(state), number
    await bench.settle()


@cocotb.test()
async def reset_in_a_packet(dut) -> None:
    """Wherever the reset comes, what was under way leaves no trace."""
    bench = await StreamBench.start(dut)
    for wait in [1, 2, 5, 40, 300, 650, 750]:
        bench.pause("never", bench.rng.choice(["never", "one_in_forty"]))
        for _ in range(12):
            bench.send(encoded(a_state(bench.rng)))
        await bench.cycles(wait)
        await bench.reset_under_way(bench.rng.randint(1, 3))
        bench.pause("never", "never")
        await check(bench, [a_state(bench.rng) for _ in range(2)])
        await bench.settle(60)


@cocotb.test()
async def reset_at_either_end(dut) -> None:
    """Between two beats of a packet, and while the output waits."""
    bench = await StreamBench.start(dut)
    for at_the_output in (False, True, True) if BEATS == 1 else (False, True, False, True):
        for _ in range(3):
            bench.send(encoded(a_state(bench.rng)))
        if at_the_output:
            await bench.output_waits()
        else:
            await bench.until(lambda: bench.in_packet if BEATS > 1 else bool(bench.in_last))
        await bench.reset_under_way()
        bench.pause("never", "never")
        await check(bench, [a_state(bench.rng) for _ in range(2)])
        await bench.settle(60)


@cocotb.test()
async def cycles_a_permutation(dut) -> None:
    """Sustained, and alone from the last beat in to the first out."""
    bench = await StreamBench.start(dut)
    # Wherever the rings stand when it comes.
    for gap in range(1, 4):
        await bench.cycles(gap)
        await check(bench, [a_state(bench.rng)])
        taken = bench.out_beats[-BEATS] - bench.in_last[-1]
        assert taken <= 700, f"{taken} cycles from the last beat in to the first one out"
    bench.out_last.clear()
    await check(bench, [a_state(bench.rng) for _ in range(200)])
    # The rings fill in bursts, so the time between two packets varies; not that of many.
    between = (bench.out_last[180] - bench.out_last[60]) / 120
    assert abs(between - CYCLES) <= 0.04 * CYCLES, f"{between} cycles a permutation, {CYCLES} are due"
    whole = bench.out_last[-1] - bench.out_last[0]
    assert whole <= 199 * CYCLES + 300, f"{whole} cycles for 199 permutations"


@cocotb.test(stage=9)
async def coverage_report(dut) -> None:
    """Last: what the tests before reached."""
    coverage.report(dut._log)
