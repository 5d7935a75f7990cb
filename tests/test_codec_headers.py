"""Headers, withdrawals and whole blocks, against the ``rlp`` package and the official BlockchainTests."""

from __future__ import annotations

import json
import tarfile
from dataclasses import fields, replace

import pytest
import rlp as reference
from hypothesis import given
from hypothesis import strategies as st

from chaindp.chain.codec import rlp
from chaindp.chain.codec.blocks import Block, decode_block
from chaindp.chain.codec.headers import EMPTY_OMMERS_HASH, HEADER_FIELDS, OPTIONAL_FIELDS, Header
from chaindp.chain.codec.transactions import decode_transactions, recover_senders
from chaindp.chain.codec.withdrawals import Withdrawal
from chaindp.chain.trie import EMPTY_ROOT
from chaindp.chain.types import Ragged
from chaindp.errors import InputError
from codec_reference import keccak256, ordered_root, reference_kernels

KERNELS = reference_kernels()


def value_of(kind):
    if isinstance(kind, int):
        return st.binary(min_size=kind, max_size=kind)
    return st.binary(max_size=40) if kind == "bytes" else st.integers(0, 2 ** int(kind[4:]) - 1)


@st.composite
def headers(draw):
    names = list(HEADER_FIELDS)[: draw(st.integers(15, len(HEADER_FIELDS)))]
    return Header(**{name: draw(value_of(HEADER_FIELDS[name])) for name in names})


def filled(count: int = 21) -> Header:
    values = {}
    for name, kind in list(HEADER_FIELDS.items())[:count]:
        values[name] = bytes(kind) if isinstance(kind, int) else b"x" if kind == "bytes" else 1
    return Header(**values)


def test_constants():
    assert keccak256(reference.encode([])) == EMPTY_OMMERS_HASH
    assert keccak256(reference.encode(b"")) == EMPTY_ROOT
    assert [field.name for field in fields(Header)] == list(HEADER_FIELDS)


@given(headers())
def test_headers_round_trip_and_agree_with_the_rlp_package(header):
    values = [getattr(header, name) for name in HEADER_FIELDS]
    encoded = reference.encode([value for value in values if value is not None])
    assert header.rlp() == encoded
    assert Header.from_rlp(encoded) == header
    assert header.hash(KERNELS) == keccak256(encoded)


def test_mainnet_block_1_hash():
    """The first mined block of mainnet, a well-known hash."""
    header = Header(
        parent_hash=bytes.fromhex("d4e56740f876aef8c010b86a40d5f56745a118d0906a34e69aec8c0db1cb8fa3"),
        ommers_hash=EMPTY_OMMERS_HASH,
        beneficiary=bytes.fromhex("05a56e2d52c817161883f50c441c3228cfe54d9f"),
        state_root=bytes.fromhex("d67e4d450343046425ae4271474353857ab860dbc0a1dde64b41b5cd3a532bf3"),
        transactions_root=EMPTY_ROOT,
        receipts_root=EMPTY_ROOT,
        logs_bloom=bytes(256),
        difficulty=0x3FF800000,
        number=1,
        gas_limit=5000,
        gas_used=0,
        timestamp=0x55BA4224,
        extra_data=b"Geth/v1.0.0/linux/go1.4.2",
        mix_hash=bytes.fromhex("969b900de27b6ac6a67742365dd65f55a0526c41fd18e1b16f1a1215c2e66f59"),
        nonce=bytes.fromhex("539bd4979fef1ec4"),
    )
    assert header.hash(KERNELS).hex() == "88e96d4537bea4d9c05d12549907b32561d3bf31f45aae734cdc119f13406cb6"
    assert replace(header, extra_data=b"Geth/v1.0.0-0cdc7647/linux/go1.4").hash(KERNELS) != header.hash(KERNELS)


