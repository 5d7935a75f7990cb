// Keccak-256, RoundsPerCycle rounds a cycle: 24 / RoundsPerCycle cycles a block, with no bubble
// between blocks.
//
// The next block is gathered while the permutation runs (keccak_absorb) and enters the state in the
// cycle of the last round. A permutation therefore waits before its last round: for the next block
// of its message, or, if it is the last one, until the digest before it has left. Only the control
// has a reset: no data is looked at before it was written. From the block complete to the digest:
// 24 / RoundsPerCycle + 1 cycles.
module keccak_iterative
  import keccak_pkg::*;
#(
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

  if (RoundsPerCycle != 1 && RoundsPerCycle != 2) begin : gen_bad_rounds
    $error("keccak: RoundsPerCycle (%0d) must be 1 or 2", RoundsPerCycle);
  end
  if (DataBytes == 0 || DataBytes % (8 * RoundsPerCycle) != 0) begin : gen_bad_width
    $error("keccak: DataBytes (%0d) must be a multiple of %0d", DataBytes, 8 * RoundsPerCycle);
  end

  localparam int unsigned NumSteps  = NumRounds / RoundsPerCycle;
  localparam int unsigned StepWidth = $clog2(NumSteps);

  // Control, one cycle ahead of the state: what steers all of its bits comes from a register.

  logic                 busy_q, busy_d;
  logic                 last_block_q;        // the state ends in a digest
  logic [StepWidth-1:0] step_q, step_d;
  logic                 at_end_d;            // the next cycle is that of the last step
  logic                 advance_q, advance_d;
  logic                 finish_q, finish_d;  // the last step is done
  logic                 load_q, load_d;      // a block enters
  logic                 fresh_q;             // ... into a state of zeros
  logic                 digest_valid_q;

  block_t block;
  logic   block_soon, block_first, block_last;

  keccak_absorb #(
    .DataBytes (DataBytes),
    .GroupLanes(RoundsPerCycle),
    .DomainByte(DomainByte)
  ) u_absorb (
    .clk_i,
    .rst_ni,
    .s_axis_tdata,
    .s_axis_tkeep,
    .s_axis_tvalid,
    .s_axis_tready,
    .s_axis_tlast,
    .block_o      (block),
    .block_soon_o (block_soon),
    .block_take_i (load_q),
    .block_first_o(block_first),
    .block_last_o (block_last)
  );

  assign busy_d   = load_q | (busy_q & ~finish_q);
  assign at_end_d = busy_d & (step_d == StepWidth'(NumSteps - 1));

  always_comb begin
    step_d = step_q;
    if (load_q) begin
      step_d = '0;
    end else if (busy_q && step_q != StepWidth'(NumSteps - 1)) begin
      step_d = step_q + 1'b1;
    end
  end

  // A digest that leaves in this very cycle still counts as in the way, so that nothing here waits
  // for the consumer's ready.
  assign finish_d  = at_end_d & (last_block_q ? ~digest_valid_q : block_soon);
  assign load_d    = block_soon & (finish_d | ~busy_d);
  assign advance_d = load_d | finish_d | (busy_d & ~at_end_d);

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      busy_q         <= 1'b0;
      last_block_q   <= 1'b0;
      step_q         <= '0;
      advance_q      <= 1'b0;
      finish_q       <= 1'b0;
      load_q         <= 1'b0;
      fresh_q        <= 1'b0;
      digest_valid_q <= 1'b0;
    end else begin
      busy_q    <= busy_d;
      step_q    <= step_d;
      advance_q <= advance_d;
      finish_q  <= finish_d;
      load_q    <= load_d;
      fresh_q   <= load_d & block_first;
      if (load_q) last_block_q <= block_last;
      if (finish_q && last_block_q) begin
        digest_valid_q <= 1'b1;
      end else if (m_axis_tready) begin
        digest_valid_q <= 1'b0;
      end
    end
  end

  // The state. A block enters behind chi. Where it enters a state of zeros, the lanes are forced to
  // zero in front of chi, where gates have an input to spare; the digest, which may leave in the
  // same cycle, has a chi of its own.

  state_t state_q, state_d, last_state, moved;
  state_t last_moved, last_added;
  lane_t  last_constant_q;
  lane_t  digest_q [DigestLanes];
  lane_t  permuted [DigestLanes];

  // The state before the last of this cycle's rounds.
  if (RoundsPerCycle == 1) begin : gen_one
    always_ff @(posedge clk_i) begin
      last_constant_q <= RoundConstants[step_d];
    end

    assign last_state = state_q;
  end else begin : gen_two
    column_t theta;
    state_t  first_moved, first_added;
    lane_t   first_constant_q;

    keccak_columns u_columns (
      .state_i(state_q),
      .theta_o(theta)
    );

    always_ff @(posedge clk_i) begin
      first_constant_q <= RoundConstants[{step_d, 1'b0}];
      last_constant_q  <= RoundConstants[{step_d, 1'b1}];
    end

    always_comb begin
      first_moved    = keccak_move(state_q, theta);
      first_added    = '{default: '0};
      first_added[0] = first_constant_q;
    end

    keccak_rows u_rows (
      .moved_i(first_moved),
      .added_i(first_added),
      .state_o(last_state)
    );
  end

  column_t last_theta;

  keccak_columns u_columns (
    .state_i(last_state),
    .theta_o(last_theta)
  );

  always_comb moved = keccak_move(last_state, last_theta);

  always_comb begin
    for (int unsigned i = 0; i < DigestLanes; i++) begin
      permuted[i] = keccak_chi(moved[i], moved[(i+1)%5], moved[(i+2)%5]);
    end
    permuted[0] ^= last_constant_q;
  end

  always_comb begin
    for (int unsigned i = 0; i < NumLanes; i++) begin
      last_moved[i] = moved[i] & {64{~fresh_q}};
      last_added[i] = i < RateLanes ? block[i % RateLanes] & {64{load_q}} : '0;
    end
    last_added[0] ^= last_constant_q & {64{~fresh_q}};
  end

  keccak_rows u_rows (
    .moved_i(last_moved),
    .added_i(last_added),
    .state_o(state_d)
  );

  always_ff @(posedge clk_i) begin
    if (advance_q) begin
      state_q <= state_d;
    end
    if (finish_q && last_block_q) begin
      digest_q <= permuted;
    end
  end

  for (genvar i = 0; i < DigestLanes; i++) begin : gen_digest
    assign m_axis_tdata[64*i +: 64] = digest_q[i];
  end
  assign m_axis_tvalid = digest_valid_q;
  assign m_axis_tlast  = 1'b1;

endmodule
