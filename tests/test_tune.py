"""``chaindp tune``: the search, what is stored and what is not, and tuners that break their contract."""

from __future__ import annotations

import json
import platform
import re
import shlex
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from chaindp.backend import Backend, BackendOptions, BackendSpec, Capability, Device, Tuner, Tuning
from chaindp.bench import tune
from chaindp.bench.pairs import PairResult
from chaindp.bench.search import GROUP, Entrant, Search
from chaindp.bench.sides import Job, LocalSide, Sample, SideInfo
from chaindp.bench.tune import KernelTuning, TunePlan, forget_tunings, plan_tasks, run_tune, show_tuning
from chaindp.cli import output
from chaindp.cli.tune import _print as print_results
from chaindp.errors import CheckFailed, PluginError, UsageError
from chaindp.measure.verdict import Comparison, Verdict
from chaindp.measure.warmup import WarmUp
from chaindp.plugins import Registry, load_plugins
from chaindp.results.store import load
from chaindp.results.table import SampleTable
from conftest import REPOSITORY
from opencl_devices import needs_device
from plugin_site import chaindp, make_distribution

JOB = Job("double", 10)


class Scripted:
    """A side that takes a stated time; ``faults`` says what it does wrong, and at which sample."""

    def __init__(self, label: str, ns: int = 1000, faults: str = "", at: int = 1) -> None:
        self.label, self.ns, self.faults, self.at = label, ns, faults, at
        self.count, self.opened, self.closed = 0, 0, 0
        self.seen: list[int] = []
        self.info = SideInfo(label, "", "wall", "test")

    def open(self) -> Scripted:
        self.opened += 1
        if self.faults == "open":
            raise PluginError("does not open")
        return self

    def prepare(self, job: Job) -> SideInfo:
        if self.faults == "prepare":
            raise RuntimeError("no such instruction")
        return self.info

    def warm_up(self, job: Job) -> WarmUp:
        raise AssertionError("a search warms up by itself")

    def sample(self, job: Job, streams: Sequence[int]) -> Sample:
        self.count += 1
        self.seen += streams
        late = self.count >= self.at
        if self.faults == "sample" and late:
            raise PluginError("lost its device")
        digest = "other" if self.faults == "digest" and late else "right"
        return Sample(self.ns * len(streams), 0, 10 * len(streams), digest, self.faults == "change" and late)

    def close(self) -> None:
        self.closed += 1
        if self.faults == "close":
            raise PluginError("backend b does not let go")


def search(
    sides: Sequence[Scripted], reference: Scripted | None = None, seconds: float = 60.0
) -> tuple[str | None, list[Entrant], list[str]]:
    """The label of the winner, the entrants, and what was warned of."""
    entrants = [Entrant(side.label, side.open) for side in sides]
    warnings: list[str] = []
    best = Search(JOB, reference, warn=warnings.append).best_of(entrants, seconds)
    assert all(side.opened == side.closed or side.faults == "open" for side in sides)
    return None if best is None else best.label, entrants, warnings


