"""The same pass on another platform or host: what was measured and simulated once is scheduled again.

What a call took on a simulated device follows from its cycles, its packets and its bytes (``chaindp.platforms``), so
neither the chain nor the simulator has to run again to know what another clock, more instances, another link or more
cores would give:

    faster = replan(result, on_platform(Platform(instances=4)))
    ceiling = replan(result, for_nothing)
    print(faster.tps / result.tps, ceiling.tps / result.tps, faster.busy_ns(Stage.MERKLEIZE).sum())
"""

from __future__ import annotations

import math
from dataclasses import replace

from chaindp.backend import Platform, SimulatedTimes
from chaindp.errors import PluginError, UsageError
from chaindp.pipeline.block import Stage
from chaindp.pipeline.model import schedule
from chaindp.pipeline.passes import PassResult
from chaindp.pipeline.work import Machine, Retime, resources_for, segments_of, total_of
from chaindp.platforms import call_times

__all__ = ["for_nothing", "on_platform", "replan"]


def on_platform(platform: Platform) -> Retime:
    """What a call takes on ``platform``; a clock or link that it leaves out stays the one that was simulated for.

    Exact for a kernel call that is one call of the device. Of several the cycles and packets are added up, as if
    the instances shared them all, and every call has the link's latency. PluginError for a single call that did not
    take on its own platform what the model of ``chaindp.platforms`` has for it: what it would take on another one is
    then not known.
    """

    def retime(times: SimulatedTimes) -> float:
        if not times.calls or not times.operations:
            return 0.0
        own = _modelled(times, times.platform)
        if times.calls == 1 and not math.isclose(own, times.total_ns, rel_tol=1e-9):
            raise PluginError(
                f"a call on a simulated device says {times.total_ns:.6g} ns, and its {times.cycles} cycles on its own "
                f"platform are {own:.6g} ns by chaindp.platforms: it cannot be planned for another platform"
            )
        return _modelled(
            times,
            Platform(
                clock_hz=platform.clock_hz or times.platform.clock_hz,
                instances=platform.instances,
                link=platform.link or times.platform.link,
            ),
        )

    return retime


def _modelled(times: SimulatedTimes, platform: Platform) -> float:
    """What calls with these cycles, packets and bytes take on a platform that is whole."""
    assert platform.link is not None
    parts = (times.cycles, times.latency_cycles, times.operations, times.to_bytes, times.from_bytes)
    return call_times(*parts, platform).total_ns + 2 * (times.calls - 1) * platform.link.latency_ns


def for_nothing(times: SimulatedTimes) -> float:
    """A device and a link that take no time at all: what is left then is the ceiling of what any device can give."""
    return 0.0


def replan(result: PassResult, retime: Retime = total_of, *, machine: Machine | None = None) -> PassResult:
    """A model pass with its calls on simulated devices, and its host, as stated here.

    machine: None for the one that the pass was scheduled on

    Throughput, durations, instants and ``busy_ns`` of what is returned are of the new schedule; its blocks and calls
    are those of ``result``, with the times that were simulated. UsageError for a live pass, which has no schedule.
    """
    if result.resources is None:
        raise UsageError("a live pass has no schedule to make again: run it in model mode")
    work = [
        [segments_of(stage, block.spans[stage], result.threads, retime) for stage in result.stages]
        for block in result.blocks
    ]
    resources = result.resources
    if machine is not None:
        resources = resources_for(machine, result.stages, resources.pipelined)
    start, end = schedule(work, result.ordered.tolist(), resources, gate=result.stages.index(Stage.ORDER))
    return replace(result, start=start, end=end, work=work, resources=resources)
