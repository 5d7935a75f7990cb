"""Does a backend compute itself what it says it does? It is run in a process without the other backends."""

from __future__ import annotations

import importlib.metadata
import json
import os
import pickle
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from chaindp.kernels import Args
from chaindp.plugins import GROUP, PluginRow, Registry
from chaindp.testing.alone import Answer, Job
from chaindp.testing.offences import Fault, Offence
from chaindp.testing.subject import Subject

__all__ = ["delegation", "other_packages", "overheard"]

SHOWN = 3
"""How many of the packages that were asked for a message names."""

_RUN = "import sys; from chaindp.testing.alone import main; main(*sys.argv[1:])"

PATIENCE_S = 600.0
"""For a process that opens the backend and makes one small call: drivers and simulators may build things first."""


def delegation(subject: Subject, kernel: str, calls: Sequence[tuple[Args, Any]], threads: int) -> str:
    """How a backend leans on another one, in one line; empty where it does not. Skips where there is no other one.

    ``calls``: arguments and the right result of each call that is made.

    The other backends' packages cannot be imported in that process, neither by name nor by way of the registry. A
    backend that asks for one of them, or fails there and works in a process that has them, delegates. One that fails in
    both is an Offence of another kind.
    """
    registry = subject.registry
    own = _entry(registry, subject.spec.name)
    if own is None:
        pytest.skip("no plugin announces it, so that no other process can open it")
    blocked = other_packages(registry, subject.spec.name)
    if not blocked:
        pytest.skip("no other backend is installed that it could delegate to")
    job = Job(
        entry=own.value,
        backend=subject.spec.name,
        device=subject.backend.device,
        threads=threads,
        kernel=kernel,
        calls=tuple((args, expected if isinstance(expected, tuple) else (expected,)) for args, expected in calls),
        blocked=blocked,
    )
    alone = _ask(job)
    if alone.asked:
        asked = list(dict.fromkeys(alone.asked))
        more = f" and {len(asked) - SHOWN} more" if len(asked) > SHOWN else ""
        return f"it asks for {', '.join(asked[:SHOWN])}{more}" + (
            f", and without it: {alone.reason}" if alone.reason else ", though it works without it"
        )
    if alone.right:
        return ""
    together = _ask(replace(job, blocked=()))
    if together.right:
        return f"where {', '.join(blocked)} cannot be imported, {alone.reason}; where it can, the call is right"
    raise Offence(
        f"backend {subject.selector}, kernel {kernel}",
        Fault.FAILS,
        f"in a process of its own, with every backend there: {together.reason}",
    )


def overheard(size: int, called: Sequence[str]) -> str:
    """In one line, which functions of other backends' packages were called during a call."""
    more = f" and {len(called) - SHOWN} more" if len(called) > SHOWN else ""
    return f"a call of size {size:,} calls {', '.join(called[:SHOWN])}{more}"


def other_packages(registry: Registry, backend: str) -> tuple[str, ...]:
    """The top-level packages that provide other backends, sorted; never the package of ``backend``, nor chaindp."""
    own = _entry(registry, backend)
    mine = {"chaindp"} if own is None else {"chaindp", _top(own)}
    rows = [row for row in registry.plugins if row.backends]
    return tuple(sorted({_top(_entry_of(row)) for row in rows} - mine))


def _entry(registry: Registry, backend: str) -> importlib.metadata.EntryPoint | None:
    """The entry point of the plugin that announces a backend; None for one that was added to the registry by hand."""
    return next((_entry_of(row) for row in registry.plugins if backend in row.backends), None)


def _entry_of(row: PluginRow) -> importlib.metadata.EntryPoint:
    return next(
        entry
        for entry in importlib.metadata.entry_points(group=GROUP)
        if entry.name == row.name and entry.dist is not None and entry.dist.name == row.distribution
    )


def _top(entry: importlib.metadata.EntryPoint) -> str:
    return entry.module.partition(".")[0]


def _ask(job: Job) -> Answer:
    with tempfile.TemporaryDirectory(prefix="chaindp-alone-") as folder:
        job_path, answer_path = Path(folder, "job.pickle"), Path(folder, "answer.json")
        job_path.write_bytes(pickle.dumps(job))
        # The same search path: what is importable here is importable there, but for what the job keeps out.
        path = os.pathsep.join(os.path.abspath(part) for part in sys.path)
        command = [sys.executable, "-c", _RUN, str(job_path), str(answer_path)]
        try:
            done = subprocess.run(
                command,
                env={**os.environ, "PYTHONPATH": path},
                capture_output=True,
                text=True,
                timeout=PATIENCE_S,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return Answer(reason=f"it has not come back after {PATIENCE_S:.0f} s")
        if not answer_path.exists():
            last = done.stderr.strip().splitlines()[-1:] or ["no message"]
            return Answer(reason=f"the process ended with status {done.returncode}: {last[0]}")
        return Answer(**json.loads(answer_path.read_text()))
