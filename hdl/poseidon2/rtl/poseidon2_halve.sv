// x / 2^Power mod p for a canonical x and Power up to 27. Latency 2 cycles, throughput one a cycle.
//
// As p = 1 mod 2^27, what has to be subtracted from x so that its low bits vanish is these low bits
// times p.
module poseidon2_halve #(
  parameter int unsigned Power = 1
) (
  input  logic        clk_i,
  input  logic [30:0] x_i,
  output logic [30:0] x_o
);

  import babybear_pkg::*;

  logic [31:0] low, rest_q;

  assign low = 32'(x_i[Power-1:0]);

  always_ff @(posedge clk_i) begin
    rest_q <= (32'(x_i) >> Power) - (((low << 4) - low) << (27 - Power));
    x_o    <= rest_q[31] ? rest_q[30:0] + Prime : rest_q[30:0];
  end

endmodule
