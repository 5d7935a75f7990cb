"""What a simulation needs beside chaindp itself: asked for before any work, as a part of the call."""

from __future__ import annotations

from chaindp.cores.toolchain import Toolchain, find_toolchain
from chaindp.errors import PluginError, UsageError

__all__ = ["require_tools"]


def require_tools() -> Toolchain:
    """Verilator and a C++ compiler; UsageError, one line, that says what is missing and how to get it."""
    try:
        return find_toolchain()
    except PluginError as error:
        raise UsageError(str(error)) from None
