"""``core.toml``: what is right is read as it stands, and every mistake is one line with its file and line."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaindp.cores import load_core
from chaindp.cores.lines import key_lines
from chaindp.errors import UsageError

GOOD = """\
name = "example"
summary = "An example"
kernel = "keccak256"
top = "hash"
sources = [
    "rtl/package.sv",
    "rtl/hash.sv",
]
include_dirs = ["rtl"]
lint_off = ["WIDTHEXPAND"]
clock_mhz = 120

[defines]
FAST = true
WIDTH = 64

[parameters]
Rounds = 24
Name = "x"
Byte = "8'h06"

[clock]
port = "clk"

[reset]
port = "rst"
active = "high"
cycles = 7

[input]
bytes = 8
keep = true
byte_order = "big"
ports = { tdata = "din", tvalid = "din_valid" }

[output]
prefix = "out"
bytes = 32

[options]
padding = "core"

[limits]
idle_cycles = 5000

[configurations.wide]
summary = "Wider"
parameters = { Rounds = 12 }
input = { bytes = 16 }

[configurations.tree]
kernel = "merkle_root"
top = "tree"
clock_mhz = 80.5

[configurations.tree.options]
hash = "sha256"

[configurations.tree.input]
bytes = 32
keep = false
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "rtl").mkdir()
    for name in ("package.sv", "hash.sv"):
        (tmp_path / "rtl" / name).write_text("// nothing\n")
    return tmp_path


def write(folder: Path, text: str) -> Path:
    path = folder / "core.toml"
    path.write_text(text)
    return path


def line_of(text: str, part: str) -> int:
    return text[: text.index(part)].count("\n") + 1


def test_what_is_written_is_what_is_read(folder: Path) -> None:
    core = load_core(write(folder, GOOD))
    assert (core.name, core.label, core.configuration, core.summary) == ("example", "example", "", "An example")
    assert (core.kernel, core.top, core.clock_mhz) == ("keccak256", "hash", 120.0)
    assert core.sources == (folder / "rtl/package.sv", folder / "rtl/hash.sv")
    assert core.include_dirs == (folder / "rtl",)
    assert core.lint_off == ("WIDTHEXPAND",)
    assert core.defines == {"FAST": "", "WIDTH": "64"}
    assert core.parameters == {"Rounds": 24, "Name": "x", "Byte": "8'h06"}
    assert (core.clock, core.reset.port, core.reset.active_low, core.reset.cycles) == ("clk", "rst", False, 7)
    assert [core.input.port(signal) for signal in ("tdata", "tvalid", "tready")] == [
        "din",
        "din_valid",
        "s_axis_tready",
    ]
    assert (core.input.bytes, core.input.keep, core.input.user_bits, core.input.byte_order) == (8, True, 0, "big")
    assert (core.output.port("tlast"), core.output.bytes, core.output.keep) == ("out_tlast", 32, False)
    assert core.options == {"padding": "core"}
    assert core.idle_cycles == 5000
    assert core.configurations == ("wide", "tree")


def test_a_configuration_replaces_what_it_names_and_nothing_else(folder: Path) -> None:
    path = write(folder, GOOD)
    wide = load_core(path, "wide")
    assert (wide.label, wide.summary, wide.clock_mhz) == ("example-wide", "Wider", 120.0)
    assert wide.parameters == {"Rounds": 12, "Name": "x", "Byte": "8'h06"}
    assert (wide.input.bytes, wide.input.keep, wide.input.port("tdata")) == (16, True, "din")
    tree = load_core(path, "tree")
    assert (tree.kernel, tree.top, tree.clock_mhz) == ("merkle_root", "tree", 80.5)
    # Another kernel has other options, and those of the first one do not remain.
    assert tree.options == {"hash": "sha256", "max_depth": 32}


def test_a_folder_stands_for_the_description_in_it(folder: Path) -> None:
    write(folder, GOOD)
    assert load_core(folder).path == folder / "core.toml"


