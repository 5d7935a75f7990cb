"""chaindp: what every degree of parallelism is worth, measured over the full pipeline of a parallel blockchain."""

from chaindp.hookspecs import hookimpl

__all__ = ["__version__", "hookimpl"]

__version__ = "0.1.0"
