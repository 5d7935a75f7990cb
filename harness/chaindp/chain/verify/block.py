"""Real blocks: everything in them that can be computed again from the block itself."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from chaindp.chain.codec import rlp
from chaindp.chain.codec.headers import EMPTY_OMMERS_HASH
from chaindp.chain.codec.jsonfile import parse_json
from chaindp.chain.codec.rpc import RpcBlock, parse_block, read_block
from chaindp.chain.codec.transactions import HOMESTEAD, decode_transactions, recover
from chaindp.chain.codec.words import words_to_ints
from chaindp.chain.trie import ordered_root
from chaindp.chain.types import Ragged, TransactionBatch
from chaindp.chain.verify.result import VerifyResult, find_files
from chaindp.errors import InputError

if TYPE_CHECKING:
    from chaindp.kernels.kernelset import KernelSet

__all__ = ["BlockReport", "Check", "check_block", "verify_block", "verify_blocks"]

GAS_PER_BLOB = 2**17
"""EIP-4844."""


@dataclass(frozen=True, slots=True)
class Check:
    """One comparison. ``ok`` is None where it could not be made; ``actual`` then says why."""

    name: str
    expected: str
    actual: str
    ok: bool | None


@dataclass(slots=True)
class BlockReport:
    """All checks of one block. ``label`` is its file, ``number`` its height."""

    label: str
    number: int
    transactions: int
    checks: list[Check] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether no check failed."""
        return all(check.ok is not False for check in self.checks)

    def result(self) -> VerifyResult:
        """One block passed or failed; a failure for each failed check, a skip for each that could not be made."""
        result = VerifyResult(passed=int(self.ok), failed=int(not self.ok))
        for check in self.checks:
            entry = {"file": self.label, "test": f"block {self.number}: {check.name}"}
            if check.ok is None:
                result.skipped += 1
                result.skips.append(entry | {"reason": check.actual})
            elif not check.ok:
                result.failures.append(entry | {"reason": f"expected {check.expected}, got {check.actual}"})
        return result

    def to_dict(self) -> dict[str, Any]:
        """JSON values, keyed by field name."""
        return asdict(self) | {"ok": self.ok}

    def equal(self, name: str, expected: object, actual: object) -> None:
        """Add the check that two values (bytes are shown in hexadecimal) are equal."""
        self.checks.append(Check(name, _show(expected), _show(actual), expected == actual))

    def skip(self, name: str, reason: str) -> None:
        """Add a check that cannot be made."""
        self.checks.append(Check(name, "", reason, None))


def _show(value: object) -> str:
    return f"0x{value.hex()}" if isinstance(value, bytes) else str(value)


def _rows(report: BlockReport, name: str, expected: np.ndarray, actual: np.ndarray) -> None:
    """Check that all rows are equal; a failure shows the first that differs."""
    wrong = np.flatnonzero((expected != actual).any(axis=1))
    if not len(wrong):
        report.checks.append(Check(name, f"{len(expected)} equal", f"{len(actual)} equal", True))
        return
    first = int(wrong[0])
    more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
    got = f"transaction {first}: {_show(actual[first].tobytes())}{more}"
    report.checks.append(Check(name, f"transaction {first}: {_show(expected[first].tobytes())}", got, False))


def _hash_all(items: Ragged, kernels: KernelSet) -> np.ndarray:
    if not items.count:
        return np.zeros((0, 32), dtype=np.uint8)
    return kernels.keccak256(items.data, items.offsets)


def _transactions(report: BlockReport, block: RpcBlock, kernels: KernelSet, homestead: int) -> None:
    _rows(report, "transaction hashes", block.tx_hashes, _hash_all(block.transactions, kernels))
    report.equal("transactions root", block.header.transactions_root, ordered_root(block.transactions, kernels))
    try:
        batch = decode_transactions(block.transactions, low_s=block.header.number >= homestead)
    except InputError as error:
        report.checks.append(Check("transactions", "well-formed", str(error), False))
        report.skip("senders", "the transactions are malformed")
        return
    report.checks.append(Check("transactions", "well-formed", "well-formed", True))
    ok = recover(batch, kernels)
    assert batch.sender is not None
    if ok.all():
        _rows(report, "senders", block.senders, batch.sender)
    else:
        first = int(np.argmin(ok))
        claim = f"transaction {first}: {_show(block.senders[first].tobytes())}"
        report.checks.append(Check("senders", claim, "the signature does not recover to any address", False))
    _gas(report, block, batch)


