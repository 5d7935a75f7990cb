"""JSON-RPC input: missing, mistyped and malformed fields, broken files and hostile sizes are one-line errors."""

from __future__ import annotations

import gzip
import json
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chaindp.chain.codec import jsonfile
from chaindp.chain.codec.rpc import parse_block, read_block
from chaindp.chain.codec.transactions import decode_transactions
from chaindp.errors import InputError
from codec_reference import keccak256, sign, transaction

ACCESS = [{"address": "0x" + "11" * 20, "storageKeys": ["0x" + "22" * 32]}]
COMMON = {
    "blockHash": "0x" + "aa" * 32,
    "blockNumber": "0x64",
    "from": "0x" + "33" * 20,
    "hash": "0x" + "44" * 32,
    "to": "0x" + "55" * 20,
    "nonce": "0x5",
    "gas": "0x5208",
    "value": "0x0",
    "input": "0xdead",
    "r": "0x7",
    "s": "0x9",
}
TYPED = COMMON | {"chainId": "0x1", "accessList": ACCESS, "yParity": "0x1", "v": "0x1"}
FEES = {"maxFeePerGas": "0x64", "maxPriorityFeePerGas": "0x2", "gasPrice": "0x9"}
AUTHORIZATION = {
    "chainId": "0x1",
    "address": "0x" + "00" * 20,
    "nonce": "0x0",
    "yParity": "0x1",
    "r": "0x7",
    "s": "0x9",
}
TRANSACTIONS = [
    COMMON | {"type": "0x0", "v": "0x1b", "gasPrice": "0x64"},
    TYPED | {"type": "0x1", "gasPrice": "0x64"},
    TYPED | FEES | {"type": "0x2"},
    TYPED | FEES | {"type": "0x3", "maxFeePerBlobGas": "0x7", "blobVersionedHashes": ["0x01" + "00" * 31]},
    TYPED | FEES | {"type": "0x4", "authorizationList": [AUTHORIZATION]},
]
BLOCK = {
    "hash": "0x" + "aa" * 32,
    "parentHash": "0x" + "01" * 32,
    "sha3Uncles": "0x1dcc4de8dec75d7aab85b567b6ccd41ad312451b948a7413f0a142fd40d49347",
    "miner": "0x" + "02" * 20,
    "stateRoot": "0x" + "03" * 32,
    "transactionsRoot": "0x" + "04" * 32,
    "receiptsRoot": "0x" + "05" * 32,
    "logsBloom": "0x" + "00" * 256,
    "difficulty": "0x0",
    "number": "0x64",
    "gasLimit": "0x1000000",
    "gasUsed": "0x5208",
    "timestamp": "0x1",
    "extraData": "0x",
    "mixHash": "0x" + "06" * 32,
    "nonce": "0x0000000000000000",
    "baseFeePerGas": "0x7",
    "withdrawalsRoot": "0x" + "07" * 32,
    "blobGasUsed": "0x20000",
    "excessBlobGas": "0x0",
    "parentBeaconBlockRoot": "0x" + "08" * 32,
    "requestsHash": "0x" + "09" * 32,
    "withdrawals": [{"index": "0x1", "validatorIndex": "0x2", "address": "0x" + "0a" * 20, "amount": "0x3"}],
    "transactions": [tx | {"transactionIndex": hex(i)} for i, tx in enumerate(TRANSACTIONS)],
    "uncles": [],
    "size": "0x10",
    "totalDifficulty": "0x1",
}
# Parsed anew for each use: no two places of a block share an object.
TEXT = json.dumps(BLOCK)


def block(**changes):
    return json.loads(TEXT) | changes


def set_at(value, path, new):
    for step in path[:-1]:
        value = value[step]
    if new is ...:
        del value[path[-1]]
    else:
        value[path[-1]] = new


