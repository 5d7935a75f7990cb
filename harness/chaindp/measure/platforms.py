"""The hardware that is stated around a simulated device: from what was asked for, and as JSON has it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from chaindp.backend import Platform, SimulatedTimes
from chaindp.errors import UsageError
from chaindp.platforms import parse_link

__all__ = ["added_up", "platform_line", "platform_row", "platform_samples", "stated_platform"]


def stated_platform(clock_mhz: float | None, instances: int | None, link: str | None) -> Platform | None:
    """What ``--clock``, ``--instances`` and ``--link`` state; None where nothing is, so that each backend has its own.

    link: a name or ``LATENCY_US:GB_S[:overlap]`` (``chaindp.platforms.parse_link``); UsageError where it is neither
    """
    if clock_mhz is None and instances is None and link is None:
        return None
    if clock_mhz is not None and not (0 < clock_mhz < math.inf):
        raise UsageError(f"--clock is {clock_mhz}; it must be above 0 MHz, and finite")
    if instances is not None and instances < 1:
        raise UsageError(f"--instances is {instances}; there must be 1 or more")
    return Platform(
        clock_hz=None if clock_mhz is None else clock_mhz * 1e6,
        instances=1 if instances is None else instances,
        link=None if link is None else parse_link(link),
    )


def platform_row(platform: Platform) -> dict[str, object]:
    """A whole platform as JSON has it; a rate of null is unlimited."""
    assert platform.clock_hz is not None
    assert platform.link is not None
    link = platform.link
    return {
        "clock_mhz": platform.clock_hz / 1e6,
        "instances": platform.instances,
        "link": link.name,
        "link_latency_us": link.latency_ns / 1e3,
        "link_to_device_gb_s": None if math.isinf(link.to_device) else link.to_device / 1e9,
        "link_from_device_gb_s": None if math.isinf(link.from_device) else link.from_device / 1e9,
        "link_overlap": link.overlap,
    }


def platform_line(row: Mapping[str, Any]) -> str:
    """A row of ``platform_row`` in one line: ``100 MHz, 2 instances, link NAME (1 us each way, 8 and 8 GB/s)``."""
    rates = [row["link_to_device_gb_s"], row["link_from_device_gb_s"]]
    shown = " and ".join("unlimited" if rate is None else f"{rate:.4g}" for rate in rates)
    many = f"{row['instances']} instance{'' if row['instances'] == 1 else 's'}"
    overlap = ", transfers overlap with computation" if row["link_overlap"] else ""
    return (
        f"{row['clock_mhz']:.4g} MHz, {many}, link {row['link']} ({row['link_latency_us']:.4g} us each way, "
        f"{shown} GB/s{overlap})"
    )


def platform_samples(platform: Platform) -> list[dict[str, object]]:
    """A whole platform as rows of the results table: metric, value and unit; the link's name is in a metric's name.

    A rate without a value is unlimited, as its ``reason`` says.
    """
    assert platform.link is not None
    link = platform.link
    rows: list[dict[str, object]] = [
        {"metric": "platform_clock", "value": platform.clock_hz, "unit": "Hz"},
        {"metric": "platform_instances", "value": platform.instances, "unit": "1"},
        {"metric": f"platform_link:{link.name}", "value": 1, "unit": "1"},
        {"metric": "platform_link_latency", "value": link.latency_ns, "unit": "ns"},
        {"metric": "platform_link_overlap", "value": int(link.overlap), "unit": "1"},
    ]
    for metric, rate in (("to_device", link.to_device), ("from_device", link.from_device)):
        unlimited = {"reason": "unlimited"} if math.isinf(rate) else {"value": rate}
        rows.append({"metric": f"platform_link_{metric}", "unit": "bytes/s", **unlimited})
    return rows


def added_up(times: Sequence[SimulatedTimes]) -> SimulatedTimes:
    """Calls on one platform as one, the longest latency being that of all; at least one call."""
    if len(times) == 1:
        return times[0]
    return SimulatedTimes(
        cycles=sum(one.cycles for one in times),
        stall_cycles=sum(one.stall_cycles for one in times),
        latency_cycles=max(one.latency_cycles for one in times),
        operations=sum(one.operations for one in times),
        to_bytes=sum(one.to_bytes for one in times),
        from_bytes=sum(one.from_bytes for one in times),
        compute_ns=sum(one.compute_ns for one in times),
        transfer_ns=sum(one.transfer_ns for one in times),
        total_ns=sum(one.total_ns for one in times),
        simulator_ns=sum(one.simulator_ns for one in times),
        calls=sum(one.calls for one in times),
        platform=times[0].platform,
    )
