"""The packets that probes send to a core, by kernel: every length at which it takes another step, and what comes back.

They are few and small, so that the golden reference computes them in plain Python; the conformance suite has the many.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from chaindp.cores.description import BLOCK, Core
from chaindp.errors import UsageError
from chaindp.kernels.fields import FIELDS
from chaindp.kernels.hashes import GOLDEN_HASHES
from chaindp.kernels.merkle import level_offsets
from chaindp.kernels.ntt import golden_transform
from chaindp.kernels.poseidon2 import WIDTH, golden_permutation
from chaindp.workbench.field_slips import bit_reversed
from chaindp.workbench.keccak_slips import keccak_sponges
from chaindp.workbench.sha256_slips import sha256_chains

__all__ = [
    "Case",
    "Cases",
    "case_of",
    "edge_cases",
    "fitting",
    "golden_packet",
    "large_cases",
    "many_cases",
    "pad",
    "raw_digests",
    "same_size",
    "tree_levels",
    "with_results",
]

NODE = 32
SHORT = {"keccak256": 40, "sha256": 40, "merkle_tree": 4, "merkle_root": 4, "poseidon2": WIDTH, "ntt": 16}
"""The largest size of a short packet, by kernel."""

LEAVES = (1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 13, 15, 16, 17, 31, 32, 33)
LARGEST_TRANSFORM = 8
"""log2 of the largest transform among the edge cases: the golden reference computes it once a packet."""

NARROW = 16
"""Of beats up to so many bytes every count of bytes in a last beat is tried, of wider ones those near powers of two."""

MANY, DISTINCT = 600, 48
"""Short packets in a row, and how many of them are not the same: a counter of packets shows in these."""


@dataclass(frozen=True, slots=True)
class Case:
    """One packet.

    name:     what it is, for messages
    size:     bytes of a message, leaves of a tree, elements of anything else
    content:  the argument of the kernel that it is made of, before any padding by the host
    sent:     the packet's bytes
    user:     its tuser
    expected: the bytes of the packet that has to come back; of a tree, level by level
    """

    name: str
    size: int
    content: bytes
    sent: bytes
    user: int
    expected: bytes


@dataclass(frozen=True, slots=True)
class Cases:
    """Packets in the form in which a simulation takes them."""

    cases: tuple[Case, ...]

    @property
    def data(self) -> np.ndarray:
        """uint8[B]: all packets end to end."""
        return np.frombuffer(b"".join(case.sent for case in self.cases), dtype=np.uint8)

    @property
    def offsets(self) -> np.ndarray:
        """int64[P+1]: the bounds of the packets."""
        return np.concatenate([[0], np.cumsum([len(case.sent) for case in self.cases])]).astype(np.int64)

    @property
    def user(self) -> np.ndarray:
        """uint32[P]: tuser by packet."""
        return np.array([case.user for case in self.cases], dtype=np.uint32)

    @property
    def out_bytes(self) -> np.ndarray:
        """int64[P]: how long the packets are that have to come back."""
        return np.array([len(case.expected) for case in self.cases], dtype=np.int64)

    def __len__(self) -> int:
        return len(self.cases)

    def only(self, which: Iterable[int]) -> Cases:
        """Some of them, in the order of ``which``."""
        return Cases(tuple(self.cases[index] for index in which))


def golden_packet(core: Core) -> Callable[[bytes], bytes]:
    """The kernel of one packet, in plain Python: its content to what has to come back."""
    if core.kernel in GOLDEN_HASHES:
        digest: Callable[[bytes], bytes] = GOLDEN_HASHES[core.kernel]
        return digest
    if core.kernel in ("merkle_tree", "merkle_root"):
        return lambda content: _tree(core, content)
    field = FIELDS[str(core.options["field"])]
    if core.kernel == "poseidon2":
        return lambda content: _bytes(golden_permutation(_words(content), field.name))
    if core.kernel == "ntt":
        return lambda content: _transform(core, content)
    raise UsageError(f"{core.at('kernel')}: there are no edge cases for {core.kernel}")


def _words(content: bytes) -> list[int]:
    return [int(word) for word in np.frombuffer(content, dtype="<u4")]


def _bytes(words: Sequence[int]) -> bytes:
    return np.array(words, dtype="<u4").tobytes()


def _tree(core: Core, content: bytes) -> bytes:
    """The root, or every node above the leaves, of leaves of 32 bytes; of one leaf, the leaf."""
    from chaindp.kernels import MERKLE_TREE

    leaves = np.frombuffer(content, dtype=np.uint8).reshape(-1, NODE)
    nodes: np.ndarray = MERKLE_TREE.golden(leaves, str(core.options["hash"]))
    if core.kernel == "merkle_root":
        nodes = nodes[-1:]
    elif len(leaves) > 1:
        nodes = nodes[len(leaves) :]
    return bytes(nodes.tobytes())


def _transform(core: Core, content: bytes) -> bytes:
    field = FIELDS[str(core.options["field"])]
    values = _words(content)
    bits = len(values).bit_length() - 1
    results = golden_transform(values, field.root_of_unity(bits), field.prime)
    if core.options["order"] == "bit_reversed":
        results = bit_reversed(results)
    return _bytes(results)


def tree_levels(leaves: int) -> list[int]:
    """The tuser of every node that ``merkle_tree`` gives back, in the order of ``Case.expected``."""
    bounds = level_offsets(leaves).tolist()
    return [level for level in range(1, len(bounds) - 1) for _ in range(bounds[level + 1] - bounds[level])] or [0]


def edge_cases(core: Core, seed: int) -> Cases:
    """Every length at which the kernel takes another step, at least twice, so that each follows others; shuffled."""
    rng = np.random.default_rng(seed)
    make = _maker(core, rng)
    sizes = _sizes(core)
    order = [*sizes, *rng.permutation(sizes).tolist()]
    return Cases(tuple(make(size) for size in order))


def many_cases(core: Core, seed: int) -> Cases:
    """Hundreds of short packets: what happens after so many, and not before, shows in these."""
    rng = np.random.default_rng(seed)
    make = _maker(core, rng)
    everything = _sizes(core)
    sizes = [size for size in everything if size <= SHORT[core.kernel]] or everything[:1]
    distinct = [make(sizes[index % len(sizes)]) for index in range(DISTINCT)]
    return Cases(tuple(distinct[index] for index in rng.integers(0, DISTINCT, MANY)))


def large_cases(core: Core, seed: int) -> Cases:
    """A few packets that are longer by far: a counter that is too narrow shows in these."""
    make = _maker(core, np.random.default_rng(seed))
    if core.kernel in BLOCK:
        sizes = [1_000, 4_097, 20_011]
    elif core.kernel in ("merkle_tree", "merkle_root"):
        sizes = fitting(core, [100, 257, 512])
    elif core.kernel == "ntt":
        sizes = fitting(core, [1 << bits for bits in range(LARGEST_TRANSFORM + 1, 28)])
    else:
        sizes = [WIDTH] * 64
    return Cases(tuple(make(size) for size in sizes))


def same_size(core: Core, size: int, count: int, seed: int) -> Cases:
    """``count`` packets of one size in the kernel's own measure: bytes of a message, leaves, elements of a transform.

    Nothing is expected of them: they are for measuring.
    """
    rng = np.random.default_rng(seed)
    make = _maker(core, rng, golden=False)
    return Cases(tuple(make(size) for _ in range(count)))


def with_results(core: Core, cases: Cases) -> Cases:
    """The same packets with what has to come back: of those of ``same_size``, of which nothing was expected."""
    compute = functools.cache(golden_packet(core))
    return Cases(tuple(replace(case, expected=compute(case.content)) for case in cases.cases))


def _sizes(core: Core) -> list[int]:
    if core.kernel in BLOCK:
        block, beat = BLOCK[core.kernel], core.input.bytes
        # SHA-256 ends a block with the length: eight bytes, and one that begins the padding.
        tail = (block - 9, block - 8) if core.kernel == "sha256" else ()
        edges = {0, 1, beat + 1, 2 * beat, 32, 64, *tail}
        for count in _counts(beat):
            # As many bytes in the first beat, in one that begins a block, and missing from one that ends it.
            edges |= {count, block + count} if count else {block}
            edges |= {count, block + count} | ({block - count} if count < block else set())
        for blocks in (1, 2, 3):
            edges |= {blocks * block - 1, blocks * block, blocks * block + 1}
        return sorted({*edges, 4 * block + beat + 3})
    if core.kernel in ("merkle_tree", "merkle_root"):
        return fitting(core, LEAVES)
    if core.kernel == "poseidon2":
        return [WIDTH] * 12
    least = int(core.options["min_log2_size"])
    return fitting(core, [1 << bits for bits in range(max(LARGEST_TRANSFORM, least) + 1)])


def fitting(core: Core, sizes: Sequence[int]) -> list[int]:
    """Of numbers of leaves, or of lengths of a transform that are powers of two, those that the core takes."""
    if core.kernel in ("merkle_tree", "merkle_root"):
        return [size for size in sizes if size <= 1 << int(core.options["max_depth"])]
    least, most = int(core.options["min_log2_size"]), int(core.options["max_log2_size"])
    return [size for size in sizes if 1 << least <= size <= 1 << most]


def _counts(beat: int) -> set[int]:
    """How many bytes a last beat may have: all that may be, of a wide one those near powers of two and both ends."""
    if beat <= NARROW:
        return set(range(beat + 1))
    near = {(1 << power) + more for power in range(beat.bit_length()) for more in (-1, 0, 1)}
    return {count for count in {*near, beat - 1, beat} if count <= beat}


def _maker(core: Core, rng: np.random.Generator, golden: bool = True) -> Callable[[int], Case]:
    """What makes a packet of a size; every other one of field elements has the extreme ones among them."""
    made = 0

    def elements(count: int) -> bytes:
        prime = FIELDS[str(core.options["field"])].prime
        values = rng.integers(0, prime, count, dtype=np.uint32)
        if made % 2:
            values[rng.random(count) < 0.5] = (0, 1, prime - 1)[made // 2 % 3]
        return values.astype("<u4").tobytes()

    def make(size: int) -> Case:
        nonlocal made
        made += 1
        if core.kernel in BLOCK:
            content = rng.bytes(size)
        elif core.kernel in ("merkle_tree", "merkle_root"):
            content = rng.bytes(NODE * size)
        else:
            content = elements(size)
        return case_of(core, content, golden)

    return make


def case_of(core: Core, content: bytes, golden: bool = True) -> Case:
    """The packet of an argument of the kernel; without ``golden`` nothing is expected of it but its length."""
    size, user = len(content), 0
    if core.kernel in BLOCK:
        name = f"message of {size} bytes"
    elif core.kernel in ("merkle_tree", "merkle_root"):
        size //= NODE
        name = f"tree over {size} {'leaf' if size == 1 else 'leaves'}"
    elif core.kernel == "poseidon2":
        size //= 4
        name = "state"
    else:
        size //= 4
        user = size.bit_length() - 1
        name = f"transform of {size} element{'s' if size > 1 else ''}"
    sent = pad(core.kernel, content) if core.options.get("padding") == "host" else content
    expected = golden_packet(core)(content) if golden else bytes(_out_bytes(core, size))
    return Case(name, size, content, sent, user, expected)


def _out_bytes(core: Core, size: int) -> int:
    """How long the packet is that comes back for one of a size."""
    if core.kernel == "merkle_tree":
        return NODE * len(tree_levels(size))
    return 4 * size if core.kernel in ("poseidon2", "ntt") else NODE


def pad(kernel: str, message: bytes) -> bytes:
    """A message as whole blocks, padded as the hash's standard says."""
    block = BLOCK[kernel]
    if kernel == "sha256":
        return message + b"\x80" + bytes(-(len(message) + 9) % block) + (8 * len(message)).to_bytes(8, "big")
    padded = bytearray(message + bytes(block - len(message) % block))
    padded[len(message)] ^= 0x01
    padded[-1] ^= 0x80
    return bytes(padded)


def raw_digests(kernel: str, packets: Sequence[bytes]) -> list[bytes]:
    """What a hash without padding of its own makes of ``packets``; a last block that is not whole ends with zeros."""
    absorb, block = keccak_sponges if kernel == "keccak256" else sha256_chains, BLOCK[kernel]
    whole = [packet + bytes(-len(packet) % block) for packet in packets]
    digests = [b""] * len(whole)
    for length in set(map(len, whole)):
        which = [index for index, packet in enumerate(whole) if len(packet) == length]
        columns = np.frombuffer(b"".join(whole[index] for index in which), dtype=np.uint8).reshape(len(which), length)
        for index, digest in zip(which, absorb(columns), strict=True):
            digests[index] = digest.tobytes()
    return digests
