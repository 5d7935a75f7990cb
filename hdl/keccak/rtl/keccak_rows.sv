// The last of one round, behind theta, rho and pi: chi, and what is added then: the round's constant
// (iota) and a block that enters. One level of gates with 4 inputs.
//
// A module of its own for the reason that keccak_columns is one: across its inputs, gates are traded
// for levels, as what takes longest need not be the round.
(* keep_hierarchy *)
module keccak_rows
  import keccak_pkg::*;
(
  input  state_t moved_i,
  input  state_t added_i,
  output state_t state_o
);

  always_comb begin
    for (int unsigned y = 0; y < NumLanes; y += 5) begin
      for (int unsigned x = 0; x < 5; x++) begin
        state_o[x+y] = keccak_chi(moved_i[x+y], moved_i[(x+1)%5+y], moved_i[(x+2)%5+y])
                       ^ added_i[x+y];
      end
    end
  end

endmodule
