"""OpenCL drivers and devices: the one module that imports pyopencl, and only once a device is asked for."""

from __future__ import annotations

import contextlib
import functools
import importlib.metadata
import importlib.util
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from chaindp.backend import Device
from chaindp.errors import PluginError, UsageError
from chaindp_opencl import icd
from chaindp_opencl.faults import BuildError, DeviceLostError, DeviceMemoryError, Guard, translate

__all__ = [
    "BuildError",
    "DeviceLostError",
    "DeviceMemoryError",
    "OpenClDevice",
    "devices",
    "environment",
    "guarded",
    "listed",
    "load",
    "select",
    "translate",
]

INSTALL_PYOPENCL = "pip install 'chaindp[opencl]'"
INSTALL_DRIVER = "install a driver, for any CPU: apt-get install pocl-opencl-icd; 'chaindp doctor' says which for a GPU"

DRIVER_SETTINGS = {"POCL_AFFINITY": "1"}
"""Variables that drivers read, unless they are set. pocl's: a thread stays on its core. Without it, an otherwise idle
machine may start all of its threads on one core and move them milliseconds later: on two cores, one call in two took
twice its time."""

KINDS = {"gpu": 4, "accelerator": 8, "cpu": 2}
"""Kind of a device to its bit in CL_DEVICE_TYPE, in the order in which devices are listed; "other" comes last."""

WORDS = {
    "nvidia": ("nvidia",),
    "amd": ("amd", "advanced micro devices"),
    "intel": ("intel",),
    "pocl": ("pocl", "portable computing language"),
    "rusticl": ("rusticl",),
    "apple": ("apple",),
    "arm": ("arm",),
    "qualcomm": ("qualcomm", "qcom"),
}
"""Alias to what the vendor or the platform calls itself."""


_LOADING = threading.Lock()


@functools.cache
def load() -> ModuleType:
    """pyopencl, with the drivers of this environment's own vendors folder made known to its loader.

    PluginError where it is not installed or cannot be imported.
    """
    # A driver reads its settings when it starts. What the user has set stays.
    for name, value in DRIVER_SETTINGS.items():
        os.environ.setdefault(name, value)
    try:
        # The cache lets two first calls in at once, and each sets a variable of the process and takes it back.
        with _LOADING, icd.own_drivers():
            import pyopencl

            # The loader looks for drivers at its first use, and never again.
            with contextlib.suppress(pyopencl.Error):
                pyopencl.get_platforms()
    except ModuleNotFoundError as error:
        if error.name != "pyopencl":
            raise PluginError(f"opencl: pyopencl lacks a module, {error.name}: {INSTALL_PYOPENCL}") from error
        raise PluginError(f"opencl: pyopencl is not installed: {INSTALL_PYOPENCL}") from error
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise PluginError(
            f"opencl: pyopencl cannot be imported ({reason}); reinstall it: {INSTALL_PYOPENCL}"
        ) from error
    return pyopencl


def guarded(label: str, doing: str) -> Guard:
    """A context manager in which an error of pyopencl becomes a PluginError: see ``faults.translate``.

    label: the device, as ``opencl``, ``opencl:1``; doing: a few words such as "building keccak256"
    """
    return Guard(load().Error, label, doing)


@dataclass(frozen=True, slots=True)
class OpenClDevice:
    """One device of one driver, and what it reports of itself.

    index:          place in ``devices()``
    platform:       name of the platform, which is the driver's
    kind:           ``cpu``, ``gpu``, ``accelerator`` or ``other``
    clock_mhz:      the highest clock, 0 where the driver does not say
    global_bytes, max_alloc_bytes, local_bytes: memory, its largest single buffer, and local memory of a work-group
    max_group:      work-items of a work-group at most
    unified:        whether device memory is the host's memory
    vector_long, vector_int: native vector widths of 64-bit and of 32-bit integers
    handle:         the ``pyopencl.Device``
    """

    index: int
    platform: str
    vendor: str
    name: str
    driver: str
    version: str
    kind: str
    compute_units: int
    clock_mhz: int
    global_bytes: int
    max_alloc_bytes: int
    local_bytes: int
    max_group: int
    unified: bool
    vector_long: int
    vector_int: int
    address_bits: int
    platform_vendor: str = ""
    handle: Any = field(default=None, compare=False, repr=False)

    @property
    def key(self) -> str:
        """A text that is the same for the same model of device with the same driver, on any day and machine."""
        return f"{self.platform}|{self.name}|{self.driver}"

    @property
    def summary(self) -> str:
        """Name, platform with driver, compute units and memory, for a table."""
        units = f"{self.compute_units} compute unit{'s' if self.compute_units != 1 else ''}"
        memory = f"{self.global_bytes / 2**30:.1f} GiB"
        return f"{self.name} ({self.kind}); {self.platform}, driver {self.driver}; {units}, {memory}"

    def details(self) -> dict[str, object]:
        """Everything but the handle, as JSON has it."""
        return {name: getattr(self, name) for name in self.__slots__ if name != "handle"}


