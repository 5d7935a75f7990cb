"""Recognizing slips: every one that can be planted in a reference is named, and what is right is accused of nothing."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chaindp.kernels.fields import BABYBEAR
from chaindp.kernels.hashes import GOLDEN_HASHES
from chaindp.kernels.ntt import golden_transform
from chaindp.kernels.poseidon2 import golden_permutation
from chaindp.workbench.field_slips import recognize_ntt, recognize_poseidon2
from chaindp.workbench.keccak_slips import KECCAK_SLIPS, keccak_slips
from chaindp.workbench.recognize import Recognized, Sample, recognize_hash, recognize_order, recognize_tree
from chaindp.workbench.sha256_slips import SHA256_SLIPS, sha256_slips

KECCAK, SHA = keccak_slips(), sha256_slips()
P = BABYBEAR.prime

LENGTHS = (0, 1, 8, 63, 64, 135, 136, 137, 200, 300)


def samples(name: str, wrong: Callable[[bytes], bytes], lengths: tuple[int, ...] = LENGTHS) -> list[Sample]:
    rng = np.random.default_rng(7)
    messages = [rng.bytes(length) for length in lengths]
    return [Sample(message, GOLDEN_HASHES[name](message), wrong(message)) for message in messages]


def test_known_variants_are_other_standards_hashes() -> None:
    domain = KECCAK.words.index("the padding begins with 0x06, SHA3-256's, and must begin with 0x01")
    for length in LENGTHS:
        message = bytes(range(256))[:length] + bytes(max(length - 256, 0))
        assert KECCAK.digests(message, np.array([domain]))[0].tobytes() == hashlib.sha3_256(message).digest()


@pytest.mark.parametrize(("name", "slips"), [("keccak256", KECCAK), ("sha256", SHA)])
def test_every_variant_differs_from_the_right_hash(name: str, slips: object) -> None:
    message = bytes(range(150))
    digests = slips.digests(message)  # type: ignore[attr-defined]
    right = np.frombuffer(GOLDEN_HASHES[name](message), dtype=np.uint8)
    assert not (digests == right).all(axis=1).any()


@settings(max_examples=5)
@given(st.integers(0, len(KECCAK.words) - 1))
def test_every_slip_of_keccak_is_named(index: int) -> None:
    which = np.array([index])
    found = recognize_hash("keccak256", samples("keccak256", lambda m: KECCAK.digests(m, which)[0].tobytes()))
    assert found == Recognized(KECCAK.kinds[index], KECCAK.words[index])
    assert found.kind in KECCAK_SLIPS


@settings(max_examples=5)
@given(st.integers(0, len(SHA.words) - 1))
def test_every_slip_of_sha256_is_named(index: int) -> None:
    which = np.array([index])
    found = recognize_hash("sha256", samples("sha256", lambda m: SHA.digests(m, which)[0].tobytes()))
    assert found is not None
    assert found.kind == SHA.kinds[index]
    assert found.kind in SHA256_SLIPS
    # Two rotations of one sum that are the same cancel out, whichever of the two is wrong.
    if "rotates" not in found.words:
        assert found.words == SHA.words[index]


@pytest.mark.parametrize("name", ["keccak256", "sha256"])
def test_right_digests_and_garbage_are_no_slip(name: str) -> None:
    assert recognize_hash(name, samples(name, GOLDEN_HASHES[name])) is None
    assert recognize_hash(name, samples(name, lambda message: hashlib.blake2s(message).digest())) is None
    assert recognize_hash(name, []) is None


def test_a_slip_has_to_explain_the_right_results_too() -> None:
    domain = np.array([KECCAK.words.index("the padding begins with 0x81, and must begin with 0x01")])

    def wrong(message: bytes) -> bytes:
        if len(message) % 136 == 135:
            return KECCAK.digests(message, domain)[0].tobytes()
        return GOLDEN_HASHES["keccak256"](message)

    assert recognize_hash("keccak256", samples("keccak256", wrong)) is None


def swapped(data: bytes, group: int) -> bytes:
    return b"".join(data[start : start + group][::-1] for start in range(0, len(data), group))


@pytest.mark.parametrize("group", [2, 4, 8, 16, 32])
@pytest.mark.parametrize("name", ["keccak256", "sha256"])
def test_the_byte_order_of_results_is_recognized(name: str, group: int) -> None:
    digest = GOLDEN_HASHES[name]
    found = recognize_order(samples(name, lambda m: swapped(digest(m), group)), digest, 8)
    assert found is not None
    assert found.kind == "byte order reversed"
    assert ("of every result" if group == 32 else f"of every {group} bytes of a result") in found.words


@pytest.mark.parametrize("beat", [4, 8, 16, 17])
def test_the_byte_order_of_the_input_is_recognized(beat: int) -> None:
    digest = GOLDEN_HASHES["sha256"]
    lengths = (0, beat, 2 * beat, 3 * beat, 7 * beat, 5)
    found = recognize_order(samples("sha256", lambda m: digest(swapped(m, beat)), lengths), digest, beat)
    assert found is not None
    assert "of every beat of the input" in found.words
    both = samples("sha256", lambda m: swapped(digest(swapped(m, beat)), 4), lengths)
    found = recognize_order(both, digest, beat)
    assert found is not None
    assert f"within every {beat} of the input and every 4 of a result" in found.words


def test_right_results_have_no_reversed_order() -> None:
    digest = GOLDEN_HASHES["keccak256"]
    assert recognize_order(samples("keccak256", digest), digest, 8) is None


def tree(leaves: bytes, complete: Callable[[list[bytes], int], list[bytes]], swap: bool = False) -> bytes:
    """A root, where ``complete`` makes the nodes of a level's lone last one."""
    digest = GOLDEN_HASHES["keccak256"]
    level, height = [leaves[at : at + 32] for at in range(0, len(leaves), 32)], 0
    while len(level) > 1:
        pairs = zip(level[::2], level[1::2], strict=False)
        nodes = [digest(right + left if swap else left + right) for left, right in pairs]
        level = nodes + complete(level[-1:] if len(level) % 2 else [], height)
        height += 1
    return level[0]


