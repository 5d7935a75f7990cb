"""``core.toml``: what a core is called, what it computes, and what its ports are, read and checked in full.

Every mistake is one UsageError that begins with FILE:LINE. docs/cores.md has the keys and the stream contract.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType

from chaindp.cores.fusesoc import Files, read_files
from chaindp.cores.lines import key_lines, line_of
from chaindp.cores.tables import Table, kind_of, read_toml, unknown_key
from chaindp.errors import ChaindpError, UsageError

__all__ = ["KERNELS", "Core", "Reset", "Stream", "load_configurations", "load_core"]

MAX_STREAM_BYTES = 4096
MAX_USER_BITS = 32
MOST_BITS = 256
"""Of an integer: parameters have 64, and nothing else has more than a macro of 256."""

NAME = re.compile(r"[a-z][a-z0-9_]*")
IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_$]*")
WARNING = re.compile(r"[A-Z][A-Z0-9_]*")

SUMMARY = re.compile(r"[^\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]{0,200}")

SIGNALS = ("tdata", "tvalid", "tready", "tlast", "tkeep", "tuser")

V_LANGUAGES = ("1364-2005", "1800-2017")
"""What a file named .v may be: Verilog, in which ``bit`` and ``logic`` are names, or SystemVerilog."""

HASHES = ("keccak256", "sha256")
FIELDS = ("babybear",)

MAX_DEPTH = 32
"""log2 of the most leaves that any tree core is asked for; one with a smaller stack says so."""


@dataclass(frozen=True, slots=True)
class Option:
    """What the host may be told of a core: one of ``choices``, or an int of ``low`` to ``high``."""

    default: str | int
    choices: tuple[str, ...] = ()
    low: int = 0
    high: int = 0

    def problem(self, value: object) -> str:
        """What is wrong with a value; empty where nothing is."""
        if self.choices:
            named = " or ".join(f'"{choice}"' for choice in self.choices)
            return "" if isinstance(value, str) and value in self.choices else f"expected {named}"
        if type(value) is int and self.low <= value <= self.high:
            return ""
        return f"expected an integer from {self.low} to {self.high}"


KERNELS: Mapping[str, Mapping[str, Option]] = {
    "keccak256": {"padding": Option("core", ("core", "host"))},
    "sha256": {"padding": Option("core", ("core", "host"))},
    "merkle_root": {"hash": Option("keccak256", HASHES), "max_depth": Option(MAX_DEPTH, low=0, high=MAX_DEPTH)},
    "merkle_tree": {"hash": Option("keccak256", HASHES), "max_depth": Option(MAX_DEPTH, low=0, high=MAX_DEPTH)},
    "poseidon2": {"field": Option("babybear", FIELDS)},
    "ntt": {
        "field": Option("babybear", FIELDS),
        "min_log2_size": Option(0, low=0, high=27),
        "max_log2_size": Option(16, low=0, high=27),
        "order": Option("natural", ("natural", "bit_reversed")),
    },
}
"""The kernels that a core may serve, each with its options."""

BLOCK = {"keccak256": 136, "sha256": 64}
"""Bytes that a hash absorbs at once, which a message padded by the host is made of."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Stream:
    """One AXI4-Stream of a core.

    bytes:      width of tdata
    keep:       whether it has a tkeep, whose bit i says that byte lane i counts
    user_bits:  width of tuser; 0 where there is none
    byte_order: ``little`` where the first byte is in lane 0, ``big`` where it is in the highest one
    ports:      names that are not the prefix, an underscore and the signal
    """

    prefix: str
    bytes: int
    keep: bool
    user_bits: int
    byte_order: str
    ports: Mapping[str, str]

    def port(self, signal: str) -> str:
        """The name of the port that carries ``signal``: tdata, tvalid, tready, tlast, tkeep or tuser."""
        return self.ports.get(signal, f"{self.prefix}_{signal}")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Reset:
    """The reset: its port, the level that resets, and the cycles that it has to last."""

    port: str
    active_low: bool
    cycles: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Core:
    """One core in one of its configurations, checked.

    path:           the description, as it was named
    configuration:  empty for the one without a name
    sources:        SystemVerilog and Verilog files, in compile order
    v_language:     of those named .v: 1364-2005, or 1800-2017 where they are SystemVerilog all the same
    options:        of the kernel, every one of them: see ``KERNELS``
    configurations: the names of all configurations of this description
    """

    path: Path
    configuration: str
    name: str
    summary: str
    kernel: str
    top: str
    sources: tuple[Path, ...]
    include_dirs: tuple[Path, ...]
    defines: Mapping[str, str]
    v_language: str
    lint_off: tuple[str, ...]
    clock_mhz: float
    parameters: Mapping[str, int | bool | str]
    clock: str
    reset: Reset
    input: Stream
    output: Stream
    options: Mapping[str, str | int]
    idle_cycles: int
    configurations: tuple[str, ...]
    table: Table = field(repr=False)

    @property
    def label(self) -> str:
        """``name`` or ``name-configuration``: how the core is selected as a device."""
        return f"{self.name}-{self.configuration}" if self.configuration else self.name

    def at(self, *keys: str) -> str:
        """FILE:LINE of a key, in the configuration where that sets it; of what is around it where it is left out."""
        return f"{self.path}:{self.table.line(keys)}"


