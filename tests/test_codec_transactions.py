"""The columnar transaction codec against the ``rlp`` package, coincurve, published vectors, and hostile envelopes."""

from __future__ import annotations

import numpy as np
import pytest
import rlp as reference
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chaindp.chain.codec import words
from chaindp.chain.codec.transactions import (
    MAX_LEGACY_CHAIN_ID,
    assemble,
    decode_transactions,
    recover_senders,
    signing_hashes,
    signing_payloads,
    unsigned_batch,
)
from chaindp.chain.types import Ragged
from chaindp.errors import InputError
from codec_reference import ORDER, address_of, keccak256, minimal, reference_kernels, sign, transaction

KERNELS = reference_kernels()
SECRET = bytes(range(1, 33))
FIELDS = {
    "chain_id": 1,
    "nonce": 5,
    "max_fee": 100,
    "max_priority_fee": 2,
    "gas_limit": 21_000,
    "to": bytes(range(20)),
    "value": 10**18,
    "data": b"\x01\x02" * 30,
    "access_list": [[bytes(20), [bytes(32), b"\x01" * 32]], [b"\x02" * 20, []]],
    "blob_fee": 7,
    "blob_hashes": [b"\x01" + bytes(31)],
    "authorizations": [[b"\x01", bytes(20), b"", b"\x01", b"\x07", b"\x09"]],
}
# A signature that is in range without signing anything: decoding does not recover.
SIGNATURE = (7).to_bytes(32, "big") + (9).to_bytes(32, "big") + b"\x01"

uint64 = st.one_of(st.integers(0, 300), st.integers(0, 2**64 - 1))
uint256 = st.one_of(st.integers(0, 300), st.integers(0, 2**256 - 1))
address = st.binary(min_size=20, max_size=20)
word = st.binary(min_size=32, max_size=32)


