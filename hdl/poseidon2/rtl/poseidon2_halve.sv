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

  if (Power < 1 || Power > 27) begin : gen_bad_power
    $error("poseidon2_halve: Power (%0d) must be from 1 to 27", Power);
  end

  logic [31:0] low, rest_q;

  assign low = 32'(x_i[Power-1:0]);

  logic [30:0] x_q;

  assign x_o = x_q;

  always_ff @(posedge clk_i) begin
    rest_q <= (32'(x_i) >> Power) - (((low << 4) - low) << (27 - Power));
    x_q    <= rest_q[31] ? rest_q[30:0] + Prime : rest_q[30:0];
  end

endmodule
