"""Which instructions a contract's code contains: what decides how the engine may run it."""

from __future__ import annotations

__all__ = [
    "BASEFEE",
    "BLOCKHASH",
    "GASPRICE",
    "NEEDS_ISOLATION",
    "instructions",
    "mask_of",
]

BALANCE, GASPRICE, EXTCODESIZE, EXTCODECOPY, EXTCODEHASH = 0x31, 0x3A, 0x3B, 0x3C, 0x3F
BLOCKHASH, GASLIMIT, BASEFEE = 0x40, 0x45, 0x48
CREATE, CALL, CALLCODE, DELEGATECALL, CREATE2, STATICCALL, SELFDESTRUCT = 0xF0, 0xF1, 0xF2, 0xF4, 0xF5, 0xFA, 0xFF


def mask_of(*opcodes: int) -> int:
    """A set of opcodes as the bits of an integer."""
    mask = 0
    for opcode in opcodes:
        mask |= 1 << opcode
    return mask


NEEDS_ISOLATION = mask_of(
    BALANCE, EXTCODESIZE, EXTCODECOPY, EXTCODEHASH, BLOCKHASH, GASLIMIT, BASEFEE,
    CREATE, CALL, CALLCODE, DELEGATECALL, CREATE2, STATICCALL, SELFDESTRUCT,
)  # fmt: skip
"""Instructions that reach beyond the contract's own account, or see what the shared EVM does not hold."""


def instructions(code: bytes) -> int:
    """The opcodes of ``code`` as bits, push data skipped.

    A linear sweep is exact: a jump can only land on a JUMPDEST that this same sweep finds (Yellow Paper, 9.4.3).
    """
    mask = 0
    position, size = 0, len(code)
    while position < size:
        opcode = code[position]
        mask |= 1 << opcode
        position += opcode - 0x5E if 0x60 <= opcode <= 0x7F else 1
    return mask
