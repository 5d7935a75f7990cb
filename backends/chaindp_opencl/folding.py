"""``fri_fold`` on a device."""

from __future__ import annotations

import functools

import numpy as np

from chaindp.kernels.fri import DEGREE
from chaindp_opencl.fields import Arithmetic, montgomery, powers
from chaindp_opencl.memory import Buffer

__all__ = ["Folding"]

ELEMENT_BYTES = 4 * DEGREE


class Folding:
    """Folds of codewords over one field's extension of degree 4."""

    def __init__(self, arithmetic: Arithmetic) -> None:
        self._arithmetic = arithmetic
        # By log2 of the codeword's length.
        self._points = functools.cache(self._powers)

    def fold(self, codeword: Buffer, challenge: np.ndarray, shift: int) -> Buffer:
        """The codeword uint32[n,4], canonical elements on the coset of ``shift``, folded to uint32[n/2,4]."""
        arithmetic = self._arithmetic
        memory, half = arithmetic.memory, len(codeword) // 2
        matrix = self._matrix(challenge, shift)
        if arithmetic.fits(codeword.nbytes):
            return self._part(codeword, codeword, half, matrix, 0, half, half)
        host = memory.download(codeword)

        def submit(first: int, last: int) -> Buffer:
            low, high = (memory.send(host[start + first : start + last]) for start in (0, half))
            return self._part(low, high, 0, matrix, first, last - first, half)

        return arithmetic.streamed(np.empty((half, DEGREE), np.uint32), 3 * ELEMENT_BYTES, submit)

    def _part(
        self, low: Buffer, high: Buffer, high_at: int, matrix: np.ndarray, first: int, count: int, half: int
    ) -> Buffer:
        """Results first..first+count of ``half``: of the elements of ``low``, and of ``high`` from ``high_at`` on."""
        arithmetic = self._arithmetic
        memory, u = arithmetic.memory, np.uint64
        folded = arithmetic.result((count, DEGREE))
        near, far, bits = self._points((2 * half).bit_length() - 1)
        event = arithmetic.run(
            arithmetic.program("fri.cl", arithmetic.lanes), "fold", -(-count // arithmetic.lanes),
            memory.on_device(low), u(0), memory.on_device(high), u(DEGREE * high_at), folded.device, u(first), u(count),
            memory.on_device(memory.on_host(matrix)), near.device, far.device, np.uint32(bits),
            wait_for=[*(low.events() or ()), *(high.events() or ())],
        )  # fmt: skip
        return memory.publish(folded, event)

    def _powers(self, log2_size: int) -> tuple[Buffer, Buffer, int]:
        """Powers of the inverse root of that order: the first 2^bits, and of its 2^bits-th power those that, times
        these, make half of all; and bits.
        """
        known = self._arithmetic.field
        root = pow(known.root_of_unity(log2_size), -1, known.prime)
        bits = log2_size // 2
        near = powers(root, 1 << bits, known)
        far = powers(pow(root, 1 << bits, known.prime), 1 << (log2_size - 1 - bits), known)
        return self._arithmetic.constants(near), self._arithmetic.constants(far), bits

    def _matrix(self, challenge: np.ndarray, shift: int) -> np.ndarray:
        """uint32[16]: row j has the coefficients of challenge X^j / 2 shift, times R."""
        known = self._arithmetic.field
        p, over = known.prime, pow(2 * shift, -1, known.prime)
        row, rows = [int(value) * over % p for value in challenge], []
        for _ in range(DEGREE):
            rows += [montgomery(value, known) for value in row]
            row = [row[-1] * known.extension % p, *row[:-1]]
        return np.array(rows, dtype=np.uint32)
