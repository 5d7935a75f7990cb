"""A bug planted in each core fails its cocotb tests, in the test that is there for it."""

import shutil
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "hdl" / "common" / "tb"))

cocotb_run = pytest.importorskip("cocotb_run", reason="cocotb is not installed: pip install 'chaindp[test]'")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(cocotb_run.missing_tools()), reason=cocotb_run.missing_tools() or "-"),
]

SMALL = {"MaxLog2Size": 4}


@pytest.mark.parametrize(
    ("core", "parameters", "file", "before", "after", "failing"),
    [
        ("keccak", {}, "keccak_pkg", "DomainKeccak = 8'h01", "DomainKeccak = 8'h02", "vectors"),
        ("keccak", {}, "keccak_iterative", "last_block_q ? ~digest_valid_q", "last_block_q ? 1'b1", "stalls"),
        ("sha256", {}, "sha256_iterative", "last_q <= word_last", "last_q <= 1'b1", "long_messages"),
        ("sha256", {}, "sha256_pad", "phase_q    <= Message;\n", "", "reset_in_a_message"),
        # The next node takes the place of one that waits at the output.
        ("merkle", {}, "merkle_engine", "node_is_free = !store_q && !emit_q;", "node_is_free = !store_q;", "stalls"),
        # A node that waited in the tree before the reset is taken for a sibling.
        ("merkle", {}, "merkle_engine", "      waiting_q <= '0;\n", "", "reset_in_a_tree"),
        # The writer does not wait for the reader: an assertion of the RTL ends the simulation.
        ("ntt", SMALL, "ntt_reorder", "| (writer_q.index < reader_q.index)", "| 1'b1", "never_read_while_written"),
        ("ntt", SMALL, "ntt_stage", "op.twiddle = pop ? drained_q : '0;", "op.twiddle = '0;", "sizes"),
        # Half a packet stays behind.
        ("ntt", SMALL, "ntt_stage", "      count_q   <= '0;\n", "", "reset_at_either_end"),
        ("poseidon2", {}, "poseidon2", "out_free = ~out_valid_q | m_axis_tready;", "out_free = 1'b1;", "stalls"),
        ("poseidon2", {}, "poseidon2", "      in_beat_q  <= '0;\n", "", "pushed_with_room"),
    ],
)  # fmt: skip
def test_a_planted_bug_fails(tmp_path, core, parameters, file, before, after, failing):
    hdl = tmp_path / "hdl"
    shutil.copytree(cocotb_run.HDL, hdl)
    source = hdl / core / "rtl" / f"{file}.sv"
    text = source.read_text()
    assert text.count(before) == 1
    source.write_text(text.replace(before, after))
    with pytest.raises(AssertionError, match=failing):
        cocotb_run.run(core, parameters=parameters, hdl=hdl, folder=tmp_path / "model")
