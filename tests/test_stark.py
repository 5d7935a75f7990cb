"""The STARK prover and the verifier that shares no code with it: what is proven holds, and nothing else is."""

from __future__ import annotations

import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chaindp.chain.airs import Air, Constraints
from chaindp.chain.airs.air import T
from chaindp.chain.airs.catalogue import air_named
from chaindp.chain.airs.credential import Credential, CredentialAir, Membership
from chaindp.chain.airs.poseidon2 import Poseidon2Air
from chaindp.chain.proof import prover as prover_module
from chaindp.chain.proof.encoding import head
from chaindp.chain.proof.parameters import HASHES, Parameters, security
from chaindp.chain.proof.program import compile_air
from chaindp.chain.proof.prover import prove
from chaindp.chain.proof.shape import shape_of
from chaindp.chain.verify import stark as stark_module
from chaindp.chain.verify.stark import InvalidProofError, Statement, verify
from chaindp.errors import InputError, UsageError
from chaindp.kernels.fields import FIELDS
from chaindp.kernels.hashes import GOLDEN_HASHES
from chaindp.kernels.kernelset import KernelSet
from chaindp.kernels.poseidon2 import golden_permutation
from chaindp.plugins import load_plugins
from stark_airs import Cubes, Fibonacci, Squares

SMALL = Parameters(queries=6, grinding=3, log_final=1)
FIELD_NAMES = sorted(FIELDS)


@pytest.fixture(scope="module")
def kernels() -> Iterator[KernelSet]:
    registry = load_plugins()
    backend = registry.open_backend("cpu", threads=2)
    yield registry.kernel_set(backend)
    backend.close()


def hash_rows(name: str, rows: np.ndarray) -> np.ndarray:
    """By the golden references: in plain Python."""
    kernel, _, field = name.partition(" ")
    if kernel == "poseidon2":
        states = [golden_permutation(state, field) for state in rows.view("<u4").tolist()]
        return np.array(states, dtype="<u4").view(np.uint8)
    digests = b"".join(GOLDEN_HASHES[name](row.tobytes()) for row in rows)
    return np.frombuffer(digests, dtype=np.uint8).reshape(-1, 32)


def checked(proof: bytes, *airs: Air, least_bits: int = 0) -> Statement:
    named = {air.name: air for air in airs}
    return verify(proof, named.get, hash_rows, least_bits=least_bits)


def refused(proof: bytes, *airs: Air, match: str | None = None) -> None:
    with pytest.raises(InvalidProofError, match=match):
        checked(proof, *airs)


@pytest.fixture(scope="module")
def small(kernels: KernelSet) -> bytes:
    """A proof of a table of 16 rows."""
    air = Fibonacci()
    table = air.table(16)
    return prove(air, table, [int(table[1, -1])], kernels, SMALL).content


# what holds -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("hash_name", HASHES)
@pytest.mark.parametrize(("log_folding", "log_final", "log_blowup"), [(1, 0, 1), (2, 2, 2), (3, 1, 1), (4, 8, 3)])
def test_a_proof_of_a_right_table_holds(
    kernels: KernelSet, log_folding: int, log_final: int, log_blowup: int, hash_name: str
) -> None:
    air = Fibonacci()
    table = air.table(32)
    parameters = Parameters(
        queries=5, grinding=2, log_folding=log_folding, log_final=log_final, log_blowup=log_blowup, hash_name=hash_name
    )
    proof = prove(air, table, [int(table[1, -1])], kernels, parameters)
    said = checked(proof.content, air)
    assert (said.air, said.public, said.log_rows) == (air, (int(table[1, -1]),), 5)
    assert all(seconds >= 0 for seconds in proof.seconds.values())


@pytest.mark.parametrize("field", FIELD_NAMES)
@pytest.mark.parametrize("hiding", [False, True])
def test_every_air_every_field(kernels: KernelSet, field: str, hiding: bool) -> None:
    parameters = replace(SMALL, hiding=hiding)
    for air in (Fibonacci(field), Cubes(field)):
        table = air.table(64)
        public = [int(table[1, -1])] if air.publics else []
        assert checked(prove(air, table, public, kernels, parameters).content, air).air is air
    poseidon2 = Poseidon2Air(field, 2)
    states = np.random.default_rng(1).integers(0, FIELDS[field].prime, (128, 16)).astype(np.uint32)
    table = poseidon2.table(states)
    assert table[-16:, -1].tolist() == golden_permutation(states[-1].tolist(), field)
    assert checked(prove(poseidon2, table, [], kernels, parameters).content, poseidon2).hiding == hiding


