"""Assembles ``NAME.asm`` to runtime code in hex: ``python assemble.py Registry.asm``. See README.md.

A line has mnemonics, ``name:`` for a place to jump to (a JUMPDEST), ``:name`` for its offset (one byte, pushed), and
``0x...`` for a constant, which is pushed as it is written, zeros included. What is behind a semicolon is a remark.
Opcodes: the Ethereum yellow paper, appendix H; SHR is EIP-145, PUSH0 is not used.
"""

from __future__ import annotations

import sys
from pathlib import Path

OPCODES = {
    "STOP": 0x00, "LT": 0x10, "EQ": 0x14, "SHR": 0x1C, "KECCAK256": 0x20, "CALLDATALOAD": 0x35, "CALLDATASIZE": 0x36,
    "CALLDATACOPY": 0x37, "SLOAD": 0x54, "SSTORE": 0x55, "JUMPI": 0x57, "DUP1": 0x80, "SWAP1": 0x90, "LOG1": 0xA1,
    "REVERT": 0xFD,
}  # fmt: skip
_PUSH1, _JUMPDEST = 0x60, 0x5B


def assemble(source: str) -> bytes:
    """The code; KeyError for a mnemonic or a name that is not there."""
    words = [word for line in source.splitlines() for word in line.partition(";")[0].split()]
    places: dict[str, int] = {}
    code = bytearray()
    # The first round finds out where everything is, for every name takes one byte.
    for known in (False, True):
        code.clear()
        for word in words:
            if word.startswith("0x"):
                constant = bytes.fromhex(word[2:])
                code += bytes([_PUSH1 + len(constant) - 1]) + constant
            elif word.endswith(":"):
                places[word[:-1]] = len(code)
                code.append(_JUMPDEST)
            elif word.startswith(":"):
                code += bytes([_PUSH1, places[word[1:]] if known else 0])
            else:
                code.append(OPCODES[word])
    return bytes(code)


if __name__ == "__main__":
    print(assemble(Path(sys.argv[1]).read_text(encoding="ascii")).hex())
