"""The kernels as the chain calls them: host arrays in, host arrays out, bound to one backend, every call accounted."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from chaindp.backend import Backend, DeviceTimes, Platform, SimulatedTimes, TimeDomain
from chaindp.errors import CapabilityError, ChaindpError, PluginError
from chaindp.kernels import compose
from chaindp.kernels.merkle import node_count
from chaindp.kernels.spec import KernelSpec

__all__ = ["KernelCall", "KernelSet"]


@dataclass(slots=True)
class KernelCall:
    """One call of a kernel: who ran it, where the time went, and what is needed to check its result afterwards.

    compute_ns, transfer_ns: on the wall clock; together they are the whole call. Where ``simulated`` is there they say
               how long the simulator took, and nothing of the device
    kept:      false where arguments and result were not kept: it was not asked for, or there was no more room
    device:    what the device's own clock measured of this call; None where the backend was not opened with ``profile``
    units:     units of work of the call; None where nobody has counted them (the audit does, outside of all timing)
    simulated: what the call took on a simulated device; None on any other
    started_ns: instant of the monotonic clock
    thread_ns, process_ns: CPU time of the calling thread during the call, and of all threads of this process
    """

    kernel: str
    backend: str
    compute_ns: int
    transfer_ns: int
    args: tuple[Any, ...] = ()
    output: Any = None
    kept: bool = False
    device: DeviceTimes | None = None
    units: int | None = None
    simulated: SimulatedTimes | None = None
    started_ns: int = 0
    thread_ns: int = 0
    process_ns: int = 0

    @property
    def wall_ns(self) -> int:
        """The whole call on the wall clock."""
        return self.compute_ns + self.transfer_ns


@dataclass(slots=True)
class KernelSet:
    """The kernels of one backend for one stage.

    ``calls`` collects one record a call. Arguments and results are kept for the audit that compares them with another
    backend's, as long as they take no more than ``keep`` bytes in all. A kernel that the backend lacks is composed from
    its ``keccak256`` where that is possible (``chaindp.kernels.compose``): the hashing still runs on that backend, and
    nothing runs on another one. The calls of these are the records. One whose spec says how it is composed
    (``composable``) is one record, whose transfers are those of all calls in it, and the rest its computation.

    A backend is given views that it cannot write through. Whatever it raises, and a result of the wrong shape or dtype,
    is a PluginError that names backend and kernel.

    A backend that was opened with ``profile`` keeps device times for all of its calls at once: to tell them apart, one
    thread at a time may call it. One that simulates its device (its time domain is ``modelled``) says of every call
    what it took there, and no other backend may: a PluginError otherwise, and where these times cannot be.
    """

    backend: Backend
    supported: frozenset[str]
    keep: int = 0
    calls: list[KernelCall] = field(default_factory=list)
    composable: Mapping[str, KernelSpec] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def can(self, kernel: str) -> bool:
        """Whether the backend has the kernel, or what it is composed of."""
        if kernel in self.composable and kernel not in self.supported:
            return self.composable[kernel].lacks(self) == []
        return not kernels_needed(self.supported, [kernel])

    def call(self, kernel: str, *args: Any) -> Any:
        """Run any kernel by name: upload, compute, download, each timed."""
        if kernel not in self.supported:
            if kernel in self.composable:
                return self._compose(self.composable[kernel], args)
            composed = compose.COMPOSED.get(kernel)
            if composed is None or not composed.needs <= self.supported:
                raise CapabilityError(f"backend {self.backend.label} does not implement {kernel}")
            return composed.function(self, *args)
        method = self.backend.kernel(kernel)
        args = tuple(_sealed(arg) if isinstance(arg, np.ndarray) else arg for arg in args)
        try:
            # What earlier work left over is not of this call. Both questions are asked outside of what is timed.
            self.backend.take_device_times()
            self.backend.take_simulated_times()
            thread, process = time.thread_time_ns(), time.process_time_ns()
            started = time.perf_counter_ns()
            buffers = [self.backend.upload(arg) if isinstance(arg, np.ndarray) else arg for arg in args]
            uploaded = time.perf_counter_ns()
            result = method(*buffers)
            self.backend.synchronize()
            computed = time.perf_counter_ns()
            if isinstance(result, tuple):
                output: Any = tuple(self.backend.download(part) for part in result)
            else:
                output = self.backend.download(result)
            done = time.perf_counter_ns()
            process, thread = time.process_time_ns() - process, time.thread_time_ns() - thread
            device = self.backend.take_device_times()
            simulated = self.backend.take_simulated_times()
        except ChaindpError:
            raise
        except Exception as error:  # whatever third-party code raises is that backend's failure
            detail = " ".join(str(error).split())
            if isinstance(error, ValueError) and "read-only" in detail:
                detail = "a call changes its arguments"
            else:
                detail = f"failed: {type(error).__name__}: {detail}"
            raise PluginError(f"backend {self.backend.label}: {kernel} {detail}") from error
        problem = _result_problem(kernel, args, output)
        if problem:
            raise PluginError(f"backend {self.backend.label}: {kernel} returned {problem}")
        if device is not None and not _are_durations(device):
            raise PluginError(f"backend {self.backend.label}: {kernel} has device times that are none: {device!r:.200}")
        problem = _simulation_problem(self.backend, simulated)
        if problem:
            raise PluginError(f"backend {self.backend.label}: {kernel} {problem}")
        transfer = uploaded - started + done - computed
        record = KernelCall(
            kernel,
            self.backend.label,
            computed - uploaded,
            transfer,
            device=device,
            simulated=simulated,
            started_ns=started,
            thread_ns=thread,
            process_ns=process,
        )
        with self._lock:
            size = _bytes_of(args) + _bytes_of(output) if self.keep else 0
            if 0 < size <= self.keep:
                self.keep -= size
                record.args, record.output, record.kept = args, output, True
            self.calls.append(record)
        return output

    def _compose(self, spec: KernelSpec, args: tuple[Any, ...]) -> Any:
        """Run a kernel that is made of others, as one call."""
        lacking = spec.lacks(self)
        if lacking or spec.compose is None:
            raise CapabilityError(
                f"backend {self.backend.label} does not implement {spec.name}"
                + (f", nor {', '.join(lacking)} to compose it of" if lacking else "")
            )
        parts = KernelSet(self.backend, self.supported)
        thread, process = time.thread_time_ns(), time.process_time_ns()
        started = time.perf_counter_ns()
        output = spec.compose(parts, *args)
        wall = time.perf_counter_ns() - started
        process, thread = time.process_time_ns() - process, time.thread_time_ns() - thread
        transfer = sum(call.transfer_ns for call in parts.calls)
        record = KernelCall(
            spec.name,
            self.backend.label,
            wall - transfer,
            transfer,
            started_ns=started,
            thread_ns=thread,
            process_ns=process,
        )
        with self._lock:
            self.calls.append(record)
        return output

    def take_calls(self) -> list[KernelCall]:
        """The records since the last call of this method."""
        with self._lock:
            calls, self.calls = self.calls, []
        return calls

    def keccak256(self, data: np.ndarray, offsets: np.ndarray) -> np.ndarray:
        """Digests uint8[N,32] of N ragged messages."""
        return self.call("keccak256", data, offsets)  # type: ignore[no-any-return]

    def sha256(self, data: np.ndarray, offsets: np.ndarray) -> np.ndarray:
        """Digests uint8[N,32] of N ragged messages."""
        return self.call("sha256", data, offsets)  # type: ignore[no-any-return]

    def merkle_tree(self, leaves: np.ndarray, hash_name: str = "keccak256") -> np.ndarray:
        """All nodes of the binary tree, leaves first, root last."""
        return self.call("merkle_tree", leaves, hash_name)  # type: ignore[no-any-return]

    def merkle_root(self, leaves: np.ndarray, hash_name: str = "keccak256") -> np.ndarray:
        """The root uint8[32] of the binary tree."""
        return self.call("merkle_root", leaves, hash_name)  # type: ignore[no-any-return]

    def merkle_update(
        self, nodes: np.ndarray, leaf_count: int, indices: np.ndarray, leaves: np.ndarray, hash_name: str = "keccak256"
    ) -> tuple[np.ndarray, np.ndarray]:
        """Positions int64[C] of the nodes that change with the leaves at ``indices``, and their digests uint8[C,32]."""
        return self.call("merkle_update", nodes, leaf_count, indices, leaves, hash_name)  # type: ignore[no-any-return]

    def merkle_open(
        self, nodes: np.ndarray, leaf_count: int, indices: np.ndarray, hash_name: str = "keccak256"
    ) -> np.ndarray:
        """Sibling paths uint8[K,depth,32] of the leaves at ``indices``."""
        return self.call("merkle_open", nodes, leaf_count, indices, hash_name)  # type: ignore[no-any-return]

    def trie_hash(
        self,
        encodings: np.ndarray,
        offsets: np.ndarray,
        level_offsets: np.ndarray,
        splice_at: np.ndarray,
        splice_child: np.ndarray,
    ) -> np.ndarray:
        """Digests uint8[N,32] of trie nodes, level after level, child digests spliced in."""
        return self.call("trie_hash", encodings, offsets, level_offsets, splice_at, splice_child)  # type: ignore[no-any-return]

    def ecrecover(self, digests: np.ndarray, signatures: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Addresses uint8[N,20] and ok bool[N]."""
        return self.call("ecrecover", digests, signatures)  # type: ignore[no-any-return]

    def poseidon2(self, states: np.ndarray, field: str = "babybear") -> np.ndarray:
        """The permuted states uint32[N,16]."""
        return self.call("poseidon2", states, field)  # type: ignore[no-any-return]

    def ntt(self, values: np.ndarray, field: str = "babybear") -> np.ndarray:
        """The transform of each row of uint32[columns,n], in natural order."""
        return self.call("ntt", values, field)  # type: ignore[no-any-return]

    def intt(self, values: np.ndarray, field: str = "babybear") -> np.ndarray:
        """The coefficients that each row of uint32[columns,n] is the transform of."""
        return self.call("intt", values, field)  # type: ignore[no-any-return]

    def lde(self, values: np.ndarray, blowup: int, shift: int, field: str = "babybear") -> np.ndarray:
        """Each row of uint32[columns,n], extended to uint32[columns,n * blowup] on the coset of ``shift``."""
        return self.call("lde", values, blowup, shift, field)  # type: ignore[no-any-return]

    def fri_fold(self, codeword: np.ndarray, challenge: np.ndarray, shift: int, field: str = "babybear") -> np.ndarray:
        """The codeword uint32[n,4] on the coset of ``shift``, folded to uint32[n/2,4] on that of its square."""
        return self.call("fri_fold", codeword, challenge, shift, field)  # type: ignore[no-any-return]


