"""How far the model is off, wherever modelled figures are shown: the worst sample, and no median of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib.figure
import pandas as pd
import pytest

from chaindp.pipeline.levels import plan_level
from chaindp.report.charts.runs import runs_charts
from chaindp.report.headline import headline
from chaindp.report.ladder import plot_ladder
from chaindp.report.sources import read_runs
from chaindp.report.tables import error_line, ladder_table
from chaindp.report.terminal import run_summary
from chaindp.results.compare import compare_runs
from chaindp.results.model_error import checked_on, error_note, worst_error
from chaindp.results.summary import gain_lines, ladder
from report_runs import pipeline_table, write

ERRORS = {0: [0.01, 0.02, -0.03], 4: [0.25, -0.5, 0.1]}
"""By level and repetition: the medians are small, and of either sign."""


def modelled(errors: dict[int, list[float]] = ERRORS, **host: int) -> pd.DataFrame:
    """A model run with these errors; ``host`` are rows of one value."""
    frame = pipeline_table(levels=tuple(errors), repetitions=3, mode="model", again=True)
    for level, values in errors.items():
        rows = (frame["metric"] == "model_error") & (frame["level"] == level)
        frame.loc[rows, "value"] = values
    heads = [frame.iloc[[0]].assign(metric=metric, value=float(value), unit="1") for metric, value in host.items()]
    return pd.concat([frame, *heads], ignore_index=True)


HOSTS = {"model_cores": 64, "model_lock": 0, "model_check_cores": 2, "model_check_lock": 1}


def test_the_worst_sample_counts_and_not_the_median() -> None:
    frame = modelled()
    assert worst_error(frame) == -0.5
    assert worst_error(frame, levels=(0,)) == -0.03
    assert worst_error(frame, metrics=("model_error_with_admit",)) is None
    assert error_note(frame) == "the model is off by at most 50.0%"
    rungs = ladder(frame).set_index("level")
    assert rungs.loc[4, ["model_error", "model_error_low", "model_error_high"]].tolist() == [0.1, -0.5, 0.25]


def test_a_live_run_has_no_model_and_a_run_without_checks_says_so() -> None:
    assert error_note(pipeline_table()) == ""
    unchecked = modelled()
    unchecked = unchecked[unchecked["metric"] != "model_error"]
    assert error_note(unchecked) == "the model was not checked"


def test_another_host_than_the_checked_one_is_said() -> None:
    assert checked_on(modelled()) == ""
    assert checked_on(modelled(**HOSTS)) == (
        "on this machine, 2 cores with an interpreter's lock; what is modelled is 64 cores without an interpreter's "
        "lock, which nothing here can be checked against"
    )
    same = HOSTS | {"model_cores": 2, "model_lock": 1}
    assert checked_on(modelled(**same)) == "on this machine, 2 cores with an interpreter's lock"


def test_every_page_and_line_with_modelled_throughput_has_the_error(tmp_path: Path) -> None:
    frame = modelled(**HOSTS)
    (run,) = read_runs([write(tmp_path / "a", frame, "pipeline")])
    assert "the model is off by at most 50.0%" in headline(run)
    assert error_line(run).startswith("Against live passes over the same blocks, the model is off by at most 50.0 %.")
    assert "It was checked on this machine, 2 cores" in error_line(run)
    table = ladder_table(run)
    cell = table.rows[1][table.columns.index("model error")]
    assert cell == "10.0 % (-50.0 % to 25.0 %)"
    text = run_summary(frame, 0.02, 1000, [plan_level(level, ()) for level in (0, 4)])
    assert "the model is off by at most 50.0%" in " ".join(text.split())
    assert "-50% to +25%" in text
    assert max(map(len, text.splitlines())) <= 118


def test_the_picture_of_a_model_run_has_the_error_in_its_title(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    titles = []

    def keep(figure: matplotlib.figure.Figure, *_: Any, **__: Any) -> None:
        titles.append(figure.axes[0].get_title())

    monkeypatch.setattr(matplotlib.figure.Figure, "savefig", keep)
    plot_ladder(modelled(), tmp_path / "a.png")
    plot_ladder(pipeline_table(levels=(0, 4)), tmp_path / "b.png")
    assert "the model is off by at most 50.0%" in titles[0]
    assert "model is off" not in titles[1]


def test_several_model_runs_in_one_chart_each_have_their_error(tmp_path: Path) -> None:
    paths = [write(tmp_path / "a", modelled(), "pipeline")]
    paths.append(write(tmp_path / "b", modelled({0: [0.02] * 3, 4: [0.04] * 3}), "pipeline"))
    (chart,) = runs_charts(read_runs(paths))
    assert chart.table is not None
    assert chart.table.columns[-1] == "worst model error"
    assert [row[-1] for row in chart.table.rows] == ["-50.0 %", "4.0 %"]
    notes = ["the model is off by at most 50.0%", "the model is off by at most 4.0%"]
    assert all(note in key.text for note, key in zip(notes, chart.legend, strict=True))
    live = [write(tmp_path / name, pipeline_table(levels=(0, 4)), "pipeline") for name in ("c", "d")]
    (chart,) = runs_charts(read_runs(live))
    assert chart.table is not None
    assert chart.table.columns[-1] == "DP4, tx/s"


def test_a_comparison_of_model_runs_has_the_errors_of_both() -> None:
    rows = compare_runs(modelled(), modelled({0: [0.02] * 3, 4: [0.04] * 3}))
    found = {row.what: row.reason for row in rows if row.metric == "tps"}
    assert found["erc20 DP4"].endswith("A: the model is off by at most 50.0%; B: the model is off by at most 4.0%")
    assert "off by at most 3.0%" in found["erc20 DP0"]
    assert all("the model was not checked" in row.reason for row in rows if row.metric == "tps_with_admit")
    live = pipeline_table(levels=(0, 4))
    assert not any("model" in row.reason for row in compare_runs(live, live))


def test_what_a_backend_gains_in_the_model_has_the_error_of_both_levels() -> None:
    frame = modelled()
    switch = {"metric": "mechanism:heterogeneous_backends", "level": 4, "value": 1.0, "unit": "1", "status": "ok"}
    on = frame[frame["level"] == 4].iloc[[0]].assign(**switch)
    (line,) = gain_lines(pd.concat([frame, on], ignore_index=True), costs=False)
    assert line.startswith("DP4 over DP0: ")
    assert line.endswith("; the model is off by at most 50.0%")
