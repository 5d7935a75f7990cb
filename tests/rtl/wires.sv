// Passes its input on within the cycle: ready and valid depend on this cycle's inputs, and nothing is kept.
module wires #(
    parameter int unsigned Bytes = 8
) (
    input logic clk_i,
    input logic rst_ni,

    input  logic [8*Bytes-1:0] s_axis_tdata,
    input  logic [  Bytes-1:0] s_axis_tkeep,
    input  logic               s_axis_tvalid,
    output logic               s_axis_tready,
    input  logic               s_axis_tlast,

    output logic [8*Bytes-1:0] m_axis_tdata,
    output logic [  Bytes-1:0] m_axis_tkeep,
    output logic               m_axis_tvalid,
    input  logic               m_axis_tready,
    output logic               m_axis_tlast
);
  logic unused_clock;
  assign unused_clock = clk_i;

  assign s_axis_tready = m_axis_tready && rst_ni;
  assign m_axis_tvalid = s_axis_tvalid && rst_ni;
  assign m_axis_tdata  = s_axis_tdata;
  assign m_axis_tkeep  = s_axis_tkeep;
  assign m_axis_tlast  = s_axis_tlast;
endmodule
