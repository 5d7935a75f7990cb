// A first-in first-out buffer between two streams, for block memory: it is read synchronously.
//
// Depth is a power of two, 2 or more; one word more waits at the output. Latency 2 cycles,
// throughput one word a cycle.
module stream_ram_fifo #(
  parameter int unsigned Width = 256,
  parameter int unsigned Depth = 32
) (
  input  logic             clk_i,
  input  logic             rst_ni,

  input  logic [Width-1:0] data_i,
  input  logic             valid_i,
  output logic             ready_o,

  output logic [Width-1:0] data_o,
  output logic             valid_o,
  input  logic             ready_i
);

  localparam int unsigned AddressWidth = $clog2(Depth);

  if (Depth < 2 || 2 ** AddressWidth != Depth) begin : gen_bad_depth
    $error("stream_ram_fifo: Depth (%0d) must be a power of two, 2 or more", Depth);
  end

  // One bit more than an address: equal addresses are an empty or a full memory.
  logic [AddressWidth:0] write_q, read_q, count;
  logic                  read;

  // Never read and written at one address in one cycle, as an empty memory is not read.
  (* no_rw_check *)
  logic [Width-1:0]      memory_q [Depth];
  logic [Width-1:0]      data_q;
  logic                  valid_q;

  assign count   = write_q - read_q;
  assign ready_o = ~count[AddressWidth];
  assign read    = (count != '0) & (~valid_q | ready_i);
  assign data_o  = data_q;
  assign valid_o = valid_q;

  always_ff @(posedge clk_i) begin
    if (valid_i && ready_o) begin
      memory_q[write_q[AddressWidth-1:0]] <= data_i;
    end
    if (read) begin
      data_q <= memory_q[read_q[AddressWidth-1:0]];
    end
  end

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      write_q <= '0;
      read_q  <= '0;
      valid_q <= 1'b0;
    end else begin
      if (valid_i && ready_o) write_q <= write_q + 1'b1;
      if (read) read_q <= read_q + 1'b1;
      valid_q <= read | (valid_q & ~ready_i);
    end
  end

endmodule
