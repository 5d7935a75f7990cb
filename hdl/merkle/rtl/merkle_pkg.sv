// What the modules of the core merkle share: the names of the hashes and the shape of one operation.
package merkle_pkg;

  // Values of the parameter Hash.
  localparam int unsigned HashKeccak256 = 0;
  localparam int unsigned HashSha256 = 1;

  localparam int unsigned NodeBytes = 32;
  localparam int unsigned NodeBits = 8 * NodeBytes;

  // A level keeps up to three nodes; the fourth place of its row holds the root of the all-zero subtree of that height.
  localparam int unsigned SlotWidth = 2;
  localparam logic [SlotWidth-1:0] ZeroSlot = 2'd3;

  // The three slots of a level are a ring.
  function automatic logic [SlotWidth-1:0] next_slot(logic [SlotWidth-1:0] slot);
    return slot == 2'd2 ? 2'd0 : slot + 2'd1;
  endfunction

  function automatic logic [SlotWidth-1:0] previous_slot(logic [SlotWidth-1:0] slot);
    return slot == 2'd0 ? 2'd2 : slot - 2'd1;
  endfunction

endpackage
