// The arithmetic of the cores over BabyBear behind a stream, for tests: in x, a and b, out what each
// module makes of them. One beat at a time: the next is taken when the last has left.
module arithmetic (
  input  logic         clk_i,
  input  logic         rst_ni,

  input  logic [127:0] s_axis_tdata,
  input  logic         s_axis_tvalid,
  output logic         s_axis_tready,
  input  logic         s_axis_tlast,

  output logic [511:0] m_axis_tdata,
  output logic         m_axis_tvalid,
  input  logic         m_axis_tready,
  output logic         m_axis_tlast
);

  import babybear_pkg::*;
  import poseidon2_pkg::*;

  // Longer than any of the modules takes.
  localparam logic [3:0] Cycles = 4'd12;

  localparam int unsigned Powers [6] = '{1, 2, 3, 4, 8, 27};

  logic [36:0] x_q;
  elem_t       a_q, b_q;
  logic [3:0]  waited_q;
  logic        busy_q;
  elem_t       results [16];

  assign s_axis_tready = ~busy_q;
  assign m_axis_tvalid = busy_q & (waited_q == Cycles);
  assign m_axis_tlast  = 1'b1;

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      busy_q   <= 1'b0;
      waited_q <= '0;
    end else if (!busy_q) begin
      busy_q   <= s_axis_tvalid;
      waited_q <= '0;
    end else if (waited_q != Cycles) begin
      waited_q <= waited_q + 1'b1;
    end else if (m_axis_tready) begin
      busy_q   <= 1'b0;
    end
  end

  always_ff @(posedge clk_i) begin
    if (s_axis_tvalid && s_axis_tready) begin
      x_q <= s_axis_tdata[36:0];
      a_q <= s_axis_tdata[94:64];
      b_q <= s_axis_tdata[126:96];
    end
  end

  assign results[0] = add_mod(a_q, b_q);
  assign results[1] = sub_mod(a_q, b_q);

  field31_mul #(.TwoAdicity(27)) u_mul (
    .clk_i, .en_i(1'b1), .a_i(a_q), .b_i(b_q), .result_o(results[2])
  );

  field31_mul #(.TwoAdicity(24)) u_mul_24 (
    .clk_i, .en_i(1'b1), .a_i(a_q), .b_i(b_q), .result_o(results[3])
  );

  poseidon2_reduce u_reduce (
    .clk_i, .x_i(x_q), .x_o(results[4])
  );

  poseidon2_canonical u_canonical (
    .clk_i, .x_i(a_q), .x_o(results[5])
  );

  for (genvar i = 0; i < 6; i++) begin : gen_halve
    poseidon2_halve #(.Power(Powers[i])) u_halve (
      .clk_i, .x_i(a_q), .x_o(results[6+i])
    );
  end

  for (genvar i = 12; i < 16; i++) begin : gen_nothing
    assign results[i] = '0;
  end

  for (genvar i = 0; i < 16; i++) begin : gen_out
    assign m_axis_tdata[32*i +: 32] = {1'b0, results[i]};
  end

  logic unused;
  assign unused = &{1'b0, s_axis_tlast, s_axis_tdata[63:37], s_axis_tdata[95], s_axis_tdata[127]};

endmodule
