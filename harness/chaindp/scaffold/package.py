"""Packages from templates: filled in, and written whole or not at all.

A template is a text file under ``templates/`` in which ``{{key}}`` stands for a value. Its name ends in ``.tmpl``, so
that no tool takes it for what it will become.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Mapping
from importlib import resources
from pathlib import Path

from chaindp.errors import UsageError

__all__ = ["fill_in", "render", "write_package"]

_KEY = re.compile(r"\{\{(\w+)\}\}")


def fill_in(text: str, values: Mapping[str, str]) -> str:
    """``text`` with a value for every ``{{key}}``; KeyError where there is none."""
    return _KEY.sub(lambda match: values[match[1]], text)


def render(folder: str, files: Mapping[str, str], values: Mapping[str, str]) -> dict[str, str]:
    """Path to text of every file: ``files`` is path to template, both filled in with ``values``."""
    templates = resources.files("chaindp.scaffold") / "templates" / folder
    return {
        fill_in(path, values): fill_in((templates / template).read_text(encoding="utf-8"), values)
        for path, template in files.items()
    }


def write_package(target: Path, files: Mapping[str, str]) -> None:
    """Write ``files``, path to text, as the new folder ``target``: all of them, or nothing.

    They are written into a hidden sibling folder, which is renamed in one step. Raises UsageError where ``target`` is
    there already, whatever it is, and where its parent is not a folder that can be written to.
    """
    if os.path.lexists(target):
        raise UsageError(f"{target} exists already, and nothing is overwritten; move it away or choose another name")
    parent = target.parent
    if not parent.is_dir():
        raise UsageError(f"{parent} is not a folder; make it first, or say another one with --directory")
    try:
        with tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=parent) as temporary:
            # One level down, because the temporary folder itself is readable by its owner alone.
            folder = Path(temporary) / target.name
            for path, text in files.items():
                file = folder / path
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(text, encoding="utf-8")
            folder.rename(target)
    except OSError as error:
        raise UsageError(
            f"cannot write {target}: {error.strerror or error}; say another folder with --directory"
        ) from error
