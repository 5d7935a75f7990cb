// Keccak-256 with one stage a round: a permutation starts every cycle.
//
// A beat is a block of 136 bytes, and messages of one block go through at one a cycle, 26 cycles
// from beat to digest. A message of more blocks (also one of exactly 136 bytes, whose padding is a
// block of its own) takes 24 cycles a block, as each needs the state that the one before leaves;
// nothing else is taken in meanwhile.
//
// The pipeline does not stop for a consumer that is not ready: a message is let in only where the
// buffer at the end has room for its digest. Only a block that waits for the next of its message
// holds still, in the last stage, when there is nothing behind it.
module keccak_pipelined
  import keccak_pkg::*;
#(
  parameter logic [7:0] DomainByte = DomainKeccak
) (
  input  logic          clk_i,
  input  logic          rst_ni,

  input  logic [1087:0] s_axis_tdata,
  input  logic [135:0]  s_axis_tkeep,
  input  logic          s_axis_tvalid,
  output logic          s_axis_tready,
  input  logic          s_axis_tlast,

  output logic [255:0]  m_axis_tdata,
  output logic          m_axis_tvalid,
  input  logic          m_axis_tready,
  output logic          m_axis_tlast
);

  localparam int unsigned BlockBytes = 8 * RateLanes;
  // Room for the digests of all that is on its way where one message comes in and one digest goes
  // out a cycle.
  localparam int unsigned BufferDepth = 32;

  // Taking in blocks.

  logic                  chaining_q;     // the next block goes on with the message before
  logic                  pad_only_q;     // ... and holds nothing but padding
  logic                  room;           // for one more digest, on its way or in the buffer
  logic                  chain_waits;    // the last stage holds the state that the next block needs
  logic                  take, ends;
  logic                  promise;        // a message is let in

  logic valid_q [NumRounds];             // a block before round s
  logic final_q [NumRounds];             // ... which ends its message

  assign chain_waits   = valid_q[NumRounds-1] & ~final_q[NumRounds-1];
  assign s_axis_tready = chaining_q ? (chain_waits & ~pad_only_q) : room;
  assign take          = chaining_q ? (chain_waits & (pad_only_q | s_axis_tvalid))
                                    : (room & s_axis_tvalid);
  assign promise       = take & ~chaining_q;
  assign ends          = pad_only_q | (s_axis_tlast & ~s_axis_tkeep[BlockBytes-1]);

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      chaining_q <= 1'b0;
      pad_only_q <= 1'b0;
    end else begin
      if (take) begin
        chaining_q <= ~ends;
        pad_only_q <= ~ends & s_axis_tlast;
      end
    end
  end

  // The domain byte follows the last byte kept, and the final bit of the padding is that of the
  // last byte.

  logic [8*BlockBytes-1:0] padded;

  always_comb begin
    logic previous, kept;
    previous = 1'b1;
    padded   = '0;
    for (int unsigned i = 0; i < BlockBytes; i++) begin
      kept = (s_axis_tkeep[i] | ~s_axis_tlast) & ~pad_only_q;
      padded[8*i +: 8] = kept ? s_axis_tdata[8*i +: 8] : previous ? DomainByte : 8'h00;
      previous = kept;
    end
    padded[8*BlockBytes-1] ^= ends;
  end

  // Stage s holds the state before round s.

  state_t state_q  [NumRounds];
  state_t permuted [NumRounds];
  state_t absorbed;

  for (genvar s = 0; s < NumRounds; s++) begin : gen_rounds
    column_t theta;
    state_t  moved, constant;

    keccak_columns u_columns (
      .state_i(state_q[s]),
      .theta_o(theta)
    );

    always_comb begin
      moved       = keccak_move(state_q[s], theta);
      constant    = '{default: '0};
      constant[0] = RoundConstants[s];
    end

    keccak_rows u_rows (
      .moved_i(moved),
      .added_i(constant),
      .state_o(permuted[s])
    );
  end

  always_comb begin
    for (int unsigned i = 0; i < NumLanes; i++) begin
      absorbed[i] = chaining_q ? permuted[NumRounds-1][i] : '0;
      if (i < RateLanes) absorbed[i] ^= padded[64*(i%RateLanes) +: 64];
    end
  end

  always_ff @(posedge clk_i) begin
    state_q[0] <= absorbed;
  end

  for (genvar s = 1; s < NumRounds; s++) begin : gen_stages
    if (s < NumRounds - 1) begin : gen_inner
      always_ff @(posedge clk_i) begin
        state_q[s] <= permuted[s-1];
      end
    end else begin : gen_last
      always_ff @(posedge clk_i) begin
        if (!chain_waits) state_q[s] <= permuted[s-1];
      end
    end
  end

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      valid_q <= '{default: 1'b0};
      final_q <= '{default: 1'b0};
    end else begin
      valid_q[0] <= take;
      final_q[0] <= ends;
      for (int unsigned s = 1; s < NumRounds; s++) begin
        valid_q[s] <= valid_q[s-1];
        final_q[s] <= final_q[s-1];
      end
      if (chain_waits) begin
        valid_q[NumRounds-1] <= ~take;
        final_q[NumRounds-1] <= 1'b0;
      end
    end
  end

  logic [255:0] digest;

  for (genvar i = 0; i < DigestLanes; i++) begin : gen_digest
    assign digest[64*i +: 64] = permuted[NumRounds-1][i];
  end

  stream_credit_fifo #(
    .Width(256),
    .Depth(BufferDepth)
  ) u_digests (
    .clk_i,
    .rst_ni,
    .room_o   (room),
    .promise_i(promise),
    .data_i   (digest),
    .valid_i  (valid_q[NumRounds-1] & final_q[NumRounds-1]),
    .data_o   (m_axis_tdata),
    .valid_o  (m_axis_tvalid),
    .ready_i  (m_axis_tready)
  );

  assign m_axis_tlast = 1'b1;

endmodule
