"""Block verification: real blocks and a synthetic Prague block with all types hold, and tampering is found."""

from __future__ import annotations

import gzip
import json
import random

import pytest
import rlp as reference

from chaindp.chain.codec.rpc import parse_block
from chaindp.chain.verify import check_block, verify_block, verify_blocks
from chaindp.errors import InputError
from chaindp_workloads.mainnet import SHIPPED
from codec_reference import (
    ORDER,
    address_of,
    keccak256,
    minimal,
    ordered_root,
    reference_kernels,
    sign,
    transaction,
)

KERNELS = reference_kernels()
BASE_FEE = 7


def hexed(value: bytes) -> str:
    return "0x" + value.hex()


def seal(header: dict) -> str:
    """Hash of a header given as JSON fields in their order."""
    items = []
    for key, value in header.items():
        quantity = key in QUANTITIES
        items.append(minimal(int(value, 16)) if quantity else bytes.fromhex(value[2:]))
    return hexed(keccak256(reference.encode(items)))


QUANTITIES = {
    "difficulty",
    "number",
    "gasLimit",
    "gasUsed",
    "timestamp",
    "baseFeePerGas",
    "blobGasUsed",
    "excessBlobGas",
}
HEADER_KEYS = (
    "parentHash sha3Uncles miner stateRoot transactionsRoot receiptsRoot logsBloom difficulty number gasLimit gasUsed "
    "timestamp extraData mixHash nonce baseFeePerGas withdrawalsRoot blobGasUsed excessBlobGas parentBeaconBlockRoot "
    "requestsHash"
).split()


def reseal(block: dict) -> dict:
    """Give a changed block the right hash again, so that only the check under test fails."""
    block["hash"] = seal({key: block[key] for key in HEADER_KEYS if key in block})
    for tx in block["transactions"]:
        tx["blockHash"] = block["hash"]
    return block


def prague_block(number: int = 22_500_000) -> dict:
    """A block with one transaction of each type, signed, and one withdrawal; roots and hash by the reference
    libraries.
    """
    transactions, raws = [], []
    for kind in range(5):
        secret = bytes([kind + 1]) * 32
        fields = {
            "chain_id": 1,
            "nonce": kind,
            "max_fee": 100,
            "max_priority_fee": 2,
            "gas_limit": 30_000,
            "to": bytes([kind]) * 20,
            "value": 10**18,
            "data": b"\xde\xad" * kind,
            "access_list": [[b"\x11" * 20, [b"\x22" * 32]]],
            "blob_fee": 7,
            "blob_hashes": [b"\x01" + bytes(31), b"\x01" * 32],
            "authorizations": [[b"\x01", bytes(20), b"", b"\x01", b"\x07", b"\x09"]],
        }
        signature = sign(keccak256(transaction(kind, None, fields)), secret)
        raw = transaction(kind, signature, fields)
        raws.append(raw)
        parity = signature[64]
        tx = {
            "type": hex(kind),
            "hash": hexed(keccak256(raw)),
            "from": hexed(address_of(secret)),
            "to": hexed(fields["to"]),
            "nonce": hex(kind),
            "gas": hex(30_000),
            "gasPrice": hex(100 if kind < 2 else BASE_FEE + 2),
            "value": hex(10**18),
            "input": hexed(fields["data"]),
            "chainId": "0x1",
            "v": hex(parity if kind else 37 + parity),
            "r": hex(int.from_bytes(signature[:32], "big")),
            "s": hex(int.from_bytes(signature[32:64], "big")),
            "blockNumber": hex(number),
            "transactionIndex": hex(kind),
        }
        if kind:
            tx |= {
                "yParity": hex(parity),
                "accessList": [{"address": "0x" + "11" * 20, "storageKeys": ["0x" + "22" * 32]}],
            }
        if kind >= 2:
            tx |= {"maxFeePerGas": hex(100), "maxPriorityFeePerGas": "0x2"}
        if kind == 3:
            tx |= {"maxFeePerBlobGas": "0x7", "blobVersionedHashes": [hexed(item) for item in fields["blob_hashes"]]}
        if kind == 4:
            authorization = {
                "chainId": "0x1",
                "address": hexed(bytes(20)),
                "nonce": "0x0",
                "yParity": "0x1",
                "r": "0x7",
                "s": "0x9",
            }
            tx |= {"authorizationList": [authorization]}
        transactions.append(tx)
    header = {
        "parentHash": hexed(b"\x01" * 32),
        "sha3Uncles": hexed(keccak256(reference.encode([]))),
        "miner": hexed(b"\x02" * 20),
        "stateRoot": hexed(b"\x03" * 32),
        "transactionsRoot": hexed(ordered_root(raws)),
        "receiptsRoot": hexed(b"\x05" * 32),
        "logsBloom": hexed(bytes(256)),
        "difficulty": "0x0",
        "number": hex(number),
        "gasLimit": hex(30_000_000),
        "gasUsed": hex(105_000),
        "timestamp": hex(1_747_000_000),
        "extraData": "0x",
        "mixHash": hexed(b"\x06" * 32),
        "nonce": hexed(bytes(8)),
        "baseFeePerGas": hex(BASE_FEE),
        "withdrawalsRoot": hexed(ordered_root([reference.encode([1, 2, b"\x0a" * 20, 3])])),
        "blobGasUsed": hex(2 * 131_072),
        "excessBlobGas": "0x0",
        "parentBeaconBlockRoot": hexed(b"\x08" * 32),
        "requestsHash": hexed(b"\x09" * 32),
    }
    withdrawals = [{"index": "0x1", "validatorIndex": "0x2", "address": hexed(b"\x0a" * 20), "amount": "0x3"}]
    return reseal(header | {"transactions": transactions, "withdrawals": withdrawals, "uncles": []})


