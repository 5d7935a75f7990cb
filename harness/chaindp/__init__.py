"""chaindp: what every degree of parallelism is worth, measured over the full pipeline of a parallel blockchain."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chaindp.hookspecs import hookimpl

if TYPE_CHECKING:
    from chaindp.results.store import load

__all__ = ["__version__", "hookimpl", "load"]

__version__ = "0.2.0"


def __getattr__(name: str) -> object:
    # On demand: pandas costs half a second, and a plugin that only marks its hooks needs none of it.
    if name == "load":
        from chaindp.results.store import load

        return load
    raise AttributeError(f"module 'chaindp' has no attribute {name!r}")
