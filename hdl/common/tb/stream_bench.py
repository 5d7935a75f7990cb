"""The test bench of a core with one AXI4-Stream in and one out: clock, reset, source, sink, and a watcher of both."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Sequence

import cocotb
from cocotb.clock import Clock
from cocotb.handle import Immediate
from cocotb.triggers import ClockCycles, FallingEdge, RisingEdge, with_timeout
from cocotbext.axi import AxiStreamBus, AxiStreamFrame, AxiStreamSink, AxiStreamSource
from functional_coverage import Coverage
from pauses import pause_generator

__all__ = ["StreamBench", "coverage"]

CLOCK_NS = 10

coverage = Coverage()
"""Of all tests of one simulation: they run in one process, one after another."""

_powered_up = False
"""Whether a reset has been seen: registers begin the simulation at random values, which the first one ends."""

coverage.declare("stalls", ["input beat waits for ready", "output beat waits for ready", "both at once"])
coverage.declare("packets", ["next packet offered at once", "gap inside a packet"])


class StreamBench:
    """Drives ``s_axis``, reads ``m_axis``, and fails the test where the output breaks the stream contract.

    The clock is ``clk_i``, the reset ``rst_ni``. Cycles since the last reset: ``in_beats`` and ``out_beats`` of all
    beats that moved, ``in_last`` and ``out_last`` of the last beats of packets, ``offered`` of the first tvalid of
    packets. ``in_packet``: the last beat in was not that of its packet.
    """

    def __init__(self, dut) -> None:
        self.dut = dut
        self.rng = random.Random(cocotb.RANDOM_SEED)
        self.coverage = coverage
        # They log every frame in full, and warn of those that a reset cuts.
        for prefix in ("s_axis", "m_axis"):
            logging.getLogger(f"cocotb.{dut._name}.{prefix}").setLevel(logging.ERROR)
        # At once: the clock may begin with an edge, and what inputs are before the first reset is random.
        dut.rst_ni.set(Immediate(0))
        cocotb.start_soon(Clock(dut.clk_i, CLOCK_NS, unit="ns").start())
        reset = {"reset": dut.rst_ni, "reset_active_level": False}
        self.source = AxiStreamSource(AxiStreamBus.from_prefix(dut, "s_axis"), dut.clk_i, **reset)
        self.sink = AxiStreamSink(AxiStreamBus.from_prefix(dut, "m_axis"), dut.clk_i, **reset)
        self._forget()
        cocotb.start_soon(self._watch())

    @classmethod
    async def start(cls, dut, source: str = "never", sink: str = "never") -> StreamBench:
        """A bench out of reset, with the named pauses on either side."""
        bench = cls(dut)
        await bench.reset()
        bench.pause(source, sink)
        return bench

    def pause(self, source: str, sink: str) -> None:
        """From now on pause both sides by the named patterns (``pauses.PAUSES``)."""
        for side, name in ((self.source, source), (self.sink, sink)):
            generator = pause_generator(name, random.Random(self.rng.random()))
            if generator is None:
                side.clear_pause_generator()
                side.pause = False
            else:
                side.set_pause_generator(generator)

    async def reset(self, cycles: int = 4) -> None:
        """Assert the reset; packets under way on either side are gone."""
        self.dut.rst_ni.value = 0
        self.source.clear()
        await ClockCycles(self.dut.clk_i, cycles)
        self.sink.clear()
        self._forget()
        self.dut.rst_ni.value = 1
        await RisingEdge(self.dut.clk_i)

    async def reset_under_way(self, cycles: int = 4) -> None:
        """Reset, and count what was cut: the group ``resets`` of the coverage."""
        # What has waited for something behind an edge is there already, and would miss it a cycle later.
        if self.dut.clk_i.value == 1:
            await FallingEdge(self.dut.clk_i)
        if self.in_packet or len(self.in_last) > len(self.out_last):
            coverage.hit("resets", "under way")
        if self.in_packet:
            coverage.hit("resets", "in an input packet")
        if self.dut.m_axis_tvalid.value == 1 and self.dut.m_axis_tready.value == 0:
            coverage.hit("resets", "output waiting")
        await self.reset(cycles)

    async def until(self, condition: Callable[[], bool], cycles: int = 100_000) -> None:
        """Wait until the condition holds behind a rising edge."""
        for _ in range(cycles):
            await RisingEdge(self.dut.clk_i)
            await FallingEdge(self.dut.clk_i)
            if condition():
                return
        raise AssertionError(f"{cycles} cycles, and it does not happen")

    async def output_waits(self) -> None:
        """Take nothing, until a beat waits for it."""
        self.pause("never", "always")
        await self.until(lambda: self.dut.m_axis_tvalid.value == 1)

    async def cycles(self, count: int) -> None:
        """Wait for ``count`` rising edges."""
        await ClockCycles(self.dut.clk_i, count)

    def send(self, message: bytes, user: int | None = None) -> None:
        """Queue one packet."""
        # An empty packet is one beat that keeps no byte.
        keep = None if message else [0]
        self.source.send_nowait(AxiStreamFrame(message or b"\0", tkeep=keep, tuser=user))

    async def receive(self, cycles: int = 100_000) -> bytes:
        """The next packet out, waiting ``cycles`` at most."""
        frame = await with_timeout(self.sink.recv(), cycles * CLOCK_NS, "ns")
        return bytes(frame.tdata)

    async def exchange(self, messages: Sequence[bytes]) -> list[bytes]:
        """Send all packets, and receive one for each."""
        for message in messages:
            self.send(message)
        return [await self.receive() for _ in messages]

    async def settle(self, cycles: int = 200) -> None:
        """Check that nothing more comes out."""
        self.pause("never", "never")
        await self.cycles(cycles)
        assert self.sink.empty(), "an output packet without an input packet"

    def _forget(self) -> None:
        self.cycle = 0
        self.offered: list[int] = []
        self.in_beats: list[int] = []
        self.in_last: list[int] = []
        self.out_beats: list[int] = []
        self.out_last: list[int] = []
        self.in_packet = False

    async def _watch(self) -> None:
        """Every cycle, as the clock edge sees it: the contract of the output, the cycles of beats, and coverage."""
        dut = self.dut
        output = [
            getattr(dut, f"m_axis_{name}")
            for name in ("tdata", "tlast", "tkeep", "tuser")
            if hasattr(dut, f"m_axis_{name}")
        ]
        edge = RisingEdge(dut.clk_i)
        stalled: list | None = None
        global _powered_up
        while True:
            await edge
            out_valid = dut.m_axis_tvalid.value
            if dut.rst_ni.value == 0:
                assert not _powered_up or out_valid == 0, "m_axis_tvalid during reset"
                stalled, self.in_packet, _powered_up = None, False, True
                continue
            self.cycle += 1
            in_valid, in_ready = dut.s_axis_tvalid.value == 1, dut.s_axis_tready.value == 1
            out_ready = dut.m_axis_tready.value == 1
            out_valid = out_valid == 1
            if stalled is not None:
                assert out_valid, "m_axis_tvalid withdrawn while the beat waits"
                assert [signal.value for signal in output] == stalled, "a beat changed while it waits"
            stalled = [signal.value for signal in output] if out_valid and not out_ready else None

            if in_valid and not in_ready:
                coverage.hit("stalls", "input beat waits for ready")
            if stalled is not None:
                coverage.hit("stalls", "output beat waits for ready")
                if in_valid and not in_ready:
                    coverage.hit("stalls", "both at once")
            if in_valid and not self.in_packet and len(self.offered) == len(self.in_last):
                self.offered.append(self.cycle)
            if self.in_packet and not in_valid:
                coverage.hit("packets", "gap inside a packet")
            if in_valid and self.in_last and self.in_last[-1] == self.cycle - 1:
                coverage.hit("packets", "next packet offered at once")
            if in_valid and in_ready:
                self.in_beats.append(self.cycle)
                self.in_packet = dut.s_axis_tlast.value == 0
                if not self.in_packet:
                    self.in_last.append(self.cycle)
            if out_valid and out_ready:
                self.out_beats.append(self.cycle)
                if dut.m_axis_tlast.value == 1:
                    self.out_last.append(self.cycle)
                assert len(self.out_last) <= len(self.in_last), "an output packet before its input packet is in"
