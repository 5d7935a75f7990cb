"""Backends whose device is simulated, from the record of a call to the report: cycles are exact, times are stated.

The backend is ``tests/simulated_site.py``, which needs no simulator. What simulators take on the wall clock must be in
no figure of a device: here it is another clock's, and as long as a test wants it to be.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import chaindp as package
from chaindp.backend import Backend, BackendOptions, Link, Platform, SimulatedTimes, TimeDomain
from chaindp.bench import BenchPlan, run_bench
from chaindp.bench.simulated import SIMULATED_REPETITIONS
from chaindp.cli import main
from chaindp.errors import PluginError, UsageError
from chaindp.kernels import KECCAK256
from chaindp.kernels.kernelset import KernelSet
from chaindp.pipeline.backends import parse_backends, split_request, stand_ins
from chaindp.pipeline.block import Stage
from chaindp.pipeline.observed import Observed, PassKind
from chaindp.pipeline.passes import PassResult
from chaindp.pipeline.replan import for_nothing, on_platform, replan
from chaindp.pipeline.run import RunConfig, measure_run
from chaindp.pipeline.work import Machine
from chaindp.plugins import Registry, load_plugins
from chaindp.report.html import html_page
from chaindp.report.markdown import markdown_page
from chaindp.report.sources import read_runs
from chaindp.results.amdahl import amdahl
from chaindp.results.kernels import device_kernels, platforms
from chaindp.results.summary import kernel_costs, ladder, stage_times
from chaindp.results.table import SampleTable
from plugin_site import chaindp
from simulated_site import CLOCK_HZ, SPEC, USUAL, Simulated, install, times_of

PLATFORM = Platform(clock_hz=100e6, instances=1, link=USUAL)


@pytest.fixture(scope="module")
def registry() -> Registry:
    """What is installed, and ``sim``."""
    found = load_plugins()
    backends = {name: spec for name, spec in found.backends.items() if name == "cpu"} | {"sim": SPEC}
    providers = {**found.providers, ("backend", "sim"): "simulated-plugin"}
    return replace(found, backends=backends, providers=providers, plugins=())


# the record of a call -------------------------------------------------------------------------------------------------


def messages(count: int = 3) -> tuple[np.ndarray, np.ndarray]:
    return np.arange(50 * count, dtype=np.uint8), np.arange(0, 50 * count + 1, 50, dtype=np.int64)


class Says(Backend):
    """A backend that says ``times`` of every call, in a time domain of its choice."""

    def __init__(self, times: Any, domain: TimeDomain = TimeDomain.MODELLED) -> None:
        super().__init__("says", BackendOptions())
        self.times, self.time_domain = times, domain  # type: ignore[misc]

    def keccak256(self, data: np.ndarray, offsets: np.ndarray) -> np.ndarray:
        return KECCAK256.golden(data, offsets)  # type: ignore[no-any-return]

    def take_simulated_times(self) -> Any:
        return self.times


RIGHT = times_of(PLATFORM, [(100, 3, 150, 96)], 5_000)


def test_a_call_on_a_simulated_device_keeps_its_times_and_nothing_of_before() -> None:
    backend = Simulated(BackendOptions())
    backend.keccak256(*messages(40))
    kernels = KernelSet(backend, frozenset({"keccak256"}))
    kernels.keccak256(*messages())
    (call,) = kernels.take_calls()
    assert call.simulated is not None
    assert call.simulated.calls == 1
    assert call.simulated.cycles == 30 + 24 * 2
    assert call.simulated.platform == Platform(clock_hz=CLOCK_HZ, instances=1, link=USUAL)
    assert call.wall_ns == call.compute_ns + call.transfer_ns


def test_a_real_backend_has_no_simulated_times() -> None:
    kernels = KernelSet(Says(None, TimeDomain.WALL), frozenset({"keccak256"}))
    kernels.keccak256(*messages())
    assert kernels.take_calls()[0].simulated is None


@pytest.mark.parametrize(
    ("times", "message"),
    [
        (None, "has no simulated times, and its backend simulates its device"),
        ((1, 2), r"has simulated times that are none: \(1, 2\)"),
        (replace(RIGHT, cycles=-1), "cycles is -1"),
        (replace(RIGHT, cycles=10**30), "cycles is 1000000"),
        (replace(RIGHT, cycles=1.5), "cycles is 1.5"),
        (replace(RIGHT, operations=True), "operations is True"),
        (replace(RIGHT, simulator_ns=-5), "simulator_ns is -5"),
        (replace(RIGHT, calls=None), "calls is None"),
        (replace(RIGHT, to_bytes="many"), "to_bytes is 'many'"),
        (replace(RIGHT, compute_ns=math.nan), "compute_ns is nan"),
        (replace(RIGHT, total_ns=math.inf), "total_ns is inf"),
        (replace(RIGHT, transfer_ns=-1.0), "transfer_ns is -1.0"),
        (replace(RIGHT, stall_cycles=101), "101 cycles of stalls and 27 of latency within 100 cycles"),
        (replace(RIGHT, latency_cycles=200), "200 of latency within 100 cycles"),
        (replace(RIGHT, total_ns=RIGHT.compute_ns / 2), "ns in all, for"),
        (replace(RIGHT, total_ns=2 * (RIGHT.compute_ns + RIGHT.transfer_ns)), "ns in all, for"),
        (replace(RIGHT, platform=Platform()), "without a whole platform"),
        (replace(RIGHT, platform=None), "without a whole platform"),
    ],
)
def test_simulated_times_that_cannot_be_are_refused(times: Any, message: str) -> None:
    kernels = KernelSet(Says(times), frozenset({"keccak256"}))
    with pytest.raises(PluginError, match=f"^backend says: keccak256 .*{message}"):
        kernels.keccak256(*messages())
    assert kernels.take_calls() == []


def test_a_backend_that_simulates_nothing_must_not_have_simulated_times() -> None:
    kernels = KernelSet(Says(RIGHT, TimeDomain.WALL), frozenset({"keccak256"}))
    with pytest.raises(PluginError, match="has simulated times, and its backend is timed in wall"):
        kernels.keccak256(*messages())


def test_times_that_raise_are_the_backends_failure() -> None:
    class Raises(Simulated):
        def take_simulated_times(self) -> SimulatedTimes | None:
            raise RuntimeError("no counter")

    with pytest.raises(PluginError, match="backend sim: keccak256 failed: RuntimeError: no counter"):
        KernelSet(Raises(BackendOptions()), frozenset({"keccak256"})).keccak256(*messages())


@pytest.mark.parametrize(("simulates", "domain"), [(True, TimeDomain.WALL), (False, TimeDomain.MODELLED)])
def test_the_spec_and_the_backend_agree_on_what_is_simulated(
    registry: Registry, simulates: bool, domain: TimeDomain
) -> None:
    class Odd(Simulated):
        time_domain = domain

    spec = replace(SPEC, simulates=simulates, factory=Odd)
    with pytest.raises(PluginError, match=f"backend sim simulates .*, and is timed in {domain}"):
        replace(registry, backends={"sim": spec}).open_backend("sim")


# the bench ------------------------------------------------------------------------------------------------------------


class Clock:
    """Stands still until a backend says that time passes."""

    now = 1_000_000

    def perf_counter_ns(self) -> int:
        return self.now

    thread_time_ns = process_time_ns = perf_counter_ns


def bench_of(registry: Registry, monkeypatch: pytest.MonkeyPatch, took_ns: int, **plan: Any) -> Any:
    """A bench of ``sim`` whose simulator takes ``took_ns`` of wall time a call."""
    clock = Clock()
    monkeypatch.setattr("chaindp.kernels.kernelset.time", clock)

    class Slow(Simulated):
        def run(self, kernel: str, args: tuple[Any, ...]) -> Any:
            clock.now += took_ns
            return super().run(kernel, args)

        def take_simulated_times(self) -> SimulatedTimes | None:
            times = super().take_simulated_times()
            return None if times is None else replace(times, simulator_ns=took_ns * times.calls)

    backends = {**registry.backends, "sim": replace(SPEC, factory=Slow)}
    asked = {"kernels": ["keccak256"], "backends": ["sim"], "sizes": [64], "repeat": 10} | plan
    return run_bench(replace(registry, backends=backends), BenchPlan(**asked), "run-1")


def test_a_bench_has_a_modelled_row_and_one_of_cycles(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    platform = Platform(
        clock_hz=50e6, instances=2, link=Link(name="wire", latency_ns=500, to_device=1e9, from_device=2e9)
    )
    result = bench_of(registry, monkeypatch, 10**9, platform=platform)
    modelled, cycles = result.rows
    assert [row["time_domain"] for row in result.rows] == ["modelled", "cycles"]
    for row in result.rows:
        assert (row["status"], row["output_matched"], row["repeat"]) == ("ok", True, SIMULATED_REPETITIONS)
        assert (row["clock_mhz"], row["instances"], row["link"]) == (50.0, 2, "wire")
        assert (row["link_latency_us"], row["link_to_device_gb_s"], row["link_overlap"]) == (0.5, 1.0, False)
        assert row["wall_ns_per_unit"] is None
        assert row["latency_cycles"] == 27
        assert row["sim_hz"] == pytest.approx(cycles["cycles_per_unit"] * 64, rel=0.1)
    assert cycles["ns_per_unit"] is None and cycles["units_per_s"] is None
    assert cycles["cycles_per_unit_min"] <= cycles["cycles_per_unit"] <= cycles["cycles_per_unit_max"]
    # 64 messages of one permutation each: cycles at 50 MHz on two instances.
    per_unit = cycles["cycles_per_unit"] / 2 * 20
    assert modelled["ns_per_unit"] == pytest.approx(per_unit, rel=0.05)
    assert modelled["units_per_s"] == pytest.approx(1e9 / modelled["ns_per_unit"])
    assert modelled["call_ns"] == pytest.approx(modelled["transfer_ns"] + 64 * modelled["ns_per_unit"], rel=0.1)


def test_the_simulators_wall_time_is_in_no_figure_of_the_device(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick, slow = (bench_of(registry, monkeypatch, took) for took in (10**6, 10**12))
    for one, other in zip(quick.rows, slow.rows, strict=True):
        assert {key: value for key, value in one.items() if key != "sim_hz"} == {
            key: value for key, value in other.items() if key != "sim_hz"
        }
        assert one["sim_hz"] == pytest.approx(1e6 * other["sim_hz"])
    frames = [result.table.frame() for result in (quick, slow)]
    for frame in frames:
        assert set(frame[frame["time_domain"] == "wall"]["metric"]) == {"simulator_speed"}
    same = [frame[frame["metric"] != "simulator_speed"].reset_index(drop=True) for frame in frames]
    pd.testing.assert_frame_equal(*same)


def test_the_samples_of_a_bench_are_each_in_their_time_domain(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame = bench_of(registry, monkeypatch, 1000).table.frame()
    found = {
        (str(metric), "" if pd.isna(domain) else str(domain), str(unit))
        for metric, domain, unit in frame[["metric", "time_domain", "unit"]].itertuples(index=False)
    }
    assert found == {
        ("compute_time", "modelled", "ns"),
        ("transfer_time", "modelled", "ns"),
        ("call_time", "modelled", "ns"),
        ("work", "modelled", "permutation"),
        ("compute_time", "cycles", "cycles"),
        ("work", "cycles", "permutation"),
        ("stall_cycles", "cycles", "cycles"),
        ("latency_cycles", "cycles", "cycles"),
        ("operations", "", "1"),
        ("to_bytes", "", "bytes"),
        ("from_bytes", "", "bytes"),
        ("simulator_speed", "wall", "Hz"),
        ("platform_clock", "modelled", "Hz"),
        ("platform_instances", "modelled", "1"),
        ("platform_link:usual", "modelled", "1"),
        ("platform_link_latency", "modelled", "ns"),
        ("platform_link_overlap", "modelled", "1"),
        ("platform_link_to_device", "modelled", "bytes/s"),
        ("platform_link_from_device", "modelled", "bytes/s"),
    }
    (stated,) = platforms(frame).itertuples()
    assert (stated.clock_hz, stated.instances, stated.link, stated.overlap) == (CLOCK_HZ, 1, "usual", False)


def test_an_unlimited_link_has_no_rate(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    link = Link(name="none", latency_ns=0, to_device=math.inf, from_device=math.inf)
    result = bench_of(registry, monkeypatch, 1000, platform=Platform(link=link))
    assert (result.rows[0]["link_to_device_gb_s"], result.rows[0]["transfer_ns"]) == (None, 0.0)
    frame = result.table.frame()
    rates = frame[frame["metric"].isin(["platform_link_to_device", "platform_link_from_device"])]
    assert rates["value"].isna().all()
    assert set(rates["reason"]) == {"unlimited"}


def test_a_wrong_simulated_backend_is_one_failed_row(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    class Wrong(Simulated):
        def run(self, kernel: str, args: tuple[Any, ...]) -> Any:
            result = super().run(kernel, args).copy()
            result[-1, 0] ^= len(result) == 64
            return result

    backends = {**registry.backends, "sim": replace(SPEC, factory=Wrong)}
    plan = BenchPlan(kernels=["keccak256"], backends=["sim"], sizes=[64], repeat=2)
    (row,) = run_bench(replace(registry, backends=backends), plan, "run-1").rows
    assert (row["status"], row["ns_per_unit"], row["time_domain"]) == ("failed", None, "modelled")
    assert "1 of 64 outputs differ from cpu" in str(row["reason"])


def test_a_platform_is_for_simulated_backends_alone(registry: Registry) -> None:
    plan = BenchPlan(kernels=["keccak256"], backends=["cpu"], sizes=[8], repeat=1, platform=Platform(instances=2))
    with pytest.raises(UsageError, match="are about a simulated device, and --backend names none"):
        run_bench(registry, plan, "run-1")
    both = replace(plan, backends=["cpu", "sim"])
    assert [row["time_domain"] for row in run_bench(registry, both, "r").rows] == ["wall", "modelled", "cycles"]


# what a run is asked for ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("request_", "parts"),
    [
        ("cpu", ("", "cpu")),
        ("cpu:scalar", ("", "cpu:scalar")),
        ("merkleize=cpu", ("merkleize", "cpu")),
        ("merkleize=sim:a/b=c.toml", ("merkleize", "sim:a/b=c.toml")),
        ("sim:a=b/c.toml", ("", "sim:a=b/c.toml")),
        ("prove=sim:C:/x=y.toml", ("prove", "sim:C:/x=y.toml")),
    ],
)
def test_a_request_is_split_at_the_stage_and_not_within_a_path(request_: str, parts: tuple[str, str]) -> None:
    assert split_request(request_) == parts


def test_a_path_is_a_device(registry: Registry) -> None:
    asked = parse_backends(["merkleize=sim:x=y/core.toml"], registry)
    assert asked == {Stage.MERKLEIZE: "sim:x=y/core.toml"}
    assert registry.open_backend(asked[Stage.MERKLEIZE]).label == "sim:x=y/core.toml"
    with pytest.raises(UsageError, match=r"no device 'x\.txt'"):
        registry.open_backend("sim:x.txt")


def test_cpu_stands_in_for_a_device_that_is_simulated(registry: Registry) -> None:
    asked = {Stage.ADMIT: "cpu:scalar", Stage.MERKLEIZE: "sim:a.toml", Stage.PROVE: "cpu"}
    assert stand_ins(asked, registry) == {Stage.ADMIT: "cpu:scalar", Stage.MERKLEIZE: "cpu", Stage.PROVE: "cpu"}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return install(tmp_path_factory.mktemp("site"))


Here = Callable[..., tuple[int, str, str]]


@pytest.fixture
def here(site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Here:
    """The command line in this process, where the plugin is installed and the current folder is empty."""
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> tuple[int, str, str]:
        status = main(list(arguments))
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return run


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("run", "--backend", "merkleize=sim"), "use --mode model"),
        (("run", "--backend", "sim:a.toml"), "backend sim:a.toml simulates its device"),
        (("run", "--mode", "model", "--clock", "100"), "--clock, --instances and --link are about a simulated device"),
        (("run", "--mode", "model", "--backend", "cpu", "--link", "none"), "--backend names none"),
        (("run", "--mode", "model", "--backend", "sim", "--link", "fast"), "link 'fast'"),
        (("run", "--mode", "model", "--backend", "sim", "--clock", "0"), "--clock"),
        (("run", "--mode", "model", "--backend", "sim", "--instances", "0"), "--instances"),
        (("run", "--cores", "4"), "use --mode model"),
        (("run", "--no-lock"), "use --mode model"),
        (("run", "--mode", "model", "--cores", "0"), "--cores is 0"),
        (("bench", "keccak256", "--clock", "100"), "--backend names none"),
        (("bench", "keccak256", "--backend", "sim", "--link", "1:x"), "link '1:x'"),
        (("tune", "sim"), "has nothing to tune"),
    ],
)
def test_a_wrong_call_is_one_line(here: Here, tmp_path: Path, arguments: tuple[str, ...], message: str) -> None:
    status, out, err = here(*arguments)
    assert (status, out) == (2, "")
    assert len(err.strip().splitlines()) == 1, err
    assert message in err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("sides", "message"),
    [("cpu,sim", "not ranked across time domains"), ("sim,sim:a.toml", "compare two stored benches")],
)
def test_a_comparison_refuses_a_simulated_side(here: Here, tmp_path: Path, sides: str, message: str) -> None:
    status, out, _ = here("compare", "--backends", sides, "keccak256", "--size", "16", "--json")
    assert status == 1
    document = json.loads(out)
    assert document["rows"] == []
    assert message in document["failures"][0]


def test_two_stored_benches_of_a_simulated_device_compare_exactly(here: Here) -> None:
    runs = []
    for clock in ("100", "150"):
        options = ("--backend", "sim", "--size", "32", "--clock", clock, "--link", "none", "--json")
        status, out, err = here("bench", "keccak256", *options)
        assert status == 0, err
        runs.append(json.loads(out)["path"])
    status, out, _ = here("compare", *runs, "--json")
    document = json.loads(out)
    rows = {row["metric"]: row for row in document["rows"]}
    assert rows["cycles_per_unit"]["verdict"] == "no difference"
    assert rows["cycles_per_unit"]["ratio"] == 1
    assert rows["cycles_per_unit"]["time_domain"] == "cycles"
    for metric in ("ns_per_unit", "ns_per_unit_with_transfer"):
        assert (rows[metric]["verdict"], rows[metric]["time_domain"]) == ("faster", "modelled")
        assert rows[metric]["ratio"] == pytest.approx(1.5)
    assert any("other platform: the clock in MHz is 100.0 in A and 150.0 in B" in note for note in document["notes"])
    assert status == 0


# a run in model mode --------------------------------------------------------------------------------------------------


SMALL = ("--txs", "300", "--block-txs", "100", "--accounts", "500", "--repeat", "1", "--slot", "0.001")


@pytest.fixture(scope="module")
def document(site: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    out = tmp_path_factory.mktemp("runs")
    options = (
        "--mode",
        "model",
        "--levels",
        "0,4-5",
        "--backend",
        "merkleize=sim",
        "--backend",
        "prove=sim:a=b/c.toml",
    )
    platform = ("--clock", "125", "--instances", "2", "--link", "2:4:overlap", "--cores", "3")
    done = chaindp("run", *SMALL, *options, *platform, "--out", str(out), "--json", site=site)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert isinstance(found, dict)
    return found


def test_a_simulated_backend_takes_part_in_model_mode_with_the_same_roots(document: dict[str, Any]) -> None:
    assert document["failures"] == []
    assert len({(row["state_root"], row["receipts_root"], row["gas_used"]) for row in document["summary"]}) == 1
    assert {row["time_domain"] for row in document["summary"]} == {"modelled"}
    assert all(row["tps"] > 0 and row["tps_with_admit"] > 0 for row in document["summary"])


def test_the_stage_on_the_device_is_modelled_and_the_others_are_measured(document: dict[str, Any]) -> None:
    top = document["summary"][-1]
    domains = {stage: times["time_domain"] for stage, times in top["stages"].items()}
    assert domains == dict.fromkeys(domains, "wall") | {"merkleize": "modelled", "prove": "modelled"}
    assert top["stages"]["merkleize"]["backend"] == "sim"
    assert top["stages"]["prove"]["backend"] == "sim:a=b/c.toml"
    for row in document["summary"][:-1]:
        assert {times["time_domain"] for times in row["stages"].values()} == {"wall"}
        assert row["modelled"]["devices"] == {}


def test_the_summary_states_the_host_the_platforms_and_the_models_error(document: dict[str, Any]) -> None:
    top = document["summary"][-1]["modelled"]
    assert (top["cores"], top["lock"]) == (3, True)
    assert set(top["devices"]["merkleize"]) == {"keccak256", "trie_hash"}
    assert top["devices"]["merkleize"]["trie_hash"] == {
        "backend": "sim", "clock_mhz": 125.0, "instances": 2, "link": "2:4:overlap", "link_latency_us": 2.0,
        "link_to_device_gb_s": 4.0, "link_from_device_gb_s": 4.0, "link_overlap": True,
    }  # fmt: skip
    assert {one["backend"] for one in top["devices"]["prove"].values()} == {"sim:a=b/c.toml"}
    assert top["error"]["checked_with"] == "cpu in the place of sim, sim:a=b/c.toml"
    for row in document["summary"]:
        assert isinstance(row["modelled"]["error"]["tps"], float)
        assert isinstance(row["modelled"]["error"]["tps_with_admit"], float)
        assert row["modelled"]["checked_on"]["lock"] is True
        assert 1 <= row["modelled"]["checked_on"]["cores"] <= (os.cpu_count() or 1)
    assert document["summary"][0]["modelled"]["error"]["checked_with"] == ""


def test_the_table_has_counts_platforms_and_the_simulators_speed_in_their_domains(document: dict[str, Any]) -> None:
    frame = package.load(document["path"])
    top = frame[frame["kernel"].notna() & frame["level"].eq(5) & frame["stage"].eq("merkleize").fillna(False)]
    top = top[~top["metric"].str.startswith("platform_")]
    domains = {
        str(metric): {None if pd.isna(domain) else str(domain) for domain in rows["time_domain"]}
        for metric, rows in top.groupby("metric")
    }
    assert domains == {
        "kernel_compute": {"modelled"},
        "kernel_transfer": {"modelled"},
        "kernel_elapsed": {"modelled"},
        "kernel_cycles": {"cycles"},
        "kernel_stall_cycles": {"cycles"},
        "kernel_latency_cycles": {"cycles"},
        "kernel_operations": {None},
        "kernel_to_bytes": {None},
        "kernel_from_bytes": {None},
        "kernel_calls": {None},
        "kernel_batch": {None},
        "simulator_speed": {"wall"},
    }
    assert (top["backend_ran"] == "sim").all()
    assert (top[top["metric"] == "kernel_cycles"]["output_matched"]).all()
    found = device_kernels(frame).set_index(["stage", "kernel"])
    for (stage, kernel), row in found.iterrows():
        shown = document["summary"][-1]["stages"][stage]["device"][kernel]
        assert shown["cycles"] == row["cycles"]
        assert shown["simulator_hz"] == pytest.approx(row["simulator_hz"])
        assert row["stall_cycles"] == 5 * row["calls"]
    stated = platforms(frame)
    assert [*zip(stated["stage"], stated["kernel"], strict=True)] == [
        *(("merkleize", kernel) for kernel in ("keccak256", "trie_hash")),
        *(("prove", kernel) for kernel in ("keccak256", "merkle_open", "merkle_tree")),
    ]
    merkleize, prove = stated.iloc[0], stated.iloc[-1]
    assert (merkleize["backend"], merkleize["clock_hz"], merkleize["link"]) == ("sim", 125e6, "2:4:overlap")
    assert (prove["backend"], prove["instances"], prove["to_device"]) == ("sim:a=b/c.toml", 2, 4e9)
    assert frame[(frame["metric"] == "model_cores") & (frame["level"] == 5)]["value"].tolist() == [3.0]


def test_every_row_with_a_unit_of_time_has_the_domain_that_it_is_of(document: dict[str, Any]) -> None:
    frame = package.load(document["path"])
    timed = frame[frame["unit"].isin(["ns", "tx/s", "cycles", "Hz", "bytes/s"]) & frame["status"].eq("ok")]
    assert timed["time_domain"].notna().all()
    assert set(timed[timed["unit"] == "cycles"]["time_domain"]) == {"cycles"}
    assert set(frame[frame["time_domain"].eq("cycles").fillna(False)]["unit"]) == {"cycles"}
    assert set(timed[timed["unit"] == "tx/s"]["time_domain"]) == {"modelled"}
    on_the_wall = timed[timed["time_domain"].eq("wall") & timed["backend_ran"].str.startswith("sim").fillna(False)]
    # Of what ran on the device: how long the host's thread ran, and the simulator.
    hosts = {"cpu", "cpu_after_admit", "simulator_speed"}
    assert set(on_the_wall["metric"]) == hosts


def test_busy_time_of_a_stage_on_a_device_is_host_time_and_modelled_time(document: dict[str, Any]) -> None:
    """What the device is modelled to take is in the stage's time, and at most what the stage takes."""
    frame = package.load(document["path"])
    times = stage_times(frame)
    prove = times[(times["level"] == 5) & (times["stage"] == "prove")].iloc[0]
    device = device_kernels(frame)
    elapsed = device[device["stage"] == "prove"]["elapsed"].sum() / 300
    assert prove["busy_ns_per_tx"] >= elapsed
    spent = frame[(frame["metric"] == "kernel_elapsed") & (frame["stage"] == "prove")].groupby("block")["value"].sum()
    busy = frame[(frame["metric"] == "busy") & (frame["stage"] == "prove") & (frame["level"] == 5)]
    assert (busy.set_index("block")["value"] >= spent - 1).all()