def test_what_may_be_left_out(folder: Path) -> None:
    text = """
name = "least"
kernel = "ntt"
top = "t"
sources = ["rtl/hash.sv"]
clock_mhz = 1.5
[clock]
port = "clk"
[reset]
port = "rst"
[input]
bytes = 4
user_bits = 5
[output]
bytes = 4
"""
    core = load_core(write(folder, text))
    assert core.options == {"field": "babybear", "min_log2_size": 0, "max_log2_size": 16, "order": "natural"}
    assert core.v_language == "1364-2005"
    assert (core.summary, core.include_dirs, core.defines, core.parameters, core.lint_off) == ("", (), {}, {}, ())
    assert (core.reset.active_low, core.reset.cycles, core.idle_cycles) == (True, 4, 100_000)
    assert (core.input.prefix, core.output.prefix) == ("s_axis", "m_axis")


def test_every_key_knows_its_line(folder: Path) -> None:
    path = write(folder, GOOD)
    core, wide, tree = (load_core(path, name) for name in ("", "wide", "tree"))

    def at(part: str) -> str:
        return f"{path}:{line_of(GOOD, part)}"

    assert core.at("top") == at('top = "hash"')
    assert core.at("input", "bytes") == at("bytes = 8")
    assert core.at("input", "ports", "tdata") == at("ports = {")
    assert core.at("input", "user_bits") == at("[input]")
    assert core.at("parameters", "Rounds") == at("Rounds = 24")
    assert wide.at("parameters", "Rounds") == at("parameters = {")
    assert wide.at("input", "bytes") == at("input = { bytes = 16 }")
    assert wide.at("top") == at('top = "hash"')
    assert tree.at("input", "bytes") == at("bytes = 32\nkeep")
    assert tree.at("options", "hash") == at('hash = "sha256"')


