// x^7 in Montgomery form: x^2, then x^3 = x^2 x and x^4 = x^2 x^2 side by side, then x^7 = x^3 x^4.
//
// With convert_i the result is 2^32 x instead, the Montgomery form of a canonical x: x times 2^64 takes
// the place of x^3, and one that of x^4. Any x below 2^31; the result is canonical. Latency 19 cycles,
// throughput one a cycle, 14 multipliers of 18x18 bits.
module poseidon2_sbox (
  input  logic        clk_i,
  input  logic        rst_ni,
  input  logic        convert_i,
  input  logic [30:0] x_i,
  output logic [30:0] x_o
);

  import babybear_pkg::*;
  import poseidon2_pkg::*;

  elem_t square, other, square_q, other_q, cube, fourth;
  logic  convert;

  field31_mul #(.TwoAdicity(TwoAdicity)) u_square (
    .clk_i, .en_i(1'b1), .a_i(x_i), .b_i(x_i), .result_o(square)
  );

  delay_line #(.Width(32), .Depth(6)) u_x (
    .clk_i, .rst_ni, .data_i({convert_i, x_i}), .data_o({convert, other})
  );

  elem_t factor_q;

  always_ff @(posedge clk_i) begin
    other_q  <= other;
    factor_q <= convert ? MontSquare : square;
    square_q <= convert ? MontOne : square;
  end

  field31_mul #(.TwoAdicity(TwoAdicity)) u_cube (
    .clk_i, .en_i(1'b1), .a_i(factor_q), .b_i(other_q), .result_o(cube)
  );

  field31_mul #(.TwoAdicity(TwoAdicity)) u_fourth (
    .clk_i, .en_i(1'b1), .a_i(square_q), .b_i(square_q), .result_o(fourth)
  );

  field31_mul #(.TwoAdicity(TwoAdicity)) u_seventh (
    .clk_i, .en_i(1'b1), .a_i(cube), .b_i(fourth), .result_o(x_o)
  );

endmodule
