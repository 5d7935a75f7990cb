"""The official RLP tests: RLPTests/rlptest.json, invalidRLPTest.json and RandomRLPTests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from chaindp.chain.codec import rlp
from chaindp.chain.codec.jsonfile import shorten
from chaindp.chain.verify.result import VerifyResult, find_files, json_tests
from chaindp.errors import InputError

__all__ = ["verify_rlptest"]


def _item(value: Any, where: str) -> rlp.RlpItem:
    """The item that a test's ``in`` writes as a string, an integer, '#' and decimal digits, or a list of these."""
    if isinstance(value, list):
        return [_item(part, where) for part in value]
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise InputError(f"{where}: 'in' holds {shorten(value)}, which is neither string, integer nor list")
    if isinstance(value, str):
        if value[:1] == "#" and value[1:].isascii() and value[1:].isdigit():
            return rlp.uint(int(value[1:]))
        return value.encode("utf-8", "surrogatepass")
    return rlp.uint(value)


def _wrong(test: dict[str, Any], where: str) -> str:
    """Why a test does not hold; empty where it does. InputError where the test itself is malformed."""
    out, given = test.get("out"), test.get("in")
    if not isinstance(out, str) or "in" not in test:
        raise InputError(f"{where}: 'in' and a string 'out' are expected")
    try:
        encoding = bytes.fromhex(out.removeprefix("0x"))
    except ValueError:
        raise InputError(f"{where}: 'out' {shorten(out)} is not hexadecimal") from None
    try:
        decoded = rlp.decode(encoding)
    except InputError as error:
        return "" if given == "INVALID" else f"a valid encoding is rejected: {error}"
    if given == "INVALID":
        return f"an invalid encoding is accepted as {shorten(decoded)}"
    if rlp.encode(decoded) != encoding:
        return f"encodes again to {rlp.encode(decoded).hex()}"
    if given == "VALID":
        return ""
    item = _item(given, where)
    if rlp.encode(item) != encoding:
        return f"encodes to {rlp.encode(item).hex()}, expected {encoding.hex()}"
    return "" if decoded == item else f"decodes to {shorten(decoded)}, expected {shorten(item)}"


def verify_rlptest(path: str | Path) -> VerifyResult:
    """Run the official RLP tests in a file, a directory or a .tar.gz.

    A valid encoding must hold in both directions, an invalid one must be rejected. InputError where the files
    cannot be read or are no such tests.
    """
    result = VerifyResult()
    for label, data in find_files(path, "RLPTests"):
        for name, test in json_tests(label, data).items():
            reason = _wrong(test, f"{label}: test {shorten(name)}")
            if reason:
                result.fail(label, name, reason)
            else:
                result.passed += 1
    return result
