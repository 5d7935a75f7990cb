"""What the CPU kernels are made with: compilation through numba, and LLVM vector code emitted from Python.

The hash kernels work on several messages at once, one in each lane of a vector. Their inner loops are emitted as LLVM
vector instructions rather than left to the auto-vectorizer, so that what comes out does not hang on its cost model:
LLVM lowers the same code to AVX-512 (``vprolq``, ``vpternlogq``), to AVX2 or to anything else.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from llvmlite import binding, ir
from numba import config, types
from numba.core import cgutils
from numba.extending import intrinsic

from chaindp.kernels.compilation import compiled

__all__ = [
    "BYTES_IN",
    "BYTES_OUT",
    "INT",
    "INTS_IN",
    "INTS_OUT",
    "WORDS32",
    "WORDS32_IN",
    "WORDS64",
    "WORDS64_IN",
    "Lanes",
    "copy_bytes",
    "data_pointer",
    "has_feature",
    "has_wide_vectors",
    "kernel",
]

# Inputs are typed read-only: a writeable array converts, so one compiled version serves both.
BYTES_IN = types.Array(types.uint8, 1, "C", readonly=True)
BYTES_OUT = types.Array(types.uint8, 1, "C")
INTS_IN = types.Array(types.int64, 1, "C", readonly=True)
INTS_OUT = types.Array(types.int64, 1, "C")
WORDS32 = types.Array(types.uint32, 1, "C")
WORDS32_IN = types.Array(types.uint32, 1, "C", readonly=True)
WORDS64 = types.Array(types.uint64, 1, "C")
WORDS64_IN = types.Array(types.uint64, 1, "C", readonly=True)
INT = types.int64

_I32 = ir.IntType(32)

F = TypeVar("F", bound=Callable[..., Any])


def kernel(signature: Any) -> Callable[[F], F]:
    """Compile a function for ``signature`` now, or load it from the disk cache. Compiled code runs without the GIL."""

    def compile_now(function: F) -> F:
        dispatcher = compiled(function)
        dispatcher.compile(signature)
        dispatcher.disable_compile()
        return dispatcher  # type: ignore[no-any-return]

    return compile_now


def has_feature(name: str) -> bool:
    """Whether code is compiled for a CPU with the feature that LLVM calls ``name``."""
    features = config.CPU_FEATURES
    if features is None:
        features = binding.get_host_cpu_features().flatten()
    return f"+{name}" in features.split(",")


def has_wide_vectors() -> bool:
    """Whether there is AVX-512: 32 registers of 512 bits, rotation and three-input logic in one instruction."""
    return has_feature("avx512f")


def data_pointer(context: Any, builder: ir.IRBuilder, array_type: Any, array: Any) -> ir.Value:
    """The address of a numba array's first byte."""
    pointer = context.make_array(array_type)(context, builder, array).data
    return builder.bitcast(pointer, ir.IntType(8).as_pointer())