def load_core(path: str | Path, configuration: str = "") -> Core:
    """The core that ``path`` describes, a ``core.toml`` or the folder of one, in one of its configurations.

    UsageError, one line beginning with FILE:LINE, for whatever is wrong with the file; every configuration is checked,
    not only the one that is asked for.
    """
    cores = load_configurations(path)
    if configuration not in cores:
        there = ", ".join(filter(None, cores)) or "none"
        raise UsageError(f"{cores[''].path}: no configuration {configuration!r}; there is: {there}")
    return cores[configuration]


def load_configurations(path: str | Path) -> dict[str, Core]:
    """The core that ``path`` describes in all of its configurations, by name; as it is by itself under "".

    UsageError as for ``load_core``.
    """
    path = Path(path)
    if os.path.isdir(path):
        path = path / "core.toml"
    raw, text = read_toml(path)
    lines = key_lines(text)
    _check_integers(path, raw, lines, ())
    described = raw.get("configurations", {})
    if not isinstance(described, dict):
        raise UsageError(f"{path}:{line_of(lines, ('configurations',))}: configurations is not a table")
    for name, content in described.items():
        at = f"{path}:{line_of(lines, ('configurations', name))}"
        if not NAME.fullmatch(name):
            raise UsageError(f"{at}: configuration {name!r} is not lowercase letters, digits and '_'")
        if not isinstance(content, dict):
            raise UsageError(f"{at}: configuration {name} is not a table")
    base = {key: value for key, value in raw.items() if key != "configurations"}
    cores = {"": _core(Table(path, text, lines, base, {}, ""), tuple(described))}
    for name, content in described.items():
        cores[name] = _core(Table(path, text, lines, base, content, name), tuple(described))
    return cores


def _check_integers(path: Path, value: object, lines: Mapping[tuple[str, ...], int], keys: tuple[str, ...]) -> None:
    """UsageError for an integer that is none of anything: Python would not even print one of thousands of digits."""
    if isinstance(value, dict):
        for key, item in value.items():
            _check_integers(path, item, lines, (*keys, key))
    for item in value if isinstance(value, list) else (value,):
        if isinstance(item, int) and item.bit_length() > MOST_BITS:
            raise UsageError(
                f"{path}:{line_of(lines, keys)}: {'.'.join(keys)} is an integer of {item.bit_length()} bits"
            )


TOP_KEYS = (
    *("name", "summary", "kernel", "top", "sources", "fusesoc", "fusesoc_target", "include_dirs", "defines"),
    *("v_language", "lint_off", "clock_mhz", "parameters", "clock", "reset", "input", "output", "options", "limits"),
    "configurations",
)
STREAM_KEYS = ("prefix", "bytes", "keep", "user_bits", "byte_order", "ports")


