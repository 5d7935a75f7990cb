"""The FPGA backend: our cores of ``hdl/``, or those that the user names, theirs or ours, simulated with Verilator.

Importing this module, which happens whenever plugins are listed, reads the cores' descriptions and runs no tool.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from chaindp import hookimpl
from chaindp.backend import Backend, BackendOptions, BackendSpec, Capability, Device, Finding
from chaindp.cores.description import KERNELS
from chaindp_fpga.catalogue import Catalogue, catalogue

__all__ = ["chaindp_backends", "chaindp_environment"]

COMPOSED = "no core of its own: the harness composes it of keccak256"
NO_CORE = "no core of it is there"
REASONS = {
    **dict.fromkeys(KERNELS, NO_CORE),
    **dict.fromkeys(("merkle_update", "merkle_open", "trie_hash"), COMPOSED),
    **dict.fromkeys(("intt", "lde", "fri_fold"), NO_CORE),
    "ecrecover": "there is no core for elliptic curves",
}
"""Every kernel, and why it is not there where no core serves it."""


def _open(options: BackendOptions) -> Backend:
    from chaindp.cores import CoreBackend
    from chaindp.cores.toolchain import find_toolchain
    from chaindp_fpga.provenance import note

    # Said when the backend is opened, not in the middle of a run.
    find_toolchain()
    return CoreBackend("fpga", options, catalogue().serving(options.device), opened=note)


def _devices() -> Sequence[Device]:
    return catalogue().devices()


def _resolve(name: str) -> Device | None:
    return catalogue().resolve(name)


def _diagnose() -> Sequence[Finding]:
    from chaindp.cores.toolchain import diagnose

    return [*diagnose(), *catalogue().findings()]


def capabilities_of(known: Catalogue) -> dict[str, Capability]:
    """What the default device serves: the usual cores, together."""
    return {kernel: known.declared(known.serving(""), kernel, reason) for kernel, reason in REASONS.items()}


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
