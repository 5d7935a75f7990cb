"""The cores over BabyBear, ``poseidon2`` and ``ntt``: their cocotb tests, and in bulk through the compiled driver."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import numpy as np
import pytest

from chaindp.cores import ALWAYS, Flavour, Pattern, Reset, Simulation, Stalls, Transfer, build, load_core
from chaindp.kernels import NTT, POSEIDON2
from chaindp.kernels.fields import BABYBEAR, random_elements
from chaindp.kernels.ntt import golden_transform
from chaindp.kernels.poseidon2 import round_constants
from conftest import REPOSITORY
from core_rtl import needs_simulator

HDL = REPOSITORY / "hdl"

sys.path.append(str(HDL / "common" / "tb"))
cocotb_run = pytest.importorskip("cocotb_run", reason="cocotb is not installed")
pytestmark = needs_simulator

slow = pytest.mark.slow

SMALL = "small"
BOTH = Stalls(input=Pattern.random(60, 20), output=Pattern.random(60, 20), seed=3)
PATTERNS = [
    Stalls(input=Pattern.random(100, 3), seed=1),
    Stalls(output=Pattern.random(100, 3), seed=2),
    BOTH,
    Stalls(input=Pattern.one_in(3), output=Pattern.one_in(5)),
    Stalls(output=Pattern.after_valid()),
]


# cocotb ---------------------------------------------------------------------------------------------------------------


CONFIGURATIONS = [(core, name) for core in ("ntt", "poseidon2") for name in cocotb_run.configurations(core)]
# The shortest pipeline; the shortest with a block RAM, which begins at 2^6, and one more.
VARIANTS = [
    ("ntt", "", {"MaxLog2Size": 1}),
    ("ntt", "", {"MaxLog2Size": 7}),
    ("ntt", "bit_reversed", {"MaxLog2Size": 6}),
]


@pytest.mark.parametrize(
    ("core", "configuration", "parameters", "seed"),
    [
        # Every kind of stage but the one with a block RAM.
        ("ntt", "", {"MaxLog2Size": 4}, 1),
        ("poseidon2", "", {}, 1),
        *(
            pytest.param(*case, seed, marks=slow)
            for seed, case in enumerate([*((*which, {}) for which in CONFIGURATIONS), *VARIANTS], 2)
        ),
    ],
)
def test_cocotb(core: str, configuration: str, parameters: dict[str, int], seed: int) -> None:
    counts = cocotb_run.run(core, configuration, parameters=parameters, seed=seed)
    print("\n".join(f"{count:8d}  {name}" for name, count in counts.items()))
    assert counts["resets: under way"] > 0
    assert counts["stalls: both at once"] > 0


# Constants ------------------------------------------------------------------------------------------------------------


def test_the_constants_in_hardware_are_those_of_the_golden_reference() -> None:
    text = (HDL / "poseidon2" / "rtl" / "poseidon2_pkg.sv").read_text()
    parts = re.findall(r"localparam logic \[31:0\] (\w+) (?:\[\d+\])+ = '\{(.*?)\};", text, re.DOTALL)
    found = {name: [int(word, 16) for word in re.findall(r"32'h([0-9a-f]{8})", body)] for name, body in parts}
    constants = round_constants("babybear")
    assert found["InternalConstants"] == list(constants.internal)
    assert found["ExternalConstants"] == [value for row in (*constants.first, *constants.last) for value in row]


# Arithmetic at its edges ----------------------------------------------------------------------------------------------

P, Q = BABYBEAR.prime, 2**31 - 2**24 + 1
ARITHMETIC = """
name = "arithmetic"
kernel = "poseidon2"
top = "arithmetic"
sources = [{sources}]
clock_mhz = 100.0
[clock]
port = "clk_i"
[reset]
port = "rst_ni"
[input]
bytes = 16
[output]
bytes = 64
"""


def arithmetic_cases() -> np.ndarray:
    """Rows of x below 2^37, and a and b below p, around everything that the modules distinguish."""
    rng = np.random.default_rng(5)
    around = np.arange(-80, 81)
    multiples = (np.arange(69)[:, None] * P + around).reshape(-1)
    steps = ((np.arange(1024)[:, None] << 27) + around[::20]).reshape(-1)
    wide = np.concatenate([multiples, steps, rng.integers(0, 1 << 37, 4000)])
    wide = wide[(wide >= 0) & (wide < 1 << 37)].astype(np.uint64)
    edges = np.concatenate([np.arange(40), P - 1 - np.arange(40), (np.arange(1, 15)[:, None] << 27).reshape(-1)])
    edges = np.concatenate([edges, *((1 << power) + np.arange(-3, 4) for power in range(3, 31))])
    elements = np.concatenate([rng.choice(edges % P, len(wide) // 2), rng.integers(0, P, len(wide) - len(wide) // 2)])
    cases = np.zeros((len(wide), 2), dtype=np.uint64)
    cases[:, 0] = wide
    cases[:, 1] = rng.permutation(elements).astype(np.uint64) | rng.permutation(elements).astype(
        np.uint64
    ) << np.uint64(32)
    return cases


def test_arithmetic_at_its_edges(tmp_path: Path) -> None:
    """A wrong carry shows for one operand in 2^25, which no random state meets."""
    folder = HDL / "poseidon2"
    names = ["../common/rtl/babybear_pkg.sv", "../common/rtl/field31_mul.sv", "rtl/poseidon2_pkg.sv"]
    names += [f"rtl/poseidon2_{name}.sv" for name in ("reduce", "halve", "canonical")] + ["tb/arithmetic.sv"]
    sources = ", ".join(f'"{os.path.relpath((folder / name).resolve(), tmp_path.resolve())}"' for name in names)
    (tmp_path / "core.toml").write_text(ARITHMETIC.format(sources=sources))
    cases = arithmetic_cases()
    with Simulation(build(load_core(tmp_path / "core.toml"), Flavour.FAST)) as simulation:
        offsets = np.arange(len(cases) + 1, dtype=np.int64) * 16
        result = simulation.run(cases.view(np.uint8).reshape(-1), offsets, 64)
    assert result.faults == ()
    got = result.data.view(np.uint32).reshape(-1, 16)
    halves = [pow(2, -power, P) for power in (1, 2, 3, 4, 8, 27)]
    radix, other = pow(2, -32, P), pow(2, -32, Q)
    for row, (x, pair) in zip(got.tolist(), cases.tolist(), strict=True):
        a, b = pair & 0xFFFFFFFF, pair >> 32
        expected = [(a + b) % P, (a - b) % P, a * b * radix % P, a * b * other % Q, x % P, a * radix % P]
        expected += [a * half % P for half in halves]
        assert row[:12] == expected, (x, a, b)


# In bulk --------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def small_ntt() -> Simulation:
    return Simulation(build(load_core(HDL / "ntt" / "core.toml", configuration=SMALL), Flavour.FAST))


def natural_order(log2_size: int, order: str) -> list[int]:
    """Where the value at the root to the power i is in an output packet."""
    if order == "natural" or log2_size == 0:
        return list(range(1 << log2_size))
    return [int(format(i, f"0{log2_size}b")[::-1], 2) for i in range(1 << log2_size)]


def transfer(
    simulation: Simulation, values: np.ndarray, stalls: Stalls | None = None, resets: tuple[Reset, ...] = ()
) -> Transfer:
    """One packet a row."""
    log2_size = values.shape[1].bit_length() - 1
    return simulation.run(
        values.view(np.uint8).reshape(-1),
        np.arange(len(values) + 1, dtype=np.int64) * (4 << log2_size),
        4 << log2_size,
        user=np.full(len(values), log2_size, dtype=np.uint32),
        stalls=stalls or Stalls(input=ALWAYS, output=ALWAYS),
        resets=resets,
    )


def rows(columns: int, log2_size: int, seed: int = 0) -> np.ndarray:
    return random_elements(np.random.default_rng([seed, columns, log2_size]), (columns, 1 << log2_size), BABYBEAR)


def check_ntt(
    simulation: Simulation, values: np.ndarray, stalls: Stalls | None = None, order: str = "natural"
) -> Transfer:
    log2_size = values.shape[1].bit_length() - 1
    result = transfer(simulation, values, stalls)
    assert result.faults == ()
    got = result.data.view(np.uint32).reshape(values.shape)[:, natural_order(log2_size, order)]
    assert np.array_equal(got, NTT.golden(values))
    return result


@pytest.mark.parametrize("log2_size", range(11))
def test_ntt_takes_and_gives_an_element_a_cycle(small_ntt: Simulation, log2_size: int) -> None:
    """Exact: what a further packet costs is its length, and no input beat waits once the size is known."""
    first, few, many = (check_ntt(small_ntt, rows(columns, log2_size)) for columns in (1, 4, 12))
    assert many.cycles - few.cycles == 8 << log2_size
    assert few.in_stalls == many.in_stalls == 0
    assert np.diff(many.finished).tolist() == [1 << log2_size] * 11
    # Another size than that of the test before takes two cycles.
    assert first.in_stalls <= 2


@pytest.mark.parametrize("stalls", PATTERNS, ids=range(len(PATTERNS)))
def test_ntt_under_stalls(small_ntt: Simulation, stalls: Stalls) -> None:
    for log2_size, columns in ((0, 200), (1, 100), (2, 60), (5, 20), (10, 2)):
        check_ntt(small_ntt, rows(columns, log2_size), stalls)


@pytest.mark.parametrize("stalls", [None, BOTH], ids=["freely", "under stalls"])
def test_ntt_of_mixed_sizes(small_ntt: Simulation, stalls: Stalls | None) -> None:
    """In one run, any size after any other: a packet of another size waits for those before it, and only then."""
    sizes = [0, 1, 0, 2, 0, 3, 10, 4, 10, 10, 0, 0, 9, 1, 1, 2, 8, 7, 2, 2, 5, 6, 5, 3, 3, 3, 10, 1]
    packets = [rows(1, size, seed)[0] for seed, size in enumerate(sizes)]
    lengths = np.array([packet.nbytes for packet in packets], dtype=np.int64)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    data = np.concatenate(packets).view(np.uint8)
    user = np.array(sizes, dtype=np.uint32)
    result = small_ntt.run(data, offsets, lengths, user=user, stalls=stalls or Stalls(input=ALWAYS, output=ALWAYS))
    assert result.faults == ()
    expected = np.concatenate([NTT.golden(packet[None])[0] for packet in packets])
    assert np.array_equal(result.data.view(np.uint32), expected)


@slow
@pytest.mark.parametrize("configuration", cocotb_run.configurations("ntt"))
def test_ntt_in_full(configuration: str) -> None:
    core = load_core(HDL / "ntt" / "core.toml", configuration=configuration)
    largest, order = int(core.options["max_log2_size"]), str(core.options["order"])
    assert largest == core.parameters["MaxLog2Size"]
    with Simulation(build(core, Flavour.FAST)) as simulation:
        for log2_size in range(largest + 1):
            columns = max(4, 4096 >> log2_size)
            _, few, many = (check_ntt(simulation, rows(count, log2_size), order=order) for count in (1, 2, columns))
            assert many.cycles - few.cycles == (columns - 2) << log2_size
        for stalls in PATTERNS:
            for log2_size in (0, 1, 2, 4, 7, 10, largest):
                check_ntt(simulation, rows(2 + (64 >> log2_size), log2_size), stalls, order)


def test_a_longer_transform_than_the_pipeline_is_not_what_the_options_say(small_ntt: Simulation) -> None:
    """What core.toml says of the largest size is the parameter's."""
    for configuration in cocotb_run.configurations("ntt"):
        core = load_core(HDL / "ntt" / "core.toml", configuration=configuration)
        assert core.options["max_log2_size"] == core.parameters["MaxLog2Size"]
        assert (core.options["order"] == "bit_reversed") == bool(core.parameters["BitReversed"])