def _core(table: Table, configurations: tuple[str, ...]) -> Core:
    for key in table.values:
        if key not in TOP_KEYS:
            raise table.error((key,), unknown_key(key, TOP_KEYS, "a core"))
    name = table.text(("name",), NAME, "lowercase letters, digits and '_'")
    kernel = table.take(("kernel",), str)
    if kernel not in KERNELS:
        close = difflib.get_close_matches(kernel, KERNELS, n=1)
        hint = f"did you mean {close[0]}?" if close else f"there is {', '.join(KERNELS)}"
        raise table.error(("kernel",), f"no core can serve a kernel {kernel!r:.80}; {hint}")
    files = _files(table)
    table.table("clock", ("port",), required=True)
    table.table("reset", ("port", "active", "cycles"), required=True)
    table.table("limits", ("idle_cycles",))
    active = table.take(("reset", "active"), str, "low")
    if active not in ("low", "high"):
        raise table.error(("reset", "active"), f'reset.active is {active!r:.80}, expected "low" or "high"')
    clock_mhz = float(table.take(("clock_mhz",), float))
    if not 0 < clock_mhz <= 100_000:
        raise table.error(("clock_mhz",), f"clock_mhz is {clock_mhz:g}, expected a number above 0, to 100000")
    core = Core(
        path=table.path,
        configuration=table.configuration,
        name=name,
        summary=table.text(("summary",), SUMMARY, "one line of at most 200 characters that can be printed", ""),
        kernel=kernel,
        top=table.text(("top",), IDENTIFIER, "the name of a module"),
        sources=files.sources,
        include_dirs=files.include_dirs,
        defines=MappingProxyType(files.defines),
        v_language=V_LANGUAGES[files.v_is_systemverilog],
        lint_off=_lint_off(table),
        clock_mhz=clock_mhz,
        parameters=MappingProxyType({**files.parameters, **_parameters(table)}),
        clock=table.text(("clock", "port"), IDENTIFIER, "the name of a port"),
        reset=Reset(
            port=table.text(("reset", "port"), IDENTIFIER, "the name of a port"),
            active_low=active == "low",
            cycles=table.number(("reset", "cycles"), 1, 10_000, 4),
        ),
        input=_stream(table, "input", "s_axis"),
        output=_stream(table, "output", "m_axis"),
        options=MappingProxyType(_options(table, kernel)),
        idle_cycles=table.number(("limits", "idle_cycles"), 100, 100_000_000, 100_000),
        configurations=configurations,
        table=table,
    )
    _check_ports(table, core)
    _check_widths(table, core)
    return core


def _stream(table: Table, name: str, prefix: str) -> Stream:
    table.table(name, STREAM_KEYS, required=True)
    ports = table.take((name, "ports"), dict, {})
    for signal, port in ports.items():
        if signal not in SIGNALS:
            raise table.error((name, "ports", signal), unknown_key(signal, SIGNALS, f"{name}.ports"))
        if not isinstance(port, str) or not IDENTIFIER.fullmatch(port):
            raise table.error((name, "ports", signal), f"{name}.ports.{signal} is not the name of a port")
    order = table.take((name, "byte_order"), str, "little")
    if order not in ("little", "big"):
        raise table.error((name, "byte_order"), f'{name}.byte_order is {order!r:.80}, expected "little" or "big"')
    keep = table.take((name, "keep"), bool, False)
    user_bits = table.number((name, "user_bits"), 0, MAX_USER_BITS, 0)
    for signal, there, key in (("tkeep", keep, "keep = true"), ("tuser", user_bits, "user_bits")):
        if signal in ports and not there:
            raise table.error((name, "ports", signal), f"{name}.ports names a {signal}, which needs {name}.{key}")
    return Stream(
        prefix=table.text((name, "prefix"), IDENTIFIER, "the beginning of a port's name", prefix),
        bytes=table.number((name, "bytes"), 1, MAX_STREAM_BYTES),
        keep=keep,
        user_bits=user_bits,
        byte_order=order,
        ports=MappingProxyType(dict(ports)),
    )


