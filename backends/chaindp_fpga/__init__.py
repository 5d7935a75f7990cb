"""The FPGA backend: our cores of ``hdl/``, or one of the user's in the place of ours, simulated with Verilator.

Importing this module, which happens whenever plugins are listed, reads the cores' descriptions and runs no tool.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from chaindp import hookimpl
from chaindp.backend import Backend, BackendOptions, BackendSpec, Capability, Device, Finding, Support
from chaindp_fpga.catalogue import Catalogue, catalogue

__all__ = ["chaindp_backends", "chaindp_environment"]

COMPOSED = "no core of its own: the harness composes it of keccak256"
NOT_WRITTEN = {
    "merkle_update": COMPOSED,
    "merkle_open": COMPOSED,
    "trie_hash": COMPOSED,
    "ecrecover": "there is no core for elliptic curves",
}


def _open(options: BackendOptions) -> Backend:
    from chaindp.cores import CoreBackend
    from chaindp.cores.toolchain import find_toolchain

    # Said when the backend is opened, not in the middle of a run.
    find_toolchain()
    return CoreBackend("fpga", options, catalogue().serving(options.device))


def _devices() -> Sequence[Device]:
    return catalogue().devices()


def _resolve(name: str) -> Device | None:
    return catalogue().resolve(name)


def _diagnose() -> Sequence[Finding]:
    from chaindp.cores.toolchain import diagnose

    return [*diagnose(), *catalogue().findings()]


def capabilities_of(known: Catalogue) -> dict[str, Capability]:
    """What cores can serve, each kernel in full: trees take either hash."""
    capabilities = {}
    for kernel, cores in known.serving("").items():
        lacking = known.lacking(kernel, cores)
        capabilities[kernel] = Capability(Support.NOT_IMPLEMENTED, lacking) if lacking else Capability()
    for kernel, reason in NOT_WRITTEN.items():
        capabilities.setdefault(kernel, Capability(Support.NOT_IMPLEMENTED, reason))
    return capabilities


@hookimpl
def chaindp_backends() -> Sequence[BackendSpec]:
    """The one backend of this package."""
    return [
        BackendSpec(
            name="fpga",
            kind="fpga",
            factory=_open,
            capabilities=capabilities_of(catalogue()),
            summary="RTL cores, simulated cycle by cycle: ours, or yours as fpga:PATH/core.toml",
            devices=_devices,
            diagnose=_diagnose,
            simulates=True,
            resolve=_resolve,
        )
    ]


@hookimpl
def chaindp_environment() -> Mapping[str, object]:
    """The simulator's tools and flags, and what every core consists of."""
    from chaindp_fpga.provenance import environment

    return environment(catalogue())
