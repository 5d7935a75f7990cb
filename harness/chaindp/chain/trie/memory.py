"""Two things that numba has no word for: fetching a cache line ahead of its use, and copying bytes as the machine
does.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.typing import signature
from numba.extending import intrinsic

__all__ = ["copy_bytes", "prefetch"]

_I32 = ir.IntType(32)
_BYTES = ir.IntType(8).as_pointer()


def _address(context: Any, builder: Any, array_type: Any, array: Any, index: Any) -> Any:
    data = context.make_array(array_type)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [index]), _BYTES)


@intrinsic
def prefetch(_typing: Any, array: Any, index: Any) -> Any:
    """Ask for the cache line of ``array[index]`` (flat index into a C-contiguous array); no fault wherever that is."""

    def generate(context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        where = _address(context, builder, array, args[0], args[1])
        kind = ir.FunctionType(ir.VoidType(), [_BYTES, _I32, _I32, _I32])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        # A read, to be kept in all cache levels, of data.
        builder.call(function, [where, _I32(0), _I32(3), _I32(1)])
        return context.get_dummy_value()

    return signature(types.void, array, types.intp), generate


@intrinsic
def copy_bytes(_typing: Any, target: Any, at: Any, source: Any, start: Any, count: Any) -> Any:
    """``target[at:at+count] = source[start:start+count]`` for uint8 arrays, flat indices; the two must not overlap."""

    def generate(context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        to = _address(context, builder, target, args[0], args[1])
        come = _address(context, builder, source, args[2], args[3])
        cgutils.raw_memcpy(builder, to, come, args[4], 1)
        return context.get_dummy_value()

    return signature(types.void, target, types.intp, source, types.intp, types.intp), generate
