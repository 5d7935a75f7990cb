"""One run: every level, every repetition, audited, into one results table."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from chaindp.chain.codec.receipts import encode_receipts, logs_bloom
from chaindp.chain.consensus import FixedSlotParams, OrderedBlocks, order_in_fixed_slots
from chaindp.chain.network import NetworkParams
from chaindp.chain.state import State
from chaindp.chain.store import Store
from chaindp.chain.trie import ordered_root
from chaindp.chain.types import Ragged, Receipts
from chaindp.chain.workload_digest import workload_digest
from chaindp.errors import ChaindpError, CheckFailed, UsageError
from chaindp.kernels.kernelset import KernelSet
from chaindp.pipeline.audit import audit_calls, audit_proofs, auditor_for
from chaindp.pipeline.backends import DEFAULT, BackendPool, parse_backends, stage_backends
from chaindp.pipeline.block import Stage
from chaindp.pipeline.levels import MECHANISMS, LevelPlan, plan_level
from chaindp.pipeline.passes import GenesisStore, PassResult, run_pass
from chaindp.pipeline.stages import ChainParams
from chaindp.plugins import Registry, select
from chaindp.results.table import SampleTable
from chaindp.workload import CHAIN_ID, BlockInput, Workload, WorkloadParams, WorkloadSpec

__all__ = ["LevelOutcome", "RunConfig", "RunOutcome", "measure_run"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunConfig:
    """What ``chaindp run`` was asked for. Times are seconds; see ``WorkloadParams`` for the workload's part."""

    workload: str = "erc20"
    levels: tuple[int, ...] = (0, 1, 2, 3, 4)
    txs: int = 10_000
    block_txs: int = 1_000
    accounts: int = 100_000
    repeat: int = 3
    seed: int = 0
    zipf: float = 0.0
    conflict: float = 0.0
    mode: str = "live"
    backends: tuple[str, ...] = ()
    ablate: tuple[str, ...] = ()
    threads: int = 1
    slot_s: float = 0.02
    network: NetworkParams = field(default_factory=NetworkParams)

    def __post_init__(self) -> None:
        for name in ("txs", "block_txs", "accounts", "repeat", "threads"):
            value = getattr(self, name)
            if value < 1:
                raise UsageError(f"--{name.replace('_', '-')} is {value}; it must be 1 or more")
        if self.seed < 0:
            raise UsageError(f"--seed is {self.seed}; it must be 0 or more")
        if not 0 <= self.conflict <= 1:
            raise UsageError(f"--conflict is {self.conflict}; it must be within 0 and 1")
        if not 0 <= self.zipf <= 10:
            raise UsageError(f"--zipf is {self.zipf}; it must be within 0 and 10")
        if self.mode not in ("live", "model"):
            raise UsageError(f"--mode is {self.mode!r}; it is live or model")


@dataclass(slots=True)
class LevelOutcome:
    """What a level led to, repetition by repetition; all levels must agree."""

    plan: LevelPlan
    state_roots: list[bytes] = field(default_factory=list)
    receipts_roots: list[bytes] = field(default_factory=list)
    block_hashes: list[bytes] = field(default_factory=list)
    gas_used: list[int] = field(default_factory=list)
    transactions: list[int] = field(default_factory=list)
    refused: list[int] = field(default_factory=list)
    backends: dict[Stage, str] = field(default_factory=dict)


@dataclass(slots=True)
class RunOutcome:
    """The samples, what each level led to, and every reason why the run does not hold."""

    table: SampleTable
    levels: dict[int, LevelOutcome]
    failures: list[str]
    consensus: dict[str, object]
    workload_digest: str
    executed: bool


