"""The contracts themselves: vectors against golden references, and golden references against well-known libraries."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from Crypto.Hash import keccak
from hypothesis import given, settings
from hypothesis import strategies as st

from chaindp.errors import InputError
from chaindp.kernels import BUILTIN, KECCAK256, SHA256, KernelSpec
from chaindp.kernels.hashes import generate_ragged, golden_keccak256, golden_sha256, keccak256_units, pack, sha256_units
from chaindp.kernels.signatures import N, P, golden_public_key, golden_recover

EDGES = [0, 1, 55, 56, 63, 64, 65, 119, 120, 135, 136, 137, 271, 272, 273]


@pytest.mark.parametrize("spec", BUILTIN, ids=lambda spec: spec.name)
def test_golden_meets_the_published_vectors(spec: KernelSpec) -> None:
    assert spec.vectors
    for vector in spec.vectors:
        assert spec.mismatches(spec.golden(*vector.args), vector.expected) == 0, vector.source


@pytest.mark.parametrize("spec", BUILTIN, ids=lambda spec: spec.name)
@pytest.mark.parametrize("size", [0, 1, 2, 5, 17])
def test_generators_are_seeded_fresh_and_accepted_by_the_golden_reference(spec: KernelSpec, size: int) -> None:
    args = spec.generate(np.random.default_rng(size), size)
    again = spec.generate(np.random.default_rng(size), size)
    other = spec.generate(np.random.default_rng(size + 1), size)
    assert all(np.array_equal(a, b) for a, b in zip(args, again, strict=True))
    if size > 1:
        assert not all(np.array_equal(a, b) for a, b in zip(args, other, strict=True))
    assert spec.mismatches(spec.golden(*args), spec.golden(*again)) == 0
    assert spec.units(*args) >= 0


@pytest.mark.parametrize("length", EDGES)
def test_golden_hashes_match_libraries_at_block_edges(length: int) -> None:
    message = bytes(range(256)) * 2
    message = message[:length]
    assert golden_keccak256(message) == keccak.new(digest_bits=256, data=message).digest()
    assert golden_sha256(message) == hashlib.sha256(message).digest()


@settings(max_examples=50, deadline=None)
@given(st.binary(max_size=700))
def test_golden_hashes_match_libraries(message: bytes) -> None:
    assert golden_keccak256(message) == keccak.new(digest_bits=256, data=message).digest()
    assert golden_sha256(message) == hashlib.sha256(message).digest()


def test_units_count_blocks_with_padding() -> None:
    def units(counter: object, length: int) -> int:
        return counter(*pack([bytes(length)]))  # type: ignore[operator, no-any-return]

    assert [units(keccak256_units, n) for n in (0, 135, 136, 271, 272)] == [1, 1, 2, 2, 3]
    assert [units(sha256_units, n) for n in (0, 55, 56, 64, 119, 120)] == [1, 1, 2, 2, 2, 3]


def test_ragged_generator_covers_its_range() -> None:
    data, offsets = generate_ragged(np.random.default_rng(0), 2000, longest=20)
    assert set(np.diff(offsets).tolist()) == set(range(21))
    assert len(data) == offsets[-1]


def sign(digest: bytes, secret: int, nonce: int) -> bytes:
    """The 65-byte signature r || s || y-parity of ``digest`` with this nonce, s low (EIP-2). For test data only."""
    point = golden_public_key(nonce)
    r = point[0] % N
    s = (int.from_bytes(digest, "big") + r * secret) * pow(nonce, -1, N) % N
    parity = point[1] & 1
    if 2 * s > N:
        s, parity = N - s, 1 - parity
    return r.to_bytes(32, "big") + s.to_bytes(32, "big") + bytes([parity])


def test_golden_recovers_what_golden_signed() -> None:
    rng = np.random.default_rng(5)
    for _ in range(4):
        secret, nonce = (int.from_bytes(rng.bytes(31), "big") + 1 for _ in range(2))
        digest = rng.bytes(32)
        x, y = golden_public_key(secret)
        assert (y * y - x**3 - 7) % P == 0
        address = golden_keccak256(x.to_bytes(32, "big") + y.to_bytes(32, "big"))[12:]
        signature = sign(digest, secret, nonce)
        assert int.from_bytes(signature[32:64], "big") <= N // 2
        assert golden_recover(digest, signature) == address
        tampered = bytes([digest[0] ^ 1]) + digest[1:]
        assert golden_recover(tampered, signature) != address


@pytest.mark.parametrize("spec", [KECCAK256, SHA256], ids=lambda spec: spec.name)
@pytest.mark.parametrize(
    ("data", "offsets", "says"),
    [
        (np.zeros(4, np.int8), np.array([0, 4]), "data has dtype int8"),
        (np.zeros((2, 2), np.uint8), np.array([0, 4]), "data has shape [2, 2]"),
        (b"abcd", np.array([0, 4]), "data is bytes"),
        (np.zeros(4, np.uint8), np.array([0, 4], np.int32), "offsets has dtype int32"),
        (np.zeros(4, np.uint8), np.array([0, 4], ">i8"), "offsets has dtype >i8"),
        (np.zeros(4, np.uint8), np.array([], np.int64), "offsets is empty"),
        (np.zeros(4, np.uint8), np.array([1, 4]), "offsets starts at 1"),
        (np.zeros(4, np.uint8), np.array([0, 3, 2, 4]), "offsets falls from 3 to 2"),
        (np.zeros(4, np.uint8), np.array([0, 5]), "past the 4 bytes"),
        (np.zeros(4, np.uint8), np.array([0, 1 << 62]), "past the 4 bytes"),
        (np.zeros(4, np.uint8), np.array([0, -(1 << 63), 4]), "offsets falls"),
    ],
)
def test_ragged_arguments_are_checked(spec: KernelSpec, data: object, offsets: object, says: str) -> None:
    with pytest.raises(InputError) as error:
        spec.golden(data, offsets)
    assert says in str(error.value)
    assert "\n" not in str(error.value)
