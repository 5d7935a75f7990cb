// A stand-in for a hash core, for tests of the simulator: the digest of a message is a check value of 64 bits, four
// times over. It absorbs a beat a cycle, works for Latency cycles and emits four beats, one message at a time: a message
// of b beats takes b + Latency + 5 cycles.
//
// tuser of a message's first beat plants a fault; tests/core_rtl.py has names for the numbers.
module digest #(
    parameter int unsigned Latency = 3
) (
    input logic clk_i,
    input logic rst_ni,

    input  logic [63:0] s_axis_tdata,
    input  logic [ 7:0] s_axis_tkeep,
    input  logic        s_axis_tvalid,
    output logic        s_axis_tready,
    input  logic        s_axis_tlast,
    input  logic [ 3:0] s_axis_tuser,

    output logic [63:0] m_axis_tdata,
    output logic        m_axis_tvalid,
    input  logic        m_axis_tready,
    output logic        m_axis_tlast
);
  typedef enum logic [3:0] {
    None,
    Withdraws,
    WaitsForReady,
    EndsEarly,
    Changes,
    ShortPacket,
    LongPacket,
    HangsAtWork,
    ValidInReset,
    HangsAtInput,
    EmitsTwice,
    DropsBeat,
    KeepsState,
    Swallows,
    Finishes,
    Asserts
  } fault_e;

  typedef enum logic [1:0] {
    Absorb,
    Work,
    Emit
  } state_e;

  // Every byte enters, and where it stands matters: one that is lost, doubled or in another place shows.
  function automatic logic [63:0] absorbed(logic [63:0] sum, logic [63:0] data, logic [7:0] keep);
    for (int i = 0; i < 8; i++) begin
      if (keep[i]) sum = (sum ^ {56'h0, data[8*i+:8]}) * 64'h100000001b3;
    end
    return sum;
  endfunction

  localparam logic [63:0] Start = 64'hcbf29ce484222325;

  state_e state_q;
  fault_e fault_q, fault;
  logic [63:0] sum_q;
  logic [15:0] count_q, stalled_q;
  logic [1:0] beat_q;
  logic first_q, again_q;

  assign fault = (state_q == Absorb && first_q && s_axis_tvalid) ? fault_e'(s_axis_tuser) : fault_q;
  assign s_axis_tready = state_q == Absorb && !(fault_q == HangsAtInput && first_q);

  always_comb begin
    m_axis_tvalid = state_q == Emit;
    unique case (fault_q)
      Withdraws:     if (stalled_q == 2) m_axis_tvalid = 1'b0;
      WaitsForReady: m_axis_tvalid = state_q == Emit && m_axis_tready;
      ValidInReset:  m_axis_tvalid = state_q == Emit || !rst_ni;
      default:       ;
    endcase
  end
  assign m_axis_tdata = sum_q ^ ((fault_q == Changes) ? {48'h0, stalled_q} : 64'h0);
  assign m_axis_tlast = (fault_q == ShortPacket) ? beat_q == 2
      : (fault_q == LongPacket) ? 1'b0 : beat_q == 3;

  logic drops;
  assign drops = fault_q == DropsBeat && stalled_q == 3 && beat_q == 1;

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      state_q   <= Absorb;
      count_q   <= '0;
      stalled_q <= '0;
      beat_q    <= '0;
      first_q   <= 1'b1;
      again_q   <= 1'b0;
      if (fault_q != KeepsState) sum_q <= Start;
    end else begin
      unique case (state_q)
        Absorb:
        if (s_axis_tvalid && s_axis_tready) begin
          sum_q   <= absorbed(sum_q, s_axis_tdata, s_axis_tkeep);
          first_q <= 1'b0;
          if (s_axis_tlast || fault == EndsEarly) state_q <= Work;
        end
        Work: begin
          count_q <= count_q + 1;
          if (fault_q == Finishes) $finish;
          assert (fault_q != Asserts)
          else $error("planted");
          if (count_q >= 16'(Latency) && fault_q != HangsAtWork) begin
            count_q <= '0;
            state_q <= Emit;
            if (fault_q == Swallows) begin
              state_q <= Absorb;
              sum_q   <= Start;
              first_q <= 1'b1;
            end
          end
        end
        Emit: begin
          if (!m_axis_tready || !m_axis_tvalid) stalled_q <= stalled_q + 1;
          if (m_axis_tvalid && (m_axis_tready || drops)) begin
            stalled_q <= '0;
            beat_q    <= beat_q + 1;
            if (m_axis_tlast) begin
              again_q <= fault_q == EmitsTwice && !again_q;
              beat_q  <= '0;
              if (!(fault_q == EmitsTwice && !again_q)) begin
                state_q <= Absorb;
                sum_q   <= Start;
                first_q <= 1'b1;
              end
            end
          end
        end
        default: state_q <= Absorb;
      endcase
    end
  end

  // Not reset: what is planted has to outlast the reset that it is about.
  always_ff @(posedge clk_i) begin
    if (s_axis_tvalid && s_axis_tready) fault_q <= fault;
  end
  initial fault_q = None;
endmodule
