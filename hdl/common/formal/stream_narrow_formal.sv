// stream_narrow stores no data, so it can be compared with the beat at its input in every cycle: piece n of a beat,
// then piece n + 1, and the input beat is accepted with its last piece. That is all of data integrity.
module stream_narrow_formal #(
  parameter int unsigned InBytes = 4,
  parameter int unsigned OutBytes = 1
) (
  input logic                 clk_i,
  input logic                 rst_ni,
  input logic [8*InBytes-1:0] s_tdata,
  input logic [  InBytes-1:0] s_tkeep,
  input logic                 s_tvalid,
  input logic                 s_tlast,
  input logic                 m_tready
);

  localparam int unsigned Pieces = InBytes / OutBytes;

  logic [8*OutBytes-1:0] m_tdata;
  logic [  OutBytes-1:0] m_tkeep;
  logic m_tvalid, m_tlast, s_tready, started;

  reset_rules u_reset (.clk_i, .rst_ni, .started_o(started));

  stream_rules #(
    .Bits  (9 * InBytes + 1),
    .Assume(1'b1)
  ) u_in (
    .clk_i, .rst_ni, .payload_i({s_tdata, s_tkeep, s_tlast}), .valid_i(s_tvalid), .ready_i(s_tready)
  );
  keep_rules #(
    .Bytes (InBytes),
    .Assume(1'b1)
  ) u_in_keep (
    .clk_i, .rst_ni, .keep_i(s_tkeep), .last_i(s_tlast), .valid_i(s_tvalid), .ready_i(s_tready)
  );

  stream_narrow #(
    .InBytes (InBytes),
    .OutBytes(OutBytes)
  ) u_dut (
    .clk_i,
    .rst_ni,
    .s_axis_tdata (s_tdata),
    .s_axis_tkeep (s_tkeep),
    .s_axis_tvalid(s_tvalid),
    .s_axis_tready(s_tready),
    .s_axis_tlast (s_tlast),
    .m_axis_tdata (m_tdata),
    .m_axis_tkeep (m_tkeep),
    .m_axis_tvalid(m_tvalid),
    .m_axis_tready(m_tready),
    .m_axis_tlast (m_tlast)
  );

  // Combinational in valid: during reset there is no input either.
  stream_rules #(
    .Bits(9 * OutBytes + 1)
  ) u_out (
    .clk_i, .rst_ni, .payload_i({m_tdata, m_tkeep, m_tlast}),
    .valid_i(m_tvalid && rst_ni), .ready_i(m_tready)
  );
  keep_rules #(
    .Bytes(OutBytes)
  ) u_out_keep (
    .clk_i, .rst_ni, .keep_i(m_tkeep), .last_i(m_tlast), .valid_i(m_tvalid && rst_ni),
    .ready_i(m_tready)
  );

  traffic_cover u_traffic (
    .clk_i, .rst_ni,
    .in_valid_i (s_tvalid), .in_ready_i(s_tready), .in_last_i(s_tlast),
    .out_valid_i(m_tvalid), .out_ready_i(m_tready), .out_last_i(m_tlast)
  );

  // How many pieces of the beat at the input have left.
  logic [31:0] gone_q;
  logic        final_piece;

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) gone_q <= '0;
    else if (m_tvalid && m_tready) gone_q <= s_tready ? '0 : gone_q + 1;
  end

  // The next piece, if there is one, holds no byte of the packet.
  always_comb begin
    final_piece = gone_q == Pieces - 1;
    for (int unsigned i = 0; i + 1 < Pieces; i++) begin
      if (gone_q == i && s_tlast && !s_tkeep[OutBytes*(i+1)]) final_piece = 1'b1;
    end
  end

  always_comb begin
    if (started && rst_ni) begin
      no_more_pieces_than_there_are :
      assert (gone_q < Pieces);
      valid_as_the_input :
      assert (m_tvalid == s_tvalid);
      if (m_tvalid) begin
        right_bytes :
        assert (m_tdata == s_tdata[8*OutBytes*gone_q+:8*OutBytes]);
        right_keep :
        assert (m_tkeep == s_tkeep[OutBytes*gone_q+:OutBytes]);
        right_last :
        assert (m_tlast == (s_tlast && final_piece));
        accepted_with_its_last_piece :
        assert (s_tready == (m_tready && final_piece));
      end
    end
  end

  // What induction needs to know besides: a beat of which pieces have left stays, and has one more.
  always_comb begin
    if (started && rst_ni) begin
      if (gone_q != '0) begin
        beat_still_there :
        assert (u_in.waits_q && (!s_tlast || s_tkeep[OutBytes*gone_q]));
      end
      same_packet :
      assert (u_out_keep.inside_q == (u_in_keep.inside_q || gone_q != '0));
    end
  end

  // And of the design's own counter.
  if (Pieces > 1) begin : gen_index
    always_comb begin
      if (started && rst_ni) begin
        same_count :
        assert (32'(u_dut.gen_pieces.index_q) == gone_q);
      end
    end
  end

endmodule
