"""``chaindp prove``: a proof of a computation, made, checked, and written to a file."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from chaindp.cli import output
from chaindp.errors import UsageError

if TYPE_CHECKING:
    from chaindp.chain.airs.instances import Instance
    from chaindp.chain.proof.parameters import Parameters

Command = TypeVar("Command", bound=Callable[..., int])

MINUTE_OF_2026 = 29_453_760
"""The first minute of 2026, in minutes since 1970: when a credential is shown, unless --time says another one."""

_PARAMETERS = ("log_blowup", "queries", "grinding", "log_folding", "log_final", "hash_name", "hiding")


def _options(**defaults: Any) -> Callable[[Command], Command]:
    """The options that every AIR takes; ``defaults`` are of the proof's parameters."""

    def decorate(function: Command) -> Command:
        for option in reversed(
            (
                click.option("--field", default="koalabear", show_default=True, help="babybear or koalabear."),
                click.option(
                    "--backend", default="cpu", show_default=True, metavar="NAME[:DEVICE]", help="Whose kernels."
                ),
                click.option("--threads", type=click.IntRange(1, 4096), help="Of the host.  [default: the CPU count]"),
                click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="What is proven."),
                click.option("--log-blowup", type=int, default=defaults["log_blowup"], show_default=True),
                click.option("--queries", type=int, default=defaults["queries"], show_default=True),
                click.option("--grinding", type=int, default=16, show_default=True, help="Bits of work."),
                click.option("--log-folding", type=int, default=2, show_default=True),
                click.option("--log-final", type=int, default=defaults["log_final"], show_default=True),
                click.option(
                    "--hash", "hash_name", default="keccak256", show_default=True, help="Of the Merkle trees."
                ),
                click.option(
                    "--hiding/--no-hiding", default=defaults["hiding"], show_default=True, help="Zero knowledge."
                ),
                click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Write the proof there."),
                click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout."),
            )
        ):
            function = option(function)
        return function

    return decorate


@click.group(invoke_without_command=True)
@click.pass_context
def prove(context: click.Context) -> None:
    """Prove a computation with a STARK, and check the proof with the independent verifier.

    The default parameters give 100 bits of conjectured security; docs/proofs.md says what they mean.
    """
    if context.invoked_subcommand is None:
        raise click.UsageError(f"say what to prove: {', '.join(prove.commands)}", context)


@prove.command()
@click.option("--permutations", type=click.IntRange(2, 1 << 24), default=1 << 13, show_default=True)
@click.option("--lanes", type=click.IntRange(1, 16), default=8, show_default=True, help="Permutations a row.")
@_options(log_blowup=1, queries=100, log_final=3, hiding=False)
def poseidon2(permutations: int, lanes: int, **options: Any) -> int:
    """A batch of Poseidon2 permutations of width 16."""
    from chaindp.chain.airs import instances

    return _prove(
        lambda: instances.poseidon2(options["field"], permutations, lanes, options["seed"]),
        options,
        (permutations, "permutation"),
    )


@prove.command()
@click.option("--depth", type=click.IntRange(1, 60), default=20, show_default=True, help="Of the issuer's tree.")
@click.option("--jurisdiction", type=click.IntRange(0, 65535), default=756, show_default=True, help="Of the holder.")
@click.option("--allowed", default="40,276,756", show_default=True, metavar="N,...", help="Jurisdictions; 8 at most.")
@click.option("--expiry", type=click.IntRange(0, 1 << 30), default=MINUTE_OF_2026 + 525_600, show_default=True,
              help="Of the credential, in minutes since 1970.")  # fmt: skip
@click.option("--time", "now", type=click.IntRange(0, 1 << 30), default=MINUTE_OF_2026, show_default=True,
              help="That it must outlast, in minutes since 1970.")  # fmt: skip
@click.option("--application", type=click.IntRange(0, (1 << 30) - 1), default=1, show_default=True)
@_options(log_blowup=3, queries=28, log_final=4, hiding=True)
def credential(
    depth: int, jurisdiction: int, allowed: str, expiry: int, now: int, application: int, **options: Any
) -> int:
    """Membership of a credential in an issuer's tree, with conditions, and nothing else shown.

    The holder and the tree are drawn from --seed. A condition that is not met makes a proof that does not hold: exit 1.
    """
    from chaindp.chain.airs import instances

    numbers = _jurisdictions(allowed)
    # A proof that hides needs twice as many rows as what it shows.
    rows = 1 << max(depth + 2, 4 * options["queries"] + 15 if options["hiding"] else 1).bit_length()
    return _prove(
        lambda: instances.credential(
            options["field"], depth, application, numbers, now, (jurisdiction, expiry), rows, options["seed"]
        ),
        options,
        (1, "credential"),
    )


@prove.command()
@click.option("--count", type=click.IntRange(1, 1 << 16), default=64, show_default=True, help="How many are shown.")
@click.option("--depth", type=click.IntRange(1, 60), default=20, show_default=True, help="Of the issuer's tree.")
@click.option("--allowed", default="40,276,756", show_default=True, metavar="N,...", help="Jurisdictions; 8 at most.")
@click.option("--time", "now", type=click.IntRange(0, 1 << 29), default=MINUTE_OF_2026, show_default=True,
              help="That they outlast, in minutes since 1970.")  # fmt: skip
