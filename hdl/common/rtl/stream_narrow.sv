// Wide stream beats to narrow ones, byte order kept, without a data register.
//
// A beat of InBytes stays at the input while its pieces of OutBytes leave in turn; it is accepted
// with its last piece. Pieces of the last beat that hold no byte are left out, but an empty packet
// stays one piece without bytes. tkeep of a beat that is not the last of its packet is taken as
// full, as the stream contract says. Latency 0, throughput one piece a cycle.
module stream_narrow #(
  parameter int unsigned InBytes  = 8,
  parameter int unsigned OutBytes = 8
) (
  input  logic                  clk_i,
  input  logic                  rst_ni,

  input  logic [8*InBytes-1:0]  s_axis_tdata,
  input  logic [InBytes-1:0]    s_axis_tkeep,
  input  logic                  s_axis_tvalid,
  output logic                  s_axis_tready,
  input  logic                  s_axis_tlast,

  output logic [8*OutBytes-1:0] m_axis_tdata,
  output logic [OutBytes-1:0]   m_axis_tkeep,
  output logic                  m_axis_tvalid,
  input  logic                  m_axis_tready,
  output logic                  m_axis_tlast
);

  localparam int unsigned Pieces = InBytes / OutBytes;

  if (InBytes == 0 || OutBytes == 0 || InBytes % OutBytes != 0) begin : gen_bad_width
    $error("stream_narrow: InBytes (%0d) must be a multiple of OutBytes (%0d)", InBytes, OutBytes);
  end

  logic [InBytes-1:0] keep;
  assign keep          = s_axis_tkeep | {InBytes{~s_axis_tlast}};
  assign m_axis_tvalid = s_axis_tvalid;

  if (Pieces <= 1) begin : gen_same
    assign m_axis_tdata  = s_axis_tdata;
    assign m_axis_tkeep  = keep;
    assign m_axis_tlast  = s_axis_tlast;
    assign s_axis_tready = m_axis_tready;

    logic unused;
    assign unused = &{1'b0, clk_i, rst_ni};
  end else begin : gen_pieces
    localparam int unsigned IndexWidth = $clog2(Pieces);

    logic [IndexWidth-1:0] index_q;
    logic                  final_piece;

    // The first byte of the next piece says whether there is one, as kept bytes are the low-order
    // ones.
    always_comb begin
      m_axis_tdata = s_axis_tdata[8*OutBytes-1:0];
      m_axis_tkeep = keep[OutBytes-1:0];
      final_piece  = ~keep[OutBytes];
      for (int unsigned i = 1; i < Pieces; i++) begin
        if (index_q == IndexWidth'(i)) begin
          m_axis_tdata = s_axis_tdata[8*OutBytes*i +: 8*OutBytes];
          m_axis_tkeep = keep[OutBytes*i +: OutBytes];
          final_piece  = (i == Pieces - 1) ? 1'b1 : ~keep[OutBytes*(i+1) % InBytes];
        end
      end
    end

    assign m_axis_tlast  = s_axis_tlast & final_piece;
    assign s_axis_tready = m_axis_tready & final_piece;

    always_ff @(posedge clk_i or negedge rst_ni) begin
      if (!rst_ni) begin
        index_q <= '0;
      end else if (s_axis_tvalid && m_axis_tready) begin
        index_q <= final_piece ? '0 : index_q + 1'b1;
      end
    end
  end

endmodule
