"""What a backend author needs: the spec that a plugin yields, and the class that its factory builds.

A backend implements a kernel by having a method of the kernel's name, with the arguments and the result that the
kernel's contract states (``chaindp.kernels``), and by declaring it in its spec. Arguments are host arrays or buffers
that the backend's own ``upload`` returned; results are the backend's own buffers, which ``download`` turns into arrays.
For a backend that works on host memory, buffers *are* numpy arrays and the defaults below are all it needs.
"""

from __future__ import annotations

import enum
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, TypeAlias

import numpy as np

from chaindp.errors import CapabilityError, PluginError, UsageError

__all__ = [
    "Backend",
    "BackendOptions",
    "BackendSpec",
    "Capability",
    "Device",
    "DeviceTimes",
    "Finding",
    "Link",
    "Platform",
    "SimulatedTimes",
    "Support",
    "TimeDomain",
    "Tuner",
    "Tuning",
]

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
    """One device of a backend. ``name`` is what follows the colon in ``backend:device``; empty for the default one.

    details: what the device says of itself, JSON values only: driver, compute units, memory; ``kind``, where it is
             there, is shown as the device's kind
    aliases: other names that select it; no two devices of a backend share one
    capabilities: what this device has of the kernels, in the form of ``BackendSpec.capabilities``, where that is not
             what its backend says; None where it is. A kernel that is not named is not implemented
    """

    name: str
    summary: str
    details: Mapping[str, object] = field(default_factory=dict)
    aliases: tuple[str, ...] = ()
    capabilities: Mapping[str, Capability] | None = None


@dataclass(frozen=True, slots=True)
class DeviceTimes:
    """What the device's own clock measured of the calls since it was last asked, in ns.

    compute_ns:  kernels, each from start to end, summed
    transfer_ns: copies between host and device, each from start to end, summed; they may overlap with kernels
    span_ns:     from the start of the first to the end of the last of all of these
    """

    compute_ns: int
    transfer_ns: int
    span_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """The way between host and device, as a model: stated, not measured.

    latency_ns:              of every transfer, in either direction, before its first byte arrives
    to_device, from_device:  bytes a second in each direction; infinite where nothing has to move
    overlap:                 whether a call's transfers and its computation run at the same time, as with double buffers
    """

    name: str
    latency_ns: float
    to_device: float
    from_device: float
    overlap: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.latency_ns < math.inf:
            raise UsageError(f"link {self.name}: the latency is {self.latency_ns} ns; it must be 0 or more, and finite")
        for direction, rate in (("to", self.to_device), ("from", self.from_device)):
            if not rate > 0:
                raise UsageError(f"link {self.name}: {rate} bytes a second {direction} the device; it must be above 0")

    def call_ns(self, compute_ns: float, to_bytes: int, from_bytes: int) -> float:
        """How long a call takes that moves these bytes and computes for ``compute_ns``."""
        there, back = 1e9 * to_bytes / self.to_device, 1e9 * from_bytes / self.from_device
        work = max(there, compute_ns, back) if self.overlap else there + compute_ns + back
        return 2 * self.latency_ns + work


@dataclass(frozen=True, slots=True, kw_only=True)
class Platform:
    """The hardware around a simulated core: stated, so that cycles become times.

    clock_hz:  None for the clock that the core's description states
    instances: how many copies of the core share a call's operations
    link:      None for the backend's usual one
    """

    clock_hz: float | None = None
    instances: int = 1
    link: Link | None = None

    def __post_init__(self) -> None:
        if self.clock_hz is not None and not 0 < self.clock_hz < math.inf:
            raise UsageError(f"a clock of {self.clock_hz} Hz; it must be above 0, and finite")
        if self.instances < 1:
            raise UsageError(f"{self.instances} instances; there must be 1 or more")


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedTimes:
    """What the calls since the last question took on a device that is simulated.

    cycles:         exact: from the first beat that was offered to the last one that was taken, on one instance
    stall_cycles:   of these, how many the core kept the input waiting for
    latency_cycles: from the first beat in to the first beat out, of the call where that took longest
    operations:     how many packets went in
    to_bytes, from_bytes:   payload, in each direction
    compute_ns:     modelled: of the instances at the platform's clock, all calls summed
    transfer_ns:    modelled: transfers alone, each latency included, all calls summed
    total_ns:       modelled: the calls from end to end, where the link says so with transfers and computation at once
    simulator_ns:   what the simulator itself took on the wall clock, which says nothing of the hardware
    calls:          how many calls
    platform:       with nothing left out: the clock, instances and link that the times above are for
    """

    cycles: int
    stall_cycles: int
    latency_cycles: int
    operations: int
    to_bytes: int
    from_bytes: int
    compute_ns: float
    transfer_ns: float
    total_ns: float
    simulator_ns: int
    calls: int
    platform: Platform


