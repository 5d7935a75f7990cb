"""Synthesis with Yosys: the sources of a core to a netlist of ECP5 cells, and how many of each."""

from __future__ import annotations

import enum
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from chaindp.cores.description import Core
from chaindp.cores.rtl import verilog_value
from chaindp.errors import InputError, UsageError
from chaindp.workbench import eda
from chaindp.workbench.processes import Finished, run_task

__all__ = ["DEVICE", "Area", "Frontend", "Netlist", "command", "synthesize"]

DEVICE = {"LUT4": 83640, "TRELLIS_FF": 83640, "DP16KD": 208, "MULT18X18D": 156}
"""What an LFE5U-85F has of the cells that run out first, as nextpnr's own report of utilization counts them."""

LUTS = {"LUT4": 1, "CCU2C": 2, "TRELLIS_DPR16X4": 6}
"""How many LUT4 a cell takes: a distributed RAM four, and two that its write port occupies."""


class Frontend(enum.StrEnum):
    """What reads the sources. SLANG takes all of SystemVerilog; VERILOG is Yosys's own, and laxer with old Verilog."""

    SLANG = "slang"
    VERILOG = "verilog"


@dataclass(frozen=True, slots=True)
class Area:
    """Cells of the netlist, before nextpnr packs them.

    luts:             LUT4 that all of it takes, as nextpnr counts its "Total LUT4s": logic, carries, distributed RAM
    logic_luts:       LUT4 of the netlist
    carries:          CCU2C, each two bits of a carry chain
    distributed_rams: TRELLIS_DPR16X4, each 16 words of 4 bits
    """

    luts: int
    ffs: int
    brams: int
    dsps: int
    logic_luts: int
    carries: int
    distributed_rams: int

    @classmethod
    def of(cls, cells: Mapping[str, int]) -> Area:
        """The counts of Yosys's ``stat``, by cell type."""
        taken = {cell: cells.get(cell, 0) for cell in LUTS}
        return cls(
            luts=sum(LUTS[cell] * count for cell, count in taken.items()),
            ffs=cells.get("TRELLIS_FF", 0),
            brams=cells.get("DP16KD", 0),
            dsps=cells.get("MULT18X18D", 0),
            logic_luts=taken["LUT4"],
            carries=taken["CCU2C"],
            distributed_rams=taken["TRELLIS_DPR16X4"],
        )

    @property
    def too_much(self) -> str:
        """What the device has not enough of; empty where it may fit."""
        wanted = {"LUT4": self.luts, "TRELLIS_FF": self.ffs, "DP16KD": self.brams, "MULT18X18D": self.dsps}
        return ", ".join(
            f"{count:,} {cell} of {DEVICE[cell]:,}" for cell, count in wanted.items() if count > DEVICE[cell]
        )


@dataclass(frozen=True, slots=True)
class Netlist:
    """What synthesis came to: ``status`` is ``ok``, or ``timeout`` or ``failed`` with a reason and no area."""

    status: str
    reason: str
    seconds: float
    area: Area | None = None
    path: Path | None = None


def command(wide_luts: bool) -> str:
    """Yosys's command for the part, with its options.

    Functions of more than four inputs are made of LUT4 alone unless ``wide_luts``: with the multiplexers behind them
    abc9 spends 2.5 times the LUT4 on the exclusive ors of Keccak, which then cannot be routed.
    """
    return "synth_ecp5" if wide_luts else "synth_ecp5 -nowidelut"


def synthesize(core: Core, work: Path, *, frontend: Frontend, limit_s: float, wide_luts: bool = False) -> Netlist:
    """Run Yosys on a core, in the empty folder ``work``.

    InputError with file and line where the sources do not compile, or a parameter's value; UsageError for a parameter
    that they do not have. Where Yosys ends for another reason, that is the result.
    """
    _check_parameters(core)
    (work / "synth.ys").write_text(_script(core, work, frontend, wide_luts), encoding="utf-8")
    finished = run_task(eda.YOSYS.task(["-q", "-s", eda.work_path("synth.ys")], work, "yosys.log", limit_s))
    if finished.timed_out:
        return Netlist("timeout", f"synthesis was ended after {limit_s:g} s (--time-limit)", finished.seconds)
    if finished.status != 0:
        problem = _problem(core, finished, frontend)
        if problem:
            raise InputError(problem)
        return Netlist("failed", f"Yosys: {_first_error(finished)}", finished.seconds)
    stat = json.loads((work / "stat.json").read_text(encoding="utf-8"))
    return Netlist("ok", "", finished.seconds, Area.of(stat["design"]["num_cells_by_type"]), work / "netlist.json")


UNROLL_LIMIT = 1 << 17
"""Rounds of a loop at elaboration, such as the words of a table that is computed there; slang's own limit is 4,000."""


def _check_parameters(core: Core) -> None:
    """Refuse a parameter that the sources do not have: slang would take it without a word."""
    if not core.parameters:
        return
    files = [*core.sources, *(path for folder in core.include_dirs for path in sorted(folder.glob("*.*v*h*")))]
    words = set(re.findall(r"\w+", " ".join(path.read_text(encoding="utf-8", errors="replace") for path in files)))
    for name in core.parameters:
        if name not in words:
            raise UsageError(f"{core.at('parameters', name)}: {core.top} has no parameter {name}")


