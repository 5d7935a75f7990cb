from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import chaindp
from chaindp.errors import InputError, UsageError
from chaindp.results.schema import COLUMNS, SCHEMA_VERSION, conform
from chaindp.results.store import check_folder, json_bytes, load, new_run_id, write_run
from chaindp.results.table import SampleTable

# The design's column list, word for word: the schema may not drift from it.
DESIGN_COLUMNS = (
    "schema_version run_id workload level repetition block stage kernel backend_requested backend_ran device "
    "time_domain metric value unit output_matched status reason"
).split()


RUN = {"run_id": "run-1", "kind": "bench"}


def sample_frame(rows: int = 3) -> pd.DataFrame:
    table = SampleTable("run-1")
    table.extend(
        rows,
        workload="erc20",
        level=4,
        repetition=np.arange(rows),
        stage="execute",
        backend_requested="cpu",
        backend_ran="cpu",
        time_domain="wall",
        metric="duration",
        value=np.linspace(0.5, 1.5, rows),
        unit="ns",
        output_matched=True,
    )
    return table.frame()


def test_columns_are_the_designs() -> None:
    assert list(COLUMNS) == DESIGN_COLUMNS
    assert list(sample_frame().columns) == DESIGN_COLUMNS


def test_dtypes_and_nulls() -> None:
    table = SampleTable("run-1")
    table.append(metric="tps", value=1.0)
    table.append(metric="tps", status="failed", reason="why", level=2, output_matched=False)
    frame = table.frame()
    for name, column in COLUMNS.items():
        assert frame[name].dtype == pd.Series([], dtype=column.dtype).dtype, name
    assert frame["level"].isna().tolist() == [True, False]
    assert frame["status"].tolist() == ["ok", "failed"]
    assert np.isnan(frame["value"][1])
    assert (frame["schema_version"] == SCHEMA_VERSION).all()


def test_an_empty_table_has_all_columns() -> None:
    frame = SampleTable("run-1").frame()
    assert len(frame) == 0
    assert list(frame.columns) == DESIGN_COLUMNS


@settings(max_examples=30, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(1, 4),
            st.one_of(st.none(), st.integers(0, 5)),
            st.one_of(st.none(), st.text(max_size=3)),
            st.floats(allow_nan=False, width=32),
            st.booleans(),
        ),
        max_size=8,
    )
)
def test_bulk_rows_equal_single_rows(chunks: list[tuple[int, int | None, str | None, float, bool]]) -> None:
    bulk, single = SampleTable("r"), SampleTable("r")
    for count, level, stage, value, as_list in chunks:
        values = [value + index for index in range(count)]
        bulk.extend(count, metric="m", level=[level] * count if as_list else level, stage=stage, value=values)
        for one in values:
            single.append(metric="m", level=level, stage=stage, value=one)
    pd.testing.assert_frame_equal(bulk.frame(), single.frame())
    assert len(bulk) == len(single) == len(bulk.frame())


def test_rows_that_do_not_fit_are_refused() -> None:
    table = SampleTable("r")
    with pytest.raises(TypeError, match="colour"):
        table.append(metric="m", colour=1)
    with pytest.raises(TypeError, match="run_id"):
        table.append(metric="m", run_id="other")
    with pytest.raises(ValueError, match="2 values for 3 rows"):
        table.extend(3, metric="m", value=[1.0, 2.0])
    table.append(value=1.0)
    with pytest.raises(InputError, match="metric"):
        table.frame()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"status": "fine"}, "status 'fine'"),
        ({"time_domain": "lunar"}, "time_domain 'lunar'"),
        ({"status": "skipped"}, "gives no reason"),
        ({"status": "failed", "reason": ""}, "gives no reason"),
        ({"level": 1000}, "level does not hold Int8"),
        ({"value": "x"}, "value does not hold float64"),
    ],
)
def test_words_and_ranges_are_checked(fields: dict[str, object], message: str) -> None:
    table = SampleTable("r")
    table.append(metric="m", **fields)
    with pytest.raises(InputError, match=message):
        table.frame()


def test_a_run_folder_round_trips(tmp_path: Path) -> None:
    frame = sample_frame()
    run = {"run_id": "run-1", "kind": "bench", "environment": {"cpu": {"flags": ["avx2"]}}, "note": "é"}

    def draw(path: Path) -> None:
        path.write_text("<svg/>")

    written = write_run(tmp_path / "runs" / "run-1", frame, run, {"notes.txt": b"hello", "plot.svg": draw})
    assert sorted(path.name for path in written.iterdir()) == ["notes.txt", "plot.svg", "run.json", "samples.parquet"]
    assert [path.name for path in written.parent.iterdir()] == ["run-1"]
    for source in (written, written / "samples.parquet", str(written)):
        loaded = chaindp.load(source)
        pd.testing.assert_frame_equal(loaded, frame)
        assert loaded.attrs["run"] == run
    assert json.loads((written / "run.json").read_bytes()) == run


