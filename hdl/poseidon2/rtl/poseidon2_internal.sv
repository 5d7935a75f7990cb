// The internal rounds of Poseidon2: a ring for whole states with one S-box, which each state passes 13
// times.
//
// With x0 to the power of seven as y and S the sum of the other 15 elements, the round is
//   x0 = S - y,   xi = V[i] xi + (y + S),
// so the scaled elements and S are ready long before y is and wait for it in memories. Scaling is
// shifting: V = -2, 1, 2, 1/2, 3, 4, -1/2, -3, -4, 2^-8, 1/4, 1/8, 2^-27, -2^-8, -1/16, -2^-27.
//
// The ring is 23 cycles long and holds as many states. A state is taken from the queue (pop_o) beat by
// beat and enters where a place is free.
module poseidon2_internal #(
  parameter int unsigned Lanes = 4
) (
  input  logic                   clk_i,
  input  logic                   rst_ni,

  input  logic                   ready_i,
  output logic                   take_o,
  output logic                   pop_o,
  input  logic [Lanes-1:0][30:0] data_i,

  output logic                   push_o,
  output logic                   push_last_o,
  output logic [Lanes-1:0][30:0] push_data_o
);

  import babybear_pkg::*;
  import poseidon2_pkg::*;

  localparam int unsigned Beats      = Width / Lanes;
  localparam int unsigned CountWidth = $clog2(Beats + 1);
  localparam int unsigned Length     = 23;

  typedef struct packed {
    logic       valid;
    logic [3:0] round;
  } tag_t;

  // Gather a state. gathered_q counts the beats that have come, fetched_q those that were asked for.

  state_t                waiting_q;
  logic [CountWidth-1:0] fetched_q, gathered_q;
  logic                  arrives_q, complete, enter;

  assign complete = gathered_q == CountWidth'(Beats);
  assign take_o   = ready_i & (fetched_q == '0);
  assign pop_o    = (fetched_q != '0) & (fetched_q != CountWidth'(Beats));

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      fetched_q  <= '0;
      gathered_q <= '0;
      arrives_q  <= 1'b0;
    end else begin
      arrives_q <= take_o | pop_o;
      if (enter) begin
        fetched_q  <= '0;
        gathered_q <= '0;
      end else begin
        if (take_o || pop_o) fetched_q <= fetched_q + 1'b1;
        if (arrives_q) gathered_q <= gathered_q + 1'b1;
      end
    end
  end

  if (Beats == 1) begin : gen_gather_whole
    always_ff @(posedge clk_i) begin
      if (arrives_q) waiting_q <= data_i;
    end
  end else begin : gen_gather
    always_ff @(posedge clk_i) begin
      if (arrives_q) waiting_q <= {data_i, waiting_q[Width-1:Lanes]};
    end
  end

  // The ring.

  tag_t   tags_q [Length];
  tag_t   tag_end;
  state_t state_q, state_end_q;
  logic   stays, leaves;

  assign tag_end = tags_q[Length-1];
  assign leaves  = tag_end.valid & (tag_end.round == 4'(InternalRounds - 1));
  assign stays   = tag_end.valid & ~leaves;
  assign enter   = complete & ~stays;

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      for (int unsigned i = 0; i < Length; i++) tags_q[i] <= '0;
    end else begin
      tags_q[0].valid <= stays | enter;
      tags_q[0].round <= stays ? tag_end.round + 1'b1 : '0;
      for (int unsigned i = 1; i < Length; i++) tags_q[i] <= tags_q[i-1];
    end
  end

  always_ff @(posedge clk_i) begin
    state_q <= stays ? state_end_q : waiting_q;
  end

  // The first element.

  elem_t constants [16];
  elem_t operand_q, y;

  for (genvar i = 0; i < 16; i++) begin : gen_constants
    if (i < InternalRounds) begin : gen_constant
      assign constants[i] = to_montgomery(InternalConstants[i]);
    end else begin : gen_none
      assign constants[i] = '0;
    end
  end

  always_ff @(posedge clk_i) begin
    operand_q <= add_mod(state_q[0], constants[tags_q[0].round]);
  end

  poseidon2_sbox u_sbox (
    .clk_i,
    .rst_ni,
    .convert_i(1'b0),
    .x_i      (operand_q),
    .x_o      (y)
  );

  // The others: scaled without their sign, and summed.

  elem_t [Width-1:1] scaled_q, scaled;
  logic [3:0][32:0]  part_q;
  logic [34:0]       whole_q;
  elem_t             others, rest, total_q, first_q;

  // What 2^-Power is to be multiplied with; 0 for what is a small multiple.
  localparam int unsigned Powers [16] = '{0, 0, 0, 1, 0, 0, 1, 0, 0, 8, 2, 3, 27, 8, 4, 27};

  for (genvar i = 1; i < Width; i++) begin : gen_scaled
    if (Powers[i] != 0) begin : gen_halve
      poseidon2_halve #(
        .Power(Powers[i])
      ) u_halve (
        .clk_i,
        .x_i(state_q[i]),
        .x_o(scaled_q[i])
      );
    end else begin : gen_multiple
      elem_t once_q, twice_q;

      always_ff @(posedge clk_i) begin
        once_q  <= state_q[i];
        twice_q <= add_mod(state_q[i], state_q[i]);
        unique case (i)
          1:       scaled_q[i] <= once_q;
          2:       scaled_q[i] <= twice_q;
          4, 7:    scaled_q[i] <= add_mod(twice_q, once_q);
          default: scaled_q[i] <= add_mod(twice_q, twice_q);
        endcase
      end
    end
  end

  always_ff @(posedge clk_i) begin
    for (int unsigned i = 0; i < 4; i++) begin
      part_q[i] <= (33'((i == 0) ? '0 : state_q[4*i]) + 33'(state_q[4*i+1]))
                 + (33'(state_q[4*i+2]) + 33'(state_q[4*i+3]));
    end
    whole_q <= (35'(part_q[0]) + 35'(part_q[1])) + (35'(part_q[2]) + 35'(part_q[3]));
  end

  poseidon2_reduce u_others (
    .clk_i,
    .x_i({2'b0, whole_q}),
    .x_o(others)
  );

  delay_line #(.Width(31 * (Width - 1)), .Depth(19)) u_scaled (
    .clk_i, .rst_ni, .data_i(scaled_q), .data_o(scaled)
  );

  delay_line #(.Width(31), .Depth(15)) u_rest (
    .clk_i, .rst_ni, .data_i(others), .data_o(rest)
  );

  // V[i] is negative.
  localparam logic [15:0] Negative = 16'b1110_0001_1100_0000;

  always_ff @(posedge clk_i) begin
    total_q        <= add_mod(y, rest);
    first_q        <= sub_mod(rest, y);
    state_end_q[0] <= first_q;
    for (int unsigned i = 1; i < Width; i++) begin
      state_end_q[i] <= Negative[i] ? sub_mod(total_q, scaled[i]) : add_mod(total_q, scaled[i]);
    end
  end

  // Hand out what leaves. States enter at least as far apart as they are long, and so they leave.

  state_t                leaving_q;
  logic [CountWidth-1:0] left_q;

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      left_q <= '0;
    end else if (leaves) begin
      left_q <= CountWidth'(Beats);
    end else if (push_o) begin
      left_q <= left_q - 1'b1;
    end
  end

  if (Beats == 1) begin : gen_leave_whole
    always_ff @(posedge clk_i) begin
      if (leaves) leaving_q <= state_end_q;
    end
  end else begin : gen_leave
    always_ff @(posedge clk_i) begin
      leaving_q <= leaves ? state_end_q : {leaving_q[Lanes-1:0], leaving_q[Width-1:Lanes]};
    end
  end

  assign push_o      = left_q != '0;
  assign push_last_o = left_q == CountWidth'(1);
  assign push_data_o = leaving_q[Lanes-1:0];

endmodule
