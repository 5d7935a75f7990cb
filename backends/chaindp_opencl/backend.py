"""The OpenCL backend: one open device."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from chaindp.backend import Backend, BackendOptions, DeviceTimes
from chaindp.errors import InputError, PluginError
from chaindp.kernels import checks
from chaindp.kernels.fields import FIELDS, Field, elements, field_named
from chaindp.kernels.fri import DEGREE, check_codeword
from chaindp.kernels.lde import check_blowup, check_shift
from chaindp.kernels.ntt import check_length
from chaindp.kernels.poseidon2 import WIDTH, instance_of
from chaindp_opencl import driver, tuning
from chaindp_opencl.fields import Arithmetic
from chaindp_opencl.folding import Folding
from chaindp_opencl.hashing import Cores, Hasher
from chaindp_opencl.memory import Buffer, Limits, Memory
from chaindp_opencl.permutations import Permutations
from chaindp_opencl.program import build
from chaindp_opencl.queues import Queues
from chaindp_opencl.transforms import Transforms
from chaindp_opencl.trees import Trees

__all__ = ["OpenClBackend", "limits_of"]

RESIDENT_SHARE = 8
"""A kernel's arguments, results and scratch are a few arrays: each may have this part of the device's memory."""

CHUNK, STAGING, MESSAGE = 256 << 20, 16 << 20, 64 << 20


def limits_of(device: driver.OpenClDevice) -> Limits:
    """How large arrays may be on a device: its memory, shared by a few of them, and its largest single buffer."""
    # Pools round up, by a sixteenth at most.
    most = min(device.max_alloc_bytes // 16 * 15, device.global_bytes // RESIDENT_SHARE) - 4096
    return Limits(
        resident=max(most, 1),
        chunk=max(min(CHUNK, most // 4), 4096),
        staging=max(min(STAGING, most // 8), 4096),
        message=max(most if device.kind == "cpu" else min(MESSAGE, most), 1),
    )


@dataclass(frozen=True, slots=True)
class _FieldKernels:
    """The kernels over one field."""

    permutations: Permutations
    transforms: Transforms
    folding: Folding

    @classmethod
    def of(cls, arithmetic: Arithmetic) -> _FieldKernels:
        return cls(Permutations(arithmetic), Transforms(arithmetic), Folding(arithmetic))


class OpenClBackend(Backend):
    """Kernels on one OpenCL device. Calls from several threads go through a queue each.

    limits, unified: instead of what follows from the device; for tests of what large batches and other devices do
    """

    def __init__(
        self, name: str, options: BackendOptions, *, limits: Limits | None = None, unified: bool | None = None
    ) -> None:
        super().__init__(name, options)
        self._cl = driver.load()
        self.hardware = driver.select(options.device)
        for kernel in options.tuning:
            if kernel not in tuning.TUNED:
                raise PluginError(f"opencl: {kernel} has no tuning; there is {', '.join(tuning.TUNED)}")
        self._tuning = tuning.effective(self.hardware, options.tuning)
        units = self.hardware.compute_units
        limited = self.hardware.kind == "cpu" and options.threads < units
        self._cores = Cores(options.threads if limited else units, limited)
        with driver.guarded(self.label, "opening a context"):
            context = self._cl.Context([self.hardware.handle])
        self.queues = Queues(context, self.label, profile=options.profile)
        self.memory = Memory(
            self.queues,
            self.label,
            # An integrated GPU shares the host's memory, too, but not at any address: its driver may copy behind our
            # back, so there we copy ourselves, and know what it takes.
            unified=self.hardware.unified and self.hardware.kind == "cpu" if unified is None else unified,
            limits=limits or limits_of(self.hardware),
            threads=options.threads,
        )
        self._hashers: dict[str, Hasher] = {}
        self._trees: Trees | None = None
        self._fields: dict[str, _FieldKernels] = {}

    def warm_up(self, kernels: Sequence[str]) -> None:
        """Build the programs of the named kernels, and run them once: drivers finish compiling at the first run."""
        trees = any(kernel.startswith("merkle") or kernel == "trie_hash" for kernel in kernels)
        for name in ("keccak256", "sha256"):
            if trees or name in kernels:
                self.download(self._hash(name, np.zeros(200, np.uint8), np.array([0, 64, 200], np.int64)))
                self.download(self._hash(name, np.zeros(64, np.uint8), np.array([0, 64], np.int64)))
        if trees:
            self.download(self.merkle_tree(np.zeros((2, 32), np.uint8), "sha256"))
            nodes = self.merkle_tree(np.zeros((2, 32), np.uint8))
            first = np.zeros(1, np.int64)
            self.download(self.merkle_open(nodes, 2, first))
            self.download(self.merkle_update(nodes, 2, first, np.zeros((1, 32), np.uint8))[1])
            holes = (np.array([0, 32, 64], np.int64), np.arange(3, dtype=np.int64), np.array([32], np.int64), first)
            self.download(self.trie_hash(np.zeros(64, np.uint8), *holes))
        for field in FIELDS:
            self._warm_up_field(kernels, field)

    def _warm_up_field(self, kernels: Sequence[str], field: str) -> None:
        if "poseidon2" in kernels:
            self.download(self.poseidon2(np.zeros((1, WIDTH), np.uint32), field))
        if "fri_fold" in kernels:
            codeword = np.zeros((2, DEGREE), np.uint32)
            self.download(self.fri_fold(codeword, codeword[0].copy(), 1, field))
        # Rows that are too short for vectors, and rows that are not.
        for values in (np.zeros((1, 2), np.uint32), np.zeros((1, 512), np.uint32)):
            for kernel, more in (("ntt", ()), ("intt", ()), ("lde", (2, 3))):
                if kernel in kernels:
                    self.download(self.kernel(kernel)(values, *more, field))

    def close(self) -> None:
        """Give the device's memory back."""
        self.memory.close()

    def synchronize(self) -> None:
        """Wait for what the calling thread submitted."""
        self.queues.finish()

    def take_device_times(self) -> DeviceTimes | None:
        """Times of kernels and copies by the device's clock since the last call."""
        return self.queues.take_times()

    def upload(self, array: np.ndarray) -> Buffer:
        """A buffer of this device."""
        return self.memory.upload(array)

    def download(self, buffer: Any) -> np.ndarray:
        """The array of a buffer of this device."""
        return self.memory.download(buffer)

    # arguments --------------------------------------------------------------------------------------------------------

    def _buffer(self, value: Any, name: str, shape: tuple[int | None, ...]) -> Buffer:
        """``value``, a uint8 array or a buffer of this device, as a buffer of ``shape``; InputError otherwise."""
        if isinstance(value, Buffer) and value.owner is self.memory:
            checks.form(value.dtype, value.shape, name, np.uint8, shape)
            return value
        return self.memory.upload(checks.array(self._foreign(value), name, np.uint8, shape))

    def _array(self, value: Any) -> Any:
        """The array of a buffer, which the host then checks; anything else as it is."""
        if isinstance(value, Buffer) and value.owner is self.memory:
            return self.memory.download(value)
        return self._foreign(value)

    def _foreign(self, value: Any) -> Any:
        if isinstance(value, Buffer):
            raise InputError(f"opencl device {self.label}: a buffer of another device was given")
        return value

    def _elements(self, value: Any, name: str, shape: tuple[int | None, ...], field: Field) -> Buffer:
        """``value``, canonical elements in an array or a buffer of this device, as a buffer; InputError otherwise."""
        if isinstance(value, Buffer) and value.owner is self.memory:
            checks.form(value.dtype, value.shape, name, np.uint32, shape)
            # What kernels of this field returned needs no look, and so none of the waiting for it.
            if value.below is None or value.below > field.prime:
                elements(self.memory.download(value), name, shape, field)
            return value
        return self.memory.upload(elements(self._foreign(value), name, shape, field))

    def _hasher(self, name: str) -> Hasher:
        if checks.hash_name(name) not in self._hashers:
            self._hashers[name] = Hasher(name, self.hardware, self._cores, self._tuning[name], self.queues, self.memory)
        return self._hashers[name]

    def _tree_kernels(self) -> Trees:
        if self._trees is None:
            program = build(self.queues.context, self.hardware, self.label, "nodes.cl", {})
            if self.hardware.kind == "cpu":
                spread = self._cores.count * (1 if self._cores.limited else 8)
                self._trees = Trees(program, self.queues, self.memory, spread, 1)
            else:
                self._trees = Trees(program, self.queues, self.memory, 1 << 16, 128)
        return self._trees

    def _field_kernels(self, field: Field) -> _FieldKernels:
        if field.name not in self._fields:
            arithmetic = Arithmetic(field, self.hardware, self._cores, self.queues, self.memory)
            self._fields[field.name] = _FieldKernels.of(arithmetic)
        return self._fields[field.name]

    # kernels ----------------------------------------------------------------------------------------------------------

    def _hash(self, name: str, data: Any, offsets: Any) -> Buffer:
        buffer = self._buffer(data, "data", (None,))
        return self._hasher(name).hash(buffer, checks.array(self._array(offsets), "offsets", np.int64, (None,)))

    def keccak256(self, data: Any, offsets: Any) -> Buffer:
        """Digests uint8[N,32] of N ragged messages."""
        return self._hash("keccak256", data, offsets)

    def sha256(self, data: Any, offsets: Any) -> Buffer:
        """Digests uint8[N,32] of N ragged messages."""
        return self._hash("sha256", data, offsets)

    def merkle_tree(self, leaves: Any, hash_name: str = "keccak256") -> Buffer:
        """All nodes of the tree, built on the device level after level."""
        hasher = self._hasher(hash_name)
        buffer = self._buffer(leaves, "leaves", (None, 32))
        if not len(buffer):
            return self.memory.on_host(np.zeros((1, 32), np.uint8))
        return self._tree_kernels().build(buffer, hasher)

    def merkle_update(
        self, nodes: Any, leaf_count: Any, indices: Any, leaves: Any, hash_name: str = "keccak256"
    ) -> tuple[Buffer, Buffer]:
        """Positions int64[C] and digests uint8[C,32] of the nodes that change with the leaves at ``indices``."""
        hasher = self._hasher(hash_name)
        stored = self._buffer(nodes, "nodes", (None, 32))
        leaf_count = checks.tree_leaves(leaf_count, len(stored))
        indices = checks.indices(self._array(indices), leaf_count, increasing=True)
        fresh = self._buffer(leaves, "leaves", (len(indices), 32))
        return self._tree_kernels().update(stored, leaf_count, indices, fresh, hasher)

    def merkle_open(self, nodes: Any, leaf_count: Any, indices: Any, hash_name: str = "keccak256") -> Buffer:
        """Sibling paths uint8[K,depth,32] of the leaves at ``indices``, deepest first."""
        hasher = self._hasher(hash_name)
        stored = self._buffer(nodes, "nodes", (None, 32))
        leaf_count = checks.tree_leaves(leaf_count, len(stored))
        indices = checks.indices(self._array(indices), leaf_count, increasing=False)
        return self._tree_kernels().open(stored, leaf_count, indices, hasher)

    def trie_hash(self, encodings: Any, offsets: Any, level_offsets: Any, splice_at: Any, splice_child: Any) -> Buffer:
        """Digests uint8[N,32] of trie nodes, level after level, child digests spliced in on the device."""
        buffer = self._buffer(encodings, "encodings", (None,))
        offsets = checks.message_offsets(self._array(offsets), buffer.nbytes, "encodings")
        levels = checks.level_bounds(self._array(level_offsets), len(offsets) - 1)
        at, child = checks.splices(offsets, levels, self._array(splice_at), self._array(splice_child))
        return self._tree_kernels().trie(buffer, offsets, levels, at, child, self._hasher("keccak256"))

    def poseidon2(self, states: Any, field: str = "babybear") -> Buffer:
        """The permuted states uint32[N,16]."""
        known = instance_of(field).field
        return self._field_kernels(known).permutations.permute(self._elements(states, "states", (None, WIDTH), known))

    def ntt(self, values: Any, field: str = "babybear") -> Buffer:
        """The transforms of the rows of uint32[columns,n], in natural order."""
        known = field_named(field)
        buffer = self._elements(values, "values", (None, None), known)
        return self._field_kernels(known).transforms.ntt(buffer, check_length(buffer.shape[1], known))

    def intt(self, values: Any, field: str = "babybear") -> Buffer:
        """The coefficients that the rows of uint32[columns,n] are the transforms of."""
        known = field_named(field)
        buffer = self._elements(values, "values", (None, None), known)
        return self._field_kernels(known).transforms.intt(buffer, check_length(buffer.shape[1], known))

    def lde(self, values: Any, blowup: Any, shift: Any, field: str = "babybear") -> Buffer:
        """The rows of uint32[columns,n], extended to uint32[columns,n * blowup] on the coset of ``shift``."""
        known = field_named(field)
        buffer = self._elements(values, "values", (None, None), known)
        log2_size = check_length(buffer.shape[1], known)
        blowup = check_blowup(blowup, log2_size, known)
        shift = check_shift(shift, known)
        return self._field_kernels(known).transforms.lde(buffer, log2_size, blowup.bit_length() - 1, shift)

    def fri_fold(self, codeword: Any, challenge: Any, shift: Any, field: str = "babybear") -> Buffer:
        """The codeword uint32[n,4] on the coset of ``shift``, folded to uint32[n/2,4]."""
        known = field_named(field)
        buffer = self._elements(codeword, "codeword", (None, DEGREE), known)
        challenge = elements(self._array(challenge), "challenge", (DEGREE,), known)
        check_codeword(len(buffer), known)
        return self._field_kernels(known).folding.fold(buffer, challenge, check_shift(shift, known))
