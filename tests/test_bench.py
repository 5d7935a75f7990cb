"""The kernel bench on kernels and backends made for the purpose; tests/test_bench_cli.py runs the real ones."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pluggy
import pytest

from chaindp.backend import Backend, BackendOptions, BackendSpec, Capability, Device, Support, TimeDomain
from chaindp.bench import BenchPlan, BenchResult, run_bench
from chaindp.errors import CapabilityError, PluginError, UsageError
from chaindp.kernels import KernelSpec, Vector
from chaindp.measure import outputs
from chaindp.plugins import PluginRow, Registry

SEEN: list[tuple[str, bytes]] = []


class Honest(Backend):
    def double(self, values: np.ndarray) -> np.ndarray:
        SEEN.append((self.label, values.tobytes()))
        return values * 2


class LiesOnce(Honest):
    def double(self, values: np.ndarray) -> np.ndarray:
        result = super().double(values)
        result[7777::10000] += 1
        return result


class Overwrites(Honest):
    memory = np.zeros(0, dtype=np.int64)

    def double(self, values: np.ndarray) -> np.ndarray:
        if len(self.memory) != len(values):
            self.memory = np.zeros(len(values), dtype=np.int64)
        np.multiply(values, 2, out=self.memory)
        return self.memory


class ChangesArguments(Honest):
    def double(self, values: np.ndarray) -> np.ndarray:
        values *= 2
        return values


class Remembers(Honest):
    def double(self, values: np.ndarray) -> np.ndarray:
        key = (len(values),)
        self.cache: dict[tuple[int, ...], np.ndarray] = getattr(self, "cache", {})
        return self.cache.setdefault(key, values * 2)


class WrongType(Honest):
    def double(self, values: np.ndarray) -> np.ndarray:
        return (values * 2).astype(np.int32)


class Raises(Honest):
    def double(self, values: np.ndarray) -> np.ndarray:
        raise RuntimeError("device lost\nand more")


class Simulated(Honest):
    time_domain = TimeDomain.CYCLES


class WrongVector(Honest):
    def double(self, values: np.ndarray) -> np.ndarray:
        return values * 2 if len(values) != 2 else values


KERNEL = KernelSpec(
    name="double",
    summary="values int64[N] -> int64[N]",
    unit="value",
    generate=lambda rng, size: (rng.integers(0, 1 << 30, size=size),),
    golden=lambda values: np.array([2 * int(value) for value in values], dtype=np.int64),
    units=lambda values: 3 * len(values),
    vectors=(Vector((np.array([1, 5]),), np.array([2, 10]), "arithmetic"),),
    sizes=(16, 32),
)


def registry_of(
    backends: Mapping[str, Callable[[str, BackendOptions], Backend]], *, rows: tuple[PluginRow, ...] = ()
) -> Registry:
    specs = {
        name: BackendSpec(
            name=name,
            kind="other",
            factory=lambda options, name=name, kind=kind: kind(name, options),  # type: ignore[misc]
            capabilities={} if kind is Backend else {"double": Capability()},
            summary="",
            devices=lambda: [Device("", "default"), Device("scalar", "loops")],
        )
        for name, kind in backends.items()
    }
    return Registry(
        backends=specs,
        kernels={"double": KERNEL},
        workloads={},
        plugins=rows,
        providers={("kernel", "double"): "test", **{("backend", name): f"{name}-dist" for name in specs}},
        manager=pluggy.PluginManager("chaindp"),
    )


def bench(
    kind: Callable[[str, BackendOptions], Backend], *, size: int = 20_000, repeat: int = 3, **others: Any
) -> tuple[dict[str, Any], BenchResult]:
    registry = registry_of({"cpu": Honest, "tested": kind})
    plan = BenchPlan(kernels=["double"], backends=["tested"], sizes=[size], repeat=repeat, **others)
    result = run_bench(registry, plan, "run-1")
    (row,) = result.rows
    return row, result


def test_a_row_has_all_keys_and_figures() -> None:
    row, result = bench(Honest, threads=2)
    keys = "kernel backend device size threads time_domain ns_per_unit units_per_s transfer_ns output_matched"
    for key in keys.split():
        assert row[key] is not None, key
    assert (row["status"], row["reason"], row["output_matched"], row["threads"]) == ("ok", "", True, 2)
    assert row["units_per_s"] == pytest.approx(1e9 / row["ns_per_unit"])
    assert row["ns_per_unit_min"] <= row["ns_per_unit_q1"] <= row["ns_per_unit"] <= row["ns_per_unit_max"]
    assert row["compared_with"] == "1 vectors, cpu in full"
    assert result.holds
    frame = result.table.frame()
    assert sorted(frame["metric"].unique()) == ["compute_time", "transfer_time", "work"]
    assert len(frame) == 9
    assert frame[frame["metric"] == "work"]["value"].tolist() == [60_000.0] * 3
    compute = frame[frame["metric"] == "compute_time"]["value"] / 60_000
    assert row["ns_per_unit"] == pytest.approx(float(compute.median()))
    assert set(frame["workload"]) == {"double/20000"}
    assert frame["output_matched"].all()


def test_one_wrong_output_in_ten_thousand_fails() -> None:
    row, result = bench(LiesOnce, size=10_000, repeat=2)
    assert row["status"] == "failed"
    assert row["output_matched"] is False
    assert row["reason"] == (
        "backend tested, kernel double: 1 of 10000 outputs differ from cpu (repetition 0), and 1 more of 2 repetitions"
    )
    assert row["ns_per_unit"] is None
    assert not result.holds
    assert (result.table.frame()["status"] == "failed").all()


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        (Overwrites, r"20000 of 20000 outputs differ from cpu \(repetition 0\)"),
        (Remembers, "outputs differ from cpu"),
        (ChangesArguments, "a call changes its arguments"),
        (WrongType, r"returned int32\[2\] and not int64\[2\]"),
        (Raises, "^backend tested: double failed: RuntimeError: device lost and more$"),
        (WrongVector, "2 of 2 outputs differ from the vector of arithmetic"),
    ],
)
def test_what_breaks_the_contract_fails(kind: type[Honest], reason: str) -> None:
    row, result = bench(kind)
    assert row["status"] == "failed"
    assert re.search(reason, row["reason"]), row["reason"]
    assert not result.holds


def test_other_backends_go_on_beside_a_failing_one() -> None:
    registry = registry_of({"cpu": Honest, "bad": Raises, "good": Honest})
    plan = BenchPlan(kernels=["double"], backends=["bad", "good", "cpu"], sizes=[100], repeat=2)
    result = run_bench(registry, plan, "r")
    assert [row["status"] for row in result.rows] == ["failed", "ok", "ok"]


def test_a_kernel_that_a_backend_lacks_is_skipped_with_its_reason() -> None:
    registry = registry_of({"cpu": Honest})
    lacking = BackendSpec(
        name="lacking",
        kind="other",
        factory=lambda options: Backend("lacking", options),
        capabilities={"double": Capability(Support.IMPOSSIBLE, "has no adder")},
        summary="",
    )
    registry = Registry(
        backends={**registry.backends, "lacking": lacking},
        kernels=registry.kernels,
        workloads={},
        plugins=(),
        providers={**registry.providers, ("backend", "lacking"): "x"},
        manager=registry.manager,
    )
    result = run_bench(registry, BenchPlan(kernels=["double"], backends=["lacking"], sizes=[4], repeat=2), "r")
    (row,) = result.rows
    assert row["status"] == "skipped"
    assert row["output_matched"] is None
    assert row["reason"] == "backend lacking says double is impossible: has no adder"
    assert result.holds
    assert result.table.frame()["status"].tolist() == ["skipped"]


@pytest.mark.parametrize(("after", "matched"), [("nothing", None), ("vectors", None), ("repetitions", True)])
def test_a_stated_limit_of_a_backend_is_a_skipped_row(
    after: str, matched: bool | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While it is vetted, while it warms up, or once it was timed: outputs that were compared stay compared."""
    calls = 0

    class Limited(Honest):
        def double(self, values: Any) -> Any:
            nonlocal calls
            calls += len(values) == 20_000
            if after == "nothing" or calls > (3 if after == "repetitions" else 0):
                raise CapabilityError("backend tested: core x: no message of more than 136 bytes")
            return super().double(values)

    if after == "repetitions":
        monkeypatch.setattr("chaindp.bench.runner._warm_up", lambda *_: None)
    row, result = bench(Limited, repeat=5)
    assert (row["status"], row["reason"]) == ("skipped", "backend tested: core x: no message of more than 136 bytes")
    assert row["output_matched"] is matched
    assert row["ns_per_unit"] is None
    assert result.holds
    assert set(result.table.frame()["status"]) == {"skipped"}


