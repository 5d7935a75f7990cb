// x mod p, in canonical form, for any x of 37 bits. Latency 3 cycles, throughput one a cycle.
//
// As p = 15 * 2^27 + 1, the quotient is about (x >> 27) / 15, and what it leaves is
// ((x >> 27) mod 15) 2^27 + (x mod 2^27) less the quotient: below p, and below zero only where the
// remainder is 0 and the low bits are fewer than the quotient. For the division by 15:
// 16 a + b = 15 a + (a + b), and here a + b is at most 78.
module poseidon2_reduce (
  input  logic        clk_i,
  input  logic [36:0] x_i,
  output logic [30:0] x_o
);

  logic [6:0]  sum_q;
  logic [5:0]  high_q;
  logic [26:0] low_q;
  logic        small_q;

  logic [2:0]  fifteens;
  logic [6:0]  quotient_q;
  logic [3:0]  remainder_q;
  logic [26:0] rest_q;
  logic        small_rest_q;

  logic        negative;
  logic [30:0] x_q;

  assign x_o = x_q;

  always_comb begin
    fifteens = '0;
    for (int unsigned i = 1; i <= 5; i++) if (sum_q >= 7'(15 * i)) fifteens = 3'(i);
  end

  // Then p more: 15 * 2^27 takes the place of the remainder, and one is subtracted less.
  assign negative = (remainder_q == '0) & small_rest_q & (rest_q[6:0] < quotient_q);

  always_ff @(posedge clk_i) begin
    sum_q   <= {1'b0, x_i[36:31]} + {3'b0, x_i[30:27]};
    high_q  <= x_i[36:31];
    low_q   <= x_i[26:0];
    small_q <= x_i[26:7] == '0;

    quotient_q   <= {1'b0, high_q} + {4'b0, fifteens};
    remainder_q  <= sum_q[3:0] + {1'b0, fifteens};
    rest_q       <= low_q;
    small_rest_q <= small_q;

    x_q <= {remainder_q | {4{negative}}, rest_q} - {24'b0, quotient_q - 7'(negative)};
  end

endmodule
