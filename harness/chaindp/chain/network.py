"""A discrete-event network: validators with latencies between them and a limited uplink each, on a virtual clock.

The wide-area network is the one part of the chain that is not on this machine. Messages are real and have real sizes;
only their travel is simulated: a message leaves when its sender's uplink has sent everything before it, takes
``size / bandwidth`` to leave and the pair's latency to arrive.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from chaindp.errors import UsageError

__all__ = ["Network", "NetworkParams"]


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkParams:
    """The simulated network, in SI units.

    validators:       how many, 4 or more (f faults need 3f + 1)
    latency_s:        mean one-way latency between two validators
    uplink_bits_s:    bandwidth of each validator's uplink, bits a second
    """

    validators: int = 7
    latency_s: float = 0.040
    uplink_bits_s: float = 1e9

    def __post_init__(self) -> None:
        if self.validators < 4:
            raise UsageError(f"{self.validators} validators: at least 4 are needed to tolerate one fault")
        if self.latency_s < 0 or self.uplink_bits_s <= 0:
            raise UsageError("network latency must not be negative, and the uplink must be above 0 bit/s")


class Network:
    """Validators 0..n-1 and the messages between them, in order of virtual time (seconds)."""

    def __init__(self, params: NetworkParams, seed: int) -> None:
        self.params = params
        self.now = 0.0
        rng = np.random.Generator(np.random.PCG64([seed, 0x6E6574]))
        # Positions on a disc give latencies that keep the triangle inequality, scaled to the stated mean.
        places = rng.normal(size=(params.validators, 2))
        distances = np.linalg.norm(places[:, None] - places[None, :], axis=2)
        off_diagonal = distances[~np.eye(params.validators, dtype=bool)]
        self.latency = distances * (params.latency_s / off_diagonal.mean())
        self._uplink_free = np.zeros(params.validators)
        self._events: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._sequence = itertools.count()

    def at(self, instant: float, action: Callable[..., None], *args: Any) -> None:
        """Call ``action(*args)`` at virtual time ``instant``."""
        heapq.heappush(self._events, (max(instant, self.now), next(self._sequence), action, args))

    def broadcast(self, sender: int, size: int, deliver: Callable[..., None], *args: Any) -> None:
        """Send one copy of ``size`` bytes to every validator, itself included; ``deliver(receiver, *args)`` on arrival.

        Copies leave one after another: it is the uplink of a single proposer that a large block fills.
        """
        self.at(self.now, deliver, sender, *args)
        for receiver in range(self.params.validators):
            if receiver == sender:
                continue
            start = max(self.now, self._uplink_free[sender])
            sent = start + size * 8 / self.params.uplink_bits_s
            self._uplink_free[sender] = sent
            self.at(sent + self.latency[sender, receiver], deliver, receiver, *args)

    def run(self) -> None:
        """Deliver everything, in order of time, until nothing is under way."""
        while self._events:
            self.now, _, action, args = heapq.heappop(self._events)
            action(*args)
