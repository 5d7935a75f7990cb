"""Running other programs so that nothing outlives its caller: a time limit each, and an end to all on an interrupt."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["Finished", "Task", "run_task", "run_tasks"]

POLL_S = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One program to run.

    command: the program and its arguments
    log:     file that takes its stdout and stderr together, so that no output is too long for a pipe
    limit_s: seconds on the wall clock after which it is ended
    name:    what progress calls it
    """

    command: Sequence[str]
    log: Path
    limit_s: float
    env: Mapping[str, str] = field(default_factory=dict)
    name: str = ""


@dataclass(frozen=True, slots=True)
class Finished:
    """How a task ended: the exit status of the program, or None where the limit ended it."""

    status: int | None
    seconds: float
    output: str

    @property
    def timed_out(self) -> bool:
        """Whether it ran past its limit."""
        return self.status is None


@dataclass(slots=True)
class _Running:
    index: int
    task: Task
    process: subprocess.Popen[bytes]
    began: float


def run_task(task: Task) -> Finished:
    """Run one program to its end or its limit."""
    return run_tasks([task], 1)[0]


def run_tasks(tasks: Sequence[Task], jobs: int, done: Callable[[Task], None] = lambda task: None) -> list[Finished]:
    """Run programs, ``jobs`` at a time, each to its end or its limit; the results are in the order of ``tasks``.

    ``done`` is told of each that ended. However this is left, also by an interrupt, no program still runs.
    """
    results: dict[int, Finished] = {}
    waiting = list(enumerate(tasks))[::-1]
    running: list[_Running] = []
    try:
        while waiting or running:
            while waiting and len(running) < max(1, jobs):
                index, task = waiting.pop()
                running.append(_start(index, task))
            for one in list(running):
                ended = _poll(one)
                if ended is not None:
                    running.remove(one)
                    results[one.index] = ended
                    done(one.task)
            if running:
                time.sleep(POLL_S)
    finally:
        for one in running:
            _end(one.process)
    return [results[index] for index in range(len(tasks))]


def _start(index: int, task: Task) -> _Running:
    with task.log.open("wb") as log:
        # A session of its own, so that ending it takes along whatever it has started itself.
        process = subprocess.Popen(
            list(task.command),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, **task.env},
            start_new_session=True,
        )
    return _Running(index, task, process, time.monotonic())


def _poll(one: _Running) -> Finished | None:
    """How it ended, or None while it runs."""
    status = one.process.poll()
    seconds = time.monotonic() - one.began
    if status is None and seconds < one.task.limit_s:
        return None
    if status is None:
        _end(one.process)
    return Finished(status, seconds, one.task.log.read_text(encoding="utf-8", errors="replace"))


def _end(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
