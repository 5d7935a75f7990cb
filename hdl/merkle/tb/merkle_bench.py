"""The bench of the core merkle: trees in, their nodes compared with the golden reference."""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Sequence

import numpy as np
from stream_bench import StreamBench, coverage

from chaindp.kernels.merkle import MERKLE_TREE, level_offsets

PARAMETERS = json.loads(os.environ["CORE_PARAMETERS"])
HASH = "sha256" if PARAMETERS["Hash"] else "keccak256"
EMIT_NODES = bool(PARAMETERS["EmitNodes"])
MAX_LEAVES = 1 << PARAMETERS["MaxDepth"]
PIPELINED = bool(PARAMETERS["Pipelined"])
# Of the hash core: from one node to the next, and from two nodes to their parent at the most.
CYCLES_A_NODE = 130 if PARAMETERS["Hash"] else 24 // PARAMETERS["RoundsPerCycle"]
LATENCY = 2 * CYCLES_A_NODE
if PIPELINED:
    CYCLES_A_NODE, LATENCY = (2, 150) if PARAMETERS["Hash"] else (1, 40)

Node = tuple[int, bytes]
"""Level and digest."""

coverage.declare("trees", ["one leaf", "a power of two", "odd leaves", "odd inner level", "next one smaller"])
coverage.declare("resets", ["under way", "in an input packet", "output waiting"])


def expected(leaves: np.ndarray) -> list[Node]:
    """The beats of a tree's output packet, level by level, by the golden reference."""
    nodes = MERKLE_TREE.golden(leaves, HASH)
    bounds = level_offsets(len(leaves)).tolist()
    top = len(bounds) - 2
    levels = range(1, top + 1) if EMIT_NODES and top else [top]
    return [(level, nodes[i].tobytes()) for level in levels for i in range(bounds[level], bounds[level + 1])]


class MerkleBench(StreamBench):
    """Sends trees, receives nodes."""

    def tree(self, leaf_count: int) -> np.ndarray:
        """uint8[leaf_count,32] at random."""
        return np.frombuffer(self.rng.randbytes(32 * leaf_count), dtype=np.uint8).reshape(-1, 32)

    def send_tree(self, leaves: np.ndarray) -> None:
        """Queue the leaves of one tree."""
        self.send(leaves.tobytes())

    async def receive_nodes(self) -> list[Node]:
        """The beats of the next packet out, in the order in which they came."""
        frame = await self.sink.recv(compact=False)
        data, levels = bytes(frame.tdata), frame.tuser[::32]
        return [(level, data[32 * i : 32 * i + 32]) for i, level in enumerate(levels)]

    async def check(self, trees: Sequence[np.ndarray]) -> None:
        """Send all trees at once, compare every packet that comes out, and see that there is no other."""
        for leaves in trees:
            self.send_tree(leaves)
        for leaves in trees:
            nodes = await self.receive_nodes()
            wanted = expected(leaves)
            assert nodes[-1] == wanted[-1], f"{len(leaves)} leaves: the root, the last beat, is wrong"
            # Levels may mix, but a level's nodes come in order; sorted() is stable.
            assert sorted(nodes, key=lambda node: node[0]) == wanted, f"{len(leaves)} leaves: wrong nodes"
            self._cover(leaves)
        for before, after in itertools.pairwise(trees):
            if len(after) < len(before):
                coverage.hit("trees", "next one smaller")
        await self.settle(2 * LATENCY)

    def _cover(self, leaves: np.ndarray) -> None:
        count = len(leaves)
        sizes = np.diff(level_offsets(count))
        if count == 1:
            coverage.hit("trees", "one leaf")
        elif count & (count - 1) == 0:
            coverage.hit("trees", "a power of two")
        if count > 1 and count % 2:
            coverage.hit("trees", "odd leaves")
        if (sizes[1:-1] % 2).any():
            coverage.hit("trees", "odd inner level")