def test_what_is_checked_in_a_devices_place_is_said(document: dict[str, Any]) -> None:
    frame = package.load(document["path"])
    errors = frame[frame["metric"].isin(["model_error", "model_error_with_admit"])]
    top = errors[errors["level"] == 5]
    assert set(top["metric"]) == {"model_error", "model_error_with_admit"}
    assert set(top["backend_requested"]) == {"sim, sim:a=b/c.toml"}
    assert set(top["backend_ran"]) == {"cpu"}
    assert errors[errors["level"] < 5]["backend_ran"].isna().all()
    rungs = ladder(frame).set_index("level")
    assert rungs["model_error"].notna().all()
    assert rungs["model_checked"][5] == "cpu in the place of sim, sim:a=b/c.toml"


def test_no_break_even_is_measured_against_a_wall_clock(document: dict[str, Any]) -> None:
    assert document["break_even"] == []
    assert len(document["break_even_missing"]) == 2
    assert all("simulates its device" in reason for reason in document["break_even_missing"])


def test_kernel_costs_and_amdahl_say_what_is_modelled(document: dict[str, Any]) -> None:
    frame = package.load(document["path"])
    costs = kernel_costs(frame)
    assert set(costs["time_domain"]) == {"modelled"}
    assert set(costs["time_domain_below"]) == {"wall"}
    rows = amdahl(frame)
    assert set(rows[rows["level"] == 5]["time_domain"]) == {"modelled"}
    assert set(rows[rows["level"] == 4]["time_domain"]) == {"wall"}
    assert not rows["overlap"].any()
    assert any("of modelled time" in line and "of wall time" in line for line in document["explanation"])


