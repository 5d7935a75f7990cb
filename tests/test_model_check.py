"""The check of the model: which passes a run makes, over what and on which machine, and what comes of them."""

from __future__ import annotations

import hashlib
import itertools
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

import chaindp_cpu
from chaindp.backend import Backend, BackendOptions, BackendSpec, Capability
from chaindp.errors import CheckFailed
from chaindp.pipeline import run as run_module
from chaindp.pipeline.block import Stage
from chaindp.pipeline.observed import Observed, PassKind
from chaindp.pipeline.passes import PassResult
from chaindp.pipeline.replan import replan
from chaindp.pipeline.run import RunConfig, measure_run
from chaindp.pipeline.work import Machine, this_machine
from chaindp.plugins import Registry, load_plugins
from chaindp.results import summary
from chaindp.results.model_error import ERRORS
from chaindp.results.table import SampleTable
from simulated_site import SPEC

CPU = next(spec for spec in chaindp_cpu.chaindp_backends() if spec.name == "cpu")
REPEAT = 2


class Memo(Backend):
    """Remembers the roots of whole tries: how often it was asked for one that it knew already is in ``known_again``."""

    known_again = 0

    def __init__(self, options: BackendOptions) -> None:
        super().__init__("memo", options)
        self.cpu = CPU.factory(BackendOptions(threads=1))
        self.known: dict[bytes, np.ndarray] = {}

    def keccak256(self, *args: Any) -> Any:
        return self.cpu.kernel("keccak256")(*args)

    def trie_hash(self, *args: Any) -> np.ndarray:
        key = hashlib.sha256(b"".join(part.tobytes() for part in args)).digest()
        # Tries of a node or two may well be the same in every stream.
        Memo.known_again += key in self.known and args[0].nbytes > 5000
        self.known.setdefault(key, self.cpu.kernel("trie_hash")(*args))
        return self.known[key].copy()


MEMO = BackendSpec(
    name="memo",
    kind="other",
    factory=Memo,
    capabilities={"keccak256": Capability(), "trie_hash": Capability()},
    summary="remembers answers",
)


@pytest.fixture(scope="module")
def registry() -> Registry:
    """``cpu``, ``sim`` and ``memo``."""
    found = load_plugins()
    providers = {**found.providers, ("backend", "sim"): "x", ("backend", "memo"): "x"}
    backends = {"cpu": found.backends["cpu"], "sim": SPEC, "memo": MEMO}
    return replace(found, backends=backends, providers=providers, plugins=())


def config(**fields: Any) -> RunConfig:
    small = {"txs": 300, "block_txs": 100, "accounts": 500, "repeat": 1, "slot_s": 0.001, "threads": 2, "mode": "model"}
    return RunConfig(**small | fields)


class Run:
    """A run in this process: its table, its failures and all passes that it handed out."""

    def __init__(self, registry: Registry, **fields: Any) -> None:
        self.passes: list[Observed] = []
        self.config = config(**fields)
        self.outcome = measure_run(self.config, registry, SampleTable("run-1"), observe=self.passes.append)
        self.failures = self.outcome.failures
        self.frame = self.outcome.table.frame()

    def of(self, level: int, repetition: int, kind: PassKind, *, admit_first: bool, live: bool = False) -> PassResult:
        """The one pass that is all of this."""
        wanted = (level, repetition, kind, admit_first, live)
        (found,) = (
            one.result
            for one in self.passes
            if (one.level, one.repetition, one.kind, one.admit_first, one.live) == wanted
        )
        return found

    def value(self, metric: str, **where: int) -> float:
        """The one sample of a metric."""
        rows = self.frame[self.frame["metric"] == metric]
        for name, value in where.items():
            rows = rows[rows[name] == value]
        (found,) = rows["value"]
        return float(found)


@pytest.fixture(scope="module")
def ladder_run(registry: Registry) -> Run:
    """Every level, a simulated device at the highest, on a stated host that is none like this one."""
    stated = {"cores": 64, "lock": False}
    found = Run(registry, levels=(0, 1, 2, 3, 4, 5), repeat=REPEAT, backends=("merkleize=sim",), **stated)
    assert found.failures == []
    return found


EVERY = [
    (level, repetition, admit_first)
    for level, repetition, admit_first in itertools.product(range(6), range(REPEAT), (True, False))
]


