"""``poseidon2`` on a device: states side by side in the lanes of a work-item, or one a work-item."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from chaindp.kernels.poseidon2 import INSTANCES, WIDTH, round_constants
from chaindp_opencl.fields import RADIX, Arithmetic, montgomery
from chaindp_opencl.memory import Buffer

__all__ = ["Permutations"]

STATE_BYTES = 4 * WIDTH


class Permutations:
    """The permutation over one field."""

    def __init__(self, arithmetic: Arithmetic) -> None:
        self._arithmetic = arithmetic
        rounds, field = round_constants(arithmetic.field.name), arithmetic.field
        added = [*sum(rounds.first, ()), *rounds.internal, *sum(rounds.last, ())]
        self._constants = arithmetic.constants(np.array([montgomery(value, field) for value in added], dtype=np.uint32))

    @functools.cached_property
    def _program(self) -> Any:
        field = self._arithmetic.field
        instance = INSTANCES[field.name]
        defines = {
            "SQUARE": RADIX * RADIX % field.prime,
            "EXPONENT": instance.exponent,
            "INTERNAL_ROUNDS": instance.internal_rounds,
        }
        for place, value in enumerate(instance.diagonal):
            # Denominators are powers of two.
            defines |= {f"NUMERATOR_{place}": value.numerator, f"SHIFT_{place}": value.denominator.bit_length() - 1}
        return self._arithmetic.program("poseidon2.cl", self._arithmetic.lanes, defines)

    def permute(self, states: Buffer) -> Buffer:
        """The permuted states of uint32[N,16], canonical elements."""
        arithmetic = self._arithmetic
        memory = arithmetic.memory
        if arithmetic.fits(states.nbytes):
            return self._resident(states)
        host = memory.download(states)

        def submit(first: int, last: int) -> Buffer:
            return self._resident(memory.send(host[first:last]))

        return arithmetic.streamed(np.empty_like(host), 2 * STATE_BYTES, submit)

    def _resident(self, states: Buffer) -> Buffer:
        arithmetic = self._arithmetic
        memory, count = arithmetic.memory, len(states)
        permuted = arithmetic.result(states.shape)
        if not count:
            return permuted
        event = arithmetic.run(
            self._program,
            "permute",
            -(-count // arithmetic.lanes),
            memory.on_device(states),
            permuted.device,
            np.uint64(count),
            self._constants.device,
            wait_for=states.events(),
        )
        return memory.publish(permuted, event)