def test_reports_name_the_platform_and_the_models_error_beside_modelled_figures(document: dict[str, Any]) -> None:
    (run,) = read_runs([document["path"]])
    text = markdown_page([run])
    page, _ = html_page([run])
    for shown in (text, page):
        assert "125 MHz" in shown
        assert "no hardware was measured" in shown
        assert "off by at most" in shown
        assert "Checked DP5 with cpu in the place of sim, sim:a=b/c.toml" in shown
        assert "simulator" in shown
    assert "modelled, p" in text
    assert "measured, p" not in text
    summary = (Path(document["path"]) / "summary.txt").read_text()
    assert "DP5 was checked with cpu in the place of sim" in summary
    assert "the simulator does" in summary
    assert max(map(len, summary.splitlines())) <= 118


@pytest.mark.slow
def test_without_the_lock_and_with_a_general_backend(site: Path, tmp_path: Path) -> None:
    options = ("--mode", "model", "--no-lock", "--cores", "64", "--levels", "5", "--backend", "sim")
    done = chaindp("run", *SMALL, *options, "--out", str(tmp_path), "--json", site=site)
    assert done.returncode == 0, done.stderr
    (row,) = json.loads(done.stdout)["summary"]
    assert (row["modelled"]["cores"], row["modelled"]["lock"]) == (64, False)
    assert set(row["modelled"]["devices"]) == {"preload", "merkleize", "prove"}


