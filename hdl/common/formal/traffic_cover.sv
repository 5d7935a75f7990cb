// Not a rule but that there is something to rule: of a stream on which nothing can move, because assumptions
// contradict one another, everything is proved. Reached in mode "cover": a packet goes in, the last beat of one waits
// at the output and leaves, another one goes in and leaves.
module traffic_cover (
  input logic clk_i,
  input logic rst_ni,
  input logic in_valid_i,
  input logic in_ready_i,
  input logic in_last_i,
  input logic out_valid_i,
  input logic out_ready_i,
  input logic out_last_i
);

  logic [1:0] in_q, out_q;  // packets, up to two
  logic       stalled_q;    // the output has waited

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      in_q <= '0;
      out_q <= '0;
      stalled_q <= 1'b0;
    end else begin
      if (in_valid_i && in_ready_i && in_last_i && in_q != 2'd2) in_q <= in_q + 1'b1;
      if (out_valid_i && out_ready_i && out_last_i && out_q != 2'd2) out_q <= out_q + 1'b1;
      if (out_valid_i && !out_ready_i) stalled_q <= 1'b1;
    end
  end

  always_comb begin
    if (rst_ni) begin
      a_packet_in :
      cover (in_q != '0);
      two_packets_in :
      cover (in_q == 2'd2);
      two_packets_out_of_a_stalled_output :
      cover (out_q == 2'd2 && stalled_q);
    end
  end

endmodule
