"""The field kernels of the OpenCL backend in every form, beside the CPU backend's: results, buffers, errors."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chaindp.backend import Backend
from chaindp.errors import InputError
from chaindp.kernels import FRI_FOLD, INTT, LDE, NTT, POSEIDON2, Args, KernelSpec
from chaindp.kernels.fields import FIELDS, random_elements
from chaindp.plugins import load_plugins
from chaindp.testing.fields import edge_elements
from chaindp_opencl.backend import OpenClBackend
from chaindp_opencl.fields import montgomery, powers
from chaindp_opencl.memory import Limits
from chaindp_opencl.transforms import passes_of
from opencl_devices import TINY, needs_device, opened

pytestmark = needs_device

NAMES = tuple(FIELDS)
SPECS = (POSEIDON2, NTT, INTT, LDE, FRI_FOLD)

FORMS: dict[str, dict[str, Any]] = {
    "default": {},
    "one core": {"threads": 1},
    "own memory": {"unified": False},
    "1 lane": {"vector_int": 1},
    "4 lanes": {"vector_int": 4},
    "16 lanes, own memory": {"vector_int": 16, "unified": False},
    "gpu": {"kind": "gpu", "unified": False},
    "streamed": {"limits": TINY},
    "streamed, own memory": {"limits": TINY, "unified": False},
}
# Compilers for CPUs take long over a work-group of several work-items, and each width of vectors is a program more.
SLOW = ("gpu", "4 lanes")
QUICK = [form for form in FORMS if form not in SLOW]
ALL = [pytest.param(form, marks=[pytest.mark.slow] * (form in SLOW)) for form in FORMS]

_KEPT: dict[str, Any] = {}


def kept(form: str) -> OpenClBackend:
    """The device in that form, opened once."""
    if form not in _KEPT:
        _KEPT[form] = opened(**FORMS[form])
    return _KEPT[form]  # type: ignore[no-any-return]


def cpu() -> Backend:
    if "cpu" not in _KEPT:
        _KEPT["cpu"] = load_plugins().open_backend("cpu", threads=2)
    return _KEPT["cpu"]  # type: ignore[no-any-return]


def uploaded(backend: Backend, args: Args) -> list[Any]:
    return [backend.upload(arg) if isinstance(arg, np.ndarray) else arg for arg in args]


def assert_the_cpus(backend: OpenClBackend, kernel: str, *args: Any) -> None:
    """Of arrays and of buffers the same result as the CPU backend's."""
    expected = cpu().kernel(kernel)(*args)
    for given_args in (args, uploaded(backend, args)):
        found = backend.download(backend.kernel(kernel)(*given_args))
        assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
        np.testing.assert_array_equal(found, expected)


def drawn(seed: int, shape: tuple[int, ...], name: str) -> np.ndarray:
    """Elements of which half are at an edge."""
    rng = np.random.default_rng(seed)
    edges = rng.choice(np.array(edge_elements(FIELDS[name].prime), dtype=np.uint32), shape)
    return np.where(rng.random(shape) < 0.5, edges, random_elements(rng, shape, FIELDS[name]))


# results --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ALL)
@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)
def test_vectors_by_plonky3(spec: KernelSpec, form: str) -> None:
    backend = kept(form)
    for vector in spec.vectors:
        found = backend.download(backend.kernel(spec.name)(*uploaded(backend, vector.args)))
        assert spec.mismatches(found, vector.expected) == 0, vector.source


@pytest.mark.parametrize("form", ALL)
@pytest.mark.parametrize("name", NAMES)
def test_every_small_size(name: str, form: str) -> None:
    """Rows of every length up to several passes, in numbers that fill no vector; TINY streams most of them."""
    backend, most = kept(form), 8 if "streamed" in form else 10
    generator = FIELDS[name].generator
    for count in (0, 1, 2, 7, 8, 9, 15, 16, 17, 33):
        assert_the_cpus(backend, "poseidon2", drawn(count, (count, 16), name), name)
    for log2_size in range(most + 1):
        for columns in (0, 1, 3, 17):
            values = drawn(log2_size, (columns, 1 << log2_size), name)
            assert_the_cpus(backend, "ntt", values, name)
            assert_the_cpus(backend, "intt", values, name)
            assert_the_cpus(backend, "lde", values, 1 << min(most - log2_size, 2), generator, name)
        codeword = drawn(log2_size, (2 << log2_size, 4), name)
        assert_the_cpus(backend, "fri_fold", codeword, drawn(1, (4,), name), generator, name)


