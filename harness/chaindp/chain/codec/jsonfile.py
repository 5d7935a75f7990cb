"""JSON files that nobody vouches for: plain or gzip, bounded before and after decompression, one-line errors."""

from __future__ import annotations

import json
import stat
import zlib
from pathlib import Path
from typing import Any, NoReturn

from chaindp.errors import InputError

__all__ = ["MAX_BYTES", "load_json", "parse_json", "read_bounded", "shorten"]

MAX_BYTES = 64 << 20
"""How large a file may be, and what it decompresses to. The largest blocks' JSON has about 10 MB."""


def shorten(value: object) -> str:
    """``value`` for an error message: its repr on one line, of at most 60 characters."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:40]}... ({len(text)} characters)"


def read_bounded(path: Path, limit: int = MAX_BYTES) -> bytes:
    """The bytes of a regular file of at most ``limit`` bytes, decompressed if it is gzip (to at most ``limit`` bytes).

    InputError naming the file where it is absent, unreadable, no regular file, too large, truncated or damaged.
    """
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise InputError(f"{path}: is not a file")
        if status.st_size > limit:
            raise InputError(f"{path}: has {status.st_size} bytes, at most {limit} are read")
        with path.open("rb") as file:
            data = file.read(limit + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise InputError(f"{path}: cannot be read: {reason}") from None
    if len(data) > limit:
        raise InputError(f"{path}: has more than {limit} bytes")
    if data[:2] == b"\x1f\x8b":
        return _gunzip(data, limit, str(path))
    if path.suffix == ".gz":
        raise InputError(f"{path}: is not gzip data")
    return data


def _gunzip(data: bytes, limit: int, label: str) -> bytes:
    parts: list[bytes] = []
    size = 0
    while data:
        member = zlib.decompressobj(wbits=31)
        try:
            part = member.decompress(data, limit + 1 - size)
        except zlib.error as error:
            raise InputError(f"{label}: damaged gzip data: {error}") from None
        size += len(part)
        if size > limit:
            raise InputError(f"{label}: decompresses to more than {limit} bytes")
        if not member.eof:
            raise InputError(f"{label}: the gzip data is cut off")
        parts.append(part)
        data = member.unused_data
    return b"".join(parts)


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def parse_json(data: bytes, label: str) -> Any:
    """Parse UTF-8 JSON; InputError starting with ``label`` where it is truncated, malformed, or nested too deeply."""
    try:
        return json.loads(data.decode("utf-8"), parse_constant=_no_constant)
    except RecursionError:
        raise InputError(f"{label}: malformed JSON: nested too deeply") from None
    except ValueError as error:
        raise InputError(f"{label}: malformed JSON: {str(error).splitlines()[0]}") from None


def load_json(path: Path, limit: int = MAX_BYTES) -> Any:
    """``parse_json`` of ``read_bounded``: the content of a .json or .json.gz file."""
    return parse_json(read_bounded(path, limit), str(path))
