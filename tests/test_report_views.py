"""What reports are made of: rates, intervals, Amdahl's view, timelines, problems, verdicts, claims, words."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from chaindp.pipeline.levels import LEVELS
from chaindp.report.charts.figures import plain, short
from chaindp.report.claims import claim_of, parse_claim
from chaindp.report.tables import level_ranges
from chaindp.report.words import count, duration, figure, percent, plural, ratio, text
from chaindp.results.amdahl import amdahl, speedup_with
from chaindp.results.kernels import kernel_rates, kernel_samples, stage_kernels
from chaindp.results.noise import NOT_MEASURED, level_verdicts
from chaindp.results.problems import problems
from chaindp.results.table import SampleTable
from chaindp.results.timeline import block_kernels, spans, typical_repetition
from report_runs import bench_table, pipeline_table


def test_kernel_samples_are_for_a_unit_of_work() -> None:
    samples = kernel_samples(bench_table({"cpu": [10.0, 12.0, 11.0], "gpu": [5.0, 5.5]}, transfer=0.25))
    assert samples[samples["backend"] == "cpu"]["compute"].tolist() == [10.0, 12.0, 11.0]
    assert set(samples["transfer"]) == {0.25}
    assert set(samples["size"]) == {"4096"}
    assert set(samples["unit"] + "/" + samples["work_unit"]) == {"ns/permutation"}


def test_samples_of_one_repetition_are_matched_in_their_order() -> None:
    """A comparison samples a side twice in a round."""
    table = SampleTable("run-1")
    row = {"workload": "k/1", "kernel": "k", "backend_requested": "cpu", "time_domain": "wall", "repetition": 0}
    for compute, work in ((100.0, 10.0), (900.0, 30.0)):
        table.append(**row, metric="compute_time", value=compute, unit="ns")
        table.append(**row, metric="work", value=work, unit="item")
    samples = kernel_samples(table.frame())
    assert samples["compute"].tolist() == [10.0, 30.0]
    assert samples["transfer"].isna().all()


def test_the_second_a_of_a_comparison_is_no_sample_of_a_side() -> None:
    samples = kernel_samples(bench_table({"cpu": [10.0] * 3, "gpu": [5.0] * 3}, again=[10.0] * 3))
    assert len(samples) == 6


def test_outliers_are_labelled_and_kept() -> None:
    samples = kernel_samples(bench_table({"cpu": [*np.linspace(10.0, 10.9, 10), 11.9, 30.0]}))
    assert samples["outlier"].tolist() == [""] * 10 + ["mild", "severe"]
    assert kernel_rates(samples)["outliers"].tolist() == [2]
    assert kernel_rates(samples)["samples"].tolist() == [12]


@pytest.mark.parametrize("number", [60, 500])
def test_intervals_hold_the_median_about_as_often_as_they_say(number: int) -> None:
    """Both ways, the bootstrap's and the order statistics', against draws of a known median."""
    rng = np.random.default_rng(1)
    sides = {f"backend{index}": rng.lognormal(2.0, 0.3, number) for index in range(60)}
    rates = kernel_rates(kernel_samples(bench_table(sides)))
    held = ((rates["compute_low"] <= np.exp(2.0)) & (np.exp(2.0) <= rates["compute_high"])).sum()
    assert 53 <= held <= 59


def test_kernels_within_stages_are_per_transaction() -> None:
    table = stage_kernels(pipeline_table(levels=(0, 4), blocks=3))
    row = table[(table["level"] == 0) & (table["kernel"] == "trie_hash")].iloc[0]
    assert row["stage"] == "merkleize"
    assert row["repetitions"] == 5
    assert row["compute_low"] <= row["compute"] <= row["compute_high"]
    # 23 ms a block of 1,000 transactions, 20 % of it in the kernel.
    assert row["compute"] == pytest.approx(4600, rel=0.1)
    assert row["transfer"] == pytest.approx(15, rel=0.4)


def test_amdahls_formula() -> None:
    assert speedup_with(0.5, 2.0, 0.0) == pytest.approx(4 / 3)
    assert speedup_with(0.5, float("inf"), 0.0) == 2.0
    assert speedup_with(0.5, 1.0, 0.25) == pytest.approx(0.8)


def one_stage_run(levels: dict[int, tuple[str, float, float, float]]) -> pd.DataFrame:
    """A level to (backend, busy, kernel compute, transfer) in ns, of one block of one transaction, one stage."""
    table = SampleTable("run-1")
    for level, (backend, busy, compute, transfer) in levels.items():
        row = {"workload": "w", "level": level, "repetition": 0, "block": 0}
        table.append(**row, metric="transactions", value=1, unit="1")
        here = row | {"stage": "merkleize", "backend_ran": backend, "backend_requested": backend, "unit": "ns"}
        table.append(**here, metric="busy", value=busy)
        table.append(**here, kernel="k", metric="kernel_compute", value=compute)
        table.append(**here, kernel="k", metric="kernel_transfer", value=transfer)
        table.append(workload="w", level=level, repetition=0, metric="tps_with_admit", value=1e9 / busy, unit="tx/s")
    return table.frame()


def test_amdahl_of_a_level_that_changes_nothing_else_predicts_what_is_measured() -> None:
    """100 ns, of which 50 are kernel; then 10 of compute and 5 of transfer instead: 65 ns."""
    table = amdahl(one_stage_run({0: ("cpu", 100.0, 49.0, 1.0), 5: ("gpu", 65.0, 10.0, 5.0)}))
    assert table["stage"].tolist() == ["merkleize", "all"]
    row = table.iloc[1]
    assert row["share"] == pytest.approx(0.5)
    assert row["kernel_speedup"] == pytest.approx(5.0)
    assert row["transfer"] == pytest.approx(0.05)
    assert row["predicted"] == pytest.approx(100 / 65)
    assert row["measured"] == pytest.approx(100 / 65)
    assert row["ceiling"] == pytest.approx(2.0)
    assert not row["overlap"]


def test_amdahl_has_the_lowest_level_and_the_next_one_as_baselines() -> None:
    table = amdahl(pipeline_table(levels=(0, 3, 4)))
    whole = table[table["stage"] == "all"]
    assert list(zip(whole["level"], whole["baseline"], strict=True)) == [(4, 0), (4, 3)]
    assert whole["overlap"].tolist() == [True, False]
    assert (whole["predicted"] < whole["ceiling"]).all()


def test_amdahl_is_silent_where_no_kernel_moved() -> None:
    assert amdahl(pipeline_table(levels=(0, 3))).empty
    assert amdahl(bench_table({"cpu": [1.0]})).empty


def test_spans_say_which_block_is_in_which_stage_when() -> None:
    table = spans(pipeline_table(levels=(0, 3), repetitions=2, blocks=3, failed=(3,)))
    assert len(table) == 2 * 2 * 3 * 7
    assert set(table[table["level"] == 3]["status"]) == {"failed"}
    assert (table["end"] >= table["start"]).all()
    sequential = table[(table["level"] == 0) & (table["repetition"] == 0)].sort_values("start")
    assert (sequential["start"].to_numpy()[1:] >= sequential["end"].to_numpy()[:-1]).all()
    assert spans(bench_table({"cpu": [1.0]})).empty
    assert len(block_kernels(pipeline_table(levels=(0,), repetitions=1, blocks=3))) == 3 * 8


def test_the_typical_repetition_has_every_level_and_the_median_throughput() -> None:
    table = SampleTable("run-1")
    for repetition, (low, high) in enumerate([(10, 11), (30, 31), (20, 21), (99, None)]):
        for level, value in ((0, low), (4, high)):
            if value is not None:
                where = {"workload": "w", "level": level, "repetition": repetition}
                table.append(**where, metric="tps_with_admit", value=value, unit="tx/s")
    assert typical_repetition(table.frame()) == 2
    assert typical_repetition(bench_table({"cpu": [1.0]})) is None


def test_problems_are_one_row_each_with_their_levels() -> None:
    table = problems(pipeline_table(levels=(0, 1, 2, 4), failed=(4,), reason="DP4, repetition 0: other gas than DP0"))
    failed = table[table["status"] == "failed"]
    assert failed["what"].tolist() == ["check"]
    assert failed["levels"].tolist() == [[4]]
    assert failed["rows"].iloc[0] > 100
    skipped = table[table["status"] == "skipped"].set_index("what")
    assert skipped["levels"]["scalable_consensus"] == [1, 2, 4]
    assert skipped["reason"]["batched_preload"] == "not built yet"


def test_problems_of_a_bench_name_kernel_and_backend() -> None:
    table = SampleTable("run-1")
    row = {"workload": "ntt/64", "kernel": "ntt", "backend_requested": "gpu", "unit": "ns"}
    table.append(**row, metric="compute_time", status="skipped", reason="no ntt")
    table.append(metric="plugin", backend_requested="broken", status="failed", reason="does not import")
    found = problems(table.frame())
    assert found[["status", "what", "backend"]].to_numpy().tolist() == [
        ["failed", "plugin", "broken"],
        ["skipped", "ntt/64", "gpu"],
    ]
    assert problems(bench_table({"cpu": [1.0]})).empty


def test_levels_have_verdicts_where_the_lowest_one_was_run_again() -> None:
    rows = level_verdicts(pipeline_table(levels=(0, 5), again=True, repetitions=8)).set_index("level")
    assert rows["verdict"][5] == "faster"
    assert rows["low"][5] > 1
    assert 0 < rows["noise_floor"][5] < 0.05
    assert pd.isna(rows["verdict"][0])
    few = level_verdicts(pipeline_table(levels=(0, 5), again=True, repetitions=3)).set_index("level")
    assert few["verdict"][5] == "insufficient data"
    assert few["reason"][5]


def test_levels_have_no_verdict_without_a_noise_floor() -> None:
    rows = level_verdicts(pipeline_table(levels=(0, 4)))
    assert rows["verdict"].isna().all()
    assert rows["noise_floor"].isna().all()
    assert set(rows["reason"]) == {NOT_MEASURED}
    assert level_verdicts(pipeline_table(levels=(0, 4), failed=(0, 4), again=True)).empty


def test_levels_have_no_verdict_over_one_that_holds_in_its_second_pass_alone() -> None:
    frame = pipeline_table(levels=(0, 4), again=True, blocks=1)
    rows = level_verdicts(frame[(frame["level"] != 0) | (frame["metric"] != "tps")])
    assert rows["verdict"].isna().all()
    assert rows["reason"].tolist() == ["DP0, which the others are compared with, has no throughput that holds"]


def test_claims_are_numbers() -> None:
    assert parse_claim("1p").gap(2.0) == 0.5
    assert (parse_claim("15-50p").low, parse_claim("15-50p").high) == (15, 50)
    assert (parse_claim("500p+").low, parse_claim("500p+").high) == (500, None)
    assert [claim_of(level.number).text for level in LEVELS] == [level.claim for level in LEVELS]
    for wrong in ("p", "5", "fast", "5-p", ""):
        with pytest.raises(ValueError, match="not a claim"):
            parse_claim(wrong)


def test_text_on_a_canvas_is_shown_as_it_is() -> None:
    """Bokeh would take it for TeX, and show a piece of its source where nothing can set it."""
    for tex in ("ns a $$x$$", r"\[x\]", r"\(x\)"):
        assert not any(mark in plain(tex) for mark in ("$$", r"\[", r"\]", r"\(", r"\)"))
        assert plain(tex).replace("\N{ZERO WIDTH SPACE}", "") == tex
    assert plain("two\nlines") == "two lines"
    assert short("x" * 17) == "x" * 15 + "\N{HORIZONTAL ELLIPSIS}"
    assert short("x" * 16) == "x" * 16


def test_words_have_digits_that_mean_something() -> None:
    assert [figure(value) for value in (0, 0.012345, 58.12, 8334.4, None, float("nan"))] == [
        "0", "0.0123", "58.1", "8,334", "", "",
    ]  # fmt: skip
    assert figure(float("inf")) == "unlimited"
    assert [ratio(value) for value in (1.0377, 15.03, 458.3, pd.NA)] == ["1.04", "15.0", "458", ""]
    assert [duration(value) for value in (12.0, 4.5e3, 1.25e6, 2e9)] == ["12.0 ns", "4.50 us", "1.25 ms", "2.00 s"]
    assert percent(0.0123) == "1.2 %"
    assert percent(0.358) == "35.8 %"
    assert count(1234.4) == "1,234"
    assert text(pd.NA) == text(None) == text(float("nan")) == ""
    assert level_ranges([0, 1, 2, 4]) == "DP0-DP2, DP4"


def test_plurals() -> None:
    assert [plural(1, "butterfly"), plural(2, "butterfly"), plural(2, "day")] == [
        "1 butterfly",
        "2 butterflies",
        "2 days",
    ]
    assert plural(3, "core of it", "cores of it") == "3 cores of it"
