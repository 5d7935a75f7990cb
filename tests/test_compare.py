"""``chaindp compare``: stored runs, backends now, and revisions of a plugin."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import chaindp
from chaindp.bench import sides
from chaindp.bench.revisions import WORKTREE, Revision, build_revision
from chaindp.bench.sides import Job, WorkerSide
from chaindp.errors import InputError, PluginError, UsageError
from chaindp.measure.verdict import Verdict
from chaindp.results.compare import compare_runs, differing_work
from chaindp.results.store import load, write_run
from chaindp.results.table import SampleTable
from plugin_site import LIAR, make_distribution
from plugin_site import chaindp as command

QUICK = ("--size", "64", "--rounds", "5", "--threads", "1")


def store(folder: Path, tps: dict[int, list[float]], *, domain: str = "wall", failed: str = "", **config: Any) -> Path:
    """A run folder with these throughputs by level."""
    table = SampleTable(folder.name)
    for level, values in tps.items():
        extra = {"status": "failed", "reason": failed} if failed else {}
        for repetition, value in enumerate(values):
            table.append(
                workload="w",
                level=level,
                repetition=repetition,
                metric="tps",
                value=value,
                unit="tx/s",
                time_domain=domain,
                **extra,
            )
    return write_run(folder, table.frame(), {"run_id": folder.name, "kind": "pipeline", "config": config})


def store_bench(folder: Path, backends: dict[str, float], domain: str = "wall", transfer: float = 0.0) -> Path:
    table = SampleTable(folder.name)
    for backend, ns in backends.items():
        noise = np.random.default_rng(len(backend)).lognormal(0, 0.01, 20)
        for metric, values, unit in (
            ("compute_time", ns * 100 * noise, "ns"),
            ("transfer_time", transfer * 100 * noise, "ns"),
            ("work", np.full(20, 100.0), "node"),
        ):
            table.extend(
                20,
                workload="merkle_tree/64",
                kernel="merkle_tree",
                repetition=np.arange(20),
                metric=metric,
                value=values,
                unit=unit,
                backend_requested=backend,
                backend_ran=backend,
                time_domain=domain,
            )
    return write_run(folder, table.frame(), {"run_id": folder.name, "kind": "bench"})


def rows_of(a: Path, b: Path) -> dict[tuple[str, str], Any]:
    return {(row.metric, row.what): row for row in compare_runs(load(a), load(b))}


def spread(value: float, count: int = 8) -> list[float]:
    return (value * np.random.default_rng(int(value)).lognormal(0, 0.01, count)).tolist()


def test_levels_are_compared_with_their_like(tmp_path: Path) -> None:
    a = store(tmp_path / "a", {0: spread(100), 3: spread(200), 4: spread(300)})
    b = store(tmp_path / "b", {0: spread(101), 3: spread(300), 4: spread(150)})
    rows = rows_of(a, b)
    assert [rows["tps", f"w DP{level}"].verdict for level in (0, 3, 4)] == [
        Verdict.NO_DIFFERENCE,
        Verdict.FASTER,
        Verdict.SLOWER,
    ]
    assert rows["tps", "w DP3"].ratio == pytest.approx(1.5, rel=0.03)


def test_few_repetitions_are_insufficient(tmp_path: Path) -> None:
    a, b = store(tmp_path / "a", {0: spread(100, 3)}), store(tmp_path / "b", {0: spread(200, 3)})
    row = rows_of(a, b)["tps", "w DP0"]
    assert row.verdict is Verdict.INSUFFICIENT
    assert row.ratio == pytest.approx(2.0, rel=0.05)


def test_time_domains_are_never_ranked(tmp_path: Path) -> None:
    a, b = store(tmp_path / "a", {0: spread(100)}), store(tmp_path / "b", {0: spread(200)}, domain="modelled")
    row = rows_of(a, b)["tps", "w DP0"]
    assert row.verdict is None
    assert row.ratio is None
    assert "time domains" in row.reason
    done = command("compare", str(a), str(b), "--json")
    assert done.returncode == 1
    (shown,) = json.loads(done.stdout)["rows"]
    assert (shown["verdict"], shown["ratio"]) == (None, None)
    assert "A is in wall" in shown["reason"]
    assert "B in modelled" in shown["reason"]


def test_a_level_that_failed_is_not_ranked(tmp_path: Path) -> None:
    a, b = store(tmp_path / "a", {0: spread(100)}), store(tmp_path / "b", {0: spread(200)}, failed="other state root")
    row = rows_of(a, b)["tps", "w DP0"]
    assert row.verdict is None
    assert row.reason == "B: failed: other state root"


def test_runs_without_a_common_figure_are_refused(tmp_path: Path) -> None:
    a, b = store(tmp_path / "a", {0: spread(100)}), store_bench(tmp_path / "b", {"cpu": 10.0})
    with pytest.raises(
        InputError, match=r"no figure in common: tps of w DP0 in the one, ns_per_unit of merkle_tree/64"
    ):
        compare_runs(load(a), load(b))


def test_kernels_are_compared_backend_by_backend_and_single_ones_with_each_other(tmp_path: Path) -> None:
    both = store_bench(tmp_path / "both", {"cpu": 10.0, "gpu": 5.0})
    again = store_bench(tmp_path / "again", {"cpu": 20.0, "gpu": 5.0})
    verdicts = {row.a: row.verdict for row in compare_runs(load(both), load(again)) if row.metric == "ns_per_unit"}
    assert verdicts == {"A cpu": Verdict.SLOWER, "A gpu": Verdict.NO_DIFFERENCE}
    one, other = store_bench(tmp_path / "one", {"cpu": 10.0}), store_bench(tmp_path / "other", {"gpu": 5.0})
    row, _ = compare_runs(load(one), load(other))
    assert (row.a, row.b, row.verdict) == ("A cpu", "B gpu", Verdict.FASTER)


def store_clocks(folder: Path, wall: float, device: float, *, backend: str = "gpu", doubt: str = "") -> Path:
    """A bench of one backend by the wall clock and by its device's own: ns a unit, copies under kernels."""
    table = SampleTable(folder.name)
    noise = np.random.default_rng(0).lognormal(0, 0.01, 20)
    common = {"workload": "merkle_tree/64", "kernel": "merkle_tree", "backend_requested": backend}
    for domain, ns in (("wall", wall), ("device", device)):
        here = {**common, "time_domain": domain, "repetition": np.arange(20), "unit": "ns"}
        table.extend(20, **here, metric="compute_time", value=ns * 100 * noise)
        table.extend(20, **here, metric="transfer_time", value=ns * 50 * noise)
        table.extend(20, **{**here, "unit": "node"}, metric="work", value=np.full(20, 100.0))
        if domain == "device":
            table.extend(20, **here, metric="device_span_time", value=ns * 110 * noise)
            table.append(**common, time_domain=domain, metric="profiling_ratio", value=1.0, unit="1", reason=doubt)
    return write_run(folder, table.frame(), {"run_id": folder.name, "kind": "bench"})


