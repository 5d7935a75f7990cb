"""What a run's ``run.json`` says of the simulated cores: tools, flags, and the hash of every core's RTL."""

from __future__ import annotations

from chaindp.cores import Flavour, rtl_hash
from chaindp.cores.build import build_flags
from chaindp.cores.toolchain import find_compiler, find_verilator
from chaindp.errors import ChaindpError
from chaindp_fpga.catalogue import Catalogue

__all__ = ["environment"]


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
    }
