// Montgomery form to canonical form: x * 2^-32 mod p, which takes no multiplier. Latency 2 cycles.
//
// As p = 1 mod 2^27, x less (x mod 2^27) p has no low bits left; so again with 5 more.
module poseidon2_canonical (
  input  logic        clk_i,
  input  logic [30:0] x_i,
  output logic [30:0] x_o
);

  import babybear_pkg::*;

  logic [31:0] low, first_q, second;
  logic [9:0]  multiple;

  assign low      = {5'b0, x_i[26:0]};
  assign multiple = {1'b0, first_q[4:0], 4'b0} - {5'b0, first_q[4:0]};
  assign second   = {{5{first_q[31]}}, first_q[31:5]} - {multiple, 22'b0};

  logic [30:0] x_q;

  assign x_o = x_q;

  always_ff @(posedge clk_i) begin
    first_q <= {28'b0, x_i[30:27]} + low - (low << 4);
    x_q     <= second[31] ? second[30:0] + Prime : second[30:0];
  end

endmodule
