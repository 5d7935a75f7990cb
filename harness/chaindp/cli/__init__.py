"""The command line. Commands are imported when they are called, so that ``chaindp --help`` is immediate.

A command whose reader leaves before it has printed all, as ``head`` does, ends without a word and with status 141, as
a program does that SIGPIPE ends: nobody has seen the verdict that its own status would stand for. Where all that it
prints fits into the pipe before the reader leaves, it notices nothing and ends with its own status.
"""

from __future__ import annotations

import contextlib
import difflib
import errno
import importlib
import os
import sys
import traceback
from collections.abc import Iterator, Sequence
from typing import Any

import click

from chaindp import __version__
from chaindp.cli import output
from chaindp.errors import ChaindpError

__all__ = ["main"]

COMMANDS = {
    "run": ("chaindp.cli.run:run", "Run the pipeline over a workload, level by level."),
    "bench": ("chaindp.cli.bench:bench", "Measure kernels alone, on one or more backends."),
    "compare": ("chaindp.cli.compare:compare", "Say which of two runs, backends or revisions is faster, and how sure."),
    "tune": ("chaindp.cli.tune:tune", "Find and store the tuning of a backend that is fastest on a device."),
    "report": ("chaindp.cli.report:report", "Write one self-contained HTML file, or Markdown, about runs."),
    "trace": ("chaindp.cli.trace:trace", "Write the pipeline of a run as a trace for Perfetto or Chrome."),
    "conform": ("chaindp.cli.conform:conform", "Run the conformance suite on a backend."),
    "new": ("chaindp.cli.new:new", "Make a plugin package to start from."),
    "bundle": ("chaindp.cli.bundle:bundle", "Seal a run, its provenance and its command in one file."),
    "replay": ("chaindp.cli.replay:replay", "Run a bundle again on this machine and compare."),
    "plugins": ("chaindp.cli.plugins:plugins", "List plugins and what they provide."),
    "doctor": ("chaindp.cli.doctor:doctor", "Check what works on this machine, and how to mend what does not."),
    "core": ("chaindp.cli.core:core", "Check an RTL core, synthesize it, and say what it is worth to the chain."),
    "prove": ("chaindp.cli.prove:prove", "Prove a computation with a STARK, and check the proof."),
    "verify": ("chaindp.cli.verify:verify", "Check real Ethereum blocks, official test files and proofs."),
}
"""Command name to where it is and what it does; the help texts stand here so that listing them imports nothing."""

INTERRUPTED = 130
READER_LEFT = 128 + 13  # SIGPIPE

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)


class _ReaderLeft(Exception):
    """A BrokenPipeError under another name: click would end the process with status 1 over one."""


@contextlib.contextmanager
def _noticing_the_reader() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError as error:
        raise _ReaderLeft from error


class LazyGroup(click.Group):
    """The top-level command, which imports a subcommand only when it is called."""

    def make_context(self, *args: Any, **extra: Any) -> click.Context:
        """Parse the arguments; ``--help`` and ``--version`` print here."""
        with _noticing_the_reader():
            return super().make_context(*args, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        with _noticing_the_reader():
            return super().invoke(ctx)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All command names, in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command."""
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name][0].partition(":")
        command = getattr(importlib.import_module(module), attribute)
        if not isinstance(command, click.Command):
            raise TypeError(f"{COMMANDS[cmd_name][0]} is not a click command")
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; an unknown one is a usage error with a hint."""
        if args and not args[0].startswith("-") and args[0] not in COMMANDS:
            close = difflib.get_close_matches(args[0], COMMANDS, n=1)
            hint = f"; did you mean {close[0]}?" if close else f" (there is: {', '.join(COMMANDS)})"
            raise click.UsageError(f"unknown command {args[0]!r}{hint}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of commands, from the table alone."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="chaindp", message="%(prog)s %(version)s")
def cli() -> None:
    """chaindp: what every degree of parallelism is worth, measured over the full pipeline of a parallel blockchain.

    Every command takes --json: one JSON object on stdout, everything else on stderr. Exit status: 0 where what was
    asked for holds, 1 where it was run and does not hold, 2 for a wrong call, 130 where it was interrupted, 141 where
    the reader of its output left.
    """


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status; every expected error is one line on stderr."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    with output.JsonStream("--json" in arguments) as stream:
        try:
            if not arguments:
                raise click.UsageError(f"no command given (there is: {', '.join(COMMANDS)}); try 'chaindp --help'")
            result = cli.main(args=arguments, prog_name="chaindp", standalone_mode=False)
            with _noticing_the_reader():
                sys.stdout.flush()
            return result if isinstance(result, int) else 0
        except ChaindpError as error:
            return _fail(stream, _one_line(str(error)), error.exit_status)
        except click.ClickException as error:
            return _fail(stream, _click_message(error), 2)
        except (click.Abort, KeyboardInterrupt):
            return _fail(stream, "interrupted", INTERRUPTED)
        except _ReaderLeft:
            _drop_stdout()
            return READER_LEFT
        except Exception as error:
            if isinstance(error, OSError) and error.errno in _FULL and error.filename is None:
                # Of stdout, most of all, as with `> /dev/full`.
                _drop_stdout()
                return _fail(stream, f"cannot write the output: {error.strerror}", 1)
            if os.environ.get("CHAINDP_DEBUG") == "1":
                traceback.print_exc()
                hint = ""
            else:
                hint = " (set CHAINDP_DEBUG=1 for the traceback)"
            return _fail(stream, f"unexpected {type(error).__name__}: {_one_line(str(error))}{hint}", 1)


def _drop_stdout() -> None:
    """What is still buffered for stdout must go nowhere, not raise again at exit."""
    with contextlib.suppress(OSError):
        descriptor = os.open(os.devnull, os.O_WRONLY)
        os.dup2(descriptor, 1)
        os.close(descriptor)


def _fail(stream: output.JsonStream, message: str, status: int) -> int:
    print(f"chaindp: error: {message}", file=sys.stderr)
    stream.emit_error(message)
    return status


def _click_message(error: click.ClickException) -> str:
    message = _one_line(error.format_message()).rstrip(".")
    context = getattr(error, "ctx", None)
    if isinstance(error, click.UsageError) and context is not None and "try '" not in message:
        message += f"; try '{context.command_path} --help'"
    return message[:1].lower() + message[1:]


def _one_line(text: str) -> str:
    return " ".join(text.split())
