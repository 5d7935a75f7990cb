"""The core ``merkle``: its cocotb tests, and in bulk through the compiled driver against the golden reference."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from Crypto.Hash import keccak as pycryptodome

from chaindp.cores import Core, Flavour, Pattern, Simulation, Stalls, Transfer, build, load_core
from chaindp.kernels.merkle import MERKLE_TREE, level_offsets, zero_roots
from conftest import REPOSITORY
from core_rtl import needs_simulator

HDL = REPOSITORY / "hdl"
CORE = HDL / "merkle" / "core.toml"

sys.path.append(str(HDL / "common" / "tb"))
cocotb_run = pytest.importorskip("cocotb_run", reason="cocotb is not installed")
pytestmark = needs_simulator

slow = pytest.mark.slow

PATTERNS = [
    Stalls(input=Pattern.random(100, 3), seed=1),
    Stalls(output=Pattern.random(100, 3), seed=2),
    Stalls(input=Pattern.random(60, 20), output=Pattern.random(60, 20), seed=3),
    Stalls(input=Pattern.one_in(7), output=Pattern.one_in(31)),
    Stalls(output=Pattern.after_valid()),
]


# cocotb ---------------------------------------------------------------------------------------------------------------


CONFIGURATIONS = cocotb_run.configurations("merkle")
VARIANTS = [
    # Three levels: trees that are too deep for the core, too.
    ("", {"MaxDepth": 3}),
    ("", {"WordBytes": 32}),
    ("two_rounds", {"WordBytes": 32, "EmitNodes": 0, "MaxDepth": 4}),
    ("sha256", {"WordBytes": 4, "MaxDepth": 4}),
    ("pipelined", {"MaxDepth": 3}),
    ("sha256_pipelined", {"EmitNodes": 0}),
]


@pytest.mark.parametrize(
    ("configuration", "parameters", "seed"),
    [
        ("", {}, 1),
        *(
            pytest.param(name, parameters, seed, marks=slow)
            for seed, (name, parameters) in enumerate([*((name, {}) for name in CONFIGURATIONS), *VARIANTS], 2)
        ),
    ],
)
def test_cocotb(
    configuration: str,
    parameters: dict[str, int],
    seed: int,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # What is slow anyway runs the longer set.
    monkeypatch.setenv("CORE_FULL", str(int(request.node.get_closest_marker("slow") is not None)))
    counts = cocotb_run.run("merkle", configuration, parameters=parameters, seed=seed)
    print("\n".join(f"{count:8d}  {name}" for name, count in counts.items()))
    assert counts["resets: under way"] > 0
    assert counts["stalls: both at once"] > 0
    assert counts["trees: odd inner level"] > 0


# Sources --------------------------------------------------------------------------------------------------------------


def test_the_zero_roots_in_hardware_are_those_of_the_kernel() -> None:
    made = subprocess.run([sys.executable, CORE.parent / "zeros.py"], capture_output=True, text=True, check=True)
    assert (CORE.parent / "rtl" / "merkle_zeros_pkg.sv").read_text() == made.stdout


def test_the_sources_of_the_hash_cores_are_listed() -> None:
    def sources(path: Path) -> set[Path]:
        return {(path.parent / source).resolve() for source in tomllib.loads(path.read_text())["sources"]}

    for name in ("keccak", "sha256"):
        assert sources(HDL / name / "core.toml") <= sources(CORE)


# In bulk --------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def simulation() -> Iterator[Simulation]:
    with Simulation(build(load_core(CORE), Flavour.FAST)) as opened:
        yield opened


def trees(sizes: Sequence[int], seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng([seed, *sizes])
    return [rng.integers(0, 256, (size, 32), dtype=np.uint8) for size in sizes]


def digest(data: bytes, hash_name: str) -> bytes:
    if hash_name == "sha256":
        return hashlib.sha256(data).digest()
    return pycryptodome.new(digest_bits=256, data=data).digest()


def reference(leaves: np.ndarray, hash_name: str) -> np.ndarray:
    """All nodes, leaves first, by hashes that somebody else wrote: the golden reference takes a millisecond a node."""
    level = [leaf.tobytes() for leaf in leaves]
    nodes, zeros = list(level), zero_roots(hash_name)
    for height in range(len(level_offsets(len(leaves))) - 2):
        if len(level) % 2:
            level.append(zeros[height].tobytes())
        level = [digest(left + right, hash_name) for left, right in zip(level[::2], level[1::2], strict=True)]
        nodes += level
    return np.frombuffer(b"".join(nodes), dtype=np.uint8).reshape(-1, 32)


@pytest.mark.parametrize("hash_name", ["keccak256", "sha256"])
def test_the_reference_is_the_golden_one(hash_name: str) -> None:
    for leaves in trees([*range(1, 18), 33]):
        assert np.array_equal(reference(leaves, hash_name), MERKLE_TREE.golden(leaves, hash_name))


def check(simulation: Simulation, many: Sequence[np.ndarray], stalls: Stalls | None = None) -> Transfer:
    """Send all trees in one run, and compare what comes out: nodes by level, or roots."""
    core = simulation.core
    offsets = np.cumsum([0, *(tree.size for tree in many)], dtype=np.int64)
    golden = [reference(tree, str(core.options["hash"])) for tree in many]
    every = core.kernel == "merkle_tree"
    expected = [
        nodes[min(len(tree), len(nodes) - 1) if every else -1 :] for tree, nodes in zip(many, golden, strict=True)
    ]
    lengths = np.array([nodes.size for nodes in expected], dtype=np.int64)
    result = simulation.run(np.concatenate(many).reshape(-1), offsets, lengths, stalls=stalls or Stalls())
    assert result.faults == ()
    nodes = result.data.reshape(-1, 32)
    bounds = result.offsets // 32
    for i, (tree, wanted) in enumerate(zip(many, expected, strict=True)):
        got = nodes[bounds[i] : bounds[i + 1]]
        if every:
            assert result.user is not None
            levels = result.user[bounds[i] : bounds[i + 1]]
            sizes = np.diff(level_offsets(len(tree)))
            assert np.array_equal(got[-1], wanted[-1])
            assert levels[-1] == len(sizes) - 1
            order = np.argsort(levels, kind="stable")
            above = np.repeat(np.arange(len(sizes)), sizes)[len(tree) if len(tree) > 1 else 0 :]
            assert np.array_equal(levels[order], above)
            got = got[order]
        assert np.array_equal(got, wanted), f"{len(tree)} leaves"
    return result


def node_cycles(core: Core) -> int:
    """Cycles of the hash core from one node to the next."""
    if core.parameters["Pipelined"]:
        return 2 if core.parameters["Hash"] else 1
    return 130 if core.parameters["Hash"] else 24 // int(core.parameters["RoundsPerCycle"])


def assert_busy(simulation: Simulation, log2_leaves: int, count: int, least: float = 0.95) -> None:
    """The cycles that the nodes take the hash core for, of all cycles from the first beat in to the last one out."""
    result = check(simulation, trees([1 << log2_leaves] * count))
    work = count * ((1 << log2_leaves) - 1) * node_cycles(simulation.core)
    assert least <= work / result.cycles <= 1, f"{simulation.core.label}: busy in {work} of {result.cycles} cycles"


def assert_path(simulation: Simulation) -> None:
    """What the header says of the path from the last leaf to the root of a tree alone: pipelined, Keccak-256."""
    level = 30
    for log2_leaves in (8, 12):
        cycles = check(simulation, trees([1 << log2_leaves])).cycles
        path = cycles - (node_cycles(simulation.core) << log2_leaves)
        assert abs(path - level * log2_leaves) <= 0.1 * level * log2_leaves, f"{path} cycles, 2^{log2_leaves} leaves"


def test_every_small_tree_and_odd_shapes(simulation: Simulation) -> None:
    sizes = [*range(1, 40), *range(40, 1, -3), 63, 64, 65, 127, 129, 255, 257, 511, 513, 1000, 1023, 1025]
    check(simulation, trees(sizes))


@pytest.mark.parametrize("stalls", PATTERNS, ids=range(len(PATTERNS)))
def test_trees_under_stalls(simulation: Simulation, stalls: Stalls) -> None:
    sizes = np.random.default_rng(stalls.seed).integers(1, 40, 60).tolist()
    check(simulation, trees([*sizes, 1, 1, 2, 1, 500]), stalls)


@pytest.mark.parametrize(
    ("log2_leaves", "share"), [(5, 0.90), (6, 0.94), (7, 0.96), (8, 0.98), (9, 0.98), (10, 0.99), (12, 0.99)]
)
def test_the_hash_core_is_busy(simulation: Simulation, log2_leaves: int, share: float) -> None:
    """What the header says of a tree alone; of trees in a row it is no less."""
    assert_busy(simulation, log2_leaves, 1, least=share - 0.005)
    assert_busy(simulation, log2_leaves, 4, least=share - 0.005)


@slow
@pytest.mark.parametrize("configuration", CONFIGURATIONS)
def test_in_full(configuration: str) -> None:
    core = load_core(CORE, configuration=configuration)
    with Simulation(build(core, Flavour.FAST)) as simulation:
        check(simulation, trees([*range(1, 300), *range(300, 1, -7)]))
        check(simulation, trees([(1 << 14) + 1, 1, 5000, 2, 1 << 13, (1 << 13) - 1]))
        for stalls in PATTERNS:
            sizes = np.random.default_rng(stalls.seed).integers(1, 100, 200).tolist()
            check(simulation, trees([*sizes, 1, 1, 2, 1, 700, 3]), stalls)
        if not core.parameters["Pipelined"]:
            for log2_leaves in (8, 10, 13):
                assert_busy(simulation, log2_leaves, 1)
                assert_busy(simulation, log2_leaves, 3)
            return
        if not core.parameters["Hash"]:
            assert_path(simulation)
            assert_busy(simulation, 10, 1, least=0.775)
            assert_busy(simulation, 12, 1, least=0.915)
        if not core.parameters["EmitNodes"]:
            # The next tree fills the pipeline while one climbs to its root; the last one's path is in the figure.
            assert_busy(simulation, 8, 40)
            assert_busy(simulation, 12, 4)
        else:
            # The path to the root is paid for every tree: log2(leaves) latencies of the hash core.
            assert_busy(simulation, 15, 1)
            assert_busy(simulation, 8, 4, least=0.35 if core.parameters["Hash"] else 0.55)