def test_what_was_not_compared_has_no_verdict_on_its_output() -> None:
    assert bench(Raises)[0]["output_matched"] is None
    assert bench(WrongVector)[0]["output_matched"] is False


def test_simulated_time_is_no_wall_time() -> None:
    row, _ = bench(Simulated)
    assert row["status"] == "skipped"
    assert "timed in cycles" in row["reason"]
    assert row["ns_per_unit"] is None


def test_the_chain_of_trust_reaches_the_golden_reference() -> None:
    registry = registry_of({"cpu": Honest})
    plan = BenchPlan(kernels=["double"], backends=["cpu", "cpu:scalar"], sizes=[64], repeat=2)
    result = run_bench(registry, plan, "r")
    assert [row["compared_with"] for row in result.rows] == [
        "1 vectors, cpu:scalar in full",
        f"1 vectors, golden on {sum(outputs.GOLDEN_SIZES)} outputs, cpu in full",
    ]

    def wrong_at_seven(name: str, options: BackendOptions) -> Backend:
        class Wrong(Honest):
            def double(self, values: np.ndarray) -> np.ndarray:
                return values * 2 + (len(values) == 7)

        return Wrong(name, options)

    result = run_bench(registry_of({"cpu": wrong_at_seven}), plan, "r")
    assert [row["status"] for row in result.rows] == ["ok", "failed"]
    assert "7 of 7 outputs differ from the golden reference (size 7)" in str(result.rows[1]["reason"])


