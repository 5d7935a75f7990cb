// SHA-256, one round a cycle: 65 cycles a block, also from one message to the next.
//
// Words of the next block are gathered in a buffer of 16 while the rounds run (sha256_pad,
// stream_fifo).
//
// A pass counts cycle_q from 0 to 64. In cycle n the word W(n) and the constant K(n) are fetched.
// Three stages behind them, in cycle n + 3, round n is done:
//   cycle n      W(n) into the window: from the buffer for n < 16, else from the message schedule
//   cycle n + 1  K(n) + W(n)
//   cycle n + 2  x = h + K(n) + W(n) and y = d + x of round n; h and d are one round older than g
//                and c, so that they need no registers of their own
//   cycle n + 3  a = x + sum1(e) + choose(e, f, g) + sum0(a) + majority(a, b, c),
//                e = y + sum1(e) + choose(e, f, g)
//
// Rounds 62 and 63 are therefore done in the cycles 0 and 1 of the next pass. The hash gets its
// eight additions from two adders in four cycles: the last four values of a are the last a, b, c
// and d, and e likewise, so that d and h are ready after round 60, in cycle 64, and a and e in
// cycle 2, where the new hash enters the working variables. A pass whose block was the last of its
// message goes on with the initial hash; where the next message is not there yet, the digest is
// finished by a pass that fetches nothing, and the core waits in cycle 0.
//
// The hash registers are the output register: they stay until cycle 64 of the next block, which
// waits for the digest to leave. From the first word of the last block to the digest: 68 cycles.
module sha256_iterative
  import sha256_pkg::*;
