"""The contract itself: the golden reference against what others published, and what the backend adds to it."""

from __future__ import annotations

import blake3
import numpy as np
import pytest
from chaindp.backend import BackendOptions
from chaindp.kernels.hashes import pack
from hypothesis import given, settings
from hypothesis import strategies as st

from chaindp_blake3 import BLAKE3, chaindp_environment
from chaindp_blake3.backend import THREADED, Blake3Backend
from chaindp_blake3.golden import golden_blake3
from chaindp_blake3.vectors import VECTORS, vector_input


@pytest.mark.parametrize("length", VECTORS)
def test_the_golden_reference_has_the_official_digests(length: int) -> None:
    """Digits that the authors published, through code that was written from their paper."""
    assert golden_blake3(vector_input(length)).hex() == VECTORS[length]


@settings(deadline=None, max_examples=50)
@given(st.binary(max_size=64) | st.integers(0, 9000).map(vector_input))
def test_the_golden_reference_agrees_with_the_library(message: bytes) -> None:
    """Any bytes where one block holds them, and any length where that decides which path is taken."""
    assert golden_blake3(message) == blake3.blake3(message).digest()


@pytest.mark.parametrize(
    ("length", "compressions"),
    [(0, 1), (1, 1), (64, 1), (65, 2), (1024, 16), (1025, 16 + 1 + 1), (2048, 32 + 1), (2049, 33 + 2), (4096, 64 + 3)],
)
def test_a_unit_of_work_is_a_compression(length: int, compressions: int) -> None:
    """Blocks, and one parent less than there are chunks."""
    assert BLAKE3.units(*pack([bytes(length)])) == compressions
    assert BLAKE3.units(*pack([b"", bytes(length), b"x"])) == compressions + 2


def test_the_units_are_what_the_golden_reference_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """Count the calls instead of trusting the formula."""
    from chaindp_blake3 import golden

    calls: list[int] = []
    compress = golden._compress
    monkeypatch.setattr(golden, "_compress", lambda *args: calls.append(1) or compress(*args))
    messages = [vector_input(length) for length in (0, 1, 64, 65, 1024, 1025, 3000, 5120, 8193)]
    for message in messages:
        golden.golden_blake3(message)
    assert BLAKE3.units(*pack(messages)) == len(calls)


def test_long_messages_take_threads_and_give_the_same_digest() -> None:
    """Below and above the length from which on the library is given more than one."""
    messages = [vector_input(length) for length in (THREADED - 1, THREADED, 3 * THREADED + 5)]
    one, four = (Blake3Backend("blake3", BackendOptions(threads=threads)).blake3(*pack(messages)) for threads in (1, 4))
    assert np.array_equal(one, four)
    assert [row.tobytes() for row in one] == [blake3.blake3(message).digest() for message in messages]


def test_results_record_the_version_of_the_library() -> None:
    """As the library itself says it, not as its package does."""
    assert chaindp_environment() == {"blake3": blake3.__version__}