@pytest.mark.slow
def test_a_wrong_simulated_backend_is_caught_and_named(site: Path, tmp_path: Path) -> None:
    (module,) = (install(tmp_path / "site")).glob("*.py")
    wrong = "        result = getattr(self.cpu, kernel)(*args)\n"
    text = module.read_text()
    assert wrong in text
    module.write_text(text.replace(wrong, wrong + "        result = result.copy()\n        result[0, 0] ^= 1\n"))
    options = ("--mode", "model", "--levels", "0,5", "--backend", "prove=sim", "--out", str(tmp_path / "runs"))
    done = chaindp("run", *SMALL, *options, "--json", site=tmp_path / "site")
    assert done.returncode == 1
    found = json.loads(done.stdout)
    assert any("backend sim" in failure and "differ from cpu" in failure for failure in found["failures"])
    assert [row["status"] for row in found["summary"]] == ["ok", "failed"]
    right, failed = found["summary"]
    assert list(failed) == list(right)
    assert list(failed["modelled"]["error"]) == list(right["modelled"]["error"])
    nothing = {failed[name] for name in ("tps", "speedup", "speedup_over", "model_error", "model_error_with_admit")}
    assert nothing | set(failed["modelled"]["error"].values()) == {None}


# planning again -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def observed(registry: Registry) -> list[Observed]:
    """Every pass of a small run, as it was measured."""
    config = RunConfig(
        levels=(4, 5), txs=300, block_txs=100, accounts=500, repeat=1, mode="model", slot_s=0.001,
        backends=("merkleize=sim", "prove=sim"), clock_mhz=100.0, link="none", threads=2,
    )  # fmt: skip
    passes: list[Observed] = []
    outcome = measure_run(config, registry, SampleTable("run-1"), observe=passes.append)
    assert outcome.failures == []
    return passes