@pytest.mark.parametrize(
    "count", [1, 2, GROUP + 1, *(pytest.param(n, marks=pytest.mark.slow) for n in (3, GROUP, 5 * GROUP + 3))]
)
def test_the_fastest_wins_wherever_it_stands(count: int) -> None:
    for place in {0, count // 2, count - 1}:
        sides = [Scripted(f"s{index}", 10_000_000 + 10_000 * index) for index in range(count)]
        sides[place].ns = 9_900_000
        best, entrants, _ = search(sides)
        assert best == f"s{place}"
        assert all(entrant.tried and not entrant.failed for entrant in entrants)
        most = GROUP if count > GROUP else count
        assert max(side.opened for side in sides) == (2 if count > most else 1)


def test_every_sample_has_input_of_its_own_that_all_sides_share() -> None:
    sides = [Scripted(f"s{index}", 100_000 + index) for index in range(3)]
    _, entrants, _ = search(sides)
    seen = sides[0].seen
    assert len(seen) == len(set(seen))
    assert seen[:2] == sides[1].seen[:2] == sides[2].seen[:2]
    # As many calls as take 2 ms, once it is known how long one takes.
    assert len(seen) - 2 == 20 * (len(entrants[0].samples) - 2)
    # Comparisons count from 0, warm-ups from 2^32: no input is met again.
    assert all(1 << 31 <= stream < 1 << 32 for stream in seen)


def test_what_is_far_slower_leaves_before_the_rounds() -> None:
    sides = [Scripted("slow", 30_000_000), Scripted("fast", 10_000_000), Scripted("near", 11_000_000)]
    best, entrants, _ = search(sides)
    assert best == "fast"
    slow, fast, near = (len(entrant.samples) for entrant in entrants)
    assert slow == 2 < near <= fast


def test_a_search_without_time_tries_the_first_and_ends() -> None:
    sides = [Scripted(f"s{index}", 1000 - index) for index in range(4)]
    best, entrants, _ = search(sides, seconds=0.0)
    assert best == "s0"
    assert [entrant.tried for entrant in entrants] == [True, False, False, False]


@pytest.mark.parametrize(
    ("faults", "words"),
    [
        ("open", "does not open"),
        ("prepare", "backend bad raises RuntimeError: no such instruction"),
        ("sample", "lost its device"),
        ("digest", "backend bad, kernel double: outputs differ from those of cpu on the same fresh input"),
        ("change", "backend bad, kernel double: a call changes its arguments"),
    ],
)
@pytest.mark.parametrize("at", [1, 4])
def test_what_goes_wrong_is_out_with_its_reason_however_fast(faults: str, words: str, at: int) -> None:
    sides = [Scripted("good", 1100), Scripted("bad", 1000, faults, at), Scripted("better", 1050)]
    best, entrants, _ = search(sides, Scripted("cpu"))
    assert best == "better"
    assert [entrant.failed for entrant in entrants] == ["", words, ""]
    best, entrants, _ = search([Scripted("bad", 1000, faults)], Scripted("cpu"))
    assert best is None
    assert entrants[0].failed == words


def test_a_side_that_lacks_the_kernel_or_has_another_clock_is_out() -> None:
    sides = [Scripted("lacks"), Scripted("cycles"), Scripted("works", 9000)]
    sides[0].info = replace(sides[0].info, skipped="says double is not implemented")
    sides[1].info = replace(sides[1].info, time_domain="cycles")
    best, entrants, _ = search(sides)
    assert best == "works"
    assert entrants[0].failed == "says double is not implemented"
    assert "wall clock only, and it is timed in cycles" in entrants[1].failed


def test_sides_that_disagree_with_nothing_to_compare_with_end_the_search() -> None:
    with pytest.raises(CheckFailed, match="no other backend has it"):
        search([Scripted("a"), Scripted("b", faults="digest")])


def test_a_side_that_does_not_close_costs_a_warning() -> None:
    best, _, warnings = search([Scripted("a", 1000), Scripted("b", 5000, "close")])
    assert best == "a"
    assert warnings == ["backend b does not let go"]


# A backend whose tuning is how often it does its work: 12 times as much is as much slower, on any machine.
class Toy(Backend):
    def __init__(self, options: BackendOptions, kept: dict[str, Tuning]) -> None:
        super().__init__("toy", options)
        self.tuning = options.tuning.get("sha256", kept.get(options.device, {"repeats": 12}))
        if self.tuning["repeats"] == "many":
            raise ValueError("repeats is no number")
        self.honest = HONEST.factory(BackendOptions(threads=options.threads))

    def sha256(self, data: np.ndarray, offsets: np.ndarray) -> np.ndarray:
        digests = self.honest.sha256(data, offsets)  # type: ignore[attr-defined]
        for _ in range(int(self.tuning["repeats"]) - 1):
            digests = self.honest.sha256(data, offsets)  # type: ignore[attr-defined]
        if self.tuning.get("wrong") == 1:
            digests = digests.copy()
            digests[-1:, 0] ^= 1
        return np.asarray(digests)


REGISTRY = load_plugins()
HONEST = REGISTRY.backends["cpu"]
CANDIDATES: list[Tuning] = [{"repeats": 12}, {"repeats": "many"}, {"repeats": 1}, {"repeats": 1, "wrong": 1}]
SMALL = {"backend": "toy", "size": 4000, "threads": 1, "seconds": 2.0}


def toy_registry(
    kept: dict[str, Tuning],
    candidates: Callable[[str, str], Any] = lambda device, kernel: CANDIDATES,
    store: Callable[[str, Any], Any] | None = None,
    kernels: tuple[str, ...] = ("sha256",),
) -> Registry:
    """The installed plugins, and the toy; what it stores ends up in ``kept``, by device."""

    def keep(device: str, tunings: Any) -> str:
        kept[device] = tunings["sha256"]
        return "a drawer"

    spec = BackendSpec(
        name="toy",
        kind="other",
        factory=lambda options: Toy(options, kept),
        capabilities={"sha256": Capability()},
        summary="",
        devices=lambda: (Device("", "the toy"), Device("two", "another", aliases=("second",))),
        tuner=Tuner(
            kernels,
            candidates,
            store or keep,
            lambda device: {"sha256": kept[device]} if device in kept else {},
            lambda device: kept.pop(device, None) is not None,
        ),
    )
    providers = {**REGISTRY.providers, ("backend", "toy"): "toy (test 1.0)"}
    return replace(REGISTRY, backends={**REGISTRY.backends, "toy": spec}, providers=providers)


def tune_toy(registry: Registry, **changes: Any) -> tuple[KernelTuning, SampleTable]:
    plan = TunePlan(**{**SMALL, **changes})
    table = SampleTable("r")
    (result,) = run_tune(registry, plan, plan_tasks(registry, plan), table)
    return result, table


def judged(monkeypatch: pytest.MonkeyPatch, verdict: Verdict, failed: str = "") -> list[str]:
    """Let every comparison end like this; returns the labels of what was compared with the best one."""
    asked: list[str] = []

    def compare(open_sides: Any, job: Job, plan: Any, table: Any, unit: str, advance: Any) -> PairResult:
        sides = open_sides()
        labels = [side.label for side in sides]
        for side in sides:
            side.close()
        asked.append(labels[0])
        assert labels == [labels[0], labels[1], labels[0]]
        common: dict[str, Any] = {"metric": "ns_per_unit", "what": "sha256/1", "unit": "ns/block"}
        found = Comparison(
            **common, a=labels[0], b=labels[1], time_domain="wall", samples_a=10, samples_b=10, verdict=verdict
        )
        return PairResult(job, [] if failed else [found], failed=failed)

    monkeypatch.setattr(tune, "compare_sides", compare)
    return asked


def test_a_tuning_that_is_far_faster_is_found_and_stored() -> None:
    kept: dict[str, Tuning] = {}
    result, table = tune_toy(toy_registry(kept))
    assert result.failed == ""
    assert result.best == result.chosen == {"repeats": 1}
    assert kept == {"": {"repeats": 1}}
    assert (result.verdict, result.stored) == (Verdict.FASTER, "a drawer")
    assert result.tried == 4
    (broken, broken_reason), (wrong, wrong_reason) = result.out
    assert broken == {"repeats": "many"}
    assert broken_reason.endswith("does not open: ValueError: repeats is no number")
    assert wrong == {"repeats": 1, "wrong": 1}
    assert "kernel sha256: 1 of " in wrong_reason

    row = result.row()
    assert row["default"] == {"repeats": 12}
    assert row["ratio"] > 3  # type: ignore[operator]
    assert row["low"] <= row["ratio"] <= row["high"]  # type: ignore[operator]
    # The device had the default: one comparison says both.
    assert result.against_default is result.before
    assert (result.before[0].a, result.before[0].b) == ("toy", "toy[repeats=1]")
    assert (row["had"], row["forgotten"], row["before"]) == (None, False, row["against_default"])
    assert json.loads(json.dumps(row)) == row

    frame = table.frame()
    searched = frame[frame["metric"] == "search_time"]
    assert set(zip(searched["backend_requested"], searched["status"], strict=True)) == {
        ("toy[repeats=12]", "ok"),
        ("toy[repeats=1]", "ok"),
        ("toy[repeats=many]", "failed"),
        ("toy[repeats=1 wrong=1]", "failed"),
    }
    pairs = frame[frame["metric"] == "compute_time"]
    assert set(pairs["backend_requested"]) == {"toy", "toy[repeats=1]"}


def test_what_is_stored_is_what_the_next_search_has_to_beat(monkeypatch: pytest.MonkeyPatch) -> None:
    kept: dict[str, Tuning] = {"": {"repeats": 2}}
    opened: list[Tuning] = []
    start = Toy.__init__

    def write_down(self: Toy, options: BackendOptions, kept: dict[str, Tuning]) -> None:
        start(self, options, kept)
        if not options.tuning:
            opened.append(self.tuning)

    monkeypatch.setattr(Toy, "__init__", write_down)
    result, table = tune_toy(toy_registry(kept), kernels=("sha256",))
    assert result.best == {"repeats": 1}
    assert opened
    assert all(tuning == {"repeats": 2} for tuning in opened)
    assert result.had == {"repeats": 2}
    # Farther ahead of the default than of what was stored.
    assert result.against_default[0].ratio > 3  # type: ignore[operator]
    assert result.before[0].ratio < result.against_default[0].ratio / 2  # type: ignore[operator]
    default, with_stored = result.against_default[0], result.before[0]
    assert (default.a, default.b) == ("toy[repeats=12]", "toy[repeats=1]")
    assert (with_stored.a, with_stored.b) == ("toy", "toy[repeats=1]")
    assert {"toy[repeats=1]", "toy[repeats=1] against toy[repeats=12]"} <= set(table.frame()["backend_requested"])


def test_what_is_stored_already_is_compared_with_the_default_only(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = judged(monkeypatch, Verdict.FASTER)
    kept: dict[str, Tuning] = {"": {"repeats": 1}}
    result, _ = tune_toy(toy_registry(kept))
    assert asked == ["toy[repeats=12]"]
    assert (result.verdict, result.chosen, result.stored) == (None, None, "")
    assert (result.before, kept) == ([], {"": {"repeats": 1}})


def test_the_device_is_handed_on_as_it_was_named(monkeypatch: pytest.MonkeyPatch) -> None:
    judged(monkeypatch, Verdict.FASTER)
    kept: dict[str, Tuning] = {}
    asked: list[str] = []

    def candidates(device: str, kernel: str) -> list[Tuning]:
        asked.append(device)
        return CANDIDATES

    registry = toy_registry(kept, candidates)
    result, _ = tune_toy(registry, backend="toy:SECOND")
    assert asked == ["second"]
    assert result.row()["device"] == "two"
    assert registry.open_backend("toy:SECOND").label == "toy:second"
    assert kept == {"second": {"repeats": 1}}
    assert forget_tunings(registry, "toy:second") is True
    assert forget_tunings(registry, "toy:second") is False
    assert kept == {}


def test_a_dry_run_stores_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    judged(monkeypatch, Verdict.FASTER)
    kept: dict[str, Tuning] = {}
    result, _ = tune_toy(toy_registry(kept), dry_run=True)
    assert (result.chosen, result.stored, kept) == ({"repeats": 1}, "", {})


def test_what_is_stored_and_does_not_work_is_replaced() -> None:
    kept: dict[str, Tuning] = {"": {"repeats": 1, "wrong": 1}}
    result, _ = tune_toy(toy_registry(kept))
    assert "outputs differ from cpu" in result.before_failed or "differ from the vector" in result.before_failed
    assert result.verdict is None
    assert result.before == []
    assert result.against_default
    assert kept == {"": {"repeats": 1}}
    assert result.row()["status"] == "ok"


def test_what_does_not_work_is_dropped_where_nothing_beats_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = judged(monkeypatch, Verdict.NO_DIFFERENCE)
    broken: Tuning = {"repeats": 1, "wrong": 1}
    kept: dict[str, Tuning] = {"": broken}
    result, _ = tune_toy(toy_registry(kept), dry_run=True)
    assert (asked, result.forgotten, result.chosen, kept) == (["toy[repeats=12]"], True, None, {"": broken})
    result, _ = tune_toy(toy_registry(kept))
    assert (result.row()["forgotten"], result.chosen, result.stored, kept) == (True, None, "", {})


def test_only_the_broken_kernel_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    judged(monkeypatch, Verdict.NO_DIFFERENCE)
    registry = toy_registry({"": {"repeats": 1, "wrong": 1}})
    spec = registry.backends["toy"]
    assert spec.tuner is not None
    drawer: dict[str, Tuning] = {"sha256": {"repeats": 1, "wrong": 1}, "keccak256": {"repeats": 3}}

    def store(device: str, tunings: Any) -> str:
        drawer.update(tunings)
        return "a drawer"

    def forget(device: str) -> bool:
        drawer.clear()
        return True

    tuner = replace(spec.tuner, store=store, stored=lambda device: dict(drawer), forget=forget)
    changed = replace(registry, backends={**registry.backends, "toy": replace(spec, tuner=tuner)})
    result, _ = tune_toy(changed)
    assert result.forgotten
    assert result.unstored == ""
    assert drawer == {"keccak256": {"repeats": 3}}


def test_a_device_that_opens_with_no_candidate_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: Toy, options: BackendOptions, kept: dict[str, Tuning]) -> None:
        raise PluginError("toy: its file cannot be read")

    monkeypatch.setattr(Toy, "__init__", fail)
    with pytest.raises(PluginError, match=r"backend toy does not open: toy: its file cannot be read$"):
        tune_toy(toy_registry({}))


def test_a_backend_without_a_device_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: Toy, options: BackendOptions, kept: dict[str, Tuning]) -> None:
        raise PluginError("toy: no driver found; install one")

    registry = toy_registry({})
    bare = replace(registry.backends["toy"], devices=lambda: ())
    registry = replace(registry, backends={**registry.backends, "toy": bare})
    with pytest.raises(PluginError, match=r"backend toy opens, and lists no device$"):
        tune_toy(registry)
    monkeypatch.setattr(Toy, "__init__", fail)
    words = r"backend toy does not open: toy: no driver found; install one$"
    for selector in ("toy", "toy:7"):
        with pytest.raises(PluginError, match=words):
            tune_toy(registry, backend=selector)
        with pytest.raises(PluginError, match=words):
            forget_tunings(registry, selector)
        with pytest.raises(PluginError, match=words):
            registry.open_backend(selector)