def test_without_a_reference_backend_the_golden_one_stands_in() -> None:
    registry = registry_of({"tested": Honest})
    result = run_bench(registry, BenchPlan(kernels=["double"], backends=["tested"], sizes=[8], repeat=2), "r")
    assert "golden on" in str(result.rows[0]["compared_with"])
    assert (result.rows[0]["output_matched"], result.rows[0]["repetitions_compared"]) == (True, 2)


def test_what_nothing_was_compared_with_is_not_called_matched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outputs, "GOLDEN_SECONDS", 0.0)
    registry = registry_of({"tested": Honest})
    result = run_bench(registry, BenchPlan(kernels=["double"], backends=["tested"], sizes=[8], repeat=2), "r")
    (row,) = result.rows
    assert (row["status"], row["output_matched"], row["repetitions_compared"]) == ("ok", None, 0)
    assert result.table.frame()["output_matched"].isna().all()


def test_a_wrong_output_is_found_by_the_golden_reference_alone() -> None:
    class WrongWhenLarge(Honest):
        def double(self, values: np.ndarray) -> np.ndarray:
            return super().double(values) + (len(values) == 300)

    result = run_bench(
        registry_of({"tested": WrongWhenLarge}),
        BenchPlan(kernels=["double"], backends=["tested"], sizes=[300], repeat=2),
        "r",
    )
    assert "300 of 300 outputs differ from the golden reference" in str(result.rows[0]["reason"])


def test_every_repetition_has_fresh_input_and_the_same_for_all_backends() -> None:
    SEEN.clear()
    registry = registry_of({"cpu": Honest, "a": Honest, "b": Honest})
    plan = BenchPlan(kernels=["double"], backends=["a", "b"], sizes=[50], repeat=8, seed=5)
    run_bench(registry, plan, "r")
    inputs = {label: [data for name, data in SEEN if name == label and len(data) == 400] for label in ("a", "b")}
    assert len(set(inputs["a"])) == len(inputs["a"])
    assert inputs["a"][-8:] == inputs["b"][-8:]
    order = [name for name, data in SEEN if data in inputs["a"][-8:] and name != "cpu"]
    pairs = {tuple(order[index : index + 2]) for index in range(0, len(order), 2)}
    assert pairs == {("a", "b"), ("b", "a")}


def test_sizes_come_from_the_kernel() -> None:
    result = run_bench(registry_of({"cpu": Honest}), BenchPlan(kernels=["double"], repeat=1), "r")
    assert [row["size"] for row in result.rows] == [16, 32]


