"""From what a pass measured to work for the model: which part of a stage holds the lock, the disk or a device.

A stage's thread is taken to hold the interpreter's lock from one kernel call to the next, and in no call. In ``flush``,
what of its time is no CPU time is the disk's. A call on a simulated device takes its modelled time there, and keeps
neither core nor lock: what it took on the wall clock, simulator and all, is left out.
"""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from chaindp.backend import SimulatedTimes
from chaindp.kernels.kernelset import KernelCall
from chaindp.measure.machine import cgroup_limits
from chaindp.pipeline.block import Span, Stage
from chaindp.pipeline.live import QUEUE_BLOCKS, THREADS
from chaindp.pipeline.model import DISK, LOCK, Resources, Segment

__all__ = ["DEVICE", "Machine", "Retime", "Work", "cpu_ns", "resources_for", "segments_of", "this_machine", "total_of"]

DEVICE = "device:"
"""What a segment that is on a simulated device holds, before the device's label."""

Work: TypeAlias = Sequence[Sequence[Sequence[Segment]]]
"""Segments by block and stage."""

Retime: TypeAlias = Callable[[SimulatedTimes], float]
"""What a call on a simulated device takes from end to end, in ns."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """The host that a model pass is scheduled on: stated, not measured.

    cores: how many it has
    lock:  whether the stages share one interpreter's lock and the three threads of a live run. Without, each stage has
           a thread of its own, as there would be no reason to share one.
    """

    cores: int
    lock: bool = True


def this_machine() -> Machine:
    """What a live pass has here: the cores that this process may run on, as far as its control group lets it."""
    cores = len(os.sched_getaffinity(0))
    quota = cgroup_limits()["cores"]
    if isinstance(quota, int | float):
        cores = min(cores, max(1, math.floor(quota)))
    return Machine(cores=cores, lock=getattr(sys, "_is_gil_enabled", lambda: True)())


def resources_for(machine: Machine, stages: Sequence[Stage], pipelined: bool) -> Resources:
    """The machine as ``schedule`` takes it, for these stages; the threads are those of a live run."""
    columns = [tuple(column for column, stage in enumerate(stages) if stage in group) for group in THREADS]
    return Resources(
        cores=machine.cores,
        pipelined=pipelined,
        lock=machine.lock,
        switch_ns=sys.getswitchinterval() * 1e9,
        threads=tuple(filter(None, columns)) if machine.lock else (),
        queue=QUEUE_BLOCKS,
    )


def total_of(times: SimulatedTimes) -> float:
    """What a call takes on the platform that it was simulated for."""
    return float(times.total_ns)


def segments_of(stage: Stage, span: Span, cores: int, retime: Retime = total_of) -> list[Segment]:
    """What a stage did on a block, in order.

    span:  of a pass in which nothing else was at work, for CPU time is the process's
    cores: how many a stage can have kept busy: as many as a backend has threads

    Without simulated devices the segments add up to the time that the stage took, less the wait for the network.
    """
    calls = sorted(span.calls, key=lambda call: call.started_ns)
    inside = sum(call.wall_ns for call in calls)
    host = max(0, span.end_ns - span.start_ns - span.wait_ns - inside)
    cpu = min(max(0, span.process_ns - sum(call.process_ns for call in calls)), host * cores)
    waiting = max(0, host - cpu) if stage is Stage.FLUSH else 0
    busy = cpu / (host - waiting) if host > waiting else 0.0
    # Of a block that waited for the network, or whose calls overlap, gaps and calls do not add up: they are scaled.
    gaps = _gaps(span, calls)
    scale = (host - waiting) / total if (total := sum(gaps)) else 0.0
    segments = []
    for gap, call in zip(gaps, [*calls, None], strict=True):
        segments.append(Segment(gap * scale, LOCK, busy))
        if call is not None:
            segments.append(_call(call, cores, retime))
    segments.append(Segment(waiting, DISK))
    return [segment for segment in segments if segment.ns > 0]


def _gaps(span: Span, calls: Sequence[KernelCall]) -> list[int]:
    """What is before, between and after the calls, in ns."""
    ends = [span.start_ns, *(call.started_ns + call.wall_ns for call in calls)]
    starts = [*(call.started_ns for call in calls), span.end_ns]
    return [max(0, start - end) for end, start in zip(ends, starts, strict=True)]


def _call(call: KernelCall, cores: int, retime: Retime) -> Segment:
    if call.simulated is not None:
        return Segment(retime(call.simulated), DEVICE + call.backend)
    return Segment(call.wall_ns, "", min(cores, call.process_ns / call.wall_ns) if call.wall_ns else 0.0)


def cpu_ns(span: Span) -> int:
    """CPU time of the stage's thread, without what a simulator took of it."""
    simulated = sum(call.thread_ns for call in span.calls if call.simulated is not None)
    return max(0, span.cpu_ns - simulated)
