"""``ntt``, ``intt`` and ``lde`` on a device: passes of up to four stages, from one buffer to another and back.

A pass is a launch over all rows, or, on a CPU with rows enough for its cores, a launch does all passes of one row after
another. ``cl/ntt.cl`` says what a pass is. Tables of roots are made on the device, once for a length and a direction.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from chaindp_opencl.fields import Arithmetic, montgomery, powers
from chaindp_opencl.memory import Buffer

__all__ = ["Transforms", "passes_of"]

LOG_RADIX = 4
"""Stages of a pass at most: 16 elements are what registers have room for."""

LOG_IN_CACHE = 10
"""On a CPU, a row of so many elements is one work-item's, however few rows there are."""


def passes_of(log2_size: int) -> list[int]:
    """Stages of each pass of a transform. One that has no stage still moves its elements, and may scale them."""
    whole, rest = divmod(log2_size, LOG_RADIX)
    return [LOG_RADIX] * whole + [rest] * bool(rest or not whole)


@dataclass(frozen=True, slots=True)
class _Scale:
    """What results are multiplied by, times R: a constant or, where there is one, a table with a factor for each."""

    constant: int = 0
    table: Buffer | None = None

    @property
    def mode(self) -> int:
        """As ``cl/pass.cl`` has it."""
        return 2 if self.table is not None else int(self.constant != 0)