@dataclass(frozen=True, slots=True)
class Finding:
    """What a backend found when it looked at its drivers; ``fix`` is the command or step that mends what is not ok.

    ok: None where something is worth knowing and neither right nor wrong
    """

    name: str
    ok: bool | None
    detail: str
    fix: str = ""


Tuning: TypeAlias = Mapping[str, int | str]
"""Parameters of one kernel on one device, by name: what a backend can choose without changing any result."""


@dataclass(frozen=True, slots=True)
class Tuner:
    """What ``chaindp tune`` needs of a backend: it proposes and remembers, and the harness measures.

    kernels:    the kernels that can be tuned, each by itself
    candidates: (device, kernel) to tunings to try, the first being what the device gets without a search
    store:      (device, kernel to tuning) keeps these for this device and driver; returns where, for the user to see
    stored:     (device) to what is stored for it, by kernel, also where that does not work; empty where nothing is
    forget:     (device) drops what was stored; returns whether there was anything

    ``device`` is a name or alias, as in ``BackendOptions``. An instance that is opened without a tuning uses the stored
    one, and where there is none the first candidate.
    """

    kernels: tuple[str, ...]
    candidates: Callable[[str, str], Sequence[Tuning]]
    store: Callable[[str, Mapping[str, Tuning]], str]
    stored: Callable[[str], Mapping[str, Tuning]]
    forget: Callable[[str], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendOptions:
    """What the harness asks of a backend instance.

    device:  name or alias of the device; empty for the default one
    threads: how many host threads, or cores of a device that is this machine's CPU, at most (1 or more)
    profile: keep device times for ``take_device_times``; only where the spec says that the backend can
    tuning:  kernel to the tuning that replaces the backend's own choice
    platform: what to model around a simulated device; only where the spec says that the backend simulates
    """

    device: str = ""
    threads: int = 1
    profile: bool = False
    tuning: Mapping[str, Tuning] = field(default_factory=dict)
    platform: Platform = field(default_factory=Platform)


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
    profiles:      whether an instance that is opened with ``profile`` measures with the device's own clock, too
    diagnose:      looks at the drivers for ``chaindp doctor``: what is there, what is missing, what to install
    tuner:         what ``chaindp tune`` needs, where there is anything to tune
    simulates:     whether its device is simulated: times are those of ``take_simulated_times``, and the wall clock says
                   nothing of it
    resolve:       a device that is named and not listed, such as a file, with ``capabilities`` of its own where it has
                   not all kernels of the backend; None where the name is none of that kind, UsageError where it is one
                   that cannot be used
    """

    name: str
    kind: str
    factory: Callable[[BackendOptions], Backend]
    capabilities: Mapping[str, Capability]
    summary: str
    devices: Callable[[], Sequence[Device]] = _host_only
    profiles: bool = False
    diagnose: Callable[[], Sequence[Finding]] | None = None
    tuner: Tuner | None = None
    simulates: bool = False
    resolve: Callable[[str], Device | None] | None = None

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
    memory that a later call changes, and should release the GIL while they work. Callers leave what they passed as it
    is until ``synchronize`` has returned.
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
        """Return once all work that the calling thread submitted is done."""

    def take_device_times(self) -> DeviceTimes | None:
        """What the device's clock measured since the last call of this; None unless opened with ``profile``."""
        return None

    def take_simulated_times(self) -> SimulatedTimes | None:
        """What the calling thread's calls since the last call of this took on a simulated device; None: it is real."""
        return None

    def warm_up(self, kernels: Sequence[str]) -> None:
        """Compile and load what the named kernels need, so that no sample pays for it."""

    def close(self) -> None:
        """Give back the device and its memory. The instance is not used afterwards."""
