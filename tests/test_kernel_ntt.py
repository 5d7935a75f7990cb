"""``ntt``: the golden reference against the definition, the algebra, Plonky3's figures, and the conformance class."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chaindp.backend import Backend
from chaindp.errors import CapabilityError, InputError
from chaindp.kernels import NTT
from chaindp.kernels.fields import BABYBEAR, FIELDS
from chaindp.kernels.kernelset import KernelSet
from chaindp.plugins import Registry
from chaindp.testing import NttConformance
from chaindp.testing.offences import Fault
from chaindp.testing.session import run_suite
from field_backends import installed

P = BABYBEAR.prime

rows = st.integers(0, 6).flatmap(lambda log2: st.lists(st.integers(0, P - 1), min_size=1 << log2, max_size=1 << log2))


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    with installed(tmp_path_factory.mktemp("site")) as found:
        yield found


def ntt(row: Any) -> list[int]:
    return NTT.golden(np.array([row], dtype=np.uint32))[0].tolist()  # type: ignore[no-any-return]


def value(coefficients: list[int], point: int) -> int:
    """Horner's rule."""
    result = 0
    for coefficient in reversed(coefficients):
        result = (result * point + coefficient) % P
    return result


def root(length: int) -> int:
    """31 generates the group of order p - 1, so this power of it the one of order ``length``."""
    return pow(31, (P - 1) // length, P)


@settings(max_examples=40, deadline=None)
@given(rows)
def test_golden_is_the_values_at_the_powers_of_the_root(row: list[int]) -> None:
    point = root(len(row))
    assert ntt(row) == [value(row, pow(point, place, P)) for place in range(len(row))]


@settings(max_examples=40, deadline=None)
@given(rows, st.integers(0, P - 1), st.integers(0, 2**32))
def test_golden_is_linear(row: list[int], factor: int, seed: int) -> None:
    other = np.random.default_rng(seed).integers(0, P, len(row)).tolist()
    mixed = [(a + factor * b) % P for a, b in zip(row, other, strict=True)]
    assert ntt(mixed) == [(a + factor * b) % P for a, b in zip(ntt(row), ntt(other), strict=True)]


@settings(max_examples=40, deadline=None)
@given(rows)
def test_golden_is_undone_by_the_inverse_of_the_definition(row: list[int]) -> None:
    length, transformed = len(row), ntt(row)
    back, scale = pow(root(length), -1, P), pow(length, -1, P)
    assert [value(transformed, pow(back, place, P)) * scale % P for place in range(length)] == row


@settings(max_examples=40, deadline=None)
@given(rows, st.integers(0, 2**32))
def test_golden_turns_cyclic_convolution_into_products(row: list[int], seed: int) -> None:
    length = len(row)
    other = np.random.default_rng(seed).integers(0, P, length).tolist()
    convolution = [sum(row[i] * other[(k - i) % length] for i in range(length)) % P for k in range(length)]
    assert ntt(convolution) == [a * b % P for a, b in zip(ntt(row), ntt(other), strict=True)]


def splitmix(seed: int, count: int) -> list[int]:
    """SplitMix64 (Steele, Lea, Flood), each output modulo p."""
    mask, values = (1 << 64) - 1, []
    for _ in range(count):
        seed = (seed + 0x9E3779B97F4A7C15) & mask
        mixed = (seed ^ (seed >> 30)) * 0xBF58476D1CE4E5B9 & mask
        mixed = (mixed ^ (mixed >> 27)) * 0x94D049BB133111EB & mask
        values.append((mixed ^ (mixed >> 31)) % P)
    return values


# Plonky3, p3-dft 0.8.0: Radix2Dit over BabyBear of SplitMix64's outputs modulo p; the last figure is the value at 31 of
# the polynomial whose coefficients the transform is, the leading one first.
@pytest.mark.parametrize(
    ("log2_size", "first", "last", "all_of_it"),
    [
        (10, 1630755207, 559747154, 1014255661),
        (12, 1390945003, 726080789, 1324782958),
        pytest.param(16, 1983319782, 1372983387, 1111785319, marks=pytest.mark.slow),
    ],
)
def test_golden_meets_plonky3_on_long_rows(log2_size: int, first: int, last: int, all_of_it: int) -> None:
    transformed = ntt(splitmix(100 + log2_size, 1 << log2_size))
    assert (transformed[0], transformed[-1], value(transformed[::-1], 31)) == (first, last, all_of_it)


def test_the_roots_are_the_published_ones() -> None:
    # Plonky3, p3-baby-bear 0.8.0: TWO_ADIC_GENERATORS.
    published = {0: 0x1, 1: 0x78000000, 2: 0x67055C21, 3: 0x5EE99486, 4: 0xBB4C4E4, 5: 0x2D4CC4DA, 10: 0x145E952D}
    published |= {16: 0x54C131F4, 20: 0xBA067A3, 26: 0x3A26EEF8, 27: 0x1A427A41}
    for log2_size, expected in published.items():
        assert BABYBEAR.root_of_unity(log2_size) == expected
    for field in FIELDS.values():
        assert field.prime - 1 == ((field.prime - 1) >> field.two_adicity) << field.two_adicity
        assert ((field.prime - 1) >> field.two_adicity) % 2 == 1
        for log2_size in range(1, field.two_adicity + 1):
            assert pow(field.root_of_unity(log2_size), 1 << (log2_size - 1), field.prime) == field.prime - 1


@pytest.mark.parametrize(
    ("size", "shape"),
    [
        (0, (0, 1)),
        (1, (1, 1)),
        (2, (1, 2)),
        (3, (1, 2)),
        (9, (1, 8)),
        (1 << 16, (1, 1 << 16)),
        (1 << 20, (16, 1 << 16)),
    ],
)
def test_the_generator_makes_rows_of_a_power_of_two(size: int, shape: tuple[int, int]) -> None:
    values, field = NTT.generate(np.random.default_rng(1), size)
    assert (values.shape, values.dtype, field) == (shape, np.uint32, "babybear")
    assert not values.size or values.max() < P


def test_units_are_butterflies() -> None:
    shapes = [(0, 1), (5, 1), (1, 2), (3, 2), (1, 8), (2, 1 << 16)]
    assert [NTT.units(np.zeros(shape, np.uint32)) for shape in shapes] == [0, 0, 1, 3, 12, 2 * (1 << 15) * 16]


ROWS = np.zeros((2, 4), dtype=np.uint32)


@pytest.mark.parametrize(
    ("args", "says"),
    [
        ((ROWS[0],), "values has shape [4], expected [N,N]"),
        ((ROWS.astype(np.int64),), "values has dtype int64, expected uint32"),
        ((ROWS[:, :3],), "values has rows of 3 elements, expected a power of two"),
        ((ROWS[:, :0],), "values has rows of 0 elements, expected a power of two"),
        ((np.zeros((0, 1 << 28), np.uint32),), "268435456 elements, and babybear's largest transform is 2^27"),
        ((ROWS + np.uint32(P),), "values holds 2013265921 at [0,0], which is not below babybear's 2013265921"),
        ((ROWS, "goldilocks"), "field 'goldilocks' is unknown, expected one of babybear, koalabear"),
    ],
)
def test_bad_arguments_get_one_clear_line(args: Any, says: str) -> None:
    with pytest.raises(InputError) as error:
        NTT.golden(*args)
    assert says in str(error.value)
    assert "\n" not in str(error.value)


def test_the_longest_transform_of_the_contract_is_accepted() -> None:
    assert NTT.golden(np.zeros((0, 1 << 27), np.uint32)).shape == (0, 1 << 27)


def test_the_first_element_that_is_not_canonical_is_named_wherever_it_is() -> None:
    values = np.zeros((3, 1 << 16), dtype=np.uint32)
    values[2, 12345] = P + 1
    with pytest.raises(InputError, match=r"holds 2013265922 at \[2,12345\]"):
        NTT.golden(values)


@pytest.fixture
def independent(registry: Registry) -> Iterator[Backend]:
    backend = registry.open_backend("fields")
    yield backend
    backend.close()


def test_golden_equals_an_implementation_that_shares_no_code(independent: Backend) -> None:
    for log2_size in range(13):
        args = NTT.generate(np.random.default_rng(log2_size), 1 << log2_size)
        assert NTT.mismatches(independent.kernel("ntt")(*args), NTT.golden(*args)) == 0


def test_the_kernel_set_hands_rows_on(independent: Backend) -> None:
    kernels = KernelSet(independent, frozenset({"ntt"}))
    args = NTT.generate(np.random.default_rng(1), 32)
    assert NTT.mismatches(kernels.ntt(*args), NTT.golden(*args)) == 0
    with pytest.raises(CapabilityError, match="does not implement ntt"):
        KernelSet(independent, frozenset()).ntt(*args)


QUICK = "vectors or edge_cases or random or layouts or bad_arguments or changed_contents_change_the"


@pytest.mark.parametrize(("only", "tests"), [(QUICK, 6), pytest.param("", 14, marks=pytest.mark.slow)])
def test_a_right_backend_passes(registry: Registry, only: str, tests: int) -> None:
    result = run_suite(registry, "fields", ["ntt"], budget_s=0.3, only=only)
    assert result.holds, [failure.reason for failure in result.failures]
    assert result.tallies["ntt"].passed >= tests
    assert only or result.compared["ntt"] > 0


@pytest.mark.parametrize(
    ("backend", "test", "fault"),
    [
        ("fields_canonical", "edge_cases", Fault.WRONG),
        ("fields_coerces", "bad_arguments", Fault.TAKES_BAD),
        ("fields_order", "edge_cases", Fault.WRONG),
        ("fields_order", "every_length", Fault.WRONG),
        ("fields_long", "every_length", Fault.WRONG),
    ],
)
def test_what_is_wrong_is_found(registry: Registry, backend: str, test: str, fault: Fault) -> None:
    result = run_suite(registry, backend, ["ntt"], budget_s=0.3, only=test)
    assert [failure for failure in result.failures if f"kernel ntt: {fault.value}" in failure.reason], result.failures


@pytest.mark.parametrize("largest", [0, 1, 5])
def test_a_class_for_a_smaller_device_asks_for_nothing_longer(largest: int) -> None:
    cls = type("Small", (NttConformance,), {"spec": NTT, "largest_log2": largest})
    longest = 1 << largest
    assert all(case.args[0].shape[1] <= longest for case in cls().edge_cases())
    for size in (64, 512, 4096):
        assert cls().bulk(np.random.default_rng(1), size)[0].shape[1] <= longest
        assert cls().generated(size)[0].shape == (size // longest, longest)
