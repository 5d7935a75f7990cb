"""Fixtures shared by all tests."""

from __future__ import annotations

import gc
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

# The first example of a test may compile a kernel, and the machine may be shared: time is not what these tests check.
settings.register_profile("chaindp", deadline=None)
settings.load_profile("chaindp")

# Whoever starts the tests in the background of a script leaves them deaf to SIGINT, which some of them send themselves.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture(autouse=True, scope="module")
def _frozen() -> Iterator[None]:
    """Leave what is imported so far out of collections: a run makes one before every pass, 0.2 s each otherwise."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Real blocks and official tests: ``$CHAINDP_DATA``, else ``../shared/data``; skips where there are none."""
    candidates = [Path(os.environ["CHAINDP_DATA"])] if "CHAINDP_DATA" in os.environ else []
    candidates.append(REPOSITORY.parent / "shared" / "data")
    for candidate in candidates:
        if (candidate / "mainnet").is_dir():
            return candidate
    pytest.skip("no data at $CHAINDP_DATA or ../shared/data")
