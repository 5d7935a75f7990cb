"""Many credentials in one proof: every cell of the table is held, and nothing but the list that was shown is proven."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import pytest

from air_constraints import breaking
from chaindp.chain.airs import instances
from chaindp.chain.airs.catalogue import air_named
from chaindp.chain.airs.credential import DIGEST, LEAF, NULLIFIER, Holding
from chaindp.chain.airs.credentials import TAG, CredentialsAir, Holders
from chaindp.chain.airs.issuer import IssuerTree
from chaindp.chain.airs.poseidon2 import Permutation
from chaindp.chain.proof.parameters import Parameters
from chaindp.chain.proof.program import compile_air
from chaindp.chain.proof.prover import prove
from chaindp.chain.proof.shape import shape_of
from chaindp.chain.verify.hashing import hash_rows
from chaindp.chain.verify.stark import InvalidProofError, verify
from chaindp.errors import UsageError
from chaindp.kernels.fields import FIELDS, random_elements
from chaindp.kernels.kernelset import KernelSet
from chaindp.kernels.poseidon2 import golden_permutation
from chaindp.plugins import load_plugins

FIELD_NAMES = sorted(FIELDS)
DEPTH, COUNT = 3, 4
ALLOWED, NOW = (40, 756, 276), 29_900_000
HIDING = Parameters(log_blowup=1, queries=12, grinding=4, log_final=4, hiding=True)
START, PATH, APPLICATION, NULLIFIES, ABSORB, IDLE = range(6)
NAMES = ("start", "path", "application", "nullifier", "absorb", "idle")


@pytest.fixture(scope="module")
def kernels() -> Iterator[KernelSet]:
    registry = load_plugins()
    backend = registry.open_backend("cpu", threads=2)
    yield registry.kernel_set(backend)
    backend.close()


class World:
    """An issuer's tree of 8 credentials, and four of them shown."""

    def __init__(self, field: str = "koalabear", seed: int = 3) -> None:
        self.air = CredentialsAir(field, DEPTH)
        rng = np.random.default_rng(seed)
        self.secret = random_elements(rng, (6, DIGEST), FIELDS[field])
        self.jurisdiction = np.array([40, 756, 276, 40, 643, 756], dtype=np.uint32)
        self.expiry = np.array([NOW + 1, NOW + 9_999, NOW + (1 << 28), NOW + 5, NOW + 5, NOW], dtype=np.uint32)
        permute = self.air.permutation.permute
        self.tree = IssuerTree(
            permute(self.air.leaves(self.secret, self.jurisdiction, self.expiry))[:, :DIGEST], DEPTH, permute
        )

    def holders(self, who: tuple[int, ...] = (0, 1, 2, 1), applications: tuple[int, ...] = (7, 7, 8, 9)) -> Holders:
        index = np.array(who, dtype=np.int64)
        application = np.tile(np.array(applications, dtype=np.uint32)[:, None], 7)
        return Holders(
            self.secret[index],
            self.jurisdiction[index],
            self.expiry[index],
            index,
            self.tree.siblings(index),
            application,
        )

    def public(self, holders: Holders, time: int = NOW, allowed: tuple[int, ...] = ALLOWED) -> list[int]:
        shown = self.air.permutation.permute(self.air.nullifier_states(holders.secret, holders.application))
        return self.air.public(self.tree.root, allowed, time, holders.application, shown[:, :DIGEST])

    def table(self, holders: Holders, rows: int = 0) -> np.ndarray:
        return self.air.table(holders, ALLOWED, NOW, rows)


@pytest.fixture(scope="module")
def world() -> World:
    return World()


def is_breaking(air: CredentialsAir, table: np.ndarray, public: list[int]) -> bool:
    return bool(breaking(air, table[None], public)[0])


# what the table is ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("field", FIELD_NAMES)
def test_permutations_one_after_another_are_the_golden_ones(field: str) -> None:
    permutation = Permutation(field)
    states = random_elements(np.random.default_rng(1), (3, 16), FIELDS[field])
    states[0], states[1] = 0, FIELDS[field].prime - 1
    golden = [golden_permutation(state, field) for state in states.tolist()]
    assert permutation.permute(states).tolist() == golden
    assert permutation.columns(states)[-16:].T.tolist() == golden