# What to replace, by what, the text that stands where the error is, and the beginning of the message.
MISTAKES = {
    "syntax": ("clock_mhz = 120", "clock_mhz = = 120", "clock_mhz = =", "not TOML: Invalid value"),
    "a key twice": ('top = "hash"', 'top = "hash"\ntop = "x"', 'top = "x"', "not TOML: Cannot overwrite a value"),
    "unknown key": ('summary = "An', 'sumary = "An', "sumary", "a core has no key 'sumary'; did you mean summary?"),
    "unknown table": ("[limits]", "[limit]", "[limit]", "a core has no key 'limit'; did you mean limits?"),
    "unknown key of a table": ("cycles = 7", "cycle = 7", "cycle = 7", "[reset] has no key 'cycle'; did you mean"),
    "no name": ('name = "example"\n', "", "summary", "name is missing"),
    "a name that is none": ('"example"', '"Example-1"', "Example-1", "name is 'Example-1', which is not lowercase"),
    "a name of another type": ('"example"', "1", "name = 1", "name is an integer, expected a string"),
    "two lines of summary": (
        '"An example"',
        r'"An\nexample"',
        "summary",
        "summary is 'An\\nexample', which is not one",
    ),
    "unknown kernel": ('"keccak256"', '"keccak"', "kernel =", "no core can serve a kernel 'keccak'; did you mean kecc"),
    "another kernel": ('"keccak256"', '"xyz"', "kernel =", "no core can serve a kernel 'xyz'; there is keccak256, sha"),
    "a top that is no name": (
        'top = "hash"',
        'top = "a b"',
        'top = "a',
        "top is 'a b', which is not the name of a mod",
    ),
    "no sources": ('sources = [\n    "rtl/package.sv",\n    "rtl/hash.sv",\n]\n', "", "name", "sources is missing"),
    "an empty list": ('[\n    "rtl/package.sv",\n    "rtl/hash.sv",\n]', "[]", "sources", "sources names no file"),
    "a missing source": ("rtl/hash.sv", "rtl/hush.sv", "rtl/hush.sv", "sources: there is no file"),
    "a source twice": (
        "rtl/hash.sv",
        "rtl/../rtl/package.sv",
        "rtl/../rtl",
        "sources names rtl/../rtl/package.sv twice",
    ),
    "a folder as source": ('"rtl/hash.sv"', '"rtl"', '"rtl",', "sources: there is no file"),
    "an absolute source": ("rtl/hash.sv", "/etc/passwd", "/etc/passwd", "sources: /etc/passwd is absolute"),
    "an empty source": ('"rtl/hash.sv"', '""', '""', "sources: '' is not the name of a file"),
    "a NUL in a source": ("rtl/hash.sv", "rtl/a\\u0000", "sources", "sources: 'rtl/a\\x00' is not the name of a file"),
    "a number as source": ('"rtl/hash.sv"', "3", "sources", "sources holds an integer, expected strings"),
    "sources as text": (
        '[\n    "rtl/package.sv",\n    "rtl/hash.sv",\n]',
        '"x"',
        "sources",
        "sources is a string, exp",
    ),
    "no include folder": ('["rtl"]', '["inc"]', "include_dirs", "include_dirs: there is no folder"),
    "a file to include from": ('["rtl"]', '["rtl/hash.sv"]', "include_dirs", "include_dirs: there is no folder"),
    "both ways": ("include_dirs", 'fusesoc = "x"\ninclude_dirs', "fusesoc", "sources and fusesoc: one of them names"),
    "a target of nothing": (
        "include_dirs",
        'fusesoc_target = "x"\ninclude_dirs',
        "fusesoc_t",
        "fusesoc_target is of a",
    ),
    "a warning that is none": ("WIDTHEXPAND", "-Wno-fatal", "lint_off", "lint_off: '-Wno-fatal' is not the name of a"),
    "no clock rate": ("clock_mhz = 120\n", "", "name", "clock_mhz is missing"),
    "a clock that stands still": ("= 120", "= 0.0", "clock_mhz", "clock_mhz is 0, expected a number above 0"),
    "an infinite clock": ("= 120", "= inf", "clock_mhz", "clock_mhz is inf, expected a number above 0"),
    "a clock that is no number": ("= 120", "= nan", "clock_mhz", "clock_mhz is nan, expected a number above 0"),
    "a clock that is true": ("= 120", "= true", "clock_mhz", "clock_mhz is true or false, expected a number"),
    "a macro that is no name": ("WIDTH = 64", '"A-B" = 64', '"A-B"', "'A-B' is not the name of a macro"),
    "a macro that is false": ("FAST = true", "FAST = false", "FAST", "defines.FAST is false: leave it out instead"),
    "a macro that is a list": ("WIDTH = 64", "WIDTH = [64]", "WIDTH = [", "defines.WIDTH is a list, expected a string"),
    "a parameter that is no name": ("Rounds = 24", '"-x" = 24', '"-x"', "'-x' is not the name of a parameter"),
    "a parameter of a fraction": (
        "Rounds = 24",
        "Rounds = 2.4",
        "Rounds",
        "parameters.Rounds is a number, expected an",
    ),
    "a parameter too large": ("= 24", f"= {1 << 64}", "Rounds", f"parameters.Rounds is {1 << 64}, which takes more"),
    "a line end in a parameter": ('"x"', '"x\\ny"', "Name", "parameters.Name holds a character that cannot be printed"),
    "no clock": ('[clock]\nport = "clk"\n', "", "name", "[clock] is missing"),
    "a clock of no table": (
        GOOD,
        'clock = "clk"\n' + GOOD.replace('[clock]\nport = "clk"\n', ""),
        'clock = "clk"',
        "clock is a string, expected a table",
    ),
    "a clock of 400 digits": ("= 120", "= " + "9" * 400, "clock_mhz", "clock_mhz is an integer of 1329 bits"),
    "a clock of 5000 digits": ("= 120", "= " + "9" * 5000, "clock_mhz", "not TOML: a number has too many digits"),
    "a clock of 5000 hexadecimal digits": (
        "= 120",
        "= 0x" + "9" * 5000,
        "clock_mhz",
        "clock_mhz is an integer of 20000 b",
    ),
    "a language of .v that is none": (
        "clock_mhz = 120",
        'clock_mhz = 120\nv_language = "vhdl"',
        "v_language",
        'v_language is \'vhdl\', expected "1364-2005" or "1800-2017"',
    ),
    "no port of the clock": ('port = "clk"\n', "", "[clock]", "clock.port is missing"),
    "a level that is none": ('"high"', '"up"', "active", 'reset.active is \'up\', expected "low" or "high"'),
    "a reset of no cycles": ("cycles = 7", "cycles = 0", "cycles", "reset.cycles is 0, expected 1 to 10000"),
    "a port for two": ('"din_valid"', '"din"', "ports =", "port din is tdata of the input and tvalid of the input"),
    "clock and reset on one port": ('port = "rst"', 'port = "clk"', 'active = "high"', ""),
    "a signal that is none": ("tdata =", "data =", "ports =", "input.ports has no key 'data'; did you mean tdata?"),
    "a port that is no name": ('"din"', '"d in"', "ports =", "input.ports.tdata is not the name of a port"),
    "a tkeep without one": ("keep = true\n", "", "ports", ""),
    "an order that is none": (
        '"big"',
        '"middle"',
        "byte_order",
        "input.byte_order is 'middle', expected \"little\" or",
    ),
    "no bytes": ("bytes = 8\n", "", "[input]", "input.bytes is missing"),
    "zero bytes": ("bytes = 8", "bytes = 0", "bytes = 0", "input.bytes is 0, expected 1 to 4096"),
    "bytes as text": ("bytes = 8", 'bytes = "8"', 'bytes = "8"', "input.bytes is a string, expected an integer"),
    "a keep that is a number": (
        "keep = true",
        "keep = 1",
        "keep = 1",
        "input.keep is an integer, expected true or false",
    ),
    "an option of another kernel": (
        "padding =",
        "hash =",
        'hash = "core"',
        "[options] of a core for keccak256 has no key",
    ),
    "a value that is none": ('"core"', '"cure"', "padding", 'options.padding is \'cure\', expected "core" or "host"'),
    "a limit of nothing": ("= 5000", "= 5", "idle_cycles", "limits.idle_cycles is 5, expected 100 to 100000000"),
    "a last beat without a tkeep": ("keep = true\n", "", "bytes = 8", ""),
    "a configuration with a bad name": (
        "[configurations.wide]",
        "[configurations.Wide]",
        "[configurations.Wide]",
        "confi",
    ),
    "an unknown key of a configuration": (
        'summary = "Wider"',
        "name = 1",
        "name = 1",
        "a configuration has no key 'name'",
    ),
    "a mistake in a configuration": (
        "{ Rounds = 12 }",
        "{ Rounds = 1.5 }",
        "parameters = {",
        "parameters.Rounds is a num",
    ),
    "a mistake in a table of a configuration": (
        "bytes = 32\nkeep",
        "bytes = 33\nkeep",
        "bytes = 33",
        "input.bytes is 33",
    ),
    "a configuration that is no table": (
        "[limits]",
        "[configurations]\nx = 3\n[limits]",
        "x = 3",
        "configuration x is n",
    ),
}
# What needs no message of its own above has it here.
SAID = {
    "clock and reset on one port": (
        'port = "clk"\nactive',
        "port clk is the clock and the reset",
    ),
    "a tkeep without one": (
        "bytes = 8",
        "input.bytes is 8: a packet of keccak256 is a multiple of 1 bytes, so its last beat may not be full and needs",
    ),
}
SAID["a last beat without a tkeep"] = SAID["a tkeep without one"]


