"""From a core to a library of its model and the driver: verilated, compiled, kept by the hash of all that went in.

``chaindp.cores.cache`` says where.
"""

from __future__ import annotations

import contextlib
import enum
import hashlib
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chaindp.cores.cache import beside, cache_folder, finish, intact, kept, locked, prune
from chaindp.cores.description import Core
from chaindp.cores.ports import ports_header
from chaindp.cores.rtl import Contents, check_files, read_rtl
from chaindp.cores.toolchain import Compiler, Toolchain, environment, find_toolchain
from chaindp.cores.verilator import check_ports, read_ports, verilate
from chaindp.errors import InputError, PluginError

__all__ = ["Built", "Flavour", "build", "build_flags", "make_library"]

DRIVER = Path(__file__).parent / "driver"
LIBRARY = "core.so"
DRIVER_SOURCES = ("driver.cpp", "job.h", "print.h")
HOW = ("build.py", "ports.py", "rtl.py", "verilator.py")
"""What decides how a library is made: a changed rule makes another library."""

ATTEMPTS = 3
"""How often a build begins again because a source has changed under it."""

SECONDS = 600
"""How long the compiler may take over one file."""


class Flavour(enum.StrEnum):
    """What a build is for.

    FAST:  bulk simulation: registers that nothing sets begin at 0, assertions are left out
    CHECK: registers begin at random, by a seed, and an X is a random value; assertions are on
    TRACE: as CHECK, and writes a VCD on request; registers begin at 0 unless random values are asked for
    """

    FAST = "fast"
    CHECK = "check"
    TRACE = "trace"


VERILATOR_FLAGS = {
    Flavour.FAST: ("-O3", "--x-assign", "fast", "--x-initial", "fast", "--no-assert"),
    Flavour.CHECK: ("-O3", "--x-assign", "unique", "--x-initial", "unique", "--assert"),
    Flavour.TRACE: ("-O3", "--x-assign", "unique", "--x-initial", "unique", "--assert", "--trace"),
}

# -march=native and the choice between -O2 and -O3 were within a tenth of this, either way, for our cores with GCC 12;
# without it, a cache may be shared by machines.
FAST_FLAGS = ("-O3",)
PLAIN_FLAGS = ("-O1",)
SLOW_FLAGS = ("-O0",)
"""For what runs once, such as initial blocks."""

# All of a library is its own, the run-time library included: two cores in one process must not share any of it.
COMMON_FLAGS = (
    *("-std=gnu++17", "-fPIC", "-w", "-fvisibility=hidden", "-fvisibility-inlines-hidden", "-DVL_TIME_CONTEXT"),
    *("-DVERILATOR=1", "-DVM_COVERAGE=0", "-DVM_SC=0", "-DVM_TIMING=0", "-DVM_TRACE_FST=0", "-DVM_TRACE_SAIF=0"),
    *("-DVL_USER_FINISH", "-DVL_USER_STOP", "-DVL_USER_FATAL", "-DVL_USER_WARN"),
    "-DVL_PRINTF=chaindp_print",
)
GCC_FLAGS = ("-fno-gnu-unique",)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Built:
    """A core as a library.

    library:  the shared object
    key:      of the build: two builds with the same key are the same
    rtl_hash: of what the RTL consists of, see ``chaindp.cores.rtl``
    flags:    of Verilator and of the compiler for the model
    seconds:  that building took; what a build from the cache once took
    cached:   whether it was there
    """

    core: Core
    flavour: Flavour
    library: Path
    key: str
    rtl_hash: str
    verilator: str
    compiler: str
    flags: tuple[str, ...]
    seconds: float
    cached: bool


def build(core: Core, flavour: Flavour = Flavour.FAST) -> Built:
    """The library of a core, from the cache where it is there.

    InputError, one line FILE:LINE: MESSAGE, for RTL that does not compile or ports that are not as described;
    PluginError where a tool is missing or fails.
    """
    tools = find_toolchain()
    for _ in range(ATTEMPTS):
        built = _build(core, flavour, tools, read_rtl(core))
        if built is not None:
            return built
    raise InputError(f"{core.at('sources')}: the sources change while they are built")


