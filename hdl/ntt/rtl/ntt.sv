// Streaming number-theoretic transforms over BabyBear: packets of 2^k elements in, as many out.
//
// A pipeline of MaxLog2Size radix-2 decimation-in-frequency stages with single-path delay feedback,
// then a memory that turns the bit-reversed order into the natural one (none with BitReversed = 1:
// element i of an output packet is then the value at the root to the power of i with its k bits
// reversed). s_axis_tuser is k, from 0 to MaxLog2Size, and a packet has 2^k beats; the leading
// MaxLog2Size - k stages pass a smaller packet on unchanged. Elements are canonical, bit 31 of a beat
// is ignored. The result is that of the contract of chaindp's kernel ntt.
//
// Throughput one element a cycle, also from packet to packet of the same size; a packet of another
// size waits until the last beat of what came before has left. A stage keeps nothing back for want of
// input: what can be computed of a complete packet comes out. Where the output is not taken, the
// pipeline stands still as soon as the queue behind it is full.
//
// Latency from the last beat in to the first beat out: 9 cycles a stage and one more for each with a
// block RAM, but 3 for the last stage, and 4 for queue and memory (1 with BitReversed = 1). The last
// beat out comes 2^k - 1 cycles after the first, and for the natural order up to 2^k - 2^(k/2 + 1) + 1
// later than that, if the packet is alone.
//
// Every stage but the last has a multiplier of four 18x18 multipliers; every other of its products is
// one by one, the price of radix 2 with a single path.
module ntt #(
  parameter int unsigned MaxLog2Size = 10,
  parameter bit          BitReversed = 1'b0
) (
  input  logic        clk_i,
  input  logic        rst_ni,

  input  logic [31:0] s_axis_tdata,
  input  logic [4:0]  s_axis_tuser,
  input  logic        s_axis_tvalid,
  output logic        s_axis_tready,
  input  logic        s_axis_tlast,

  output logic [31:0] m_axis_tdata,
  output logic        m_axis_tvalid,
  input  logic        m_axis_tready,
  output logic        m_axis_tlast
);

  if (MaxLog2Size < 1 || MaxLog2Size > 27) begin : gen_bad_size
    $error("ntt: MaxLog2Size (%0d) must be from 1 to 27", MaxLog2Size);
  end

  // Packets that have entered and not left, which are many where they are short: every register on
  // the way can hold one.
  localparam int unsigned PacketsWidth = $clog2(11 * MaxLog2Size + 16);

  logic [4:0]              log2_size_q;
  logic                    inside_q, start_q;
  logic [PacketsWidth-1:0] packets_q;
  logic                    enter, leave, same_size, change;
  logic                    en;

  // The first beat of a packet of another size waits until nothing is left, then for one cycle in
  // which log2_size_q takes its value, and for one in which the rest takes that.
  assign same_size     = s_axis_tuser == log2_size_q;
  assign change        = s_axis_tvalid & ~inside_q & ~same_size & (packets_q == '0);
  assign s_axis_tready = en & (inside_q | (same_size & ~start_q));
  assign enter         = s_axis_tvalid & s_axis_tready & ~inside_q;
  assign leave         = m_axis_tvalid & m_axis_tready & m_axis_tlast;

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      log2_size_q <= '0;
      start_q     <= 1'b1;
      inside_q    <= 1'b0;
      packets_q   <= '0;
    end else begin
      start_q   <= change;
      packets_q <= packets_q + PacketsWidth'(enter) - PacketsWidth'(leave);
      if (change) log2_size_q <= s_axis_tuser;
      if (s_axis_tvalid && s_axis_tready) inside_q <= ~s_axis_tlast;
    end
  end

`ifndef SYNTHESIS
`ifndef FORMAL  // there it is assumed
  // What the stream contract asks of the input: tuser is a size that fits, and tlast agrees with it.
  logic [MaxLog2Size-1:0] in_index_q;

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      in_index_q <= '0;
    end else if (s_axis_tvalid && s_axis_tready) begin
      in_index_q <= s_axis_tlast ? '0 : in_index_q + 1'b1;
      size_fits :
      assert (32'(s_axis_tuser) <= MaxLog2Size);
      last_agrees_with_size :
      assert (s_axis_tlast == (in_index_q == MaxLog2Size'((33'd1 << s_axis_tuser) - 33'd1)));
      size_stays :
      assert (s_axis_tuser == log2_size_q);
    end
  end
`endif
`endif

  // Stage i has a delay of 2^(MaxLog2Size - 1 - i).

  logic        valid [MaxLog2Size+1];
  logic [30:0] data  [MaxLog2Size+1];

  assign valid[0] = s_axis_tvalid & s_axis_tready;
  assign data[0]  = s_axis_tdata[30:0];

  for (genvar i = 0; i < MaxLog2Size; i++) begin : gen_stages
    logic active_q;

    always_ff @(posedge clk_i or negedge rst_ni) begin
      if (!rst_ni) begin
        active_q <= 1'b0;
      end else begin
        active_q <= 32'(log2_size_q) >= MaxLog2Size - i;
      end
    end

    ntt_stage #(
      .Log2Delay(MaxLog2Size - 1 - i)
    ) u_stage (
      .clk_i,
      .rst_ni,
      .en_i    (en),
      .active_i(active_q),
      .valid_i (valid[i]),
      .data_i  (data[i]),
      .valid_o (valid[i+1]),
      .data_o  (data[i+1])
    );
  end

  logic        queue_valid, queue_pop;
  logic [30:0] queue_data;

  ntt_fifo #(
    .Width(31)
  ) u_queue (
    .clk_i,
    .rst_ni,
    .push_i (valid[MaxLog2Size] & en),
    .data_i (data[MaxLog2Size]),
    .room_o (en),
    .valid_o(queue_valid),
    .data_o (queue_data),
    .pop_i  (queue_pop)
  );

  assign m_axis_tdata[31] = 1'b0;

  if (BitReversed) begin : gen_as_it_comes
    logic [MaxLog2Size-1:0] index_q, last;

    assign last               = MaxLog2Size'((33'd1 << log2_size_q) - 33'd1);
    assign m_axis_tvalid      = queue_valid;
    assign m_axis_tdata[30:0] = queue_data;
    assign m_axis_tlast       = index_q == last;
    assign queue_pop          = queue_valid & m_axis_tready;

    always_ff @(posedge clk_i or negedge rst_ni) begin
      if (!rst_ni) begin
        index_q <= '0;
      end else if (queue_pop) begin
        index_q <= m_axis_tlast ? '0 : index_q + 1'b1;
      end
    end
  end else begin : gen_reorder
    logic ready;

    assign queue_pop = queue_valid & ready;

    ntt_reorder #(
      .MaxLog2Size(MaxLog2Size)
    ) u_reorder (
      .clk_i,
      .rst_ni,
      .start_i    (start_q),
      .log2_size_i(log2_size_q),
      .valid_i    (queue_valid),
      .ready_o    (ready),
      .data_i     (queue_data),
      .valid_o    (m_axis_tvalid),
      .ready_i    (m_axis_tready),
      .data_o     (m_axis_tdata[30:0]),
      .last_o     (m_axis_tlast)
    );
  end

  logic unused;
  assign unused = s_axis_tdata[31];

endmodule