def trees(wrong: Callable[[bytes], bytes]) -> list[Sample]:
    from chaindp.kernels import MERKLE_ROOT

    rng = np.random.default_rng(3)
    found = []
    for count in (1, 2, 3, 4, 5, 7, 8):
        leaves = rng.integers(0, 256, (count, 32), dtype=np.uint8)
        found.append(Sample(leaves.tobytes(), MERKLE_ROOT.golden(leaves).tobytes(), wrong(leaves.tobytes())))
    return found


DIGEST = GOLDEN_HASHES["keccak256"]


@pytest.mark.parametrize(
    ("complete", "words"),
    [
        (lambda lone, height: [DIGEST(node + node) for node in lone], "is paired with itself"),
        (lambda lone, height: lone, "moves up as it is"),
        (lambda lone, height: [DIGEST(node + bytes(32)) for node in lone], "32 zero bytes, whatever its height"),
    ],
)
def test_other_rules_of_trees_are_named(complete: Callable[[list[bytes], int], list[bytes]], words: str) -> None:
    found = recognize_tree("keccak256", trees(lambda leaves: tree(leaves, complete)))
    assert found is not None
    assert found.kind == "wrong padding of an odd level"
    assert words in found.words


def test_swapped_children_and_wrong_hashes_of_trees_are_named() -> None:
    def zero(lone: list[bytes], height: int) -> list[bytes]:
        root = bytes(32)
        for _ in range(height):
            root = DIGEST(root + root)
        return [DIGEST(root + node) for node in lone]

    found = recognize_tree("keccak256", trees(lambda leaves: tree(leaves, zero, swap=True)))
    assert found is not None
    assert found.kind == "children swapped"
    sha3 = trees(lambda leaves: hashlib.sha3_256(leaves).digest() if len(leaves) == 64 else bytes(32))
    found = recognize_tree("keccak256", sha3)
    assert found is not None
    assert "SHA3-256's" in found.words


elements = st.lists(st.integers(0, P - 1), min_size=16, max_size=16)


def poseidon2(values: list[int]) -> list[int]:
    return golden_permutation(values)


def ntt(values: list[int]) -> list[int]:
    return golden_transform(values, BABYBEAR.root_of_unity(len(values).bit_length() - 1), P)


def reversed_bits(values: list[int]) -> list[int]:
    return [values[int(f"{index:04b}"[::-1], 2)] for index in range(16)]


R = pow(2, 32, P)

FORMS = [
    (lambda values, f: [value * R % P for value in f(values)], "results are in Montgomery form, R = 2^32"),
    (lambda values, f: [value * pow(R, -1, P) % P for value in f(values)], "results are divided by R = 2^32"),
    (lambda values, f: f([value * R % P for value in values]), "the input is converted to Montgomery form, R = 2^32"),
    (lambda values, f: [value + P if value % 3 == 0 else value for value in f(values)], "not all below it"),
]


@settings(max_examples=5)
@given(st.lists(elements, min_size=3, max_size=3, unique_by=tuple))
@pytest.mark.parametrize(("form", "words"), FORMS)
def test_forms_of_field_elements_are_named(form: Callable[..., list[int]], words: str, states: list[list[int]]) -> None:
    for kernel, recognize in ((poseidon2, recognize_poseidon2), (ntt, recognize_ntt)):
        pairs = [(state, form(state, kernel)) for state in states]
        if all(got == kernel(state) for state, got in pairs):
            continue  # nothing among the results that the form changes
        found = recognize(pairs, "babybear")
        assert found is not None
        # A transform is linear: a factor on the way in is the same one on the way out.
        assert words in found[1] or (recognize is recognize_ntt and found[0] == "Montgomery form")


def test_slips_of_transforms_are_named() -> None:
    rng = np.random.default_rng(5)
    rows = [rng.integers(0, P, 16).tolist() for _ in range(3)]
    inverse_root = pow(BABYBEAR.root_of_unity(4), -1, P)

    def found(wrong: Callable[[list[int]], list[int]]) -> str:
        named = recognize_ntt([(row, wrong(row)) for row in rows], "babybear")
        assert named is not None
        return named[1]

    assert "bit-reversed order" in found(lambda row: reversed_bits(ntt(row)))
    assert "the input is taken in bit-reversed order" in found(lambda row: ntt(reversed_bits(row)))
    assert "the inverse transform, without" in found(lambda row: golden_transform(row, inverse_root, P))
    assert "divided by n" in found(lambda row: [value * pow(16, -1, P) % P for value in ntt(row)])
    assert recognize_ntt([(row, row) for row in rows], "babybear") is None
    assert recognize_poseidon2([(row, row) for row in rows], "babybear") is None


def test_a_wrong_round_constant_of_poseidon2_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from dataclasses import replace

    from chaindp.kernels import poseidon2 as module

    right = module.round_constants("babybear")
    internal = list(right.internal)
    internal[5] ^= 1 << 9
    states = [np.random.default_rng(seed).integers(0, P, 16).tolist() for seed in range(3)]
    with monkeypatch.context() as patched:
        patched.setattr(module, "round_constants", lambda name: replace(right, internal=tuple(internal)))
        pairs = [(state, golden_permutation(state)) for state in states]
    found = recognize_poseidon2(pairs, "babybear")
    assert found == (
        "wrong round constant",
        f"the constant of round 9, element 0 is {internal[5]}, and must be {right.internal[5]}",
    )
