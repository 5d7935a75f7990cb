"""``chaindp verify``: real Ethereum blocks and the official tests, held against this chain's own code."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from chaindp.cli import output
from chaindp.errors import UsageError

if TYPE_CHECKING:
    from chaindp.chain.verify import VerifyResult
    from chaindp.kernels.kernelset import KernelSet

Command = TypeVar("Command", bound=Callable[..., int])


def _options(function: Command) -> Command:
    """The arguments that every kind of verification takes."""
    function = click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout.")(function)
    return click.argument("paths", metavar="PATH...", nargs=-1, required=True, type=click.Path(path_type=Path))(
        function
    )


_BACKEND = click.option(
    "--backend", default="cpu", show_default=True, metavar="NAME[:DEVICE]", help="Who hashes and recovers."
)


@click.group(invoke_without_command=True)
@click.pass_context
def verify(context: click.Context) -> None:
    """Check real Ethereum blocks, the official test files and proofs; exits 1 where something does not hold.

    PATH is a JSON file, a directory of them or a .tar.gz archive.
    """
    if context.invoked_subcommand is None:
        raise click.UsageError(f"say what to verify: {', '.join(verify.commands)}", context)


@verify.command()
@_options
@_BACKEND
def block(paths: tuple[Path, ...], backend: str, as_json: bool) -> int:
    """Blocks as JSON-RPC gives them (.json or .json.gz): hashes, roots, senders, gas."""
    from chaindp.chain.verify import VerifyResult, verify_blocks

    _must_exist(paths)
    result = VerifyResult()
    with _kernels(backend) as kernels:
        for report in verify_blocks(paths, kernels):
            result.add(report.result())
    return _finish(result, as_json)


@verify.command()
@_options
@_BACKEND
def statetest(paths: tuple[Path, ...], backend: str, as_json: bool) -> int:
    """The official state tests, Cancun rules: decode, recover, execute, and compare state root and logs."""
    from chaindp.chain.execution.statetest import verify_statetest
    from chaindp.chain.verify import VerifyResult

    _must_exist(paths)
    result = VerifyResult()
    with _kernels(backend) as kernels:
        for path in paths:
            result.add(verify_statetest(path, kernels))
    return _finish(result, as_json)


@verify.command()
@_options
@_BACKEND
def trietest(paths: tuple[Path, ...], backend: str, as_json: bool) -> int:
    """The official trie tests: every order of insertion must lead to the published root."""
    from chaindp.chain.verify import VerifyResult, verify_trietest

    _must_exist(paths)
    result = VerifyResult()
    with _kernels(backend) as kernels:
        for path in paths:
            result.add(verify_trietest(path, kernels))
    return _finish(result, as_json)


@verify.command()
@_options
def rlptest(paths: tuple[Path, ...], as_json: bool) -> int:
    """The official RLP tests: valid encodings in both directions, invalid ones rejected."""
    from chaindp.chain.verify import VerifyResult, verify_rlptest

    _must_exist(paths)
    result = VerifyResult()
    for path in paths:
        result.add(verify_rlptest(path))
    return _finish(result, as_json)


@verify.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--least-bits", type=click.IntRange(0, 128), default=100, show_default=True, help="Of security.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout.")
@_BACKEND
def proof(file: Path, least_bits: int, backend: str, as_json: bool) -> int:
    """A STARK that ``chaindp prove`` wrote: what it says, and whether that is so."""
    from chaindp.chain.airs.catalogue import air_named
    from chaindp.chain.proof.parameters import Parameters, security
    from chaindp.chain.verify.hashing import hash_rows
    from chaindp.chain.verify.stark import MOST_BYTES, InvalidProofError
    from chaindp.chain.verify.stark import verify as verify_proof

    _must_exist((file,))
    try:
        with open(file, "rb") as stream:
            content = stream.read(MOST_BYTES + 1)
    except OSError as error:
        raise UsageError(f"{file}: cannot be read: {error.strerror}") from None
    document: dict[str, object] = {"valid": False, "reason": "", "air": None, "public": None, "security_bits": None}
    document |= {"security_bits_proven": None, "rows": None, "hash": None, "hiding": None, "parameters": None}
    document |= {"bytes": file.stat().st_size, "seconds": None}
    with _kernels(backend) as kernels:
        # To load and compile is of the process, not of the verification.
        kernels.backend.warm_up([name for name in ("keccak256", "sha256") if name in kernels.supported])
        start = time.perf_counter()
        try:
            said = verify_proof(content, air_named, hash_rows(kernels), least_bits=least_bits)
        except InvalidProofError as error:
            document["reason"] = str(error)
        else:
            document |= {"valid": True, "air": said.air.name, "public": list(said.public)}
            shown = Parameters(
                log_blowup=said.log_blowup, queries=said.queries, grinding=said.grinding, hash_name=said.hash_name,
                hiding=said.hiding,
            )  # fmt: skip
            proven = security(shown, said.air.field, said.log_rows, said.air.columns).proven
            document |= {"security_bits": said.security_bits, "security_bits_proven": proven}
            document |= {"rows": 1 << said.log_rows, "hash": said.hash_name, "hiding": said.hiding}
            document["parameters"] = {name: getattr(said, name) for name in ("log_blowup", "queries", "grinding")}
        document["seconds"] = time.perf_counter() - start
    if as_json:
        output.emit(document)
    elif document["valid"]:
        click.echo(
            f"valid: {document['air']}, {document['rows']} rows, {'hiding' if document['hiding'] else 'not hiding'}, "
            f"trees of {document['hash']}; {document['security_bits']} bits of conjectured security "
            f"({document['security_bits_proven']} proven), in {1e3 * float(str(document['seconds'])):.0f} ms; "
            f"public values: {document['public']}"
        )
    else:
        click.echo(f"{file}: not valid: {document['reason']}")
    return 0 if document["valid"] else 1


def _must_exist(paths: tuple[Path, ...]) -> None:
    for path in paths:
        if not path.exists():
            raise UsageError(f"{path} does not exist")


@contextmanager
def _kernels(selector: str) -> Iterator[KernelSet]:
    from chaindp.plugins import load_plugins

    registry = load_plugins(output.warn)
    backend = registry.open_backend(selector, threads=os.cpu_count() or 1)
    try:
        yield registry.kernel_set(backend)
    finally:
        backend.close()


def _finish(result: VerifyResult, as_json: bool) -> int:
    if as_json:
        output.emit(result.to_dict())
    else:
        for entry in result.failures:
            click.echo(f"FAILED {entry['file']}: {entry['test']}: {entry['reason']}")
        for entry in result.skips:
            click.echo(f"skipped {entry['file']}: {entry['test']}: {entry['reason']}")
        click.echo(f"{result.passed} passed, {result.failed} failed, {result.skipped} skipped")
    return 0 if result.ok else 1
