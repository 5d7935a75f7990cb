"""Blocks as JSON-RPC gives them (eth_getBlockByNumber with full transactions), back to the bytes of the network.

Every field is checked for presence and form; an error is one line with the file, the field and the reason. What the
JSON says beyond the bytes (senders, hashes, positions) is kept as claims for ``chaindp.chain.verify`` to hold against
the bytes.

Sources: the execution-apis specification of Ethereum's JSON-RPC; EIP-2718, 2930, 1559, 4844, 7702 for the encodings.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from chaindp.chain.codec import rlp
from chaindp.chain.codec.headers import HEADER_FIELDS, OPTIONAL_FIELDS, Header
from chaindp.chain.codec.jsonfile import load_json, shorten
from chaindp.chain.codec.withdrawals import Withdrawal
from chaindp.chain.types import Ragged
from chaindp.errors import InputError

__all__ = ["Disagreement", "RpcBlock", "parse_block", "read_block"]

_QUANTITY = re.compile(r"0x(0|[1-9a-fA-F][0-9a-fA-F]*)", re.ASCII)
_DATA = re.compile(r"0x([0-9a-fA-F]*)", re.ASCII)
_MAX_DIGITS = 64

_HEADER_KEYS = {
    "parent_hash": "parentHash",
    "ommers_hash": "sha3Uncles",
    "beneficiary": "miner",
    "state_root": "stateRoot",
    "transactions_root": "transactionsRoot",
    "receipts_root": "receiptsRoot",
    "logs_bloom": "logsBloom",
    "difficulty": "difficulty",
    "number": "number",
    "gas_limit": "gasLimit",
    "gas_used": "gasUsed",
    "timestamp": "timestamp",
    "extra_data": "extraData",
    "mix_hash": "mixHash",
    "nonce": "nonce",
    "base_fee": "baseFeePerGas",
    "withdrawals_root": "withdrawalsRoot",
    "blob_gas_used": "blobGasUsed",
    "excess_blob_gas": "excessBlobGas",
    "parent_beacon_block_root": "parentBeaconBlockRoot",
    "requests_hash": "requestsHash",
}


@dataclass(frozen=True, slots=True)
class Disagreement:
    """Two places of the JSON, or a field and what it must follow from, that say different things."""

    field: str
    expected: str
    actual: str


@dataclass(frozen=True, slots=True)
class RpcBlock:
    """A block from JSON: what the network would carry, and what the JSON claims beyond it.

    transactions:  N EIP-2718 envelopes, not decoded: ``decode_transactions`` checks what they hold
    withdrawals:   None where the block has no such field
    hash:          the block hash that the JSON gives
    tx_hashes, senders: uint8[N,32], uint8[N,20] as the JSON gives them
    ommers:        hashes of the uncles
    disagreements: where the JSON contradicts itself (block hash, number, index, chain id, parity of a transaction)
    gas_prices:    the JSON's gasPrice of each transaction, None where it has none
    """

    label: str
    header: Header
    transactions: Ragged
    withdrawals: tuple[Withdrawal, ...] | None
    hash: bytes
    tx_hashes: np.ndarray
    senders: np.ndarray
    ommers: tuple[bytes, ...]
    disagreements: tuple[Disagreement, ...]
    gas_prices: tuple[int | None, ...]


@dataclass(slots=True)
class _Reader:
    """One JSON object and where it is, for error messages."""

    label: str
    value: dict[str, Any]
    disagreements: list[Disagreement] = field(default_factory=list)

    def fail(self, name: str, reason: str) -> InputError:
        return InputError(f"{self.label}{name}: {reason}")

    def has(self, name: str) -> bool:
        return self.value.get(name) is not None

    def get(self, name: str) -> Any:
        if name not in self.value:
            raise self.fail(name, "is missing")
        return self.value[name]

    def quantity(self, name: str, bits: int, *, padded: bool = False) -> int:
        text = self.get(name)
        # Some nodes pad r and s to 32 bytes, which the specification of quantities forbids.
        pattern = _DATA if padded and isinstance(text, str) and len(text) == 2 + _MAX_DIGITS else _QUANTITY
        if not isinstance(text, str) or not pattern.fullmatch(text):
            raise self.fail(
                name, f"{shorten(text)} is not a quantity (0x and hexadecimal digits without leading zeros)"
            )
        if len(text) - 2 > _MAX_DIGITS or int(text, 16) >> bits:
            raise self.fail(name, f"{shorten(text)} does not fit {bits} bits")
        return int(text, 16)

    def data(self, name: str, size: int | None = None) -> bytes:
        return self.hexadecimal(name, self.get(name), size)

    def hexadecimal(self, name: str, text: object, size: int | None = None) -> bytes:
        if not isinstance(text, str) or not _DATA.fullmatch(text):
            raise self.fail(name, f"{shorten(text)} is not data (0x and hexadecimal digits)")
        if len(text) % 2:
            raise self.fail(name, f"{shorten(text)} has an odd number of digits")
        if size is not None and len(text) != 2 + 2 * size:
            raise self.fail(name, f"{size} bytes are expected, there are {len(text) // 2 - 1}")
        return bytes.fromhex(text[2:])

    def array(self, name: str) -> list[Any]:
        items = self.get(name)
        if not isinstance(items, list):
            raise self.fail(name, f"a list is expected, not {shorten(items)}")
        return items

    def objects(self, name: str) -> list[_Reader]:
        readers = []
        for index, item in enumerate(self.array(name)):
            if not isinstance(item, dict):
                raise self.fail(f"{name}[{index}]", f"an object is expected, not {shorten(item)}")
            readers.append(_Reader(f"{self.label}{name}[{index}].", item, self.disagreements))
        return readers

    def agree(self, name: str, expected: object, actual: object) -> None:
        if expected != actual:
            shown = [value.hex() if isinstance(value, bytes) else str(value) for value in (expected, actual)]
            self.disagreements.append(Disagreement(f"{self.label.rsplit(': ', 1)[-1]}{name}", *shown))


def _header(block: _Reader) -> Header:
    values: dict[str, Any] = {}
    for name, kind in HEADER_FIELDS.items():
        key = _HEADER_KEYS[name]
        if name in OPTIONAL_FIELDS and not block.has(key):
            continue
        if isinstance(kind, int):
            values[name] = block.data(key, kind)
        elif kind.startswith("uint"):
            values[name] = block.quantity(key, int(kind[4:]))
        else:
            values[name] = block.data(key)
    last = ""
    for name in reversed(OPTIONAL_FIELDS):
        if name in values:
            last = last or name
        elif last:
            raise block.fail(_HEADER_KEYS[name], f"is missing, and {_HEADER_KEYS[last]} after it is there")
    return Header(**values)


def _access_list(tx: _Reader) -> list[rlp.RlpItem]:
    entries: list[rlp.RlpItem] = []
    for entry in tx.objects("accessList"):
        keys = entry.array("storageKeys")
        entries.append(
            [
                entry.data("address", 20),
                [entry.hexadecimal(f"storageKeys[{index}]", key, 32) for index, key in enumerate(keys)],
            ]
        )
    return entries


def _authorizations(tx: _Reader) -> list[rlp.RlpItem]:
    return [
        [
            rlp.uint(entry.quantity("chainId", 256)),
            entry.data("address", 20),
            rlp.uint(entry.quantity("nonce", 64)),
            rlp.uint(entry.quantity("yParity" if entry.has("yParity") else "v", 8)),
            rlp.uint(entry.quantity("r", 256, padded=True)),
            rlp.uint(entry.quantity("s", 256, padded=True)),
        ]
        for entry in tx.objects("authorizationList")
    ]


def _legacy_v(tx: _Reader) -> int:
    v = tx.quantity("v", 64)
    if tx.has("chainId") and v >= 35:
        tx.agree("chainId", (v - 35) // 2, tx.quantity("chainId", 256))
    return v


def _parity(tx: _Reader) -> int:
    if not tx.has("yParity"):
        return tx.quantity("v", 64)
    parity = tx.quantity("yParity", 64)
    if tx.has("v"):
        tx.agree("v", parity, tx.quantity("v", 64))
    return parity


def _transaction(tx: _Reader) -> bytes:
    """The EIP-2718 envelope of a transaction object."""
    # Nodes from before EIP-2718 give no type; but what has fields of a typed transaction must say which.
    typed = tx.has("accessList") or tx.has("maxFeePerGas")
    kind = tx.quantity("type", 64) if typed or tx.has("type") else 0
    if kind > 4:
        raise tx.fail("type", f"transaction type {kind} is none of 0 to 4")
    to = b"" if tx.get("to") is None else tx.data("to", 20)
    if not to and kind >= 3:
        raise tx.fail("to", f"a transaction of type {kind} cannot create a contract")
    items: list[rlp.RlpItem] = []
    if kind > 0:
        items.append(rlp.uint(tx.quantity("chainId", 64)))
    items.append(rlp.uint(tx.quantity("nonce", 64)))
    if kind < 2:
        items.append(rlp.uint(tx.quantity("gasPrice", 256)))
    else:
        items += [rlp.uint(tx.quantity("maxPriorityFeePerGas", 256)), rlp.uint(tx.quantity("maxFeePerGas", 256))]
    items += [rlp.uint(tx.quantity("gas", 64)), to, rlp.uint(tx.quantity("value", 256)), tx.data("input")]
    if kind > 0:
        items.append(_access_list(tx))
    if kind == 3:
        hashes = tx.array("blobVersionedHashes")
        items.append(rlp.uint(tx.quantity("maxFeePerBlobGas", 256)))
        items.append([tx.hexadecimal(f"blobVersionedHashes[{index}]", item, 32) for index, item in enumerate(hashes)])
    if kind == 4:
        items.append(_authorizations(tx))
    items.append(rlp.uint(_legacy_v(tx) if kind == 0 else _parity(tx)))
    items += [rlp.uint(tx.quantity("r", 256, padded=True)), rlp.uint(tx.quantity("s", 256, padded=True))]
    return (bytes([kind]) if kind else b"") + rlp.encode(items)


def parse_block(value: object, label: str) -> RpcBlock:
    """A block from parsed JSON: the block object, or ``{"result": object}``. InputError starting with ``label``."""
    if isinstance(value, dict) and "result" in value and "parentHash" not in value:
        value = value["result"]
    if not isinstance(value, dict):
        raise InputError(f"{label}: a block object is expected, not {shorten(value)}")
    if "parentHash" not in value and "error" in value:
        raise InputError(f"{label}: the node answered with an error: {shorten(value['error'])}")
    block = _Reader(f"{label}: ", value)
    header = _header(block)
    block_hash = block.data("hash", 32)
    for name in ("size", "totalDifficulty"):  # in no hash, so only their form can be wrong
        if block.has(name):
            block.quantity(name, 256)
    items = block.array("transactions")
    if items and all(isinstance(item, str) for item in items):
        raise block.fail("transactions", "these are hashes only: ask the node for full transactions")
    raws, hashes, senders = [], [], []
    prices: list[int | None] = []
    for index, tx in enumerate(block.objects("transactions")):
        raws.append(_transaction(tx))
        hashes.append(tx.data("hash", 32))
        senders.append(tx.data("from", 20))
        prices.append(tx.quantity("gasPrice", 256) if tx.has("gasPrice") else None)
        tx.agree("blockHash", block_hash, tx.data("blockHash", 32))
        tx.agree("blockNumber", header.number, tx.quantity("blockNumber", 64))
        tx.agree("transactionIndex", index, tx.quantity("transactionIndex", 64))
    withdrawals = None
    if block.has("withdrawals"):
        withdrawals = tuple(
            Withdrawal(
                entry.quantity("index", 64),
                entry.quantity("validatorIndex", 64),
                entry.data("address", 20),
                entry.quantity("amount", 64),
            )
            for entry in block.objects("withdrawals")
        )
    elif header.withdrawals_root is not None:
        raise block.fail("withdrawals", "is missing, and withdrawalsRoot is there")
    ommers = tuple(block.hexadecimal(f"uncles[{index}]", item, 32) for index, item in enumerate(block.array("uncles")))
    return RpcBlock(
        label=label,
        header=header,
        transactions=Ragged.from_items(raws),
        withdrawals=withdrawals,
        hash=block_hash,
        tx_hashes=np.frombuffer(b"".join(hashes), dtype=np.uint8).reshape(-1, 32),
        senders=np.frombuffer(b"".join(senders), dtype=np.uint8).reshape(-1, 20),
        ommers=ommers,
        disagreements=tuple(block.disagreements),
        gas_prices=tuple(prices),
    )


def read_block(path: str | Path) -> RpcBlock:
    """A block from a .json or .json.gz file, as eth_getBlockByNumber with full transactions gives it.

    InputError, one line with file and field, for every missing or malformed field, truncated or malformed gzip or JSON,
    and sizes beyond ``jsonfile.MAX_BYTES``.
    """
    path = Path(path)
    return parse_block(load_json(path), str(path))
