"""Plugins as a stranger gets them: ``examples/plugin`` and a package that ``chaindp new`` made, installed and used.

Beside chaindp's wheel in a virtual environment of their own: no source folder is on its path, and no test dependency is
in it. Making it takes longest, so all tests that need it stand in this file.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from chaindp.scaffold import backend_files, package_names
from conftest import REPOSITORY
from plugin_site import chaindp, make_distribution

PROBE = "hatchling"
"""A small wheel that the installation needs anyway: whether pip can get anything at all."""


@dataclass(frozen=True)
class PluginEnvironment:
    """``example``: the folder of the example; ``made``: what ``chaindp new backend NAME`` printed as JSON when it made
    its package beside the environment.
    """

    bin: Path
    example: Path
    name: str = "demo"
    made: dict[str, Any] = field(default_factory=dict)

    @property
    def generated(self) -> Path:
        """The folder of the package that ``chaindp new`` made."""
        return self.bin.parents[1] / self.made["path"]

    def run(self, program: str, *arguments: str, cwd: Path) -> str:
        """What a program of the environment prints on stdout; fails the test where it does not exit 0."""
        variables = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "PYTEST"))}
        variables["PATH"] = f"{self.bin}{os.pathsep}{variables.get('PATH', os.defpath)}"
        done = subprocess.run(
            [str(self.bin / program), *arguments],
            capture_output=True,
            text=True,
            cwd=cwd,
            env=variables,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, f"{program} {' '.join(arguments)} exits {done.returncode}\n{_end(done, 40)}"
        return done.stdout

    def chaindp(self, *arguments: str, cwd: Path) -> dict[str, Any]:
        """The JSON of a ``chaindp`` command that has to exit 0."""
        document: dict[str, Any] = json.loads(self.run("chaindp", *arguments, "--json", cwd=cwd))
        return document


def _end(done: subprocess.CompletedProcess[str], lines: int) -> str:
    return "\n".join((done.stdout + done.stderr).strip().splitlines()[-lines:])


def _pip(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the pip of this environment, which can install into another one."""
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)


def _install(environment: PluginEnvironment, *folders: Path) -> None:
    # Bytecode is compiled for the modules that are imported, when they are.
    into = ("--python", str(environment.bin / "python"), "install", "--quiet", "--no-compile")
    done = _pip(*into, *(str(folder) for folder in folders))
    assert done.returncode == 0, f"pip fails\n{_end(done, 20)}"


@pytest.fixture(scope="module")
def plugin_environment(tmp_path_factory: pytest.TempPathFactory) -> PluginEnvironment:
    """Skips where pip reaches no package index; where it does, an installation that fails is a failure."""
    root = tmp_path_factory.mktemp("plugins")
    reached = _pip("download", "--quiet", "--no-deps", "--retries=1", "--timeout=15", "--dest", str(root), PROBE)
    if reached.returncode != 0:
        pytest.skip(f"pip gets no package: {_end(reached, 1)}")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(root / "venv")], check=True)
    environment = PluginEnvironment(root / "venv" / "bin", REPOSITORY / "examples" / "plugin")
    _install(environment, REPOSITORY, environment.example)
    # By the installed chaindp, so its wheel has to hold the templates.
    environment = replace(environment, made=environment.chaindp("new", "backend", environment.name, cwd=root))
    _install(environment, environment.generated)
    return environment


# The example


def test_the_example_is_listed(plugin_environment: PluginEnvironment, tmp_path: Path) -> None:
    document = plugin_environment.chaindp("plugins", cwd=tmp_path)
    (row,) = [row for row in document["plugins"] if row["name"] == "blake3"]
    assert (row["distribution"], row["status"], row["reason"]) == ("chaindp-blake3", "ok", "")
    assert (row["backends"], row["kernels"]) == (["blake3"], ["blake3"])
    (kernel,) = [kernel for kernel in document["kernels"] if kernel["name"] == "blake3"]
    assert kernel["backends"].pop("blake3") == "supported"
    assert {"cpu", "opencl", "demo"} <= set(kernel["backends"])
    assert set(kernel["backends"].values()) == {"not implemented"}


def test_the_own_tests_of_the_example_pass(plugin_environment: PluginEnvironment, tmp_path: Path) -> None:
    # From elsewhere and without a cache folder: what is tested is what is installed, and the sources stay as they are.
    folder = str(plugin_environment.example)
    assert " passed" in plugin_environment.run("pytest", "-q", "-p", "no:cacheprovider", folder, cwd=tmp_path)


def test_the_backend_of_the_example_conforms(plugin_environment: PluginEnvironment, tmp_path: Path) -> None:
    document = plugin_environment.chaindp("conform", "blake3", "--budget", "2", cwd=tmp_path)
    assert document["failures"] == []
    assert document["failed"] == 0
    assert document["passed"] > 10