@pytest.mark.parametrize(
    ("levels", "mode"), [pytest.param((4, 5), "model", marks=pytest.mark.slow), ((5,), "model"), ((5,), "live")]
)
def test_what_is_recorded_is_of_blocks_that_a_backend_has_not_seen(
    registry: Registry, levels: tuple[int, ...], mode: str
) -> None:
    """With ``levels`` 5 alone, the second pass for the noise floor is over the same blocks on this backend, too."""
    seen: list[tuple[PassKind, int]] = []

    def observe(one: Observed) -> None:
        if one.level == 5:
            seen.append((one.kind, Memo.known_again))
        Memo.known_again = 0

    Memo.known_again = 0
    asked = config(levels=levels, repeat=2, mode=mode, backends=("merkleize=memo",), txs=200)
    assert measure_run(asked, registry, SampleTable("run-1"), observe=observe).failures == []
    assert [again for kind, again in seen if kind is PassKind.RECORDED] == [0] * 4
    others = [again for kind, again in seen if kind is not PassKind.RECORDED]
    assert all(others), "otherwise this backend remembers nothing, and the test shows nothing"
    assert bool(others) == (mode == "model" or len(levels) == 1)


def test_the_error_is_of_this_machine_whatever_host_is_stated(ladder_run: Run) -> None:
    here = this_machine()
    assert ladder_run.outcome.checked_on == here
    for level, repetition, admit_first in EVERY:
        where = (level, repetition, PassKind.CHECK)
        modelled = ladder_run.of(*where, admit_first=admit_first)
        live = ladder_run.of(*where, admit_first=admit_first, live=True)
        metric = ERRORS["tps" if admit_first else "tps_with_admit"]
        error = ladder_run.value(metric, level=level, repetition=repetition)
        assert error == modelled.tps / live.tps - 1
        assert replan(modelled, machine=here).tps == modelled.tps
        assert modelled.resources is not None
        assert (modelled.resources.cores, modelled.resources.lock) == (here.cores, here.lock)
        assert modelled.labels == live.labels


def test_what_is_recorded_is_of_the_stated_host(ladder_run: Run) -> None:
    for level, repetition, admit_first in EVERY:
        recorded = ladder_run.of(level, repetition, PassKind.RECORDED, admit_first=admit_first)
        assert recorded.resources is not None
        assert (recorded.resources.cores, recorded.resources.lock) == (64, False)
        metric = "tps" if admit_first else "tps_with_admit"
        assert ladder_run.value(metric, level=level, repetition=repetition) == recorded.tps
    for metric, value in (("model_cores", 64), ("model_lock", 0)):
        assert ladder_run.value(metric, level=5) == value
    here = this_machine()
    for metric, value in (("model_check_cores", here.cores), ("model_check_lock", here.lock)):
        assert ladder_run.value(metric, level=5) == value


def test_model_and_live_pass_take_turns_in_every_level(ladder_run: Run) -> None:
    """Below DP5, the recorded pass is the model's side; at DP5, two more are with ``cpu`` in the device's place."""
    for level, repetition, admit_first in EVERY:
        order = [
            (one.kind, one.live)
            for one in ladder_run.passes
            if (one.level, one.repetition, one.admit_first) == (level, repetition, admit_first)
            and one.kind is not PassKind.AGAIN
        ]
        recorded, modelled, live = (PassKind.RECORDED, False), (PassKind.CHECK, False), (PassKind.CHECK, True)
        if level == 5:
            expected = [[recorded, modelled, live], [recorded, live, modelled]]
        else:
            expected = [[recorded, modelled, live], [live, recorded, modelled]]
        assert order == expected[(level + repetition) % 2]


def test_the_model_s_side_of_the_check_is_the_recorded_pass_on_cpu_alone(ladder_run: Run) -> None:
    for level, repetition, admit_first in EVERY:
        recorded = ladder_run.of(level, repetition, PassKind.RECORDED, admit_first=admit_first)
        modelled = ladder_run.of(level, repetition, PassKind.CHECK, admit_first=admit_first)
        shared = all(mine is its for mine, its in zip(modelled.blocks, recorded.blocks, strict=True))
        assert shared == (level < 5)


def test_the_modelled_duration_of_dp0_is_the_sum_of_its_spans(ladder_run: Run) -> None:
    for repetition, admit_first in itertools.product(range(REPEAT), (True, False)):
        result = ladder_run.of(0, repetition, PassKind.RECORDED, admit_first=admit_first)
        spent = sum(block.spans[stage].busy_ns for block in result.blocks for stage in result.stages)
        waited = int(result.wait_ns(Stage.ORDER).sum())
        # Every instant is rounded to a nanosecond.
        assert abs(result.duration_ns - spent - waited) <= 2 * len(result.blocks) * len(result.stages)


def test_the_share_of_the_harness_is_of_time_without_simulators(ladder_run: Run) -> None:
    frame = ladder_run.frame
    rows = frame[(frame["metric"] == "harness_overhead") & (frame["level"] == 5) & (frame["repetition"] == 0)]
    expected = []
    for admit_first in (False, True):
        result = ladder_run.of(5, 0, PassKind.RECORDED, admit_first=admit_first)
        spans = [span for block in result.blocks for span in block.spans.values()]
        spent = sum(span.end_ns - span.start_ns for span in spans)
        simulated = sum(call.wall_ns for span in spans for call in span.calls if call.simulated is not None)
        assert simulated > 0 and result.overhead_ns is not None
        expected.append(result.overhead_ns / (spent - simulated + result.overhead_ns))
    assert rows["value"].tolist() == pytest.approx(expected)


