"""What each of the seven stages does with a block. One ``Chain`` is one node's state through one pass over the blocks.

In the pipelined mode every method below runs in a thread of its own, for different blocks. What two stages share is
therefore stated here: the engine belongs to ``execute``, the store's writes to ``flush``, the mutable state to
``merkleize`` and ``prove``, which share a thread, so that it is still that of the block whose accounts are opened;
``admit``, ``preload`` and the engine's misses read the state that the pass started from, which is right because
whatever has changed since is in the engine's cache already.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from chaindp.chain.admission import Admission
from chaindp.chain.codec.headers import EMPTY_OMMERS_HASH, Header
from chaindp.chain.codec.receipts import block_bloom, encode_receipts, logs_bloom
from chaindp.chain.codec.transactions import HOMESTEAD, decode_transactions, recover_senders
from chaindp.chain.execution.executor import Executor
from chaindp.chain.execution.validity import static_faults
from chaindp.chain.keytable import KeyTable
from chaindp.chain.state import State, StateReader
from chaindp.chain.store import Store
from chaindp.chain.trie import ordered_root
from chaindp.chain.types import EMPTY_CODE_HASH, AccessHints, Accounts, BlockEnv, Ragged, StorageCells, TransactionBatch
from chaindp.errors import ChaindpError, CheckFailed
from chaindp.kernels.kernelset import KernelSet
from chaindp.pipeline.block import BlockInFlight, Stage
from chaindp.pipeline.proofs import PROVER_KERNELS, prove_block
from chaindp.workload import Workload

__all__ = ["KERNELS_NEEDED", "Chain", "ChainParams", "stage_kernels"]

KERNELS_NEEDED: Mapping[Stage, tuple[str, ...]] = {
    Stage.ADMIT: ("keccak256", "ecrecover"),
    Stage.PRELOAD: ("keccak256",),
    Stage.EXECUTE: ("keccak256",),  # the trie keys of what turned out missing
    Stage.MERKLEIZE: ("keccak256", "trie_hash"),
    Stage.PROVE: ("keccak256", "merkle_tree", "merkle_open"),
}
"""The kernels that each stage calls; the stages that are not named call none."""


def stage_kernels(*, proves: bool) -> Mapping[Stage, tuple[str, ...]]:
    """The kernels that each stage calls, for a workload that asks for STARKs, or not."""
    return {**KERNELS_NEEDED, Stage.PROVE: (*KERNELS_NEEDED[Stage.PROVE], *(PROVER_KERNELS if proves else ()))}


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainParams:
    """Constants of the chain under test. The same for every level, so that every level reaches the same roots."""

    chain_id: int
    coinbase: bytes = bytes.fromhex("c0ffee00000000000000000000000000000c0de0")
    block_gas_limit: int = 2**63 - 1
    base_fee: int = 10**9
    slot_s: int = 1


class Chain:
    """One node that takes blocks through the stages. A method named after a stage returns ns spent waiting."""

    def __init__(
        self,
        *,
        params: ChainParams,
        workload: Workload,
        kernels: Mapping[Stage, KernelSet],
        store: Store | None,
        state: State | None,
        root: bytes,
        executor: Executor | None,
        proves: bool = False,
        prover_threads: int = 1,
    ) -> None:
        """``proves``: whether the workload's spec says that it asks for STARKs; ``prover_threads``: of the prover's own
        loops, beside those of the backend.
        """
        self._params = params
        self._workload = workload
        self._kernels = kernels
        self._store = store
        self._state = state
        self._executor = executor
        self._proves, self._prover_threads = proves, prover_threads
        # A reader is for one thread at a time, so each stage that reads has its own, with its own cache of nodes.
        self._readers: dict[Stage, StateReader] = {}
        if store is not None:
            self._readers = {
                Stage.ADMIT: StateReader(store, root, kernels[Stage.ADMIT]),
                Stage.PRELOAD: StateReader(store, root, kernels[Stage.PRELOAD]),
                Stage.EXECUTE: StateReader(store, root, kernels[Stage.EXECUTE]),
            }
        self._admission = Admission(self._readers[Stage.ADMIT].accounts) if self._readers else None
        self._known_accounts = KeyTable(20)
        self._known_cells = KeyTable(52)
        self._parent_hash = bytes(32)
        self.stop = threading.Event()  # set when the pass is to end before its time

    @property
    def executes(self) -> bool:
        """Whether there is a state to execute on. Without one, only what the blocks themselves carry is checked."""
        return self._executor is not None

    def stages(self) -> Mapping[Stage, Callable[[BlockInFlight], int]]:
        """The stages that this chain runs, in order."""
        every: dict[Stage, Callable[[BlockInFlight], int]] = {
            Stage.ADMIT: self.admit,
            Stage.ORDER: self.order,
            Stage.PRELOAD: self.preload,
            Stage.EXECUTE: self.execute,
            Stage.MERKLEIZE: self.merkleize,
            Stage.FLUSH: self.flush,
            Stage.PROVE: self.prove,
        }
        if not self.executes:
            every[Stage.MERKLEIZE] = self.check_real_block
            for stage in (Stage.PRELOAD, Stage.EXECUTE, Stage.FLUSH, Stage.PROVE):
                del every[stage]
        return every

    # admit ------------------------------------------------------------------------------------------------------------

    def admit(self, block: BlockInFlight) -> int:
        """Decode, recover every sender, refuse what could not be executed, check nonce and funds."""
        header = block.input.header_rlp
        low_s = header is None or Header.from_rlp(header).number >= HOMESTEAD
        batch = decode_transactions(block.input.transactions, low_s=low_s)
        recover_senders(batch, self._kernels[Stage.ADMIT])
        block.batch = batch
        assert batch.sender is not None
        if block.input.senders is not None and not np.array_equal(batch.sender, block.input.senders):
            raise CheckFailed(f"block {block.index}: a recovered sender is not the one that the block data names")
        if self._admission is not None:
            env = self.block_env(block.index)
            block.admitted, block.sender_accounts = self._admission.admit(
                batch, static_faults(env, batch), gas_limit=env.gas_limit
            )
        return 0

    # order ------------------------------------------------------------------------------------------------------------

    def order(self, block: BlockInFlight) -> int:
        """Wait until consensus has ordered the block, and leave out what was refused."""
        started = time.perf_counter_ns()
        remaining = block.ordered_ns - started
        waited = 0
        if remaining > 0:
            if self.stop.wait(remaining / 1e9):
                raise ChaindpError("stopped while waiting for a block to be ordered")
            waited = time.perf_counter_ns() - started
        if block.admitted is not None and not block.admitted.all():
            assert block.batch is not None
            block.refused = int((~block.admitted).sum())
            block.batch = select(block.batch, np.flatnonzero(block.admitted))
        return waited

    # preload ----------------------------------------------------------------------------------------------------------

    def preload(self, block: BlockInFlight) -> int:
        """Read from the store what the block will touch and no earlier block has touched."""
        batch = block.batch
        assert batch is not None
        assert batch.sender is not None
        if block.sender_accounts is not None:
            self._announce(block, block.sender_accounts)
        hints = self._workload.hints(batch)
        coinbase = np.frombuffer(self._params.coinbase, dtype=np.uint8)[None]
        touched = [batch.sender, batch.to[~batch.creates], coinbase]
        if hints is not None:
            touched.append(hints.address)
        addresses = np.concatenate(touched)
        fresh = self._known_accounts.add_new(addresses)
        if len(fresh):
            accounts = self._readers[Stage.PRELOAD].accounts(np.ascontiguousarray(addresses[fresh]))
            block.accounts.append(accounts)
            block.codes.update(_codes(self._readers[Stage.PRELOAD], accounts))
        if hints is not None:
            block.storage = self._preload_storage(hints)
        return 0

    def _announce(self, block: BlockInFlight, accounts: Accounts) -> None:
        """Hand to the engine those of ``accounts`` that no earlier block has; it knows the others better."""
        rows = self._known_accounts.add_new(accounts.address)
        if len(rows):
            fresh = Accounts(
                accounts.address[rows],
                accounts.nonce[rows],
                accounts.balance[rows],
                accounts.code_hash[rows],
                accounts.exists[rows],
            )
            block.accounts.append(fresh)
            block.codes.update(_codes(self._readers[Stage.PRELOAD], fresh))

    def _preload_storage(self, hints: AccessHints) -> StorageCells | None:
        fresh = self._known_cells.add_new(np.concatenate([hints.address, hints.slot], axis=1))
        if not len(fresh):
            return None
        address, slot = np.ascontiguousarray(hints.address[fresh]), np.ascontiguousarray(hints.slot[fresh])
        return StorageCells(address, slot, self._readers[Stage.PRELOAD].storage(address, slot))

    # execute ----------------------------------------------------------------------------------------------------------

    def block_env(self, index: int) -> BlockEnv:
        """What the EVM sees of block ``index``; block numbers start at 1, after the genesis."""
        number = index + 1
        return BlockEnv(
            number=number,
            timestamp=number * self._params.slot_s,
            coinbase=self._params.coinbase,
            gas_limit=self._params.block_gas_limit,
            base_fee=self._params.base_fee,
            chain_id=self._params.chain_id,
        )

    def execute(self, block: BlockInFlight) -> int:
        """Run the block's transactions on the engine's cache; its results are visible from here on."""
        assert self._executor is not None
        assert block.batch is not None
        for accounts in block.accounts:
            self._executor.load_accounts(accounts, block.codes)
        if block.storage is not None:
            self._executor.load_storage(block.storage)
        result = self._executor.execute(self.block_env(block.index), block.batch, self._load)
        block.receipts, block.diff, block.gas_used = result.receipts, result.diff, result.gas_used
        block.late_loads, block.reruns = result.late_loads, result.reruns
        return 0

    # merkleize --------------------------------------------------------------------------------------------------------

    def merkleize(self, block: BlockInFlight) -> int:
        """Apply the changes to the state tries, hash what changed, and make the header with all its roots."""
        kernels = self._kernels[Stage.MERKLEIZE]
        assert self._state is not None
        assert block.diff is not None
        assert block.receipts is not None
        assert block.batch is not None
        self._state.apply(block.diff, kernels)
        block.state_root, nodes = self._state.commit_root(kernels)
        block.node_digests, block.node_encodings, block.codes = nodes.digests, nodes.encodings, dict(nodes.codes)
        blooms = logs_bloom(block.receipts, kernels)
        block.receipt_encodings = encode_receipts(block.receipts, blooms)
        block.receipts_root = ordered_root(block.receipt_encodings, kernels)
        block.transactions_root = ordered_root(block.batch.raw, kernels)
        env = self.block_env(block.index)
        header = Header(
            parent_hash=self._parent_hash,
            ommers_hash=EMPTY_OMMERS_HASH,
            beneficiary=env.coinbase,
            state_root=block.state_root,
            transactions_root=block.transactions_root,
            receipts_root=block.receipts_root,
            logs_bloom=block_bloom(blooms),
            difficulty=0,
            number=env.number,
            gas_limit=env.gas_limit,
            gas_used=block.gas_used,
            timestamp=env.timestamp,
            extra_data=b"",
            mix_hash=env.prev_randao,
            nonce=bytes(8),
            base_fee=env.base_fee,
        )
        block.header = header.rlp()
        block.block_hash = self._parent_hash = header.hash(kernels)
        return 0

    def check_real_block(self, block: BlockInFlight) -> int:
        """Recompute what a real block's header commits to of the block's own data; CheckFailed where it differs."""
        kernels = self._kernels[Stage.MERKLEIZE]
        assert block.input.header_rlp is not None
        assert block.batch is not None
        header = Header.from_rlp(block.input.header_rlp)
        block.transactions_root = ordered_root(block.batch.raw, kernels)
        block.block_hash = header.hash(kernels)
        block.gas_used = header.gas_used
        if block.input.block_hash is not None:
            _expect(header.number, "block hash", block.block_hash, block.input.block_hash)
        _expect(header.number, "transactions root", block.transactions_root, header.transactions_root)
        if block.input.withdrawals is not None:
            block.withdrawals_root = ordered_root(block.input.withdrawals, kernels)
            _expect(header.number, "withdrawals root", block.withdrawals_root, header.withdrawals_root or b"")
        return 0

    # flush ------------------------------------------------------------------------------------------------------------

    def flush(self, block: BlockInFlight) -> int:
        """Make the block durable in one transaction of the store; from here on it is final."""
        assert self._store is not None
        assert block.node_digests is not None
        assert block.node_encodings is not None
        self._store.commit(
            block.index + 1,
            block.state_root,
            block.node_digests,
            block.node_encodings,
            block.codes,
            block.header,
        )
        return 0

    # prove ------------------------------------------------------------------------------------------------------------

    def prove(self, block: BlockInFlight) -> int:
        """Open every account that the block changed, and its senders and recipients, under its state root; commit to
        its receipts in a binary Merkle tree, and open the path of every transaction; make the STARKs that the workload
        asks for.
        """
        kernels = self._kernels[Stage.PROVE]
        assert self._state is not None
        assert block.diff is not None
        assert block.receipt_encodings is not None
        assert block.batch is not None
        block.account_proofs = self._state.prove(_touched(block.diff.address, block.batch), kernels)
        if block.account_proofs.root != block.state_root:
            raise CheckFailed(
                f"block {block.index}: the state has left this block's root before its accounts were opened"
            )
        leaves = kernels.keccak256(block.receipt_encodings.data, block.receipt_encodings.offsets)
        nodes = kernels.merkle_tree(leaves)
        count = len(leaves)
        block.proof_root = nodes[-1].tobytes()
        block.proof_leaves = leaves
        if count:
            block.proof_paths = kernels.merkle_open(nodes, count, np.arange(count, dtype=np.int64))
        block.proofs = prove_block(
            self._workload, block.batch, kernels, threads=self._prover_threads, announced=self._proves
        )
        return 0

    # what the engine asks for when a transaction touches what nothing has announced -----------------------------------

    def _load(self, addresses: np.ndarray, slots: AccessHints) -> tuple[Accounts, StorageCells, Mapping[bytes, bytes]]:
        """Accounts and slots as they were at the start of the pass, and the codes of the accounts."""
        reader = self._readers[Stage.EXECUTE]
        accounts = reader.accounts(addresses)
        values = reader.storage(slots.address, slots.slot)
        return accounts, StorageCells(slots.address, slots.slot, values), _codes(reader, accounts)


def _touched(changed: np.ndarray, batch: TransactionBatch) -> np.ndarray:
    """Accounts uint8[N,20], each once: the changed ones, in their order, and senders and recipients that are not."""
    assert batch.sender is not None
    addresses = np.concatenate([changed, batch.sender, batch.to[~batch.creates]])
    return np.ascontiguousarray(addresses[np.sort(KeyTable(20).add_new(addresses))])


def _codes(reader: StateReader, accounts: Accounts) -> dict[bytes, bytes]:
    """The codes of those accounts that have one, by hash."""
    hashes = {digest.tobytes() for digest in accounts.code_hash[accounts.exists]} - {EMPTY_CODE_HASH}
    return {digest: reader.code(digest) for digest in hashes}


def select(batch: TransactionBatch, rows: np.ndarray) -> TransactionBatch:
    """The transactions at ``rows`` int64[M], in that order."""

    def ragged(items: Ragged) -> Ragged:
        return Ragged.from_items(items.item(row) for row in rows)

    return TransactionBatch(
        raw=ragged(batch.raw),
        type=batch.type[rows],
        chain_id=batch.chain_id[rows],
        nonce=batch.nonce[rows],
        gas_limit=batch.gas_limit[rows],
        max_fee=batch.max_fee[rows],
        max_priority_fee=batch.max_priority_fee[rows],
        to=batch.to[rows],
        creates=batch.creates[rows],
        value=batch.value[rows],
        data=ragged(batch.data),
        access_lists=ragged(batch.access_lists),
        signature=batch.signature[rows],
        hash=None if batch.hash is None else batch.hash[rows],
        sender=None if batch.sender is None else batch.sender[rows],
        extra=None if batch.extra is None else ragged(batch.extra),
    )


def _expect(number: int, what: str, actual: bytes, expected: bytes) -> None:
    if actual != expected:
        raise CheckFailed(f"block {number}: {what} is {actual.hex()}, the header says {expected.hex()}")
