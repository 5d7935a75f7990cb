// The iterative Merkle engine: leaves in, nodes or the root out, over any hash core with streams.
//
// Tree rule: a level of odd size is completed by the root of the all-zero subtree of that height
// (SSZ's merkleize, Ethereum consensus specs, ssz/simple-serialize.md). Nothing is known of the
// number of leaves until tlast.
//
// How it works. Every level has a ring of three nodes in memory. A node that arrives at its level
// (a leaf from s_axis, any other from the hash core) either waits there for its sibling, or is that
// sibling and makes an operation: both nodes are read word by word into the hash core. The last
// node of a level needs no sibling: its operation takes the zero root instead. A node that is first
// and last of its level is the root.
//
// Scheduling. A chain starts with an operation on two leaves and climbs for as long as its result
// finds a waiting sibling. At most two chains are alive at once, one being hashed and one being
// loaded, which keeps a hash core busy that takes one message in while it works on another.
// Operations of inner levels go before those of leaves, so a level never holds more than three
// nodes: a pair whose operation is due, and one more. Whatever the hash core's timing, a digest
// always finds its place, so nothing can lock up.
// Leaves of the next tree are taken in while the last one climbs to its root. Their operations start
// when the root's has been issued, so the nodes of two trees never mix in the output.
//
// Throughput: bound by the hash core. 2^n leaves cost 2^n - 1 nodes and, on the last path to the
// root, n times the latency of the hash core and of loading it.
// More than 2^MaxDepth leaves are against the contract: the packet still ends with one beat marked
// last, which is then not the root.
module merkle_engine
  import merkle_pkg::*;
