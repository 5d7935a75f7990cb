"""How fast a core is: exact cycles by size, throughput and latency at the stated clock; and the simulator's speed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from chaindp.cores.description import Core
from chaindp.cores.simulation import Simulation, Transfer
from chaindp.kernels import BUILTIN, KernelSpec
from chaindp.workbench.cases import NODE, Cases, fitting, same_size

__all__ = ["REFERENCE", "Faulty", "Figure", "Figures", "interval", "measure"]

REFERENCE = {"keccak256": 64, "sha256": 64, "merkle_tree": 256, "merkle_root": 256, "poseidon2": 16, "ntt": 1024}
"""The size whose cycles an operation are a core's one figure: a Merkle node, a tree, a state, a transform."""

BYTES = 1 << 16
"""About how much goes in for one figure."""

FEWEST, MOST = 6, 512
"""Packets of a figure: the first third fills the pipeline, and the rest is the steady state."""

SPEED_S = 0.3
"""About how long the simulator's speed is measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One size, packets back to back, nothing stalled.

    size:           in the kernel's measure: bytes of a message, leaves, elements
    cycles_per_op:  a packet, in the steady state
    cycles_per_unit: a unit of work of the kernel: a permutation, a block, a node, a butterfly
    cycles_per_byte, bytes_per_cycle, bytes_per_s: of the message, its padding by the host left out
    latency:        cycles from the first beat in to the first beat out, of one packet alone
    beats_per_cycle: of the input, in the steady state
    ops_per_s, bytes_per_s: at the stated clock, one core
    """

    size: int
    what: str
    packets: int
    cycles_per_op: float
    cycles_per_byte: float | None
    cycles_per_unit: float | None
    latency: int
    beats_per_cycle: float
    bytes_per_cycle: float
    ops_per_s: float
    bytes_per_s: float


@dataclass(frozen=True, slots=True)
class Figures:
    """All sizes, and how many cycles a second the simulator runs on this machine, which says nothing of the core.

    unit: what the kernel's work is counted in
    """

    rows: tuple[Figure, ...]
    reference: int
    unit: str
    sim_hz: float

    @property
    def cycles_per_op(self) -> float:
        """Of the reference size."""
        return next(row.cycles_per_op for row in self.rows if row.size == self.reference)


class Faulty(Exception):
    """What was measured had faults: ``cases``, of which nothing is expected, and ``transfer``."""

    def __init__(self, cases: Cases, transfer: Transfer) -> None:
        super().__init__(str(transfer.faults[0]))
        self.cases, self.transfer = cases, transfer


def measure(core: Core, simulation: Simulation, seed: int) -> Figures:
    """Run packets of several sizes through a core that is right; Faulty where anything goes wrong all the same."""
    sizes = _sizes(core)
    reference = REFERENCE[core.kernel] if REFERENCE[core.kernel] in sizes else sizes[-1]
    rows = tuple(_figure(core, simulation, size, seed) for size in sizes)
    return Figures(rows, reference, _spec(core).unit, _speed(core, simulation, reference, seed))


def _sizes(core: Core) -> list[int]:
    if core.kernel == "keccak256":
        return [0, 32, 64, 135, 136, 272, 1088, 16_320]
    if core.kernel == "sha256":
        return [0, 32, 55, 64, 128, 1024, 16_384]
    if core.kernel in ("merkle_tree", "merkle_root"):
        return fitting(core, [1, 2, 16, 256, 1024])
    if core.kernel == "poseidon2":
        return [16]
    least, most = int(core.options["min_log2_size"]), int(core.options["max_log2_size"])
    return sorted({1 << min(max(bits, least), most) for bits in (4, 8, 10, 12, 16)})


def _run(core: Core, simulation: Simulation, cases: Cases) -> Transfer:
    simulation.reset()
    user = cases.user if core.input.user_bits else None
    transfer = simulation.run(cases.data, cases.offsets, cases.out_bytes, user=user)
    if transfer.faults:
        raise Faulty(cases, transfer)
    return transfer


def _figure(core: Core, simulation: Simulation, size: int, seed: int) -> Figure:
    one = same_size(core, size, 1, seed)
    latency = _run(core, simulation, one).latency
    sent, length = len(one.cases[0].sent), len(one.cases[0].content)
    count = int(np.clip(BYTES // max(sent, 1), FEWEST, MOST))
    transfer = _run(core, simulation, same_size(core, size, count, seed))
    cycles = interval(transfer.finished)
    beats = max(-(-sent // core.input.bytes), 1)
    units = _units(core, size)
    hertz = 1e6 * core.clock_mhz
    return Figure(
        size=size,
        what=one.cases[0].name,
        packets=count,
        cycles_per_op=cycles,
        cycles_per_byte=cycles / length if length else None,
        cycles_per_unit=cycles / units if units else None,
        latency=latency,
        beats_per_cycle=beats / cycles,
        bytes_per_cycle=length / cycles,
        ops_per_s=hertz / cycles,
        bytes_per_s=hertz * length / cycles,
    )


def interval(finished: np.ndarray) -> float:
    """Cycles from one packet to the next in the steady state, by the cycle at which each was done.

    The first third fills the pipeline. A core that takes packets in groups hands them over in groups: then it is the
    mean of one whole period, so that where the packets end is no part of the figure.
    """
    between = np.diff(finished[len(finished) // 3 :])
    for period in range(1, len(between) // 2 + 1):
        if np.array_equal(between[period:], between[:-period]):
            return float(between[:period].mean())
    return float(between.mean())


def _spec(core: Core) -> KernelSpec:
    """The kernel's contract."""
    return next(spec for spec in BUILTIN if spec.name == core.kernel)


def _units(core: Core, size: int) -> int:
    """Units of work of one packet, as the kernel's contract counts them."""
    spec = _spec(core)
    if core.kernel in ("keccak256", "sha256"):
        return spec.units(np.zeros(size, dtype=np.uint8), np.array([0, size], dtype=np.int64))
    if core.kernel in ("merkle_tree", "merkle_root"):
        return spec.units(np.zeros((size, NODE), dtype=np.uint8), str(core.options["hash"]))
    return spec.units(np.zeros((1, size), dtype=np.uint32), str(core.options["field"]))


def _speed(core: Core, simulation: Simulation, size: int, seed: int) -> float:
    """Cycles a second of a batch that takes long enough to measure."""
    cases = same_size(core, size, 16, seed)
    cycles, seconds, count = 0, 0.0, 16
    while seconds < SPEED_S and count <= 1 << 20:
        batch = Cases(cases.cases * (count // 16))
        transfer = _run(core, simulation, batch)
        cycles, seconds = transfer.simulated, transfer.seconds
        count *= 4
    return cycles / seconds if seconds else 0.0