def test_figures_of_two_clocks_are_compared_each_with_its_like(tmp_path: Path) -> None:
    a, b = (
        load(store_clocks(tmp_path / "a", 10.0, 8.0)),
        load(store_clocks(tmp_path / "b", 10.0, 2.0, doubt="too long")),
    )
    rows = {(row.metric, row.what): row for row in compare_runs(a, b)}
    assert {key: (row.time_domain, row.verdict) for key, row in rows.items()} == {
        ("ns_per_unit", "merkle_tree/64"): ("wall", Verdict.NO_DIFFERENCE),
        ("ns_per_unit_with_transfer", "merkle_tree/64"): ("wall", Verdict.NO_DIFFERENCE),
        ("ns_per_unit", "merkle_tree/64 (device time)"): ("device", Verdict.FASTER),
        ("ns_per_unit_device_span", "merkle_tree/64 (device time)"): ("device", Verdict.FASTER),
    }
    device = rows["ns_per_unit_device_span", "merkle_tree/64 (device time)"]
    # What passed from the first event to the last, and not the sum of what overlapped.
    assert device.a_median == pytest.approx(8.8, rel=0.02)
    assert device.samples_a == 20
    assert device.reason.endswith("; B gpu: too long")
    assert "too long" not in rows["ns_per_unit", "merkle_tree/64"].reason


