"""The contract of ``ntt``: the number-theoretic transform of many polynomials at once.

Row c of ``values`` uint32[columns, n] is one polynomial's coefficients, the constant term first; n is a power of two up
to 2^27. Row c of the result is its values at w^0, w^1, ... w^(n-1), in this order: out[j] = sum of values[i] w^(i j).
w generates the subgroup of order n: at n = 2^27 it is the field's two-adic root, for BabyBear 440564289 = 31^15, and at
every other n a power of that: 2^(27 - log2 n). These are Plonky3's ``two_adic_generator``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from chaindp.errors import InputError
from chaindp.kernels.fields import FIELDS, elements, field_named, random_elements
from chaindp.kernels.spec import Args, KernelSpec, Vector

__all__ = ["LARGEST_GENERATED", "NTT", "check_ntt", "golden_transform"]

LARGEST_GENERATED = 1 << 16
"""The longest transform that the generator makes: what is larger becomes more of them."""


def check_ntt(values: Any, field: Any) -> tuple[np.ndarray, int]:
    """``values`` as a plain array, and log2 of its row's length. InputError unless both are what the contract says."""
    known = field_named(field)
    values = elements(values, "values", (None, None), known)
    size = values.shape[1]
    if size == 0 or size & (size - 1):
        raise InputError(f"values has rows of {size} elements, expected a power of two")
    log2_size = size.bit_length() - 1
    if log2_size > known.two_adicity:
        raise InputError(
            f"values has rows of {size} elements, and {field}'s largest transform is 2^{known.two_adicity}"
        )
    return values, log2_size


def golden_transform(values: Sequence[int], root: int, prime: int) -> list[int]:
    """The values at the powers of ``root``, whose order is ``len(values)``, a power of two: Cooley and Tukey's way.

    f(x) = even(x^2) + x odd(x^2), and the squares of both x and -x are the same.
    """
    if len(values) == 1:
        return list(values)
    even = golden_transform(values[::2], root * root % prime, prime)
    odd = golden_transform(values[1::2], root * root % prime, prime)
    low, high, power = [], [], 1
    for a, b in zip(even, odd, strict=True):
        scaled = b * power % prime
        low.append((a + scaled) % prime)
        high.append((a - scaled) % prime)
        power = power * root % prime
    return low + high


def _golden(values: np.ndarray, field: str = "babybear") -> np.ndarray:
    """Row by row."""
    values, log2_size = check_ntt(values, field)
    root, prime = FIELDS[field].root_of_unity(log2_size), FIELDS[field].prime
    rows = [golden_transform(row, root, prime) for row in values.tolist()]
    return np.array(rows, dtype=np.uint32).reshape(values.shape)


def _generate(rng: np.random.Generator, size: int) -> Args:
    """``size`` elements, or the next smaller number that rows of the largest power of two up to 2^16 fit into."""
    length = min(1 << (max(size, 1).bit_length() - 1), LARGEST_GENERATED)
    return random_elements(rng, (size // length, length), FIELDS["babybear"]), "babybear"


def _units(values: np.ndarray, field: str = "babybear") -> int:
    """Butterflies of radix 2; a transform of one element has none."""
    columns, length = values.shape
    return int(columns * (length // 2) * (length.bit_length() - 1))


def _numbers(text: str) -> list[int]:
    return [int(number) for number in text.split()]


def _vector(values: Sequence[int], transformed: Sequence[int]) -> Vector:
    return Vector(
        (np.array([values], dtype=np.uint32), "babybear"),
        np.array([transformed], dtype=np.uint32),
        "Plonky3, p3-dft 0.8.0, computed with Radix2Dit over BabyBear",
    )


NTT = KernelSpec(
    name="ntt",
    summary='values u32[columns,n], canonical, n = 2^k, field "babybear" -> transforms u32[columns,n], natural order',
    unit="butterfly",
    generate=_generate,
    golden=_golden,
    units=_units,
    vectors=(
        _vector((1,), (1,)),
        _vector((1, 2), (3, 2013265920)),
        _vector((1, 2, 3, 4), (10, 569722814, 2013265919, 1443543103)),
        _vector(
            range(1, 9),
            (36, 1976151680, 1139445628, 1710526337, 2013265917, 302739576, 873820285, 37114233),
        ),
        _vector(
            _numbers(
                "1105589675 1972547923 65331280 606958594 1133361188 893336524 1846568931 1992135038 "
                "176824462 47295828 1885045023 1441435421 204506000 223927254 1093169543 1204750181"
            ),
            _numbers(
                "1799921418 1643784656 778831721 790898399 549280074 1429963300 1247062046 792276317 "
                "1141275260 1020700203 1679767110 457909545 950850785 1719116744 99058761 1588738461"
            ),
        ),
    ),
    sizes=(1 << 10, 1 << 16, 1 << 20),
)
