// The control of the Merkle engine, for ever and for any hash core: proved by induction over the engine's own state.
//
// Leaves and digests are any data; the hash core takes messages and gives digests when it likes, as long as it
// gives one for each message. Proved besides the handshake rules and packet_rules:
//   - a node is never overwritten before it has been read (every level);
//   - every chain is where the engine counts it, at most two are alive, nothing overflows (assertions of the RTL);
//   - every packet in is one packet out: the mark "last of its level" is never lost and never doubled;
//   - nothing locks up: while a packet is owed and the environment does not pause, something moves.
module merkle_control_formal
  import merkle_pkg::*;
#(
  parameter int unsigned MaxDepth = 32,
  parameter bit          EmitNodes = 1'b1,
  parameter int unsigned WordBytes = 8,
  localparam int unsigned LevelWidth = $clog2(MaxDepth + 1),
  localparam int unsigned IndexBits = MaxDepth > 1 ? $clog2(MaxDepth) : 1
) (
  input logic                clk_i,
  input logic                rst_ni,
  input logic [NodeBits-1:0] leaf_data,
  input logic                leaf_valid,
  input logic                leaf_last,
  input logic                node_ready,
  input logic                word_ready,
  input logic [NodeBits-1:0] digest_data,
  input logic                digest_valid
);

  logic started;
  reset_rules u_reset (.clk_i, .rst_ni, .started_o(started));

  logic [   NodeBits-1:0] node_data;
  logic [ LevelWidth-1:0] node_level;
  logic                   node_valid, node_last, leaf_ready, digest_ready;
  logic [8*WordBytes-1:0] word_data;
  logic                   word_valid, word_last;

  merkle_engine #(
    .MaxDepth (MaxDepth),
    .EmitNodes(EmitNodes),
    .WordBytes(WordBytes)
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
    .m_hash_tdata (word_data),
    .m_hash_tvalid(word_valid),
    .m_hash_tready(word_ready),
    .m_hash_tlast (word_last),
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
    .Bits(8 * WordBytes + 1)
  ) u_words (
    .clk_i, .rst_ni, .payload_i({word_data, word_last}), .valid_i(word_valid), .ready_i(word_ready)
  );
  packet_rules #(
    .EarlyBeats(1'b1)
  ) u_packets (
    .clk_i, .rst_ni,
    .in_valid_i (leaf_valid), .in_ready_i(leaf_ready), .in_last_i(leaf_last),
    .out_valid_i(node_valid), .out_ready_i(node_ready), .out_last_i(node_last)
  );

  // The hash core: whole messages taken less digests given.
  logic [2:0] inside_q;

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      inside_q <= '0;
    end else begin
      inside_q <= inside_q + 3'(word_valid && word_ready && word_last)
          - 3'(digest_valid && digest_ready);
    end
  end

  always_comb begin
    if (digest_valid) assume (inside_q != '0);
  end

  ////////////
  // Chains //
  ////////////

  logic       leaf_is_read, node_is_due, node_is_written;
  logic [2:0] chains, marks, climbing_marks;

  assign leaf_is_read = u_dut.reading_q && u_dut.reading_leaf_q;
  assign node_is_written = u_dut.write_word_q != '0 && !u_dut.writing_leaf_q;
  assign node_is_due = u_dut.store_q && !node_is_written;

  assign chains = 3'(u_dut.reading_q) + 3'(u_dut.tag_count_q) + 3'(node_is_due)
      + 3'(u_dut.inner_op_valid_q[0]) + 3'(u_dut.inner_op_valid_q[1]);

  // Last nodes of their level that are not the root, on their way up from an operation on leaves.
  always_comb begin
    climbing_marks = 3'(u_dut.reading_q && !u_dut.reading_leaf_q && u_dut.reading_op_q.last);
    climbing_marks += 3'(node_is_due && u_dut.node_tag_q.last);
    for (int unsigned i = 0; i < 2; i++) begin
      climbing_marks += 3'(u_dut.inner_op_valid_q[i] && u_dut.inner_op_q[i].last);
      climbing_marks += 3'(32'(u_dut.tag_count_q) > i && u_dut.tag_q[i].last
          && !u_dut.tag_q[i].root);
    end
    marks = climbing_marks;
    marks += 3'(u_dut.leaf_op_valid_q && u_dut.leaf_op_q.last);
    marks += 3'(u_dut.emit_q && u_dut.node_tag_q.root);
    for (int unsigned i = 0; i < 2; i++) begin
      marks += 3'(32'(u_dut.tag_count_q) > i && u_dut.tag_q[i].root);
    end
  end

  always_comb begin
    if (started && rst_ni) begin
      chains_are_counted :
      assert (3'(u_dut.chains_q) == chains && chains <= 3'd2);
      digests_are_counted :
      assert (4'(u_dut.tag_count_q) == 4'(inside_q)
          + 4'(u_dut.fetched_valid_q && u_dut.fetched_last_q)
          + 4'(u_dut.word_valid_q && u_dut.word_last_q));
      marks_are_kept :
      assert (5'(u_packets.owed_q) + 5'(u_dut.writing_leaf_q && leaf_last) == 5'(marks));
      one_tree_climbs :
      assert (climbing_marks == 3'(u_dut.draining_q));
      oldest_first :
      assert (u_dut.inner_op_valid_q != 2'b10);
      leaf_op_is_kept :
      assert (!leaf_is_read
          || (u_dut.leaf_op_valid_q && u_dut.reading_op_q == u_dut.leaf_op_q && !u_dut.draining_q));
      last_leaf_made_its_operation :
      assert (!(u_dut.writing_leaf_q && leaf_last)
          || (u_dut.leaf_op_valid_q && u_dut.leaf_op_q.last && !u_dut.waiting_q[0]));
      leaf_level :
      assert (!u_dut.leaf_op_valid_q || u_dut.leaf_op_q.level == '0);
      one_write_at_a_time :
      assert (u_dut.writing_leaf_q
          ? u_dut.write_word_q != '0 && u_leaves.waits_q : !node_is_written || u_dut.store_q);
      stored_or_root :
      assert (!u_dut.store_q || (!u_dut.node_tag_q.root && u_dut.node_tag_q.level != '0
          && 32'(u_dut.node_tag_q.level) < MaxDepth));
      node_knows_its_slot :
      assert (!u_dut.store_q || (node_is_due
          ? u_dut.node_slot_q == u_dut.slot_q[IndexBits'(u_dut.node_tag_q.level)]
              && u_dut.node_pairs_q == u_dut.waiting_q[IndexBits'(u_dut.node_tag_q.level)]
          : u_dut.node_slot_q == previous_slot(u_dut.slot_q[IndexBits'(u_dut.node_tag_q.level)])));
      reads_start_left :
      assert (u_dut.reading_q || (!u_dut.read_right_q && u_dut.read_word_q == '0));
      read_level :
      assert (!u_dut.reading_q || (u_dut.reading_leaf_q ? u_dut.reading_op_q.level == '0
          : u_dut.reading_op_q.level != '0 && 32'(u_dut.reading_op_q.level) < MaxDepth));
      emitted_mark :
      assert (!u_dut.emit_q || !u_dut.node_tag_q.root || u_dut.node_tag_q.last);
    end
  end

  for (genvar i = 0; i < 2; i++) begin : gen_two
    always_comb begin
      if (started && rst_ni && 32'(u_dut.tag_count_q) > i) begin
        tag_level :
        assert (u_dut.tag_q[i].level != '0 && 32'(u_dut.tag_q[i].level) <= MaxDepth);
        root_is_last :
        assert (u_dut.tag_q[i].last || !u_dut.tag_q[i].root);
        highest_is_root :
        assert (u_dut.tag_q[i].root || !u_dut.tag_q[i].last
            || 32'(u_dut.tag_q[i].level) < MaxDepth);
      end
      if (started && rst_ni && u_dut.inner_op_valid_q[i]) begin
        inner_level :
        assert (u_dut.inner_op_q[i].level != '0 && 32'(u_dut.inner_op_q[i].level) < MaxDepth);
      end
    end
  end

  ///////////
  // Slots //
  ///////////

  typedef logic [1:0] slot_t;

  function automatic slot_t end_of(slot_t left, slot_t right);
    return right == ZeroSlot ? left : right;
  endfunction

  for (genvar level = 0; level < MaxDepth; level++) begin : gen_level
    // The operations on the level, oldest first: the one being read, those that are due.
    logic  [2:0] here;
    slot_t [2:0] left, right;
    logic  [2:0] last, shapes;
    logic  [3:0] full;  // the slots that hold a node which is still to be read
    slot_t       slot, newest_end, newest_left;

    assign slot = u_dut.slot_q[level];

    always_comb begin
      left = {u_dut.inner_op_q[1].left, u_dut.inner_op_q[0].left, u_dut.reading_op_q.left};
      right = {u_dut.inner_op_q[1].right, u_dut.inner_op_q[0].right, u_dut.reading_op_q.right};
      last = {u_dut.inner_op_q[1].last, u_dut.inner_op_q[0].last, u_dut.reading_op_q.last};
      here[0] = u_dut.reading_q && 32'(u_dut.reading_op_q.level) == level;
      here[1] = u_dut.inner_op_valid_q[0] && 32'(u_dut.inner_op_q[0].level) == level;
      here[2] = u_dut.inner_op_valid_q[1] && 32'(u_dut.inner_op_q[1].level) == level;
      if (level == 0) begin
        left[0] = u_dut.leaf_op_q.left;
        right[0] = u_dut.leaf_op_q.right;
        last[0] = u_dut.leaf_op_q.last;
        here[0] = u_dut.leaf_op_valid_q;
      end
      full = '0;
      if (u_dut.waiting_q[level]) full[previous_slot(slot)] = 1'b1;
      for (int unsigned i = 0; i < 3; i++) begin
        shapes[i] = left[i] != ZeroSlot
            && (right[i] == ZeroSlot ? last[i] : right[i] == next_slot(left[i]));
        if (here[i]) full[left[i]] = 1'b1;
        if (here[i] && right[i] != ZeroSlot) full[right[i]] = 1'b1;
      end
      newest_end = here[2] ? end_of(left[2], right[2])
          : here[1] ? end_of(left[1], right[1]) : end_of(left[0], right[0]);
      newest_left = here[2] ? left[2] : left[1];
    end

    always_comb begin
      if (started && rst_ni) begin
        never_overwritten :
        assert (!(u_dut.arrival && 32'(u_dut.arrival_level) == level && full[slot]));
        // What induction needs to know besides.
        slot_of_the_ring :
        assert (slot != ZeroSlot);
        neighbours_or_alone :
        assert ((here & ~shapes) == '0);
        newest_ends_before_the_next :
        assert (here == '0 || newest_end == previous_slot(
            u_dut.waiting_q[level] ? previous_slot(slot) : slot));
        second_ends_before_the_newest :
        assert (!(here[2] && here[1])
            || end_of(left[1], right[1]) == previous_slot(newest_left));
        first_ends_before_the_newest :
        assert (!(here[0] && here[2:1] != '0)
            || end_of(left[0], right[0]) == previous_slot(newest_left));
        second_is_alone :
        assert (!(here[2] && here[1:0] != '0) || right[2] == ZeroSlot);
        first_is_not :
        assert (!(here[0] && here[1]) || right[1] == ZeroSlot);
        waits_for_the_read :
        assert (level == 0 || here == '0 || !u_dut.waiting_q[level] || u_dut.chains_q == 2'd1);
      end
    end
  end

  // A node's first words may be read while its last ones are written, never the other way round.
  // write_address_q is {slot, level, word} of the word that is written in this cycle.
  localparam int unsigned Words = NodeBytes / WordBytes;
  localparam int unsigned WordBitsOfIndex = Words > 1 ? $clog2(Words) : 0;

  logic [ 7:0] written_word;
  logic [31:0] written_row;
  slot_t       read_end;
  assign read_end = end_of(u_dut.reading_op_q.left, u_dut.reading_op_q.right);
  assign written_word = 8'(32'(u_dut.write_address_q) & (Words - 1));
  assign written_row = 32'(u_dut.write_address_q) >> WordBitsOfIndex;

  always_comb begin
    if (started && rst_ni) begin
      if (u_dut.reading_q && u_dut.write_q
          && written_row == 32'({read_end, u_dut.reading_op_q.level})) begin
        read_after_write :
        assert (!u_dut.read_right_q && 8'(u_dut.read_word_q) < written_word);
      end
      // What induction needs to know besides.
      if (u_dut.write_word_q != '0) begin
        written_in_order :
        assert (u_dut.write_q && written_word + 8'd1 == 8'(u_dut.write_word_q)
            && written_row == 32'({u_dut.arrival_slot, u_dut.arrival_level}));
      end
      if (u_dut.write_q) begin
        written_node_has_arrived :
        assert (32'(u_dut.write_address_q) < Words * 4 * (1 << IndexBits)
            && 2'(written_row >> IndexBits)
                == previous_slot(u_dut.slot_q[IndexBits'(written_row)]));
      end
    end
  end

  //////////////
  // Progress //
  //////////////

  logic moves, willing;
  assign willing = node_ready && word_ready && (digest_valid || inside_q == '0);
  assign moves = u_dut.read || u_dut.write_node || u_dut.write_leaf || u_dut.take_digest
      || u_dut.start_inner || u_dut.start_leaf || (node_valid && node_ready)
      || (word_valid && word_ready) || (u_dut.fetched_valid_q && u_dut.fetched_moves);

  always_comb begin
    if (started && rst_ni && willing) begin
      no_lock :
      assert (moves || u_packets.owed_q == '0);
    end
  end

endmodule
