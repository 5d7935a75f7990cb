"""Files that are there whole or not at all, and never in the place of one that is somebody else's."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

from chaindp.errors import UsageError

__all__ = ["refuse_others", "replacing", "write_over_own"]

_HEAD_BYTES = 4096


def _beside(target: Path) -> Path:
    """A name of its own in the same folder."""
    return target.with_name(f".{target.stem}.{os.getpid()}-{secrets.token_hex(4)}{target.suffix}")


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A name in the same folder to write to, which takes the place of ``path`` at the end.

    Whatever is raised on the way, ``path`` is as it was, and nothing is left beside it. A link stays a link: what it
    points to is replaced. OSError as it comes.
    """
    target = path.resolve()
    beside = _beside(target)
    try:
        yield beside
        beside.replace(target)
    finally:
        with contextlib.suppress(OSError):
            beside.unlink(missing_ok=True)


def refuse_others(path: Path, mark: bytes, what: str) -> None:
    """UsageError where ``path`` cannot be written, is no file, or is one without ``mark`` in its first 4 KiB.

    Called before the work, so that none is done for nothing.
    """
    _refuse_foreign(path, mark, what)
    try:
        beside = _beside(path.resolve())
        beside.touch()
        beside.unlink()
    except OSError as error:
        raise _cannot_write(path, error) from error


def _refuse_foreign(path: Path, mark: bytes, what: str) -> None:
    if path.is_dir():
        raise UsageError(f"{path} is a folder; name a file with --out")
    try:
        if path.exists():
            if not path.is_file():
                raise UsageError(f"{path} is a device and no file; name a file with --out")
            with path.open("rb") as file:
                if mark not in file.read(_HEAD_BYTES):
                    raise UsageError(f"{path} exists and is not a {what}; name another file with --out")
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}; name another file with --out") from error


def write_over_own(path: Path, content: bytes, mark: bytes, what: str) -> None:
    """Write ``content`` to ``path`` in one step; an existing file is replaced only where ``mark`` is in its beginning.

    mark: what every such file has in its first 4 KiB, ``content`` too
    what: what such a file is called in errors, such as "chaindp report"

    Raises UsageError where the file is not ours, or cannot be written.
    """
    if mark not in content[:_HEAD_BYTES]:
        raise ValueError(f"a {what} that could not be told from other files")
    _refuse_foreign(path, mark, what)
    try:
        with replacing(path) as temporary, temporary.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise _cannot_write(path, error) from error


def _cannot_write(path: Path, error: OSError) -> UsageError:
    return UsageError(f"cannot write {path}: {error.strerror}; name another file with --out")
