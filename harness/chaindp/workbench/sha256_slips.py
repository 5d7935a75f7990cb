"""SHA-256 with one thing wrong, for everything that is easily wrong: whose digest did a core give.

All variants are computed side by side, a column each, as for Keccak.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from chaindp.kernels.hashes import SHA256_INITIAL, SHA256_K

__all__ = ["SHA256_SLIPS", "Sha256Slips", "sha256_chains", "sha256_slips"]

BLOCK, ROUNDS = 64, 64

AMOUNTS = (2, 13, 22, 6, 11, 25, 7, 18, 3, 17, 19, 10)
"""By how much the sums rotate and, the third of each small one, shift: FIPS 180-4, 4.1.2."""

NAMES = (
    "Sigma0 rotates", "Sigma0 rotates", "Sigma0 rotates", "Sigma1 rotates", "Sigma1 rotates", "Sigma1 rotates",
    "sigma0 rotates", "sigma0 rotates", "sigma0 shifts", "sigma1 rotates", "sigma1 rotates", "sigma1 shifts",
)  # fmt: skip

PADDING, LENGTH, ROTATION, CONSTANT, INITIAL, NUMBER = (
    "wrong padding byte",
    "wrong length in the padding",
    "wrong rotation constant",
    "wrong round constant",
    "wrong initial value",
    "wrong number of rounds",
)
SHA256_SLIPS = (PADDING, LENGTH, ROTATION, CONSTANT, INITIAL, NUMBER)
"""The kinds of slips that are tried."""


@dataclass(frozen=True, slots=True)
class Sha256Slips:
    """V variants of the hash.

    amounts: uint32[V, 12] as AMOUNTS; constants: uint32[V, 64]; initial: uint32[V, 8]; rounds: int64[V];
    domain: uint8[V], the first byte of the padding; lengths: how each writes the length of the message;
    kinds, words: what is wrong with each
    """

    amounts: np.ndarray
    constants: np.ndarray
    initial: np.ndarray
    rounds: np.ndarray
    domain: np.ndarray
    lengths: tuple[str, ...]
    kinds: tuple[str, ...]
    words: tuple[str, ...]

    def digests(self, message: bytes, which: np.ndarray | None = None) -> np.ndarray:
        """uint8[V, 32]: the digest of ``message`` by every variant, or by those of the indices ``which``."""
        chosen = np.arange(len(self.words)) if which is None else which
        blocks = (len(message) + 8) // BLOCK + 1
        padded = np.zeros((len(chosen), blocks * BLOCK), dtype=np.uint8)
        padded[:, : len(message)] = np.frombuffer(message, dtype=np.uint8)
        padded[:, len(message)] = self.domain[chosen]
        for row, index in enumerate(chosen):
            padded[row, -8:] = np.frombuffer(_length(len(message), self.lengths[index]), dtype=np.uint8)
        return self.chained(padded, chosen)

    def chained(self, padded: np.ndarray, chosen: np.ndarray) -> np.ndarray:
        """uint8[C, 32]: the digests of messages in whole blocks, uint8[C, L], each by the variant of ``chosen``."""
        state = self.initial[chosen].T.copy()
        for block in range(padded.shape[1] // BLOCK):
            words = np.ascontiguousarray(padded[:, block * BLOCK : (block + 1) * BLOCK]).view(">u4")
            state = self._compressed(state, words.astype(np.uint32).T, chosen)
        return np.ascontiguousarray(state.T.astype(">u4")).view(np.uint8)

    def _compressed(self, state: np.ndarray, words: np.ndarray, chosen: np.ndarray) -> np.ndarray:
        amounts, constants, rounds = self.amounts[chosen].T, self.constants[chosen].T, self.rounds[chosen]
        w = list(words)
        for t in range(16, ROUNDS):
            s0 = _rotated(w[t - 15], amounts[6]) ^ _rotated(w[t - 15], amounts[7]) ^ w[t - 15] >> amounts[8]
            s1 = _rotated(w[t - 2], amounts[9]) ^ _rotated(w[t - 2], amounts[10]) ^ w[t - 2] >> amounts[11]
            w.append(w[t - 16] + s0 + w[t - 7] + s1)
        now = state.copy()
        for t in range(ROUNDS):
            a, b, c, d, e, f, g, h = now
            s1 = _rotated(e, amounts[3]) ^ _rotated(e, amounts[4]) ^ _rotated(e, amounts[5])
            t1 = h + s1 + (e & f ^ ~e & g) + constants[t] + w[t]
            s0 = _rotated(a, amounts[0]) ^ _rotated(a, amounts[1]) ^ _rotated(a, amounts[2])
            t2 = s0 + (a & b ^ a & c ^ b & c)
            now = np.where(t < rounds, np.stack([t1 + t2, a, b, c, d + t1, e, f, g]), now)
        after: np.ndarray = state + now
        return after


def _rotated(word: np.ndarray, by: np.ndarray) -> np.ndarray:
    by = by & np.uint32(31)
    rotated: np.ndarray = word >> by | word << ((np.uint32(32) - by) & np.uint32(31))
    return rotated


def _length(count: int, how: str) -> bytes:
    if how == "little":
        return (8 * count).to_bytes(8, "little")
    if how == "bytes":
        return count.to_bytes(8, "big")
    return bytes(8) if how == "none" else (8 * count).to_bytes(8, "big")


def sha256_chains(padded: np.ndarray) -> np.ndarray:
    """uint8[N, 32]: what SHA-256 makes of uint8[N, L], whole blocks as they are, with no padding of its own."""
    right = Sha256Slips(
        np.array([AMOUNTS], dtype=np.uint32),
        np.array([SHA256_K], dtype=np.uint32),
        np.array([SHA256_INITIAL], dtype=np.uint32),
        np.array([ROUNDS]),
        np.array([0x80], dtype=np.uint8),
        ("bits",),
        ("",),
        ("",),
    )
    return right.chained(padded, np.zeros(len(padded), dtype=np.int64))


def sha256_slips() -> Sha256Slips:
    """Every first byte of the padding, four lengths, every amount, every bit of every constant and initial value."""
    rows: list[tuple[list[int], list[int], list[int], int, int]] = []
    lengths: list[str] = []
    kinds: list[str] = []
    words: list[str] = []

    def add(
        kind: str,
        what: str,
        *,
        amounts: list[int] | None = None,
        constants: list[int] | None = None,
        initial: list[int] | None = None,
        rounds: int = ROUNDS,
        domain: int = 0x80,
        length: str = "bits",
    ) -> None:
        rows.append(
            (amounts or list(AMOUNTS), constants or list(SHA256_K), initial or list(SHA256_INITIAL), rounds, domain)
        )
        lengths.append(length)
        kinds.append(kind)
        words.append(what)

    for domain in range(256):
        if domain != 0x80:
            add(PADDING, f"the padding begins with 0x{domain:02x}, and must begin with 0x80", domain=domain)
    add(LENGTH, "the length in the padding is little-endian, and must be big-endian", length="little")
    add(LENGTH, "the length in the padding counts bytes, and must count bits", length="bytes")
    add(LENGTH, "the padding has no length", length="none")
    for place, right in enumerate(AMOUNTS):
        for wrong in range(32):
            if wrong != right:
                amounts = list(AMOUNTS)
                amounts[place] = wrong
                add(ROTATION, f"{NAMES[place]} by {wrong}, and must by {right}", amounts=amounts)
    for t, right in enumerate(SHA256_K):
        for wrong in [right ^ (1 << bit) for bit in range(32)] + [0]:
            constants = list(SHA256_K)
            constants[t] = wrong
            add(CONSTANT, f"K of round {t} is 0x{wrong:08x}, and must be 0x{right:08x}", constants=constants)
    for place, right in enumerate(SHA256_INITIAL):
        for wrong in [right ^ (1 << bit) for bit in range(32)] + [0]:
            initial = list(SHA256_INITIAL)
            initial[place] = wrong
            add(INITIAL, f"H{place} begins with 0x{wrong:08x}, and must with 0x{right:08x}", initial=initial)
    for count in range(1, ROUNDS):
        add(NUMBER, f"{count} rounds are done, and there must be {ROUNDS}", rounds=count)
    amounts_, constants_, initial_, rounds_, domain_ = zip(*rows, strict=True)
    return Sha256Slips(
        np.array(amounts_, dtype=np.uint32),
        np.array(constants_, dtype=np.uint32),
        np.array(initial_, dtype=np.uint32),
        np.array(rounds_),
        np.array(domain_, dtype=np.uint8),
        tuple(lengths),
        tuple(kinds),
        tuple(words),
    )
