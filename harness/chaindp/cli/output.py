"""What commands print: one JSON object or tables on stdout; warnings, progress and errors on stderr."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, TextIO

__all__ = ["JsonStream", "emit", "progress", "table", "warn"]


class JsonStream:
    """While it is active, stdout belongs to the one JSON object, and what anything else prints there goes to stderr.

    That includes what native code writes to file descriptor 1: a driver or a simulator that reports its progress there
    would spoil the JSON.
    """

    active: JsonStream | None = None

    def __init__(self, enabled: bool) -> None:
        self.enabled = enabled
        self.emitted = False
        self._out: TextIO = sys.stdout
        self._saved: int | None = None
        self._redirect: contextlib.redirect_stdout[TextIO] | None = None

    def __enter__(self) -> JsonStream:
        JsonStream.active = self
        if self.enabled:
            self._out = sys.stdout
            self._out.flush()
            self._redirect = contextlib.redirect_stdout(sys.stderr)
            self._redirect.__enter__()
            with contextlib.suppress(OSError, ValueError):
                if self._out.fileno() == 1:
                    self._saved = os.dup(1)
                    os.dup2(2, 1)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        JsonStream.active = None
        if self._saved is not None:
            os.dup2(self._saved, 1)
            os.close(self._saved)
            self._saved = None
        if self._redirect is not None:
            self._redirect.__exit__(kind, error, trace)

    def emit(self, document: Mapping[str, Any]) -> None:
        """Write the one JSON object; a second one is a programming error."""
        if self.emitted:
            raise RuntimeError("a command prints one JSON object")
        self.emitted = True
        text = json.dumps(_plain(document), allow_nan=False) + "\n"
        if self._saved is not None:
            with os.fdopen(os.dup(self._saved), "w", encoding="utf-8") as out:
                out.write(text)
        else:
            self._out.write(text)
            self._out.flush()

    def emit_error(self, message: str) -> None:
        """With ``--json``, write ``{"error": message}`` unless the command has already printed its object."""
        if self.enabled and not self.emitted:
            with contextlib.suppress(OSError):
                self.emit({"error": message})


def emit(document: Mapping[str, Any]) -> None:
    """Print the JSON object of the command. Values may be numpy scalars; what is not finite becomes null."""
    stream = JsonStream.active or JsonStream(enabled=False)
    stream.emit(document)


def _plain(value: Any) -> Any:
    """``value`` as JSON has it: numpy scalars as numbers, what is not finite as null."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if hasattr(value, "item") and not isinstance(value, str | bytes):
        value = value.item()
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return None
    return value


def warn(message: str) -> None:
    """One warning line on stderr."""
    print(f"chaindp: warning: {message}", file=sys.stderr)


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]], *, right: Sequence[str] = ()) -> None:
    """A table on stdout; columns named in ``right`` are set flush right. Long cells wrap, none is cut."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    grid = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    for column in columns:
        grid.add_column(column, justify="right" if column in right else "left", overflow="fold")
    for row in rows:
        # Cells are text as it is: a reason in brackets is not markup.
        grid.add_row(*(_text(cell) for cell in row))
    # A pipe or a log has no width of its own: leave the lines whole for whoever greps them.
    console = Console(file=sys.stdout, width=None if sys.stdout.isatty() else 200, highlight=False)
    # Not printed by rich itself, which ends the process where the reader has left.
    with console.capture() as captured:
        console.print(grid)
    sys.stdout.write(captured.get())


def _text(cell: object) -> Any:
    from rich.text import Text

    return Text("" if cell is None else str(cell))


@contextlib.contextmanager
def progress(title: str, total: int) -> Iterator[Callable[[str], None]]:
    """A progress bar on stderr where that is a terminal; yields a function that starts the next step by its name."""
    if not sys.stderr.isatty():
        yield lambda step: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=Console(file=sys.stderr),
        transient=True,
    )
    with bar:
        task = bar.add_task(title, total=total)

        def advance(step: str) -> None:
            bar.update(task, advance=1, description=f"{title}: {step}")

        yield advance
