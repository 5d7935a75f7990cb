"""SHA-256 in hardware: official vectors, lengths, stalls, resets, and the cycles a block takes."""

from __future__ import annotations

import hashlib
import json
import os

import cocotb
from hash_bench import HashBench, assert_spacing
from stream_bench import coverage

from chaindp.kernels.hashes import SHA256, golden_sha256

PARAMETERS = json.loads(os.environ["CORE_PARAMETERS"])
PIPELINED = bool(PARAMETERS.get("Pipelined", 0))
CYCLES_A_BLOCK = 65


class Bench(HashBench):
    block = 64
    padding = 9
    golden = staticmethod(golden_sha256)


Bench.declare()


@cocotb.test()
async def vectors(dut) -> None:
    bench = await Bench.start(dut)
    for vector in SHA256.vectors:
        data, offsets = vector.args
        (digest,) = await bench.exchange([data[offsets[0] : offsets[1]].tobytes()])
        assert digest == vector.expected.tobytes(), vector.source


@cocotb.test()
async def lengths(dut) -> None:
    bench = await Bench.start(dut)
    messages = [bench.rng.randbytes(length) for length in bench.edges()]
    for message in messages:  # an implementation that is not ours agrees with the golden model
        assert golden_sha256(message) == hashlib.sha256(message).digest()
    await bench.check(messages)
    await bench.settle()


@cocotb.test()
@cocotb.parametrize(source=["never", "often", "bursts"], sink=["never", "often", "bursts", "one_in_forty"])
async def stalls(dut, source, sink) -> None:
    bench = await Bench.start(dut, source, sink)
    await bench.check(bench.messages(16))
    await bench.settle()


@cocotb.test()
async def reset_in_a_message(dut) -> None:
    bench = await Bench.start(dut)
    await bench.check_resets([1, 2, 3, 8, 17, 18, 19, 40, 64, 65, 66, 67, 68, 69, 70, 71, 90, 131, 132, 133, 134, 200])


@cocotb.test()
@cocotb.parametrize(length=[0, 55, 64])
async def short_messages_without_a_bubble(dut, length) -> None:
    """64 bytes are a node of a Merkle tree: two blocks."""
    bench = await Bench.start(dut)
    blocks = 2 if length > 55 else 1
    await bench.check([bench.rng.randbytes(length) for _ in range(400 if PIPELINED else 8)])
    if PIPELINED:
        # A pipeline full of first blocks is followed by one full of second blocks.
        beats = bench.out_beats
        halves = [(beats[i + 132] - beats[i]) / 132 for i in range(len(beats) - 132)]
        assert max(halves) <= blocks, f"messages of {length} bytes: {max(halves)} cycles each"
    else:
        assert_spacing(bench.out_beats, blocks * CYCLES_A_BLOCK, f"messages of {length} bytes")


@cocotb.test()
async def long_messages_without_a_bubble(dut) -> None:
    bench = await Bench.start(dut)
    for blocks in (3, 16):
        bench.out_beats.clear()
        await bench.check([bench.rng.randbytes(blocks * Bench.block - 9) for _ in range(4)])
        # The pipeline takes the next message behind the last block, which needs no chaining.
        cycles = (blocks - 1) * 67 + 1 if PIPELINED else blocks * CYCLES_A_BLOCK
        assert_spacing(bench.out_beats, cycles, f"messages of {blocks} blocks")


@cocotb.test(skip=not PIPELINED)
async def one_block_and_two_in_turn(dut) -> None:
    """A message of one block waits for the second blocks of those before: the pipeline empties for every pair."""
    bench = await Bench.start(dut)
    await bench.check([bench.rng.randbytes(length) for length in [64, 55] * 12])
    pairs = [(bench.out_beats[i + 2] - bench.out_beats[i]) for i in range(2, 20, 2)]
    assert 62 <= min(pairs) <= max(pairs) <= 74, f"{pairs} cycles a pair"


@cocotb.test()
async def latency(dut) -> None:
    """First beat offered to digest out, of a message that is alone."""
    bench = await Bench.start(dut)
    for length in (0, 1, 55, 64, 135):
        await bench.check([bench.rng.randbytes(length)])
        blocks = (length + 8) // 64 + 1
        taken = bench.out_beats[-1] - bench.offered[-1]
        due = {1: 69, 2: 135, 3: 203}[blocks] if PIPELINED else blocks * CYCLES_A_BLOCK + 4
        assert taken == due, f"{length} bytes: {taken} cycles, {due} are due"


@cocotb.test(stage=9)
async def coverage_report(dut) -> None:
    """Last: what the tests before reached."""
    coverage.report(dut._log)
