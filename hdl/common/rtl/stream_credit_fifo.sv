// The buffer behind a pipeline that does not stop: what enters the pipeline is promised room first.
//
// room_o: one more result may be promised, by promise_i. A promise holds a place
// until the result has left: at most Depth results are on their way or in the buffer, so that one
// which comes out of the pipeline (valid_i) always finds room. Latency 2 cycles, throughput one word
// a cycle. Depth is a power of two, 2 or more.
module stream_credit_fifo #(
  parameter int unsigned Width = 256,
  parameter int unsigned Depth = 32
) (
  input  logic             clk_i,
  input  logic             rst_ni,

  output logic             room_o,
  input  logic             promise_i,

  input  logic [Width-1:0] data_i,
  input  logic             valid_i,

  output logic [Width-1:0] data_o,
  output logic             valid_o,
  input  logic             ready_i
);

  localparam int unsigned CountWidth = $clog2(Depth + 1);

  logic [CountWidth-1:0] promised_q;
  logic                  leaves;
  logic                  unused_ready;  // there is room: it was promised

  assign room_o = promised_q != CountWidth'(Depth);
  assign leaves = valid_o & ready_i;

  stream_ram_fifo #(
    .Width(Width),
    .Depth(Depth)
  ) u_fifo (
    .clk_i,
    .rst_ni,
    .data_i,
    .valid_i,
    .ready_o(unused_ready),
    .data_o,
    .valid_o,
    .ready_i
  );

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      promised_q <= '0;
    end else begin
      promised_q <= promised_q + CountWidth'(promise_i) - CountWidth'(leaves);

`ifndef SYNTHESIS
      promised_with_room :
      assert (room_o || !promise_i);
      result_has_room :
      assert (unused_ready || !valid_i);
      result_was_promised :
      assert (promised_q != '0 || !valid_i);
`endif
    end
  end

endmodule
