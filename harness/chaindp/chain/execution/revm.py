"""The engine that runs revm through its Python binding: exact, sequential, the baseline that others are compared with.

The binding never finalizes its journal, so every transaction runs between a snapshot and a revert, and what it changed
is written back to the flat cache and to the database of the EVM. There are three ways to run one, quickest first:

- *plain*: no code is involved; only the gas is asked of revm;
- *shared*: one contract that keeps to itself, on an EVM that lives as long as the engine;
- *isolated*: everything else, on an EVM of its own that is given just what the transaction reads. What it reads is
  found by running it until a run asks for nothing new: a call that reverts leaves nothing in the journal, but what it
  read stays in the database.

The binding answers BASEFEE with zero and BLOCKHASH with a made-up value. A transaction that reaches code with one of
these instructions in it is refused, and so is one that reaches code with a CREATE in it, for init code is nowhere in
the state and cannot be looked through. (revm's trace would tell, at a millisecond a step through this binding.)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pyrevm

from chaindp.chain.codec.words import ints_to_words, words_to_ints
from chaindp.chain.execution.cache import Account, FlatCache
from chaindp.chain.execution.columns import addresses_to_column, addresses_to_hex
from chaindp.chain.execution.executor import ExecutionResult, Executor, Load, UnsupportedError
from chaindp.chain.execution.journal import database_reads, parse_journal, storage_of
from chaindp.chain.execution.opcodes import (
    BASEFEE,
    BLOCKHASH,
    CREATE,
    CREATE2,
    GASPRICE,
    NEEDS_ISOLATION,
    instructions,
    mask_of,
)
from chaindp.chain.execution.receipts import ReceiptBuilder
from chaindp.chain.execution.validity import LAST_TYPE, AccessList, check_static, decode_access_list, fee_columns
from chaindp.chain.types import EMPTY_CODE_HASH, AccessHints, Accounts, BlockEnv, StorageCells, TransactionBatch
from chaindp.errors import ChaindpError, InputError, UsageError

__all__ = ["RevmExecutor"]

SPEC = "CANCUN"
PRECOMPILES = frozenset(f"0x{number:040x}" for number in range(1, 11))
GASPRICE_BIT, BASEFEE_BIT, BLOCKHASH_BIT = mask_of(GASPRICE), mask_of(BASEFEE), mask_of(BLOCKHASH)
CREATES = mask_of(CREATE, CREATE2)
SHARED_GAS_LIMIT = 2**64 - 1
"""The gas limit of the shared EVM; code that asks for the block's (GASLIMIT) runs isolated."""

ABSENT = Account(0, 0, EMPTY_CODE_HASH)

_NO_ACCESS = AccessHints(np.zeros((0, 20), dtype=np.uint8), np.zeros((0, 32), dtype=np.uint8))


class _Transaction:
    """One transaction as the isolated way needs it."""

    __slots__ = ("access_list", "creates", "data", "gas", "index", "price", "sender", "to", "value")

    def __init__(
        self,
        index: int,
        sender: str,
        to: str,
        creates: bool,
        data: bytes,
        value: int,
        gas: int,
        price: int,
        access_list: AccessList,
    ) -> None:
        self.index, self.sender, self.to, self.creates = index, sender, to, creates
        self.data, self.value, self.gas, self.price, self.access_list = data, value, gas, price, access_list


