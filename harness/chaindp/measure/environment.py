"""Where a run took place: everything that can change a figure, and nothing that tells whose machine it was.

Host names, user names and absolute paths are left out; a path in the command line or in what a plugin adds is cut to
its last part. What cannot be read is null, so that "unknown" is never mistaken for "off".
"""

from __future__ import annotations

import datetime
import getpass
import importlib.metadata
import os
import platform
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from chaindp.plugins import Registry

__all__ = ["collect", "cpu", "first_line", "redact"]

PACKAGES = ("numpy", "numba", "llvmlite", "pandas", "pyarrow", "pluggy", "click", "rocksdict", "coincurve", "pyrevm")

_ADDR_NO_RANDOMIZE = 0x0040000  # personality(2)
_PATH = re.compile(r"(?<![^\s=:,;'\"(\[])~?/(?!/)[^\s:,;'\")\]]*[^\s:,;'\")\]/]/?")


def collect(
    *, registry: Registry | None = None, argv: Sequence[str] | None = None, warn: Callable[[str], None] | None = None
) -> dict[str, object]:
    """Provenance of a run as JSON values, for ``run.json``.

    registry: adds the rows of its plugins and what each one's ``chaindp_environment`` yields
    argv:     the command line to record, ``sys.argv`` by default
    warn:     takes one line for each plugin whose provenance fails; the default writes it to stderr
    """
    from chaindp import __version__

    command = list(sys.argv if argv is None else argv)
    document: dict[str, object] = {
        "chaindp": __version__,
        "time": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "command": [os.path.basename(command[0]), *map(_redact_argument, command[1:])] if command else [],
        "python": {
            "version": platform.python_version(),
            "implementation": platform.python_implementation(),
            "compiler": platform.python_compiler(),
        },
        "packages": {name: _version(name) for name in PACKAGES},
        "cpu": cpu(),
        "memory": _memory(),
        "load_average": _load_average(),
        "os": {"system": platform.system(), "kernel": platform.release(), "distribution": _distribution()},
        "container": _container(),
        "aslr": _aslr(),
        "transparent_hugepages": _chosen(_read("/sys/kernel/mm/transparent_hugepage/enabled")),
        "compiler": first_line("c++", "--version"),
        "git": _git(),
    }
    if registry is not None:
        document["plugins"] = [
            {
                "name": row.name,
                "distribution": row.distribution,
                "version": row.version,
                "status": row.status,
                "reason": redact(row.reason),
            }
            for row in registry.plugins
        ]
        document["environment"] = _json_values(registry.environment(warn or _warn_on_stderr))
    return document


def cpu() -> dict[str, object]:
    """Model, flags, cores, governor and turbo of the CPU, as far as Linux tells."""
    info = _read("/proc/cpuinfo") or ""
    return {
        "model": _field(info, "model name") or platform.processor() or None,
        "architecture": platform.machine(),
        "family_model_stepping": [_field(info, name) for name in ("cpu family", "model", "stepping")],
        "flags": sorted((_field(info, "flags") or _field(info, "Features") or "").split()),
        "cores_logical": os.cpu_count(),
        "cores_physical": _physical_cores(),
        "cores_usable": len(os.sched_getaffinity(0)),
        "mhz": _number(_field(info, "cpu MHz")),
        "governor": _read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        "turbo": _turbo(),
        "smt": _read("/sys/devices/system/cpu/smt/control"),
        "hypervisor": "hypervisor" in (_field(info, "flags") or "").split(),
    }


def redact(text: str) -> str:
    """``text`` without what is private to a machine: absolute paths cut to their last part, host and user replaced."""
    cwd, home = os.getcwd(), os.path.expanduser("~")
    for folder, short in ((cwd, "."), (home, "~")):
        if len(folder) > 1:
            text = re.sub(re.escape(folder) + r"(?=/|$|[\s:,;'\"\)])", short, text)
    text = _PATH.sub(lambda match: ".../" + match[0].rstrip("/").rpartition("/")[2], text)
    for private, short in ((socket.gethostname(), "HOST"), (_user(), "USER")):
        # Short names such as "ci" would be found inside of ordinary words and versions; "root" is nobody's name.
        if len(private) > 3 and private not in ("root", "localhost"):
            text = re.sub(rf"(?<![\w-]){re.escape(private)}(?![\w-])", short, text)
    return text


