"""From cycles to times: a core's cycles at a clock, shared by several instances, behind a link. Stated, not measured.

The model of instances. A core that took C cycles for P operations, L of them from the first beat in to the first beat
out, spent C - L on handing results over, C - L over P each. Of N instances, n = min(N, P) get operations, the busiest
ceil(P / n) of them, and it takes

    L + (C - L) ceil(P / n) / P    cycles, rounded up.

That is what the busiest instance takes where all operations are alike, and at most one operation's interval more; where
they are not, it is what it takes if each gets its share of the work. The instances share one link: its time does not
shrink.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from chaindp.backend import Link, Platform
from chaindp.errors import UsageError

__all__ = ["LINKS", "USUAL_LINK", "CallTimes", "call_times", "instance_cycles", "parse_link", "stated"]


def _pcie(name: str, gigatransfers: float, lanes: int) -> Link:
    # 128 of 130 bits of a lane carry data. A packet of 256 bytes, the usual largest one, has 26 bytes around it:
    # framing and sequence number 6, header with a 64-bit address 16, LCRC 4 (PCI Express Base Specification 3.0).
    rate = gigatransfers * 1e9 * lanes / 8 * 128 / 130 * 256 / (256 + 26)
    return Link(name=name, latency_ns=1000.0, to_device=rate, from_device=rate)


def _ethernet(name: str, gigabits: float) -> Link:
    # A frame of 1500 bytes takes 1538 on the wire (IEEE 802.3: preamble 8, header 14, FCS 4, gap 12), and holds 1472
    # of UDP's payload.
    rate = gigabits * 1e9 / 8 * 1472 / 1538
    return Link(name=name, latency_ns=5000.0, to_device=rate, from_device=rate)


LINKS: Mapping[str, Link] = MappingProxyType(
    {
        link.name: link
        for link in (
            Link(name="none", latency_ns=0.0, to_device=math.inf, from_device=math.inf),
            _pcie("pcie3x16", 8, 16),
            _pcie("pcie4x16", 16, 16),
            _ethernet("10gbe", 10),
            _ethernet("100gbe", 100),
        )
    }
)
"""Links by name. Rates follow from the standards. The latencies are round figures: 1 us is about what PCIe adds to the
round trip of a network card (R. Neugebauer and others, "Understanding PCIe performance for end host networking",
SIGCOMM 2018), and 5 us is assumed for a datagram between two hosts at one switch that bypass the kernel."""

USUAL_LINK = LINKS["pcie3x16"]
"""What is assumed where no link is named: the slot of an accelerator card."""


@dataclass(frozen=True, slots=True)
class CallTimes:
    """One call on a platform, in ns: the instances alone, the transfers alone, and the call from end to end."""

    compute_ns: float
    transfer_ns: float
    total_ns: float


def instance_cycles(cycles: int, latency: int, operations: int, instances: int) -> int:
    """Cycles that the busiest of ``instances`` takes, of a call that takes one instance ``cycles``.

    latency:    of these, until the first beat came out
    operations: packets of the call
    """
    if operations < 1 or cycles < 1:
        return max(cycles, 0)
    used = min(max(instances, 1), operations)
    share = -(-operations // used)
    # In integers: rounded up exactly, whatever the size.
    return latency - (-(cycles - latency) * share // operations)


def call_times(
    cycles: int, latency: int, operations: int, to_bytes: int, from_bytes: int, platform: Platform
) -> CallTimes:
    """A call of so many cycles on a platform that is complete (``stated``). A call without operations takes nothing."""
    if operations < 1:
        return CallTimes(0.0, 0.0, 0.0)
    assert platform.clock_hz is not None and platform.link is not None, "a platform with something left out"
    link = platform.link
    compute = 1e9 * instance_cycles(cycles, latency, operations, platform.instances) / platform.clock_hz
    transfer = 2 * link.latency_ns + 1e9 * to_bytes / link.to_device + 1e9 * from_bytes / link.from_device
    return CallTimes(compute, transfer, link.call_ns(compute, to_bytes, from_bytes))


def stated(platform: Platform, clock_hz: float) -> Platform:
    """``platform`` with nothing left out: the clock and the link that are meant where it names none."""
    return Platform(
        clock_hz=platform.clock_hz or clock_hz, instances=platform.instances, link=platform.link or USUAL_LINK
    )


NUMBER = re.compile(r"[0-9]{1,12}(\.[0-9]{0,12})?")


def parse_link(text: str) -> Link:
    """A link as a user writes it: a name of ``LINKS``, or LATENCY_US:GB_S; either with ``:overlap`` behind it.

    GB_S counts 10^9 bytes a second, in each direction. UsageError for anything else.
    """
    parts = text.strip().lower().split(":")
    overlap = len(parts) > 1 and parts[-1] == "overlap"
    plain = parts[:-1] if overlap else parts
    form = "expected a name or LATENCY_US:GB_S, and :overlap behind it where transfers and computation overlap"
    if len(plain) == 1:
        if plain[0] not in LINKS:
            raise UsageError(f"link {text!r:.80}: no link has that name; there is {', '.join(LINKS)}; {form}")
        link = LINKS[plain[0]]
        latency_ns, rate = link.latency_ns, link.to_device
    else:
        if len(plain) != 2 or not all(NUMBER.fullmatch(part) for part in plain):
            raise UsageError(f"link {text!r:.80}: {form}")
        latency_ns, rate = 1000 * float(plain[0]), 1e9 * float(plain[1])
    return Link(name=":".join(parts), latency_ns=latency_ns, to_device=rate, from_device=rate, overlap=overlap)