@st.composite
def transactions(draw, kinds=(0, 1, 2, 3, 4)):
    kind = draw(st.sampled_from(kinds))
    fees = sorted([draw(uint256), draw(uint256)])
    fields = {
        "chain_id": draw(st.integers(0, MAX_LEGACY_CHAIN_ID) if kind == 0 else uint64),
        "nonce": draw(uint64),
        "max_fee": fees[1],
        "max_priority_fee": fees[0],
        "gas_limit": draw(uint64),
        "to": draw(address) if kind > 2 else draw(st.one_of(st.just(b""), address)),
        "value": draw(uint256),
        "data": draw(st.binary(max_size=70)),
        "access_list": draw(st.lists(st.tuples(address, st.lists(word, max_size=3)).map(list), max_size=3)),
        "blob_fee": draw(uint256),
        "blob_hashes": [
            b"\x01" + tail for tail in draw(st.lists(st.binary(min_size=31, max_size=31), min_size=1, max_size=3))
        ],
        "authorizations": [
            [
                minimal(draw(uint256)),
                draw(address),
                minimal(draw(uint64)),
                minimal(draw(st.integers(0, 255))),
                b"\x07",
                b"\x09",
            ]
            for _ in range(draw(st.integers(1, 2)))
        ],
    }
    r, s = draw(st.integers(1, ORDER - 1)), draw(st.integers(1, ORDER // 2))
    signature = r.to_bytes(32, "big") + s.to_bytes(32, "big") + bytes([draw(st.integers(0, 1))])
    return kind, fields, signature


def decode_one(raw: bytes, **options):
    return decode_transactions(Ragged.from_items([raw]), **options)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(transactions(), max_size=5))
def test_columns_hold_the_fields_and_both_encodings_agree_with_the_rlp_package(cases):
    raws = [transaction(kind, signature, fields) for kind, fields, signature in cases]
    batch = decode_transactions(Ragged.from_items(raws))
    assert signing_payloads(batch).items() == [transaction(kind, None, fields) for kind, fields, _ in cases]
    assert assemble(batch, batch.signature).items() == raws
    for i, (kind, fields, signature) in enumerate(cases):
        assert batch.type[i] == kind
        assert batch.chain_id[i] == fields["chain_id"]
        assert batch.nonce[i] == fields["nonce"]
        assert batch.gas_limit[i] == fields["gas_limit"]
        assert int.from_bytes(bytes(batch.max_fee[i]), "big") == fields["max_fee"]
        assert (
            int.from_bytes(bytes(batch.max_priority_fee[i]), "big")
            == fields["max_priority_fee" if kind > 1 else "max_fee"]
        )
        assert int.from_bytes(bytes(batch.value[i]), "big") == fields["value"]
        assert batch.creates[i] == (fields["to"] == b"")
        assert batch.to[i].tobytes() == (fields["to"] or bytes(20))
        assert batch.data.item(i) == fields["data"]
        assert batch.access_lists.item(i) == (reference.encode(fields["access_list"]) if kind else b"")
        assert batch.signature[i].tobytes() == signature


@pytest.mark.parametrize("kind", range(5))
def test_senders_and_hashes(kind):
    secrets = [bytes([i + 1]) * 32 for i in range(3)]
    raws = []
    for nonce, secret in enumerate(secrets):
        fields = FIELDS | {"nonce": nonce, "chain_id": (0, 1, 1337)[nonce]}
        raws.append(transaction(kind, sign(keccak256(transaction(kind, None, fields)), secret), fields))
    batch = decode_transactions(Ragged.from_items(raws))
    recover_senders(batch, KERNELS)
    assert batch.sender is not None and batch.hash is not None
    assert [row.tobytes() for row in batch.sender] == [address_of(secret) for secret in secrets]
    assert [row.tobytes() for row in batch.hash] == [keccak256(raw) for raw in raws]


def test_eip_155_example():
    """The worked example of EIP-155: payload, digest, signature and envelope as published."""
    batch = unsigned_batch(
        type=np.zeros(1, dtype=np.uint8),
        chain_id=np.array([1], dtype=np.uint64),
        nonce=np.array([9], dtype=np.uint64),
        gas_limit=np.array([21_000], dtype=np.uint64),
        max_fee=words.ints_to_words([20 * 10**9]),
        to=np.full((1, 20), 0x35, dtype=np.uint8),
        value=words.ints_to_words([10**18]),
    )
    payload = "ec098504a817c800825208943535353535353535353535353535353535353535880de0b6b3a764000080018080"
    assert signing_payloads(batch).item(0).hex() == payload
    digest = "daf5a779ae972f972197303d7b574746c7ef83eadac0f2791ad23db92e4c8e53"
    assert signing_hashes(batch, KERNELS)[0].tobytes().hex() == digest
    r = 0x28EF61340BD939BC2195FE537567866003E1A15D3C71FF63E1590620AA636276
    s = 0x67CBE9D8997F761AECB703304B3800CCF555C9F3DC64214B297FB1966A3B6D83
    signature = np.frombuffer(r.to_bytes(32, "big") + s.to_bytes(32, "big") + b"\0", dtype=np.uint8).reshape(1, 65)
    raw = assemble(batch, signature)
    assert raw.item(0).hex() == (
        "f86c098504a817c800825208943535353535353535353535353535353535353535880de0b6b3a76400008025a0"
        "28ef61340bd939bc2195fe537567866003e1a15d3c71ff63e1590620aa636276a0"
        "67cbe9d8997f761aecb703304b3800ccf555c9f3dc64214b297fb1966a3b6d83"
    )
    decoded = decode_transactions(raw)
    recover_senders(decoded, KERNELS)
    assert decoded.sender is not None
    assert decoded.sender[0].tobytes() == address_of(b"\x46" * 32)


# field to set, value, types it applies to, what the message must say
BAD_FIELDS = [
    ("nonce", b"\0", (0, 1, 2, 3, 4), "nonce is an integer with a leading zero"),
    ("nonce", b"\0\1", (0, 1, 2, 3, 4), "nonce is an integer with a leading zero"),
    ("nonce", b"\1" * 9, (0, 1, 2, 3, 4), "nonce is an integer that is too large"),
    ("nonce", [], (0, 1, 2, 3, 4), "nonce is a list"),
    ("gas_limit", b"\1" * 9, (0, 1, 2, 3, 4), "gas_limit is an integer that is too large"),
    ("max_fee", b"\1" * 33, (0, 1), "gas_price is an integer that is too large"),
    ("max_fee", b"\1" * 33, (2, 3, 4), "max_fee_per_gas is an integer that is too large"),
    ("max_fee", b"\0\1", (2, 3, 4), "max_fee_per_gas is an integer with a leading zero"),
    ("max_priority_fee", b"\1" * 2, (2, 3, 4), "max_priority_fee_per_gas is above max_fee_per_gas"),
    ("value", b"\1" * 33, (0, 1, 2, 3, 4), "value is an integer that is too large"),
    ("value", b"\0", (0, 1, 2, 3, 4), "value is an integer with a leading zero"),
    ("to", b"\1" * 19, (0, 1, 2, 3, 4), "to has the wrong number of bytes"),
    ("to", b"\1" * 21, (0, 1, 2, 3, 4), "to has the wrong number of bytes"),
    ("to", b"\0", (0, 1, 2, 3, 4), "to has the wrong number of bytes"),
    ("to", b"", (3, 4), "to has the wrong number of bytes"),
    ("to", [b"\1" * 20], (0, 1, 2, 3, 4), "to is a list"),
    ("data", [b"\1"], (0, 1, 2, 3, 4), "data is a list"),
    ("chain_id", b"\1" * 9, (1, 2, 3, 4), "chain_id is an integer that is too large"),
    ("access_list", b"", (1, 2, 3, 4), "access_list is a byte string"),
    ("access_list", [b""], (1, 2, 3, 4), "access_list is a byte string"),
    ("access_list", [[]], (1, 2, 3, 4), "access_list is missing"),
    ("access_list", [[bytes(20)]], (1, 2, 3, 4), "access_list is missing"),
    ("access_list", [[bytes(19), []]], (1, 2, 3, 4), "access_list has the wrong number of bytes"),
    ("access_list", [[bytes(20), [bytes(31)]]], (1, 2, 3, 4), "access_list has the wrong number of bytes"),
    ("access_list", [[bytes(20), [[]]]], (1, 2, 3, 4), "access_list is a list"),
    ("access_list", [[bytes(20), [], b""]], (1, 2, 3, 4), "access_list has bytes or fields after its end"),
    ("blob_fee", b"\1" * 33, (3,), "max_fee_per_blob_gas is an integer that is too large"),
    ("blob_hashes", [], (3,), "blob_versioned_hashes is empty"),
    ("blob_hashes", [bytes(32)], (3,), "blob_versioned_hashes has a hash whose version is not 1"),
    ("blob_hashes", [b"\1" * 31], (3,), "blob_versioned_hashes has the wrong number of bytes"),
    ("authorizations", [], (4,), "authorization_list is empty"),
    ("authorizations", [[b"\1"] * 5], (4,), "authorization_list has the wrong number of bytes"),
    ("authorizations", [[b"", bytes(20), b"", b"", b"\1"]], (4,), "authorization_list is missing"),
    (
        "authorizations",
        [[b"", bytes(20), b"", b"", b"\1", b"\1", b""]],
        (4,),
        "authorization_list has bytes or fields after",
    ),
    (
        "authorizations",
        [[b"", bytes(20), b"\1" * 9, b"", b"\1", b"\1"]],
        (4,),
        "authorization_list is an integer that is too large",
    ),
]
ORDER_OF_FIELDS = {
    0: ["nonce", "max_fee", "gas_limit", "to", "value", "data"],
    1: ["chain_id", "nonce", "max_fee", "gas_limit", "to", "value", "data", "access_list"],
    2: ["chain_id", "nonce", "max_priority_fee", "max_fee", "gas_limit", "to", "value", "data", "access_list"],
}
ORDER_OF_FIELDS[3] = [*ORDER_OF_FIELDS[2], "blob_fee", "blob_hashes"]
ORDER_OF_FIELDS[4] = [*ORDER_OF_FIELDS[2], "authorizations"]


def raw_with(kind: int, changes: dict, tail: list | None = None) -> bytes:
    """An envelope whose fields are given as raw RLP items, so that they can be wrong."""
    body = []
    for name in ORDER_OF_FIELDS[kind]:
        value = changes.get(name, FIELDS[name])
        body.append(minimal(value) if isinstance(value, int) else value)
    body += tail if tail is not None else [b"\x26" if kind == 0 else b"\x01", b"\x07", b"\x09"]
    return (bytes([kind]) if kind else b"") + reference.encode(body)


@pytest.mark.parametrize(
    ("kind", "field", "value", "message"),
    [(kind, field, value, message) for field, value, kinds, message in BAD_FIELDS for kind in kinds],
)
def test_bad_fields_are_named(kind, field, value, message):
    good = raw_with(kind, {})
    assert decode_one(good).count == 1
    changes = {field: value}
    if field == "max_priority_fee":
        changes["max_fee"] = b"\1"
    with pytest.raises(InputError, match=f"^transaction 1: {message}"):
        decode_transactions(Ragged.from_items([good, raw_with(kind, changes), good]))


@pytest.mark.parametrize("kind", range(5))
@pytest.mark.parametrize(
    ("r", "s", "message"),
    [
        (0, 9, "r is zero"),
        (7, 0, "s is zero"),
        (ORDER, 9, "r is not below the order"),
        (2**256 - 1, 9, "r is not below the order"),
        (7, ORDER, "s is not below the order"),
        (7, ORDER // 2 + 1, "s is in the upper half"),
        (7, ORDER - 1, "s is in the upper half"),
        (2**256, 9, "r is an integer that is too large"),
    ],
)
def test_signature_ranges(kind, r, s, message):
    raw = raw_with(kind, {}, [b"\x26" if kind == 0 else b"\x01", minimal(r), minimal(s)])
    with pytest.raises(InputError, match=f"^transaction 0: {message}"):
        decode_one(raw)
    if "upper half" in message:
        batch = decode_one(raw, low_s=False)
        assert int.from_bytes(bytes(batch.signature[0, 32:64]), "big") == s
    else:
        with pytest.raises(InputError):
            decode_one(raw, low_s=False)


@pytest.mark.parametrize("s", [1, ORDER // 2])
def test_the_edges_of_the_signature_range_are_inside(s):
    batch = decode_one(raw_with(2, {}, [b"", minimal(ORDER - 1), minimal(s)]))
    assert int.from_bytes(bytes(batch.signature[0, :32]), "big") == ORDER - 1


@pytest.mark.parametrize(
    ("v", "chain_id", "parity"),
    [
        (27, 0, 0),
        (28, 0, 1),
        (37, 1, 0),
        (38, 1, 1),
        (2**64 - 3, MAX_LEGACY_CHAIN_ID, 0),
        (2**64 - 2, MAX_LEGACY_CHAIN_ID, 1),
    ],
)
def test_legacy_v(v, chain_id, parity):
    batch = decode_one(raw_with(0, {}, [minimal(v), b"\7", b"\x09"]))
    assert (int(batch.chain_id[0]), int(batch.signature[0, 64])) == (chain_id, parity)
    assert assemble(batch, batch.signature).items() == batch.raw.items()


@pytest.mark.parametrize("v", [0, 1, 26, 29, 34, 35, 36, 2**64 - 1, 2**64])
def test_other_legacy_v_are_rejected(v):
    with pytest.raises(InputError, match="transaction 0: v is"):
        decode_one(raw_with(0, {}, [minimal(v), b"\7", b"\x09"]))


@pytest.mark.parametrize("parity", [2, 27, 255, 256])
@pytest.mark.parametrize("kind", [1, 2, 3, 4])
def test_parity_is_zero_or_one(kind, parity):
    with pytest.raises(InputError, match="y_parity is neither 0 nor 1"):
        decode_one(raw_with(kind, {}, [minimal(parity), b"\7", b"\x09"]))


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"", "envelope is empty"),
        (b"\x00", "type is none of 0 to 4"),
        (b"\x00\xc0", "type is none"),
        (b"\x05\xc0", "type is none"),
        (b"\x7f\xc0", "type is none"),
        (b"\x80", "type is none"),
        (b"\xbf" + b"\xff" * 8, "type is none"),
        (b"\xff" + b"\xff" * 8, "envelope claims more bytes"),
        (b"\xff\x7f" + b"\xff" * 7, "envelope claims more bytes"),
        (b"\xff\x80" + bytes(7), "envelope claims more bytes"),
        (b"\xf8", "envelope its length is cut off"),
        (b"\xff\x01", "envelope its length is cut off"),
        (b"\xf9\x00\x80", "envelope its length has a leading zero"),
        (b"\xf8\x01\x80", "envelope its length is in the long form"),
        (b"\x01", "envelope is missing"),
        (b"\x02\x80", "envelope is a byte string"),
        (b"\x02\xbf" + b"\xff" * 8, "envelope claims more bytes"),
        (b"\xc0", "nonce is missing"),
        (b"\x02\xc0", "chain_id is missing"),
        (b"\xc9\xbf" + b"\xff" * 8, "nonce claims more bytes"),
        (b"\xc2\x81\x05", "nonce is a single byte with a needless prefix"),
        (b"\xc0\x00", "envelope has bytes or fields after its end"),
    ],
)
def test_hostile_envelopes(raw, message):
    with pytest.raises(InputError, match=f"^transaction 0: {message}"):
        decode_one(raw)


@pytest.mark.parametrize("kind", range(5))
def test_missing_and_extra_fields_are_rejected(kind):
    full = [b"\x26" if kind == 0 else b"\x01", b"\x07", b"\x09"]
    for missing in range(1, 4):
        with pytest.raises(InputError, match="is missing"):
            decode_one(raw_with(kind, {}, full[:-missing]))
    with pytest.raises(InputError, match="envelope has bytes or fields after its end"):
        decode_one(raw_with(kind, {}, [*full, b""]))


@pytest.mark.parametrize("kind", range(5))
def test_every_truncation_is_rejected(kind):
    raw = transaction(kind, SIGNATURE, FIELDS)
    for end in range(len(raw)):
        with pytest.raises(InputError):
            decode_one(raw[:end])
    with pytest.raises(InputError):
        decode_one(raw + b"\0")


@pytest.mark.parametrize("kind", range(5))
def test_bytes_of_the_next_transaction_are_never_read(kind):
    """A length that reaches into the following item of the buffer must not be believed."""
    raw = transaction(kind, SIGNATURE, FIELDS)
    joined = Ragged.from_items([raw[:-5], raw[-5:] + raw])
    with pytest.raises(InputError, match="transaction 0: envelope claims more bytes"):
        decode_transactions(joined)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(transactions(), st.data())
def test_mutations_raise_only_input_errors_and_what_is_accepted_is_canonical(case, data):
    kind, fields, signature = case
    raw = bytearray(transaction(kind, signature, fields))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(raw) - 1))
        if data.draw(st.booleans()):
            raw[at] = data.draw(st.integers(0, 255))
        elif data.draw(st.booleans()) and len(raw) > 1:
            del raw[at]
        else:
            raw.insert(at, data.draw(st.integers(0, 255)))
    try:
        batch = decode_one(bytes(raw))
    except InputError:
        return
    assert assemble(batch, batch.signature).item(0) == bytes(raw)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200))
