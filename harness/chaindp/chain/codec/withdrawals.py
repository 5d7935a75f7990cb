"""Validator withdrawals (EIP-4895): one RLP list of index, validator index, address and amount in gwei each."""

from __future__ import annotations

from dataclasses import dataclass

from chaindp.chain.codec import rlp
from chaindp.errors import InputError

__all__ = ["Withdrawal"]


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """One withdrawal: integers below 2**64, ``address`` of 20 bytes, ``amount`` in gwei."""

    index: int
    validator_index: int
    address: bytes
    amount: int

    def rlp(self) -> bytes:
        """The item of the withdrawals trie. InputError where a field is out of its range."""
        for name in ("index", "validator_index", "amount"):
            if not 0 <= getattr(self, name) < 1 << 64:
                raise InputError(f"withdrawal {name}: {getattr(self, name)} is not a uint64")
        if len(self.address) != 20:
            raise InputError(f"withdrawal address: 20 bytes are expected, there are {len(self.address)}")
        return rlp.encode([rlp.uint(self.index), rlp.uint(self.validator_index), self.address, rlp.uint(self.amount)])

    @classmethod
    def from_rlp(cls, data: bytes) -> Withdrawal:
        """The inverse of ``rlp``; InputError where ``data`` is not exactly one withdrawal."""
        items = rlp.as_list(rlp.decode(data, max_depth=2), "withdrawal", 4)
        return cls(
            rlp.as_uint(items[0], "withdrawal index"),
            rlp.as_uint(items[1], "withdrawal validator_index"),
            rlp.as_bytes(items[2], "withdrawal address", 20),
            rlp.as_uint(items[3], "withdrawal amount"),
        )