@pytest.mark.parametrize("hiding", [False, True])
def test_proofs_are_the_same_bytes_with_any_number_of_threads(kernels: KernelSet, hiding: bool) -> None:
    air, parameters = Cubes(), replace(SMALL, hiding=hiding)
    proofs = {
        prove(air, air.table(2048), [], kernels, parameters, seed=b"sixteen or more.", threads=threads).content
        for threads in (1, 2, 3)
    }
    assert len(proofs) == 1


@pytest.mark.parametrize("hash_name", ["keccak256", "poseidon2"])
def test_two_hiding_proofs_of_one_table_have_nothing_in_common(kernels: KernelSet, hash_name: str) -> None:
    air, parameters = Cubes(), replace(SMALL, hiding=True, hash_name=hash_name)
    first, second = (prove(air, air.table(64), [], kernels, parameters).content for _ in range(2))
    start = len(b"CDPSTARK") + 20
    same = sum(a == b for a, b in zip(first[start:], second[start:], strict=False))
    assert same < len(first) / 16
    checked(first, air)
    checked(second, air)


class Secret(Air):
    """A column that is the same number in every row, beside a counter."""

    name, field, width, publics, degree = "secret", "babybear", 2, 0, 2

    def constraints(self, c: Constraints[T]) -> None:
        c.transition(c.next[0] - c.local[0])
        c.transition(c.next[1] - (c.local[1] + 1))

    def table(self, secret: int, first: int = 0) -> np.ndarray:
        return np.array([np.full(64, secret), np.arange(first, first + 64)], dtype=np.uint32)


@pytest.mark.parametrize("hash_name", ["keccak256", "poseidon2"])
@pytest.mark.parametrize("hiding", [False, True])
def test_a_secret_is_nowhere_in_a_proof_that_hides(kernels: KernelSet, hash_name: str, hiding: bool) -> None:
    # A column that is constant has that constant at every place, unless something is added to it: it would be opened
    # at z and at the next row's point, and in the row of every query.
    air, secret = Secret(), 0x12345678
    parameters = replace(SMALL, hiding=hiding, hash_name=hash_name)
    proof = prove(air, air.table(secret), [], kernels, parameters, seed=bytes(16)).content
    checked(proof, air)
    assert (
        proof.count(secret.to_bytes(4, "little")) >= 2 + 4 if not hiding else secret.to_bytes(4, "little") not in proof
    )


@pytest.mark.parametrize("other", [{"first": 1}, {"secret": 5}])
def test_what_hides_is_another_for_another_table(
    kernels: KernelSet, monkeypatch: pytest.MonkeyPatch, other: dict[str, int]
) -> None:
    """With the same seed: else the difference of two proofs would be one of the tables."""
    air, drawn = Secret(), []
    real = prover_module._Prover.random

    def random(self: Any, label: bytes, shape: tuple[int, ...]) -> np.ndarray:
        found = real(self, label, shape)
        drawn.append((label, found.tobytes()))
        return found

    monkeypatch.setattr(prover_module._Prover, "random", random)
    for table in (air.table(7), air.table(**{"secret": 7} | other)):
        prove(air, table, [], kernels, replace(SMALL, hiding=True, hash_name="poseidon2"), seed=bytes(16))
    half = len(drawn) // 2
    assert [label for label, _ in drawn[:half]] == [label for label, _ in drawn[half:]]
    assert {label for label, _ in drawn} >= {b"columns", b"pieces", b"cover", b"salt of table", b"salt of quotient"}
    # The codewords of FRI have no salt.
    assert all(first != second for first, second in zip(drawn[:half], drawn[half:], strict=True) if first[1])


def test_a_seed_has_16_bytes_and_a_prover_a_thread(kernels: KernelSet) -> None:
    air = Secret()
    for seed in (b"", bytes(15)):
        with pytest.raises(UsageError, match=f"a seed of {len(seed)} bytes, a proof that hides takes 16 or more"):
            prove(air, air.table(7), [], kernels, replace(SMALL, hiding=True), seed=seed)
    with pytest.raises(UsageError, match="0 threads, expected 1 or more"):
        prove(air, air.table(7), [], kernels, SMALL, threads=0)
    with pytest.raises(InputError, match="has dtype int64, expected uint32"):
        prove(air, air.table(7).astype(np.int64), [], kernels, SMALL)


