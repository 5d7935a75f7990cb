// The external rounds of Poseidon2, Lanes S-boxes wide: a ring in which states go round in 16/Lanes
// beats each.
//
// A state passes the ring nine times: pass 0 takes it into Montgomery form and through the first linear
// layer, passes 1 to 4 are the external rounds before the internal ones, passes 5 to 8 those after
// them. After pass 4 it leaves for the internal rounds, after pass 8 for good. Where it leaves, or
// nothing was, the next one enters: one that comes from the internal rounds (inner) before a new one
// (outer), so that what is under way makes room for what is not.
//
// Each pass takes as many cycles as the ring is long, 29 and 16/Lanes, rounded up to a multiple of
// 16/Lanes; the ring holds as many states as fit into it.
module poseidon2_external #(
  parameter int unsigned Lanes = 4
) (
  input  logic                   clk_i,
  input  logic                   rst_ni,

  input  logic                   outer_ready_i,
  output logic                   outer_take_o,
  output logic                   outer_pop_o,
  input  logic [Lanes-1:0][30:0] outer_data_i,

  input  logic                   inner_ready_i,
  output logic                   inner_take_o,
  output logic                   inner_pop_o,
  input  logic [Lanes-1:0][30:0] inner_data_i,

  output logic                   inner_push_o,
  output logic                   outer_push_o,
  output logic                   push_last_o,
  output logic [Lanes-1:0][30:0] push_data_o
);

  import babybear_pkg::*;
  import poseidon2_pkg::*;

  localparam int unsigned Beats     = Width / Lanes;
  localparam int unsigned BeatWidth = (Beats == 1) ? 1 : $clog2(Beats);
  localparam int unsigned Padding   = (Beats - 29 % Beats) % Beats;
  localparam int unsigned Length    = 29 + Beats + Padding;

  typedef logic [BeatWidth-1:0]   beat_t;
  typedef logic [Lanes-1:0][30:0] lanes_t;

  typedef enum logic [1:0] {
    Nothing,
    FromRing,
    FromInner,
    FromOuter
  } source_e;

  typedef struct packed {
    logic       valid;
    logic [3:0] pass;
  } tag_t;

  localparam logic [3:0] LastBefore  = 4'd4;
  localparam logic [3:0] FirstBehind = 4'd5;
  localparam logic [3:0] LastBehind  = 4'd8;

  // The beat at the entry; every state starts at the same phase.
  beat_t beat_q;

  if (Beats == 1) begin : gen_one_beat
    assign beat_q = '0;
  end else begin : gen_beats
    always_ff @(posedge clk_i or negedge rst_ni) begin
      if (!rst_ni) begin
        beat_q <= '0;
      end else begin
        beat_q <= beat_q + 1'b1;
      end
    end
  end

  // Who enters next is decided two cycles before its first beat is at the entry: one for the memory of
  // a queue, one for the register.

  tag_t    tags_q [Length];
  tag_t    tag_end, entering;
  logic    decide;
  source_e chosen, source_q;
  lanes_t  ring_end;

  assign decide = beat_q == beat_t'((2 * Beats - 2) % Beats);

  function automatic logic leaves(input logic [3:0] pass);
    return pass == LastBefore || pass == LastBehind;
  endfunction

  always_comb begin
    chosen = Nothing;
    if (tags_q[Length-2].valid && !leaves(tags_q[Length-2].pass)) begin
      chosen = FromRing;
    end else if (inner_ready_i) begin
      chosen = FromInner;
    end else if (outer_ready_i) begin
      chosen = FromOuter;
    end
  end

  assign inner_take_o = decide & (chosen == FromInner);
  assign outer_take_o = decide & (chosen == FromOuter);
  assign inner_pop_o  = ~decide & (source_q == FromInner);
  assign outer_pop_o  = ~decide & (source_q == FromOuter);

  assign tag_end = tags_q[Length-1];

  always_comb begin
    entering.valid = source_q != Nothing;
    entering.pass  = '0;
    unique case (source_q)
      FromRing:  entering.pass = tag_end.pass + 1'b1;
      FromInner: entering.pass = FirstBehind;
      default:   entering.pass = '0;
    endcase
  end

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      source_q <= Nothing;
      for (int unsigned i = 0; i < Length; i++) tags_q[i] <= '0;
    end else begin
      if (decide) source_q <= chosen;
      tags_q[0] <= entering;
      for (int unsigned i = 1; i < Length; i++) tags_q[i] <= tags_q[i-1];
    end
  end

  assign inner_push_o = tag_end.valid & (tag_end.pass == LastBefore);
  assign outer_push_o = tag_end.valid & (tag_end.pass == LastBehind);
  assign push_last_o  = beat_q == beat_t'((2 * Beats - 2) % Beats);
  assign push_data_o  = ring_end;

  // Constants of every pass and beat; none in pass 0.

  logic [Lanes-1:0][30:0] rom [16*Beats];

  initial begin
    for (int unsigned place = 0; place < 16 * Beats; place++) begin
      for (int unsigned lane = 0; lane < Lanes; lane++) begin
        rom[place][lane] = '0;
        if (place >= Beats && place < 9 * Beats) begin
          rom[place][lane] =
              to_montgomery(ExternalConstants[place / Beats - 1][(place % Beats) * Lanes + lane]);
        end
      end
    end
  end

  localparam int unsigned PlaceWidth = $clog2(16 * Beats);

  logic [PlaceWidth-1:0] rom_at;
  lanes_t                entry_q, x_q, constants_q, operand_q, powered, mixed;

  if (Beats == 1) begin : gen_rom_pass
    assign rom_at = tags_q[0].pass;
  end else begin : gen_rom_pass_beat
    assign rom_at = {tags_q[0].pass, beat_q};
  end

  always_ff @(posedge clk_i) begin
    unique case (source_q)
      FromInner: entry_q <= inner_data_i;
      FromOuter: entry_q <= outer_data_i;
      default:   entry_q <= ring_end;
    endcase
    x_q         <= entry_q;
    constants_q <= rom[rom_at];
    for (int unsigned i = 0; i < Lanes; i++) operand_q[i] <= add_mod(x_q[i], constants_q[i]);
  end

  for (genvar i = 0; i < Lanes; i++) begin : gen_lanes
    poseidon2_sbox u_sbox (
      .clk_i,
      .rst_ni,
      .convert_i(tags_q[2].pass == '0),
      .x_i      (operand_q[i]),
      .x_o      (powered[i])
    );
  end

  // 21 cycles behind the entry.
  localparam int unsigned MixAt = 21;

  poseidon2_mix #(
    .Lanes(Lanes)
  ) u_mix (
    .clk_i,
    .rst_ni,
    .first_i(beat_q == beat_t'(MixAt % Beats)),
    .last_i (beat_q == beat_t'((MixAt + Beats - 1) % Beats)),
    .x_i    (powered),
    .x_o    (mixed)
  );

  delay_line #(
    .Width(31 * Lanes),
    .Depth(Padding)
  ) u_padding (
    .clk_i,
    .rst_ni,
    .data_i(mixed),
    .data_o(ring_end)
  );

endmodule