@pytest.mark.parametrize("field", FIELD_NAMES)
def test_digest_root_and_nullifiers_are_what_the_module_says(field: str) -> None:
    world = World(field)
    air, holders = world.air, world.holders()

    def p(*halves: object) -> list[int]:
        state = [int(value) for half in halves for value in half]  # type: ignore[attr-defined]
        return golden_permutation(state, field)[:8]

    leaves = [p(world.secret[i], [world.jurisdiction[i], world.expiry[i], 0, 0, 0, 0, 0, LEAF]) for i in range(6)]
    level: list[list[int]] = [*leaves, [0] * 8, [0] * 8]
    while len(level) > 1:
        level = [p(level[i], level[i + 1]) for i in range(0, len(level), 2)]
    digest = [0] * 8
    for i in range(COUNT):
        nullifier = p(holders.secret[i], holders.application[i], [NULLIFIER])
        digest = p(p(digest, holders.application[i], [TAG]), nullifier)
    assert world.public(holders) == [*level[0], *ALLOWED, *[ALLOWED[-1]] * 5, NOW, COUNT, *digest]
    assert not is_breaking(air, world.table(holders), world.public(holders))


@pytest.mark.parametrize(("count", "rows"), [(1, 8), (1, 64), (2, 16), (4, 32), (4, 64)])
def test_tables_of_all_lengths_hold(world: World, count: int, rows: int) -> None:
    holders = world.holders((0, 1, 2, 1)[:count], (7, 7, 8, 9)[:count])
    assert not is_breaking(world.air, world.table(holders, rows), world.public(holders))


@pytest.mark.parametrize("field", FIELD_NAMES)
def test_a_table_without_idle_rows_holds_and_is_held(field: str) -> None:
    """Its last row is one that absorbs: the digest after it is the public one."""
    instance = instances.credentials(field, 4, 4, ALLOWED, NOW, 2, 5)
    assert instance.table.shape[1] == 32
    assert not is_breaking(instance.air, instance.table, instance.public)  # type: ignore[arg-type]
    for i in range(DIGEST):
        wrong = list(instance.public)
        wrong[-1 - i] ^= 1
        assert is_breaking(instance.air, instance.table, wrong)  # type: ignore[arg-type]


def test_the_tree_is_that_of_all_its_leaves_with_empty_ones() -> None:
    permutation = Permutation("koalabear")
    leaves = random_elements(np.random.default_rng(2), (5, 8), FIELDS["koalabear"])
    full = np.concatenate([leaves, np.zeros((11, 8), dtype=np.uint32)])
    sparse, dense = (IssuerTree(part, 4, permutation.permute) for part in (leaves, full))
    every = np.arange(16)
    assert sparse.root == dense.root
    assert np.array_equal(sparse.siblings(every), dense.siblings(every))
    assert np.array_equal(sparse.siblings(every)[:, 0], full[every ^ 1])
    deep = IssuerTree(leaves, 60, permutation.permute)
    assert np.array_equal(deep.siblings(np.array([4]))[0, :4], sparse.siblings(np.array([4]))[0])
    for wrong in (leaves[:0], np.zeros((17, 8), dtype=np.uint32)):
        with pytest.raises(UsageError, match="are none of a tree of 4 levels"):
            IssuerTree(wrong, 4, permutation.permute)


# attacks --------------------------------------------------------------------------------------------------------------


def unconstrained(air: CredentialsAir) -> set[tuple[str, int]]:
    """Cells, by kind of row and column, that may hold something else, and why that tells nothing."""
    at = air.permutation.width + 6
    turn, bits = at + 2 + DIGEST, at + 2 + DIGEST + Holding.width - 28
    free = {
        # The place within a credential: compared with nothing once there are no more credentials.
        ("idle", at),
    }
    # Which half a digest goes to is asked of the rows of the path only; elsewhere it is any bit.
    free |= {(name, turn) for name in NAMES if name != "path"}
    # How long a credential is valid is asked of the row that has the leaf; elsewhere it is any number.
    free |= {(name, bit) for name in NAMES if name != "start" for bit in range(bits, bits + 28)}
    return free


