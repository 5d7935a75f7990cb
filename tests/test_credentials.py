"""Many credentials in one proof: every cell of the table is held, and nothing but the list that was shown is proven."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from air_check import broken
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
from chaindp.chain.verify.stark import InvalidProofError, verify
from chaindp.cli.prove import hash_rows
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


def is_broken(air: CredentialsAir, table: np.ndarray, public: list[int]) -> bool:
    return bool(broken(air, table[None], public)[0])


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
    assert not is_broken(air, world.table(holders), world.public(holders))


@pytest.mark.parametrize(("count", "rows"), [(1, 8), (1, 64), (2, 16), (4, 32), (4, 64)])
def test_tables_of_all_lengths_hold(world: World, count: int, rows: int) -> None:
    holders = world.holders((0, 1, 2, 1)[:count], (7, 7, 8, 9)[:count])
    assert not is_broken(world.air, world.table(holders, rows), world.public(holders))


@pytest.mark.parametrize("field", FIELD_NAMES)
def test_a_table_without_idle_rows_holds_and_is_held(field: str) -> None:
    """Its last row is one that absorbs: the digest after it is the public one."""
    instance = instances.credentials(field, 4, 4, ALLOWED, NOW, 2, 5)
    assert instance.table.shape[1] == 32
    assert not is_broken(instance.air, instance.table, instance.public)  # type: ignore[arg-type]
    for i in range(DIGEST):
        wrong = list(instance.public)
        wrong[-1 - i] ^= 1
        assert is_broken(instance.air, instance.table, wrong)  # type: ignore[arg-type]


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
        assert broken(air, other, public)[[column for column in every if (name, int(column)) != ("idle", at + 6)]].all()
        loose |= {(name, int(column)) for column in np.flatnonzero(~broken(air, flipped, public))}
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
        found = broken(air, changed, public)
        assert found[sorted(lasting)].all()
        assert found[at : at + 6].all()


class Forger:
    """A table whose rows are what a cheat says they are: roles, states, and what has to fit them is filled in."""

    def __init__(self, world: World, rows: int = 32) -> None:
        self.air, self.rows = world.air, rows
        self.roles: list[int] = []
        self.states: list[list[int]] = []
        self.secrets: list[list[int]] = []
        self.turns: list[int] = []

    def row(self, role: int, state: list[int], secret: list[int], turn: int = 0) -> list[int]:
        self.roles.append(role)
        self.states.append(state)
        self.secrets.append(secret)
        self.turns.append(turn)
        return golden_permutation(state, self.air.field)[:8]

    def credential(
        self,
        holders: Holders,
        which: int,
        digest: list[int],
        levels: int = DEPTH,
        secret: list[int] | None = None,
        application: list[int] | None = None,
    ) -> list[int]:
        """The rows of one; ``secret`` and ``application`` are those of the nullifier if they are not the leaf's."""
        held = holders.secret[which].tolist()
        shown = held if secret is None else secret
        leaf = [*held, int(holders.jurisdiction[which]), int(holders.expiry[which]), 0, 0, 0, 0, 0, LEAF]
        node = self.row(START, leaf, held)
        for level in range(levels):
            beside, turn = holders.siblings[which, level].tolist(), int(holders.index[which]) >> level & 1
            node = self.row(PATH, [*beside, *node] if turn else [*node, *beside], held, turn)
        name = holders.application[which].tolist()
        digest = self.row(APPLICATION, [*digest, *name, TAG], held)
        nullifier = self.row(NULLIFIES, [*shown, *(application or name), NULLIFIER], shown)
        return self.row(ABSORB, [*digest, *nullifier], shown)

    def table(self) -> np.ndarray:
        """With flags, counters, digests, products and bits that fit as well as they can."""
        air, prime = self.air, FIELDS[self.air.field].prime
        while len(self.roles) < self.rows:
            self.row(IDLE, [0] * 16, self.secrets[-1])
        width = air.permutation.width
        out = np.zeros((air.width, self.rows), dtype=np.uint32)
        states = np.array(self.states, dtype=np.uint32)
        out[:width] = air.permutation.columns(states)
        out[width + np.array(self.roles), np.arange(self.rows)] = 1
        place = number = 0
        digest = [0] * DIGEST
        for row, role in enumerate(self.roles):
            place = 0 if role == START else place + 1
            number += role == START
            out[width + 6, row], out[width + 7, row], out[width + 8 : width + 16, row] = place, number, digest
            if role in (APPLICATION, ABSORB):
                digest = out[width - 16 : width - 8, row].tolist()
            left = max(0, self.states[row][9] - NOW - 1) if role == START else 0
            out[-28:, row] = [left >> bit & 1 for bit in range(28)]
        out[width + 16] = self.turns
        out[width + 17 : width + 25] = np.array(self.secrets, dtype=np.uint32).T
        differences = [(states[:, 8].astype(np.int64) - value) % prime for value in (*ALLOWED, *[ALLOWED[-1]] * 5)]
        products = [differences[2 * i] * differences[2 * i + 1] % prime for i in range(4)]
        out[width + 25 : width + 31] = [
            *products, products[0] * products[1] % prime, products[2] * products[3] % prime
        ]  # fmt: skip
        self.final, self.number = digest, number
        return out

    def is_refused(self, world: World) -> bool:
        """With the number and the digest that the table comes to."""
        table = self.table()
        public = [*world.tree.root, *ALLOWED, *[ALLOWED[-1]] * 5, NOW, self.number, *self.final]
        return is_broken(self.air, table, public)


