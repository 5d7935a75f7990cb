"""Arguments made from arguments: the same values in other memory layouts, and values that a contract refuses."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from chaindp.errors import InputError
from chaindp.kernels import Args, KernelSpec

__all__ = ["Case", "ForeignArray", "ForeignBuffer", "foreign", "layouts", "same_form", "shown", "spoilt", "touched"]


class Case(NamedTuple):
    """Arguments with a name that a failure is told by: "an empty batch", "offsets that fall"."""

    name: str
    args: Args


class ForeignBuffer:
    """A handle of some other device: nothing that this backend could read."""


class ForeignArray:
    """A buffer of some other backend that can turn itself into a numpy array, as device arrays of libraries can."""

    def __init__(self, array: np.ndarray) -> None:
        self.array = array
        self.shape, self.dtype = array.shape, array.dtype

    def __len__(self) -> int:
        return len(self.array)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self.array, dtype=dtype)


def _map(args: Args, change: Callable[[np.ndarray], np.ndarray]) -> Args:
    return tuple(change(arg) if isinstance(arg, np.ndarray) else arg for arg in args)


def _strided(array: np.ndarray) -> np.ndarray:
    wide = np.zeros((2 * len(array), *array.shape[1:]), dtype=array.dtype)
    wide[::2] = array
    return wide[::2]


def _odd_address(array: np.ndarray) -> np.ndarray:
    moved = np.zeros(array.nbytes + 1, dtype=np.uint8)[1:].view(array.dtype).reshape(array.shape)
    moved[...] = array
    return moved


def _read_only(array: np.ndarray) -> np.ndarray:
    copy = array.copy()
    copy.flags.writeable = False
    return copy


def layouts(args: Args) -> Iterator[Case]:
    """The same arguments in other memory: a backend that accepts them has to read the same values."""
    yield Case("every other row of wider arrays", _map(args, _strided))
    yield Case("arrays that run backwards in memory", _map(args, lambda array: array[::-1].copy()[::-1]))
    yield Case("arrays in Fortran's order", _map(args, np.asfortranarray))
    yield Case("arrays at an odd address", _map(args, _odd_address))
    yield Case("read-only arrays", _map(args, _read_only))
    yield Case(
        "arrays over immutable bytes",
        _map(args, lambda array: np.frombuffer(array.tobytes(), dtype=array.dtype).reshape(array.shape)),
    )


def spoilt(spec: KernelSpec, args: Args) -> Iterator[Case]:
    """Arguments of wrong types, dtypes and shapes, as far as the golden reference refuses them with an InputError.

    The golden reference is the contract: what it takes, a backend may take as well.
    """
    for position, arg in enumerate(args):
        if not isinstance(arg, np.ndarray):
            continue
        for name, wrong in _wrong_arrays(arg):
            candidate = (*args[:position], wrong, *args[position + 1 :])
            if _refused(spec, candidate):
                yield Case(f"argument {position + 1} as {name}", candidate)


def _wrong_arrays(array: np.ndarray) -> Iterator[tuple[str, Any]]:
    yield "None", None
    yield "a list", array.tolist()
    yield "bytes", array.tobytes()
    for dtype in (np.int8, np.int32, np.uint64, np.float64):
        if array.dtype != dtype:
            yield f"an array of {np.dtype(dtype)}", array.astype(dtype)
    if array.dtype.itemsize > 1:
        yield "an array of the other byte order", array.astype(array.dtype.newbyteorder())
    yield "an array with one dimension more", array[None]
    if array.ndim > 1:
        yield "a flat array", array.reshape(-1)
        yield "an array with a column less", array[..., :-1]


def _refused(spec: KernelSpec, args: Args) -> bool:
    try:
        spec.golden(*args)
    except InputError:
        return True
    except Exception:  # no opinion: the reference trips over it without having looked
        return False
    return False


def foreign(args: Args) -> Iterator[Case]:
    """The arguments with one array replaced by a buffer that is not of the backend under test."""
    for position, arg in enumerate(args):
        if isinstance(arg, np.ndarray):
            for buffer in (ForeignBuffer(), ForeignArray(arg)):
                yield Case(
                    f"argument {position + 1} as a {type(buffer).__name__}",
                    (*args[:position], buffer, *args[position + 1 :]),
                )


def touched(args: Args, places: int = 4) -> Iterator[Case]:
    """The arguments with one bit of one array changed: the first ``places`` of its middle, last, first, another one.

    What a fingerprint of a few bytes would miss. A contract may refuse some of them, or give the same result.
    """
    for position, arg in enumerate(args):
        if not isinstance(arg, np.ndarray) or not arg.size or arg.dtype.kind not in "iu":
            continue
        middle = arg.size // 2
        # Integers are often bounds or indices, of which not every one may move.
        where = (("a middle", middle), ("the last", arg.size - 1), ("the first", 0), ("another", arg.size // 3))
        for name, place in where[:places]:
            changed = arg.copy()
            changed.reshape(-1)[place] ^= 1
            yield Case(
                f"{name} element of argument {position + 1} changed",
                (*args[:position], changed, *args[position + 1 :]),
            )


def same_form(args: Args, others: Args | None) -> bool:
    """Whether the arrays of ``others`` can be copied into those of ``args``: the same shapes and dtypes."""
    return others is not None and [_form(arg) for arg in args] == [_form(other) for other in others]


def _form(arg: Any) -> object:
    return (arg.dtype, arg.shape) if isinstance(arg, np.ndarray) else None


def shown(args: Args) -> str:
    """Arguments in a few words: dtypes and shapes of arrays, the rest as it is."""
    return ", ".join(f"{arg.dtype}{list(arg.shape)}" if isinstance(arg, np.ndarray) else repr(arg) for arg in args)
