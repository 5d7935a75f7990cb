"""What a verification yields, whatever it verified, and where it finds its files."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from chaindp.chain.codec.jsonfile import MAX_BYTES, parse_json, read_bounded, shorten
from chaindp.errors import InputError

__all__ = ["VerifyResult", "find_files", "json_tests"]

MAX_ARCHIVE = 512 << 20
"""How many bytes an archive may decompress to."""


@dataclass(slots=True)
class VerifyResult:
    """How many items hold, do not hold, and were left out. ``failures`` and ``skips`` say which and why.

    An entry of either has the keys ``file``, ``test`` and ``reason``, all strings of one line.
    """

    passed: int = 0
    failed: int = 0
    skipped: int = 0
    failures: list[dict[str, str]] = field(default_factory=list)
    skips: list[dict[str, str]] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether something was verified and nothing failed."""
        return self.failed == 0 and self.passed > 0

    def to_dict(self) -> dict[str, Any]:
        """JSON values, keyed by field name."""
        return asdict(self)

    def fail(self, file: str, test: str, reason: str) -> None:
        """Count one item that does not hold."""
        self.failed += 1
        self.failures.append({"file": file, "test": test, "reason": reason})

    def skip(self, file: str, test: str, reason: str) -> None:
        """Count one item that was left out."""
        self.skipped += 1
        self.skips.append({"file": file, "test": test, "reason": reason})

    def add(self, other: VerifyResult) -> None:
        """Count another result into this one."""
        self.passed += other.passed
        self.failed += other.failed
        self.skipped += other.skipped
        self.failures += other.failures
        self.skips += other.skips


def _archive(path: Path) -> Iterator[tuple[PurePosixPath, bytes]]:
    """(name, content) of the .json members of a .tar.gz, read in memory: links are not followed."""
    data = read_bounded(path, MAX_ARCHIVE)
    try:
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as archive:
            for member in archive:
                if not member.isfile() or not member.name.endswith(".json"):
                    continue
                if member.size > MAX_BYTES:
                    raise InputError(
                        f"{path}: {shorten(member.name)} has {member.size} bytes, at most {MAX_BYTES} are read"
                    )
                file = archive.extractfile(member)
                if file is not None:
                    yield PurePosixPath(member.name), file.read()
    except (tarfile.TarError, ValueError, EOFError, OSError) as error:
        raise InputError(f"{path}: damaged archive: {(str(error) or 'cut off').splitlines()[0]}") from None


def find_files(
    path: str | Path, folder: str = "", wanted: Callable[[str], bool] = lambda name: True
) -> Iterator[tuple[str, bytes]]:
    """(label, content) of the JSON files that ``path`` names: one file, all below a directory, or all in a .tar.gz.

    Below a directory and in an archive, only names that ``wanted`` accepts, and where any of them lies in a folder of
    the name ``folder``, only those. InputError where there is nothing, or ``path`` cannot be read.
    """
    path = Path(path)
    if path.is_dir():
        found = sorted(file for file in path.rglob("*") if file.name.endswith((".json", ".json.gz")))
        names = [file for file in found if wanted(file.name)]
        inside = [file for file in names if folder in file.relative_to(path.parent).parts[:-1]] or names
        if not inside:
            raise InputError(f"{path}: there is no test file below this directory")
        for file in inside:
            yield str(file), read_bounded(file)
    elif path.name.endswith((".tar.gz", ".tgz")):
        members = [(name, data) for name, data in _archive(path) if wanted(name.name)]
        chosen = [(name, data) for name, data in members if folder in name.parts[:-1]] or members
        if not chosen:
            raise InputError(f"{path}: there is no test file in this archive")
        for name, data in chosen:
            yield f"{path}:{name if str(name).isprintable() else shorten(str(name))}", data
    else:
        yield str(path), read_bounded(path)


def json_tests(label: str, data: bytes) -> dict[str, dict[str, Any]]:
    """The tests of one official test file, by name; InputError where it is not a JSON object of objects."""
    tests = parse_json(data, label)
    if not isinstance(tests, dict):
        raise InputError(f"{label}: an object of tests is expected, not {shorten(tests)}")
    for name, test in tests.items():
        if not isinstance(test, dict):
            raise InputError(f"{label}: test {shorten(name)}: an object is expected, not {shorten(test)}")
    return tests