#(
  parameter int unsigned Hash = HashKeccak256,  // whose zero roots are used
  parameter int unsigned MaxDepth = 32,         // 1 to 32: up to 2^MaxDepth leaves
  parameter bit          EmitNodes = 1'b1,      // 1: every node above the leaves; 0: the root only
  parameter int unsigned WordBytes = 8,         // a power of two to 32: the hash core's input
  localparam int unsigned LevelWidth = $clog2(MaxDepth + 1),
  localparam int unsigned WordBits = 8 * WordBytes
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
  // To the hash core: messages of two nodes.
  output logic [WordBits-1:0]   m_hash_tdata,
  output logic                  m_hash_tvalid,
  input  logic                  m_hash_tready,
  output logic                  m_hash_tlast,
  // From the hash core: digests, in the order of the messages.
  input  logic [NodeBits-1:0]   s_hash_tdata,
  input  logic                  s_hash_tvalid,
  output logic                  s_hash_tready
);

  if (MaxDepth < 1 || MaxDepth > 32) begin : gen_bad_depth
    $error("merkle_engine: MaxDepth (%0d) must be 1 to 32", MaxDepth);
  end
  if (WordBytes == 0 || NodeBytes % WordBytes != 0) begin : gen_bad_width
    $error("merkle_engine: WordBytes (%0d) must divide 32", WordBytes);
  end

  localparam int unsigned Words = NodeBytes / WordBytes;
  localparam int unsigned WordIndexBits = Words > 1 ? $clog2(Words) : 0;
  localparam int unsigned CountBits = Words > 1 ? $clog2(Words) : 1;
  localparam int unsigned IndexBits = MaxDepth > 1 ? $clog2(MaxDepth) : 1;
  localparam int unsigned AddressBits = SlotWidth + IndexBits + WordIndexBits;
  localparam logic [CountBits-1:0] LastWord = CountBits'(Words - 1);

  typedef logic [SlotWidth-1:0] slot_t;
  typedef logic [IndexBits-1:0] index_t;    // a level whose nodes wait in memory, 0 to MaxDepth - 1
  typedef logic [LevelWidth-1:0] level_t;   // any level, 0 to MaxDepth
  typedef logic [CountBits-1:0] count_t;

  // What the hash core is to be given: two nodes of a level.
  typedef struct packed {
    index_t level;
    slot_t  left;
    slot_t  right;  // ZeroSlot where the left node is alone
    logic   last;   // the result is the last node of its level
  } operation_t;

  // What is known of a digest before it comes.
  typedef struct packed {
    level_t level;
    logic   last;
    logic   root;
  } tag_t;

  function automatic logic [AddressBits-1:0] address(slot_t slot, index_t level, count_t word);
    if (Words > 1) return AddressBits'({slot, level, word});
    return AddressBits'({slot, level});
  endfunction

  /////////////////////////
  // State of the levels //
  /////////////////////////

  // By level: whether a node waits for its sibling, which slot the next node gets, and whether the
  // current tree has a node there or one under way.
  logic [MaxDepth-1:0]                waiting_d, waiting_q;
  logic [MaxDepth-1:0][SlotWidth-1:0] slot_d, slot_q;
  logic [MaxDepth-1:0]                started_d, started_q;

  /////////////////////////////////////////
  // The node register: digest to m_axis //
  /////////////////////////////////////////

  // A digest is taken from the hash core at once, so that the core goes on; from here it is written
  // to memory (store) and shown at the output (emit), each at its own pace. A leaf that is a whole
  // tree comes this way, too.
  logic [NodeBits-1:0] node_d, node_q;
  tag_t                node_tag_d, node_tag_q;
  logic                store_d, store_q;
  logic                emit_d, emit_q;
  // What its level will look like when it gets there: no other node does in between.
  slot_t               node_slot_d, node_slot_q;
  logic                node_pairs_d, node_pairs_q;

  logic take_digest, take_lone_leaf, node_is_free;
  tag_t digest_tag;
  logic digest_stays;  // the digest waits in memory for its sibling, or meets it there

  assign node_is_free = !store_q && !emit_q;
  assign s_hash_tready = node_is_free;
  assign take_digest = s_hash_tvalid && s_hash_tready;
  // A root goes nowhere; nor does a node above the highest level, which only a tree of too many
  // leaves has.
  assign digest_stays = !digest_tag.root && digest_tag.level != level_t'(MaxDepth);

  assign m_axis_tdata = node_q;
  assign m_axis_tuser = node_tag_q.level;
  assign m_axis_tlast = node_tag_q.root;
  assign m_axis_tvalid = emit_q;

  ///////////////////////////////////
  // Arrivals: the memory's writer //
  ///////////////////////////////////

  operation_t leaf_op_d, leaf_op_q;
  logic       leaf_op_valid_d, leaf_op_valid_q;
  // The operations of inner levels that are due, oldest first, at most one a chain.
  operation_t [1:0] inner_op_d, inner_op_q;
  logic       [1:0] inner_op_valid_d, inner_op_valid_q;

  logic   writing_leaf_d, writing_leaf_q;  // words of the leaf at s_axis are being written
  count_t write_word_d, write_word_q;
  logic   write_node, write_leaf, write_first, write_last;
  logic   leaf_may_arrive;
  index_t arrival_level;
  slot_t  arrival_slot;
  logic   arrival, arrival_last, arrival_pairs, arrival_waits;
  operation_t arrival_op;

  logic [1:0] chains_d, chains_q;

  always_comb begin : lone_leaf
    // A tree of one leaf: its root goes out when every earlier root has.
    take_lone_leaf = s_axis_tvalid && s_axis_tlast && !started_q[0]
        && chains_q == '0 && !leaf_op_valid_q && node_is_free;
    // Any other leaf must find room for the operation that it makes.
    leaf_may_arrive = s_axis_tvalid && !(s_axis_tlast && !started_q[0])
        && !(leaf_op_valid_q && (waiting_q[0] || s_axis_tlast));
  end

  always_comb begin : writer
    write_leaf = writing_leaf_q || (!store_q && leaf_may_arrive);
    write_node = store_q && !writing_leaf_q;
    write_first = write_word_q == '0;
    write_last = write_word_q == LastWord;
    write_word_d = write_word_q;
    if (write_leaf || write_node) write_word_d = write_last ? '0 : write_word_q + count_t'(1);
    writing_leaf_d = write_leaf && !write_last;
    s_axis_tready = (write_leaf && write_last) || take_lone_leaf;
  end

  assign arrival = (write_leaf || write_node) && write_first;
  assign arrival_level = write_leaf ? '0 : index_t'(node_tag_q.level);
  assign arrival_last = write_leaf ? s_axis_tlast : node_tag_q.last;
  assign arrival_pairs = write_leaf ? waiting_q[0] : node_pairs_q;
  assign arrival_waits = !arrival_pairs && !arrival_last;

  always_comb begin : operation
    arrival_op.level = arrival_level;
    arrival_op.left = arrival_pairs ? previous_slot(arrival_slot) : arrival_slot;
    arrival_op.right = arrival_pairs ? arrival_slot : ZeroSlot;
    arrival_op.last = arrival_last;
  end

  // The next slot of a leaf is the one behind it once its first word has been written.
  always_comb begin : slot
    if (!write_leaf) arrival_slot = node_slot_q;
    else arrival_slot = write_first ? slot_q[0] : previous_slot(slot_q[0]);
  end

  /////////////////////////////////////
  // Operations: the memory's reader //
  /////////////////////////////////////

  operation_t reading_op_d, reading_op_q;
  logic       reading_d, reading_q, reading_leaf_d, reading_leaf_q;
  logic       read_right_d, read_right_q;
  count_t     read_word_d, read_word_q;
  logic       start_inner, start_leaf;
  logic       read, read_last, issued;
  level_t     result_level;
  tag_t       issued_tag;
  // The leaves of a tree are all issued, its root is not.
  logic       draining_d, draining_q;

  // Two registers after the memory: its own, and one that keeps its long access time out of the
  // paths of the hash core.
  logic [WordBits-1:0] read_data;
  logic                fetched_valid_d, fetched_valid_q, fetched_last_d, fetched_last_q;
  logic [WordBits-1:0] word_d, word_q;
  logic                word_valid_d, word_valid_q, word_last_d, word_last_q;
  logic                word_moves, fetched_moves;

  assign start_inner = !reading_q && inner_op_valid_q[0];
  assign start_leaf = !reading_q && !inner_op_valid_q[0] && leaf_op_valid_q && !draining_q
      && chains_q != 2'd2;

  assign word_moves = !word_valid_q || m_hash_tready;
  assign fetched_moves = !fetched_valid_q || word_moves;
  assign read = reading_q && fetched_moves;
  assign read_last = read_right_q && read_word_q == LastWord;
  assign issued = read && read_last;

  assign result_level = level_t'(reading_op_q.level) + level_t'(1);

  always_comb begin : result
    issued_tag.level = result_level;
    issued_tag.last = reading_op_q.last;
    issued_tag.root = reading_op_q.last;
    if (result_level != level_t'(MaxDepth) && started_q[index_t'(result_level)]) begin
      issued_tag.root = 1'b0;
    end
  end

  always_comb begin : reader
    reading_op_d = reading_op_q;
    reading_leaf_d = reading_leaf_q;
    reading_d = reading_q;
    read_right_d = read_right_q;
    read_word_d = read_word_q;
    draining_d = draining_q;
    if (start_inner || start_leaf) begin
      reading_d = 1'b1;
      reading_leaf_d = start_leaf;
      reading_op_d = start_leaf ? leaf_op_q : inner_op_q[0];
    end
    if (read) begin
      read_word_d = read_word_q == LastWord ? '0 : read_word_q + count_t'(1);
      if (read_word_q == LastWord) read_right_d = !read_right_q;
    end
    if (issued) begin
      reading_d = 1'b0;
      if (reading_op_q.last) draining_d = !issued_tag.root;
    end
  end

  always_comb begin : words
    fetched_valid_d = fetched_valid_q;
    fetched_last_d = fetched_last_q;
    word_valid_d = word_valid_q;
    word_last_d = word_last_q;
    word_d = word_q;
    if (fetched_moves) begin
      fetched_valid_d = read;
      fetched_last_d = read_last;
    end
    if (word_moves) begin
      word_valid_d = fetched_valid_q;
      word_last_d = fetched_last_q;
      word_d = read_data;
    end
  end

  assign m_hash_tdata = word_q;
  assign m_hash_tvalid = word_valid_q;
  assign m_hash_tlast = word_last_q;

  ////////////////////////////
  // What the events change //
  ////////////////////////////

  always_comb begin : levels
    waiting_d = waiting_q;
    slot_d = slot_q;
    started_d = started_q;
    if (arrival) begin
      waiting_d[arrival_level] = arrival_waits;
      slot_d[arrival_level] = next_slot(arrival_slot);
    end
    if (arrival && write_leaf) started_d[0] = !s_axis_tlast;
    if (issued && result_level != level_t'(MaxDepth)) begin
      started_d[index_t'(result_level)] = !reading_op_q.last;
    end
  end

  always_comb begin : due
    leaf_op_d = leaf_op_q;
    leaf_op_valid_d = leaf_op_valid_q;
    inner_op_d = inner_op_q;
    inner_op_valid_d = inner_op_valid_q;
    // The leaves' slots are in use until they have been read; those of inner nodes are safe by the
    // number of chains.
    if (issued && reading_leaf_q) leaf_op_valid_d = 1'b0;
    if (start_inner) begin
      inner_op_d[0] = inner_op_q[1];
      inner_op_valid_d = {1'b0, inner_op_valid_q[1]};
    end
    if (arrival && !arrival_waits) begin
      if (write_leaf) begin
        leaf_op_valid_d = 1'b1;
        leaf_op_d = arrival_op;
      end else if (!inner_op_valid_d[0]) begin
        inner_op_valid_d[0] = 1'b1;
        inner_op_d[0] = arrival_op;
      end else begin
        inner_op_valid_d[1] = 1'b1;
        inner_op_d[1] = arrival_op;
      end
    end
  end

  logic chain_ends;
  assign chain_ends = (take_digest && !digest_stays) || (arrival && write_node && arrival_waits);
  assign chains_d = chains_q + 2'(start_leaf) - 2'(chain_ends);

  always_comb begin : node
    node_d = node_q;
    node_tag_d = node_tag_q;
    store_d = store_q && !(write_node && write_last);
    emit_d = emit_q && !m_axis_tready;
    node_slot_d = node_slot_q;
    node_pairs_d = node_pairs_q;
    if (take_digest) begin
      node_d = s_hash_tdata;
      node_slot_d = slot_q[index_t'(digest_tag.level)];
      node_pairs_d = waiting_q[index_t'(digest_tag.level)];
      node_tag_d = digest_tag;
      store_d = digest_stays;
      emit_d = EmitNodes || digest_tag.root;
    end else if (take_lone_leaf) begin
      node_d = s_axis_tdata;
      node_tag_d = '{level: '0, last: 1'b1, root: 1'b1};
      emit_d = 1'b1;
    end
  end

  // The tags of the digests to come, oldest first, at most one a chain.
  tag_t [1:0] tag_d, tag_q;
  logic [1:0] tag_count_d, tag_count_q;
  assign digest_tag = tag_q[0];

  always_comb begin : tags
    tag_d = tag_q;
    tag_count_d = tag_count_q;
    if (take_digest) begin
      tag_d[0] = tag_q[1];
      tag_count_d = tag_count_q - 2'd1;
    end
    if (issued) begin
      tag_d[tag_count_d[0]] = issued_tag;
      tag_count_d = tag_count_d + 2'd1;
    end
  end

  ////////////////
  // The memory //
  ////////////////

  // The word to write waits a cycle in registers, as both ways to it are long. Its operation is read
  // two cycles after its arrival at the earliest.
  logic [WordBits-1:0]    write_data_d, write_data_q;
  logic [AddressBits-1:0] write_address_d, write_address_q, read_address;
  logic                   write_q;

  assign write_data_d = WordBits'((write_leaf ? s_axis_tdata : node_q)
                                  >> (WordBits * 32'(write_word_q)));
  assign write_address_d = address(arrival_slot, arrival_level, write_word_q);
  assign read_address = address(read_right_q ? reading_op_q.right : reading_op_q.left,
                                reading_op_q.level, read_word_q);

  merkle_store #(
    .Hash     (Hash),
    .Levels   (MaxDepth),
    .WordBytes(WordBytes)
  ) u_store (
    .clk_i,
    .write_i        (write_q),
    .write_address_i(write_address_q),
    .write_data_i   (write_data_q),
    .read_i         (read),
    .read_address_i (read_address),
    .read_data_o    (read_data)
  );

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      waiting_q <= '0;
      slot_q <= '0;
      started_q <= '0;
      store_q <= 1'b0;
      emit_q <= 1'b0;
      leaf_op_valid_q <= 1'b0;
      inner_op_valid_q <= '0;
      writing_leaf_q <= 1'b0;
      write_word_q <= '0;
      chains_q <= '0;
      reading_q <= 1'b0;
      read_right_q <= 1'b0;
      read_word_q <= '0;
      draining_q <= 1'b0;
      fetched_valid_q <= 1'b0;
      word_valid_q <= 1'b0;
      tag_count_q <= '0;
      write_q <= 1'b0;
    end else begin
      waiting_q <= waiting_d;
      slot_q <= slot_d;
      started_q <= started_d;
      store_q <= store_d;
      emit_q <= emit_d;
      leaf_op_valid_q <= leaf_op_valid_d;
      inner_op_valid_q <= inner_op_valid_d;
      writing_leaf_q <= writing_leaf_d;
      write_word_q <= write_word_d;
      chains_q <= chains_d;
      reading_q <= reading_d;
      read_right_q <= read_right_d;
      read_word_q <= read_word_d;
      draining_q <= draining_d;
      fetched_valid_q <= fetched_valid_d;
      word_valid_q <= word_valid_d;
      tag_count_q <= tag_count_d;
      write_q <= write_leaf || write_node;

`ifndef SYNTHESIS
      // What the header claims.
      chains_within_two :
      assert (chains_q != 2'd3);
      no_chain_ends_twice :
      assert (!(chain_ends && chains_q == '0));
      operation_has_room :
      assert (!(arrival && !arrival_waits && write_node && inner_op_valid_q[1]));
      tag_has_room :
      assert (!(issued && tag_count_q == 2'd2));
      never_read_while_written :
      assert (!(read && write_q && read_address == write_address_q));
`endif
    end
  end

  // Only read where a valid bit above says so: no reset.
  always_ff @(posedge clk_i) begin
    node_q <= node_d;
    node_tag_q <= node_tag_d;
    node_slot_q <= node_slot_d;
    node_pairs_q <= node_pairs_d;
    leaf_op_q <= leaf_op_d;
    inner_op_q <= inner_op_d;
    reading_op_q <= reading_op_d;
    reading_leaf_q <= reading_leaf_d;
    fetched_last_q <= fetched_last_d;
    word_q <= word_d;
    word_last_q <= word_last_d;
    tag_q <= tag_d;
    write_data_q <= write_data_d;
    write_address_q <= write_address_d;
  end

endmodule
