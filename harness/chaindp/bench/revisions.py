"""Two revisions of one plugin side by side: each checked out, built and installed into a folder of its own."""

from __future__ import annotations

import io
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from chaindp.errors import UsageError

__all__ = ["WORKTREE", "Revision", "build_revision"]

WORKTREE = "worktree"
"""In place of a revision: the plugin's files as they are now, committed or not."""


@dataclass(frozen=True, slots=True)
class Revision:
    """A revision as asked for, the commit that it is (with ``+worktree`` for what is not committed), and where it is
    installed.
    """

    name: str
    commit: str
    packages: Path

    @property
    def label(self) -> str:
        """The revision with its commit cut short: ``HEAD~1 (1a2b3c4)``; a name alone means another one tomorrow."""
        commit, _, more = self.commit.partition("+")
        return f"{self.name} ({'on ' if more else ''}{commit[:7]})"


def build_revision(
    plugin: Path, revision: str, into: Path, *, say: Callable[[str], None] = lambda line: None
) -> Revision:
    """Install ``revision`` of the plugin whose sources are in ``plugin`` into ``into / "packages"``.

    plugin:   a folder with a pyproject.toml, inside of a git repository
    revision: anything that names a commit, or WORKTREE
    into:     an empty folder
    say:      takes one line before the build, which can take half a minute

    Dependencies are not installed: they are those of this environment. Raises UsageError, in one line, where there is
    no such repository or revision, or where it does not build.
    """
    if not plugin.is_dir():
        raise UsageError(f"--plugin {plugin} is not a folder")
    top = Path(_git(plugin, "rev-parse", "--show-toplevel"))
    commit = _git(
        plugin, "rev-parse", "--verify", "--quiet", "HEAD" if revision == WORKTREE else f"{revision}^{{commit}}"
    )
    if not commit:
        raise UsageError(f"{plugin} has no revision {revision!r}")
    inside = plugin.resolve().relative_to(top.resolve()).as_posix()
    sources = into / "sources"
    if revision == WORKTREE:
        try:
            shutil.copytree(plugin, sources, ignore=_left_out(plugin), symlinks=True)
        except OSError as error:
            raise UsageError(f"cannot copy the files of {plugin}: {_first_reason(error)}") from error
        commit += "+worktree"
    else:
        sources = _archive(top, commit, inside, sources)
    if not (sources / "pyproject.toml").is_file():
        raise UsageError(f"revision {revision} of {plugin} has no pyproject.toml")
    built = Revision(revision, commit, into / "packages")
    say(f"building {built.label} of {plugin.resolve().name}")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
    done = subprocess.run(
        [*command, "--target", str(built.packages), str(sources)], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        lines = [line for line in (done.stderr + done.stdout).splitlines() if line.strip()]
        errors = [line for line in lines if "error" in line.lower()] or lines or ["pip says nothing"]
        raise UsageError(f"revision {revision} of {plugin} does not install: {' '.join(errors[-1].split())}")
    return built


def _archive(top: Path, commit: str, inside: str, into: Path) -> Path:
    """The plugin's folder as of ``commit``, unpacked; returns where it lies."""
    command = ["git", "-C", str(top), "archive", "--format=tar", commit]
    done = subprocess.run([*command, *([] if inside == "." else [inside])], capture_output=True, check=False)
    if done.returncode != 0:
        raise UsageError(f"commit {commit[:12]} has no folder {inside}")
    try:
        with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
            archive.extractall(into, filter="data")
    except (tarfile.TarError, OSError) as error:
        # A link that leads out of the folder, most of all: a commit may be a stranger's.
        raise UsageError(f"commit {commit[:12]} cannot be checked out: {_first_reason(error)}") from error
    return into / inside


def _left_out(plugin: Path) -> Callable[[str, list[str]], set[str]]:
    """What is not copied of a working tree: what builds and tools leave at its top. Deeper, the names are packages'."""
    ignored = shutil.ignore_patterns(".git", ".venv", "__pycache__", ".*_cache", "dist", "build")
    return lambda folder, names: ignored(folder, names) if Path(folder) == plugin else {"__pycache__"} & set(names)


def _first_reason(error: Exception) -> str:
    """An error in a few words; shutil collects one for every file."""
    found = error.args[0] if error.args else ""
    if isinstance(error, shutil.Error) and isinstance(found, list) and found:
        return " ".join(str(found[0][-1]).split())
    return " ".join((getattr(error, "strerror", None) or str(error) or type(error).__name__).split())


def _git(folder: Path, *arguments: str) -> str:
    """What git prints; empty where it prints nothing. UsageError where there is no git, or no repository."""
    try:
        done = subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise UsageError("comparing revisions needs git; install it (apt-get install git)") from None
    if done.returncode != 0 and "--quiet" not in arguments:
        lines = done.stderr.strip().splitlines() or ["git fails"]
        raise UsageError(f"{folder}: {lines[-1].removeprefix('fatal: ')}")
    return done.stdout.strip()