def test_a_folder_name_is_no_partition(tmp_path: Path) -> None:
    write_run(tmp_path / "level=9" / "run-1", sample_frame(), RUN)
    assert load(tmp_path / "level=9" / "run-1")["level"].tolist() == [4, 4, 4]


def test_a_run_is_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / "run-1").mkdir()
    with pytest.raises(UsageError, match="never overwritten"):
        write_run(tmp_path / "run-1", sample_frame(), {})
    (tmp_path / "run-2").symlink_to("nowhere")
    with pytest.raises(UsageError, match="never overwritten"):
        write_run(tmp_path / "run-2", sample_frame(), {})


@pytest.mark.parametrize("name", ["../x", "a/b", "run.json", "samples.parquet", "..", "", "a b"])
def test_names_of_extras_are_plain(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="not a name"):
        write_run(tmp_path / "run-1", sample_frame(), {}, {name: b""})
    assert list(tmp_path.iterdir()) == []


def test_a_failing_extra_leaves_nothing(tmp_path: Path) -> None:
    def fail(path: Path) -> None:
        path.write_text("half")
        raise RuntimeError("no fonts")

    with pytest.raises(RuntimeError, match="no fonts"):
        write_run(tmp_path / "run-1", sample_frame(), {}, {"plot.png": fail})
    with pytest.raises(UsageError, match="wrote no such file"):
        write_run(tmp_path / "run-1", sample_frame(), {}, {"plot.png": lambda path: None})
    assert list(tmp_path.iterdir()) == []


def test_what_is_not_json_is_refused(tmp_path: Path) -> None:
    for value in (float("nan"), float("inf"), {1, 2}, Path("x")):
        with pytest.raises(InputError, match="JSON"):
            write_run(tmp_path / "run-1", sample_frame(), {"value": value})
    assert json_bytes({"a": 1}) == b'{\n  "a": 1\n}\n'
    assert list(tmp_path.iterdir()) == []


def test_unwritable_parent_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot write to"):
        write_run(tmp_path / "file" / "run-1", sample_frame(), {})


WRITER = """
import os, sys, time
from pathlib import Path
from chaindp.results.store import write_run
from chaindp.results.table import SampleTable
table = SampleTable("r")
table.extend(20000, metric="m", value=1.0)
frame = table.frame()
step = sys.argv[2]
def pause(name):
    print("ready", flush=True)
    if step == name:
        time.sleep(60)
rename = os.rename
def slow_rename(a, b):
    pause("before rename")
    rename(a, b)
    pause("after rename")
    time.sleep(60)
os.rename = slow_rename
big = lambda path: (path.write_bytes(bytes(100000)), pause("extra"))
write_run(sys.argv[1], frame, {"kind": "bench"}, {"big.bin": big})
"""


