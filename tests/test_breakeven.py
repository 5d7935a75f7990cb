"""From which batch size a backend wins: measuring it, what the table then says, and how it is told."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pytest

import chaindp as package
from chaindp.backend import Backend
from chaindp.bench import breakeven as bench
from chaindp.bench.breakeven import BreakEvenPlan, Subject, measure_break_even, subjects_of
from chaindp.bench.sides import Job, Sample, SideInfo
from chaindp.errors import InputError, PluginError
from chaindp.kernels import KernelSpec
from chaindp.measure.warmup import WarmUp
from chaindp.plugins import Registry
from chaindp.report.charts.breakeven import break_even_charts
from chaindp.report.markdown import markdown_report
from chaindp.report.page import charts_of, run_report
from chaindp.report.sources import read_runs
from chaindp.report.tables import break_even_table as break_even_cells
from chaindp.results.breakeven import BreakEven, batch_sizes, break_even, curves, served_kernels, why_not
from chaindp.results.command import command_of
from chaindp.results.summary import explain, explain_backends, gain_lines, gains, kernel_costs
from chaindp.results.table import SampleTable
from plugin_site import chaindp
from report_runs import break_even_table, pipeline_table, write
from test_bench import KERNEL, ChangesArguments, Honest, LiesOnce, Raises, Remembers, registry_of
from test_run import plugin


def measured(registry: Registry, *subjects: Subject, seconds: float = 0.0) -> tuple[list[str], pd.DataFrame]:
    table = SampleTable("r")
    failures = measure_break_even(registry, BreakEvenPlan(subjects=subjects, seconds=seconds), table)
    return failures, table.frame()


def sizes_of(frame: pd.DataFrame) -> list[int]:
    rows = frame[frame["metric"] == "break_even_compute"]
    return sorted({int(workload.rpartition("/")[2]) for workload in rows["workload"]})


# measuring --------------------------------------------------------------------------------------------------------


def test_every_side_is_sampled_on_the_same_inputs_and_all_samples_are_kept() -> None:
    registry = registry_of({"cpu": Honest, "gpu": Honest, "npu": Honest})
    failures, frame = measured(registry, Subject(kernel="double", backends=("gpu", "npu")))
    assert failures == []
    assert (frame["status"] == "ok").all()
    assert frame["output_matched"].all()
    assert frame["level"].isna().all()
    sides = frame.groupby(["metric", "backend_requested"]).size()
    assert set(sides.index.get_level_values("metric")) == {
        f"{side}_{part}" for side in ("break_even", "break_even_against") for part in ("compute", "transfer", "work")
    }
    assert set(sides["break_even_compute"].index) == {"gpu", "npu"}
    assert set(sides["break_even_against_compute"].index) == {"cpu"}
    assert sides.nunique() == 1
    work = frame[frame["metric"].str.endswith("_work")]
    assert set(work["value"]) == {3 * 16}, "units of work, not items"
    assert set(work["unit"]) == {"value"}


def test_without_time_only_what_the_pipeline_had_is_measured() -> None:
    """Units are three an item: 48, 192, 768. The size that is beyond the pipeline's batches is the last one."""
    registry = registry_of({"cpu": Honest, "gpu": Honest})
    for largest, sizes in ((0, [16]), (47, [16]), (48, [16, 64]), (500, [16, 64, 256])):
        _, frame = measured(registry, Subject(kernel="double", backends=("gpu",), largest=largest))
        found = [size for size in sizes_of(frame) if size in (16, 64, 256, 1024)]
        assert found == sizes


