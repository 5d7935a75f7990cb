"""From a pass to rows of the results table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from chaindp.backend import Platform, SimulatedTimes
from chaindp.chain.consensus import OrderedBlocks
from chaindp.chain.proof.parts import PARTS
from chaindp.kernels.kernelset import KernelCall
from chaindp.measure.platforms import platform_samples
from chaindp.pipeline.block import Stage
from chaindp.pipeline.passes import PassResult
from chaindp.pipeline.work import Machine
from chaindp.results.table import SampleTable

__all__ = ["Recorder", "record_machine", "record_platform"]


def record_machine(table: SampleTable, common: Mapping[str, Any], what: str, machine: Machine) -> None:
    """A host that a level was scheduled on: ``model``, the stated one, or ``model_check``, this one."""
    row = {**common, "time_domain": "modelled", "unit": "1"}
    table.append(**row, metric=f"{what}_cores", value=machine.cores)
    table.append(**row, metric=f"{what}_lock", value=int(machine.lock))


def record_platform(table: SampleTable, common: Mapping[str, Any], platform: Platform) -> None:
    """What is stated of the hardware around a simulated device."""
    row = {**common, "device": str(common["backend_ran"]).partition(":")[2], "time_domain": "modelled"}
    for fields in platform_samples(platform):
        table.append(**row, **fields)


class Recorder:
    """Appends the rows of one level and repetition. ``common`` are the fields that all of them share."""

    def __init__(
        self,
        table: SampleTable,
        common: Mapping[str, Any],
        mode: str,
        visible_early: bool,
        requested: Mapping[Stage, str],
    ) -> None:
        self._table = table
        self._common = dict(common)
        self._domain = "wall" if mode == "live" else "modelled"
        self._visible_early = visible_early
        self._requested = requested

    def throughput(self, metric: str, result: PassResult, matched: Mapping[Stage, bool]) -> None:
        """Transactions a second, how long the pass took, how much of it was audited, and the harness's own share."""
        row = {**self._common, "time_domain": self._domain, "output_matched": all(matched.values())}
        self._table.append(**row, metric=metric, value=result.tps, unit="tx/s")
        self._table.append(**row, metric=f"{metric}_duration", value=result.duration_ns, unit="ns")
        calls = [call for stage_calls in result.calls.values() for call in stage_calls]
        if calls:
            share = sum(call.kept for call in calls) / len(calls)
            self._table.append(**self._common, metric=f"{metric}_audited", value=share, unit="1")
        if result.overhead_ns is not None:
            every = [span for block in result.blocks for span in block.spans.values()]
            spent = sum(span.end_ns - span.start_ns for span in every)
            # What a simulator takes is no work of a stage, and would make the harness look like nothing.
            spent -= sum(call.wall_ns for span in every for call in span.calls if call.simulated is not None)
            share = result.overhead_ns / (spent + result.overhead_ns)
            self._table.append(**self._common, metric="harness_overhead", value=share, unit="1", time_domain="wall")

    def model_error(self, metric: str, error: float, checked: Mapping[Stage, str]) -> None:
        """How far the throughput that is modelled of this machine is above a live pass's, as a share of the latter.

        checked: the backends, by stage, that were in the place of simulated devices, in both passes
        """
        row = {**self._common, "unit": "1", "time_domain": "modelled"}
        if checked:
            asked = dict.fromkeys(self._requested[stage] for stage in checked)
            row |= {"backend_requested": ", ".join(asked), "backend_ran": ", ".join(dict.fromkeys(checked.values()))}
        self._table.append(**row, metric=metric, value=error)

    def blocks(self, result: PassResult, matched: Mapping[Stage, bool]) -> None:
        """Per block: when each stage worked on it, what its thread ran, and where the kernels spent their time."""
        count = len(result.blocks)
        numbers = np.arange(count)
        for column, stage in enumerate(result.stages):
            spans = [block.spans[stage] for block in result.blocks]
            where = self._where(stage, result, matched) | {"block": numbers}
            for metric, values, domain in (
                ("busy", result.busy_ns(stage), _domain_of(stage, result)),
                ("cpu", result.cpu_ns(stage), "wall"),
                ("wait", result.wait_ns(stage), self._domain),
                ("start", result.start[:, column], self._domain),
                ("end", result.end[:, column], self._domain),
            ):
                self._table.extend(count, **where, metric=metric, value=values, time_domain=domain)
            for index, span in enumerate(spans):
                self._calls(where | {"block": index}, span.calls)
        if any(block.proofs.contents for block in result.blocks):
            self._proofs(result, matched)
        for metric in ("transactions", "gas_used", "refused", "late_loads", "reruns"):
            counts = [getattr(block, metric) for block in result.blocks]
            self._table.extend(count, **self._common, block=numbers, metric=metric, value=counts, unit="1")

    def _proofs(self, result: PassResult, matched: Mapping[Stage, bool]) -> None:
        """The STARKs of each block: how many, how long, where the time went, and what it takes to verify them."""
        proofs = [block.proofs for block in result.blocks]
        where = self._where(Stage.PROVE, result, matched) | {"block": np.arange(len(proofs))}
        counts = [len(one.contents) for one in proofs]
        sizes = [sum(map(len, one.contents)) for one in proofs]
        self._table.extend(len(proofs), **where | {"unit": "1"}, metric="proofs", value=counts)
        self._table.extend(len(proofs), **where | {"unit": "bytes"}, metric="proof_bytes", value=sizes)
        for part in PARTS:
            domain = "wall" if part in ("trace", "host") else _domain_of(Stage.PROVE, result)
            values = [one.parts[part] for one in proofs]
            self._table.extend(len(proofs), **where, metric=f"proof_{part}", value=values, time_domain=domain)
        spent = [one.verify_ns for one in proofs]
        self._table.extend(len(proofs), **where, metric="proof_verify", value=spent, time_domain="wall")

    def stages_after_admit(self, result: PassResult, matched: Mapping[Stage, bool]) -> None:
        """The stages of the pass that ``tps`` is of, each over all blocks."""
        transactions = result.transactions
        self._table.append(**self._common, metric="transactions_after_admit", value=transactions, unit="1")
        for stage in result.stages:
            where = self._where(stage, result, matched)
            for metric, value, domain in (
                ("busy_after_admit", result.busy_ns(stage).sum(), _domain_of(stage, result)),
                ("cpu_after_admit", result.cpu_ns(stage).sum(), "wall"),
                ("wait_after_admit", result.wait_ns(stage).sum(), self._domain),
            ):
                self._table.append(**where, metric=metric, value=value, time_domain=domain)

    def latencies(self, result: PassResult, ordered: OrderedBlocks) -> None:
        """Of consensus; and from a block's ordering to the pipeline taking it up, to its results, to its finality."""
        count = len(result.blocks)
        consensus = (ordered.ordered - ordered.proposed) * 1e9
        self._table.extend(
            count,
            **self._common,
            block=np.arange(count),
            metric="latency_order",
            value=consensus,
            unit="ns",
            time_domain="modelled",
        )
        row = {**self._common, "block": np.arange(count), "unit": "ns", "time_domain": self._domain}
        queued = np.maximum(0, result.start[:, 0] - result.ordered)
        self._table.extend(count, **row, metric="latency_queue", value=queued)
        if Stage.FLUSH not in result.stages:
            return
        final = result.end[:, result.stages.index(Stage.FLUSH)] - result.ordered
        executed = result.end[:, result.stages.index(Stage.EXECUTE)] - result.ordered
        # Without pipelining nobody is shown a result before the block that it is in is final.
        visible = executed if self._visible_early else final
        self._table.extend(count, **row, metric="latency_visible", value=visible)
        self._table.extend(count, **row, metric="latency_final", value=final)

    def simulators(self, result: PassResult) -> None:
        """How fast the simulators ran, which says nothing of the devices: clock cycles a second of wall time."""
        for stage in result.platforms:
            calls = [call for call in result.calls.get(stage, ()) if call.simulated is not None]
            for kernel in sorted({call.kernel for call in calls}):
                times = [call.simulated for call in calls if call.kernel == kernel and call.simulated is not None]
                spent = sum(one.simulator_ns for one in times)
                if not spent:
                    continue
                row = self._where(stage, result, {}) | {"output_matched": None, "unit": "Hz", "time_domain": "wall"}
                speed = sum(one.cycles for one in times) / spent * 1e9
                self._table.append(**row, kernel=kernel, metric="simulator_speed", value=speed)

    def _where(self, stage: Stage, result: PassResult, matched: Mapping[Stage, bool]) -> dict[str, Any]:
        label = result.labels.get(stage)
        row = {**self._common, "stage": str(stage), "unit": "ns"}
        if label is None:
            return row
        return row | {
            "backend_requested": self._requested[stage],
            "backend_ran": label,
            "device": label.partition(":")[2],
            "output_matched": matched.get(stage),
        }

    def _calls(self, where: Mapping[str, Any], calls: Sequence[KernelCall]) -> None:
        for kernel in sorted({call.kernel for call in calls}):
            mine = [call for call in calls if call.kernel == kernel]
            times = [call.simulated for call in mine if call.simulated is not None]
            row = {**where, "kernel": kernel, "time_domain": "wall"}
            if times:
                self._simulated(row, times)
            else:
                self._table.append(**row, metric="kernel_compute", value=sum(call.compute_ns for call in mine))
                self._table.append(**row, metric="kernel_transfer", value=sum(call.transfer_ns for call in mine))
            row |= {"time_domain": None, "unit": "1"}
            self._table.append(**row, metric="kernel_calls", value=len(mine))
            units = sorted((call.units for call in mine if call.units), reverse=True)
            if units:
                self._table.append(**row, metric="kernel_batch", value=_typical_batch(units))

    def _simulated(self, row: dict[str, Any], times: Sequence[SimulatedTimes]) -> None:
        """A kernel's calls on a simulated device: what is modelled, and the exact counts that it is modelled from."""
        for metric, unit, domain, value in (
            ("kernel_compute", "ns", "modelled", sum(one.compute_ns for one in times)),
            ("kernel_transfer", "ns", "modelled", sum(one.transfer_ns for one in times)),
            ("kernel_elapsed", "ns", "modelled", sum(one.total_ns for one in times)),
            ("kernel_cycles", "cycles", "cycles", sum(one.cycles for one in times)),
            ("kernel_stall_cycles", "cycles", "cycles", sum(one.stall_cycles for one in times)),
            ("kernel_latency_cycles", "cycles", "cycles", max(one.latency_cycles for one in times)),
            ("kernel_operations", "1", None, sum(one.operations for one in times)),
            ("kernel_to_bytes", "bytes", None, sum(one.to_bytes for one in times)),
            ("kernel_from_bytes", "bytes", None, sum(one.from_bytes for one in times)),
        ):
            self._table.append(**row | {"unit": unit, "time_domain": domain}, metric=metric, value=value)


def _domain_of(stage: Stage, result: PassResult) -> str:
    """Of the time that a stage takes: modelled as soon as part of it is."""
    return "modelled" if stage in result.platforms else "wall"


def _typical_batch(units: Sequence[int]) -> int:
    """Of batches, the largest first: the one that half of all work is in batches of at least."""
    reached = np.cumsum(units)
    return units[int(np.searchsorted(reached, reached[-1] / 2))]
