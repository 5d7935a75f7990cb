"""The conformance of the binary Merkle tree: ``merkle_tree``, ``merkle_root``, ``merkle_update``, ``merkle_open``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import numpy as np
from hypothesis import strategies as st

from chaindp.errors import InputError
from chaindp.kernels import MERKLE_TREE, Args, verify_path
from chaindp.kernels.merkle import node_count
from chaindp.measure.outputs import reference_of
from chaindp.testing.cases import Case, spoilt
from chaindp.testing.kernel import KernelConformance
from chaindp.testing.offences import Fault
from chaindp.testing.subject import Kernel, Subject, close, open_subject

__all__ = ["MerkleOpenConformance", "MerkleRootConformance", "MerkleTreeConformance", "MerkleUpdateConformance"]


def _digests(rng: np.random.Generator, count: int) -> np.ndarray:
    return rng.integers(0, 256, (count, 32), dtype=np.uint8)


def _indices(*values: int) -> np.ndarray:
    return np.array(values, dtype=np.int64)


class _TreeConformance(KernelConformance):
    """hash_names: the hashes that trees are built with; the contract has both.

    counts:  leaf counts of the edge cases: none, one, full trees, and trees whose levels are odd in every place
    """

    hash_names: ClassVar[tuple[str, ...]] = ("keccak256", "sha256")
    counts: ClassVar[tuple[int, ...]] = (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 15, 17, 31, 33)
    largest = 1 << 21

    def arguments(self) -> st.SearchStrategy[Args]:
        """The generator's input at every small size, under either hash."""
        return st.builds(
            lambda size, seed, name: (*self.spec.generate(np.random.default_rng(seed), size)[:-1], name),
            st.integers(0, 40),
            st.integers(0, 2**32 - 1),
            st.sampled_from(self.hash_names),
        )

    def _unknown_hashes(self, args: Args) -> Iterator[Case]:
        for name in ("md5", "", "KECCAK256"):
            yield Case(f"the hash {name!r}", (*args[:-1], name))


class MerkleTreeConformance(_TreeConformance):
    """``merkle_tree``: leaves u8[N,32] and a hash to all levels, root last."""

    kernel = "merkle_tree"

    def edge_cases(self) -> Iterator[Case]:
        """Every small shape of a tree under either hash, and leaves that are zero like the padding."""
        for name in self.hash_names:
            for count in self.counts:
                yield Case(f"{count} leaves under {name}", (_digests(self.rng(count), count), name))
            for count in (1, 3, 6):
                yield Case(f"{count} zero leaves under {name}", (np.zeros((count, 32), dtype=np.uint8), name))

    def bad_arguments(self) -> Iterator[Case]:
        """Wrong types, dtypes and shapes, and hashes that there are none of."""
        args = self.some(3)
        yield from spoilt(self.spec, args)
        yield from self._unknown_hashes(args)


