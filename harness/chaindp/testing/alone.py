"""A process in which one backend is alone: ``main(JOB, ANSWER)``, which the suite runs in a fresh interpreter.

JOB is a pickle that the suite wrote: where the backend is, calls of one kernel, and which packages may not be
imported. ANSWER is written as JSON: whether the results were the expected ones, and which of those packages was asked
for.
"""

from __future__ import annotations

import importlib.metadata
import json
import pickle
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pluggy

from chaindp import hookspecs
from chaindp.backend import Backend, BackendOptions, BackendSpec
from chaindp.errors import PluginError

__all__ = ["Answer", "Job", "KeepOut", "main"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """The entry point of the plugin (its value), the backend, the kernel, and calls: arguments, and what comes out."""

    entry: str
    backend: str
    device: str
    threads: int
    kernel: str
    calls: tuple[tuple[tuple[Any, ...], tuple[Any, ...]], ...]
    blocked: tuple[str, ...]


@dataclass(slots=True)
class Answer:
    """Whether it worked, why not, and which kept-out modules were asked for."""

    right: bool = False
    reason: str = ""
    asked: list[str] = field(default_factory=list)


class KeepOut(MetaPathFinder):
    """The first finder of all: top-level packages that are not there, for this process, whoever asks."""

    def __init__(self, packages: Sequence[str]) -> None:
        self.packages = frozenset(packages)
        self.asked: list[str] = []

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Raise for what is kept out; leave everything else to the other finders."""
        if fullname.partition(".")[0] in self.packages:
            self.asked.append(fullname)
            raise ModuleNotFoundError(f"{fullname} belongs to another backend and is kept out", name=fullname)
        return None


def _open(job: Job) -> Backend:
    """The backend from its own plugin: no other plugin is loaded for it."""
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    manager.register(importlib.metadata.EntryPoint("alone", job.entry, "chaindp").load())
    specs: list[BackendSpec] = [spec for found in manager.hook.chaindp_backends() for spec in found]
    for spec in specs:
        if spec.name == job.backend:
            return spec.factory(BackendOptions(device=job.device, threads=job.threads))
    raise PluginError(f"{job.entry} no longer provides a backend {job.backend}")


def _call(job: Job) -> str:
    """Run the job: why a result is not the expected one, empty where all are."""
    backend = _open(job)
    try:
        backend.warm_up([job.kernel])
        return next((problem for args, expected in job.calls if (problem := _one(backend, job, args, expected))), "")
    finally:
        backend.close()


def _one(backend: Backend, job: Job, args: tuple[Any, ...], expected: tuple[Any, ...]) -> str:
    buffers = [backend.upload(arg) if isinstance(arg, np.ndarray) else arg for arg in args]
    result = backend.kernel(job.kernel)(*buffers)
    backend.synchronize()
    parts = [backend.download(part) for part in (result if isinstance(result, tuple) else (result,))]
    right = len(parts) == len(expected) and all(
        part.dtype == want.dtype and np.array_equal(part, want) for part, want in zip(parts, expected, strict=True)
    )
    return "" if right else f"its result of {max(map(len, expected), default=0):,} outputs is wrong"


def main(job_path: str, answer_path: str) -> None:
    """Run the job of one file and write the answer to the other."""
    job: Job = pickle.loads(Path(job_path).read_bytes())  # our own parent wrote it a moment ago
    finder = KeepOut(job.blocked)
    sys.meta_path.insert(0, finder)
    for name in list(sys.modules):
        if name.partition(".")[0] in finder.packages:
            del sys.modules[name]
    answer = Answer()
    try:
        answer.reason = _call(job)
        answer.right = not answer.reason
    except (Exception, SystemExit) as error:
        answer.reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
    answer.asked = finder.asked
    text = {"right": answer.right, "reason": answer.reason, "asked": answer.asked}
    Path(answer_path).write_text(json.dumps(text))
