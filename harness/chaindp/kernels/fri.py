"""The contract of ``fri_fold``: one round of FRI, a codeword folded to half its length with a challenge.

``codeword`` uint32[n, 4] is the values of a polynomial f at shift w^0, shift w^1, ... shift w^(n-1), in this order, w
as in ``ntt``; values and ``challenge`` uint32[4] are elements of the extension field of degree 4, the constant
coefficient first: polynomials modulo X^4 - 11 over BabyBear, X^4 - 3 over KoalaBear. n is a power of two, 2 or more,
and ``shift`` a canonical element of the prime field other than zero. With f(x) = e(x^2) + x o(x^2), the result
uint32[n/2, 4] is the values of e + challenge o at shift^2 (w^2)^i, in this order. Result i takes values i and i + n/2,
which belong to x and -x: (f(x) + f(-x)) / 2 + challenge (f(x) - f(-x)) / (2 x).

FRI: Ben-Sasson, Bentov, Horesh, Riabzev, ICALP 2018, https://doi.org/10.4230/LIPIcs.ICALP.2018.14. Plonky3 folds the
same way (``TwoAdicFriFolding::fold_matrix`` with arity 2), but keeps codewords in bit-reversed order and takes every
domain for the subgroup itself: there, the challenge takes in the shift.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from chaindp.errors import InputError
from chaindp.kernels.fields import FIELDS, Field, elements, field_named, random_elements
from chaindp.kernels.lde import check_shift
from chaindp.kernels.spec import Args, KernelSpec, Vector

__all__ = ["DEGREE", "FRI_FOLD", "check_codeword", "check_fold", "extension_product", "golden_fold"]

DEGREE = 4
"""Of the extension field over the prime field."""


def check_fold(codeword: Any, challenge: Any, shift: Any, field: Any) -> tuple[np.ndarray, np.ndarray, int]:
    """``codeword`` and ``challenge`` as plain arrays, and ``shift`` as an int. InputError unless they are what the
    contract says.
    """
    known = field_named(field)
    codeword = elements(codeword, "codeword", (None, DEGREE), known)
    challenge = elements(challenge, "challenge", (DEGREE,), known)
    check_codeword(len(codeword), known)
    return codeword, challenge, check_shift(shift, known)


def check_codeword(length: int, field: Field) -> None:
    """InputError unless a codeword of so many elements can be folded."""
    if length < 2 or length & (length - 1):
        raise InputError(f"codeword has {length} elements, expected a power of two, 2 or more")
    if length > 1 << field.two_adicity:
        raise InputError(f"codeword has {length} elements, and {field.name}'s largest domain is 2^{field.two_adicity}")


def extension_product(a: Sequence[int], b: Sequence[int], field: Field) -> list[int]:
    """The product of two elements of the extension field: as polynomials, and X^4 is W."""
    product = [0] * (2 * DEGREE - 1)
    for i, left in enumerate(a):
        for j, right in enumerate(b):
            product[i + j] += left * right
    high = [*product[DEGREE:], 0]
    return [(low + field.extension * above) % field.prime for low, above in zip(product[:DEGREE], high, strict=True)]


def golden_fold(
    codeword: Sequence[Sequence[int]], challenge: Sequence[int], shift: int, field: Field
) -> list[list[int]]:
    """Pair by pair."""
    p, half = field.prime, len(codeword) // 2
    root = field.root_of_unity(len(codeword).bit_length() - 1)
    halved, folded = (p + 1) // 2, []
    for place in range(half):
        a, b = codeword[place], codeword[place + half]
        point = shift * pow(root, place, p) % p
        even = [(left + right) * halved % p for left, right in zip(a, b, strict=True)]
        odd = [(left - right) * halved * pow(point, -1, p) % p for left, right in zip(a, b, strict=True)]
        product = extension_product(challenge, odd, field)
        folded.append([(left + right) % p for left, right in zip(even, product, strict=True)])
    return folded


def _golden(codeword: np.ndarray, challenge: np.ndarray, shift: int, field: str = "babybear") -> np.ndarray:
    """Pair by pair."""
    codeword, challenge, shift = check_fold(codeword, challenge, shift, field)
    folded = golden_fold(codeword.tolist(), challenge.tolist(), shift, FIELDS[field])
    return np.array(folded, dtype=np.uint32)


def _generate(rng: np.random.Generator, size: int) -> Args:
    """A codeword that is folded to the largest power of two up to ``size``, or to one element."""
    field = FIELDS["babybear"]
    length = 2 << (max(size, 1).bit_length() - 1)
    challenge = random_elements(rng, (DEGREE,), field)
    return random_elements(rng, (length, DEGREE), field), challenge, field.generator, field.name


def _units(codeword: np.ndarray, challenge: np.ndarray, shift: int, field: str = "babybear") -> int:
    """A fold makes one element of two."""
    return len(codeword) // 2


def _vector(codeword: str, challenge: str, folded: str, shift: int, field: str) -> Vector:
    return Vector(
        (
            np.array(codeword.split(), dtype=np.uint32).reshape(-1, DEGREE),
            np.array(challenge.split(), dtype=np.uint32),
            shift,
            field,
        ),
        np.array(folded.split(), dtype=np.uint32).reshape(-1, DEGREE),
        f"Plonky3, p3-fri 0.8.0, computed with TwoAdicFriFolding over {field}, the challenge divided by the shift",
    )


FRI_FOLD = KernelSpec(
    name="fri_fold",
    summary=(
        "codeword u32[n,4], canonical, n = 2^k, natural order, challenge u32[4], shift, "
        'field "babybear" or "koalabear" -> codeword u32[n/2,4], natural order'
    ),
    unit="fold",
    generate=_generate,
    golden=_golden,
    units=_units,
    vectors=(
        _vector(
            "745189242 428576111 1981725017 1296651742 500350159 810557093 1064023863 79838169",
            "1520089774 1596507381 1482018393 1685442644",
            "1028431254 563239537 434413406 1556197807",
            1,
            "babybear",
        ),
        _vector(
            "363684520 1193169107 369949325 1839669461 1626597659 1192320151 1608475037 913634679 "
            "1119580446 1113512019 1826784992 232667572 1199463598 175596723 5800499 765278365",
            "397820590 255559005 530221552 874478642",
            "335802053 300411649 261724300 1265650594 954788455 1535479410 755265550 658047938",
            1,
            "babybear",
        ),
        _vector(
            "909380250 1136831909 1226422512 1111152623 1570775274 1841837311 1383407107 163464269 "
            "1864001474 35549679 241762548 1812290094 1349303955 1147508771 705011356 663065529 1800948530 "
            "134328416 707910026 1400837550 24673574 183058681 906461710 1852194167 1033575731 516040864 "
            "1697249511 1171845128 1819335620 1456887471 1583821811 1757873518",
            "931811183 729349479 1081783328 558601115",
            "512011192 1601288845 628542991 393885311 1984919660 1578084199 1814470401 1857965823 614572872 "
            "1989977826 752797642 1375052753 1724981289 1051662068 1159457346 452705273",
            1,
            "babybear",
        ),
        _vector(
            "909380250 1136831909 1226422512 1111152623 1570775274 1841837311 1383407107 163464269 "
            "1864001474 35549679 241762548 1812290094 1349303955 1147508771 705011356 663065529 1800948530 "
            "134328416 707910026 1400837550 24673574 183058681 906461710 1852194167 1033575731 516040864 "
            "1697249511 1171845128 1819335620 1456887471 1583821811 1757873518",
            "931811183 729349479 1081783328 558601115",
            "808413404 1640892985 1865459805 708632598 1875126036 1290470573 646979848 1944469847 707493736 "
            "201203359 1676900118 1813013248 160087892 969396003 1924230513 17032400",
            31,
            "babybear",
        ),
        _vector(
            "150014551 366284596 1067238246 718580430 1751298766 1880937209 795509757 1167840922 578023351 "
            "1613757473 913711955 32592533 1728601646 807313924 1825848493 1170994940 1507016185 78134188 "
            "1128568459 393769413 1737188920 1841562443 1751745695 1105095448 1638973586 841898575 "
            "599689020 1944173320 753556229 656153112 241343751 1870091760 487950859 111799866 399815988 "
            "1626971906 913415155 1797758936 738256757 119263067 372147810 1833732627 1783712166 547882079 "
            "1151408788 1574787982 1701307387 1182042250 1488265073 812905144 1585528637 1022437496 "
            "1317324918 228763285 1228072166 1236594758 1067734475 741300445 1122961477 815582254 135951620 "
            "1384024796 597835641 1366269401",
            "380183604 467954884 255110520 1143531244",
            "1260245940 1072073367 245704231 1200139518 906562177 1034976882 1226280539 1104444745 "
            "1278291200 1576475867 335243819 1846289953 503549686 321672326 385684162 1254780690 1012402850 "
            "313745259 1148375822 614072665 802317595 631891835 1630052111 631820877 802885946 805661583 "
            "99132569 1611832965 1847871970 367570360 1593012626 1318294393",
            3,
            "babybear",
        ),
        _vector(
            "673775151 1989762043 930116173 1261146164 68266124 214194828 1385393639 237049663",
            "1094538167 631243507 81294816 416276670",
            "734127755 1054227744 83718840 1378213405",
            1,
            "koalabear",
        ),
        _vector(
            "257935378 595786256 419203221 1789267630 912973380 732287467 619259460 1007664280 574974167 "
            "1502948952 1952675989 638678511 1532902396 891104240 1568361551 635417313",
            "1461265659 1813224148 1697752171 297856034",
            "1668353794 1004326743 205866577 1208454263 1977040890 584649960 714709352 1159914346",
            1,
            "koalabear",
        ),
        _vector(
            "1148193672 1009863729 755706050 1086081257 1566393868 1089877278 1778988029 1925767693 "
            "538416242 1200518137 659455953 1283984269 867657003 1838190740 1639849489 1418337532 "
            "2053346337 391132162 1332898611 2000786126 261683679 2092376494 29966554 51850835 1557879781 "
            "798501482 754970799 722816741 1329052182 1079190781 1667258866 1659247124",
            "1959316301 1387523674 486182877 1613102779",
            "1345676361 1570527091 1706380168 599561934 128355147 1593204525 2061568556 1235880213 "
            "2012595683 168746068 1877454999 262779464 963955574 2040648398 834281963 1388113174",
            1,
            "koalabear",
        ),
        _vector(
            "1148193672 1009863729 755706050 1086081257 1566393868 1089877278 1778988029 1925767693 "
            "538416242 1200518137 659455953 1283984269 867657003 1838190740 1639849489 1418337532 "
            "2053346337 391132162 1332898611 2000786126 261683679 2092376494 29966554 51850835 1557879781 "
            "798501482 754970799 722816741 1329052182 1079190781 1667258866 1659247124",
            "1959316301 1387523674 486182877 1613102779",
            "492821728 41238746 1409322008 275801835 132637019 216544595 804337885 1752836416 48272243 "
            "10456461 1363555296 1254439366 2125006124 1889858381 733603989 571677192",
            31,
            "koalabear",
        ),
        _vector(
            "1741218431 248831658 1389163665 1715160802 349444978 2070694654 809087943 200150629 354635816 "
            "1459480354 156969287 282129496 1450686801 992773588 696154245 42663111 2015586299 1760040350 "
            "1258697184 805196660 480435105 1740477236 1654744376 884961096 627501064 132416541 723485152 "
            "663191473 906486705 394030213 1918397981 1431239004 948094846 1216055703 359054336 1187528149 "
            "1128879975 435141884 535031171 100190992 353502439 723657304 604652927 759640464 924844746 "
            "326906182 1716423704 767087165 549323911 1216256249 1537459476 1527818630 1611392496 "
            "1839060156 1218222359 1010603277 1659215375 598393182 1063417179 625270588 319110585 523170282 "
            "1503418729 1791359702",
            "1983189477 1473442896 650945687 1521958343",
            "1463702884 2067180940 1469002787 1789942491 1077070789 858534710 1048988869 834826103 "
            "1941530293 1554423243 1061699149 259756537 882497529 2113057687 248387766 1681304849 "
            "1240949499 1404977090 449020214 2061282885 1214019230 1235914429 166057962 464684564 729551108 "
            "1823602407 702453018 1473090602 1917056490 688672153 491126208 454019600",
            3,
            "koalabear",
        ),
    ),
    sizes=(1 << 10, 1 << 16, 1 << 20),
)
