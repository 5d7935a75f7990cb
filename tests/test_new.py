"""``chaindp new``: what it refuses, what it writes, and that what it writes works as it is."""

from __future__ import annotations

import importlib
import json
import shlex
import stat
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaindp import cli
from chaindp.errors import InputError
from chaindp.kernels import KECCAK256
from chaindp.kernels.hashes import pack
from chaindp.scaffold import backend, backend_files, package_names, write_package
from chaindp.scaffold.names import LONGEST
from conftest import REPOSITORY

TEMPLATES = Path(backend.__file__).parent / "templates" / backend.TEMPLATES
LONG_NAME = "z" * LONGEST


def error_of(capsys: pytest.CaptureFixture[str], *arguments: str, status: int = 2) -> str:
    """The one line on stderr of ``chaindp new backend ARGUMENTS``, which has to fail."""
    assert cli.main(["new", "backend", *arguments]) == status
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    return captured.err.strip()


# Names


@pytest.mark.parametrize(
    ("name", "module", "title"),
    [
        ("demo", "chaindp_demo", "Demo"),
        ("my-gpu", "chaindp_my_gpu", "MyGpu"),
        ("a_b-2", "chaindp_a_b_2", "AB2"),
        ("x", "chaindp_x", "X"),
        (LONG_NAME, "chaindp_" + LONG_NAME, "Z" + LONG_NAME[1:]),
    ],
)
def test_a_name_gives_all_names(name: str, module: str, title: str) -> None:
    names = package_names(name)
    assert (names.name, names.distribution, names.module, names.title) == (name, f"chaindp-{name}", module, title)


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("Demo", "not a name for a backend"),
        ("2d", "not a name for a backend"),
        ("", "not a name for a backend"),
        ("a/b", "not a name for a backend"),
        ("a.b", "not a name for a backend"),
        ("gpü", "not a name for a backend"),
        ("demo\n", "not a name for a backend"),
        ("demo-", "ends with '-'"),
        ("demo_", "ends with '_'"),
        (LONG_NAME + "z", f"has {LONGEST + 1} characters"),
    ],
)
def test_a_bad_name_is_refused(
    name: str, problem: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert problem in error_of(capsys, "--", name)
    assert list(tmp_path.iterdir()) == []


def test_a_name_that_is_taken_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert "backend 'cpu' is there already, from plugin cpu (chaindp " in error_of(capsys, "cpu")
    assert "Python package chaindp_workloads is there already" in error_of(capsys, "workloads")
    # A distribution of that name need not have a module of that name.
    site = tmp_path / "site"
    (site / "chaindp_odd-1.0.dist-info").mkdir(parents=True)
    (site / "chaindp_odd-1.0.dist-info" / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: chaindp-odd\nVersion: 1.0\n"
    )
    monkeypatch.syspath_prepend(str(site))
    assert "chaindp-odd 1.0 is installed already" in error_of(capsys, "odd")
    assert [path.name for path in tmp_path.iterdir()] == ["site"]


# Writing


@pytest.mark.parametrize("kind", ["folder", "file", "dangling link"])
def test_nothing_is_overwritten(kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "chaindp-demo"
    if kind == "folder":
        target.mkdir()
    elif kind == "file":
        target.write_text("mine")
    else:
        target.symlink_to("nowhere")
    assert f"{target} exists already" in error_of(capsys, "demo", "--directory", str(tmp_path))
    assert list(tmp_path.iterdir()) == [target]
    assert kind != "folder" or list(target.iterdir()) == []


def test_a_folder_that_cannot_take_it_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    missing = tmp_path / "missing"
    assert f"{missing} is not a folder; make it first" in error_of(capsys, "demo", "--directory", str(missing))
    assert not missing.exists()
    (tmp_path / "file").write_text("")
    assert "is not a folder" in error_of(capsys, "demo", "--directory", str(tmp_path / "file"))


def failing_write(path: Path, *_: object, **__: object) -> None:
    if path.name == "keccak.py":
        raise OSError(28, "No space left on device")
    path.touch()


def failing_rename(path: Path, target: Path) -> None:
    raise PermissionError(13, "Permission denied")


@pytest.mark.parametrize(
    ("method", "failure", "message"),
    [("write_text", failing_write, "No space left on device"), ("rename", failing_rename, "Permission denied")],
)
def test_it_is_written_whole_or_not_at_all(
    method: str,
    failure: Callable[..., None],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(Path, method, failure)
    assert f"cannot write {tmp_path / 'chaindp-demo'}: {message}" in error_of(
        capsys, "demo", "--directory", str(tmp_path)
    )
    assert list(tmp_path.iterdir()) == []


def test_what_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(["new", "backend", "my-gpu"]) == 0
    text = capsys.readouterr().out
    assert "Made chaindp-my-gpu" in text
    commands = [line.strip() for line in text.splitlines() if line.startswith("  ")]
    assert shlex.split(commands[0])[-1] == "./chaindp-my-gpu"
    # The README's, by the names that they have from here.
    readme = Path("chaindp-my-gpu", "README.md").read_text()
    there = [line.removeprefix("$ ") for line in readme.splitlines() if line.startswith("$ ")]
    here = [command.replace("./chaindp-my-gpu", ".") for command in commands]
    assert [*here[:1], "chaindp plugins", here[1].removesuffix(" ."), *here[2:]] == there
    assert [path.name for path in tmp_path.iterdir()] == ["chaindp-my-gpu"]
    package = tmp_path / "chaindp-my-gpu"
    written = {str(path.relative_to(package)) for path in package.rglob("*") if path.is_file()}
    assert written == set(backend_files(package_names("my-gpu")))
    assert stat.S_IMODE(package.stat().st_mode) == stat.S_IMODE((package / "tests").stat().st_mode)
    project = tomllib.loads((package / "pyproject.toml").read_text())
    assert project["project"]["name"] == "chaindp-my-gpu"
    assert project["project"]["entry-points"] == {"chaindp": {"my-gpu": "chaindp_my_gpu"}}


def test_json_names_the_folder_and_the_next_commands(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = tmp_path / "a b"
    place.mkdir()
    assert cli.main(["new", "backend", "demo", "--directory", str(place), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["path"] == str(place / "chaindp-demo")
    assert shlex.split(document["next"][0])[-1] == document["path"]
    assert sorted(document["files"]) == document["files"]


def test_alone_it_lists_what_it_can_make(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["new"]) == 0
    assert "chaindp new backend NAME" in capsys.readouterr().out
    assert cli.main(["new", "--json"]) == 0
    assert list(json.loads(capsys.readouterr().out)["kinds"]) == ["backend"]
    assert cli.main(["new", "kernel", "x"]) == 2
    assert "kernel" in capsys.readouterr().err


# Templates


def test_every_template_is_used_and_every_key_is_filled_in() -> None:
    assert {path.name for path in TEMPLATES.iterdir()} == set(backend.FILES.values())
    for path, text in backend_files(package_names("demo")).items():
        assert "{{" not in path + text
        assert path.endswith("py.typed") or text.endswith("\n")


def test_the_code_compiles_for_any_name() -> None:
    for name in ("x", LONG_NAME, "a-b_c"):
        for path, text in backend_files(package_names(name)).items():
            if path.endswith(".py"):
                compile(text, path, "exec")


@pytest.mark.parametrize("name", ["x", LONG_NAME])
def test_the_code_is_as_ours_should_be(name: str, tmp_path: Path) -> None:
    folder = tmp_path / name
    write_package(folder, backend_files(package_names(name)))
    settings = ["--config", str(REPOSITORY / "pyproject.toml"), "--config", 'src=["."]', "--no-cache"]
    for arguments in (["check", *settings], ["check", "--no-cache"], ["format", "--check", "--diff", "--no-cache"]):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *arguments, "."], cwd=folder, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr


def test_the_types_hold(tmp_path: Path) -> None:
    """By the settings that the package itself brings, which are mypy's strict ones."""
    folder = tmp_path / "package"
    write_package(folder, backend_files(package_names("my-gpu")))
    command = [sys.executable, "-m", "mypy", "--cache-dir", str(REPOSITORY / ".mypy_cache" / "generated")]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "no issues found in 3 source files" in done.stdout


# The kernel and the backend


@pytest.fixture(scope="module")
def keccak(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleType]:
    """The generated kernel, imported."""
    folder = tmp_path_factory.mktemp("generated")
    for path, text in backend_files(package_names("rendered")).items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    sys.path.insert(0, str(folder))
    try:
        yield importlib.import_module("chaindp_rendered.keccak")
    finally:
        sys.path.remove(str(folder))
        for name in [name for name in sys.modules if name.startswith("chaindp_rendered")]:
            del sys.modules[name]


def test_the_kernel_has_the_fixed_vectors(keccak: ModuleType) -> None:
    for vector in KECCAK256.vectors:
        assert np.array_equal(keccak.keccak256(*vector.args), vector.expected), vector.source


MESSAGES = st.lists(st.binary(max_size=300) | st.sampled_from([bytes(n) for n in (135, 136, 137, 271, 272, 273)]))


@given(MESSAGES)
def test_the_kernel_agrees_with_the_golden_reference(keccak: ModuleType, messages: list[bytes]) -> None:
    data, offsets = pack(messages)
    digests = keccak.keccak256(data, offsets)
    assert digests.dtype == np.uint8
    assert digests.shape == (len(messages), 32)
    assert np.array_equal(digests, KECCAK256.golden(data, offsets))


def test_the_kernel_works_in_batches(keccak: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    args = pack([bytes([i]) * (7 * i % 290) for i in range(50)])
    whole = keccak.keccak256(*args)
    monkeypatch.setattr(keccak, "BATCH", 3)
    assert np.array_equal(keccak.keccak256(*args), whole)


def test_the_kernel_refuses_what_the_contract_does_not_allow(keccak: ModuleType) -> None:
    data, offsets = pack([b"abc"])
    with pytest.raises(InputError, match="dtype"):
        keccak.keccak256(data.astype(np.int8), offsets)
    with pytest.raises(InputError, match="past the 3 bytes"):
        keccak.keccak256(data, offsets + np.array([0, 1]))
