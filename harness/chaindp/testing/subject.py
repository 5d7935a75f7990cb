"""The backend under test, opened, and one kernel of it, called as the harness calls it and watched while it works."""

from __future__ import annotations

import contextlib
import functools
import time
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from chaindp.backend import Backend, BackendSpec
from chaindp.errors import CapabilityError, ChaindpError
from chaindp.kernels import Args, KernelSpec
from chaindp.measure.outputs import difference, rows_of
from chaindp.plugins import PLUGIN_FAULTS, Registry, describe_error, load_plugins
from chaindp.testing.offences import Fault, Offence

__all__ = ["Kernel", "Returned", "Subject", "close", "installed", "open_subject"]

LATE_S, LATE_POLL_S = 1.0, 0.02
"""How long a wrong result is watched for turning into the right one, and how often it is looked at."""

RARE_OF, RARE_SHARE = 1_000, 1e-3
"""Of at least so many outputs, at most this share is wrong: now and then."""


SHOWN = 8
"""How many bytes of an output a message shows."""


@functools.cache
def installed() -> Registry:
    """Everything that is installed, loaded once a process."""
    return load_plugins()


@dataclass(frozen=True, slots=True)
class Subject:
    """An open backend with the spec that announced it and the name that it was asked for by."""

    registry: Registry
    selector: str
    spec: BackendSpec
    backend: Backend

    def kernel(self, spec: KernelSpec) -> Kernel:
        """One kernel of this backend, to call."""
        return Kernel(self.backend, spec, self.selector)


@dataclass(frozen=True, slots=True)
class Returned:
    """What a call returned: the backend's own buffers, and a copy of their contents taken at once."""

    live: Any
    output: Any


def open_subject(registry: Registry, selector: str, threads: int) -> Subject:
    """Open ``name`` or ``name:device``. UsageError for an unknown one, PluginError where it does not open."""
    spec, _ = registry.backend_spec(selector)
    return Subject(registry, selector, spec, registry.open_backend(selector, threads=threads))


def close(subject: Subject) -> None:
    """Close the backend; the Offence that it does not close."""
    try:
        subject.backend.close()
    except Exception as error:
        raise Offence(
            f"backend {subject.selector}", Fault.CONTRACT, f"it does not close: {describe_error(error)}"
        ) from error


@dataclass(frozen=True, slots=True)
class Kernel:
    """One kernel of one open backend. Whatever goes wrong is an Offence that names both."""

    backend: Backend
    spec: KernelSpec
    selector: str

    @property
    def who(self) -> str:
        """How messages name it."""
        return f"backend {self.selector}, kernel {self.spec.name}"

    @property
    def contract(self) -> str:
        """The form of arguments and result, for messages."""
        return f"the contract says {self.spec.summary}"

    def offence(self, fault: Fault, detail: str) -> Offence:
        """An offence of this kernel of this backend."""
        return Offence(self.who, fault, detail)

    def upload(self, args: Args) -> list[Any]:
        """The arguments as the kernel gets them: arrays as buffers of the backend, the rest as it is."""
        return [self.backend.upload(arg) if isinstance(arg, np.ndarray) else arg for arg in args]

    def raw(self, args: Args) -> Any:
        """One call with nothing checked: the backend's own buffers, its work done if it says so."""
        live = self.backend.kernel(self.spec.name)(*self.upload(args))
        self.backend.synchronize()
        return live

    @contextlib.contextmanager
    def blamed(self) -> Iterator[None]:
        """What is raised in here, on good arguments, is an offence of this kernel."""
        try:
            yield
        except (Offence, MemoryError):
            raise
        except PLUGIN_FAULTS as error:
            raise self.offence(*_meaning(error)) from error

    def run(self, args: Args) -> Returned:
        """One call on good arguments. MemoryError passes through: the device cannot hold a batch of this size."""
        before = contents(args)
        with self.blamed():
            live = self.raw(args)
            returned = Returned(live, self.snapshot(live))
        for position, (was, now) in enumerate(zip(before, contents(args), strict=True)):
            if was != now:
                raise self.offence(Fault.CHANGES_ARGUMENTS, f"argument {position + 1} is another after the call")
        return returned

    def snapshot(self, live: Any) -> Any:
        """A copy of the contents of a result as they are now."""
        if isinstance(live, tuple):
            return tuple(self._copy(part) for part in live)
        return self._copy(live)

    def _copy(self, buffer: Any) -> np.ndarray:
        try:
            array = self.backend.download(buffer)
        except ChaindpError as error:
            returned = "an array" if isinstance(buffer, np.ndarray) else f"a {type(buffer).__name__}"
            detail = f"it returned {returned}, which it cannot download itself ({error}); {self.contract}"
            raise self.offence(Fault.FORM, detail) from error
        if not isinstance(array, np.ndarray):
            raise self.offence(Fault.FORM, f"download gives a {type(array).__name__} and not a numpy array")
        return array.copy()

    def check(self, args: Args, expected: Any, case: str, reference: str) -> Returned:
        """One call whose result has to be ``expected``, which ``reference`` computed; the Offence where it is not."""
        returned = self.run(args)
        problem = difference(self.spec, returned.output, expected, reference)
        if problem:
            raise self.judge(args, returned, expected, f"{case}: {problem}")
        return returned

    def judge(self, args: Args, returned: Returned, expected: Any, detail: str) -> Offence:
        """What a wrong result is: too early, of another form, or wrong, seldom or not."""
        count = self.spec.mismatches(returned.output, expected)
        if count < 0:
            return self.offence(Fault.FORM, detail)
        if self._becomes(returned.live, expected):
            return self.offence(Fault.EARLY, f"{detail}, and were right a moment later")
        total = rows_of(expected)
        rare = total >= RARE_OF and count <= RARE_SHARE * total
        return self.offence(
            Fault.RARELY_WRONG if rare else Fault.WRONG, detail + _first_wrong(args, returned.output, expected)
        )

    def _becomes(self, live: Any, expected: Any) -> bool:
        until = time.perf_counter() + LATE_S
        while time.perf_counter() < until:
            try:
                if self.spec.mismatches(self.snapshot(live), expected) == 0:
                    return True
            except (Offence, Exception):  # it was wrong before, and now it raises: wrong all the same
                return False
            time.sleep(LATE_POLL_S)
        return False