def _script(core: Core, work: Path, frontend: Frontend, wide_luts: bool) -> str:
    """The Yosys script of a core."""
    sources = [eda.host_path(path) for path in core.sources]
    folders = [eda.host_path(path) for path in core.include_dirs]
    if frontend is Frontend.SLANG:
        # Its arguments stand in a file of its own, because a Yosys script cannot quote them; no threads in WebAssembly.
        words = ["-j", "1", "--keep-hierarchy", "--unroll-limit", str(UNROLL_LIMIT), "--top", core.top]
        plain = [eda.host_path(path) for path in core.sources if path.suffix == ".v"]
        words += ["--map-keyword-version", f"{core.v_language}+{','.join(plain)}"] if plain else []
        words += [word for folder in folders for word in ("-I", folder)]
        words += [word for name, value in core.defines.items() for word in ("-D", f"{name}={value}")]
        words += [word for name, value in core.parameters.items() for word in ("-G", f"{name}={verilog_value(value)}")]
        (work / "slang.f").write_text("\n".join(map(_quoted, [*words, *sources])) + "\n", encoding="utf-8")
        read = f"read_slang -f {eda.work_path('slang.f')}"
    else:
        options = [f"-I{_quoted(folder)}" for folder in folders]
        options += [f"-D{name}={value}" for name, value in core.defines.items()]
        chosen = "".join(f" -chparam {name} {_bits(value)}" for name, value in core.parameters.items())
        reads = []
        for path, source in zip(core.sources, sources, strict=True):
            old = path.suffix == ".v" and core.v_language == "1364-2005"
            reads.append(" ".join(["read_verilog", *([] if old else ["-sv"]), *options, _quoted(source)]))
        read = "\n".join(reads)
        read += f"\nhierarchy -check -top {core.top}{chosen}"
    netlist, stat = eda.work_path("netlist.json"), eda.work_path("stat.json")
    return f"{read}\n{command(wide_luts)} -top {core.top} -json {netlist}\ntee -q -o {stat} stat -json\n"


def _bits(value: int | bool | str) -> str:
    """A parameter as ``hierarchy -chparam`` takes it, which knows neither strings nor signs."""
    if isinstance(value, int) and value < 0:
        width = 32 if value >= -(1 << 31) else 64
        return f"{width}'sb{value & (1 << width) - 1:b}"
    literal = verilog_value(value)
    if isinstance(value, int) or not literal.startswith('"'):
        return literal
    # A string is its characters, eight bits each.
    return f"{8 * max(len(value.encode()), 1)}'h{value.encode().hex() or '00'}"


def _quoted(word: str) -> str:
    return '"' + word.replace("\\", "\\\\").replace('"', '\\"') + '"' if re.search(r"[\s\"\\']", word) else word


_LOCATED = re.compile(r"^(?P<where>/.+?:\d+)(?:[.:\d-]*): ERROR: ?(?P<what>.*)$", re.MULTILINE)
_PARAMETER = re.compile(r"^<command-line>(?::\d+)*: ERROR: ?(?P<what>.*)$", re.MULTILINE)
_NO_TOP = re.compile(r"is not a valid top-level module|^ERROR: Module `\S+' not found!$", re.MULTILINE)
_LATCH = re.compile(r"Cell (\S+) is a latch of type")
_CONCLUSIONS = ("Design elaboration failed", "Bad command", "Compilation failed")
"""What the last lines say after the error itself."""


def _problem(core: Core, finished: Finished, frontend: Frontend) -> str:
    """What is wrong with the sources or the description, in one line with its place; empty where it is neither."""
    text = eda.readable(finished.output)
    other = "" if frontend is not Frontend.SLANG else _try_other(core)
    located = _LOCATED.search(text)
    if located:
        return f"{_shown(core, located['where'])}: {located['what']}{other}"
    parameter = _PARAMETER.search(text)
    if parameter:
        return f"{core.at('parameters')}: {parameter['what']}"
    if _NO_TOP.search(text):
        return f"{core.at('top')}: Yosys: {_first_error(finished)}"
    latches = set(_LATCH.findall(text))
    if latches:
        return (
            f"{core.path}: {core.top} has latches ({len(latches)} bits), which a clocked core must not have: "
            "assign every output of a combinational block on every path"
        )
    return ""


def _first_error(finished: Finished) -> str:
    """What Yosys says is wrong, or how it ended."""
    lines = eda.readable(finished.output).splitlines()
    errors = [line.partition("ERROR:")[2].strip() for line in lines if line.startswith("ERROR:")]
    return next((line for line in errors if not line.startswith(_CONCLUSIONS)), "") or eda.last_line(finished)


def _try_other(core: Core) -> str:
    plain = all(path.suffix in (".v", ".vh") for path in core.sources)
    return " (--frontend verilog reads old Verilog more laxly)" if plain else ""


def _shown(core: Core, where: str) -> str:
    """``FILE:LINE`` with the file as the description names it."""
    path, _, line = where.rpartition(":")
    named = {str(source.resolve()): str(source) for source in core.sources}
    return f"{named.get(path, path)}:{line}"