@settings(max_examples=40)
@given(st.sampled_from(QUICK), st.sampled_from(NAMES), st.integers(0, 70), st.integers(0, 2**32))
def test_any_states(form: str, name: str, count: int, seed: int) -> None:
    assert_the_cpus(kept(form), "poseidon2", drawn(seed, (count, 16), name), name)


@settings(max_examples=60)
@given(
    st.sampled_from(("default", "one core", "own memory")),
    st.sampled_from(NAMES),
    st.integers(0, 20),
    st.integers(0, 13),
    st.integers(0, 3),
    st.integers(1, 2**30),
    st.integers(0, 2**32),
)
def test_any_rows(form: str, name: str, columns: int, log2_size: int, log2_blowup: int, shift: int, seed: int) -> None:
    values = drawn(seed, (columns, 1 << log2_size), name)
    assert_the_cpus(kept(form), "ntt", values, name)
    assert_the_cpus(kept(form), "intt", values, name)
    assert_the_cpus(kept(form), "lde", values, 1 << log2_blowup, shift, name)


@settings(max_examples=40)
@given(st.sampled_from(QUICK), st.sampled_from(NAMES), st.integers(1, 12), st.integers(1, 2**30), st.integers(0, 2**32))
def test_any_codewords(form: str, name: str, log2_size: int, shift: int, seed: int) -> None:
    codeword, challenge = drawn(seed, (1 << log2_size, 4), name), drawn(seed + 1, (4,), name)
    assert_the_cpus(kept(form), "fri_fold", codeword, challenge, shift, name)


@pytest.mark.parametrize(("columns", "log2_size"), [(1, 11), (3, 14), (9, 16), (1, 17), (2, 18)])
@pytest.mark.parametrize("name", NAMES)
def test_rows_of_several_passes(name: str, columns: int, log2_size: int) -> None:
    """Row by row and pass by pass: three passes, four, five, with and without a shorter one at the end."""
    values = drawn(columns, (columns, 1 << log2_size), name)
    assert_the_cpus(kept("default"), "ntt", values, name)
    assert_the_cpus(kept("default"), "intt", values, name)
    assert_the_cpus(kept("default"), "lde", values, 2, FIELDS[name].generator, name)


def test_an_extension_of_short_rows_by_much() -> None:
    """Rows that fill no vector, and results that are long."""
    for log2_size in (0, 1, 2, 3):
        values = drawn(log2_size, (2, 1 << log2_size), "koalabear")
        assert_the_cpus(kept("default"), "lde", values, 1 << 12, 3, "koalabear")


@given(st.integers(0, 40))
def test_passes_are_of_four_stages_but_for_the_last(log2_size: int) -> None:
    passes = passes_of(log2_size)
    assert sum(passes) == log2_size
    assert all(stages == 4 for stages in passes[:-1])
    assert 0 <= passes[-1] <= 4


@given(st.sampled_from(NAMES), st.integers(1, 2**30), st.integers(1, 100), st.integers(1, 2**30))
def test_powers_are_powers(name: str, base: int, count: int, first: int) -> None:
    field = FIELDS[name]
    expected = [montgomery(first * pow(base, place, field.prime), field) for place in range(count)]
    assert powers(base, count, field, first).tolist() == expected


