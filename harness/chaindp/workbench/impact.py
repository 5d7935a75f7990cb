"""``chaindp core impact``: what a core does to the throughput of the whole chain, and what keeps it from doing more.

The chain runs at DP4 and at DP5, where the core has the kernels of one stage, both in model mode and over the same
blocks. What is compared is the pass at DP4 with that one stage as it was at DP5 put in the place of its own: all other
stages take what they took, so that a slow spell of the machine between the two passes is no gain or loss of the core.
The core is simulated once; every other number of instances and every other link is a schedule made again from the
cycles, packets and bytes of its calls.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

import pandas as pd

from chaindp.backend import Device, Link, Platform
from chaindp.cores.build import build
from chaindp.cores.description import Core
from chaindp.errors import CheckFailed, UsageError
from chaindp.kernels.kernelset import kernels_needed
from chaindp.measure.platforms import platform_row
from chaindp.pipeline.block import Stage
from chaindp.pipeline.config import RunConfig
from chaindp.pipeline.model import schedule
from chaindp.pipeline.observed import Observed, PassKind
from chaindp.pipeline.passes import PassResult
from chaindp.pipeline.replan import for_nothing, on_platform, replan
from chaindp.pipeline.run import measure_run
from chaindp.pipeline.stages import KERNELS_NEEDED
from chaindp.pipeline.work import Retime
from chaindp.platforms import LINKS
from chaindp.plugins import Registry
from chaindp.results.amdahl import AMDAHL_FORMULA
from chaindp.results.model_error import worst_error
from chaindp.results.summary import ladder
from chaindp.results.table import SampleTable
from chaindp.workbench.conformity import BACKEND, core_registry
from chaindp.workbench.tools import require_tools

__all__ = ["ImpactOptions", "ImpactResult", "Row", "impact", "stages_of", "with_core"]

BELOW, LEVEL = 4, 5

STAGES: Mapping[str, tuple[Stage, ...]] = MappingProxyType(
    {"keccak256": (Stage.MERKLEIZE, Stage.PROVE), "merkle_tree": (Stage.PROVE,)}
)
"""Kernel to the stages that it serves, the usual one first; no stage calls any other kernel that a core may have."""

MOST_INSTANCES = 1024
GAIN = 1e-3
"""Instances are doubled until no link gains more than this share by it, or there are MOST_INSTANCES."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImpactOptions:
    """What the chain runs and on what: as ``RunConfig``. ``within``: what does not matter any more, as a share."""

    stage: Stage | None = None
    workload: str = "erc20"
    txs: int = 3_000
    block_txs: int = 500
    accounts: int = 10_000
    repeat: int = 3
    seed: int = 0
    threads: int = 1
    cores: int | None = None
    lock: bool = True
    clock_mhz: float | None = None
    links: tuple[Link, ...] = tuple(LINKS.values())
    within: float = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One platform. Throughputs are medians over the repetitions, speed-ups of ratios within each.

    speedup:    over DP4, ``admit`` done beforehand; ``speedup_with_admit``: with it in the pipeline
    of_ceiling: speedup over that of a device that takes no time
    device_ns:  what the device and its link take of the stage, per transaction
    """

    link: Link
    instances: int
    tps: float
    tps_with_admit: float
    speedup: float
    speedup_with_admit: float
    of_ceiling: float
    device_ns: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ImpactResult:
    """The sweep, and what bounds it.

    stage_ns:  of the stage, per transaction: at DP4 in all (``below``) and its kernels on the CPU (``below_kernels``);
               at DP5 what stays on the host (``host``), which is more where the host composes kernels of the core's
    share:     of the stage time of a transaction at DP4, the part that these kernels take on the CPU
    ceiling:   speed-up with a device and a link that take no time, by the schedule
    amdahl:    the same by Amdahl's formula, 1 / (1 - share), which knows no overlap of blocks
    model_errors, model_errors_with_admit: of the model against live runs, by level, the worst of the repetitions
    checked_with: what was in the core's place for that
    """

    core: Core
    stage: Stage
    selector: str
    options: ImpactOptions
    clock_mhz: float
    rows: tuple[Row, ...]
    tps_below: float
    tps_below_with_admit: float
    stage_ns: Mapping[str, float]
    share: float
    ceiling: float
    ceiling_with_admit: float
    amdahl: float
    amdahl_with_admit: float
    model_errors: Mapping[int, float]
    model_errors_with_admit: Mapping[int, float]
    checked_with: str
    calls: Mapping[str, float]

    def of(self, link: Link) -> list[Row]:
        """The rows of a link, by instances."""
        return [row for row in self.rows if row.link is link]

    def enough(self, link: Link) -> Row:
        """The fewest instances behind a link with which more of them do not matter."""
        rows = self.of(link)
        best = max(row.speedup for row in rows)
        return next(row for row in rows if row.speedup >= (1 - self.options.within) * best)

    @property
    def enough_link(self) -> Row | None:
        """The slowest link behind which the core reaches the ceiling, with the fewest instances.

        None where no link does, and where the ceiling is no gain: there is nothing that a link could be enough for.
        """
        if not self.pays:
            return None
        reaching = [row for row in self.rows if row.of_ceiling >= 1 - self.options.within]
        return min(reaching, key=lambda row: (_speed(row.link), row.instances), default=None)

    @property
    def pays(self) -> bool:
        """Whether a device and a link that take no time would make the chain faster."""
        return self.ceiling > 1

    @property
    def model_error(self) -> float:
        """The largest of the model's errors, without its sign."""
        return max(map(abs, self.model_errors.values()), default=0.0)

    def within_model_error(self, speedup: float) -> bool:
        """Whether a speed-up is no further from none than the model from live runs: then it may be nothing."""
        return abs(speedup - 1) < self.model_error

    def to_dict(self) -> dict[str, Any]:
        """As ``chaindp core impact --json`` prints it."""
        chosen = self.enough_link
        return {
            "core": self.core.name,
            "configuration": self.core.configuration,
            "kernel": self.core.kernel,
            "stage": str(self.stage),
            "backend": self.selector,
            "workload": self.options.workload,
            "transactions": self.options.txs,
            "repetitions": self.options.repeat,
            "time_domain": "modelled",
            "level": LEVEL,
            "over_level": BELOW,
            "clock_mhz": self.clock_mhz,
            "tps_below": self.tps_below,
            "tps_below_with_admit": self.tps_below_with_admit,
            "stage_ns": dict(self.stage_ns),
            "share": self.share,
            "pays": self.pays,
            "ceiling": self.ceiling,
            "within_model_error": self.within_model_error(self.ceiling),
            "ceiling_with_admit": self.ceiling_with_admit,
            "amdahl": self.amdahl,
            "amdahl_with_admit": self.amdahl_with_admit,
            "amdahl_formula": AMDAHL_FORMULA,
            "within": self.options.within,
            "calls_per_block": dict(self.calls),
            "model_errors": {f"DP{level}": error for level, error in self.model_errors.items()},
            "model_errors_with_admit": {f"DP{level}": error for level, error in self.model_errors_with_admit.items()},
            "checked_with": self.checked_with,
            "rows": [self._row(row) for row in self.rows],
            "stops_mattering": {
                "instances": {link.name: self.enough(link).instances for link in self.options.links},
                "link": chosen.link.name if chosen else None,
                "link_instances": chosen.instances if chosen else None,
            },
        }

    def _row(self, row: Row) -> dict[str, Any]:
        platform = Platform(clock_hz=1e6 * self.clock_mhz, instances=row.instances, link=row.link)
        names = ("tps", "tps_with_admit", "speedup", "speedup_with_admit", "of_ceiling", "device_ns")
        figures = {name: getattr(row, name) for name in names}
        return {**platform_row(platform), **figures, "within_model_error": self.within_model_error(row.speedup)}


