// The adapter: puts `keccak_engine` behind one AXI4-Stream in and one out, which is all that chaindp asks of a core.
//
// What the engine lacks, it adds: a register that holds the digest while the reader is not ready, the extra word that
// ends a message of a multiple of 8 bytes, and the reset between two messages.
module keccak_stream (
    input              clk,
    input              rst,           // active high, synchronous

    input      [63:0]  s_axis_tdata,  // first byte in bits 63:56
    input      [7:0]   s_axis_tkeep,
    input              s_axis_tvalid,
    output             s_axis_tready,
    input              s_axis_tlast,

    output     [255:0] m_axis_tdata,  // first byte in bits 255:248
    output             m_axis_tvalid,
    input              m_axis_tready,
    output             m_axis_tlast
);

    localparam FEED = 2'd0, CLOSE = 2'd1, WAIT = 2'd2, SHOW = 2'd3;

    reg  [1:0]   phase;
    reg  [255:0] result;
    wire         busy;
    wire         done;
    wire [255:0] digest;

    wire full = &s_axis_tkeep;
    wire feed = (phase == FEED) & s_axis_tvalid;
    // How many bytes of the beat count, modulo 8; of a full one, none is asked for.
    wire [2:0] count = {2'd0, s_axis_tkeep[0]} + {2'd0, s_axis_tkeep[1]} + {2'd0, s_axis_tkeep[2]} + {2'd0, s_axis_tkeep[3]}
                     + {2'd0, s_axis_tkeep[4]} + {2'd0, s_axis_tkeep[5]} + {2'd0, s_axis_tkeep[6]} + {2'd0, s_axis_tkeep[7]};

    keccak_engine engine (
        .clk(clk),
        .reset(rst | (phase == WAIT & done)),
        .word(s_axis_tdata),
        .word_valid(feed | phase == CLOSE),
        .last((phase == CLOSE) | (s_axis_tlast & ~full)),
        .bytes((phase == CLOSE) ? 3'd0 : count),
        .busy(busy),
        .digest(digest),
        .done(done)
    );

    assign s_axis_tready = (phase == FEED) & ~busy;
    assign m_axis_tvalid = (phase == SHOW);
    assign m_axis_tdata  = result;
    assign m_axis_tlast  = 1'b1;

    always @(posedge clk) begin
        if (rst) begin
            phase  <= FEED;
            result <= 256'b0;
        end else begin
            case (phase)
                FEED:    if (s_axis_tvalid & ~busy & s_axis_tlast) phase <= full ? CLOSE : WAIT;
                CLOSE:   if (~busy) phase <= WAIT;
                WAIT:    if (done) begin
                             result <= digest;
                             phase  <= SHOW;
                         end
                default: if (m_axis_tready) phase <= FEED;
            endcase
        end
    end

endmodule
