"""What a backend can do wrong, in the words that every message of the suite uses. docs/conformance.md explains each."""

from __future__ import annotations

import enum

import pytest

__all__ = ["BrokenKernel", "Fault", "Offence"]


class Fault(enum.StrEnum):
    """The name of an offence, as a reader sees it after the backend's and the kernel's."""

    REMEMBERS = "remembers answers by the identity of its input"
    EARLY = "returns before its work is done"
    WRONG = "computes wrong outputs"
    RARELY_WRONG = "computes a wrong output now and then"
    CHANGES_ARGUMENTS = "changes its arguments"
    CHANGES_RESULTS = "changes a result that it has returned"
    LEAKS = "leaks memory with every call"
    LACKS = "claims a kernel that it lacks"
    UPLOADS = "does its work while it uploads"
    DELEGATES = "delegates to another backend"
    THREADS = "fails when two threads call at once"
    TAKES_BAD = "takes arguments that break the contract"
    UNCLEAR = "refuses bad arguments without an InputError of one line"
    FOREIGN = "takes a buffer that is not its own"
    FAILS = "fails on arguments that the contract allows"
    FORM = "returns a result of another form"
    TRANSFER = "does not give back what was uploaded"
    TAMPERED = "gives openings that do not hold"
    CONTRACT = "breaks the contract of a backend"


class BrokenKernel(pytest.fail.Exception):  # type: ignore[misc,name-defined]
    """The kernel itself is at fault, not the backend: its generator or its golden reference raises something."""

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence, pytrace=False)


class Offence(pytest.fail.Exception):  # type: ignore[misc,name-defined]
    """A failed test whose whole report is one sentence: who, what kernel, what offence, and what was seen.

    It is pytest's own failure, so an author reads the sentence and no traceback of the suite's inner workings.
    """

    def __init__(self, who: str, fault: Fault, detail: str) -> None:
        super().__init__(f"{who}: {fault.value}: {detail}", pytrace=False)
        self.who, self.fault, self.detail = who, fault, detail

    def again(self) -> Offence:
        """The same offence without the notes and the cause that it gathered on its way."""
        return Offence(self.who, self.fault, self.detail)
