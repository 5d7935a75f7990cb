// The two ends of the Poseidon2 core, for ever: any packets, pauses on both sides, a reset at any time.
//
// Proved by induction: the handshake rules, output packets as long as a state, and that the memory
// behind the input is never written past its end. The rings between the ends are not looked at: that
// each state comes out once is for simulation to show.
module poseidon2_output_formal #(
  parameter int unsigned Lanes = 4
) (
  input logic                clk_i,
  input logic                rst_ni,
  input logic [32*Lanes-1:0] s_tdata,
  input logic                s_tvalid,
  input logic                s_tlast,
  input logic                m_tready
);

  localparam int unsigned Beats = 16 / Lanes;

  logic [32*Lanes-1:0] m_tdata;
  logic s_tready, m_tvalid, m_tlast, started;

  poseidon2 #(
    .Lanes(Lanes)
  ) u_dut (
    .clk_i,
    .rst_ni,
    .s_axis_tdata (s_tdata),
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
    .Bits  (32 * Lanes + 1),
    .Assume(1'b1)
  ) u_in (
    .clk_i, .rst_ni, .payload_i({s_tdata, s_tlast}), .valid_i(s_tvalid), .ready_i(s_tready)
  );
  stream_rules #(
    .Bits(32 * Lanes + 1)
  ) u_out (
    .clk_i, .rst_ni, .payload_i({m_tdata, m_tlast}), .valid_i(m_tvalid), .ready_i(m_tready)
  );

  traffic_cover u_traffic (
    .clk_i, .rst_ni,
    .in_valid_i (s_tvalid), .in_ready_i(s_tready), .in_last_i(s_tlast),
    .out_valid_i(m_tvalid), .out_ready_i(m_tready), .out_last_i(m_tlast)
  );

  logic [4:0] out_beat_q;

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) out_beat_q <= '0;
    else if (m_tvalid && m_tready) out_beat_q <= m_tlast ? '0 : out_beat_q + 1'b1;
  end

  // Beats behind the input: those of whole states, those of one that comes in, and those of one that
  // the ring is taking.
  logic [7:0] behind_input, to_pop;
  assign to_pop = u_dut.u_external.source_q == 2'd3
      ? 8'((32'd2 * Beats - 32'd2 - 32'(u_dut.u_external.beat_q)) % Beats) : '0;
  assign behind_input = 8'(Beats * u_dut.u_in.count_q) + 8'(u_dut.in_beat_q) + to_pop;

  always_comb begin
    if (started && rst_ni) begin
      input_is_counted :
      assert (8'(u_dut.in_count_q) == behind_input);
      input_has_room :
      assert (32'(behind_input) <= 4 * Beats);
      beat_in_range :
      assert (32'(u_dut.in_beat_q) < Beats);
      if (m_tvalid) begin
        as_long_as_a_state :
        assert (m_tlast == (32'(out_beat_q) == Beats - 1));
      end
      // What induction needs to know besides.
      beats_are_counted :
      assert (m_tvalid ? 5'(u_dut.out_beat_q) == out_beat_q && 32'(out_beat_q) < Beats
          : out_beat_q == '0);
    end
  end

endmodule