def _gas(report: BlockReport, block: RpcBlock, batch: TransactionBatch) -> None:
    """What the header's gas fields and the JSON's gas prices must be, as far as transactions alone tell."""
    header = block.header
    limits = sum(batch.gas_limit.tolist())
    sane = header.gas_used <= min(header.gas_limit, limits) and (header.gas_used > 0) == (batch.count > 0)
    bounds = "0" if not batch.count else f"1 to {min(header.gas_limit, limits)}"
    report.checks.append(Check("gas used", bounds, str(header.gas_used), sane))
    if header.blob_gas_used is not None:
        extra = batch.extra
        blobs = 0 if extra is None else sum(_blob_count(extra.item(int(i))) for i in np.flatnonzero(batch.type == 3))
        report.equal("blob gas used", header.blob_gas_used, GAS_PER_BLOB * blobs)
    if header.base_fee is None:
        return
    max_fees, tips = words_to_ints(batch.max_fee), words_to_ints(batch.max_priority_fee)
    for index, price in enumerate(block.gas_prices):
        effective = min(max_fees[index], header.base_fee + tips[index])
        if price is not None and price != effective:
            got = f"transaction {index}: {price}"
            report.checks.append(Check("gas prices", f"transaction {index}: {effective}", got, False))
            return
    low = [index for index, fee in enumerate(max_fees) if fee < header.base_fee]
    if low:
        got = f"transaction {low[0]}: {max_fees[low[0]]}"
        report.checks.append(Check("gas prices", f"at least the base fee {header.base_fee}", got, False))
    else:
        report.checks.append(Check("gas prices", f"{batch.count} effective", f"{batch.count} effective", True))


def _blob_count(extra: bytes) -> int:
    """Blob hashes of one blob transaction: ``extra`` is the max fee per blob gas, then the list of hashes."""
    fee_end = rlp.item_span(extra, 0, len(extra))[1]
    return len(rlp.list_spans(extra, fee_end))


def check_block(block: RpcBlock, kernels: KernelSet, *, homestead: int = HOMESTEAD) -> BlockReport:
    """Check a block that was read: see ``verify_block``."""
    header = block.header
    report = BlockReport(block.label, header.number, block.transactions.count)
    report.equal("block hash", block.hash, header.hash(kernels))
    _transactions(report, block, kernels, homestead)
    if header.withdrawals_root is not None:
        items = Ragged.from_items([withdrawal.rlp() for withdrawal in block.withdrawals or ()])
        report.equal("withdrawals root", header.withdrawals_root, ordered_root(items, kernels))
    elif block.withdrawals:
        report.checks.append(Check("withdrawals root", "in the header", "not there, but there are withdrawals", False))
    if block.ommers:
        report.skip("ommers hash", "the block has ommers, and JSON-RPC gives only their hashes")
    else:
        report.equal("ommers hash", header.ommers_hash, EMPTY_OMMERS_HASH)
    for item in block.disagreements:
        report.checks.append(Check(item.field, item.expected, item.actual, False))
    if not block.disagreements:
        report.checks.append(Check("agreement", "all fields agree", "all fields agree", True))
    return report


def verify_block(path: str | Path, kernels: KernelSet, *, homestead: int = HOMESTEAD) -> BlockReport:
    """Check one block from a .json or .json.gz file as JSON-RPC gives it, of any fork to Prague.

    Compared: the block hash with the header's; every transaction hash; the transactions root; every sender with the one
    that the signature recovers to; the withdrawals root where the header has one; the ommers hash where there are no
    ommers (else skipped); gas used, blob gas used and gas prices with what the transactions allow; and the JSON with
    itself. Signatures with a high s pass below block ``homestead`` only (EIP-2). State and receipts roots cannot be
    computed from a block.

    A block that does not hold is a report with failed checks; InputError where the file is not a block at all.
    """
    return check_block(read_block(path), kernels, homestead=homestead)


def verify_blocks(paths: Iterable[str | Path], kernels: KernelSet, *, homestead: int = HOMESTEAD) -> list[BlockReport]:
    """``verify_block`` of files, of all JSON files below directories, and of those in .tar.gz archives.

    Files whose name starts with ``pre_state`` are passed over: they lie beside the blocks in pevm's data.
    """
    reports = []
    for path in paths:
        for label, data in find_files(path, wanted=lambda name: not name.startswith("pre_state")):
            block = parse_block(parse_json(data, label), label)
            reports.append(check_block(block, kernels, homestead=homestead))
    return reports
