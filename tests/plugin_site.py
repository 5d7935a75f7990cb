"""Third-party distributions for tests: a module and the metadata that an installer would leave beside it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from warm_commands import run_warm

LIAR = '''
import threading

import chaindp_cpu
from chaindp import hookimpl
from chaindp.backend import Backend, BackendSpec, Capability

CPU = next(spec for spec in chaindp_cpu.chaindp_backends() if spec.name == "cpu")


class Liar(Backend):
    """Hashes right, all but every 10,000th digest that it ever returns."""

    def __init__(self, options):
        super().__init__("liar", options)
        self.honest = CPU.factory(options)
        self.count = 0
        self.lock = threading.Lock()

    def keccak256(self, data, offsets):
        digests = self.honest.keccak256(data, offsets).copy()
        with self.lock:
            first = 9_999 - self.count % 10_000
            self.count += len(digests)
        digests[first::10_000, 31] ^= 1
        return digests


@hookimpl
def chaindp_backends():
    return [
        BackendSpec(
            name="liar",
            kind="other",
            factory=Liar,
            capabilities={"keccak256": Capability()},
            summary="one wrong digest",
        )
    ]
'''


def make_distribution(site: Path, name: str, source: str, *, entry: str | None = None, version: str = "1.0") -> str:
    """Install a distribution with one plugin module into ``site``; returns the module's name."""
    module = name.replace("-", "_")
    site.mkdir(parents=True, exist_ok=True)
    (site / f"{module}.py").write_text(source)
    info = site / f"{module}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    (info / "entry_points.txt").write_text(f"[chaindp]\n{entry or module} = {module}\n")
    return module


def chaindp(
    *arguments: str, site: Path | None = None, cwd: Path | None = None, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run the command line in a process of its own, with the distributions of ``site`` installed.

    One with variables of its own is started from nothing: what reads them may do so when it is imported.
    """
    # Relative entries would mean another folder once the working folder changes.
    inherited = [os.path.abspath(part) for part in os.environ.get("PYTHONPATH", "").split(os.pathsep) if part]
    folders = [*([str(site)] if site else []), *inherited]
    variables = {**os.environ, **environment, "PYTHONPATH": os.pathsep.join(folders)}
    if not environment:
        return run_warm(arguments, variables, folders, cwd)
    return subprocess.run(
        [sys.executable, "-m", "chaindp", *arguments],
        capture_output=True,
        text=True,
        cwd=cwd,
        env=variables,
        timeout=120,
        check=False,
    )
