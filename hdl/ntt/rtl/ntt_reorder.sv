// Bit-reversed packets of 2^log2_size_i elements to natural order, within one memory of
// 2^MaxLog2Size elements.
//
// Packets are written and read in the same order of places, one packet behind the other: a place is
// written as soon as the packet before has left it. That order is 0, 1, 2, ... for every other
// packet and the bit-reversed one for those between: each of them undoes the other. An element is
// read as soon as it is there, not once its packet is complete.
//
// Throughput one element a cycle. start_i says, while the module is empty, that log2_size_i is
// another from the next cycle on.
module ntt_reorder #(
  parameter int unsigned MaxLog2Size = 10
) (
  input  logic        clk_i,
  input  logic        rst_ni,
  input  logic        start_i,
  input  logic [4:0]  log2_size_i,

  input  logic        valid_i,
  output logic        ready_o,
  input  logic [30:0] data_i,

  output logic        valid_o,
  input  logic        ready_i,
  output logic [30:0] data_o,
  output logic        last_o
);

  localparam int unsigned Width = MaxLog2Size;

  typedef logic [Width-1:0] index_t;

  function automatic index_t reversed(input index_t index);
    index_t result;
    for (int unsigned i = 0; i < Width; i++) result[i] = index[Width-1-i];
    return result;
  endfunction

  // Packets of one element are handled as pairs, which need no reordering either.
  logic       single_q;
  index_t     last_q;
  index_t     step_q;
  logic [4:0] paired_size;

  assign paired_size = (log2_size_i == '0) ? 5'd1 : log2_size_i;

  // The index of an element within its packet, and the same moved to the top, so that a plain
  // reversal of all bits is the reversal of as many as count.
  typedef struct packed {
    index_t index;
    index_t high;
    logic   odd;
  } side_t;

  side_t  writer_q, reader_q;
  logic   ahead_q;
  logic   write, read, room;
  index_t write_at, read_at, arrival;

  // ahead_q: the writer is in the packet after the reader's.
  assign arrival  = reversed(reader_q.high);
  assign ready_o  = ~ahead_q | (writer_q.index < reader_q.index);
  assign write    = valid_i & ready_o;
  assign read     = room & (ahead_q | (arrival < writer_q.index));
  assign write_at = writer_q.odd ? reversed(writer_q.high) : writer_q.index;
  assign read_at  = reader_q.odd ? reader_q.index : arrival;

  function automatic side_t next(input side_t side, input index_t last, input index_t step);
    side_t result;
    result.index = side.index + 1'b1;
    result.high  = side.high + step;
    result.odd   = side.odd;
    if (side.index == last) begin
      result.index = '0;
      result.high  = '0;
      result.odd   = ~side.odd;
    end
    return result;
  endfunction

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      writer_q <= '0;
      reader_q <= '0;
      ahead_q  <= 1'b0;
      last_q   <= '0;
      step_q   <= '0;
      single_q <= 1'b0;
    end else if (start_i) begin
      writer_q <= '0;
      reader_q <= '0;
      ahead_q  <= 1'b0;
      single_q <= log2_size_i == '0;
      last_q   <= index_t'((32'd1 << paired_size) - 32'd1);
      step_q   <= index_t'((32'd1 << Width) >> paired_size);
    end else begin
      if (write) writer_q <= next(writer_q, last_q, step_q);
      if (read) reader_q <= next(reader_q, last_q, step_q);
      if (write && writer_q.index == last_q) begin
        ahead_q <= 1'b1;
      end else if (read && reader_q.index == last_q) begin
        ahead_q <= 1'b0;
      end

`ifndef SYNTHESIS
`ifndef FORMAL  // the proofs are not of the memory
      never_read_while_written :
      assert (!(read && write && read_at == write_at));
`endif
`endif
    end
  end

  // Never read and written at one address in one cycle, where the read is used: in its own packet the
  // reader takes only what was written before, and in the next one the writer takes only the place
  // of what was read before.
  (* no_rw_check *)
  logic [30:0] memory_q [2**Width];
  logic [30:0] read_data_q;
  logic        read_valid_q, read_last_q;

  always_ff @(posedge clk_i) begin
    if (write) memory_q[write_at] <= data_i;
    read_data_q <= memory_q[read_at];
    read_last_q <= single_q | (reader_q.index == last_q);
  end

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      read_valid_q <= 1'b0;
    end else begin
      read_valid_q <= read;
    end
  end

  // Room for what was read a cycle ago and what is read now.
  logic [1:0]  under_way_q;
  logic        fifo_room;
  assign room = under_way_q < 2'd3;

  logic unused;
  assign unused = fifo_room;

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      under_way_q <= '0;
    end else begin
      under_way_q <= under_way_q + 2'(read) - 2'(valid_o & ready_i);
    end
  end

  ntt_fifo #(
    .Width(32)
  ) u_out (
    .clk_i,
    .rst_ni,
    .push_i (read_valid_q),
    .data_i ({read_last_q, read_data_q}),
    .room_o (fifo_room),
    .valid_o,
    .data_o ({last_o, data_o}),
    .pop_i  (valid_o & ready_i)
  );

endmodule
