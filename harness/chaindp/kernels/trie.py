"""The contract of ``trie_hash``: the nodes of a Merkle Patricia trie, hashed level by level, child digests spliced in.

The chain encodes all nodes that changed (RLP) before any of them is hashed, leaving 32 bytes for each child digest that
is not known yet. Nodes are grouped by level, the deepest first, so that a level's holes are filled from earlier levels.
"""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from chaindp.errors import InputError
from chaindp.kernels import checks
from chaindp.kernels.hashes import golden_keccak256, pack
from chaindp.kernels.spec import Args, KernelSpec, Vector

__all__ = ["TRIE_HASH", "check_trie", "splice"]


def check_trie(
    encodings: np.ndarray,
    offsets: np.ndarray,
    level_offsets: np.ndarray,
    splice_at: np.ndarray,
    splice_child: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The arguments of ``trie_hash``, checked and C-contiguous; InputError with one line where they break the
    contract.
    """
    encodings, offsets = checks.ragged(encodings, offsets, "encodings")
    level_offsets = checks.level_bounds(level_offsets, len(offsets) - 1)
    splice_at, splice_child = checks.splices(offsets, level_offsets, splice_at, splice_child)
    return encodings, offsets, level_offsets, splice_at, splice_child


def splice(encodings: np.ndarray, splice_at: np.ndarray, splice_child: np.ndarray, digests: np.ndarray) -> np.ndarray:
    """A copy of ``encodings`` uint8[B] with ``digests[splice_child[s]]`` at bytes ``splice_at[s]`` to
    ``splice_at[s]+32``.

    For ``trie_hash``'s arguments and result: the nodes as the store keeps them. InputError where an index is outside.
    """
    encodings = checks.array(encodings, "encodings", np.uint8, (None,))
    digests = checks.array(digests, "digests", np.uint8, (None, 32))
    splice_at = checks.array(splice_at, "splice_at", np.int64, (None,))
    splice_child = checks.array(splice_child, "splice_child", np.int64, (len(splice_at),))
    filled = encodings.copy()
    if len(splice_at):
        if splice_at.min() < 0 or splice_at.max() > len(filled) - 32:
            raise InputError(f"splice_at reaches outside the {len(filled)} bytes of encodings")
        if splice_child.min() < 0 or splice_child.max() >= len(digests):
            raise InputError(f"splice_child reaches outside the {len(digests)} digests")
        sliding_window_view(filled, 32, writeable=True)[splice_at] = digests[splice_child]
    return filled


def _golden(
    encodings: np.ndarray,
    offsets: np.ndarray,
    level_offsets: np.ndarray,
    splice_at: np.ndarray,
    splice_child: np.ndarray,
) -> np.ndarray:
    """Node after node: fill the node's holes, hash it."""
    encodings, offsets, level_offsets, splice_at, splice_child = check_trie(
        encodings, offsets, level_offsets, splice_at, splice_child
    )
    filled = bytearray(encodings.tobytes())
    digests: list[bytes] = []
    holes = list(zip(splice_at.tolist(), splice_child.tolist(), strict=True))
    next_hole = 0
    for start, end in zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True):
        while next_hole < len(holes) and holes[next_hole][0] < end:
            at, child = holes[next_hole]
            filled[at : at + 32] = digests[child]
            next_hole += 1
        digests.append(golden_keccak256(bytes(filled[start:end])))
    return np.frombuffer(b"".join(digests), dtype=np.uint8).reshape(-1, 32)


