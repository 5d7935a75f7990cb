"""Merkle proofs of accounts and storage slots, of presence and of absence, checked against a state root alone.

Plain Python, and independent of what makes the proofs: of this project it uses the golden keccak256 and nothing else.
Nothing in a proof is believed before it has been hashed up to the root, and no length before it has been held against
the bytes that are there.

Sources: Ethereum Yellow Paper, section 4.1 (world state), appendices B (RLP), C (hex-prefix encoding) and D (the trie);
EIP-1186 (the JSON form).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from chaindp.errors import CheckFailed
from chaindp.kernels.hashes import golden_keccak256

__all__ = ["Digest", "OpenedAccount", "ProofError", "verify_account", "verify_opening"]

Digest: TypeAlias = Callable[[bytes], bytes]
"""keccak256, bytes to 32 bytes."""

NO_CODE = bytes.fromhex("c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470")
"""keccak256 of nothing."""

NO_ITEMS = bytes.fromhex("56e81f171bcc55a6ff8345e692c0f86e5b48e01b996cadc001622fb5e363b421")
"""keccak256(rlp("")): the root of the empty trie."""

MAX_NODE = 3 + 16 * 33 + 1
"""Bytes of the longest node of a state or storage trie: a branch with sixteen digests and no value, as no key of 32
bytes ends in one. A leaf has a path of up to 33 bytes and an account of up to 110."""

MAX_KEY_NODES = 65
"""Nodes on the longest way to a key of 32 bytes: one a nibble, and the leaf below the last."""


class ProofError(CheckFailed):
    """A proof that does not hold, or that is none. The message says what is wrong, in one line."""


@dataclass(frozen=True, slots=True)
class OpenedAccount:
    """What a state root says of an account: proven, whatever the document's other fields claim.

    Where there is no account, ``exists`` is false, the rest zero, and hashes those of no code and of the empty trie.
    ``slots`` maps a slot's number to its word, zero where the storage has none.
    """

    address: bytes
    exists: bool
    nonce: int
    balance: int
    code_hash: bytes
    storage_hash: bytes
    slots: Mapping[int, int]


# RLP (appendix B) ---------------------------------------------------------------------------------------------------


def _item(data: bytes, at: int, end: int) -> tuple[bool, int, int]:
    """(is a list, payload start, payload end) of the item at ``at``, which must be canonical and end by ``end``."""
    if at >= end:
        raise ProofError("a node is cut off")
    prefix = data[at]
    if prefix < 0x80:
        return False, at, at + 1
    is_list = prefix >= 0xC0
    length = prefix - (0xC0 if is_list else 0x80)
    start = at + 1
    if length > 55:
        start += length - 55
        if start > end:
            raise ProofError("a length is cut off")
        length = int.from_bytes(data[at + 1 : start], "big")
        if data[at + 1] == 0 or length <= 55:
            raise ProofError("a length is not in its shortest form")
    if length > end - start:
        raise ProofError(f"an item claims {length} bytes where {end - start} are left")
    if not is_list and length == 1 and data[start] < 0x80:
        raise ProofError("a single byte is not its own encoding")
    return is_list, start, start + length


def _list(data: bytes, most: int) -> list[tuple[bool, bytes, bytes]]:
    """The items of the one list that ``data`` is: (is a list, payload, whole encoding); at most ``most``."""
    is_list, at, end = _item(data, 0, len(data))
    if not is_list or end != len(data):
        raise ProofError("a list is expected, and nothing behind it")
    items: list[tuple[bool, bytes, bytes]] = []
    while at < end:
        if len(items) == most:
            raise ProofError(f"a list has more than {most} items")
        inner, start, stop = _item(data, at, end)
        items.append((inner, data[start:stop], data[at:stop]))
        at = stop
    return items


def _string(item: tuple[bool, bytes, bytes], what: str) -> bytes:
    if item[0]:
        raise ProofError(f"{what} is a list")
    return item[1]


def _integer(digits: bytes, most: int, what: str) -> int:
    if len(digits) > most or digits[:1] == b"\0":
        raise ProofError(f"{what} is no integer of at most {most} bytes without leading zeros")
    return int.from_bytes(digits, "big")


# The trie (appendices C and D) --------------------------------------------------------------------------------------


def _nibbles(data: bytes) -> list[int]:
    return [half for byte in data for half in (byte >> 4, byte & 15)]


def _path(encoded: bytes) -> tuple[bool, list[int]]:
    """(is a leaf's, nibbles) of a path in hex-prefix encoding."""
    nibbles = _nibbles(encoded)
    if not nibbles or nibbles[0] > 3 or (nibbles[0] in (0, 2) and nibbles[1] != 0):
        raise ProofError("a path is not in hex-prefix encoding")
    return nibbles[0] >= 2, nibbles[1:] if nibbles[0] & 1 else nibbles[2:]


def verify_opening(root: bytes, key: bytes, proof: Sequence[bytes], digest: Digest = golden_keccak256) -> bytes | None:
    """The value that the trie under ``root`` has at ``key``, or None where the proof shows that it has none.

    ``proof``: encodings of the nodes on the way to the key, root first; nodes of less than 32 bytes stand in their
    parents and are no elements. Of the empty trie it is empty, or the one encoding of nothing, 0x80. ProofError where
    it proves neither: a node that is missing, is not the one its parent names, is malformed, or is one too many. Any
    argument that is not of its type is a ProofError too.
    """
    if not isinstance(root, bytes) or len(root) != 32 or not isinstance(key, bytes):
        raise ProofError("a root of 32 bytes and a key of bytes are expected")
    if not isinstance(proof, list | tuple) or not all(isinstance(node, bytes) for node in proof):
        raise ProofError("a proof is a list of byte strings")
    # A node uses up a nibble of the key at least, the last one none.
    if len(proof) > 2 * len(key) + 1:
        raise ProofError(f"{len(proof)} nodes for a key of {len(key)} bytes")
    if not proof:
        if root != NO_ITEMS:
            raise ProofError("a proof without nodes is of the empty trie only")
        return None
    if digest(proof[0]) != root:
        raise ProofError("node 0 is not the root")
    if proof[0] == b"\x80":
        if len(proof) > 1:
            raise ProofError("there are nodes below the empty trie")
        return None

    rest = _nibbles(key)
    node, used, below_extension = proof[0], 1, False
    while True:
        where = f"node {used - 1}"
        items = _list(node, 17)
        if len(items) == 17:
            value = _string(items[16], f"the value of {where}")
            if sum(bool(item[1]) for item in items) < 2:
                raise ProofError(f"{where} is a branch with fewer than two items")
            if not rest:
                result = value or None
                break
            child, rest = items[rest[0]], rest[1:]
            below_extension = False
            if not child[0] and not child[1]:
                result = None
                break
        elif len(items) == 2:
            if below_extension:
                raise ProofError(f"{where} is not the branch that stands below an extension")
            is_leaf, path = _path(_string(items[0], f"the path of {where}"))
            if is_leaf:
                value = _string(items[1], f"the value of {where}")
                if not value:
                    raise ProofError(f"{where} is a leaf without a value")
                result = value if path == rest else None
                break
            if not path:
                raise ProofError(f"{where} is an extension without a path")
            child = items[1]
            _check_child(child, where)
            if rest[: len(path)] != path:
                result = None
                break
            rest = rest[len(path) :]
            below_extension = True
        else:
            raise ProofError(f"{where} has {len(items)} items")
        _check_child(child, where)
        if child[0]:
            node = child[2]
            continue
        if used == len(proof):
            raise ProofError("the proof ends above the place of the key")
        node = proof[used]
        if digest(node) != child[1]:
            raise ProofError(f"node {used} is not the one that its parent names")
        if len(node) < 32:
            raise ProofError(f"node {used} is so short that it would stand in its parent")
        used += 1
    if used != len(proof):
        raise ProofError(f"{len(proof) - used} nodes more than the proof needs")
    return result


def _check_child(child: tuple[bool, bytes, bytes], where: str) -> None:
    is_list, payload, encoding = child
    if is_list and len(encoding) >= 32:
        raise ProofError(f"{where} has a node of {len(encoding)} bytes in it, which a digest should stand for")
    if not is_list and len(payload) != 32:
        raise ProofError(f"{where} names a child by {len(payload)} bytes")


# Accounts and slots (section 4.1 and EIP-1186) ----------------------------------------------------------------------


def _hex(value: object, what: str, most: int) -> bytes:
    """The bytes of '0x' and pairs of hexadecimal digits, at most ``most``."""
    if not isinstance(value, str) or value[:2] != "0x" or len(value) > 2 + 2 * most or len(value) % 2:
        raise ProofError(f"{what} is not 0x and hexadecimal digits of at most {most} bytes")
    try:
        # bytes.fromhex would skip blanks, and isalnum takes what is no ASCII.
        if not (value.isascii() and value.isalnum()):
            raise ValueError
        return bytes.fromhex(value[2:])
    except ValueError:
        raise ProofError(f"{what} is not hexadecimal") from None


def _exactly(value: object, what: str, size: int) -> bytes:
    data = _hex(value, what, size)
    if len(data) != size:
        raise ProofError(f"{what} has {len(data)} bytes, {size} are expected")
    return data


def _quantity(value: object, what: str, most: int = 32) -> int:
    """The integer of '0x' and hexadecimal digits. Leading zeros are let pass, as clients differ in them."""
    if not isinstance(value, str):
        raise ProofError(f"{what} is not a quantity")
    return int.from_bytes(_hex("0x0" + value[2:] if len(value) % 2 and value[:2] == "0x" else value, what, most), "big")


def _nodes(value: object, what: str) -> list[bytes]:
    if not isinstance(value, list) or len(value) > MAX_KEY_NODES:
        raise ProofError(f"{what} is not a list of at most {MAX_KEY_NODES} nodes")
    return [_hex(node, f"node {index} of {what}", MAX_NODE) for index, node in enumerate(value)]


def _field(document: object, name: str, where: str) -> object:
    if not isinstance(document, dict) or name not in document:
        raise ProofError(f"{where} has no field {name}")
    return document[name]


def verify_account(root: bytes, document: object, digest: Digest = golden_keccak256) -> OpenedAccount:
    """What the state under ``root`` holds at the address and slots of an ``eth_getProof`` result.

    ``document``: the JSON object of EIP-1186 as Python values. Everything that it claims is compared with what its
    proofs prove; ProofError where they differ, where a proof does not hold, and where the document is none. Whether
    address and slots are the ones that were asked for is the caller's to compare. Of an account that is not there,
    clients give either zeros or the hashes of no code and no storage: both pass.
    """
    address = _exactly(_field(document, "address", "the document"), "the address", 20)
    nonce = _quantity(_field(document, "nonce", "the document"), "the nonce", 8)
    balance = _quantity(_field(document, "balance", "the document"), "the balance")
    code_hash = _exactly(_field(document, "codeHash", "the document"), "codeHash", 32)
    storage_hash = _exactly(_field(document, "storageHash", "the document"), "storageHash", 32)
    claimed = (nonce, balance, code_hash, storage_hash)

    record = verify_opening(
        root, digest(address), _nodes(_field(document, "accountProof", "the document"), "accountProof"), digest
    )
    if record is None:
        proven: tuple[int, int, bytes, bytes] = (0, 0, NO_CODE, NO_ITEMS)
        if nonce or balance or code_hash not in (NO_CODE, bytes(32)) or storage_hash not in (NO_ITEMS, bytes(32)):
            raise ProofError("the account is proven to be absent, and the document claims that it holds something")
    else:
        proven = _account(record)
        for name, claim, fact in zip(("nonce", "balance", "codeHash", "storageHash"), claimed, proven, strict=True):
            if claim != fact:
                raise ProofError(f"the document's {name} is not the one that is proven")

    slots: dict[int, int] = {}
    entries = _field(document, "storageProof", "the document")
    if not isinstance(entries, list):
        raise ProofError("storageProof is not a list")
    for index, entry in enumerate(entries):
        where = f"storageProof {index}"
        slot = _quantity(_field(entry, "key", where), f"the key of {where}")
        claim = _quantity(_field(entry, "value", where), f"the value of {where}")
        nodes = _nodes(_field(entry, "proof", where), f"the proof of {where}")
        found = verify_opening(proven[3], digest(slot.to_bytes(32, "big")), nodes, digest)
        if claim != (0 if found is None else _word(found)):
            raise ProofError(f"the value of {where} is not the one that is proven")
        slots[slot] = claim
    return OpenedAccount(address, record is not None, *proven, slots)


def _account(record: bytes) -> tuple[int, int, bytes, bytes]:
    """(nonce, balance, code hash, storage root) of an account's record."""
    fields = [_string(item, "a field of the account") for item in _list(record, 4)]
    if len(fields) != 4 or len(fields[2]) != 32 or len(fields[3]) != 32:
        raise ProofError("the account is not nonce, balance and two hashes")
    return _integer(fields[0], 8, "the nonce"), _integer(fields[1], 32, "the balance"), fields[3], fields[2]


def _word(value: bytes) -> int:
    """The word that a storage trie has under a slot; zero is not stored."""
    is_list, start, end = _item(value, 0, len(value))
    if is_list or end != len(value):
        raise ProofError("the slot does not hold a word")
    word = _integer(value[start:end], 32, "the word")
    if word == 0:
        raise ProofError("the slot holds a zero, which is stored by leaving it out")
    return word
