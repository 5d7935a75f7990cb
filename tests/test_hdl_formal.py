"""The formal proofs of the stream handshakes (``hdl/*/formal/proofs.toml``), and that planted bugs do not pass them."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

import pytest

from conftest import REPOSITORY

HDL = REPOSITORY / "hdl"

sys.path.append(str(HDL / "common" / "formal"))
import prove  # noqa: E402

PROOFS = {
    f"{core}-{name}": proof
    for core in sorted(path.parents[1].name for path in HDL.glob("*/formal/proofs.toml"))
    for name, proof in prove.load_proofs(core).items()
}

slow = pytest.mark.slow

missing = prove.missing_tools()
pytestmark = pytest.mark.skipif(bool(missing), reason=missing)


@pytest.mark.parametrize(
    "proof", [pytest.param(proof, id=name, marks=() if proof.quick else slow) for name, proof in PROOFS.items()]
)
def test_holds(proof: prove.Proof, tmp_path: Path) -> None:
    outcome = prove.run_proof(proof, tmp_path)
    assert outcome.status == "PASS", f"{outcome.status} {outcome.failed}\n{outcome.log[-3000:]}"


@slow
@pytest.mark.parametrize("name", PROOFS)
def test_there_is_traffic(name: str, tmp_path: Path) -> None:
    """What is proved is not empty: packets get through, or where that takes the solver too long, one gets in."""
    depth = PROOFS[name].cover
    outcome = prove.run_proof(dataclasses.replace(PROOFS[name], mode="cover", depth=depth or 5), tmp_path)
    due = {"a_packet_in"} | ({"two_packets_in", "two_packets_out_of_a_stalled_output"} if depth else set())
    assert due <= set(outcome.reached), f"{outcome.status}\n{outcome.log[-3000:]}"


def with_bug(proof: prove.Proof, file: str, right: str, wrong: str) -> prove.Proof:
    """The proof of a design in which ``right``, which must be in ``file`` exactly once, is ``wrong``."""
    return dataclasses.replace(proof, edit=(*proof.edit, {"file": file, "from": right, "to": wrong}))


@pytest.mark.parametrize(
    ("proof", "file", "right", "wrong", "finds"),
    [
        # A piece of a beat is dropped, one comes twice, the packet ends early.
        pytest.param(
            "common-stream_narrow_4_to_1", "stream_narrow.sv",
            "assign s_axis_tready = m_axis_tready & final_piece;", "assign s_axis_tready = m_axis_tready;",
            "accepted_with_its_last_piece",
            id="narrow-drops-a-piece",
        ),
        pytest.param(
            "common-stream_narrow_4_to_1", "stream_narrow.sv",
            "assign m_axis_tlast  = s_axis_tlast & final_piece;", "assign m_axis_tlast  = s_axis_tlast;",
            "right_last",
            id="narrow-ends-early",
        ),
        pytest.param(
            "common-stream_narrow_4_to_1", "stream_narrow.sv",
            "end else if (s_axis_tvalid && m_axis_tready) begin", "end else if (s_axis_tvalid) begin",
            "beat_unchanged",
            id="narrow-goes-on-while-stalled",
        ),
        # Words are lost where the buffer is full, or come twice where the consumer is slow.
        pytest.param(
            "common-stream_fifo", "stream_fifo.sv",
            "assign ready_o = ~count_o[AddressWidth];", "assign ready_o = 1'b1;",
            "never_overfull",
            id="fifo-overflows",
        ),
        pytest.param(
            "common-stream_ram_fifo", "stream_ram_fifo.sv",
            "assign read    = (count != '0) & (~valid_q | ready_i);", "assign read    = count != '0;",
            "beat_unchanged",
            id="ram-fifo-overwrites-its-output",
        ),
        # A beat is swallowed: its packet never ends.
        pytest.param(
            "ntt-packets_bit_reversed", "ntt.sv",
            "assign valid[0] = s_axis_tvalid & s_axis_tready;",
            "assign valid[0] = s_axis_tvalid & s_axis_tready & ~s_axis_tlast;",
            "packet_comes",
            id="ntt-swallows-a-beat", marks=slow,
        ),
        # The root is emitted while the last node waits at the output.
        pytest.param(
            "merkle-control", "merkle_engine.sv",
            "assign node_is_free = !store_q && !emit_q;", "assign node_is_free = !store_q;",
            "beat_unchanged",
            id="merkle-overwrites-its-output", marks=slow,
        ),
        # The next tree's root may come first.
        pytest.param(
            "merkle-pipeline_root_only", "merkle_pipeline.sv",
            "&& !(draining_q && (EmitNodes || pair_last));", ";",
            "one_tree_climbs",
            id="merkle-pipeline-mixes-trees", marks=slow,
        ),
    ],
)  # fmt: skip
def test_a_planted_bug_has_a_counterexample(
    proof: str, file: str, right: str, wrong: str, finds: str, tmp_path: Path
) -> None:
    # Bounded, and deep enough for the bug, so that what is found starts at reset.
    planted = dataclasses.replace(with_bug(PROOFS[proof], file, right, wrong), mode="bmc", depth=16)
    outcome = prove.run_proof(planted, tmp_path)
    assert outcome.status == "FAIL"
    assert any(finds in place for place in outcome.failed), outcome.failed
    assert list(tmp_path.glob("proof/engine_0/*.vcd"))


@slow
@pytest.mark.parametrize(
    ("proof", "file", "right", "wrong"),
    [
        # The next digest does not wait for the one that is stalled.
        pytest.param(
            "keccak-iterative", "keccak_iterative.sv",
            "(last_block_q ? ~digest_valid_q : block_soon)", "(last_block_q ? 1'b1 : block_soon)",
            id="keccak-overwrites-its-digest",
        ),
        # Valid is withdrawn though the consumer was not ready.
        pytest.param(
            "keccak-iterative", "keccak_iterative.sv",
            "end else if (m_axis_tready) begin\n        digest_valid_q <= 1'b0;",
            "end else begin\n        digest_valid_q <= 1'b0;",
            id="keccak-withdraws-valid",
        ),
        pytest.param(
            "sha256-iterative", "sha256_iterative.sv",
            "cycle_64 ? ~digest_valid_q :", "cycle_64 ? 1'b1 :",
            id="sha256-changes-its-digest",
        ),
        # A message whose padding needs another block is forgotten.
        pytest.param(
            "keccak-iterative", "keccak_absorb.sv",
            "pad_d      = ~ends & group_last;", "pad_d      = 1'b0;",
            id="keccak-loses-a-message",
        ),
        # A third chain: a level's ring of three slots is too small for it.
        pytest.param(
            "merkle-control", "merkle_engine.sv",
            "&& leaf_op_valid_q && !draining_q\n      && chains_q != 2'd2;", "&& leaf_op_valid_q && !draining_q;",
            id="merkle-starts-a-third-chain",
        ),
        # The next tree's nodes mix with the last one's.
        pytest.param(
            "merkle-control", "merkle_engine.sv",
            "leaf_op_valid_q && !draining_q\n", "leaf_op_valid_q\n",
            id="merkle-mixes-trees",
        ),
        # A leaf takes the place of one that is still to be read.
        pytest.param(
            "merkle-control", "merkle_engine.sv",
            "&& !(leaf_op_valid_q && (waiting_q[0] || s_axis_tlast));", ";",
            id="merkle-takes-a-leaf-too-many",
        ),
        # More is let into a pipeline than the buffer behind it has room for.
        pytest.param(
            "keccak-pipelined", "stream_credit_fifo.sv",
            "assign room_o = promised_q != CountWidth'(Depth);", "assign room_o = 1'b1;",
            id="keccak-pipelined-overflows",
        ),
        pytest.param(
            "sha256-pipelined", "stream_credit_fifo.sv",
            "assign room_o = promised_q != CountWidth'(Depth);", "assign room_o = 1'b1;",
            id="sha256-pipelined-overflows",
        ),
        pytest.param(
            "merkle-pipeline", "merkle_pipeline.sv",
            "&& count_q != CountBits'(InFlight) ", "",
            id="merkle-pipeline-overflows",
        ),
        pytest.param(
            "ntt-output", "ntt_fifo.sv",
            "room_q  <= count_d < 3'd4;", "room_q  <= 1'b1;",
            id="ntt-queue-overflows",
        ),
        pytest.param(
            "ntt-output", "ntt_reorder.sv",
            "assign room = under_way_q < 2'd3;", "assign room = 1'b1;",
            id="ntt-output-overflows",
        ),
        pytest.param(
            "poseidon2-output", "poseidon2.sv",
            "assign out_free = ~out_valid_q | m_axis_tready;", "assign out_free = 1'b1;",
            id="poseidon2-goes-on-while-stalled",
        ),
    ],
)  # fmt: skip
def test_a_planted_bug_is_not_proved(proof: str, file: str, right: str, wrong: str, tmp_path: Path) -> None:
    """Deep in a core a counterexample from reset may be long; that the induction fails is enough here."""
    planted = with_bug(PROOFS[proof], file, right, wrong)
    assert prove.run_proof(planted, tmp_path).status in ("FAIL", "UNKNOWN")


def test_an_edit_that_does_not_apply_is_an_error(tmp_path: Path) -> None:
    proof = with_bug(PROOFS["common-stream_fifo"], "stream_fifo.sv", "not in there", "")
    with pytest.raises(ValueError, match="is not once in"):
        prove.run_proof(proof, tmp_path)
    proof = with_bug(PROOFS["common-stream_fifo"], "elsewhere.sv", "", "")
    with pytest.raises(ValueError, match=r"no source is called elsewhere\.sv"):
        prove.run_proof(proof, tmp_path)


def test_a_wire_that_is_not_there_cannot_be_cut(tmp_path: Path) -> None:
    proof = dataclasses.replace(PROOFS["common-stream_fifo"], cut=("u_dut.renamed",))
    outcome = prove.run_proof(proof, tmp_path)
    assert outcome.status == "ERROR"
    assert "selection contains 0 elements" in outcome.log
