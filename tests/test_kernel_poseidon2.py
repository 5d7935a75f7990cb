"""``poseidon2`` and ``merkle_root``: the golden references, the published figures, and the conformance classes."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chaindp.backend import Backend
from chaindp.errors import CapabilityError, InputError, PluginError
from chaindp.kernels import MERKLE_ROOT, MERKLE_TREE, POSEIDON2
from chaindp.kernels.fields import BABYBEAR
from chaindp.kernels.kernelset import KernelSet
from chaindp.kernels.poseidon2 import INSTANCES, WIDTH, golden_permutation, round_constants
from chaindp.plugins import Registry
from chaindp.testing.offences import Fault
from chaindp.testing.session import run_suite
from field_backends import installed

P = BABYBEAR.prime

# Plonky3, p3-baby-bear 0.8.0: computed with default_babybear_poseidon2_16 on random states.
RANDOM = (
    (
        (
            "1347398602 683348498 1096067025 1271206208 458924794 1747600419 294409887 1870185563 "
            "1174647286 1326103724 1870121759 710756408 920810313 358071351 801088857 1487067886"
        ),
        (
            "1614089328 879631979 1778031510 1466891150 838551593 488505820 377268806 474550939 "
            "1348238673 523775567 1360505399 917141135 1025963569 1561524553 1651280387 1283003566"
        ),
    ),
    (
        (
            "2010035082 159453423 1512659276 1581377401 997129111 1357374248 1716815609 87957247 "
            "581564701 1232053644 1137785662 254990244 585879396 821001058 568942617 1987081966"
        ),
        (
            "82082776 309672705 1578309774 188791516 267654498 1511895157 570929022 753213435 "
            "1548187178 1953784458 1661525748 1177156329 176557313 420880364 262742828 1442090818"
        ),
    ),
    (
        (
            "1550325035 1076856496 537118196 544802822 857495570 1184339868 294734204 1034480911 "
            "1030394953 1222301627 856480739 42895718 1909823291 317918624 556315672 187424976"
        ),
        (
            "626162923 815335179 578058332 337493805 1230803656 1868476061 893510763 1057754577 "
            "377591560 342027394 1742032586 1517518319 1533857570 288988837 1494163609 217956945"
        ),
    ),
)


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    with installed(tmp_path_factory.mktemp("site")) as found:
        yield found


@pytest.fixture
def independent(registry: Registry) -> Iterator[Backend]:
    backend = registry.open_backend("fields")
    yield backend
    backend.close()


def test_the_constants_are_the_published_ones() -> None:
    # Plonky3, p3-baby-bear 0.8.0: BABYBEAR_POSEIDON2_RC_16_EXTERNAL_INITIAL, _INTERNAL and _EXTERNAL_FINAL.
    constants = round_constants("babybear")
    assert constants.first[0][:4] == (0x69CBB6AF, 0x46AD93F9, 0x60A00F4E, 0x6B1297CD)
    assert constants.first[3][15] == 0x1E36EA47
    assert constants.internal == (
        *(0x5A8053C0, 0x693BE639, 0x3858867D, 0x19334F6B, 0x128F0FD8, 0x4E2B1CCB, 0x61210CE0, 0x3C318939),
        *(0x0B5B2F22, 0x2EDB11D5, 0x213EFFDF, 0x0CAC4606, 0x241AF16D),
    )
    assert constants.last[0][:2] == (0x7290A80D, 0x6F7E5329)
    assert constants.last[3][13:] == (0x644D987B, 0x3C8BCD87, 0x608758B8)
    assert [len(part) for part in (constants.first, constants.internal, constants.last)] == [4, 13, 4]


@pytest.mark.parametrize(("state", "permuted"), RANDOM)
def test_golden_meets_plonky3_on_random_states(state: str, permuted: str) -> None:
    assert golden_permutation([int(word) for word in state.split()]) == [int(word) for word in permuted.split()]


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, P - 1), min_size=WIDTH, max_size=WIDTH))
def test_golden_permutation_can_be_undone(state: list[int]) -> None:
    assert undone(golden_permutation(state)) == state


def undone(state: list[int]) -> list[int]:
    """The inverse permutation, by matrices and the inverse of the S-box."""
    root = pow(7, -1, P - 1)
    circulant = [[2, 3, 1, 1], [1, 2, 3, 1], [1, 1, 2, 3], [3, 1, 1, 2]]
    external = [[circulant[i % 4][j % 4] * (2 if i // 4 == j // 4 else 1) for j in range(16)] for i in range(16)]
    diagonal = INSTANCES["babybear"].diagonal_elements()
    internal = [[(1 + (diagonal[i] if i == j else 0)) % P for j in range(16)] for i in range(16)]
    external, internal = inverse(external), inverse(internal)
    constants = round_constants("babybear")

    def outer(state: list[int], rounds: Any) -> list[int]:
        for row in reversed(rounds):
            state = applied(external, state)
            state = [(pow(value, root, P) - added) % P for value, added in zip(state, row, strict=True)]
        return state

    state = outer(state, constants.last)
    for added in reversed(constants.internal):
        state = applied(internal, state)
        state[0] = (pow(state[0], root, P) - added) % P
    return applied(external, outer(state, constants.first))


def applied(matrix: list[list[int]], state: list[int]) -> list[int]:
    return [sum(a * b for a, b in zip(row, state, strict=True)) % P for row in matrix]


def inverse(matrix: list[list[int]]) -> list[list[int]]:
    """Gauss and Jordan's; the pivots of these matrices need no exchange of rows."""
    size = len(matrix)
    rows = [[*row, *(int(i == j) for j in range(size))] for i, row in enumerate(matrix)]
    for column in range(size):
        factor = pow(rows[column][column], -1, P)
        rows[column] = [value * factor % P for value in rows[column]]
        for i in range(size):
            if i != column and rows[i][column]:
                times = rows[i][column]
                rows[i] = [(a - times * b) % P for a, b in zip(rows[i], rows[column], strict=True)]
    return [row[size:] for row in rows]


