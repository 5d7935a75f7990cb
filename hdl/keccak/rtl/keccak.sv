// Keccak-256 of a stream of messages, padding in hardware; SHA3-256 with DomainByte = 8'h06.
//
// One packet in is one message of any length, one packet out is its digest of 32 bytes, in the same
// order.
//
// Pipelined = 0: RoundsPerCycle = 1 (24 cycles a block of 136 bytes) or 2 (12 cycles), without a
// bubble between blocks or messages, as the next block is gathered meanwhile. DataBytes is any
// multiple of 8 * RoundsPerCycle; a wide beat is taken in over several cycles, 8 * RoundsPerCycle
// bytes each, which is never slower than the permutation: a message of 64 bytes, a node of a Merkle
// tree, takes 24 (12) cycles. Latency of a message of one block and n bytes from its first beat to
// its digest: n / (8 * RoundsPerCycle), rounded down, + 24 / RoundsPerCycle + 3 cycles.
//
// Pipelined = 1: a block every cycle for messages of one block, 24 cycles a block for longer ones;
// DataBytes is 136.
//
// Reference: FIPS 202 and "The Keccak reference", version 3.0 (keccak.team).
module keccak
  import keccak_pkg::*;
#(
  parameter bit          Pipelined      = 1'b0,
  parameter int unsigned RoundsPerCycle = 1,
  parameter int unsigned DataBytes      = 8,
  parameter logic [7:0]  DomainByte     = DomainKeccak
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

  // The domain bits and the first bit of the padding, so not 0; the last bit of the padding is
  // the highest one of the same byte where that ends a block.
  if (DomainByte == 8'h00 || DomainByte[7]) begin : gen_bad_domain
    $error("keccak: DomainByte (8'h%02h) must be from 8'h01 to 8'h7f", DomainByte);
  end

  if (Pipelined) begin : gen_pipelined
    if (RoundsPerCycle != 1 || DataBytes != 136) begin : gen_bad_parameters
      $error("keccak: Pipelined = 1 goes with RoundsPerCycle = 1 and DataBytes = 136");
    end

    keccak_pipelined #(
      .DomainByte(DomainByte)
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
  end else begin : gen_iterative
    keccak_iterative #(
      .RoundsPerCycle(RoundsPerCycle),
      .DataBytes     (DataBytes),
      .DomainByte    (DomainByte)
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
