"""The mainnet workload: shipped blocks are real, and the rule for how many of them come."""

from __future__ import annotations

import gzip
import json

import pytest

from chaindp.chain.codec.headers import Header
from chaindp.chain.codec.transactions import decode_transactions, recover
from chaindp.chain.verify import verify_blocks
from chaindp.errors import InputError, UsageError
from chaindp.workload import Workload, WorkloadParams
from chaindp_workloads import mainnet
from codec_reference import keccak256, ordered_root, reference_kernels

KERNELS = reference_kernels()
SIZES = {46147: 1, 116525: 83, 2179522: 222, 5891667: 380, 19606599: 367}


@pytest.fixture(autouse=True)
def _shipped_blocks_only(monkeypatch):
    monkeypatch.delenv("CHAINDP_DATA", raising=False)


def workload(**params) -> Workload:
    return mainnet.SPEC.factory(WorkloadParams(**params), KERNELS)


def numbers(work: Workload) -> list[int]:
    return [Header.from_rlp(block.header_rlp).number for block in work.blocks()]


def test_shipped_blocks_hold():
    reports = verify_blocks([mainnet.SHIPPED], KERNELS)
    assert {report.number: report.transactions for report in reports} == SIZES
    assert [check for report in reports for check in report.checks if not check.ok] == []
    assert sum(file.stat().st_size for file in mainnet.SHIPPED.iterdir()) < 600_000
    assert "https://github.com/risechain/pevm" in (mainnet.SHIPPED / "NOTICE").read_text()


@pytest.mark.parametrize(
    ("txs", "expected"),
    [
        (1, 1),
        (83, 1),
        (84, 2),
        (685, 3),
        (686, 4),
        (1052, 4),
        (1053, 5),
        (1054, 6),
        (2106, 10),
    ],
)
def test_whole_blocks_come_in_order_as_long_as_they_fit(txs, expected):
    order = [*SIZES, *SIZES]
    assert numbers(workload(txs=txs)) == order[:expected]


def test_inputs_match_their_headers():
    for block in workload(txs=1053).blocks():
        header = Header.from_rlp(block.header_rlp)
        assert ordered_root(block.transactions.items()) == header.transactions_root
        assert block.transactions.count == SIZES[header.number]
        assert header.hash(KERNELS) == block.block_hash
        batch = decode_transactions(block.transactions, low_s=header.number > 1_150_000)
        assert recover(batch, KERNELS).all()
        assert batch.sender.tolist() == block.senders.tolist()
        assert (block.withdrawals is None) == (header.withdrawals_root is None)
        if block.withdrawals is not None:
            assert ordered_root(block.withdrawals.items()) == header.withdrawals_root


def test_the_stream_is_deterministic_and_can_be_read_twice():
    def digest(work: Workload) -> bytes:
        return keccak256(b"".join(block.header_rlp + block.transactions.data.tobytes() for block in work.blocks()))

    work = workload(txs=2000)
    assert digest(work) == digest(work) == digest(workload(txs=2000, seed=7, repetition=3, block_txs=10, accounts=5))
    assert digest(work) != digest(workload(txs=600))


def test_spec():
    assert mainnet.SPEC.name == "mainnet"
    assert mainnet.SPEC.not_executed == "contract code is not part of the block data"
    assert workload().genesis() is None


def test_wrong_parameters():
    with pytest.raises(UsageError, match="txs is 0"):
        workload(txs=0)


def test_one_block_always_comes(monkeypatch, tmp_path):
    block = tmp_path / "mainnet" / "5" / "block.json.gz"
    block.parent.mkdir(parents=True)
    block.write_bytes((mainnet.SHIPPED / "5891667.json.gz").read_bytes())
    monkeypatch.setenv("CHAINDP_DATA", str(tmp_path))
    assert numbers(workload(txs=1)) == [5891667]
    assert numbers(workload(txs=759)) == [5891667]
    assert numbers(workload(txs=760)) == [5891667, 5891667]


def test_blocks_without_transactions_do_not_loop_forever(monkeypatch, tmp_path):
    content = json.loads(gzip.decompress((mainnet.SHIPPED / "46147.json.gz").read_bytes()))
    content["transactions"] = []
    block = tmp_path / "mainnet" / "1" / "block.json.gz"
    block.parent.mkdir(parents=True)
    block.write_bytes(gzip.compress(json.dumps(content).encode()))
    monkeypatch.setenv("CHAINDP_DATA", str(tmp_path))
    with pytest.raises(UsageError, match="no block with a transaction"):
        workload()
    block.write_bytes(b"\x1f\x8b")
    with pytest.raises(InputError, match=r"block\.json\.gz"):
        workload()
    monkeypatch.setenv("CHAINDP_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(UsageError, match="CHAINDP_DATA"):
        workload()


def test_all_blocks_at_hand(monkeypatch, data_dir):
    monkeypatch.setenv("CHAINDP_DATA", str(data_dir))
    found = numbers(workload(txs=4873))
    assert len(found) == len(set(found)) == 9 and found == sorted(found)
