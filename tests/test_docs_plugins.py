"""What docs/plugins.md promises: every hook and argument is in it, and its example works as printed."""

from __future__ import annotations

import dataclasses
import inspect
import json
import re
from pathlib import Path

import pytest

from chaindp import hookspecs
from chaindp.backend import BackendSpec, Support
from chaindp.kernels import KernelSpec
from chaindp.workload import WorkloadSpec
from plugin_site import chaindp, make_distribution

DOCS = Path(__file__).resolve().parent.parent / "docs" / "plugins.md"
TEXT = DOCS.read_text()

HOOKS = sorted(name for name in vars(hookspecs) if name.startswith("chaindp_"))


def test_there_are_hooks() -> None:
    assert HOOKS == ["chaindp_backends", "chaindp_environment", "chaindp_kernels", "chaindp_workloads"]


@pytest.mark.parametrize("hook", HOOKS)
def test_every_hook_and_argument_is_in_the_docs(hook: str) -> None:
    arguments = ", ".join(inspect.signature(getattr(hookspecs, hook)).parameters)
    assert f"`{hook}({arguments})`" in TEXT


@pytest.mark.parametrize("spec", [BackendSpec, KernelSpec, WorkloadSpec], ids=lambda spec: spec.__name__)
def test_every_field_of_a_spec_is_in_its_table(spec: type) -> None:
    section = TEXT.split(f"### `{spec.__name__}`")[1].split("\n#")[0]
    documented = re.findall(r"^\| `(\w+)` \|", section, flags=re.MULTILINE)
    assert documented == [field.name for field in dataclasses.fields(spec)]


@pytest.mark.parametrize("support", list(Support))
def test_every_capability_is_in_the_docs(support: Support) -> None:
    assert f"**{support.value}**" in TEXT


def test_the_example_runs_as_printed(tmp_path: Path) -> None:
    (source,) = re.findall(r"```python\n(.*?)```", TEXT, flags=re.DOTALL)
    entry, module = re.search(r'\[project\.entry-points\.chaindp\]\n(\w+) = "(\w+)"', TEXT).groups()  # type: ignore[union-attr]
    site = tmp_path / "site"
    assert make_distribution(site, module.replace("_", "-"), source, entry=entry) == module
    command = re.search(r"\$ chaindp (bench .*)", TEXT)
    assert command is not None
    done = chaindp(*command[1].split(), "--repeat", "2", "--json", site=site, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert [(row["backend"], row["status"], row["output_matched"]) for row in document["rows"]] == [
        ("hashlib", "ok", True),
        ("cpu", "ok", True),
    ]
    run = json.loads((tmp_path / document["path"] / "run.json").read_bytes())
    assert run["environment"]["environment"][entry]["algorithms"] > 10
    done = chaindp("bench", "keccak256", "--backend", "hashlib", "--size", "8", "--json", site=site, cwd=tmp_path)
    (row,) = json.loads(done.stdout)["rows"]
    assert (done.returncode, row["status"]) == (0, "skipped")
    assert "pads differently" in row["reason"]
