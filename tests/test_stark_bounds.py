"""What the STARK verifier takes for whatever it is given, and what it raises: measured, and fuzzed."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import REPOSITORY


@pytest.mark.slow
def test_the_largest_proofs_are_verified_or_refused_within_bounds() -> None:
    """The benchmark's bounds are 1 s and 200 MiB; three times as much CPU time leaves room for a slow machine."""
    script = REPOSITORY / "benchmarks" / "verifier.py"
    done = subprocess.run(
        [sys.executable, script, "--rounds", "1", "--log-rows", "16", "--json"],
        capture_output=True, text=True, timeout=1200, check=False,
    )  # fmt: skip
    assert done.returncode in (0, 1), done.stderr
    rows = json.loads(done.stdout)["rows"]
    assert len(rows) == 30
    for row in rows:
        assert row["seconds"] <= 3, row
        assert row["mib"] <= 200, row
        assert bool(row["reason"]) == (row["change"] != "right"), row


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("atheris") is None, reason="there is no atheris for this platform")
def test_fuzzing_finds_nothing_but_refusals(tmp_path: Path) -> None:
    target = REPOSITORY / "tests" / "fuzz" / "stark_verifier.py"
    done = subprocess.run(
        [sys.executable, target, "-runs=20000", "-max_total_time=90"],
        cwd=tmp_path, capture_output=True, text=True, timeout=900, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert "Done " in done.stderr