# attacks --------------------------------------------------------------------------------------------------------------


def flips(proof: bytes, places: list[int]) -> None:
    rng = random.Random(7)
    for at in places:
        flipped = bytearray(proof)
        flipped[at] ^= 1 << rng.randrange(8)
        refused(bytes(flipped), Fibonacci())


def test_no_byte_of_a_proof_can_be_another(small: bytes) -> None:
    checked(small, Fibonacci())
    head, rest = list(range(80)), range(80, len(small))
    flips(small, head + random.Random(1).sample(rest, 80))


@pytest.mark.slow
def test_no_byte_at_all_can_be_another(small: bytes) -> None:
    flips(small, list(range(len(small))))


def test_truncated_extended_and_empty_proofs_are_refused(small: bytes) -> None:
    for end in [*range(100), *range(100, len(small), 97), len(small) - 1]:
        refused(small[:end], Fibonacci())
    refused(small + b"\0", Fibonacci(), match="1 bytes follow the proof")
    refused(small + small, Fibonacci())


@pytest.fixture(scope="module")
def poseidon2_proof(kernels: KernelSet) -> bytes:
    """A hiding proof whose trees are of Poseidon2: its openings have salts."""
    air = Fibonacci()
    table = air.table(64)
    parameters = replace(SMALL, hiding=True, hash_name="poseidon2")
    return prove(air, table, [int(table[1, -1])], kernels, parameters, seed=b"sixteen or more.").content


def test_no_byte_of_a_proof_with_poseidon2_can_be_another(poseidon2_proof: bytes) -> None:
    checked(poseidon2_proof, Fibonacci())
    flips(poseidon2_proof, random.Random(1).sample(range(len(poseidon2_proof)), 25))


def test_the_trees_of_a_proof_have_elements_below_the_prime(kernels: KernelSet, poseidon2_proof: bytes) -> None:
    """A number and the same one with p more are one element: of two such proofs one is refused, by its name."""
    air, prime = Fibonacci(), FIELDS["babybear"].prime
    shape = shape_of(air.field, air.degree, 64, replace(SMALL, hiding=True, hash_name="poseidon2"))
    sizes = 16 * (2 * 2 + 4 * shape.chunks + 4), 32 * len(shape.folds), 16 * shape.final
    openings = len(head(air, SMALL, 6, [0])) + 64 + sum(sizes) + 8
    places = (len(poseidon2_proof) - openings) // 4
    named = set()
    for place in range(places):
        at = openings + 4 * place
        more = int.from_bytes(poseidon2_proof[at : at + 4], "little") + prime
        if more < 1 << 32 and len(named) < 3:
            changed = poseidon2_proof[:at] + more.to_bytes(4, "little") + poseidon2_proof[at + 4 :]
            with pytest.raises(InvalidProofError, match="has a number that is not below") as error:
                checked(changed, air)
            named.add(str(error.value).partition(" has a number")[0])
    assert {"the table", "the salt of the table", "a digest beside the table"} <= named


def test_what_one_hash_committed_to_is_nothing_to_another(kernels: KernelSet, small: bytes) -> None:
    at = len(b"CDPSTARK\x01") + 3
    assert small[at] == HASHES.index("keccak256")
    for number in (1, 2, 3, 255):
        refused(small[:at] + bytes([number]) + small[at + 1 :], Fibonacci())


def test_another_public_value_is_refused(kernels: KernelSet, small: bytes) -> None:
    air = Fibonacci()
    table = air.table(16)
    right = int(table[1, -1])
    refused(prove(air, table, [right + 1], kernels, SMALL).content, air, match="the constraints do not hold")
    other = small.replace(right.to_bytes(4, "little"), (right + 1).to_bytes(4, "little"), 1)
    assert other != small
    refused(other, air)


