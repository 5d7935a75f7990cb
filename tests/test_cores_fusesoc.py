"""FuseSoC's CAPI2 files as the list of sources: what a target consists of, and everything that cannot be used."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chaindp.cores import load_core
from chaindp.cores.fusesoc import read_files
from chaindp.errors import InputError, PluginError, UsageError
from core_rtl import description

GOOD = """\
CAPI=2:
name: vendor:crypto:hash:1.0
description: A hash

filesets:
  rtl:
    depend:
      - ">=vendor:common:skid:2.0"
    files:
      - rtl/package.sv
      - rtl/defines.svh: {is_include_file: true, include_path: rtl}
      - rtl/hash.v: {file_type: verilogSource, define: {FAST: true, WIDTH: 64}}
      - tool_vivado ? (rtl/vivado.sv)
      - "!tool_vivado ? (rtl/generic.sv)"
    file_type: systemVerilogSource
  bench:
    files: [tb/tb.sv]
    file_type: systemVerilogSource
  constraints:
    files:
      - board.xdc: {file_type: xdc}

targets:
  default:
    filesets: [rtl, constraints, "tool_icarus ? (bench)"]
    toplevel: hash
  sim:
    filesets: [rtl]
    filesets_append: [bench]
"""

SKID = """\
CAPI=2:
name: vendor:common:skid:2.1
filesets:
  rtl: {files: [skid.sv], file_type: systemVerilogSource}
targets:
  default: {filesets: [rtl]}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    files = "rtl/package.sv rtl/defines.svh rtl/hash.v rtl/vivado.sv rtl/generic.sv tb/tb.sv board.xdc skid/skid.sv"
    for name in files.split():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("// nothing\n")
    (tmp_path / "skid" / "skid.core").write_text(SKID)
    return tmp_path


def write(folder: Path, text: str) -> Path:
    path = folder / "hash.core"
    path.write_text(text)
    return path


def test_the_files_of_a_target(folder: Path) -> None:
    files = read_files(write(folder, GOOD))
    # What it depends on comes first, and a flag decides for Verilator.
    names = ["skid/skid.sv", "rtl/package.sv", "rtl/hash.v", "rtl/generic.sv"]
    assert files.sources == tuple(folder / name for name in names)
    assert files.include_dirs == (folder / "rtl",)
    assert files.defines == {"FAST": "", "WIDTH": "64"}


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ("", "2.1"),
        (":1.0", "1.0"),
        ("=:2.0", ""),
        (">:1.0", "2.1"),
        ("<:2.1", "1.4"),
        ("^:1.0", "1.4"),
        ("~:1.0", "1.0"),
    ],
)
def test_the_version_that_is_asked_for(folder: Path, wanted: str, found: str) -> None:
    for version in ("1.0", "1.4"):
        text = SKID.replace("2.1", version).replace("skid.sv", f"skid-{version}.sv")
        (folder / "skid" / f"skid-{version}.core").write_text(text)
        (folder / "skid" / f"skid-{version}.sv").write_text("// nothing\n")
    relation, _, version = wanted.rpartition(":")
    name = f"{relation}vendor:common:skid" + (f":{version}" if version else "")
    path = write(folder, GOOD.replace(">=vendor:common:skid:2.0", name))
    if not found:
        with pytest.raises(InputError, match="depends on"):
            read_files(path)
        return
    assert read_files(path).sources[0].name == ("skid.sv" if found == "2.1" else f"skid-{found}.sv")


def test_another_target(folder: Path) -> None:
    files = read_files(write(folder, GOOD), "sim")
    assert files.sources[-1] == folder / "tb/tb.sv"


