"""Verilator's messages and ports: running it, and saying in one line, with file and line, what it rejects."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from chaindp.cores.description import Core, Stream, used_signals
from chaindp.cores.rtl import options
from chaindp.cores.toolchain import environment, find_verilator
from chaindp.errors import InputError, PluginError

__all__ = ["LintMessage", "Port", "check_ports", "lint", "read_ports", "verilate"]

SECONDS = 600
"""How long Verilator may take over a core."""

MESSAGE = re.compile(
    r"%(Error|Warning)(?:-([A-Z0-9_]+))?: (?:(?P<file>[^\n:]+?):(?P<line>\d+):(?:\d+: )?)?(?P<text>.*)"
)

NOTHING_FITS = 200
"""Longest message, in characters: a parser that has lost its way may list every token that there is."""


@dataclass(frozen=True, slots=True)
class LintMessage:
    """One message of Verilator's. ``code`` is the name of the warning, or ``ERROR``; line 0 where it names none."""

    file: str
    line: int
    code: str
    message: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.code}: {self.message}"


@dataclass(frozen=True, slots=True)
class Port:
    """A port of the verilated top: its name in C++, its width in bits, and what it is stored in, in bytes.

    width:   0 for what cannot be driven as one value
    storage: 0 for what is no vector of bits; Verilator does not say in which direction such a port goes
    low:     the lower bound of its range
    """

    name: str
    is_input: bool
    width: int
    storage: int
    low: int = 0


def lint(core: Core) -> list[LintMessage]:
    """What ``verilator --lint-only -Wall`` says of a core, less the warnings of ``lint_off``: nothing if it is clean.

    PluginError where Verilator is missing or fails by itself.
    """
    off = [f"-Wno-{code}" for code in core.lint_off]
    done = _run(["--lint-only", "-Wall", "-Wno-fatal", "--no-timing", *off, *options(core)], Path("/"))
    messages = _messages(core, done.stderr + done.stdout)
    if done.returncode and not any(message.code == "ERROR" for message in messages):
        raise PluginError(f"Verilator fails on {core.label}, and does not say why (exit status {done.returncode})")
    return messages


def verilate(core: Core, flags: Sequence[str], folder: Path) -> None:
    """Turn the core into C++ in ``folder``: class Vcore. InputError, one line FILE:LINE: MESSAGE, for what is wrong."""
    fixed = ["--cc", "-Wno-fatal", "-Wno-lint", "-Wno-style", "--no-timing", "--prefix", "Vcore", "--Mdir", str(folder)]
    done = _run([*fixed, *flags, *options(core)], folder)
    if done.returncode == 0:
        return
    for message in _messages(core, done.stderr + done.stdout):
        if message.code == "ERROR":
            raise InputError(f"{message.file}:{message.line}: {message.message}")
    raise PluginError(f"Verilator fails on {core.label}, and does not say why (exit status {done.returncode})")


def _run(arguments: Sequence[str], folder: Path) -> subprocess.CompletedProcess[str]:
    verilator = find_verilator()
    command = [*verilator.command, *arguments]
    try:
        return subprocess.run(
            command,
            capture_output=True,
            text=True,
            errors="replace",
            cwd=folder,
            check=False,
            timeout=SECONDS,
            env=environment(verilator),
        )
    except subprocess.TimeoutExpired:
        raise PluginError(f"Verilator has not finished after {SECONDS} s") from None
    except OSError as error:
        raise PluginError(f"Verilator does not run: {command[0]}: {error.strerror or error}") from None


def _messages(core: Core, output: str) -> list[LintMessage]:
    found = []
    for line in output.splitlines():
        match = MESSAGE.match(line)
        if match is None or match["text"].startswith(("Exiting due to", "... See the manual")):
            continue
        code = "ERROR" if match[1] == "Error" else match[2] or "WARNING"
        text = match["text"].strip()
        if len(text) > NOTHING_FITS:
            text = text[:NOTHING_FITS] + " ..."
        message = LintMessage(_shown(core, match["file"] or ""), int(match["line"] or 0), code, text)
        message = _located(core, message)
        if message not in found:
            found.append(message)
    return found


def _shown(core: Core, file: str) -> str:
    """A file as the description names it."""
    for source in core.sources:
        if str(source.resolve()) == file:
            return os.path.normpath(source)
    return file


def _located(core: Core, message: LintMessage) -> LintMessage:
    """An error with its place: a line of the RTL, or of the description where that is what is wrong."""
    text = message.message
    lacking = re.search(r"[Pp]arameters? .*not found.*?(\w+)\W*$", text) if not message.line else None
    unknown = re.search(r"-Wno-([A-Z0-9_]+)", text) if not message.line else None
    if "Specified --top-module" in text:
        place, text = core.at("top"), f"none of the sources has a module {core.top}, which top names"
    elif lacking:
        place, text = core.at("parameters", lacking[1]), f"{core.top} has no parameter {lacking[1]}"
    elif unknown:
        place, text = core.at("lint_off"), f"lint_off: Verilator has no warning {unknown[1]}"
    elif message.line:
        return message
    else:
        place = core.at("sources")
    file, _, line = place.rpartition(":")
    return LintMessage(file, int(line), message.code, text)