def _redact_argument(argument: str) -> str:
    """One word of a command line; unlike in running text, a path is all of it, spaces included."""
    option, equals, value = argument.partition("=") if argument.startswith("-") else ("", "", argument)
    if not value.startswith("/"):
        return redact(argument)
    relative = os.path.relpath(value)
    inside = not relative.startswith("..")
    return option + equals + redact(relative if inside else ".../" + value.rstrip("/").rpartition("/")[2])


def first_line(*command: str) -> str | None:
    """The first line that a command prints, paths cut; None where it is not there, fails or takes more than 10 s."""
    if shutil.which(command[0]) is None:
        return None
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired, UnicodeDecodeError):
        return None
    lines = done.stdout.splitlines()
    return redact(lines[0].strip()) if done.returncode == 0 and lines else None


def _json_values(value: object) -> Any:
    """What a plugin yields as plain JSON values; what is not one is recorded as text."""
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if value == value and abs(value) != float("inf") else None
    if isinstance(value, Mapping):
        return {str(key): _json_values(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_json_values(item) for item in value]
    return redact(str(value))


def _read(path: str) -> str | None:
    try:
        return Path(path).read_text(errors="replace").strip()
    except OSError:
        return None


def _field(info: str, name: str) -> str | None:
    match = re.search(rf"^{re.escape(name)}\s*:\s*(.*)$", info, re.MULTILINE)
    return match[1].strip() if match else None


def _number(text: str | None) -> float | None:
    try:
        return float(text) if text is not None else None
    except ValueError:
        return None


def _chosen(text: str | None) -> str | None:
    """The word in brackets of a sysfs file such as ``always [madvise] never``."""
    match = re.search(r"\[(\w+)\]", text or "")
    return match[1] if match else None


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _physical_cores() -> int | None:
    import psutil

    cores: int | None = psutil.cpu_count(logical=False)
    return cores


def _turbo() -> bool | None:
    no_turbo = _read("/sys/devices/system/cpu/intel_pstate/no_turbo")
    if no_turbo is not None:
        return no_turbo == "0"
    boost = _read("/sys/devices/system/cpu/cpufreq/boost")
    return None if boost is None else boost == "1"


def _memory() -> dict[str, object]:
    import psutil

    memory = psutil.virtual_memory()
    return {"total_bytes": memory.total, "available_bytes": memory.available, "swap_bytes": psutil.swap_memory().total}


def _load_average() -> list[float] | None:
    try:
        return list(os.getloadavg())
    except OSError:
        return None


def _distribution() -> str | None:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME")
    except OSError:
        return None


def _container() -> str | None:
    """What kind of container this looks like; null where nothing hints at one."""
    for path, kind in (("/.dockerenv", "docker"), ("/run/.containerenv", "podman")):
        if os.path.exists(path):
            return kind
    if os.environ.get("KUBERNETES_SERVICE_HOST"):
        return "kubernetes"
    match = re.search(r"docker|kubepods|containerd|lxc|libpod", _read("/proc/1/cgroup") or "")
    return match[0] if match else None


def _aslr() -> dict[str, object]:
    level, personality = _read("/proc/sys/kernel/randomize_va_space"), _read("/proc/self/personality")
    disabled = bool(int(personality, 16) & _ADDR_NO_RANDOMIZE) if personality else None
    return {"randomize_va_space": int(level) if level and level.isdigit() else None, "disabled_for_process": disabled}


def _git() -> dict[str, object] | None:
    """Commit and dirty flag of the checkout that this package runs from; null for an installed package."""
    package = Path(__file__).resolve().parents[1]
    checkout = package.parents[1]
    # Only its own checkout: a virtual environment may lie inside of somebody else's repository.
    if package != checkout / "harness" / "chaindp" or shutil.which("git") is None:
        return None
    commit = _git_output(checkout, "rev-parse", "HEAD")
    if commit is None:
        return None
    status = _git_output(checkout, "status", "--porcelain")
    return {"commit": commit, "dirty": None if status is None else status != ""}


def _git_output(checkout: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(checkout), *arguments], capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        return ""


def _warn_on_stderr(line: str) -> None:
    print(f"chaindp: warning: {line}", file=sys.stderr)