def modelled(passes: list[Observed]) -> PassResult:
    (found,) = (one.result for one in passes if one.level == 5 and one.admit_first and one.kind is PassKind.RECORDED)
    return found


def test_every_pass_is_observed_and_the_model_is_checked_with_both_kinds(observed: list[Observed]) -> None:
    kinds = [(one.level, one.admit_first, one.kind, one.live, one.stand_in) for one in observed]
    expected = [(4, True, PassKind.AGAIN, False, False)]
    for level in (4, 5):
        for admit in (False, True):
            expected.append((level, admit, PassKind.RECORDED, False, False))
            expected += [(level, admit, PassKind.CHECK, live, level == 5) for live in (False, True)]
    assert sorted(kinds) == sorted(expected)
    for first in (False, True):
        order = [one.kind for one in observed if one.level == 5 and one.admit_first == first]
        assert order[0] is PassKind.RECORDED, "what is recorded is of blocks that nobody has seen"
    for one in observed:
        assert (one.result.resources is None) == one.live
        assert bool(one.result.platforms) == (one.level == 5 and not one.stand_in)


def test_planning_again_without_a_change_is_the_same(observed: list[Observed]) -> None:
    result = modelled(observed)
    again = replan(result)
    assert np.array_equal(again.start, result.start) and np.array_equal(again.end, result.end)
    platform = result.platforms[Stage.MERKLEIZE]["trie_hash"]
    same = replan(result, on_platform(platform))
    assert same.tps == pytest.approx(result.tps, rel=1e-6)


