"""The .cl files as programs: read, put together and built for one device."""

from __future__ import annotations

import re
import warnings
from importlib import resources
from typing import Any

from chaindp_opencl.driver import OpenClDevice, guarded, load

__all__ = ["build", "source"]

_INCLUDE = re.compile(r'^#include "([a-z0-9_]+\.cl)"\n', re.MULTILINE)


def source(name: str) -> str:
    """The text of ``name`` with the files that it includes in their places, so that no driver searches for files."""
    text = resources.files("chaindp_opencl").joinpath("cl", name).read_text(encoding="utf-8")
    parts, line, at = [], 1, 0
    for include in _INCLUDE.finditer(text):
        before = text[at : include.start()]
        line += before.count("\n") + 1
        parts += [before, f'#line 1 "{include[1]}"\n', source(include[1]), f'#line {line} "{name}"\n']
        at = include.end()
    return "".join([f'#line 1 "{name}"\n', *parts, text[at:]])


def build(context: Any, device: OpenClDevice, label: str, name: str, defines: dict[str, int]) -> Any:
    """The program of file ``name`` for ``context``; a BuildError with the first useful lines of the log."""
    options = ["-cl-std=CL1.2", *(f"-D{key}={value}" for key, value in sorted(defines.items()))]
    with guarded(label, f"building {name}"), warnings.catch_warnings():
        # The log of some compilers is never empty.
        warnings.simplefilter("ignore", load().CompilerWarning)
        return load().Program(context, source(name)).build(options, devices=context.devices)
