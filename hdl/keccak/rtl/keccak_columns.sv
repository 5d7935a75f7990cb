// Theta of one round: what is added to each of the five columns. Two levels of gates with 4 inputs.
//
// A module of its own for tools that keep hierarchy where they are asked to: gates that are mapped
// across its outputs repeat the parity trees for many of the 1600 bits behind.
(* keep_hierarchy *)
module keccak_columns
  import keccak_pkg::*;
(
  input  state_t  state_i,
  output column_t theta_o
);

  always_comb theta_o = keccak_theta(state_i);

endmodule
