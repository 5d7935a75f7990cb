// Binary Merkle trees of a stream of leaves, hashed on chip: leaves in, nodes or the root out.
//
// One packet in is the leaves of one tree, 32 bytes a beat, any number from one up; one packet out is
// every node above the leaves, a level's nodes in order, the root last (EmitNodes = 1), or the root
// alone (EmitNodes = 0). tuser of a beat out is the node's level, leaves being level 0. The root of
// one leaf is the leaf. The tree rule is described in merkle_engine.
//
// Pipelined = 0 (merkle_engine): throughput is that of an iterative hash core, a node every
// 24 / RoundsPerCycle cycles (Keccak-256) or 130 cycles (SHA-256, a node being two blocks), but on
// the path from the last leaf to the root. The hash core works, of all cycles that a tree alone takes,
// in 90 % for 2^5 leaves, 94 % for 2^6, 96 % for 2^7, 98 % for 2^8 and 99 % for 2^10 (Keccak-256, one
// round a cycle), and with two rounds a cycle in 95 % from 2^8 on.
// Pipelined = 1 (merkle_pipeline): a leaf and a node every cycle (Keccak-256), or every second one
// (SHA-256), and the latency of the hash core for each level of the path from the last leaf to the
// root (a tree alone takes about 30 cycles a level more than its nodes do, Keccak-256), during which
// the next tree comes in (EmitNodes = 0) or waits (EmitNodes = 1). A tree alone keeps the pipeline
// full in 78 % of its cycles for 2^10 leaves and 92 % for 2^12 (Keccak-256).
// Nodes leave before the last leaf has come in; back-pressure on them, and a busy hash core, hold the
// leaves back.
module merkle
  import merkle_pkg::*;
