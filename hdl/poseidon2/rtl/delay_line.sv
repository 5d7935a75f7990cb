// Data Depth cycles later. From Depth 8 on it is kept in a memory that is written round and round;
// below that in registers.
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
    localparam int unsigned Places       = Depth - 2;
    localparam int unsigned AddressWidth = $clog2(Places);

    logic [Width-1:0]        memory [Places];
    logic [Width-1:0]        read_q;
    logic [AddressWidth-1:0] place_q;

    always_ff @(posedge clk_i) begin
      memory[place_q] <= data_i;
      read_q          <= memory[place_q];
      data_o          <= read_q;
    end

    always_ff @(posedge clk_i or negedge rst_ni) begin
      if (!rst_ni) begin
        place_q <= '0;
      end else begin
        place_q <= (place_q == AddressWidth'(Places - 1)) ? '0 : place_q + 1'b1;
      end
    end
  end

endmodule
