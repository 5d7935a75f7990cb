"""``chaindp core impact``: what the sweep has to be like, whatever the machine does, and cores without a part in it."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from chaindp import cli
from chaindp.cores.description import load_core
from chaindp.errors import CheckFailed, UsageError
from chaindp.pipeline.block import Stage
from chaindp.platforms import LINKS, parse_link
from chaindp.plugins import load_plugins
from chaindp.workbench import impact as workbench_impact
from chaindp.workbench.impact import ImpactOptions, ImpactResult, impact, stages_of
from chaindp.workbench.impact_plot import check_target, plot_impact
from conftest import REPOSITORY
from core_mutants import EXAMPLE, MUTANTS, plant

SLOW_LINK = parse_link("500:0.01")

SMALL = ImpactOptions(
    txs=120, block_txs=40, accounts=300, repeat=1, links=(LINKS["none"], LINKS["pcie3x16"], SLOW_LINK)
)


@pytest.fixture(scope="module")
def result() -> ImpactResult:
    return impact(load_core(EXAMPLE), load_plugins(), SMALL)


@pytest.fixture(scope="module")
def document(result: ImpactResult) -> dict[str, Any]:
    return result.to_dict()


def test_a_keccak_core_goes_to_merkleize(result: ImpactResult, document: dict[str, Any]) -> None:
    assert result.stage is Stage.MERKLEIZE
    assert (document["stage"], document["backend"], document["time_domain"]) == ("merkleize", "core", "modelled")
    assert document["clock_mhz"] == 80
    assert (document["over_level"], document["level"]) == (4, 5)


def test_every_link_is_swept_from_one_instance_until_more_give_nothing(result: ImpactResult) -> None:
    for link in SMALL.links:
        rows = result.of(link)
        assert [row.instances for row in rows] == [1 << power for power in range(len(rows))]
        assert len(rows) >= 2
        for row, more in itertools.pairwise(rows):
            assert more.device_ns <= row.device_ns
        assert rows[-1].speedup <= rows[-2].speedup * 1.001
        enough = result.enough(link)
        assert enough.speedup >= 0.99 * max(row.speedup for row in rows)
        assert all(
            row.speedup < 0.99 * max(row.speedup for row in rows) for row in rows if row.instances < enough.instances
        )


def test_no_platform_exceeds_the_ceiling(result: ImpactResult) -> None:
    for row in result.rows:
        assert 0 < row.of_ceiling <= 1 + 1e-9
        assert row.speedup == pytest.approx(row.of_ceiling * result.ceiling)
        assert row.speedup_with_admit <= result.ceiling_with_admit * (1 + 1e-9)
        assert row.tps == pytest.approx(row.speedup * result.tps_below)


def test_a_slow_link_costs_what_it_says(result: ImpactResult) -> None:
    none, slow = result.of(SMALL.links[0])[0], result.of(SLOW_LINK)[0]
    # Of three blocks: every call waits for two latencies, and every byte for the rate.
    blocks, calls = SMALL.txs / SMALL.block_txs, result.calls
    moved = (calls["to_bytes"] + calls["from_bytes"]) * 1e9 / 1e7
    expected = blocks * (calls["calls"] * 2 * 500e3 + moved) / SMALL.txs
    assert slow.device_ns - none.device_ns == pytest.approx(expected, rel=1e-6)
    assert slow.speedup <= none.speedup


def test_without_a_link_one_instance_takes_the_cycles_of_its_calls(result: ImpactResult) -> None:
    blocks = SMALL.txs / SMALL.block_txs
    expected = blocks * result.calls["cycles"] / 80e6 * 1e9 / SMALL.txs
    assert result.of(SMALL.links[0])[0].device_ns == pytest.approx(expected, rel=1e-6)


def test_amdahl_and_the_shares_fit_together(result: ImpactResult, document: dict[str, Any]) -> None:
    assert 0 < result.share < 1
    assert result.amdahl == pytest.approx(1 / (1 - result.share))
    stage = document["stage_ns"]
    assert 0 < stage["below_kernels"] < stage["below"]
    assert stage["host"] > 0
    assert set(document["model_errors"]) == set(document["model_errors_with_admit"]) == {"DP4", "DP5"}
    assert document["checked_with"] == "cpu in the place of core"


def test_what_stops_mattering_is_said(result: ImpactResult, document: dict[str, Any]) -> None:
    stops = document["stops_mattering"]
    assert set(stops["instances"]) == {link.name for link in SMALL.links}
    # Made up, so that there is one whatever the machine did: two links reach the ceiling, and one does not.
    fast, slow = SMALL.links[0], SMALL.links[1]
    rows = tuple(
        replace(result.rows[0], link=link, instances=count, of_ceiling=share)
        for link, count, share in (
            (fast, 1, 1.0),
            (slow, 1, 0.9),
            (slow, 2, 0.995),
            (slow, 4, 1.0),
            (SLOW_LINK, 1, 0.5),
        )
    )
    reaching = replace(result, rows=rows, ceiling=1.5, options=replace(SMALL, links=(fast, slow)))
    chosen = reaching.enough_link
    assert chosen is not None
    assert (chosen.link, chosen.instances) == (slow, 2)
    told = reaching.to_dict()["stops_mattering"]
    assert (told["link"], told["link_instances"]) == (slow.name, 2)
    nothing = replace(result, options=replace(SMALL, within=1e-12), rows=(replace(result.rows[-1], of_ceiling=0.5),))
    assert nothing.enough_link is None


def test_what_cannot_pay_is_not_said_to_be_enough(
    result: ImpactResult, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    worse = replace(result, ceiling=0.9, model_errors={4: -0.02, 5: 0.2})
    document = worse.to_dict()
    assert not document["pays"]
    assert document["stops_mattering"]["link"] is None
    assert document["within_model_error"]
    assert not replace(worse, model_errors={4: -0.02}).to_dict()["within_model_error"]
    assert [row["within_model_error"] for row in document["rows"]] == [abs(row.speedup - 1) < 0.2 for row in worse.rows]
    monkeypatch.setattr(workbench_impact, "impact", lambda *given: worse)
    assert cli.main(["core", "impact", str(EXAMPLE)]) == 0
    captured = capsys.readouterr()
    host, below = (f"{worse.stage_ns[name] / 1e3:.2f}" for name in ("host", "below"))
    assert f"does not pay: with a device that takes no time, merkleize takes {host} us a transaction" in captured.out
    assert f"and {below} with the CPU's kernels" in captured.out
    assert "enough:" not in captured.out
    assert "a ceiling of 0.900 is no further from 1 than the model from live runs (20.0%)" in captured.err


def test_the_document_is_json_with_what_readers_rely_on(document: dict[str, Any]) -> None:
    rows = json.loads(json.dumps(document))["rows"]
    assert {row["link"] for row in rows} == {link.name for link in SMALL.links}
    assert rows[0]["link_to_device_gb_s"] is None
    assert {"instances", "speedup", "speedup_with_admit", "of_ceiling", "tps", "tps_with_admit"} <= set(rows[0])


@pytest.mark.parametrize(("name", "magic"), [("a.png", b"\x89PNG"), ("a.svg", b"<?xml"), ("a.pdf", b"%PDF")])
def test_the_picture_is_written_whole(result: ImpactResult, name: str, magic: bytes, tmp_path: Path) -> None:
    check_target(tmp_path / name)
    plot_impact(result, tmp_path / name)
    assert [file.name for file in tmp_path.iterdir()] == [name]
    content = (tmp_path / name).read_bytes()
    assert content.startswith(magic)
    assert len(content) > 5000


@pytest.mark.parametrize(
    ("target", "words"),
    [("a.gif", "ends in .png, .svg, .pdf"), ("none/a.png", "there is no folder"), ("folder.png", "this is a folder")],
)
def test_pictures_that_cannot_be_written_are_refused_first(target: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(UsageError, match=words):
        check_target(tmp_path / target)


DESCRIPTION = (EXAMPLE / "core.toml").read_text()


def described(tmp_path: Path, before: str, after: str) -> Path:
    path = tmp_path / "core.toml"
    text = DESCRIPTION.replace("rtl/", f"{'../' * 30}{EXAMPLE}/rtl/".replace("//", "/"))
    assert text.count(before) == 1
    path.write_text(text.replace(before, after))
    return path


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ('kernel = "keccak256"', 'kernel = "sha256"', r"core\.toml:3: no stage of the chain calls sha256 yet"),
        (
            'kernel = "keccak256"',
            'kernel = "merkle_root"',
            r"core\.toml:3: no stage of the chain calls merkle_root yet \(stages call keccak256, merkle_tree\)",
        ),
    ],
)
def test_cores_without_a_part_in_the_chain(before: str, after: str, words: str, tmp_path: Path) -> None:
    path = described(tmp_path, before, after)
    path.write_text(
        path.read_text().replace('\n[options]\npadding = "core"\n', "") if "merkle" in after else path.read_text()
    )
    with pytest.raises(UsageError, match=words):
        stages_of(load_core(path))


def test_a_stage_that_the_kernel_has_no_part_in() -> None:
    with pytest.raises(UsageError, match="--stage execute: a core for keccak256 can serve merkleize, prove"):
        impact(load_core(EXAMPLE), load_plugins(), replace(SMALL, stage=Stage.EXECUTE))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--stage", "foo"], "there is no such stage"),
        (["--link", "foo"], "no link has that name"),
        (["--txs", "0"], "--txs is 0"),
        (["--within", "0"], "0.0 is not in the range"),
        (["--workload", "none"], "unknown workload"),
    ],
)
def test_wrong_calls(arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["core", "impact", str(EXAMPLE), "--json", *arguments]) == 2
    assert words in json.loads(capsys.readouterr().out)["error"]


@pytest.mark.slow
def test_a_wrong_core_fails_in_one_line(tmp_path: Path) -> None:
    path = plant(next(one for one in MUTANTS if one.name == "rotation"), tmp_path / "core")
    with pytest.raises(CheckFailed, match="core keccak_stream in merkleize: DP5") as caught:
        impact(load_core(path), load_plugins(), SMALL)
    assert "\n" not in str(caught.value)


@pytest.mark.slow
def test_the_command_prints_the_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [
        "--txs",
        "120",
        "--block-txs",
        "40",
        "--accounts",
        "300",
        "--repeat",
        "1",
        "--out",
        str(tmp_path / "a.svg"),
    ]
    assert cli.main(["core", "impact", str(EXAMPLE), *arguments]) == 0
    text = capsys.readouterr().out
    for words in ("more do not matter", "Amdahl's ceiling is", "error of the model against live runs", str(tmp_path)):
        assert words in text


@pytest.mark.slow
def test_a_tree_core_goes_to_prove_beside_our_other_cores() -> None:
    path = REPOSITORY / "hdl" / "merkle" / "core.toml"
    found = impact(load_core(path), load_plugins(), SMALL)
    assert found.stage is Stage.PROVE
    assert found.selector == f"fpga:{path}+keccak+merkle-sha256"
    assert found.to_dict()["backend"] == found.selector
    assert found.calls["operations"] > 0