class Lanes:
    """Emits operations on vectors of ``count`` lanes of ``bits`` each; one lane means plain scalar code."""

    def __init__(self, builder: ir.IRBuilder, bits: int, count: int) -> None:
        self.builder = builder
        self.bits = bits
        self.count = count
        self.element = ir.IntType(bits)
        self.type = ir.VectorType(self.element, count) if count > 1 else self.element
        self._suffix = f"v{count}i{bits}" if count > 1 else f"i{bits}"

    def constant(self, value: int) -> ir.Constant:
        """``value`` in every lane."""
        return ir.Constant(self.type, [value] * self.count if self.count > 1 else value)

    def splat(self, scalar: ir.Value) -> ir.Value:
        """A run-time scalar in every lane."""
        if self.count == 1:
            return scalar
        undefined = ir.Constant(self.type, ir.Undefined)
        vector = self.builder.insert_element(undefined, scalar, ir.Constant(_I32, 0))
        return self.builder.shuffle_vector(
            vector, undefined, ir.Constant(ir.VectorType(_I32, self.count), [0] * self.count)
        )

    def _intrinsic(self, name: str, *operands: ir.Value) -> ir.Value:
        signature = ir.FunctionType(self.type, [self.type] * len(operands))
        function = cgutils.get_or_insert_function(self.builder.module, signature, f"llvm.{name}.{self._suffix}")
        return self.builder.call(function, operands)

    def rotate_left(self, value: ir.Value, by: int) -> ir.Value:
        """Rotate every lane left."""
        return self._intrinsic("fshl", value, value, self.constant(by)) if by % self.bits else value

    def swap_bytes(self, value: ir.Value) -> ir.Value:
        """Reverse the bytes of every lane."""
        return self._intrinsic("bswap", value)

    def minimum(self, first: ir.Value, second: ir.Value) -> ir.Value:
        """The lesser unsigned number of every lane."""
        return self._intrinsic("umin", first, second)

    def xor(self, first: ir.Value, *others: ir.Value) -> ir.Value:
        """Exclusive or of two or more values."""
        for other in others:
            first = self.builder.xor(first, other)
        return first

    def at(self, base: ir.Value, offset: ir.Value | int) -> ir.Value:
        """The address ``offset`` bytes after ``base``."""
        return self.builder.gep(base, [ir.Constant(ir.IntType(64), offset) if isinstance(offset, int) else offset])

    def load(self, address: ir.Value, offset: ir.Value | int = 0) -> ir.Value:
        """One vector from memory of any alignment."""
        return self.builder.load(self.builder.bitcast(self.at(address, offset), self.type.as_pointer()), align=1)

    def store(self, value: ir.Value, address: ir.Value, offset: ir.Value | int = 0) -> None:
        """One vector to memory of any alignment."""
        self.builder.store(value, self.builder.bitcast(self.at(address, offset), self.type.as_pointer()), align=1)

    def shuffle(self, first: ir.Value, second: ir.Value, lanes: Sequence[int]) -> ir.Value:
        """The lanes of ``first`` and ``second``, numbered through, that ``lanes`` lists."""
        return self.builder.shuffle_vector(first, second, ir.Constant(ir.VectorType(_I32, len(lanes)), list(lanes)))

    def transpose(self, rows: Sequence[ir.Value]) -> list[ir.Value]:
        """``count`` rows to ``count`` columns: log2(count) passes that exchange blocks of lanes between rows."""
        rows = list(rows)
        distance = 1
        while distance < self.count:
            low = [lane if not lane & distance else self.count + lane - distance for lane in range(self.count)]
            high = [lane + distance if not lane & distance else self.count + lane for lane in range(self.count)]
            for i in range(self.count):
                if not i & distance:
                    a, b = rows[i], rows[i + distance]
                    rows[i], rows[i + distance] = self.shuffle(a, b, low), self.shuffle(a, b, high)
            distance *= 2
        return rows

    def in_parts(
        self, width: int, emit: Callable[[Lanes, list[ir.Value]], list[ir.Value]], values: Sequence[ir.Value]
    ) -> list[ir.Value]:
        """``emit`` over ``values`` at most ``width`` lanes at a time: what a narrower vector unit can keep in
        registers.
        """
        if self.count <= width:
            return emit(self, list(values))
        half = self.count // 2
        part = Lanes(self.builder, self.bits, half)
        low = part.in_parts(width, emit, [self.shuffle(v, v, range(half)) for v in values])
        high = part.in_parts(width, emit, [self.shuffle(v, v, range(half, self.count)) for v in values])
        return [part.shuffle(a, b, range(self.count)) for a, b in zip(low, high, strict=True)]


@intrinsic
def copy_bytes(_typing: Any, source: Any, source_at: Any, target: Any, target_at: Any, count: Any) -> Any:
    """Copy ``count`` bytes between arrays, offsets in bytes, unchecked. Assigning slices would copy byte by byte."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        v = Lanes(builder, 8, 1)
        read = v.at(data_pointer(context, builder, signature.args[0], args[0]), args[1])
        write = v.at(data_pointer(context, builder, signature.args[2], args[2]), args[3])
        cgutils.raw_memcpy(builder, write, read, args[4], 1)
        return context.get_dummy_value()

    return types.void(source, source_at, target, target_at, count), generate
