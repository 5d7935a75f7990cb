"""STARKs in the stage ``prove``: every level makes the same, the transactions say what they say, and no other holds."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from chaindp.chain.proof.parts import PARTS
from chaindp.chain.verify.stark import verify
from chaindp.errors import CheckFailed, PluginError, UsageError
from chaindp.kernels.hashes import GOLDEN_HASHES
from chaindp.pipeline.audit import audit_statements
from chaindp.pipeline.backends import BASELINE, left_out, parse_backends
from chaindp.pipeline.block import BlockInFlight, Stage
from chaindp.pipeline.observed import Observed
from chaindp.pipeline.passes import PassResult
from chaindp.pipeline.proofs import PROVER_KERNELS, BlockProofs, ProofAudit
from chaindp.pipeline.run import RunConfig, RunOutcome, measure_run
from chaindp.pipeline.stages import KERNELS_NEEDED, stage_kernels
from chaindp.plugins import Registry, load_plugins
from chaindp.results.table import SampleTable
from chaindp.workload import ProofStatement, TransactionBatch, WorkloadParams, WorkloadSpec
from chaindp_workloads.credentials import Credentials
from execution_world import cpu_kernels

SMALL = {"txs": 64, "block_txs": 32, "accounts": 60, "repeat": 1, "slot_s": 0.001}


def run(registry: Registry, **options: Any) -> tuple[RunOutcome, list[Observed]]:
    found: list[Observed] = []
    config = RunConfig(**(SMALL | options))
    return measure_run(config, registry, SampleTable("run-1"), observe=found.append), found


def spec_of(workload: str, **changes: Any) -> Registry:
    """The plugins that are installed, with another spec of a workload."""
    registry = load_plugins()
    spec = dataclasses.replace(registry.workloads[workload], **changes)
    return dataclasses.replace(registry, workloads={**registry.workloads, workload: spec})


@pytest.fixture(scope="module")
def outcome() -> tuple[RunOutcome, list[Observed]]:
    return run(load_plugins(), workload="credentials", levels=(0, 4))


@pytest.fixture(scope="module")
def passes(outcome: tuple[RunOutcome, list[Observed]]) -> dict[int, PassResult]:
    assert outcome[0].failures == []
    return {one.level: one.result for one in outcome[1] if not one.admit_first}


@pytest.fixture(scope="module")
def workload() -> Credentials:
    """That of the passes with ``admit``: of repetition 0."""
    return Credentials(WorkloadParams(txs=64, block_txs=32, accounts=60), cpu_kernels())


def hash_rows(name: str, rows: np.ndarray) -> np.ndarray:
    digests = b"".join(GOLDEN_HASHES[name](row.tobytes()) for row in rows)
    return np.frombuffer(digests, dtype=np.uint8).reshape(-1, 32)


def audited(blocks: list[BlockInFlight], workload: Any, audit: ProofAudit | None = None) -> None:
    audit_statements(blocks, workload, audit or ProofAudit(), cpu_kernels())


def test_levels_make_the_same_proofs_and_the_golden_hashes_find_them_right(
    passes: dict[int, PassResult], workload: Credentials
) -> None:
    first, second = passes[0].blocks, passes[4].blocks
    assert [block.proofs.contents for block in first] == [block.proofs.contents for block in second]
    (content,) = first[0].proofs.contents
    assert first[0].batch is not None
    (statement,) = workload.proof_statements(first[0].batch)
    said = verify(content, {statement.air.name: statement.air}.get, hash_rows)
    assert (list(said.public), 1 << said.log_rows, said.hiding) == (list(statement.public), statement.rows, True)
    assert said.security_bits >= 100


def test_the_kernels_are_booked_on_the_stage_and_ran_where_the_level_says(passes: dict[int, PassResult]) -> None:
    for level, backend in ((0, BASELINE), (4, "cpu")):
        for block in passes[level].blocks:
            calls = block.spans[Stage.PROVE].calls
            assert {call.backend for call in calls} == {backend}
            assert {call.kernel for call in calls} == {*stage_kernels(proves=True)[Stage.PROVE]} - {"lde"}
            assert all(call.kept for call in calls)
            parts = block.proofs.parts
            assert list(parts) == list(PARTS) and all(parts.values())
            assert sum(parts.values()) <= block.spans[Stage.PROVE].busy_ns


def test_the_table_has_what_proofs_take(
    outcome: tuple[RunOutcome, list[Observed]], passes: dict[int, PassResult]
) -> None:
    frame = outcome[0].table.frame()
    rows = frame[frame["metric"].str.startswith("proof")]
    assert set(rows["metric"]) == {"proofs", "proof_bytes", "proof_verify", *(f"proof_{part}" for part in PARTS)}
    assert set(rows["stage"]) == {"prove"} and set(rows["output_matched"]) == {True} and set(rows["status"]) == {"ok"}
    for level, result in passes.items():
        mine = rows[rows["level"] == level]
        sizes = mine[mine["metric"] == "proof_bytes"].sort_values("block")
        assert sizes["value"].tolist() == [len(block.proofs.contents[0]) for block in result.blocks]
        assert set(sizes["unit"]) == {"bytes"}
        assert (mine[mine["metric"] == "proof_verify"]["value"] > 0).all()


def test_the_audit_refuses_proofs_that_are_not_those_of_the_block(
    passes: dict[int, PassResult], workload: Credentials
) -> None:
    first, second = passes[4].blocks
    audited([first, second], workload)
    (content,) = first.proofs.contents
    flipped = bytearray(content)
    flipped[len(content) // 2] ^= 1

    def with_proofs(*contents: bytes) -> BlockInFlight:
        return dataclasses.replace(first, proofs=BlockProofs(contents))

    for block, message in (
        (with_proofs(), "block 0: 0 proofs, and its transactions ask for 1"),
        (with_proofs(content, content), "block 0: 2 proofs, and its transactions ask for 1"),
        (with_proofs(bytes(flipped)), "block 0: proof 0 does not hold"),
        (with_proofs(*second.proofs.contents), "block 0: proof 0 has other public values than follow"),
        (dataclasses.replace(first, batch=second.batch), "block 0: proof 0 has other public values than follow"),
    ):
        with pytest.raises(CheckFailed, match=message):
            audited([block], workload)

    class Asks:
        def __init__(self, **changes: Any) -> None:
            self.changes = changes

        def proof_statements(self, batch: TransactionBatch) -> Sequence[ProofStatement]:
            return [dataclasses.replace(one, **self.changes) for one in workload.proof_statements(batch)]

    for changes, message in (
        ({"rows": 1024}, "has other rows than follow"),
        ({"hiding": False}, "has other hiding than follow"),
        ({"least_bits": 101}, "does not hold: .* 101 are asked for"),
    ):
        with pytest.raises(CheckFailed, match=message):
            audited([first], Asks(**changes))


def test_what_was_verified_once_is_not_verified_again_and_still_compared(
    passes: dict[int, PassResult], workload: Credentials
) -> None:
    audit = ProofAudit()
    first, second = passes[0].blocks
    audited([first], workload, audit)
    spent = first.proofs.verify_ns
    audited([passes[4].blocks[0]], workload, audit)
    assert passes[4].blocks[0].proofs.verify_ns == spent
    with pytest.raises(CheckFailed, match="other public values"):
        audited([dataclasses.replace(first, batch=second.batch)], workload, audit)


def test_a_workload_whose_table_lies_fails_the_run() -> None:
    class Liar(Credentials):
        def proof_jobs(self, batch: TransactionBatch) -> Any:
            (job,) = super().proof_jobs(batch)
            table = job.table.copy()
            table[-1, 0] ^= 1  # a bit of how long the first credential is valid
            return [dataclasses.replace(job, table=table)]

    result, _ = run(spec_of("credentials", factory=Liar), workload="credentials", levels=(0,), txs=32)
    assert any("block 0: proof 0 does not hold" in failure for failure in result.failures)
    frame = result.table.frame()
    assert "failed" in set(frame["status"])


def test_a_workload_that_proves_has_to_say_so() -> None:
    result, _ = run(spec_of("credentials", proves=False), workload="credentials", levels=(0,), txs=32)
    assert any(
        "credentials asks for proofs, and its spec does not say that it proves" in one for one in result.failures
    )
    with pytest.raises(PluginError, match="are not proven, and it says both"):
        WorkloadSpec(name="x", factory=Credentials, summary="", proves=True, not_executed="no code")


def test_a_backend_without_a_provers_kernels_is_refused_and_the_reason_is_a_row() -> None:
    registry = load_plugins()
    assert parse_backends(["prove=fpga"], registry) == {Stage.PROVE: "fpga"}
    with pytest.raises(UsageError, match=r"fpga does not implement .*lde.*, and the workload asks for proofs"):
        parse_backends(["prove=fpga"], registry, proves=True)
    chosen = parse_backends(["fpga"], registry, proves=True)
    assert Stage.PROVE not in chosen and Stage.MERKLEIZE in chosen
    found = left_out(["fpga"], registry, chosen)
    assert found is not None and found[0] == "fpga" and "fpga does not prove: it does not implement" in found[1]
    assert left_out(["cpu"], registry, parse_backends(["cpu"], registry, proves=True)) is None
    assert left_out(["fpga"], registry, parse_backends(["fpga"], registry)) is None
    assert left_out(["fpga", "prove=cpu"], registry, {Stage.PROVE: "cpu"}) is None
    assert stage_kernels(proves=False) == KERNELS_NEEDED
    assert set(stage_kernels(proves=True)[Stage.PROVE]) - set(KERNELS_NEEDED[Stage.PROVE]) == set(PROVER_KERNELS)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["credentials", "proofs"])
def test_all_levels_in_model_mode(name: str) -> None:
    result, found = run(load_plugins(), workload=name, levels=(0, 1, 2, 3, 4, 5), mode="model", threads=2)
    assert result.failures == []
    assert all(block.proofs.contents for one in found for block in one.result.blocks)


@pytest.mark.slow
def test_requests_are_proven_live() -> None:
    result, found = run(load_plugins(), workload="proofs", levels=(0, 3, 5), backends=("prove=cpu",), threads=2)
    assert result.failures == []
    assert {one.level for one in found} == {0, 3, 5}