@dataclass(slots=True)
class _Tables:
    """Tables on the device, the one that was used last at the end; the oldest go where they take too much room."""

    limit: int
    kept: OrderedDict[tuple[object, ...], Buffer] = field(default_factory=OrderedDict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def get(self, key: tuple[object, ...], make: Callable[[], Buffer]) -> Buffer:
        """The table of that key, made where there is none."""
        with self.lock:
            if key not in self.kept:
                self.kept[key] = make()
            self.kept.move_to_end(key)
            while len(self.kept) > 1 and sum(table.nbytes for table in self.kept.values()) > self.limit:
                self.kept.popitem(last=False)
            return self.kept[key]


class Transforms:
    """The transforms over one field."""

    def __init__(self, arithmetic: Arithmetic) -> None:
        self._arithmetic = arithmetic
        self._tables = _Tables(arithmetic.memory.limits.resident)
        prime = arithmetic.field.prime
        root = arithmetic.field.root_of_unity(LOG_RADIX)
        self._roots = {
            inverse: arithmetic.constants(powers(pow(root, -1, prime) if inverse else root, 8, arithmetic.field))
            for inverse in (False, True)
        }

    # whole calls ------------------------------------------------------------------------------------------------------

    def ntt(self, values: Buffer, log2_size: int) -> Buffer:
        """The transforms of the rows of uint32[columns,n], canonical elements, n = 2^log2_size."""
        return self._call(values, 1 << log2_size, 4 << log2_size, lambda part: self._forward(part, log2_size))

    def intt(self, values: Buffer, log2_size: int) -> Buffer:
        """The coefficients that such rows are the transforms of."""
        return self._call(values, 1 << log2_size, 4 << log2_size, lambda part: self._inverse(part, log2_size))

    def lde(self, values: Buffer, log2_size: int, log2_blowup: int, shift: int) -> Buffer:
        """Such rows extended 2^log2_blowup times, on the coset of ``shift``."""

        def extend(part: Buffer) -> Buffer:
            return self._forward(self._inverse(part, log2_size, shift), log2_size + log2_blowup)

        return self._call(values, 1 << log2_size + log2_blowup, 4 << log2_size, extend)

    def _call(self, values: Buffer, length: int, row_bytes: int, transform: Callable[[Buffer], Buffer]) -> Buffer:
        """Rows of ``row_bytes`` to rows of ``length`` elements: at once, or portion by portion."""
        arithmetic, memory = self._arithmetic, self._arithmetic.memory
        if not len(values):
            return arithmetic.result((0, length))
        if arithmetic.fits(values.nbytes, 4 * length * len(values)):
            return transform(values)
        host = memory.download(values)
        out = np.empty((len(host), length), np.uint32)
        return arithmetic.streamed(
            out, row_bytes + 4 * length, lambda first, last: transform(memory.send(host[first:last]))
        )

    def _forward(self, values: Buffer, log2_size: int) -> Buffer:
        """Transforms of length 2^log2_size of rows of that many elements, or of fewer with zeros behind them."""
        return self._transform(values, log2_size, _Scale(), inverse=False)

    def _inverse(self, values: Buffer, log2_size: int, shift: int = 1) -> Buffer:
        """Inverse transforms, the coefficient of x^i times shift^i."""
        known = self._arithmetic.field
        over_length = pow(1 << log2_size, -1, known.prime)
        if shift == 1:
            scale = _Scale(constant=montgomery(over_length, known))
        else:
            table = self._tables.get(
                ("coset", log2_size, shift), lambda: self._powers(shift, log2_size, [(log2_size, 1, 0)], over_length)
            )
            scale = _Scale(table=table)
        return self._transform(values, log2_size, scale, inverse=True)

    # tables -----------------------------------------------------------------------------------------------------------

    def _factors(self, log2_size: int, *, inverse: bool) -> Buffer:
        """The factors of all passes of a transform, one after another; the last pass has none."""
        known = self._arithmetic.field
        root = known.root_of_unity(log2_size)
        root = pow(root, -1, known.prime) if inverse else root
        parts, done = [], 0
        for stages in passes_of(log2_size)[:-1]:
            parts.append((log2_size - done - stages, (1 << stages) - 1, done))
            done += stages
        return self._tables.get(("roots", log2_size, inverse), lambda: self._powers(root, log2_size, parts))

    def _powers(self, base: int, log2_size: int, parts: list[tuple[int, int, int]], first: int = 1) -> Buffer:
        """Tables end to end, each ``rows`` of 2^log_row: base^((row + 1) place 2^log_step), times ``first``.

        parts: (log_row, rows, log_step), so that exponents are below 2^log2_size; one word of no meaning for no part
        """
        arithmetic, known = self._arithmetic, self._arithmetic.field
        table = arithmetic.result((max(1, sum(rows << log_row for log_row, rows, _ in parts)),))
        # Every power is a product of two: tables of the square root's size.
        bits = (log2_size + 1) // 2
        far = powers(pow(base, 1 << bits, known.prime), 1 << (log2_size - bits), known)
        low, high = (arithmetic.memory.on_host(part) for part in (powers(base, 1 << bits, known, first), far))
        at, event = 0, None
        for log_row, rows, log_step in parts:
            count = rows << log_row
            event = arithmetic.run(
                self._program(1), "fill_powers", count, table.device, np.uint64(at), np.uint32(log_row),
                np.uint32(log_step), arithmetic.memory.on_device(low), arithmetic.memory.on_device(high),
                np.uint32(bits),
            )  # fmt: skip
            at += count
        return table if event is None else arithmetic.memory.publish(table, event)

    # passes -----------------------------------------------------------------------------------------------------------

    def _program(self, lanes: int) -> Any:
        return self._arithmetic.program("ntt.cl", lanes)

    def _lanes(self, log2_size: int, present: int) -> int:
        """Lanes that rows are long enough for: a vector has neighbours of each of the pass's inputs and outputs."""
        lanes = self._arithmetic.lanes
        return lanes if 1 << log2_size >= lanes << LOG_RADIX and present >= lanes else 1

    def _transform(self, values: Buffer, log2_size: int, scale: _Scale, *, inverse: bool) -> Buffer:
        arithmetic = self._arithmetic
        memory = arithmetic.memory
        columns, present = values.shape
        result = arithmetic.result((columns, 1 << log2_size))
        factors = self._factors(log2_size, inverse=inverse)
        wait_for = [
            *(event for used in (values, factors, scale.table) if used is not None for event in used.events() or ())
        ]
        scaling = (
            (factors if scale.table is None else scale.table).device,
            np.uint32(scale.mode),
            np.uint32(scale.constant),
        )
        source, roots = memory.on_device(values), self._roots[inverse].device
        lanes = self._lanes(log2_size, present)
        program = self._program(lanes)
        if arithmetic.on_cpu and (log2_size <= LOG_IN_CACHE or columns >= 4 * arithmetic.cores.count):
            work_items = -(-columns // arithmetic.share(columns))
            room = memory.allocate(4 * work_items << log2_size)
            event = arithmetic.run(
                program, "transform_rows", columns, source, np.uint64(present), result.device, room,
                np.uint32(log2_size), factors.device, roots, *scaling, wait_for=wait_for,
            )  # fmt: skip
            return memory.publish(result, event)
        passes = passes_of(log2_size)
        room = memory.allocate(result.nbytes) if len(passes) > 1 else None
        done, at, event = 0, 0, None
        for number, stages in enumerate(passes, 1):
            target = room if (len(passes) - number) % 2 else result.device
            rest = log2_size - done - stages
            event = arithmetic.run(
                program, f"pass_{stages}", (columns << (log2_size - stages)) // lanes, source, np.uint64(present),
                target, np.uint32(log2_size), np.uint32(done), factors.device, np.uint64(at), roots, *scaling,
                wait_for=wait_for,
            )  # fmt: skip
            at += ((1 << stages) - 1) << rest
            done += stages
            source, present, wait_for = target, 1 << log2_size, []
        return memory.publish(result, event)