def test_every_cell_is_held(world: World) -> None:
    """A changed cell breaks a constraint, by kind of row and column; the few that do not are listed with a reason.

    Cells are changed to the other bit, and to a number that is none.
    """
    holders = world.holders()
    air, table, public = world.air, world.table(holders), world.public(holders)
    period = air.period
    rows = {"start": period, "path": period + 2, "application": 2 * period - 3, "nullifier": 2 * period - 2,
            "absorb": 2 * period - 1, "idle": COUNT * period + 1}  # fmt: skip
    at = air.permutation.width
    for name, row in rows.items():
        assert table[at + NAMES.index(name), row] == 1
    loose = set()
    for name, row in rows.items():
        flipped, other = (np.tile(table, (air.width, 1, 1)) for _ in range(2))
        every = np.arange(air.width)
        flipped[every, every, row] = table[:, row] ^ 1
        other[every, every, row] = (table[:, row] + 12_345) % FIELDS[air.field].prime
        assert breaking(air, other, public)[
            [column for column in every if (name, int(column)) != ("idle", at + 6)]
        ].all()
        loose |= {(name, int(column)) for column in np.flatnonzero(~breaking(air, flipped, public))}
    assert loose == unconstrained(air)


def test_first_and_last_rows_are_held(world: World) -> None:
    holders = world.holders()
    air, table, public = world.air, world.table(holders), world.public(holders)
    at = air.permutation.width
    lasting = {at + 6 + 1, *range(at + 8, at + 8 + DIGEST)}
    for row in (0, table.shape[1] - 1):
        changed = np.tile(table, (air.width, 1, 1))
        every = np.arange(air.width)
        changed[every, every, row] = (table[:, row] + 12_345) % FIELDS[air.field].prime
        found = breaking(air, changed, public)
        assert found[sorted(lasting)].all()
        assert found[at : at + 6].all()


@dataclass
class Row:
    """What a cheat says of a row; ``count`` is one more than before it, and 0 at a start, unless it is said."""

    role: int
    state: list[int]
    secret: list[int]
    turn: int = 0
    count: int | None = None
    also: tuple[int, ...] = ()  # roles that it claims, too


