// One stage of a radix-2 decimation-in-frequency NTT over BabyBear, with single-path delay feedback.
//
// Of every 2^(Log2Delay + 1) samples the first half is kept. Each sample b of the second half meets
// its a: a + b goes out at once, a - b takes the place of a, and goes out later, times a power of
// the root, while the next block's first half comes in, or alone where nothing comes. So a stage
// always takes a sample and never waits for one. With active_i low samples pass unchanged.
//
// Source of the structure: S. He, M. Torkelson, A new approach to pipeline FFT processor, 1996.
// Throughput one sample a cycle. Latency from a sample to its sum: 9 enabled cycles, 3 for
// Log2Delay = 0, where the only power is 1; one more from Log2Delay = 5 on, where a block RAM keeps
// the samples. active_i may change only while the stage is empty.
module ntt_stage #(
  parameter int unsigned Log2Delay = 9
) (
  input  logic        clk_i,
  input  logic        rst_ni,
  input  logic        en_i,
  input  logic        active_i,

  input  logic        valid_i,
  input  logic [30:0] data_i,

  output logic        valid_o,
  output logic [30:0] data_o
);

  import babybear_pkg::*;

  localparam int unsigned Delay        = 2**Log2Delay;
  localparam int unsigned AddressWidth = (Log2Delay == 0) ? 1 : Log2Delay;
  localparam bit          UseBlockRam  = Log2Delay >= 5;

  typedef logic [AddressWidth-1:0] address_t;

  // What is done with one sample. Whether it writes, and whether anything goes out, is kept apart,
  // as only that is reset.
  typedef struct packed {
    logic     meet;
    logic     pass;
    address_t twiddle;
    elem_t    sample;
  } op_t;

  // Issue: what happens to the sample that comes in, and which difference goes out.

  logic [Log2Delay:0] count_q;
  address_t           drained_q;
  logic               pending_q;
  logic               second_half, pop, write, emit;
  address_t           place, read_at;
  op_t                op;

  assign second_half = count_q[Log2Delay];
  assign pop         = active_i & ~second_half & pending_q;
  assign write       = active_i & valid_i;
  assign emit        = op.meet | op.pass | pop;
  assign read_at     = second_half ? place : drained_q;

  if (Log2Delay == 0) begin : gen_place_only
    assign place = '0;
  end else begin : gen_place
    assign place = count_q[AddressWidth-1:0];
  end

  always_comb begin
    op.meet    = active_i & valid_i & second_half;
    op.pass    = ~active_i & valid_i;
    op.twiddle = pop ? drained_q : '0;
    op.sample  = data_i;
  end

  // Differences are drained at least as fast as samples come in, so that a place is free, or is
  // read in the same cycle, when a sample needs it.
  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      count_q   <= '0;
      drained_q <= '0;
      pending_q <= 1'b0;
    end else if (en_i) begin
      if (write) count_q <= count_q + 1'b1;
      if (op.meet && (&count_q)) begin
        pending_q <= 1'b1;
      end else if (pop && drained_q == address_t'(Delay - 1)) begin
        pending_q <= 1'b0;
      end
      if (pop) drained_q <= (Log2Delay == 0) ? '0 : drained_q + 1'b1;
    end
  end

  // Read the memory.

  op_t         fetched;
  logic        fetched_emit;
  logic [31:0] kept, stored;

  if (UseBlockRam) begin : gen_block_ram
    // Written two cycles after the read of the same operation: a place is read again no sooner
    // than Delay operations later. And in the cycle of the write no other operation reads it: while
    // a half comes in, its places are gone through in order, by writes and by reads that are at
    // least as far, and where nothing is left to drain, what is read is not used.
    (* no_rw_check *)
    logic [31:0] memory_q [Delay];
    logic [31:0] read_q, kept_q;
    address_t    read_place_q, place_q;
    op_t         read_op_q, op_q;
    logic        read_write_q, read_emit_q, write_q, emit_q;

    always_ff @(posedge clk_i) begin
      if (en_i) begin
        if (write_q) memory_q[place_q] <= stored;
        read_q       <= memory_q[read_at];
        kept_q       <= read_q;
        read_place_q <= place;
        place_q      <= read_place_q;
        read_op_q    <= op;
        op_q         <= read_op_q;
      end
    end

    always_ff @(posedge clk_i or negedge rst_ni) begin
      if (!rst_ni) begin
        {read_write_q, read_emit_q, write_q, emit_q} <= '0;
      end else if (en_i) begin
        {read_write_q, read_emit_q} <= {write, emit};
        {write_q, emit_q}           <= {read_write_q, read_emit_q};

`ifndef SYNTHESIS
        never_read_while_written :
        assert (!((op.meet || pop) && write_q && read_at == place_q));
`endif
      end
    end

    assign fetched       = op_q;
    assign fetched_emit  = emit_q;
    assign kept          = kept_q;
  end else begin : gen_registers
    logic [31:0] memory_q [Delay];
    address_t    read_at_q, place_q;
    op_t         op_q;
    logic        write_q, emit_q;

    always_ff @(posedge clk_i) begin
      if (en_i) begin
        if (write_q) memory_q[place_q] <= stored;
        read_at_q <= read_at;
        place_q   <= place;
        op_q      <= op;
      end
    end

    always_ff @(posedge clk_i or negedge rst_ni) begin
      if (!rst_ni) begin
        {write_q, emit_q} <= '0;
      end else if (en_i) begin
        {write_q, emit_q} <= {write, emit};
      end
    end

    assign fetched       = op_q;
    assign fetched_emit  = emit_q;
    assign kept          = memory_q[read_at_q];
  end

  // Add and subtract. Differences are kept in two's complement, uncorrected.

  logic [31:0] sample, sum_q;
  logic        emit_sum_q, is_sum_q;

  assign sample = {1'b0, fetched.sample};
  assign stored = fetched.meet ? kept - sample : sample;

  always_ff @(posedge clk_i) begin
    if (en_i) begin
      sum_q    <= fetched.pass ? sample : (fetched.meet ? kept + sample : kept);
      is_sum_q <= fetched.meet;
    end
  end

  // Correct: a sum lies below 2 p < 2^32, a difference above -p.

  logic [31:0] corrected;
  elem_t       element_q;
  logic        element_valid_q;

  assign corrected = is_sum_q ? sum_q - {1'b0, Prime} : sum_q + {1'b0, Prime};

  always_ff @(posedge clk_i) begin
    if (en_i) begin
      element_q <= (is_sum_q ? ~corrected[31] : sum_q[31]) ? corrected[30:0] : sum_q[30:0];
    end
  end

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      {emit_sum_q, element_valid_q} <= '0;
    end else if (en_i) begin
      emit_sum_q      <= fetched_emit;
      element_valid_q <= emit_sum_q;
    end
  end

  // Multiply. What is no difference is multiplied by one, the first of the powers.

  if (Log2Delay == 0) begin : gen_no_twiddle
    assign data_o  = element_q;
    assign valid_o = element_valid_q;

    logic unused;
    assign unused = &{1'b0, fetched.twiddle};
  end else begin : gen_twiddle
    localparam int unsigned MulLatency = 6;

    elem_t                 twiddle;
    logic [MulLatency-1:0] valid_q;

    ntt_twiddles #(
      .Log2Size(Log2Delay)
    ) u_twiddles (
      .clk_i,
      .en_i,
      .index_i  (fetched.twiddle),
      .twiddle_o(twiddle)
    );

    field31_mul #(
      .TwoAdicity(TwoAdicity)
    ) u_mul (
      .clk_i,
      .en_i,
      .a_i     (element_q),
      .b_i     (twiddle),
      .result_o(data_o)
    );

    always_ff @(posedge clk_i or negedge rst_ni) begin
      if (!rst_ni) begin
        valid_q <= '0;
      end else if (en_i) begin
        valid_q <= {valid_q[MulLatency-2:0], element_valid_q};
      end
    end

    assign valid_o = valid_q[MulLatency-1];
  end

endmodule
