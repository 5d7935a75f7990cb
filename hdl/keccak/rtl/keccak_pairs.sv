// Pairs of lanes, aligned to the beats of a packet, to pairs aligned to the blocks of the sponge.
//
// A block has 17 lanes: eight pairs and one lane. Where a beat holds the 17th lane in its low half,
// its high half is the first lane of the next block, and every pair of that block straddles two
// beats; the block after it is aligned again. short_i tells that the pair asked for is the 17th
// lane alone. 17 beats make two blocks of 9 pairs.
module keccak_pairs (
  input  logic         clk_i,
  input  logic         rst_ni,
  input  logic         short_i,

  input  logic [127:0] s_axis_tdata,
  input  logic [15:0]  s_axis_tkeep,
  input  logic         s_axis_tvalid,
  output logic         s_axis_tready,
  input  logic         s_axis_tlast,

  output logic [127:0] m_axis_tdata,
  output logic [15:0]  m_axis_tkeep,
  output logic         m_axis_tvalid,
  input  logic         m_axis_tready,
  output logic         m_axis_tlast
);

  // The high half of the last beat, where it did not leave with it.
  logic        held_q;
  logic [63:0] held_data_q;
  logic [7:0]  held_keep_q;
  logic        held_last_q;

  logic alone;  // the held lane leaves without a beat
  logic spill;  // the high half of the beat stays behind, and has bytes

  assign alone = held_q & (short_i | held_last_q);
  assign spill = (held_q | short_i) & s_axis_tkeep[8];

  assign m_axis_tdata  = held_q ? {s_axis_tdata[63:0], held_data_q} : s_axis_tdata;
  assign m_axis_tkeep  = held_q ? {alone ? 8'h00 : s_axis_tkeep[7:0], held_keep_q} : s_axis_tkeep;
  assign m_axis_tlast  = alone ? held_last_q : s_axis_tlast & ~spill;
  assign m_axis_tvalid = alone | s_axis_tvalid;
  assign s_axis_tready = m_axis_tready & ~alone;

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      held_q <= 1'b0;
    end else if (m_axis_tvalid && m_axis_tready) begin
      held_q <= ~alone & spill;
    end
  end

  always_ff @(posedge clk_i) begin
    if (s_axis_tvalid && s_axis_tready) begin
      held_data_q <= s_axis_tdata[127:64];
      held_keep_q <= s_axis_tkeep[15:8];
      held_last_q <= s_axis_tlast;
    end
  end

endmodule
