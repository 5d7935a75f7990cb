"""The AIR of Keccak-f[1600]: its tables are what the references compute, and no other table is one."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from air_constraints import another, broken, unnoticed
from chaindp.chain.airs import keccak as module
from chaindp.chain.airs.catalogue import air_named
from chaindp.chain.airs.instances import keccak as instance
from chaindp.chain.airs.keccak import KeccakAir
from chaindp.chain.proof.parameters import Parameters
from chaindp.chain.proof.program import compile_air
from chaindp.chain.proof.prover import prove
from chaindp.chain.verify.hashing import hash_rows
from chaindp.chain.verify.stark import InvalidProofError, Statement, verify
from chaindp.errors import ChaindpError
from chaindp.kernels.hashes import KECCAK_ROTATIONS, golden_keccak_f
from chaindp.kernels.kernelset import KernelSet
from chaindp.plugins import load_plugins

SMALL = Parameters(queries=6, grinding=3, log_final=1)
AIR = KeccakAir("koalabear")


@pytest.fixture(scope="module")
def kernels() -> Iterator[KernelSet]:
    registry = load_plugins()
    backend = registry.open_backend("cpu", threads=2)
    yield registry.kernel_set(backend)
    backend.close()


def states(count: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 1 << 64, (count, 25), dtype=np.uint64)


def proven(kernels: KernelSet, air: KeccakAir, table: np.ndarray) -> Statement:
    proof = prove(air, table, [], kernels, SMALL).content
    return verify(proof, {air.name: air}.get, hash_rows(kernels), least_bits=0)


def refused(kernels: KernelSet, table: np.ndarray) -> None:
    with pytest.raises(InvalidProofError, match="the constraints do not hold"):
        proven(kernels, AIR, table)


@pytest.fixture(scope="module")
def table() -> np.ndarray:
    """Two permutations in 64 rows, and the first 16 rounds of a third one."""
    return AIR.table(states(2))


# what holds -----------------------------------------------------------------------------------------------------------


def test_a_table_has_the_permutations_of_the_golden_reference(table: np.ndarray) -> None:
    assert table.shape == (2366, 64)
    assert AIR.results(table).tolist() == [golden_keccak_f(state.tolist()) for state in states(2)]


def test_a_table_hashes_as_hashlib_does() -> None:
    messages = [b"", b"abc", b"a block of SHA3-256 has 136 bytes".ljust(135, b".")]
    blocks = []
    for message in messages:
        block = bytearray(message.ljust(136, b"\0"))
        block[len(message)] ^= 0x06
        block[-1] ^= 0x80
        blocks.append(np.frombuffer(bytes(block).ljust(200, b"\0"), dtype="<u8"))
    results = AIR.results(AIR.table(np.array(blocks, dtype=np.uint64)))
    for message, result in zip(messages, results, strict=False):
        assert result.astype("<u8").tobytes()[:32] == hashlib.sha3_256(message).digest()


@given(seed=st.integers(0, 1 << 32), count=st.integers(1, 5), lanes=st.integers(1, 3))
@settings(max_examples=6, deadline=None)
def test_every_batch_is_in_order_and_whole(seed: int, count: int, lanes: int) -> None:
    air = KeccakAir("babybear", lanes)
    table = air.table(states(count, seed))
    rows = table.shape[1]
    assert rows & (rows - 1) == 0
    assert rows < 2 * 24 * -(-count // lanes) or rows == 32
    results = air.results(table)
    assert len(results) == air.room(rows) >= count
    right = [golden_keccak_f(state.tolist()) for state in states(count, seed)]
    # What is left is filled with permutations of zeros.
    assert results.tolist() == right + [golden_keccak_f([0] * 25)] * (len(results) - count)


@pytest.mark.parametrize("field", ["babybear", "koalabear"])
def test_all_constraints_hold(field: str) -> None:
    air = KeccakAir(field, 2)
    assert broken(air, air.table(states(3))) == []


def test_whole_permutations_are_counted_and_no_others() -> None:
    assert [AIR.room(rows) for rows in (16, 32, 64, 1 << 15)] == [0, 1, 2, 1365]
    assert KeccakAir("babybear", 3).room(64) == 6


@pytest.mark.parametrize("lanes", [1, pytest.param(3, marks=pytest.mark.slow)])
def test_a_right_table_is_proven(kernels: KernelSet, lanes: int) -> None:
    made = instance("babybear", 2 * lanes, lanes, seed=3)
    air = air_named(f"keccak babybear {lanes}")
    assert isinstance(air, KeccakAir)
    assert air.columns == 2366 * lanes
    said = proven(kernels, air, made.table)
    assert (said.public, said.log_rows, said.air) == ((), 6, air)


def test_the_program_is_of_degree_3_and_every_column_is_in_it() -> None:
    program = compile_air(AIR)
    assert (program.degree, program.width) == (3, 2366)


# attacks --------------------------------------------------------------------------------------------------------------

ROWS = {"first": 0, "round": 11, "last round": 23, "first round": 24, "cut off": 50, "last": 63}


@pytest.mark.parametrize("kind", ["first", "last round", pytest.param("round", marks=pytest.mark.slow),
                                  pytest.param("first round", marks=pytest.mark.slow), "last",
                                  pytest.param("cut off", marks=pytest.mark.slow)])  # fmt: skip
def test_no_cell_can_be_another(table: np.ndarray, kind: str) -> None:
    """None of 2,366, in no kind of row: not even of the permutation that is cut off."""
    assert unnoticed(AIR, table, ROWS[kind]) == []


@pytest.mark.slow
@pytest.mark.parametrize("row", ROWS.values())
def test_no_cell_can_be_any_other_element(table: np.ndarray, row: int) -> None:
    rng = np.random.default_rng(row)
    values = rng.integers(2, 2**31 - 2**24 + 1, len(table)).astype(np.uint32)
    assert unnoticed(AIR, table, row, change=lambda _: values) == []


def test_the_search_finds_a_cell_that_is_free(table: np.ndarray) -> None:
    class Loose(KeccakAir):
        """Nothing says what the parities of columns are."""

        @staticmethod
        def _theta(*_: object) -> None:
            pass

    free = unnoticed(Loose("koalabear"), table, 5)
    assert free == list(range(module._PARITY.start, module._NEW_PARITY.stop))


def test_another_iota_rho_or_order_of_rounds_is_refused(
    kernels: KernelSet, table: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    constants = list(module.KECCAK_ROUND_CONSTANTS)
    with monkeypatch.context() as patch:
        patch.setattr(module, "KECCAK_ROUND_CONSTANTS", (*constants[:7], constants[7] ^ 1 << 31, *constants[8:]))
        wrong_constant = AIR.table(states(2))
    assert broken(AIR, wrong_constant) == [(0, 7), (0, 31), (0, 55)]
    with monkeypatch.context() as patch:
        patch.setattr(module, "KECCAK_ROUND_CONSTANTS", (*constants[:7], constants[7] ^ 1 << 5, *constants[8:]))
        no_constant = AIR.table(states(2))
    assert broken(AIR, no_constant) == [(0, 7), (0, 31), (0, 55)]
    with monkeypatch.context() as patch:
        rotations = list(KECCAK_ROTATIONS)
        rotations[6], rotations[12] = rotations[12], rotations[6]
        patch.setattr(module, "KECCAK_ROTATIONS", tuple(rotations))
        wrong_rotation = AIR.table(states(2))
    # But where zeros are rotated.
    assert broken(AIR, wrong_rotation) == [(0, row) for row in range(64) if row != 48]
    # A permutation that begins in its second round; and one that ends in its last but one.
    late, early = np.roll(table, -1, axis=1), table.copy()
    early[:, 23:] = table[:, 24:25]
    for wrong in (wrong_constant, no_constant, wrong_rotation, late, early):
        assert broken(AIR, wrong)
    refused(kernels, wrong_constant)
    refused(kernels, late)


def test_a_state_does_not_change_between_two_rounds(kernels: KernelSet, table: np.ndarray) -> None:
    """Two lanes change places after round 11, and everything is right before and after."""
    middle = states(1, 2)[0]
    swapped = middle.copy()
    swapped[[3, 7]] = swapped[[7, 3]]
    first, second = AIR.table(middle[None]), AIR.table(swapped[None])
    wrong = np.concatenate([first[:, :12], second[:, 12:]], axis=1)
    assert broken(AIR, wrong) == [(0, 11)]
    refused(kernels, wrong)
    # Nor is a result another one's: that of a row that begins another permutation is bound as all others are.
    wrong = table.copy()
    wrong[module._AFTER, 23] = table[module._AFTER, 47]
    assert broken(AIR, wrong) == [(0, 23)]


def test_theta_is_of_the_true_parities(kernels: KernelSet) -> None:
    """Theta with one parity turned around: all is right but that the sum of a column is not of its parity."""

    def theta(planes: np.ndarray, turned: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        old = np.bitwise_xor.reduce(planes, axis=0)
        old[2] ^= np.uint64(turned)
        one = np.uint64(1)
        changes = np.array(
            [old[x - 1] ^ (old[(x + 1) % 5] << one | old[(x + 1) % 5] >> np.uint64(63)) for x in range(5)]
        )
        return planes ^ changes, old, old ^ changes

    start = states(1, 9)[0].reshape(5, 5)
    wrong_state, old, new = theta(start, turned=1 << 17)
    # Theta's 192nd power is the identity: what is before it is 191 times after it.
    other = wrong_state
    for _ in range(191):
        other = theta(other)[0]
    assert np.array_equal(theta(other)[0], wrong_state)
    assert not np.array_equal(other, start)
    table = AIR.table(other.reshape(1, 25))
    table[module._BEFORE, 0] = AIR.table(start.reshape(1, 25))[module._BEFORE, 0]
    for part, words in ((module._PARITY, old), (module._NEW_PARITY, new)):
        table[part, 0] = [int(words[x]) >> z & 1 for z in range(64) for x in range(5)]
    assert broken(AIR, table) == [(0, 0)]
    refused(kernels, table)


def test_a_cheat_in_one_cell_is_refused(kernels: KernelSet, table: np.ndarray) -> None:
    wrong = table.copy()
    wrong[2365, 63] = another(table[2365:, 63])[0]
    refused(kernels, wrong)


# what a call can have wrong -------------------------------------------------------------------------------------------


def test_wrong_calls_have_one_line() -> None:
    for wrong, match in (
        (lambda: KeccakAir("koalabear", 0), "0 permutations a row, expected 1 to 3"),
        (lambda: KeccakAir("koalabear", 4), "4 permutations a row, expected 1 to 3"),
        (lambda: KeccakAir("goldilocks"), "field 'goldilocks' is unknown"),
        (lambda: AIR.table(states(0)), "0 permutations, expected 1 to 174762"),
        (lambda: AIR.table(np.broadcast_to(np.uint64(0), (174_763, 25))), "174763 permutations, expected 1 to"),
    ):
        with pytest.raises(ChaindpError, match=match):
            wrong()  # type: ignore[no-untyped-call]
    assert air_named("keccak koalabear 4") is None
