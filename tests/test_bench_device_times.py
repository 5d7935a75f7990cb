"""The device's own clock beside the wall clock: two rows, what makes them disagree, and that nothing mixes them."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from chaindp.backend import Backend, BackendOptions, DeviceTimes, TimeDomain
from chaindp.bench import BenchPlan, BenchResult, run_bench
from chaindp.errors import CapabilityError, PluginError
from chaindp.kernels import KECCAK256
from chaindp.kernels.kernelset import KernelSet
from chaindp.measure.device_clock import impossible_times, profiling_difference, profiling_ratio
from chaindp.report.html import html_page
from chaindp.report.markdown import markdown_page
from chaindp.report.sources import read_runs
from chaindp.results.kernels import disagreements, kernel_rates, kernel_samples
from report_runs import write
from test_bench import Honest, registry_of

UNITS = 300
"""Of the kernel ``double`` at size 100."""


class Clock:
    """A wall clock that stands still until a backend says that time passes: figures of tests are exact."""

    now = 1_000_000

    def perf_counter_ns(self) -> int:
        return self.now

    thread_time_ns = process_time_ns = perf_counter_ns


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("chaindp.kernels.kernelset.time", clock)
    monkeypatch.setattr(Clocked, "clock", clock)
    return clock


class Clocked(Backend):
    """numpy under the hood. Upload takes 200 ns, a kernel 1000, download 300; of these, 150, 900 and 250 on the device.

    Events begin when the command does, so a call spans 1450 ns of the device's time.
    """

    clock = Clock()
    slower = 1.0
    """With profiling, as a factor."""

    def __init__(self, name: str, options: BackendOptions) -> None:
        super().__init__(name, options)
        self.profile = options.profile
        self.events: list[tuple[str, int, int]] = []

    def command(self, kind: str, wall_ns: int, device_ns: int) -> None:
        self.events.append((kind, self.clock.now, self.clock.now + device_ns))
        self.clock.now += int(wall_ns * (self.slower if self.profile else 1.0))

    def upload(self, array: np.ndarray) -> Any:
        self.command("copy", 200, 150)
        return SimpleNamespace(array=array.copy())

    def download(self, buffer: Any) -> np.ndarray:
        self.command("copy", 300, 250)
        return buffer.array  # type: ignore[no-any-return]

    def double(self, values: Any) -> Any:
        self.command("kernel", 1000, 900)
        return SimpleNamespace(array=values.array * 2)

    def keccak256(self, data: Any, offsets: Any) -> Any:
        self.command("kernel", 1000, 900)
        return SimpleNamespace(array=KECCAK256.golden(data.array, offsets.array))

    def take_device_times(self) -> DeviceTimes | None:
        events, self.events = self.events, []
        if not self.profile:
            return None
        took = {kind: sum(end - start for what, start, end in events if what == kind) for kind in ("kernel", "copy")}
        span = max((end for _, _, end in events), default=0) - min((start for _, start, _ in events), default=0)
        return DeviceTimes(took["kernel"], took["copy"], span)


def saying(change: Callable[[DeviceTimes], Any]) -> type[Clocked]:
    """A backend whose device says something else of every call."""

    class Says(Clocked):
        def take_device_times(self) -> Any:
            times = super().take_device_times()
            return None if times is None else change(times)

    return Says


def bench(
    kind: Callable[[str, BackendOptions], Backend], *, repeat: int = 6, profiles: bool = True, **others: Any
) -> BenchResult:
    registry = registry_of({"cpu": Honest, "gpu": kind})
    backends = {**registry.backends, "gpu": replace(registry.backends["gpu"], profiles=profiles)}
    plan = BenchPlan(kernels=["double"], backends=["gpu"], sizes=[100], repeat=repeat, **others)
    return run_bench(replace(registry, backends=backends), plan, "run-1")


def test_two_rows_on_two_clocks() -> None:
    result = bench(Clocked)
    wall, device = result.rows
    assert [row["time_domain"] for row in result.rows] == ["wall", "device"]
    for row in result.rows:
        assert (row["backend"], row["status"], row["reason"], row["disagreement"]) == ("gpu", "ok", "", "")
        assert (row["output_matched"], row["repeat"], row["repetitions_compared"]) == (True, 6, 6)
        assert row["wall_ns_per_unit"] == pytest.approx(1500 / UNITS)
    assert wall["ns_per_unit"] == pytest.approx(1000 / UNITS)
    assert wall["transfer_ns"] == 500
    assert device["ns_per_unit"] == pytest.approx(900 / UNITS)
    assert device["units_per_s"] == pytest.approx(1e9 * UNITS / 900)
    assert device["transfer_ns"] == 400
    assert [device[f"profiling_ratio{end}"] for end in ("", "_low", "_high")] == [1.0, 1.0, 1.0]
    assert "profiling_ratio" not in wall
    assert result.holds


def test_the_table_holds_both_and_what_they_were_held_against() -> None:
    frame = bench(Clocked).table.frame()
    of = {
        (str(metric), str(domain)): rows["value"].tolist()
        for (metric, domain), rows in frame.groupby(["metric", "time_domain"])
    }
    assert of == {
        ("compute_time", "wall"): [1000.0] * 6,
        ("transfer_time", "wall"): [500.0] * 6,
        ("work", "wall"): [UNITS] * 6,
        ("compute_time", "device"): [900.0] * 6,
        ("transfer_time", "device"): [400.0] * 6,
        ("work", "device"): [UNITS] * 6,
        ("device_span_time", "device"): [1450.0] * 6,
        ("profiled_wall_time", "wall"): [1500.0] * 6,
        ("profiling_ratio", "device"): [1.0],
    }
    assert set(frame["status"]) == {"ok"}
    assert disagreements(frame) == {}


def test_both_instances_get_the_same_input_and_take_turns() -> None:
    seen: list[tuple[bool, bytes]] = []

    class Records(Clocked):
        def double(self, values: Any) -> Any:
            seen.append((self.profile, values.array.tobytes()))
            return super().double(values)

    bench(Records, repeat=12)
    timed = [(profile, data) for profile, data in seen if len(data) == 800][-24:]
    inputs = {profile: [data for which, data in timed if which == profile] for profile in (False, True)}
    assert inputs[False] == inputs[True]
    assert len(set(inputs[True])) == 12
    orders = {tuple(profile for profile, _ in timed[index : index + 2]) for index in range(0, 24, 2)}
    assert orders == {(False, True), (True, False)}


def test_a_backend_without_a_clock_has_one_row() -> None:
    (row,) = bench(Clocked, profiles=False).rows
    assert (row["time_domain"], row["disagreement"]) == ("wall", "")
    assert row["wall_ns_per_unit"] == pytest.approx(1500 / UNITS)


def test_a_backend_that_does_not_take_part_says_so_once() -> None:
    class Wrong(Clocked):
        def double(self, values: Any) -> Any:
            return values

    class Simulated(Clocked):
        time_domain = TimeDomain.CYCLES

    def broken(name: str, options: BackendOptions) -> Backend:
        raise OSError("no such device")

    for kind, status in ((Wrong, "failed"), (Simulated, "skipped"), (broken, "failed")):
        (row,) = bench(kind).rows
        assert row["status"] == status


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda times: replace(times, span_ns=1600), "device events span 1.6 us in a call that took 1.5 us"),
        (lambda times: replace(times, compute_ns=1700), "kernels add up to 1.7 us in a call that took 1.5 us"),
        (lambda times: DeviceTimes(0, 0, 0), "the device's clock saw no kernel in a call that took 1.5 us"),
    ],
)
def test_device_times_that_cannot_be_are_flagged_and_kept(
    change: Callable[[DeviceTimes], DeviceTimes], problem: str
) -> None:
    result = bench(saying(change))
    wall, device = result.rows
    assert wall["disagreement"] == ""
    assert device["disagreement"] == f"device times cannot be in 6 of 6 repetitions: {problem} (repetition 0)"
    assert (device["status"], device["output_matched"]) == ("ok", True)
    frame = result.table.frame()
    assert disagreements(frame) == {("double/100", "gpu", "device"): device["disagreement"]}
    samples = frame[(frame["metric"] == "compute_time") & (frame["time_domain"] == "device")]
    assert samples["reason"].tolist() == [problem] * 6
    assert samples["value"].notna().all()
    assert (frame[frame["time_domain"] == "wall"]["reason"].fillna("") == "").all()


def test_one_odd_repetition_is_named() -> None:
    class OnceLong(Clocked):
        calls = 0

        def take_device_times(self) -> DeviceTimes | None:
            times = super().take_device_times()
            if times is not None and times.compute_ns:
                self.calls += 1
            return times and replace(times, span_ns=9_000_000 if self.calls == 10 else times.span_ns)

    # One call runs the vector, six warm up; the tenth is repetition 2.
    _, device = bench(OnceLong).rows
    assert str(device["disagreement"]).startswith("device times cannot be in 1 of 6 repetitions: device events span")
    assert str(device["disagreement"]).endswith("(repetition 2)")


def test_copies_that_overlap_are_no_disagreement() -> None:
    _, device = bench(saying(lambda times: DeviceTimes(1400, 2600, 1450))).rows
    assert device["disagreement"] == ""


@pytest.mark.parametrize("factor", [1.5, 0.5])
def test_a_queue_that_changes_its_calls_is_flagged(factor: float) -> None:
    class Drains(saying(lambda times: DeviceTimes(100, 100, 200))):  # type: ignore[misc]
        slower = factor

    wall, device = bench(Drains).rows
    assert wall["disagreement"] == ""
    assert device["disagreement"] == (
        f"on the wall clock a call with profiling takes {factor} times as long as one without "
        f"(99% interval {factor} to {factor})"
    )
    assert device["profiling_ratio"] == factor
    assert device["wall_ns_per_unit"] == pytest.approx(factor * 1500 / UNITS)
    # Of fewer repetitions nothing can be said.
    _, device = bench(Drains, repeat=4).rows
    assert (device["disagreement"], device["profiling_ratio"]) == ("", None)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda times: None, "backend gpu with profiling, kernel double: its spec says that it profiles, but a call"),
        (lambda times: (900, 400, 1450), r"backend gpu: double has device times that are none: \(900, 400, 1450\)"),
        (lambda times: replace(times, compute_ns=-1), "has device times that are none: DeviceTimes"),
        (lambda times: replace(times, span_ns=float("nan")), "has device times that are none: DeviceTimes"),
        (lambda times: replace(times, transfer_ns=2 * 10**18), "has device times that are none: DeviceTimes"),
        (lambda times: 1 / 0, "backend gpu: double failed: ZeroDivisionError"),
    ],
)
def test_what_are_no_device_times_fails_the_device_row_alone(
    change: Callable[[DeviceTimes], Any], problem: str
) -> None:
    result = bench(saying(change))
    wall, device = result.rows
    assert (wall["status"], device["status"], device["time_domain"]) == ("ok", "failed", "device")
    assert re.search(problem, str(device["reason"])), device["reason"]
    assert device["ns_per_unit"] is None
    assert not result.holds


@pytest.mark.parametrize(
    ("error", "status", "reason"),
    [
        (OSError("queue refused"), "failed", "backend gpu does not open: OSError: queue refused"),
        (CapabilityError("device 0 has no timer"), "skipped", "backend gpu does not open with profiling: device 0 has"),
    ],
)
def test_the_wall_row_stands_where_profiling_does_not_open(error: Exception, status: str, reason: str) -> None:
    class Unprofiled(Clocked):
        def __init__(self, name: str, options: BackendOptions) -> None:
            super().__init__(name, options)
            if options.profile:
                raise error

    result = bench(Unprofiled)
    wall, device = result.rows
    assert (wall["status"], wall["time_domain"]) == ("ok", "wall")
    assert (device["status"], device["time_domain"], device["output_matched"]) == (status, "device", None)
    assert reason in str(device["reason"])
    assert result.holds == (status == "skipped")
    assert len(result.table.frame()) == 3 * 6 + 1


def test_outputs_of_the_profiled_instance_are_compared_too() -> None:
    class WrongWhenProfiled(Clocked):
        def double(self, values: Any) -> Any:
            result = super().double(values)
            result.array[99:] += self.profile
            return result

    wall, device = bench(WrongWhenProfiled).rows
    assert (wall["status"], device["status"], device["output_matched"]) == ("ok", "failed", False)
    assert "backend gpu with profiling, kernel double: 1 of 100 outputs differ from cpu" in str(device["reason"])


def test_no_ratio_beside_a_wall_row_that_failed() -> None:
    class WrongWhenPlain(Clocked):
        def double(self, values: Any) -> Any:
            result = super().double(values)
            result.array[99:] += not self.profile
            return result

    wall, device = bench(WrongWhenPlain).rows
    assert (wall["status"], device["status"]) == ("failed", "ok")
    assert (device["profiling_ratio"], device["disagreement"]) == (None, "")


def kernel_set(**options: Any) -> tuple[Clocked, KernelSet]:
    backend = Clocked("gpu", BackendOptions(**options))
    return backend, KernelSet(backend, frozenset({"keccak256"}))


def test_a_call_has_its_own_device_times_and_nothing_of_before() -> None:
    backend, kernels = kernel_set(profile=True)
    backend.command("kernel", 5_000_000, 5_000_000)
    kernels.keccak256(np.zeros(3, dtype=np.uint8), np.array([0, 3]))
    (call,) = kernels.take_calls()
    # Two arguments go up.
    assert call.device == DeviceTimes(900, 150 + 150 + 250, 200 + 200 + 1000 + 250)
    assert (call.compute_ns, call.transfer_ns) == (1000, 200 + 200 + 300)
    backend, kernels = kernel_set()
    kernels.keccak256(np.zeros(3, dtype=np.uint8), np.array([0, 3]))
    assert kernels.take_calls()[0].device is None


def test_every_call_of_a_composed_kernel_has_its_own_device_times() -> None:
    _, kernels = kernel_set(profile=True)
    kernels.merkle_tree(np.zeros((8, 32), dtype=np.uint8))
    calls = kernels.take_calls()
    assert [call.kernel for call in calls] == ["keccak256"] * 3
    assert [call.device for call in calls] == [DeviceTimes(900, 550, 1650)] * 3


def test_a_call_that_fails_leaves_nothing_to_the_next_one() -> None:
    backend, kernels = kernel_set(profile=True)
    honest = backend.download
    backend.download = lambda buffer: 1 / 0  # type: ignore[method-assign]
    with pytest.raises(PluginError, match="ZeroDivisionError"):
        kernels.keccak256(np.zeros(3, dtype=np.uint8), np.array([0, 3]))
    backend.download = honest  # type: ignore[method-assign]
    kernels.keccak256(np.zeros(3, dtype=np.uint8), np.array([0, 3]))
    (call,) = kernels.take_calls()
    assert call.device == DeviceTimes(900, 550, 1650)


def test_clocks_may_run_a_little_apart() -> None:
    assert impossible_times(DeviceTimes(10_004, 0, 10_009), 10_000) == ""
    assert "span" in impossible_times(DeviceTimes(10_004, 0, 10_011), 10_000)
    assert "add up" in impossible_times(DeviceTimes(10_011, 0, 10_000), 10_000)


def test_profiling_is_judged_by_pairs_and_only_beyond_noise() -> None:
    rng = np.random.default_rng(0)
    # A machine that slows down tenfold in the middle does so to both calls of a repetition.
    spell = np.where(np.arange(20) < 10, 1e5, 1e6)
    plain = (spell * rng.uniform(0.99, 1.01, 20)).astype(int).tolist()
    same = (spell * rng.uniform(0.99, 1.01, 20)).astype(int).tolist()
    assert profiling_difference(profiling_ratio(same, plain)) == ""
    assert profiling_difference(profiling_ratio([int(1.05 * ns) for ns in same], plain)) == ""
    assert "1.3" in profiling_difference(profiling_ratio([int(1.3 * ns) for ns in plain], plain))
    wild = (1e5 * rng.lognormal(0, 1.5, 20)).astype(int).tolist()
    ratio = profiling_ratio(wild, [100_000] * 20)
    assert ratio is not None
    assert ratio.low < 1 < ratio.high
    assert profiling_difference(ratio) == ""


def test_what_cannot_be_judged_is_not() -> None:
    assert profiling_ratio([1] * 4, [1] * 4) is None
    assert profiling_ratio([1] * 5, [1] * 6) is None
    assert profiling_ratio([0] * 5, [1] * 5) is None
    assert profiling_difference(None) == ""


def test_rates_of_two_clocks_stay_apart() -> None:
    frame = bench(Clocked).table.frame()
    rates = kernel_rates(kernel_samples(frame)).set_index("time_domain")
    assert rates["compute"].to_dict() == pytest.approx({"wall": 1000 / UNITS, "device": 900 / UNITS})
    assert rates["transfer"].to_dict() == pytest.approx({"wall": 500 / UNITS, "device": 400 / UNITS})
    assert rates["samples"].to_dict() == {"wall": 6, "device": 6}


def test_reports_show_each_clock_and_what_disagrees(tmp_path: Path) -> None:
    lies = saying(lambda times: replace(times, span_ns=1600))
    runs = read_runs([write(tmp_path / "run", bench(lies).table.frame(), "bench")])
    markdown = markdown_page(runs)
    lines = [line for line in markdown.splitlines() if line.startswith("| double")]
    assert len(lines) == 2
    assert "| wall |" in lines[0]
    assert "1.6 us" not in lines[0]
    assert "| device | device times cannot be in 6 of 6 repetitions: device events span 1.6 us" in lines[1]
    assert "double/100: gpu 3.33 ns/value; double/100 (device time): gpu 3.00 ns/value" in markdown
    page, _ = html_page(runs)
    assert "double (device time): gpu 3.00 ns a value" in page
    assert "time domain device; clocks disagree on gpu, see the table" in page
    assert "clocks disagree on gpu" not in page.partition("time domain device")[0]
    assert "Clocks disagree: device times that cannot be" in page


def test_reports_say_nothing_of_clocks_where_there_is_one(tmp_path: Path) -> None:
    runs = read_runs([write(tmp_path / "run", bench(Clocked, profiles=False).table.frame(), "bench")])
    assert "lock" not in markdown_page(runs).partition("run: ")[0]
    both = read_runs([write(tmp_path / "both", bench(Clocked).table.frame(), "bench")])
    assert "clocks disagree |" not in markdown_page(both)
