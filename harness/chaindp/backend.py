"""What a backend author needs: the spec that a plugin yields, and the class that its factory builds.

A backend implements a kernel by having a method of the kernel's name, with the arguments and the result that the
kernel's contract states (``chaindp.kernels``), and by declaring it in its spec. Arguments are host arrays or buffers
that the backend's own ``upload`` returned; results are the backend's own buffers, which ``download`` turns into arrays.
For a backend that works on host memory, buffers *are* numpy arrays and the defaults below are all it needs.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np

from chaindp.errors import CapabilityError, PluginError

__all__ = ["Backend", "BackendOptions", "BackendSpec", "Capability", "Device", "Support", "TimeDomain"]

NAME_PATTERN = re.compile(r"[a-z][a-z0-9_-]*")


class Support(enum.StrEnum):
    """Whether a backend has a kernel: there is a middle between yes and never."""

    SUPPORTED = "supported"
    NOT_IMPLEMENTED = "not implemented"
    IMPOSSIBLE = "impossible"


class TimeDomain(enum.StrEnum):
    """What a duration was measured with. Never mixed silently, never ranked across."""

    WALL = "wall"
    DEVICE = "device"
    CYCLES = "cycles"
    MODELLED = "modelled"


@dataclass(frozen=True, slots=True)
class Capability:
    """What a backend says of one kernel. ``reason`` is required where the kernel is impossible."""

    support: Support = Support.SUPPORTED
    reason: str = ""

    def __post_init__(self) -> None:
        if self.support is Support.IMPOSSIBLE and not self.reason:
            raise PluginError("a capability that is impossible needs a reason")


@dataclass(frozen=True, slots=True)
class Device:
    """One device of a backend. ``name`` is what follows the colon in ``backend:device``; empty for the default one."""

    name: str
    summary: str
    details: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendOptions:
    """What the harness asks of a backend instance: which device, and how many host threads at most (1 or more)."""

    device: str = ""
    threads: int = 1


def _host_only() -> Sequence[Device]:
    return (Device("", "host memory"),)


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendSpec:
    """A backend as a plugin announces it.

    name:          lowercase, unique over all installed plugins
    kind:          ``cpu``, ``gpu``, ``fpga`` or ``other``
    factory:       builds an instance; the first place that may touch the device
    capabilities:  kernel name to what this backend says of it; a kernel that is not named is not implemented
    devices:       lists the devices that are there now, the default one first; may be slow, called on demand only
    """

    name: str
    kind: str
    factory: Callable[[BackendOptions], Backend]
    capabilities: Mapping[str, Capability]
    summary: str
    devices: Callable[[], Sequence[Device]] = _host_only

    def __post_init__(self) -> None:
        if not NAME_PATTERN.fullmatch(self.name):
            raise PluginError(f"backend name {self.name!r} is not lowercase letters, digits, '-' and '_'")
        object.__setattr__(self, "capabilities", MappingProxyType(dict(self.capabilities)))

    def capability(self, kernel: str) -> Capability:
        """What this backend says of ``kernel``."""
        return self.capabilities.get(kernel, Capability(Support.NOT_IMPLEMENTED))

    def supports(self, kernel: str) -> bool:
        """Whether this backend declares ``kernel`` supported."""
        return self.capability(kernel).support is Support.SUPPORTED


class Backend:
    """One open device of a backend. Subclass it and add a method a kernel.

    Kernels must be safe to call from two threads at once, must not change their arguments, must not keep or return
    memory that a later call changes, and should release the GIL while they work.
    """

    time_domain: TimeDomain = TimeDomain.WALL

    def __init__(self, name: str, options: BackendOptions) -> None:
        self.name = name
        self.device = options.device
        self.threads = options.threads

    @property
    def label(self) -> str:
        """``name`` or ``name:device``: what the results table records as having run."""
        return f"{self.name}:{self.device}" if self.device else self.name

    def kernel(self, name: str) -> Callable[..., Any]:
        """The method that implements kernel ``name``; CapabilityError where there is none."""
        method = getattr(self, name, None)
        if not callable(method):
            raise CapabilityError(f"backend {self.label} has no kernel {name}")
        return method  # type: ignore[no-any-return]

    def upload(self, array: np.ndarray) -> Any:
        """Host array to a buffer of this backend. The default is host memory: the array itself."""
        return array

    def download(self, buffer: Any) -> np.ndarray:
        """A buffer of this backend to a host array; a ChaindpError for what is no buffer of its own.

        The default takes numpy arrays and nothing that could be made into one: that would be another backend's buffer,
        or a result that breaks the contract.
        """
        if not isinstance(buffer, np.ndarray):
            raise PluginError(
                f"backend {self.label} cannot download a {type(buffer).__name__}: its buffers are numpy arrays"
            )
        return buffer

    def synchronize(self) -> None:
        """Return once all work that was submitted is done."""

    def warm_up(self, kernels: Sequence[str]) -> None:
        """Compile and load what the named kernels need, so that no sample pays for it."""

    def close(self) -> None:
        """Give back the device and its memory. The instance is not used afterwards."""