class _Run:
    """The state of one run. Methods in the order in which they are called."""

    def __init__(
        self, config: RunConfig, registry: Registry, table: SampleTable, progress: Callable[[str], None], scratch: Path
    ) -> None:
        self.config = config
        self.registry = registry
        self.table = table
        self.progress = progress
        self.scratch = scratch
        self.spec: WorkloadSpec = select(registry.workloads, config.workload, "workload", registry.broken)
        self.asked_for = parse_backends(config.backends, registry)
        plans = [plan_level(number, config.ablate, self.asked_for.values()) for number in config.levels]
        self.outcomes = {plan.level.number: LevelOutcome(plan) for plan in plans}
        self.pool = BackendPool(registry, config.threads)
        self.params = ChainParams(chain_id=CHAIN_ID)
        self.failures: list[str] = []

    def execute(self) -> RunOutcome:
        """Everything from the genesis to the last audit."""
        try:
            kernels = self.pool.kernels(DEFAULT)
            self.progress("building the genesis")
            first = self.workload(0, kernels)
            genesis = self.build_genesis(first, kernels)
            digest = workload_digest(first)
            self.warm_up(first, genesis)
            ordered = None
            for repetition in range(self.config.repeat):
                workload = first if repetition == 0 else self.workload(repetition, kernels)
                inputs = list(workload.blocks())
                if not inputs:
                    raise UsageError(f"workload {self.spec.name} has no blocks for these parameters")
                ordered = self.order(inputs)
                # Levels alternate within a repetition, so that a slow spell of the machine falls on all of them.
                for number in self.outcomes:
                    self.progress(f"repetition {repetition + 1} of {self.config.repeat}, DP{number}")
                    self.measure(number, repetition, workload, inputs, ordered, genesis)
            self.compare_levels()
            self.record_mechanisms()
            assert ordered is not None
            consensus: dict[str, object] = {
                "protocol": "fixed slots, one proposer, two vote rounds",
                "slot_s": self.config.slot_s,
                "network": asdict(self.config.network),
                "messages": ordered.messages,
                "bytes_sent": ordered.bytes_sent,
            }
            return RunOutcome(self.table, self.outcomes, self.failures, consensus, digest, genesis.path is not None)
        finally:
            self.pool.close()

    def workload(self, repetition: int, kernels: KernelSet) -> Workload:
        config = self.config
        params = WorkloadParams(
            txs=config.txs,
            block_txs=config.block_txs,
            accounts=config.accounts,
            seed=config.seed,
            repetition=repetition,
            zipf=config.zipf,
            conflict=config.conflict,
        )
        return self.spec.factory(params, kernels)

    def build_genesis(self, workload: Workload, kernels: KernelSet) -> GenesisStore:
        genesis = workload.genesis()
        if genesis is None:
            return GenesisStore(None, b"")
        state = State.genesis(genesis, kernels)
        root, nodes = state.commit_root(kernels)
        path = self.scratch / "genesis"
        store = Store.create(path)
        try:
            store.commit(0, root, nodes.digests, nodes.encodings, nodes.codes)
        finally:
            store.close()
        return GenesisStore(path, root)

    def order(self, inputs: Sequence[BlockInput]) -> OrderedBlocks:
        sizes = [len(block.transactions.data) for block in inputs]
        return order_in_fixed_slots(
            sizes, self.config.network, FixedSlotParams(slot_s=self.config.slot_s), self.config.seed
        )

    def backends_of(self, plan: LevelPlan) -> dict[Stage, str]:
        highest = max(self.outcomes)
        return stage_backends(plan, self.asked_for, take_over=plan.level.number == highest)

    def warm_up(self, workload: Workload, genesis: GenesisStore) -> None:
        """One unmeasured pass a level over the first block compiles every kernel for the types it will meet."""
        inputs = list(workload.blocks())[:1]
        if not inputs:
            return
        for number, outcome in self.outcomes.items():
            self.progress(f"warming up DP{number}")
            for selector in set(self.backends_of(outcome.plan).values()):
                backend = self.pool.backend(selector)
                backend.warm_up(sorted(self.pool.kernels(selector).supported))
            self.one_pass(outcome.plan, workload, inputs, self.order(inputs), genesis, admit_first=False, keep=False)

    def one_pass(
        self,
        plan: LevelPlan,
        workload: Workload,
        inputs: Sequence[BlockInput],
        ordered: OrderedBlocks,
        genesis: GenesisStore,
        *,
        admit_first: bool,
        keep: bool,
    ) -> PassResult:
        with tempfile.TemporaryDirectory(dir=self.scratch) as scratch:
            return run_pass(
                plan=plan,
                workload=workload,
                inputs=inputs,
                ordered=ordered,
                genesis=genesis,
                params=self.params,
                pool=self.pool,
                backends=self.backends_of(plan),
                scratch=Path(scratch),
                admit_first=admit_first,
                model_cores=self.config.threads if self.config.mode == "model" else None,
                keep=keep,
            )

    def measure(
        self,
        number: int,
        repetition: int,
        workload: Workload,
        inputs: Sequence[BlockInput],
        ordered: OrderedBlocks,
        genesis: GenesisStore,
    ) -> None:
        """The two passes of a level and repetition: with ``admit`` in the pipeline, and with it done beforehand."""
        outcome = self.outcomes[number]
        common = {"workload": self.spec.name, "level": number, "repetition": repetition}
        try:
            whole = self.one_pass(outcome.plan, workload, inputs, ordered, genesis, admit_first=False, keep=True)
            matched = self.audit(whole, common)
            after = self.one_pass(outcome.plan, workload, inputs, ordered, genesis, admit_first=True, keep=False)
            if [block.block_hash for block in after.blocks] != [block.block_hash for block in whole.blocks]:
                raise CheckFailed(f"DP{number}: two passes over the same blocks lead to different block hashes")
        except (ChaindpError, AssertionError, IndexError, KeyError, ValueError, OverflowError) as error:
            # A lying backend can lead the chain anywhere; the run says what happened and goes on with the other levels.
            if not isinstance(error, ChaindpError) and not self.asked_for:
                raise
            reason = str(error) if isinstance(error, ChaindpError) else f"{type(error).__name__}: {error}"
            self.fail(f"DP{number}, repetition {repetition}: {reason}", common)
            return
        self.record_throughput(common, whole, after, matched)
        self.record_blocks(common, outcome.plan, whole, ordered, matched)
        outcome.backends = {Stage(stage): label for stage, label in whole.labels.items()}
        outcome.block_hashes.append(whole.blocks[-1].block_hash)
        outcome.gas_used.append(sum(block.gas_used for block in whole.blocks))
        outcome.transactions.append(whole.transactions)
        outcome.refused.append(sum(block.refused for block in whole.blocks))
        if genesis.path is not None:
            outcome.state_roots.append(whole.blocks[-1].state_root)
            receipts = [block.receipts for block in whole.blocks if block.receipts is not None]
            outcome.receipts_roots.append(run_receipts_root(receipts, self.pool.kernels(DEFAULT)))

    def fail(self, reason: str, common: dict[str, Any], **more: Any) -> None:
        self.failures.append(reason)
        self.table.append(**common, **more, metric="check", status="failed", reason=reason)

    def audit(self, result: PassResult, common: dict[str, Any]) -> dict[Stage, bool]:
        """Compare what every kernel call returned with another implementation; whether each stage's results hold."""
        matched: dict[Stage, bool] = {}
        for stage, calls in result.calls.items():
            if stage not in result.labels:
                continue
            label = result.labels[stage]
            auditor = self.pool.kernels(auditor_for(label))
            mismatches = audit_calls(calls, label, auditor, self.registry.kernels)
            matched[stage] = not mismatches
            for mismatch in mismatches:
                reason = f"DP{common['level']}, stage {stage}: {mismatch.reason}"
                self.fail(
                    reason, common, stage=str(stage), kernel=mismatch.kernel, backend_ran=label, output_matched=False
                )
        if all(matched.values()):
            audit_proofs(result.blocks)
        return matched

    def record_throughput(
        self, common: dict[str, Any], whole: PassResult, after: PassResult, matched: dict[Stage, bool]
    ) -> None:
        domain = "wall" if self.config.mode == "live" else "modelled"
        holds = all(matched.values())
        for metric, result in (("tps_with_admit", whole), ("tps", after)):
            self.table.append(
                **common,
                metric=metric,
                value=result.transactions / (result.duration_ns / 1e9),
                unit="tx/s",
                time_domain=domain,
                output_matched=holds,
            )
            self.table.append(
                **common, metric=f"{metric}_duration", value=result.duration_ns, unit="ns", time_domain=domain
            )
        if whole.overhead_ns >= 0:
            busy = int((whole.spans_end - whole.spans_start).sum())
            share = whole.overhead_ns / (busy + whole.overhead_ns)
            self.table.append(**common, metric="harness_overhead", value=share, unit="1", time_domain="wall")

    def record_blocks(
        self,
        common: dict[str, Any],
        plan: LevelPlan,
        result: PassResult,
        ordered: OrderedBlocks,
        matched: dict[Stage, bool],
    ) -> None:
        """Per block: when each stage worked on it, where the kernels spent their time, and its two latencies."""
        domain = "wall" if self.config.mode == "live" else "modelled"
        count = len(result.blocks)
        blocks = np.arange(count)
        requested = self.backends_of(plan)
        for column, stage in enumerate(result.stages):
            label = result.labels.get(stage)
            busy = [block.spans[stage].busy_ns for block in result.blocks]
            where = {
                **common,
                "stage": str(stage),
                "backend_requested": requested.get(stage) if label else None,
                "backend_ran": label,
                "device": label.partition(":")[2] if label else None,
                "unit": "ns",
            }
            matching = {"output_matched": matched.get(stage)} if label else {}
            self.table.extend(count, **where, **matching, block=blocks, metric="busy", value=busy, time_domain="wall")
            start = result.spans_start[:, column] - result.spans_start.min()
            self.table.extend(count, **where, block=blocks, metric="start", value=start, time_domain=domain)
            self.table.extend(
                count,
                **where,
                block=blocks,
                metric="end",
                value=result.spans_end[:, column] - result.spans_start.min(),
                time_domain=domain,
            )
            waits = [block.spans[stage].wait_ns for block in result.blocks]
            if any(waits):
                self.table.extend(count, **where, block=blocks, metric="wait", value=waits, time_domain="wall")
            for index, block in enumerate(result.blocks):
                self.record_calls(where, index, block.spans[stage].calls)
        self.record_latencies(common, plan, result, ordered, domain)
        for metric, values in (
            ("transactions", [block.transactions for block in result.blocks]),
            ("gas_used", [block.gas_used for block in result.blocks]),
            ("refused", [block.refused for block in result.blocks]),
        ):
            self.table.extend(count, **common, block=blocks, metric=metric, value=values, unit="1")

    def record_calls(self, where: dict[str, Any], block: int, calls: Sequence[Any]) -> None:
        kernels = sorted({call.kernel for call in calls})
        for kernel in kernels:
            mine = [call for call in calls if call.kernel == kernel]
            row = {**where, "kernel": kernel, "block": block, "time_domain": "wall"}
            self.table.append(**row, metric="kernel_compute", value=sum(call.compute_ns for call in mine))
            self.table.append(**row, metric="kernel_transfer", value=sum(call.transfer_ns for call in mine))

    def record_latencies(
        self, common: dict[str, Any], plan: LevelPlan, result: PassResult, ordered: OrderedBlocks, domain: str
    ) -> None:
        """From a block's entry into the pipeline to its results being visible, and to the block being final."""
        count = len(result.blocks)
        blocks = np.arange(count)
        consensus = (ordered.ordered - ordered.proposed)[:count] * 1e9
        self.table.extend(
            count, **common, block=blocks, metric="latency_order", value=consensus, unit="ns", time_domain="modelled"
        )
        if Stage.FLUSH not in result.stages:
            return
        entered = result.spans_start[:, 0]
        final = result.spans_end[:, result.stages.index(Stage.FLUSH)] - entered
        executed = result.spans_end[:, result.stages.index(Stage.EXECUTE)] - entered
        # Without pipelining nobody is shown a result before the block that it is in is final.
        visible = executed if plan.has("pipelining") else final
        for metric, values in (("latency_visible", visible), ("latency_final", final)):
            self.table.extend(count, **common, block=blocks, metric=metric, value=values, unit="ns", time_domain=domain)

    def compare_levels(self) -> None:
        """Every level must have led to the same roots, gas and block hashes, repetition by repetition."""
        outcomes = [outcome for outcome in self.outcomes.values() if outcome.block_hashes]
        if not outcomes:
            return
        reference = outcomes[0]
        for outcome in outcomes[1:]:
            for what in ("state_roots", "receipts_roots", "gas_used", "block_hashes", "transactions"):
                if getattr(outcome, what) != getattr(reference, what):
                    number, first = outcome.plan.level.number, reference.plan.level.number
                    self.fail(
                        f"DP{number} and DP{first} lead to different {what.replace('_', ' ')}",
                        {"workload": self.spec.name, "level": number},
                    )

    def record_mechanisms(self) -> None:
        """Which mechanisms were on at each level, and why the others were not; the same for stages that did not run."""
        summaries = {mechanism.name: mechanism for mechanism in MECHANISMS}
        for number, outcome in self.outcomes.items():
            common = {"workload": self.spec.name, "level": number}
            for name in summaries:
                if name in outcome.plan.on:
                    self.table.append(**common, metric=f"mechanism:{name}", value=1, unit="1")
                elif name in outcome.plan.skipped:
                    reason = outcome.plan.skipped[name]
                    self.table.append(**common, metric=f"mechanism:{name}", status="skipped", reason=reason)
            if self.spec.not_executed:
                for stage in (Stage.PRELOAD, Stage.EXECUTE, Stage.FLUSH, Stage.PROVE):
                    self.table.append(
                        **common, stage=str(stage), metric="busy", status="skipped", reason=self.spec.not_executed
                    )


