"""The conformance of ``poseidon2``: states of 16 field elements, permuted."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import numpy as np
from hypothesis import strategies as st

from chaindp.kernels import Args
from chaindp.kernels.fields import FIELDS, random_elements
from chaindp.kernels.poseidon2 import WIDTH
from chaindp.testing.cases import Case, spoilt
from chaindp.testing.fields import FieldConformance, edge_elements, not_canonical, unknown_fields

__all__ = ["Poseidon2Conformance"]


class Poseidon2Conformance(FieldConformance):
    """``poseidon2``: states u32[N,16] and a field to as many states."""

    kernel = "poseidon2"
    counts: ClassVar[tuple[int, ...]] = (0, 1, 2, 3, 5, 7, 8, 9, 15, 16, 17, 33)

    def edge_cases(self) -> Iterator[Case]:
        """Batches of every small size; states of one value, with one element of another, and of edge elements."""
        for name in self.fields:
            prime = FIELDS[name].prime
            for count in self.counts:
                states = random_elements(self.rng(count), (count, WIDTH), FIELDS[name])
                yield Case(f"{count} states over {name}", (states, name))
            edges = edge_elements(prime)
            same = np.repeat(np.array(edges, dtype=np.uint32)[:, None], WIDTH, axis=1)
            yield Case(f"states of one edge element over {name}", (same, name))
            one = np.zeros((WIDTH, WIDTH), dtype=np.uint32)
            np.fill_diagonal(one, 1)
            yield Case(f"one among zeros over {name}", (one, name))
            np.fill_diagonal(one, prime - 1)
            yield Case(f"the largest among zeros over {name}", (one, name))
            yield Case(f"zero among the largest over {name}", (np.uint32(prime - 1) - one, name))
            mixed = self.rng(1).choice(np.array(edges, dtype=np.uint32), (17, WIDTH))
            yield Case(f"edge elements in any order over {name}", (mixed, name))
            yield Case(f"one state nine times over {name}", (np.repeat(mixed[:1], 9, axis=0), name))

    def arguments(self) -> st.SearchStrategy[Args]:
        """Up to four states, every other element at an edge."""

        def states(name: str) -> st.SearchStrategy[Args]:
            prime = FIELDS[name].prime
            element = st.one_of(st.sampled_from(edge_elements(prime)), st.integers(0, prime - 1))
            rows = st.lists(st.lists(element, min_size=WIDTH, max_size=WIDTH), max_size=4)
            return rows.map(lambda values: (np.array(values, dtype=np.uint32).reshape(-1, WIDTH), name))

        return st.sampled_from(self.fields).flatmap(states)

    def bad_arguments(self) -> Iterator[Case]:
        """Wrong types, dtypes, shapes and widths; elements that are not canonical; unknown fields."""
        args = self.some(3)
        states = args[0]
        yield from spoilt(self.spec, args)
        yield from unknown_fields(states)
        for name in self.fields:
            yield from not_canonical(states, name)
        yield Case("states of 17 elements", (np.zeros((3, WIDTH + 1), dtype=np.uint32), *args[1:]))
        yield Case("no state of no element", (np.zeros((0, 0), dtype=np.uint32), *args[1:]))
