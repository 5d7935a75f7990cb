// A queue of whole states, each Beats beats long, in a memory.
//
// ready_o says that a complete state waits. take_i claims it and fetches its first beat; pop_i, in the
// cycles after, fetches the others. A beat is at data_o from the cycle after until the next one is
// fetched. Nothing says that the queue is full: who uses it sees to that.
module poseidon2_queue #(
  parameter int unsigned Width  = 124,
  parameter int unsigned Beats  = 4,
  parameter int unsigned States = 32
) (
  input  logic             clk_i,
  input  logic             rst_ni,

  input  logic             push_i,
  input  logic             last_i,
  input  logic [Width-1:0] data_i,

  output logic             ready_o,
  input  logic             take_i,
  input  logic             pop_i,
  output logic [Width-1:0] data_o
);

  localparam int unsigned Places       = Beats * States;
  localparam int unsigned AddressWidth = (Places == 1) ? 1 : $clog2(Places);
  localparam int unsigned CountWidth   = $clog2(States + 1);

  typedef logic [AddressWidth-1:0] address_t;

  // Never read and written at one address in one cycle: what is fetched is of a state that was complete
  // before, and what is written goes to a place that holds none.
  (* no_rw_check *)
  logic [Width-1:0]      memory_q [Places];
  logic [Width-1:0]      data_q;
  address_t              write_at_q, read_at_q;
  logic [CountWidth-1:0] count_q;

  function automatic address_t next(input address_t place);
    return (place == address_t'(Places - 1)) ? '0 : place + 1'b1;
  endfunction

  assign ready_o = count_q != '0;
  assign data_o  = data_q;

  always_ff @(posedge clk_i) begin
    if (push_i) memory_q[write_at_q] <= data_i;
    if (take_i || pop_i) data_q <= memory_q[read_at_q];
  end

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      write_at_q <= '0;
      read_at_q  <= '0;
      count_q    <= '0;
    end else begin
      if (push_i) write_at_q <= next(write_at_q);
      if (take_i || pop_i) read_at_q <= next(read_at_q);
      count_q <= count_q + CountWidth'(push_i & last_i) - CountWidth'(take_i);

`ifndef SYNTHESIS
`ifndef FORMAL  // what is proved of the core is not of the rings, which fill the queues
      // The place of the next read is in use where a state waits or one is being read.
      pushed_with_room :
      assert (!(push_i && write_at_q == read_at_q
                && (count_q != '0 || 32'(read_at_q) % Beats != 0)));
      taken_when_complete :
      assert (!(take_i && count_q == '0));
`endif
`endif
    end
  end

endmodule
