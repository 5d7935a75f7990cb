"""The cores of ``hdl/``: which there are, which serves which kernel, and how a user names one."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from chaindp.backend import Device, Finding
from chaindp.cores import Core, load_core
from chaindp.cores.description import KERNELS
from chaindp.errors import ChaindpError, UsageError

__all__ = ["Catalogue", "catalogue", "hdl_folder"]


@dataclass(frozen=True, slots=True)
class Catalogue:
    """All configurations of all cores, by the name that selects them; ``broken``: what is wrong with a description.

    The first of a kernel serves it unless another is chosen: cores in the order of their names, each without a
    configuration first. A tree core has one hash, so there is a first one for each.
    """

    cores: Mapping[str, Core]
    broken: Mapping[str, str]

    def serving(self, device: str) -> dict[str, tuple[Core, ...]]:
        """Kernel to the cores that serve it on a device: its own in the first place, then the usual ones.

        UsageError where there is no such device.
        """
        chosen = [self.core(device)] if device else []
        serving: dict[str, list[Core]] = {}
        taken: set[tuple[str, object]] = set()
        for core in (*chosen, *self.cores.values()):
            variant = (core.kernel, core.options.get("hash"))
            if variant not in taken:
                taken.add(variant)
                serving.setdefault(core.kernel, []).append(core)
        return {kernel: tuple(cores) for kernel, cores in serving.items()}

    def lacking(self, kernel: str, cores: Sequence[Core]) -> str:
        """What of a kernel these cores cannot serve, in words; empty where they serve all of it."""
        option = KERNELS[kernel].get("hash")
        missing = set(option.choices) - {core.options["hash"] for core in cores} if option is not None else set()
        return f"no core builds trees with {', '.join(sorted(missing))}" if missing else ""

    def core(self, device: str) -> Core:
        """The core that a device is: by its name here, or PATH or PATH#CONFIGURATION of a ``core.toml``."""
        if device in self.cores:
            return self.cores[device]
        path, _, configuration = device.partition("#")
        if not _is_path(path):
            raise UsageError(f"backend fpga has no device {device!r:.80}, which is no path of a core.toml either")
        return load_core(path, configuration)

    def devices(self) -> list[Device]:
        """The default one, then one for every configuration of every core."""
        serving = self.serving("")
        usual = ", ".join(f"{kernel} by {cores[0].label}" for kernel, cores in serving.items())
        return [
            Device("", f"simulated cores: {usual}" if usual else "no core is there", {"kind": "simulated"}),
            *(device_of(name, core) for name, core in self.cores.items()),
        ]

    def resolve(self, name: str) -> Device | None:
        """A device for a path; None for what is none."""
        return device_of(name, self.core(name)) if _is_path(name.partition("#")[0]) else None

    def findings(self) -> list[Finding]:
        """Which cores are there, for ``chaindp doctor``."""
        findings = [Finding(f"core {name}", False, problem, "mend it") for name, problem in self.broken.items()]
        if not self.cores:
            fix = "install chaindp again: its wheel holds them"
            return [*findings, Finding("cores", False, f"none in {hdl_folder()}", fix)]
        names = sorted({core.name for core in self.cores.values()})
        return [*findings, Finding("cores", True, f"{', '.join(names)}: {len(self.cores)} configurations")]


def device_of(name: str, core: Core) -> Device:
    """A core as a device."""
    details = {"kind": "simulated", "kernel": core.kernel, "clock_mhz": core.clock_mhz, "top": core.top}
    return Device(name, core.summary or f"{core.kernel} by {core.label}", details)


def _is_path(name: str) -> bool:
    return name.endswith(".toml") or "/" in name or Path(name).exists()


def hdl_folder() -> Path:
    """Where the cores are: inside of the package where it is installed, beside ``backends/`` in the repository."""
    here = Path(__file__).resolve().parent
    installed = here / "hdl"
    return installed if installed.is_dir() else here.parents[1] / "hdl"


@functools.cache
def catalogue() -> Catalogue:
    """The cores of ``hdl_folder``, read once."""
    return read_catalogue(hdl_folder())


def read_catalogue(folder: Path) -> Catalogue:
    """Every ``*/core.toml`` of a folder, in all of its configurations."""
    cores: dict[str, Core] = {}
    broken: dict[str, str] = {}
    for path in sorted(folder.glob("*/core.toml")):
        try:
            first = load_core(path)
            found: Sequence[Core] = [first, *(load_core(path, name) for name in first.configurations)]
        except ChaindpError as error:
            broken[path.parent.name] = str(error)
            continue
        cores.update({core.label: core for core in found})
    # Of two cores for one kernel, the one that needs no configuration is the usual one.
    return Catalogue(dict(sorted(cores.items(), key=lambda item: bool(item[1].configuration))), broken)