def test_what_is_stored_is_checked() -> None:
    registry = toy_registry({})
    spec = registry.backends["toy"]
    assert spec.tuner is not None
    tuner = replace(spec.tuner, stored=lambda device: ["sha256"])  # type: ignore[arg-type,return-value]
    changed = replace(registry, backends={**registry.backends, "toy": replace(spec, tuner=tuner)})
    result, _ = tune_toy(changed)
    assert result.failed.startswith("plugin toy (test 1.0): backend toy says that ['sha256'] is stored")


@pytest.mark.parametrize("verdict", list(Verdict))
def test_only_what_is_faster_is_stored(verdict: Verdict, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = judged(monkeypatch, verdict)
    kept: dict[str, Tuning] = {"": {"repeats": 2}}
    result, _ = tune_toy(toy_registry(kept))
    assert asked == ["toy", "toy[repeats=12]"]
    assert result.row()["verdict"] == verdict.value
    if verdict is Verdict.FASTER:
        assert (result.chosen, kept) == ({"repeats": 1}, {"": {"repeats": 1}})
    else:
        assert (result.chosen, result.stored, kept) == (None, "", {"": {"repeats": 2}})


def test_the_default_is_not_compared_with_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = judged(monkeypatch, Verdict.NO_DIFFERENCE)
    result, _ = tune_toy(toy_registry({}, lambda device, kernel: [{"repeats": 1}, {"repeats": 12}]))
    assert result.best == {"repeats": 1}
    assert asked == []
    assert (result.before, result.against_default, result.chosen) == ([], [], None)


def test_a_default_that_does_not_work_is_nothing_to_compare_with(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = judged(monkeypatch, Verdict.FASTER)
    registry = toy_registry({"": {"repeats": 2}}, lambda device, kernel: [{"repeats": "many"}, {"repeats": 1}])
    result, _ = tune_toy(registry)
    assert asked == ["toy"]
    assert result.chosen == {"repeats": 1}


def test_a_comparison_that_fails_stores_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = judged(monkeypatch, Verdict.FASTER, failed="backend toy: lost its device")
    kept: dict[str, Tuning] = {}
    result, _ = tune_toy(toy_registry(kept))
    assert asked == ["toy"]
    assert (result.failed, result.row()["status"], kept) == ("backend toy: lost its device", "failed", {})


def test_candidates_none_of_which_works_are_a_failure() -> None:
    result, table = tune_toy(toy_registry({}, lambda device, kernel: [{"repeats": "many"}]))
    assert result.failed.startswith(
        "none of 1 candidates works; the first one: plugin toy (test 1.0): backend toy does"
    )
    assert result.row()["best"] is None
    assert set(table.frame()["status"]) == {"failed"}


def test_a_store_that_fails_is_one_line_and_keeps_the_figures(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    judged(monkeypatch, Verdict.FASTER)

    def full(device: str, tunings: Any) -> str:
        raise OSError(28, "No space left on device")

    result, table = tune_toy(toy_registry({}, store=full))
    assert result.unstored.startswith("plugin toy (test 1.0): backend toy cannot store a tuning: OSError")
    assert (result.failed, result.verdict, result.stored) == ("", Verdict.FASTER, "")
    row = result.row()
    assert (row["status"], row["reason"], row["verdict"]) == ("failed", result.unstored, "faster")
    assert len(table)
    monkeypatch.setattr(output, "table", lambda title, columns, rows, right: shown.append(rows))
    shown: list[Any] = []
    print_results([result], TunePlan(**SMALL))  # type: ignore[arg-type]
    assert shown[0][0][-1] == "faster"
    assert "sha256: not kept: plugin toy" in capsys.readouterr().out
    result, _ = tune_toy(toy_registry({}, store=lambda device, tunings: None))
    assert result.unstored.endswith("stores a tuning and does not say where")


@pytest.mark.parametrize(
    ("proposed", "words"),
    [
        ([], "proposes [] for sha256, not a list of tunings"),
        (None, "proposes None for sha256"),
        ({"repeats": 1}, "not a list of tunings"),
        ("repeats", "not a list of tunings"),
        ([1], "proposes 1 for sha256, not names with numbers or texts"),
        ([{"repeats": 1.5}], "not names with numbers or texts"),
        ([{1: 1}], "not names with numbers or texts"),
    ],
)
def test_a_tuner_that_proposes_something_else_is_named(proposed: Any, words: str) -> None:
    with pytest.raises(PluginError, match=f"^plugin toy .*{re.escape(words)}"):
        plan_tasks(toy_registry({}, lambda device, kernel: proposed), TunePlan(**SMALL))  # type: ignore[arg-type]


def test_a_tuner_that_raises_is_named() -> None:
    def candidates(device: str, kernel: str) -> list[Tuning]:
        raise RuntimeError("no platform")

    with pytest.raises(PluginError, match="backend toy proposes no tunings of sha256: RuntimeError: no platform"):
        plan_tasks(toy_registry({}, candidates), TunePlan(**SMALL))  # type: ignore[arg-type]


def test_a_tuner_for_a_kernel_that_the_backend_lacks_is_named() -> None:
    for kernels, words in ((("keccak256",), "a tuner for keccak256, a kernel"), ((), "a tuner for no kernel")):
        with pytest.raises(PluginError, match=words):
            plan_tasks(toy_registry({}, kernels=kernels), TunePlan(**SMALL))  # type: ignore[arg-type]


def test_candidates_are_tried_once_each_at_the_largest_size() -> None:
    twice = [*CANDIDATES, {"repeats": 12}]
    plan = TunePlan(backend="toy")
    (task,) = plan_tasks(toy_registry({}, lambda device, kernel: twice), plan)
    assert task.candidates == tuple(CANDIDATES)
    assert task.size == max(task.spec.sizes)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"backend": "cpu"}, "backend cpu has nothing to tune; a backend that has: "),
        ({"backend": "toi"}, "did you mean toy"),
        (
            {"backend": "toy:three"},
            "backend toy has no device 'three'; there is: toy, toy:two (also by the names toy:second)",
        ),
        ({"kernels": ("sha265",)}, "did you mean sha256"),
        ({"kernels": ("keccak256",)}, "backend toy has nothing to tune in keccak256; it has in: sha256"),
        ({"size": 10**14}, "GiB are free"),
    ],
)
def test_wrong_calls_are_refused_before_anything_is_opened(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=re.escape(words)):
        plan_tasks(toy_registry({}), TunePlan(**{**SMALL, **changes}))


