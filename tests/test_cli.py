from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import click
import pytest

import chaindp as package
from chaindp import cli
from chaindp.cli import output
from chaindp.errors import CheckFailed, InputError
from conftest import REPOSITORY
from plugin_site import chaindp, make_distribution


def install(monkeypatch: pytest.MonkeyPatch, function: object) -> None:
    """Make ``chaindp probe`` call ``function``."""

    @click.command()
    @click.option("--json", "as_json", is_flag=True)
    def probe(as_json: bool) -> object:
        return function()  # type: ignore[operator]

    monkeypatch.setattr(sys.modules[__name__], "PROBE", probe, raising=False)
    monkeypatch.setitem(cli.COMMANDS, "probe", (f"{__name__}:PROBE", "A command for tests."))


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--help"]) == 0
    text = capsys.readouterr().out
    for name, (_, summary) in cli.COMMANDS.items():
        assert name in text
        assert summary.split()[0] in text
    assert f"{cli.INTERRUPTED} where it was interrupted, {cli.READER_LEFT} where" in " ".join(text.split())


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_command_has_help_and_json(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([name, "--help"]) == 0
    text = capsys.readouterr().out
    assert text.startswith(f"Usage: chaindp {name}")
    kinds = {
        "verify": ("block", "trietest", "rlptest", "proof"),
        "prove": ("poseidon2", "credential", "keccak", "transfers"),
    }
    if name in kinds:
        for kind in kinds[name]:
            assert kind in text
            assert cli.main([name, kind, "--help"]) == 0
            assert "--json" in capsys.readouterr().out
    else:
        assert "--json" in text


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"chaindp {package.__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "no command given"),
        (["bnech"], "unknown command 'bnech'; did you mean bench?"),
        (["--nope"], "no such option"),
        (["plugins", "--nope"], "try 'chaindp plugins --help'"),
        (["plugins", "extra"], "unexpected extra argument"),
        (["verify", "block"], "missing argument 'PATH...'"),
    ],
)
def test_a_wrong_call_is_one_line_with_status_2(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert captured.err.startswith("chaindp: error: ")
    assert message in captured.err


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        (InputError("the file is cut off"), 2, "chaindp: error: the file is cut off"),
        (CheckFailed("a root\ndiffers"), 1, "chaindp: error: a root differs"),
        (KeyboardInterrupt(), 130, "chaindp: error: interrupted"),
        (
            ZeroDivisionError("oh"),
            1,
            "chaindp: error: unexpected ZeroDivisionError: oh (set CHAINDP_DEBUG=1 for the traceback)",
        ),
        (MemoryError(), 1, "chaindp: error: unexpected MemoryError:  (set CHAINDP_DEBUG=1 for the traceback)"),
    ],
)
def test_an_error_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: BaseException, status: int, line: str
) -> None:
    def fail() -> int:
        raise error

    monkeypatch.delenv("CHAINDP_DEBUG", raising=False)
    install(monkeypatch, fail)
    assert cli.main(["probe"]) == status
    captured = capsys.readouterr()
    assert captured.err.strip() == line
    assert captured.out == ""
    assert cli.main(["probe", "--json"]) == status
    captured = capsys.readouterr()
    assert captured.err.strip() == line
    assert json.loads(captured.out) == {"error": line.removeprefix("chaindp: error: ")}


