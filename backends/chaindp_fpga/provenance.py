"""What ``run.json`` says of the simulated cores: tools, flags, every core's hash, and which cores were opened."""

from __future__ import annotations

import threading

from chaindp.cores import Built, Flavour, rtl_hash
from chaindp.cores.build import build_flags
from chaindp.cores.toolchain import find_compiler, find_verilator
from chaindp.errors import ChaindpError
from chaindp_fpga.catalogue import Catalogue

__all__ = ["environment", "note"]

SHOWN = 3
"""Parts of a description's path that are kept, from its end: what is before them is private to a machine."""

_opened: dict[tuple[str, str], dict[str, object]] = {}
_lock = threading.Lock()


def note(built: Built) -> None:
    """Remember a core that this process has opened, whoever's it is."""
    core = built.core
    row = {
        "label": core.label,
        "path": "/".join(core.path.parts[-SHOWN:]),
        "kernel": core.kernel,
        "clock_mhz": core.clock_mhz,
        "parameters": dict(core.parameters),
        "rtl_sha256": built.rtl_hash,
    }
    with _lock:
        _opened[str(core.path), built.key] = row


def environment(known: Catalogue) -> dict[str, object]:
    """JSON values; a tool that is missing is None, because a run may do without this backend."""
    try:
        verilator: str | None = find_verilator().version_text
    except ChaindpError:
        verilator = None
    try:
        compiler: str | None = find_compiler().version
    except ChaindpError:
        compiler = None
    return {
        "verilator": verilator,
        "compiler": compiler,
        "flags": list(build_flags(Flavour.FAST)),
        "cores": {
            name: {
                "kernel": core.kernel,
                "clock_mhz": core.clock_mhz,
                "parameters": dict(core.parameters),
                "rtl_sha256": rtl_hash(core),
            }
            for name, core in known.cores.items()
        },
        "opened": _rows(),
    }


def _rows() -> list[dict[str, object]]:
    """The cores that were opened until now, the user's own among them."""
    with _lock:
        return [row for _, row in sorted(_opened.items())]
