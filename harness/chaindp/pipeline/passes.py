"""One pass: the whole workload once through the pipeline of one level, on a store and a state of its own."""

from __future__ import annotations

import gc
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from chaindp.chain.consensus import OrderedBlocks
from chaindp.chain.execution.revm import RevmExecutor
from chaindp.chain.state import State
from chaindp.chain.store import Store
from chaindp.kernels.kernelset import KernelCall
from chaindp.pipeline.backends import BackendPool
from chaindp.pipeline.block import BlockInFlight, Stage
from chaindp.pipeline.levels import LevelPlan
from chaindp.pipeline.live import StageRunner, run_pipelined, run_sequential
from chaindp.pipeline.model import schedule
from chaindp.pipeline.stages import Chain, ChainParams
from chaindp.workload import BlockInput, Workload

__all__ = ["GenesisStore", "PassResult", "run_pass"]


@dataclass(frozen=True, slots=True)
class GenesisStore:
    """The committed genesis on disk, which every pass starts on a copy of; ``path`` is None where nothing executes."""

    path: Path | None
    root: bytes


@dataclass(slots=True)
class PassResult:
    """The blocks with everything the stages left, and the instants (ns) between which the pass took place.

    ``spans_start``/``spans_end`` int64[blocks, stages] are the instants that count: the clock's in live mode, the
    schedule's in model mode, both relative to the start.
    """

    blocks: list[BlockInFlight]
    stages: list[Stage]
    spans_start: np.ndarray
    spans_end: np.ndarray
    overhead_ns: int
    calls: dict[Stage, list[KernelCall]]
    labels: dict[Stage, str]

    @property
    def duration_ns(self) -> int:
        """From the first block's start to the last stage's end."""
        return int(self.spans_end.max() - self.spans_start.min()) if len(self.blocks) else 0

    @property
    def transactions(self) -> int:
        """Transactions that were ordered and carried through."""
        return sum(block.transactions for block in self.blocks)


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
    model_cores: int | None,
    keep: bool,
) -> PassResult:
    """Run every block through the stages of ``plan``.

    admit_first: admit all blocks before the clock starts, so that throughput without ``admit`` is a measurement
    model_cores: None for a live pass; else stages run one after another and are scheduled on that many cores
    keep:        keep arguments and results of every kernel call for the audit
    """
    kernels = {stage: pool.kernels(selector, keep=keep) for stage, selector in backends.items()}
    store = state = executor = None
    if genesis.path is not None:
        with Store.open(genesis.path) as origin_store:
            origin_store.snapshot(scratch / "store")
        store = Store.open(scratch / "store")
        state = State.open(store, genesis.root)
        executor = RevmExecutor(params.chain_id)
    chain = Chain(
        params=params,
        workload=workload,
        kernels=kernels,
        store=store,
        state=state,
        root=genesis.root,
        executor=executor,
    )
    works = dict(chain.stages())
    blocks = [BlockInFlight(index, block_input) for index, block_input in enumerate(inputs)]
    runners = [StageRunner(stage, work, kernels.get(stage)) for stage, work in works.items()]
    calls: dict[Stage, list[KernelCall]] = {}
    try:
        if admit_first:
            run_sequential(runners[:1], blocks)
            for block in blocks:
                del block.spans[Stage.ADMIT]
            del runners[0], works[Stage.ADMIT]
        gc.collect()
        pipelined = plan.has("pipelining")
        release = (
            ((ordered.ordered - ordered.ordered[0]) * 1e9).astype(np.int64) if len(blocks) else np.zeros(0, np.int64)
        )
        origin = time.perf_counter_ns()
        for block, offset in zip(blocks, release.tolist(), strict=True):
            block.ordered_ns = origin + offset if model_cores is None else 0
        if pipelined and model_cores is None:
            run_pipelined(runners, blocks)
        else:
            run_sequential(runners, blocks)
        wall_ns = time.perf_counter_ns() - origin
    finally:
        if store is not None:
            store.close()
    stages = list(works)
    start, end = _instants(blocks, stages, origin)
    # Only where one thread does everything is all that is not a stage's the harness's.
    overhead = -1 if pipelined and model_cores is None else wall_ns - int((end - start).sum())
    if model_cores is not None:
        start, end = schedule(end - start, release.tolist(), model_cores, pipelined)
    for block in blocks:
        for stage, span in block.spans.items():
            calls.setdefault(stage, []).extend(span.calls)
    return PassResult(
        blocks, stages, start, end, overhead, calls, {stage: kernels[stage].backend.label for stage in kernels}
    )


def _instants(blocks: Sequence[BlockInFlight], stages: Sequence[Stage], origin: int) -> tuple[np.ndarray, np.ndarray]:
    shape = (len(blocks), len(stages))
    start, end = np.zeros(shape, dtype=np.int64), np.zeros(shape, dtype=np.int64)
    for row, block in enumerate(blocks):
        for column, stage in enumerate(stages):
            span = block.spans[stage]
            start[row, column], end[row, column] = span.start_ns - origin, span.end_ns - origin
    return start, end
