"""The checks of ``chaindp doctor``: each tries the thing itself, not a version that should have it."""

from __future__ import annotations

import dataclasses
import functools
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from chaindp.backend import Finding
from chaindp.errors import ChaindpError
from chaindp.measure.devices import ask, ask_alone
from chaindp.measure.environment import first_line, redact
from chaindp.measure.machine import cpu
from chaindp.measure.system import system_checks
from chaindp.plugins import Registry, describe_error, load_plugins
from chaindp.results.store import DEFAULT_RUNS

__all__ = ["Check", "run_checks"]

MINIMUM_PYTHON = (3, 11)


@dataclass(frozen=True, slots=True)
class Check:
    """One check. ``required``: no run works without it; ``fix`` says what to do where it is not ok.

    ok:     None where it is unknown (of advice) or is a note, neither right nor wrong
    advice: everything works either way, and figures are steadier where it is ok
    """

    name: str
    ok: bool | None
    detail: str
    fix: str = ""
    required: bool = False
    advice: bool = False


def run_checks(warn: Callable[[str], None]) -> list[Check]:
    """All checks, in the order in which one would mend what they find. PluginError where two plugins claim one name."""
    checks = [_python(), _simd(), _numba(), *_programs()]
    registry = load_plugins(warn)
    for row in registry.plugins:
        ours = row.distribution == "chaindp"
        fix = "run make again to install chaindp anew" if ours else f"update or uninstall {row.distribution}"
        checks.append(Check(f"plugin {row.name}", row.status == "ok", row.reason or row.label, fix, ours))
    for name in registry.backends:
        checks.extend(_backend(registry, name))
    checks += [_rocksdict(), _results_folder(), _data(), *_system()]
    return [dataclasses.replace(check, fix="") if check.ok else check for check in checks]


def _python() -> Check:
    version = platform.python_version()
    return Check(
        "python", sys.version_info >= MINIMUM_PYTHON, version, "install Python 3.11 or later; then run make again", True
    )


def _simd() -> Check:
    flags = cpu()["flags"]
    assert isinstance(flags, list)
    have = [flag for flag in ("avx2", "avx512f", "avx512vl", "sha_ni", "asimd", "sve") if flag in flags]
    vector = any(flag in have for flag in ("avx2", "avx512f", "asimd", "sve"))
    return Check(
        "simd", vector, ", ".join(have) or "none", "nothing to install: this CPU runs the kernels several times slower"
    )


def _numba() -> Check:
    try:
        import numba

        answer = int(numba.njit()(_triangle)(1000))
    except Exception as error:
        return Check("numba", False, describe_error(error), "run make again to install the dependencies", True)
    return Check("numba", answer == 499_500, f"{numba.__version__} compiles", "reinstall numba and llvmlite", True)


def _triangle(count: int) -> int:
    total = 0
    for value in range(count):
        total += value
    return total


def _programs() -> list[Check]:
    """Tools that plugins with native or simulated parts need; the shipped CPU backend does not."""
    checks = []
    for name, command, package in (("c++", "c++", "g++"), ("make", "make", "make"), ("perl", "perl", "perl")):
        found = shutil.which(command) is not None
        detail = first_line(command, "--version") or ("runs" if found else "not found")
        if name == "perl" and found:
            detail = first_line("perl", "-e", "print $^V") or "runs"
        checks.append(Check(name, found, detail, f"apt-get install {package}"))
    return checks


def _backend(registry: Registry, name: str) -> list[Check]:
    """What the backend says of its drivers, and whether every device opens and hashes a known answer."""
    provider = registry.providers["backend", name]
    checks = _findings(registry, name)
    # What mends the drivers mends the devices, too.
    fixes = dict.fromkeys(check.fix for check in checks if check.ok is False)
    fix = "; ".join(fixes) or f"see the documentation of plugin {provider}"
    # Only what ships with chaindp is needed by a plain run.
    required = provider.startswith("cpu (chaindp ")
    # A backend that has drivers to speak of has some that may take the process along when they fail.
    answer = ask_alone if registry.backends[name].diagnose is not None else functools.partial(ask, registry)
    try:
        devices = answer("list", name)
    except Exception as error:
        return [*checks, Check(f"backend {name}", False, describe_error(error), fix, required)]
    if not devices:
        return [*checks, Check(f"backend {name}", False, "no device", fix, required)]
    # Devices that are simulated work where one does, and to open one may be to build it.
    for device in devices[:1] if registry.backends[name].simulates else devices:
        selector = f"{name}:{device}" if device else name
        try:
            (detail,) = answer("hash", selector)
            checks.append(Check(f"backend {selector}", True, detail, "", required))
        except Exception as error:
            checks.append(Check(f"backend {selector}", False, describe_error(error), fix, required))
    return checks


def _findings(registry: Registry, name: str) -> list[Check]:
    """What a backend found when it looked at its drivers; none of it is needed by a plain run."""
    diagnose = registry.backends[name].diagnose
    if diagnose is None:
        return []
    fix = f"see the documentation of plugin {registry.providers['backend', name]}"
    try:
        findings = list(diagnose())
        wrong = [finding for finding in findings if not isinstance(finding, Finding)]
        if wrong:
            raise ChaindpError(f"yields {wrong[0]!r}, which is not a Finding")
    except (Exception, SystemExit) as error:
        return [Check(f"{name} diagnosis", False, describe_error(error), fix)]
    return [
        Check(f"{name} {found.name}", found.ok, found.detail, found.fix or (fix if found.ok is False else ""))
        for found in findings
    ]


def _rocksdict() -> Check:
    try:
        from rocksdict import Options, Rdict

        with tempfile.TemporaryDirectory() as folder:
            with Rdict(folder, Options(raw_mode=True)) as database:
                database[b"key"] = b"value"
            with Rdict(folder, Options(raw_mode=True)) as database:
                ok = database.get(b"key") == b"value"
    except ImportError as error:
        return Check("rocksdict", False, redact(describe_error(error)), "pip install rocksdict", True)
    except Exception as error:
        fix = "make room in the temporary folder, or point TMPDIR to one that can be written"
        return Check("rocksdict", False, redact(describe_error(error)), fix, True)
    return Check("rocksdict", ok, "writes and reads back", "reinstall rocksdict", True)


def _results_folder() -> Check:
    # The nearest folder that is there: a check makes none.
    folder = next(path for path in (DEFAULT_RUNS, *DEFAULT_RUNS.parents) if path.is_dir())
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        return Check("results", False, f"{folder}: {error.strerror}", "give --out a folder that can be written")
    free = shutil.disk_usage(folder).free / 2**30
    return Check("results", True, f"{DEFAULT_RUNS} can be written, {free:.1f} GiB free")


def _system() -> list[Check]:
    """What makes figures noisy on this machine right now."""
    return [Check(f"system {seen.name}", seen.ok, seen.detail, seen.fix, advice=True) for seen in system_checks()]


def _data() -> Check:
    """Real blocks and official tests: wanted by ``chaindp verify`` and some tests only."""
    places = [Path(os.environ["CHAINDP_DATA"])] if os.environ.get("CHAINDP_DATA") else []
    checkout = Path(__file__).resolve().parents[3]
    places += [folder / "shared" / "data" for folder in (Path(".."), checkout.parent)]
    for place in places:
        if (place / "mainnet").is_dir():
            return Check("data", True, f"{len(list((place / 'mainnet').iterdir()))} blocks")
    return Check("data", False, "no real blocks found", "set CHAINDP_DATA to a folder with mainnet/")
