"""Where OpenCL drivers announce themselves: .icd files, and the loader that reads them.

An .icd file holds one line, the driver's library: a path, or a name that the dynamic linker looks up. The loader is
libOpenCL.so; pyopencl's wheels bring one of their own. It reads the files of one folder: ``$OCL_ICD_VENDORS``, else
``$OPENCL_VENDOR_PATH``, else ``/etc/OpenCL/vendors``; pyopencl's own reads those beside itself as well. Here the folder
``etc/OpenCL/vendors`` of the virtual environment is added: PyPI's packages of drivers put their files there, and a
user who is not root can.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["SYSTEM", "IcdFile", "chosen", "files", "loader", "own_drivers", "own_folder"]

SYSTEM = Path("/etc/OpenCL/vendors")

VARIABLES = ("OCL_ICD_VENDORS", "OPENCL_VENDOR_PATH")
"""What replaces the system's folder, the first one that is set and not empty."""

PLACEHOLDER = "/opt/anaconda1anaconda2anaconda3"
"""What Intel's packages on PyPI write for the environment's folder; only conda replaces it when it installs them."""


@dataclass(frozen=True, slots=True)
class IcdFile:
    """One .icd file and the library that it names; ``library`` is empty where the file names none."""

    path: Path
    library: str


def own_folder() -> Path:
    """The folder of this virtual environment that the loader is told of."""
    return Path(sys.prefix) / "etc" / "OpenCL" / "vendors"


def chosen() -> tuple[str, Path] | None:
    """The variable by which the user replaced the system's folder, and its value: a folder, an .icd file, a library."""
    name = next((name for name in VARIABLES if os.environ.get(name)), None)
    return (name, Path(os.environ[name])) if name else None


def files() -> list[IcdFile]:
    """The .icd files that the loader reads in this process."""
    replaced = chosen()
    if replaced is None:
        return [*_of(SYSTEM), *_own(), *_bundled()]
    value = replaced[1]
    if value.is_dir():
        return [*_of(value), *_bundled()]
    if value.suffix == ".icd":
        path = value if len(value.parts) > 1 else SYSTEM / value
        return [IcdFile(path, _library(path))]
    return [IcdFile(value, str(value))]


def _of(folder: Path) -> list[IcdFile]:
    return [IcdFile(path, _library(path)) for path in sorted(folder.glob("*.icd"))]


def _library(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").partition("\n")[0].strip()
    except OSError:
        return ""


def _own() -> list[IcdFile]:
    found = []
    for file in _of(own_folder()):
        library = file.library.replace(PLACEHOLDER, sys.prefix)
        # A package of Intel's announces an emulator of its FPGAs, too, which it does not contain.
        if library == file.library or Path(library).exists():
            found.append(IcdFile(file.path, library))
    return found


def _bundled() -> list[IcdFile]:
    spec = importlib.util.find_spec("pyopencl")
    if spec is None or spec.origin is None:
        return []
    folder = Path(spec.origin).parent / ".libs"
    return [
        IcdFile(file.path, str(folder / file.library) if (folder / file.library).exists() else file.library)
        for file in _of(folder)
        if file.library
    ]


@contextlib.contextmanager
def own_drivers() -> Iterator[None]:
    """While this is active, a loader that starts reads the virtual environment's folder beside the system's.

    It knows one folder only, so it is given a third one that has both. It reads that once, at its first use, so the
    variable can be taken back then. Where the user has set one of the variables, nothing is done.
    """
    own = _own()
    if not own or chosen() is not None:
        yield
        return
    with tempfile.TemporaryDirectory(prefix="chaindp-icd-") as together:
        for number, file in enumerate([*_of(SYSTEM), *own]):
            (Path(together) / f"{number:02}-{file.path.name}").write_text(f"{file.library}\n", encoding="utf-8")
        os.environ["OCL_ICD_VENDORS"] = together
        try:
            yield
        finally:
            del os.environ["OCL_ICD_VENDORS"]


def loader() -> str:
    """File name of the loader in this process, with its folder where it is the system's; empty where there is none."""
    with contextlib.suppress(OSError), open("/proc/self/maps", encoding="utf-8") as maps:
        for line in maps:
            path = Path(line.split(maxsplit=5)[-1].strip())
            if path.name.startswith("libOpenCL"):
                return f"{path.name} of pyopencl" if "pyopencl" in path.parts else str(path)
    return ""
