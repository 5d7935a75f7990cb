"""Run folders on disk: written whole or not at all, and read back with one clear line about what is wrong.

A run folder holds ``samples.parquet`` (the results table) and ``run.json`` (provenance), and what a run adds to them.
It is written into a hidden sibling folder and renamed in one step, so that a process killed at any instant leaves
either the complete folder or nothing under its final name.
"""

from __future__ import annotations

import contextlib
import datetime
import fcntl
import json
import os
import re
import secrets
import shutil
import textwrap
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chaindp.errors import InputError, UsageError
from chaindp.results.schema import SCHEMA_VERSION, conform

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "DEFAULT_RUNS",
    "RUN_JSON",
    "SAMPLES",
    "check_folder",
    "json_bytes",
    "load",
    "new_run_id",
    "process_alive",
    "whole_folder",
    "write_run",
]

DEFAULT_RUNS = Path("results/runs")
"""Where run folders go unless told otherwise, relative to the current folder."""

SAMPLES = "samples.parquet"
RUN_JSON = "run.json"

_OBJECTS = ("config", "consensus", "workload", "levels", "environment")
_OBJECTS_OF_ENVIRONMENT = ("python", "packages", "cpu", "memory", "os", "environment")
_LISTS_OF_ENVIRONMENT = ("command", "plugins")
"""What readers of a run.json take apart. What is not there is unknown; what is there is what it must be."""

_TEMPORARY = re.compile(r"\..+\.tmp-(?P<pid>\d+)-[0-9a-f]+")
_STALE_SECONDS = 3600.0


def new_run_id() -> str:
    """A run id that sorts by time and is a valid folder name: UTC to the microsecond, then 6 random hex digits."""
    now = datetime.datetime.now(datetime.UTC)
    return f"{now:%Y%m%dT%H%M%S%f}-{secrets.token_hex(3)}"


def check_folder(folder: str | os.PathLike[str]) -> None:
    """Whether run folders can be written to ``folder``; UsageError where not. Nothing is left behind.

    To call before measuring: an hour's figures must not be lost to a folder that could never have held them.
    """
    path = Path(folder)
    made = [parent for parent in (path, *path.parents) if not os.path.lexists(parent)]
    try:
        path.mkdir(parents=True, exist_ok=True)
        probe = path / f".probe-{os.getpid()}-{secrets.token_hex(4)}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise UsageError(f"cannot write to {path}: {error.strerror}") from error
    finally:
        # A folder that somebody else has used by now stays.
        with contextlib.suppress(OSError):
            for parent in made:
                parent.rmdir()


def write_run(
    directory: str | os.PathLike[str],
    frame: pd.DataFrame,
    run_json: Mapping[str, object],
    extras: Mapping[str, bytes | Callable[[Path], object]] | None = None,
) -> Path:
    """Write a run folder in one step and return its path.

    directory: the final path; it must not exist; its parent is created
    frame:     the results table (checked against the schema)
    run_json:  JSON values only
    extras:    further files by plain name: their bytes, or a function that is given the path to write

    Raises UsageError where the folder exists or cannot be written, InputError where the frame or the JSON does not fit.
    """
    final = Path(directory)
    frame = conform(frame)
    document = json_bytes(run_json)
    extras = dict(extras or {})
    for name in extras:
        if name in (SAMPLES, RUN_JSON, ".", "..") or not re.fullmatch(r"[A-Za-z0-9._-]+", name):
            raise UsageError(f"{name!r} is not a name for a further file of a run folder")
    with whole_folder(final) as temporary:
        _fill(temporary, frame, document, extras)
    return final


