"""Where a run took place: everything that can change a figure, and nothing that tells whose machine it was.

Host names, user names and absolute paths are left out; a path in the command line or in what a plugin adds is cut to
its last part. What cannot be read is null, so that "unknown" is never mistaken for "off".
"""

from __future__ import annotations

import concurrent.futures
import datetime
import getpass
import hashlib
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

from chaindp.measure import machine, system

if TYPE_CHECKING:
    from chaindp.plugins import Registry

__all__ = ["LOCK_FILES", "collect", "first_line", "redact"]

PACKAGES = ("numpy", "numba", "llvmlite", "pandas", "pyarrow", "pluggy", "click", "rocksdict", "coincurve", "pyrevm")

TOOLS = {
    "make": ("make", "--version"),
    "perl": ("perl", "-e", "print $^V"),
    "verilator": ("verilator", "--version"),
    "yosys": ("yosys", "-V"),
}
"""Programs that backends with native or simulated parts are built by; the C++ compiler has a key of its own."""

LOCK_FILES = (
    "pylock.toml",
    "requirements.lock",
    "uv.lock",
    "poetry.lock",
    "pdm.lock",
    "Pipfile.lock",
    "conda-lock.yml",
    "requirements.txt",
)

VARIABLES = re.compile(
    r"(CHAINDP|NUMBA|OMP|GOMP|KMP|MKL|OPENBLAS|BLIS|MALLOC|JE_MALLOC|POCL|CUDA|OCL|VERILATOR)_[A-Z0-9_]*"
    r"|PYTHON(HASHSEED|MALLOC|OPTIMIZE|DEVMODE)|GLIBC_TUNABLES|LD_PRELOAD"
)
"""Environment variables that change how a run runs or where its data come from."""

_SECRET = re.compile(r"TOKEN|SECRET|PASSW|CREDENTIAL|KEY")
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

    since = system.cpu_times()
    command = list(sys.argv if argv is None else argv)
    checkout = _checkout()
    # Each is a process, and together they are most of the time that this takes.
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        tools = {name: pool.submit(first_line, *call) for name, call in TOOLS.items()}
        compiler = pool.submit(first_line, "c++", "--version")
        git = pool.submit(_git, checkout)
        pages = machine.transparent_hugepages()
        document: dict[str, object] = {
            "chaindp": __version__,
            "time": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "command": [os.path.basename(command[0]), *map(_redact_argument, command[1:])] if command else [],
            "python": {
                "version": platform.python_version(),
                "implementation": platform.python_implementation(),
                "compiler": platform.python_compiler(),
                "hash_seed": os.environ.get("PYTHONHASHSEED") or "random",
            },
            "packages": {name: _version(name) for name in PACKAGES},
            **_distributions(),
            "lock_files": _lock_files(checkout or Path.cwd()),
            "variables": _variables(os.environ),
            "cpu": machine.cpu(),
            "memory": machine.memory(),
            "load_average": _load_average(),
            "tasks": machine.tasks(),
            "os": {
                "system": platform.system(),
                "kernel": platform.release(),
                "distribution": _distribution(),
                "options": machine.kernel_options(),
                "clocksource": machine.clocksource(),
            },
            "container": machine.container(),
            "virtual_machine": machine.virtual_machine(),
            "limits": machine.cgroup_limits(),
            "numa": machine.numa(),
            "aslr": machine.aslr(),
            "transparent_hugepages": pages["enabled"],
            "transparent_hugepages_defrag": pages["defrag"],
            "drivers": machine.drivers(),
            "compiler": compiler.result(),
            "tools": {name: tool.result() for name, tool in tools.items()},
            "git": git.result(),
        }
    if registry is not None:
        document["plugins"] = [
            {
                "name": row.name,
                "distribution": row.distribution,
                "version": row.version,
                "status": row.status,
                "reason": redact(row.reason),
                "backends": list(row.backends),
                "kernels": list(row.kernels),
                "workloads": list(row.workloads),
            }
            for row in registry.plugins
        ]
        document["environment"] = _json_values(registry.environment(warn or _warn_on_stderr))
    # Last, so that the time in which it watches the CPU is the time that the rest took.
    document["advice"] = [check.name for check in system.system_checks(since=since) if check.ok is False]
    return document


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
    # What pip installed is beside the interpreter, which is on the PATH of an activated environment only.
    program = shutil.which(command[0]) or shutil.which(command[0], path=os.path.dirname(sys.executable))
    if program is None:
        return None
    try:
        done = subprocess.run([program, *command[1:]], capture_output=True, text=True, timeout=10, check=False)
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


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


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


def _distributions() -> dict[str, object]:
    """Every installed distribution as ``name==version``, sorted, and the SHA-256 over these lines."""
    names = sorted({f"{found.name}=={found.version}" for found in importlib.metadata.distributions() if found.name})
    digest = hashlib.sha256("".join(f"{name}\n" for name in names).encode()).hexdigest()
    return {"distributions": names, "distributions_sha256": digest}


def _lock_files(folder: Path) -> list[dict[str, str]] | None:
    """Names and hashes of the files in ``folder`` that pin versions; null where there is none."""
    found = []
    for name in LOCK_FILES:
        try:
            found.append({"name": name, "sha256": hashlib.sha256((folder / name).read_bytes()).hexdigest()})
        except OSError:
            continue
    return found or None


def _variables(variables: Mapping[str, str]) -> dict[str, str]:
    """Those that VARIABLES names, paths cut; of one that looks like a secret, only that it is set."""
    return {
        name: "(set)" if _SECRET.search(name) else ":".join(_redact_argument(part) for part in value.split(":"))
        for name, value in sorted(variables.items())
        if VARIABLES.fullmatch(name)
    }


def _checkout() -> Path | None:
    """The checkout that this package runs from; None for an installed package."""
    package = Path(__file__).resolve().parents[1]
    checkout = package.parents[1]
    # Only its own checkout: a virtual environment may lie inside of somebody else's repository.
    return checkout if package == checkout / "harness" / "chaindp" else None


def _git(checkout: Path | None) -> dict[str, object] | None:
    """Commit and dirty flag of the checkout; null where there is none or it is no git repository."""
    if checkout is None or shutil.which("git") is None:
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
