// A first-in first-out buffer between two streams; Depth is a power of two, 2 or more.
//
// The memory is written synchronously and read asynchronously (distributed memory on an FPGA).
// Latency 1 cycle, throughput one word a cycle. count_o words can be taken without waiting for the
// writer.
module stream_fifo #(
  parameter int unsigned Width = 32,
  parameter int unsigned Depth = 16,
  localparam int unsigned AddressWidth = $clog2(Depth)
) (
  input  logic                  clk_i,
  input  logic                  rst_ni,

  input  logic [Width-1:0]      data_i,
  input  logic                  valid_i,
  output logic                  ready_o,

  output logic [Width-1:0]      data_o,
  output logic                  valid_o,
  input  logic                  ready_i,

  output logic [AddressWidth:0] count_o
);

  if (Depth < 2 || 2 ** AddressWidth != Depth) begin : gen_bad_depth
    $error("stream_fifo: Depth (%0d) must be a power of two, 2 or more", Depth);
  end

  // One bit more than an address: equal addresses are an empty or a full memory.
  logic [AddressWidth:0] write_q, read_q;
  logic [Width-1:0]      memory_q [Depth];

  assign count_o = write_q - read_q;
  assign ready_o = ~count_o[AddressWidth];
  assign valid_o = count_o != '0;
  assign data_o  = memory_q[read_q[AddressWidth-1:0]];

  always_ff @(posedge clk_i) begin
    if (valid_i && ready_o) begin
      memory_q[write_q[AddressWidth-1:0]] <= data_i;
    end
  end

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      write_q <= '0;
      read_q  <= '0;
    end else begin
      if (valid_i && ready_o) write_q <= write_q + 1'b1;
      if (valid_o && ready_i) read_q <= read_q + 1'b1;
    end
  end

endmodule
