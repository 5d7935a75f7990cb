// The pipelined SHA-256 core, for ever: any messages, pauses on both sides, a reset at any time.
//
// Proved by induction, whatever the rounds compute: the handshake rules, one digest for each message
// and none before it is in, the buffer at the end always has room for what is promised, every second
// block of padding is counted until it enters, and nothing locks up. That digests keep the order of the
// messages is for simulation to show.
module sha256_pipelined_formal
  import sha256_pkg::*;
#(
  parameter int unsigned BufferDepth = 128  // as in the core
) (
  input logic         clk_i,
  input logic         rst_ni,
  input logic [511:0] s_tdata,
  input logic [ 63:0] s_tkeep,
  input logic         s_tvalid,
  input logic         s_tlast,
  input logic         m_tready
);

  logic [255:0] m_tdata;
  logic [  7:0] owed;
  logic s_tready, m_tvalid, m_tlast, started;

  sha256_pipelined u_dut (
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
    .DataBytes(64)
  ) u_rules (
    .clk_i, .rst_ni, .s_tdata, .s_tkeep, .s_tvalid, .s_tready, .s_tlast, .m_tdata, .m_tvalid,
    .m_tready, .m_tlast, .started_o(started), .owed_o(owed)
  );

  // Blocks in the pipeline: those that end their message, those whose second block follows by itself,
  // and those that the next beat of their message waits for.
  localparam int unsigned Stages = NumRounds + 2;

  logic [Stages-1:0] valid, ends, again;
  logic [       7:0] ending, repeating, chained, buffered, promised;

  assign {valid[0], ends[0], again[0]} =
      {u_dut.tag_in_q.valid, u_dut.tag_in_q.ends, u_dut.tag_in_q.again};
  for (genvar s = 0; s <= NumRounds; s++) begin : gen_tags
    assign {valid[s+1], ends[s+1], again[s+1]} =
        {u_dut.tag_q[s].valid, u_dut.tag_q[s].ends, u_dut.tag_q[s].again};
  end

  always_comb begin
    ending = '0;
    repeating = '0;
    chained = '0;
    for (int unsigned s = 0; s < Stages; s++) begin
      ending += 8'(valid[s] && ends[s]);
      repeating += 8'(valid[s] && again[s]);
      chained += 8'(valid[s] && !ends[s] && !again[s]);
    end
    promised = 8'(u_dut.u_digests.promised_q);
    buffered = 8'(u_dut.u_digests.u_fifo.count);
  end

  always_comb begin
    if (started && rst_ni) begin
      promises_are_kept :
      assert (promised == buffered + 8'(m_tvalid) + 8'(u_dut.digest_sum_q) + ending
          + repeating + 8'(u_dut.chaining_q));
      every_message_is_somewhere :
      assert (promised == owed + 8'(u_dut.chaining_q && !u_dut.pad_only_q));
      buffer_has_room :
      assert (u_dut.u_digests.unused_ready || !u_dut.digest_sum_q);
      second_blocks_are_counted :
      assert (8'(u_dut.seconds_q) == repeating);
      // What induction needs to know besides.
      one_block_is_waited_for :
      assert (chained + 8'(u_dut.kept_sum_q) + 8'(u_dut.hash_held_q) == 8'(u_dut.chaining_q));
      one_kind_each :
      assert ((valid & ends & again) == '0);
      padding_is_chained :
      assert (u_dut.chaining_q || !u_dut.pad_only_q);
      promises_are_bounded :
      assert (32'(promised) <= BufferDepth && 32'(buffered) <= BufferDepth);
    end
  end

  logic moves;
  assign moves = valid != '0 || u_dut.take || u_dut.pad_only || u_dut.digest_sum_q
      || u_dut.kept_sum_q || u_dut.u_digests.u_fifo.read || m_tvalid;

  always_comb begin
    if (started && rst_ni && m_tready) begin
      no_lock :
      assert (moves || owed == '0);
    end
  end

endmodule