def _options(table: Table, kernel: str) -> dict[str, str | int]:
    known = KERNELS[kernel]
    given = table.table("options")
    for name, value in given.items():
        if name not in known:
            raise table.error(("options", name), unknown_key(name, tuple(known), f"[options] of a core for {kernel}"))
        problem = known[name].problem(value)
        if problem:
            raise table.error(("options", name), f"options.{name} is {value!r:.80}, {problem}")
    options = {name: given.get(name, option.default) for name, option in known.items()}
    if kernel == "ntt" and options["min_log2_size"] > options["max_log2_size"]:
        problem = f"options.min_log2_size is {options['min_log2_size']}, and max_log2_size {options['max_log2_size']}"
        raise table.error(("options", "min_log2_size"), problem)
    return options


def _parameters(table: Table) -> dict[str, int | bool | str]:
    given = table.table("parameters")
    for name, value in given.items():
        if not IDENTIFIER.fullmatch(name):
            raise table.error(("parameters", name), f"{name!r:.80} is not the name of a parameter")
        if not isinstance(value, int | str):
            raise table.error(("parameters", name), f"parameters.{name} is {kind_of(value)}, expected an integer")
        if isinstance(value, int) and not -(1 << 63) <= value < 1 << 64:
            raise table.error(("parameters", name), f"parameters.{name} is {value}, which takes more than 64 bits")
        if isinstance(value, str) and not value.isprintable():
            raise table.error(("parameters", name), f"parameters.{name} holds a character that cannot be printed")
    return given


def _defines(table: Table) -> dict[str, str]:
    given = table.table("defines")
    defines = {}
    for name, value in given.items():
        if not IDENTIFIER.fullmatch(name):
            raise table.error(("defines", name), f"{name!r:.80} is not the name of a macro")
        if not isinstance(value, int | str) or (isinstance(value, str) and not value.isprintable()):
            raise table.error(("defines", name), f"defines.{name} is {kind_of(value)}, expected a string or an integer")
        if value is False:
            raise table.error(("defines", name), f"defines.{name} is false: leave it out instead")
        defines[name] = "" if value is True else str(value)
    return defines


def _lint_off(table: Table) -> tuple[str, ...]:
    codes = table.strings("lint_off")
    for code in codes:
        if not WARNING.fullmatch(code):
            line = table.line_with(("lint_off",), code)
            raise table.error(("lint_off",), f"lint_off: {code!r:.80} is not the name of a Verilator warning", line)
    return tuple(codes)


def _files(table: Table) -> Files:
    """The description's own lists, or a FuseSoC file and on top what the description adds to it."""
    defines = _defines(table)
    v_language = table.take(("v_language",), str, "")
    if v_language not in ("", *V_LANGUAGES):
        named = " or ".join(f'"{name}"' for name in V_LANGUAGES)
        raise table.error(("v_language",), f"v_language is {v_language!r:.80}, expected {named}")
    folder = table.path.parent
    include_dirs = tuple(_existing(table, folder, "include_dirs", Path.is_dir, "folder"))
    if ("sources" in table.values) == ("fusesoc" in table.values):
        both = "sources" in table.values
        problem = "sources and fusesoc: one of them names the files, not both" if both else "sources is missing"
        raise table.error(("fusesoc",) if both else (), problem)
    if "fusesoc_target" in table.values and "fusesoc" not in table.values:
        raise table.error(("fusesoc_target",), "fusesoc_target is of a FuseSoC file, which fusesoc names")
    if "sources" in table.values:
        sources = tuple(_existing(table, folder, "sources", Path.is_file, "file"))
        if not sources:
            raise table.error(("sources",), "sources names no file")
        return Files(sources, include_dirs, defines, v_language == V_LANGUAGES[1])
    given = _path(table, folder, "fusesoc", table.take(("fusesoc",), str))
    if not given.is_file():
        raise table.error(("fusesoc",), f"{given}: there is no such file")
    target = table.take(("fusesoc_target",), str, "default")
    try:
        files = read_files(given, target)
    except ChaindpError as error:
        raise table.error(("fusesoc",), f"fusesoc: {error}") from None
    return replace(
        files,
        include_dirs=(*include_dirs, *files.include_dirs),
        defines={**files.defines, **defines},
        v_is_systemverilog=v_language == V_LANGUAGES[1] if v_language else files.v_is_systemverilog,
    )