def test_a_core_takes_its_files_from_it(folder: Path) -> None:
    write(folder, GOOD)
    text = description("hash", core={"fusesoc": "hash.core"}, defines={"WIDTH": 32})
    path = folder / "core.toml"
    path.write_text(text.replace('sources = ["hash.sv"]\n', ""))
    core = load_core(path)
    assert [source.name for source in core.sources] == ["skid.sv", "package.sv", "hash.v", "generic.sv"]
    assert core.include_dirs == (folder / "rtl",)
    # The description has the last word.
    assert core.defines == {"FAST": "", "WIDTH": "32"}
    path.write_text(path.read_text().replace("clock_mhz", 'fusesoc_target = "none"\nclock_mhz'))
    with pytest.raises(UsageError) as caught:
        load_core(path)
    line = path.read_text().split("\n").index('fusesoc = "hash.core"') + 1
    assert str(caught.value).startswith(f"{path}:{line}: fusesoc: {folder}/hash.core:23: no target 'none'; there is: ")


# What to replace, by what, and the line and the beginning of the message.
MISTAKES = {
    "no CAPI2": ("CAPI=2:", "CAPI=1:", "1: not a CAPI2 file"),
    "no YAML": ("filesets:\n  rtl:", "filesets: [\n  rtl:", ": not YAML: "),
    "a tab": ("    depend:", "\tdepend:", "7: not YAML: found character '\\t'"),
    "an anchor of itself": ("    depend:", "    x: &a [*a]\n    depend:", "7: an anchor stands for something that it"),
    "an alias of nothing": ("    depend:", "    x: *a\n    depend:", "7: not YAML: found undefined alias"),
    "a parameter that is not there": (
        "    toplevel: hash",
        "    parameters: [NONE=1]",
        "26: target default names a parameter 'NONE', which is not there",
    ),
    "a parameter of a test bench": (
        "targets:\n  default:",
        "parameters: {P: {datatype: int, paramtype: plusarg}}\ntargets:\n  default:\n    parameters: [P=1]",
        "26: parameter P of target default is a plusarg: only vlogparam and vlogdefine are taken",
    ),
    "a parameter of another type": (
        "targets:\n  default:",
        "parameters: {P: {datatype: int, paramtype: vlogparam}}\ntargets:\n  default:\n    parameters: [P=wide]",
        "26: parameter P of target default: 'wide' is not of type int",
    ),
    "a target with a line end": (
        GOOD[GOOD.index("targets:") :],
        'targets: {"a\\nb": {}}\n',
        "23: no target 'default'; there is: a\\nb",
    ),
    "nothing": (GOOD, "CAPI=2:\n", ": target default has no Verilog source"),
    "a list": (GOOD, "CAPI=2:\nfilesets: [a]\ntargets: {default: {}}\n", ":2: filesets is not a mapping"),
    "files of no list": ("files: [tb/tb.sv]", "files: {a: b}", "17: files is not a list"),
    "no target": (GOOD[GOOD.index("targets:") :], "targets: {other: {}}\n", "23: no target 'default'; there is: other"),
    "an unknown fileset": ("[rtl, con", "[rtx, con", "25: target default names a fileset 'rtx', which is not there"),
    "a missing file": ("rtl/package.sv", "rtl/packages.sv", "9: there is no file "),
    "a file outside": (
        "rtl/package.sv",
        "../package.sv",
        "9: '../package.sv' is not a file below",
    ),
    "an absolute file": ("rtl/package.sv", "/etc/passwd", "9: '/etc/passwd' is not a file below"),
    "a link that leads outside": ("rtl/package.sv", "rtl/link.sv", "9: 'rtl/link.sv' is not a file below"),
    "VHDL": (
        "    file_type: systemVerilogSource\n  bench",
        "    file_type: vhdlSource\n  bench",
        "9: rtl/package.sv is of",
    ),
    "no type": ("    file_type: systemVerilogSource\n  bench", "  bench", "9: rtl/package.sv is of type ''"),
    "a number as file": ("rtl/package.sv", "7", "9: files holds 7, which is not the name of a file"),
    "two files in one": ("rtl/package.sv", "{a: {}, b: {}}", "9: files holds a mapping that is not one file"),
    "a folder outside": ("include_path: rtl", "include_path: ..", "9: include_path of rtl/defines.svh: "),
    "a macro that is none": ("FAST: true", "-x: true", "9: define of rtl/hash.v: '-x' cannot be defined"),
    "a dependency that is not there": ("common:skid", "common:slip", "7: depends on >=vendor:common:slip:2.0, and no"),
    "a dependency that is none": (">=vendor:common:skid:2.0", "a b", "7: depend: 'a b' is not the name of a core"),
    "a later version": ("skid:2.0", "skid:2.2", "7: depends on >=vendor:common:skid:2.2, and no .core"),
    "itself": (">=vendor:common:skid:2.0", "vendor:crypto:hash", ": depends on itself"),
    "no Verilog": ("filesets: [rtl, constraints", "filesets: [constraints", ": target default has no Verilog source"),
    "too deep": (GOOD, "CAPI=2:\nx: " + "[" * 500_000, "2: not YAML: nested too deeply"),
    "a bad date": (GOOD, "CAPI=2:\nx: 2024-99-99\n", ": not YAML: "),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_costs_one_line(folder: Path, name: str) -> None:
    old, new, said = MISTAKES[name]
    assert old in GOOD
    (folder / "rtl" / "link.sv").symlink_to("/etc/passwd")
    path = write(folder, GOOD.replace(old, new, 1))
    target = "sim" if name == "files of no list" else "default"
    with pytest.raises(InputError) as caught:
        read_files(path, target)
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    assert message.startswith(str(path))
    assert said in message.removeprefix(str(path))[: len(said) + 5]


def test_a_bomb_of_aliases_is_refused_before_it_unfolds(folder: Path) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    with pytest.raises(InputError, match="anchors and aliases stand for more than 100000 values"):
        read_files(write(folder, "CAPI=2:\n" + "\n".join(lines)))
    # A merge key unfolds as well.
    lines = ["a0: &a0 {" + ", ".join(f"k{n}: 1" for n in range(10)) + "}"]
    lines += [f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 10)}]}}" for n in range(1, 12)]
    with pytest.raises(InputError, match="anchors and aliases stand for more than 100000 values"):
        read_files(write(folder, "CAPI=2:\n" + "\n".join(lines)))
    lines = ["a0: &a0 [x]", *(f"a{n}: &a{n} [*a{n - 1}]" for n in range(1, 2000))]
    with pytest.raises(InputError, match="anchors and aliases"):
        read_files(write(folder, "CAPI=2:\n" + "\n".join(lines)))


