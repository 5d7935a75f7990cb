"""The RTL of a core as Verilator is told of it: its options, and the hash of everything that it reads."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from chaindp.cores.description import Core
from chaindp.errors import InputError

__all__ = ["options", "rtl_hash", "verilog_value"]

LITERAL = re.compile(r"\d*'[sS]?[bBoOdDhH][0-9a-fA-FxXzZ?_]+")
INCLUDE = re.compile(rb'`include\s+(?:"([^"\n]*)"|(\S+))')

MAX_FILES = 20_000


def options(core: Core) -> list[str]:
    """Verilator's options for a core's files, top, parameters and defines; the sources come last."""
    given = [f"-I{folder}" for folder in map(Path.resolve, core.include_dirs)]
    given += [f"-D{name}={value}" if value else f"-D{name}" for name, value in core.defines.items()]
    given += [f"-G{name}={verilog_value(value)}" for name, value in core.parameters.items()]
    given += ["--top-module", core.top, "--language", "1800-2017"]
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
    """SHA-256, in hex, of the sources, of what they include, and of the top, parameters and defines.

    File names count by their last part only, so that the same RTL has the same hash on every machine. InputError where
    a file cannot be read.
    """
    digest = hashlib.sha256()
    for name, content in _contents(core):
        digest.update(f"{name}\0{len(content)}\0".encode())
        digest.update(content)
    parts = [core.top, *(f"{name}={verilog_value(value)}" for name, value in sorted(core.parameters.items()))]
    parts += [f"`{name}={value}" for name, value in sorted(core.defines.items())]
    digest.update("\0".join(parts).encode())
    return digest.hexdigest()


def _contents(core: Core) -> Iterator[tuple[str, bytes]]:
    """The sources in order, then every file that they include, directly or not."""
    seen: set[Path] = set()
    waiting = [read(source) for source in core.sources]
    yield from zip((source.name for source in core.sources), waiting, strict=True)
    while waiting:
        for plain, computed in INCLUDE.findall(waiting.pop()):
            if computed:
                # The name is a macro: whatever it may stand for is counted in.
                found: Iterable[Path] = _everything(core.include_dirs)
            else:
                found = _included(core.include_dirs, plain.decode("utf-8", "replace"))
            for path in found:
                if path.resolve() not in seen:
                    seen.add(path.resolve())
                    content = read(path)
                    yield path.name, content
                    waiting.append(content)


def _included(folders: Sequence[Path], name: str) -> list[Path]:
    # What is not found here may stand behind an `ifdef that is off; where it is not, Verilator says so.
    there = (folder / name for folder in folders)
    return [path for path in there if "\0" not in name and path.is_file()][:1]


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
