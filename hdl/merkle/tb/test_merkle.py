"""Merkle trees in hardware: published roots, every shape of tree, stalls, resets, and how busy the hash core is."""

from __future__ import annotations

import os

import cocotb
import numpy as np
from merkle_bench import CYCLES_A_NODE, EMIT_NODES, HASH, LATENCY, MAX_LEAVES, PIPELINED, MerkleBench, coverage

from chaindp.kernels.merkle import MERKLE_TREE, zero_roots

# Longer where the environment asks for it; the bounded set covers the same bins.
FULL = os.environ.get("CORE_FULL", "0") not in ("", "0")


@cocotb.test()
async def vectors(dut) -> None:
    """The kernel's vectors, and the published roots of all-zero subtrees."""
    bench = await MerkleBench.start(dut)
    for vector in MERKLE_TREE.vectors:
        leaves, hash_name = vector.args
        if hash_name == HASH:
            bench.send_tree(leaves)
            assert (await bench.receive_nodes())[-1] == (1, vector.expected[-1].tobytes()), vector.source
    for height in range(6 if FULL else 4):
        if 1 << height <= MAX_LEAVES:
            bench.send_tree(np.zeros((1 << height, 32), dtype=np.uint8))
            assert (await bench.receive_nodes())[-1] == (height, zero_roots(HASH)[height].tobytes())


@cocotb.test()
async def every_small_tree(dut) -> None:
    """Every number of leaves up to a bound, back to back, small before large and large before small."""
    bench = await MerkleBench.start(dut)
    sizes = [count for count in range(1, 36 if FULL else 14) if count <= MAX_LEAVES]
    await bench.check([bench.tree(count) for count in sizes + sizes[::-1]])


@cocotb.test()
async def odd_shapes(dut) -> None:
    """Around the powers of two, where levels are completed by zero subtrees of every height."""
    bench = await MerkleBench.start(dut)
    sizes = [15, 17, 31, 33] + ([63, 65, 127, 129, 255, 257, 511, 513, 333] if FULL else [])
    await bench.check([bench.tree(count) for count in sizes if count <= MAX_LEAVES])


@cocotb.test()
@cocotb.parametrize(
    source=["never", "often", "one_in_four", "bursts"], sink=["never", "often", "one_in_forty", "bursts"]
)
async def stalls(dut, source, sink) -> None:
    bench = await MerkleBench.start(dut, source, sink)
    largest = min(MAX_LEAVES, 40 if FULL else 9)
    sizes = [bench.rng.randint(1, largest) for _ in range(12 if FULL else 3)]
    await bench.check([bench.tree(count) for count in [*sizes, 1, 1, 2]])


@cocotb.test()
async def reset_in_a_tree(dut) -> None:
    """Wherever the reset comes, what was under way leaves no trace."""
    bench = await MerkleBench.start(dut)
    for number in range(30 if FULL else 9):
        # Deep enough to leave nodes behind at several levels, and the trees after it to find them.
        for _ in range(2):
            bench.send_tree(bench.tree(min(MAX_LEAVES, bench.rng.randint(17, 33))))
        if not number:
            await bench.cycles(10)  # leaves go in at one a cycle at most: the packet has not ended
        elif number % 3 == 2:
            await bench.output_waits()
            await bench.cycles(bench.rng.randrange(2 * LATENCY))
        else:
            bench.pause("never", "one_in_forty" if number % 3 else "never")
            await bench.cycles(bench.rng.randint(1, 33 * CYCLES_A_NODE + 6 * LATENCY))
        await bench.reset_under_way(bench.rng.randint(1, 3))
        bench.pause("never", "never")
        await bench.check([bench.tree(count) for count in (17, 5, 3, 1) if count <= MAX_LEAVES])


# Pipelined and with every node out, the path to the root is paid for every tree: it is as long as these trees.
@cocotb.test(skip=MAX_LEAVES < 1024 or (PIPELINED and EMIT_NODES))
async def hash_core_is_busy(dut) -> None:
    """Trees of 2^8 leaves or more back to back: the hash core works in at least 95 % of the cycles."""
    bench = await MerkleBench.start(dut)
    # Pipelined, a tree has to be longer than its path to the root: 8 levels of SHA-256 are of twice as many cycles.
    count, trees = 256, 40 if PIPELINED else 3 if FULL or CYCLES_A_NODE < 100 else 1
    if PIPELINED and CYCLES_A_NODE > 1:
        count, trees = 1024, 30
    await bench.check([bench.tree(count) for _ in range(trees)])
    cycles = bench.out_beats[-1] - bench.in_beats[0] + 1
    busy = trees * (count - 1) * CYCLES_A_NODE / cycles
    dut._log.info("%d trees of %d leaves in %d cycles: hash core busy %.2f %%", trees, count, cycles, 100 * busy)
    assert 0.95 <= busy <= 1, f"the hash core works in {100 * busy:.2f} % of the cycles"
    if EMIT_NODES:
        assert len(bench.out_beats) == trees * (count - 1)


@cocotb.test(skip=MAX_LEAVES > 16)
async def too_many_leaves(dut) -> None:
    """A tree that is too deep gives one packet all the same, and the next tree is right."""
    bench = await MerkleBench.start(dut)
    for extra in (1, 2, 7, MAX_LEAVES + 1):
        bench.send_tree(bench.tree(MAX_LEAVES + extra))
        await bench.receive_nodes()
        await bench.check([bench.tree(3)])


@cocotb.test(stage=9)
async def coverage_report(dut) -> None:
    """Last: what the tests before reached."""
    coverage.report(dut._log)