def devices() -> tuple[OpenClDevice, ...]:
    """Every device of every driver: GPUs, accelerators, CPUs, others; within these by platform, in its driver's order.

    A driver that fails to list its devices hides no other one. PluginError where pyopencl is missing; no driver at all
    is an empty tuple.
    """
    order = [*KINDS, "other"]
    found = [(handle, _kind(handle)) for handle in _handles(lambda platform, error: None)]
    # The loader reads its folder in no order that lasts, and an index has to.
    found.sort(key=lambda pair: (order.index(pair[1]), _text(pair[0].platform, "name")))
    return tuple(_describe(index, handle, kind) for index, (handle, kind) in enumerate(found))


def platforms() -> list[Any]:
    """The loader's platforms, each once; PluginError where it fails in another way than by having none."""
    cl = load()
    try:
        found = cl.get_platforms()
    except cl.Error as error:
        if getattr(error, "code", None) == cl.status_code.PLATFORM_NOT_FOUND_KHR:
            return []
        raise translate(error, "opencl", "listing the platforms") from error
    # Two .icd files that name one library give its platform twice, as the same handle.
    return list({platform.int_ptr: platform for platform in found}.values())


def _handles(failed: Callable[[Any, Exception], None]) -> Iterator[Any]:
    """The devices of all platforms, each once; ``failed(platform, error)`` for a platform that cannot list its own."""
    cl = load()
    seen: set[object] = set()
    for platform in platforms():
        try:
            handles = platform.get_devices(cl.device_type.ALL)
        except cl.Error as error:
            if getattr(error, "code", None) != cl.status_code.DEVICE_NOT_FOUND:
                failed(platform, error)
            continue
        for handle in handles:
            if handle.int_ptr not in seen:
                seen.add(handle.int_ptr)
                yield handle


def _kind(handle: Any) -> str:
    bits = int(_info(handle, "type", 0))
    return next((kind for kind, bit in KINDS.items() if bits & bit), "other")


def _describe(index: int, handle: Any, kind: str) -> OpenClDevice:
    platform = handle.platform
    return OpenClDevice(
        index=index,
        platform=_text(platform, "name"),
        vendor=_text(handle, "vendor"),
        name=_text(handle, "name"),
        driver=_text(handle, "driver_version"),
        version=_text(handle, "version"),
        kind=kind,
        compute_units=int(_info(handle, "max_compute_units", 0)),
        clock_mhz=int(_info(handle, "max_clock_frequency", 0)),
        global_bytes=int(_info(handle, "global_mem_size", 0)),
        max_alloc_bytes=int(_info(handle, "max_mem_alloc_size", 0)),
        local_bytes=int(_info(handle, "local_mem_size", 0)),
        max_group=int(_info(handle, "max_work_group_size", 0)),
        unified=bool(_info(handle, "host_unified_memory", False)),
        vector_long=int(_info(handle, "native_vector_width_long", 1)),
        vector_int=int(_info(handle, "native_vector_width_int", 1)),
        address_bits=int(_info(handle, "address_bits", 0)),
        platform_vendor=_text(platform, "vendor"),
        handle=handle,
    )


def _info(source: Any, name: str, default: object) -> Any:
    """What a device or platform says; the default where its driver does not know the question."""
    try:
        return getattr(source, name)
    except (load().Error, AttributeError):
        return default


def _text(source: Any, name: str) -> str:
    return " ".join(str(_info(source, name, "")).replace("\x00", "").split())


