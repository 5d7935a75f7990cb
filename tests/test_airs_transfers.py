"""The AIR of transfers: what the account tree does is proven, and nothing that makes value or overdraws."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from air_constraints import broken, unnoticed
from chaindp.chain.airs.accounts import ACCOUNT, AccountTree, Updates, leaf_states
from chaindp.chain.airs.catalogue import air_named
from chaindp.chain.airs.instances import transfers as instance
from chaindp.chain.airs.transfers import TransfersAir, _Cells
from chaindp.chain.proof.parameters import Parameters
from chaindp.chain.proof.program import compile_air
from chaindp.chain.proof.prover import prove
from chaindp.chain.verify.hashing import hash_rows
from chaindp.chain.verify.stark import InvalidProofError, Statement, verify
from chaindp.errors import ChaindpError
from chaindp.kernels.fields import FIELDS
from chaindp.kernels.kernelset import KernelSet
from chaindp.kernels.poseidon2 import golden_permutation
from chaindp.plugins import load_plugins

SMALL = Parameters(queries=6, grinding=3, log_final=1)
DEPTH = 2
FIELD = "koalabear"
PRIME = FIELDS[FIELD].prime
AIR = TransfersAir(FIELD, DEPTH)
PLACES = np.array([2, 0, 3])
BALANCES = np.array([(3 << 28) + 1000, 5, (1 << 56) - 100])
LIMB = 1 << 28
LOW, HIGH, NONCE = 8, 9, 10


@pytest.fixture(scope="module")
def kernels() -> Iterator[KernelSet]:
    registry = load_plugins()
    backend = registry.open_backend("cpu", threads=2)
    yield registry.kernel_set(backend)
    backend.close()


def tree(field: str = FIELD) -> AccountTree:
    """Three accounts in four places."""
    return AccountTree(field, DEPTH, PLACES, np.arange(1, 25, dtype=np.uint32).reshape(3, 8), BALANCES)


def right(field: str = FIELD) -> Updates:
    """With a carry, a whole balance, a nonce that is not 0, nothing, and a sender who is the receiver."""
    transfers = [(0, 1, LIMB + 1001), (1, 0, LIMB + 1006), (0, 0, 7), (2, 1, 0)]
    return tree(field).transfer(*np.array(transfers).T)


def proven(kernels: KernelSet, table: np.ndarray, public: list[int], air: TransfersAir = AIR) -> Statement:
    proof = prove(air, table, public, kernels, SMALL).content
    return verify(proof, {air.name: air}.get, hash_rows(kernels), least_bits=0)


def refused(kernels: KernelSet, table: np.ndarray, public: list[int]) -> None:
    with pytest.raises(InvalidProofError, match="the constraints do not hold"):
        proven(kernels, table, public)


def broken_rows(table: np.ndarray, public: list[int]) -> list[int]:
    return [row for _, row in broken(AIR, table, public)]


# what holds -----------------------------------------------------------------------------------------------------------


def plain_root(depth: int, accounts: dict[int, tuple[list[int], int, int]], field: str) -> list[int]:
    """Of key, balance and nonce by place, by the golden permutation, all over again."""
    level = []
    for place in range(1 << depth):
        key, balance, nonce = accounts.get(place, ([0] * 8, 0, 0))
        state = [*key, balance % LIMB, balance // LIMB, nonce, 0, 0, 0, 0, ACCOUNT]
        level.append(golden_permutation(state, field)[:8])
    while len(level) > 1:
        level = [golden_permutation([*a, *b], field)[:8] for a, b in zip(level[::2], level[1::2], strict=True)]
    return level[0]


@given(seed=st.integers(0, 1 << 32), depth=st.integers(1, 3), field=st.sampled_from(sorted(FIELDS)))
@settings(max_examples=8, deadline=None)
def test_transfers_lead_to_the_root_of_a_plain_model(seed: int, depth: int, field: str) -> None:
    rng = np.random.default_rng(seed)
    count = int(rng.integers(1, (1 << depth) + 1))
    places = rng.permutation(1 << depth)[:count]
    keys = rng.integers(0, FIELDS[field].prime, (count, 8)).astype(np.uint32)
    balances = rng.integers(0, 1 << 55, count)
    model = {int(p): (keys[i].tolist(), int(balances[i]), 0) for i, p in enumerate(places)}
    ours = AccountTree(field, depth, places, keys, balances)
    assert ours.root.tolist() == plain_root(depth, model, field)
    senders, receivers = rng.integers(0, count, (2, 3))
    amounts = rng.integers(0, balances[senders] // 3 + 1)
    updates = ours.transfer(senders, receivers, amounts)
    for sender, receiver, amount in zip(places[senders].tolist(), places[receivers].tolist(), amounts, strict=True):
        key, balance, nonce = model[sender]
        model[sender] = key, balance - int(amount), nonce + 1
        key, balance, nonce = model[receiver]
        model[receiver] = key, balance + int(amount), nonce
    assert updates.roots[-1].tolist() == ours.root.tolist() == plain_root(depth, model, field)
    assert ours.balances.sum() == balances.sum()
    assert [model[int(place)][1] for place in places] == ours.balances.tolist()
    air = TransfersAir(field, depth)
    assert broken(air, air.table(updates), updates.public()) == []


@pytest.mark.parametrize("field", sorted(FIELDS))
@pytest.mark.parametrize("hiding", [False, True])
def test_right_transfers_are_proven(kernels: KernelSet, field: str, hiding: bool) -> None:
    air, updates = TransfersAir(field, DEPTH), right(field)
    proof = prove(air, air.table(updates), updates.public(), kernels, replace(SMALL, queries=3, hiding=hiding)).content
    said = verify(proof, air_named, hash_rows(kernels), least_bits=0)
    assert (said.air.name, said.public, said.hiding) == (air.name, tuple(updates.public()), hiding)
    assert said.public[-1] == 4


def test_a_drawn_batch_satisfies_its_air() -> None:
    made = instance("babybear", 40, 3, seed=1)
    assert made.air is not None
    assert made.table.shape == (made.air.columns, 256)
    assert broken(made.air, made.table, made.public) == []
    assert made.public != instance("babybear", 40, 3, seed=2).public


def test_the_program_is_of_degree_3() -> None:
    program = compile_air(AIR)
    assert (program.degree, program.width) == (3, 431)


# attacks --------------------------------------------------------------------------------------------------------------


def test_no_cell_can_be_another() -> None:
    """In no row: of either update, of each level, in idle rows; not even those that a row does not need."""
    updates = right()
    table = AIR.table(updates)
    assert table.shape == (431, 32)
    for row in range(32):
        assert unnoticed(AIR, table, row, updates.public()) == [], row


@pytest.mark.slow
@pytest.mark.parametrize("field", sorted(FIELDS))
def test_no_cell_can_be_any_other_element(field: str) -> None:
    updates, air = right(field), TransfersAir(field, DEPTH)
    table = air.table(updates)
    rng = np.random.default_rng(3)
    for row in range(table.shape[1]):
        values = rng.integers(2, FIELDS[field].prime, len(table)).astype(np.uint32)
        values += values == table[:, row]
        assert unnoticed(air, table, row, updates.public(), change=lambda _: values) == [], row  # noqa: B023


def test_every_public_value_is_bound(kernels: KernelSet) -> None:
    updates = right()
    table, public = AIR.table(updates), updates.public()
    for i in range(17):
        other = public.copy()
        other[i] = (other[i] + 1) % PRIME
        # The root before and those after are looked at in the first row and in the last one.
        assert broken_rows(table, other) == ([0] if i < 8 else [31])
    refused(kernels, table, other)


def cheated(edit: Callable[[np.ndarray], None], sender: int = 1, receiver: int = 0, amount: int = 3) -> Updates:
    """A transfer that nobody checks: ``edit`` is given the leaves uint32[2, 2, 16] of a right one of ``amount``."""
    ours = tree()
    accounts = np.array([sender, receiver])
    old = BALANCES[accounts]
    leaves = np.stack([leaf_states(ours.keys[accounts], old + np.array(change), np.array(nonces))
                       for change, nonces in (([0, 0], [0, 0]), ([-amount, amount], [1, 0]))], axis=1)  # fmt: skip
    edit(leaves)
    return ours.replace(PLACES[accounts], leaves, np.array([amount]))


def test_what_is_edited_is_right_otherwise(kernels: KernelSet) -> None:
    updates = cheated(lambda leaves: None)
    assert np.array_equal(updates.roots, tree().transfer(np.array([1]), np.array([0]), np.array([3])).roots)
    assert broken_rows(AIR.table(updates), updates.public()) == []
    proven(kernels, AIR.table(updates), updates.public())


def set_cells(*cells: tuple[int, int, int, int]) -> Callable[[np.ndarray], None]:
    """Of update, before or after, and element: the value."""

    def edit(leaves: np.ndarray) -> None:
        for update, side, element, value in cells:
            leaves[update, side, element] = value % PRIME

    return edit


CHEATS = {
    # The sender, with 5, has -2 then: in the field, or modulo 2^56.
    "overdraft in the field": (set_cells((0, 1, LOW, -2), (0, 1, HIGH, 0)), 7, [0]),
    "overdraft in the high limb": (set_cells((0, 1, LOW, LIMB - 2), (0, 1, HIGH, -1)), 7, [0]),
    "overdraft modulo 2^56": (set_cells((0, 1, LOW, LIMB - 2), (0, 1, HIGH, LIMB - 1)), 7, [0]),
    "overdraft of nothing": (set_cells((0, 1, LOW, 5), (0, 1, HIGH, 0)), 7, [0]),
    "value made": (set_cells((1, 1, LOW, 1004)), 3, [3]),
    "value made in the high limb": (set_cells((1, 1, HIGH, 4)), 3, [3]),
    "value lost": (set_cells((0, 1, LOW, 1)), 3, [0]),
    "another key": (set_cells((0, 1, 0, 77)), 3, [0]),
    "another key of the receiver": (set_cells((1, 1, 7, 77)), 3, [3]),
    "a debit that is not counted": (set_cells((0, 1, NONCE, 0)), 3, [0]),
    "a credit that is counted": (set_cells((1, 1, NONCE, 1)), 3, [3]),
    "a leaf of another kind": (set_cells((0, 1, 15, 1)), 3, [0]),
    "something in the leaf's zeros": (set_cells((1, 0, 12, 1), (1, 1, 12, 1)), 3, [3, 5]),
    "nonces that begin again": (set_cells((0, 0, NONCE, -1), (0, 1, NONCE, 0)), 3, [0, 2]),
    "a balance that the tree does not have": (set_cells((0, 0, LOW, 9), (0, 1, LOW, 6)), 3, [2]),
}


@pytest.mark.parametrize("name", CHEATS)
def test_leaves_that_are_not_right_are_refused(kernels: KernelSet, name: str) -> None:
    edit, amount, rows = CHEATS[name]
    updates = cheated(edit, amount=amount)
    table, public = AIR.table(updates), updates.public()
    assert broken_rows(table, public) == rows
    refused(kernels, table, public)


def test_a_balance_of_57_bits_is_refused(kernels: KernelSet) -> None:
    """The third account has 2^56 - 100: with 100 more, one of its limbs would be of 29 bits."""
    for low, high, carry in ((0, LIMB, 1), (LIMB, LIMB - 1, 0)):
        edit = set_cells((1, 1, LOW, low), (1, 1, HIGH, high))
        updates = cheated(edit, sender=0, receiver=2, amount=100)
        table = AIR.table(updates)
        _Cells.of(table).carry[3] = carry
        assert broken_rows(table, updates.public()) == [3]
        refused(kernels, table, updates.public())


def test_a_negative_amount_is_refused(kernels: KernelSet) -> None:
    """The receiver would pay. Its low limb is an element of the field, or the amount is one modulo 2^56."""
    updates = cheated(set_cells((0, 1, LOW, 8), (1, 1, LOW, 997)))
    for low, high, carry in ((-3, 0, 0), (LIMB - 3, -1, 1), (LIMB - 3, LIMB - 1, 1)):
        table = AIR.table(updates)
        cells = _Cells.of(table)
        for limb, value in zip(cells.amount, (low, high), strict=True):
            limb[:6] = value % PRIME
        cells.carry[[0, 3]] = carry
        for row, limb in ((0, low), (1, high), (3, low), (4, high)):
            for i, bit in enumerate(cells.bits[56:]):
                bit[row] = limb >> i & 1
        found = broken_rows(table, updates.public())
        assert found
        assert set(found) <= {0, 3}
        refused(kernels, table, updates.public())


def test_another_leaf_does_not_change_with_it(kernels: KernelSet) -> None:
    """In the path after, the digest beside the account's is another one: its neighbour's value is another, too."""
    updates = cheated(lambda leaves: None)
    states, roots = updates.states.copy(), updates.roots.copy()
    # The last update is of place 2; beside it is place 3.
    other = leaf_states(np.ones((1, 8)), np.array([10**9]), np.zeros(1))
    states[1, 1, 1, 8:] = tree().digests(other)[0]
    states[1, 2, 1, 8:] = tree().digests(states[1, 1, 1][None])[0]
    roots[2] = tree().digests(states[1, 2, 1][None])[0]
    wrong = replace(updates, states=states, roots=roots)
    assert broken_rows(AIR.table(wrong), wrong.public()) == [4]
    refused(kernels, AIR.table(wrong), wrong.public())


def test_the_old_and_the_new_path_are_of_one_place(kernels: KernelSet) -> None:
    """The new leaf at the place of the neighbour, and the other way round."""
    updates = cheated(lambda leaves: None)
    states, roots = updates.states.copy(), updates.roots.copy()
    states[1, 1, 1] = np.roll(states[1, 1, 1], 8)
    states[1, 2, 1, 8:] = tree().digests(states[1, 1, 1][None])[0]
    roots[2] = tree().digests(states[1, 2, 1][None])[0]
    wrong = replace(updates, states=states, roots=roots)
    # The row before says what the digest is part of, and this one what is beside it.
    assert broken_rows(AIR.table(wrong), wrong.public()) == [3, 4]
    refused(kernels, AIR.table(wrong), wrong.public())


def test_half_a_transfer_is_refused(kernels: KernelSet) -> None:
    """The sender's value is gone, and the receiver has nothing."""
    updates = cheated(lambda leaves: None)
    idle = AIR.table(updates)[:, -1]
    for done in (0, 1):
        table = AIR.table(updates)
        table[:, 3:] = idle[:, None]
        cells = _Cells.of(table)
        cells.root[:, 3:] = updates.roots[1][:, None]
        cells.done[3:] = done
        public = [*updates.roots[0].tolist(), *updates.roots[1].tolist(), done]
        assert broken_rows(table, public) == [2]
        refused(kernels, table, public)
        # Nor is a row that is idle a credit, so as to have the one that was to come.
        cells.credit[3:] = 1
        assert 3 in broken_rows(table, public)


