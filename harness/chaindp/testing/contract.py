"""The tests of a backend itself, whatever kernels it has: what it announces, opening, transfers, foreign buffers."""

from __future__ import annotations

import numpy as np
import pytest

from chaindp.backend import TimeDomain
from chaindp.errors import CapabilityError, ChaindpError
from chaindp.plugins import describe_error
from chaindp.testing.base import Conformance
from chaindp.testing.cases import ForeignArray, ForeignBuffer
from chaindp.testing.offences import Fault, Offence

__all__ = ["BackendConformance"]

NO_KERNEL = "no_such_kernel"


class BackendConformance(Conformance):
    """Inherit from it once a backend, beside one class a kernel."""

    def offence(self, fault: Fault, detail: str) -> Offence:
        """An offence of the backend itself."""
        return Offence(f"backend {self.backend}", fault, detail)

    @property
    def declared(self) -> list[str]:
        """The kernels that the backend declares supported, sorted."""
        return sorted(name for name in self.subject.spec.capabilities if self.subject.spec.supports(name))

    def test_declares_kernels_that_exist(self) -> None:
        """A kernel that no plugin defines cannot be tested, measured or used: declaring it claims what is not there."""
        for name in self.declared:
            if name not in self.plugins().kernels:
                raise self.offence(Fault.LACKS, f"it declares {name}, and no plugin defines a kernel of that name")

    def test_has_a_method_for_every_kernel_that_it_declares(self) -> None:
        """The instance has what the spec says; what it lacks, it says so."""
        backend = self.subject.backend
        for name in self.declared:
            if not callable(getattr(backend, name, None)):
                raise self.offence(Fault.LACKS, f"it declares {name} and has no method of that name")
        try:
            backend.kernel(NO_KERNEL)
        except CapabilityError:
            return
        except Exception as error:
            raise self.offence(
                Fault.CONTRACT, f"asked for a kernel that it does not have, it raises {describe_error(error)}"
            ) from error
        raise self.offence(Fault.LACKS, f"it gives a kernel {NO_KERNEL!r}, which it does not declare")

    def test_opens_as_what_was_asked_for(self) -> None:
        """Name, device, threads and time domain of the instance are those of the call and the contract."""
        backend = self.subject.backend
        if backend.label != self.backend:
            raise self.offence(Fault.CONTRACT, f"it opened as {backend.label}")
        if not isinstance(backend.time_domain, TimeDomain):
            raise self.offence(Fault.CONTRACT, f"its time domain is {backend.time_domain!r}, which is no TimeDomain")
        if not 1 <= backend.threads <= self.threads:
            raise self.offence(Fault.CONTRACT, f"it was given {self.threads} threads and takes {backend.threads}")

    def test_lists_its_devices(self) -> None:
        """The devices that are there now, each once, and among them the one that was opened, unless it resolves it."""
        try:
            names = [device.name for device in self.plugins().devices(self.subject.spec.name)]
        except ChaindpError as error:
            raise self.offence(Fault.CONTRACT, str(error)) from None
        if len(set(names)) != len(names):
            raise self.offence(Fault.CONTRACT, f"it lists a device twice: {names}")
        device = self.backend.partition(":")[2]
        spec = self.subject.spec
        resolved = device not in names and spec.resolve is not None and spec.resolve(device) is not None
        if not names or (device and device not in names and not resolved):
            raise self.offence(Fault.CONTRACT, f"it opened {device or 'a device'!r} and lists {names}")

    def test_warms_up(self) -> None:
        """Warming up works for nothing, for everything that it declares, and twice."""
        for kernels in ([], self.declared, self.declared):
            try:
                self.subject.backend.warm_up(kernels)
                self.subject.backend.synchronize()
            except Exception as error:
                detail = f"warming up {', '.join(kernels) or 'nothing'} raises {describe_error(error)}"
                raise self.offence(Fault.CONTRACT, detail) from error

    def test_gives_back_what_was_uploaded(self) -> None:
        """Every dtype and shape that kernels use comes back as it went, from any memory layout, as often as asked."""
        rng = np.random.default_rng(self.seed)
        for dtype in (np.uint8, np.uint32, np.uint64, np.int64, np.bool_):
            for shape in ((0,), (1,), (7,), (0, 32), (3, 32), (2, 3, 32), (1 << 16,)):
                array = rng.integers(0, 2 if dtype is np.bool_ else 200, shape).astype(dtype)
                wide = np.zeros((2 * shape[0], *shape[1:]), dtype=dtype)
                wide[::2] = array
                sealed = array.copy()
                sealed.flags.writeable = False
                for name, host in (("", array.copy()), ("read-only ", sealed), ("non-contiguous ", wide[::2])):
                    self._round_trip(f"a {name}{np.dtype(dtype)}{list(shape)}", host, array)

    def _round_trip(self, name: str, host: np.ndarray, array: np.ndarray) -> None:
        backend = self.subject.backend
        try:
            buffer = backend.upload(host)
            backend.synchronize()
            first, second = backend.download(buffer), backend.download(buffer)
        except Exception as error:
            raise self.offence(Fault.TRANSFER, f"{name} raises {describe_error(error)}") from error
        for back in (first, second):
            if not isinstance(back, np.ndarray):
                raise self.offence(Fault.TRANSFER, f"{name} comes back as a {type(back).__name__}")
            if back.dtype != array.dtype or back.shape != array.shape:
                raise self.offence(Fault.TRANSFER, f"{name} comes back as {back.dtype}{list(back.shape)}")
            if not np.array_equal(back, array):
                raise self.offence(Fault.TRANSFER, f"{name} comes back with other contents")

    @pytest.mark.parametrize(
        "buffer",
        [ForeignBuffer(), ForeignArray(np.arange(4, dtype=np.uint8)), [1, 2, 3], b"abc", None],
        ids=["a handle", "with __array__", "a list", "bytes", "None"],
    )
    def test_downloads_only_its_own_buffers(self, buffer: object) -> None:
        """What is not a buffer of this backend is an error, also where it could be turned into an array."""
        try:
            self.subject.backend.download(buffer)
        except ChaindpError:
            return
        except Exception as error:
            detail = f"downloading a {type(buffer).__name__} raises {describe_error(error)}, which is no ChaindpError"
            raise self.offence(Fault.UNCLEAR, detail) from error
        raise self.offence(Fault.FOREIGN, f"it downloads a {type(buffer).__name__}")