def test_another_platform_changes_the_device_and_nothing_else(observed: list[Observed]) -> None:
    result = modelled(observed)
    spent = sum(call.simulated.total_ns for call in result.calls[Stage.PROVE] if call.simulated is not None)
    host = float(result.busy_ns(Stage.PROVE).sum()) - spent
    slow = replan(result, on_platform(Platform(clock_hz=1e6)))
    # A hundredth of the clock, on a link that takes no time.
    assert float(slow.busy_ns(Stage.PROVE).sum()) == pytest.approx(host + 100 * spent, rel=1e-6)
    assert np.array_equal(slow.busy_ns(Stage.EXECUTE), result.busy_ns(Stage.EXECUTE))
    assert slow.tps < result.tps
    wide = replan(result, on_platform(Platform(clock_hz=1e6, instances=8)))
    assert slow.tps < wide.tps
    far = Link(name="far", latency_ns=1e6, to_device=1e9, from_device=1e9)
    away = replan(result, on_platform(Platform(link=far)))
    calls = sum(call.simulated.calls for call in result.calls[Stage.PROVE] if call.simulated is not None)
    assert float(away.busy_ns(Stage.PROVE).sum()) >= host + spent + 2e6 * calls


def test_a_device_for_nothing_is_the_ceiling(observed: list[Observed]) -> None:
    result = modelled(observed)
    ceiling = replan(result, for_nothing)
    assert ceiling.duration_ns <= result.duration_ns
    held = {segment.holds for row in ceiling.work for segments in row for segment in segments}
    assert not any(name.startswith("device:") for name in held)


