"""The streaming NTT: published vectors, every size, stalls, resets, changes of size, and one element a cycle."""

from __future__ import annotations

import json
import os
import random

import cocotb
import numpy as np
from stream_bench import StreamBench, coverage

from chaindp.kernels import NTT
from chaindp.kernels.fields import BABYBEAR

PARAMETERS = json.loads(os.environ["CORE_PARAMETERS"])
LARGEST = PARAMETERS["MaxLog2Size"]
REVERSED = bool(PARAMETERS["BitReversed"])
P = BABYBEAR.prime
# Short packets in numbers, and few of the long ones, which take Python long; of the longest pipelines not every size.
SIZES = list(range(LARGEST + 1)) if LARGEST <= 10 else [0, 1, 2, 5, 8, LARGEST]
# A packet may have to wait for two of the longest ones before it.
CYCLES = 100_000 + (4 << LARGEST)
EDGES = [0, 1, 2, P - 1, P - 2, P // 2, P // 2 + 1, (1 << 32) % P]

coverage.declare("sizes", [f"2^{k}" for k in SIZES])
coverage.declare("changes", ["larger", "smaller", "same"])
coverage.declare("resets", ["under way", "in an input packet", "output waiting"])


def encoded(row: list[int]) -> bytes:
    return np.array(row, dtype="<u4").tobytes()


def golden(row: list[int]) -> list[int]:
    values = NTT.golden(np.array([row], dtype=np.uint32))[0].tolist()
    bits = len(row).bit_length() - 1
    return [values[int(format(i, f"0{bits}b")[::-1], 2)] for i in range(len(row))] if REVERSED and bits else values


def send(bench: StreamBench, row: list[int]) -> None:
    bench.send(encoded(row), user=len(row).bit_length() - 1)


async def check(bench: StreamBench, rows: list[list[int]]) -> None:
    """Send all rows, and compare what comes out, packet by packet."""
    for number, row in enumerate(rows):
        coverage.hit("sizes", f"2^{len(row).bit_length() - 1}")
        if number:
            before, now = len(rows[number - 1]), len(row)
            coverage.hit("changes", "same" if now == before else "larger" if now > before else "smaller")
        send(bench, row)
    for number, row in enumerate(rows):
        packet = np.frombuffer(await bench.receive(CYCLES), dtype="<u4").tolist()
        assert packet == golden(row), f"packet {number} of {len(row)} elements"


def a_row(rng: random.Random, log2_size: int) -> list[int]:
    if rng.random() < 0.3:
        return [rng.choice(EDGES) for _ in range(1 << log2_size)]
    return [rng.randrange(P) for _ in range(1 << log2_size)]


def a_size(rng: random.Random) -> int:
    """Any size but what takes minutes under stalls, and the long ones seldom."""
    sizes = [k for k in SIZES if k <= 10]
    return rng.choice([k for k in sizes for _ in range(1 + max(0, sizes[-1] - k))])


@cocotb.test()
async def vectors(dut) -> None:
    bench = await StreamBench.start(dut)
    for vector in NTT.vectors:
        row = vector.args[0][0].tolist()
        if len(row) > 1 << LARGEST or vector.args[1] != "babybear":
            continue
        send(bench, row)
        packet = np.frombuffer(await bench.receive(), dtype="<u4").tolist()
        expected = vector.expected[0].tolist()
        if REVERSED:
            assert sorted(packet) == sorted(expected), vector.source
        else:
            assert packet == expected, vector.source


@cocotb.test()
async def sizes(dut) -> None:
    """Every size alone, twice in a row, and after every other kind."""
    bench = await StreamBench.start(dut)
    for log2_size in SIZES:
        await check(bench, [a_row(bench.rng, log2_size)])
        await check(bench, [a_row(bench.rng, log2_size) for _ in range(2)])
    await check(bench, [a_row(bench.rng, k) for k in SIZES[::-1]])
    await check(bench, [[value] * (1 << min(k, 4)) for k in SIZES for value in (0, 1, P - 1)])
    await bench.settle()


@cocotb.test()
@cocotb.parametrize(source=["never", "often", "bursts"], sink=["never", "often", "bursts", "one_in_forty"])
async def stalls(dut, source, sink) -> None:
    bench = await StreamBench.start(dut, source, sink)
    rows: list[list[int]] = []
    while sum(map(len, rows)) < 60:
        size = a_size(bench.rng)
        rows += [a_row(bench.rng, size) for _ in range(bench.rng.randint(1, 3))]
    await check(bench, rows)
    await bench.settle()


@cocotb.test()
async def nothing_waits_for_the_next_packet(dut) -> None:
    """A transform comes out whole though the next packet stops after any of its beats."""
    bench = await StreamBench.start(dut)
    size = min(4, LARGEST)
    for beats in range(1, 1 << size):
        first, second = a_row(bench.rng, size), a_row(bench.rng, size)
        accepted = len(bench.in_beats)
        send(bench, first)
        send(bench, second)
        while len(bench.in_beats) < accepted + (1 << size) + beats:
            await bench.cycles(1)
        bench.source.pause = True
        assert np.frombuffer(await bench.receive(), dtype="<u4").tolist() == golden(first)
        bench.source.pause = False
        assert np.frombuffer(await bench.receive(), dtype="<u4").tolist() == golden(second)


@cocotb.test()
async def reset_in_a_packet(dut) -> None:
    """Wherever the reset comes, what was under way leaves no trace."""
    bench = await StreamBench.start(dut)
    for wait in [1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 144, 233]:
        bench.pause("never", bench.rng.choice(["never", "one_in_forty"]))
        size = a_size(bench.rng)
        for _ in range(4):
            send(bench, a_row(bench.rng, size))
        await bench.cycles(wait)
        await bench.reset_under_way(bench.rng.randint(1, 3))
        bench.pause("never", "never")
        await check(bench, [a_row(bench.rng, a_size(bench.rng)) for _ in range(2)])
        await bench.settle(60)


@cocotb.test()
async def reset_at_either_end(dut) -> None:
    """Between two beats of a packet, and while the output waits."""
    bench = await StreamBench.start(dut)
    for size in (1, min(3, LARGEST), min(4, LARGEST)):
        for at_the_output in (False, True):
            for _ in range(3):
                send(bench, a_row(bench.rng, size))
            if at_the_output:
                await bench.output_waits()
            else:
                await bench.until(lambda: bench.in_packet)
            await bench.reset_under_way()
            bench.pause("never", "never")
            await check(bench, [a_row(bench.rng, size) for size in SIZES[:4]])
            await bench.settle(60)


@cocotb.test()
async def latency(dut) -> None:
    """Last beat in to first and last beat out, of a packet that is alone: what the header of ntt.sv says."""
    bench = await StreamBench.start(dut)
    for log2_size in SIZES[::-1]:
        await check(bench, [a_row(bench.rng, log2_size)])
        bench.out_beats.clear()
        await check(bench, [a_row(bench.rng, log2_size)])
        first, last = bench.out_beats[0] - bench.in_last[-1], bench.out_beats[-1] - bench.in_last[-1]
        pipeline = 9 * (LARGEST - 1) + max(0, LARGEST - 5) + 3 + (1 if REVERSED else 4)
        # The longest that an element waits for its turn in the natural order.
        turn = 0 if REVERSED else (1 << log2_size) + 1 - (1 << (log2_size + 1) // 2) - (1 << log2_size // 2)
        assert (first, last) == (pipeline, pipeline + (1 << log2_size) - 1 + turn), f"2^{log2_size}"


@cocotb.test()
async def one_element_a_cycle(dut) -> None:
    """Packets of one size one after another: not one cycle without a beat in, nor out once the first packet is."""
    bench = await StreamBench.start(dut)
    for log2_size in SIZES:
        await check(bench, [a_row(bench.rng, log2_size)])
        bench.in_beats.clear()
        bench.out_beats.clear()
        packets = max(4, 64 >> log2_size)
        await check(bench, [a_row(bench.rng, log2_size) for _ in range(packets)])
        assert len(bench.in_beats) == len(bench.out_beats) == packets << log2_size
        for what, beats in (("in", bench.in_beats), ("out", bench.out_beats[1 << log2_size :])):
            assert beats[-1] - beats[0] == len(beats) - 1, f"2^{log2_size}: cycles without a beat {what}"


@cocotb.test(stage=9)
async def coverage_report(dut) -> None:
    """Last: what the tests before reached."""
    coverage.report(dut._log)
