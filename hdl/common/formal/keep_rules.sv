// The rules of tkeep, assumed of a stream that enters the design or proved of one that leaves it.
//
// All beats are full but the last of a packet, which keeps its first bytes; it keeps none only where the packet is
// empty, and then it is the only beat.
module keep_rules #(
  parameter int unsigned Bytes = 1,
  parameter bit          Assume = 1'b0
) (
  input logic             clk_i,
  input logic             rst_ni,
  input logic [Bytes-1:0] keep_i,
  input logic             last_i,
  input logic             valid_i,
  input logic             ready_i
);

  logic inside_q;  // a beat of the packet has moved
  logic fine;

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) inside_q <= 1'b0;
    else if (valid_i && ready_i) inside_q <= !last_i;
  end

  always_comb begin
    fine = (keep_i & (keep_i + 1'b1)) == '0;
    if (!last_i && keep_i != '1) fine = 1'b0;
    if (inside_q && keep_i == '0) fine = 1'b0;
  end

  if (Assume) begin : gen_assume
    always_comb if (valid_i) assume (fine);
  end else begin : gen_prove
    always_comb begin
      if (valid_i) begin
        keep_is_right :
        assert (fine);
      end
    end
  end

endmodule
