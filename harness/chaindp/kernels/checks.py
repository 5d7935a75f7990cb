"""Validation of kernel arguments, shared by every backend: cheap whole-array checks, one clear line on failure.

A check returns its array C-contiguous and aligned (the same object where it already is), so a kernel may rely on the
plain memory layout afterwards.
"""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from chaindp.errors import InputError

__all__ = [
    "array",
    "count",
    "form",
    "hash_name",
    "indices",
    "level_bounds",
    "message_offsets",
    "ragged",
    "signatures",
    "splices",
    "tree",
    "tree_leaves",
]

HASH_NAMES = ("keccak256", "sha256")

_PART = 1 << 14


def array(value: Any, name: str, dtype: type[np.generic], shape: tuple[int | None, ...]) -> np.ndarray:
    """``value`` as a plain array, if it has ``dtype`` and ``shape`` (None stands for any length); else InputError."""
    if not isinstance(value, np.ndarray):
        raise InputError(f"{name} is {type(value).__name__}, expected a numpy array of {np.dtype(dtype)}")
    form(value.dtype, value.shape, name, dtype, shape)
    flags = value.flags
    if flags.c_contiguous and flags.aligned:
        return value
    return np.require(value, requirements=("C", "A"))


def form(
    actual: np.dtype, lengths: tuple[int, ...], name: str, dtype: type[np.generic], shape: tuple[int | None, ...]
) -> None:
    """InputError unless what has dtype ``actual`` and shape ``lengths`` has ``dtype`` and ``shape`` (None: any length).

    For buffers, whose contents may be out of the host's reach.
    """
    if actual != dtype or not actual.isnative:
        raise InputError(f"{name} has dtype {actual}, expected {np.dtype(dtype)}")
    if len(lengths) != len(shape) or any(
        want is not None and got != want for got, want in zip(lengths, shape, strict=True)
    ):
        expected = "[" + ",".join("N" if length is None else str(length) for length in shape) + "]"
        raise InputError(f"{name} has shape {list(lengths)}, expected {expected}")


def count(value: Any, name: str) -> int:
    """``value`` as a non-negative int; InputError for anything else."""
    try:
        number = operator.index(value)
    except TypeError:
        raise InputError(f"{name} is {type(value).__name__}, expected an integer") from None
    if number < 0:
        raise InputError(f"{name} is {number}, expected 0 or more")
    return number


def hash_name(name: str) -> str:
    """``name`` if it is a hash that trees are built with; else InputError."""
    if name not in HASH_NAMES:
        raise InputError(f"hash {name!r} is unknown, expected one of {', '.join(HASH_NAMES)}")
    return name


def message_offsets(value: Any, size: int, name: str) -> np.ndarray:
    """``value`` int64[N+1], the offsets of messages in ``name`` of ``size`` bytes: from 0, not falling, not past its
    end. InputError otherwise.
    """
    offsets = array(value, "offsets", np.int64, (None,))
    if not len(offsets):
        raise InputError("offsets is empty, expected N+1 values of which the first is 0")
    if offsets[0] != 0:
        raise InputError(f"offsets starts at {offsets[0]}, expected 0")
    if offsets[-1] > size:
        raise InputError(f"offsets ends at {offsets[-1]}, past the {size} bytes of {name}")
    # Part by part, in memory that stays in the cache: whole temporary arrays cost more than the comparison.
    for start in range(0, len(offsets) - 1, _PART):
        part = offsets[start : start + _PART + 1]
        falls = part[1:] < part[:-1]
        if falls.any():
            at = start + int(falls.argmax())
            raise InputError(f"offsets falls from {offsets[at]} to {offsets[at + 1]} at index {at + 1}")
    return offsets


def ragged(data: Any, offsets: Any, name: str = "data") -> tuple[np.ndarray, np.ndarray]:
    """``data`` uint8[B] and ``offsets`` int64[N+1]: from 0, not falling, not past B. InputError otherwise."""
    data = array(data, name, np.uint8, (None,))
    return data, message_offsets(offsets, len(data), name)


