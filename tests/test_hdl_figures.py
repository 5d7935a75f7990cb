"""The table of hdl/README.md is of the cores as they are: benchmarks/cores.py measures it and keeps it in results/."""

from __future__ import annotations

import math
import sys

from conftest import REPOSITORY

sys.path.append(str(REPOSITORY / "benchmarks"))
import cores

ROWS = cores.measured()
CORES = {core.label: core for core in cores.cores()}


def test_the_readme_has_the_table_of_what_was_measured() -> None:
    assert "\n" + cores.table(ROWS) + "\n" in cores.README.read_text()


def test_what_was_measured_is_the_cores_as_they_are() -> None:
    for label in ROWS:
        check_row(label)


def check_row(label: str) -> None:
    again = f"measure it again: python benchmarks/cores.py {label}"
    assert label in CORES, again
    assert not cores.stale(CORES[label], ROWS[label]), again
    assert ROWS[label]["holds"]
    assert ROWS[label]["conform"]["failed"] == 0
    # The clock that modelled times are at is one that was reached.
    if ROWS[label]["fmax_mhz"] is not None:
        assert CORES[label].clock_mhz == math.floor(ROWS[label]["fmax_mhz"])
