"""Compiling plain functions with numba: without the GIL, and with a disk cache that notices every change.

For the chain's own loops and for backends that work on host memory. Importing this module imports numba, so it is
imported where something is compiled and nowhere else.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from numba import njit
from numba.core.caching import FunctionCache

__all__ = ["compiled"]


@functools.cache
def _sources(folder: Path) -> str:
    """A digest of the source files of a package: what its cached functions were compiled from."""
    digest = hashlib.sha256()
    for path in sorted(folder.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


class _PackageCache(FunctionCache):  # type: ignore[misc]
    """numba's disk cache, which only looks at the file of the function itself, made aware of all files beside it:
    functions inline code of their neighbours, and a stale one would compute what the source no longer says.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(function)
        self._folder = Path(function.__code__.co_filename).parent

    def _index_key(self, sig: Any, codegen: Any) -> Any:
        return (*super()._index_key(sig, codegen), _sources(self._folder))


def compiled(function: Callable[..., Any], **options: Any) -> Any:
    """Compile ``function`` when it is first called, or load it from the disk cache; ``options`` are numba's.

    What it calls has to stand in its own folder, or never change: the cache looks no further.
    """
    dispatcher = njit(nogil=True, **options)(function)
    dispatcher._cache = _PackageCache(function)
    return dispatcher