def test_what_one_run_has_by_another_clock_only_is_never_ranked(tmp_path: Path) -> None:
    both = load(store_clocks(tmp_path / "a", 10.0, 8.0))
    wall, device = both[both["time_domain"] == "wall"], both[both["time_domain"] == "device"]
    rows = compare_runs(both, device)
    assert [(row.time_domain, row.verdict) for row in rows] == [("device", Verdict.NO_DIFFERENCE)] * 2
    rows = compare_runs(wall, device)
    assert [(row.metric, row.verdict) for row in rows] == [("ns_per_unit", None)]
    assert "not ranked across time domains: A gpu is in wall" in rows[0].reason
    other = load(store_clocks(tmp_path / "b", 5.0, 4.0, backend="fpga"))
    pairs = [(row.a, row.b, row.time_domain, row.verdict) for row in compare_runs(both, other)]
    assert pairs == [("A gpu", "B fpga", domain, Verdict.FASTER) for domain in ("wall", "device", "wall", "device")]
    single = load(store_bench(tmp_path / "c", {"cpu": 10.0}))
    assert [row.time_domain for row in compare_runs(single, both)] == ["wall", "wall"]


@pytest.mark.parametrize("failed_first", [True, False])
def test_figures_beside_a_side_that_failed_say_by_which_clock_they_are(tmp_path: Path, failed_first: bool) -> None:
    both = load(store_clocks(tmp_path / "a", 10.0, 8.0))
    table = SampleTable("b")
    table.append(
        workload="merkle_tree/64", kernel="merkle_tree", backend_requested="gpu", metric="compute_time",
        status="failed", reason="the device is lost",
    )  # fmt: skip
    lost = load(write_run(tmp_path / "b", table.frame(), {"run_id": "b", "kind": "bench"}))
    rows = compare_runs(lost, both) if failed_first else compare_runs(both, lost)
    medians = {row.what: (row.time_domain, row.b_median if failed_first else row.a_median) for row in rows}
    assert {what: domain for what, (domain, _) in medians.items()} == {
        "merkle_tree/64": "wall",
        "merkle_tree/64 (device time)": "device",
    }
    assert medians["merkle_tree/64 (device time)"][1] == pytest.approx(8.0, rel=0.02)
    assert all(row.verdict is None and row.reason.endswith("the device is lost") for row in rows)


def test_transfer_is_judged_apart(tmp_path: Path) -> None:
    a = store_bench(tmp_path / "a", {"gpu": 10.0}, transfer=10.0)
    b = store_bench(tmp_path / "b", {"gpu": 5.0}, transfer=15.0)
    verdicts = {row.metric: row.verdict for row in compare_runs(load(a), load(b))}
    assert verdicts == {"ns_per_unit": Verdict.FASTER, "ns_per_unit_with_transfer": Verdict.NO_DIFFERENCE}


def test_other_work_and_other_machines_are_said() -> None:
    a = {"kind": "pipeline", "config": {"txs": 10, "seed": 1}, "environment": {"cpu": {"model": "X"}}}
    b = {"kind": "pipeline", "config": {"txs": 20, "seed": 2}, "environment": {"cpu": {"model": "Y"}}}
    assert differing_work(a, b) == [
        "other work: transactions is 10 in A and 20 in B",
        "other machines: A ran on X, B on Y",
    ]
    assert differing_work(a, a) == []
    assert differing_work({}, {}) == []


