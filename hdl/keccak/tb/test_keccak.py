"""Keccak-256 in hardware: official vectors, lengths, stalls, resets, and the cycles a block takes."""

from __future__ import annotations

import hashlib
import json
import os

import cocotb
from Crypto.Hash import keccak as pycryptodome
from hash_bench import HashBench, assert_spacing
from stream_bench import coverage

from chaindp.kernels.hashes import KECCAK256, golden_keccak256

PARAMETERS = json.loads(os.environ["CORE_PARAMETERS"])
ROUNDS = PARAMETERS.get("RoundsPerCycle", 1)
PIPELINED = bool(PARAMETERS.get("Pipelined", 0))
SHA3 = PARAMETERS.get("DomainByte") == "8'h06"
CYCLES_A_BLOCK = 24 // ROUNDS


class Bench(HashBench):
    block = 136
    padding = 1

    @staticmethod
    def golden(message: bytes) -> bytes:
        return hashlib.sha3_256(message).digest() if SHA3 else golden_keccak256(message)


Bench.declare()


@cocotb.test(skip=SHA3)
async def vectors(dut) -> None:
    bench = await Bench.start(dut)
    for vector in KECCAK256.vectors:
        data, offsets = vector.args
        (digest,) = await bench.exchange([data[offsets[0] : offsets[1]].tobytes()])
        assert digest == vector.expected.tobytes(), vector.source


@cocotb.test()
async def lengths(dut) -> None:
    bench = await Bench.start(dut)
    messages = [bench.rng.randbytes(length) for length in bench.edges()]
    if not SHA3:
        for message in messages:  # an implementation that is not ours agrees with the golden model
            assert Bench.golden(message) == pycryptodome.new(digest_bits=256, data=message).digest()
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
    await bench.check_resets([1, 2, 3, 8, 17, 18, 19, 20, 27, 30, 41, 42, 43, 44, 60, 90, 91])


@cocotb.test()
@cocotb.parametrize(length=[0, 64, 135])
async def short_messages_without_a_bubble(dut, length) -> None:
    """The next block belongs to another message; 64 bytes are a node of a Merkle tree."""
    bench = await Bench.start(dut)
    await bench.check([bench.rng.randbytes(length) for _ in range(200 if PIPELINED else 12)])
    assert_spacing(bench.out_beats, 1 if PIPELINED else CYCLES_A_BLOCK, f"messages of {length} bytes")


@cocotb.test()
async def long_messages_without_a_bubble(dut) -> None:
    bench = await Bench.start(dut)
    for blocks in (2, 5, 16):
        bench.out_beats.clear()
        await bench.check([bench.rng.randbytes(blocks * Bench.block - 1) for _ in range(4)])
        # The pipeline takes the next message behind the last block, which needs no chaining.
        cycles = (blocks - 1) * 24 + 1 if PIPELINED else blocks * CYCLES_A_BLOCK
        assert_spacing(bench.out_beats, cycles, f"messages of {blocks} blocks")


@cocotb.test()
async def latency(dut) -> None:
    """First beat offered to digest out, of a message that is alone."""
    bench = await Bench.start(dut)
    for length in (0, 1, 8 * ROUNDS - 1, 64, 135):
        await bench.check([bench.rng.randbytes(length)])
        taken = bench.out_beats[-1] - bench.offered[-1]
        # Gathering, permutation, and one cycle before each and behind; or the stages and the buffer of digests.
        due = 26 if PIPELINED else length // (8 * ROUNDS) + 1 + CYCLES_A_BLOCK + 2
        assert taken == due, f"{length} bytes: {taken} cycles, {due} are due"


@cocotb.test(stage=9)
async def coverage_report(dut) -> None:
    """Last: what the tests before reached."""
    coverage.report(dut._log)
