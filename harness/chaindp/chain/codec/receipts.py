"""Receipts and blooms in columns: the items of the receipts trie, and the logs blooms of transactions and blocks.

A receipt is rlp([status, cumulative gas, bloom, logs]), after its type byte where the type is not 0 (EIP-658,
EIP-2718). Receipts before Byzantium hold a state root in place of the status; ``Receipts`` has no column for it, so
they are not made.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from chaindp.chain.codec.rlp_jit import (
    bytes_length,
    copy_bytes,
    list_length,
    readonly,
    uint64_length,
    write_bytes,
    write_list_header,
    write_uint64,
)
from chaindp.chain.types import Ragged, Receipts
from chaindp.errors import InputError
from chaindp.kernels.compilation import compiled

if TYPE_CHECKING:
    from chaindp.kernels.kernelset import KernelSet

__all__ = ["BLOOM_BYTES", "block_bloom", "encode_receipts", "logs_bloom"]

BLOOM_BYTES = 256


@compiled
def _bloom_entries(address, topic_count, topics, data, offsets):  # type: ignore[no-untyped-def]
    """All addresses and topics end to end, log after log, to hash in one batch."""
    at = 0
    entry = 0
    for log in range(len(topic_count)):
        at = copy_bytes(data, at, address, 20 * log, 20 * log + 20)
        entry += 1
        offsets[entry] = at
        for topic in range(topic_count[log]):
            first = 32 * (4 * log + topic)
            at = copy_bytes(data, at, topics, first, first + 32)
            entry += 1
            offsets[entry] = at


@compiled
def _set_bits(log_tx, topic_count, digests, blooms):  # type: ignore[no-untyped-def]
    entry = 0
    for log in range(len(log_tx)):
        tx = log_tx[log]
        for _ in range(1 + topic_count[log]):
            for pair in range(3):
                bit = ((np.int64(digests[entry, 2 * pair]) << 8) | np.int64(digests[entry, 2 * pair + 1])) & 2047
                blooms[tx, 255 - (bit >> 3)] |= np.uint8(1 << (bit & 7))
            entry += 1


@compiled
def _payloads(  # type: ignore[no-untyped-def]
    cumulative_gas, log_tx, topic_count, data, offsets, log_payload, logs_payload, payload
):
    for log in range(len(log_tx)):
        size = 21 + list_length(33 * np.int64(topic_count[log])) + bytes_length(data, offsets[log], offsets[log + 1])
        log_payload[log] = size
        logs_payload[log_tx[log]] += list_length(size)
    for i in range(len(payload)):
        payload[i] = 1 + uint64_length(cumulative_gas[i]) + 3 + 256 + list_length(logs_payload[i])


@compiled
def _lengths(type_, payload, out):  # type: ignore[no-untyped-def]
    for i in range(len(payload)):
        out[i] = list_length(payload[i]) + (1 if type_[i] > 0 else 0)


@compiled
def _write(  # type: ignore[no-untyped-def]
    type_, status, cumulative_gas, blooms, log_tx, address, topic_count, topics, data, data_offsets,
    log_payload, logs_payload, payload, offsets, out,
):  # fmt: skip
    log = 0
    for i in range(len(payload)):
        at = offsets[i]
        if type_[i] > 0:
            out[at] = type_[i]
            at += 1
        at = write_list_header(out, at, payload[i])
        at = write_uint64(out, at, np.uint64(status[i]))
        at = write_uint64(out, at, cumulative_gas[i])
        out[at] = 0xB9
        out[at + 1] = 0x01
        out[at + 2] = 0x00
        at += 3
        at = copy_bytes(out, at, blooms, 256 * i, 256 * i + 256)
        at = write_list_header(out, at, logs_payload[i])
        while log < len(log_tx) and log_tx[log] == i:
            at = write_list_header(out, at, log_payload[log])
            out[at] = 0x94
            at = copy_bytes(out, at + 1, address, 20 * log, 20 * log + 20)
            at = write_list_header(out, at, 33 * np.int64(topic_count[log]))
            for topic in range(topic_count[log]):
                out[at] = 0xA0
                first = 32 * (4 * log + topic)
                at = copy_bytes(out, at + 1, topics, first, first + 32)
            at = write_bytes(out, at, data, data_offsets[log], data_offsets[log + 1])
            log += 1


def _check(receipts: Receipts) -> None:
    logs = len(receipts.log_tx)
    if logs and (
        receipts.log_tx[0] < 0 or receipts.log_tx[-1] >= receipts.count or (np.diff(receipts.log_tx) < 0).any()
    ):
        raise InputError("receipts: log_tx does not ascend within the transactions")
    if logs and int(receipts.log_topic_count.max()) > 4:
        raise InputError("receipts: a log has more than 4 topics")
    if receipts.count and int(receipts.status.max()) > 1:
        raise InputError("receipts: a status is neither 0 nor 1")
    if (
        not len(receipts.log_address)
        == len(receipts.log_topic_count)
        == len(receipts.log_topics)
        == logs
        == receipts.log_data.count
    ):
        raise InputError("receipts: the log columns differ in length")


def logs_bloom(receipts: Receipts, kernels: KernelSet) -> np.ndarray:
    """The logs bloom of each receipt, uint8[N,256]; all addresses and topics are hashed in one batch.

    Three of 2048 bits for each address and topic, from the first three pairs of bytes of its Keccak-256 (Yellow Paper,
    4.3.1). InputError where the log columns contradict each other.
    """
    _check(receipts)
    blooms = np.zeros((receipts.count, BLOOM_BYTES), dtype=np.uint8)
    logs = len(receipts.log_tx)
    if logs:
        topics = int(receipts.log_topic_count.sum(dtype=np.int64))
        data = np.empty(20 * logs + 32 * topics, dtype=np.uint8)
        offsets = np.zeros(logs + topics + 1, dtype=np.int64)
        counts = readonly(receipts.log_topic_count)
        _bloom_entries(
            readonly(receipts.log_address.reshape(-1)), counts, readonly(receipts.log_topics.reshape(-1)), data, offsets
        )
        digests = kernels.keccak256(data, offsets)
        _set_bits(readonly(receipts.log_tx), counts, readonly(digests), blooms)
    return blooms


def block_bloom(blooms: np.ndarray) -> bytes:
    """The header's logs bloom: all receipts' blooms uint8[N,256] or-ed into 256 bytes."""
    together: np.ndarray = np.bitwise_or.reduce(blooms, axis=0, initial=0)
    return together.astype(np.uint8).tobytes()


def encode_receipts(receipts: Receipts, blooms: np.ndarray) -> Ragged:
    """The items of the receipts trie, one a receipt, with ``blooms`` uint8[N,256] from ``logs_bloom``.

    InputError where the columns contradict each other.
    """
    _check(receipts)
    if blooms.shape != (receipts.count, BLOOM_BYTES) or blooms.dtype != np.uint8:
        raise InputError(f"blooms: {blooms.dtype}{list(blooms.shape)} is not uint8[{receipts.count}, {BLOOM_BYTES}]")
    type_, gas = readonly(receipts.type), readonly(receipts.cumulative_gas)
    log_tx, counts = readonly(receipts.log_tx), readonly(receipts.log_topic_count)
    data, data_offsets = readonly(receipts.log_data.data), readonly(receipts.log_data.offsets)
    log_payload = np.empty(len(log_tx), dtype=np.int64)
    logs_payload = np.zeros(receipts.count, dtype=np.int64)
    payload = np.empty(receipts.count, dtype=np.int64)
    _payloads(gas, log_tx, counts, data, data_offsets, log_payload, logs_payload, payload)
    offsets = np.zeros(receipts.count + 1, dtype=np.int64)
    _lengths(type_, payload, offsets[1:])
    np.cumsum(offsets[1:], out=offsets[1:])
    out = np.empty(offsets[-1], dtype=np.uint8)
    flat = [readonly(column.reshape(-1)) for column in (blooms, receipts.log_address, receipts.log_topics)]
    _write(
        type_, readonly(receipts.status), gas, flat[0], log_tx, flat[1], counts, flat[2], data, data_offsets,
        log_payload, logs_payload, payload, offsets, out,
    )  # fmt: skip
    return Ragged(out, offsets)