def tree_leaves(value: Any, nodes: int) -> int:
    """``value`` as the number of leaves of a tree of so many ``nodes``. InputError where no tree has both."""
    from chaindp.kernels.merkle import node_count

    leaves = count(value, "leaf_count")
    # Bounded before it is believed: an absurd count must not reach arithmetic on machine integers.
    if leaves > max(nodes, 1) or node_count(leaves) != nodes:
        raise InputError(f"nodes has {nodes} rows, which no tree of {leaves} leaves has")
    return leaves


def tree(nodes: Any, leaf_count: Any) -> tuple[np.ndarray, int]:
    """``nodes`` uint8[M,32] and ``leaf_count``, where M is what a tree of that many leaves has. InputError
    otherwise.
    """
    nodes = array(nodes, "nodes", np.uint8, (None, 32))
    return nodes, tree_leaves(leaf_count, len(nodes))


def indices(value: Any, leaf_count: int, *, increasing: bool) -> np.ndarray:
    """``value`` int64[K] within 0..leaf_count-1, strictly increasing where that is asked. InputError otherwise."""
    checked = array(value, "indices", np.int64, (None,))
    if not len(checked):
        return checked
    if increasing and (checked[1:] <= checked[:-1]).any():
        raise InputError("indices is not strictly increasing")
    low, high = (checked[0], checked[-1]) if increasing else (checked.min(), checked.max())
    if low < 0 or high >= leaf_count:
        raise InputError(f"indices holds {low if low < 0 else high}, outside the {leaf_count} leaves")
    return checked


def level_bounds(value: Any, node_count: int) -> np.ndarray:
    """``value`` int64[L+1] that partitions ``node_count`` nodes into levels. InputError otherwise."""
    bounds = array(value, "level_offsets", np.int64, (None,))
    if not len(bounds) or bounds[0] != 0 or bounds[-1] != node_count or (bounds[1:] < bounds[:-1]).any():
        raise InputError(f"level_offsets does not rise from 0 to the {node_count} nodes")
    return bounds


def splices(
    offsets: np.ndarray, level_offsets: np.ndarray, splice_at: Any, splice_child: Any
) -> tuple[np.ndarray, np.ndarray]:
    """Check the holes of ``trie_hash`` against already checked offsets: InputError unless every hole lies within one
    node, none overlap, they ascend, and each child is of an earlier level than the node that holds its digest.
    """
    splice_at = array(splice_at, "splice_at", np.int64, (None,))
    splice_child = array(splice_child, "splice_child", np.int64, (len(splice_at),))
    if not len(splice_at):
        return splice_at, splice_child
    if (splice_at[1:] - splice_at[:-1] < 32).any():
        raise InputError("splice_at does not ascend by 32 or more: holes overlap or are out of order")
    if splice_at[0] < 0 or splice_at[-1] > offsets[-1] - 32:
        raise InputError(f"splice_at reaches outside the {offsets[-1]} bytes of encodings")
    node = np.searchsorted(offsets, splice_at, side="right") - 1
    if (splice_at > offsets[node + 1] - 32).any():
        raise InputError("splice_at has a hole that crosses the end of its node")
    # The first node of a node's level: a child must come before it.
    first = level_offsets[np.searchsorted(level_offsets, node, side="right") - 1]
    if (splice_child < 0).any() or (splice_child >= first).any():
        raise InputError("splice_child names a node that is not of an earlier level")
    return splice_at, splice_child


def signatures(digests: Any, values: Any) -> tuple[np.ndarray, np.ndarray]:
    """``digests`` uint8[N,32] and as many ``signatures`` uint8[N,65]; InputError otherwise."""
    digests = array(digests, "digests", np.uint8, (None, 32))
    return digests, array(values, "signatures", np.uint8, (len(digests), 65))
