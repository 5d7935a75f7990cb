"""The workloads that ask for proofs: their contracts, and that jobs and statements follow from the call data."""

from __future__ import annotations

from dataclasses import replace
from importlib import resources
from typing import Any

import numpy as np
import pytest

from air_constraints import breaking
from chaindp.chain.codec.transactions import decode_transactions, recover_senders
from chaindp.chain.execution.revm import RevmExecutor
from chaindp.chain.state import State
from chaindp.chain.types import AccessHints, BlockEnv, Ragged, StorageCells, TransactionBatch
from chaindp.kernels.poseidon2 import golden_permutation
from chaindp.workload import CHAIN_ID, Workload, WorkloadParams
from chaindp_workloads.code import calls_of, runtime_code
from chaindp_workloads.contracts.assemble import assemble
from chaindp_workloads.credentials import (
    CLAIM,
    DEPTH,
    MOST_CLAIMS,
    REGISTRY,
    SHARE,
    Credentials,
    from_words,
    to_words,
    used_slots,
)
from chaindp_workloads.proofs import LANES, LARGEST, MARKET, MOST_PERMUTATIONS, REQUEST, Proofs, requested_states
from chaindp_workloads.stream import BASE_FEE
from execution_world import COINBASE, cpu_kernels, keccak

PARAMS = WorkloadParams(txs=300, block_txs=300, accounts=50, seed=3)


def block_of(workload: Workload, index: int = 0) -> TransactionBatch:
    batch = decode_transactions(list(workload.blocks())[index].transactions)
    recover_senders(batch, cpu_kernels())
    return batch


def with_data(batch: TransactionBatch, row: int, data: bytes) -> TransactionBatch:
    items = batch.data.items()
    return replace(batch, data=Ragged.from_items([*items[:row], data, *items[row + 1 :]]))


@pytest.fixture(scope="module")
def credentials() -> Credentials:
    return Credentials(PARAMS, cpu_kernels())


@pytest.fixture(scope="module")
def claims(credentials: Credentials) -> TransactionBatch:
    return block_of(credentials)


# the contracts --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["Registry", "Requests"])
def test_the_code_is_what_its_source_assembles_to(name: str) -> None:
    source = resources.files("chaindp_workloads").joinpath("contracts", f"{name}.asm").read_text(encoding="ascii")
    assert assemble(source) == runtime_code(name)


def test_selectors_and_topics_are_those_of_the_signatures() -> None:
    assert keccak(b"claim(uint256,uint256)")[:4] == CLAIM
    assert keccak(b"request(uint256,uint256)")[:4] == REQUEST
    for event, code in (("Claimed", "Registry"), ("Requested", "Requests")):
        assert keccak(f"{event}(uint256,uint256)".encode()) in runtime_code(code)


def outcome(workload: Workload, batch: TransactionBatch) -> tuple[list[int], State, Any]:
    """The status of every transaction, the state and the receipts after one block."""
    kernels, genesis = cpu_kernels(), workload.genesis()
    assert genesis is not None
    state = State.genesis(genesis, kernels)
    state.commit_root(kernels)

    def load(addresses: np.ndarray, slots: AccessHints) -> Any:
        cells = StorageCells(slots.address, slots.slot, state.storage(slots.address, slots.slot, kernels))
        return state.accounts(addresses, kernels), cells, dict(genesis.codes)

    env = BlockEnv(number=1, timestamp=1, coinbase=COINBASE, gas_limit=10**10, base_fee=BASE_FEE, chain_id=CHAIN_ID)
    result = RevmExecutor(CHAIN_ID).execute(env, batch, load)
    state.apply(result.diff, kernels)
    return result.receipts.status.tolist(), state, result.receipts