def test_a_side_has_the_tuning_it_is_opened_with() -> None:
    side = LocalSide(toy_registry({}), "toy", 1, tuning={"sha256": {"repeats": 1, "wrong": 1}})
    with pytest.raises(PluginError, match="backend toy, kernel sha256"):
        side.prepare(Job("sha256", 10))
    side.close()


def test_a_driver_that_fails_at_warm_up_is_the_backends_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: Toy, kernels: Sequence[str]) -> None:
        raise RuntimeError("clBuildProgram failed")

    monkeypatch.setattr(Toy, "warm_up", fail)
    side = LocalSide(toy_registry({}), "toy", 1)
    words = "backend toy does not warm up sha256: RuntimeError: clBuildProgram failed"
    with pytest.raises(PluginError, match=words):
        side.prepare(Job("sha256", 10))
    side.close()
    monkeypatch.setattr(Toy, "close", fail_to_close)
    with pytest.raises(PluginError, match="backend toy does not close: RuntimeError: clFinish failed"):
        side.close()


def fail_to_close(self: Toy) -> None:
    raise RuntimeError("clFinish failed")


def test_tunings_are_shown_in_one_line() -> None:
    assert show_tuning({"width": 4, "layout": "rows"}) == "width=4 layout=rows"
    assert show_tuning({}) == "-"


