"""A built core, simulated: whole batches of packets go in and come out without Python in between.

The GIL is released while it simulates. Ctrl-C is heard within a fraction of a second.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import threading
import time
import weakref
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from chaindp.cores.build import Built, Flavour
from chaindp.cores.description import Core
from chaindp.cores.rtl import data_folders
from chaindp.cores.streams import ALWAYS, Fault, Kind, Pattern, Reset, Stalls, Trace, Transfer
from chaindp.errors import InputError, PluginError, UsageError
from chaindp.files import replacing
from chaindp.kernels import checks

__all__ = ["ALWAYS", "Fault", "Kind", "Pattern", "Reset", "Simulation", "Stalls", "Trace", "Transfer"]

CHUNK = 1 << 17
"""Cycles after which the simulator looks up: whoever presses Ctrl-C waits 10 ms, or a second for a large core."""

VARIABLE_BYTES = 1 << 26
"""Room for packets whose length nobody knows beforehand, in bytes."""


class _Fault(ctypes.Structure):
    _fields_ = [(name, ctypes.c_int64) for name in ("kind", "cycle", "packet", "beat", "expected", "got")]


class _Gate(ctypes.Structure):
    _fields_ = [
        *((name, ctypes.c_int64) for name in ("pattern", "probability", "burst", "period")),
        ("seed", ctypes.c_uint64),
    ]


MAX_FAULTS = 16

_COUNTS = (
    *("cycles", "in_stalls", "out_stalls", "first_in", "first_out", "in_beats", "out_beats"),
    *(
        "user_beats",
        "in_packet",
        "in_beat",
        "out_packet",
        "out_beat",
        "in_valid",
        "in_ready",
        "out_valid",
        "out_ready",
        "simulated",
        "fault_count",
    ),
)


class _Job(ctypes.Structure):
    """``struct Job`` of driver/job.h."""

    _fields_ = [
        ("in_data", ctypes.c_void_p),
        ("in_offsets", ctypes.c_void_p),
        ("packets", ctypes.c_int64),
        ("in_user", ctypes.c_void_p),
        ("out_bytes", ctypes.c_void_p),
        ("in_gate", _Gate),
        ("out_gate", _Gate),
        ("resets", ctypes.c_void_p),
        ("reset_count", ctypes.c_int64),
        ("idle_cycles", ctypes.c_int64),
        ("drain_cycles", ctypes.c_int64),
        ("max_cycles", ctypes.c_int64),
        ("chunk_cycles", ctypes.c_int64),
        ("trace_path", ctypes.c_char_p),
        ("trace_first", ctypes.c_int64),
        ("trace_last", ctypes.c_int64),
        ("out_data", ctypes.c_void_p),
        ("out_capacity", ctypes.c_int64),
        ("out_offsets", ctypes.c_void_p),
        ("out_user", ctypes.c_void_p),
        ("out_user_capacity", ctypes.c_int64),
        ("accepted", ctypes.c_void_p),
        ("finished", ctypes.c_void_p),
        ("lost", ctypes.c_void_p),
        *((name, ctypes.c_int64) for name in _COUNTS),
        ("faults", _Fault * MAX_FAULTS),
    ]


class Simulation:
    """One simulated core, reset and ready. From run to run it goes on as the hardware would.

    seed:   of the random values that registers begin with, in a build that has them (CHECK; TRACE with ``random``)
    random: whether registers begin at random; None for what the build is for

    A simulation is used by one thread at a time; a call from a second one waits.
    """

    def __init__(self, built: Built, seed: int = 0, random: bool | None = None) -> None:
        self.built = built
        self.core = built.core
        self._lock = threading.Lock()
        self._library = _load(built)
        begins_random = built.flavour is Flavour.CHECK if random is None else random
        if begins_random and built.flavour is Flavour.FAST:
            raise UsageError("a build for bulk simulation has no random initial values: use Flavour.CHECK")
        folders = os.fsencode("\n".join(map(str, data_folders(self.core))))
        self._begins = (seed & (1 << 64) - 1, int(begins_random), folders)
        self._create()
        self._dirty = False

    def _create(self) -> None:
        self._handle: int = self._library.chaindp_create(*self._begins)
        # Whoever forgets to close it, or is interrupted, loses no memory either.
        self._closing = weakref.finalize(self, self._library.chaindp_close, self._handle)

    def __enter__(self) -> Simulation:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give the model's memory back."""
        with self._lock:
            self._closing()

    def reset(self) -> None:
        """Reset the core for as long as its description asks."""
        with self._lock:
            self._library.chaindp_reset(self._open())

    @property
    def printed(self) -> str:
        """The beginning of what the RTL has displayed, 4 KiB at most."""
        with self._lock:
            return str(self._library.chaindp_log(self._open()).decode("utf-8", "replace"))

    def _open(self) -> int:
        if not self._closing.alive:
            raise UsageError(f"core {self.core.label}: the simulation is closed")
        return self._handle

    def _fresh(self) -> int:
        """The model, ready for a run: after one that went wrong it is reset, and made anew where the RTL ended it."""
        handle = self._open()
        # Set first: whoever interrupts the run leaves a core in the middle of something.
        dirty, self._dirty = self._dirty, True
        if dirty and self._library.chaindp_dead(handle):
            self._closing()
            self._create()
        elif dirty:
            self._library.chaindp_reset(handle)
        return self._handle

    def run(
        self,
        data: np.ndarray,
        offsets: np.ndarray,
        out_bytes: int | np.ndarray | None,
        *,
        stalls: Stalls | None = None,
        user: np.ndarray | None = None,
        resets: Sequence[Reset] = (),
        trace: Trace | None = None,
        idle_cycles: int | None = None,
        drain: int | None = None,
        max_cycles: int = 0,
    ) -> Transfer:
        """Push P packets through the core and pull the results.

        data, offsets: u8[B], i64[P+1]: the input packets
        out_bytes:     bytes of every output packet, or i64[P], of each; None where only tlast says
        user:          u32[P]: tuser of every packet, for a core that has one
        resets:        in the middle, in the order of the packets
        idle_cycles:   a hang is when no beat moves in so many cycles, those not counted in which the host holds the
                       core up; None for what the description says
        drain:         cycles after the last packet in which nothing more may come out; None for twice what the slowest
                       packet took from its last beat in to its last one out, 32 at least and 10000 at most
        max_cycles:    a fault where it takes longer; 0: no limit

        What the core does wrong is in the result's ``faults``, and what came out until then in the rest of it. A run
        after one with faults begins with a reset, and with a new model where the RTL ended the simulation. InputError
        for packets that the core's streams cannot carry.
        """
        data, offsets = checks.ragged(data, offsets)
        packets = len(offsets) - 1
        lengths = np.diff(offsets)
        user = self._check_packets(lengths, user, packets)
        for name, value in (("idle_cycles", idle_cycles), ("drain", drain), ("max_cycles", max_cycles)):
            if value is not None and not (name == "idle_cycles") <= value < 1 << 62:
                raise UsageError(f"{name} is {value}, which is no number of cycles")
        wanted = _wanted(out_bytes, packets)
        stalls = stalls or Stalls()
        if trace is not None and self.built.flavour is not Flavour.TRACE:
            raise UsageError("a trace needs a build of Flavour.TRACE")
        width = self.core.output.bytes
        room = VARIABLE_BYTES if wanted is None else int(wanted.sum())
        beats = room // width + 1 if wanted is None else int(np.maximum(-(-wanted // width), 1).sum())
        has_user = bool(self.core.output.user_bits)
        out: dict[str, np.ndarray | None] = {
            "out_data": np.empty(room, dtype=np.uint8),
            "out_offsets": np.zeros(packets + 1, dtype=np.int64),
            "out_user": np.empty(beats, dtype=np.uint32) if has_user else None,
            "accepted": np.full(packets, -1, dtype=np.int64),
            "finished": np.full(packets, -1, dtype=np.int64),
            "lost": np.zeros(packets, dtype=np.bool_),
        }
        points = _reset_points(resets, lengths, self.core.input.bytes)
        job = _Job(
            in_data=data.ctypes.data,
            in_offsets=offsets.ctypes.data,
            packets=packets,
            in_user=None if user is None else user.ctypes.data,
            out_bytes=None if wanted is None else wanted.ctypes.data,
            in_gate=_gate(stalls.input, stalls.seed * 2),
            out_gate=_gate(stalls.output, stalls.seed * 2 + 1),
            resets=points.ctypes.data,
            reset_count=len(points),
            idle_cycles=self.core.idle_cycles if idle_cycles is None else idle_cycles,
            drain_cycles=-1 if drain is None else drain,
            max_cycles=max_cycles,
            chunk_cycles=CHUNK,
            trace_first=0 if trace is None else trace.first,
            trace_last=-1 if trace is None else trace.last,
            out_capacity=room,
            out_user_capacity=beats,
            **{name: None if array is None else array.ctypes.data for name, array in out.items()},
        )
        with self._lock, _writable(trace) as vcd:
            job.trace_path = vcd
            started = time.perf_counter()
            handle = self._fresh()
            self._library.chaindp_begin(handle, ctypes.byref(job))
            while self._library.chaindp_run(handle, ctypes.byref(job)):
                pass
            seconds = time.perf_counter() - started
            self._dirty = job.fault_count > 0
            dead = self._library.chaindp_dead(handle).decode("utf-8", "replace")
            said = self._library.chaindp_log(handle).decode("utf-8", "replace") if dead else ""
        faults = tuple(_fault(self.core, job, job.faults[index], dead, said) for index in range(job.fault_count))
        return _transfer(job, out, seconds, faults)

    def _check_packets(self, lengths: np.ndarray, user: np.ndarray | None, packets: int) -> np.ndarray | None:
        """``user`` as a plain array; InputError for packets that the input cannot carry."""
        stream = self.core.input
        if not stream.keep and len(lengths):
            wrong = np.flatnonzero((lengths % stream.bytes != 0) | (lengths == 0))
            if len(wrong):
                raise InputError(
                    f"core {self.core.label}: packet {wrong[0]} has {lengths[wrong[0]]} bytes: without a tkeep, it has "
                    f"to be whole beats of {stream.bytes} bytes, one or more"
                )
        if user is None:
            return None
        if not stream.user_bits:
            raise InputError(f"core {self.core.label}: its input has no tuser")
        user = checks.array(user, "user", np.uint32, (packets,))
        if len(user) and int(user.max()) >> stream.user_bits:
            raise InputError(f"core {self.core.label}: user holds {user.max()}, and tuser has {stream.user_bits} bits")
        return user


