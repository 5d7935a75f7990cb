"""ecrecover of the CPU backend against coincurve's public API and the golden reference."""

from __future__ import annotations

import functools
from collections.abc import Iterator

import coincurve
import numpy as np
import pytest
from Crypto.Hash import keccak

from chaindp.backend import Backend, BackendOptions
from chaindp.errors import InputError
from chaindp.kernels import ECRECOVER
from chaindp.kernels.signatures import N, P, golden_recover
from chaindp_cpu import SCALAR, chaindp_backends

SPEC = chaindp_backends()[0]


@pytest.fixture(scope="module", params=[("", 1), ("", 3), (SCALAR, 1)], ids=lambda p: f"{p[0] or 'vector'}-{p[1]}")
def backend(request: pytest.FixtureRequest) -> Iterator[Backend]:
    device, threads = request.param
    opened = SPEC.factory(BackendOptions(device=device, threads=threads))
    yield opened
    opened.close()


def rows(items: list[bytes], width: int) -> np.ndarray:
    return np.frombuffer(b"".join(items), dtype=np.uint8).reshape(len(items), width)


@pytest.mark.parametrize("count", [0, 1, 2, 7, 8, 9, 50])
def test_recovers_the_signer_of_coincurve_signatures(backend: Backend, count: int) -> None:
    rng = np.random.default_rng(count)
    digests, signatures, addresses = [], [], []
    for _ in range(count):
        key = coincurve.PrivateKey(rng.bytes(31) + b"\x01")
        digests.append(rng.bytes(32))
        signatures.append(key.sign_recoverable(digests[-1], hasher=None))
        public = key.public_key.format(compressed=False)[1:]
        addresses.append(keccak.new(digest_bits=256, data=public).digest()[12:])
    got, ok = backend.kernel("ecrecover")(rows(digests, 32), rows(signatures, 65))
    assert got.shape == (count, 20)
    assert ok.dtype == np.bool_
    assert ok.all()
    assert [address.tobytes() for address in got] == addresses


def cases(size: int) -> tuple[np.ndarray, np.ndarray]:
    digests, signatures = ECRECOVER.generate(np.random.default_rng(size), size)
    # Random r as well: half of them are no point's x.
    signatures[::3, :32] = np.random.default_rng(9).integers(0, 256, signatures[::3, :32].shape, dtype=np.uint8)
    return digests, signatures


@functools.cache
def golden(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Computed once for all devices: plain Python takes its time."""
    return ECRECOVER.golden(*cases(size))  # type: ignore[no-any-return]


@pytest.mark.parametrize("size", [0, 1, 5, 60])
def test_generated_cases_equal_golden(backend: Backend, size: int) -> None:
    digests, signatures = cases(size)
    got = backend.kernel("ecrecover")(digests, signatures)
    assert ECRECOVER.mismatches(got, golden(size)) == 0
    if size == 60:
        assert 10 < got[1].sum() < 60


def word(value: int) -> bytes:
    return value.to_bytes(32, "big")


def test_invalid_signatures_give_false_and_zero(backend: Backend) -> None:
    digests, signatures = ECRECOVER.vectors[0].args
    good = signatures[0].tobytes()
    r, s = good[:32], good[32:64]
    # An x below N whose cube plus 7 is no square, and one whose point gives infinity: s R = e G for R = G, s = e.
    no_point = next(x for x in range(1, 100) if pow(x**3 + 7, (P - 1) // 2, P) == P - 1)
    gx = 0x79BE667EF9DCBBAC55A06295CE870B07029BFCDB2DCE28D959F2815B16F81798
    e = digests[0].tobytes()
    infinity = word(gx) + word(int.from_bytes(e, "big") % N) + b"\x00"
    bad = [
        bytes(32) + s + b"\x00",
        r + bytes(32) + b"\x00",
        word(N) + s + b"\x00",
        r + word(N) + b"\x00",
        word(2**256 - 1) + s + b"\x01",
        word(N + 5) + s + b"\x01",
        r + word(2**256 - 1) + b"\x00",
        *(r + s + bytes([v]) for v in (2, 3, 4, 27, 28, 128, 255)),
        word(no_point) + s + b"\x00",
        word(no_point) + s + b"\x01",
        infinity,
        bytes(65),
        b"\xff" * 65,
    ]
    # Among good ones, so that nothing leaks from one row to the next.
    items = [item for spoilt in bad for item in (good, spoilt)] + [good]
    addresses, ok = backend.kernel("ecrecover")(np.repeat(digests, len(items), axis=0), rows(items, 65))
    assert ok.tolist() == [i % 2 == 0 for i in range(len(items))]
    assert not addresses[1::2].any()
    assert (addresses[::2] == ECRECOVER.vectors[0].expected[0]).all()
    assert all(golden_recover(e, spoilt) is None for spoilt in bad)


def test_high_s_is_allowed(backend: Backend) -> None:
    digests, signatures = ECRECOVER.vectors[0].args
    good = signatures[0].tobytes()
    s = int.from_bytes(good[32:64], "big")
    assert s > N // 2
    mirrored = good[:32] + word(N - s) + bytes([1 - good[64]])
    addresses, ok = backend.kernel("ecrecover")(np.repeat(digests, 2, axis=0), rows([good, mirrored], 65))
    assert ok.all()
    assert addresses[0].tobytes() == addresses[1].tobytes()


def test_bad_input_is_one_line_not_a_crash(backend: Backend) -> None:
    digests, signatures = ECRECOVER.vectors[0].args
    for args in (
        (digests, signatures[:, :64]),
        (digests[:, :31], signatures),
        (digests, np.repeat(signatures, 2, axis=0)),
    ):
        with pytest.raises(InputError) as error:
            backend.kernel("ecrecover")(*args)
        assert "\n" not in str(error.value)


def test_layouts(backend: Backend) -> None:
    digests, signatures = ECRECOVER.generate(np.random.default_rng(4), 12)
    expected = backend.kernel("ecrecover")(digests[::2].copy(), signatures[::2].copy())
    assert ECRECOVER.mismatches(backend.kernel("ecrecover")(digests[::2], signatures[::2]), expected) == 0