class Forger:
    """A table whose rows are what a cheat says they are; all else fits them, and so do the public values."""

    def __init__(self, world: World, rows: int = 32) -> None:
        self.air, self.length, self.root = world.air, rows, list(world.tree.root)
        self.rows: list[Row] = []
        self.digest, self.first, self.number = [0] * DIGEST, [0] * DIGEST, 0

    def add(self, role: int, state: list[int], secret: list[int], turn: int = 0) -> list[int]:
        self.rows.append(Row(role, state, secret, turn))
        return golden_permutation(state, self.air.field)[:8]

    def credential(self, holders: Holders, which: int, levels: int = DEPTH, **cheats: list[int]) -> None:
        """The rows of one. ``cheats`` replaces the leaf's state, the secret of the columns or of the nullifier, the
        state that takes the application, the application that the nullifier is for, or what is absorbed as one.
        """
        own = holders.secret[which].tolist()
        held, shown = cheats.get("held", own), cheats.get("shown", cheats.get("held", own))
        leaf = [*own, int(holders.jurisdiction[which]), int(holders.expiry[which]), 0, 0, 0, 0, 0, LEAF]
        node = self.add(START, cheats.get("leaf", leaf), held)
        for level in range(levels):
            beside, turn = holders.siblings[which, level].tolist(), int(holders.index[which]) >> level & 1
            if level == DEPTH - 1:
                node = cheats.get("node", node)
            node = self.add(PATH, [*beside, *node] if turn else [*node, *beside], held, turn)
        self.root = node
        name = holders.application[which].tolist()
        digest = self.add(APPLICATION, cheats.get("taken", [*self.digest, *name, TAG]), held)
        nullifier = self.add(NULLIFIES, [*shown, *cheats.get("named", name), cheats.get("tag", [NULLIFIER])[0]], held)
        self.digest = self.add(ABSORB, [*digest, *cheats.get("absorbed", nullifier)], held)

    def table(self) -> np.ndarray:
        """The rest of it is idle."""
        air, prime = self.air, FIELDS[self.air.field].prime
        width = air.permutation.width
        while len(self.rows) < self.length:
            self.add(IDLE, [0] * 16, self.rows[-1].secret)
        out = np.zeros((air.width, self.length), dtype=np.uint32)
        states = np.array([row.state for row in self.rows], dtype=np.uint32)
        out[:width] = air.permutation.columns(states)
        count, number, digest = -1, self.number, self.first
        for at, row in enumerate(self.rows):
            count = row.count if row.count is not None else 0 if row.role == START else (count + 1) % prime
            number += row.role == START
            out[[width + role for role in (row.role, *row.also)], at] = 1
            out[width + 6, at], out[width + 7, at], out[width + 8 : width + 16, at] = count, number, digest
            if row.role in (APPLICATION, ABSORB):
                digest = out[width - 16 : width - 8, at].tolist()
            left = max(0, row.state[9] - NOW - 1) if row.role == START else 0
            out[-28:, at] = [left >> bit & 1 for bit in range(28)]
            out[width + 16, at], out[width + 17 : width + 25, at] = row.turn, row.secret
        differences = [(states[:, 8].astype(np.int64) - value) % prime for value in (*ALLOWED, *[ALLOWED[-1]] * 5)]
        products = [differences[2 * i] * differences[2 * i + 1] % prime for i in range(4)]
        products += [products[0] * products[1] % prime, products[2] * products[3] % prime]
        out[width + 25 : width + 31] = products
        self.public = [*self.root, *ALLOWED, *[ALLOWED[-1]] * 5, NOW, number, *digest]
        return out

    def is_refused(self) -> bool:
        table = self.table()
        return is_breaking(self.air, table, self.public)


def test_the_forger_makes_what_holds_when_it_does_not_cheat(world: World) -> None:
    holders, forger = world.holders(), Forger(world)
    for which in range(COUNT):
        forger.credential(holders, which)
    table = forger.table()
    assert np.array_equal(table[:, :28], world.table(holders)[:, :28])
    assert forger.public == world.public(holders)
    assert not forger.is_refused()


def changed(values: list[int], at: int, by: int = 1) -> list[int]:
    return [(value + by) if place == at else value for place, value in enumerate(values)]


def test_what_is_in_a_row_is_held_whatever_follows_from_it(world: World) -> None:
    """Each cheat changes one element of one row, and makes everything that depends on it fit."""
    holders = world.holders()
    own, name, zero = holders.secret[0].tolist(), holders.application[0].tolist(), [0] * 8
    leaf = [*own, int(holders.jurisdiction[0]), int(holders.expiry[0]), 0, 0, 0, 0, 0, LEAF]
    nullifier = golden_permutation([*own, *name, NULLIFIER], world.air.field)[:8]
    honest = Forger(world)
    honest.credential(holders, 0)
    node = golden_permutation(honest.rows[DEPTH - 1].state, world.air.field)[:8]
    cheats: list[dict[str, list[int]]] = [{"tag": [LEAF]}, {"taken": [*zero, *name, NULLIFIER]}]
    cheats += [{"leaf": changed(leaf, at)} for at in range(10, 16)]
    cheats += [{"named": changed(name, at)} for at in range(7)]
    for at in range(8):
        cheats += [
            {"held": changed(own, at)},
            {"shown": changed(own, at)},
            {"taken": changed([*zero, *name, TAG], at)},
            {"absorbed": changed(nullifier, at)},
            {"node": changed(node, at)},
        ]
    for cheat in cheats:
        forger = Forger(world)
        forger.credential(holders, 0, **cheat)
        assert forger.is_refused(), cheat
    for at in range(8):
        started = Forger(world)
        started.first = started.digest = changed(zero, at)
        started.credential(holders, 0)
        assert started.is_refused(), at
    honest.number = 1
    assert honest.is_refused()


