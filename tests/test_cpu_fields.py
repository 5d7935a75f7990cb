"""The field kernels of the CPU backend: algebra, both devices against each other and the golden references."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chaindp.backend import Backend, BackendOptions
from chaindp.kernels import FRI_FOLD, INTT, LDE, NTT, POSEIDON2, Args, KernelSpec
from chaindp.kernels.fields import FIELDS, random_elements
from chaindp.kernels.fri import extension_product
from chaindp_cpu import SCALAR, chaindp_backends

NAMES = tuple(FIELDS)
SPECS = (POSEIDON2, NTT, INTT, LDE, FRI_FOLD)


def opened(device: str, threads: int = 1) -> Backend:
    return chaindp_backends()[0].factory(BackendOptions(device=device, threads=threads))


@pytest.fixture(scope="module", params=[("", 1), ("", 3), (SCALAR, 1)], ids=["vector-1", "vector-3", "scalar"])
def backend(request: pytest.FixtureRequest) -> Iterator[Backend]:
    found = opened(*request.param)
    yield found
    found.close()


def over(spec: KernelSpec, size: int, name: str) -> Args:
    """The generator's shapes, over a field."""
    rng = np.random.default_rng(size)
    args = spec.generate(rng, size)[:-1]
    drawn = (random_elements(rng, arg.shape, FIELDS[name]) if isinstance(arg, np.ndarray) else arg for arg in args)
    return (*drawn, name)


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)
def test_vectors_by_plonky3(backend: Backend, spec: KernelSpec) -> None:
    for vector in spec.vectors:
        assert spec.mismatches(backend.kernel(spec.name)(*vector.args), vector.expected) == 0, vector.source


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)
def test_small_sizes_agree_with_the_golden_reference(backend: Backend, spec: KernelSpec, name: str) -> None:
    for size in (0, 1, 2, 3, 7, 15, 16, 17, 31, 33, 64, 257):
        args = over(spec, size, name)
        assert spec.mismatches(backend.kernel(spec.name)(*args), spec.golden(*args)) == 0, size


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)
def test_large_sizes_agree_on_both_devices(spec: KernelSpec, name: str) -> None:
    vector, scalar = opened("", 2), opened(SCALAR)
    for size in (5000, 1 << 15, 1 << 17):
        args = over(spec, size, name)
        expected = scalar.kernel(spec.name)(*args)
        assert spec.mismatches(vector.kernel(spec.name)(*args), expected) == 0, size


