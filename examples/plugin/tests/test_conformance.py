"""chaindp's conformance suite on this backend."""

from __future__ import annotations

from chaindp.testing import BackendConformance

from chaindp_blake3.testing import Blake3Conformance


class Selected:
    """The backend under test, as ``--backend`` names it."""

    backend = "blake3"


class TestContract(Selected, BackendConformance):
    """What every backend owes the harness."""


class TestBlake3(Selected, Blake3Conformance):
    """What the kernel asks of every backend that has it."""