#(
  parameter int unsigned Hash = HashKeccak256,  // or HashSha256
  parameter int unsigned MaxDepth = 32,         // 1 to 32: up to 2^MaxDepth leaves
  parameter bit          EmitNodes = 1'b1,
  parameter bit          Pipelined = 1'b0,
  // Where not pipelined, else as they are here:
  parameter int unsigned WordBytes = 8,         // from memory to hash core: 8 (SHA-256: 4) to 32
  parameter int unsigned RoundsPerCycle = 1,    // of Keccak-256; 2 needs WordBytes = 16 or 32
  localparam int unsigned LevelWidth = $clog2(MaxDepth + 1)
) (
  input  logic                  clk_i,
  input  logic                  rst_ni,

  input  logic [NodeBits-1:0]   s_axis_tdata,
  input  logic                  s_axis_tvalid,
  output logic                  s_axis_tready,
  input  logic                  s_axis_tlast,

  output logic [NodeBits-1:0]   m_axis_tdata,
  output logic [LevelWidth-1:0] m_axis_tuser,
  output logic                  m_axis_tvalid,
  input  logic                  m_axis_tready,
  output logic                  m_axis_tlast
);

  if (Hash != HashKeccak256 && Hash != HashSha256) begin : gen_bad_hash
    $error("merkle: Hash (%0d) must be %0d (Keccak-256) or %0d (SHA-256)", Hash, HashKeccak256,
           HashSha256);
  end

  if (Hash == HashSha256 && RoundsPerCycle != 1) begin : gen_bad_sha256_rounds
    $error("merkle: RoundsPerCycle (%0d) must be 1 for SHA-256", RoundsPerCycle);
  end

  if (!Pipelined) begin : gen_iterative
    localparam int unsigned HashBytes = Hash == HashKeccak256 ? 8 * RoundsPerCycle : 4;

    if (RoundsPerCycle != 1 && RoundsPerCycle != 2) begin : gen_bad_rounds
      $error("merkle: RoundsPerCycle (%0d) must be 1 or 2", RoundsPerCycle);
    end
    if (WordBytes == 0 || WordBytes % HashBytes != 0 || NodeBytes % WordBytes != 0)
    begin : gen_bad_width
      $error("merkle: WordBytes (%0d) must divide 32 and be a multiple of %0d", WordBytes,
             HashBytes);
    end

    logic [8*WordBytes-1:0] message_data;
    logic                   message_valid, message_ready, message_last;
    logic [NodeBits-1:0]    digest_data;
    logic                   digest_valid, digest_ready;
    logic                   unused_digest_last;

    merkle_engine #(
      .Hash     (Hash),
      .MaxDepth (MaxDepth),
      .EmitNodes(EmitNodes),
      .WordBytes(WordBytes)
    ) u_engine (
      .clk_i,
      .rst_ni,
      .s_axis_tdata,
      .s_axis_tvalid,
      .s_axis_tready,
      .s_axis_tlast,
      .m_axis_tdata,
      .m_axis_tuser,
      .m_axis_tvalid,
      .m_axis_tready,
      .m_axis_tlast,
      .m_hash_tdata (message_data),
      .m_hash_tvalid(message_valid),
      .m_hash_tready(message_ready),
      .m_hash_tlast (message_last),
      .s_hash_tdata (digest_data),
      .s_hash_tvalid(digest_valid),
      .s_hash_tready(digest_ready)
    );

    if (Hash == HashKeccak256) begin : gen_keccak
      keccak #(
        .RoundsPerCycle(RoundsPerCycle),
        .DataBytes     (WordBytes)
      ) u_hash (
        .clk_i,
        .rst_ni,
        .s_axis_tdata (message_data),
        .s_axis_tkeep ('1),
        .s_axis_tvalid(message_valid),
        .s_axis_tready(message_ready),
        .s_axis_tlast (message_last),
        .m_axis_tdata (digest_data),
        .m_axis_tvalid(digest_valid),
        .m_axis_tready(digest_ready),
        .m_axis_tlast (unused_digest_last)
      );
    end else begin : gen_sha256
      sha256 #(
        .DataBytes(WordBytes)
      ) u_hash (
        .clk_i,
        .rst_ni,
        .s_axis_tdata (message_data),
        .s_axis_tkeep ('1),
        .s_axis_tvalid(message_valid),
        .s_axis_tready(message_ready),
        .s_axis_tlast (message_last),
        .m_axis_tdata (digest_data),
        .m_axis_tvalid(digest_valid),
        .m_axis_tready(digest_ready),
        .m_axis_tlast (unused_digest_last)
      );
    end
  end else begin : gen_pipelined
    if (RoundsPerCycle != 1 || WordBytes != 8) begin : gen_bad_parameters
      $error("merkle: RoundsPerCycle and WordBytes are for Pipelined = 0");
    end

    // As many digests as the hash core has room for at its end.
    localparam int unsigned InFlight = Hash == HashKeccak256 ? 32 : 128;
    localparam int unsigned MessageBytes = 2 * NodeBytes;

    logic [2*NodeBits-1:0] message_data;
    logic                  message_valid, message_ready;
    logic [NodeBits-1:0]   digest_data;
    logic                  digest_valid, digest_ready;
    logic                  unused_digest_last;

    merkle_pipeline #(
      .Hash     (Hash),
      .MaxDepth (MaxDepth),
      .EmitNodes(EmitNodes),
      .InFlight (InFlight)
    ) u_engine (
      .clk_i,
      .rst_ni,
      .s_axis_tdata,
      .s_axis_tvalid,
      .s_axis_tready,
      .s_axis_tlast,
      .m_axis_tdata,
      .m_axis_tuser,
      .m_axis_tvalid,
      .m_axis_tready,
      .m_axis_tlast,
      .m_hash_tdata (message_data),
      .m_hash_tvalid(message_valid),
      .m_hash_tready(message_ready),
      .s_hash_tdata (digest_data),
      .s_hash_tvalid(digest_valid),
      .s_hash_tready(digest_ready)
    );

    if (Hash == HashKeccak256) begin : gen_keccak
      localparam int unsigned BlockBytes = 136;

      keccak #(
        .Pipelined(1'b1),
        .DataBytes(BlockBytes)
      ) u_hash (
        .clk_i,
        .rst_ni,
        .s_axis_tdata ((8 * BlockBytes)'(message_data)),
        .s_axis_tkeep ({{(BlockBytes - MessageBytes) {1'b0}}, {MessageBytes{1'b1}}}),
        .s_axis_tvalid(message_valid),
        .s_axis_tready(message_ready),
        .s_axis_tlast (1'b1),
        .m_axis_tdata (digest_data),
        .m_axis_tvalid(digest_valid),
        .m_axis_tready(digest_ready),
        .m_axis_tlast (unused_digest_last)
      );
    end else begin : gen_sha256
      sha256 #(
        .Pipelined(1'b1),
        .DataBytes(MessageBytes)
      ) u_hash (
        .clk_i,
        .rst_ni,
        .s_axis_tdata (message_data),
        .s_axis_tkeep ('1),
        .s_axis_tvalid(message_valid),
        .s_axis_tready(message_ready),
        .s_axis_tlast (1'b1),
        .m_axis_tdata (digest_data),
        .m_axis_tvalid(digest_valid),
        .m_axis_tready(digest_ready),
        .m_axis_tlast (unused_digest_last)
      );
    end
  end

endmodule