def test_random_bytes_raise_only_input_errors(raw):
    try:
        batch = decode_one(raw)
    except InputError:
        return
    assert assemble(batch, batch.signature).item(0) == raw


def test_an_empty_batch():
    batch = decode_transactions(Ragged.from_items([]))
    assert batch.count == 0
    assert signing_payloads(batch).count == assemble(batch, batch.signature).count == 0
    recover_senders(batch, KERNELS)


def test_a_slice_of_a_larger_buffer_decodes():
    raws = [transaction(kind, SIGNATURE, FIELDS) for kind in (0, 1, 2, 3, 4)]
    batch = decode_transactions(Ragged.from_items(raws).slice(1, 4))
    assert batch.type.tolist() == [1, 2, 3]


def test_offsets_outside_the_buffer_are_refused():
    data = np.zeros(4, dtype=np.uint8)
    for offsets in ([0, 5], [-1, 4], [0, 3, 2]):
        with pytest.raises(InputError, match="offsets"):
            decode_transactions(Ragged(data, np.array(offsets, dtype=np.int64)))


def test_a_signature_that_fits_no_key_is_named():
    """r = 5 is the x coordinate of no point on secp256k1."""
    good = transaction(2, sign(keccak256(transaction(2, None, FIELDS)), SECRET), FIELDS)
    bad = transaction(2, (5).to_bytes(32, "big") + (9).to_bytes(32, "big") + b"\0", FIELDS)
    batch = decode_transactions(Ragged.from_items([good, bad]))
    with pytest.raises(InputError, match="transaction 1: the signature does not recover"):
        recover_senders(batch, KERNELS)


