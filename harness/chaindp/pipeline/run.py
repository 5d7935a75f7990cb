"""One run: every level, every repetition, audited, into one results table."""

from __future__ import annotations

import gc
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from chaindp.backend import Platform
from chaindp.chain.consensus import FixedSlotParams, OrderedBlocks, order_in_fixed_slots
from chaindp.chain.state import State
from chaindp.chain.store import Store
from chaindp.errors import ChaindpError, UsageError
from chaindp.kernels.kernelset import KernelSet
from chaindp.pipeline.audit import audit_calls, audit_proofs, audit_statements, auditor_for
from chaindp.pipeline.backends import (
    DEFAULT,
    BackendPool,
    check_mode,
    left_out,
    parse_backends,
    stage_backends,
    stand_ins,
)
from chaindp.pipeline.block import Stage
from chaindp.pipeline.config import RunConfig
from chaindp.pipeline.levels import HETEROGENEOUS, MECHANISMS, LevelPlan, plan_level
from chaindp.pipeline.observed import Observed, PassKind
from chaindp.pipeline.passes import GenesisStore, PassResult, run_pass
from chaindp.pipeline.proofs import ProofAudit
from chaindp.pipeline.record import Recorder, record_machine, record_platform
from chaindp.pipeline.replan import replan
from chaindp.pipeline.roots import Roots, roots_of, run_receipts_root
from chaindp.pipeline.stages import ChainParams
from chaindp.pipeline.work import Machine, this_machine
from chaindp.pipeline.workload_digest import workload_digest
from chaindp.plugins import Registry, select
from chaindp.results.store import process_alive
from chaindp.results.table import SampleTable
from chaindp.workload import CHAIN_ID, BlockInput, Workload, WorkloadParams, WorkloadSpec

__all__ = ["LevelOutcome", "Observed", "Roots", "RunConfig", "RunOutcome", "measure_run"]


SCRATCH = "chaindp-run-"

AGAIN = -1
"""Among the levels of a repetition, the second pass of the lowest one."""

KEEP_BYTES = 1 << 30
"""Arguments and results kept for the audit of a stage's pass; calls beyond are not audited, and the table says so."""


@dataclass(slots=True)
class LevelOutcome:
    """What a level led to: by repetition, of the pass with ``admit`` in it. ``failures`` says what does not hold.

    platforms: around the simulated devices of each stage, by kernel
    checked:   by stage, the backends that were in the devices' places when the model was checked
    """

    plan: LevelPlan
    roots: dict[int, Roots] = field(default_factory=dict)
    receipts_roots: dict[int, bytes] = field(default_factory=dict)
    backends: dict[Stage, str] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    platforms: dict[Stage, dict[str, Platform]] = field(default_factory=dict)
    checked: dict[Stage, str] = field(default_factory=dict)


@dataclass(slots=True)
class RunOutcome:
    """The samples, what each level led to, and every reason why the run does not hold.

    checked_on: in model mode, the machine that the model was checked on, which is this one
    notes:      what was asked for and left out, each in a line with its reason
    """

    table: SampleTable
    levels: dict[int, LevelOutcome]
    failures: list[str]
    consensus: dict[str, object]
    workload_digest: str
    checked_on: Machine | None = None
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Check:
    """A pass scheduled on this machine beside a live one, over the same blocks.

    error:  how far the modelled throughput is above the live one's, as a share of the latter
    roots:  what each led to, by what to call it
    labels: the backends of both, by stage
    """

    error: float
    roots: dict[str, Roots]
    labels: dict[Stage, str]


@dataclass(slots=True)
class _Samples:
    """Both passes of one level and repetition, and what the audits found.

    checks: in model mode, of the model, by whether ``admit`` was done beforehand
    again:  at the lowest level, a second pass after ``admit`` over the same blocks: how far it is from the first is
            this machine's noise
    """

    whole: PassResult
    after: PassResult
    checks: dict[bool, _Check]
    matched: dict[str, dict[Stage, bool]]
    problems: list[str]
    again: PassResult | None = None


@dataclass(frozen=True, slots=True)
class _Stream:
    """One stream of blocks and when each of them is ordered."""

    workload: Workload
    inputs: list[BlockInput]
    ordered: OrderedBlocks