INHERITED = """
  base: &base
    filesets: [rtl]
    parameters: [WIDTH=9, FAST]
  lint:
    <<: *base
    filesets_append: [bench]
"""


def test_a_target_inherits_by_a_merge_key(folder: Path) -> None:
    parameters = (
        "parameters:\n  WIDTH: {datatype: int, paramtype: vlogparam}\n"
        "  FAST: {datatype: bool, paramtype: vlogdefine, default: true}\n"
    )
    path = write(folder, GOOD + INHERITED.removeprefix("\n") + parameters)
    assert read_files(path, "lint").sources == (*read_files(path).sources, folder / "tb/tb.sv")
    assert read_files(path, "lint").parameters == {"WIDTH": 9}
    assert read_files(path, "lint").defines == {"FAST": "1", "WIDTH": "64"}
    assert read_files(path).parameters == {}
    text = description("hash", core={"fusesoc": "hash.core", "fusesoc_target": "lint"}, parameters={"MORE": 1})
    (folder / "core.toml").write_text(text.replace('sources = ["hash.sv"]\n', ""))
    assert load_core(folder).parameters == {"WIDTH": 9, "MORE": 1}


def test_flags_of_the_target_and_of_the_toplevel(folder: Path) -> None:
    flagged = GOOD.replace("rtl/package.sv", "target_sim ? (tool_verilator ? (rtl/package.sv))")
    path = write(folder, flagged)
    assert folder / "rtl/package.sv" not in read_files(path).sources
    assert folder / "rtl/package.sv" in read_files(path, "sim").sources
    # A dependency is no toplevel, and its target is its default one; the flag is of the target that was asked for.
    for flag, there in (("is_toplevel", False), ("!is_toplevel", True), ("target_sim", True), ("sim", False)):
        text = SKID.replace("files: [skid.sv]", f'files: [skid.sv, "{flag} ? (extra.sv)"]')
        (folder / "skid" / "skid.core").write_text(text)
        (folder / "skid" / "extra.sv").write_text("// nothing\n")
        assert (folder / "skid" / "extra.sv" in read_files(path, "sim").sources) is there
    path = write(folder, GOOD.replace("rtl/package.sv", "is_toplevel ? (rtl/package.sv)"))
    assert folder / "rtl/package.sv" in read_files(path).sources
    nested = "tool_verilator ? (" * 1500 + "rtl/package.sv" + ")" * 1500
    assert read_files(write(folder, GOOD.replace("rtl/package.sv", nested))).sources[1] == folder / "rtl/package.sv"


