"""Bundles: one file that seals a run folder, its provenance and its exact command.

A bundle is a ZIP archive whose members are stored, not compressed (the samples are compressed already): the manifest
first, then the files of the run folder by name, all with the same fixed time and mode, and the seal as the archive's
comment. Nothing is left to choose, so the same run folder gives the same bytes everywhere, and a reader that builds the
archive again from what it found in it notices a difference of one bit anywhere. Since nothing is compressed, a bundle
takes no more memory than its own size, which is limited.

The seal is the SHA-256 of the manifest, which holds the SHA-256 of every file. It shows that a bundle is whole, and,
to who has got the seal from a source that they trust, that it is the one that was meant. It is not a signature.
"""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import re
import secrets
import stat
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chaindp.errors import CheckFailed, InputError, UsageError
from chaindp.results.command import command_of
from chaindp.results.store import RUN_JSON, SAMPLES, json_bytes, load, whole_folder

__all__ = [
    "BUNDLE_VERSION",
    "MANIFEST",
    "MAX_BYTES",
    "MAX_FILES",
    "SUFFIX",
    "Bundle",
    "open_bundle",
    "seal_run",
    "unpack_bundle",
    "write_bundle",
]

BUNDLE_VERSION = 1
"""Raised whenever the layout changes; a reader refuses a version that it does not know."""

MANIFEST = "MANIFEST.json"
SUFFIX = ".chaindp.zip"

MAX_BYTES = 1 << 28
"""The most that a bundle may hold, 256 MiB: some 10 million samples."""
MAX_FILES = 64
MAX_ROWS = 20_000_000
"""The most rows of the results table: columns of equal values compress to nearly nothing, and expand to memory."""

