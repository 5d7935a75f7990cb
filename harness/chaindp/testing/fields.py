"""What the conformance of the field kernels has in common: which fields a backend has, and elements at the edges."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import ClassVar

import numpy as np

from chaindp.errors import CapabilityError
from chaindp.kernels import Args
from chaindp.kernels.fields import FIELDS, random_elements
from chaindp.testing.cases import Case
from chaindp.testing.kernel import KernelConformance

__all__ = ["FieldConformance", "edge_elements", "not_canonical", "unknown_fields"]


def edge_elements(prime: int) -> tuple[int, ...]:
    """Elements at which arithmetic modulo ``prime`` or in Montgomery form with R = 2^32 goes wrong first."""
    radix = (1 << 32) % prime
    return (0, 1, 2, prime - 1, prime - 2, prime // 2, prime // 2 + 1, radix, prime - radix, pow(radix, -1, prime))


def not_canonical(values: np.ndarray, field: str, *between: object) -> Iterator[Case]:
    """``values`` uint32 with one element that is no canonical one of ``field``: the first, a middle, the last.

    between: the arguments between the values and the field
    """
    prime = FIELDS[field].prime
    for at in sorted({0, values.size // 2, values.size - 1}):
        for wrong in (prime, prime + 1, 1 << 31, (1 << 32) - 1):
            spoiled = values % np.uint32(prime)
            spoiled.reshape(-1)[at] = wrong
            yield Case(f"{wrong} as element {at} over {field}", (spoiled, *between, field))


def unknown_fields(*args: object) -> Iterator[Case]:
    """The arguments before the field, over fields that there are none of."""
    for name in ("", "BABYBEAR", "goldilocks", None, 31):
        yield Case(f"the field {name!r}", (*args, name))


class FieldConformance(KernelConformance):
    """Of kernels whose first argument is an array of elements and whose last one names their field.

    fields: those that are tested. One that the backend refuses with a CapabilityError is left out, with its vectors; a
            backend that refuses all of them has no such kernel, and is told so by the first test
    """

    fields: ClassVar[tuple[str, ...]] = tuple(FIELDS)

    @classmethod
    def setup_class(cls) -> None:
        """Open the backend, and ask it which fields it has."""
        super().setup_class()
        cls.fields = tuple(name for name in cls.fields if cls._has(name)) or cls.fields[:1]
        vectors = tuple(vector for vector in cls.spec.vectors if vector.args[-1] in cls.fields)
        cls.spec = replace(cls.spec, vectors=vectors)

    @classmethod
    def _has(cls, field: str) -> bool:
        args = next((vector.args for vector in cls.spec.vectors if vector.args[-1] == field), None)
        if args is None:
            return True
        try:
            cls.tested.raw(args)
        except CapabilityError:
            return False
        except Exception:  # whatever is wrong with it, a test will say
            return True
        return True

    def bulk(self, rng: np.random.Generator, size: int) -> Args:
        """The generator's shapes, the fields taking turns from batch to batch."""
        *args, _ = self.spec.generate(rng, size)
        name = self.fields[size.bit_length() // 3 % len(self.fields)]
        field = FIELDS[name]
        drawn = (random_elements(rng, arg.shape, field) if isinstance(arg, np.ndarray) else arg for arg in args)
        return (*drawn, name)

    def altered(self, args: Args, rng: np.random.Generator) -> Args | None:
        """The same values but for one element in the middle."""
        values, *rest = args
        changed = values.copy()
        flat = changed.reshape(-1)
        flat[len(flat) // 2] = (int(flat[len(flat) // 2]) + 1) % FIELDS[rest[-1]].prime
        return (changed, *rest)
