"""Whether an output is right: what it is compared with, and the one line that says what differs.

The chain of trust has three links. Every backend is compared in full with ``cpu``; ``cpu`` is compared in full with
``cpu:scalar``, plain loops that share no vector code with it; and ``cpu:scalar`` is compared with the kernel's golden
reference, plain Python, on small fresh inputs within a bounded time. Every backend also runs the kernel's fixed
vectors.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from chaindp.backend import Backend
from chaindp.errors import CapabilityError
from chaindp.kernels import KernelSpec

__all__ = ["GOLDEN_SECONDS", "check_golden", "check_vectors", "copy_args", "difference", "reference_of", "rows_of"]

GOLDEN_SECONDS = 1.0
"""How long the golden reference may take for one kernel; a case that was begun is finished."""

GOLDEN_SIZES = (1, 2, 3, 7, 16, 33, 64, 129, 256)


def reference_of(label: str) -> str | None:
    """The backend that ``label`` is compared with; None where that is the golden reference."""
    if label == "cpu:scalar":
        return None
    return "cpu:scalar" if label == "cpu" else "cpu"


def copy_args(args: tuple[Any, ...]) -> tuple[Any, ...]:
    """The arguments with every array copied: equally warm in the cache for every backend, and safe from each other."""
    return tuple(arg.copy() if isinstance(arg, np.ndarray) else arg for arg in args)


def rows_of(output: Any) -> int:
    """How many rows an output has; for a tuple, the most that one of its parts has."""
    parts = output if isinstance(output, tuple) else (output,)
    return max((len(part) if np.ndim(part) else 1 for part in parts), default=0)


def difference(spec: KernelSpec, output: Any, expected: Any, reference: str) -> str:
    """How ``output`` differs from what ``reference`` returned, in one line; empty where it does not."""
    count = spec.mismatches(output, expected)
    if count == 0:
        return ""
    if count < 0:
        return f"returned {_shape(output)} and not {_shape(expected)}"
    total = rows_of(expected)
    return f"{count} of {total} outputs differ from {reference}"


def _shape(output: Any) -> str:
    if isinstance(output, tuple):
        return "(" + ", ".join(_shape(part) for part in output) + ")"
    array = np.asarray(output)
    return f"{array.dtype}{list(array.shape)}"


def check_vectors(spec: KernelSpec, call: Callable[..., Any]) -> tuple[str, str]:
    """Run the kernel's fixed vectors: what differs (empty where nothing does), and what was compared.

    A vector of a field or a hash that the device says it lacks (CapabilityError) is left out, as long as there are
    others.
    """
    lacking: CapabilityError | None = None
    count = 0
    for vector in spec.vectors:
        try:
            output = call(*copy_args(vector.args))
        except CapabilityError as error:
            lacking = error
            continue
        problem = difference(spec, output, vector.expected, f"the vector of {vector.source}")
        if problem:
            return problem, ""
        count += 1
    if lacking is not None and not count:
        raise lacking
    return "", f"{count} vectors" if count else ""


def check_golden(spec: KernelSpec, call: Callable[..., Any], seed: int) -> tuple[str, str]:
    """Compare with the golden reference on fresh small inputs: what differs, and what was compared."""
    began = time.perf_counter()
    compared = 0
    for size in GOLDEN_SIZES:
        args = spec.generate(np.random.default_rng([seed, size]), size)
        expected = spec.golden(*copy_args(args))
        problem = difference(spec, call(*copy_args(args)), expected, f"the golden reference (size {size})")
        if problem:
            return problem, ""
        compared += rows_of(expected)
        if time.perf_counter() - began > GOLDEN_SECONDS:
            break
    return "", f"golden on {compared} outputs"


def changed_arguments(args: tuple[Any, ...], pristine: tuple[Any, ...]) -> bool:
    """Whether a call changed an array that it was given."""
    return any(
        isinstance(arg, np.ndarray) and not np.array_equal(arg, kept) for arg, kept in zip(args, pristine, strict=True)
    )


def claimed_reason(backend: Backend, kernel: str, reason: str, support: str) -> str:
    """Why a row is skipped where the backend does not have the kernel."""
    return f"backend {backend.label} says {kernel} is {support}" + (f": {reason}" if reason else "")
