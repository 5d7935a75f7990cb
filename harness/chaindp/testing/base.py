"""What all conformance classes share: the attributes that an author sets, and opening and closing the backend."""

from __future__ import annotations

from typing import ClassVar

import pytest

from chaindp.errors import ChaindpError
from chaindp.plugins import Registry
from chaindp.testing.offences import Fault, Offence
from chaindp.testing.subject import Subject, close, installed, open_subject

__all__ = ["Conformance"]


class Conformance:
    """A class of tests about one backend, opened once for all of them.

    backend:   ``name`` or ``name:device``, as on the command line
    threads:   how many host threads the backend may use
    budget_s:  about how many seconds the open-ended tests of a class may take together
    seed:      of all random input, so that a verdict can be had again
    """

    backend: ClassVar[str] = ""
    threads: ClassVar[int] = 2
    budget_s: ClassVar[float] = 10.0
    seed: ClassVar[int] = 0

    registry: ClassVar[Registry | None] = None
    subject: ClassVar[Subject]

    @classmethod
    def setup_class(cls) -> None:
        """Open the backend."""
        if not cls.backend:
            pytest.fail(f"{cls.__name__} names no backend: set the class attribute backend", pytrace=False)
        try:
            cls.subject = open_subject(cls.plugins(), cls.backend, cls.threads)
        except ChaindpError as error:
            raise Offence(f"backend {cls.backend}", Fault.CONTRACT, f"it does not open: {error}") from None

    @classmethod
    def teardown_class(cls) -> None:
        """Close it."""
        close(cls.subject)

    @classmethod
    def plugins(cls) -> Registry:
        """The plugins that the backend and its kernels are looked up in: what is installed, unless set."""
        return cls.registry if cls.registry is not None else installed()