def test_the_forger_makes_what_holds_when_it_does_not_cheat(world: World) -> None:
    holders, forger = world.holders(), Forger(world)
    digest = [0] * 8
    for which in range(COUNT):
        digest = forger.credential(holders, which, digest)
    assert np.array_equal(forger.table()[:, :28], world.table(holders)[:, :28])
    assert not forger.is_refused(world)


def test_credentials_that_are_not_whole_are_refused(world: World) -> None:
    holders = world.holders()
    zero = [0] * 8

    def forged() -> Forger:
        return Forger(world)

    paths = []
    for levels in (DEPTH - 1, DEPTH - 2):
        forger = forged()
        forger.credential(holders, 0, zero, levels=levels)
        paths.append(forger)
    other_secret, other_application, other_start = forged(), forged(), forged()
    other_secret.credential(holders, 0, zero, secret=holders.secret[1].tolist())
    other_application.credential(holders, 0, zero, application=[8] * 7)
    other_start.credential(holders, 0, [1] * 8)
    # Cut: after each row of a credential there is nothing but idle rows, or the next credential.
    cuts = []
    for keep in range(1, world.air.period):
        for following in (False, True):
            forger = forged()
            digest = forger.credential(holders, 0, zero)
            forger.credential(holders, 1, digest)
            for part in (forger.roles, forger.states, forger.secrets, forger.turns):
                if following:
                    del part[keep : world.air.period]
                else:
                    del part[world.air.period + keep :]
            cuts.append(forger)
    # Skipped: idle rows first, and between two.
    late, between = forged(), forged()
    late.row(IDLE, [0] * 16, holders.secret[0].tolist())
    late.credential(holders, 0, zero)
    digest = between.credential(holders, 0, zero)
    between.row(IDLE, [0] * 16, holders.secret[0].tolist())
    between.credential(holders, 1, digest)
    for forger in (*paths, other_secret, other_application, other_start, *cuts, late, between):
        assert forger.is_refused(world)


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
    assert not is_broken(air, table, public)
    for other in others:
        assert is_broken(air, table, world.public(other))
    for at in range(len(public)):
        wrong = list(public)
        wrong[at] += 1
        assert is_broken(air, table, wrong), at
    fewer = list(public)
    fewer[-DIGEST - 1] -= 1
    assert is_broken(air, table, fewer)


def test_conditions_that_are_not_met_are_refused(world: World) -> None:
    """A jurisdiction that is not allowed; an expiry that is the time itself, one after it, and the furthest one."""
    for who, time, holds in ((4, NOW, False), (5, NOW, False), (5, NOW - 1, True), (2, NOW, True), (2, NOW - 1, False)):
        holders = world.holders((0, who), (7, 7))
        table = world.air.table(holders, ALLOWED, time)
        assert is_broken(world.air, table, world.public(holders, time)) != holds, (who, time)


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
        assert is_broken(world.air, world.table(wrong), world.public(wrong)), change.keys()


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