def failed(value: dict) -> list[str]:
    report = check_block(parse_block(value, "file"), KERNELS)
    names = [check.name for check in report.checks if check.ok is False]
    result = report.result()
    assert report.ok == (not names)
    assert (result.passed, result.failed, len(result.failures)) == (int(not names), int(bool(names)), len(names))
    assert all(set(entry) == {"file", "test", "reason"} and "\n" not in entry["reason"] for entry in result.failures)
    json.dumps(result.to_dict())
    json.dumps(report.to_dict())
    return names


def test_official_data_holds(data_dir):
    reports = verify_blocks([data_dir / "mainnet"], KERNELS)
    assert sorted(report.number for report in reports) == [
        46147, 116525, 2179522, 5891667, 11814555, 13287210, 15199017, 17666333, 19606599,
    ]  # fmt: skip
    assert [(report.label, check) for report in reports for check in report.checks if not check.ok] == []


def test_a_shipped_block_holds_check_by_check():
    report = verify_block(SHIPPED / "19606599.json.gz", KERNELS)
    assert (report.ok, report.number, report.transactions) == (True, 19606599, 367)
    assert {check.name for check in report.checks if check.ok} == {
        "block hash",
        "transaction hashes",
        "transactions root",
        "transactions",
        "senders",
        "gas used",
        "blob gas used",
        "gas prices",
        "withdrawals root",
        "ommers hash",
        "agreement",
    }
    assert report.result().failures == []


def test_a_block_with_all_transaction_types_holds():
    assert failed(prague_block()) == []


def test_an_empty_block_holds():
    block = prague_block()
    block |= {"transactions": [], "withdrawals": [], "gasUsed": "0x0", "blobGasUsed": "0x0"}
    empty = hexed(keccak256(reference.encode(b"")))
    block |= {"transactionsRoot": empty, "withdrawalsRoot": empty}
    assert failed(reseal(block)) == []


def test_blocks_of_older_forks_hold():
    block = prague_block()
    block["transactions"] = block["transactions"][:1]
    raw = parse_block(block, "x").transactions.items()
    block["transactionsRoot"] = hexed(ordered_root(raw))
    block |= {"gasUsed": "0x5208", "blobGasUsed": "0x0"}
    for key in (
        "requestsHash",
        "parentBeaconBlockRoot",
        "excessBlobGas",
        "blobGasUsed",
        "withdrawalsRoot",
        "baseFeePerGas",
    ):
        del block[key]
        if key == "withdrawalsRoot":
            del block["withdrawals"]
        if key not in ("parentBeaconBlockRoot", "excessBlobGas"):
            assert failed(reseal(block)) == []


def test_ommers_are_skipped_and_said_so():
    block = prague_block()
    block |= {"uncles": [hexed(b"\x77" * 32)], "sha3Uncles": hexed(b"\x78" * 32)}
    report = check_block(parse_block(reseal(block), "file"), KERNELS)
    result = report.result()
    assert report.ok and (result.passed, result.failed, result.skipped) == (1, 0, 1)
    assert "ommers" in result.skips[0]["reason"]
    block["uncles"] = []
    assert failed(reseal(block)) == ["ommers hash"]


