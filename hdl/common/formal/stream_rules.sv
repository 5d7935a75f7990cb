// The rules of one AXI4-Stream, assumed of a stream that enters the design or proved of one that leaves it.
//
// A beat that has been offered stays, unchanged, until it has moved. payload_i is all of tdata, tkeep, tlast and tuser.
// Proved only: nothing is offered during reset.
module stream_rules #(
  parameter int unsigned Bits = 1,
  parameter bit          Assume = 1'b0
) (
  input logic            clk_i,
  input logic            rst_ni,
  input logic [Bits-1:0] payload_i,
  input logic            valid_i,
  input logic            ready_i
);

  logic            waits_q;
  logic [Bits-1:0] payload_q;

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) waits_q <= 1'b0;
    else waits_q <= valid_i && !ready_i;
  end

  always_ff @(posedge clk_i) payload_q <= payload_i;

  if (Assume) begin : gen_assume
    always_comb begin
      if (waits_q) assume (valid_i && payload_i == payload_q);
    end
  end else begin : gen_prove
    always_comb begin
      if (waits_q) begin
        valid_stays :
        assert (valid_i);
        beat_unchanged :
        assert (payload_i == payload_q);
      end
      if (!rst_ni) begin
        silent_in_reset :
        assert (!valid_i);
      end
    end
  end

endmodule