def test_the_s_box_is_a_permutation() -> None:
    assert math.gcd(INSTANCES["babybear"].exponent, P - 1) == 1


def test_golden_equals_an_implementation_that_shares_no_code(independent: Backend) -> None:
    args = POSEIDON2.generate(np.random.default_rng(1), 100)
    assert POSEIDON2.mismatches(independent.kernel("poseidon2")(*args), POSEIDON2.golden(*args)) == 0
    for count in (0, 1, 2, 3, 5, 6, 7, 8, 11, 17):
        args = MERKLE_ROOT.generate(np.random.default_rng(count), count)
        for hash_name in ("keccak256", "sha256"):
            root = independent.kernel("merkle_root")(args[0], hash_name)
            assert MERKLE_ROOT.mismatches(root, MERKLE_ROOT.golden(args[0], hash_name)) == 0
            assert np.array_equal(root, MERKLE_TREE.golden(args[0], hash_name)[-1])


def test_units_and_generator() -> None:
    states, field = POSEIDON2.generate(np.random.default_rng(1), 5000)
    assert (states.shape, states.dtype, field) == ((5000, 16), np.uint32, "babybear")
    assert states.max() < P
    # Not a power of two's worth of bits: the upper part of the field is drawn, too.
    assert states.max() > P - (1 << 20)
    assert POSEIDON2.units(states, field) == 5000
    assert [MERKLE_ROOT.units(np.zeros((count, 32), np.uint8)) for count in (0, 1, 2, 3, 8)] == [0, 0, 1, 3, 7]


STATE = np.zeros((2, 16), dtype=np.uint32)


def at(place: tuple[int, int], value: int) -> np.ndarray:
    states = STATE.copy()
    states[place] = value
    return states


@pytest.mark.parametrize(
    ("args", "says"),
    [
        ((STATE[:, :15],), "states has shape [2, 15], expected [N,16]"),
        ((STATE.astype(np.uint64),), "states has dtype uint64, expected uint32"),
        ((STATE.tolist(),), "states is list, expected a numpy array of uint32"),
        ((at((1, 2), P),), "states holds 2013265921 at [1,2], which is not below babybear's 2013265921"),
        ((at((0, 0), 2**32 - 1),), "states holds 4294967295 at [0,0]"),
        ((STATE, "BabyBear"), "field 'BabyBear' is unknown, expected one of babybear, koalabear"),
        ((STATE, ["babybear"]), "field ['babybear'] is unknown"),
    ],
)
def test_bad_arguments_get_one_clear_line(args: Any, says: str) -> None:
    with pytest.raises(InputError) as error:
        POSEIDON2.golden(*args)
    assert says in str(error.value)
    assert "\n" not in str(error.value)


