"""How fast a core is simulated: a bare model in a C++ loop, the driver with its streams, and the same through cocotb.

Run from the repository's root: ``python benchmarks/simulation.py [--core hdl/keccak/core.toml] [--rounds 7] [--json]``.

- **bare**: the model that Verilator makes, with the driver's flags, in the shortest loop that keeps it busy: a word and
  a clock, two evaluations a cycle, nothing looked at but ready.
- **driver**: ``chaindp.cores.Simulation``: whole packets in and out, every handshake watched.
- **cocotb**: ``simulation_cocotb.py`` with cocotbext-axi, the time of the test alone, not of its start.

All three hash messages of 64 bytes with one core, in turn, so that drift and noise meet all of them alike; digests are
compared. Figures are million cycles a second on the wall clock, medians of the rounds; ratios are the medians of those
of each round. Exit status 1 where a target is not met.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from chaindp.cores import Core, Flavour, Simulation, build, load_core
from chaindp.cores.build import make_library
from chaindp.cores.rtl import verilog_value
from chaindp.cores.toolchain import environment, find_toolchain
from chaindp.errors import ChaindpError
from chaindp.kernels.hashes import GOLDEN_HASHES

ROOT = Path(__file__).resolve().parent.parent
MESSAGE = 64
COMPARED = 50
"""Digests that are compared with the golden reference, which takes longer than the simulation."""

BARE = r"""
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>

#include "ports.h"

extern "C" int chaindp_print(const char*, ...) { return 0; }
void vl_finish(const char*, int, const char*) VL_MT_UNSAFE { std::abort(); }
void vl_stop(const char*, int, const char*) VL_MT_UNSAFE { std::abort(); }
void vl_fatal(const char*, int, const char*, const char*) VL_MT_UNSAFE { std::abort(); }
void vl_warn(const char*, int, const char*, const char*) VL_MT_UNSAFE { std::abort(); }

