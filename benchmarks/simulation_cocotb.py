"""What ``simulation.py`` runs inside of the simulator: messages of 64 bytes through cocotb, digests compared and timed.

Environment: SIMULATION_CORE, the description; SIMULATION_MESSAGES, how many; SIMULATION_RESULT, where figures go.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, RisingEdge
from cocotb.utils import get_sim_time
from cocotbext.axi import AxiStreamBus, AxiStreamSink, AxiStreamSource

from chaindp.cores import load_core
from chaindp.kernels.hashes import GOLDEN_HASHES

PERIOD_NS = 10


@cocotb.test()
async def messages(dut) -> None:  # type: ignore[no-untyped-def]
    core = load_core(os.environ["SIMULATION_CORE"])
    clock, reset = getattr(dut, core.clock), getattr(dut, core.reset.port)
    cocotb.start_soon(Clock(clock, PERIOD_NS, "ns").start())
    streams = {}
    for name, stream, kind in (("in", core.input, AxiStreamSource), ("out", core.output, AxiStreamSink)):
        bus = AxiStreamBus.from_prefix(dut, stream.prefix)
        streams[name] = kind(bus, clock, reset, reset_active_level=not core.reset.active_low)
    reset.value = not core.reset.active_low
    await ClockCycles(clock, core.reset.cycles)
    reset.value = core.reset.active_low
    await RisingEdge(clock)

    rng = np.random.default_rng(1)
    sent = [rng.bytes(64) for _ in range(int(os.environ["SIMULATION_MESSAGES"]))]
    started, began = time.perf_counter(), get_sim_time("ns")
    for message in sent:
        await streams["in"].send(message)
    received = [bytes((await streams["out"].recv()).tdata) for _ in sent]
    seconds, took = time.perf_counter() - started, get_sim_time("ns") - began

    golden = GOLDEN_HASHES[core.kernel]
    assert received == [golden(message) for message in sent]
    Path(os.environ["SIMULATION_RESULT"]).write_text(json.dumps({"cycles": took / PERIOD_NS, "seconds": seconds}))