@_options(log_blowup=1, queries=84, log_final=4, hiding=True)
def credentials(count: int, depth: int, allowed: str, now: int, **options: Any) -> int:
    """Many credentials of one issuer's tree, each with its nullifier in an application, in one proof.

    The holders, all of whom meet the conditions, and the tree are drawn from --seed.
    """
    from chaindp.chain.airs import instances
    from chaindp.chain.proof.parameters import Parameters

    numbers = _jurisdictions(allowed)
    least = Parameters(**{name: options[name] for name in _PARAMETERS}).least_rows
    return _prove(
        lambda: instances.credentials(options["field"], depth, count, numbers, now, least, options["seed"]),
        options,
        (count, "credential"),
    )


def _jurisdictions(allowed: str) -> tuple[int, ...]:
    """``--allowed`` as numbers."""
    words = allowed.split(",")
    if not 1 <= len(words) <= 8 or not all(word.isdecimal() and len(word) <= 5 for word in words):
        raise UsageError(f"--allowed {allowed!r:.60}: expected 1 to 8 numbers with commas between them")
    return tuple(map(int, words))


def _prove(make: Callable[[], Instance], options: dict[str, Any], work: tuple[int, str]) -> int:
    """Make the table, the proof, and the verification; write and print what came of it."""
    from chaindp.chain.airs.catalogue import air_named
    from chaindp.chain.proof.parameters import Parameters, security
    from chaindp.chain.proof.prover import prove as make_proof
    from chaindp.chain.verify.hashing import hash_rows
    from chaindp.chain.verify.stark import InvalidProofError
    from chaindp.chain.verify.stark import verify as verify_proof
    from chaindp.kernels.fields import field_named
    from chaindp.plugins import load_plugins

    parameters = Parameters(**{name: options[name] for name in _PARAMETERS})
    field_named(options["field"])
    threads = options["threads"] or os.cpu_count() or 1
    path: Path | None = options["out"]
    if path is not None and not path.parent.is_dir():
        raise UsageError(f"--out {path}: {path.parent} is not a folder")
    registry = load_plugins(output.warn)
    backend = registry.open_backend(options["backend"], threads=threads)
    try:
        kernels = registry.kernel_set(backend)
        start = time.perf_counter()
        instance = make()
        made = time.perf_counter()
        proof = make_proof(instance.air, instance.table, instance.public, kernels, parameters, threads=threads)
        proven = time.perf_counter()
        reason = ""
        try:
            verify_proof(proof.content, air_named, hash_rows(kernels), least_bits=0)
        except InvalidProofError as error:
            reason = str(error)
        verified = time.perf_counter()
    finally:
        backend.close()
    rows = instance.table.shape[1]
    strength = security(parameters, instance.air.field, rows.bit_length() - 1, instance.air.columns)
    if path is not None and not reason:
        beside = path.with_name(f".{path.name}.{os.getpid()}")
        beside.write_bytes(proof.content)
        beside.replace(path)
    document = {
        "air": instance.air.name,
        "valid": not reason,
        "reason": reason,
        "bytes": len(proof.content),
        "seconds": proven - made,
        "table_seconds": made - start,
        "verify_seconds": verified - proven,
        "phases": proof.seconds,
        "units": work[0],
        "unit": work[1],
        "units_per_s": work[0] / (proven - made),
        "security_bits": strength.conjectured,
        "security_bits_proven": strength.proven,
        "rows": rows,
        "columns": instance.air.columns,
        "public": instance.public,
        "parameters": _described(parameters),
        "backend": backend.label,
        "threads": threads,
        "path": str(path) if path is not None and not reason else None,
    }
    if options["as_json"]:
        output.emit(document)
    else:
        _print(document)
    return 1 if reason else 0


def _described(parameters: Parameters) -> dict[str, Any]:
    return {name: getattr(parameters, name) for name in _PARAMETERS}


def _print(found: dict[str, Any]) -> None:
    click.echo(
        f"{found['air']}: {found['rows']:,} rows of {found['columns']:,} columns; "
        f"table {found['table_seconds']:.3f} s, proof {found['seconds']:.3f} s "
        f"({found['units_per_s']:,.0f} {found['unit']}s a second), "
        f"{found['bytes']:,} bytes, verified in {1e3 * found['verify_seconds']:.0f} ms"
    )
    click.echo("; ".join(f"{name} {seconds:.3f} s" for name, seconds in found["phases"].items()))
    chosen = ", ".join(f"{name} {value}" for name, value in found["parameters"].items())
    click.echo(
        f"{found['security_bits']} bits of conjectured security, {found['security_bits_proven']} proven ({chosen}); "
        f"{found['backend']}, {found['threads']} threads"
    )
    if found["reason"]:
        click.echo(f"the proof does not hold: {found['reason']}")
    elif found["path"]:
        click.echo(found["path"])
