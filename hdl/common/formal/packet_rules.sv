// What packets in owe packets out: none comes out before it is in, and none stays for ever.
//
// Proved: an output packet never ends before as many input packets have come in, so nothing comes out after a reset
// until a packet is in; and, with Patience > 0, an owed packet ends within so many cycles in which the consumer is
// ready. A core that loses a packet never pays its debt, nor one that loses a beat; one that doubles a packet pays
// too much. Proofs by induction relate the debt to the core's own state in place of asking for Patience.
// EarlyBeats = 0: not even a first beat of an output packet may be offered before its input packet is in.
module packet_rules #(
  parameter int unsigned Patience = 0,
  parameter bit          EarlyBeats = 1'b0,
  parameter int unsigned CountBits = 4
) (
  input logic clk_i,
  input logic rst_ni,
  input logic in_valid_i,
  input logic in_ready_i,
  input logic in_last_i,
  input logic out_valid_i,
  input logic out_ready_i,
  input logic out_last_i
);

  localparam int unsigned WaitBits = Patience > 0 ? $clog2(Patience + 2) : 1;

  logic [CountBits-1:0] owed_q;
  logic [ WaitBits-1:0] waited_q;
  logic                 in_ends, out_ends;

  assign in_ends = in_valid_i && in_ready_i && in_last_i;
  assign out_ends = out_valid_i && out_ready_i && out_last_i;

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      owed_q <= '0;
      waited_q <= '0;
    end else begin
      owed_q <= owed_q + CountBits'(in_ends) - CountBits'(out_ends);
      if (out_ends || owed_q == '0) waited_q <= '0;
      else if (out_ready_i) waited_q <= waited_q + 1'b1;
    end
  end

  traffic_cover u_traffic (
    .clk_i, .rst_ni, .in_valid_i, .in_ready_i, .in_last_i, .out_valid_i, .out_ready_i, .out_last_i
  );

  // The counter is wide enough for what fits into a core; a bounded proof cannot pass it unseen.
  always_comb begin
    if (rst_ni) begin
      count_has_room :
      assert (!(in_ends && !out_ends && owed_q == '1));
      if (out_valid_i && (out_last_i || !EarlyBeats)) begin
        packet_was_owed :
        assert (owed_q != '0);
      end
      if (Patience > 0) begin
        packet_comes :
        assert (32'(waited_q) <= Patience);
      end
    end
  end

endmodule