def leaves(value, path=()):
    """Paths of all values of a JSON tree."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in pairs:
        yield (*path, key)
        yield from leaves(part, (*path, key))


def dotted(path) -> str:
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
    return text


def test_transactions_of_all_types_become_their_envelopes():
    read = parse_block(block(), "here")
    fields = {
        "chain_id": 0,
        "nonce": 5,
        "max_fee": 100,
        "max_priority_fee": 2,
        "gas_limit": 21_000,
        "to": b"\x55" * 20,
        "value": 0,
        "data": b"\xde\xad",
        "access_list": [[b"\x11" * 20, [b"\x22" * 32]]],
        "blob_fee": 7,
        "blob_hashes": [b"\x01" + bytes(31)],
        "authorizations": [[b"\x01", bytes(20), b"", b"\x01", b"\x07", b"\x09"]],
    }
    signature = (7).to_bytes(32, "big") + (9).to_bytes(32, "big")
    expected = [transaction(0, signature + b"\0", fields)]
    expected += [transaction(kind, signature + b"\1", fields | {"chain_id": 1}) for kind in range(1, 5)]
    assert read.transactions.items() == expected
    assert decode_transactions(read.transactions).type.tolist() == [0, 1, 2, 3, 4]
    assert read.disagreements == ()
    assert read.withdrawals is not None and read.withdrawals[0].amount == 3
    assert (read.header.number, read.header.requests_hash) == (100, b"\x09" * 32)
    assert read.senders.shape == (5, 20) and read.tx_hashes.shape == (5, 32)


def test_the_answer_of_a_node_may_be_wrapped():
    assert (
        parse_block({"jsonrpc": "2.0", "id": 1, "result": block()}, "here").header
        == parse_block(block(), "here").header
    )


@pytest.mark.parametrize("path", list(leaves(BLOCK)), ids=dotted)
def test_every_value_that_is_missing_or_of_the_wrong_type_is_named(path):
    """No value of the tree may be replaced by anything malformed without an error that names the field."""
    optional = {
        ("requestsHash",),  # the last fork's field
        ("size",),
        ("totalDifficulty",),
        *((("transactions", i, "type")) for i in (0,)),  # type 0 is what an absent type means
        *((("transactions", i, "v")) for i in (1, 2, 3, 4)),
        *((("transactions", i, "yParity")) for i in (1, 2, 3, 4)),
        *((("transactions", i, "gasPrice")) for i in (2, 3, 4)),
    }
    name = dotted(path)
    if not isinstance(path[-1], int):
        value = block()
        set_at(value, path, ...)
        if path in optional:
            parse_block(value, "file")
        elif path[-1] == "yParity":
            with pytest.raises(InputError, match=r"authorizationList\[0\]\.v: is missing"):
                parse_block(value, "file")
        elif path[-1] in ("baseFeePerGas", "withdrawalsRoot", "blobGasUsed", "excessBlobGas", "parentBeaconBlockRoot"):
            with pytest.raises(InputError, match=f"^file: {path[-1]}: is missing, and requestsHash"):
                parse_block(value, "file")
        else:
            with pytest.raises(InputError) as caught:
                parse_block(value, "file")
            assert str(caught.value).startswith(f"file: {name}: is missing"), caught.value
    for wrong in (
        7,
        1.5,
        True,
        "",
        "12",
        "0xzz",
        "0x123g",
        "0x 1",
        "0X12",
        "0x-1",
        "0x\u0661",
        "x" * 10_000,
        [3],
        {"a": 1},
    ):
        value = block()
        set_at(value, path, wrong)
        with pytest.raises(InputError) as caught:
            parse_block(value, "file")
        message = str(caught.value)
        assert message.startswith(f"file: {name}"), (wrong, message)
        assert "\n" not in message and len(message) < 250


@pytest.mark.parametrize(
    "wrong", [None, [], "x", 3, {"result": None}, {"result": []}, {"error": {"code": -32000, "message": "no"}}]
)
def test_what_is_no_block(wrong):
    with pytest.raises(InputError, match=r"^file: "):
        parse_block(wrong, "file")


@pytest.mark.parametrize(
    ("path", "wrong", "message"),
    [
        (("number",), "0x01", "leading zeros"),
        (("number",), "0x", "not a quantity"),
        (("number",), "0x10000000000000000", "does not fit 64 bits"),
        (("baseFeePerGas",), "0x1" + "0" * 64, "does not fit 256 bits"),
        (("parentHash",), "0x" + "1" * 63, "odd number of digits"),
        (("parentHash",), "0x" + "1" * 62, "32 bytes are expected, there are 31"),
        (("logsBloom",), "0x" + "0" * 514, "256 bytes are expected, there are 257"),
        (("nonce",), "0x0", "odd number"),
        (("transactions", 0, "input"), "0x1", "odd number"),
        (("transactions", 0, "type"), "0x5", "type 5 is none of 0 to 4"),
        (("transactions", 0, "type"), "0x7e", "type 126 is none"),
        (("transactions", 3, "to"), None, "cannot create"),
        (("transactions", 4, "to"), None, "cannot create"),
        (("transactions", 2, "value"), "0x1" + "0" * 64, "does not fit 256 bits"),
        (("transactions", 0, "v"), "0x1" + "0" * 16, "does not fit 64 bits"),
        (("transactions", 4, "authorizationList", 0, "yParity"), "0x100", "does not fit 8 bits"),
        (("transactions",), ["0x" + "11" * 32], "hashes only"),
        (("withdrawals",), None, "withdrawals: is missing, and withdrawalsRoot is there"),
        (("blobGasUsed",), None, "blobGasUsed: is missing"),
    ],
)
def test_values_out_of_range(path, wrong, message):
    value = block()
    set_at(value, path, wrong)
    with pytest.raises(InputError, match=message) as caught:
        parse_block(value, "file")
    assert str(caught.value).startswith("file: ")


def test_contract_creation_checksummed_addresses_and_padded_signatures():
    value = block()
    value["transactions"][0]["to"] = None
    value["transactions"][1]["to"] = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"
    value["transactions"][1]["r"] = "0x" + "0" * 63 + "7"
    batch = decode_transactions(parse_block(value, "file").transactions)
    assert batch.creates.tolist() == [True, False, False, False, False]
    assert batch.to[1].tobytes().hex() == "5aaeb6053f3e94c9b9a09f33669435e7ef1beaed"
    assert batch.signature[1, :32].tobytes() == (7).to_bytes(32, "big")


@pytest.mark.parametrize(
    ("path", "value", "field"),
    [
        (("transactions", 1, "blockHash"), "0x" + "bb" * 32, "transactions[1].blockHash"),
        (("transactions", 1, "blockNumber"), "0x65", "transactions[1].blockNumber"),
        (("transactions", 1, "transactionIndex"), "0x2", "transactions[1].transactionIndex"),
        (("transactions", 1, "v"), "0x0", "transactions[1].v"),
    ],
)
def test_contradictions_are_kept_for_the_verifier(path, value, field):
    changed = block()
    set_at(changed, path, value)
    assert [item.field for item in parse_block(changed, "a: b").disagreements] == [field]


def test_files(tmp_path):
    data = json.dumps(BLOCK).encode()
    plain, packed = tmp_path / "block.json", tmp_path / "block.json.gz"
    plain.write_bytes(data)
    packed.write_bytes(gzip.compress(data))
    assert read_block(plain).header == read_block(str(packed)).header
    packed.write_bytes(gzip.compress(data[:100]) + gzip.compress(data[100:]))
    assert read_block(packed).header == read_block(plain).header


def corrupt(data: bytes) -> bytes:
    return data[:-8] + bytes([data[-8] ^ 1]) + data[-7:]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("b.json", b"", "malformed JSON"),
        ("b.json", b"{", "malformed JSON"),
        ("b.json", json.dumps(BLOCK).encode()[:-1], "malformed JSON"),
        ("b.json", b"\xff\xfe", "malformed JSON"),
        ("b.json", b'{"a": NaN}', "malformed JSON: NaN is not JSON"),
        ("b.json", b"[" * 200_000, "malformed JSON: nested too deeply"),
        ("b.json", b"1" * 10_000, "malformed JSON"),
        ("b.json.gz", b"{}", "is not gzip data"),
        ("b.json.gz", b"", "is not gzip data"),
        ("b.json.gz", gzip.compress(b"{}" * 5000, mtime=0)[:-1], "cut off"),
        ("b.json.gz", gzip.compress(b"{}" * 5000, mtime=0)[:30], "cut off"),
        ("b.json.gz", b"\x1f\x8b", "cut off"),
        ("b.json.gz", corrupt(gzip.compress(b"{}", mtime=0)), "damaged gzip data"),
        ("b.json.gz", gzip.compress(b"{}", mtime=0) + b"junk", "damaged gzip data"),
    ],
)
def test_broken_files(tmp_path, name, content, message):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        read_block(path)
    assert str(caught.value).startswith(f"{path}: ") and "\n" not in str(caught.value)


def test_no_file_at_all(tmp_path):
    for path in (tmp_path / "nothing.json", tmp_path, "/dev/zero", "a\0b"):
        with pytest.raises(InputError):
            read_block(path)


def test_a_decompression_bomb_stops_at_the_limit(tmp_path):
    packer = zlib.compressobj(9, wbits=31)
    bomb = b"".join(packer.compress(b" " * (1 << 20)) for _ in range(80)) + packer.flush()
    assert len(bomb) < 200_000
    path = tmp_path / "bomb.json.gz"
    path.write_bytes(bomb)
    with pytest.raises(InputError, match=f"decompresses to more than {jsonfile.MAX_BYTES} bytes"):
        read_block(path)
    path.write_bytes(gzip.compress(b" " * 600) * 3)
    with pytest.raises(InputError, match="more than 1500 bytes"):
        jsonfile.read_bounded(path, 1500)
    assert len(jsonfile.read_bounded(path, 1800)) == 1800
    with (tmp_path / "sparse.json").open("wb") as file:
        file.truncate(jsonfile.MAX_BYTES + 1)
    with pytest.raises(InputError, match="at most"):
        read_block(tmp_path / "sparse.json")


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_random_changes_never_raise_anything_else(data):
    value = block()
    paths = list(leaves(value))
    new = st.one_of(
        st.none(), st.booleans(), st.integers(), st.text(max_size=5), st.just({}), st.just([]),
        st.integers(0, 2**260).map(hex), st.binary(max_size=40).map(lambda raw: "0x" + raw.hex()),
    )  # fmt: skip
    for path in data.draw(st.lists(st.sampled_from(paths), min_size=1, max_size=3)):
        try:
            set_at(value, path, data.draw(new))
        except (KeyError, TypeError, IndexError):
            continue  # an earlier change removed the way to it
    try:
        read = parse_block(value, "file")
        decode_transactions(read.transactions)
    except InputError as error:
        message = str(error)
    else:
        message = ""
    assert "\n" not in message


def test_real_envelopes_hash_as_signed():
    """A signed transaction put into JSON and back has the same hash."""
    fields = {"nonce": 1, "max_fee": 9, "gas_limit": 21_000, "to": bytes(20), "value": 5, "data": b"", "chain_id": 1}
    signature = sign(keccak256(transaction(0, None, fields)), b"\x01" * 32)
    raw = transaction(0, signature, fields)
    tx = COMMON | {
        "transactionIndex": "0x0",
        "nonce": "0x1",
        "gasPrice": "0x9",
        "gas": "0x5208",
        "to": "0x" + "00" * 20,
        "value": "0x5",
        "input": "0x",
        "v": hex(37 + signature[64]),
        "chainId": "0x1",
        "r": hex(int.from_bytes(signature[:32], "big")),
        "s": hex(int.from_bytes(signature[32:64], "big")),
    }
    assert parse_block(block(transactions=[tx]), "file").transactions.items() == [raw]