PORT = re.compile(r"VL_(IN|OUT|INOUT)(8|16|64|W|)\(&?([^,]+),(-?\d+),(-?\d+)(?:,(\d+))?\);")
OPAQUE = re.compile(r"^    \S.* ?&(\w+);$", re.MULTILINE)
"""A port that is no vector: an array, a struct, a real, a string."""


def read_ports(header: Path) -> dict[str, Port]:
    """The ports of the model's class, from the generated header."""
    text = header.read_text(encoding="utf-8", errors="replace")
    ports = {}
    for direction, size, name, high, low, words in PORT.findall(text):
        storage = {"8": 1, "16": 2, "": 4, "64": 8}.get(size) or 4 * int(words)
        width = int(high) - int(low) + 1
        name, array, _ = name.strip("(&").partition(")")
        if direction == "INOUT" or array:
            width = 0  # a port that goes both ways, or an array of ports
        ports[_plain(name)] = Port(name, direction != "OUT", width, storage, int(low))
    declared = text.partition("// PORTS\n")[2].partition("// CELLS\n")[0]
    for name in OPAQUE.findall(declared):
        ports[_plain(name)] = Port(name, True, 0, 0)
    return ports


def _plain(name: str) -> str:
    """A name of C++ as the RTL has it: Verilator marks a word of C++, and writes what C++ lacks as a number."""
    return re.sub(r"__0([0-9A-F]{2})", lambda code: chr(int(code[1], 16)), name.removeprefix("__SYM__"))


def check_ports(core: Core, ports: Mapping[str, Port]) -> None:
    """Whether the top has the ports that the description says, of the right direction and width; InputError if not."""
    driven = {core.clock, core.reset.port}
    _check_port(core, ports, core.clock, True, 1, ("clock", "port"), "clock.port")
    _check_port(core, ports, core.reset.port, True, 1, ("reset", "port"), "reset.port")
    for name, stream in (("input", core.input), ("output", core.output)):
        for signal in used_signals(stream):
            port = stream.port(signal)
            is_input = (name == "input") != (signal == "tready")
            if is_input:
                driven.add(port)
            width, key = _width(stream, signal)
            keys = (name, "ports", signal) if signal in stream.ports else (name, key)
            _check_port(core, ports, port, is_input, width, keys, f"{name}.{key}")
    for name, found in ports.items():
        if found.storage == 0 and name not in driven:
            raise InputError(f"{core.at('top')}: port {name} of {core.top} is {_OPAQUE}{_WRAP}")
        if found.is_input and name not in driven:
            hint = _hint(core, name)
            raise InputError(f"{core.at('top')}: input port {name} of {core.top} is driven by nothing{hint}")


def _width(stream: Stream, signal: str) -> tuple[int, str]:
    """The width of a signal in bits, and the key that says so."""
    return {
        "tdata": (8 * stream.bytes, "bytes"),
        "tkeep": (stream.bytes, "keep"),
        "tuser": (stream.user_bits, "user_bits"),
    }.get(signal, (1, "prefix"))


def _check_port(
    core: Core, ports: Mapping[str, Port], name: str, is_input: bool, width: int, keys: tuple[str, ...], key: str
) -> None:
    direction = "input" if is_input else "output"
    if name not in ports:
        there = ", ".join(port for port, found in ports.items() if found.is_input == is_input) or "none"
        raise InputError(f"{core.at(*keys)}: {core.top} has no {direction} port {name}; there is: {there:.400}")
    port = ports[name]
    if port.storage == 0:
        raise InputError(f"{core.at(*keys)}: port {name} of {core.top} is {_OPAQUE}, and by {key} it has {width} bits")
    if port.is_input != is_input:
        raise InputError(f"{core.at(*keys)}: port {name} of {core.top} is no {direction}")
    if port.width != width:
        how = f"is {port.width} bits wide" if port.width else "is an array, or goes both ways"
        what = f"port {name} of {core.top} {how}, and by {key} it has {width}"
        for parameter, value in core.parameters.items():
            if port.low < 0 and type(value) is int and value <= 0:
                raise InputError(f"{core.at('parameters', parameter)}: with {parameter} = {value}, {what}")
        raise InputError(f"{core.at(*keys)}: {what}")


def _hint(core: Core, name: str) -> str:
    if name == core.input.port("tkeep"):
        return ": set input.keep = true"
    if name == core.input.port("tuser"):
        return ": set input.user_bits"
    return _WRAP


_OPAQUE = "an array, a struct, a real or a string"
_WRAP = "; a core has a clock, a reset and two streams: wrap it in a module that ties the others"
