"""The conformance of ``ntt`` and ``intt``: rows of coefficients to their values at the powers of a root of unity, and
back.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import numpy as np
from hypothesis import strategies as st

from chaindp.kernels import Args
from chaindp.kernels.fields import FIELDS, Field, random_elements
from chaindp.testing.cases import Case, spoilt
from chaindp.testing.fields import FieldConformance, edge_elements, not_canonical, unknown_fields
from chaindp.testing.offences import Fault

__all__ = ["InttConformance", "NttConformance", "value_at"]

_BATCH = 1 << 24
"""Elements that a large batch has at most."""


class NttConformance(FieldConformance):
    """``ntt``: values u32[columns,n] and a field to as many values.

    log2_sizes:   of the transforms that are compared with the golden reference
    largest_log2: of the transforms that are held to the definition at a few points, and turned back by a second one;
                  nothing longer is asked for
    """

    kernel = "ntt"
    log2_sizes: ClassVar[tuple[int, ...]] = tuple(range(11))
    largest_log2: ClassVar[int] = 16

    def _sizes(self) -> list[int]:
        return [log2_size for log2_size in self.log2_sizes if log2_size <= self.largest_log2]

    def generated(self, size: int, stream: int = 0) -> Args | None:
        """The generator's input, in rows of at most 2^largest_log2."""
        args = super().generated(size, stream)
        if args is None or args[0].shape[1] <= 1 << self.largest_log2:
            return args
        return args[0].reshape(-1, 1 << self.largest_log2), *args[1:]

    def edge_cases(self) -> Iterator[Case]:
        """No row, one, several of every small length; a single coefficient in every place; edge elements."""
        for name in self.fields:
            field = FIELDS[name]
            for log2_size in self._sizes():
                yield Case(f"one row of 2^{log2_size} over {name}", self._rows(1, log2_size, field))
            for columns, log2_size in ((0, 0), (0, 3), (2, 0), (3, 1), (5, 2), (33, 3), (4, 6), (3, 8)):
                if log2_size <= self.largest_log2:
                    yield Case(f"{columns} rows of 2^{log2_size} over {name}", self._rows(columns, log2_size, field))
            for length in (1, 2, 16):
                if length <= 1 << self.largest_log2:
                    yield from self._plain_rows(length, field)

    def _rows(self, columns: int, log2_size: int, field: Field) -> Args:
        rng = self.rng(columns, log2_size)
        return random_elements(rng, (columns, 1 << log2_size), field), field.name

    def _plain_rows(self, length: int, field: Field) -> Iterator[Case]:
        one = np.zeros((length, length), dtype=np.uint32)
        np.fill_diagonal(one, 1)
        yield Case(f"one among zeros in rows of {length} over {field.name}", (one, field.name))
        np.fill_diagonal(one, field.prime - 1)
        yield Case(f"the largest among zeros in rows of {length} over {field.name}", (one, field.name))
        edges = np.array(edge_elements(field.prime), dtype=np.uint32)
        same = np.repeat(edges[:, None], length, axis=1)
        yield Case(f"rows of {length} times one edge element over {field.name}", (same, field.name))
        mixed = self.rng(length).choice(edges, (9, length))
        yield Case(f"edge elements in any order in rows of {length} over {field.name}", (mixed, field.name))

    def arguments(self) -> st.SearchStrategy[Args]:
        """Up to three rows of up to 2^5 elements, every other one at an edge."""

        def rows(name: str, columns: int, log2_size: int) -> st.SearchStrategy[Args]:
            prime, length = FIELDS[name].prime, 1 << log2_size
            element = st.one_of(st.sampled_from(edge_elements(prime)), st.integers(0, prime - 1))
            values = st.lists(element, min_size=columns * length, max_size=columns * length)
            return values.map(lambda flat: (np.array(flat, dtype=np.uint32).reshape(columns, length), name))

        shapes = st.tuples(st.sampled_from(self.fields), st.integers(0, 3), st.integers(0, min(5, self.largest_log2)))
        return shapes.flatmap(lambda shape: rows(*shape))

    def bad_arguments(self) -> Iterator[Case]:
        """Wrong types, dtypes and shapes; lengths without a root of unity; elements that are not canonical."""
        args = self._rows(3, 2, FIELDS[self.fields[0]])
        values, name = args
        yield from spoilt(self.spec, args)
        yield from unknown_fields(values)
        for field in self.fields:
            yield from not_canonical(values, field)
        for length in (0, 3, 6, 12, 1000):
            yield Case(f"rows of {length} elements", (np.zeros((2, length), dtype=np.uint32), name))
        for field in self.fields:
            longest = 1 << (FIELDS[field].two_adicity + 1)
            yield Case(f"no row of {longest} elements over {field}", (np.zeros((0, longest), dtype=np.uint32), field))

    def bulk(self, rng: np.random.Generator, size: int) -> Args:
        """``size`` rows, of another length in every batch."""
        log2_size = min(1 + 3 * size.bit_length() % 8, self.largest_log2)
        length = max(2, min(1 << log2_size, _BATCH // size)) if self.largest_log2 else 1
        name = self.fields[size.bit_length() // 3 % len(self.fields)]
        return random_elements(rng, (size, length), FIELDS[name]), name

    def test_every_length_by_the_definition(self) -> None:
        """Values at a few powers of the root, and the coefficients again, times n and backwards, by a second transform.

        Together they say that a transform is right at lengths that the golden reference takes long for.
        """
        for name in self.fields:
            for log2_size in range(self.largest_log2 + 1):
                self._by_the_definition(log2_size, FIELDS[name])

    def _by_the_definition(self, log2_size: int, field: Field) -> None:
        args = self._rows(1, log2_size, field)
        what = f"a row of 2^{log2_size} over {field.name}"
        first = self.tested.run(args).output
        length = 1 << log2_size
        root, factor = self._point(log2_size, field)
        for place in sorted({0, 1 % length, length // 3, length // 2, length - 1}):
            value = value_at(args[0][0], pow(root, place, field.prime), field.prime)
            expected = value * factor % field.prime
            if first.shape != args[0].shape or int(first[0, place]) != expected:
                detail = f"{what}: result {place} is not {expected}"
                raise self.tested.offence(Fault.WRONG, detail)
        second = self.tested.run((first, field.name)).output
        scale = np.uint64(length * factor**2 % field.prime)
        backwards = np.roll(args[0][:, ::-1], 1, axis=1).astype(np.uint64) * scale % np.uint64(field.prime)
        wrong = int((second != backwards).sum())
        if wrong:
            detail = f"{what}: {wrong} of its elements are others after a second transform"
            raise self.tested.offence(Fault.WRONG, detail)

    def _point(self, log2_size: int, field: Field) -> tuple[int, int]:
        """A result is the row's value, as a polynomial, at a power of the first, times the second."""
        return field.root_of_unity(log2_size), 1


class InttConformance(NttConformance):
    """``intt``: the other way round, tested in the same ways."""

    kernel = "intt"

    def _point(self, log2_size: int, field: Field) -> tuple[int, int]:
        return pow(field.root_of_unity(log2_size), -1, field.prime), pow(1 << log2_size, -1, field.prime)


def value_at(coefficients: np.ndarray, point: int, prime: int) -> int:
    """The polynomial's value at ``point``: halves of it side by side, then pairs of values, and so on."""
    values = coefficients.astype(np.uint64)
    while len(values) > 1:
        values = (values[::2] + values[1::2] * np.uint64(point)) % np.uint64(prime)
        point = point * point % prime
    return int(values[0])
