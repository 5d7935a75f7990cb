"""Where in a TOML file a key stands: ``tomllib`` gives values without their lines, and a message needs the line."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

__all__ = ["key_lines", "line_of"]

Path = tuple[str, ...]

_KEY = re.compile(r"""\s*("(?:[^"\\]|\\.)*"|'[^']*'|[A-Za-z0-9_-]+)\s*""")


def key_lines(text: str) -> dict[Path, int]:
    """Every table and key outside of inline tables, as the path of its names, with its line from 1.

    ``text`` has to be TOML that ``tomllib`` accepts: what is wrong with it is not looked for here.
    """
    lines: dict[Path, int] = {(): 1}
    table: Path = ()
    at, line = 0, 1
    while at < len(text):
        end = _statement_end(text, at)
        statement = text[at:end]
        skipped = len(statement) - len(statement.lstrip())
        first = line + statement[:skipped].count("\n")
        statement = statement.lstrip()
        if statement.startswith("["):
            table = _names(statement.lstrip("["))
            lines.setdefault(table, first)
        elif statement and not statement.startswith("#"):
            lines.setdefault((*table, *_names(statement)), first)
        line += text.count("\n", at, end)
        at = end
    return lines


def line_of(lines: Mapping[Path, int], path: Sequence[str]) -> int:
    """The line of ``path``, or of the innermost table around it that the file has."""
    names = tuple(path)
    while names not in lines:
        names = names[:-1]
    return lines[names]


def _names(text: str) -> Path:
    """The dotted key that ``text`` begins with."""
    names = []
    at = 0
    while match := _KEY.match(text, at):
        names.append(match[1].strip("\"'"))
        at = match.end()
        if text[at : at + 1] != ".":
            break
        at += 1
    return tuple(names)


def _statement_end(text: str, at: int) -> int:
    """Just past the line end that ends the statement at ``at``; strings and brackets may hold others."""
    depth = 0
    # A table's header is bracketed, too, and closed on its line.
    while at < len(text):
        character = text[at]
        if character in "\"'":
            at = _string_end(text, at)
            continue
        if character == "#":
            at = text.find("\n", at)
            if at < 0:
                return len(text)
            continue
        if character in "[{":
            depth += 1
        elif character in "]}":
            depth -= 1
        elif character == "\n" and depth <= 0:
            return at + 1
        at += 1
    return at


def _string_end(text: str, at: int) -> int:
    """Just past the closing quote of the string that opens at ``at``."""
    quote = text[at]
    mark = quote * 3 if text.startswith(quote * 3, at) else quote
    at += len(mark)
    while at < len(text) and not text.startswith(mark, at):
        at += 2 if quote == '"' and text[at] == "\\" else 1
    at += len(mark)
    # Up to two more quotes belong to a multi-line string that ends with them.
    while len(mark) == 3 and text.startswith(quote, at):
        at += 1
    return at