TAMPERED = [
    ("value", "0x1", {"transaction hashes", "transactions root", "senders"}),
    ("nonce", "0x77", {"transaction hashes", "transactions root", "senders"}),
    ("gas", "0x7531", {"transaction hashes", "transactions root", "senders"}),
    ("to", "0x" + "99" * 20, {"transaction hashes", "transactions root", "senders"}),
    ("input", "0x00", {"transaction hashes", "transactions root", "senders"}),
    ("hash", "0x" + "99" * 32, {"transaction hashes"}),
    ("from", "0x" + "99" * 20, {"senders"}),
]


@pytest.mark.parametrize("index", range(5))
@pytest.mark.parametrize(("field", "value", "checks"), TAMPERED)
def test_a_tampered_transaction_fails(index, field, value, checks):
    block = prague_block()
    block["transactions"][index][field] = value
    assert set(failed(block)) == checks


@pytest.mark.parametrize(
    ("index", "field", "value"),
    [
        (1, "chainId", "0x2"),
        (2, "maxFeePerGas", "0x65"),
        (3, "maxFeePerBlobGas", "0x8"),
        (3, "blobVersionedHashes", ["0x01" + "00" * 31, "0x01" + "00" * 31]),
        (1, "accessList", []),
        (
            4,
            "authorizationList",
            [{"chainId": "0x2", "address": "0x" + "00" * 20, "nonce": "0x0", "yParity": "0x1", "r": "0x7", "s": "0x9"}],
        ),
    ],
)
def test_tampered_fields_of_typed_transactions_fail(index, field, value):
    block = prague_block()
    block["transactions"][index][field] = value
    assert set(failed(block)) == {"transaction hashes", "transactions root", "senders"}


def test_swapped_transactions_fail():
    block = prague_block()
    first, second = block["transactions"][:2]
    block["transactions"][:2] = second | {"transactionIndex": "0x0"}, first | {"transactionIndex": "0x1"}
    assert failed(block) == ["transactions root"]
    block["transactions"][0]["transactionIndex"] = "0x1"
    assert failed(block) == ["transactions root", "transactions[0].transactionIndex"]


def test_missing_and_doubled_transactions_fail():
    block = prague_block()
    last = block["transactions"].pop()
    assert "transactions root" in failed(block)
    block["transactions"] += [last, last | {"transactionIndex": "0x5"}]
    assert failed(block) == ["transactions root"]


@pytest.mark.parametrize("key", HEADER_KEYS)
def test_a_tampered_header_fails(key):
    block = prague_block()
    value = block[key]
    digit = {"0": "1", "1": "2"}.get(value[-1], "0")
    block[key] = value[:-1] + digit if len(value) > 2 else "0x01"
    assert "block hash" in failed(block)


@pytest.mark.parametrize(
    ("key", "value", "check"),
    [
        ("transactionsRoot", "0x" + "99" * 32, "transactions root"),
        ("withdrawalsRoot", "0x" + "99" * 32, "withdrawals root"),
        ("sha3Uncles", "0x" + "99" * 32, "ommers hash"),
        ("gasUsed", "0x0", "gas used"),
        ("gasUsed", hex(150_001), "gas used"),
        ("gasUsed", hex(30_000_001), "gas used"),
        ("blobGasUsed", "0x20000", "blob gas used"),
        ("baseFeePerGas", "0x8", "gas prices"),
        ("baseFeePerGas", "0x65", "gas prices"),
    ],
)
def test_a_wrong_header_that_is_sealed_fails_its_own_check(key, value, check):
    block = prague_block()
    block[key] = value
    assert failed(reseal(block)) == [check]


def test_tampered_withdrawals_fail():
    block = prague_block()
    block["withdrawals"][0]["amount"] = "0x4"
    assert failed(block) == ["withdrawals root"]
    block["withdrawals"] = []
    assert failed(block) == ["withdrawals root"]


def test_withdrawals_without_a_root_fail():
    block = prague_block()
    for key in ("requestsHash", "parentBeaconBlockRoot", "excessBlobGas", "blobGasUsed", "withdrawalsRoot"):
        del block[key]
    assert failed(reseal(block)) == ["withdrawals root"]


