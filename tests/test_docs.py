"""What the documentation tells a reader to type does what it says."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import chaindp
import plugin_site
from chaindp.cli import COMMANDS
from chaindp.results.summary import ladder
from conftest import REPOSITORY

README = REPOSITORY / "README.md"
PAGES = sorted([README, REPOSITORY / "CONTRIBUTING.md", *(REPOSITORY / "docs").glob("*.md")])


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)


def console_commands(page: Path) -> list[str]:
    lines = [line for block in blocks(page, "console") for line in block.splitlines()]
    return [line.removeprefix("$ ").partition("  #")[0].strip() for line in lines if line.startswith("$ ")]


# The commands of docs/plugins.md need its example installed, and those of docs/validate-your-core.md build on each
# other, as do those of docs/proofs.md: tests/test_docs_*.py run them.
APART = ("plugins.md", "validate-your-core.md", "cores.md", "proofs.md")
CHAINDP_COMMANDS = sorted(
    {c for page in PAGES if page.name not in APART for c in console_commands(page) if c.startswith("chaindp ")}
)


def test_the_readme_shows_commands() -> None:
    assert len(CHAINDP_COMMANDS) >= 5
    assert {"make bench", "make test"} <= set(console_commands(README))


@pytest.mark.parametrize("command", CHAINDP_COMMANDS)
def test_commands_run_as_printed(command: str, tmp_path: Path) -> None:
    arguments = shlex.split(command)[1:]
    # As in a checkout, but whatever a command writes goes elsewhere.
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "reference").symlink_to(REPOSITORY / "results" / "reference")
    done = plugin_site.chaindp(*arguments, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


def test_make_targets_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (REPOSITORY / "Makefile").read_text(), re.MULTILINE))
    named = {c.split()[1] for page in PAGES for c in console_commands(page) if c.startswith("make ")}
    assert named <= targets


def test_the_readmes_python_runs_as_printed() -> None:
    code = blocks(README, "python")
    assert code
    for block in code:
        done = subprocess.run(
            [sys.executable, "-c", block], cwd=REPOSITORY, capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.strip()


def test_the_readme_quotes_the_reference_run() -> None:
    summary = (REPOSITORY / "results" / "reference" / "summary.txt").read_text().rstrip()
    assert summary in README.read_text()


def test_the_pipeline_page_quotes_the_model_run() -> None:
    """A row a level: modelled throughput, and the model's error against live passes."""
    rungs = ladder(chaindp.load(REPOSITORY / "results" / "model"))
    assert rungs["level"].tolist() == [0, 1, 2, 3, 4, 5]
    text = (REPOSITORY / "docs" / "pipeline.md").read_text()
    for rung in rungs.to_dict("records"):
        cells = [f"DP{rung['level']}", f"{rung['tps']:,.0f}", f"{rung['tps_with_admit']:,.0f}"]
        for name in ("model_error", "model_error_with_admit"):
            middle, low, high = (100 * rung[f"{name}{part}"] for part in ("", "_low", "_high"))
            cells.append(f"{middle:+.1f} % ({low:+.1f} to {high:+.1f})")
        assert f"| {' | '.join(cells)} |" in text


def test_the_readme_names_every_command() -> None:
    text = README.read_text()
    for name in COMMANDS:
        assert f"chaindp {name}" in text


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_nothing_is_left_to_fill_in(page: Path) -> None:
    assert re.findall(r"@[A-Z_]+@|TODO|FIXME|XXX", page.read_text()) == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)", page.read_text()):
        if not target.startswith("http"):
            assert (page.parent / target).exists(), target
