// The external linear layer of a state that comes in 16/Lanes beats of Lanes elements: the 4x4 matrix
//   2 3 1 1
//   1 2 3 1
//   1 1 2 3
//   3 1 1 2
// on each four elements, and to each element the sum of those in its place in all four of them.
//
// The beats of a state come one right after another; first_i and last_i mark them. Elements are
// canonical on either side. Latency 16/Lanes + 7 cycles, throughput one beat a cycle.
module poseidon2_mix #(
  parameter int unsigned Lanes = 4
) (
  input  logic                   clk_i,
  input  logic                   rst_ni,
  input  logic                   first_i,
  input  logic                   last_i,
  input  logic [Lanes-1:0][30:0] x_i,
  output logic [Lanes-1:0][30:0] x_o
);

  import poseidon2_pkg::*;

  localparam int unsigned Groups = Lanes / 4;
  localparam int unsigned Beats  = Width / Lanes;

  logic [Lanes-1:0][30:0]  x_q;
  logic [Groups-1:0][31:0] left_q, right_q;
  logic [Groups-1:0][32:0] all_q;
  logic [Lanes-1:0][33:0]  mixed_q;
  logic [1:0]              first_q, last_q;

  always_ff @(posedge clk_i) begin
    first_q <= {first_q[0], first_i};
    last_q  <= {last_q[0], last_i};
    x_q     <= x_i;
    for (int unsigned g = 0; g < Groups; g++) begin
      left_q[g]  <= {1'b0, x_i[4*g]} + {1'b0, x_i[4*g+1]};
      right_q[g] <= {1'b0, x_i[4*g+2]} + {1'b0, x_i[4*g+3]};
      all_q[g]   <= ({2'b0, x_i[4*g]} + {2'b0, x_i[4*g+1]})
                  + ({2'b0, x_i[4*g+2]} + {2'b0, x_i[4*g+3]});

      mixed_q[4*g]   <= {1'b0, all_q[g]} + {3'b0, x_q[4*g+1]} + {2'b0, left_q[g]};
      mixed_q[4*g+1] <= {1'b0, all_q[g]} + {3'b0, x_q[4*g+1]} + {2'b0, x_q[4*g+2], 1'b0};
      mixed_q[4*g+2] <= {1'b0, all_q[g]} + {3'b0, x_q[4*g+3]} + {2'b0, right_q[g]};
      mixed_q[4*g+3] <= {1'b0, all_q[g]} + {3'b0, x_q[4*g+3]} + {2'b0, x_q[4*g], 1'b0};
    end
  end

  // The sum over the groups of a beat, over the beats of a state, and that held for as many beats.

  logic [3:0][35:0] beat_sum, sum_d, sum_q, total_q;
  logic             complete_q;

  always_comb begin
    for (int unsigned c = 0; c < 4; c++) begin
      beat_sum[c] = '0;
      for (int unsigned g = 0; g < Groups; g++) beat_sum[c] += {2'b0, mixed_q[4*g+c]};
      sum_d[c] = first_q[1] ? beat_sum[c] : sum_q[c] + beat_sum[c];
    end
  end

  always_ff @(posedge clk_i) begin
    sum_q      <= sum_d;
    complete_q <= last_q[1];
    if (complete_q) total_q <= sum_q;
  end

  logic [Lanes-1:0][33:0] waited;

  delay_line #(
    .Width(34 * Lanes),
    .Depth(Beats + 1)
  ) u_wait (
    .clk_i,
    .rst_ni,
    .data_i(mixed_q),
    .data_o(waited)
  );

  logic [Lanes-1:0][36:0] added_q;

  always_ff @(posedge clk_i) begin
    for (int unsigned i = 0; i < Lanes; i++) begin
      added_q[i] <= {3'b0, waited[i]} + {1'b0, total_q[i%4]};
    end
  end

  for (genvar i = 0; i < Lanes; i++) begin : gen_reduce
    poseidon2_reduce u_reduce (
      .clk_i,
      .x_i(added_q[i]),
      .x_o(x_o[i])
    );
  end

endmodule