def test_inputs_are_fresh_in_every_round() -> None:
    registry = registry_of({"cpu": Honest, "gpu": Remembers})
    failures, frame = measured(registry, Subject(kernel="double", backends=("gpu",), largest=500))
    assert len(failures) == 1
    assert failures[0].startswith("break-even of double/16: ")
    assert "differ" in failures[0]
    assert set(frame["status"]) == {"failed"}
    assert sizes_of(frame) == [16], "what fails is measured no further"


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (ChangesArguments, "a call changes its arguments"),
        (Raises, "RuntimeError: device lost and more"),
        (LiesOnce, "differ"),
    ],
)
def test_a_backend_that_fails_is_a_failed_row_and_the_other_kernels_are_measured(
    kind: Callable[..., Backend], message: str
) -> None:
    registry = registry_of({"cpu": Honest, "bad": kind, "gpu": Honest})
    subjects = [
        Subject(kernel="double", backends=("bad",), largest=3 * 20_000),
        Subject(kernel="double", backends=("gpu",)),
    ]
    failures, frame = measured(registry, *subjects)
    assert len(failures) == 1
    assert message in failures[0]
    failed = frame[frame["status"] == "failed"]
    assert failed["backend_requested"].tolist() == ["bad"]
    assert message in failed["reason"].iloc[0]
    assert (frame["backend_requested"] == "gpu").any()


def test_what_the_other_backend_lacks_is_skipped_with_its_reason() -> None:
    registry = registry_of({"cpu": Backend, "gpu": Honest})
    failures, frame = measured(registry, Subject(kernel="double", backends=("gpu",)))
    assert failures == []
    assert frame["status"].tolist() == ["skipped"]
    assert "cpu says double is not implemented" in frame["reason"].iloc[0]


def test_what_a_generator_raises_does_not_take_the_run_along() -> None:
    def broken(rng: np.random.Generator, size: int) -> tuple[Any, ...]:
        raise ZeroDivisionError("no input today")

    registry = registry_of({"cpu": Honest, "gpu": Honest})
    fields = {name: getattr(KERNEL, name) for name in KernelSpec.__slots__} | {"generate": broken}
    registry.kernels["double"] = KernelSpec(**fields)  # type: ignore[index]
    failures, frame = measured(registry, Subject(kernel="double", backends=("gpu",)))
    assert "no input today" in failures[0]
    assert frame["status"].tolist() == ["failed"]


def test_an_input_that_does_not_fit_into_memory_is_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    import psutil

    class Little:
        available = 10_000

    monkeypatch.setattr(psutil, "virtual_memory", lambda: Little)
    registry = registry_of({"cpu": Honest, "gpu": Honest})
    failures, frame = measured(registry, Subject(kernel="double", backends=("gpu",), largest=10**6))
    assert failures == []
    skipped = frame[frame["status"] == "skipped"]
    assert skipped["workload"].tolist() == ["double/256"]
    assert "GiB are free" in skipped["reason"].iloc[0]


def test_backends_are_held_against_cpu_and_cpu_against_its_loops() -> None:
    subjects = subjects_of({"k": (("cpu", "gpu", "gpu:1"), 7.0), "m": (("cpu:scalar",), 0.0)})
    assert [(subject.kernel, subject.backends, subject.against, subject.largest) for subject in subjects] == [
        ("k", ("cpu",), "cpu:scalar", 7.0),
        ("k", ("gpu", "gpu:1"), "cpu", 7.0),
        ("m", ("cpu:scalar",), "cpu", 0.0),
    ]


class MadeUpSide:
    """A side whose calls take what ``times`` says, without a clock."""

    times: ClassVar[dict[str, Callable[[int], float]]] = {}

    def __init__(self, registry: Registry, selector: str, threads: int, *, last: object) -> None:
        self.label = selector

    def prepare(self, job: Job) -> SideInfo:
        return SideInfo(self.label, "", "wall", "test")

    def warm_up(self, job: Job) -> WarmUp:
        return WarmUp(6, True, 1.0)

    def sample(self, job: Job, streams: Sequence[int]) -> Sample:
        return Sample(int(self.times[self.label](job.size)), 10, job.size, f"{job.size} {list(streams)}")

    def close(self) -> None:
        if self.label == "gpu":
            raise PluginError("it hangs")