def test_a_credit_is_not_left_out_or_done_twice(kernels: KernelSet) -> None:
    """Two debits, or two credits, one after another: all that says which is which turned around."""
    updates = right()
    for update, value in ((1, 0), (2, 1)):
        table = AIR.table(updates)
        _Cells.of(table).credit[3 * update : 3 * update + 3] = value
        assert broken_rows(table, updates.public())
        refused(kernels, table, updates.public())


def test_idle_rows_change_no_root(kernels: KernelSet) -> None:
    updates = right()
    for start in (24, 28, 31):
        table = AIR.table(updates)
        _Cells.of(table).root[:, start:] += 1
        public = [*updates.roots[0].tolist(), *(updates.roots[-1] + 1).tolist(), 4]
        assert broken_rows(table, public) == [start - 1]
    refused(kernels, table, public)
    # And nobody wakes up again: the same transfer once more after an idle row.
    table = AIR.table(cheated(lambda leaves: None))
    again = np.concatenate([table[:, :7], table[:, :7], table[:, 7:9]], axis=1)
    assert 6 in broken_rows(again, updates.public())


def test_a_table_ends_idle_and_begins_with_a_leaf(kernels: KernelSet) -> None:
    updates = right()
    table, public = AIR.table(updates), updates.public()
    # Cut off within the last transfer, and begun within the first one.
    assert broken_rows(table[:, :16], [*public[:8], *updates.roots[5].tolist(), 2]) == [15]
    assert 0 in broken_rows(np.roll(table, -1, axis=1), public)
    assert 0 in broken_rows(np.roll(table, -3, axis=1), public)
    refused(kernels, np.roll(table, -3, axis=1), public)


