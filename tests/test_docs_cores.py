"""The pages about cores: every command of the walk runs as printed, what it quotes is printed, nothing is left out."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from chaindp.cores import description
from chaindp.workbench import causes, recognize
from chaindp.workbench.field_slips import FIELD_SLIPS
from chaindp.workbench.keccak_slips import KECCAK_SLIPS
from chaindp.workbench.probes import Class
from chaindp.workbench.sha256_slips import SHA256_SLIPS
from conftest import REPOSITORY

WALK = REPOSITORY / "docs" / "validate-your-core.md"
REFERENCE = REPOSITORY / "docs" / "cores.md"
EXAMPLE = REPOSITORY / "examples" / "core"

SLOW = ("core check mycore\n", "core synth", "core impact", "chaindp bench", "chaindp conform", "chaindp run")
"""Beginnings of commands that take more than a few seconds."""


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)


@dataclass
class Step:
    """A command, the exit status that it has to have, and lines of its output that the page quotes."""

    command: str
    status: int
    quoted: list[str] = field(default_factory=list)

    @property
    def slow(self) -> bool:
        return any(words in self.command + "\n" for words in SLOW)


def steps() -> Iterator[Step]:
    step: Step | None = None
    for block in blocks(WALK, "console"):
        for line in block.splitlines():
            if line.startswith("$ "):
                if step is not None:
                    yield step
                command, _, comment = line.removeprefix("$ ").partition("  # ")
                status = re.fullmatch(r"exit status (\d+)", comment)
                step = Step(command.strip(), int(status[1]) if status else 0)
            else:
                assert step is not None
                step.quoted.append(line)
    if step is not None:
        yield step


def walk(folder: Path, chosen: list[Step]) -> None:
    """Run commands in ``folder`` as in a checkout: with the examples beside them, and chaindp being this one."""
    (folder / "examples").symlink_to(EXAMPLE.parent)
    (folder / "results").mkdir()
    bin_folder = folder / ".bin"
    bin_folder.mkdir()
    (bin_folder / "chaindp").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m chaindp "$@"\n')
    (bin_folder / "chaindp").chmod(0o755)
    environment = {**os.environ, "PATH": f"{bin_folder}{os.pathsep}{os.environ['PATH']}"}
    for step in chosen:
        done = subprocess.run(
            ["bash", "-c", step.command],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=900,
            check=False,
        )
        assert done.returncode == step.status, f"{step.command}: {done.returncode}: {done.stdout}{done.stderr}"
        printed = [" ".join(line.split()) for line in done.stdout.splitlines()]
        for line in step.quoted:
            assert " ".join(line.split()) in printed, f"{step.command} does not print {line!r} but {done.stdout}"


def test_the_walk_has_commands_of_every_kind() -> None:
    commands = [step.command for step in steps()]
    for words in ("core check", "core synth", "core impact", "chaindp run", "chaindp doctor"):
        assert any(words in command for command in commands)
    assert sum(bool(step.quoted) for step in steps()) >= 3
    assert [step.status for step in steps()].count(1) == 2


def test_the_quick_commands_of_the_walk_run_as_printed(tmp_path: Path) -> None:
    chosen = [step for step in steps() if not step.slow and step.command != "chaindp doctor"]
    first = next(number for number, step in enumerate(chosen) if step.status)
    # To the first planted bug; the slow test goes on.
    walk(tmp_path, chosen[: first + 1])


@pytest.mark.slow
def test_the_whole_walk_runs_as_printed(tmp_path: Path) -> None:
    walk(tmp_path, list(steps()))
    assert (tmp_path / "impact.svg").stat().st_size > 5000


def test_the_walk_shows_the_description_as_it_is() -> None:
    [shown] = blocks(WALK, "toml")
    assert shown == (EXAMPLE / "core.toml").read_text()
    assert tomllib.loads(shown)["kernel"] == "keccak256"


def test_the_walk_shows_the_engines_ports_as_they_are() -> None:
    [shown] = blocks(WALK, "verilog")
    assert shown in (EXAMPLE / "rtl" / "keccak_engine.v").read_text()


def test_every_cause_is_in_the_reference() -> None:
    text = REFERENCE.read_text().partition("### What a cause is called")[2].partition("## `chaindp core synth`")[0]
    kinds = {value for name, value in vars(causes).items() if name.isupper() and isinstance(value, str)}
    kinds |= {recognize.BYTE_ORDER, recognize.ODD_LEVEL, recognize.CHILDREN}
    kinds |= {*KECCAK_SLIPS, *SHA256_SLIPS, *FIELD_SLIPS}
    assert len(kinds) > 30
    for kind in kinds:
        assert f"`{kind}`" in text, kind
    named = set(
        re.findall(r"`([^`]+)`", "\n".join(line.split("|")[1] for line in text.splitlines() if line.startswith("| `")))
    )
    assert named == kinds


def test_every_kind_of_probe_and_key_of_the_description_is_in_the_reference() -> None:
    text = REFERENCE.read_text()
    for kind in Class:
        assert f"| {kind} |" in text
    for key in (*description.TOP_KEYS, *description.STREAM_KEYS):
        assert re.search(rf"`(?:\[{key}[\].]|{key}`)|`{key}", text), key
    for kernel, options in description.KERNELS.items():
        assert f"`{kernel}`" in text
        for option in options:
            assert f"`{option}`" in text


@pytest.mark.parametrize("page", [WALK, REFERENCE], ids=lambda page: page.name)
def test_anchors_lead_somewhere(page: Path) -> None:
    for target, anchor in re.findall(r"\]\(([^)#]*)#([^)]+)\)", page.read_text()):
        headings = re.findall(r"^#+ (.+)$", ((page.parent / target) if target else page).read_text(), re.MULTILINE)
        slugs = {re.sub(r"[^a-z0-9 _-]", "", heading.lower()).replace(" ", "-") for heading in headings}
        assert anchor in slugs, f"{page.name}: {target}#{anchor}"