def _existing(table: Table, folder: Path, key: str, there: Callable[[Path], bool], what: str) -> Iterator[Path]:
    seen: set[Path] = set()
    for value in table.strings(key):
        path = _path(table, folder, key, value)
        if not there(path):
            line = table.line_with((key,), value)
            raise table.error((key,), f"{key}: there is no {what} {path}", line)
        resolved = path.resolve()
        if resolved in seen:
            raise table.error((key,), f"{key} names {value} twice", table.line_with((key,), value))
        seen.add(resolved)
        yield path


def _path(table: Table, folder: Path, key: str, value: str) -> Path:
    """A path that a description names, relative to it: what is absolute would work on one machine only."""
    problem = ""
    if not value or not value.isprintable():
        problem = f"{key}: {value!r:.80} is not the name of a file"
    elif Path(value).is_absolute():
        problem = f"{key}: {value} is absolute; name it from the folder of this file"
    if problem:
        raise table.error((key,), problem, table.line_with((key,), value))
    return folder / value


def _check_ports(table: Table, core: Core) -> None:
    """No two signals on one port."""
    taken: dict[str, str] = {}

    def claim(port: str, what: str, keys: tuple[str, ...]) -> None:
        if port in taken:
            raise table.error(keys, f"port {port} is {taken[port]} and {what}")
        taken[port] = what

    claim(core.clock, "the clock", ("clock", "port"))
    claim(core.reset.port, "the reset", ("reset", "port"))
    for name, stream in (("input", core.input), ("output", core.output)):
        for signal in used_signals(stream):
            keys = (name, "ports", signal) if signal in stream.ports else (name, "prefix")
            claim(stream.port(signal), f"{signal} of the {name}", keys)


def used_signals(stream: Stream) -> tuple[str, ...]:
    """The signals that a stream has."""
    optional = (("tkeep",) if stream.keep else ()) + (("tuser",) if stream.user_bits else ())
    return ("tdata", "tvalid", "tready", "tlast", *optional)


def _check_widths(table: Table, core: Core) -> None:
    """Whether the packets of the kernel fit the streams: a last beat that is not full needs a tkeep."""
    unit_in = {"merkle_root": 32, "merkle_tree": 32, "poseidon2": 64, "ntt": 4}.get(core.kernel, 1)
    if core.options.get("padding") == "host":
        unit_in = BLOCK[core.kernel]
    if unit_in % core.input.bytes and not core.input.keep:
        problem = f"input.bytes is {core.input.bytes}: a packet of {core.kernel} is a multiple of {unit_in} bytes"
        raise table.error(
            ("input", "bytes"), f"{problem}, so its last beat may not be full and needs input.keep = true"
        )
    if core.kernel in BLOCK and core.options["padding"] == "core" and not core.input.keep:
        problem = f"input.keep is missing: an empty message of {core.kernel} is a beat without a byte, which tkeep says"
        raise table.error(("input",), problem)
    unit_out = {"poseidon2": 64, "ntt": 4}.get(core.kernel, 32)
    if unit_out % core.output.bytes and not core.output.keep:
        problem = f"output.bytes is {core.output.bytes}: a packet of {core.kernel} is a multiple of {unit_out} bytes"
        raise table.error(
            ("output", "bytes"), f"{problem}, so its last beat may not be full and needs output.keep = true"
        )
    if core.kernel == "merkle_tree":
        if 32 % core.output.bytes:
            raise table.error(
                ("output", "bytes"), f"output.bytes is {core.output.bytes}: a node of 32 bytes is one beat or more"
            )
        if not core.output.user_bits:
            raise table.error(("output",), "output.user_bits is missing: tuser says the level of a node of merkle_tree")
    if core.kernel == "ntt":
        needed = int(core.options["max_log2_size"]).bit_length()
        if core.input.user_bits < max(needed, 1):
            problem = f"input.user_bits is {core.input.user_bits}: tuser says log2 of the size, which takes {needed}"
            raise table.error(("input", "user_bits"), problem)