@pytest.mark.parametrize("character", ["\\u001b", "\\u2028", "\\u0085", "\\u0000"])
def test_a_summary_is_one_line_that_can_be_printed(folder: Path, character: str) -> None:
    text = re.sub(r"^summary = .*$", lambda _: f'summary = "a{character}b"', GOOD, count=1, flags=re.MULTILINE)
    with pytest.raises(UsageError) as caught:
        load_core(write(folder, text))
    assert "summary is" in str(caught.value)
    assert str(caught.value).isprintable()


def test_a_name_that_no_file_can_have() -> None:
    for name in ("n" * 300, "a\0b"):
        with pytest.raises(UsageError):
            load_core(name)


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_costs_one_line_with_its_line(folder: Path, name: str) -> None:
    old, new, place, said = MISTAKES[name]
    assert old in GOOD
    text = GOOD.replace(old, new, 1)
    place, said = SAID.get(name, (place, said))
    path = write(folder, text)
    with pytest.raises(UsageError) as caught:
        load_core(path)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(f"{path}:{line_of(text, place)}: {said}")


@pytest.mark.parametrize(
    ("kernel", "tables", "said"),
    [
        ("merkle_root", "[input]\nbytes = 64\n[output]\nbytes = 32\n", "input.bytes is 64: a packet of merkle_root"),
        ("merkle_tree", "[input]\nbytes = 32\n[output]\nbytes = 32\n", "output.user_bits is missing"),
        (
            "merkle_tree",
            "[input]\nbytes = 32\n[output]\nbytes = 64\nkeep = true\n",
            "a node of 32 bytes is one beat or",
        ),
        ("poseidon2", "[input]\nbytes = 64\n[output]\nbytes = 48\n", "output.bytes is 48: a packet of poseidon2 is a"),
        ("ntt", "[input]\nbytes = 4\nuser_bits = 4\n[output]\nbytes = 4\n", "input.user_bits is 4: tuser says log2"),
        ("keccak256", "[input]\nbytes = 16\n[output]\nbytes = 32\n[options]\npadding = 'host'\n", "a multiple of 136"),
    ],
)
def test_packets_have_to_fit_their_streams(folder: Path, kernel: str, tables: str, said: str) -> None:
    head = f'name = "x"\nkernel = "{kernel}"\ntop = "t"\nsources = ["rtl/hash.sv"]\nclock_mhz = 1\n'
    path = write(folder, head + '[clock]\nport = "c"\n[reset]\nport = "r"\n' + tables)
    with pytest.raises(UsageError, match=re.escape(said)) as caught:
        load_core(path)
    assert re.match(rf"{re.escape(str(path))}:\d+: ", str(caught.value))