def test_a_node_is_not_passed_off_as_a_leaf(kernels: KernelSet) -> None:
    """A tree of another depth has a leaf elsewhere; and a node has not what a leaf has."""
    updates = right()
    shallow = TransfersAir(FIELD, DEPTH - 1)
    above = replace(updates, states=updates.states[:, 1:], turns=updates.turns[:, 1:])
    table = shallow.table(above)
    assert broken(shallow, table, above.public())
    with pytest.raises(InvalidProofError, match="the constraints do not hold"):
        proven(kernels, table, above.public(), shallow)
    # A path that is too short, and one that is too long, under the constraints of this tree.
    for depth in (1, 3):
        other = AccountTree(FIELD, depth, np.array([0, 1]), np.ones((2, 8), dtype=np.uint32), np.array([10, 10]))
        moved = other.transfer(np.array([0]), np.array([1]), np.array([4]))
        table = TransfersAir(FIELD, depth).table(moved)
        assert broken(TransfersAir(FIELD, depth), table, moved.public()) == []
        assert broken_rows(table, moved.public())
        refused(kernels, table, moved.public())


# what a call can have wrong -------------------------------------------------------------------------------------------


def test_the_tree_refuses_what_is_no_transfer() -> None:
    ours = tree()
    before = ours.root.tolist()
    for sender, receiver, amount, match in (
        (1, 0, 6, "transfer 0: account 1 has 5, not 6"),
        (1, 0, -1, "transfer 0: account 1 has 5, not -1"),
        (0, 2, 100, r"transfer 0: account 2 would have 2\^56 or more"),
        (0, 3, 1, "senders and receivers from 0 to 2"),
        (-1, 0, 1, "senders and receivers from 0 to 2"),
    ):
        with pytest.raises(ChaindpError, match=match):
            ours.transfer(np.array([sender]), np.array([receiver]), np.array([amount]))
    with pytest.raises(ChaindpError, match="transfer 1: account 1 has 0, not 1"):
        ours.transfer(np.array([1, 1]), np.array([0, 0]), np.array([5, 1]))
    assert ours.root.tolist() == before
    assert ours.balances.tolist() == BALANCES.tolist()
    ours.nonces[1] = PRIME - 1
    with pytest.raises(ChaindpError, match="account 1 has used up its nonces"):
        ours.transfer(np.array([1]), np.array([0]), np.array([1]))


