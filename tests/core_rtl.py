"""Cores for tests: the RTL of tests/rtl, described in a folder of the test's own."""

from __future__ import annotations

import enum
import functools
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest

from chaindp.cores import Built, Flavour, build, load_core
from chaindp.cores.toolchain import find_toolchain
from chaindp.errors import PluginError
from conftest import REPOSITORY

RTL = REPOSITORY / "tests" / "rtl"


class Planted(enum.IntEnum):
    """The faults of tests/rtl/digest.sv, in its order."""

    NONE = 0
    WITHDRAWS = 1
    WAITS_FOR_READY = 2
    ENDS_EARLY = 3
    CHANGES = 4
    SHORT_PACKET = 5
    LONG_PACKET = 6
    HANGS_AT_WORK = 7
    VALID_IN_RESET = 8
    HANGS_AT_INPUT = 9
    EMITS_TWICE = 10
    DROPS_BEAT = 11
    KEEPS_STATE = 12
    SWALLOWS = 13
    FINISHES = 14
    ASSERTS = 15


def description(top: str, **tables: Mapping[str, object]) -> str:
    """A ``core.toml`` with everything that is needed, as text; ``tables`` add to it or replace what it has."""
    content: dict[str, dict[str, object]] = {
        "": {"name": "tiny", "kernel": "keccak256", "top": top, "sources": [f"{top}.sv"], "clock_mhz": 100},
        "clock": {"port": "clk_i"},
        "reset": {"port": "rst_ni"},
        "input": {"bytes": 8, "keep": True},
        "output": {"bytes": 8},
    }
    for name, table in tables.items():
        name = "" if name == "core" else name
        content[name] = {**content.get(name, {}), **table}
    lines: list[str] = []
    for name, table in content.items():
        lines += [f"[{name}]"] if name else []
        lines += [f"{key} = {_toml(value)}" for key, value in table.items()]
    return "\n".join(lines) + "\n"


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, Sequence):
        return "[" + ", ".join(map(_toml, value)) + "]"
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{key} = {_toml(item)}" for key, item in value.items()) + " }"
    return str(value)


def write_core(folder: Path, top: str, rtl: str | None = None, **tables: Mapping[str, object]) -> Path:
    """``core.toml`` and ``TOP.sv`` in ``folder``: of tests/rtl, unless the RTL is given."""
    source = (RTL / f"{top}.sv").read_text() if rtl is None else rtl
    (folder / f"{top}.sv").write_text(source)
    path = folder / "core.toml"
    path.write_text(description(top, **tables))
    return path


@functools.cache
def missing_tools() -> str:
    """Which tool is missing for a simulation; empty where none is."""
    try:
        find_toolchain()
    except PluginError as error:
        return str(error)
    return ""


needs_simulator = pytest.mark.skipif(bool(missing_tools()), reason=missing_tools())

DIGEST_TABLES: dict[str, Mapping[str, object]] = {
    "input": {"bytes": 8, "keep": True, "user_bits": 4},
    "limits": {"idle_cycles": 500},
}


def built_core(folder: Path, top: str, flavour: Flavour = Flavour.FAST, **tables: Mapping[str, object]) -> Built:
    """A core of tests/rtl, built."""
    return build(load_core(write_core(folder, top, **tables)), flavour)


def check_value(message: bytes) -> bytes:
    """What tests/rtl/digest.sv computes: 64-bit FNV-1a (draft-eastlake-fnv), four times."""
    value = 0xCBF29CE484222325
    for byte in message:
        value = (value ^ byte) * 0x100000001B3 & (1 << 64) - 1
    return value.to_bytes(8, "little") * 4


def random_messages(seed: int, lengths: Sequence[int]) -> list[bytes]:
    """A random message of every length."""
    rng = np.random.default_rng(seed)
    return [rng.bytes(length) for length in lengths]
