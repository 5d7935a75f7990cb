"""``chaindp prove``: a proof of a computation, made, checked, and written to a file."""

from __future__ import annotations

import contextlib
import os
import secrets
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from chaindp.cli import output
from chaindp.errors import CapabilityError, UsageError
from chaindp.files import refuse_others, write_over_own

if TYPE_CHECKING:
    from chaindp.chain.airs.air import Air
    from chaindp.chain.airs.instances import Instance
    from chaindp.chain.proof.parameters import Parameters
    from chaindp.chain.verify.stark import HashRows
    from chaindp.kernels.kernelset import KernelSet
    from chaindp.plugins import Registry

Command = TypeVar("Command", bound=Callable[..., int])

MINUTE_OF_2026 = 29_453_760
"""The first minute of 2026, in minutes since 1970: when a credential is shown, unless --time says another one."""

_VERIFIERS = ("cpu", "cpu:scalar")
"""Whose hashes the verifier takes: never the prover's alone, which would agree with itself whatever it computes."""

_PARAMETERS = ("log_blowup", "queries", "grinding", "log_folding", "log_final", "hash_name", "hiding")


def _options(**defaults: Any) -> Callable[[Command], Command]:
    """The options that every AIR takes; ``defaults`` are of the proof's parameters."""

    def decorate(function: Command) -> Command:
        for option in reversed(
            (
                click.option("--field", default="koalabear", show_default=True, help="babybear or koalabear."),
                click.option(
                    "--backend",
                    "backends",
                    multiple=True,
                    default=("cpu",),
                    show_default=True,
                    metavar="NAME[:DEVICE]",
                    help="Whose kernels; several are compared.",
                ),
                click.option("--threads", type=click.IntRange(1, 4096), help="Of the host.  [default: the CPU count]"),
                click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="What is proven."),
                click.option("--log-blowup", type=int, default=defaults["log_blowup"], show_default=True),
                click.option("--queries", type=int, default=defaults["queries"], show_default=True),
                click.option("--grinding", type=int, default=16, show_default=True, help="Bits of work."),
                click.option("--log-folding", type=int, default=2, show_default=True),
                click.option("--log-final", type=int, default=defaults["log_final"], show_default=True),
                click.option(
                    "--hash",
                    "hash_name",
                    default="keccak256",
                    show_default=True,
                    help="Of the Merkle trees: keccak256, sha256 or poseidon2.",
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
    from chaindp.chain.airs.poseidon2 import Poseidon2Air

    air = Poseidon2Air(options["field"], lanes)
    return _prove(
        (air, air.rows(permutations)),
        lambda: instances.poseidon2(options["field"], permutations, lanes, options["seed"]),
        options,
        (permutations, "permutation"),
    )


@prove.command()
@click.option("--depth", type=click.IntRange(1, 60), default=20, show_default=True, help="Of the issuer's tree.")
@click.option("--jurisdiction", type=click.IntRange(0, 65535), default=756, show_default=True, help="Of the holder.")
@click.option("--allowed", default="40,276,756", show_default=True, metavar="N,...", help="Jurisdictions; 8 at most.")
@click.option("--expiry", type=click.IntRange(0, 1 << 30), default=MINUTE_OF_2026 + 525_600, show_default=True,
              help="Of the credential, in minutes since 1970; at most 2^28 after --time.")  # fmt: skip
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
    from chaindp.chain.airs.credential import TIME_BITS, CredentialAir

    numbers = _jurisdictions(allowed)
    if expiry - now > 1 << TIME_BITS:
        raise UsageError(
            f"--expiry {expiry}: more than 2^{TIME_BITS} minutes after --time {now}, which the AIR compares"
        )
    # A proof that hides needs twice as many rows as what it shows.
    rows = 1 << max(depth + 2, 4 * options["queries"] + 15 if options["hiding"] else 1).bit_length()
    return _prove(
        (CredentialAir(options["field"], depth), rows),
        lambda: instances.credential(
            options["field"], depth, application, numbers, now, (jurisdiction, expiry), rows, options["seed"]
        ),
        options,
        (1, "credential"),
    )


@prove.command()
@click.option("--permutations", type=click.IntRange(1, 1 << 17), default=170, show_default=True,
              help="Of 24 rows each; zeros fill the table up to a power of two.")  # fmt: skip
@click.option("--lanes", type=click.IntRange(1, 3), default=1, show_default=True, help="Permutations a row.")
@_options(log_blowup=1, queries=100, log_final=3, hiding=False)
def keccak(permutations: int, lanes: int, **options: Any) -> int:
    """A batch of Keccak-f[1600] permutations."""
    from chaindp.chain.airs import instances
    from chaindp.chain.airs.keccak import KeccakAir

    air = KeccakAir(options["field"], lanes)
    return _prove(
        (air, air.rows(permutations)),
        lambda: instances.keccak(options["field"], permutations, lanes, options["seed"]),
        options,
        (permutations, "permutation"),
    )


@prove.command()
@click.option("--depth", type=click.IntRange(1, 60), default=16, show_default=True, help="Of the tree of accounts.")
@click.option("--transfers", "count", type=click.IntRange(1, 1 << 20), default=240, show_default=True,
              help="Of 2 (depth + 1) rows each.")  # fmt: skip
@_options(log_blowup=1, queries=100, log_final=3, hiding=False)
def transfers(depth: int, count: int, **options: Any) -> int:
    """A batch of value transfers between accounts in a tree: none is overdrawn, and no value is made."""
    from chaindp.chain.airs import instances
    from chaindp.chain.airs.transfers import TransfersAir

    air = TransfersAir(options["field"], depth)
    return _prove(
        (air, air.rows(count)),
        lambda: instances.transfers(options["field"], depth, count, options["seed"]),
        options,
        (count, "transfer"),
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
    from chaindp.chain.airs.credentials import CredentialsAir
    from chaindp.chain.proof.parameters import Parameters

    numbers = _jurisdictions(allowed)
    least = Parameters(**{name: options[name] for name in _PARAMETERS}).least_rows

    air = CredentialsAir(options["field"], depth)
    return _prove(
        (air, air.rows_for(count, least)),
        lambda: instances.credentials(options["field"], depth, count, numbers, now, least, options["seed"]),
        options,
        (count, "credential"),
    )


def _jurisdictions(allowed: str) -> tuple[int, ...]:
    """``--allowed`` as numbers."""
    words = allowed.split(",")
    plain = all(word.isascii() and word.isdecimal() and len(word) <= 5 and int(word) < 1 << 16 for word in words)
    if not 1 <= len(words) <= 8 or not plain:
        raise UsageError(f"--allowed {allowed!r:.60}: expected 1 to 8 numbers below 65536 with commas between them")
    return tuple(map(int, words))


def _check_room(air: Air, rows: int, parameters: Parameters) -> None:
    """UsageError for parameters that do not suit the AIR, and where the memory that is free holds no such table."""
    import psutil

    from chaindp.chain.proof.shape import shape_of

    shape = shape_of(air.field, air.degree, rows, parameters)
    # The table while it is made, in words of 64 bits; then itself, its extension, and of a hiding proof a longer one.
    table = 4 * air.columns * rows
    needed = max(3 * table, table + 4 * air.columns * (shape.domain + (2 * shape.bound if parameters.hiding else 0)))
    free = psutil.virtual_memory().available
    if needed > free:
        raise UsageError(
            f"{rows:,} rows of {air.columns:,} columns take {needed / 2**30:,.1f} GiB of memory to prove, and "
            f"{free / 2**30:,.1f} GiB are free"
        )


def _prove(
    size: tuple[Air, int],
    make: Callable[[], Instance],
    options: dict[str, Any],
    work: tuple[int, str],
) -> int:
    """Make the table, and on each backend the proof and its verification; write and print what came of it.

    size: the AIR, and the rows that the table will have
    """
    from chaindp.chain.proof.encoding import MAGIC
    from chaindp.chain.proof.parameters import Parameters, security
    from chaindp.chain.proof.program import compile_air
    from chaindp.chain.verify.hashing import hash_rows
    from chaindp.plugins import load_plugins

    parameters = Parameters(**{name: options[name] for name in _PARAMETERS})
    threads = options["threads"] or os.cpu_count() or 1
    path: Path | None = options["out"]
    if path is not None:
        refuse_others(path, MAGIC, "chaindp proof")
    _check_room(*size, parameters)
    registry = load_plugins(output.warn)
    start = time.perf_counter()
    instance = make()
    trace = time.perf_counter() - start
    # Once for all backends, and for all proofs that a program makes of it.
    compile_air(instance.air)
    compiling = time.perf_counter() - start - trace
    # One for all: what a hiding proof draws must not differ where the proofs are compared.
    seed = secrets.token_bytes(32)
    proofs: list[bytes] = []
    made_by = ""
    rows = []
    verifiers = [registry.open_backend(name, threads=1) for name in _VERIFIERS]
    try:
        checks = [hash_rows(registry.kernel_set(backend)) for backend in verifiers]
        _warm_up(registry.kernel_set(verifiers[0]), checks)
        for selector in dict.fromkeys(options["backends"]):
            row, content = _prove_on(registry, selector, threads, instance, trace, parameters, seed, checks)
            row["output_matched"] = content == proofs[0] if content and proofs else None
            if row["output_matched"] is False and row["status"] == "ok":
                row |= {"status": "failed", "reason": f"another proof than that of {made_by}"}
            made_by = made_by or (selector if content else "")
            proofs += [content] if content else []
            rows.append(row)
    finally:
        for backend in verifiers:
            backend.close()
    first = next((row for row in rows if row["status"] != "skipped"), None)
    if first is None:
        raise UsageError("; ".join(row["reason"] for row in rows))
    problems = [f"backend {row['backend']}: {row['reason']}" for row in rows if row["status"] == "failed"]
    height = instance.table.shape[1]
    strength = security(parameters, instance.air.field, height.bit_length() - 1, instance.air.columns)
    if path is not None and not problems:
        write_over_own(path, proofs[0], MAGIC, "chaindp proof")
    document = {
        "air": instance.air.name,
        "valid": not problems,
        "reason": "; ".join(problems),
        **{key: first[key] for key in ("bytes", "seconds", "verify_seconds", "phases", "backend")},
        "table_seconds": trace,
        "compile_seconds": compiling,
        "units": work[0],
        "unit": work[1],
        "units_per_s": work[0] / first["seconds"],
        "security_bits": strength.conjectured,
        "security_bits_proven": strength.proven,
        "rows": height,
        "columns": instance.air.columns,
        "public": instance.public,
        "parameters": {name: getattr(parameters, name) for name in _PARAMETERS},
        "threads": threads,
        "backends": rows,
        "path": str(path) if path is not None and not problems else None,
    }
    if options["as_json"]:
        output.emit(document)
    else:
        _print(document)
    return 1 if problems else 0


def _warm_up(kernels: KernelSet, checks: Sequence[HashRows]) -> None:
    """Load or compile what the prover and the verifier run beside kernels: of the process, not of the first proof."""
    from chaindp.chain.airs.catalogue import air_named
    from chaindp.chain.airs.instances import poseidon2
    from chaindp.chain.proof.parameters import Parameters
    from chaindp.chain.proof.prover import prove as make_proof
    from chaindp.chain.verify.stark import InvalidProofError
    from chaindp.chain.verify.stark import verify as verify_proof

    small, weak = poseidon2("babybear", 2, 1, 0), Parameters(queries=1, grinding=0)
    content = make_proof(small.air, small.table, small.public, kernels, weak).content
    for hashes in checks:
        # Whether anything holds is asked of the proofs that are wanted.
        with contextlib.suppress(InvalidProofError):
            verify_proof(content, air_named, hashes, least_bits=0)


def _prove_on(
    registry: Registry,
    selector: str,
    threads: int,
    instance: Instance,
    trace: float,
    parameters: Parameters,
    seed: bytes,
    checks: Sequence[HashRows],
) -> tuple[dict[str, Any], bytes]:
    """A backend's row of the table, and its proof; empty where it cannot make one.

    trace:  seconds that the table took, which are no backend's
    checks: what the verifier hashes with: the first one on the clock, and the second one where that is also the
            proof's own
    """
    from chaindp.chain.airs.catalogue import air_named
    from chaindp.chain.proof.parts import PART_OF, parts_of
    from chaindp.chain.proof.prover import prove as make_proof
    from chaindp.chain.verify.stark import InvalidProofError
    from chaindp.chain.verify.stark import verify as verify_proof

    row: dict[str, Any] = {"backend": selector, "status": "ok", "reason": "", "bytes": None, "seconds": None}
    row |= {"verify_seconds": None, "phases": {}, "parts": {}}
    backend = registry.open_backend(selector, threads=threads)
    try:
        kernels = registry.kernel_set(backend)
        # To load and compile is of the process, not of the proof.
        backend.warm_up([name for name in PART_OF if name in kernels.supported])
        start = time.perf_counter()
        try:
            proof = make_proof(
                instance.air, instance.table, instance.public, kernels, parameters, seed=seed, threads=threads
            )
        except CapabilityError as error:
            return row | {"status": "skipped", "reason": str(error)}, b""
        proven = time.perf_counter()
        calls = kernels.take_calls()
        verify_seconds = []
        for hashes in checks if backend.label == _VERIFIERS[0] else checks[:1]:
            begun = time.perf_counter()
            try:
                verify_proof(proof.content, air_named, hashes, least_bits=0)
            except InvalidProofError as error:
                row |= {"status": "failed", "reason": f"the proof does not hold: {error}"}
            verify_seconds.append(time.perf_counter() - begun)
    finally:
        backend.close()
    parts = parts_of(calls, round(1e9 * trace), round(1e9 * (proven - start)))
    row |= {"bytes": len(proof.content), "seconds": proven - start, "verify_seconds": verify_seconds[0]}
    row |= {"phases": proof.seconds, "parts": {part: ns / 1e9 for part, ns in parts.items()}}
    return row, proof.content


def _print(found: dict[str, Any]) -> None:
    click.echo(
        f"{found['air']}: {found['rows']:,} rows of {found['columns']:,} columns; "
        f"constraints compiled in {found['compile_seconds']:.3f} s, table {found['table_seconds']:.3f} s, "
        f"proof {found['seconds']:.3f} s "
        f"({found['units_per_s']:,.0f} {found['unit']}s a second), "
        f"{found['bytes']:,} bytes, verified in {1e3 * found['verify_seconds']:.0f} ms"
    )
    click.echo("; ".join(f"{name} {seconds:.3f} s" for name, seconds in found["phases"].items()))
    from chaindp.chain.proof.parts import PARTS

    output.table(
        "Seconds by backend",
        ("backend", *PARTS, "proof", "verification", "bytes", "reason"),
        [
            [
                row["backend"],
                *(f"{row['parts'][part]:.3f}" if part in row["parts"] else "" for part in PARTS),
                "" if row["seconds"] is None else f"{row['seconds']:.3f}",
                "" if row["seconds"] is None else f"{row['verify_seconds']:.3f}",
                "" if row["seconds"] is None else f"{row['bytes']:,}",
                row["reason"],
            ]
            for row in found["backends"]
        ],
    )
    chosen = ", ".join(f"{name} {value}" for name, value in found["parameters"].items())
    click.echo(
        f"{found['security_bits']} bits of conjectured security, {found['security_bits_proven']} proven ({chosen}); "
        f"{found['backend']}, {found['threads']} threads"
    )
    if found["reason"]:
        click.echo(found["reason"])
    elif found["path"]:
        click.echo(found["path"])
