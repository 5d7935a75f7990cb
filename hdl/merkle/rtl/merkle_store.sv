// The memory of the core merkle: waiting nodes and the roots of all-zero subtrees.
//
// An address is {slot, level, word}. Slots 0 to 2 of a level are its ring of nodes; slot 3 is the
// zero root, which only the initial contents write. One read and one write a cycle, one cycle of
// latency: a block RAM with initial contents (32 levels in words of 8 bytes are 512 words of 64
// bits, two DP16KD of an ECP5). The contents outlive a reset; the engine reads no slot of a ring
// that it has not written since. Nor does it read a word in the cycle that writes it.
module merkle_store
  import merkle_pkg::*;
  import merkle_zeros_pkg::*;
#(
  parameter int unsigned Hash = HashKeccak256,
  parameter int unsigned Levels = 32,
  parameter int unsigned WordBytes = 8,
  localparam int unsigned WordBits = 8 * WordBytes,
  localparam int unsigned Words = NodeBytes / WordBytes,
  localparam int unsigned LevelBits = Levels > 1 ? $clog2(Levels) : 1,
  localparam int unsigned WordIndexBits = Words > 1 ? $clog2(Words) : 0,
  localparam int unsigned AddressBits = SlotWidth + LevelBits + WordIndexBits
) (
  input  logic                   clk_i,
  input  logic                   write_i,
  input  logic [AddressBits-1:0] write_address_i,
  input  logic [WordBits-1:0]    write_data_i,
  input  logic                   read_i,
  input  logic [AddressBits-1:0] read_address_i,
  output logic [WordBits-1:0]    read_data_o
);

  localparam int unsigned Depth = 1 << AddressBits;
  localparam int unsigned Rows = 1 << LevelBits;
  localparam logic [ZeroLevels-1:0][NodeBits-1:0] ZeroRoots =
      Hash == HashSha256 ? ZeroRootsSha256 : ZeroRootsKeccak256;

  (* no_rw_check *) logic [WordBits-1:0] memory_q [Depth];

  logic [WordBits-1:0] read_data_q;

  assign read_data_o = read_data_q;

  initial begin
    for (int unsigned address = 0; address < Depth; address++) memory_q[address] = '0;
    for (int unsigned level = 0; level < Rows; level++) begin
      for (int unsigned word = 0; word < Words; word++) begin
        memory_q[(32'(ZeroSlot) * Rows + level) * Words + word] =
            ZeroRoots[5'(level)][WordBits*word+:WordBits];
      end
    end
  end

  // Not always_ff: the initial block above is a second writer of the memory, which always_ff does not allow.
  always @(posedge clk_i) begin
    if (write_i) memory_q[write_address_i] <= write_data_i;
  end

  always_ff @(posedge clk_i) begin
    if (read_i) read_data_q <= memory_q[read_address_i];
  end

endmodule