// Cycles a second; `taken` counts the cycles in which an output was valid.
extern "C" __attribute__((visibility("default"))) double bare(int64_t cycles, int64_t beats, int64_t* taken) {
  VerilatedContext context;
  auto model = std::make_unique<Model>(&context, "TOP");
  Model& m = *model;
  ports::reset(m) = !ports::kResetLow;
  ports::in_valid(m) = 0;
  ports::out_ready(m) = 1;
  for (int64_t half = 0; half < 2 * ports::kResetCycles; ++half) {
    ports::clock(m) = half & 1;
    m.eval();
  }
  ports::reset(m) = ports::kResetLow;
  ports::in_valid(m) = 1;
  if (ports::kInKeep) std::memset(ports::in_keep(m), 255, (ports::kInBytes + 7) / 8);
  uint64_t words[512];
  for (int i = 0; i < 512; ++i) words[i] = uint64_t(i) * 0x9e3779b97f4a7c15u;
  int64_t beat = 0, out = 0;
  const auto began = std::chrono::steady_clock::now();
  for (int64_t cycle = 0; cycle < cycles; ++cycle) {
    words[0] += 0x9e3779b97f4a7c15u;
    std::memcpy(ports::in_data(m), words, ports::kInBytes);
    ports::in_last(m) = beat == beats - 1;
    ports::clock(m) = 0;
    m.eval();
    if (ports::in_ready(m)) beat = beat + 1 == beats ? 0 : beat + 1;
    out += ports::out_valid(m);
    ports::clock(m) = 1;
    m.eval();
  }
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
  *taken = out;
  model->final();
  return double(cycles) / seconds;
}
"""


def bare_contender(core: Core, folder: Path, cycles: int) -> Callable[[], float]:
    """The bare model, in this process."""
    source = folder / "bare.cpp"
    source.write_text(BARE)
    scratch = folder / "bare"
    scratch.mkdir()
    library = ctypes.CDLL(str(make_library(core, Flavour.FAST, find_toolchain(), scratch, driver=source)))
    library.bare.restype = ctypes.c_double
    library.bare.argtypes = [ctypes.c_int64, ctypes.c_int64, ctypes.c_void_p]

    def run() -> float:
        taken = ctypes.c_int64()
        rate = library.bare(cycles, MESSAGE // core.input.bytes, ctypes.byref(taken))
        if not taken.value:
            raise RuntimeError("the bare model does nothing")
        return float(rate)

    return run


def driver_contender(core: Core, count: int) -> tuple[Callable[[], float], int]:
    """The driver, in this process, and how many cycles its run takes."""
    simulation = Simulation(build(core))
    data = np.random.default_rng(1).integers(0, 256, MESSAGE * count, dtype=np.uint8)
    offsets = np.arange(count + 1, dtype=np.int64) * MESSAGE
    first = simulation.run(data, offsets, 32)
    golden = GOLDEN_HASHES[core.kernel]
    expected = b"".join(golden(data[MESSAGE * i : MESSAGE * (i + 1)].tobytes()) for i in range(COMPARED))
    if first.faults or first.data[: 32 * COMPARED].tobytes() != expected:
        raise RuntimeError(f"{core.label} is not right: {first.faults or 'another digest'}")

    def run() -> float:
        transfer = simulation.run(data, offsets, 32)
        return transfer.simulated / transfer.seconds

    return run, first.cycles


def cocotb_contender(core: Core, folder: Path, count: int) -> Callable[[], float]:
    """cocotb, in a process a run; the model is built once."""
    result = folder / "result.json"
    verilator = find_toolchain().verilator
    script = folder / "run.py"
    parameters = {name: verilog_value(value) for name, value in core.parameters.items()}
    # The runner's model is built without splitting: the makefiles of the PyPI wheel cannot precompile a header.
    script.write_text(
        "import sys\n"
        "from cocotb_tools.runner import get_runner\n"
        "runner = get_runner('verilator')\n"
        f"parameters = {parameters!r}\n"
        "if sys.argv[1] == 'build':\n"
        f"    runner.build(sources={[str(path.resolve()) for path in core.sources]!r}, hdl_toplevel={core.top!r},\n"
        "        parameters=parameters, always=True, timescale=('1ns', '1ps'), build_dir='model',\n"
        "        build_args=['-O3', '--output-split', '0', '-Wno-fatal', '-CFLAGS', '-O3'])\n"
        "else:\n"
        f"    runner.test(test_module='simulation_cocotb', hdl_toplevel={core.top!r}, hdl_toplevel_lang='verilog',\n"
        "        build_dir='model', test_dir='model', parameters=parameters)\n"
    )
    env = environment(verilator) | {
        "PYTHONPATH": os.pathsep.join([str(ROOT / "benchmarks"), *filter(None, [os.environ.get("PYTHONPATH")])]),
        "SIMULATION_CORE": str(core.path.resolve()),
        "SIMULATION_MESSAGES": str(count),
        "SIMULATION_RESULT": str(result),
    }

    def call(what: str) -> None:
        done = subprocess.run(
            [sys.executable, str(script), what], cwd=folder, env=env, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise RuntimeError(f"cocotb's {what} fails: {(done.stdout + done.stderr)[-2000:]}")

    call("build")

    def run() -> float:
        result.unlink(missing_ok=True)
        call("test")
        figures = json.loads(result.read_text())
        return float(figures["cycles"]) / float(figures["seconds"])

    return run


def measure(core: Core, rounds: int, count: int, cocotb_count: int) -> dict[str, Any]:
    """All rounds of all three, and the ratios that the targets are about."""
    with tempfile.TemporaryDirectory(prefix="chaindp-simulation-") as name:
        folder = Path(name)
        driver, cycles = driver_contender(core, count)
        contenders = {
            "bare": bare_contender(core, folder, cycles),
            "driver": driver,
            "cocotb": cocotb_contender(core, folder, cocotb_count),
        }
        samples: dict[str, list[float]] = {who: [] for who in contenders}
        for number in range(-1, rounds):
            # Round -1 warms up.
            for who in contenders if number % 2 else reversed(list(contenders)):
                rate = contenders[who]()
                if number >= 0:
                    samples[who].append(rate)
            print(f"round {number + 1} of {rounds}", file=sys.stderr)

    def ratio(one: str, other: str) -> float:
        return statistics.median(a / b for a, b in zip(samples[one], samples[other], strict=True))

    rows = []
    for who, rates in samples.items():
        quarters = statistics.quantiles(rates, n=4)
        median = statistics.median(rates)
        rows.append({"who": who, "mhz": median / 1e6, "spread": (quarters[2] - quarters[0]) / median})
    targets = [
        {"target": "driver at least 60 % of the bare model", "value": ratio("driver", "bare"), "bound": 0.6},
        {"target": "driver at least 100 times cocotb", "value": ratio("driver", "cocotb"), "bound": 100.0},
    ]
    for target in targets:
        target["met"] = float(target["value"]) >= float(target["bound"])  # type: ignore[arg-type]
    return {"core": core.label, "rows": rows, "targets": targets}


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--core", type=Path, default=ROOT / "hdl" / "keccak" / "core.toml")
    parser.add_argument("--config", default="")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--messages", type=int, default=20_000, help="a run of the bare model and of the driver")
    parser.add_argument("--cocotb-messages", type=int, default=300)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if options.rounds < 4 or options.messages < COMPARED:
        parser.error(f"--rounds needs 4 or more, --messages {COMPARED}")
    try:
        core = load_core(options.core, options.config)
        if core.kernel not in GOLDEN_HASHES or core.options["padding"] != "core" or MESSAGE % core.input.bytes:
            parser.error(f"{core.label}: a hash with padding in the core, and beats that divide {MESSAGE} bytes")
        found = measure(core, options.rounds, options.messages, options.cocotb_messages)
    except ChaindpError as error:
        print(f"simulation: {error}", file=sys.stderr)
        return error.exit_status
    if options.json:
        print(json.dumps(found))
    else:
        print(f"{found['core']}, messages of {MESSAGE} bytes\n{'':12}{'MHz':>10}{'spread':>10}")
        for row in found["rows"]:
            print(f"  {row['who']:10}{row['mhz']:>10.3f}{row['spread']:>10.1%}")
        for target in found["targets"]:
            print(f"  {target['target']:44}{target['value']:>8.2f}  {'met' if target['met'] else 'NOT MET'}")
    return 0 if all(target["met"] for target in found["targets"]) else 1


if __name__ == "__main__":
    sys.exit(main())
