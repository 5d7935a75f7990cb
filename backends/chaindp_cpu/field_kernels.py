"""The field kernels of both devices: arguments checked, work cut into shares, results in fresh memory."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from chaindp.kernels.fields import FIELDS, elements
from chaindp.kernels.fri import DEGREE, check_fold
from chaindp.kernels.lde import check_lde
from chaindp.kernels.ntt import check_ntt
from chaindp.kernels.poseidon2 import WIDTH, instance_of

__all__ = ["FIELD_KERNELS", "ScalarFields", "VectorFields"]

FIELD_KERNELS = {
    "poseidon2": "poseidon2",
    "ntt": "transforms",
    "intt": "transforms",
    "lde": "transforms",
    "fri_fold": "fri",
}
"""The kernels, and the module that has each one's vector code."""

LEAST_STATES = 512
"""Permutations that a second thread must be able to take over: about 50 us, several times what waking it costs."""

LEAST_ELEMENTS = 1 << 14
"""Elements of transforms, and results of folds, likewise."""


def _module(name: str) -> Any:
    # On demand: importing one compiles it or loads it from the disk cache.
    return importlib.import_module(f"chaindp_cpu.{name}")


class VectorFields:
    """Of the vectorized device, which says how to run a job's shares."""

    def _run(self, job: Callable[[int, int], None], shares: Sequence[tuple[int, int]]) -> None:
        raise NotImplementedError

    def _shares(self, count: int, step: int, least: int) -> list[tuple[int, int]]:
        raise NotImplementedError

    def poseidon2(self, states: np.ndarray, field: str = "babybear") -> np.ndarray:
        """The permuted states uint32[N,16]."""
        states = elements(states, "states", (None, WIDTH), instance_of(field).field)
        module = _module("poseidon2")
        permuted = np.empty_like(states)
        source, target = states.reshape(-1), permuted.reshape(-1)

        def job(first: int, last: int) -> None:
            module.permute(source, target, first, last, field)

        self._run(job, self._shares(len(states), module.GROUP, LEAST_STATES))
        return permuted

    def _row_shares(self, columns: int, length: int) -> list[tuple[int, int]]:
        """Short rows are transformed sixteen at a time."""
        step = 16 if length < 256 else 1
        return self._shares(columns, step, max(step, LEAST_ELEMENTS // length))

    def _transform(self, values: np.ndarray, log2_size: int, field: str, *, inverse: bool) -> np.ndarray:
        module, known = _module("transforms"), FIELDS[field]
        out = np.empty_like(values)
        source, target = values.reshape(-1), out.reshape(-1)
        options = {"inverse": True, "scale": module.inverse_scale(log2_size, known)} if inverse else {}

        def job(first: int, last: int) -> None:
            module.Transform(known, log2_size, **options).run(source, target, first, last)

        self._run(job, self._row_shares(*values.shape))
        return out

    def ntt(self, values: np.ndarray, field: str = "babybear") -> np.ndarray:
        """The transforms of the rows of uint32[columns,n], in natural order."""
        return self._transform(*check_ntt(values, field), field, inverse=False)

    def intt(self, values: np.ndarray, field: str = "babybear") -> np.ndarray:
        """The coefficients that the rows of uint32[columns,n] are the transforms of."""
        return self._transform(*check_ntt(values, field), field, inverse=True)

    def lde(self, values: np.ndarray, blowup: int, shift: int, field: str = "babybear") -> np.ndarray:
        """The rows of uint32[columns,n], extended to uint32[columns,n * blowup] on the coset of ``shift``."""
        values, blowup, shift = check_lde(values, blowup, shift, field)
        module, known = _module("transforms"), FIELDS[field]
        columns, length = values.shape
        log2_size, log2_blowup = length.bit_length() - 1, blowup.bit_length() - 1
        out = np.empty((columns, length * blowup), dtype=np.uint32)
        source, target = values.reshape(-1), out.reshape(-1)
        scale = module.coset_scale(shift, log2_size, known)

        def job(first: int, last: int) -> None:
            module.Extension(known, log2_size, log2_blowup, scale).run(source, target, first, last)

        self._run(job, self._row_shares(columns, length * blowup))
        return out

    def fri_fold(self, codeword: np.ndarray, challenge: np.ndarray, shift: int, field: str = "babybear") -> np.ndarray:
        """The codeword uint32[n,4] on the coset of ``shift``, folded to uint32[n/2,4]."""
        codeword, challenge, shift = check_fold(codeword, challenge, shift, field)
        module = _module("fri")
        folded = np.empty((len(codeword) // 2, DEGREE), dtype=np.uint32)
        source, target = codeword.reshape(-1), folded.reshape(-1)

        def job(first: int, last: int) -> None:
            module.fold(source, challenge, shift, FIELDS[field], target, first, last)

        self._run(job, self._shares(len(folded), module.TOGETHER, LEAST_ELEMENTS))
        return folded


class ScalarFields:
    """Of the scalar device: one after another, on the calling thread."""

    def poseidon2(self, states: np.ndarray, field: str = "babybear") -> np.ndarray:
        """The permuted states uint32[N,16]."""
        states = elements(states, "states", (None, WIDTH), instance_of(field).field)
        permuted = np.empty_like(states)
        _module("scalar_fields").permute_all(states.reshape(-1), permuted.reshape(-1), FIELDS[field])
        return permuted

    def ntt(self, values: np.ndarray, field: str = "babybear") -> np.ndarray:
        """The transforms of the rows of uint32[columns,n], in natural order."""
        values, log2_size = check_ntt(values, field)
        out, known = np.empty_like(values), FIELDS[field]
        root = known.root_of_unity(log2_size)
        _module("scalar_fields").transform_all(values.reshape(-1), out.reshape(-1), log2_size, known, root)
        return out

    def intt(self, values: np.ndarray, field: str = "babybear") -> np.ndarray:
        """The coefficients that the rows of uint32[columns,n] are the transforms of."""
        values, log2_size = check_ntt(values, field)
        out, known = np.empty_like(values), FIELDS[field]
        root = pow(known.root_of_unity(log2_size), -1, known.prime)
        _module("scalar_fields").transform_all(
            values.reshape(-1), out.reshape(-1), log2_size, known, root, factor=pow(1 << log2_size, -1, known.prime)
        )
        return out

    def lde(self, values: np.ndarray, blowup: int, shift: int, field: str = "babybear") -> np.ndarray:
        """The rows of uint32[columns,n], extended to uint32[columns,n * blowup] on the coset of ``shift``."""
        values, blowup, shift = check_lde(values, blowup, shift, field)
        coefficients, known = self.intt(values, field), FIELDS[field]
        columns, length = values.shape
        padded = np.zeros((columns, length * blowup), dtype=np.uint32)
        padded[:, :length] = coefficients
        out = np.empty_like(padded)
        log2_size = (length * blowup).bit_length() - 1
        root = known.root_of_unity(log2_size)
        _module("scalar_fields").transform_all(padded.reshape(-1), out.reshape(-1), log2_size, known, root, shift)
        return out

    def fri_fold(self, codeword: np.ndarray, challenge: np.ndarray, shift: int, field: str = "babybear") -> np.ndarray:
        """The codeword uint32[n,4] on the coset of ``shift``, folded to uint32[n/2,4]."""
        codeword, challenge, shift = check_fold(codeword, challenge, shift, field)
        folded = np.empty((len(codeword) // 2, DEGREE), dtype=np.uint32)
        _module("scalar_fields").fold(codeword.reshape(-1), challenge, shift, FIELDS[field], folded.reshape(-1))
        return folded