@pytest.mark.parametrize("name", list(HEADER_FIELDS))
def test_a_header_field_of_the_wrong_form_is_named(name):
    kind = HEADER_FIELDS[name]
    items = list(rlp.decode(filled().rlp()))
    index = list(HEADER_FIELDS).index(name)
    wrong = [[]]
    if isinstance(kind, int):
        wrong += [bytes(kind - 1), bytes(kind + 1)]
    elif kind != "bytes":
        wrong += [b"\0", b"\1" * (int(kind[4:]) // 8 + 1)]
    for value in wrong:
        items[index] = value
        with pytest.raises(InputError, match=f"^header {name}: "):
            Header.from_rlp(rlp.encode(items))


def test_headers_with_gaps_or_wrong_counts_are_rejected():
    with pytest.raises(InputError, match="withdrawals_root: is there although base_fee before it is not"):
        replace(filled(15), withdrawals_root=bytes(32))
    with pytest.raises(InputError, match="header number"):
        replace(filled(), number=2**64)
    with pytest.raises(InputError, match="header number"):
        replace(filled(), number=-1)
    items = list(rlp.decode(filled().rlp()))
    for wrong in (items[:14], [*items, b""], []):
        with pytest.raises(InputError, match=r"header: .* fields"):
            Header.from_rlp(rlp.encode(wrong))
    assert len(OPTIONAL_FIELDS) == 6


uint64 = st.integers(0, 2**64 - 1)


@given(uint64, uint64, st.binary(min_size=20, max_size=20), uint64)
def test_withdrawals(index, validator, address, amount):
    withdrawal = Withdrawal(index, validator, address, amount)
    assert withdrawal.rlp() == reference.encode([index, validator, address, amount])
    assert Withdrawal.from_rlp(withdrawal.rlp()) == withdrawal


def test_bad_withdrawals():
    with pytest.raises(InputError, match="withdrawal amount"):
        Withdrawal(0, 0, bytes(20), 2**64).rlp()
    with pytest.raises(InputError, match="withdrawal address"):
        Withdrawal(0, 0, bytes(19), 0).rlp()
    for wrong in (
        [b"", b"", bytes(20)],
        [b"\0", b"", bytes(20), b""],
        [b"", b"", bytes(21), b""],
        b"",
        [b"", b"", [], b""],
    ):
        with pytest.raises(InputError, match="withdrawal"):
            Withdrawal.from_rlp(rlp.encode(wrong))


def encode_block(block):
    """The inverse of ``decode_block``."""
    transactions = [rlp.decode(raw) if raw[:1] >= b"\xc0" else raw for raw in block.transactions.items()]
    parts: list[rlp.RlpItem] = [rlp.decode(block.header.rlp()), transactions, rlp.decode(block.ommers_rlp())]
    if block.withdrawals is not None:
        parts.append([rlp.decode(withdrawal.rlp()) for withdrawal in block.withdrawals])
    return rlp.encode(parts)


def test_blocks_round_trip_and_reject_contradictions():
    old, new = filled(15), filled(17)
    raws = [b"\x02\xc0", rlp.encode([b"\1", b"\2"])]
    block = Block(new, Ragged.from_items(raws), (old, old), (Withdrawal(1, 2, bytes(20), 3),))
    encoded = encode_block(block)
    decoded = decode_block(encoded)
    assert (decoded.header, decoded.ommers, decoded.withdrawals) == (block.header, block.ommers, block.withdrawals)
    assert decoded.transactions.items() == raws
    assert reference.encode(reference.decode(encoded)) == encoded
    parts = [encoded[start:stop] for start, stop in rlp.list_spans(encoded)]

    def joined(*pieces: bytes) -> bytes:
        return rlp.encode([rlp.decode(piece) for piece in pieces])

    assert decode_block(joined(*parts)).header == new
    for wrong in (
        joined(*parts[:3]),
        joined(*parts[:2]),
        joined(*parts, b"\xc0"),
        joined(old.rlp(), *parts[1:]),
        joined(parts[0], rlp.encode([b""]), *parts[2:]),
        joined(parts[0], rlp.encode([b"\x80"]), *parts[2:]),
        joined(parts[0], parts[1], rlp.encode([[]]), parts[3]),
        b"",
        b"\x80",
    ):
        with pytest.raises(InputError):
            decode_block(wrong)
    for end in range(len(encoded)):
        with pytest.raises(InputError):
            decode_block(encoded[:end])


def official_blocks(data_dir, folder):
    archive = data_dir / "ethereum-tests" / "BlockchainTests.tar.gz"
    if not archive.is_file():
        pytest.skip("no ethereum-tests/BlockchainTests.tar.gz")
    with tarfile.open(archive) as tar:
        for member in tar:
            if member.isfile() and f"/{folder}/" in member.name and member.name.endswith(".json"):
                file = tar.extractfile(member)
                assert file is not None
                for test in json.load(file).values():
                    yield from test["blocks"]
                    yield {"rlp": test["genesisRLP"], "blockHeader": test["genesisBlockHeader"]}


def test_official_valid_blocks(data_dir):
    """Header fields and hash, ommers hash, transactions root, withdrawals root and senders of every valid official
    block.
    """
    blocks = transactions = 0
    for expected in official_blocks(data_dir, "ValidBlocks"):
        if "expectException" in expected:
            continue
        raw = bytes.fromhex(expected["rlp"][2:])
        block = decode_block(raw)
        assert encode_block(block) == raw
        header = expected["blockHeader"]
        assert block.header.hash(KERNELS).hex() == header["hash"][2:]
        assert block.header.number == int(header["number"], 16)
        assert block.header.base_fee == int(header["baseFeePerGas"], 16)
        assert block.header.logs_bloom.hex() == header["bloom"][2:]
        assert keccak256(block.ommers_rlp()) == block.header.ommers_hash
        assert ordered_root(block.transactions.items()) == block.header.transactions_root
        assert block.withdrawals is not None
        assert ordered_root([item.rlp() for item in block.withdrawals]) == block.header.withdrawals_root
        batch = decode_transactions(block.transactions)
        recover_senders(batch, KERNELS)
        assert batch.sender is not None
        for i, transaction in enumerate(expected.get("transactions", [])):
            if "sender" in transaction:
                assert batch.sender[i].tobytes().hex() == transaction["sender"][2:]
            assert batch.data.item(i).hex() == transaction["data"][2:]
            assert int(batch.nonce[i]) == int(transaction["nonce"], 16)
        blocks += 1
        transactions += batch.count
    assert blocks > 400 and transactions > 500
