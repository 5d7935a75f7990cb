"""The extension of degree 4 that challenges are drawn from, as the prover computes in it.

F[X] / (X^4 - w), w as the field states it. An element is four canonical coefficients, the constant one first.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from chaindp.chain.proof import loops
from chaindp.kernels.fields import FIELDS, Field

__all__ = ["Arithmetic", "Extension"]

Extension = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """Computing in the extension of a field, and what its compiled loops are called with.

    negative: -1/p modulo R = 2^32; squared: R^2 modulo p
    """

    field: Field
    w: int
    negative: np.uint32
    squared: np.uint32

    @classmethod
    def of(cls, name: str) -> Arithmetic:
        """Over the field of that name."""
        field = FIELDS[name]
        p = field.prime
        return cls(field, field.extension, np.uint32(-pow(p, -1, 1 << 32) % (1 << 32)), np.uint32(pow(2, 64, p)))

    @property
    def shift(self) -> int:
        """What moves the domain of a commitment off the rows: a generator of the multiplicative group."""
        return self.field.generator

    @property
    def p(self) -> np.uint32:
        """The prime, as the loops take it."""
        return np.uint32(self.field.prime)

    def montgomery(self, values: np.ndarray | int | Extension) -> np.ndarray:
        """Canonical elements in Montgomery form: uint32 of their shape."""
        return np.asarray(
            np.asarray(values, dtype=np.uint64) * np.uint64((1 << 32) % self.field.prime) % self.p
        ).astype(np.uint32)

    def add(self, a: Extension, b: Extension) -> Extension:
        """A + b."""
        p = self.field.prime
        return ((a[0] + b[0]) % p, (a[1] + b[1]) % p, (a[2] + b[2]) % p, (a[3] + b[3]) % p)

    def multiply(self, a: Extension, b: Extension) -> Extension:
        """A b."""
        p, w = self.field.prime, self.w
        return (
            (a[0] * b[0] + w * (a[1] * b[3] + a[2] * b[2] + a[3] * b[1])) % p,
            (a[0] * b[1] + a[1] * b[0] + w * (a[2] * b[3] + a[3] * b[2])) % p,
            (a[0] * b[2] + a[1] * b[1] + a[2] * b[0] + w * a[3] * b[3]) % p,
            (a[0] * b[3] + a[1] * b[2] + a[2] * b[1] + a[3] * b[0]) % p,
        )

    def scale(self, a: Extension, factor: int) -> Extension:
        """A times an element of the field itself."""
        p = self.field.prime
        return (a[0] * factor % p, a[1] * factor % p, a[2] * factor % p, a[3] * factor % p)

    def power(self, a: Extension, exponent: int) -> Extension:
        """a^exponent."""
        result: Extension = (1, 0, 0, 0)
        while exponent:
            if exponent & 1:
                result = self.multiply(result, a)
            a = self.multiply(a, a)
            exponent >>= 1
        return result

    def inner(self, weights: np.ndarray, values: np.ndarray) -> Extension:
        """The sum of products of two columns of elements, uint32[n, 4] each."""
        out = np.empty(4, dtype=np.uint64)
        loops.inner_product(weights, values, self.w, self.field.prime, out)
        return (int(out[0]), int(out[1]), int(out[2]), int(out[3]))

    def powers(self, base: Extension, count: int) -> np.ndarray:
        """uint32[count, 4]: 1, base, base^2, ..."""
        out = np.empty((count, 4), dtype=np.uint32)
        loops.element_powers(np.array(base, dtype=np.uint64), self.w, self.field.prime, out)
        return out
