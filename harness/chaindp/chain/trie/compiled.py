"""How the functions of this package are compiled: without the GIL, without reference counts, cached on disk."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from chaindp.kernels import compilation

__all__ = ["compiled", "compiled_allocating", "inlined"]

F = TypeVar("F", bound=Callable[..., Any])


def compiled(function: F) -> F:
    """Compile a function that allocates nothing. Arrays are borrowed from the caller: counting references to the
    arena's columns at every call costs several times what the functions themselves do.
    """
    dispatcher: F = compilation.compiled(function, _nrt=False)
    return dispatcher


def inlined(function: F) -> F:
    """As ``compiled``, for a small function on a hot path: an arena is sixty machine words to hand over in a call."""
    dispatcher: F = compilation.compiled(function, _nrt=False, forceinline=True)
    return dispatcher


def compiled_allocating(function: F) -> F:
    """Compile a function that makes arrays of its own."""
    dispatcher: F = compilation.compiled(function)
    return dispatcher