def test_malformed_signatures_are_failures_and_not_crashes():
    for index, r, s in ((0, 0, 9), (2, 7, ORDER), (4, ORDER, 7)):
        block = prague_block()
        block["transactions"][index] |= {"r": hex(r), "s": hex(s)}
        assert failed(block) == ["transaction hashes", "transactions root", "transactions"]
    block = prague_block()
    block["transactions"][0]["v"] = "0x23"
    assert "transactions" in failed(block)
    block = prague_block()
    block["transactions"][2] |= {"r": "0x5", "s": "0x9"}  # 5 is the x coordinate of no point
    report = check_block(parse_block(block, "file"), KERNELS)
    assert any(check.name == "senders" and "does not recover" in check.actual for check in report.checks)
    assert "senders" in failed(block)


def high_s(number: int) -> dict:
    """A block whose only transaction has the other, high s of its signature."""
    block = prague_block(number)
    tx = block["transactions"][0]
    v = int(tx["v"], 16)
    tx |= {"s": hex(ORDER - int(tx["s"], 16)), "v": hex(v ^ 1 if v % 2 == 0 else v)}
    # 37 and 38 are parity 0 and 1.
    tx["v"] = hex(37 + (1 - (v - 37)))
    block["transactions"] = [tx]
    raw = parse_block(block, "x").transactions.item(0)
    tx["hash"] = hexed(keccak256(raw))
    block |= {"transactionsRoot": hexed(ordered_root([raw])), "blobGasUsed": "0x0", "gasUsed": "0x5208"}
    return reseal(block)


def test_a_high_s_holds_before_homestead_only():
    assert failed(high_s(1_149_999)) == []
    assert failed(high_s(1_150_000)) == ["transactions"]
    report = check_block(parse_block(high_s(1_150_000), "file"), KERNELS, homestead=2_000_000)
    assert report.ok


def test_contradictions_within_the_json_fail():
    for key, value in (
        ("blockHash", "0x" + "99" * 32),
        ("blockNumber", "0x1"),
        ("transactionIndex", "0x4"),
        ("v", "0x7"),
    ):
        block = prague_block()
        block["transactions"][1][key] = value
        assert failed(block) == [f"transactions[1].{key}"]
    block = prague_block()
    block["transactions"][0]["chainId"] = "0x2"
    assert failed(block) == ["transactions[0].chainId"]
    block = prague_block()
    block["transactions"][2]["gasPrice"] = "0x64"
    assert failed(block) == ["gas prices"]


def test_one_changed_digit_anywhere_in_a_real_block_is_found():
    """Every hexadecimal value that the checks cover, one digit at a time, at random places of a real block."""
    original = json.loads(gzip.decompress((SHIPPED / "116525.json.gz").read_bytes()))
    assert failed(original) == []
    generator = random.Random(1)
    uncovered = {"totalDifficulty", "size"}
    keys = [key for key in original if isinstance(original[key], str) and key not in uncovered]
    for _ in range(60):
        block = json.loads(json.dumps(original))
        holder = block
        key = generator.choice(keys)
        if generator.random() < 0.7:
            holder = generator.choice(block["transactions"])
            key = generator.choice([name for name in holder if holder[name] is not None])
        text = holder[key]
        if len(text) <= 2:
            continue
        at = generator.randrange(2, len(text))
        digit = generator.choice([digit for digit in "123456789abcdef" if digit != text[at]])
        holder[key] = text[:at] + digit + text[at + 1 :]
        try:
            assert failed(block), (key, text, holder[key])
        except InputError:
            assert key == "type"


def test_archives_directories_and_files(tmp_path):
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "block.json").write_text(json.dumps(prague_block()))
    (tmp_path / "one" / "pre_state.json").write_text("{}")
    (tmp_path / "two.json.gz").write_bytes(gzip.compress(json.dumps(prague_block(22_500_001)).encode()))
    reports = verify_blocks([tmp_path, tmp_path / "two.json.gz"], KERNELS)
    assert [report.number for report in reports] == [22_500_000, 22_500_001, 22_500_001]
    assert all(report.ok for report in reports)
    for wrong in (tmp_path / "nothing", tmp_path / "one" / "pre_state.json"):
        with pytest.raises(InputError):
            verify_blocks([wrong], KERNELS)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no test file"):
        verify_blocks([tmp_path / "empty"], KERNELS)