class _Run:
    """The state of one run. Methods in the order in which they are called."""

    def __init__(
        self,
        config: RunConfig,
        registry: Registry,
        table: SampleTable,
        progress: Callable[[str], None],
        scratch: Path,
        observe: Callable[[Observed], None] | None = None,
    ) -> None:
        self.observe = observe or (lambda _: None)
        self.config = config
        self.registry = registry
        self.table = table
        self.progress = progress
        self.scratch = scratch
        self.spec: WorkloadSpec = select(registry.workloads, config.workload, "workload", registry.broken)
        self.asked_for = parse_backends(config.backends, registry, proves=self.spec.proves)
        check_mode(config.mode, self.asked_for, registry, config.platform)
        top = max(config.levels)
        plans = [plan_level(number, config.ablate, self.asked_for.values(), top) for number in config.levels]
        self.outcomes = {plan.level.number: LevelOutcome(plan) for plan in plans}
        self.here = this_machine() if config.mode == "model" else None
        self.pool = BackendPool(registry, config.threads, config.platform)
        self.params = ChainParams(chain_id=CHAIN_ID)
        self.failures: list[str] = []
        self.notes: list[str] = []
        self.verified = ProofAudit()
        self.record_left_out()

    def execute(self) -> RunOutcome:
        """Everything from the genesis to the last audit."""
        frozen = gc.get_freeze_count()
        try:
            kernels = self.pool.kernels(DEFAULT)
            for selector in set(self.asked_for.values()):
                self.pool.backend(selector)
            self.progress("building the genesis")
            first = self.workload(0, kernels)
            genesis = self.build_genesis(first, kernels)
            digest = workload_digest(first)
            self.warm_up(kernels, genesis)
            # Each pass begins with a collection, which then goes over what came later only, and not over the genesis.
            gc.collect()
            gc.freeze()
            rng = np.random.Generator(np.random.PCG64([self.config.seed, 0x6F72646572]))
            lowest = min(self.outcomes)
            for repetition in range(self.config.repeat):
                # Each pass has transactions that no backend has seen before.
                streams = (self.stream(2 * repetition, kernels), self.stream(2 * repetition + 1, kernels))
                samples: dict[int, _Samples] = {}
                again: PassResult | None = None
                # In a new order each time, so that a slow spell of the machine does not always fall on the same level.
                for number in self.order(rng):
                    level = lowest if number == AGAIN else number
                    if self.outcomes[level].failures:
                        continue
                    self.progress(f"repetition {repetition + 1} of {self.config.repeat}, DP{level}")
                    if number == AGAIN:
                        again = self.measure_again(level, repetition, streams, genesis)
                    else:
                        self.measure(number, repetition, streams, genesis, bool(rng.integers(2)), samples)
                if lowest in samples:
                    samples[lowest].again = again
                self.compare(repetition, streams, genesis, samples)
                for number, sample in sorted(samples.items()):
                    self.record(number, repetition, sample, streams[0].ordered)
            self.record_mechanisms()
            self.record_model()
            consensus: dict[str, object] = {
                "protocol": "fixed slots, one proposer, two vote rounds",
                "slot_s": self.config.slot_s,
                "network": asdict(self.config.network),
                "messages": streams[0].ordered.messages,
                "bytes_sent": streams[0].ordered.bytes_sent,
            }
            return RunOutcome(self.table, self.outcomes, self.failures, consensus, digest, self.here, self.notes)
        finally:
            if not frozen:
                gc.unfreeze()
            self.pool.close()

    def order(self, rng: np.random.Generator) -> list[int]:
        """The levels of a repetition, and AGAIN among them, in an order of their own."""
        order: list[int] = rng.permutation([*sorted(self.outcomes), AGAIN]).tolist()
        if self.outcomes[min(self.outcomes)].plan.has(HETEROGENEOUS):
            # The second pass of a backend that was asked for is over blocks that it has seen: it must not be the first.
            order.sort(key=AGAIN.__eq__)
        return order

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

    def stream(self, repetition: int, kernels: KernelSet, blocks: int | None = None) -> _Stream:
        workload = self.workload(repetition, kernels)
        inputs = list(islice(workload.blocks(), blocks))
        if not inputs:
            raise UsageError(f"workload {self.spec.name} has no blocks for these parameters")
        sizes = [len(block.transactions.data) for block in inputs]
        params = FixedSlotParams(slot_s=self.config.slot_s)
        return _Stream(workload, inputs, order_in_fixed_slots(sizes, self.config.network, params, self.config.seed))

    def build_genesis(self, workload: Workload, kernels: KernelSet) -> GenesisStore:
        genesis = workload.genesis()
        if genesis is None:
            return GenesisStore(None, b"")
        state = State.genesis(genesis, kernels)
        root, nodes = state.commit_root(kernels)
        path = self.scratch / "genesis"
        with Store.create(path) as store:
            store.commit(0, root, nodes.digests, nodes.encodings, nodes.codes)
        return GenesisStore(path, root)

    def warm_up(self, kernels: KernelSet, genesis: GenesisStore) -> None:
        """One unmeasured pass a level, over a block that no measured pass has, compiles every kernel."""
        stream = self.stream(2 * self.config.repeat, kernels, blocks=1)
        for number, outcome in self.outcomes.items():
            self.progress(f"warming up DP{number}")
            with self.blame(number, "warm-up"):
                backends = stage_backends(outcome.plan, self.asked_for)
                for selector in {*backends.values(), *stand_ins(backends, self.registry).values()}:
                    self.pool.backend(selector).warm_up(sorted(self.pool.kernels(selector).supported))
                self.one_pass(outcome.plan, stream, genesis, admit_first=False)

    @contextmanager
    def blame(self, number: int, when: str, *, stand_in: bool = False) -> Iterator[None]:
        """What goes wrong within is a failed row of that level, and the run goes on with the other levels.

        A wrong result of a backend that was asked for can lead the chain anywhere, so there every exception is taken to
        be that; without one, only errors that chaindp raises on purpose are, and others are defects that must show.

        stand_in: whether ``cpu`` is in the place of simulated devices, so that these are not to blame
        """
        try:
            yield
        except ChaindpError as error:
            self.fail(number, f"{when}: {error}")
        except Exception as error:
            asked_for = stand_ins(self.asked_for, self.registry) if stand_in else self.asked_for
            names = sorted({asked_for[stage] for stage, name in self.asked_for.items() if asked_for[stage] == name})
            if not names or not self.outcomes[number].plan.has(HETEROGENEOUS):
                raise
            self.fail(number, f"{when}, with {', '.join(names)}: {type(error).__name__}: {error}")

    def fail(self, number: int, reason: str, **fields: Any) -> None:
        reason = f"DP{number}, {' '.join(reason.split())}"
        if reason not in self.failures:
            self.failures.append(reason)
            self.outcomes[number].failures.append(reason)
        common = {"workload": self.spec.name, "level": number}
        self.table.append(**common, **fields, metric="check", status="failed", reason=reason)

    def one_pass(
        self,
        plan: LevelPlan,
        stream: _Stream,
        genesis: GenesisStore,
        *,
        admit_first: bool,
        keep: int = 0,
        kind: PassKind = PassKind.RECORDED,
        live: bool = False,
    ) -> PassResult:
        """One pass of a level, in the run's mode.

        kind: of a CHECK, ``cpu`` is in the place of simulated devices, and it runs on this machine: by a schedule, or
              with ``live`` in earnest
        """
        backends = stage_backends(plan, self.asked_for)
        check = kind is PassKind.CHECK
        stated = self.here if check else self.config.machine
        with tempfile.TemporaryDirectory(dir=self.scratch) as scratch:
            return run_pass(
                plan=plan,
                workload=stream.workload,
                inputs=stream.inputs,
                ordered=stream.ordered,
                genesis=genesis,
                params=self.params,
                pool=self.pool,
                backends=stand_ins(backends, self.registry) if check else backends,
                scratch=Path(scratch),
                admit_first=admit_first,
                machine=None if live else stated,
                threads=self.config.threads,
                keep=keep,
                proves=self.spec.proves,
            )

    def measure(
        self,
        number: int,
        repetition: int,
        streams: tuple[_Stream, _Stream],
        genesis: GenesisStore,
        admitted_first: bool,
        samples: dict[int, _Samples],
    ) -> None:
        """The two passes of a level and repetition: with ``admit`` in the pipeline, and with it done beforehand.

        In model mode each is checked over the same blocks. Where the level is on ``cpu`` alone, it is scheduled again
        for this machine, and a live pass takes turns with it. Else two more follow: what is recorded must be of blocks
        that a backend that was asked for has not seen, and both sides of the check of blocks that it has.
        """
        plan = self.outcomes[number].plan
        results: dict[bool, PassResult] = {}
        matched: dict[str, dict[Stage, bool]] = {}
        problems: list[str] = []
        checks: dict[bool, _Check] = {}
        for admit_first in (True, False) if admitted_first else (False, True):
            name = "after admit" if admit_first else "with admit"
            stream = streams[admit_first]
            sides: dict[bool, PassResult] = {}
            shares = self.here is not None and not plan.has(HETEROGENEOUS)
            if shares and self.live_first(number, repetition):
                self.check_pass(number, repetition, stream, genesis, admit_first, sides, live=True, keep=KEEP_BYTES)
            with self.blame(number, f"repetition {repetition}"):
                result = self.one_pass(plan, stream, genesis, admit_first=admit_first, keep=KEEP_BYTES)
                self.observed(number, repetition, admit_first, PassKind.RECORDED, result)
                if shares:
                    sides[False] = replan(result, machine=self.here)
                    self.observed(number, repetition, admit_first, PassKind.CHECK, sides[False])
                matched[name], wrong = self.audit(result)
                problems += [f"repetition {repetition}, {name}: {problem}" for problem in wrong]
                if not wrong:
                    audit_proofs(result.blocks)
                    self.audit_statements(result, stream.workload)
                results[admit_first] = result
            if admit_first not in results:
                return
            if self.here is None:
                continue
            for live in (True, False) if self.live_first(number, repetition) else (False, True):
                if live not in sides:
                    keep = KEEP_BYTES if shares else 0
                    self.check_pass(number, repetition, stream, genesis, admit_first, sides, live=live, keep=keep)
            if len(sides) == 2:
                stand_in = self.simulates(plan)
                roots = {_check_name(live, stand_in): roots_of(side) for live, side in sides.items()}
                error = sides[False].tps / sides[True].tps - 1
                checks[admit_first] = _Check(error, roots, sides[True].labels)
        samples[number] = _Samples(results[False], results[True], checks, matched, problems)

    @staticmethod
    def live_first(number: int, repetition: int) -> bool:
        """Whether a check begins with its live pass: in turn, for neither must always find what the other left."""
        return (repetition + number) % 2 == 1

    def check_pass(
        self,
        number: int,
        repetition: int,
        stream: _Stream,
        genesis: GenesisStore,
        admit_first: bool,
        sides: dict[bool, PassResult],
        *,
        live: bool,
        keep: int,
    ) -> None:
        """One side of the check of a level, into ``sides``, unless it fails: scheduled on this machine, or live.

        With ``cpu`` in the place of simulated devices. ``keep``: as in the other side, so that both use memory alike.
        """
        plan = self.outcomes[number].plan
        stand_in = self.simulates(plan)
        with self.blame(number, f"repetition {repetition}, {_check_name(live, stand_in)}", stand_in=stand_in):
            kind = PassKind.CHECK
            result = self.one_pass(plan, stream, genesis, admit_first=admit_first, keep=keep, kind=kind, live=live)
            self.observed(number, repetition, admit_first, kind, result, stand_in=stand_in)
            sides[live] = result

    def observed(
        self,
        number: int,
        repetition: int,
        admit_first: bool,
        kind: PassKind,
        result: PassResult,
        *,
        stand_in: bool = False,
    ) -> None:
        """Hand out a pass; a live one has no resources that it was scheduled on."""
        live = result.resources is None
        self.observe(Observed(number, repetition, admit_first, kind, live, stand_in, result))

    def simulates(self, plan: LevelPlan) -> bool:
        """Whether a stage of this level runs on a simulated device."""
        backends = stage_backends(plan, self.asked_for)
        return stand_ins(backends, self.registry) != backends

    def measure_again(
        self, number: int, repetition: int, streams: tuple[_Stream, _Stream], genesis: GenesisStore
    ) -> PassResult | None:
        """A second pass after ``admit`` of a level, audited like the first; None where it fails."""
        with self.blame(number, f"repetition {repetition}, again"):
            result = self.one_pass(
                self.outcomes[number].plan, streams[1], genesis, admit_first=True, keep=KEEP_BYTES, kind=PassKind.AGAIN
            )
            self.observed(number, repetition, True, PassKind.AGAIN, result)
            _, wrong = self.audit(result)
            for problem in wrong:
                self.fail(number, f"repetition {repetition}, again: {problem}", repetition=repetition)
            return None if wrong else result
        return None

    def audit(self, result: PassResult) -> tuple[dict[Stage, bool], list[str]]:
        """Compare what every kernel call returned with another implementation: which stages hold, and what is wrong."""
        matched: dict[Stage, bool] = {}
        problems: list[str] = []
        for stage, calls in result.calls.items():
            label = result.labels[stage]
            auditor = self.pool.kernels(auditor_for(label))
            mismatches = audit_calls(calls, label, auditor, self.registry.kernels)
            matched[stage] = not mismatches
            problems += [f"stage {stage}: {mismatch.reason}" for mismatch in mismatches]
            strangers = {call.backend for call in calls} - {label}
            if strangers:
                matched[stage] = False
                problems.append(f"stage {stage}: {label} was asked for, {', '.join(strangers)} ran")
        return matched, problems

    def audit_statements(self, result: PassResult, workload: Workload) -> None:
        """Verify the STARKs of a pass; what they were hashed with is not what the verifier hashes with."""
        if self.spec.proves:
            kernels = self.pool.kernels(auditor_for(result.labels[Stage.PROVE]))
            audit_statements(result.blocks, workload, self.verified, kernels)

    def compare(
        self,
        repetition: int,
        streams: tuple[_Stream, _Stream],
        genesis: GenesisStore,
        samples: dict[int, _Samples],
    ) -> None:
        """Hold every level's roots against the baseline's: DP0's own, or those of a pass of it that is not measured."""
        if not samples:
            return
        if 0 in self.outcomes and 0 not in samples:
            for sample in samples.values():
                sample.problems.append(f"repetition {repetition}: DP0 failed, so there is nothing to compare with")
            return
        if 0 in samples:
            reference = (roots_of(samples[0].whole), roots_of(samples[0].after))
        else:
            self.progress(f"repetition {repetition + 1} of {self.config.repeat}, roots of DP0 to compare with")
            baseline = plan_level(0, ())
            passes = (self.one_pass(baseline, stream, genesis, admit_first=False) for stream in streams)
            first, second = (roots_of(result) for result in passes)
            reference = (first, second)
        for sample in samples.values():
            found = [("", roots_of(sample.whole), reference[0]), ("", roots_of(sample.after), reference[1])]
            if sample.again is not None:
                found.append(("again", roots_of(sample.again), reference[1]))
            for admit_first, check in sample.checks.items():
                found += [(name, roots, reference[admit_first]) for name, roots in check.roots.items()]
            for name, roots, expected in found:
                differing = [part for part in Roots.__slots__ if getattr(roots, part) != getattr(expected, part)]
                if differing:
                    what = ", ".join(part.replace("_", " ") for part in differing)
                    when = f"repetition {repetition}{f', {name}' if name else ''}"
                    sample.problems.append(f"{when}: other {what} than DP0")

    def record(self, number: int, repetition: int, sample: _Samples, ordered: OrderedBlocks) -> None:
        """Append the samples of a level and repetition; where anything is wrong with it, as failed rows."""
        outcome = self.outcomes[number]
        common = {"workload": self.spec.name, "level": number, "repetition": repetition}
        for problem in sample.problems:
            self.fail(number, problem, repetition=repetition, output_matched=False)
        holds = {} if not sample.problems else {"status": "failed", "reason": sample.problems[0]}
        requested = stage_backends(outcome.plan, self.asked_for)
        recorder = Recorder(self.table, common | holds, self.config.mode, outcome.plan.has("pipelining"), requested)
        outcome.platforms = sample.whole.platforms
        recorder.throughput("tps_with_admit", sample.whole, sample.matched["with admit"])
        recorder.throughput("tps", sample.after, sample.matched["after admit"])
        if sample.again is not None:
            recorder.throughput("tps_again", sample.again, {})
        for admit_first, check in sample.checks.items():
            outcome.checked = {
                stage: label
                for stage, label in check.labels.items()
                if label != sample.whole.labels[stage] and stage is not Stage.EXECUTE
            }
            metric = "model_error" if admit_first else "model_error_with_admit"
            recorder.model_error(metric, check.error, outcome.checked)
        recorder.blocks(sample.whole, sample.matched["with admit"])
        recorder.stages_after_admit(sample.after, sample.matched["after admit"])
        recorder.latencies(sample.whole, ordered)
        recorder.simulators(sample.whole)
        outcome.backends = sample.whole.labels
        outcome.roots[repetition] = roots_of(sample.whole)
        receipts = [block.receipts for block in sample.whole.blocks if block.receipts is not None]
        if receipts:
            outcome.receipts_roots[repetition] = run_receipts_root(receipts, self.pool.kernels(DEFAULT))

    def record_model(self) -> None:
        """What the schedule of every level stands on: the modelled host, and the platforms of simulated devices."""
        machine = self.config.machine
        if machine is None:
            return
        for number, outcome in self.outcomes.items():
            common = {"workload": self.spec.name, "level": number}
            record_machine(self.table, common, "model", machine)
            if self.here is not None:
                record_machine(self.table, common, "model_check", self.here)
            requested = stage_backends(outcome.plan, self.asked_for)
            for stage, platforms in outcome.platforms.items():
                ran = {"backend_requested": requested[stage], "backend_ran": outcome.backends[stage]}
                for kernel, platform in platforms.items():
                    where = {"stage": str(stage), "kernel": kernel} | ran
                    record_platform(self.table, common | where, platform)

    def record_left_out(self) -> None:
        """Whether a backend that was asked for does not prove because this workload's proofs take more than it has."""
        found = left_out(self.config.backends, self.registry, self.asked_for)
        if found is not None:
            selector, reason = found
            self.notes.append(reason)
            where = {"workload": self.spec.name, "stage": str(Stage.PROVE), "backend_requested": selector}
            self.table.append(**where, metric="backend", status="skipped", reason=reason)

    def record_mechanisms(self) -> None:
        """Which mechanisms were on at each level, and why the others were not; the same for stages that did not run."""
        for number, outcome in self.outcomes.items():
            common = {"workload": self.spec.name, "level": number}
            for mechanism in MECHANISMS:
                metric = f"mechanism:{mechanism.name}"
                if mechanism.name in outcome.plan.on:
                    self.table.append(**common, metric=metric, value=1, unit="1")
                elif mechanism.name in outcome.plan.skipped:
                    reason = outcome.plan.skipped[mechanism.name]
                    self.table.append(**common, metric=metric, status="skipped", reason=reason)
            if self.spec.not_executed:
                for stage in (Stage.PRELOAD, Stage.EXECUTE, Stage.FLUSH, Stage.PROVE):
                    self.table.append(
                        **common, stage=str(stage), metric="busy", status="skipped", reason=self.spec.not_executed
                    )