def run_receipts_root(receipts: Sequence[Receipts], kernels: KernelSet) -> bytes:
    """The root over all receipts of a run as if they were one block's: gas accumulates over the whole run.

    A block's own receipts root depends on where blocks are cut; this one does not, so it compares across block sizes.
    """
    gas = np.concatenate([part.gas_used for part in receipts])
    starts = np.cumsum([0] + [part.count for part in receipts])
    data = [part.log_data for part in receipts]
    sizes = np.cumsum([0] + [int(part.offsets[-1]) for part in data])
    whole = Receipts(
        type=np.concatenate([part.type for part in receipts]),
        status=np.concatenate([part.status for part in receipts]),
        gas_used=gas,
        cumulative_gas=np.cumsum(gas, dtype=np.uint64),
        log_tx=np.concatenate([part.log_tx + start for part, start in zip(receipts, starts, strict=False)]),
        log_address=np.concatenate([part.log_address for part in receipts]),
        log_topic_count=np.concatenate([part.log_topic_count for part in receipts]),
        log_topics=np.concatenate([part.log_topics for part in receipts]),
        log_data=Ragged(
            np.concatenate([part.data[: part.offsets[-1]] for part in data]),
            np.concatenate([np.zeros(1, np.int64)] + [p.offsets[1:] + s for p, s in zip(data, sizes, strict=False)]),
        ),
    )
    return ordered_root(encode_receipts(whole, logs_bloom(whole, kernels)), kernels)


def measure_run(
    config: RunConfig, registry: Registry, table: SampleTable, progress: Callable[[str], None] = lambda _: None
) -> RunOutcome:
    """Run what ``config`` asks for and append every sample to ``table``.

    Raises UsageError for what cannot be run; a level that does not hold is a failed row and a line in ``failures``.
    """
    with tempfile.TemporaryDirectory(prefix="chaindp-") as scratch:
        return _Run(config, registry, table, progress, Path(scratch)).execute()
