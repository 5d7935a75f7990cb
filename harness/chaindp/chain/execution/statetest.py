"""The official state tests (GeneralStateTests of ethereum/tests), through this chain's own codec, engine and state."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from chaindp.chain.codec import rlp
from chaindp.chain.codec.jsonfile import shorten
from chaindp.chain.codec.transactions import decode_transactions, recover_senders
from chaindp.chain.codec.words import ints_to_words
from chaindp.chain.execution.executor import UnsupportedError
from chaindp.chain.execution.revm import RevmExecutor
from chaindp.chain.state import State
from chaindp.chain.types import AccessHints, Accounts, BlockEnv, Genesis, Ragged, Receipts, StorageCells
from chaindp.chain.verify.result import VerifyResult, find_files, json_tests
from chaindp.errors import InputError

if TYPE_CHECKING:
    from chaindp.kernels.kernelset import KernelSet

__all__ = ["FORK", "verify_statetest"]

FORK = "Cancun"
"""The rules that the engine has; results of other forks in a test file are not looked at."""

CHAIN_ID = 1
"""All state tests are of mainnet."""

NO_COLLISION_CHECK = (
    "an account with storage but neither nonce nor code (EIP-7610), which pyrevm 0.3.7 lets a creation overwrite"
)


class _Fields:
    """The fields of a JSON object, read with one-line errors that say where they are."""

    def __init__(self, value: Any, where: str) -> None:
        if not isinstance(value, dict):
            raise InputError(f"{where}: an object is expected, not {shorten(value)}")
        self.value, self.where = value, where

    def inner(self, key: str) -> _Fields:
        return _Fields(self.value.get(key), f"{self.where}: {key}")

    def data(self, key: str, size: int | None = None) -> bytes:
        return _data(self.value.get(key), f"{self.where}: {key}", size)

    def number(self, key: str, bits: int, default: int | None = None) -> int:
        text = self.value.get(key)
        if text is None and default is not None:
            return default
        return _number(text, f"{self.where}: {key}", bits)


def _data(text: Any, where: str, size: int | None = None) -> bytes:
    try:
        if not isinstance(text, str) or not text.startswith("0x"):
            raise ValueError
        data = bytes.fromhex(text[2:])
    except ValueError:
        raise InputError(f"{where}: 0x and hexadecimal digits are expected, not {shorten(text)}") from None
    if size is not None and len(data) != size:
        raise InputError(f"{where}: {size} bytes are expected, not {len(data)}")
    return data


def _number(text: Any, where: str, bits: int) -> int:
    digits = text[2:] if isinstance(text, str) and text.startswith("0x") else "x"
    if len(digits) > 64 or not all(digit in "0123456789abcdefABCDEF" for digit in digits):
        raise InputError(f"{where}: a hexadecimal number is expected, not {shorten(text)}")
    value = int(digits or "0", 16)
    if value >> bits:
        raise InputError(f"{where}: {shorten(text)} does not fit {bits} bits")
    return value


def _genesis(pre: _Fields, kernels: KernelSet) -> tuple[Genesis, bool]:
    """The state before, and whether it has an account of the kind that NO_COLLISION_CHECK names."""
    addresses, nonces, balances, codes = [], [], [], []
    cells: list[tuple[bytes, int, int]] = []
    odd = False
    for name in pre.value:
        account = pre.inner(name)
        address = _data(name, pre.where, 20)
        storage = account.inner("storage")
        found = [
            (address, _number(slot, storage.where, 256), value)
            for slot in storage.value
            if (value := storage.number(slot, 256))
        ]
        addresses.append(address)
        nonces.append(account.number("nonce", 64))
        balances.append(account.number("balance", 256))
        codes.append(account.data("code"))
        odd |= bool(found) and not nonces[-1] and not codes[-1]
        cells += found
    packed = Ragged.from_items(codes)
    hashes = kernels.keccak256(packed.data, packed.offsets)
    accounts = Accounts(
        address=np.frombuffer(b"".join(addresses), dtype=np.uint8).reshape(-1, 20),
        nonce=np.array(nonces, dtype=np.uint64),
        balance=ints_to_words(balances),
        code_hash=hashes,
        exists=np.ones(len(addresses), dtype=bool),
    )
    storage_cells = StorageCells(
        address=np.frombuffer(b"".join([address for address, _, _ in cells]), dtype=np.uint8).reshape(-1, 20),
        slot=ints_to_words([slot for _, slot, _ in cells]),
        value=ints_to_words([value for _, _, value in cells]),
    )
    by_hash = {digest.tobytes(): code for digest, code in zip(hashes, codes, strict=True)}
    return Genesis(accounts, storage_cells, by_hash), odd


def _environment(env: _Fields) -> BlockEnv:
    return BlockEnv(
        number=env.number("currentNumber", 64),
        timestamp=env.number("currentTimestamp", 64),
        coinbase=env.data("currentCoinbase", 20),
        gas_limit=env.number("currentGasLimit", 64),
        base_fee=env.number("currentBaseFee", 256),
        chain_id=CHAIN_ID,
        prev_randao=env.number("currentRandom", 256, 0).to_bytes(32, "big"),
        excess_blob_gas=env.number("currentExcessBlobGas", 64, 0),
    )


def _logs_hash(receipts: Receipts | None, kernels: KernelSet) -> bytes:
    logs: list[rlp.RlpItem] = []
    if receipts is not None:
        for index in range(len(receipts.log_tx)):
            count = int(receipts.log_topic_count[index])
            topics = [receipts.log_topics[index, topic].tobytes() for topic in range(count)]
            logs.append([receipts.log_address[index].tobytes(), topics, receipts.log_data.item(index)])
    packed = Ragged.from_items([rlp.encode(logs)])
    digest: bytes = kernels.keccak256(packed.data, packed.offsets)[0].tobytes()
    return digest


def _check(env: BlockEnv, genesis: Genesis, post: _Fields, sender: bytes, kernels: KernelSet) -> str:
    """Run one case; what is wrong with the outcome, or nothing. UnsupportedError where the engine refuses it."""
    state = State.genesis(genesis, kernels)

    def load(addresses: np.ndarray, slots: AccessHints) -> tuple[Accounts, StorageCells, Mapping[bytes, bytes]]:
        values = state.storage(slots.address, slots.slot, kernels)
        return state.accounts(addresses, kernels), StorageCells(slots.address, slots.slot, values), genesis.codes

    receipts: Receipts | None = None
    rejected = ""
    try:
        batch = decode_transactions(Ragged.from_items([post.data("txbytes")]))
        if (batch.type > 2).any():
            raise UnsupportedError(
                f"a transaction of type {int(batch.type.max())}, which the revm engine does not execute"
            )
        recover_senders(batch, kernels)
        if batch.sender is None or batch.sender.tobytes() != sender:
            return "the sender recovered from the signature is another one than the test names"
        result = RevmExecutor(CHAIN_ID, state_tests=True).execute(env, batch, load)
    except InputError as error:
        rejected = str(error)
    else:
        receipts = result.receipts
        state.apply(result.diff, kernels)
    expected = post.value.get("expectException")
    if expected is None and rejected:
        return f"refused as invalid: {rejected}"
    if expected is not None and not rejected:
        return f"accepted, where {shorten(expected)} is expected"
    root, logs = state.commit_root(kernels)[0], _logs_hash(receipts, kernels)
    if root != post.data("hash", 32):
        return f"state root {root.hex()}, expected {post.data('hash').hex()}"
    if logs != post.data("logs", 32):
        return f"logs hash {logs.hex()}, expected {post.data('logs').hex()}"
    return ""


def verify_statetest(path: str | Path, kernels: KernelSet) -> VerifyResult:
    """Run the official state tests in a file, a directory or a .tar.gz under Cancun rules; one item a case.

    A case passes where the transaction is refused or executed as the test expects, and state root and logs hash are as
    expected. The wire form of the transaction is decoded and its sender recovered. Cases that the engine refuses to
    execute are skipped with its reason. InputError where the files cannot be read or are no such tests.
    """
    result = VerifyResult()
    for label, data in find_files(path, "GeneralStateTests"):
        for name, content in json_tests(label, data).items():
            test = _Fields(content, f"{label}: test {shorten(name)}")
            posts = test.inner("post").value.get(FORK)
            if not posts:
                result.skip(label, name, f"has no results for {FORK}")
                continue
            if not isinstance(posts, list):
                raise InputError(f"{test.where}: post: {FORK}: a list is expected, not {shorten(posts)}")
            env, sender = _environment(test.inner("env")), test.inner("transaction").data("sender", 20)
            genesis, odd = _genesis(test.inner("pre"), kernels)
            for number, entry in enumerate(posts):
                post = _Fields(entry, f"{test.where}: post {number}")
                case = f"{name}/{number}"
                try:
                    reason = _check(env, genesis, post, sender, kernels)
                except UnsupportedError as error:
                    result.skip(label, case, str(error))
                    continue
                if not reason:
                    result.passed += 1
                elif odd:
                    result.skip(label, case, f"the state has {NO_COLLISION_CHECK} ({reason})")
                else:
                    result.fail(label, case, reason)
    return result