def test_another_host_is_planned_too_and_a_live_pass_is_not(observed: list[Observed]) -> None:
    result = modelled(observed)
    free = replan(result, machine=Machine(cores=64, lock=False))
    assert free.duration_ns <= result.duration_ns
    assert free.resources is not None and not free.resources.lock
    live = next(one.result for one in observed if one.live)
    with pytest.raises(UsageError, match="a live pass has no schedule"):
        replan(live)


def test_a_call_of_several_device_calls_has_the_latency_of_each() -> None:
    link = Link(name="slow", latency_ns=100.0, to_device=1e9, from_device=1e9)
    times = times_of(Platform(clock_hz=1e9, instances=1, link=link), [(100, 4, 10, 10), (50, 2, 10, 10)], 1)
    assert on_platform(Platform())(times) == pytest.approx(times.total_ns)
    assert on_platform(Platform())(replace(times, total_ns=1.5 * times.total_ns)) == pytest.approx(times.total_ns)
    empty = times_of(PLATFORM, [], 0)
    assert on_platform(Platform(instances=4))(empty) == 0.0


def test_a_call_that_the_model_of_platforms_does_not_explain_is_not_planned_for_another_one(
    observed: list[Observed],
) -> None:
    """A third-party backend may have a model of its own, whose times are then its own as well."""
    times = times_of(PLATFORM, [(100, 4, 10, 10)], 1)
    assert on_platform(PLATFORM)(times) == pytest.approx(times.total_ns, rel=1e-12)
    other = replace(times, total_ns=times.total_ns * (1 + 1e-6))
    with pytest.raises(PluginError, match=r"cannot be planned for another platform"):
        on_platform(Platform(instances=2))(other)
    result = modelled(observed)
    (call, *_) = result.blocks[0].spans[Stage.PROVE].calls
    assert call.simulated is not None
    kept, call.simulated = call.simulated, replace(call.simulated, total_ns=1.01 * call.simulated.total_ns)
    try:
        replan(result, machine=Machine(cores=4))
        with pytest.raises(PluginError, match=r"a call on a simulated device says .* by chaindp\.platforms"):
            replan(result, on_platform(Platform(instances=2)))
    finally:
        call.simulated = kept


@pytest.mark.parametrize(
    "mode", [pytest.param({"levels": (5,)}, marks=pytest.mark.slow), {"levels": (5,), "ablate": ("pipelining",)}]
)
def test_a_device_at_a_clock_of_one_hertz_is_scheduled_as_any_other(registry: Registry, mode: dict[str, Any]) -> None:
    """Its calls take days, and what the host does in between takes microseconds."""
    config = RunConfig(
        txs=200, block_txs=50, accounts=300, repeat=1, mode="model", slot_s=0.001, threads=2,
        backends=("merkleize=sim:a.toml", "prove=sim:a.toml"), clock_mhz=0.000001, link="none", **mode,
    )  # fmt: skip
    passes: list[Observed] = []
    outcome = measure_run(config, registry, SampleTable("run-1"), observe=passes.append)
    assert outcome.failures == []
    (result,) = (one.result for one in passes if one.kind is PassKind.RECORDED and one.admit_first)
    cycles = sum(call.simulated.cycles for calls in result.calls.values() for call in calls if call.simulated)
    assert cycles > 3e5
    # One device for both stages, so that its calls follow each other.
    assert 0 <= result.duration_ns - cycles * 10**9 < 10**9
