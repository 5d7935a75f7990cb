"""``chaindp run`` with plugins that break the contract: the run does its work, names them and exits 1."""

from __future__ import annotations

import json
from pathlib import Path

from plugin_site import LIAR, chaindp, make_distribution

ARGUMENTS = "run --workload transfers --txs 600 --block-txs 200 --accounts 200 --repeat 1 --levels 0,4 --json".split()


def test_a_backend_that_lies_is_named(tmp_path: Path) -> None:
    make_distribution(tmp_path / "site", "liar-dist", LIAR.replace("10_000", "500").replace("9_999", "499"))
    done = chaindp(*ARGUMENTS, "--backend", "merkleize=liar", site=tmp_path / "site", cwd=tmp_path)
    assert done.returncode == 1, done.stderr
    failures = json.loads(done.stdout)["failures"]
    assert any("backend liar: " in failure and "keccak256 differs from cpu" in failure for failure in failures)
    assert "liar" in done.stderr


def test_a_plugin_that_raises_at_import_fails_the_run(tmp_path: Path) -> None:
    make_distribution(tmp_path / "site", "boom-dist", "raise ImportError('no driver')", entry="boom", version="0.3")
    done = chaindp(*ARGUMENTS, site=tmp_path / "site", cwd=tmp_path)
    assert done.returncode == 1, done.stderr
    document = json.loads(done.stdout)
    assert [row["level"] for row in document["summary"]] == [0, 4]
    assert any("boom-dist 0.3" in failure and "no driver" in failure for failure in document["failures"])
