"""The conformance of ``lde``: columns of values, extended from a subgroup to a coset of a larger one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import numpy as np
from hypothesis import strategies as st

from chaindp.kernels import Args
from chaindp.kernels.fields import FIELDS, Field, random_elements
from chaindp.testing.cases import Case, spoilt
from chaindp.testing.fields import FieldConformance, edge_elements, not_canonical, unknown_fields

__all__ = ["LdeConformance"]

_BATCH = 1 << 22
"""Elements that the result of a large batch has at most."""


class LdeConformance(FieldConformance):
    """``lde``: values u32[columns,n], blowup, shift and a field to values u32[columns,n * blowup].

    log2_sizes: of the rows that are compared with the golden reference
    blowups:    of all rows
    """

    kernel = "lde"
    log2_sizes: ClassVar[tuple[int, ...]] = tuple(range(9))
    blowups: ClassVar[tuple[int, ...]] = (1, 2, 4, 8)

    def _rows(self, columns: int, log2_size: int, blowup: int, shift: int, field: Field) -> Args:
        rng = self.rng(columns, log2_size, blowup)
        return random_elements(rng, (columns, 1 << log2_size), field), blowup, shift, field.name

    def edge_cases(self) -> Iterator[Case]:
        """No row, one, several of every small length; every blowup; shifts of and beside the subgroup."""
        for name in self.fields:
            field = FIELDS[name]
            shifts = (field.generator, 1, field.prime - 1, field.root_of_unity(5))
            for log2_size in self.log2_sizes:
                shift, blowup = shifts[log2_size % len(shifts)], self.blowups[log2_size % len(self.blowups)]
                what = f"one row of 2^{log2_size}, {blowup} times, over {name}"
                yield Case(what, self._rows(1, log2_size, blowup, shift, field))
            for columns, log2_size in ((0, 0), (0, 3), (2, 0), (3, 1), (5, 2), (33, 3), (3, 6)):
                for blowup in self.blowups:
                    what = f"{columns} rows of 2^{log2_size}, {blowup} times, over {name}"
                    yield Case(what, self._rows(columns, log2_size, blowup, shifts[0], field))
            for shift in shifts:
                yield Case(f"the shift {shift} over {name}", self._rows(3, 4, self.blowups[-1], shift, field))
            edges = np.array(edge_elements(field.prime), dtype=np.uint32)
            same = np.repeat(edges[:, None], 16, axis=1)
            yield Case(f"rows of one edge element over {name}", (same, 2, field.generator, name))
            mixed = self.rng(1).choice(edges, (9, 16))
            yield Case(f"edge elements in any order over {name}", (mixed, 2, field.prime - 2, name))

    def arguments(self) -> st.SearchStrategy[Args]:
        """Up to three rows of up to 2^4 elements, every other one at an edge, any shift."""

        def rows(name: str, columns: int, log2_size: int) -> st.SearchStrategy[Args]:
            prime, length = FIELDS[name].prime, 1 << log2_size
            element = st.one_of(st.sampled_from(edge_elements(prime)), st.integers(0, prime - 1))
            values = st.lists(element, min_size=columns * length, max_size=columns * length)
            arrays = values.map(lambda flat: np.array(flat, dtype=np.uint32).reshape(columns, length))
            shifts = st.integers(1, prime - 1)
            return st.tuples(arrays, st.sampled_from(self.blowups), shifts, st.just(name))

        shapes = st.tuples(st.sampled_from(self.fields), st.integers(0, 3), st.integers(0, 4))
        return shapes.flatmap(lambda shape: rows(*shape))

    def bad_arguments(self) -> Iterator[Case]:
        """Those of ``ntt``; blowups that are no power of two, and shifts that are no element or zero."""
        field = FIELDS[self.fields[0]]
        args = self._rows(3, 2, 2, field.generator, field)
        values, blowup, shift, name = args
        yield from spoilt(self.spec, args)
        yield from unknown_fields(values, blowup, shift)
        for other in self.fields:
            yield from not_canonical(values, other, blowup, shift)
        for length in (0, 3, 6, 1000):
            yield Case(f"rows of {length} elements", (np.zeros((2, length), dtype=np.uint32), blowup, shift, name))
        for times in (0, 3, -2, 6, 2.0, None, 1 << field.two_adicity, 1 << 70):
            yield Case(f"the blowup {times!r}", (values, times, shift, name))
        for other_shift in (0, -1, field.prime, 1 << 32, 3.0, None):
            yield Case(f"the shift {other_shift!r}", (values, blowup, other_shift, name))

    def bulk(self, rng: np.random.Generator, size: int) -> Args:
        """``size`` rows, of another length and blowup in every batch."""
        blowup = self.blowups[size.bit_length() % len(self.blowups)]
        length = max(2, min(1 << (1 + 3 * size.bit_length() % 10), _BATCH // (size * blowup)))
        name = self.fields[size.bit_length() // 3 % len(self.fields)]
        return random_elements(rng, (size, length), FIELDS[name]), blowup, FIELDS[name].generator, name
