// A queue of four entries in registers. valid_o and data_o come from registers and a small
// multiplexer; room_o is a register: whether there is a free entry, so that whoever pushes at most
// once a cycle may do so whenever it is set.
module ntt_fifo #(
  parameter int unsigned Width = 31
) (
  input  logic             clk_i,
  input  logic             rst_ni,

  input  logic             push_i,
  input  logic [Width-1:0] data_i,
  output logic             room_o,

  output logic             valid_o,
  output logic [Width-1:0] data_o,
  input  logic             pop_i
);

  logic [Width-1:0] entries_q [4];
  logic [1:0]       head_q, tail_q;
  logic [2:0]       count_d, count_q;
  logic             room_q;

  assign valid_o = count_q != '0;
  assign data_o  = entries_q[head_q];
  assign count_d = count_q + 3'(push_i) - 3'(pop_i);
  assign room_o  = room_q;

  always_ff @(posedge clk_i) begin
    if (push_i) entries_q[tail_q] <= data_i;
  end

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      head_q  <= '0;
      tail_q  <= '0;
      count_q <= '0;
      room_q  <= 1'b0;
    end else begin
      head_q  <= head_q + 2'(pop_i);
      tail_q  <= tail_q + 2'(push_i);
      count_q <= count_d;
      room_q  <= count_d < 3'd4;

`ifndef SYNTHESIS
      pushed_with_room :
      assert (!(push_i && count_q == 3'd4));
      popped_what_is_there :
      assert (!(pop_i && count_q == '0));
`endif
    end
  end

endmodule