def test_assemble_checks_signatures_and_columns():
    batch = decode_one(transaction(0, SIGNATURE, FIELDS))
    with pytest.raises(InputError, match="signatures"):
        assemble(batch, np.zeros((2, 65), dtype=np.uint8))
    wrong = batch.signature.copy()
    wrong[0, 64] = 2
    with pytest.raises(InputError, match="y_parity"):
        assemble(batch, wrong)
    batch.chain_id = np.array([MAX_LEGACY_CHAIN_ID + 1], dtype=np.uint64)
    with pytest.raises(InputError, match="chain_id"):
        assemble(batch, batch.signature)
    batch.chain_id = np.array([1, 2], dtype=np.uint64)
    with pytest.raises(InputError, match="column chain_id"):
        assemble(batch, batch.signature)


def test_types_3_and_4_need_their_own_fields():
    batch = decode_one(transaction(4, SIGNATURE, FIELDS))
    batch.extra = None
    for encode in (signing_payloads, lambda item: assemble(item, item.signature)):
        with pytest.raises(InputError, match="extra"):
            encode(batch)


def test_unsigned_batches_check_their_columns():
    batch = decode_one(transaction(2, SIGNATURE, FIELDS))
    names = ("type", "chain_id", "nonce", "gas_limit", "max_fee", "max_priority_fee", "to", "value", "data")
    columns = {name: getattr(batch, name) for name in (*names, "access_lists")}
    unsigned = unsigned_batch(**columns)
    assert signing_payloads(unsigned).items() == signing_payloads(batch).items()
    assert assemble(unsigned, batch.signature).items() == batch.raw.items()
    for name in names:
        wrong = columns[name].slice(0, 0) if name == "data" else np.concatenate([columns[name]] * 2)
        with pytest.raises(InputError, match="transaction column"):
            unsigned_batch(**columns | {name: wrong})
    with pytest.raises(InputError, match="type: 5 is none"):
        unsigned_batch(**columns | {"type": np.array([5], dtype=np.uint8)})


@given(st.lists(uint256, max_size=5))
def test_words(values):
    rows = words.ints_to_words(values)
    assert rows.flags.writeable
    assert [bytes(row) for row in rows] == [value.to_bytes(32, "big") for value in values]
    assert words.words_to_ints(rows) == values
    small = [value >> 192 for value in values]
    assert words.words_to_ints(words.ints_to_words(small)) == small


def test_words_out_of_range():
    for value in (-1, 2**256):
        with pytest.raises(InputError, match="256-bit"):
            words.ints_to_words([0, value])
