"""What a report says in words: no more than its verdicts, and in the same words everywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from bokeh.models import LabelSet

from chaindp.cli import main
from chaindp.pipeline.levels import HETEROGENEOUS, LEVELS, LevelPlan
from chaindp.report.charts.timeline import timeline_chart
from chaindp.report.headline import headline
from chaindp.report.markdown import markdown_report
from chaindp.report.page import charts_of, run_report
from chaindp.report.palette import VERDICT_COLOURS, backend_colours
from chaindp.report.sources import Run, read_runs
from chaindp.report.tables import comparison_table, noise_line, rates_table
from chaindp.report.terminal import run_summary
from chaindp.report.words import figure, ratio
from chaindp.results.summary import latencies, stage_times
from report_runs import bench_table, comparison_row, pipeline_table, write


def with_tps(levels: dict[int, float], *, spread: float = 0.001, again: bool = True, repetitions: int = 8) -> Any:
    """A pipeline table whose levels have these throughputs, within ``spread``."""
    frame = pipeline_table(levels=tuple(levels), repetitions=repetitions, blocks=2, again=again)
    rng = np.random.default_rng(0)
    for level, tps in levels.items():
        rows = (frame["level"] == level) & frame["metric"].isin(["tps", "tps_again"])
        frame.loc[rows, "value"] = tps * rng.uniform(1 - spread, 1 + spread, int(rows.sum()))
    return frame


def run_of(tmp_path: Path, frame: pd.DataFrame, kind: str = "pipeline", **document: Any) -> Run:
    return read_runs([write(tmp_path / "run", frame, kind, **document)])[0]


@pytest.mark.parametrize(
    ("options", "expected", "never"),
    [
        ({"levels": {0: 8e3, 4: 12e3}}, ["DP4 is faster than DP0, 1.50 times, 12,0"], ["no verdict"]),
        ({"levels": {0: 8e3, 1: 8e3, 4: 8001.0}, "spread": 0.2}, ["no level can be told from DP0 (noise"], ["faster"]),
        ({"levels": {0: 8e3, 1: 8e3, 4: 16e3}, "spread": 0.01}, ["DP1 cannot be told from DP0"], ["no level"]),
        ({"levels": {0: 8e3, 4: 4e3}}, ["DP4 is slower than DP0 (noise floor"], ["faster"]),
        ({"levels": {0: 8e3, 4: 12e3}, "repetitions": 1}, ["insufficient data (1 round"], ["faster", "Noise floor"]),
        ({"levels": {0: 8e3, 4: 12e3}, "again": False}, ["no verdict (the run has no second pass"], ["faster"]),
        ({"levels": {0: 8e3, 4: 9e5}, "again": False}, ["which its median reaches, without a verdict"], ["is reached"]),
    ],
)
def test_a_headline_claims_no_more_than_the_verdicts(
    options: dict[str, Any], expected: list[str], never: list[str], tmp_path: Path
) -> None:
    said = headline(run_of(tmp_path, with_tps(**options)))
    for words in expected:
        assert words in said
    for words in [*never, "fastest"]:
        assert words not in said


def test_a_slower_side_takes_longer_in_a_bench_and_in_a_comparison(tmp_path: Path) -> None:
    sides = {"cpu": [10.0] * 6, "demo": [40.0] * 6}
    bench = read_runs([write(tmp_path / "bench", bench_table(sides), "bench")])[0]
    rows = [comparison_row(b="demo", verdict="slower", ratio=0.25, low=0.24, high=0.26)]
    compare = read_runs([write(tmp_path / "compare", bench_table(sides), "compare", rows=rows)])[0]
    assert "demo takes 4.00 times as long" in headline(bench)
    assert "without verdicts" in headline(bench)
    assert "slower in keccak256/4096 (takes 4.00 times as long)" in headline(compare)


def test_small_ratios_keep_three_digits() -> None:
    assert [ratio(value) for value in (0.0212, 0.0199, 1.0377, 0.9996, 15.03)] == [
        "0.0212", "0.0199", "1.04", "1.00", "15.0",
    ]  # fmt: skip
    assert figure(999.7) == "1,000"


def test_insufficient_data_have_a_dash_and_a_reason(tmp_path: Path) -> None:
    few = comparison_row(verdict="insufficient data", low=None, high=None, noise_floor=None, reason="2 rounds")
    frame = bench_table({"cpu": [58.0] * 2, "gpu": [29.0] * 2})
    run = run_of(tmp_path, frame, "compare", rows=[few])
    table = comparison_table(run)
    assert table.rows[0][1:5] == ["insufficient data", "2.00", "-", "-"]
    assert table.rows[0][-1] == "2 rounds"
    assert headline(run) == "gpu against cpu: insufficient data in keccak256/4096."
    assert "why" not in comparison_table(run_of(tmp_path / "b", frame, "compare", rows=[comparison_row()])).columns
    assert list(charts_of(run_report(run)))


def test_a_revision_is_named_with_its_commit(tmp_path: Path) -> None:
    commits = ["0123456789abcdef0123456789abcdef01234567", "fedcba9876543210fedcba9876543210fedcba98"]
    sides = {"demo@one": [58.0] * 6, "demo@HEAD (fedcba9)": [29.0] * 6}
    a, b = sides
    rows = [comparison_row(a=a, b=b)]
    run = run_of(tmp_path, bench_table(sides), "compare", rows=rows, a=a, b=b, revisions=commits)
    assert headline(run).startswith("demo@HEAD (fedcba9) against demo@one (0123456): faster")
    assert {row[2] for row in rates_table(run).rows} == {"demo@one (0123456)", "demo@HEAD (fedcba9)"}


@pytest.mark.slow
def test_a_backend_has_one_colour_in_a_page_and_no_verdicts_colour(tmp_path: Path) -> None:
    bench = bench_table({"zeta": [1.0] * 6, "cpu": [2.0] * 6})
    compare = bench_table({"cpu": [2.0] * 6, "alpha": [1.0] * 6})
    runs = read_runs(
        [
            write(tmp_path / "bench", bench, "bench"),
            write(tmp_path / "compare", compare, "compare", rows=[comparison_row(b="alpha")]),
            write(tmp_path / "run", pipeline_table(fast="zeta", blocks=2), "pipeline"),
        ]
    )
    shown: dict[str, set[str]] = {}
    for run in runs:
        for _, chart in charts_of(run_report(run)):
            for key in chart.legend:
                name = key.text.removeprefix("compute on ")
                if name in ("cpu", "cpu:scalar", "alpha", "zeta"):
                    shown.setdefault(name, set()).add(key.colour)
    assert {name: len(colours) for name, colours in shown.items()} == dict.fromkeys(
        ("cpu", "cpu:scalar", "alpha", "zeta"), 1
    )
    assert len(set.union(*shown.values())) == 4
    assert not set.union(*shown.values()) & set(VERDICT_COLOURS.values())
    assert backend_colours(["cpu"])["cpu"] == backend_colours(["a", "b", "cpu"])["cpu"]


def test_whether_blocks_overlap_is_read_from_their_instants(tmp_path: Path) -> None:
    chart = timeline_chart(run_of(tmp_path / "one", pipeline_table(levels=(0, 4), blocks=1)))
    assert chart is not None
    assert chart.title == "The pass has one block, so no level can overlap blocks"
    sets = [part for part in chart.figure.center if isinstance(part, LabelSet)]
    labels = [text for part in sets for text in part.source.data["text"]]
    assert labels
    assert not [text for text in labels if "overlap" in text]
    chart = timeline_chart(run_of(tmp_path / "more", pipeline_table(levels=(0, 4), blocks=4)))
    assert chart is not None
    assert chart.title.startswith("At DP4, ")


def test_the_amdahl_table_says_what_is_measured_and_how_sure(tmp_path: Path) -> None:
    run = write(tmp_path / "run", pipeline_table(levels=(0, 3, 4), again=True, blocks=2), "pipeline")
    text = markdown_report([run])
    assert "measured, with admit" in text
    assert "\\* Blocks overlap at this level and not at its baseline" in text
    assert "of tx/s without admit: a prediction and a measurement" in text


def test_runs_are_headed_by_what_they_are(tmp_path: Path) -> None:
    paths = [write(tmp_path / "p", pipeline_table(levels=(0, 4), blocks=2), "pipeline")]
    paths.append(write(tmp_path / "b", bench_table({"cpu": [1.0]}), "bench"))
    paths.append(write(tmp_path / "c", bench_table({"cpu": [1.0]}), "compare", rows=[comparison_row()]))
    assert [run_report(run).title for run in read_runs(paths)] == [
        "erc20, live, DP0/DP4, 2026-01-02 03:04:05",
        "bench of keccak256/4096, 2026-01-02 03:04:05",
        "comparison of gpu against cpu, 2026-01-02 03:04:05",
    ]


def test_transfers_have_their_own_outliers(tmp_path: Path) -> None:
    frame = bench_table({"cpu": [10.0] * 12})
    moved = frame.index[frame["metric"] == "transfer_time"]
    frame.loc[moved, "value"] = np.linspace(500.0, 510.0, 12)
    frame.loc[moved[3], "value"] = 9000.0
    charts = [chart for _, chart in charts_of(run_report(run_of(tmp_path, frame, "bench")))]
    assert [any(key.text == "severe outlier" for key in chart.legend) for chart in charts] == [False, True]


def test_latencies_count_every_transaction_without_making_a_row_of_it() -> None:
    frame = pipeline_table(levels=(0,), repetitions=2, blocks=9)
    sizes = frame["metric"] == "transactions"
    frame.loc[sizes, "value"] = np.arange(1, sizes.sum() + 1)
    weights = frame[sizes].set_index(["repetition", "block"])["value"].astype(int)
    for row in latencies(frame).itertuples():
        each = frame[frame["metric"] == f"latency_{row.latency}"].set_index(["repetition", "block"])["value"]
        whole = np.repeat(each.to_numpy(dtype=float), weights.loc[each.index].to_numpy())
        assert (row.p50_ns, row.p99_ns) == pytest.approx(tuple(np.quantile(whole, [0.5, 0.99])))
    frame.loc[sizes, "value"] = 1e15
    assert len(latencies(frame)) == 4


def test_a_trace_goes_to_stdout(tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    run = write(tmp_path / "run", pipeline_table(levels=(0,), repetitions=1, blocks=1), "pipeline")
    monkeypatch.chdir(tmp_path)
    assert main(["trace", str(run), "--out", "-"]) == 0
    assert capsys.readouterr().out.startswith('{"otherData": {"generator": "chaindp trace')
    assert main(["trace", str(run), "--out", "-", "--json"]) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        pytest.param(
            {"levels": {0: 8e3, 4: 12e3}, "repetitions": 2}, "2 rounds, and it takes 5", marks=pytest.mark.slow
        ),
        pytest.param(
            {"levels": {0: 8e3, 4: 12e3}, "repetitions": 1}, "1 round, and it takes 5", marks=pytest.mark.slow
        ),
        pytest.param({"levels": {0: 8e3}, "repetitions": 2}, "2 rounds, and it takes 5", marks=pytest.mark.slow),
        ({"levels": {0: 8e3, 4: 12e3}, "again": False}, "not measured: the run has no second pass"),
        pytest.param(
            {"levels": {0: 8e3}, "again": False}, "not measured: the run has no second pass", marks=pytest.mark.slow
        ),
    ],
)
def test_a_missing_noise_floor_has_its_own_reason(options: dict[str, Any], reason: str, tmp_path: Path) -> None:
    """And not the reason why the lowest level has no verdict over itself."""
    run = run_of(tmp_path, with_tps(**options))
    assert noise_line(run).startswith(f"Noise floor: {reason}")
    section = next(section for section in run_report(run).sections if section.name == "noise")
    assert noise_line(run) in [*section.lead, *section.missing]
    assert f"Noise floor: {reason}" in markdown_report([tmp_path / "run"])


@pytest.mark.slow
def test_one_repetition_is_no_repetitions(tmp_path: Path) -> None:
    config = {"txs": 1, "block_txs": 1, "accounts": 1, "repeat": 1}
    run = run_of(tmp_path, pipeline_table(levels=(0,), repetitions=1, blocks=1), config=config)
    work = dict(run_report(run).facts)["work"]
    assert work == "1 transaction a pass, 1 a block at most, 1 account, 1 repetition"


def plans_of(*levels: int) -> list[LevelPlan]:
    return [LevelPlan(LEVELS[level], frozenset({HETEROGENEOUS} if level == 5 else ()), {}) for level in levels]


def test_a_summary_without_dp0_says_over_what_and_of_which_pass(tmp_path: Path) -> None:
    frame = with_tps({4: 8e3, 5: 12e3}, spread=0.0)
    lines = run_summary(frame, 0.02, 1000, plans_of(4, 5)).splitlines()
    head = next(number for number, line in enumerate(lines) if line.strip().startswith("level"))
    assert (lines[head - 1].strip(), lines[head].split()[-2:]) == ("with admit,", ["x", "DP4"])
    row = next(line for line in lines if line.strip().startswith("DP5"))
    assert "  1.50x DP4  " in row


def test_a_stage_without_a_call_hashed_on_nothing() -> None:
    frame = pipeline_table(levels=(4, 5), fast="opencl")
    # A table says of every stage which backend it has; it is the calls that say where it hashed.
    idle = (frame["stage"] == "execute") & (frame["metric"] == "busy")
    frame["backend_ran"] = frame["backend_ran"].mask(idle, "opencl")
    assert stage_times(frame).set_index(["level", "stage"])["backend"][5, "merkleize"] == "opencl"
    (line,) = [line for line in run_summary(frame, 0.02, 1000, plans_of(4, 5)).splitlines() if " hashed on " in line]
    assert line.startswith("DP5 hashed on cpu:scalar: admit")
    assert line.endswith("; opencl: merkleize, prove")
    silent = frame[frame["metric"] != "kernel_compute"]
    assert "DP5 called no kernel" in run_summary(silent, 0.02, 1000, plans_of(4, 5)).splitlines()


def test_the_curve_of_amdahl_says_of_which_pass_it_is(tmp_path: Path) -> None:
    run = run_of(tmp_path, pipeline_table(levels=(0, 4)))
    (chart,) = [chart for name, chart in charts_of(run_report(run)) if name.startswith("amdahl")]
    assert "of the pass with admit" in chart.quantity
    assert any(key.text.startswith("measured in tx/s with admit") for key in chart.legend)