@st.composite
def rows(draw: st.DrawFn, largest_log2: int = 9) -> tuple[np.ndarray, str]:
    name, columns, log2_size = draw(st.tuples(st.sampled_from(NAMES), st.integers(1, 3), st.integers(0, largest_log2)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    return random_elements(rng, (columns, 1 << log2_size), FIELDS[name]), name


@settings(max_examples=40, deadline=None)
@given(rows(12))
def test_the_inverse_undoes_the_transform(backend: Backend, drawn: tuple[np.ndarray, str]) -> None:
    values, name = drawn
    transform, inverse = backend.kernel("ntt"), backend.kernel("intt")
    assert np.array_equal(inverse(transform(values, name), name), values)
    assert np.array_equal(transform(inverse(values, name), name), values)


def mixed(a: np.ndarray, b: np.ndarray, factor: int, name: str) -> np.ndarray:
    p = np.uint64(FIELDS[name].prime)
    return ((a + b.astype(np.uint64) * np.uint64(factor) % p) % p).astype(np.uint32)


def check_linear(call: Callable[[np.ndarray], np.ndarray], values: np.ndarray, name: str, factor: int) -> None:
    other = random_elements(np.random.default_rng(factor), values.shape, FIELDS[name])
    expected = mixed(call(values), call(other), factor, name)
    assert np.array_equal(call(mixed(values, other, factor, name)), expected)


@settings(max_examples=30, deadline=None)
@given(rows(), st.integers(0, 2**30), st.sampled_from((1, 2, 8)))
def test_transforms_and_extensions_are_linear(
    backend: Backend, drawn: tuple[np.ndarray, str], factor: int, blowup: int
) -> None:
    values, name = drawn
    check_linear(lambda given: backend.kernel("ntt")(given, name), values, name, factor)
    check_linear(lambda given: backend.kernel("lde")(given, blowup, 5, name), values, name, factor)


@settings(max_examples=30, deadline=None)
@given(rows(6), st.sampled_from((1, 2, 4)), st.integers(1, 2**30), st.integers(0, 2**30))
def test_an_extension_is_the_values_of_the_same_polynomial(
    backend: Backend, drawn: tuple[np.ndarray, str], blowup: int, shift: int, seed: int
) -> None:
    values, name = drawn
    field, (columns, length) = FIELDS[name], values.shape
    extended = backend.kernel("lde")(values, blowup, shift, name)
    assert extended.shape == (columns, length * blowup)
    row, place = seed % columns, seed % (length * blowup)
    root = field.root_of_unity((length * blowup).bit_length() - 1)
    x = shift * pow(root, place, field.prime) % field.prime
    coefficients = INTT.golden(values[row : row + 1], name)[0].tolist()
    assert extended[row, place] == sum(c * pow(x, i, field.prime) for i, c in enumerate(coefficients)) % field.prime


@settings(max_examples=30, deadline=None)
@given(st.sampled_from(NAMES), st.integers(1, 7), st.integers(1, 2**30), st.integers(0, 2**32))
def test_a_fold_halves_the_polynomial(backend: Backend, name: str, log2_size: int, shift: int, seed: int) -> None:
    """The coefficients of e + challenge o, from those of f, without looking at a value."""
    field, length = FIELDS[name], 1 << log2_size
    rng = np.random.default_rng(seed)
    coefficients = random_elements(rng, (4, length), field)
    challenge = random_elements(rng, (4,), field)

    def values(of: np.ndarray, at: int) -> np.ndarray:
        scaled = [[c * pow(at, i, field.prime) % field.prime for i, c in enumerate(row)] for row in of.tolist()]
        return np.ascontiguousarray(NTT.golden(np.array(scaled, dtype=np.uint32), name).T)

    folded = backend.kernel("fri_fold")(values(coefficients, shift), challenge, shift, name)
    even, odd = coefficients[:, ::2].T.tolist(), coefficients[:, 1::2].T.tolist()
    halves = [
        [(a + b) % field.prime for a, b in zip(left, extension_product(challenge.tolist(), right, field), strict=True)]
        for left, right in zip(even, odd, strict=True)
    ]
    assert np.array_equal(folded, values(np.array(halves, dtype=np.uint32).T, shift * shift % field.prime))


def test_results_are_fresh_memory(backend: Backend) -> None:
    for spec in SPECS:
        args = over(spec, 64, "babybear")
        first = backend.kernel(spec.name)(*args)
        kept = first.copy()
        backend.kernel(spec.name)(*over(spec, 65, "babybear"))
        assert np.array_equal(first, kept)
        assert not any(np.shares_memory(first, arg) for arg in args if isinstance(arg, np.ndarray))


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("log2_size", [18, 20, 21, 22])
def test_long_rows(name: str, log2_size: int) -> None:
    values = random_elements(np.random.default_rng(log2_size), (1, 1 << log2_size), FIELDS[name])
    vector, scalar = opened("", 2), opened(SCALAR)
    for kernel in ("ntt", "intt"):
        assert np.array_equal(vector.kernel(kernel)(values, name), scalar.kernel(kernel)(values, name))


# Plonky3, p3-dft 0.8.0: Radix2Dit of SplitMix64's outputs modulo p, seed 100 + log2; the last figure is the value at 31
# of the polynomial whose coefficients the result is, the leading one first. Extensions: twice, by the generator.
LONG = [
    ("ntt", "babybear", 10, (1630755207, 559747154, 1014255661)),
    ("intt", "babybear", 10, (1246121175, 644013711, 299112915)),
    ("lde", "babybear", 10, (1835828145, 989626578, 1144988655)),
    ("ntt", "babybear", 12, (1390945003, 726080789, 1324782958)),
    ("intt", "babybear", 12, (1646440067, 1972744760, 496751238)),
    ("lde", "babybear", 12, (78158683, 1025764176, 1149767300)),
    ("ntt", "koalabear", 10, (55429172, 1340425716, 1277443942)),
    ("intt", "koalabear", 10, (2022560627, 1505542183, 1454609572)),
    ("lde", "koalabear", 10, (1534219741, 284579613, 1357634901)),
    ("ntt", "koalabear", 12, (1844794119, 680036729, 99995586)),
    ("intt", "koalabear", 12, (1728008022, 338875821, 279155853)),
    ("lde", "koalabear", 12, (1979145824, 83492560, 1493462981)),
]


@pytest.mark.parametrize(("kernel", "name", "log2_size", "expected"), LONG)
def test_long_rows_meet_plonky3(
    backend: Backend, kernel: str, name: str, log2_size: int, expected: tuple[int, int, int]
) -> None:
    field, mask, seed, values = FIELDS[name], (1 << 64) - 1, 100 + log2_size, []
    for _ in range(1 << log2_size):
        seed = (seed + 0x9E3779B97F4A7C15) & mask
        z = (seed ^ (seed >> 30)) * 0xBF58476D1CE4E5B9 & mask
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB & mask
        values.append((z ^ (z >> 31)) % field.prime)
    more = (2, field.generator) if kernel == "lde" else ()
    (row,) = backend.kernel(kernel)(np.array([values], dtype=np.uint32), *more, name)
    folded = 0
    for value in row.tolist():
        folded = (folded * 31 + value) % field.prime
    assert (row[0], row[-1], folded) == expected
