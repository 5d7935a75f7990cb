"""RTL cores: described by a ``core.toml``, built with Verilator, simulated in bulk, and served as a backend.

``load_core`` reads a description, ``build`` makes a library of it, a ``Simulation`` of that takes packets and returns
packets with the cycles that they took, and ``CoreBackend`` puts kernels on top.
"""

from __future__ import annotations

from chaindp.cores.backend import CoreBackend
from chaindp.cores.build import Built, Flavour, build
from chaindp.cores.description import Core, load_configurations, load_core
from chaindp.cores.rtl import rtl_hash
from chaindp.cores.simulation import ALWAYS, Fault, Kind, Pattern, Reset, Simulation, Stalls, Trace, Transfer
from chaindp.cores.verilator import LintMessage, lint

__all__ = [
    "ALWAYS",
    "Built",
    "Core",
    "CoreBackend",
    "Fault",
    "Flavour",
    "Kind",
    "LintMessage",
    "Pattern",
    "Reset",
    "Simulation",
    "Stalls",
    "Trace",
    "Transfer",
    "build",
    "lint",
    "load_configurations",
    "load_core",
    "rtl_hash",
]