def _build(core: Core, flavour: Flavour, tools: Toolchain, hashed: Contents) -> Built | None:
    """The library of the RTL that was hashed; None where the RTL is another one meanwhile."""
    flags = build_flags(flavour)
    key = _key(core, flavour, tools, hashed.sha256, flags)
    folder = cache_folder()

    def built(entry: Path, noted: dict[str, Any], cached: bool) -> Built:
        return Built(
            core=core,
            flavour=flavour,
            library=entry / LIBRARY,
            key=key,
            rtl_hash=hashed.sha256,
            verilator=tools.verilator.version_text,
            compiler=tools.compiler.version,
            flags=flags,
            seconds=float(noted["seconds"]),
            cached=cached,
        )

    entry = folder / key
    with locked(folder, key):
        noted = intact(entry, [LIBRARY])
        if noted is not None:
            return built(entry, noted, cached=True)
        try:
            with beside(folder, entry) as scratch:
                started = time.monotonic()
                make_library(core, flavour, tools, scratch, hashed=hashed)
                noted = finish(scratch, [LIBRARY], time.monotonic() - started)
        except _Changed:
            return None
        with kept(folder):
            prune(folder, keep=key)
    return built(entry, noted, cached=False)


class _Changed(Exception):
    """What was verilated is not what was hashed."""


def build_flags(flavour: Flavour) -> tuple[str, ...]:
    """The options of Verilator, and of the compiler for the model."""
    return (*VERILATOR_FLAGS[flavour], *_model_flags(flavour))


def _key(core: Core, flavour: Flavour, tools: Toolchain, hashed: str, flags: Sequence[str]) -> str:
    digest = hashlib.sha256()
    parts = [hashed, flavour, *flags, *COMMON_FLAGS, *tools.compiler.command, tools.compiler.version]
    parts += [tools.verilator.version_text, tools.verilator.origin, ports_header(core, {})]
    for part in parts:
        digest.update(f"{len(part)}:{part}".encode())
    for path in (*(DRIVER / name for name in DRIVER_SOURCES), *(DRIVER.parent / name for name in HOW)):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _model_flags(flavour: Flavour) -> tuple[str, ...]:
    return FAST_FLAGS if flavour is Flavour.FAST else PLAIN_FLAGS


def make_library(
    core: Core,
    flavour: Flavour,
    tools: Toolchain,
    scratch: Path,
    *,
    hashed: Contents | None = None,
    driver: Path = DRIVER / "driver.cpp",
    flags: Sequence[str] | None = None,
) -> Path:
    """Build ``core.so`` in ``scratch`` and return it.

    hashed: what the RTL has to consist of
    driver: another C++ file in the place of the driver, which finds the model by "ports.h": for comparisons
    flags:  of the compiler for the model, instead of the flavour's
    """
    model = scratch / "model"
    with kept(scratch):
        model.mkdir()
    verilate(core, VERILATOR_FLAGS[flavour], model)
    if hashed is not None:
        if read_rtl(core) != hashed:
            raise _Changed
        check_files(core, hashed, model / "Vcore__verFiles.dat", tools.verilator.root)
    ports = read_ports(model / "Vcore.h")
    check_ports(core, ports)
    classes = _classes(model / "Vcore_classes.mk")
    if "verilated_dpi" in classes["global"]:
        raise InputError(f"{core.at('sources')}: the RTL has functions imported or exported by DPI: leave them out")
    # As one file, the compiler sees through the model's whole evaluation.
    fast = [driver, *(model / f"{name}.cpp" for name in classes["fast"])]
    with kept(scratch):
        (model / "ports.h").write_text(ports_header(core, ports), encoding="utf-8")
        _together(scratch / "fast.cpp", fast)
        _together(scratch / "slow.cpp", [model / f"{name}.cpp" for name in classes["slow"]])
    traced = int(flavour is Flavour.TRACE)
    defines = (f"-DVM_TRACE={traced}", f"-DVM_TRACE_VCD={traced}", f"-DCHAINDP_TIME={int(flavour is not Flavour.FAST)}")
    include = tools.verilator.include
    places = [f"-I{DRIVER}", f"-I{model}", f"-I{include}", f"-I{include / 'vltstd'}"]
    runtime = _runtime(tools, classes["global"], defines)
    compiler = tools.compiler
    command = (*compiler.command, *_common(compiler), *defines, *places, "-c")
    _run_all(
        tools,
        core.label,
        [
            (*command, *(_model_flags(flavour) if flags is None else flags), "fast.cpp", "-o", "fast.o"),
            (*command, *SLOW_FLAGS, "slow.cpp", "-o", "slow.o"),
        ],
        scratch,
    )
    # With -z defs, what nobody defines is told here and not when the library is loaded.
    link = (*compiler.command, "-shared", "-fPIC", "fast.o", "slow.o", *map(str, runtime), "-o", LIBRARY)
    # Verilator's library asks for what clang does not inline.
    atomic = ("-latomic",) if compiler.clang else ()
    libraries = ("-lpthread", "-ldl", "-lm", *atomic)
    wrapped = ("-Wl,--wrap=fopen",) if driver == DRIVER / "driver.cpp" else ()
    _run_all(tools, core.label, [(*link, "-Wl,-Bsymbolic", "-Wl,-z,defs", *wrapped, *libraries)], scratch)
    return scratch / LIBRARY


