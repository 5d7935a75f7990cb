// The iterative Keccak core, for ever: any messages, pauses on both sides, a reset at any time.
//
// Proved by induction, whatever the permutation computes: the handshake rules, one digest for each
// message and none before it is in (no message is lost or doubled), and that nothing locks up: while
// a digest is owed and the consumer is ready, something moves.
module keccak_iterative_formal #(
  parameter int unsigned RoundsPerCycle = 1,
  parameter int unsigned DataBytes = 8
) (
  input logic                   clk_i,
  input logic                   rst_ni,
  input logic [8*DataBytes-1:0] s_tdata,
  input logic [  DataBytes-1:0] s_tkeep,
  input logic                   s_tvalid,
  input logic                   s_tlast,
  input logic                   m_tready
);

  localparam int unsigned LastStep = 24 / RoundsPerCycle - 1;

  logic [255:0] m_tdata;
  logic [  7:0] owed;
  logic s_tready, m_tvalid, m_tlast, started;

  keccak_iterative #(
    .RoundsPerCycle(RoundsPerCycle),
    .DataBytes     (DataBytes)
  ) u_dut (
    .clk_i,
    .rst_ni,
    .s_axis_tdata (s_tdata),
    .s_axis_tkeep (s_tkeep),
    .s_axis_tvalid(s_tvalid),
    .s_axis_tready(s_tready),
    .s_axis_tlast (s_tlast),
    .m_axis_tdata (m_tdata),
    .m_axis_tvalid(m_tvalid),
    .m_axis_tready(m_tready),
    .m_axis_tlast (m_tlast)
  );

  digest_rules #(
    .DataBytes(DataBytes)
  ) u_rules (
    .clk_i, .rst_ni, .s_tdata, .s_tkeep, .s_tvalid, .s_tready, .s_tlast, .m_tdata, .m_tvalid,
    .m_tready, .m_tlast, .started_o(started), .owed_o(owed)
  );

  // Where a message may be whose last beat is in: in the second half of a pair of lanes that did not
  // fit, short of its padding, in a block that is gathered, in the state, at the output.
  logic held_last, padding, gathered, permuted, digest;

  if (RoundsPerCycle == 2) begin : gen_held
    assign held_last = u_dut.u_absorb.gen_pairs.u_pairs.held_q
        && u_dut.u_absorb.gen_pairs.u_pairs.held_last_q;
  end else begin : gen_none_held
    assign held_last = 1'b0;
  end
  assign padding = u_dut.u_absorb.pad_q;
  assign gathered = u_dut.u_absorb.full_q && u_dut.u_absorb.last_q;
  assign permuted = u_dut.busy_q && u_dut.last_block_q;
  assign digest = u_dut.digest_valid_q;

  always_comb begin
    if (started && rst_ni) begin
      every_message_is_somewhere :
      assert (owed == 8'(held_last) + 8'(padding) + 8'(gathered) + 8'(permuted) + 8'(digest));
      // What induction needs to know besides.
      loads_what_is_there :
      assert (!u_dut.load_q || (u_dut.u_absorb.full_q && (!u_dut.busy_q || u_dut.finish_q)));
      finishes_what_is_there :
      assert (!u_dut.finish_q || (u_dut.busy_q && 32'(u_dut.step_q) == LastStep));
      digest_has_room :
      assert (!(u_dut.finish_q && u_dut.last_block_q && u_dut.digest_valid_q));
      chained_block_is_there :
      assert (!u_dut.finish_q || u_dut.last_block_q || u_dut.load_q);
      step_in_range :
      assert (32'(u_dut.step_q) <= LastStep);
      one_group_at_a_time :
      assert ($onehot(u_dut.u_absorb.position_q));
    end
  end

  logic moves;
  assign moves = u_dut.load_q || u_dut.load_d || u_dut.finish_q || u_dut.finish_d
      || u_dut.u_absorb.write || (m_tvalid && m_tready)
      || (u_dut.busy_q && 32'(u_dut.step_q) != LastStep);

  always_comb begin
    if (started && rst_ni && m_tready) begin
      no_lock :
      assert (moves || owed == '0);
    end
  end

endmodule
