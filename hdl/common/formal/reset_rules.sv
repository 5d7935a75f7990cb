// Every proof starts in reset; whether the reset comes again later is open, so it may come at any time.
module reset_rules (
  input  logic clk_i,
  input  logic rst_ni,
  output logic started_o
);

  logic started_q = 1'b0;

  always_ff @(posedge clk_i) started_q <= 1'b1;

  always_comb assume (started_q || !rst_ni);

  assign started_o = started_q;

endmodule