def _runtime(tools: Toolchain, names: Sequence[str], defines: Sequence[str]) -> list[Path]:
    """Verilator's run-time library, compiled; the same for all cores, so it is kept as well."""
    folder = cache_folder()
    include = tools.verilator.include
    flags = (*_common(tools.compiler), *defines, "-O2")
    tool = (*tools.compiler.command, tools.compiler.version, tools.verilator.version_text, tools.verilator.origin)
    parts = (*names, *flags, *tool, (DRIVER / "print.h").read_text(encoding="utf-8"))
    key = hashlib.sha256("\0".join(parts).encode()).hexdigest()
    entry, objects = folder / key, [f"{name}.o" for name in names]
    with locked(folder, key):
        if intact(entry, objects) is None:
            started = time.monotonic()
            with beside(folder, entry) as scratch:
                places = (f"-I{include}", f"-I{include / 'vltstd'}")
                command = (*tools.compiler.command, *flags, *places, "-c")
                jobs = [(*command, str(include / f"{name}.cpp"), "-o", f"{name}.o") for name in names]
                _run_all(tools, "Verilator's run-time library", jobs, scratch)
                finish(scratch, objects, time.monotonic() - started)
    return [entry / name for name in objects]


def _common(compiler: Compiler) -> tuple[str, ...]:
    own = () if compiler.clang else GCC_FLAGS
    return (*COMMON_FLAGS, *own, "-include", str(DRIVER / "print.h"))


def _classes(listing: Path) -> dict[str, list[str]]:
    """The files of a model without their suffix: often run, rarely run, and of the run-time library."""
    files: dict[str, list[str]] = {"fast": [], "slow": [], "global": []}
    current: list[str] | None = None
    for line in listing.read_text(encoding="utf-8").splitlines():
        begins = re.match(r"VM_(CLASSES|SUPPORT|GLOBAL)_(FAST|SLOW) \+=", line)
        if begins:
            current = files["global" if begins[1] == "GLOBAL" else begins[2].lower()]
        elif current is not None and line.startswith(" ") and line.strip(" \\"):
            current.append(line.strip(" \\"))
        else:
            current = None
    return files


def _together(path: Path, files: Sequence[Path]) -> None:
    path.write_text("".join(f'#include "{file}"\n' for file in files), encoding="utf-8")


def _run_all(tools: Toolchain, what: str, commands: Sequence[Sequence[str]], folder: Path) -> None:
    """Run the compiler's commands at the same time; PluginError with the first error where one fails.

    Whatever ends this early, a time limit or Ctrl-C, ends the compilers as well.
    """
    env = environment(tools.verilator)
    ends = time.monotonic() + SECONDS
    with contextlib.ExitStack() as stack:
        running: list[tuple[subprocess.Popen[bytes], Path]] = []
        for number, command in enumerate(commands):
            said = folder / f"said-{number}.txt"
            with kept(folder):
                file = stack.enter_context(open(said, "w", encoding="utf-8"))
            with _uninterrupted():
                try:
                    # A group of its own: a compiler starts others.
                    child = subprocess.Popen(
                        command,
                        cwd=folder,
                        env=env,
                        stdin=subprocess.DEVNULL,
                        stdout=file,
                        stderr=file,
                        start_new_session=True,
                    )
                except OSError as error:
                    reason = error.strerror or error
                    raise PluginError(f"the C++ compiler does not run: {command[0]}: {reason}") from None
                stack.callback(_end, child)
            running.append((child, said))
        for child, said in running:
            try:
                child.wait(max(ends - time.monotonic(), 0))
            except subprocess.TimeoutExpired:
                raise PluginError(f"{what}: the C++ compiler has not finished after {SECONDS} s") from None
            if child.returncode:
                text = said.read_text(encoding="utf-8", errors="replace")
                raise PluginError(f"{what} does not compile as C++: {_first_error(text)}")


@contextlib.contextmanager
def _uninterrupted() -> Iterator[None]:
    """Keep Ctrl-C for the end of the block: a process that it comes in the start of would be nobody's to end."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _end(child: subprocess.Popen[bytes]) -> None:
    """Kill a compiler and what it has started; nothing where it has ended."""
    if child.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()


def _first_error(said: str) -> str:
    """The line of a compiler's output that says most: an error of the code, then one of the linker."""
    lines = [line.strip() for line in said.splitlines() if line.strip() and "linker command failed" not in line]
    for sign in (": error:", ": fatal error:", "undefined reference", "undefined symbol", "error"):
        found = [line for line in lines if sign in line]
        if found:
            return found[0][:300]
    return (lines or ["the compiler gives no reason"])[0][:300]
