"""The conformance of ``fri_fold``: codewords over an extension field, folded to half their length."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
from hypothesis import strategies as st

from chaindp.kernels import Args
from chaindp.kernels.fields import FIELDS, Field, random_elements
from chaindp.kernels.fri import DEGREE
from chaindp.testing.cases import Case, spoilt
from chaindp.testing.fields import FieldConformance, edge_elements, not_canonical, unknown_fields

__all__ = ["FriFoldConformance"]


class FriFoldConformance(FieldConformance):
    """``fri_fold``: codeword u32[n,4], challenge u32[4], shift and a field to a codeword u32[n/2,4].

    log2_sizes: of the codewords that are compared with the golden reference
    """

    kernel = "fri_fold"
    log2_sizes: ClassVar[tuple[int, ...]] = tuple(range(1, 11))
    largest: ClassVar[int] = 1 << 20

    def _codeword(self, log2_size: int, shift: int, field: Field) -> Args:
        rng = self.rng(log2_size)
        challenge = random_elements(rng, (DEGREE,), field)
        return random_elements(rng, (1 << log2_size, DEGREE), field), challenge, shift, field.name

    def edge_cases(self) -> Iterator[Case]:
        """Every small length, challenges of few coefficients, shifts of and beside the subgroup, edge elements."""
        for name in self.fields:
            field = FIELDS[name]
            for log2_size in self.log2_sizes:
                what = f"a codeword of 2^{log2_size} over {name}"
                yield Case(what, self._codeword(log2_size, field.generator, field))
            codeword, challenge, shift, _ = self._codeword(4, field.generator, field)
            for other in (1, field.prime - 1, field.root_of_unity(4)):
                yield Case(f"the shift {other} over {name}", (codeword, challenge, other, name))
            for place in range(DEGREE):
                for value in (1, field.prime - 1):
                    single = np.zeros(DEGREE, dtype=np.uint32)
                    single[place] = value
                    what = f"a challenge of {value} times X^{place} over {name}"
                    yield Case(what, (codeword, single, shift, name))
            yield Case(f"the challenge zero over {name}", (codeword, np.zeros(DEGREE, np.uint32), shift, name))
            edges = np.array(edge_elements(field.prime), dtype=np.uint32)
            for value in edges:
                same = np.full((8, DEGREE), value)
                yield Case(f"{value} everywhere over {name}", (same, same[0].copy(), shift, name))
            mixed = self.rng(1).choice(edges, (64, DEGREE))
            yield Case(f"edge elements in any order over {name}", (mixed, mixed[7].copy(), shift, name))

    def arguments(self) -> st.SearchStrategy[Args]:
        """Up to 2^4 elements, every other coefficient at an edge, any challenge and shift."""

        def codewords(name: str, log2_size: int) -> st.SearchStrategy[Args]:
            prime, length = FIELDS[name].prime, DEGREE << log2_size
            element = st.one_of(st.sampled_from(edge_elements(prime)), st.integers(0, prime - 1))

            def arrays(count: int) -> st.SearchStrategy[Any]:
                return st.lists(element, min_size=count, max_size=count).map(lambda v: np.array(v, dtype=np.uint32))

            codeword = arrays(length).map(lambda flat: flat.reshape(-1, DEGREE))
            return st.tuples(codeword, arrays(DEGREE), st.integers(1, prime - 1), st.just(name))

        shapes = st.tuples(st.sampled_from(self.fields), st.integers(1, 4))
        return shapes.flatmap(lambda shape: codewords(*shape))

    def bad_arguments(self) -> Iterator[Case]:
        """Wrong types, dtypes and shapes; lengths that cannot be halved; elements and shifts that are none."""
        field = FIELDS[self.fields[0]]
        args = self._codeword(3, field.generator, field)
        codeword, challenge, shift, name = args
        yield from spoilt(self.spec, args)
        yield from unknown_fields(codeword, challenge, shift)
        for other in self.fields:
            small = challenge % np.uint32(FIELDS[other].prime)
            yield from not_canonical(codeword, other, small, shift)
            wrong = small.copy()
            wrong[-1] = FIELDS[other].prime
            good = codeword % np.uint32(FIELDS[other].prime)
            yield Case(f"a challenge that is no element over {other}", (good, wrong, shift, other))
        for length in (0, 1, 3, 6):
            yield Case(f"a codeword of {length}", (np.zeros((length, DEGREE), np.uint32), challenge, shift, name))
        yield Case("a challenge of three", (codeword, challenge[:3].copy(), shift, name))
        for other_shift in (0, -1, field.prime, 1 << 32, 3.0, None):
            yield Case(f"the shift {other_shift!r}", (codeword, challenge, other_shift, name))
