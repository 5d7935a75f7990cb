// The output of the NTT core, for ever: packets of any size, pauses on both sides, a reset at any time.
//
// Proved by induction: the handshake rules, and that the queues at the end of the pipeline and of the
// reordering memory always have room for what is pushed, so that no element is lost there.
module ntt_output_formal #(
  parameter int unsigned MaxLog2Size = 2,
  parameter bit          BitReversed = 1'b0
) (
  input logic        clk_i,
  input logic        rst_ni,
  input logic [31:0] s_tdata,
  input logic [ 4:0] s_tuser,
  input logic        s_tvalid,
  input logic        s_tlast,
  input logic        m_tready
);

  logic [31:0] m_tdata;
  logic s_tready, m_tvalid, m_tlast, started;

  ntt #(
    .MaxLog2Size(MaxLog2Size),
    .BitReversed(BitReversed)
  ) u_dut (
    .clk_i,
    .rst_ni,
    .s_axis_tdata (s_tdata),
    .s_axis_tuser (s_tuser),
    .s_axis_tvalid(s_tvalid),
    .s_axis_tready(s_tready),
    .s_axis_tlast (s_tlast),
    .m_axis_tdata (m_tdata),
    .m_axis_tvalid(m_tvalid),
    .m_axis_tready(m_tready),
    .m_axis_tlast (m_tlast)
  );

  reset_rules u_reset (.clk_i, .rst_ni, .started_o(started));

  stream_rules #(
    .Bits  (38),
    .Assume(1'b1)
  ) u_in (
    .clk_i, .rst_ni, .payload_i({s_tdata, s_tuser, s_tlast}), .valid_i(s_tvalid), .ready_i(s_tready)
  );
  stream_rules #(
    .Bits(33)
  ) u_out (
    .clk_i, .rst_ni, .payload_i({m_tdata, m_tlast}), .valid_i(m_tvalid), .ready_i(m_tready)
  );

  traffic_cover u_traffic (
    .clk_i, .rst_ni,
    .in_valid_i (s_tvalid), .in_ready_i(s_tready), .in_last_i(s_tlast),
    .out_valid_i(m_tvalid), .out_ready_i(m_tready), .out_last_i(m_tlast)
  );

  // A packet has 2^k beats, k being its tuser throughout.
  logic [27:0] beat_q;
  logic [ 4:0] size_q;

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) beat_q <= '0;
    else if (s_tvalid && s_tready) beat_q <= s_tlast ? '0 : beat_q + 1'b1;
  end
  always_ff @(posedge clk_i) begin
    if (s_tvalid && s_tready) size_q <= s_tuser;
  end
  always_comb begin
    if (s_tvalid) begin
      assume (32'(s_tuser) <= MaxLog2Size);
      assume (beat_q == '0 || s_tuser == size_q);
      assume (s_tlast == (beat_q == (28'd1 << s_tuser) - 28'd1));
    end
  end

  logic [2:0] queued;
  assign queued = u_dut.u_queue.count_q;

  always_comb begin
    if (started && rst_ni) begin
      queue_has_room :
      assert (!(u_dut.u_queue.push_i && queued == 3'd4));
      // What induction needs to know besides.
      queue_in_bounds :
      assert (queued <= 3'd4 && (!u_dut.u_queue.room_o || queued < 3'd4)
          && 2'(queued) == u_dut.u_queue.tail_q - u_dut.u_queue.head_q);
    end
  end

  if (!BitReversed) begin : gen_reorder
    logic [2:0] put_out;
    assign put_out = u_dut.gen_reorder.u_reorder.u_out.count_q;

    always_comb begin
      if (started && rst_ni) begin
        output_has_room :
        assert (!(u_dut.gen_reorder.u_reorder.read_valid_q && put_out == 3'd4));
        output_is_counted :
        assert (3'(u_dut.gen_reorder.u_reorder.under_way_q)
            == put_out + 3'(u_dut.gen_reorder.u_reorder.read_valid_q) && put_out <= 3'd3);
        output_in_bounds :
        assert (2'(put_out) == u_dut.gen_reorder.u_reorder.u_out.tail_q
            - u_dut.gen_reorder.u_reorder.u_out.head_q);
      end
    end
  end

endmodule