def test_wrong_calls_are_refused_before_anything_runs() -> None:
    registry = registry_of({"cpu": Honest})
    with pytest.raises(UsageError, match=r"unknown kernel 'duble'; did you mean double\?"):
        run_bench(registry, BenchPlan(kernels=["duble"]), "r")
    with pytest.raises(UsageError, match="unknown backend 'gpu'"):
        run_bench(registry, BenchPlan(kernels=["double"], backends=["gpu"]), "r")
    with pytest.raises(UsageError, match="no device 'x'"):
        run_bench(registry, BenchPlan(kernels=["double"], backends=["cpu:x"]), "r")
    with pytest.raises(UsageError, match="GiB are free"):
        run_bench(registry, BenchPlan(kernels=["double"], sizes=[10**13]), "r")


def test_a_broken_plugin_is_a_failure_row() -> None:
    row = PluginRow("boom", "boom-dist", "0.3", "failed", "ImportError: no driver")
    registry = registry_of({"cpu": Honest}, rows=(row,))
    result = run_bench(registry, BenchPlan(kernels=["double"], sizes=[8], repeat=1), "r")
    assert [row["status"] for row in result.rows] == ["ok", "failed"]
    assert result.rows[1]["reason"] == "plugin boom (boom-dist 0.3) was left out: ImportError: no driver"
    assert not result.holds


def test_a_factory_that_fails_is_a_failure_row_for_every_kernel() -> None:
    def broken(name: str, options: BackendOptions) -> Backend:
        raise OSError("no such device")

    warnings: list[str] = []
    registry = registry_of({"cpu": Honest, "broken": broken})
    plan = BenchPlan(kernels=["double"], backends=["broken", "cpu"], sizes=[8], repeat=1)
    result = run_bench(registry, plan, "r", warn=warnings.append)
    assert [row["status"] for row in result.rows] == ["failed", "ok"]
    assert "broken-dist" in str(result.rows[0]["reason"])
    assert "no such device" in warnings[0]


def test_a_failing_reference_is_not_blamed_on_the_backend() -> None:
    registry = registry_of({"cpu": Raises, "tested": Honest})
    result = run_bench(registry, BenchPlan(kernels=["double"], backends=["tested"], sizes=[8], repeat=1), "r")
    assert result.rows[0]["status"] == "failed"
    assert result.rows[0]["reason"] == (
        "nothing to compare with: backend cpu: double failed: RuntimeError: device lost and more"
    )


def test_difference_of_tuples() -> None:
    expected = (np.zeros((4, 20), dtype=np.uint8), np.ones(4, dtype=bool))
    output = (expected[0].copy(), np.array([True, False, True, True]))
    assert outputs.difference(KERNEL, expected, expected, "cpu") == ""
    assert outputs.difference(KERNEL, output, expected, "cpu") == "1 of 4 outputs differ from cpu"
    assert "returned (uint8[4, 20])" in outputs.difference(KERNEL, expected[:1], expected, "cpu")


def test_plugin_error_of_a_kernel_without_input() -> None:
    registry = registry_of({"cpu": Honest})
    broken = KernelSpec(
        name="double",
        summary="",
        unit="x",
        generate=lambda rng, size: 1 / 0,
        golden=len,
        units=len,  # type: ignore[arg-type, return-value]
    )
    registry = Registry(registry.backends, {"double": broken}, {}, (), registry.providers, registry.manager)
    with pytest.raises(PluginError, match="generates no input: ZeroDivisionError"):
        run_bench(registry, BenchPlan(kernels=["double"]), "r")


def test_as_much_memory_as_a_result_takes_is_touched_before_every_timed_call(monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[int | str] = []

    class Records(Honest):
        def double(self, values: np.ndarray) -> np.ndarray:
            events.append("call")
            return super().double(values)

    monkeypatch.setattr("chaindp.bench.inputs.touch_memory", events.append)
    plan = BenchPlan(kernels=["double"], backends=["records"], sizes=[32], repeat=3)
    assert run_bench(registry_of({"records": Records}), plan, "run").holds
    touched = [at for at, event in enumerate(events) if event == 8 * 32]
    assert len(touched) == 3
    assert [events[at + 1] for at in touched] == ["call"] * 3
