"""Kernels served by simulated cores: a backend whose times are cycles, at a stated clock and behind a stated link."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from chaindp.backend import Backend, BackendOptions, Platform, SimulatedTimes, TimeDomain
from chaindp.cores.build import Built, Flavour, build
from chaindp.cores.description import Core
from chaindp.cores.packets import PACKETS
from chaindp.cores.simulation import Simulation, Stalls, Transfer
from chaindp.errors import CapabilityError, PluginError
from chaindp.platforms import call_times, stated

__all__ = ["CoreBackend"]


@dataclass(slots=True)
class _Tally:
    """What one thread's calls came to since it last asked."""

    cycles: int = 0
    stall_cycles: int = 0
    latency_cycles: int = 0
    operations: int = 0
    to_bytes: int = 0
    from_bytes: int = 0
    compute_ns: float = 0.0
    transfer_ns: float = 0.0
    total_ns: float = 0.0
    simulator_ns: int = 0
    calls: int = 0


class CoreBackend(Backend):
    """The kernels of some cores, each simulated from its RTL.

    cores:   kernel to the core that serves it, or to several: of these the first that can serve a call does, which is
             how trees with either hash are served
    stalls:  how the host holds up every call; not at all by default
    flavour: of the builds
    opened:  is told of every core that is built and opened

    Calls are safe from any thread; those that one core serves wait for each other. A core is built when it is first
    needed, or by ``warm_up``. A fault of a core is a PluginError that names kernel, fault, cycle and packet.
    """

    time_domain = TimeDomain.MODELLED

    def __init__(
        self,
        name: str,
        options: BackendOptions,
        cores: Mapping[str, Core | Sequence[Core]],
        *,
        stalls: Stalls | None = None,
        flavour: Flavour = Flavour.FAST,
        opened: Callable[[Built], None] = lambda built: None,
    ) -> None:
        super().__init__(name, options)
        self.platform = options.platform
        self.cores: Mapping[str, tuple[Core, ...]] = {
            kernel: (served,) if isinstance(served, Core) else tuple(served) for kernel, served in cores.items()
        }
        for kernel, served_by in self.cores.items():
            for core in served_by:
                if core.kernel != kernel:
                    raise PluginError(f"backend {self.label}: core {core.label} serves {core.kernel}, not {kernel}")
        self._stalls, self._flavour, self._opened = stalls, flavour, opened
        self._lock = threading.Lock()
        # A core is built under its own lock: those that are there already answer meanwhile.
        self._building = {core: threading.Lock() for served_by in self.cores.values() for core in served_by}
        self._of_core: dict[Core, Simulation] = {}
        self._of_build: dict[str, Simulation] = {}
        self._calls = threading.local()

    def kernel(self, name: str) -> Callable[..., Any]:
        """The method of a kernel that a core serves; CapabilityError for any other."""
        if name not in self.cores:
            raise CapabilityError(f"backend {self.label} has no core for kernel {name}")
        return super().kernel(name)

    def warm_up(self, kernels: Sequence[str]) -> None:
        """Build and open every core of the named kernels."""
        for kernel in kernels:
            for core in self.cores.get(kernel, ()):
                self._simulation(core)

    def close(self) -> None:
        """Close all simulations."""
        with self._lock:
            for simulation in self._of_build.values():
                simulation.close()
            self._of_core.clear()
            self._of_build.clear()

    def take_simulated_times(self) -> SimulatedTimes:
        """What the calling thread's calls since the last call of this took; the platform is of the latest one."""
        tally, platform = self._tally(), self._platform()
        self._calls.tally = _Tally()
        return SimulatedTimes(**{name: getattr(tally, name) for name in _Tally.__slots__}, platform=platform)

    def _tally(self) -> _Tally:
        if not hasattr(self._calls, "tally"):
            self._calls.tally = _Tally()
        tally: _Tally = self._calls.tally
        return tally

    def _platform(self) -> Platform:
        clock = getattr(self._calls, "clock_hz", None)
        if clock is None:
            # Nothing has been called yet: of the first core, so that there is a clock to show.
            first = next((served[0] for served in self.cores.values() if served), None)
            clock = 1e6 * first.clock_mhz if first is not None else 1e8
        return stated(self.platform, clock)

    def _simulation(self, core: Core) -> Simulation:
        """The simulation of a core, opened on first use; one for all cores that are built alike."""
        with self._building[core]:
            with self._lock:
                simulation = self._of_core.get(core)
            if simulation is not None:
                return simulation
            built = build(core, self._flavour)
            self._opened(built)
            with self._lock:
                if built.key not in self._of_build:
                    self._of_build[built.key] = Simulation(built)
                self._of_core[core] = self._of_build[built.key]
                return self._of_core[core]

    def _core_for(self, kernel: str, args: tuple[Any, ...]) -> Core:
        """The first core of a kernel that can serve these arguments; CapabilityError with the reasons of all."""
        if not self.cores.get(kernel):
            raise CapabilityError(f"backend {self.label} has no core for kernel {kernel}")
        reasons = []
        for core in self.cores[kernel]:
            reason = PACKETS[kernel].refusal(core, args)
            if not reason:
                return core
            reasons.append(f"core {core.label}: {reason}")
        raise CapabilityError(f"backend {self.label}: {kernel}: {'; '.join(reasons)}")

    def _serve(self, kernel: str, *args: Any) -> np.ndarray:
        packets = PACKETS[kernel]
        checked = packets.check(*args)
        core = self._core_for(kernel, checked)
        if not packets.operations(checked):
            self._account(core, None, 0, 0, 0)
            return packets.nothing(checked)
        packed = packets.pack(core, checked)
        transfer = self._simulation(core).run(
            packed.data,
            packed.offsets,
            packed.out_bytes,
            user=packed.user,
            stalls=self._stalls,
            idle_cycles=core.idle_cycles,
        )
        where = f"backend {self.label}: {kernel} by core {core.label}"
        if transfer.faults:
            more = len(transfer.faults) - 1
            raise PluginError(f"{where}: {transfer.faults[0]}" + (f" (and {more} more)" if more else ""))
        try:
            result = packets.unpack(core, checked, transfer)
        except PluginError as error:
            raise PluginError(f"{where}: {error}") from None
        self._account(core, transfer, packets.operations(checked), int(packed.offsets[-1]), len(transfer.data))
        return result

    def _account(self, core: Core, transfer: Transfer | None, operations: int, to_bytes: int, from_bytes: int) -> None:
        tally = self._tally()
        tally.calls += 1
        self._calls.clock_hz = 1e6 * core.clock_mhz
        if transfer is None:
            return
        platform = stated(self.platform, 1e6 * core.clock_mhz)
        times = call_times(transfer.cycles, transfer.latency, operations, to_bytes, from_bytes, platform)
        tally.cycles += transfer.cycles
        tally.stall_cycles += transfer.in_stalls
        tally.latency_cycles = max(tally.latency_cycles, transfer.latency)
        tally.operations += operations
        tally.to_bytes += to_bytes
        tally.from_bytes += from_bytes
        tally.compute_ns += times.compute_ns
        tally.transfer_ns += times.transfer_ns
        tally.total_ns += times.total_ns
        tally.simulator_ns += round(1e9 * transfer.seconds)

    # kernels ----------------------------------------------------------------------------------------------------------

    def keccak256(self, data: np.ndarray, offsets: np.ndarray) -> np.ndarray:
        """Digests uint8[N,32] of N ragged messages."""
        return self._serve("keccak256", data, offsets)

    def sha256(self, data: np.ndarray, offsets: np.ndarray) -> np.ndarray:
        """Digests uint8[N,32] of N ragged messages."""
        return self._serve("sha256", data, offsets)

    def merkle_root(self, leaves: np.ndarray, hash_name: str = "keccak256") -> np.ndarray:
        """The root uint8[32] of a tree over ``leaves`` uint8[N,32]."""
        return self._serve("merkle_root", leaves, hash_name)

    def merkle_tree(self, leaves: np.ndarray, hash_name: str = "keccak256") -> np.ndarray:
        """All nodes uint8[M,32] of the tree over ``leaves`` uint8[N,32], leaves first, root last."""
        return self._serve("merkle_tree", leaves, hash_name)

    def poseidon2(self, states: np.ndarray, field: str = "babybear") -> np.ndarray:
        """The permuted states uint32[N,16]."""
        return self._serve("poseidon2", states, field)

    def ntt(self, values: np.ndarray, field: str = "babybear") -> np.ndarray:
        """The transforms of the rows of ``values`` uint32[columns, n], in natural order."""
        return self._serve("ntt", values, field)