def test_a_path_of_another_length_is_refused_whatever_it_leads_to(world: World) -> None:
    """The root is that of the shorter path, or of the longer one; counters and extra roles try to hide it."""
    holders = world.holders()
    period = world.air.period
    longer = replace(holders, siblings=np.concatenate([holders.siblings, holders.siblings[:, :1]], axis=1))
    for levels in (DEPTH - 1, DEPTH + 1):
        difference = DEPTH - levels
        plain, early, jump, idle_too = (Forger(world) for _ in range(4))
        for forger in (plain, early, jump, idle_too):
            forger.credential(longer, 0, levels=levels)
        early.rows[0].count = difference % FIELDS[world.air.field].prime
        jump.rows[2].count = 2 + difference
        for row in idle_too.rows[2 : period - difference]:
            row.also = (IDLE,)
        idle_too.rows[2].count = 2 + difference
        for forger in (plain, early, jump, idle_too):
            assert forger.is_refused()


def test_a_credential_that_is_not_whole_is_refused(world: World) -> None:
    """Cut at the front, at the back, or in the middle of the table; skipped parts; rows of two roles and of none."""
    holders = world.holders()
    period = world.air.period

    def forged(credentials: int = 1, rows: int = 32) -> Forger:
        forger = Forger(world, rows)
        for which in range(credentials):
            forger.credential(holders, which)
        return forger

    cheats = []
    for keep in range(1, period):
        front, back, middle, end = forged(2), forged(2), forged(2), forged(2, 8)
        del front.rows[: period - keep]
        front.rows[0].count, front.number = period - keep, 1
        del back.rows[period + keep :]
        del middle.rows[keep:period]
        del end.rows[8:]
        cheats += [front, back, middle, end]
        if keep > 1:
            # What the cut row would lead to is there, in a row that is idle.
            last = golden_permutation(back.rows[-1].state, world.air.field)[:8]
            beside = back.rows[-1].state[8:] if back.rows[-1].role == APPLICATION else last
            back.add(IDLE, [*[0] * 8, *beside], back.rows[-1].secret)
    late, between, nothing, again, twice, unlabelled = (
        Forger(world),
        forged(),
        Forger(world),
        forged(),
        forged(),
        forged(),
    )
    secret = holders.secret[0].tolist()
    late.add(IDLE, [0] * 16, secret)
    late.credential(holders, 0)
    between.add(IDLE, [0] * 16, secret)
    between.credential(holders, 1)
    nothing.add(IDLE, [0] * 16, secret)
    nothing.number = 1
    # A second nullifier, for an application that nothing was taken in of.
    shown = again.add(NULLIFIES, [*secret, *[99] * 7, NULLIFIER], secret)
    again.add(ABSORB, [*again.digest, *shown], secret)
    twice.rows[1].also = (START,)
    unlabelled.rows[-1].role = START
    for forger in (*cheats, late, between, nothing, again, twice, unlabelled):
        assert forger.is_refused()


def test_a_row_has_one_role_and_its_own(world: World) -> None:
    holders = world.holders()
    table, public, at = world.table(holders), world.public(holders), world.air.permutation.width
    others = []
    for row in range(table.shape[1]):
        (role,) = np.flatnonzero(table[at : at + 6, row])
        for other in range(6):
            for kept in (0, 1):
                if other == role and kept == 0:
                    continue
                wrong = table.copy()
                wrong[at + role, row] = kept
                wrong[at + other, row] = 1 if other != role else 0
                others.append(wrong)
    assert breaking(world.air, np.array(others), public).all()


def test_a_list_that_is_not_the_one_shown_is_refused(world: World) -> None:
    holders = world.holders()
    air, table, public = world.air, world.table(holders), world.public(holders)
    others = [
        world.holders((1, 0, 2, 1)),
        world.holders(applications=(7, 8, 7, 9)),
        world.holders((0, 1, 2), (7, 7, 8)),
        world.holders((0, 1, 2, 1, 1), (7, 7, 8, 9, 9)),
        world.holders((0, 1, 2, 3)),
    ]
    assert not is_breaking(air, table, public)
    for other in others:
        assert is_breaking(air, table, world.public(other))
    for at in range(len(public)):
        wrong = list(public)
        wrong[at] += 1
        assert is_breaking(air, table, wrong), at
    fewer = list(public)
    fewer[-DIGEST - 1] -= 1
    assert is_breaking(air, table, fewer)