def test_hosts_and_platforms_are_compared_by_what_they_come_to() -> None:
    """As many cores as threads is what a run without --cores models, and one instance without --instances."""
    bare = {"mode": "model", "threads": 4, "cores": None, "lock": True, "instances": None, "clock_mhz": None}
    same = bare | {"cores": 4, "instances": 1}
    assert differing_work({"config": bare}, {"config": same}) == []
    lock = "an interpreter's lock"
    other = bare | {"cores": 64, "lock": False, "instances": 8, "clock_mhz": 200.0, "link": "none"}
    assert differing_work({"config": bare}, {"config": other}) == [
        f"other modelled host: it is 4 cores with {lock} in A and 64 cores without {lock} in B",
        "other platform: the clock in MHz is the core's own in A and 200.0 in B",
        "other platform: instances is 1 in A and 8 in B",
        "other platform: the link is the backend's usual one in A and none in B",
    ]
    live = {"mode": "live", "threads": 4, "cores": None, "lock": True}
    assert differing_work({"config": live}, {"config": live | {"cores": 4}}) == []


def test_the_reference_run_equals_itself() -> None:
    frame = chaindp.load(Path(__file__).parents[1] / "results" / "reference")
    rows = compare_runs(frame, frame)
    assert rows
    assert all(row.verdict is Verdict.NO_DIFFERENCE and row.ratio == 1.0 for row in rows)


def test_backends_are_measured_in_pairs_and_stored(tmp_path: Path) -> None:
    done = command(
        "compare",
        "--backends",
        "cpu,cpu:scalar",
        "keccak256",
        "merkle_tree",
        "--size",
        "4096",
        "--rounds",
        "6",
        "--threads",
        "1",
        "--out",
        str(tmp_path),
        "--json",
    )
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert [(row["metric"], row["what"]) for row in document["rows"]] == [
        (metric, what)
        for what in ("keccak256/4096", "merkle_tree/4096")
        for metric in ("ns_per_unit", "ns_per_unit_with_transfer")
    ]
    for row in document["rows"]:
        # On a loaded machine even a fivefold difference may drown in noise: the rule has tests of its own.
        assert row["verdict"] in set(Verdict)
        assert row["low"] <= row["ratio"] <= row["high"]
        assert row["noise_floor"] >= 0
        assert row["samples_a"] == row["samples_b"] == 12
    frame = load(document["path"])
    assert frame.attrs["run"]["kind"] == "compare"
    assert frame.attrs["run"]["rows"] == document["rows"]
    assert set(frame["metric"]) == {
        f"{name}{suffix}" for name in ("compute_time", "transfer_time", "work") for suffix in ("", "_again")
    }


