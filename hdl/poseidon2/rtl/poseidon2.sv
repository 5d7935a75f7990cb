// The Poseidon2 permutation of width 16 over BabyBear, as the contract of chaindp's kernel poseidon2 has
// it: packets of 16 elements in, canonical, as many out, Lanes elements a beat.
//
// Two rings of multipliers. The external ring has Lanes S-boxes and holds 9, 16 or 30 states (Lanes 4, 8
// or 16); a state takes nine passes of 16/Lanes cycles of its throughput, conversion to Montgomery form
// included. The internal ring has one S-box and holds 23; a state takes 13 cycles of it. Queues between
// them hold whole states, of which no more than States are under way: nothing inside ever waits for
// room, and the output can wait as long as it likes.
//
//   Lanes   cycles a permutation   18x18 multipliers   useful products of those that fit
//     4            36                      70                  580 of 720
//     8            18                     126                  580 of 648
//    16            13                     238                  580 of 884
//
// (580: 141 S-boxes of four products, and 16 conversions.) Latency from the first beat in to the first
// beat out: 660, 610 and 585 cycles, give or take a tenth, as the rings stand. Packets leave in the order in
// which they came. Bit 31 of an element and tlast are ignored: a packet is 16/Lanes beats.
module poseidon2 #(
  parameter int unsigned Lanes = 4
) (
  input  logic                clk_i,
  input  logic                rst_ni,

  input  logic [32*Lanes-1:0] s_axis_tdata,
  input  logic                s_axis_tvalid,
  output logic                s_axis_tready,
  input  logic                s_axis_tlast,

  output logic [32*Lanes-1:0] m_axis_tdata,
  output logic                m_axis_tvalid,
  input  logic                m_axis_tready,
  output logic                m_axis_tlast
);

  import poseidon2_pkg::*;

  if (Lanes != 4 && Lanes != 8 && Lanes != 16) begin : gen_bad_lanes
    $error("poseidon2: Lanes (%0d) must be 4, 8 or 16", Lanes);
  end

  localparam int unsigned Beats      = Width / Lanes;
  localparam int unsigned BeatWidth  = (Beats == 1) ? 1 : $clog2(Beats);
  localparam int unsigned DataWidth  = 31 * Lanes;
  // Enough to keep the fuller ring busy: what is in the rings, on the way, and waits for its turn.
  localparam int unsigned States     = (Lanes == 4) ? 32 : 64;
  localparam int unsigned CountWidth = $clog2(States + 1);
  // States that wait at the input.
  localparam int unsigned InStates   = 4;

  typedef logic [Lanes-1:0][30:0] lanes_t;
  typedef logic [BeatWidth-1:0]   beat_t;

  // In.

  lanes_t in_data, outer_data, inner_data, back_data, ring_data, out_data;
  logic   in_ready, in_take, in_pop, in_push;
  beat_t  in_beat_q;
  logic [$clog2(InStates*Beats+1)-1:0] in_count_q;

  assign s_axis_tready = in_count_q != ($bits(in_count_q))'(InStates * Beats);
  assign in_push       = s_axis_tvalid & s_axis_tready;

  for (genvar i = 0; i < Lanes; i++) begin : gen_in
    assign in_data[i] = s_axis_tdata[32*i +: 31];

    logic unused;
    assign unused = s_axis_tdata[32*i+31];
  end

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      in_beat_q  <= '0;
      in_count_q <= '0;
    end else begin
      if (in_push) in_beat_q <= (in_beat_q == beat_t'(Beats - 1)) ? '0 : in_beat_q + 1'b1;
      in_count_q <= in_count_q + ($bits(in_count_q))'(in_push)
                  - ($bits(in_count_q))'(in_take | in_pop);
    end
  end

  poseidon2_queue #(
    .Width (DataWidth),
    .Beats (Beats),
    .States(InStates)
  ) u_in (
    .clk_i,
    .rst_ni,
    .push_i (in_push),
    .last_i (in_beat_q == beat_t'(Beats - 1)),
    .data_i (in_data),
    .ready_o(in_ready),
    .take_i (in_take),
    .pop_i  (in_pop),
    .data_o (outer_data)
  );

  // How many states are under way.

  logic [CountWidth-1:0] states_q;
  logic                  finished;

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      states_q <= '0;
    end else begin
      states_q <= states_q + CountWidth'(in_take) - CountWidth'(finished);
    end
  end

  // The rings, and the queues between them.

  logic to_inner_push, to_outer_push, ring_last;
  logic inner_ready, inner_take, inner_pop;
  logic back_push, back_last, back_ready, back_take, back_pop;
  lanes_t back_in;

  poseidon2_external #(
    .Lanes(Lanes)
  ) u_external (
    .clk_i,
    .rst_ni,
    .outer_ready_i(in_ready & (states_q != CountWidth'(States))),
    .outer_take_o (in_take),
    .outer_pop_o  (in_pop),
    .outer_data_i (outer_data),
    .inner_ready_i(back_ready),
    .inner_take_o (back_take),
    .inner_pop_o  (back_pop),
    .inner_data_i (back_data),
    .inner_push_o (to_inner_push),
    .outer_push_o (to_outer_push),
    .push_last_o  (ring_last),
    .push_data_o  (ring_data)
  );

  poseidon2_queue #(
    .Width (DataWidth),
    .Beats (Beats),
    .States(States)
  ) u_to_inner (
    .clk_i,
    .rst_ni,
    .push_i (to_inner_push),
    .last_i (ring_last),
    .data_i (ring_data),
    .ready_o(inner_ready),
    .take_i (inner_take),
    .pop_i  (inner_pop),
    .data_o (inner_data)
  );

  poseidon2_internal #(
    .Lanes(Lanes)
  ) u_internal (
    .clk_i,
    .rst_ni,
    .ready_i    (inner_ready),
    .take_o     (inner_take),
    .pop_o      (inner_pop),
    .data_i     (inner_data),
    .push_o     (back_push),
    .push_last_o(back_last),
    .push_data_o(back_in)
  );

  poseidon2_queue #(
    .Width (DataWidth),
    .Beats (Beats),
    .States(States)
  ) u_back (
    .clk_i,
    .rst_ni,
    .push_i (back_push),
    .last_i (back_last),
    .data_i (back_in),
    .ready_o(back_ready),
    .take_i (back_take),
    .pop_i  (back_pop),
    .data_o (back_data)
  );

  // Out: canonical again, then a queue whose memory's own register is the output.

  lanes_t     canonical;
  logic [1:0] out_push_q, out_last_q;

  for (genvar i = 0; i < Lanes; i++) begin : gen_canonical
    poseidon2_canonical u_canonical (
      .clk_i,
      .x_i(ring_data[i]),
      .x_o(canonical[i])
    );
  end

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      out_push_q <= '0;
      out_last_q <= '0;
    end else begin
      out_push_q <= {out_push_q[0], to_outer_push};
      out_last_q <= {out_last_q[0], ring_last};
    end
  end

  logic  out_ready, out_take, out_pop, out_free;
  logic  out_valid_q;
  beat_t out_beat_q;

  assign out_free = ~out_valid_q | m_axis_tready;
  assign out_take = out_free & out_ready & (~out_valid_q | m_axis_tlast);
  assign out_pop  = out_valid_q & m_axis_tready & ~m_axis_tlast;
  assign finished = out_valid_q & m_axis_tready & m_axis_tlast;

  poseidon2_queue #(
    .Width (DataWidth),
    .Beats (Beats),
    .States(States)
  ) u_out (
    .clk_i,
    .rst_ni,
    .push_i (out_push_q[1]),
    .last_i (out_last_q[1]),
    .data_i (canonical),
    .ready_o(out_ready),
    .take_i (out_take),
    .pop_i  (out_pop),
    .data_o (out_data)
  );

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      out_valid_q <= 1'b0;
      out_beat_q  <= '0;
    end else begin
      if (out_free) out_valid_q <= out_take | out_pop;
      if (out_take) begin
        out_beat_q <= '0;
      end else if (out_pop) begin
        out_beat_q <= out_beat_q + 1'b1;
      end
    end
  end

  assign m_axis_tvalid = out_valid_q;
  assign m_axis_tlast  = out_beat_q == beat_t'(Beats - 1);

  for (genvar i = 0; i < Lanes; i++) begin : gen_out
    assign m_axis_tdata[32*i +: 32] = {1'b0, out_data[i]};
  end

  // A packet is always as long as a state.
  logic unused;
  assign unused = s_axis_tlast;

endmodule