def _generate(rng: np.random.Generator, size: int) -> Args:
    """``size`` nodes shaped like a full trie's: leaves of 70 to 110 bytes, above them branches with up to 16
    children.
    """

    def total(leaves: int) -> int:
        nodes = leaves
        while leaves > 1:
            leaves = -(-leaves // 16)
            nodes += leaves
        return nodes

    attached = size * 15 // 16
    while total(attached) > size:
        attached -= 1
    # What does not fit into full levels becomes leaves that nobody refers to.
    counts = [attached + size - total(attached)]
    items = [bytes([0xF8, length]) + rng.bytes(length) for length in rng.integers(68, 109, counts[0]).tolist()]
    splice_in_item: list[tuple[int, int, int]] = []
    below, first = attached, 0
    while below > 1:
        parents = -(-below // 16)
        base = len(items)
        for parent in range(parents):
            children = range(16 * parent, min(16 * parent + 16, below))
            payload = 33 * len(children) + 16 - len(children) + 1
            header = bytes([0xF9, payload >> 8, payload & 0xFF]) if payload > 255 else bytes([0xF8, payload])
            for slot, child in enumerate(children):
                splice_in_item.append((len(items), len(header) + 33 * slot + 1, first + child))
            items.append(header + (b"\xa0" + bytes(32)) * len(children) + b"\x80" * (17 - len(children)))
        counts.append(parents)
        below, first = parents, base
    encodings, offsets = pack(items)
    splices = np.array(splice_in_item, dtype=np.int64).reshape(-1, 3)
    level_offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    return (
        encodings,
        offsets,
        level_offsets,
        offsets[splices[:, 0]] + splices[:, 1],
        np.ascontiguousarray(splices[:, 2]),
    )


def _units(
    encodings: np.ndarray,
    offsets: np.ndarray,
    level_offsets: np.ndarray,
    splice_at: np.ndarray,
    splice_child: np.ndarray,
) -> int:
    return len(offsets) - 1


def _puppy_vector() -> Vector:
    """The trie of do/verb, dog/puppy, doge/coin, horse/stallion, node by node.

    The shape is the Ethereum wiki's; the subtrees of dog and doge are shorter than 32 bytes and stand in their parent
    inline.
    """
    hole = b"\xa0" + bytes(32)

    def string(payload: bytes) -> bytes:
        return payload if len(payload) == 1 and payload[0] < 0x80 else bytes([0x80 + len(payload)]) + payload

    def items(*encoded: bytes) -> bytes:
        body = b"".join(encoded)
        return (bytes([0xC0 + len(body)]) if len(body) < 56 else bytes([0xF8, len(body)])) + body

    def branch(children: dict[int, bytes], value: bytes) -> bytes:
        return items(*(children.get(nibble, b"\x80") for nibble in range(16)), string(value))

    doge = items(string(b"\x35"), string(b"coin"))
    dog = items(string(b"\x17"), branch({6: doge}, b"puppy"))
    do = branch({6: dog}, b"verb")
    d = items(string(b"\x00\x6f"), hole)
    horse = items(string(b"\x20orse"), string(b"stallion"))
    dh = branch({4: hole, 8: horse}, b"")
    root = items(string(b"\x16"), hole)
    # Deepest first; every node after the first refers to the one before it.
    levels = [do, d, dh, root]
    encodings, offsets = pack(levels)
    splice_at = np.array([int(offsets[i]) + levels[i].index(hole) + 1 for i in range(1, 4)], dtype=np.int64)
    args = (encodings, offsets, np.arange(5, dtype=np.int64), splice_at, np.arange(3, dtype=np.int64))
    digests = [golden_keccak256(do)]
    for node in levels[1:]:
        digests.append(golden_keccak256(node.replace(hole, b"\xa0" + digests[-1])))
    digests[-1] = bytes.fromhex("5991bb8c6514148a29db676a14ac506cd2cd5775ace63c30a4fe457715e9ac84")
    expected = np.frombuffer(b"".join(digests), dtype=np.uint8).reshape(-1, 32)
    return Vector(
        args, expected, "ethereum/tests TrieTests/trieanyorder.json: puppy (the root; inner nodes by the golden hash)"
    )


TRIE_HASH = KernelSpec(
    name="trie_hash",
    summary="encodings u8[B], offsets i64[N+1], level_offsets i64[L+1], splice_at, splice_child i64[S] -> u8[N,32]",
    unit="node",
    generate=_generate,
    golden=_golden,
    units=_units,
    vectors=(_puppy_vector(),),
    sizes=(64, 4096, 1 << 16),
)
