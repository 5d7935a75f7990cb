"""The hooks that a plugin may implement. All of them, and all that there is to know of each.

A plugin is any importable module or object that an entry point in the group ``chaindp`` names, with functions
marked ``@chaindp.hookimpl``. Every hook is optional.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    from chaindp.backend import BackendSpec
    from chaindp.kernels import KernelSpec
    from chaindp.workload import WorkloadSpec

PROJECT = "chaindp"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def chaindp_backends() -> Sequence[BackendSpec]:
    """The backends that this plugin provides. Called once; building a spec must not touch the device."""
    raise NotImplementedError


@hookspec
def chaindp_kernels() -> Sequence[KernelSpec]:
    """Kernels beyond the built-in ones, each with its contract, golden reference, vectors and unit of work."""
    raise NotImplementedError


@hookspec
def chaindp_workloads() -> Sequence[WorkloadSpec]:
    """The workloads that this plugin provides."""
    raise NotImplementedError


@hookspec
def chaindp_environment() -> Mapping[str, object]:
    """Provenance for ``run.json``, under this plugin's name: driver, firmware, tool versions. JSON values only."""
    raise NotImplementedError
