// SHA-256 of a stream of messages, padding in hardware.
//
// One packet in is one message of any length, one packet out is its digest of 32 bytes, in the same
// order.
//
// Pipelined = 0: 65 cycles a block of 64 bytes, without a bubble between blocks or messages, as the
// next block is gathered meanwhile. DataBytes is any multiple of 4; a wide beat is taken in over
// several cycles (4 bytes each), which is never slower than the rounds. A node of a Merkle tree, 64
// bytes, is two blocks, as the padding needs one of its own: 130 cycles. Latency of a message of b
// blocks, from its first beat to its digest: 65 * b + 4 cycles.
//
// Pipelined = 1: a block every cycle for messages of one block, a Merkle node every two, as long as
// all messages have the same number of blocks; DataBytes is 64. Where they take turns, the pipeline
// empties between them: 64 and 55 bytes in turn take 68 cycles a pair.
//
// Reference: FIPS 180-4.
module sha256 #(
  parameter bit          Pipelined = 1'b0,
  parameter int unsigned DataBytes = 8
) (
  input  logic                   clk_i,
  input  logic                   rst_ni,

  input  logic [8*DataBytes-1:0] s_axis_tdata,
  input  logic [DataBytes-1:0]   s_axis_tkeep,
  input  logic                   s_axis_tvalid,
  output logic                   s_axis_tready,
  input  logic                   s_axis_tlast,

  output logic [255:0]           m_axis_tdata,
  output logic                   m_axis_tvalid,
  input  logic                   m_axis_tready,
  output logic                   m_axis_tlast
);

  if (Pipelined) begin : gen_pipelined
    if (DataBytes != 64) begin : gen_bad_width
      $error("sha256: Pipelined = 1 goes with DataBytes = 64, not %0d", DataBytes);
    end

    sha256_pipelined u_core (
      .clk_i,
      .rst_ni,
      .s_axis_tdata,
      .s_axis_tkeep,
      .s_axis_tvalid,
      .s_axis_tready,
      .s_axis_tlast,
      .m_axis_tdata,
      .m_axis_tvalid,
      .m_axis_tready,
      .m_axis_tlast
    );
  end else begin : gen_iterative
    sha256_iterative #(
      .DataBytes(DataBytes)
    ) u_core (
      .clk_i,
      .rst_ni,
      .s_axis_tdata,
      .s_axis_tkeep,
      .s_axis_tvalid,
      .s_axis_tready,
      .s_axis_tlast,
      .m_axis_tdata,
      .m_axis_tvalid,
      .m_axis_tready,
      .m_axis_tlast
    );
  end

endmodule
