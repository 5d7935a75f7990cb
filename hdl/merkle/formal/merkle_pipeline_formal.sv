// The control of the pipelined Merkle engine, for ever and for any hash core: proved by induction
// over the engine's own state.
//
// Leaves and digests are any data; the hash core takes messages and gives digests when it likes, as
// long as it gives one for each message and its input gets ready where fewer than InFlight are inside.
// Proved besides the handshake rules and packet_rules: no more than InFlight operations are under
// way and their tags have room; the mark "last of its level" is never lost and never doubled, so every
// packet in is one packet out; one tree at a time is between its last leaf and its root; and nothing locks
// up: while a packet is owed and the environment does not pause, something moves.
module merkle_pipeline_formal
  import merkle_pkg::*;
#(
  parameter int unsigned MaxDepth = 4,
  parameter bit          EmitNodes = 1'b1,
  parameter int unsigned InFlight = 4,
  localparam int unsigned LevelWidth = $clog2(MaxDepth + 1)
) (
  input logic                clk_i,
  input logic                rst_ni,
  input logic [NodeBits-1:0] leaf_data,
  input logic                leaf_valid,
  input logic                leaf_last,
  input logic                node_ready,
  input logic                hash_may_take,
  input logic [NodeBits-1:0] digest_data,
  input logic                digest_valid
);

  logic [  NodeBits-1:0] node_data;
  logic [LevelWidth-1:0] node_level;
  logic                  node_valid, node_last, leaf_ready, digest_ready, started;
  logic [2*NodeBits-1:0] message_data;
  logic                  message_valid, message_ready;

  reset_rules u_reset (.clk_i, .rst_ni, .started_o(started));

  merkle_pipeline #(
    .MaxDepth (MaxDepth),
    .EmitNodes(EmitNodes),
    .InFlight (InFlight)
  ) u_dut (
    .clk_i,
    .rst_ni,
    .s_axis_tdata (leaf_data),
    .s_axis_tvalid(leaf_valid),
    .s_axis_tready(leaf_ready),
    .s_axis_tlast (leaf_last),
    .m_axis_tdata (node_data),
    .m_axis_tuser (node_level),
    .m_axis_tvalid(node_valid),
    .m_axis_tready(node_ready),
    .m_axis_tlast (node_last),
    .m_hash_tdata (message_data),
    .m_hash_tvalid(message_valid),
    .m_hash_tready(message_ready),
    .s_hash_tdata (digest_data),
    .s_hash_tvalid(digest_valid),
    .s_hash_tready(digest_ready)
  );

  stream_rules #(
    .Bits  (NodeBits + 1),
    .Assume(1'b1)
  ) u_leaves (
    .clk_i, .rst_ni, .payload_i({leaf_data, leaf_last}), .valid_i(leaf_valid), .ready_i(leaf_ready)
  );
  stream_rules #(
    .Bits  (NodeBits),
    .Assume(1'b1)
  ) u_digests (
    .clk_i, .rst_ni, .payload_i(digest_data), .valid_i(digest_valid), .ready_i(digest_ready)
  );
  stream_rules #(
    .Bits(NodeBits + LevelWidth + 1)
  ) u_nodes (
    .clk_i, .rst_ni, .payload_i({node_data, node_level, node_last}), .valid_i(node_valid),
    .ready_i(node_ready)
  );
  stream_rules #(
    .Bits(2 * NodeBits)
  ) u_messages (
    .clk_i, .rst_ni, .payload_i(message_data), .valid_i(message_valid), .ready_i(message_ready)
  );
  packet_rules #(
    .EarlyBeats(1'b1),
    .CountBits (6)
  ) u_packets (
    .clk_i, .rst_ni,
    .in_valid_i (leaf_valid), .in_ready_i(leaf_ready), .in_last_i(leaf_last),
    .out_valid_i(node_valid), .out_ready_i(node_ready), .out_last_i(node_last)
  );

  // The hash core: messages taken less digests given.
  logic [5:0] inside_q;

  assign message_ready = hash_may_take && 32'(inside_q) < InFlight;

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      inside_q <= '0;
    end else begin
      inside_q <= inside_q + 6'(message_valid && message_ready) - 6'(digest_valid && digest_ready);
    end
  end

  always_comb begin
    if (digest_valid) assume (inside_q != '0);
  end

  // Tags and pairs that wait, and their marks.
  localparam int unsigned PairDepth = 2;
  localparam int unsigned TagBits = LevelWidth + 2;  // {level, last, root}

  logic [InFlight-1:0] tag_there, tag_last, tag_root, tag_wrong;
  logic [PairDepth-1:0] pair_there, pair_last;
  logic [5:0] tags, pairs, climbing_marks, marks;

  assign tags = 6'(u_dut.u_tags.count_o);
  assign pairs = 6'(u_dut.u_pairs.count_o);

  for (genvar i = 0; i < InFlight; i++) begin : gen_tags
    logic [$clog2(InFlight)-1:0] age;
    logic [         TagBits-1:0] tag;
    assign age = $clog2(InFlight)'(i) - u_dut.u_tags.read_q[$clog2(InFlight)-1:0];
    assign tag = u_dut.u_tags.memory_q[i];
    assign tag_there[i] = 6'(age) < tags;
    assign tag_last[i] = tag_there[i] && tag[1];
    assign tag_root[i] = tag_there[i] && tag[0];
    assign tag_wrong[i] = tag_there[i] && (tag[TagBits-1:2] == '0
        || 32'(tag[TagBits-1:2]) > MaxDepth
        || (tag[0] ? !tag[1] : tag[1] && 32'(tag[TagBits-1:2]) == MaxDepth));
  end
  for (genvar i = 0; i < PairDepth; i++) begin : gen_pairs
    logic [$clog2(PairDepth)-1:0] age;
    assign age = $clog2(PairDepth)'(i) - u_dut.u_pairs.read_q[$clog2(PairDepth)-1:0];
    assign pair_there[i] = 6'(age) < pairs;
    assign pair_last[i] = pair_there[i] && u_dut.u_pairs.memory_q[i][2*NodeBits];
  end

  always_comb begin
    climbing_marks = 6'(u_dut.node_valid_q && u_dut.node_tag_q.last && !u_dut.node_tag_q.root);
    marks = 6'(u_dut.node_valid_q && u_dut.node_tag_q.root) + 6'(node_valid && node_last);
    for (int unsigned i = 0; i < InFlight; i++) begin
      climbing_marks += 6'(tag_last[i] && !tag_root[i]);
      marks += 6'(tag_root[i]);
    end
    for (int unsigned i = 0; i < PairDepth; i++) marks += 6'(pair_last[i]);
  end

  always_comb begin
    if (started && rst_ni) begin
      operations_are_counted :
      assert (6'(u_dut.count_q) == tags + 6'(u_dut.node_valid_q) && 32'(u_dut.count_q) <= InFlight);
      digests_are_counted :
      assert (7'(tags) == 7'(inside_q) + 7'(message_valid));
      marks_are_kept :
      assert (7'(u_packets.owed_q) == 7'(marks) + 7'(climbing_marks));
      one_tree_climbs :
      assert (climbing_marks == 6'(u_dut.draining_q));
      // What induction needs to know besides.
      pairs_in_bounds :
      assert (32'(pairs) <= PairDepth);
      tags_are_right :
      assert (tag_wrong == '0);
      node_is_right :
      assert (!u_dut.node_valid_q || (u_dut.node_tag_q.level != '0
          && 32'(u_dut.node_tag_q.level) <= MaxDepth && (u_dut.node_tag_q.root
              ? u_dut.node_tag_q.last
              : !(u_dut.node_tag_q.last && 32'(u_dut.node_tag_q.level) == MaxDepth))));
      left_leaf_is_of_a_tree :
      assert (u_dut.leaves_started_q || !u_dut.left_leaf_valid_q);
    end
  end

  logic moves, willing;
  assign willing = node_ready && hash_may_take && (digest_valid || inside_q == '0);
  assign moves = u_dut.node_leaves || u_dut.issue_pair || (message_valid && message_ready)
      || (digest_valid && digest_ready) || node_valid;

  always_comb begin
    if (started && rst_ni && willing) begin
      no_lock :
      assert (moves || u_packets.owed_q == '0);
    end
  end

endmodule