# what stays on the device ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("unified", [True, False])
def test_chained_kernels_leave_their_buffers_on_the_device(unified: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    backend = opened(unified=unified, profile=True)
    fetched: list[int] = []
    read = backend.memory._read
    monkeypatch.setattr(backend.memory, "_read", lambda buffer, to: (fetched.append(len(to)), read(buffer, to)))
    values = drawn(1, (4, 1 << 10), "babybear")
    states, challenge = drawn(2, (64, 16), "babybear"), drawn(3, (4,), "babybear")
    buffers = [backend.upload(array) for array in (values, states, challenge)]
    backend.synchronize()
    sent = backend.take_device_times()
    extended = backend.lde(buffers[0], 4, 31)
    coefficients = backend.intt(extended)
    again = backend.ntt(coefficients)
    twice = backend.poseidon2(backend.poseidon2(buffers[1]))
    folded = backend.fri_fold(
        backend.fri_fold(backend.upload(values.reshape(-1, 4)), buffers[2], 31), buffers[2], 31 * 31
    )
    backend.synchronize()
    times = backend.take_device_times()
    assert sent is not None
    assert times is not None
    assert sent.compute_ns == 0
    assert (sent.transfer_ns > 0) == (not unified)
    assert 0 < times.compute_ns <= times.span_ns
    assert fetched == []
    expected = cpu().kernel("lde")(values, 4, 31)
    assert np.array_equal(backend.download(extended), expected)
    assert np.array_equal(backend.download(again), expected)
    assert np.array_equal(backend.download(coefficients), cpu().kernel("intt")(expected))
    permute, fold = cpu().kernel("poseidon2"), cpu().kernel("fri_fold")
    assert np.array_equal(backend.download(twice), permute(permute(states)))
    assert np.array_equal(
        backend.download(folded), fold(fold(values.reshape(-1, 4), challenge, 31), challenge, 31 * 31)
    )
    assert len(fetched) == (0 if unified else 5)
    backend.close()


def test_an_upload_may_be_written_to_afterwards_where_the_device_has_memory_of_its_own() -> None:
    backend = kept("own memory")
    values, challenge = drawn(4, (64, 4), "babybear"), drawn(5, (4,), "babybear")
    expected = cpu().kernel("fri_fold")(values, challenge, 1)
    args = backend.upload(values), backend.upload(challenge)
    values[:] = challenge[:] = 0
    assert np.array_equal(backend.download(backend.fri_fold(*args, 1)), expected)


def test_tables_are_made_once_and_the_oldest_go_where_they_take_too_much_room() -> None:
    backend = opened(limits=Limits(resident=1 << 14, chunk=1 << 12, staging=1 << 12, message=1 << 12))
    transforms = backend._field_kernels(FIELDS["babybear"]).transforms
    tables = transforms._tables.kept
    for log2_size in (10, 11, 10):
        assert_the_cpus(backend, "ntt", drawn(log2_size, (1, 1 << log2_size), "babybear"))
    # 2^11 elements' are more than half of all room.
    assert [key[:2] for key in tables] == [("roots", 11), ("roots", 10)]
    first = tables["roots", 11, False]
    assert_the_cpus(backend, "ntt", drawn(0, (1, 1 << 11), "babybear"))
    assert tables["roots", 11, False] is first
    assert_the_cpus(backend, "lde", drawn(0, (1, 1 << 10), "babybear"), 2, 31)
    assert ("roots", 10, False) not in tables
    assert sum(table.nbytes for table in tables.values()) <= 1 << 14
    backend.close()


@pytest.mark.parametrize("form", ["default", "own memory"])
def test_threads_share_a_backend_and_its_tables(form: str) -> None:
    backend = opened(**FORMS[form])
    shapes = [(3, 1 << log2_size) for log2_size in (9, 12, 9, 12, 5, 12)]
    work = [drawn(number, shape, "koalabear") for number, shape in enumerate(shapes)]
    expected = [cpu().kernel("lde")(values, 2, 3, "koalabear") for values in work]
    found: list[Any] = [None] * len(work)

    def run(number: int) -> None:
        for _ in range(5):
            found[number] = backend.download(backend.lde(backend.upload(work[number]), 2, 3, "koalabear"))

    threads = [threading.Thread(target=run, args=(number,)) for number in range(len(work))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for extended, right in zip(found, expected, strict=True):
        assert np.array_equal(extended, right)
    backend.close()


# what is refused ------------------------------------------------------------------------------------------------------

ROWS = np.arange(12, dtype=np.uint32).reshape(3, 4)
STATES = np.arange(32, dtype=np.uint32).reshape(2, 16)
CODEWORD = np.arange(32, dtype=np.uint32).reshape(8, 4)
CHALLENGE = np.arange(4, dtype=np.uint32)
P = FIELDS["babybear"].prime


def spoilt(array: np.ndarray, value: int) -> np.ndarray:
    """The same with another last element, in more words than a call's parameters are."""
    changed = array.copy()
    changed.reshape(-1)[-1] = value
    return changed


REFUSED: list[tuple[str, Args]] = [
    ("poseidon2", (STATES, "goldilocks")),
    ("poseidon2", (STATES[:, :15].copy(), "babybear")),
    ("poseidon2", (STATES.astype(np.int64), "babybear")),
    ("poseidon2", (spoilt(STATES, P), "babybear")),
    ("poseidon2", (spoilt(STATES, FIELDS["koalabear"].prime), "koalabear")),
    ("ntt", (ROWS, None)),
    ("ntt", (ROWS[:, :3].copy(), "babybear")),
    ("ntt", (ROWS[:, :0].copy(), "babybear")),
    ("ntt", (np.zeros((0, 1 << 28), np.uint32), "babybear")),
    ("ntt", (np.zeros((0, 1 << 25), np.uint32), "koalabear")),
    ("ntt", (spoilt(np.zeros((2, 16), np.uint32), P), "babybear")),
    ("intt", (ROWS[0], "babybear")),
    ("intt", (spoilt(ROWS, (1 << 32) - 1), "babybear")),
    ("lde", (ROWS, 3, 31, "babybear")),
    ("lde", (ROWS, 2.0, 31, "babybear")),
    ("lde", (ROWS, 1 << 26, 31, "babybear")),
    ("lde", (ROWS, 2, 0, "babybear")),
    ("lde", (ROWS, 2, P, "babybear")),
    ("lde", (spoilt(np.zeros((1, 32), np.uint32), P), 2, 31, "babybear")),
    ("fri_fold", (CODEWORD[:6].copy(), CHALLENGE, 31, "babybear")),
    ("fri_fold", (CODEWORD[:1].copy(), CHALLENGE, 31, "babybear")),
    ("fri_fold", (CODEWORD, CHALLENGE[:3].copy(), 31, "babybear")),
    ("fri_fold", (CODEWORD, spoilt(CHALLENGE, P), 31, "babybear")),
    ("fri_fold", (spoilt(CODEWORD, P + 1), CHALLENGE, 31, "babybear")),
    ("fri_fold", (CODEWORD, CHALLENGE, None, "babybear")),
]


def said(call: Callable[[], object]) -> str:
    with pytest.raises(InputError) as caught:
        call()
    return str(caught.value)


@pytest.mark.parametrize("form", ["default", "own memory"])
@pytest.mark.parametrize("case", range(len(REFUSED)))
def test_what_the_cpu_backend_refuses_is_refused_in_the_same_words(form: str, case: int) -> None:
    kernel, args = REFUSED[case]
    backend = kept(form)
    expected = said(lambda: cpu().kernel(kernel)(*args))
    assert said(lambda: backend.kernel(kernel)(*args)) == expected
    assert said(lambda: backend.kernel(kernel)(*uploaded(backend, args))) == expected


@pytest.mark.parametrize("form", ["default", "own memory"])
def test_a_result_over_one_field_is_looked_at_before_it_is_an_argument_over_a_smaller_one(form: str) -> None:
    backend = kept(form)
    small, large = np.full((2, 16), 5, np.uint32), spoilt(np.full((2, 16), 5, np.uint32), P)
    for values in (small, large):
        # The transform that undoes another gives its argument back, on the device.
        result = backend.ntt(backend.intt(values, "koalabear"), "koalabear")
        if values is large:
            assert f"values holds {P} at [1,15]" in said(lambda result=result: backend.ntt(result))  # type: ignore[misc]
        else:
            assert np.array_equal(backend.download(backend.ntt(result)), cpu().kernel("ntt")(values))


def test_buffers_of_another_instance_are_refused() -> None:
    one, other = kept("default"), kept("own memory")
    for kernel, args in (
        ("poseidon2", (other.upload(STATES),)),
        ("ntt", (other.upload(ROWS),)),
        ("fri_fold", (CODEWORD, other.upload(CHALLENGE), 31)),
    ):
        assert "another device" in said(lambda kernel=kernel, args=args: one.kernel(kernel)(*args))  # type: ignore[misc]


@pytest.mark.parametrize("form", ["streamed", "streamed, own memory"])
def test_a_row_that_the_device_cannot_hold_is_refused(form: str) -> None:
    values = np.zeros((1, 1 << 10), np.uint32)
    with pytest.raises(
        InputError, match="a row takes 12,288 bytes with its result, and the device holds arrays of 4,096"
    ):
        kept(form).lde(values, 2, 31)
