"""keccak256 and sha256 of the CPU backend against pycryptodome and hashlib, on both devices."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from Crypto.Hash import keccak
from hypothesis import given, settings
from hypothesis import strategies as st

from chaindp.backend import Backend, BackendOptions
from chaindp.errors import InputError, UsageError
from chaindp.kernels import BUILTIN, KernelSpec
from chaindp.kernels.hashes import generate_pairs, generate_ragged, pack
from chaindp_cpu import SCALAR, chaindp_backends

DEVICES = [("", 1), ("", 2), ("", 3), (SCALAR, 1)]
SPEC = chaindp_backends()[0]

LIBRARY: dict[str, Callable[[bytes], bytes]] = {
    "keccak256": lambda message: keccak.new(digest_bits=256, data=message).digest(),
    "sha256": lambda message: hashlib.sha256(message).digest(),
}


@pytest.fixture(scope="module", params=DEVICES, ids=lambda param: f"{param[0] or 'vector'}-{param[1]}")
def backend(request: pytest.FixtureRequest) -> Iterator[Backend]:
    device, threads = request.param
    opened = SPEC.factory(BackendOptions(device=device, threads=threads))
    yield opened
    opened.close()


def check(backend: Backend, name: str, messages: list[bytes]) -> None:
    digests = backend.kernel(name)(*pack(messages))
    assert digests.shape == (len(messages), 32)
    assert digests.dtype == np.uint8
    assert [digest.tobytes() for digest in digests] == [LIBRARY[name](message) for message in messages]


@pytest.mark.parametrize("spec", [spec for spec in BUILTIN if SPEC.supports(spec.name)], ids=lambda spec: spec.name)
def test_published_vectors(backend: Backend, spec: KernelSpec) -> None:
    for vector in spec.vectors:
        assert spec.mismatches(backend.kernel(spec.name)(*vector.args), vector.expected) == 0, vector.source


@pytest.mark.parametrize("name", LIBRARY)
def test_million_a(backend: Backend, name: str) -> None:
    # NIST's long SHA-256 example; for Keccak-256 the library is the reference.
    digest = backend.kernel(name)(*pack([b"a" * 1_000_000]))[0].tobytes()
    assert digest == LIBRARY[name](b"a" * 1_000_000)
    if name == "sha256":
        assert digest.hex() == "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"


@pytest.mark.parametrize("name", LIBRARY)
@pytest.mark.parametrize("count", [0, 1, 7, 8, 9, 15, 16, 17, 31, 33, 100])
def test_pairs_in_every_tail(backend: Backend, name: str, count: int) -> None:
    data, _ = generate_pairs(np.random.default_rng(count), count)
    check(backend, name, [data[64 * i : 64 * i + 64].tobytes() for i in range(count)])


@pytest.mark.parametrize("name", LIBRARY)
def test_lengths_at_block_edges_alone_and_together(backend: Backend, name: str) -> None:
    edges = [0, 1, 7, 8, 9, 55, 56, 57, 63, 64, 65, 119, 120, 127, 128, 129, 135, 136, 137, 271, 272, 273]
    messages = [np.random.default_rng(n).bytes(n) for n in edges]
    check(backend, name, messages)
    check(backend, name, messages[::-1])
    for message in messages:
        check(backend, name, [message])
        check(backend, name, [message] * 17)


@pytest.mark.parametrize("name", LIBRARY)
def test_every_length_over_two_blocks(backend: Backend, name: str) -> None:
    check(backend, name, [np.random.default_rng(n).bytes(n) for n in range(290)])


@pytest.mark.parametrize("name", LIBRARY)
def test_huge_message_beside_empties(backend: Backend, name: str) -> None:
    check(backend, name, [b""] * 5 + [bytes(range(256)) * 4096] + [b""] * 12 + [b"x"])


@pytest.mark.parametrize("name", LIBRARY)
@settings(max_examples=60, deadline=None)
@given(messages=st.lists(st.binary(max_size=400), max_size=40))
def test_ragged_batches(backend: Backend, name: str, messages: list[bytes]) -> None:
    check(backend, name, messages)


@pytest.mark.parametrize("name", LIBRARY)
@pytest.mark.parametrize("ragged", [False, True])
def test_batches_large_enough_for_threads(backend: Backend, name: str, ragged: bool) -> None:
    rng = np.random.default_rng(7)
    data, offsets = generate_ragged(rng, 5000, 900) if ragged else generate_pairs(rng, 12_345)
    raw, ends = data.tobytes(), offsets.tolist()
    digests = backend.kernel(name)(data, offsets)
    library = b"".join(LIBRARY[name](raw[ends[i] : ends[i + 1]]) for i in range(0, len(ends) - 1, 3))
    assert digests[::3].tobytes() == library
    one = SPEC.factory(BackendOptions(threads=1))
    assert np.array_equal(digests, one.kernel(name)(data, offsets))


@pytest.mark.parametrize("name", LIBRARY)
def test_layouts_and_gaps(backend: Backend, name: str) -> None:
    wide = np.random.default_rng(1).integers(0, 256, 2000, dtype=np.uint8)
    offsets = np.array([0, 3, 3, 140, 500], dtype=np.int64)
    plain = backend.kernel(name)(wide[::2].copy(), offsets)
    read_only = wide[::2].copy()
    read_only.flags.writeable = False
    spread = np.zeros(10, dtype=np.int64)
    spread[::2] = offsets
    # Every other byte, read-only memory, an odd address, bytes after the last message, spread and unaligned offsets.
    assert np.array_equal(backend.kernel(name)(wide[::2], offsets), plain)
    assert np.array_equal(backend.kernel(name)(read_only, offsets), plain)
    odd = np.empty(1001, dtype=np.uint8)[1:]
    odd[:] = read_only
    assert np.array_equal(backend.kernel(name)(odd, offsets), plain)
    assert np.array_equal(backend.kernel(name)(read_only[:500], offsets), plain)
    assert np.array_equal(backend.kernel(name)(read_only, spread[::2]), plain)
    unaligned = np.empty(41, dtype=np.uint8)[1:].view(np.int64)
    unaligned[:] = offsets
    assert np.array_equal(backend.kernel(name)(read_only, unaligned), plain)
    raw = read_only.tobytes()
    assert plain[3].tobytes() == LIBRARY[name](raw[140:500])


@pytest.mark.parametrize("name", LIBRARY)
def test_bad_input_is_one_line_not_a_crash(backend: Backend, name: str) -> None:
    hash_all = backend.kernel(name)
    bytes4 = np.zeros(4, dtype=np.uint8)
    for data, offsets in (
        (bytes4.astype(np.int16), np.array([0, 4])),
        (bytes4, np.array([0.0, 4.0])),
        (bytes4, np.array([0, 5])),
        (bytes4, np.array([0, 1 << 62, 4])),
        (bytes4, np.array([0, -8, 4])),
        (bytes4, np.array([-8, 4])),
        (bytes4, np.array([], dtype=np.int64)),
        (bytes(4), np.array([0, 4])),
    ):
        with pytest.raises(InputError) as error:
            hash_all(data, offsets)
        assert "\n" not in str(error.value)


def test_two_threads_may_call_at_once(backend: Backend) -> None:
    rng = np.random.default_rng(2)
    jobs = [generate_ragged(rng, 3000, 500) for _ in range(4)]
    alone = [backend.kernel("keccak256")(*job) for job in jobs]
    together: list[Any] = [None] * 4

    def call(i: int) -> None:
        for _ in range(3):
            together[i] = backend.kernel("keccak256")(*jobs[i])

    threads = [threading.Thread(target=call, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(np.array_equal(a, b) for a, b in zip(alone, together, strict=True))


def test_results_are_fresh_memory(backend: Backend) -> None:
    first = backend.kernel("keccak256")(*pack([b"one"]))
    kept = first.copy()
    backend.kernel("keccak256")(*pack([b"two"]))
    assert np.array_equal(first, kept)


def test_options_are_checked() -> None:
    with pytest.raises(UsageError, match="no device 'gpu'"):
        SPEC.factory(BackendOptions(device="gpu"))
    with pytest.raises(UsageError, match="0 threads"):
        SPEC.factory(BackendOptions(threads=0))
    assert SPEC.factory(BackendOptions(device=SCALAR)).label == "cpu:scalar"
    assert [device.name for device in SPEC.devices()] == ["", SCALAR]
