// The pipelined Merkle engine: a leaf and a node every cycle, over a hash core that takes a message
// of two nodes every cycle (or every second one) and gives digests in order.
//
// Tree rule and streams are those of merkle_engine. What differs is the scheduling: a digest that
// comes back either waits in its level's place for its sibling, or is that sibling and goes on at
// once, together with the node that waited; cycles in which no digest goes on take two leaves. One
// place a level is enough, as no pair ever waits. 2^n leaves give 2^n - 1 nodes in about as many
// cycles; pairs of leaves queue for the cycles that the levels above leave over.
//
// The path from the last leaf to the root is about log2(leaves) times the latency of the hash core,
// and the pipeline would be almost empty on it. So the next tree's nodes are mixed in. With the root
// alone (EmitNodes = 0) all of its leaves but the last two may go ahead of the root before, so roots
// keep their order; trees whose path to the root takes longer than their leaves' cycles
// wait for each other. With EmitNodes = 1 the nodes of a packet must leave before those of the next,
// and operations on leaves wait until the root's has been issued: the path is paid for every tree.
//
// No more than InFlight operations are under way, which the hash core must have room for: then its
// input is ready sooner or later even while its output waits, and nothing can lock up.
module merkle_pipeline
  import merkle_pkg::*;
  import merkle_zeros_pkg::*;
