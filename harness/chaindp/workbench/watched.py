"""A core as a backend that remembers its latest call, so that a probe can send the packets of a wrong one again."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np

from chaindp.backend import Backend, BackendOptions
from chaindp.cores.backend import CoreBackend
from chaindp.cores.description import BLOCK, Core
from chaindp.cores.packets import PACKETS
from chaindp.cores.simulation import Stalls
from chaindp.errors import PluginError
from chaindp.measure.outputs import copy_args
from chaindp.workbench.cases import Cases, case_of

__all__ = ["Latest", "WatchedBackend", "wrong_packets"]

BEFORE = 7
"""So many packets of the call are kept before the wrong one: what they leave behind may be what is wrong."""

LONGEST = 1 << 16
"""Packets with more bytes are not sent again: the golden reference would compute for too long."""

_PLACE = re.compile(r"output packet (\d+)")


@dataclass(slots=True)
class Latest:
    """The arguments of the latest call, and its result or why there is none; a test ends with the call that fails."""

    args: tuple[Any, ...] | None = None
    result: np.ndarray | None = None
    problem: str = ""


class WatchedBackend(CoreBackend):
    """``latest``: where the latest call is kept."""

    def __init__(self, name: str, options: BackendOptions, core: Core, stalls: Stalls | None, latest: Latest) -> None:
        super().__init__(name, options, {core.kernel: core}, stalls=stalls)
        self._latest = latest

    def _serve(self, kernel: str, *args: Any) -> np.ndarray:
        try:
            result = super()._serve(kernel, *args)
        except PluginError as error:
            self._keep(args, None, str(error))
            raise
        self._keep(args, result.copy(), "")
        return result

    def _keep(self, args: tuple[Any, ...], result: np.ndarray | None, problem: str) -> None:
        self._latest.args, self._latest.result, self._latest.problem = copy_args(args), result, problem


def wrong_packets(core: Core, latest: Latest, reference: Backend) -> Cases | None:
    """The packets of the call up to the first wrong one, which is the last; None where all are right, or too long."""
    if latest.args is None:
        return None
    packets = PACKETS[core.kernel]
    checked = packets.check(*latest.args)
    place = _PLACE.search(latest.problem)
    wrong = int(place[1]) if place else 0
    if latest.result is not None:
        right = reference.download(getattr(reference, core.kernel)(*latest.args))
        rows = (latest.result != right).reshape(len(right), -1).any(axis=1)
        if not rows.any():
            return None
        # A tree is one packet, whichever of its nodes is wrong.
        wrong = int(np.argmax(rows)) if packets.operations(checked) == len(rows) else 0
    packed = packets.pack(core, checked)
    # Of a message, what it is before the host pads it.
    data, offsets = checked if core.kernel in BLOCK else (packed.data, packed.offsets)
    wrong = min(wrong, len(offsets) - 2)
    contents = [data[offsets[at] : offsets[at + 1]].tobytes() for at in range(max(wrong - BEFORE, 0), wrong + 1)]
    if sum(map(len, contents)) > LONGEST:
        contents = contents[-1:]
    return None if len(contents[-1]) > LONGEST else Cases(tuple(case_of(core, content) for content in contents))
