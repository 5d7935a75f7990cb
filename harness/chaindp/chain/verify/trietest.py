"""The official trie tests: TrieTests/trietest.json, trieanyorder.json, and the same over hashed keys."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np

from chaindp.chain.codec.jsonfile import shorten
from chaindp.chain.trie import Trie
from chaindp.chain.types import Ragged
from chaindp.chain.verify.result import VerifyResult, find_files, json_tests
from chaindp.errors import InputError

if TYPE_CHECKING:
    from chaindp.kernels.kernelset import KernelSet

__all__ = ["verify_trietest"]

Pair = tuple[bytes, bytes]


def _text(value: Any, where: str) -> bytes:
    """'0x' and hexadecimal digits, or the text itself; null deletes, which the trie writes as an empty value."""
    if value is None:
        return b""
    if not isinstance(value, str):
        raise InputError(f"{where}: 'in' holds {shorten(value)}, which is neither a string nor null")
    if not value.startswith("0x"):
        return value.encode("utf-8", "surrogatepass")
    try:
        return bytes.fromhex(value[2:])
    except ValueError:
        raise InputError(f"{where}: {shorten(value)} is not hexadecimal") from None


def _pairs(test: dict[str, Any], where: str) -> list[Pair]:
    given = test.get("in")
    entries = list(given.items()) if isinstance(given, dict) else given
    if not isinstance(entries, list) or not all(
        isinstance(entry, list | tuple) and len(entry) == 2 for entry in entries
    ):
        raise InputError(f"{where}: 'in' is expected as an object, or as a list of pairs")
    if any(entry[0] is None for entry in entries):
        raise InputError(f"{where}: a key is null")
    return [(_text(key, where), _text(value, where)) for key, value in entries]


def _orders(pairs: list[Pair], any_order: bool) -> list[list[list[Pair]]]:
    """The ways to apply the pairs, each a list of batches, that must all lead to the same root."""
    orders = [[pairs], [[pair] for pair in pairs]]
    if any_order:
        generator = np.random.default_rng(len(pairs))
        orders += [[pairs[::-1]]]
        orders += [[[pairs[index] for index in generator.permutation(len(pairs))]] for _ in range(4)]
    return orders


def _root(batches: list[list[Pair]], secure: bool, kernels: KernelSet) -> bytes:
    trie = Trie()
    root = trie.hash(kernels)[0]
    for batch in batches:
        if not batch:
            continue
        keys = Ragged.from_items([key for key, _ in batch])
        if secure:
            digests = kernels.keccak256(keys.data, keys.offsets)
            # Ragged, so that the pairs are applied in the order given: a list test may set a key and delete it again.
            keys = Ragged(np.ascontiguousarray(digests).reshape(-1), np.arange(len(batch) + 1, dtype=np.int64) * 32)
        trie.update(keys, Ragged.from_items([value for _, value in batch]))
        # Hashing after every batch also tests that unchanged nodes keep the right digests.
        root = trie.hash(kernels)[0]
    return root


def verify_trietest(path: str | Path, kernels: KernelSet) -> VerifyResult:
    """Run the official trie tests in a file, a directory or a .tar.gz, in one batch and one pair at a time.

    Lists are applied in their order, with null deleting a key; objects in several orders. Keys are hashed first where
    the file's name has ``secure`` in it. InputError where the files cannot be read or are no such tests.
    """
    result = VerifyResult()
    for label, data in find_files(path, "TrieTests"):
        secure = "secure" in PurePosixPath(label).name.lower()
        for name, test in json_tests(label, data).items():
            where = f"{label}: test {shorten(name)}"
            if "root" not in test and "tests" in test:
                result.skip(label, name, "a test of iteration over keys, which this trie does not have")
                continue
            expected = _text(test.get("root"), where)
            if len(expected) != 32:
                raise InputError(f"{where}: a 'root' of 32 bytes is expected")
            pairs = _pairs(test, where)
            for batches in _orders(pairs, isinstance(test["in"], dict)):
                actual = _root(batches, secure, kernels)
                if actual != expected:
                    how = "in one batch" if len(batches) == 1 else "one pair at a time"
                    result.fail(label, name, f"root {actual.hex()} {how}, expected {expected.hex()}")
                    break
            else:
                result.passed += 1
    return result
