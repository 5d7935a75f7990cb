"""What the tests of the OpenCL backend share: whether there is a device, and the backend in all its forms."""

from __future__ import annotations

import dataclasses
import functools

import pytest

from chaindp.backend import BackendOptions, Tuning
from chaindp.errors import PluginError
from chaindp.kernels.kernelset import KernelSet
from chaindp_opencl import KERNELS, driver
from chaindp_opencl.backend import OpenClBackend
from chaindp_opencl.memory import Limits

__all__ = ["TINY", "has_device", "kernels_of", "needs_device", "opened", "tuning"]

TINY = Limits(resident=4096, chunk=1024, staging=512, message=4096)
"""A device that holds next to nothing: whatever is larger than a few rows is streamed, in portions of a few rows."""


@functools.cache
def has_device() -> bool:
    """Whether any driver has a device here."""
    try:
        return bool(driver.devices())
    except PluginError:
        return False


needs_device = pytest.mark.skipif(
    "not __import__('opencl_devices').has_device()",
    reason="no OpenCL device: .ci/opencl-driver installs a driver for the CPU",
)


def tuning(lanes: int, group: int = 1, items: int = 4, unroll: int = 2) -> dict[str, Tuning]:
    """A tuning of both hashes with vectors of equal size: ``lanes`` of 64 bits, twice as many of 32."""
    shape = {"items": items, "group": group}
    return {
        "keccak256": {"lanes": lanes, "unroll": unroll, **shape},
        "sha256": {"lanes": 2 * lanes if lanes > 1 else 1, "unroll": 1, **shape},
    }


def opened(
    *,
    tuned: dict[str, Tuning] | None = None,
    unified: bool | None = None,
    kind: str = "",
    vector_int: int = 0,
    limits: Limits | None = None,
    threads: int = 2,
    profile: bool = False,
) -> OpenClBackend:
    """The default device, opened as a test wants it."""
    options = BackendOptions(threads=threads, profile=profile, tuning=tuned or {})
    with pytest.MonkeyPatch.context() as patch:
        if kind or vector_int:
            # What a device of another kind, or with other vectors, would be sent, on the one that is here.
            here = driver.select("")
            device = dataclasses.replace(here, kind=kind or here.kind, vector_int=vector_int or here.vector_int)
            patch.setattr(driver, "select", lambda name: device)
        return OpenClBackend("opencl", options, unified=unified, limits=limits)


def kernels_of(backend: OpenClBackend) -> KernelSet:
    """Its kernels, from host arrays to host arrays."""
    return KernelSet(backend, frozenset(KERNELS))
