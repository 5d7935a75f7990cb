"""A whole block as RLP: header, transactions, ommers, and from EIP-4895 on withdrawals."""

from __future__ import annotations

from dataclasses import dataclass

from chaindp.chain.codec import rlp
from chaindp.chain.codec.headers import Header
from chaindp.chain.codec.withdrawals import Withdrawal
from chaindp.chain.types import Ragged
from chaindp.errors import InputError

__all__ = ["Block", "decode_block"]


@dataclass(frozen=True, slots=True)
class Block:
    """A block in wire form: ``transactions`` are EIP-2718 envelopes, ``withdrawals`` is None before EIP-4895."""

    header: Header
    transactions: Ragged
    ommers: tuple[Header, ...]
    withdrawals: tuple[Withdrawal, ...] | None

    def ommers_rlp(self) -> bytes:
        """What the header's ommers hash is the Keccak-256 of."""
        return rlp.encode([rlp.decode(ommer.rlp()) for ommer in self.ommers])


def decode_block(data: bytes) -> Block:
    """Decode a block. Transactions are separated, not decoded: ``decode_transactions`` does that.

    InputError naming the part where it is not canonical RLP of a block; withdrawals there, and none in the header, is
    one.
    """
    parts = rlp.list_spans(data)
    if len(parts) not in (3, 4):
        raise InputError(f"block: {len(parts)} parts, 3 or 4 are possible")
    header = Header.from_rlp(data[slice(*parts[0])])
    transactions = []
    for start, stop in rlp.list_spans(data, *parts[1]):
        payload, payload_stop, is_list = rlp.item_span(data, start, stop)
        # A typed transaction is a byte string in the list; a legacy one is a list of its own.
        transactions.append(data[start:stop] if is_list else data[payload:payload_stop])
        if not is_list and (payload == payload_stop or data[payload] >= 0x80):
            raise InputError(f"block: transaction {len(transactions) - 1} has no type")
    ommers = tuple(Header.from_rlp(data[start:stop]) for start, stop in rlp.list_spans(data, *parts[2]))
    withdrawals = None
    if len(parts) == 4:
        spans = rlp.list_spans(data, *parts[3])
        withdrawals = tuple(Withdrawal.from_rlp(data[start:stop]) for start, stop in spans)
    if (withdrawals is None) != (header.withdrawals_root is None):
        raise InputError("block: withdrawals and the header's withdrawals root must both be there, or neither")
    return Block(header, Ragged.from_items(transactions), ommers, withdrawals)
