"""One side of a comparison as a process: ``python -P -m chaindp.bench.worker BACKEND THREADS``.

Reads one JSON request a line on stdin and writes one JSON answer a line. Stdout is kept for the answers: whatever a
backend prints goes to stderr. Ends when stdin does. An answer with ``error`` has ``usage`` where it is the call that
is wrong.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import sys
from dataclasses import asdict
from typing import Any

from chaindp.bench.sides import Job, LocalSide
from chaindp.errors import ChaindpError, UsageError
from chaindp.plugins import GROUP, Registry, describe_error, load_plugins

__all__ = ["main", "origin"]


def main(selector: str, threads: int) -> None:
    """Serve requests about one backend until stdin ends."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    registry: Registry | None = None
    side: LocalSide | None = None
    for line in sys.stdin:
        try:
            if registry is None or side is None:
                registry = load_plugins(lambda _: None)
                side = LocalSide(registry, selector, threads)
            request = json.loads(line)
            answer = origin(registry, selector) if request["do"] == "hello" else _answer(side, request)
        except ChaindpError as error:
            answer = {"error": str(error), "usage": isinstance(error, UsageError)}
        except Exception as error:  # a backend's failure is an answer, not the end of the conversation
            answer = {"error": describe_error(error)}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()
    if side is not None:
        side.close()


def origin(registry: Registry, selector: str) -> dict[str, str]:
    """Where a backend comes from: its plugin's ``distribution``, and ``module``, the file that the plugin is in."""
    name = selector.partition(":")[0]
    row = next(row for row in registry.plugins if name in row.backends)
    for entry in importlib.metadata.entry_points(group=GROUP):
        if entry.name == row.name and entry.dist is not None and entry.dist.name == row.distribution:
            return {
                "distribution": row.distribution,
                "module": getattr(sys.modules[entry.module], "__file__", "") or "",
            }
    return {"distribution": row.distribution, "module": ""}


def _answer(side: LocalSide, request: dict[str, Any]) -> dict[str, Any]:
    job = Job(**request["job"])
    if request["do"] == "prepare":
        return asdict(side.prepare(job))
    if request["do"] == "warm_up":
        return asdict(side.warm_up(job))
    return asdict(side.sample(job, request["streams"]))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
