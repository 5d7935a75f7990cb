"""Plain-Python RLP: published vectors, the ``rlp`` package as a second opinion, and hostile input."""

from __future__ import annotations

import contextlib

import pytest
import rlp as reference
from hypothesis import given, settings
from hypothesis import strategies as st

from chaindp.chain.codec import rlp
from chaindp.errors import InputError

# Ethereum wiki and Yellow Paper examples.
VECTORS = [
    (b"dog", "83646f67"),
    ([b"cat", b"dog"], "c88363617483646f67"),
    (b"", "80"),
    ([], "c0"),
    (b"\x00", "00"),
    (b"\x0f", "0f"),
    (b"\x7f", "7f"),
    (b"\x80", "8180"),
    (b"\x04\x00", "820400"),
    ([[], [[]], [[], [[]]]], "c7c0c1c0c3c0c1c0"),
    (b"a" * 55, "b7" + "61" * 55),
    (b"a" * 56, "b838" + "61" * 56),
    (b"a" * 256, "b90100" + "61" * 256),
    ([b"a"] * 55, "f7" + "61" * 55),
    ([b"a"] * 56, "f838" + "61" * 56),
]

# What the official invalidRLPTest.json covers, and more.
INVALID = [
    "",
    "8100",
    "817f",
    "81",
    "b800",
    "b801ff",
    "b837" + "61" * 55,
    "b90037" + "61" * 55,
    "b90038" + "61" * 56,
    "f800",
    "f803112233",
    "f90038" + "61" * 56,
    "c5010203",
    "c20102ff",
    "00ff",
    "8080",
    "c0c0",
    "bf0f000000000000021111",
    "ff0f000000000000021111",
    "bfffffffffffffffff",
    "ffffffffffffffffff0001020304050607",
    "bf8000000000000000",
    "bf7fffffffffffffff",
    "bb7fffffff61",
    "f80180",
    "c18100",
    "c181",
    "c2c201",
    "b8",
    "f8",
    "bf",
    "bf01",
]

items = st.recursive(st.binary(max_size=70), lambda children: st.lists(children, max_size=6), max_leaves=25)


def listed(item):
    """``rlp`` yields tuples or lists depending on its version."""
    return item if isinstance(item, bytes) else [listed(part) for part in item]


@pytest.mark.parametrize(("item", "encoding"), VECTORS)
def test_published_vectors_in_both_directions(item, encoding):
    assert rlp.encode(item).hex() == encoding
    assert rlp.decode(bytes.fromhex(encoding)) == item


@pytest.mark.parametrize("encoding", INVALID)
def test_invalid_encodings_are_rejected(encoding):
    with pytest.raises(InputError, match="RLP"):
        rlp.decode(bytes.fromhex(encoding))


@given(items)
def test_round_trip_and_the_rlp_package_agree(item):
    encoded = rlp.encode(item)
    assert encoded == reference.encode(item)
    assert rlp.decode(encoded) == listed(item)


@settings(max_examples=300)
@given(st.binary(max_size=80))
def test_any_bytes_are_accepted_only_if_canonical(data):
    try:
        item = rlp.decode(data)
    except InputError:
        # Where the reference is more lenient, what it read must encode to something else.
        with contextlib.suppress(reference.exceptions.RLPException):
            assert reference.encode(reference.decode(data)) != data
        return
    assert rlp.encode(item) == data
    assert listed(reference.decode(data)) == item


@given(items)
def test_every_truncation_and_extension_is_rejected(item):
    encoded = rlp.encode(item)
    for end in range(len(encoded)):
        with pytest.raises(InputError):
            rlp.decode(encoded[:end])
    with pytest.raises(InputError, match="follow"):
        rlp.decode(encoded + b"\0")


def test_deep_nesting_is_an_error_and_not_a_crash():
    nested: list = []
    for _ in range(rlp.MAX_DEPTH - 1):
        nested = [nested]
    assert rlp.decode(rlp.encode(nested)) == nested
    with pytest.raises(InputError, match="deep"):
        rlp.encode([nested])
    bomb = b"\xc0"
    for _ in range(100_000):
        length = len(bomb)
        digits = rlp.uint(length)
        bomb = (bytes([0xC0 + length]) if length < 56 else bytes([0xF7 + len(digits)]) + digits) + bomb
        if len(bomb) > 20_000:
            break
    with pytest.raises(InputError, match="deep"):
        rlp.decode(bomb)


def test_errors_name_the_offset():
    with pytest.raises(InputError, match=r"byte 3 claims 5 bytes, 1 are left"):
        rlp.decode(bytes.fromhex("c4010285ff"))
    with pytest.raises(InputError, match=r"single byte at byte 1"):
        rlp.decode(bytes.fromhex("c28101"))


def test_wrong_types_and_negative_integers_are_rejected():
    for wrong in (1, "dog", None, [b"a", 3]):
        with pytest.raises(InputError):
            rlp.encode(wrong)  # type: ignore[arg-type]
    with pytest.raises(InputError):
        rlp.uint(-1)


@given(st.integers(min_value=0, max_value=2**256 - 1))
def test_integers_round_trip(value):
    assert rlp.as_uint(rlp.decode(rlp.encode(rlp.uint(value))), "x", 256) == value
    assert reference.encode(value) == rlp.encode(rlp.uint(value))


def test_integer_fields_are_strict():
    with pytest.raises(InputError, match="x: the integer has a leading zero"):
        rlp.as_uint(b"\0", "x")
    with pytest.raises(InputError, match="x: the integer has 9 bytes"):
        rlp.as_uint(b"\1" * 9, "x")
    with pytest.raises(InputError, match="x: a byte string"):
        rlp.as_uint([], "x")


@given(st.lists(items, max_size=8))
def test_list_spans_cut_a_list_into_its_items(parts):
    encoded = rlp.encode(parts)
    spans = rlp.list_spans(b"junk" + encoded + b"junk", 4, 4 + len(encoded))
    assert [(b"junk" + encoded)[start:stop] for start, stop in spans] == [rlp.encode(part) for part in parts]


def test_list_spans_refuse_what_is_no_list():
    for wrong in ("83646f67", "c0c0", "c281", ""):
        with pytest.raises(InputError):
            rlp.list_spans(bytes.fromhex(wrong))