def _sealed(array: np.ndarray) -> np.ndarray:
    """A view of ``array`` that cannot be written through."""
    view = array.view()
    view.flags.writeable = False
    return view


def _bytes_of(value: Any) -> int:
    parts = value if isinstance(value, tuple) else (value,)
    return sum(part.nbytes for part in parts if isinstance(part, np.ndarray))


_LONGEST = 10**18
"""In ns, 30 years: an event without a start, on a clock that counts from 1970, is longer."""


def _are_durations(times: object) -> bool:
    """Whether these are device times that can be reckoned with; whether they are true is another question."""
    if not isinstance(times, DeviceTimes):
        return False
    return all(map(_is_count, (times.compute_ns, times.transfer_ns, times.span_ns)))


def _is_count(part: object) -> bool:
    return isinstance(part, int | np.integer) and not isinstance(part, bool) and 0 <= int(part) <= _LONGEST


def _simulation_problem(backend: Backend, times: object) -> str:
    """Why these cannot be the simulated times of a call of this backend; empty where they can."""
    simulates = backend.time_domain is TimeDomain.MODELLED
    if times is None:
        return "has no simulated times, and its backend simulates its device" if simulates else ""
    if not simulates:
        return f"has simulated times, and its backend is timed in {backend.time_domain}"
    if not isinstance(times, SimulatedTimes):
        return f"has simulated times that are none: {times!r:.200}"
    counts = ("cycles", "stall_cycles", "latency_cycles", "operations", "to_bytes", "from_bytes", "simulator_ns")
    for name in (*counts, "calls"):
        if not _is_count(getattr(times, name)):
            return f"has simulated times that cannot be: {name} is {getattr(times, name)!r:.80}"
    for name in ("compute_ns", "transfer_ns", "total_ns"):
        value = getattr(times, name)
        if isinstance(value, bool) or not isinstance(value, int | float | np.number) or not 0 <= value <= _LONGEST:
            return f"has simulated times that cannot be: {name} is {value!r:.80}"
    if max(times.stall_cycles, times.latency_cycles) > times.cycles:
        return (
            f"has simulated times that cannot be: {times.stall_cycles} cycles of stalls and {times.latency_cycles} of "
            f"latency within {times.cycles} cycles"
        )
    # Transfers and computation may overlap, which takes no longer than one after the other and no less than the longer.
    least, most = times.compute_ns, times.compute_ns + times.transfer_ns
    if not least * (1 - _ROUNDING) - 1 <= times.total_ns <= most * (1 + _ROUNDING) + 1:
        return (
            f"has simulated times that cannot be: {times.total_ns:.6g} ns in all, for {times.compute_ns:.6g} of "
            f"computation and {times.transfer_ns:.6g} of transfers"
        )
    platform = times.platform
    if not isinstance(platform, Platform) or platform.clock_hz is None or platform.link is None:
        return f"has simulated times without a whole platform: {platform!r:.200}"
    return ""