class MerkleRootConformance(MerkleTreeConformance):
    """``merkle_root``: leaves u8[N,32] and a hash to the root alone.

    Large trees are compared with the last node of another backend's ``merkle_tree``.
    """

    kernel = "merkle_root"

    _trees: ClassVar[Subject | None]

    @classmethod
    def setup_class(cls) -> None:
        """Open the backend, and the one whose trees its roots are compared with."""
        super().setup_class()
        name = reference_of(cls.subject.backend.label) or "cpu"
        registry = cls.plugins()
        known = name.partition(":")[0] in registry.backends
        cls._trees = (
            open_subject(registry, name, cls.threads)
            if known and registry.backend_spec(name)[0].supports(MERKLE_TREE.name)
            else None
        )
        if cls._trees is not None:
            cls._trees.backend.warm_up([MERKLE_TREE.name])

    @classmethod
    def teardown_class(cls) -> None:
        """Close both."""
        super().teardown_class()
        if cls._trees is not None:
            close(cls._trees)

    def expected(self, args: Args) -> tuple[Any, str]:
        """The root of a tree that may be too large for the golden reference, and who says so."""
        if self._trees is None:
            return super().expected(args)
        return self._root(self._trees.kernel(MERKLE_TREE), args), f"the last node of {self._trees.selector}'s tree"

    def right(self, args: Args) -> Any:
        """The right root, of the same reference as ``expected``; None where that refuses the arguments."""
        if self._trees is None:
            return super().right(args)
        trees = self._trees.kernel(MERKLE_TREE)
        try:
            return trees.snapshot(trees.raw(args))[-1].copy()
        except InputError:
            return None

    def _root(self, trees: Kernel, args: Args) -> np.ndarray:
        return trees.run(args).output[-1].copy()  # type: ignore[no-any-return]

    def test_large_batches(self, record_property: Callable[[str, object], None]) -> None:
        """As for every kernel; what is counted as compared is roots, and not their bytes."""

        def record(name: str, value: object) -> None:
            record_property(name, value // 32 if name == "compared" and isinstance(value, int) else value)

        super().test_large_batches(record)


class MerkleUpdateConformance(_TreeConformance):
    """``merkle_update``: a tree, indices and new leaves to the positions and digests of what changes."""

    kernel = "merkle_update"

    def _update(self, count: int, indices: np.ndarray, name: str) -> Args:
        rng = self.rng(count, 1)
        return _digests(rng, node_count(count)), count, indices, _digests(rng, len(indices)), name

    def edge_cases(self) -> Iterator[Case]:
        """No change, one leaf, every leaf, every other one, neighbours that share a parent and that do not."""
        for name in self.hash_names:
            for count in self.counts:
                yield Case(f"no change of {count} leaves under {name}", self._update(count, _indices(), name))
                if count:
                    every = np.arange(count, dtype=np.int64)
                    for what, indices in (("all", every), ("the last", every[-1:]), ("every other", every[::2].copy())):
                        yield Case(f"{what} of {count} leaves under {name}", self._update(count, indices, name))
            for pair in ((0, 1), (1, 2), (6, 8)):
                yield Case(f"leaves {pair[0]} and {pair[1]} of 9 under {name}", self._update(9, _indices(*pair), name))

    def bad_arguments(self) -> Iterator[Case]:
        """Wrong types, dtypes and shapes; indices out of order or range; a tree of another size."""
        nodes, count, indices, leaves, name = args = self._update(5, _indices(1, 3), "keccak256")
        yield from spoilt(self.spec, args)
        yield from self._unknown_hashes(args)
        for what, wrong in (
            ("indices that fall", _indices(3, 1)),
            ("an index twice", _indices(1, 1)),
            ("an index below 0", _indices(-1, 3)),
            ("an index past the last leaf", _indices(1, 5)),
            ("an index far past the last leaf", _indices(1, 1 << 62)),
            ("more indices than leaves", _indices(1, 2, 3)),
        ):
            yield Case(what, (nodes, count, wrong, leaves, name))
        yield Case("a node too few", (nodes[:-1], count, indices, leaves, name))
        yield from _bad_counts(args)

    def bulk(self, rng: np.random.Generator, size: int) -> Args:
        """Half of the leaves change, so that most of the tree does."""
        indices = np.flatnonzero(rng.integers(0, 2, size, dtype=np.uint8)).astype(np.int64)
        return _digests(rng, node_count(size)), size, indices, _digests(rng, len(indices)), "keccak256"

    def altered(self, args: Args, rng: np.random.Generator) -> Args | None:
        """The same indices of the same tree with other new leaves."""
        nodes, count, indices, leaves, name = args
        return nodes, count, indices, _digests(rng, len(leaves)), name


class MerkleOpenConformance(_TreeConformance):
    """``merkle_open``: a tree and indices to sibling paths, which the independent verifier accepts or not."""

    kernel = "merkle_open"

    def _opening(self, count: int, indices: np.ndarray, name: str) -> Args:
        return _digests(self.rng(count, 1), node_count(count)), count, indices, name

    def edge_cases(self) -> Iterator[Case]:
        """No opening, every leaf forwards and backwards, the same leaf twice, in every small shape of a tree."""
        for name in self.hash_names:
            for count in self.counts:
                yield Case(f"no opening of {count} leaves under {name}", self._opening(count, _indices(), name))
                if count:
                    every = np.arange(count, dtype=np.int64)
                    yield Case(f"all of {count} leaves under {name}", self._opening(count, every, name))
                    yield Case(f"{count} leaves, last first, under {name}", self._opening(count, every[::-1], name))
                    last = every[-1:].repeat(3)
                    yield Case(
                        f"leaf {count - 1} of {count} three times under {name}", self._opening(count, last, name)
                    )

    def bad_arguments(self) -> Iterator[Case]:
        """Wrong types, dtypes and shapes; indices out of range; a tree of another size."""
        nodes, count, indices, name = args = self._opening(5, _indices(1, 3), "keccak256")
        yield from spoilt(self.spec, args)
        yield from self._unknown_hashes(args)
        for what, wrong in (
            ("an index below 0", _indices(1, -1)),
            ("an index past the last leaf", _indices(5, 1)),
            ("an index far past the last leaf", _indices(1, 1 << 62)),
        ):
            yield Case(what, (nodes, count, wrong, name))
        yield Case("a node too many", (np.concatenate([nodes, nodes[:1]]), count, indices, name))
        yield from _bad_counts(args)

    def bulk(self, rng: np.random.Generator, size: int) -> Args:
        """Small batches open deep trees; large ones a tree of eight leaves, whose paths a million fit into memory."""
        count = size if size <= 1 << 15 else 8
        return _digests(rng, node_count(count)), count, rng.integers(0, count, size, dtype=np.int64), "keccak256"

    def test_openings_hold_and_tampered_ones_do_not(self) -> None:
        """The verifier accepts every opening, and none of another index, sibling, leaf or root."""
        for name in self.hash_names:
            for count in (1, 2, 5, 8, 13):
                leaves = _digests(self.rng(count, 2), count)
                nodes = MERKLE_TREE.golden(leaves, name)
                every = np.arange(count, dtype=np.int64)
                paths = self.tested.run((nodes, count, every, name)).output
                for index in {0, count // 2, count - 1}:
                    path = paths[index] if isinstance(paths, np.ndarray) and paths.ndim == 3 else None
                    self._holds(nodes[-1].tobytes(), leaves[index].tobytes(), index, path, name, count)

    def _holds(self, root: bytes, leaf: bytes, index: int, path: Any, name: str, count: int) -> None:
        where = f"leaf {index} of {count} under {name}"
        if path is None or not verify_path(root, leaf, index, path, name):
            raise self.tested.offence(Fault.TAMPERED, f"{where}: the verifier does not accept the path")
        tampered = [
            ("another leaf", root, _flipped(leaf), index, path),
            ("another root", _flipped(root), leaf, index, path),
            ("an index outside the tree", root, leaf, index + (1 << len(path)), path),
            ("a negative index", root, leaf, index - (1 << len(path)), path),
        ]
        for level in range(len(path)):
            spoilt_path = path.copy()
            spoilt_path[level, level % 32] ^= 1
            tampered.append((f"another sibling at level {level}", root, leaf, index, spoilt_path))
            tampered.append((f"another index at level {level}", root, leaf, index ^ (1 << level), path))
        if len(path):
            tampered.append(("a sibling less", root, leaf, index, path[:-1]))
            tampered.append(("a sibling more", root, leaf, index, np.concatenate([path, path[:1]])))
        for what, other_root, other_leaf, other_index, other_path in tampered:
            if verify_path(other_root, other_leaf, other_index, other_path, name):
                raise self.tested.offence(Fault.TAMPERED, f"{where}: the verifier accepts the path with {what}")


def _flipped(digest: bytes) -> bytes:
    return bytes([digest[0] ^ 1]) + digest[1:]


def _bad_counts(args: Args) -> Iterator[Case]:
    nodes, count, *rest = args
    for what, wrong in (
        ("a leaf count that is another tree's", count + 1),
        ("a negative leaf count", -1),
        ("an absurd leaf count", 1 << 62),
        ("a leaf count that is no integer", 5.0),
    ):
        yield Case(what, (nodes, wrong, *rest))