@pytest.mark.parametrize(("column", "row"), [(0, 0), (1, 0), (0, 1), (1, 8), (0, 14), (0, 15), (1, 15)])
def test_a_table_that_is_wrong_in_one_cell_is_refused(kernels: KernelSet, column: int, row: int) -> None:
    air = Fibonacci()
    table = air.table(16)
    public = [int(table[1, -1])]
    table[column, row] += 1
    refused(prove(air, table, public, kernels, SMALL).content, air, match="the constraints do not hold")
    cubes = Cubes()
    table = cubes.table(16)
    table[2 + column, row] += 1
    refused(prove(cubes, table, [], kernels, SMALL).content, cubes, match="the constraints do not hold")


def test_a_proof_of_one_air_is_none_of_another_one(kernels: KernelSet, small: bytes) -> None:
    renamed = small.replace(b"fibonacci babybear 1", b"squares babybear 1").replace(
        bytes([20]) + b"squares", bytes([18]) + b"squares"
    )
    assert renamed != small
    refused(renamed, Fibonacci(), Squares(), match="do not hold")
    refused(small, Squares(), match="there is no AIR")


def test_weaker_parameters_than_asked_for_are_refused(kernels: KernelSet, small: bytes) -> None:
    with pytest.raises(InvalidProofError, match="9 bits of security, and 100 are asked for"):
        checked(small, Fibonacci(), least_bits=100)
    at = small.index(SMALL.queries.to_bytes(2, "little"), 9)
    for queries in (0, 1, SMALL.queries - 1, SMALL.queries + 1, 65535):
        refused(small[:at] + queries.to_bytes(2, "little") + small[at + 2 :], Fibonacci())


def test_parts_of_two_proofs_make_no_third(kernels: KernelSet, small: bytes) -> None:
    air = Fibonacci()
    table = air.table(16)
    other = prove(air, table, [int(table[1, -1])], kernels, replace(SMALL, grinding=4)).content
    for at in range(40, min(len(small), len(other)), 61):
        refused(small[:at] + other[at:], air)
    for a, b in ((100, 200), (60, 92), (300, 364)):
        swapped = small[:a] + small[b : 2 * b - a] + small[a:b] + small[2 * b - a :]
        refused(swapped, air)


class Forger(prover_module._Prover):
    """A prover that cheats in one place."""


def forged(kernels: KernelSet, forger: type[Forger], air: Air, table: np.ndarray, public: list[int]) -> bytes:
    with ThreadPoolExecutor(1) as pool:
        return forger(air, table, public, kernels, SMALL, None, (pool, 1)).run().content


