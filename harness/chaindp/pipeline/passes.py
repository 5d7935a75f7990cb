"""One pass: the whole workload once through the pipeline of one level, on a store and a state of its own."""

from __future__ import annotations

import gc
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from chaindp.backend import Platform
from chaindp.chain.consensus import OrderedBlocks
from chaindp.chain.execution.revm import RevmExecutor
from chaindp.chain.state import State
from chaindp.chain.store import Store
from chaindp.errors import CheckFailed
from chaindp.kernels.kernelset import KernelCall
from chaindp.pipeline.backends import BackendPool
from chaindp.pipeline.block import BlockInFlight, Stage
from chaindp.pipeline.levels import LevelPlan
from chaindp.pipeline.live import StageRunner, run_pipelined, run_sequential
from chaindp.pipeline.model import Resources, schedule
from chaindp.pipeline.stages import Chain, ChainParams
from chaindp.pipeline.work import Machine, Work, cpu_ns, resources_for, segments_of
from chaindp.workload import BlockInput, Workload

__all__ = ["GenesisStore", "PassResult", "run_pass"]


@dataclass(frozen=True, slots=True)
class GenesisStore:
    """The committed genesis on disk, which every pass starts on a copy of; ``path`` is None where nothing executes."""

    path: Path | None
    root: bytes


@dataclass(slots=True)
class PassResult:
    """The blocks with everything the stages left, and when the stages worked on them.

    start, end:    int64[blocks, stages] in ns from the start of the pass: the clock's in live mode, else the schedule's
    ordered:       int64[blocks], when each block was ordered, on the same scale
    overhead_ns:   time of the pass that was in no stage; None where several threads make that meaningless
    calls:         every kernel call, by stage
    labels:        the backend that each stage's kernels ran on
    work:          what was scheduled, by block and stage, and ``resources``, on what; empty and None in live mode
    threads:       how many a backend had at most
    """

    blocks: list[BlockInFlight]
    stages: list[Stage]
    start: np.ndarray
    end: np.ndarray
    ordered: np.ndarray
    overhead_ns: int | None
    calls: dict[Stage, list[KernelCall]]
    labels: dict[Stage, str]
    work: Work = ()
    resources: Resources | None = None
    threads: int = 1
    _simulated: dict[Stage, dict[str, Platform]] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._simulated = {}
        for stage in self.stages:
            calls = [call for block in self.blocks for call in block.spans[stage].calls]
            platforms = {call.kernel: call.simulated.platform for call in calls if call.simulated is not None}
            if platforms:
                self._simulated[stage] = platforms

    @property
    def platforms(self) -> dict[Stage, dict[str, Platform]]:
        """Stages with calls on simulated devices: kernels, each with its platform, which is whole: cores have clocks of
        their own.
        """
        return self._simulated

    def busy_ns(self, stage: Stage) -> np.ndarray:
        """int64[blocks]: what the stage takes by itself, less the wait for the network; of a model pass, modelled where
        it has calls on a simulated device.
        """
        if self.resources is None:
            return np.array([block.spans[stage].busy_ns for block in self.blocks], dtype=np.int64)
        column = self.stages.index(stage)
        return np.array([round(sum(segment.ns for segment in row[column])) for row in self.work], dtype=np.int64)

    def wait_ns(self, stage: Stage) -> np.ndarray:
        """int64[blocks]: how long the stage had a block and waited for the simulated network; of a model pass, in the
        schedule, where only ``order`` does.
        """
        if self.resources is None:
            return np.array([block.spans[stage].wait_ns for block in self.blocks], dtype=np.int64)
        waited = np.zeros(len(self.blocks), dtype=np.int64)
        if stage is Stage.ORDER:
            column = self.stages.index(stage)
            every = tuple(range(len(self.stages)))
            threads = (self.resources.threads or [(one,) for one in every]) if self.resources.pipelined else (every,)
            last = next(thread[-1] for thread in threads if column in thread)
            # A block is there once the stage before has left it and the thread is through with the block before.
            there = self.end[:, column - 1].copy() if column else waited.copy()
            there[1:] = np.maximum(there[1:], self.end[:-1, last])
            waited = np.maximum(0, np.minimum(self.start[:, column], self.ordered) - there)
        return waited

    def cpu_ns(self, stage: Stage) -> np.ndarray:
        """int64[blocks]: what the stage's thread ran, without simulators."""
        return np.array([cpu_ns(block.spans[stage]) for block in self.blocks], dtype=np.int64)

    @property
    def duration_ns(self) -> int:
        """From the first stage's start to the last one's end."""
        return int(self.end.max() - self.start.min())

    @property
    def transactions(self) -> int:
        """Transactions that were ordered and carried through."""
        return sum(block.transactions for block in self.blocks)

    @property
    def tps(self) -> float:
        """Transactions a second."""
        return self.transactions / (self.duration_ns / 1e9)