def test_the_kernel_of_the_example_is_measured(plugin_environment: PluginEnvironment, tmp_path: Path) -> None:
    document = plugin_environment.chaindp(
        "bench", "blake3", "--backend", "blake3", "--size", "64", "--size", "256", "--repeat", "3", cwd=tmp_path
    )
    rows = document["rows"]
    assert [(row["kernel"], row["size"], row["status"], row["output_matched"]) for row in rows] == [
        ("blake3", 64, "ok", True),
        ("blake3", 256, "ok", True),
    ]
    assert all(row["unit"] == "compression" and row["ns_per_unit"] > 0 for row in rows)
    assert all("35 vectors" in row["compared_with"] and "golden on" in row["compared_with"] for row in rows)
    run = json.loads((tmp_path / document["path"] / "run.json").read_bytes())
    assert run["environment"]["environment"]["blake3"]["blake3"][0].isdigit()


# What chaindp new made

RUN = shlex.split("--workload transfers --levels 0,4 --txs 200 --accounts 200 --repeat 1 --backend")
"""The arguments of ``chaindp run``, all but the backend."""


def check_run(document: dict[str, Any], name: str) -> None:
    """Both levels lead to one state, and at the upper one it is backend ``name`` that hashes for the tries."""
    sequential, parallel = document["summary"]
    assert [(row["level"], row["status"]) for row in document["summary"]] == [(0, "ok"), (4, "ok")]
    assert sequential["state_root"] == parallel["state_root"]
    assert {parallel["stages"][stage]["backend"] for stage in ("merkleize", "prove")} == {name}
    assert {sequential["stages"][stage]["backend"] for stage in ("merkleize", "prove")} == {"cpu:scalar"}


@pytest.mark.slow
def test_the_generated_backend_takes_part_in_a_run_uninstalled(tmp_path: Path) -> None:
    """Beside the sources that are tested here, by the metadata that an installer would write."""
    site = tmp_path / "site"
    files = backend_files(package_names("rendered"))
    make_distribution(site, "chaindp-rendered", files.pop("chaindp_rendered/__init__.py"), entry="rendered")
    (site / "chaindp_rendered").mkdir()
    (site / "chaindp_rendered.py").rename(site / "chaindp_rendered" / "__init__.py")
    for module in ("backend", "keccak"):
        path = f"chaindp_rendered/{module}.py"
        (site / path).write_text(files[path])
    done = chaindp("run", *RUN, "rendered", "--json", site=site, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    check_run(json.loads(done.stdout), "rendered")


def test_the_generated_package_is_listed(plugin_environment: PluginEnvironment, tmp_path: Path) -> None:
    document = plugin_environment.chaindp("plugins", cwd=tmp_path)
    (row,) = [row for row in document["plugins"] if row["name"] == plugin_environment.name]
    assert (row["status"], row["backends"]) == ("ok", [plugin_environment.name])
    assert row["distribution"] == f"chaindp-{plugin_environment.name}"


@pytest.mark.slow
def test_the_own_tests_of_the_generated_package_pass(plugin_environment: PluginEnvironment) -> None:
    assert " passed" in plugin_environment.run("pytest", "-q", cwd=plugin_environment.generated)


@pytest.mark.slow  # its own tests are the suite
def test_the_generated_backend_conforms(plugin_environment: PluginEnvironment, tmp_path: Path) -> None:
    document = plugin_environment.chaindp("conform", plugin_environment.name, "--budget", "2", cwd=tmp_path)
    assert (document["failed"], document["failures"]) == (0, [])
    assert document["passed"] > 10


@pytest.mark.slow
def test_the_generated_kernel_is_measured(plugin_environment: PluginEnvironment, tmp_path: Path) -> None:
    arguments = ("--backend", plugin_environment.name, "--size", "64", "--size", "4096", "--repeat", "2")
    rows = plugin_environment.chaindp("bench", "keccak256", *arguments, cwd=tmp_path)["rows"]
    assert [(row["size"], row["status"], row["output_matched"]) for row in rows] == [
        (64, "ok", True),
        (4096, "ok", True),
    ]


@pytest.mark.slow  # the kernels of the CPU backend are compiled anew in a fresh environment: half a minute and more
def test_the_generated_backend_takes_part_in_a_run(plugin_environment: PluginEnvironment, tmp_path: Path) -> None:
    check_run(plugin_environment.chaindp("run", *RUN, plugin_environment.name, cwd=tmp_path), plugin_environment.name)


def test_the_commands_that_it_shows_are_those_that_are_tested_here(plugin_environment: PluginEnvironment) -> None:
    name = plugin_environment.name
    install, suite, conform, bench, run = plugin_environment.made["next"]
    assert shlex.split(install) == [
        "python",
        "-m",
        "pip",
        "install",
        "--editable",
        f"./{plugin_environment.generated.name}",
    ]
    assert shlex.split(suite) == ["pytest", f"./{plugin_environment.generated.name}"]
    assert shlex.split(run) == ["chaindp", "run", *RUN[:4], "--backend", name, *RUN[4:-1]]
    assert shlex.split(conform) == ["chaindp", "conform", name]
    assert shlex.split(bench)[:5] == ["chaindp", "bench", "keccak256", "--backend", name]