def test_the_range_of_the_error_is_in_the_ladder(ladder_run: Run) -> None:
    rungs = summary.ladder(ladder_run.frame).set_index("level")
    for level, metric in itertools.product(range(6), ERRORS.values()):
        values = [ladder_run.value(metric, level=level, repetition=repetition) for repetition in range(REPEAT)]
        found = [rungs[f"{metric}{part}"][level] for part in ("_low", "_high")]
        assert found == [min(values), max(values)]


@pytest.mark.parametrize("levels", [(0,), pytest.param((3,), marks=pytest.mark.slow)])
def test_the_wait_for_the_network_is_that_of_the_schedule(registry: Registry, levels: tuple[int]) -> None:
    """Blocks are ordered far apart, and a pass in model mode does not wait in earnest."""
    found = Run(registry, levels=levels, slot_s=1.0)
    assert found.failures == []
    rows = found.frame[found.frame["metric"].isin(["wait", "wait_after_admit"])]
    assert set(rows["time_domain"]) == {"modelled"}
    assert set(rows[rows["value"] > 0]["stage"]) == {"order"}
    result = found.of(levels[0], 0, PassKind.RECORDED, admit_first=True)
    # What the thread of order does not wait it works, and only the last block's later stages come after it.
    thread = [Stage.ORDER, Stage.PRELOAD, Stage.EXECUTE] if levels == (3,) else result.stages
    worked = sum(int(result.busy_ns(stage).sum()) for stage in thread)
    waited = int(result.wait_ns(Stage.ORDER).sum())
    through = int(result.end[-1, result.stages.index(thread[-1])])
    assert waited > 1e9
    assert worked + waited == pytest.approx(through, rel=0.05)
    (line,) = summary.explain(found.frame)
    assert "of the time is waiting for the next slot" in line


def test_an_explanation_names_the_device_that_bounds_a_level(registry: Registry, ladder_run: Run) -> None:
    slow = Run(registry, levels=(4, 5), backends=("merkleize=sim",), clock_mhz=0.002, link="none")
    lines = summary.explain(slow.frame, backends=False)
    assert "The device of sim takes most of merkleize, the longest stage" in lines[-1]
    assert "stages' time: merkleize on sim" in lines[-1]
    assert "device" not in lines[0]
    for line in summary.explain(ladder_run.frame, backends=False):
        assert "of the pass)" in line
    assert "The device of" not in summary.explain(ladder_run.frame, backends=False)[-1]


def test_roots_of_a_check_that_differ_say_which_pass(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    honest = run_module.roots_of

    def other(result: PassResult) -> Any:
        roots = honest(result)
        return roots if result.resources is not None else replace(roots, state_root=b"x" * 32)

    monkeypatch.setattr(run_module, "roots_of", other)
    found = Run(registry, levels=(0, 5), backends=("merkleize=sim",))
    assert "DP0, repetition 0, live check: other state root than DP0" in found.failures
    assert "DP5, repetition 0, live check with cpu: other state root than DP0" in found.failures
    assert len(found.failures) == 2


@pytest.mark.parametrize("error", [CheckFailed("no result"), ZeroDivisionError("none")])
def test_a_check_that_fails_says_which_pass_and_not_the_device(
    registry: Registry, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    honest = run_module.run_pass

    def fails(**fields: Any) -> PassResult:
        if fields["machine"] is None:
            raise error
        return honest(**fields)

    monkeypatch.setattr(run_module, "run_pass", fails)
    if isinstance(error, ZeroDivisionError):
        # No backend that was asked for took part in that pass: this is a defect, and no level's failure.
        with pytest.raises(ZeroDivisionError):
            Run(registry, levels=(5,), backends=("merkleize=sim",))
        return
    found = Run(registry, levels=(5,), backends=("merkleize=sim",))
    assert found.failures == ["DP5, repetition 0, live check with cpu: no result"]
    assert not pd.isna(found.value("tps", level=5))


def test_this_machine_has_the_cores_that_this_process_may_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chaindp.pipeline.work.os.sched_getaffinity", lambda _: set(range(8)))
    for quota, cores in ((None, 8), (2.5, 2), (0.5, 1), (16, 8)):
        monkeypatch.setattr("chaindp.pipeline.work.cgroup_limits", lambda quota=quota: {"cores": quota})
        assert this_machine() == Machine(cores=cores, lock=True)