def contents(args: Args) -> list[int]:
    """A checksum of every array among the arguments, 0 for what is none."""
    return [zlib.crc32(np.ascontiguousarray(arg).data) if isinstance(arg, np.ndarray) else 0 for arg in args]


def _meaning(error: BaseException) -> tuple[Fault, str]:
    """What an exception on good arguments says about the backend that raised it."""
    if isinstance(error, NotImplementedError | CapabilityError):
        return Fault.LACKS, f"it is declared supported, and a call raises {type(error).__name__}: {error}".rstrip(": ")
    if isinstance(error, ValueError) and "read-only" in str(error):
        return Fault.CHANGES_ARGUMENTS, f"it writes to an array that it may only read ({error})"
    if isinstance(error, ChaindpError):
        return Fault.FAILS, f"{type(error).__name__}: {describe_error(error)}"
    return Fault.FAILS, describe_error(error)


def _first_wrong(args: Args, output: Any, expected: Any) -> str:
    """The first row that differs: its index from 0, the message that it is of, and how both begin, in hexadecimal."""
    outputs, expecteds = ((value if isinstance(value, tuple) else (value,)) for value in (output, expected))
    for part, (got, want) in enumerate(zip(outputs, expecteds, strict=True)):
        got, want = np.asarray(got), np.asarray(want)
        if not want.size or np.array_equal(got, want):
            continue
        index = int((got != want).reshape(len(want), -1).any(axis=1).argmax())
        which = f"index {index}" + (f" of part {part}" if isinstance(expected, tuple) else "")
        which += _message(args, index, len(want))
        return f" (the first is {which}: {_hex(got[index])}, expected {_hex(want[index])})"
    return ""


def _hex(row: Any) -> str:
    raw = np.ascontiguousarray(row).tobytes()
    return raw[:SHOWN].hex() + ("..." if len(raw) > SHOWN else "")


def _message(args: Args, index: int, count: int) -> str:
    """The length of the message that row ``index`` is the hash of, where the arguments are so many ragged messages."""
    if len(args) < 2 or not all(isinstance(arg, np.ndarray) and arg.ndim == 1 for arg in args[:2]):
        return ""
    data, offsets = args[:2]
    if data.dtype != np.uint8 or offsets.dtype != np.int64 or len(offsets) != count + 1:
        return ""
    return f", of a message of {offsets[index + 1] - offsets[index]} bytes"