@pytest.mark.slow
def test_text_shows_the_noise_floor_beside_every_verdict(tmp_path: Path) -> None:
    done = command("compare", "--backends", "cpu,cpu", "sha256", *QUICK, "--out", str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert "noise floor: A against a second A, in the same rounds" in done.stdout
    lines = [line for line in done.stdout.splitlines() if "sha256/64" in line]
    assert len(lines) == 2
    assert all(line.count("%") == 1 for line in lines)


def test_a_wrong_backend_fails_by_name(tmp_path: Path) -> None:
    make_distribution(tmp_path / "site", "chaindp-liar", LIAR)
    done = command(
        "compare",
        "--backends",
        "cpu,liar",
        "keccak256",
        "--size",
        "4096",
        "--rounds",
        "5",
        "--json",
        "--out",
        str(tmp_path / "runs"),
        site=tmp_path / "site",
    )
    assert done.returncode == 1
    (failure,) = json.loads(done.stdout)["failures"]
    assert "liar" in failure


def test_a_kernel_that_a_side_lacks_is_exit_1_with_what_it_said(tmp_path: Path) -> None:
    make_distribution(tmp_path / "site", "chaindp-liar", LIAR)
    done = command(
        "compare",
        "--backends",
        "cpu,liar",
        "sha256",
        *QUICK,
        "--json",
        "--out",
        str(tmp_path / "runs"),
        site=tmp_path / "site",
    )
    assert done.returncode == 1
    assert json.loads(done.stdout)["failures"] == ["sha256/64: backend liar says sha256 is not implemented"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("results/reference",), "two run folders, and 1 was given"),
        (("a", "b", "c"), "3 were given"),
        (("nowhere", "results/reference"), "nowhere is not a run folder"),
        (("--backends", "cpu", "keccak256"), "--backends is 'cpu'; it takes two names"),
        (("--backends", "cpu,nope", "keccak256"), "nope"),
        (("--backends", "cpu,cpu:scalar", "kecak256"), "did you mean keccak256"),
        (("--revisions", "a,b", "keccak256"), "name it with --backends NAME"),
        (("--revisions", "a", "--backends", "cpu", "keccak256"), "--revisions is 'a'"),
        (("--backends", "cpu,cpu", "keccak256", "--rounds", "0"), "rounds"),
    ],
)
def test_wrong_calls_are_one_line_and_exit_2(arguments: tuple[str, ...], words: str) -> None:
    done = command("compare", *arguments, cwd=Path(__file__).parents[1])
    assert done.returncode == 2
    assert words in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


# Builds a wheel with nothing but the standard library, so that no index has to be reached.
BUILDER = """
import zipfile

NAME = "chaindp_revised-1.0"


def build_wheel(directory, config_settings=None, metadata_directory=None):
    files = {
        "chaindp_revised.py": open("chaindp_revised.py").read(),
        f"{NAME}.dist-info/METADATA": "Metadata-Version: 2.1\\nName: chaindp-revised\\nVersion: 1.0\\n",
        f"{NAME}.dist-info/WHEEL": "Wheel-Version: 1.0\\nGenerator: t\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n",
        f"{NAME}.dist-info/entry_points.txt": "[chaindp]\\nrevised = chaindp_revised\\n",
    }
    with zipfile.ZipFile(f"{directory}/{NAME}-py3-none-any.whl", "w") as wheel:
        for name, content in files.items():
            wheel.writestr(name, content)
        wheel.writestr(f"{NAME}.dist-info/RECORD", "".join(f"{name},,\\n" for name in files))
    return f"{NAME}-py3-none-any.whl"
"""

PLUGIN = """
import hashlib
import numpy as np
from chaindp import hookimpl
from chaindp.backend import Backend, BackendSpec, Capability


class Revised(Backend):
    def sha256(self, data, offsets):
        raw, bounds = data.tobytes(), offsets.tolist()
        out = b""
        for _ in range(REPEATS):
            out = b"".join(hashlib.sha256(raw[a:b]).digest() for a, b in zip(bounds, bounds[1:]))
        return np.frombuffer(out, dtype=np.uint8).reshape(-1, 32)


@hookimpl
def chaindp_backends():
    return [
        BackendSpec(
            name="revised",
            kind="cpu",
            factory=lambda options: Revised("revised", options),
            capabilities={"sha256": Capability()},
            summary="for a test",
        )
    ]
"""


