// Data Depth cycles later. From Depth 8 on it is kept in a memory that is written round and round;
// below that in registers. A memory of one place more than the 16 of a distributed RAM, or than a
// multiple of them, gives that place to a register.
module delay_line #(
  parameter int unsigned Width = 31,
  parameter int unsigned Depth = 8
) (
  input  logic             clk_i,
  input  logic             rst_ni,
  input  logic [Width-1:0] data_i,
  output logic [Width-1:0] data_o
);

  if (Depth == 0) begin : gen_wire
    assign data_o = data_i;

    logic unused;
    assign unused = &{1'b0, clk_i, rst_ni};
  end else if (Depth < 8) begin : gen_registers
    logic [Width-1:0] line_q [Depth];

    always_ff @(posedge clk_i) begin
      line_q[0] <= data_i;
      for (int unsigned i = 1; i < Depth; i++) line_q[i] <= line_q[i-1];
    end

    assign data_o = line_q[Depth-1];

    logic unused;
    assign unused = rst_ni;
  end else begin : gen_memory
    // Two of the cycles are those of the read and of the register behind it.
    localparam bit          OneMore      = Depth > 18 && Depth % 16 == 3;
    localparam int unsigned Places       = OneMore ? Depth - 3 : Depth - 2;
    localparam int unsigned AddressWidth = $clog2(Places);

    logic [Width-1:0]        memory_q [Places];
    logic [Width-1:0]        write_data, read_q, data_q;
    logic [AddressWidth-1:0] place_q;

    if (OneMore) begin : gen_first
      logic [Width-1:0] first_q;

      always_ff @(posedge clk_i) begin
        first_q <= data_i;
      end

      assign write_data = first_q;
    end else begin : gen_no_first
      assign write_data = data_i;
    end

    // Each place is read in the cycle that writes it anew.
    always_ff @(posedge clk_i) begin
      memory_q[place_q] <= write_data;
      read_q            <= memory_q[place_q];
      data_q            <= read_q;
    end

    assign data_o = data_q;

    always_ff @(posedge clk_i or negedge rst_ni) begin
      if (!rst_ni) begin
        place_q <= '0;
      end else begin
        place_q <= (place_q == AddressWidth'(Places - 1)) ? '0 : place_q + 1'b1;
      end
    end
  end

endmodule