def _speed(link: Link) -> tuple[float, float]:
    """Slower links first."""
    return min(link.to_device, link.from_device), -link.latency_ns


def stages_of(core: Core) -> tuple[Stage, ...]:
    """The stages that a core can have a part in, the usual one first; UsageError where there is none."""
    called = STAGES.get(core.kernel, ())
    if not called:
        known = ", ".join(STAGES)
        raise UsageError(
            f"{core.at('kernel')}: no stage of the chain calls {core.kernel} yet (stages call {known}): the cycles of "
            "this core are in 'chaindp core check'"
        )
    if core.options.get("hash", "keccak256") != "keccak256":
        raise UsageError(
            f"{core.at('options', 'hash')}: the chain builds its trees with keccak256, and this core with "
            f"{core.options['hash']}"
        )
    return called


def impact(
    core: Core, installed: Registry, options: ImpactOptions, advance: Callable[[str], None] = lambda step: None
) -> ImpactResult:
    """Measure and model the chain with the core and without it.

    UsageError where the core has no part in it, or a tool is missing; CheckFailed where the core's results are wrong.
    """
    stage = options.stage or stages_of(core)[0]
    if stage not in stages_of(core):
        there = ", ".join(stages_of(core))
        raise UsageError(f"--stage {stage}: a core for {core.kernel} can serve {there}")
    require_tools()
    # RTL that does not compile is the call's fault, and not a level's that failed.
    build(core)
    registry, selector = _backend(core, installed, stage)
    config = RunConfig(
        workload=options.workload,
        levels=(BELOW, LEVEL),
        txs=options.txs,
        block_txs=options.block_txs,
        accounts=options.accounts,
        repeat=options.repeat,
        seed=options.seed,
        mode="model",
        backends=(f"{stage}={selector}",),
        threads=options.threads,
        cores=options.cores,
        lock=options.lock,
        clock_mhz=options.clock_mhz or core.clock_mhz,
    )
    passes: dict[tuple[int, int, bool], PassResult] = {}

    def observe(seen: Observed) -> None:
        if seen.kind is PassKind.RECORDED:
            passes[seen.level, seen.repetition, seen.admit_first] = seen.result

    table = SampleTable("impact")
    outcome = measure_run(config, registry, table, advance, observe)
    if outcome.failures:
        raise CheckFailed(f"core {core.label} in {stage}: {outcome.failures[0]}")
    pairs = {
        first: [(passes[BELOW, number, first], passes[LEVEL, number, first]) for number in range(options.repeat)]
        for first in (True, False)
    }
    return _result(core, stage, selector, options, pairs, table)