@pytest.mark.parametrize("beat", [0, 1, 5, 15])
def test_ntt_after_a_reset_in_a_packet(small_ntt: Simulation, beat: int) -> None:
    values = rows(9, 4)
    result = transfer(small_ntt, values, BOTH, (Reset(4, beat),))
    assert result.faults == ()
    lengths = np.diff(result.offsets)
    # A packet that came out, whole or not at all, is right; what follows the reset all came out.
    assert lengths[-4:].tolist() == [64] * 4
    for packet, length in enumerate(lengths.tolist()):
        if length == 64:
            got = result.data[result.offsets[packet] : result.offsets[packet + 1]].view(np.uint32)
            root = BABYBEAR.root_of_unity(4)
            assert got.tolist() == golden_transform(values[packet].tolist(), root, BABYBEAR.prime)


def check_poseidon2(simulation: Simulation, count: int, stalls: Stalls | None = None) -> Transfer:
    states = random_elements(np.random.default_rng(count), (count, 16), BABYBEAR)
    result = simulation.run(
        states.view(np.uint8).reshape(-1),
        np.arange(count + 1, dtype=np.int64) * 64,
        64,
        stalls=stalls or Stalls(input=ALWAYS, output=ALWAYS),
    )
    assert result.faults == ()
    assert np.array_equal(result.data.view(np.uint32).reshape(-1, 16), POSEIDON2.golden(states))
    return result


@pytest.mark.parametrize(
    "configuration", [pytest.param(name, marks=slow if name else ()) for name in cocotb_run.configurations("poseidon2")]
)
def test_poseidon2_in_bulk(configuration: str) -> None:
    core = load_core(HDL / "poseidon2" / "core.toml", configuration=configuration)
    # What the header says, by lanes.
    cycles, latency = {4: (36, 660), 8: (18, 610), 16: (13, 585)}[int(core.parameters["Lanes"])]
    with Simulation(build(core, Flavour.FAST)) as simulation:
        assert abs(check_poseidon2(simulation, 1).latency - latency) <= 0.1 * latency
        few, many = check_poseidon2(simulation, 300), check_poseidon2(simulation, 900)
        # The rings fill and empty in bursts, at most one ring's worth of cycles apart at either end.
        assert abs((many.cycles - few.cycles) / 600 - cycles) <= 0.01 * cycles
        # The last of these takes results far more slowly than they are made: the queues fill up.
        for stalls in (*PATTERNS, Stalls(output=Pattern.one_in(50))):
            check_poseidon2(simulation, 150, stalls)
