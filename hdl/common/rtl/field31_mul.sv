// Montgomery product a * b * 2^-32 mod p for p = 2^31 - 2^A + 1, A = TwoAdicity (BabyBear 27,
// KoalaBear 24).
//
// Operands are any numbers below 2^31, canonical or not; the result is canonical. Latency 6 enabled
// cycles, throughput one product a cycle; four 18x18 multipliers. The operands come from registers.
//
// As p = c 2^A + 1 with c = 2^(31-A) - 1, a multiple m p with m = x mod 2^A clears the low A bits of
// x, and what remains above them is (x >> A) - c m: no multiplication by an inverse of p. Once for A
// bits, once for 32 - A makes Montgomery's 2^32 (P. L. Montgomery, Modular multiplication without
// trial division, 1985). x < 2^62 leaves a result between -p and p.
module field31_mul #(
  parameter int unsigned TwoAdicity = 27
) (
  input  logic        clk_i,
  input  logic        en_i,
  input  logic [30:0] a_i,
  input  logic [30:0] b_i,
  output logic [30:0] result_o
);

  // Below 17 the second step would take more bits than the first one leaves alone.
  if (TwoAdicity < 17 || TwoAdicity > 30) begin : gen_bad_prime
    $error("field31_mul: TwoAdicity (%0d) must be from 17 to 30", TwoAdicity);
  end

  localparam int unsigned Shift = 31 - TwoAdicity;
  localparam int unsigned Rest  = 32 - TwoAdicity;
  localparam int unsigned HighWidth = 62 - TwoAdicity;
  localparam logic [30:0] Prime = 31'(32'h8000_0000 - (32'd1 << TwoAdicity) + 32'd1);

  // Partial products of 18 and 13 bits.
  logic [35:0] low_q;
  logic [30:0] cross_a_q, cross_b_q;
  logic [25:0] high_q;

  logic [31:0] cross_q;
  logic [61:0] outer_q;

  logic [61:0] product_q;

  // (x >> A) + m, before c m = (m << Shift) - m is complete.
  logic [HighWidth:0]    partial_q;
  logic [TwoAdicity-1:0] m_q;

  logic signed [HighWidth+1:0] first_q;

  // The second step changes only the bits from Low on. What is left fits into 32 bits.
  localparam int unsigned Low = TwoAdicity - Rest;

  logic [31:0]     shifted;
  logic [31-Low:0] second_m, top;
  logic [31:0]     second;
  logic [30:0]     result_q;

  assign shifted  = first_q[HighWidth+1:Rest];
  assign second_m = (32-Low)'(first_q[Rest-1:0]);
  assign top      = shifted[31:Low] - ((second_m << Shift) - second_m);
  assign second   = {top, shifted[Low-1:0]};

  always_ff @(posedge clk_i) begin
    if (en_i) begin
      low_q     <= a_i[17:0] * b_i[17:0];
      cross_a_q <= a_i[30:18] * b_i[17:0];
      cross_b_q <= a_i[17:0] * b_i[30:18];
      high_q    <= a_i[30:18] * b_i[30:18];

      cross_q   <= {1'b0, cross_a_q} + {1'b0, cross_b_q};
      outer_q   <= {high_q, low_q};

      product_q <= outer_q + {12'b0, cross_q, 18'b0};

      partial_q <= {1'b0, product_q[61:TwoAdicity]} + (HighWidth+1)'(product_q[TwoAdicity-1:0]);
      m_q       <= product_q[TwoAdicity-1:0];

      first_q   <= $signed({1'b0, partial_q}) - $signed((HighWidth+2)'(m_q) << Shift);

      result_q  <= second[31] ? second[30:0] + Prime : second[30:0];
    end
  end

  assign result_o = result_q;

endmodule
