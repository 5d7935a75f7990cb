"""The OpenCL backend: the same kernels in OpenCL C, on every device of every driver that is installed.

Importing this module, which happens whenever plugins are listed, imports neither pyopencl nor a driver.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from chaindp import hookimpl
from chaindp.backend import Backend, BackendOptions, BackendSpec, Capability, Device, Finding, Support, Tuner, Tuning

__all__ = ["KERNELS", "chaindp_backends", "chaindp_environment"]

KERNELS = (
    *("keccak256", "sha256", "merkle_tree", "merkle_update", "merkle_open", "trie_hash"),
    *("poseidon2", "ntt", "intt", "lde", "fri_fold"),
)
"""The kernels that every device has."""


def _devices() -> Sequence[Device]:
    from chaindp_opencl import driver

    return driver.listed()


def _open(options: BackendOptions) -> Backend:
    from chaindp_opencl.backend import OpenClBackend

    return OpenClBackend("opencl", options)


def _diagnose() -> Sequence[Finding]:
    from chaindp_opencl.diagnosis import diagnose

    return diagnose()


def _candidates(device: str, kernel: str) -> Sequence[Tuning]:
    from chaindp_opencl import tuning

    return tuning.proposals(device, kernel)


def _store(device: str, tunings: Mapping[str, Tuning]) -> str:
    from chaindp_opencl import tuning

    return tuning.store(device, tunings)


def _stored(device: str) -> Mapping[str, Tuning]:
    from chaindp_opencl import tuning

    return tuning.stored(device)


def _forget(device: str) -> bool:
    from chaindp_opencl import tuning

    return tuning.forget(device)


@hookimpl
def chaindp_backends() -> Sequence[BackendSpec]:
    """The one backend of this package."""
    reason = "recovering a public key is not written in OpenCL C"
    return [
        BackendSpec(
            name="opencl",
            kind="gpu",
            factory=_open,
            capabilities={name: Capability() for name in KERNELS}
            | {"ecrecover": Capability(Support.NOT_IMPLEMENTED, reason)},
            summary="OpenCL devices: GPUs, and CPUs through a driver such as pocl",
            devices=_devices,
            profiles=True,
            diagnose=_diagnose,
            tuner=Tuner(("keccak256", "sha256"), _candidates, _store, _stored, _forget),
        )
    ]


@hookimpl
def chaindp_environment() -> Mapping[str, object]:
    """The drivers, their devices, and the tunings that are stored for them."""
    from chaindp_opencl import driver, tuning

    return driver.environment() | {"tunings": tuning.read()}
