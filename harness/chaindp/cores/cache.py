"""Where builds are kept: ``$XDG_CACHE_HOME/chaindp/cores/``, a folder a build, named by the hash of what went into it.

An entry is made beside and renamed into its place, under a lock, so two processes at once build it once. What is there
is compared with its own hashes before it is used: a damaged entry is as good as none.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from chaindp.errors import PluginError

__all__ = ["beside", "cache_folder", "finish", "intact", "kept", "locked", "prune"]

ENTRIES = 200
"""How many builds are kept: each is a megabyte or less, and every change of the RTL makes one."""

LEFT_OVER_S = 86400
"""After so many seconds, what nobody has finished is what nobody will finish."""


def cache_folder() -> Path:
    """Where builds are kept. A relative $XDG_CACHE_HOME is none (XDG Base Directory Specification 0.8)."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    return Path(base if os.path.isabs(base) else os.path.expanduser("~/.cache")) / "chaindp" / "cores"


@contextlib.contextmanager
def kept(folder: Path) -> Iterator[None]:
    """Around what writes to the cache: PluginError, one line, where that fails."""
    try:
        yield
    except OSError as error:
        raise PluginError(
            f"builds of cores cannot be kept in {folder} ({error.strerror or error}); mend that, or set XDG_CACHE_HOME "
            "to another folder of yours"
        ) from None


@contextlib.contextmanager
def locked(folder: Path, name: str) -> Iterator[None]:
    """One process, and one thread of it, at a time works on an entry; the lock ends with whoever has it."""
    with contextlib.ExitStack() as stack:
        with kept(folder):
            folder.mkdir(parents=True, exist_ok=True)
            lock = stack.enter_context(open(folder / f"{name}.lock", "ab"))
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def beside(folder: Path, entry: Path) -> Iterator[Path]:
    """A folder to fill, which becomes ``entry`` at the end, and nothing where that is not reached."""
    with kept(folder):
        scratch = Path(tempfile.mkdtemp(prefix=".making-", dir=folder))
    try:
        yield scratch
        with kept(folder):
            if entry.exists():
                # Damaged: whoever still has it open keeps what it has open.
                entry.rename(scratch / "damaged")
            (scratch / "finished").rename(entry)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def intact(entry: Path, files: Sequence[str]) -> dict[str, Any] | None:
    """What is noted of an entry with these files, if they are whole; None where it is not there or damaged."""
    try:
        noted: dict[str, Any] = json.loads((entry / "build.json").read_text(encoding="utf-8"))
        whole = all(hashlib.sha256((entry / name).read_bytes()).hexdigest() == noted["files"][name] for name in files)
        float(noted["seconds"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    # What is used last is thrown away last.
    with contextlib.suppress(OSError):
        os.utime(entry)
    return noted if whole else None


def finish(scratch: Path, files: Sequence[str], seconds: float) -> dict[str, Any]:
    """Gather what is to be kept of ``scratch`` in the folder that becomes the entry, with their hashes."""
    finished = scratch / "finished"
    digests = {}
    with kept(scratch.parent):
        finished.mkdir()
        for name in files:
            (scratch / name).rename(finished / name)
            digests[name] = hashlib.sha256((finished / name).read_bytes()).hexdigest()
        noted = {"files": digests, "seconds": round(seconds, 3)}
        (finished / "build.json").write_text(json.dumps(noted), encoding="utf-8")
    return noted


def prune(folder: Path, keep: str) -> None:
    """Drop the entries that nobody has used for longest, and what a process left that was killed while it built."""
    entries = []
    for path in folder.iterdir():
        with contextlib.suppress(OSError):
            age = path.stat().st_mtime
            if re.fullmatch(r"[0-9a-f]{64}", path.name) and path.name != keep:
                entries.append((age, path))
            elif time.time() - age > LEFT_OVER_S and path.name.startswith(".making-"):
                shutil.rmtree(path, ignore_errors=True)
            elif time.time() - age > LEFT_OVER_S and path.suffix == ".lock" and not path.with_suffix("").exists():
                path.unlink()
    for _, path in sorted(entries)[: max(len(entries) + 1 - ENTRIES, 0)]:
        shutil.rmtree(path, ignore_errors=True)
        (folder / f"{path.name}.lock").unlink(missing_ok=True)