def test_conditions_that_are_not_met_are_refused(world: World) -> None:
    """A jurisdiction that is not allowed; an expiry that is the time itself, one after it, and the furthest one."""
    for who, time, holds in ((4, NOW, False), (5, NOW, False), (5, NOW - 1, True), (2, NOW, True), (2, NOW - 1, False)):
        holders = world.holders((0, who), (7, 7))
        table = world.air.table(holders, ALLOWED, time)
        assert is_breaking(world.air, table, world.public(holders, time)) != holds, (who, time)


def test_a_credential_that_is_not_in_the_tree_is_refused(world: World) -> None:
    holders = world.holders()
    for change in (
        {"secret": holders.secret ^ np.uint32(1)},
        {"jurisdiction": holders.jurisdiction[::-1].copy()},
        {"expiry": holders.expiry + np.uint32(1)},
        {"index": holders.index ^ 1},
        {"siblings": holders.siblings ^ np.uint32(1)},
    ):
        wrong = replace(holders, **change)  # type: ignore[arg-type]
        assert is_breaking(world.air, world.table(wrong), world.public(wrong)), change.keys()


# proofs ---------------------------------------------------------------------------------------------------------------


def checked(proof: bytes, kernels: KernelSet) -> tuple[int, ...]:
    return verify(proof, air_named, hash_rows(kernels), least_bits=0).public


@pytest.mark.parametrize("hiding", [False, True])
def test_a_proof_shows_the_public_part(kernels: KernelSet, world: World, hiding: bool) -> None:
    holders = world.holders()
    parameters = replace(HIDING, hiding=hiding)
    table = world.table(holders, world.air.rows_for(COUNT, parameters.least_rows))
    assert table.shape[1] == (64 if hiding else 32)
    public = world.public(holders)
    proof = prove(world.air, table, public, kernels, parameters).content
    assert list(checked(proof, kernels)) == public
    with pytest.raises(InvalidProofError, match="do not hold"):
        checked(
            prove(world.air, table, world.public(world.holders((1, 0, 2, 1))), kernels, parameters).content, kernels
        )


@pytest.mark.parametrize("field", FIELD_NAMES)
def test_instances_are_proven(kernels: KernelSet, field: str) -> None:
    instance = instances.credentials(field, 2, 9, (40,), NOW, HIDING.least_rows, 1)
    assert instance.table.shape[1] == 64
    again = instances.credentials(field, 2, 9, (40,), NOW, HIDING.least_rows, 1)
    assert np.array_equal(instance.table, again.table) and instance.public == again.public
    proof = prove(instance.air, instance.table, instance.public, kernels, HIDING).content
    assert list(checked(proof, kernels)) == instance.public


def test_degree_least_rows_and_wrong_calls(world: World) -> None:
    assert compile_air(world.air).degree == 3
    for parameters in (HIDING, Parameters(queries=84, hiding=True)):
        rows = world.air.rows_for(1, parameters.least_rows)
        shape_of("koalabear", 3, rows, parameters)
        with pytest.raises(UsageError, match="hides nothing"):
            shape_of("koalabear", 3, rows // 2, parameters)
    holders = world.holders()
    for wrong, match in (
        (lambda: world.table(holders, 16), "16 rows for 4 credentials: it takes 28, a power of two"),
        (lambda: world.table(holders, 33), "33 rows for 4 credentials"),
        (lambda: world.table(replace(holders, siblings=holders.siblings[:, :2])), "for a tree of 3 levels"),
        (lambda: world.table(world.holders((), ())), "for a tree of 3 levels"),
        (lambda: CredentialsAir("koalabear", 0), "0 levels"),
    ):
        with pytest.raises(UsageError, match=match):
            wrong()