#(
  parameter int unsigned DataBytes = 8
) (
  input  logic                   clk_i,
  input  logic                   rst_ni,

  input  logic [8*DataBytes-1:0] s_axis_tdata,
  input  logic [DataBytes-1:0]   s_axis_tkeep,
  input  logic                   s_axis_tvalid,
  output logic                   s_axis_tready,
  input  logic                   s_axis_tlast,

  output logic [255:0]           m_axis_tdata,
  output logic                   m_axis_tvalid,
  input  logic                   m_axis_tready,
  output logic                   m_axis_tlast
);

  if (DataBytes == 0 || DataBytes % 4 != 0) begin : gen_bad_width
    $error("sha256: DataBytes (%0d) must be a multiple of 4", DataBytes);
  end

  // The buffer of words.

  word_t      pad_word, word;
  logic       pad_last, pad_valid, pad_ready;
  logic       word_last, word_valid, word_ready;
  logic [4:0] word_count;

  sha256_pad #(
    .DataBytes(DataBytes)
  ) u_pad (
    .clk_i,
    .rst_ni,
    .s_axis_tdata,
    .s_axis_tkeep,
    .s_axis_tvalid,
    .s_axis_tready,
    .s_axis_tlast,
    .word_o (pad_word),
    .last_o (pad_last),
    .valid_o(pad_valid),
    .ready_i(pad_ready)
  );

  stream_fifo #(
    .Width(33),
    .Depth(16)
  ) u_words (
    .clk_i,
    .rst_ni,
    .data_i ({pad_last, pad_word}),
    .valid_i(pad_valid),
    .ready_o(pad_ready),
    .data_o ({word_last, word}),
    .valid_o(word_valid),
    .ready_i(word_ready),
    .count_o(word_count)
  );

  // Control.

  logic [6:0] cycle_q;
  logic       busy_q;          // a block is in the rounds, or about to be finished
  logic       first_q;         // that block is the first of its message
  logic       last_q;          // ... the last
  logic       fetching_q;      // in cycles 1 and 2: the words of the next block are being fetched
  logic       digest_valid_q;

  logic cycle_0, cycle_1, cycle_2, cycle_64;
  logic from_buffer;           // the word of this cycle comes from the buffer
  logic start_fetch;           // in cycle 0
  logic anew;                  // in cycles 0 to 2: the next block is the first of a message
  logic step;                  // the cycle is done, not waited in
  logic finishing;             // an addition to the hash

  assign cycle_0  = cycle_q == 7'd0;
  assign cycle_1  = cycle_q == 7'd1;
  assign cycle_2  = cycle_q == 7'd2;
  assign cycle_64 = cycle_q[6];

  // A digest does not wait for the message behind it: that one is taken along only if all three
  // words that the cycles 0 to 2 fetch are there.
  assign anew        = ~busy_q | last_q;
  assign start_fetch = (busy_q & last_q) ? (word_count >= 5'd3) : 1'b1;
  assign from_buffer = cycle_0 ? start_fetch : (cycle_1 | cycle_2) ? fetching_q : cycle_q < 7'd16;
  assign step        = cycle_64 ? ~digest_valid_q : (~from_buffer | word_valid);
  assign word_ready  = from_buffer;
  assign finishing   = busy_q & step & (cycle_64 | cycle_0 | cycle_1 | cycle_2);

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      cycle_q        <= '0;
      busy_q         <= 1'b0;
      first_q        <= 1'b0;
      last_q         <= 1'b0;
      fetching_q     <= 1'b0;
      digest_valid_q <= 1'b0;
    end else begin
      if (m_axis_tready) digest_valid_q <= 1'b0;
      if (step) begin
        cycle_q <= cycle_64 ? '0 : cycle_q + 7'd1;
        if (cycle_0) fetching_q <= start_fetch;
        if (cycle_2) begin
          busy_q  <= fetching_q;
          first_q <= anew;
          if (!fetching_q) cycle_q <= '0;
          if (busy_q && last_q) digest_valid_q <= 1'b1;
        end
        if (cycle_q == 7'd15) last_q <= word_last;
      end
    end
  end

  // The message schedule. window_q[i] is W(n - 1 - i) in cycle n, and older_q is the sum of all
  // that W(n) takes from more than two words back.

  word_t window_q [15];
  word_t older_q;
  word_t constant_q;     // K(n - 1)
  word_t scheduled_q;    // K(n - 2) + W(n - 2)

  always_ff @(posedge clk_i) begin
    if (step) begin
      window_q[0] <= from_buffer ? word : sigma1(window_q[1]) + older_q;
      for (int unsigned i = 1; i < 15; i++) begin
        window_q[i] <= window_q[i-1];
      end
      older_q     <= window_q[5] + sigma0(window_q[13]) + window_q[14];
      constant_q  <= RoundConstants[cycle_q[5:0]];
      scheduled_q <= constant_q + window_q[0];
    end
  end

  // The hash: a to d and e to h. Its last words are added to first, and go round.

  word_t hash_a_q [4];
  word_t hash_e_q [4];
  word_t added_a, added_e;
  logic [1:0] turn;

  word_t a_q, b_q, c_q, e_q, f_q, g_q, x_q, y_q;

  assign turn    = cycle_64 ? 2'd3 : 2'd2 - cycle_q[1:0];
  assign added_a = a_q + (first_q ? InitialHash[{1'b0, turn}] : hash_a_q[3]);
  assign added_e = e_q + (first_q ? InitialHash[{1'b1, turn}] : hash_e_q[3]);

  always_ff @(posedge clk_i) begin
    if (finishing) begin
      hash_a_q[0] <= added_a;
      hash_e_q[0] <= added_e;
      for (int unsigned i = 1; i < 4; i++) begin
        hash_a_q[i] <= hash_a_q[i-1];
        hash_e_q[i] <= hash_e_q[i-1];
      end
    end
  end

  // The rounds. In cycle 1 the new h and d are where x and y of round 0 look for them, in cycle 2
  // all is.

  word_t e_part, a_part;
  assign e_part = sum1(e_q) + choose(e_q, f_q, g_q);
  assign a_part = sum0(a_q) + majority(a_q, b_q, c_q);

  always_ff @(posedge clk_i) begin
    if (step) begin
      x_q <= g_q + scheduled_q;
      y_q <= c_q + g_q + scheduled_q;
      if (cycle_2 && anew) begin
        a_q <= InitialHash[0];
        b_q <= InitialHash[1];
        c_q <= InitialHash[2];
        e_q <= InitialHash[4];
        f_q <= InitialHash[5];
        g_q <= InitialHash[6];
      end else if (cycle_2) begin
        a_q <= added_a;
        b_q <= hash_a_q[0];
        c_q <= hash_a_q[1];
        e_q <= added_e;
        f_q <= hash_e_q[0];
        g_q <= hash_e_q[1];
      end else begin
        a_q <= x_q + e_part + a_part;
        b_q <= a_q;
        c_q <= cycle_1 ? (anew ? InitialHash[3] : hash_a_q[1]) : b_q;
        e_q <= y_q + e_part;
        f_q <= e_q;
        g_q <= cycle_1 ? (anew ? InitialHash[7] : hash_e_q[1]) : f_q;
      end
    end
  end

  for (genvar i = 0; i < 4; i++) begin : gen_digest
    for (genvar j = 0; j < 4; j++) begin : gen_bytes
      assign m_axis_tdata[32*i+8*j +: 8]     = hash_a_q[i][31-8*j -: 8];
      assign m_axis_tdata[128+32*i+8*j +: 8] = hash_e_q[i][31-8*j -: 8];
    end
  end
  assign m_axis_tvalid = digest_valid_q;
  assign m_axis_tlast  = 1'b1;

endmodule
