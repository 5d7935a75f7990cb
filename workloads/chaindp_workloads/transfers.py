"""The ``transfers`` workload: plain value transfers between accounts."""

from __future__ import annotations

import numpy as np

from chaindp.workload import Genesis, Ragged, StorageCells
from chaindp_workloads.stream import GeneratedWorkload, funded

__all__ = ["Transfers"]


class Transfers(GeneratedWorkload):
    """Up to 0.001 ether from account to account: 21000 gas, no code."""

    name = "transfers"

    def genesis(self) -> Genesis:
        """Funded accounts and nothing else; the same for every repetition."""
        cells = StorageCells(*(np.zeros((0, width), dtype=np.uint8) for width in (20, 32, 32)))
        return Genesis(funded(self.addresses), cells)

    def payload(self, rows: slice) -> tuple[np.ndarray, np.ndarray, Ragged | None]:
        """The recipients themselves, the values, and no data."""
        return self.addresses[self.pairs.recipient[rows]], self._amount[rows], None
