"""Trees and tries of the CPU backend against the golden references and each other, on both devices."""

from __future__ import annotations

import functools
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chaindp.backend import Backend, BackendOptions
from chaindp.errors import InputError
from chaindp.kernels import MERKLE_OPEN, MERKLE_TREE, MERKLE_UPDATE, TRIE_HASH, KernelSpec, verify_path
from chaindp_cpu import SCALAR, chaindp_backends

SPEC = chaindp_backends()[0]
HASHES = ["keccak256", "sha256"]


@pytest.fixture(
    scope="module", params=[("", 1), ("", 2), ("", 3), (SCALAR, 1)], ids=lambda p: f"{p[0] or 'vector'}-{p[1]}"
)
def backend(request: pytest.FixtureRequest) -> Iterator[Backend]:
    device, threads = request.param
    opened = SPEC.factory(BackendOptions(device=device, threads=threads))
    yield opened
    opened.close()


def random_leaves(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, 32), dtype=np.uint8)


@functools.cache
def golden_tree(count: int, hash_name: str) -> np.ndarray:
    """Computed once for all devices: plain Python takes its time."""
    return MERKLE_TREE.golden(random_leaves(count, count), hash_name)  # type: ignore[no-any-return]


def naive_tree(backend: Backend, leaves: np.ndarray, hash_name: str) -> np.ndarray:
    """The whole padded tree, level by level, through the backend's plain hash: checked elsewhere against libraries."""
    size = 1 << max(len(leaves) - 1, 0).bit_length()
    level = np.zeros((size, 32), dtype=np.uint8)
    level[: len(leaves)] = leaves
    kept = max(len(leaves), 1)
    nodes = [level[:kept]]
    while len(level) > 1:
        level = backend.kernel(hash_name)(level.reshape(-1), np.arange(len(level) // 2 + 1, dtype=np.int64) * 64)
        kept = (kept + 1) // 2
        nodes.append(level[:kept])
    return np.concatenate(nodes)


@pytest.mark.parametrize("hash_name", HASHES)
def test_small_trees_equal_golden(backend: Backend, hash_name: str) -> None:
    for count in range(71):
        leaves = random_leaves(count, count)
        got = backend.kernel("merkle_tree")(leaves, hash_name)
        assert MERKLE_TREE.mismatches(got, golden_tree(count, hash_name)) == 0, count


@pytest.mark.parametrize("hash_name", HASHES)
@pytest.mark.parametrize("count", [2047, 2048, 2049, 4096, 4097, 6143, 10_001, 40_000, 300_003])
def test_trees_of_many_subtrees(backend: Backend, hash_name: str, count: int) -> None:
    leaves = random_leaves(count, count)
    assert np.array_equal(backend.kernel("merkle_tree")(leaves, hash_name), naive_tree(backend, leaves, hash_name))


@pytest.mark.parametrize("spec", [MERKLE_UPDATE, MERKLE_OPEN, TRIE_HASH], ids=lambda spec: spec.name)
def test_generated_cases_equal_golden(backend: Backend, spec: KernelSpec) -> None:
    for size in [0, 1, 2, 3, 4, 5, 8, 16, 17, 18, 31, 64, 100]:
        args = spec.generate(np.random.default_rng(size), size)
        for arg in args:
            if isinstance(arg, np.ndarray):
                arg.flags.writeable = False
        assert spec.mismatches(backend.kernel(spec.name)(*args), spec.golden(*args)) == 0, size


@pytest.mark.parametrize("hash_name", HASHES)
@settings(max_examples=40, deadline=None)
@given(data=st.data(), count=st.integers(1, 200))
def test_update_equals_rebuilding(backend: Backend, hash_name: str, data: st.DataObject, count: int) -> None:
    chosen = data.draw(st.sets(st.integers(0, count - 1)))
    indices = np.array(sorted(chosen), dtype=np.int64)
    leaves = random_leaves(count, count)
    nodes = backend.kernel("merkle_tree")(leaves, hash_name)
    changed = random_leaves(len(indices), 1000 + count)
    positions, digests = backend.kernel("merkle_update")(nodes, count, indices, changed, hash_name)
    leaves[indices] = changed
    rebuilt = backend.kernel("merkle_tree")(leaves, hash_name)
    assert positions.dtype == np.int64
    assert (np.diff(positions) > 0).all()
    nodes = nodes.copy()
    nodes[positions] = digests
    assert np.array_equal(nodes, rebuilt)


@pytest.mark.parametrize("hash_name", HASHES)
def test_large_update_equals_rebuilding(backend: Backend, hash_name: str) -> None:
    count = 50_001
    leaves = random_leaves(count)
    nodes = backend.kernel("merkle_tree")(leaves, hash_name)
    indices = np.flatnonzero(np.random.default_rng(1).integers(0, 3, count) == 0).astype(np.int64)
    changed = random_leaves(len(indices), 5)
    positions, digests = backend.kernel("merkle_update")(nodes, count, indices, changed, hash_name)
    leaves[indices] = changed
    nodes = nodes.copy()
    nodes[positions] = digests
    assert np.array_equal(nodes, backend.kernel("merkle_tree")(leaves, hash_name))


@pytest.mark.parametrize("hash_name", HASHES)
@pytest.mark.parametrize("count", [1, 2, 3, 13, 2049])
def test_opened_paths_verify_and_tampered_ones_do_not(backend: Backend, hash_name: str, count: int) -> None:
    leaves = random_leaves(count)
    nodes = backend.kernel("merkle_tree")(leaves, hash_name)
    indices = np.unique(np.array([count - 1, 0, count // 2, count // 3]))[::-1].copy()
    siblings = backend.kernel("merkle_open")(nodes, count, indices, hash_name)
    assert siblings.shape == (len(indices), max(count - 1, 0).bit_length(), 32)
    root = nodes[-1].tobytes()
    for row, index in enumerate(indices.tolist()):
        assert verify_path(root, leaves[index].tobytes(), index, siblings[row], hash_name)
        assert not verify_path(
            root, leaves[index - 1].tobytes() if count > 1 else bytes(32), index, siblings[row], hash_name
        )
        if siblings.shape[1]:
            tampered = siblings[row].copy()
            tampered[-1, 31] ^= 1
            assert not verify_path(root, leaves[index].tobytes(), index, tampered, hash_name)


def test_large_trie_equals_the_scalar_device(backend: Backend) -> None:
    args = TRIE_HASH.generate(np.random.default_rng(3), 20_000)
    before = args[0].copy()
    scalar = SPEC.factory(BackendOptions(device=SCALAR))
    assert np.array_equal(backend.kernel("trie_hash")(*args), scalar.kernel("trie_hash")(*args))
    assert np.array_equal(args[0], before)


def test_transposed_and_strided_leaves(backend: Backend) -> None:
    wide = random_leaves(64)
    strided = wide[::3]
    assert np.array_equal(backend.kernel("merkle_tree")(strided), backend.kernel("merkle_tree")(strided.copy()))
    odd = np.frombuffer(b"x" + wide.tobytes(), dtype=np.uint8)[1:].reshape(64, 32)
    assert np.array_equal(backend.kernel("merkle_tree")(odd), backend.kernel("merkle_tree")(wide))


def test_bad_input_is_one_line_not_a_crash(backend: Backend) -> None:
    nodes = backend.kernel("merkle_tree")(random_leaves(3))
    encodings = np.zeros(80, dtype=np.uint8)
    offsets, levels = np.array([0, 40, 80]), np.array([0, 1, 2])
    for name, args in (
        ("merkle_tree", (random_leaves(3)[:, :31],)),
        ("merkle_tree", (random_leaves(3), "md5")),
        ("merkle_open", (nodes, 4, np.array([0]))),
        ("merkle_open", (nodes, 3, np.array([3]))),
        ("merkle_open", (nodes, 3, np.array([-1]))),
        ("merkle_update", (nodes, 3, np.array([1, 0]), nodes[:2])),
        ("merkle_update", (nodes, 3, np.array([0, 1 << 60]), nodes[:2])),
        ("merkle_update", (nodes, 3, np.array([0]), nodes[:2])),
        ("trie_hash", (encodings, offsets, levels, np.array([49]), np.array([0]))),
        ("trie_hash", (encodings, offsets, levels, np.array([45]), np.array([1]))),
        ("trie_hash", (encodings, offsets, np.array([0, 3]), np.array([45]), np.array([0]))),
    ):
        with pytest.raises(InputError) as error:
            backend.kernel(name)(*args)
        assert "\n" not in str(error.value)