def test_a_broken_file_beside_is_in_nobodys_way(folder: Path) -> None:
    (folder / "skid" / "broken.core").write_text("CAPI=2:\nname: [\n")
    assert read_files(write(folder, GOOD)).sources[0] == folder / "skid" / "skid.sv"
    (folder / "skid" / "skid.core").write_text("CAPI=2:\n\tname\n")
    with pytest.raises(InputError, match=r"depends on .*\(one of them cannot be used: .*broken\.core:\d+: not YAML"):
        read_files(write(folder, GOOD))


def test_long_chains_and_long_versions(folder: Path) -> None:
    (folder / "skid" / "skid.core").write_text(SKID.replace("2.1", "9" * 5000))
    assert read_files(write(folder, GOOD)).sources[0] == folder / "skid" / "skid.sv"
    for number in range(150):
        text = SKID.replace("common:skid:2.1", f"common:c{number}").replace("skid.sv", f"../skid/c{number}.sv")
        text = text.replace("files: [../skid/", f"depend: ['vendor:common:c{number + 1}'], files: [")
        (folder / "skid" / f"c{number}.core").write_text(text)
        (folder / "skid" / f"c{number}.sv").write_text("// nothing\n")
    with pytest.raises(InputError, match="more than 100 cores depend on each other in a row"):
        read_files(write(folder, GOOD.replace(">=vendor:common:skid:2.0", "vendor:common:c0")))


def test_a_type_says_what_v_is(folder: Path) -> None:
    assert not read_files(write(folder, GOOD)).v_is_systemverilog
    assert read_files(
        write(folder, GOOD.replace("verilogSource, define", "systemVerilogSource, define"))
    ).v_is_systemverilog


def test_objects_of_python_are_not_made(folder: Path) -> None:
    with pytest.raises(InputError, match="not YAML: could not determine a constructor"):
        read_files(write(folder, "CAPI=2:\nx: !!python/object/apply:os.system [exit]\n"))


def test_what_is_no_text_or_too_long(folder: Path) -> None:
    path = folder / "hash.core"
    path.write_bytes(b"CAPI=2:\n\xff\n")
    with pytest.raises(InputError, match="not UTF-8"):
        read_files(path)
    path.write_text("CAPI=2:\n" + "# x\n" * 300_000)
    with pytest.raises(InputError, match="longer than 1048576 bytes"):
        read_files(path)
    with pytest.raises(InputError, match="cannot be read"):
        read_files(folder / "none.core")


def test_without_pyyaml(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "yaml", None)
    with pytest.raises(PluginError, match=re.escape("needs PyYAML: pip install 'chaindp[fpga]'")):
        read_files(write(folder, GOOD))


@settings(max_examples=12)
@given(st.integers(0, len(GOOD) - 1), st.integers(0, 40), st.text(max_size=6))
def test_a_file_with_a_piece_replaced_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, at: int, length: int, text: str
) -> None:
    path = tmp_path_factory.getbasetemp() / "piece.core"
    path.write_text(GOOD[:at] + text + GOOD[at + length :], encoding="utf-8", errors="replace", newline="")
    with pytest.raises(InputError) as caught:
        read_files(path)  # its files are not there
    assert len(str(caught.value).splitlines()) == 1
