"""What a kernel's arguments look like on the wire: to packets and back, a class a kernel.

docs/cores.md has the packets of each kernel; ``chaindp.kernels`` what the arguments are.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from chaindp.cores.description import BLOCK, Core
from chaindp.cores.simulation import Transfer
from chaindp.errors import PluginError
from chaindp.kernels import checks
from chaindp.kernels.fields import elements
from chaindp.kernels.merkle import level_offsets
from chaindp.kernels.ntt import check_ntt
from chaindp.kernels.poseidon2 import WIDTH, instance_of

__all__ = ["PACKETS", "Packed", "Packets"]

NODE = 32

Args = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Packed:
    """P packets as a simulation takes them: u8[B], i64[P+1], u32[P] or None, and i64[P], what has to come back."""

    data: np.ndarray
    offsets: np.ndarray
    user: np.ndarray | None
    out_bytes: np.ndarray


class Packets(ABC):
    """One kernel."""

    kernel: ClassVar[str]

    @abstractmethod
    def check(self, *args: Any) -> Args:
        """The arguments, as plain arrays and with nothing left out; InputError for bad ones."""

    @abstractmethod
    def operations(self, args: Args) -> int:
        """How many packets the arguments are; with none, ``nothing`` is the result, and nothing is simulated."""

    @abstractmethod
    def nothing(self, args: Args) -> np.ndarray:
        """The result of a call without packets."""

    @abstractmethod
    def pack(self, core: Core, args: Args) -> Packed:
        """The packets that a core takes."""

    @abstractmethod
    def unpack(self, core: Core, args: Args, transfer: Transfer) -> np.ndarray:
        """The result, from packets of the right lengths; PluginError for what is in them and cannot be."""

    def refusal(self, core: Core, args: Args) -> str:
        """Why a core cannot serve these arguments; empty where it can."""
        return ""


class HashPackets(Packets):
    """``keccak256`` and ``sha256``: a packet a message, padded here or in the core."""

    def __init__(self, kernel: str) -> None:
        self.kernel = kernel  # type: ignore[misc]

    def check(self, *args: Any) -> Args:
        """Ragged messages."""
        data, offsets = args
        return checks.ragged(data, offsets)

    def operations(self, args: Args) -> int:
        """A packet a message."""
        return len(args[1]) - 1

    def nothing(self, args: Args) -> np.ndarray:
        """No digests."""
        return np.empty((0, NODE), dtype=np.uint8)

    def pack(self, core: Core, args: Args) -> Packed:
        """The messages as they are, or whole blocks."""
        data, offsets = args
        if core.options["padding"] == "host":
            data, offsets = padded(self.kernel, data, offsets)
        return Packed(data, offsets, None, np.full(len(offsets) - 1, NODE, dtype=np.int64))

    def unpack(self, core: Core, args: Args, transfer: Transfer) -> np.ndarray:
        """A digest a packet."""
        return transfer.data.reshape(-1, NODE)


def padded(kernel: str, data: np.ndarray, offsets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Every message with the hash's own padding: whole blocks (Keccak's pad10*1 with 0x01; FIPS 180-4, 5.1.1)."""
    block = BLOCK[kernel]
    lengths = np.diff(offsets)
    # Keccak adds a byte or more, SHA-256 one and eight of length.
    least = 1 if kernel == "keccak256" else 9
    sizes = -(-(lengths + least) // block) * block
    bounds = np.zeros(len(offsets), dtype=np.int64)
    np.cumsum(sizes, out=bounds[1:])
    out = np.zeros(int(bounds[-1]), dtype=np.uint8)
    moved = np.repeat(bounds[:-1] - offsets[:-1], lengths)
    out[moved + np.arange(len(moved))] = data[: len(moved)]
    ends, lasts = bounds[:-1] + lengths, bounds[1:]
    if kernel == "keccak256":
        out[ends] = 0x01
        out[lasts - 1] |= 0x80
    else:
        out[ends] = 0x80
        big_endian = (8 * lengths).astype(">u8").view(np.uint8).reshape(-1, 8)
        out[lasts[:, None] + np.arange(-8, 0)] = big_endian
    return out, bounds


class TreePackets(Packets):
    """What ``merkle_root`` and ``merkle_tree`` have in common: one packet of leaves."""

    def check(self, *args: Any) -> Args:
        """Leaves and a hash."""
        leaves, hash_name = args if len(args) > 1 else (*args, "keccak256")
        hash_name = checks.hash_name(hash_name)
        return checks.array(leaves, "leaves", np.uint8, (None, NODE)), hash_name

    def operations(self, args: Args) -> int:
        """One tree, or none where there are no leaves."""
        return 1 if len(args[0]) else 0

    def refusal(self, core: Core, args: Args) -> str:
        """A core has one hash, and a stack of a size."""
        have, deepest = core.options["hash"], int(core.options["max_depth"])
        if len(args[0]) > 1 << deepest:
            return f"its largest tree is over 2^{deepest} leaves, and {len(args[0])} were given"
        return "" if have == args[1] else f"it builds trees with {have}, not with {args[1]}"

    def _packed(self, leaves: np.ndarray, out_bytes: int) -> Packed:
        return Packed(
            leaves.reshape(-1),
            np.array([0, leaves.size], dtype=np.int64),
            None,
            np.array([out_bytes], dtype=np.int64),
        )


class MerkleRootPackets(TreePackets):
    """``merkle_root``: leaves in, the root out."""

    kernel = "merkle_root"

    def nothing(self, args: Args) -> np.ndarray:
        """The zero digest."""
        return np.zeros(NODE, dtype=np.uint8)

    def pack(self, core: Core, args: Args) -> Packed:
        """The leaves."""
        return self._packed(args[0], NODE)

    def unpack(self, core: Core, args: Args, transfer: Transfer) -> np.ndarray:
        """The root."""
        return transfer.data


class MerkleTreePackets(TreePackets):
    """``merkle_tree``: leaves in, every node above them out, as soon as it is there, its level in tuser."""

    kernel = "merkle_tree"

    def nothing(self, args: Args) -> np.ndarray:
        """A tree over no leaves is one zero digest."""
        return np.zeros((1, NODE), dtype=np.uint8)

    def pack(self, core: Core, args: Args) -> Packed:
        """The leaves. One leaf is its own root, and comes back."""
        nodes = int(level_offsets(len(args[0]))[-1])
        return self._packed(args[0], NODE * max(nodes - len(args[0]), 1))

    def refusal(self, core: Core, args: Args) -> str:
        """A core has one hash, and its tuser has to hold the root's level."""
        depth = len(level_offsets(len(args[0]))) - 2
        if depth >> core.output.user_bits:
            return (
                f"its tuser of {core.output.user_bits} bits cannot say level {depth} of a tree of {len(args[0])} leaves"
            )
        return super().refusal(core, args)

    def unpack(self, core: Core, args: Args, transfer: Transfer) -> np.ndarray:
        """All nodes, leaves first: levels come interleaved, and the nodes of one level in order."""
        leaves = args[0]
        assert transfer.user is not None
        a_node = NODE // core.output.bytes
        by_beat = transfer.user.reshape(-1, a_node)
        levels = by_beat[:, 0]
        bounds = level_offsets(len(leaves))
        sizes = np.diff(bounds)
        depth = len(sizes) - 1
        order = np.argsort(levels, kind="stable")
        # A tree of one leaf has nothing above it, and its only level comes out.
        expected = np.repeat(np.arange(depth + 1), sizes)[len(leaves) if depth else 0 :]
        if not np.array_equal(levels[order], expected) or (by_beat != levels[:, None]).any():
            raise PluginError(
                f"tuser says {_levels(levels)}, and a tree of {len(leaves)} leaves has {_levels(expected)}"
            )
        if levels[-1] != depth:
            raise PluginError(f"the last node is of level {levels[-1]}, and the root is of level {depth}")
        nodes = np.empty((int(bounds[-1]), NODE), dtype=np.uint8)
        nodes[: len(leaves)] = leaves
        nodes[len(nodes) - len(order) :] = transfer.data.reshape(-1, NODE)[order]
        return nodes


def _levels(levels: np.ndarray) -> str:
    """How many nodes there are of each level, in words."""
    found, counts = np.unique(levels, return_counts=True)
    pairs = [f"{count} of level {level}" for level, count in zip(found.tolist(), counts.tolist(), strict=True)]
    return ", ".join(pairs[:6]) + (", ..." if len(pairs) > 6 else "")


class Poseidon2Packets(Packets):
    """``poseidon2``: a packet a state."""

    kernel = "poseidon2"

    def check(self, *args: Any) -> Args:
        """States and a field."""
        states, field = args if len(args) > 1 else (*args, "babybear")
        known = instance_of(field).field
        return elements(states, "states", (None, WIDTH), known), field

    def operations(self, args: Args) -> int:
        """A packet a state."""
        return len(args[0])

    def nothing(self, args: Args) -> np.ndarray:
        """No states."""
        return np.empty((0, WIDTH), dtype=np.uint32)

    def refusal(self, core: Core, args: Args) -> str:
        """A core has one field."""
        return _other_field(core, args[1])

    def pack(self, core: Core, args: Args) -> Packed:
        """The elements, little-endian."""
        states = args[0].astype("<u4", copy=False)
        size = 4 * WIDTH
        offsets = np.arange(len(states) + 1, dtype=np.int64) * size
        return Packed(states.view(np.uint8).reshape(-1), offsets, None, np.full(len(states), size, dtype=np.int64))

    def unpack(self, core: Core, args: Args, transfer: Transfer) -> np.ndarray:
        """The permuted states."""
        return transfer.data.view("<u4").reshape(-1, WIDTH).astype(np.uint32, copy=False)


class NttPackets(Packets):
    """``ntt``: a packet a row, log2 of its length in tuser."""

    kernel = "ntt"

    def check(self, *args: Any) -> Args:
        """Rows and a field."""
        values, field = args if len(args) > 1 else (*args, "babybear")
        values, log2_size = check_ntt(values, field)
        return values, field, log2_size

    def operations(self, args: Args) -> int:
        """A packet a row."""
        return len(args[0])

    def nothing(self, args: Args) -> np.ndarray:
        """No rows."""
        return np.empty(args[0].shape, dtype=np.uint32)

    def refusal(self, core: Core, args: Args) -> str:
        """A core has one field, a smallest and a largest size."""
        smallest, largest = int(core.options["min_log2_size"]), int(core.options["max_log2_size"])
        if args[2] < smallest:
            return f"its smallest transform is 2^{smallest}, and rows of 2^{args[2]} elements were given"
        if args[2] > largest:
            return f"its largest transform is 2^{largest}, and rows of 2^{args[2]} elements were given"
        return _other_field(core, args[1])

    def pack(self, core: Core, args: Args) -> Packed:
        """The elements, little-endian."""
        values, _, log2_size = args
        rows, length = values.shape
        data = values.astype("<u4", copy=False).view(np.uint8).reshape(-1)
        offsets = np.arange(rows + 1, dtype=np.int64) * (4 * length)
        user = np.full(rows, log2_size, dtype=np.uint32)
        return Packed(data, offsets, user, np.full(rows, 4 * length, dtype=np.int64))

    def unpack(self, core: Core, args: Args, transfer: Transfer) -> np.ndarray:
        """The transforms, in natural order."""
        values, _, log2_size = args
        rows = transfer.data.view("<u4").reshape(values.shape).astype(np.uint32, copy=False)
        return rows if core.options["order"] == "natural" else rows[:, bit_reversal(log2_size)]


def bit_reversal(log2_size: int) -> np.ndarray:
    """i64[2^k]: each index with its k bits in reverse."""
    order = np.zeros(1, dtype=np.int64)
    for _ in range(log2_size):
        order = np.concatenate([2 * order, 2 * order + 1])
    return order


def _other_field(core: Core, field: str) -> str:
    have = core.options["field"]
    return "" if have == field else f"it computes over {have}, not over {field}"


PACKETS: Mapping[str, Packets] = {
    packets.kernel: packets
    for packets in (
        HashPackets("keccak256"),
        HashPackets("sha256"),
        MerkleRootPackets(),
        MerkleTreePackets(),
        Poseidon2Packets(),
        NttPackets(),
    )
}
"""By kernel."""
