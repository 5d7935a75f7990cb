"""Builds a core by its ``core.toml`` and runs its cocotb tests in Verilator; for pytest, not inside the simulator."""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import hashlib
import json
import os
import re
import shlex
import shutil
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import cocotb_tools
from cocotb_tools.runner import Verilator

from chaindp.cores import Core, load_core
from chaindp.cores.rtl import verilog_value
from chaindp.cores.toolchain import Toolchain, environment, find_toolchain
from chaindp.errors import PluginError

__all__ = ["CORES", "HDL", "cache_folder", "configurations", "missing_tools", "run"]

HDL = Path(__file__).parents[2]
CORES = sorted(path.parent.name for path in HDL.glob("*/core.toml"))
"""The names of our cores: the folders that have a description."""
ASSERTION = re.compile(r"Assertion failed in .*")
"""Of the RTL, as Verilator says it."""


def missing_tools() -> str:
    """What cocotb with Verilator lacks here, and how to get it; empty where nothing is missing."""
    try:
        find_toolchain()
    except PluginError as error:
        return str(error)
    lacking = [tool for tool in ("make", "perl", "c++") if shutil.which(tool) is None]
    return f"not installed: {', '.join(lacking)}; as root: apt-get install g++ make perl" if lacking else ""


def configurations(core: str) -> list[str]:
    """The configurations of a core, the default one first."""
    return ["", *load_core(HDL / core).configurations]