Pairs = Mapping[bool, Sequence[tuple[PassResult, PassResult]]]
"""By whether ``admit`` was done beforehand: a pass at DP4 and one at DP5 of every repetition."""


def _backend(core: Core, installed: Registry, stage: Stage) -> tuple[Registry, str]:
    """The backend that serves the stage by the core alone, or with the cores beside it that the selector names.

    A core for trees serves no message, and has one hash of two: an installed backend that takes a ``core.toml`` for a
    device lists cores for the rest.
    """
    lacking = kernels_needed([core.kernel], KERNELS_NEEDED[stage])
    if not lacking:
        return core_registry(installed, core, None), BACKEND
    device = f"{core.path}#{core.configuration}" if core.configuration else str(core.path)
    for spec in installed.backends.values():
        if not spec.simulates or spec.resolve is None or spec.resolve(device) is None:
            continue
        beside = [_listed(spec.devices(), kernel, None) for kernel in lacking]
        if "hash" in core.options:
            (other,) = {"keccak256", "sha256"} - {core.options["hash"]}
            beside.append(_listed(spec.devices(), core.kernel, other))
        if all(beside):
            return installed, f"{spec.name}:{'+'.join([device, *beside])}"
    raise UsageError(
        f"stage {stage} needs {', '.join(lacking)} beside {core.kernel}, and no installed backend simulates them"
    )


def _listed(devices: Sequence[Device], kernel: str, hash_name: object) -> str:
    """The first device that is a core for a kernel, with this hash where it has one; empty where there is none."""
    for device in devices:
        options = device.details.get("options", {})
        found = options.get("hash") if isinstance(options, Mapping) else None
        if device.details.get("kernel") == kernel and found == hash_name:
            return device.name
    return ""


def _result(
    core: Core, stage: Stage, selector: str, options: ImpactOptions, pairs: Pairs, table: SampleTable
) -> ImpactResult:
    ceilings = {first: _speedup(pairs[first], stage, for_nothing) for first in pairs}
    rows = tuple(_sweep(options, pairs, stage, ceilings[True]))
    shares = {first: statistics.median(_share(below, stage) for below, _ in pairs[first]) for first in pairs}
    frame = table.frame()
    rungs = ladder(frame).set_index("level")
    return ImpactResult(
        core=core,
        stage=stage,
        selector=selector,
        options=options,
        clock_mhz=options.clock_mhz or core.clock_mhz,
        rows=rows,
        tps_below=statistics.median(below.tps for below, _ in pairs[True]),
        tps_below_with_admit=statistics.median(below.tps for below, _ in pairs[False]),
        stage_ns=_stage_ns(pairs[True], stage),
        share=shares[True],
        ceiling=ceilings[True],
        ceiling_with_admit=ceilings[False],
        amdahl=1 / (1 - shares[True]),
        amdahl_with_admit=1 / (1 - shares[False]),
        model_errors=_errors(frame, "model_error"),
        model_errors_with_admit=_errors(frame, "model_error_with_admit"),
        checked_with=str(rungs["model_checked"][LEVEL]),
        calls=_calls([five for _, five in pairs[True]], stage),
    )


