// SHA-256 with one stage a round: a block starts every cycle.
//
// A beat is a block of 64 bytes. Three kinds of messages:
//
//   0 to 55 bytes    One block: a message a cycle, 69 cycles from beat to digest.
//   56 to 64 bytes   One beat, and a second block that holds nothing but padding. When the first
//                    block leaves the pipeline, the second one enters it by itself. With such
//                    messages alone, as the nodes of a Merkle tree are, the pipeline is always
//                    full: a message every two cycles, 135 cycles from beat to digest.
//   more             67 cycles a block, as each needs the hash that the one before leaves; nothing
//                    else is taken in meanwhile.
//
// Digests leave in the order of the messages: a message of one block waits until no second block is
// to come of those before it. Messages of 64 and 55 bytes in turn so take 68 cycles a pair, which is
// 22.7 cycles a block.
//
// The pipeline does not stop for a consumer that is not ready: a message is let in only where the
// buffer at the end has room for its digest.
module sha256_pipelined
  import sha256_pkg::*;
(
  input  logic         clk_i,
  input  logic         rst_ni,

  input  logic [511:0] s_axis_tdata,
  input  logic [63:0]  s_axis_tkeep,
  input  logic         s_axis_tvalid,
  output logic         s_axis_tready,
  input  logic         s_axis_tlast,

  output logic [255:0] m_axis_tdata,
  output logic         m_axis_tvalid,
  input  logic         m_axis_tready,
  output logic         m_axis_tlast
);

  // Room for the digests of all that is on its way where the pipeline is always full.
  localparam int unsigned BufferDepth = 128;

  // What goes with a block through the pipeline.
  typedef struct packed {
    logic       valid;
    logic       ends;      // its message: the hash is the digest
    logic       again;     // the second block of padding follows by itself
    logic [3:0] spare;     // ... of a message of 64 - spare bytes
    logic       chained;   // it started from another hash than the initial one
  } tag_t;

  typedef word_t block_t [16];
  typedef word_t hash_t [8];

  // Taking in blocks.

  logic                  chaining_q;      // the next block goes on with the message before
  logic                  pad_only_q;      // ... and holds nothing but padding
  logic                  mark_due_q;      // ... its first byte as well
  logic                  hash_due;        // the hash for it is there
  logic                  hash_held_q;     // ... since a while
  logic [60:0]           bytes_q;         // of that message, in the beats before
  logic [7:0]            seconds_q;       // second blocks to come
  logic                  room;            // for one more digest, on its way or in the buffer

  tag_t                  tag_in_q;        // of the block behind the input
  logic                  digest_sum_q;    // the sum behind the last round is a digest
  logic                  kept_sum_q;      // ... is for the next block of a message of several beats
  logic                  second;          // this cycle takes in a second block of padding
  logic                  take;            // ... a beat
  logic                  pad_only;        // ... the padding of a message of several beats
  logic                  promise;         // ... a message

  // Bytes of the beat, 0 to 64; kept bytes are the low-order ones.
  logic [6:0]            beat_bytes;
  logic                  fits;            // the beat has room for all of the padding
  logic                  ends;

  always_comb begin
    beat_bytes = 7'd64;
    if (s_axis_tlast) begin
      beat_bytes = '0;
      for (int unsigned i = 0; i < 64; i++) begin
        if (s_axis_tkeep[i]) beat_bytes = 7'(i + 1);
      end
    end
  end

  assign fits = ~s_axis_tkeep[55];
  assign ends = s_axis_tlast & fits;

  always_comb begin
    if (second || pad_only_q) begin
      s_axis_tready = 1'b0;
    end else if (chaining_q) begin
      s_axis_tready = hash_due;
    end else begin
      s_axis_tready = room & ~(ends & (seconds_q != '0));
    end
  end

  assign take     = s_axis_tvalid & s_axis_tready;
  assign pad_only = pad_only_q & hash_due & ~second;
  assign promise  = take & ~chaining_q;

  // A message of one beat whose padding does not fit: the second block needs nothing from here.
  logic by_itself;
  assign by_itself = take & ~chaining_q & s_axis_tlast & ~fits;

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      chaining_q <= 1'b0;
      pad_only_q <= 1'b0;
      mark_due_q <= 1'b0;
      bytes_q    <= '0;
      seconds_q  <= '0;
    end else begin
      if (take) begin
        chaining_q <= ~ends & ~by_itself;
        pad_only_q <= s_axis_tlast & ~ends & ~by_itself;
        mark_due_q <= s_axis_tkeep[63];
        bytes_q    <= (chaining_q ? bytes_q : '0) + 61'(beat_bytes);
      end
      if (pad_only) begin
        chaining_q <= 1'b0;
        pad_only_q <= 1'b0;
      end
      seconds_q  <= seconds_q + 8'(by_itself) - 8'(second);
    end
  end

  // The block of the cycle, padded: bytes behind the message are 0x80 and zeros, and the last two
  // words its length in bits.

  tag_t   tag_last;       // of the block behind the last round
  block_t block, block_q;
  logic [60:0] length;    // in bytes
  logic        add_length;

  assign second = tag_last.valid & tag_last.again;

  always_comb begin
    logic previous, kept;
    previous   = second ? (tag_last.spare == '0) : (~pad_only_q | mark_due_q);
    length     = (chaining_q ? bytes_q : '0) + (pad_only_q ? '0 : 61'(beat_bytes));
    add_length = pad_only_q | ends;
    if (second) begin
      length     = 61'd64 - 61'(tag_last.spare);
      add_length = 1'b1;
    end
    for (int unsigned i = 0; i < 64; i++) begin
      kept = (s_axis_tkeep[i] | ~s_axis_tlast) & ~second & ~pad_only_q;
      block[i/4][31-8*(i%4) -: 8] = kept ? s_axis_tdata[8*i +: 8] : previous ? 8'h80 : 8'h00;
      previous = kept;
    end
    if (add_length) begin
      block[14] = length[60:29];
      block[15] = {length[28:0], 3'b000};
    end
  end

  always_ff @(posedge clk_i) begin
    block_q <= block;
  end

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      tag_in_q <= '0;
    end else begin
      tag_in_q.valid   <= second | pad_only | take;
      tag_in_q.ends    <= second | pad_only | ends;
      tag_in_q.again   <= by_itself;
      tag_in_q.spare   <= 4'(7'd64 - beat_bytes);
      tag_in_q.chained <= second | chaining_q;
    end
  end

  // The hash that the block starts from: the initial one, or of a second block the sum of this
  // cycle, or the one that has been kept for a message of several beats.

  logic  second_q;
  hash_t sum_q, kept_q, start;

  assign hash_due = hash_held_q | kept_sum_q;

  always_comb begin
    for (int unsigned i = 0; i < 8; i++) begin
      start[i] = second_q ? sum_q[i] : tag_in_q.chained ? kept_q[i] : InitialHash[i];
    end
  end

  always_ff @(posedge clk_i) begin
    second_q <= second;
    if (!hash_held_q) kept_q <= sum_q;
  end

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      hash_held_q <= 1'b0;
    end else begin
      hash_held_q <= hash_due & ~(take | pad_only);
    end
  end

  // Stage s holds what round s works on: a to c and e to g, x = h + K(s) + W(s), y = d + x, the
  // words W(s + 1) to W(s + 15), and older, all that W(s + 16) takes but from W(s + 14). The last
  // stage has h in x and d in y.

  tag_t  tag_q    [NumRounds+1];
  word_t a_q      [NumRounds+1];
  word_t b_q      [NumRounds+1];
  word_t c_q      [NumRounds+1];
  word_t e_q      [NumRounds+1];
  word_t f_q      [NumRounds+1];
  word_t g_q      [NumRounds+1];
  word_t x_q      [NumRounds+1];
  word_t y_q      [NumRounds+1];
  word_t older_q  [NumRounds];
  word_t window_q [NumRounds][16];

  always_ff @(posedge clk_i) begin
    a_q[0]     <= start[0];
    b_q[0]     <= start[1];
    c_q[0]     <= start[2];
    e_q[0]     <= start[4];
    f_q[0]     <= start[5];
    g_q[0]     <= start[6];
    x_q[0]     <= start[7] + RoundConstants[0] + block_q[0];
    y_q[0]     <= start[7] + start[3] + RoundConstants[0] + block_q[0];
    older_q[0] <= block_q[9] + sigma0(block_q[1]) + block_q[0];
    window_q[0] <= block_q;
  end

  for (genvar s = 0; s < NumRounds; s++) begin : gen_rounds
    word_t e_part, a_part;

    assign e_part = sum1(e_q[s]) + choose(e_q[s], f_q[s], g_q[s]);
    assign a_part = sum0(a_q[s]) + majority(a_q[s], b_q[s], c_q[s]);

    always_ff @(posedge clk_i) begin
      a_q[s+1] <= x_q[s] + e_part + a_part;
      b_q[s+1] <= a_q[s];
      c_q[s+1] <= b_q[s];
      e_q[s+1] <= y_q[s] + e_part;
      f_q[s+1] <= e_q[s];
      g_q[s+1] <= f_q[s];
    end

    if (s < NumRounds - 1) begin : gen_words
      always_ff @(posedge clk_i) begin
        x_q[s+1]     <= g_q[s] + RoundConstants[s+1] + window_q[s][1];
        y_q[s+1]     <= g_q[s] + c_q[s] + RoundConstants[s+1] + window_q[s][1];
        older_q[s+1] <= window_q[s][10] + sigma0(window_q[s][2]) + window_q[s][1];
        for (int unsigned i = 0; i < 15; i++) begin
          window_q[s+1][i] <= window_q[s][i+1];
        end
        window_q[s+1][15] <= sigma1(window_q[s][14]) + older_q[s];
      end
    end else begin : gen_last
      always_ff @(posedge clk_i) begin
        x_q[s+1] <= g_q[s];
        y_q[s+1] <= c_q[s];
      end
    end
  end

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      tag_q        <= '{default: '0};
      digest_sum_q <= 1'b0;
      kept_sum_q   <= 1'b0;
    end else begin
      tag_q[0] <= tag_in_q;
      for (int unsigned s = 0; s < NumRounds; s++) begin
        tag_q[s+1] <= tag_q[s];
      end
      digest_sum_q <= tag_last.valid & tag_last.ends;
      kept_sum_q   <= tag_last.valid & ~tag_last.ends & ~tag_last.again;
    end
  end

  assign tag_last = tag_q[NumRounds];

  // The hash that a block started from waits in a memory for the sum behind the last round: 65
  // cycles.

  localparam int unsigned DelayWidth = $clog2(2 * NumRounds);

  logic [DelayWidth-1:0] now_q;
  logic [255:0]          start_bits, started_bits_q;
  hash_t                 started;

  // Read and written at one address never.
  (* no_rw_check *)
  logic [255:0]          starts_q [2*NumRounds];

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      now_q <= '0;
    end else begin
      now_q <= now_q + 1'b1;
    end
  end

  always_ff @(posedge clk_i) begin
    starts_q[now_q] <= start_bits;
    started_bits_q  <= starts_q[now_q - DelayWidth'(NumRounds)];
  end

  for (genvar i = 0; i < 8; i++) begin : gen_started
    assign start_bits[32*i +: 32] = start[i];
    assign started[i] = tag_last.chained ? started_bits_q[32*i +: 32] : InitialHash[i];
  end

  always_ff @(posedge clk_i) begin
    sum_q[0] <= started[0] + a_q[NumRounds];
    sum_q[1] <= started[1] + b_q[NumRounds];
    sum_q[2] <= started[2] + c_q[NumRounds];
    sum_q[3] <= started[3] + y_q[NumRounds];
    sum_q[4] <= started[4] + e_q[NumRounds];
    sum_q[5] <= started[5] + f_q[NumRounds];
    sum_q[6] <= started[6] + g_q[NumRounds];
    sum_q[7] <= started[7] + x_q[NumRounds];
  end

  logic [255:0] digest;

  for (genvar i = 0; i < 8; i++) begin : gen_digest
    for (genvar j = 0; j < 4; j++) begin : gen_bytes
      assign digest[32*i+8*j +: 8] = sum_q[i][31-8*j -: 8];
    end
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
    .valid_i  (digest_sum_q),
    .data_o   (m_axis_tdata),
    .valid_o  (m_axis_tvalid),
    .ready_i  (m_axis_tready)
  );

  assign m_axis_tlast = 1'b1;

endmodule