def select(name: str) -> OpenClDevice:
    """The device that ``name`` means: empty for the first, a number for its place in the list, or an alias
    in any case of letters.

    UsageError for a name that no device has; PluginError where there is no device at all.
    """
    found = devices()
    if not found:
        raise PluginError(f"opencl: {'no device of any driver' if platforms() else 'no driver'} found; {_advice()}")
    names = _names(found)
    for device, own in zip(found, names, strict=True):
        if name.casefold() in own:
            return device
    shown = "; ".join(f"{', '.join(n for n in own if n)}: {d.name}" for d, own in zip(found, names, strict=True))
    raise UsageError(f"backend opencl has no device {name!r}; there is {shown}")


def _advice() -> str:
    """How to get a device where none is found."""
    replaced = icd.chosen()
    if replaced is None:
        return INSTALL_DRIVER
    name, value = replaced
    return f"{name} is set to {value}, and no other place is searched: unset it; or {INSTALL_DRIVER}"


def listed() -> Sequence[Device]:
    """The devices as a BackendSpec lists them, the default one first; none where there is no driver."""
    found = devices()
    return [
        Device(name=own[0], summary=device.summary, details=device.details(), aliases=own[1:])
        for device, own in zip(found, _names(found), strict=True)
    ]


def _names(found: Sequence[OpenClDevice]) -> list[tuple[str, ...]]:
    """Name and aliases of each device: "" and "0" for the first, its index for another, and words that only it has."""
    words = [_words(device) for device in found]
    counts: dict[str, int] = {}
    for own in words:
        for word in own:
            counts[word] = counts.get(word, 0) + 1
    names = []
    for device, own in zip(found, words, strict=True):
        first = ("", "0") if device.index == 0 else (str(device.index),)
        names.append((*first, *(word for word in own if counts[word] == 1)))
    return names


def _words(device: OpenClDevice) -> list[str]:
    return [*vendors(device), *([device.kind] if device.kind in KINDS else [])]


def vendors(device: OpenClDevice) -> list[str]:
    """Who makes the device or its driver, in the words of the aliases."""
    # The vendor of a CPU says nothing of its driver: pocl runs on everybody's.
    source = f"{device.platform} {device.platform_vendor} {device.vendor if device.kind != 'cpu' else ''}".lower()
    tokens = set("".join(c if c.isalnum() else " " for c in source).split())
    return [word for word, marks in WORDS.items() if any(m in tokens or (" " in m and m in source) for m in marks)]


def inventory() -> dict[str, Any]:
    """``platforms``: what each says of itself, how many devices it has, or the error that it gives instead of them;
    ``devices``: the details of each, and its vendors in the words of the aliases.
    """
    failed: dict[int, str] = {}
    counts: dict[int, int] = {}
    for handle in _handles(lambda platform, error: failed.update({platform.int_ptr: str(error)})):
        counts[handle.platform.int_ptr] = counts.get(handle.platform.int_ptr, 0) + 1
    return {
        "platforms": [
            {name: _text(platform, name) for name in ("name", "vendor", "version", "profile")}
            | {"devices": counts.get(platform.int_ptr, 0), "error": failed.get(platform.int_ptr, "")}
            for platform in platforms()
        ],
        "devices": [device.details() | {"vendors": vendors(device)} for device in devices()],
    }


def environment() -> dict[str, object]:
    """Provenance for ``run.json``: pyopencl, its loader, and the platforms and devices as ``inventory`` has them.

    Only what is installed where this process has used no device: to look at devices loads every driver, which is slow,
    starts threads, and ends the process where a driver is broken.
    """
    if not load.cache_info().currsize:
        found = importlib.util.find_spec("pyopencl") is not None
        return {
            "pyopencl": importlib.metadata.version("pyopencl") if found else None,
            "loaded": False,
            "files": {file.path.name: Path(file.library).name for file in icd.files()},
        }
    cl = load()
    headers = ".".join(str(part) for part in cl.get_cl_header_version())
    return {
        "pyopencl": cl.VERSION_TEXT,
        "loaded": True,
        "headers": headers,
        "loader": icd.loader(),
        "settings": {name: value for name, value in sorted(os.environ.items()) if name.startswith("POCL_")},
        **inventory(),
    }
