// The packets of a small NTT core, in the first cycles after a reset: packets of any size, one after
// another, pauses on both sides. Elements are not looked at, only how many come.
module ntt_packets_formal #(
  parameter int unsigned MaxLog2Size = 2,
  parameter bit          BitReversed = 1'b0,
  parameter int unsigned Patience = 12  // see packet_rules
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

  // No other reset: each starts the same, and where it may come anywhere the solver takes long.
  always_comb assume (!started || rst_ni);

  stream_rules #(
    .Bits  (6),
    .Assume(1'b1)
  ) u_in (
    .clk_i, .rst_ni, .payload_i({s_tuser, s_tlast}), .valid_i(s_tvalid), .ready_i(s_tready)
  );
  stream_rules #(
    .Bits(1)
  ) u_out (
    .clk_i, .rst_ni, .payload_i(m_tlast), .valid_i(m_tvalid), .ready_i(m_tready)
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

  packet_rules #(
    .Patience (Patience),
    .CountBits(5)
  ) u_packets (
    .clk_i, .rst_ni,
    .in_valid_i (s_tvalid), .in_ready_i(s_tready), .in_last_i(s_tlast),
    .out_valid_i(m_tvalid), .out_ready_i(m_tready), .out_last_i(m_tlast)
  );

  // Packets leave with as many beats as they came with, in their order: their sizes wait here.
  logic [4:0] sizes_q [16];
  logic [3:0] write_q, read_q;
  logic [27:0] out_beat_q;

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      write_q <= '0;
      read_q <= '0;
      out_beat_q <= '0;
    end else begin
      if (s_tvalid && s_tready && s_tlast) write_q <= write_q + 1'b1;
      if (m_tvalid && m_tready) begin
        out_beat_q <= m_tlast ? '0 : out_beat_q + 1'b1;
        read_q <= read_q + 4'(m_tlast);
      end
    end
  end
  always_ff @(posedge clk_i) begin
    if (s_tvalid && s_tready && s_tlast) sizes_q[write_q] <= s_tuser;
  end

  always_comb begin
    if (started && rst_ni && m_tvalid) begin
      as_long_as_it_came :
      assert (m_tlast == (out_beat_q == (28'd1 << sizes_q[read_q]) - 28'd1));
    end
  end

endmodule