@contextlib.contextmanager
def _writable(trace: Trace | None) -> Iterator[bytes | None]:
    """The name of a file beside the VCD, which takes its place at the end; None without a trace."""
    if trace is None:
        yield None
        return
    path = Path(trace.path)
    try:
        with replacing(path) as beside:
            beside.touch()
            yield os.fsencode(beside)
    except OSError as error:
        raise UsageError(f"{path}: cannot be written: {error.strerror or error}") from None


def _wanted(out_bytes: int | np.ndarray | None, packets: int) -> np.ndarray | None:
    if out_bytes is None:
        return None
    if isinstance(out_bytes, np.ndarray):
        wanted = checks.array(out_bytes, "out_bytes", np.int64, (packets,))
    else:
        wanted = np.full(packets, out_bytes, dtype=np.int64)
    if len(wanted) and wanted.min() < 0:
        raise InputError(f"out_bytes holds {wanted.min()}, expected 0 or more")
    return wanted


def _gate(pattern: Pattern, seed: int) -> _Gate:
    return _Gate(pattern.kind, pattern.probability, pattern.burst, pattern.period, seed & (1 << 64) - 1)


def _reset_points(resets: Sequence[Reset], lengths: np.ndarray, width: int) -> np.ndarray:
    """The resets as i64[R,4]: packet, beat, after, cycles. All beats of a packet in is none of the next in."""
    points = []
    for reset in resets:
        if not 0 <= reset.packet < max(len(lengths), 1) or reset.beat < 0 or not 1 <= reset.cycles <= 10_000:
            raise UsageError(f"{reset}: there are {len(lengths)} packets, and a reset lasts 1 to 10000 cycles")
        if not 0 <= reset.after < 1 << 62:
            raise UsageError(f"{reset}: after is no number of cycles")
        beats = max(-(-int(lengths[reset.packet]) // width), 1) if len(lengths) else 0
        whole = reset.beat >= beats
        point = (reset.packet + 1, 0) if whole else (reset.packet, reset.beat)
        points.append((*point, reset.after, reset.cycles))
    if points != sorted(points, key=lambda point: point[:2]):
        raise UsageError("resets are not in the order of the packets")
    return np.array(points, dtype=np.int64).reshape(-1, 4)


def _fault(core: Core, job: _Job, found: _Fault, dead: str, said: str) -> Fault:
    kind = Kind(found.kind)
    if kind is Kind.STOPPED:
        last = " ".join(said.split())[-300:]
        message = f"the RTL ended the simulation: {dead}" + (f" ({last})" if last else "")
    else:
        message = _WORDS[kind].format(
            expected=found.expected,
            got=found.got,
            in_packet=job.in_packet,
            in_beat=job.in_beat,
            idle=job.idle_cycles,
            max_cycles=job.max_cycles,
            state=f"{core.input.port('tvalid')} {job.in_valid}, {core.input.port('tready')} {job.in_ready}; "
            f"{core.output.port('tvalid')} {job.out_valid}, {core.output.port('tready')} {job.out_ready}",
        )
    return Fault(kind, found.cycle, found.packet, found.beat, message)


_WORDS = {
    Kind.HANG: "no beat has moved for {idle} cycles while one was due: the core hangs ({state}; next to go in: packet "
    "{in_packet}, beat {in_beat})",
    Kind.WITHDRAWN: "valid of the output was withdrawn before the beat had moved",
    Kind.CHANGED: "the output beat changed while it was stalled",
    Kind.SPURIOUS: "an output is valid before any beat of its packet has come in",
    Kind.EXTRA: "an output is valid after the last packet",
    Kind.EARLY: "the output packet ends before its input packet does (packet {in_packet}, beat {in_beat})",
    Kind.SHORT: "tlast after {got} bytes of a packet that has {expected}",
    Kind.LONG: "no tlast after {expected} bytes, where the packet ends",
    Kind.KEEP: "tkeep has a hole, or is not full before the last beat",
    Kind.VALID_IN_RESET: "an output was valid at the end of a reset",
    Kind.TOO_LARGE: "more output than the {expected} bytes that there is room for",
    Kind.TOO_LONG: "not done after {max_cycles} cycles",
}


def _transfer(job: _Job, out: dict[str, Any], seconds: float, faults: tuple[Fault, ...]) -> Transfer:
    offsets, user = out["out_offsets"], out["out_user"]
    return Transfer(
        data=out["out_data"][: offsets[-1]],
        offsets=offsets,
        user=None if user is None else user[: job.user_beats],
        cycles=job.cycles,
        in_stalls=job.in_stalls,
        out_stalls=job.out_stalls,
        latency=max(job.first_out - job.first_in, 0) if job.first_out >= 0 else 0,
        accepted=out["accepted"],
        finished=out["finished"],
        lost=out["lost"],
        in_beats=job.in_beats,
        out_beats=job.out_beats,
        simulated=job.simulated,
        seconds=seconds,
        faults=faults,
    )


def _load(built: Built) -> Any:
    """The library. Every simulation of a build shares its code, and none of its state."""
    try:
        library = ctypes.CDLL(str(built.library), mode=getattr(ctypes, "RTLD_LOCAL", 0))
    except OSError as error:
        raise PluginError(f"core {built.core.label}: its library cannot be loaded: {error}") from None
    library.chaindp_job_bytes.restype = ctypes.c_int64
    if library.chaindp_job_bytes() != ctypes.sizeof(_Job):
        raise PluginError(f"core {built.core.label}: its library is of another version of the driver")
    library.chaindp_create.restype = ctypes.c_void_p
    library.chaindp_create.argtypes = [ctypes.c_uint64, ctypes.c_int64, ctypes.c_char_p]
    library.chaindp_run.restype = ctypes.c_int64
    for name in ("chaindp_begin", "chaindp_run"):
        getattr(library, name).argtypes = [ctypes.c_void_p, ctypes.c_void_p]
    for name in ("chaindp_dead", "chaindp_log"):
        getattr(library, name).restype = ctypes.c_char_p
    for name in ("chaindp_reset", "chaindp_dead", "chaindp_log", "chaindp_close"):
        getattr(library, name).argtypes = [ctypes.c_void_p]
    return library
