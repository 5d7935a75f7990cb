"""One side of a comparison as a process: ``python -m chaindp.bench.worker BACKEND THREADS``.

Reads one JSON request a line on stdin and writes one JSON answer a line. Stdout is kept for the answers: whatever a
backend prints goes to stderr. Ends when stdin does.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict
from typing import Any

from chaindp.bench.sides import Job, LocalSide
from chaindp.errors import ChaindpError
from chaindp.plugins import describe_error, load_plugins

__all__ = ["main"]


def main(selector: str, threads: int) -> None:
    """Serve requests about one backend until stdin ends."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    side: LocalSide | None = None
    for line in sys.stdin:
        try:
            if side is None:
                side = LocalSide(load_plugins(lambda _: None), selector, threads)
            answer = _answer(side, json.loads(line))
        except ChaindpError as error:
            answer = {"error": str(error)}
        except Exception as error:  # a backend's failure is an answer, not the end of the conversation
            answer = {"error": describe_error(error)}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()
    if side is not None:
        side.close()


def _answer(side: LocalSide, request: dict[str, Any]) -> dict[str, Any]:
    if request["do"] == "hello":
        return {}
    job = Job(**request["job"])
    if request["do"] == "prepare":
        return asdict(side.prepare(job))
    if request["do"] == "warm_up":
        return asdict(side.warm_up(job))
    return asdict(side.sample(job, request["streams"]))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