def _check_name(live: bool, stand_in: bool) -> str:
    """What to call a side of the check of the model."""
    return f"{'live' if live else 'modelled'} check{f' with {DEFAULT}' if stand_in else ''}"


def measure_run(
    config: RunConfig,
    registry: Registry,
    table: SampleTable,
    progress: Callable[[str], None] = lambda _: None,
    observe: Callable[[Observed], None] | None = None,
) -> RunOutcome:
    """Run what ``config`` asks for and append every sample to ``table``; ``observe`` gets every pass
    over the blocks of a repetition (``Observed.kind`` says what for), but not those that warm up, nor those of a DP0
    that is not among the levels.

    Raises UsageError for what cannot be run; a level that does not hold is a failed row and a line in ``failures``.
    """
    _remove_stale_scratch()
    with tempfile.TemporaryDirectory(prefix=f"{SCRATCH}{os.getpid()}-") as scratch:
        return _Run(config, registry, table, progress, Path(scratch), observe).execute()


def _remove_stale_scratch() -> None:
    """Remove the stores that runs which were killed left in the folder for temporary files."""
    for folder in Path(tempfile.gettempdir()).glob(f"{SCRATCH}*-*"):
        pid = folder.name.removeprefix(SCRATCH).partition("-")[0]
        if pid.isdecimal() and not process_alive(int(pid)):
            shutil.rmtree(folder, ignore_errors=True)
