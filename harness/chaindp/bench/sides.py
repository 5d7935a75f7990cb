"""A side of an interleaved comparison: something that samples one kernel at one size, here or in another process."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import json
import os
import selectors
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np

from chaindp.backend import TimeDomain, Tuning
from chaindp.bench import inputs
from chaindp.errors import ChaindpError, PluginError, UsageError
from chaindp.kernels import KernelSpec
from chaindp.kernels.kernelset import KernelSet
from chaindp.measure import outputs
from chaindp.measure.warmup import WarmUp, warm_up
from chaindp.plugins import Registry, describe_error, select

__all__ = ["SAMPLE_NS", "Job", "LocalSide", "Sample", "Side", "SideInfo", "WorkerSide", "output_digest"]

_T = TypeVar("_T")

SAMPLE_NS = 2e6
"""What a sample takes at least on the fastest side: as many calls as that needs."""


@dataclass(frozen=True, slots=True)
class Job:
    """What a side is to sample: a kernel at a size, with input from a seed."""

    kernel: str
    size: int
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Sample:
    """One sample: one or more calls in a row, each on fresh input.

    compute_ns, transfer_ns: over all calls
    units:   units of work of all calls
    digest:  SHA-256 over all outputs, to compare sides by
    changed: whether a call changed its arguments
    """

    compute_ns: int
    transfer_ns: int
    units: int
    digest: str
    changed: bool = False


@dataclass(frozen=True, slots=True)
class SideInfo:
    """What runs on a side. ``skipped`` says why it does not have the kernel; empty where it has."""

    backend: str
    device: str
    time_domain: str
    distribution: str
    skipped: str = ""


class Side(Protocol):
    """What ``bench.pairs`` needs of a side. Everything raises PluginError where the backend misbehaves."""

    @property
    def label(self) -> str:
        """How the user named this side."""

    def prepare(self, job: Job) -> SideInfo:
        """Get ready for a job: check that the kernel is there, and its outputs against the reference."""

    def warm_up(self, job: Job) -> WarmUp:
        """Call until times are stable."""

    def sample(self, job: Job, streams: Sequence[int]) -> Sample:
        """One call for each input stream, timed together."""

    def close(self) -> None:
        """Give back what the side holds."""


class LocalSide:
    """A backend in this process, with an instance of its own.

    last:   shared by sides that get the same input
    tuning: kernel to the tuning that replaces the backend's own choice
    """

    def __init__(
        self,
        registry: Registry,
        selector: str,
        threads: int,
        label: str = "",
        last: inputs.LastInputs | None = None,
        tuning: Mapping[str, Tuning] | None = None,
    ) -> None:
        self.label = label or selector
        self._last = last or inputs.LastInputs()
        self._registry = registry
        self._threads = threads
        self._backend = registry.open_backend(selector, threads=threads, tuning=tuning)
        self._kernels = registry.kernel_set(self._backend)
        self._output_bytes = 0

    def prepare(self, job: Job) -> SideInfo:
        """See ``Side``."""
        spec = self._spec(job)
        backend = self._backend
        capability = self._registry.backend_spec(backend.label)[0].capability(spec.name)
        skipped = ""
        if not self._kernels.can(spec.name):
            skipped = outputs.claimed_reason(backend, spec.name, capability.reason, capability.support.value)
        elif backend.time_domain is TimeDomain.WALL:  # nobody samples another one, so nothing is to be checked
            try:
                backend.warm_up(spec.called(self._kernels.supported))
            except ChaindpError:
                raise
            except Exception as error:  # whatever a driver raises is this backend's failure
                raise PluginError(
                    f"backend {self.label} does not warm up {spec.name}: {describe_error(error)}"
                ) from error
            self._check(spec, job)
        provider = self._registry.providers["backend", backend.name]
        return SideInfo(backend.label, backend.device, backend.time_domain.value, provider, skipped)

    def _check(self, spec: KernelSpec, job: Job) -> None:
        """The fixed vectors, and one input of the job's size in full against the next link of the chain of trust."""
        call = _caller(self._kernels, spec)
        problem, _ = outputs.check_vectors(spec, call)
        reference = outputs.reference_of(self._backend.label)
        if not problem and reference is not None and self._has(reference, spec):
            other = self._registry.open_backend(reference, threads=self._threads)
            try:
                args = inputs.generate(spec, job.seed, job.size, inputs.WARM_UP_STREAM - 1)
                expected = self._registry.kernel_set(other).call(spec.name, *outputs.copy_args(args))
                problem = outputs.difference(spec, call(*outputs.copy_args(args)), expected, reference)
            finally:
                other.close()
        elif not problem:
            problem, _ = outputs.check_golden(spec, call, job.seed)
        if problem:
            raise PluginError(f"backend {self.label}, kernel {spec.name}: {problem}")

    def _has(self, selector: str, spec: KernelSpec) -> bool:
        name = selector.partition(":")[0]
        known = self._registry.backends
        return name in known and (known[name].supports(spec.name) or spec.compose is not None)

    def warm_up(self, job: Job) -> WarmUp:
        """See ``Side``."""
        spec = self._spec(job)

        def call(number: int) -> int:
            args = inputs.generate(spec, job.seed, job.size, inputs.WARM_UP_STREAM + number)
            self._output_bytes = inputs.output_bytes(_caller(self._kernels, spec)(*args))
            return sum(record.compute_ns + record.transfer_ns for record in self._kernels.take_calls())

        self._kernels.take_calls()
        return warm_up(call)

    def sample(self, job: Job, streams: Sequence[int]) -> Sample:
        """See ``Side``."""
        spec = self._spec(job)
        pristine = self._last.of(spec, job.seed, job.size, streams)
        copies = [outputs.copy_args(args) for args in pristine]
        call = _caller(self._kernels, spec)
        self._kernels.take_calls()
        inputs.touch_memory(self._output_bytes * len(streams))
        results = [call(*args) for args in copies]
        calls = self._kernels.take_calls()
        return Sample(
            compute_ns=sum(record.compute_ns for record in calls),
            transfer_ns=sum(record.transfer_ns for record in calls),
            units=sum(int(spec.units(*args)) for args in pristine),
            digest=output_digest(results),
            changed=any(outputs.changed_arguments(args, kept) for args, kept in zip(copies, pristine, strict=True)),
        )

    def close(self) -> None:
        """See ``Side``."""
        try:
            self._backend.close()
        except Exception as error:  # as at warm-up
            raise PluginError(f"backend {self.label} does not close: {describe_error(error)}") from error

    def _spec(self, job: Job) -> KernelSpec:
        return select(self._registry.kernels, job.kernel, "kernel", self._registry.broken)