def test_debug_shows_the_traceback(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("CHAINDP_DEBUG", "1")
    install(monkeypatch, lambda: 1 // 0)
    assert cli.main(["probe"]) == 1
    assert "Traceback" in capsys.readouterr().err


CHATTY = """
import os, subprocess, sys, types
import click
from chaindp import cli
from chaindp.cli import output

@click.command()
@click.option("--json", "as_json", is_flag=True)
def probe(as_json):
    print("from Python")
    os.write(1, b"from native code\\n")
    subprocess.run(["echo", "from a child"], check=True)
    output.emit({"value": float("nan"), "nested": [float("inf"), 1.5], "text": "é"})
    print("after")
    return 0

sys.modules["probing"] = types.ModuleType("probing")
sys.modules["probing"].probe = probe
cli.COMMANDS["probe"] = ("probing:probe", "")
status = cli.main(["probe", "--json"])
print("stdout is back", flush=True)
os.write(1, b"for native code too\\n")
sys.exit(status)
"""


def test_json_is_alone_on_stdout() -> None:
    done = subprocess.run([sys.executable, "-c", CHATTY], capture_output=True, text=True, check=True)
    first, second, third = done.stdout.splitlines()
    assert json.loads(first) == {"value": None, "nested": [None, 1.5], "text": "é"}
    assert (second, third) == ("stdout is back", "for native code too")
    assert sorted(done.stderr.splitlines()) == ["after", "from Python", "from a child", "from native code"]


def test_two_json_objects_are_an_error(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def twice() -> int:
        output.emit({"first": 1})
        output.emit({"second": 2})
        return 0

    install(monkeypatch, twice)
    assert cli.main(["probe", "--json"]) == 1
    assert json.loads(capsys.readouterr().out) == {"first": 1}


RUN_AGAINST_ITSELF = ("compare", *[str(REPOSITORY / "results" / "reference")] * 2)


@pytest.mark.parametrize(
    "arguments",
    [("--help",), ("bench", "--help"), ("plugins", "--json"), RUN_AGAINST_ITSELF],
    ids=lambda words: words[0],
)
def test_a_reader_that_leaves_is_one_status_for_all(arguments: tuple[str, ...]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        command = [sys.executable, "-m", "chaindp", *arguments]
        done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
    finally:
        os.close(writer)
    assert (done.returncode, done.stderr) == (cli.READER_LEFT, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
@pytest.mark.parametrize("arguments", [("--help",), ("plugins", "--json"), ("plugins",)], ids=" ".join)
def test_output_that_cannot_be_written_is_one_line(arguments: tuple[str, ...]) -> None:
    with open("/dev/full", "w") as full:
        command = [sys.executable, "-m", "chaindp", *arguments]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == "chaindp: error: cannot write the output: No space left on device\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ("bench", "keccak256", "--size", "64", "--repeat", "1", "--threads", "1"),
        ("run", "--workload", "transfers", "--levels", "0", "--txs", "10", "--accounts", "10", "--repeat", "1"),
    ],
    ids=lambda words: words[0],
)
def test_a_folder_that_cannot_be_written_is_noticed_before_measuring(
    arguments: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def measured(*_: object, **__: object) -> None:
        raise AssertionError("it measures")

    monkeypatch.setattr("chaindp.cli.bench.run_bench", measured)
    monkeypatch.setattr("chaindp.pipeline.run.measure_run", measured)
    monkeypatch.chdir(tmp_path)
    Path("results").write_text("a file")
    assert cli.main([*arguments]) == 2
    assert "chaindp: error: cannot write to results/runs: " in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["results"]


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; from chaindp.cli import main; main(['--help']); "
        "print([n for n in ('numpy', 'pandas', 'numba', 'rich', 'matplotlib') if n in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == "[]\n"


def test_tables_show_brackets_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    output.table("T", ("a", "b"), [["[red]x[/red]", None], [1, 2.5]], right=("b",))
    text = capsys.readouterr().out
    assert "[red]x[/red]" in text
    assert "2.5" in text


def test_doctor_checks_this_machine(tmp_path: Path) -> None:
    make_distribution(tmp_path / "site", "boom-dist", "raise ImportError('no driver')", entry="boom")
    done = chaindp("doctor", "--json", site=tmp_path / "site", cwd=tmp_path)
    document = json.loads(done.stdout)
    checks = {check["name"]: check for check in document["checks"]}
    for name in ("python", "numba", "rocksdict", "results", "simd", "c++", "make", "perl", "data", "backend cpu"):
        assert name in checks
    for name in ("python", "numba", "rocksdict", "results", "backend cpu", "backend cpu:scalar"):
        assert checks[name]["ok"], checks[name]
    assert checks["backend cpu"]["detail"] == "keccak256 and sha256 right"
    assert not checks["plugin boom"]["ok"]
    assert not checks["plugin boom"]["required"]
    assert "no driver" in checks["plugin boom"]["detail"]
    for check in checks.values():
        assert bool(check["fix"]) != check["ok"], check
    failing = [check for check in checks.values() if check["required"] and not check["ok"]]
    assert done.returncode == (1 if failing else 0)
    assert document["ok"] == (not failing)
    assert list(tmp_path.iterdir()) == [tmp_path / "site"]


WRONG = """
import numpy as np
from chaindp import hookimpl
from chaindp.backend import Backend, BackendSpec, Capability

class Wrong(Backend):
    def keccak256(self, data, offsets):
        return np.zeros((1, 32), dtype=np.uint8)

@hookimpl
def chaindp_backends():
    return [BackendSpec(name="wrong", kind="other", summary="", factory=lambda o: Wrong("wrong", o),
                        capabilities={"keccak256": Capability()})]
"""


@pytest.mark.slow
def test_doctor_tries_the_hash_of_a_backend(tmp_path: Path) -> None:
    make_distribution(tmp_path / "site", "wrong-dist", WRONG)
    done = chaindp("doctor", "--json", site=tmp_path / "site", cwd=tmp_path)
    (check,) = [check for check in json.loads(done.stdout)["checks"] if check["name"] == "backend wrong"]
    assert not check["ok"]
    assert check["detail"] == "keccak256 returns a wrong digest for a known message"


def test_verify_of_the_official_tests(data_dir: Path, tmp_path: Path) -> None:
    archive = str(data_dir / "ethereum-tests" / "TrieAndRLPTests.tar.gz")
    for kind in ("trietest", "rlptest"):
        done = chaindp("verify", kind, archive, "--json", cwd=tmp_path)
        document = json.loads(done.stdout)
        assert done.returncode == 0, document
        assert document["passed"] > 5
        assert document["failed"] == 0
        assert document["failures"] == []


def test_verify_of_one_block(data_dir: Path, tmp_path: Path) -> None:
    block = str(data_dir / "mainnet" / "46147" / "block.json.gz")
    done = chaindp("verify", "block", block, "--json", cwd=tmp_path)
    document = json.loads(done.stdout)
    assert done.returncode == 0, document
    assert (document["passed"], document["failed"]) == (1, 0)


def test_verify_says_what_does_not_hold(tmp_path: Path) -> None:
    # RLP writes 1 as itself; 0x8101 is the longer form that canonical RLP forbids.
    tests = {"right": {"in": 1, "out": "0x01"}, "wrong": {"in": 1, "out": "0x8101"}}
    (tmp_path / "test.json").write_text(json.dumps(tests))
    done = chaindp("verify", "rlptest", "test.json", "--json", cwd=tmp_path)
    document = json.loads(done.stdout)
    assert done.returncode == 1
    assert (document["passed"], document["failed"], len(document["failures"])) == (1, 1, 1)
    assert document["failures"][0]["test"] == "wrong"
    done = chaindp("verify", "rlptest", "test.json", cwd=tmp_path)
    assert done.returncode == 1
    assert "FAILED" in done.stdout
    assert "1 passed, 1 failed" in done.stdout


@pytest.mark.parametrize("kind", ["block", "trietest", "rlptest"])
def test_verify_of_a_path_that_is_not_there(kind: str, tmp_path: Path) -> None:
    done = chaindp("verify", kind, "nowhere.json", "--json", cwd=tmp_path)
    assert done.returncode == 2
    assert json.loads(done.stdout) == {"error": "nowhere.json does not exist"}
    (tmp_path / "garbage.json").write_text("{")
    done = chaindp("verify", kind, "garbage.json", cwd=tmp_path)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "garbage.json" in done.stderr.splitlines()[-1]
