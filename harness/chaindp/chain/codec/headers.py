"""Block headers of all forks to Prague: fields, RLP and hash.

Sources: Ethereum Yellow Paper (the first fifteen fields), EIP-1559 (base fee), EIP-4895 (withdrawals root), EIP-4844
(blob gas), EIP-4788 (parent beacon block root), EIP-7685 (requests hash).
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np

from chaindp.chain.codec import rlp
from chaindp.errors import InputError

if TYPE_CHECKING:
    from chaindp.kernels.kernelset import KernelSet

__all__ = ["EMPTY_OMMERS_HASH", "HEADER_FIELDS", "OPTIONAL_FIELDS", "Header"]

EMPTY_OMMERS_HASH = bytes.fromhex("1dcc4de8dec75d7aab85b567b6ccd41ad312451b948a7413f0a142fd40d49347")
"""Keccak-256 of the RLP of the empty list."""

HEADER_FIELDS: dict[str, int | str] = {
    "parent_hash": 32,
    "ommers_hash": 32,
    "beneficiary": 20,
    "state_root": 32,
    "transactions_root": 32,
    "receipts_root": 32,
    "logs_bloom": 256,
    "difficulty": "uint256",
    "number": "uint64",
    "gas_limit": "uint64",
    "gas_used": "uint64",
    "timestamp": "uint64",
    "extra_data": "bytes",
    "mix_hash": 32,
    "nonce": 8,
    "base_fee": "uint256",
    "withdrawals_root": 32,
    "blob_gas_used": "uint64",
    "excess_blob_gas": "uint64",
    "parent_beacon_block_root": 32,
    "requests_hash": 32,
}
"""Field to its size in bytes, or ``uintBITS``, or ``bytes`` of any length: in the order of the encoding."""

OPTIONAL_FIELDS = tuple(HEADER_FIELDS)[15:]
"""The fields that forks appended: a header may end before any of them, and has all before its last one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """One block header. Byte fields have the sizes of ``HEADER_FIELDS``, integers are below 2**64 (difficulty and base
    fee 2**256).

    A field that the block's fork does not have yet is None. Building one that breaks any of this raises InputError.
    """

    parent_hash: bytes
    ommers_hash: bytes
    beneficiary: bytes
    state_root: bytes
    transactions_root: bytes
    receipts_root: bytes
    logs_bloom: bytes
    difficulty: int
    number: int
    gas_limit: int
    gas_used: int
    timestamp: int
    extra_data: bytes
    mix_hash: bytes
    nonce: bytes
    base_fee: int | None = None
    withdrawals_root: bytes | None = None
    blob_gas_used: int | None = None
    excess_blob_gas: int | None = None
    parent_beacon_block_root: bytes | None = None
    requests_hash: bytes | None = None

    def __post_init__(self) -> None:
        absent = ""
        for name, kind in HEADER_FIELDS.items():
            value = getattr(self, name)
            if value is None:
                if name not in OPTIONAL_FIELDS:
                    raise InputError(f"header {name}: is missing")
                absent = absent or name
                continue
            if absent:
                raise InputError(f"header {name}: is there although {absent} before it is not")
            if isinstance(kind, str) and kind.startswith("uint"):
                if not isinstance(value, int) or not 0 <= value < 1 << int(kind[4:]):
                    raise InputError(f"header {name}: {value!r} is not a {kind}")
            elif not isinstance(value, bytes) or (isinstance(kind, int) and len(value) != kind):
                raise InputError(f"header {name}: {kind if isinstance(kind, int) else 'some'} bytes are expected")

    def rlp(self) -> bytes:
        """The header as the network encodes it."""
        items: list[rlp.RlpItem] = []
        for field in fields(self):
            value = getattr(self, field.name)
            if value is not None:
                items.append(rlp.uint(value) if isinstance(value, int) else value)
        return rlp.encode(items)

    def hash(self, kernels: KernelSet) -> bytes:
        """Keccak-256 of ``rlp()``: the block hash."""
        encoded = np.frombuffer(self.rlp(), dtype=np.uint8)
        digests = kernels.keccak256(encoded, np.array([0, len(encoded)], dtype=np.int64))
        return bytes(digests[0])

    @classmethod
    def from_rlp(cls, data: bytes) -> Header:
        """Decode a header: the inverse of ``rlp``. InputError naming the field where ``data`` is not one."""
        items = rlp.as_list(rlp.decode(data, max_depth=2), "header")
        if not 15 <= len(items) <= len(HEADER_FIELDS):
            raise InputError(f"header: {len(items)} fields, 15 to {len(HEADER_FIELDS)} are possible")
        values: dict[str, bytes | int] = {}
        for (name, kind), item in zip(HEADER_FIELDS.items(), items, strict=False):
            if isinstance(kind, str) and kind.startswith("uint"):
                values[name] = rlp.as_uint(item, f"header {name}", int(kind[4:]))
            else:
                values[name] = rlp.as_bytes(item, f"header {name}", kind if isinstance(kind, int) else None)
        return cls(**values)  # type: ignore[arg-type]
