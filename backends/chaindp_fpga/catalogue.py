"""The cores of ``hdl/``: which there are, which serves which kernel, and how a user names one."""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from chaindp.backend import Capability, Device, Finding, Support
from chaindp.cores import Core, load_configurations, load_core
from chaindp.cores.description import KERNELS, MAX_DEPTH
from chaindp.errors import ChaindpError, UsageError

__all__ = ["Catalogue", "catalogue", "hdl_folder"]

ALL_KERNELS = (*KERNELS, "merkle_update", "merkle_open", "trie_hash", "intt", "lde", "fri_fold", "ecrecover")


@dataclass(frozen=True, slots=True)
class Catalogue:
    """All configurations of all cores, by the name that selects them; ``broken``: what is wrong with a description.

    The first of a kernel serves it unless another is chosen: cores in the order of their names, each without a
    configuration first. A tree core has one hash, so there is a first one for each.
    """

    cores: Mapping[str, Core]
    broken: Mapping[str, str]

    def serving(self, device: str) -> dict[str, tuple[Core, ...]]:
        """Kernel to the cores that serve it on a device: the usual ones on the default one, and else its own.

        UsageError where there is no such device, and where two of its cores would serve the same.
        """
        chosen = self.chosen(device)
        serving: dict[str, list[Core]] = {}
        taken: dict[tuple[str, object], Core] = {}
        for core in chosen or self.cores.values():
            variant = (core.kernel, core.options.get("hash"))
            if variant not in taken:
                taken[variant] = core
                serving.setdefault(core.kernel, []).append(core)
            elif chosen:
                what = core.kernel if variant[1] is None else f"{core.kernel} with {variant[1]}"
                raise UsageError(
                    f"device {device!r:.200} of backend fpga has two cores for {what}, {taken[variant].label} and "
                    f"{core.label}: name one of them"
                )
        for kernel, cores in serving.items():
            lacking = self.lacking(kernel, cores)
            # By itself it is what it is; beside others it would be taken for what serves the kernel.
            if lacking and len(chosen) > 1:
                raise UsageError(f"device {device!r:.200} of backend fpga: {kernel}: {lacking}; add one with +")
        return {kernel: tuple(cores) for kernel, cores in serving.items()}

    def chosen(self, device: str) -> list[Core]:
        """The cores that a device names, joined by ``+``; none of the default one."""
        return [self.core(name) for name in self._names(device)] if device else []

    def _names(self, device: str) -> list[str]:
        """The names of a device's cores. A path may have a ``+`` of its own: the longest that is there is meant."""
        names, rest = [], device.split("+")
        while rest:
            ends = range(len(rest), 1, -1)
            fitting = (end for end in ends if os.path.exists("+".join(rest[:end]).partition("#")[0]))
            end = next(fitting, 1)
            names.append("+".join(rest[:end]))
            rest = rest[end:]
        return names

    def lacking(self, kernel: str, cores: Sequence[Core]) -> str:
        """What of a kernel these cores cannot serve, in words; empty where they serve all of it."""
        option = KERNELS[kernel].get("hash")
        missing = set(option.choices) - {core.options["hash"] for core in cores} if option is not None else set()
        return f"no core builds trees with {', '.join(sorted(missing))}" if missing else ""

    def declared(self, serving: Mapping[str, Sequence[Core]], kernel: str, otherwise: str) -> Capability:
        """What cores together say of a kernel, each kernel in full; ``otherwise`` is why it is not there."""
        if kernel not in serving:
            return Capability(Support.NOT_IMPLEMENTED, otherwise)
        lacking = self.lacking(kernel, serving[kernel])
        if lacking:
            return Capability(Support.NOT_IMPLEMENTED, lacking)
        return Capability(reason="; ".join(filter(None, map(limit, serving[kernel]))))

    def core(self, name: str) -> Core:
        """A core by its name here, or by PATH or PATH#CONFIGURATION of a ``core.toml``."""
        if name in self.cores:
            return self.cores[name]
        path, _, configuration = name.partition("#")
        if not _is_path(path):
            raise UsageError(f"backend fpga has no device {name!r:.80}, which is no path of a core.toml either")
        return load_core(path, configuration)

    def device(self, name: str) -> Device:
        """The device that consists of the cores of ``name``, and of these only."""
        serving = self.serving(name)
        cores = [core for served in serving.values() for core in served]
        labels = ", ".join(core.label for core in cores)
        what = f"core {labels} serves" if len(cores) == 1 else f"cores {labels} serve"
        otherwise = f"{what} {', '.join(serving)}"
        summaries = (core.summary or f"{core.kernel} by {core.label}" for core in cores)
        details: dict[str, object] = {"kind": "simulated"}
        if len(cores) == 1:
            details |= {"kernel": cores[0].kernel, "clock_mhz": cores[0].clock_mhz, "top": cores[0].top}
            details["options"] = dict(cores[0].options)
        return Device(
            name,
            "; ".join(summaries),
            details,
            capabilities={kernel: self.declared(serving, kernel, otherwise) for kernel in ALL_KERNELS},
        )

    def devices(self) -> list[Device]:
        """The default one, then one for every configuration of every core."""
        serving = self.serving("")
        usual = ", ".join(f"{kernel} by {cores[0].label}" for kernel, cores in serving.items())
        return [
            Device("", f"simulated cores: {usual}" if usual else "no core is there", {"kind": "simulated"}),
            *(self.device(name) for name in self.cores),
        ]

    def resolve(self, name: str) -> Device | None:
        """A device for the path of a description, or for several cores joined by ``+``; None for what is neither.

        It has the kernels of these cores and no other: UsageError where one of them cannot be used, or two of them
        serve the same.
        """
        names = self._names(name)
        return self.device(name) if len(names) > 1 or _is_path(name.partition("#")[0]) else None

    def findings(self) -> list[Finding]:
        """Which cores are there, for ``chaindp doctor``."""
        findings = [Finding(f"core {name}", False, problem, "mend it") for name, problem in self.broken.items()]
        if not self.cores:
            fix = "install chaindp again: its wheel holds them"
            return [*findings, Finding("cores", False, f"none in {hdl_folder()}", fix)]
        names = sorted({core.name for core in self.cores.values()})
        return [*findings, Finding("cores", True, f"{', '.join(names)}: {len(self.cores)} configurations")]


def limit(core: Core) -> str:
    """What of its kernel's arguments a core refuses, in words; empty where it takes all."""
    least, most = core.options.get("min_log2_size"), core.options.get("max_log2_size")
    if most is not None:
        return f"transforms of {'up to ' if not least else f'2^{least} to ' if least != most else ''}2^{most} elements"
    depth = core.options.get("max_depth", MAX_DEPTH)
    return f"trees of up to 2^{depth} leaves" if depth != MAX_DEPTH else ""


def _is_path(name: str) -> bool:
    return name.endswith(".toml") or "/" in name or os.path.exists(name)


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
            found = load_configurations(path).values()
        except ChaindpError as error:
            broken[path.parent.name] = str(error)
            continue
        cores.update({core.label: core for core in found})
    # Of two cores for one kernel, the one that needs no configuration is the usual one.
    return Catalogue(dict(sorted(cores.items(), key=lambda item: bool(item[1].configuration))), broken)
