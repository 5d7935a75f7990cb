"""``chaindp report``: what the page and the Markdown hold, for every kind of run, and what they refuse."""

from __future__ import annotations

import json
import logging
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from chaindp.cli import main
from chaindp.errors import InputError, UsageError
from chaindp.files import write_over_own
from chaindp.report.html import MARK, html_page, write_report
from chaindp.report.markdown import markdown_report
from chaindp.report.page import charts_of, run_report
from chaindp.report.parts import Table
from chaindp.report.sources import read_runs
from chaindp.results.noise import level_verdicts
from chaindp.results.store import load
from chaindp.results.summary import ladder, stage_times
from chaindp.results.table import SampleTable
from conftest import REPOSITORY
from report_runs import bench_table, big_bench, big_pipeline, comparison_row, pipeline_table, write

REFERENCE = REPOSITORY / "results" / "reference"
MAINNET = ("preload", "execute", "flush", "prove")
SMALL: dict[str, Any] = {"levels": (0, 4), "repetitions": 1, "blocks": 2}
HOSTILE = "<script>alert(1)</script>|`x`](javascript:alert(2)) $$x$$ \\(y\\) </style><img src=x onerror=alert(3)>"


class Page(HTMLParser):
    """A page as a browser reads it: its text outside of scripts and styles, its elements, its tables."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.rows: list[list[str]] = []
        self.html = html
        self._raw = self._cell = False
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._raw = tag in ("script", "style")
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self._cell = True
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        self._raw = False
        if tag in ("td", "th"):
            self._cell = False

    def handle_data(self, data: str) -> None:
        if not self._raw:
            self.text += data
        if self._cell:
            self.rows[-1][-1] += data

    def count(self, tag: str) -> int:
        return sum(name == tag for name, _ in self.elements)


def page_of(*runs: Path) -> Page:
    return Page(html_page(read_runs(runs))[0])


def made(tmp_path: Path, frame: pd.DataFrame, kind: str = "pipeline", **document: Any) -> Path:
    return write(tmp_path / "run", frame, kind, **document)


@pytest.fixture(scope="module")
def reference() -> Page:
    return page_of(REFERENCE)


@pytest.fixture(scope="module")
def rungs() -> pd.DataFrame:
    """The ladder of the reference run, by level."""
    return ladder(load(REFERENCE)).set_index("level")


def test_the_reference_run_answers_first(reference: Page, rungs: pd.DataFrame) -> None:
    headline = f"DP5 gives {rungs['tps'][5]:,.0f} tx/s measured"
    judged = level_verdicts(load(REFERENCE)).set_index("level")
    if judged["verdict"][5] == "faster":
        headline = f"{rungs['speedup'][5]:.2f} times"
    assert headline in reference.text
    assert f"The claim for DP5 is 500p+, {500 / rungs['speedup'][5]:.3g} times as much as its" in reference.text
    assert "fastest, " not in reference.text
    assert reference.text.index(headline) < reference.text.index("Claim and measurement")
    assert "AMD EPYC, 2 cores" in reference.text


def test_the_ladder_stands_beside_its_claims(reference: Page, rungs: pd.DataFrame) -> None:
    rows = {row[0]: row for row in reference.rows if len(row) > 8 and row[1].endswith(("p", "p+"))}
    claims = {0: "1p", 1: "2-5p", 2: "5-10p", 3: "15-50p", 4: "100-500p", 5: "500p+"}
    assert {level: row[1] for level, row in rows.items()} == {f"DP{level}": claim for level, claim in claims.items()}
    for level in claims:
        assert float(rows[f"DP{level}"][2]) == pytest.approx(rungs["speedup"][level], abs=0.006)
    assert "without batched_preload" in rows["DP4"][-1]
    assert "batched_preload is not in these figures: not built yet." in reference.text


def test_every_section_is_there_and_what_is_missing_says_why(reference: Page) -> None:
    for title in ("Time in the stages", "Blocks through the stages", "Kernels", "What faster kernels can give"):
        assert title in reference.text
    floor = level_verdicts(load(REFERENCE))["noise_floor"].dropna()
    assert len(floor)
    assert "Noise floor" in reference.text
    assert f"{floor.iloc[0]:.1%}".replace("%", " %") in reference.text
    assert "predicted = 1 / (1 - share + share / kernel speed-up + transfer)" in reference.text
    digest = load(REFERENCE).attrs["run"]["workload"]["digest"]
    assert len(digest) == 64
    assert ["workload.digest", digest] in reference.rows
    assert ["cpu.governor", "not known"] in reference.rows


def test_the_page_asks_for_nothing(reference: Page) -> None:
    fetching = {"src", "srcset", "data", "action", "formaction", "poster", "background"}
    for tag, attributes in reference.elements:
        assert not fetching & set(attributes), tag
        target = attributes.get("href") or "#"
        assert target.startswith(("#", "data:")), (tag, target)
    policy = next(attributes["content"] for tag, attributes in reference.elements if "http-equiv" in attributes)
    assert policy is not None
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe-inline" not in policy.partition("style-src")[0]
    styles = "".join(re.findall(r"<style>(.*?)</style>", reference.html, re.DOTALL))
    assert styles
    assert "url(" not in styles
    assert "@import" not in styles


@pytest.mark.parametrize("run", ["reference", "bench", "compare"])
def test_every_chart_has_a_title_axes_with_units_a_legend_and_a_table(run: str, tmp_path: Path) -> None:
    sides = {"cpu": np.linspace(50, 52, 12), "gpu": np.linspace(20, 30, 12)}
    paths = {
        "reference": REFERENCE,
        "bench": write(tmp_path / "bench", bench_table(sides), "bench"),
        "compare": write(tmp_path / "compare", bench_table(sides), "compare", rows=[comparison_row()]),
    }
    report = run_report(read_runs([paths[run]])[0])
    assert list(charts_of(report))
    for section in report.sections:
        for chart in section.charts:
            assert chart.title
            assert chart.quantity
            assert chart.legend
            assert chart.figure.xaxis.axis_label or chart.figure.yaxis.axis_label
            assert chart.table is not None or any(not table.folded and table.rows for table in section.tables)
            assert chart.figure.title.text is None or chart.figure.title.text == ""


VARIANTS: dict[str, tuple[dict[str, Any], list[str]]] = {
    "nothing holds": (
        {"levels": (0, 4), "failed": (0, 4)},
        ["No level holds: DP0, DP4.", "No level holds, so nothing was measured.", "other state root than DP0"],
    ),
    "one level fails": ({"failed": (4,)}, ["DP3 gives 8,", "DP4 failed", "other state root than DP0"]),
    "the baseline fails": (
        {"failed": (0,)},
        ["Claims are against sequential performance, which is DP0's, and DP0 failed: no claim is drawn."],
    ),
    "one level": ({"levels": (4,)}, ["it is the only level that holds", "DP0 is not in this run: no claim is drawn."]),
    "one block, one repetition": (
        {"blocks": 1, "repetitions": 1},
        ["The pass has one block, so no level can overlap blocks", "1 repetition"],
    ),
    "model mode": (
        {"mode": "model"},
        ["tx/s modelled", "the model is off by at most", "instants of the schedule, not of a clock"],
    ),
    "mainnet": (
        {"workload": "mainnet", "skipped_stages": MAINNET, "levels": (0, 4)},
        ["Without the stages preload, execute, flush, prove", "Stage execute did not run: contract code is not there."],
    ),
    "a noise floor": ({"levels": (0, 5), "again": True}, ["Noise floor:", "faster", "Verdicts on the levels"]),
    "too few for a verdict": ({"levels": (0, 5), "again": True, "repetitions": 2}, ["insufficient data"]),
}


QUICK_VARIANTS = ("one level fails", "model mode")


@pytest.mark.parametrize(
    "variant", [pytest.param(name, marks=() if name in QUICK_VARIANTS else pytest.mark.slow) for name in VARIANTS]
)
def test_pipeline_runs_of_every_kind(variant: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    options, expected = VARIANTS[variant]
    run = made(tmp_path, pipeline_table(**options))
    with caplog.at_level(logging.INFO, logger="bokeh"):
        page = page_of(run)
    assert caplog.records == [], "Bokeh has nothing to warn of"
    for words in expected:
        assert words in page.text
    for odd in ("nan", "<NA>", "None", "inf"):
        assert not [cell for row in page.rows for cell in row if cell == odd]


def test_a_table_with_next_to_nothing_in_it(tmp_path: Path) -> None:
    table = SampleTable("run-1")
    table.append(metric="plugin", backend_requested="gpu", status="failed", reason="does not import")
    page = page_of(made(tmp_path, table.frame()))
    assert "The table has no level of a pipeline run." in page.text
    assert ["failed", "plugin", "does not import", "", "gpu", "1"] in page.rows
    assert page.count("script") == 0


def test_a_table_alone_has_no_provenance(tmp_path: Path) -> None:
    run = made(tmp_path, bench_table({"cpu": [1.0, 2.0]}), "bench")
    (tmp_path / "alone").mkdir()
    alone = (run / "samples.parquet").rename(tmp_path / "alone" / "samples.parquet")
    assert "The table has no run.json beside it." in page_of(alone).text


def test_a_bench_has_intervals_outliers_and_transfer_apart(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    sides = {"cpu": [*rng.normal(58, 0.5, 12), 90.0], "gpu": rng.normal(5, 0.1, 12)}
    page = page_of(made(tmp_path, bench_table(sides, transfer=2.5), "bench"))
    assert "keccak256: gpu 4.97 ns a permutation, cpu takes 11.7 times as long" in page.text
    assert "gpu 4.97 ns/permutation, cpu takes 11.7 times as long" in page.text
    assert "keccak256, transfer: at most 33.5 % of compute and transfer together" in page.text
    assert "severe outlier" in page.text
    assert "Noise floor: not measured" in page.text
    row = next(row for row in page.rows if row[:3] == ["keccak256", "4096", "cpu"])
    assert row[3] == f"{np.median(sides['cpu']):.2f}"
    assert row[5:] == ["2.50", "ns/permutation", "13", "1", "wall"]
    low, high = map(float, row[4].split(" to "))
    assert low <= float(row[3]) <= high


def test_time_domains_never_share_a_chart_or_a_sentence(tmp_path: Path) -> None:
    wall, device = bench_table({"cpu": [50.0] * 6}), bench_table({"fpga": [5.0] * 6}, domain="modelled")
    run = made(tmp_path, pd.concat([wall, device], ignore_index=True), "bench")
    report = run_report(read_runs([run])[0])
    compute = [chart.title for _, chart in charts_of(report) if "transfer" not in chart.title]
    assert compute == ["keccak256: cpu 50.0 ns a permutation", "keccak256 (modelled): fpga 5.00 ns a permutation"]
    assert "times as long" not in report.headline


def test_a_bench_of_failures_and_skips(tmp_path: Path) -> None:
    table = SampleTable("run-1")
    row = {"workload": "ntt/64", "kernel": "ntt", "metric": "compute_time", "unit": "ns"}
    table.append(**row, backend_requested="gpu", status="skipped", reason="no ntt here")
    table.append(**row, backend_requested="cpu", status="failed", reason="digest 3 differs")
    page = page_of(made(tmp_path, table.frame(), "bench"))
    assert "No kernel was timed." in page.text
    assert ["failed", "ntt/64", "digest 3 differs", "", "cpu", "1"] in page.rows
    assert ["skipped", "ntt/64", "no ntt here", "", "gpu", "1"] in page.rows


def test_a_comparison_has_its_verdicts_and_noise_floor(tmp_path: Path) -> None:
    rows = [
        comparison_row(),
        comparison_row(what="sha256/64", ratio=1.01, low=0.99, high=1.03, verdict="no difference"),
        comparison_row(what="ntt/64", verdict=None, reason="other domain")
        | dict.fromkeys(("ratio", "low", "high", "noise_floor")),
    ]
    run = made(tmp_path, bench_table({"cpu": [58.0] * 6, "gpu": [29.0] * 6}), "compare", rows=rows)
    page = page_of(run)
    said = "faster in keccak256/4096 (2.00 times as fast); no difference in sha256/64; not judged in ntt/64"
    assert f"gpu against cpu: {said}" in page.text
    assert "Noise floor at most 2.0 %." in page.text
    assert "gpu (B) against cpu (A): 1 faster, 1 no difference" in page.text
    cells = next(row for row in page.rows if row[0] == "ntt/64")
    assert cells[1:5] == ["not judged", "-", "-", "-"]
    assert cells[-1] == "other domain"
    markdown = markdown_report([run])
    assert "| keccak256/4096 | faster | 2.00 | 1.90 to 2.10 | 2.0 % | cpu | gpu |" in markdown


def test_a_comparison_of_nothing(tmp_path: Path) -> None:
    page = page_of(made(tmp_path, SampleTable("run-1").frame(), "compare", rows=[]))
    assert "Nothing was compared; failures and skips are below." in page.text


def test_several_runs_are_sections_and_one_chart_together(tmp_path: Path) -> None:
    runs = [write(tmp_path / name, pipeline_table(seed=index, **SMALL), "pipeline") for index, name in enumerate("ab")]
    runs.append(write(tmp_path / "c", pipeline_table(mode="model", **SMALL), "pipeline"))
    page = page_of(*runs)
    assert "3 runs" in page.text
    assert "erc20, live mode: throughput of 2 runs" in page.text
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert {"run0-ladder", "run1-ladder", "run2-ladder"} <= set(ids)


@pytest.mark.slow
def test_two_workloads_in_one_table_are_two_sections(tmp_path: Path) -> None:
    tables = [pipeline_table(workload=name, **SMALL) for name in ("erc20", "transfers")]
    runs = read_runs([made(tmp_path, pd.concat(tables, ignore_index=True))])
    assert [run.label for run in runs] == ["run, erc20", "run, transfers"]
    assert all(len(run_report(run).sections) == 9 for run in runs)


def test_no_text_of_a_run_becomes_markup(tmp_path: Path) -> None:
    bench = bench_table({HOSTILE: [50.0, 51.0, 52.0]}, workload=f"{HOSTILE}/7", work_unit=HOSTILE)
    rows = [comparison_row(what=HOSTILE, a=HOSTILE, b=HOSTILE, unit=HOSTILE, reason=HOSTILE, floor_from=HOSTILE)]
    runs = [
        write(tmp_path / "bench", bench, "bench", evil={HOSTILE: [HOSTILE]}),
        write(tmp_path / "compare", bench, "compare", rows=rows),
        write(tmp_path / "run", pipeline_table(failed=(4,), reason=HOSTILE, workload=HOSTILE, **SMALL), "pipeline"),
        write(tmp_path / "run2", pipeline_table(fast=HOSTILE, **SMALL), "pipeline", run_id=HOSTILE),
    ]
    page = page_of(*runs)
    assert page.count("img") == 0
    assert page.count("script") == 2, "Bokeh's and the one that draws"
    assert page.count("style") == 1
    assert not [1 for _, attributes in page.elements for name in attributes if name.startswith("on")]
    assert page.text.count("<script>alert(1)</script>") > 10, "it is shown as text"
    markdown = markdown_report(runs)
    assert not re.search(r"(?<!\\)<", markdown)
    assert not re.search(r"(?<!\\)\]\(", markdown)
    assert_tables(markdown)


def assert_tables(markdown: str) -> None:
    """Every table has as many cells in each row as in its head."""
    tables = [block.splitlines() for block in markdown.split("\n\n") if block.startswith("|")]
    assert tables
    for table in tables:
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in table}) == 1, table[0]


def test_markdown_of_the_reference_run(rungs: pd.DataFrame) -> None:
    text = markdown_report([REFERENCE])
    assert text.startswith("[//]: # (chaindp report")
    top = rungs.loc[4]
    row = next(line for line in text.splitlines() if line.startswith("| DP4 | 100-500p |"))
    for rate in (top["tps"], top["tps_low"], top["tps_high"], top["tps_with_admit"]):
        assert f"| {rate:,.0f} |" in row
    admit = stage_times(load(REFERENCE)).set_index(["level", "stage"]).loc[(4, "admit")]
    assert f"| DP4 | {admit['busy_ns_per_tx'] / 1e3:.1f} / {admit['cpu_ns_per_tx'] / 1e3:.1f} |" in text
    assert "Noise floor" in text
    assert "| skipped | scalable_consensus | not built yet | DP1-DP5 |" in text
    assert (
        text.rstrip().splitlines()[-1].startswith(f"run: {load(REFERENCE).attrs['run']['run_id']}; machine: AMD EPYC")
    )
    assert_tables(text)


def test_the_command_writes_a_page(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = made(tmp_path, pipeline_table(levels=(0,), repetitions=1, blocks=1))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert main(["report", str(run), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    size = Path("report.html").stat().st_size
    assert document == {"path": "report.html", "bytes": size, "charts": 5, "runs": ["run"]}
    assert main(["report", str(run)]) == 0, "a report may be written again"
    assert capsys.readouterr().out == f"report.html: {Path('report.html').stat().st_size / 1e6:.2f} MB, 5 charts\n"
    assert [path.name for path in Path().iterdir()] == ["report.html"]


@pytest.mark.slow
def test_the_command_writes_or_prints_markdown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["report", str(REFERENCE), "--markdown", "--out", "-"]) == 0
    printed = capsys.readouterr().out
    assert main(["report", str(REFERENCE), "--markdown", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["path"] == "report.md"
    assert (tmp_path / "report.md").read_text() == printed
    assert main(["report", str(REFERENCE), "--out", "-"]) == 2
    assert "it goes with --markdown" in capsys.readouterr().err


def test_a_file_of_somebody_elses_is_left_alone(tmp_path: Path) -> None:
    out = tmp_path / "report.html"
    out.write_text("<html>mine</html>")
    with pytest.raises(UsageError, match=r"exists and is not a chaindp report; name another file with --out"):
        write_report([REFERENCE], out)
    assert out.read_text() == "<html>mine</html>"
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


def test_where_nothing_can_be_written(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"is a folder; name a file with --out"):
        write_over_own(tmp_path, MARK, MARK, "chaindp report")
    with pytest.raises(UsageError, match=r"cannot write .*report.html: No such file"):
        write_over_own(tmp_path / "nowhere" / "report.html", MARK, MARK, "chaindp report")


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    target, link = tmp_path / "target.html", tmp_path / "report.html"
    target.write_bytes(MARK)
    link.symlink_to(target)
    write_over_own(link, MARK + b" new", MARK, "chaindp report")
    assert link.is_symlink()
    assert target.read_bytes() == MARK + b" new"


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda run: (run / "samples.parquet").write_bytes(b"PAR1"), "is not a readable Parquet file"),
        (lambda run: (run / "run.json").write_text("{"), "is not readable JSON"),
        (lambda run: (run / "run.json").unlink(), "holds no run.json"),
        (lambda run: (run / "run.json").write_text('{"kind": "poem"}'), "is a run of kind 'poem'"),
        (lambda run: (run / "run.json").write_text('{"kind": "compare"}'), "holds no rows of a comparison"),
        (lambda run: (run / "run.json").write_text('{"kind": "compare", "rows": [{"ratio": 1}]}'), "holds no rows"),
    ],
)
def test_damaged_runs_are_refused_in_one_line(damage: Any, message: str, tmp_path: Path) -> None:
    run = made(tmp_path, pipeline_table(levels=(0,), repetitions=1))
    damage(run)
    with pytest.raises(InputError, match=re.escape(message)) as caught:
        write_report([run], tmp_path / "report.html")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "report.html").exists()


def test_odd_provenance_is_shown_as_it_is(tmp_path: Path) -> None:
    odd = {"extra": [1, {"a": None}], "more": 7}
    page = page_of(made(tmp_path, SampleTable("run-1").frame(), **odd))
    assert ["extra", '1, {"a": null}'] in page.rows
    assert ["more", "7"] in page.rows


def test_an_unknown_level_is_refused(tmp_path: Path) -> None:
    run = made(tmp_path, pipeline_table(levels=(0, 9), repetitions=1))
    with pytest.raises(InputError, match=r"has levels that there are none of: \[9\]"):
        read_runs([run])


@pytest.mark.slow
@pytest.mark.parametrize("make", [big_pipeline, big_bench])
def test_200_000_samples_stay_below_5_mb(make: Any, tmp_path: Path) -> None:
    run = make(tmp_path / "run")
    assert len(read_runs([run])[0].frame) >= 200_000
    written = write_report([run], tmp_path / "report.html")
    assert written.bytes == (tmp_path / "report.html").stat().st_size
    assert written.bytes < 5_000_000
    assert written.charts >= 6


def test_tables_name_only_columns_they_have() -> None:
    report = run_report(read_runs([REFERENCE])[0])
    tables: list[Table] = [table for section in report.sections for table in section.tables]
    tables += [chart.table for _, chart in charts_of(report) if chart.table is not None]
    assert len(tables) >= 8
    for table in tables:
        assert set(table.right) <= set(table.columns)
        assert len(set(table.columns)) == len(table.columns)
        assert all(len(row) == len(table.columns) for row in table.rows), table.title
