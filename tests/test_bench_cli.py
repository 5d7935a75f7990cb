"""``chaindp bench`` as a user calls it, on the real CPU backend and on third-party plugins that break the contract."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from chaindp.results.store import load
from plugin_site import LIAR, chaindp, make_distribution

LACKS = """
from chaindp import hookimpl
from chaindp.backend import Backend, BackendSpec, Capability

@hookimpl
def chaindp_backends():
    return [BackendSpec(
        name="lacks", kind="other", summary="", factory=lambda options: Backend("lacks", options),
        capabilities={"keccak256": Capability()},
    )]
"""

CLOCKED = """
import time
import chaindp_cpu
from chaindp import hookimpl
from chaindp.backend import Backend, BackendSpec, Capability, DeviceTimes

CPU = next(spec for spec in chaindp_cpu.chaindp_backends() if spec.name == "cpu")

class Clocked(Backend):
    factor = 1

    def __init__(self, name, options):
        super().__init__(name, options)
        self.cpu, self.profile, self.took = CPU.factory(options), options.profile, 0

    def keccak256(self, data, offsets):
        began = time.perf_counter_ns()
        digests = self.cpu.keccak256(data, offsets)
        self.took += (time.perf_counter_ns() - began) * self.factor
        return digests

    def take_device_times(self):
        took, self.took = self.took, 0
        return DeviceTimes(took, 0, took) if self.profile else None

class Lies(Clocked):
    factor = 1000

@hookimpl
def chaindp_backends():
    for name, kind in (("clocked", Clocked), ("lies", Lies)):
        yield BackendSpec(
            name=name, kind="other", summary="", factory=lambda options, name=name, kind=kind: kind(name, options),
            capabilities={"keccak256": Capability()}, profiles=True,
        )
