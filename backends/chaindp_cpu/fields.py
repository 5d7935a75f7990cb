"""Arithmetic modulo a 31-bit prime in vectors of 32-bit lanes, as LLVM code.

Sums and differences work on canonical elements. Products are Montgomery's, with R = 2^32 and signed: the lanes of a
vector go into two vectors of 64-bit lanes, the even and the odd ones, of which the CPU multiplies the lower halves
(``vpmuldq``), and the result is in the upper halves. A signed factor may be any 32-bit number as long as the other one
is between -p and p, so neither sums nor products need a correction before they are multiplied again.

P. L. Montgomery, Modular multiplication without trial division, Mathematics of Computation 44 (1985); signed, as in
G. Seiler, https://eprint.iacr.org/2018/039.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from llvmlite import ir

from chaindp.kernels.fields import Field
from chaindp_cpu.simd import Lanes, has_feature

__all__ = ["Halves", "Modular", "inverse_of_prime", "montgomery"]

RADIX = 1 << 32


def montgomery(value: int, field: Field) -> int:
    """``value`` times R: a factor that makes a Montgomery product a plain one."""
    return value * RADIX % field.prime


def inverse_of_prime(field: Field) -> int:
    """1/p modulo R."""
    return pow(field.prime, -1, RADIX)


class Halves(NamedTuple):
    """The even and the odd lanes of a vector, in 64-bit lanes: a factor in the lower half of each, or a product in the
    upper half.
    """

    even: ir.Value
    odd: ir.Value


class Modular:
    """Emits operations modulo ``prime`` on vectors of ``v``'s lanes, of 32 bits each.

    prime, inverse: p and 1/p modulo 2^32, in every lane
    """

    _WHOLE = has_feature("avx512dq")

    def __init__(self, v: Lanes, prime: ir.Value, inverse: ir.Value) -> None:
        self.v = v
        self.builder = v.builder
        self.wide = Lanes(v.builder, 64, v.count // 2)
        self.prime = prime
        self._prime = self.halves(prime).even
        self._inverse = self.halves(inverse).even

    def add(self, a: ir.Value, b: ir.Value) -> ir.Value:
        """The canonical sum of canonical elements."""
        return self.reduced(self.builder.add(a, b))

    def sub(self, a: ir.Value, b: ir.Value) -> ir.Value:
        """The canonical difference of canonical elements."""
        return self.canonical(self.builder.sub(a, b))

    def reduced(self, value: ir.Value) -> ir.Value:
        """An unsigned number below 2p, canonical: where it is below p, p less wraps to more than it is."""
        return self.v.minimum(value, self.builder.sub(value, self.prime))

    def canonical(self, value: ir.Value) -> ir.Value:
        """A signed number between -p and p, canonical: where it is negative, p more is the lesser unsigned number."""
        return self.v.minimum(value, self.builder.add(value, self.prime))

    def halved(self, value: ir.Value) -> ir.Value:
        """Half of a canonical element, canonical: an odd one takes p's half, rounded up, beside its own."""
        builder, one = self.builder, self.v.constant(1)
        odd = builder.sub(self.v.constant(0), builder.and_(value, one))
        half_prime = builder.add(builder.lshr(self.prime, one), one)
        return builder.add(builder.lshr(value, one), builder.and_(odd, half_prime))

    def halves(self, value: ir.Value) -> Halves:
        """A vector as two of factors."""
        whole = self.builder.bitcast(value, self.wide.type)
        return Halves(self.factor(whole), self._down(whole))

    def factor(self, value: ir.Value) -> ir.Value:
        """64-bit lanes as factors: their lower halves count."""
        # Sign-extended, which says that 32 bits by 32 are to be multiplied; the CPU's instruction looks at no more.
        half = self.wide.constant(32)
        return self.builder.ashr(self.builder.shl(value, half), half)

    def _down(self, value: ir.Value) -> ir.Value:
        return self.builder.ashr(value, self.wide.constant(32))

    def products(self, pairs: Sequence[tuple[Halves, Halves]]) -> list[Halves]:
        """The Montgomery products of pairs of factors, in the upper halves.

        Step by step for all of them, as a CPU can only look so far ahead for what need not wait.
        """
        return self.reductions([self.whole(*pair) for pair in pairs])

    def whole(self, a: Halves, b: Halves) -> Halves:
        """The products of factors as they are, 64 bits each."""
        return Halves(self.builder.mul(a.even, b.even), self.builder.mul(a.odd, b.odd))

    def plus(self, a: Halves, b: Halves) -> Halves:
        """The sums of whole products, which must keep within p^2."""
        return Halves(self.builder.add(a.even, b.even), self.builder.add(a.odd, b.odd))

    def reductions(self, products: Sequence[Halves]) -> list[Halves]:
        """Whole products, each between -p^2 and p^2, divided by R: in the upper halves, between -p and p."""
        builder = self.builder
        whole = [part for product in products for part in product]
        quotients = [self._kept_whole(builder.mul(self.factor(part), self._inverse)) for part in whole]
        multiples = [builder.mul(self.factor(quotient), self._prime) for quotient in quotients]
        out = [builder.sub(part, multiple) for part, multiple in zip(whole, multiples, strict=True)]
        return [Halves(even, odd) for even, odd in zip(out[::2], out[1::2], strict=True)]

    def product(self, a: Halves, b: Halves) -> Halves:
        """The Montgomery product of two factors, in the upper halves."""
        return self.products([(a, b)])[0]

    def _kept_whole(self, value: ir.Value) -> ir.Value:
        """The same value, of which the compiler may not say that its upper halves do not matter.

        It would multiply 64 bits by 64 then, where the CPU has an instruction for that: three of the other kind inside.
        """
        if self._WHOLE and self.wide.count == 8:
            kind = ir.FunctionType(value.type, [value.type])
            return self.builder.call(ir.InlineAsm(kind, "", "=v,0"), [value])
        return value

    def again(self, product: Halves) -> Halves:
        """A product as a factor."""
        return Halves(self._down(product.even), self._down(product.odd))

    def joined(self, product: Halves) -> ir.Value:
        """A product as one vector of signed numbers between -p and p."""
        count = self.v.count
        even, odd = (self.builder.bitcast(half, self.v.type) for half in product)
        return self.v.shuffle(even, odd, [lane + 1 if lane % 2 == 0 else count + lane for lane in range(count)])

    def times(self, value: ir.Value, factor: ir.Value) -> ir.Value:
        """The canonical Montgomery product of two vectors, of which one is between -p and p."""
        return self.canonical(self.joined(self.product(self.halves(value), self.halves(factor))))
