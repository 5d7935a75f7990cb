"""The Makefile and its script on machines that lack something, played by programs put first on PATH."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
MAKE_VENV = REPOSITORY / ".ci" / "make-venv"

if not MAKE_VENV.exists():
    pytest.skip("not a checkout: the Makefile's script is not there", allow_module_level=True)


def program(folder: Path, name: str, script: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)


def make_venv(tmp_path: Path, python: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(MAKE_VENV), python, str(tmp_path / "venv")],
        capture_output=True,
        text=True,
        env={**os.environ, "PATH": f"{tmp_path / 'bin'}:/usr/bin:/bin"},
        check=False,
    )


# A Python whose venv module comes with the file that the fake apt-get makes, as on Debian.
BARE = """
case "$*" in
    *"import ensurepip, venv"*) test -e {flag} ;;
    *"-m venv"*) mkdir -p {venv}/bin && : > {venv}/bin/made ;;
    *version_info*3,*11*) exit 0 ;;
    *) echo 3.11 ;;
esac
"""


def bare_machine(tmp_path: Path, user: int) -> None:
    program(tmp_path / "bin", "bare", BARE.format(flag=tmp_path / "flag", venv=tmp_path / "venv"))
    program(tmp_path / "bin", "id", f"echo {user}")
    program(
        tmp_path / "bin", "apt-get", f'echo "$@" >> {tmp_path}/log; case "$*" in *install*) : > {tmp_path}/flag ;; esac'
    )


def test_root_on_debian_gets_the_missing_module_installed(tmp_path: Path) -> None:
    bare_machine(tmp_path, user=0)
    done = make_venv(tmp_path, "bare")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "venv" / "bin" / "made").exists()
    assert "install -y -qq python3.11-venv" in (tmp_path / "log").read_text()


def test_others_are_told_what_to_install(tmp_path: Path) -> None:
    bare_machine(tmp_path, user=1000)
    done = make_venv(tmp_path, "bare")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "apt-get install python3.11-venv" in done.stderr
    assert not (tmp_path / "log").exists()
    assert not (tmp_path / "venv").exists()


def test_an_old_python_is_refused_in_one_line(tmp_path: Path) -> None:
    program(tmp_path / "bin", "python2", "exit 1")
    for name in ("python2", "no-such-python"):
        done = make_venv(tmp_path, name)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr == f"chaindp: PYTHON={name} is not a Python 3.11 or later\n"


def test_no_python_at_all_is_said_in_one_line(tmp_path: Path) -> None:
    for name in ("python3", "python3.11", "python3.12", "python3.13", "python3.14"):
        program(tmp_path / "bin", name, "exit 1")
    script = MAKE_VENV.read_text().replace("/usr/bin/python3", "/nowhere/python3")
    (tmp_path / "make-venv").write_text(script)
    done = subprocess.run(
        ["bash", str(tmp_path / "make-venv"), "", str(tmp_path / "venv")],
        capture_output=True,
        text=True,
        env={**os.environ, "PATH": f"{tmp_path / 'bin'}:/usr/bin:/bin"},
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "no Python 3.11 or later found" in done.stderr


def test_an_environment_that_works_is_kept(tmp_path: Path) -> None:
    program(tmp_path / "bin", "python3", "echo 'must not be called' >&2; exit 1")
    venv = tmp_path / "venv" / "bin"
    venv.mkdir(parents=True)
    program(venv, "python", f'exec {sys.executable} "$@"')
    done = make_venv(tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert [path.name for path in venv.iterdir()] == ["python"]


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
def test_what_make_would_do(tmp_path: Path) -> None:
    def plan(*arguments: str) -> str:
        command = ["make", "--dry-run", f"VENV={tmp_path}/venv", *arguments]
        return subprocess.run(command, capture_output=True, text=True, cwd=REPOSITORY, check=True).stdout

    bench = plan("bench")
    assert bench.index(".ci/make-venv") < bench.index("pip install") < bench.index("chaindp run --workload erc20")
    test = plan("test")
    order = ["pip install", "ruff check .", "ruff format --check .", "mypy", 'pytest -m "not slow"']
    assert [test.index(step) for step in order] == sorted(test.index(step) for step in order)
    assert "not slow" not in plan("test-all")
    (tmp_path / "venv").mkdir()
    for stamp in (".created", ".installed", ".installed-dev"):
        (tmp_path / "venv" / stamp).write_text("")
    assert "pip install" not in plan("bench") + plan("test")
    assert "make-venv 'python3.12'" in plan("bench", "PYTHON=python3.12")
    assert plan() == plan("help")
    assert "make bench" in subprocess.run(["make"], capture_output=True, text=True, cwd=REPOSITORY, check=True).stdout


def find_browser(tmp_path: Path) -> subprocess.CompletedProcess[str]:
    """Run .ci/browser where nothing is on PATH but what the test put there and what the script needs."""
    folder = tmp_path / "bin"
    folder.mkdir(exist_ok=True)
    for name in ("bash", "mktemp", "tail", "rm"):
        found = shutil.which(name)
        assert found
        (folder / name).symlink_to(found)
    return subprocess.run(
        [str(REPOSITORY / ".ci" / "browser")], capture_output=True, text=True, env={"PATH": str(folder)}, check=False
    )


def test_a_browser_that_is_there_is_enough(tmp_path: Path) -> None:
    program(tmp_path / "bin", "chromium", "exit 0")
    program(tmp_path / "bin", "id", "echo 0")
    program(tmp_path / "bin", "apt-get", "exit 1")
    done = find_browser(tmp_path)
    assert (done.returncode, done.stderr) == (0, "")


def test_root_on_debian_gets_a_browser_installed(tmp_path: Path) -> None:
    program(tmp_path / "bin", "id", "echo 0")
    program(tmp_path / "bin", "apt-get", f'echo "$@" >> {tmp_path}/log')
    done = find_browser(tmp_path)
    assert done.returncode == 0
    assert "installing chromium" in done.stderr
    assert "install -y -qq --no-install-recommends chromium" in (tmp_path / "log").read_text()


@pytest.mark.parametrize("user", [0, 1000])
def test_without_a_browser_the_command_is_shown_and_the_tests_go_on(tmp_path: Path, user: int) -> None:
    program(tmp_path / "bin", "id", f"echo {user}")
    program(tmp_path / "bin", "apt-get", "echo no index >&2; exit 100")
    done = find_browser(tmp_path)
    assert done.returncode == 0
    assert "the browser tests of the report will skip: apt-get install chromium" in done.stderr
    assert ("no index" in done.stderr) == (user == 0)
