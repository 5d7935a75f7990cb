"""A plugin with a simulated device for tests: results of the CPU, cycles from a formula, no simulator to be installed.

``sim`` counts 24 cycles for every 136 bytes and 30 more a call, of which 5 are stalls and 27 latency. Its device
``slow.toml`` is no listed one: any path that ends in ``.toml`` is resolved, and counts ten times as many cycles.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import chaindp_cpu
from chaindp import hookimpl
from chaindp.backend import (
    Backend,
    BackendOptions,
    BackendSpec,
    Capability,
    Device,
    Link,
    Platform,
    SimulatedTimes,
    TimeDomain,
)
from chaindp.platforms import call_times

KERNELS = ("keccak256", "merkle_tree", "merkle_open", "trie_hash")
CPU = next(spec for spec in chaindp_cpu.chaindp_backends() if spec.name == "cpu")
USUAL = Link(name="usual", latency_ns=1000.0, to_device=8e9, from_device=4e9)
CLOCK_HZ = 200e6


class Simulated(Backend):
    """Right results, and cycles by the formula above."""

    time_domain = TimeDomain.MODELLED

    def __init__(self, options: BackendOptions, name: str = "sim") -> None:
        super().__init__(name, options)
        self.cpu = CPU.factory(BackendOptions(threads=options.threads))
        asked = options.platform
        self.platform = Platform(
            clock_hz=asked.clock_hz or CLOCK_HZ, instances=asked.instances, link=asked.link or USUAL
        )
        self.factor = 10 if self.device.endswith(".toml") else 1
        self.local = threading.local()

    def keccak256(self, *args: Any) -> Any:
        return self.run("keccak256", args)

    def merkle_tree(self, *args: Any) -> Any:
        return self.run("merkle_tree", args)

    def merkle_open(self, *args: Any) -> Any:
        return self.run("merkle_open", args)

    def trie_hash(self, *args: Any) -> Any:
        return self.run("trie_hash", args)

    def run(self, kernel: str, args: tuple[Any, ...]) -> Any:
        began = time.perf_counter_ns()
        result = getattr(self.cpu, kernel)(*args)
        sent, got = (sum(part.nbytes for part in parts if isinstance(part, np.ndarray)) for parts in (args, (result,)))
        calls = getattr(self.local, "calls", [])
        blocks = -(-sent // 136)
        calls.append((30 + 24 * self.factor * blocks, blocks, sent, got, time.perf_counter_ns() - began))
        self.local.calls = calls
        return result

    def take_simulated_times(self) -> SimulatedTimes | None:
        calls = getattr(self.local, "calls", [])
        self.local.calls = []
        return times_of(self.platform, [call[:4] for call in calls], sum(call[4] for call in calls))


def times_of(platform: Platform, calls: Sequence[tuple[int, int, int, int]], simulator_ns: int) -> SimulatedTimes:
    """What calls of (cycles, operations, bytes there, bytes back) amount to."""
    found = [call_times(cycles, min(27, cycles), *others, platform) for cycles, *others in calls]
    return SimulatedTimes(
        cycles=sum(cycles for cycles, *_ in calls),
        stall_cycles=5 * len(calls),
        latency_cycles=27 if calls else 0,
        operations=sum(operations for _, operations, *_ in calls),
        to_bytes=sum(there for _, _, there, _ in calls),
        from_bytes=sum(back for *_, back in calls),
        compute_ns=sum(one.compute_ns for one in found),
        transfer_ns=sum(one.transfer_ns for one in found),
        total_ns=sum(one.total_ns for one in found),
        simulator_ns=simulator_ns,
        calls=len(calls),
        platform=platform,
    )


SPEC = BackendSpec(
    name="sim",
    kind="fpga",
    factory=Simulated,
    capabilities={name: Capability() for name in KERNELS},
    summary="a device that is simulated",
    simulates=True,
    resolve=lambda name: Device(name, "a file") if name.endswith(".toml") else None,
)


@hookimpl
def chaindp_backends() -> list[BackendSpec]:
    return [SPEC]


def install(site: Path) -> Path:
    """Make this module a distribution in ``site``, which is returned."""
    from plugin_site import make_distribution

    make_distribution(site, "simulated-plugin", Path(__file__).read_text())
    return site
