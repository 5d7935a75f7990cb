"""Receipts, gathered one transaction at a time and handed out as columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from chaindp.chain.execution.columns import addresses_to_column
from chaindp.chain.types import Ragged, Receipts

__all__ = ["ReceiptBuilder"]


class ReceiptBuilder:
    """Collects receipts in transaction order. ``types`` is the uint8[N] column of the batch."""

    def __init__(self, types: np.ndarray) -> None:
        self._types = types
        self._status: list[int] = []
        self._gas: list[int] = []
        self._log_tx: list[int] = []
        self._addresses: list[str] = []
        self._counts: list[int] = []
        self._topics: list[bytes] = []
        self._data: list[bytes] = []

    def add(self, index: int, status: int, gas_used: int, logs: Sequence[Any]) -> None:
        """The receipt of transaction ``index``; ``logs`` are the binding's."""
        self._status.append(status)
        self._gas.append(gas_used)
        for log in logs:
            topics, data = log.data
            self._log_tx.append(index)
            self._addresses.append(log.address)
            self._counts.append(len(topics))
            self._topics.append(b"".join(topics).ljust(128, b"\0"))
            self._data.append(data)

    def finish(self) -> Receipts:
        """All receipts in columns."""
        gas = np.array(self._gas, dtype=np.uint64)
        return Receipts(
            type=self._types.copy(),
            status=np.array(self._status, dtype=np.uint8),
            gas_used=gas,
            cumulative_gas=np.cumsum(gas, dtype=np.uint64),
            log_tx=np.array(self._log_tx, dtype=np.int64),
            log_address=addresses_to_column(self._addresses),
            log_topic_count=np.array(self._counts, dtype=np.uint8),
            log_topics=np.frombuffer(b"".join(self._topics), dtype=np.uint8).reshape(-1, 4, 32),
            log_data=Ragged.from_items(self._data),
        )
