"""The conformance suite of a core's kernel, on a backend made of this core alone, without stalls and with them.

All backends made of cores share the same code on the host: the tests of that are ``chaindp conform``'s.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from types import MappingProxyType
from typing import Any

import numpy as np

from chaindp.backend import Backend, BackendOptions, BackendSpec, Capability
from chaindp.cores.backend import CoreBackend
from chaindp.cores.description import Core
from chaindp.cores.simulation import Pattern, Stalls
from chaindp.errors import ChaindpError
from chaindp.kernels import KernelSpec, Vector
from chaindp.plugins import Registry, load_plugins
from chaindp.testing.session import ConformanceResult, Failure, run_suite
from chaindp.workbench.cases import Cases
from chaindp.workbench.watched import Latest, WatchedBackend, wrong_packets

__all__ = ["BACKEND", "Conformity", "conform_core", "core_registry"]

BACKEND = "core"
"""What messages call the backend that is made of the core."""

REFERENCE = "cpu"
"""The backend that says which packets are wrong, where it is installed."""

TREES = ("merkle_tree", "merkle_root")

PATTERNS: Mapping[str, Stalls | None] = MappingProxyType(
    {
        "no stalls": None,
        "both sides stall at random": Stalls(
            input=Pattern.random(64, 8), output=Pattern.random(64, 8), seed=0x6261636B
        ),
        "output stalls for long": Stalls(output=Pattern.random(16, 200), seed=0x7072657373),
        "input pauses, output one cycle in 3": Stalls(
            input=Pattern.random(32, 40), output=Pattern.one_in(3), seed=0x757265
        ),
    }
)
"""The runs of the suite: how the host holds up every call."""

SUITE_DEPTH = 21
"""log2 of the most leaves that the suite asks for."""

STALLED_SHARE = 0.4
"""A run with stalls has this part of the time that the one without them has."""


OF_THE_HOST = (
    *("test_memory_is_given_back", "test_two_threads_at_once", "test_returns_when_its_work_is_done"),
    "test_works_alone",
)
"""Tests of the suite that are left out: what they find, by clocks and counts of memory, says nothing of the RTL."""


@dataclass(frozen=True, slots=True)
class Conformity:
    """The suite's results, and the packets of the first call that went wrong in each run, by how the host stalled.

    not_run: why there are none, where the suite asks for what this core refuses by its description
    """

    runs: Mapping[str, ConformanceResult]
    wrong: Mapping[str, Cases] = field(default_factory=dict)
    not_run: str = ""

    @property
    def holds(self) -> bool:
        """Whether nothing failed, however the host stalled."""
        return all(result.holds for result in self.runs.values())

    @property
    def failures(self) -> list[Failure]:
        """What failed, each reason once, the runs without stalls first."""
        found: dict[str, Failure] = {}
        for name, result in self.runs.items():
            for failure, _ in result.grouped():
                found.setdefault(failure.reason, replace(failure, test=f"{failure.test} ({name})"))
        return list(found.values())

    def to_dict(self) -> dict[str, Any]:
        """Counts over all runs, and of each; as ``chaindp conform --json`` names them."""
        each = {name: result.to_dict() for name, result in self.runs.items()}
        counts = {key: sum(one[key] for one in each.values()) for key in ("passed", "failed", "skipped")}
        rows = [
            {"stalls": name, **{key: one[key] for key in ("passed", "failed", "skipped", "skips", "compared")}}
            for name, one in each.items()
        ]
        return {
            **counts,
            "failures": [asdict(failure) for failure in self.failures],
            "runs": rows,
            "left_out": list(OF_THE_HOST),
            "not_run": self.not_run or None,
        }


def conform_core(
    core: Core, budget_s: float, quick: bool, known_bad: bool, advance: Callable[[str], None] = lambda step: None
) -> Conformity:
    """Run the suite of the core's kernel, all that is of the RTL; of a core that is ``known_bad``, once and briefly.

    budget_s: about how many seconds the open-ended tests of the run without stalls may take
    """
    refused = _refused(core)
    if refused:
        return Conformity({}, not_run=refused)
    installed = load_plugins()
    names = list(PATTERNS)
    chosen = names[:1] if known_bad else names[:2] if quick else names
    runs, wrong = {}, {}
    for name in chosen:
        seconds = budget_s if name == names[0] and not known_bad else STALLED_SHARE * budget_s

        def step(test: str, name: str = name) -> None:
            advance(f"{name}: {test}")

        def run(only: str, latest: Latest | None, name: str = name, seconds: float = seconds) -> ConformanceResult:
            return run_suite(
                core_registry(installed, core, PATTERNS[name], latest),
                BACKEND,
                [core.kernel],
                budget_s=seconds,
                threads=1,
                only=only,
                required=[core.kernel],
                attributes=_attributes(core),
                advance=step,
            )

        runs[name] = run(" and ".join(f"not {test}" for test in OF_THE_HOST), None)
        if runs[name].failures and not known_bad:
            # The first of them once more, for the call that it ends with.
            latest = Latest()
            run(runs[name].failures[0].test.partition("[")[0], latest)
            with contextlib.suppress(ChaindpError), contextlib.closing(installed.open_backend(REFERENCE)) as reference:
                cases = wrong_packets(core, latest, reference)
                if cases is not None:
                    wrong[name] = cases
    return Conformity(runs, wrong)


def core_registry(installed: Registry, core: Core, stalls: Stalls | None, latest: Latest | None = None) -> Registry:
    """What is installed, to compare with, and the core by itself as one more backend, ``BACKEND``.

    latest: is given the latest call
    """

    def factory(options: BackendOptions) -> Backend:
        if latest is not None:
            return WatchedBackend(BACKEND, options, core, stalls, latest)
        return CoreBackend(BACKEND, options, {core.kernel: core}, stalls=stalls)

    spec = BackendSpec(
        name=BACKEND,
        kind="fpga",
        factory=factory,
        capabilities={core.kernel: Capability()},
        summary=core.summary,
        simulates=True,
    )
    kernel = _narrowed(core, installed.kernels[core.kernel])
    return replace(
        installed,
        backends=MappingProxyType({**installed.backends, BACKEND: spec}),
        kernels=MappingProxyType({**installed.kernels, core.kernel: kernel}),
        providers=MappingProxyType({**installed.providers, ("backend", BACKEND): str(core.path)}),
    )


def _refused(core: Core) -> str:
    """What the suite asks for that a core refuses; of limits it can be told the largest transform only."""
    if core.kernel in TREES and int(core.options["max_depth"]) < SUITE_DEPTH:
        most = core.options["max_depth"]
        return f"the suite builds trees of up to {SUITE_DEPTH} levels, and options.max_depth is {most}"
    if core.kernel == "ntt" and int(core.options["min_log2_size"]):
        least = core.options["min_log2_size"]
        return f"the suite transforms rows from one element on, and options.min_log2_size is {least}"
    return ""


def _attributes(core: Core) -> dict[str, object]:
    """What the suite must know of what this core cannot: it has one hash, and a largest transform."""
    if core.kernel in TREES:
        return {"hash_names": (str(core.options["hash"]),)}
    if core.kernel == "ntt":
        return {"largest_log2": int(core.options["max_log2_size"])}
    return {}


def _narrowed(core: Core, spec: KernelSpec) -> KernelSpec:
    """The kernel's spec, its vectors and generator only of what this core has: one hash, and a largest transform."""
    if core.kernel in TREES:
        name = str(core.options["hash"])

        def trees(rng: np.random.Generator, size: int) -> tuple[Any, ...]:
            leaves, *_ = spec.generate(rng, size)
            return leaves, name

        return replace(spec, generate=trees, vectors=_only(spec.vectors, lambda args: args[1:] == (name,)))
    if core.kernel == "ntt":
        longest = 1 << int(core.options["max_log2_size"])

        def rows(rng: np.random.Generator, size: int) -> tuple[Any, ...]:
            values, *rest = spec.generate(rng, size)
            return values.reshape(-1, min(values.shape[1], longest)), *rest

        return replace(spec, generate=rows, vectors=_only(spec.vectors, lambda args: args[0].shape[1] <= longest))
    return spec


def _only(vectors: Sequence[Vector], fits: Callable[[tuple[Any, ...]], bool]) -> tuple[Vector, ...]:
    return tuple(vector for vector in vectors if fits(vector.args))
