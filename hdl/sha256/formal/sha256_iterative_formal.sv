// The iterative SHA-256 core, for ever: any messages, pauses on both sides, a reset at any time.
//
// Proved by induction, whatever the rounds compute: the handshake rules, one digest for each message
// and none before it is in (no message is lost or doubled), a pass always takes the 16 words of one
// block, and nothing locks up: while a digest is owed and the consumer is ready, something moves.
module sha256_iterative_formal #(
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

  logic [255:0] m_tdata;
  logic [  7:0] owed;
  logic s_tready, m_tvalid, m_tlast, started;

  sha256_iterative #(
    .DataBytes(DataBytes)
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

  // The words that wait in the buffer, and which of them are marked as the last of a message.
  logic [15:0] waits, marked;
  logic [ 4:0] count;

  assign count = u_dut.u_words.write_q - u_dut.u_words.read_q;

  for (genvar i = 0; i < 16; i++) begin : gen_words
    logic [3:0] age;  // how many words are to leave before it
    assign age = 4'(i) - u_dut.u_words.read_q[3:0];
    assign waits[i] = 5'(age) < count;
    assign marked[i] = waits[i] && u_dut.u_words.memory_q[i][32];
  end

  // Where a message may be whose last beat is in: short of its padding, its last word in the buffer,
  // in the rounds, at the output.
  logic padding, rounds, digest;
  logic [6:0] cycle;

  assign cycle = u_dut.cycle_q;
  assign padding = u_dut.u_pad.phase_q != 2'd0;
  assign rounds = u_dut.busy_q && u_dut.last_q && (cycle >= 7'd16 || cycle <= 7'd2);
  assign digest = u_dut.digest_valid_q;

  always_comb begin
    if (started && rst_ni) begin
      every_message_is_somewhere :
      assert (owed == 8'(padding) + 8'(marked[15]) + 8'(rounds) + 8'(digest));
      whole_blocks :
      assert (u_dut.u_words.read_q[3:0] == (cycle >= 7'd16 ? 4'd0
          : cycle == 7'd1 || cycle == 7'd2 ? (u_dut.fetching_q ? cycle[3:0] : 4'd0) : cycle[3:0]));
      whole_blocks_come :
      assert (u_dut.u_words.write_q[3:0] == u_dut.u_pad.position_q);
      // What induction needs to know besides.
      marks_end_blocks :
      assert (marked[14:0] == '0);
      length_ends_a_block :
      assert (u_dut.u_pad.phase_q != 2'd3 || u_dut.u_pad.position_q == 4'd15);
      buffer_is_not_overfull :
      assert (count <= 5'd16);
      cycle_in_range :
      assert (cycle <= 7'd64);
      idle_starts_a_fetch :
      assert (u_dut.busy_q || (cycle <= 7'd2 && (cycle == '0 || u_dut.fetching_q)));
      only_a_digest_needs_no_fetch :
      assert (cycle == '0 || cycle > 7'd2 || u_dut.fetching_q || (u_dut.busy_q && u_dut.last_q));
      fetch_was_promised :
      assert (!(u_dut.busy_q && u_dut.last_q && u_dut.fetching_q
              && (cycle == 7'd1 || cycle == 7'd2))
          || count >= 5'd3 - 5'(cycle));
      digest_is_kept :
      assert (!(digest && u_dut.busy_q) || cycle >= 7'd3);
    end
  end

  logic moves;
  assign moves = (u_dut.step && (u_dut.busy_q || u_dut.word_valid))
      || (u_dut.pad_valid && u_dut.pad_ready) || (m_tvalid && m_tready);

  always_comb begin
    if (started && rst_ni && m_tready) begin
      no_lock :
      assert (moves || owed == '0);
    end
  end

endmodule