def test_between_a_loss_and_a_win_the_power_of_two_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fixed cost of 100,000 ns against 100 ns an item: they meet at 1,011 items."""
    monkeypatch.setattr(bench, "LocalSide", MadeUpSide)
    MadeUpSide.times = {"cpu": lambda size: 100 * size, "gpu": lambda size: 100_000 + size}
    warnings: list[str] = []
    table = SampleTable("r")
    plan = BreakEvenPlan(subjects=[Subject(kernel="double", backends=("gpu",))], seconds=3600)
    registry = registry_of({"cpu": Honest, "gpu": Honest})
    assert measure_break_even(registry, plan, table, warn=warnings.append) == []
    frame = table.frame()
    assert sizes_of(frame) == [16, 64, 256, 512, 1024, 4096, 16384, 65536, 262144, 1048576]
    assert warnings == ["backend gpu does not close: it hangs"]
    (found,) = break_even(frame)
    assert (found.wins_from, found.clear_from) == (1024, 1024)
    rounds = frame[frame["metric"] == "break_even_compute"].groupby("workload").size()
    assert (rounds >= 10).all()


# what the table says ----------------------------------------------------------------------------------------------

SIZES = (16, 64, 256, 1024, 4096)


def meeting(at: float, floor: float = 10.0) -> dict[int, tuple[float, float]]:
    """What a unit takes on a device with a fixed cost, and on one that always takes 50 ns, equal at a size."""
    return {size: (floor + (50 - floor) * at / size, 50.0) for size in SIZES}


def test_a_backend_wins_from_the_smallest_size_on_from_which_it_is_faster() -> None:
    (found,) = break_even(break_even_table({"trie_hash": meeting(600)}))
    assert (found.kernel, found.backend, found.against, found.unit) == ("trie_hash", "gpu", "cpu", "node")
    assert (found.wins_from, found.clear_from, found.sizes) == (1024, 1024, SIZES)
    assert [ratio > 1 for ratio in found.ratios] == [False, False, False, True, True]
    assert all(low <= ratio <= high for low, ratio, high in zip(found.lows, found.ratios, found.highs, strict=True))
    assert found.title == "gpu wins from 1,024 nodes on"
    assert found.sentence.endswith("(the run does not say how large its batches are)")
    assert (found.typical, found.around) == (None, [])


def test_a_backend_that_never_wins_says_up_to_where() -> None:
    (found,) = break_even(break_even_table({"trie_hash": meeting(10**6)}))
    assert (found.wins_from, found.clear_from) == (None, None)
    assert found.title == "gpu does not win up to 4,096 nodes"
    assert found.row()["wins_from"] is None


def test_a_backend_that_always_wins() -> None:
    (found,) = break_even(break_even_table({"k": meeting(2)}))
    assert found.wins_from == 16
    assert found.title == "gpu wins at every measured batch, from 16 nodes on"


def test_a_win_that_does_not_last_is_no_win() -> None:
    times = meeting(100) | {4096: (70.0, 50.0)}
    (found,) = break_even(break_even_table({"k": times}))
    assert found.wins_from is None
    assert found.title == "gpu does not win up to 4,096 nodes, though by the medians it is faster at 256, 1,024"


def test_what_is_within_noise_is_not_clear() -> None:
    times = {16: (100.0, 50.0), 64: (49.8, 50.0), 256: (25.0, 50.0)}
    (found,) = break_even(break_even_table({"k": times}, spread=0.1, seed=3))
    assert found.clear_from == 256
    assert found.lows[1] < 1 < found.highs[1]
    (found,) = break_even(break_even_table({"k": {16: (100.0, 50.0), 64: (49.0, 50.0)}}, spread=0.1, seed=3))
    assert found.clear_from is None
    assert "wins" not in found.title


def told(ratios: dict[int, tuple[float, float]], **more: Any) -> BreakEven:
    """A break-even with these ratios and lower ends of their intervals by size."""
    sizes = tuple(ratios)

    def start(values: list[float]) -> int | None:
        below = [index for index, value in enumerate(values) if value <= 1]
        first = below[-1] + 1 if below else 0
        return sizes[first] if first < len(sizes) else None

    medians, lows = ([pair[part] for pair in ratios.values()] for part in (0, 1))
    facts: dict[str, Any] = {"kernel": "k", "backend": "gpu", "against": "cpu", "unit": "node", "batches": ()}
    facts |= {"wins_from": start(medians), "clear_from": start(lows), "sizes": sizes}
    return BreakEven(**facts, ratios=tuple(medians), lows=tuple(lows), highs=tuple(2 * value for value in medians))


LOSES, UNCLEAR, WINS = (0.5, 0.4), (1.2, 0.5), (2.0, 1.5)


@pytest.mark.parametrize(
    ("found", "title", "cells", "keys"),
    [
        (
            told({16: LOSES, 64: LOSES, 256: UNCLEAR}),
            "gpu is not clear of noise up to 256 nodes: the medians cross at 256, which is the largest measured",
            ["256 (largest measured)", "nowhere"],
            ["the medians cross here, not clear of noise, which is the largest measured"],
        ),
        (
            told({16: LOSES, 64: WINS, 256: UNCLEAR}),
            "gpu is not clear of noise up to 256 nodes: the medians cross at 64",
            ["64", "nowhere"],
            ["the medians cross here, not clear of noise"],
        ),
        (
            told({16: UNCLEAR, 64: UNCLEAR}),
            "gpu is not clear of noise up to 64 nodes: the medians are ahead at every measured batch, from 16 on",
            ["16", "nowhere"],
            ["the medians cross here, not clear of noise"],
        ),
        (
            told({16: LOSES, 64: UNCLEAR, 256: WINS, 1024: WINS}),
            "gpu wins from 256 nodes on; the medians cross at 64",
            ["64", "256"],
            ["gpu wins from here on", "the medians cross here, not clear of noise"],
        ),
        (
            told({16: LOSES, 64: WINS}),
            "gpu wins from 64 nodes on, which is the largest measured",
            ["64 (largest measured)", "64 (largest measured)"],
            ["gpu wins from here on, which is the largest measured"],
        ),
        (told({16: LOSES, 64: WINS, 256: WINS}), "gpu wins from 64 nodes on", ["64", "64"], ["gpu wins from here on"]),
    ],
)
def test_nothing_claims_a_win_that_its_figures_do_not_carry(
    found: BreakEven, title: str, cells: list[str], keys: list[str], tmp_path: Path
) -> None:
    assert found.title == title
    assert found.sentence.startswith(f"k: {title} against cpu")
    assert break_even_cells([found]).rows[0][3:5] == cells
    run = read_runs([write(tmp_path / "run", run_with(), "pipeline")])[0]
    curve = pd.DataFrame({"kernel": "k", "backend": "gpu", "against": "cpu", "size": found.sizes, "unit": "node"})
    for name in ("backend_call", "backend_compute", "against_call", "against_compute"):
        curve = curve.assign(**dict.fromkeys((name, f"{name}_q1", f"{name}_q3"), 10.0))
    curve = curve.assign(ratio=found.ratios, ratio_low=found.lows, ratio_high=found.highs, ratio_compute=1.0)
    (chart,) = break_even_charts(run, [found], curve)
    assert chart.title == f"k: {title}"
    assert [key.text for key in chart.legend if key.shape == "diamond"] == keys


def test_transfer_decides() -> None:
    """Without its transfers the device would win."""
    table = break_even_table({"k": {64: (60.0, 50.0)}}, transfer=0.5, spread=0.01)
    row = curves(table).iloc[0]
    assert row["backend_call"] == pytest.approx(60, rel=0.03)
    assert row["backend_compute"] == pytest.approx(30, rel=0.03)
    assert row["ratio"] < 1 < row["ratio_compute"]
    assert row["backend_call_q1"] <= row["backend_call"] <= row["backend_call_q3"]
    assert break_even(table)[0].wins_from is None


def test_samples_that_have_no_other_side_or_do_not_hold_have_no_curve() -> None:
    frame = break_even_table({"k": meeting(600)})
    assert curves(frame[frame["metric"].str.startswith("break_even_against")]).empty
    assert curves(frame[frame["backend_ran"] == "gpu"]).empty
    assert break_even(frame.assign(status="failed", reason="differs")) == []
    assert curves(pipeline_table(levels=(0,), repetitions=1)).empty
    one = frame[~((frame["workload"] == "k/64") & (frame["repetition"] > 0))]
    assert curves(one).set_index("size")["samples"][64] == 1


def test_cpu_is_held_against_its_loops_though_it_is_what_others_are_held_against() -> None:
    frames = [
        break_even_table({"k": meeting(100)}, backend="gpu", against="cpu"),
        break_even_table({"k": meeting(1)}, backend="cpu", against="cpu:scalar"),
    ]
    found = {result.backend: result for result in break_even(pd.concat(frames, ignore_index=True))}
    assert {name: result.against for name, result in found.items()} == {"cpu": "cpu:scalar", "gpu": "cpu"}
    assert found["gpu"].wins_from == 256


def run_with(*, break_even: bool = True, **options: Any) -> pd.DataFrame:
    """A run up to DP5 with ``gpu`` in merkleize and prove; the break-even of two of its kernels."""
    frame = pipeline_table(**({"levels": (0, 3, 5), "fast": "gpu", "again": True} | options))
    more = break_even_table({"trie_hash": meeting(600), "keccak256": meeting(10**6)})
    return pd.concat([frame, more], ignore_index=True) if break_even else frame


def test_batches_are_those_of_levels_with_backends() -> None:
    batches = batch_sizes(run_with(repetitions=2, blocks=3))
    assert set(batches["level"]) == {5}
    row = batches[(batches["stage"] == "merkleize") & (batches["kernel"] == "trie_hash")].iloc[0]
    assert (row["backend"], row["blocks"], row["calls"]) == ("gpu", 6, 3)
    assert 1500 <= row["low"] <= row["typical"] <= row["high"] < 2000
    assert batch_sizes(pipeline_table(levels=(0, 3), repetitions=1)).empty


def test_a_kernel_is_told_with_the_batches_of_the_run() -> None:
    found = {result.kernel: result for result in break_even(run_with())}
    trie = found["trie_hash"]
    (batches,) = trie.batches
    assert trie.sentence == (
        f"trie_hash: gpu wins from 1,024 nodes on against cpu (a batch here has {batches.typical:,.0f} in merkleize)"
    )
    assert [size for size, _ in trie.around] == [1024, 4096]
    assert [batch.stage for batch in found["keccak256"].batches] == ["merkleize", "prove"]
    assert found["keccak256"].typical == max(batch.typical for batch in found["keccak256"].batches)
    row = json.loads(json.dumps(trie.row()))
    assert row["wins_from"] == 1024
    assert row["sizes"] == list(SIZES)
    assert len(row["speed_ratio"]) == len(row["speed_ratio_low"]) == len(row["speed_ratio_high"]) == len(SIZES)
    assert row["typical_batch"] == batches.typical


def test_kernels_served_are_those_of_levels_that_hold() -> None:
    frame = run_with(break_even=False)
    served = served_kernels(frame, {"gpu"})
    assert set(served) == {"keccak256", "trie_hash", "merkle_tree", "merkle_open"}
    assert all(backends == ("gpu",) and 1500 <= largest < 2000 for backends, largest in served.values())
    assert set(served_kernels(frame, {"cpu:scalar"})) == {"ecrecover", "keccak256"}
    assert served_kernels(run_with(break_even=False, failed=(5,)), {"gpu"}) == {}
    old = frame[~frame["metric"].isin(["kernel_batch", "kernel_calls"])]
    assert served_kernels(old, {"gpu"})["trie_hash"] == (("gpu",), 0.0)


def test_a_level_with_backends_is_judged_against_the_level_below() -> None:
    table = gains(run_with(repetitions=8))
    (row,) = list(table.itertuples())
    assert (row.level, row.below, row.rounds, row.verdict) == (5, 3, 8, "faster")
    assert row.low <= row.ratio <= row.high
    assert 0 < row.noise_floor < 0.05
    few = gains(run_with(repetitions=3)).iloc[0]
    assert few["verdict"] == "insufficient data"
    assert few["reason"]
    alone = gains(run_with(again=False)).iloc[0]
    assert alone["verdict"] is None
    assert alone["reason"].startswith("not measured")
    assert alone["ratio"] > 1
    assert gains(pipeline_table(levels=(0, 3, 4), again=True)).empty
    assert gains(run_with(levels=(5,))).empty, "there is nothing below"
    assert gains(run_with(failed=(5,))).empty


def test_costs_are_of_the_stages_whose_kernels_moved() -> None:
    frame = run_with()
    costs = kernel_costs(frame).set_index("stage")
    assert list(costs.index) == ["merkleize", "prove"]
    row = costs.loc["merkleize"]
    assert (row["backend"], row["backend_below"], row["below"]) == ("gpu", "cpu:scalar", 3)
    assert 0 < row["compute"] < row["compute_below"]
    # Two kernels of about 15 ns a transaction each.
    assert row["transfer"] == pytest.approx(30, rel=0.3)
    assert kernel_costs(pipeline_table(levels=(0, 3))).empty


def test_the_summary_tells_gain_transfer_and_break_even() -> None:
    lines = explain_backends(run_with(repetitions=6))
    assert lines[0].startswith("DP5 over DP3: 1.0")
    assert lines[0].endswith(", faster")
    assert "99% interval" in lines[0]
    assert " in tx/s without admit, " in lines[0]
    assert lines[1].startswith("merkleize on gpu: compute 2.")
    assert " us/tx of wall time; on cpu:scalar at DP3: " in lines[1]
    assert [line.partition(":")[0] for line in lines[3:]] == ["keccak256", "trie_hash"]
    frame = run_with()
    assert explain(frame)[-len(lines) :] == explain_backends(frame)
    assert explain(frame, backends=False) + explain_backends(frame) == explain(frame)
    assert gain_lines(frame, costs=False) == gain_lines(frame)[:1]
    assert explain_backends(pipeline_table(levels=(0, 3, 4))) == []


def test_a_mechanism_is_credited_with_the_stages_that_it_moved_only() -> None:
    frame = run_with(break_even=False, levels=(0, 4, 5))
    line = next(line for line in explain(frame) if line.startswith("DP5: "))
    assert "CPU time" not in line, "DP4 of this table has the same backends"
    line = next(line for line in explain(frame) if line.startswith("DP4: "))
    assert "(CPU time of the stage's thread, us/tx: merkleize " in line
    assert ", prove " in line
    prove = frame["level"].eq(5).fillna(False) & frame["stage"].eq("prove").fillna(False)
    moved = frame.assign(backend_ran=frame["backend_ran"].mask(prove & frame["backend_ran"].notna(), "opencl"))
    line = next(line for line in explain(moved) if line.startswith("DP5: "))
    assert "(CPU time of the stage's thread, us/tx: prove " in line
    assert "merkleize " not in line.partition(")")[0]


def test_why_there_is_no_break_even() -> None:
    assert why_not(pipeline_table(levels=(0, 4))) == [
        "not measured: no level runs kernels on a backend that was asked for (--backend)"
    ]
    before = run_with(break_even=False)
    assert why_not(before) == ["not measured: this run was written before break-even was"]
    assert explain_backends(before)[-1] == f"break-even {why_not(before)[0]}"
    off = SampleTable("run-1")
    off.append(metric="break_even_compute", status="skipped", reason="not measured: --break-even is 0")
    assert why_not(pd.concat([before, off.frame()], ignore_index=True)) == ["not measured: --break-even is 0"]
    bad = SampleTable("run-1")
    row = {"workload": "k/64", "kernel": "k", "backend_requested": "gpu", "metric": "break_even_compute"}
    bad.append(**row, status="failed", reason="outputs differ")
    assert why_not(pd.concat([run_with(), bad.frame()], ignore_index=True)) == ["k/64 on gpu: outputs differ"]
    assert why_not(run_with()) == []


def test_the_option_is_part_of_the_command_of_a_run() -> None:
    run = {"kind": "pipeline", "config": {"workload": "erc20", "break_even_s": 0.5}}
    assert command_of(run) == ["chaindp", "run", "--workload=erc20", "--break-even=0.5"]


# the report -------------------------------------------------------------------------------------------------------


def test_the_report_has_a_chart_a_kernel_with_the_crossing_and_the_batches_of_the_run(tmp_path: Path) -> None:
    run = write(tmp_path / "run", run_with(), "pipeline")
    report = run_report(read_runs([run])[0])
    section = next(section for section in report.sections if section.name == "breakeven")
    assert section.missing == []
    assert section.lead[0].startswith("DP5 over DP3: 1.0")
    charts = {chart.title: chart for name, chart in charts_of(report) if name.startswith("breakeven")}
    assert list(charts) == [
        "keccak256: gpu does not win up to 4,096 nodes",
        "trie_hash: gpu wins from 1,024 nodes on",
    ]
    never, wins = charts.values()
    assert "gpu wins from here on" in [key.text for key in wins.legend]
    assert "gpu wins from here on" not in [key.text for key in never.legend]
    assert any(key.text.startswith("batches of this run: merkleize 1,") for key in wins.legend)
    assert wins.table is not None
    assert [row[0] for row in wins.table.rows] == ["16", "64", "256", "1,024", "4,096"]
    costs, table = section.tables
    assert [row[1:3] for row in costs.rows] == [["merkleize", "gpu"], ["prove", "gpu"]]
    assert [row[:5] for row in table.rows] == [
        ["keccak256", "gpu", "cpu", "nowhere", "nowhere"],
        ["trie_hash", "gpu", "cpu", "1,024", "1,024"],
    ]
    markdown = markdown_report([run])
    assert "| trie_hash | gpu | cpu | 1,024 | 1,024 | 16 to 4,096 | node |" in markdown
    assert "DP5 over DP3: 1.0" in markdown


def test_kernels_that_were_measured_alone_are_no_workload_of_the_report(tmp_path: Path) -> None:
    runs = read_runs([write(tmp_path / "run", run_with(), "pipeline")])
    assert [(run.label, run.workload) for run in runs] == [("run", "erc20")]


@pytest.mark.slow
def test_a_report_of_a_run_without_a_break_even_says_why(tmp_path: Path) -> None:
    table = SampleTable("run-1")
    table.append(metric="break_even_compute", status="skipped", reason="not measured: --break-even is 0")
    frame = pd.concat([run_with(break_even=False), table.frame()], ignore_index=True)
    run = write(tmp_path / "run", frame, "pipeline")
    section = next(part for part in run_report(read_runs([run])[0]).sections if part.name == "breakeven")
    assert section.missing == ["Break-even: not measured: --break-even is 0."]
    assert section.charts == []
    assert "Break-even: not measured: --break-even is 0." in markdown_report([run])


@pytest.mark.parametrize(
    ("metric", "value", "message"),
    [
        ("break_even_compute", 0.0, "is not positive"),
        ("break_even_against_work", 0.0, "is not positive"),
        ("break_even_transfer", -1.0, "is below 0"),
        ("kernel_batch", 0.0, "is not positive"),
    ],
)
def test_figures_that_no_run_could_have_written_are_refused(
    metric: str, value: float, message: str, tmp_path: Path
) -> None:
    frame = run_with()
    frame.loc[frame["metric"] == metric, "value"] = value
    with pytest.raises(InputError, match=f"metric {metric}.*the value {message}"):
        read_runs([write(tmp_path / "run", frame, "pipeline")])


def test_samples_that_are_there_twice_are_refused(tmp_path: Path) -> None:
    frame = pd.concat([run_with(), break_even_table({"trie_hash": meeting(600)})], ignore_index=True)
    with pytest.raises(InputError, match=r"metric break_even_\w+, repetition 0: the value is there twice"):
        read_runs([write(tmp_path / "run", frame, "pipeline")])


# the command ------------------------------------------------------------------------------------------------------

TINY = ("--txs", "200", "--block-txs", "100", "--accounts", "300", "--repeat", "1", "--slot", "0.001")


def run_command(tmp_path: Path, change: str, *arguments: str, status: int = 0) -> dict[str, Any]:
    site = plugin(tmp_path / "site", change)
    command = ("run", *TINY, "--levels", "0,5", "--backend", "tested", "--out", str(tmp_path / "runs"), *arguments)
    done = chaindp(*command, "--json", site=site)
    assert done.returncode == status, done.stderr
    assert "Traceback" not in done.stderr
    document = json.loads(done.stdout)
    assert isinstance(document, dict)
    return document


@pytest.mark.slow
def test_a_run_measures_the_kernels_that_the_backend_served(tmp_path: Path) -> None:
    document = run_command(tmp_path, "pass", "--break-even", "0.01")
    rows = {row["kernel"]: row for row in document["break_even"]}
    assert set(rows) == {"keccak256", "merkle_open", "merkle_tree", "trie_hash"}
    for row in rows.values():
        assert (row["backend"], row["against"]) == ("tested", "cpu")
        assert row["wins_from"] is None or row["wins_from"] in row["sizes"]
        assert row["sizes"] == sorted(row["sizes"])
        assert len(row["speed_ratio"]) == len(row["sizes"])
        assert row["sizes"][-1] > row["typical_batch"] > 0, "past the batches of the run, whatever it takes"
    assert rows["merkle_open"]["typical_batch"] == 100, "a path for every transaction of a block"
    assert [batch["stage"] for batch in rows["keccak256"]["batches"]] == ["merkleize", "preload", "prove"]
    assert document["break_even_missing"] == []
    (gain,) = document["gains"]
    assert (gain["level"], gain["below"], gain["verdict"]) == (5, 0, "insufficient data")
    assert set(gain["stages"]) == {"preload", "merkleize", "prove"}
    assert gain["stages"]["merkleize"]["compute_ns_per_tx"] > 0
    assert gain["stages"]["merkleize"]["backend_below"] == "cpu:scalar"
    assert any(line.startswith("trie_hash: tested ") for line in document["explanation"])
    frame = package.load(document["path"])
    assert frame.attrs["run"]["config"]["break_even_s"] == 0.01
    rows = frame[frame["metric"] == "break_even_compute"]
    assert rows["level"].isna().all()
    assert (rows["backend_ran"] == "tested").all()
    assert "trie_hash: tested " in " ".join((Path(document["path"]) / "summary.txt").read_text().split())


@pytest.mark.slow
def test_a_run_without_time_for_it_says_so(tmp_path: Path) -> None:
    document = run_command(tmp_path, "pass", "--break-even", "0")
    assert document["break_even"] == []
    assert document["break_even_missing"] == ["not measured: --break-even is 0"]
    assert document["gains"]
    frame = package.load(document["path"])
    row = frame[frame["metric"] == "break_even_compute"].iloc[0]
    assert (row["status"], row["reason"]) == ("skipped", "not measured: --break-even is 0")


@pytest.mark.slow
def test_a_run_whose_backend_is_wrong_has_nothing_to_measure(tmp_path: Path) -> None:
    document = run_command(tmp_path, "result = result[:-1]", status=1)
    assert document["break_even"] == []
    assert document["break_even_missing"] == [
        "not measured: no level holds in which a backend that was asked for ran a kernel"
    ]


@pytest.mark.slow
def test_a_backend_that_is_wrong_beyond_the_runs_batches_is_caught_here(tmp_path: Path) -> None:
    change = "if name == 'keccak256' and len(result) > 1000:\n    result = result.copy()\n    result[7, 0] ^= 1"
    document = run_command(tmp_path, change, "--break-even", "5", status=1)
    (failure,) = document["failures"]
    assert failure.startswith("break-even of keccak256/1024: kernel keccak256: outputs of tested and cpu differ")
    assert document["summary"][1]["status"] == "ok", "the levels hold"


@pytest.mark.slow
def test_a_run_without_backends_measures_none(tmp_path: Path) -> None:
    done = chaindp("run", *TINY, "--levels", "0", "--out", str(tmp_path / "runs"), "--json")
    document = json.loads(done.stdout)
    assert (document["break_even"], document["break_even_missing"], document["gains"]) == ([], [], [])
    assert not package.load(document["path"])["metric"].str.startswith("break_even").any()


@pytest.mark.parametrize("seconds", ["-1", "nan", "inf", "soon"])
def test_a_time_that_is_none_is_one_line(seconds: str, tmp_path: Path) -> None:
    done = chaindp("run", *TINY, "--break-even", seconds, cwd=tmp_path)
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1
    assert "--break-even" in done.stderr
    assert list(tmp_path.iterdir()) == []
