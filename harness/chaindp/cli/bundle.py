"""``chaindp bundle``: a run in one sealed file, checked or unpacked again."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from chaindp.cli import output
from chaindp.errors import UsageError

if TYPE_CHECKING:
    from chaindp.results.bundle import Bundle


@click.command()
@click.argument("source", metavar="RUN|BUNDLE", type=click.Path(path_type=Path))
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=None,
    help="The file to write [RUN_ID.chaindp.zip]; with --extract, the folder for the run folder [results/runs].",
)
@click.option("--check", is_flag=True, help="Verify a bundle instead, and write nothing.")
@click.option("--extract", is_flag=True, help="Verify a bundle and write its run folder.")
@click.option("--seal", metavar="HEX", help="The seal that the bundle must have, with --check or --extract.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout.")
def bundle(source: Path, out: Path | None, check: bool, extract: bool, seal: str | None, as_json: bool) -> int:
    """Seal a run folder, its provenance and its exact command in one file.

    The same run folder gives the same bytes everywhere. The seal that is printed is the SHA-256 of the manifest, which
    has that of every file: who gets the seal from you can tell that the bundle is the one that you made. A bundle that
    is damaged or has another seal is exit status 1.
    """
    from chaindp.results.bundle import open_bundle, unpack_bundle, write_bundle
    from chaindp.results.store import DEFAULT_RUNS

    if check and extract:
        raise UsageError("--check writes nothing and --extract does: give one of them")
    if (seal is not None or check) and out is not None and not extract:
        raise UsageError("--out is for a file or folder to write; --check writes none")
    if seal is not None and not (check or extract):
        raise UsageError("--seal is what a bundle must have: give --check or --extract with it")
    if not (check or extract):
        path, found = write_bundle(source, out)
        done = "sealed in"
    else:
        found = open_bundle(source, seal=seal)
        path, done = source, "is sound:"
        if extract:
            path, done = unpack_bundle(found, (out or DEFAULT_RUNS) / found.run_id), "unpacked to"
    if as_json:
        output.emit(_document(path, found))
    else:
        click.echo(f"run {found.run_id} {done} {path}")
        click.echo(f"seal:    {found.seal}")
        click.echo(f"command: {shlex.join(found.manifest['command'])}")
        if found.manifest["not_replayable"]:
            click.echo(f"cannot be replayed: {found.manifest['not_replayable']}")
    return 0


def _document(path: Path, found: Bundle) -> dict[str, Any]:
    keys = ("run_id", "kind", "chaindp", "command", "not_replayable", "files")
    return {"path": str(path), "seal": found.seal, **{key: found.manifest[key] for key in keys}}
