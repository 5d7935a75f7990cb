"""The contracts of ``ntt`` and ``intt``: the number-theoretic transform of many polynomials at once, and its inverse.

Row c of ``values`` uint32[columns, n] is one polynomial's coefficients, the constant term first; n is a power of two up
to 2^27 for BabyBear and 2^24 for KoalaBear. Row c of the result is its values at w^0, w^1, ... w^(n-1), in this order:
out[j] = sum of values[i] w^(i j). w generates the subgroup of order n: at the largest n it is the field's two-adic
root, for BabyBear 440564289 = 31^15, for KoalaBear 1791270792 = 3^127, and at every other n a power of that:
2^(27 - log2 n), 2^(24 - log2 n). These are Plonky3's ``two_adic_generator``. ``intt`` takes the values in that order
and returns the coefficients.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from chaindp.errors import InputError
from chaindp.kernels.fields import FIELDS, Field, elements, field_named, random_elements
from chaindp.kernels.spec import Args, KernelSpec, Vector

__all__ = [
    "INTT",
    "LARGEST_GENERATED",
    "NTT",
    "butterflies",
    "check_length",
    "check_ntt",
    "golden_inverse",
    "golden_transform",
]

LARGEST_GENERATED = 1 << 16
"""The longest transform that the generator makes: what is larger becomes more of them."""


def check_ntt(values: Any, field: Any) -> tuple[np.ndarray, int]:
    """``values`` as a plain array, and log2 of its row's length. InputError unless both are what the contract says."""
    known = field_named(field)
    values = elements(values, "values", (None, None), known)
    return values, check_length(values.shape[1], known)


def check_length(size: int, field: Field) -> int:
    """log2 of the length of the rows of ``values``; InputError where there is no transform of that length."""
    if size == 0 or size & (size - 1):
        raise InputError(f"values has rows of {size} elements, expected a power of two")
    log2_size = size.bit_length() - 1
    if log2_size > field.two_adicity:
        raise InputError(
            f"values has rows of {size} elements, and {field.name}'s largest transform is 2^{field.two_adicity}"
        )
    return log2_size


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


def golden_inverse(values: Sequence[int], root: int, prime: int) -> list[int]:
    """The coefficients of the polynomial that has these values at the powers of ``root``: the values at the powers of
    1/root, divided by their number.
    """
    scale = pow(len(values), -1, prime)
    return [value * scale % prime for value in golden_transform(values, pow(root, -1, prime), prime)]


def _golden_inverse(values: np.ndarray, field: str = "babybear") -> np.ndarray:
    """Row by row."""
    values, log2_size = check_ntt(values, field)
    root, prime = FIELDS[field].root_of_unity(log2_size), FIELDS[field].prime
    rows = [golden_inverse(row, root, prime) for row in values.tolist()]
    return np.array(rows, dtype=np.uint32).reshape(values.shape)


def butterflies(columns: int, length: int) -> int:
    """Butterflies of radix 2 of so many transforms of ``length``; a transform of one element has none."""
    return columns * (length // 2) * (length.bit_length() - 1)


def _generate(rng: np.random.Generator, size: int) -> Args:
    """``size`` elements, or the next smaller number that rows of the largest power of two up to 2^16 fit into."""
    length = min(1 << (max(size, 1).bit_length() - 1), LARGEST_GENERATED)
    return random_elements(rng, (size // length, length), FIELDS["babybear"]), "babybear"


def _units(values: np.ndarray, field: str = "babybear") -> int:
    """Butterflies of radix 2."""
    return butterflies(*values.shape)


def _numbers(text: str) -> list[int]:
    return [int(number) for number in text.split()]


def _vector(values: Sequence[int], transformed: Sequence[int], field: str = "babybear") -> Vector:
    return Vector(
        (np.array([values], dtype=np.uint32), field),
        np.array([transformed], dtype=np.uint32),
        f"Plonky3, p3-dft 0.8.0, computed with Radix2Dit over {field}",
    )


NTT = KernelSpec(
    name="ntt",
    summary=(
        'values u32[columns,n], canonical, n = 2^k, field "babybear" or "koalabear" -> '
        "transforms u32[columns,n], natural order"
    ),
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
        _vector((1,), (1,), "koalabear"),
        _vector((1, 2), (3, 2130706432), "koalabear"),
        _vector((1, 2, 3, 4), (10, 33423356, 2130706431, 2097283073), "koalabear"),
        _vector(
            (1, 2, 3, 4, 5, 6, 7, 8),
            (36, 32976276, 66846712, 2029989277, 2130706429, 100717148, 2063859713, 2097730149),
            "koalabear",
        ),
        _vector(
            _numbers(
                "835799859 79384130 1712397871 1980728098 1566651617 980034017 1850450381 2117506259 889382424 "
                "1828444782 1400880741 1332491192 670605657 1406171677 77982602 989317979"
            ),
            _numbers(
                "541871389 901729033 775955017 1328671776 1503320878 496204 1224412471 650803214 420779451 "
                "648632844 1401474119 1938417704 599547912 1580768873 941977728 1044645564"
            ),
            "koalabear",
        ),
    ),
    sizes=(1 << 10, 1 << 16, 1 << 20),
)

INTT = KernelSpec(
    name="intt",
    summary=(
        'values u32[columns,n], canonical, n = 2^k, natural order, field "babybear" or "koalabear" -> '
        "coefficients u32[columns,n], the constant term first"
    ),
    unit="butterfly",
    generate=_generate,
    golden=_golden_inverse,
    units=_units,
    vectors=(
        _vector((1,), (1,), "babybear"),
        _vector((1, 2), (1006632962, 1006632960), "babybear"),
        _vector((1, 2, 3, 4), (1006632963, 864202256, 1006632960, 1149063664), "babybear"),
        _vector(
            (1, 2, 3, 4, 5, 6, 7, 8),
            (1006632965, 1766246960, 864202256, 37842447, 1006632960, 1975423473, 1149063664, 247018960),
            "babybear",
        ),
        _vector(
            _numbers(
                "466833128 1851173073 801635731 480803834 1694439978 895866344 1836465544 1750392885 1902025358 "
                "1152762151 1423871 327414822 478950913 938237860 103495011 779372782"
            ),
            _numbers(
                "337185230 343715119 853903738 512405371 206513356 862840318 82145045 1262419948 1076789942 "
                "468325656 481503430 435156648 1025023257 992896298 1147897087 444442290"
            ),
            "babybear",
        ),
        _vector((1,), (1,), "koalabear"),
        _vector((1, 2), (1065353218, 1065353216), "koalabear"),
        _vector((1, 2, 3, 4), (1065353219, 2122350593, 1065353216, 8355839), "koalabear"),
        _vector(
            (1, 2, 3, 4, 5, 6, 7, 8),
            (1065353221, 1061231181, 2122350593, 1077942860, 1065353216, 1052763572, 8355839, 1069475251),
            "koalabear",
        ),
        _vector(
            _numbers(
                "835799859 79384130 1712397871 1980728098 1566651617 980034017 1850450381 2117506259 889382424 "
                "1828444782 1400880741 1332491192 670605657 1406171677 77982602 989317979"
            ),
            _numbers(
                "433374418 597966956 58873608 1030982119 1102824961 1186504323 1286114501 573216161 692144476 "
                "307013505 1275048148 532707621 360295859 83041986 980681253 988542129"
            ),
            "koalabear",
        ),
    ),
    sizes=(1 << 10, 1 << 16, 1 << 20),
)