def test_a_challenge_of_an_earlier_proof_is_refused(kernels: KernelSet, monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawn before what it depends on: a prover that knows it can open anything."""
    air = Fibonacci()
    table = air.table(16)
    original = prover_module.Transcript.element

    def replayed(self: Any, label: bytes, prime: int) -> Any:
        found = original(self, label, prime)
        return (5, 6, 7, 8) if label == b"point" else found

    monkeypatch.setattr(prover_module.Transcript, "element", replayed)
    refused(prove(air, table, [int(table[1, -1])], kernels, SMALL).content, air, match="do not hold")


def test_a_word_of_high_degree_is_refused(kernels: KernelSet) -> None:
    """The values out of the domain are right, but what is folded is no polynomial of low degree."""

    class Noisy(Forger):
        def combine(self, *args: Any) -> np.ndarray:
            codeword = super().combine(*args)
            codeword[::2, 0] = (codeword[::2, 0].astype(np.uint64) + 1) % self.prime
            return codeword

    class Cut(Forger):
        """FRI's last polynomial has a coefficient too many, and it is left out."""

        def coefficients(self, values: np.ndarray, shift: int) -> np.ndarray:
            found = super().coefficients(values, shift)
            if len(values) == self.shape.final << self.parameters.log_blowup:
                found[:, self.shape.final - 1] = 0
            return found

    air = Fibonacci()
    table = air.table(16)
    for forger, match in ((Noisy, "FRI is not of the values"), (Cut, "the last polynomial is not of")):
        refused(forged(kernels, forger, air, table, [int(table[1, -1])]), air, match=match)


@given(content=st.binary(max_size=400), cut=st.integers(0, 10_000), flip=st.integers(0, 10_000))
@settings(max_examples=60)
def test_the_verifier_raises_nothing_but_its_own_error(small: bytes, content: bytes, cut: int, flip: int) -> None:
    at = cut % len(small)
    for proof in (content, small[:at] + content, small[:at] + content + small[at + len(content) :]):
        if proof != small:
            refused(proof, Fibonacci())


def test_names_of_airs_lead_to_airs_and_to_nothing_else() -> None:
    assert air_named("poseidon2 babybear 8").name == "poseidon2 babybear 8"  # type: ignore[union-attr]
    assert air_named("credential babybear 20").columns > 300  # type: ignore[union-attr]
    for name in ("", "poseidon2", "poseidon2 babybear 08", "poseidon2 babybear 0", "poseidon2 nofield 8", "x y z",
                 "poseidon2 babybear 9999999999", "credential babybear 61", "poseidon2 babybear \u0663"):  # fmt: skip
        assert air_named(name) is None


# what a call can have wrong -------------------------------------------------------------------------------------------


def test_wrong_calls_have_one_line(kernels: KernelSet) -> None:
    air = Fibonacci()
    table = air.table(16)
    for wrong, match in (
        (lambda: prove(air, table[:1], [1], kernels, SMALL), "has 2 columns"),
        (lambda: prove(air, table, [], kernels, SMALL), "has 1 public values"),
        (lambda: prove(air, table, [2**31], kernels, SMALL), "each below"),
        (lambda: prove(air, table[:, :15], [1], kernels, SMALL), "a power of two"),
        (lambda: prove(air, table, [1], kernels, replace(SMALL, hiding=True)), "hides nothing from 6 queries"),
        (lambda: Parameters(queries=0), "queries is 0, expected 1 to 1024"),
        (lambda: Parameters(hash_name="md5"), "expected one of keccak256, sha256, poseidon2"),
        (lambda: Poseidon2Air("babybear", 17), "17 permutations a row"),
        (lambda: CredentialAir("babybear", 61), "61 levels"),
    ):
        with pytest.raises(UsageError, match=match):
            wrong()  # type: ignore[no-untyped-call]


def test_a_constraint_of_a_higher_degree_than_stated_is_named() -> None:
    class Steep(Fibonacci):
        degree = 2

        def constraints(self, c: Any) -> None:
            c.every(c.local[0] * c.local[0] * c.local[1])

    with pytest.raises(UsageError, match="states degree 2, and has a constraint of degree 3"):
        compile_air(Steep())


def test_a_constraint_of_one_row_has_to_be_of_a_degree_less() -> None:
    """Its quotient would not fit the lengths that follow from the degree, and no table could be proven."""
    with pytest.raises(UsageError, match="states degree 2, and has a constraint of one row of degree 2"):
        compile_air(Squares())

    class Roomy(Squares):
        degree = 3

    assert compile_air(Roomy()).degree == 2


def test_the_default_parameters_give_100_bits() -> None:
    found = security(Parameters(), "babybear", 14, 1312)
    assert found.conjectured >= 100
    assert 0 < found.proven < found.conjectured
    more = security(Parameters(queries=200), "babybear", 14, 1312)
    assert more.proven >= found.proven


def test_what_is_proven_loses_a_bit_for_twice_as_many_columns() -> None:
    # So many queries that the commitment to a sum of all columns is what counts: 2 columns and 4 x 3 pieces at most,
    # with powers of one challenge, so that all but one of them are a chance to go wrong.
    few, many = (security(Parameters(queries=1000), "babybear", 14, columns).proven for columns in (1, 2048))
    assert abs(few - many - np.log2((2 * 2048 + 12 - 1) / (2 + 12 - 1))) <= 1


@settings(max_examples=25, deadline=None)
@given(
    log_rows=st.integers(6, 8), log_blowup=st.integers(1, 3), queries=st.integers(1, 6), grinding=st.integers(0, 4),
    hiding=st.booleans(), field=st.sampled_from(FIELD_NAMES),
)  # fmt: skip
def test_prover_and_verifier_agree_on_the_security(
    kernels: KernelSet, log_rows: int, log_blowup: int, queries: int, grinding: int, hiding: bool, field: str
) -> None:
    air = Fibonacci(field)
    table = air.table(1 << log_rows)
    parameters = Parameters(log_blowup=log_blowup, queries=queries, grinding=grinding, hiding=hiding)
    said = checked(prove(air, table, [int(table[1, -1])], kernels, parameters).content, air)
    assert said.security_bits == security(parameters, field, log_rows, air.columns).conjectured


@given(
    log_rows=st.integers(1, 24), log_blowup=st.integers(1, 6), queries=st.integers(1, 1024),
    grinding=st.integers(0, 32), hiding=st.booleans(), field=st.sampled_from(FIELD_NAMES),
)  # fmt: skip
def test_they_agree_on_that_of_long_tables_too(
    log_rows: int, log_blowup: int, queries: int, grinding: int, hiding: bool, field: str
) -> None:
    air = Poseidon2Air(field, 16)
    parameters = Parameters(log_blowup=log_blowup, queries=queries, grinding=grinding, hiding=hiding)
    values = {"log_blowup": log_blowup, "grinding": grinding, "hiding": int(hiding)}
    found = stark_module._Verifier._security(air, values, queries, log_rows)
    assert found == security(parameters, field, log_rows, air.columns).conjectured


# the credential -------------------------------------------------------------------------------------------------------

DEPTH = 3
CREDENTIAL = Credential((11, 22, 33, 44, 55, 66, 77, 88), 756, 30_000_000)
HIDING = Parameters(log_blowup=3, queries=12, grinding=4, log_final=4, hiding=True)


class Holder:
    """One who has a credential, in a tree with others."""

    def __init__(self, field: str = "babybear") -> None:
        self.air = CredentialAir(field, DEPTH)
        rng = np.random.default_rng(5)
        self.siblings = rng.integers(0, FIELDS[field].prime, (DEPTH, 8)).astype(np.uint32)
        self.index = 5
        digest = golden_permutation(CREDENTIAL.state(), field)[:8]
        for level, sibling in enumerate(self.siblings.tolist()):
            pair = [*sibling, *digest] if self.index >> level & 1 else [*digest, *sibling]
            digest = golden_permutation(pair, field)[:8]
        self.root = tuple(digest)

    def membership(self, application: int = 1, **changes: Any) -> Membership:
        number = (application,) * 7
        nullifier = self.air.nullifier(CREDENTIAL, number)
        return replace(Membership(self.root, nullifier, number, (40, 756, 276), 29_900_000), **changes)

    def prove(self, kernels: KernelSet, membership: Membership, credential: Credential = CREDENTIAL) -> bytes:
        table = self.air.table(credential, self.index, self.siblings, membership, 64)
        return prove(self.air, table, membership.public(), kernels, HIDING).content


@pytest.fixture(scope="module")
def holder() -> Holder:
    return Holder()


def test_a_credential_is_proven_and_shows_its_public_part_alone(kernels: KernelSet, holder: Holder) -> None:
    membership = holder.membership()
    said = checked(holder.prove(kernels, membership), holder.air)
    assert list(said.public) == membership.public()
    assert said.hiding


def test_one_nullifier_an_application(holder: Holder) -> None:
    first, again, other = (holder.membership(application).nullifier for application in (1, 1, 2))
    assert first == again
    assert not set(first) & set(other)


def test_what_is_not_so_is_not_proven(kernels: KernelSet, holder: Holder) -> None:
    right = holder.membership()
    for wrong in (
        replace(right, allowed=(40, 276)),
        replace(right, time=CREDENTIAL.expiry),
        replace(right, time=CREDENTIAL.expiry + 5),
        replace(right, nullifier=holder.membership(2).nullifier),
        replace(right, application=(2,) * 7),
        replace(right, root=(1, 2, 3, 4, 5, 6, 7, 8)),
    ):
        refused(holder.prove(kernels, wrong), holder.air, match="the constraints do not hold")
    for other in (
        replace(CREDENTIAL, secret=(1, *CREDENTIAL.secret[1:])),
        replace(CREDENTIAL, jurisdiction=40),
        replace(CREDENTIAL, expiry=CREDENTIAL.expiry + 1),
    ):
        refused(holder.prove(kernels, right, other), holder.air, match="the constraints do not hold")


def test_a_node_is_not_passed_off_as_a_leaf(kernels: KernelSet, holder: Holder) -> None:
    """At another depth, whatever two digests there are would be somebody's secret and attributes."""
    shallow = CredentialAir("babybear", DEPTH - 1)
    membership = holder.membership()
    table = shallow.table(CREDENTIAL, 1, holder.siblings[1:], membership, 64)
    proof = prove(shallow, table, membership.public(), kernels, HIDING).content
    refused(proof, shallow, match="the constraints do not hold")
    refused(proof, holder.air, match="there is no AIR")
