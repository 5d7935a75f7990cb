"""Which instructions a call really executed, from the EIP-3155 trace that revm prints."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from typing import TextIO

import pyrevm

from chaindp.chain.execution.opcodes import mask_of

__all__ = ["executed_instructions"]

_STEP = re.compile(r'\{"pc":\d+,"op":(\d+),')


class _TraceReader:
    """Stands in for ``sys.stdout``, where the binding prints its trace: reads the opcodes and lets other lines through."""

    def __init__(self, behind: TextIO) -> None:
        self.behind = behind
        self.mask = 0
        self._line = ""

    def write(self, text: str) -> int:
        """Take what the tracer prints, which comes in pieces of any size."""
        self._line += text
        if "\n" in text:
            *lines, self._line = self._line.split("\n")
            for line in lines:
                step = _STEP.match(line)
                if step is not None:
                    self.mask |= mask_of(int(step[1]))
                elif line and not line.startswith('{"stateRoot":'):
                    self.behind.write(line + "\n")
        return len(text)

    def flush(self) -> None:
        """Nothing is held back but an unfinished line."""


def executed_instructions(evm: pyrevm.EVM, run: Callable[[], object]) -> int:
    """The opcodes that ``run``, which calls ``evm`` once, executes: as bits. Its failure as a transaction is no error here."""
    reader = _TraceReader(sys.stdout)
    evm.tracing = True
    sys.stdout, before = reader, sys.stdout  # type: ignore[assignment]
    try:
        run()
    finally:
        sys.stdout = before
        evm.tracing = False
    return reader.mask
