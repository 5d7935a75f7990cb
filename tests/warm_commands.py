"""A process that has loaded what ``chaindp`` loads, and forks one for each command: a fresh process without the seconds
that a start takes.

``run_warm`` is for tests; the module, run as a script, is that process. Requests and answers are JSON lines.
"""

from __future__ import annotations

import atexit
import functools
import gc
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

SECONDS = 300.0


def run_warm(
    arguments: Sequence[str], environment: Mapping[str, str], path: Sequence[str], cwd: Path | None
) -> subprocess.CompletedProcess[str]:
    """What ``chaindp`` with ``arguments`` returned and printed; ``path`` comes first where modules are looked for."""
    server = _server()
    with tempfile.TemporaryDirectory() as folder:
        out, err = Path(folder) / "out", Path(folder) / "err"
        request: dict[str, Any] = {"arguments": list(arguments), "environment": dict(environment), "path": list(path)}
        request |= {"cwd": str(cwd or Path.cwd()), "out": str(out), "err": str(err)}
        assert server.stdin is not None and server.stdout is not None
        server.stdin.write(json.dumps(request) + "\n")
        server.stdin.flush()
        status = json.loads(server.stdout.readline())
        command = ["chaindp", *arguments]
        if status is None:
            raise subprocess.TimeoutExpired(command, SECONDS)
        return subprocess.CompletedProcess(command, status, out.read_text(), err.read_text())


@functools.cache
def _server() -> subprocess.Popen[str]:
    server = subprocess.Popen([sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    atexit.register(_stop, server)
    return server


def _stop(server: subprocess.Popen[str]) -> None:
    assert server.stdin is not None and server.stdout is not None
    server.stdin.close()
    server.wait()
    server.stdout.close()


def _load() -> None:
    """What most commands load, compiled code included; no thread may be left that a fork would lose."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot

    from chaindp.plugins import load_plugins

    # What is printed here would be taken for an answer; a command says by itself what is wrong with a plugin.
    registry = load_plugins(lambda line: None)
    for name in ("cpu", "cpu:scalar"):
        backend = registry.open_backend(name)
        backend.warm_up(sorted(registry.kernels))
        backend.close()


def _serve() -> None:
    _load()
    gc.collect()
    gc.freeze()
    for line in sys.stdin:
        request = json.loads(line)
        child = os.fork()
        if child == 0:
            _run(request)
        print(json.dumps(_waited_for(child)), flush=True)


def _waited_for(child: int) -> int | None:
    """The exit status; None for one that had to be ended."""
    until = time.monotonic() + SECONDS
    while time.monotonic() < until:
        found, status = os.waitpid(child, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.005)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return None


def _run(request: dict[str, Any]) -> None:
    """Be the command, from beginning to end."""
    for descriptor, name in ((0, os.devnull), (1, request["out"]), (2, request["err"])):
        opened = os.open(name, os.O_RDONLY if descriptor == 0 else os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(opened, descriptor)
        os.close(opened)
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["environment"])
    sys.path[:0] = request["path"]
    sys.argv = ["chaindp", *request["arguments"]]
    status = 1
    try:
        from chaindp.cli import main

        status = main()
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
    except BaseException:
        sys.excepthook(*sys.exc_info())
        sys.stderr.flush()
    finally:
        os._exit(status)


if __name__ == "__main__":
    # The folder of this file is not where a command looks for modules.
    del sys.path[0]
    _serve()