def test_a_claim_is_kept_and_a_second_one_reverts(credentials: Credentials, claims: TransactionBatch) -> None:
    rows, words = calls_of(claims, REGISTRY, CLAIM, 2)
    assert len(rows) > 8
    call = claims.data.item(int(rows[0]))
    tried = claims
    for row, data in (
        (rows[1], call),  # the same one again
        (rows[2], call[:36] + bytes(31) + b"\5"),  # the same application, another nullifier
        (rows[3], call[:4] + bytes(31) + b"\5" + call[36:]),  # the same nullifier, another application
        (rows[4], call[:67]),
        (rows[5], b"\0\0\0\0" + call[4:]),
        (rows[6], b""),
    ):
        tried = with_data(tried, int(row), data)
    status, state, receipts = outcome(credentials, tried)
    assert [status[row] for row in rows[:8]] == [1, 0, 1, 1, 0, 0, 0, 1]
    slots = used_slots(words[[0, 7]], cpu_kernels())
    registry = np.tile(np.frombuffer(REGISTRY, dtype=np.uint8), (2, 1))
    assert state.storage(registry, slots, cpu_kernels())[:, -1].tolist() == [1, 1]
    assert slots[0].tobytes() == keccak(call[4:])
    (log,) = np.flatnonzero(receipts.log_tx == rows[0])
    assert receipts.log_data.item(int(log)) == call[4:]


def test_what_is_no_request_reverts() -> None:
    workload = Proofs(replace(PARAMS, txs=4), cpu_kernels())
    batch = block_of(workload)
    tried = with_data(with_data(batch, 1, batch.data.item(1)[:67]), 2, b"\0" + batch.data.item(2)[1:])
    status, _, receipts = outcome(workload, tried)
    assert status == [1, 0, 0, 1]
    assert receipts.log_data.item(0) == batch.data.item(0)[4:]


# credentials ----------------------------------------------------------------------------------------------------------


def test_words_and_elements() -> None:
    elements = np.arange(1, 17, dtype=np.uint32).reshape(2, 8)
    for row, word in zip(elements.tolist(), to_words(elements), strict=True):
        assert int.from_bytes(word.tobytes(), "big") == sum(value << 32 * i for i, value in enumerate(row))
    assert np.array_equal(from_words(to_words(elements)), elements)
    assert to_words(np.array([[7, 0, 0, 0, 0, 0, 0]], dtype=np.uint32))[0].tobytes() == (7).to_bytes(32, "big")


def test_claims_are_a_share_and_no_pair_comes_twice() -> None:
    workload = Credentials(replace(PARAMS, txs=4000, block_txs=4000, zipf=1.0), cpu_kernels())
    batch = block_of(workload)
    rows, words = calls_of(batch, REGISTRY, CLAIM, 2)
    assert abs(len(rows) / 4000 - SHARE) < 0.015
    assert len(np.unique(words.reshape(len(words), -1), axis=0)) == len(words)
    assert batch.sender is not None
    for sender in np.unique(batch.sender[rows], axis=0):
        mine = (batch.sender[rows] == sender).all(axis=1)
        numbers = [int.from_bytes(word.tobytes(), "big") for word in words[mine, 0]]
        assert numbers == list(range(len(numbers)))


def test_one_proof_says_what_the_claims_of_the_block_say(credentials: Credentials, claims: TransactionBatch) -> None:
    (job,), (statement,) = credentials.proof_jobs(claims), credentials.proof_statements(claims)
    rows, words = calls_of(claims, REGISTRY, CLAIM, 2)
    assert job.air is statement.air and job.air.name == f"credentials koalabear {DEPTH}"
    assert list(job.public) == list(statement.public)
    assert job.table.shape[1] == statement.rows == 512 and statement.hiding and job.parameters.hiding
    digest = [0] * 8
    for pair in words:
        application, nullifier = from_words(pair).tolist()
        for half in ([*application[:7], 3], nullifier):
            digest = golden_permutation([*digest, *half], "koalabear")[:8]
    assert list(statement.public)[-9:] == [len(rows), *digest]
    assert not breaking(job.air, job.table[None], job.public)[0]
    # Made again, at another level, it is the same; and of other transactions it has another seed.
    (again,) = credentials.proof_jobs(claims)
    assert again.seed == job.seed and np.array_equal(again.table, job.table)
    # A claim that is no pair of elements is not vouched for.
    (fewer,) = credentials.proof_statements(with_data(claims, int(rows[0]), CLAIM + b"\xff" * 64))
    assert list(fewer.public)[-9] == len(rows) - 1
    nothing = with_data(claims, int(rows[0]), b"")
    for row in rows[1:]:
        nothing = with_data(nothing, int(row), b"")
    assert list(credentials.proof_jobs(nothing)) == list(credentials.proof_statements(nothing)) == []