def _caller(kernels: KernelSet, spec: KernelSpec) -> Any:
    return lambda *args: kernels.call(spec.name, *args)


def output_digest(results: Sequence[Any]) -> str:
    """SHA-256 over the outputs of calls, shapes and dtypes included."""
    digest = hashlib.sha256()
    for result in results:
        for part in result if isinstance(result, tuple) else (result,):
            array = np.ascontiguousarray(part)
            digest.update(f"{array.dtype}{array.shape}".encode())
            digest.update(array.tobytes())
    return digest.hexdigest()


ANSWER_SECONDS = 600.0
"""How long a process may be silent over one request: a first call that compiles for minutes is still waited for."""

CLOSE_SECONDS = 10.0


class WorkerSide:
    """A backend in a process of its own, whose packages come first from a folder: one revision of a plugin.

    The process speaks JSON lines (``chaindp.bench.worker``); its standard error goes where ours goes.

    PluginError where it ends, is silent for ANSWER_SECONDS, answers what is no answer, or has the plugin from somewhere
    else than ``packages``; UsageError where the backend is not of a plugin that is in there.
    """

    def __init__(self, packages: Path, selector: str, threads: int, label: str) -> None:
        self.label = label
        self._received = b""
        self._waiting = False
        path = os.pathsep.join(part for part in (str(packages), os.environ.get("PYTHONPATH", "")) if part)
        self._process = subprocess.Popen(
            # -P: with -m alone the current folder comes first, and in the plugin's own folder it has the plugin.
            [sys.executable, "-P", "-m", "chaindp.bench.worker", selector, str(threads)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": path},
            bufsize=0,
            # Ctrl-C is for the command, which closes its sides; the process would only add a traceback.
            start_new_session=True,
        )
        try:
            self._check_origin(packages, selector)
        except BaseException:
            self.close()
            raise

    def prepare(self, job: Job) -> SideInfo:
        """See ``Side``."""
        return self._typed(SideInfo, self._ask({"do": "prepare", "job": asdict(job)}))

    def warm_up(self, job: Job) -> WarmUp:
        """See ``Side``."""
        return self._typed(WarmUp, self._ask({"do": "warm_up", "job": asdict(job)}))

    def sample(self, job: Job, streams: Sequence[int]) -> Sample:
        """See ``Side``."""
        return self._typed(Sample, self._ask({"do": "sample", "job": asdict(job), "streams": list(streams)}))

    def close(self) -> None:
        """See ``Side``. A process that owes an answer does not hear that it is to end, and is ended."""
        if self._waiting:
            self._process.kill()
        with contextlib.suppress(OSError):
            self._process.stdin.close()  # type: ignore[union-attr]
        try:
            self._process.wait(timeout=CLOSE_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()  # type: ignore[union-attr]

    def _check_origin(self, packages: Path, selector: str) -> None:
        """Whether the backend is of the plugin that was installed into ``packages``, and the process has that one."""
        origin = self._ask({"do": "hello"}, usage=True)
        distribution, module = str(origin.get("distribution")), str(origin.get("module"))
        built = [str(found.name) for found in importlib.metadata.distributions(path=[str(packages)])]
        if distribution not in built:
            raise UsageError(
                f"backend {selector} is of {distribution}, not of the plugin whose revisions are compared "
                f"({', '.join(built) or 'which installs nothing'})"
            )
        if not module or not Path(module).resolve().is_relative_to(packages.resolve()):
            raise PluginError(
                f"{self.label}: {distribution} is imported from {module or 'an unknown place'}, not from the revision "
                "that was built; uninstall it there, or take it off PYTHONPATH"
            )

    def _typed(self, kind: type[_T], answer: dict[str, Any]) -> _T:
        try:
            return kind(**answer)
        except TypeError as error:
            raise PluginError(f"{self.label}: its process answers something else than it was asked for") from error

    def _ask(self, request: dict[str, Any], *, usage: bool = False) -> dict[str, Any]:
        """The answer to a request; with ``usage``, a wrong call there is a UsageError here."""
        self._waiting = True
        try:
            self._process.stdin.write(json.dumps(request).encode() + b"\n")  # type: ignore[union-attr]
        except OSError:
            line = b""
        else:
            line = self._read_line(request["do"])
        if not line:
            raise PluginError(f"{self.label}: its process ended, with status {self._end()}")
        self._waiting = False
        try:
            answer = json.loads(line)
        except (ValueError, RecursionError):
            answer = None
        if not isinstance(answer, dict):
            raise PluginError(f"{self.label}: its process answers what is no JSON object: {line[:60]!a}")
        if "error" in answer:
            kind = UsageError if usage and answer.get("usage") else PluginError
            raise kind(f"{self.label}: {answer['error']}")
        return answer

    def _read_line(self, what: str) -> bytes:
        """The next line, without its end; empty where the process ended before the end of it."""
        out = self._process.stdout.fileno()  # type: ignore[union-attr]
        until = time.monotonic() + ANSWER_SECONDS
        with selectors.DefaultSelector() as selector:
            selector.register(out, selectors.EVENT_READ)
            while b"\n" not in self._received:
                if not selector.select(max(0.0, until - time.monotonic())):
                    self._process.kill()
                    raise PluginError(
                        f"{self.label}: its process was silent for {ANSWER_SECONDS:g} s after {what!r} and was ended"
                    )
                part = os.read(out, 1 << 16)
                if not part:
                    return b""
                self._received += part
        line, _, self._received = self._received.partition(b"\n")
        return line

    def _end(self) -> int:
        """The status of a process that has closed its stdout, and is given a moment to end."""
        try:
            return self._process.wait(timeout=CLOSE_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()