def _errors(frame: pd.DataFrame, metric: str) -> dict[int, float]:
    """The worst error of the model at each level."""
    found = {level: worst_error(frame, levels=(level,), metrics=(metric,)) for level in (BELOW, LEVEL)}
    return {level: error for level, error in found.items() if error is not None}


def with_core(below: PassResult, five: PassResult, stage: Stage, retime: Retime) -> PassResult:
    """The pass ``below`` with one stage as it was in the pass ``five`` over the same blocks, scheduled again."""
    column = below.stages.index(stage)
    other = replan(five, retime)
    work = [
        [*row[:column], changed[five.stages.index(stage)], *row[column + 1 :]]
        for row, changed in zip(below.work, other.work, strict=True)
    ]
    assert below.resources is not None
    gate = below.stages.index(Stage.ORDER)
    start, end = schedule(work, below.ordered.tolist(), below.resources, gate=gate)
    return replace(below, start=start, end=end, work=work)


def _speedup(pairs: Sequence[tuple[PassResult, PassResult]], stage: Stage, retime: Retime) -> float:
    """The median over the repetitions of what the core gives over DP4."""
    return statistics.median(with_core(below, five, stage, retime).tps / below.tps for below, five in pairs)


def _sweep(options: ImpactOptions, pairs: Pairs, stage: Stage, ceiling: float) -> Iterator[Row]:
    for link in options.links:
        before = 0.0
        instances = 1
        while instances <= MOST_INSTANCES:
            row = _row(link, instances, options, pairs, stage, ceiling)
            yield row
            if row.speedup <= before * (1 + GAIN):
                break
            before, instances = row.speedup, 2 * instances


def _row(link: Link, instances: int, options: ImpactOptions, pairs: Pairs, stage: Stage, ceiling: float) -> Row:
    retime = on_platform(Platform(instances=instances, link=link))
    plans = {first: [(below, with_core(below, five, stage, retime)) for below, five in pairs[first]] for first in pairs}
    speedups = {first: statistics.median(five.tps / below.tps for below, five in plans[first]) for first in plans}
    device = statistics.median(_device_ns(five, stage, retime) for _, five in pairs[True])
    return Row(
        link=link,
        instances=instances,
        tps=statistics.median(five.tps for _, five in plans[True]),
        tps_with_admit=statistics.median(five.tps for _, five in plans[False]),
        speedup=speedups[True],
        speedup_with_admit=speedups[False],
        of_ceiling=speedups[True] / ceiling,
        device_ns=device,
    )


def _device_ns(result: PassResult, stage: Stage, retime: Retime) -> float:
    times = [call.simulated for call in result.calls[stage] if call.simulated is not None]
    return sum(map(retime, times)) / result.transactions


def _stage_ns(pairs: Sequence[tuple[PassResult, PassResult]], stage: Stage) -> dict[str, float]:
    """What the stage takes per transaction, in ns: medians over the repetitions."""
    hosts = (float(replan(five, for_nothing).busy_ns(stage).sum()) / five.transactions for _, five in pairs)
    kernels = (sum(call.wall_ns for call in below.calls[stage]) / below.transactions for below, _ in pairs)
    return {
        "below": statistics.median(float(below.busy_ns(stage).sum()) / below.transactions for below, _ in pairs),
        "below_kernels": statistics.median(kernels),
        "host": statistics.median(hosts),
    }


def _share(below: PassResult, stage: Stage) -> float:
    """Of a pass's stage time, the kernel calls of one stage."""
    total = sum(int(below.busy_ns(one).sum()) for one in below.stages)
    return sum(call.wall_ns for call in below.calls[stage]) / total


def _calls(passes: Sequence[PassResult], stage: Stage) -> dict[str, float]:
    """What the stage asked of the device, a block: calls, packets, cycles, bytes each way."""
    times = [call.simulated for one in passes for call in one.calls[stage] if call.simulated is not None]
    blocks = sum(len(one.blocks) for one in passes)
    names = ("calls", "operations", "cycles", "to_bytes", "from_bytes")
    return {name: sum(getattr(one, name) for one in times) / blocks for name in names}