#(
  parameter int unsigned Hash = HashKeccak256,  // whose zero roots are used
  parameter int unsigned MaxDepth = 32,         // 1 to 32: up to 2^MaxDepth leaves
  parameter bit          EmitNodes = 1'b1,      // 1: every node above the leaves; 0: the root only
  parameter int unsigned InFlight = 32,         // a power of two
  localparam int unsigned LevelWidth = $clog2(MaxDepth + 1)
) (
  input  logic                  clk_i,
  input  logic                  rst_ni,
  // Leaves, a beat each.
  input  logic [NodeBits-1:0]   s_axis_tdata,
  input  logic                  s_axis_tvalid,
  output logic                  s_axis_tready,
  input  logic                  s_axis_tlast,
  // Nodes, a beat each; tuser is the node's level, leaves being level 0.
  output logic [NodeBits-1:0]   m_axis_tdata,
  output logic [LevelWidth-1:0] m_axis_tuser,
  output logic                  m_axis_tvalid,
  input  logic                  m_axis_tready,
  output logic                  m_axis_tlast,
  // To the hash core: two nodes a beat, the left one in the low half.
  output logic [2*NodeBits-1:0] m_hash_tdata,
  output logic                  m_hash_tvalid,
  input  logic                  m_hash_tready,
  // From the hash core: digests, in the order of the messages.
  input  logic [NodeBits-1:0]   s_hash_tdata,
  input  logic                  s_hash_tvalid,
  output logic                  s_hash_tready
);

  if (MaxDepth < 1 || MaxDepth > 32) begin : gen_bad_depth
    $error("merkle_pipeline: MaxDepth (%0d) must be 1 to 32", MaxDepth);
  end

  if (InFlight < 2 || 2 ** $clog2(InFlight) != InFlight) begin : gen_bad_in_flight
    $error("merkle_pipeline: InFlight (%0d) must be a power of two, 2 or more", InFlight);
  end

  localparam int unsigned IndexBits = MaxDepth > 1 ? $clog2(MaxDepth) : 1;
  localparam int unsigned CountBits = $clog2(InFlight + 1);
  // A few pairs of leaves even out the cycles in which the levels above come first.
  localparam int unsigned PairDepth = 8;
  localparam logic [ZeroLevels-1:0][NodeBits-1:0] ZeroRoots =
      Hash == HashSha256 ? ZeroRootsSha256 : ZeroRootsKeccak256;

  typedef logic [IndexBits-1:0] index_t;
  typedef logic [LevelWidth-1:0] level_t;

  // What is known of a digest before it comes.
  typedef struct packed {
    level_t level;
    logic   last;
    logic   root;
  } tag_t;

  // Operations under way: messages and digests up to the one that is looked at.
  logic [CountBits-1:0] count_d, count_q;

  /////////////////////
  // Leaves to pairs //
  /////////////////////

  logic [NodeBits-1:0] left_leaf_q;
  logic                left_leaf_valid_d, left_leaf_valid_q;
  logic                leaves_started_d, leaves_started_q;  // a leaf of this tree is in
  logic                lone_leaf, take_lone_leaf, push_pair, pairs_ready;

  logic [NodeBits-1:0] pair_left, pair_right;
  logic                pair_last, pair_valid, pair_moves;
  logic                out_is_free;

  logic [$clog2(PairDepth):0] unused_pairs;

  // A tree of one leaf: its root goes out when every earlier root has.
  assign lone_leaf = s_axis_tlast && !leaves_started_q;
  assign take_lone_leaf = s_axis_tvalid && lone_leaf && count_q == '0 && !pair_valid && out_is_free;
  assign push_pair = s_axis_tvalid && !lone_leaf && (left_leaf_valid_q || s_axis_tlast);

  always_comb begin : leaves
    if (lone_leaf) s_axis_tready = take_lone_leaf;
    else s_axis_tready = pairs_ready || !(left_leaf_valid_q || s_axis_tlast);
    left_leaf_valid_d = left_leaf_valid_q;
    leaves_started_d = leaves_started_q;
    if (s_axis_tvalid && s_axis_tready) begin
      left_leaf_valid_d = !left_leaf_valid_q && !s_axis_tlast;
      leaves_started_d = !s_axis_tlast;
    end
  end

  always_ff @(posedge clk_i) begin
    if (s_axis_tvalid && !left_leaf_valid_q) left_leaf_q <= s_axis_tdata;
  end

  stream_fifo #(
    .Width(2 * NodeBits + 1),
    .Depth(PairDepth)
  ) u_pairs (
    .clk_i,
    .rst_ni,
    // The last leaf of an odd number is completed by the zero leaf.
    .data_i ({s_axis_tlast, left_leaf_valid_q ? s_axis_tdata : ZeroRoots[0],
              left_leaf_valid_q ? left_leaf_q : s_axis_tdata}),
    .valid_i(push_pair),
    .ready_o(pairs_ready),
    .data_o ({pair_last, pair_right, pair_left}),
    .valid_o(pair_valid),
    .ready_i(pair_moves),
    .count_o(unused_pairs)
  );

  ////////////////////////////
  // Digests to their level //
  ////////////////////////////

  logic [NodeBits-1:0] node_q;
  tag_t                node_tag_q, digest_tag;
  logic                node_valid_d, node_valid_q;
  logic                node_leaves, node_moves_on, node_waits, node_stays, node_is_shown;
  logic                message_is_free;
  logic                unused_tag_valid, unused_tag_ready;
  logic [$clog2(InFlight):0] unused_tags;
  index_t              node_index;

  logic [MaxDepth-1:0] waiting_d, waiting_q;
  logic [NodeBits-1:0] waiting_nodes_q [MaxDepth];

  assign node_index = index_t'(node_tag_q.level);

  always_comb begin : classify
    // A root goes nowhere; nor does a node above the highest level, which only a tree of too many
    // leaves has.
    node_stays = !node_tag_q.root && node_tag_q.level != level_t'(MaxDepth);
    node_moves_on = node_stays && (waiting_q[node_index] || node_tag_q.last);
    node_waits = node_stays && !node_moves_on;
    node_is_shown = EmitNodes || node_tag_q.root;
    node_leaves = node_valid_q && (!node_is_shown || out_is_free)
        && (!node_moves_on || message_is_free);
  end

  assign s_hash_tready = !node_valid_q || node_leaves;
  assign node_valid_d = s_hash_tvalid || (node_valid_q && !node_leaves);

  always_comb begin : waiting
    waiting_d = waiting_q;
    if (node_leaves && node_stays) waiting_d[node_index] = node_waits;
  end

  always_ff @(posedge clk_i) begin
    if (s_hash_tready) begin
      node_q <= s_hash_tdata;
      node_tag_q <= digest_tag;
    end
    if (node_leaves && node_waits) waiting_nodes_q[node_index] <= node_q;
  end

  ////////////////////////////
  // Operations to messages //
  ////////////////////////////

  logic [2*NodeBits-1:0] message_q;
  logic                  message_valid_d, message_valid_q;
  logic                  issue_node, issue_pair, op_last;
  index_t                op_level;
  level_t                result_level;
  tag_t                  issued_tag;
  logic                  draining_d, draining_q;  // a last leaf is issued, the root is not
  logic [MaxDepth-1:0]   started_d, started_q;    // the tree has a node of this level, or will

  assign message_is_free = !message_valid_q || m_hash_tready;
  assign issue_node = node_leaves && node_moves_on;
  assign issue_pair = pair_valid && message_is_free && !(node_valid_q && node_moves_on)
      && count_q != CountBits'(InFlight) && !(draining_q && (EmitNodes || pair_last));
  assign pair_moves = issue_pair;
  assign message_valid_d = issue_node || issue_pair || (message_valid_q && !m_hash_tready);

  assign op_level = issue_node ? node_index : '0;
  assign op_last = issue_node ? node_tag_q.last : pair_last;
  assign result_level = level_t'(op_level) + level_t'(1);

  always_comb begin : result
    issued_tag.level = result_level;
    issued_tag.last = op_last;
    issued_tag.root = op_last;
    if (result_level != level_t'(MaxDepth) && started_q[index_t'(result_level)]) begin
      issued_tag.root = 1'b0;
    end
    started_d = started_q;
    draining_d = draining_q;
    if (issue_node || issue_pair) begin
      if (result_level != level_t'(MaxDepth)) started_d[index_t'(result_level)] = !op_last;
      if (op_last) draining_d = !issued_tag.root;
    end
  end

  always_ff @(posedge clk_i) begin
    if (issue_node) begin
      // The last node of a level without a sibling is completed by the zero root of its height.
      message_q <= waiting_q[node_index] ? {node_q, waiting_nodes_q[node_index]}
                                         : {ZeroRoots[5'(node_index)], node_q};
    end else if (issue_pair) begin
      message_q <= {pair_right, pair_left};
    end
  end

  assign m_hash_tdata = message_q;
  assign m_hash_tvalid = message_valid_q;

  stream_fifo #(
    .Width($bits(tag_t)),
    .Depth(InFlight)
  ) u_tags (
    .clk_i,
    .rst_ni,
    .data_i (issued_tag),
    .valid_i(issue_node || issue_pair),
    .ready_o(unused_tag_ready),
    .data_o (digest_tag),
    .valid_o(unused_tag_valid),
    .ready_i(s_hash_tvalid && s_hash_tready),
    .count_o(unused_tags)
  );

  assign count_d = count_q + CountBits'(issue_pair) - CountBits'(node_leaves && !node_moves_on);

  ////////////
  // Output //
  ////////////

  logic [NodeBits-1:0] out_q;
  level_t              out_level_q;
  logic                out_root_q, out_valid_d, out_valid_q, show_node;

  assign out_is_free = !out_valid_q || m_axis_tready;
  assign show_node = node_leaves && node_is_shown;
  assign out_valid_d = show_node || take_lone_leaf || (out_valid_q && !m_axis_tready);

  always_ff @(posedge clk_i) begin
    if (show_node) begin
      out_q <= node_q;
      out_level_q <= node_tag_q.level;
      out_root_q <= node_tag_q.root;
    end else if (take_lone_leaf) begin
      out_q <= s_axis_tdata;
      out_level_q <= '0;
      out_root_q <= 1'b1;
    end
  end

  assign m_axis_tdata = out_q;
  assign m_axis_tuser = out_level_q;
  assign m_axis_tlast = out_root_q;
  assign m_axis_tvalid = out_valid_q;

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      left_leaf_valid_q <= 1'b0;
      leaves_started_q <= 1'b0;
      node_valid_q <= 1'b0;
      waiting_q <= '0;
      message_valid_q <= 1'b0;
      draining_q <= 1'b0;
      started_q <= '0;
      count_q <= '0;
      out_valid_q <= 1'b0;
    end else begin
      left_leaf_valid_q <= left_leaf_valid_d;
      leaves_started_q <= leaves_started_d;
      node_valid_q <= node_valid_d;
      waiting_q <= waiting_d;
      message_valid_q <= message_valid_d;
      draining_q <= draining_d;
      started_q <= started_d;
      count_q <= count_d;
      out_valid_q <= out_valid_d;

`ifndef SYNTHESIS
      // What the header claims, and what it asks of the hash core.
      count_in_bounds :
      assert (!(node_leaves && !node_moves_on && count_q == '0));
      tag_has_room :
      assert (unused_tag_ready || !(issue_node || issue_pair));
      digest_was_asked_for :
      assert (unused_tag_valid || !s_hash_tvalid);
`endif
    end
  end

endmodule