_FORMAT = "chaindp bundle"
_MANIFEST_KEYS = ["format", "version", "run_id", "kind", "chaindp", "command", "not_replayable", "files"]
_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_TIME = (1980, 1, 1, 0, 0, 0)
_COMMENT = b"chaindp seal "


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle in memory, verified. ``files``: name to content, without the manifest; ``run``: its run.json."""

    manifest: Mapping[str, Any]
    files: Mapping[str, bytes]
    run: Mapping[str, Any]
    seal: str

    @property
    def run_id(self) -> str:
        """The run that is sealed in it."""
        return str(self.manifest["run_id"])


def seal_run(folder: str | os.PathLike[str]) -> tuple[Bundle, bytes]:
    """A run folder as a bundle, and the bytes of its file.

    InputError where it is no run folder that ``load`` accepts, UsageError where it holds what a bundle cannot.
    """
    source = Path(folder)
    if not source.is_dir():
        raise InputError(f"{source} is not a run folder" + ("" if source.exists() else ": it does not exist"))
    run = load(source).attrs["run"]
    files = _read_folder(source)
    run_id = run.get("run_id")
    if not isinstance(run_id, str) or not _NAME.fullmatch(run_id):
        raise InputError(f"{source / RUN_JSON} has no run_id that is a plain name")
    try:
        command, not_replayable = command_of(run), ""
    except InputError as error:
        command, not_replayable = _typed(run), str(error)
    manifest = {
        "format": _FORMAT,
        "version": BUNDLE_VERSION,
        "run_id": run_id,
        "kind": _text(run.get("kind")),
        "chaindp": _text(_mapping(run.get("environment")).get("chaindp")),
        "command": command,
        "not_replayable": not_replayable,
        "files": [_entry(name, content) for name, content in sorted(files.items())],
    }
    document = json_bytes(manifest)
    data = _archive(document, files)
    if len(data) > MAX_BYTES:
        raise UsageError(f"{source} has {len(data):,} bytes; a bundle holds {MAX_BYTES:,} at most")
    return Bundle(manifest, files, run, _sha256(document)), data


def write_bundle(folder: str | os.PathLike[str], out: str | os.PathLike[str] | None = None) -> tuple[Path, Bundle]:
    """Seal a run folder into a file and return the file's path.

    out: the file, ``RUN_ID.chaindp.zip`` in the current folder by default; a file that is there is left as it is, and
         is an error unless it is this very bundle
    """
    bundle, data = seal_run(folder)
    final = Path(out) if out is not None else Path(bundle.run_id + SUFFIX)
    try:
        if not os.path.lexists(final):
            final.parent.mkdir(parents=True, exist_ok=True)
            temporary = final.parent / f".{final.name}.tmp-{os.getpid()}-{secrets.token_hex(4)}"
            try:
                with temporary.open("xb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                if _take_name(temporary, final):
                    return final, bundle
            finally:
                temporary.unlink(missing_ok=True)
    except OSError as error:
        raise UsageError(f"cannot write {final}: {error.strerror}") from error
    if final.is_file() and final.stat().st_size == len(data) and final.read_bytes() == data:
        return final, bundle
    raise UsageError(f"{final} exists and is something else; give --out another name")


def _take_name(temporary: Path, final: Path) -> bool:
    """Give a file its final name; False where somebody else has taken it by now, which a rename would replace."""
    try:
        os.link(temporary, final)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS):
            raise
        # A file system without hard links: take the name with an empty file of our own, and replace that.
        try:
            os.close(os.open(final, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        except FileExistsError:
            return False
        os.rename(temporary, final)
    return True


def open_bundle(path: str | os.PathLike[str], *, seal: str | None = None) -> Bundle:
    """Read a bundle and verify all of it before any of it is believed.

    seal: the seal that it must have

    CheckFailed, in one line, where it is damaged, was altered in any bit or is no bundle, and where it is another one
    than that with ``seal``; InputError where there is no such file.
    """
    source = Path(path)
    if seal is not None and not _DIGEST.fullmatch(seal.lower()):
        raise UsageError(f"{seal!r} is not a seal, which is 64 hexadecimal digits")
    data = _read_file(source)
    try:
        members = _members(data)
        document = members.pop(MANIFEST, None)
        if document is None:
            raise InputError(f"it holds no {MANIFEST}")
        manifest = _manifest(document)
        _check_files(manifest, members)
        run = _json_object(RUN_JSON, members[RUN_JSON])
        if run.get("run_id") != manifest["run_id"] or _text(run.get("kind")) != manifest["kind"]:
            raise InputError(f"{MANIFEST} and {RUN_JSON} are of different runs")
        if _archive(document, members) != data:
            raise InputError("its bytes are not those that chaindp writes for these files: it was altered")
    except InputError as error:
        raise CheckFailed(f"{source} is not a sound bundle: {error}") from error
    found = _sha256(document)
    if seal is not None and found != seal.lower():
        raise CheckFailed(f"{source} has the seal {found}: it is not the bundle that was asked for")
    return Bundle(manifest, members, run, found)


def unpack_bundle(bundle: Bundle, folder: str | os.PathLike[str]) -> Path:
    """Write the run folder that a bundle holds, in one step; returns its path.

    folder: the final path, which must not exist; its parent is created

    InputError where the files are whole and yet no run that ``load`` accepts, UsageError where ``folder`` exists or
    cannot be written.
    """
    final = Path(folder)
    if os.path.lexists(final):
        raise UsageError(f"{final} exists; a run folder is never overwritten")
    _check_table(bundle.files[SAMPLES])
    with whole_folder(final) as temporary:
        for name, content in bundle.files.items():
            with (temporary / name).open("xb") as file:
                file.write(content)
        try:
            load(temporary)
        except InputError as error:
            raise InputError(f"the bundle's run cannot be read: {str(error).replace(f'{temporary}/', '')}") from error
    return final


def _read_folder(source: Path) -> dict[str, bytes]:
    """The files of a run folder; UsageError for what a bundle does not hold."""
    entries = sorted(source.iterdir())
    if len(entries) > MAX_FILES:
        raise UsageError(f"{source} has {len(entries)} files; a bundle holds {MAX_FILES} at most")
    for entry in entries:
        if entry.is_symlink() or not entry.is_file():
            raise UsageError(f"{entry} is not a plain file; a bundle holds nothing else")
        if entry.name == MANIFEST or not _NAME.fullmatch(entry.name):
            raise UsageError(f"{entry} has a name that a bundle cannot hold; rename or remove it")
    size = sum(entry.stat().st_size for entry in entries)
    if size > MAX_BYTES:
        raise UsageError(f"{source} has {size:,} bytes; a bundle holds {MAX_BYTES:,} at most")
    try:
        return {entry.name: entry.read_bytes() for entry in entries}
    except OSError as error:
        raise UsageError(f"cannot read {source}: {error.strerror}") from error


def _read_file(source: Path) -> bytes:
    # Not a pipe or a device: reading one might never end.
    if not source.is_file():
        raise InputError(f"{source} is not a bundle: it {'is not a file' if source.exists() else 'does not exist'}")
    try:
        with source.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise InputError(f"cannot read {source}: {error.strerror}") from error
    if len(data) > MAX_BYTES:
        raise CheckFailed(f"{source} is not a sound bundle: it has more than {MAX_BYTES:,} bytes")
    return data


def _archive(document: bytes, files: Mapping[str, bytes]) -> bytes:
    """The bytes of a bundle: a function of the manifest and the files, and of nothing else."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        archive.comment = _COMMENT + _sha256(document).encode()
        for name, content in [(MANIFEST, document), *sorted(files.items())]:
            member = zipfile.ZipInfo(name, _TIME)
            member.create_system = 3  # Unix, whatever this runs on
            member.external_attr = (stat.S_IFREG | 0o644) << 16
            archive.writestr(member, content)
    return buffer.getvalue()


