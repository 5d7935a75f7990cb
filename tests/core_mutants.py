"""Planted bugs: what is changed in the files of examples/core, and what ``chaindp core check`` has to call it."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from conftest import REPOSITORY

EXAMPLE = REPOSITORY / "examples" / "core"

ENGINE, STREAM, DESCRIPTION = "rtl/keccak_engine.v", "rtl/keccak_stream.v", "core.toml"


Edits = tuple[tuple[str, str, str], ...]


@dataclass(frozen=True)
class Mutant:
    """``edits``: (file, what stands there once, what it becomes). ``kind``, ``words``: of the cause."""

    name: str
    kind: str
    words: str
    edits: Edits

    @property
    def host_pads(self) -> bool:
        """Whether the description says so."""
        return any(after == 'padding = "host"' for _, _, after in self.edits)


SHOWING = "default: if (m_axis_tready) phase <= FEED;"

PAUSED = """reg  [255:0] result;
    reg          paused, started;
    always @(posedge clk) begin
        paused  <= ~rst & phase == FEED & ~s_axis_tvalid & ~busy & started;
        started <= ~rst & phase == FEED & (started | s_axis_tvalid & s_axis_tready);
    end"""

LANES_GO_BY = """end else if (~word_valid & ~busy & lane != 0) begin
            lane <= (lane == 5'd16) ? 5'd0 : lane + 5'd1;
        end else if (word_valid & ~busy) begin"""

FLIP = """reg  [255:0] result;
    reg          flip;
    always @(posedge clk) if (s_axis_tvalid & s_axis_tkeep == 8'h55) flip <= 1'b0;"""

MANY_BEATS = """reg  [255:0] result;
    reg  [8:0]   beats;
    always @(posedge clk) beats <= (rst | phase == SHOW) ? 9'd0 : beats + {8'd0, s_axis_tvalid & s_axis_tready};"""

AGAIN = """reg  [255:0] result;
    reg          again;
    always @(posedge clk) again <= ~rst & phase == SHOW & m_axis_tready & ~again;"""

HOST_PADS = (
    # The same core for messages that come padded: it neither pads nor closes.
    (DESCRIPTION, 'padding = "core"', 'padding = "host"'),
    (DESCRIPTION, 'lint_off = ["WIDTHEXPAND"]', 'lint_off = ["WIDTHEXPAND", "UNUSEDSIGNAL", "UNUSEDPARAM"]'),
    (ENGINE, "last ? padded : reversed(word)", "reversed(word)"),
    (ENGINE, "((last & i == 16) ? 64'h8000000000000000 : 64'h0)", "64'h0"),
    (ENGINE, "state[64 * i +: 64] ^ 64'h8000000000000000;", "state[64 * i +: 64];"),
    (STREAM, "(s_axis_tlast & ~full)", "s_axis_tlast"),
    (STREAM, "phase <= full ? CLOSE : WAIT;", "phase <= WAIT;"),
)

HOST_PADDED = Mutant("host_padded", "", "", HOST_PADS)
"""No bug: another core, which is right."""

# The digest in four beats, the first one on top.
BEATS = """default: if (m_axis_tready) begin
                             beat   <= beat + 2'd1;
                             result <= result << 64;
                             if (beat == 2'd3) phase <= FEED;
                         end"""

NARROW_OUT = (
    (DESCRIPTION, "bytes = 32", "bytes = 8"),
    (STREAM, "output     [255:0] m_axis_tdata,", "output     [63:0] m_axis_tdata,"),
    (STREAM, "reg  [255:0] result;", "reg  [255:0] result;\n    reg  [1:0]   beat;\n    reg          stalled;"),
    (STREAM, "assign m_axis_tdata  = result;", "assign m_axis_tdata  = result[255:192];"),
    (STREAM, "assign m_axis_tlast  = 1'b1;", "assign m_axis_tlast  = beat == 2'd3;"),
    (
        STREAM,
        "result <= 256'b0;",
        "result <= 256'b0;\n            beat <= 2'd0;\n            stalled <= 1'b0;",
    ),
    (
        STREAM,
        "            case (phase)",
        "            stalled <= m_axis_tvalid & ~m_axis_tready;\n            case (phase)",
    ),
    (DESCRIPTION, 'lint_off = ["WIDTHEXPAND"]', 'lint_off = ["WIDTHEXPAND", "UNUSEDSIGNAL"]'),
)

NARROW = Mutant("narrow", "", "", (*NARROW_OUT, (STREAM, SHOWING, BEATS)))
"""No bug: another core, whose digests take four beats."""

HOLDS_ONE = (
    # The engine goes on while a digest waits, and the next one finds its place taken.
    (STREAM, "reg  [255:0] result;", "reg  [255:0] result;\n    reg          pending;"),
    (
        STREAM,
        "phase  <= FEED;\n            result",
        "phase  <= FEED;\n            pending <= 1'b0;\n            result",
    ),
    (
        STREAM,
        "            case (phase)",
        "            if (m_axis_tready) pending <= 1'b0;\n            case (phase)",
    ),
    (STREAM, "assign m_axis_tvalid = (phase == SHOW);", "assign m_axis_tvalid = pending;"),
)

HANDED_OVER = "result <= digest;\n                             phase  <= SHOW;"

COUNTED = """reg  [255:0] result;
    reg  [15:0]  served;
    always @(posedge clk)
        if (rst) served <= 16'd0;
        else if (m_axis_tvalid & m_axis_tready & served != LIMIT) served <= served + 16'd1;"""


def hangs_after(limit: int) -> Edits:
    """No digest comes any more after ``limit`` of them."""
    return (
        (STREAM, "reg  [255:0] result;", COUNTED.replace("LIMIT", f"16'd{limit}")),
        (
            STREAM,
            "assign m_axis_tvalid = (phase == SHOW);",
            f"assign m_axis_tvalid = (phase == SHOW) & served != 16'd{limit};",
        ),
    )


TAKES_AFTER_PAUSE = (
    # A beat that comes after a pause is acknowledged and not taken.
    (STREAM, "reg  [255:0] result;", PAUSED),
    (
        STREAM,
        "wire feed = (phase == FEED) & s_axis_tvalid;",
        "wire feed = (phase == FEED) & s_axis_tvalid & ~(paused & ~s_axis_tlast);",
    ),
)

MUTANTS = [
    Mutant(
        "rotation",
        "wrong rotation constant",
        "rho rotates lane (1, 1) by 45, and must by 44",
        ((ENGINE, "6:  offset = 44;", "6:  offset = 45;"),),
    ),
    Mutant(
        "round_constant",
        "wrong round constant",
        "iota's constant of round 7 is 0x8000000000008008, and must be 0x8000000000008009",
        ((ENGINE, "7:  constant = 64'h8000000000008009;", "7:  constant = 64'h8000000000008008;"),),
    ),
    Mutant("rounds", "wrong number of rounds", "23 rounds are done", ((ENGINE, "round == 5'd23", "round == 5'd22"),)),
    Mutant(
        "chi",
        "wrong permutation",
        "every digest is wrong, of every length",
        ((ENGINE, "^ (~b[64 * ((x + 1) % 5", "^ (b[64 * ((x + 1) % 5"),),
    ),
    Mutant(
        "sha3_padding",
        "wrong padding byte",
        "the padding begins with 0x06, SHA3-256's, and must begin with 0x01",
        ((ENGINE, "kept | (64'h01 << end_bit)", "kept | (64'h06 << end_bit)"),),
    ),
    Mutant(
        "padding_at_the_end",
        "wrong padding byte",
        "gets 0x00, and must get 0x80; wrong: messages of 128, 129, 130, 131, 132, 133, 134, 135, 271, 407 bytes",
        ((ENGINE, "((last & i == 16) ? 64'h8000000000000000 : 64'h0)", "64'h0"),),
    ),
    Mutant(
        "output_byte_order",
        "byte order reversed",
        "of every result are in reverse order",
        ((DESCRIPTION, 'bytes = 32\nbyte_order = "big"', "bytes = 32"),),
    ),
    Mutant(
        "input_byte_order",
        "byte order reversed",
        "the input are taken in reverse order",
        ((DESCRIPTION, 'keep = true\nbyte_order = "big"', "keep = true"),),
    ),
    Mutant(
        "dropped",
        "beat dropped under back-pressure",
        "never comes: in its place",
        (
            *HOLDS_ONE,
            (
                STREAM,
                HANDED_OVER,
                "if (~pending | m_axis_tready) begin result <= digest; pending <= 1'b1; end phase <= FEED;",
            ),
        ),
    ),
    Mutant(
        "overwritten",
        "beat dropped under back-pressure",
        "the output beat changed while it was stalled",
        (*HOLDS_ONE, (STREAM, HANDED_OVER, "result <= digest; pending <= 1'b1; phase <= FEED;")),
    ),
    Mutant(
        "narrow_dropped",
        "beat dropped under back-pressure",
        "of the result of packet 0",
        # Where the reader stalls at the second beat, the third never comes.
        (
            *NARROW_OUT,
            (
                STREAM,
                SHOWING,
                BEATS.replace(
                    "if (beat == 2'd3)",
                    "if (stalled & beat == 2'd1) begin beat <= 2'd3; result <= result << 128; end\n"
                    "                             if (beat == 2'd3)",
                ),
            ),
        ),
    ),
    Mutant(
        "narrow_skips",
        "beat dropped under back-pressure",
        "of the result of packet 0",
        # The beats go on whether they are taken or not.
        (
            *NARROW_OUT,
            (STREAM, SHOWING, BEATS.replace("if (m_axis_tready) begin", "if (m_axis_tready | beat == 2'd1) begin")),
        ),
    ),
    Mutant(
        "narrow_doubled",
        "beat doubled under back-pressure",
        "comes twice",
        (
            *NARROW_OUT,
            (
                STREAM,
                SHOWING,
                BEATS.replace("if (m_axis_tready) begin", "if (m_axis_tready & ~(stalled & beat == 2'd1)) begin"),
            ),
        ),
    ),
    Mutant(
        "input_beat_lost",
        "beat dropped when the input pauses",
        "is lost on its way in",
        TAKES_AFTER_PAUSE,
    ),
    Mutant(
        "input_beat_lost_host_padded",
        "beat dropped when the input pauses",
        "is lost on its way in",
        # The lane goes by, and nothing is put into it.
        (
            *HOST_PADS,
            (STREAM, "reg  [255:0] result;", PAUSED),
            (STREAM, ".word(s_axis_tdata),", ".word(s_axis_tdata & {64{~paused}}),"),
        ),
    ),
    Mutant(
        "withdrawn",
        "output valid withdrawn while stalled",
        "valid of the output was withdrawn before the beat had moved",
        ((STREAM, SHOWING, "default: phase <= FEED;"),),
    ),
    Mutant(
        "changed",
        "output changed while stalled",
        "the output beat changed while it was stalled",
        ((STREAM, SHOWING, "default: begin result[0] <= ~result[0]; if (m_axis_tready) phase <= FEED; end"),),
    ),
    Mutant(
        "waits_for_ready",
        "hang under back-pressure",
        "the core hangs",
        (
            (
                STREAM,
                "assign m_axis_tvalid = (phase == SHOW);",
                "assign m_axis_tvalid = (phase == SHOW) & m_axis_tready;",
            ),
        ),
    ),
    Mutant(
        "reset",
        "reset keeps state",
        "after a reset in the middle",
        ((STREAM, ".reset(rst | (phase == WAIT & done))", ".reset(phase == WAIT & done)"),),
    ),
    Mutant(
        "reset_while_permuting",
        "reset keeps state",
        "after a reset in the middle (reset ",
        (
            (
                ENGINE,
                "            lane      <= 5'd0;\n            round     <= 5'd0;\n",
                "            lane      <= 5'd0;\n",
            ),
        ),
    ),
    Mutant(
        "reset_while_showing",
        "reset keeps state",
        "what was in the core outlasts the reset",
        ((STREAM, "            phase  <= FEED;\n", "            if (phase != SHOW) phase <= FEED;\n"),),
    ),
    Mutant(
        "first_packet",
        "reset keeps state",
        "the first packet after power-up",
        (
            (STREAM, "reg  [255:0] result;", "reg  [255:0] result;\n    reg          begun = 1'b0;"),
            (STREAM, "result <= digest;", "result <= digest ^ {255'b0, ~begun};\n begun <= 1'b1;"),
        ),
    ),
    Mutant(
        "described_as_sha256",
        "another kernel",
        "the digests are those of keccak256",
        ((DESCRIPTION, 'kernel = "keccak256"', 'kernel = "sha256"'),),
    ),
    Mutant(
        "reset_of_the_other_level",
        "hang",
        'nothing has ever come out: is reset.active = "low" right',
        ((DESCRIPTION, 'active = "high"', 'active = "low"'),),
    ),
    Mutant(
        "hang",
        "hang",
        "s_axis_tvalid 1, s_axis_tready 0; m_axis_tvalid 0, m_axis_tready 1",
        ((STREAM, "phase <= full ? CLOSE : WAIT;", "phase <= WAIT;"),),
    ),
    Mutant(
        "only_unstalled",
        "right only without stalls",
        "without them all packets come out right",
        # A lane goes by in every cycle, whether a word has come or not.
        (
            (
                ENGINE,
                "end else if (word_valid & ~busy) begin",
                LANES_GO_BY,
            ),
        ),
    ),
    Mutant(
        "uninitialized",
        "uninitialized state",
        "where registers begin at random",
        (
            (
                STREAM,
                "reg  [255:0] result;",
                FLIP,
            ),
            (STREAM, "assign m_axis_tdata  = result;", "assign m_axis_tdata  = result ^ {255'b0, flip};"),
        ),
    ),
    Mutant(
        "state_kept",
        "state kept between packets",
        "comes out right by itself, and wrong after packet",
        ((ENGINE, "            state     <= 1600'b0;\n", ""),),
    ),
    Mutant(
        "no_tlast",
        "wrong length of output packets",
        "no tlast after 32 bytes",
        ((STREAM, "assign m_axis_tlast  = 1'b1;", "assign m_axis_tlast  = 1'b0;"),),
    ),
    Mutant(
        "valid_in_reset",
        "output valid during reset",
        "an output was valid at the end of a reset",
        ((STREAM, "assign m_axis_tvalid = (phase == SHOW);", "assign m_axis_tvalid = (phase == SHOW) | rst;"),),
    ),
    Mutant(
        "spurious",
        "output without a packet",
        "an output is valid before any beat of its packet has come in",
        (
            (
                STREAM,
                "reg  [255:0] result;",
                AGAIN,
            ),
            (STREAM, SHOWING, "default: if (m_axis_tready & again) phase <= FEED;"),
        ),
    ),
    Mutant(
        "partial_beats_ignored",
        "wrong last beat",
        "wrong: messages of 1, 2, 3, ",
        ((STREAM, ".bytes((phase == CLOSE) ? 3'd0 : count)", ".bytes(3'd0)"),),
    ),
    Mutant(
        "five_bytes",
        "wrong last beat",
        "all wrong ones end with a beat of 5 bytes",
        (
            (
                STREAM,
                ".bytes((phase == CLOSE) ? 3'd0 : count)",
                ".bytes((phase == CLOSE) ? 3'd0 : (count == 3'd5) ? 3'd4 : count)",
            ),
        ),
    ),
    Mutant(
        "last_padding_byte",
        "wrong padding byte",
        "the last byte of the block gets 0x40, and must get 0x80",
        (
            (
                ENGINE,
                "((last & i == 16) ? 64'h8000000000000000 : 64'h0)",
                "((last & i == 16) ? 64'h4000000000000000 : 64'h0)",
            ),
            (ENGINE, "state[64 * i +: 64] ^ 64'h8000000000000000;", "state[64 * i +: 64] ^ 64'h4000000000000000;"),
        ),
    ),
    Mutant(
        "padded_twice",
        "padding on the wrong side",
        "the core pads by itself",
        ((DESCRIPTION, 'padding = "core"', 'padding = "host"'),),
    ),
    Mutant(
        "input_byte_order_host_padded",
        "byte order reversed",
        "the input are taken in reverse order",
        (*HOST_PADS, (DESCRIPTION, 'keep = true\nbyte_order = "big"', "keep = true")),
    ),
    Mutant("hang_after_many", "hang", "next to go in: packet ", hangs_after(300)),
    Mutant("hang_while_measured", "hang", "next to go in: packet ", hangs_after(1500)),
    Mutant(
        "loop",
        "combinational loop",
        "converge",
        (
            (
                STREAM,
                "assign m_axis_tlast  = 1'b1;",
                "wire around;\n    assign around = ~(around & phase == SHOW);\n    assign m_axis_tlast  = 1'b1;",
            ),
            (
                STREAM,
                "assign m_axis_tvalid = (phase == SHOW);",
                "assign m_axis_tvalid = (phase == SHOW) & (around | done);",
            ),
        ),
    ),
    Mutant(
        "partial_beats",
        "wrong last beat",
        "wrong: messages of 1, 2, 3, 5, 6, 7, 9, ",
        ((STREAM, ".bytes((phase == CLOSE) ? 3'd0 : count)", ".bytes((phase == CLOSE) ? 3'd0 : count & 3'd4)"),),
    ),
    Mutant(
        "long_messages",
        "wrong from a size on",
        "wrong: messages of 4097, 20011 bytes",
        # A counter of 9 bits, and something that happens when it is full.
        (
            (STREAM, "reg  [255:0] result;", MANY_BEATS),
            (STREAM, ".word(s_axis_tdata),", ".word(s_axis_tdata ^ {63'd0, beats == 9'd511}),"),
        ),
    ),
    Mutant(
        "rare",
        "conformance",
        "outputs differ from",
        # A word whose first 14 bits are 0: the probes have none.
        (
            (
                STREAM,
                ".word(s_axis_tdata),",
                ".word(s_axis_tdata ^ {63'd0, s_axis_tdata[63:50] == 14'd0 & s_axis_tkeep[7]}),",
            ),
        ),
    ),
    Mutant(
        "rotation_host_padded",
        "wrong rotation constant",
        "rho rotates lane (1, 2) by 11, and must by 10",
        (*HOST_PADS, (ENGINE, "11: offset = 10;", "11: offset = 11;")),
    ),
    Mutant(
        "stops",
        "the RTL ends the simulation",
        "$finish",
        (
            (
                STREAM,
                "                CLOSE:   if",
                "                CLOSE: begin $finish; end\n                2'd3 + 2'd2:   if",
            ),
        ),
    ),
]


def plant(mutant: Mutant, folder: Path) -> Path:
    """The example with a bug in it, in ``folder``; returns its description."""
    shutil.copytree(EXAMPLE, folder)
    for file, before, after in mutant.edits:
        path = folder / file
        text = path.read_text()
        assert text.count(before) == 1, f"{mutant.name}: {file} has {before!r} {text.count(before)} times"
        path.write_text(text.replace(before, after))
    return folder / DESCRIPTION
