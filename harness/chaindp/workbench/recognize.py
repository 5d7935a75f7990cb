"""What a wrong result is the right result of: another byte order, another padding, another constant.

Recognizing a slip says where to look. It has to explain several samples, the right results among them, too: a core that
is right of most lengths has no wrong constant.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from chaindp.kernels.hashes import GOLDEN_HASHES
from chaindp.workbench.keccak_slips import keccak_slips
from chaindp.workbench.sha256_slips import sha256_slips

__all__ = [
    "BYTE_ORDER",
    "CHILDREN",
    "ODD_LEVEL",
    "Recognized",
    "Sample",
    "recognize_hash",
    "recognize_order",
    "recognize_tree",
]

BYTE_ORDER = "byte order reversed"
ODD_LEVEL = "wrong padding of an odd level"
CHILDREN = "children swapped"

LONGEST = 1024
"""Samples for the variants of a hash are no longer than that, in bytes: each is hashed thousands of times."""

CONFIRMED = 4
"""On how many samples a variant has to be right."""


@dataclass(frozen=True, slots=True)
class Recognized:
    """What was recognized: the kind, one of a few, and one sentence."""

    kind: str
    words: str


@dataclass(frozen=True, slots=True)
class Sample:
    """What went in, what should have come out and what came out."""

    sent: bytes
    expected: bytes
    got: bytes


def _swapped(data: bytes, group: int) -> bytes:
    """Every whole group of bytes reversed; a shorter one at the end, too."""
    return b"".join(data[start : start + group][::-1] for start in range(0, len(data), group))


def recognize_order(samples: Sequence[Sample], golden: Callable[[bytes], bytes] | None, beat: int) -> Recognized | None:
    """Bytes that come out, or went in, in another order: within words of 2, 4, 8 bytes, a beat, or the whole result.

    golden: the kernel of one packet, for the order of what went in; None where that is not to be tried
    beat:   bytes of a beat of the input
    """
    groups = sorted({2, 4, 8, 16, 32})
    for group in groups:
        if all(_swapped(sample.got, group) == sample.expected != sample.got for sample in samples):
            whole = len(samples[0].expected) == group
            where = "of every result" if whole else f"of every {group} bytes of a result"
            return Recognized(
                BYTE_ORDER, f"the bytes {where} are in reverse order (output.byte_order, or a word's own)"
            )
    if golden is None:
        return None
    for group in sorted({*groups, beat}):
        # Of whole groups: what a core reads from a beat that is not full depends on where it looks for its bytes.
        even = [one for one in samples if one.sent and len(one.sent) % max(group, beat) == 0]
        # A message that reads the same both ways says nothing.
        changed = [one for one in even if len(one.sent) <= LONGEST and _swapped(one.sent, group) != one.sent]
        changed = changed[:CONFIRMED]
        turned = [(golden(_swapped(one.sent, group)), one.got) for one in changed]
        if changed and all(result == got for result, got in turned):
            where = "every beat" if group == beat else f"every {group} bytes"
            return Recognized(
                BYTE_ORDER, f"the bytes of {where} of the input are taken in reverse order (input.byte_order)"
            )
        for outer in groups:
            if changed and all(_swapped(result, outer) == got for result, got in turned):
                return Recognized(
                    BYTE_ORDER,
                    f"bytes are in reverse order within every {group} of the input and every {outer} of a result "
                    "(input.byte_order, output.byte_order)",
                )
    return None


def recognize_hash(name: str, samples: Sequence[Sample]) -> Recognized | None:
    """A hash with one thing wrong: padding, a constant, the number of rounds. ``samples`` are messages and digests."""
    short = [sample for sample in sorted(samples, key=lambda sample: len(sample.sent)) if len(sample.sent) <= LONGEST]
    short = list({sample.sent: sample for sample in short}.values())
    if not short or all(sample.got == sample.expected for sample in short):
        return None
    slips = keccak_slips() if name == "keccak256" else sha256_slips()
    alive = np.arange(len(slips.words))
    # The longest of them, too: a slip of the length or of a later block does not show in the shortest.
    for sample in [*short[: CONFIRMED - 1], *short[CONFIRMED - 1 :: CONFIRMED], short[-1]]:
        digests = slips.digests(sample.sent, alive)
        alive = alive[(digests == np.frombuffer(sample.got, dtype=np.uint8)).all(axis=1)]
        if not alive.size:
            return None
    first = int(alive[0])
    return Recognized(slips.kinds[first], slips.words[first])


def recognize_tree(name: str, samples: Sequence[Sample]) -> Recognized | None:
    """A Merkle tree over the right hash with another rule. ``samples`` are leaves of 32 bytes and roots."""
    digest = GOLDEN_HASHES[name]
    pairs = [sample for sample in samples if len(sample.sent) == 64]
    odd = [sample for sample in samples if 32 < len(sample.sent) <= LONGEST and not _is_power(len(sample.sent) // 32)]
    if pairs and all(sample.got == digest(sample.sent[32:] + sample.sent[:32]) for sample in pairs):
        return Recognized(CHILDREN, "a node is the hash of the right child and then the left one")
    for words, rule in _rules(digest):
        if odd and all(sample.got == rule(sample.sent) for sample in odd[:CONFIRMED]):
            return Recognized(ODD_LEVEL, f"{words}; the contract completes it by the root of the all-zero subtree")
    if pairs:
        return recognize_hash(name, pairs)
    return None


def _is_power(count: int) -> bool:
    return count & (count - 1) == 0


def _rules(digest: Callable[[bytes], bytes]) -> Iterator[tuple[str, Callable[[bytes], bytes]]]:
    """How else a level of odd size may be completed."""

    def rooted(complete: Callable[[list[bytes]], list[bytes]]) -> Callable[[bytes], bytes]:
        def root(leaves: bytes) -> bytes:
            level = [leaves[start : start + 32] for start in range(0, len(leaves), 32)]
            while len(level) > 1:
                lone = level[-1:] if len(level) % 2 else []
                nodes = [digest(level[at] + level[at + 1]) for at in range(0, len(level) - 1, 2)]
                level = nodes + complete(lone)
            return level[0]

        return root

    yield (
        "the last node of an odd level is paired with itself",
        rooted(lambda lone: [digest(node + node) for node in lone]),
    )
    yield "the last node of an odd level moves up as it is", rooted(lambda lone: lone)
    yield (
        "an odd level is completed by 32 zero bytes, whatever its height",
        rooted(lambda lone: [digest(node + bytes(32)) for node in lone]),
    )
