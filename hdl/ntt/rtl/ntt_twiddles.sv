// The powers w^0 ... w^(2^Log2Size - 1) of the root of order 2^(Log2Size + 1), in Montgomery form:
// the ROM of one stage, computed at elaboration. Latency 2 enabled cycles.
module ntt_twiddles #(
  parameter int unsigned Log2Size = 9
) (
  input  logic                clk_i,
  input  logic                en_i,
  input  logic [Log2Size-1:0] index_i,
  output logic [30:0]         twiddle_o
);

  import babybear_pkg::*;

  localparam elem_t Root = root_of_unity(Log2Size + 1);

  elem_t rom [2**Log2Size];

  initial begin
    elem_t power;
    power = MontOne;
    for (int unsigned i = 0; i < 2**Log2Size; i++) begin
      rom[i] = power;
      power  = mul_mod(power, Root);
    end
  end

  elem_t read_q, twiddle_q;

  // Registered again: a block RAM's output comes late in its cycle.
  always_ff @(posedge clk_i) begin
    if (en_i) begin
      read_q    <= rom[index_i];
      twiddle_q <= read_q;
    end
  end

  assign twiddle_o = twiddle_q;

endmodule