def _members(data: bytes) -> dict[str, bytes]:
    """The members by name. Their headers are judged before anything is read, and nothing is ever inflated."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            infos = archive.infolist()
            _check_members(infos)
            return {info.filename: archive.read(info) for info in infos}
    except InputError:
        raise
    except Exception as error:  # zipfile raises errors of many types over a damaged archive
        what = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"not a readable ZIP archive ({what[:100]})") from error


def _check_members(infos: list[zipfile.ZipInfo]) -> None:
    if len(infos) > MAX_FILES + 1:
        raise InputError(f"it has {len(infos)} members; a bundle has {MAX_FILES + 1} at most")
    seen: set[str] = set()
    for info in infos:
        # What zipfile shows as the name may be cut or have its separators changed; orig_filename is what is there.
        name = info.orig_filename
        shown = ascii(name)[:80]
        if not _NAME.fullmatch(name) or info.filename != name:
            raise InputError(f"member {shown} has a name that no file of a run folder has")
        if name in seen:
            raise InputError(f"member {shown} is there twice")
        seen.add(name)
        if not stat.S_ISREG(info.external_attr >> 16):
            raise InputError(f"member {shown} is not a plain file")
        if info.flag_bits & 0x1:
            raise InputError(f"member {shown} is encrypted")
        if info.compress_type != zipfile.ZIP_STORED or info.compress_size != info.file_size:
            raise InputError(f"member {shown} is compressed; a bundle stores its files as they are")
    total = sum(info.file_size for info in infos)
    if total > MAX_BYTES:
        raise InputError(f"its members say that they have {total:,} bytes; a bundle holds {MAX_BYTES:,} at most")


def _manifest(document: bytes) -> dict[str, Any]:
    """The manifest, every field of the type that it must have."""
    manifest = _json_object(MANIFEST, document)
    if manifest.get("format") != _FORMAT:
        raise InputError(f"{MANIFEST} is not of a chaindp bundle")
    if type(manifest.get("version")) is not int or manifest["version"] != BUNDLE_VERSION:
        version = ascii(manifest.get("version"))[:20]
        raise InputError(f"it has format version {version}; this chaindp reads {BUNDLE_VERSION}")
    if list(manifest) != _MANIFEST_KEYS or not all(isinstance(manifest[key], list) for key in ("command", "files")):
        raise InputError(f"{MANIFEST} does not have the fields that it must have")
    texts = [manifest[key] for key in ("run_id", "kind", "chaindp", "not_replayable")] + manifest["command"]
    # It is shown as it is, so it must not steer the terminal.
    if not all(isinstance(text, str) and text.isprintable() for text in texts) or not _NAME.fullmatch(texts[0]):
        raise InputError(f"{MANIFEST} has fields that are not what they must be")
    return manifest


def _check_files(manifest: Mapping[str, Any], members: Mapping[str, bytes]) -> None:
    """Hold the members against the manifest: none missing, none more, sizes and hashes right."""
    named = [entry.get("name") if isinstance(entry, dict) else None for entry in manifest["files"]]
    for name in named:
        if not isinstance(name, str) or named.count(name) > 1:
            raise InputError(f"{MANIFEST} names {ascii(name)[:80]}, which is no name or is there twice")
        if name not in members:
            raise InputError(f"{ascii(name)[:80]} is missing")
    for name in members:
        if name not in named:
            raise InputError(f"{name} is not in {MANIFEST}")
    for entry in manifest["files"]:
        content = members[entry["name"]]
        if entry.get("size") != len(content):
            raise InputError(f"{entry['name']} has {len(content)} bytes, {MANIFEST} says otherwise")
        if entry != _entry(entry["name"], content):
            raise InputError(f"{entry['name']} does not have the SHA-256 that {MANIFEST} gives")
    for name in (SAMPLES, RUN_JSON):
        if name not in members:
            raise InputError(f"it holds no {name}")


def _check_table(samples: bytes) -> None:
    """What the table says of its own size, before it is given memory."""
    import pyarrow.parquet

    try:
        rows = pyarrow.parquet.ParquetFile(io.BytesIO(samples)).metadata.num_rows
    except Exception as error:  # pyarrow raises errors of many types over a damaged file
        lines = str(error).splitlines() or [type(error).__name__]
        raise InputError(f"the bundle's run cannot be read: {SAMPLES} is no Parquet file: {lines[0]}") from error
    if rows > MAX_ROWS:
        raise InputError(f"the bundle's table says that it has {rows:,} rows; {MAX_ROWS:,} is the most that is read")


def _entry(name: str, content: bytes) -> dict[str, object]:
    return {"name": name, "size": len(content), "sha256": _sha256(content)}


def _json_object(name: str, content: bytes) -> dict[str, Any]:
    try:
        document = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{name} is not JSON: {str(error).splitlines()[0]}") from error
    if not isinstance(document, dict):
        raise InputError(f"{name} does not hold a JSON object")
    return document


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: object) -> str:
    return value if isinstance(value, str) and value.isprintable() else ""


def _typed(run: Mapping[str, Any]) -> list[str]:
    """The command as it was typed, paths cut: all there is where none can be made from the configuration."""
    words = _mapping(run.get("environment")).get("command")
    return [word for word in words if _text(word)] if isinstance(words, list) else []
