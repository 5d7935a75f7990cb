"""The contract of ``lde``: the low-degree extension of many columns, from a subgroup to a coset of a larger one.

Row c of ``values`` uint32[columns, n] is the values of a polynomial of degree below n at w^0, w^1, ... w^(n-1), in
this order, w as in ``ntt``. Row c of the result uint32[columns, n * blowup] is the values of the same polynomial at
shift v^0, shift v^1, ... shift v^(n blowup - 1), in this order, v being the generator of the subgroup of order
n * blowup, again as in ``ntt``. ``blowup`` is a power of two, and ``shift`` a canonical element other than zero: with
the field's generator (31 for BabyBear, 3 for KoalaBear) the two domains share no point. This is Plonky3's
``coset_lde``, a row here being a column there.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from chaindp.errors import InputError
from chaindp.kernels import checks
from chaindp.kernels.fields import FIELDS, Field, field_named, random_elements
from chaindp.kernels.ntt import LARGEST_GENERATED, butterflies, check_ntt, golden_inverse, golden_transform
from chaindp.kernels.spec import Args, KernelSpec, Vector

__all__ = ["LDE", "check_blowup", "check_lde", "check_shift", "golden_extension"]


def check_shift(shift: Any, field: Field) -> int:
    """``shift`` as an int from 1 to p - 1; InputError for anything else."""
    try:
        number = operator.index(shift)
    except TypeError:
        raise InputError(f"shift is {type(shift).__name__}, expected an integer") from None
    if not 0 < number < field.prime:
        raise InputError(f"shift is {number}, expected 1 to {field.prime - 1}")
    return number


def check_lde(values: Any, blowup: Any, shift: Any, field: Any) -> tuple[np.ndarray, int, int]:
    """``values`` as a plain array, ``blowup`` and ``shift`` as ints. InputError unless they are what the contract
    says.
    """
    known = field_named(field)
    values, log2_size = check_ntt(values, field)
    return values, check_blowup(blowup, log2_size, known), check_shift(shift, known)


def check_blowup(blowup: Any, log2_size: int, field: Field) -> int:
    """``blowup`` as an int by which rows of 2^log2_size elements can be extended; InputError for anything else."""
    times = checks.count(blowup, "blowup")
    if times == 0 or times & (times - 1):
        raise InputError(f"blowup is {times}, expected a power of two")
    if log2_size + times.bit_length() - 1 > field.two_adicity:
        raise InputError(
            f"values has rows of {1 << log2_size} elements, and extended {times} times they exceed {field.name}'s "
            f"largest transform, 2^{field.two_adicity}"
        )
    return times


def golden_extension(values: Sequence[int], blowup: int, shift: int, field: Field) -> list[int]:
    """One row: its coefficients, the one of x^i times shift^i, and their values in the larger subgroup."""
    log2_size, p = len(values).bit_length() - 1, field.prime
    coefficients = golden_inverse(values, field.root_of_unity(log2_size), p)
    scaled = [value * pow(shift, place, p) % p for place, value in enumerate(coefficients)]
    root = field.root_of_unity(log2_size + blowup.bit_length() - 1)
    return golden_transform(scaled + [0] * (len(values) * (blowup - 1)), root, p)


def _golden(values: np.ndarray, blowup: int, shift: int, field: str = "babybear") -> np.ndarray:
    """Row by row."""
    values, blowup, shift = check_lde(values, blowup, shift, field)
    rows = [golden_extension(row, blowup, shift, FIELDS[field]) for row in values.tolist()]
    return np.array(rows, dtype=np.uint32).reshape(len(values), values.shape[1] * blowup)


def _generate(rng: np.random.Generator, size: int) -> Args:
    """``size`` elements as ``ntt`` has them, to be extended twice to the coset of the field's generator."""
    length = min(1 << (max(size, 1).bit_length() - 1), LARGEST_GENERATED)
    field = FIELDS["babybear"]
    return random_elements(rng, (size // length, length), field), 2, field.generator, field.name


def _units(values: np.ndarray, blowup: int, shift: int, field: str = "babybear") -> int:
    """Butterflies of radix 2 of both transforms."""
    columns, length = values.shape
    return butterflies(columns, length) + butterflies(columns, length * blowup)


def _vector(values: str, extended: str, blowup: int, shift: int, field: str) -> Vector:
    return Vector(
        (np.array([values.split()], dtype=np.uint32), blowup, shift, field),
        np.array([extended.split()], dtype=np.uint32),
        f"Plonky3, p3-dft 0.8.0, computed with Radix2Dit::coset_lde over {field}",
    )


LDE = KernelSpec(
    name="lde",
    summary=(
        'values u32[columns,n], canonical, natural order, blowup 2^b, shift, field "babybear" or "koalabear" -> '
        "values u32[columns,n * blowup] on the coset, natural order"
    ),
    unit="butterfly",
    generate=_generate,
    golden=_golden,
    units=_units,
    vectors=(
        _vector(
            "1445916853",
            "1445916853 1445916853",
            2,
            1,
            "babybear",
        ),
        _vector(
            "1570192262 1462547482",
            "1171598041 1650735158 1861141703 1382004586",
            2,
            31,
            "babybear",
        ),
        _vector(
            "1243418736 1605113284 314745076 933423019",
            "1441469019 1491991762 554560087 937190939 221736671 1055423455 1878934338 612093959",
            2,
            3,
            "babybear",
        ),
        _vector(
            "1243418736 1605113284 314745076 933423019",
            "638599188 267475997 660680064 689909430 532861005 2009942133 1482221518 499555800 1444994458 "
            "804422826 1213343678 1224623618 1480245464 1014859159 740454855 1682611267",
            4,
            31,
            "babybear",
        ),
        _vector(
            "690144139 1932656265 368537250 86683818 1533605441 1179429621 989535065 308724302",
            "1634288783 1046940980 2002553732 46297442 383175415 1503129809 564444764 21381110 2001818252 "
            "1252976852 1876784205 557331958 1257014098 868102484 1664176600 1717296847 716681708 "
            "1130924949 1197900949 1403600782 7166175 1681575835 1802868761 1422702332 1690205593 "
            "1136876521 344723323 146238123 1489656765 1700213802 1062067204 713054915 667412113 1810523938 "
            "1029028941 1370182126 1421730788 547267088 718216750 434912601 1724772655 568704239 324732209 "
            "816129423 644948360 7123791 606011135 1744459812 1607815528 815089624 1783996182 1937228799 "
            "953563271 917253054 633368723 534374055 1072853111 1340544719 542862281 812307248 932061029 "
            "1877915959 38161964 501134229",
            8,
            5,
            "babybear",
        ),
        _vector(
            "1172150487 1200302598 1911061294 661649559 1998634040 1065097488 658847305 1132381426 "
            "1398461632 641023251 574355066 1453913443 401219958 1729023973 238153980 75567956",
            "1172150487 597783651 1200302598 1728578853 1911061294 1229521023 661649559 811582002 "
            "1998634040 940293703 1065097488 774125144 658847305 1992935612 1132381426 242206082 1398461632 "
            "69340873 641023251 591237636 574355066 119780914 1453913443 1336800505 401219958 1383547188 "
            "1729023973 417337933 238153980 2008256282 75567956 55250134",
            2,
            1,
            "babybear",
        ),
        _vector(
            "690144139 1932656265 368537250 86683818 1533605441 1179429621 989535065 308724302",
            "357481563 1931683045 101667700 1953747328 1531157283 1256389543 188015704 1782439656",
            1,
            7,
            "babybear",
        ),
        _vector(
            "920820728",
            "920820728 920820728",
            2,
            1,
            "koalabear",
        ),
        _vector(
            "1820190273 962439056",
            "1902219930 315635603 880409399 336287293",
            2,
            31,
            "koalabear",
        ),
        _vector(
            "1515752500 1129766262 269652769 1751535688",
            "1469518942 1934569085 301610531 59718547 193712469 170722353 571158844 370990801",
            2,
            3,
            "koalabear",
        ),
        _vector(
            "1515752500 1129766262 269652769 1751535688",
            "1063604448 1281349279 1340732502 1407088297 1987756173 275210173 930297195 867788637 975882892 "
            "1721619919 551910321 30660932 639463706 1388527848 1843767201 230462920",
            4,
            31,
            "koalabear",
        ),
        _vector(
            "968663874 1744824911 264241855 1870469217 1947196374 1649019126 2119755146 691439014",
            "1036949379 2071186214 647527298 288114891 970862914 108908028 802804187 1792337325 871243897 "
            "1548843906 1318711723 1234674910 2036282294 2066626484 262769818 2069945979 1265846721 "
            "93113847 170423474 500819465 1266193161 219315668 1826134347 608421704 1340034865 435096674 "
            "1518080972 175186368 48494229 1694564234 546248723 147361735 1781445044 1011411614 5812989 "
            "932272382 232066103 42889260 246986681 1183035798 506798021 993058827 819622185 248109520 "
            "1307583244 2036999121 630204323 1491741517 1124187745 807123721 1332556730 294498956 798412829 "
            "1265575080 2056306091 1449136468 1198397412 34361848 1181461280 1189813726 334301877 "
            "1690025209 622742481 382922558",
            8,
            5,
            "koalabear",
        ),
        _vector(
            "2011675331 1087100360 1895822073 1485455844 159824013 739838430 805733713 188299914 1111325228 "
            "1644219091 1007613594 426717919 1912290568 2028724977 205195901 1370285395",
            "2011675331 93636836 1087100360 1020714413 1895822073 1607248917 1485455844 1342966321 "
            "159824013 2084322237 739838430 1493728085 805733713 452617645 188299914 1228772524 1111325228 "
            "1712630636 1644219091 306572006 1007613594 1768584310 426717919 1797559023 1912290568 "
            "1266397700 2028724977 123593963 205195901 31099509 1370285395 1749678226",
            2,
            1,
            "koalabear",
        ),
        _vector(
            "968663874 1744824911 264241855 1870469217 1947196374 1649019126 2119755146 691439014",
            "699646854 1972450771 1575485792 494202369 1048717100 1405935415 1132658480 795806303",
            1,
            7,
            "koalabear",
        ),
    ),
    sizes=(1 << 10, 1 << 16, 1 << 20),
)
