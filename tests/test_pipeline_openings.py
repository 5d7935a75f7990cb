"""The stage ``prove`` and its audit: every account that a block touched, opened under that block's own state root."""

from __future__ import annotations

import copy
import dataclasses
from typing import Any

import numpy as np
import pytest

from chaindp.chain.openings import eip1186
from chaindp.chain.types import Ragged
from chaindp.chain.verify.openings import verify_account
from chaindp.errors import CheckFailed
from chaindp.kernels.merkle import verify_path
from chaindp.pipeline.audit import audit_proofs
from chaindp.pipeline.block import BlockInFlight, Stage
from chaindp.pipeline.live import THREADS
from chaindp.pipeline.observed import Observed
from chaindp.pipeline.passes import PassResult
from chaindp.pipeline.run import RunConfig, measure_run
from chaindp.pipeline.stages import Chain, _touched
from chaindp.plugins import load_plugins
from chaindp.results.table import SampleTable
from trie_reference import keccak256


@pytest.fixture(scope="module")
def passes() -> dict[int, PassResult]:
    """The pass with ``admit`` of a sequential and of a pipelined level, over the same blocks."""
    found: list[Observed] = []
    config = RunConfig(levels=(0, 4), txs=100, block_txs=20, accounts=300, repeat=1, slot_s=0.001)
    outcome = measure_run(config, load_plugins(), SampleTable("run-1"), observe=found.append)
    assert outcome.failures == []
    return {one.level: one.result for one in found if not one.admit_first}


@pytest.mark.parametrize("level", [0, 4])
def test_every_account_that_a_block_changed_is_opened_under_its_own_root(
    passes: dict[int, PassResult], level: int
) -> None:
    blocks = passes[level].blocks
    assert len({block.state_root for block in blocks}) == len(blocks) == 5
    for block in blocks:
        proofs, diff = block.account_proofs, block.diff
        assert proofs is not None and diff is not None and block.batch is not None and block.batch.sender is not None
        assert proofs.root == block.state_root
        count = proofs.account_proofs.count
        opened = [verify_account(block.state_root, eip1186(proofs, row), keccak256) for row in range(count)]
        touched = {address.tobytes() for part in (diff.address, block.batch.sender, block.batch.to) for address in part}
        assert len(opened) == len(touched) and {one.address for one in opened} == touched
        # Those that changed come first, in their order.
        opened = opened[: len(diff.address)]
        assert [one.address for one in opened] == [address.tobytes() for address in diff.address]
        assert [one.nonce for one in opened] == diff.nonce.tolist()
        assert b"".join(one.balance.to_bytes(32, "big") for one in opened) == diff.balance.tobytes()
        assert {sender.tobytes() for sender in block.batch.sender} <= {one.address for one in opened}


def test_levels_make_the_same_proofs(passes: dict[int, PassResult]) -> None:
    for first, second in zip(passes[0].blocks, passes[4].blocks, strict=True):
        for block in (first, second):
            assert block.account_proofs is not None
        proofs = [
            {block.account_proofs.accounts.address[row].tobytes(): block.account_proofs.account_proofs.proof(row)
             for row in range(block.account_proofs.account_proofs.count)}
            for block in (first, second) if block.account_proofs is not None
        ]  # fmt: skip
        assert proofs[0] == proofs[1]


def test_the_calls_are_booked_on_the_stage_and_every_receipt_has_its_path(passes: dict[int, PassResult]) -> None:
    for level, backend in ((0, "cpu:scalar"), (4, "cpu")):
        for block in passes[level].blocks:
            calls = [call.kernel for call in block.spans[Stage.PROVE].calls]
            assert calls == ["keccak256", "keccak256", "merkle_tree", "merkle_open"]
            assert {call.backend for call in block.spans[Stage.PROVE].calls} == {backend}
            assert block.proof_leaves is not None and block.proof_paths is not None
            last = len(block.proof_leaves) - 1
            leaf = block.proof_leaves[last].tobytes()
            assert last == 19 and verify_path(block.proof_root, leaf, last, block.proof_paths[last])


def test_what_works_on_the_state_shares_a_thread() -> None:
    (group,) = (group for group in THREADS if Stage.PROVE in group)
    assert group.index(Stage.MERKLEIZE) < group.index(Stage.PROVE)


def test_a_state_that_has_gone_on_is_noticed(passes: dict[int, PassResult]) -> None:
    """By a stage whose state is another block's."""
    first, second = passes[0].blocks[:2]

    class Later:
        def prove(self, *_: Any) -> Any:
            return second.account_proofs

    chain = Chain.__new__(Chain)
    chain._state = Later()  # type: ignore[assignment]
    chain._kernels = {Stage.PROVE: None}  # type: ignore[dict-item]
    with pytest.raises(CheckFailed, match="block 0: the state has left this block's root"):
        chain.prove(first)


def _copied(block: BlockInFlight, **fields: Any) -> BlockInFlight:
    return dataclasses.replace(copy.copy(block), **fields)