def test_wrong_calls_have_one_line() -> None:
    key, one = np.zeros((1, 8), dtype=np.uint32), np.array([1])
    for wrong, match in (
        (lambda: TransfersAir(FIELD, 0), "a tree of 0 levels, expected 1 to 60"),
        (lambda: TransfersAir(FIELD, 61), "a tree of 61 levels"),
        (lambda: TransfersAir("goldilocks", 2), "field 'goldilocks' is unknown"),
        (lambda: AIR.rows(0), "0 transfers in a tree of 2 levels, expected 1 to 699050"),
        (lambda: AIR.rows(699_051), "699051 transfers in a tree of 2 levels"),
        (lambda: AIR.table(replace(right(), amounts=one)), "for 1 transfers"),
        (lambda: TransfersAir(FIELD, 3).table(right()), "updates of shape"),
        (lambda: AccountTree(FIELD, 0, one, key, one), "a tree of 0 levels"),
        (lambda: AccountTree(FIELD, 2, one, key[:, :7], one), "keys of shape"),
        (lambda: AccountTree(FIELD, 2, np.array([4]), key, one), r"different ones below 2\^2"),
        (lambda: AccountTree(FIELD, 2, np.array([1, 1]), np.tile(key, (2, 1)), np.array([1, 1])), "different ones"),
        (lambda: AccountTree(FIELD, 2, one, key + np.uint32(PRIME), one), "a key has an element"),
        (lambda: AccountTree(FIELD, 2, one, key, np.array([1 << 56])), r"from 0 to 2\^56 - 1"),
        (lambda: tree().transfer(one, one, np.array([1, 2])), "1 senders, 1 receivers and 2 amounts"),
        (lambda: tree().transfer(*(np.empty(0, dtype=np.int64),) * 3), "one at least"),
    ):
        with pytest.raises(ChaindpError, match=match):
            wrong()  # type: ignore[no-untyped-call]
    assert AIR.rows(699_050) == 1 << 22
    assert air_named("transfers koalabear 61") is None
