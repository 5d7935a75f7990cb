"""The contracts of ``keccak256`` and ``sha256``: N ragged messages to N digests."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from chaindp.kernels import checks
from chaindp.kernels.spec import Args, KernelSpec, Vector

__all__ = [
    "GOLDEN_HASHES",
    "KECCAK256",
    "SHA256",
    "generate_pairs",
    "generate_ragged",
    "golden_keccak256",
    "golden_sha256",
    "pack",
]

KECCAK_RATE = 136
"""Bytes that one permutation of Keccak-256 absorbs: 200 of state less twice the digest's 32."""

_MASK64 = (1 << 64) - 1
_MASK32 = (1 << 32) - 1


def _keccak_round_constants() -> tuple[int, ...]:
    """Iota's constants from the degree-8 LFSR of FIPS 202, algorithm 5."""
    constants, lfsr = [], 1
    for _ in range(24):
        constant = 0
        for bit in range(7):
            if lfsr & 1:
                constant |= 1 << ((1 << bit) - 1)
            lfsr = (lfsr << 1) ^ (0x171 if lfsr & 0x80 else 0)
        constants.append(constant)
    return tuple(constants)


def _keccak_rotations() -> tuple[int, ...]:
    """Rho's rotation of lane x + 5y (FIPS 202, algorithm 2)."""
    rotations, x, y = [0] * 25, 1, 0
    for step in range(24):
        rotations[x + 5 * y] = (step + 1) * (step + 2) // 2 % 64
        x, y = y, (2 * x + 3 * y) % 5
    return tuple(rotations)


KECCAK_ROUND_CONSTANTS = _keccak_round_constants()
KECCAK_ROTATIONS = _keccak_rotations()


def _rotate64(value: int, by: int) -> int:
    return (value << by | value >> (64 - by)) & _MASK64


def golden_keccak_f(lanes: Sequence[int]) -> list[int]:
    """Keccak-f[1600] of 25 lanes, lane x + 5y first to last (FIPS 202, section 3)."""
    a = list(lanes)
    for constant in KECCAK_ROUND_CONSTANTS:
        parity = [a[x] ^ a[x + 5] ^ a[x + 10] ^ a[x + 15] ^ a[x + 20] for x in range(5)]
        theta = [parity[(x + 4) % 5] ^ _rotate64(parity[(x + 1) % 5], 1) for x in range(5)]
        b = [0] * 25
        for x in range(5):
            for y in range(5):
                b[y + 5 * ((2 * x + 3 * y) % 5)] = _rotate64(a[x + 5 * y] ^ theta[x], KECCAK_ROTATIONS[x + 5 * y])
        a = [
            b[x + 5 * y] ^ (~b[(x + 1) % 5 + 5 * y] & b[(x + 2) % 5 + 5 * y]) & _MASK64
            for y in range(5)
            for x in range(5)
        ]
        a[0] ^= constant
    return a