@needs_device
def test_what_opencl_has_stored_wrongly_is_one_line_and_can_be_dropped(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from chaindp_opencl import driver, tuning

    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    plan = TunePlan(backend="opencl", kernels=["sha256"], size=100, seconds=0.1)
    tuning.path().parent.mkdir()
    bad = {"keccak256": {"lanes": 3, "items": 1, "group": 1, "unroll": 2}}
    tuning.path().write_text(json.dumps({driver.select("").key: bad}))
    assert tuning.stored("0") == bad
    words = "keccak256: lanes is 3; it is stored in .*: chaindp tune opencl --forget drops"
    with pytest.raises(PluginError, match=words):
        run_tune(REGISTRY, plan, plan_tasks(REGISTRY, plan), SampleTable("r"))
    assert forget_tunings(REGISTRY, "opencl")
    assert tuning.stored("") == {}
    tuning.path().write_text("{broken")
    with pytest.raises(PluginError, match=r"is no JSON .*; remove or mend it"):
        run_tune(REGISTRY, plan, plan_tasks(REGISTRY, plan), SampleTable("r"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tuning.path()))
    with pytest.raises(PluginError, match=r"cannot be read \(Not a directory\); set XDG_CONFIG_HOME to a folder"):
        tuning.stored("")


# From here on as a user calls it: the plugin of docs/tuning.md, installed.
TEXT = (REPOSITORY / "docs" / "tuning.md").read_text()


@pytest.fixture
def site(tmp_path: Path) -> Path:
    (source,) = re.findall(r"```python\n(.*?)```", TEXT, flags=re.DOTALL)
    make_distribution(tmp_path / "site", "chaindp-copied", source, entry="copied")
    return tmp_path / "site"


def test_the_example_of_the_docs_tunes_as_printed(site: Path, tmp_path: Path) -> None:
    commands = [shlex.split(line)[1:] for line in re.findall(r"^(chaindp tune copied.*)$", TEXT, flags=re.MULTILINE)]
    assert commands == [["tune", "copied"], ["tune", "copied", "--forget"]]
    home = {"XDG_CONFIG_HOME": str(tmp_path / "config")}
    quick = ("--size", "2000", "--seconds", "0.5", "--threads", "1", "--json")
    done = chaindp(*commands[0], *quick, site=site, cwd=tmp_path, **home)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    (row,) = document["rows"]
    assert (row["kernel"], row["device"], row["default"], row["status"]) == ("sha256", "", {"batch": 1}, "ok")
    assert (row["candidates"], row["failed"]) == (4, [])
    assert row["best"]["batch"] in (1, 16, 256, 4096)
    assert {"tried", "chosen", "ratio", "low", "high", "verdict", "stored"} <= row.keys()
    frame = load(tmp_path / document["path"])
    assert frame.attrs["run"]["kind"] == "tune"
    assert frame.attrs["run"]["rows"] == document["rows"]
    assert {"search", "pairs", "verdicts"} <= frame.attrs["run"].keys()

    kept = tmp_path / "config" / "chaindp-copied" / f"python-{platform.python_version()}.json"
    assert kept.exists() == (row["verdict"] == "faster") == (row["stored"] == str(kept))
    done = chaindp(*commands[1], "--json", site=site, cwd=tmp_path, **home)
    assert (done.returncode, json.loads(done.stdout)["forgotten"]) == (0, row["verdict"] == "faster")
    assert not kept.exists()


def test_the_table_says_what_was_found_and_what_was_done(site: Path, tmp_path: Path) -> None:
    home = {"XDG_CONFIG_HOME": str(tmp_path / "config")}
    quick = ("--size", "500", "--seconds", "0.1", "--threads", "1", "--dry-run", "--kernel", "sha256")
    done = chaindp("tune", "copied", *quick, site=site, cwd=tmp_path, **home)
    assert done.returncode == 0, done.stderr
    for words in (
        "Tunings of copied (host memory), threads: 1",
        "batch=1",
        "speed ratio",
        "compared with",
        "noise floor",
        "samples: ",
    ):
        assert words in done.stdout
    assert re.search(r"sha256: (not stored, because of --dry-run|nothing stored: the best one is not)", done.stdout)
    assert not (tmp_path / "config").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("cpu",), "backend cpu has nothing to tune"),
        (("copied", "--forget", "--dry-run"), "--forget drops all that was stored"),
        (("copied", "--seconds", "nan"), "not a finite number"),
        (("copied:x",), "has no device 'x'"),
        ((), "missing argument 'BACKEND[:DEVICE]'"),
    ],
)
def test_a_wrong_call_is_one_line_and_exits_2(
    site: Path, tmp_path: Path, arguments: tuple[str, ...], words: str
) -> None:
    done = chaindp("tune", *arguments, site=site, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert words in line
    assert not (tmp_path / "results").exists()
