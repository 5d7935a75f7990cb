"""What a kernel is: an operation with an exact contract over numpy arrays that backends may implement."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from chaindp.kernels.kernelset import KernelSet

__all__ = ["Args", "KernelSpec", "Vector"]

Args = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Vector:
    """A fixed test vector: positional arguments, the expected result, and who published it."""

    args: Args
    expected: Any
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelSpec:
    """A kernel's contract in executable form.

    name:      lowercase; a backend implements the kernel as a method of this name
    summary:   one line: argument shapes and dtypes to result shapes and dtypes
    unit:      the unit of work that ``ns_per_unit`` divides by, in the singular
    generate:  (rng, size) to fresh arguments of that size; ``size`` counts messages, leaves, nodes, signatures...
    golden:    the same arguments to the right result, in plain Python: slow, obvious, never timed
    units:     arguments to how many units of work they are
    vectors:   fixed cases with their source
    sizes:     the sizes that the bench uses by default, smallest first
    conformance: ``module:Class`` of the kernel's own conformance class (``chaindp.testing``); empty for the general one
    compose:   where a backend that lacks the kernel can have it made of others: (its kernels, the arguments) to the
               result. What it does besides calling them runs on the host
    composed_of: the kernels that ``compose`` calls
    """

    name: str
    summary: str
    unit: str
    generate: Callable[[np.random.Generator, int], Args]
    golden: Callable[..., Any]
    units: Callable[..., int]
    vectors: Sequence[Vector] = ()
    sizes: Sequence[int] = ()
    conformance: str = ""
    compose: Callable[..., Any] | None = None
    composed_of: frozenset[str] = frozenset()

    def lacks(self, kernels: KernelSet) -> list[str] | None:
        """What of ``composed_of`` a backend has not to make the kernel of; None where it cannot be made of others."""
        if self.compose is None:
            return None
        return sorted(name for name in self.composed_of if not kernels.can(name))

    def called(self, supported: Collection[str]) -> list[str]:
        """The kernels of a backend that a call of this one runs: itself, or where it is lacking what it is made of."""
        return [self.name] if self.name in supported else sorted(self.composed_of)

    def mismatches(self, output: Any, expected: Any) -> int:
        """How many rows of ``output`` differ from ``expected``; -1 where shape, dtype or structure differ."""
        outputs = output if isinstance(output, tuple) else (output,)
        expecteds = expected if isinstance(expected, tuple) else (expected,)
        if len(outputs) != len(expecteds):
            return -1
        wrong: np.ndarray | None = None
        total = 0
        for got, want in zip(outputs, expecteds, strict=True):
            got, want = np.asarray(got), np.asarray(want)
            if got.shape != want.shape or got.dtype != want.dtype:
                return -1
            rows = (got != want).reshape(len(want), -1).any(axis=1) if want.size else np.zeros(len(want), dtype=bool)
            if wrong is not None and wrong.shape == rows.shape:
                wrong |= rows
            elif wrong is None:
                wrong = rows
            else:
                total += int(rows.sum())
        return total + (int(wrong.sum()) if wrong is not None else 0)
