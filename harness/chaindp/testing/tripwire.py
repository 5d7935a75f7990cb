"""Who else works while a kernel of the backend under test is called? Watches the other packages in this process.

A backend that computes itself runs none of their code, so an honest one cannot trip a wire. Two kinds of wire:

- **Methods and compiled functions**: kernel methods of the other packages' backend classes, and module-level callables
  of theirs that are not plain Python (compiled ones, which leave no frame). They are replaced for the time of the call
  by ones that take a note and go on. Costs nothing, and holds for every thread.
- **Frames** (``frames=True``): a profile function sees every Python function that is entered, however the backend came
  by it, in the calling thread and in threads that it starts. Slows Python loops down, so it is for single calls.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import sys
import threading
import types
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from chaindp.backend import Backend

__all__ = ["watching"]

Wire = tuple[Any, str, Any]
"""An owner (a class or a module), the name of an attribute of its own, and what was there."""


@contextlib.contextmanager
def watching(packages: Iterable[str], kernels: Iterable[str], *, frames: bool = False) -> Iterator[list[str]]:
    """The functions of ``packages`` (top-level names) that are called while this is open, each once, in order."""
    others = frozenset(packages)
    called: list[str] = []

    def note(name: str) -> None:
        if name not in called:
            called.append(name)

    wires = list(_wires(others, frozenset(kernels))) if others else []
    with contextlib.ExitStack() as stack:
        for owner, name, found in wires:
            setattr(owner, name, _noting(found, f"{_where(owner)}.{name}", note))
            stack.callback(setattr, owner, name, found)
        # Where a profiler of the user's own runs, it is left alone and the first kind of wire has to do.
        if others and frames and sys.getprofile() is None:
            stack.enter_context(_profiled(others, note))
        yield called


def _noting(found: Any, name: str, note: Callable[[str], None]) -> Callable[..., Any]:
    @functools.wraps(found, updated=())
    def wire(*args: Any, **keywords: Any) -> Any:
        note(name)
        return found(*args, **keywords)

    return wire


def _where(owner: Any) -> str:
    return f"{owner.__module__}.{owner.__qualname__}" if isinstance(owner, type) else str(owner.__name__)


def _top(name: object) -> str:
    return str(name).partition(".")[0]


def _wires(others: frozenset[str], kernels: frozenset[str]) -> Iterator[Wire]:
    for cls in _subclasses(Backend):
        if _top(cls.__module__) in others:
            for name, found in list(vars(cls).items()):
                if name in kernels and isinstance(found, types.FunctionType):
                    yield cls, name, found
    for key, module in list(sys.modules.items()):
        if _top(key) in others and isinstance(module, types.ModuleType):
            for name, found in list(vars(module).items()):
                if _compiled(found) and _top(getattr(found, "__module__", "")) in others:
                    yield module, name, found


def _subclasses(cls: type[Any]) -> Iterator[type[Any]]:
    for child in cls.__subclasses__():
        yield child
        yield from _subclasses(child)


def _compiled(found: Any) -> bool:
    """Whether it can be called and is neither a class nor a Python function, whose frames are seen."""
    return callable(found) and not isinstance(found, type | types.FunctionType)


@contextlib.contextmanager
def _profiled(others: frozenset[str], note: Callable[[str], None]) -> Iterator[None]:
    def entered(frame: types.FrameType, event: str, arg: object) -> None:
        # A finalizer runs wherever it happens to: nobody asked for it.
        if event == "call" and frame.f_code.co_name != "__del__":
            module = frame.f_globals.get("__name__", "")
            if _top(module) in others:
                note(f"{module}.{frame.f_code.co_qualname}")

    # The collector would call back whom it likes in the middle of the call.
    collecting = gc.isenabled()
    gc.collect()
    gc.disable()
    threading.setprofile(entered)
    sys.setprofile(entered)
    try:
        yield
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
        if collecting:
            gc.enable()
