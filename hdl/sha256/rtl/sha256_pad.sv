// Message beats to the 32-bit words of padded blocks (FIPS 180-4, section 5.1.1), one word a cycle.
//
// Words are big-endian: the first byte of the message is the most significant one. last_o marks the
// last word of the last block of a message. A block takes 16 cycles where the input has no gaps.
module sha256_pad
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

  output word_t                  word_o,
  output logic                   last_o,
  output logic                   valid_o,
  input  logic                   ready_i
);

  logic [31:0] piece_data;
  logic [3:0]  piece_keep;
  logic        piece_valid, piece_ready, piece_last;

  stream_narrow #(
    .InBytes (DataBytes),
    .OutBytes(4)
  ) u_narrow (
    .clk_i,
    .rst_ni,
    .s_axis_tdata,
    .s_axis_tkeep,
    .s_axis_tvalid,
    .s_axis_tready,
    .s_axis_tlast,
    .m_axis_tdata (piece_data),
    .m_axis_tkeep (piece_keep),
    .m_axis_tvalid(piece_valid),
    .m_axis_tready(piece_ready),
    .m_axis_tlast (piece_last)
  );

  typedef enum logic [1:0] {
    Message,  // words of the message; the first padding byte is part of the last one where it fits
    One,      // a word with the first padding byte alone
    Zeros,    // up to the last two words of a block
    Length    // the last word: the upper half of the length has left
  } phase_e;

  phase_e      phase_q, phase_d;
  logic [3:0]  position_q;  // of the word in its block
  logic [58:0] words_q;     // whole words of the message so far
  logic [1:0]  tail_q;      // bytes after them
  logic [63:0] length;      // in bits

  assign length = {words_q, tail_q, 3'b000};

  word_t marked;  // the message's word with the padding byte behind its last byte
  always_comb begin
    unique case (piece_keep)
      4'b1111: marked = {piece_data[7:0], piece_data[15:8], piece_data[23:16], piece_data[31:24]};
      4'b0111: marked = {piece_data[7:0], piece_data[15:8], piece_data[23:16], 8'h80};
      4'b0011: marked = {piece_data[7:0], piece_data[15:8], 16'h8000};
      4'b0001: marked = {piece_data[7:0], 24'h800000};
      default: marked = 32'h8000_0000;
    endcase
  end

  always_comb begin
    phase_d = phase_q;
    word_o  = '0;
    last_o  = 1'b0;
    unique case (phase_q)
      Message: begin
        word_o = marked;
        if (piece_last) phase_d = piece_keep[3] ? One : Zeros;
      end
      One: begin
        word_o  = 32'h8000_0000;
        phase_d = Zeros;
      end
      Zeros: begin
        if (position_q == 4'd14) begin
          word_o  = length[63:32];
          phase_d = Length;
        end
      end
      default: begin
        word_o  = length[31:0];
        last_o  = 1'b1;
        phase_d = Message;
      end
    endcase
  end

  assign valid_o     = piece_valid | (phase_q != Message);
  assign piece_ready = ready_i & (phase_q == Message);

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      phase_q    <= Message;
      position_q <= '0;
      words_q    <= '0;
      tail_q     <= '0;
    end else if (valid_o && ready_i) begin
      phase_q    <= phase_d;
      position_q <= position_q + 4'd1;
      if (phase_q == Length) begin
        words_q <= '0;
        tail_q  <= '0;
      end else if (phase_q == Message) begin
        if (piece_keep[3]) begin
          words_q <= words_q + 59'd1;
        end else begin
          tail_q <= piece_keep[2] ? 2'd3 : piece_keep[1] ? 2'd2 : {1'b0, piece_keep[0]};
        end
      end
    end
  end

endmodule