@contextlib.contextmanager
def whole_folder(final: Path) -> Iterator[Path]:
    """A hidden sibling of ``final`` to write files into; renamed to it in one step where the body succeeds, else gone.

    UsageError where ``final`` exists, whatever it is, or cannot be written.
    """
    if os.path.lexists(final):
        raise UsageError(f"{final} exists; a run folder is never overwritten")
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        remove_stale(final.parent)
        temporary = final.parent / f".{final.name}.tmp-{os.getpid()}-{secrets.token_hex(4)}"
        temporary.mkdir()
        # The lock says that the writer lives, also to another pid namespace; the kernel drops it with the process.
        lock = os.open(temporary, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise UsageError(f"cannot write to {final.parent}: {error.strerror}") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield temporary
        for path in temporary.iterdir():
            with path.open("rb") as file:
                os.fsync(file.fileno())
        os.fsync(lock)
        os.rename(temporary, final)
        _sync_directory(final.parent)
    except OSError as error:
        raise UsageError(f"cannot write {final}: {error.strerror}") from error
    finally:
        os.close(lock)
        shutil.rmtree(temporary, ignore_errors=True)


def _fill(
    folder: Path, frame: pd.DataFrame, document: bytes, extras: Mapping[str, bytes | Callable[[Path], object]]
) -> None:
    frame.to_parquet(folder / SAMPLES, engine="pyarrow", compression="zstd", index=False)
    (folder / RUN_JSON).write_bytes(document)
    for name, content in extras.items():
        if callable(content):
            content(folder / name)
            if not (folder / name).is_file():
                raise UsageError(f"the function for {name} wrote no such file")
        else:
            (folder / name).write_bytes(content)


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove_stale(parent: Path) -> list[str]:
    """Remove temporary folders that dead writers left in ``parent``; returns their names.

    A writer is dead where nobody holds the lock on its folder and its process is gone; where the process id is in use
    (again, or by another container) an unlocked folder is stale after an hour.
    """
    removed = []
    for entry in os.scandir(parent):
        match = _TEMPORARY.fullmatch(entry.name)
        if match is None or not entry.is_dir(follow_symlinks=False):
            continue
        try:
            descriptor = os.open(entry.path, os.O_RDONLY | os.O_DIRECTORY)
        except OSError:
            continue
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            age = time.time() - os.fstat(descriptor).st_mtime
            if not process_alive(int(match["pid"])) or age > _STALE_SECONDS:
                shutil.rmtree(entry.path, ignore_errors=True)
                removed.append(entry.name)
        except OSError:
            continue
        finally:
            os.close(descriptor)
    return removed


def process_alive(pid: int) -> bool:
    """Whether there is a process with this id, ours or not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return True


def json_bytes(document: Mapping[str, object]) -> bytes:
    """A JSON object as UTF-8 with a final newline; InputError where a value is not JSON (NaN and infinity are not)."""
    try:
        return (json.dumps(document, indent=2, sort_keys=False, allow_nan=False, ensure_ascii=False) + "\n").encode()
    except (TypeError, ValueError) as error:
        raise InputError(f"cannot write as JSON: {error}") from error


def load(path: str | os.PathLike[str]) -> pd.DataFrame:
    """The results table of a run as a DataFrame; ``frame.attrs["run"]`` is its run.json.

    path: a run folder, or a Parquet file with the columns of the schema (its run.json is the one beside it, if any)

    Raises InputError, in one line, where there is no such run or it is damaged, incomplete or of another version.
    """
    import pandas as pd

    source = Path(path)
    samples = source / SAMPLES if source.is_dir() else source
    provenance = samples.parent / RUN_JSON
    if not samples.is_file():
        what = f"holds no {SAMPLES}" if source.is_dir() else "does not exist"
        raise InputError(f"{source} is not a run folder: it {what}")
    if source.is_dir() and not provenance.is_file():
        raise InputError(f"{source} is not a run folder: it holds no {RUN_JSON}")
    run = _read_run(provenance) if provenance.is_file() else {}
    try:
        # As one open file: pandas would take a folder name such as level=0 in the path for a partition column.
        with samples.open("rb") as file:
            frame = pd.read_parquet(file, engine="pyarrow")
    except Exception as error:  # pyarrow raises errors of many types over a damaged file
        lines = str(error).splitlines() or [type(error).__name__]
        raise InputError(f"{samples} is not a readable Parquet file: {lines[0]}") from error
    if "schema_version" in frame.columns:
        versions = {version for version in frame["schema_version"].unique() if version != SCHEMA_VERSION}
        if versions:
            found = ", ".join(sorted(map(str, versions)))
            raise InputError(f"{samples} has schema version {found}; this chaindp reads {SCHEMA_VERSION}")
    with _naming(samples):
        frame = conform(frame.reset_index(drop=True))
    frame.attrs = {"run": run}
    return frame


def _read_run(path: Path) -> dict[str, Any]:
    """A run.json whose parts are what readers take them for; InputError names the file and the key that is not."""
    run = _read_json(path)
    if not isinstance(run.get("kind"), str):
        raise InputError(f"{path} does not say what kind of run it is of: it is no run.json of a run")
    _check_parts(path, run, "", _OBJECTS, dict)
    _check_parts(path, run, "", ("failures",), list)
    environment = run.get("environment", {})
    _check_parts(path, environment, "environment.", _OBJECTS_OF_ENVIRONMENT, dict)
    _check_parts(path, environment, "environment.", _LISTS_OF_ENVIRONMENT, list)
    levels = run.get("levels", {})
    _check_parts(path, levels, "levels.", levels, dict)
    return run


def _check_parts(path: Path, document: Mapping[str, Any], where: str, names: Iterable[str], kind: type) -> None:
    for name in names:
        if name in document and not isinstance(document[name], kind):
            what = "an object" if kind is dict else "a list"
            shown = textwrap.shorten(json.dumps(document[name]), 40, placeholder=" ...")
            raise InputError(f"{path} is damaged: {ascii(where + name)[1:-1]} is {shown}, and must be {what}")


def _read_json(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path} is not readable JSON: {str(error).splitlines()[0]}") from error
    if not isinstance(document, dict):
        raise InputError(f"{path} does not hold a JSON object")
    return document


@contextlib.contextmanager
def _naming(path: Path) -> Any:
    try:
        yield
    except InputError as error:
        raise InputError(f"{path} is {error}") from error
