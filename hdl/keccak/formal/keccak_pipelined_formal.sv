// The pipelined Keccak core, for ever: any messages, pauses on both sides, a reset at any time.
//
// Proved by induction, whatever the permutation computes: the handshake rules, one digest for each
// message and none before it is in, the buffer at the end always has room for what is promised, a
// block that waits for the next one of its message is never run over, and nothing locks up.
module keccak_pipelined_formal
  import keccak_pkg::*;
(
  input logic          clk_i,
  input logic          rst_ni,
  input logic [1087:0] s_tdata,
  input logic [ 135:0] s_tkeep,
  input logic          s_tvalid,
  input logic          s_tlast,
  input logic          m_tready
);

  logic [255:0] m_tdata;
  logic [  7:0] owed;
  logic s_tready, m_tvalid, m_tlast, started;

  keccak_pipelined u_dut (
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
    .DataBytes(136)
  ) u_rules (
    .clk_i, .rst_ni, .s_tdata, .s_tkeep, .s_tvalid, .s_tready, .s_tlast, .m_tdata, .m_tvalid,
    .m_tready, .m_tlast, .started_o(started), .owed_o(owed)
  );

  // What is in the pipeline: blocks that end their message, and those that the next one waits for.
  logic [7:0] ending, chained, promised;
  logic [5:0] buffered;
  logic       nothing_behind, empty;

  always_comb begin
    ending = '0;
    chained = '0;
    nothing_behind = 1'b1;
    empty = 1'b1;
    for (int unsigned s = 0; s < NumRounds; s++) begin
      if (u_dut.valid_q[s] && !u_dut.final_q[s] && !empty) nothing_behind = 1'b0;
      if (u_dut.valid_q[s]) empty = 1'b0;
      ending += 8'(u_dut.valid_q[s] && u_dut.final_q[s]);
      chained += 8'(u_dut.valid_q[s] && !u_dut.final_q[s]);
    end
    promised = 8'(u_dut.u_digests.promised_q);
    buffered = 6'(u_dut.u_digests.u_fifo.count);
  end

  always_comb begin
    if (started && rst_ni) begin
      promises_are_kept :
      assert (promised == 8'(buffered) + 8'(m_tvalid) + ending + 8'(u_dut.chaining_q));
      every_message_is_somewhere :
      assert (promised == owed + 8'(u_dut.chaining_q && !u_dut.pad_only_q));
      buffer_has_room :
      assert (u_dut.u_digests.unused_ready
          || !(u_dut.valid_q[NumRounds-1] && u_dut.final_q[NumRounds-1]));
      // What induction needs to know besides.
      one_block_is_waited_for :
      assert (chained == 8'(u_dut.chaining_q));
      nothing_behind_it :
      assert (nothing_behind);
      padding_is_chained :
      assert (u_dut.chaining_q || !u_dut.pad_only_q);
      promises_are_bounded :
      assert (promised <= 8'd32 && buffered <= 6'd32);
    end
  end

  logic moves;
  assign moves = ending != '0 || u_dut.take || u_dut.u_digests.u_fifo.read || m_tvalid
      || (chained != '0 && !u_dut.chain_waits);

  always_comb begin
    if (started && rst_ni && m_tready) begin
      no_lock :
      assert (moves || owed == '0);
    end
  end

endmodule
