"""A TOML file with one of its configurations laid over it, read key by key; a mistake is FILE:LINE: what is wrong."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from chaindp.cores.lines import line_of
from chaindp.errors import UsageError

__all__ = ["Table", "kind_of", "read_toml", "unknown_key"]

MAX_FILE_BYTES = 1 << 20
"""A description is a page; what is longer is something else."""


def read_toml(path: Path) -> tuple[dict[str, Any], str]:
    """The file as tables, and as text with plain line ends; UsageError where it is no TOML."""
    try:
        with open(path, "rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except FileNotFoundError:
        raise UsageError(f"{path}: there is no such file") from None
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from None
    if len(content) > MAX_FILE_BYTES:
        raise UsageError(f"{path}: longer than {MAX_FILE_BYTES} bytes, which is no description of a core")
    try:
        text = content.decode("utf-8").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise UsageError(f"{path}:{line}: not UTF-8: {error.reason}") from None
    try:
        return tomllib.loads(text), text
    except (ValueError, RecursionError) as error:
        # tomllib's own error is a ValueError; so is that of an integer of thousands of digits, which names no line.
        message = str(error) if isinstance(error, tomllib.TOMLDecodeError) else _refused(error)
        found = re.search(r" \(at line (\d+), column \d+\)$", message)
        line = int(found[1]) if found else _line_of_digits(text) or text.count("\n") + 1
        message = re.sub(r" \(at [^)]*\)$", "", message)
        raise UsageError(f"{path}:{line}: not TOML: {message}") from None


def _refused(error: Exception) -> str:
    return "nested too deeply" if isinstance(error, RecursionError) else "a number has too many digits"


def _line_of_digits(text: str) -> int:
    """The line of a number that Python refuses for its length; 0 where there is none."""
    found = re.search(r"[0-9][0-9_]{4000}", text)
    return text.count("\n", 0, found.start()) + 1 if found else 0


OVERRIDABLE_TABLES = ("parameters", "defines", "clock", "reset", "input", "output", "options", "limits")
OVERRIDABLE = (
    *("summary", "kernel", "top", "sources", "fusesoc", "fusesoc_target", "include_dirs", "v_language"),
    *("lint_off", "clock_mhz"),
    *OVERRIDABLE_TABLES,
)


class Table:
    """A description with one configuration laid over it; takes its keys one by one, and knows where each stands."""

    def __init__(
        self,
        path: Path,
        text: str,
        lines: Mapping[tuple[str, ...], int],
        base: Mapping[str, Any],
        over: Mapping[str, Any],
        configuration: str,
    ) -> None:
        self.path, self.lines, self.configuration = path, lines, configuration
        self._text = text.split("\n")
        self._over = over
        self.values = dict(base)
        for key, value in over.items():
            if key not in OVERRIDABLE:
                raise self.error(
                    ("configurations", configuration, key), unknown_key(key, OVERRIDABLE, "a configuration")
                )
            merges = key in OVERRIDABLE_TABLES and isinstance(value, dict) and isinstance(base.get(key), dict)
            # Options are of a kernel: with another kernel, none of the old ones remain.
            if merges and not (key == "options" and "kernel" in over):
                self.values[key] = {**base[key], **value}
            else:
                self.values[key] = value
        if "options" not in over and over.get("kernel", base.get("kernel")) != base.get("kernel"):
            self.values.pop("options", None)
        # The files may be named either way; the configuration's way replaces the other one.
        if "sources" in over:
            self.values.pop("fusesoc", None)
        elif "fusesoc" in over:
            self.values.pop("sources", None)

    def line(self, keys: Sequence[str]) -> int:
        """The line of a key: where the configuration sets it, if it does."""
        value: Any = self._over
        for key in keys:
            value = value.get(key) if isinstance(value, Mapping) else None
        if self.configuration and (value is not None or keys[:1] == ("configurations",)):
            keys = keys if keys[:1] == ("configurations",) else ("configurations", self.configuration, *keys)
        return line_of(self.lines, keys)

    def line_with(self, keys: Sequence[str], text: str) -> int:
        """The line of ``text`` within the value of a key, which may take several lines."""
        first = self.line(keys)
        for form in (f'"{text}"', f"'{text}'", text):
            for offset, line in enumerate(self._text[first - 1 :]):
                if form in line:
                    return first + offset
        return first

    def error(self, keys: Sequence[str], problem: str, line: int | None = None) -> UsageError:
        """The error of a key, with FILE:LINE."""
        return UsageError(f"{self.path}:{line or self.line(keys)}: {problem}")

    def table(self, name: str, known: Sequence[str] | None = None, required: bool = False) -> dict[str, Any]:
        """A table, none of whose keys is unknown; empty where it is left out."""
        if name not in self.values:
            if required:
                raise self.error((), f"[{name}] is missing")
            return {}
        value = self.values[name]
        if not isinstance(value, dict):
            raise self.error((name,), f"{name} is {kind_of(value)}, expected a table")
        for key in value if known is not None else ():
            if key not in known:  # type: ignore[operator]
                raise self.error((name, key), unknown_key(key, known or (), f"[{name}]"))
        return value

    def take(self, keys: tuple[str, ...], kind: type, default: Any = None) -> Any:
        """A value of exactly ``kind``, where float takes an integer, too. Required unless there is a default."""
        value: Any = self.values
        for key in keys:
            value = value.get(key) if isinstance(value, dict) else None
        name = ".".join(keys)
        if value is None:
            if default is None:
                raise self.error(keys[:-1], f"{name} is missing")
            return default
        if type(value) is not kind and not (kind is float and type(value) is int):
            raise self.error(keys, f"{name} is {kind_of(value)}, expected {KINDS[kind]}")
        return value

    def text(self, keys: tuple[str, ...], pattern: re.Pattern[str], what: str, default: str | None = None) -> str:
        """A string of a pattern."""
        value: str = self.take(keys, str, default)
        if not pattern.fullmatch(value):
            raise self.error(keys, f"{'.'.join(keys)} is {value!r:.80}, which is not {what}")
        return value

    def number(self, keys: tuple[str, ...], low: int, high: int, default: int | None = None) -> int:
        """An integer from ``low`` to ``high``."""
        value: int = self.take(keys, int, default)
        if not low <= value <= high:
            raise self.error(keys, f"{'.'.join(keys)} is {value}, expected {low} to {high}")
        return value

    def strings(self, key: str) -> list[str]:
        """A list of strings; empty where it is left out."""
        values = self.take((key,), list, [])
        for value in values:
            if not isinstance(value, str):
                raise self.error((key,), f"{key} holds {kind_of(value)}, expected strings")
        return values  # type: ignore[no-any-return]


KINDS = {str: "a string", int: "an integer", float: "a number", bool: "true or false", list: "a list", dict: "a table"}


def kind_of(value: object) -> str:
    """What a TOML value is, in words."""
    return KINDS.get(type(value), f"a {type(value).__name__}")


def unknown_key(key: str, known: Sequence[str], where: str) -> str:
    """That a key is unknown, and what may have been meant."""
    close = difflib.get_close_matches(key, known, n=1)
    return f"{where} has no key {key!r:.80}" + (
        f"; did you mean {close[0]}?" if close else f"; it has {', '.join(known)}"
    )