def cache_folder() -> Path:
    """Where models are kept between runs: Verilator and make build again what has changed."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "chaindp" / "cocotb"


def run(
    core: str,
    configuration: str = "",
    *,
    seed: int = 1,
    parameters: Mapping[str, int | str] | None = None,
    test_filter: str | None = None,
    folder: Path | None = None,
    hdl: Path = HDL,
) -> dict[str, int]:
    """Run ``hdl/<core>/tb/test_<core>.py``; the counters of its functional coverage.

    AssertionError names the tests that fail. Registers start at random values drawn from ``seed``, which seeds the
    tests as well. ``parameters`` change those of the configuration, ``test_filter`` is a regular expression of test
    names. Tests find all parameters as JSON in CORE_PARAMETERS, and the configuration in CORE_CONFIGURATION. With
    ``WAVES=1`` in the environment ``dump.vcd`` is left in the folder of the model, which is one of the cache where
    ``folder`` does not say otherwise.
    """
    described = load_core(hdl / core, configuration)
    described = dataclasses.replace(described, parameters={**described.parameters, **(parameters or {})})
    waves = os.environ.get("WAVES", "0") not in ("", "0")
    tools = find_toolchain()
    if folder is None:
        changes = "".join(f"-{name}{value}" for name, value in (parameters or {}).items())
        folder = _model_folder(f"{described.label}{changes}{'-waves' if waves else ''}", hdl, tools)
    # The runner hands its own environment and sys.path to make and to the Python inside the simulator.
    with _locked(folder), _environment(tools), _paths(hdl / core / "tb", hdl / "common" / "tb"):
        try:
            runner = _build(described, tools, folder, waves)
        except (SystemExit, RuntimeError):
            raise AssertionError(f"{described.label}: the model did not build; see {folder / 'build.log'}") from None
        coverage_file = folder / f"coverage-{seed}.json"
        coverage_file.unlink(missing_ok=True)
        results, log = folder / f"results-{seed}.xml", folder / f"test-{seed}.log"
        results.unlink(missing_ok=True)
        log.unlink(missing_ok=True)
        # It exits where a test fails, and raises where the RTL ends the simulation; which of them is said below.
        with contextlib.suppress(SystemExit, RuntimeError):
            runner.test(
                test_module=f"test_{core}",
                hdl_toplevel=described.top,
                build_dir=folder,
                test_dir=folder,
                seed=seed,
                waves=waves,
                plusargs=["+verilator+rand+reset+2", f"+verilator+seed+{seed}"],
                extra_env={
                    "CORE_PARAMETERS": json.dumps(dict(described.parameters)),
                    "CORE_CONFIGURATION": configuration,
                    "COVERAGE_FILE": str(coverage_file),
                },
                results_xml=str(results),
                log_file=log,
                test_filter=test_filter,
            )
        if said := ASSERTION.search(log.read_text(errors="replace") if log.exists() else ""):
            raise AssertionError(f"{described.label}: {said.group()}; see {log}")
        if not results.exists():
            raise AssertionError(f"{described.label}: cocotb did not come to an end; see {log}")
        cases = list(ElementTree.parse(results).iter("testcase"))
        counts = json.loads(coverage_file.read_text()) if coverage_file.exists() else {}
    failed = [case.get("name") for case in cases if case.find("failure") is not None or case.find("error") is not None]
    ran = [case for case in cases if case.find("skipped") is None]
    if failed or not ran:
        raise AssertionError(f"{described.label}: cocotb tests failed: {failed or 'none ran'}; see {log}")
    return counts


class _SharedRuntime(Verilator):
    """Verilator with the compiled run-time library put in place between verilating and make."""

    runtime: Path

    def _build_command(self) -> list[list[str]]:
        verilate, *rest = super()._build_command()
        if not any(self.runtime.glob("*.o")):
            return [verilate, *rest]
        # Objects older than the makefile would be compiled again.
        place = f"[ verilated.o -nt Vtop.mk ] || cp {shlex.quote(str(self.runtime))}/*.o ."
        return [verilate, ["sh", "-c", f"cd {shlex.quote(str(self.build_dir))} && {place}"], *rest]


def _build(core: Core, tools: Toolchain, folder: Path, waves: bool) -> _SharedRuntime:
    runner = _SharedRuntime()
    runner.runtime = _runtime_folder(tools, waves)
    runner.build(
        sources=[source.resolve() for source in core.sources],
        includes=[include.resolve() for include in core.include_dirs],
        defines=dict(core.defines),
        hdl_toplevel=core.top,
        parameters={name: verilog_value(value) for name, value in core.parameters.items()},
        # One file of C++: the makefiles of the PyPI wheel cannot build several, for want of a precompiled header.
        build_args=["--x-assign", "unique", "--x-initial", "unique", "--assert", "--output-split", "0"]
        + [f"-Wno-{code}" for code in core.lint_off],
        build_dir=folder,
        waves=waves,
        timescale=("1ns", "1ps"),
        log_file=folder / "build.log",
    )
    # Beside the models of the cache, which a folder of one's own may be the first to need.
    runner.runtime.mkdir(parents=True, exist_ok=True)
    for compiled in folder.glob("verilated*.o"):
        if not (runner.runtime / compiled.name).exists():
            half = runner.runtime / f"{compiled.name}.{os.getpid()}"
            shutil.copyfile(compiled, half)
            half.rename(runner.runtime / compiled.name)
    return runner


def _model_folder(label: str, hdl: Path, tools: Toolchain) -> Path:
    """Where a model is kept: the makefile in it names files of one checkout and of one environment."""
    place = _digest(hdl.resolve(), Path(cocotb_tools.__file__).resolve(), tools.verilator.root)
    name = re.sub(r"[^\w-]", "", label)
    return cache_folder() / f"{name}-{place}"


def _runtime_folder(tools: Toolchain, waves: bool) -> Path:
    """Where the compiled run-time library of this Verilator and compiler is kept: it takes longer than most cores."""
    key = _digest(tools.verilator.root, tools.verilator.version, tools.compiler.version, waves)
    return cache_folder() / f"runtime-{key}"


def _digest(*parts: object) -> str:
    """Sixteen hexadecimal digits that stand for ``parts``."""
    return hashlib.sha256("\n".join(map(str, parts)).encode()).hexdigest()[:16]


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Alone in ``folder``: two test runs at once take turns."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def _environment(tools: Toolchain) -> Iterator[None]:
    """PATH and VERILATOR_ROOT as this Verilator wants them."""
    wanted: dict[str, Any] = {
        name: value for name, value in environment(tools.verilator).items() if name in ("PATH", "VERILATOR_ROOT")
    }
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextlib.contextmanager
def _paths(*folders: Path) -> Iterator[None]:
    """``folders`` in front of sys.path."""
    before = list(sys.path)
    sys.path[:0] = map(str, folders)
    try:
        yield
    finally:
        sys.path[:] = before
