"""31-bit prime fields, their roots of unity, and the check of arrays of their elements.

An element is canonical: an integer from 0 to p - 1, one ``uint32`` of an array. How a backend represents it inside
(Montgomery form, several in a vector) is its own affair.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from chaindp.errors import InputError
from chaindp.kernels import checks

__all__ = ["BABYBEAR", "FIELDS", "KOALABEAR", "Field", "elements", "field_named", "random_elements"]

_PART = 1 << 16


@dataclass(frozen=True, slots=True)
class Field:
    """A prime field whose multiplicative group has a large subgroup of a power of two.

    prime:         p, below 2^31
    two_adicity:   the largest k for which 2^k divides p - 1
    two_adic_root: generates the subgroup of order 2^two_adicity
    generator:     of the whole multiplicative group
    extension:     W, for which X^4 - W is irreducible: the extension field of degree 4 consists of polynomials modulo
                   X^4 - W, an element of four coefficients, the constant term first
    """

    name: str
    prime: int
    two_adicity: int
    two_adic_root: int
    generator: int
    extension: int

    def root_of_unity(self, log2_size: int) -> int:
        """The generator of the subgroup of order 2^log2_size: each is the square of the next larger one's."""
        return pow(self.two_adic_root, 1 << (self.two_adicity - log2_size), self.prime)


# The root is 31^15: 31 generates the whole group, whose order is 15 * 2^27. Source: Plonky3, p3-baby-bear 0.8.0,
# MONTY_GEN, TWO_ADIC_GENERATORS, and W of its BinomialExtensionData<4>.
BABYBEAR = Field("babybear", 2**31 - 2**27 + 1, 27, 440564289, generator=31, extension=11)

# Likewise: 3^127, and the order is 127 * 2^24. Source: Plonky3, p3-koala-bear 0.8.0, the same names.
KOALABEAR = Field("koalabear", 2**31 - 2**24 + 1, 24, 1791270792, generator=3, extension=3)

FIELDS: Mapping[str, Field] = {field.name: field for field in (BABYBEAR, KOALABEAR)}
"""By the name that kernels take. A backend may have one of them only: it says CapabilityError of the other."""


def field_named(name: Any) -> Field:
    """The field of that name; InputError where there is none."""
    if not isinstance(name, str) or name not in FIELDS:
        raise InputError(f"field {name!r} is unknown, expected one of {', '.join(FIELDS)}")
    return FIELDS[name]


def elements(value: Any, name: str, shape: tuple[int | None, ...], field: Field) -> np.ndarray:
    """``value`` as a plain uint32 array of canonical elements of ``field``, if it has ``shape`` (None stands for any
    length). InputError otherwise.
    """
    array = checks.array(value, name, np.uint32, shape)
    flat = array.reshape(-1)
    # Part by part: a temporary of the size of the whole array would cost more than the comparison.
    for start in range(0, len(flat), _PART):
        part = flat[start : start + _PART]
        if int(part.max()) >= field.prime:
            at = start + int((part >= field.prime).argmax())
            where = ",".join(str(int(index)) for index in np.unravel_index(at, array.shape))
            raise InputError(f"{name} holds {flat[at]} at [{where}], which is not below {field.name}'s {field.prime}")
    return array


def random_elements(rng: np.random.Generator, shape: tuple[int, ...], field: Field) -> np.ndarray:
    """uint32 array of uniform canonical elements."""
    return rng.integers(0, field.prime, shape, dtype=np.uint32)