def test_a_padded_message_of_whole_beats_needs_no_tkeep(folder: Path) -> None:
    head = 'name = "x"\nkernel = "sha256"\ntop = "t"\nsources = ["rtl/hash.sv"]\nclock_mhz = 1\n'
    text = head + '[clock]\nport = "c"\n[reset]\nport = "r"\n[input]\nbytes = 16\n[output]\nbytes = 32\n'
    core = load_core(write(folder, text + "[options]\npadding = 'host'\n"))
    assert not core.input.keep


def test_files_that_are_no_description(folder: Path) -> None:
    with pytest.raises(UsageError, match=r"none\.toml: there is no such file"):
        load_core(folder / "none.toml")
    with pytest.raises(UsageError, match=r"core\.toml: there is no such file"):
        load_core(folder)
    path = folder / "core.toml"
    path.write_bytes(b"name = 1\nx = '\xff'\n")
    with pytest.raises(UsageError, match=r"core\.toml:2: not UTF-8"):
        load_core(path)
    path.write_text("x = 1\n" * 200_000)
    with pytest.raises(UsageError, match="longer than 1048576 bytes"):
        load_core(path)
    path.write_text("x = " + "[" * 5000)
    with pytest.raises(UsageError, match=r"core\.toml:1: not TOML"):
        load_core(path)
    with pytest.raises(UsageError, match="no configuration 'none'; there is: wide, tree"):
        load_core(write(folder, GOOD), "none")


@given(st.text(max_size=200))
def test_no_text_is_more_than_one_line_of_error(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.getbasetemp() / "any.toml"
    path.write_text(text, encoding="utf-8", errors="replace", newline="")
    with pytest.raises(UsageError) as caught:
        load_core(path)
    assert len(str(caught.value).splitlines()) == 1


@given(st.integers(0, len(GOOD) - 1), st.integers(0, 60), st.text(max_size=5))
def test_a_description_with_a_piece_replaced_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, at: int, length: int, text: str
) -> None:
    folder = tmp_path_factory.getbasetemp() / "pieces"
    if not folder.exists():
        (folder / "rtl").mkdir(parents=True)
        for name in ("package.sv", "hash.sv"):
            (folder / "rtl" / name).write_text("// nothing\n")
    path = folder / "core.toml"
    path.write_text(GOOD[:at] + text + GOOD[at + length :], encoding="utf-8", errors="replace", newline="")
    said = ""
    try:
        load_core(path)
    except UsageError as error:
        said = str(error)
    assert not said or said.startswith(f"{path}:")
    assert len(said.splitlines()) <= 1


def test_lines_of_keys_in_every_form_of_toml() -> None:
    text = '''# name = 1
a = "x" # [not.a.table]
b = [
  "one", # "
  "[two]",
]
c = """
[no]
d = 1"""
e.f . "g.h" = 1
[ t . "u v" ]   # ]
x = { y = 1, z = [ 1,
  2 ] }
w = 'it''s'
[[many]]
v = 1
'''.replace("'it''s'", "'its'")
    assert key_lines(text) == {
        (): 1,
        ("a",): 2,
        ("b",): 3,
        ("c",): 7,
        ("e", "f", "g.h"): 10,
        ("t", "u v"): 11,
        ("t", "u v", "x"): 12,
        ("t", "u v", "w"): 14,
        ("many",): 15,
        ("many", "v"): 16,
    }
