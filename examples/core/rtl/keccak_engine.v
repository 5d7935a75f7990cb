// Keccak-256 of one message, the way many older cores are built: plain Verilog, a synchronous reset that is active high,
// words whose first byte is the most significant one, and no way to hold the digest back.
//
// A word is taken on a rising edge at which `word_valid` is 1 and `busy` is 0. Every word is whole but the one that comes
// with `last`, of which the first `bytes` bytes count, 0 to 7: a message of a multiple of 8 bytes ends with a word of
// none. Some time afterwards `done` goes to 1 and `digest` holds the result, both until the next reset: one message a
// reset. A block takes 17 cycles to come in and 24 to be permuted, one after the other.
//
// Source: FIPS 202 for Keccak-f[1600]; padding byte 0x01 as in the Keccak submission, which is Ethereum's.
module keccak_engine (
    input              clk,
    input              reset,
    input      [63:0]  word,
    input              word_valid,
    input              last,
    input      [2:0]   bytes,
    output             busy,
    output     [255:0] digest,
    output reg         done
);

    reg [1599:0] state;     // lane (x, y) is bits 64 * (x + 5 * y) and up, as FIPS 202 orders them
    reg [4:0]    lane;      // where the next word goes, 0 to 16
    reg [4:0]    round;
    reg          permuting;
    reg          closing;   // the message has ended: what is being permuted is its last block

    assign busy = permuting | closing | done;

    // ---- the word as a lane: FIPS 202 counts bytes from the least significant one
    function [63:0] reversed;
        input [63:0] from;
        integer i;
        for (i = 0; i < 8; i = i + 1)
            reversed[8 * i +: 8] = from[63 - 8 * i -: 8];
    endfunction

    wire [5:0]  end_bit = {bytes, 3'b000};
    wire [63:0] kept    = reversed(word) & ~(64'hffffffffffffffff << end_bit);
    wire [63:0] padded  = kept | (64'h01 << end_bit);
    wire [63:0] entering = last ? padded : reversed(word);

    // ---- one round
    function [5:0] offset;  // of rho, FIPS 202 table 2, by x + 5 * y
        input integer i;
        case (i)
            0:  offset = 0;   1:  offset = 1;   2:  offset = 62;  3:  offset = 28;  4:  offset = 27;
            5:  offset = 36;  6:  offset = 44;  7:  offset = 6;   8:  offset = 55;  9:  offset = 20;
            10: offset = 3;   11: offset = 10;  12: offset = 43;  13: offset = 25;  14: offset = 39;
            15: offset = 41;  16: offset = 45;  17: offset = 15;  18: offset = 21;  19: offset = 8;
            20: offset = 18;  21: offset = 2;   22: offset = 61;  23: offset = 56;
            default: offset = 14;
        endcase
    endfunction

    function [63:0] constant;  // of iota, by round
        input [4:0] index;
        case (index)
            0:  constant = 64'h0000000000000001;  1:  constant = 64'h0000000000008082;
            2:  constant = 64'h800000000000808a;  3:  constant = 64'h8000000080008000;
            4:  constant = 64'h000000000000808b;  5:  constant = 64'h0000000080000001;
            6:  constant = 64'h8000000080008081;  7:  constant = 64'h8000000000008009;
            8:  constant = 64'h000000000000008a;  9:  constant = 64'h0000000000000088;
            10: constant = 64'h0000000080008009;  11: constant = 64'h000000008000000a;
            12: constant = 64'h000000008000808b;  13: constant = 64'h800000000000008b;
            14: constant = 64'h8000000000008089;  15: constant = 64'h8000000000008003;
            16: constant = 64'h8000000000008002;  17: constant = 64'h8000000000000080;
            18: constant = 64'h000000000000800a;  19: constant = 64'h800000008000000a;
            20: constant = 64'h8000000080008081;  21: constant = 64'h8000000000008080;
            22: constant = 64'h0000000080000001;  default: constant = 64'h8000000080008008;
        endcase
    endfunction

    function [63:0] rotated;
        input [63:0] from;
        input [5:0]  by;
        rotated = (from << by) | (from >> (7'd64 - {1'b0, by}));
    endfunction

    function [1599:0] permuted_once;
        input [1599:0] a;
        input [4:0]    index;
        reg [319:0]    column;
        reg [1599:0]   b;
        reg [63:0]     parity;
        integer        x, y;
        begin
            for (x = 0; x < 5; x = x + 1)
                column[64 * x +: 64] = a[64 * x +: 64] ^ a[64 * (x + 5) +: 64] ^ a[64 * (x + 10) +: 64]
                                     ^ a[64 * (x + 15) +: 64] ^ a[64 * (x + 20) +: 64];
            for (x = 0; x < 5; x = x + 1) begin
                parity = column[64 * ((x + 4) % 5) +: 64] ^ rotated(column[64 * ((x + 1) % 5) +: 64], 6'd1);
                for (y = 0; y < 5; y = y + 1)
                    b[64 * (y + 5 * ((2 * x + 3 * y) % 5)) +: 64] =
                        rotated(a[64 * (x + 5 * y) +: 64] ^ parity, offset(x + 5 * y));
            end
            for (y = 0; y < 5; y = y + 1)
                for (x = 0; x < 5; x = x + 1)
                    permuted_once[64 * (x + 5 * y) +: 64] = b[64 * (x + 5 * y) +: 64]
                        ^ (~b[64 * ((x + 1) % 5 + 5 * y) +: 64] & b[64 * ((x + 2) % 5 + 5 * y) +: 64]);
            permuted_once[63:0] = permuted_once[63:0] ^ constant(index);
        end
    endfunction

    integer i;
    always @(posedge clk) begin
        if (reset) begin
            state     <= 1600'b0;
            lane      <= 5'd0;
            round     <= 5'd0;
            permuting <= 1'b0;
            closing   <= 1'b0;
            done      <= 1'b0;
        end else if (permuting) begin
            state <= permuted_once(state, round);
            round <= round + 5'd1;
            if (round == 5'd23) begin
                round     <= 5'd0;
                permuting <= 1'b0;
                done      <= closing;
            end
        end else if (word_valid & ~busy) begin
            for (i = 0; i < 17; i = i + 1)
                if (lane == i)
                    state[64 * i +: 64] <= state[64 * i +: 64] ^ entering ^ ((last & i == 16) ? 64'h8000000000000000 : 64'h0);
                else if (last & i == 16)
                    state[64 * i +: 64] <= state[64 * i +: 64] ^ 64'h8000000000000000;
            lane      <= (last | lane == 5'd16) ? 5'd0 : lane + 5'd1;
            permuting <= last | lane == 5'd16;
            closing   <= last;
        end
    end

    // ---- the first byte of the digest is its most significant one
    assign digest = {reversed(state[63:0]), reversed(state[127:64]), reversed(state[191:128]), reversed(state[255:192])};

endmodule
