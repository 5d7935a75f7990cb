"""Receipts and blooms against an independent construction with the ``rlp`` package and pycryptodome, and real
blooms.
"""

from __future__ import annotations

import numpy as np
import pytest
import rlp as reference
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chaindp.chain.codec.receipts import block_bloom, encode_receipts, logs_bloom
from chaindp.chain.types import Ragged, Receipts
from chaindp.errors import InputError
from codec_reference import keccak256, ordered_root, reference_kernels

KERNELS = reference_kernels()

# Of the header's bloom, counted from the first byte's highest bit.
BLOOM_BITS = [67, 806, 884, 1349, 1778, 1825]

word = st.binary(min_size=32, max_size=32)
log = st.tuples(st.binary(min_size=20, max_size=20), st.lists(word, max_size=4), st.binary(max_size=80))
receipt = st.tuples(st.integers(0, 4), st.integers(0, 1), st.integers(0, 2**64 - 1), st.lists(log, max_size=4))


def columns(receipts) -> Receipts:
    logs = [(i, *entry) for i, (_, _, _, entries) in enumerate(receipts) for entry in entries]
    topics = np.zeros((len(logs), 4, 32), dtype=np.uint8)
    for row, (_, _, values, _) in enumerate(logs):
        for k, value in enumerate(values):
            topics[row, k] = np.frombuffer(value, dtype=np.uint8)
    gas = np.array([entry[2] for entry in receipts], dtype=np.uint64)
    return Receipts(
        type=np.array([entry[0] for entry in receipts], dtype=np.uint8),
        status=np.array([entry[1] for entry in receipts], dtype=np.uint8),
        gas_used=gas,
        cumulative_gas=gas,
        log_tx=np.array([entry[0] for entry in logs], dtype=np.int64),
        log_address=np.frombuffer(b"".join(entry[1] for entry in logs), dtype=np.uint8).reshape(-1, 20),
        log_topic_count=np.array([len(entry[2]) for entry in logs], dtype=np.uint8),
        log_topics=topics,
        log_data=Ragged.from_items([entry[3] for entry in logs]),
    )


def reference_bloom(logs) -> bytes:
    """One big integer: bit n of it is bit n of the bloom, counted from the last byte's lowest."""
    bloom = 0
    for address, topics, _ in logs:
        for item in (address, *topics):
            digest = keccak256(item)
            for at in (0, 2, 4):
                bloom |= 1 << (int.from_bytes(digest[at : at + 2], "big") % 2048)
    return bloom.to_bytes(256, "big")


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(receipt, max_size=6))
def test_receipts_and_blooms_agree_with_the_reference(receipts):
    batch = columns(receipts)
    blooms = logs_bloom(batch, KERNELS)
    encoded = encode_receipts(batch, blooms)
    assert encoded.count == len(receipts)
    together = bytes(256)
    for i, (kind, status, gas, logs) in enumerate(receipts):
        bloom = reference_bloom(logs)
        assert blooms[i].tobytes() == bloom
        body = reference.encode([status, gas, bloom, [list(entry) for entry in logs]])
        assert encoded.item(i) == (bytes([kind]) if kind else b"") + body
        together = bytes(a | b for a, b in zip(together, bloom, strict=True))
    assert block_bloom(blooms) == together


def test_a_block_of_the_official_tests():
    """ethereum/tests, BlockchainTests/ValidBlocks/bcValidBlockTest/log1_correct (Cancun): the contract logs 32 bytes
    0xff under the topic 0. Bloom and receipts root are those of the block's header."""
    address = bytes.fromhex("095e7baea6a6c7c4c2dfeb977efac326af552d87")
    batch = columns([(0, 1, 0x560B, [(address, [bytes(32)], b"\xff" * 32)])])
    blooms = logs_bloom(batch, KERNELS)
    bits = np.flatnonzero(np.unpackbits(np.frombuffer(block_bloom(blooms), dtype=np.uint8)))
    assert bits.tolist() == BLOOM_BITS
    root = "21f4ebc5b0fb1ad80a00f78d04e67d1b30af68cecb3a8a2bf55247f11df1e3ed"
    assert ordered_root(encode_receipts(batch, blooms).items()).hex() == root


def test_no_receipts():
    batch = columns([])
    assert encode_receipts(batch, logs_bloom(batch, KERNELS)).count == 0
    assert block_bloom(logs_bloom(batch, KERNELS)) == bytes(256)


def test_contradicting_columns_are_refused():
    entry = (0, 1, 1, [(bytes(20), [bytes(32)], b"x"), (bytes(20), [], b"")])
    for name, value, message in (
        ("log_tx", [0, 2], "log_tx"),
        ("log_tx", [1, 0], "log_tx"),
        ("log_tx", [-1, 0], "log_tx"),
        ("log_tx", [0], "length"),
        ("log_topic_count", [5, 0], "topics"),
        ("status", [2, 0], "status"),
    ):
        batch = columns([entry, (*entry[:3], [])])
        setattr(batch, name, np.array(value, dtype=getattr(batch, name).dtype))
        with pytest.raises(InputError, match=message):
            logs_bloom(batch, KERNELS)
        with pytest.raises(InputError, match=message):
            encode_receipts(batch, np.zeros((2, 256), dtype=np.uint8))
    batch = columns([entry])
    with pytest.raises(InputError, match="blooms"):
        encode_receipts(batch, np.zeros((2, 256), dtype=np.uint8))