def _less_changed(block: BlockInFlight) -> BlockInFlight:
    """The block as if its last account, a sender, had not changed: what was opened is right, and touched alone."""
    diff, proofs, batch = block.diff, block.account_proofs, block.batch
    assert diff is not None and proofs is not None and batch is not None and batch.sender is not None
    senders = {sender.tobytes() for sender in batch.sender}
    (last, *_) = [row for row, address in enumerate(diff.address) if address.tobytes() in senders]
    names = ("address", "nonce", "balance", "code_hash", "deleted", "storage_cleared")
    kept = dataclasses.replace(diff, **{name: np.delete(getattr(diff, name), last, axis=0) for name in names})
    order = np.append(np.delete(np.arange(len(diff.address)), last), last)
    opened = proofs.account_proofs
    bounds = opened.path_offsets
    paths = [opened.paths[bounds[row] : bounds[row + 1]] for row in order]
    moved = dataclasses.replace(
        proofs,
        accounts=dataclasses.replace(
            proofs.accounts,
            **{
                field.name: getattr(proofs.accounts, field.name)[order] for field in dataclasses.fields(proofs.accounts)
            },
        ),
        storage_hash=proofs.storage_hash[order],
        account_proofs=dataclasses.replace(
            opened,
            paths=np.concatenate(paths),
            path_offsets=np.cumsum([0, *map(len, paths)]),
            found=opened.found[order],
        ),
    )
    return _copied(block, diff=kept, account_proofs=moved)


def _wrong(block: BlockInFlight, other: BlockInFlight) -> list[tuple[BlockInFlight, str]]:
    """The block with openings that do not hold, and what is said of them."""
    proofs, diff = block.account_proofs, block.diff
    assert proofs is not None and diff is not None
    opened = proofs.account_proofs
    nodes = opened.nodes.data.copy()
    nodes[opened.nodes.offsets[1] - 1] ^= 1
    damaged = dataclasses.replace(opened, nodes=Ragged(nodes, opened.nodes.offsets))
    cut = dataclasses.replace(opened, path_offsets=np.maximum(opened.path_offsets - 1, 0))
    richer = dataclasses.replace(diff, balance=diff.balance ^ np.uint8(1))
    coded = dataclasses.replace(diff, code_hash=diff.code_hash ^ np.uint8(1))
    gone = dataclasses.replace(diff, deleted=~diff.deleted)
    # Of the last account, which the block did not change.
    assert opened.count > len(diff.address)
    offsets = opened.path_offsets.copy()
    offsets[-1] = offsets[-2]
    empty = dataclasses.replace(opened, path_offsets=offsets)
    swapped = dataclasses.replace(opened, path_offsets=opened.path_offsets.copy(), paths=opened.paths.copy())
    swapped.paths[swapped.path_offsets[-2]] += 1
    return [
        (
            _copied(block, account_proofs=dataclasses.replace(proofs, account_proofs=empty)),
            "does not verify: it has",
        ),
        (_copied(block, account_proofs=dataclasses.replace(proofs, account_proofs=swapped)), "does not verify"),
        (_copied(block, account_proofs=dataclasses.replace(proofs, account_proofs=damaged)), "does not verify: node 0"),
        (_copied(block, account_proofs=dataclasses.replace(proofs, account_proofs=cut)), "does not verify"),
        (_copied(block, state_root=other.state_root), "does not verify: node 0 is not the root"),
        (_copied(block, diff=richer), "proves something else"),
        (_copied(block, diff=coded), "proves something else"),
        (_copied(block, diff=gone), "proves something else"),
    ]


def test_the_audit_refuses_openings_that_do_not_hold(passes: dict[int, PassResult]) -> None:
    first, second = passes[4].blocks[:2]
    first = _less_changed(first)
    audit_proofs([first, second])
    for block, message in _wrong(first, second):
        with pytest.raises(CheckFailed, match=f"block 0: the opening of account 0x[0-9a-f]{{40}} {message}"):
            audit_proofs([block])


def test_what_is_touched_and_not_changed_is_opened_after_the_rest(passes: dict[int, PassResult]) -> None:
    batch = passes[0].blocks[0].batch
    assert batch is not None and batch.sender is not None
    changed = np.ascontiguousarray(batch.sender[[5, 2, 5]][:2])
    touched = _touched(changed, batch)
    assert touched[:2].tobytes() == changed.tobytes()
    others = {row.tobytes() for row in np.concatenate([batch.sender, batch.to[~batch.creates]])}
    assert len(touched) == len(others) and {row.tobytes() for row in touched} == others


def test_the_audit_refuses_openings_of_other_accounts(passes: dict[int, PassResult]) -> None:
    first, second = passes[4].blocks[:2]
    proofs = first.account_proofs
    assert proofs is not None
    addresses = proofs.accounts.address.copy()
    addresses[-1, 0] ^= 1
    renamed = dataclasses.replace(proofs, accounts=dataclasses.replace(proofs.accounts, address=addresses))
    for wrong in (second.account_proofs, renamed):
        with pytest.raises(CheckFailed, match=r"block 0: \d+ accounts are opened, which are not the \d+ that"):
            audit_proofs([_copied(first, account_proofs=wrong)])