"""


def test_the_cpu_is_checked_against_the_scalar_code(tmp_path: Path) -> None:
    arguments = "bench keccak256 --backend cpu --backend cpu:scalar --size 64 --size 300 --repeat 3 --threads 1 --json"
    done = chaindp(*arguments.split(), "--out", str(tmp_path / "runs"), cwd=tmp_path)
    assert done.stdout.count("\n") == 1
    document = json.loads(done.stdout)
    rows = [row for row in document["rows"] if row["kernel"] is not None]
    assert [(row["backend"], row["size"]) for row in rows] == [
        ("cpu", 64),
        ("cpu:scalar", 64),
        ("cpu", 300),
        ("cpu:scalar", 300),
    ]
    for row in rows:
        assert (row["status"], row["output_matched"], row["time_domain"]) == ("ok", True, "wall")
        assert row["ns_per_unit"] > 0
    assert "cpu:scalar in full" in rows[0]["compared_with"]
    assert "golden on" in rows[1]["compared_with"]
    assert [row["device"] for row in rows[:2]] == ["", "scalar"]

    folder = Path(document["path"])
    assert folder.parent == tmp_path / "runs"
    frame = load(folder)
    assert set(frame["run_id"]) == {document["run_id"]} == {folder.name}
    compute = frame[(frame["metric"] == "compute_time") & (frame["workload"] == "keccak256/300")]
    assert compute.groupby("backend_ran").size().to_dict() == {"cpu": 3, "cpu:scalar": 3}
    run = frame.attrs["run"]
    assert run["kind"] == "bench"
    assert run["config"]["repeat"] == 3
    assert run["memory"].startswith("as much memory as a sample's calls return")
    assert str(tmp_path) not in json.dumps(run)


def test_a_liar_in_one_of_ten_thousand_is_caught_and_named(tmp_path: Path) -> None:
    make_distribution(tmp_path / "site", "liar-dist", LIAR)
    arguments = "bench keccak256 --backend liar --backend cpu --size 10000 --repeat 2 --json"
    done = chaindp(*arguments.split(), site=tmp_path / "site", cwd=tmp_path)
    assert done.returncode == 1
    liar, cpu = json.loads(done.stdout)["rows"][:2]
    assert (liar["backend"], liar["status"], liar["output_matched"]) == ("liar", "failed", False)
    assert "backend liar, kernel keccak256: 1 of 10000 outputs differ from cpu" in liar["reason"]
    assert cpu["status"] == "ok"
    done = chaindp(*arguments.split()[:-1], site=tmp_path / "site", cwd=tmp_path)
    assert done.returncode == 1
    assert "liar" in done.stdout


def test_device_times_stand_beside_wall_times_and_disagreement_is_shown(tmp_path: Path) -> None:
    make_distribution(tmp_path / "site", "clocked-dist", CLOCKED)
    arguments = "bench keccak256 --backend clocked --backend lies --size 2000 --repeat 3 --threads 1".split()
    done = chaindp(*arguments, "--json", site=tmp_path / "site", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    rows = {(row["backend"], row["time_domain"]): row for row in document["rows"]}
    assert list(rows) == [("clocked", "wall"), ("clocked", "device"), ("lies", "wall"), ("lies", "device")]
    for row in rows.values():
        assert (row["status"], row["output_matched"], row["repetitions_compared"]) == ("ok", True, 3)
        assert row["wall_ns_per_unit"] > 0
    problem = rows["lies", "device"]["disagreement"]
    assert problem.startswith("device times cannot be in 3 of 3 repetitions: device events span")
    assert [row["disagreement"] for row in rows.values()] == ["", "", "", problem]
    frame = load(tmp_path / document["path"])
    assert frame[frame["metric"] == "profiling_ratio"]["reason"].fillna("").tolist() == ["", problem]
    assert "device times that cannot be" in frame.attrs["run"]["disagreement"]
    done = chaindp(*arguments, site=tmp_path / "site", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    # One row a line; the text of a cell may wrap.
    shown = [line.split()[:3] for line in done.stdout.splitlines() if line.split()[:1] == ["keccak256"]]
    assert shown == [["keccak256", *key] for key in rows]
    assert done.stdout.count("DISAGREEMENT") == 1


def test_a_plugin_that_claims_a_kernel_it_lacks(tmp_path: Path) -> None:
    make_distribution(tmp_path / "site", "lacks-dist", LACKS, version="4.2")
    done = chaindp("bench", "keccak256", "--backend", "lacks", "--json", site=tmp_path / "site", cwd=tmp_path)
    assert done.returncode == 1
    reasons = [row["reason"] for row in json.loads(done.stdout)["rows"]]
    assert any(
        "lacks-dist 4.2" in reason and "claims a kernel that it lacks: keccak256" in reason for reason in reasons
    )


@pytest.mark.parametrize("backend", [pytest.param("cpu", marks=pytest.mark.slow), "boom"])
def test_a_plugin_that_raises_at_import_fails_the_bench(tmp_path: Path, backend: str) -> None:
    make_distribution(tmp_path / "site", "chaindp-boom", "raise ImportError('no driver')", entry="boom", version="0.3")
    arguments = ["bench", "sha256", "--backend", backend, "--size", "16", "--repeat", "1", "--json"]
    done = chaindp(*arguments, site=tmp_path / "site", cwd=tmp_path)
    assert done.returncode == 1
    assert "boom (chaindp-boom 0.3) was left out: ImportError: no driver" in done.stderr
    rows = json.loads(done.stdout)["rows"]
    failed = [row for row in rows if row["status"] == "failed" and "chaindp-boom 0.3" in row["reason"]]
    assert failed
    if backend == "cpu":
        assert rows[0]["status"] == "ok"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("bench kecak256", "did you mean keccak256?"),
        ("bench keccak256 nosuch", "unknown kernel 'nosuch'"),
        ("bench keccak256 --backend nosuch", "unknown backend 'nosuch'"),
        ("bench keccak256 --backend cpu:nosuch", "has no device 'nosuch'"),
        ("bench keccak256 --size 0", "0 is not in the range"),
        ("bench keccak256 --size 99999999999999", "GiB are free"),
        ("bench keccak256 --repeat x", "'x' is not a valid"),
        ("bench keccak256 --threads 0", "0 is not in the range"),
        ("bench", "missing argument 'KERNEL...'"),
    ],
)
def test_a_wrong_call_is_one_line_and_writes_nothing(tmp_path: Path, arguments: str, message: str) -> None:
    done = chaindp(*arguments.split(), cwd=tmp_path)
    assert done.returncode == 2
    assert done.stdout == ""
    last = [line for line in done.stderr.splitlines() if "warning" not in line]
    assert len(last) == 1
    assert last[0].startswith("chaindp: error: ")
    assert message in last[0]
    assert list(tmp_path.iterdir()) == []


def test_an_interrupt_writes_nothing(tmp_path: Path) -> None:
    arguments = [sys.executable, "-m", "chaindp", "bench", "keccak256", "--size", "1000", "--repeat", "1000000"]

    def listen() -> None:
        # A shell starts background jobs deaf to interrupts, and what they start inherits it.
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    with subprocess.Popen(arguments, cwd=tmp_path, stderr=subprocess.PIPE, text=True, preexec_fn=listen) as process:
        try:
            time.sleep(4)
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 130, err
    assert err.splitlines()[-1] == "chaindp: error: interrupted"
    assert "Traceback" not in err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_every_kernel_on_both_cpu_devices(tmp_path: Path) -> None:
    arguments = "bench all --backend cpu --backend cpu:scalar --size 100 --repeat 2 --json"
    done = chaindp(*arguments.split(), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)["rows"]
    assert len(rows) >= 24
    lacking = [row for row in rows if row["status"] != "ok"]
    assert {(row["kernel"], row["status"]) for row in lacking} == {("merkle_root", "skipped")}
    assert all(row["reason"] for row in lacking)