def run_pass(
    *,
    plan: LevelPlan,
    workload: Workload,
    inputs: Sequence[BlockInput],
    ordered: OrderedBlocks,
    genesis: GenesisStore,
    params: ChainParams,
    pool: BackendPool,
    backends: Mapping[Stage, str],
    scratch: Path,
    admit_first: bool,
    machine: Machine | None = None,
    threads: int = 1,
    keep: int = 0,
    proves: bool = False,
) -> PassResult:
    """Run every block through the stages of ``plan``, on a copy of the genesis store that is removed with ``scratch``.

    admit_first: admit all blocks before the clock starts, so that throughput without ``admit`` is a measurement
    machine:     None for a live pass; else stages run one after another and are scheduled on that machine
    threads:     how many threads a backend has here at most: no stage keeps more cores busy
    keep:        bytes of arguments and results to keep for the audit, for each stage
    proves:      whether the workload asks for STARKs
    """
    kernels = {stage: pool.kernels(selector, keep=keep) for stage, selector in backends.items()}
    store = state = executor = None
    if genesis.path is not None:
        with Store.open(genesis.path) as committed:
            committed.snapshot(scratch / "store")
        store = Store.open(scratch / "store")
        state = State.open(store, genesis.root)
        executor = RevmExecutor(params.chain_id)
    try:
        chain = Chain(
            params=params,
            workload=workload,
            kernels=kernels,
            store=store,
            state=state,
            root=genesis.root,
            executor=executor,
            proves=proves,
            # The prover's own loops use threads where its kernels do.
            prover_threads=threads if plan.has("parallel_merkleization") else 1,
        )
        blocks = [BlockInFlight(index, block_input) for index, block_input in enumerate(inputs)]
        runners = [StageRunner(stage, work, kernels.get(stage)) for stage, work in chain.stages().items()]
        calls: dict[Stage, list[KernelCall]] = {}
        if admit_first:
            admitting = runners.pop(0)
            run_sequential([admitting], blocks)
            for block in blocks:
                calls.setdefault(admitting.stage, []).extend(block.spans.pop(admitting.stage).calls)
                # What admit read of the state is not carried over the start of the clock: preload reads it again.
                block.sender_accounts = None
        pipelined = plan.has("pipelining")
        release = ((ordered.ordered - ordered.ordered[0]) * 1e9).astype(np.int64)
        gc.collect()
        origin = time.perf_counter_ns()
        for block, offset in zip(blocks, release.tolist(), strict=True):
            block.ordered_ns = origin + offset if machine is None else 0
        if pipelined and machine is None:
            run_pipelined(runners, blocks, chain.stop)
        else:
            run_sequential(runners, blocks)
        wall_ns = time.perf_counter_ns() - origin
    finally:
        if store is not None:
            store.close()
    stages = [runner.stage for runner in runners]
    start, end = _instants(blocks, stages, origin)
    overhead = None if pipelined and machine is None else wall_ns - int((end - start).sum())
    labels = {stage: kernels[stage].backend.label for stage in kernels}
    work: Work = ()
    resources = None
    if machine is not None:
        work = [[segments_of(stage, block.spans[stage], threads) for stage in stages] for block in blocks]
        resources = resources_for(machine, stages, pipelined)
        start, end = schedule(work, release.tolist(), resources, gate=stages.index(Stage.ORDER))
    for block in blocks:
        for stage, span in block.spans.items():
            if stage in kernels:
                calls.setdefault(stage, []).extend(span.calls)
    stray = [f"{stage} ({len(left)} kernel calls)" for stage in kernels if (left := kernels[stage].take_calls())]
    if stray:
        raise CheckFailed(f"calls that no stage has accounted for: {', '.join(stray)}")
    return PassResult(blocks, stages, start, end, release, overhead, calls, labels, work, resources, threads)


def _instants(blocks: Sequence[BlockInFlight], stages: Sequence[Stage], origin: int) -> tuple[np.ndarray, np.ndarray]:
    shape = (len(blocks), len(stages))
    start, end = np.zeros(shape, dtype=np.int64), np.zeros(shape, dtype=np.int64)
    for row, block in enumerate(blocks):
        for column, stage in enumerate(stages):
            span = block.spans[stage]
            start[row, column], end[row, column] = span.start_ns - origin, span.end_ns - origin
    return start, end
