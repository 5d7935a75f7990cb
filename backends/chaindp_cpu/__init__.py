"""The CPU backend: kernels compiled with numba, vectorized and multi-threaded, and a scalar device as the baseline.

Importing this module, which happens whenever plugins are listed, imports neither numba nor libsecp256k1.
"""

from __future__ import annotations

from collections.abc import Sequence

from chaindp import hookimpl
from chaindp.backend import Backend, BackendOptions, BackendSpec, Capability, Device
from chaindp.errors import UsageError

__all__ = ["KERNELS", "SCALAR", "chaindp_backends"]

SCALAR = "scalar"
"""The device that hashes one message at a time on one thread."""

KERNELS = (
    *("keccak256", "sha256", "merkle_tree", "merkle_update", "merkle_open", "trie_hash", "ecrecover"),
    *("poseidon2", "ntt", "intt", "lde", "fri_fold"),
)
"""The kernels that both devices have."""


def _devices() -> Sequence[Device]:
    return (
        Device("", "vectorized over the lanes of the CPU's vectors, multi-threaded"),
        Device(SCALAR, "one message at a time, one thread: the baseline"),
    )


def _open(options: BackendOptions) -> Backend:
    if options.device not in ("", SCALAR):
        raise UsageError(f"backend cpu has no device {options.device!r}; there are: '' and {SCALAR!r}")
    if options.threads < 1:
        raise UsageError(f"backend cpu: {options.threads} threads, expected 1 or more")
    if options.device == SCALAR:
        from chaindp_cpu.baseline import ScalarBackend

        return ScalarBackend("cpu", options)
    from chaindp_cpu.backend import CpuBackend

    return CpuBackend("cpu", options)


@hookimpl
def chaindp_backends() -> Sequence[BackendSpec]:
    """The one backend of this package."""
    return [
        BackendSpec(
            name="cpu",
            kind="cpu",
            factory=_open,
            capabilities={name: Capability() for name in KERNELS},
            summary="this machine's CPU, vectorized and multi-threaded; cpu:scalar is the sequential baseline",
            devices=_devices,
        )
    ]
