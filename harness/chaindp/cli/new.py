"""``chaindp new``: a plugin package to start from."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from chaindp.cli import output


@click.group(invoke_without_command=True)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout.")
@click.pass_context
def new(context: click.Context, as_json: bool) -> int:
    """Make a plugin package to start from; without a command, list what can be made."""
    context.obj = as_json
    if context.invoked_subcommand is None:
        kinds = {name: command.get_short_help_str(120) for name, command in new.commands.items()}
        if as_json:
            output.emit({"kinds": kinds})
        else:
            for name, summary in kinds.items():
                click.echo(f"chaindp new {name} NAME   {summary}")
    return 0


@new.command()
@click.argument("name")
@click.option(
    "--directory",
    type=click.Path(path_type=Path),
    default=Path(),
    help="The folder that the package's own folder goes into.  [default: the current one]",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout.")
@click.pass_context
def backend(context: click.Context, name: str, directory: Path, as_json: bool) -> int:
    """A backend with Keccak-256 in plain numpy and its conformance tests, all green, in the folder chaindp-NAME."""
    from chaindp.plugins import load_plugins
    from chaindp.scaffold import backend_files, check_free, package_names, write_package

    names = package_names(name)
    check_free(names, load_plugins(output.warn))
    target = directory / names.distribution
    files = backend_files(names)
    write_package(target, files)
    # pip takes a path for one only where it has a slash.
    place = str(target) if target.parent != Path() else f"./{target}"
    commands = [
        f"python -m pip install --editable {shlex.quote(place)}",
        f"pytest {shlex.quote(place)}",
        f"chaindp conform {names.name}",
        f"chaindp bench keccak256 --backend {names.name} --backend cpu",
        f"chaindp run --workload transfers --levels 0,4 --backend {names.name} --txs 200 --accounts 200 --repeat 1",
    ]
    if as_json or context.obj:
        output.emit({"path": str(target), "backend": names.name, "files": sorted(files), "next": commands})
    else:
        click.echo(f"Made {target} with {len(files)} files; its README.md says how to go on. Next:")
        for command in commands:
            click.echo(f"  {command}")
    return 0
