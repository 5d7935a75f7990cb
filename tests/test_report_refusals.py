"""Run folders that are damaged, made up or hostile: refused in one line that names the run, and no page is written."""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from chaindp.errors import InputError
from chaindp.report.html import write_report
from chaindp.report.markdown import markdown_report
from chaindp.report.trace import write_trace
from report_runs import bench_table, comparison_row, pipeline_table, write

SMALL: dict[str, Any] = {"levels": (0, 4), "repetitions": 1, "blocks": 2}


def setting(metric: str, **columns: Any) -> Callable[[pd.DataFrame], pd.DataFrame]:
    def change(frame: pd.DataFrame) -> pd.DataFrame:
        for name, value in columns.items():
            frame.loc[frame["metric"] == metric, name] = value
        return frame

    return change


def refused(run: Path, message: str, tmp_path: Path) -> None:
    """By the page, the Markdown and, of a pipeline run, the trace."""
    calls: list[Callable[[], Any]] = [
        lambda: write_report([run], tmp_path / "report.html"),
        lambda: markdown_report([run]),
    ]
    if json.loads((run / "run.json").read_text())["kind"] == "pipeline":
        calls.append(lambda: write_trace(run, tmp_path / "trace.json"))
    for call in calls:
        with pytest.raises(InputError, match=message) as caught:
            call()
        assert "\n" not in str(caught.value)
        assert "run" in str(caught.value).split(":")[0], "it names the run"
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (setting("tps", value=0.0), r"metric tps, level 0, repetition 0: the value is not positive"),
        (setting("tps", value=np.nan), r"metric tps, .*the value has no value|metric tps, .*no value"),
        (setting("tps", value=-1.0), r"metric tps, .* is below 0"),
        (setting("busy", value=np.inf), r"metric busy, .*not a finite number"),
        (setting("kernel_compute", value=1e308), r"not a finite number, or is above 1e18"),
        (setting("cpu", value=-5.0), r"metric cpu, .* is below 0"),
        (setting("start", stage="<script>"), r"has a stage '<script>'; stages are admit, order"),
        (setting("tps_with_admit", repetition=pd.NA), r"metric tps_with_admit, level 0: .*has no repetition"),
        (setting("transactions", block=pd.NA), r"metric transactions, .* has no block"),
        (setting("latency_final", block=0), r"metric latency_final, .* is there twice"),
        (setting("start", block=-1), r"has a repetition or block below 0"),
        (lambda frame: pd.concat([frame, frame], ignore_index=True), r"is there twice"),
    ],
)
def test_tables_that_no_run_could_have_written(
    change: Callable[[pd.DataFrame], pd.DataFrame], message: str, tmp_path: Path
) -> None:
    refused(write(tmp_path / "run", change(pipeline_table(**SMALL)), "pipeline"), message, tmp_path)


def test_a_block_that_leaves_a_stage_before_it_enters(tmp_path: Path) -> None:
    run = write(tmp_path / "run", setting("end", value=0.0)(pipeline_table(**SMALL)), "pipeline")
    for call in (write_report, lambda runs, out: write_trace(runs[0], out)):
        with pytest.raises(InputError, match=r"run: a block ends before it starts: workload erc20, level 0"):
            call([run], tmp_path / "out")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"ratio": 10**400}, "a number of more than 300 digits at 'ratio'"),
        ({"ratio": 10**40}, "row 0 has a ratio"),
        ({"ratio": 0, "low": -1, "high": 0}, "row 0 has a ratio"),
        ({"verdict": 3}, "row 0 has a verdict that there is none of"),
        ({"verdict": "the best"}, "row 0 has a verdict that there is none of"),
        ({"ratio": None}, "row 0 has a verdict without a ratio"),
        ({"noise_floor": "low"}, "row 0 has a noise_floor"),
        ({"samples_a": True}, "row 0 has a samples_a"),
        ({"reason": 7}, "row 0 has a reason that is no text"),
    ],
)
def test_rows_of_a_comparison_that_are_none(fields: dict[str, Any], message: str, tmp_path: Path) -> None:
    rows = [comparison_row(**fields)]
    refused(write(tmp_path / "run", bench_table({"cpu": [1.0]}), "compare", rows=rows), message, tmp_path)


def test_a_ratio_that_is_no_number(tmp_path: Path) -> None:
    run = write(tmp_path / "run", bench_table({"cpu": [1.0]}), "compare", rows=[comparison_row(ratio=2.5)])
    text = (run / "run.json").read_text()
    (run / "run.json").write_text(text.replace("2.5", "NaN"))
    refused(run, "row 0 has a ratio|NaN", tmp_path)


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ('"\\ud800"', "a text that is not Unicode"),
        ("1" + "0" * 400, "a number of more than 300 digits at 'extra'"),
        ("[" * 100 + "]" * 100, "is nested more than 32 deep"),
    ],
)
def test_documents_that_cannot_be_shown(extra: str, message: str, tmp_path: Path) -> None:
    run = write(tmp_path / "run", pipeline_table(**SMALL), "pipeline", extra=0)
    text = (run / "run.json").read_text()
    (run / "run.json").write_text(re.sub(r'"extra": 0', lambda _: f'"extra": {extra}', text))
    refused(run, message, tmp_path)


def test_what_is_given_in_place_of_a_run_folder(tmp_path: Path) -> None:
    run = write(tmp_path / "run", pipeline_table(**SMALL), "pipeline")
    bundle = tmp_path / "run.chaindp.zip"
    with zipfile.ZipFile(bundle, "w") as archive:
        archive.writestr("manifest.json", "{}")
    with pytest.raises(InputError, match=r"is the run.json of a run: name the folder, "):
        write_report([run / "run.json"], tmp_path / "report.html")
    with pytest.raises(InputError, match=r"is a bundle: `chaindp bundle --extract .*run.chaindp.zip`"):
        write_trace(bundle, tmp_path / "trace.json")


def test_odd_tables_that_can_be_shown_are(tmp_path: Path) -> None:
    """Figures that are not there are left out; block numbers may be any."""
    frame = pipeline_table(**SMALL)
    frame["block"] = frame["block"] + 2**62
    frame = frame[~frame["metric"].isin(["tps_with_admit", "wait", "latency_final"])]
    run = write(tmp_path / "run", frame, "pipeline")
    assert write_report([run], tmp_path / "report.html").charts
    assert "erc20" in markdown_report([run])
