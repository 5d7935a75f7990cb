"""The generated workloads: determinism, shape, statistics, and that every transaction executes."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from coincurve import PrivateKey, PublicKey

from chaindp.chain.codec.transactions import decode_transactions, recover_senders, signing_hashes
from chaindp.chain.codec.words import words_to_ints
from chaindp.chain.execution.revm import RevmExecutor
from chaindp.chain.signing import derive_keys, sign_transactions
from chaindp.chain.state import State
from chaindp.chain.types import AccessHints, Accounts, BlockEnv, StorageCells, TransactionBatch
from chaindp.errors import UsageError
from chaindp.pipeline.workload_digest import workload_digest
from chaindp.workload import CHAIN_ID, Workload, WorkloadParams
from chaindp_workloads import chaindp_workloads
from chaindp_workloads.credentials import Credentials
from chaindp_workloads.erc20 import HOLDING, TOKEN, Erc20, balance_slots, token_code
from chaindp_workloads.proofs import Proofs
from chaindp_workloads.stream import BALANCE, BASE_FEE, draw_pairs, zipf_ranks
from chaindp_workloads.transfers import Transfers
from execution_world import COINBASE, cpu_kernels, keccak

DIGESTS = {
    "transfers": "19ffce7fd2a0db0e9aca176a44205786f4e5ef1aa040e7671a2d370ccd68dbd7",
    "erc20": "f15d4512e0f5508cbfc209d8d2918f1219ccd5d96c52aefcfccd81bc096e1cff",
    "credentials": "c2473cd8500903e3397d7e0bcc27520bfa49b0373a01679b678b18a2b03ed257",
    "proofs": "bf3e26683d025077d10f048425f317ddbaf0e83385280796da52d94880f02dab",
}
PARAMS = WorkloadParams(txs=300, block_txs=100, accounts=200, seed=3, zipf=0.9, conflict=0.1)
KINDS = [Transfers, Erc20, Credentials, Proofs]


def decoded(workload: Workload) -> list[TransactionBatch]:
    batches = []
    for block in workload.blocks():
        batch = decode_transactions(block.transactions)
        recover_senders(batch, cpu_kernels())
        batches.append(batch)
    return batches


def execute(workload: Workload, batches: list[TransactionBatch], *, hints: bool) -> tuple[State, list[object], int]:
    """Run a workload block by block through engine and state; the state, receipts and how much was loaded late."""
    kernels = cpu_kernels()
    genesis = workload.genesis()
    assert genesis is not None
    state = State.genesis(genesis, kernels)
    state.commit_root(kernels)
    engine = RevmExecutor(CHAIN_ID)

    def load(addresses: np.ndarray, slots: AccessHints) -> tuple[Accounts, StorageCells, dict[bytes, bytes]]:
        cells = StorageCells(slots.address, slots.slot, state.storage(slots.address, slots.slot, kernels))
        return state.accounts(addresses, kernels), cells, dict(genesis.codes)

    late, receipts = 0, []
    for number, batch in enumerate(batches):
        if hints:
            assert batch.sender is not None
            wanted = workload.hints(batch) or AccessHints(np.zeros((0, 20), np.uint8), np.zeros((0, 32), np.uint8))
            addresses = np.unique(
                np.concatenate([batch.sender, batch.to, np.frombuffer(COINBASE, np.uint8)[None]]), axis=0
            )
            accounts, cells, codes = load(addresses, wanted)
            engine.load_accounts(accounts, codes)
            engine.load_storage(cells)
        env = BlockEnv(
            number=number + 1,
            timestamp=number,
            coinbase=COINBASE,
            gas_limit=10**10,
            base_fee=BASE_FEE,
            chain_id=CHAIN_ID,
        )
        result = engine.execute(env, batch, load)
        late += result.late_loads
        receipts.append(result.receipts)
        state.apply(result.diff, kernels)
    return state, receipts, late


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_parameters_give_the_same_bytes(kind: type[Workload]) -> None:
    kernels = cpu_kernels()
    digest = workload_digest(kind(PARAMS, kernels))
    assert workload_digest(kind(PARAMS, kernels)) == digest
    others = [
        replace(PARAMS, **change)
        for change in ({"seed": 4}, {"repetition": 1}, {"txs": 299}, {"zipf": 0.0}, {"conflict": 0.0})
        # Requests for proofs go to one contract, whoever is the recipient of other workloads.
        if kind is not Proofs or "conflict" not in change
    ]
    assert len({digest, *[workload_digest(kind(other, kernels)) for other in others]}) == 1 + len(others)


def test_the_bytes_are_those_of_this_release() -> None:
    """What a seed gives must not drift: runs are compared by it."""
    digests = {kind.name: workload_digest(kind(PARAMS, cpu_kernels())) for kind in KINDS}
    assert digests == DIGESTS


@pytest.mark.parametrize("kind", KINDS)
def test_genesis_is_of_the_seed_alone(kind: type[Workload]) -> None:
    first, second = (kind(replace(PARAMS, repetition=n, txs=10 + n), cpu_kernels()).genesis() for n in range(2))
    assert first is not None
    assert second is not None
    assert (first.accounts.address == second.accounts.address).all()
    assert (first.storage.slot == second.storage.slot).all()
    assert len(np.unique(first.accounts.address, axis=0)) == len(first.accounts.address)
    assert set(words_to_ints(first.accounts.balance)) <= {BALANCE, 0}


@pytest.mark.parametrize("kind", KINDS)
def test_blocks_decode_and_are_valid(kind: type[Workload]) -> None:
    workload = kind(PARAMS, cpu_kernels())
    batches = decoded(workload)
    assert [batch.count for batch in batches] == [100, 100, 100]
    nonces: Counter[bytes] = Counter()
    kinds: Counter[int] = Counter()
    for batch in batches:
        assert (batch.chain_id == CHAIN_ID).all()
        kinds.update(batch.type.tolist())
        assert batch.sender is not None
        for sender, nonce in zip(batch.sender, batch.nonce.tolist(), strict=True):
            assert nonces[sender.tobytes()] == nonce
            nonces[sender.tobytes()] += 1
    assert kinds[2] > kinds[0] > 0 < kinds[1]


@pytest.mark.parametrize("kind", KINDS)
def test_blocks_split_differently_are_the_same_stream(kind: type[Workload]) -> None:
    streams = []
    for size in (7, 100, 1000):
        blocks = kind(replace(PARAMS, block_txs=size), cpu_kernels()).blocks()
        streams.append([item for block in blocks for item in block.transactions.items()])
    assert streams[0] == streams[1] == streams[2]


@pytest.mark.parametrize("kind", KINDS)
def test_every_transaction_succeeds_and_value_is_conserved(kind: type[Workload]) -> None:
    workload = kind(PARAMS, cpu_kernels())
    batches = decoded(workload)
    state, receipts, late = execute(workload, batches, hints=True)
    assert late == 0
    assert all((one.status == 1).all() for one in receipts)  # type: ignore[attr-defined]
    genesis = workload.genesis()
    assert genesis is not None
    addresses = np.unique(np.concatenate([genesis.accounts.address, np.frombuffer(COINBASE, np.uint8)[None]]), axis=0)
    after = sum(words_to_ints(state.accounts(addresses, cpu_kernels()).balance))
    burnt = sum(int(one.gas_used.sum()) for one in receipts) * BASE_FEE  # type: ignore[attr-defined]
    assert after + burnt == sum(words_to_ints(genesis.accounts.balance))
    cells = genesis.storage
    if len(cells.slot):
        held = words_to_ints(state.storage(cells.address, cells.slot, cpu_kernels()))
        assert sum(held[:-1]) == held[-1] == HOLDING * 200
        assert held[:-1].count(HOLDING) < 200
    if kind is not Transfers:
        assert all(len(one.log_tx) == 100 for one in receipts)  # type: ignore[attr-defined]


@pytest.mark.parametrize("kind", KINDS)
def test_hints_and_block_size_do_not_change_the_state(kind: type[Workload]) -> None:
    roots = set()
    for size, hints in ((100, True), (100, False), (300, True), (23, False)):
        workload = kind(replace(PARAMS, block_txs=size), cpu_kernels())
        state, _, late = execute(workload, decoded(workload), hints=hints)
        assert (late == 0) == hints
        roots.add(state.commit_root(cpu_kernels())[0])
    assert len(roots) == 1


def test_hints_are_what_the_token_reads() -> None:
    workload = Erc20(replace(PARAMS, txs=5), cpu_kernels())
    (batch,) = decoded(workload)
    hints = workload.hints(batch)
    assert hints is not None
    assert batch.sender is not None
    holders = [row.tobytes() for row in batch.sender] + [batch.data.item(index)[16:36] for index in range(5)]
    assert {row.tobytes() for row in hints.address} == {TOKEN}
    assert [row.tobytes() for row in hints.slot] == [keccak(bytes(12) + holder + bytes(32)) for holder in holders]
    assert Transfers(PARAMS, cpu_kernels()).hints(batch) is None
    batch.to = np.zeros_like(batch.to)
    assert workload.hints(batch) is None


def test_conflict_is_the_share_that_goes_to_one_recipient() -> None:
    for share in (0.0, 0.25, 1.0):
        pairs = draw_pairs(WorkloadParams(txs=20_000, accounts=100_000, conflict=share))
        top = Counter(pairs.recipient.tolist()).most_common(1)[0][1] / 20_000
        assert abs(top - share) < 0.02


def test_zipf_ranks_follow_their_law() -> None:
    rng = np.random.default_rng(1)
    for exponent in (0.0, 0.5, 1.0, 1.5):
        ranks = zipf_ranks(rng, 1_000_000, exponent, 200_000)
        assert ranks.min() >= 0
        assert ranks.max() < 1_000_000
        weights = np.arange(1, 1_000_001) ** -exponent
        for head in (1, 10, 1000, 500_000):
            expected = weights[:head].sum() / weights.sum()
            assert abs((ranks < head).mean() - expected) < 5 * np.sqrt(expected / 200_000) + 1e-5
    assert zipf_ranks(rng, 1, 1.0, 5).tolist() == [0] * 5


def test_keys_and_signatures_are_deterministic_and_right() -> None:
    keys, more = derive_keys(5, 3, cpu_kernels()), derive_keys(5, 5, cpu_kernels())
    assert [key.secret for key in more.private[:3]] == [key.secret for key in keys.private]
    for index, key in enumerate(more.private):
        secret = int.from_bytes(hashlib.sha256(f"chaindp key 5 {index}".encode()).digest(), "big")
        assert key.to_int() == secret % (0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141 - 1) + 1
        point = PrivateKey(key.secret).public_key.format(compressed=False)
        assert more.address[index].tobytes() == keccak(point[1:])[12:]
    (batch,) = decoded(Transfers(replace(PARAMS, txs=20), cpu_kernels()))
    digests = signing_hashes(batch, cpu_kernels())
    assert batch.sender is not None
    for index in range(20):
        signature = batch.signature[index].tobytes()
        public = PublicKey.from_signature_and_message(signature, digests[index].tobytes(), hasher=None)
        assert keccak(public.format(compressed=False)[1:])[12:] == batch.sender[index].tobytes()
        assert (
            int.from_bytes(signature[32:64], "big")
            <= 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141 // 2
        )
    with pytest.raises(UsageError, match="need as many signers"):
        sign_transactions(batch, keys, np.full(20, 3), cpu_kernels())
    with pytest.raises(UsageError, match="cannot derive"):
        derive_keys(0, -1, cpu_kernels())


@pytest.mark.parametrize(
    "change",
    [
        {"txs": -1},
        {"block_txs": 0},
        {"accounts": 0},
        {"zipf": -0.1},
        {"zipf": float("nan")},
        {"conflict": 1.5},
        {"seed": -1},
        {"repetition": -1},
    ],
)
def test_parameters_out_of_range(change: dict[str, float]) -> None:
    with pytest.raises(UsageError) as caught:
        Transfers(replace(PARAMS, **change), cpu_kernels())  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


def test_small_worlds() -> None:
    for kind in KINDS:
        assert list(kind(replace(PARAMS, txs=0), cpu_kernels()).blocks()) == []
        lonely = kind(replace(PARAMS, txs=3, accounts=1), cpu_kernels())
        _, receipts, _ = execute(lonely, decoded(lonely), hints=True)
        assert all((one.status == 1).all() for one in receipts)  # type: ignore[attr-defined]


def test_the_plugin_announces_five_workloads() -> None:
    assert [spec.name for spec in chaindp_workloads()] == ["transfers", "erc20", "credentials", "proofs", "mainnet"]
    assert [spec.name for spec in chaindp_workloads() if spec.proves] == ["credentials", "proofs"]
    for spec, kind in zip(chaindp_workloads(), KINDS, strict=False):
        assert isinstance(spec.factory(PARAMS, cpu_kernels()), kind)


def test_balance_slots_are_those_of_solidity() -> None:
    holders = np.arange(60, dtype=np.uint8).reshape(3, 20)
    slots = balance_slots(holders, cpu_kernels())
    assert [slot.tobytes() for slot in slots] == [keccak(bytes(12) + row.tobytes() + bytes(32)) for row in holders]
    assert len(token_code()) == 1271
