"""Which backend serves which stage: what was asked for, what a level makes of it, and the open instances."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from chaindp.backend import Backend, Platform, TimeDomain
from chaindp.errors import UsageError
from chaindp.kernels.kernelset import KernelSet, kernels_needed
from chaindp.pipeline.block import Stage
from chaindp.pipeline.levels import HETEROGENEOUS, LevelPlan
from chaindp.pipeline.stages import KERNELS_NEEDED, stage_kernels
from chaindp.plugins import Registry

__all__ = [
    "BASELINE",
    "DEFAULT",
    "BackendPool",
    "check_mode",
    "left_out",
    "parse_backends",
    "split_request",
    "stage_backends",
    "stand_ins",
]

SERVABLE = tuple(stage for stage in KERNELS_NEEDED if stage is not Stage.EXECUTE)
"""The stages that a backend can be asked for. What execution looks up late is hashed where preload hashes."""

BASELINE = "cpu:scalar"
"""One message hashed at a time, on one thread: what a level without parallel Merkleization runs on."""

DEFAULT = "cpu"
"""The vectorized, multi-threaded CPU backend: what parallel Merkleization runs on unless another one is asked for."""


def split_request(request: str) -> tuple[str, str]:
    """``[STAGE=]NAME[:DEVICE]`` as stage, empty where there is none, and selector. A device may have any characters."""
    before, equals, after = request.partition("=")
    return (before, after) if equals and ":" not in before else ("", request)


def parse_backends(requests: Sequence[str], registry: Registry, *, proves: bool = False) -> dict[Stage, str]:
    """``[STAGE=]NAME`` items to stage and backend.

    With a stage, the backend must serve every kernel that the stage calls. Without one, it is asked for in every
    stage that it can serve. UsageError where a name is unknown, a stage calls no kernel, or nothing can be served.

    proves: whether the workload asks for STARKs
    """
    needs = stage_kernels(proves=proves)
    chosen: dict[Stage, str] = {}
    general: str | None = None
    for request in requests:
        stage_name, selector = split_request(request)
        spec, _ = registry.backend_spec(selector)
        supported = [name for name in spec.capabilities if spec.supports(name)]
        if selector == request:
            if general is not None:
                raise UsageError(f"--backend {general} and --backend {request}: say STAGE=NAME to use two backends")
            general = request
            continue
        try:
            stage = Stage(stage_name)
        except ValueError:
            raise UsageError(f"--backend {request}: no stage {stage_name!r}; there are: {', '.join(Stage)}") from None
        if stage not in SERVABLE:
            raise UsageError(f"--backend {request}: stage {stage} calls no kernel that a backend could take over")
        if stage in chosen:
            raise UsageError(f"--backend {request}: {stage} was given to {chosen[stage]} already")
        lacking = kernels_needed(supported, needs[stage])
        if lacking:
            why = ", and the workload asks for proofs" if not kernels_needed(supported, KERNELS_NEEDED[stage]) else ""
            raise UsageError(f"--backend {request}: {spec.name} does not implement {', '.join(lacking)}{why}")
        chosen[stage] = selector
    if general is not None:
        spec, _ = registry.backend_spec(general)
        supported = [name for name in spec.capabilities if spec.supports(name)]
        served = [stage for stage in SERVABLE if not kernels_needed(supported, needs[stage])]
        if not served:
            every = "; ".join(f"{stage} needs {', '.join(needs[stage])}" for stage in SERVABLE)
            raise UsageError(f"--backend {general}: {spec.name} can serve no stage ({every})")
        chosen = dict.fromkeys(served, general) | chosen
    return chosen


def left_out(requests: Sequence[str], registry: Registry, chosen: Mapping[Stage, str]) -> tuple[str, str] | None:
    """The backend that was asked for in general and would serve ``prove``, were it not for the workload's proofs; and
    why it does not. None where there is none.
    """
    for request in requests:
        stage_name, selector = split_request(request)
        if stage_name or Stage.PROVE in chosen:
            continue
        spec, _ = registry.backend_spec(selector)
        supported = [name for name in spec.capabilities if spec.supports(name)]
        lacking = kernels_needed(supported, stage_kernels(proves=True)[Stage.PROVE])
        if not kernels_needed(supported, KERNELS_NEEDED[Stage.PROVE]):
            return selector, f"{selector} does not prove: it does not implement {', '.join(lacking)}"
    return None


def check_mode(mode: str, requests: Mapping[Stage, str], registry: Registry, platform: Platform | None) -> None:
    """UsageError where a simulated backend is to take part in a live run, or a platform is stated for none.

    The wall clock says nothing of a simulated device: only a schedule can have its time beside the host's.
    """
    simulated = [name for name in dict.fromkeys(requests.values()) if registry.backend_spec(name)[0].simulates]
    if simulated and mode != "model":
        raise UsageError(
            f"backend {simulated[0]} simulates its device, and a live run times the wall clock: use --mode model"
        )
    if platform is not None and not simulated:
        raise UsageError("--clock, --instances and --link are about a simulated device, and --backend names none")


def stand_ins(backends: Mapping[Stage, str], registry: Registry) -> dict[Stage, str]:
    """The same backends with ``cpu`` in the place of those that simulate their device."""
    return {
        stage: DEFAULT if registry.backend_spec(selector)[0].simulates else selector
        for stage, selector in backends.items()
    }


def stage_backends(plan: LevelPlan, asked_for: Mapping[Stage, str]) -> dict[Stage, str]:
    """The backend of each stage at a level: the baseline hashes, and with parallel Merkleization the vectorized CPU.

    Those that were asked for take over where the plan says that they take part.
    """
    parallel = plan.has("parallel_merkleization")
    by_level = dict.fromkeys(KERNELS_NEEDED, BASELINE)
    if parallel:
        by_level |= dict.fromkeys((Stage.MERKLEIZE, Stage.PROVE), DEFAULT)
    if plan.has(HETEROGENEOUS):
        by_level |= asked_for
    return by_level | {Stage.EXECUTE: by_level[Stage.PRELOAD]}


@dataclass(slots=True)
class BackendPool:
    """Open backends by selector, each opened once and warmed up, closed together."""

    registry: Registry
    threads: int
    platform: Platform | None
    _open: dict[str, Backend]

    def __init__(self, registry: Registry, threads: int, platform: Platform | None = None) -> None:
        """``platform`` is for those that simulate their device."""
        self.registry = registry
        self.threads = threads
        self.platform = platform
        self._open = {}

    def backend(self, selector: str) -> Backend:
        """The open backend for ``name`` or ``name:device``."""
        if selector not in self._open:
            simulates = self.registry.backend_spec(selector)[0].simulates
            backend = self.registry.open_backend(
                selector, threads=self.threads, platform=self.platform if simulates else None
            )
            self._open[selector] = backend
            if backend.time_domain is not TimeDomain.WALL and not simulates:
                raise UsageError(
                    f"backend {selector} measures in {backend.time_domain}, and a run times the wall clock: "
                    "it cannot take part"
                )
        return self._open[selector]

    def kernels(self, selector: str, *, keep: int = 0) -> KernelSet:
        """A fresh set of that backend's kernels, with a call record of its own; ``keep``: bytes for the audit."""
        return self.registry.kernel_set(self.backend(selector), keep=keep)

    def close(self) -> None:
        """Close all of them."""
        while self._open:
            self._open.popitem()[1].close()
