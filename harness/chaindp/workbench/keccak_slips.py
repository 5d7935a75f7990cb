"""Keccak-256 with one thing wrong, for everything that is easily wrong: whose digest did a core give.

All variants are computed side by side, a column each, so that some four thousand cost less than a second.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from chaindp.kernels.hashes import KECCAK_RATE, KECCAK_ROTATIONS, KECCAK_ROUND_CONSTANTS

__all__ = ["KECCAK_SLIPS", "KeccakSlips", "keccak_slips", "keccak_sponges"]

LANES, ROUNDS = 25, 24

DOMAINS = {0x01: "Keccak's", 0x06: "SHA3-256's", 0x1F: "SHAKE's", 0x04: "cSHAKE's"}
"""Known first bytes of the padding (FIPS 202, B.2; SP 800-185); 0x01 is the Keccak submission's."""


@dataclass(frozen=True, slots=True)
class KeccakSlips:
    """V variants of the hash.

    rotations: uint64[V, 25] by lane x + 5y; constants: uint64[V, 24]; first, last: int64[V], the rounds that are done,
    ``last`` exclusive; domain, final: uint8[V], put onto the first byte of the padding and the last one of the block;
    place: int64[V], where the latter goes, -1 the last byte; kinds, words: what is wrong with each
    """

    rotations: np.ndarray
    constants: np.ndarray
    first: np.ndarray
    last: np.ndarray
    domain: np.ndarray
    final: np.ndarray
    place: np.ndarray
    kinds: tuple[str, ...]
    words: tuple[str, ...]

    def digests(self, message: bytes, which: np.ndarray | None = None) -> np.ndarray:
        """uint8[V, 32]: the digest of ``message`` by every variant, or by those of the indices ``which``."""
        chosen = np.arange(len(self.words)) if which is None else which
        blocks = len(message) // KECCAK_RATE + 1
        padded = np.zeros((len(chosen), blocks * KECCAK_RATE), dtype=np.uint8)
        padded[:, : len(message)] = np.frombuffer(message, dtype=np.uint8)
        padded[:, len(message)] ^= self.domain[chosen]
        padded[np.arange(len(chosen)), self.place[chosen]] ^= self.final[chosen]
        return self.absorbed(padded, chosen)

    def absorbed(self, padded: np.ndarray, chosen: np.ndarray) -> np.ndarray:
        """uint8[C, 32]: the digests of messages in whole blocks, uint8[C, L], each by the variant of ``chosen``."""
        lanes = np.zeros((LANES, len(chosen)), dtype=np.uint64)
        for block in range(padded.shape[1] // KECCAK_RATE):
            absorbed = padded[:, block * KECCAK_RATE : (block + 1) * KECCAK_RATE]
            lanes[: KECCAK_RATE // 8] ^= np.ascontiguousarray(absorbed).view("<u8").T
            lanes = self._permuted(lanes, chosen)
        return np.ascontiguousarray(lanes[:4].T).view(np.uint8)

    def _permuted(self, lanes: np.ndarray, chosen: np.ndarray) -> np.ndarray:
        rotations, constants = self.rotations[chosen].T, self.constants[chosen].T
        first, last = self.first[chosen], self.last[chosen]
        for number in range(ROUNDS):
            after = _round(lanes, rotations, constants[number])
            skipped = (number < first) | (number >= last)
            lanes = np.where(skipped, lanes, after)
        return lanes


def _rotated(lane: np.ndarray, by: np.ndarray | np.uint64) -> np.ndarray:
    by = by & np.uint64(63)
    # Shifting by 64 is undefined: what a rotation by 0 would bring in from the right is masked to a shift by 0, and the
    # same bits twice are the same bits.
    rotated: np.ndarray = lane << by | lane >> ((np.uint64(64) - by) & np.uint64(63))
    return rotated


def _round(a: np.ndarray, rotations: np.ndarray, constant: np.ndarray) -> np.ndarray:
    parity = [a[x] ^ a[x + 5] ^ a[x + 10] ^ a[x + 15] ^ a[x + 20] for x in range(5)]
    theta = [parity[(x + 4) % 5] ^ _rotated(parity[(x + 1) % 5], np.uint64(1)) for x in range(5)]
    b = np.empty_like(a)
    for x in range(5):
        for y in range(5):
            lane = x + 5 * y
            b[y + 5 * ((2 * x + 3 * y) % 5)] = _rotated(a[lane] ^ theta[x], rotations[lane])
    after = np.empty_like(a)
    for y in range(5):
        for x in range(5):
            after[x + 5 * y] = b[x + 5 * y] ^ (~b[(x + 1) % 5 + 5 * y] & b[(x + 2) % 5 + 5 * y])
    after[0] ^= constant
    return after


class _Builder:
    def __init__(self) -> None:
        self.rows: list[tuple[list[int], list[int], int, int, int, int, int]] = []
        self.kinds: list[str] = []
        self.words: list[str] = []

    def add(
        self,
        kind: str,
        words: str,
        *,
        rotations: list[int] | None = None,
        constants: list[int] | None = None,
        rounds: tuple[int, int] = (0, ROUNDS),
        domain: int = 0x01,
        final: int = 0x80,
        place: int = -1,
    ) -> None:
        """One variant; whatever is not given is right."""
        rotated = list(KECCAK_ROTATIONS) if rotations is None else rotations
        added = list(KECCAK_ROUND_CONSTANTS) if constants is None else constants
        self.rows.append((rotated, added, *rounds, domain, final, place))
        self.kinds.append(kind)
        self.words.append(words)

    def build(self) -> KeccakSlips:
        """All variants as columns."""
        rotations, constants, first, last, domain, final, place = zip(*self.rows, strict=True)
        return KeccakSlips(
            np.array(rotations, dtype=np.uint64),
            np.array(constants, dtype=np.uint64),
            np.array(first),
            np.array(last),
            np.array(domain, dtype=np.uint8),
            np.array(final, dtype=np.uint8),
            np.array(place),
            tuple(self.kinds),
            tuple(self.words),
        )


PADDING, ROTATION, CONSTANT, NUMBER = (
    "wrong padding byte",
    "wrong rotation constant",
    "wrong round constant",
    "wrong number of rounds",
)
KECCAK_SLIPS = (PADDING, ROTATION, CONSTANT, NUMBER)
"""The kinds of slips that are tried."""


MISPLACED = 16
"""So many bytes from its end is looked for what should be in the last byte of the block: two lanes."""


def keccak_sponges(padded: np.ndarray) -> np.ndarray:
    """uint8[N, 32]: what Keccak-256 makes of uint8[N, L], whole blocks as they are, with no padding of its own."""
    built = _Builder()
    built.add("", "")
    return built.build().absorbed(padded, np.zeros(len(padded), dtype=np.int64))


def keccak_slips() -> KeccakSlips:
    """Every byte of the padding, and where it ends; every rotation, bit of a round constant, and count of rounds."""
    built = _Builder()
    for domain in range(256):
        if domain != 0x01:
            whose = f", {DOMAINS[domain]}" if domain in DOMAINS else ""
            built.add(
                PADDING, f"the padding begins with 0x{domain:02x}{whose}, and must begin with 0x01", domain=domain
            )
    for final in range(256):
        if final != 0x80:
            built.add(PADDING, f"the last byte of the block gets 0x{final:02x}, and must get 0x80", final=final)
    built.add(
        PADDING, "the padding begins with 0x80 and ends with 0x01, and must be the other way", domain=0x80, final=0x01
    )
    for place in range(2, MISPLACED + 1):
        words = f"the padding's 0x80 goes into byte {KECCAK_RATE - place} of the block, and must go into its last, "
        built.add(PADDING, f"{words}{KECCAK_RATE - 1}", place=-place)
    for lane, right in enumerate(KECCAK_ROTATIONS):
        for wrong in range(64):
            if wrong != right:
                rotations = list(KECCAK_ROTATIONS)
                rotations[lane] = wrong
                x, y = lane % 5, lane // 5
                built.add(ROTATION, f"rho rotates lane ({x}, {y}) by {wrong}, and must by {right}", rotations=rotations)
    for number, right in enumerate(KECCAK_ROUND_CONSTANTS):
        wrongs = {right ^ (1 << bit) for bit in range(64)} | {0} | set(KECCAK_ROUND_CONSTANTS)
        for wrong in sorted(wrongs - {right}):
            constants = list(KECCAK_ROUND_CONSTANTS)
            constants[number] = wrong
            words = f"iota's constant of round {number} is 0x{wrong:016x}, and must be 0x{right:016x}"
            built.add(CONSTANT, words, constants=constants)
    for rounds in range(1, ROUNDS):
        built.add(NUMBER, f"{rounds} rounds are done, and there must be {ROUNDS}", rounds=(0, rounds))
        skipped = ROUNDS - rounds
        built.add(NUMBER, f"the first {skipped} of {ROUNDS} rounds are left out", rounds=(skipped, ROUNDS))
    shifted = [*KECCAK_ROUND_CONSTANTS[1:], KECCAK_ROUND_CONSTANTS[0]]
    built.add(CONSTANT, "iota's constants are one round early", constants=shifted)
    shifted = [KECCAK_ROUND_CONSTANTS[-1], *KECCAK_ROUND_CONSTANTS[:-1]]
    built.add(CONSTANT, "iota's constants are one round late", constants=shifted)
    built.add(CONSTANT, "iota is left out", constants=[0] * ROUNDS)
    return built.build()
