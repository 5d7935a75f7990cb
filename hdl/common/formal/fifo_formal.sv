// Data integrity of the buffers stream_fifo (Ram = 0) and stream_ram_fifo (Ram = 1), for ever.
//
// Any one word that goes in is followed: how many words are ahead of it, and what it is. It must
// leave unchanged, once, when exactly those have left. As it can be any word at any time, every word
// leaves once, in order.
module fifo_formal #(
  parameter bit          Ram = 1'b0,
  parameter int unsigned Width = 8,
  parameter int unsigned Depth = 4
) (
  input logic             clk_i,
  input logic             rst_ni,
  input logic [Width-1:0] in_data,
  input logic             in_valid,
  input logic             out_ready,
  input logic             follow      // the word that goes in, if none is being followed
);

  localparam int unsigned IndexBits = $clog2(Depth);

  logic [  Width-1:0] out_data;
  logic               in_ready, out_valid, started;
  logic [IndexBits:0] count;      // of words in the memory
  logic               in_output;  // ... and one at the output

  reset_rules u_reset (.clk_i, .rst_ni, .started_o(started));
  stream_rules #(
    .Bits  (Width),
    .Assume(1'b1)
  ) u_in (
    .clk_i, .rst_ni, .payload_i(in_data), .valid_i(in_valid), .ready_i(in_ready)
  );
  stream_rules #(
    .Bits(Width)
  ) u_out (
    .clk_i, .rst_ni, .payload_i(out_data), .valid_i(out_valid), .ready_i(out_ready)
  );

  traffic_cover u_traffic (
    .clk_i, .rst_ni,
    .in_valid_i (in_valid), .in_ready_i(in_ready), .in_last_i(1'b1),
    .out_valid_i(out_valid), .out_ready_i(out_ready), .out_last_i(1'b1)
  );

  // The word that is followed.
  logic                 followed_q;
  logic [    Width-1:0] word_q;
  logic [  IndexBits:0] ahead_q;
  logic                 word_is_there;
  logic [IndexBits-1:0] place;

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      followed_q <= 1'b0;
    end else if (followed_q) begin
      if (out_valid && out_ready && ahead_q == '0) followed_q <= 1'b0;
    end else begin
      followed_q <= follow && in_valid && in_ready;
    end
  end

  always_ff @(posedge clk_i) begin
    if (!followed_q) word_q <= in_data;
    if (followed_q) ahead_q <= ahead_q - (IndexBits + 1)'(out_valid && out_ready);
    else ahead_q <= count + (IndexBits + 1)'(in_output) - (IndexBits + 1)'(out_valid && out_ready);
  end

  always_comb begin
    if (started && rst_ni) begin
      if (followed_q && out_valid && ahead_q == '0) begin
        leaves_unchanged :
        assert (out_data == word_q);
      end
      // It has not left before its turn: so many words are still there, and this one of them is it.
      if (followed_q) begin
        still_there :
        assert (ahead_q < count + (IndexBits + 1)'(in_output));
        in_its_place :
        assert (word_is_there);
      end
      never_overfull :
      assert (32'(count) <= Depth);
      comes_out :
      assert (out_valid || count == '0 || Ram);
      goes_in :
      assert (in_ready || 32'(count) == Depth);
    end
  end

  if (Ram) begin : gen_ram
    stream_ram_fifo #(
      .Width(Width),
      .Depth(Depth)
    ) u_dut (
      .clk_i, .rst_ni, .data_i(in_data), .valid_i(in_valid), .ready_o(in_ready),
      .data_o(out_data), .valid_o(out_valid), .ready_i(out_ready)
    );
    assign count = u_dut.write_q - u_dut.read_q;
    assign in_output = out_valid;
    assign place = u_dut.read_q[IndexBits-1:0] + ahead_q[IndexBits-1:0] - IndexBits'(in_output);
    assign word_is_there = in_output && ahead_q == '0
        ? out_data == word_q : u_dut.memory_q[place] == word_q;

    // Nothing waits in the memory for more than a cycle while the output is free.
    logic free_q;
    always_ff @(posedge clk_i or negedge rst_ni) begin
      if (!rst_ni) free_q <= 1'b0;
      else free_q <= count != '0 && (!out_valid || out_ready);
    end
    always_comb begin
      if (started && rst_ni && free_q) begin
        moves_on :
        assert (out_valid);
      end
    end
  end else begin : gen_plain
    logic [IndexBits:0] told;
    stream_fifo #(
      .Width(Width),
      .Depth(Depth)
    ) u_dut (
      .clk_i, .rst_ni, .data_i(in_data), .valid_i(in_valid), .ready_o(in_ready),
      .data_o(out_data), .valid_o(out_valid), .ready_i(out_ready), .count_o(told)
    );
    assign count = u_dut.write_q - u_dut.read_q;
    assign in_output = 1'b0;
    assign place = u_dut.read_q[IndexBits-1:0] + ahead_q[IndexBits-1:0];
    assign word_is_there = u_dut.memory_q[place] == word_q;
    always_comb begin
      if (started && rst_ni) begin
        count_is_told :
        assert (told == count);
      end
    end
  end

endmodule
