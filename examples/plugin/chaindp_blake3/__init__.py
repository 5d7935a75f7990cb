"""BLAKE3 for chaindp: a kernel that chaindp does not ship, a backend that has it, and what its results should record.

This module is imported whenever plugins are listed. The library that hashes is imported when the backend is opened.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping, Sequence

from chaindp import hookimpl
from chaindp.backend import Backend, BackendOptions, BackendSpec, Capability
from chaindp.kernels import KernelSpec

from chaindp_blake3.kernel import BLAKE3

__all__ = ["BLAKE3", "chaindp_backends", "chaindp_environment", "chaindp_kernels"]


def _open(options: BackendOptions) -> Backend:
    from chaindp_blake3.backend import Blake3Backend

    return Blake3Backend("blake3", options)


@hookimpl
def chaindp_kernels() -> Sequence[KernelSpec]:
    """The kernel: any backend of any plugin may implement it from now on."""
    return [BLAKE3]


@hookimpl
def chaindp_backends() -> Sequence[BackendSpec]:
    """The backend that has it."""
    return [
        BackendSpec(
            name="blake3",
            kind="cpu",
            factory=_open,
            capabilities={"blake3": Capability()},
            summary="BLAKE3 by the library of its authors, one message a call",
        )
    ]


@hookimpl
def chaindp_environment() -> Mapping[str, object]:
    """The version of the library, for the provenance of every result."""
    return {"blake3": importlib.metadata.version("blake3")}
