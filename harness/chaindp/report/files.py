"""Writing a report where another one may be: whole or not at all, and never over a file that is somebody else's."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from chaindp.errors import UsageError

__all__ = ["refuse_others", "write_over_own"]

_HEAD_BYTES = 4096


def refuse_others(path: Path, mark: bytes, what: str) -> None:
    """UsageError where ``path`` is a folder, or a file without ``mark`` in its first 4 KiB: called before the work."""
    if path.is_dir():
        raise UsageError(f"{path} is a folder; name a file with --out")
    try:
        if path.exists():
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
    refuse_others(path, mark, what)
    try:
        # A link stays a link: what it points to is replaced.
        target = path.resolve()
        temporary = target.with_name(f".{target.name}.tmp-{os.getpid()}-{secrets.token_hex(4)}")
        try:
            with temporary.open("xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}; name another file with --out") from error