_ROUNDING = 1e-6
"""How far sums of modelled times may be off, as a share."""


def _rows_of_ragged(data: np.ndarray, offsets: np.ndarray, *_: Any) -> Sequence[tuple[type, tuple[int | None, ...]]]:
    return [(np.uint8, (len(offsets) - 1, 32))]


_RESULTS: dict[str, Callable[..., Sequence[tuple[type, tuple[int | None, ...]]]]] = {
    "keccak256": _rows_of_ragged,
    "sha256": _rows_of_ragged,
    "trie_hash": _rows_of_ragged,
    "merkle_tree": lambda leaves, *_: [(np.uint8, (node_count(len(leaves)), 32))],
    "merkle_root": lambda *_: [(np.uint8, (32,))],
    "merkle_update": lambda *_: [(np.int64, (None,)), (np.uint8, (None, 32))],
    "merkle_open": lambda nodes, count, indices, *_: [(np.uint8, (len(indices), None, 32))],
    "poseidon2": lambda states, *_: [(np.uint32, states.shape)],
    "ntt": lambda values, *_: [(np.uint32, values.shape)],
    "intt": lambda values, *_: [(np.uint32, values.shape)],
    "lde": lambda values, blowup, *_: [(np.uint32, (values.shape[0], values.shape[1] * blowup))],
    "fri_fold": lambda codeword, *_: [(np.uint32, (len(codeword) // 2, 4))],
    "stark_prove": lambda *_: [(np.uint8, (None,))],
    "ecrecover": lambda digests, _: [(np.uint8, (len(digests), 20)), (np.bool_, (len(digests),))],
}
"""Dtype and shape of each built-in kernel's results, which a backend must hand to the chain. None: any length."""


def _result_problem(kernel: str, args: tuple[Any, ...], output: Any) -> str:
    """What is wrong with the form of a result; empty where nothing is, or nothing is known of the kernel."""
    if kernel not in _RESULTS:
        return ""
    parts = output if isinstance(output, tuple) else (output,)
    expected = _RESULTS[kernel](*args)
    if len(parts) != len(expected):
        return f"{len(parts)} arrays and not {len(expected)}"
    for part, (dtype, shape) in zip(parts, expected, strict=True):
        right = part.ndim == len(shape) and all(
            want is None or have == want for have, want in zip(part.shape, shape, strict=True)
        )
        if part.dtype != dtype or not right:
            wanted = ",".join("any" if size is None else str(size) for size in shape)
            return f"{part.dtype}{list(part.shape)} and not {np.dtype(dtype)}[{wanted}]"
    return ""


def kernels_needed(supported: Sequence[str] | frozenset[str], needed: Sequence[str]) -> list[str]:
    """Those of ``needed`` that a backend with ``supported`` kernels can neither run nor compose."""
    have = frozenset(supported)
    return [
        kernel
        for kernel in needed
        if kernel not in have and not (kernel in compose.COMPOSED and compose.COMPOSED[kernel].needs <= have)
    ]