@pytest.mark.parametrize(
    ("step", "prints", "complete"), [("extra", 1, False), ("before rename", 2, False), ("-", 3, True)]
)
def test_kill_leaves_all_or_nothing(tmp_path: Path, step: str, prints: int, complete: bool) -> None:
    final = tmp_path / "run-1"
    with subprocess.Popen([sys.executable, "-c", WRITER, str(final), step], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        for _ in range(prints):
            assert process.stdout.readline() == b"ready\n"
        process.send_signal(signal.SIGKILL)
    names = {path.name for path in tmp_path.iterdir()}
    if complete:
        assert names == {"run-1"}
        assert len(load(final)) == 20_000
        return
    assert not final.exists()
    (leftover,) = names
    assert leftover.startswith(".run-1.tmp-")
    write_run(tmp_path / "run-2", sample_frame(), {})
    assert {path.name for path in tmp_path.iterdir()} == {"run-2"}


@pytest.mark.slow
def test_kill_at_any_instant_leaves_all_or_nothing(tmp_path: Path) -> None:
    code = "import sys\n" + WRITER.replace("print", "(lambda *a, **k: None)") + "\n"
    for index in range(15):
        final = tmp_path / f"run-{index}"
        with subprocess.Popen([sys.executable, "-c", code, str(final), "-"]) as process:
            deadline = time.monotonic() + 20
            while not any(tmp_path.glob(f".run-{index}.*")) and not final.exists():
                assert time.monotonic() < deadline
            time.sleep(index * 0.002)
            process.send_signal(signal.SIGKILL)
        if final.exists():
            assert len(load(final)) == 20_000
            assert (final / "big.bin").stat().st_size == 100_000


def test_a_living_writer_keeps_its_folder(tmp_path: Path) -> None:
    arguments = [sys.executable, "-c", WRITER, str(tmp_path / "run-1"), "extra"]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        write_run(tmp_path / "run-2", sample_frame(), {})
        assert len(list(tmp_path.glob(".run-1.tmp-*"))) == 1
        process.kill()


def test_a_reused_process_id_is_stale_after_an_hour(tmp_path: Path) -> None:
    leftover = tmp_path / f".run-0.tmp-{os.getpid()}-abcd"
    leftover.mkdir()
    write_run(tmp_path / "run-1", sample_frame(), {})
    assert leftover.exists()
    os.utime(leftover, (0, 0))
    write_run(tmp_path / "run-2", sample_frame(), {})
    assert not leftover.exists()


def test_load_says_what_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        load(tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"holds no samples\.parquet"):
        load(tmp_path)
    run = write_run(tmp_path / "run-1", sample_frame(), RUN)
    whole = (run / "samples.parquet").read_bytes()
    for damaged in (whole[: len(whole) // 2], b"", b"PAR1", whole[:-8] + b"\xff\xff\xff\x7fPAR1", whole[4:]):
        (run / "samples.parquet").write_bytes(damaged)
        with pytest.raises(InputError, match="not a readable Parquet file") as caught:
            load(run)
        assert "\n" not in str(caught.value)
    (run / "samples.parquet").write_bytes(whole)
    for broken in (b"{", b"[]", b"\xff", b"[" * 100_000):
        (run / "run.json").write_bytes(broken)
        with pytest.raises(InputError, match=r"run\.json"):
            load(run)
    (run / "run.json").unlink()
    with pytest.raises(InputError, match=r"holds no run\.json"):
        load(run)


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({}, "does not say what kind of run it is of"),
        ({"environment": {}}, "does not say what kind of run it is of"),
        ({"config": 7}, "config is 7, and must be an object"),
        ({"workload": None}, "workload is null, and must be an object"),
        ({"levels": []}, "levels is [], and must be an object"),
        ({"levels": {"DP\x1b": 1}}, "levels.DP\\x1b is 1, and must be an object"),
        ({"environment": [1, 2]}, "environment is [1, 2], and must be an object"),
        ({"environment": {"cpu": 9}}, "environment.cpu is 9, and must be an object"),
        ({"environment": {"plugins": {}}}, "environment.plugins is {}, and must be a list"),
        ({"failures": "all"}, 'failures is "all", and must be a list'),
    ],
)
def test_a_damaged_provenance_is_one_line(document: dict[str, object], message: str, tmp_path: Path) -> None:
    named = {} if message.startswith("does not say") else {"kind": "bench"}
    run = write_run(tmp_path / "run-1", sample_frame(), named | document)
    with pytest.raises(InputError, match=re.escape(message)) as caught:
        load(run)
    assert "run.json" in str(caught.value)
    assert str(caught.value).isprintable()
    (run / "run.json").unlink()
    assert load(run / "samples.parquet").attrs["run"] == {}


def test_a_folder_is_tried_and_left_as_it_was(tmp_path: Path) -> None:
    check_folder(tmp_path / "results" / "runs")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "results").write_text("")
    with pytest.raises(UsageError, match="cannot write to"):
        check_folder(tmp_path / "results" / "runs")
    assert (tmp_path / "results").is_file()
    (tmp_path / "there").mkdir()
    check_folder(tmp_path / "there")
    assert list((tmp_path / "there").iterdir()) == []


def test_load_refuses_other_tables(tmp_path: Path) -> None:
    path = tmp_path / "table.parquet"
    sample_frame().assign(schema_version=99).to_parquet(path)
    with pytest.raises(InputError, match="schema version 99"):
        load(path)
    sample_frame().drop(columns=["value"]).to_parquet(path)
    with pytest.raises(InputError, match="lacks value"):
        load(path)
    sample_frame().assign(colour=1).to_parquet(path)
    with pytest.raises(InputError, match="unknown colour"):
        load(path)
    sample_frame().assign(value="x").to_parquet(path)
    with pytest.raises(InputError, match="value does not hold float64"):
        load(path)


def test_conform_is_idempotent() -> None:
    frame = sample_frame()
    pd.testing.assert_frame_equal(conform(frame), frame)


def test_run_ids_sort_by_time_and_differ() -> None:
    first = [new_run_id() for _ in range(50)]
    time.sleep(0.001)
    second = new_run_id()
    assert len(set(first)) == 50
    assert max(first) < second
