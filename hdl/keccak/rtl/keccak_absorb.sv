// Message beats to padded blocks of 136 bytes (pad10*1 behind the domain bits; FIPS 202, section
// 5.1).
//
// One block is gathered while the permutation of the one before runs. GroupLanes lanes are written
// a cycle, each into its place over a bus that all lanes share, so that filling costs clock enables
// and no multiplexers; the first write of a block clears the rest of it, which is the zero padding.
// Padding and writing are two stages, as 1088 bits wait for what steers the writing. A block takes
// 17 writes at one lane (9 at two), and less where the message ends earlier.
module keccak_absorb
  import keccak_pkg::*;
#(
  parameter int unsigned DataBytes  = 8,
  parameter int unsigned GroupLanes = 1,
  parameter logic [7:0]  DomainByte = DomainKeccak
) (
  input  logic                   clk_i,
  input  logic                   rst_ni,

  input  logic [8*DataBytes-1:0] s_axis_tdata,
  input  logic [DataBytes-1:0]   s_axis_tkeep,
  input  logic                   s_axis_tvalid,
  output logic                   s_axis_tready,
  input  logic                   s_axis_tlast,

  output block_t                 block_o,
  output logic                   block_soon_o,  // the block is complete, or is after this cycle
  input  logic                   block_take_i,  // after a cycle with block_soon_o
  output logic                   block_first_o,
  output logic                   block_last_o
);

  localparam int unsigned GroupBytes = 8 * GroupLanes;
  localparam int unsigned NumGroups  = (RateLanes + GroupLanes - 1) / GroupLanes;

  logic [NumGroups-1:0] position_q, position_d;  // one bit a group
  logic                 at_end;
  logic                 full_q, full_d;
  logic                 pad_q, pad_d;            // the message is in, but not its domain byte
  logic                 first_q, first_d, last_q, last_d;

  assign at_end = position_q[NumGroups-1];

  // Beats to groups of lanes.

  logic [8*GroupBytes-1:0] piece_data, group_data;
  logic [GroupBytes-1:0]   piece_keep, group_keep;
  logic                    piece_valid, group_valid;
  logic                    piece_ready, group_ready;
  logic                    piece_last, group_last;

  stream_narrow #(
    .InBytes (DataBytes),
    .OutBytes(GroupBytes)
  ) u_narrow (
    .clk_i,
    .rst_ni,
    .s_axis_tdata,
    .s_axis_tkeep,
    .s_axis_tvalid,
    .s_axis_tready,
    .s_axis_tlast,
    .m_axis_tdata (piece_data),
    .m_axis_tkeep (piece_keep),
    .m_axis_tvalid(piece_valid),
    .m_axis_tready(piece_ready),
    .m_axis_tlast (piece_last)
  );

  logic group_full;  // the group has no room for the domain byte

  if (GroupLanes == 1) begin : gen_lanes
    assign group_data  = piece_data;
    assign group_keep  = piece_keep;
    assign group_valid = piece_valid;
    assign group_last  = piece_last;
    assign piece_ready = group_ready;
    assign group_full  = group_keep[7];
  end else begin : gen_pairs
    keccak_pairs u_pairs (
      .clk_i,
      .rst_ni,
      .short_i      (at_end),
      .s_axis_tdata (piece_data),
      .s_axis_tkeep (piece_keep),
      .s_axis_tvalid(piece_valid),
      .s_axis_tready(piece_ready),
      .s_axis_tlast (piece_last),
      .m_axis_tdata (group_data),
      .m_axis_tkeep (group_keep),
      .m_axis_tvalid(group_valid),
      .m_axis_tready(group_ready),
      .m_axis_tlast (group_last)
    );
    assign group_full = at_end ? group_keep[7] : group_keep[15];
  end

  // The domain byte follows the last byte kept.

  logic                    write, ends, room;
  logic [8*GroupBytes-1:0] padded;

  // The block that is taken in this cycle is out of the way of the write, which is done in the
  // next.
  assign room        = ~full_q | block_take_i;
  assign group_ready = room & ~pad_q;
  assign write       = room & (pad_q | group_valid);
  assign ends        = pad_q | (group_last & ~group_full);

  always_comb begin
    logic previous, kept;
    previous = 1'b1;
    padded   = '0;
    for (int unsigned i = 0; i < GroupBytes; i++) begin
      kept = group_keep[i] & ~pad_q;
      padded[8*i +: 8] = kept ? group_data[8*i +: 8] : previous ? DomainByte : 8'h00;
      previous = kept;
    end
  end

  // The write itself.

  logic [8*GroupBytes-1:0] padded_q;
  logic [NumGroups-1:0]    write_q;  // which group
  logic                    clear_q;  // all others

  always_ff @(posedge clk_i) begin
    padded_q <= padded;
  end

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      write_q <= '0;
      clear_q <= 1'b0;
    end else begin
      write_q <= position_q & {NumGroups{write}};
      clear_q <= position_q[0] & write;
    end
  end

  for (genvar i = 0; i < RateLanes; i++) begin : gen_block
    lane_t lane_q;

    always_ff @(posedge clk_i) begin
      if (write_q[i/GroupLanes]) begin
        lane_q <= padded_q[64*(i%GroupLanes) +: 64];
      end else if (clear_q) begin
        lane_q <= '0;
      end
    end

    // The last byte of the last block has the final bit of the padding.
    if (i == RateLanes - 1) begin : gen_last
      assign block_o[i] = lane_q ^ {last_q, 63'd0};
    end else begin : gen_other
      assign block_o[i] = lane_q;
    end
  end

  always_comb begin
    position_d = position_q;
    full_d     = full_q & ~block_take_i;
    pad_d      = pad_q;
    last_d     = last_q;
    first_d    = block_take_i ? last_q : first_q;
    if (write) begin
      full_d     = ends | at_end;
      last_d     = ends;
      pad_d      = ~ends & group_last;
      position_d = full_d ? NumGroups'(1) : position_q << 1;
    end
  end

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      position_q <= NumGroups'(1);
      full_q     <= 1'b0;
      pad_q      <= 1'b0;
      first_q    <= 1'b1;
      last_q     <= 1'b0;
    end else begin
      position_q <= position_d;
      full_q     <= full_d;
      pad_q      <= pad_d;
      last_q     <= last_d;
      first_q    <= first_d;
    end
  end

  assign block_soon_o  = full_q & ~block_take_i;
  assign block_first_o = first_q;
  assign block_last_o  = last_q;

endmodule
