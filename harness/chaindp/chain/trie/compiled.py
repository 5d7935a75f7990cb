"""How the functions of this package are compiled: without the GIL, without reference counts, cached on disk."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from numba import njit
from numba.core.caching import FunctionCache

__all__ = ["compiled", "compiled_allocating", "inlined"]

F = TypeVar("F", bound=Callable[..., Any])


@functools.cache
def _sources() -> str:
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


class _PackageCache(FunctionCache):  # type: ignore[misc]
    """numba's disk cache looks at the file of the function itself only; these functions call into each other's modules,
    so a change in any of them must make all of them stale.
    """

    def _index_key(self, sig: Any, codegen: Any) -> Any:
        return (*super()._index_key(sig, codegen), _sources())


def compiled(function: F) -> F:
    """Compile a function that allocates nothing. Arrays are borrowed from the caller: counting references to the
    arena's columns at every call costs several times what the functions themselves do.
    """
    dispatcher = njit(nogil=True, _nrt=False)(function)
    dispatcher._cache = _PackageCache(function)
    return dispatcher  # type: ignore[no-any-return]


def inlined(function: F) -> F:
    """As ``compiled``, for a small function on a hot path: an arena is sixty machine words to hand over in a call."""
    dispatcher = njit(nogil=True, _nrt=False, forceinline=True)(function)
    dispatcher._cache = _PackageCache(function)
    return dispatcher  # type: ignore[no-any-return]


def compiled_allocating(function: F) -> F:
    """Compile a function that makes arrays of its own."""
    dispatcher = njit(nogil=True)(function)
    dispatcher._cache = _PackageCache(function)
    return dispatcher  # type: ignore[no-any-return]