def golden_keccak256(message: bytes) -> bytes:
    """Keccak-256 with the original 0x01 padding, as Ethereum uses it (not SHA3-256)."""
    padded = bytearray(message)
    padded += bytes(KECCAK_RATE - len(message) % KECCAK_RATE)
    padded[len(message)] ^= 0x01
    padded[-1] ^= 0x80
    lanes = [0] * 25
    for start in range(0, len(padded), KECCAK_RATE):
        for lane in range(KECCAK_RATE // 8):
            lanes[lane] ^= int.from_bytes(padded[start + 8 * lane : start + 8 * lane + 8], "little")
        lanes = golden_keccak_f(lanes)
    return b"".join(lane.to_bytes(8, "little") for lane in lanes[:4])


def _first_primes(many: int) -> list[int]:
    primes: list[int] = []
    candidate = 2
    while len(primes) < many:
        if all(candidate % prime for prime in primes):
            primes.append(candidate)
        candidate += 1
    return primes


def _integer_cube_root(value: int) -> int:
    root = 1 << -(-value.bit_length() // 3)
    while True:
        better = (2 * root + value // (root * root)) // 3
        if better >= root:
            return root
        root = better


# FIPS 180-4, 4.2.2 and 5.3.3: the first 32 bits of the fractional parts of cube and square roots of primes.
SHA256_K = tuple(_integer_cube_root(prime << 96) & _MASK32 for prime in _first_primes(64))
SHA256_INITIAL = tuple(math.isqrt(prime << 64) & _MASK32 for prime in _first_primes(8))


def _rotate32(value: int, by: int) -> int:
    return (value >> by | value << (32 - by)) & _MASK32


def golden_sha256_schedule(block: bytes) -> list[int]:
    """The 64 words of SHA-256's message schedule for one 64-byte block (FIPS 180-4, 6.2.2)."""
    w = [int.from_bytes(block[i : i + 4], "big") for i in range(0, 64, 4)]
    for t in range(16, 64):
        s0 = _rotate32(w[t - 15], 7) ^ _rotate32(w[t - 15], 18) ^ w[t - 15] >> 3
        s1 = _rotate32(w[t - 2], 17) ^ _rotate32(w[t - 2], 19) ^ w[t - 2] >> 10
        w.append((w[t - 16] + s0 + w[t - 7] + s1) & _MASK32)
    return w


def golden_sha256(message: bytes) -> bytes:
    """SHA-256 (FIPS 180-4)."""
    padded = message + b"\x80" + bytes(-(len(message) + 9) % 64) + (8 * len(message)).to_bytes(8, "big")
    state = list(SHA256_INITIAL)
    for start in range(0, len(padded), 64):
        a, b, c, d, e, f, g, h = state
        for k, word in zip(SHA256_K, golden_sha256_schedule(padded[start : start + 64]), strict=True):
            s1 = _rotate32(e, 6) ^ _rotate32(e, 11) ^ _rotate32(e, 25)
            t1 = h + s1 + (e & f ^ ~e & g) + k + word
            s0 = _rotate32(a, 2) ^ _rotate32(a, 13) ^ _rotate32(a, 22)
            t2 = s0 + (a & b ^ a & c ^ b & c)
            a, b, c, d, e, f, g, h = (t1 + t2) & _MASK32, a, b, c, (d + t1) & _MASK32, e, f, g
        state = [(old + new) & _MASK32 for old, new in zip(state, (a, b, c, d, e, f, g, h), strict=True)]
    return b"".join(word.to_bytes(4, "big") for word in state)


GOLDEN_HASHES: Mapping[str, Callable[[bytes], bytes]] = {"keccak256": golden_keccak256, "sha256": golden_sha256}
"""Hash name to its plain Python function, bytes to 32 bytes."""


def pack(messages: Sequence[bytes]) -> tuple[np.ndarray, np.ndarray]:
    """Byte strings to ``data`` uint8[B] and ``offsets`` int64[N+1]."""
    offsets = np.zeros(len(messages) + 1, dtype=np.int64)
    np.cumsum([len(message) for message in messages], out=offsets[1:])
    return np.frombuffer(b"".join(messages), dtype=np.uint8), offsets


def generate_pairs(rng: np.random.Generator, size: int) -> Args:
    """``size`` random messages of 64 bytes, the size of a Merkle node: data uint8[64*size], offsets int64[size+1]."""
    return rng.integers(0, 256, 64 * size, dtype=np.uint8), np.arange(size + 1, dtype=np.int64) * 64


def generate_ragged(rng: np.random.Generator, size: int, longest: int = 600) -> Args:
    """``size`` random messages of 0 to ``longest`` bytes each: data uint8[B], offsets int64[size+1]."""
    offsets = np.zeros(size + 1, dtype=np.int64)
    np.cumsum(rng.integers(0, longest + 1, size), out=offsets[1:])
    return rng.integers(0, 256, int(offsets[-1]), dtype=np.uint8), offsets


def _golden(name: str) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    digest = GOLDEN_HASHES[name]

    def golden(data: np.ndarray, offsets: np.ndarray) -> np.ndarray:
        data, offsets = checks.ragged(data, offsets)
        raw = data.tobytes()
        digests = b"".join(digest(raw[offsets[i] : offsets[i + 1]]) for i in range(len(offsets) - 1))
        return np.frombuffer(digests, dtype=np.uint8).reshape(-1, 32)

    golden.__doc__ = f"{name} of each message, one at a time."
    return golden


def keccak256_units(data: np.ndarray, offsets: np.ndarray) -> int:
    """Permutations that the messages take: one for every started 136 bytes, padding of at least one byte included."""
    return int(((offsets[1:] - offsets[:-1]) // KECCAK_RATE + 1).sum())


def sha256_units(data: np.ndarray, offsets: np.ndarray) -> int:
    """Compressions that the messages take: padding adds at least 9 bytes."""
    return int(((offsets[1:] - offsets[:-1] + 8) // 64 + 1).sum())


def _vectors(cases: Sequence[tuple[bytes, str]], source: str) -> tuple[Vector, ...]:
    return tuple(
        Vector(pack([message]), np.frombuffer(bytes.fromhex(digest), dtype=np.uint8).reshape(1, 32), source)
        for message, digest in cases
    )


KECCAK256 = KernelSpec(
    name="keccak256",
    summary="data u8[B], offsets i64[N+1] -> digests u8[N,32]",
    unit="permutation",
    generate=generate_pairs,
    golden=_golden("keccak256"),
    units=keccak256_units,
    vectors=_vectors(
        [
            (b"", "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470"),
            (b"\x80", "56e81f171bcc55a6ff8345e692c0f86e5b48e01b996cadc001622fb5e363b421"),
            (b"\xc0", "1dcc4de8dec75d7aab85b567b6ccd41ad312451b948a7413f0a142fd40d49347"),
        ],
        "Ethereum Yellow Paper: the hashes of no code, of the empty trie and of no ommers",
    )
    + _vectors(
        [
            (b"transfer(address,uint256)", "a9059cbb2ab09eb219583f4a59a5d0623ade346d962bcd4e46b11da047c9049b"),
            (b"Transfer(address,address,uint256)", "ddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"),
        ],
        "ERC-20: the selector of transfer and the topic of Transfer",
    ),
    sizes=(64, 4096, 1 << 18),
)

SHA256 = KernelSpec(
    name="sha256",
    summary="data u8[B], offsets i64[N+1] -> digests u8[N,32]",
    unit="block",
    generate=generate_pairs,
    golden=_golden("sha256"),
    units=sha256_units,
    vectors=_vectors(
        [
            (b"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
            (
                b"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
                "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1",
            ),
        ],
        "NIST, Examples with Intermediate Values: SHA-256",
    )
    + _vectors(
        [(b"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")],
        "NIST CAVP SHA256ShortMsg, Len = 0",
    ),
    sizes=(64, 4096, 1 << 18),
)