def test_the_kernel_set_hands_states_on_and_looks_at_what_comes_back(independent: Backend) -> None:
    kernels = KernelSet(independent, frozenset({"poseidon2", "merkle_root"}))
    args = POSEIDON2.generate(np.random.default_rng(1), 3)
    assert POSEIDON2.mismatches(kernels.poseidon2(*args), POSEIDON2.golden(*args)) == 0
    leaves = MERKLE_ROOT.generate(np.random.default_rng(1), 5)[0]
    assert MERKLE_ROOT.mismatches(kernels.merkle_root(leaves, "sha256"), MERKLE_ROOT.golden(leaves, "sha256")) == 0
    assert [call.kernel for call in kernels.take_calls()] == ["poseidon2", "merkle_root"]
    independent.merkle_root = lambda leaves, name: np.zeros((1, 32), np.uint8)  # type: ignore[attr-defined]
    with pytest.raises(PluginError, match=r"merkle_root returned uint8\[1, 32\] and not uint8\[32\]"):
        kernels.merkle_root(leaves)
    with pytest.raises(CapabilityError, match="does not implement poseidon2"):
        KernelSet(independent, frozenset({"keccak256"})).poseidon2(*args)


def test_a_root_is_composed_of_the_backends_own_tree() -> None:
    class Trees(Backend):
        def merkle_tree(self, leaves: np.ndarray, hash_name: str) -> np.ndarray:
            return MERKLE_TREE.golden(leaves, hash_name)  # type: ignore[no-any-return]

    from chaindp.backend import BackendOptions

    kernels = KernelSet(Trees("trees", BackendOptions()), frozenset({"keccak256", "merkle_tree"}))
    leaves = MERKLE_ROOT.generate(np.random.default_rng(1), 9)[0]
    assert MERKLE_ROOT.mismatches(kernels.merkle_root(leaves), MERKLE_ROOT.golden(leaves)) == 0
    assert [call.kernel for call in kernels.take_calls()] == ["merkle_tree"]


QUICK = "vectors or edge_cases or random or layouts or bad_arguments or changed_contents_change_the"


@pytest.mark.parametrize("kernel", ["poseidon2", "merkle_root"])
@pytest.mark.parametrize(("only", "tests"), [(QUICK, 6), pytest.param("", 13, marks=pytest.mark.slow)])
def test_a_right_backend_passes(registry: Registry, kernel: str, only: str, tests: int) -> None:
    result = run_suite(registry, "fields", [kernel], budget_s=0.3, only=only)
    assert result.holds, [failure.reason for failure in result.failures]
    assert result.tallies[kernel].passed >= tests
    assert only or result.compared[kernel] > 0


@pytest.mark.slow
def test_roots_of_large_trees_are_counted_as_roots(registry: Registry) -> None:
    result = run_suite(registry, "fields", ["merkle_root"], budget_s=1, only="large_batches")
    assert result.holds
    # One a batch, from 64 leaves on, eightfold: not 32 a batch.
    assert 1 <= result.compared["merkle_root"] <= 20


@pytest.mark.parametrize(
    ("backend", "kernel", "test", "fault"),
    [
        ("fields_width", "poseidon2", "bad_arguments", Fault.TAKES_BAD),
        ("fields_coerces", "poseidon2", "bad_arguments", Fault.TAKES_BAD),
        ("fields_canonical", "poseidon2", "edge_cases", Fault.WRONG),
        ("fields_odd", "merkle_root", "edge_cases", Fault.WRONG),
    ],
)
def test_what_is_wrong_is_found(registry: Registry, backend: str, kernel: str, test: str, fault: Fault) -> None:
    result = run_suite(registry, backend, [kernel], budget_s=0.3, only=test)
    assert [failure for failure in result.failures if f"kernel {kernel}: {fault.value}" in failure.reason], (
        result.failures
    )
