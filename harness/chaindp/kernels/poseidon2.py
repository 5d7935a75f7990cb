"""The contract of ``poseidon2``: the permutation of width 16 over a 31-bit prime field, of many states at once.

Poseidon2 (Grassi, Khovratovich, Schofnegger, https://eprint.iacr.org/2023/323): an external linear layer, then external
rounds (a constant and the S-box on every element, the external linear layer), internal rounds (a constant and the S-box
on the first element, the internal linear layer), and external rounds again. The instances are Plonky3's default ones
(``default_babybear_poseidon2_16``, ``default_koalabear_poseidon2_16``): their 4x4 matrix, internal diagonals and
numbers of rounds. Their round constants come from the Grain LFSR of the Poseidon paper
(https://eprint.iacr.org/2019/458, appendix E).
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from typing import Any

import numpy as np

from chaindp.errors import InputError
from chaindp.kernels.fields import BABYBEAR, FIELDS, KOALABEAR, Field, elements, random_elements
from chaindp.kernels.spec import Args, KernelSpec, Vector

__all__ = [
    "INSTANCES",
    "POSEIDON2",
    "WIDTH",
    "Instance",
    "RoundConstants",
    "golden_permutation",
    "instance_of",
    "round_constants",
]

WIDTH = 16
"""Elements of a state."""


@dataclass(frozen=True, slots=True)
class Instance:
    """What makes Poseidon2 of width 16 a particular permutation.

    exponent:        of the S-box x -> x^exponent, relatively prime to p - 1
    external_rounds: in all, half of them before the internal ones
    diagonal:        V of the internal linear layer, the matrix 1 + Diag(V) in which 1 is the matrix of all ones; a
                     fraction is a quotient in the field
    """

    field: Field
    exponent: int
    external_rounds: int
    internal_rounds: int
    diagonal: tuple[Fraction, ...]

    def diagonal_elements(self) -> tuple[int, ...]:
        """``diagonal`` as canonical elements."""
        p = self.field.prime
        return tuple(value.numerator * pow(value.denominator, -1, p) % p for value in self.diagonal)


def _half(power: int) -> Fraction:
    return Fraction(1, 1 << power)


_BABYBEAR_DIAGONAL = (
    *(Fraction(value) for value in (-2, 1, 2)),
    _half(1),
    *(Fraction(value) for value in (3, 4)),
    -_half(1),
    *(Fraction(value) for value in (-3, -4)),
    *(_half(power) for power in (8, 2, 3, 27)),
    *(-_half(power) for power in (8, 4, 27)),
)

_KOALABEAR_DIAGONAL = (
    *_BABYBEAR_DIAGONAL[:9],
    *(_half(power) for power in (8, 3, 24)),
    *(-_half(power) for power in (8, 3, 4, 24)),
)

INSTANCES: Mapping[str, Instance] = {
    instance.field.name: instance
    for instance in (
        Instance(BABYBEAR, exponent=7, external_rounds=8, internal_rounds=13, diagonal=_BABYBEAR_DIAGONAL),
        Instance(KOALABEAR, exponent=3, external_rounds=8, internal_rounds=20, diagonal=_KOALABEAR_DIAGONAL),
    )
}
"""By the name of the field. Source of the figures: Plonky3, p3-baby-bear and p3-koala-bear 0.8.0, poseidon2.rs."""


def instance_of(name: Any) -> Instance:
    """The instance over the field of that name; InputError where there is none."""
    if not isinstance(name, str) or name not in INSTANCES:
        raise InputError(f"field {name!r} is unknown, expected one of {', '.join(INSTANCES)}")
    return INSTANCES[name]


@dataclass(frozen=True, slots=True)
class RoundConstants:
    """Round by round: 16 a round of the external ones, before and after the internal ones, which have one each."""

    first: tuple[tuple[int, ...], ...]
    internal: tuple[int, ...]
    last: tuple[tuple[int, ...], ...]


def _grain_bits(seed: Sequence[tuple[int, int]]) -> Iterator[int]:
    """The Grain LFSR in self-shrinking mode: of every two bits the second is kept where the first is 1.

    seed: (value, bits) of the fields of its first 80 bits, most significant bit first.
    """
    state = [value >> bit & 1 for value, bits in seed for bit in reversed(range(bits))]

    def step() -> int:
        bit = state[62] ^ state[51] ^ state[38] ^ state[23] ^ state[13] ^ state[0]
        state.append(bit)
        del state[0]
        return bit

    for _ in range(160):
        step()
    while True:
        keep, bit = step(), step()
        if keep:
            yield bit


@functools.cache
def round_constants(name: str = "babybear") -> RoundConstants:
    """The round constants over the field of that name: what is drawn and is no canonical element is drawn again."""
    instance = instance_of(name)
    bits = instance.field.prime.bit_length()
    # Prime field, S-box x^a, bits of p, width, external and internal rounds, ones.
    seed = ((1, 2), (0, 4), (bits, 12), (WIDTH, 12), (instance.external_rounds, 10), (instance.internal_rounds, 10))
    source = _grain_bits([*seed, ((1 << 30) - 1, 30)])

    def constant() -> int:
        while True:
            value = functools.reduce(lambda high, bit: 2 * high + bit, islice(source, bits), 0)
            if value < instance.field.prime:
                return value

    def external() -> tuple[tuple[int, ...], ...]:
        return tuple(tuple(constant() for _ in range(WIDTH)) for _ in range(instance.external_rounds // 2))

    first = external()
    internal = tuple(constant() for _ in range(instance.internal_rounds))
    return RoundConstants(first, internal, external())


_MATRIX = ((2, 3, 1, 1), (1, 2, 3, 1), (1, 1, 2, 3), (3, 1, 1, 2))


def _external_layer(state: Sequence[int], p: int) -> list[int]:
    """The 4x4 matrix on each four elements, and to every element the sum of its like in all four of them."""
    mixed = [
        sum(factor * state[start + column] for column, factor in enumerate(row))
        for start in range(0, WIDTH, 4)
        for row in _MATRIX
    ]
    sums = [sum(mixed[row::4]) for row in range(4)]
    return [(value + sums[index % 4]) % p for index, value in enumerate(mixed)]


def golden_permutation(state: Sequence[int], name: str = "babybear") -> list[int]:
    """The permutation of one state of 16 canonical elements."""
    instance, constants = instance_of(name), round_constants(name)
    p, exponent, diagonal = instance.field.prime, instance.exponent, instance.diagonal_elements()

    def external_rounds(state: list[int], rounds: Sequence[Sequence[int]]) -> list[int]:
        for added in rounds:
            state = _external_layer(
                [pow(value + constant, exponent, p) for value, constant in zip(state, added, strict=True)], p
            )
        return state

    state = external_rounds(_external_layer(state, p), constants.first)
    for added in constants.internal:
        state[0] = pow(state[0] + added, exponent, p)
        total = sum(state)
        state = [(total + factor * value) % p for factor, value in zip(diagonal, state, strict=True)]
    return external_rounds(state, constants.last)


def _golden(states: np.ndarray, field: str = "babybear") -> np.ndarray:
    """State by state."""
    states = elements(states, "states", (None, WIDTH), instance_of(field).field)
    permuted = [golden_permutation(state, field) for state in states.tolist()]
    return np.array(permuted, dtype=np.uint32).reshape(-1, WIDTH)


def _generate(rng: np.random.Generator, size: int) -> Args:
    return random_elements(rng, (size, WIDTH), FIELDS["babybear"]), "babybear"


def _units(states: np.ndarray, field: str = "babybear") -> int:
    return len(states)


def _numbers(text: str) -> list[int]:
    return [int(number) for number in text.split()]


def _vector(field: Field, state: Sequence[int], permuted: Sequence[int], source: str) -> Vector:
    return Vector(
        (np.array([state], dtype=np.uint32), field.name), np.array([permuted], dtype=np.uint32), f"Plonky3, {source}"
    )


_TEST_STATE = _numbers(
    "894848333 1437655012 1200606629 1690012884 71131202 1749206695 1717947831 120589055 "
    "19776022 42382981 1831865506 724844064 171220207 1299207443 227047920 1783754913"
)
_COMPUTED = "p3-baby-bear 0.8.0, computed with default_babybear_poseidon2_16"
_COMPUTED_KOALABEAR = "p3-koala-bear 0.8.0, computed with default_koalabear_poseidon2_16"

POSEIDON2 = KernelSpec(
    name="poseidon2",
    summary='states u32[N,16], canonical, field "babybear" or "koalabear" -> states u32[N,16], permuted',
    unit="permutation",
    generate=_generate,
    golden=_golden,
    units=_units,
    vectors=(
        _vector(
            BABYBEAR,
            _TEST_STATE,
            _numbers(
                "516096821 90309867 1101817252 1660784290 360715097 1789519026 1788910906 563338433 319524748 "
                "1741414159 1650859320 894311162 1121347488 1692793758 1052633829 1344246938"
            ),
            "p3-baby-bear 0.8.0, test_default_babybear_poseidon2_width_16",
        ),
        _vector(
            BABYBEAR,
            (0,) * WIDTH,
            _numbers(
                "1168947398 128782440 747404447 883925857 360581875 1704698758 1878363991 1054281681 682225194 "
                "705839125 1218819873 41544645 1095344608 174996601 1678438226 11259290"
            ),
            _COMPUTED,
        ),
        _vector(
            BABYBEAR,
            range(WIDTH),
            _numbers(
                "1906786279 1737026427 1959749225 700325316 1638050605 1021608788 1726691001 1761127344 "
                "1552405120 417318995 36799261 1215172152 614923223 1300746575 957311597 304856115"
            ),
            _COMPUTED,
        ),
        _vector(
            BABYBEAR,
            (BABYBEAR.prime - 1,) * WIDTH,
            _numbers(
                "1233564084 138281517 1431982993 585402190 417047365 1462994434 584596381 883853858 1957702061 "
                "1422117949 1077349319 355468137 1629297269 17043753 1065643784 679123220"
            ),
            _COMPUTED,
        ),
        _vector(
            KOALABEAR,
            _TEST_STATE,
            _numbers(
                "1934285469 604889435 133449501 1026180808 1830659359 176667110 1391183747 351743874 1238264085 "
                "1292768839 2023573270 1201586780 1360691759 1230682461 748270449 651545025"
            ),
            "p3-koala-bear 0.8.0, test_default_koalabear_poseidon2_width_16",
        ),
        _vector(
            KOALABEAR,
            (0,) * WIDTH,
            _numbers(
                "1467453764 68262570 2085334433 1711169726 869537427 698494029 1998923102 727938840 1236421175 "
                "857433239 1995651691 1526804549 968729910 15322618 1511105384 1900792116"
            ),
            _COMPUTED_KOALABEAR,
        ),
        _vector(
            KOALABEAR,
            range(WIDTH),
            _numbers(
                "1259554834 663463928 1989430097 476523442 836740795 1803459961 1229318262 2023956904 "
                "2054405130 1556655036 1455339712 1471465890 423337459 353979748 1203410294 1592576868"
            ),
            _COMPUTED_KOALABEAR,
        ),
        _vector(
            KOALABEAR,
            (KOALABEAR.prime - 1,) * WIDTH,
            _numbers(
                "2099104886 1135614414 2072416469 1694003856 938430089 977761515 890195797 1576442388 "
                "1081657563 1229705866 850266868 1739002224 1460530344 1003261640 2107563608 1028339170"
            ),
            _COMPUTED_KOALABEAR,
        ),
    ),
    sizes=(1 << 6, 1 << 12, 1 << 16),
)
