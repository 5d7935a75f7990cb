"""The RTL of a core as Verilator is told of it: its options, and the hash of everything that it reads."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from chaindp.cores.description import Core
from chaindp.errors import InputError

__all__ = ["Contents", "check_files", "data_folders", "options", "read_rtl", "rtl_hash", "verilog_value"]

LITERAL = re.compile(r"\d*'[sS]?[bBoOdDhH][0-9a-fA-FxXzZ?_]+")
INCLUDE = re.compile(rb'`include\s+(?:"([^"\n]*)"|(\S+))')

READMEM = re.compile(rb'\$readmem[bh]\s*\(\s*"([^"\n]*)"')
READ = re.compile(r'^S .* "([^"]*)"$', re.MULTILINE)
"""A line of Verilator's list of files that says what it has read."""

MAX_FILES = 20_000


@dataclass(frozen=True, slots=True)
class Contents:
    """All that a core's RTL consists of: its SHA-256, in hex, and the files that this is of, resolved."""

    sha256: str
    files: frozenset[Path]


def options(core: Core) -> list[str]:
    """Verilator's options for a core's files, top, parameters and defines; the sources come last."""
    given = [f"-I{folder}" for folder in map(Path.resolve, core.include_dirs)]
    given += [f"-D{name}={value}" if value else f"-D{name}" for name, value in core.defines.items()]
    given += [f"-G{name}={verilog_value(value)}" for name, value in core.parameters.items()]
    given += ["--top-module", core.top, "--language", "1800-2017", f"+{core.v_language}ext+v"]
    return [*given, *(str(source.resolve()) for source in core.sources)]


def verilog_value(value: int | bool | str) -> str:
    """A parameter as a Verilog literal: a string that is one already, such as 8'h06, stays as it is."""
    if isinstance(value, bool):
        return "1'b1" if value else "1'b0"
    if isinstance(value, int):
        # A literal without a size has 32 bits.
        return str(value) if -(1 << 31) <= value < 1 << 31 else f"64'h{value & (1 << 64) - 1:x}"
    if LITERAL.fullmatch(value):
        return value
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def rtl_hash(core: Core) -> str:
    """SHA-256, in hex, of all that the RTL consists of: see ``read_rtl``."""
    return read_rtl(core).sha256


def read_rtl(core: Core) -> Contents:
    """Hash the sources, what they include, what they read with ``$readmemh``, and top, parameters and defines.

    File names count by their last part only, so that the same RTL has the same hash on every machine. InputError where
    a file cannot be read.
    """
    digest = hashlib.sha256()
    files = set()
    for path, content in _contents(core):
        files.add(path.resolve())
        digest.update(f"{path.name}\0{len(content)}\0".encode())
        digest.update(content)
    parts = [core.top, *(f"{name}={verilog_value(value)}" for name, value in sorted(core.parameters.items()))]
    parts += [f"`{name}={value}" for name, value in sorted(core.defines.items())]
    if any(path.suffix == ".v" for path in core.sources):
        parts.append(core.v_language)
    digest.update("\0".join(parts).encode())
    return Contents(digest.hexdigest(), frozenset(files))


def check_files(core: Core, hashed: Contents, listing: Path, installed: Path) -> None:
    """InputError where Verilator has read a file that is not in the hash: a changed one would go unnoticed.

    listing:   what Verilator says it has read, its ``Vcore__verFiles.dat``
    installed: the folder of Verilator's own files
    """
    for name in READ.findall(listing.read_text(encoding="utf-8", errors="replace")):
        path = Path(name).resolve()
        if path not in hashed.files and not path.is_relative_to(installed.resolve()) and path.name != "verilator_bin":
            raise InputError(f"{core.at('sources')}: Verilator has found {path} by itself: add it to sources")


def data_folders(core: Core) -> tuple[Path, ...]:
    """Where files are looked for that RTL reads while it is simulated: beside the description, then beside sources."""
    folders = (core.path.parent, *(source.parent for source in core.sources))
    return tuple(dict.fromkeys(folder.resolve() for folder in folders))


def _contents(core: Core) -> Iterator[tuple[Path, bytes]]:
    """The sources in order, then every file that they include, directly or not, or read."""
    seen: set[Path] = set()
    waiting = [read(source) for source in core.sources]
    yield from zip(core.sources, waiting, strict=True)
    # A parameter may be what $readmemh is given.
    data = {str(value) for value in core.parameters.values() if isinstance(value, str)}
    while waiting:
        text = waiting.pop()
        data |= {name.decode("utf-8", "replace") for name in READMEM.findall(text)}
        for plain, computed in INCLUDE.findall(text):
            if computed:
                # The name is a macro: whatever it may stand for is counted in.
                found: Iterable[Path] = _everything(core.include_dirs)
            else:
                found = _found(core.include_dirs, plain.decode("utf-8", "replace"))
            for path in found:
                if path.resolve() not in seen:
                    seen.add(path.resolve())
                    content = read(path)
                    yield path, content
                    waiting.append(content)
    for name in sorted(data):
        for path in _found(data_folders(core), name):
            yield path, read(path)


def _found(folders: Sequence[Path], name: str) -> list[Path]:
    # What is not found here may stand behind an `ifdef that is off; where it is not, Verilator says so.
    there = [Path(name)] if Path(name).is_absolute() else [folder / name for folder in folders]
    return [path for path in there if name.isprintable() and _is_file(path)][:1]


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name that is too long
        return False


def _everything(folders: Sequence[Path]) -> list[Path]:
    files = sorted(path for folder in folders for path in folder.rglob("*") if path.is_file())
    if len(files) > MAX_FILES:
        raise InputError(f"{folders[0]}: more than {MAX_FILES} files in the folders of include files")
    return files


def read(path: Path) -> bytes:
    """A file's content; InputError, one line, where it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from None