class RevmExecutor(Executor):
    """Sequential execution on revm (pyrevm 0.3.7), Cancun rules.

    chain_id:             of every block that it will execute
    state_tests:          for the official state tests only: BLOCKHASH(n) is keccak256 of n in decimal there, which is
                          what the binding answers, and the result is checked against a known root, so creations by
                          contracts run

    Refused with UnsupportedError: blob and set-code transactions, and what the module's text says. Not executed: the
    beacon root call of EIP-4788, and withdrawals.
    """

    def __init__(self, chain_id: int, *, state_tests: bool = False) -> None:
        self.chain_id = chain_id
        self._state_tests = state_tests
        self._cache = FlatCache()
        self._masks: dict[bytes, int] = {EMPTY_CODE_HASH: 0}
        self._config = pyrevm.CfgEnv(chain_id=chain_id)
        self._late_loads = 0
        self._reruns = 0
        self._start_shared()

    def _start_shared(self) -> None:
        self._shared = pyrevm.EVM(env=pyrevm.Env(cfg=self._config), gas_limit=SHARED_GAS_LIMIT, spec_id=SPEC)
        self._inserted: dict[str, Account] = {}
        # A coinbase stays in the journal of the shared EVM, where its storage cannot be written any more.
        self._coinbases: set[str] = set()
        for address, slots in self._cache.storage.items():
            for slot, value in slots.items():
                if value:
                    self._share_slot(address, slot, value)

    # The cache.

    def load_accounts(self, accounts: Accounts, codes: Mapping[bytes, bytes]) -> None:
        """Put cold accounts into the cache; known ones are ignored. InputError where a code is missing."""
        self._cache.load_accounts(accounts, codes)

    def load_storage(self, cells: StorageCells) -> None:
        """Put cold slots into the cache; known ones are ignored."""
        for address, slot, value in self._cache.load_storage(cells):
            self._share_slot(address, slot, value)

    def _share_slot(self, address: str, slot: int, value: int) -> None:
        """Write a slot to the database of the shared EVM."""
        if address in self._coinbases:
            return
        evm = self._shared
        # The write loads the account into the journal, where the next one would go: so each has a snapshot of its own.
        checkpoint = evm.snapshot()
        evm.insert_account_storage(address, slot, value)
        evm.revert(checkpoint)

    def _fetch(self, load: Load, addresses: Sequence[str], slots: Sequence[tuple[str, int]]) -> None:
        """Load what the cache does not know. ChaindpError where ``load`` does not bring it."""
        cache = self._cache
        addresses = [address for address in dict.fromkeys(addresses) if address not in cache.accounts]
        slots = [pair for pair in dict.fromkeys(slots) if not cache.knows_slot(*pair)]
        if not addresses and not slots:
            return
        wanted = _NO_ACCESS
        if slots:
            wanted = AccessHints(addresses_to_column([a for a, _ in slots]), ints_to_words([slot for _, slot in slots]))
        accounts, cells, codes = load(addresses_to_column(addresses), wanted)
        self.load_accounts(accounts, codes)
        self.load_storage(cells)
        self._late_loads += len(addresses) + len(slots)
        for address in addresses:
            if address not in cache.accounts:
                raise ChaindpError(f"the state did not answer for account {address}")
        for address, slot in slots:
            if not cache.knows_slot(address, slot):
                raise ChaindpError(f"the state did not answer for slot {slot:#x} of account {address}")

    def _mask(self, code_hash: bytes) -> int:
        mask = self._masks.get(code_hash)
        if mask is None:
            mask = self._masks[code_hash] = instructions(self._cache.codes[code_hash])
        return mask

    # Blocks.

    def execute(self, env: BlockEnv, batch: TransactionBatch, load: Load) -> ExecutionResult:
        """Execute a block; see ``Executor.execute``. UsageError where the block is of another chain."""
        if env.chain_id != self.chain_id:
            raise UsageError(f"the engine was made for chain {self.chain_id}, the block is of chain {env.chain_id}")
        if (batch.type > LAST_TYPE).any():
            index = int((batch.type > LAST_TYPE).argmax())
            raise UnsupportedError(
                f"transaction {index} is of type {batch.type[index]}, which the revm engine does not execute"
            )
        check_static(env, batch)
        sizes = np.diff(batch.access_lists.offsets)
        access_lists: list[AccessList] = [[]] * batch.count
        for index in np.flatnonzero(sizes > 1).tolist():
            access_lists[index] = decode_access_list(batch.access_lists.item(index))
        self._late_loads = self._reruns = 0
        self._cache.begin_block()
        try:
            return self._run(env, batch, access_lists, load)
        except BaseException as error:
            self._cache.undo_block()
            self._start_shared()
            if isinstance(error, RuntimeError):
                raise ChaindpError(f"revm failed where it must not: {error}") from error
            raise

    def _run(
        self, env: BlockEnv, batch: TransactionBatch, access_lists: list[AccessList], load: Load
    ) -> ExecutionResult:
        cache, shared, inserted = self._cache, self._shared, self._inserted
        accounts, set_account = cache.accounts, cache.set_account
        coinbase = "0x" + env.coinbase.hex()
        block_env = _block_env(env, coinbase)
        shared.set_block_env(block_env)
        self._coinbases.add(coinbase)
        assert batch.sender is not None
        senders, targets = addresses_to_hex(batch.sender), addresses_to_hex(batch.to)
        nonces, gas_limits, creates = batch.nonce.tolist(), batch.gas_limit.tolist(), batch.creates.tolist()
        caps, prices = fee_columns(batch, env.base_fee)
        values = words_to_ints(batch.value)
        data, offsets = batch.data.data.tobytes(), batch.data.offsets.tolist()
        self._fetch(load, [*senders, *[t for t, made in zip(targets, creates, strict=True) if not made], coinbase], ())
        receipts = ReceiptBuilder(batch.type)
        base_fee, remaining = env.base_fee, env.gas_limit
        # What the coinbase has earned and not yet been given: only an isolated transaction could see the difference.
        reward, touched = 0, False
        account_info, snapshot, revert, message_call = (
            pyrevm.AccountInfo,
            shared.snapshot,
            shared.revert,
            shared.message_call,
        )

        for index, sender in enumerate(senders):
            to = targets[index]
            if touched and (sender == coinbase or to == coinbase):
                self._reward(coinbase, reward)
                reward, touched = 0, False
            account, gas, value, price = accounts[sender], gas_limits[index], values[index], prices[index]
            nonce, balance, code_hash = account or ABSENT
            if nonces[index] != nonce:
                raise InputError(f"transaction {index} has nonce {nonces[index]} where that of {sender} is {nonce}")
            if code_hash != EMPTY_CODE_HASH:
                raise InputError(f"transaction {index}: the sender {sender} has code (EIP-3607)")
            if balance < gas * caps[index] + value:
                raise InputError(f"transaction {index}: the balance of {sender} does not cover value and fees")
            if gas > remaining:
                raise InputError(f"transaction {index} has gas limit {gas} where the block has {remaining} left")
            paid = balance - gas * price
            payload = data[offsets[index] : offsets[index + 1]]
            used = 0
            if not creates[index] and not access_lists[index]:
                target = accounts[to]
                if target is None or target.code_hash == EMPTY_CODE_HASH:
                    if to not in PRECOMPILES:
                        shared.insert_account_info(sender, account_info(paid, nonce + 1))
                        checkpoint = snapshot()
                        message_call(sender, to, payload, value, gas)
                        used = shared.result.gas_used
                        revert(checkpoint)
                        receipts.add(index, 1, used, ())
                        set_account(sender, Account(nonce + 1, paid - value + (gas - used) * price, EMPTY_CODE_HASH))
                        target = accounts[to] or ABSENT
                        set_account(to, Account(target.nonce, target.balance + value, EMPTY_CODE_HASH))
                elif self._may_share(to, target, paid, gas, price, value):
                    if inserted.get(to) is not target:
                        info = account_info(
                            target.balance, target.nonce, target.code_hash, cache.codes[target.code_hash]
                        )
                        shared.insert_account_info(to, info)
                        inserted[to] = target
                    shared.insert_account_info(sender, account_info(paid, nonce + 1))
                    used = self._call_shared(index, sender, to, payload, value, gas, price, load, receipts)
                    if used:
                        set_account(sender, Account(nonce + 1, paid - value + (gas - used) * price, EMPTY_CODE_HASH))
                        if value:
                            set_account(to, Account(target.nonce, target.balance + value, target.code_hash))
            if used:
                reward, touched = reward + (price - base_fee) * used, True
            else:
                if touched:
                    self._reward(coinbase, reward)
                    reward, touched = 0, False
                transaction = _Transaction(
                    index, sender, to, creates[index], payload, value, gas, price, access_lists[index]
                )
                used = self._isolated(transaction, env, block_env, coinbase, load, receipts)
            remaining -= used

        if touched:
            self._reward(coinbase, reward)
        gas_used = env.gas_limit - remaining
        return ExecutionResult(
            receipts=receipts.finish(),
            diff=cache.diff(),
            gas_used=gas_used,
            burnt=gas_used * base_fee,
            late_loads=self._late_loads,
            reruns=self._reruns,
        )

    def _reward(self, coinbase: str, amount: int) -> None:
        """Give the coinbase its fees. It counts as touched even where there are none."""
        account = self._cache.accounts[coinbase] or ABSENT
        self._cache.set_account(coinbase, account._replace(balance=account.balance + amount))

    # The shared way.

    def _may_share(self, to: str, target: Account, paid: int, gas: int, price: int, value: int) -> bool:
        """Whether the contract can run on the shared EVM: it touches only itself, and the answers are right there."""
        mask = self._mask(target.code_hash)
        if mask & NEEDS_ISOLATION or to in self._coinbases or to in self._cache.ever_cleared:
            return False
        # The binding wants the sender to be able to pay the gas that was prepaid already.
        return not mask & GASPRICE_BIT or paid >= gas * price + value

    def _call_shared(
        self,
        index: int,
        sender: str,
        to: str,
        data: bytes,
        value: int,
        gas: int,
        price: int,
        load: Load,
        receipts: ReceiptBuilder,
    ) -> int:
        """Call on the shared EVM, write storage back: gas used, or 0 where it failed and is to run isolated."""
        evm, cache = self._shared, self._cache
        account = cache.accounts[to]
        assert account is not None
        paid_price = price if self._mask(account.code_hash) & GASPRICE_BIT else 0
        while True:
            checkpoint = evm.snapshot()
            try:
                evm.message_call(sender, to, data, value, gas, paid_price)
            except RuntimeError:
                # What a failed call read is not in the journal, so it is not known whether all of it was loaded.
                evm.revert(checkpoint)
                return 0
            result, text = evm.result, evm.journal_str
            evm.revert(checkpoint)
            slots = storage_of(text, to)
            known: Mapping[int, int] = cache.storage.get(to, {})
            unknown = [(to, slot) for slot, _, _ in slots if slot not in known]
            if not unknown or to in cache.wiped:
                break
            self._fetch(load, (), unknown)
            if not any(cache.slot(*pair) for pair in unknown):
                break
            self._reruns += 1
        for slot, before, now in slots:
            if before != now:
                cache.set_slot(to, slot, now)
                self._share_slot(to, slot, now)
        used: int = result.gas_used
        receipts.add(index, 1, used, result.logs)
        return used

    # The isolated way.

    def _isolated(
        self,
        tx: _Transaction,
        env: BlockEnv,
        block_env: pyrevm.BlockEnv,
        coinbase: str,
        load: Load,
        receipts: ReceiptBuilder,
    ) -> int:
        """Run a transaction on an EVM of its own, write back all that it changed, fees included; gas used."""
        cache = self._cache
        sender = cache.accounts[tx.sender] or ABSENT
        price = tx.price
        if not tx.creates:
            sender = sender._replace(nonce=sender.nonce + 1, balance=sender.balance - tx.gas * price)
            if sender.balance < tx.gas * price + tx.value:
                price = 0
        given: dict[str, set[int]] = {tx.sender: set(), coinbase: set()}
        if not tx.creates:
            given[tx.to] = set()
        for address, slots in tx.access_list:
            given.setdefault(address, set()).update(slots)
        self._fetch(load, list(given), [(address, slot) for address, slots in given.items() for slot in slots])
        while True:
            evm = self._prepare(env, block_env, tx, sender, given)
            result = _call(evm, tx, price)
            fresh, more = False, database_reads(str(evm))
            self._fetch(load, list(more), [(address, slot) for address, slots in more.items() for slot in slots])
            for address, slots in more.items():
                if address not in given:
                    given[address] = set()
                    fresh |= cache.accounts[address] is not None
                fresh |= any(cache.slot(address, slot) for slot in slots if slot not in given[address])
                given[address].update(slots)
            if not fresh:
                break
            self._reruns += 1
        self._refuse_unseen(tx, env, price, given)
        used: int = result.gas_used
        if result.is_success:
            receipts.add(tx.index, 1, used, result.logs)
        else:
            receipts.add(tx.index, 0, used, ())
        # A call through the binding charges no fees; a creation charges all of them, as if the base fee were zero.
        paid_back, to_coinbase = (tx.gas - used) * tx.price, (tx.price - env.base_fee) * used
        if tx.creates:
            paid_back, to_coinbase = 0, -env.base_fee * used
        fees = {tx.sender: paid_back}
        fees[coinbase] = fees.get(coinbase, 0) + to_coinbase
        self._write_back(evm, fees)
        return used

    def _prepare(
        self,
        env: BlockEnv,
        block_env: pyrevm.BlockEnv,
        tx: _Transaction,
        sender: Account,
        given: Mapping[str, set[int]],
    ) -> pyrevm.EVM:
        """An EVM that has the given accounts and slots, and the sender as stated."""
        cache = self._cache
        tx_env = pyrevm.TxEnv(access_list=tx.access_list)
        evm = pyrevm.EVM(
            env=pyrevm.Env(cfg=self._config, block=block_env, tx=tx_env), gas_limit=env.gas_limit, spec_id=SPEC
        )
        for address, slots in given.items():
            account = sender if address == tx.sender else cache.accounts[address]
            if account is not None:
                code = cache.codes[account.code_hash]
                info = pyrevm.AccountInfo(account.balance, account.nonce, account.code_hash, code) if code else None
                evm.insert_account_info(address, info or pyrevm.AccountInfo(account.balance, account.nonce))
            for slot in slots:
                value = cache.slot(address, slot)
                if value:
                    checkpoint = evm.snapshot()
                    evm.insert_account_storage(address, slot, value)
                    evm.revert(checkpoint)
        return evm

    def _refuse_unseen(self, tx: _Transaction, env: BlockEnv, price: int, given: Mapping[str, set[int]]) -> None:
        """UnsupportedError where code that the transaction reached could execute what the binding answers wrongly."""
        mask = instructions(tx.data) if tx.creates else 0
        for address in given:
            account = self._cache.accounts[address]
            if account is not None:
                mask |= self._mask(account.code_hash)
        for bits, wrong, reason in (
            (BASEFEE_BIT, env.base_fee != 0, "BASEFEE (pyrevm forces it to 0)"),
            (BLOCKHASH_BIT, not self._state_tests, "BLOCKHASH (pyrevm does not know the chain's block hashes)"),
            (
                GASPRICE_BIT,
                price != tx.price,
                "GASPRICE for a sender who cannot pay the gas twice (pyrevm checks that)",
            ),
            (
                CREATES,
                not self._state_tests,
                "CREATE in a contract (its init code cannot be checked for BASEFEE and BLOCKHASH)",
            ),
        ):
            if wrong and mask & bits:
                raise UnsupportedError(f"transaction {tx.index}: the revm engine cannot execute {reason}")

    def _write_back(self, evm: pyrevm.EVM, fees: Mapping[str, int]) -> None:
        """Take over what the journal of an isolated EVM changed, and add ``fees`` to the balances that they name."""
        cache = self._cache
        for address, entry in parse_journal(evm.journal_str).items():
            if entry.destroyed:
                cache.clear_storage(address)
                cache.set_account(address, None)
                continue
            if not entry.touched and address not in fees:
                continue
            if entry.created:
                if any(cache.storage.get(address, {}).values()):
                    raise UnsupportedError(
                        f"the revm engine cannot create a contract at {address}: it has storage (EIP-7610)"
                    )
                cache.clear_storage(address)
                if entry.code:
                    cache.add_code(entry.code_hash, entry.code)
            balance = entry.balance + fees.get(address, 0)
            cache.set_account(address, Account(entry.nonce, balance, entry.code_hash))
            for slot, before, now in entry.slots:
                if before != now:
                    cache.set_slot(address, slot, now)
                    self._share_slot(address, slot, now)


def _block_env(env: BlockEnv, coinbase: str) -> pyrevm.BlockEnv:
    return pyrevm.BlockEnv(
        number=env.number,
        coinbase=coinbase,
        timestamp=env.timestamp,
        difficulty=0,
        prevrandao=env.prev_randao,
        basefee=env.base_fee,
        gas_limit=env.gas_limit,
        excess_blob_gas=env.excess_blob_gas,
    )


def _call(evm: pyrevm.EVM, tx: _Transaction, price: int) -> pyrevm.ExecutionResult:
    """Run the transaction as a message call or a creation. A transaction that fails has a result all the same."""
    try:
        if tx.creates:
            evm.deploy(tx.sender, tx.data, tx.value, tx.gas, price)
        else:
            evm.message_call(tx.sender, tx.to, tx.data, tx.value, tx.gas, price)
    except RuntimeError as error:
        if evm.result is None:
            raise ChaindpError(f"transaction {tx.index}: revm refused it: {error}") from None
    return evm.result
