"""A virtual environment of its own with chaindp's wheel, the example plugin and a package that ``chaindp new`` made.

What is installed there is what a stranger would get: no source folder is on its path, and no test dependency is in it.
Modules that use the fixture say ``pytest_plugins = ["plugin_environment"]``; it is made once for all of them.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from conftest import REPOSITORY

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


@pytest.fixture(scope="session")
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
