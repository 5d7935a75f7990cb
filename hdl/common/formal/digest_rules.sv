// The stream contract of a core that takes messages and gives a digest of 32 bytes for each: all of
// it but what the digest is.
//
// owed_o is what a proof by induction relates to the core's own state: packets in less packets out.
module digest_rules #(
  parameter int unsigned DataBytes = 8
) (
  input  logic                   clk_i,
  input  logic                   rst_ni,
  input  logic [8*DataBytes-1:0] s_tdata,
  input  logic [  DataBytes-1:0] s_tkeep,
  input  logic                   s_tvalid,
  input  logic                   s_tready,
  input  logic                   s_tlast,
  input  logic [          255:0] m_tdata,
  input  logic                   m_tvalid,
  input  logic                   m_tready,
  input  logic                   m_tlast,
  output logic                   started_o,
  output logic [            7:0] owed_o
);

  reset_rules u_reset (.clk_i, .rst_ni, .started_o);

  stream_rules #(
    .Bits  (9 * DataBytes + 1),
    .Assume(1'b1)
  ) u_in (
    .clk_i, .rst_ni, .payload_i({s_tdata, s_tkeep, s_tlast}), .valid_i(s_tvalid), .ready_i(s_tready)
  );
  keep_rules #(
    .Bytes (DataBytes),
    .Assume(1'b1)
  ) u_in_keep (
    .clk_i, .rst_ni, .keep_i(s_tkeep), .last_i(s_tlast), .valid_i(s_tvalid), .ready_i(s_tready)
  );
  stream_rules #(
    .Bits(257)
  ) u_out (
    .clk_i, .rst_ni, .payload_i({m_tdata, m_tlast}), .valid_i(m_tvalid), .ready_i(m_tready)
  );
  packet_rules #(
    .CountBits(8)
  ) u_packets (
    .clk_i, .rst_ni,
    .in_valid_i (s_tvalid), .in_ready_i(s_tready), .in_last_i(s_tlast),
    .out_valid_i(m_tvalid), .out_ready_i(m_tready), .out_last_i(m_tlast)
  );

  assign owed_o = u_packets.owed_q;

  always_comb begin
    if (started_o && rst_ni && m_tvalid) begin
      digest_is_one_beat :
      assert (m_tlast);
    end
  end

endmodule