def git(folder: Path, *arguments: str) -> str:
    who = ("-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false")
    done = subprocess.run(["git", "-C", str(folder), *who, *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture(scope="module")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with a plugin in a folder: tags ``old``, which does its work twenty times, and ``new``."""
    repository = tmp_path_factory.mktemp("repository")
    folder = repository / "plugin"
    folder.mkdir()
    git(repository, "init", "--quiet")
    (folder / "builder.py").write_text(BUILDER)
    (folder / "pyproject.toml").write_text(
        '[build-system]\nrequires = []\nbuild-backend = "builder"\nbackend-path = ["."]\n'
        '[project]\nname = "chaindp-revised"\nversion = "1.0"\n'
    )
    for tag, repeats in (("old", 20), ("new", 1)):
        (folder / "chaindp_revised.py").write_text(f"REPEATS = {repeats}\n{PLUGIN}")
        git(repository, "add", ".")
        git(repository, "commit", "--quiet", "-m", tag)
        git(repository, "tag", tag)
    return folder


@pytest.mark.slow
def test_two_revisions_of_a_plugin_are_compared(plugin: Path, tmp_path: Path) -> None:
    done = command(
        "compare",
        "--revisions",
        "old,new",
        "--backends",
        "revised",
        "sha256",
        "--size",
        "256",
        "--rounds",
        "5",
        "--launches",
        "2",
        "--out",
        str(tmp_path),
        "--json",
        # The files that lie here are neither revision, and must not be what is measured.
        cwd=plugin,
    )
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    row, _ = document["rows"]
    assert row["a"].startswith("revised@old")
    assert row["b"].startswith("revised@new")
    assert row["ratio"] > 2
    assert document["revisions"] == [git(plugin, "rev-parse", tag) for tag in ("old", "new")]


def test_a_revision_may_be_the_files_as_they_are(plugin: Path, tmp_path: Path) -> None:
    (plugin / "chaindp_revised.py").write_text(f"REPEATS = 7\n{PLUGIN}")
    try:
        built = build_revision(plugin, WORKTREE, tmp_path)
    finally:
        git(plugin, "checkout", "--quiet", ".")
    assert built.commit.endswith("+worktree")
    assert (built.packages / "chaindp_revised.py").read_text().startswith("REPEATS = 7\n")


@pytest.mark.parametrize(
    ("revision", "words"), [("nope", "has no revision 'nope'"), ("--help", "has no revision '--help'")]
)
def test_unknown_revisions_are_refused(plugin: Path, tmp_path: Path, revision: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        build_revision(plugin, revision, tmp_path)


def test_a_revision_that_does_not_build_is_one_line(plugin: Path, tmp_path: Path) -> None:
    (plugin / "builder.py").write_text("raise RuntimeError('no builder today')")
    try:
        with pytest.raises(UsageError, match="does not install") as caught:
            build_revision(plugin, WORKTREE, tmp_path)
    finally:
        git(plugin, "checkout", "--quiet", ".")
    assert "\n" not in str(caught.value)


def test_a_folder_without_a_repository_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not a git repository"):
        build_revision(tmp_path, "HEAD", tmp_path / "into")


def test_a_label_has_the_commit() -> None:
    commit = "1a2b3c4d" + "0" * 32
    assert Revision("HEAD~1", commit, Path()).label == "HEAD~1 (1a2b3c4)"
    assert Revision(WORKTREE, f"{commit}+worktree", Path()).label == "worktree (on 1a2b3c4)"


def test_names_that_builds_use_are_left_out_at_the_top_alone(plugin: Path, tmp_path: Path) -> None:
    said: list[str] = []
    for folder in ("build", "pack/build"):
        (plugin / folder).mkdir(parents=True)
        (plugin / folder / "part.py").write_text("")
    try:
        build_revision(plugin, WORKTREE, tmp_path, say=said.append)
    finally:
        git(plugin, "clean", "--quiet", "-fdx", "build", "pack")
    assert (tmp_path / "sources" / "pack" / "build" / "part.py").is_file()
    assert not (tmp_path / "sources" / "build" / "part.py").exists()
    assert said == [f"building worktree (on {git(plugin, 'rev-parse', 'HEAD')[:7]}) of plugin"]


def test_a_commit_that_leads_out_of_its_folder_is_one_line(plugin: Path, tmp_path: Path) -> None:
    (plugin / "link").symlink_to("/etc/passwd")
    git(plugin, "add", ".")
    git(plugin, "commit", "--quiet", "-m", "a link")
    try:
        with pytest.raises(UsageError, match=r"commit [0-9a-f]{12} cannot be checked out: .*absolute path") as caught:
            build_revision(plugin, "HEAD", tmp_path)
    finally:
        git(plugin, "reset", "--quiet", "--hard", "HEAD~1")
    assert "\n" not in str(caught.value)


def installed(packages: Path, module: str = PLUGIN) -> Path:
    """A revision of the plugin, installed without a build."""
    make_distribution(packages, "chaindp-revised", f"REPEATS = 1\n{module}", entry="revised")
    return packages


def test_a_backend_of_another_plugin_is_a_wrong_call(tmp_path: Path) -> None:
    words = "backend cpu is of chaindp, not of the plugin whose revisions are compared (chaindp-revised)"
    with pytest.raises(UsageError, match=re.escape(words)):
        WorkerSide(installed(tmp_path), "cpu", 1, "cpu@HEAD")
    with pytest.raises(UsageError, match="x@HEAD: unknown backend 'nope'"):
        WorkerSide(tmp_path, "nope", 1, "x@HEAD")


def test_a_plugin_that_comes_from_elsewhere_is_not_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    packages = installed(tmp_path / "packages")
    WorkerSide(packages, "revised", 1, "revised@HEAD").close()
    (packages / "chaindp_revised.py").rename(tmp_path / "chaindp_revised.py")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(PluginError, match=r"^revised@HEAD: chaindp-revised is imported from .*, not from the revision"):
        WorkerSide(packages, "revised", 1, "revised@HEAD")


@pytest.fixture
def fake_worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], WorkerSide]:
    """Opens a side whose process is a shell script, after it has said rightly where its backend is from."""
    packages = installed(tmp_path / "packages")
    hello = json.dumps({"distribution": "chaindp-revised", "module": str(packages / "chaindp_revised.py")})

    def open_side(script: str) -> WorkerSide:
        python = tmp_path / "python"
        python.write_text(f"#!/bin/sh\nread request\necho '{hello}'\nread request\n{script}\n")
        python.chmod(0o755)
        monkeypatch.setattr(sys, "executable", str(python))
        return WorkerSide(packages, "revised", 1, "revised@HEAD")

    return open_side


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("exit 3", "its process ended, with status 3"),
        ('printf \'{"backend": "rev\'; exit 3', "its process ended, with status 3"),
        ("kill -9 $$", "its process ended, with status -9"),
        ("echo oops; read more", "its process answers what is no JSON object: b'oops'"),
        ("echo '[1]'; read more", "its process answers what is no JSON object: b'[1]'"),
        ("echo '{\"colour\": 1}'; read more", "its process answers something else than it was asked for"),
        ("exec sleep 60", "its process was silent for 0.2 s after 'prepare' and was ended"),
    ],
)
def test_a_process_that_fails_is_one_line(
    script: str, words: str, fake_worker: Callable[[str], WorkerSide], monkeypatch: pytest.MonkeyPatch
) -> None:
    side = fake_worker(script)
    if "sleep" in script:
        monkeypatch.setattr(sides, "ANSWER_SECONDS", 0.2)
    with pytest.raises(PluginError, match=f"^{re.escape(f'revised@HEAD: {words}')}$"):
        side.prepare(Job("sha256", 64))
    side.close()
    assert side._process.returncode is not None


def test_a_process_that_owes_an_answer_is_ended_at_once(fake_worker: Callable[[str], WorkerSide]) -> None:
    """As after Ctrl-C, which is not for the process: it is in no process group that a terminal would send it to."""
    side = fake_worker("exec sleep 60")
    assert os.getsid(side._process.pid) == side._process.pid != os.getsid(0)
    side._process.send_signal(signal.SIGSTOP)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(side, "_read_line", interrupted)
        with pytest.raises(KeyboardInterrupt):
            side.prepare(Job("sha256", 64))
    side.close()
    assert side._process.returncode == -signal.SIGKILL


def interrupted(what: str) -> bytes:
    raise KeyboardInterrupt