def test_a_nullifier_that_is_not_the_senders_makes_no_table_that_holds(
    credentials: Credentials, claims: TransactionBatch
) -> None:
    rows, words = calls_of(claims, REGISTRY, CLAIM, 2)
    data = claims.data.item(int(rows[0]))
    stolen = with_data(claims, int(rows[0]), data[:36] + words[1, 1].tobytes())
    (job,) = credentials.proof_jobs(stolen)
    assert breaking(job.air, job.table[None], job.public)[0]


def test_a_large_block_has_several_proofs(
    monkeypatch: pytest.MonkeyPatch, credentials: Credentials, claims: Any
) -> None:
    import chaindp_workloads.credentials as module

    assert MOST_CLAIMS == 1024
    monkeypatch.setattr(module, "MOST_CLAIMS", 8)
    statements, jobs = credentials.proof_statements(claims), credentials.proof_jobs(claims)
    rows, _ = calls_of(claims, REGISTRY, CLAIM, 2)
    assert [list(one.public)[-9] for one in statements] == [
        *[8] * (len(rows) // 8),
        *([len(rows) % 8] if len(rows) % 8 else []),
    ]
    assert [list(one.public) for one in jobs] == [list(one.public) for one in statements]


def test_hints_have_a_slot_for_every_claim(credentials: Credentials, claims: TransactionBatch) -> None:
    hints = credentials.hints(claims)
    assert hints is not None
    _, words = calls_of(claims, REGISTRY, CLAIM, 2)
    at = (hints.address == np.frombuffer(REGISTRY, dtype=np.uint8)).all(axis=1)
    assert [slot.tobytes() for slot in hints.slot[at]] == [keccak(pair.tobytes()) for pair in words]
    assert (~at).sum() == 2 * (claims.count - len(words))


# requests -------------------------------------------------------------------------------------------------------------


def test_requested_states_are_those_of_the_seed() -> None:
    import hashlib

    stream = hashlib.shake_128(b"\7" * 32).digest(128)
    states = requested_states(2, b"\7" * 32)
    expected = [int.from_bytes(stream[4 * i : 4 * i + 4], "little") % 0x7F000001 for i in range(32)]
    assert states.reshape(-1).tolist() == expected


@pytest.mark.parametrize(("txs", "sizes"), [(1, [2]), (40, [32]), (1100, [512, 32])])
def test_tables_hold_all_that_was_asked_for(txs: int, sizes: list[int]) -> None:
    workload = Proofs(replace(PARAMS, txs=txs, block_txs=txs), cpu_kernels())
    batch = block_of(workload)
    jobs, statements = workload.proof_jobs(batch), workload.proof_statements(batch)
    assert [one.rows for one in statements] == [one.table.shape[1] for one in jobs] == sizes
    _, words = calls_of(batch, MARKET, REQUEST, 2)
    counts = [int.from_bytes(pair[0].tobytes(), "big") for pair in words]
    assert len(counts) == txs and set(counts) <= set(range(1, LARGEST + 1))
    states = np.concatenate([requested_states(n, pair[1].tobytes()) for n, pair in zip(counts, words, strict=True)])
    found = np.concatenate(
        [one.table.reshape(LANES, -1, one.table.shape[1])[:, :16].transpose(2, 0, 1) for one in jobs]
    )
    assert np.array_equal(found.reshape(-1, 16)[: len(states)], states)
    assert not found.reshape(-1, 16)[len(states) :].any()
    assert MOST_PERMUTATIONS == 512 * LANES


def test_requests_out_of_range_are_not_proven() -> None:
    workload = Proofs(replace(PARAMS, txs=2), cpu_kernels())
    batch = block_of(workload)
    for number in (0, LARGEST + 1, 1 << 255):
        tried = with_data(batch, 0, REQUEST + number.to_bytes(32, "big") + bytes(32))
        tried = with_data(tried, 1, b"")
        assert list(workload.proof_jobs(tried)) == list(workload.proof_statements(tried)) == []
