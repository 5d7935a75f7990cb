"""Where hypothesis writes: never into the folder that an author happens to run pytest in."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

import hypothesis.configuration

__all__ = ["hypothesis_elsewhere"]


@contextlib.contextmanager
def hypothesis_elsewhere(folder: str | Path | None = None) -> Iterator[None]:
    """What hypothesis stores goes to ``folder``, or to a temporary one, until this closes.

    Even without a database it caches the constants that it finds in source files. The folder that was set before, for
    an author's own hypothesis tests, is set again afterwards.
    """
    before = getattr(hypothesis.configuration, "__hypothesis_home_directory", None)
    with contextlib.ExitStack() as stack:
        home = folder if folder is not None else stack.enter_context(tempfile.TemporaryDirectory(prefix="chaindp-"))
        hypothesis.configuration.set_hypothesis_home_dir(home)
        stack.callback(hypothesis.configuration.set_hypothesis_home_dir, before)
        yield
