"""Signature recovery with libsecp256k1, which coincurve ships: called straight from compiled code.

Through coincurve's Python objects a recovery holds the GIL between three short C calls. Here a loop without the GIL
calls the library's functions by address, so that threads run side by side.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from chaindp_cpu.simd import BYTES_IN, BYTES_OUT, INT, copy_bytes, kernel

__all__ = ["Library", "library", "recover_keys"]

_UNCOMPRESSED = 0x02
"""SECP256K1_EC_UNCOMPRESSED of secp256k1.h."""


class Library(NamedTuple):
    """Addresses in this process: a context that is only read, and the three functions."""

    context: int
    parse: int
    recover: int
    serialize: int


@functools.cache
def library() -> Library:
    """libsecp256k1 as coincurve loaded it."""
    from coincurve._libsecp256k1 import ffi, lib
    from coincurve.context import GLOBAL_CONTEXT

    def address(name: str) -> int:
        return int(ffi.cast("uintptr_t", ffi.addressof(lib, name)))

    return Library(
        int(ffi.cast("uintptr_t", GLOBAL_CONTEXT.ctx)),
        address("secp256k1_ecdsa_recoverable_signature_parse_compact"),
        address("secp256k1_ecdsa_recover"),
        address("secp256k1_ec_pubkey_serialize"),
    )


@intrinsic
def _call(_typing: Any, function: Any, arguments: Any) -> Any:
    """Call the C function at an address, with a tuple of integers and addresses as arguments and an int as result."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        word = ir.IntType(64)
        values = [builder.extract_value(args[1], i) for i in range(len(arguments))]
        kind = ir.FunctionType(ir.IntType(32), [word] * len(values))
        target = builder.inttoptr(args[0], kind.as_pointer())
        return builder.sext(builder.call(target, values), word)

    return types.int64(function, arguments), generate


@kernel(types.void(INT, INT, INT, INT, BYTES_IN, BYTES_IN, INT, INT, BYTES_OUT, BYTES_OUT, BYTES_OUT))
def recover_keys(
    context: int,
    parse: int,
    recover: int,
    serialize: int,
    digests: np.ndarray,
    signatures: np.ndarray,
    first: int,
    last: int,
    keys: np.ndarray,
    ok: np.ndarray,
    room: np.ndarray,
) -> None:
    """Public keys of signatures ``first`` to ``last``: 64 bytes x || y each to flat ``keys``, 1 or 0 to ``ok``.

    ``room`` is 256 bytes of scratch, 16-byte aligned, which the caller keeps alive: here only its address is used.
    """
    signature = room.ctypes.data
    key = signature + 80
    length = key + 64
    text = length + 16
    for i in range(first, last):
        ok[i] = 0
        parity = np.int64(signatures[65 * i + 64])
        # A recovery id beyond 3 makes the library abort, and 2 or 3 is no y-parity.
        if parity > 1:
            continue
        compact = signatures.ctypes.data + 65 * i
        if _call(parse, (context, signature, compact, parity)) != 1:
            continue
        if _call(recover, (context, key, signature, digests.ctypes.data + 32 * i)) != 1:
            continue
        room[144] = 65
        for j in range(145, 152):
            room[j] = 0
        _call(serialize, (context, text, length, key, _UNCOMPRESSED))
        # The first byte is the format, 0x04.
        copy_bytes(room, 161, keys, 64 * i, 64)
        ok[i] = 1
